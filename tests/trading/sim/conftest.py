"""A bench for the simulated venue: one spot, one linear and one inverse instrument, real books, a hand on time."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from trading.instruments import Instrument, InstrumentKind
from trading.market.book import Book
from trading.market.events import Aggressor, DepthSnapshot, DepthUpdate, MarkPrice, Trade
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
    VenueCommand,
    VenueEvent,
)
from trading.sim.config import SimConfig
from trading.sim.venue import SimVenue

VENUE = "SIM"


def _instrument(name: str, kind: InstrumentKind, settle: str, **overrides: Decimal) -> Instrument:
    values = {
        "tick_size": Decimal("0.01"),
        "lot_size": Decimal("0.001"),
        "min_qty": Decimal("0.001"),
        "max_qty": Decimal(100),
        "min_notional": Decimal(5),
        "maker_fee": Decimal("0.0002"),
        "taker_fee": Decimal("0.0005"),
        **overrides,
    }
    return Instrument(
        instrument_id=f"{VENUE}:{name}",
        venue=VENUE,
        symbol=name,
        kind=kind,
        base="BTC",
        quote="USDT",
        settle=settle,
        **values,
    )


SPOT = _instrument("SPOT", InstrumentKind.SPOT, "USDT", maker_fee=Decimal("0.001"), taker_fee=Decimal("0.001"))
LINEAR = _instrument("LINEAR", InstrumentKind.LINEAR, "USDT")
INVERSE = _instrument(
    "INVERSE",
    InstrumentKind.INVERSE,
    "BTC",
    tick_size=Decimal("0.1"),
    lot_size=Decimal(1),
    min_qty=Decimal(1),
    max_qty=Decimal(10_000),
    multiplier=Decimal(100),
)


class Bench:
    """Drives a venue with 1 ms latencies and no jitter unless told otherwise; ``go`` lets everything happen."""

    spot = SPOT
    linear = LINEAR
    inverse = INVERSE

    def __init__(self, seed: int = 7, **settings: object) -> None:
        values: dict[str, object] = {
            "initial_balances": {"USDT": Decimal(100_000), "BTC": Decimal(10)},
            "order_latency_ns": 1_000_000,
            "report_latency_ns": 1_000_000,
            "latency_jitter_ns": 0,
            **settings,
        }
        self.config = SimConfig(**values)  # type: ignore[arg-type]
        self.venue = SimVenue(VENUE, [SPOT, LINEAR, INVERSE], self.config, seed)
        self.now_ns = 1_700_000_000_000_000_000
        self.books = {i.instrument_id: Book(i.instrument_id) for i in (SPOT, LINEAR, INVERSE)}
        self.trades = 0

    def book(self, instrument: Instrument, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        """The book now is this."""
        book = self.books[instrument.instrument_id]
        book.apply_snapshot(
            DepthSnapshot(
                instrument_id=instrument.instrument_id,
                last_update_id=book.update_id + 1,
                bids=bids,
                asks=asks,
                ts_event_ns=self.now_ns,
                ts_recv_ns=self.now_ns,
            )
        )
        self.venue.on_book(book, self.now_ns)

    def depth(self, instrument: Instrument, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        """Only these levels change."""
        book = self.books[instrument.instrument_id]
        number = book.update_id + 1
        book.apply(
            DepthUpdate(
                instrument_id=instrument.instrument_id,
                first_update_id=number,
                final_update_id=number,
                prev_final_update_id=number - 1,
                bids=bids,
                asks=asks,
                ts_event_ns=self.now_ns,
                ts_recv_ns=self.now_ns,
            )
        )
        self.venue.on_book(book, self.now_ns)

    def trade(self, instrument: Instrument, tick: int, lots: int, aggressor: Aggressor) -> None:
        """A public trade."""
        self.trades += 1
        self.venue.on_trade(
            Trade(
                instrument_id=instrument.instrument_id,
                trade_id=self.trades,
                price_ticks=tick,
                qty_lots=lots,
                aggressor=aggressor,
                ts_event_ns=self.now_ns,
                ts_recv_ns=self.now_ns,
            ),
            self.now_ns,
        )

    def mark(self, instrument: Instrument, price: str, rate: str | None, next_funding_ns: int | None) -> None:
        """A mark price and the funding that is announced."""
        self.venue.on_mark(
            MarkPrice(
                instrument_id=instrument.instrument_id,
                mark_price=Decimal(price),
                index_price=None,
                funding_rate=None if rate is None else Decimal(rate),
                next_funding_ns=next_funding_ns,
                ts_event_ns=self.now_ns,
                ts_recv_ns=self.now_ns,
            ),
            self.now_ns,
        )

    def order(
        self,
        cl_ord_id: str,
        instrument: Instrument,
        side: Side,
        qty: Decimal | str | int,
        price: Decimal | str | int | None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        *,
        reduce_only: bool = False,
    ) -> NewOrderSingle:
        """A new order; a market order when it has no price."""
        return NewOrderSingle(
            venue=VENUE,
            instrument_id=instrument.instrument_id,
            cl_ord_id=cl_ord_id,
            side=side,
            ord_type=OrdType.MARKET if price is None else OrdType.LIMIT,
            time_in_force=time_in_force,
            order_qty=Decimal(qty),
            price=None if price is None else Decimal(price),
            reduce_only=reduce_only,
            strategy_ids=("s1",),
            epoch=1,
            cause="test",
            ts_init_ns=self.now_ns,
        )

    def cancel(self, cl_ord_id: str, orig: str, instrument: Instrument) -> OrderCancelRequest:
        """A cancel."""
        return OrderCancelRequest(
            venue=VENUE,
            instrument_id=instrument.instrument_id,
            cl_ord_id=cl_ord_id,
            orig_cl_ord_id=orig,
            epoch=1,
            cause="test",
            ts_init_ns=self.now_ns,
        )

    def replace(self, orig: str, order: NewOrderSingle) -> OrderCancelReplaceRequest:
        """A replacement of ``orig`` by what ``order`` says."""
        return OrderCancelReplaceRequest(
            venue=order.venue,
            instrument_id=order.instrument_id,
            cl_ord_id=order.cl_ord_id,
            orig_cl_ord_id=orig,
            side=order.side,
            ord_type=order.ord_type,
            time_in_force=order.time_in_force,
            order_qty=order.order_qty,
            price=order.price,
            reduce_only=order.reduce_only,
            strategy_ids=order.strategy_ids,
            epoch=order.epoch,
            cause=order.cause,
            ts_init_ns=order.ts_init_ns,
        )

    def status(self, cl_ord_id: str, instrument: Instrument) -> OrderStatusRequest:
        """A query for one order."""
        return OrderStatusRequest(
            venue=VENUE,
            instrument_id=instrument.instrument_id,
            cl_ord_id=cl_ord_id,
            cause="test",
            ts_init_ns=self.now_ns,
        )

    def account_request(self, since_exec_seq: int = 0) -> AccountStateRequest:
        """A query for the account."""
        return AccountStateRequest(venue=VENUE, since_exec_seq=since_exec_seq, cause="test", ts_init_ns=self.now_ns)

    def go(self, *commands: VenueCommand) -> list[VenueEvent]:
        """Send, wait until everything arrived, return what the venue said."""
        for command in commands:
            self.venue.on_command(command, self.now_ns)
        self.now_ns += 20_000_000
        return self.venue.poll(self.now_ns)

    def rest(self, *args: object, **kwargs: object) -> ExecutionReport:
        """Place an order that is expected to do nothing but rest."""
        (report,) = self.go(self.order(*args, **kwargs))  # type: ignore[arg-type]
        assert isinstance(report, ExecutionReport)
        assert report.exec_type.value == "new", report.text
        return report

    def state(self, since_exec_seq: int = 0) -> AccountState:
        """The account at the venue, without latency."""
        return self.venue.state_now(since_exec_seq, "test", self.now_ns)


@pytest.fixture
def bench() -> Bench:
    """A venue with 100,000 USDT and 10 BTC, no books yet."""
    return Bench()


@pytest.fixture
def make_bench() -> Callable[..., Bench]:
    """Builds a bench with other settings or another seed."""
    return Bench
