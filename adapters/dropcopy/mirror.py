"""The drop copy at work beside the desk: reads the record, then the journal's tail, and hands both over, look by look.

Owns when what is read, and the one thread in which disks and databases are waited for. Judges nothing. What it hands
over is written down by `keep` when it was judged; until then it does not go on, so that nothing is skipped.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from adapters.clock import Clock
from adapters.dropcopy.booked import TROUBLE, Booked, JournalTail
from adapters.dropcopy.reader import Listed, RecordReader, TooMany
from adapters.dropcopy.store import DropCopyStore, Entry, Kept
from adapters.limits.limiter import Limiter
from adapters.orders.link import OrderLinkSpec
from adapters.orders.wire import MS_NS, SECOND_NS

WINDOW_NS = 600 * SECOND_NS
_WINDOW_MIN_NS = SECOND_NS
_PRUNE_EVERY_NS = 60 * SECOND_NS
_BEGIN_AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_PATIENCE_MAX = 8
_T = TypeVar("_T")


class MirrorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Whose record, which journal (a path, or a database's URL), and where the copy is kept for how long.

    Executions become visible to queries late, and not in their order: each reading begins ``overlap_ns`` before the end
    of the last. ``weight_a_minute`` is what readings may cost: an eighth of the least that a venue allows (2,400).
    """

    link: OrderLinkSpec
    journal: Path | str
    store: Path
    poll_ns: int = 5 * SECOND_NS
    overlap_ns: int = 40 * SECOND_NS
    weight_a_minute: int = 300
    days: int = 8
    rows_max: int = 1_000_000


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The first word: where the copy begins (venue, UTC ns), and what an earlier life left."""

    from_ns: int
    kept: Kept


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look at both sides. ``listed`` has no execution that was booked before; None: the record was not read.

    ``accepted``: differences that people accepted meanwhile, and who. ``trouble`` says what could not be read.
    """

    listed: Listed | None
    booked: Booked
    accepted: dict[str, str]
    trouble: str = ""


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """The copy's own file, or the journal, cannot be used: there is no drop copy until it can.

    ``away``: nothing is broken, the venue has not been heard yet.
    """

    reason: str
    away: bool = False


MirrorItem = Opened | Look | Broken


class Mirror:
    """Call from one loop only: `start`, `keep` once for every `Look`, `close`."""

    def __init__(
        self, spec: MirrorSpec, clock: Clock, put: Callable[[MirrorItem], None], limiter: Limiter | None = None
    ) -> None:
        """``put`` takes what was read, in the loop's turn."""
        self.spec = spec
        self.faults: list[BaseException] = []
        self.reader = RecordReader(spec.link, clock, limiter)
        self._clock = clock
        self._put = put
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"drop copy {spec.link.venue}")
        self._tail: JournalTail | None = None
        self._store: DropCopyStore | None = None
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._kept = asyncio.Event()
        self._window_ns = WINDOW_NS
        self._read_to_ns = 0
        self._since_ns = 0
        self._behind = False
        self._pruned_ns = 0

    def start(self) -> None:
        """Begin, on the running loop."""
        self.reader.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"drop copy {self.spec.link.venue}")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End it; what was not written down is read again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2)
        await self.reader.close()
        self._thread.submit(self._let_go)
        self._thread.shutdown(wait=False)

    def keep(self, entry: Entry, since: Callable[[int], int]) -> None:
        """A look was judged: write that down. ``since`` makes of the usual begin of a reading that of the next one."""
        self._read_to_ns = max(self._read_to_ns, entry.until_ns)
        self._since_ns = since(self._usual_ns(self._read_to_ns))
        self._writing = asyncio.get_running_loop().create_task(self._write(entry))
        self._writing.add_done_callback(self._ended)

    def _usual_ns(self, read_to_ns: int) -> int:
        return read_to_ns - min(self.spec.overlap_ns, self._window_ns // 2)

    # --- The thread -------------------------------------------------------------------------------------

    async def _there(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> Kept:
        if self._store is None:
            spec = self.spec
            self._store = DropCopyStore(spec.store, days=spec.days, rows_max=spec.rows_max)
        return self._store.load()

    def _let_go(self) -> None:
        if self._tail is not None:
            self._tail.close()
        if self._store is not None:
            self._store.close()

    async def _write(self, entry: Entry) -> None:
        store = self._store
        assert store is not None
        try:
            await self._there(lambda: store.keep(entry))
        except (OSError, sqlite3.Error) as trouble:
            self._put(Broken(reason=f"{store.path}: {type(trouble).__name__}: {trouble}"[:200]))
        self._kept.set()

    # --- Turns ------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._begin()
        tries = 0
        while True:
            self._kept.clear()
            look = await self._look()
            self._put(look)
            await self._kept.wait()
            await self._prune()
            if look.listed is None:
                await asyncio.sleep(self.spec.poll_ns / SECOND_NS * min(1 << tries, _PATIENCE_MAX))
                tries = min(tries + 1, _PATIENCE_MAX)
                continue
            tries = 0
            await asyncio.sleep(self._pause_s(look.listed, behind=look.booked.behind))

    async def _begin(self) -> None:
        """Open the copy; a first one begins now, and its journal is read from its end on."""
        tries = 0
        while True:
            try:
                kept = await self._there(self._open)
                tail = JournalTail(self.spec.journal, self.spec.link.venue, kept.journal_seq)
                # In this order: what is executed after `from_ns` is booked after the journal's end of now.
                if not kept.from_ns:
                    tail.seq = await self._there(tail.end)
                venue_ns = await self.reader.venue_ns()
                if venue_ns is not None:
                    self._tail = tail
                    from_ns = kept.from_ns or venue_ns // MS_NS * MS_NS
                    self._read_to_ns = kept.until_ns or from_ns
                    self._since_ns = max(from_ns, self._usual_ns(self._read_to_ns))
                    self._put(Opened(from_ns=from_ns, kept=kept))
                    return
                trouble, away = "the venue does not tell its time", True
            except (*TROUBLE, ValueError) as error:
                trouble, away = f"{type(error).__name__}: {error}", False
            self._put(Broken(reason=trouble[:200], away=away))
            await asyncio.sleep(_BEGIN_AGAIN_S[min(tries, len(_BEGIN_AGAIN_S) - 1)])
            tries += 1

    async def _look(self) -> Look:
        tail, store = self._tail, self._store
        assert tail is not None
        assert store is not None
        listed, trouble = await self._listed(store)
        # After the record: what is in it was booked before it was read, or is late.
        booked = await self._there(tail.look)
        try:
            # A journal that is read anew tells again what both sides have agreed on.
            known = await self._there(lambda: store.known(one.exec_id for one in booked.executions))
            accepted = await self._there(store.accepted)
        except sqlite3.Error as error:
            known, accepted, trouble = set(), {}, trouble or f"{store.path}: {error}"
        if known:
            fresh = tuple(one for one in booked.executions if one.exec_id not in known)
            booked = msgspec.structs.replace(booked, executions=fresh)
        return Look(listed=listed, booked=booked, accepted=accepted, trouble=trouble or booked.trouble)

    async def _listed(self, store: DropCopyStore) -> tuple[Listed | None, str]:
        venue_ns = await self.reader.venue_ns()
        if venue_ns is None:
            return None, "the venue does not tell its time"
        # What we missed for long is read piece by piece.
        until_ns = min(venue_ns, self._read_to_ns + self._window_ns)
        found = await self.reader.executions(self._since_ns, until_ns)
        if isinstance(found, TooMany):
            self._window_ns = max(self._window_ns // 2, _WINDOW_MIN_NS)
            self._since_ns = max(self._since_ns, self._usual_ns(self._read_to_ns))
            return None, f"more than {found.pages} pages: read in pieces of {self._window_ns // SECOND_NS} s"
        self._behind = until_ns < venue_ns
        if isinstance(found, Listed):
            self._window_ns = min(self._window_ns * 2, WINDOW_NS)
        if not isinstance(found, Listed):
            return None, found.reason
        ids = [one.exec_id for one in found.executions]
        try:
            known = await self._there(lambda: store.known(ids))
        except sqlite3.Error as error:
            return None, f"{store.path}: {error}"
        kept = tuple(one for one in found.executions if one.exec_id not in known)
        return msgspec.structs.replace(found, executions=kept), ""

    def _pause_s(self, listed: Listed, *, behind: bool) -> float:
        """As configured; longer where a reading is dear, shorter while either side is not read up to now."""
        usual_s = 0.0 if self._behind or behind else self.spec.poll_ns / SECOND_NS * random.uniform(0.9, 1.1)
        return max(usual_s, listed.weight * 60 / self.spec.weight_a_minute)

    async def _prune(self) -> None:
        now, store = self._clock.mono_ns(), self._store
        if store is None or (self._pruned_ns and now - self._pruned_ns < _PRUNE_EVERY_NS):
            return
        self._pruned_ns = now
        try:
            await self._there(lambda: store.prune(self._clock.wall_ns()))
        except sqlite3.Error as trouble:
            self._put(Broken(reason=f"{store.path}: {trouble}"[:200]))

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.faults.append(error)
            self._put(Broken(reason=f"internal: {error!r}"[:200]))
