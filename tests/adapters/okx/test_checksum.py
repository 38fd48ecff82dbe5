"""OKX's checksum: the best 25 levels by turns, as the venue spells them."""

from __future__ import annotations

from decimal import Decimal
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.okx.checksum import LEVELS, MEMORY_ENTRIES, Spelling
from adapters.okx.instruments import INSTRUMENTS
from trading.market.book import Book
from trading.market.events import DepthSnapshot

SWAP = next(one for one in INSTRUMENTS if one.symbol == "BTC-USDT-SWAP")  # tick 0.1, lot 0.01


def book(bids, asks):
    made = Book(SWAP.instrument_id)
    made.apply_snapshot(
        DepthSnapshot(
            instrument_id=SWAP.instrument_id, last_update_id=1, bids=bids, asks=asks, ts_event_ns=0, ts_recv_ns=0
        )
    )
    return made


def signed(text):
    value = crc32(text.encode())
    return value - 2**32 if value >= 2**31 else value


@pytest.mark.parametrize(
    ("bids", "asks", "text"),
    [
        ([(33661, 700)], [(33668, 900)], "3366.1:7:3366.8:9"),
        ([(33661, 700)], [(33668, 900), (33680, 800)], "3366.1:7:3366.8:9:3368:8"),
        ([(33661, 750), (33660, 600), (33650, 1)], [(33668, 900)], "3366.1:7.5:3366.8:9:3366:6:3365:0.01"),
        ([], [(33668, 900)], "3366.8:9"),
        ([(1000, 100000)], [], "100:1000"),
    ],
)
def test_bids_and_asks_take_turns_and_a_short_side_is_skipped(bids, asks, text):
    assert Spelling(SWAP).checksum_of(book(bids, asks)) == signed(text)


def test_no_level_beyond_the_twenty_fifth_counts():
    bids = [(1000 - n, 100) for n in range(LEVELS)]
    asks = [(1001 + n, 100) for n in range(LEVELS)]
    more = book([*bids, (10, 1)], [*asks, (9999, 1)])
    assert Spelling(SWAP).checksum_of(more) == Spelling(SWAP).checksum_of(book(bids, asks))
    fewer = book(bids[:-1], asks)
    assert Spelling(SWAP).checksum_of(fewer) != Spelling(SWAP).checksum_of(book(bids, asks))


def test_the_venues_own_spelling_is_kept_where_it_is_another():
    spelling = Spelling(SWAP)
    one = book([(33661, 700)], [(33668, 900)])
    spelling.meet((33661, 700), "3366.10", "7.00")
    assert spelling.checksum_of(one) == signed("3366.10:7.00:3366.8:9")


def test_the_memory_of_spellings_is_bounded():
    spelling = Spelling(SWAP)
    for tick in range(1, MEMORY_ENTRIES + 100):
        spelling.meet((tick, 1), "x", "y")
    assert len(spelling) <= MEMORY_ENTRIES


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_what_was_not_met_is_spelled_without_needless_zeros(tick, lots):
    price, _, size = Spelling(SWAP)[tick, lots].partition(":")
    assert (Decimal(price), Decimal(size)) == (SWAP.tick_size * tick, SWAP.lot_size * lots)
    for text in (price, size):
        assert "E" not in text
        assert not (text.endswith((".", "0")) and "." in text)
