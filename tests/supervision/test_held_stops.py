"""Stops that the venue holds below the desk's own watch: a whole desk, its wire, and the venue's server."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest

from adapters.journal.store import open_reader, read_rows
from supervision.conformance.order_rig import OrderRig
from tests.waiting import PATIENCE_S
from trading.market.events import MarkPrice
from trading.orders.journal_rows import JournalKind, ProtectEvent, decode_body
from trading.orders.messages import OrdType, TargetIntent, TriggerPriceType, Urgency
from trading.protection.leg import ExitStatus

VENUES = ("bybit", "binanceusdm", "okx", "binancecoinm")


@contextlib.asynccontextmanager
async def protected(venue, directory, at_venue="stop_loss"):
    """A desk whose strategies want nothing of their own, and whose positions are closed by themselves."""
    rig = OrderRig(venue, directory)
    config = rig._config
    exits = config.risk.protective_exits.model_copy(update={"held_by": "both", "at_venue": at_venue, "cooldown_s": 600})
    risk = config.risk.model_copy(update={"protective_exits": exits})
    strategies = {n: s.model_copy(update={"protective_exits": n == "quoter"}) for n, s in config.strategies.items()}
    rig._config = config.model_copy(update={"risk": risk, "strategies": strategies})
    try:
        await rig.start()
        rig.want(orders=False)
        await rig.until(rig.is_trading, "a desk that may trade", PATIENCE_S)
        yield rig
        assert rig.trouble_inside() == []
        assert rig.breaches == []
    finally:
        await rig.close()


def wants(rig, lots, number):
    now = rig.clock.wall_ns()
    intent = TargetIntent(
        intent_id=f"quoter:test:{number}",
        strategy_id="quoter",
        instrument_id=rig.instrument.instrument_id,
        target_lots=lots,
        urgency=Urgency.AGGRESSIVE,
        limit_ticks=None,
        confidence=1.0,
        ttl_ns=600_000_000_000,
        reasons=("a test",),
        cause="a test",
        ts_init_ns=now,
    )
    rig.base.inject("protection", intent)


def leg_of(rig):
    return next((leg for leg in rig.base.actor("protection").core.legs() if leg.strategy_id == "quoter"), None)


def waiting(rig):
    """What the venue holds: lots and price."""
    return [
        (order.order_lots, order.trigger.trigger_price, order.reduce_only)
        for order in rig.server.account.working()
        if order.waits
    ]


def guarded(rig, lots):
    """Whether there is one stop at the venue, of all that is held and at the level that the desk watches."""
    leg = leg_of(rig)
    if leg is None or leg.levels is None or rig.instrument.lots_floor(abs(leg.holding.qty)) != lots:
        return False
    return waiting(rig) == [(lots, leg.levels.stop_loss, True)]


def held(rig):
    return rig.server.account.exchange.account.position(rig.instrument.instrument_id).qty


def triggers(rig):
    db = open_reader(rig.journal)
    try:
        rows = [decode_body(row.body) for row in read_rows(db) if row.kind is JournalKind.PROTECT]
    finally:
        db.close()
    return [body for body in rows if body.event is ProtectEvent.TRIGGER]


def venue_falls(rig, price, kind=TriggerPriceType.MARK):
    rig.server.account.on_price(rig.instrument.instrument_id, kind, price)


def desk_sees(rig, price):
    now = rig.clock.wall_ns()
    mark = MarkPrice(
        instrument_id=rig.instrument.instrument_id,
        mark_price=price,
        index_price=None,
        funding_rate=None,
        next_funding_ns=None,
        ts_event_ns=now,
        ts_recv_ns=now,
    )
    rig.base.inject("protection", mark)


@pytest.mark.req("C-RISK-7", "P-ORD-10")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_position_has_one_stop_at_the_venue_that_follows_it_and_closes_it_once(venue, tmp_path):
    async with protected(venue, tmp_path) as rig:
        lots = rig.lots(260.0)
        wants(rig, lots, 1)
        await rig.until(lambda: guarded(rig, lots), "a stop at the venue", PATIENCE_S)
        wants(rig, 2 * lots, 2)
        await rig.until(lambda: guarded(rig, 2 * lots), "the stop of twice as much", PATIENCE_S)
        assert held(rig) == rig.instrument.qty(2 * lots)
        level = leg_of(rig).levels.stop_loss
        venue_falls(rig, level)
        await rig.until(lambda: leg_of(rig).status is ExitStatus.COOLING, "the end of the exit", PATIENCE_S)
        assert (held(rig), waiting(rig)) == (0, [])
        (fired,) = triggers(rig)
        assert "the venue's price" in fired.text
        wants(rig, lots, 3)  # it pauses, whoever closed it
        await rig.until(lambda: "quoter" in str(leg_of(rig).waiting), "a wish that waits", PATIENCE_S)
        assert held(rig) == 0


@pytest.mark.req("C-RISK-7", "P-ORD-10")
async def test_the_stop_goes_with_its_position_and_both_closing_at_once_close_it_once(tmp_path):
    async with protected("binanceusdm", tmp_path) as rig:
        lots = rig.lots(260.0)
        wants(rig, lots, 1)
        await rig.until(lambda: guarded(rig, lots), "a stop at the venue", PATIENCE_S)
        wants(rig, 0, 2)  # the strategy closes it itself: what the stop holds is not in the way of that
        await rig.until(lambda: not held(rig) and not waiting(rig), "neither position nor stop", PATIENCE_S)
        assert triggers(rig) == []
        wants(rig, -lots, 3)
        await rig.until(lambda: guarded(rig, lots), "a stop above a short position", PATIENCE_S)
        level = leg_of(rig).levels.stop_loss
        venue_falls(rig, level)
        desk_sees(rig, level + Decimal(10))
        await rig.until(lambda: leg_of(rig).status is ExitStatus.COOLING, "the end of the exit", PATIENCE_S)
        await rig.until(rig.is_settled, "nothing open", PATIENCE_S)
        assert (held(rig), waiting(rig), len(triggers(rig))) == (0, [], 1)


@pytest.mark.req("C-RISK-7", "P-ORD-10", "P-ORD-3")
async def test_a_desk_that_comes_back_knows_the_stop_that_the_venue_holds_for_it(tmp_path):
    async with protected("bybit", tmp_path) as rig:
        lots = rig.lots(260.0)
        wants(rig, lots, 1)
        await rig.until(lambda: guarded(rig, lots), "a stop at the venue", PATIENCE_S)
        numbers = {order.order_no for order in rig.server.account.working() if order.waits}
        rig.drill("orders")
        rig.ask_again()
        died = rig.base.actor("protection")
        await rig.until(lambda: rig.base.actor("protection") not in {None, died}, "a new life", PATIENCE_S)
        rig.want(orders=False)
        await rig.until(rig.is_trading, "a desk that may trade", PATIENCE_S)
        await rig.until(lambda: rig.base.actor("protection").core is not None and guarded(rig, lots), "it", PATIENCE_S)
        assert {order.order_no for order in rig.server.account.working() if order.waits} == numbers
        venue_falls(rig, leg_of(rig).levels.stop_loss)
        await rig.until(lambda: leg_of(rig).status is ExitStatus.COOLING, "the end of the exit", PATIENCE_S)
        assert (held(rig), waiting(rig), len(triggers(rig))) == (0, [], 1)


def paired(rig, lots):
    """Whether both exits are at the venue, each of all that is held."""
    leg = leg_of(rig)
    if leg is None or leg.levels is None or rig.instrument.lots_floor(abs(leg.holding.qty)) != lots:
        return False
    prices = (leg.levels.stop_loss, leg.levels.take_profit)
    return sorted(waiting(rig)) == sorted((lots, price, True) for price in prices)


@pytest.mark.req("C-RISK-7", "P-ORD-10")
@pytest.mark.parametrize("venue", VENUES)
async def test_stop_and_take_profit_at_the_venue_are_one_list_and_close_a_position_once(venue, tmp_path):
    async with protected(venue, tmp_path, "oco") as rig:
        lots = rig.lots(260.0)
        wants(rig, lots, 1)
        await rig.until(lambda: paired(rig, lots), "both at the venue", PATIENCE_S)
        wants(rig, 2 * lots, 2)
        await rig.until(lambda: paired(rig, 2 * lots), "both of twice as much", PATIENCE_S)
        venue_falls(rig, leg_of(rig).levels.take_profit)  # it rises, this time
        await rig.until(lambda: leg_of(rig).status is ExitStatus.COOLING, "the end of the exit", PATIENCE_S)
        await rig.until(rig.is_settled, "nothing open", PATIENCE_S)
        assert (held(rig), waiting(rig)) == (0, [])
        (fired,) = triggers(rig)
        assert (fired.reason, "its take-profit" in fired.text) == ("take_profit", True)
        mine = [order for order in rig.core._done.values() if order.proposed.contingency is not None]
        ends = {(order.proposed.ord_type, order.ord_status.value) for order in mine[-2:]}
        assert ends == {(OrdType.STOP, "canceled"), (OrdType.TAKE_PROFIT, "filled")}
        assert rig.core.twins_canceled == 1
