"""Whether a market may be entered into the universe at all: is it listed, readable, tradable, and can we order there.

Owns the checks, the search for namesakes and the hash of what is approved. Who approves is `trading.universe.workflow`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from enum import Enum
from typing import Final

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.risk.filters import quantise_qty
from trading.universe.ids import MarketId, parse_market_id
from trading.universe.listing import ListedMarket, VenueListing

_MULTIPLIED: Final = re.compile(r"(?:1000000|100000|10000|1000|1M|k)(?=[A-Z])")
_NAMESAKES_MAX: Final = 64
_BPS: Final = 10_000


class UniverseRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the desk admits. Amounts are in the market's quote currency, which is USD-like on all that it trades.

    ``auto_add`` off means that nothing enters but by an operator. ``order_notional_min`` and ``_max`` are the order
    sizes that the strategies are configured for: both must be possible. ``tick_bps_max`` bounds the tick relative to
    the price. ``two_man`` asks two identities for each approval.
    """

    auto_add: bool = False
    two_man: bool = False
    excluded_prefixes: tuple[str, ...] = ("1000", "3L", "3S")
    excluded_suffixes: tuple[str, ...] = ("3L", "3S")
    order_notional_min: Decimal = Decimal(100)
    order_notional_max: Decimal = Decimal(1000)
    tick_bps_max: Decimal = Decimal(20)
    entries_max: int = 256


class Flaw(Enum):
    """Why a market is not admitted, a closed set."""

    NOT_AN_ID = "not_an_id"
    VENUE_UNLISTED = "venue_unlisted"
    NOT_LISTED = "not_listed"
    RULES_UNREADABLE = "rules_unreadable"
    NOT_TRADABLE = "not_tradable"
    DELISTING = "delisting"
    EXCLUDED = "excluded"
    FILTER_MISSING = "filter_missing"
    NO_PRICE = "no_price"
    TICK_TOO_COARSE = "tick_too_coarse"
    ORDER_TOO_SMALL = "order_too_small"
    ORDER_TOO_LARGE = "order_too_large"
    NAMESAKES = "namesakes"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in the way: which input it is about, what is wrong, how to mend it."""

    flaw: Flaw
    field: str
    text: str
    mend: str


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one market. ``facts_hash`` is what an approval of it is bound to, empty without an instrument.

    ``namesakes`` are ids of other markets whose base may be another asset of the same name.
    """

    instrument_id: str
    instrument: Instrument | None
    findings: tuple[Finding, ...]
    namesakes: tuple[str, ...]
    facts_hash: str

    @property
    def admitted(self) -> bool:
        """Whether nothing is in the way."""
        return not self.findings


def check_addition(
    instrument_id: str,
    listings: Mapping[str, VenueListing],
    rules: UniverseRules,
    price: Decimal | None,
    confirmed_namesakes: Iterable[str] = (),
) -> Admission:
    """Look at everything that could be wrong with trading ``instrument_id``.

    ``listings`` is by adapter name (`Instrument.venue`). ``price`` is a recent price of the market, None when there is
    none. ``confirmed_namesakes`` are the ids that an operator has looked at; all that exist must be among them.
    """
    try:
        market_id = parse_market_id(instrument_id)
    except ValueError as fault:
        mend = "write VENUE:TYPE:BASE-QUOTE[:KIND], for example OKX:SPOT:BTC-USDT"
        return _refused(instrument_id, Flaw.NOT_AN_ID, str(fault), mend)
    listing = listings.get(market_id.adapter)
    if listing is None:
        known = ", ".join(sorted(listings)) or "none"
        mend = f"wait for the venue's listing, or use a venue that is connected ({known})"
        return _refused(instrument_id, Flaw.VENUE_UNLISTED, f"no listing of {market_id.adapter} is known", mend)
    market = listing.markets.get(instrument_id)
    if market is None:
        return _unlisted(market_id, listing)
    namesakes = find_namesakes(market_id, listings.values())
    findings = [*_listing_findings(market, listing), *_name_findings(market_id, rules)]
    findings += _order_findings(market.instrument, rules, price)
    unconfirmed = [name for name in namesakes if name not in set(confirmed_namesakes)]
    if unconfirmed:
        text = f"{market_id.base} has namesakes that may be other assets: {', '.join(unconfirmed[:5])}"
        mend = "compare the assets, then confirm each id in confirmed_namesakes"
        findings.append(Finding(flaw=Flaw.NAMESAKES, field="confirmed_namesakes", text=text, mend=mend))
    return Admission(
        instrument_id=instrument_id,
        instrument=market.instrument,
        findings=tuple(findings),
        namesakes=namesakes,
        facts_hash=facts_hash(market.instrument, namesakes),
    )


def find_namesakes(market: MarketId, listings: Iterable[VenueListing]) -> tuple[str, ...]:
    """Markets whose base has the same name, or a multiple of it (1000PEPE, kPEPE): one id of each venue and base.

    At most 64, sorted. A company has one asset of each name, so the same base on its other venues is no namesake.
    """
    name = bare_name(market.base)
    found: dict[tuple[str, str], str] = {}
    for listing in listings:
        for other in listing.markets.values():
            base = other.instrument.base
            if bare_name(base) != name or (company(listing.venue) == company(market.adapter) and base == market.base):
                continue
            # The spot pair or the perpetual stands for all of them: dated futures come and go.
            key = (listing.venue, base)
            known = found.get(key)
            if known is None or _standing(other.instrument_id) < _standing(known):
                found[key] = other.instrument_id
    return tuple(sorted(found.values())[:_NAMESAKES_MAX])


def company(venue: str) -> str:
    """Whose venue it is: Binance's three are one company's."""
    return "binance" if venue.startswith("binance") else venue


def _standing(market_id: str) -> tuple[int, str]:
    kind = market_id.split(":")[1]
    return ({"SPOT": 0, "PERP": 1}.get(kind, 2), market_id)


def bare_name(base: str) -> str:
    """The asset's name without a multiplier: ``PEPE`` of ``1000PEPE`` and ``kPEPE``."""
    return _MULTIPLIED.sub("", base, count=1) if _MULTIPLIED.match(base) else base


def facts_hash(instrument: Instrument, namesakes: Iterable[str]) -> str:
    """What people approve: SHA-256 in hex over the instrument with all its filters, and over its namesakes."""
    return hashlib.sha256(msgspec.json.encode([instrument, sorted(namesakes)])).hexdigest()


def _refused(instrument_id: str, flaw: Flaw, text: str, mend: str) -> Admission:
    finding = Finding(flaw=flaw, field="instrument_id", text=text, mend=mend)
    return Admission(instrument_id=instrument_id, instrument=None, findings=(finding,), namesakes=(), facts_hash="")


def _unlisted(market: MarketId, listing: VenueListing) -> Admission:
    joined = {market.base + market.quote, f"{market.base}-{market.quote}", f"{market.base}_{market.quote}"}
    for symbol, reason in listing.refused.items():
        if any(symbol.startswith(word) for word in joined):
            text = f"the rules of {symbol} cannot be read: {reason}"
            return _refused(str(market), Flaw.RULES_UNREADABLE, text, "nothing: a filter is never guessed")
    same = [m for m, found in listing.markets.items() if found.instrument.base == market.base][:5]
    mend = f"this venue lists {', '.join(same)}" if same else "look the venue's name for it up: GET /api/md/meta"
    return _refused(str(market), Flaw.NOT_LISTED, f"{market.adapter} does not list {market}", mend)


def _listing_findings(market: ListedMarket, listing: VenueListing) -> Iterator[Finding]:
    if not market.tradable:
        text = f"the venue takes no orders for it: {market.status or 'not tradable'}"
        yield Finding(flaw=Flaw.NOT_TRADABLE, field="instrument_id", text=text, mend="wait until the venue opens it")
    dated = ":FUT" in market.instrument_id
    if market.delist_ns and not (dated and market.delist_ns > listing.ts_ns):
        text = f"the venue ends trading of it at {market.delist_ns} ns UTC"
        yield Finding(flaw=Flaw.DELISTING, field="instrument_id", text=text, mend="choose another market")


def _name_findings(market: MarketId, rules: UniverseRules) -> Iterator[Finding]:
    excluded = [word for word in rules.excluded_prefixes if market.base.startswith(word)]
    excluded += [word for word in rules.excluded_suffixes if market.base.endswith(word)]
    if excluded:
        text = f"names with {excluded[0]} are excluded: multiplied or leveraged tokens"
        mend = "take it out of universe.excluded_prefixes or excluded_suffixes if you mean it"
        yield Finding(flaw=Flaw.EXCLUDED, field="instrument_id", text=text, mend=mend)


def _order_findings(instrument: Instrument, rules: UniverseRules, price: Decimal | None) -> Iterator[Finding]:
    missing = [name for name in ("tick_size", "lot_size", "max_qty", "multiplier") if getattr(instrument, name) <= 0]
    missing += [name for name in ("min_qty", "min_notional") if getattr(instrument, name) < 0]
    if missing:
        text = f"{', '.join(missing)} of {instrument.instrument_id} must be above zero"
        mend = "nothing: a filter is never guessed"
        yield Finding(flaw=Flaw.FILTER_MISSING, field="instrument_id", text=text, mend=mend)
        return
    if price is None or not price.is_finite() or price <= 0:
        mend = "subscribe to the market first, so that sizes can be compared with its filters"
        yield Finding(flaw=Flaw.NO_PRICE, field="instrument_id", text="no price of it is known", mend=mend)
        return
    tick_bps = instrument.tick_size / price * _BPS
    if tick_bps > rules.tick_bps_max:
        text = f"a tick is {tick_bps:.1f} bps of the price, at most {rules.tick_bps_max}"
        mend = "choose a market with a finer tick, or raise universe.tick_bps_max"
        yield Finding(flaw=Flaw.TICK_TOO_COARSE, field="tick_bps_max", text=text, mend=mend)
    yield from _size_findings(instrument, rules, price)


def _size_findings(instrument: Instrument, rules: UniverseRules, price: Decimal) -> Iterator[Finding]:
    for field, notional in (
        ("order_notional_min", rules.order_notional_min),
        ("order_notional_max", rules.order_notional_max),
    ):
        wanted = qty_of_notional(instrument, notional, price)
        if wanted > instrument.max_qty:
            text = f"an order of {notional} is {wanted.normalize():f}, above the venue's maximum {instrument.max_qty}"
            mend = f"lower universe.{field}"
            yield Finding(flaw=Flaw.ORDER_TOO_LARGE, field=field, text=text, mend=mend)
            continue
        qty = quantise_qty(instrument, wanted)
        if not qty or instrument.notional(qty, price) < instrument.min_notional:
            least = least_notional(instrument, price)
            text = f"an order of {notional} {instrument.quote} is too small: the least there is {least.normalize():f}"
            mend = f"raise universe.{field} to {least.normalize():f} or more"
            yield Finding(
                flaw=Flaw.ORDER_TOO_SMALL, field=field, text=text, mend=f"raise universe.{field} to {least:f}"
            )


def qty_of_notional(instrument: Instrument, notional: Decimal, price: Decimal) -> Decimal:
    """The quantity, in the venue's unit and off its grid, that is worth ``notional`` in quote currency."""
    if instrument.kind is InstrumentKind.INVERSE:
        return notional / instrument.multiplier
    return notional / (price * instrument.multiplier)


def least_notional(instrument: Instrument, price: Decimal) -> Decimal:
    """The value of the smallest order that passes every filter, in quote currency."""
    per_lot = instrument.notional(instrument.lot_size, price)
    lots = max(
        Decimal(1),
        (instrument.min_qty / instrument.lot_size).to_integral_value(ROUND_CEILING),
        (instrument.min_notional / per_lot).to_integral_value(ROUND_CEILING),
    )
    return lots * per_lot
