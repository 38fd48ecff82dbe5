"""The allow-list: Draft -> Review -> Approve, by identities, bound to the hash of what they approve.

Owns who is in and what may be done next. A market that is not APPROVED is not traded; there is no other way in.
Whether a market could be admitted is `trading.universe.admission`, where the list is kept `adapters.universe_store`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from trading.instruments import Instrument
from trading.universe.admission import Admission, Flaw, UniverseRules, check_addition
from trading.universe.listing import VenueListing
from trading.universe.watch import IDENTITY, ChangeKind, MarketChanged


class EntryStatus(Enum):
    """Where an entry of the universe stands."""

    ABSENT = "absent"
    DRAFT = "draft"
    REVIEW = "review"
    SECOND_WANTED = "second_wanted"
    APPROVED = "approved"
    SUSPENDED = "suspended"
    DELISTED = "delisted"


class Step(Enum):
    """What can happen to an entry: operators' steps, and two that the venue takes."""

    DRAFT = "draft"
    SUBMIT = "submit"
    APPROVE_FIRST = "approve_first"
    APPROVE = "approve"
    REJECT = "reject"
    DELETE = "delete"
    SUSPEND = "suspend"
    DELIST = "delist"


_S, _T = EntryStatus, Step
STEPS: Final[dict[tuple[EntryStatus, Step], EntryStatus]] = {
    (_S.ABSENT, _T.DRAFT): _S.DRAFT,
    (_S.DRAFT, _T.SUBMIT): _S.REVIEW,
    (_S.DRAFT, _T.DELETE): _S.ABSENT,
    (_S.DRAFT, _T.DELIST): _S.DELISTED,
    (_S.REVIEW, _T.APPROVE_FIRST): _S.SECOND_WANTED,
    (_S.REVIEW, _T.APPROVE): _S.APPROVED,
    (_S.REVIEW, _T.REJECT): _S.DRAFT,
    (_S.REVIEW, _T.DELETE): _S.ABSENT,
    (_S.REVIEW, _T.SUSPEND): _S.DRAFT,  # what was reviewed is no longer what is listed
    (_S.REVIEW, _T.DELIST): _S.DELISTED,
    (_S.SECOND_WANTED, _T.APPROVE): _S.APPROVED,
    (_S.SECOND_WANTED, _T.REJECT): _S.DRAFT,
    (_S.SECOND_WANTED, _T.DELETE): _S.ABSENT,
    (_S.SECOND_WANTED, _T.SUSPEND): _S.DRAFT,
    (_S.SECOND_WANTED, _T.DELIST): _S.DELISTED,
    (_S.APPROVED, _T.DELETE): _S.ABSENT,  # one person suffices for the safer way
    (_S.APPROVED, _T.SUSPEND): _S.SUSPENDED,
    (_S.APPROVED, _T.DELIST): _S.DELISTED,
    (_S.SUSPENDED, _T.SUBMIT): _S.REVIEW,
    (_S.SUSPENDED, _T.DELETE): _S.ABSENT,
    (_S.SUSPENDED, _T.DELIST): _S.DELISTED,
    (_S.DELISTED, _T.DRAFT): _S.DRAFT,  # venues list again what they delisted
    (_S.DELISTED, _T.DELETE): _S.ABSENT,
}


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Who approved which facts, when (UTC ns)."""

    by: str
    facts_hash: str
    ts_ns: int


class UniverseEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One market of the universe. ``instrument`` is as it was when the entry was last drafted or submitted.

    ``namesakes`` are those that were found then: an operator must confirm each of them to submit it.
    """

    instrument_id: str
    status: EntryStatus
    drafted_by: str
    changed_ns: int
    note: str = ""
    instrument: Instrument | None = None
    facts_hash: str = ""
    namesakes: tuple[str, ...] = ()
    confirmed_namesakes: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()


class UniverseState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole list. ``revision`` grows with every change."""

    revision: int = 0
    entries: dict[str, UniverseEntry] = {}

    def is_tradable(self, instrument_id: str) -> bool:
        """Whether orders may be made there: APPROVED, nothing else."""
        entry = self.entries.get(instrument_id)
        return entry is not None and entry.status is EntryStatus.APPROVED

    @property
    def tradable(self) -> frozenset[str]:
        """Ids of all markets that may be traded."""
        return frozenset(name for name, entry in self.entries.items() if entry.status is EntryStatus.APPROVED)


class DraftMarket(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Propose a market."""

    instrument_id: str
    actor: str
    note: str = ""


class SubmitMarket(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask for the review of a draft, or of a suspended market. All its namesakes must be confirmed by id."""

    instrument_id: str
    actor: str
    confirmed_namesakes: tuple[str, ...] = ()


class ApproveMarket(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Approve exactly the facts of ``facts_hash``."""

    instrument_id: str
    actor: str
    facts_hash: str


class RejectMarket(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send a reviewed market back to its draft."""

    instrument_id: str
    actor: str
    cause: str


class DeleteMarket(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Take a market out, whatever it is."""

    instrument_id: str
    actor: str
    cause: str


UniverseCommand = DraftMarket | SubmitMarket | ApproveMarket | RejectMarket | DeleteMarket


class UniverseRefusal(Enum):
    """Why a command was refused, a closed set."""

    NO_SUCH_ENTRY = "no_such_entry"
    WRONG_STATUS = "wrong_status"
    NOT_ADMITTED = "not_admitted"
    IDENTITY_NEEDED = "identity_needed"
    SAME_IDENTITY = "same_identity"
    OTHER_FACTS = "other_facts"
    FULL = "full"


class UniverseChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An entry changed; goes to the audit trail. ``after`` None means that it was taken out."""

    step: Step
    by: str
    before: UniverseEntry | None
    after: UniverseEntry | None
    cause: str
    revision: int
    ts_ns: int

    @property
    def instrument_id(self) -> str:
        """Which market it is about."""
        entry = self.after or self.before
        return entry.instrument_id if entry is not None else ""


class UniverseRefused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing changed: which input is wrong, why, and how to mend it."""

    instrument_id: str
    reason: UniverseRefusal
    field: str
    text: str
    mend: str
    ts_ns: int


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision looks at: listings by adapter name, recent prices by instrument_id, the desk's rules."""

    listings: Mapping[str, VenueListing]
    prices: Mapping[str, Decimal]
    rules: UniverseRules

    def admission(self, instrument_id: str, confirmed: tuple[str, ...]) -> Admission:
        """The verdict on a market as things are."""
        return check_addition(instrument_id, self.listings, self.rules, self.prices.get(instrument_id), confirmed)


class _Why(NamedTuple):
    reason: UniverseRefusal
    field: str
    text: str
    mend: str


class _Act(NamedTuple):
    step: Step
    by: str
    cause: str


Outcome = tuple[UniverseState, UniverseChanged | UniverseRefused]


def decide(state: UniverseState, command: UniverseCommand, around: Surroundings, now_ns: int) -> Outcome:
    """Carry out one operator's command, or say why not."""
    if command.actor.strip() in {"", "auto"}:
        return _no(
            state,
            command,
            _Why(UniverseRefusal.IDENTITY_NEEDED, "actor", "a person must do it", "say who you are"),
            now_ns,
        )
    match command:
        case DraftMarket():
            return _draft(state, command, around, now_ns)
        case SubmitMarket():
            return _submit(state, command, around, now_ns)
        case ApproveMarket():
            return _approve(state, command, around, now_ns)
        case RejectMarket():
            return _step(state, command, Step.REJECT, command.cause, now_ns, approvals=(), facts_hash="")
        case DeleteMarket():
            return _step(state, command, Step.DELETE, command.cause, now_ns)


def follow(
    state: UniverseState, change: MarketChanged, around: Surroundings
) -> tuple[UniverseState, UniverseChanged | None]:
    """What a venue's change of its listing does to the list: it suspends and delists, and never adds.

    Changed filters suspend only where the desk's orders do not fit them any more; a changed identity always does.
    """
    entry = state.entries.get(change.instrument_id)
    if entry is None:
        return state, None
    match change.kind:
        case ChangeKind.DELISTED | ChangeKind.MIGRATED:
            step, cause = Step.DELIST, f"{change.kind.value} {change.new}".strip()
        case ChangeKind.UNREADABLE:
            step, cause = Step.SUSPEND, f"rules cannot be read: {change.new}"
        case ChangeKind.RULES_CHANGED if change.field in IDENTITY:
            step, cause = Step.SUSPEND, f"{change.field} was {change.old}, is {change.new}"
        case ChangeKind.RULES_CHANGED if entry.status is EntryStatus.APPROVED:
            findings = around.admission(entry.instrument_id, entry.confirmed_namesakes).findings
            unfit = [
                found for found in findings if found.flaw not in {Flaw.NO_PRICE, Flaw.NAMESAKES, Flaw.NOT_TRADABLE}
            ]
            if not unfit:
                return state, None
            step, cause = Step.SUSPEND, unfit[0].text
        case _:
            return state, None
    if (entry.status, step) not in STEPS:
        return state, None
    after = msgspec.structs.replace(
        entry, status=STEPS[entry.status, step], approvals=(), facts_hash="", changed_ns=change.ts_ns
    )
    return _put(state, entry, after, _Act(step, "auto", cause))


def _draft(state: UniverseState, command: DraftMarket, around: Surroundings, now_ns: int) -> Outcome:
    before = state.entries.get(command.instrument_id)
    if before is None and len(state.entries) >= around.rules.entries_max:
        text = f"the universe holds {around.rules.entries_max} markets, which is its bound"
        return _no(state, command, _Why(UniverseRefusal.FULL, "instrument_id", text, "delete one first"), now_ns)
    admission = around.admission(command.instrument_id, ())
    wrong = [found for found in admission.findings if found.flaw is not Flaw.NAMESAKES]
    if wrong:
        found = wrong[0]
        return _no(state, command, _Why(UniverseRefusal.NOT_ADMITTED, found.field, found.text, found.mend), now_ns)
    entry = UniverseEntry(
        instrument_id=command.instrument_id,
        status=EntryStatus.ABSENT if before is None else before.status,
        drafted_by=command.actor,
        changed_ns=now_ns,
        note=command.note,
        instrument=admission.instrument,
        namesakes=admission.namesakes,
    )
    if (entry.status, Step.DRAFT) not in STEPS:
        return _wrong_status(state, command, entry.status, Step.DRAFT, now_ns)
    after = msgspec.structs.replace(entry, status=STEPS[entry.status, Step.DRAFT])
    return _put(state, before, after, _Act(Step.DRAFT, command.actor, command.note))


def _submit(state: UniverseState, command: SubmitMarket, around: Surroundings, now_ns: int) -> Outcome:
    admission = around.admission(command.instrument_id, command.confirmed_namesakes)
    entry = state.entries.get(command.instrument_id)
    if entry is not None and admission.findings and (entry.status, Step.SUBMIT) in STEPS:
        found = admission.findings[0]
        return _no(state, command, _Why(UniverseRefusal.NOT_ADMITTED, found.field, found.text, found.mend), now_ns)
    return _step(
        state,
        command,
        Step.SUBMIT,
        "",
        now_ns,
        instrument=admission.instrument,
        facts_hash=admission.facts_hash,
        namesakes=admission.namesakes,
        confirmed_namesakes=admission.namesakes,
        approvals=(),
    )


def _approve(state: UniverseState, command: ApproveMarket, around: Surroundings, now_ns: int) -> Outcome:
    entry = state.entries.get(command.instrument_id)
    if entry is None or (entry.status, Step.APPROVE) not in STEPS:
        return _step(state, command, Step.APPROVE, "", now_ns)
    admission = around.admission(command.instrument_id, entry.confirmed_namesakes)
    if admission.findings:
        found = admission.findings[0]
        return _no(state, command, _Why(UniverseRefusal.NOT_ADMITTED, found.field, found.text, found.mend), now_ns)
    if not command.facts_hash == entry.facts_hash == admission.facts_hash:
        text = (
            f"approved {command.facts_hash[:16]}, reviewed {entry.facts_hash[:16]}, listed {admission.facts_hash[:16]}"
        )
        mend = "look at the entry again and approve its facts_hash; where the listing changed, reject and submit anew"
        return _no(state, command, _Why(UniverseRefusal.OTHER_FACTS, "facts_hash", text, mend), now_ns)
    if any(_same(command.actor, approval.by) for approval in entry.approvals):
        text = f"{command.actor} has approved it already"
        return _no(
            state,
            command,
            _Why(UniverseRefusal.SAME_IDENTITY, "actor", text, "a second person must approve it"),
            now_ns,
        )
    approvals = (*entry.approvals, Approval(by=command.actor, facts_hash=command.facts_hash, ts_ns=now_ns))
    done = len(approvals) >= (2 if around.rules.two_man else 1)
    return _step(state, command, Step.APPROVE if done else Step.APPROVE_FIRST, "", now_ns, approvals=approvals)


def _step(
    state: UniverseState, command: UniverseCommand, step: Step, cause: str, now_ns: int, **fields: object
) -> Outcome:
    entry = state.entries.get(command.instrument_id)
    if entry is None:
        text = f"{command.instrument_id[:80]} is not in the universe"
        return _no(state, command, _Why(UniverseRefusal.NO_SUCH_ENTRY, "instrument_id", text, "draft it first"), now_ns)
    status = STEPS.get((entry.status, step))
    if status is None:
        return _wrong_status(state, command, entry.status, step, now_ns)
    after = msgspec.structs.replace(entry, status=status, changed_ns=now_ns, **fields)
    return _put(state, entry, after, _Act(step, command.actor, cause))


def _put(
    state: UniverseState, before: UniverseEntry | None, after: UniverseEntry, act: _Act
) -> tuple[UniverseState, UniverseChanged]:
    entries = dict(state.entries)
    kept = None if after.status is EntryStatus.ABSENT else after
    if kept is None:
        entries.pop(after.instrument_id, None)
    else:
        entries[after.instrument_id] = kept
    revision = state.revision + 1
    changed = UniverseChanged(
        step=act.step,
        by=act.by,
        before=before,
        after=kept,
        cause=act.cause,
        revision=revision,
        ts_ns=after.changed_ns,
    )
    return UniverseState(revision=revision, entries=entries), changed


def _wrong_status(
    state: UniverseState, command: UniverseCommand, status: EntryStatus, step: Step, now_ns: int
) -> Outcome:
    possible = sorted(one.value for (where, one) in STEPS if where is status and one.value in _OPERATORS)
    text = f"it is in {status.value}, where nobody can {step.value} it"
    mend = f"what can be done with it: {', '.join(possible) or 'nothing'}"
    return _no(state, command, _Why(UniverseRefusal.WRONG_STATUS, "action", text, mend), now_ns)


def _no(state: UniverseState, command: UniverseCommand, why: _Why, now_ns: int) -> Outcome:
    refused = UniverseRefused(
        instrument_id=command.instrument_id[:80],
        reason=why.reason,
        field=why.field,
        text=why.text,
        mend=why.mend,
        ts_ns=now_ns,
    )
    return state, refused


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


_OPERATORS: Final = frozenset({"draft", "submit", "approve", "reject", "delete"})
