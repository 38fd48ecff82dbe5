"""HTTP requests of one simulated venue, through the faults that act on them: market data, then orders and account.

Owns when and whether an answer leaves. What it says is the dialect's and the trading side's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from adapters.simserver.dialect import RestHandler, RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.faults import RestError, RestSlow, RestStatus
from adapters.simserver.order_faults import AcceptThen, AckDelay, BadBody
from adapters.simserver.trading.wire import MalformedError, TradeHandler, TradeReply, TradeRequest

HTML = b"<html><head><title>504 Gateway Time-out</title></head><body></body></html>"


class Refusing(Protocol):
    """How a venue refuses: what this side needs of its dialect."""

    def refusal(self, status: int) -> bytes:
        """The body of an HTTP error."""
        ...

    def error(self) -> RestRefused:
        """A failure inside the venue, in its own words."""
        ...


class Hiding(Protocol):
    """What this side needs of the venue's orders."""

    def unknown_outcome(self) -> tuple[int, bytes]:
        """Status and body in which the venue says that it does not know what became of a request."""
        ...

    def take_hold_ms(self) -> int:
        """How long the answer of the request just served has to wait (ms)."""
        ...


def answer(
    status: int, body: bytes, retry_after_s: int | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A reply as every venue frames it."""
    sent = dict(headers or {})
    if retry_after_s is not None:
        sent["Retry-After"] = str(retry_after_s)
    return web.Response(status=status, body=body, content_type="application/json", headers=sent)


class RestSide:
    """The routes of one server. ``down`` says whether the venue answers nothing at all now."""

    def __init__(self, dialect: Refusing, trading: Hiding, faults: Faults, down: Callable[[], bool]) -> None:
        self.requests = 0
        self._dialect = dialect
        self._trading = trading
        self._faults = faults
        self._down = down

    def market_route(self, path: str, handler: RestHandler) -> Any:
        """An aiohttp handler for a public path."""

        async def served(request: web.Request) -> web.Response:
            refused = await self._before(path)
            if refused is not None:
                return refused
            try:
                if self._faults.take(RestError, path) is not None:
                    raise self._dialect.error()
                return answer(200, handler(request.query))
            except RestRefused as refusal:
                return answer(refusal.status, refusal.body)
            except ValueError:  # a parameter that is not a number
                return answer(400, self._dialect.refusal(400))

        return served

    def trade_route(self, path: str, handler: TradeHandler) -> Any:
        """An aiohttp handler for a signed path: what it does is done before any fault hides it."""

        async def served(request: web.Request) -> web.StreamResponse:
            refused = await self._before(path)
            if refused is not None:
                return refused
            asked = TradeRequest(
                method=request.method,
                path=path,
                target=request.raw_path,
                body=await request.read(),
                headers=request.headers,
            )
            try:
                if self._faults.take(RestError, path) is not None:
                    raise self._dialect.error()
                reply = handler(asked)
            except RestRefused as refusal:
                return answer(refusal.status, refusal.body, headers=refusal.headers)
            except MalformedError:
                return answer(400, self._dialect.refusal(400))
            hold_ms = self._trading.take_hold_ms()
            if hold_ms:
                await asyncio.sleep(hold_ms / 1e3)
            return await self._after(request, path, reply)

        return served

    async def _before(self, path: str) -> web.Response | None:
        """What happens to a request before anybody reads it."""
        self.requests += 1
        slow = self._faults.take(RestSlow, path)
        if slow is not None:
            await asyncio.sleep(slow.delay_ms / 1e3)
        fault = self._faults.take(RestStatus, path)
        if fault is not None:
            return answer(fault.status, self._dialect.refusal(fault.status), fault.retry_after_s)
        return answer(503, self._dialect.refusal(503)) if self._down() else None

    async def _after(self, request: web.Request, path: str, reply: TradeReply) -> web.StreamResponse:
        """What happens to an answer after the account has changed."""
        if reply.accepted:
            delay = self._faults.take(AckDelay, path)
            if delay is not None:
                await asyncio.sleep(delay.delay_ms / 1e3)
            hidden = self._faults.take(AcceptThen, path)
            if hidden is not None:
                return await self._hide(request, hidden)
        bad = self._faults.take(BadBody, path)
        if bad is not None:
            half = reply.body[: len(reply.body) // 2]
            bodies = {"empty": b"", "null": b"null", "truncated": half, "html": HTML}
            return answer(200, bodies[bad.body], headers=reply.headers)
        return answer(reply.status, reply.body, headers=reply.headers)

    async def _hide(self, request: web.Request, hidden: AcceptThen) -> web.StreamResponse:
        match hidden.outcome:
            case "status":
                # What a venue says of a status by itself may be that nothing was done; here something was.
                return answer(hidden.status, self._trading.unknown_outcome()[1])
            case "unknown":
                status, body = self._trading.unknown_outcome()
                return answer(status, body)
            case "timeout":
                await asyncio.sleep(hidden.hold_ms / 1e3)
            case "drop":
                pass
        if request.transport is not None:
            request.transport.abort()
        return answer(504, b"")
