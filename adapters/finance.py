"""The journal read for finance, and its statement as a file: CSV with every digit, Parquet by DuckDB.

Owns columns and files. What a line says is `trading.finance`'s.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from adapters.journal.reader import open_journal
from adapters.telemetry.follow import all_rows
from trading.finance.book import FinanceBook
from trading.finance.report import digits
from trading.finance.statement import Line

FORMATS = ("csv", "parquet")
PROGRESS_ROWS = 200_000
PLACES = 18
"""Decimals of a number in Parquet, DECIMAL(38, 18); CSV has as many as there are."""
_CHUNK_LINES = 500
_DECIMALS = ("amount", "balance", "realized", "price_usd", "qty", "px")
COLUMNS = {
    "seq": "BIGINT",
    "ts_ns": "BIGINT",
    "time": "VARCHAR",
    "venue": "VARCHAR",
    "kind": "VARCHAR",
    "asset": "VARCHAR",
    "amount": f"DECIMAL(38, {PLACES})",
    "balance": f"DECIMAL(38, {PLACES})",
    "realized": f"DECIMAL(38, {PLACES})",
    "price_usd": f"DECIMAL(38, {PLACES})",
    "instrument_id": "VARCHAR",
    "strategies": "VARCHAR",
    "side": "VARCHAR",
    "qty": f"DECIMAL(38, {PLACES})",
    "px": f"DECIMAL(38, {PLACES})",
    "ref": "VARCHAR",
    "cl_ord_id": "VARCHAR",
    "booked": "BOOLEAN",
    "text": "VARCHAR",
}

Wanted = Callable[[Line], bool]
Progress = Callable[[int], None]


class TooFine(ValueError):  # noqa: N818 - named for what happened
    """A number has more decimals than a Parquet column holds; rounding it would break the sums."""


def read_book(
    where: Path | str, book: FinanceBook, take: Callable[[Line], None] | None = None, progress: Progress | None = None
) -> None:
    """Fold all of a journal into ``book``; ``take`` is given every line, which the book then does not keep.

    ``FileNotFoundError`` without a journal, ``OSError`` and ``sqlite3.Error`` when it cannot be read.
    """
    with closing(open_journal(where)) as journal:
        for count, traced in enumerate(all_rows(journal), start=1):
            book.take(traced.row, traced.body)
            if take is not None:
                while book.lines:
                    take(book.lines.popleft())
            if progress is not None and count % PROGRESS_ROWS == 0:
                progress(count)


def cells_of(line: Line) -> dict[str, object]:
    """A line by column: numbers as plain decimal strings, None where there is none."""
    cells: dict[str, object] = {name: getattr(line, name) for name in COLUMNS if name != "time"}
    cells["kind"] = line.kind.value
    at = datetime.fromtimestamp(line.ts_ns // 1_000_000_000, UTC)
    cells["time"] = f"{at:%Y-%m-%dT%H:%M:%S}.{line.ts_ns % 1_000_000_000:09d}Z"
    for name in _DECIMALS:
        number = cells[name]
        cells[name] = digits(number) if isinstance(number, Decimal) else None
    return {name: cells[name] for name in COLUMNS}


def csv_chunks(lines: Iterable[Line]) -> Iterator[bytes]:
    """The statement as CSV with a header, in pieces."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for count, line in enumerate(lines, start=1):
        cells = cells_of(line)
        cells["booked"] = "true" if line.booked else "false"
        writer.writerow("" if cell is None else cell for cell in cells.values())
        if count % _CHUNK_LINES == 0:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


class StatementFile:
    """A file being written; with ``close`` it is there whole, without it is not there at all.

    ``FileExistsError`` when there is one already; ``OSError`` when it cannot be written; `TooFine`, of Parquet only.
    """

    def __init__(self, to: Path, form: str) -> None:
        if to.exists():
            raise FileExistsError(f"{to} is there already; choose another name, or remove it")
        self._to = to
        self._form = form
        self._made, self._source = (to.with_name(f".{to.name}.{os.getpid()}.{end}") for end in ("made", "jsonl"))
        self._file = (self._made if form == "csv" else self._source).open("wb")
        self._waiting: list[Line] = []
        self._headed = False
        self.count = 0

    def add(self, line: Line) -> None:
        """One line more."""
        self._waiting.append(line)
        self.count += 1
        if len(self._waiting) >= _CHUNK_LINES:
            self._flush()

    def close(self) -> None:
        """Finish it."""
        self._flush()
        self._file.close()
        if self._form == "parquet":
            _to_parquet(self._source, self._made)
            self._source.unlink()
        self._made.replace(self._to)

    def abandon(self) -> None:
        """Leave nothing behind; after `close` this changes nothing."""
        self._file.close()
        self._made.unlink(missing_ok=True)
        self._source.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._form == "csv":
            text = b"".join(csv_chunks(self._waiting))
            self._file.write(text[text.index(b"\n") + 1 :] if self._headed else text)
            self._headed = True
        else:
            for line in self._waiting:
                self._file.write(json.dumps(_fitting(line), separators=(",", ":")).encode() + b"\n")
        self._waiting.clear()


def _fitting(line: Line) -> dict[str, object]:
    for name in _DECIMALS:
        number = getattr(line, name)
        if number is not None and number != round(number, PLACES):
            raise TooFine(
                f"{name} {number} of row {line.seq} has more than the {PLACES} decimals of a Parquet column: "
                "export CSV, which holds every digit"
            )
    return cells_of(line)


def _to_parquet(source: Path, to: Path) -> None:
    from adapters.duck_copy import copy_lines  # noqa: PLC0415 - DuckDB is large, and only this file format needs it

    columns = {name: "VARCHAR" if "DEC" in kind else kind for name, kind in COLUMNS.items()}
    named = ", ".join(f"CAST({name} AS {kind}) AS {name}" if "DEC" in kind else name for name, kind in COLUMNS.items())
    copy_lines(source, to, columns, named)
