"""One WebSocket for orders: opened, logged in, pinged, asked, closed.

Owns the socket and who waits for which answer; what bytes mean and what follows is `adapters.orders.entry_session`'s.
Trouble outside ends the line with a reason; nothing is raised out of here but `ForbiddenRequestError`, a bug of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from adapters.clock import Clock
from adapters.orders import sanitiser
from adapters.orders.entry import EntryDialect, EntryUnread
from adapters.orders.entry_session import EntryLimits, EntrySession, EntryState, Settled
from adapters.orders.waiting import first
from adapters.orders.wire import SECOND_NS, Credentials, HttpAnswer, OrderEndpoints, WireRequest

MAX_MESSAGE_BYTES = 1 << 20
_TROUBLE = (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError)


class EntryLine:
    """From one connection to its end. ``ready`` is set when requests may go, ``leaving`` when it has to be replaced."""

    def __init__(
        self,
        dialect: EntryDialect,
        endpoints: OrderEndpoints,
        credentials: Credentials,
        clock: Clock,
        limits: EntryLimits,
        *,
        venue_ms: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        """``changed`` is told, in the loop's turn, whenever the line may take orders and before might not, or so."""
        self.session = EntrySession(dialect, credentials, limits)
        self.ready = asyncio.Event()
        self.leaving = asyncio.Event()
        self.ended = asyncio.Event()
        self.opened_ns = 0
        self.lost_in_flight = 0
        self._dialect = dialect
        self._endpoints = endpoints
        self._clock = clock
        self._limits = limits
        self._venue_ms = venue_ms
        self._changed = changed
        self._waiting: dict[str, asyncio.Future[HttpAnswer | EntryUnread | str]] = {}
        self._ws: aiohttp.ClientWebSocketResponse[bool] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stir = asyncio.Event()
        self._told = EntryState.OPENING

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{self._endpoints.entry or self._endpoints.ws}{self._dialect.plan.path}"

    @property
    def takes_orders(self) -> bool:
        """Whether a request may go this way."""
        return self.session.takes_orders and self._ws is not None and not self._ws.closed

    @property
    def end(self) -> str:
        """Why it is as it is."""
        return self.session.reason

    def start(self, http: aiohttp.ClientSession) -> None:
        """Begin; the handshake and the login have ``step_ms`` each."""
        self._task = asyncio.get_running_loop().create_task(self._run(http))

    async def close(self, reason: str) -> None:
        """End it and wait until it is gone. Of what is in flight nothing is known."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=2)
        self._over(reason)

    def leave(self, reason: str) -> None:
        """Take no new requests."""
        self.session.leave(reason)
        self._state()

    # --- Requests --------------------------------------------------------------------------------------

    async def send(self, request: WireRequest) -> HttpAnswer | EntryUnread | str:
        """One request and its answer, that it was not read, or that nothing is known of it, in words.

        Waits for as long as the connection lives: whoever asks has deadlines of its own, and cancels.
        """
        ws, now = self._ws, self._clock.mono_ns()
        asked = self.session.ask(request, self._venue_ms(), now) if ws is not None and not ws.closed else None
        if asked is None or ws is None:
            return EntryUnread(reason="it is not said by WebSocket now")
        request_id, frame = asked
        future: asyncio.Future[HttpAnswer | EntryUnread | str] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            sanitiser.check_frame(self._dialect.venue, self._endpoints, self.url, frame)
            await ws.send_str(frame.decode())
            done, _ = await asyncio.wait({future}, timeout=request.deadline_ms / 1_000)
            if not done:
                await self._doubt(ws, request_id)
            return await future
        except _TROUBLE as trouble:
            if isinstance(trouble, sanitiser.ForbiddenRequestError):
                raise
            # Whether any of it left is not known.
            self._over(f"{type(trouble).__name__}: {trouble}")
            return f"{type(trouble).__name__}: {trouble}"[:200]
        finally:
            self._waiting.pop(request_id, None)
            self.session.forget(request_id)

    async def _doubt(self, ws: aiohttp.ClientWebSocketResponse[bool], request_id: str) -> None:
        """No answer in time: ask whether anybody is there; new requests take the other road meanwhile."""
        if self.session.overdue(request_id, self._clock.mono_ns()):
            self._state()
            await self._ping(ws)
        self._stir.set()

    # --- The connection --------------------------------------------------------------------------------

    async def _run(self, http: aiohttp.ClientSession) -> None:
        try:
            async with asyncio.timeout(self._limits.step_ms / 1_000):
                ws = await http.ws_connect(
                    self.url, autoping=False, max_msg_size=MAX_MESSAGE_BYTES, compress=0, decode_text=False
                )
        except _TROUBLE as trouble:
            self._over(f"{type(trouble).__name__}: {trouble}")
            return
        self._ws = ws
        self.opened_ns = self._clock.mono_ns()
        reader = asyncio.get_running_loop().create_task(self._receive(ws))
        try:
            self._over(await self._live(ws, reader))
        finally:
            reader.cancel()
            await _close(ws)

    async def _live(self, ws: aiohttp.ClientWebSocketResponse[bool], reader: asyncio.Task[str]) -> str:
        """Log in, then ping and watch until the reader says why it is over."""
        try:
            login = self.session.connected(self._venue_ms(), self._clock.mono_ns())
            if login:
                sanitiser.check_frame(self._dialect.venue, self._endpoints, self.url, login)
                await ws.send_str(login.decode())
            self._state()
            if not await self._granted(reader):
                return reader.result() if reader.done() else "no answer to the login"
            while not reader.done():
                self._stir.clear()
                due = self.session.due(self._clock.mono_ns())
                self._state()
                if due.end:
                    return due.end
                if due.ping:
                    await self._ping(ws)
                await first(self._stir, reader, within_s=due.wait_ns / SECOND_NS)
        except _TROUBLE as trouble:
            return f"{type(trouble).__name__}: {trouble}"
        return reader.result()

    async def _granted(self, reader: asyncio.Task[str]) -> bool:
        await first(self.ready, reader, within_s=self._limits.step_ms / 1_000)
        return self.ready.is_set() and not reader.done()

    async def _ping(self, ws: aiohttp.ClientWebSocketResponse[bool]) -> None:
        ping = self._dialect.plan.ping
        await (ws.send_str(ping.decode()) if ping else ws.ping())

    async def _receive(self, ws: aiohttp.ClientWebSocketResponse[bool]) -> str:
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        while True:
            try:
                message = await ws.receive()
            except _TROUBLE as trouble:
                return f"{type(trouble).__name__}: {trouble}"
            if message.type is text or message.type is binary:
                self._wake(self.session.heard(message.data, self._clock.mono_ns(), self._clock.wall_ns()))
                self._state()
                if self.session.state is EntryState.ENDED:
                    return self.session.reason
            elif message.type is aiohttp.WSMsgType.PING:
                await ws.pong(message.data)
                self.session.touched(self._clock.mono_ns())
                self._state()
            elif message.type is aiohttp.WSMsgType.PONG:
                self.session.touched(self._clock.mono_ns())
                self._state()
            else:
                return f"closed by the venue: {message.data or ''} {message.extra or ''}".strip()

    def _wake(self, settled: list[Settled]) -> None:
        for one in settled:
            future = self._waiting.get(one.request_id)
            if future is not None and not future.done():
                future.set_result(one.outcome)

    def _over(self, reason: str) -> None:
        if not self.ended.is_set():
            settled = self.session.lost(reason[:200])
            self.lost_in_flight = len(settled)
            self.ended.set()
            self._wake(settled)
            self._state()

    def _state(self) -> None:
        state = self.session.state
        if state is self._told:
            return
        self._told = state
        if state is EntryState.READY:
            self.ready.set()
        if state in {EntryState.LEAVING, EntryState.ENDED}:
            self.leaving.set()
        self._changed()


async def _close(ws: aiohttp.ClientWebSocketResponse[bool]) -> None:
    try:
        await ws.close()
    except _TROUBLE:
        return
