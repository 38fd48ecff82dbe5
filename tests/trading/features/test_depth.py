"""Features of books against the plain computation over the states that were seen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.features.depth import DepthBand, LiquidityMap, Microprice, OrderFlowImbalance, QueueImbalance
from trading.market.events import BookState, BookTop

START = 1_700_000_000_000_000_000
BUCKET = 10
LOTS = st.integers(1, 9)


def top(bids, asks, ns=0, state=BookState.SYNCED):
    return BookTop(
        instrument_id="BINANCE:SPOT:BTC-USDT",
        state=state,
        update_id=1,
        bids=tuple(bids),
        asks=tuple(asks),
        ts_event_ns=START + ns,
        ts_recv_ns=START + ns,
    )


@st.composite
def sides(draw):
    bid = draw(st.integers(995, 1005))
    ask = bid + draw(st.integers(1, 3))
    bids = sorted(draw(st.dictionaries(st.integers(bid - 4, bid), LOTS, min_size=1)).items(), reverse=True)
    return bids, sorted(draw(st.dictionaries(st.integers(ask, ask + 4), LOTS, min_size=1)).items())


def queue_changes(before, after, level):
    """The flow of one level by cases: a queue moved, was renewed at a better price, or left for a worse one."""

    def gained(side, sign):
        old = dict(enumerate(before[side])).get(level)
        new = dict(enumerate(after[side])).get(level)
        if old is None or new is None:
            return (new[1] if new else 0) - (old[1] if old else 0)
        better = sign * (new[0] - old[0])
        return new[1] if better > 0 else -old[1] if better < 0 else new[1] - old[1]

    return gained(0, 1) - gained(1, -1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), sides()), min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 4))
def test_order_flow_imbalance_is_the_sum_of_the_changes_inside(steps, buckets, levels):
    feature = OrderFlowImbalance(buckets * BUCKET, levels, buckets)
    now, flows, before = 0, [], None
    for wait, book in steps:
        now += wait
        feature.update(top(*book, now))
        if before is not None:
            flows.append(((START + now) // BUCKET, [queue_changes(before, book, level) for level in range(levels)]))
        before = book
    newest, first = (START + now) // BUCKET, (START + steps[0][0]) // BUCKET
    inside = [flow for bucket, flow in flows if bucket > newest - buckets]
    expected = tuple(sum(flow[level] for flow in inside) for level in range(levels))
    assert feature.value == (expected if newest - first >= buckets else None)


def test_an_unproved_book_starts_order_flow_anew():
    feature = OrderFlowImbalance(BUCKET, buckets=1)
    feature.update(top([(100, 5)], [(101, 5)]))
    feature.update(top([(100, 9)], [(101, 5)], BUCKET))
    assert feature.value == (4,)
    feature.update(top([(100, 9)], [(101, 5)], BUCKET, BookState.SUSPECT))
    assert feature.value is None
    feature.update(top([(200, 900)], [(201, 5)], 2 * BUCKET))
    assert feature.value is None
    feature.update(top([(200, 900)], [(201, 7)], 3 * BUCKET))
    assert feature.value == (-2,)
    feature.advance(START + 4 * BUCKET)
    assert feature.value == (0,)


@settings(deadline=None)
@given(sides(), st.integers(1, 6))
def test_queue_imbalance_and_microprice_are_their_formulas(book, levels):
    bids, asks = book
    imbalance, micro = QueueImbalance(levels), Microprice()
    imbalance.update(top(bids, asks))
    micro.update(top(bids, asks))
    bid, ask = sum(lots for _, lots in bids[:levels]), sum(lots for _, lots in asks[:levels])
    assert imbalance.value == pytest.approx(bid / (bid + ask) * 2 - 1, abs=1e-12)
    (b, bid), (a, ask) = bids[0], asks[0]
    assert micro.value == pytest.approx((b * ask + a * bid) / (bid + ask), rel=1e-12)
    assert b <= micro.value <= a


@pytest.mark.parametrize(
    "state_of_the_book",
    [
        top([(100, 1)], [(101, 1)], state=BookState.RESYNC),
        top([], [(101, 1)]),
        top([(100, 1)], []),
        top([(100, 0)], [(101, 0)]),
    ],
)
def test_without_a_proved_book_of_two_sides_there_is_no_figure(state_of_the_book):
    imbalance, micro = QueueImbalance(), Microprice()
    for feature in (imbalance, micro):
        feature.update(top([(100, 1)], [(101, 1)]))
        assert feature.value is not None
        feature.update(state_of_the_book)
        assert feature.value is None


@settings(deadline=None)
@given(sides(), st.sets(st.integers(1, 60), min_size=1, max_size=5))
def test_the_liquidity_map_is_the_depth_inside_each_band(book, bands):
    bids, asks = book
    feature = LiquidityMap(sorted(bands))
    feature.update(BookState.SYNCED, bids, asks)
    twice_mid = bids[0][0] + asks[0][0]

    def depth(levels, bps):
        # In integers: |2 price - 2 mid| * 10^4 against 2 mid * bps.
        inside = [lots for tick, lots in levels if abs(2 * tick - twice_mid) * 10_000 <= twice_mid * bps]
        return sum(inside) if len(inside) < len(levels) else None

    assert feature.value == tuple(DepthBand(bps, depth(bids, bps), depth(asks, bps)) for bps in sorted(bands))


def test_a_band_beyond_the_known_levels_is_not_guessed():
    feature = LiquidityMap([1.0, 10.0])
    feature.update(BookState.SYNCED, [(99_999, 3), (99_950, 4), (99_000, 5)], [(100_001, 2), (100_050, 6)])
    assert feature.value == (DepthBand(1.0, 3, 2), DepthBand(10.0, 7, None))
    feature.update(BookState.SUSPECT, [(99_999, 3)], [(100_001, 2)])
    assert feature.value is None


@pytest.mark.parametrize("bands", [[], [0.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
def test_bands_that_do_not_rise_are_refused(bands):
    with pytest.raises(ValueError, match="rising"):
        LiquidityMap(bands)
