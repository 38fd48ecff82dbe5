"""Each gate on market data: what trips it, what it holds, what clears it."""

from __future__ import annotations

import math

import pytest

from trading.market.clock_offset import ClockVerdict
from trading.market.events import Aggressor, BookState, BookTop
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
    time_unit,
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


# --- What several prices say of each other ---------------------------------------------------------------


def calm_after(gates, code, call, at, calm_ms):
    """The gate stays closed until ``calm_ms`` after the last bad moment, and opens then."""
    assert call(at + calm_ms * MS - 1) == []
    assert code in gates.tripped
    cleared = only(call(at + calm_ms * MS))
    assert isinstance(cleared, GateCleared)
    assert cleared.code is code
    assert not gates.is_any_tripped()


@pytest.mark.req("P-MD-8", "P-RSK-9")
def test_a_mid_more_than_100_bps_from_the_index_is_held():
    gates = SymbolGates(ID)
    assert gates.on_index(100.0, 101.0, NOW) == []
    tripped = only(gates.on_index(100.0, 101.01, NOW))
    assert (tripped.code, tripped.level, tripped.scope) == (
        GateCode.INDEX_DIVERGENCE,
        GateLevel.HOLD,
        GateScope.SYMBOL,
    )
    assert "101.0 bps from index 101.01" in tripped.cause
    calm_after(gates, GateCode.INDEX_DIVERGENCE, lambda now: gates.on_index(100.0, 100.0, now), NOW, 1000)
    assert only(gates.on_index(100.0, math.nan, NOW + 9000 * MS)).code is GateCode.INDEX_DIVERGENCE


@pytest.mark.req("P-MD-8", "P-RSK-9")
def test_a_mid_more_than_10_bps_from_a_second_venues_is_held():
    gates = SymbolGates(ID)
    assert gates.on_second(100.1, 100.0, "okx", NOW) == []
    tripped = only(gates.on_second(100.11, 100.0, "okx", NOW))
    assert (tripped.code, tripped.level) == (GateCode.SECOND_SOURCE, GateLevel.HOLD)
    assert "okx" in tripped.cause
    calm_after(gates, GateCode.SECOND_SOURCE, lambda now: gates.on_second(100.0, 100.0, "okx", now), NOW, 1000)
    assert only(gates.on_second(99.8, 100.0, "okx", NOW + 5000 * MS)).code is GateCode.SECOND_SOURCE


@pytest.mark.req("P-MD-8")
def test_the_usual_distance_between_two_venues_is_allowed_for_up_to_50_bps():
    gates = SymbolGates(ID)
    now = NOW
    for _ in range(20):
        now += 1000 * MS
        gates.on_second(100.3, 100.0, "coinbase", now)  # one quotes USD, the other USDT
    assert gates.tripped == frozenset()
    assert gates.second.usual_bps == pytest.approx(30.0)
    assert gates.on_second(100.39, 100.0, "coinbase", now + 1) == []
    assert only(gates.on_second(100.41, 100.0, "coinbase", now + 2)).code is GateCode.SECOND_SOURCE
    for _ in range(600):
        now += 1000 * MS
        gates.on_second(101.0, 100.0, "coinbase", now)
    assert gates.second.usual_bps == 50.0
    assert gates.tripped == {GateCode.SECOND_SOURCE}


def test_without_a_second_source_nothing_is_held_for_it():
    gates = SymbolGates(ID)
    for other in (None, 0.0, math.nan, math.inf):
        assert gates.on_second(100.0, other, "okx", NOW) == []
    gates.on_second(105.0, 100.0, "okx", NOW)
    calm_after(gates, GateCode.SECOND_SOURCE, lambda now: gates.on_second(105.0, None, "okx", now), NOW, 1000)
    assert gates.second.apart_bps(math.nan, 100.0, NOW) == math.inf


@pytest.mark.req("P-MD-8")
@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_a_mark_or_a_trade_at_no_price_is_held(price):
    gates = SymbolGates(ID)
    assert gates.on_price("mark", 100.0, NOW) == []
    tripped = only(gates.on_price("mark", price, NOW))
    assert (tripped.code, tripped.level) == (GateCode.ZERO_PRICE, GateLevel.HOLD)
    assert "mark" in tripped.cause
    calm_after(gates, GateCode.ZERO_PRICE, lambda now: gates.on_price("mark", 100.0, now), NOW, 1000)
    gates.on_print(100.0, 1, NOW)
    assert only(gates.on_print(price, 2, NOW + 5000 * MS)).code is GateCode.ZERO_PRICE
    assert gates.prints.last_px == 100.0
    assert gates.prints.broken == 1


# --- A wick ------------------------------------------------------------------------------------------------


def prints(gates, prices, start=0, step_ms=100):
    """One print each 100 ms; the events of all."""
    return [
        event
        for n, price in enumerate(prices)
        for event in gates.on_print(price, start + n, NOW + (start + n) * step_ms * MS)
    ]


@pytest.mark.req("P-MD-8")
def test_a_lone_print_beyond_50_bps_is_not_believed_and_the_next_tame_one_dismisses_it():
    gates = SymbolGates(ID)
    assert prints(gates, [10_000.0] * 30) == []
    assert prints(gates, [10_050.0, 10_000.0], 30) == []  # 50 bps and no more
    tripped = only(prints(gates, [10_050.01], 32))
    assert (tripped.code, tripped.level) == (GateCode.OUTLIER_PRINT, GateLevel.SAFE)
    assert gates.prints.last_px == 10_000.0
    assert prints(gates, [10_000.0], 33) == []
    assert gates.prints.dismissed == 1
    at = NOW + 3200 * MS
    calm_after(gates, GateCode.OUTLIER_PRINT, lambda now: gates.on_print(10_000.0, 99, now), at, 500)


@pytest.mark.req("P-MD-8")
def test_three_further_prints_that_way_at_times_of_their_own_confirm_it():
    gates = SymbolGates(ID)
    prints(gates, [10_000.0] * 30)
    prints(gates, [9_900.0, 9_890.0, 9_880.0], 30)
    assert gates.prints.last_px == 10_000.0
    prints(gates, [9_870.0], 33)
    assert gates.prints.last_px == 9_870.0
    assert gates.prints.dismissed == 0
    assert only(gates.on_time(NOW + 4000 * MS)).code is GateCode.OUTLIER_PRINT


def test_the_fills_of_one_sweep_do_not_confirm_each_other():
    gates = SymbolGates(ID)
    prints(gates, [10_000.0] * 30)
    for n in range(10):
        gates.on_print(9_900.0 - n, 777, NOW + 3000 * MS)
    assert gates.prints.last_px == 10_000.0
    prints(gates, [10_000.0], 31)
    assert gates.prints.dismissed == 10


def test_wicks_to_both_sides_confirm_nothing():
    gates = SymbolGates(ID)
    prints(gates, [10_000.0] * 30 + [10_100.0, 9_900.0] * 10)
    assert gates.prints.last_px == 10_000.0


def test_a_market_that_always_jumps_is_judged_by_its_own_deviation():
    gates = SymbolGates(ID)
    jumps = [1000.0 * 1.004 ** (n % 2) for n in range(120)]  # 40 bps to and fro
    prints(gates, jumps)
    last = gates.prints.last_px
    assert prints(gates, [last * 1.03], 120) == []  # far above 50 bps and inside of ten deviations
    assert only(prints(gates, [last * 1.12], 121)).code is GateCode.OUTLIER_PRINT


@pytest.mark.req("P-MD-8")
def test_a_doubt_that_nothing_confirms_ends_after_five_seconds():
    gates = SymbolGates(ID)
    prints(gates, [10_000.0] * 30)
    prints(gates, [12_000.0], 30)
    assert gates.on_time(NOW + 3000 * MS + 4999 * MS) == []
    at = NOW + 3000 * MS + 4999 * MS
    assert gates.on_time(at + MS) == []  # its calm is counted from the last doubt
    assert only(gates.on_time(at + 500 * MS)).code is GateCode.OUTLIER_PRINT
    assert gates.tripped == frozenset()


# --- Funding, sides, rules ------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-8")
def test_new_risk_is_paused_from_30_s_before_to_15_s_after_a_settlement_of_funding():
    gates = SymbolGates(ID)
    settles = NOW + 60_000 * MS
    assert gates.on_funding_time(settles, NOW) == []
    assert gates.on_time(settles - 30_001 * MS) == []
    tripped = only(gates.on_time(settles - 30_000 * MS))
    assert (tripped.code, tripped.level) == (GateCode.FUNDING_ROLL, GateLevel.PAUSE)
    assert "in 30 s" in tripped.cause
    assert gates.on_funding_time(settles + 8 * 3600 * 1000 * MS, settles + MS) == []
    assert gates.on_time(settles + 15_000 * MS) == []
    assert isinstance(only(gates.on_time(settles + 15_001 * MS)), GateCleared)


@pytest.mark.req("P-MD-8")
def test_the_window_after_a_settlement_holds_though_the_venue_tells_of_the_next_one_at_once():
    gates = SymbolGates(ID)
    settles = NOW + 60_000 * MS
    gates.on_funding_time(settles, NOW)
    tripped = only(gates.on_funding_time(settles + 3600 * 1000 * MS, settles + 15_000 * MS))
    assert tripped.code is GateCode.FUNDING_ROLL
    assert "just settled" in tripped.cause
    assert gates.tripped == {GateCode.FUNDING_ROLL}


@pytest.mark.req("P-MD-8")
@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_side_that_stands_still_while_the_other_moves_200_times_is_held_until_it_moves(side):
    gates = SymbolGates(ID)
    moved = (side != "bids", side != "asks")
    for _ in range(199):
        assert gates.on_moved(*moved, NOW) == []
    tripped = only(gates.on_moved(*moved, NOW))
    assert (tripped.code, tripped.level) == (GateCode.FROZEN_SIDE, GateLevel.HOLD)
    assert tripped.cause.startswith(side)
    assert gates.on_moved(*moved, NOW) == []
    assert isinstance(only(gates.on_moved(True, True, NOW)), GateCleared)


@pytest.mark.req("P-MD-8")
@pytest.mark.parametrize(
    ("aggressor", "through", "at", "side"), [(Aggressor.BUY, 102, 101, "asks"), (Aggressor.SELL, 98, 99, "bids")]
)
def test_a_side_through_which_three_trades_went_for_a_second_is_held_until_it_moves(aggressor, through, at, side):
    gates = SymbolGates(ID)
    for n in range(5):
        assert gates.on_trade_through(aggressor, through, at, NOW + n * MS) == []  # a sweep
    assert gates.on_trade_through(aggressor, at, at, NOW + 5000 * MS) == []  # and the book is as it was
    assert gates.on_trade_through(aggressor, through, at, NOW + 999 * MS) == []
    tripped = only(gates.on_trade_through(aggressor, through, at, NOW + 1000 * MS))
    assert tripped.code is GateCode.FROZEN_SIDE
    assert f"{side} have not changed while 7 trades" in tripped.cause
    gates.on_moved(side != "bids", side != "asks", NOW + 1001 * MS)
    assert gates.tripped == {GateCode.FROZEN_SIDE}
    assert isinstance(only(gates.on_moved(side == "bids", side == "asks", NOW + 1002 * MS)), GateCleared)


def test_trades_through_a_side_count_from_its_last_move():
    gates = SymbolGates(ID)
    for at in (0, 2000):
        for n in range(2):
            assert gates.on_trade_through(Aggressor.SELL, 98, 99, NOW + (at + n * 1500) * MS) == []
        assert gates.on_moved(True, False, NOW + (at + 1600) * MS) == []


def test_trades_at_the_best_price_and_two_through_it_freeze_nothing():
    gates = SymbolGates(ID)
    for n in range(50):
        assert gates.on_trade_through(Aggressor.BUY, 101, 101, NOW + n * 100 * MS) == []
    assert gates.on_trade_through(Aggressor.BUY, 102, 101, NOW) == []
    assert gates.on_trade_through(Aggressor.BUY, 102, 101, NOW + 5000 * MS) == []
    gates.sides.clear()
    assert gates.on_trade_through(Aggressor.BUY, 102, 101, NOW + 9000 * MS) == []
    assert gates.sides.frozen() == ""


@pytest.mark.req("P-MD-8")
def test_changed_rules_hold_the_symbol_until_the_book_is_rebuilt_on_them():
    gates = SymbolGates(ID)
    assert gates.on_rules("7", "7", NOW) == []
    tripped = only(gates.on_rules("8", "7", NOW))
    assert (tripped.code, tripped.level) == (GateCode.RULES_CHANGED, GateLevel.HOLD)
    assert gates.on_rules("8", "7", NOW + 9000 * MS) == []
    assert isinstance(only(gates.on_rules("8", "8", NOW + 9001 * MS)), GateCleared)


# --- The venue's times ------------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-8")
@pytest.mark.parametrize(
    ("factor", "said"),
    [(1e-3, "1,000 times larger"), (1e-6, "1,000,000 times larger"), (1e-9, "1,000,000,000 times larger"),
     (1e3, "1,000 times smaller"), (1e6, "1,000,000 times smaller")],
)  # fmt: skip
def test_three_times_in_a_wrong_unit_within_ten_seconds_hold_the_venue(factor, said):
    gates = VenueGates("binance")
    for n in range(2):
        recv = NOW + n * 5000 * MS
        assert gates.on_event_time("trade", round(recv * factor), recv) == []
    tripped = only(gates.on_event_time("trade", round((NOW + 10_000 * MS) * factor), NOW + 10_000 * MS))
    assert (tripped.code, tripped.level, tripped.scope) == (GateCode.TIME_UNIT, GateLevel.HOLD, GateScope.VENUE)
    assert said in tripped.cause
    at = NOW + 10_000 * MS
    assert gates.on_event_time("trade", at, at) == []
    assert gates.check(at + 9_999 * MS) == []
    assert isinstance(only(gates.check(at + 10_000 * MS)), GateCleared)


def test_a_third_wrong_unit_after_ten_seconds_or_a_clock_that_is_off_by_hours_is_no_wrong_unit():
    gates = VenueGates("binance")
    for at in (0, 5000, 10_001):
        assert gates.on_event_time("trade", (NOW + at * MS) // 1000, NOW + at * MS) == []
    gates = VenueGates("binance")
    for _ in range(10):
        assert gates.on_event_time("trade", NOW - 30 * 3_600_000 * MS, NOW) == []
        assert gates.on_event_time("trade", 0, NOW) == []
        assert gates.on_event_time("trade", NOW - 1800_000 * MS, NOW) == []
    assert time_unit(NOW - 30 * 3_600_000 * MS, NOW) is None


def said(skew_ms, at, stepped=False):
    return ClockVerdict(skew_ms=skew_ms, error_ms=1.0, drift_ppm=None, is_stepped=stepped, samples=3, ts_ns=at)


@pytest.mark.req("P-MD-7")
@pytest.mark.parametrize("sign", [1, -1])
def test_what_the_venue_answered_counts_for_a_minute_in_the_place_of_its_stream(sign):
    gates = VenueGates("binance")
    now = feed(gates.stream, 0, 0, 10)
    gates.on_clock(said(sign * 2000.0, now))
    assert [event.code for event in gates.check(now)] == [GateCode.CLOCK_SKEW_NOTICE]
    gates.on_clock(said(sign * 2000.1, now))
    assert [event.code for event in gates.check(now)] == [GateCode.CLOCK_SKEW]
    assert gates.check(now + 60_000 * MS) == []
    codes = {event.code for event in gates.check(now + 61_000 * MS) if isinstance(event, GateCleared)}
    assert codes == {GateCode.CLOCK_SKEW, GateCode.CLOCK_SKEW_NOTICE}


@pytest.mark.req("P-MD-7")
def test_a_step_that_the_answers_show_holds_the_venue_until_it_is_over():
    gates = VenueGates("binance")
    gates.on_clock(said(0.0, NOW, stepped=True))
    tripped = only(gates.check(NOW))
    assert (tripped.code, tripped.level) == (GateCode.CLOCK_STEP, GateLevel.HOLD)
    gates.on_clock(said(0.0, NOW + MS))
    assert isinstance(only(gates.check(NOW + MS)), GateCleared)
