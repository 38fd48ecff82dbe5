"""Numbers that are none: an order that holds one is denied by its field, a venue's word with one is never booked."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.orders.conftest import INSTRUMENT_ID, MS, T0, VENUE, Desk
from trading.brakes import Level
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop
from trading.orders.core import Emit, SendToVenue
from trading.orders.journal_rows import JournalKind, NoteBody, decode_body
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ApprovedOrder,
    ExecType,
    ExecutionReport,
    FundingPayment,
    Leg,
    OrderCancelRequest,
    OrderDenied,
    OrderFilled,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.orders.numbers import is_number, unsound_event, unsound_order
from trading.risk.governor import RiskGovernor
from trading.risk.limits import RiskLimits

BTC = Instrument(
    instrument_id=INSTRUMENT_ID,
    venue=VENUE,
    symbol="BTCUSDT",
    kind=InstrumentKind.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    min_qty=Decimal("0.001"),
    max_qty=Decimal(100),
    min_notional=Decimal(5),
)
SPOT = msgspec.structs.replace(BTC, instrument_id="BINANCE:SPOT:BTC-USDT", venue="BINANCE", kind=InstrumentKind.SPOT)
NOT_NUMBERS = ("NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "-0", "-0.000", "1E+50", "9E+999999", "1E-999999")
WORDS = st.one_of(
    st.sampled_from([Decimal(word) for word in (*NOT_NUMBERS, "0", "-1", "1E-7", "60000", "0.010", "1E+17")]),
    st.decimals(allow_nan=True, allow_infinity=True),
)
FIELDS = ("order_qty", "price", "ref_price", "legs", "trigger")
REPORTED = ("order_qty", "price", "last_qty", "last_px", "cum_qty", "leaves_qty", "avg_px", "fee")


def proposed(instrument=BTC, **changes):
    qty = Decimal("0.010")
    order = ProposedOrder(
        cl_ord_id="pd1-1",
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_qty=qty,
        price=Decimal("50000.0"),
        reduce_only=False,
        legs=(Leg("maker", "i1", qty),),
        replaces=None,
        ref_price=Decimal("50000.0"),
        book_update_id=1,
        book_ts_recv_ns=T0,
        story={},
        cause="c",
        ts_init_ns=T0,
    )
    return msgspec.structs.replace(order, **changes)


def with_word(field, word, instrument=BTC):
    """An order with ``word`` in a field; of legs and trigger in the number that they hold."""
    if field == "legs":
        return proposed(instrument, legs=(Leg("maker", "i1", word),))
    if field == "trigger":
        trigger = TriggeringInstructions(word, TriggerPriceType.MARK, True)
        return proposed(instrument, ord_type=OrdType.STOP, price=None, reduce_only=True, trigger=trigger)
    return proposed(instrument, **{field: word})


def named(field):
    return {"legs": "legs[0].qty", "trigger": "trigger.trigger_price"}.get(field, field)


def governor(level=Level.RUN):
    found = RiskGovernor({one.instrument_id: one for one in (BTC, SPOT)}, RiskLimits(), 1)
    found.set_modes({"global": int(level)})
    found.restore({BTC.instrument_id: Decimal("-0.020"), SPOT.instrument_id: Decimal("0.020")})
    for one in (BTC, SPOT):
        found.on_top(
            BookTop(
                instrument_id=one.instrument_id,
                state=BookState.SYNCED,
                update_id=1,
                bids=((500_000, 10),),
                asks=((500_001, 10),),
                ts_event_ns=T0,
                ts_recv_ns=T0,
            )
        )
    return found


@pytest.mark.req("P-RSK-1", "P-RSK-3")
@pytest.mark.parametrize("word", NOT_NUMBERS)
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("level", [Level.RUN, Level.PAUSE, Level.HOLD])
@pytest.mark.parametrize("instrument", [BTC, SPOT], ids=["contract", "spot"])
def test_the_governor_denies_what_is_no_number_and_names_the_field(instrument, level, field, word):
    if field == "ref_price" and Decimal(word).is_finite():
        word = "NaN"  # it is told and never reckoned with
    found = governor(level)
    answer = found.decide(with_word(field, Decimal(word), instrument), T0)
    assert isinstance(answer, OrderDenied)
    assert answer.text.startswith(f"{named(field)}: {Decimal(word)} is no number")
    plain = governor(level).decide(proposed(instrument), T0)
    assert isinstance(found.decide(proposed(instrument), T0), type(plain)), "it remembers nothing of the other"


@pytest.mark.req("P-RSK-1")
@pytest.mark.parametrize("word", NOT_NUMBERS)
@pytest.mark.parametrize("field", [field for field in FIELDS if field != "ref_price"])
@pytest.mark.parametrize("time_in_force", [TimeInForce.GTC, TimeInForce.GTX])
def test_the_short_ways_of_a_governor_that_holds_nothing_deny_it_too(field, word, time_in_force):
    found = governor()
    found.restore({})
    order = msgspec.structs.replace(with_word(field, Decimal(word)), time_in_force=time_in_force)
    answer = found.decide(order, T0)
    assert isinstance(answer, OrderDenied)
    assert answer.text.startswith(named(field))
    reference = msgspec.structs.replace(proposed(ref_price=Decimal("NaN")), time_in_force=time_in_force)
    assert found.decide(reference, T0).text.startswith("ref_price: NaN")
    assert isinstance(found.decide(proposed(), T0), ApprovedOrder)


@pytest.mark.req("P-RSK-1")
@given(WORDS, st.sampled_from(FIELDS), st.sampled_from(Level), st.sampled_from([BTC, SPOT]), st.booleans())
def test_no_word_makes_the_governor_raise_or_leave_what_it_cannot_reckon_with(word, field, level, instrument, reduces):
    order = with_word(field, word, instrument)
    if field != "trigger":
        order = msgspec.structs.replace(order, reduce_only=reduces)
    found = governor(level)
    answer = found.decide(order, T0)
    assert isinstance(answer, OrderDenied) or not unsound_order(order)
    assert found.view()


@pytest.mark.req("P-RSK-1", "P-ORD-1")
@given(WORDS, st.sampled_from(FIELDS))
def test_no_word_makes_the_order_core_raise_and_what_is_no_number_never_leaves(word, field):
    desk = Desk(BTC)
    order = with_word(field, word)
    whole = not unsound_order(order) and order.legs[0].qty == order.order_qty
    if not unsound_order(order) and not whole:
        return  # legs that are not the whole of an order are a bug, and are one still
    said = desk.place(ApprovedOrder(order, 1, {}, T0))
    if unsound_order(order):
        (denied,) = [e.message for e in said if isinstance(e, Emit)]
        assert isinstance(denied, OrderDenied)
        assert denied.text.startswith(named(field))
        assert not [e for e in said if isinstance(e, SendToVenue)]
        assert not desk.core.open_orders()


def test_a_cancel_has_no_number_and_always_goes(approved, report):
    assert not [f for f in msgspec.structs.fields(ProposedCancel) if f.type is Decimal]
    desk = Desk(BTC)
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.TRADE, "x1", last_qty="NaN", last_px="sNaN"))
    said = desk.do(desk.core.cancel_all(desk.now, reason="all"))
    assert [e.command for e in said if isinstance(e, SendToVenue) and isinstance(e.command, OrderCancelRequest)]


@pytest.fixture
def desk(approved, report):
    desk = Desk(BTC)
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.NEW, "e1"))
    return desk


def commands(said, kind):
    return [e.command for e in said if isinstance(e, SendToVenue) and isinstance(e.command, kind)]


@pytest.mark.req("P-ORD-1", "P-VEN-3")
@pytest.mark.parametrize("word", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+50", "0", "-0", "-0.001"])
@pytest.mark.parametrize("field", ["last_qty", "last_px"])
def test_an_execution_of_no_quantity_or_price_is_counted_written_down_asked_for_and_not_booked(
    desk, report, field, word
):
    numbers = {"last_qty": "0.004", "last_px": "50000", "cum_qty": "0.004"} | {field: word}
    said = desk.venue(report("pd1-1", ExecType.TRADE, "x1", **numbers))
    assert not [e for e in said if isinstance(e, Emit) and isinstance(e.message, OrderFilled)]
    assert desk.core.malformed == 1
    row = desk.rows[-1]
    body = decode_body(row.body)
    assert (row.kind, row.cl_ord_id) == (JournalKind.NOTE, "pd1-1")
    assert isinstance(body, NoteBody)
    assert body.text.startswith(f"malformed ExecutionReport: {field}: ")
    assert [c.cl_ord_id for c in commands(said, OrderStatusRequest)] == ["pd1-1"]
    assert commands(said, AccountStateRequest)
    assert desk.core.exposure()[INSTRUMENT_ID].buy_leaves == Decimal("0.010")
    # The same execution, told as it should be, is the first to be booked.
    again = desk.venue(
        report("pd1-1", ExecType.TRADE, "x1", **(numbers | {field: "1" if field == "last_px" else "0.004"}))
    )
    assert [e.message.last_qty for e in again if isinstance(e, Emit) and isinstance(e.message, OrderFilled)] == [
        Decimal("0.004")
    ]


@pytest.mark.req("P-ORD-1")
@given(WORDS, st.sampled_from(REPORTED), st.sampled_from(ExecType), st.sampled_from(OrdStatus), st.booleans())
def test_no_word_of_a_venue_makes_the_core_raise_and_what_cannot_be_reckoned_with_changes_no_sum(
    word, field, exec_type, ord_status, answered
):
    desk = Desk(BTC)
    desk.place(ApprovedOrder(proposed(), 1, {}, T0))
    m = ExecutionReport(
        venue=VENUE,
        instrument_id=INSTRUMENT_ID,
        cl_ord_id="pd1-1",
        orig_cl_ord_id=None,
        order_id="V1",
        exec_id="x1",
        exec_seq=0,
        exec_type=ExecType.ORDER_STATUS if answered else exec_type,
        ord_status=ord_status,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_qty=Decimal("0.010"),
        price=Decimal("50000.0"),
        last_qty=Decimal("0.004"),
        last_px=Decimal("50000.0"),
        cum_qty=Decimal("0.004"),
        leaves_qty=Decimal("0.006"),
        avg_px=Decimal("50000.0"),
        liquidity=None,
        fee=Decimal(0),
        fee_asset="USDT",
        text="",
        ts_event_ns=T0,
        ts_init_ns=T0,
    )
    m = msgspec.structs.replace(m, **{field: word})
    event = m
    if answered:
        event = OrderStatusReport(
            venue=VENUE, instrument_id=INSTRUMENT_ID, cl_ord_id="pd1-1", report=m, ts_init_ns=T0, asked_ns=T0
        )
    desk.venue(event)
    desk.later(5_000)
    assert desk.core.malformed == bool(unsound_event(event))
    order = desk.core.order(VENUE, "pd1-1")
    assert not order.cum_qty or order.cum_qty == m.last_qty
    assert not unsound_event(event) or (order.cum_qty, order.cum_cost, order.venue_cum_qty) == (0, 0, 0)
    assert all(is_number(x.position) for x in desk.core.exposure().values())


@pytest.mark.req("P-ORD-1")
@given(WORDS, st.sampled_from(["position", "balance", "execution", "open order", "funding"]))
def test_an_account_with_such_a_number_is_no_account_and_is_read_again(word, where):
    desk = Desk(BTC)
    desk.place(ApprovedOrder(proposed(), 1, {}, T0))
    payment = FundingPayment(
        venue=VENUE,
        instrument_id=INSTRUMENT_ID,
        funding_id="f1",
        exec_seq=0,
        rate=Decimal(0),
        position_qty=Decimal(0),
        mark_price=Decimal(0),
        amount=word if where == "funding" else Decimal(0),
        asset="USDT",
        ts_event_ns=T0,
        ts_init_ns=T0,
    )
    report = ExecutionReport(
        venue=VENUE,
        instrument_id=INSTRUMENT_ID,
        cl_ord_id="pd1-1",
        orig_cl_ord_id=None,
        order_id="V1",
        exec_id="x1",
        exec_seq=0,
        exec_type=ExecType.TRADE if where == "execution" else ExecType.ORDER_STATUS,
        ord_status=OrdStatus.NEW,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_qty=Decimal("0.010"),
        price=Decimal("50000.0"),
        last_qty=word if where == "execution" else Decimal(0),
        last_px=Decimal("50000.0"),
        cum_qty=word if where == "open order" else Decimal(0),
        leaves_qty=Decimal("0.010"),
        avg_px=Decimal(0),
        liquidity=None,
        fee=Decimal(0),
        fee_asset="USDT",
        text="",
        ts_event_ns=T0,
        ts_init_ns=T0,
    )
    state = AccountState(
        venue=VENUE,
        exec_seq=0,
        open_orders=(report,) if where == "open order" else (),
        executions=(report,) if where == "execution" else (),
        fundings=(payment,),
        positions={INSTRUMENT_ID: word if where == "position" else Decimal(0)},
        balances={"USDT": word if where == "balance" else Decimal(0)},
        cause="reconcile",
        ts_init_ns=T0,
        numbered=False,
        asked_ns=T0,
    )
    desk.do(desk.core.begin_reconcile(VENUE, desk.now))
    desk.venue(state)
    if unsound_event(state):
        assert desk.core.malformed == 1
        assert desk.core._account(VENUE).reconciling
        assert commands(desk.later(1_100), AccountStateRequest)


def test_a_venue_that_says_nothing_else_does_not_fill_the_journal(desk, report):
    before = len(desk.rows)
    for number in range(200):
        desk.now += 10 * MS
        desk.venue(report("pd1-1", ExecType.TRADE, f"x{number}", last_qty="NaN", last_px="1"))
    notes = [row for row in desk.rows[before:] if row.kind is JournalKind.NOTE]
    assert desk.core.malformed == 200
    assert 1 <= len(notes) <= 3
    assert len([e for e in desk.said if isinstance(e, SendToVenue)]) < 40
