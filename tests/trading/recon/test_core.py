"""Differences from the moment they are found: class, evidence, patience, repair, and exactly the scope that is held."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.ledger.portfolio import Portfolio
from trading.orders.journal_rows import JournalKind, JournalRow, NoteBody, ReconcileBody, decode_body, encode_body
from trading.orders.messages import Side
from trading.recon.books import Books
from trading.recon.core import CAUSE
from trading.recon.difference import AccountCompared, DiffClass, Difference, Subject
from trading.recon.tracked import AskAccount, BookPaidIn, WriteRows

from .conftest import ALL, LINEAR, MS, SPOT, T0, VENUE, Watch, fill, funding, report

SYMBOL = f"symbol:{LINEAR.instrument_id}"


def noted(effects):
    """What the journal was told, as (state, class) of each note."""
    bodies = [decode_body(row.body) for e in effects if isinstance(e, WriteRows) for row in e.rows]
    return [(b.facts["state"], b.facts["class"]) for b in bodies if isinstance(b, NoteBody)]


def position(theirs="0.5", *, diff_class=DiffClass.UNEXPLAINED):
    return Difference(
        diff_class=diff_class,
        subject=Subject.POSITION,
        venue=VENUE,
        ref=LINEAR.instrument_id,
        instrument_id=LINEAR.instrument_id,
        ours="0",
        theirs=theirs,
        text=f"venue {theirs}, ours 0",
    )


def compared(*standing, taken=()):
    return AccountCompared(venue=VENUE, standing=tuple(standing), taken=tuple(taken), ts_init_ns=T0)


@pytest.mark.req("P-PNL-7")
def test_equal_accounts_differ_in_nothing_and_that_is_journalled(watch):
    one = fill()
    watch.book(one, "-0.1")
    effects = watch.read(report(one))
    assert watch.states() == {}
    (row,) = [row for e in effects if isinstance(e, WriteRows) for row in e.rows]
    body = decode_body(row.body)
    assert isinstance(body, ReconcileBody)
    assert (body.ok, body.baseline, body.balances) == (True, False, {"USDT": "999.9"})
    assert watch.core.venues[VENUE].bookings.unconfirmed == 0


@pytest.mark.req("P-PNL-7", "C-EXEC-9")
def test_a_missing_fill_waits_then_is_asked_for_taken_in_and_counted(watch):
    lost = fill()
    watch.read(report(lost), usdt="999.9")
    assert watch.states()[lost.exec_id] == ("ours_late", "open")
    watch.later(10_000)
    assert watch.states()[lost.exec_id] == ("missing_fill", "open")
    opened = watch.effects
    row = next(i for i, e in enumerate(opened) if isinstance(e, WriteRows) and ("open", "missing_fill") in noted([e]))
    asked = next(i for i, e in enumerate(opened) if isinstance(e, AskAccount) and i > row)
    assert row < asked  # why it is asked is durable before it is asked
    watch.book(lost, "-0.1")
    watch.read(report(lost))
    assert watch.states() == {}
    assert watch.core.repairs["missing_fill"] == 1
    assert watch.core.total["missing_fill"] == 1
    closed = next(t for t in watch.core.closed if t.diff.ref == lost.exec_id)
    assert closed.outcome == "booked from the venue's own report"
    assert any("the venue lists" in words for words in closed.diff.evidence)


@pytest.mark.req("P-PNL-7")
def test_what_is_never_booked_holds_its_instrument_and_nothing_else(watch):
    lost = fill()
    watch.read(report(lost))
    watch.later(10_000)
    watch.later(15_000)
    watch.read(report(lost))
    watch.later(15_000)
    assert watch.states()[lost.exec_id] == ("missing_fill", "braked")
    assert set(watch.core.held()) == {SYMBOL}
    watch.book(lost)
    watch.read(report(lost))
    assert watch.core.held() == {}


@pytest.mark.req("P-PNL-7")
def test_a_missing_fill_that_the_order_core_took_in_is_on_record_as_a_repair(watch):
    old = Difference(
        diff_class=DiffClass.MISSING_FILL,
        subject=Subject.EXECUTION,
        venue=VENUE,
        ref="x77",
        instrument_id=LINEAR.instrument_id,
        text="executed while nobody looked",
        evidence=("the venue lists x77",),
        since_ns=T0 - 3_600_000 * MS,
    )
    effects = watch.compared(compared(taken=[old]))
    assert noted(effects) == [("healed", "missing_fill")]
    assert watch.core.repairs["missing_fill"] == 1
    assert watch.core.closed[-1].diff.evidence == ("the venue lists x77", "taken in from the venue's own report")


def test_a_fill_that_the_list_told_a_moment_before_the_stream_is_merely_late(watch):
    late = position(diff_class=DiffClass.MISSING_FILL)
    assert watch.compared(compared(taken=[msgspec.structs.replace(late, since_ns=watch.now - MS)])) == []
    assert watch.core.total["ours_late"] == 1


@pytest.mark.req("P-PNL-7")
def test_an_external_reduction_is_repaired_only_by_the_venues_own_list(watch):
    gone = fill(side=Side.SELL, legs=(("external", "0.010"),))
    watch.read()
    watch.book(gone, "-0.1")
    assert watch.states()[gone.exec_id] == ("external_reduction", "open")
    watch.read()
    assert watch.states()[gone.exec_id] == ("external_reduction", "open")
    watch.read(report(gone))
    assert watch.states() == {}
    assert watch.core.repairs["external_reduction"] == 1
    assert watch.core.closed[-1].outcome == "booked, and the venue's own list confirms it"


@pytest.mark.req("P-PNL-7")
def test_an_external_reduction_that_no_list_confirms_holds_its_instrument(watch):
    gone = fill(legs=(("external", "0.010"),))
    watch.read()
    watch.book(gone)
    watch.later(60_000)
    for _ in range(4):
        watch.read(cause=CAUSE)
        watch.later(60_000)
    assert watch.states()[gone.exec_id][1] == "braked"
    assert SYMBOL in watch.core.held()


@pytest.mark.req("P-PNL-7")
def test_a_booked_fill_that_the_venue_does_not_list_is_first_late_and_then_unexplained(watch):
    ghost = fill()
    watch.read()
    watch.book(ghost)
    watch.later(60_000)  # the look back is asked for
    watch.read(cause=CAUSE)
    assert watch.states()[ghost.exec_id] == ("venue_late", "open")
    watch.later(60_000)
    assert watch.states()[ghost.exec_id] == ("unexplained", "open")
    watch.read(cause=CAUSE)
    watch.later(15_000)
    assert watch.states()[ghost.exec_id] == ("unexplained", "braked")
    watch.read(report(ghost))
    assert watch.states() == {}


@pytest.mark.req("P-PNL-7")
def test_one_execution_told_in_two_ways_is_never_repaired_by_itself(watch):
    one = fill()
    watch.book(one)
    for _ in range(3):
        watch.read(report(one, last_qty=Decimal("0.011")))
        watch.later(15_000)
    assert watch.states()[one.exec_id] == ("unexplained", "braked")
    assert watch.core.repairs.total() == 0
    watch.read(report(one))
    assert watch.core.held() == {}


@pytest.mark.req("P-PNL-7", "P-PNL-8")
def test_funding_that_differs_from_the_venues_row_is_found(watch):
    watch.core.funded(funding("-0.5"))
    watch.read(fundings=[funding("-0.7")])
    assert watch.states()["f1"] == ("unexplained", "open")
    watch.read(fundings=[funding("-0.5")])
    assert watch.states() == {}


@pytest.mark.req("P-PNL-7")
def test_an_order_of_others_is_left_and_holds_its_instrument_until_it_is_gone(watch):
    foreign = Difference(
        diff_class=DiffClass.FOREIGN_ORDER,
        subject=Subject.ORDER,
        venue=VENUE,
        ref="web_1",
        instrument_id=LINEAR.instrument_id,
        text="open order web_1 is not in the journal",
    )
    watch.read()
    for _ in range(3):
        watch.compared(compared(foreign))
        watch.later(15_000)
    assert watch.states()["web_1"] == ("foreign_order", "braked")
    watch.compared(compared())
    assert watch.core.held() == {}
    assert watch.core.repairs["foreign_order"] == 0  # nobody repaired anything: whoever placed it took it away


@pytest.mark.req("P-PNL-7")
def test_an_orphan_with_our_mark_that_was_canceled_is_a_repair(watch):
    orphan = Difference(
        diff_class=DiffClass.FOREIGN_ORDER,
        subject=Subject.ORDER,
        venue=VENUE,
        ref="pd9-1",
        instrument_id=LINEAR.instrument_id,
        text="open order pd9-1 is not in the journal",
        ours_mark=True,
    )
    watch.compared(compared(orphan))
    watch.compared(compared())
    assert watch.core.repairs["foreign_order"] == 1


@pytest.mark.req("P-PNL-7")
def test_a_position_is_looked_at_twice_before_it_holds_anything(watch):
    watch.read()
    watch.compared(compared(position()))
    asked = len(watch.asked())
    watch.later(15_000)
    assert watch.states()[LINEAR.instrument_id][1] == "open"
    assert len(watch.asked()) > asked
    watch.compared(compared(position()))
    watch.later(15_000)
    assert watch.states()[LINEAR.instrument_id][1] == "braked"


@pytest.mark.req("P-PNL-8")
def test_a_balance_that_we_passed_through_since_the_question_is_no_difference(watch):
    asked = watch.now
    watch.now += 100 * MS
    watch.book(fill(), "-0.1")
    watch.read(usdt="1000", asked=asked)
    assert watch.states() == {}
    watch.read(usdt="1000")
    assert watch.states()["USDT"] == ("dust", "healed")  # the question was asked after that


@pytest.mark.req("P-PNL-8")
def test_a_balance_that_lacks_money_is_unexplained_and_held_and_dust_is_accepted(watch):
    watch.read(usdt="999.95")
    assert watch.states()["USDT"] == ("dust", "healed")
    watch.read(usdt="900")
    assert watch.states()["USDT"] == ("unexplained", "open")
    watch.read(usdt="900")
    watch.later(15_000)
    assert set(watch.core.held()) == {SYMBOL}  # the one instrument that is paid in it
    watch.read()
    assert watch.core.held() == {}


def test_without_a_price_nothing_is_dust(watch):
    watch.price.clear()
    watch.read(usdt="999.99999999")
    assert watch.states()["USDT"] == ("unexplained", "open")


@pytest.mark.req("C-EXEC-9")
def test_the_account_is_read_again_every_interval_and_a_day_deep():
    watch = Watch(interval_ms=60_000, lookback_ms=86_400_000)
    watch.core.venues[VENUE].opened_ns = T0 - 10 * 86_400_000 * MS
    old, young = fill(ts=T0 - 86_500_000 * MS), fill(ts=T0 - 80_000_000 * MS)
    watch.book(old)
    watch.book(young)
    watch.read()
    for _ in range(150):
        if watch.core.venues[VENUE].asked_ns:
            watch.core.on_account(watch.account(cause=CAUSE), watch.now)
        watch.later(2_000)
    asked = watch.asked()
    assert len(asked) == 6
    assert {e.since_ns for e in asked} == {young.ts_event_ns}
    assert {e.since_exec_seq for e in asked} == {young.exec_seq - 1}


def test_a_question_that_nobody_answered_is_asked_again(watch):
    watch.read()
    assert len(watch.asked()) == 1
    watch.later(4_999)
    assert len(watch.asked()) == 1
    watch.later(1)
    assert len(watch.asked()) == 2
    watch.read(cause=CAUSE)
    watch.later(20_000)
    assert len(watch.asked()) == 2


def test_when_half_of_the_window_is_not_confirmed_the_account_is_read_sooner():
    watch = Watch(executions_max=10)
    watch.read()
    for _ in range(6):
        watch.book(fill())
    watch.later(5_000)
    assert len(watch.asked()) == 2


def test_what_happened_before_the_first_day_is_nobodys_loss(watch):
    watch.read(report(fill(ts=T0 - 1)), report(fill(ts=T0 - 2)))
    late = watch.states()
    fresh = Watch()
    before = fill(ts=T0 - 1)
    fresh.core.venues[VENUE].bookings.open_at([before.exec_id], 0, T0)
    fresh.read(report(before))
    assert fresh.states() == {}
    assert len(late) == 2


def test_more_differences_than_can_be_followed_hold_everything(watch):
    watch.read()
    many = [Difference(diff_class=DiffClass.FOREIGN_ORDER, subject=Subject.ORDER, venue=VENUE, ref=str(n), text=str(n))
            for n in range(300)]  # fmt: skip
    watch.compared(compared(*many))
    assert "global" in watch.core.held()
    watch.compared(compared())
    assert watch.core.held() == {}


def test_another_venue_is_not_touched(watch):
    watch.core.booked(fill(SPOT), watch.now)
    watch.read(usdt="1")
    assert {t.diff.venue for t in watch.core.tracked.values()} == {VENUE}


def lacking(watch):
    """A venue that lacks 100 USDT, and is held for it."""
    for _ in range(3):
        watch.read(usdt="900")
        watch.later(15_000)
    assert watch.core.held()


@pytest.mark.req("P-PNL-8")
def test_a_withdrawal_is_booked_by_an_operator_once_and_after_its_row(watch):
    lacking(watch)
    effects, words = watch.core.adopt(VENUE, "alice", "moved to cold storage", watch.now)
    assert words == ["-100 USDT"]
    (row,) = effects
    body = decode_body(row.rows[0].body)
    assert isinstance(body, NoteBody)
    assert (body.facts["paid_in"], body.facts["amount"], body.facts["actor"]) == ("USDT", "-100", "alice")
    assert watch.core.adopt(VENUE, "bob", "the same again", watch.now) == ([], [])
    (booking,) = watch.core.on_committed(row.commit_id)
    assert booking == BookPaidIn(venue=VENUE, asset="USDT", amount=Decimal(-100), ref=booking.ref)
    watch.cash["USDT"] += booking.amount
    watch.read(usdt="900")
    assert watch.core.held() == {}


def test_what_still_may_explain_itself_is_not_adopted(watch):
    watch.read(usdt="900")
    assert watch.core.adopt(VENUE, "alice", "too early", watch.now) == ([], [])


def test_a_transfer_is_in_the_books_after_a_restart_and_violates_nothing():
    facts = {"paid_in": "USDT", "amount": "-100", "actor": "alice"}
    row = JournalRow(
        seq=1, ts_ns=T0, kind=JournalKind.RECONCILE, venue=VENUE, cl_ord_id="", exec_id=None, parent_id="", epoch=1,
        body=encode_body(NoteBody(text="", facts=facts)),
    )  # fmt: skip
    books, plain = Books(ALL), Portfolio(ALL)
    books.rebuild([row])
    plain.rebuild([row])
    assert books.portfolio.balances_by_venue() == plain.balances_by_venue() == {VENUE: {"USDT": Decimal(-100)}}
    assert books.violations() == []


@pytest.mark.req("P-PNL-7")
def test_an_execution_of_which_two_things_are_said_is_accepted_by_a_person_as_it_is_booked_and_no_further(watch):
    one = fill()
    watch.book(one)
    for _ in range(3):
        watch.read(report(one, fee=Decimal("0.2")))
        watch.later(15_000)
    assert watch.core.held()
    effects, words = watch.core.adopt(VENUE, "alice", "the venue rebated it", watch.now)
    assert words[0].startswith(f"accepted: {one.exec_id} differs in fee")
    assert watch.core.closed[-1].outcome == "accepted by alice: the venue rebated it"
    watch.read(report(one, fee=Decimal("0.2")))
    assert (watch.core.standing(), watch.core.venues[VENUE].bookings.unconfirmed) == ([], 0)
    watch.read(report(one, fee=Decimal("0.3")))
    assert watch.states()[one.exec_id] == ("unexplained", "open")  # something else than what was accepted
    rows = [row for e in effects if isinstance(e, WriteRows) for row in e.rows]
    assert [decode_body(row.body).facts.get("accepted") for row in rows] == [f"{VENUE}:execution:{one.exec_id}", None]


def test_a_position_is_mended_and_not_explained(watch):
    watch.read()
    for _ in range(3):
        watch.compared(compared(position()))
        watch.later(15_000)
    assert watch.core.held()
    assert watch.core.adopt(VENUE, "alice", "I know", watch.now) == ([], [])


@pytest.mark.req("P-SAFE-2", "P-PNL-7")
def test_a_start_is_proved_when_what_was_listed_is_booked_and_balances_are_the_ledgers():
    watch = Watch()
    missed = fill()
    assert set(watch.core.unproved()) == {VENUE}
    watch.core.on_account(watch.account(report(missed), usdt="999.9"), watch.now)
    assert set(watch.core.unproved()) == {VENUE}
    watch.book(missed, "-0.1")
    assert watch.core.unproved() == {}  # at once, and not at the next look


@pytest.mark.req("P-SAFE-2", "P-PNL-7")
def test_a_start_with_other_balances_is_not_proved_until_they_are_explained():
    watch = Watch()
    watch.core.on_account(watch.account(fundings=[funding("-0.5")], usdt="900"), watch.now)
    watch.core.funded(funding("-0.5"))
    assert set(watch.core.unproved()) == {VENUE}
    lacking(watch)
    assert set(watch.core.unproved()) == {VENUE}
    effects, _ = watch.core.adopt(VENUE, "alice", "a withdrawal", watch.now)
    (booking,) = watch.core.on_committed(effects[0].commit_id)
    watch.cash["USDT"] += booking.amount
    watch.core.on_account(watch.account(), watch.now)
    assert watch.core.unproved() == {}
