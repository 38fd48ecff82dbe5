"""Bybit's instruments-info: every filter read or the instrument refused, and a version that follows the rules only."""

from __future__ import annotations

import json
import lzma
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bybit.instruments import INSTRUMENTS, Category, decode_listing
from trading.instruments import InstrumentKind

FIXTURES = (
    Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "bybit" / "fixtures" / "jkorf_bybit.jsonl.xz"
)

LINEAR = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "launchTime": "1585526400000",
    "deliveryTime": "0",
    "priceScale": "2",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.10", "maxPrice": "199999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "100.000",
        "maxMktOrderQty": "50.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "postOnlyMaxOrderQty": "1000.000",
        "minNotionalValue": "5",
    },
    "fundingInterval": 480,
    "settleCoin": "USDT",
}


def reply(*entries, category="linear", cursor=""):
    result = {"category": category, "list": list(entries), "nextPageCursor": cursor}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "time": 1707186451514}).encode()


def changed(part, **fields):
    return {**LINEAR, part: {**LINEAR[part], **fields}}


@pytest.mark.req("P-UNI-2")
def test_a_linear_perpetual_with_all_its_filters():
    listing = decode_listing(reply(LINEAR, cursor="page2"))
    assert (listing.category, listing.refused, listing.next_cursor) == (Category.LINEAR, {}, "page2")
    (listed,) = listing.instruments
    one = listed.instrument
    assert (one.instrument_id, one.symbol, one.kind) == ("BYBIT:PERP:BTC-USDT:LINEAR", "BTCUSDT", InstrumentKind.LINEAR)
    assert (one.tick_size, one.lot_size, one.min_qty) == (Decimal("0.10"), Decimal("0.001"), Decimal("0.001"))
    assert (one.max_qty, one.min_notional, one.settle) == (Decimal(100), Decimal(5), "USDT")
    assert (listed.tradable, listed.launch_ns, listed.delivery_ns) == (True, 1585526400000_000_000, 0)
    assert (listed.funding_interval_min, listed.min_price, listed.max_price) == (
        480,
        Decimal("0.1"),
        Decimal("199999.8"),
    )
    assert (listed.max_market_qty, listed.max_post_only_qty) == (Decimal(50), Decimal(1000))


def test_spot_says_precision_and_amount_where_contracts_say_step_and_notional():
    entry = {
        "symbol": "BTCUSDT",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "status": "Trading",
        "lotSizeFilter": {
            "basePrecision": "0.000001",
            "quotePrecision": "0.00000001",
            "minOrderQty": "0.000048",
            "maxOrderQty": "71.73956243",
            "minOrderAmt": "1",
            "maxOrderAmt": "2000000",
            "maxLimitOrderQty": "17000",
            "maxMarketOrderQty": "8500",
        },
        "priceFilter": {"tickSize": "0.01"},
    }
    (listed,) = decode_listing(reply(entry, category="spot")).instruments
    one = listed.instrument
    assert (one.instrument_id, one.lot_size, one.min_notional) == (
        "BYBIT:SPOT:BTC-USDT",
        Decimal("0.000001"),
        Decimal(1),
    )
    assert (one.max_qty, listed.max_market_qty, listed.funding_interval_min) == (Decimal(17000), Decimal(8500), 0)
    assert one.instrument_id != INSTRUMENTS[Category.LINEAR][0].instrument_id


def test_a_dated_future_is_another_instrument_than_the_perpetual():
    dated = {**LINEAR, "symbol": "BTCUSDH25", "contractType": "InverseFutures", "quoteCoin": "USD", "settleCoin": "BTC"}
    perpetual = {**dated, "symbol": "BTCUSD", "contractType": "InversePerpetual"}
    first, second = decode_listing(reply(dated, perpetual, category="inverse")).instruments
    assert first.instrument.instrument_id == "BYBIT:FUTH25:BTC-USD:INVERSE"
    assert second.instrument.instrument_id == "BYBIT:PERP:BTC-USD:INVERSE"


@pytest.mark.parametrize(
    "entry",
    [
        changed("priceFilter", tickSize=""),
        changed("priceFilter", tickSize="0"),
        changed("priceFilter", tickSize="NaN"),
        changed("lotSizeFilter", qtyStep=""),
        changed("lotSizeFilter", minNotionalValue=""),
        changed("lotSizeFilter", minOrderQty="-1"),
        changed("lotSizeFilter", maxOrderQty="1e400x"),
        {**LINEAR, "launchTime": "yesterday"},
        {**LINEAR, "lotSizeFilter": None},
    ],
)
def test_an_instrument_with_a_filter_that_cannot_be_read_is_refused_and_the_others_are_not(entry):
    other = {**LINEAR, "symbol": "ETHUSDT", "baseCoin": "ETH"}
    listing = decode_listing(reply(entry, other))
    assert [one.instrument.symbol for one in listing.instruments] == ["ETHUSDT"]
    assert len(listing.refused) == 1


def test_the_rules_version_follows_the_rules_and_not_their_order_or_the_price_band():
    def version(entry):
        return decode_listing(reply(entry)).instruments[0].instrument.rules_version

    plain = version(LINEAR)
    assert len(plain) == 16
    assert version(dict(reversed(LINEAR.items()))) == plain
    assert version({**LINEAR, "riskParameters": {"priceLimitRatioX": "0.05"}}) == plain
    assert version(changed("priceFilter", tickSize="0.50")) != plain
    assert version({**LINEAR, "status": "Closed"}) != plain


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b'{"retCode":0,"result":{"category":"option","list":[]}}'])
def test_anything_else_is_not_a_listing(payload):
    assert decode_listing(payload) is None


@given(
    st.binary(max_size=300)
    | st.builds(
        lambda at, byte: (p := reply(LINEAR))[:at] + byte + p[at + 1 :], st.integers(0, 700), st.binary(max_size=2)
    )
)
def test_no_bytes_make_it_raise(payload):
    listing = decode_listing(payload)
    assert listing is None or len(listing.instruments) + len(listing.refused) <= 1


@pytest.mark.recording
@pytest.mark.skipif(not FIXTURES.is_file(), reason=f"no fixtures at {FIXTURES}")
def test_the_documented_replies_are_read_whole():
    with lzma.open(FIXTURES, "rt") as lines:
        rows = [row for row in map(json.loads, lines) if row.get("url_path") == "/v5/market/instruments-info"]
    found = [decode_listing(json.dumps(row["response"]).encode()) for row in rows]
    listed = {one.instrument.symbol: one for listing in found if listing for one in listing.instruments}
    assert set(listed) == {"BTCUSDT", "PRE02ZROUSDT"}
    assert not any(listing.refused for listing in found if listing)
    assert not listed["PRE02ZROUSDT"].tradable
