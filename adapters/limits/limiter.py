"""The rate-limit governor on an asyncio loop: whoever wants to send waits here for its turn.

Owns the turns: take the host's lock, learn what other processes spent, answer whoever can be answered, write it down.
Does not decide (that is `trading/limits`) and never raises for the outside's sake: a lock that somebody holds for too
long or a Redis that is gone leave this process to its own count, flagged, until they are back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec

from adapters.board_file import BoardBusyError, BoardDamagedError
from adapters.clock import Clock
from adapters.limits.host_file import HostFile
from adapters.limits.redis_share import RedisShare
from adapters.limits.words import heard
from trading.limits.governor import LimitGovernor
from trading.limits.messages import Ask, Go, LimitView, Priority, Refusal, Refused
from trading.limits.pauses import VENUE
from trading.limits.spec import MS_NS, Policy, VenueLimits
from trading.limits.waiting import Ticket, WaitingRoom

_LOCK_AGAIN_NS: Final = MS_NS
_LOCK_WAIT_NS: Final = 50 * MS_NS
"""A holder needs a fraction of a millisecond; one that has it for so long was stopped, and its lock is not ours."""
_UNSHARED_MAX: Final = 4096
_PENDING_MAX: Final = 4096


class LimiterView(msgspec.Struct, frozen=True, kw_only=True):
    """The Rate-Limit Monitor's panel of one venue: the governor's view, and how it is shared.

    ``shared``: ``redis`` between hosts, ``host`` between the processes of this one, ``alone``. ``flags`` say what is
    not as configured. ``waiting`` counts the queue by priority.
    """

    limits: LimitView
    shared: str
    flags: tuple[str, ...]
    waiting: dict[str, int]
    lock_busy: int
    redis_failures: int


class Limiter:
    """The one front of one venue's limits in a process. Call it from one loop only; `close` it at the end."""

    def __init__(
        self,
        spec: VenueLimits,
        clock: Clock,
        *,
        policy: Policy | None = None,
        seed: int = 0,
        queue_max: int = 256,
        file: HostFile | None = None,
        redis: RedisShare | None = None,
    ) -> None:
        self.spec = spec
        self._clock = clock
        self._governor = LimitGovernor(spec, policy, seed=seed)
        self._room = WaitingRoom(queue_max)
        self._file = file
        self._redis = redis
        self._futures: dict[Ticket, asyncio.Future[Go | Refused]] = {}
        self._pending: deque[Callable[[], None]] = deque(maxlen=_PENDING_MAX)
        self._unshared: deque[Callable[[], None]] = deque(maxlen=_UNSHARED_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._busy_since_ns = 0
        self._busy = 0
        self._alone = False
        self._file_trouble = ""
        self._closed = False

    # --- For callers -----------------------------------------------------------------------------------

    async def admit(self, request: Ask) -> Go | Refused:
        """Wait for the turn of ``request``; `Go`: it is counted, send it now. Cancelling gives the place up."""
        if self._closed:
            return Refused(reason=Refusal.CLOSED, pool="")
        ticket = self._room.enter(request, self._clock.mono_ns())
        if ticket.answer is not None:
            return ticket.answer
        future: asyncio.Future[Go | Refused] = asyncio.get_running_loop().create_future()
        self._futures[ticket] = future
        if self._room.first_in_lane(ticket):
            self._turn()
        else:
            self._come_at(request.deadline_ns + 1)
        try:
            return await future
        except asyncio.CancelledError:
            self._given_up(request, future)
            raise

    def told(
        self,
        endpoint: str,
        status: int,
        headers: Mapping[str, str],
        *,
        body: bytes = b"",
        request: Ask | None = None,
        unsent_ns: int | None = None,
    ) -> None:
        """The venue answered (``status`` 0: it did not): its counts and pauses hold for all from now on.

        ``unsent_ns``: the request was to go then, by the monotonic clock, and there was no connection to go by.
        """
        status, retry_ns = heard(self.spec.venue, status, headers, body, self._clock.wall_ns())
        kept = dict(headers)

        def apply() -> None:
            now = self._clock.mono_ns()
            self._governor.told(endpoint, status, kept, now, request=request, retry_ns=retry_ns, unsent_ns=unsent_ns)
            pause = self._governor.state.pauses.get(VENUE)
            if pause is not None and pause.until_ns > now and status >= 400 and self._redis is not None:
                self._start(self._redis.pause(pause.until_ns - now))

        self._pending.append(apply)
        self._turn()

    def mended(self, account: str) -> None:
        """A person says that the key of ``account`` is good again: what waits for it may go, in all of the host."""
        self._pending.append(lambda: self._governor.mended(account, self._clock.mono_ns()))
        self._turn()

    def view(self) -> LimiterView:
        """As it is now."""
        self._turn()
        redis, flags = self._redis, []
        if self._alone:
            why = self._file_trouble or "another process keeps its lock"
            flags.append(f"the host's file cannot be used, this process counts alone: {why}")
        if redis is not None and (redis.trouble or not redis.up):
            flags.append(f"Redis is not there, the host's file counts: {redis.trouble}")
        shared = "alone" if self._file is None or self._alone else "host"
        if redis is not None and redis.up and not redis.trouble:
            shared = "redis"
        return LimiterView(
            limits=self._governor.view(self._clock.mono_ns()),
            shared=shared,
            flags=tuple(flags),
            waiting={priority.name.lower(): self._room.waiting(priority) for priority in Priority},
            lock_busy=self._busy,
            redis_failures=redis.failures if redis is not None else 0,
        )

    async def close(self) -> None:
        """Refuse whoever waits and let go of file and Redis."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for ticket in self._room.close():
            self._deliver(ticket)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for future in self._futures.values():
            if not future.done():
                future.set_result(Refused(reason=Refusal.CLOSED, pool=""))
        self._futures.clear()
        if self._redis is not None:
            await self._redis.close()
        if self._file is not None:
            self._file.close()

    # --- Turns -----------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Apply what was told and answer whoever can be answered, under the host's lock."""
        if self._closed:
            return
        file = self._file
        if file is None or not self._in_common(file):
            self._delivered(self._asked())

    def _in_common(self, file: HostFile) -> bool:
        """A turn under the host's lock, or none because the lock is not free; false: go on alone."""
        now = self._clock.mono_ns()
        try:
            if not file.lock():
                self._busy += 1
                self._busy_since_ns = self._busy_since_ns or now
                self._alone = now - self._busy_since_ns >= _LOCK_WAIT_NS
                self._come_at(now + _LOCK_AGAIN_NS)
                return not self._alone
            try:
                if self._alone:
                    file.forget()
                self._busy_since_ns, self._alone = 0, False
                file.load(self._governor)
                while self._unshared:
                    self._unshared.popleft()()
                answered = self._asked()
                file.save(self._governor)
            finally:
                file.unlock()
        except (OSError, BoardDamagedError, BoardBusyError) as trouble:
            self._alone, self._file_trouble = True, f"{type(trouble).__name__}: {trouble}"[:200]
            return False
        self._file_trouble = ""
        self._delivered(answered)
        return True

    def _asked(self) -> list[Ticket]:
        while self._pending:
            work = self._pending.popleft()
            work()
            if self._alone:
                self._unshared.append(work)
        answered, again = self._room.pump(self._governor, self._clock.mono_ns())
        if self._alone:
            self._unshared.extend(self._spend(ticket.request) for ticket in answered if isinstance(ticket.answer, Go))
        if again is not None:
            self._come_at(again)
        return answered

    def _spend(self, request: Ask) -> Callable[[], None]:
        return lambda: self._governor.count(request, self._clock.mono_ns())

    def _delivered(self, answered: list[Ticket]) -> None:
        """Hand the answers out; where hosts count together, a `Go` for anything but a cancel is asked there first."""
        redis = self._redis
        for ticket in answered:
            if redis is None or not redis.up or not isinstance(ticket.answer, Go):
                self._deliver(ticket)
            elif ticket.request.priority is Priority.CANCEL:
                self._deliver(ticket)
                self._start(redis.note(self._governor.demand(ticket.request, self._clock.mono_ns())))
            else:
                self._start(self._confirm(redis, ticket, ticket.answer))

    async def _confirm(self, redis: RedisShare, ticket: Ticket, go: Go) -> None:
        verdict = await redis.take(self._governor.demand(ticket.request, self._clock.mono_ns()))
        if verdict is None or verdict.wait_ns <= 0:
            self._deliver(ticket)
            return
        request = ticket.request
        self._pending.append(lambda: self._governor.give_back(request, go.at_ns, self._clock.mono_ns()))
        future = self._futures.pop(ticket, None)
        if future is not None and not future.done():
            until = self._clock.mono_ns() + verdict.wait_ns
            again = self._room.hold(ticket, until, (verdict.pool,) if verdict.pool else ())
            self._futures[again] = future
        self._turn()

    def _deliver(self, ticket: Ticket) -> None:
        future = self._futures.pop(ticket, None)
        if future is None or future.done():
            if isinstance(ticket.answer, Go):  # given up in the meantime: it will not be sent
                self._give_back(ticket.request, ticket.answer)
        elif ticket.answer is not None:
            future.set_result(ticket.answer)

    def _given_up(self, request: Ask, future: asyncio.Future[Go | Refused]) -> None:
        for ticket, waiting in self._futures.items():
            if waiting is future:
                self._room.leave(ticket)
                if ticket.answer is None:
                    del self._futures[ticket]
                break
        else:
            if future.done() and not future.cancelled() and isinstance(answer := future.result(), Go):
                self._give_back(request, answer)
        self._come_at(self._clock.mono_ns())

    def _give_back(self, request: Ask, go: Go) -> None:
        self._pending.append(lambda: self._governor.give_back(request, go.at_ns, self._clock.mono_ns()))
        self._come_at(self._clock.mono_ns())

    # --- Loop ------------------------------------------------------------------------------------------

    def _come_at(self, at_ns: int) -> None:
        """Have a turn at ``at_ns`` or earlier."""
        if self._closed or (self._timer is not None and self._timer_ns <= at_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = at_ns
        delay = max(0, at_ns - self._clock.mono_ns()) / 1e9
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._turn()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
