"""When orders that rest at a venue have to go because nobody looks after them any more, and whether they have gone.

Owns the judgement: whose heart is missed, which scopes entered HOLD, when to look again, and how long it took. Asks for
sweeps; what one finds and cancels comes back by `swept`. All times are monotonic nanoseconds.

A missed heart is swept at once. Where a venue or a market enters HOLD the order core cancels by itself; there the sweep
comes half of the limit later and proves it, or does what was left undone.
"""

from __future__ import annotations

from typing import Final

import msgspec

MS: Final = 1_000_000
SECOND_NS: Final = 1_000 * MS
_LATE_NS: Final = 100 * MS
_AGAIN_NS: Final = 50 * MS
_LADDER_NS: Final = (SECOND_NS, 4 * SECOND_NS, 15 * SECOND_NS)
"""When to look again after nothing rested: an order may have been on its way."""
_VIGIL_NS: Final = 60 * SECOND_NS


class GuardRules(msgspec.Struct, frozen=True, kw_only=True):
    """``heartbeat_ns``: a heart that was missed for longer, or a permit that ran out half as long ago, is gone.

    ``limit_ns``: after so long nothing may rest.
    """

    heartbeat_ns: int = SECOND_NS
    limit_ns: int = 500 * MS


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen from outside.

    ``beats`` is the last heartbeat of each cell that orders at this venue depend on (0: none in this life of it),
    ``permit_ns`` when the permit runs out, ``held`` the scopes of this venue that are in HOLD or worse.
    """

    now_ns: int
    beats: dict[str, int]
    permit_ns: int
    held: frozenset[str]


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel what rests of ours: on ``scopes`` (``venue:x`` is all of it), and say what was found."""

    scopes: frozenset[str]
    cause: str


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing rests any more, ``after_ns`` after the cause; ``canceled`` orders had to be canceled by the guard."""

    cause: str
    silent: bool
    canceled: int
    after_ns: int
    late: bool


class Trip(msgspec.Struct, kw_only=True):
    """Why orders have to go, since when. ``silent``: somebody's heart is missed."""

    cause: str
    silent: bool
    scopes: frozenset[str]
    since_ns: int
    next_ns: int
    canceled: int = 0
    looks: int = 0
    cleared: bool = False


class KillGuard:
    """One venue. Silent until all signs have been good once: what never began is not missed."""

    def __init__(self, venue: str, rules: GuardRules) -> None:
        self.rules = rules
        self.trips = 0
        self.late = 0
        self.canceled = 0
        self.trip: Trip | None = None
        self.ended = 0
        self._venue = f"venue:{venue}"
        self._armed = False
        self._sweeping = False
        self._stale = False
        self._held: frozenset[str] = frozenset()
        self._beats: dict[str, int] = {}
        self._looked_ns = 0
        self._deaf_ns = 0

    @property
    def missing(self) -> str:
        """Whose heart is missed, in words; "" when nobody's is."""
        return self.trip.cause if self.trip is not None and self.trip.silent else ""

    def look(self, signs: Signs) -> Sweep | None:
        """Judge what can be seen; what to do now."""
        now = signs.now_ns
        if self._looked_ns and now - self._looked_ns > _LATE_NS:
            self._deaf_ns = now  # nobody could be heard while we did not listen
        self._looked_ns = now
        silent = self._silent(signs)
        # What was held when all signs were good for the first time was not entered: nothing rests at a start.
        entered = signs.held - self._held if self._armed else frozenset()
        self._held = signs.held
        if not silent:
            self._armed = True
        elif self._armed and (self.trip is None or not self.trip.silent):
            self._tripped(silent, frozenset({self._venue}), now, now, silent=True)
        if entered and (self.trip is None or not self.trip.silent):
            scopes = entered if self.trip is None else entered | self.trip.scopes
            cause = f"{', '.join(sorted(entered))} in HOLD"
            self._tripped(cause, scopes, now, now + self.rules.limit_ns // 2, silent=False)
        trip = self.trip
        if trip is None:
            return None
        if self._over(trip, signs, silent):
            self.trip = None
            self.ended += trip.silent
            return None
        if self._sweeping or now < trip.next_ns:
            return None
        self._sweeping = True
        return Sweep(scopes=trip.scopes, cause=trip.cause)

    def swept(self, found: int, canceled: int, now_ns: int) -> Cleared | None:
        """A sweep came back: how many of ours rested, and how many of them the venue has let go."""
        self._sweeping = False
        trip = self.trip
        self.canceled += canceled
        stale, self._stale = self._stale, False
        if trip is None or stale:
            return None
        trip.canceled += canceled
        if found > canceled:
            trip.next_ns = now_ns + _AGAIN_NS
            return None
        trip.next_ns = now_ns + (_LADDER_NS[trip.looks] if trip.looks < len(_LADDER_NS) else _VIGIL_NS)
        trip.looks += 1
        if trip.cleared and not canceled:
            return None
        trip.cleared = True
        after_ns = now_ns - trip.since_ns
        late = trip.looks == 1 and after_ns > self.rules.limit_ns
        self.late += late
        return Cleared(cause=trip.cause, silent=trip.silent, canceled=trip.canceled, after_ns=after_ns, late=late)

    def failed(self, now_ns: int) -> None:
        """A sweep could not be made: what rests is not known, so it is tried again at once."""
        self._sweeping = self._stale = False
        if self.trip is not None:
            self.trip.next_ns = now_ns + 2 * _AGAIN_NS

    def _tripped(self, cause: str, scopes: frozenset[str], since_ns: int, next_ns: int, *, silent: bool) -> None:
        self.trips += 1
        self._stale = self._sweeping  # what is being swept is not all of it
        self.trip = Trip(cause=cause, silent=silent, scopes=scopes, since_ns=since_ns, next_ns=next_ns)

    def _over(self, trip: Trip, signs: Signs, silent: str) -> bool:
        """Whether it is somebody else's again: the heart beats and nothing was left, or the HOLD was looked after."""
        if trip.silent:
            return not silent and trip.cleared
        watched = trip.cleared and trip.looks >= len(_LADDER_NS)
        return watched or not (trip.scopes & signs.held)

    def _silent(self, signs: Signs) -> str:
        """Whose heart is missed, or "". A cell that was born again beats for its orders when it has said so."""
        for cell, beat_ns in signs.beats.items():
            if beat_ns:
                self._beats[cell] = beat_ns
            last = max(self._beats.get(cell, 0), self._deaf_ns)
            if last and signs.now_ns - last > self.rules.heartbeat_ns:
                return f"no heartbeat of cell {cell} for {(signs.now_ns - last) // MS} ms"
            if not self._beats.get(cell, 0):
                return f"cell {cell} has not begun"
        lapsed_ns = signs.now_ns - max(signs.permit_ns, self._deaf_ns)
        if lapsed_ns > self.rules.heartbeat_ns // 2:
            return f"the permit ran out {lapsed_ns // MS} ms ago"
        return ""
