"""Frames of ccxt's structures: whole books told as changes, and nothing that makes the codec raise."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.book_topics import book_symbol_of
from adapters.ccxt_venues import frames
from adapters.ccxt_venues.codec import CcxtCodec
from adapters.venue_codecs import KNOWN, open_codec
from adapters.wirelog import is_snapshot
from trading.market.book import Book
from trading.market.events import Aggressor, DepthSnapshot, DepthUpdate, Ticker, Trade, WireRejected

ONE = KNOWN["GATEIO:SPOT:BTC-USDT"]
T0 = 1_795_000_000_000_000_000


def book(number, bids, asks, **more):
    return {"nonce": number, "timestamp": 1_795_000_000_123, "bids": bids, "asks": asks, **more}


def live(number, bids, asks, **more):
    return frames.book_frame(frames.BOOK, "BTC_USDT", book(number, bids, asks, **more), 50)


@pytest.fixture
def codec():
    return CcxtCodec("gateio", [ONE])


def test_the_first_book_begins_and_each_later_one_is_what_changed(codec):
    first = codec.decode(live(7, [[61000.1, 0.5], [61000.0, 1e-06]], [[61000.2, 2]]), T0)
    assert isinstance(first, DepthSnapshot)
    assert (first.in_stream, first.last_update_id) == (True, 7)
    assert (first.bids, first.asks) == ([(610001, 500000), (610000, 1)], [(610002, 2000000)])
    assert first.ts_event_ns == 1_795_000_000_123_000_000
    then = codec.decode(live(9, [[61000.1, 0.4], [60999.9, 3.0]], [[61000.2, 2]]), T0 + 1)
    assert isinstance(then, DepthUpdate)
    assert (then.prev_final_update_id, then.first_update_id, then.final_update_id) == (7, 8, 9)
    assert sorted(then.bids) == [(609999, 3000000), (610000, 0), (610001, 400000)]
    assert list(then.asks) == []
    shadow = codec.decode(frames.book_frame(frames.SHADOW, "BTC_USDT", book(8, [[61000.1, 0.5]], []), 100), T0)
    assert isinstance(shadow, DepthSnapshot)
    assert (shadow.in_stream, shadow.last_update_id) == (False, 8)
    assert codec.decode(live(10, [[61000.1, 0.4]], [[61000.2, 2]]), T0).prev_final_update_id == 9


def test_a_new_connection_begins_the_book_again(codec):
    codec.decode(live(7, [[61000.1, 0.5]], [[61000.2, 2]]), T0)
    codec.on_connected()
    assert isinstance(codec.decode(live(3, [[61000.1, 0.5]], [[61000.2, 2]]), T0), DepthSnapshot)


def test_an_older_number_is_left_out_until_it_is_clear_that_the_venue_numbers_anew(codec):
    codec.decode(live(70, [[61000.1, 0.5]], [[61000.2, 2]]), T0)
    for number in (69, 68, 69, 3, 4):
        assert codec.decode(live(number, [[61000.1, 0.9]], [[61000.2, 2]]), T0) is None
    assert isinstance(codec.decode(live(5, [[61000.1, 0.9]], [[61000.2, 2]]), T0), DepthSnapshot)
    assert codec.decode(live(6, [[61000.1, 0.8]], [[61000.2, 2]]), T0).prev_final_update_id == 5
    # One that lags now and then is no reason.
    for number in range(7, 20):
        assert codec.decode(live(2, [[61000.1, 0.9]], [[61000.2, 2]]), T0) is None
        assert isinstance(codec.decode(live(number, [[61000.1, 0.9]], [[61000.2, 2]]), T0), DepthUpdate)


def test_equal_numbers_are_a_sign_of_life_or_a_contradiction(codec):
    codec.decode(live(7, [[61000.1, 0.5]], [[61000.2, 2]]), T0)
    same = codec.decode(live(7, [[61000.1, 0.5]], [[61000.2, 2]]), T0)
    assert (same.prev_final_update_id, same.final_update_id, list(same.bids), list(same.asks)) == (7, 7, [], [])
    other = codec.decode(live(7, [[61000.1, 0.6]], [[61000.2, 2]]), T0)
    assert list(other.bids) == [(610001, 600000)]


def test_a_book_without_a_number_is_a_beginning_each_time(codec):
    for _ in range(3):
        found = codec.decode(live(None, [[61000.1, 0.5]], [[61000.2, 2]]), T0)
        assert (found.in_stream, found.last_update_id) == (True, -1)


def test_trades_and_tickers_are_the_desks_own_events(codec):
    rows = [
        {"id": "5541", "timestamp": 1_795_000_000_000, "side": "buy", "price": 61000.1, "amount": 0.001, "info": {}}
    ]
    (trade,) = codec.decode(frames.trades_frame("BTC_USDT", rows), T0)
    assert isinstance(trade, Trade)
    assert (trade.trade_id, trade.price_ticks, trade.qty_lots, trade.aggressor) == (5541, 610001, 1000, Aggressor.BUY)
    ticker = codec.decode(frames.ticker_frame("BTC_USDT", {"last": 61000.1, "baseVolume": 10.5, "info": {}}), T0)
    assert isinstance(ticker, Ticker)
    assert (ticker.last_price, ticker.volume_24h, ticker.bid_price) == (Decimal("61000.1"), Decimal("10.5"), None)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (live(7, [[61000.15, 0.5]], [[61000.2, 2]]), "malformed"),  # off the grid, never rounded
        (live(7, [[61000.3, 0.5]], [[61000.2, 2]]), "malformed"),  # crossed
        (live(7, [[61000.1, float("nan")]], [[61000.2, 2]]), "malformed"),
        (frames.book_frame(frames.BOOK, "ETH_USDT", book(7, [], []), 50), "unknown_symbol"),
        (b'{"ccxt":"candles.BTC_USDT"}', "unknown_kind"),
        (b'{"ccxt":"orderbook.BTC_USDT","number":1}', "malformed"),
        (b'{"ccxt":"ticker.BTC_USDT","rows":[]}', "malformed"),
        (b"[]", "malformed"),
        (b"{" * 5000, "malformed"),
        (b'{"ccxt":"orderbook.BTC_USDT"}' + b" " * (1 << 20), "too_large"),
    ],
)
def test_what_cannot_be_believed_is_refused_by_name(codec, frame, reason):
    found = codec.decode(frame, T0)
    assert isinstance(found, WireRejected)
    assert (found.venue, found.reason) == ("gateio", reason)


def test_an_unreadable_book_names_the_market_that_lost_something():
    assert book_symbol_of(live(7, [[61000.15, 0.5]], []), ["BTC_USDT", "ETH_USDT"]) == "BTC_USDT"
    shadow = frames.book_frame(frames.SHADOW, "BTC_USDT", book(7, [], []), 50)
    assert book_symbol_of(shadow, ["BTC_USDT"]) is None
    assert not is_snapshot(shadow)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
@example(json.dumps({"ccxt": "trades.BTC_USDT", "rows": [{}]}).encode())
@example(json.dumps({"ccxt": "shadow.BTC_USDT", "number": 10**30, "timestamp": None, "bids": [], "asks": []}).encode())
@example(b'{"ccxt":"orderbook.BTC_USDT","number":1,"timestamp":null,"bids":[["1e999999999","1"]],"asks":[]}')
def test_no_bytes_make_it_raise(payload):
    codec = open_codec("gateio", [ONE])
    codec.decode(payload, T0)
    codec.decode_snapshot(payload, ONE.instrument_id, T0)
    codec.decode_snapshot(payload, "nobody", T0)
    codec.decode_polled("instruments", payload, "", T0)


side = st.dictionaries(st.integers(1, 40), st.integers(1, 10**9), max_size=30)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(side, side), min_size=1, max_size=8))
def test_what_is_told_makes_the_book_that_ccxt_had(books):
    codec, mine = CcxtCodec("gateio", [ONE]), Book(ONE.instrument_id)
    for number, (bids, asks) in enumerate(books):
        theirs_bids = sorted(((600_000 - tick, lots) for tick, lots in bids.items()), reverse=True)
        theirs_asks = sorted((600_000 + tick, lots) for tick, lots in asks.items())

        def floats(levels):
            return [[float(ONE.price(tick)), float(ONE.qty(lots))] for tick, lots in levels]

        event = codec.decode(live(number, floats(theirs_bids), floats(theirs_asks)), T0)
        (mine.apply_snapshot if isinstance(event, DepthSnapshot) else mine.apply)(event)
        assert mine.top(50) == (tuple(theirs_bids), tuple(theirs_asks))
        assert mine.update_id == number
