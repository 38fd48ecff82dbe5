"""Every feature over a recorded market, one event at a time, against one pass over the same events in a list."""

import csv
import lzma
from itertools import islice, pairwise
from math import log, sqrt
from pathlib import Path
from statistics import fmean, linear_regression, pstdev

import pytest

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import VENUES, instruments_of
from adapters.wirelog import open_session
from trading.features.carry import FundingBasis
from trading.features.depth import LiquidityMap, Microprice, OrderFlowImbalance, QueueImbalance
from trading.features.flow import KyleLambda, VolumeDelta, VolumeProfile, Vwap
from trading.features.indicators import Atr, Bollinger, Ema, Macd, Rsi, ZScore
from trading.features.returns import RealisedMoments, RollingMoments
from trading.market.events import (
    Aggressor,
    BookState,
    BookTicker,
    BookTop,
    DepthSnapshot,
    DepthUpdate,
    MarkPrice,
    Trade,
)
from trading.market.stitch import BookSync, SequenceRule

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance"
SECOND = 1_000_000_000
BUCKETS = 10
WINDOW_NS = 10 * SECOND
USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}"),
]


@pytest.fixture(scope="module")
def events():
    codecs = {venue: BinanceCodec(venue, instruments_of(venue)) for venue in VENUES}
    found = []
    for line in islice(open_session(DATA / "l2_raw" / "2023-04-05_funding"), 40_000):
        event = codecs[line.venue].decode_recorded(line.payload, line.symbol, line.ts_recv_ns)
        if event is not None and getattr(event, "instrument_id", "") == USDM:
            found.append(event)
    return found


def top_of(t):
    return BookTop(
        instrument_id=t.instrument_id,
        state=BookState.SYNCED,
        update_id=t.update_id,
        bids=((t.bid_ticks, t.bid_lots),),
        asks=((t.ask_ticks, t.ask_lots),),
        ts_event_ns=t.ts_event_ns,
        ts_recv_ns=t.ts_recv_ns,
    )


def inside(events, ns=SECOND):
    """The events of the window that ends with the newest; late ones count where the newest before them did."""
    newest, placed = 0, []
    for event in events:
        newest = max(newest, event.ts_event_ns // ns)
        placed.append((newest, event))
    return [event for bucket, event in placed if bucket > newest - BUCKETS]


def signed(trade):
    return trade.qty_lots if trade.aggressor is Aggressor.BUY else -trade.qty_lots


def test_trades_equal_the_batch(events):
    trades = [e for e in events if isinstance(e, Trade)]
    assert len(trades) > 1_000
    delta, vwap = VolumeDelta(WINDOW_NS, BUCKETS), Vwap(WINDOW_NS, BUCKETS)
    profile, kyle = VolumeProfile(WINDOW_NS, 10, BUCKETS), KyleLambda(SECOND // 10, 50)
    compared = 0
    for n, trade in enumerate(trades, 1):
        delta.update(trade)
        vwap.update(trade.price_ticks, trade.qty_lots, trade.ts_event_ns)
        profile.update(trade)
        kyle.update(trade)
        if n % 250 or delta.value is None:
            continue
        compared += 1
        held = inside(trades[:n])
        lots = sum(t.qty_lots for t in held)
        assert delta.value == sum(map(signed, held))
        assert vwap.value == pytest.approx(sum(t.price_ticks * t.qty_lots for t in held) / lots, rel=1e-13)
        assert profile.value.total_lots == lots
        assert 0.7 * lots <= profile.value.area_lots <= lots
        bins = {}
        for t in held:
            bins[t.price_ticks // 10 * 10] = bins.get(t.price_ticks // 10 * 10, 0) + t.qty_lots
        assert bins[profile.value.point_of_control] == max(bins.values())
    assert compared > 3
    intervals, newest = {}, 0
    for t in trades:
        newest = max(newest, t.ts_event_ns // (SECOND // 10))
        intervals.setdefault(newest, []).append(t)
    groups = list(intervals.values())[:-1]
    flows = [sum(map(signed, group)) for group in groups][-50:]
    moves = [b[-1].price_ticks - a[-1].price_ticks for a, b in pairwise(groups)][-50:]
    assert kyle.value == pytest.approx(linear_regression(flows, moves).slope, rel=1e-9)


def test_best_prices_equal_the_batch(events):
    tops = [top_of(e) for e in events if isinstance(e, BookTicker)]
    assert len(tops) > 5_000
    flow, queue, micro = OrderFlowImbalance(WINDOW_NS, 1, BUCKETS), QueueImbalance(), Microprice()
    realised, moments, score = RealisedMoments(500), RollingMoments(500), ZScore(500)
    compared = 0
    for n, top in enumerate(tops, 1):
        flow.update(top)
        queue.update(top)
        micro.update(top)
        (bid, bid_lots), (ask, ask_lots) = top.bids[0], top.asks[0]
        mid = (bid + ask) / 2
        for feature in (realised, moments, score):
            feature.update(mid)
        assert queue.value == (bid_lots - ask_lots) / (bid_lots + ask_lots)
        assert micro.value == pytest.approx((bid * ask_lots + ask * bid_lots) / (bid_lots + ask_lots), rel=1e-14)
        if n % 1000 or n < 2000:
            continue
        compared += 1
        mids = [(t.bids[0][0] + t.asks[0][0]) / 2 for t in tops[n - 501 : n]]
        returns = [log(b / a) for a, b in pairwise(mids)]
        assert realised.value == pytest.approx(sqrt(sum(r * r for r in returns)), rel=1e-12)
        held = mids[1:]
        assert moments.value[:2] == pytest.approx((fmean(held), pstdev(held)), rel=1e-10)
        assert score.value == pytest.approx((mid - fmean(held)) / pstdev(held), rel=1e-9, abs=1e-9)
        if flow.value is not None:
            assert flow.value == (batch_flow(tops[:n]),)
    assert compared > 3
    assert flow.value == (batch_flow(tops),)


def batch_flow(tops):
    flows = {}
    for before, after in pairwise(tops):
        (b0, qb0), (a0, qa0) = before.bids[0], before.asks[0]
        (b1, qb1), (a1, qa1) = after.bids[0], after.asks[0]
        flows[id(after)] = qb1 * (b1 >= b0) - qb0 * (b1 <= b0) - qa1 * (a1 <= a0) + qa0 * (a1 >= a0)
    return sum(flows.get(id(top), 0) for top in inside(tops))


def test_a_proved_book_gives_the_depth_that_its_levels_add_up_to(events):
    sync = BookSync(USDM, SequenceRule.FUTURES)
    feature, compared = LiquidityMap((1.0, 5.0)), 0
    for n, event in enumerate(events):
        if isinstance(event, DepthSnapshot):
            sync.on_snapshot(event)
        elif isinstance(event, DepthUpdate):
            sync.on_update(event)
        if n % 2000 or sync.book.state is not BookState.SYNCED:
            continue
        compared += 1
        bids, asks = sync.book.top(5000)
        feature.update(sync.book.state, bids, asks)
        mid = (bids[0][0] + asks[0][0]) / 2
        for band in feature.value:
            assert band.bid_lots == sum(lots for tick, lots in bids if mid - tick <= mid * band.bps / 1e4)
            assert band.ask_lots == sum(lots for tick, lots in asks if tick - mid <= mid * band.bps / 1e4)
    assert compared > 3


def test_the_settlement_inside_the_recording_moves_the_next_one_by_eight_hours(events):
    feature, marks, left = FundingBasis(), [e for e in events if isinstance(e, MarkPrice)], []
    for event in marks:
        feature.update(event)
        left.append(feature.to_funding_s(event.ts_event_ns))
        basis = (event.mark_price - event.index_price) / event.index_price
        assert feature.value == pytest.approx(float(basis), abs=1e-12)
        assert feature.funding_a_year == pytest.approx(float(event.funding_rate) * 1095, rel=1e-12)
    known = [seconds for seconds in left if seconds is not None]
    jumps = [(a, b) for a, b in pairwise(known) if b > a]
    assert len(marks) > 50
    # For a second after the settlement the venue still names the one that has passed: that is no time to come.
    assert 1 <= left.count(None) <= 2
    assert len(jumps) == 1
    assert jumps[0] == pytest.approx((0, 8 * 3600), abs=3)


@pytest.mark.req("C-AI-1")
def test_indicators_of_recorded_minutes_equal_the_batch():
    with lzma.open(DATA / "ohlcv" / "usdm_BTCUSDT_1m_2025-05_2025-06.csv.xz", "rt") as file:
        rows = list(islice(csv.DictReader(file), 1500))
    keys = {key.lower(): key for key in rows[0]}
    bars = [tuple(float(row[keys[key]]) for key in ("high", "low", "close")) for row in rows]
    closes = [close for _, _, close in bars]
    ema, rsi, macd, atr, bands = Ema(50), Rsi(14), Macd(), Atr(14), Bollinger()
    for high, low, close in bars:
        for feature in (ema, rsi, macd, bands):
            feature.update(close)
        atr.update(high, low, close)
    moves = [b - a for a, b in pairwise(closes)]
    ranges = [bars[0][0] - bars[0][1]]
    ranges += [max(h - lo, abs(h - c), abs(lo - c)) for (_, _, c), (h, lo, _) in pairwise(bars)]
    gain, loss = (wilder([max(sign * m, 0.0) for m in moves], 14) for sign in (1, -1))
    fast, slow = averages(closes, 12), averages(closes, 26)
    lines = [f - s for f, s in zip(fast[-len(slow) :], slow, strict=True)]
    signal = averages(lines, 9)[-1]
    assert ema.value == pytest.approx(averages(closes, 50)[-1], rel=1e-12)
    assert rsi.value == pytest.approx(100 - 100 / (1 + gain / loss), rel=1e-9)
    assert atr.value == pytest.approx(wilder(ranges, 14), rel=1e-12)
    assert macd.value == pytest.approx((lines[-1], signal, lines[-1] - signal), rel=1e-8, abs=1e-8)
    mean, sigma = fmean(closes[-20:]), pstdev(closes[-20:])
    assert bands.value[:3] == pytest.approx((mean - 2 * sigma, mean, mean + 2 * sigma), rel=1e-12)


def averages(samples, period):
    found = [fmean(samples[:period])]
    for x in samples[period:]:
        found.append((2 * x + (period - 1) * found[-1]) / (period + 1))
    return found


def wilder(samples, period):
    found = fmean(samples[:period])
    for x in samples[period:]:
        found = ((period - 1) * found + x) / period
    return found
