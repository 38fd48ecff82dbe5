"""``propdesk record``: market data into wire logs, from the market generator, a recording or the venues themselves."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from adapters.clock import Clock, SystemClock, VirtualClock
from adapters.config import load_config
from adapters.config_error import ConfigError
from adapters.config_model import DeskConfig
from adapters.config_values import DEFAULT
from adapters.recorder.catalog import WIRE
from adapters.recorder.drive import Driven, drive
from adapters.recorder.events import LinesDropped, RecorderLimits, RecorderMoved, RecorderState, RecorderStats
from adapters.recorder.history import history_path
from adapters.recorder.instruments import RECORDED_VENUES, known_instruments
from adapters.recorder.listen import listen
from adapters.recorder.wire import WireRecorder
from adapters.sources import Source, SourceSpec, open_source
from adapters.streams.feed import Feed, FeedSpec
from adapters.wirelog import SessionFacts, inspect_session, open_session
from supervision.cli import ANSWER_IS_NO, DONE, build_parser, failed
from supervision.desk_plan import VERSION
from supervision.operator_commands import overrides
from trading.instruments import Instrument

_RECORDING_SLACK_NS = 1_000_000
_TAIL_S = 60.0


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints."""

    session: str
    synthetic: bool
    source: str
    driven: Driven
    stats: RecorderStats
    whole: bool


def run(args: argparse.Namespace) -> int:
    """0: all that came is kept; 1: lines were dropped, or none came; 2: could not record."""
    try:
        config = load_config(args.config, args.profile, os.environ, overrides(args))
        if args.live and (args.virtual or args.session != DEFAULT):
            raise ValueError("--live is in real time, and no recording")
        started_ns = SystemClock().wall_ns()
        out = history_path(args.out, config.data_path) / WIRE
        return _live(args, config, out, started_ns) if args.live else _played(args, config, out, started_ns)
    except (ConfigError, ValueError, OSError) as error:
        return failed(args, str(error))


def _played(args: argparse.Namespace, config: DeskConfig, out: Path, started_ns: int) -> int:
    """The generator or a recording."""
    clock: Clock = VirtualClock(started_ns) if args.virtual else SystemClock()
    facts = None if args.session == DEFAULT else inspect_session(open_session(Path(args.session)))
    sources, instruments, span_ns = _open(config, args, started_ns, facts)
    name = next(iter(sources.values())).name
    # A recording of a market that was none stays one.
    synthetic = facts.synthetic if facts is not None else any(source.synthetic for source in sources.values())
    recorder = _recorder(out, started_ns, name, synthetic, instruments)
    for_ns = None if args.seconds is None else int(args.seconds * 1e9)
    if span_ns is not None:
        for_ns = span_ns if for_ns is None else min(for_ns, span_ns)
    stop = threading.Event()
    before = _stop_on_signals(stop)
    try:
        driven = drive(
            recorder,
            sources,
            clock,
            until_ns=None if for_ns is None else started_ns + for_ns,
            stop=stop,
            progress=lambda now_ns, lines: _progress(recorder, (now_ns - started_ns) / 1e9, lines),
        )
    finally:
        whole = recorder.close(_TAIL_S)
        for source in sources.values():
            source.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return _answer(args, recorder, driven, synthetic, whole)


def _live(args: argparse.Namespace, config: DeskConfig, out: Path, started_ns: int) -> int:
    """The venues themselves: what is configured of each, or all that the desk knows of one that is not."""
    chosen: dict[str, tuple[Instrument, ...]] = {}
    for venue in args.venue or sorted(config.venues):
        if venue not in RECORDED_VENUES:
            raise ValueError(f"--venue {venue}: it is one of {', '.join(RECORDED_VENUES)}")
        wanted = set(config.venues[venue].instruments) if venue in config.venues else None
        chosen[venue] = tuple(one for one in known_instruments(venue) if wanted is None or one.instrument_id in wanted)
    instruments = [one for listed in chosen.values() for one in listed]
    recorder = _recorder(out, started_ns, "live", False, instruments)

    async def work() -> Driven:
        clock, stop = SystemClock(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        feeds = {
            venue: Feed(FeedSpec(venue=venue, instruments=listed), clock, lambda: None)
            for venue, listed in chosen.items()
        }
        return await listen(
            recorder,
            feeds,
            clock,
            until_ns=None if args.seconds is None else started_ns + int(args.seconds * 1e9),
            stop=stop,
            progress=lambda now_ns, lines: _progress(recorder, (now_ns - started_ns) / 1e9, lines),
        )

    try:
        driven = asyncio.run(work())
    finally:
        whole = recorder.close(_TAIL_S)
    return _answer(args, recorder, driven, False, whole)


def _recorder(
    out: Path, started_ns: int, source: str, synthetic: bool, instruments: Sequence[Instrument]
) -> WireRecorder:
    return WireRecorder(
        out,
        started_ns=started_ns,
        source=source,
        synthetic=synthetic,
        software=VERSION,
        instruments=instruments,
        limits=RecorderLimits(),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command by itself."""
    return run(build_parser().parse_args(["record", *(sys.argv[1:] if argv is None else argv)]))


def _open(
    config: DeskConfig, args: argparse.Namespace, started_ns: int, facts: SessionFacts | None
) -> tuple[dict[str, Source], list[Instrument], int | None]:
    """The sources by venue, what they are expected to speak of, and how long they last (None: without end)."""
    span_ns: int | None = None
    if facts is None:
        wanted = {one for venue in config.venues.values() for one in venue.instruments}
        venues = sorted(config.venues)
        spec = SourceSpec(
            anchor_ns=started_ns,
            seed=config.generator.seed,
            funding_interval_s=config.generator.funding_interval_s,
            instruments=tuple(sorted(wanted)),
        )
    else:
        if not facts.lines:
            raise ValueError(f"{args.session} holds no readable message")
        venues = list(facts.venues)
        wanted = {one.instrument_id for venue in venues for one in known_instruments(venue)}
        spec = SourceSpec(anchor_ns=started_ns, session=args.session, first_ns=facts.first_ns, last_ns=facts.last_ns)
        span_ns = facts.last_ns - facts.first_ns + _RECORDING_SLACK_NS
    unknown = sorted(set(args.venue) - set(venues))
    if unknown:
        raise ValueError(f"--venue {unknown[0]}: the source has {', '.join(venues)}")
    chosen = [venue for venue in venues if not args.venue or venue in args.venue]
    sources = {venue: open_source(spec, venue, started_ns) for venue in chosen}
    instruments = [one for venue in chosen for one in known_instruments(venue) if one.instrument_id in wanted]
    return sources, instruments, span_ns


def _stop_on_signals(stop: threading.Event) -> dict[int, Any]:
    """SIGINT and SIGTERM end the recording and not the process; what they did before."""
    before: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        return before

    def _on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, _on_signal)
    return before


def _progress(recorder: WireRecorder, elapsed_s: float, lines: int) -> None:
    for event in recorder.poll_events():
        if isinstance(event, LinesDropped | RecorderMoved):
            print(f"\npropdesk record: {_said(event)}", file=sys.stderr)
    stats = recorder.stats()
    end = "\r" if sys.stderr.isatty() else "\n"
    text = f"{elapsed_s:,.0f} s: {lines:,} lines, {stats.disk_bytes:,} bytes on disk, {stats.files_open} files open"
    print(text, end=end, file=sys.stderr, flush=True)


def _said(event: LinesDropped | RecorderMoved) -> str:
    if isinstance(event, LinesDropped):
        return f"{event.lines} lines dropped: {event.reason.value}"
    return f"{event.state.value}: {event.text}"


def _answer(args: argparse.Namespace, recorder: WireRecorder, driven: Driven, synthetic: bool, whole: bool) -> int:
    stats = recorder.stats()
    kept = whole and stats.written > 0 and not any(stats.dropped.values()) and stats.state is RecorderState.CLOSED
    said = Recorded(
        session=str(recorder.session),
        synthetic=synthetic,
        source=recorder.source,
        driven=driven,
        stats=stats,
        whole=whole,
    )
    if args.json:
        print(msgspec.json.encode({"command": "record", "done": kept, **msgspec.to_builtins(said)}).decode())
    else:
        flag = "SYNTHETIC " if synthetic else ""
        print(
            f"{recorder.session}: {flag}{stats.written:,} lines, {stats.disk_bytes:,} bytes, {stats.files_closed} files"
        )
        for reason, count in stats.dropped.items():
            print(f"dropped: {count:,} lines ({reason})")
    return DONE if kept else ANSWER_IS_NO
