"""Binance exchangeInfo: bytes to instruments with their filters and a rules version. Pure.

An instrument any of whose filters cannot be read is refused by name, never guessed. Fees are not in exchangeInfo: they
are the regular tier's of `adapters.binance.instruments`.
Formats: binance-spot-api-docs/rest-api.md and filters.md; developers.binance.com "USDS-Margined Futures" and
"COIN-Margined Futures", Exchange Information (read 2026-11), checked against replies of 2021-07 and 2021-10.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal, InvalidOperation

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.rule_text import above_zero, amount, step
from trading.instruments import Instrument, InstrumentKind

_FEES = {
    SPOT: (Decimal("0.001"), Decimal("0.001")),
    USDM: (Decimal("0.0002"), Decimal("0.0005")),
    COINM: (Decimal("0.0001"), Decimal("0.0005")),
}
_PERPETUAL = {"PERPETUAL", "TRADIFI_PERPETUAL", ""}


class _Filter(msgspec.Struct, gc=False):
    filterType: str  # noqa: N815 - the venue's name
    tickSize: str = ""  # noqa: N815
    stepSize: str = ""  # noqa: N815
    minQty: str = ""  # noqa: N815
    maxQty: str = ""  # noqa: N815
    minNotional: str = ""  # noqa: N815
    notional: str = ""


class _Symbol(msgspec.Struct, gc=False):
    symbol: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    filters: list[_Filter]
    marginAsset: str = ""  # noqa: N815
    contractType: str = ""  # noqa: N815
    contractSize: int = 1  # noqa: N815


class _Reply(msgspec.Struct, gc=False):
    symbols: list[msgspec.Raw]


class Listing(msgspec.Struct, frozen=True):
    """What one reply says. ``refused`` is by symbol: why its rules could not be read."""

    instruments: tuple[Instrument, ...]
    refused: dict[str, str]


_reply = msgspec.json.Decoder(_Reply).decode
_symbol = msgspec.json.Decoder(_Symbol).decode


def decode_exchange_info(payload: bytes, venue: str) -> Listing | None:
    """The instruments of a reply of ``venue``; None when ``payload`` is not one. Does not raise."""
    try:
        raws = _reply(payload).symbols
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    instruments: list[Instrument] = []
    refused: dict[str, str] = {}
    for number, raw in enumerate(raws):
        name = f"symbol {number}"
        try:
            stated = _symbol(raw)
            name = stated.symbol
            rules = hashlib.blake2b(bytes(raw), digest_size=8).hexdigest()
            instruments.append(_instrument(venue, stated, rules))
        except (msgspec.MsgspecError, ValueError, ArithmeticError, InvalidOperation, RecursionError) as fault:
            refused[name] = str(fault)[:120]
    return Listing(tuple(instruments), refused)


def _instrument(venue: str, stated: _Symbol, rules: str) -> Instrument:
    filters = {one.filterType: one for one in stated.filters}
    price, lot = filters.get("PRICE_FILTER"), filters.get("LOT_SIZE")
    if not (stated.symbol and stated.baseAsset and stated.quoteAsset):
        raise ValueError("no symbol, baseAsset or quoteAsset")
    if price is None or lot is None:
        raise ValueError("no PRICE_FILTER or no LOT_SIZE")
    floor = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
    if floor is None and venue != COINM:  # COIN-M has no notional filter: its lots are contracts of a fixed value
        raise ValueError("no NOTIONAL and no MIN_NOTIONAL")
    maker_fee, taker_fee = _FEES[venue]
    kind = {SPOT: InstrumentKind.SPOT, USDM: InstrumentKind.LINEAR, COINM: InstrumentKind.INVERSE}[venue]
    return Instrument(
        instrument_id=_canonical(venue, stated, kind),
        venue=venue,
        symbol=stated.symbol,
        kind=kind,
        base=stated.baseAsset,
        quote=stated.quoteAsset,
        settle=stated.marginAsset or stated.quoteAsset,
        tick_size=step(price.tickSize, "tickSize"),
        lot_size=step(lot.stepSize, "stepSize"),
        min_qty=amount(lot.minQty, "minQty"),
        max_qty=above_zero(lot.maxQty, "maxQty"),
        min_notional=amount(floor.minNotional or floor.notional, "minNotional") if floor else Decimal(0),
        multiplier=above_zero(str(stated.contractSize), "contractSize") if venue == COINM else Decimal(1),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        rules_version=rules,
    )


def _canonical(venue: str, stated: _Symbol, kind: InstrumentKind) -> str:
    if kind is InstrumentKind.SPOT:
        return f"BINANCE:SPOT:{stated.baseAsset}-{stated.quoteAsset}"
    market = "PERP" if stated.contractType in _PERPETUAL else f"FUT{stated.symbol.rpartition('_')[2]}"
    return f"{venue.upper()}:{market}:{stated.baseAsset}-{stated.quoteAsset}:{kind.name}"
