"""What venues are asked again and again: a reply gives events of what was asked for, or a refusal that says why."""

from __future__ import annotations

import asyncio
import json
import lzma
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import aiohttp
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "fuzz"))

import fuzz_targets
from fuzz_mutations import mutate

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.bybit.instruments import BYBIT
from adapters.clock import SystemClock
from adapters.okx.instruments import OKX
from adapters.simserver.server import SimServer, SimServerSpec
from adapters.sources import Frame, SourceSpec
from adapters.streams import events as e
from adapters.streams.dialects import dialect_of
from adapters.streams.dialects.base import Endpoints
from adapters.streams.feed import Feed, FeedSpec
from adapters.streams.topics import TopicKind
from adapters.venue_codecs import KNOWN, open_codec
from tests.waiting import PATIENCE_S
from trading.instruments import Instrument
from trading.market.events import InstrumentStatus, LongShortRatio, WireRejected

NOW = 1_785_870_840_000_000_000
CLOCK = SystemClock()
ALL = frozenset(TopicKind)
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
recorded = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recordings at {SHARED}")

# By feed: what it speaks of, what its streams say and what is polled beside them (listings apart, which all have).
STREAMED = {"DepthUpdate", "DepthSnapshot", "BookTicker", "Trade", "Ticker"}
DERIVED = {"MarkPrice", "FundingRate", "OpenInterest"}
FEEDS = {
    "spot": (SPOT, ["BINANCE:SPOT:BTC-USDT"], STREAMED, {}),
    "usdm": (
        USDM,
        ["BINANCEUSDM:PERP:BTC-USDT:LINEAR"],
        STREAMED | {"MarkPrice", "Liquidation"},
        {
            "premium_index": ["MarkPrice", "FundingRate"],
            "open_interest": ["OpenInterest"],
            "long_short_ratio": ["LongShortRatio"],
        },
    ),
    "coinm": (
        COINM,
        ["BINANCECOINM:PERP:BTC-USD:INVERSE"],
        STREAMED | {"MarkPrice"},
        {
            "premium_index": ["MarkPrice", "FundingRate"],
            "open_interest": ["OpenInterest"],
            "long_short_ratio": ["LongShortRatio"],
        },
    ),
    "okx": (
        OKX,
        ["OKX:SPOT:BTC-USDT", "OKX:PERP:BTC-USDT:LINEAR", "OKX:PERP:BTC-USD:INVERSE"],
        STREAMED | DERIVED | {"IndexPrice", "Liquidation"},
        {"long_short_ratio": ["LongShortRatio"]},
    ),
    "bybit-spot": (BYBIT, ["BYBIT:SPOT:BTC-USDT"], STREAMED | {"IndexPrice"}, {}),
    "bybit-linear": (
        BYBIT,
        ["BYBIT:PERP:BTC-USDT:LINEAR"],
        STREAMED | DERIVED | {"Liquidation"},
        {"long_short_ratio": ["LongShortRatio"]},
    ),
    "bybit-inverse": (
        BYBIT,
        ["BYBIT:PERP:BTC-USD:INVERSE"],
        STREAMED | DERIVED,
        {"long_short_ratio": ["LongShortRatio"]},
    ),
}


def instruments_of(feed) -> list[Instrument]:
    return [KNOWN[name] for name in FEEDS[feed][1]]


def codec_of(feed):
    return open_codec(FEEDS[feed][0], instruments_of(feed))


def encode(body) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def kinds(events) -> list[str]:
    return [type(event).__name__ for event in events]


def refusal(events, reason, *words) -> None:
    (one,) = events
    assert isinstance(one, WireRejected)
    assert one.reason == reason
    assert len(one.excerpt) <= 200
    for word in words:
        assert word in one.excerpt


async def server_of(feed) -> SimServer:
    venue, names, *_ = FEEDS[feed]
    source = SourceSpec(anchor_ns=CLOCK.wall_ns(), seed=11)
    server = SimServer(SimServerSpec(venue=venue, source=source, instruments=tuple(names)), CLOCK)
    await server.start()
    return server


async def asked_once(feed) -> list[tuple[str, str, bytes]]:
    """Every poll of a feed that is asked for everything: its channel, what it was asked of, and the reply."""
    server = await server_of(feed)
    try:
        endpoints = Endpoints(ws=server.base_ws, rest=server.base_http)
        dialect = dialect_of(FEEDS[feed][0], instruments_of(feed), endpoints)
        by_symbol = {one.symbol: one.instrument_id for one in instruments_of(feed)}
        found = []
        async with aiohttp.ClientSession() as session:
            for poll in dialect.polls(ALL):
                async with session.get(poll.request.url, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as reply:
                    assert reply.status == 200, poll.request.url
                    name = by_symbol.get(poll.request.symbol, poll.request.symbol)
                    found.append((poll.request.channel, name, await reply.read()))
        return found
    finally:
        await server.close()


@pytest.mark.req("P-MD-9")
@pytest.mark.req("P-MD-10")
@pytest.mark.parametrize("feed", FEEDS)
async def test_every_reply_that_a_feed_polls_gives_events_of_what_was_asked(feed):
    codec, told, listed = codec_of(feed), Counter(), []
    for channel, name, body in await asked_once(feed):
        events = codec.decode_polled(channel, body, name, NOW)
        if channel == "funding_info":
            assert not events  # the terms of later rates
            continue
        assert events
        if channel == "instruments":
            assert all(isinstance(event, InstrumentStatus) and event.tradable for event in events)
            assert all(event.rules_version for event in events)
            listed += events
        else:
            assert kinds(events) == FEEDS[feed][3][channel]
            told[channel] += 1
        if name:
            assert {event.instrument_id for event in events} == {name}
    contracts = [one for one in instruments_of(feed) if ":SPOT:" not in one.instrument_id]
    assert told == {channel: len(contracts) for channel in FEEDS[feed][3]}
    # Each instrument once, though the venue listed whole markets.
    assert sorted(event.instrument_id for event in listed) == sorted(FEEDS[feed][1])


@pytest.mark.req("P-MD-10")
@pytest.mark.parametrize("feed", FEEDS)
async def test_a_feed_that_is_asked_for_everything_says_nothing_that_cannot_be_read(feed):
    venue, _, expected, _ = FEEDS[feed]
    server, woken = await server_of(feed), asyncio.Event()
    endpoints = Endpoints(ws=server.base_ws, rest=server.base_http)
    spec = FeedSpec(venue=venue, instruments=tuple(instruments_of(feed)), endpoints=endpoints, topics=ALL)
    source, codec = Feed(spec, CLOCK, woken.set), codec_of(feed)
    by_symbol = {one.symbol: one.instrument_id for one in instruments_of(feed)}
    seen: Counter[str] = Counter()
    try:
        source.start()
        async with asyncio.timeout(2 * PATIENCE_S):
            while expected - set(seen):
                await woken.wait()
                woken.clear()
                for item in source.drain(5000):
                    match item:
                        case Frame(payload=payload, ts_recv_ns=ts, symbol=None):
                            found = codec.decode(payload, ts)
                        case Frame(payload=payload, ts_recv_ns=ts, symbol=str(symbol)):
                            found = codec.decode_snapshot(payload, by_symbol[symbol], ts)
                        case e.Polled():
                            name = by_symbol.get(item.symbol, item.symbol)
                            found = codec.decode_polled(item.channel, item.payload, name, item.ts_ns)
                        case _:
                            assert not isinstance(item, e.TopicRefused | e.FetchFailed | e.Overflowed), item
                            continue
                    for event in fuzz_targets.as_answer(found):
                        assert not isinstance(event, WireRejected), event
                        seen[type(event).__name__] += 1
    finally:
        await source.close()
        await server.close()


# What REST offers beside the polls: the desk's word, the path, and what its events are.
BESIDE = {
    "spot": [("ticker", "/api/v3/ticker/24hr?symbol=BTCUSDT", {"Ticker"})],
    "usdm": [
        ("ticker", "/fapi/v1/ticker/24hr?symbol=BTCUSDT", {"Ticker"}),
        ("funding_rate", "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=10", {"FundingRate"}),
        ("funding_info", "/fapi/v1/fundingInfo", set()),
    ],
    "coinm": [
        ("ticker", "/dapi/v1/ticker/24hr?symbol=BTCUSD_PERP", {"Ticker"}),
        ("funding_rate", "/dapi/v1/fundingRate?symbol=BTCUSD_PERP&limit=10", {"FundingRate"}),
        ("funding_info", "/dapi/v1/fundingInfo", set()),
    ],
    "okx": [
        ("ticker", "/api/v5/market/ticker?instId=BTC-USD-SWAP", {"Ticker"}),
        ("funding_rate", "/api/v5/public/funding-rate?instId=BTC-USD-SWAP", {"FundingRate"}),
        ("funding_rate", "/api/v5/public/funding-rate-history?instId=BTC-USD-SWAP&limit=10", {"FundingRate"}),
        ("open_interest", "/api/v5/public/open-interest?instType=SWAP&instId=BTC-USD-SWAP", {"OpenInterest"}),
        ("mark_price", "/api/v5/public/mark-price?instType=SWAP&instId=BTC-USD-SWAP", {"MarkPrice"}),
    ],
    "bybit-spot": [("ticker", "/v5/market/tickers?category=spot&symbol=BTCUSDT", {"Ticker", "IndexPrice"})],
    "bybit-linear": [
        ("ticker", "/v5/market/tickers?category=linear&symbol=BTCUSDT", DERIVED | {"Ticker"}),
        ("funding_rate", "/v5/market/funding/history?category=linear&symbol=BTCUSDT&limit=10", {"FundingRate"}),
        (
            "open_interest",
            "/v5/market/open-interest?category=linear&symbol=BTCUSDT&intervalTime=5min",
            {"OpenInterest"},
        ),
    ],
    "bybit-inverse": [
        ("ticker", "/v5/market/tickers?category=inverse&symbol=BTCUSD", DERIVED | {"Ticker"}),
        ("funding_rate", "/v5/market/funding/history?category=inverse&symbol=BTCUSD&limit=10", {"FundingRate"}),
        (
            "open_interest",
            "/v5/market/open-interest?category=inverse&symbol=BTCUSD&intervalTime=5min",
            {"OpenInterest"},
        ),
    ],
}


@pytest.mark.req("P-MD-10")
@pytest.mark.parametrize("feed", FEEDS)
async def test_what_rest_says_of_derivatives_past_and_present_is_read(feed):
    server, codec, name = await server_of(feed), codec_of(feed), FEEDS[feed][1][-1]
    try:
        async with aiohttp.ClientSession() as session:
            for channel, path, expected in BESIDE[feed]:
                limit = aiohttp.ClientTimeout(total=PATIENCE_S)
                async with session.get(server.base_http + path, timeout=limit) as reply:
                    assert reply.status == 200, path
                    events = codec.decode_polled(channel, await reply.read(), name, NOW)
                assert set(kinds(events)) == expected, (path, events)
                past = [event.funding_ns for event in events if channel == "funding_rate"]
                assert past == sorted(past)
    finally:
        await server.close()


# --- Listings --------------------------------------------------------------------------------------------


def future(symbol="BTCUSDT", base="BTC", **changes):
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ]
    row = {"symbol": symbol, "status": "TRADING", "contractType": "PERPETUAL", "baseAsset": base}
    return row | {"quoteAsset": "USDT", "marginAsset": "USDT", "filters": filters} | changes


def told_of(codec, *rows):
    return codec.decode_polled("instruments", encode({"symbols": list(rows)}), "", NOW)


@pytest.mark.req("P-MD-9")
def test_a_listing_is_told_for_what_is_followed_and_its_version_changes_with_the_rules():
    codec = codec_of("usdm")
    strangers = [future("XRPUSDT", "XRP"), {"symbol": "BROKEN"}, {"filters": []}, 7]
    (first,) = told_of(codec, *strangers, future())
    assert first == InstrumentStatus(
        instrument_id="BINANCEUSDM:PERP:BTC-USDT:LINEAR",
        symbol="BTCUSDT",
        status="TRADING",
        tradable=True,
        rules_version=first.rules_version,
        ts_recv_ns=NOW,
    )
    (again,) = told_of(codec, future("XRPUSDT", "XRP", status="BREAK"), future())
    assert again == first
    (finer,) = told_of(
        codec, future(filters=[{**future()["filters"][0], "tickSize": "0.01"}, *future()["filters"][1:]])
    )
    assert finer.rules_version != first.rules_version
    (closing,) = told_of(codec, future(status="SETTLING"))
    assert (closing.status, closing.tradable) == ("SETTLING", False)


@pytest.mark.req("P-MD-9")
def test_an_instrument_whose_rules_are_not_to_be_had_is_refused_by_name():
    codec = codec_of("usdm")
    refusal(told_of(codec, future("XRPUSDT", "XRP")), "unknown_symbol", "instruments: ", "BTCUSDT")
    refusal(told_of(codec, future(filters=[])), "malformed", "instruments: BTCUSDT: ", "PRICE_FILTER")
    # The symbol has come to mean another market.
    refusal(told_of(codec, future(baseAsset="BTCDOM")), "symbol_mismatch", "BTCDOM-USDT")
    refusal(codec.decode_polled("instruments", b'{"code":-1003,"msg":"Way too many"}', "", NOW), "venue_error", "-1003")


def test_a_listing_of_another_type_does_not_miss_what_it_does_not_list():
    spot = {
        "instId": "BTC-USDT",
        "instType": "SPOT",
        "baseCcy": "BTC",
        "quoteCcy": "USDT",
        "state": "live",
        "tickSz": "0.1",
        "lotSz": "0.00000001",
        "minSz": "0.00001",
        "maxLmtSz": "9999999999",
        "maxMktSz": "1000000",
    }
    codec = codec_of("okx")
    (found,) = codec.decode_polled("instruments", encode({"code": "0", "data": [spot]}), "", NOW)
    assert (found.instrument_id, found.status, found.tradable) == ("OKX:SPOT:BTC-USDT", "live", True)
    (gone,) = codec.decode_polled(
        "instruments", encode({"code": "0", "data": [spot | {"instId": "ETH-USDT", "baseCcy": "ETH"}]}), "", NOW
    )
    assert (type(gone), gone.reason) == (WireRejected, "unknown_symbol")
    refusal(codec.decode_polled("instruments", b'{"code":"50011","data":[]}', "", NOW), "venue_error", "50011")
    refusal(codec.decode_polled("instruments", b'{"code":"0","data":[]}', "", NOW), "unknown_symbol", "says nothing")


# --- What was not asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize("feed", FEEDS)
def test_a_channel_that_nobody_knows_is_refused_by_name(feed):
    name = FEEDS[feed][1][-1]
    refusal(
        codec_of(feed).decode_polled("candles", b"[]", name, NOW), "unknown_event" if feed != "okx" else "malformed"
    )
    refusal(codec_of(feed).decode_polled("candles", b"[]", "nobody", NOW), "unknown_symbol", "candles: nobody")


@pytest.mark.parametrize(
    ("feed", "body"),
    [
        ("usdm", []),
        ("coinm", [{"pair": "ETHUSD", "longShortRatio": "1", "timestamp": 1583139600000}]),
        ("okx", {"code": "0", "msg": "", "data": []}),
        ("bybit-linear", {"retCode": 0, "retMsg": "OK", "result": {"list": []}}),
    ],
)
def test_a_reply_that_says_nothing_of_what_was_asked_is_noticed(feed, body):
    found = codec_of(feed).decode_polled("long_short_ratio", encode(body), FEEDS[feed][1][-1], NOW)
    refusal(found, "unknown_symbol", "long_short_ratio: says nothing")


def test_what_another_instrument_says_is_no_answer():
    swap = {"instId": "BTC-USDT-SWAP", "oi": "5000", "oiCcy": "50", "ts": "1597026383085"}
    body = encode({"code": "0", "data": [swap]})
    codec = codec_of("okx")
    assert kinds(codec.decode_polled("open_interest", body, "OKX:PERP:BTC-USDT:LINEAR", NOW)) == ["OpenInterest"]
    refusal(codec.decode_polled("open_interest", body, "OKX:PERP:BTC-USD:INVERSE", NOW), "unknown_symbol")


def test_the_newest_of_several_ratios_is_told():
    rows = [["1630502100000", "1.25"], ["1630501800000", "1.2"]]
    bodies = {
        "okx": {"code": "0", "data": rows},
        "usdm": [{"symbol": "BTCUSDT", "longShortRatio": ratio, "timestamp": int(ms)} for ms, ratio in rows],
        "bybit-linear": {
            "retCode": 0,
            "result": {
                "list": [
                    {"symbol": "BTCUSDT", "buyRatio": ratio, "sellRatio": "1", "timestamp": ms} for ms, ratio in rows
                ]
            },
        },
    }
    for feed, body in bodies.items():
        (one,) = codec_of(feed).decode_polled("long_short_ratio", encode(body), FEEDS[feed][1][-1], NOW)
        assert isinstance(one, LongShortRatio)
        assert (str(one.ratio), one.ts_event_ns) == ("1.25", 1630502100000 * 1_000_000)


def test_a_refusal_of_the_venue_names_what_was_asked():
    refused = b'{"retCode":10001,"retMsg":"params error: Symbol Is Invalid","result":{}}'
    found = codec_of("bybit-linear").decode_polled("long_short_ratio", refused, "BYBIT:PERP:BTC-USDT:LINEAR", NOW)
    refusal(found, "venue_error", "long_short_ratio: 10001 params error")
    found = codec_of("bybit-linear").decode_polled("instruments", refused, "BYBIT:PERP:BTC-USDT:LINEAR", NOW)
    refusal(found, "venue_error", "instruments: 10001 params error")
    found = codec_of("okx").decode_polled("long_short_ratio", b'{"code":"51000","msg":"x","data":[]}', "", NOW)
    refusal(found, "venue_error", "long_short_ratio: 51000")


# --- Anything --------------------------------------------------------------------------------------------

CHANNELS = (
    "instruments",
    "premium_index",
    "open_interest",
    "long_short_ratio",
    "funding_rate",
    "funding_info",
    "ticker",
    "mark_price",
    "index_tickers",
    "trades",
    "status",
)
SEEDS = [
    line
    for name in ("binance", "okx", "bybit", "binance-listing", "okx-listing", "bybit-listing", "universe")
    for line in fuzz_targets.seeds(name)
]


SETTLED = {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": "1672041600000"}
TICKER = {"symbol": "BTCUSDT", "lastPrice": "16597.00", "markPrice": "16596.00", "openInterest": "373504107"}
SEEDS += [
    encode({"retCode": 0, "result": {"list": [row]} | result, "time": 1672051897447})
    for row, result in (
        (SETTLED, {}),
        ({"openInterest": "461134384.00", "timestamp": "1669571400000"}, {"symbol": "BTCUSD"}),
        (TICKER | {"fundingRate": "-0.001034", "nextFundingTime": "1672387200000"}, {}),
    )
]


def believed(channel, events) -> None:
    for event in events:
        fuzz_targets.believable(event)
        if isinstance(event, WireRejected):
            assert event.excerpt.startswith(f"{channel[:40]}: ")
        if isinstance(event, InstrumentStatus):
            assert event.instrument_id in KNOWN
            assert len(event.status) <= 200


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(SEEDS),
    st.sampled_from(CHANNELS),
    st.sampled_from(sorted(FEEDS)),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_changed_replies_break_no_codec(case, channel, feed, of_one, dice):
    codec, name = codec_of(feed), FEEDS[feed][1][-1] if of_one else ""
    for payload in mutate(case, dice).split(b"\n")[:8]:
        believed(channel, codec.decode_polled(channel, payload, name, NOW))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200), st.text(max_size=60), st.sampled_from(sorted(FEEDS)), st.text(max_size=5))
def test_no_reply_makes_a_codec_raise(payload, word, feed, name):
    codec = codec_of(feed)
    for channel in (word, *CHANNELS):
        believed(channel, codec.decode_polled(channel, payload, name, NOW))


# --- What others collected -------------------------------------------------------------------------------


def collected(venue):
    with lzma.open(SHARED / venue / "fixtures" / f"jkorf_{venue}.jsonl.xz", "rt") as lines:
        return {one["name"]: one.get("response") for one in map(json.loads, lines)}


@recorded
@pytest.mark.recording
@pytest.mark.req("P-MD-9")
@pytest.mark.req("P-MD-10")
def test_replies_of_okx_and_bybit_that_others_collected_are_read():
    okx, bybit = collected("okx"), collected("bybit")
    codec = codec_of("okx")
    for name, channel, kind, asked in [
        ("GetFundingRates", "funding_rate", "FundingRate", "OKX:PERP:BTC-USDT:LINEAR"),
        ("GetOpenInterests", "open_interest", "OpenInterest", "OKX:PERP:BTC-USDT:LINEAR"),
        ("GetFundingRateHistory", "funding_rate", "FundingRate", "OKX:PERP:BTC-USD:INVERSE"),
        ("GetTicker", "ticker", "Ticker", "OKX:PERP:BTC-USD:INVERSE"),
        ("GetIndexTickers", "index_tickers", "IndexPrice", ""),
        ("GetRubikLongShortRatio", "long_short_ratio", "LongShortRatio", "OKX:PERP:BTC-USDT:LINEAR"),
    ]:
        found = codec.decode_polled(channel, encode(okx[f"UnifiedApi/ExchangeData/{name}"]), asked, NOW)
        assert set(kinds(found)) == {kind}, (name, found)
    for feed, name, channel, expected in [
        ("bybit-inverse", "GetOpenInterest", "open_interest", ["OpenInterest", "OpenInterest"]),
        ("bybit-inverse", "GetLinearInverseTickers", "ticker", ["MarkPrice", "FundingRate", "OpenInterest", "Ticker"]),
        ("bybit-spot", "GetSpotTickers", "ticker", ["IndexPrice", "Ticker"]),
    ]:
        body = encode(bybit[f"V5Api/ExchangeData/{name}"])
        assert kinds(codec_of(feed).decode_polled(channel, body, FEEDS[feed][1][0], NOW)) == expected, name
    settled = encode(bybit["V5Api/ExchangeData/GetFundingRateHistory"]).replace(b"ETHPERP", b"BTCUSDT")
    (paid,) = codec_of("bybit-linear").decode_polled("funding_rate", settled, "BYBIT:PERP:BTC-USDT:LINEAR", NOW)
    assert (paid.settled_rate, paid.funding_ns) == (Decimal("0.0001"), 1672041600000 * 1_000_000)
    ratio = encode(bybit["V5Api/ExchangeData/GetLongShortRatio"])
    linear = "BYBIT:PERP:BTC-USDT:LINEAR"
    assert kinds(codec_of("bybit-linear").decode_polled("long_short_ratio", ratio, linear, NOW)) == ["LongShortRatio"]
    for feed, name in (("bybit-linear", "GetLinearInverseSymbols"), ("bybit-spot", "GetSpotSymbols")):
        listing = encode(bybit[f"V5Api/ExchangeData/{name}"])
        found = codec_of(feed).decode_polled("instruments", listing, FEEDS[feed][1][0], NOW)
        assert kinds(found) == ["InstrumentStatus"], found
        assert (found[0].symbol, found[0].status) == ("BTCUSDT", "Trading")
    assert msgspec.json.encode(found[0])
