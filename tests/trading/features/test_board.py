"""The board of features: the figures of the features themselves, exact counts, a cache that says when it hit."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.binance.instruments import SPOT, USDM, instruments_of
from tests.effort import effort
from trading.features.board import FeatureBoard, FeatureSpec
from trading.features.depth import OrderFlowImbalance
from trading.features.flow import Vwap
from trading.features.indicators import Atr, ZScore
from trading.market.events import (
    Aggressor,
    BookState,
    BookTop,
    FundingRate,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Trade,
)

PERP, COIN = instruments_of(USDM)[0], instruments_of(SPOT)[0]
BTC, SPOT_BTC = PERP.instrument_id, COIN.instrument_id
MS = 1_000_000
SECOND = 1_000 * MS
T0 = 1_700_000_000 * SECOND
SPEC = FeatureSpec(flow_ns=10 * SECOND, interest_ns=10 * SECOND, sample_ns=SECOND, window=10, samples=5, buckets=10)


def top(ts_ns, bid, lots=5, ask_lots=3, state=BookState.SYNCED, name=BTC, event_ns=None):
    return BookTop(
        instrument_id=name,
        state=state,
        update_id=1,
        bids=((bid, lots), (bid - 1, 7)),
        asks=((bid + 2, ask_lots), (bid + 4, 9)),
        ts_event_ns=ts_ns if event_ns is None else event_ns,
        ts_recv_ns=ts_ns,
    )


def trade(ts_ns, price, lots, name=BTC):
    side = Aggressor.BUY if lots > 0 else Aggressor.SELL
    return Trade(
        instrument_id=name,
        trade_id=1,
        price_ticks=price,
        qty_lots=abs(lots),
        aggressor=side,
        ts_event_ns=ts_ns,
        ts_recv_ns=ts_ns,
    )


def walk(seconds, name=BTC):
    """Tops and trades, four a second, that go up and down."""
    for n in range(4 * seconds):
        ts_ns, bid = T0 + n * 250 * MS, 600_000 + (n * 37) % 101 - (n * 11) % 23
        yield top(ts_ns, bid, 5 + n % 4, 3 + n % 7, name=name)
        yield trade(ts_ns + MS, bid + 2 * (n % 2), (n % 5 + 1) * (1 if n % 3 else -1), name)


@pytest.mark.req("V-AI-1")
def test_z_score_vwap_atr_and_order_flow_are_those_of_the_features_themselves():
    board = FeatureBoard({BTC: PERP}, SPEC)
    flow, vwap, score, atr = OrderFlowImbalance(10 * SECOND, 1, 10), Vwap(10 * SECOND, 10), ZScore(10), Atr(14)
    mids = {}
    for event in walk(40):
        board.update(event)
        if isinstance(event, Trade):
            vwap.update(event.price_ticks, event.qty_lots, event.ts_event_ns)
        else:
            flow.update(event)
            mids.setdefault(event.ts_event_ns // SECOND, []).append((event.bids[0][0] + event.asks[0][0]) / 2)
    for bar in list(mids.values())[:-1]:
        score.update(bar[-1])
        atr.update(max(bar), min(bar), bar[-1])
    values = board.read(BTC)
    assert values["z_score"] == score.value
    assert values["atr"] == atr.value * 0.1
    assert values["vwap"] == vwap.value * 0.1
    assert values["ofi_lots"] == flow.value[0]
    assert None not in {values[name] for name in ("z_score", "atr", "vwap", "ofi_lots", "ema", "rsi", "macd_signal")}


@pytest.mark.req("V-AI-1")
def test_the_cache_hits_while_figures_are_fresh_and_counts_it():
    board = FeatureBoard({BTC: PERP}, SPEC)
    assert board.read("nobody") is None
    board.update(top(T0, 1000))
    first = board.read(BTC)
    assert (board.hits, board.misses) == (0, 1)
    board.update(top(T0 + SPEC.cache_ns, 2000))
    assert board.read(BTC) is first
    assert (board.hits, board.misses) == (1, 1)
    board.update(top(T0 + SPEC.cache_ns + 1, 3000))
    assert board.read(BTC)["mid"] == pytest.approx(300.1)
    assert (board.hits, board.misses) == (1, 2)
    assert board.snapshot()["instruments"][BTC]["mid"] == pytest.approx(300.1)
    assert (board.hits, board.misses) == (1, 2)


def test_an_unproved_book_has_no_price_and_its_time_makes_no_bar():
    board = FeatureBoard({BTC: PERP}, SPEC)
    for event in walk(30):
        board.update(event)
    known = board.snapshot()["instruments"][BTC]
    board.update(top(T0 + 40 * SECOND, 1, state=BookState.SUSPECT))
    values = board.snapshot()["instruments"][BTC]
    gone = ("mid", "microprice", "queue_imbalance", "depth_imbalance", "ofi_lots")
    assert {values[name] for name in gone} == {None}
    assert not [name for name in values if name.endswith("bps")]
    for name in ("ema", "rsi", "atr", "z_score", "vwap", "cvd_lots"):
        assert values[name] == known[name]


def test_what_the_venue_says_of_positions_and_funding_is_told():
    board, dec = FeatureBoard({BTC: PERP}, SPEC), Decimal
    stamps = {"instrument_id": BTC, "ts_event_ns": T0, "ts_recv_ns": T0}
    later = stamps | {"ts_event_ns": T0 + 11 * SECOND, "ts_recv_ns": T0 + 11 * SECOND}
    rate = {"funding_rate": dec("0.0001"), "next_funding_ns": None}
    for event in (
        MarkPrice(mark_price=dec(101), index_price=dec(100), **rate, **stamps),
        FundingRate(funding_rate=dec("0.0002"), funding_ns=T0, next_funding_ns=T0 + 8 * 3600 * SECOND, **stamps),
        LongShortRatio(ratio=dec(3), **stamps),
        Liquidation(side=PositionSide.LONG, price=dec(100), qty=dec(1), **stamps),
        OpenInterest(qty=dec(50), **stamps),
        OpenInterest(qty=dec(60), **later),
        Liquidation(side=PositionSide.SHORT, price=dec(100), qty=dec(3), **later),
        OpenInterest(qty=dec(65), **later),
    ):
        board.update(event)
    values = board.read(BTC)
    assert values["basis"] == pytest.approx(0.01)
    assert values["funding_a_year"] == pytest.approx(0.0002 * 3 * 365)
    assert (values["open_interest"], values["open_interest_change"]) == (65.0, 5.0)
    assert (values["liquidated_longs"], values["liquidated_shorts"], values["liquidation_imbalance"]) == (0.0, 3.0, 1.0)
    assert values["long_share"] == 0.75


def test_instruments_that_move_together_are_one_cluster():
    board = FeatureBoard({BTC: PERP, SPOT_BTC: COIN}, SPEC)
    for n in range(12):
        ts_ns, bid = T0 + n * SECOND, 600_000 + 1_000 * ((n * n) % 7)
        board.update(top(ts_ns, bid))
        board.update(top(ts_ns + MS, bid * 10, name=SPOT_BTC))
    assert board.correlations[BTC, SPOT_BTC] == pytest.approx(1.0, abs=1e-3)
    assert board.clusters == ((BTC, SPOT_BTC),)


def test_what_is_no_figure_and_what_is_not_on_the_board_is_counted_and_changes_nothing():
    board = FeatureBoard({BTC: PERP}, SPEC)
    for event in walk(5):
        board.update(event)
    before = board.snapshot()["instruments"]
    bad = OpenInterest(instrument_id=BTC, qty=Decimal("NaN"), ts_event_ns=T0, ts_recv_ns=T0)
    board.update(bad)
    board.update(trade(T0, 1, 1, "X:SPOT:A-B"))
    assert board.snapshot()["instruments"] == before
    assert (board.events, board.refused, board.strange) == (41, 1, 1)


def test_a_book_without_a_time_of_the_venue_does_not_make_windows_warm():
    board = FeatureBoard({BTC: PERP}, SPEC)
    board.update(top(T0, 1000, event_ns=0))
    board.update(top(T0 + MS, 1001))
    assert board.read(BTC)["ofi_lots"] is None


TICKS = st.just(0) | st.integers(0, 2**62 - 1)
LOTS = st.integers(0, 2**62 - 1)
STAMPS = st.integers(0, 4 * 10**18)
FIGURES = st.decimals(allow_nan=True, allow_infinity=True)


@st.composite
def any_event(draw):
    """Any event that its type allows, believable or not."""
    stamps = {"instrument_id": BTC, "ts_event_ns": draw(STAMPS), "ts_recv_ns": draw(STAMPS)}
    level = st.tuples(TICKS, LOTS)
    match draw(st.integers(0, 6)):
        case 0 | 1:
            sides = {side: tuple(draw(st.lists(level, max_size=3))) for side in ("bids", "asks")}
            return BookTop(state=draw(st.sampled_from(BookState)), update_id=1, **sides, **stamps)
        case 2:
            side = draw(st.sampled_from(Aggressor))
            return Trade(trade_id=1, price_ticks=draw(TICKS), qty_lots=draw(LOTS), aggressor=side, **stamps)
        case 3:
            prices = {"mark_price": draw(FIGURES), "index_price": draw(st.none() | FIGURES)}
            return MarkPrice(**prices, funding_rate=draw(st.none() | FIGURES), next_funding_ns=None, **stamps)
        case 4:
            return OpenInterest(qty=draw(FIGURES), **stamps)
        case 5:
            side = draw(st.sampled_from(PositionSide))
            return Liquidation(side=side, price=draw(FIGURES), qty=draw(FIGURES), **stamps)
        case _:
            return LongShortRatio(ratio=draw(FIGURES), **stamps)


@settings(deadline=None, max_examples=effort(100, 300))
@given(st.lists(any_event(), max_size=40))
def test_no_event_makes_the_board_raise_or_say_what_is_no_number(events):
    board = FeatureBoard({BTC: PERP}, SPEC)
    for event in events:
        board.update(event)
        for name, value in board.read(BTC).items():
            assert value is None or isfinite(value), (name, value)
    values = board.snapshot()["instruments"][BTC]
    assert all(value is None or isfinite(value) for value in values.values())
    assert board.events == len(events)
    assert board.refused <= 2 * len(events)
