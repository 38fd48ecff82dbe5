"""The protective exits' actor: between the strategies that asked for protection and the arbiter.

Owns no decision: `trading.protection.core` decides. Strategies without protection never meet it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from actors.messages import (
    ActorReady,
    AppendRows,
    AskEpoch,
    AskOpenOrders,
    BrakeCleared,
    BrakeSet,
    Epoch,
    JournalHistory,
    OpenOrders,
    ReadJournal,
    RowsCommitted,
)
from actors.shell import Shell
from trading.brakes import Level, Release
from trading.instruments import Instrument
from trading.market.events import BookTop, MarkPrice, Trade
from trading.operators import Published, Topic
from trading.orders.journal_rows import event_id
from trading.orders.messages import (
    Intent,
    InternalCross,
    OrderDenied,
    OrderFilled,
    OrderUpdated,
    QuoteIntent,
    TargetIntent,
)
from trading.protection.core import Protection
from trading.protection.effects import Effect, Say, Stuck, Told, WriteRows
from trading.protection.held import CancelExit, ExitNotHeld, HeldEffect, PlaceExit, VenueExits
from trading.protection.leg import ExitStatus
from trading.protection.policy import ExitPolicy

STUCK = "PROTECTIVE_EXIT_STUCK"
NOT_HELD = "PROTECTIVE_EXIT_NOT_HELD"


_PRICES = frozenset({BookTop, MarkPrice, Trade})


class ProtectionSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What the exits are built from: ``policies`` by strategy. ``ops`` None: nobody looks (virtual time).

    ``early_max``: how many facts wait for the journal's history before it is read again. ``orders``: who is asked to
    have exits held by the venues too, None where the desk alone watches.
    """

    instruments: dict[str, Instrument]
    policies: dict[str, ExitPolicy]
    publish_ns: int = 1_000_000_000
    early_max: int = 4_096
    journal: str = "journal"
    governor: str = "governor"
    arbiter: str = "arbiter"
    orders: str | None = None
    ops: str | None = "ops"
    cell: str = "desk"


class ProtectionActor(Shell):
    """Passes nothing on until it knows from the journal what is held and how it is to be closed."""

    def start(self, setup: ProtectionSetup) -> None:
        """Ask for the epoch and the history."""
        self._setup = setup
        self._core: Protection | None = None
        self._held: VenueExits | None = None
        self._epoch: int | None = None
        self._history: Any = None
        self._early: list[OrderFilled | InternalCross] = []
        self._read_again = False
        self._wanted: dict[tuple[type[Any], str, str], Intent] = {}
        self._in_history: set[tuple[str, str]] = set()
        self._armed_ns: int | None = None
        self.tell(setup.governor, AskEpoch(reply_to=self.name))
        self.tell(setup.journal, ReadJournal(reply_to=self.name))

    @property
    def core(self) -> Protection | None:
        """For the replay's report."""
        return self._core

    def on(self, msg: Any) -> None:
        """Feed the core; carry out what it says."""
        kind = type(msg)
        core = self._core
        if core is None:
            self._while_waking(msg, kind)
            return
        now = self.now_ns()
        if kind is BookTop:
            self._perform(core.on_top(msg, now))
        elif kind is TargetIntent or kind is QuoteIntent:
            self._perform(core.on_intent(msg, now))
        elif kind is Trade:
            self._perform(core.on_trade(msg, now))
        elif kind is MarkPrice:
            self._perform(core.on_mark(msg, now))
        elif kind is OrderFilled or kind is InternalCross:
            self._fact(core, msg, now)
        elif kind is RowsCommitted:
            for commit_id in msg.commit_ids:
                self._perform(core.on_committed(commit_id, now))
        elif kind is OrderUpdated or kind is OrderDenied or kind is OpenOrders:
            self._order(core, msg, now)
        elif kind is not JournalHistory and kind is not Epoch:
            self.unknown(msg)
        if kind not in _PRICES:
            self._hold(core, now)
        self._arm(core, now)

    def _order(self, core: Protection, msg: OrderUpdated | OrderDenied | OpenOrders, now: int) -> None:
        """A word on exits that venues hold."""
        held = self._held
        if held is None:
            return
        match msg:
            case OpenOrders():
                held.on_open_orders(msg.orders)
            case OrderDenied():
                self._perform_held(held.on_denied(msg, now), now)
            case OrderUpdated():
                fired = held.on_order(msg, now)
                if fired is not None:
                    self._perform(core.on_venue_exit(*fired.key, fired.reason, fired.cl_ord_id, now))

    def _hold(self, core: Protection, now: int) -> None:
        """Each position has its exits at the venue, where that is wanted."""
        if self._held is not None:
            self._perform_held(self._held.plan(core.legs(), now), now)

    def _perform_held(self, effects: Iterable[HeldEffect], now: int) -> None:
        setup = self._setup
        for effect in effects:
            match effect:
                case PlaceExit():
                    self.tell(setup.governor, effect.order)
                case CancelExit():
                    assert setup.orders is not None
                    self.tell(setup.orders, effect.cancel)
                case ExitNotHeld():
                    told = Told(
                        code=NOT_HELD,
                        level="warning",
                        instrument_id=effect.instrument_id,
                        text=effect.text,
                        ts_ns=now,
                    )
                    self._tell_operators(told)

    def _while_waking(self, msg: Any, kind: type[Any]) -> None:
        """Facts are kept in order, of what strategies want the newest; prices come again."""
        if kind is OrderFilled or kind is InternalCross:
            if len(self._early) < self._setup.early_max:
                self._early.append(msg)
            else:
                # Whatever is told is in the journal already: let it go, and read that again.
                self._early.clear()
                self._read_again = True
        elif kind is TargetIntent or kind is QuoteIntent:
            self._wanted[kind, msg.strategy_id, msg.instrument_id] = msg
        elif kind is Epoch:
            self._epoch = msg.epoch
        elif kind is JournalHistory:
            self._history = msg.rows
            if self._read_again:
                self._read_again, self._history = False, None
                self._early.clear()
                self.tell(self._setup.journal, ReadJournal(reply_to=self.name))
        elif kind is not OrderUpdated and kind is not OrderDenied and kind not in _PRICES:
            # Open orders are asked for when the history is known.
            self.unknown(msg)
        if self._epoch is not None and self._history is not None:
            self._wake_up(self._epoch, self._history)

    def _wake_up(self, epoch: int, rows: Any) -> None:
        setup, now = self._setup, self.now_ns()
        self._core = core = Protection(setup.instruments, setup.policies, epoch)
        core.restore(rows)
        if setup.orders is not None:
            self._held = VenueExits(setup.instruments, setup.policies, epoch)
            self._held.restore(rows)
            self.tell(setup.orders, AskOpenOrders(reply_to=self.name))
        # A row is read as soon as it is durable, and told a moment later: at the seam a fact may come from both sides.
        self._in_history = {(r.venue, r.exec_id) for r in rows[-setup.early_max :] if r.exec_id is not None}
        self._history = None
        self._perform(core.begin(now))
        for fact in self._early:
            self._fact(core, fact, now)
        self._early.clear()
        for intent in self._wanted.values():
            self._perform(core.on_intent(intent, now))
        self._wanted.clear()
        if self._supervisor is not None:
            self.tell(self._supervisor, ActorReady(name=self.name))
        if setup.ops is not None:
            self.wake_after(setup.publish_ns, "publish")
        self._arm(core, now)

    def _fact(self, core: Protection, msg: OrderFilled | InternalCross, now: int) -> None:
        if type(msg) is OrderFilled:
            if (msg.venue, event_id(msg)) not in self._in_history:
                fired = None if self._held is None else self._held.fired_by(msg.cl_ord_id)
                if fired is not None:
                    self._perform(core.on_venue_exit(*fired.key, fired.reason, fired.cl_ord_id, now))
                self._perform(core.on_fill(msg, now))
        elif type(msg) is InternalCross:
            venue = (
                self._setup.instruments[msg.instrument_id].venue if msg.instrument_id in self._setup.instruments else ""
            )
            if (venue, event_id(msg)) not in self._in_history:
                self._perform(core.on_cross(msg, now))

    def _arm(self, core: Protection, now: int) -> None:
        due = core.next_due_ns()
        later = None if self._held is None else self._held.next_due_ns()
        if later is not None:
            due = later if due is None else min(due, later)
        if due is not None and (self._armed_ns is None or due < self._armed_ns):
            self._armed_ns = due
            self.wake_after(max(due - now, 0), "timer")

    def on_tick(self, tag: str) -> None:
        """Say exits again, end pauses; show the legs."""
        core, now = self._core, self.now_ns()
        if core is None:
            return
        if tag == "timer":
            self._armed_ns = None
            self._perform(core.on_timer(now))
            self._hold(core, now)
            if self._held is not None:
                self._held.passed(now)
            self._arm(core, now)
        elif self._setup.ops is not None:
            self.wake_after(self._setup.publish_ns, "publish")
            self._metrics(core, self._setup.ops, now)

    def _metrics(self, core: Protection, ops: str, now: int) -> None:
        counts = dict.fromkeys(ExitStatus, 0)
        for leg in core.legs():
            counts[leg.status] += 1
        series: list[list[object]] = [
            ["protective_exits_legs", "gauge", {"status": status.value}, n] for status, n in counts.items()
        ]
        series.append(["protective_exits_total", "counter", {}, core.exits])
        if self._held is not None:
            counts_there = self._held.counts()
            series += [["protective_exits_at_venue", "gauge", {"kind": r.value}, n] for r, n in counts_there.items()]
        key = f"{self._setup.cell}.protection"
        self.tell(ops, Published(topic=Topic.METRICS, key=key, body={"series": series}, ts_ns=now))

    def _perform(self, effects: Iterable[Effect]) -> None:
        setup = self._setup
        for effect in effects:
            match effect:
                case WriteRows():
                    self.tell(setup.journal, AppendRows(effect.commit_id, effect.rows, self.name))
                case Say():
                    self.tell(setup.arbiter, effect.intent)
                case Told():
                    self._tell_operators(effect)
                case Stuck():
                    self._brake(effect)

    def _brake(self, stuck: Stuck) -> None:
        """No new risk on an instrument whose exit is not done; what reduces still passes."""
        scope = f"symbol:{stuck.instrument_id}"
        if not stuck.on:
            self.tell(self._setup.governor, BrakeCleared(code=STUCK, scope=scope))
            return
        brake = BrakeSet(
            code=STUCK,
            scope=scope,
            level=int(Level.PAUSE),
            cause=stuck.text,
            release=Release.AUTO.value,
            owner=self.name,
        )
        self.tell(self._setup.governor, brake)

    def _tell_operators(self, told: Told) -> None:
        if self._setup.ops is None:
            return
        body: dict[str, object] = {
            "level": told.level,
            "code": told.code,
            "text": told.text,
            "ts_ns": told.ts_ns,
            "cell": self._setup.cell,
        }
        key = f"protection:{told.ts_ns}:{told.code}:{told.instrument_id}"
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=key, body=body, ts_ns=told.ts_ns))
