"""Strategies, arbiter and governor together over random and recorded markets; the paper desk checks every step."""

import json
import lzma
from collections import deque
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.arbiter.config import StrategyBudget
from trading.market.events import Aggressor, BookState, Trade
from trading.orders.messages import (
    DenyReason,
    InternalCross,
    OrderDenied,
    OrderFilled,
    ProposedOrder,
    QuoteIntent,
    Side,
    TargetIntent,
    Urgency,
)
from trading.risk.limits import RiskLimits
from trading.strategies.base import build_strategy

D = Decimal
START = 1_700_000_000_000_000_000
MS = 1_000_000
RECORDING = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance" / "l2_raw" / "2024-08-08"

STEP = st.tuples(
    st.integers(0, 400),  # ms that pass
    st.integers(-15, 15),  # ticks that the mid moves
    st.sampled_from(["book", "book", "book", "book", "book", "suspect", "silence", "trade"]),
    st.sampled_from(["maker", "momentum", "basis", "none"]),
    st.integers(-30, 30),
    st.sampled_from(Urgency),
    st.none() | st.integers(-5, 5),
    st.integers(0, 4),  # commands that reach the venue, when they travel by wire
)


@pytest.mark.req("P-EXE-9")
@pytest.mark.req("P-MD-3")
@settings(max_examples=120, deadline=None)
@given(st.booleans(), st.lists(STEP, min_size=5, max_size=60))
def test_the_combination_never_exceeds_its_cap_and_every_share_is_accounted_for(slow, steps):
    kit = KIT[0]
    cap = 24
    desk = kit.desk(
        only={kit.PERP},
        max_position_notional_usd=D("1224"),
        limits=RiskLimits(orders_per_sec=1000, orders_per_symbol_per_min=10_000),
        budgets={
            s: StrategyBudget(priority=p, max_notional_usd=D(900)) for p, s in enumerate(("momentum", "maker", "basis"))
        },
    )
    desk.wire = deque() if slow else None
    now, bid = START, 500_000
    desk.book(kit.top(kit.PERP, bid, bid + 1, now), now)
    for n, (wait_ms, move, what, who, lots, urgency, limit, delivered) in enumerate(steps):
        now += wait_ms * MS
        bid += move
        if what == "book":
            desk.book(kit.top(kit.PERP, bid, bid + 1, now, bid_lots=7, ask_lots=7, update_id=n), now)
        elif what == "suspect":
            desk.book(kit.top(kit.PERP, bid, bid + 1, now, state=BookState.SUSPECT), now)
        elif what == "trade":
            desk.trade(
                Trade(
                    instrument_id=kit.PERP,
                    trade_id=n,
                    price_ticks=bid,
                    qty_lots=abs(lots),
                    aggressor=Aggressor.SELL if lots < 0 else Aggressor.BUY,
                    ts_event_ns=now,
                    ts_recv_ns=now,
                ),
                now,
            )
        before = len(desk.of(ProposedOrder))
        if who == "maker":
            desk.intent(quote(kit.PERP, n, bid - abs(lots), bid + 1 + abs(lots), abs(lots), now), now)
        elif who != "none":
            desk.intent(target(kit.PERP, n, who, lots, urgency, None if limit is None else bid + limit, now), now)
        desk.timer(now)
        top = desk.tops[kit.PERP]
        if top.state is not BookState.SYNCED or now - top.ts_recv_ns > 1200 * MS:
            assert len(desk.of(ProposedOrder)) == before
        for side in Side:
            assert desk.worst(kit.PERP, side) <= D("0.001") * cap
        if slow:
            desk.deliver(delivered, now)
        desk.check()
    # What the governor would have had to stop is a fault of the arbiter.
    assert {d.reason for d in desk.of(OrderDenied)} <= {DenyReason.POST_ONLY_STALE}


def quote(instrument_id, n, bid, ask, lots, now_ns):
    return QuoteIntent(
        intent_id=f"maker:{n}",
        strategy_id="maker",
        instrument_id=instrument_id,
        bid_ticks=bid,
        bid_lots=lots,
        ask_ticks=ask,
        ask_lots=lots,
        confidence=1.0,
        ttl_ns=5000 * MS,
        reasons=(),
        cause="c",
        ts_init_ns=now_ns,
    )


def target(instrument_id, n, who, lots, urgency, limit, now_ns):
    return TargetIntent(
        intent_id=f"{who}:{n}",
        strategy_id=who,
        instrument_id=instrument_id,
        target_lots=lots,
        urgency=urgency,
        limit_ticks=limit,
        confidence=1.0,
        ttl_ns=5000 * MS,
        reasons=(),
        cause="c",
        ts_init_ns=now_ns,
    )


KIT = []


@pytest.fixture(autouse=True)
def _remember(kit):
    # Hypothesis runs one test many times and refuses function-scoped fixtures as arguments.
    KIT[:] = [kit]


def recorded(kit):
    """Best bids and asks and trades of three Binance markets, first two minutes, in order of arrival."""
    files = {kit.SPOT: "spot_btcusdt", kit.PERP: "usdm_btcusdt", kit.COIN: "coinm_btcusd_perp"}
    events = []
    for instrument_id, name in files.items():
        spec = kit.instruments[instrument_id]
        tick, lot, first = float(spec.tick_size), float(spec.lot_size), None
        with lzma.open(RECORDING / f"{name}_20240808.dat.xz", "rt") as lines:
            for line in lines:
                stamp, _, text = line.partition(" ")
                first = first or int(stamp)
                if int(stamp) - first > 120 * 10**9:
                    break
                if "@bookTicker" in text:
                    d = json.loads(text)["data"]
                    levels = (float(d["b"]) / tick, float(d["B"]) / lot, float(d["a"]) / tick, float(d["A"]) / lot)
                    events.append((int(stamp), instrument_id, d["u"], tuple(max(1, round(x)) for x in levels)))
                elif "@trade" in text:
                    d = json.loads(text)["data"]
                    values = (round(float(d["p"]) / tick), max(1, round(float(d["q"]) / lot)), d["m"])
                    events.append((int(stamp), instrument_id, d["t"], values))
    return sorted(events, key=lambda event: event[0])


@pytest.mark.recording
@pytest.mark.req("P-EXE-9")
def test_a_recorded_quiet_market_is_traded_by_every_strategy_without_a_denial(kit):
    if not RECORDING.exists():
        pytest.skip(f"no recording at {RECORDING}")
    some = kit.instruments
    # Everybody is to trade in two quiet minutes, so nobody asks what it costs.
    exercise = {"fee_coverage": 0.0}
    pair = {"mean_half_life_s": 30.0, "entry_z": 2.0, "exit_z": 0.3, "passive": False}
    desk = kit.desk(
        [
            build_strategy("maker", "maker", {i: some[i] for i in (kit.PERP, kit.COIN)}, {}, 7),
            build_strategy("momentum", "momentum", {i: some[i] for i in (kit.PERP, kit.SPOT)}, exercise, 7),
            build_strategy("basis", "basis", {i: some[i] for i in (kit.PERP, kit.COIN)}, {**exercise, **pair}, 7),
        ]
    )
    due_ns = 0
    for now, instrument_id, event_id, values in recorded(kit):
        if now >= due_ns:
            desk.timer(now)
            due_ns = now + 100 * MS
        if len(values) == 4:
            bid, bid_lots, ask, ask_lots = values
            top = kit.top(instrument_id, bid, ask, now, bid_lots=bid_lots, ask_lots=ask_lots, update_id=event_id)
            desk.book(top, now)
        else:
            price, lots, seller = values
            aggressor = Aggressor.SELL if seller else Aggressor.BUY
            desk.trade(
                Trade(
                    instrument_id=instrument_id,
                    trade_id=event_id,
                    price_ticks=price,
                    qty_lots=lots,
                    aggressor=aggressor,
                    ts_event_ns=now,
                    ts_recv_ns=now,
                ),
                now,
            )
    desk.check()
    fills = [leg.strategy_id for fill in desk.of(OrderFilled) for leg in fill.legs]
    assert set(fills) == {"maker", "momentum", "basis"}
    assert len(fills) >= 20
    assert desk.of(OrderDenied) == []
    assert all(cross.buyer_id != cross.seller_id for cross in desk.of(InternalCross))
    per_minute = len(desk.of(ProposedOrder)) / 2
    assert per_minute < 230
