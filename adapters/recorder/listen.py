"""Records venues' own streams, without a desk: feeds into a recorder, in real time.

Owns the loop only. What is kept is `adapters.recorder.drive`'s, connections are `adapters.streams`'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from adapters.clock import Clock
from adapters.recorder.drive import BOOKS_EVERY_NS, PROGRESS_NS, Driven, Kept, Progress, keep
from adapters.recorder.wire import WireRecorder
from adapters.streams.feed import Feed

POLL_S = 0.05
FRAMES_A_TURN = 1000


async def listen(
    recorder: WireRecorder,
    feeds: Mapping[str, Feed],
    clock: Clock,
    *,
    until_ns: int | None,
    stop: asyncio.Event,
    progress: Progress | None = None,
) -> Driven:
    """Start the feeds, record until the wall time ``until_ns`` or until ``stop`` is set, and close them.

    A feed fetches a book when its first diff comes; where it fetches them by REST, others are asked for every five
    minutes.
    """
    kept = {venue: Kept() for venue in feeds}
    began = told = now = clock.wall_ns()
    period = now // BOOKS_EVERY_NS
    try:
        for feed in feeds.values():
            feed.start()
        while not stop.is_set() and (until_ns is None or now < until_ns):
            try:
                async with asyncio.timeout(POLL_S):
                    await stop.wait()
            except TimeoutError:
                pass
            for venue, feed in feeds.items():
                while items := feed.drain(FRAMES_A_TURN):
                    keep(recorder, venue, items, kept[venue])
                if now // BOOKS_EVERY_NS != period and feed.rest_snapshots:
                    for symbol in recorder.symbols(venue):
                        feed.want_snapshot(symbol)
            period = now // BOOKS_EVERY_NS
            now = clock.wall_ns()
            if progress is not None and now - told >= PROGRESS_NS:
                told = now
                progress(now, sum(one.lines for one in kept.values()))
    finally:
        await asyncio.gather(*(feed.close() for feed in feeds.values()))
    lines = {venue: one.lines for venue, one in kept.items()}
    return Driven(first_ns=began, last_ns=now, lines=lines, unreadable=sum(one.unreadable for one in kept.values()))
