"""The admission and the release of a usual order in C against the core's Python: the same words and state, or none."""

from __future__ import annotations

import random
import re
from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import native
from trading.instruments import Instrument, InstrumentKind
from trading.orders.core import Emit, Journal, OrderCore, OrderCoreConfig, SendToVenue
from trading.orders.messages import (
    ApprovedOrder,
    Contingency,
    DenyReason,
    ExecType,
    Leg,
    NewOrderSingle,
    OrderDenied,
    OrderStory,
    OrdStatus,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    RiskChecks,
    SelfTradePrevention,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.orders.order import STORY_LINES, Order
from trading.orders.state import CoreState
from trading.orders.triggers import WAITING

from .conftest import INSTRUMENT_ID, MS, T0, VENUE
from .test_numbers import BTC, WORDS

pytestmark = pytest.mark.skipif(native.orders is None, reason="no native code was built")

D = Decimal
OTHER = "BINANCEUSDM:PERP:ETH-USDT:LINEAR"
INVERSE = "BINANCECOINM:PERP:BTC-USD:INVERSE"
SPOT = "BINANCE:SPOT:BTC-USDT"
INSTRUMENTS: dict[str, Instrument] = {
    INSTRUMENT_ID: BTC,
    OTHER: msgspec.structs.replace(BTC, instrument_id=OTHER, symbol="ETHUSDT", base="ETH"),
    INVERSE: msgspec.structs.replace(
        BTC, instrument_id=INVERSE, venue="BINANCECOINM", kind=InstrumentKind.INVERSE, multiplier=D(100), lot_size=D(1)
    ),
    SPOT: msgspec.structs.replace(BTC, instrument_id=SPOT, venue="BINANCE", kind=InstrumentKind.SPOT),
}
CHECKS = RiskChecks(msgspec.Raw(b"\x90"), "5", "0", 1, None, D(2), D(3), None, None, None, None, 1, 1)
STORY = OrderStory("0.1", "0.001", (618_000, 3), (618_001, 9), True, (("flip", 0),), (), "")
QTY = D("0.004")
USUAL = ApprovedOrder(
    ProposedOrder(
        "o",
        VENUE,
        INSTRUMENT_ID,
        Side.BUY,
        OrdType.LIMIT,
        TimeInForce.IOC,
        QTY,
        D("61800.1"),
        False,
        (Leg("flip", "flip:1", QTY),),
        None,
        D("61800.05"),
        40,
        T0,
        STORY,
        "book@40",
        T0 + 1,
    ),
    1,
    CHECKS,
    T0 + 2,
)
STATE = [name for name in CoreState.__slots__ if name not in {"_body", "_config", "_instruments"}]


def _words(value):
    """All of it, to the last digit; what is packed says where it lies and nothing else."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _state(core):
    return {name: _words(getattr(core, name)) for name in STATE}


class _Watched:
    """Looks on while something is done in C: whatever it leaves to Python it did not touch."""

    def __init__(self, call):
        self.call = call
        self.done = self.left = 0

    def __call__(self, core, *about):
        before = _state(core)
        found = self.call(core, *about)
        if found is None:
            self.left += 1
            assert _state(core) == before
        else:
            self.done += 1
        return found


class InPython(OrderCore):
    _admit = None
    _let_go = None


def _pair(config=None, venues=(VENUE, "BINANCE")):
    class Watched(OrderCore):
        _admit = _Watched(OrderCore._admit)
        _let_go = _Watched(OrderCore._let_go)

    cores = [kind(INSTRUMENTS, 1, config or OrderCoreConfig()) for kind in (Watched, InPython)]
    for core in cores:
        for venue in venues:
            core.inbox(venue)
    return cores


def _told(call):
    """What a call says, or how it fails, to the last digit."""
    try:
        return _words(call())
    except (ValueError, ArithmeticError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"


def _both(cores, say):
    told = [_told(lambda core=core: say(core)) for core in cores]
    assert told[0] == told[1]
    assert _state(cores[0]) == _state(cores[1])
    return told[0]


def _released(core, commit_id, now):
    """What a caller says after a commit, whoever made the words."""
    released = core.release_alone(commit_id, now)
    if released is None:
        return core.on_committed(commit_id, now)
    order, command = released
    return [SendToVenue(command), Emit(order.updated(now))]


def _with(epoch=1, **fields):
    if "order_qty" in fields and "legs" not in fields:
        fields["legs"] = (Leg("flip", "flip:1", fields["order_qty"]),)
    return msgspec.structs.replace(USUAL, epoch=epoch, order=msgspec.structs.replace(USUAL.order, **fields))


def _closing(side, qty="0.004", **fields):
    return _with(side=side, order_qty=D(qty), reduce_only=True, **fields)


TRIGGER = TriggeringInstructions(D(1), TriggerPriceType.MARK)
ODD = [
    {"stp": SelfTradePrevention.CANCEL_NEWEST},
    {"stp": SelfTradePrevention.NONE},
    {"contingency": Contingency("pd1-l1")},
    {"trigger": TRIGGER},
    {"ord_type": OrdType.STOP, "price": None},
    {"ord_type": OrdType.STOP_LIMIT, "trigger": TRIGGER},
    {"legs": ()},
    {"legs": (Leg("flip", "flip:1", D("0.003")),)},
    {"legs": (Leg("flip", "flip:1", D("0.0040")),)},
    {"legs": (Leg("a", "a:1", D("0.001")), Leg("b", "b:1", D("0.003")))},
    {"legs": (Leg("a", "a:1", D("NaN")),)},
    {"story": {"why": "of an earlier version"}},
    {"venue": "NOBODY"},
    {"instrument_id": "NOBODY:X"},
    {"cause": "weil der Preis fällt"},
    {"epoch": 0},
    {"epoch": 2},
    {"epoch": 2**63},
    {"ord_type": OrdType.MARKET, "price": None},
    {"price": None},
    {"time_in_force": TimeInForce.FOK},
]


@pytest.mark.req("P-ORD-1")
@pytest.mark.parametrize("odd", ODD)
def test_what_is_not_as_usual_is_taken_in_or_refused_as_ever(odd):
    cores = _pair()
    _both(cores, lambda core: core.on_approved(_with(**odd), T0 + 3))
    _both(cores, lambda core: core.on_approved(USUAL, T0 + 4))


def test_the_types_of_orders_that_are_usual_need_no_trigger():
    assert WAITING.isdisjoint({OrdType.LIMIT, OrdType.MARKET})


@given(
    qty=WORDS,
    price=st.one_of(st.none(), WORDS),
    ref_price=WORDS,
    own=st.booleans(),
    side=st.sampled_from(Side),
    reduce_only=st.booleans(),
    position=st.one_of(st.none(), WORDS),
    instrument=st.sampled_from(list(INSTRUMENTS.values())),
)
def test_any_numbers_are_taken_in_or_refused_as_ever(
    qty, price, ref_price, own, side, reduce_only, position, instrument
):
    cores = _pair(venues=[i.venue for i in INSTRUMENTS.values()])
    order = _with(
        order_qty=qty,
        legs=(Leg("flip", "flip:1", qty if own else D(str(qty))),),
        price=price,
        ref_price=ref_price,
        side=side,
        reduce_only=reduce_only,
        instrument_id=instrument.instrument_id,
        venue=instrument.venue,
    )
    for core in cores:
        if position is not None:
            core._account(instrument.venue).net[instrument.instrument_id] = position
    _both(cores, lambda core: core.on_approved(order, T0 + 3))


@pytest.mark.parametrize("field", ["order_qty", "price", "ref_price"])
@pytest.mark.parametrize("value", [1, 1.5, "1", True, None, D("1E-30"), D("9.9E-31"), D("1E+18"), D(10) ** 18 - 1])
def test_amounts_at_the_ends_and_none_at_all(field, value):
    cores = _pair()
    _both(cores, lambda core: core.on_approved(_with(**{field: value}), T0 + 3))


@pytest.mark.parametrize(
    "position", ["0", "0.003", "0.004", "-0.003", "-0.004", "-0.0040000000000000000000000000000001"]
)
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("instrument_id", [INSTRUMENT_ID, SPOT])
def test_what_only_closes_can_never_turn_the_position(position, side, instrument_id):
    cores = _pair()
    venue = INSTRUMENTS[instrument_id].venue
    for core in cores:
        core._account(venue).net[instrument_id] = D(position)
    fields = {"instrument_id": instrument_id, "venue": venue}
    _both(cores, lambda core: core.on_approved(_closing(side, cl_ord_id="o1", **fields), T0 + 3))
    # One beside it that closes as much, one of the other side, one elsewhere.
    _both(cores, lambda core: core.on_approved(_closing(side, cl_ord_id="o2", **fields), T0 + 4))
    _both(cores, lambda core: core.on_approved(_closing(side, "0.001", cl_ord_id="o3", **fields), T0 + 4))
    _both(cores, lambda core: core.on_approved(_with(side=side, cl_ord_id="o4", **fields), T0 + 5))


def test_a_usual_order_that_only_closes_is_taken_in_beside_orders_that_do_not_touch_it():
    cores = _pair()
    for core in cores:
        core._account(VENUE).net[INSTRUMENT_ID] = D("-0.004")
    beside = [_with(cl_ord_id="o1", instrument_id=OTHER), _with(cl_ord_id="o2", side=Side.SELL)]
    for order in (*beside, _closing(Side.BUY, cl_ord_id="o3", time_in_force=TimeInForce.GTX)):
        _both(cores, lambda core, order=order: core.on_approved(order, T0 + 3))
    assert cores[0]._admit.done == 3
    assert list(cores[0]._closing) == [(VENUE, "o3")]


def test_a_release_that_is_not_as_usual_is_left_to_the_core():
    cores = _pair()
    for name in ("told", "doubted", "gone", "two"):
        _both(cores, lambda core, name=name: core.on_approved(_with(cl_ord_id=name), T0 + 3))
    for core in cores:
        core._open[VENUE, "told"].story *= STORY_LINES
        core._open[VENUE, "doubted"].ord_status = OrdStatus.UNKNOWN
        del core._open[VENUE, "gone"]
        core._held[-1][1].append(Emit(None))
    for commit_id in (2, 1, 2, 3, 4, 4, 9):
        _both(cores, lambda core, commit_id=commit_id: _released(core, commit_id, T0 + 4))
    assert cores[0]._let_go.done == 0
    assert cores[0].release_alone("one", T0) is None


LEGS = [(), (Leg("a", "a:1", QTY), Leg("b", "b:1", QTY), Leg("a", "a:2", QTY))]


@pytest.mark.parametrize(
    "fields",
    [{"trigger": TRIGGER}, {"contingency": Contingency("l")}, {"price": None}, {}, *({"legs": legs} for legs in LEGS)],
)
def test_the_command_of_a_released_order_says_all_of_it(fields):
    (core, _), order = _pair(), Order(approved=_with(**fields))
    core._open[VENUE, "o"] = order
    core._held.extend(_held_as(core, "o"))
    released = core.release_alone(1, T0 + 9)
    assert core._let_go.done == 1
    assert released == (order, order.command(T0 + 9))
    assert type(released[1]) is NewOrderSingle
    assert repr(released[1]) == repr(order.command(T0 + 9))
    assert (order.ord_status, order.sent_ns, core.waiting_commits()) == (OrdStatus.PENDING_NEW, T0 + 9, 0)


def _held_as(core, name):
    other = InPython(INSTRUMENTS, 1, OrderCoreConfig())
    other.on_approved(_with(cl_ord_id=name), T0)
    return other._held


class Walk:
    """Two cores that hear the same."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        most = self.dice.choice((3, 12, 2_000))
        self.cores = _pair(OrderCoreConfig(open_orders_max=most, terminal_orders_max=4))
        self.now = T0
        self.names: list[str] = []
        self.commits = 0
        self.refused: set[DenyReason] = set()

    def order(self, n: int) -> ApprovedOrder:
        pick = self.dice
        instrument = INSTRUMENTS[pick.choice((INSTRUMENT_ID, INSTRUMENT_ID, INSTRUMENT_ID, OTHER, SPOT, INVERSE))]
        qty = D(pick.choice(("0.001", "0.002", "0.004", "0.0040", "3")))
        fields: dict[str, Any] = {
            "cl_ord_id": pick.choice(self.names) if self.names and pick.random() < 0.05 else f"o{n}",
            "venue": instrument.venue,
            "instrument_id": instrument.instrument_id,
            "side": pick.choice(list(Side)),
            "time_in_force": pick.choice(list(TimeInForce)),
            "order_qty": qty,
            "reduce_only": pick.random() < 0.3,
            **(pick.choice(ODD) if pick.random() < 0.1 else {}),
        }
        if self.names and pick.random() < 0.1:
            fields["replaces"] = pick.choice(self.names)
        if pick.random() < 0.05:
            fields[pick.choice(("order_qty", "price", "ref_price"))] = D(
                pick.choice(("NaN", "Infinity", "-0", "-1", "1E+18"))
            )
        return _with(**fields)

    def step(self, n: int, report: Any) -> None:
        self.now += self.dice.choice((1, 20, 450)) * MS
        act = self.dice.choice(
            ("order", "order", "order", "commit", "commit", "commit", "report", "report", "cancel", "rare")
        )
        now, name = self.now, self.dice.choice(self.names[-12:]) if self.names else "nobody"
        if act == "order":
            order = self.order(n)
            _both(self.cores, lambda core: core.on_approved(order, now))
            for held in self.cores[1]._held[-1][1] if self.cores[1]._held else ():
                if isinstance(held, Emit) and isinstance(held.message, OrderDenied):
                    self.refused.add(held.message.reason)
            self.names.append(order.order.cl_ord_id)
        elif act == "commit":
            self.commit(now)
        elif act == "report":
            self.report(name, report)
        elif act == "cancel":
            cancel = ProposedCancel(
                cl_ord_id=name, venue=VENUE, instrument_id=INSTRUMENT_ID, reason="walk", cause="walk", ts_init_ns=now
            )
            _both(self.cores, lambda core: core.on_cancel(cancel, now))
        else:
            what = self.dice.random()
            if what < 0.6:
                _both(self.cores, lambda core: core.on_timer(now))
            elif what < 0.8:
                _both(self.cores, lambda core: core.begin_reconcile(VENUE, now))
            elif self.cores[0].waiting_commits() == 0:
                kept = self.cores[1].checkpoint(1)
                _both(self.cores, lambda core: core.restore([], kept))

    def commit(self, now: int) -> None:
        held = self.cores[0]._held
        if not held:
            return
        upto = held[min(self.dice.choice((0, 0, 0, 1)), len(held) - 1)][0] + (self.dice.random() < 0.02)
        _both(self.cores, lambda core: _released(core, upto, now))

    def report(self, name: str, report: Any) -> None:
        order = next((o for o in self.cores[1].open_orders() if o.cl_ord_id == name), None)
        if order is None or all(line[1] != "released" for line in order.story):
            return  # the venue cannot know it
        o = order.proposed
        kind = self.dice.choice((ExecType.NEW, ExecType.TRADE, ExecType.TRADE, ExecType.CANCELED, ExecType.REJECTED))
        fields: dict[str, Any] = {"venue": o.venue, "instrument_id": o.instrument_id, "side": o.side}
        fields |= {"order_qty": str(o.order_qty), "price": o.price, "leaves_qty": str(o.order_qty)}
        if kind is ExecType.TRADE:
            fields |= {"last_qty": str(o.order_qty), "last_px": "50000", "cum_qty": str(o.order_qty), "leaves_qty": "0"}
            fields |= {"ord_status": OrdStatus.FILLED}
        word = report(name, kind, f"x{name}" if kind is ExecType.TRADE else "", **fields)
        _both(self.cores, lambda core: core.on_venue(word, self.now))


@pytest.mark.req("P-ORD-1")
def test_a_walk_takes_in_and_releases_as_the_python_does(report):
    done, refused = Counter(), set()
    for seed in range(12):
        walk = Walk(seed)
        for n in range(120):
            walk.step(n, report)
        core = walk.cores[0]
        done += {"admitted": core._admit.done, "left": core._admit.left, "let go": core._let_go.done}
        done += {"not let go": core._let_go.left, "closing": len(core._closing)}
        refused |= walk.refused
    assert done["admitted"] > 100, done
    assert done["left"] > 100, done
    assert done["let go"] > 50, done
    assert done["not let go"] > 0, done
    assert done["closing"] > 0, done
    missed = {
        DenyReason.CONTINGENCY,
        DenyReason.DUPLICATE,
        DenyReason.FILTER_LOT,
        DenyReason.MAX_INFLIGHT,
        DenyReason.PERMIT_EPOCH,
        DenyReason.REDUCE_ONLY,
        DenyReason.STP_MODE,
        DenyReason.TRIGGER,
        DenyReason.UNKNOWN_INSTRUMENT,
    } - refused
    assert not missed


def test_no_field_that_decides_is_unknown_to_the_admission_in_c():
    known = "cl_ord_id venue instrument_id side ord_type time_in_force order_qty price reduce_only legs replaces"
    known += " ref_price book_update_id book_ts_recv_ns story cause ts_init_ns trigger stp contingency"
    assert ProposedOrder.__struct_fields__ == tuple(known.split()), "check it, or leave orders that have it"
    assert [type(effect) for effect in _pair()[0].on_approved(USUAL, T0)] == [Journal]
    assert SendToVenue.__struct_fields__ == ("command",)
    said = "venue instrument_id cl_ord_id side ord_type time_in_force order_qty price reduce_only strategy_ids epoch"
    said += " cause ts_init_ns trigger stp contingency"
    assert NewOrderSingle.__struct_fields__ == tuple(said.split())
