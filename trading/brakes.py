"""Brakes: named reasons not to trade, the worst of which is the mode of a scope.

Owns the one state machine behind HOLD, safe mode, pause, quarantine, freeze and kill, and who may release
what. Does not own the permit that carries the modes to the wire (`adapters/permit_board.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import Enum, IntEnum
from typing import Final

import msgspec

GLOBAL: Final = "global"
AUTO: Final = "auto"
BRAKES_MAX: Final = 256
SCOPE_BYTES_MAX: Final = 64
OVERFLOW_CODE: Final = "brakes_overflow"


class Level(IntEnum):
    """How far trading is restrained, in order."""

    RUN = 0
    SAFE = 1
    PAUSE = 2
    HOLD = 3
    KILL = 4


class Conduct(Enum):
    """What an order or a cancel does to risk; the columns of ``ALLOWED``."""

    TAKE = "take"
    MAKE = "make"
    REDUCE = "reduce"
    REDUCE_BY_OPERATOR = "reduce_by_operator"
    CANCEL = "cancel"


ALLOWED: Final[dict[Level, frozenset[Conduct]]] = {
    Level.RUN: frozenset(Conduct),
    Level.SAFE: frozenset(Conduct) - {Conduct.TAKE},
    Level.PAUSE: frozenset({Conduct.REDUCE, Conduct.REDUCE_BY_OPERATOR, Conduct.CANCEL}),
    Level.HOLD: frozenset({Conduct.REDUCE_BY_OPERATOR, Conduct.CANCEL}),
    Level.KILL: frozenset({Conduct.REDUCE_BY_OPERATOR, Conduct.CANCEL}),  # the flattening is the operator's order
}


class Release(Enum):
    """Who may take a brake off: its own cause, one identity, or two different ones."""

    AUTO = "auto"
    OPERATOR = "operator"
    TWO_MAN = "two-man"


_STRICTNESS: Final = {Release.AUTO: 0, Release.OPERATOR: 1, Release.TWO_MAN: 2}


class ScopeKind(Enum):
    """What a brake can be put on."""

    GLOBAL = "global"
    VENUE = "venue"
    SYMBOL = "symbol"
    STRATEGY = "strategy"


def parse_scope(scope: str) -> tuple[ScopeKind, str]:
    """The kind and the name of ``scope``; ``ValueError`` says what is wrong with it.

    Scopes are ``global``, ``venue:<venue>``, ``symbol:<instrument_id>`` and ``strategy:<id>``: printable ASCII
    without blanks, at most 64 bytes, so that each fits the permit board.
    """
    if scope == GLOBAL:
        return ScopeKind.GLOBAL, ""
    prefix, _, name = scope.partition(":")
    if prefix not in ("venue", "symbol", "strategy") or not name:
        raise ValueError(f"{scope!r} is no scope: use global, venue:<venue>, symbol:<instrument_id> or strategy:<id>")
    if not all("!" <= letter <= "~" for letter in name):
        raise ValueError(f"{scope!r} is no scope: only printable ASCII without blanks")
    if len(scope) > SCOPE_BYTES_MAX:
        raise ValueError(f"{scope!r} is no scope: {len(scope)} bytes, at most {SCOPE_BYTES_MAX}")
    return ScopeKind(prefix), name


def order_scopes(venue: str, instrument_id: str, strategy_ids: Iterable[str]) -> tuple[str, ...]:
    """The scopes that an order stands under, ``global`` first."""
    return (GLOBAL, f"venue:{venue}", f"symbol:{instrument_id}", *(f"strategy:{name}" for name in strategy_ids))


class Brake(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One reason not to trade. ``since_ns`` is UTC; ``cause`` is for people and should not vary while it lasts."""

    code: str
    scope: str
    level: Level
    cause: str
    since_ns: int
    release: Release
    set_by: str

    def __post_init__(self) -> None:
        """Refuse what could not be shown, stored or released."""
        parse_scope(self.scope)
        if not self.code:
            raise ValueError("a brake needs a code")
        if self.level is Level.RUN:
            raise ValueError(f"brake {self.code} on {self.scope}: RUN restrains nothing")


class BrakeChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A brake was set (``after``), replaced (both) or released (``before`` only), by whom; goes to the journal."""

    before: Brake | None
    after: Brake | None
    by: tuple[str, ...]
    ts_ns: int


class RefusedBecause(Enum):
    """Why a release was refused, a closed set."""

    NO_SUCH_BRAKE = "no_such_brake"
    OWN_CAUSE_ONLY = "own_cause_only"
    IDENTITY_NEEDED = "identity_needed"
    SECOND_IDENTITY_NEEDED = "second_identity_needed"
    SAME_IDENTITY = "same_identity"
    OTHER_BRAKE_APPROVED = "other_brake_approved"


class ReleaseRefused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The brake stays on."""

    code: str
    scope: str
    reason: RefusedBecause
    text: str
    ts_ns: int


def release_hash(brake: Brake) -> str:
    """What two people approve when they release ``brake``: SHA-256 over all its fields, in hex."""
    return hashlib.sha256(msgspec.json.encode(brake)).hexdigest()


class BrakeBook:
    """All brakes of a desk, at most 256, one per (code, scope)."""

    __slots__ = ("_brakes", "_modes")

    def __init__(self) -> None:
        self._brakes: dict[tuple[str, str], Brake] = {}
        self._modes: dict[str, Level] = {}

    def set(self, brake: Brake) -> list[BrakeChanged]:
        """Put ``brake`` on, or replace the one of the same (code, scope); nothing waits, nothing can refuse.

        An AUTO brake belongs to its cause, which may lower it. Any other only gets stricter here, because
        loosening it is a release and needs whom a release needs. A 257th brake becomes a global HOLD.
        """
        key = (brake.code, brake.scope)
        before = self._brakes.get(key)
        if before is None and len(self._brakes) >= BRAKES_MAX - 1 and key != (OVERFLOW_CODE, GLOBAL):
            return self.set(_overflow(brake))
        after = brake if before is None else _succeed(before, brake)
        if after == before:
            return []
        self._brakes[key] = after
        self._recount()
        return [BrakeChanged(before=before, after=after, by=(brake.set_by,), ts_ns=brake.since_ns)]

    def clear(
        self, code: str, scope: str, by: str, two_man: tuple[str, str] | None, now_ns: int
    ) -> BrakeChanged | ReleaseRefused:
        """Take a brake off, if ``by`` may.

        ``by`` is ``"auto"`` for the brake's own cause, otherwise an identity. ``two_man`` is the second identity
        and the ``release_hash`` that both approved: if the brake has changed since, they approved something else.
        """
        brake = self._brakes.get((code, scope))
        if brake is None:
            return _refused(code, scope, RefusedBecause.NO_SUCH_BRAKE, "there is no such brake", now_ns)
        refusal = _release_refusal(brake, by, two_man)
        if refusal is not None:
            return _refused(code, scope, *refusal, now_ns)
        del self._brakes[code, scope]
        self._recount()
        second = (two_man[0],) if brake.release is Release.TWO_MAN and two_man is not None else ()
        return BrakeChanged(before=brake, after=None, by=(by, *second), ts_ns=now_ns)

    def mode(self, scopes: Iterable[str]) -> Level:
        """The worst level on any of ``scopes``; ``global`` always counts."""
        worst = self._modes.get(GLOBAL, Level.RUN)
        for scope in scopes:
            worst = max(worst, self._modes.get(scope, Level.RUN))
        return worst

    def modes(self) -> dict[str, Level]:
        """The level of every scope that has a brake on it."""
        return dict(self._modes)

    def brakes(self) -> tuple[Brake, ...]:
        """All brakes, worst first, then oldest: the answer to "why are we not trading"."""
        return tuple(sorted(self._brakes.values(), key=lambda b: (-b.level, b.since_ns, b.code, b.scope)))

    def dump(self) -> bytes:
        """The brakes as JSON bytes, the same bytes for the same brakes."""
        return msgspec.json.encode(self.brakes())

    @classmethod
    def load(cls, data: bytes) -> BrakeBook:
        """A book from ``dump``'s bytes; ``ValueError`` when they are damaged: the caller must then hold everything."""
        try:
            brakes = msgspec.json.decode(data, type=list[Brake])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"the stored brakes are unreadable: {error}") from error
        book = cls()
        for brake in brakes:
            book.set(brake)
        return book

    def _recount(self) -> None:
        modes: dict[str, Level] = {}
        for brake in self._brakes.values():
            modes[brake.scope] = max(brake.level, modes.get(brake.scope, Level.RUN))
        self._modes = modes


def _succeed(before: Brake, brake: Brake) -> Brake:
    level, release = brake.level, brake.release
    if before.release is not Release.AUTO:
        level = max(before.level, level)
        release = max(before.release, release, key=_STRICTNESS.__getitem__)
    since_ns = before.since_ns if level <= before.level else brake.since_ns
    return msgspec.structs.replace(brake, level=level, release=release, since_ns=since_ns)


def _overflow(brake: Brake) -> Brake:
    return Brake(
        code=OVERFLOW_CODE,
        scope=GLOBAL,
        level=max(Level.HOLD, brake.level),
        cause=f"more than {BRAKES_MAX - 1} brakes: the desk holds everything instead of forgetting one",
        since_ns=brake.since_ns,
        release=Release.OPERATOR if brake.release is not Release.TWO_MAN else Release.TWO_MAN,
        set_by=brake.set_by,
    )


def _release_refusal(brake: Brake, by: str, two_man: tuple[str, str] | None) -> tuple[RefusedBecause, str] | None:
    if brake.release is Release.AUTO:
        if by == AUTO:
            return None
        return RefusedBecause.OWN_CAUSE_ONLY, f"released by its own cause only: {brake.cause}"
    if by in {"", AUTO}:
        return RefusedBecause.IDENTITY_NEEDED, "a person must release it"
    if brake.release is Release.OPERATOR:
        return None
    if two_man is None or two_man[0] in {"", AUTO}:
        return RefusedBecause.SECOND_IDENTITY_NEEDED, f"a second identity must approve {release_hash(brake)}"
    if two_man[0].casefold() == by.casefold():
        return RefusedBecause.SAME_IDENTITY, f"{by} cannot be both identities"
    if two_man[1] != release_hash(brake):
        return RefusedBecause.OTHER_BRAKE_APPROVED, f"approved {two_man[1]}, but the brake is {release_hash(brake)}"
    return None


def _refused(code: str, scope: str, reason: RefusedBecause, text: str, now_ns: int) -> ReleaseRefused:
    return ReleaseRefused(code=code, scope=scope, reason=reason, text=text, ts_ns=now_ns)
