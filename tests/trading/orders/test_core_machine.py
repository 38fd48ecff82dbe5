"""The order core against a venue that delays, loses, repeats and reorders, with crashes at every commit boundary.

Safety after every step; then the faults stop, and everything must come to rest in agreement with the venue.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapters.journal.store import MemoryJournal
from trading.instruments import Instrument, InstrumentKind
from trading.ledger.portfolio import Portfolio
from trading.orders import fsm
from trading.orders.core import Emit, Journal, OrderCore, OrderCoreConfig, Reconciled, SendToVenue
from trading.orders.journal_rows import PLACING, JournalKind, ReportBody, decode_body
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ApprovedOrder,
    ExecType,
    ExecutionReport,
    Leg,
    Liquidity,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderFilled,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
)

MS = 1_000_000
VENUE = "BINANCEUSDM"
BTC = Instrument(
    instrument_id="BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    venue=VENUE,
    symbol="BTCUSDT",
    kind=InstrumentKind.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    min_qty=Decimal("0.001"),
    max_qty=Decimal(100),
    min_notional=Decimal(5),
)
LOT = BTC.lot_size
ZERO = Decimal(0)
PX = Decimal("50000.0")


class VenueModel:
    """The truth: orders, executions, positions. Says what it says into ``said``; nothing here is ever lost."""

    def __init__(self) -> None:
        self.orders: dict[str, dict] = {}
        self.executions: list[ExecutionReport] = []
        self.said: list[object] = []
        self.reports = 0
        self.accepted: Counter[str] = Counter()

    @property
    def position(self) -> Decimal:
        return sum((e.side.sign * e.last_qty for e in self.executions), ZERO)

    def open_ids(self) -> list[str]:
        return [i for i, o in self.orders.items() if o["status"] in {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED}]

    def take(self, command: object) -> None:
        match command:
            case NewOrderSingle():
                self._new(command)
            case OrderCancelReplaceRequest():
                self._replace(command)
            case OrderCancelRequest():
                self._cancel(command)
            case OrderStatusRequest():
                known = command.cl_ord_id in self.orders
                report = self._report(command.cl_ord_id, ExecType.ORDER_STATUS) if known else None
                self.said.append(
                    OrderStatusReport(
                        venue=VENUE,
                        instrument_id=BTC.instrument_id,
                        cl_ord_id=command.cl_ord_id,
                        report=report,
                        ts_init_ns=0,
                    )
                )
            case AccountStateRequest():
                self.said.append(self.account(command.since_exec_seq))

    def account(self, since: int) -> AccountState:
        return AccountState(
            venue=VENUE,
            exec_seq=len(self.executions),
            open_orders=tuple(self._report(i, ExecType.ORDER_STATUS) for i in self.open_ids()),
            executions=tuple(self.executions[since:]),
            fundings=(),
            positions={BTC.instrument_id: self.position},
            balances={},
            cause="",
            ts_init_ns=0,
        )

    def fill(self, cl_ord_id: str, lots: int) -> None:
        order = self.orders[cl_ord_id]
        qty = min(LOT * lots, order["qty"] - order["cum"])
        order["cum"] += qty
        order["status"] = OrdStatus.FILLED if order["cum"] == order["qty"] else OrdStatus.PARTIALLY_FILLED
        seq = len(self.executions) + 1
        report = self._report(cl_ord_id, ExecType.TRADE)
        report = msgspec.structs.replace(
            report, exec_id=f"x{seq}", exec_seq=seq, last_qty=qty, last_px=PX, fee=Decimal("0.01")
        )
        self.executions.append(report)
        self.said.append(report)

    def _new(self, command: NewOrderSingle | OrderCancelReplaceRequest) -> None:
        if command.cl_ord_id in self.orders:
            reject = self._report(command.cl_ord_id, ExecType.REJECTED)
            self.said.append(
                msgspec.structs.replace(
                    reject, ord_status=OrdStatus.REJECTED, text="-4116 ClientOrderId is duplicated."
                )
            )
            return
        self.accepted[command.cl_ord_id] += 1
        self.orders[command.cl_ord_id] = {
            "side": command.side,
            "qty": command.order_qty,
            "cum": ZERO,
            "status": OrdStatus.NEW,
        }
        if isinstance(command, NewOrderSingle):
            self.said.append(self._report(command.cl_ord_id, ExecType.NEW))

    def _replace(self, command: OrderCancelReplaceRequest) -> None:
        original = self.orders.get(command.orig_cl_ord_id)
        if original is None or command.orig_cl_ord_id not in self.open_ids() or command.cl_ord_id in self.orders:
            self._refuse(command, "duplicate" if command.cl_ord_id in self.orders else "-2011 Unknown order sent.")
            return
        original["status"] = OrdStatus.REPLACED
        self._new(command)
        report = self._report(command.cl_ord_id, ExecType.REPLACED)
        self.said.append(msgspec.structs.replace(report, orig_cl_ord_id=command.orig_cl_ord_id))

    def _cancel(self, command: OrderCancelRequest) -> None:
        if command.orig_cl_ord_id not in self.open_ids():
            self._refuse(command, "-2011 Unknown order sent.")
            return
        self.orders[command.orig_cl_ord_id]["status"] = OrdStatus.CANCELED
        report = self._report(command.orig_cl_ord_id, ExecType.CANCELED)
        self.said.append(
            msgspec.structs.replace(report, cl_ord_id=command.cl_ord_id, orig_cl_ord_id=command.orig_cl_ord_id)
        )

    def _refuse(self, command: OrderCancelRequest | OrderCancelReplaceRequest, text: str) -> None:
        order = self.orders.get(command.orig_cl_ord_id)
        self.said.append(
            OrderCancelReject(
                venue=VENUE,
                instrument_id=BTC.instrument_id,
                cl_ord_id=command.cl_ord_id,
                orig_cl_ord_id=command.orig_cl_ord_id,
                ord_status=order["status"] if order else OrdStatus.REJECTED,
                text=text,
                ts_event_ns=0,
                ts_init_ns=0,
            )
        )

    def _report(self, cl_ord_id: str, exec_type: ExecType) -> ExecutionReport:
        order = self.orders[cl_ord_id]
        self.reports += 1
        return ExecutionReport(
            venue=VENUE,
            instrument_id=BTC.instrument_id,
            cl_ord_id=cl_ord_id,
            orig_cl_ord_id=None,
            order_id=f"V{cl_ord_id}",
            exec_id=f"r{self.reports}",
            exec_seq=len(self.executions),
            exec_type=exec_type,
            ord_status=order["status"],
            side=order["side"],
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTC,
            order_qty=order["qty"],
            price=PX,
            last_qty=ZERO,
            last_px=ZERO,
            cum_qty=order["cum"],
            leaves_qty=order["qty"] - order["cum"],
            avg_px=PX,
            liquidity=Liquidity.MAKER,
            fee=ZERO,
            fee_asset="USDT",
            text="",
            ts_event_ns=1_790_000_000_000_000_000,
            ts_init_ns=0,
        )


class OrderFlow(RuleBasedStateMachine):
    """The desk (core, journal, portfolio) and the venue, with everything between them in the hands of the enemy."""

    @initialize()
    def start(self) -> None:
        self.now = 1_790_000_000_000_000_000
        self.venue = VenueModel()
        self.journal = MemoryJournal(hashed=False)
        self.epoch = 0
        self.orders = 0
        self.wire: list[object] = []
        self.placed_on_wire: Counter[str] = Counter()
        self.cancel_ids: dict[str, set[str]] = {}
        self._boot()

    def _boot(self) -> None:
        self.epoch += 1
        self.core = OrderCore({BTC.instrument_id: BTC}, self.epoch, OrderCoreConfig())
        self.pending: list[Journal] = []
        self.verdicts: list[bool] = []
        self.core.restore(self.journal.read())
        self.portfolio = Portfolio({BTC.instrument_id: BTC})
        self.portfolio.rebuild(self.journal.read())
        self._perform(self.core.begin_reconcile(VENUE, self.now))

    def _perform(self, effects: list[object]) -> None:
        for effect in effects:
            match effect:
                case Journal():
                    self.pending.append(effect)
                case SendToVenue(command=command):
                    self._on_wire(command)
                case Emit(message=OrderFilled() as fill):
                    assert sum((leg.qty for leg in fill.legs), ZERO) == fill.last_qty
                    assert any(row.exec_id == fill.exec_id for row in self.journal.read()), "told before it was durable"
                    self.portfolio.apply_fill(fill)
                case Reconciled(ok=ok):
                    self.verdicts.append(ok)
                case _:
                    pass

    def _on_wire(self, command: object) -> None:
        if isinstance(command, NewOrderSingle | OrderCancelReplaceRequest):
            rows = [r for r in self.journal.read() if r.kind in PLACING and r.cl_ord_id == command.cl_ord_id]
            assert len(rows) == 1, "sent before it was durable"
            self.placed_on_wire[command.cl_ord_id] += 1
        if isinstance(command, OrderCancelRequest):
            assert any(
                r.kind is JournalKind.CANCEL and r.cl_ord_id == command.orig_cl_ord_id for r in self.journal.read()
            ), "a cancel sent before it was durable"
        self.wire.append(command)

    def _approve(self, lots: int, share: int, side: Side, replaces: str | None) -> None:
        self.orders += 1
        cl_ord_id = f"pd{self.epoch}-{self.orders}"
        first = LOT * min(share, lots)
        legs = [("a", first), ("b", LOT * lots - first)]
        order = ProposedOrder(
            cl_ord_id=cl_ord_id,
            venue=VENUE,
            instrument_id=BTC.instrument_id,
            side=side,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTC,
            order_qty=LOT * lots,
            price=PX,
            reduce_only=False,
            legs=tuple(Leg(strategy_id=s, intent_id=f"{s}{cl_ord_id}", qty=q) for s, q in legs if q),
            replaces=replaces,
            ref_price=PX,
            book_update_id=1,
            book_ts_recv_ns=self.now,
            story={},
            cause="book:1",
            ts_init_ns=self.now,
        )
        approved = ApprovedOrder(order=order, epoch=self.epoch, checks={}, ts_init_ns=self.now)
        self._perform(self.core.on_approved(approved, self.now))
        before = self.core.duplicates_suppressed
        if (VENUE, cl_ord_id) in {(o.venue, o.cl_ord_id) for o in self.core.open_orders()}:
            self._perform(self.core.on_approved(approved, self.now))
            assert self.core.duplicates_suppressed == before + 1

    @rule(lots=st.integers(1, 9), share=st.integers(1, 9), side=st.sampled_from(Side))
    def place(self, lots: int, share: int, side: Side) -> None:
        self._approve(lots, share, side, None)

    @precondition(lambda self: self.core.open_orders())
    @rule(lots=st.integers(1, 9), index=st.integers(0, 50))
    def replace(self, lots: int, index: int) -> None:
        original = self.core.open_orders()[index % len(self.core.open_orders())]
        self._approve(lots, lots, original.proposed.side, original.cl_ord_id)

    @precondition(lambda self: self.core.open_orders())
    @rule(index=st.integers(0, 50))
    def cancel(self, index: int) -> None:
        order = self.core.open_orders()[index % len(self.core.open_orders())]
        cancel = ProposedCancel(
            cl_ord_id=order.cl_ord_id,
            venue=VENUE,
            instrument_id=BTC.instrument_id,
            reason="moved",
            cause="book:2",
            ts_init_ns=self.now,
        )
        self._perform(self.core.on_cancel(cancel, self.now))

    @precondition(lambda self: self.pending)
    @rule()
    def commit(self) -> None:
        batch = self.pending.pop(0)
        self.journal.append(batch.rows)
        self._perform(self.core.on_committed(batch.commit_id, self.now))

    @precondition(lambda self: self.wire)
    @rule(index=st.integers(0, 50))
    def deliver_command(self, index: int) -> None:
        self.venue.take(self.wire.pop(index % len(self.wire)))

    @precondition(lambda self: self.wire)
    @rule(index=st.integers(0, 50))
    def lose_command(self, index: int) -> None:
        self.wire.pop(index % len(self.wire))

    @precondition(lambda self: self.venue.open_ids())
    @rule(index=st.integers(0, 50), lots=st.integers(1, 9))
    def venue_fills(self, index: int, lots: int) -> None:
        ids = self.venue.open_ids()
        self.venue.fill(ids[index % len(ids)], lots)

    @precondition(lambda self: self.venue.said)
    @rule(index=st.integers(0, 50))
    def hear(self, index: int) -> None:
        self._perform(self.core.on_venue(self.venue.said.pop(index % len(self.venue.said)), self.now))

    @precondition(lambda self: self.venue.said)
    @rule(index=st.integers(0, 50))
    def hear_and_leave_it_to_be_heard_again(self, index: int) -> None:
        message = self.venue.said[index % len(self.venue.said)]
        if not isinstance(message, OrderStatusReport | AccountState):
            self._perform(self.core.on_venue(message, self.now))

    @precondition(lambda self: self.venue.said)
    @rule(index=st.integers(0, 50))
    def lose_a_word(self, index: int) -> None:
        self.venue.said.pop(index % len(self.venue.said))

    @rule(ms=st.sampled_from((1, 60, 300, 450, 2_500)))
    def time_passes(self, ms: int) -> None:
        self.now += ms * MS
        self._perform(self.core.on_timer(self.now))

    @rule(durable=st.integers(0, 3))
    def crash(self, durable: int) -> None:
        for batch in self.pending[:durable]:
            self.journal.append(batch.rows)
        # The connection dies with the process: words on their way to it are lost, commands already out are not.
        self.venue.said.clear()
        self._boot()

    @invariant()
    def what_was_executed_is_counted_once(self) -> None:
        if not hasattr(self, "core"):
            return
        rows = [decode_body(r.body) for r in self.journal.read() if r.kind in {JournalKind.FILL, JournalKind.PARTIAL}]
        fills = [b.report for b in rows if isinstance(b, ReportBody)]
        assert max(Counter(f.exec_id for f in fills).values(), default=0) <= 1
        journalled = sum((f.side.sign * f.last_qty for f in fills), ZERO)
        if not self.pending:
            held = self.portfolio.positions().get(BTC.instrument_id)
            assert (held.qty if held else ZERO) == journalled
            by_order: Counter[str] = Counter()
            for f in fills:
                by_order[f.cl_ord_id] += f.last_qty
            for order in self.core.open_orders():
                assert order.cum_qty == by_order[order.cl_ord_id]
        assert self.portfolio.ledger_residual() == 0

    @invariant()
    def no_order_exists_twice(self) -> None:
        if hasattr(self, "core"):
            assert max(self.placed_on_wire.values(), default=0) <= 1
            assert max(self.venue.accepted.values(), default=0) <= 1

    @invariant()
    def legs_never_get_more_than_they_asked_for(self) -> None:
        if hasattr(self, "core"):
            for order in self.core.open_orders():
                for leg, filled in zip(order.proposed.legs, order.leg_filled, strict=False):
                    assert filled <= leg.qty

    def teardown(self) -> None:
        """The faults stop: all comes to rest, and both sides agree."""
        if not hasattr(self, "core"):
            return
        for _ in range(600):
            self._settle()
            if not self._busy():
                break
            self.now += 100 * MS
            self._perform(self.core.on_timer(self.now))
        assert not self._busy(), self._told()
        assert self.core.unknown_orders() == []
        # What the audit asks for is heard.
        self.now += 6_000 * MS
        self._perform(self.core.on_timer(self.now))
        self._settle()
        core_open = {o.cl_ord_id for o in self.core.open_orders()}
        assert core_open == set(self.venue.open_ids())
        held = self.portfolio.positions().get(BTC.instrument_id)
        assert (held.qty if held else ZERO) == self.venue.position
        assert self.core.exposure().get(BTC.instrument_id) is None or (
            self.core.exposure()[BTC.instrument_id].position == self.venue.position
        )
        assert self.verdicts[-1:] == [True], self.verdicts
        assert all(o.ord_status not in fsm.TERMINAL for o in self.core.open_orders())

    def _told(self) -> str:
        lines = [f"verdicts {self.verdicts}, venue {self.venue.orders}"]
        for order in self.core.open_orders():
            lines += [f"{order.cl_ord_id} {order.ord_status.value} acked {order.acked}", *order.told()]
        return "\n".join(lines)

    def _settle(self) -> None:
        while self.pending or self.wire or self.venue.said:
            while self.pending:
                self.commit()
            while self.wire:
                self.venue.take(self.wire.pop(0))
            while self.venue.said:
                self._perform(self.core.on_venue(self.venue.said.pop(0), self.now))

    def _busy(self) -> bool:
        quiet = {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED}
        core_open = {o.cl_ord_id for o in self.core.open_orders()}
        return (
            any(o.ord_status not in quiet for o in self.core.open_orders())
            or core_open != set(self.venue.open_ids())
            or self.verdicts[-1:] != [True]
        )


TestOrderFlow = pytest.mark.req("P-ORD-1")(
    pytest.mark.req("P-ORD-2")(pytest.mark.req("P-ORD-3")(pytest.mark.req("P-ORD-4")(OrderFlow.TestCase)))
)
TestOrderFlow.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
