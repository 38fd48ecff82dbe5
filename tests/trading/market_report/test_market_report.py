"""Bodies that operators read: filled from events, bounded, silent where nothing is known."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import (
    Aggressor,
    BookState,
    BookTop,
    FundingRate,
    IndexPrice,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Ticker,
    Trade,
)
from trading.market.gates import GateCleared, GateCode, GateLevel, GateScope, GateTripped
from trading.market_report.derivatives import DerivativesReport, LiquidationsReport
from trading.market_report.feeds import ChannelBody, ClockCourse, FeedBody, ranked
from trading.market_report.flow import FlowReport, liquidity_body
from trading.market_report.quality import ClosedGates, DataCounts, quality_body

S = 1_000_000_000
T0 = 1_760_000_000 * S
HOUR = 3600 * S
PERP = Instrument(
    instrument_id="OKX:PERP:BTC-USDT:LINEAR",
    venue="okx",
    symbol="BTC-USDT-SWAP",
    kind=InstrumentKind.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.01"),
    min_qty=Decimal("0.01"),
    max_qty=Decimal(1000),
    min_notional=Decimal(0),
    multiplier=Decimal("0.01"),
)
ID = PERP.instrument_id


def mark(price="60000", index="59970", rate="0.0001", next_ns=T0 + HOUR, at=T0):
    return MarkPrice(
        instrument_id=ID,
        mark_price=Decimal(price),
        index_price=None if index is None else Decimal(index),
        funding_rate=None if rate is None else Decimal(rate),
        next_funding_ns=next_ns,
        ts_event_ns=at,
        ts_recv_ns=at,
    )


def at(**fields):
    return {"instrument_id": ID, "ts_event_ns": T0, "ts_recv_ns": T0, **fields}


@pytest.mark.req("P-MD-9")
@pytest.mark.req("P-MD-10")
def test_mark_index_and_last_stay_apart_and_the_basis_is_of_the_first_two():
    report = DerivativesReport(PERP)
    assert report.body().mark is report.body().last is report.body().basis is None
    report.take(mark())
    report.take(Ticker(**at(last_price=Decimal("60012.5"))))
    body = report.body()
    assert (body.mark, body.index, body.last) == ("60000", "59970", "60012.5")
    assert body.basis == pytest.approx(60000 / 59970 - 1)
    assert (body.funding_rate, body.next_funding_ns, body.interval_min) == ("0.0001", T0 + HOUR, 480)
    assert body.funding_a_year == pytest.approx(0.0001 * 3 * 365)
    report.take(IndexPrice(**at(index_price=Decimal(59990))))
    assert report.body().index == "59990"


@pytest.mark.req("P-MD-10")
def test_open_interest_is_valued_where_the_venue_does_not():
    report = DerivativesReport(PERP)
    report.take(OpenInterest(**at(qty=Decimal(250))))
    assert report.body().open_interest_usd is None
    report.take(mark())
    assert Decimal(report.body().open_interest_usd) == Decimal(250) * Decimal("0.01") * 60000
    report.take(OpenInterest(**at(qty=Decimal(250), notional=Decimal(149_000))))
    report.take(LongShortRatio(**at(ratio=Decimal("1.8"))))
    assert report.body().open_interest_usd == "149000"
    assert report.body().long_short_ratio == "1.8"


@pytest.mark.req("P-MD-10")
def test_funding_has_a_history_and_what_the_venue_states_replaces_what_was_inferred():
    report = DerivativesReport(PERP)
    report.take(mark(rate="0.0001", next_ns=T0 + HOUR))
    report.take(mark(rate="0.0002", next_ns=T0 + 9 * HOUR, at=T0 + HOUR))
    assert [(one.funding_ns, one.rate) for one in report.body().history] == [(T0 + HOUR, "0.0001")]
    report.settle(T0 + HOUR, Decimal("0.00012"))
    report.settle(T0, Decimal("0.5"))
    assert [(one.funding_ns, one.rate) for one in report.body().history] == [(T0 + HOUR, "0.00012")]
    stated = FundingRate(
        **at(
            funding_rate=Decimal("0.0003"),
            funding_ns=T0 + 17 * HOUR,
            next_funding_ns=T0 + 25 * HOUR,
            settled_rate=Decimal("0.00021"),
        )
    )
    report.take(stated)
    report.take(stated)
    assert [(one.funding_ns, one.rate) for one in report.body().history] == [
        (T0 + HOUR, "0.00012"),
        (T0 + 9 * HOUR, "0.00021"),
    ]
    assert report.body().funding_rate == "0.0003"
    for step in range(200):
        report.settle(T0 + (20 + step) * HOUR, Decimal(step))
    assert len(report.body().history) == 90


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "1E+70"])
def test_a_price_that_is_none_is_counted_and_changes_nothing(price):
    report = DerivativesReport(PERP)
    report.take(mark())
    before = report.body()
    report.take(mark(price=price))
    report.take(mark(price=price, index=None))
    report.take(Ticker(**at(last_price=Decimal(price))))
    report.take(IndexPrice(**at(index_price=Decimal(price))))
    assert report.refused == 4
    assert report.body() == before


@pytest.mark.req("P-MD-10")
def test_liquidations_are_summed_by_side_and_leave_the_sums_with_time():
    report = LiquidationsReport(PERP)
    for number in range(60):
        side = PositionSide.LONG if number % 3 else PositionSide.SHORT
        when = T0 + number * S
        report.take(Liquidation(**at(side=side, price=Decimal(60000), qty=Decimal(10), ts_event_ns=when)))
    body = report.body(T0 + 59 * S)
    assert body.total == 60
    assert len(body.newest) == 50
    assert body.newest[0].ts_ns == T0 + 59 * S
    assert body.newest[0].notional_usd == 6000.0
    hour = {one.window_s: one for one in body.windows}[3600]
    assert (hour.longs, hour.shorts, hour.long_usd, hour.short_usd) == (40, 20, 240_000.0, 120_000.0)
    later = {one.window_s: one for one in report.body(T0 + 59 * S + 400 * S).windows}
    assert (later[60].longs, later[300].longs, later[3600].longs) == (0, 0, 40)
    assert report.body(T0 + 100_000 * S).windows[-1].longs == 0


def top(bid=600_000, ask=600_001, bid_lots=30, ask_lots=10, state=BookState.SYNCED, when=T0):
    return BookTop(
        instrument_id=ID,
        state=state,
        update_id=1,
        bids=((bid, bid_lots), (bid - 1, 5)),
        asks=((ask, ask_lots), (ask + 1, 5)),
        ts_event_ns=when,
        ts_recv_ns=when,
    )


def trade(lots, aggressor, when):
    return Trade(
        instrument_id=ID,
        trade_id=1,
        price_ticks=600_000,
        qty_lots=lots,
        aggressor=aggressor,
        ts_event_ns=when,
        ts_recv_ns=when,
    )


@pytest.mark.req("P-API-47")
def test_flow_is_in_the_venues_units_and_warms_before_it_speaks():
    report = FlowReport(PERP)
    report.take_top(top())
    body = report.body(T0)
    assert body.imbalance_1 == pytest.approx((30 - 10) / 40)
    assert body.imbalance_5 == pytest.approx((35 - 15) / 50)
    assert body.microprice == pytest.approx((600_000 + 30 / 40) * 0.1)
    assert {one.qty for one in body.ofi} == {None}
    for second in range(1, 75):
        report.take_top(top(bid_lots=30 + second, when=T0 + second * S))
        aggressor = Aggressor.BUY if second % 4 else Aggressor.SELL
        report.take_trade(trade(4, aggressor, T0 + second * S))
    body = report.body(T0 + 74 * S)
    assert body.trades == 74
    assert body.cvd == pytest.approx((56 - 18) * 4 * 0.01)
    by_frame = {one.timeframe: one.qty for one in body.delta}
    assert by_frame["1m"] == pytest.approx((45 - 15) * 4 * 0.01, abs=0.09)
    assert by_frame["1h"] is None, "an hour has not passed yet"
    ten = {one.window_s: one.qty for one in body.ofi}[10]
    assert ten == pytest.approx(10 * 0.01, abs=0.011), "a lot joined the bid every second"


def test_an_unproved_book_says_nothing_of_flow():
    report = FlowReport(PERP)
    report.take_top(top())
    report.take_top(top(state=BookState.SUSPECT))
    body = report.body(T0)
    assert body.imbalance_1 is body.microprice is None
    assert {one.qty for one in body.ofi} == {None}


def test_depth_is_valued_at_the_mid_and_open_where_the_known_levels_end():
    bids = [(600_000 - n, 10) for n in range(200)]
    asks = [(600_001 + n, 20) for n in range(200)]
    body = liquidity_body(PERP, BookState.SYNCED, bids, asks, T0)
    assert body.mid == pytest.approx(60_000.05)
    assert body.spread_bps == pytest.approx(0.1 / 60_000.05 * 1e4, abs=1e-4)
    nearest = body.bands[0]
    assert nearest.bps == 1.0
    assert nearest.bid_usd == pytest.approx(60 * 10 * 0.01 * 0.01 * 60_000.05, rel=0.02)
    assert nearest.ask_usd == pytest.approx(2 * nearest.bid_usd, rel=0.02)
    assert body.bands[-1].bid_usd is None
    assert liquidity_body(PERP, BookState.SUSPECT, bids, asks, T0).bands == ()


@pytest.mark.req("P-MD-14")
def test_quality_is_ready_only_with_a_proved_book_fresh_data_and_open_gates():
    def body(book="synced", age=50.0, gates=(), **counts):
        return quality_body(
            ID,
            "okx",
            book=book,
            reason="",
            freshness_ms=age,
            freshness_limit_ms=300,
            counts=DataCounts(**counts),
            gates=gates,
        )

    gates = ClosedGates()
    gates.take(tripped(GateCode.CLOCK_SKEW_NOTICE, GateLevel.NOTICE))
    assert body().ready
    assert body(gates=gates.of(ID)).ready, "a notice only tells"
    assert not body(book="suspect").ready
    assert not body(age=301.0).ready
    assert not body(age=None).ready
    gates.take(tripped(GateCode.BOOK_CROSSED, GateLevel.SAFE))
    assert not body(gates=gates.of(ID)).ready
    assert body(messages=900, dropped=100).drop_ratio == 0.1
    assert body().drop_ratio == 0.0


def tripped(code, level, target=ID, when=T0):
    return GateTripped(code=code, scope=GateScope.SYMBOL, target=target, level=level, cause="because", ts_ns=when)


def test_closed_gates_are_those_of_the_target_until_they_open():
    gates = ClosedGates()
    gates.take(tripped(GateCode.BOOK_STALE, GateLevel.PAUSE, when=T0 + 1))
    gates.take(tripped(GateCode.WS_GAP, GateLevel.SAFE, target="okx"))
    gates.take(tripped(GateCode.BOOK_STALE, GateLevel.PAUSE, target="other"))
    assert [gate.code for gate in gates.of(ID, "okx")] == ["ws_gap", "book_stale"]
    gates.take(GateCleared(code=GateCode.WS_GAP, scope=GateScope.VENUE, target="okx", ts_ns=T0))
    gates.take(GateCleared(code=GateCode.WS_GAP, scope=GateScope.VENUE, target="okx", ts_ns=T0))
    assert [gate.code for gate in gates.of(ID, "okx")] == ["book_stale"]


def test_a_clocks_course_is_thinned_and_bounded_and_steps_are_counted_once():
    course = ClockCourse()
    assert course.body("okx", None, notice_ms=500, limit_ms=2000).state == "unknown"
    for second in range(2000):
        course.take(second / 10, is_stepped=100 <= second < 110, now_ns=T0 + second * S)
    body = course.body("okx", 199.9, notice_ms=500, limit_ms=2000)
    assert (body.state, body.steps) == ("ok", 1)
    assert len(body.course) == 120
    times = [when for when, _ in body.course]
    assert {b - a for a, b in pairwise(times)} == {5 * S}
    assert course.body("okx", -500.0, notice_ms=500, limit_ms=2000).state == "notice"
    assert course.body("okx", -2001.0, notice_ms=500, limit_ms=2000).state == "skewed"
    course.take(1.0, is_stepped=True, now_ns=T0)
    assert course.body("okx", 1.0, notice_ms=500, limit_ms=2000).state == "stepped"


def test_a_feed_shows_its_worst_channels_first_and_counts_the_rest():
    channels = [ChannelBody(channel=f"t{n:03}", state="acked", age_ms=float(n), messages=1) for n in range(200)]
    channels.append(ChannelBody(channel="mute", state="unacked", age_ms=None, messages=0, reason="no ack in 2 s"))
    feed = FeedBody(
        venue="okx", view="a", region="home", url="", state="live", role="leader", reason="", age_ms=1.0, since_ns=T0,
        reconnects=0, messages=1, messages_per_s=1.0, bytes=1, dropped=0, duplicates=0, rejected=0,
        channels=tuple(channels),
    )  # fmt: skip
    shown = ranked(feed)
    assert len(shown.channels) == 128
    assert shown.channels_hidden == 73
    assert [one.channel for one in shown.channels[:2]] == ["mute", "t199"]
    assert ranked(shown) == shown
    assert msgspec.to_builtins(shown)["channels"][0]["reason"] == "no ack in 2 s"
