"""Event time and our time: whatever is repeated or out of order is taken once, and every message is accounted for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.market.watermarks import Lateness, StreamKey, Watermark, WatermarkLimits, Watermarks

MS = 1_000_000
NOW = 1_700_000_000_000 * MS
KEY = StreamKey("binance", "BTCUSDT", "trade")


def stream(**limits):
    return Watermark(WatermarkLimits(**limits))


def at(watermark, seq, ms, recv_ms=None):
    return watermark.on_message(seq, NOW + ms * MS, NOW + (ms if recv_ms is None else recv_ms) * MS)


def test_the_watermark_is_a_second_behind_the_newest_event_time_and_never_goes_back():
    watermark = stream()
    assert watermark.watermark_ns == 0
    at(watermark, 1, 0)
    assert watermark.watermark_ns == NOW - 1000 * MS
    at(watermark, 2, -500)
    assert watermark.watermark_ns == NOW - 1000 * MS


@pytest.mark.parametrize(
    ("ms", "judged"),
    [
        (-1000, Lateness.ON_TIME),
        (-1001, Lateness.LATE),
        (-60_000, Lateness.LATE),
        (-60_001, Lateness.TOO_LATE),
    ],
)
def test_a_second_behind_the_newest_is_on_time_a_minute_is_late_and_more_is_dropped(ms, judged):
    watermark = stream()
    at(watermark, 1, 0)
    assert at(watermark, 2, ms, recv_ms=0) is judged
    assert judged.is_taken is (judged is not Lateness.TOO_LATE)


def test_a_time_from_the_future_moves_no_watermark():
    watermark = stream()
    at(watermark, 1, 0)
    assert at(watermark, 2, 5000, recv_ms=0) is Lateness.ON_TIME
    assert at(watermark, 3, 5001, recv_ms=0) is Lateness.FUTURE
    assert watermark.newest_ns == NOW + 5000 * MS


def test_the_same_number_at_the_same_time_is_a_repetition_and_at_another_time_it_is_not():
    watermark = stream()
    assert at(watermark, 7, 0) is Lateness.ON_TIME
    assert at(watermark, 7, 0, recv_ms=900) is Lateness.DUPLICATE
    assert at(watermark, 7, 1) is Lateness.ON_TIME  # a venue that numbers anew every day
    assert at(watermark, -1, 2) is Lateness.ON_TIME
    assert at(watermark, -1, 2) is Lateness.DUPLICATE


def test_what_may_be_a_forgotten_repetition_is_not_taken_again():
    watermark = stream(remembered=8)
    for n in range(9):
        at(watermark, n, n)
    assert watermark.floor_ns == NOW + MS
    assert [at(watermark, n, n, recv_ms=9) for n in range(9)] == [Lateness.TOO_LATE] * 2 + [Lateness.DUPLICATE] * 7
    assert at(watermark, 99, 2, recv_ms=9) is Lateness.ON_TIME


def test_a_time_that_more_messages_share_than_are_remembered_becomes_the_floor():
    watermark = stream(remembered=8)
    judged = [at(watermark, n, 0) for n in range(12)]
    assert judged == [Lateness.ON_TIME] * 9 + [Lateness.TOO_LATE] * 3
    assert at(watermark, 12, 1) is Lateness.ON_TIME


EVENTS = st.lists(st.tuples(st.integers(0, 60), st.integers(-70_000, 1000)), max_size=60)


@pytest.mark.req("P-MD-6")
@given(EVENTS, st.integers(1, 70))
def test_every_message_is_accounted_for_and_none_is_taken_twice(events, remembered):
    watermark = stream(remembered=remembered)
    taken, before = [], 0
    for seq, ms in events:
        judged = watermark.on_message(seq, NOW + ms * MS, NOW)
        if judged.is_taken:
            taken.append((seq, ms))
        assert watermark.watermark_ns >= before
        before = watermark.watermark_ns
        assert len(watermark._seen) <= remembered
    counters = watermark.counters
    assert len(taken) == len(set(taken))
    assert counters.on_time + counters.late == len(taken)
    assert counters.messages == len(events) == len(taken) + counters.too_late + counters.duplicates + counters.future


@pytest.mark.req("P-MD-6")
@given(st.data(), st.integers(1, 30))
def test_any_order_within_bounds_and_any_repetition_gives_the_same_messages(data, count):
    sent = [(n, data.draw(st.integers(0, 50_000))) for n in range(count)]
    arriving = data.draw(st.permutations(sent + data.draw(st.lists(st.sampled_from(sent), max_size=20))))
    watermark = stream()
    taken = [pair for pair in arriving if watermark.on_message(pair[0], NOW + pair[1] * MS, NOW + 50_000 * MS).is_taken]
    assert sorted(taken) == sorted(sent)
    assert watermark.newest_ns == NOW + max(ms for _, ms in sent) * MS
    assert watermark.counters.duplicates == len(arriving) - len(sent)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=40))
def test_how_late_the_latest_was_is_exact(times):
    watermark = stream(delay_ms=100)
    newest, most = 0, 0
    for n, ms in enumerate(times):
        at(watermark, n, ms, recv_ms=5000)
        most = max(most, newest - 100 - ms)
        newest = max(newest, ms)
    assert watermark.late_ns_most == max(0, most) * MS


def test_streams_have_watermarks_of_their_own_and_a_venue_is_as_far_as_its_slowest():
    watermarks = Watermarks()
    slow, other = KEY._replace(symbol="ETHUSDT"), KEY._replace(venue="okx")
    assert watermarks.watermark_ns() == 0
    for key, ms in ((KEY, 9000), (slow, 4000), (other, 2000)):
        assert watermarks.on_message(key, 1, NOW + ms * MS, NOW + 9000 * MS) is Lateness.ON_TIME
    assert watermarks.watermark_ns("binance") == NOW + 3000 * MS
    assert watermarks.watermark_ns() == NOW + 1000 * MS
    times = {entry.key: entry for entry in watermarks.times(NOW + 10_000 * MS)}
    assert times[slow].lag_ms == 6000
    assert times[slow].idle_ms == 1000
    assert times[slow].counters.on_time == 1


def test_streams_are_bounded_and_the_rest_is_counted():
    watermarks = Watermarks(WatermarkLimits(streams_max=2))
    for n in range(5):
        judged = watermarks.on_message(KEY._replace(symbol=str(n)), 1, NOW, NOW)
        assert judged is Lateness.ON_TIME
    assert watermarks.refused == 3
    assert len(list(watermarks.times(NOW))) == 2
