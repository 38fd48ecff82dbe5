"""Venues' own listings in one form: status words, times, funding rules, and nothing guessed."""

from __future__ import annotations

import json
import lzma
from decimal import Decimal
from pathlib import Path

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.recordings import Recorded, read_recording
from adapters.universe_listings import (
    QTY_UNSTATED,
    binance_listing,
    bybit_listing,
    ccxt_listing,
    okx_listing,
    with_funding,
)
from trading.risk.filters import quantise_qty
from trading.universe.admission import UniverseRules, check_addition
from trading.universe.ids import parse_market_id
from trading.universe.listing import FundingRule
from trading.universe.symbols import market_of_ccxt
from trading.universe.watch import ChangeKind, ListingWatch

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
T0 = 1_760_000_000_000_000_000

FUTURE = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "contractType": "PERPETUAL",
    "deliveryDate": 4133404800000,
    "onboardDate": 1569398400000,
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "1000000", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ],
}
SWAP = {
    **dict.fromkeys(("alias", "baseCcy", "quoteCcy", "expTime"), ""),
    "ctMult": "1",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctValCcy": "BTC",
    "instFamily": "BTC-USDT",
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "listTime": "1606468572000",
    "lotSz": "0.01",
    "maxLmtSz": "100000000",
    "maxMktSz": "35000",
    "minSz": "0.01",
    "settleCcy": "USDT",
    "state": "live",
    "tickSz": "0.1",
    "uly": "BTC-USDT",
    "upcChg": [{"param": "tickSz", "newValue": "0.01", "effTime": "1704876947000"}],
}
LINEAR = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "launchTime": "1585526400000",
    "deliveryTime": "0",
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
}


def binance(*symbols, funding=None):
    payload = json.dumps({"symbols": symbols}).encode()
    return binance_listing("binanceusdm", payload, T0, None if funding is None else json.dumps(funding).encode())


def okx(*entries):
    return okx_listing([json.dumps({"code": "0", "msg": "", "data": entries}).encode()], T0)


def bybit(*entries, cursor="", category="linear"):
    result = {"category": category, "list": entries, "nextPageCursor": cursor}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "time": 1}).encode()


@pytest.mark.req("P-MD-9")
def test_the_three_venues_state_status_times_and_funding_in_their_own_ways():
    binance_market = binance(FUTURE).markets["BINANCEUSDM:PERP:BTC-USDT:LINEAR"]
    assert (binance_market.tradable, binance_market.delist_ns) == (True, 0)
    assert binance_market.funding == FundingRule(interval_min=480)
    okx_market = okx(SWAP).markets["OKX:PERP:BTC-USDT:LINEAR"]
    assert (okx_market.tradable, okx_market.status, okx_market.delist_ns) == (True, "live", 0)
    (plan,) = okx_market.planned
    assert (plan.field, plan.value, plan.effective_ns) == ("tickSz", "0.01", 1704876947 * 10**9)
    bybit_market = bybit_listing([bybit(LINEAR)], T0).markets["BYBIT:PERP:BTC-USDT:LINEAR"]
    assert bybit_market.funding == FundingRule(interval_min=480)
    assert bybit_market.list_ns == 1585526400 * 10**9


@pytest.mark.req("P-MD-9")
def test_a_binance_perpetual_that_settles_is_seen_as_delisting_and_its_funding_rule_is_its_own():
    funding = [
        {
            "symbol": "BTCUSDT",
            "adjustedFundingRateCap": "0.02",
            "adjustedFundingRateFloor": "-0.02",
            "fundingIntervalHours": 4,
        }
    ]
    watch = ListingWatch("binanceusdm")
    watch.take(binance(FUTURE))
    leaving = {**FUTURE, "status": "SETTLING", "deliveryDate": 1760086400000}
    changes = {change.kind: change for change in watch.take(binance(leaving, funding=funding))}
    assert changes[ChangeKind.DELISTING].at_ns == 1760086400 * 10**9
    assert changes[ChangeKind.HALTED].new == "SETTLING"
    funding_changes = watch.listing.markets["BINANCEUSDM:PERP:BTC-USDT:LINEAR"].funding
    assert funding_changes == FundingRule(interval_min=240, cap=Decimal("0.02"), floor=Decimal("-0.02"))


@pytest.mark.parametrize("spoiled", [{"deliveryDate": "soon"}, {"status": 7}])
def test_one_market_whose_status_cannot_be_read_is_refused_alone(spoiled):
    other = {**FUTURE, "symbol": "ETHUSDT", "baseAsset": "ETH"}
    found = binance({**FUTURE, **spoiled}, other)
    assert list(found.markets) == ["BINANCEUSDM:PERP:ETH-USDT:LINEAR"]
    assert found.refused == {"BTCUSDT": "its status cannot be read"}


def test_a_name_that_no_brake_could_carry_is_refused():
    found = binance({**FUTURE, "symbol": "币安人生USDT", "baseAsset": "币安人生"}, FUTURE)
    assert len(found.markets) == 1
    assert "is not BASE-QUOTE" in found.refused["币安人生USDT"]


@pytest.mark.req("P-UNI-4")
def test_a_market_with_an_unread_filter_cannot_be_added():
    spoiled = {**FUTURE, "filters": FUTURE["filters"][:2]}
    found = binance(spoiled, {**FUTURE, "symbol": "ETHUSDT", "baseAsset": "ETH"})
    verdict = check_addition(
        "BINANCEUSDM:PERP:BTC-USDT:LINEAR", {"binanceusdm": found}, UniverseRules(), Decimal(60000)
    )
    assert not verdict.admitted
    assert "no NOTIONAL and no MIN_NOTIONAL" in verdict.findings[0].text


def test_half_a_listing_is_none():
    assert bybit_listing([bybit(LINEAR, cursor="page2")], T0) is None
    assert bybit_listing([], T0) is None
    assert okx_listing([], T0) is None
    assert okx_listing([b'{"code":"50011","data":[]}'], T0) is None
    whole = bybit_listing(
        [bybit(LINEAR, cursor="page2"), bybit({**LINEAR, "symbol": "ETHUSDT", "baseCoin": "ETH"})], T0
    )
    assert len(whole.markets) == 2


def test_a_funding_reply_that_is_none_makes_no_listing_with_guessed_intervals():
    assert binance(FUTURE, funding={"code": -1121}) is None
    assert binance_listing("okx", b"{}", T0) is None


@pytest.mark.recording
@pytest.mark.parametrize(("venue", "name"), [("gateio", "gate"), ("mexc", "mexc"), ("bybit", "bybit"), ("okx", "okx")])
def test_ccxts_markets_become_listings_that_agree_with_ccxt(venue, name):
    path = SHARED / "ccxt_static" / "markets" / f"{name}.json.xz"
    if not path.exists():
        pytest.skip("the bundled markets are not here")
    entries = json.loads(lzma.decompress(path.read_bytes()))
    found = ccxt_listing(venue, entries.values(), T0)
    stated = [entry for entry in entries.values() if not entry["option"]]
    assert len(found.markets) + len(found.refused) == len(stated)
    assert found.markets
    for market in found.markets.values():
        instrument = market.instrument
        entry = next(
            one for one in stated if market_of_ccxt(venue, one["symbol"]) == parse_market_id(market.instrument_id)
        )
        assert instrument.tick_size == Decimal(str(entry["precision"]["price"]))
        assert instrument.min_qty == Decimal(str(entry["limits"]["amount"]["min"]))
        assert instrument.rules_version
        if entry["limits"]["amount"]["max"] is None:
            assert instrument.max_qty == QTY_UNSTATED


@pytest.mark.recording
@pytest.mark.req("C-EXEC-4")
@pytest.mark.parametrize("name", ["gate", "mexc", "bybit", "okx"])
def test_quantities_are_rounded_to_the_markets_rules_as_ccxt_rounds_them(name):
    path = SHARED / "ccxt_static" / "markets" / f"{name}.json.xz"
    if not path.exists():
        pytest.skip("the bundled markets are not here")
    entries = json.loads(lzma.decompress(path.read_bytes()))
    exchange = getattr(ccxt, name)()
    exchange.set_markets(entries)
    symbols = {str(market_of_ccxt(name, symbol)): symbol for symbol, one in entries.items() if not one["option"]}
    compared = 0
    for market in ccxt_listing(name, entries.values(), T0).markets.values():
        one = market.instrument
        symbol = symbols[one.instrument_id]
        for wanted in (one.min_qty * 7 / 3, one.lot_size * Decimal("12345.678"), Decimal("1.23456789")):
            rounded = quantise_qty(one, wanted)
            if rounded:
                assert rounded == Decimal(exchange.amount_to_precision(symbol, f"{wanted:f}"))
                compared += 1
            else:
                assert wanted < max(one.min_qty, one.lot_size)
    assert compared > 20


@pytest.mark.recording
def test_the_recorded_listings_are_read_whole_and_do_not_differ_from_themselves():
    folder = SHARED / "binance" / "cryptofeed_raw"
    if not folder.is_dir():
        pytest.skip("the recordings are not here")
    for name, venue, count in (("BINANCE", "binance", 1695), ("BINANCE_FUTURES", "binanceusdm", 122)):
        item = next(one for one in read_recording(folder / f"{name}.0.txt.xz") if isinstance(one, Recorded))
        found = binance_listing(venue, item.payload, T0)
        assert (len(found.markets), found.refused) == (count, {})
        watch = ListingWatch(venue)
        watch.take(found)
        assert watch.take(binance_listing(venue, item.payload, T0)) == []
    spot = binance_listing("binance", _first(folder / "BINANCE.0.txt.xz"), T0)
    assert {market.status for market in spot.markets.values() if not market.tradable} == {"BREAK"}


def _first(path):
    return next(one for one in read_recording(path) if isinstance(one, Recorded)).payload


def test_a_ccxt_market_without_a_minimum_is_refused_and_not_taken_as_zero():
    entry = {
        "id": "X_USDT", "symbol": "X/USDT", "active": True, "maker": 0.001, "taker": 0.001,
        "precision": {"price": 0.01, "amount": 0.1},
        "limits": {"amount": {"min": 0.1, "max": None}, "cost": {"min": 5}},
    }  # fmt: skip
    assert len(ccxt_listing("gateio", [entry], T0).markets) == 1
    for spoiled in (
        {"limits": {"amount": {"min": None, "max": None}, "cost": {"min": 5}}},
        {"limits": {"amount": {"min": 0.1, "max": None}, "cost": {"min": None}}},
        {"precision": {"price": None, "amount": 0.1}},
        {"precision": {"price": 0.0, "amount": 0.1}},
        {"precision": {"price": float("nan"), "amount": 0.1}},
        {"limits": None},
        {"maker": None},
    ):
        found = ccxt_listing("gateio", [{**entry, **spoiled}], T0)
        assert found.markets == {}
        assert list(found.refused) == ["X_USDT"]


def test_funding_rules_that_are_told_elsewhere_are_added():
    rule = FundingRule(interval_min=60)
    found = with_funding(okx(SWAP), {"OKX:PERP:BTC-USDT:LINEAR": rule, "unknown": rule})
    assert found.markets["OKX:PERP:BTC-USDT:LINEAR"].funding == rule


@given(st.binary(max_size=200))
def test_no_bytes_make_a_listing_raise(payload):
    assert binance_listing("binance", payload, T0) is None or payload
    assert okx_listing([payload], T0) is None or payload
    assert bybit_listing([payload], T0) is None or payload
    assert binance_listing("binanceusdm", json.dumps({"symbols": [FUTURE]}).encode(), T0, payload) is None or payload
