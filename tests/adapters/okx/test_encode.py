"""What the encoder writes is what the codec reads, and is shaped as the venue's own recorded messages."""

from __future__ import annotations

import json
import lzma
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.okx.checksum import Spelling
from adapters.okx.codec import OkxCodec
from adapters.okx.encode import OkxEncoder, instrument_type, push
from adapters.okx.instruments import INSTRUMENTS
from trading.market.book import Book
from trading.market.events import Aggressor, BookTicker, DepthSnapshot, DepthUpdate, MarkPrice, Trade

OKX_DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "okx"
SWAP = next(one for one in INSTRUMENTS if one.symbol == "BTC-USDT-SWAP")
SPOT = next(one for one in INSTRUMENTS if one.symbol == "BTC-USDT")
MS = 1_700_000_000_000

level = st.tuples(st.integers(1, 10**9), st.integers(1, 10**12))
side = st.lists(level, unique_by=lambda one: one[0], max_size=40)
sides = st.tuples(side, side)


def encoder_of(instrument):
    return OkxEncoder(instrument.symbol, instrument.tick_size, instrument.lot_size)


@pytest.mark.parametrize("instrument", [SWAP, SPOT], ids=lambda one: one.symbol)
@given(sides=sides, seq=st.integers(1, 2**50), gap=st.integers(1, 99))
def test_books_come_back_as_they_went(instrument, sides, seq, gap):
    encoder, codec = encoder_of(instrument), OkxCodec([instrument])
    (update,) = codec.decode(encoder.books("books", sides, MS, seq + gap, seq), 5)
    assert isinstance(update, DepthUpdate)
    assert (list(update.bids), list(update.asks)) == (sides[0], sides[1])
    assert (update.prev_final_update_id, update.final_update_id, update.ts_event_ns) == (seq, seq + gap, MS * 10**6)
    (snapshot,) = codec.decode(encoder.books("books", sides, MS, seq, -1, action="snapshot"), 5)
    assert isinstance(snapshot, DepthSnapshot)
    assert (snapshot.bids, snapshot.asks, snapshot.last_update_id) == (sides[0], sides[1], seq)
    rest = codec.decode_snapshot(encoder.rest_book(sides[0], sides[1], MS, seq), instrument.instrument_id, 5)
    assert isinstance(rest, DepthSnapshot)
    assert (rest.bids, rest.asks, rest.last_update_id) == (sides[0], sides[1], seq)


@given(sides=sides)
def test_the_checksum_is_the_one_that_a_reader_computes(sides):
    encoder = encoder_of(SWAP)
    bids, asks = sorted(sides[0], reverse=True), sorted(sides[1])
    book = Book(SWAP.instrument_id)
    (snapshot,) = OkxCodec([SWAP]).decode(encoder.books("books", (bids, asks), MS, 1, -1, action="snapshot"), 5)
    book.apply_snapshot(snapshot)
    assert encoder.checksum((bids, asks)) == Spelling(SWAP).checksum_of(book)


@given(st.integers(0, 2**50), level, st.booleans())
def test_touches_prints_and_marks_come_back(number, one, buy):
    encoder, codec = encoder_of(SWAP), OkxCodec([SWAP])
    (best,) = codec.decode(encoder.best([one], [], MS, number), 5)
    assert isinstance(best, BookTicker)
    assert (best.bid_ticks, best.bid_lots, best.ask_ticks, best.ask_lots, best.update_id) == (*one, 0, 0, number)
    (trade,) = codec.decode(encoder.trade(number, *one, MS, buy=buy), 5)
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.price_ticks, trade.qty_lots) == (number, *one)
    assert trade.aggressor is (Aggressor.BUY if buy else Aggressor.SELL)
    (mark,) = codec.decode(encoder.mark(61234.5, MS), 5)
    assert isinstance(mark, MarkPrice)
    assert mark.mark_price == Decimal("61234.5")


def test_a_symbol_says_its_type():
    assert [instrument_type(name) for name in ("BTC-USDT", "BTC-USDT-SWAP", "BTC-USD-260327")] == [
        "SPOT",
        "SWAP",
        "FUTURES",
    ]
    assert json.loads(push("status", {}, [])) == {"arg": {"channel": "status"}, "data": []}


@pytest.mark.recording
@pytest.mark.skipif(not OKX_DATA.is_dir(), reason=f"no recordings at {OKX_DATA}")
def test_messages_have_the_keys_of_recorded_ones_in_their_order():
    recorded = {}
    with lzma.open(OKX_DATA / "cryptofeed_raw" / "OKX.ws.1.0.txt.xz", "rt") as stream:
        for line in stream:
            message = json.loads(line.partition(": ")[2]) if line[:1].isdigit() else {}
            if "data" in message:
                recorded[message["arg"]["channel"], message.get("action")] = message
    encoder = encoder_of(SPOT)
    written = {
        ("books", "update"): encoder.books("books", ([(1, 1)], [(2, 0)]), MS, 2, 1, checksum=7),
        ("books", "snapshot"): encoder.books("books", ([(1, 1)], [(2, 2)]), MS, 2, -1, action="snapshot"),
        ("trades", None): encoder.trade(1, 1, 1, MS, buy=True),
    }
    since = {"books": ["seqId", "prevSeqId"], "trades": ["count", "source"]}  # not yet stated in 2022
    for name, payload in written.items():
        mine, theirs = json.loads(payload), recorded[name]
        assert list(mine) == list(theirs)
        assert list(mine["arg"]) == list(theirs["arg"])
        keys = list(theirs["data"][0])
        assert list(mine["data"][0]) == keys + since[name[0]]
        for key in keys:
            assert type(mine["data"][0][key]) is type(theirs["data"][0][key]), key
    assert all(len(row) == 4 for row in json.loads(written["books", "update"])["data"][0]["asks"])
