"""A second opinion on every price: books of other venues for the same base, and perpetuals against spot.

Sees all venues, which no connector does. Owns who is whose second source; the judging is `trading.market.gates`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.messages import BrakeCleared, BrakeSet, BrakesStated
from actors.shell import Shell
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop, MarkPrice
from trading.market.gate_levels import BRAKE_LEVELS
from trading.market.gates import GateLimits, GateTripped, SymbolGates

_USD = frozenset({"USD", "USDT", "USDC"})


class SecondSourceSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Which instruments are compared. ``fresh_ns``: an older price of another venue is none."""

    instruments: dict[str, Instrument]
    limits: GateLimits = GateLimits()
    look_ns: int = 500_000_000
    fresh_ns: int = 1_500_000_000
    governor: str = "governor"


class SecondSource(Shell):
    """Takes tops as they come, and compares the newest of them every ``look_ns``.

    Spot and perpetuals are no second source of each other: what lies between them is the basis, which has a limit.
    """

    def start(self, setup: SecondSourceSetup) -> None:
        """Find out who may speak for whom."""
        self._setup = setup
        self._began_ns = self.mono_ns()
        self._gates = {name: SymbolGates(name, setup.limits) for name in setup.instruments}
        self._mids: dict[str, tuple[float, int]] = {}
        self._closed: dict[tuple[str, str], GateTripped] = {}
        self._others = {name: _others_of(one, setup.instruments) for name, one in setup.instruments.items()}
        self._spot = {name: _spot_of(one, setup.instruments) for name, one in setup.instruments.items()}
        if compared(setup.instruments):
            self.wake_after(setup.look_ns, "look")

    def on(self, msg: Any) -> None:
        """The newest proved top of an instrument."""
        kind = type(msg)
        if kind is BookTop:
            if msg.state is BookState.SYNCED and msg.bids and msg.asks:
                one = self._setup.instruments[msg.instrument_id]
                mid = (msg.bids[0][0] + msg.asks[0][0]) / 2 * float(one.tick_size)
                self._mids[msg.instrument_id] = mid, msg.ts_recv_ns
            else:
                self._mids.pop(msg.instrument_id, None)
        elif kind is not MarkPrice:
            self.unknown(msg)

    def on_tick(self, tag: str) -> None:
        """Compare."""
        self.wake_after(self._setup.look_ns, "look")
        now = self.now_ns()
        for name, gates in self._gates.items():
            mid = self._fresh(name, now)
            if mid is None:
                continue
            source, other = next(
                ((o, found) for o in self._others[name] if (found := self._fresh(o, now)) is not None), ("", None)
            )
            changes = gates.on_second(mid, other, source, now)
            spot = self._spot[name]
            spot_mid = self._fresh(spot, now) if spot is not None else None
            if spot_mid is not None:
                changes += gates.on_basis(mid, spot_mid, now)
            for change in changes:
                self._tell(change)
        if self.mono_ns() - self._began_ns > self._setup.fresh_ns:
            # A governor that began anew knows only what it is told, and an earlier life of ours can take nothing back.
            held = tuple(self._held(tripped) for tripped in self._closed.values())
            self.tell(self._setup.governor, BrakesStated(owner=self.name, brakes=held))

    def _held(self, tripped: GateTripped) -> BrakeSet:
        return BrakeSet(
            code=tripped.code.value.upper(),
            scope=f"{tripped.scope.value}:{tripped.target}",
            level=BRAKE_LEVELS[tripped.level],
            cause=tripped.cause,
            release="auto",
            owner=self.name,
        )

    def _fresh(self, name: str, now: int) -> float | None:
        mid, ts_ns = self._mids.get(name, (0.0, 0))
        return mid if mid and now - ts_ns <= self._setup.fresh_ns else None

    def _tell(self, change: Any) -> None:
        code, scope = change.code.value.upper(), f"{change.scope.value}:{change.target}"
        if type(change) is GateTripped:
            self._closed[code, scope] = change
            self.tell(self._setup.governor, self._held(change))
        else:
            self._closed.pop((code, scope), None)
            self.tell(self._setup.governor, BrakeCleared(code=code, scope=scope))


def compared(instruments: dict[str, Instrument]) -> bool:
    """Whether any of them has somebody to be compared with."""
    return any(_others_of(one, instruments) or _spot_of(one, instruments) for one in instruments.values())


def _others_of(one: Instrument, all_: dict[str, Instrument]) -> tuple[str, ...]:
    """Who may speak for an instrument, best first: another venue's of its kind and base, in a quote like its own."""
    same = [o for o in all_.values() if o.kind is one.kind and o.base == one.base and o.venue != one.venue]
    same = [o for o in same if o.quote == one.quote or {o.quote, one.quote} <= _USD]
    same.sort(key=lambda o: (o.quote != one.quote, o.instrument_id))
    return tuple(o.instrument_id for o in same)


def _spot_of(one: Instrument, all_: dict[str, Instrument]) -> str | None:
    """The spot market that a contract's basis is measured against: its own venue family's first."""
    if one.kind is InstrumentKind.SPOT:
        return None
    spots = [o for o in all_.values() if o.kind is InstrumentKind.SPOT and o.base == one.base]
    spots = [o for o in spots if o.quote == one.quote or {o.quote, one.quote} <= _USD]
    spots.sort(key=lambda o: (o.quote != one.quote, o.venue[:3] != one.venue[:3], o.instrument_id))
    return spots[0].instrument_id if spots else None
