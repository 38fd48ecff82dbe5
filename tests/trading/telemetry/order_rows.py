"""Journal rows of orders as the real order core writes them, in virtual time."""

from __future__ import annotations

from decimal import Decimal

from trading.instruments import Instrument, InstrumentKind
from trading.orders.core import Effect, Journal, OrderCore, OrderCoreConfig
from trading.orders.journal_rows import GENESIS_HASH, decode_body, numbered
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    ExecType,
    ExecutionReport,
    Leg,
    Liquidity,
    OrderDenied,
    OrderStory,
    OrdStatus,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TargetIntent,
    TimeInForce,
    Urgency,
)
from trading.telemetry.order_trace import TracedRow

VENUE = "okx"
MARKET = "OKX:PERP:BTC-USDT:LINEAR"
US = 1_000
MS = 1_000_000
T0 = 1_790_000_000_000_000_000


class Desk:
    """An order core whose rows are durable 400 us after they were written. ``rows`` is its journal."""

    def __init__(self, config: OrderCoreConfig | None = None) -> None:
        self.rows: list[TracedRow] = []
        self.now = T0
        self.config = config or OrderCoreConfig()
        self.begin(7)

    def begin(self, epoch: int) -> None:
        """A life of the core; a later one reads the journal."""
        instrument = Instrument(
            instrument_id=MARKET,
            venue=VENUE,
            symbol="BTC-USDT-SWAP",
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
        self.epoch = epoch
        self.core = OrderCore({MARKET: instrument}, epoch, self.config)
        self.core.restore([traced.row for traced in self.rows])

    def carry(self, effects: list[Effect]) -> None:
        """Write rows; what waits for them is released when they are durable."""
        for effect in effects:
            if isinstance(effect, Journal):
                first = len(self.rows) + 1
                for row in numbered(first, list(effect.rows), GENESIS_HASH, GENESIS_HASH):
                    self.rows.append(TracedRow(row, decode_body(row.body), first))
                self.carry(self.core.on_committed(effect.commit_id, self.now + 400 * US))

    def place(self, cl_ord_id: str, *, replaces: str | None = None, answers: bool = True) -> None:
        """Book 3 ms ago, decision 2 ms ago, proposed 1.5 ms ago, approved 1 ms ago."""
        intent = TargetIntent(
            f"i-{cl_ord_id}", "maker", MARKET, 5, Urgency.PASSIVE, None, 1.0, 10**9, (),
            f"{MARKET}@4711" if answers else "timer", self.now - 2 * MS,
        )  # fmt: skip
        story = OrderStory("0.1", "0.001", (500_000, 3), (500_001, 3), True, (), (intent,), "")
        order = ProposedOrder(
            cl_ord_id, VENUE, MARKET, Side.BUY, OrdType.LIMIT, TimeInForce.GTX, Decimal("0.005"), Decimal(50_000),
            False, (Leg("maker", f"i-{cl_ord_id}", Decimal("0.005")),), replaces, Decimal("50000.05"), 4711,
            self.now - 3 * MS, story, intent.cause, self.now - 1_500 * US,
        )  # fmt: skip
        self.carry(self.core.on_approved(ApprovedOrder(order, self.epoch, {}, self.now - MS), self.now))

    def cancel(self, cl_ord_id: str) -> None:
        """By a strategy that changed its mind."""
        cancel = ProposedCancel(
            cl_ord_id=cl_ord_id, venue=VENUE, instrument_id=MARKET, reason="moved", cause="x", ts_init_ns=self.now
        )
        self.carry(self.core.on_cancel(cancel, self.now))

    def hear(
        self,
        cl_ord_id: str,
        exec_type: ExecType,
        status: OrdStatus,
        *,
        last: str = "0",
        cum: str = "0",
        orig: str | None = None,
        text: str = "",
    ) -> None:
        """The venue's word, 700 us on its way to us and 300 us old when the core takes it in."""
        report = ExecutionReport(
            venue=VENUE,
            instrument_id=MARKET,
            cl_ord_id=cl_ord_id,
            orig_cl_ord_id=orig,
            order_id=f"V-{cl_ord_id}",
            exec_id=f"x{len(self.rows)}",
            exec_seq=len(self.rows) + 1,
            exec_type=exec_type,
            ord_status=status,
            side=Side.BUY,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTX,
            order_qty=Decimal("0.005"),
            price=Decimal(50_000),
            last_qty=Decimal(last),
            last_px=Decimal(50_000),
            cum_qty=Decimal(cum),
            leaves_qty=Decimal("0.005") - Decimal(cum),
            avg_px=Decimal(0),
            liquidity=Liquidity.MAKER,
            fee=Decimal("0.01"),
            fee_asset="USDT",
            text=text,
            ts_event_ns=self.now - 1_000 * US,
            ts_init_ns=self.now - 300 * US,
        )
        self.carry(self.core.on_venue(report, self.now))

    def deny(self, cl_ord_id: str, reason: DenyReason, text: str) -> None:
        """The gateway's refusal."""
        denied = OrderDenied(
            cl_ord_id=cl_ord_id, venue=VENUE, instrument_id=MARKET, reason=reason, text=text, legs=(), cause="x",
            ts_init_ns=self.now,
        )  # fmt: skip
        self.carry(self.core.on_gateway_denied(denied, self.now))

    def ack(self, cl_ord_id: str) -> None:
        """The venue has it."""
        self.hear(cl_ord_id, ExecType.NEW, OrdStatus.NEW)

    def fill(self, cl_ord_id: str) -> None:
        """All of it."""
        self.hear(cl_ord_id, ExecType.TRADE, OrdStatus.FILLED, last="0.005", cum="0.005")

    def reject(self, cl_ord_id: str, text: str = "51008 insufficient margin 12.5") -> None:
        """The venue refuses it."""
        self.hear(cl_ord_id, ExecType.REJECTED, OrdStatus.REJECTED, text=text)

    def wait(self, ms: int) -> None:
        """Time goes by, and deadlines with it."""
        self.now += ms * MS
        self.carry(self.core.on_timer(self.now))

    def later(self, ms: int) -> None:
        """Time goes by for everybody else."""
        self.now += ms * MS
