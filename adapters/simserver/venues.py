"""Which venues can be simulated, and what their instruments are called on the server."""

from __future__ import annotations

from collections.abc import Callable

from adapters.binance.instruments import INSTRUMENTS as BINANCE_INSTRUMENTS
from adapters.binance.instruments import VENUES as BINANCE_VENUES
from adapters.bybit.instruments import BYBIT
from adapters.bybit.instruments import INSTRUMENTS as BYBIT_INSTRUMENTS
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.okx.instruments import OKX
from adapters.simserver.binance import BinanceDialect
from adapters.simserver.bybit import BybitDialect
from adapters.simserver.dialect import Dialect
from adapters.simserver.fault_plane import Faults
from adapters.simserver.feed import MarketFeed
from adapters.simserver.hub import Hub
from adapters.simserver.okx import OkxDialect
from trading.instruments import Instrument

VENUES = (*BINANCE_VENUES, OKX, BYBIT)


def _keys(venue: str) -> dict[str, tuple[Instrument, str]]:
    if venue == BYBIT:
        # A symbol may exist in two categories.
        return {
            one.instrument_id: (one, f"{category.value}:{one.symbol}")
            for category, listed in BYBIT_INSTRUMENTS.items()
            for one in listed
        }
    listed = OKX_INSTRUMENTS if venue == OKX else BINANCE_INSTRUMENTS
    return {one.instrument_id: (one, one.symbol) for one in listed if one.venue == venue}


def keys_of(venue: str, instrument_ids: tuple[str, ...]) -> tuple[list[Instrument], dict[str, str]]:
    """The instruments of a venue by id, and each one's key on the server. ``ValueError`` names what is unknown."""
    known = _keys(venue)
    if not instrument_ids or any(name not in known for name in instrument_ids):
        raise ValueError(f"{venue!r} cannot be simulated with {instrument_ids}; known: {sorted(known) or VENUES}")
    chosen = [known[name] for name in dict.fromkeys(instrument_ids)]
    return [one for one, _ in chosen], {one.instrument_id: key for one, key in chosen}


def open_dialect(venue: str, feed: MarketFeed, hub: Hub, faults: Faults, wall_ns: Callable[[], int]) -> Dialect:
    """The protocol of one venue."""
    match venue:
        case "okx":
            return OkxDialect(feed, hub, faults, wall_ns)
        case "bybit":
            return BybitDialect(feed, hub, faults, wall_ns)
        case _:
            return BinanceDialect(venue, feed, hub, faults, wall_ns)
