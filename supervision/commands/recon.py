"""``propdesk recon``: whether a day agrees with the venues, out of the journal, with the daemon up, hung or dead."""

from __future__ import annotations

import argparse
import json
import sqlite3
from contextlib import closing

import msgspec

from adapters.clock import SystemClock
from adapters.journal.reader import JournalReader, open_journal, read_rows
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.commands.journal import place_of
from supervision.desk_plan import INSTRUMENTS
from supervision.operator_commands import find_desk
from trading.ledger.portfolio import DAY_NS
from trading.recon.daily import DayStatement, day_of, day_start_ns
from trading.recon.offline import DayReader
from trading.recon.report import markdown


def run(args: argparse.Namespace) -> int:
    """0: the day is clean; 1: it is not; 2: there is no journal that could be read, or no such day."""
    place = place_of(find_desk(args))
    try:
        wanted = day_start_ns(args.day) if args.day else None
    except ValueError:
        return failed(args, f"--day {args.day}: write a UTC day as YYYY-MM-DD")
    try:
        with closing(open_journal(place)) as journal, journal.snapshot():
            found = _read(journal, wanted)
    except FileNotFoundError as error:
        return failed(args, f"{error}: the desk of this data directory has never run (--data-dir names another)")
    except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
        return failed(args, f"{place} cannot be read: {error}. `propdesk journal verify` says where it is broken")
    if found is None:
        return failed(args, f"{place} holds no rows of {args.day or 'any day'}")
    if args.json:
        facts = {"command": "recon", "done": found.clean, "clean": found.clean, "text": _text(found)}
        print(json.dumps({**facts, **msgspec.to_builtins(found)}))
    else:
        print(markdown(found), end="")
    return DONE if found.clean else ANSWER_IS_NO


def _read(journal: JournalReader, start_ns: int | None) -> DayStatement | None:
    if start_ns is None:
        last = journal.last_seq()
        newest = next((row.ts_ns for row in read_rows(journal, last) if row.seq == last), 0)
        start_ns = newest - newest % DAY_NS
    reader = DayReader(INSTRUMENTS, start_ns)
    for row in read_rows(journal):
        reader.read(row)
        if reader.has_enough:
            break
    return reader.statement(SystemClock().wall_ns()) if reader.rows else None


def _text(found: DayStatement) -> str:
    return f"{day_of(found.from_ns)}: {'clean' if found.clean else '; '.join(found.troubles)}"
