"""Recorders over temporary folders, and lines to feed them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from adapters.binance.instruments import VENUES, instruments_of
from adapters.clock import SystemClock, VirtualClock
from adapters.recorder.catalog import WIRE
from adapters.recorder.drive import drive
from adapters.recorder.events import RecorderLimits
from adapters.recorder.wire import WireRecorder
from adapters.sources import SourceSpec, open_source
from adapters.synthetic.params import GeneratorSpec
from adapters.wirelog import open_session
from tests.waiting import PATIENCE_S

INSTRUMENTS = [one for venue in VENUES for one in instruments_of(venue)]
GENERATED = [one for one in INSTRUMENTS if one.instrument_id in GeneratorSpec(seed=7, epoch_ns=0).instruments]
HOUR = 3_600_000_000_000
T = 1_795_273_200_000_000_000  # 2026-11-21T15:00:00Z


def frame(number, symbol="btcusdt"):
    return b'{"stream":"%s@trade","data":{"n":%d}}' % (symbol.encode(), number)


def wait_until(condition, deadline_s=PATIENCE_S):
    """Whether it became true before the deadline."""
    pause, end = threading.Event(), SystemClock.mono_ns() + deadline_s * 1e9
    while not (found := condition()) and SystemClock.mono_ns() < end:
        pause.wait(0.001)
    return found


@pytest.fixture
def recording(tmp_path):
    """Makes recorders; those that were not closed are."""
    made = []

    def make(wire: Path = tmp_path / "wire", started_ns=T, instruments=INSTRUMENTS, **limits):
        limits = {"free_bytes_min": 0, **limits}
        recorder = WireRecorder(
            wire,
            started_ns=started_ns,
            source="a test",
            synthetic=True,
            software="0",
            instruments=instruments,
            limits=RecorderLimits(**limits),
        )
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        assert recorder.close()


def record_generator(history, seconds, started_ns=T, venues=VENUES, **limits):
    """A session of the market generator, recorded in virtual time; its folder."""
    wanted = tuple(sorted(one.instrument_id for one in GENERATED if one.venue in venues))
    spec = SourceSpec(anchor_ns=started_ns, instruments=wanted)
    recorder = WireRecorder(
        history / WIRE,
        started_ns=started_ns,
        source="generator",
        synthetic=True,
        software="0",
        instruments=GENERATED,
        limits=RecorderLimits(free_bytes_min=0, **limits),
    )
    sources = {venue: open_source(spec, venue, started_ns) for venue in venues}
    until_ns = started_ns + int(seconds * 1e9)
    driven = drive(recorder, sources, VirtualClock(started_ns), until_ns=until_ns, stop=threading.Event())
    assert recorder.close()
    stats = recorder.stats()
    assert stats.written == sum(driven.lines.values())
    assert not stats.dropped
    return recorder.session


def copy_session(source, target, keep=lambda line: True):
    """The lines of a session that are wanted, as a real (not synthetic) session of its own."""
    recorder = WireRecorder(
        target / WIRE,
        started_ns=T,
        source="a copy",
        synthetic=False,
        software="0",
        instruments=GENERATED,
        limits=RecorderLimits(free_bytes_min=0),
    )
    for line in open_session(source):
        if keep(line):
            symbol = line.symbol if b'"lastUpdateId"' in line.payload[:40] else None
            recorder.append(line.venue, symbol, line.ts_recv_ns, line.payload)
    assert recorder.close()
    return recorder.session
