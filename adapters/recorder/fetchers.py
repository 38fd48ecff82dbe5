"""Who can answer for missing trades: another recording of the same market.

A venue's REST is another `adapters.recorder.backfill.TradesFetcher`, given by whoever owns the rate budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from adapters.recorder.backfill import FetchedTrade, FetchFailedError, Hole
from adapters.recorder.build import instruments_in, world_of
from adapters.venue_codecs import open_codec
from adapters.wirelog import WireLine, is_snapshot, open_session
from trading.instruments import Instrument
from trading.market.events import Trade, VenueEvent


class RecordingFetcher:
    """The trades of a recording, as far as they are in ``holes``; it is read once.

    It answers for ids between the first and the last trade that it holds of an instrument, and for others not at all:
    that a recording lacks what it did not hear proves nothing. A synthetic recording knows nothing of a real market.
    """

    def __init__(self, session: Path, holes: Iterable[Hole]) -> None:
        self.name = f"recording {session.name}"
        wanted: dict[str, list[tuple[int, int]]] = {}
        world = world_of(session)
        for hole in (hole for hole in holes if hole.world == world):
            wanted.setdefault(hole.instrument_id, []).append((hole.from_id, hole.to_id))
        self._trades: dict[str, dict[int, FetchedTrade]] = {}
        self._heard: dict[str, tuple[int, int]] = {}
        read = open_session(session)
        venues = sorted({file.venue for file in read.files})
        instruments = {venue: instruments_in(session, venue) for venue in venues}
        codecs = {venue: open_codec(venue, list(instruments[venue].values())) for venue in venues}
        for line in read:
            if not isinstance(line, WireLine) or is_snapshot(line.payload):
                continue
            found = codecs[line.venue].decode(line.payload, line.ts_recv_ns)
            events: Sequence[VenueEvent] = (
                found if isinstance(found, Sequence) else (found,) if found is not None else ()
            )
            for event in events:
                if isinstance(event, Trade) and event.instrument_id in wanted:
                    self._hear(event, wanted[event.instrument_id], instruments[line.venue][event.instrument_id])

    def fetch(self, instrument: Instrument, from_id: int, to_id: int) -> Sequence[FetchedTrade]:
        """The trades of these ids; `FetchFailedError` where the recording was not listening."""
        first, last = self._heard.get(instrument.instrument_id, (0, -1))
        if not first <= from_id <= to_id <= last:
            raise FetchFailedError(f"{self.name} does not cover trades {from_id}-{to_id}")
        held = self._trades.get(instrument.instrument_id, {})
        found = [held[number] for number in range(from_id, to_id + 1) if number in held]
        if len(found) != to_id - from_id + 1:
            raise FetchFailedError(f"{self.name} has a hole in trades {from_id}-{to_id} itself")
        return found

    def _hear(self, trade: Trade, ranges: Sequence[tuple[int, int]], instrument: Instrument) -> None:
        name = trade.instrument_id
        first, last = self._heard.get(name, (trade.trade_id, trade.trade_id))
        self._heard[name] = min(first, trade.trade_id), max(last, trade.trade_id)
        if any(low <= trade.trade_id <= high for low, high in ranges):
            self._trades.setdefault(name, {})[trade.trade_id] = FetchedTrade(
                trade_id=trade.trade_id,
                price=instrument.price(trade.price_ticks),
                qty=instrument.qty(trade.qty_lots),
                side=trade.aggressor,
                ts_event_ns=trade.ts_event_ns,
            )
