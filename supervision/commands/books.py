"""``propdesk books check FILE... --venue V``: are the books of a recording right, by the venue's own rules."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from supervision.books_check import VENUES, BookVerdict, CheckReport, check_books
from supervision.cli import ANSWER_IS_NO, DONE, failed

Progress = Callable[[str, int], None]


def run(args: argparse.Namespace) -> int:
    """0: every book proved; 1: one is not, or something could not be read; 2: there is nothing to read."""
    if args.venue not in VENUES:
        return failed(args, f"--venue {args.venue}: it is one of {', '.join(VENUES)}")
    paths = [Path(name) for name in args.files]
    for path in paths:
        if not path.is_file():
            return failed(args, f"{path}: no such file")
    try:
        report = check_books(paths, args.venue, _progress)
    except OSError as error:
        return failed(args, str(error))
    for trouble in report.errors:
        print(f"propdesk books: {trouble}", file=sys.stderr)
    if report.unreadable > len(report.errors):
        print(f"propdesk books: and {report.unreadable - len(report.errors)} more", file=sys.stderr)
    print(_json(report) if args.json else explain(report))
    return DONE if report.right else ANSWER_IS_NO


def explain(report: CheckReport) -> str:
    """The verdict for people, a paragraph a book."""
    lines = [part for book in report.books for part in _book(book)]
    if not report.books:
        lines.append(f"no book of {report.venue} in these files")
    lines.append(
        f"{report.lines} lines, {report.unreadable} unreadable, {report.other} of other channels, "
        f"{report.venue_errors} errors of the venue"
    )
    lines.append(f"{'right' if report.right else 'NOT PROVED'}: {_tally(report)}")
    return "\n".join(lines)


def _book(book: BookVerdict) -> list[str]:
    checksums = (
        f"checksums {book.checksums_ok} ok, {book.checksums_failed} failed"
        if book.checksums_ok or book.checksums_failed
        else "no checksums"
    )
    kind = (
        "best bid and ask only: no snapshot" if book.mode == "bbo" else f"{book.levels[0]} bids, {book.levels[1]} asks"
    )
    name = f"{book.symbol} {book.channel}".rstrip()
    touch = f"bid {_level(book.best_bid)}  ask {_level(book.best_ask)}"
    counted = f"messages {book.messages}, applied {book.applied}, dropped as old {book.dropped_old}, gaps {book.gaps}"
    compared = f"compared with ticker {book.compared}, mismatches {book.mismatches}"
    return [
        f"{name}  {book.state.upper()}  {touch}  ({kind})",
        f"    {counted}, resyncs {book.resyncs}, {checksums}",
        f"    {compared}; update {book.update_id}, top 50 {book.top50}",
        f"    grid: {book.grid} (tick {book.tick}, lot {book.lot}); {book.why}",
    ]


def _level(level: tuple[str, str] | None) -> str:
    return "none" if level is None else f"{level[0]} x {level[1]}"


def _tally(report: CheckReport) -> str:
    proved = sum(1 for book in report.books if book.proved)
    return f"{proved} of {len(report.books)} books proved, {sum(book.gaps for book in report.books)} gaps"


def _json(report: CheckReport) -> str:
    facts = msgspec.to_builtins(report)
    for one, book in zip(facts["books"], report.books, strict=True):
        one["proved"] = book.proved
    return msgspec.json.encode({"command": "books check", "done": report.right, **facts}).decode()


def _progress(which: str, lines: int) -> None:
    end = "" if sys.stderr.isatty() else "\n"
    print(f"{'' if end else chr(13)}{which}: {lines:,} lines", end=end, file=sys.stderr, flush=True)
