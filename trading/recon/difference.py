"""What a difference between the desk and a venue is, and the states it goes through.

Owns the closed sets and the table. Finding differences is `trading.orders.reconcile`'s (orders, positions) and
`trading.recon.fills`' and `cash`' (executions, funding, balances); following them is `trading.recon.core`'s.
"""

from __future__ import annotations

from enum import Enum

import msgspec

EVIDENCE_MAX = 16


class DiffClass(Enum):
    """Why the two accounts differ: a closed set; `MEANINGS` says each in words."""

    OURS_LATE = "ours_late"
    VENUE_LATE = "venue_late"
    FOREIGN_ORDER = "foreign_order"
    MISSING_FILL = "missing_fill"
    EXTERNAL_REDUCTION = "external_reduction"
    DUST = "dust"
    UNEXPLAINED = "unexplained"


class Subject(Enum):
    """What is compared."""

    ORDER = "order"
    EXECUTION = "execution"
    FUNDING = "funding"
    POSITION = "position"
    BALANCE = "balance"


class Action(Enum):
    """What is done about a difference of a class."""

    WAIT = "wait"
    TAKE_IN = "take_in"
    CANCEL_ORPHAN = "cancel_orphan"
    LEAVE = "leave"
    BOOK_EXTERNAL = "book_external"
    ACCEPT = "accept"
    ASK = "ask"


class DiffState(Enum):
    """How a difference stands. BRAKED: its scope is held until it is gone or explained."""

    OPEN = "open"
    HEALED = "healed"
    BRAKED = "braked"


class DiffEvent(Enum):
    """What moves it."""

    SEEN = "seen"
    GONE = "gone"
    ACCEPTED = "accepted"
    OVERDUE = "overdue"


S, E = DiffState, DiffEvent

TRANSITIONS: dict[tuple[DiffState, DiffEvent], DiffState] = {
    (S.OPEN, E.SEEN): S.OPEN,
    (S.OPEN, E.GONE): S.HEALED,
    (S.OPEN, E.ACCEPTED): S.HEALED,
    (S.OPEN, E.OVERDUE): S.BRAKED,
    (S.BRAKED, E.SEEN): S.BRAKED,
    (S.BRAKED, E.GONE): S.HEALED,
    (S.BRAKED, E.ACCEPTED): S.HEALED,  # it shrank below what is worth asking about
    (S.BRAKED, E.OVERDUE): S.BRAKED,
    (S.HEALED, E.SEEN): S.OPEN,  # it is back, and its time begins anew
    (S.HEALED, E.GONE): S.HEALED,
    (S.HEALED, E.ACCEPTED): S.HEALED,
    (S.HEALED, E.OVERDUE): S.HEALED,
}

ACTIONS: dict[DiffClass, Action] = {
    DiffClass.OURS_LATE: Action.WAIT,
    DiffClass.VENUE_LATE: Action.WAIT,
    DiffClass.FOREIGN_ORDER: Action.LEAVE,  # CANCEL_ORPHAN where it has our mark
    DiffClass.MISSING_FILL: Action.TAKE_IN,
    DiffClass.EXTERNAL_REDUCTION: Action.BOOK_EXTERNAL,
    DiffClass.DUST: Action.ACCEPT,
    DiffClass.UNEXPLAINED: Action.ASK,
}

MEANINGS: dict[DiffClass, str] = {
    DiffClass.OURS_LATE: "the venue knows it, our word of it is still on the way",
    DiffClass.VENUE_LATE: "we know it, the venue's lists do not show it yet",
    DiffClass.FOREIGN_ORDER: "an open order that no journal of ours knows",
    DiffClass.MISSING_FILL: "executed at the venue, and not booked although there was time",
    DiffClass.EXTERNAL_REDUCTION: "executed by no order of ours: liquidation, ADL, a hand on the screen",
    DiffClass.DUST: "a balance that is off by less than is worth asking about",
    DiffClass.UNEXPLAINED: "none of these, or one of them that took too long",
}

DOINGS: dict[Action, str] = {
    Action.WAIT: "waits; then it is a missing fill or unexplained",
    Action.TAKE_IN: "reads the account further back; the venue's own report is journalled and booked",
    Action.CANCEL_ORPHAN: "cancels it",
    Action.LEAVE: "cancels it if it has our mark, leaves it alone otherwise",
    Action.BOOK_EXTERNAL: "books it as nobody's; waits for the venue's own list to confirm it",
    Action.ACCEPT: "accepts it, and says so",
    Action.ASK: "reads the account again",
}

LATE = frozenset({DiffClass.OURS_LATE, DiffClass.VENUE_LATE})
"""Classes that are nobody's fault while they are young."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference as it was found. ``ref`` names its subject at the venue: ClOrdID, exec_id, instrument or asset.

    ``instrument_id`` is "" where it concerns the whole venue; ``since_ns`` (UTC) is when it came to be, 0: when it was
    found; ``ours_mark`` says of an order that its ClOrdID is of our making.
    """

    diff_class: DiffClass
    subject: Subject
    venue: str
    ref: str
    text: str
    instrument_id: str = ""
    ours: str = ""
    theirs: str = ""
    evidence: tuple[str, ...] = ()
    since_ns: int = 0
    ours_mark: bool = False

    @property
    def key(self) -> str:
        """Names the difference for as long as it lasts."""
        return f"{self.venue}:{self.subject.value}:{self.ref}"

    @property
    def scope(self) -> str:
        """The brake's scope that it concerns, and no wider."""
        return f"symbol:{self.instrument_id}" if self.instrument_id else f"venue:{self.venue}"

    @property
    def action(self) -> Action:
        """What is done about it."""
        if self.ours_mark and self.diff_class is DiffClass.FOREIGN_ORDER:
            return Action.CANCEL_ORPHAN
        return ACTIONS[self.diff_class]


class AccountCompared(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the order core found when it compared a venue's account with its own.

    ``standing`` is everything that differs after what the account listed was taken in; ``taken`` is what was missing
    until then and is booked now.
    """

    venue: str
    standing: tuple[Difference, ...]
    taken: tuple[Difference, ...]
    ts_init_ns: int
