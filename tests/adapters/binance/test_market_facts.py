"""Liquidations, the day's figures and derivatives of Binance: what its documents and its messages say, or a refusal."""

from __future__ import annotations

import json
import lzma
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "fuzz"))

import fuzz_targets
from fuzz_mutations import mutate

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import COINM, SPOT, USDM, instruments_of
from adapters.binance.replies import HOUR_NS, FundingTerms, Replies
from trading.instruments import Instrument
from trading.market.events import (
    FundingRate,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Ticker,
    WireRejected,
)

NOW = 1_785_870_840_000_000_000
MS = 1_000_000
USDM_BTC, COINM_BTC = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCECOINM:PERP:BTC-USD:INVERSE"
SPOT_BTC = "BINANCE:SPOT:BTC-USDT"
FIXTURES = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance" / "fixtures"
recorded = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no recordings at {FIXTURES}")

# As somebody saw it in 2022.
FORCED = {
    "e": "forceOrder",
    "E": 1650898329201,
    "o": {
        "s": "BTCUSDT",
        "S": "SELL",
        "o": "LIMIT",
        "f": "IOC",
        "q": "0.288",
        "p": "38886.54",
        "ap": "39021.00",
        "X": "FILLED",
        "l": "0.288",
        "z": "0.288",
        "T": 1650898329196,
    },
}
DAY = {
    "e": "24hrTicker",
    "E": 1568693103467,
    "s": "BTCUSDT",
    "p": "-88.17",
    "P": "-0.855",
    "w": "10223.98",
    "c": "10223.74",
    "Q": "2.097",
    "o": "10311.91",
    "h": "10329.38",
    "l": "10080.70",
    "v": "20248.900",
    "q": "207024349.13",
    "O": 1568606704662,
    "C": 1568693103463,
    "F": 148927,
    "L": 181349,
    "n": 32423,
}
PREMIUM = {
    "symbol": "BTCUSDT",
    "markPrice": "11793.63104562",
    "indexPrice": "11781.80495970",
    "estimatedSettlePrice": "11781.16138815",
    "lastFundingRate": "0.00038246",
    "nextFundingTime": 1597392000000,
    "interestRate": "0.00010000",
    "time": 1597370495002,
}


def encode(body) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def framed(stream, body) -> bytes:
    return encode({"stream": stream, "data": body})


def codec_of(venue) -> BinanceCodec:
    return BinanceCodec(venue, instruments_of(venue))


def replies_of(venue) -> Replies:
    return Replies(venue, instruments_of(venue))


def forced(**changes) -> dict:
    return {**FORCED, "o": {**FORCED["o"], **changes}}


def refusal(found, reason, *words) -> None:
    found = found if isinstance(found, list | tuple) else [found]
    (one,) = found
    assert isinstance(one, WireRejected)
    assert one.reason == reason
    assert len(one.excerpt) <= 200
    for word in words:
        assert word in one.excerpt


# --- Liquidations ----------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-10")
def test_a_sell_that_the_venue_forces_is_the_end_of_a_long():
    expected = Liquidation(
        instrument_id=USDM_BTC,
        side=PositionSide.LONG,
        price=Decimal("39021.00"),
        qty=Decimal("0.288"),
        ts_event_ns=1650898329196 * MS,
        ts_recv_ns=NOW,
    )
    assert codec_of(USDM).decode(framed("btcusdt@forceOrder", FORCED), NOW) == expected
    assert codec_of(USDM).decode(encode(FORCED), NOW) == expected
    bought = codec_of(USDM).decode(encode(forced(S="BUY")), NOW)
    assert bought.side is PositionSide.SHORT


def test_an_order_that_nobody_filled_has_the_price_that_it_asks():
    for unfilled in ("0", "0.00", ""):
        found = codec_of(USDM).decode(encode(forced(ap=unfilled, X="NEW", z="0", l="0")), NOW)
        assert found.price == Decimal("38886.54")
        assert found.qty == Decimal("0.288")


def test_a_liquidation_of_coin_margined_contracts_counts_contracts():
    order = {**FORCED["o"], "s": "BTCUSD_PERP", "ps": "BTCUSD", "q": "17", "p": "9425.5", "ap": "9496.5"}
    for payload in (encode({**FORCED, "o": order}), framed("btcusd_perp@forceOrder", {**FORCED, "o": order})):
        found = codec_of(COINM).decode(payload, NOW)
        assert found.instrument_id == COINM_BTC
        assert (found.price, found.qty) == (Decimal("9496.5"), Decimal(17))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"q": "0"}, "bad_number"),
        ({"q": "-1"}, "bad_number"),
        ({"q": "1e5"}, "bad_number"),
        ({"ap": "NaN"}, "bad_number"),
        ({"ap": "0", "p": "0"}, "zero_price"),
        ({"ap": "-1"}, "bad_number"),
        ({"T": 1650898329}, "malformed"),
        ({"S": "LONG"}, "malformed"),
        ({"s": "ETHUSDT"}, "symbol_mismatch"),
    ],
)
def test_a_liquidation_that_cannot_be_is_one_refusal(changes, reason):
    refusal(codec_of(USDM).decode(framed("btcusdt@forceOrder", forced(**changes)), NOW), reason)


def test_a_liquidation_of_a_stranger_is_refused():
    refusal(codec_of(USDM).decode(encode(forced(s="XRPUSDT")), NOW), "unknown_symbol", "XRPUSDT")
    refusal(codec_of(USDM).decode(encode({"e": "forceOrder", "E": 1650898329201, "o": "none"}), NOW), "malformed")


def test_spot_has_no_liquidations():
    refusal(codec_of(SPOT).decode(encode(FORCED), NOW), "unknown_event")
    refusal(codec_of(SPOT).decode(framed("btcusdt@forceOrder", FORCED), NOW), "unknown_event")


# --- The day ---------------------------------------------------------------------------------------------


def test_the_last_price_of_a_future_is_neither_its_mark_nor_its_best_prices():
    for payload in (framed("btcusdt@ticker", DAY), encode(DAY)):
        found = codec_of(USDM).decode(payload, NOW)
        assert found == Ticker(
            instrument_id=USDM_BTC,
            last_price=Decimal("10223.74"),
            last_qty=Decimal("2.097"),
            open_24h=Decimal("10311.91"),
            high_24h=Decimal("10329.38"),
            low_24h=Decimal("10080.70"),
            volume_24h=Decimal("20248.900"),
            turnover_24h=Decimal("207024349.13"),
            ts_event_ns=1568693103467 * MS,
            ts_recv_ns=NOW,
        )


def test_spot_repeats_its_best_prices_and_an_empty_side_has_none():
    best = {"b": "10223.70", "B": "3.5", "a": "0.00000000", "A": "0.00000000"}
    found = codec_of(SPOT).decode(framed("btcusdt@ticker", DAY | best), NOW)
    assert (found.instrument_id, found.bid_price, found.bid_qty) == (SPOT_BTC, Decimal("10223.70"), Decimal("3.5"))
    assert (found.ask_price, found.ask_qty) == (None, None)


def test_the_turnover_of_an_inverse_contract_is_not_in_its_quote_currency():
    found = codec_of(COINM).decode(framed("btcusd_perp@ticker", DAY | {"s": "BTCUSD_PERP", "ps": "BTCUSD"}), NOW)
    assert found.volume_24h == Decimal("20248.900")
    assert found.turnover_24h is None
    row = {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "lastPrice": "9651.6", "volume": "494109"}
    row |= {"baseVolume": "5192.94797687", "closeTime": 1591256718418}
    (found,) = replies_of(COINM).decode("ticker", encode([row]), COINM_BTC, NOW)
    assert (found.volume_24h, found.turnover_24h) == (Decimal(494109), None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"c": "0.00"}, "zero_price"),
        ({"c": ""}, "bad_number"),
        ({"v": "-1"}, "bad_number"),
        ({"h": "Infinity"}, "bad_number"),
        ({"E": 1568693103467000}, "malformed"),
        ({"s": "ETHUSDT"}, "symbol_mismatch"),
    ],
)
def test_figures_that_cannot_be_are_one_refusal(changes, reason):
    refusal(codec_of(USDM).decode(framed("btcusdt@ticker", DAY | changes), NOW), reason)


# --- REST ------------------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-9")
@pytest.mark.req("P-MD-10")
def test_the_premium_index_is_a_mark_price_and_the_funding_that_is_forming():
    for body in (PREMIUM, [{**PREMIUM, "symbol": "XRPUSDT"}, PREMIUM]):
        mark, funding = replies_of(USDM).decode("premium_index", encode(body), USDM_BTC, NOW)
        assert mark == MarkPrice(
            instrument_id=USDM_BTC,
            mark_price=Decimal("11793.63104562"),
            index_price=Decimal("11781.80495970"),
            funding_rate=Decimal("0.00038246"),
            next_funding_ns=1597392000000 * MS,
            ts_event_ns=1597370495002 * MS,
            ts_recv_ns=NOW,
        )
        assert funding == FundingRate(
            instrument_id=USDM_BTC,
            funding_rate=Decimal("0.00038246"),
            funding_ns=1597392000000 * MS,
            ts_event_ns=1597370495002 * MS,
            ts_recv_ns=NOW,
        )


def test_a_dated_future_has_a_mark_price_and_no_funding():
    perpetual = instruments_of(COINM)[0]
    dated = Instrument(
        **{name: getattr(perpetual, name) for name in perpetual.__struct_fields__}
        | {"instrument_id": "BINANCECOINM:FUT200925:BTC-USD:INVERSE", "symbol": "BTCUSD_200925"}
    )
    replies = Replies(COINM, [perpetual, dated])
    row = {**PREMIUM, "symbol": "BTCUSD_200925", "pair": "BTCUSD", "lastFundingRate": "", "nextFundingTime": 0}
    (mark,) = replies.decode("premium_index", encode([row]), dated.instrument_id, NOW)
    assert (mark.funding_rate, mark.next_funding_ns) == (None, None)
    both = replies.decode("premium_index", encode([row, {**PREMIUM, "symbol": "BTCUSD_PERP"}]), "", NOW)
    assert [type(event) for event in both] == [MarkPrice, MarkPrice, FundingRate]


@pytest.mark.req("P-MD-9")
def test_the_terms_of_funding_go_with_the_rates_that_come_after_them():
    replies = replies_of(USDM)
    rows = [
        {
            "symbol": "BTCUSDT",
            "adjustedFundingRateCap": "0.02500000",
            "adjustedFundingRateFloor": "-0.02500000",
            "fundingIntervalHours": 4,
            "disclaimer": False,
        },
        {"symbol": "BLZUSDT", "fundingIntervalHours": 8},
    ]
    assert list(replies.decode("funding_info", encode(rows), "", NOW)) == []
    _, funding = replies.decode("premium_index", encode(PREMIUM), USDM_BTC, NOW)
    assert (funding.min_rate, funding.max_rate) == (Decimal("-0.025"), Decimal("0.025"))
    assert funding.next_funding_ns - funding.funding_ns == 4 * HOUR_NS
    eth = "BINANCEUSDM:PERP:ETH-USDT:LINEAR"
    _, funding = replies.decode("premium_index", encode({**PREMIUM, "symbol": "ETHUSDT"}), eth, NOW)
    assert (funding.min_rate, funding.next_funding_ns - funding.funding_ns) == (None, 8 * HOUR_NS)
    # What is no longer named has the usual terms again; what cannot be believed changes nothing.
    before = dict(replies.terms)
    refusal(replies.decode("funding_info", encode([{**rows[0], "fundingIntervalHours": 0}]), "", NOW), "malformed")
    refusal(replies.decode("funding_info", encode([{**rows[0], "adjustedFundingRateCap": "x"}]), "", NOW), "bad_number")
    assert replies.terms == before
    replies.decode("funding_info", b"[]", "", NOW)
    assert replies.terms[USDM_BTC] == FundingTerms()


@pytest.mark.req("P-MD-10")
def test_the_history_of_funding_tells_what_was_settled_oldest_first():
    rows = [
        {"symbol": "BTCUSDT", "fundingTime": 1698796800000, "fundingRate": "-0.00020000", "markPrice": ""},
        {"symbol": "BTCUSDT", "fundingTime": 1698768000001, "fundingRate": "0.00010000", "markPrice": "34287.5"},
    ]
    first, second = replies_of(USDM).decode("funding_rate", encode(rows), USDM_BTC, NOW)
    assert (first.funding_ns, first.funding_rate, first.settled_rate) == (
        1698768000001 * MS,
        Decimal("0.0001"),
        Decimal("0.0001"),
    )
    assert (second.funding_ns, second.settled_rate) == (1698796800000 * MS, Decimal("-0.0002"))


@pytest.mark.req("P-MD-10")
def test_open_interest_is_in_contracts_where_contracts_are_traded():
    linear = {"openInterest": "10659.509", "symbol": "BTCUSDT", "time": 1589437530011}
    (found,) = replies_of(USDM).decode("open_interest", encode(linear), USDM_BTC, NOW)
    assert found == OpenInterest(
        instrument_id=USDM_BTC,
        qty=Decimal("10659.509"),
        base_qty=Decimal("10659.509"),
        ts_event_ns=1589437530011 * MS,
        ts_recv_ns=NOW,
    )
    inverse = {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "openInterest": "15004", "contractType": "PERPETUAL"}
    (found,) = replies_of(COINM).decode("open_interest", encode(inverse), COINM_BTC, NOW)
    assert (found.qty, found.base_qty, found.ts_event_ns) == (Decimal(15004), None, 0)


@pytest.mark.req("P-MD-10")
def test_ratios_are_of_a_symbol_or_of_the_pair_that_contracts_share():
    row = {"longShortRatio": "1.9559", "longAccount": "0.6617", "shortAccount": "0.3382"}
    linear = [row | {"symbol": "BTCUSDT", "timestamp": text} for text in ("1583139900000", "1583139600000")]
    older, newer = replies_of(USDM).decode("long_short_ratio", encode(linear), USDM_BTC, NOW)
    assert older.ts_event_ns < newer.ts_event_ns == 1583139900000 * MS
    assert newer == LongShortRatio(
        instrument_id=USDM_BTC, ratio=Decimal("1.9559"), ts_event_ns=1583139900000 * MS, ts_recv_ns=NOW
    )
    inverse = [row | {"pair": "BTCUSD", "timestamp": 1583139600000}]
    (found,) = replies_of(COINM).decode("long_short_ratio", encode(inverse), COINM_BTC, NOW)
    assert found.instrument_id == COINM_BTC
    refusal(
        replies_of(USDM).decode("long_short_ratio", encode(inverse), USDM_BTC, NOW), "unknown_symbol", "says nothing"
    )


@pytest.mark.parametrize(
    ("channel", "body", "reason"),
    [
        ("premium_index", {**PREMIUM, "markPrice": "0"}, "zero_price"),
        ("premium_index", {**PREMIUM, "nextFundingTime": 1597392000}, "bad_number"),
        ("premium_index", {**PREMIUM, "time": 1597370495}, "malformed"),
        ("premium_index", {**PREMIUM, "lastFundingRate": "1e-5"}, "bad_number"),
        ("premium_index", {**PREMIUM, "symbol": "ETHUSDT"}, "unknown_symbol"),
        ("premium_index", [], "unknown_symbol"),
        ("premium_index", {"code": -1121, "msg": "Invalid symbol."}, "venue_error"),
        ("open_interest", {"symbol": "BTCUSDT", "openInterest": "-1"}, "bad_number"),
        ("open_interest", {"symbol": "BTCUSDT", "openInterest": 10659.509}, "malformed"),
        ("long_short_ratio", [{"symbol": "BTCUSDT", "longShortRatio": "1", "timestamp": "now"}], "bad_number"),
        ("funding_rate", [{"symbol": "BTCUSDT", "fundingTime": 1, "fundingRate": "1"}], "malformed"),
        ("ticker", {"symbol": "BTCUSDT", "closeTime": 1597370495002, "lastPrice": "0.0"}, "zero_price"),
        ("candles", [], "unknown_event"),
    ],
)
def test_a_reply_that_cannot_be_believed_is_one_refusal_that_names_its_channel(channel, body, reason):
    refusal(replies_of(USDM).decode(channel, encode(body), USDM_BTC, NOW), reason, f"{channel}: ")


def test_one_bad_row_refuses_a_reply_whole():
    rows = [PREMIUM, {**PREMIUM, "symbol": "ETHUSDT", "markPrice": "-1"}]
    refusal(replies_of(USDM).decode("premium_index", encode(rows), "", NOW), "zero_price")


# --- Anything --------------------------------------------------------------------------------------------

CASES = {
    "premium_index": PREMIUM,
    "open_interest": {"openInterest": "10659.509", "symbol": "BTCUSDT", "time": 1589437530011},
    "long_short_ratio": [{"symbol": "BTCUSDT", "longShortRatio": "1.95", "timestamp": "1583139600000"}],
    "funding_rate": [{"symbol": "BTCUSDT", "fundingTime": 1698768000001, "fundingRate": "0.00010000"}],
    "funding_info": [{"symbol": "BTCUSDT", "adjustedFundingRateCap": "0.025", "fundingIntervalHours": 8}],
    "ticker": {"symbol": "BTCUSDT", "lastPrice": "4.00000200", "volume": "8913.3", "closeTime": 1499869899040},
}


def believed(events, channel) -> None:
    events = list(events)
    for event in events:
        fuzz_targets.believable(event)
    if any(isinstance(event, WireRejected) for event in events):
        (one,) = events
        assert one.excerpt.startswith(f"{channel}: ")


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(CASES)), st.randoms(use_true_random=False), st.sampled_from(["", USDM_BTC]))
def test_changed_replies_are_believed_or_refused(channel, dice, asked):
    replies = replies_of(USDM)
    believed(replies.decode(channel, mutate(encode(CASES[channel]), dice), asked, NOW), channel)
    believed(replies.decode("premium_index", encode(PREMIUM), USDM_BTC, NOW), "premium_index")


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([FORCED, DAY]), st.booleans(), st.randoms(use_true_random=False))
def test_changed_messages_are_believed_or_refused(body, bare, dice):
    stream = "btcusdt@forceOrder" if body is FORCED else "btcusdt@ticker"
    payload = mutate(encode(body) if bare else framed(stream, body), dice)
    for venue in (SPOT, USDM, COINM):
        for line in payload.split(b"\n"):
            found = codec_of(venue).decode(line, NOW)
            if found is not None:
                fuzz_targets.believable(found)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.text(max_size=20), st.sampled_from(["", USDM_BTC, "nobody"]))
def test_any_reply_of_any_channel_is_read_or_refused(payload, channel, asked):
    for one in (channel, *CASES):
        for event in replies_of(USDM).decode(one, payload, asked, NOW):
            fuzz_targets.believable(event)


# --- What others collected -------------------------------------------------------------------------------

COLLECTED = {
    "UsdFutures/ExchangeData/GetMarkPrice": ("premium_index", [MarkPrice, FundingRate]),
    "UsdFutures/ExchangeData/GetOpenInterest": ("open_interest", [OpenInterest]),
    "UsdFutures/ExchangeData/GetGlobalLongShortAccountRatio": ("long_short_ratio", [LongShortRatio] * 2),
    "UsdFutures/ExchangeData/GetFundingRates": ("funding_rate", [FundingRate] * 2),
    "UsdFutures/ExchangeData/GetFundingInfo": ("funding_info", []),
    "UsdFutures/ExchangeData/GetTicker": ("ticker", [Ticker]),
    "CoinFutures/ExchangeData/GetMarkPrices": ("premium_index", [MarkPrice, FundingRate, MarkPrice]),
    "CoinFutures/ExchangeData/GetOpenInterest": ("open_interest", [OpenInterest]),
    "CoinFutures/ExchangeData/GetGlobalLongShortAccountRatio": ("long_short_ratio", [LongShortRatio] * 2),
    "CoinFutures/ExchangeData/GetFundingRates": ("funding_rate", [FundingRate] * 2),
    "CoinFutures/ExchangeData/GetFundingInfo": ("funding_info", []),
    "CoinFutures/ExchangeData/GetTickers": ("ticker", [Ticker]),
    "Spot/ExchangeData/GetTicker": ("ticker", [Ticker]),
}
MARKETS = {"UsdFutures": USDM, "CoinFutures": COINM, "Spot": SPOT}


def collected(name):
    with lzma.open(FIXTURES / f"{name}.jsonl.xz", "rt") as lines:
        return [json.loads(line) for line in lines]


def as_followed(venue, symbols) -> list[Instrument]:
    """The instruments of messages: those that propdesk knows under the names that the messages have."""
    known = instruments_of(venue)[0]
    fields = {name: getattr(known, name) for name in known.__struct_fields__}
    return [
        Instrument(**fields | {"symbol": symbol, "instrument_id": f"{known.instrument_id}:{symbol}"})
        for symbol in symbols
    ]


@recorded
@pytest.mark.recording
@pytest.mark.req("P-MD-10")
def test_every_derivatives_reply_that_others_collected_is_read():
    found = {one["name"]: one for one in collected("jkorf_binance") if one["name"] in COLLECTED}
    assert set(found) == set(COLLECTED)
    for name, (channel, kinds) in COLLECTED.items():
        venue, body = MARKETS[name.partition("/")[0]], found[name]["response"]
        rows = body if isinstance(body, list) else [body]
        symbols = dict.fromkeys(row.get("symbol", "BTCUSD_PERP") for row in rows)
        replies = Replies(venue, as_followed(venue, symbols))
        assert [type(event) for event in replies.decode(channel, encode(body), "", NOW)] == kinds, name


@recorded
@pytest.mark.recording
@pytest.mark.req("P-MD-10")
def test_every_liquidation_and_ticker_that_others_collected_is_read():
    seen = []
    for one in collected("tardis_messages_binance"):
        message = one["message"]
        kind = message.get("data", {}).get("e")
        if kind not in {"forceOrder", "24hrTicker"}:
            continue
        venue = SPOT if one["exchange"] == "binance" else USDM
        symbol = message["stream"].partition("@")[0].upper()
        event = BinanceCodec(venue, as_followed(venue, [symbol])).decode(encode(message), NOW)
        assert isinstance(event, Liquidation | Ticker), event
        seen.append(event)
    assert [type(event) for event in seen].count(Liquidation) == 1
    assert [type(event) for event in seen].count(Ticker) == 3
    (forced_one,) = (event for event in seen if isinstance(event, Liquidation))
    assert (forced_one.side, forced_one.price) == (PositionSide.SHORT, Decimal("4706.04"))
    assert all(event.last_price > 0 for event in seen if isinstance(event, Ticker))
