"""Orders that come over a WebSocket, through the faults that act on the same requests over HTTP.

Owns when and whether an answer leaves, as `rest_side` does. Knobs whose ``topics`` name a path act on both; ``ws:`` and
the path names the WebSocket alone. What is said is the trading side's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from adapters.simserver.connection import DROPPED, Connection, Life
from adapters.simserver.dialect import RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.faults import RestError, RestSlow, RestStatus
from adapters.simserver.knob import Knob
from adapters.simserver.order_faults import AcceptThen, AckDelay, BadBody
from adapters.simserver.rest_side import HTML, Hiding, Refusing
from adapters.simserver.trading.wire import MalformedError, SocketAsk, TradeReply

DROP_S = 0.05
"""What came on a connection so shortly before it drops is read all the same."""
K = TypeVar("K", bound=Knob)


class SocketSide:
    """The order frames of one server. ``down`` says whether the venue answers nothing at all now."""

    def __init__(self, dialect: Refusing, trading: Hiding, faults: Faults, down: Callable[[], bool]) -> None:
        self.requests = 0
        self._dialect = dialect
        self._trading = trading
        self._faults = faults
        self._down = down

    def serve(self, connection: Connection, ask: SocketAsk) -> None:
        """Do what a frame asks for, and answer; at once where no fault delays it."""
        self.requests += 1
        slow = self._take(RestSlow, connection, ask)
        if slow is None:
            self._do(connection, ask)
        else:
            asyncio.get_running_loop().call_later(slow.delay_ms / 1e3, self._do, connection, ask)

    def _take(self, kind: type[K], connection: Connection, ask: SocketAsk) -> K | None:
        path, number = ask.request.path, connection.id
        return self._faults.take(kind, f"ws:{path}", number) or self._faults.take(kind, path, number)

    def _do(self, connection: Connection, ask: SocketAsk) -> None:
        if connection.life is not Life.OPEN:
            return
        fault = self._take(RestStatus, connection, ask)
        if fault is not None:
            headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            connection.push(ask.frame(fault.status, self._dialect.refusal(fault.status), headers))
            return
        try:
            if self._down():
                raise RestRefused(503, self._dialect.refusal(503))
            if self._take(RestError, connection, ask) is not None:
                raise self._dialect.error()
            reply = ask.handler(ask.request)
        except RestRefused as refusal:
            connection.push(ask.frame(refusal.status, refusal.body, refusal.headers))
            return
        except MalformedError:
            connection.push(ask.frame(400, self._dialect.refusal(400), {}))
            return
        self._answer(connection, ask, reply, self._trading.take_hold_ms())

    def _answer(self, connection: Connection, ask: SocketAsk, reply: TradeReply, delay_ms: int) -> None:
        """What happens to an answer after the account has changed."""
        frame = ask.frame(reply.status, reply.body, reply.headers)
        if reply.accepted:
            late = self._take(AckDelay, connection, ask)
            delay_ms += 0 if late is None else late.delay_ms
            hidden = self._take(AcceptThen, connection, ask)
            if hidden is not None:
                match hidden.outcome:
                    case "status":
                        frame = ask.frame(hidden.status, self._trading.unknown_outcome()[1], {})
                    case "unknown":
                        frame = ask.frame(*self._trading.unknown_outcome(), {})
                    case "timeout":
                        return  # others on this connection are answered
                    case "drop":
                        asyncio.get_running_loop().call_later(DROP_S, connection.end, DROPPED)
                        return
        bad = self._take(BadBody, connection, ask)
        if bad is not None:
            bodies = {"empty": b"{}", "null": b"null", "truncated": frame[: len(frame) // 2], "html": HTML}
            frame = bodies[bad.body]
        if delay_ms:
            asyncio.get_running_loop().call_later(delay_ms / 1e3, connection.push, frame)
        else:
            connection.push(frame)
