"""What the servers trade: recordings served as the venue they are of, and the book that answers for the truth."""

from __future__ import annotations

import asyncio
import json

import pytest

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import instruments_of
from adapters.simserver.feed import LAG_NS, Market
from adapters.simserver.window import DepthWindow
from adapters.synthetic.generator import MarketGenerator
from adapters.synthetic.params import GeneratorSpec
from adapters.wirelog import WireLogWriter
from tests.adapters.simserver.conftest import Client, running, spec_of
from tests.waiting import PATIENCE_S
from trading.market.book import Book
from trading.market.events import BookState, DepthSnapshot, DepthUpdate
from trading.market.stitch import BookSync, SequenceRule

S = 1_000_000_000
LONG_AGO = 1_723_161_240 * S
USDM = instruments_of("binanceusdm")[0]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Half a minute of one market, as a recorder would have written it on 2024-08-08."""
    folder = tmp_path_factory.mktemp("session")
    spec = GeneratorSpec(seed=5, epoch_ns=LONG_AGO, instruments=(USDM.instrument_id,))
    source = MarketGenerator(spec, "binanceusdm", LONG_AGO)
    with WireLogWriter(folder / "usdm_btcusdt_20240808.dat.gz") as log:
        ts_ns, _, body = source.snapshot()
        log.append(ts_ns, body)
        for ts_ns, payload in source.next_batch(LONG_AGO + 30 * S):
            log.append(ts_ns, payload)
    return folder


@pytest.mark.req("P-SIM-1")
async def test_a_recording_is_served_with_snapshots_and_todays_times(http, recording):
    async with running(spec_of("binanceusdm", session=str(recording))) as server:
        assert not server.state().synthetic
        url = f"{server.base_ws}/public/stream?streams=btcusdt@depth@0ms/btcusdt@bookTicker"
        async with http.ws_connect(url) as socket:
            client = Client(socket)
            codec, sync = BinanceCodec("binanceusdm", [USDM]), BookSync(USDM.instrument_id, SequenceRule.FUTURES)
            first = json.loads(await client.until(lambda payload: b"depthUpdate" in payload))
            assert abs(first["data"]["E"] - server.venue_ns() // 10**6) < 5_000
            query = {"symbol": "BTCUSDT", "limit": 1000}
            async with http.get(f"{server.base_http}/fapi/v1/depth", params=query) as reply:
                snapshot = codec.decode_snapshot(await reply.read(), USDM.instrument_id, 1)
            assert isinstance(snapshot, DepthSnapshot)
            sync.on_snapshot(snapshot)
            for payload in client.seen:
                event = codec.decode(payload, 1)
                if isinstance(event, DepthUpdate):
                    sync.on_update(event)
            async with asyncio.timeout(PATIENCE_S):
                while sync.counters.applied < 20:
                    event = codec.decode(await client.until(lambda payload: b"depthUpdate" in payload), 1)
                    sync.on_update(event)
            server.pause()
            truth = server.truth("BTCUSDT", 100)
            while sync.book.update_id < truth.update_id:
                sync.on_update(codec.decode(await client.until(lambda payload: b"depthUpdate" in payload), 1))
            assert sync.book.state is BookState.SYNCED
            assert sync.book.top(100) == (truth.bids, truth.asks)
            assert sync.counters.gaps == 0


def update(number, bids, asks=()):
    return DepthUpdate(
        instrument_id=USDM.instrument_id,
        first_update_id=number,
        final_update_id=number,
        prev_final_update_id=number - 1,
        bids=list(bids),
        asks=list(asks),
        ts_event_ns=number,
        ts_recv_ns=number,
    )


def snapshot(number, bids, asks):
    return DepthSnapshot(
        instrument_id=USDM.instrument_id, last_update_id=number, bids=bids, asks=asks, ts_event_ns=0, ts_recv_ns=0
    )


def test_the_late_book_is_the_book_of_two_seconds_ago():
    market = Market("BTCUSDT", USDM)
    market.on_snapshot(snapshot(10, [(100, 1)], [(101, 1)]))
    for number in range(11, 20):
        market.on_update(update(number, [(100, number)]), (number - 11) * LAG_NS // 4)
    assert market.book.update_id == 19
    assert market.late.update_id == 14
    assert market.late.best_bid() == (100, 14)
    market.on_update(update(15, [(100, 99)]), 3 * LAG_NS)  # what the book has already changes nothing
    assert market.book.best_bid() == (100, 19)


def test_a_window_tells_what_comes_into_it_and_what_falls_out():
    book = Book(USDM.instrument_id)
    book.apply_snapshot(snapshot(1, [(100, 1), (99, 2), (98, 3)], [(101, 1), (102, 2), (103, 3)]))
    window = DepthWindow(book, 2)
    assert window.sides() == ([(100, 1), (99, 2)], [(101, 1), (102, 2)])
    book.apply(update(2, [(100, 0)], [(103, 9)]))
    bids, asks = window.changes(book)
    assert sorted(bids) == [(98, 3), (100, 0)]
    assert asks == []
    assert (window.sides()[0], window.seq) == ([(99, 2), (98, 3)], 2)
