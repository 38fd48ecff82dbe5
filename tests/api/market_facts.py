"""A desk's market data as operators get it: realistic facts made by the desk's own builders."""

from __future__ import annotations

import math
from decimal import Decimal

from api.projection import Projection
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import (
    Aggressor,
    BookState,
    BookTop,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Trade,
)
from trading.market.gates import GateCode, GateLevel, GateScope, GateTripped
from trading.market.opportunity import OpportunityLimits
from trading.market_report.contracts import ContractsReport
from trading.market_report.derivatives import DerivativesReport, LiquidationsReport
from trading.market_report.feeds import ChannelBody, ClockCourse, FeedBody, QuorumBody, ViewBody
from trading.market_report.flow import FlowReport, liquidity_body
from trading.market_report.opportunity import OpportunityReport
from trading.market_report.quality import ClosedGates, DataCounts, quality_body
from trading.operators import Topic
from trading.universe.admission import UniverseRules
from trading.universe.health import VenueHealth
from trading.universe.listing import FundingRule, ListedMarket, listing_of
from trading.universe.registry import Condition, Registry, Window
from trading.universe.report import (
    HealthBody,
    RuleHistory,
    market_meta,
    published,
    universe_body,
    venue_registry,
)
from trading.universe.watch import ListingWatch
from trading.universe.workflow import (
    ApproveMarket,
    DraftMarket,
    SubmitMarket,
    Surroundings,
    UniverseChanged,
    UniverseState,
    decide,
)

S = 1_000_000_000
HOUR = 3_600 * S
PRICES = {"BTC": 67_400.0, "ETH": 3_512.0, "SOL": 178.3}
MARKETS = (
    ("binance", "BINANCE:SPOT:BTC-USDT"),
    ("binanceusdm", "BINANCEUSDM:PERP:BTC-USDT:LINEAR"),
    ("binanceusdm", "BINANCEUSDM:PERP:ETH-USDT:LINEAR"),
    ("okx", "OKX:PERP:BTC-USDT:LINEAR"),
    ("okx", "OKX:SPOT:ETH-USDT"),
    ("bybit", "BYBIT:PERP:SOL-USDT:LINEAR"),
    ("gateio", "GATEIO:SPOT:BTC-USDT"),
)
VENUES = ("binance", "binanceusdm", "okx", "bybit", "gateio")
SUSPECT = "BYBIT:PERP:SOL-USDT:LINEAR"


def instrument(venue: str, instrument_id: str) -> Instrument:
    base = instrument_id.split(":")[2].split("-", maxsplit=1)[0]
    return Instrument(
        instrument_id=instrument_id,
        venue=venue,
        symbol=f"{base}USDT",
        kind=InstrumentKind.LINEAR if ":PERP:" in instrument_id else InstrumentKind.SPOT,
        base=base,
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.1") if base == "BTC" else Decimal("0.01"),
        lot_size=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(1000),
        min_notional=Decimal(5),
        rules_version=f"{base.lower()}-a1b2c3d4",
    )


def price_of(one: Instrument) -> float:
    return PRICES[one.base]


def tell(projection: Projection, now_ns: int, first: bool = True) -> None:
    """Apply everything that the desk would have told by ``now_ns`` (UTC)."""
    for number, (venue, market_id) in enumerate(MARKETS):
        one = instrument(venue, market_id)
        _tell_market(projection, one, number, now_ns)
    for number, venue in enumerate(VENUES):
        _tell_venue(projection, venue, number, now_ns)
    if first:
        _tell_universe(projection, now_ns)


def _tell_market(projection: Projection, one: Instrument, number: int, now_ns: int) -> None:
    suspect = one.instrument_id == SUSPECT
    gates = ClosedGates()
    if suspect:
        for code, level, cause in (
            (GateCode.STREAM_STALE, GateLevel.HOLD, "newest book data is 2140 ms old, limit 1200 ms"),
            (GateCode.ANCHOR_DIVERGENCE, GateLevel.HOLD, "mark 178.61 is 14.2 bps from mid 178.36, limit 10 bps"),
        ):
            gates.take(
                GateTripped(
                    code=code,
                    scope=GateScope.SYMBOL,
                    target=one.instrument_id,
                    level=level,
                    cause=cause,
                    ts_ns=now_ns - 14 * S,
                )
            )
    quality = quality_body(
        one.instrument_id,
        one.venue,
        book="suspect" if suspect else "synced",
        reason="sequence gap 881204 -> 881231" if suspect else "",
        freshness_ms=2140.0 if suspect else 18.0 + 9 * number,
        freshness_limit_ms=300,
        counts=DataCounts(
            messages=1_204_331 - 91_000 * number,
            dropped=412 if suspect else 0,
            duplicates=31 * number,
            late=2 * number,
            misses=7 if suspect else number // 3,
            seq_gaps=3 if suspect else 0,
            resyncs=3 if suspect else 0,
            checksums_ok=0 if one.venue != "okx" else 88_120,
            checksum_failures=0,
            shadow_checks=58,
            shadow_mismatches=1 if suspect else 0,
        ),
        gates=gates.of(one.instrument_id),
        p99_age_ms=104.0 + 7 * number,
        synthetic=True,
    )
    projection.apply(published(Topic.QUALITY, one.instrument_id, quality, now_ns))
    _tell_flow(projection, one, number, now_ns, suspect=suspect)
    if one.kind is InstrumentKind.LINEAR:
        _tell_derivatives(projection, one, number, now_ns)


def _tell_flow(projection: Projection, one: Instrument, number: int, now_ns: int, *, suspect: bool) -> None:
    mid = int(price_of(one) / float(one.tick_size))
    flow = FlowReport(one)
    chances = OpportunityReport(one, OpportunityLimits(bucket_lots=300, drought_s=20, buckets=20, toxic_s=1))
    judge = ContractsReport(one.instrument_id, one.venue)
    bids = asks = ()
    for second in range(130):
        when = now_ns - (130 - second) * S
        drift = int(6 * math.sin(second / 9 + number))
        tilt = 1 + 0.6 * math.sin(second / 17 + 2 * number)
        levels = range(10 if second < 129 else 400)  # a top is a few levels; the depth is told of the last book only
        bids = tuple((mid + drift - 3 * level, int(900 * tilt) + 140 * level) for level in levels)
        asks = tuple((mid + drift + 1 + 3 * level, 900 + 140 * level) for level in levels)
        top = BookTop(
            instrument_id=one.instrument_id,
            state=BookState.SUSPECT if suspect and second > 100 else BookState.SYNCED,
            update_id=second,
            bids=bids[:10],
            asks=asks[:10],
            ts_event_ns=when,
            ts_recv_ns=when,
        )
        trade = Trade(
            instrument_id=one.instrument_id,
            trade_id=second - second % 7 if suspect else second,
            price_ticks=mid,
            qty_lots=200 + 90 * number,
            aggressor=Aggressor.SELL if suspect or (second + number) % 3 else Aggressor.BUY,
            ts_event_ns=when // 1000 if suspect and second == 77 else when,
            ts_recv_ns=when,
        )
        flow.take_top(top)
        flow.take_trade(trade)
        chances.take_top(top, when)
        chances.take_trade(trade, when)
        judge.take(top, when)
        judge.take(trade, when)
    chances.take_time(now_ns)
    projection.apply(published(Topic.OPPORTUNITY, one.instrument_id, chances.body(now_ns, synthetic=True), now_ns))
    projection.apply(published(Topic.CONTRACTS, one.instrument_id, judge.body(now_ns, synthetic=True), now_ns))
    projection.apply(published(Topic.FLOW, one.instrument_id, flow.body(now_ns, synthetic=True), now_ns))
    state = BookState.SUSPECT if suspect else BookState.SYNCED
    depth = liquidity_body(one, state, bids, asks, now_ns, synthetic=True)
    projection.apply(published(Topic.LIQUIDITY, one.instrument_id, depth, now_ns))


def _tell_derivatives(projection: Projection, one: Instrument, number: int, now_ns: int) -> None:
    price = Decimal(str(price_of(one)))
    report = DerivativesReport(one)
    for step in range(4):
        report.take(
            MarkPrice(
                instrument_id=one.instrument_id,
                mark_price=price * Decimal("1.0004"),
                index_price=price,
                funding_rate=Decimal("0.0001") * (step - number),
                next_funding_ns=now_ns + (8 * step - 22) * HOUR,
                ts_event_ns=now_ns,
                ts_recv_ns=now_ns,
            )
        )
    open_qty = Decimal(81_230 - 9_000 * number)
    report.take(OpenInterest(instrument_id=one.instrument_id, qty=open_qty, ts_event_ns=now_ns, ts_recv_ns=now_ns))
    ratio = Decimal("1.42") - Decimal("0.3") * number
    report.take(LongShortRatio(instrument_id=one.instrument_id, ratio=ratio, ts_event_ns=now_ns, ts_recv_ns=now_ns))
    projection.apply(published(Topic.DERIVATIVES, one.instrument_id, report.body(synthetic=True), now_ns))
    liquidations = LiquidationsReport(one)
    for step in range(9):
        liquidations.take(
            Liquidation(
                instrument_id=one.instrument_id,
                side=PositionSide.SHORT if step % 4 == 0 else PositionSide.LONG,
                price=price,
                qty=Decimal("0.35") * (step + 1),
                ts_event_ns=now_ns - (9 - step) * (40 + 15 * number) * S,
                ts_recv_ns=now_ns,
            )
        )
    body = liquidations.body(now_ns, synthetic=True)
    projection.apply(published(Topic.LIQUIDATIONS, one.instrument_id, body, now_ns))


def _tell_venue(projection: Projection, venue: str, number: int, now_ns: int) -> None:
    markets = [market_id for name, market_id in MARKETS if name == venue]
    views = ("a", "b") if venue != "gateio" else ("ccxt",)
    for index, view in enumerate(views):
        late = venue == "bybit" and view == "b"
        channels = tuple(
            ChannelBody(
                channel=f"{kind}:{market_id.split(':')[2]}",
                state="unacked" if late and kind == "trades" else "acked",
                age_ms=None if late and kind == "trades" else 20.0 + 11 * number + 5 * index,
                messages=41_200,
                reason="no ack in 2 s" if late and kind == "trades" else "",
            )
            for market_id in markets
            for kind in ("books", "bbo", "trades")
        )
        feed = FeedBody(
            venue=venue,
            view=view,
            region="tokyo" if view != "b" else "frankfurt",
            url=f"ws://127.0.0.1:4{number}00/{view}",
            state="backoff" if late else "live",
            role="quarantined" if late else "leader" if index == 0 else "spare",
            reason="pong came, data did not: mute for 1620 ms" if late else "",
            age_ms=1620.0 if late else 14.0 + 6 * number + 3 * index,
            since_ns=now_ns - (40 if late else 5_400) * S,
            reconnects=4 if late else index,
            messages=880_000 - 60_000 * number,
            messages_per_s=0.0 if late else 241.5 - 30 * number,
            bytes=190_000_000,
            dropped=0,
            duplicates=24_000,
            rejected=0,
            channels=channels,
            reserve=venue == "gateio",
            synthetic=True,
        )
        projection.apply(published(Topic.FEED, f"{venue}/{view}", feed, now_ns))
    lost = venue == "bybit"
    quorum = QuorumBody(
        venue=venue,
        state="thin" if lost or len(views) == 1 else "met",
        fresh=1 if lost else len(views),
        needed=1,
        leader=views[0],
        views=tuple(
            ViewBody(
                view=view,
                region="tokyo" if view != "b" else "frankfurt",
                role="quarantined" if lost and view == "b" else "leader" if view == views[0] else "spare",
                fresh=not (lost and view == "b"),
                lag_ms=1600.0 if lost and view == "b" else 2.0,
            )
            for view in views
        ),
        failovers=1 if lost else 0,
        failover_ms=412.0 if lost else None,
        quarantines=1 if lost else 0,
        synthetic=True,
    )
    projection.apply(published(Topic.QUORUM, venue, quorum, now_ns))
    course = ClockCourse()
    skew = 0.0
    for point in range(120):
        skew = (3 + 2 * number) * math.sin(point / 11 + number) + (610.0 if venue == "okx" and point > 90 else 0.0)
        course.take(skew, is_stepped=False, now_ns=now_ns - (120 - point) * 5 * S)
    clock = course.body(venue, skew, notice_ms=500, limit_ms=2000, synthetic=True)
    projection.apply(published(Topic.CLOCK, venue, clock, now_ns))
    registry = Registry()
    if venue == "gateio":
        registry.put(
            Window(
                window_id="notice-1",
                scope="venue:gateio",
                condition=Condition.MAINTENANCE,
                begin_ns=now_ns + HOUR,
                end_ns=now_ns + 2 * HOUR,
                cause="spot matching engine upgrade",
            )
        )
    if lost:
        registry.put(
            Window(
                window_id="slow",
                scope="venue:bybit",
                condition=Condition.DEGRADED,
                begin_ns=now_ns - 30 * S,
                end_ns=0,
                cause="health is 61: streams were down for 40 s",
            )
        )
    registry.tick(now_ns)
    health = VenueHealth(0)
    health.on_connection(not lost, 0)
    health.on_messages(100_000, 120 * number, 1 if lost else 0, 20 * S)
    health.on_connection(True, 20 * S)
    parts = health.parts(60 * S)
    body = venue_registry(venue, registry, HealthBody(verdict=health.judge(60 * S), parts=parts), markets, now_ns)
    projection.apply(published(Topic.REGISTRY, venue, body, now_ns))


def _tell_universe(projection: Projection, now_ns: int) -> None:
    listed: dict[str, list[ListedMarket]] = {}
    for venue, market_id in MARKETS:
        funding = FundingRule(interval_min=480) if ":PERP:" in market_id else None
        listed.setdefault(venue, []).append(
            ListedMarket(instrument=instrument(venue, market_id), status="TRADING", funding=funding)
        )
    listings = {venue: listing_of(venue, now_ns, markets) for venue, markets in listed.items()}
    prices = {market_id: Decimal(str(price_of(instrument(venue, market_id)))) for venue, market_id in MARKETS}
    around = Surroundings(listings=listings, prices=prices, rules=UniverseRules())
    state, audit = UniverseState(), []
    eth = "OKX:SPOT:ETH-USDT"
    namesakes = ("BINANCEUSDM:PERP:ETH-USDT:LINEAR",)
    for command in (
        DraftMarket(instrument_id=eth, actor="ann", note="wide book"),
        SubmitMarket(instrument_id=eth, actor="ann", confirmed_namesakes=namesakes),
        None,
        DraftMarket(instrument_id="BYBIT:PERP:SOL-USDT:LINEAR", actor="bob"),
    ):
        wanted = command or ApproveMarket(instrument_id=eth, actor="bob", facts_hash=state.entries[eth].facts_hash)
        state, said = decide(state, wanted, around, now_ns)
        assert isinstance(said, UniverseChanged), said
        audit.insert(0, said)
    body = universe_body(state, around.rules, audit)
    projection.apply(published(Topic.UNIVERSE, "all", body, now_ns))
    history = RuleHistory()
    for venue, markets in listed.items():
        watch = ListingWatch(venue)
        watch.take(listings[venue])
        for market in markets:
            for change in watch.take(listings[venue]):
                history.take(change)
            meta = market_meta(market, state, history, synthetic=True)
            projection.apply(published(Topic.META, market.instrument_id, meta, now_ns))
