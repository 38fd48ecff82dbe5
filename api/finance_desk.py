"""The book of finance in the ops cell, made of the journal that lies beside it when somebody asks.

Owns one thread, which reads and answers: the loop never waits for the disk, and nobody reads a book that is being
written. Asks no trading cell. What has been read is kept, so that the next question reads only what is new.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from adapters.clock import Clock
from adapters.finance import csv_chunks
from adapters.telemetry.follow import JournalFollower
from adapters.venue_codecs import KNOWN
from trading.finance.book import LINES_MAX, FinanceBook, UnknownInstrument
from trading.finance.prices import Mark
from trading.finance.report import Asked, summary, told
from trading.finance.statement import Line
from trading.instruments import Instrument
from trading.ledger.portfolio import DAY_NS

BUDGET_NS: Final = 1_000_000_000
WAIT_S: Final = 5.0
ASKERS_MAX: Final = 8
KEPT_NS: Final = 500_000_000
KEPT_MAX: Final = 32
LINES_KEPT: Final = LINES_MAX
Unread = (OSError, sqlite3.Error, msgspec.DecodeError, UnknownInstrument)
_T = TypeVar("_T")


class Behind(Exception):  # noqa: N818 - named for what happened
    """The journal has not been read to its end yet: half of the truth is not told."""

    def __init__(self, rows: int, of: int) -> None:
        super().__init__(f"{rows} of {of} rows of the journal are read")
        self.rows = rows
        self.of = of

    def __reduce__(self) -> tuple[type[Behind], tuple[int, int]]:
        """Survive pickling with the facts."""
        return (Behind, (self.rows, self.of))


class Busy(Exception):  # noqa: N818 - named for what happened
    """Too many questions at once, or one that took too long."""


class Dropped(Exception):  # noqa: N818 - named for what happened
    """Lines of the range are not kept any more."""

    def __init__(self, count: int, newest_ns: int) -> None:
        super().__init__(f"{count} older lines are not kept")
        self.count = count
        self.newest_ns = newest_ns

    def __reduce__(self) -> tuple[type[Dropped], tuple[int, int]]:
        """Survive pickling with the facts."""
        return (Dropped, (self.count, self.newest_ns))


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of the statement, the newest first, and how many there are."""

    lines: tuple[Line, ...]
    found: int
    dropped: int
    dropped_ns: int
    rows: int


class FinanceDesk:
    """Answers about the journal at ``journal``; without one the book stays empty.

    Every answer is of everything that the journal held when it was asked, or it is `Behind`, `Busy` or one of `Unread`.
    A long journal is read on behind the first question about it.
    """

    def __init__(self, clock: Clock, journal: Path | str = "", instruments: Mapping[str, Instrument] = KNOWN) -> None:
        self._clock = clock
        self._journal = journal
        self._instruments = instruments
        self._thread = ThreadPoolExecutor(1, "finance")
        self._follower = JournalFollower(journal, back_rows=sys.maxsize)
        self._life = 0
        self._book = FinanceBook(instruments, lines_max=LINES_KEPT)
        self._asking = 0
        self._closed = False
        self._reading_on = False
        self._kept: dict[Asked, tuple[int, dict[str, object]]] = {}

    def close(self) -> None:
        """Let go of journal and thread; a question that is being answered ends by itself, the next are not begun."""
        if self._closed:
            return
        self._closed = True
        self._thread.submit(self._follower.close)
        self._thread.shutdown(wait=False)

    async def summary(self, asked: Asked, marks: Mapping[str, Mark]) -> dict[str, object]:
        """The summary as it is answered; the same question within half a second gets the same answer."""
        now_ns = self._clock.mono_ns()
        kept = self._kept.get(asked)
        if kept is not None and 0 <= now_ns - kept[0] < KEPT_NS:
            return kept[1]

        def answer(book: FinanceBook) -> dict[str, object]:
            return told(summary(book, asked, marks))

        found = await self._ask(answer)
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[asked] = (self._clock.mono_ns(), found)
        return found

    async def statement(self, wanted: Callable[[Line], bool], limit: int) -> Page:
        """The newest lines that are wanted."""

        def answer(book: FinanceBook) -> Page:
            found = [line for line in book.lines if wanted(line)]
            return Page(
                lines=tuple(reversed(found[-limit:])),
                found=len(found),
                dropped=book.dropped,
                dropped_ns=book.dropped_ns,
                rows=book.rows,
            )

        return await self._ask(answer)

    async def csv(self, wanted: Callable[[Line], bool], from_day: int | None) -> list[bytes]:
        """Every line that is wanted, the oldest first; `Dropped` when some of them are not kept any more."""

        def answer(book: FinanceBook) -> list[bytes]:
            if book.dropped and (from_day is None or book.dropped_ns >= from_day * DAY_NS):
                raise Dropped(book.dropped, book.dropped_ns)
            return list(csv_chunks(line for line in book.lines if wanted(line)))

        return await self._ask(answer)

    async def _ask(self, answer: Callable[[FinanceBook], _T]) -> _T:
        if self._asking >= ASKERS_MAX:
            raise Busy("the journal is being read for others")
        self._asking += 1
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._answer, answer)
        work.add_done_callback(self._answered)
        done, _ = await asyncio.wait({work}, timeout=WAIT_S)
        if not done:
            raise Busy(f"there was no answer within {WAIT_S:g} s")
        return work.result()

    def _answered(self, work: asyncio.Future[_T]) -> None:
        # Who gave up waiting does not end the thread's work: it counts until it is done.
        self._asking -= 1
        if not work.cancelled():
            work.exception()

    # In the thread

    def _answer(self, answer: Callable[[FinanceBook], _T]) -> _T:
        if self._closed:
            raise Busy("the operators' service is closing")
        if self._journal:
            try:
                self._catch_up()
            except Behind:
                self._read_on()
                raise
            except Unread:
                self._follower.close()
                raise
        return answer(self._book)

    def _read_on(self) -> None:
        """Have the thread read on without being asked, a second at a time: other questions come in between."""
        if self._reading_on or self._closed:
            return
        self._reading_on = True
        with contextlib.suppress(RuntimeError):  # it is being closed just now
            self._thread.submit(self._bite)

    def _bite(self) -> None:
        self._reading_on = False
        if self._closed:
            return
        try:
            self._catch_up()
        except Behind:
            self._read_on()
        except Unread:
            self._follower.close()  # whoever asks next is told

    def _catch_up(self) -> None:
        """Read up to the row that was the newest when this began; `Behind` when that takes longer than a second."""
        began_ns, goal = self._clock.mono_ns(), 0
        while True:
            before = self._follower.seq
            rows = self._follower.step()
            if self._follower.lives != self._life:
                # The first look, or another journal lies there now.
                self._life = self._follower.lives
                self._book = FinanceBook(self._instruments, lines_max=LINES_KEPT)
            for traced in rows:
                self._book.take(traced.row, traced.body)
            goal = goal or self._follower.newest
            if self._follower.seq >= before and (self._follower.seq >= goal or not rows):
                return
            if self._clock.mono_ns() - began_ns > BUDGET_NS:
                raise Behind(self._follower.seq, self._follower.newest)
