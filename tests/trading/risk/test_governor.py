"""The risk core: what is approved and why, what is denied and by which limit, what trips a brake."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.brakes import Level, Release
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop
from trading.orders.journal_rows import PlaceBody, decode_body, encode_body
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    Leg,
    OrderDenied,
    OrderFilled,
    OrderUpdated,
    OrdStatus,
    OrdType,
    ProposedOrder,
    Side,
    TimeInForce,
)
from trading.risk.checks import tell_checks
from trading.risk.governor import RiskGovernor
from trading.risk.limits import OPERATOR, RiskLimits

D = Decimal
MS = 1_000_000
SECOND = 1000 * MS


def reason(decided):
    return decided.reason if isinstance(decided, OrderDenied) else None


@pytest.mark.req("P-RSK-1")
def test_an_approval_lists_every_limit_with_its_use(kit):
    approved = kit.desk().decide(kit.desk().order())
    assert isinstance(approved, ApprovedOrder)
    assert approved.epoch == 3
    checks = tell_checks(approved)
    assert checks["order_notional_usd"] == "100.00/1000"
    assert checks["position_usd"] == "100.00/5000"
    assert all("/" in text for text in checks.values())
    journalled = decode_body(encode_body(PlaceBody(approved)))
    assert isinstance(journalled, PlaceBody)
    assert tell_checks(journalled.approved) == checks


@pytest.mark.req("P-RSK-1")
@pytest.mark.parametrize(
    ("fields", "expected", "words"),
    [
        ({"qty": "0.021"}, DenyReason.MAX_ORDER_NOTIONAL, ("1050.00", "1000", "symbol:")),
        ({"price": "50500.1"}, DenyReason.PRICE_BAND, ("100.0 bps", "100 bps", "symbol:")),
        ({"price": "49400"}, DenyReason.PRICE_BAND, ("-120.0 bps", "100 bps")),
        ({"price": "50110", "tif": TimeInForce.IOC}, DenyReason.PRICE_BAND, ("22.0 bps", "20 bps")),
        ({"price": None, "tif": TimeInForce.IOC}, DenyReason.PRICE_BAND, ("market order",)),
        ({"instrument_id": "X:SPOT:A-B"}, DenyReason.UNKNOWN_INSTRUMENT, ("X:SPOT:A-B",)),
        ({"venue": "binance"}, DenyReason.UNKNOWN_INSTRUMENT, ("binance",)),
        ({"price": "50000.05"}, DenyReason.FILTER_TICK, ("50000.05", "0.1")),
        ({"qty": "0.0005"}, DenyReason.FILTER_LOT, ("0.0005",)),
    ],
)
def test_an_order_outside_a_corridor_is_denied_with_number_and_limit(kit, fields, expected, words):
    desk = kit.desk()
    denied = desk.decide(desk.order(**fields))
    assert reason(denied) is expected
    assert all(word in denied.text for word in words), denied.text


@pytest.mark.req("P-EXE-23")
def test_an_aggressive_order_within_the_slippage_bound_passes(kit):
    desk = kit.desk()
    assert isinstance(desk.decide(desk.order(price="50100", tif=TimeInForce.IOC)), ApprovedOrder)


@pytest.mark.req("P-MD-3")
def test_no_order_passes_without_a_proved_and_fresh_book(kit):
    desk = kit.desk(tops=False)
    assert reason(desk.decide(desk.order())) is DenyReason.BOOK_NOT_SYNCED
    for state in (BookState.SUSPECT, BookState.RESYNC, BookState.HALT):
        desk.top(kit.PERP, state=state)
        assert reason(desk.decide(desk.order())) is DenyReason.BOOK_NOT_SYNCED
    desk.top(kit.PERP)
    ioc = {"tif": TimeInForce.IOC}
    assert reason(desk.decide(desk.order(**ioc), kit.NOW + 1201 * MS)) is DenyReason.BOOK_STALE
    assert reason(desk.decide(desk.order(**ioc), kit.NOW + 1200 * MS)) is None


@pytest.mark.req("P-ORD-8")
def test_a_post_only_order_needs_a_fresher_book(kit):
    desk = kit.desk()
    assert reason(desk.decide(desk.order(), kit.NOW + 501 * MS)) is DenyReason.POST_ONLY_STALE
    assert reason(desk.decide(desk.order(), kit.NOW + 500 * MS)) is None


@pytest.mark.req("P-RSK-2")
@pytest.mark.parametrize(
    ("limits", "expected", "scope"),
    [
        ({"max_position_notional_usd": D(199)}, DenyReason.MAX_POSITION, "symbol:BINANCEUSDM"),
        ({"max_venue_notional_usd": D(199)}, DenyReason.MAX_VENUE_NOTIONAL, "venue:binanceusdm"),
        ({"by_venue_notional_usd": {"binanceusdm": D(199)}}, DenyReason.MAX_VENUE_NOTIONAL, "venue:binanceusdm"),
        ({"max_global_notional_usd": D(199)}, DenyReason.MAX_GLOBAL_NOTIONAL, "global"),
        ({"max_long_notional_usd": D(199)}, DenyReason.MAX_GLOBAL_NOTIONAL, "global long"),
        ({"max_inflight_orders": 1}, DenyReason.MAX_INFLIGHT, "global"),
        ({"max_open_orders": 1}, DenyReason.MAX_INFLIGHT, "global"),
        ({"orders_per_sec": 1}, DenyReason.ORDER_RATE, "global"),
        ({"orders_per_symbol_per_min": 1}, DenyReason.ORDER_RATE, "symbol:BINANCEUSDM"),
    ],
)
def test_each_level_of_limits_counts_what_is_already_on_its_way(kit, limits, expected, scope):
    desk = kit.desk(**limits)
    assert reason(desk.decide(desk.order())) is None
    denied = desk.decide(desk.order())
    assert reason(denied) is expected
    assert scope in denied.text


@pytest.mark.req("P-RSK-2")
def test_concurrent_positions_are_counted(kit):
    desk = kit.desk(max_concurrent_positions=1)
    assert reason(desk.decide(desk.order(kit.PERP))) is None
    assert reason(desk.decide(desk.order(kit.SPOT))) is DenyReason.MAX_POSITION
    assert reason(desk.decide(desk.order(kit.PERP))) is None


@pytest.mark.req("P-RSK-1")
def test_the_sixth_order_within_a_second_waits(kit):
    desk = kit.desk()
    decided = [reason(desk.decide(desk.order(), kit.NOW + i)) for i in range(6)]
    assert decided == [None] * 5 + [DenyReason.ORDER_RATE]
    desk.top(kit.PERP, now_ns=kit.NOW + SECOND)
    assert reason(desk.decide(desk.order(), kit.NOW + SECOND)) is None


def test_an_unknown_order_stays_in_exposure_however_old_it_gets(kit):
    desk = kit.desk(max_position_notional_usd=D(150))
    order = desk.order()
    desk.decide(order)
    desk.update(order, OrdStatus.UNKNOWN)
    for days in (0, 1, 365):
        later = kit.NOW + days * 86_400 * SECOND
        desk.top(kit.PERP, now_ns=later)
        assert reason(desk.decide(desk.order(), later)) is DenyReason.MAX_POSITION
    desk.update(order, OrdStatus.REJECTED)
    assert reason(desk.decide(desk.order(), later)) is None


def test_a_terminal_word_frees_only_what_it_does_not_speak_of(kit):
    desk = kit.desk()
    order = desk.order(qty="0.010")
    desk.decide(order)
    desk.update(order, OrdStatus.CANCELED, cum="0.004")
    assert desk.exposure()["open_buy_qty"] == "0.004"
    desk.fill(order, "0.004")
    assert desk.exposure() | {"worst_case_usd": 0} == {
        "position": "0.004",
        "open_buy_qty": "0",
        "open_sell_qty": "0",
        "working": 0,
        "unanswered": 0,
        "worst_case_usd": 0,
    }


def test_what_the_gateway_refused_is_no_exposure(kit):
    desk = kit.desk(max_position_notional_usd=D(150))
    order = desk.order()
    approved = desk.decide(order)
    assert isinstance(approved, ApprovedOrder)
    desk.governor.on_denied(desk.decide(order))
    assert desk.exposure()["working"] == 0


def test_an_id_is_decided_once(kit):
    desk = kit.desk()
    order = desk.order()
    assert reason(desk.decide(order)) is None
    desk.update(order, OrdStatus.REJECTED)
    assert reason(desk.decide(order)) is DenyReason.DUPLICATE


def test_an_order_that_meets_our_own_is_denied(kit):
    desk = kit.desk()
    assert reason(desk.decide(desk.order(price="50000.1", side=Side.SELL))) is None
    assert reason(desk.decide(desk.order(price="50000.1", tif=TimeInForce.IOC))) is DenyReason.SELF_TRADE
    assert reason(desk.decide(desk.order(price="50000.0", tif=TimeInForce.IOC))) is None


@pytest.mark.req("P-ORD-9")
def test_reduce_only_never_flips_a_position(kit):
    desk = kit.desk()
    desk.governor.restore({kit.PERP: D("0.010")})
    sell = {"side": Side.SELL, "reduce_only": True, "tif": TimeInForce.IOC}
    assert reason(desk.decide(desk.order(qty="0.011", **sell))) is DenyReason.REDUCE_ONLY
    assert reason(desk.decide(desk.order(qty="0.002", side=Side.BUY, reduce_only=True))) is DenyReason.REDUCE_ONLY
    assert reason(desk.decide(desk.order(qty="0.006", **sell))) is None
    denied = desk.decide(desk.order(qty="0.005", **sell))
    assert reason(denied) is DenyReason.REDUCE_ONLY, "what already works counts"
    assert "reducible 0.004" in denied.text
    assert reason(desk.decide(desk.order(qty="0.004", **sell))) is None


@pytest.mark.parametrize(
    ("level", "scope"),
    [(4, "global"), (3, "venue:binanceusdm"), (3, "symbol:BINANCEUSDM:PERP:BTC-USDT:LINEAR"), (3, "strategy:s")],
)
def test_hold_on_any_scope_of_an_order_stops_it(kit, level, scope):
    desk = kit.desk()
    desk.governor.restore({kit.PERP: D("0.010")})
    desk.governor.set_modes({scope: level, "venue:elsewhere": 4})
    denied = desk.decide(desk.order(side=Side.SELL, reduce_only=True))
    assert reason(denied) is DenyReason.BRAKE
    assert scope in denied.text
    assert f"level {level}" in denied.text
    if scope != "global":
        assert (
            reason(desk.decide(desk.order(kit.SPOT, legs=(Leg(strategy_id="t", intent_id="i", qty=D("0.002")),))))
            is None
        )


def test_an_operators_flattening_passes_hold(kit):
    desk = kit.desk()
    desk.governor.restore({kit.PERP: D("0.010")})
    desk.governor.set_modes({"global": 4})
    desk.governor.set_pnl(D(-10_000))
    legs = (Leg(strategy_id=OPERATOR, intent_id="flatten", qty=D("0.010")),)
    flat = desk.order(qty="0.010", side=Side.SELL, reduce_only=True, tif=TimeInForce.IOC, legs=legs)
    assert reason(desk.decide(flat)) is None


def test_pause_lets_only_reductions_pass(kit):
    desk = kit.desk()
    desk.governor.restore({kit.PERP: D("0.010"), kit.SPOT: D("0.010")})
    desk.governor.set_modes({"global": 2})
    sell = {"side": Side.SELL, "tif": TimeInForce.IOC}
    assert reason(desk.decide(desk.order(**sell))) is DenyReason.BRAKE
    assert reason(desk.decide(desk.order(reduce_only=True, **sell))) is None
    assert reason(desk.decide(desk.order(kit.SPOT, **sell))) is None, "spot has no flag, its position is the proof"
    assert reason(desk.decide(desk.order(kit.SPOT, qty="0.009", **sell))) is DenyReason.BRAKE


def test_safe_is_post_only_and_smaller(kit):
    desk = kit.desk()
    desk.governor.set_modes({"global": 1})
    assert reason(desk.decide(desk.order(tif=TimeInForce.IOC))) is DenyReason.BRAKE
    assert reason(desk.decide(desk.order(qty="0.011"))) is DenyReason.MAX_ORDER_NOTIONAL
    assert reason(desk.decide(desk.order(qty="0.010"))) is None


@pytest.mark.req("P-RSK-17")
def test_the_daily_loss_cap_stops_orders_and_asks_for_hold_once(kit):
    desk = kit.desk()
    desk.governor.set_pnl(D("-249.99"))
    assert reason(desk.decide(desk.order())) is None
    desk.governor.set_pnl(D(-250))
    denied = desk.decide(desk.order())
    assert reason(denied) is DenyReason.DAILY_LOSS
    assert "-250" in denied.text
    by_code = {b.code: b for b in desk.governor.trips(kit.NOW)}
    assert by_code["DAILY_LOSS"].level is Level.HOLD
    assert by_code["DAILY_LOSS"].release is Release.TWO_MAN
    assert by_code["DAILY_LOSS"].scope == "global"
    assert "250" in by_code["DAILY_LOSS"].cause
    assert desk.governor.trips(kit.NOW) == []
    desk.governor.start_day()
    assert desk.governor.trips(kit.NOW) == []
    desk.governor.set_pnl(D(-300))
    assert "DAILY_LOSS" in {b.code for b in desk.governor.trips(kit.NOW)}


@pytest.mark.req("P-RSK-17")
def test_a_drawdown_from_the_days_best_steps_down_before_it_stops(kit):
    desk = kit.desk(daily_loss_cap_usd=D(10_000))
    desk.governor.set_pnl(D(500))
    desk.governor.set_pnl(D(290))
    assert [(b.code, b.level) for b in desk.governor.trips(kit.NOW)] == [("DRAWDOWN_SAFE", Level.SAFE)]
    desk.governor.set_pnl(D(240))
    assert [(b.code, b.level) for b in desk.governor.trips(kit.NOW)] == [("DRAWDOWN_HOLD", Level.HOLD)]


def test_a_position_that_is_not_ours_pauses_its_symbol(kit):
    desk = kit.desk()
    desk.governor.restore({kit.PERP: D("0.2")})
    assert [(b.code, b.scope, b.level) for b in desk.governor.trips(kit.NOW)] == [
        ("POSITION_BREACH", f"symbol:{kit.PERP}", Level.PAUSE)
    ]


def test_restored_orders_are_exposure(kit):
    desk = kit.desk(max_position_notional_usd=D(150))
    desk.update(desk.order(), OrdStatus.NEW)
    assert reason(desk.decide(desk.order())) is DenyReason.MAX_POSITION
    assert desk.governor.utilisation()[f"symbol:{kit.PERP}"] == D(100) / D(150)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["new", "ack", "fill", "cancel", "unknown", "late_fill"]),
        st.sampled_from(Side),
        st.integers(1, 20),
        st.integers(0, 50),
    ),
    max_size=60,
)


@pytest.mark.req("P-RSK-2")
@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_fills_the_position_never_exceeds_its_limit(steps):
    spec = Instrument(
        instrument_id="i",
        venue="v",
        symbol="S",
        kind=InstrumentKind.LINEAR,
        base="B",
        quote="Q",
        settle="Q",
        tick_size=D(1),
        lot_size=D(1),
        min_qty=D(1),
        max_qty=D(1000),
        min_notional=D(0),
    )
    limits = RiskLimits(
        max_position_notional_usd=D(3000),
        orders_per_sec=1000,
        orders_per_symbol_per_min=1000,
        max_order_notional_usd=D(2000),
    )
    governor = RiskGovernor({"i": spec}, limits, 1)
    governor.on_top(
        BookTop(
            instrument_id="i",
            state=BookState.SYNCED,
            update_id=1,
            bids=((99, 1),),
            asks=((101, 1),),
            ts_event_ns=1,
            ts_recv_ns=1,
        )
    )
    position, live, seen = 0, [], 0

    def update(o, status, cum):
        return OrderUpdated(
            venue="v",
            instrument_id="i",
            cl_ord_id=o.cl_ord_id,
            side=o.side,
            ord_type=o.ord_type,
            time_in_force=o.time_in_force,
            ord_status=status,
            order_qty=o.order_qty,
            price=o.price,
            cum_qty=D(cum),
            leaves_qty=D(0),
            avg_px=D(0),
            reduce_only=False,
            legs=o.legs,
            text="",
            cause="",
            ts_init_ns=1,
        )

    def fill(o, qty):
        return OrderFilled(
            venue="v",
            instrument_id="i",
            cl_ord_id=o.cl_ord_id,
            exec_id="e",
            exec_seq=1,
            side=o.side,
            last_qty=D(qty),
            last_px=o.price,
            liquidity=None,
            fee=D(0),
            fee_asset="Q",
            legs=o.legs,
            ts_event_ns=1,
            ts_init_ns=1,
        )

    for what, side, qty, pick in steps:
        if what == "new":
            seen += 1
            order = ProposedOrder(
                cl_ord_id=f"o{seen}",
                venue="v",
                instrument_id="i",
                side=side,
                ord_type=OrdType.LIMIT,
                time_in_force=TimeInForce.GTX,
                order_qty=D(qty),
                price=D(99 if side is Side.BUY else 101),
                reduce_only=False,
                legs=(),
                replaces=None,
                ref_price=D(100),
                book_update_id=1,
                book_ts_recv_ns=1,
                story={},
                cause="",
                ts_init_ns=1,
            )
            if isinstance(governor.decide(order, 1), ApprovedOrder):
                live.append([order, 0])
        elif live:
            entry = live[pick % len(live)]
            order, cum = entry
            if what in ("ack", "unknown"):
                governor.on_order(update(order, OrdStatus.NEW if what == "ack" else OrdStatus.UNKNOWN, cum))
            elif what == "cancel":
                governor.on_order(update(order, OrdStatus.CANCELED, cum))
                live.remove(entry)
            else:
                part = min(qty, int(order.order_qty) - cum)
                entry[1] += part
                position += order.side.sign * part
                done = entry[1] == order.order_qty
                reports = [fill(order, part)] if part else []
                status = OrdStatus.FILLED if done else OrdStatus.PARTIALLY_FILLED
                # The terminal word may come before the fill it speaks of.
                reports.insert(0 if what == "late_fill" else len(reports), update(order, status, entry[1]))
                for report in reports:
                    (governor.on_fill if isinstance(report, OrderFilled) else governor.on_order)(report)
                if done:
                    live.remove(entry)
        assert abs(position) * 100 <= limits.max_position_notional_usd
        shown = governor.view()["instruments"]["i"]
        assert D(shown["position"]) == position
        long = position + sum(int(o.order_qty) - c for o, c in live if o.side is Side.BUY)
        short = -position + sum(int(o.order_qty) - c for o, c in live if o.side is Side.SELL)
        assert D(shown["worst_case_usd"]) == max(long, short, 0) * 100


def test_a_fee_taken_in_coins_is_not_counted_as_held(kit):
    desk = kit.desk()
    order = desk.order(kit.SPOT, qty="0.010")
    desk.decide(order)
    desk.governor.on_fill(
        OrderFilled(
            venue=order.venue,
            instrument_id=kit.SPOT,
            cl_ord_id=order.cl_ord_id,
            exec_id="e",
            exec_seq=1,
            side=order.side,
            last_qty=order.order_qty,
            last_px=D(50000),
            liquidity=None,
            fee=D("0.00001"),
            fee_asset="BTC",
            legs=order.legs,
            ts_event_ns=kit.NOW,
            ts_init_ns=kit.NOW,
        )
    )
    assert desk.exposure(kit.SPOT)["position"] == "0.00999"


@pytest.mark.req("P-ORD-11")
@pytest.mark.parametrize(("qty", "most"), [("0.001", "0.004"), ("0.006", "0.006")])
def test_an_order_and_its_amendment_in_place_are_the_larger_of_the_two(kit, status, qty, most):
    desk = kit.desk(amends_in_place=("binanceusdm",))
    first = desk.order(qty="0.004")
    desk.decide(first)
    desk.update(first, status.NEW)
    second = desk.order(qty=qty, price="49999", replaces=first.cl_ord_id)
    assert isinstance(desk.decide(second), ApprovedOrder)
    assert D(desk.exposure()["worst_case_usd"]) == D(most) * 50000
    more = max(D(qty) - D("0.004"), D(0))
    desk.update(second, status.PENDING_NEW, leaves=more)
    desk.fill(first, "0.001")
    desk.update(first, status.PENDING_REPLACE, cum="0.001")
    assert D(desk.exposure()["worst_case_usd"]) == D(most) * 50000
    # It took effect: of what was executed meanwhile it executes no more.
    desk.update(second, status.NEW, leaves=D(qty) - D("0.001"))
    desk.update(first, status.REPLACED, cum="0.001")
    assert D(desk.exposure()["worst_case_usd"]) == D(qty) * 50000


def test_an_amendment_needs_room_for_what_is_more_of_it_only(kit, status):
    for venues, allowed in (((), False), (("binanceusdm",), True)):
        desk = kit.desk(amends_in_place=venues, max_position_notional_usd=D(300))
        first = desk.order(qty="0.004")
        desk.decide(first)
        desk.update(first, status.NEW)
        answer = desk.decide(desk.order(qty="0.005", price="49999", replaces=first.cl_ord_id))
        assert isinstance(answer, ApprovedOrder) is allowed


def test_an_amendment_whose_order_is_gone_counts_whole_until_it_is_told_otherwise(kit, status):
    desk = kit.desk(amends_in_place=("binanceusdm",))
    first = desk.order(qty="0.004")
    desk.decide(first)
    desk.update(first, status.NEW)
    desk.decide(desk.order(qty="0.004", price="49999", replaces=first.cl_ord_id))
    desk.update(first, status.CANCELED)
    assert D(desk.exposure()["worst_case_usd"]) == D("0.004") * 50000


def test_an_order_of_the_other_side_keeps_clear_of_an_amendments_price(kit, status):
    desk = kit.desk(amends_in_place=("binanceusdm",))
    first = desk.order(qty="0.004", price="49990")
    desk.decide(first)
    desk.update(first, status.NEW)
    desk.decide(desk.order(qty="0.004", price="50000", replaces=first.cl_ord_id))
    denied = desk.decide(desk.order(side=Side.SELL, qty="0.004", price="49995"))
    assert denied.reason is DenyReason.SELF_TRADE
