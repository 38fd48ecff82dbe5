"""Messages that Bybit really sent, or documents, through codec, books and ledger."""

from __future__ import annotations

import json
import lzma
from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import INSTRUMENTS, Category
from adapters.bybit.subscriptions import Answer, SubscriptionLedger
from native import marketdata
from trading.market.events import BookState, DepthSnapshot, DepthUpdate, WireRejected
from trading.market.stitch import SequenceRule
from trading.market.stream_stitch import StreamSync

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "bybit"
NOW = 1_733_011_200_700_000_000
V5_TOPICS = ("orderbook.", "publicTrade.", "tickers.", "liquidation.", "allLiquidation.")

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}"),
]


def lines(path):
    with lzma.open(DATA / path, "rt") as file:
        return [json.loads(line) for line in file]


@pytest.mark.req("P-MD-2")
def test_the_recorded_book_of_500_levels_stays_whole_message_by_message():
    (xrp,) = [one for one in INSTRUMENTS[Category.LINEAR] if one.base == "XRP"]
    codec = BybitCodec([xrp], book_depth=500)
    sync = StreamSync(xrp.instrument_id, SequenceRule.BYBIT)
    with lzma.open(DATA / "l2_raw" / "2024-12-01_XRPUSDT_ob500.jsonl.xz", "rb") as file:
        for number, line in enumerate(file):
            (event,) = codec.decode(line.strip(), NOW + number)
            assert isinstance(event, DepthUpdate if number else DepthSnapshot)
            if isinstance(event, DepthSnapshot):
                sync.on_snapshot(event)
            else:
                sync.on_update(event)
            assert sync.state is BookState.SYNCED
            # The venue removes what leaves the 500 best, so that no level of the past stays behind.
            assert sync.book.levels() == (500, 500)
    assert (sync.counters.applied, sync.counters.gaps, sync.counters.crossed) == (49, 0, 0)
    assert codec.finer_quantities() == {xrp.instrument_id: 0}
    assert sync.book.update_id == 20254918


@pytest.mark.skipif(marketdata is None, reason="native/ is not built")
def test_the_recorded_deltas_are_read_natively_and_to_the_same_levels():
    instruments = [one for one in INSTRUMENTS[Category.LINEAR] if one.base == "XRP"]
    native, plain = (BybitCodec(instruments, book_depth=500, native=choice) for choice in (True, False))
    with lzma.open(DATA / "l2_raw" / "2024-12-01_XRPUSDT_ob500.jsonl.xz", "rb") as file:
        for number, line in enumerate(file):
            (event,) = native.decode(line.strip(), NOW)
            assert (event,) == tuple(plain.decode(line.strip(), NOW))
            assert isinstance(event.bids, marketdata.Levels if number else list)


def test_every_message_of_this_generation_is_read_and_every_older_one_is_refused():
    instruments = {}
    for row in lines("fixtures/tardis_messages_bybit.jsonl.xz"):
        symbol = row["message"].get("topic", "").rpartition(".")[2]
        template = INSTRUMENTS[Category.LINEAR][0]
        instruments[symbol] = msgspec.structs.replace(
            template, instrument_id=symbol, symbol=symbol, tick_size=Decimal("0.00001"), lot_size=Decimal("0.000001")
        )
    codec = BybitCodec(list(instruments.values()))
    read, refused = Counter(), Counter()
    for row in lines("fixtures/tardis_messages_bybit.jsonl.xz"):
        message = row["message"]
        topic = message.get("topic", "")
        # Each row begins anew: a delta alone has nothing to add to.
        codec.on_connected()
        events = codec.decode(json.dumps(message).encode(), NOW)
        bad = [event.reason for event in events if isinstance(event, WireRejected)]
        kind = topic.partition(".")[0]
        if topic.startswith(V5_TOPICS) and "ts" in message:
            if bad:
                assert message["type"] == "delta"
                assert bad == ["bad_sequence"]
            read[kind, not bad] += 1
        elif topic:
            refused[bad[0]] += 1
    assert read == {
        ("publicTrade", True): 4,
        ("orderbook", True): 6,
        ("orderbook", False): 3,
        ("tickers", True): 3,
        ("tickers", False): 2,
        ("liquidation", True): 2,
        ("allLiquidation", True): 2,
    }
    assert set(refused) <= {"unknown_event", "malformed", "unknown_symbol"}


def test_the_documented_conversations_end_with_every_topic_granted():
    count = 0
    for row in lines("fixtures/jkorf_bybit.jsonl.xz"):
        steps = {step["dir"]: step["json"] for step in row.get("steps", []) if "json" in step}
        if "client" not in steps or steps["client"].get("op") != "subscribe" or "server_ack" not in steps:
            continue
        ledger = SubscriptionLedger()
        (request,) = ledger.subscribe(steps["client"]["args"])
        ack = dict(steps["server_ack"])
        if "req_id" in ack:
            ack["req_id"] = msgspec.json.decode(request)["req_id"]
        elif ack.get("type") != "COMMAND_RESP":
            continue
        settled = ledger.on_message(json.dumps(ack).encode())
        assert isinstance(settled, Answer)
        assert not settled.error
        count += not ledger.missing()
    assert count >= 3
