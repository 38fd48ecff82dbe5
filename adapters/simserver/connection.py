"""One client of a simulated venue: what it subscribed to, and the bounded bytes that are still to be sent to it.

Owns framing, sending and how a connection ends. What is sent is the dialect's and the faults' decision. All frames of
one turn of the loop leave in one write; the socket's own reader stays aiohttp's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum

from aiohttp import WSMsgType

BUFFER_BYTES = 8 << 20
DELAYED_MAX = 65_536
SLOW_CLIENT = 1008
DROPPED = 1006
CLOSE_S = 0.5
"""How long a client has to answer a close frame."""
MS = 1_000_000


class Life(Enum):
    """What a connection does."""

    OPEN = "open"
    HALF_OPEN = "half_open"
    CLOSING = "closing"


def frame_of(payload: bytes, kind: WSMsgType = WSMsgType.TEXT) -> bytes:
    """A whole message as a server frames it (RFC 6455, 5.2: final, unmasked)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | kind, size)) + payload
    if size < 1 << 16:
        return bytes((0x80 | kind, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | kind, 127)) + size.to_bytes(8, "big") + payload


class Connection:
    """A WebSocket client. Messages leave in the order they were pushed; a delayed one delays those behind it."""

    def __init__(
        self, connection_id: int, path: str, transport: asyncio.Transport | None, mono_ns: Callable[[], int]
    ) -> None:
        self.id = connection_id
        self.path = path
        self.topics: dict[str, None] = {}
        self.combined = True
        self.requests: deque[int] = deque(maxlen=64)
        self.life = Life.OPEN
        self.opened_ns = self.heard_ns = self.sent_ns = self.pinged_ns = mono_ns()
        self.messages = 0
        self.bytes = 0
        self.ending = asyncio.Event()
        self.slow = False
        self._transport = transport
        self._mono_ns = mono_ns
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._delayed: deque[tuple[int, bytes]] = deque()

    def push(self, payload: bytes, delay_ms: int = 0, kind: WSMsgType = WSMsgType.TEXT) -> None:
        """Send soon; a client that does not read is cut."""
        if self.life is not Life.OPEN:
            return
        if delay_ms or self._delayed:
            self._delay(frame_of(payload, kind), delay_ms)
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame_of(payload, kind))

    def end(self, code: int, within_s: float = CLOSE_S) -> None:
        """Close with a code, by force where the client has not answered in time; 1006 drops it without a word."""
        if self.life is Life.CLOSING:
            return
        if self.life is Life.OPEN and code != DROPPED and self._transport is not None and not self.lost:
            self._flush()
            self._transport.write(frame_of(code.to_bytes(2, "big"), WSMsgType.CLOSE))
        self.life = Life.CLOSING
        self._delayed.clear()
        self.ending.set()
        if code == DROPPED:
            self._drop()
        else:
            self._loop.call_later(within_s, self._drop)

    def hang(self) -> None:
        """Neither send nor read from now on, and do not close."""
        if self.life is Life.OPEN:
            self.life = Life.HALF_OPEN
            self._out.clear()
            self._delayed.clear()

    def listens(self) -> bool:
        """Whether what the client says is heard."""
        return self.life is Life.OPEN

    @property
    def queued_bytes(self) -> int:
        """Bytes that the client has not taken yet."""
        return 0 if self._transport is None or self.lost else self._transport.get_write_buffer_size()

    @property
    def lost(self) -> bool:
        """Whether the client's side is gone."""
        return self._transport is None or self._transport.is_closing()

    def _flush(self) -> None:
        out, transport = self._out, self._transport
        if not out or self.life is not Life.OPEN or transport is None or transport.is_closing():
            return
        self._out = []
        data = out[0] if len(out) == 1 else b"".join(out)
        transport.write(data)
        self.messages += len(out)
        self.bytes += len(data)
        self.sent_ns = self._mono_ns()
        if transport.get_write_buffer_size() > BUFFER_BYTES:
            self.slow = True
            self.end(SLOW_CLIENT)

    def _delay(self, frame: bytes, delay_ms: int) -> None:
        if len(self._delayed) >= DELAYED_MAX:
            self.slow = True
            self.end(SLOW_CLIENT)
            return
        self._delayed.append((self._mono_ns() + delay_ms * MS, frame))
        if len(self._delayed) == 1:
            self._loop.call_later(delay_ms / 1e3, self._release)

    def _release(self) -> None:
        """What is due of the delayed messages."""
        now_ns = self._mono_ns()
        delayed = self._delayed
        while delayed and delayed[0][0] <= now_ns:
            self._out.append(delayed.popleft()[1])
        self._flush()
        if delayed and self.life is Life.OPEN:
            self._loop.call_later(max(0.0, (delayed[0][0] - now_ns) / 1e9), self._release)

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()
