"""The streams against simulated venues that speak all five protocols: books proved, faults found, holes mended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import aiohttp
import msgspec
import pytest

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.binance.instruments import INSTRUMENTS as BINANCE
from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import BYBIT
from adapters.bybit.instruments import INSTRUMENTS as BYBIT_INSTRUMENTS
from adapters.clock import SystemClock
from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.okx.instruments import OKX
from adapters.simserver.faults import Delay, Disconnect, Gap, HalfOpen, Maintenance, Mute, NightlyReset, NoAck
from adapters.simserver.server import SimServer, SimServerSpec
from adapters.sources import Frame, SourceSpec
from adapters.streams import events as e
from adapters.streams.budget import ConnectionBudget
from adapters.streams.connection import Connection
from adapters.streams.dialects import dialect_of
from adapters.streams.dialects.base import Endpoints, LineSpec
from adapters.streams.feed import DEFAULT_KINDS, Feed, FeedSpec
from adapters.streams.state import ConnectionRules, News
from adapters.streams.topics import MS_NS, SECOND_NS
from tests.waiting import PATIENCE_S, stopwatch
from trading.instruments import InstrumentKind
from trading.market.events import BookState, BookTicker, DepthSnapshot, DepthUpdate, Trade, WireRejected
from trading.market.stitch import BookSync, SequenceRule
from trading.market.stream_stitch import StreamSync

KNOWN = {
    one.instrument_id: one
    for one in (*BINANCE, *OKX_INSTRUMENTS, *(x for listed in BYBIT_INSTRUMENTS.values() for x in listed))
}
VENUES = {
    SPOT: "BINANCE:SPOT:BTC-USDT",
    USDM: "BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    COINM: "BINANCECOINM:PERP:BTC-USD:INVERSE",
    OKX: "OKX:PERP:BTC-USDT:LINEAR",
    BYBIT: "BYBIT:PERP:BTC-USDT:LINEAR",
}
BOOKS = {
    SPOT: "btcusdt@depth@100ms",
    USDM: "btcusdt@depth@100ms",
    COINM: "btcusd_perp@depth@100ms",
    OKX: "books:BTC-USDT-SWAP",
    BYBIT: "linear.orderbook.50.BTCUSDT",
}
CLOCK = SystemClock()


class Reader:
    """What a connector does with a feed: decode, prove, and ask for snapshots."""

    def __init__(self, venue: str, server: SimServer, **changes: object) -> None:
        self.instrument = KNOWN[VENUES[venue]]
        self.symbol = self.instrument.symbol
        self.woken = asyncio.Event()
        endpoints = Endpoints(ws=server.base_ws, rest=server.base_http)
        spec = FeedSpec(**({"venue": venue, "instruments": (self.instrument,), "endpoints": endpoints} | changes))  # type: ignore[arg-type]
        self.feed = Feed(spec, CLOCK, self.woken.set)
        self.sync, self.decode, self.decode_snapshot = self._codec(venue)
        self.events: list[e.FeedEvent] = []
        self.rejected: list[WireRejected] = []
        self.trades: list[int] = []
        self.suspect = 0

    def _codec(self, venue: str) -> tuple[BookSync, Callable, Callable]:
        one, name = self.instrument, self.instrument.instrument_id
        if venue == OKX:
            okx = OkxCodec([one])
            sync: BookSync = StreamSync(name, SequenceRule.OKX, checksum_of=okx.checksum_of(name))
            return sync, okx.decode, lambda body, ts: okx.decode_snapshot(body, name, ts)
        if venue == BYBIT:
            bybit = BybitCodec([one])
            return StreamSync(name, SequenceRule.BYBIT), bybit.decode, bybit.decode_snapshot
        codec = BinanceCodec(venue, [one])
        rule = SequenceRule.SPOT if one.kind is InstrumentKind.SPOT else SequenceRule.FUTURES

        def decode(payload: bytes, ts: int) -> Iterable[object]:
            event = codec.decode(payload, ts)
            return () if event is None else (event,)

        return BookSync(name, rule), decode, lambda body, ts: codec.decode_snapshot(body, name, ts)

    def take(self) -> None:
        self.woken.clear()
        for item in self.feed.drain():
            if not isinstance(item, Frame):
                self.events.append(item)
                if isinstance(item, e.Disconnected) and self.symbol in item.symbols and not item.covered:
                    self.sync.on_disconnected(item.ts_ns)
                continue
            if item.symbol:
                self._apply(self.decode_snapshot(item.payload, item.ts_recv_ns))
            else:
                for event in self.decode(item.payload, item.ts_recv_ns):
                    self._apply(event)
            if self.sync.wants_snapshot:
                self.sync.on_snapshot_requested(item.ts_recv_ns)
                self.feed.want_snapshot(self.symbol)

    def _apply(self, event: object) -> None:
        was = self.sync.state
        match event:
            case DepthSnapshot():
                self.sync.on_snapshot(event)
            case DepthUpdate():
                self.sync.on_update(event)
            case BookTicker():
                self.sync.on_ticker(event)
            case Trade():
                self.trades.append(event.trade_id)
            case WireRejected():
                self.rejected.append(event)
        if was is BookState.SYNCED and self.sync.state is not BookState.SYNCED:
            self.suspect += 1

    async def until(self, condition: Callable[[], object]) -> float:
        """Read until ``condition``; the seconds that it took, less those in which this loop could not run."""
        try:
            async with stopwatch() as took, asyncio.timeout(PATIENCE_S):
                while not condition():
                    try:
                        async with asyncio.timeout(0.05):
                            await self.woken.wait()
                    except TimeoutError:
                        pass
                    self.take()
        except TimeoutError:
            pytest.fail(f"not in {PATIENCE_S} s: {self.sync.state} {self.events[-12:]} {self.feed.status()}")
        return took.seconds

    async def proved(self) -> float:
        return await self.until(lambda: self.sync.state is BookState.SYNCED)

    def of(self, kind: type) -> list:
        return [event for event in self.events if type(event) is kind]


@pytest.fixture
async def connect() -> AsyncIterator[Callable]:
    servers: list[SimServer] = []
    feeds: list[Feed] = []

    async def open_one(venue: str, **changes: object) -> tuple[SimServer, Reader]:
        source = SourceSpec(anchor_ns=CLOCK.wall_ns(), instruments=(VENUES[venue],))
        server = SimServer(SimServerSpec(venue=venue, source=source, instruments=(VENUES[venue],)), CLOCK)
        servers.append(server)
        await server.start()
        reader = Reader(venue, server, **changes)
        feeds.append(reader.feed)
        reader.feed.start()
        return server, reader

    yield open_one
    for feed in feeds:
        await feed.close()
    for server in servers:
        await server.close()


def top(reader: Reader) -> tuple[list, list]:
    book = reader.sync.book.to_top(1)
    return list(book.bids), list(book.asks)


@pytest.mark.req("P-MD-1", "P-VEN-1")
@pytest.mark.req("P-VEN-1")
@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("venue", VENUES)
async def test_books_are_proved_from_the_first_bytes_on(venue, connect) -> None:
    _server, reader = await connect(venue)
    assert await reader.proved() < 3
    await reader.until(lambda: reader.trades and reader.sync.counters.applied > 10)
    assert reader.suspect == 0
    assert not reader.of(e.TopicRefused)
    assert reader.rejected == []
    bids, asks = top(reader)
    assert bids[0][0] < asks[0][0]
    await reader.until(lambda: all(c.status == "live" for c in reader.feed.status().connections))


@pytest.mark.req("P-VEN-13")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_mute_venue_that_pongs_is_found_within_two_seconds_and_its_book_proved_again(venue, connect) -> None:
    server, reader = await connect(venue)
    await reader.proved()
    await reader.until(lambda: reader.sync.counters.applied > 5)
    server.faults.set(Mute(for_ms=2500))
    found = await reader.until(lambda: reader.of(e.Disconnected))
    assert found < 2.0
    assert reader.sync.state is not BookState.SYNCED
    await reader.proved()
    assert reader.suspect == 0 or reader.sync.state is BookState.SYNCED


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_hole_is_mended_within_a_second(venue, connect) -> None:
    server, reader = await connect(venue)
    await reader.proved()
    await reader.until(lambda: reader.sync.counters.applied > 5)
    server.faults.set(Gap(topics=(BOOKS[venue],), messages=1))
    await reader.until(lambda: reader.suspect)
    assert await reader.proved() < 1.0
    assert not reader.of(e.Disconnected)


@pytest.mark.parametrize("venue", [SPOT, OKX])
async def test_an_announced_restart_is_survived_without_a_hole(venue, connect) -> None:
    server, reader = await connect(venue)
    await reader.proved()
    server.faults.set(Maintenance(notice_ms=1500, for_ms=2000))
    await reader.until(lambda: reader.of(e.Rotated))
    applied = reader.sync.counters.applied
    await reader.until(lambda: reader.sync.counters.applied > applied + 15)
    assert reader.suspect == 0
    assert not reader.of(e.Disconnected)
    assert reader.sync.counters.gaps == 0


async def test_a_half_open_connection_is_found_by_the_age_of_its_data(connect) -> None:
    server, reader = await connect(BYBIT)
    await reader.proved()
    server.faults.set(HalfOpen(for_ms=3000))
    assert await reader.until(lambda: reader.of(e.Disconnected)) < 2.0
    await reader.proved()


@pytest.mark.req("P-VEN-13")
async def test_a_connection_that_is_cut_comes_back_with_another_snapshot(connect) -> None:
    server, reader = await connect(USDM)
    await reader.proved()
    server.faults.set(Disconnect(code=1006))
    await reader.until(lambda: reader.of(e.Disconnected))
    assert reader.sync.state is not BookState.SYNCED
    await reader.proved()


async def test_the_nightly_reset_is_maintenance(connect) -> None:
    server, reader = await connect(SPOT)
    await reader.proved()
    server.faults.set(NightlyReset(down_ms=1500, for_ms=1500))
    await reader.until(lambda: reader.of(e.MaintenanceBegan))
    await reader.until(lambda: reader.of(e.MaintenanceEnded))
    await reader.proved()


async def test_a_subscription_that_is_never_answered_is_noticed(connect) -> None:
    server, reader = await connect(OKX)
    await reader.proved()
    server.faults.set(NoAck(topics=("trades:*",), for_ms=60_000))
    server.faults.set(Disconnect(code=1006))
    await reader.until(lambda: [x for x in reader.of(e.TopicLost) if x.topic.startswith("trades")])
    lost = next(x for x in reader.of(e.TopicLost) if x.topic.startswith("trades"))
    assert "unacked" in lost.reason
    await reader.proved()  # the book does not wait for the trades


@pytest.mark.req("P-MD-4")
async def test_a_slow_view_is_overtaken_and_the_book_stays_proved(connect) -> None:
    server, reader = await connect(USDM, views=("a", "b"))
    await reader.proved()
    await reader.until(lambda: all(c.status == "live" for c in reader.feed.status().connections))
    leader = next(view.view for view in reader.feed.status().views["public"] if view.leads)
    victims = [number for number, one in server.hub.connections.items() if "@depth" in str(one.topics)]
    assert len(victims) == 2
    # Connections are numbered in the order in which the views opened them.
    server.faults.set(Delay(connections=(victims[0] if leader == "a" else victims[1],), delay_ms=800))
    await reader.until(lambda: [x for x in reader.of(e.ViewChanged) if "leads after" in x.reason and x.view != leader])
    await reader.until(lambda: reader.sync.counters.applied > 20)
    assert reader.sync.state is BookState.SYNCED
    assert not reader.of(e.Disconnected)


async def test_the_old_route_of_usdm_grants_mark_prices_and_the_first_data_deadline_notices(connect) -> None:
    server, reader = await connect(USDM)
    dialect = dialect_of(USDM, (reader.instrument,), Endpoints(ws=server.base_ws, rest=server.base_http))
    topics = tuple(
        msgspec.structs.replace(topic, first_ns=min(topic.first_ns, SECOND_NS))
        for line in dialect.lines(DEFAULT_KINDS)
        for topic in line.topics
    )
    told: list[tuple[News, str, str]] = []
    async with aiohttp.ClientSession() as session:
        connection = Connection(
            view="a",
            line=LineSpec(name="old", url=f"{server.base_ws}/stream", topics=topics),
            dialect=dialect,
            rules=ConnectionRules(),
            session=session,
            clock=CLOCK,
            budget=ConnectionBudget(),
            dice=1,
            deliver=lambda payload, ts, pulse: None,
            announce=lambda news, key, reason: told.append((news, key, reason)),
        )
        connection.start()
        await reader.until(lambda: any(news is News.TOPIC_LOST for news, _, _ in told))
        await connection.close()
    lost = {key: reason for news, key, reason in told if news is News.TOPIC_LOST}
    assert set(lost) == {"btcusdt@markPrice@1s"}
    assert "silent: granted" in lost["btcusdt@markPrice@1s"]


async def test_the_venues_clock_is_read(connect) -> None:
    _server, reader = await connect(BYBIT)
    await reader.until(lambda: len(reader.of(e.ServerTime)) >= 2)
    # The venue read the same clock in between, to the millisecond.
    assert all(one.sent_ns - MS_NS <= one.server_ns <= one.recv_ns for one in reader.of(e.ServerTime))


async def test_an_audit_brings_one_book_by_rest(connect) -> None:
    _server, reader = await connect(OKX)
    await reader.proved()
    before = reader.sync.counters.snapshots + reader.sync.counters.ignored
    reader.feed.audit(reader.symbol)
    await reader.until(lambda: reader.sync.counters.snapshots + reader.sync.counters.ignored > before)
    assert reader.sync.state is BookState.SYNCED


@pytest.mark.parametrize("venue", [USDM, OKX, BYBIT])
async def test_a_connection_that_grows_old_is_replaced_without_a_hole(venue, connect) -> None:
    rules = ConnectionRules(life_ns=2 * SECOND_NS)
    _server, reader = await connect(venue, rules=rules)
    await reader.proved()
    await reader.until(lambda: len(reader.of(e.Rotated)) >= 2)
    applied = reader.sync.counters.applied
    await reader.until(lambda: reader.sync.counters.applied > applied + 10)
    assert reader.suspect == 0
    assert not reader.of(e.Disconnected)
    assert "time limit" in reader.of(e.Rotated)[0].reason
    assert len(set(reader.trades)) >= len(reader.trades) - 1


@pytest.mark.parametrize("venue", [OKX, BYBIT])
async def test_a_book_that_begins_in_the_stream_is_mended_through_two_views(venue, connect) -> None:
    server, reader = await connect(venue, views=("a", "b"))
    await reader.proved()
    await reader.until(lambda: all(c.status == "live" for c in reader.feed.status().connections))
    for _ in range(3):
        before = reader.suspect
        for number in tuple(server.hub.connections):  # what both views lose, neither can mend
            server.faults.set(Gap(topics=(BOOKS[venue],), connections=(number,), messages=2))
        await reader.until(lambda before=before: reader.suspect > before)
        assert await reader.proved() < 3.0
    assert not reader.of(e.Disconnected)


async def test_a_view_that_comes_back_does_not_make_the_leading_ones_book_begin_anew(connect, monkeypatch) -> None:
    monkeypatch.setattr("adapters.streams.fetching._BEGIN_S", 0.3)
    server, reader = await connect(OKX, views=("a", "b"))
    await reader.proved()
    await reader.until(lambda: all(c.status == "live" for c in reader.feed.status().connections))
    leader = next(view.view for view in reader.feed.status().views["public"] if view.leads)
    ids = list(server.hub.connections)
    # Connections are numbered in the order in which the views opened them.
    first = reader.of(e.Connected)[0].view
    server.faults.set(Disconnect(connections=(ids[1] if leader == first else ids[0],)))
    await reader.until(lambda: len(reader.of(e.Connected)) == 3)
    snapshots, applied = reader.sync.counters.snapshots, reader.sync.counters.applied
    await reader.until(lambda: reader.sync.counters.applied > applied + 10)
    assert reader.sync.counters.snapshots == snapshots
    assert reader.suspect == 0
