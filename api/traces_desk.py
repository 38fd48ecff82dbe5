"""The traces of the desk's orders, made in the ops cell from the journal that lies beside it.

Follows the journal in a thread of its own, keeps the book of traces, hands finished ones to the exporter and tells
operators of orders that went wrong. Asks no trading cell; losing it costs a page and some spans, never an order.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import msgspec

from adapters.clock import Clock
from adapters.journal.reader import open_journal
from adapters.telemetry.exporter import TraceExport, TraceExporter
from adapters.telemetry.follow import JournalFollower, rows_of_order
from adapters.telemetry.otlp_json import resource_of
from api.projection import Projection, int_of
from trading.operators import Published, Topic
from trading.orders.journal_rows import JournalKind
from trading.telemetry.book import DAY_NS, WAITS, TraceBook
from trading.telemetry.order_trace import OrderTrace, TracedRow, traced_order
from trading.telemetry.routes import error_of
from trading.telemetry.stages import STAGES

LOOK_S = 0.5
TROUBLE_S = 5.0
READ_TIMEOUT_S = 1.5
READERS_MAX = 4
TURN_ROWS = 64
NOTES_A_MINUTE = 10
FRESH_NS = 60_000_000_000
PATH = "orders"
"""Key of the LATENCY fact for the page: the stages in which somebody works, of all venues together."""
_T = TypeVar("_T")
Unread = (OSError, sqlite3.Error, msgspec.DecodeError)


class TraceDesk:
    """One book of traces. Without a ``journal`` it stays empty, and so does what it answers."""

    def __init__(
        self,
        projection: Projection,
        clock: Clock,
        journal: Path | str = "",
        export: TraceExport | None = None,
        *,
        version: str = "",
        profile: str = "",
        look_s: float = LOOK_S,
    ) -> None:
        self._projection = projection
        self._clock = clock
        self._journal = journal
        self._export = export or TraceExport()
        self._look_s = look_s
        self._exporter = TraceExporter(self._export, resource_of(version, profile)) if self._export.wanted else None
        self._follower = JournalFollower(journal, day_hour=clock.wall_ns() // DAY_NS * 24)
        self._thread = ThreadPoolExecutor(1, "trace-reader")
        self._readers = ThreadPoolExecutor(READERS_MAX, "trace-readers")
        self._reading = 0
        self._task: asyncio.Task[None] | None = None
        self._minute = 0
        self._noted: dict[str, int] = {}
        self._rejecting: set[tuple[str, str]] = set()
        self._life = 0
        self._shown_rows = 0
        self.book = TraceBook()
        self.trouble = ""

    def start(self) -> None:
        """Begin to follow, and to export where that is configured."""
        if self._exporter is not None:
            self._exporter.start()
        if self._journal:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="traces")

    async def close(self) -> None:
        """Stop following; what is finished and not yet sent has two seconds, the rest is sent after the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            # Whoever reads has a thread that cannot be ended; where it does not come back, it is left.
            await asyncio.wait({asyncio.ensure_future(self._in_thread(self._follower.close))}, timeout=1.0)
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._readers.shutdown(wait=False, cancel_futures=True)
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.close)

    @property
    def exporter(self) -> TraceExporter | None:
        """Who sends, where anything is sent."""
        return self._exporter

    @property
    def behind(self) -> int:
        """Rows of the journal that are not in the book yet."""
        return self._follower.behind

    # Following

    async def _run(self) -> None:
        while True:
            try:
                rows = await self._in_thread(self._follower.step)
                await self._take(rows)
                self.trouble = ""
            except Unread as error:
                self.trouble = str(error)[:300]
                await self._in_thread(self._follower.close)
                await asyncio.sleep(TROUBLE_S)
                continue
            self._conclude()
            await asyncio.sleep(0 if self._follower.behind and rows else self._look_s)

    async def _take(self, rows: list[TracedRow]) -> None:
        if self._follower.lives != self._life:
            # The first look, or another journal lies there now.
            self._life, self.book = self._follower.lives, TraceBook()
        fresh_ns = self._clock.wall_ns() - FRESH_NS
        for count, traced in enumerate(rows, start=1):
            self.book.take(traced)
            if traced.row.ts_ns >= fresh_ns:
                self._tell(traced)
            if count % TURN_ROWS == 0:
                await asyncio.sleep(0)
        for venue, cl_ord_id in self.book.missing():
            found = await self._in_thread(self._order_of(cl_ord_id, venue))
            trace = traced_order(found)
            if trace is not None:
                self.book.adopt(trace)

    def _order_of(self, cl_ord_id: str, venue: str) -> Callable[[], list[TracedRow]]:
        return lambda: self._follower.order(cl_ord_id, venue)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _conclude(self) -> None:
        """What else the desk published of it, and what is finished by now."""
        fact = self._projection.get(Topic.RECON, "status")
        venues = fact.body.get("venues") if fact is not None else None
        for venue, stands in venues.items() if isinstance(venues, dict) else ():
            at_ns = int_of(stands.get("clean_ns")) if isinstance(stands, dict) else None
            if at_ns:
                self.book.compared(str(venue), at_ns, "orders, executions and balances as the venue has them")
        now_ns = self._clock.wall_ns()
        for trace in self.book.due(now_ns):
            if self._exporter is not None:
                self._exporter.offer(trace)
        self._watch_routes(now_ns)
        if self.book.rows != self._shown_rows:
            self._shown_rows = self.book.rows
            stages = {stage: times.facts() for stage, times in self.book.merged().items() if stage not in WAITS}
            body: dict[str, object] = {"stages": {stage: stages[stage] for stage in STAGES if stage in stages}}
            self._projection.apply(Published(topic=Topic.LATENCY, key=PATH, body=body, ts_ns=now_ns))

    # Telling

    def _tell(self, traced: TracedRow) -> None:
        """An order that went wrong just now."""
        error = error_of(traced)
        row = traced.row
        if error is None or row.kind is JournalKind.DENIED:
            return
        code = "ORDER_REJECTED" if error[0] == "refused" else "ORDER_UNKNOWN"
        self._note("warning", code, f"{row.cl_ord_id} at {row.venue}: {error[1]}", row.cl_ord_id)

    def _watch_routes(self, now_ns: int) -> None:
        """Say it when a route begins to reject, and when it no longer does."""
        rejecting = {(one.venue, one.instrument_id): one for one in self.book.routes.health(now_ns) if one.rejecting}
        for key, one in rejecting.items():
            if key not in self._rejecting:
                text = (
                    f"{one.instrument_id} at {one.venue}: {one.refused} refused and {one.unanswered} unanswered of "
                    f"{one.placed} orders in a minute, mostly: {one.reason}; the newest is {one.cl_ord_id}"
                )
                self._note("error", "ROUTE_REJECTING", text, one.cl_ord_id)
        for venue, instrument_id in self._rejecting - set(rejecting):
            self._note("info", "ROUTE_CLEAR", f"{instrument_id} at {venue} rejects no longer", "")
        self._rejecting = set(rejecting)

    def _note(self, level: str, code: str, text: str, cl_ord_id: str) -> None:
        minute = self._clock.wall_ns() // FRESH_NS
        if minute != self._minute:
            self._minute, self._noted = minute, {}
        said = self._noted[code] = self._noted.get(code, 0) + 1
        if said <= NOTES_A_MINUTE:
            self._projection.note(level, code, text, cl_ord_id=cl_ord_id)

    # Answering

    async def trace(self, cl_ord_id: str) -> OrderTrace | None:
        """One order's trace: of the book, else of the journal. ``TimeoutError`` or `Unread` when it cannot be read."""
        known = self.book.get(cl_ord_id)
        if known is not None or not self._journal:
            return known
        if self._reading >= READERS_MAX:
            raise TimeoutError("the journal is being read for others; ask again in a second")
        self._reading += 1
        reading = asyncio.get_running_loop().run_in_executor(self._readers, _read, self._journal, cl_ord_id)
        # Who gave up waiting does not end the thread: it counts until it is done.
        reading.add_done_callback(self._read_done)
        done, _ = await asyncio.wait({reading}, timeout=READ_TIMEOUT_S)
        if not done:
            raise TimeoutError(f"the journal was not read within {READ_TIMEOUT_S:g} s")
        return reading.result()

    def _read_done(self, reading: asyncio.Future[OrderTrace | None]) -> None:
        self._reading -= 1
        if not reading.cancelled():
            reading.exception()


def _read(journal: Path | str, cl_ord_id: str) -> OrderTrace | None:
    try:
        with closing(open_journal(journal)) as reader:
            return traced_order(list(rows_of_order(reader, cl_ord_id)))
    except FileNotFoundError:
        return None
