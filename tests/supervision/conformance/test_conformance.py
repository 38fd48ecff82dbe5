"""A few faults of each venue against whole desks: the quick part of the matrix, and that its oracle can see."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from actors.messages import DrillFault
from adapters.clock import VirtualClock
from adapters.simserver.feed import Market
from supervision.cli import main
from supervision.conformance import guards, matrix
from supervision.conformance.errands import Errand, percentile
from supervision.conformance.markets import CATEGORIES, MARKETS, VENUES, topics
from supervision.conformance.matrix import CASES, by_id, errands, report, run_errand
from supervision.conformance.oracle import Oracle, Told
from supervision.conformance.rig import Rig
from supervision.conformance.trial import unproved
from supervision.desk_plan import INSTRUMENTS
from trading.market.events import BookState, BookTop, DepthSnapshot, DepthUpdate

QUICK = ("MD-D-01", "MD-D-03", "MD-D-13", "MD-E-01", "MD-E-04", "MD-E-06")
SYNCED, SUSPECT = BookState.SYNCED, BookState.SUSPECT
USDM = MARKETS["binanceusdm"].instrument


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """However often this machine is too busy for a trial."""
    monkeypatch.setattr(matrix, "REPEATS_MAX", 12)


@pytest.fixture
def one_trial(monkeypatch):
    """Each case once: the rest is the command's."""
    monkeypatch.setattr(matrix, "CASES", tuple(msgspec.structs.replace(case, trials=1) for case in CASES))


def told(outcome):
    return outcome.case, outcome.venue, outcome.reason, outcome.orders_on_unproved, outcome.quotes_on_unproved


@pytest.mark.req("P-MD-2", "P-MD-3", "P-MD-15")
@pytest.mark.parametrize("case_id", QUICK)
async def test_no_venue_makes_the_desk_trade_on_a_book_that_is_not_proved(one_trial, case_id):
    found = await asyncio.gather(*(run_errand(Errand(case_id, venue)) for venue in VENUES))
    assert [told(outcome) for outcome in found] == [(case_id, venue, "", 0, 0) for venue in VENUES]


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("case_id", "venue", "mutant"),
    [
        ("MD-D-01", "binanceusdm", guards.SEQUENCE),
        ("MD-D-01", "okx", guards.SEQUENCE),
        ("MD-D-07", "okx", guards.CHECKSUM),
        ("MD-E-04", "bybit", guards.LOST_STREAMS),
        ("MD-E-01", "binance", guards.AGE),
    ],
    ids=lambda value: getattr(value, "name", value),
)
async def test_a_case_turns_red_without_the_guard_that_it_is_about(one_trial, case_id, venue, mutant):
    outcome = await run_errand(Errand(case_id, venue, mutant.name))
    assert outcome.green, told(outcome)
    assert outcome.reason


@pytest.mark.req("P-MD-4", "P-MD-5", "P-VEN-13")
async def test_a_view_that_fails_is_replaced_by_the_other_without_an_order_on_an_unproved_book(one_trial):
    """A cut, silence, copies, and a hole in what the other view kept."""
    todo = (("MD-G-01", "binanceusdm"), ("MD-G-02", "okx"), ("MD-G-07", "binance"), ("MD-G-08", "bybit"))
    found = await asyncio.gather(*(run_errand(Errand(*one)) for one in todo))
    assert [told(outcome) for outcome in found] == [(*one, "", 0, 0) for one in todo]
    cut, mute, copies, seam = found
    assert [cut.sign, mute.sign, copies.sign, seam.sign] == ["FAILED_OVER", "FAILED_OVER", "", "unproved"]
    assert 0 < cut.detected_ms_p99 <= 300
    assert 250 < mute.detected_ms_p99 <= 1_000  # not before the vote can know
    assert report(found, [], 1.0).failover_ms_max == max(cut.detected_ms_p99, mute.detected_ms_p99)


@pytest.mark.req("P-MD-2")
async def test_a_fault_of_one_symbol_stops_that_symbol_and_no_other(one_trial):
    todo = [("MD-H-01", name) for name in by_id("MD-H-01").venues]
    found = await asyncio.gather(*(run_errand(Errand(*one)) for one in todo))
    assert [told(outcome) for outcome in found] == [(*one, "", 0, 0) for one in todo]
    assert all(outcome.orders_beside > 0 for outcome in found)


@pytest.mark.req("P-MD-2")
async def test_the_further_categories_of_a_venue_prove_their_books_by_its_rules(one_trial):
    todo = [("MD-D-01", name) for name in CATEGORIES] + [("MD-D-07", "okx-spot")]
    found = await asyncio.gather(*(run_errand(Errand(*one)) for one in todo))
    assert [told(outcome) for outcome in found] == [(*one, "", 0, 0) for one in todo]


@pytest.mark.req("P-MD-4")
async def test_cases_of_views_and_symbols_turn_red_without_their_guards(one_trial):
    todo = (
        ("MD-G-01", "okx", guards.FAILOVER),
        ("MD-G-02", "binanceusdm", guards.VOTE),
        ("MD-G-07", "bybit", guards.COPIES),
    )
    found = await asyncio.gather(*(run_errand(Errand(case, name, mutant.name)) for case, name, mutant in todo))
    assert [(outcome.case, outcome.green) for outcome in found] == [(case, True) for case, _, _ in todo]
    assert "came more than once" in found[2].reason


@pytest.mark.req("P-MD-4")
async def test_a_fault_of_one_symbol_stops_the_other_without_the_guard_of_scope(one_trial):
    for _ in range(8):  # on a busy machine it may be red for being late alone, or the fault over before an order is due
        outcome = await run_errand(Errand("MD-H-01", "okx", guards.SCOPE.name))
        if "over a fault of another symbol" in outcome.reason:
            return
    pytest.fail(outcome.reason)


@pytest.mark.req("P-UNI-1", "P-SAFE-2")
async def test_a_universe_that_fails_comes_back_with_list_and_listing_and_the_desk_trades_on(tmp_path):
    rig = Rig("binanceusdm", tmp_path)
    try:
        await rig.start()
        await rig.until_trading()
        before = rig.base.actor("universe")
        assert before.core.listings
        for _ in range(2):  # it fails at the message after this one
            rig.base.inject("universe", DrillFault(kind="raise", target="universe"))

        def is_back():
            actor = rig.base.actor("universe")
            return actor is not None and actor is not before and "binanceusdm" in actor.core.listings

        await rig.until(is_back, "a universe with a listing", 60.0)
        await rig.until_trading()
    finally:
        await rig.close()


# --- The oracle ------------------------------------------------------------------------------------------


def top(update_id, bid=100, *, state=SYNCED):
    return BookTop(
        instrument_id=USDM,
        state=state,
        update_id=update_id,
        bids=((bid, 5),),
        asks=((101, 5),),
        ts_event_ns=0,
        ts_recv_ns=0,
    )


@pytest.fixture
def oracle(tmp_path):
    sent = tmp_path / "sent.log"
    sent.write_text("".join(f"{ns} pd-{ns}\n" for ns in (10, 20, 30)))
    watch = Oracle(VirtualClock(0), sent)
    market = Market("BTCUSDT", INSTRUMENTS[USDM])
    watch.watch(market)
    market.on_snapshot(
        DepthSnapshot(
            instrument_id=USDM, last_update_id=1, bids=[(100, 5)], asks=[(101, 5)], ts_event_ns=0, ts_recv_ns=0
        )
    )
    market.on_update(
        DepthUpdate(
            instrument_id=USDM,
            first_update_id=2,
            final_update_id=2,
            prev_final_update_id=1,
            bids=[(100, 7)],
            asks=[],
            ts_event_ns=0,
            ts_recv_ns=0,
        ),
        0,
    )
    return watch


def test_the_oracle_holds_each_top_against_the_venues_book_of_the_same_number(oracle):
    for one in (top(1), top(2), top(2, 99), top(3), top(2, 99, state=SUSPECT)):
        oracle.on_message("oracle", None, one)
    assert [found.true for found in oracle.tops] == [True, False, False, None, False]
    assert oracle.wrong_between(0, 1) == 2  # what is told as SUSPECT claims nothing
    assert "at 2, true is (((100, 7),), ((101, 5),))" in oracle.first_wrong


def test_the_oracle_counts_the_orders_that_left_in_a_span(oracle):
    assert [oracle.orders_between(*span) for span in ((0, 100), (10, 20), (11, 20), (30, 31))] == [3, 1, 0, 1]


def test_the_oracle_tells_the_orders_of_instruments_apart_and_one_that_nobody_knows_is_everybodys(oracle):
    oracle.ordered("pd-10", USDM)
    oracle.ordered("pd-20", "BINANCEUSDM:PERP:ETH-USDT:LINEAR")
    assert oracle.orders_between(0, 100, USDM) == 2
    assert oracle.orders_between(0, 25, USDM) == 1


def test_a_book_is_unproved_from_the_first_word_of_it_to_the_next_proved_top():
    states = (SYNCED, SUSPECT, BookState.RESYNC, SYNCED, SYNCED, SUSPECT)
    tops = [Told(ns, state, 0, None) for ns, state in enumerate(states)]
    assert unproved(tops, 9) == [(1, 3), (5, 9)]


# --- The catalogue and the command -----------------------------------------------------------------------


def test_every_case_has_a_name_of_its_own_and_says_what_it_is_about():
    assert len({case.id for case in CASES}) == len(CASES)
    for case in CASES:
        assert all((case.title, case.expects, case.faults, case.spec)), case.id
        assert set(case.venues) <= set(MARKETS), case.id
        assert not case.beside or all(MARKETS[name].beside for name in case.venues), case.id
        assert case.strike.acts or case.strike.act or case.strike.faults("okx"), case.id


def test_every_incident_of_books_connections_limits_and_clocks_has_a_case():
    wanted = {"F51", "F52", "F54", "F56", "F57", "F59", "F61", "F62", "F64", "F66", "F67", "F69", "F72", "F79"}
    assert {fault for case in CASES for fault in case.faults} == wanted


def test_topics_are_named_as_each_server_names_them():
    assert topics("binanceusdm", "book", "BTCUSDT") == ("btcusdt@depth*",)
    assert topics("okx-spot", "trades", "BTC-USDT") == ("trades:BTC-USDT",)
    assert topics("bybit-inverse", "book") == ("*orderbook.50.*",)


def test_a_further_category_is_tried_only_where_a_case_names_it():
    tried = {name: {one.case_id for one in errands((name,), (), mutate=False)} for name in ("bybit", "bybit-inverse")}
    assert tried["bybit-inverse"] < tried["bybit"]
    assert "MD-D-01" in tried["bybit-inverse"]


def test_guards_are_taken_out_on_one_venue_of_each_kind():
    todo = errands((), ("MD-D-01",), mutate=True)
    assert {(one.venue, one.mutant) for one in todo} == {
        (venue, mutant.name) for venue in ("binanceusdm", "okx") for mutant in by_id("MD-D-01").mutants
    }


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([], 0.5, None), ([3.0], 0.99, 3.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0), ([1.0, 2.0, 3.0, 4.0], 0.99, 4.0)],
)
def test_a_percentile_is_a_value_that_was_measured(values, share, found):
    assert percentile(values, share) == found


@pytest.mark.parametrize(
    "unknown", [["--venue", "mtgox"], ["--case", "MD-X-99"], ["--case", "MD-F-01", "--venue", "okx"]]
)
def test_what_is_not_there_could_not_run(capsys, unknown):
    assert main(["conformance", "md", *unknown]) == 2
    assert "propdesk conformance: no" in capsys.readouterr().err


def test_the_command_prints_one_object_that_says_its_market_is_synthetic(capsys):
    assert main(["conformance", "md", "--venue", "okx", "--case", "MD-D-04", "--jobs", "1", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["synthetic"] is True
    assert out["passed"] is True
    assert (out["cases"], out["red"], out["orders_on_unproved"], out["quotes_on_unproved"]) == (1, 0, 0, 0)
    (result,) = out["results"]
    assert (result["case"], result["venue"], result["green"], result["sign"]) == ("MD-D-04", "okx", True, "unproved")
    assert 0 < result["resync_ms_p99"] <= 1_000


async def test_a_mutant_that_stays_green_makes_the_report_red():
    found = await run_errand(Errand("MD-D-03", "okx"))
    assert found.green
    survivor = type(found)(**{**{f: getattr(found, f) for f in found.__struct_fields__}, "green": False})
    assert report([found], [], 1.0).passed
    assert not report([found], [survivor], 1.0).passed
