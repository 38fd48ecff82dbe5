"""Recording over the network: what the venue's server said is in the files, and its book is proved from them."""

from __future__ import annotations

import asyncio

import pytest

from adapters.clock import SystemClock
from adapters.recorder.build import build_history
from adapters.recorder.history import open_history
from adapters.recorder.listen import listen
from adapters.simserver.server import SimServer, SimServerSpec
from adapters.sources import SourceSpec
from adapters.streams.dialects.base import Endpoints
from adapters.streams.feed import Feed, FeedSpec
from adapters.venue_codecs import KNOWN
from adapters.wirelog import open_session
from tests.waiting import until


@pytest.mark.req("P-MD-12")
@pytest.mark.parametrize(
    "name",
    ["BINANCE:SPOT:BTC-USDT", "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "OKX:SPOT:BTC-USDT", "BYBIT:PERP:BTC-USDT:LINEAR"],
)
async def test_a_venues_stream_is_recorded_until_its_book_is_proved(recording, tmp_path, name):
    one, clock = KNOWN[name], SystemClock()
    source = SourceSpec(anchor_ns=clock.wall_ns(), instruments=())
    server = SimServer(SimServerSpec(venue=one.venue, source=source, instruments=(name,)), clock)
    await server.start()
    try:
        recorder = recording(wire=tmp_path / "wire", started_ns=clock.wall_ns(), instruments=[one])
        endpoints = Endpoints(ws=server.base_ws, rest=server.base_http)
        feed = Feed(FeedSpec(venue=one.venue, instruments=(one,), endpoints=endpoints), clock, lambda: None)
        stop = asyncio.Event()
        work = asyncio.create_task(listen(recorder, {one.venue: feed}, clock, until_ns=None, stop=stop))
        await until(lambda: recorder.stats().appended >= 60)
        stop.set()
        driven = await work
    finally:
        await server.close()
    assert recorder.close()
    stats = recorder.stats()
    assert stats.written == stats.appended >= driven.lines[one.venue] >= 59
    lines = list(open_session(recorder.session))
    assert {line.venue for line in lines} == {one.venue}
    assert build_history(tmp_path).errors == []
    with open_history(tmp_path) as connection:
        states = connection.execute("SELECT state FROM bbo ORDER BY ts_recv_ns, line").fetchall()
        rejected = connection.execute("SELECT reason, excerpt FROM rejects").fetchall()
    assert ("synced",) in states
    assert rejected == []
