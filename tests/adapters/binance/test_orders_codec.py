"""Orders on the wire in the venue's own words, read back as they were meant; nothing here can move funds."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binance.instruments import COINM, INSTRUMENTS, SPOT, USDM, VENUES, instruments_of
from adapters.binance.orders_codec import (
    ENDPOINTS,
    RequestKind,
    RequestRefused,
    decode_order_request,
    encode_cancel,
    encode_new_order,
    encode_replace,
    encode_status,
)
from trading.orders.messages import (
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

SPOT_BTC, USDM_BTC, COINM_BTC = instruments_of(SPOT)[0], instruments_of(USDM)[0], instruments_of(COINM)[0]


def order(instrument, **changes):
    fields = {
        "venue": instrument.venue,
        "instrument_id": instrument.instrument_id,
        "cl_ord_id": "pd-1",
        "side": Side.BUY,
        "ord_type": OrdType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "order_qty": Decimal("0.001"),
        "price": Decimal("61800.5"),
        "reduce_only": False,
        "strategy_ids": (),
        "epoch": 0,
        "cause": "wire",
        "ts_init_ns": 1,
    }
    return NewOrderSingle(**(fields | changes))


def decode(body, instrument, kind):
    return decode_order_request(body, venue=instrument.venue, kind=kind, instruments=INSTRUMENTS, ts_init_ns=1)


@pytest.mark.parametrize(
    ("instrument", "changes", "expected"),
    [
        (
            SPOT_BTC,
            {"order_qty": Decimal("1E-5")},
            b"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.00001&price=61800.5&newClientOrderId=pd-1",
        ),
        (
            SPOT_BTC,
            {"time_in_force": TimeInForce.GTX},
            b"symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&quantity=0.001&price=61800.5&newClientOrderId=pd-1",
        ),
        (
            USDM_BTC,
            {"time_in_force": TimeInForce.GTX, "reduce_only": True, "side": Side.SELL},
            (
                b"symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTX&quantity=0.001&price=61800.5&reduceOnly=true"
                b"&newClientOrderId=pd-1"
            ),
        ),
        (
            COINM_BTC,
            {"ord_type": OrdType.MARKET, "price": None, "order_qty": Decimal("1E+2")},
            b"symbol=BTCUSD_PERP&side=BUY&type=MARKET&quantity=100&newClientOrderId=pd-1",
        ),
    ],
)
def test_a_new_order_is_the_venues_own_words(instrument, changes, expected):
    assert encode_new_order(order(instrument, **changes), instrument) == expected


@pytest.mark.req("P-RSK-3")
@given(
    st.sampled_from([SPOT_BTC, USDM_BTC, COINM_BTC]),
    st.sampled_from(Side),
    st.sampled_from(TimeInForce),
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.booleans(),
)
def test_a_simulated_venue_reads_exactly_what_was_meant(instrument, side, tif, lots, ticks, reduce_only):
    sent = order(
        instrument,
        side=side,
        time_in_force=tif,
        order_qty=instrument.qty(lots),
        price=instrument.price(ticks),
        reduce_only=reduce_only and instrument is not SPOT_BTC,
    )
    body = encode_new_order(sent, instrument)
    assert b"E" not in parse_qs(body)[b"price"][0] + parse_qs(body)[b"quantity"][0]
    assert decode(body, instrument, RequestKind.NEW) == sent


def replacing(new: NewOrderSingle) -> OrderCancelReplaceRequest:
    """The same order in the place of pd-0; what is a leg of a list is not replaced."""
    terms = {name: value for name, value in msgspec.structs.asdict(new).items() if name != "contingency"}
    return OrderCancelReplaceRequest(**terms, orig_cl_ord_id="pd-0")


def test_a_spot_replacement_is_cancel_and_new_or_nothing():
    sent = replacing(order(SPOT_BTC))
    body = encode_replace(sent, SPOT_BTC)
    assert b"cancelReplaceMode=STOP_ON_FAILURE" in body
    assert decode(body, SPOT_BTC, RequestKind.REPLACE) == sent


def test_a_futures_replacement_keeps_the_id_of_the_original():
    sent = replacing(order(USDM_BTC))
    body = encode_replace(sent, USDM_BTC)
    assert body == b"symbol=BTCUSDT&side=BUY&quantity=0.001&price=61800.5&origClientOrderId=pd-0"
    read = decode(body, USDM_BTC, RequestKind.REPLACE)
    assert isinstance(read, OrderCancelReplaceRequest)
    assert (read.cl_ord_id, read.orig_cl_ord_id, read.price) == ("pd-0", "pd-0", Decimal("61800.5"))
    with pytest.raises(ValueError):
        encode_replace(msgspec.structs.replace(sent, ord_type=OrdType.MARKET, price=None), USDM_BTC)


@pytest.mark.parametrize("instrument", [SPOT_BTC, USDM_BTC, COINM_BTC])
def test_cancels_and_questions_come_back(instrument):
    cancel = OrderCancelRequest(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id="pd-2" if instrument is SPOT_BTC else "pd-1",
        orig_cl_ord_id="pd-1",
        epoch=0,
        cause="wire",
        ts_init_ns=1,
    )
    assert decode(encode_cancel(cancel, instrument), instrument, RequestKind.CANCEL) == cancel
    status = OrderStatusRequest(
        venue=instrument.venue, instrument_id=instrument.instrument_id, cl_ord_id="pd-1", cause="wire", ts_init_ns=1
    )
    assert decode(encode_status(status, instrument), instrument, RequestKind.STATUS) == status


TRIGGER = TriggeringInstructions(Decimal(60_000), TriggerPriceType.MARK)


@pytest.mark.req("P-RSK-3")
@pytest.mark.parametrize(
    "changes",
    [
        {"price": Decimal("61800.55")},
        {"order_qty": Decimal("0.0015")},
        {"order_qty": Decimal(0)},
        {"price": Decimal(0)},
        {"price": None},
        {"ord_type": OrdType.MARKET},
        {"ord_type": OrdType.MARKET, "price": None, "time_in_force": TimeInForce.GTX},
        {"ord_type": OrdType.STOP, "price": None, "trigger": TRIGGER},
        {"ord_type": OrdType.STOP_LIMIT, "trigger": TRIGGER},
        {"cl_ord_id": "a b"},
        {"cl_ord_id": "x" * 37},
        {"cl_ord_id": ""},
    ],
)
def test_an_order_that_the_venue_would_refuse_is_not_written(changes):
    with pytest.raises(ValueError):
        encode_new_order(order(USDM_BTC, **changes), USDM_BTC)


GOOD = b"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=61800.5&newClientOrderId=pd-1"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (GOOD.replace(b"BTCUSDT", b"DOGEUSDT"), -1121),
        (GOOD.replace(b"side=BUY", b"side=HOLD"), -1117),
        (GOOD.replace(b"type=LIMIT", b"type=ICEBERG"), -1116),
        (GOOD.replace(b"=GTC", b"=DAY"), -1115),
        (GOOD.replace(b"&quantity=0.001", b""), -1102),
        (GOOD.replace(b"0.001", b"1e-3"), -1100),
        (GOOD.replace(b"0.001", b"0.0011"), -1111),
        (GOOD.replace(b"61800.5", b"61800.55"), -1111),
        (GOOD.replace(b"0.001", b"0.000"), -4003),
        (GOOD.replace(b"pd-1", b"p%20d"), -1100),
        (GOOD + b"&side=SELL", -1101),
        (b"\xff", -1100),
        (b"", -1102),
        (b"a=" + b"x" * 5000, -1101),
    ],
)
def test_a_bad_request_is_refused_with_the_venues_code(body, code):
    refused = decode(body, USDM_BTC, RequestKind.NEW)
    assert isinstance(refused, RequestRefused)
    assert refused.code == code


@given(st.binary(max_size=120), st.sampled_from(RequestKind))
def test_no_bytes_make_the_venue_side_raise(body, kind):
    decode(body, USDM_BTC, kind)
    decode(b"symbol=BTCUSDT&" + body, SPOT_BTC, kind)


def test_no_request_moves_funds():
    assert {kind for _, kind in ENDPOINTS} == set(RequestKind)
    assert {venue for venue, _ in ENDPOINTS} == set(VENUES)
    assert all(path.split("/")[3].startswith("order") for _, path in ENDPOINTS.values())
