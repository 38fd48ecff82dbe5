"""One account's way to one venue: signed requests and answers, the clock between us, limits, what may be sent.

Owns the HTTP session. Knows no orders: what commands mean is `adapters.orders.client`'s. Nothing is raised out of here
but `ForbiddenRequestError`, which is a bug of ours; what went wrong outside is an answer in words.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

import aiohttp
import msgspec
from yarl import URL

from adapters.clock import Clock
from adapters.limits.limiter import Limiter
from adapters.orders import sanitiser
from adapters.orders.dialect import OrderDialect
from adapters.orders.entry import EntryUnread
from adapters.orders.entry_road import EntryRoad
from adapters.orders.wire import (
    MS_NS,
    SECOND_NS,
    Ambiguous,
    AuthFailed,
    Credentials,
    HttpAnswer,
    Limited,
    Reply,
    SignedRequest,
    Signing,
    TimeQuery,
    Told,
    VenueTime,
    WireCommand,
    WireRequest,
)
from trading.limits.messages import Ask, Refusal, Refused

MAX_BODY_BYTES = 8 << 20
_TROUBLE = (aiohttp.ClientError, OSError, ValueError, RuntimeError)
_NO_CONNECTION = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_STEP_MS = 250
_SAID_BY_REPLIES = frozenset({401, 403, 418, 429})
"""Statuses that `Exchange.note` tells, with what the body adds to them."""


class ClockMoved(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's clock against ours; ``outside``: beyond the limit, so that nothing is placed."""

    offset_ms: int
    outside: bool


class Exchange:
    """Requests and answers. Call from one loop only."""

    def __init__(
        self,
        dialect: OrderDialect,
        credentials: Credentials,
        clock: Clock,
        limiter: Limiter,
        *,
        moved: Callable[[ClockMoved], None],
        offset_max_ms: int,
        connections_max: int,
        road: EntryRoad | None = None,
    ) -> None:
        """``limiter`` is the venue's one; ``moved`` hears of a clock that steps or leaves the limit.

        ``road`` takes orders by WebSocket when it can.
        """
        self.dialect = dialect
        self._limiter = limiter
        self._account = credentials.api_key[-6:]
        self.clock = clock
        self.credentials = credentials
        self._moved = moved
        self._offset_max_ms = offset_max_ms
        self._connections_max = connections_max
        self._session: aiohttp.ClientSession | None = None
        self.road = road
        self.offset_ms = 0
        self.outside = False
        self.locked = ""
        self.sent = 0
        self.timeouts = 0

    @property
    def session(self) -> aiohttp.ClientSession | None:
        """None before `start`."""
        return self._session

    def start(self) -> None:
        """Open the session, on the running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections_max, ttl_dns_cache=60),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "propdesk"},
            )

    def open_road(self) -> None:
        """Begin to connect for orders by WebSocket, where that is wanted."""
        if self.road is not None and self._session is not None:
            self.road.start(self._session, self._fetch, lambda: self.venue_ms)

    async def close(self) -> None:
        """End the session and what is on its way in it."""
        if self.road is not None:
            await self.road.close()
        if self._session is not None:
            await self._session.close()

    @property
    def venue_ms(self) -> int:
        """The venue's time as far as we know it, UTC ms."""
        return self.clock.wall_ns() // MS_NS + self.offset_ms

    # --- Questions that wait for their answer ----------------------------------------------------------

    async def ask(self, command: WireCommand) -> Reply:
        """One question about the account (keys, modes, time, listen keys), answered here and told to nobody else."""
        try:
            request = self.dialect.encode(command, self.clock.wall_ns() // MS_NS)
        except ValueError as trouble:
            return Ambiguous(f"not sent: {trouble}")
        refused = await self.admit(request, request.deadline_ms)
        if refused is not None:
            banned = refused.reason is Refusal.BANNED
            return Limited(retry_ns=refused.retry_ns, banned=banned, text=f"not sent: {words_of(refused)}")
        answer = await self.within(request)
        if isinstance(answer, str):
            return Ambiguous(answer)
        reply = self.dialect.decode_reply(command, answer)
        self.note(request, reply)
        return reply

    async def sync_clock(self) -> int | None:
        """Measure the venue's clock; the offset in ms, None when it did not answer."""
        began = self.clock.wall_ns()
        reply = await self.ask(TimeQuery(venue=self.dialect.venue))
        if not isinstance(reply, Told) or not isinstance(reply.fact, VenueTime):
            return None
        middle_ms = (began + self.clock.wall_ns()) // 2 // MS_NS
        offset = reply.fact.server_ms - middle_ms
        outside = abs(offset) > self._offset_max_ms
        if outside != self.outside or abs(offset - self.offset_ms) > _STEP_MS:
            self._moved(ClockMoved(offset_ms=offset, outside=outside))
        self.offset_ms, self.outside = offset, outside
        return offset

    # --- Limits ----------------------------------------------------------------------------------------

    async def admit(self, request: WireRequest, wait_ms: int) -> Refused | None:
        """Wait for room in the venue's limits, at most ``wait_ms``; None: it is counted and may go."""
        answer = await self._limiter.admit(self._ask_for(request, self.clock.mono_ns() + wait_ms * MS_NS))
        return answer if isinstance(answer, Refused) else None

    def mended(self) -> None:
        """A person says that the key is good again: whatever waited for that goes now, and shows whether it is."""
        self.locked = ""
        self._limiter.mended(self._account)

    def note(self, request: WireRequest, reply: Reply) -> None:
        """What a body says of limits and keys under any status."""
        if isinstance(reply, Limited):
            status = 418 if reply.banned else 429
            headers = {"Retry-After": str(-(-reply.retry_ns // SECOND_NS))} if reply.retry_ns else {}
            self._told(request, status, headers)
        elif isinstance(reply, AuthFailed):
            self._told(request, 401, {})
            self.locked = f"the venue refused our key: {reply.text}"

    def _told(
        self, request: WireRequest, status: int, headers: Mapping[str, str], unsent_ns: int | None = None
    ) -> None:
        ask = self._ask_for(request, self.clock.mono_ns())
        self._limiter.told(request.endpoint, status, headers, request=ask, unsent_ns=unsent_ns)

    def _ask_for(self, request: WireRequest, deadline_ns: int) -> Ask:
        return Ask(
            endpoint=request.endpoint,
            weight=request.weight,
            orders=request.orders,
            priority=request.priority,
            deadline_ns=deadline_ns,
            instrument=request.instrument,
            account=self._account,
            signed=request.signing is not Signing.NONE,
        )

    # --- HTTP ------------------------------------------------------------------------------------------

    async def within(self, request: WireRequest) -> HttpAnswer | str:
        """`send` within the request's deadline."""
        try:
            async with asyncio.timeout(request.deadline_ms / 1_000):
                return await self.send(request)
        except TimeoutError:
            self.timeouts += 1
            return f"no answer in {request.deadline_ms} ms"

    def allowed(self, request: WireRequest) -> SignedRequest:
        """Signed and on the venue's list; `ForbiddenRequestError` out of `submit` or `ask` is a bug of ours."""
        signed = self.dialect.sign(request, self.credentials, self.venue_ms)
        sanitiser.check(self.dialect.venue, self.dialect.endpoints, signed)
        return signed

    def closed_to(self, request: WireRequest) -> str:
        """Why a request may take no road now, or ""."""
        return "" if self.road is None else self.road.closed_to(request)

    async def send(self, request: WireRequest) -> HttpAnswer | str:
        """One request and its answer, or what went wrong in words, by the road that there is."""
        road = self.road
        if road is not None:
            if road.takes(request):
                outcome = await self._by_socket(road, request)
                if not isinstance(outcome, EntryUnread):
                    return outcome
            # The venue has not read it, or was not asked: the other road may have it.
            closed = road.closed_to(request)
            if closed:
                return closed
        return await self._post(request)

    async def _by_socket(self, road: EntryRoad, request: WireRequest) -> HttpAnswer | EntryUnread | str:
        self.sent += 1
        outcome = await road.send(request)
        if isinstance(outcome, EntryUnread):
            self.sent -= 1
        elif not isinstance(outcome, str) and outcome.status not in _SAID_BY_REPLIES:
            # A connection that was lost is the road's own to wait for: it says nothing of the endpoint over HTTP.
            self._told(request, outcome.status, outcome.headers)
        return outcome

    async def _fetch(self, request: WireRequest) -> HttpAnswer | str:
        """A question that frames of order entry depend on."""
        refused = await self.admit(request, request.deadline_ms)
        return words_of(refused) if refused is not None else await self.within(request)

    async def _post(self, request: WireRequest) -> HttpAnswer | str:
        """One request over HTTP. Only what is allowed passes."""
        if self._session is None:
            return "the client is not started"
        signed = self.allowed(request)
        self.sent += 1
        began_ns = self.clock.mono_ns()
        try:
            async with self._session.request(
                signed.method,
                URL(signed.url, encoded=True),
                data=signed.body or None,
                headers=signed.headers,
                allow_redirects=False,
            ) as response:
                body = await response.content.read(MAX_BODY_BYTES + 1)
                while len(body) <= MAX_BODY_BYTES and not response.content.at_eof():
                    body += await response.content.read(MAX_BODY_BYTES + 1 - len(body))
                headers = _lower(response.headers)
                answer = HttpAnswer(status=response.status, headers=headers, body=body, ts_ns=self.clock.wall_ns())
        except _TROUBLE as trouble:
            self._told(request, 0, {}, began_ns if isinstance(trouble, _NO_CONNECTION) else None)
            return f"{type(trouble).__name__}: {trouble}"[:200]
        if answer.status not in _SAID_BY_REPLIES:
            self._told(request, answer.status, answer.headers)
        return answer if len(body) <= MAX_BODY_BYTES else f"more than {MAX_BODY_BYTES} bytes"


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def jittered(backoff_ms: int) -> float:
    """Seconds to wait, so that several do not come back together."""
    return backoff_ms / 1_000 * random.uniform(0.8, 1.2)


def words_of(refused: Refused) -> str:
    """A refusal of our own limits in words."""
    return f"{refused.reason.value} {refused.pool}".strip()
