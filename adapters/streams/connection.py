"""One line of a feed carried out with aiohttp: sockets, timers, and the bytes' way to the queue.

Decides nothing: `adapters.streams.machine` does. Reads clocks for the machine and for the receive times of frames.
Trouble of the outside becomes the machine's events; nothing is raised out of here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import msgspec

from adapters.clock import Clock
from adapters.streams import state as s
from adapters.streams.budget import ConnectionBudget
from adapters.streams.dialects.base import Dialect, LineSpec, NoticeKind, Router
from adapters.streams.machine import decide
from adapters.streams.overlap import Overlap
from adapters.streams.topics import MS_NS, SECOND_NS, Ledger, Pulse

MAX_MESSAGE_BYTES = 8 << 20
UNSENT_MAX = 1000
TICK_NS = 100 * MS_NS
PATIENCE_NS = 2 * SECOND_NS
FAIRNESS = 256
"""Messages that a socket may hand over before others have their turn."""

_TROUBLE = (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError)

Deliver = Callable[[bytes, int, Pulse | None], None]
Announce = Callable[[s.News, str, str], None]


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One line for operators. Ages are of data, ms; None before the first. ``faults`` counts bugs of ours."""

    view: str
    line: str
    url: str
    status: str
    reason: str
    age_ms: float | None
    messages: int
    bytes: int
    counters: s.Counters
    topics: tuple[TopicStatus, ...]
    faults: int = 0


class TopicStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One topic for operators."""

    key: str
    kind: str
    symbol: str
    phase: str
    age_ms: float | None
    messages: int
    reason: str


class _Socket:
    """One WebSocket, its ledger, and what was heard on it."""

    __slots__ = (
        "answered",
        "heard_ns",
        "ledger",
        "number",
        "paid",
        "pulses",
        "route",
        "sender",
        "task",
        "unsent",
        "ws",
    )

    def __init__(self, number: int, pulses: dict[str, Pulse], route: Router, ledger: Ledger) -> None:
        self.number = number
        self.pulses = pulses
        self.route = route
        self.ledger = ledger
        self.ws: aiohttp.ClientWebSocketResponse[bool] | None = None
        self.task: asyncio.Task[None] | None = None
        self.sender: asyncio.Task[None] | None = None
        self.unsent: asyncio.Queue[bytes] = asyncio.Queue(UNSENT_MAX)
        self.heard_ns = 0
        self.paid = False


class Connection:
    """One line of one view. Call from one loop only; ``close`` ends all of it."""

    def __init__(
        self,
        *,
        view: str,
        line: LineSpec,
        dialect: Dialect,
        rules: s.ConnectionRules,
        session: aiohttp.ClientSession,
        clock: Clock,
        budget: ConnectionBudget,
        dice: int,
        deliver: Deliver,
        announce: Announce,
    ) -> None:
        self.view = view
        self.line = line
        self._dialect = dialect
        self._session = session
        self._wall_ns = clock.wall_ns
        self._mono_ns = clock.mono_ns
        self._budget = budget
        self._deliver = deliver
        self._announce = announce
        self.state = s.State(topics={topic.key: topic for topic in line.topics}, rules=rules, dice=dice)
        self._sockets: dict[int, _Socket] = {}
        self._lead = 0
        self._overlap = Overlap(dialect.order_of)
        self._timer: asyncio.TimerHandle | None = None
        self._tick_soon = False
        self._ending: set[asyncio.Task[None]] = set()
        self._done_messages = 0
        self._done_bytes = 0
        self.faults = 0

    # --- Outside ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect."""
        self._on(s.Started())
        self._arm()

    def renew(self, key: str) -> None:
        """Ask the venue to begin a topic anew; too soon after the last time it does nothing."""
        self._on(s.Renewed(key))

    async def close(self) -> None:
        """Close the sockets and wait until they are gone."""
        self._on(s.Stopped())
        if self._timer is not None:
            self._timer.cancel()
        if self._ending:
            await asyncio.wait(self._ending, timeout=2)

    def status(self) -> ConnectionStatus:
        """As it is now."""
        now, state = self._mono_ns(), self.state
        socket = self._sockets.get(self._lead)
        pulses = socket.pulses if socket else {}
        phases = state.main.topics if state.main else {}
        topics = tuple(
            TopicStatus(
                key=key,
                kind=spec.kind.value,
                symbol=spec.symbol,
                phase=phases[key].phase.value if key in phases else s.Phase.WAITING.value,
                age_ms=_age_ms(now, pulses[key].last_ns if key in pulses else 0),
                messages=pulses[key].count if key in pulses else 0,
                reason=phases[key].reason if key in phases else "",
            )
            for key, spec in state.topics.items()
        )
        latest = max((pulse.last_ns for pulse in pulses.values()), default=0)
        messages = sum(p.count for each in self._sockets.values() for p in each.pulses.values())
        size = sum(p.bytes for each in self._sockets.values() for p in each.pulses.values())
        return ConnectionStatus(
            view=self.view,
            line=self.line.name,
            url=self.line.url,
            status=state.status.value,
            reason=state.reason,
            age_ms=_age_ms(now, latest),
            messages=self._done_messages + messages,
            bytes=self._done_bytes + size,
            counters=state.counters,
            topics=topics,
            faults=self.faults,
        )

    # --- The machine's hands ---------------------------------------------------------------------------

    def _on(self, event: s.Event) -> None:
        self.state, effects = decide(self.state, event, self._mono_ns())
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: s.Effect) -> None:
        match effect:
            case s.OpenSocket():
                self._open(effect.number)
            case s.CloseSocket():
                self._end(effect.number)
            case s.Subscribe():
                self._ask(effect.number, effect.keys, again=False)
            case s.Resubscribe():
                self._ask(effect.number, effect.keys, again=True)
            case s.SendPing():
                self._ping(effect.number)
            case s.TakeOver():
                self._take_over(effect)
            case s.Tell():
                self._announce(effect.news, effect.key, effect.reason)

    def _open(self, number: int) -> None:
        pulses = {topic.key: Pulse(topic) for topic in self.line.topics}
        socket = _Socket(number, pulses, self._dialect.router(pulses), self._dialect.ledger())
        self._sockets[number] = socket
        if self.state.spare is not None and self.state.spare.number == number:
            self._overlap.begin()
        socket.task = asyncio.get_running_loop().create_task(self._run(socket), name=f"{self.line.name}#{number}")
        socket.task.add_done_callback(lambda task: self._ended(socket, task))

    def _end(self, number: int) -> None:
        socket = self._sockets.pop(number, None)
        if socket is None:
            return
        if number != self._lead:
            # Either it took nothing over, or what waited for it has been delivered.
            self._overlap.end()
        self._done_messages += sum(pulse.count for pulse in socket.pulses.values())
        self._done_bytes += sum(pulse.bytes for pulse in socket.pulses.values())
        for task in (socket.sender, socket.task):
            if task is not None and not task.done():
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
                task.cancel()

    def _ended(self, socket: _Socket, task: asyncio.Task[None]) -> None:
        if socket.paid:
            socket.paid = False
            self._budget.on_closed(self._dialect.family)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._sockets.get(socket.number) is socket:
            # A bug of ours: the connection ends like any other, and is counted.
            self.faults += 1
            self._on(s.SocketLost(number=socket.number, reason=f"internal: {error!r}"))

    def _ask(self, number: int, keys: tuple[str, ...], *, again: bool) -> None:
        socket = self._sockets.get(number)
        if socket is not None:
            now = self._mono_ns()
            ask = socket.ledger.again if again else socket.ledger.subscribe
            self._send(socket, ask(keys, now))

    def _send(self, socket: _Socket, requests: list[bytes]) -> None:
        for request in requests:
            if socket.unsent.full():
                # What is not asked for is not granted: the machine's deadlines see to it.
                return
            socket.unsent.put_nowait(request)

    def _ping(self, number: int) -> None:
        socket = self._sockets.get(number)
        if socket is not None and not socket.unsent.full():
            socket.unsent.put_nowait(self._dialect.ping or b"")

    def _take_over(self, effect: s.TakeOver) -> None:
        self._lead = effect.number
        for payload, ts_recv_ns, pulse in self._overlap.hand_over(joined=effect.joined):
            self._deliver(payload, ts_recv_ns, pulse)

    # --- A socket --------------------------------------------------------------------------------------

    async def _run(self, socket: _Socket) -> None:
        number = socket.number
        wait_ns = await self._admitted()
        if wait_ns:
            self._on(s.OpenDeferred(number=number, wait_ns=wait_ns))
            return
        socket.paid = True
        try:
            # Compression costs more time than the loopback or a data centre's wire does.
            ws = await self._session.ws_connect(
                self.line.url,
                autoping=False,
                autoclose=True,
                max_msg_size=MAX_MESSAGE_BYTES,
                decode_text=False,
                compress=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
        except aiohttp.WSServerHandshakeError as refusal:
            retry_ns = _retry_after_ns(refusal.headers.get("Retry-After", "") if refusal.headers else "")
            reason = f"HTTP {refusal.status} instead of a WebSocket"
            self._on(s.OpenFailed(number=number, reason=reason, http_status=refusal.status, retry_after_ns=retry_ns))
            return
        except _TROUBLE as trouble:
            self._on(s.OpenFailed(number=number, reason=_said(trouble)))
            return
        socket.ws = ws
        try:
            socket.sender = asyncio.get_running_loop().create_task(self._send_all(socket, ws))
            socket.heard_ns = self._mono_ns()
            self._on(s.Opened(number))
            reason, code = await self._receive(socket, ws)
        except _TROUBLE as trouble:
            reason, code = _said(trouble), ws.close_code or 0
        finally:
            if socket.sender is not None:
                socket.sender.cancel()
            await _close(ws)
        self._on(s.SocketLost(number=number, reason=reason, code=code))

    async def _admitted(self) -> int:
        """Take a place in the budget, after a short wait where that is all it takes; else how long it would be."""
        until = self._mono_ns() + PATIENCE_NS
        while True:
            now = self._mono_ns()
            wait_ns = self._budget.try_open(self._dialect.family, now)
            if not wait_ns or now + wait_ns > until:
                return wait_ns
            await asyncio.sleep(wait_ns / 1e9)

    async def _receive(self, socket: _Socket, ws: aiohttp.ClientWebSocketResponse[bool]) -> tuple[str, int]:
        """Hand over messages until the socket ends; answers with why, and the close code."""
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        receive, route, mono_ns, wall_ns = ws.receive, socket.route, self._mono_ns, self._wall_ns
        overlap = self._overlap
        turn = 0
        while True:
            message = await receive()
            kind = message.type
            if kind is text or kind is binary:
                payload: bytes = message.data
                now = mono_ns()
                pulse = route(payload)
                if pulse is None:
                    self._unrouted(socket, payload, now)
                else:
                    if not pulse.count:
                        pulse.first_ns = now
                        self._soon()
                    pulse.count += 1
                    pulse.last_ns = now
                    pulse.bytes += len(payload)
                if self._lead == socket.number and not overlap.active:
                    self._deliver(payload, wall_ns(), pulse)
                else:
                    self._overlapping(socket, payload, wall_ns(), pulse)
                turn += 1
                if turn >= FAIRNESS:
                    turn = 0
                    await asyncio.sleep(0)
            elif kind is aiohttp.WSMsgType.PING:
                socket.heard_ns = mono_ns()
                await ws.pong(message.data)
            elif kind is aiohttp.WSMsgType.PONG:
                socket.heard_ns = mono_ns()
            elif kind is aiohttp.WSMsgType.CLOSE:
                return f"closed by the venue: {message.data} {message.extra or ''}".strip(), int(message.data or 0)
            elif kind is aiohttp.WSMsgType.ERROR:
                return _said(message.data), ws.close_code or 0
            else:
                return "the connection broke", ws.close_code or 0

    def _unrouted(self, socket: _Socket, payload: bytes, now_ns: int) -> None:
        """An answer, a pong or a notice."""
        socket.heard_ns = now_ns
        answers = socket.ledger.on_message(payload)
        if answers is None:
            notice = self._dialect.notice(payload)
            if notice is None:
                return
            if notice.kind is NoticeKind.RESET:
                self._on(s.ResetAnnounced(number=socket.number, reason=notice.text))
            else:
                until = now_ns + max(0, notice.until_ns - self._wall_ns()) if notice.until_ns else now_ns + SECOND_NS
                self._on(s.MaintenanceAnnounced(until_ns=until, reason=notice.text))
            return
        for answer in answers:
            if answer.asked:
                self._on(s.Asked(socket.number, answer.key))
            elif answer.granted:
                self._on(s.Granted(socket.number, answer.key))
            else:
                reason = f"refused: {answer.code} {answer.text}".strip()
                self._on(s.Refused(number=socket.number, key=answer.key, reason=reason, retry=answer.retry))
        self._send(socket, socket.ledger.unsent())

    def _overlapping(self, socket: _Socket, payload: bytes, ts_recv_ns: int, pulse: Pulse | None) -> None:
        """While two sockets carry the same: the first goes on, the second waits."""
        if self._lead == socket.number:
            self._overlap.on_first(payload, pulse)
            self._deliver(payload, ts_recv_ns, pulse)
        else:
            self._overlap.on_second((payload, ts_recv_ns, pulse))

    async def _send_all(self, socket: _Socket, ws: aiohttp.ClientWebSocketResponse[bool]) -> None:
        """Requests at the venue's pace. Trouble in here shows in what is received, or is not."""
        gap_s = self._dialect.send_gap_ns / 1e9
        try:
            while True:
                request = await socket.unsent.get()
                if request:
                    await ws.send_str(request.decode())
                else:
                    await ws.ping()
                await asyncio.sleep(gap_s)
        except _TROUBLE:
            return

    # --- Time ------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_NS / 1e9, self._on_timer)

    def _on_timer(self) -> None:
        if self.state.status is s.Status.CLOSED:
            return
        self._arm()
        self._tick()

    def _soon(self) -> None:
        """A topic spoke for the first time: do not wait for the timer to notice."""
        if not self._tick_soon:
            self._tick_soon = True
            asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self._tick_soon = False
        if self.state.status is s.Status.CLOSED:
            return
        heard = tuple(
            s.SocketPulse(
                socket.number,
                socket.pulses,
                max(socket.heard_ns, max((pulse.last_ns for pulse in socket.pulses.values()), default=0)),
            )
            for socket in self._sockets.values()
        )
        self._on(s.Ticked(heard))


async def _close(ws: aiohttp.ClientWebSocketResponse[bool]) -> None:
    try:
        await ws.close()
    except _TROUBLE:
        return


def _said(trouble: object) -> str:
    """An error in one line; many of aiohttp's have no text of their own."""
    return f"{type(trouble).__name__}: {trouble}"[:200] if trouble else "the connection broke"


def _retry_after_ns(text: str) -> int:
    """``Retry-After`` in seconds; venues do not send the form with a date."""
    return int(text) * SECOND_NS if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _age_ms(now_ns: int, last_ns: int) -> float | None:
    return round((now_ns - last_ns) / MS_NS, 1) if last_ns else None
