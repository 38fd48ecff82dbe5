"""Two copies of one stream for a while: each message goes on once, in order, and none is left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.streams.overlap import RING_FRAMES, Overlap
from adapters.streams.topics import Pulse, TopicKind, TopicSpec

BOOK = Pulse(TopicSpec(key="book", kind=TopicKind.BOOK))
TRADES = Pulse(TopicSpec(key="trades", kind=TopicKind.TRADES))


def order_of(payload: bytes) -> int:
    return int(payload[1:])


def book(number: int) -> bytes:
    return b"b%d" % number


def trade(number: int) -> bytes:
    return b"t%d" % number


@given(
    first=st.integers(1, 40),
    second=st.integers(0, 40),
    extra=st.integers(0, 40),
    lag=st.lists(st.booleans(), min_size=80, max_size=80),
)
def test_a_copy_that_begins_anywhere_and_lags_or_leads_is_joined_without_a_hole(first, second, extra, lag) -> None:
    """The second copy begins at or before what the first delivers last, as one that was opened beside it does."""
    begin = min(second, first)
    end = max(first, begin) + extra
    overlap = Overlap(order_of)
    overlap.begin()
    out: list[bytes] = []
    ones = [(kind(n), pulse) for n in range(first + 1) for kind, pulse in ((book, BOOK), (trade, TRADES))]
    twos = [(kind(n), pulse) for n in range(begin, end + 1) for kind, pulse in ((book, BOOK), (trade, TRADES))]
    turns = iter(lag * 10)
    while ones or twos:
        if ones and (not twos or next(turns)):
            payload, pulse = ones.pop(0)
            overlap.on_first(payload, pulse)
            out.append(payload)
        else:
            payload, pulse = twos.pop(0)
            overlap.on_second((payload, 0, pulse))
    out += [payload for payload, _, _ in overlap.hand_over(joined=True)]
    assert [p for p in out if p[:1] == b"b"] == [book(n) for n in range(end + 1)]
    assert [p for p in out if p[:1] == b"t"] == [trade(n) for n in range(end + 1)]
    assert not overlap.active
    assert overlap.hand_over(joined=True) == []


def test_when_the_first_broke_all_of_the_second_is_wanted() -> None:
    overlap = Overlap(order_of)
    overlap.begin()
    overlap.on_first(book(5), BOOK)
    for number in (3, 4, 5, 6):
        overlap.on_second((book(number), 0, BOOK))
    assert [payload for payload, _, _ in overlap.hand_over(joined=False)] == [book(n) for n in (3, 4, 5, 6)]


def test_a_book_that_was_mute_on_the_first_is_taken_whole() -> None:
    overlap = Overlap(order_of)
    overlap.begin()
    overlap.on_first(trade(1), TRADES)
    overlap.on_second((book(9), 0, BOOK))
    overlap.on_second((trade(1), 0, TRADES))
    overlap.on_second((b"answer", 0, None))
    assert [payload for payload, _, _ in overlap.hand_over(joined=True)] == [book(9), b"answer"]


def test_memory_is_bounded() -> None:
    overlap = Overlap(order_of)
    overlap.begin()
    for number in range(RING_FRAMES + 100):
        overlap.on_first(trade(number), TRADES)
        overlap.on_second((trade(number + 10**6), 0, TRADES))
    assert len(overlap.hand_over(joined=True)) == RING_FRAMES
