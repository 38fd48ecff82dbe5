"""A small market of listings to change."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.instruments import Instrument, InstrumentKind
from trading.universe.listing import FundingRule, ListedMarket, VenueListing, listing_of

T0 = 1_760_000_000_000_000_000


def instrument(instrument_id: str = "OKX:SPOT:BTC-USDT", **fields: object) -> Instrument:
    """An instrument with plausible filters; ``fields`` replace any."""
    venue, market, pair = instrument_id.split(":")[:3]
    base, _, quote = pair.partition("-")
    kind = InstrumentKind(instrument_id.split(":")[3].lower()) if instrument_id.count(":") == 3 else InstrumentKind.SPOT
    made = Instrument(
        instrument_id=instrument_id,
        venue=venue.lower(),
        symbol=f"{base}-{quote}" + ("-SWAP" if market == "PERP" else ""),
        kind=kind,
        base=base,
        quote=quote,
        settle=quote,
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.0001"),
        min_qty=Decimal("0.0001"),
        max_qty=Decimal(100),
        min_notional=Decimal(5),
        rules_version="aaaa",
    )
    return msgspec.structs.replace(made, **fields)


def market(instrument_id: str = "OKX:SPOT:BTC-USDT", **fields: object) -> ListedMarket:
    """A listed market; fields of `ListedMarket` are its own, all others are its instrument's."""
    own = {name: fields.pop(name) for name in list(fields) if name in ListedMarket.__struct_fields__}
    funding = FundingRule(interval_min=480) if ":PERP:" in instrument_id else None
    return ListedMarket(**{"status": "live", "funding": funding, **own}, instrument=instrument(instrument_id, **fields))


def listing(*markets: ListedMarket, ts_ns: int = T0, refused: dict[str, str] | None = None) -> VenueListing:
    """A listing of the venue of the first market."""
    return listing_of(markets[0].instrument.venue, ts_ns, markets, refused)


@pytest.fixture
def many() -> list[ListedMarket]:
    """Forty markets of OKX."""
    return [market(f"OKX:SPOT:C{number}-USDT") for number in range(40)]
