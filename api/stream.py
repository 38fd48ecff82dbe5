"""The live stream: one frame of what changed, four times a second, over WebSocket or SSE on the same path.

A reader is an integer cursor into the projection: a slow one misses intermediate values (conflation), never makes
this process grow, and is closed when it stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import WSMsgType, web

from api import views
from api.metrics import OpsCounters
from api.projection import Projection
from trading.operators import Topic

STREAM_HZ = 4
CLIENTS_MAX = 32
SLOW_CLOSE_S = 15.0
CONTROL = "control"

# What a frame carries of each ring at most; a reader further behind than that has missed the rest.
_RING_LIMIT = {
    Topic.ORDER: views.ORDERS_SHOWN,
    Topic.FILL: views.FILLS_SHOWN,
    Topic.EVENT: views.EVENTS_SHOWN,
}

# The specification's topic names (P-EVT-1) for what this desk publishes.
ALIASES: dict[str, tuple[str, ...]] = {
    "health": (CONTROL, "tree", "venue"),
    "execution": ("order", "fill"),
    "risk": (CONTROL, "brakes", "position"),
    "quotes": ("book",),
    "quality": ("quality", "feed", "quorum", "clock", "registry", "book", "venue"),
    "funding": ("derivatives",),
    "oi": ("derivatives",),
    "imbalance": ("flow",),
    "cvd": ("flow",),
    "alerts": ("event", "brakes"),
    "logs": ("event",),
}
_ENDS = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
Send = Callable[[bytes], Awaitable[None]]
NAMES = (CONTROL, *(topic.value for topic in Topic))


def parse_topics(text: str | None) -> frozenset[str]:
    """The topics of a comma-separated query; nothing means all but METRICS. ``ValueError`` names what is unknown."""
    if not text:
        return frozenset(NAMES) - {Topic.METRICS.value}
    chosen: set[str] = set()
    for word in text.split(","):
        name = word.strip().lower()
        if name in ALIASES:
            chosen.update(ALIASES[name])
        elif name in NAMES:
            chosen.add(name)
        else:
            raise ValueError(name)
    return frozenset(chosen)


class StreamHub:
    """Serves every open stream of one server. ``close`` ends them all."""

    def __init__(self, projection: Projection, counters: OpsCounters, extra: dict[str, object], hz: int) -> None:
        self._projection = projection
        self._counters = counters
        self._extra = extra
        self._period_s = 1 / hz
        self._closing = asyncio.Event()
        self._control: tuple[int, msgspec.Raw] | None = None
        self.epoch = str(projection.started_mono_ns)

    def full(self) -> bool:
        """Whether another reader would be one too many."""
        return self._counters.stream_clients >= CLIENTS_MAX

    def close(self) -> None:
        """Let every stream end after its current frame."""
        self._closing.set()

    def frame(self, topics: frozenset[str], cursor: int) -> tuple[bytes, int]:
        """All of ``topics`` that changed after ``cursor``, newest last, and the next cursor."""
        projection = self._projection
        facts: dict[str, dict[str, object]] = {}
        for topic in Topic:
            if topic.value not in topics:
                continue
            limit = _RING_LIMIT.get(topic, projection.limits.keys_per_topic)
            changed = list(projection.changed_since(topic, cursor, limit))
            if changed:
                facts[topic.value] = {entry.key: entry.body for entry in reversed(changed)}
        body: dict[str, object] = {
            "type": "update" if cursor else "snapshot",
            "seq": projection.seq,
            "ts_ns": projection.clock.wall_ns(),
            "facts": facts,
        }
        if CONTROL in topics:
            body[CONTROL] = self._control_now()
        return msgspec.json.encode(body), projection.seq

    async def websocket(self, request: web.Request, topics: frozenset[str]) -> web.WebSocketResponse:
        """Serve one WebSocket until either side ends it. What the reader sends is ignored."""
        socket = web.WebSocketResponse(heartbeat=20, max_msg_size=4096, compress=False)
        await socket.prepare(request)

        async def send(payload: bytes) -> None:
            await socket.send_frame(payload, WSMsgType.TEXT)

        pump = asyncio.get_running_loop().create_task(self._pump(request, send, topics, 0))
        try:
            while not pump.done():
                reading = asyncio.ensure_future(socket.receive())
                await asyncio.wait({reading, pump}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)
                elif reading.exception() or reading.result().type in _ENDS:
                    break
            await socket.close()
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        return socket

    async def events(self, request: web.Request, topics: frozenset[str]) -> web.StreamResponse:
        """Serve one SSE stream; a reader that comes back with Last-Event-ID of this process goes on from there."""
        epoch, _, seq = request.headers.get("Last-Event-ID", "").partition("-")
        cursor = int(seq) if epoch == self.epoch and seq.isdigit() else 0
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)

        async def send(payload: bytes) -> None:
            head = f"event: update\nid: {self.epoch}-{self._projection.seq}\ndata: ".encode()
            await response.write(head + payload + b"\n\n")

        await self._pump(request, send, topics, cursor)
        return response

    async def _pump(self, request: web.Request, send: Send, topics: frozenset[str], cursor: int) -> None:
        self._counters.stream_clients += 1
        try:
            while not self._closing.is_set():
                payload, cursor = self.frame(topics, cursor)
                try:
                    async with asyncio.timeout(SLOW_CLOSE_S):
                        await send(payload)
                except TimeoutError:
                    self._counters.stream_slow_closed += 1
                    if request.transport is not None:
                        request.transport.abort()
                    return
                except (ConnectionError, RuntimeError):
                    return
                self._counters.stream_frames += 1
                await self._pause()
        finally:
            self._counters.stream_clients -= 1

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._period_s):
                await self._closing.wait()
        except TimeoutError:
            pass

    def _control_now(self) -> msgspec.Raw:
        """The control state, encoded once per tick for all readers."""
        now_ns = self._projection.clock.mono_ns()
        if self._control is None or now_ns - self._control[0] > self._period_s * 5e8:
            state = {**views.control_state(self._projection), **self._extra}
            self._control = (now_ns, msgspec.Raw(msgspec.json.encode(state)))
        return self._control[1]
