"""Canonical market ids: ``VENUE:TYPE:BASE-QUOTE[:KIND]``, read and written in one place.

Owns the grammar. Does not own the words of people and venues for pairs and timeframes (`trading.universe.symbols`).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from trading.brakes import SCOPE_BYTES_MAX
from trading.instruments import InstrumentKind

ID_BYTES_MAX: Final = SCOPE_BYTES_MAX - len("symbol:")
"""So that every market can be a brake's scope."""

SPOT: Final = "SPOT"
PERP: Final = "PERP"
INDEX: Final = "INDEX"
FUTURE_PREFIX: Final = "FUT"

_VENUE: Final = re.compile(r"[A-Z][A-Z0-9]{1,15}")
_MARKET: Final = re.compile(r"SPOT|INDEX|PERP[A-Z0-9]{0,8}|FUT[A-Z0-9]{1,14}")
_ASSET: Final = re.compile(r"[A-Za-z0-9$.@_]{1,24}")
_KINDS: Final = {"LINEAR": InstrumentKind.LINEAR, "INVERSE": InstrumentKind.INVERSE}
_KINDLESS: Final = frozenset({SPOT, INDEX})


class MarketId(msgspec.Struct, frozen=True, order=True):
    """One market of one venue. The same ticker on two venues is two markets, with limits of their own.

    ``venue`` is in upper case, ``market`` is SPOT, INDEX, PERP (and the venue's family, as PERPUM) or FUT with the
    expiry as the venue writes it. ``kind`` is LINEAR or INVERSE on contracts and empty elsewhere.
    """

    venue: str
    market: str
    base: str
    quote: str
    kind: str = ""

    def __str__(self) -> str:
        """The canonical text, which `parse_market_id` reads back."""
        return f"{self.venue}:{self.market}:{self.base}-{self.quote}" + (f":{self.kind}" if self.kind else "")

    @property
    def adapter(self) -> str:
        """The venue's name in configuration and in `Instrument.venue`."""
        return self.venue.lower()

    @property
    def instrument_kind(self) -> InstrumentKind:
        """How a contract's value depends on its price."""
        return _KINDS.get(self.kind, InstrumentKind.SPOT)


def parse_market_id(text: str) -> MarketId:
    """The market that ``text`` names; ``ValueError`` says what is wrong with it and shows the form."""
    parts = text.split(":")
    if len(parts) not in (3, 4):
        raise ValueError(f"{text[:80]!r} is no market id: write VENUE:TYPE:BASE-QUOTE[:KIND]")
    venue, market, pair = parts[:3]
    kind = parts[3] if len(parts) == 4 else ""
    base, dash, quote = pair.partition("-")
    if not _VENUE.fullmatch(venue):
        raise ValueError(f"{text[:80]!r}: venue {venue[:20]!r} is not in capital letters and digits")
    if not _MARKET.fullmatch(market):
        raise ValueError(f"{text[:80]!r}: type {market[:20]!r} is not SPOT, INDEX, PERP or FUT<expiry>")
    if not dash or not _ASSET.fullmatch(base) or not _ASSET.fullmatch(quote):
        raise ValueError(f"{text[:80]!r}: {pair[:50]!r} is not BASE-QUOTE")
    if market in _KINDLESS and len(parts) == 4:
        raise ValueError(f"{text[:80]!r}: {market} has no KIND")
    if market not in _KINDLESS and kind not in _KINDS:
        raise ValueError(f"{text[:80]!r}: {market} needs the KIND LINEAR or INVERSE")
    if len(text) > ID_BYTES_MAX:
        raise ValueError(f"{text[:80]!r} has {len(text)} bytes, at most {ID_BYTES_MAX} fit a brake's scope")
    return MarketId(venue, market, base, quote, kind)


def is_market_id(text: str) -> bool:
    """Whether ``text`` is a canonical id."""
    try:
        parse_market_id(text)
    except ValueError:
        return False
    return True
