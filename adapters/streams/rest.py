"""REST of one venue, for market data: deadlines, the venue's weights, 429 and 418, and a queue that refuses.

Asks with GET only and signs nothing. Nothing is raised out of `RestClient.fetch`: what went wrong is a `RestFailure`.
Rules of Binance ("LIMITS", binance-spot-api-docs/rest-api.md, read 2026-11), which the others are stricter or equal
to: 429 says stop until ``Retry-After``, who goes on is banned with 418; the used weight is in a header and counts every
process behind the same address. OKX answers 429 with code 50011 and no ``Retry-After``; Bybit answers 403 for ten
minutes ("Rate limit", bybit-exchange.github.io/docs/v5/rate-limit, read 2026-11).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from enum import Enum

import aiohttp
import msgspec

from adapters.clock import Clock
from adapters.streams.dialects.base import RestPool, RestRequest
from adapters.streams.topics import MS_NS, SECOND_NS

MAX_BODY_BYTES = 32 << 20
_TROUBLE = (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError)
_FREEZE_NS = {429: 10 * SECOND_NS, 418: 120 * SECOND_NS, 403: 600 * SECOND_NS}
_FREEZE_MAX_NS = 3 * 24 * 3600 * SECOND_NS
_OTHERS_MAX = 0.9


class RestFault(Enum):
    """Why there is no reply. REFUSED: the venue says that the request is wrong, and would say so again."""

    QUEUE_FULL = "queue_full"
    NO_WEIGHT = "no_weight"
    LIMITED = "limited"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    CLOSED = "closed"


class RestReply(msgspec.Struct, frozen=True, kw_only=True):
    """A body, and our clocks around it (UTC ns)."""

    request: RestRequest
    body: bytes
    sent_ns: int
    recv_ns: int


class RestFailure(msgspec.Struct, frozen=True, kw_only=True):
    """No reply. ``retry_ns``: before that much time has passed asking again is pointless; 0: nothing is known."""

    request: RestRequest
    fault: RestFault
    reason: str
    retry_ns: int = 0


class RestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``deadline_ns`` is for one request with its retries and its waiting; ``queue_max`` counts who waits."""

    deadline_ns: int = 10 * SECOND_NS
    attempt_ns: int = 4 * SECOND_NS
    tries: int = 3
    retry_min_ns: int = 100 * MS_NS
    retry_max_ns: int = 2 * SECOND_NS
    queue_max: int = 100
    at_once: int = 8


class RestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """For operators. ``used`` is weight by pool within its window."""

    requests: int
    replies: int
    failures: int
    limited: int
    refused_full: int
    waiting: int
    frozen_ms: float
    used: dict[str, int]


class _Pool:
    """What was spent of one limit in its sliding window."""

    __slots__ = ("allowed", "others_until_ns", "spec", "spent", "used")

    def __init__(self, spec: RestPool) -> None:
        self.spec = spec
        self.allowed = max(1, int(spec.weight * spec.share))
        self.spent: deque[tuple[int, int]] = deque()
        self.used = 0
        self.others_until_ns = 0

    def wait_ns(self, weight: int, now_ns: int) -> int:
        """How long until ``weight`` may be spent; 0 is now."""
        self._expire(now_ns)
        wait = max(0, self.others_until_ns - now_ns)
        # A request that is dearer than the whole share is let through alone.
        over = self.used + min(weight, self.allowed) - self.allowed
        for at_ns, spent in self.spent:
            if over <= 0:
                break
            over -= spent
            wait = max(wait, at_ns + self.spec.window_ns - now_ns)
        return wait

    def spend(self, weight: int, now_ns: int) -> None:
        self.spent.append((now_ns, weight))
        self.used += weight

    def told(self, used: str, now_ns: int) -> None:
        """The venue's own count: when all behind our address are near the limit, wait for the window's end."""
        if used.isascii() and used.isdigit() and len(used) < 10 and int(used) >= self.spec.weight * _OTHERS_MAX:
            self.others_until_ns = now_ns + self.spec.window_ns

    def _expire(self, now_ns: int) -> None:
        while self.spent and now_ns - self.spent[0][0] >= self.spec.window_ns:
            self.used -= self.spent.popleft()[1]


class RestClient:
    """All GETs of one feed. Call from one loop only."""

    def __init__(
        self,
        pools: tuple[RestPool, ...],
        session: aiohttp.ClientSession,
        clock: Clock,
        limits: RestLimits | None = None,
    ) -> None:
        self.limits = limits or RestLimits()
        self._pools = {pool.name: _Pool(pool) for pool in pools}
        self._session = session
        self._clock = clock
        self._gate = asyncio.Semaphore(self.limits.at_once)
        self._frozen_ns = 0
        self._strikes = 0
        self._waiting = 0
        self._requests = self._replies = self._failures = self._limited = self._refused_full = 0

    async def fetch(self, request: RestRequest) -> RestReply | RestFailure:
        """One GET, within the deadline."""
        self._requests += 1
        if self._waiting >= self.limits.queue_max:
            self._refused_full += 1
            return self._failed(request, RestFault.QUEUE_FULL, f"{self._waiting} requests wait already")
        self._waiting += 1
        try:
            deadline = self._clock.mono_ns() + self.limits.deadline_ns
            outcome = await self._tries(request, deadline)
        finally:
            self._waiting -= 1
        if isinstance(outcome, RestReply):
            self._replies += 1
        return outcome

    def status(self) -> RestStatus:
        """As it is now."""
        now = self._clock.mono_ns()
        for pool in self._pools.values():
            pool.wait_ns(0, now)
        return RestStatus(
            requests=self._requests,
            replies=self._replies,
            failures=self._failures,
            limited=self._limited,
            refused_full=self._refused_full,
            waiting=self._waiting,
            frozen_ms=max(0, self._frozen_ns - now) / MS_NS,
            used={name: pool.used for name, pool in self._pools.items()},
        )

    # --- One request -----------------------------------------------------------------------------------

    async def _tries(self, request: RestRequest, deadline: int) -> RestReply | RestFailure:
        limits = self.limits
        delay = limits.retry_min_ns
        for attempt in range(1, limits.tries + 1):
            refused = await self._admitted(request, deadline)
            if refused is not None:
                return refused
            outcome = await self._attempt(request, min(limits.attempt_ns, deadline - self._clock.mono_ns()))
            if isinstance(outcome, RestReply) or outcome.fault not in {RestFault.UNAVAILABLE, RestFault.TIMED_OUT}:
                return outcome
            pause = random.randint(delay // 2, delay)
            if attempt == limits.tries or self._clock.mono_ns() + pause >= deadline:
                return outcome
            await asyncio.sleep(pause / 1e9)
            delay = min(delay * 2, limits.retry_max_ns)
        raise AssertionError("a request has at least one try")

    async def _admitted(self, request: RestRequest, deadline: int) -> RestFailure | None:
        """Wait for weight, and spend it; a failure when it does not come in time."""
        pool = self._pools.get(request.pool)
        while True:
            now = self._clock.mono_ns()
            frozen = self._frozen_ns - now
            if frozen > 0:
                return self._failed(request, RestFault.LIMITED, "the venue's limit was hit", frozen)
            wait = pool.wait_ns(request.weight, now) if pool is not None else 0
            if not wait:
                if pool is not None:
                    pool.spend(request.weight, now)
                return None
            if now + wait >= deadline:
                return self._failed(request, RestFault.NO_WEIGHT, f"our share of {request.pool} is spent", wait)
            await asyncio.sleep(wait / 1e9)

    async def _attempt(self, request: RestRequest, timeout_ns: int) -> RestReply | RestFailure:
        try:
            async with asyncio.timeout(max(0.001, timeout_ns / 1e9)), self._gate:
                sent = self._clock.wall_ns()
                async with self._session.get(request.url, allow_redirects=False) as response:
                    body = await _whole(response)
                    received = self._clock.wall_ns()
                    return self._answered(request, response, body, sent, received)
        except TimeoutError:
            return self._failed(request, RestFault.TIMED_OUT, f"no reply in {timeout_ns // MS_NS} ms")
        except _TROUBLE as trouble:
            return self._failed(request, RestFault.UNAVAILABLE, f"{type(trouble).__name__}: {trouble}"[:200])

    def _answered(
        self, request: RestRequest, response: aiohttp.ClientResponse, body: bytes, sent: int, received: int
    ) -> RestReply | RestFailure:
        status, now = response.status, self._clock.mono_ns()
        pool = self._pools.get(request.pool)
        if pool is not None and pool.spec.used_header:
            pool.told(response.headers.get(pool.spec.used_header, ""), now)
        if status == 200:
            if len(body) > MAX_BODY_BYTES:
                return self._failed(request, RestFault.TOO_LARGE, f"more than {MAX_BODY_BYTES} bytes")
            self._strikes = 0
            return RestReply(request=request, body=body, sent_ns=sent, recv_ns=received)
        said = body[:160].decode("utf-8", "replace")
        if status in _FREEZE_NS:
            wait = self._freeze(status, response.headers.get("Retry-After", ""), now)
            return self._failed(request, RestFault.LIMITED, f"HTTP {status} {said}", wait)
        fault = RestFault.UNAVAILABLE if status >= 500 else RestFault.REFUSED
        return self._failed(request, fault, f"HTTP {status} {said}")

    def _freeze(self, status: int, retry_after: str, now: int) -> int:
        """Stop asking; each further offence without a word of the venue doubles the time."""
        self._limited += 1
        if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8:
            wait = int(retry_after) * SECOND_NS
        else:
            wait = _FREEZE_NS[status] << min(self._strikes, 6)
        self._strikes += 1
        wait = min(max(wait, SECOND_NS // 2), _FREEZE_MAX_NS)
        self._frozen_ns = max(self._frozen_ns, now + wait)
        return self._frozen_ns - now

    def _failed(self, request: RestRequest, fault: RestFault, reason: str, retry_ns: int = 0) -> RestFailure:
        self._failures += 1
        return RestFailure(request=request, fault=fault, reason=reason, retry_ns=retry_ns)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """The body, or a little more than its limit."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(1 << 16):
        parts.append(part)
        size += len(part)
        if size > MAX_BODY_BYTES:
            break
    return b"".join(parts)
