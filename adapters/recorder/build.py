"""Wire logs into Parquet: incremental, repeatable, one log at a time.

Owns which logs are due and in which order: those of one symbol follow each other, because a book is proved from its
snapshot on. A log is built when it will not change any more: its recorder closed it, or is dead.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec

from adapters.bybit.instruments import BYBIT
from adapters.recorder.catalog import Built, Catalog, building
from adapters.recorder.instruments import known_instruments
from adapters.recorder.manifest import MANIFEST, is_live, read_manifest, sessions_of, sha256_of
from adapters.recorder.parquet import Key, Origin, Spool, open_writer, publish
from adapters.recorder.rows import NO_SYMBOL, RowMaker, symbol_folder
from adapters.recorder.tables import REAL, SCHEMA, Kind
from adapters.wirelog import LogFile, WireLine, chains_of, open_session, read_lines
from trading.instruments import Instrument

DAY_NS = 86_400_000_000_000
PROGRESS_LINES = 100_000

Progress = Callable[[str, int], None]
"""Told the file and how many of its lines are done."""


class DueLog(msgspec.Struct, frozen=True):
    """A wire log that will not change, and its digest; ``whole`` says that its recorder closed it."""

    file: LogFile
    sha256: str
    whole: bool


class BuildReport(msgspec.Struct, kw_only=True):
    """What one build did. ``rows`` by kind and ``lines`` are of the logs built in this run."""

    built: int = 0
    unchanged: int = 0
    live: int = 0
    warmed_up: int = 0
    lines: int = 0
    unreadable: int = 0
    disk_bytes: int = 0
    rows: dict[str, int] = {}
    errors: list[str] = []


def build_history(history: Path, wire: Sequence[Path] = (), progress: Progress | None = None) -> BuildReport:
    """Build what is due of all sessions of a history, or of the sessions ``wire``, which may lie anywhere.

    Raises ``OSError`` where the disk refuses or another process builds.
    """
    report = BuildReport()
    with building(history):
        for session in wire or sessions_of(history / "wire"):
            try:
                _Session(history, session, report, progress).build()
            except ValueError as error:
                report.errors.append(f"{session.name}: {error}")
    return report


def due_logs(session: Path) -> tuple[list[list[DueLog]], int]:
    """The logs of a session that will not change, in chains of one symbol, and how many still grow."""
    closed = {}
    if (session / MANIFEST).is_file():
        closed = {file.name: file.sha256 for file in read_manifest(session).files}
    live = is_live(session)
    grow = 0
    chains: list[list[DueLog]] = []
    try:
        files = open_session(session).files
    except ValueError:
        if (session / MANIFEST).is_file():
            return [], 0  # a session that heard nothing, or nothing yet
        raise
    for chain in chains_of(files):
        due: list[DueLog] = []
        for file in chain:
            known = closed.get(file.path.name)
            if known is None and live:
                grow += 1
                continue
            due.append(DueLog(file, known or sha256_of(file.path), known is not None))
        chains.append(due)
    return chains, grow


def instruments_in(session: Path, venue: str) -> dict[str, Instrument]:
    """By id: what a session's bytes of a venue are read by."""
    listed: Sequence[Instrument] = ()
    if (session / MANIFEST).is_file():
        listed = [one for one in read_manifest(session).instruments if one.venue == venue]
    return {one.instrument_id: one for one in listed or known_instruments(venue)}


def world_of(session: Path) -> str:
    """`REAL`, or the session's own name where its market is synthetic."""
    if (session / MANIFEST).is_file() and read_manifest(session).synthetic:
        return f"synthetic {session.name}"
    return REAL


class _Session:
    def __init__(self, history: Path, session: Path, report: BuildReport, progress: Progress | None) -> None:
        self._catalog = Catalog(history)
        self._session = session
        self._report = report
        self._progress = progress
        self._temporary = history / f".build.{os.getpid()}"
        self._world = world_of(session)

    def build(self) -> None:
        chains, grow = due_logs(self._session)
        self._report.live += grow
        for chain in chains:
            if chain:
                self._chain(chain)

    def _chain(self, chain: Sequence[DueLog]) -> None:
        """The logs of one symbol: skip what is built, warm up on what came before, build the rest."""
        first = next((n for n, log in enumerate(chain) if not self._is_built(log)), len(chain))
        self._report.unchanged += first
        if first == len(chain):
            return
        venue = chain[0].file.venue
        instruments = instruments_in(self._session, venue)
        maker = self._warm(chain[:first], venue, instruments)
        with open_writer(self._temporary) as connection:
            for log in chain[first:]:
                self._log(connection, maker, log, instruments)

    def _is_built(self, log: DueLog) -> bool:
        found = self._catalog.find(self._session.name, log.file.path.name)
        return found is not None and found.sha256 == log.sha256 and found.schema == SCHEMA

    def _warm(self, before: Sequence[DueLog], venue: str, instruments: dict[str, Instrument]) -> RowMaker:
        """A maker that remembers what it would after ``before``.

        The last log is enough where a snapshot in it proves the books; Bybit's tickers add up from the first.
        """
        starts = [0] if venue == BYBIT else sorted({max(0, len(before) - 1), 0}, reverse=True)
        for start in starts:
            maker = RowMaker(venue, list(instruments.values()), _nowhere)
            for log in before[start:]:
                self._report.warmed_up += 1
                for number, item in enumerate(read_lines(log.file), 1):
                    maker.take(item, number)
            if maker.proved:
                break
        return maker

    def _log(
        self,
        connection: duckdb.DuckDBPyConnection,
        maker: RowMaker,
        log: DueLog,
        instruments: dict[str, Instrument],
    ) -> None:
        name = log.file.path.name
        spool = Spool(self._temporary / name)
        try:
            facts = _read(maker, log.file, spool, instruments, self._progress)
            origin = Origin(self._world, self._session.name, name)
            outputs = publish(connection, spool, self._catalog.parquet, origin, instruments)
        finally:
            spool.remove()
            self._temporary.rmdir()
        rows: Counter[str] = Counter()
        for output in outputs:
            rows[output.kind] += output.rows
        built = Built(
            schema=SCHEMA,
            session=self._session.name,
            source=name,
            venue=log.file.venue,
            symbol=log.file.symbol,
            sha256=log.sha256,
            whole=log.whole,
            rows=dict(sorted(rows.items())),
            outputs=outputs,
            **facts,
        )
        self._replace(built)
        report = self._report
        report.built += 1
        report.lines += built.lines
        report.unreadable += built.unreadable
        report.disk_bytes += sum(output.disk_bytes for output in outputs)
        report.rows = dict(sorted((Counter(report.rows) + rows).items()))

    def _replace(self, built: Built) -> None:
        """Publish the record; files of an earlier one that are no longer stated go."""
        before = self._catalog.find(built.session, built.source)
        self._catalog.put(built)
        if before is not None:
            for path in {output.path for output in before.outputs} - {output.path for output in built.outputs}:
                (self._catalog.parquet / path).unlink(missing_ok=True)


def _read(
    maker: RowMaker, file: LogFile, spool: Spool, instruments: dict[str, Instrument], progress: Progress | None
) -> dict[str, int]:
    """Make the rows of one log; what was read."""
    folders: dict[str, str] = {NO_SYMBOL: file.symbol or NO_SYMBOL}
    days: dict[int, str] = {}
    number = silent = events = unreadable = first_ns = last_ns = 0

    def emit(instrument_id: str, kind: Kind, ts_ns: int, row: bytes) -> None:
        folder = folders.get(instrument_id)
        if folder is None:
            folder = folders[instrument_id] = symbol_folder(instrument_id, instruments)
        day = ts_ns // DAY_NS
        dt = days.get(day)
        if dt is None:
            dt = days[day] = datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
        spool.add(Key(dt, maker.venue, folder, kind, instrument_id), number, row)

    maker.begin_log(emit)
    for number, item in enumerate(read_lines(file), 1):
        made = maker.take(item, number)
        if isinstance(item, WireLine):
            first_ns = first_ns or item.ts_recv_ns
            last_ns = max(last_ns, item.ts_recv_ns)
        else:
            unreadable += 1
        silent += not made
        events += made
        if progress is not None and number % PROGRESS_LINES == 0:
            progress(file.path.name, number)
    maker.begin_log(_nowhere)
    return {
        "lines": number,
        "silent": silent,
        "events": events,
        "unreadable": unreadable,
        "first_ns": first_ns,
        "last_ns": last_ns,
    }


def _nowhere(instrument_id: str, kind: Kind, ts_ns: int, row: bytes) -> None:
    """Rows of logs that are built already."""
