"""The universe as the desk runs it: listings and commands in; brakes, steps to keep and answers out."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from adapters.universe_store import UniverseStore
from trading.brakes import Level
from trading.operators import CommandKind, OperatorCommand
from trading.universe.admission import UniverseRules
from trading.universe.core import NOT_ALLOWED, UniverseCore
from trading.universe.watch import ChangeKind
from trading.universe.workflow import ApproveMarket, DraftMarket, EntryStatus, SubmitMarket, UniverseState

from .conftest import T0, listing, market

BTC, ETH = "OKX:SPOT:BTC-USDT", "OKX:SPOT:ETH-USDT"


def asked(wanted, actor=None):
    return OperatorCommand(
        command_id="c1",
        kind=CommandKind.UNIVERSE,
        scope="global",
        actor=actor or f"http:127.0.0.1:{wanted.actor}",
        cause="test",
        argument=msgspec.json.encode(wanted).decode(),
        ts_ns=T0,
    )


def core(store=None, **more):
    made = UniverseCore(store.state if store else UniverseState(), UniverseRules(), **more)
    made.on_listing(listing(market(), market(ETH)))
    made.on_price(BTC, Decimal(60000))
    return made


def do(made, wanted, store=None):
    kept, answer = made.on_command(asked(wanted), T0)
    if kept is not None:
        if store is not None:
            store.save(kept.state, kept.changed)
        made.accept(kept)
    return answer


def approve(made, store=None):
    do(made, DraftMarket(instrument_id=BTC, actor="ann"), store)
    answer = do(made, SubmitMarket(instrument_id=BTC, actor="ann"), store)
    return do(made, ApproveMarket(instrument_id=BTC, actor="ann", facts_hash=answer.body["entry"]["facts_hash"]), store)


@pytest.mark.req("P-UNI-1")
def test_a_pair_outside_the_allow_list_is_held_and_an_approved_one_is_not():
    made = core()
    assert {brake.scope for brake in made.brakes([BTC, ETH], T0)} == {f"symbol:{BTC}", f"symbol:{ETH}"}
    answer = approve(made)
    assert (answer.done, answer.text) == (True, f"{BTC} is approved")
    (brake,) = made.brakes([BTC, ETH], T0)
    assert (brake.code, brake.scope, brake.level) == (NOT_ALLOWED, f"symbol:{ETH}", Level.HOLD)


def test_a_step_holds_only_after_it_was_kept():
    made = core()
    kept, answer = made.on_command(asked(DraftMarket(instrument_id=BTC, actor="ann")), T0)
    assert answer.done
    assert made.state.entries == {}
    made.accept(kept)
    assert made.state.entries[BTC].status is EntryStatus.DRAFT
    assert [one.by for one in made.body().audit] == ["ann"]


def test_a_refusal_says_field_text_and_mend_in_one_line():
    made = core()
    answer = do(made, DraftMarket(instrument_id=ETH, actor="ann"))
    assert not answer.done
    assert answer.text == (
        "instrument_id: no price of it is known. subscribe to the market first, so that sizes can be compared with its "
        "filters"
    )
    assert answer.body["field"] == "instrument_id"


@pytest.mark.parametrize("argument", ["", "{}", '{"type":"DraftMarket"}', "[" * 5000, '{"type":"Other"}'])
def test_what_is_no_command_is_refused_and_changes_nothing(argument):
    made = core()
    command = msgspec.structs.replace(asked(DraftMarket(instrument_id=BTC, actor="ann")), argument=argument)
    kept, answer = made.on_command(command, T0)
    assert kept is None
    assert not answer.done


def test_nobody_speaks_for_another():
    made = core()
    kept, answer = made.on_command(asked(DraftMarket(instrument_id=BTC, actor="bob"), "http:127.0.0.1:ann"), T0)
    assert kept is None
    assert answer.body["field"] == "actor"


@pytest.mark.req("P-MD-9")
@pytest.mark.req("P-VEN-14")
def test_a_venues_change_brakes_its_market_suspends_it_is_kept_and_remembered(tmp_path):
    store = UniverseStore(tmp_path)
    made = core(store)
    approve(made, store)
    found = made.on_listing(listing(market(min_notional=Decimal(5000), rules_version="bbbb"), market(ETH)))
    (change,) = found.changes
    assert (change.field, change.rules_version) == ("min_notional", "bbbb")
    assert [(brake.code, brake.level) for brake in found.brakes] == [("RULES_CHANGED", Level.PAUSE)]
    assert not made.is_tradable(BTC)
    for kept in found.kept:
        store.save(kept.state, kept.changed)
    store.close()
    again = UniverseStore(tmp_path)
    assert again.state.entries[BTC].status is EntryStatus.SUSPENDED
    assert again.recent[0].cause.startswith("an order of 100")
    again.close()
    assert [one.field for one in made.history.of(BTC)] == ["min_notional"]


def test_a_delisting_that_is_called_off_names_the_brake_to_release():
    made = core()
    made.on_listing(listing(market(delist_ns=T0 + 10**15), market(ETH)))
    found = made.on_listing(listing(market(), market(ETH)))
    assert [one.kind for one in found.changes] == [ChangeKind.DELISTING_CALLED_OFF]
    assert found.released == (("DELISTING", f"symbol:{BTC}"),)


def test_what_cannot_be_kept_makes_nothing_tradable():
    made = core()
    approve(made)
    made.distrust("universe.json: the disk is full. Make room and restart")
    assert not made.is_tradable(BTC)
    body = made.body()
    assert body.tradable == ()
    assert body.trouble.startswith("universe.json")
    assert "disk is full" in made.brakes([BTC], T0)[0].cause
    answer = do(made, DraftMarket(instrument_id=BTC, actor="ann"))
    assert (answer.done, answer.text) == (False, made.trouble)


def test_a_doubted_listing_leaves_the_last_believed_one_in_force(many):
    made = UniverseCore(UniverseState(), UniverseRules())
    made.on_listing(listing(*many))
    found = made.on_listing(listing(*many[:5]))
    assert [one.kind for one in found.changes] == [ChangeKind.DOUBTED]
    assert len(made.listings["okx"].markets) == 40


@pytest.mark.req("P-UNI-2")
def test_one_ticker_on_two_venues_is_approved_and_braked_apart():
    made = core()
    other = "BYBIT:SPOT:BTC-USDT"
    made.on_listing(listing(market(other)))
    do(made, DraftMarket(instrument_id=BTC, actor="ann"))
    answer = do(made, SubmitMarket(instrument_id=BTC, actor="ann", confirmed_namesakes=(other,)))
    facts = answer.body["entry"]["facts_hash"]
    do(made, ApproveMarket(instrument_id=BTC, actor="ann", facts_hash=facts))
    assert made.is_tradable(BTC)
    assert not made.is_tradable(other)
    found = made.on_listing(listing(market(tradable=False, status="suspend"), market(ETH)))
    assert [brake.scope for brake in found.brakes] == [f"symbol:{BTC}"]
