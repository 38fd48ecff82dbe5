"""The guard over one venue's resting orders: sees from outside that nobody looks after them, and cancels them itself.

Beside the drop copy in the operators' cell, for the same reason: it is for when the venue's cell or the desk's is dead,
hung or cut off. It needs no mailbox of theirs to know that: hearts and the permit are boards in memory that all
processes map. Where a cell is dead its orders are gone within the limit, with a timer of the venue or without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import ActorReady, BrakeSet, BrakesStated, ReconcileWanted
from actors.shell import Shell
from adapters.clock import Clock
from adapters.heartbeat_board import HeartbeatBoard
from adapters.kill_guard import Sweeper, Swept
from adapters.limits.limiter import Limiter
from adapters.orders.link import OrderLinkSpec
from adapters.permit_board import PermitReader
from trading.brakes import GLOBAL, Level
from trading.kill_guard import Cleared, GuardRules, KillGuard, Signs, Sweep
from trading.operators import Published, Topic

HEARTBEAT = "HEARTBEAT"
AUTO_CANCEL = "auto_cancel_on_hb"
_EVENTS_A_SECOND = 5
_WARM_NS = 10_000_000_000
"""Idle connections are closed after 15 s on our side, and after more on the venues'."""


class KillGuardSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Whose orders, on whom they depend (cells by name), and where hearts and permit are seen.

    ``prefix`` marks our client order ids.
    """

    link: OrderLinkSpec
    cells: tuple[str, ...]
    heartbeat: Path
    board: Path
    rules: GuardRules = GuardRules()
    prefix: str = "pd"
    limiter: Callable[[Clock], Limiter] | None = None
    look_ns: int = 50_000_000
    publish_ns: int = 1_000_000_000
    governor: str = "governor"
    ops: str = "ops"


class SweepDone(msgspec.Struct, frozen=True, kw_only=True):
    """A sweep came back. Never leaves the process."""

    swept: Swept


class KillGuardActor(Shell):
    """Looks at the boards, sweeps when it has to, brakes the venue while a heart is missed."""

    def start(self, setup: KillGuardSetup) -> None:
        """Map the boards, open the way out."""
        self._setup = setup
        self._venue = setup.link.venue
        self._core = KillGuard(self._venue, setup.rules)
        self._hearts = HeartbeatBoard(setup.heartbeat)
        self._permit = PermitReader(setup.board)
        self._of_venue = frozenset(
            {GLOBAL, f"venue:{self._venue}", *(f"symbol:{one.instrument_id}" for one in setup.link.instruments)}
        )
        limiter = setup.limiter(self.clock) if setup.limiter is not None else None
        self._sweeper = Sweeper(setup.link, self.clock, setup.prefix, limiter)
        self._sweeper.start()
        self._sweeping: asyncio.Task[None] | None = None
        self._warming: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._ended = 0
        self._said = 0
        self._cleared_ms = 0.0
        self._trouble = ""
        self.failed = 0
        self._inject = self.loop_tell()
        if self._supervisor is not None:
            self.tell(self._supervisor, ActorReady(name=self.name))
        self.wake_after(setup.look_ns, "look")
        self.wake_after(setup.publish_ns, "publish")
        self.wake_after(0, "warm")

    @property
    def core(self) -> KillGuard:
        """For tests."""
        return self._core

    def on(self, msg: Any) -> None:
        """A sweep came back."""
        if type(msg) is not SweepDone:
            self.unknown(msg)
            return
        swept, now = msg.swept, self.mono_ns()
        self._trouble = swept.trouble
        if swept.trouble:
            self.failed += 1
            self._core.failed(now)
            self._event("error", f"what rests cannot be seen: {swept.trouble}")
            return
        cleared = self._core.swept(swept.found, swept.canceled, now)
        if cleared is not None:
            self._tell_cleared(cleared)

    def _tell_cleared(self, cleared: Cleared) -> None:
        self._cleared_ms = cleared.after_ns / 1e6
        late = f", later than the {self._setup.rules.limit_ns // 1_000_000} ms that are allowed" if cleared.late else ""
        what = f"{cleared.canceled} orders canceled by the guard" if cleared.canceled else "all were canceled"
        level = "error" if cleared.silent or cleared.late or cleared.canceled else "warning"
        self._event(level, f"{cleared.cause}: {what}, nothing rests after {self._cleared_ms:.0f} ms{late}")

    def on_tick(self, tag: str) -> None:
        """Look at the boards; tell the operators."""
        if tag == "look":
            self.wake_after(self._setup.look_ns, "look")
            self._look()
            return
        if tag == "warm":
            self.wake_after(_WARM_NS, "warm")
            if self._warming is None or self._warming.done():
                self._warming = asyncio.get_running_loop().create_task(self._sweeper.warm(), name=f"{self.name} warm")
            return
        self.wake_after(self._setup.publish_ns, "publish")
        self._said = 0
        self._state_brake()
        self._publish()

    def _look(self) -> None:
        missing = self._core.missing
        sweep = self._core.look(self._signs())
        if self._core.missing != missing:
            self._state_brake()
        if self._core.ended != self._ended:
            self._ended = self._core.ended
            # Its orders are gone: what the desk believes of them is of the time before.
            cause = "the heartbeat is back"
            self.tell(f"gateway.{self._venue}", ReconcileWanted(venue=self._venue, cause=cause))
            self._event("info", f"{cause}; the venue is reconciled anew")
        if sweep is not None:
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep(sweep), name=f"{self.name} sweep")

    def _signs(self) -> Signs:
        beats = dict.fromkeys(self._setup.cells, 0)
        for beat in self._hearts.read():
            if beat.name in beats:
                beats[beat.name] = beat.mono_ns
        lease = self._permit.lease()
        modes = self._permit.modes()
        held = frozenset(scope for scope, level in modes.items() if level >= Level.HOLD and scope in self._of_venue)
        return Signs(
            now_ns=self.mono_ns(),
            beats=beats,
            permit_ns=0 if lease is None else lease.expires_mono_ns,
            held=held,
        )

    async def _sweep(self, sweep: Sweep) -> None:
        whole = not sweep.scopes.isdisjoint({GLOBAL, f"venue:{self._venue}"})
        some = frozenset(scope.removeprefix("symbol:") for scope in sweep.scopes)
        try:
            swept = await self._sweeper.sweep(None if whole else some, sweep.cause[:100])
        except Exception as error:  # noqa: BLE001 - what rests then is not known, which is what is said
            swept = Swept(trouble=f"internal: {error!r}"[:200])
        self._inject(self.name, SweepDone(swept=swept))

    def _state_brake(self) -> None:
        missing = self._core.missing
        brakes: tuple[BrakeSet, ...] = ()
        if missing:
            scope = f"venue:{self._venue}"
            brakes = (
                BrakeSet(
                    code=HEARTBEAT, scope=scope, level=int(Level.HOLD), cause=missing, release="auto", owner=self.name
                ),
            )
        self.tell(self._setup.governor, BrakesStated(owner=self.name, brakes=brakes))

    def _publish(self) -> None:
        core, labels = self._core, {"venue": self._venue}
        series: list[list[object]] = [
            ["auto_cancel_on_hb_total", "counter", labels, core.trips],
            ["auto_cancel_orders_total", "counter", labels, core.canceled],
            ["auto_cancel_late_total", "counter", labels, core.late],
            ["auto_cancel_failed_total", "counter", labels, self.failed],
            ["auto_cancel_ms", "gauge", labels, round(self._cleared_ms, 1)],
            ["heartbeat_missing", "gauge", labels, int(bool(core.missing))],
        ]
        body: dict[str, object] = {"series": series}
        key = f"guard.{self._venue}"
        self.tell(self._setup.ops, Published(topic=Topic.METRICS, key=key, body=body, ts_ns=self.now_ns()))

    def _event(self, level: str, text: str) -> None:
        """What operators should read, at most five a second."""
        self._said += 1
        if self._said > _EVENTS_A_SECOND:
            return
        now = self.now_ns()
        told = f"{self._venue}: {text}"[:300]
        body: dict[str, object] = {"level": level, "code": AUTO_CANCEL, "text": told, "ts_ns": now, "cell": "ops"}
        key = f"{self.name}:{now}:{self._said}"
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=key, body=body, ts_ns=now))

    def stop(self) -> None:
        """Let go of the venue; what rests then is the desk's, or the venue's own timer's."""
        for task in (self._sweeping, self._warming):
            if task is not None:
                task.cancel()
        self._closing = asyncio.get_running_loop().create_task(self._sweeper.close(), name=f"{self.name} close")
