"""The universe's shell: nothing is traded that nobody approved, and what venues change is acted upon."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages import BrakeCleared, BrakeSet, BrakesStated, ListingRead, ListingWanted, VenuePulse
from actors.universe import Universe, UniverseSetup
from trading.market.events import BookState, BookTop
from trading.operators import CommandAnswered, CommandKind, OperatorCommand, Published, Topic
from trading.universe.admission import UniverseRules
from trading.universe.listing import ListedMarket, listing_of
from trading.universe.workflow import ApproveMarket, DraftMarket, SubmitMarket

USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
SCOPE = f"symbol:{USDM}"
ENCODE = msgspec.json.Encoder().encode


@pytest.fixture
def start(bench, usdm, tmp_path):
    def run(*, seed=False, table=False, name="universe", folder=tmp_path / "universe"):
        setup = UniverseSetup(
            folder=folder,
            rules=UniverseRules(),
            instruments={USDM: usdm},
            venues=("binanceusdm",),
            seed=seed,
            synthetic=True,
            table=table,
        )
        return bench.start(name, Universe, setup)

    return run


def top(bench, usdm):
    now = bench.clock.wall_ns()
    bench.tell(
        "universe",
        BookTop(
            instrument_id=USDM,
            state=BookState.SYNCED,
            update_id=1,
            bids=((618_000, 5),),
            asks=((618_001, 5),),
            ts_event_ns=now,
            ts_recv_ns=now,
        ),
    )


def listing(bench, *markets):
    bench.tell("universe", ListingRead(listing=listing_of("binanceusdm", bench.clock.wall_ns(), markets)))


def command(bench, step):
    bench.tell(
        "universe",
        OperatorCommand(
            command_id="c",
            kind=CommandKind.UNIVERSE,
            scope="global",
            actor=f"http:{step.actor}",
            cause="",
            argument=ENCODE(step).decode(),
            ts_ns=bench.clock.wall_ns(),
        ),
    )
    (answer,) = bench.take(CommandAnswered, to="ops")
    return answer


def held(bench):
    """Whether the symbol is held after everything that was told so far, by code."""
    codes = set()
    for message in bench.take(BrakeSet, BrakeCleared, BrakesStated, to="governor"):
        if isinstance(message, BrakesStated):
            codes = {brake.code for brake in message.brakes if brake.scope == SCOPE}
        elif message.scope == SCOPE:
            (codes.add if isinstance(message, BrakeSet) else codes.discard)(message.code)
    return codes


@pytest.mark.req("P-UNI-1")
def test_a_market_is_held_until_it_was_drafted_reviewed_and_approved_by_a_person(bench, start, usdm):
    start()
    assert held(bench) == {"NOT_IN_UNIVERSE"}
    listing(bench, ListedMarket(instrument=usdm))
    top(bench, usdm)
    assert command(bench, DraftMarket(instrument_id=USDM, actor="ann")).done
    reviewed = command(bench, SubmitMarket(instrument_id=USDM, actor="ann"))
    assert reviewed.done
    bench.after_ms(5_000)
    assert held(bench) == {"NOT_IN_UNIVERSE"}  # said again and again: a governor may have begun anew
    wrong = command(bench, ApproveMarket(instrument_id=USDM, actor="bob", facts_hash="0" * 64))
    assert not wrong.done
    facts = reviewed.body["entry"]["facts_hash"]
    assert command(bench, ApproveMarket(instrument_id=USDM, actor="bob", facts_hash=facts)).done
    assert [c.code for c in bench.take(BrakeCleared)] == ["NOT_IN_UNIVERSE"]


@pytest.mark.req("P-UNI-1")
def test_an_approval_survives_a_restart_and_a_damaged_list_makes_nothing_tradable(bench, start, usdm, tmp_path):
    actor = start(seed=True, table=True)
    top(bench, usdm)
    bench.after_ms(1_000)
    assert actor.core.is_tradable(USDM)
    actor.stop()
    bench.take(BrakeSet, BrakeCleared)
    again = start(name="again")
    assert again.core.is_tradable(USDM)
    assert held(bench) == set()
    again.stop()
    file = tmp_path / "universe" / "universe.json"
    file.write_bytes(file.read_bytes().replace(b"approved", b"approvee"))
    third = start(name="third")
    assert not third.core.is_tradable(USDM)
    (brake,) = bench.take(BrakeSet)
    assert (brake.code, brake.scope) == ("NOT_IN_UNIVERSE", SCOPE)
    assert "universe.json" in brake.cause


def test_the_paper_configuration_approves_only_what_is_listed_and_priced(bench, start, usdm):
    actor = start(seed=True)
    bench.after_ms(1_000)
    assert actor.core.state.entries == {}
    listing(bench, ListedMarket(instrument=usdm))
    bench.after_ms(1_000)
    assert not actor.core.is_tradable(USDM)
    top(bench, usdm)
    bench.after_ms(1_000)
    assert actor.core.is_tradable(USDM)
    audit = [fact.body for fact in bench.take(Published) if fact.topic is Topic.UNIVERSE]
    bench.after_ms(4_000)
    audit = [fact.body for fact in bench.take(Published) if fact.topic is Topic.UNIVERSE]
    assert {row["by"] for row in audit[-1]["audit"]} == {"configuration"}


@pytest.mark.req("P-MD-9")
def test_a_market_whose_rules_the_venue_changes_is_held_and_the_change_is_audited(bench, start, usdm):
    start(seed=True)
    listing(bench, ListedMarket(instrument=usdm))
    top(bench, usdm)
    bench.after_ms(1_000)
    assert held(bench) == set()
    coarser = msgspec.structs.replace(usdm, tick_size=usdm.tick_size * 10, rules_version="other")
    listing(bench, ListedMarket(instrument=coarser))
    assert len(held(bench)) == 1
    bench.after_ms(4_000)
    (meta,) = [f.body for f in bench.take(Published) if f.topic is Topic.META][-1:]
    assert any(change["field"] == "tick_size" for change in meta["changes"])


@pytest.mark.req("P-UNI-1")
def test_a_universe_without_a_venues_listing_asks_for_it(bench, start, usdm):
    def pulse():
        said = {"messages": 1, "dropped": 0, "gaps": 0, "requests": 0, "requests_failed": 0}
        bench.tell("universe", VenuePulse(venue="binanceusdm", connected=True, **said))
        return bench.take(ListingWanted, to="connector.binanceusdm")

    start()
    assert pulse() == [ListingWanted(venue="binanceusdm")]
    listing(bench, ListedMarket(instrument=usdm))
    assert pulse() == []


@pytest.mark.req("P-VEN-14")
def test_a_venue_that_loses_its_streams_is_degraded_and_then_in_quarantine(bench, start):
    start(table=True)

    def pulse(connected, messages):
        return VenuePulse(
            venue="binanceusdm",
            connected=connected,
            messages=messages,
            dropped=0,
            gaps=0,
            requests=0,
            requests_failed=0,
        )

    bench.tell("universe", pulse(False, 0))  # only just connecting: nothing is held against it
    bench.after_ms(5_000)
    bench.tell("universe", pulse(True, 100))
    bench.after_ms(60_000)
    bench.take(BrakeSet)
    bench.tell("universe", pulse(False, 100))
    bench.after_ms(900_000)
    codes = [b.code for b in bench.take(BrakeSet) if b.scope == "venue:binanceusdm"]
    assert list(dict.fromkeys(codes)) == ["DEGRADED", "QUARANTINED"]
