"""How good a market is: opportunities, spread, depth, toxicity, and the word when there is nothing to trade on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.market.events import Aggressor, BookState, BookTop, Trade
from trading.market.opportunity import Opportunity, OpportunityCode, OpportunityLimits, Vpin

S = 1_000_000_000
NOW = 1_700_000_000 * S
ID = "BINANCE:SPOT:BTC-USDT"


def top(bid=10_000, ask=10_001, lots=5, state=BookState.SYNCED):
    return BookTop(
        instrument_id=ID,
        state=state,
        update_id=1,
        bids=((bid, lots),) if bid else (),
        asks=((ask, lots + 2),) if ask else (),
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )


def trade(lots, buy=True):
    return Trade(
        instrument_id=ID,
        trade_id=1,
        price_ticks=100,
        qty_lots=lots,
        aggressor=Aggressor.BUY if buy else Aggressor.SELL,
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )


def test_an_opportunity_begins_when_the_touch_moves_and_rests_while_it_does_not():
    seen = Opportunity(ID)
    for n in range(10):
        seen.on_top(top(10_000 + n // 2, 10_001 + n // 2), NOW + n * S)
    assert seen.opportunities == 5
    quality = seen.quality(NOW + 10 * S)
    assert quality.opps_per_sec == pytest.approx(0.5)
    assert quality.spread_bps == pytest.approx(1.0, abs=0.01)
    assert quality.depth_lots == 5
    assert quality.vpin is None


@pytest.mark.parametrize(
    ("given_top", "counts"),
    [
        (top(10_000, 10_010), 1),  # 9.995 bps
        (top(10_000, 10_011), 0),
        (top(lots=0), 0),
        (top(state=BookState.SUSPECT), 0),
        (top(10_001, 10_001), 0),
        (top(0), 0),
        (top(ask=0), 0),
    ],
)
def test_only_a_proved_narrow_book_with_depth_is_one(given_top, counts):
    seen = Opportunity(ID)
    seen.on_top(given_top, NOW)
    assert seen.opportunities == counts


def test_a_book_that_was_lost_and_is_proved_again_is_a_new_one():
    seen = Opportunity(ID)
    for state in (BookState.SYNCED, BookState.SUSPECT, BookState.SYNCED):
        seen.on_top(top(state=state), NOW)
    assert seen.opportunities == 2


@pytest.mark.req("P-MD-16")
def test_after_a_minute_without_one_the_market_is_dry_until_the_next():
    seen = Opportunity(ID)
    seen.on_top(top(), NOW)
    assert seen.on_time(NOW + 60 * S - 1) == []
    (begun,) = seen.on_time(NOW + 60 * S)
    assert (begun.code, begun.begins, begun.instrument_id) == (OpportunityCode.DRY, True, ID)
    assert "60 s" in begun.cause
    assert seen.quality(NOW + 61 * S).opps_per_sec == 0.0
    assert seen.quality(NOW + 61 * S).is_dry
    assert seen.on_top(top(10_000, 10_200), NOW + 90 * S) == []
    (ended,) = seen.on_top(top(10_001, 10_002), NOW + 100 * S)
    assert (ended.code, ended.begins) == (OpportunityCode.DRY, False)


def test_a_market_that_never_had_a_book_is_dry_too():
    seen = Opportunity(ID)
    assert seen.on_time(NOW) == []
    assert [event.begins for event in seen.on_time(NOW + 60 * S)] == [True]
    assert seen.quality(NOW + 60 * S).spread_bps is None


def test_what_is_older_than_the_window_does_not_count():
    seen = Opportunity(ID, OpportunityLimits(window_s=60, drought_s=1000))
    for n in range(30):
        seen.on_top(top(10_000 + n, 10_001 + n), NOW + n * S)
    assert seen.quality(NOW + 59 * S).opps_per_sec == pytest.approx(30 / 59)
    assert seen.quality(NOW + 120 * S).opps_per_sec == 0.0


@pytest.mark.req("P-MD-16")
def test_one_sided_flow_is_toxic_and_two_sided_flow_is_not():
    seen = Opportunity(ID, OpportunityLimits(bucket_lots=10, buckets=5))
    for _ in range(4):
        assert seen.on_trade(trade(10), NOW) == []
    (begun,) = seen.on_trade(trade(10), NOW)
    assert (begun.code, begun.begins) == (OpportunityCode.TOXIC, True)
    assert seen.quality(NOW).vpin == 1.0
    later = NOW + 60 * S
    changes = [event for _ in range(10) for buy in (True, False) for event in seen.on_trade(trade(5, buy), later)]
    assert [event.begins for event in changes] == [False]
    assert seen.quality(later).vpin == 0.0


@pytest.mark.parametrize(("bought", "toxic"), [(95, True), (94, False)])
def test_flow_is_toxic_from_a_vpin_of_ninety_per_cent(bought, toxic):
    seen = Opportunity(ID, OpportunityLimits(bucket_lots=100, buckets=1))
    seen.on_trade(trade(bought), NOW)
    seen.on_trade(trade(100 - bought, buy=False), NOW)
    assert seen.quality(NOW).is_toxic is toxic


@pytest.mark.req("P-MD-16")
def test_flow_at_the_edge_of_toxic_is_told_at_most_twice_a_minute():
    seen = Opportunity(ID, OpportunityLimits(bucket_lots=10, buckets=1, toxic_s=60))
    told = []
    for second in range(600):
        told += seen.on_trade(trade(10), NOW + second * S)
        told += seen.on_trade(trade(5, buy=second % 2 == 0), NOW + second * S)
        told += seen.on_trade(trade(5, buy=second % 2 == 1), NOW + second * S)
    begun = [event.ts_ns for event in told if event.begins]
    assert 9 <= len(begun) <= 10
    assert [event.begins for event in told] == [n % 2 == 0 for n in range(len(told))]
    assert all(b - a >= 60 * S for a, b in pairwise(begun))


def test_toxic_flow_is_calm_again_only_well_below_what_made_it_toxic():
    seen = Opportunity(ID, OpportunityLimits(bucket_lots=100, buckets=1, toxic_s=0))

    def bucket(bought):
        return [*seen.on_trade(trade(bought), NOW), *seen.on_trade(trade(100 - bought, buy=False), NOW)]

    assert [event.begins for event in bucket(95)] == [True]
    assert bucket(92) == bucket(90) == []
    assert [event.begins for event in bucket(89)] == [False]
    assert bucket(92) == []


def test_a_bucket_holds_a_hundred_prints_of_the_size_of_the_first_and_those_count():
    seen = Opportunity(ID, OpportunityLimits(buckets=3))
    for _ in range(299):
        seen.on_trade(trade(7), NOW)
        assert seen.quality(NOW).vpin is None
    seen.on_trade(trade(7), NOW)
    assert seen.quality(NOW).vpin == 1.0


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_a_vpin_without_room_is_refused(shape):
    with pytest.raises(ValueError, match="buckets"):
        Vpin(*shape)


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40), st.integers(1, 9), st.integers(1, 4))
def test_vpin_is_that_of_the_volume_cut_into_equal_parts(trades, size, count):
    vpin = Vpin(size, count)
    signs = []
    for lots, buy in trades:
        vpin.update(trade(lots, buy))
        signs += [1 if buy else -1] * lots
    parts = [signs[i : i + size] for i in range(0, len(signs) - size + 1, size)][-count:]
    if len(parts) < count:
        assert vpin.value is None
    else:
        assert vpin.value == pytest.approx(sum(abs(sum(part)) for part in parts) / (size * count))


def test_an_order_larger_than_all_buckets_costs_no_more_than_filling_them():
    vpin = Vpin(10, 3)
    vpin.update(trade(4, buy=False))
    vpin.update(trade(10**15 + 6))
    assert vpin.value == 1.0
    vpin.update(trade(10, buy=False))
    assert vpin._filled == (10**15 + 6 + 4 + 10) % 10
