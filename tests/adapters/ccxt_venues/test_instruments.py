"""The table of venues that are read through ccxt: native symbols, precision, and what a listing may change."""

from __future__ import annotations

import lzma
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters.ccxt_venues.frames import listing_reply, read_listing
from adapters.ccxt_venues.instruments import INSTRUMENTS, VENUES, difference
from adapters.listing_reader import ListingReader
from adapters.streams.reserve_events import ccxt_symbol
from adapters.venue_codecs import KNOWN, open_codec
from trading.market.events import InstrumentStatus, WireRejected
from trading.orders.messages import DenyReason, Side
from trading.risk.filters import check_filters, quantise_price, quantise_qty
from trading.universe.symbols import native_spot_symbol, parse_pair

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "ccxt_static" / "markets"
GATE_BTC = KNOWN["GATEIO:SPOT:BTC-USDT"]
T0 = 1_795_000_000_000_000_000


def market_of(one, **changes):
    """What ccxt lists of an instrument as the table has it."""
    entry = {
        "id": one.symbol,
        "symbol": ccxt_symbol(one),
        "base": one.base,
        "quote": one.quote,
        "settle": None,
        "type": "spot",
        "spot": True,
        "option": False,
        "contract": False,
        "contractSize": None,
        "expiry": None,
        "active": True,
        "maker": float(one.maker_fee),
        "taker": float(one.taker_fee),
        "precision": {"amount": float(one.lot_size), "price": float(one.tick_size)},
        "limits": {"amount": {"min": float(one.min_qty), "max": None}, "cost": {"min": float(one.min_notional)}},
    }
    return {**entry, **changes}


@pytest.mark.req("C-EXEC-3")
@pytest.mark.parametrize("one", INSTRUMENTS, ids=lambda one: one.instrument_id)
def test_an_instrument_has_its_venues_own_symbol_and_it_goes_there_and_back(one):
    pair = parse_pair(ccxt_symbol(one))
    assert one.symbol == native_spot_symbol(pair, one.venue)
    assert str(parse_pair(one.symbol)) == ccxt_symbol(one) == f"{one.base}/{one.quote}"
    assert one.symbol == {"gateio": f"{one.base}_USDT", "mexc": f"{one.base}USDT"}[one.venue]
    assert KNOWN[one.instrument_id] is one


@pytest.mark.req("C-EXEC-4", "P-VEN-1")
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}")
@pytest.mark.parametrize("venue", list(VENUES))
def test_the_table_has_the_filters_that_the_venue_lists(venue):
    with lzma.open(DATA / f"{VENUES[venue].exchange}.json.xz") as file:
        markets = msgspec.json.decode(file.read())
    listing = read_listing(venue, listing_reply(markets.values()), T0)
    for one in (one for one in INSTRUMENTS if one.venue == venue):
        listed = listing.markets[one.instrument_id].instrument
        assert difference(one, listed) == ""
        assert (listed.tick_size, listed.lot_size) == (one.tick_size, one.lot_size)
        assert (listed.min_qty, listed.min_notional) == (one.min_qty, one.min_notional)
        assert (listed.maker_fee, listed.taker_fee) == (one.maker_fee, one.taker_fee)


@pytest.mark.req("C-EXEC-4")
def test_quantities_are_rounded_to_the_markets_lots_and_nothing_is_left_below_its_minimum():
    eth = KNOWN["GATEIO:SPOT:ETH-USDT"]
    assert quantise_qty(eth, Decimal("0.12349")) == Decimal("0.1234")
    assert quantise_qty(eth, Decimal("0.0009")) == 0
    assert quantise_price(eth, Decimal("2500.129"), Side.BUY) == Decimal("2500.12")
    assert check_filters(eth, Decimal("0.12349"), Decimal(2500))[0] is DenyReason.FILTER_LOT
    assert check_filters(eth, Decimal("0.001"), Decimal(2500))[0] is DenyReason.FILTER_MIN_NOTIONAL
    mexc = KNOWN["MEXC:SPOT:BTC-USDT"]
    assert quantise_qty(mexc, Decimal("0.123456789")) == Decimal("0.12345678")
    assert check_filters(mexc, Decimal("0.000001"), Decimal(60000))[0] is DenyReason.FILTER_MIN_NOTIONAL


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precision": {"amount": 1e-6, "price": 0.01}}, "tick_size is 0.01 at the venue and 0.1 in the table"),
        ({"precision": {"amount": 1e-5, "price": 0.1}}, "lot_size is 0.00001 at the venue"),
        ({"limits": {"amount": {"min": 1e-4, "max": None}, "cost": {"min": 3}}}, "min_qty rose to 0.0001"),
        ({"limits": {"amount": {"min": 1e-6, "max": None}, "cost": {"min": 10}}}, "min_notional rose to 10"),
        ({"limits": {"amount": {"min": 1e-6, "max": None}, "cost": {"min": 1}}}, ""),
        ({"maker": 0.001}, ""),
    ],
)
def test_what_the_desk_cannot_follow_is_named_with_the_mend(changes, said):
    payload = listing_reply([market_of(GATE_BTC, **changes)])
    why = difference(GATE_BTC, read_listing("gateio", payload, T0).markets[GATE_BTC.instrument_id].instrument)
    assert said in why
    assert bool(why) is bool(said)
    assert not why or why.endswith("mend it in adapters/ccxt_venues")


def test_a_listing_becomes_rules_for_the_gates_and_a_listing_for_the_universe():
    codec = open_codec("gateio", [GATE_BTC])
    payload = listing_reply([market_of(GATE_BTC)])
    (status,) = codec.decode_polled("instruments", payload, "", T0)
    assert isinstance(status, InstrumentStatus)
    assert (status.instrument_id, status.tradable) == (GATE_BTC.instrument_id, True)
    listing = ListingReader("gateio", [GATE_BTC]).take("", payload, T0)
    assert list(listing.markets) == [GATE_BTC.instrument_id]

    (gone,) = codec.decode_polled("instruments", listing_reply([]), "", T0)
    assert isinstance(gone, WireRejected)
    assert "BTC_USDT" in gone.excerpt
    for unread in (b"{}", b'{"markets":3}', b"\x00", b'{"retCode":0}'):
        (refused,) = codec.decode_polled("instruments", unread, "", T0)
        assert isinstance(refused, WireRejected)
        assert ListingReader("gateio", [GATE_BTC]).take("", unread, T0) is None
    (other,) = codec.decode_polled("funding_rate", payload, "", T0)
    assert "not polled here" in other.excerpt
