"""What the drop copy makes of a venue's record and of the journal, in virtual time."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.brakes import Level
from trading.dropcopy.core import DropCopyCore, DropCopyRules, Span
from trading.dropcopy.execution import DifferenceKind, Execution, compare, difference, funding_of, told
from trading.orders.messages import FundingPayment, Side

S = 1_000_000_000
T0 = 1_763_000_000 * S
RULES = DropCopyRules()


def fill(name="x1", *, at_s=0, **changes):
    plain = Execution(
        f"BTCUSDT:{name}:7",
        "I",
        "7",
        "pd1-a",
        Side.BUY,
        Decimal("0.5"),
        Decimal(100),
        Decimal("0.01"),
        "USDT",
        T0 + at_s * S,
    )
    return msgspec.structs.replace(plain, **changes)


def span(began_s, since_s=-60):
    return Span(since_ns=T0 + since_s * S, until_ns=T0 + began_s * S, began_ns=T0 + began_s * S)


@pytest.fixture
def core():
    return DropCopyCore(RULES, T0 - 3600 * S)


@pytest.mark.req("P-VEN-10")
@pytest.mark.parametrize("first", ["record", "journal"])
def test_what_both_sides_have_agrees_whoever_was_first(core, first):
    steps = {
        "record": lambda: core.on_listed([fill()], span(1), T0 + S),
        "journal": lambda: core.on_booked([fill()], T0 + S),
    }
    steps[first]()
    steps[next(name for name in steps if name != first)]()
    core.on_time(T0 + 100 * S)
    core.on_listed([fill()], span(100), T0 + 100 * S)  # listed again: readings overlap
    core.on_booked([fill()], T0 + 100 * S)
    assert (core.gap, core.matched, core.waiting) == (0, 1, (0, 0))
    assert core.brake(T0 + 1_000 * S) is None


@pytest.mark.req("P-VEN-10")
def test_a_fill_that_the_stream_lost_is_told_brakes_when_it_lasts_and_heals_when_it_is_booked(core):
    core.on_listed([fill()], span(0), T0)
    assert core.on_time(T0 + S).opened == []  # the journal may be a moment behind
    (found,) = core.on_time(T0 + 2 * S).opened
    assert (found.kind, core.gap) == (DifferenceKind.UNBOOKED, 1)
    assert "pd1-a: the venue's record has buy 0.5 at 100, fee 0.01 USDT, not booked" in found.text
    assert core.on_time(T0 + 3 * S).opened == []  # told once
    assert (core.brake(T0 + 11 * S), core.wants_reconciliation(T0 + 11 * S)) == (None, False)
    level, cause = core.brake(T0 + 12 * S)
    assert level is Level.HOLD
    assert "not booked" in cause
    assert [core.wants_reconciliation(T0 + at * S) for at in (12, 13, 41, 42, 43)] == [True, False, False, True, False]
    turn = core.on_booked([fill()], T0 + 44 * S)
    assert [one.kind for one in turn.healed] == [DifferenceKind.UNBOOKED]
    assert (core.gap, core.brake(T0 + 1_000 * S), core.wants_reconciliation(T0 + 1_000 * S)) == (0, None, False)


@pytest.mark.req("P-VEN-10")
def test_an_execution_that_only_the_stream_had_is_a_ghost_but_not_while_the_record_may_be_late(core):
    core.on_booked([fill()], T0)
    for at_s in (5, 29):
        assert core.on_listed([], span(at_s), T0 + at_s * S).opened == []
    assert core.on_listed([], span(40, since_s=10), T0 + 40 * S).opened == []  # this reading was not about it
    assert core.since_ns(T0 + 10 * S) == T0 - S  # and so the next one is
    (found,) = core.on_listed([], span(41), T0 + 41 * S).opened
    assert (found.kind, core.gap) == (DifferenceKind.GHOST, 1)
    assert core.brake(T0 + 51 * S)[0] is Level.HOLD
    healed = core.on_listed([fill()], span(60), T0 + 60 * S).healed  # the pages were later than late
    assert [one.kind for one in healed] == [DifferenceKind.GHOST]
    assert core.gap == 0


@pytest.mark.req("P-VEN-10")
def test_a_ghost_that_is_like_a_fill_of_its_order_was_booked_twice(core):
    core.on_listed([fill("x1")], span(0), T0)
    core.on_booked([fill("x1"), fill("x2")], T0)
    (found,) = core.on_listed([], span(30), T0 + 30 * S).opened
    assert (found.kind, found.exec_id) == (DifferenceKind.DUPLICATE, fill("x2").exec_id)


@pytest.mark.req("P-VEN-10")
@pytest.mark.parametrize(
    ("changes", "kind", "level"),
    [
        ({"last_qty": Decimal("0.6")}, DifferenceKind.QTY, Level.HOLD),
        ({"side": Side.SELL}, DifferenceKind.QTY, Level.HOLD),
        ({"order_id": "8"}, DifferenceKind.QTY, Level.HOLD),
        ({"last_px": Decimal("100.1")}, DifferenceKind.PRICE, Level.PAUSE),
        ({"fee": Decimal("0.02")}, DifferenceKind.FEE, Level.PAUSE),
        ({"fee_asset": "BNB"}, DifferenceKind.FEE, Level.PAUSE),
        ({"fee": Decimal("0.0100"), "last_px": Decimal("100.0")}, None, None),
        ({"cl_ord_id": "", "order_id": "", "ts_event_ns": T0 + 1}, None, None),
    ],
)
def test_an_execution_told_in_two_ways_is_named_by_what_is_gravest(core, changes, kind, level):
    booked = fill(**changes)
    assert difference(fill(), booked) is kind
    core.on_listed([fill()], span(0), T0)
    opened = core.on_booked([booked], T0).opened
    assert [one.kind for one in opened] == ([] if kind is None else [kind])
    if kind is not None:
        assert core.brake(T0 + 10 * S)[0] is level
        assert not core.wants_reconciliation(T0 + 10 * S)  # nothing that the order core does could mend it
        (accepted,) = core.accept(fill().exec_id, "alice").healed
        assert accepted.accepted_by == "alice"
        assert (core.gap, core.brake(T0 + 100 * S)) == (0, None)
        assert told(kind, fill(), booked).startswith(kind.value)


@pytest.mark.req("P-VEN-10")
def test_what_was_executed_before_the_copy_or_the_desks_first_day_is_not_compared(core):
    core.on_booked([fill("old", at_s=-4_000)], T0)
    core.on_listed([fill("old2", at_s=-4_000), fill("before", at_s=-10)], span(0), T0)
    assert core.waiting == (1, 0)
    assert [one.exec_id for one in core.on_before(T0 - 5 * S).matched] == [fill("before").exec_id]
    core.on_listed([fill("before2", at_s=-6)], span(0), T0)
    core.on_time(T0 + 100 * S)
    core.on_listed([], span(100), T0 + 100 * S)
    assert (core.gap, core.waiting) == (0, (0, 0))


@pytest.mark.req("P-VEN-10")
def test_a_life_that_begins_anew_knows_what_was_open_and_what_waits(core):
    core.on_listed([fill("a"), fill("b")], span(0), T0)
    core.on_booked([fill("c")], T0)
    core.on_time(T0 + 2 * S)
    again = DropCopyCore(RULES, core.from_ns)
    again.restore([fill("a"), fill("b")], [fill("c")], core.open(), T0 + 5 * S)
    assert again.gap == 2
    assert again.brake(T0 + 12 * S) is not None
    again.on_booked([fill("a"), fill("b")], T0 + 13 * S)
    again.on_listed([fill("c")], span(13), T0 + 13 * S)
    assert (again.gap, again.waiting) == (0, (0, 0))


def test_what_waits_and_what_is_open_is_bounded_and_what_found_no_room_is_read_again():
    core = DropCopyCore(DropCopyRules(waiting_max=3, open_max=2), T0 - 100 * S)
    core.on_listed([fill(f"x{n}", at_s=n) for n in range(5)], span(9), T0)
    assert core.waiting == (3, 0)
    assert core.since_ns(T0 + 60 * S) == T0 - S
    core.on_time(T0 + 10 * S)
    assert (core.gap, core.overflowed) == (2, 3)
    core.on_booked([fill(f"x{n}", at_s=n) for n in range(5)], T0 + 11 * S)
    core.on_listed([fill(f"x{n}", at_s=n) for n in range(5)], span(12), T0 + 12 * S)
    assert (core.gap, core.waiting) == (0, (0, 0))


@pytest.mark.req("P-VEN-10")
@given(st.data())
def test_every_fault_in_a_stream_is_found_and_nothing_else_is(data):
    """The journal books what a faulty stream said, pages lag; at the end it knows what a whole comparison finds."""
    true = [fill(f"t{n}", at_s=n, last_qty=Decimal(n + 1)) for n in range(data.draw(st.integers(1, 8)))]
    lost = data.draw(st.sets(st.sampled_from(true), max_size=3))
    invented = [fill(f"g{n}", at_s=n, last_qty=Decimal(50 + n)) for n in range(data.draw(st.integers(0, 2)))]
    wrong = data.draw(st.sets(st.sampled_from(true), max_size=2)) - lost
    booked = [one for one in (*true, *invented) if one not in lost]
    booked = [msgspec.structs.replace(one, last_px=Decimal(1)) if one in wrong else one for one in booked]
    booked = data.draw(st.permutations(booked))
    core = DropCopyCore(RULES, T0 - 3600 * S)
    lag = data.draw(st.integers(0, 20))
    for at_s in range(0, 80, 4):
        seen = [one for one in true if one.ts_event_ns + lag * S <= T0 + at_s * S]
        core.on_listed(seen, span(at_s), T0 + at_s * S)
        core.on_booked(booked[at_s // 4 : at_s // 4 + 1] if at_s < 76 else booked, T0 + at_s * S)
        core.on_time(T0 + at_s * S)
    core.on_listed(true, span(120), T0 + 120 * S)
    core.on_time(T0 + 130 * S)
    whole = compare({one.exec_id: one for one in true}, {one.exec_id: one for one in booked})
    assert {(one.kind, one.exec_id) for one in core.open()} == {(k, (a or b).exec_id) for k, a, b in whole}
    assert core.gap == len(lost) + len(invented) + len(wrong)


def paid(name="f1", *, at_s=0, amount="-1.25", instrument_id="I"):
    return funding_of(
        FundingPayment(
            venue="okx",
            instrument_id=instrument_id,
            funding_id=name,
            exec_seq=0,
            rate=Decimal(0),
            position_qty=Decimal(0),
            mark_price=Decimal(0),
            amount=Decimal(amount),
            asset="USDT",
            ts_event_ns=T0 + at_s * S,
            ts_init_ns=T0,
        )
    )


def funded(began_s):
    return msgspec.structs.replace(span(began_s), fundings_since_ns=T0 - 600 * S)


@pytest.mark.req("P-VEN-10")
def test_funding_that_is_not_booked_is_waited_for_longer_and_only_pauses(core):
    core.on_listed([paid(), fill()], funded(1), T0 + S)
    core.on_time(T0 + 30 * S)
    assert [one.exec_id for one in core.open()] == [fill().exec_id]
    core.on_booked([fill()], T0 + 31 * S)
    turn = core.on_time(T0 + 62 * S)
    (opened,) = turn.opened
    assert (opened.kind, opened.text) == (
        DifferenceKind.UNBOOKED,
        "unbooked: funding:f1 of I: the venue's record has -1.25 USDT, booked none",
    )
    assert core.brake(T0 + 80 * S) == (Level.PAUSE, opened.text)
    assert core.wants_reconciliation(T0 + 80 * S)
    assert core.on_booked([paid()], T0 + 81 * S).healed == [opened]
    assert core.brake(T0 + 99 * S) is None


@pytest.mark.req("P-VEN-10")
def test_only_a_reading_that_asked_for_funding_says_that_some_is_not_there(core):
    core.on_booked([paid(), paid("f2", at_s=1)], T0 + 2 * S)
    assert core.on_listed([], span(60), T0 + 60 * S).opened == []
    turn = core.on_listed([paid()], funded(70), T0 + 70 * S)
    # Two payments are alike more often than not: one of them is no second booking of the other.
    assert [(one.kind, one.exec_id) for one in turn.opened] == [(DifferenceKind.GHOST, "funding:f2")]


@pytest.mark.req("P-VEN-10")
def test_another_amount_of_funding_is_money_that_a_person_accepts(core):
    core.on_listed([paid(amount="-1.25")], funded(1), T0 + S)
    turn = core.on_booked([paid(amount="1.25")], T0 + 2 * S)
    assert [one.kind for one in turn.opened] == [DifferenceKind.FEE]
    assert "record has -1.25 USDT, booked 1.25 USDT" in turn.opened[0].text


def test_funding_of_what_the_desk_does_not_trade_is_not_compared():
    assert paid(instrument_id="okx/DOGE-USDT-SWAP") is None
