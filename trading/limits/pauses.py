"""Pauses: what stops after the venue said 429, 418 or 401, and after an endpoint failed.

Owns how long and for whom, with backoff and jitter where the venue does not say. A pause that is over leaves its
strikes behind for a while, so that the next offence pauses longer. Cancels go on, far apart, through everything but a
ban.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from trading.limits.messages import Ask, Priority, Refusal
from trading.limits.spec import MS_NS, SECOND_NS, Policy, Reach, StatusRule, Verdict

VENUE: Final = "venue"
PAUSE_MAX_NS: Final = 4 * 24 * 3600 * SECOND_NS
_PAUSE_MIN_NS: Final = SECOND_NS // 2
_LATE_MAX_NS: Final = 250 * MS_NS
_AUTH_GAP_NS: Final = SECOND_NS
_STRIKES_MAX: Final = 20
_FORGIVEN_MIN_NS: Final = 60 * SECOND_NS


class Kind(Enum):
    """Why there is a pause, and so how it is refused."""

    LIMITED = Refusal.LIMITED.value
    BANNED = Refusal.BANNED.value
    AUTH_FAILED = Refusal.AUTH_FAILED.value
    PENALISED = Refusal.PENALISED.value


_KINDS: Final = {
    Verdict.LIMITED: Kind.LIMITED,
    Verdict.BANNED: Kind.BANNED,
    Verdict.AUTH_FAILED: Kind.AUTH_FAILED,
}
_SEVERITY: Final = (Kind.PENALISED, Kind.LIMITED, Kind.AUTH_FAILED, Kind.BANNED)


class Pause(msgspec.Struct, array_like=True):
    """One pause. ``forget_ns``: when its strikes are forgiven; ``cancel_ns``: when the next cancel may pass."""

    kind: Kind
    until_ns: int
    strikes: int
    forget_ns: int
    recovered_ns: int
    cancel_ns: int = 0

    def shift(self, by_ns: int) -> None:
        """Move every time by ``by_ns``."""
        self.until_ns += by_ns
        self.forget_ns += by_ns
        self.recovered_ns += by_ns
        self.cancel_ns += by_ns


class Dice:
    """Equal seeds give equal jitter (splitmix64, Steele, Lea and Flood 2014)."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & 0xFFFFFFFFFFFFFFFF

    def below(self, n: int) -> int:
        """A number in [0, n)."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return (mixed ^ (mixed >> 31)) % max(1, n)


def scope_of(reach: Reach, endpoint: str, account: str) -> str:
    """The name under which a pause is kept."""
    match reach:
        case Reach.VENUE:
            return VENUE
        case Reach.ACCOUNT:
            return f"account|{account}"
        case Reach.ENDPOINT:
            return f"endpoint|{endpoint}"


def scopes_of(ask: Ask) -> tuple[str, ...]:
    """The pauses that could stop ``ask``."""
    endpoint = f"endpoint|{ask.endpoint}"
    return (VENUE, f"account|{ask.account}", endpoint) if ask.private else (VENUE, endpoint)


def offended(old: Pause | None, rule: StatusRule, said_ns: int, policy: Policy, dice: Dice, *, now_ns: int) -> Pause:
    """The pause after a status that means one. ``said_ns``: how long the venue says to wait; 0: it does not say.

    Answers to what was on its way already when the pause began count as one offence with it.
    """
    same = old is not None and now_ns < old.until_ns
    strikes = 0 if old is None or now_ns >= old.forget_ns else old.strikes
    if not same:
        strikes = min(strikes + 1, _STRIKES_MAX)
    if said_ns > 0:
        length = said_ns + dice.below(_LATE_MAX_NS)
    else:
        length = min(rule.pause_ns << (strikes - 1), rule.pause_max_ns)
        length += dice.below(max(1, length // 8))
    kind = _KINDS[rule.verdict]
    if old is not None and same:
        kind = max(kind, old.kind, key=_SEVERITY.index)
        if said_ns <= 0 and _SEVERITY.index(kind) <= _SEVERITY.index(old.kind):
            length = 0  # one more answer of the same kind to what was sent before the pause
    length = min(max(length, _PAUSE_MIN_NS), PAUSE_MAX_NS)
    until = max(now_ns + length, old.until_ns if old is not None and same else 0)
    recover = min(policy.recover_ns, until - now_ns)
    return Pause(
        kind=kind,
        until_ns=until,
        strikes=strikes,
        forget_ns=until + max(_FORGIVEN_MIN_NS, 2 * length),
        recovered_ns=until + recover if kind in {Kind.LIMITED, Kind.BANNED} else until,
        cancel_ns=old.cancel_ns if old is not None else 0,
    )


def failed(old: Pause | None, policy: Policy, dice: Dice, now_ns: int) -> Pause:
    """The penalty of an endpoint that answered with a server's error or not at all. A worse pause stays.

    What was on its way already when the penalty began fails with what began it: it is no further failure.
    """
    if old is not None and now_ns < old.until_ns:
        return old
    strikes = 1 if old is None or now_ns >= old.forget_ns else min(old.strikes + 1, _STRIKES_MAX)
    length = min(policy.penalty_ns << (strikes - 1), policy.penalty_max_ns)
    length -= dice.below(max(1, length // 2))
    return Pause(
        kind=Kind.PENALISED,
        until_ns=now_ns + length,
        strikes=strikes,
        forget_ns=now_ns + max(_FORGIVEN_MIN_NS, 2 * length),
        recovered_ns=0,
    )


def pause_ns(pause: Pause, ask: Ask, now_ns: int) -> int:
    """How long ``ask`` has to wait for this pause; 0: it may pass."""
    left = pause.until_ns - now_ns
    if left <= 0:
        return 0
    if ask.priority is not Priority.CANCEL or pause.kind is Kind.BANNED:
        return left
    if pause.kind is Kind.PENALISED:
        return 0  # whoever cancels has retries and a pace of its own
    return min(left, max(0, pause.cancel_ns - now_ns))


def cancel_passed(pause: Pause, policy: Policy, now_ns: int) -> None:
    """A cancel went through the pause: the next one waits a little."""
    if now_ns < pause.until_ns and pause.kind in {Kind.LIMITED, Kind.AUTH_FAILED}:
        gap = policy.cancel_gap_ns if pause.kind is Kind.LIMITED else max(policy.cancel_gap_ns, _AUTH_GAP_NS)
        pause.cancel_ns = now_ns + gap
