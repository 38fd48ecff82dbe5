"""Runs sources of market data into a recorder, in real time or as fast as they can be read.

Owns what of a source is kept, the loop and when it ends. A desk that records hands what it polled to `keep`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping

import msgspec

from adapters.clock import Clock, VirtualClock
from adapters.recorder.notes import connected, disconnected, polled
from adapters.recorder.wire import WireRecorder
from adapters.sources import Frame, Source
from adapters.streams.events import (
    Connected,
    Disconnected,
    FeedEvent,
    Overflowed,
    Polled,
    TopicLost,
    TopicRefused,
)
from adapters.streams.topics import TopicKind
from trading.market.events import WireRejected

POLL_MS = 50
VIRTUAL_STEP_MS = 250
WAITING_MAX = 50_000
"""How far a virtual clock may run ahead of the disk: there is nothing live to lose."""
BOOKS_EVERY_NS = 300_000_000_000
PROGRESS_NS = 10_000_000_000
VIRTUAL_PROGRESS_NS = 300_000_000_000

Progress = Callable[[int, int], None]
"""Told our time (UTC ns) and the lines so far."""


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """What was polled: lines by venue, and how many lines of a recording could not be read."""

    first_ns: int
    last_ns: int
    lines: dict[str, int]
    unreadable: int


class Kept(msgspec.Struct):
    """What was found in what a source gave."""

    lines: int = 0
    unreadable: int = 0


def keep(recorder: WireRecorder, venue: str, items: Iterable[Frame | WireRejected | FeedEvent], kept: Kept) -> None:
    """Record what one poll brought: messages as they are, and as notes what their bytes do not say."""
    for item in items:
        match item:
            case Frame():
                recorder.append(venue, item.symbol, item.ts_recv_ns, item.payload)
                kept.lines += 1
            case Polled():
                note = polled(item.channel, item.symbol, item.payload)
                recorder.append(venue, item.symbol, item.ts_ns, note)
                kept.lines += 1
            case Connected():
                for symbol in item.symbols:
                    recorder.append(venue, symbol, item.ts_ns, connected(item.line, item.view))
            case Disconnected():
                if not item.covered:
                    for symbol in item.symbols:
                        recorder.append(venue, symbol, item.ts_ns, disconnected(item.line, item.view, item.reason))
            case Overflowed():
                for symbol in item.symbols:
                    reason = f"{item.dropped} messages did not fit the inbound queue"
                    recorder.append(venue, symbol, item.ts_ns, disconnected(item.line, item.view, reason))
            case TopicLost() | TopicRefused():
                if item.kind == TopicKind.BOOK.value:
                    note = disconnected(item.line, item.view, f"{item.topic}: {item.reason}")
                    recorder.append(venue, item.symbol, item.ts_ns, note)
            case WireRejected():
                kept.unreadable += 1
            case _:
                pass


def drive(
    recorder: WireRecorder,
    sources: Mapping[str, Source],
    clock: Clock,
    *,
    until_ns: int | None,
    stop: threading.Event,
    progress: Progress | None = None,
) -> Driven:
    """Record until the wall time ``until_ns`` or until ``stop`` is set.

    A `VirtualClock` is moved forward in steps; with any other clock the loop waits in real time. Lines keep the times
    of their source. With every five minutes that begin, and so with every hour, the book of every instrument of the
    recorder is asked for: each file can be proved without the one before, and a book that left the range of its last
    snapshot has another soon.
    """
    kept = {venue: Kept() for venue in sources}
    told_every = VIRTUAL_PROGRESS_NS if isinstance(clock, VirtualClock) else PROGRESS_NS
    began = told = clock.wall_ns()
    now = began
    period = now // BOOKS_EVERY_NS
    while True:
        for venue, source in sources.items():
            keep(recorder, venue, source.poll(now), kept[venue])
            if now // BOOKS_EVERY_NS != period:
                _keep_books(recorder, venue, source, now, kept[venue])
        period = now // BOOKS_EVERY_NS
        if progress is not None and now - told >= told_every:
            told = now
            progress(now, sum(one.lines for one in kept.values()))
        if stop.is_set() or (until_ns is not None and now >= until_ns):
            break
        now = _forward(clock, recorder, until_ns, stop)
    return Driven(
        first_ns=began,
        last_ns=now,
        lines={venue: one.lines for venue, one in kept.items()},
        unreadable=sum(one.unreadable for one in kept.values()),
    )


def _keep_books(recorder: WireRecorder, venue: str, source: Source, now_ns: int, kept: Kept) -> None:
    for symbol in recorder.symbols(venue):
        book = source.snapshot(symbol, now_ns)
        if isinstance(book, Frame):
            keep(recorder, venue, (book,), kept)


def _forward(clock: Clock, recorder: WireRecorder, until_ns: int | None, stop: threading.Event) -> int:
    if isinstance(clock, VirtualClock):
        step = clock.wall_ns() + VIRTUAL_STEP_MS * 1_000_000
        clock.advance_to_wall(step if until_ns is None else min(step, until_ns))
        while recorder.waiting() > WAITING_MAX and not stop.wait(0.005):
            pass
    else:
        stop.wait(POLL_MS / 1000)
    return clock.wall_ns()
