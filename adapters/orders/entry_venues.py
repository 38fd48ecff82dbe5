"""Which venues take orders by WebSocket, and with which codec."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.binance.instruments import VENUES as BINANCE_VENUES
from adapters.bybit.instruments import BYBIT
from adapters.okx.instruments import OKX
from adapters.orders.entry import EntryDialect
from adapters.orders.entry_binance import BinanceEntry
from adapters.orders.entry_bybit import BybitEntry
from adapters.orders.entry_okx import OkxEntry
from adapters.orders.wire import OrderEndpoints
from trading.instruments import Instrument


def open_entry(venue: str, instruments: Sequence[Instrument], endpoints: OrderEndpoints) -> EntryDialect | None:
    """The venue's entry codec; None where orders go by REST only.

    OKX's demo network does not take over WebSocket the instrument codes that it publishes (seen 2026-09), so that its
    orders go by REST.
    """
    if venue == OKX:
        return None if endpoints.demo else OkxEntry(instruments)
    if venue == BYBIT:
        return BybitEntry()
    if venue in BINANCE_VENUES:
        return BinanceEntry(venue)
    return None
