"""Orders that rest off a tick which became coarser: an OKX book is read without them, from the stream and from REST."""

from __future__ import annotations

import json

import pytest

from adapters.binance.grid import MAX_STRAYS
from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS
from trading.market.events import BookState, DepthSnapshot, DepthUpdate, WireRejected
from trading.market.stitch import SequenceRule
from trading.market.stream_stitch import StreamSync

NOW = 1_785_870_840_000_000_000
LINEAR = "OKX:PERP:BTC-USDT:LINEAR"  # tick 0.1, lot 0.01


def rows(pairs):
    return [[price, size, "0", "1"] for price, size in pairs]


def sides(*strays, near=()):
    """30 bids and 30 asks on the grid, spelled as the venue does, and bids off it."""
    bids = [(f"{8476.8 - n / 10:.1f}".removesuffix(".0"), "1") for n in range(30)]
    bids[5:5] = [(price, "1") for price in near]
    asks = [(f"{8476.9 + n / 10:.1f}".removesuffix(".0"), "1") for n in range(30)]
    return [*bids, *((price, "7") for price in strays)], asks


def push(action, bids, asks, seq, previous, checksum=0):
    row = {"asks": rows(asks), "bids": rows(bids), "ts": "1597026383185", "checksum": checksum}
    row |= {"seqId": seq, "prevSeqId": previous}
    message = {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": action, "data": [row]}
    return json.dumps(message, separators=(",", ":")).encode()


def reply(bids, asks):
    row = {"asks": rows(asks), "bids": rows(bids), "ts": "1629966436396", "seqId": 10}
    return json.dumps({"code": "0", "msg": "", "data": [row]}).encode()


def one(codec, payload):
    (event,) = codec.decode(payload, NOW)
    return event


@pytest.fixture(params=[True, False], ids=["native", "python"])
def codec(request):
    return OkxCodec(INSTRUMENTS, native=request.param)


@pytest.mark.req("P-MD-2")
def test_an_order_off_a_tick_that_became_coarser_does_not_cost_the_book(codec):
    sync = StreamSync(LINEAR, SequenceRule.OKX, checksum_of=codec.checksum_of(LINEAR))
    snapshot = one(codec, push("snapshot", *sides("6000.05", "5999.01"), 10, -1))
    assert isinstance(snapshot, DepthSnapshot)
    # The count of what was stated stays, so that a cut-off book is known as such.
    assert [lots for _, lots in snapshot.bids] == [100] * 30 + [0, 0]
    sync.on_snapshot(snapshot)
    # The old order changes and goes away, and so does one that was never in the book; the others are read beside it.
    for seq, (price, size) in enumerate((("6000.05", "3"), ("6000.05", "0"), ("5500.01", "0")), 11):
        update = one(codec, push("update", [(price, size), ("8476.8", str(seq))], [], seq, seq - 1))
        assert isinstance(update, DepthUpdate)
        assert list(update.bids) == [(84768, seq * 100)]
        sync.on_update(update)
    assert (sync.book.state, sync.book.best_bid()) == (BookState.SYNCED, (84768, 1300))
    assert sync.book.levels() == (30, 30)


def test_a_price_off_the_grid_that_the_book_did_not_state_is_refused(codec):
    one(codec, push("snapshot", *sides("6000.05"), 10, -1))
    for price in ("6000.06", "8476.75"):
        refused = one(codec, push("update", [(price, "1")], [], 11, 10))
        assert isinstance(refused, WireRejected)
        assert refused.reason == "off_grid_price"
    # The next book has no such order, so that from then on it is nobody's.
    one(codec, push("snapshot", *sides(), 20, -1))
    assert isinstance(one(codec, push("update", [("6000.05", "3")], [], 21, 20)), WireRejected)


def test_prices_off_the_grid_near_the_touch_or_many_of_them_refuse_the_book(codec):
    many = [f"{6000 - n / 10:.1f}1" for n in range(MAX_STRAYS + 1)]
    for stated in (sides(near=["8476.35"]), sides(*many)):
        for refused in (
            one(codec, push("snapshot", *stated, 10, -1)),
            codec.decode_snapshot(reply(*stated), LINEAR, NOW),
        ):
            assert isinstance(refused, WireRejected)
            assert refused.reason == "off_grid_price"
    assert isinstance(one(codec, push("snapshot", *sides(*many[1:]), 10, -1)), DepthSnapshot)


def test_a_rest_book_is_read_without_them_too(codec):
    snapshot = codec.decode_snapshot(reply(*sides("6000.05")), LINEAR, NOW)
    assert isinstance(snapshot, DepthSnapshot)
    assert (len(snapshot.bids), snapshot.bids[-1]) == (31, (0, 0))
    assert list(one(codec, push("update", [("6000.05", "3")], [], 11, 10)).bids) == []


def test_the_checksum_of_such_a_book_is_that_of_its_best_levels(codec):
    plain = OkxCodec(INSTRUMENTS)
    book = StreamSync(LINEAR, SequenceRule.OKX)
    book.on_snapshot(one(plain, push("snapshot", *sides(), 10, -1)))
    checksum = plain.checksum_of(LINEAR)(book.book)
    sync = StreamSync(LINEAR, SequenceRule.OKX, checksum_of=codec.checksum_of(LINEAR))
    sync.on_snapshot(one(codec, push("snapshot", *sides("6000.05"), 10, -1, checksum)))
    assert (sync.state, sync.counters.checksums_ok) == (BookState.SYNCED, 1)
