"""OKX's instrument rules: all filters, or no instrument."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.okx.instruments import INSTRUMENTS, UpcomingChange, decode_listing, rules_version
from trading.instruments import InstrumentKind

SPOT = {
    "alias": "",
    "baseCcy": "BTC",
    "ctMult": "",
    "ctType": "",
    "ctVal": "",
    "ctValCcy": "",
    "expTime": "",
    "instFamily": "",
    "instId": "BTC-USDT",
    "instType": "SPOT",
    "listTime": "1606468572000",
    "lotSz": "0.00000001",
    "maxLmtAmt": "1000000",
    "maxLmtSz": "9999999999",
    "maxMktAmt": "500000",
    "maxMktSz": "",
    "minSz": "0.00001",
    "quoteCcy": "USDT",
    "settleCcy": "",
    "state": "live",
    "tickSz": "0.1",
    "uly": "",
    "upcChg": [{"param": "tickSz", "newValue": "0.0001", "effTime": "1704876947000"}],
}
LINEAR = SPOT | {
    "baseCcy": "",
    "quoteCcy": "",
    "ctMult": "1",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctValCcy": "BTC",
    "instFamily": "BTC-USDT",
    "instId": "BTC-USDT-SWAP",
    "instType": "SWAP",
    "lotSz": "0.01",
    "minSz": "0.01",
    "maxMktSz": "35000",
    "settleCcy": "USDT",
    "uly": "BTC-USDT",
    "upcChg": [],
}
FUTURE = LINEAR | {
    "alias": "next_week",
    "ctType": "inverse",
    "ctVal": "100",
    "ctValCcy": "USD",
    "expTime": "1653638400000",
    "instFamily": "BTC-USD",
    "instId": "BTC-USD-220527",
    "instType": "FUTURES",
    "settleCcy": "BTC",
    "uly": "BTC-USD",
}


def listing(*entries):
    found = decode_listing(json.dumps({"code": "0", "msg": "", "data": entries}).encode())
    assert found is not None
    return found


def listed(entry):
    found = listing(entry)
    assert found.refused == {}
    return found.instruments[0]


def test_spot_counts_in_base_currency():
    found = listed(SPOT)
    instrument = found.instrument
    assert (instrument.instrument_id, instrument.kind, instrument.settle) == (
        "OKX:SPOT:BTC-USDT",
        InstrumentKind.SPOT,
        "USDT",
    )
    assert (instrument.tick_size, instrument.lot_size, instrument.min_qty) == (
        Decimal("0.1"),
        Decimal("0.00000001"),
        Decimal("0.00001"),
    )
    assert (instrument.max_qty, instrument.multiplier) == (Decimal(9999999999), Decimal(1))
    assert (found.max_limit_usd, found.max_market_usd, found.contract_value) == (1000000, 500000, 0)
    assert found.list_ns == 1_606_468_572_000_000_000
    assert found.upcoming == (
        UpcomingChange(param="tickSz", new_value="0.0001", effective_ns=1_704_876_947_000_000_000),
    )


def test_a_linear_contract_is_worth_its_value_in_base_currency():
    found = listed(LINEAR | {"ctMult": "10"})
    instrument = found.instrument
    assert instrument.instrument_id == "OKX:PERP:BTC-USDT:LINEAR"
    assert instrument.multiplier == Decimal("0.1")
    assert instrument.notional(Decimal(3), Decimal(50000)) == Decimal(15000)
    assert found.max_market_qty == 35000


def test_an_inverse_future_is_worth_dollars_and_names_its_expiry():
    found = listed(FUTURE)
    instrument = found.instrument
    assert instrument.instrument_id == "OKX:FUT220527:BTC-USD:INVERSE"
    assert (instrument.settle, instrument.multiplier) == ("BTC", Decimal(100))
    assert instrument.notional(Decimal(3), Decimal(30000)) == Decimal(300)
    assert found.expiry_ns == 1_653_638_400_000_000_000


def test_families_of_one_pair_have_different_ids():
    perp = LINEAR | {"uly": "BTC-USD", "instFamily": "BTC-USD_UM", "instId": "BTC-USD_UM-SWAP"}
    dated = FUTURE | {"instFamily": "BTC-USD_UM_XPERP", "instId": "BTC-USD_UM_XPERP-310404"}
    ids = [one.instrument.instrument_id for one in listing(perp, dated, FUTURE).instruments]
    assert ids == ["OKX:PERPUM:BTC-USD:LINEAR", "OKX:FUTUMXPERP310404:BTC-USD:INVERSE", "OKX:FUT220527:BTC-USD:INVERSE"]


@pytest.mark.parametrize("state", ["suspend", "preopen", "test", "rebase", "a word of tomorrow"])
def test_only_live_is_tradable(state):
    assert listed(SPOT).tradable
    assert not listed(SPOT | {"state": state}).tradable


@pytest.mark.parametrize(
    ("entry", "spoiled"),
    [
        (SPOT, {"tickSz": ""}),
        (SPOT, {"tickSz": "0"}),
        (SPOT, {"tickSz": "NaN"}),
        (SPOT, {"lotSz": "-1"}),
        (SPOT, {"minSz": ""}),
        (SPOT, {"maxLmtSz": ""}),
        (SPOT, {"maxLmtSz": None}),
        (SPOT, {"baseCcy": ""}),
        (SPOT, {"instId": "ETH-USDT"}),
        (SPOT, {"listTime": "soon"}),
        (LINEAR, {"ctVal": ""}),
        (LINEAR, {"ctMult": "0"}),
        (LINEAR, {"ctType": "quanto"}),
        (LINEAR, {"ctValCcy": "USDT"}),
        (FUTURE, {"ctValCcy": "BTC"}),
        (FUTURE, {"uly": "", "instFamily": ""}),
    ],
)
def test_an_instrument_with_a_filter_that_cannot_be_read_is_refused_by_name(entry, spoiled):
    found = listing(entry | spoiled, LINEAR | {"instId": "BTC-USDT-SWAP"})
    assert list(found.refused) == [(entry | spoiled)["instId"]]
    assert len(found.instruments) == 1  # the other is not held up


def test_options_are_left_out_without_a_word():
    found = listing({"instId": "BTC-USD-220514-22000-C", "instType": "OPTION"})
    assert (found.instruments, found.refused) == ((), {})


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"[]", b"pong", b'{"code":"50011","msg":"Too Many Requests","data":[]}', b'{"data":[{"px":"1"}]}'],
)
def test_what_is_no_listing_is_none(payload):
    assert decode_listing(payload) is None


def test_the_rules_version_changes_with_the_rules_and_with_nothing_else():
    def version(**changed):
        return rules_version(json.dumps(SPOT | changed).encode())

    assert version(state="suspend", alias="x", upcChg=[]) == version()
    assert rules_version(json.dumps(dict(reversed(SPOT.items()))).encode()) == version()
    assert len({version(), version(tickSz="0.01"), version(minSz="1"), version(aNewFilter="1")}) == 4


@given(st.binary(max_size=200))
def test_no_bytes_make_the_listing_raise(payload):
    found = decode_listing(payload)
    assert found is None or found.instruments == ()


@given(st.sampled_from([SPOT, LINEAR, FUTURE]), st.data())
def test_no_value_of_a_filter_makes_the_listing_raise(entry, data):
    key = data.draw(st.sampled_from(sorted(entry)))
    value = data.draw(st.none() | st.integers() | st.text(max_size=50) | st.floats() | st.lists(st.text(max_size=3)))
    found = decode_listing(json.dumps({"data": [entry | {key: value}]}).encode())
    assert found is None or len(found.instruments) + len(found.refused) <= 1


def test_the_known_instruments_have_ids_of_their_own():
    assert len({one.instrument_id for one in INSTRUMENTS}) == len(INSTRUMENTS)
    assert {one.venue for one in INSTRUMENTS} == {"okx"}
