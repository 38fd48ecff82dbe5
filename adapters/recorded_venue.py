"""What a reader of one venue's recorded traffic offers, and the facts that a first pass collects.

Owns the choice of a grid: the metadata in the recording, else propdesk's own table, either made finer where recorded
prices need it; else the number of decimals that was met.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from adapters.recordings import Recorded
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import VenueEvent
from trading.market.stitch import BookSync

MAX_DECIMALS = 18


class Facts:
    """What the recording holds of one symbol."""

    __slots__ = (
        "depths",
        "price_decimals",
        "qty_decimals",
        "snapshot_levels",
        "snapshots",
        "symbol",
        "tickers",
        "updates",
    )

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.price_decimals = 0
        self.qty_decimals = 0
        self.snapshots = 0
        self.snapshot_levels = 0
        self.updates = 0
        self.tickers = 0
        self.depths: set[int] = set()

    def levels(self, pairs: Iterable[Sequence[str]]) -> None:
        """Note prices and quantities; trailing zeros say nothing of a grid."""
        for pair in pairs:
            price, qty = pair[0], pair[1]
            # A number that needs no more decimals than were met is the usual case.
            if len(price) - price.find(".") - 1 > self.price_decimals:
                self.price_decimals = max(self.price_decimals, decimals_of(price))
            if len(qty) - qty.find(".") - 1 > self.qty_decimals:
                self.qty_decimals = max(self.qty_decimals, decimals_of(qty))


class Survey:
    """What a first pass over a recording found."""

    def __init__(self) -> None:
        self.facts: dict[str, Facts] = {}
        self.instruments: dict[str, Instrument] = {}
        self.refused: dict[str, str] = {}

    def of(self, symbol: str) -> Facts:
        """The facts of one symbol, new or known; "" is that of lines that name none."""
        found = self.facts.get(symbol)
        if found is None:
            found = self.facts[symbol] = Facts(symbol)
        return found

    def settle(self) -> None:
        """Give what was noted of no symbol to the only one there is."""
        nameless = self.facts.pop("", None)
        if nameless is None or len(self.facts) != 1:
            return
        (only,) = self.facts.values()
        only.price_decimals = max(only.price_decimals, nameless.price_decimals)
        only.qty_decimals = max(only.qty_decimals, nameless.qty_decimals)
        only.snapshots += nameless.snapshots
        only.snapshot_levels = max(only.snapshot_levels, nameless.snapshot_levels)

    def listed(self, instruments: Iterable[Instrument], refused: dict[str, str]) -> None:
        """Note metadata; the newest wins."""
        self.instruments.update((one.symbol, one) for one in instruments)
        self.refused.update(refused)

    def grid(self, symbol: str, known: Sequence[Instrument], venue: str) -> tuple[Instrument, str]:
        """The instrument to read ``symbol`` by, and where its grid comes from: recording, table or inferred."""
        facts = self.facts[symbol]
        listed = self.instruments.get(symbol)
        if listed is not None:
            return _as_fine(listed, facts, "recording")
        for one in known:
            if one.symbol == symbol:
                return _as_fine(one, facts, "table")
        return inferred(facts, venue), "inferred"


class RecordedVenue(Protocol):
    """Reads one venue's recorded lines, in two passes: `survey` each line, `prepare`, then `events` of each line."""

    venue: str

    def survey(self, item: Recorded, survey: Survey) -> None:
        """First pass: note what one line holds."""
        ...

    def known(self) -> Sequence[Instrument]:
        """The instruments of propdesk's own table."""
        ...

    def prepare(self, instruments: Sequence[Instrument]) -> None:
        """Decode with these grids from now on."""
        ...

    def books(self, instrument: Instrument, facts: Facts) -> dict[str, BookSync]:
        """The books of one symbol, by label."""
        ...

    def events(self, item: Recorded) -> Iterator[tuple[str, VenueEvent]]:
        """Second pass: the events of one line, each with the label of its book; "" is every book of its symbol."""
        ...

    def on_connected(self) -> None:
        """A connection was made again: forget what its messages add to."""
        ...

    def finer_quantities(self) -> dict[str, int]:
        """By instrument_id: how many quantities were finer than the lot."""
        ...


def decimals_of(number: str) -> int:
    """How many decimals a plain decimal number needs; 0 for what is not one."""
    whole, _, fraction = number.partition(".")
    if not whole.isdigit() or not (fraction or "0").isdigit():
        return 0
    return min(len(fraction.rstrip("0")), MAX_DECIMALS)


def inferred(facts: Facts, venue: str) -> Instrument:
    """An instrument whose grid is as fine as the numbers that were met; it is good for reading and not for trading."""
    tick, lot = Decimal(1).scaleb(-facts.price_decimals), Decimal(1).scaleb(-facts.qty_decimals)
    return Instrument(
        instrument_id=f"{venue.upper()}:UNLISTED:{facts.symbol}",
        venue=venue,
        symbol=facts.symbol,
        kind=InstrumentKind.SPOT,
        base=facts.symbol,
        quote="",
        settle="",
        tick_size=tick,
        lot_size=lot,
        min_qty=lot,
        max_qty=lot,
        min_notional=Decimal(0),
        rules_version="inferred",
    )


def _as_fine(one: Instrument, facts: Facts, source: str) -> tuple[Instrument, str]:
    """``one``, with a finer tick where recorded prices need it.

    Orders rest off a tick that became coarser after they were placed (recorded 2021-10-12: NKNUSDT at 0.25974, tick
    0.0001): they are far from the touch and cannot be told apart from damage by the tick alone.
    """
    exponent = one.tick_size.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # a step is finite
    if facts.price_decimals <= max(0, -exponent):
        return one, source
    tick = Decimal(1).scaleb(-facts.price_decimals)
    return msgspec.structs.replace(one, tick_size=tick), f"{source}, tick {one.tick_size.normalize():f} made finer"
