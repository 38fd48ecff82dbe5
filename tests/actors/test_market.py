"""The fan-out: who acts sees a book after who guards, who values sees a sample, who did not ask sees nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

import native
from actors.market import Market, MarketSetup
from actors.messages import ActorFailed
from trading.market.events import Aggressor, BookState, BookTop, MarkPrice, Trade

USDM, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCE:SPOT:BTC-USDT"
MS = 1_000_000


def top(instrument_id, at_ns, state=BookState.SYNCED):
    return BookTop(
        instrument_id=instrument_id,
        state=state,
        update_id=at_ns,
        bids=((10, 1),),
        asks=((11, 1),),
        ts_event_ns=at_ns,
        ts_recv_ns=at_ns,
    )


@pytest.fixture
def market(bench):
    setup = MarketSetup(
        always=("governor", "arbiter"),
        sampled=("portfolio",),
        sample_ns=100 * MS,
        tops={USDM: ("strategy.a", "strategy.b")},
        trades={USDM: ("strategy.b",)},
    )
    bench.start("market", Market, setup)
    return bench


def receivers(bench, kind):
    found = [to for to, msg in bench.kept if isinstance(msg, kind)]
    bench.take(kind)
    return found


@pytest.mark.req("P-MD-3")
def test_governor_and_arbiter_see_a_book_before_the_strategies_that_act_on_it(market):
    market.tell("market", top(USDM, 1_000 * MS))
    assert receivers(market, BookTop) == ["portfolio", "governor", "arbiter", "strategy.a", "strategy.b"]


def test_a_book_nobody_trades_goes_to_the_guards_only(market):
    market.tell("market", top(SPOT, 1_000 * MS))
    assert receivers(market, BookTop) == ["portfolio", "governor", "arbiter"]


def test_who_only_values_gets_a_sample_of_each_instrument(market):
    for n in range(25):
        market.tell("market", top(USDM, 1_000 * MS + n * 10 * MS))
    assert receivers(market, BookTop).count("portfolio") == 3
    market.tell("market", top(SPOT, 1_000 * MS + 245 * MS))
    assert "portfolio" in receivers(market, BookTop)


@pytest.mark.req("P-MD-2")
def test_a_book_that_lost_its_proof_is_told_to_everybody_who_acts(market):
    market.tell("market", top(USDM, 1_000 * MS), top(USDM, 1_001 * MS, BookState.SUSPECT))
    told = [to for to, msg in market.kept if isinstance(msg, BookTop) and msg.state is BookState.SUSPECT]
    assert told == ["governor", "arbiter", "strategy.a", "strategy.b"]


def test_trades_go_to_who_asked_and_marks_to_all(market):
    trade = Trade(
        instrument_id=USDM, trade_id=1, price_ticks=10, qty_lots=1, aggressor=Aggressor.BUY, ts_event_ns=1, ts_recv_ns=1
    )
    mark = MarkPrice(
        instrument_id=USDM,
        mark_price=Decimal(1),
        index_price=None,
        funding_rate=None,
        next_funding_ns=None,
        ts_event_ns=1,
        ts_recv_ns=1,
    )
    market.tell("market", trade, mark)
    assert receivers(market, Trade) == ["strategy.b"]
    assert receivers(market, MarkPrice) == ["portfolio", "governor", "arbiter", "strategy.a", "strategy.b"]


def test_what_is_no_market_data_is_reported(market):
    market.tell("market", {"bid": 1})
    assert [f.message_type for f in market.take(ActorFailed)] == ["dict"]


@pytest.mark.skipif(native.orders is None, reason="was not built")
def test_the_route_tells_tops_between_samples_and_leaves_the_others():
    told, tops, sample_at = [], {USDM: ("governor", "strategy.a")}, {}

    class Teller:
        def tell(self, to, msg):
            if to == "nobody":
                raise LookupError(to)
            told.append((to, msg))

    route = native.orders.fan_out_route(tops, sample_at, BookTop, Teller())
    first, second = top(USDM, 5 * MS), top(USDM, 6 * MS)
    assert route(first) is False
    sample_at[USDM] = 6 * MS
    assert route(second) is False
    assert route(top(SPOT, 5 * MS)) is False
    assert told == []
    assert route(first) is True
    assert told == [("governor", first), ("strategy.a", first)]
    tops[USDM] = ("nobody",)
    with pytest.raises(LookupError):
        route(first)
