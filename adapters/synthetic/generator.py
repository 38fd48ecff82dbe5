"""The synthetic market as sources of traffic: one venue live, or several merged for replay.

Owns the merging of markets by receipt time. Everything that it emits is synthetic and says so; it never pretends to be
a recording. The latent world is shared through the spec alone, so venues in different processes agree.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from adapters.synthetic.latent import LatentMarket, mix, name_key
from adapters.synthetic.orderflow import OrderFlow
from adapters.synthetic.params import MARKETS, GeneratorSpec

_SLICE_NS = 250_000_000


class MarketGenerator:
    """The traffic of one venue from ``start_ns`` (UTC ns) on, in the venue's own bytes.

    The book starts afresh at ``start_ns``; prices continue, and update ids are above those of any earlier start.
    """

    synthetic = True

    def __init__(self, spec: GeneratorSpec, venue: str, start_ns: int) -> None:
        markets = [MARKETS[i] for i in sorted(set(spec.instruments)) if MARKETS[i].venue == venue]
        if not markets:
            raise ValueError(f"the spec has no instrument of venue {venue!r}: {spec.instruments}")
        if len({market.symbol for market in markets}) < len(markets):
            raise ValueError(f"two markets of {venue} have one symbol: a generator serves one category")
        self.spec = spec
        self.venue = venue
        self.latent = LatentMarket(spec)
        self.flows = {
            m.symbol: OrderFlow(
                m, self.latent, mix(spec.seed, name_key(m.instrument_id), start_ns), start_ns, spec.activity
            )
            for m in markets
        }
        self._released_ns = start_ns

    def snapshot(self, symbol: str | None = None) -> tuple[int, str, bytes]:
        """(ts_recv_ns, symbol, REST depth body) of the book now; of the venue's first market unless named.

        All levels are in it, so a client's book is complete. It has no effect on the traffic: diffs up to its
        ``lastUpdateId`` that are still to be released are stale, as at the venue.
        """
        name = next(iter(self.flows)) if symbol is None else symbol
        ts_ns, body = self.flows[name].snapshot()
        return max(ts_ns, self._released_ns), name, body

    def next_batch(self, until_ns: int) -> list[tuple[int, bytes]]:
        """All frames received up to and including ``until_ns``, in order; how time is sliced changes nothing."""
        ready: list[list[tuple[int, bytes]]] = []
        for flow in self.flows.values():
            flow.advance(until_ns)
            frames, batch = flow.frames, list[tuple[int, bytes]]()
            while frames and frames[0][0] <= until_ns:
                batch.append(frames.popleft())
            ready.append(batch)
        self._released_ns = max(self._released_ns, until_ns)
        if len(ready) == 1:
            return ready[0]
        return list(heapq.merge(*ready, key=lambda frame: frame[0]))


class SyntheticSession:
    """A finite session of several venues from the spec's epoch; iterating again gives equal bytes."""

    synthetic = True

    def __init__(self, spec: GeneratorSpec, venues: Sequence[str], duration_s: float) -> None:
        if not venues or duration_s <= 0:
            raise ValueError("a session needs at least one venue and a positive duration")
        self.spec = spec
        self.venues = tuple(venues)
        self.duration_s = duration_s

    def __iter__(self) -> Iterator[tuple[int, str, bytes]]:
        """(ts_recv_ns, venue, payload); each market's snapshot comes first."""
        start_ns = self.spec.epoch_ns
        sources = [MarketGenerator(self.spec, venue, start_ns) for venue in self.venues]
        for source in sources:
            for symbol in source.flows:
                ts_ns, _, body = source.snapshot(symbol)
                yield ts_ns, source.venue, body
        end_ns = start_ns + int(self.duration_s * 1e9)
        now_ns = start_ns
        while now_ns < end_ns:
            now_ns = min(end_ns, now_ns + _SLICE_NS)
            batches = [[(ts, s.venue, frame) for ts, frame in s.next_batch(now_ns)] for s in sources]
            yield from heapq.merge(*batches, key=lambda line: line[0])
