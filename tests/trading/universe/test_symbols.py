"""Words for pairs and timeframes: every variant to one form, and back to each venue's own."""

from __future__ import annotations

import contextlib
import json
import lzma
from pathlib import Path

import ccxt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.universe.ids import parse_market_id
from trading.universe.symbols import (
    QUOTES,
    TIMEFRAMES,
    Pair,
    ccxt_symbol,
    market_of_ccxt,
    native_spot_symbol,
    native_timeframe,
    parse_pair,
    parse_timeframe,
    timeframe_s,
)

MARKETS = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "ccxt_static" / "markets"
CCXT_NAMES = {"binance": "binance", "okx": "okx", "bybit": "bybit", "gateio": "gate", "mexc": "mexc"}


@pytest.mark.parametrize(
    "text",
    [
        *("BTC/USDT", "btc/usdt", "BTC-USDT", "BTC_USDT", "BTCUSDT", "btcusdt", " Btc Usdt ", "XBTUSDT", "BTCUSDT.P"),
        *("BTC/USDT:USDT", "BTC/USDT:USDT-241227", "BTC-USDT-SWAP", "BTCUSDT_PERP", "BTCUSDT-PERP", "BTCUSDTPERP"),
        *("OKX:SPOT:BTC-USDT", "BINANCEUSDM:PERP:BTC-USDT:LINEAR"),
    ],
)
@pytest.mark.req("C-EXEC-2")
def test_every_spelling_of_a_pair_is_one_pair(text):
    assert str(parse_pair(text)) == "BTC/USDT"


def test_a_bare_asset_is_a_pair_only_with_a_quote_to_default_to():
    assert str(parse_pair("sol", default_quote="usdc")) == "SOL/USDC"
    with pytest.raises(ValueError, match="write BASE/QUOTE"):
        parse_pair("PEPE")


def test_a_joined_symbol_that_can_be_cut_twice_is_cut_where_a_known_base_remains_or_not_at_all():
    assert str(parse_pair("DOTUSD")) == "DOT/USD"
    assert str(parse_pair("BTCTUSD")) == "BTC/TUSD"
    assert str(parse_pair("SHIBUSD")) == "SHIB/USD"
    with pytest.raises(ValueError, match="AB/TUSD or ABT/USD"):
        parse_pair("ABTUSD")
    assert str(parse_pair("ABTUSD", bases={"ABT"})) == "ABT/USD"


@pytest.mark.parametrize("text", ["", "/", "BTC/", "/USDT", "BTC/BTC", "A/B/C", "BTC/US DT/X", "BTC;DROP/USDT"])
def test_what_means_no_pair_is_refused(text):
    with pytest.raises(ValueError, match=r"pair|BASE/QUOTE"):
        parse_pair(text)


@pytest.mark.req("C-EXEC-3")
@pytest.mark.parametrize("pair", [Pair("BTC", "USDT"), Pair("1000PEPE", "USDC"), Pair("ETH", "BTC")])
def test_gate_ios_own_symbol_goes_there_and_back(pair):
    native = native_spot_symbol(pair, "gateio")
    assert native == f"{pair.base}_{pair.quote}"
    assert parse_pair(native) == pair
    assert native_spot_symbol(parse_pair(str(pair)), "gateio") == native


@pytest.mark.recording
@pytest.mark.req("C-EXEC-3")
@pytest.mark.parametrize("venue", CCXT_NAMES)
def test_our_words_for_markets_are_those_that_ccxt_keeps_of_the_venue(venue):
    path = MARKETS / f"{CCXT_NAMES[venue]}.json.xz"
    if not path.exists():
        pytest.skip("the bundled markets are not here")
    compared = 0
    for entry in json.loads(lzma.decompress(path.read_bytes())).values():
        if entry["type"] == "option" or not entry["symbol"].isascii():
            continue
        market = market_of_ccxt(venue, entry["symbol"])
        assert parse_market_id(str(market)) == market
        expiry = entry["symbol"].partition("-")[2]
        assert ccxt_symbol(market, expiry) == entry["symbol"]
        pair = parse_pair(entry["symbol"])
        assert (pair.base, pair.quote) == (entry["base"], entry["quote"])
        if entry["spot"]:
            assert native_spot_symbol(pair, venue) == entry["id"]
            assert parse_pair(entry["id"]) == pair
            compared += 1
    assert compared >= 5


def test_an_option_is_no_market_here():
    with pytest.raises(ValueError, match="option"):
        market_of_ccxt("okx", "BTC/USD:BTC-241227-60000-C")
    with pytest.raises(ValueError, match="no unified symbol"):
        market_of_ccxt("okx", "BTCUSDT")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        *((word, "1m") for word in ("1m", "1", "1min", "M1", "m1", "PT1M", "1 minute", "m")),
        *((word, "15m") for word in ("15m", "15", "15MIN", "M15", "PT15M")),
        *((word, "1h") for word in ("1h", "1H", "60", "60m", "h1", "H1", "PT1H", "1 hour", "1HUTC")),
        *((word, "4h") for word in ("4h", "240", "4Hutc", "240m")),
        *((word, "1d") for word in ("1d", "1D", "D", "1Dutc", "24h", "1440")),
        *((word, "1w") for word in ("1w", "1W", "W", "7d", "1Wutc")),
        *((word, "1M") for word in ("1M", "M", "MN1", "1mo", "1 month", "1Mutc")),
        ("1s", "1s"),
    ],
)
@pytest.mark.req("C-EXEC-2")
def test_every_spelling_of_a_timeframe_is_one_timeframe(text, form):
    assert parse_timeframe(text) == form


@pytest.mark.parametrize("text", ["", "0m", "7m", "5h", "2M", "1y", "-1m", "1.5h", "hour glass", "99999m", "m15m"])
def test_what_is_no_timeframe_is_refused_with_the_known_ones(text):
    with pytest.raises(ValueError, match="use one of 1s, 1m"):
        parse_timeframe(text)


@pytest.mark.parametrize("venue", CCXT_NAMES)
@pytest.mark.req("C-EXEC-2")
def test_every_timeframe_that_a_venue_has_is_said_in_its_own_word_and_understood(venue):
    theirs = getattr(ccxt, CCXT_NAMES[venue])().timeframes
    spoken = 0
    for timeframe in TIMEFRAMES:
        try:
            word = native_timeframe(timeframe, venue)
        except ValueError:
            assert timeframe not in theirs or timeframe == "1w"
            continue
        spoken += 1
        assert parse_timeframe(word) == timeframe
        if timeframe in theirs and venue not in {"okx", "mexc"}:
            assert word == theirs[timeframe]
    assert spoken >= 9


def test_a_timeframe_has_a_length_but_a_month_has_none():
    assert timeframe_s("5m") == 300
    assert timeframe_s("1w") == 7 * 86_400
    with pytest.raises(ValueError, match="no fixed length"):
        timeframe_s("1M")


@given(st.sampled_from(["BTC", "ETH", "SOL", "XRP"]), st.sampled_from(QUOTES), st.sampled_from(["", "/", "-", "_"]))
def test_a_known_base_survives_every_separator(base, quote, separator):
    if base != quote:
        assert parse_pair(f"{base}{separator}{quote}") == Pair(base, quote)


@given(st.text(max_size=40))
def test_no_text_makes_the_normalisers_raise_anything_but_their_error(text):
    for read in (parse_pair, parse_timeframe):
        with contextlib.suppress(ValueError):
            assert read(text)
