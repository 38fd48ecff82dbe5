"""Commands to a venue, by WebSocket or REST: one task each, a deadline each, and every outcome told, late ones too.

Carries, and decides nothing about orders. A placement is sent once; it is sent again, with the same client id, only
when the venue said that it did not read it. What was not answered in time stays open until its answer or the end of
the connection comes: a late answer is evidence. Nothing is raised out of here but `ForbiddenRequestError`, which is a
bug of ours.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence

import msgspec

from adapters.clock import Clock
from adapters.limits.limiter import Limiter
from adapters.orders.account import AccountCursor, Reading, Unreadable
from adapters.orders.account_reader import AccountReader
from adapters.orders.dialect import BatchCommand, OrderDialect
from adapters.orders.entry_road import EntryChanged, EntryRoad
from adapters.orders.exchange import ClockMoved, Exchange, jittered, words_of
from adapters.orders.waiting import Tasks, end
from adapters.orders.wire import (
    ALWAYS_ALLOWED,
    ENTRIES,
    MS_NS,
    SECOND_NS,
    Ambiguous,
    ClockSkewed,
    Credentials,
    HttpAnswer,
    Limited,
    Reply,
    WireCommand,
    WireKind,
    WireRequest,
)
from trading.orders.messages import ExecutionReport, NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest

_KNOWN_MAX = 20_000


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``in_flight_max`` counts commands whose answer has not come, ``reserve`` of it is for cancels and settings.

    ``queue_ms`` is how long an order waits for room in the venue's limits, ``linger_ms`` how long a late answer is
    still waited for. ``backoff_ms`` is before the second and later tries. ``offset_max_ms``: farther than that from the
    venue's clock nothing is placed. ``amend_in_place``: whoever commands follows orders that keep their client order id
    when they are amended; without that such amendments are refused, and the desk replaces by cancel and new order.
    """

    in_flight_max: int = 64
    reserve: int = 16
    queue_ms: int = 100
    linger_ms: int = 10_000
    backoff_ms: tuple[int, ...] = (50, 150, 300)
    offset_max_ms: int = 2_000
    amend_in_place: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What one try of a command came to. ``final`` is False while the client goes on trying by itself.

    ``late``: it came after the deadline, when the desk had been told that nothing is known. Times are UTC ns.
    """

    command: WireCommand
    reply: Reply
    attempt: int
    final: bool
    late: bool
    sent_ns: int
    recv_ns: int


class NotSent(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing of this command reached the venue, and nothing will. ``retry_ns`` from now on it may be tried again.

    ``duplicate``: a placement with this client order id was sent before, and that one stands: this is no denial of it.
    """

    command: WireCommand
    reason: str
    retry_ns: int = 0
    duplicate: bool = False


ClientItem = Outcome | NotSent | ClockMoved | EntryChanged


class ClientStatus(msgspec.Struct, frozen=True, kw_only=True):
    """For operators. ``locked`` says why nothing is placed, "" while it is.

    ``route`` is the road that orders take now and ``route_reason`` why, ``failovers`` how often one in use was left,
    ``by_socket`` how many requests the WebSocket took.
    """

    venue: str
    in_flight: int
    sent: int
    timeouts: int
    late: int
    repeats: int
    not_sent: int
    offset_ms: int
    locked: str
    faults: tuple[str, ...]
    route: str = "rest"
    route_reason: str = ""
    failovers: int = 0
    by_socket: int = 0


class OrderClient:
    """REST of one account at one venue. Call from one loop only."""

    def __init__(
        self,
        dialect: OrderDialect,
        credentials: Credentials,
        clock: Clock,
        limiter: Limiter,
        *,
        put: Callable[[ClientItem], None],
        limits: ClientLimits | None = None,
        barred: Callable[[WireCommand], str] | None = None,
        road: EntryRoad | None = None,
    ) -> None:
        """``limiter`` is the process's one for this venue; ``put`` takes every outcome, in the loop's turn.

        ``road`` takes orders by WebSocket once `open_road` was called; without one all goes by REST.

        ``barred`` says why an order may not leave any more, or "": it is asked just before each try, because an order
        that waited for room in the venue's limits passed the desk's gate some time ago.
        """
        self.dialect = dialect
        self.limits = limits or ClientLimits()
        self._exchange = Exchange(
            dialect,
            credentials,
            clock,
            limiter,
            moved=put,
            offset_max_ms=self.limits.offset_max_ms,
            connections_max=self.limits.in_flight_max + 8,
            road=road,
        )
        self.reader = AccountReader(self._exchange, self.limits.backoff_ms)
        self._clock = clock
        self._put = put
        self._bars = barred
        self._tasks = Tasks()
        self.faults = self._tasks.faults
        self._flights: set[asyncio.Task[HttpAnswer | str]] = set()
        self._placed: OrderedDict[str, None] = OrderedDict()
        self._in_flight = 0
        self._late = self._repeats = self._not_sent = 0

    # --- Outside ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the session, on the running loop."""
        self._exchange.start()

    def open_road(self) -> None:
        """Clock and key are right: connect for orders by WebSocket too, where that is wanted."""
        self._exchange.open_road()

    async def close(self) -> None:
        """End all tasks and the session. What is in flight stays unknown, as it is."""
        await self._tasks.close()
        await end(self._flights)
        await self._exchange.close()

    def submit(self, command: WireCommand) -> NotSent | None:
        """Send a command in a task of its own; None, or at once why it will not be sent (told by ``put`` too)."""
        try:
            request = self.dialect.encode(command, self._clock.wall_ns() // MS_NS)
        except ValueError as trouble:
            return self._turn_away(command, str(trouble))
        self._exchange.allowed(request)
        refusal = self._refusal(command, request)
        if refusal is None:
            self._remember(command)
            self._in_flight += 1
            self._spawn(self._carry(command, request))
        return refusal

    def submit_batch(self, commands: Sequence[BatchCommand]) -> list[NotSent]:
        """The same for several: together where the venue takes them so, else one by one."""
        refused: list[NotSent] = []
        for group in _groups(commands, self.dialect.batch_limit):
            if len(group) > 1 and self._submit_group(group):
                continue
            refused += [refusal for command in group if (refusal := self.submit(command)) is not None]
        return refused

    def unlock(self) -> None:
        """A person has mended the key: place again."""
        self._exchange.mended()
        if self._exchange.road is not None:
            self._exchange.road.try_again()

    async def ask(self, command: WireCommand) -> Reply:
        """A question about the account (keys, modes, time, listen keys), answered here and told to nobody else."""
        return await self._exchange.ask(command)

    async def sync_clock(self) -> int | None:
        """Measure the venue's clock; the offset in ms, None when it did not answer."""
        return await self._exchange.sync_clock()

    async def read_account(self, cursor: AccountCursor, cause: str) -> Reading | Unreadable:
        """The whole account, page by page; `Unreadable` for anything that is not all of it."""
        return await self.reader.read(cursor, cause)

    @property
    def venue_ms(self) -> int:
        """The venue's time as far as we know it, UTC ms."""
        return self._exchange.venue_ms

    def status(self) -> ClientStatus:
        """As it is now."""
        road = self._exchange.road
        faults = [*self.faults, *(() if road is None else road.faults)]
        return ClientStatus(
            venue=self.dialect.venue,
            in_flight=self._in_flight,
            sent=self._exchange.sent,
            timeouts=self._exchange.timeouts,
            late=self._late,
            repeats=self._repeats,
            not_sent=self._not_sent,
            offset_ms=self._exchange.offset_ms,
            locked=self._exchange.locked,
            faults=tuple(repr(fault)[:200] for fault in faults[-10:]),
            route="rest" if road is None else road.route.value,
            route_reason="" if road is None else road.reason,
            failovers=0 if road is None else road.counters.failovers,
            by_socket=0 if road is None else road.counters.by_socket,
        )

    # --- One command -----------------------------------------------------------------------------------

    def _refusal(self, command: WireCommand, request: WireRequest) -> NotSent | None:
        urgent = request.kind in ALWAYS_ALLOWED
        if isinstance(command, NewOrderSingle | OrderCancelReplaceRequest) and command.cl_ord_id in self._placed:
            return self._turn_away(command, f"{command.cl_ord_id} was sent before", duplicate=True)
        if self._exchange.session is None:
            return self._turn_away(command, "the client is not started")
        if self._exchange.locked and not urgent:
            return self._turn_away(command, self._exchange.locked)
        entry = request.kind in ENTRIES
        in_place = isinstance(command, OrderCancelReplaceRequest) and self.dialect.amends_in_place
        if in_place and not self.limits.amend_in_place:
            text = "amend: not supported as a new order, this venue keeps the id of the old one; cancel and place"
            return self._turn_away(command, text)
        if entry and self._exchange.outside:
            return self._turn_away(command, f"the venue's clock is {self._exchange.offset_ms} ms away from ours")
        room = self.limits.in_flight_max - (0 if urgent else self.limits.reserve)
        if self._in_flight >= room:
            return self._turn_away(command, f"{self._in_flight} commands are in flight")
        return None

    def _turn_away(self, command: WireCommand, reason: str, retry_ns: int = 0, *, duplicate: bool = False) -> NotSent:
        self._not_sent += 1
        refusal = NotSent(command=command, reason=reason, retry_ns=retry_ns, duplicate=duplicate)
        self._put(refusal)
        return refusal

    async def _carry(self, command: WireCommand, request: WireRequest) -> None:
        refused = await self._exchange.admit(request, self._patience_ms(request))
        if refused is not None:
            self._forget(command)
            self._turn_away(command, words_of(refused), refused.retry_ns)
            return
        barred = self._barred(command, request)
        if barred:
            self._forget(command)
            self._turn_away(command, barred)
            return
        tries = len(self.limits.backoff_ms) + 1
        for attempt in range(1, tries + 1):
            sent = self._clock.wall_ns()
            flight = self._fly(request)
            done, _ = await asyncio.wait({flight}, timeout=request.deadline_ms / 1_000)
            if done:
                reply = self._reply(command, request, flight.result())
            else:
                self._exchange.timeouts += 1
                reply = Ambiguous(f"no answer in {request.deadline_ms} ms")
                self._linger(command, request, flight, attempt, sent)
            again = attempt < tries and _repeatable(request, reply)
            self._tell(command, reply, attempt, sent, final=not again)
            if not again:
                return
            self._repeats += 1
            measured = isinstance(reply, ClockSkewed) and await self._exchange.sync_clock() is not None
            if not measured:
                await asyncio.sleep(jittered(self.limits.backoff_ms[attempt - 1]))
            away = self._exchange.outside and request.kind in ENTRIES
            refused = None if away else await self._exchange.admit(request, self._patience_ms(request))
            if away or refused is not None or self._barred(command, request):
                self._tell(command, reply, attempt, sent, final=True)
                return

    def _barred(self, command: WireCommand, request: WireRequest) -> str:
        """Why an order may not leave now, or ""; what makes nothing live always may."""
        if request.kind not in ENTRIES:
            return ""
        return (self._bars(command) if self._bars is not None else "") or self._exchange.closed_to(request)

    def _patience_ms(self, request: WireRequest) -> int:
        """How long a command may wait for room: an order that waited is an order for another market."""
        return self.limits.queue_ms if request.kind in ENTRIES else request.deadline_ms

    def _fly(self, request: WireRequest) -> asyncio.Task[HttpAnswer | str]:
        flight = asyncio.get_running_loop().create_task(self._exchange.send(request))
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)
        return flight

    def _linger(
        self,
        command: WireCommand,
        request: WireRequest,
        flight: asyncio.Task[HttpAnswer | str],
        attempt: int,
        sent: int,
    ) -> None:
        """The answer may still come; its place in flight is held until it does, or until nobody waits any more."""

        async def wait() -> None:
            done, _ = await asyncio.wait({flight}, timeout=self.limits.linger_ms / 1_000)
            if not done:
                flight.cancel()
                return
            self._late += 1
            self._tell(command, self._reply(command, request, flight.result()), attempt, sent, final=True, late=True)

        self._in_flight += 1
        self._spawn(wait())

    def _reply(self, command: WireCommand, request: WireRequest, answer: HttpAnswer | str) -> Reply:
        if isinstance(answer, str):
            return Ambiguous(answer)
        reply = self.dialect.decode_reply(command, answer)
        self._exchange.note(request, reply)
        return reply

    def _tell(
        self, command: WireCommand, reply: Reply, attempt: int, sent: int, *, final: bool, late: bool = False
    ) -> None:
        for event in reply.events:
            if isinstance(event, ExecutionReport):
                self.reader.learn(event)
        if isinstance(reply, Limited | ClockSkewed):
            if not final:
                # It will be said again: nothing is refused yet.
                reply = msgspec.structs.replace(reply, events=())
            else:
                # Certainly not executed: whoever wants it still may say it again.
                self._forget(command)
        self._put(
            Outcome(
                command=command,
                reply=reply,
                attempt=attempt,
                final=final,
                late=late,
                sent_ns=sent,
                recv_ns=self._clock.wall_ns(),
            )
        )

    def _remember(self, command: WireCommand) -> None:
        """One client order id is placed once, whatever those above us do."""
        if isinstance(command, NewOrderSingle | OrderCancelReplaceRequest):
            self._placed[command.cl_ord_id] = None
            if len(self._placed) > _KNOWN_MAX:
                self._placed.popitem(last=False)

    def _forget(self, command: WireCommand) -> None:
        if isinstance(command, NewOrderSingle | OrderCancelReplaceRequest):
            self._placed.pop(command.cl_ord_id, None)

    # --- Several at once -------------------------------------------------------------------------------

    def _submit_group(self, group: Sequence[BatchCommand]) -> bool:
        """Whether the group went out together."""
        try:
            request = self.dialect.encode_batch(group, self._clock.wall_ns() // MS_NS)
        except ValueError:
            # One of them cannot be said: alone it is refused by name, and the others go.
            return False
        urgent = request.kind in ALWAYS_ALLOWED
        room = self.limits.in_flight_max - (0 if urgent else self.limits.reserve)
        blocked = (
            self._exchange.session is None
            or (self._exchange.locked and not urgent)
            or (self._exchange.outside and not urgent)
        )
        again = any(not isinstance(c, OrderCancelRequest) and c.cl_ord_id in self._placed for c in group)
        in_place = isinstance(group[0], OrderCancelReplaceRequest) and self.dialect.amends_in_place
        again = again or (in_place and not self.limits.amend_in_place)
        if blocked or again or self._in_flight >= room:
            return False
        self._exchange.allowed(request)
        for command in group:
            self._remember(command)
        self._in_flight += 1
        self._spawn(self._carry_group(tuple(group), request))
        return True

    async def _carry_group(self, group: tuple[BatchCommand, ...], request: WireRequest) -> None:
        refused = await self._exchange.admit(request, self._patience_ms(request))
        if refused is not None:
            for command in group:
                self._forget(command)
                self._turn_away(command, words_of(refused), refused.retry_ns)
            return
        barred = next((why for command in group if (why := self._barred(command, request))), "")
        if barred:
            for command in group:
                self._forget(command)
                self._turn_away(command, barred)
            return
        sent = self._clock.wall_ns()
        flight = self._fly(request)
        done, _ = await asyncio.wait({flight}, timeout=request.deadline_ms / 1_000)
        late = not done
        if late:
            self._exchange.timeouts += 1
            for command in group:
                self._tell(command, Ambiguous(f"no answer in {request.deadline_ms} ms"), 1, sent, final=True)
            done, _ = await asyncio.wait({flight}, timeout=self.limits.linger_ms / 1_000)
            if not done:
                flight.cancel()
                return
            self._late += 1
        answer = flight.result()
        if isinstance(answer, str):
            replies: tuple[Reply, ...] = tuple(Ambiguous(answer) for _ in group)
        else:
            replies = self.dialect.decode_batch(group, answer)
        for command, reply in zip(group, replies, strict=True):
            self._exchange.note(request, reply)
            single = not late and request.kind is WireKind.CANCEL and isinstance(reply, Ambiguous)
            self._tell(command, reply, 1, sent, final=not single, late=late)
            if single:
                # A cancel can be said twice: what the batch left open is said alone.
                self._repeats += 1
                self.submit(command)

    # --- Tasks -----------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        self._tasks.spawn(work).add_done_callback(self._landed)

    def _landed(self, _task: asyncio.Task[None]) -> None:
        self._in_flight -= 1


def _repeatable(request: WireRequest, reply: Reply) -> bool:
    """Whether sending the same again cannot do it twice, and is worth it."""
    if isinstance(reply, ClockSkewed):
        return True
    if isinstance(reply, Limited):
        return not reply.banned and reply.retry_ns < SECOND_NS // 2
    return request.safe_to_repeat and isinstance(reply, Ambiguous)


def _groups(commands: Sequence[BatchCommand], limit: Callable[[BatchCommand], int]) -> list[list[BatchCommand]]:
    """Neighbours of one kind, at most as many as the venue takes; cancels of one instrument."""
    groups: list[list[BatchCommand]] = []
    for command in commands:
        last = groups[-1] if groups else None
        fits = last is not None and type(last[0]) is type(command) and len(last) < limit(command)
        if last is not None and fits and _together(last[0], command):
            last.append(command)
        else:
            groups.append([command])
    return groups


def _together(first: BatchCommand, other: BatchCommand) -> bool:
    return isinstance(first, NewOrderSingle | OrderCancelReplaceRequest) or first.instrument_id == other.instrument_id
