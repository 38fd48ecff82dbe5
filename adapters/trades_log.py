"""``logs/trades.jsonl``: every order that was executed or refused, a line each, made of the journal beside its writer.

Owns the file: appending, rotation, going on where it ended. The journal is the truth and this a copy for other
programs: a line carries the row's ``seq``; after a crash none is missing and none is there twice. Blocks its caller.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from adapters.journal.reader import JournalReader, JournalUnavailable, open_journal
from trading.orders.journal_rows import (
    GENESIS_HASH,
    DeniedBody,
    JournalKind,
    JournalRow,
    ReportBody,
    decode_body,
    decode_group,
    numbered,
)

TROUBLE: Final = (OSError, sqlite3.Error, msgspec.DecodeError, JournalUnavailable)
_KINDS: Final = frozenset({JournalKind.PARTIAL, JournalKind.FILL, JournalKind.REJECT, JournalKind.DENIED})
_STEP_ROWS: Final = 5_000
_BACK_ROWS: Final = 5_000
"""More than one commit takes: reading begins with a whole one."""
_TAIL_BYTES: Final = 1 << 16
_LOOK_S: Final = 0.5
_TROUBLE_S: Final = 5.0


class TradesLogSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Where the lines go. At ``bytes_max`` the file becomes ``<name>.1``; the oldest of ``files_max`` goes."""

    path: Path
    bytes_max: int = 64_000_000
    files_max: int = 4


class TradeLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row. ``status``: partial, fill, reject (the venue's) or denied (ours); times are UTC nanoseconds."""

    seq: int
    ts_ns: int
    status: str
    venue: str
    instrument_id: str
    cl_ord_id: str
    strategies: tuple[str, ...] = ()
    side: str = ""
    qty: Decimal | None = None
    price: Decimal | None = None
    order_qty: Decimal | None = None
    exec_id: str = ""
    fee: Decimal | None = None
    fee_asset: str = ""
    reason: str = ""


_ENCODE = msgspec.json.Encoder(decimal_format="string").encode
_DECODE = msgspec.json.Decoder(TradeLine).decode


class TradesLog:
    """One journal's file. ``seq`` is the last row that was looked at; ``trouble`` says why nothing is written now."""

    def __init__(self, where: Path | str, spec: TradesLogSpec) -> None:
        self._where = where
        self._spec = spec
        self._journal: JournalReader | None = None
        self.seq: int | None = None
        self.lines = 0
        self.trouble = ""

    async def run(self) -> None:
        """Follow until canceled, in a thread of the loop's."""
        while True:
            try:
                more = await asyncio.to_thread(self.step)
                self.trouble = ""
                await asyncio.sleep(0 if more else _LOOK_S)
            except TROUBLE as error:
                self.trouble = f"{type(error).__name__}: {error}"[:300]
                self.close()
                await asyncio.sleep(_TROUBLE_S)

    def step(self) -> bool:
        """Write what is new, at most some thousand rows; whether there is more. One of `TROUBLE` where that fails."""
        try:
            journal = self._journal = self._journal or open_journal(self._where)
        except FileNotFoundError:
            return False
        if self.seq is None:
            self.seq = self._last_written()
        newest = journal.last_seq()
        if newest < self.seq:
            # Another journal lies there now, a backup's or the other way's: what it tells is not this file's.
            self._rotate()
            self.seq = 0
        if newest == self.seq:
            return False
        lines, last = [], self.seq
        for row in _rows(journal, self.seq):
            last = row.seq
            if row.kind in _KINDS and (line := _line(row)) is not None:
                lines.append(line)
            if row.seq - self.seq >= _STEP_ROWS:
                break
        self._append(lines)
        self.seq = last
        return last < newest

    def close(self) -> None:
        """Let go of the journal; the next step begins where the file ends."""
        if self._journal is not None:
            self._journal.close()
        self._journal, self.seq = None, None

    def _append(self, lines: list[TradeLine]) -> None:
        path, spec = self._spec.path, self._spec
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > spec.bytes_max:
            self._rotate()
        with path.open("ab") as file:
            file.write(b"".join(_ENCODE(line) + b"\n" for line in lines))
        self.lines += len(lines)

    def _last_written(self) -> int:
        """The row of the file's last whole line; half a line that a crash left is cut off."""
        for path in (self._spec.path, self._numbered(1)):
            if not path.exists():
                continue
            with path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                begin = file.seek(max(0, size - _TAIL_BYTES))
                tail = file.read()
                whole = tail[: tail.rfind(b"\n") + 1]
                file.truncate(begin + len(whole))
            if whole:
                return _DECODE(whole[:-1].rpartition(b"\n")[2]).seq
        return 0

    def _rotate(self) -> None:
        for number in range(self._spec.files_max - 1, 0, -1):
            if self._numbered(number - 1).exists():
                self._numbered(number - 1).replace(self._numbered(number))
        if self._spec.files_max == 1:
            self._spec.path.unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        path = self._spec.path
        return path if number == 0 else path.with_name(f"{path.name}.{number}")


def _rows(journal: JournalReader, after: int) -> Iterator[JournalRow]:
    for first, _, group in journal.groups(max(1, after + 1 - _BACK_ROWS)):
        for row in numbered(first, decode_group(group), GENESIS_HASH, GENESIS_HASH):
            if row.seq > after:
                yield row


def _line(row: JournalRow) -> TradeLine | None:
    match decode_body(row.body):
        case ReportBody(report=report, legs=legs):
            executed = row.kind is not JournalKind.REJECT
            return TradeLine(
                seq=row.seq,
                ts_ns=row.ts_ns,
                status=row.kind.value,
                venue=row.venue,
                instrument_id=report.instrument_id,
                cl_ord_id=row.cl_ord_id,
                strategies=tuple(leg.strategy_id for leg in legs),
                side=report.side.value,
                qty=report.last_qty if executed else None,
                price=report.last_px if executed else report.price,
                order_qty=report.order_qty,
                exec_id=report.exec_id if executed else "",
                fee=report.fee if executed else None,
                fee_asset=report.fee_asset if executed else "",
                reason="" if executed else report.text,
            )
        case DeniedBody(denied=denied):
            return TradeLine(
                seq=row.seq,
                ts_ns=row.ts_ns,
                status=row.kind.value,
                venue=row.venue,
                instrument_id=denied.instrument_id,
                cl_ord_id=row.cl_ord_id,
                strategies=tuple(leg.strategy_id for leg in denied.legs),
                reason=f"{denied.reason.value}: {denied.text}",
            )
        case _:
            return None
