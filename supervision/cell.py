"""A cell: one process that hosts a LoopBase with a subtree of actors, its links and its heartbeat.

The process is an outer Thespian actor; its second thread runs the loop. A cell whose root is gone fences itself:
it takes the permit along and exits. It never outlives its supervisor.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Hashable
from typing import Any

from thespian.actors import ActorAddress, ActorExitRequest

from actors.messages import (
    BrakeSet,
    DeskDrained,
    DrainDesk,
    DrillFault,
    Flood,
    LinkMessage,
    LinkUp,
    StartActor,
    VenueDown,
    VenueUp,
)
from actors.shell import Shell
from adapters.clock import SystemClock
from adapters.heartbeat_board import HeartbeatBoard
from adapters.links import LinkCodec, LinkOut, LinkServer
from adapters.permit_board import BoardBusyError, PermitWriter
from supervision.bases.loop import LoopBase
from supervision.liveness import HangWatch, Patience
from supervision.plan import DRILLS_VARIABLE, CellPlan
from supervision.status import Status, StatusSetup
from supervision.wiring import open_doors, overflow_policy, plan_cell
from trading.market.events import BookTop, MarkPrice
from trading.operators import Published, Topic
from trading.orders.messages import (
    AccountStateRequest,
    DenyReason,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderDenied,
    OrderStatusRequest,
)

_PERISHABLE = frozenset(
    {NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest, OrderStatusRequest, AccountStateRequest}
)
_DRILLS = frozenset({DrillFault, Flood})
_ALL_DELIVERED = frozenset({Topic.ORDER, Topic.FILL, Topic.EVENT})
_GC_YOUNG = 50_000
EXIT_ORPHANED = 70
EXIT_LOOP_DIED = 71


def conflate(msg: Any) -> Hashable | None:
    """The link's conflation key: the newest top and mark of an instrument, the newest published fact of a key.

    That a venue can be traded is said for as long as it is so: nothing is lost with one that is too many.
    """
    kind = type(msg)
    if kind is BookTop:
        return ("top", msg.instrument_id)
    if kind is MarkPrice:
        return ("mark", msg.instrument_id)
    if kind is Published and msg.topic not in _ALL_DELIVERED:
        return (msg.topic, msg.key)
    if kind is VenueUp:
        return ("up", msg.venue)
    return None


class Drain(Shell):
    """Carries the drain's answer out of the loop's thread."""

    def start(self, setup: Callable[[int], None]) -> None:
        """Remember whom to tell."""
        self._done = setup

    def on(self, msg: Any) -> None:
        """The desk has drained."""
        if type(msg) is DeskDrained:
            self._done(msg.open_orders)
        else:
            self.unknown(msg)


class CellRuntime:
    """The loop's side of a cell. `start` in the process's main thread, `stop` from there too."""

    def __init__(self, plan: CellPlan) -> None:
        self.plan = plan
        self._clock = SystemClock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._base: LoopBase | None = None
        self._links: dict[str, LinkOut] = {}
        self._server: LinkServer | None = None
        self._stopping = False
        self._stop_event: asyncio.Event | None = None
        self.drained: int | None = None
        self._drills = os.environ.get(DRILLS_VARIABLE) == "1"
        self.refused_drills = 0

    def start(self) -> None:
        """Start the loop's thread: after the fork, never before."""
        self._thread = threading.Thread(target=self._main, name=f"cell {self.plan.cell}", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        try:
            loop = new_loop()
            self._loop = loop
            asyncio.set_event_loop(loop)
            loop.run_until_complete(self._run())
        except BaseException:  # noqa: BLE001 - whatever it was, a cell without a loop must not live
            traceback.print_exc(file=sys.stderr)
        finally:
            if not self._stopping:
                os._exit(EXIT_LOOP_DIED)

    async def _run(self) -> None:
        plan = self.plan
        doors = open_doors(plan)
        loop = asyncio.get_running_loop()
        self._stop_event = asyncio.Event()
        board = HeartbeatBoard(plan.paths.heartbeat)
        self._slot = board.claim(plan.cell, os.getpid())
        self._board = board
        base = LoopBase.standalone(name=plan.cell, clock=self._clock, overflow=overflow_policy())
        self._base = base
        base.attach(loop)
        base.set_router(self._route)
        base.set_observer(on_overflow=self._overflow, on_root_exit=self._top_gone, on_failure=self._unborn)
        codec = LinkCodec(LinkMessage)
        for peer in plan.peers:
            link = LinkOut(
                plan.paths.link(peer),
                codec,
                conflate,
                on_state=lambda up, peer=peer: self._link_state(peer, up),  # type: ignore[misc]
                on_overflow=lambda n, peer=peer: self._link_overflow(peer, n),  # type: ignore[misc]
                perishable=lambda msg: type(msg) in _PERISHABLE,
                on_undelivered=self._undelivered,
            )
            self._links[peer] = link
        self._server = LinkServer(plan.paths.link(plan.cell), codec, self._deliver)
        await self._server.start()
        status = base.create_root(Status, {"propdesk.name": f"status.{plan.cell}"})
        base.inject(
            status,
            StartActor(
                name=f"status.{plan.cell}",
                supervisor=None,
                setup=StatusSetup(cell=plan.cell, extra=self._link_series),
            ),
        )
        drain = base.create_root(Drain, {"propdesk.name": f"drain.{plan.cell}"})
        base.inject(drain, StartActor(name=f"drain.{plan.cell}", supervisor=None, setup=self._set_drained))
        self._tops: list[ActorAddress] = []
        for name, actor_class, setup in plan_cell(plan, doors):
            address = base.create_root(actor_class, {"propdesk.name": name})
            base.inject(address, StartActor(name=name, supervisor=None, setup=setup))
            self._tops.append(address)
        for link in self._links.values():
            link.start(loop)
        calm_gc()
        heart = loop.create_task(self._heart(), name="heartbeat")
        await self._stop_event.wait()
        heart.cancel()
        for address in reversed(self._tops):
            base.inject(address, ActorExitRequest())
        await base.stop(1.5)
        for link in self._links.values():
            await link.close()
        await self._server.close()

    async def _heart(self) -> None:
        """Beat; and leave when the root no longer does."""
        plan = self.plan
        interval = plan.heartbeat_ms / 1_000
        patience = Patience(plan.heartbeat_ms * 1_000_000)
        watch = HangWatch(plan.orphan_ms * 1_000_000, patience)
        started = self._clock.mono_ns()
        while True:
            now = self._clock.mono_ns()
            self._slot.beat(now)
            patience.woke(now)
            root = next((b for b in self._board.read() if b.name == "root"), None)
            last = started if root is None or root.pid != plan.root_pid else root.mono_ns
            silent_ns = watch.silent(plan.root_pid, last, now)
            if silent_ns is not None:
                self.fence(f"root {plan.root_pid} has been silent for {silent_ns / 1e6:.0f} ms")
            await asyncio.sleep(interval)

    def _unborn(self, address: ActorAddress, msg: object, error: BaseException) -> None:
        """A constructor raised; what raises later tells its supervisor."""
        kind = "its constructor" if msg is None else type(msg).__name__
        print(f"cell {self.plan.cell}: {address}: {error!r} in {kind}", file=sys.stderr, flush=True)

    def _top_gone(self, address: ActorAddress) -> None:
        """A supervisor that gave up ends its cell: the root decides what follows."""
        if not self._stopping:
            self.fence(f"{address} gave up")

    def fence(self, why: str) -> None:
        """Take the permit along (where this cell is the desk) and end the process at once."""
        print(f"cell {self.plan.cell} (pid {os.getpid()}) leaves: {why}", file=sys.stderr, flush=True)
        try:
            if "desk" in self.plan.roles:
                PermitWriter(self.plan.paths.board, now_wall_ns=self._clock.wall_ns()).revoke()
        except (OSError, BoardBusyError) as error:
            print(f"the permit could not be revoked and will expire: {error}", file=sys.stderr)
        finally:
            os._exit(EXIT_ORPHANED)

    def _deliver(self, to: str, msg: object) -> None:
        """What came over a link; drills' messages only where drills are allowed."""
        assert self._base is not None
        if type(msg) in _DRILLS and not self._drills:
            self.refused_drills += 1
            return
        self._base.inject(to, msg)

    def _route(self, to: str, sender: ActorAddress, msg: object) -> bool:
        cell = self.plan.cell_of(to)
        link = self._links.get(cell) if cell is not None else None
        if link is None:
            return False
        link.offer(to, msg)
        return True

    def _link_state(self, peer: str, up: bool) -> None:
        assert self._base is not None
        roles = self.plan.placement.get(peer, ())
        if "desk" in self.plan.roles:
            for role in roles:
                if role.startswith("venue:") and not up:
                    self._base.inject("governor", VenueDown(venue=role.removeprefix("venue:")))
        if up and "desk" in roles:
            for role in self.plan.roles:
                if role.startswith("venue:"):
                    self._base.inject(f"connector.{role.removeprefix('venue:')}", LinkUp(cell=peer))

    def _undelivered(self, msg: Any) -> None:
        """A command that never left: an order is denied here, everything else is asked again by the order core."""
        if type(msg) is NewOrderSingle or type(msg) is OrderCancelReplaceRequest:
            assert self._base is not None
            denied = OrderDenied(
                cl_ord_id=msg.cl_ord_id,
                venue=msg.venue,
                instrument_id=msg.instrument_id,
                reason=DenyReason.VENUE_AWAY,
                text="the venue's cell is away; the order did not leave the desk",
                legs=(),
                cause=msg.cause,
                ts_init_ns=self._clock.wall_ns(),
            )
            self._base.inject("orders", denied)

    def _link_overflow(self, peer: str, refused: int) -> None:
        if refused == 1:
            self._hold("LINK_OVERFLOW", f"the link {self.plan.cell} -> {peer} is full: messages are refused")

    def _overflow(self, address: ActorAddress, message_class: object) -> None:
        self._hold("MAILBOX_OVERFLOW", f"the mailbox of {address} is over its hard limit ({message_class})")

    def _hold(self, code: str, cause: str) -> None:
        assert self._base is not None
        brake = BrakeSet(code=code, scope="global", level=3, cause=cause, release="operator")
        if not self._route("governor", ActorAddress("cell"), brake):
            self._base.inject("governor", brake)

    def _link_series(self) -> list[list[object]]:
        series: list[list[object]] = []
        for peer, link in self._links.items():
            labels = {"peer": peer}
            stats = link.stats
            series.append(["link_sent_total", "counter", labels, stats.sent])
            series.append(["link_conflated_total", "counter", labels, stats.conflated])
            series.append(["link_dropped_total", "counter", labels, stats.dropped])
            series.append(["link_refused_total", "counter", labels, stats.refused])
            series.append(["link_up", "gauge", labels, int(link.connected)])
        if self._server is not None:
            series.append(["link_received_total", "counter", {}, self._server.received])
            series.append(["link_bad_frames_total", "counter", {}, self._server.bad_frames])
        return series

    # From the main thread.

    def drain(self) -> None:
        """Ask the desk to close intake and cancel everything; `drained` tells when. Asked again, it changes nothing."""
        if self._base is None:
            return  # its loop is not up yet
        self._base.inject_threadsafe(
            "governor",
            BrakeSet(code="SHUTDOWN", scope="global", level=3, cause="the desk is being stopped", release="auto"),
        )
        self._base.inject_threadsafe("orders", DrainDesk(reply_to=f"drain.{self.plan.cell}"))

    def _set_drained(self, open_orders: int) -> None:
        self.drained = open_orders

    def stop(self) -> None:
        """Stop actors in order, flush, end the thread."""
        self._stopping = True
        loop, event = self._loop, self._stop_event
        if loop is not None and event is not None:
            loop.call_soon_threadsafe(event.set)
        if self._thread is not None:
            self._thread.join(3.0)


def calm_gc() -> None:
    """Take what is alive after the start out of collection, it stays alive; collect young garbage rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_YOUNG, 20, 50)


def new_loop() -> asyncio.AbstractEventLoop:
    """The fastest event loop of this platform."""
    try:
        import uvloop  # noqa: PLC0415 - not there on Windows
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
