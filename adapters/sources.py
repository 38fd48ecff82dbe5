"""Where a connector's bytes come from in paper trading: a recording played at a speed, or the market generator.

Both are opened at any moment of a run and continue where the market is then, so that a venue cell can die and come
back. Live streams are another adapter with the same interface.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from adapters.synthetic.generator import MarketGenerator
from adapters.synthetic.params import GeneratorSpec
from adapters.wirelog import Session, WireLine, inspect_session, is_snapshot, open_session
from trading.market.events import WireRejected


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One inbound message of a venue; ``symbol`` is set for REST depth bodies, whose bytes do not name it."""

    payload: bytes
    ts_recv_ns: int
    symbol: str | None = None


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which source, in words that can cross a process boundary. ``anchor_ns``: when the run's market began (UTC).

    ``session`` None is the generator. ``speed`` plays a recording faster or slower than it was received;
    ``first_ns`` and ``last_ns`` are its span where somebody has read it already.
    """

    anchor_ns: int
    session: str | None = None
    speed: float = 1.0
    seed: int = 7
    funding_interval_s: int = 28_800
    instruments: tuple[str, ...] = ()
    first_ns: int = 0
    last_ns: int = 0


class Source(Protocol):
    """What a connector polls.

    Times given and returned are the source's own receive times; add ``offset_ns`` for ours.
    """

    name: str
    synthetic: bool
    offset_ns: int

    def poll(self, now_ns: int) -> list[Frame | WireRejected]:
        """Everything received up to our time ``now_ns`` that was not returned before, in order."""
        ...

    def snapshot(self, symbol: str, now_ns: int) -> Frame | None:
        """A REST depth body on demand, or None where the source has no such service."""
        ...

    def progress(self) -> dict[str, object]:
        """For operators: how far, of how much."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class GeneratorSource:
    """The market generator of one venue, from now on; always flagged synthetic."""

    synthetic = True
    offset_ns = 0

    def __init__(self, spec: SourceSpec, venue: str, now_ns: int) -> None:
        self.name = f"generator seed {spec.seed}"
        world = GeneratorSpec(
            seed=spec.seed,
            epoch_ns=spec.anchor_ns,
            instruments=spec.instruments,
            funding_interval_s=spec.funding_interval_s,
        )
        self._generator = MarketGenerator(world, venue, now_ns)
        self._first = True
        self._frames = 0

    def poll(self, now_ns: int) -> list[Frame | WireRejected]:
        """The traffic since the last poll; the first brings every market's snapshot."""
        out: list[Frame | WireRejected] = []
        if self._first:
            self._first = False
            for symbol in self._generator.flows:
                ts, name, body = self._generator.snapshot(symbol)
                out.append(Frame(body, ts, name))
        out.extend(Frame(payload, ts) for ts, payload in self._generator.next_batch(now_ns))
        self._frames += len(out)
        return out

    def snapshot(self, symbol: str, now_ns: int) -> Frame | None:
        """The book as it is."""
        ts, name, body = self._generator.snapshot(symbol)
        return Frame(body, ts, name)

    def progress(self) -> dict[str, object]:
        """The generator has no end."""
        return {"frames": self._frames}

    def close(self) -> None:
        """Nothing to let go of."""


class RecordingSource:
    """A recording, anchored at ``anchor_ns`` of our clock; at its end it starts again from its first line."""

    synthetic = False

    def __init__(self, spec: SourceSpec, venue: str, now_ns: int) -> None:
        assert spec.session is not None
        path = Path(spec.session)
        whole = open_session(path)
        self._session = Session(tuple(f for f in whole.files if f.venue == venue))
        if not self._session.files:
            raise ValueError(f"the recording {path} has nothing of venue {venue}")
        self.name = f"recording {path.name}"
        self._speed = spec.speed
        self._anchor = spec.anchor_ns
        self._first_ns, self._last_ns = _span(spec, whole)
        self._laps = 0
        self.offset_ns = 0
        self._line: WireLine | WireRejected | None = None
        self._lines: Iterator[WireLine | WireRejected] = iter(())
        self._frames = 0
        self._rewind(now_ns)

    @property
    def _lap_ns(self) -> int:
        return int((self._last_ns - self._first_ns) / self._speed) + 1_000_000_000

    def _rewind(self, now_ns: int) -> None:
        self._laps = max(0, now_ns - self._anchor) // self._lap_ns
        self._lines = iter(self._session)
        self._line = next(self._lines, None)

    def _recorded_now(self, now_ns: int) -> int:
        """The recording's time that is played at our time; sets the offset between both."""
        began = self._anchor + self._laps * self._lap_ns
        recorded = self._first_ns + int((now_ns - began) * self._speed)
        self.offset_ns = now_ns - recorded
        return recorded

    def poll(self, now_ns: int) -> list[Frame | WireRejected]:
        """The recorded lines that are due."""
        out: list[Frame | WireRejected] = []
        if self._line is None and now_ns >= self._anchor + (self._laps + 1) * self._lap_ns:
            self._rewind(now_ns)
        recorded = self._recorded_now(now_ns)
        line = self._line
        while line is not None and line.ts_recv_ns <= recorded:
            if isinstance(line, WireRejected):
                out.append(line)
            else:
                symbol = line.symbol if is_snapshot(line.payload) else None
                out.append(Frame(line.payload, line.ts_recv_ns, symbol))
            line = next(self._lines, None)
        self._line = line
        self._frames += len(out)
        return out

    def snapshot(self, symbol: str, now_ns: int) -> Frame | None:
        """A recording answers no requests."""
        return None

    def progress(self) -> dict[str, object]:
        """Seconds played of the recording's length, and which time through it is."""
        total = (self._last_ns - self._first_ns) / 1e9
        at = total if self._line is None else (self._line.ts_recv_ns - self._first_ns) / 1e9
        return {"played_s": round(at, 1), "total_s": round(total, 1), "lap": self._laps + 1, "frames": self._frames}

    def close(self) -> None:
        """Close the files."""
        close = getattr(self._lines, "close", None)
        if close is not None:
            close()


def _span(spec: SourceSpec, whole: Session) -> tuple[int, int]:
    if spec.last_ns:
        return spec.first_ns, spec.last_ns
    facts = inspect_session(whole)
    return facts.first_ns, facts.last_ns


def open_source(spec: SourceSpec, venue: str, now_ns: int) -> Source:
    """The source that a spec names; ``ValueError`` with the reason when it cannot be opened."""
    if spec.session is None:
        return GeneratorSource(spec, venue, now_ns)
    return RecordingSource(spec, venue, now_ns)
