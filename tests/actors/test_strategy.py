"""A strategy's shell: silent until it knows its epoch and what it holds, and it does not give up asking."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.messages import ActorReady, AskEpoch, AskPositions, Epoch, OwnFill, Positions
from actors.strategy import StrategyActor, StrategySetup
from trading.market.events import BookState, BookTop
from trading.operators import Published, Topic
from trading.orders.messages import QuoteIntent, TargetIntent, Urgency

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
NAME = "strategy.maker"


@pytest.fixture
def setup(usdm):
    return StrategySetup(strategy_id="maker", kind="maker", instruments={USDM: usdm}, params={})


@pytest.fixture
def strategy(bench, setup):
    return bench.start(NAME, StrategyActor, setup)


def feed(bench, seconds=8):
    """Books of a quiet market."""
    for n in range(seconds * 20):
        at = bench.clock.wall_ns()
        bid = 610_000 + n % 3
        top = BookTop(
            instrument_id=USDM,
            state=BookState.SYNCED,
            update_id=n + 1,
            bids=((bid, 500),),
            asks=((bid + 1, 500),),
            ts_event_ns=at,
            ts_recv_ns=at,
        )
        bench.tell(NAME, top)
        bench.after_ms(50)


def test_it_asks_again_until_somebody_answers(bench, strategy):
    bench.after_ms(1_100)
    assert len(bench.take(AskEpoch, to="governor")) == 5
    bench.tell(NAME, Epoch(epoch=3, serial=7))
    bench.after_ms(600)
    assert bench.take(AskEpoch) == []
    assert len(bench.take(AskPositions, to="portfolio")) == 3
    bench.tell(NAME, Positions(by_instrument={}, by_strategy={}))
    bench.after_ms(1_000)
    assert bench.take(AskEpoch, AskPositions) == []
    assert len(bench.take(ActorReady, to="supervisor")) == 1


@pytest.mark.req("P-SAFE-2")
def test_it_says_nothing_before_it_knows_what_it_holds(bench, strategy):
    feed(bench)
    bench.tell(NAME, Epoch(epoch=3, serial=7))
    feed(bench)
    assert bench.take(QuoteIntent) == []
    bench.tell(NAME, Positions(by_instrument={}, by_strategy={}))
    feed(bench)
    intents = bench.take(QuoteIntent, to="arbiter")
    assert intents
    assert {i.strategy_id for i in intents} == {"maker"}
    assert strategy.unknown_messages == 0


@pytest.mark.req("P-ORD-2")
def test_two_lives_never_use_one_intent_id(bench, setup, strategy):
    seen = []
    for serial in (1, 2):
        if serial == 2:
            bench.base.shutdown()
            bench.start(NAME, StrategyActor, setup)
        bench.tell(NAME, Epoch(epoch=3, serial=serial), Positions(by_instrument={}, by_strategy={}))
        feed(bench)
        seen.append({i.intent_id for i in bench.take(QuoteIntent)})
    assert seen[0]
    assert not seen[0] & seen[1]


@pytest.mark.req("P-PNL-9")
def test_fills_and_the_ledgers_word_move_its_inventory(bench, strategy):
    bench.tell(
        NAME,
        Epoch(epoch=1, serial=1),
        Positions(by_instrument={USDM: "0.009"}, by_strategy={"maker": {USDM: "0.004"}, "other": {USDM: "0.005"}}),
        OwnFill(instrument_id=USDM, buy=False, qty="0.001", price="61000"),
    )
    assert strategy._core.position_qty[USDM] == Decimal("0.003")
    # The ledger's word is the last one: after a restart of the core it says what a lost fill made of it.
    bench.tell(NAME, Positions(by_instrument={}, by_strategy={"maker": {USDM: "-0.002"}}))
    assert strategy._core.position_qty[USDM] == Decimal("-0.002")


def test_its_view_is_published_with_its_reasons(bench, strategy):
    bench.tell(NAME, Epoch(epoch=1, serial=1), Positions(by_instrument={}, by_strategy={}))
    feed(bench)
    view = [m.body for m in bench.take(Published, to="ops") if m.topic is Topic.STRATEGY][-1]
    assert (view["strategy_id"], view["kind"]) == ("maker", "maker")
    assert view["reasons"]


@pytest.mark.req("L-EXEC-5")
def test_an_order_that_is_too_small_and_may_not_be_made_larger_is_told_once(bench, usdm):
    most = {USDM: Decimal(50)}
    setup = StrategySetup(
        strategy_id="m", kind="momentum", instruments={USDM: usdm}, params={}, floor_usd=Decimal(80), most_usd=most
    )
    strategy = bench.start("strategy.m", StrategyActor, setup)
    bench.tell("strategy.m", Epoch(epoch=3, serial=7), Positions(by_instrument={}, by_strategy={}))
    at = bench.clock.wall_ns()
    top = BookTop(
        instrument_id=USDM,
        state=BookState.SYNCED,
        update_id=1,
        bids=((610_000, 500),),
        asks=((610_001, 500),),
        ts_event_ns=at,
        ts_recv_ns=at,
    )
    bench.tell("strategy.m", top)
    small = TargetIntent("i", "m", USDM, 1, Urgency.AGGRESSIVE, None, 1.0, 1, (), "a test", at)
    strategy._say([small, small])
    bench.after_ms(600)
    # It goes on as it was: who decides about limits refuses it in words of its own.
    assert bench.take(TargetIntent, to="arbiter") == [small, small]
    told = bench.take(Published, to="ops")
    events = [m.body for m in told if m.topic is Topic.EVENT]
    assert [(e["code"], "limit of 50.00 USD" in e["text"]) for e in events] == [("ORDER_TOO_SMALL", True)]
    assert [m.body["minimum"] for m in told if m.topic is Topic.STRATEGY][-1] == {"raised": 0, "refused": 2}
