"""By which rules a session's bytes are read: those of its manifest, else the desk's own tables."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.binance.instruments import VENUES as BINANCE_VENUES
from adapters.binance.instruments import instruments_of
from adapters.bybit.instruments import BYBIT, Category
from adapters.bybit.instruments import INSTRUMENTS as BYBIT_INSTRUMENTS
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.okx.instruments import OKX
from trading.instruments import Instrument

RECORDED_VENUES = (*BINANCE_VENUES, OKX, BYBIT)


def known_instruments(venue: str) -> Sequence[Instrument]:
    """The desk's own table of a venue; empty for one without.

    Bybit's symbols mean two things (BTCUSDT is spot and linear): the linear one is meant here. A session that records
    spot says so in its manifest.
    """
    if venue in BINANCE_VENUES:
        return instruments_of(venue)
    if venue == OKX:
        return OKX_INSTRUMENTS
    if venue == BYBIT:
        found: dict[str, Instrument] = {}
        for category in (Category.LINEAR, Category.INVERSE, Category.SPOT):
            for one in BYBIT_INSTRUMENTS[category]:
                found.setdefault(one.symbol, one)
        return tuple(found.values())
    return ()
