"""Each gate on market data: what trips it, what it holds, what clears it."""

from __future__ import annotations

import math

import pytest

from trading.market.events import BookState, BookTop
from trading.market.gates import (
    GateCleared,
    GateCode,
    GateLevel,
    GateLimits,
    GateScope,
    GateTripped,
    SymbolGates,
    VenueGates,
    divergence_bps,
)

ID = "BINANCE:SPOT:BTC-USDT"
MS = 1_000_000
NOW = 1_700_000_000_000 * MS


def top(bid, ask):
    return BookTop(
        instrument_id=ID,
        state=BookState.SYNCED,
        update_id=1,
        bids=((bid, 1),) if bid is not None else (),
        asks=((ask, 1),) if ask is not None else (),
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )


def only(events):
    assert len(events) == 1
    return events[0]


@pytest.mark.req("P-MD-3", "P-RSK-9")
def test_a_book_older_than_300_ms_pauses_its_symbol_and_fresh_data_clears_it_at_once():
    gates = SymbolGates(ID)
    assert gates.on_age(NOW, NOW + 300 * MS) == []
    tripped = only(gates.on_age(NOW, NOW + 301 * MS))
    assert isinstance(tripped, GateTripped)
    assert (tripped.code, tripped.level, tripped.scope, tripped.target) == (
        GateCode.BOOK_STALE,
        GateLevel.PAUSE,
        GateScope.SYMBOL,
        ID,
    )
    assert "301 ms" in tripped.cause
    assert gates.on_age(NOW, NOW + 400 * MS) == []
    assert isinstance(only(gates.on_age(NOW + 400 * MS, NOW + 401 * MS)), GateCleared)


@pytest.mark.req("P-MD-3")
def test_a_stream_silent_for_1200_ms_is_held():
    gates = SymbolGates(ID)
    events = gates.on_age(NOW, NOW + 1201 * MS)
    assert {(event.code, event.level) for event in events if isinstance(event, GateTripped)} == {
        (GateCode.BOOK_STALE, GateLevel.PAUSE),
        (GateCode.STREAM_STALE, GateLevel.HOLD),
    }


@pytest.mark.req("P-MD-3")
def test_data_that_never_came_is_stale():
    gates = SymbolGates(ID)
    gates.on_age(0, NOW)
    assert GateCode.STREAM_STALE in gates.tripped


@pytest.mark.req("P-MD-8", "P-RSK-9")
@pytest.mark.parametrize(("bid", "ask", "word"), [(101, 100, "crossed"), (100, 100, "locked")])
def test_a_crossed_or_locked_book_disables_taking_until_it_is_calm(bid, ask, word):
    gates = SymbolGates(ID)
    assert gates.on_top(top(99, 100), NOW) == []
    tripped = only(gates.on_top(top(bid, ask), NOW))
    assert (tripped.code, tripped.level) == (GateCode.BOOK_CROSSED, GateLevel.SAFE)
    assert word in tripped.cause
    assert gates.on_top(top(99, 100), NOW + 499 * MS) == []
    assert isinstance(only(gates.on_top(top(99, 100), NOW + 500 * MS)), GateCleared)


def test_a_one_sided_book_is_neither_crossed_nor_zero():
    assert SymbolGates(ID).on_top(top(100, None), NOW) == []


@pytest.mark.req("P-MD-8")
def test_a_price_of_zero_or_nan_is_held():
    gates = SymbolGates(ID)
    assert only(gates.on_top(top(0, 100), NOW)).code is GateCode.ZERO_PRICE
    for price in (0.0, -1.0, math.nan, math.inf):
        fresh = SymbolGates(ID)
        tripped = only(fresh.on_anchors(100.0, price, 100.0, NOW))
        assert (tripped.code, tripped.level) == (GateCode.ZERO_PRICE, GateLevel.HOLD)
        assert "mark" in tripped.cause


@pytest.mark.req("P-MD-8", "P-RSK-9")
def test_mid_mark_and_last_more_than_10_bps_apart_are_held():
    gates = SymbolGates(ID)
    assert gates.on_anchors(100.0, 100.1, 100.05, NOW) == []
    tripped = only(gates.on_anchors(100.0, 100.11, None, NOW))
    assert (tripped.code, tripped.level) == (GateCode.ANCHOR_DIVERGENCE, GateLevel.HOLD)
    assert "mark 100.11" in tripped.cause
    assert gates.on_anchors(100.0, None, None, NOW + 999 * MS) == []
    assert isinstance(only(gates.on_anchors(100.0, 100.0, 100.0, NOW + 1000 * MS)), GateCleared)


@pytest.mark.req("P-MD-3")
def test_a_top_of_book_that_jumps_back_and_forth_is_noticed():
    gates = SymbolGates(ID)
    events = []
    for step in range(9):
        events += gates.on_top(top(99 + step % 2, 101), NOW + step * 10 * MS)
    tripped = only(events)
    assert (tripped.code, tripped.level) == (GateCode.FLIP_FLOP, GateLevel.SAFE)
    events = [e for step in range(30) for e in gates.on_top(top(200 + step, 300), NOW + (1 + step) * 1000 * MS)]
    assert isinstance(only(events), GateCleared)


def test_a_trending_or_resting_top_is_no_flip_flop():
    gates = SymbolGates(ID)
    assert [e for step in range(50) for e in gates.on_top(top(100 + step, 200 + step), NOW + step)] == []
    assert [e for _ in range(50) for e in gates.on_top(top(100, 200), NOW)] == []


@pytest.mark.req("P-RSK-9")
def test_a_funding_forecast_above_50_bps_per_8_hours_is_noticed_whatever_the_interval():
    gates = SymbolGates(ID)
    assert gates.on_funding(0.005, 8, NOW) == []
    assert only(gates.on_funding(-0.0026, 4, NOW)).code is GateCode.FUNDING_FORECAST


@pytest.mark.req("P-RSK-9")
def test_a_basis_above_100_bps_is_held():
    gates = SymbolGates(ID)
    assert gates.on_basis(101.0, 100.0, NOW) == []
    tripped = only(gates.on_basis(98.9, 100.0, NOW))
    assert (tripped.code, tripped.level) == (GateCode.BASIS, GateLevel.HOLD)


def test_divergence_from_nothing_is_infinite():
    assert divergence_bps(0.0, 5.0) == math.inf


@pytest.mark.req("P-RSK-9")
def test_gaps_between_messages_above_200_ms_at_p95_make_the_venue_safe():
    gates = VenueGates("binance")
    recv = NOW
    for _ in range(100):
        recv += 100 * MS
        gates.on_message(recv - 5 * MS, recv)
    assert gates.check(recv) == []
    for _ in range(20):
        recv += 900 * MS
        gates.on_message(recv - 5 * MS, recv)
    tripped = only(gates.check(recv))
    assert (tripped.code, tripped.level, tripped.target) == (GateCode.WS_GAP, GateLevel.SAFE, "binance")


def watch():
    return VenueGates("binance").stream


def feed(stream, offset_ms, start_s, seconds):
    for n in range(seconds * 20):
        recv = NOW + start_s * 1000 * MS + n * 50 * MS
        stream.on_message(recv - (offset_ms + n % 7) * MS, recv)
    return NOW + (start_s + seconds) * 1000 * MS


@pytest.mark.req("P-MD-7")
def test_a_clock_more_than_2_s_off_is_held_and_one_half_a_second_off_is_mentioned():
    gates = VenueGates("binance")
    now = feed(gates.stream, -600, 0, 10)
    tripped = only(gates.check(now))
    assert (tripped.code, tripped.level) == (GateCode.CLOCK_SKEW_NOTICE, GateLevel.NOTICE)
    assert "behind" in tripped.cause
    now = feed(gates.stream, 2500, 10, 20)
    assert gates.stream.skew_ms == pytest.approx(2500, abs=2)
    assert only(gates.check(now)).code is GateCode.CLOCK_SKEW


@pytest.mark.req("P-MD-7")
def test_a_stepped_clock_is_noticed_within_two_seconds_and_forgotten_when_it_stays():
    stream = watch()
    feed(stream, 5, 0, 10)
    assert not stream.is_stepped
    feed(stream, 405, 10, 2)
    assert stream.is_stepped
    gates = VenueGates("binance")
    gates.stream = stream
    assert only(gates.check(NOW + 12_000 * MS)).code is GateCode.CLOCK_STEP
    feed(stream, 405, 12, 20)
    assert not stream.is_stepped
    assert stream.skew_ms == pytest.approx(405, abs=2)


@pytest.mark.req("P-MD-7")
def test_one_garbled_venue_time_does_not_move_the_estimate():
    stream = watch()
    feed(stream, 5, 0, 5)
    stream.on_message(NOW + 900_000 * MS, NOW + 5_000 * MS)
    feed(stream, 5, 5, 5)
    assert stream.skew_ms == pytest.approx(5, abs=2)
    assert not stream.is_stepped


def test_messages_without_a_venue_time_say_nothing_of_clocks():
    stream = watch()
    stream.on_message(0, NOW)
    stream.on_message(0, NOW)
    assert stream.skew_ms is None


def test_limits_can_be_set():
    gates = SymbolGates(ID, GateLimits(book_freshness_ms=5000, stream_stale_ms=9000))
    assert gates.on_age(NOW, NOW + 4000 * MS) == []
