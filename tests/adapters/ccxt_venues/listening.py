"""Who reads a venue through ccxt as a connector does: codec, proof, and snapshots asked for when they are wanted."""

from __future__ import annotations

import asyncio

import pytest

from adapters.ccxt_venues.source import CcxtSource
from adapters.ccxt_venues.spec import CcxtSpec
from adapters.clock import SystemClock
from adapters.sources import Frame, Origin, SourceSpec
from adapters.streams.budget import ConnectionBudget
from adapters.streams.events import Connected, Disconnected, Polled
from adapters.venue_codecs import KNOWN, open_codec, open_sync
from tests.waiting import PATIENCE_S, breath
from trading.market.events import BookState, DepthSnapshot, DepthUpdate

CLOCK = SystemClock()


def terms(venue, **changes):
    fields = {"audit_every_ms": 600, "audit_gap_ms": 150, "proof_ms": 5_000, "backoff_ms_max": 600}
    return CcxtSpec(**(venue.hosts | fields | changes))


class Listener:
    """One instrument."""

    def __init__(self, name, spec):
        self.instrument = one = KNOWN[name]
        self.codec = open_codec(one.venue, [one])
        self.sync = open_sync(self.codec, one, proof_ms=spec.proof_ms)
        self.items = []
        self.events = []
        self.states = [self.sync.state]
        source = SourceSpec(anchor_ns=0, origin=Origin.LIVE, ccxt=spec)
        self.source = CcxtSource(source, one.venue, [one], CLOCK, wake=lambda: None, budget=ConnectionBudget())

    def read(self):
        for item in self.source.poll(CLOCK.wall_ns()):
            self.items.append(item)
            match item:
                case Frame():
                    found = self.codec.decode(item.payload, item.ts_recv_ns)
                    for event in found if isinstance(found, list | tuple) else (found,):
                        self._take(event)
                case Connected():
                    self.codec.on_connected()
                case Disconnected():
                    self.sync.on_disconnected(item.ts_ns)
                case Polled():
                    self.events += self.codec.decode_polled(item.channel, item.payload, "", item.ts_ns)
                case _:
                    pass
            self._note()
        if self.sync.wants_snapshot and self.sync.state is not BookState.SYNCED:
            self.source.snapshot(self.instrument.symbol, 0)
            self.sync.on_snapshot_requested(CLOCK.wall_ns())

    def _take(self, event):
        self.events.append(event)
        if isinstance(event, DepthUpdate):
            self.sync.on_update(event)
        elif isinstance(event, DepthSnapshot):
            self.sync.on_snapshot(event)

    def _note(self):
        if self.sync.state is not self.states[-1]:
            self.states.append(self.sync.state)

    @property
    def synced(self):
        return self.sync.state is BookState.SYNCED

    def said(self, kind):
        return [event for event in self.events if type(event) is kind]

    def told(self, kind):
        return [item for item in self.items if type(item) is kind]

    async def until(self, condition, what, seconds=PATIENCE_S):
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await breath(0.01)
                    self.read()
        except TimeoutError:
            status = self.source.status().connections[0]
            rest = [item for item in self.items if not isinstance(item, Frame)][-5:]
            pytest.fail(f"{what} not in {seconds} s: {self.sync.reason}; {status.status} {status.reason}; {rest}")

    async def close(self):
        self.source.close()
        await asyncio.wait(self.source._closing, timeout=PATIENCE_S)
