"""The allow-list: nothing is tradable that was not approved, by enough people, as it is."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.universe.admission import UniverseRules
from trading.universe.watch import ListingWatch
from trading.universe.workflow import (
    STEPS,
    ApproveMarket,
    DeleteMarket,
    DraftMarket,
    EntryStatus,
    RejectMarket,
    Step,
    SubmitMarket,
    Surroundings,
    UniverseChanged,
    UniverseRefusal,
    UniverseRefused,
    UniverseState,
    decide,
    follow,
)

from .conftest import T0, listing, market

BTC, ETH = "OKX:SPOT:BTC-USDT", "OKX:SPOT:ETH-USDT"
PRICES = {BTC: Decimal(60000), ETH: Decimal(3000), "BYBIT:SPOT:BTC-USDT": Decimal(60010)}


def around(*markets, two_man=False, others=(), **rules):
    listings = {"okx": listing(*(markets or (market(), market(ETH))))}
    listings |= {one.instrument.venue: listing(one) for one in others}
    return Surroundings(listings=listings, prices=PRICES, rules=UniverseRules(two_man=two_man, **rules))


def run(state, where, *commands):
    for number, command in enumerate(commands):
        state, said = decide(state, command, where, T0 + number)
        assert isinstance(said, UniverseChanged), said
    return state


def reviewed(where, market_id=BTC):
    return run(
        UniverseState(),
        where,
        DraftMarket(instrument_id=market_id, actor="ann"),
        SubmitMarket(instrument_id=market_id, actor="ann"),
    )


def approval(state, actor, market_id=BTC):
    return ApproveMarket(instrument_id=market_id, actor=actor, facts_hash=state.entries[market_id].facts_hash)


@pytest.mark.req("P-UNI-1")
def test_only_an_approved_market_is_tradable():
    where = around()
    state = UniverseState()
    assert not state.is_tradable(BTC)
    state = run(state, where, DraftMarket(instrument_id=BTC, actor="ann"))
    assert not state.is_tradable(BTC)
    state = run(state, where, SubmitMarket(instrument_id=BTC, actor="ann"))
    assert not state.is_tradable(BTC)
    state = run(state, where, approval(state, "ann"))
    assert state.tradable == {BTC}
    assert not state.is_tradable(ETH)
    assert state.revision == 3


@pytest.mark.req("P-UNI-1")
def test_what_the_venue_lists_is_never_added_by_itself():
    assert UniverseRules().auto_add is False
    watch = ListingWatch("okx")
    watch.take(listing(market()))
    state = UniverseState()
    for change in watch.take(listing(market(), market(ETH))):
        state, said = follow(state, change, around())
        assert said is None
    assert state.entries == {}


@pytest.mark.req("P-UNI-1")
def test_two_people_must_approve_the_same_facts():
    where = around(two_man=True)
    state = reviewed(where)
    state = run(state, where, approval(state, "ann"))
    assert state.entries[BTC].status is EntryStatus.SECOND_WANTED
    assert not state.is_tradable(BTC)
    _, same = decide(state, approval(state, " ANN "), where, T0)
    assert same.reason is UniverseRefusal.SAME_IDENTITY
    state = run(state, where, approval(state, "bob"))
    assert state.is_tradable(BTC)
    assert [one.by for one in state.entries[BTC].approvals] == ["ann", "bob"]


@pytest.mark.req("P-UNI-1")
def test_an_approval_of_other_facts_is_refused_also_when_the_listing_moved_under_it():
    where = around(two_man=True)
    state = reviewed(where)
    _, other = decide(state, ApproveMarket(instrument_id=BTC, actor="ann", facts_hash="0" * 64), where, T0)
    assert other.reason is UniverseRefusal.OTHER_FACTS
    state = run(state, where, approval(state, "ann"))
    moved = around(market(tick_size=Decimal("0.01")), two_man=True)
    _, late = decide(state, approval(state, "bob"), moved, T0)
    assert (late.reason, late.field) == (UniverseRefusal.OTHER_FACTS, "facts_hash")


@pytest.mark.req("P-UNI-3")
def test_namesakes_must_be_confirmed_when_it_is_submitted_and_new_ones_when_it_is_approved():
    where = around(others=[market("BYBIT:SPOT:BTC-USDT")])
    state = run(UniverseState(), where, DraftMarket(instrument_id=BTC, actor="ann"))
    _, refused = decide(state, SubmitMarket(instrument_id=BTC, actor="ann"), where, T0)
    assert (refused.reason, refused.field) == (UniverseRefusal.NOT_ADMITTED, "confirmed_namesakes")
    confirmed = SubmitMarket(instrument_id=BTC, actor="ann", confirmed_namesakes=("BYBIT:SPOT:BTC-USDT",))
    state = run(state, where, confirmed)
    more = around(others=[market("BYBIT:SPOT:BTC-USDT"), market("GATEIO:SPOT:BTC-USDT")])
    _, later = decide(state, approval(state, "ann"), more, T0)
    assert later.field == "confirmed_namesakes"
    assert run(state, where, approval(state, "ann")).is_tradable(BTC)


@pytest.mark.parametrize("actor", ["", "  ", "auto"])
def test_nobody_is_no_identity(actor):
    _, refused = decide(UniverseState(), DraftMarket(instrument_id=BTC, actor=actor), around(), T0)
    assert refused.reason is UniverseRefusal.IDENTITY_NEEDED


def test_a_refusal_names_the_field_and_the_mend_and_changes_nothing():
    state = reviewed(around())
    same, refused = decide(state, SubmitMarket(instrument_id=BTC, actor="ann"), around(), T0)
    assert same is state
    assert (refused.reason, refused.field) == (UniverseRefusal.WRONG_STATUS, "action")
    assert refused.mend == "what can be done with it: approve, delete, reject"
    _, absent = decide(state, DeleteMarket(instrument_id=ETH, actor="ann", cause="no"), around(), T0)
    assert absent.reason is UniverseRefusal.NO_SUCH_ENTRY
    _, odd = decide(state, DraftMarket(instrument_id="btc", actor="ann"), around(), T0)
    assert (odd.reason, odd.field) == (UniverseRefusal.NOT_ADMITTED, "instrument_id")


def test_the_list_is_bounded():
    where = around(entries_max=1)
    state = run(UniverseState(), where, DraftMarket(instrument_id=BTC, actor="ann"))
    _, full = decide(state, DraftMarket(instrument_id=ETH, actor="ann"), where, T0)
    assert full.reason is UniverseRefusal.FULL


def test_a_rejected_market_starts_again_and_a_deleted_one_is_gone():
    where = around()
    state = run(reviewed(where), where, RejectMarket(instrument_id=BTC, actor="bob", cause="thin"))
    assert state.entries[BTC].status is EntryStatus.DRAFT
    assert state.entries[BTC].facts_hash == ""
    state = run(state, where, DeleteMarket(instrument_id=BTC, actor="bob", cause="thin"))
    assert state.entries == {}


def approved(where):
    state = reviewed(where)
    return run(state, where, approval(state, "ann"))


def changes(before, after):
    watch = ListingWatch("okx")
    watch.take(before)
    return [*watch.take(after), *watch.take(after)]


@pytest.mark.req("P-VEN-14")
def test_a_delisted_market_leaves_and_takes_no_other_with_it():
    where = around()
    state = approved(where)
    eth = run(state, where, DraftMarket(instrument_id=ETH, actor="ann"))
    for change in changes(listing(market(), market(ETH)), listing(market(ETH))):
        eth, _ = follow(eth, change, where)
    assert eth.entries[BTC].status is EntryStatus.DELISTED
    assert eth.entries[ETH].status is EntryStatus.DRAFT
    assert eth.tradable == frozenset()


def test_a_changed_filter_suspends_only_where_our_orders_no_longer_fit():
    where = around()
    state = approved(where)
    for filters, status in [
        ({"tick_size": Decimal("0.01")}, EntryStatus.APPROVED),
        ({"min_notional": Decimal(5000)}, EntryStatus.SUSPENDED),
        ({"multiplier": Decimal(10)}, EntryStatus.SUSPENDED),
    ]:
        after = market(**filters)
        moved = around(after)
        then = state
        for change in changes(listing(market()), listing(after)):
            then, _ = follow(then, change, moved)
        assert then.entries[BTC].status is status, filters


def test_a_suspended_market_comes_back_through_review_only():
    where = around()
    (change,) = changes(listing(market()), listing(market(settle="USDC")))
    state, said = follow(approved(where), change, where)
    assert (said.step, said.by, said.cause) == (Step.SUSPEND, "auto", "settle was USDT, is USDC")
    assert state.entries[BTC].approvals == ()
    assert not state.is_tradable(BTC)
    state = run(state, where, SubmitMarket(instrument_id=BTC, actor="ann"))
    assert run(state, where, approval(state, "ann")).is_tradable(BTC)


@pytest.mark.parametrize("status", list(EntryStatus))
@pytest.mark.parametrize("step", list(Step))
def test_only_an_approval_leads_to_approved_and_every_status_can_be_left(status, step):
    after = STEPS.get((status, step))
    if after is EntryStatus.APPROVED:
        assert step is Step.APPROVE
        assert status in {EntryStatus.REVIEW, EntryStatus.SECOND_WANTED}
    if status is not EntryStatus.ABSENT:
        assert STEPS[status, Step.DELETE] is EntryStatus.ABSENT


commands = st.sampled_from(["draft", "submit", "approve", "reject", "delete", "wrong_hash", "delist", "spoil"])


@given(st.lists(st.tuples(commands, st.sampled_from(["ann", "bob"])), max_size=25), st.booleans())
def test_whatever_is_asked_in_whatever_order_tradable_means_approved_by_enough_people_as_listed(asked, two_man):
    here, state = market(), UniverseState()
    for word, actor in asked:
        where = around(here, two_man=two_man)
        entry = state.entries.get(BTC)
        known = entry.facts_hash if entry else ""
        if word in {"delist", "spoil"}:
            spoiled = market(settle="USDC" if here.instrument.settle == "USDT" else "USDT")
            after = listing(market(ETH)) if word == "delist" else listing(spoiled, market(ETH))
            here = here if word == "delist" else spoiled
            for change in changes(
                listing(market(settle="USDT" if here.instrument.settle == "USDC" else "USDC"), market(ETH)), after
            ):
                state, _ = follow(state, change, around(here, two_man=two_man))
            continue
        command = {
            "draft": DraftMarket(instrument_id=BTC, actor=actor),
            "submit": SubmitMarket(instrument_id=BTC, actor=actor),
            "approve": ApproveMarket(instrument_id=BTC, actor=actor, facts_hash=known),
            "wrong_hash": ApproveMarket(instrument_id=BTC, actor=actor, facts_hash="f" * 64),
            "reject": RejectMarket(instrument_id=BTC, actor=actor, cause="x"),
            "delete": DeleteMarket(instrument_id=BTC, actor=actor, cause="x"),
        }[word]
        before = state
        state, said = decide(state, command, where, T0)
        assert isinstance(said, UniverseRefused) is (state is before)
        if isinstance(said, UniverseChanged):
            assert state.revision == before.revision + 1
        if state.is_tradable(BTC):
            entry = state.entries[BTC]
            assert len({one.by for one in entry.approvals}) == (2 if two_man else 1)
            assert {one.facts_hash for one in entry.approvals} == {entry.facts_hash}
            assert entry.instrument == here.instrument
    assert msgspec.json.decode(msgspec.json.encode(state), type=UniverseState) == state
