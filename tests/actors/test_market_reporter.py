"""The reporter beside a connector: what it is told of a market is what operators read of it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.features import Features, FeaturesSetup, FeatureValues
from actors.market_reporter import MarketReporter, ReporterSetup
from trading.market.events import (
    Aggressor,
    BookState,
    BookTop,
    IndexPrice,
    Liquidation,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Ticker,
    Trade,
)
from trading.market.opportunity import OpportunityLimits
from trading.operators import Published, Topic

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
S = 1_000_000_000
NOTHING = {"index_price": None, "funding_rate": None, "next_funding_ns": None}


@pytest.mark.req("P-MD-10")
def test_flow_derivatives_and_liquidations_are_published_of_each_contract(bench, usdm):
    bench.start("reporter", MarketReporter, ReporterSetup(instruments={USDM: usdm}, synthetic=True))
    now = bench.clock.wall_ns()
    at = {"instrument_id": USDM, "ts_event_ns": now, "ts_recv_ns": now}
    bench.tell(
        "reporter",
        BookTop(state=BookState.SYNCED, update_id=1, bids=((618_000, 300),), asks=((618_001, 100),), **at),
        Trade(trade_id=1, price_ticks=618_001, qty_lots=50, aggressor=Aggressor.BUY, **at),
        MarkPrice(
            mark_price=Decimal("61800.5"),
            index_price=Decimal(61790),
            funding_rate=Decimal("0.0001"),
            next_funding_ns=now + 3600 * S,
            **at,
        ),
        OpenInterest(qty=Decimal(1200), **at),
        Liquidation(side=PositionSide.LONG, price=Decimal(61700), qty=Decimal("0.5"), **at),
    )
    bench.after_ms(2_000)
    bodies = {fact.topic: fact.body for fact in bench.take(Published, to="ops")}
    assert bodies[Topic.FLOW]["imbalance_1"] == 0.5
    assert bodies[Topic.FLOW]["cvd"] == 0.05
    assert bodies[Topic.DERIVATIVES]["open_interest"] == "1200"
    assert bodies[Topic.DERIVATIVES]["funding_rate"] == "0.0001"
    assert bodies[Topic.LIQUIDATIONS]["total"] == 1
    assert bodies[Topic.LIQUIDATIONS]["newest"][0]["notional_usd"] == 30_850.0
    assert bodies[Topic.OPPORTUNITY]["opportunities"] == 1
    assert bodies[Topic.CONTRACTS]["kept"] is True
    assert all(body["synthetic"] for topic, body in bodies.items() if topic is not Topic.METRICS)


def test_what_is_told_of_a_market_of_somebody_else_is_counted(bench, usdm):
    actor = bench.start("reporter", MarketReporter, ReporterSetup(instruments={USDM: usdm}, synthetic=False))
    bench.tell(
        "reporter",
        Trade(
            instrument_id="OKX:SPOT:BTC-USDT",
            trade_id=1,
            price_ticks=1,
            qty_lots=1,
            aggressor=Aggressor.BUY,
            ts_event_ns=1,
            ts_recv_ns=1,
        ),
    )
    assert actor.strange == 1


# Data contracts.


def top(now, update_id=1, bid=618_000, ask=618_001, state=BookState.SYNCED):
    return BookTop(
        instrument_id=USDM,
        state=state,
        update_id=update_id,
        bids=((bid, 300),),
        asks=((ask, 100),),
        ts_event_ns=now,
        ts_recv_ns=now,
    )


def trade(now, trade_id=1, aggressor=Aggressor.BUY, lots=50):
    return Trade(
        instrument_id=USDM,
        trade_id=trade_id,
        price_ticks=618_001,
        qty_lots=lots,
        aggressor=aggressor,
        ts_event_ns=now,
        ts_recv_ns=now,
    )


@pytest.fixture
def reporter(bench, usdm):
    limits = OpportunityLimits(bucket_lots=100, buckets=2, drought_s=5)
    setup = ReporterSetup(instruments={USDM: usdm}, synthetic=True, opportunity=limits, cell="venue.binanceusdm")
    return bench.start("reporter", MarketReporter, setup)


def events(bench):
    return [fact.body for fact in bench.take(Published, to="ops") if fact.topic is Topic.EVENT]


def newest(bench, topic):
    """The newest facts of a topic by key, after the next publication."""
    bench.after_ms(1_000)
    return {fact.key: fact.body for fact in bench.take(Published, to="ops") if fact.topic is topic}


def samples(bench, name):
    (body,) = newest(bench, Topic.METRICS).values()
    return {tuple(labels.values()): value for row, _, labels, value in body["series"] if row == name}


@pytest.mark.req("P-MD-11")
def test_the_first_breach_of_a_kind_is_an_alert_at_once_and_all_others_one_a_minute(bench, reporter):
    now = bench.clock.wall_ns()
    bench.tell("reporter", trade(now), top(now))
    assert events(bench) == []
    bench.tell("reporter", trade(now))
    (alert,) = events(bench)
    assert (alert["level"], alert["code"], alert["cell"]) == ("warning", "DATA_CONTRACT", "venue.binanceusdm")
    assert alert["text"] == f"{USDM}: trade: trade_id 1 seen before ((trade_id) unique)"
    for _ in range(40):
        bench.tell("reporter", trade(now), top(bench.clock.wall_ns()))
        bench.after_ms(1_000)
    assert [one for one in events(bench) if one["code"] == "DATA_CONTRACT"] == []
    bench.tell("reporter", top(now, bid=618_001))
    (other,) = [one for one in events(bench) if one["code"] == "DATA_CONTRACT"]
    assert other["text"] == f"{USDM}: top: bid_ticks 618001, ask_ticks 618001 (bid_ticks < ask_ticks)"
    bench.after_ms(30_000)
    (summed,) = [one["text"] for one in events(bench) if one["code"] == "DATA_CONTRACT"]
    assert summed.startswith(f"{USDM}: 40 more breaches of data contracts, the newest trade: trade_id 1 seen before")
    bench.after_ms(300_000)
    assert [one for one in events(bench) if one["code"] == "DATA_CONTRACT"] == [], "nothing more, no word more"


@pytest.mark.req("P-MD-11")
def test_breaches_are_counted_by_venue_market_contract_and_rule(bench, reporter):
    now = bench.clock.wall_ns()
    bench.tell("reporter", top(now, 9), top(now, 8), top(now, 7), trade(now), trade(now))
    assert samples(bench, "data_contract_breaches_total") == {
        ("binanceusdm", USDM, "top", "update_id does not go back"): 2,
        ("binanceusdm", USDM, "trade", "(trade_id) unique"): 1,
    }
    assert samples(bench, "data_contract_rows_total")["binanceusdm", USDM, "top"] == 3
    body = newest(bench, Topic.CONTRACTS)[USDM]
    assert (body["kept"], body["rows"], body["bad_rows"]) == (False, 5, 3)
    assert [(one["contract"], one["count"], one["text"]) for one in body["breaches"]] == [
        ("top", 2, "update_id is 7 after 9"),
        ("trade", 1, "trade_id 1 seen before"),
    ]


def test_a_book_that_was_lost_may_be_numbered_anew(bench, reporter):
    now = bench.clock.wall_ns()
    bench.tell("reporter", top(now, 9), top(now, 9, state=BookState.SUSPECT), top(now, 3), top(now, 4))
    assert events(bench) == []
    assert newest(bench, Topic.CONTRACTS)[USDM]["kept"] is True


@pytest.mark.req("P-MD-11")
@pytest.mark.parametrize(
    ("event", "fields", "subject", "contract"),
    [
        (MarkPrice, {"mark_price": Decimal(0), **NOTHING}, USDM, "mark"),
        (OpenInterest, {"qty": Decimal(-1)}, USDM, "oi"),
        (Ticker, {"last_price": Decimal(0)}, USDM, "ticker"),
        (Liquidation, {"side": PositionSide.LONG, "price": Decimal(61_000), "qty": Decimal(0)}, USDM, "liquidation"),
        (IndexPrice, {"index_price": Decimal(0)}, "BINANCEUSDM:INDEX:BTC-USDT", "mark"),
    ],
)  # fmt: skip
def test_each_kind_of_event_is_judged_by_its_contract(bench, reporter, event, fields, subject, contract):
    now = bench.clock.wall_ns()
    bench.tell("reporter", event(instrument_id=subject, ts_event_ns=now, ts_recv_ns=now, **fields))
    (alert,) = events(bench)
    assert alert["text"].startswith(f"{subject}: {contract}: ")
    assert newest(bench, Topic.CONTRACTS)[subject]["bad_rows"] == 1


@pytest.mark.req("P-MD-11")
def test_features_that_are_no_numbers_or_out_of_their_range_break_their_contract(bench, reporter):
    now = bench.clock.wall_ns()
    sound = {"mid": 61_800.0, "rsi": None, "queue_imbalance": -1.0}
    bench.tell("reporter", FeatureValues(instrument_id=USDM, values=sound, ts_ns=now))
    assert events(bench) == []
    odd = {**sound, "rsi": 100.5, "macd": float("nan")}
    bench.tell("reporter", FeatureValues(instrument_id=USDM, values=odd, ts_ns=now))
    assert [one["text"] for one in events(bench)] == [
        f"{USDM}: features: rsi is 100.5 (rsi in [0, 100])",
        f"{USDM}: features: macd is nan (macd in (-inf, inf))",
    ]
    bench.tell("reporter", FeatureValues(instrument_id="OKX:SPOT:BTC-USDT", values=odd, ts_ns=now))
    assert (events(bench), reporter.strange) == ([], 1)


@pytest.mark.req("P-MD-11")
def test_the_features_that_are_published_are_judged_beside_their_market(bench, reporter, usdm):
    bench.start("features", Features, FeaturesSetup(instruments={USDM: usdm}, judge="reporter"))
    now = bench.clock.wall_ns()
    bench.tell("features", top(now), trade(now))
    bench.after_ms(4_500)
    (judged,) = newest(bench, Topic.CONTRACTS)[USDM]["contracts"]
    assert (judged["contract"], judged["rows"], judged["bad_rows"]) == ("features", 2, 0)


# Opportunity.


@pytest.mark.req("P-MD-16")
def test_a_market_without_an_opportunity_is_an_event_and_so_is_its_end(bench, reporter):
    bench.after_ms(7_000)
    (begun,) = events(bench)
    assert (begun["level"], begun["code"]) == ("warning", "OPPORTUNITIES_DRY")
    assert begun["text"] == f"{USDM}: no opportunity for 5 s"
    body = newest(bench, Topic.OPPORTUNITY)[USDM]
    assert (body["dry"], body["opps_per_sec"], body["spread_bps"]) == (True, 0.0, None)
    bench.tell("reporter", top(bench.clock.wall_ns()))
    (over,) = events(bench)
    assert (over["level"], over["code"]) == ("info", "OPPORTUNITIES_DRY_OVER")
    body = newest(bench, Topic.OPPORTUNITY)[USDM]
    assert (body["dry"], body["dry_since_ns"], body["depth_qty"]) == (False, None, 0.1)
    assert body["spread_bps"] == pytest.approx(1 / 618_000.5 * 1e4, abs=1e-4)


@pytest.mark.req("P-MD-16")
def test_toxic_flow_is_an_event_and_all_figures_are_metrics(bench, reporter):
    now = bench.clock.wall_ns()
    bench.tell("reporter", top(now), *(trade(now, n, Aggressor.SELL) for n in range(4)))
    (begun,) = events(bench)
    assert (begun["code"], begun["text"]) == ("FLOW_TOXIC", f"{USDM}: VPIN 1.00, toxic from 0.9")
    bench.after_ms(1_000)
    (body,) = [fact.body for fact in bench.take(Published, to="ops") if fact.topic is Topic.METRICS]
    gauges = {row[0]: (row[2], row[3]) for row in body["series"] if row[1] == "gauge"}
    assert {labels["symbol"] for labels, _ in gauges.values()} == {USDM}
    assert {labels["venue"] for labels, _ in gauges.values()} == {"binanceusdm"}
    assert gauges["flow_toxicity_vpin"][1] == 1.0
    assert gauges["opportunity_depth_lots"][1] == 100
    assert gauges["opps_per_sec"][1] == 1.0
    assert gauges["opportunity_spread_bps"][1] > 0
