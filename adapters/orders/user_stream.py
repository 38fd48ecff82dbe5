"""An account's private stream: always one session, at times two, and LIVE only after the account was read.

Owns when a session is opened, replaced and given up; the sockets are `adapters.orders.user_session`'s. Rules:

- After every connection the account is read over REST before LIVE is said: executions since the cursor, open orders,
  positions. What came on the stream meanwhile was delivered as it came; the desk applies an execution once.
- A session is replaced before the venue ends it: the next one is live before the old one is closed. Both deliver.
- A listen key is kept by whoever opened it and is never deleted: other sessions may listen with it. A key that the
  venue has forgotten is opened anew, with a session of its own, before the old session is given up.
- A refused login is told once and not tried again until a person says so.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from enum import Enum

import aiohttp
import msgspec

from adapters.clock import Clock
from adapters.orders.account import AccountCursor, Reading
from adapters.orders.client import OrderClient
from adapters.orders.news import BalanceChanged, UserEvent
from adapters.orders.user_session import SessionEnd, UserSession
from adapters.orders.waiting import first
from adapters.orders.wire import (
    MS_NS,
    AuthFailed,
    Credentials,
    ListenKey,
    ListenKeyRequest,
    ListenKeyVerb,
    Refused,
    Told,
)
from adapters.streams.budget import ConnectionBudget
from trading.orders.messages import AccountState


class StreamStatus(Enum):
    """How the stream stands. LIVE: all channels are granted and the account was read since."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CATCHING_UP = "catching_up"
    LIVE = "live"
    BACKOFF = "backoff"
    LOCKED = "locked"
    CLOSED = "closed"


class StreamLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``step_ms`` is for each of handshake, login and channels. ``life_ms`` 0 is the venue's own. Delays double."""

    step_ms: int = 5_000
    life_ms: int = 0
    backoff_ms: int = 500
    backoff_max_ms: int = 30_000
    stable_ms: int = 30_000
    read_again_ms: int = 500
    keep_again_ms: int = 10_000


class Pushed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the venue pushed; ``ts_ns`` is when it was here, UTC."""

    event: UserEvent
    ts_ns: int


class CaughtUp(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The account after a connection, and the cursor to store."""

    state: AccountState
    cursor: AccountCursor


class StreamChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The stream's status; ``reason`` says why it is not LIVE, or what was replaced."""

    status: StreamStatus
    reason: str


StreamItem = Pushed | CaughtUp | StreamChanged


class StreamCounters(msgspec.Struct, kw_only=True):
    """Since the start."""

    connects: int = 0
    losses: int = 0
    replaced: int = 0
    readings: int = 0
    unreadable: int = 0
    keys_opened: int = 0
    keys_kept: int = 0


class UserStream:
    """One account's stream. Call from one loop only; ``close`` ends all of it."""

    def __init__(
        self,
        client: OrderClient,
        credentials: Credentials,
        clock: Clock,
        *,
        put: Callable[[StreamItem], None],
        cursor: AccountCursor,
        limits: StreamLimits | None = None,
        budget: ConnectionBudget | None = None,
    ) -> None:
        """``put`` takes what is told, in the loop's turn; ``cursor`` is where the account was read to."""
        self.cursor = cursor
        self.counters = StreamCounters()
        self.status = StreamStatus.IDLE
        self.reason = ""
        self.limits = limits or StreamLimits()
        self._client = client
        self._dialect = client.dialect
        self._credentials = credentials
        self._clock = clock
        self._put = put
        self._budget = budget or ConnectionBudget()
        self._http: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._sessions: list[UserSession] = []
        self._unlocked = asyncio.Event()
        self._read_wanted = asyncio.Event()
        self._listen_key = ""
        self._kept_ns = 0
        self.faults: list[BaseException] = []

    # --- Outside ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect, on the running loop."""
        if self._task is None:
            self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "propdesk"})
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._failed)

    def unlock(self) -> None:
        """A person has mended the key: log in again."""
        self._unlocked.set()

    def want_reading(self) -> None:
        """Read the account again, on the session that is there: something was missed."""
        self._read_wanted.set()

    async def close(self) -> None:
        """End all sessions. The listen key is left to run out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2)
        for session in tuple(self._sessions):
            await self._drop(session, "closed")
        if self._http is not None:
            await self._http.close()
        self._change(StreamStatus.CLOSED, "closed")

    # --- One life after the other ----------------------------------------------------------------------

    async def _run(self) -> None:
        delay_ms = self.limits.backoff_ms
        while True:
            self._change(StreamStatus.CONNECTING, "")
            began = self._clock.mono_ns()
            end = await self._life()
            self.counters.losses += 1
            for session in tuple(self._sessions):
                await self._drop(session, end.reason)
            if end.auth:
                self._change(StreamStatus.LOCKED, end.reason)
                self._unlocked.clear()
                await self._unlocked.wait()
                delay_ms = self.limits.backoff_ms
                continue
            if self._clock.mono_ns() - began > self.limits.stable_ms * MS_NS:
                delay_ms = self.limits.backoff_ms
            self._change(StreamStatus.BACKOFF, end.reason)
            await asyncio.sleep(random.uniform(0.5, 1.0) * delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, self.limits.backoff_max_ms)

    async def _life(self) -> SessionEnd:
        """From no session to none: open, read, hold, and replace as long as it can be replaced."""
        session = await self._open()
        if isinstance(session, SessionEnd):
            return session
        while True:
            if not await self._read(session):
                return session.end
            self._change(StreamStatus.LIVE, "")
            reason = await self._hold(session)
            if not reason:
                return session.end
            following = await self._replace(session, reason)
            if following is None:
                return session.end
            session = following

    async def _open(self) -> UserSession | SessionEnd:
        """A session with all its channels, or why there is none."""
        assert self._http is not None
        await self._admitted()
        if self._dialect.stream.listen_key:
            trouble = await self._open_key()
            if trouble is not None:
                self._budget.on_closed(self._dialect.family)
                return trouble
        session = UserSession(
            self._dialect,
            self._credentials,
            self._clock,
            venue_ms=lambda: self._client.venue_ms,
            deliver=self._deliver,
        )
        self._sessions.append(session)
        session.start(self._http, self._dialect.stream_url(self._listen_key), self.limits.step_ms / 1_000)
        await first(session.ready, session.ended)
        if session.ended.is_set():
            end = session.end
            await self._drop(session, end.reason)
            return end
        self.counters.connects += 1
        return session

    async def _admitted(self) -> None:
        """Take a place in the budget of connections, when there is one."""
        while True:
            wait_ns = self._budget.try_open(self._dialect.family, self._clock.mono_ns())
            if not wait_ns:
                return
            await asyncio.sleep(wait_ns / 1e9)

    async def _read(self, session: UserSession) -> bool:
        """Read the account until it can be read; False when the session ended before that."""
        self._change(StreamStatus.CATCHING_UP, "")
        while not session.ended.is_set():
            self._read_wanted.clear()
            reading = await self._client.read_account(self.cursor, "catch_up")
            if isinstance(reading, Reading):
                self.counters.readings += 1
                self.cursor = reading.cursor
                self._put(CaughtUp(state=reading.state, cursor=reading.cursor))
                # A session that broke while it was read has missed what came since.
                return not session.ended.is_set()
            self.counters.unreadable += 1
            self._change(StreamStatus.CATCHING_UP, reading.reason)
            await first(session.ended, within_s=self.limits.read_again_ms / 1_000)
        return False

    async def _hold(self, session: UserSession) -> str:
        """Stay with a live session; why it has to be replaced, or "" when it ended by itself."""
        plan = self._dialect.stream
        life_ns = self.limits.life_ms * MS_NS or plan.life_ns
        while not session.ended.is_set():
            now = self._clock.mono_ns()
            if session.closing.is_set():
                return "the venue will end it"
            if now - session.opened_ns >= life_ns:
                return "its time is nearly over"
            if plan.keep_ns and now >= self._kept_ns and not await self._keep():
                return "its listen key is gone"
            if self._read_wanted.is_set() and not await self._read(session):
                return ""
            if self.status is not StreamStatus.LIVE:
                self._change(StreamStatus.LIVE, "")
            due = session.opened_ns + life_ns
            if plan.keep_ns:
                due = min(due, self._kept_ns)
            wait_s = max(0.0, (due - self._clock.mono_ns()) / 1e9)
            await first(session.ended, session.closing, self._read_wanted, within_s=wait_s)
        return ""

    async def _replace(self, old: UserSession, reason: str) -> UserSession | None:
        """Make before break: the next session with its channels, or None when the old one ended first."""
        delay_ms = self.limits.backoff_ms
        while not old.ended.is_set():
            following = await self._open()
            if isinstance(following, UserSession):
                self.counters.replaced += 1
                # Read while both deliver, so that the change leaves no hole.
                if await self._read(following):
                    await self._drop(old, f"replaced: {reason}")
                    return following
                await self._drop(following, "it ended while the account was read")
            elif following.auth:
                return None
            await first(old.ended, within_s=random.uniform(0.5, 1.0) * delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, self.limits.backoff_max_ms)
        return None

    async def _drop(self, session: UserSession, reason: str) -> None:
        if session in self._sessions:
            self._sessions.remove(session)
            self._budget.on_closed(self._dialect.family)
            await session.close(reason)

    # --- Listen keys -----------------------------------------------------------------------------------

    async def _open_key(self) -> SessionEnd | None:
        reply = await self._client.ask(ListenKeyRequest(venue=self._dialect.venue, verb=ListenKeyVerb.OPEN))
        if isinstance(reply, Told) and isinstance(reply.fact, ListenKey) and reply.fact.listen_key:
            self._listen_key = reply.fact.listen_key
            self._kept_ns = self._clock.mono_ns() + self._dialect.stream.keep_ns
            self.counters.keys_opened += 1
            return None
        return SessionEnd(reason=f"no listen key: {reply}"[:200], auth=isinstance(reply, AuthFailed))

    async def _keep(self) -> bool:
        """Whether the key is still good, as far as is known."""
        command = ListenKeyRequest(venue=self._dialect.venue, verb=ListenKeyVerb.KEEP, listen_key=self._listen_key)
        reply = await self._client.ask(command)
        if isinstance(reply, Refused):
            # -1125: the venue has forgotten it (somebody else's DELETE, a restart): events have stopped or will.
            return False
        kept = isinstance(reply, Told)
        self.counters.keys_kept += kept
        wait_ns = self._dialect.stream.keep_ns if kept else self.limits.keep_again_ms * MS_NS
        self._kept_ns = self._clock.mono_ns() + wait_ns
        return True

    # --- Telling ---------------------------------------------------------------------------------------

    def _deliver(self, event: UserEvent, ts_ns: int) -> None:
        if type(event) is BalanceChanged and event.funding:
            self._client.reader.paid()
        self._put(Pushed(event=event, ts_ns=ts_ns))

    def _change(self, status: StreamStatus, reason: str) -> None:
        if (status, reason) != (self.status, self.reason):
            self.status, self.reason = status, reason
            self._put(StreamChanged(status=status, reason=reason))

    def _failed(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # A bug of ours: the stream is not live any more, and says so.
            self.faults.append(error)
            self._change(StreamStatus.CLOSED, f"internal: {error!r}"[:200])
