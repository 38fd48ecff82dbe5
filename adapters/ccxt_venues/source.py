"""The source of a venue that is read through ccxt: what a connector polls. Owns nothing but a `CcxtReader`'s face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from adapters.ccxt_venues.reader import CcxtReader, Item
from adapters.clock import Clock
from adapters.sources import AWAITED, Awaited, SourceSpec
from adapters.streams.budget import ConnectionBudget
from adapters.streams.fallback import FallbackItem
from adapters.streams.feed import FeedStatus
from adapters.streams.report import FeedReport
from trading.instruments import Instrument


class CcxtSource:
    """A `PushedSource`. ``rest_snapshots`` is False: its book's own proof compares them (`proof.ShadowedSync`)."""

    synthetic = False
    has_snapshots = True
    offset_ns = 0
    rest_snapshots = False
    on_reserve = False

    def __init__(
        self,
        spec: SourceSpec,
        venue: str,
        instruments: Sequence[Instrument],
        clock: Clock,
        *,
        wake: Callable[[], None],
        budget: ConnectionBudget,
    ) -> None:
        self.name = f"{venue} through ccxt"
        self._venue = venue
        self._reader = CcxtReader(venue, instruments, spec.ccxt, clock, wake=wake, budget=budget)
        self._reader.start()
        self._items = 0

    def poll(self, now_ns: int) -> Sequence[Item]:
        """What has come in."""
        found = self._reader.drain()
        self._items += len(found)
        return found

    def reserve(self) -> Sequence[FallbackItem]:
        """There is none: ccxt is the only way to such a venue."""
        return ()

    def snapshot(self, symbol: str, now_ns: int) -> Awaited:
        """Ask for a book by REST; it comes among the frames, to be compared."""
        self._reader.want_snapshot(symbol)
        return AWAITED

    def progress(self) -> dict[str, object]:
        """How much has come in."""
        return {"frames": self._items}

    def status(self) -> FeedStatus:
        """The one connection with its topics."""
        return self._reader.status()

    def report(self) -> FeedReport:
        """What words operators are told of it in."""
        return FeedReport(self._venue, synthetic=self.synthetic)

    def close(self) -> None:
        """Close the connection; nobody waits for it."""
        self._closing = [asyncio.get_running_loop().create_task(self._reader.close(), name="ccxt close")]
