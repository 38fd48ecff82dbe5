"""Links between cells: Unix sockets with msgpack batches, one direction each, bounded.

Market data waiting for a slow or absent peer is conflated by key or dropped; everything else is kept, in order, up
to a hard limit beyond which the link says so (the desk then holds). Owns bytes and reconnects, not routing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, cast

import msgspec

_LENGTH = struct.Struct(">I")
_MAX_FRAME = 64 * 1024 * 1024
_BATCH = 2_000
_RECONNECT_S = (0.02, 0.05, 0.1, 0.2)


class LinkCodec:
    """Encodes batches of ``(to, message)``; ``union`` is every message type that may cross a link."""

    def __init__(self, union: Any) -> None:
        self._encoder = msgspec.msgpack.Encoder(decimal_format="string")
        self._decoder = msgspec.msgpack.Decoder(list[tuple[str, union]])

    def encode(self, batch: list[tuple[str, Any]]) -> bytes:
        """One frame: big-endian length, then msgpack."""
        body = self._encoder.encode(batch)
        return _LENGTH.pack(len(body)) + body

    def decode(self, body: bytes | memoryview) -> list[tuple[str, Any]]:
        """The batch of one frame; ``msgspec.MsgspecError`` when it is not one."""
        return self._decoder.decode(body)


class LinkStats(msgspec.Struct):
    """Counters of one direction."""

    sent: int = 0
    conflated: int = 0
    dropped: int = 0
    refused: int = 0
    undelivered: int = 0
    frames: int = 0
    reconnects: int = 0


class LinkOut:
    """The sending end towards one peer cell. Use from the loop's thread: `start`, then `offer`; `close` at the end.

    ``conflate(message)`` gives a key for market data (the newest of a key wins) or None; messages with a key may be
    dropped while the peer is away. ``perishable(message)`` marks those that must not arrive late: while the peer is
    away they go to ``on_undelivered`` at once, which knows that they never left.
    """

    def __init__(
        self,
        path: Path,
        codec: LinkCodec,
        conflate: Callable[[Any], Hashable | None],
        *,
        hard_limit: int = 50_000,
        on_state: Callable[[bool], None] | None = None,
        on_overflow: Callable[[int], None] | None = None,
        perishable: Callable[[Any], bool] | None = None,
        on_undelivered: Callable[[Any], None] | None = None,
    ) -> None:
        self._path = path
        self._codec = codec
        self._conflate = conflate
        self._perishable = perishable
        self._on_undelivered = on_undelivered
        self._hard_limit = hard_limit
        self._on_state = on_state
        self._on_overflow = on_overflow
        self._pending: list[tuple[str, Any] | None] = []
        self._places: dict[Hashable, int] = {}
        self._transport: asyncio.WriteTransport | None = None
        self._paused = False
        self._scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._lost: asyncio.Event | None = None
        self.stats = LinkStats()

    @property
    def connected(self) -> bool:
        """Whether a socket to the peer is open."""
        return self._transport is not None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin connecting, and keep trying for as long as the link lives."""
        self._loop = loop
        self._task = loop.create_task(self._keep_connected(), name=f"link {self._path.name}")

    def offer(self, to: str, msg: Any) -> None:
        """Queue a message for the peer; it leaves at the end of this turn of the loop."""
        key = self._conflate(msg)
        pending = self._pending
        if key is not None:
            if self._transport is None:
                self.stats.dropped += 1
                return
            place = self._places.get((to, key))
            if place is not None:
                pending[place] = (to, msg)
                self.stats.conflated += 1
                return
            self._places[(to, key)] = len(pending)
        elif self._transport is None and self._perished(msg):
            return
        elif len(pending) >= self._hard_limit:
            self.stats.refused += 1
            if self._on_overflow is not None:
                self._on_overflow(self.stats.refused)
            return
        pending.append((to, msg))
        if not self._scheduled and not self._paused and self._transport is not None and self._loop is not None:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _perished(self, msg: Any) -> bool:
        if self._perishable is None or not self._perishable(msg):
            return False
        self.stats.undelivered += 1
        if self._on_undelivered is not None:
            self._on_undelivered(msg)
        return True

    def _flush(self) -> None:
        self._scheduled = False
        while self._pending and self._transport is not None and not self._paused:
            batch = [item for item in self._pending[:_BATCH] if item is not None]
            if len(self._pending) <= _BATCH:
                self._pending.clear()
                self._places.clear()
            else:
                del self._pending[:_BATCH]
                self._places = {key: place - _BATCH for key, place in self._places.items() if place >= _BATCH}
            self._transport.write(self._codec.encode(batch))
            self.stats.frames += 1
            self.stats.sent += len(batch)

    async def _keep_connected(self) -> None:
        assert self._loop is not None
        attempt = 0
        while True:
            self._lost = asyncio.Event()
            try:
                await self._loop.create_unix_connection(lambda: _OutProtocol(self), str(self._path))
            except OSError:
                await asyncio.sleep(_RECONNECT_S[min(attempt, len(_RECONNECT_S) - 1)])
                attempt += 1
                continue
            attempt = 0
            self.stats.reconnects += 1
            await self._lost.wait()

    def opened(self, transport: asyncio.WriteTransport) -> None:
        """Called by the protocol: the socket is open, what waited may leave."""
        self._transport = transport
        self._paused = False
        if self._on_state is not None:
            self._on_state(True)
        self._flush()

    def closed(self) -> None:
        """Called by the protocol: the socket is gone; market data that waited is worthless now."""
        was_open = self._transport is not None
        self._transport = None
        if self._places:
            drop = set(self._places.values())
            self.stats.dropped += len(drop)
            self._pending = [item for i, item in enumerate(self._pending) if i not in drop]
            self._places.clear()
        self._pending = [item for item in self._pending if item is not None and not self._perished(item[1])]
        if self._lost is not None:
            self._lost.set()
        if was_open and self._on_state is not None:
            self._on_state(False)

    def pause(self, paused: bool) -> None:
        """Called by the protocol: the kernel's buffer is full, or drained again."""
        self._paused = paused
        if not paused:
            self._flush()

    async def close(self) -> None:
        """Flush what can be flushed and stop."""
        self._flush()
        self._on_state = None
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._transport is not None:
            self._transport.close()
            self._transport = None


class _OutProtocol(asyncio.Protocol):
    def __init__(self, link: LinkOut) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not registered with asyncio's base classes.
        writable = cast("asyncio.WriteTransport", transport)
        writable.set_write_buffer_limits(high=4 * 1024 * 1024)
        self._link.opened(writable)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.closed()

    def pause_writing(self) -> None:
        self._link.pause(True)

    def resume_writing(self) -> None:
        self._link.pause(False)


class LinkServer:
    """The receiving end of a cell: every peer connects here; ``deliver(to, message)`` gets what arrives, in order.

    A frame that does not decode closes that connection and is counted: it can only come from another version.
    """

    def __init__(self, path: Path, codec: LinkCodec, deliver: Callable[[str, Any], None]) -> None:
        self._path = path
        self._codec = codec
        self._deliver = deliver
        self._server: asyncio.AbstractServer | None = None
        self._open: set[asyncio.BaseTransport] = set()
        self.received = 0
        self.bad_frames = 0

    async def start(self) -> None:
        """Listen; a socket file left by a dead process is replaced."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _InProtocol(self), str(self._path))
        self._path.chmod(0o600)

    def feed(self, body: memoryview | bytes) -> bool:
        """Decode one frame and deliver it; False when it is not ours."""
        try:
            batch = self._codec.decode(body)
        except msgspec.MsgspecError:
            self.bad_frames += 1
            return False
        self.received += len(batch)
        deliver = self._deliver
        for to, msg in batch:
            deliver(to, msg)
        return True

    def track(self, transport: asyncio.BaseTransport, open_: bool) -> None:
        """Called by the protocol, so that `close` can end every connection."""
        if open_:
            self._open.add(transport)
        else:
            self._open.discard(transport)

    async def close(self) -> None:
        """Stop listening and end the connections."""
        if self._server is not None:
            self._server.close()
        for transport in list(self._open):
            transport.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # noqa: PTH108 - the path may be replaced while we close


class _InProtocol(asyncio.Protocol):
    def __init__(self, server: LinkServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._server.track(transport, True)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._server.track(self._transport, False)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        size = len(buffer)
        while size - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > _MAX_FRAME:
                self._server.bad_frames += 1
                self._close()
                return
            end = start + 4 + length
            if end > size:
                break
            if not self._server.feed(bytes(buffer[start + 4 : end])):
                self._close()
                return
            start = end
        if start:
            del buffer[:start]

    def _close(self) -> None:
        self._buffer.clear()
        if self._transport is not None:
            self._transport.close()
