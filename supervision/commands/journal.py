"""``propdesk journal verify|show|tail|export|migrate|vacuum``: is the order journal whole, and what does it say.

Owns these actions. All but the last two read beside a running desk; those two need its lock.
"""

from __future__ import annotations

import argparse
import json
import select
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.journal.base import SCHEMA_VERSION, JournalFailed
from adapters.journal.export import FORMATS, export, row_facts, told
from adapters.journal.reader import JournalReader, is_url, open_journal, read_rows, rows_of
from adapters.journal.store import SqliteJournal, lock
from adapters.journal.verify import verify
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.operator_commands import Desk, find_desk
from supervision.plan import paths_of
from trading.arbiter.story import tell_story
from trading.orders.journal_rows import JournalRow, PlaceBody, decode_body
from trading.risk.checks import tell_checks

LOOK_S = 0.2
PROGRESS_ROWS = 200_000


def run(args: argparse.Namespace) -> int:
    """0: whole, or done; 1: broken; 2: there is no journal that could be read, or it is in use."""
    place = _given(args.path) if args.path else place_of(find_desk(args))
    try:
        return _ACTIONS[args.action](args, place)
    except FileNotFoundError as error:
        return failed(args, f"{error}: give its path, or its data directory with --data-dir")
    except FileExistsError as error:
        return failed(args, str(error))
    except JournalFailed as error:
        return failed(args, f"{error.text}: stop the desk first")
    except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
        return failed(args, f"{_shown(place)} cannot be read: {error}")


def place_of(desk: Desk) -> Path | str:
    """Where a desk's journal lies: a path, or the URL of its configuration."""
    if desk.config is not None and desk.config.journal.url:
        return desk.config.journal.url
    return paths_of(desk.data).journal


def _given(text: str) -> Path | str:
    return text if is_url(text) else Path(text)


def _shown(place: Path | str) -> str:
    return str(place)


def _verify(args: argparse.Namespace, place: Path | str) -> int:
    report = verify(place, args.expect, lambda row, rows: _progress(f"{row:,} of {rows:,} rows proved"))
    hour = f" (hour {report.bad_hour})" if report.bad_hour else ""
    where = "" if report.first_bad_seq is None else f"; the first bad row is {report.first_bad_seq}{hour}"
    head = f"head {report.rows}:{report.head_hash.hex()}"
    text = f"{_shown(place)}: {'whole' if report.ok else 'BROKEN'}: {report.text}{where}; {head}"
    if args.json:
        facts = {
            "path": _shown(place),
            "rows": report.rows,
            "first_bad_seq": report.first_bad_seq,
            "bad_hour": report.bad_hour,
            "head_hash": report.head_hash.hex(),
            "hours": report.hours,
            "root_link": report.root_link.hex(),
        }
        print(json.dumps({"command": "journal verify", "done": report.ok, "text": report.text, **facts}))
    else:
        print(text)
    return DONE if report.ok else ANSWER_IS_NO


def _show(args: argparse.Namespace, place: Path | str) -> int:
    """The newest rows, oldest first; with ``--json`` one object a line, so that a long journal can be piped."""
    say = _teller(args)
    with closing(open_journal(place)) as journal:
        seen = journal.last_seq()
        if args.order:
            rows: Iterable[JournalRow] = rows_of(journal, args.order)
        else:
            start = 1 if args.venue or args.kind else max(1, seen - args.limit + 1)
            rows = _counted(read_rows(journal, start))
        for row in deque((row for row in rows if row.seq <= seen and _wanted(args, row)), maxlen=args.limit):
            say(row)
        if args.follow:
            _follow(args, journal, seen, say)
    return DONE


def _follow(args: argparse.Namespace, journal: JournalReader, seen: int, say: Callable[[JournalRow], None]) -> None:
    """New rows as they come, until Ctrl-C or until nobody reads."""
    pause = threading.Event()
    try:
        while not _left():
            sys.stdout.flush()
            if journal.last_seq() == seen:
                pause.wait(LOOK_S)
                continue
            for row in read_rows(journal, seen + 1):
                seen = row.seq
                if _wanted(args, row):
                    say(row)
    except KeyboardInterrupt:
        return


def _left() -> bool:
    """Whether stdout is a pipe whose reader is gone."""
    try:
        look = select.poll()
        look.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in look.poll(0))


def _wanted(args: argparse.Namespace, row: JournalRow) -> bool:
    return (
        args.order in {None, row.cl_ord_id}
        and (not args.venue or row.venue in args.venue)
        and (not args.kind or row.kind.value in args.kind)
    )


def _teller(args: argparse.Namespace) -> Callable[[JournalRow], None]:
    return lambda row: print(json.dumps(_facts(row)) if args.json else _line(row))


def _facts(row: JournalRow) -> dict[str, object]:
    facts = row_facts(row)
    body = decode_body(row.body)
    if isinstance(body, PlaceBody):
        place = told(body)
        place["approved"]["checks"] = tell_checks(body.approved)
        place["approved"]["order"]["story"] = tell_story(body.approved.order)
        facts["body"] = place
    return facts


def _line(row: JournalRow) -> str:
    at = datetime.fromtimestamp(row.ts_ns / 1e9, UTC).isoformat(sep=" ", timespec="milliseconds")
    what = " ".join(word for word in (row.cl_ord_id, row.exec_id) if word)
    return f"{row.seq:>8}  {at}  {row.kind.value:<12} {row.venue:<14} {what}"


def _export(args: argparse.Namespace, place: Path | str) -> int:
    if args.out is None:
        return failed(args, "say where with --out FILE.csv, FILE.jsonl or FILE.parquet")
    out = Path(args.out)
    form = args.format or out.suffix.removeprefix(".")
    if form not in FORMATS:
        return failed(args, f"{out}: the ending is .csv, .jsonl or .parquet, or say --format")
    with closing(open_journal(place)) as journal, journal.snapshot():
        rows = rows_of(journal, args.order) if args.order else read_rows(journal, args.from_seq)
        wanted = (row for row in rows if row.seq >= args.from_seq and _wanted(args, row))
        count = export(wanted, out, form, lambda n: _progress(f"{n:,} rows written"))
    text = f"{count} rows into {out}"
    facts = {"command": "journal export", "done": True, "text": text, "rows": count, "path": str(out), "format": form}
    print(json.dumps(facts) if args.json else text)
    return DONE


def _migrate(args: argparse.Namespace, place: Path | str) -> int:
    """To a schema's version; the way back is for those who go back to an older propdesk."""
    to = SCHEMA_VERSION if args.to is None else args.to
    if not 1 <= to <= SCHEMA_VERSION:
        return failed(args, f"--to {to}: versions are 1 to {SCHEMA_VERSION}")
    with closing(open_journal(place)):
        pass
    if isinstance(place, str):
        from adapters.journal.postgres import PostgresJournal, migrate_database  # noqa: PLC0415 - rarely needed

        migrate_database(place, to)
        if to == SCHEMA_VERSION:
            PostgresJournal(place).close()  # which works out what the new tables hold
    else:
        from adapters.journal.migrate import migrate_file  # noqa: PLC0415 - as above

        with lock(place):
            migrate_file(place, to)
        if to == SCHEMA_VERSION:
            SqliteJournal(place).close()
    text = f"{_shown(place)} is of version {to}"
    print(json.dumps({"command": "journal migrate", "done": True, "text": text, "version": to}) if args.json else text)
    return DONE


def _vacuum(args: argparse.Namespace, place: Path | str) -> int:
    if isinstance(place, str):
        return failed(args, "PostgreSQL vacuums itself; the desk asks for it every 200,000 rows")
    with closing(open_journal(place)):
        pass
    with SqliteJournal(place) as journal:
        before, after = journal.vacuum()
    text = f"{place}: {before:,} bytes before, {after:,} after"
    facts = {"command": "journal vacuum", "done": True, "text": text, "bytes_before": before, "bytes_after": after}
    print(json.dumps(facts) if args.json else text)
    return DONE


def _counted(rows: Iterator[JournalRow]) -> Iterator[JournalRow]:
    for count, row in enumerate(rows, start=1):
        if count % PROGRESS_ROWS == 0:
            _progress(f"{count:,} rows read")
        yield row


def _progress(text: str) -> None:
    end = "" if sys.stderr.isatty() else "\n"
    print(f"{'' if end else chr(13)}propdesk journal: {text}", end=end, file=sys.stderr, flush=True)


_ACTIONS: dict[str, Callable[[argparse.Namespace, Path | str], int]] = {
    "verify": _verify,
    "show": _show,
    "tail": _show,
    "export": _export,
    "migrate": _migrate,
    "vacuum": _vacuum,
}
