"""``propdesk data ls|build|sql|check|backfill``: recorded history, what it holds and whether it is right."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.config import load_config
from adapters.config_error import ConfigError
from adapters.recorder.backfill import TradesFetcher, backfill, find_holes, records_of
from adapters.recorder.build import build_history
from adapters.recorder.catalog import REPORTS
from adapters.recorder.contracts import check_history
from adapters.recorder.fetchers import RecordingFetcher
from adapters.recorder.gaps_report import write_report
from adapters.recorder.history import QueryRefused, ask, history_path, open_history
from adapters.recorder.listing import HistoryListing, list_history
from adapters.recorder.parquet import ParquetError
from supervision.cli import ANSWER_IS_NO, DONE, build_parser, failed
from supervision.operator_commands import overrides

ROWS_DEFAULT = 1000
_COLUMN_CHARS_MAX = 60


def run(args: argparse.Namespace) -> int:
    """0: done; 1: the answer is no (a breach, an error, a hole that stays); 2: could not run."""
    try:
        if args.history is None:
            data_path = load_config(args.config, args.profile, os.environ, overrides(args)).data_path
        else:
            data_path = Path()
        history = history_path(args.history, data_path)
        if args.action != "build" and not history.is_dir():
            return failed(args, f"{history}: no such history; `propdesk record` makes one")
        return _ACTIONS[args.action](args, history)
    except (ConfigError, QueryRefused, ParquetError, ValueError, OSError) as error:
        return failed(args, str(error))


def main(argv: Sequence[str] | None = None) -> int:
    """The command by itself."""
    return run(build_parser().parse_args(["data", *(sys.argv[1:] if argv is None else argv)]))


def _ls(args: argparse.Namespace, history: Path) -> int:
    listing = list_history(history)
    for error in listing.errors:
        print(f"propdesk data: {error}", file=sys.stderr)
    if args.json:
        _say(args, not listing.errors, {"history": str(history), **msgspec.to_builtins(listing)})
    else:
        _explain_listing(listing)
    return ANSWER_IS_NO if listing.errors else DONE


def _build(args: argparse.Namespace, history: Path) -> int:
    sessions = [Path(name).absolute() for name in args.sessions]
    for session in sessions:
        if not session.exists():
            return failed(args, f"{session}: no such recording")
    report = build_history(history, sessions, _progress)
    for error in report.errors:
        print(f"propdesk data: {error}", file=sys.stderr)
    if args.json:
        _say(args, not report.errors, msgspec.to_builtins(report))
    else:
        print(
            f"built {report.built} wire logs: {report.lines:,} lines, {report.unreadable:,} unreadable, "
            f"{report.disk_bytes:,} bytes; {report.unchanged} unchanged, {report.live} still being written"
        )
        _table(("kind", "rows"), report.rows.items())
    return ANSWER_IS_NO if report.errors else DONE


def _sql(args: argparse.Namespace, history: Path) -> int:
    with open_history(history) as connection:
        answer = ask(connection, args.query, args.limit)
    if answer.truncated:
        print(f"propdesk data: there are more than {args.limit} rows; --limit N shows more", file=sys.stderr)
    if args.json:
        _say(args, True, msgspec.to_builtins(answer, str_keys=True))
    elif args.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    else:
        _table(answer.columns, answer.rows)
    return DONE


def _check(args: argparse.Namespace, history: Path) -> int:
    found = check_history(history, deep=args.deep)
    if args.json:
        _say(args, found.kept, msgspec.to_builtins(found))
    else:
        _table(
            ("contract", "checked", "breaches", "first"),
            [(one.contract, one.checked, one.breaches, "; ".join(one.examples[:2])) for one in found.verdicts],
        )
        for note in found.notes:
            print(f"note: {note}")
        print("every contract is kept" if found.kept else "BROKEN")
    return DONE if found.kept else ANSWER_IS_NO


def _backfill(args: argparse.Namespace, history: Path) -> int:
    fetchers: list[TradesFetcher | None] = [None]
    if args.sources:
        with open_history(history) as connection:
            holes = find_holes(connection)
        fetchers = [RecordingFetcher(Path(path), holes) for path in args.sources]
    for fetcher in fetchers:
        done = backfill(history, fetcher, lambda text: print(f"propdesk data: {text}", file=sys.stderr))
    folder = Path(args.reports) if args.reports else history / REPORTS
    report, twin = write_report(folder, done, records_of(history))
    open_ids = max(0, done.still_missing - done.trades_absent)
    if args.json:
        _say(args, not open_ids, {**msgspec.to_builtins(done), "report": str(report), "twin": str(twin)})
    else:
        print(
            f"{done.holes} holes, {done.trades_filled} trades filled, {done.trades_absent} known not to exist, "
            f"{open_ids} open: {report}"
        )
    return ANSWER_IS_NO if open_ids else DONE


_ACTIONS: dict[str, Callable[[argparse.Namespace, Path], int]] = {
    "ls": _ls,
    "build": _build,
    "sql": _sql,
    "check": _check,
    "backfill": _backfill,
}


def _explain_listing(listing: HistoryListing) -> None:
    _table(
        ("session", "market", "files", "built", "lines", "bytes", "dropped", "from", "to"),
        [
            (
                one.name + (" LIVE" if one.live else ""),
                "SYNTHETIC" if one.synthetic else one.source,
                one.files,
                one.built,
                one.lines,
                one.disk_bytes,
                one.dropped_lines,
                _utc(one.first_ns),
                _utc(one.last_ns),
            )
            for one in listing.sessions
        ],
    )
    print()
    _table(
        ("venue", "symbol", "kind", "days", "from", "to", "rows", "bytes", "gaps"),
        [
            (one.venue, one.symbol, one.kind, one.days, one.first_dt, one.last_dt, one.rows, one.disk_bytes, one.gaps)
            for one in listing.partitions
        ],
    )


def _say(args: argparse.Namespace, done: bool, facts: dict[str, object]) -> None:
    said = {"command": f"data {args.action}", "done": done, **facts}
    print(msgspec.json.encode(said).decode())


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as they need to be; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[n]) for row in cells)]) for n, name in enumerate(columns)]
    print("  ".join(name.ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip())
    for row in cells:
        parts = [
            text.rjust(width) if text[:1].isdigit() or text[:1] == "-" else text.ljust(width)
            for text, width in zip(row, widths, strict=True)
        ]
        print("  ".join(parts).rstrip())


def _cell(value: object) -> str:
    text = (
        f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "" if value is None else str(value)
    )
    return text if len(text) <= _COLUMN_CHARS_MAX else text[: _COLUMN_CHARS_MAX - 3] + "..."


def _utc(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _progress(file: str, lines: int) -> None:
    print(f"{file}: {lines:,} lines", file=sys.stderr, flush=True)
