"""The watch: what changed between two listings, market by market, and what is doubted."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.brakes import Level, Release
from trading.universe.listing import FundingRule, PlannedChange, listing_of
from trading.universe.watch import ChangeKind, ListingWatch, brake_of, brakes_released_by

from .conftest import T0, instrument, listing, market

HOUR = 3_600_000_000_000


def watched(*markets, **more):
    watch = ListingWatch("okx", **more)
    assert watch.take(listing(*markets)) == []
    return watch


def kinds(changes):
    return [change.kind for change in changes]


def test_the_first_listing_is_where_the_comparison_begins():
    watch = ListingWatch("okx")
    (change,) = watch.take(listing(market(), ts_ns=T0, refused={"ODD-USDT": "tickSz is ''"}))
    assert (change.kind, change.instrument_id, change.new) == (ChangeKind.UNREADABLE, "ODD-USDT", "tickSz is ''")
    assert brake_of(change) is None, "it was never tradable, so there is nothing to restrain"
    assert watch.take(listing(market(), refused={"ODD-USDT": "tickSz is ''"})) == []


@pytest.mark.req("P-MD-9")
def test_a_changed_filter_is_told_by_name_with_both_values_and_the_version():
    watch = watched(market())
    (change,) = watch.take(listing(market(tick_size=Decimal("0.01"), rules_version="bbbb")))
    assert change.kind is ChangeKind.RULES_CHANGED
    assert (change.field, change.old, change.new, change.rules_version) == ("tick_size", "0.1", "0.01", "bbbb")
    brake = brake_of(change)
    assert (brake.level, brake.scope, brake.release) == (Level.PAUSE, "symbol:OKX:SPOT:BTC-USDT", Release.AUTO)
    assert brake.cause == "tick_size was 0.1, is 0.01"


@pytest.mark.parametrize(
    ("field", "value"), [("multiplier", Decimal(10)), ("settle", "USDC"), ("base", "XBT"), ("symbol", "BTC-USDT-X")]
)
def test_another_contract_under_the_same_id_holds_until_an_operator_has_looked(field, value):
    watch = watched(market())
    (change,) = watch.take(listing(market(**{field: value})))
    brake = brake_of(change)
    assert (brake.code, brake.level, brake.release) == ("CONTRACT_CHANGED", Level.HOLD, Release.OPERATOR)


@pytest.mark.req("P-MD-9")
def test_a_version_that_changes_without_a_known_field_is_told_and_brakes_nothing():
    watch = watched(market())
    (change,) = watch.take(listing(market(rules_version="cccc")))
    assert (change.field, change.old, change.new) == ("rules_version", "aaaa", "cccc")
    assert brake_of(change) is None


@pytest.mark.req("P-MD-9")
def test_a_change_of_the_funding_rule_is_told_by_what_changed():
    perp = "OKX:PERP:BTC-USDT:LINEAR"
    watch = watched(market(perp, funding=FundingRule(interval_min=480, cap=Decimal("0.0075"))))
    shorter = FundingRule(interval_min=60, cap=Decimal("0.01"))
    changes = watch.take(listing(market(perp, funding=shorter)))
    assert kinds(changes) == [ChangeKind.FUNDING_RULES_CHANGED] * 2
    assert [(c.field, c.old, c.new) for c in changes] == [("interval_min", "480", "60"), ("cap", "0.0075", "0.01")]
    (gone,) = watch.take(listing(market(perp, funding=FundingRule(interval_min=60))))
    assert (gone.field, gone.old, gone.new) == ("cap", "0.01", "")


def test_a_planned_change_is_told_once_with_its_time():
    plan = PlannedChange(field="tickSz", value="0.01", effective_ns=T0 + HOUR)
    watch = watched(market())
    (change,) = watch.take(listing(market(planned=(plan,))))
    assert (change.kind, change.field, change.new, change.at_ns) == (
        ChangeKind.RULES_PLANNED,
        "tickSz",
        "0.01",
        T0 + HOUR,
    )
    assert watch.take(listing(market(planned=(plan,)))) == []


@pytest.mark.req("P-MD-9")
@pytest.mark.req("P-VEN-14")
def test_a_delisting_is_announced_then_done_without_a_second_look_once_its_time_has_come():
    other = market("OKX:SPOT:ETH-USDT")
    watch = watched(market(), other)
    (announced,) = watch.take(listing(market(delist_ns=T0 + HOUR), other))
    assert (announced.kind, announced.at_ns) == (ChangeKind.DELISTING, T0 + HOUR)
    assert brake_of(announced).level is Level.PAUSE, "what is held may still be sold"
    (done,) = watch.take(listing(other, ts_ns=T0 + 2 * HOUR))
    assert (done.kind, done.instrument_id) == (ChangeKind.DELISTED, "OKX:SPOT:BTC-USDT")
    assert brake_of(done).level is Level.HOLD


def test_a_delisting_that_is_called_off_releases_its_brake():
    watch = watched(market(delist_ns=T0 + HOUR))
    (change,) = watch.take(listing(market()))
    assert change.kind is ChangeKind.DELISTING_CALLED_OFF
    assert brakes_released_by(change) == ("DELISTING",)


def test_a_market_must_be_absent_twice_before_it_is_gone_and_comes_back_in_between():
    other = market("OKX:SPOT:ETH-USDT")
    watch = watched(market(), other)
    (missing,) = watch.take(listing(other))
    assert missing.kind is ChangeKind.MISSING
    assert brake_of(missing).level is Level.PAUSE
    (back,) = watch.take(listing(market(), other))
    assert back.kind is ChangeKind.LISTED
    assert "MISSING" in brakes_released_by(back)
    assert kinds(watch.take(listing(other))) == [ChangeKind.MISSING]
    assert kinds(watch.take(listing(other))) == [ChangeKind.DELISTED]
    assert watch.take(listing(other)) == []


def test_a_truncated_listing_is_doubted_and_changes_nothing(many):
    watch = watched(*many)
    (doubt,) = watch.take(listing(*many[:30]))
    assert doubt.kind is ChangeKind.DOUBTED
    assert doubt.new == "10 of 40 markets are absent at once"
    assert brake_of(doubt) is None
    assert watch.take(listing(*many)) == []
    assert watch.doubted == 1
    assert len(watch.listing.markets) == 40


def test_an_empty_listing_is_doubted(many):
    watch = watched(*many)
    assert kinds(watch.take(listing_of("okx", T0, []))) == [ChangeKind.DOUBTED]


def test_what_the_venue_says_again_and_again_is_believed_at_last(many):
    watch = watched(*many)
    for _ in range(3):
        assert kinds(watch.take(listing(*many[:30]))) == [ChangeKind.DOUBTED]
    assert set(kinds(watch.take(listing(*many[:30])))) == {ChangeKind.MISSING}
    assert set(kinds(watch.take(listing(*many[:30])))) == {ChangeKind.DELISTED}


@pytest.mark.req("P-VEN-14")
def test_one_delisted_market_leaves_the_others_alone(many):
    watch = watched(*many)
    changes = watch.take(listing(*many[1:])) + watch.take(listing(*many[1:]))
    assert {change.instrument_id for change in changes} == {many[0].instrument_id}
    assert {brake_of(change).scope for change in changes} == {f"symbol:{many[0].instrument_id}"}


def test_a_market_whose_rules_become_unreadable_holds_alone_until_they_can_be_read():
    other = market("OKX:SPOT:ETH-USDT")
    watch = watched(market(), other)
    (unread,) = watch.take(listing(other, refused={"BTC-USDT": "minSz is 'x'"}))
    assert (unread.kind, unread.instrument_id) == (ChangeKind.UNREADABLE, "OKX:SPOT:BTC-USDT")
    assert brake_of(unread).level is Level.HOLD
    assert "OKX:SPOT:BTC-USDT" not in watch.listing.markets
    changes = watch.take(listing(market(), other))
    assert set(kinds(changes)) == {ChangeKind.LISTED, ChangeKind.READABLE}
    listed = next(change for change in changes if change.kind is ChangeKind.LISTED)
    assert "UNREADABLE" in brakes_released_by(listed)


def test_a_symbol_that_a_spot_pair_and_a_perpetual_share_is_not_mistaken_for_the_other():
    spot, perp = market("OKX:SPOT:BTC-USDT", symbol="BTCUSDT"), market("OKX:PERP:BTC-USDT:LINEAR", symbol="BTCUSDT")
    watch = watched(spot, perp)
    (missing,) = watch.take(listing(spot))
    assert (missing.kind, missing.instrument_id) == (ChangeKind.MISSING, "OKX:PERP:BTC-USDT:LINEAR")
    assert kinds(watch.take(listing(spot))) == [ChangeKind.DELISTED]
    both = watched(spot, perp)
    (first,) = both.take(listing(perp, refused={"BTCUSDT": "spot: minQty is ''"}))
    assert (first.kind, first.instrument_id) == (ChangeKind.UNREADABLE, "OKX:SPOT:BTC-USDT")
    other = market("OKX:SPOT:ETH-USDT")
    changes = both.take(listing(other, refused={"BTCUSDT": "both"}))
    unread = [change.instrument_id for change in changes if change.kind is ChangeKind.UNREADABLE]
    assert unread == ["OKX:PERP:BTC-USDT:LINEAR"]


def test_a_halt_holds_and_a_reopening_releases_it():
    watch = watched(market())
    (halted,) = watch.take(listing(market(tradable=False, status="suspend")))
    assert (halted.kind, halted.old, halted.new) == (ChangeKind.HALTED, "live", "suspend")
    assert brake_of(halted).level is Level.HOLD
    (open_again,) = watch.take(listing(market()))
    assert brakes_released_by(open_again) == ("HALTED",)


@pytest.mark.req("P-VEN-14")
@pytest.mark.parametrize("evidence", ["symbol", "alias", "operator"])
def test_a_migration_is_known_by_evidence(evidence):
    old, other = market("OKX:SPOT:MATIC-USDT"), market("OKX:SPOT:ETH-USDT")
    renames = {"OKX:SPOT:MATIC-USDT": "OKX:SPOT:POL-USDT"} if evidence == "operator" else {}
    new = market("OKX:SPOT:POL-USDT", symbol="MATIC-USDT" if evidence == "symbol" else "POL-USDT")
    if evidence == "alias":
        new = msgspec.structs.replace(new, aliases=("MATIC-USDT",))
    watch = watched(old, other, renames=renames)
    changes = watch.take(listing(new, other))
    moved = next(change for change in changes if change.kind is ChangeKind.MIGRATED)
    assert (moved.instrument_id, moved.new) == ("OKX:SPOT:MATIC-USDT", "OKX:SPOT:POL-USDT")
    assert brake_of(moved).level is Level.HOLD
    assert ChangeKind.DELISTED not in kinds(changes)


def test_a_new_market_is_no_heir_because_it_came_when_another_left():
    other = market("OKX:SPOT:ETH-USDT")
    watch = watched(market("OKX:SPOT:LUNA-USDT"), other)
    changes = watch.take(listing(market("OKX:SPOT:LUNC-USDT"), other))
    assert sorted(kinds(changes), key=lambda kind: kind.value) == [ChangeKind.LISTED, ChangeKind.MISSING]


def test_two_markets_with_one_id_are_both_refused():
    twins = listing_of("okx", T0, [market(), market(symbol="BTC-USDT-2"), market("OKX:SPOT:ETH-USDT")], {"A": "unread"})
    assert list(twins.markets) == ["OKX:SPOT:ETH-USDT"]
    assert set(twins.refused) == {"A", "BTC-USDT", "BTC-USDT-2"}


def test_a_listing_of_another_venue_is_refused():
    watch = ListingWatch("bybit")
    with pytest.raises(ValueError, match="okx"):
        watch.take(listing(market()))


def test_every_field_of_an_instrument_is_watched():
    watch = watched(market())
    changed = {
        "lot_size": Decimal(1), "min_qty": Decimal(2), "max_qty": Decimal(3), "min_notional": Decimal(4),
        "maker_fee": Decimal(0), "taker_fee": Decimal(0), "quote": "USDC",
    }  # fmt: skip
    found = {change.field for change in watch.take(listing(market(**changed)))}
    assert found == set(changed)
    assert {"tick_size", "symbol", "kind", "base", "settle", "multiplier", "venue"} | found | {
        "instrument_id",
        "rules_version",
    } == set(type(instrument()).__struct_fields__)
