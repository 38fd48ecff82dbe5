"""Builders of the messages that the order core lives on."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from trading.instruments import Instrument, InstrumentKind
from trading.orders.core import Journal, OrderCore, OrderCoreConfig, SendToVenue
from trading.orders.journal_rows import JournalRow, numbered
from trading.orders.messages import (
    ApprovedOrder,
    ExecType,
    ExecutionReport,
    Leg,
    Liquidity,
    OrdStatus,
    OrdType,
    ProposedOrder,
    Side,
    TimeInForce,
)

VENUE = "BINANCEUSDM"
INSTRUMENT_ID = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
MS = 1_000_000
T0 = 1_790_000_000_000_000_000


@pytest.fixture
def instrument() -> Instrument:
    return Instrument(
        instrument_id=INSTRUMENT_ID,
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


@pytest.fixture
def approved() -> Callable[..., ApprovedOrder]:
    def build(cl_ord_id: str, qty: str = "0.010", *, legs=None, epoch: int = 1, side: Side = Side.BUY, replaces=None):
        legs = legs or (("maker", qty),)
        return ApprovedOrder(
            order=ProposedOrder(
                cl_ord_id=cl_ord_id,
                venue=VENUE,
                instrument_id=INSTRUMENT_ID,
                side=side,
                ord_type=OrdType.LIMIT,
                time_in_force=TimeInForce.GTC,
                order_qty=Decimal(qty),
                price=Decimal("50000.0"),
                reduce_only=False,
                legs=tuple(Leg(strategy_id=s, intent_id=f"{s}-{cl_ord_id}", qty=Decimal(q)) for s, q in legs),
                replaces=replaces,
                ref_price=Decimal("50000.0"),
                book_update_id=77,
                book_ts_recv_ns=T0 - 3 * MS,
                story={"net": "10 lots wanted, 0 held"},
                cause="book:77",
                ts_init_ns=T0 - 2 * MS,
            ),
            epoch=epoch,
            checks={"max_order_notional": "500 of 10000"},
            ts_init_ns=T0 - MS,
        )

    return build


@pytest.fixture
def report() -> Callable[..., ExecutionReport]:
    def build(cl_ord_id: str, exec_type: ExecType, exec_id: str = "", **fields) -> ExecutionReport:
        status = {
            ExecType.NEW: OrdStatus.NEW,
            ExecType.TRADE: OrdStatus.PARTIALLY_FILLED,
            ExecType.CANCELED: OrdStatus.CANCELED,
            ExecType.REPLACED: OrdStatus.NEW,
            ExecType.REJECTED: OrdStatus.REJECTED,
            ExecType.EXPIRED: OrdStatus.EXPIRED,
            ExecType.TRIGGERED: OrdStatus.NEW,
            ExecType.ORDER_STATUS: OrdStatus.NEW,
        }[exec_type]
        base = ExecutionReport(
            venue=VENUE,
            instrument_id=INSTRUMENT_ID,
            cl_ord_id=cl_ord_id,
            orig_cl_ord_id=None,
            order_id=f"V{cl_ord_id}",
            exec_id=exec_id,
            exec_seq=0,
            exec_type=exec_type,
            ord_status=status,
            side=Side.BUY,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTC,
            order_qty=Decimal("0.010"),
            price=Decimal("50000.0"),
            last_qty=Decimal(0),
            last_px=Decimal(0),
            cum_qty=Decimal(0),
            leaves_qty=Decimal("0.010"),
            avg_px=Decimal(0),
            liquidity=Liquidity.MAKER if exec_type is ExecType.TRADE else None,
            fee=Decimal("0.01") if exec_type is ExecType.TRADE else Decimal(0),
            fee_asset="USDT",
            text="",
            ts_event_ns=T0,
            ts_init_ns=T0,
        )
        numbers = {k: Decimal(v) if k.endswith(("_qty", "_px")) else v for k, v in fields.items()}
        return msgspec.structs.replace(base, **numbers)

    return build


class Desk:
    """A core with an obedient journal: rows are durable when the test says `commit`."""

    def __init__(self, instrument: Instrument, epoch: int = 1, config: OrderCoreConfig | None = None) -> None:
        self.core = OrderCore({instrument.instrument_id: instrument}, epoch, config or OrderCoreConfig())
        self.now = T0
        self.waiting: list[Journal] = []
        self.rows: list[JournalRow] = []
        self.said: list[object] = []

    def take(self, effects: list[object]) -> list[object]:
        """Note what was said; batches wait for `commit`."""
        for effect in effects:
            if isinstance(effect, Journal):
                self.waiting.append(effect)
            else:
                self.said.append(effect)
        return effects

    def commit(self) -> list[object]:
        """All batches become durable; what waited for them is returned."""
        released: list[object] = []
        while self.waiting:
            batch = self.waiting.pop(0)
            self.rows += numbered(len(self.rows) + 1, batch.rows, bytes(32), bytes(32))
            released += self.take(self.core.on_committed(batch.commit_id, self.now))
        return released

    def do(self, effects: list[object]) -> list[object]:
        """Take and commit; everything that was said on the way."""
        said = [e for e in self.take(effects) if not isinstance(e, Journal)]
        return said + self.commit()

    def later(self, ms: float) -> list[object]:
        """Time passes, the timer runs."""
        self.now += int(ms * MS)
        return self.do(self.core.on_timer(self.now))

    def place(self, order: ApprovedOrder) -> list[object]:
        return self.do(self.core.on_approved(order, self.now))

    def venue(self, message: object) -> list[object]:
        return self.do(self.core.on_venue(message, self.now))

    def status(self, cl_ord_id: str) -> OrdStatus:
        order = self.core.order(VENUE, cl_ord_id)
        assert order is not None
        return order.ord_status


@pytest.fixture
def desk(instrument: Instrument) -> Desk:
    return Desk(instrument)


@pytest.fixture
def new_desk(instrument: Instrument) -> Callable[..., Desk]:
    return lambda **options: Desk(instrument, **options)


@pytest.fixture
def amend(desk, approved):
    """Ask for ``qty`` at ``price`` in place of an order; what was said to the venue."""

    def ask(name="pd1-2", replaces="pd1-1", qty="0.006", price="50000.0", **changes):
        order = approved(name, qty, replaces=replaces)
        proposed = msgspec.structs.replace(order.order, price=Decimal(price), **changes)
        return [
            e.command for e in desk.place(msgspec.structs.replace(order, order=proposed)) if isinstance(e, SendToVenue)
        ]

    return ask


@pytest.fixture
def shown(report):
    """The venue's word about the one order that it has, by its first id."""

    def build(exec_type=ExecType.ORDER_STATUS, qty="0.006", price="50000.0", cum="0", ts=10, **fields):
        exec_id = fields.pop("exec_id", "")
        return report(
            "pd1-1",
            exec_type,
            exec_id,
            order_qty=qty,
            price=Decimal(price),
            cum_qty=cum,
            ts_event_ns=T0 + ts * MS,
            **fields,
        )

    return build
