"""Bybit's REST replies about derivatives: what they say, or one refusal with its reason."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from adapters.bybit.instruments import INSTRUMENTS, Category
from adapters.bybit.replies import Replies
from trading.market.events import FundingRate, OpenInterest, WireRejected

NOW = 1_785_870_840_000_000_000
MS = 1_000_000
LINEAR, INVERSE = "BYBIT:PERP:BTC-USDT:LINEAR", "BYBIT:PERP:BTC-USD:INVERSE"
SETTLED = {"symbol": "BTCUSDT", "fundingRate": "-0.0001", "fundingRateTimestamp": "1672041600000"}
OPEN = {"openInterest": "461134384.00000000", "timestamp": "1669571400000"}


def told(channel, rows, category=Category.LINEAR, **result):
    body = {"retCode": 0, "retMsg": "OK", "result": {"list": rows} | result, "time": 1672051897447}
    return Replies(INSTRUMENTS[category]).decode(channel, json.dumps(body).encode(), NOW)


@pytest.mark.req("P-MD-10")
def test_settled_funding_is_told_oldest_first_and_of_what_is_followed():
    later = SETTLED | {"fundingRateTimestamp": "1672070400000", "fundingRate": "0.0003"}
    first, second = told("funding_rate", [later, SETTLED | {"symbol": "DOGEUSDT"}, SETTLED])
    assert first == FundingRate(
        instrument_id=LINEAR,
        funding_rate=Decimal("-0.0001"),
        funding_ns=1672041600000 * MS,
        settled_rate=Decimal("-0.0001"),
        ts_event_ns=1672041600000 * MS,
        ts_recv_ns=NOW,
    )
    assert (second.funding_ns, second.settled_rate) == (1672070400000 * MS, Decimal("0.0003"))


@pytest.mark.req("P-MD-10")
def test_open_interest_is_base_currency_on_linear_and_dollars_on_inverse():
    (linear,) = told("open_interest", [OPEN], symbol="BTCUSDT")
    assert linear == OpenInterest(
        instrument_id=LINEAR,
        qty=Decimal("461134384.00000000"),
        base_qty=Decimal("461134384.00000000"),
        ts_event_ns=1669571400000 * MS,
        ts_recv_ns=NOW,
    )
    (inverse,) = told("open_interest", [OPEN], Category.INVERSE, symbol="BTCUSD")
    assert inverse.instrument_id == INVERSE
    assert (inverse.base_qty, inverse.notional) == (None, Decimal("461134384.00000000"))
    assert list(told("open_interest", [OPEN], symbol="DOGEUSDT")) == []


@pytest.mark.parametrize(
    ("channel", "row", "reason"),
    [
        ("funding_rate", SETTLED | {"fundingRate": ""}, "bad_number"),
        ("funding_rate", SETTLED | {"fundingRate": "1e-4"}, "bad_number"),
        ("funding_rate", SETTLED | {"fundingRateTimestamp": "1672041600"}, "bad_number"),
        ("funding_rate", SETTLED | {"fundingRateTimestamp": 1672041600000}, "malformed"),
        ("open_interest", OPEN | {"openInterest": "-1"}, "bad_number"),
        ("open_interest", OPEN | {"timestamp": ""}, "bad_number"),
        ("ticker", {"symbol": "BTCUSDT", "lastPrice": "0"}, "zero_price"),
        ("ticker", {"symbol": "BTCUSDT", "markPrice": "NaN"}, "bad_number"),
        ("candles", {}, "unknown_event"),
    ],
)
def test_a_row_that_cannot_be_believed_refuses_its_reply(channel, row, reason):
    good = {"funding_rate": SETTLED, "open_interest": OPEN}.get(channel, {"symbol": "ETHUSDT", "lastPrice": "1"})
    (one,) = told(channel, [good, row], symbol="BTCUSDT")
    assert isinstance(one, WireRejected)
    assert one.reason == reason


def test_the_venue_says_why_it_refused():
    body = b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1672051897447}'
    (one,) = Replies(INSTRUMENTS[Category.LINEAR]).decode("ticker", body, NOW)
    assert (one.reason, one.excerpt[:22]) == ("venue_error", "10006 Too many visits!")
