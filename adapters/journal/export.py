"""The journal's rows for other tools: one JSON object a row, and from that CSV and Parquet by DuckDB.

Owns the columns and the files; which rows is the caller's choice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from adapters.duck_copy import PARQUET, copy_lines
from trading.orders.journal_rows import JournalRow, decode_body

FORMATS = ("csv", "jsonl", "parquet")
PROGRESS_ROWS = 50_000
_COLUMNS = {
    "seq": "BIGINT",
    "ts_ns": "BIGINT",
    "kind": "VARCHAR",
    "venue": "VARCHAR",
    "cl_ord_id": "VARCHAR",
    "exec_id": "VARCHAR",
    "parent_id": "VARCHAR",
    "epoch": "BIGINT",
    "hash": "VARCHAR",
    "body": "JSON",
}


def row_facts(row: JournalRow) -> dict[str, object]:
    """A row as an object: ``ts_ns`` UTC nanoseconds, ``hash`` hex of the chain after its group, ``body`` as it is."""
    return {
        "seq": row.seq,
        "ts_ns": row.ts_ns,
        "kind": row.kind.value,
        "venue": row.venue,
        "cl_ord_id": row.cl_ord_id,
        "exec_id": row.exec_id,
        "parent_id": row.parent_id,
        "epoch": row.epoch,
        "hash": row.hash.hex(),
        "body": told(decode_body(row.body)),
    }


def told(body: object) -> Any:
    """A body as plain objects; what it carries packed is unpacked."""
    return msgspec.to_builtins(body, str_keys=True, enc_hook=_unpacked)


def _unpacked(raw: object) -> object:
    if isinstance(raw, msgspec.Raw):
        return msgspec.to_builtins(msgspec.msgpack.decode(raw), str_keys=True)
    raise TypeError(f"{type(raw).__name__} is no part of a row")


def export(rows: Iterable[JournalRow], to: Path, form: str, progress: Callable[[int], None] | None = None) -> int:
    """Write the rows to ``to`` as ``form`` (one of `FORMATS`); how many there were. The file is there whole or not.

    ``FileExistsError`` when there is one already, ``OSError`` when it cannot be written.
    """
    if to.exists():
        raise FileExistsError(f"{to} is there already; choose another name, or remove it")
    lines, made = (to.with_name(f".{to.name}.{os.getpid()}.{ending}") for ending in ("jsonl", "made"))
    try:
        count = _write_lines(rows, lines, progress)
        if form == "jsonl":
            lines.replace(to)
        else:
            _convert(lines, made, form)
            made.replace(to)
        return count
    finally:
        lines.unlink(missing_ok=True)
        made.unlink(missing_ok=True)


def _write_lines(rows: Iterable[JournalRow], to: Path, progress: Callable[[int], None] | None) -> int:
    count = 0
    with to.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row_facts(row), separators=(",", ":")))
            file.write("\n")
            count += 1
            if progress is not None and count % PROGRESS_ROWS == 0:
                progress(count)
    return count


def _convert(lines: Path, to: Path, form: str) -> None:
    named = ", ".join(
        "CAST(body AS VARCHAR) AS body"
        if name == "body"
        else f"{name}, make_timestamp_ns(ts_ns) AS time"
        if name == "ts_ns"
        else name
        for name in _COLUMNS
    )
    copy_lines(lines, to, _COLUMNS, named, PARQUET if form == "parquet" else "FORMAT csv, HEADER")
