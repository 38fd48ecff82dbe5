"""Event time against the time at which we process: how far each stream is, what comes late, and what comes twice.

Owns the watermarks and the verdict on each message, in bounded memory; does not own where late or repeated ones go.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

import msgspec

_MS = 1_000_000


class Lateness(Enum):
    """What one message is. LATE is behind the watermark but within bounds: it is taken, and counted.

    TOO_LATE is dropped. FUTURE states a time ahead of our clock by more than a clock may be off: it is dropped too and
    moves no watermark, or one garbled time would make everything after it late.
    """

    ON_TIME = "on_time"
    LATE = "late"
    TOO_LATE = "too_late"
    DUPLICATE = "duplicate"
    FUTURE = "future"

    @property
    def is_taken(self) -> bool:
        """Whether the message goes on."""
        return self in {Lateness.ON_TIME, Lateness.LATE}


class StreamKey(NamedTuple):
    """What has a watermark of its own; ``kind`` is the sort of data (trade, depth, mark...)."""

    venue: str
    symbol: str
    kind: str


class WatermarkLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The watermark is ``delay_ms`` behind the newest event time: what is older than it is late.

    What is older than ``late_ms_max`` behind the newest is dropped. The last ``remembered`` messages of a stream are
    known again; they are counted, and what is older than all of them is told apart by its time alone.
    """

    delay_ms: int = 1000
    late_ms_max: int = 60_000
    future_ms_max: int = 5000
    remembered: int = 4096
    streams_max: int = 8192


class WatermarkCounters(msgspec.Struct):
    """What was done with the messages of one stream; their sum is ``messages``."""

    messages: int = 0
    on_time: int = 0
    late: int = 0
    too_late: int = 0
    duplicates: int = 0
    future: int = 0


class StreamTimes(msgspec.Struct, frozen=True, kw_only=True):
    """One stream as it stands. ``lag_ms`` is how far its newest event time is behind our clock; None before any."""

    key: StreamKey
    watermark_ns: int
    lag_ms: float | None
    idle_ms: float | None
    late_ms_p100: float
    counters: WatermarkCounters


_ON_TIME, _LATE, _TOO_LATE = Lateness.ON_TIME, Lateness.LATE, Lateness.TOO_LATE
_DUPLICATE, _FUTURE = Lateness.DUPLICATE, Lateness.FUTURE


class Watermark:
    """One stream's watermark, which never goes back, and what it remembers of the messages behind it.

    A message is the same as another when ``seq`` and ``ts_event_ns`` are (the key names venue and symbol). Those
    forgotten for lack of room raise a floor: a message at or below it that is not remembered may be a repetition of
    a forgotten one, so it is TOO_LATE rather than taken twice. Messages of one event time (a sweep's fills) are told
    apart by ``seq``; when more than ``remembered`` share one time, the time itself is the floor.
    """

    __slots__ = ("_delay_ns", "_future_ns", "_late_ns", "_remembered", "_seen", "counters", "floor_ns",
                 "late_ns_most", "newest_ns", "recv_ns")  # fmt: skip

    def __init__(self, limits: WatermarkLimits) -> None:
        self._delay_ns = limits.delay_ms * _MS
        self._late_ns = limits.late_ms_max * _MS
        self._future_ns = limits.future_ms_max * _MS
        self._remembered = limits.remembered
        self._seen: dict[tuple[int, int], None] = {}
        self.counters = WatermarkCounters()
        self.newest_ns = 0
        self.recv_ns = 0
        self.floor_ns = 0
        """No message at or below this time is taken: it can no longer be told whether it came before."""
        self.late_ns_most = 0
        """How far behind the watermark a message that was taken was, at most."""

    @property
    def watermark_ns(self) -> int:
        """Up to which event time the stream is held to be complete; 0 before any message."""
        return max(0, self.newest_ns - self._delay_ns)

    def on_message(self, seq: int, ts_event_ns: int, ts_recv_ns: int) -> Lateness:
        """Judge one message; ``seq`` is any number that the venue gives it once (-1: none, the time alone counts)."""
        counters = self.counters
        counters.messages += 1
        if ts_event_ns - ts_recv_ns > self._future_ns:
            counters.future += 1
            return _FUTURE
        key = (seq, ts_event_ns)
        if key in self._seen:
            counters.duplicates += 1
            return _DUPLICATE
        newest = self.newest_ns
        if ts_event_ns <= self.floor_ns or newest - ts_event_ns > self._late_ns:
            counters.too_late += 1
            return _TOO_LATE
        self._remember(key)
        self.recv_ns = max(self.recv_ns, ts_recv_ns)
        behind = newest - self._delay_ns - ts_event_ns
        if ts_event_ns > newest:
            self.newest_ns = ts_event_ns
        if behind > 0:
            counters.late += 1
            self.late_ns_most = max(self.late_ns_most, behind)
            return _LATE
        counters.on_time += 1
        return _ON_TIME

    def _remember(self, key: tuple[int, int]) -> None:
        seen = self._seen
        seen[key] = None
        if len(seen) <= self._remembered:
            return
        # A quarter goes at once, the oldest times first, so that a sort is paid for by many messages.
        ordered = sorted(seen, key=lambda pair: pair[1])
        gone = ordered[: max(1, len(ordered) // 4)]
        self.floor_ns = max(self.floor_ns, gone[-1][1])
        self._seen = {pair: None for pair in seen if pair[1] > self.floor_ns}


class Watermarks:
    """The watermarks of many streams, at most ``streams_max``; a stream beyond them is judged by nobody and counted."""

    __slots__ = ("_streams", "limits", "refused")

    def __init__(self, limits: WatermarkLimits | None = None) -> None:
        self.limits = limits or WatermarkLimits()
        self.refused = 0
        """Messages of streams that found no room; they are taken as ON_TIME."""
        self._streams: dict[StreamKey, Watermark] = {}

    def on_message(self, key: StreamKey, seq: int, ts_event_ns: int, ts_recv_ns: int) -> Lateness:
        """Judge one message of one stream."""
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= self.limits.streams_max:
                self.refused += 1
                return _ON_TIME
            stream = self._streams[key] = Watermark(self.limits)
        return stream.on_message(seq, ts_event_ns, ts_recv_ns)

    def watermark_ns(self, venue: str | None = None) -> int:
        """Up to which event time all streams (of ``venue``) are complete: the least of theirs; 0 without any."""
        found = [s.watermark_ns for key, s in self._streams.items() if venue is None or key.venue == venue]
        return min(found, default=0)

    def times(self, now_ns: int) -> Iterator[StreamTimes]:
        """Every stream as it stands at ``now_ns`` (our clock)."""
        for key, stream in self._streams.items():
            yield StreamTimes(
                key=key,
                watermark_ns=stream.watermark_ns,
                lag_ms=(now_ns - stream.newest_ns) / _MS if stream.newest_ns else None,
                idle_ms=(now_ns - stream.recv_ns) / _MS if stream.recv_ns else None,
                late_ms_p100=stream.late_ns_most / _MS,
                counters=msgspec.structs.replace(stream.counters),
            )
