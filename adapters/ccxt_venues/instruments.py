"""The venues that are read through ccxt and the instruments of theirs that propdesk knows without asking.

Owns names and filters. While the desk runs, the venue's own filters come with its listing (`frames.read_listing`): an
instrument whose grid is another by then, or whose minimum is higher, is not read at all (`difference`), for every part
of the desk counts in its ticks and lots. A lower minimum is no harm: the table's holds.

Sources: Gate.io v4 "Query all supported currency pairs" (gate.com/docs/developers/apiv4), MEXC spot v3 "Exchange
Information" (mexc.com/api-docs/spot-v3), both as bundled by ccxt 4.5.68 and read 2026-11. MEXC's ``baseSizePrecision``
is its minimal quantity and ``quoteAmountPrecision`` its minimal value; neither venue states a maximal quantity for all
(Gate.io's ``max_base_amount``; MEXC limits the value).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.universe.symbols import Pair, native_spot_symbol

GATEIO: Final = "gateio"
MEXC: Final = "mexc"


class CcxtVenue(msgspec.Struct, frozen=True, kw_only=True):
    """A venue as ccxt has it.

    ``exchange`` is ccxt's name. ``polled``: its books are asked for by REST, again and again. ``options`` are ccxt's.
    """

    venue: str
    exchange: str
    polled: bool = False
    options: Mapping[str, Any] = {}


VENUES: Final[Mapping[str, CcxtVenue]] = {
    GATEIO: CcxtVenue(venue=GATEIO, exchange="gate", options={"fetchMarkets": {"types": ["spot"]}}),
    # Its streams are protobuf, which ccxt decodes with a package that the desk does without.
    MEXC: CcxtVenue(venue=MEXC, exchange="mexc", polled=True),
}


def _spot(
    venue: str, base: str, *, tick: str, lot: str, qty: tuple[str, str], value: str, fees: tuple[str, str]
) -> Instrument:
    """``qty`` is the least and the most, ``value`` the least in USDT, ``fees`` maker and taker."""
    return Instrument(
        instrument_id=f"{venue.upper()}:SPOT:{base}-USDT",
        venue=venue,
        symbol=native_spot_symbol(Pair(base, "USDT"), venue),
        kind=InstrumentKind.SPOT,
        base=base,
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_qty=Decimal(qty[0]),
        max_qty=Decimal(qty[1]),
        min_notional=Decimal(value),
        maker_fee=Decimal(fees[0]),
        taker_fee=Decimal(fees[1]),
        rules_version="ccxt-4.5.68",
    )


_GATEIO_FEES = ("0.002", "0.002")
_MEXC_FEES = ("0", "0.0005")

INSTRUMENTS: Final[tuple[Instrument, ...]] = (
    _spot(GATEIO, "BTC", tick="0.1", lot="0.000001", qty=("0.000001", "100"), value="3", fees=_GATEIO_FEES),
    _spot(GATEIO, "ETH", tick="0.01", lot="0.0001", qty=("0.001", "1000"), value="3", fees=_GATEIO_FEES),
    _spot(MEXC, "BTC", tick="0.01", lot="0.00000001", qty=("0.000001", "60"), value="1", fees=_MEXC_FEES),
    _spot(MEXC, "ETH", tick="0.01", lot="0.00001", qty=("0.0001", "1000"), value="1", fees=_MEXC_FEES),
)
"""Spot. The maximal quantities of MEXC are ours: 4,000,000 USDT, its limit of value, at prices that were never seen."""


def difference(known: Instrument, listed: Instrument) -> str:
    """Why ``known``, of the table, cannot be traded by what the venue lists now; empty when it can."""
    for name, ours, theirs in (
        ("tick_size", known.tick_size, listed.tick_size),
        ("lot_size", known.lot_size, listed.lot_size),
    ):
        if ours != theirs:
            return f"{name} is {theirs} at the venue and {ours} in the table: mend it in adapters/ccxt_venues"
    for name, ours, theirs in (
        ("min_qty", known.min_qty, listed.min_qty),
        ("min_notional", known.min_notional, listed.min_notional),
    ):
        if theirs > ours:
            return f"{name} rose to {theirs} at the venue, {ours} in the table: mend it in adapters/ccxt_venues"
    return ""
