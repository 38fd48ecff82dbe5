"""``propdesk journal verify|show``: is the order journal whole, and what does it say last. Repairs nothing."""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.journal.store import open_reader, read_rows
from adapters.journal.verify import verify
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.operator_commands import find_desk
from supervision.plan import paths_of
from trading.arbiter.story import tell_story
from trading.orders.journal_rows import JournalRow, PlaceBody, decode_body
from trading.risk.checks import tell_checks


def run(args: argparse.Namespace) -> int:
    """0: whole, or shown; 1: broken; 2: there is no journal that could be read."""
    path = Path(args.path) if args.path else paths_of(find_desk(args).data).journal
    try:
        return _verify(args, path) if args.action == "verify" else _show(args, path)
    except FileNotFoundError as error:
        return failed(args, f"{error}: give its path, or its data directory with --data-dir")
    except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
        return failed(args, f"{path} cannot be read: {error}")


def _verify(args: argparse.Namespace, path: Path) -> int:
    report = verify(path)
    where = "" if report.first_bad_seq is None else f"; the first bad row is {report.first_bad_seq}"
    text = f"{path}: {'whole' if report.ok else 'BROKEN'}: {report.text}{where}; head {report.head_hash.hex()}"
    if args.json:
        facts = {
            "path": str(path),
            "rows": report.rows,
            "first_bad_seq": report.first_bad_seq,
            "head_hash": report.head_hash.hex(),
        }
        print(json.dumps({"command": "journal verify", "done": report.ok, "text": report.text, **facts}))
    else:
        print(text)
    return DONE if report.ok else ANSWER_IS_NO


def _show(args: argparse.Namespace, path: Path) -> int:
    """The newest rows, oldest first; with ``--json`` one object a line, so that a long journal can be piped."""
    db = open_reader(path)
    try:
        (last,) = db.execute("SELECT coalesce(max(first_seq + row_count - 1), 0) FROM order_journal").fetchone()
        rows = deque(read_rows(db, max(1, last - args.limit + 1)), maxlen=args.limit)
    finally:
        db.close()
    for row in rows:
        print(json.dumps(_facts(row)) if args.json else _line(row))
    return DONE


def _facts(row: JournalRow) -> dict[str, object]:
    return {
        "seq": row.seq,
        "ts_ns": row.ts_ns,
        "kind": row.kind.value,
        "venue": row.venue,
        "cl_ord_id": row.cl_ord_id,
        "exec_id": row.exec_id,
        "epoch": row.epoch,
        "body": _body(row),
    }


def _body(row: JournalRow) -> object:
    body = decode_body(row.body)
    facts = msgspec.to_builtins(body, str_keys=True)
    if isinstance(body, PlaceBody):
        approved = body.approved
        facts["approved"]["checks"] = tell_checks(approved)
        facts["approved"]["order"]["story"] = tell_story(approved.order)
    return facts


def _line(row: JournalRow) -> str:
    at = datetime.fromtimestamp(row.ts_ns / 1e9, UTC).isoformat(sep=" ", timespec="milliseconds")
    what = " ".join(word for word in (row.cl_ord_id, row.exec_id) if word)
    return f"{row.seq:>8}  {at}  {row.kind.value:<12} {row.venue:<14} {what}"
