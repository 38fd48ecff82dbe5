"""One cancels the other: the first leg that is triggered or executed ends its twin, whatever the order of words."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trading.orders.conftest import Desk
from trading.instruments import InstrumentKind
from trading.orders import triggers
from trading.orders.core import Emit, OrderCore, OrderCoreConfig, SendToVenue
from trading.orders.journal_rows import JournalKind, decode_body
from trading.orders.messages import (
    AccountState,
    Contingency,
    ContingencyType,
    DenyReason,
    ExecType,
    OrderCancelReject,
    OrderCancelRequest,
    OrderDenied,
    OrderStatusReport,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

VENUE = "BINANCEUSDM"
INSTRUMENT_ID = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
STOP, TAKE = "pd1-g1", "pd1-g2"
AT = {STOP: Decimal(49_000), TAKE: Decimal(52_000)}
TYPES = {STOP: OrdType.STOP, TAKE: OrdType.TAKE_PROFIT}


@pytest.fixture(autouse=True)
def _holds(monkeypatch):
    monkeypatch.setitem(
        triggers.SUPPORT, (VENUE, InstrumentKind.LINEAR), triggers.SUPPORT["binanceusdm", InstrumentKind.LINEAR]
    )


@pytest.fixture
def leg(approved):
    """A leg of the list that sells what was bought; ``fields`` make another order of it."""

    def build(cl_ord_id=STOP, **fields):
        words = {
            "ord_type": TYPES.get(cl_ord_id, OrdType.STOP),
            "price": None,
            "side": Side.SELL,
            "reduce_only": True,
            "time_in_force": TimeInForce.IOC,
            "trigger": TriggeringInstructions(AT.get(cl_ord_id, AT[STOP]), TriggerPriceType.MARK, True),
            "contingency": Contingency("pd1-l1"),
            **fields,
        }
        order = approved(cl_ord_id)
        return msgspec.structs.replace(order, order=msgspec.structs.replace(order.order, **words))

    return build


@pytest.fixture
def paired(desk, approved, leg, report):
    """A desk that bought 0.010 and whose venue holds both legs."""
    return pair(desk, approved, leg, report)


def pair(desk, approved, leg, report):
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.TRADE, "x1", exec_seq=1, last_qty="0.010", last_px="50000", cum_qty="0.010"))
    for name in (STOP, TAKE):
        desk.place(leg(name))
        desk.venue(held(report, name))
        assert desk.status(name) is OrdStatus.PENDING_TRIGGER
    desk.said.clear()
    return desk


def held(report, name, kind=ExecType.NEW):
    return report(name, kind, f"{name}-held", ord_status=OrdStatus.PENDING_TRIGGER, order_id=f"a{name}")


def executed(report, name, qty="0.010", number=2):
    return report(
        name, ExecType.TRADE, f"{name}-x{number}", exec_seq=number, side=Side.SELL, last_qty=qty, last_px="49000",
        cum_qty=qty,
    )  # fmt: skip


def cancels(desk):
    """Whose cancels were sent, in order."""
    commands = [one.command for one in desk.said if isinstance(one, SendToVenue)]
    return [one.orig_cl_ord_id for one in commands if isinstance(one, OrderCancelRequest)]


def refused(desk, name):
    order = desk.core.order(VENUE, name)
    return OrderCancelReject(
        venue=VENUE,
        instrument_id=INSTRUMENT_ID,
        cl_ord_id=order.cancel_id,
        orig_cl_ord_id=name,
        ord_status=OrdStatus.PENDING_TRIGGER,
        text="try again",
        ts_event_ns=desk.now,
        ts_init_ns=desk.now,
    )


def reborn(desk, instrument, epoch=2):
    """The core that reads the journal, before and after it asks the venue."""
    again = OrderCore({instrument.instrument_id: instrument}, epoch, OrderCoreConfig())
    again.restore(desk.rows)
    desk.core, desk.waiting, desk.said = again, [], []
    return again


def answer(desk, name, report):
    return OrderStatusReport(
        venue=VENUE, instrument_id=INSTRUMENT_ID, cl_ord_id=name, report=report, ts_init_ns=desk.now
    )


@pytest.mark.parametrize(("first", "other"), [(STOP, TAKE), (TAKE, STOP)])
@pytest.mark.parametrize("learned", ["triggered", "executed", "asked", "listed", "ended"])
def test_however_it_is_learned_that_one_leg_went_its_twin_is_canceled_once(paired, report, first, other, learned):
    words = {
        "triggered": report(first, ExecType.TRIGGERED, "t1", order_id="99"),
        "executed": executed(report, first, "0.004"),
        "asked": answer(
            paired, first, report(first, ExecType.ORDER_STATUS, ord_status=OrdStatus.NEW, order_id="99")
        ),
        "listed": AccountState(
            venue=VENUE, exec_seq=2, open_orders=(held(report, other, ExecType.ORDER_STATUS),),
            executions=(executed(report, first),), fundings=(), positions={}, balances={}, cause="audit", ts_init_ns=0,
        ),
        "ended": report(first, ExecType.CANCELED, "c1", cum_qty="0.010"),
    }  # fmt: skip
    paired.venue(words[learned])
    assert cancels(paired) == [other]
    assert paired.status(other) is OrdStatus.PENDING_CANCEL
    (row,) = [row for row in paired.rows if row.kind is JournalKind.CANCEL]
    assert f"one cancels the other: {first} of list pd1-l1 was " in decode_body(row.body).cancel.reason
    paired.venue(words[learned])
    paired.venue(executed(report, first))
    assert cancels(paired) == [other]
    paired.venue(report(other, ExecType.CANCELED, "c2"))
    assert (paired.status(other), paired.core.twins_canceled) == (OrdStatus.CANCELED, 1)


@pytest.mark.req("C-RISK-7")
@pytest.mark.parametrize(
    ("end", "status"),
    [
        (ExecType.REJECTED, OrdStatus.REJECTED),
        (ExecType.CANCELED, OrdStatus.CANCELED),
        (ExecType.EXPIRED, OrdStatus.EXPIRED),
    ],
)
def test_a_leg_that_ends_without_an_execution_leaves_the_other(paired, report, end, status):
    paired.venue(report(TAKE, end, "e9"))
    assert (paired.status(TAKE), paired.status(STOP), cancels(paired)) == (status, OrdStatus.PENDING_TRIGGER, [])


def test_a_leg_that_is_canceled_by_hand_leaves_the_other_and_may_be_placed_again(paired, leg, report):
    paired.do(paired.core.cancel_all(paired.now, reason="by hand"))
    assert set(cancels(paired)) == {STOP, TAKE}
    paired.venue(report(TAKE, ExecType.CANCELED, "c1"))
    paired.said.clear()
    paired.place(leg("pd1-g3", ord_type=OrdType.TAKE_PROFIT))
    assert paired.status("pd1-g3") is OrdStatus.PENDING_NEW


def test_a_refused_cancel_of_the_twin_is_said_again_at_the_pace_of_refused_cancels(paired, report):
    paired.venue(report(STOP, ExecType.TRIGGERED, "t1", order_id="99"))
    for count in (1, 2, 3):
        assert cancels(paired) == [TAKE] * count
        paired.venue(refused(paired, TAKE))
        assert paired.status(TAKE) is OrdStatus.PENDING_TRIGGER
        paired.later(20)
        assert cancels(paired) == [TAKE] * count
        paired.later(600)
    paired.venue(report(TAKE, ExecType.CANCELED, "c2"))
    paired.later(10_000)
    assert cancels(paired) == [TAKE] * 4


def test_a_cancel_that_was_lost_is_said_again_with_the_same_id(paired, report):
    paired.venue(executed(report, STOP))
    paired.later(500)
    commands = [one.command for one in paired.said if isinstance(one, SendToVenue)]
    ids = [one.cl_ord_id for one in commands if isinstance(one, OrderCancelRequest)]
    assert ids == [f"{TAKE}-c1", f"{TAKE}-c1"]


@pytest.mark.req("C-RISK-7")
def test_a_winner_that_fails_at_its_trigger_no_longer_takes_the_other_away(paired, report):
    paired.venue(report(TAKE, ExecType.TRIGGERED, "t1", order_id="99"))
    paired.venue(refused(paired, STOP))
    paired.venue(report(TAKE, ExecType.REJECTED, "r1", text="reduce-only"))
    paired.said.clear()
    paired.later(10_000)
    assert (cancels(paired), paired.status(STOP)) == ([], OrdStatus.PENDING_TRIGGER)
    paired.venue(report(STOP, ExecType.TRIGGERED, "t2", order_id="100"))
    assert paired.status(STOP) is OrdStatus.NEW


def test_where_both_execute_in_the_race_both_are_booked(paired, report):
    paired.venue(executed(report, STOP, "0.006"))
    paired.venue(executed(report, TAKE, "0.004", number=3))
    paired.venue(report(TAKE, ExecType.CANCELED, "c1", cum_qty="0.004"))
    assert cancels(paired) == [TAKE]
    assert (paired.core.exposure()[INSTRUMENT_ID].position, paired.status(TAKE)) == (0, OrdStatus.CANCELED)
    paired.venue(report(STOP, ExecType.EXPIRED, "c2", cum_qty="0.006"))
    assert (paired.status(STOP), paired.core.open_orders()) == (OrdStatus.EXPIRED, [])


@pytest.mark.req("P-ORD-3")
@pytest.mark.parametrize("rows_lost", [0, 1])
def test_a_crash_between_execution_and_cancel_ends_in_the_twin_canceled(paired, report, instrument, rows_lost):
    """Also where a journal of an earlier time ends with the execution, and says nothing of a cancel."""
    paired.venue(executed(report, STOP))
    assert [row.kind.value for row in paired.rows[-2:]] == ["fill", "cancel"]
    paired.rows = paired.rows[: len(paired.rows) - rows_lost]
    again = reborn(paired, instrument)
    assert again.order(VENUE, TAKE).yields_to == STOP
    paired.do(again.begin_reconcile(VENUE, paired.now))
    paired.later(500)
    assert set(cancels(paired)) == {TAKE}
    paired.venue(report(TAKE, ExecType.CANCELED, "c2"))
    assert paired.status(TAKE) is OrdStatus.CANCELED


@pytest.mark.req("P-ORD-3")
def test_what_was_executed_while_the_desk_was_gone_cancels_the_twin_when_it_is_back(paired, report, instrument):
    again = reborn(paired, instrument)
    paired.do(again.begin_reconcile(VENUE, paired.now))
    assert cancels(paired) == []
    paired.venue(
        AccountState(
            venue=VENUE, exec_seq=2, open_orders=(held(report, TAKE, ExecType.ORDER_STATUS),),
            executions=(executed(report, STOP),), fundings=(), positions={}, balances={}, cause="reconcile",
            ts_init_ns=0,
        )
    )  # fmt: skip
    assert cancels(paired) == [TAKE]


def test_a_checkpoint_keeps_who_yields_to_whom(paired, report, instrument):
    paired.venue(executed(report, STOP))
    paired.venue(refused(paired, TAKE))
    checkpoint = paired.core.checkpoint(len(paired.rows))
    again = OrderCore({instrument.instrument_id: instrument}, 2, OrderCoreConfig())
    again.restore((), checkpoint)
    paired.core, paired.said = again, []
    paired.do(again.begin_reconcile(VENUE, paired.now))
    paired.later(1_000)
    assert set(cancels(paired)) == {TAKE}


def test_a_leg_that_comes_after_its_list_was_decided_is_denied(desk, approved, leg, report):
    desk.place(approved("pd1-1"))
    desk.venue(report("pd1-1", ExecType.TRADE, "x1", exec_seq=1, last_qty="0.010", last_px="50000", cum_qty="0.010"))
    desk.place(leg(STOP))
    desk.venue(executed(report, STOP, "0.004"))
    desk.place(leg(TAKE, order_qty=Decimal("0.006"), legs=_legs(leg(TAKE), "0.006")))
    assert denials(desk) == [DenyReason.CONTINGENCY]


def _legs(order, qty):
    return tuple(msgspec.structs.replace(one, qty=Decimal(qty)) for one in order.order.legs)


def denials(desk):
    return [one.message.reason for one in desk.said if isinstance(one, Emit) and isinstance(one.message, OrderDenied)]


def test_what_is_no_leg_is_denied_and_says_why(paired, approved, leg):
    unbound = TriggeringInstructions(AT[STOP], TriggerPriceType.MARK, False)
    wrong = {
        "pd1-x1": {"contingency": Contingency("a list with blanks")},
        "pd1-x2": {"trigger": unbound, "contingency": Contingency("pd1-l2")},
        "pd1-x3": {},  # a third leg
        "pd1-x4": {"side": Side.BUY},
        "pd1-x5": {"replaces": STOP},
    }
    for count, (name, fields) in enumerate(wrong.items(), 1):
        paired.place(leg(name, **fields))
        assert denials(paired) == [DenyReason.CONTINGENCY] * count
    plain = approved("pd1-x6", replaces=STOP)
    paired.place(plain)
    assert denials(paired)[-1] is DenyReason.CONTINGENCY


def test_orders_of_other_lists_and_of_none_stay(paired, approved, leg, report):
    paired.place(approved("pd1-9"))
    paired.venue(report("pd1-9", ExecType.NEW, "e9"))
    paired.place(leg("pd1-g3", contingency=Contingency("pd1-l2")))
    paired.venue(held(report, "pd1-g3"))
    paired.venue(executed(report, STOP))
    assert cancels(paired) == [TAKE]


def test_a_list_goes_to_the_venue_with_its_words_and_an_order_of_none_says_nothing(paired, leg):
    order = paired.core.order(VENUE, STOP)
    command = order.command(paired.now)
    assert command.contingency == Contingency("pd1-l1", ContingencyType.ONE_CANCELS_THE_OTHER)
    assert b'"contingency":["pd1-l1","one_cancels_the_other"]' in msgspec.json.encode(command)
    assert b"contingency" not in msgspec.json.encode(leg(contingency=None).order)


WORDS = ("held", "triggered", "part", "all", "canceled", "rejected", "refused", "late", "later", "restart")


@pytest.mark.req("P-ORD-3")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixtures only build
@given(walk=st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from((STOP, TAKE))), max_size=14))
def test_any_walk_of_words_leaves_no_open_twin_of_an_executed_leg_without_its_cancel(
    walk, instrument, approved, leg, report
):
    """After every word: beside an executed leg the other is over, or its cancel is on its way or due."""
    desk = pair(Desk(instrument), approved, leg, report)
    for number, (word, name) in enumerate(walk, 10):
        speak(desk, report, instrument, word, name, number)
        legs = [desk.core.order(VENUE, one) for one in (STOP, TAKE)]
        for one in legs:
            other = legs[1 - legs.index(one)]
            first = other.yields_to == one.cl_ord_id  # what decided the list goes on, whatever its twin still executes
            if one.is_open and other.cum_qty and not first:
                assert one.yields_to == other.cl_ord_id
                assert one.cancel_id or one.cancel_wish is not None
        if not any(went(one) for one in legs):
            assert not any(one.cancel_id for one in legs), "a leg was taken away because of nothing"


def went(order):
    """Whether anything was ever heard that decides a list."""
    return any(what in {"triggered", "partial", "fill"} for _, what, _, _, _ in order.story)


def speak(desk, report, instrument, word, name, number):
    order = desk.core.order(VENUE, name)
    left = order.proposed.order_qty - order.cum_qty
    match word:
        case "held":
            desk.venue(held(report, name))
        case "triggered":
            desk.venue(report(name, ExecType.TRIGGERED, f"t{number}", order_id=f"9{number}"))
        case "part" | "all":
            qty = left if word == "all" else left / 2
            if order.is_open and left:
                total = order.cum_qty + qty
                desk.venue(
                    report(
                        name, ExecType.TRADE, f"x{number}", exec_seq=desk.core.inbox(VENUE).watermark + 1,
                        side=Side.SELL, last_qty=qty, last_px="49000", cum_qty=total,
                    )
                )  # fmt: skip
        case "canceled" | "rejected":
            kind = ExecType.CANCELED if word == "canceled" else ExecType.REJECTED
            desk.venue(report(name, kind, f"c{number}", cum_qty=order.cum_qty))
        case "refused":
            if order.is_open and order.cancel_id:
                desk.venue(refused(desk, name))
        case "late":
            desk.later(5)
        case "later":
            desk.later(700)
        case _:
            again = reborn(desk, instrument)
            desk.do(again.begin_reconcile(VENUE, desk.now))
