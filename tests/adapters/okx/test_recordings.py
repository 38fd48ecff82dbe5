"""OKX as recorded on 2022-05-13, and the messages that others collected until 2026-08."""

from __future__ import annotations

import json
import lzma
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS, decode_listing
from adapters.okx.topics import Topic, TopicLedger, TopicState
from trading.market.events import (
    BookState,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    IndexPrice,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
    WireRejected,
)
from trading.market.stitch import SequenceRule, SyncResult
from trading.market.stream_stitch import StreamSync

OKX_DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "okx"

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not OKX_DATA.is_dir(), reason=f"no recordings at {OKX_DATA}"),
]

SYMBOLS = ("BTC-USDT", "UNI-USD-SWAP", "BTC-USD-220527")
SPOT, SWAP, FUTURE = "OKX:SPOT:BTC-USDT", "OKX:PERP:UNI-USD:INVERSE", "OKX:FUT220527:BTC-USD:INVERSE"


def lines(name):
    with lzma.open(OKX_DATA / "cryptofeed_raw" / name, "rt") as stream:
        yield from stream


@pytest.fixture(scope="module")
def instruments():
    found = {}
    for line in (line for line in lines("OKX.0.txt.xz") if " -> " in line):
        listing = decode_listing(line.partition(" -> ")[2].partition(": ")[2].encode())
        assert listing is not None
        assert listing.refused == {}
        found |= {one.instrument.symbol: one.instrument for one in listing.instruments}
    assert len(found) == 783
    assert len({one.instrument_id for one in found.values()}) == len(found)
    return [found[symbol] for symbol in SYMBOLS]


@pytest.fixture(scope="module")
def messages():
    inbound = [line.partition(": ") for line in lines("OKX.ws.1.0.txt.xz") if line[:1].isdigit()]
    return [(int(float(stamp) * 1e9), body.strip().encode()) for stamp, _, body in inbound]


class Run:
    """Some messages through codec and books."""

    def __init__(self, instruments):
        self.codec = OkxCodec(instruments)
        self.books = {
            one.instrument_id: StreamSync(
                one.instrument_id, SequenceRule.OKX, checksum_of=self.codec.checksum_of(one.instrument_id)
            )
            for one in instruments
        }
        self.kinds = Counter()
        self.rejected = []
        self.results = []

    def take(self, messages):
        for ts_recv_ns, payload in messages:
            for event in self.codec.decode(payload, ts_recv_ns):
                self.kinds[type(event).__name__] += 1
                match event:
                    case DepthSnapshot():
                        self.results.append((event.instrument_id, self.books[event.instrument_id].on_snapshot(event)))
                    case DepthUpdate():
                        self.results.append((event.instrument_id, self.books[event.instrument_id].on_update(event)))
                    case WireRejected():
                        self.rejected.append(event)
        return self


@pytest.fixture(scope="module")
def whole(instruments, messages):
    return Run(instruments).take(messages)


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(("instrument_id", "applied"), [(SPOT, 97), (SWAP, 92), (FUTURE, 98)])
def test_every_recorded_checksum_is_that_of_our_book(whole, instrument_id, applied):
    sync = whole.books[instrument_id]
    counters = sync.counters
    assert sync.state is BookState.SYNCED
    assert (counters.applied, counters.checksums_ok) == (applied, applied + 1)
    assert (counters.checksums_failed, counters.gaps, counters.crossed, counters.resyncs) == (0, 0, 0, 0)


def test_the_books_keep_as_many_levels_as_the_venue_shows(whole):
    assert whole.books[SPOT].book.levels() == (400, 400)


def test_nothing_recorded_is_rejected(whole):
    assert whole.rejected == []
    assert whole.kinds == {"DepthUpdate": 287, "DepthSnapshot": 3, "Trade": 74, "Ticker": 28}


def test_the_recorded_answers_grant_what_was_asked(messages):
    ledger = TopicLedger()
    topics = [Topic(channel, symbol) for channel in ("tickers", "trades", "books") for symbol in SYMBOLS]
    ledger.subscribe(topics, now_ns=0)
    answers = [answer for _, payload in messages if (answer := ledger.on_message(payload)) is not None]
    assert len(answers) == 18  # each was asked for up to three times
    assert ledger.topics(TopicState.GRANTED) == topics
    assert ledger.unexpected == 0


# --- Spoiled traffic -------------------------------------------------------------------------------------------


def depth_places(messages, symbol):
    return [
        place
        for place, (_, payload) in enumerate(messages)
        if b'"channel":"books"' in payload and b'"update"' in payload and f'"{symbol}"'.encode() in payload
    ]


def moves_the_best_levels(instruments, messages, symbol):
    """By number of the diff: those after which the best 25 levels, which the checksum covers, are others."""
    run = Run(instruments)
    at = 0
    for nth, place in enumerate(depth_places(messages, symbol)):
        run.take(messages[at:place])
        sync = run.books[id_of(instruments, symbol)]
        before = sync.book.top(25)
        run.take(messages[place : place + 1])
        at = place + 1
        if sync.book.top(25) != before:
            yield nth


def id_of(instruments, symbol):
    return next(one.instrument_id for one in instruments if one.symbol == symbol)


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_lost_message_that_moved_the_best_levels_is_found_by_the_next_checksum(instruments, messages, symbol):
    places = depth_places(messages, symbol)
    instrument_id = id_of(instruments, symbol)
    found = 0
    for nth in [nth for nth in moves_the_best_levels(instruments, messages, symbol) if nth + 1 < len(places)][::6]:
        run = Run(instruments).take([*messages[: places[nth]], *messages[places[nth] + 1 : places[nth + 1] + 1]])
        first = [result for name, result in run.results if name == instrument_id]
        if first[-1] is SyncResult.APPLIED:
            # The next diff states the same levels again, so that the book is whole.
            whole = Run(instruments).take(messages[: places[nth + 1] + 1])
            assert run.books[instrument_id].book.top(25) == whole.books[instrument_id].book.top(25)
            continue
        found += 1
        assert first[-1] in {SyncResult.CHECKSUM, SyncResult.CROSSED}
        assert run.books[instrument_id].state is BookState.SUSPECT
        assert run.books[instrument_id].wants_snapshot
    assert found >= 5


def numbered(messages):
    """The recording as the venue sends since 2026-06: seqId and prevSeqId, which leave holes, and a checksum of 0."""
    last = {}
    for ts_recv_ns, payload in messages:
        message = json.loads(payload)
        if message.get("action"):
            (data,) = message["data"]
            prev = last.get(message["arg"]["instId"], -1)
            last[message["arg"]["instId"]] = seq = prev + 3
            data |= {"checksum": 0, "seqId": seq, "prevSeqId": prev}
        yield ts_recv_ns, json.dumps(message, separators=(",", ":")).encode()


@pytest.fixture(scope="module")
def modern(messages):
    return list(numbered(messages))


@pytest.mark.req("P-MD-2")
def test_without_checksums_the_numbers_prove_the_same_books(instruments, modern, whole):
    run = Run(instruments).take(modern)
    for instrument_id, sync in run.books.items():
        assert sync.state is BookState.SYNCED
        assert sync.book.top(400) == whole.books[instrument_id].book.top(400)
        assert (sync.counters.gaps, sync.counters.checksums_ok, sync.counters.checksums_failed) == (0, 0, 0)


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("nth", [0, 37, 80])
@pytest.mark.parametrize("fault", ["lost", "swapped", "seqId", "prevSeqId"])
def test_a_spoiled_numbered_message_is_found_within_one_and_a_snapshot_makes_it_right(
    instruments, modern, symbol, nth, fault
):
    first, second = depth_places(modern, symbol)[nth : nth + 2]
    spoiled = list(modern)
    if fault == "lost":
        del spoiled[first]
        second -= 1
    elif fault == "swapped":
        spoiled[first], spoiled[second] = spoiled[second], spoiled[first]
    else:
        message = json.loads(modern[first][1])
        message["data"][0][fault] += 1
        spoiled[first] = (modern[first][0], json.dumps(message, separators=(",", ":")).encode())
    sync = (run := Run(instruments).take(spoiled[: second + 1])).books[id_of(instruments, symbol)]
    assert sync.state is BookState.SUSPECT
    assert sync.counters.gaps == 1
    sync.on_disconnected(now_ns=0)  # the recording's only snapshot is older than the gap: it opens a new connection
    sync.on_snapshot_requested(now_ns=0)
    again = depth_places(modern, symbol)[0]
    run.take(modern[:again])
    assert sync.state is BookState.SYNCED
    run.take(modern[again : again + 1])
    assert (sync.state, sync.counters.resyncs) == (BookState.SYNCED, 1)


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_repeated_numbered_message_changes_nothing(instruments, modern, symbol):
    place = depth_places(modern, symbol)[37]
    run = Run(instruments).take([*modern[: place + 1], *modern[place:]])
    sync = run.books[id_of(instruments, symbol)]
    assert sync.state is BookState.SYNCED
    assert (sync.counters.dropped_old, sync.counters.gaps) == (1, 0)


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_changed_digit_near_the_touch_is_found_at_once_and_a_snapshot_makes_it_right(instruments, messages, symbol):
    instrument_id = id_of(instruments, symbol)
    places = depth_places(messages, symbol)
    clean = Run(instruments)
    spoiled = 0
    at = 0
    for nth, place in enumerate(places):
        clean.take(messages[at:place])
        at = place
        message = json.loads(messages[place][1])
        levels = message["data"][0]["bids"]
        best = clean.books[instrument_id].book.best_bid()
        alive = [level for level in levels if level[1] != "0"]
        instrument = next(one for one in instruments if one.symbol == symbol)
        if best is None or not alive or instrument.ticks(alive[0][0]) < best[0]:
            continue
        size = alive[0][1]
        alive[0][1] = size[:-1] + str((int(size[-1]) + 1) % 10 or 1)
        if alive[0][1] == size:
            continue
        spoiled += 1
        run = Run(instruments).take(messages[:place])
        run.take([(messages[place][0], json.dumps(message).encode())])
        sync = run.books[instrument_id]
        assert run.results[-1] == (instrument_id, SyncResult.CHECKSUM), nth
        assert sync.state is BookState.SUSPECT
        # The venue sends a snapshot to who subscribes again: the first one of the recording stands for it.
        sync.on_snapshot_requested(now_ns=0)
        run.take(messages[: places[0]])
        assert sync.state is BookState.SYNCED
        assert sync.counters.resyncs == 1
    assert spoiled >= 3


@pytest.mark.req("P-MD-2")
def test_a_repeated_message_is_the_same_book(instruments, messages, whole):
    twice = Run(instruments).take([message for message in messages for _ in range(2)])
    for instrument_id, sync in twice.books.items():
        assert sync.state is BookState.SYNCED
        assert sync.book.top(400) == whole.books[instrument_id].book.top(400)


# --- What others collected ------------------------------------------------------------------------------------------


def fixtures(name):
    with lzma.open(OKX_DATA / "fixtures" / name, "rt") as stream:
        return [json.loads(line) for line in stream]


def named(symbol, tick="0.000001", lot="0.000001"):
    """An instrument for any symbol, on a grid that is fine enough for all of them."""
    entry = {
        "instId": symbol,
        "instType": "SPOT",
        "tickSz": tick,
        "lotSz": lot,
        "minSz": lot,
        "maxLmtSz": "1000000",
        "state": "live",
        "baseCcy": symbol.split("-")[0],
        "quoteCcy": symbol.split("-")[1],
    }
    found = decode_listing(json.dumps({"data": [entry]}).encode())
    assert found is not None
    (listed,) = found.instruments
    return msgspec.structs.replace(listed.instrument, instrument_id=f"OKX:SPOT:{symbol}")


EVENTS = {
    "books-l2-tbt": (DepthSnapshot, DepthUpdate),
    "trades": Trade,
    "trades-all": Trade,
    "tickers": Ticker,
    "mark-price": MarkPrice,
    "index-tickers": IndexPrice,
    "funding-rate": FundingRate,
    "open-interest": OpenInterest,
    "liquidation-orders": Liquidation,
    "bbo-tbt": BookTicker,
    "books": DepthSnapshot,
}


def test_every_collected_v5_message_of_a_channel_that_we_read_is_understood():
    read = Counter()
    for fixture in fixtures("tardis_messages_okx.jsonl.xz"):
        message = fixture["message"]
        channel = message.get("arg", {}).get("channel")
        if channel not in EVENTS or "data" not in message:
            continue
        rows = message["data"]
        symbol = message["arg"].get("instId") or rows[0]["instId"]
        codec = OkxCodec([named(symbol)], book_channel="books-l2-tbt")
        events = codec.decode(json.dumps(message, separators=(",", ":")).encode(), 1)
        if channel == "funding-rate" and "fundingRate" not in rows[0]:
            assert list(events) == []
            read["no rate yet"] += 1
            continue
        assert events, fixture["id"]
        assert all(isinstance(event, EVENTS[channel]) for event in events), (fixture["id"], events)
        read[channel] += 1
    assert read == {
        "trades": 3,
        "trades-all": 1,
        "books-l2-tbt": 5,
        "tickers": 4,
        "mark-price": 3,
        "open-interest": 2,
        "index-tickers": 3,
        "liquidation-orders": 2,
        "funding-rate": 2,
        "bbo-tbt": 2,
        "no rate yet": 1,
    }


def test_messages_of_older_generations_are_refused_and_counted():
    codec = OkxCodec(INSTRUMENTS)
    old = [one["message"] for one in fixtures("tardis_messages_okx.jsonl.xz") if "table" in one["message"]]
    events = [event for message in old for event in codec.decode(json.dumps(message).encode(), 1)]
    assert len(events) == len(old) == 37
    assert {event.reason for event in events} == {"unknown_event"}


def test_collected_conversations_are_asked_and_answered_as_we_do():
    conversations = 0
    for fixture in fixtures("jkorf_okx.jsonl.xz"):
        steps = [step.get("json", {}) for step in fixture.get("steps", [])]
        asked = next((step for step in steps if step.get("op") == "subscribe"), None)
        arg = asked["args"][0] if asked else {}
        if arg.get("channel") not in EVENTS:
            continue
        conversations += 1
        topic = Topic(arg["channel"], arg.get("instId", ""), arg.get("instType", ""))
        ledger = TopicLedger()
        (request,) = ledger.subscribe([topic], now_ns=0)
        assert {key: value for key, value in json.loads(request).items() if key != "id"} == asked
        for step in steps:
            if step.get("event") == "subscribe":
                ledger.on_message(json.dumps(step).encode())
            elif "data" in step:
                # Their pushes are of other instruments than the one asked for: our codec would say so.
                row = step["data"][0]
                symbol = row.get("instId", arg.get("instId"))
                step["arg"]["instId"] = symbol
                codec = OkxCodec([named(symbol)])
                (event,) = codec.decode(json.dumps(step).encode(), 1)
                assert isinstance(event, EVENTS[topic.channel] if topic.channel != "books" else WireRejected), event
        assert ledger.state(topic) is TopicState.GRANTED
    assert conversations == 7


def test_collected_rest_replies_are_the_rows_of_their_channels():
    channels = {
        "/api/v5/public/mark-price": ("mark-price", MarkPrice),
        "/api/v5/public/open-interest": ("open-interest", OpenInterest),
        "/api/v5/public/funding-rate": ("funding-rate", FundingRate),
        "/api/v5/public/funding-rate-history": ("funding-rate", FundingRate),
        "/api/v5/market/index-tickers": ("index-tickers", IndexPrice),
        "/api/v5/market/tickers": ("tickers", Ticker),
        "/api/v5/market/ticker": ("tickers", Ticker),
        "/api/v5/market/trades": ("trades", Trade),
        "/api/v5/market/history-trades": ("trades", Trade),
    }
    read = set()
    for fixture in fixtures("jkorf_okx.jsonl.xz"):
        path = fixture.get("url_path", "")
        if path not in channels:
            continue
        channel, kind = channels[path]
        rows = fixture["response"]["data"]
        codec = OkxCodec([named(symbol) for symbol in {row["instId"] for row in rows}])
        events = codec.decode_reply(channel, json.dumps(fixture["response"]).encode(), 1)
        assert len(events) == len(rows)
        assert all(isinstance(event, kind) for event in events), events
        read.add(path)
    assert read == set(channels)
