"""Admission: listed, readable, tradable, ours to order, and no namesake overlooked."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.instruments import InstrumentKind
from trading.orders.messages import Side
from trading.risk.filters import check_filters, quantise_price
from trading.universe.admission import (
    Flaw,
    UniverseRules,
    bare_name,
    check_addition,
    facts_hash,
    find_namesakes,
    least_notional,
)
from trading.universe.ids import parse_market_id

from .conftest import T0, instrument, listing, market

RULES = UniverseRules()
PRICE = Decimal(60000)
BTC = "OKX:SPOT:BTC-USDT"


def flaws(found):
    return [finding.flaw for finding in found.findings]


def admit(one=None, rules=RULES, price=PRICE, confirmed=(), **listings):
    one = one or market()
    known = {one.instrument.venue: listing(one), **listings}
    return check_addition(one.instrument_id, known, rules, price, confirmed)


def test_a_listed_market_that_fits_is_admitted_with_the_hash_of_its_facts():
    found = admit()
    assert found.admitted
    assert found.facts_hash == facts_hash(market().instrument, ())
    assert found.facts_hash != admit(market(tick_size=Decimal("0.01"))).facts_hash


@pytest.mark.parametrize(
    ("market_id", "flaw"),
    [
        ("btcusdt", Flaw.NOT_AN_ID),
        ("BYBIT:SPOT:BTC-USDT", Flaw.VENUE_UNLISTED),
        ("OKX:SPOT:DOGE-USDT", Flaw.NOT_LISTED),
        ("OKX:SPOT:ODD-USDT", Flaw.RULES_UNREADABLE),
    ],
)
def test_what_is_not_listed_readably_is_not_admitted(market_id, flaw):
    known = {"okx": listing(market(), refused={"ODD-USDT": "tickSz is ''"})}
    found = check_addition(market_id, known, RULES, PRICE)
    assert flaws(found) == [flaw]
    assert found.instrument is None
    assert found.findings[0].mend


@pytest.mark.req("P-UNI-3")
@pytest.mark.parametrize("base", ["1000PEPE", "1000SATS", "3LBTC", "3S", "BTC3L", "ETH3S"])
def test_multiplied_and_leveraged_names_are_excluded_by_default(base):
    one = market(f"OKX:SPOT:{base}-USDT")
    assert flaws(admit(one)) == [Flaw.EXCLUDED]
    open_rules = msgspec.structs.replace(RULES, excluded_prefixes=(), excluded_suffixes=())
    assert admit(one, open_rules).admitted


@pytest.mark.req("P-UNI-3")
def test_namesakes_need_explicit_confirmation_of_each():
    pepe = market("OKX:SPOT:PEPE-USDT", tick_size=Decimal("0.1"))
    others = {
        "bybit": listing(market("BYBIT:PERP:1000PEPE-USDT:LINEAR"), market("BYBIT:SPOT:ETH-USDT")),
        "gateio": listing(market("GATEIO:SPOT:PEPE-USDT")),
    }
    found = admit(pepe, **others)
    assert flaws(found) == [Flaw.NAMESAKES]
    assert found.namesakes == ("BYBIT:PERP:1000PEPE-USDT:LINEAR", "GATEIO:SPOT:PEPE-USDT")
    half = admit(pepe, confirmed=["GATEIO:SPOT:PEPE-USDT"], **others)
    assert flaws(half) == [Flaw.NAMESAKES]
    assert "BYBIT:PERP:1000PEPE-USDT:LINEAR" in half.findings[0].text
    assert admit(pepe, confirmed=found.namesakes, **others).admitted


def test_the_same_name_on_the_same_venue_is_the_same_asset():
    one = listing(market("OKX:SPOT:BTC-USDT"), market("OKX:PERP:BTC-USDT:LINEAR"), market("OKX:SPOT:1000BTC-USDT"))
    assert find_namesakes(parse_market_id(BTC), [one]) == ("OKX:SPOT:1000BTC-USDT",)


def test_one_market_stands_for_all_of_a_venues_with_that_base_and_a_company_has_one_asset_of_a_name():
    listings = [
        listing(market("BINANCE:SPOT:BTC-USDT")),
        listing(market("BINANCEUSDM:PERP:BTC-USDT:LINEAR"), market("BINANCEUSDM:PERP:1000BTC-USDT:LINEAR")),
        listing(
            market("BYBIT:FUT26DEC25:BTC-USDT:LINEAR"),
            market("BYBIT:PERP:BTC-USDT:LINEAR", symbol="BTCUSDT"),
            market("BYBIT:SPOT:BTC-USDT"),
            market("BYBIT:SPOT:BTC-USDC", symbol="BTCUSDC"),
        ),
        listing(market("OKX:FUT251226:BTC-USDT:LINEAR"), market("OKX:PERP:BTC-USD:INVERSE")),
    ]
    assert find_namesakes(parse_market_id("BINANCE:SPOT:BTC-USDT"), listings) == (
        "BINANCEUSDM:PERP:1000BTC-USDT:LINEAR",
        "BYBIT:SPOT:BTC-USDC",
        "OKX:PERP:BTC-USD:INVERSE",
    )


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("1000PEPE", "PEPE"),
        ("kPEPE", "PEPE"),
        ("1MBABYDOGE", "BABYDOGE"),
        ("1INCH", "1INCH"),
        ("1000", "1000"),
        ("BTC", "BTC"),
    ],
)
def test_a_multiplier_is_no_part_of_the_name(base, name):
    assert bare_name(base) == name


def test_a_halted_or_leaving_market_is_not_admitted_but_a_dated_future_may_expire():
    assert flaws(admit(market(tradable=False, status="suspend"))) == [Flaw.NOT_TRADABLE]
    assert flaws(admit(market(delist_ns=T0 + 1))) == [Flaw.DELISTING]
    future = market("OKX:FUT261225:BTC-USDT:LINEAR", delist_ns=T0 + 1)
    assert admit(future).admitted
    assert flaws(admit(market("OKX:FUT251225:BTC-USDT:LINEAR", delist_ns=T0))) == [Flaw.DELISTING]


@pytest.mark.req("P-UNI-4")
@pytest.mark.parametrize(
    ("filters", "flaw", "field"),
    [
        ({"min_notional": Decimal(500)}, Flaw.ORDER_TOO_SMALL, "order_notional_min"),
        ({"lot_size": Decimal(1), "min_qty": Decimal(1)}, Flaw.ORDER_TOO_SMALL, "order_notional_min"),
        ({"min_qty": Decimal("0.01")}, Flaw.ORDER_TOO_SMALL, "order_notional_min"),
        ({"tick_size": Decimal(500)}, Flaw.TICK_TOO_COARSE, "tick_bps_max"),
        ({"max_qty": Decimal("0.01")}, Flaw.ORDER_TOO_LARGE, "order_notional_max"),
    ],
)
def test_filters_that_our_orders_do_not_fit_are_named_with_the_key_to_change(filters, flaw, field):
    found = admit(market(**filters))
    assert flaw in flaws(found)
    finding = next(finding for finding in found.findings if finding.flaw is flaw)
    assert finding.field == field
    assert f"universe.{field}" in finding.mend


@pytest.mark.parametrize("field", ["tick_size", "lot_size", "max_qty", "multiplier"])
def test_a_filter_of_zero_is_a_filter_that_is_missing(field):
    assert flaws(admit(market(**{field: Decimal(0)}))) == [Flaw.FILTER_MISSING]


@pytest.mark.parametrize("price", [None, Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("Infinity")])
def test_without_a_price_sizes_cannot_be_compared(price):
    assert flaws(admit(price=price)) == [Flaw.NO_PRICE]


def test_an_inverse_contract_is_sized_in_contracts():
    inverse = market(
        "OKX:PERP:BTC-USD:INVERSE",
        multiplier=Decimal(100),
        lot_size=Decimal(1),
        min_qty=Decimal(1),
        min_notional=Decimal(0),
    )
    assert inverse.instrument.kind is InstrumentKind.INVERSE
    assert admit(inverse).admitted
    small = msgspec.structs.replace(RULES, order_notional_min=Decimal(50))
    assert flaws(admit(inverse, small)) == [Flaw.ORDER_TOO_SMALL]


steps = st.sampled_from([Decimal("0.0001"), Decimal("0.001"), Decimal("0.01"), Decimal(1), Decimal(10)])


@given(lot=steps, floor=st.integers(0, 500), price=st.integers(1, 100_000), least=st.integers(0, 50))
def test_what_is_told_as_the_least_order_passes_every_filter_and_a_lot_less_does_not(lot, floor, price, least):
    one = instrument(
        lot_size=lot, min_qty=lot * least, min_notional=Decimal(floor), max_qty=Decimal(10**9), tick_size=Decimal(1)
    )
    at = quantise_price(one, Decimal(price), Side.BUY)
    told = least_notional(one, at)
    lots = one.lots(told / at)
    assert check_filters(one, one.qty(lots), at) is None
    assert lots == 1 or check_filters(one, one.qty(lots - 1), at) is not None
