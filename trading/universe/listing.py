"""What a venue lists, in one form for all venues: markets, the rules of each, and what could not be read.

Owns the form. Venues' bytes become it in `adapters.universe_listings`; what changed between two of them is
`trading.universe.watch`.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from trading.instruments import Instrument


class FundingRule(msgspec.Struct, frozen=True, kw_only=True):
    """How a perpetual is funded: minutes between settlements, and the rate's bounds as fractions where stated."""

    interval_min: int
    cap: Decimal | None = None
    floor: Decimal | None = None


class PlannedChange(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that the venue says it will change: its own name for it, the value, from when (UTC ns)."""

    field: str
    value: str
    effective_ns: int


class ListedMarket(msgspec.Struct, frozen=True, kw_only=True):
    """One market as its venue states it.

    ``status`` is the venue's word, ``tradable`` whether it takes orders now. Times are UTC ns, 0 where there is none:
    ``delist_ns`` is when trading ends, on dated futures the expiry. ``aliases`` are former symbols that it names.
    """

    instrument: Instrument
    tradable: bool = True
    status: str = ""
    list_ns: int = 0
    delist_ns: int = 0
    funding: FundingRule | None = None
    planned: tuple[PlannedChange, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def instrument_id(self) -> str:
        """The canonical id."""
        return self.instrument.instrument_id

    @property
    def type(self) -> str:
        """SPOT, PERP, FUT<expiry> as the id has it."""
        return self.instrument_id.split(":")[1]


class VenueListing(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one venue lists at ``ts_ns`` (UTC): all of its pages, or it is no listing.

    ``refused`` is by the venue's symbol: why its rules could not be read. Such a market is not tradable here.
    """

    venue: str
    ts_ns: int
    markets: dict[str, ListedMarket]
    refused: dict[str, str] = {}

    def by_symbol(self) -> dict[tuple[str, str], ListedMarket]:
        """Markets by (TYPE, the venue's own symbol): venues have a spot pair and a perpetual of one symbol."""
        return {(market.type, market.instrument.symbol): market for market in self.markets.values()}


def listing_of(
    venue: str, ts_ns: int, markets: Iterable[ListedMarket], refused: dict[str, str] | None = None
) -> VenueListing:
    """A listing of ``markets``; two of them with one id make both refused, because neither can be told apart."""
    found: dict[str, ListedMarket] = {}
    unread = dict(refused or {})
    twice: set[str] = set()
    for market in markets:
        other = found.get(market.instrument_id)
        if other is not None:
            twice.add(market.instrument_id)
            unread[market.instrument.symbol] = f"it and {other.instrument.symbol} are both {market.instrument_id}"
            unread[other.instrument.symbol] = f"it and {market.instrument.symbol} are both {market.instrument_id}"
        found[market.instrument_id] = market
    return VenueListing(
        venue=venue,
        ts_ns=ts_ns,
        markets={market_id: market for market_id, market in found.items() if market_id not in twice},
        refused=unread,
    )
