"""A simulated account's statement: every order that was taken and every execution, one JSON line each, never rewritten.

The account itself forgets old orders, and a client order id that Binance lets be used again hides the first; the
statement hides nothing, so audits count in it. It is bounded: what would not fit any more makes it say that it is not
whole. Owns the file; what happened is the account's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import msgspec

from trading.orders.messages import ExecutionReport
from trading.sim.state import SimOrder

STATEMENT_BYTES_MAX = 256 << 20
_NOT_WHOLE = b'{"kind":"not_whole"}\n'


class Taken(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="taken"):
    """An order that the venue accepted, by the venue's number."""

    order_no: int
    cl_ord_id: str


class Executed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="executed"):
    """One execution, by the venue's number."""

    exec_seq: int
    cl_ord_id: str
    instrument_id: str
    side: str
    qty: Decimal
    px: Decimal
    fee: Decimal
    fee_asset: str


class NotWhole(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="not_whole"):
    """From here on lines are missing."""


StatementLine = Taken | Executed | NotWhole
_LINE = msgspec.json.Decoder(StatementLine)
_ENCODE = msgspec.json.Encoder().encode


class Statement:
    """Appends to ``path``; goes on where an earlier life ended, without the line that it may have torn."""

    def __init__(self, path: Path, limit_bytes: int = STATEMENT_BYTES_MAX) -> None:
        lines = read_statement(path)
        self._last_no = max((one.order_no for one in lines if isinstance(one, Taken)), default=0)
        self._last_seq = max((one.exec_seq for one in lines if isinstance(one, Executed)), default=0)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        data = path.read_bytes()
        self._size = data.rfind(b"\n") + 1
        os.ftruncate(self._fd, self._size)
        os.lseek(self._fd, 0, os.SEEK_END)
        self._limit = limit_bytes
        self._is_whole = not any(isinstance(one, NotWhole) for one in lines)

    def note(self, orders: Iterable[SimOrder], executions: Iterable[ExecutionReport]) -> None:
        """Write down what is newer than what stands there already; all of it may be given again."""
        taken = [Taken(order_no=o.order_no, cl_ord_id=o.cl_ord_id) for o in orders if o.order_no > self._last_no]
        done = [_executed(report) for report in executions if report.exec_seq > self._last_seq]
        if not (taken or done) or not self._is_whole:
            return
        text = b"".join(_ENCODE(one) + b"\n" for one in (*taken, *done))
        if self._size + len(text) > self._limit:
            self._is_whole, text = False, _NOT_WHOLE
        self._size += os.write(self._fd, text)
        self._last_no = max([self._last_no, *(one.order_no for one in taken)])
        self._last_seq = max([self._last_seq, *(one.exec_seq for one in done)])

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)


def read_statement(path: Path) -> list[StatementLine]:
    """All whole lines, in order; none where there is no file. ``msgspec.MsgspecError`` for a line that is none."""
    if not path.exists():
        return []
    data = path.read_bytes()
    return [_LINE.decode(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]


def _executed(report: ExecutionReport) -> Executed:
    return Executed(
        exec_seq=report.exec_seq,
        cl_ord_id=report.cl_ord_id,
        instrument_id=report.instrument_id,
        side=report.side.value,
        qty=report.last_qty,
        px=report.last_px,
        fee=report.fee,
        fee_asset=report.fee_asset,
    )
