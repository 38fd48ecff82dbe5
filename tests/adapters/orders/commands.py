"""Commands as the order core sends them, for the tests of this folder."""

from __future__ import annotations

from decimal import Decimal

from adapters.binance.instruments import COINM, SPOT, USDM, instruments_of
from adapters.bybit.instruments import INSTRUMENTS as BYBIT_INSTRUMENTS
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.orders.wire import Credentials, HttpAnswer, OrderEndpoints
from trading.instruments import Instrument
from trading.orders.messages import (
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
)

TS_NS = 1_763_000_000_000_000_000
TS_MS = TS_NS // 1_000_000
KEY = Credentials(api_key="the-key", secret="the-secret", passphrase="the-words")
NOWHERE = OrderEndpoints(rest="http://127.0.0.1:1", ws="ws://127.0.0.1:1", wallet="http://127.0.0.1:1")

INSTRUMENTS: dict[str, tuple[Instrument, ...]] = {
    **{venue: instruments_of(venue) for venue in (SPOT, USDM, COINM)},
    "okx": OKX_INSTRUMENTS,
    "bybit": tuple(i for each in BYBIT_INSTRUMENTS.values() for i in each),
}


def instrument(instrument_id: str) -> Instrument:
    return next(i for each in INSTRUMENTS.values() for i in each if i.instrument_id == instrument_id)


BTC = {
    SPOT: instrument("BINANCE:SPOT:BTC-USDT"),
    USDM: instrument("BINANCEUSDM:PERP:BTC-USDT:LINEAR"),
    COINM: instrument("BINANCECOINM:PERP:BTC-USD:INVERSE"),
    "okx": instrument("OKX:PERP:BTC-USDT:LINEAR"),
    "bybit": instrument("BYBIT:PERP:BTC-USDT:LINEAR"),
}


def place(
    market: Instrument,
    cl_ord_id: str = "pd1-b-1",
    *,
    side: Side = Side.BUY,
    qty: str = "2",
    price: str | None = "60000",
    time_in_force: TimeInForce = TimeInForce.GTC,
    reduce_only: bool = False,
) -> NewOrderSingle:
    return NewOrderSingle(
        venue=market.venue,
        instrument_id=market.instrument_id,
        cl_ord_id=cl_ord_id,
        side=side,
        ord_type=OrdType.MARKET if price is None else OrdType.LIMIT,
        time_in_force=TimeInForce.IOC if price is None else time_in_force,
        order_qty=Decimal(qty),
        price=None if price is None else Decimal(price),
        reduce_only=reduce_only,
        strategy_ids=("maker",),
        epoch=1,
        cause="test",
        ts_init_ns=TS_NS,
    )


def cancel(market: Instrument, orig: str = "pd1-b-1") -> OrderCancelRequest:
    return OrderCancelRequest(
        venue=market.venue,
        instrument_id=market.instrument_id,
        cl_ord_id=f"{orig}-c1",
        orig_cl_ord_id=orig,
        epoch=1,
        cause="test",
        ts_init_ns=TS_NS,
    )


def replace(
    market: Instrument,
    orig: str = "pd1-b-1",
    new: str = "pd1-b-2",
    *,
    qty: str = "3",
    price: str = "60001",
    time_in_force: TimeInForce = TimeInForce.GTC,
) -> OrderCancelReplaceRequest:
    return OrderCancelReplaceRequest(
        venue=market.venue,
        instrument_id=market.instrument_id,
        cl_ord_id=new,
        orig_cl_ord_id=orig,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=time_in_force,
        order_qty=Decimal(qty),
        price=Decimal(price),
        reduce_only=False,
        strategy_ids=("maker",),
        epoch=1,
        cause="test",
        ts_init_ns=TS_NS,
    )


def status(market: Instrument, cl_ord_id: str = "pd1-b-1") -> OrderStatusRequest:
    return OrderStatusRequest(
        venue=market.venue, instrument_id=market.instrument_id, cl_ord_id=cl_ord_id, cause="test", ts_init_ns=TS_NS
    )


def answer(code: int, body: bytes | str, **headers: str) -> HttpAnswer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpAnswer(status=code, headers=names, body=body.encode() if isinstance(body, str) else body, ts_ns=TS_NS)
