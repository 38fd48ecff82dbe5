"""The order core's actor: persists, then speaks. Also starts and repeats reconciliation with every venue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from actors.messages import (
    AccountWanted,
    ActorReady,
    AppendRows,
    AskEpoch,
    AskOpenOrders,
    DeskDrained,
    DrainDesk,
    Epoch,
    JournalHistory,
    ModesChanged,
    OpenOrders,
    OrderSent,
    ReadJournal,
    RowsCommitted,
    SaveCheckpoint,
    VenueReconciled,
    VenueUp,
)
from actors.shell import Shell
from trading.brakes import Level
from trading.instruments import Instrument
from trading.operators import Published, Topic
from trading.orders.core import Effect, Emit, Journal, OrderCore, OrderCoreConfig, Reconciled, SendToVenue
from trading.orders.inflight import inflight
from trading.orders.messages import (
    AccountState,
    ApprovedOrder,
    ExecutionReport,
    FundingPayment,
    InternalCross,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderDenied,
    OrderFilled,
    OrderStatusReport,
    OrderUpdated,
    ProposedCancel,
    VenueCommand,
)
from trading.orders.order import Order
from trading.orders.triggers import WAITING
from trading.recon.difference import AccountCompared
from trading.telemetry.stages import StageTimes, decision_of

_VENUE_EVENTS = frozenset({ExecutionReport, OrderCancelReject, OrderStatusReport, FundingPayment, AccountState})
_ENTRIES = frozenset({NewOrderSingle, OrderCancelReplaceRequest})
_DRAIN_TICK_NS = 50_000_000
_LATE_FACTS_MAX = 256
_SAME_MOMENT_NS = 1_000_000
CHECKPOINT = "orders.1"
"""The name of the kept states, with their version: another's are left alone."""


class _Behind(msgspec.Struct, frozen=True):
    """To ourselves: say what waits behind an order that was handed to its gateway."""


_BEHIND = _Behind()


class OrdersSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What the order core is built from. ``drain_ns``: how long a shutdown waits for cancels.

    ``protection``: who is told of executions to keep exits by, None where no strategy asked for it; with ``stops`` of
    orders that wait for a trigger too. ``checkpoint_ns``:
    how often the state is kept beside the journal, so that a start reads its tail only.
    """

    instruments: dict[str, Instrument]
    venues: tuple[str, ...]
    config: OrderCoreConfig
    timer_ns: int = 50_000_000
    drain_ns: int = 5_000_000_000
    publish_ns: int = 1_000_000_000
    checkpoint_ns: int = 60_000_000_000
    journal: str = "journal"
    governor: str = "governor"
    arbiter: str = "arbiter"
    portfolio: str = "portfolio"
    protection: str | None = None
    stops: bool = False
    ops: str = "ops"


class Orders(Shell):
    """Silent until it has the epoch and the journal's history; then every venue is reconciled before it trades."""

    # What every order looks at, see `ConnectorBase`.
    __slots__ = ("_behind", "_core", "_drain_to", "_durable_seq", "_gateways", "_setup", "_utc_ns", "orders")

    def start(self, setup: OrdersSetup) -> None:
        """Ask for the epoch and the history."""
        self._setup = setup
        self._core: OrderCore | None = None
        self._epoch: int | None = None
        self._history: Any = None
        self._up: dict[str, int] = {}
        self._askers: dict[str, None] = {}
        self._armed_ns: int | None = None
        self._drain_to: str | None = None
        self._drain_deadline = 0
        self._stages = StageTimes()
        self._held: dict[str, int] = {}
        self._gateways = {venue: f"gateway.{venue}" for venue in setup.venues}
        self._late_facts: list[OrderUpdated] = []
        # What is said once an order is out; of an order alone, with the time of its release, nothing is made before.
        self._behind: list[Effect | tuple[Order, int]] = []
        # Bound once: to find a method of an actor costs more than to call it.
        self._utc_ns = self.now_ns
        self._durable_seq = self._kept_seq = 0
        self._keep_soon = False
        self.orders = 0
        self.fills = 0
        self.unapplied = 0
        self.checkpoints = 0
        self.tell(setup.governor, AskEpoch(reply_to=self.name))
        self.tell(setup.journal, ReadJournal(reply_to=self.name, checkpoint=CHECKPOINT))

    @property
    def core(self) -> OrderCore | None:
        """For the replay's report."""
        return self._core

    def on(self, msg: Any) -> None:
        """Feed the core; carry out what it says."""
        kind = type(msg)
        core = self._core
        if core is None:
            self._while_waking(msg)
            return
        now = self._utc_ns()
        if self._behind:
            self._catch_up()
        if kind is ApprovedOrder:
            # Its deadlines begin when its row is durable.
            if self._drain_to is None:
                self.orders += 1
                written = core.admit(msg, now)
                if written is not None:
                    self.tell(self._setup.journal, AppendRows(written.commit_id, written.rows, self.name))
                else:
                    self._perform(core.on_approved(msg, now))
            return
        if kind is RowsCommitted:
            commit_ids = msg.commit_ids
            if len(commit_ids) == 1:
                alone = core.release_alone(commit_ids[0], now)
                if alone is not None:
                    order, command = alone
                    tell = self.tell
                    tell(self._gateways.get(command.venue) or f"gateway.{command.venue}", command)
                    self._behind.append((order, now))
                    self._durable_seq = msg.last_seq
                    tell(self.name, _BEHIND)  # as below
                    return
            for commit_id in commit_ids:
                self._release(core.on_committed(commit_id, now))
            self._durable_seq = msg.last_seq
            if self._behind:
                # A message to ourselves comes after the gateway's turn: deadlines and news can wait for it.
                self.tell(self.name, _BEHIND)
                return
            if self._keep_soon:
                self._keep(core, now)
        elif kind is _Behind:
            if self._keep_soon:
                self._keep(core, now)
        elif kind in _VENUE_EVENTS:
            if kind is AccountState:
                self.tell(self._setup.portfolio, msg)
            self._perform(core.on_venue(msg, now))
        elif kind is OrderSent:
            self._tell_late_facts()
            self._sent(core, msg)
        elif kind is ProposedCancel:
            self._perform(core.on_cancel(msg, now))
        else:
            self._on_rare(core, msg, now)
        self._arm(core, now)

    def _on_rare(self, core: OrderCore, msg: Any, now: int) -> None:
        """What comes less often than orders do."""
        match msg:
            case InternalCross():
                self._perform(core.on_cross(msg, now))
            case OrderDenied():
                self._perform(core.on_gateway_denied(msg, now))
            case VenueUp():
                self._venue_up(core, msg)
            case ModesChanged():
                self._modes(core, msg.modes)
            case AskOpenOrders():
                self._answer(core, msg.reply_to)
            case AccountWanted():
                self._perform(
                    core.look_back(msg.venue, msg.cause, now, since_ns=msg.since_ns, since_exec_seq=msg.since_exec_seq)
                )
            case DrainDesk():
                if self._intake_closed(msg):
                    self._drain(core)
            case JournalHistory() | Epoch():
                pass
            case _:
                self.unknown(msg)

    def _arm(self, core: OrderCore, now: int) -> None:
        """Wake when the core next has something to look at; without open orders that is an audit, seconds away."""
        soon = now + self._setup.timer_ns
        if self._armed_ns is not None and self._armed_ns <= soon:
            return
        due = core.next_due_ns(soon)
        if due is not None and (self._armed_ns is None or due < self._armed_ns):
            self._armed_ns = due if due > now else soon
            self.wake_after(self._armed_ns - now, "timer")

    def _while_waking(self, msg: Any) -> None:
        match msg:
            case Epoch():
                self._epoch = msg.epoch
            case JournalHistory():
                self._history = msg
            case VenueUp():
                self._up[msg.venue] = msg.incarnation
            case AskOpenOrders():
                self._askers[msg.reply_to] = None
            case DrainDesk():
                # What is open only the history tells. Should it never come, the root's own limit ends the wait.
                self._intake_closed(msg)
            case _:
                self.unapplied += 1
        if self._epoch is None or self._history is None:
            return
        core = OrderCore(self._setup.instruments, self._epoch, self._setup.config)
        try:
            core.restore(self._history.rows, self._history.checkpoint)
        except msgspec.DecodeError as error:
            if self._history.checkpoint is None:
                raise
            self._history = None
            self._doubt_checkpoint(error)
            return
        self._core, self._history = core, None
        self.wake_after(self._setup.publish_ns, "publish")
        self.wake_after(self._setup.checkpoint_ns, "checkpoint")
        if self._supervisor is not None:
            self.tell(self._supervisor, ActorReady(name=self.name))
        for asker in self._askers:
            self._answer(core, asker)
        for venue in self._setup.venues:
            self._perform(core.begin_reconcile(venue, self.now_ns(), self._up.get(venue, 0)))
        if self._drain_to is not None:
            self._drain(core)
        self._arm(core, self.now_ns())

    def _doubt_checkpoint(self, error: Exception) -> None:
        """What was kept is not of this version: the journal holds it all."""
        now = self.now_ns()
        text = f"a checkpoint cannot be read, the whole journal is: {error}"
        body: dict[str, object] = {"level": "warning", "code": "CHECKPOINT_UNREADABLE", "text": text, "ts_ns": now}
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=f"orders:{now}:checkpoint", body=body, ts_ns=now))
        self.tell(self._setup.journal, ReadJournal(reply_to=self.name))

    def _keep(self, core: OrderCore, now: int) -> None:
        """Keep the state where it is one of durable rows only; while some are on their way, after those."""
        self._keep_soon = core.waiting_commits() > 0
        if self._keep_soon or self._durable_seq == self._kept_seq:
            return
        blob = core.checkpoint(self._durable_seq)
        assert blob is not None
        self._kept_seq = self._durable_seq
        self.checkpoints += 1
        self.tell(self._setup.journal, SaveCheckpoint(CHECKPOINT, self._durable_seq, blob, now))

    def _answer(self, core: OrderCore, asker: str) -> None:
        now = self.now_ns()
        self.tell(asker, OpenOrders(orders=tuple(order.updated(now, "restored") for order in core.open_orders())))

    def _sent(self, core: OrderCore, msg: OrderSent) -> None:
        self._stages.add("permit", msg.permit_ns)
        self._stages.add("encode", msg.encode_ns)
        sent = core.order(msg.venue, msg.cl_ord_id)
        if sent is not None and sent.is_open and sent.story:
            approved, approved_ns = sent.approved, sent.story[0][0]
            order = approved.order
            decided_ns, answers_book = decision_of(order)
            self._stages.add("book_age", order.ts_init_ns - order.book_ts_recv_ns)
            if answers_book:
                self._stages.add("decide", decided_ns - order.book_ts_recv_ns)
            self._stages.add("governor", approved.ts_init_ns - order.ts_init_ns)
            self._stages.add("commit", msg.ts_sent_ns - msg.encode_ns - msg.permit_ns - approved_ns)
            self._stages.add("to_wire", msg.ts_sent_ns - order.ts_init_ns)
            self._stages.add("total", msg.ts_sent_ns - order.book_ts_recv_ns)

    def _venue_up(self, core: OrderCore, msg: VenueUp) -> None:
        self._up[msg.venue] = msg.incarnation
        self._perform(core.begin_reconcile(msg.venue, self.now_ns(), msg.incarnation))

    def _modes(self, core: OrderCore, modes: Mapping[str, int]) -> None:
        """Cancel what rests in a scope when the scope enters HOLD: cancels are always allowed.

        A stop that the venue holds, bound to closing, stays until KILL: while the desk cannot vouch for itself, that
        stop is what protects the position.
        """
        now = self.now_ns()
        for scope, level in modes.items():
            held = self._held.get(scope, 0)
            if (level >= Level.HOLD and held < Level.HOLD) or (level >= Level.KILL and held < Level.KILL):
                self._cancel_scope(core, scope, f"{scope} is in {Level(level).name}", now, guards=level >= Level.KILL)
        self._held = dict(modes)

    def _cancel_scope(self, core: OrderCore, scope: str, reason: str, now: int, *, guards: bool) -> None:
        kind, _, target = scope.partition(":")
        self._perform(
            core.cancel_all(
                now,
                reason=reason,
                venue=target if kind == "venue" else None,
                instrument_id=target if kind == "symbol" else None,
                strategy_id=target if kind == "strategy" else None,
                guards=guards,
            )
        )

    def _intake_closed(self, msg: DrainDesk) -> bool:
        """Whether it was open: a drain is asked for again and again until it is answered."""
        if self._drain_to is not None:
            return False
        self._drain_to = msg.reply_to
        self._drain_deadline = self.mono_ns() + self._setup.drain_ns
        return True

    def _drain(self, core: OrderCore) -> None:
        self._cancel_scope(core, "global", "shutdown", self.now_ns(), guards=False)
        self.wake_after(_DRAIN_TICK_NS, "drain")

    def on_tick(self, tag: str) -> None:
        """Deadlines, audits, the drain, the operators' view."""
        core = self._core
        if core is None:
            return
        now = self.now_ns()
        if self._behind:
            self._catch_up()
        self._tell_late_facts()
        match tag:
            case "timer":
                self._armed_ns = None
                self._perform(core.on_timer(now))
                self._arm(core, now)
            case "drain":
                # A stop that guards a position at its venue stays, as in HOLD.
                open_orders = sum(not order.guards for order in core.open_orders())
                if open_orders == 0 or self.mono_ns() > self._drain_deadline:
                    assert self._drain_to is not None
                    self.tell(self._drain_to, DeskDrained(open_orders=open_orders))
                else:
                    self.wake_after(_DRAIN_TICK_NS, "drain")
            case "checkpoint":
                self.wake_after(self._setup.checkpoint_ns, "checkpoint")
                self._keep(core, now)
            case _:
                self.wake_after(self._setup.publish_ns, "publish")
                self._publish(core, now)

    def _publish(self, core: OrderCore, now: int) -> None:
        ops = self._setup.ops
        stages = self._stages.view()
        self.tell(ops, Published(topic=Topic.LATENCY, key="tick_to_order", body={"stages": stages}, ts_ns=now))
        open_orders = core.open_orders()
        queue = inflight(open_orders, now)
        series: list[list[object]] = [
            ["orders_total", "counter", {}, self.orders],
            ["fills_total", "counter", {}, self.fills],
            ["orders_open", "gauge", {}, len(open_orders)],
            *(["orders_inflight", "gauge", {"state": state.value}, count] for state, count in queue.by_state.items()),
            ["orders_inflight_oldest_seconds", "gauge", {}, round(queue.oldest_ns / 1e9, 3)],
            ["orders_inflight_queries_max", "gauge", {}, queue.queries_max],
            ["orders_unknown", "gauge", {}, len(core.unknown_orders())],
            ["duplicate_suppressed_total", "counter", {}, core.duplicates_suppressed],
            ["order_reports_malformed_total", "counter", {}, core.malformed],
            ["orders_replaced_total", "counter", {"how": "in_place"}, core.amends_in_place],
            ["orders_replaced_total", "counter", {"how": "cancel_and_new"}, core.amends_by_cancel],
            ["orders_canceled_by_twin_total", "counter", {}, core.twins_canceled],
        ]
        self.tell(ops, Published(topic=Topic.METRICS, key="desk.orders", body={"series": series}, ts_ns=now))

    def _release(self, effects: list[Effect]) -> None:
        """What waited for its rows: with an order among it, all that is told of it goes behind the order."""
        for effect in effects:
            if type(effect) is SendToVenue and type(effect.command) in _ENTRIES:
                break
        else:
            self._perform(effects)
            return
        for effect in effects:
            if type(effect) is SendToVenue:
                self._send(effect.command)
            else:
                self._behind.append(effect)

    def _catch_up(self) -> None:
        """Say what had to wait for an order to leave, in the order in which it happened."""
        behind, self._behind = self._behind, []
        said = [Emit(item[0].updated(item[1])) if isinstance(item, tuple) else item for item in behind]
        self._perform(said, late=True)

    def _send(self, command: VenueCommand) -> None:
        if type(command) is NewOrderSingle or type(command) is OrderCancelReplaceRequest:
            now = self.now_ns()
            if now - command.ts_init_ns > _SAME_MOMENT_NS:
                command = msgspec.structs.replace(command, ts_init_ns=now)
        self.tell(self._gateways.get(command.venue) or f"gateway.{command.venue}", command)

    def _perform(self, effects: Iterable[Effect], *, late: bool = False) -> None:
        """Carry out the effects in order. ``late``: an order is on its way out, operators are told of it afterwards."""
        setup = self._setup
        for effect in effects:
            match effect:
                case Journal():
                    self.tell(setup.journal, AppendRows(effect.commit_id, effect.rows, self.name))
                case SendToVenue():
                    self._send(effect.command)
                case Emit():
                    self._emit(effect.message, late=late)
                case Reconciled():
                    self.tell(
                        setup.governor,
                        VenueReconciled(
                            venue=effect.venue,
                            incarnation=effect.incarnation,
                            ok=effect.ok,
                            text=effect.text,
                            instrument_ids=effect.instrument_ids,
                        ),
                    )

    def _tell_late_facts(self) -> None:
        """What operators are told of orders is said when the orders are out, in the order in which it happened."""
        if self._late_facts:
            facts, self._late_facts = self._late_facts, []
            for fact in facts:
                self.tell(self._setup.ops, _order_fact(fact))

    def _emit(self, message: Any, *, late: bool) -> None:
        setup = self._setup
        if not late:
            self._tell_late_facts()
        match message:
            case OrderUpdated():
                self.tell(setup.governor, message)
                self.tell(setup.arbiter, message)
                if setup.stops and setup.protection is not None and message.ord_type in WAITING:
                    self.tell(setup.protection, message)
                if late and len(self._late_facts) < _LATE_FACTS_MAX:
                    self._late_facts.append(message)
                else:
                    self._tell_late_facts()
                    self.tell(setup.ops, _order_fact(message))
            case OrderFilled():
                self.fills += 1
                self.tell(setup.governor, message)
                self.tell(setup.arbiter, message)
                self.tell(setup.portfolio, message)
                if setup.protection is not None:
                    self.tell(setup.protection, message)
                self.tell(setup.ops, _fill_fact(message))
            case OrderDenied():
                self.tell(setup.governor, message)
                self.tell(setup.arbiter, message)
                if setup.stops and setup.protection is not None:
                    self.tell(setup.protection, message)
            case InternalCross():
                self.tell(setup.portfolio, message)
                if setup.protection is not None:
                    self.tell(setup.protection, message)
                self.tell(setup.governor, message)
            case FundingPayment():
                self.tell(setup.portfolio, message)
                self.tell(setup.ops, _funding_fact(message))
            case AccountCompared():
                self.tell(setup.portfolio, message)
            case _:
                self.unknown(message)


def _order_fact(m: OrderUpdated) -> Published:
    body: dict[str, object] = {
        "cl_ord_id": m.cl_ord_id,
        "venue": m.venue,
        "instrument_id": m.instrument_id,
        "side": m.side.value,
        "ord_type": m.ord_type.value,
        "time_in_force": m.time_in_force.value,
        "ord_status": m.ord_status.value,
        "order_qty": str(m.order_qty),
        "price": None if m.price is None else str(m.price),
        "cum_qty": str(m.cum_qty),
        "leaves_qty": str(m.leaves_qty),
        "avg_px": str(m.avg_px),
        "reduce_only": m.reduce_only,
        "strategies": [leg.strategy_id for leg in m.legs],
        "text": m.text,
        "ts_ns": m.ts_init_ns,
    }
    return Published(topic=Topic.ORDER, key=m.cl_ord_id, body=body, ts_ns=m.ts_init_ns)


def _fill_fact(m: OrderFilled) -> Published:
    body: dict[str, object] = {
        "cl_ord_id": m.cl_ord_id,
        "venue": m.venue,
        "instrument_id": m.instrument_id,
        "exec_id": m.exec_id,
        "side": m.side.value,
        "last_qty": str(m.last_qty),
        "last_px": str(m.last_px),
        "liquidity": None if m.liquidity is None else m.liquidity.value,
        "fee": str(m.fee),
        "fee_asset": m.fee_asset,
        "strategies": [leg.strategy_id for leg in m.legs],
        "ts_ns": m.ts_event_ns,
    }
    return Published(topic=Topic.FILL, key=f"{m.venue}:{m.exec_id}", body=body, ts_ns=m.ts_init_ns)


def _funding_fact(m: FundingPayment) -> Published:
    text = f"{m.instrument_id}: funding {m.amount} {m.asset} at rate {m.rate} on {m.position_qty}"
    body: dict[str, object] = {"level": "info", "code": "FUNDING", "text": text, "ts_ns": m.ts_init_ns, "cell": "desk"}
    return Published(topic=Topic.EVENT, key=m.funding_id, body=body, ts_ns=m.ts_init_ns)
