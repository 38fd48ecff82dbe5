"""The governor's shell: nothing is permitted that nobody vouched for, and brakes outlive whoever set them."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from decimal import Decimal

import msgspec
import pytest
from thespian.actors import ActorExitRequest

from actors.messages import (
    ActorFailed,
    AskEpoch,
    AskOpenOrders,
    AskPositions,
    BrakeCleared,
    BrakeSet,
    BrakesStated,
    DayPnl,
    Epoch,
    ModesChanged,
    OpenOrders,
    Positions,
    ResumeChild,
    VenueDown,
    VenueReconciled,
    VenueUp,
)
from actors.risk import Governor, GovernorSetup
from adapters.permit_board import OperatorBoard, PermitReader, PermitVerdict, PermitWriter
from trading.brakes import Level
from trading.operators import CommandAnswered, CommandKind, OperatorCommand, Published, Topic
from trading.orders.messages import ApprovedOrder, OrderDenied
from trading.risk.limits import RiskLimits

VENUE, USDM = "binanceusdm", "BINANCEUSDM:PERP:BTC-USDT:LINEAR"


@pytest.fixture
def setup(board, usdm, tmp_path):
    return GovernorSetup(
        instruments={USDM: usdm},
        venues=(VENUE,),
        limits=RiskLimits(),
        board=board,
        brakes_file=tmp_path / "brakes.msgpack",
    )


@pytest.fixture
def governor(bench, setup):
    return bench.start("governor", Governor, setup)


@pytest.fixture
def whole(bench, governor):
    """A governor that knows what is held, with its venue reconciled."""
    tell_all(bench)
    bench.kept.clear()
    return governor


def tell_all(bench, held=None):
    bench.tell("governor", Positions(by_instrument=held or {}, by_strategy={}), OpenOrders(orders=()))
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=0, ok=True, text="clean"))


def command(bench, kind, scope="global", actor="alice", cause="a test"):
    bench.tell(
        "governor",
        OperatorCommand(
            command_id="c1",
            kind=CommandKind(kind),
            scope=scope,
            actor=actor,
            cause=cause,
            argument="",
            ts_ns=bench.clock.wall_ns(),
        ),
    )
    (answer,) = bench.take(CommandAnswered, to="ops")
    return answer


def verdict(bench, board, *scopes):
    return PermitReader(board).check(scopes, bench.clock.mono_ns(), 1)


def codes(governor):
    return {(b.code, b.scope) for b in governor.brakes}


@pytest.mark.req("P-SAFE-1", "P-SAFE-2", "P-HA-6")
def test_it_starts_with_every_venue_held_and_asks_what_the_desk_holds(bench, governor, board):
    assert codes(governor) == {("RECON", f"venue:{VENUE}")}
    assert verdict(bench, board, f"venue:{VENUE}") is PermitVerdict.REFUSED_HOLD
    assert len(bench.take(AskPositions, to="portfolio")) == len(bench.take(AskOpenOrders, to="orders")) == 1
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=0, ok=False, text="position differs"))
    assert verdict(bench, board, f"venue:{VENUE}") is PermitVerdict.REFUSED_HOLD
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=0, ok=True, text="clean"))
    assert verdict(bench, board, f"venue:{VENUE}") is PermitVerdict.GRANTED


@pytest.mark.req("P-RSK-2")
def test_it_approves_nothing_before_it_knows_what_is_held(bench, governor, proposed):
    bench.tell("governor", proposed())
    assert bench.take(ApprovedOrder) == []
    tell_all(bench, {USDM: "0.012"})
    assert governor.core._exposures[USDM].position == Decimal("0.012")


@pytest.mark.req("P-MD-3")
def test_a_proposal_without_a_proved_book_is_denied_with_its_reason(bench, whole, proposed):
    bench.tell("governor", proposed())
    (denied,) = bench.take(OrderDenied, to="arbiter")
    assert denied.reason.value == "book_not_synced"
    assert bench.take(ApprovedOrder) == []


@pytest.mark.req("P-HA-1")
def test_each_life_has_a_higher_epoch_and_every_asker_a_serial_of_its_own(bench, governor, setup):
    for name in ("orders", "strategy.a", "strategy.a"):
        bench.tell("governor", AskEpoch(reply_to=name))
    epochs = bench.take(Epoch)
    assert {e.epoch for e in epochs} == {1}
    assert len({e.serial for e in epochs}) == 3
    second = bench.start("governor-again", Governor, setup)
    assert second._epoch == 2


@pytest.mark.req("P-SAFE-4")
def test_the_permit_lives_by_renewal_and_goes_with_the_governor(bench, whole, board):
    bench.after_ms(5_000)
    assert verdict(bench, board) is PermitVerdict.GRANTED
    bench.base.shutdown()
    assert verdict(bench, board) is PermitVerdict.REFUSED_EXPIRED


@contextmanager
def somebody_has(lock):
    """Another process at the board, for as long as it likes."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.req("P-SAFE-4", "P-HA-10")
def test_a_board_that_is_busy_for_one_renewal_changes_nothing(bench, whole, board):
    with somebody_has(board.with_name("permit.board.lock")):
        bench.after_ms(110)
        assert verdict(bench, board) is PermitVerdict.GRANTED
    bench.after_ms(450)
    assert verdict(bench, board) is PermitVerdict.GRANTED
    assert bench.take(ActorFailed) == []


@pytest.mark.req("P-SAFE-4", "P-HA-10")
def test_a_board_that_stays_busy_is_a_permit_that_expires_and_no_crash(bench, whole, board):
    with somebody_has(board.with_name("permit.board.lock")):
        bench.after_ms(520)
        assert verdict(bench, board) is PermitVerdict.REFUSED_EXPIRED
        # A brake that could not be written is written as soon as the board is free.
        bench.tell("governor", BrakeSet(code="STREAM_STALE", scope="global", level=3, cause="x", release="auto"))
    bench.after_ms(30)
    assert verdict(bench, board) is PermitVerdict.REFUSED_HOLD
    assert bench.take(ActorFailed) == []
    told = [m.body["code"] for m in bench.take(Published, to="ops") if m.topic is Topic.EVENT]
    assert told.count("PERMIT_BUSY") == 1


@pytest.mark.req("P-SAFE-2", "P-SAFE-4")
def test_a_board_that_stays_busy_is_a_brake_that_the_desk_obeys_until_it_is_free(bench, whole, board):
    with somebody_has(board.with_name("permit.board.lock")):
        bench.after_ms(450)
        assert codes(whole) == set()
        bench.after_ms(300)
        assert codes(whole) == {("PERMIT_BUSY", "global")}
        # What rests is canceled though nobody can write the board.
        assert [m.modes for m in bench.take(ModesChanged, to="orders")] == [{"global": 3}]
    bench.after_ms(100)
    assert (codes(whole), verdict(bench, board)) == (set(), PermitVerdict.GRANTED)
    assert [m.modes for m in bench.take(ModesChanged, to="orders")] == [{}]


@pytest.mark.req("P-SAFE-2", "P-HA-10")
def test_a_governor_that_finds_the_board_busy_waits_for_it_and_forgets_nothing(bench, setup, board):
    PermitWriter(board)
    with somebody_has(board.with_name("permit.board.lock")):
        governor = bench.start("governor", Governor, setup)
        bench.tell("governor", AskEpoch(reply_to="orders"), VenueUp(venue=VENUE, incarnation=5))
        bench.tell("governor", BrakeSet(code="DISK", scope="global", level=3, cause="x", release="operator"))
        bench.tell("governor", *(VenueUp(venue=VENUE, incarnation=n) for n in range(6, 2_000)))
        bench.after_ms(600)
        assert bench.take(Epoch) == []
        assert verdict(bench, board) is PermitVerdict.REFUSED_EXPIRED
    bench.after_ms(260)
    assert bench.take(ActorFailed) == []
    assert [(m.epoch, m.serial) for m in bench.take(Epoch, to="orders")] != []
    assert [m.incarnation for m in bench.take(VenueUp, to="orders")] == [1_999]
    assert codes(governor) == {("RECON", f"venue:{VENUE}"), ("DISK", "global")}


@pytest.mark.req("P-SAFE-4")
def test_a_release_that_meets_a_busy_board_is_refused_in_words(bench, whole, board):
    assert command(bench, "hold").done
    with somebody_has(board.with_name("permit.board.operator.lock")):
        answer = command(bench, "resume")
    assert (answer.done, "try again" in answer.text) == (False, True)
    assert command(bench, "resume").done


def test_a_governor_that_leaves_while_the_board_is_busy_leaves_in_order(bench, whole, board):
    with somebody_has(board.with_name("permit.board.lock")):
        bench.base.inject("governor", ActorExitRequest())
        bench.base.run_until_idle()
    assert bench.base.actor("governor") is None
    assert bench.take(ActorFailed) == []


@pytest.mark.req("P-SAFE-3", "P-SAFE-4")
def test_a_brake_reaches_board_and_order_core_at_once_and_leaves_when_its_setter_says(bench, whole, board):
    brake = BrakeSet(code="STREAM_STALE", scope=f"symbol:{USDM}", level=3, cause="silence", release="auto")
    bench.tell("governor", brake, brake)
    assert verdict(bench, board, f"symbol:{USDM}") is PermitVerdict.REFUSED_HOLD
    assert verdict(bench, board, "symbol:OTHER") is PermitVerdict.GRANTED
    assert [m.modes for m in bench.take(ModesChanged, to="orders")] == [{f"symbol:{USDM}": 3}]
    answer = command(bench, "resume", scope=f"symbol:{USDM}")
    assert (answer.done, "silence" in answer.text) == (False, True)
    bench.tell("governor", BrakeCleared(code="STREAM_STALE", scope=f"symbol:{USDM}"))
    assert verdict(bench, board, f"symbol:{USDM}") is PermitVerdict.GRANTED


@pytest.mark.req("P-SAFE-4")
def test_a_brake_whose_owner_began_anew_without_its_reason_does_not_stay_for_ever(bench, whole):
    def brake(code, owner, release="auto"):
        return BrakeSet(code=code, scope=f"symbol:{USDM}", level=3, cause="x", release=release, owner=owner)

    stale, basis = brake("STREAM_STALE", "connector.a"), brake("BASIS", "second_source")
    damage = brake("DAMAGED", "connector.a", "operator")
    bench.tell("governor", stale, basis, damage)
    crossed = brake("BOOK_CROSSED", "connector.a")
    bench.tell("governor", BrakesStated(owner="connector.a", brakes=(crossed,)))
    # What only a person may release stays, and so does what others said.
    assert {code for code, _ in codes(whole)} == {"BOOK_CROSSED", "BASIS", "DAMAGED"}
    bench.tell("governor", BrakesStated(owner="connector.a", brakes=()))
    assert {code for code, _ in codes(whole)} == {"BASIS", "DAMAGED"}


@pytest.mark.req("P-SAFE-2", "P-SAFE-3")
def test_a_venue_whose_cell_is_away_is_held_until_it_is_back_and_reconciled(bench, whole, board):
    bench.tell("governor", VenueDown(venue=VENUE))
    assert ("VENUE_DOWN", f"venue:{VENUE}") in codes(whole)
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=2))
    assert codes(whole) == {("RECON", f"venue:{VENUE}")}
    assert [m.incarnation for m in bench.take(VenueUp, to="orders")] == [2]
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=2, ok=True, text="clean"))
    assert codes(whole) == set()


@pytest.mark.req("P-SAFE-2", "P-SAFE-3")
def test_a_clean_account_of_an_earlier_life_of_a_venue_does_not_release_the_next(bench, whole):
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=2), VenueUp(venue=VENUE, incarnation=3))
    for earlier in (0, 2):
        bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=earlier, ok=True, text="clean"))
        assert codes(whole) == {("RECON", f"venue:{VENUE}")}
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=3, ok=True, text="clean"))
    assert codes(whole) == set()
    # Going safer never waits for anybody: a bad account holds, whichever life it was of.
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=2, ok=False, text="position differs"))
    assert codes(whole) == {("RECON", f"venue:{VENUE}")}


@pytest.mark.req("P-PNL-7")
def test_what_differs_in_one_instrument_holds_that_and_not_its_venue(bench, whole):
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=2))
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=2, ok=True, text="clean"))
    differs = VenueReconciled(venue=VENUE, incarnation=2, ok=False, text="venue 5, ours 0", instrument_ids=(USDM,))
    bench.tell("governor", differs)
    assert codes(whole) == {("RECON", f"symbol:{USDM}")}
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=2, ok=True, text="clean"))
    assert codes(whole) == set()


@pytest.mark.req("P-SAFE-2")
def test_an_order_core_that_wakes_late_is_told_which_life_of_each_venue_to_answer_for(bench, whole):
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=7))
    bench.kept.clear()
    bench.tell("governor", AskEpoch(reply_to="orders"))
    told = [m for to, m in bench.kept if to == "orders"]
    assert [type(m) for m in told] == [Epoch, VenueUp]
    assert told[1].incarnation == 7


@pytest.mark.req("P-SAFE-4")
def test_what_people_and_losses_braked_outlives_a_restart_what_had_a_cause_does_not(bench, whole, setup):
    bench.tell(
        "governor",
        BrakeSet(code="DAILY_LOSS", scope="global", level=3, cause="lost", release="two-man"),
        BrakeSet(code="JOURNAL_FAILED", scope="global", level=3, cause="disk", release="operator"),
        BrakeSet(code="STREAM_STALE", scope=f"symbol:{USDM}", level=3, cause="silence", release="auto"),
    )
    command(bench, "pause", scope="strategy:maker")
    second = bench.start("governor-again", Governor, setup)
    assert {code for code, _ in codes(second)} == {"DAILY_LOSS", "JOURNAL_FAILED", "operator", "RECON"}


@pytest.mark.req("P-SAFE-4")
def test_brakes_that_cannot_be_read_any_more_hold_everything_until_a_person_decides(bench, setup, board):
    setup.brakes_file.write_bytes(b"\x00junk")
    governor = bench.start("governor", Governor, setup)
    assert ("BRAKES_UNREADABLE", "global") in codes(governor)
    tell_all(bench)
    assert verdict(bench, board) is PermitVerdict.REFUSED_HOLD
    assert command(bench, "resume").done
    assert verdict(bench, board) is PermitVerdict.GRANTED


@pytest.mark.req("P-RSK-4", "P-RSK-17", "P-SAFE-4")
def test_a_daily_loss_holds_the_desk_until_two_people_release_it(bench, whole, board):
    bench.tell("governor", DayPnl(day=1, day_usd="-251", equity_usd="9749"))
    bench.after_ms(150)
    assert verdict(bench, board) is PermitVerdict.REFUSED_HOLD
    assert "second person" in command(bench, "resume", actor="alice").text
    assert "second person" in command(bench, "resume", actor="Alice").text
    bench.tell("governor", DayPnl(day=1, day_usd="-249", equity_usd="9751"))
    answer = command(bench, "resume", actor="bob")
    assert "DAILY_LOSS on global" in answer.text
    assert ("DAILY_LOSS", "global") not in codes(whole)


@pytest.mark.req("P-RSK-17")
def test_a_drawdown_counts_within_its_day_only(bench, whole):
    bench.tell("governor", DayPnl(day=1, day_usd="400", equity_usd="10400"))
    bench.tell("governor", DayPnl(day=2, day_usd="0", equity_usd="10400"))
    bench.after_ms(150)
    assert codes(whole) == set()
    bench.tell("governor", DayPnl(day=2, day_usd="300", equity_usd="10700"))
    bench.tell("governor", DayPnl(day=2, day_usd="40", equity_usd="10440"))
    bench.after_ms(150)
    assert ("DRAWDOWN_HOLD", "global") in codes(whole)


@pytest.mark.req("P-SAFE-4")
def test_a_brake_written_past_the_daemon_is_taken_up_and_taken_off(bench, whole, board):
    operator = OperatorBoard(board)
    operator.set("global", Level.HOLD, "by hand", "alice", bench.clock.wall_ns())
    bench.after_ms(150)
    assert [(b.code, b.cause, b.set_by) for b in whole.brakes] == [("operator", "by hand", "alice")]
    assert bench.take(ModesChanged, to="orders")[-1].modes == {"global": 3}
    operator.clear("global", "alice", None, bench.clock.wall_ns())
    bench.after_ms(150)
    assert codes(whole) == set()


@pytest.mark.req("P-SAFE-4")
def test_two_people_release_a_kill_by_commands(bench, whole, board):
    assert command(bench, "kill", actor="alice").done
    assert not command(bench, "resume", actor="alice").done
    assert not command(bench, "resume", actor="alice").done
    answer = command(bench, "resume", actor="bob")
    assert (answer.done, "released" in answer.text) == (True, True)
    assert OperatorBoard(board).read() == ()
    assert verdict(bench, board) is PermitVerdict.GRANTED


@pytest.mark.req("P-SAFE-4")
def test_an_approval_of_one_brake_does_not_release_the_next_one(bench, whole, board):
    command(bench, "kill", actor="alice", cause="first")
    command(bench, "resume", actor="alice")
    assert command(bench, "resume", actor="bob").done
    bench.after_ms(10)
    command(bench, "kill", actor="alice", cause="second")
    assert not command(bench, "resume", actor="bob").done
    assert verdict(bench, board) is PermitVerdict.REFUSED_KILL


@pytest.mark.req("P-HA-10")
def test_releasing_a_child_that_was_given_up_lets_its_supervisor_try_again(bench, whole):
    def given_up(child, scope, supervisor):
        code, cause = f"RESTART:{child}", "failed 6 times"
        return BrakeSet(code=code, scope=scope, level=3, cause=cause, release="operator", owner=supervisor)

    bench.tell(
        "governor",
        given_up("strategy.a", "strategy:a", "strategies"),
        given_up(f"guard.{VENUE}", f"venue:{VENUE}", "watch-top"),
    )
    assert command(bench, "resume", scope="strategy:a").done
    assert [(to, m.name) for to, m in bench.kept if type(m) is ResumeChild] == [("strategies", "strategy.a")]
    # Whoever watches a venue lives in another cell, under another supervisor.
    assert command(bench, "resume", scope=f"venue:{VENUE}").done
    assert [m.name for m in bench.take(ResumeChild, to="watch-top")] == [f"guard.{VENUE}"]
    assert codes(whole) == set()


@pytest.mark.req("P-SAFE-14")
def test_an_unknown_command_is_answered_not_swallowed(bench, whole):
    answer = command(bench, "why")
    assert (answer.done, "why" in answer.text) == (False, True)


def test_a_venue_that_says_again_that_it_is_up_is_not_reconciled_again(bench, whole):
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=5))
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=5, ok=True, text="clean"))
    assert len(bench.take(VenueUp, to="orders")) == 1
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=5), VenueUp(venue=VENUE, incarnation=5))
    assert bench.take(VenueUp, to="orders") == []
    assert codes(whole) == set()
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=6))
    assert len(bench.take(VenueUp, to="orders")) == 1
    assert codes(whole) == {("RECON", f"venue:{VENUE}")}


@pytest.mark.req("P-HA-6")
def test_a_cell_that_was_away_and_says_that_it_is_as_it_was_is_compared_before_it_trades(bench, whole):
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=5))
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=5, ok=True, text="clean"))
    bench.take(VenueUp)
    bench.tell("governor", VenueDown(venue=VENUE))
    assert codes(whole) == {("VENUE_DOWN", f"venue:{VENUE}")}
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=5))
    assert codes(whole) == {("RECON", f"venue:{VENUE}")}
    (asked,) = bench.take(VenueUp, to="orders")
    # A verdict that was on its way since before it was away is of that same life, and says nothing of what was missed.
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=5, ok=True, text="clean"))
    assert codes(whole) == {("RECON", f"venue:{VENUE}")}
    bench.tell("governor", VenueReconciled(venue=VENUE, incarnation=asked.incarnation, ok=True, text="clean"))
    assert codes(whole) == set()


@pytest.mark.req("P-SAFE-2")
def test_a_venue_of_which_nothing_is_heard_is_held_and_says_why(bench, setup):
    governor = bench.start("governor", Governor, msgspec.structs.replace(setup, silent_ns=10_000_000_000))
    tell_all(bench)
    silent = ("VENUE_SILENT", f"venue:{VENUE}")
    for _ in range(12):
        bench.after_ms(1_000)
        bench.tell("governor", VenueUp(venue=VENUE, incarnation=5))
    assert silent not in codes(governor)
    # That it says why it cannot be traded is a word too.
    for _ in range(12):
        bench.after_ms(1_000)
        bench.tell("governor", BrakesStated(owner=f"gateway.{VENUE}", brakes=()))
    assert silent not in codes(governor)
    bench.after_ms(9_000)
    assert silent not in codes(governor)
    bench.after_ms(2_000)
    (brake,) = [b for b in governor.brakes if (b.code, b.scope) == silent]
    assert (brake.level, "10 s" in brake.cause) == (Level.HOLD, True)
    bench.tell("governor", VenueUp(venue=VENUE, incarnation=5))
    assert silent not in codes(governor)


def test_unlock_goes_to_the_gateway_of_a_venue_and_to_nobody_else(bench, whole):
    ask = OperatorCommand(
        command_id="c1",
        kind=CommandKind.UNLOCK,
        scope=f"venue:{VENUE}",
        actor="alice",
        cause="a new key",
        argument="",
        ts_ns=bench.clock.wall_ns(),
    )
    bench.tell("governor", ask)
    assert bench.take(OperatorCommand, to=f"gateway.{VENUE}") == [ask]
    assert bench.take(CommandAnswered) == []
    for scope in ("global", "venue:nobody", f"symbol:{USDM}"):
        answer = command(bench, "unlock", scope=scope)
        assert (answer.done, f"venue:{VENUE}" in answer.text) == (False, True)


def test_what_explains_a_balance_goes_to_whoever_keeps_the_books(bench, whole):
    ask = OperatorCommand(
        command_id="c1",
        kind=CommandKind.ADOPT,
        scope=f"venue:{VENUE}",
        actor="alice",
        cause="a deposit",
        argument="",
        ts_ns=bench.clock.wall_ns(),
    )
    bench.tell("governor", ask)
    assert bench.take(OperatorCommand, to="portfolio") == [ask]
