"""Gate.io and MEXC through unmodified ccxt over loopback: read, proved by snapshots, doubted, lost and back."""

from __future__ import annotations

import asyncio

import pytest

from adapters.ccxt_venues import watch
from adapters.streams.events import Connected, Disconnected, FetchFailed, ServerTime, TopicRefused
from tests.adapters.ccxt_venues.listening import Listener, terms
from tests.adapters.ccxt_venues.venues import MS, Gate, Mexc, running
from tests.waiting import PATIENCE_S, breath
from trading.market.events import BookState, DepthSnapshot, DepthUpdate, InstrumentStatus, Ticker, Trade, WireRejected

pytestmark = [
    # ccxt's own coroutines and parsers warn on this Python; what they warn of is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

GATE, MEXC = "GATEIO:SPOT:BTC-USDT", "MEXC:SPOT:BTC-USDT"
BOOKS = "/api/v4/spot/order_book"


@pytest.fixture
async def gate():
    async with running(Gate()) as venue:
        yield venue


@pytest.fixture
async def listen():
    listeners = []

    def begin(name, spec):
        listeners.append(Listener(name, spec))
        return listeners[-1]

    yield begin
    for listener in listeners:
        await listener.close()


@pytest.mark.req("P-VEN-1", "P-VEN-13")
async def test_gateio_is_read_and_its_book_proved_and_a_wrong_level_is_doubted_within_a_shadow_period(gate, listen):
    listener = listen(GATE, terms(gate))
    await listener.until(lambda: listener.synced, "a proved book")
    assert listener.sync.counters.audited >= 2
    await listener.until(lambda: listener.said(Trade) and listener.said(Ticker), "trades and a ticker")
    assert not listener.said(WireRejected)
    (status,) = listener.said(InstrumentStatus)
    assert (status.instrument_id, status.tradable) == (GATE, True)
    clock = listener.told(ServerTime)[0]
    assert clock.sent_ns - MS <= clock.server_ns <= clock.recv_ns  # the same clock, to the millisecond
    await listener.until(lambda: listener.sync.counters.audited > 3, "a further comparison")
    connection = listener.source.status().connections[0]
    assert connection.status == "live"
    assert {topic.kind for topic in connection.topics} == {"orderbook", "shadow", "trades", "ticker"}

    await listener.until(lambda: listener.synced, "a proved book")
    told = len(listener.states)
    gate.corrupt()
    compared, (tick,) = listener.sync.counters.audited, gate.corrupted
    await listener.until(lambda: BookState.SUSPECT in listener.states[told:], "doubt")
    assert listener.sync.counters.audited - compared <= 2  # the first answer may be from before
    assert f" at {tick}: {gate.corrupted[tick]} lots, the venue says" in " ".join(
        reason.text for reason in listener.sync.reasons
    )
    assert len(listener.told(Connected)) == 1  # nothing else was wrong with it


async def test_a_diff_that_was_lost_on_the_way_is_not_seen_by_ccxt_and_seen_by_the_proof(gate, listen):
    listener = listen(GATE, terms(gate))
    await listener.until(lambda: listener.synced, "a proved book")
    told = len(listener.states)
    # What is told of the same price soon after mends a loss before anybody compares: then the next one is lost too.
    async with asyncio.timeout(PATIENCE_S):
        while BookState.SUSPECT not in listener.states[told:]:
            gate.lose()
            for _ in range(150):
                await breath(0.01)
                listener.read()
                if BookState.SUSPECT in listener.states[told:]:
                    break
    assert not listener.told(Disconnected)
    assert "levels differ, first bid" in " ".join(reason.text for reason in listener.sync.reasons)


@pytest.mark.req("P-VEN-13")
async def test_a_connection_that_ends_takes_the_proof_with_it_and_the_next_is_proved_again(gate, listen):
    listener = listen(GATE, terms(gate, mute_ms=1_000))
    await listener.until(lambda: listener.synced, "a proved book")
    await gate.cut()
    await listener.until(lambda: listener.told(Disconnected), "the loss")
    assert listener.told(Disconnected)[0].symbols == ("BTC_USDT",)
    assert not listener.synced
    await listener.until(lambda: listener.synced, "a book that was proved again")
    assert len(listener.told(Connected)) == 2
    gate.mute = True
    await listener.until(lambda: len(listener.told(Disconnected)) > 1, "the end of a mute connection")
    assert "mute: no book of BTC/USDT for 1000 ms" in listener.told(Disconnected)[1].reason
    assert not listener.synced


async def test_without_snapshots_the_proof_runs_out_although_the_stream_goes_on(gate, listen):
    listener = listen(GATE, terms(gate, proof_ms=1_500))
    await listener.until(lambda: listener.synced, "a proved book")
    gate.rest_down = True
    await listener.until(lambda: listener.told(FetchFailed), "a request that failed")
    assert listener.told(FetchFailed)[0].channel == "shadow"
    await listener.until(lambda: not listener.synced, "the end of the proof")
    updates = len(listener.said(DepthUpdate))
    await listener.until(lambda: len(listener.said(DepthUpdate)) > updates + 3, "a stream that goes on")
    assert not listener.told(Disconnected)
    assert listener.source.status().rest.failures > 0


async def test_a_book_that_is_never_proved_is_built_anew(gate, listen, monkeypatch):
    monkeypatch.setattr(watch, "SHADOWS_IN_A_ROW", 4)
    gate.lies_in_rest = 1
    listener = listen(GATE, terms(gate, audit_gap_ms=50))
    await listener.until(lambda: listener.told(Disconnected), "the end of it")
    assert "no proof of the book of BTC/USDT in 4 snapshots in a row" in listener.told(Disconnected)[0].reason
    assert gate.asked.count(BOOKS) == 4
    assert BookState.SYNCED not in listener.states
    gate.lies_in_rest = 0
    await listener.until(lambda: listener.synced, "a proved book")


async def test_an_instrument_whose_grid_is_another_at_the_venue_is_not_read_and_why_is_told(gate, listen):
    gate.precision = 2
    listener = listen(GATE, terms(gate))
    await listener.until(lambda: listener.told(TopicRefused), "the refusal")
    refused = listener.told(TopicRefused)[0]
    assert (refused.kind, refused.symbol) == ("book", "BTC_USDT")
    assert refused.reason == "tick_size is 0.01 at the venue and 0.1 in the table: mend it in adapters/ccxt_venues"
    assert BOOKS not in gate.asked
    assert not listener.said(DepthSnapshot)
    gate.precision = 1
    await listener.until(lambda: listener.synced, "a proved book")


@pytest.mark.req("P-VEN-1")
async def test_mexc_is_polled_and_its_book_proved_and_each_trade_told_once(listen):
    async with running(Mexc()) as mexc:
        listener = listen(MEXC, terms(mexc))
        await listener.until(lambda: listener.synced, "a proved book")
        mexc.lags = 3  # a node that lags behind is left out
        await listener.until(lambda: mexc.lags == 0 and listener.synced, "replies of a node that lags")
        await listener.until(lambda: len(listener.said(Trade)) > 20 and listener.said(Ticker), "trades and a ticker")
        ids = [trade.trade_id for trade in listener.said(Trade)]
        assert len(set(ids)) == len(ids)
        assert not listener.said(WireRejected)
        books = listener.said(DepthUpdate)
        assert all(one.final_update_id >= one.prev_final_update_id for one in books)
        span_s = (books[-1].ts_recv_ns - books[0].ts_recv_ns) / 1e9
        assert span_s / len(books) > 0.1
        told = len(listener.states)
        mexc.lies_in_rest = 0
        mexc.rest_down = True
        await listener.until(lambda: listener.told(FetchFailed), "a request that failed")
        mexc.rest_down = False
        await listener.until(lambda: listener.synced, "a proved book")
        assert BookState.HALT not in listener.states[told:]
