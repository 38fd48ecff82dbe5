"""Protective exits under any order of prices, fills, commits and crashes; the journal is all that survives.

The arbiter here keeps the real one's promises: one order in flight, sized from what is held, none while one is unknown.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import MarkPrice
from trading.orders.journal_rows import (
    JournalKind,
    ProtectBody,
    ProtectEvent,
    ReportBody,
    RowDraft,
    decode_body,
    encode_body,
    numbered,
)
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    Leg,
    Liquidity,
    OrdStatus,
    OrdType,
    Side,
    TargetIntent,
    TimeInForce,
    Urgency,
)
from trading.orders.order import filled
from trading.protection.core import Protection
from trading.protection.effects import Say, WriteRows
from trading.protection.leg import ExitStatus
from trading.protection.levels import due
from trading.protection.policy import ExitPolicy

MS = 1_000_000
BTC = Instrument(
    instrument_id="BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    venue="binanceusdm",
    symbol="BTCUSDT",
    kind=InstrumentKind.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=Decimal(1),
    lot_size=Decimal("0.001"),
    min_qty=Decimal("0.001"),
    max_qty=Decimal(100),
    min_notional=Decimal(5),
)
POLICY = ExitPolicy(stop_loss_pct=Decimal(1), take_profit_pct=Decimal(2), cooldown_ms=2_000)
ZERO = Decimal(0)


class Exits(RuleBasedStateMachine):
    """Rules put events in the hands of the enemy."""

    @initialize()
    def start(self) -> None:
        self.now = 1_790_000_000_000_000_000
        self.rows = []
        self.price = Decimal(1_000)
        self.executed = 0
        self.target: TargetIntent | None = None
        self.flying: tuple[Side, Decimal] | None = None  # the one order in flight: side, what is open of it
        self.exit_flies = False
        self.untold = []  # executions that are durable and not told yet
        self._boot(1)

    def _boot(self, epoch: int) -> None:
        self.epoch = epoch
        self.core = Protection({BTC.instrument_id: BTC}, {"m": POLICY}, epoch)
        self.pending: list[WriteRows] = []
        self.core.restore(self.rows)
        self.untold.clear()
        self._take(self.core.begin(self.now))

    @property
    def position(self) -> Decimal:
        fills = [decode_body(r.body).report for r in self.rows if r.kind is JournalKind.FILL]
        return sum((f.side.sign * f.last_qty for f in fills), ZERO)

    def _take(self, effects) -> None:
        for effect in effects:
            if isinstance(effect, WriteRows):
                self.pending.append(effect)
            elif isinstance(effect, Say):
                self._said(effect.intent)

    def _said(self, intent) -> None:
        durable = [decode_body(r.body) for r in self.rows if r.kind is JournalKind.PROTECT]
        assert any(b.event is ProtectEvent.PLAN for b in durable), "an intent passed before a plan was durable"
        if ":exit:" in intent.intent_id:
            serials = [b.serial for b in durable if b.event is ProtectEvent.TRIGGER]
            assert int(intent.intent_id.rpartition(":")[2]) in serials, "an exit was said before it was durable"
        else:
            assert self._leg().status not in {ExitStatus.TRIGGERING, ExitStatus.EXITING, ExitStatus.COOLING}
        self.target = intent

    def _leg(self):
        (leg,) = self.core.legs()
        return leg

    @rule(lots=st.integers(-5, 5))
    def the_strategy_wants(self, lots: int) -> None:
        intent = TargetIntent(
            intent_id=f"m:{self.now}",
            strategy_id="m",
            instrument_id=BTC.instrument_id,
            target_lots=lots,
            urgency=Urgency.AGGRESSIVE,
            limit_ticks=None,
            confidence=1.0,
            ttl_ns=60_000 * MS,
            reasons=(),
            cause="",
            ts_init_ns=self.now,
        )
        self._take(self.core.on_intent(intent, self.now))

    @precondition(lambda self: self.target is not None and self.flying is None)
    @rule()
    def the_arbiter_orders(self) -> None:
        lacking = BTC.lot_size * self.target.target_lots - self.position
        if lacking:
            self.flying = (Side.BUY if lacking > 0 else Side.SELL, abs(lacking))
            self.exit_flies = self.target.target_lots == 0 and ":exit:" in self.target.intent_id

    @precondition(lambda self: self.flying is not None)
    @rule(lots=st.integers(1, 5))
    def it_executes(self, lots: int) -> None:
        side, left = self.flying
        qty = min(left, BTC.lot_size * lots)
        before = self.position
        self.flying = (side, left - qty) if left > qty else None
        self.executed += 1
        report = ExecutionReport(
            venue=BTC.venue,
            instrument_id=BTC.instrument_id,
            cl_ord_id="o",
            orig_cl_ord_id=None,
            order_id="1",
            exec_id=f"x{self.executed}",
            exec_seq=self.executed,
            exec_type=ExecType.TRADE,
            ord_status=OrdStatus.FILLED,
            side=side,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.IOC,
            order_qty=qty,
            price=self.price,
            last_qty=qty,
            last_px=self.price,
            cum_qty=qty,
            leaves_qty=ZERO,
            avg_px=self.price,
            liquidity=Liquidity.TAKER,
            fee=ZERO,
            fee_asset="USDT",
            text="",
            ts_event_ns=self.now,
            ts_init_ns=self.now,
        )
        body = ReportBody(report=report, legs=(Leg("m", "i", qty),))
        self._append([RowDraft(self.now, JournalKind.FILL, BTC.venue, "o", report.exec_id, "", 1, encode_body(body))])
        self.untold.append(filled(report, body.legs))
        if self.exit_flies:
            assert before * self.position >= 0, "an exit turned the position round"

    def _append(self, drafts) -> None:
        self.rows += numbered(len(self.rows) + 1, drafts, bytes(32), bytes(32))

    @precondition(lambda self: self.untold)
    @rule()
    def it_is_told(self) -> None:
        self._take(self.core.on_fill(self.untold.pop(0), self.now))

    @precondition(lambda self: self.flying is not None)
    @rule()
    def the_order_is_canceled(self) -> None:
        self.flying = None

    @precondition(lambda self: self.pending)
    @rule()
    def rows_become_durable(self) -> None:
        batch = self.pending.pop(0)
        self._append(batch.rows)
        self._take(self.core.on_committed(batch.commit_id, self.now))

    @rule(step=st.sampled_from((-120, -11, -3, 3, 11, 120)))
    def the_price_moves(self, step: int) -> None:
        self.price = max(Decimal(500), self.price + step)
        self._mark()

    def _mark(self) -> None:
        mark = MarkPrice(
            instrument_id=BTC.instrument_id,
            mark_price=self.price,
            index_price=None,
            funding_rate=None,
            next_funding_ns=None,
            ts_event_ns=self.now,
            ts_recv_ns=self.now,
        )
        self._take(self.core.on_mark(mark, self.now))

    @rule(ms=st.sampled_from((1, 500, 1_500, 3_000)))
    def time_passes(self, ms: int) -> None:
        self.now += ms * MS
        self._take(self.core.on_timer(self.now))

    @rule(durable=st.integers(0, 3))
    def crash(self, durable: int) -> None:
        for batch in self.pending[:durable]:
            self._append(batch.rows)
        # Orders of the earlier life are proved dead or executed before anybody may trade again.
        self.flying, self.target = None, None
        self.now += 50 * MS
        self._boot(self.epoch + 1)

    @invariant()
    def what_is_held_is_what_was_executed(self) -> None:
        if hasattr(self, "core") and self.core.legs() and not self.untold:
            assert self._leg().holding.qty == self.position

    @invariant()
    def one_decision_a_position(self) -> None:
        """Between two decisions to close the position was nothing: one is never taken twice."""
        if not hasattr(self, "core"):
            return
        held, decided = ZERO, 0
        for row in self.rows:
            body = decode_body(row.body)
            if isinstance(body, ReportBody):
                held += body.report.side.sign * body.report.last_qty
                decided = decided if held else 0
            elif isinstance(body, ProtectBody) and body.event is ProtectEvent.TRIGGER:
                decided += 1
                assert decided <= 1 or not held, "decided twice"

    def teardown(self) -> None:
        """The enemy leaves: whatever is held is armed within its levels, or it is closed."""
        if not hasattr(self, "core"):
            return
        for _ in range(40):
            while self.pending or self.untold:
                while self.untold:
                    self.it_is_told()
                while self.pending:
                    self.rows_become_durable()
            if self.flying is not None:
                self.it_executes(5)
                continue
            self.time_passes(500)
            self._mark()
            if self.target is not None and not self.pending:
                self.the_arbiter_orders()
        if not self.core.legs():
            return
        leg = self._leg()
        assert leg.status in {ExitStatus.UNPLANNED, ExitStatus.READY, ExitStatus.ARMED}, leg.story
        assert (leg.status is ExitStatus.ARMED) is bool(self.position), (leg.status, self.position)
        if self.position:
            side = Side.BUY if self.position > 0 else Side.SELL
            assert due(leg.levels, side, self.price) is None
        again = Protection({BTC.instrument_id: BTC}, {"m": POLICY}, self.epoch + 1)
        again.restore(self.rows)
        again.on_timer(self.now)
        (restored,) = again.legs()
        assert (restored.status, restored.levels, restored.plan) == (leg.status, leg.levels, leg.plan)
        assert restored.holding.qty == leg.holding.qty


TestExits = pytest.mark.req("C-RISK-7")(Exits.TestCase)
TestExits.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
