"""The instruments of Bybit v5: instruments-info bytes to rules, and the few that propdesk knows without asking.

Owns metadata only. An instrument any of whose filters cannot be read is refused by name, never guessed (a missing
minimum is not zero). Fees are not in instruments-info: they are the regular tier's.
Format: "Get Instruments Info", bybit-exchange.github.io/docs/v5/market/instrument (read 2026-11). Spot states
``basePrecision`` and ``minOrderAmt`` where contracts state ``qtyStep`` and ``minNotionalValue``; inverse quantities are
contracts of 1 USD. Pages are joined by ``nextPageCursor``.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from enum import Enum

import msgspec

from adapters.rule_text import above_zero, amount, step, time_ns
from trading.instruments import Instrument, InstrumentKind

BYBIT = "bybit"


class Category(Enum):
    """Bybit's product types, each with a public stream of its own (``wss://stream.bybit.com/v5/public/<value>``)."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"


KINDS = {
    Category.SPOT: InstrumentKind.SPOT,
    Category.LINEAR: InstrumentKind.LINEAR,
    Category.INVERSE: InstrumentKind.INVERSE,
}

# Maker and taker of the non-VIP tier, bybit.com "Trading Fee Structure" (read 2026-11).
_FEES = {
    Category.SPOT: (Decimal("0.001"), Decimal("0.001")),
    Category.LINEAR: (Decimal("0.0002"), Decimal("0.00055")),
    Category.INVERSE: (Decimal("0.0002"), Decimal("0.00055")),
}

_NOT_RULES = frozenset({"riskParameters", "preListingInfo", "displayName"})
"""What changes without changing what an order may look like; left out of the rules version."""


class ListedInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument and what its venue says of it beyond what every order needs.

    ``status`` is the venue's word (Trading, PreLaunch, Delivering, Closed, ...); ``tradable`` says whether it is
    Trading. Times are UTC ns, 0 where the venue has none. ``funding_interval_min`` is 0 on spot and dated futures.
    ``min_price`` and ``max_price`` are 0 where there is no such filter (spot).
    """

    instrument: Instrument
    status: str
    launch_ns: int
    delivery_ns: int
    funding_interval_min: int
    min_price: Decimal
    max_price: Decimal
    max_market_qty: Decimal
    max_post_only_qty: Decimal

    @property
    def tradable(self) -> bool:
        """Whether the venue takes orders for it now."""
        return self.status == "Trading"


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One page. ``refused`` is by symbol: why its rules could not be read; ``next_cursor`` is empty on the last."""

    category: Category
    instruments: tuple[ListedInstrument, ...]
    refused: dict[str, str]
    next_cursor: str


class _Price(msgspec.Struct, gc=False, rename="camel"):
    tick_size: str
    min_price: str = "0"
    max_price: str = "0"


class _Lot(msgspec.Struct, gc=False, rename="camel"):
    min_order_qty: str
    max_order_qty: str = ""
    qty_step: str = ""
    min_notional_value: str = ""
    max_mkt_order_qty: str = ""
    post_only_max_order_qty: str = ""
    base_precision: str = ""
    min_order_amt: str = ""
    max_limit_order_qty: str = ""
    max_market_order_qty: str = ""
    post_only_max_limit_order_size: str = ""


class _Entry(msgspec.Struct, gc=False, rename="camel"):
    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    price_filter: _Price
    lot_size_filter: _Lot
    settle_coin: str = ""
    contract_type: str = ""
    launch_time: str = "0"
    delivery_time: str = "0"
    funding_interval: int = 0


class _Result(msgspec.Struct, gc=False, rename="camel"):
    category: str
    entries: list[msgspec.Raw] = msgspec.field(name="list")
    next_page_cursor: str = ""


class _Reply(msgspec.Struct, gc=False, rename="camel"):
    ret_code: int
    result: _Result


_reply = msgspec.json.Decoder(_Reply).decode
_entry = msgspec.json.Decoder(_Entry).decode
_any = msgspec.json.Decoder(dict[str, object]).decode
_FAULTS = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)


def decode_listing(payload: bytes) -> Listing | None:
    """One reply of ``/v5/market/instruments-info``; None when ``payload`` is anything else. Does not raise."""
    try:
        reply = _reply(payload)
        category = Category(reply.result.category)
    except _FAULTS:
        return None
    listed: list[ListedInstrument] = []
    refused: dict[str, str] = {}
    for number, raw in enumerate(reply.result.entries):
        name = f"entry {number}"
        try:
            entry = _entry(raw)
            name = entry.symbol
            listed.append(_listed(category, entry, rules_version(bytes(raw))))
        except _FAULTS as fault:
            refused[name] = str(fault)[:120]
    return Listing(
        category=category, instruments=tuple(listed), refused=refused, next_cursor=reply.result.next_page_cursor
    )


def rules_version(entry: bytes) -> str:
    """16 hex digits over what one entry says of orders; the order of its keys does not matter."""
    rules = {key: value for key, value in _any(entry).items() if key not in _NOT_RULES}
    return hashlib.blake2b(msgspec.json.encode(rules, order="deterministic"), digest_size=8).hexdigest()


def _listed(category: Category, entry: _Entry, rules: str) -> ListedInstrument:
    lot, spot = entry.lot_size_filter, category is Category.SPOT
    if not (entry.symbol and entry.base_coin and entry.quote_coin):
        raise ValueError("no symbol, baseCoin or quoteCoin")
    max_qty = (spot and lot.max_limit_order_qty) or lot.max_order_qty
    max_market = lot.max_market_order_qty if spot else lot.max_mkt_order_qty
    post_only = lot.post_only_max_limit_order_size if spot else lot.post_only_max_order_qty
    maker_fee, taker_fee = _FEES[category]
    instrument = Instrument(
        instrument_id=_canonical(category, entry),
        venue=BYBIT,
        symbol=entry.symbol,
        kind=KINDS[category],
        base=entry.base_coin,
        quote=entry.quote_coin,
        settle=entry.settle_coin or entry.quote_coin,
        tick_size=step(entry.price_filter.tick_size, "tickSize"),
        lot_size=step(lot.base_precision if spot else lot.qty_step, "basePrecision" if spot else "qtyStep"),
        min_qty=amount(lot.min_order_qty, "minOrderQty"),
        max_qty=above_zero(max_qty, "maxOrderQty"),
        min_notional=_min_notional(category, lot),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        rules_version=rules,
    )
    return ListedInstrument(
        instrument=instrument,
        status=entry.status,
        launch_ns=time_ns(entry.launch_time, "launchTime"),
        delivery_ns=time_ns(entry.delivery_time, "deliveryTime"),
        funding_interval_min=entry.funding_interval,
        min_price=amount(entry.price_filter.min_price, "minPrice"),
        max_price=amount(entry.price_filter.max_price, "maxPrice"),
        max_market_qty=amount(max_market or max_qty, "maxMktOrderQty"),
        max_post_only_qty=amount(post_only or max_qty, "postOnlyMaxOrderQty"),
    )


def _min_notional(category: Category, lot: _Lot) -> Decimal:
    if category is Category.SPOT:
        return amount(lot.min_order_amt, "minOrderAmt")
    if category is Category.INVERSE and not lot.min_notional_value:
        return Decimal(0)  # one contract is 1 USD: the minimal quantity is the minimal value
    return amount(lot.min_notional_value, "minNotionalValue")


def _canonical(category: Category, entry: _Entry) -> str:
    pair = f"{entry.base_coin}-{entry.quote_coin}"
    if category is Category.SPOT:
        return f"BYBIT:SPOT:{pair}"
    perpetual = entry.contract_type.endswith("Perpetual") or not entry.contract_type
    market = "PERP" if perpetual else f"FUT{entry.symbol.removeprefix(entry.base_coin).removeprefix(entry.quote_coin)}"
    return f"BYBIT:{market.replace('-', '')}:{pair}:{KINDS[category].name}"


def _known(category: Category, base: str, tick: str, lot: str, max_qty: str) -> Instrument:
    quote = "USD" if category is Category.INVERSE else "USDT"
    maker_fee, taker_fee = _FEES[category]
    market = "SPOT" if category is Category.SPOT else "PERP"
    suffix = "" if category is Category.SPOT else f":{KINDS[category].name}"
    return Instrument(
        instrument_id=f"BYBIT:{market}:{base}-{quote}{suffix}",
        venue=BYBIT,
        symbol=base + quote,
        kind=KINDS[category],
        base=base,
        quote=quote,
        settle=base if category is Category.INVERSE else quote,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_qty=Decimal(lot),
        max_qty=Decimal(max_qty),
        min_notional=Decimal(0 if category is Category.INVERSE else 5),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        rules_version="ccxt-4.5.68",
    )


INSTRUMENTS: dict[Category, tuple[Instrument, ...]] = {
    Category.SPOT: (
        _known(Category.SPOT, "BTC", "0.1", "0.000001", "230"),
        _known(Category.SPOT, "ETH", "0.01", "0.00001", "2600"),
    ),
    Category.LINEAR: (
        _known(Category.LINEAR, "BTC", "0.1", "0.001", "1500"),
        _known(Category.LINEAR, "ETH", "0.01", "0.01", "10000"),
        _known(Category.LINEAR, "XRP", "0.0001", "0.1", "7500000"),
    ),
    Category.INVERSE: (_known(Category.INVERSE, "BTC", "0.1", "1", "25000000"),),
}
"""Filters of the venue's instruments-info as bundled by ccxt 4.5.68 (2026); a running desk replaces them."""
