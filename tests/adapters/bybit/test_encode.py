"""What the encoder writes is what the codec reads, and is shaped as the venue's own recorded messages."""

from __future__ import annotations

import json
import lzma
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bybit.codec import BybitCodec
from adapters.bybit.encode import BybitEncoder
from adapters.bybit.instruments import INSTRUMENTS, Category
from trading.market.events import (
    Aggressor,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    Liquidation,
    MarkPrice,
    PositionSide,
    Trade,
)

BYBIT_DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "bybit"
BTC = {category: INSTRUMENTS[category][0] for category in Category}
MS = 1_700_000_000_000

level = st.tuples(st.integers(1, 10**9), st.integers(1, 10**12))
side = st.lists(level, unique_by=lambda one: one[0], max_size=40)
sides = st.tuples(side, side)


def encoder_of(category):
    one = BTC[category]
    spot, inverse = category is Category.SPOT, category is Category.INVERSE
    return BybitEncoder(one.symbol, one.tick_size, one.lot_size, spot=spot, inverse=inverse)


@pytest.mark.parametrize("category", list(Category))
@given(sides=sides, u=st.integers(2, 2**50), seq=st.integers(0, 2**50))
def test_books_come_back_as_they_went(category, sides, u, seq):
    encoder, codec = encoder_of(category), BybitCodec([BTC[category]])
    for kind, expected in (("snapshot", DepthSnapshot), ("delta", DepthUpdate)):
        payload = encoder.book(50, kind, sides, u=u, seq=seq, event_ms=MS, sent_ms=MS + 3)
        (event,) = codec.decode(payload, 5)
        assert isinstance(event, expected)
        assert (list(event.bids), list(event.asks), event.seq) == (sides[0], sides[1], seq)
        assert event.ts_event_ns == MS * 10**6
    rest = codec.decode_snapshot(encoder.rest_book(sides, u=u, seq=seq, event_ms=MS, sent_ms=MS), 5)
    assert isinstance(rest, DepthSnapshot)
    assert (rest.bids, rest.asks, rest.last_update_id, rest.seq) == (sides[0], sides[1], u, seq)


@pytest.mark.parametrize("category", list(Category))
@given(number=st.integers(0, 2**50), one=level, buy=st.booleans())
def test_touches_prints_and_liquidations_come_back(category, number, one, buy):
    encoder, codec = encoder_of(category), BybitCodec([BTC[category]])
    touch = encoder.book(1, "snapshot", ([one], []), u=number + 2, seq=number, event_ms=MS, sent_ms=MS)
    (best,) = codec.decode(touch, 5)
    assert isinstance(best, BookTicker)
    assert (best.bid_ticks, best.bid_lots, best.ask_lots, best.update_id) == (*one, 0, number)
    (trade,) = codec.decode(encoder.trade(number, *one, event_ms=MS, sent_ms=MS, seq=1, buy=buy), 5)
    assert isinstance(trade, Trade)
    assert (trade.price_ticks, trade.qty_lots) == one
    assert trade.aggressor is (Aggressor.BUY if buy else Aggressor.SELL)
    (taken,) = codec.decode(encoder.liquidations([(MS, *one, buy)], MS), 5)
    assert isinstance(taken, Liquidation)
    assert taken.side is (PositionSide.LONG if buy else PositionSide.SHORT)
    assert taken.price == BTC[category].price(one[0])


@given(st.lists(st.integers(0, 2**50), unique=True, max_size=50))
def test_no_two_trades_of_contracts_have_one_id(numbers):
    encoder, codec = encoder_of(Category.LINEAR), BybitCodec([BTC[Category.LINEAR]])
    found = [
        codec.decode(encoder.trade(n, 1, 1, event_ms=MS, sent_ms=MS, seq=1, buy=True), 5)[0].trade_id for n in numbers
    ]
    assert len(set(found)) == len(numbers)


def test_a_ticker_is_a_snapshot_and_then_what_changed():
    encoder, codec = encoder_of(Category.LINEAR), BybitCodec([BTC[Category.LINEAR]])
    codec.decode(encoder.ticker("snapshot", {"markPrice": "61234.50", "indexPrice": "61230.00"}, 1, MS), 5)
    (mark,) = codec.decode(encoder.ticker("delta", {"markPrice": "61234.60"}, 2, MS), 5)
    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price) == (Decimal("61234.6"), Decimal(61230))


@pytest.mark.recording
@pytest.mark.skipif(not BYBIT_DATA.is_dir(), reason=f"no recordings at {BYBIT_DATA}")
def test_messages_have_the_keys_of_recorded_ones():
    recorded = {}
    with lzma.open(BYBIT_DATA / "fixtures" / "tardis_messages_bybit.jsonl.xz", "rt") as stream:
        for line in stream:
            message = json.loads(line)["message"]
            recorded[message.get("topic", "").rpartition(".")[0], message.get("type")] = message
    encoder = encoder_of(Category.LINEAR)
    written = {
        ("orderbook.50", "delta"): encoder.book(50, "delta", ([(1, 0)], []), u=2, seq=1, event_ms=MS, sent_ms=MS),
        ("orderbook.50", "snapshot"): encoder.book(
            50, "snapshot", ([(1, 1)], [(2, 2)]), u=2, seq=1, event_ms=MS, sent_ms=MS
        ),
        ("publicTrade", "snapshot"): encoder.trade(1, 1, 1, event_ms=MS, sent_ms=MS, seq=1, buy=True),
        ("tickers", "delta"): encoder.ticker("delta", {"bid1Price": "1.00"}, 1, MS),
        ("allLiquidation", "snapshot"): encoder.liquidations([(MS, 1, 1, True)], MS),
    }
    for name, payload in written.items():
        mine, theirs = json.loads(payload), recorded[name]
        assert set(theirs) <= set(mine), name
        rows = [one if isinstance(one, dict) else one[0] for one in (mine["data"], theirs["data"])]
        shared = set(rows[0]) & set(rows[1])
        assert shared >= (set(rows[1]) if name[0] != "tickers" else {"symbol", "bid1Price"}), name
        for key in shared:
            assert type(rows[0][key]) is type(rows[1][key]), (name, key)
