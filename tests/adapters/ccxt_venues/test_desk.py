"""A whole desk that is configured with Gate.io, or MEXC, and trades it on paper through unmodified ccxt on loopback."""

from __future__ import annotations

import pytest

from adapters.venue_codecs import KNOWN, open_codec, open_sync
from adapters.wirelog import NOTE_HEAD, WireLine, open_session
from tests.adapters.ccxt_venues.desk import PaperDesk, config_of
from tests.adapters.ccxt_venues.venues import Gate, Mexc, running
from tests.waiting import passed
from trading.market.events import BookState, DepthSnapshot, DepthUpdate
from trading.operators import Topic

pytestmark = [
    # ccxt's own coroutines and parsers warn on this Python; what they warn of is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

GATE, MEXC = "GATEIO:SPOT:BTC-USDT", "MEXC:SPOT:BTC-USDT"
MS = 1_000_000
AUDIT_MS = 700


@pytest.fixture
async def paper_desk(tmp_path):
    desks = []

    async def begin(venue_name, instrument_id, venue):
        config = config_of(venue_name, instrument_id, venue, tmp_path / "data", audit_every_ms=AUDIT_MS)
        desks.append(PaperDesk(config))
        return await desks[-1].start()

    yield begin
    for desk in desks:
        if desk.connector is not None:
            await desk.close()


def read_again(directory):
    """The recorded session through the same codec and proof: (states in order, books read)."""
    one = KNOWN[GATE]
    codec = open_codec("gateio", [one])
    sync = open_sync(codec, one, proof_ms=6_000)
    states, books = [sync.state], 0
    for line in open_session(next(directory.iterdir())):
        if not isinstance(line, WireLine) or line.payload.startswith(NOTE_HEAD):
            continue
        found = codec.decode(line.payload, line.ts_recv_ns)
        for event in found if isinstance(found, list | tuple) else (found,):
            if isinstance(event, DepthUpdate):
                sync.on_update(event)
            elif isinstance(event, DepthSnapshot):
                books += 1
                sync.on_snapshot(event)
        if sync.state is not states[-1]:
            states.append(sync.state)
    return states, books


@pytest.mark.req("P-VEN-1", "P-VEN-13")
async def test_a_desk_trades_gateio_on_paper_and_no_order_leaves_on_a_book_that_a_snapshot_contradicts(
    paper_desk, tmp_path
):
    async with running(Gate()) as gate:
        desk = await paper_desk("gateio", GATE, gate)
        await desk.until(lambda: any(state is not BookState.SYNCED for _, state in desk.tops), "a book that is shown")
        await desk.until_an_order_leaves()
        proved_ns = next(at for at, state in desk.tops if state is BookState.SYNCED)
        assert all(at > proved_ns for at, _ in desk.sent())
        await desk.until(desk.executions, "an execution on paper")
        await desk.until(lambda: Topic.FEED in desk.venue_facts, "what operators are told")
        assert desk.venue_facts[Topic.VENUE]["source"] == "gateio through ccxt"
        feed = desk.venue_facts[Topic.FEED]
        assert (feed["view"], feed["state"]) == ("ccxt", "live")

        await desk.until(desk.may_trade, "a desk that may trade")
        gate.corrupt()
        compared = desk.sync.counters.audited
        await desk.until(lambda: not desk.is_synced, "doubt")
        doubted_ns = desk.clock.mono_ns()
        assert desk.sync.counters.audited - compared <= 2  # the first answer may be from before
        await passed(1.5)  # meanwhile the strategies want to trade all the time
        assert not desk.is_synced
        assert desk.sent_after(doubted_ns) == []

        gate.corrupted = {}
        await gate.cut()
        await desk.until_an_order_leaves()
        again_ns = next(at for at, state in desk.tops if at > doubted_ns and state is BookState.SYNCED)
        assert all(at > again_ns for at, _ in desk.sent() if at > doubted_ns)
        await desk.close()

    states, books = read_again(tmp_path / "data" / "history" / "wire")
    # The last proof is after the cut, which a recording keeps as a note and the codec sees as a book that goes on.
    assert books > 4
    assert states[:3] == [BookState.RESYNC, BookState.SYNCED, BookState.SUSPECT]
    assert states[-1] is BookState.SYNCED


@pytest.mark.req("P-VEN-1")
async def test_a_desk_trades_mexc_on_paper_and_stops_while_its_rest_is_down(paper_desk):
    async with running(Mexc()) as mexc:
        desk = await paper_desk("mexc", MEXC, mexc)
        await desk.until_an_order_leaves()
        mexc.rest_down = True
        await desk.until(lambda: not desk.may_trade(), "a desk that stops")
        stopped_ns = (
            desk.clock.mono_ns() + 1_000 * MS
        )  # the governor renews its permit every 100 ms, when it is let run
        await passed(2.0)
        assert desk.sent_after(stopped_ns) == []
        mexc.rest_down = False
        await desk.until_an_order_leaves()
