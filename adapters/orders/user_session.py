"""One private WebSocket of one account: opened, logged in, subscribed, heard, pinged, closed.

Owns the socket. What its messages mean is the dialect's, when there is one and when there is a next one
`adapters.orders.user_stream`'s. Trouble outside ends the session with a reason; nothing is raised out of here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import msgspec

from adapters.clock import Clock
from adapters.orders.dialect import OrderDialect
from adapters.orders.news import (
    Heartbeat,
    LoggedIn,
    StreamClosing,
    StreamRefused,
    Subscribed,
    UserEvent,
)
from adapters.orders.waiting import first
from adapters.orders.wire import Credentials

MAX_MESSAGE_BYTES = 4 << 20
_TROUBLE = (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError)


class SessionEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Why a session is over. ``auth``: the venue refused the key, so that asking again makes it worse."""

    reason: str
    auth: bool = False


class UserSession:
    """From one connection to its end. ``ready`` is set when all channels are granted, ``closing`` when it should go."""

    def __init__(
        self,
        dialect: OrderDialect,
        credentials: Credentials,
        clock: Clock,
        *,
        venue_ms: Callable[[], int],
        deliver: Callable[[UserEvent, int], None],
    ) -> None:
        self._dialect = dialect
        self._credentials = credentials
        self._clock = clock
        self._venue_ms = venue_ms
        self._deliver = deliver
        self._logged_in = asyncio.Event()
        self._wanted = set(dialect.stream.channels)
        self.ready = asyncio.Event()
        self.closing = asyncio.Event()
        self.ended = asyncio.Event()
        self.end = SessionEnd(reason="")
        self.opened_ns = 0
        self.heard_ns = 0
        self.messages = 0
        self._refused: SessionEnd | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, http: aiohttp.ClientSession, url: str, step_s: float) -> None:
        """Begin; each step (handshake, login, channels) has ``step_s``."""
        self._task = asyncio.get_running_loop().create_task(self._run(http, url, step_s))

    async def close(self, reason: str) -> None:
        """End it and wait until it is gone."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2)
        self._finish(SessionEnd(reason=reason))

    async def _run(self, http: aiohttp.ClientSession, url: str, step_s: float) -> None:
        try:
            async with asyncio.timeout(step_s):
                ws = await http.ws_connect(
                    url, autoping=False, max_msg_size=MAX_MESSAGE_BYTES, compress=0, decode_text=False
                )
        except _TROUBLE as trouble:
            self._finish(SessionEnd(reason=f"{type(trouble).__name__}: {trouble}"[:200]))
            return
        self.opened_ns = self.heard_ns = self._clock.mono_ns()
        reader = asyncio.get_running_loop().create_task(self._receive(ws))
        try:
            self._finish(await self._live(ws, reader, step_s))
        finally:
            reader.cancel()
            await _close(ws)

    async def _live(
        self, ws: aiohttp.ClientWebSocketResponse[bool], reader: asyncio.Task[SessionEnd], step_s: float
    ) -> SessionEnd:
        """Ask for all of it, then ping until the reader says why it is over."""
        plan = self._dialect.stream
        login = self._dialect.stream_login(self._credentials, self._venue_ms())
        try:
            if login:
                await ws.send_str(login.decode())
            if plan.login and not await self._within(self._logged_in, reader, step_s):
                return self._over(reader, "no answer to the login")
            for frame in self._dialect.stream_subscribe():
                await ws.send_str(frame.decode())
            if not self._wanted:
                self.ready.set()
            if not await self._within(self.ready, reader, step_s):
                return self._over(reader, f"not granted: {', '.join(sorted(self._wanted))}")
            while not reader.done():
                await asyncio.wait({reader}, timeout=plan.ping_every_ns / 1e9)
                if self._clock.mono_ns() - self.heard_ns > 2 * plan.ping_every_ns:
                    return self._over(reader, "mute: nothing was heard, pongs neither")
                if not reader.done():
                    await (ws.send_str(plan.ping.decode()) if plan.ping else ws.ping())
        except _TROUBLE as trouble:
            return self._over(reader, f"{type(trouble).__name__}: {trouble}"[:200])
        return self._over(reader, "the connection ended")

    async def _within(self, event: asyncio.Event, reader: asyncio.Task[SessionEnd], step_s: float) -> bool:
        await first(event, reader, within_s=step_s)
        return event.is_set() and not reader.done()

    def _over(self, reader: asyncio.Task[SessionEnd], reason: str) -> SessionEnd:
        return reader.result() if reader.done() and not reader.cancelled() else SessionEnd(reason=reason)

    async def _receive(self, ws: aiohttp.ClientWebSocketResponse[bool]) -> SessionEnd:
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        while True:
            try:
                message = await ws.receive()
            except _TROUBLE as trouble:
                return SessionEnd(reason=f"{type(trouble).__name__}: {trouble}"[:200])
            self.heard_ns = self._clock.mono_ns()
            if message.type is text or message.type is binary:
                self.messages += 1
                self._heard(message.data)
                if self._refused is not None:
                    return self._refused
            elif message.type is aiohttp.WSMsgType.PING:
                await ws.pong(message.data)
            elif message.type is not aiohttp.WSMsgType.PONG:
                return SessionEnd(reason=f"closed by the venue: {message.data or ''} {message.extra or ''}".strip())

    def _heard(self, payload: bytes) -> None:
        ts_ns = self._clock.wall_ns()
        for event in self._dialect.decode_user(payload, ts_ns):
            match event:
                case LoggedIn():
                    self._logged_in.set()
                case Subscribed():
                    self._wanted.discard(event.channel)
                    if not self._wanted:
                        self.ready.set()
                case StreamRefused():
                    self._refused = SessionEnd(reason=f"refused: {event.code} {event.text}".strip(), auth=event.auth)
                case StreamClosing():
                    self.closing.set()
                    self._deliver(event, ts_ns)
                case Heartbeat():
                    pass
                case _:
                    self._deliver(event, ts_ns)

    def _finish(self, end: SessionEnd) -> None:
        if not self.ended.is_set():
            self.end = end
            self.ended.set()


async def _close(ws: aiohttp.ClientWebSocketResponse[bool]) -> None:
    try:
        await ws.close()
    except _TROUBLE:
        return
