"""Each venue's dialect: which connection carries what, how bytes find their topic, what REST is asked."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.binance.instruments import instruments_of as binance_of
from adapters.bybit.instruments import BYBIT, Category
from adapters.bybit.instruments import INSTRUMENTS as BYBIT_INSTRUMENTS
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.okx.instruments import OKX
from adapters.streams.dialects import VENUES, dialect_of
from adapters.streams.dialects.base import Dialect, Endpoints, NoticeKind, number_after
from adapters.streams.topics import MS_NS, Pulse, TopicKind

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
INSTRUMENTS = {
    **{venue: binance_of(venue) for venue in (SPOT, USDM, COINM)},
    OKX: OKX_INSTRUMENTS,
    BYBIT: BYBIT_INSTRUMENTS[Category.LINEAR],
}
ALL = frozenset(TopicKind)


def dialect(venue: str, endpoints: Endpoints | None = None) -> Dialect:
    return dialect_of(venue, INSTRUMENTS[venue], endpoints)


def topics(venue: str, kinds: frozenset[TopicKind] = ALL) -> dict[str, str]:
    """Topic to the url of its connection."""
    return {topic.key: line.url for line in dialect(venue).lines(kinds) for topic in line.topics}


def router(venue: str) -> tuple[Dialect, object]:
    one = dialect(venue)
    pulses = {topic.key: Pulse(topic) for line in one.lines(ALL) for topic in line.topics}
    return one, one.router(pulses)


def test_usdm_has_books_on_the_public_route_and_mark_prices_on_the_market_route() -> None:
    urls = topics(USDM)
    public, market = "wss://fstream.binance.com/public/stream", "wss://fstream.binance.com/market/stream"
    assert urls["btcusdt@depth@100ms"] == urls["btcusdt@bookTicker"] == urls["btcusdt@trade"] == public
    assert urls["btcusdt@markPrice@1s"] == urls["btcusdt@forceOrder"] == urls["btcusdt@ticker"] == market


def test_spot_and_coinm_have_one_route_and_spot_no_mark_price() -> None:
    assert set(topics(SPOT).values()) == {"wss://stream.binance.com:9443/stream"}
    assert not [key for key in topics(SPOT) if "markPrice" in key or "forceOrder" in key]
    assert set(topics(COINM).values()) == {"wss://dstream.binance.com/stream"}


def test_okx_asks_for_liquidations_by_type_and_for_an_index_once() -> None:
    urls = topics(OKX)
    assert set(urls.values()) == {"wss://ws.okx.com:8443/ws/v5/public"}
    assert [key for key in urls if key.startswith("liquidation")] == ["liquidation-orders:SWAP"]
    assert "index-tickers:BTC-USDT" in urls
    assert "funding-rate:BTC-USDT" not in urls
    assert "status:" in urls


def test_bybit_has_a_connection_for_its_category_and_refuses_two() -> None:
    urls = topics(BYBIT)
    assert set(urls.values()) == {"wss://stream.bybit.com/v5/public/linear"}
    assert {"orderbook.50.BTCUSDT", "orderbook.1.BTCUSDT", "tickers.BTCUSDT", "publicTrade.BTCUSDT"} <= set(urls)
    both = (*BYBIT_INSTRUMENTS[Category.SPOT], *BYBIT_INSTRUMENTS[Category.LINEAR])
    with pytest.raises(ValueError, match="one category"):
        dialect_of(BYBIT, both, None)


def test_a_venue_without_native_streams_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="gateio"):
        dialect_of("gateio", (), None)


@pytest.mark.parametrize("venue", VENUES)
def test_only_what_always_speaks_is_expected_to(venue) -> None:
    found = {topic.kind: topic for line in dialect(venue).lines(ALL) for topic in line.topics}
    assert found[TopicKind.BOOK].mute_ns == 1500 * MS_NS
    assert found[TopicKind.BOOK].first_ns
    assert found[TopicKind.TRADES].mute_ns == 0
    assert found[TopicKind.TRADES].first_ns == 0


@pytest.mark.parametrize("venue", VENUES)
def test_connections_are_split_before_they_hold_too_many_topics(venue) -> None:
    many = tuple(INSTRUMENTS[venue][0].__class__(**{
        name: getattr(INSTRUMENTS[venue][0], name) for name in INSTRUMENTS[venue][0].__struct_fields__
    } | {"symbol": f"S{n}USDT"}) for n in range(150))  # fmt: skip
    lines = dialect_of(venue, many, None).lines(frozenset({TopicKind.BOOK, TopicKind.TRADES}))
    assert max(len(line.topics) for line in lines) <= 200
    assert sum(len(line.topics) for line in lines) == 300
    assert len({line.name for line in lines}) == len(lines) == 2


@pytest.mark.parametrize(
    ("venue", "payload", "key"),
    [
        (SPOT, b'{"stream":"btcusdt@trade","data":{}}', "btcusdt@trade"),
        (SPOT, b'{ "data": {}, "stream": "btcusdt@trade" }', "btcusdt@trade"),
        (USDM, b'{"stream":"btcusdt@markPrice@1s","data":{}}', "btcusdt@markPrice@1s"),
        (OKX, b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[]}', "books:BTC-USDT"),
        (OKX, b'{"data":[],"arg":{"instId":"BTC-USDT","channel":"trades"}}', "trades:BTC-USDT"),
        (OKX, b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[]}', "liquidation-orders:SWAP"),
        (OKX, b'{"arg":{"channel":"books","instId":"BTC-USDT","connId":"x"},"data":[]}', "books:BTC-USDT"),
        (BYBIT, b'{"topic":"orderbook.50.BTCUSDT","type":"delta"}', "orderbook.50.BTCUSDT"),
        (BYBIT, b'{"type":"delta", "topic": "tickers.BTCUSDT"}', "tickers.BTCUSDT"),
    ],
)
def test_a_payload_finds_its_topic_in_the_usual_spelling_and_in_others(venue, payload, key) -> None:
    _, route = router(venue)
    pulse = route(payload)
    assert pulse is not None
    assert pulse.spec.key == key


@pytest.mark.parametrize("venue", VENUES)
@given(payload=st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_no_bytes_raise(venue, payload) -> None:
    one, route = router(venue)
    for spoilt in (payload, b'{"stream":"' + payload, b'{"arg":{' + payload + b'"data"', b'{"topic"' + payload):
        route(spoilt)
        one.notice(spoilt)
        one.order_of(spoilt)
        one.time_of(spoilt)
        one.trade_of(spoilt)
        one.is_snapshot(spoilt)
        one.ledger().on_message(spoilt)


def test_numbers_are_read_without_decoding() -> None:
    assert number_after(b'{"u":123,"x":1}', b'"u":') == 123
    assert number_after(b'{"u":-5}', b'"u":') == -1
    assert number_after(b'{"u":', b'"u":') == -1
    assert number_after(b"{}", b'"u":') == -1
    assert number_after(b'{"u":' + b"9" * 400, b'"u":') < 10**19


def test_a_number_of_a_book_is_the_venues_own() -> None:
    spot, okx, bybit = dialect(SPOT), dialect(OKX), dialect(BYBIT)
    assert spot.order_of(b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"U":157,"u":160}}') == 160
    push = b'{"arg":{},"action":"update","data":[{"asks":[],"ts":"1597026383085","prevSeqId":9,"seqId":12}]}'
    assert okx.order_of(push) == 12
    assert okx.time_of(push) == 1597026383085 * MS_NS
    delta = b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1672304484978,"data":{"u":177,"seq":7961638724}}'
    assert bybit.order_of(delta) == 7961638724
    assert bybit.time_of(delta) == 1672304484978 * MS_NS


def test_notices_of_resets_and_of_maintenance_are_read() -> None:
    shutdown = dialect(SPOT).notice(b'{"e":"serverShutdown","E":1770123456789}')
    assert shutdown is not None
    assert shutdown.kind is NoticeKind.RESET
    okx = dialect(OKX)
    upgrade = okx.notice(b'{"event":"notice","code":"64008","msg":"The connection will soon be closed","connId":"a"}')
    assert upgrade is not None
    assert upgrade.kind is NoticeKind.RESET
    row = '{"state":"%s","begin":"1770000000000","end":"1770003600000","title":"Trading upgrade"}'
    status = '{"arg":{"channel":"status"},"data":[%s]}'
    ongoing = okx.notice((status % (row % "ongoing")).encode())
    assert ongoing is not None
    assert (ongoing.kind, ongoing.until_ns) == (NoticeKind.MAINTENANCE, 1770003600000 * MS_NS)
    assert okx.notice((status % (row % "completed")).encode()) is None
    assert okx.notice(b'{"event":"notice","code":"1","msg":"other"}') is None


@pytest.mark.parametrize("venue", VENUES)
def test_rest_goes_to_the_endpoint_that_was_given_and_names_its_pool(venue) -> None:
    one = dialect(venue, Endpoints(ws="ws://w", rest="http://r"))
    requests = [one.server_time(), one.snapshot(INSTRUMENTS[venue][0].symbol), *(p.request for p in one.polls(ALL))]
    pools = {pool.name for pool in one.pools}
    for request in requests:
        assert request is not None
        assert request.url.startswith("http://r/")
        assert request.pool in pools
        assert request.weight > 0
    assert all(line.url.startswith("ws://w/") for line in one.lines(ALL))
    assert {poll.request.channel for poll in one.polls(ALL)} >= {"instruments"}
    if venue != SPOT:
        assert "long_short_ratio" in {poll.request.channel for poll in one.polls(ALL)}


@pytest.mark.parametrize(
    ("venue", "body"),
    [
        (SPOT, b'{"serverTime":1700000000123}'),
        (OKX, b'{"code":"0","msg":"","data":[{"ts":"1700000000123"}]}'),
        (BYBIT, b'{"retCode":0,"retMsg":"OK","result":{"timeSecond":"1700000000"},"time":1700000000123}'),
    ],
)
def test_the_venues_clock_is_read_from_its_reply(venue, body) -> None:
    assert dialect(venue).read_server_time(body) == 1700000000123 * MS_NS
    for spoilt in (b"", b"{}", b"[]", b'{"data":[]}', b'{"serverTime":"x"}'):
        with pytest.raises(ValueError):
            dialect(venue).read_server_time(spoilt)


@pytest.mark.recording
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}")
def test_what_was_recorded_finds_its_topics() -> None:
    """Real pushes of OKX and Binance, as they were received."""
    _, route = router(OKX)
    pushes = 0
    with lzma.open(DATA / "okx" / "cryptofeed_raw" / "OKX.ws.1.0.txt.xz", "rb") as file:
        for line in file:
            _, _, payload = line.strip().partition(b": ")
            if payload.startswith(b'{"arg"') and b'"BTC-USDT"' in payload[:80] and b'"data"' in payload:
                pulse = route(payload)
                assert pulse is not None
                assert pulse.spec.key.partition(":")[0] == json.loads(payload)["arg"]["channel"]
                pushes += 1
    assert pushes > 20
