"""OKX's checksum of a book: whether the best 25 levels are the venue's own.

Rule ("Order book channel", checksum, okx.com/docs-v5, as it stood until 2026-06): bid and ask by turns, best first,
each as ``price:size`` in the venue's own spelling, 25 of either side at most (a side that has fewer is skipped), joined
by colons; CRC-32, signed 32 bit. Since 2026-06-23 the field is 0 ("Order book channels checksum field deprecation",
2026-05-21), so that this speaks of recordings and of servers that still state it. Verified on 290 of 290 recorded
messages of 2022-05-13.

Books hold ticks and lots. The venue spells numbers without needless zeros; where it did not, `meet` has kept its text.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import zip_longest
from zlib import crc32

from trading.instruments import Instrument
from trading.market.book import PyBook
from trading.market.events import Level

LEVELS = 25
MEMORY_ENTRIES = 1 << 14


class Spelling(dict[Level, str]):
    """The venue's text of each level that it stated with a checksum; of any other, the text it would have."""

    __slots__ = ("_lot_size", "_tick_size")

    def __init__(self, instrument: Instrument) -> None:
        super().__init__()
        self._tick_size = instrument.tick_size
        self._lot_size = instrument.lot_size

    def meet(self, level: Level, price: str, size: str) -> None:
        """The venue spells this level so."""
        if len(self) >= MEMORY_ENTRIES:
            self.clear()
        self[level] = f"{price}:{size}"

    def __missing__(self, level: Level) -> str:
        return f"{_plain(self._tick_size * level[0])}:{_plain(self._lot_size * level[1])}"

    def checksum_of(self, book: PyBook) -> int:
        """What the venue would state for ``book``."""
        bids, asks = book.top(LEVELS)
        texts = [self[level] for pair in zip_longest(bids, asks) for level in pair if level is not None]
        unsigned = crc32(":".join(texts).encode())
        return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
