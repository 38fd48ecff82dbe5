"""What venues say of their markets, brought to the one form that the universe watches. Pure: bytes to `VenueListing`.

Owns the translation of status words, times and funding rules. Filters are read by each venue's own codec; a market
whose filters cannot be read is refused by name. Formats: Binance "Exchange Information" (spot, USD-M, COIN-M) and "Get
Funding Rate Info"; OKX v5 "Get instruments"; Bybit v5 "Get Instruments Info"; ccxt 4.5 "Market structure" (read
2026-11).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

import msgspec

from adapters.binance.exchange_info import decode_exchange_info
from adapters.binance.instruments import COINM, USDM
from adapters.binance.instruments import VENUES as BINANCE_VENUES
from adapters.bybit import instruments as bybit
from adapters.okx import instruments as okx
from adapters.rule_text import MS
from trading.instruments import Instrument, InstrumentKind
from trading.universe.ids import parse_market_id
from trading.universe.listing import FundingRule, ListedMarket, PlannedChange, VenueListing, listing_of
from trading.universe.symbols import market_of_ccxt

_NEVER_MS: Final = 4_102_444_800_000
"""2100-01-01: delivery dates beyond it are Binance's way of saying never."""
_FUNDING_MIN: Final = 480
QTY_UNSTATED: Final = Decimal(10) ** 12
"""The largest order where a venue states no maximum."""


_Ms = Annotated[int, msgspec.Meta(ge=0, lt=9 * 10**12)]


class _BinanceSymbol(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    status: str = ""
    contract_status: str = ""
    delivery_date: _Ms = 0
    onboard_date: _Ms = 0


class _BinanceReply(msgspec.Struct, gc=False):
    symbols: list[msgspec.Raw]


class _BinanceFunding(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    funding_interval_hours: int
    adjusted_funding_rate_cap: str = ""
    adjusted_funding_rate_floor: str = ""


_binance = msgspec.json.Decoder(_BinanceReply).decode
_binance_symbol = msgspec.json.Decoder(_BinanceSymbol).decode
_binance_funding = msgspec.json.Decoder(list[_BinanceFunding]).decode
_FAULTS = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


def binance_listing(venue: str, payload: bytes, ts_ns: int, funding: bytes | None = None) -> VenueListing | None:
    """The listing of exchangeInfo; ``funding`` is a reply of fundingInfo, which names only what is not every 8 hours.

    None when ``payload``, or a ``funding`` that was given, is not such a reply. Does not raise.
    """
    if venue not in BINANCE_VENUES:
        return None
    stated = decode_exchange_info(payload, venue)
    try:
        raws = _binance(payload).symbols
        rules = {one.symbol: _binance_rule(one) for one in _binance_funding(funding)} if funding is not None else {}
    except _FAULTS:
        return None
    if stated is None:
        return None
    told = _binance_states(raws)
    refused = dict(stated.refused)
    markets = []
    for instrument in stated.instruments:
        one = told.get(instrument.symbol)
        if one is None:
            refused[instrument.symbol] = "its status cannot be read"
            continue
        status = one.status or one.contract_status
        perpetual = venue in {USDM, COINM} and ":PERP:" in instrument.instrument_id
        rule = rules.get(instrument.symbol, FundingRule(interval_min=_FUNDING_MIN)) if perpetual else None
        markets.append(
            ListedMarket(
                instrument=instrument,
                tradable=status == "TRADING",
                status=status,
                list_ns=one.onboard_date * MS,
                delist_ns=one.delivery_date * MS if 0 < one.delivery_date < _NEVER_MS else 0,
                funding=rule,
            )
        )
    return _listing(venue, ts_ns, markets, refused)


def okx_listing(payloads: Sequence[bytes], ts_ns: int) -> VenueListing | None:
    """The listing of replies of ``/api/v5/public/instruments``, one for each instType; None when one is not one.

    OKX states funding intervals with its rates and not here: `with_funding` adds them.
    """
    markets: list[ListedMarket] = []
    refused: dict[str, str] = {}
    for payload in payloads:
        page = okx.decode_listing(payload)
        if page is None:
            return None
        refused |= page.refused
        markets += [_okx_market(one) for one in page.instruments]
    return _listing(okx.OKX, ts_ns, markets, refused) if payloads else None


def bybit_listing(payloads: Sequence[bytes], ts_ns: int) -> VenueListing | None:
    """The listing of all pages of ``/v5/market/instruments-info`` of every category that is traded.

    None when one is not such a page, or when a category's last page is missing: half a listing is none.
    """
    markets: list[ListedMarket] = []
    refused: dict[str, str] = {}
    cursors: dict[bybit.Category, str] = {}
    for payload in payloads:
        page = bybit.decode_listing(payload)
        if page is None:
            return None
        cursors[page.category] = page.next_cursor
        refused |= page.refused
        markets += [_bybit_market(one) for one in page.instruments]
    return _listing(bybit.BYBIT, ts_ns, markets, refused) if cursors and not any(cursors.values()) else None


def ccxt_listing(venue: str, markets: Iterable[Mapping[str, object]], ts_ns: int) -> VenueListing:
    """The listing of ccxt's market structures (the values of ``exchange.markets``), with precisions as tick sizes.

    Options are left out. A market without a step, a minimal quantity or, on spot, a minimal value is refused. Funding
    intervals are not stated here: `with_funding` adds them.
    """
    found: list[ListedMarket] = []
    refused: dict[str, str] = {}
    for entry in markets:
        if entry.get("option"):
            continue
        name = str(entry.get("id") or entry.get("symbol") or "?")
        try:
            found.append(_ccxt_market(venue, entry))
        except (ValueError, TypeError, AttributeError, KeyError, InvalidOperation) as fault:
            refused[name] = f"{type(fault).__name__}: {fault}"[:120]
    return _listing(venue, ts_ns, found, refused)


def with_funding(listing: VenueListing, rules: Mapping[str, FundingRule]) -> VenueListing:
    """The listing with funding rules by instrument_id, where the venue states them elsewhere."""
    markets = {
        name: msgspec.structs.replace(market, funding=rules.get(name, market.funding))
        for name, market in listing.markets.items()
    }
    return msgspec.structs.replace(listing, markets=markets)


def _listing(venue: str, ts_ns: int, markets: Iterable[ListedMarket], refused: Mapping[str, str]) -> VenueListing:
    """Markets whose ids fit the grammar; the others are refused, because no brake could name them."""
    sound, unread = [], dict(refused)
    for market in markets:
        try:
            parse_market_id(market.instrument_id)
        except ValueError as fault:
            unread[market.instrument.symbol] = str(fault)[:120]
            continue
        sound.append(market)
    return listing_of(venue, ts_ns, sound, unread)


def _binance_states(raws: Iterable[msgspec.Raw]) -> dict[str, _BinanceSymbol]:
    found = {}
    for raw in raws:
        try:
            one = _binance_symbol(raw)
        except _FAULTS:
            continue
        found[one.symbol] = one
    return found


def _binance_rule(one: _BinanceFunding) -> FundingRule:
    cap, floor = one.adjusted_funding_rate_cap, one.adjusted_funding_rate_floor
    return FundingRule(
        interval_min=one.funding_interval_hours * 60,
        cap=Decimal(cap) if cap else None,
        floor=Decimal(floor) if floor else None,
    )


def _okx_market(one: okx.ListedInstrument) -> ListedMarket:
    return ListedMarket(
        instrument=one.instrument,
        tradable=one.tradable,
        status=one.state,
        list_ns=one.list_ns,
        delist_ns=one.expiry_ns,
        planned=tuple(
            PlannedChange(field=change.param, value=change.new_value, effective_ns=change.effective_ns)
            for change in one.upcoming
        ),
    )


def _bybit_market(one: bybit.ListedInstrument) -> ListedMarket:
    interval = one.funding_interval_min
    return ListedMarket(
        instrument=one.instrument,
        tradable=one.tradable,
        status=one.status,
        list_ns=one.launch_ns,
        delist_ns=one.delivery_ns,
        funding=FundingRule(interval_min=interval) if interval else None,
    )


def _ccxt_market(venue: str, entry: Mapping[str, object]) -> ListedMarket:
    market = market_of_ccxt(venue, str(entry["symbol"]))
    contract = bool(entry.get("contract"))
    min_notional = _limit(entry, "cost", "min")
    if min_notional is None and not contract:
        raise ValueError("limits.cost.min is not stated")
    min_qty = _limit(entry, "amount", "min")
    if min_qty is None:
        raise ValueError("limits.amount.min is not stated")
    expiry = entry.get("expiry")
    instrument = Instrument(
        instrument_id=str(market),
        venue=venue,
        symbol=str(entry["id"]),
        kind=market.instrument_kind,
        base=market.base,
        quote=market.quote,
        settle=str(entry.get("settle") or market.quote),
        tick_size=_step(entry, "price"),
        lot_size=_step(entry, "amount"),
        min_qty=min_qty,
        max_qty=_limit(entry, "amount", "max") or QTY_UNSTATED,
        min_notional=min_notional or Decimal(0),
        multiplier=_number(entry.get("contractSize"), "contractSize") if contract else Decimal(1),
        maker_fee=_number(entry.get("maker"), "maker"),
        taker_fee=_number(entry.get("taker"), "taker"),
        rules_version="",
    )
    if instrument.kind is InstrumentKind.SPOT and contract:
        raise ValueError("a contract without a settlement currency")
    version = msgspec.json.encode(instrument, order="deterministic")
    instrument = msgspec.structs.replace(instrument, rules_version=okx.rules_version(version))
    active = entry.get("active") is not False
    return ListedMarket(
        instrument=instrument,
        tradable=active,
        status="active" if active else "inactive",
        delist_ns=int(expiry) * MS if isinstance(expiry, int | float) else 0,
    )


def _limit(entry: Mapping[str, object], what: str, end: str) -> Decimal | None:
    value = entry["limits"][what][end]  # type: ignore[index]
    return None if value is None else _number(value, f"limits.{what}.{end}")


def _step(entry: Mapping[str, object], what: str) -> Decimal:
    value = _number(entry["precision"][what], f"precision.{what}")  # type: ignore[index]
    if value <= 0:
        raise ValueError(f"precision.{what} is {value}")
    return value


def _number(value: object, what: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise TypeError(f"{what} is {value!r}")
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(f"{what} is {value!r}")
    return number
