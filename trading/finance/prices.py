"""What an asset was worth in USD at a moment, by what the journal itself says: executions and funding marks."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument
from trading.ledger.portfolio import USD_ASSETS

_ONE = Decimal(1)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The price of an instrument, since when, and who said so."""

    price: Decimal
    source: str
    ts_ns: int


class Prices:
    """The newest price of every instrument, and of every asset that has one in USD."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self._assets: dict[str, Decimal] = {}
        self.marks: dict[str, Mark] = {}

    def see(self, instrument_id: str, price: Decimal, source: str, ts_ns: int) -> None:
        """A price in the order of the journal; what is not positive is no price."""
        if not price.is_finite() or price <= 0:
            return
        self.marks[instrument_id] = Mark(price=price, source=source, ts_ns=ts_ns)
        instrument = self._instruments[instrument_id]
        if instrument.quote in USD_ASSETS:
            self._assets[instrument.base] = price

    def of(self, asset: str) -> Decimal | None:
        """One unit of an asset in USD now; None without a price."""
        return _ONE if asset in USD_ASSETS else self._assets.get(asset)
