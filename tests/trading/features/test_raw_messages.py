"""Book and flow features against a recomputation from the venue's raw messages, which shares no code with the desk.

The desk's way: codec, proved book, one event at a time. The other way: `json`, a dict of prices, numpy over all of it.
"""

from __future__ import annotations

import json
import lzma
from bisect import bisect_left, insort
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import USDM, instruments_of
from trading.features.depth import LiquidityMap, Microprice, OrderFlowImbalance, QueueImbalance
from trading.features.flow import KyleLambda, VolumeDelta, VolumeProfile, Vwap
from trading.market.events import BookState, DepthSnapshot, DepthUpdate, Trade
from trading.market.stitch import BookSync, SequenceRule

RECORDING = (
    Path(__file__).resolve().parents[3]
    / ".."
    / "shared/data/binance/l2_raw/2024-08-08"
    / "usdm_btcusdt_20240808.dat.xz"
)
BTC = instruments_of(USDM)[0]
TICK, LOT = 0.1, 0.001
LINES = 45_000
LEVELS = 5
SECOND = 10**9
WINDOW_NS, BUCKETS = 10 * SECOND, 10

pytestmark = [
    pytest.mark.req("P-POL-6"),
    pytest.mark.recording,
    pytest.mark.skipif(not RECORDING.is_file(), reason=f"no recording at {RECORDING}"),
]


def lines():
    with lzma.open(RECORDING, "rb") as file:
        for line in islice(file, LINES):
            stamp, _, payload = line.partition(b" ")
            yield int(stamp), payload.strip()


def units(text, step):
    return round(float(text) / step)


class RawSide(dict):
    """Quantity by price; the prices also in their order, for looking all of them through at each diff takes seconds."""

    def __init__(self):
        self.prices = []

    def put(self, price, qty):
        if self.pop(price, 0):
            del self.prices[bisect_left(self.prices, price)]
        if qty:
            self[price] = qty
            insort(self.prices, price)


class RawBook:
    """Snapshot and diffs by the venue's own description, in a dict a side."""

    def __init__(self):
        self.bids, self.asks, self.last = RawSide(), RawSide(), None

    def take(self, message):
        if "lastUpdateId" in message:
            self.last = message["lastUpdateId"]
            sides = (self.bids, message["bids"]), (self.asks, message["asks"])
        else:
            if self.last is None or message["u"] < self.last:
                return False
            sides = (self.bids, message["b"]), (self.asks, message["a"])
        for side, changes in sides:
            for price, qty in changes:
                side.put(units(price, TICK), units(qty, LOT))
        return "lastUpdateId" not in message

    def best(self, count):
        bids, asks = self.bids.prices[: -count - 1 : -1], self.asks.prices[:count]
        return [(price, self.bids[price]) for price in bids], [(price, self.asks[price]) for price in asks]


@pytest.fixture(scope="module")
def raw():
    """(event time in ns, best levels) after each diff, the trades, and some whole books."""
    book, tops, trades, wholes = RawBook(), [], [], {}
    for _, payload in lines():
        message = json.loads(payload)
        message = message.get("data", message)
        if message.get("e") == "trade":
            if message["X"] == "MARKET":
                sign = -1 if message["m"] else 1
                lots, ticks = units(message["q"], LOT), units(message["p"], TICK)
                trades.append((message["T"] * 10**6, ticks, sign * lots))
        elif ("lastUpdateId" in message or message.get("e") == "depthUpdate") and book.take(message):
            tops.append((message["T"] * 10**6, message["u"], *book.best(LEVELS)))
            if len(tops) % 500 == 0:
                wholes[message["u"]] = book.best(100_000)
    return tops, np.array(trades), wholes


@pytest.fixture(scope="module")
def ours():
    """The same through codec and proved book: (update, book) after each diff, and the trades."""
    codec, sync = BinanceCodec(USDM, [BTC]), BookSync(BTC.instrument_id, SequenceRule.FUTURES)
    tops, trades, wholes = [], [], {}
    for stamp, payload in lines():
        match codec.decode_recorded(payload, BTC.symbol, stamp):
            case DepthSnapshot() as snapshot:
                sync.on_snapshot(snapshot)
            case DepthUpdate() as update:
                sync.on_update(update)
                if sync.book.state is BookState.SYNCED and sync.book.update_id == update.final_update_id:
                    tops.append(sync.book.to_top(LEVELS))
                    if len(tops) % 500 == 0:
                        wholes[update.final_update_id] = sync.book.top(100_000)
            case Trade() as trade:
                trades.append(trade)
    return tops, trades, wholes


def buckets_of(times, ns=SECOND):
    """The second that each event counts in: late ones where the newest before them did."""
    return np.maximum.accumulate(np.asarray(times) // ns)


def windowed(buckets, figures):
    """Sum over the last BUCKETS seconds as each event sees it."""
    sums = np.concatenate([[0], np.cumsum(figures)])
    begin = np.searchsorted(buckets, buckets - BUCKETS, side="right")
    return sums[np.arange(1, len(buckets) + 1)] - sums[begin]


def test_tops_are_those_of_the_raw_messages(raw, ours):
    raw_tops, tops = raw[0], ours[0]
    assert len(tops) > 2_000
    by_id = {u: (bids, asks) for _, u, bids, asks in raw_tops}
    for top in tops:
        assert (list(top.bids), list(top.asks)) == by_id[top.update_id]


def test_imbalance_microprice_and_order_flow_equal_the_formulas_over_all_raw_tops(raw, ours):
    first = ours[0][0].update_id
    kept = [row for row in raw[0] if row[1] >= first]
    assert len(kept) == len(ours[0])
    bids, asks = np.array([row[2] for row in kept]), np.array([row[3] for row in kept])
    queue1, queue5, micro = QueueImbalance(1), QueueImbalance(LEVELS), Microprice()
    flow = OrderFlowImbalance(WINDOW_NS, LEVELS, BUCKETS)
    seen = []
    for top in ours[0]:
        for feature in (queue1, queue5, micro, flow):
            feature.update(top)
        seen.append((queue1.value, queue5.value, micro.value, flow.value))
    (bp, bq), (ap, aq) = (bids[:, 0, 0], bids[:, 0, 1]), (asks[:, 0, 0], asks[:, 0, 1])
    np.testing.assert_allclose([s[0] for s in seen], (bq - aq) / (bq + aq), rtol=1e-14)
    deep = bids[:, :, 1].sum(axis=1), asks[:, :, 1].sum(axis=1)
    np.testing.assert_allclose([s[1] for s in seen], (deep[0] - deep[1]) / (deep[0] + deep[1]), rtol=1e-14)
    np.testing.assert_allclose([s[2] for s in seen], (bp * aq + ap * bq) / (bq + aq), rtol=1e-14)
    buckets = buckets_of([row[0] for row in kept])
    warm = buckets - buckets[0] >= BUCKETS
    assert warm.sum() > 1_000
    for level in range(LEVELS):
        (bp, bq), (ap, aq) = bids[:, level].T, asks[:, level].T
        came = np.where(bp[1:] >= bp[:-1], bq[1:], 0) - np.where(bp[1:] <= bp[:-1], bq[:-1], 0)
        left = np.where(ap[1:] <= ap[:-1], aq[1:], 0) - np.where(ap[1:] >= ap[:-1], aq[:-1], 0)
        expected = windowed(buckets, np.concatenate([[0], came - left]))
        found = np.array([0 if s[3] is None else s[3][level] for s in seen])
        assert np.array_equal(found[warm], expected[warm])
    assert [s[3] is not None for s in seen] == warm.tolist()


def test_depth_by_distance_equals_the_sums_over_raw_levels(raw, ours):
    raw_wholes, wholes = raw[2], ours[2]
    feature, compared = LiquidityMap((1.0, 2.0, 5.0)), 0
    for update_id, (bids, asks) in wholes.items():
        if update_id not in raw_wholes:
            continue
        feature.update(BookState.SYNCED, bids, asks)
        b, a = (np.array(side) for side in raw_wholes[update_id])
        mid = (b[0, 0] + a[0, 0]) / 2
        for band in feature.value:
            reach = mid * band.bps / 1e4
            assert band.bid_lots == b[mid - b[:, 0] <= reach, 1].sum()
            assert band.ask_lots == a[a[:, 0] - mid <= reach, 1].sum()
            compared += 1
    assert compared >= 6


def test_volume_delta_and_vwap_equal_sums_over_raw_trades(raw, ours):
    times, ticks, signed = raw[1].T
    trades = ours[1]
    assert len(trades) == len(times) > 1_000
    delta, vwap, seen = VolumeDelta(WINDOW_NS, BUCKETS), Vwap(WINDOW_NS, BUCKETS), []
    for trade in trades:
        delta.update(trade)
        vwap.update(trade.price_ticks, trade.qty_lots, trade.ts_event_ns)
        seen.append((delta.cumulative, delta.value, vwap.value))
    assert [s[0] for s in seen] == np.cumsum(signed).tolist()
    buckets = buckets_of(times)
    warm = buckets - buckets[0] >= BUCKETS
    assert warm.sum() > 500
    assert [s[1] for s in seen if s[1] is not None] == windowed(buckets, signed)[warm].tolist()
    lots = np.abs(signed)
    expected = windowed(buckets, ticks * lots) / windowed(buckets, lots)
    found = np.array([s[2] for s in seen], dtype=float)
    assert np.array_equal(~np.isnan(found), warm)
    np.testing.assert_allclose(found[warm], expected[warm], rtol=1e-13)


def test_kyles_lambda_equals_numpys_least_squares_over_raw_trades(raw, ours):
    times, ticks, signed = raw[1].T
    feature, interval_ns, window = KyleLambda(SECOND // 4, 60), SECOND // 4, 60
    for trade in ours[1]:
        feature.update(trade)
    intervals = buckets_of(times, interval_ns)
    flows, closes = defaultdict(int), {}
    for interval, tick, lots in zip(intervals, ticks, signed, strict=True):
        flows[interval] += lots
        closes[interval] = tick
    closed = sorted(closes)[:-1]  # the last interval is still open
    x = np.array([flows[n] for n in closed[1:]])[-window:]
    y = np.diff([closes[n] for n in closed])[-window:]
    assert len(x) == window
    slope, _ = np.linalg.lstsq(np.column_stack([x, np.ones(window)]), y, rcond=None)[0]
    assert feature.value == pytest.approx(slope, rel=1e-9)


def test_the_volume_profile_equals_a_histogram_of_raw_trades(raw, ours):
    times, ticks, signed = raw[1].T
    feature = VolumeProfile(WINDOW_NS, 50, BUCKETS)
    for trade in ours[1]:
        feature.update(trade)
    buckets = buckets_of(times)
    held = buckets > buckets[-1] - BUCKETS
    volume = np.bincount(ticks[held] // 50, weights=np.abs(signed[held])).astype(int)
    found = feature.value
    assert found.total_lots == volume.sum()
    assert volume[found.point_of_control // 50] == volume.max()
    inside = volume[found.area_low // 50 : found.area_high // 50 + 1].sum()
    assert inside == found.area_lots >= 0.7 * volume.sum()
    # One bin less at either end is too little, unless the area is the point of control alone.
    ends = [volume[found.area_low // 50], volume[found.area_high // 50]]
    assert found.area_low == found.area_high or inside - max(ends) < 0.7 * volume.sum()
