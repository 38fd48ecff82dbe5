"""A venue's listing out of the REST replies that a feed polls: one reply or several, whole or not at all.

Owns which replies make a whole; reading them is `adapters.universe_listings`.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.binance.instruments import VENUES as BINANCE_VENUES
from adapters.bybit.instruments import BYBIT
from adapters.ccxt_venues.frames import read_listing
from adapters.ccxt_venues.instruments import VENUES as CCXT_VENUES
from adapters.okx.instruments import OKX
from adapters.universe_listings import binance_listing, bybit_listing, okx_listing
from trading.instruments import Instrument, InstrumentKind
from trading.universe.listing import VenueListing

_TYPE_AT = b'"instType":"'


class ListingReader:
    """Collects the replies of one venue. Half a listing would be a delisting of the other half."""

    def __init__(self, venue: str, instruments: Sequence[Instrument]) -> None:
        self.venue = venue
        self.unreadable = 0
        self._parts: dict[str, bytes] = {}
        if venue == OKX:
            self._needed = {"SPOT" if i.kind is InstrumentKind.SPOT else "SWAP" for i in instruments}
        else:
            self._needed = {i.symbol for i in instruments} if venue == BYBIT else {""}

    def take(self, symbol: str, payload: bytes, ts_ns: int) -> VenueListing | None:
        """The listing, once every reply that it is made of was read; None before, and for what cannot be read."""
        if self.venue in BINANCE_VENUES:
            return self._counted(binance_listing(self.venue, payload, ts_ns))
        if self.venue in CCXT_VENUES:
            return self._counted(read_listing(self.venue, payload, ts_ns))
        self._parts[_type_of(payload) if self.venue == OKX else symbol] = payload
        if not self._needed <= self._parts.keys():
            return None
        parts = [self._parts[name] for name in sorted(self._needed)]
        return self._counted((okx_listing if self.venue == OKX else bybit_listing)(parts, ts_ns))

    def _counted(self, listing: VenueListing | None) -> VenueListing | None:
        if listing is None:
            self.unreadable += 1
        return listing


def _type_of(payload: bytes) -> str:
    """The instrument type of OKX's reply, which holds one type only."""
    at = payload.find(_TYPE_AT)
    if at < 0:
        return ""
    at += len(_TYPE_AT)
    return payload[at : payload.find(b'"', at, at + 20)].decode("ascii", "replace")
