"""One account's whole link to its venue: clock, checks of the key and the account, private stream, commands, timers.

Owns the order of things: nothing is live before the venue's clock is known, the key can trade and cannot withdraw, the
account keeps one position an instrument, leverage is within its limit, and the stream has been caught up with. Keeps
the venue's own timer armed for as long as somebody vouches for the desk. Decides nothing about orders or brakes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from typing import TypeVar

import msgspec

from adapters.binance.instruments import VENUES as BINANCE_VENUES
from adapters.bybit.instruments import BYBIT
from adapters.ccxt_venues.instruments import VENUES as CCXT_VENUES
from adapters.clock import Clock
from adapters.limits.limiter import Limiter
from adapters.okx.instruments import OKX
from adapters.orders.account import OVERLAP_MS, AccountCursor, Reading
from adapters.orders.binance import BinanceOrders
from adapters.orders.bybit import BybitOrders
from adapters.orders.client import ClientItem, ClientLimits, ClientStatus, NotSent, OrderClient, Outcome
from adapters.orders.dialect import OrderDialect
from adapters.orders.entry import EntryMode
from adapters.orders.entry_road import EntryChanged, EntryRoad
from adapters.orders.entry_venues import open_entry
from adapters.orders.okx import OkxOrders
from adapters.orders.outbox import Outbox
from adapters.orders.polled_account import PolledAccount
from adapters.orders.user_stream import StreamChanged, StreamItem, StreamStatus, UserStream
from adapters.orders.waiting import Tasks
from adapters.orders.wire import (
    MS_NS,
    SECOND_NS,
    AccountFact,
    AccountMode,
    AuthFailed,
    Countdown,
    CountdownSet,
    Credentials,
    KeyPermissions,
    KeyQuery,
    Leverage,
    LeverageQuery,
    ModeQuery,
    OrderEndpoints,
    Reply,
    Told,
    WireCommand,
)
from trading.instruments import Instrument, InstrumentKind
from trading.limits.venues import limits_of
from trading.orders.messages import AccountState, AccountStateRequest

CLOCK_EVERY_NS = 30 * SECOND_NS
CHECK_EVERY_NS = 3_600 * SECOND_NS
_AGAIN_S = (0.1, 0.2, 0.4, 0.4, 0.4, 0.4, 1.0, 2.0, 5.0)
_TURN_NS = 100 * MS_NS
_Fact = TypeVar("_Fact", bound=AccountFact)


class LinkState(Enum):
    """How the link stands. LOCKED: only a person can mend it."""

    CHECKING = "checking"
    CONNECTING = "connecting"
    LIVE = "live"
    LOCKED = "locked"
    CLOSED = "closed"


class OrderLinkSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which account. ``rest`` and ``ws`` name a server in the venue's place, loopback as a rule.

    ``countdown_ms``: the venue cancels everything by itself when it has not heard of us for so long, where it has such
    a timer; 0 leaves it alone. ``leverage_max`` is the most that the account may have set on an instrument of ours.
    ``entry`` is which road orders take. ``key_vouched``: a person says that the key cannot withdraw, which counts where
    the venue does not say so itself.
    """

    venue: str
    instruments: tuple[Instrument, ...]
    credentials: Credentials
    rest: str = ""
    ws: str = ""
    testnet: bool = False
    countdown_ms: int = 15_000
    leverage_max: Decimal = Decimal(10)
    key_vouched: bool = False
    entry: EntryMode = EntryMode.REST


class OrdersReady(msgspec.Struct, frozen=True):
    """The link has something for its gateway. Never leaves the process."""


class LinkStated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The link's state and why."""

    state: LinkState
    reason: str


class AccountUnread(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The account could not be read: nothing is known of it."""

    cause: str
    reason: str


class TimerFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's timer could not be armed: after the next silence it may not act."""

    instrument_id: str
    reason: str


LinkItem = ClientItem | StreamItem | LinkStated | AccountState | AccountUnread | TimerFailed


def open_dialect(spec: OrderLinkSpec) -> OrderDialect:
    """The venue's words; ``ValueError`` for a venue whose orders have no codec here."""
    endpoints = OrderEndpoints(rest=spec.rest, ws=spec.ws, wallet=spec.rest) if spec.rest else None
    if spec.venue in BINANCE_VENUES:
        return BinanceOrders(spec.venue, spec.instruments, endpoints, testnet=spec.testnet)
    if spec.venue == OKX:
        return OkxOrders(spec.instruments, endpoints, testnet=spec.testnet)
    if spec.venue == BYBIT:
        return BybitOrders(spec.instruments, endpoints, testnet=spec.testnet)
    if spec.venue in CCXT_VENUES:
        from adapters.ccxt_orders.dialect import CcxtOrders  # noqa: PLC0415 - who does not trade there does not pay for ccxt

        return CcxtOrders(spec.venue, spec.instruments, endpoints, testnet=spec.testnet)
    raise ValueError(f"venue: {spec.venue!r} has no order codec here")


class OrderLink:
    """Call from one loop only: `start`, `submit` and `read`, `drain` when woken, `close`.

    ``vouched`` says whether the desk that the orders are of is alive: without it the venue's timer runs down.
    ``limiter`` is closed with the link; without one this link counts for itself.
    """

    def __init__(
        self,
        spec: OrderLinkSpec,
        clock: Clock,
        wake: Callable[[], None],
        vouched: Callable[[], bool],
        limiter: Limiter | None = None,
        *,
        barred: Callable[[WireCommand], str] | None = None,
    ) -> None:
        """``barred`` says why an order may not leave any more, or ""; see `OrderClient`."""
        self.spec = spec
        self.state = LinkState.CHECKING
        self.reason = "not started"
        self.timers_armed = 0
        self._clock = clock
        self._vouched = vouched
        self._outbox: Outbox[LinkItem] = Outbox(wake)
        self._dialect = open_dialect(spec)
        self._limiter = limiter or Limiter(limits_of(spec.venue), clock)
        self._client = OrderClient(
            self._dialect,
            spec.credentials,
            clock,
            self._limiter,
            put=self._from_client,
            # The order core that commands here follows amended orders under the ids that they keep.
            limits=ClientLimits(amend_in_place=True),
            barred=barred,
            road=self._road(),
        )
        cursor = AccountCursor.opening(spec.venue, clock.wall_ns() // MS_NS)
        self._stream: UserStream | PolledAccount
        if self._dialect.stream.poll_ns:
            self._stream = PolledAccount(self._client, clock, put=self._from_stream, cursor=cursor)
        else:
            self._stream = UserStream(self._client, spec.credentials, clock, put=self._from_stream, cursor=cursor)
        self._tasks = Tasks(self._failed)
        self.faults = self._tasks.faults
        self._wanted: AccountStateRequest | None = None
        self._reading = False
        self._unlocked = asyncio.Event()
        self._barred = ""
        self._lost_before = 0

    # --- Outside ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, on the running loop."""
        self._client.start()
        self._tasks.spawn(self._run())

    def submit(self, command: WireCommand) -> NotSent | None:
        """Send a command; every outcome comes out of `drain`, that it was not sent too."""
        return self._client.submit(command)

    def read(self, request: AccountStateRequest) -> None:
        """Read the account as it is after now; of requests that wait the newest stands for all."""
        self._wanted = request
        if not self._reading:
            self._reading = True
            self._tasks.spawn(self._read())

    def drain(self) -> Sequence[LinkItem]:
        """What has come."""
        items = self._outbox.drain()
        if self._outbox.dropped != self._lost_before:
            self._lost_before = self._outbox.dropped
            self._stream.want_reading()
        return items

    @property
    def locked(self) -> str:
        """What only a person can mend; "" while there is nothing."""
        return self._barred or (self.reason if self.state is LinkState.LOCKED else "")

    def unlock(self) -> None:
        """A person has mended what locked it."""
        self._client.unlock()
        self._stream.unlock()
        self._unlocked.set()
        self._barred = ""
        if self._stream.status is StreamStatus.LIVE:
            # It went on meanwhile; what the account was told while nothing could be sent is read before it is live.
            self._state(LinkState.CONNECTING, "unlocked")
            self._stream.want_reading()

    def status(self) -> ClientStatus:
        """The client's own account."""
        return self._client.status()

    async def close(self) -> None:
        """End it all. The venue's timer is left armed: what is open then goes by itself."""
        self._state(LinkState.CLOSED, "closed")
        await self._tasks.close()
        await self._stream.close()
        await self._client.close()
        await self._limiter.close()

    def _road(self) -> EntryRoad | None:
        """What takes orders by WebSocket, where the venue has it and it is wanted."""
        if self.spec.entry is EntryMode.REST:
            return None
        endpoints = self._dialect.endpoints
        entry = open_entry(self.spec.venue, self.spec.instruments, endpoints)
        if entry is None:
            return None
        mode = self.spec.entry
        return EntryRoad(entry, endpoints, self.spec.credentials, self._clock, put=self._from_client, mode=mode)

    # --- The order of things ---------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            trouble = await self._checked()
            if not trouble:
                break
            self._state(LinkState.LOCKED, trouble)
            self._unlocked.clear()
            await self._unlocked.wait()
            self._state(LinkState.CHECKING, "unlocked")
        self._state(LinkState.CONNECTING, "the account is checked")
        self._stream.start()
        self._client.open_road()
        if self.spec.countdown_ms:
            self._tasks.spawn(self._keep_timers())
        await self._keep_checking()

    async def _checked(self) -> str:
        """Ask until every answer is there; "" or what only a person can mend."""
        tries = 0
        while True:
            if await self._client.sync_clock() is not None:
                trouble = await self._trouble()
                if trouble is not None:
                    return trouble
            else:
                self._state(LinkState.CHECKING, "the venue does not tell its time")
            await asyncio.sleep(_AGAIN_S[min(tries, len(_AGAIN_S) - 1)])
            tries += 1

    async def _trouble(self) -> str | None:
        """None: something was not answered. "": all is well. Else the first thing that is wrong."""
        trouble = await self._key_trouble()
        if trouble != "":
            return trouble
        contracts = [one for one in self.spec.instruments if one.kind is not InstrumentKind.SPOT]
        if not contracts:
            return ""
        mode = await self._client.ask(ModeQuery(venue=self.spec.venue))
        fact = _fact(mode, AccountMode)
        if fact is None:
            return self._unanswered("position mode", mode)
        if fact.hedge:
            return f"the account is in hedge mode ({fact.text}); set it to one-way at the venue"
        for one in contracts:
            said = await self._client.ask(LeverageQuery(venue=self.spec.venue, instrument_id=one.instrument_id))
            leverage = _fact(said, Leverage)
            if leverage is None:
                return self._unanswered("leverage", said)
            if Decimal(leverage.leverage) > self.spec.leverage_max:
                return (
                    f"{one.instrument_id} has leverage {leverage.leverage}, at most {self.spec.leverage_max} is "
                    "allowed; lower it at the venue or raise venues.<venue>.leverage_max"
                )
        return ""

    async def _key_trouble(self) -> str | None:
        if self.spec.testnet:
            return ""  # its networks do not tell what a key may do, and its funds are nobody's
        reply = await self._client.ask(KeyQuery(venue=self.spec.venue))
        key = _fact(reply, KeyPermissions)
        if key is None:
            return self._unanswered("key permissions", reply)
        if key.withdraw is not False and not (key.withdraw is None and self.spec.key_vouched):
            word = "may withdraw" if key.withdraw else "is not said to be unable to withdraw"
            return f"the key {word} ({key.text}); make one at the venue that may read and trade, and nothing else"
        if not key.trade:
            return f"the key may not trade ({key.text})"
        return ""

    def _unanswered(self, what: str, reply: Reply) -> str | None:
        if isinstance(reply, AuthFailed):
            return f"the venue refused our key: {reply.text}"
        self._state(LinkState.CHECKING, f"{what}: {reply}"[:200])
        return None

    async def _keep_checking(self) -> None:
        """The clock often, the key now and then: what it may do can be changed at the venue while we run."""
        checked_ns = self._clock.mono_ns()
        while True:
            await asyncio.sleep(CLOCK_EVERY_NS / SECOND_NS)
            await self._client.sync_clock()
            if self._clock.mono_ns() - checked_ns >= CHECK_EVERY_NS:
                checked_ns = self._clock.mono_ns()
                await self.check_again()

    async def check_again(self) -> None:
        """Ask once more what key and account are: what is not as it must be locks, what is again opens."""
        trouble = await self._trouble()
        if trouble is None:
            return
        self._barred = trouble
        if not trouble:
            self._client.unlock()
        if trouble:
            self._state(LinkState.LOCKED, trouble)
        elif self._stream.status is StreamStatus.LIVE:
            self._state(LinkState.LIVE, "")

    # --- The venue's timer -----------------------------------------------------------------------------

    async def _keep_timers(self) -> None:
        """Arm it anew thrice in its time while the desk is vouched for; else it runs down and the venue cancels."""
        due_ns = 0
        while True:
            now = self._clock.mono_ns()
            if self.state is LinkState.LIVE and now >= due_ns and self._vouched():
                due_ns = now + self.spec.countdown_ms * MS_NS // 3
                for one in self.spec.instruments:
                    await self._arm(one.instrument_id)
            await asyncio.sleep(_TURN_NS / SECOND_NS)

    async def _arm(self, instrument_id: str) -> None:
        command = Countdown(
            venue=self.spec.venue, instrument_id=instrument_id, timeout_ms=self.spec.countdown_ms, cause="alive"
        )
        try:
            self._dialect.encode(command, self._clock.wall_ns() // MS_NS)
        except ValueError:
            return  # this market has no such timer
        reply = await self._client.ask(command)
        if _fact(reply, CountdownSet) is not None:
            self.timers_armed += 1
        else:
            self._outbox.put(TimerFailed(instrument_id=instrument_id, reason=str(reply)[:200]))

    # --- The account -----------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while self._wanted is not None:
                request, self._wanted = self._wanted, None
                await self._read_once(request)
        finally:
            self._reading = False

    async def _read_once(self, request: AccountStateRequest) -> None:
        venue = self.spec.venue
        asked_ns = self._clock.wall_ns()
        # The first reading reaches back as far as later ones will: what it lists was before us, and is known as that.
        since_ms = (request.since_ns or asked_ns) // MS_NS - OVERLAP_MS
        found = await self._client.read_account(AccountCursor(venue=venue, since_ms=since_ms), request.cause)
        if isinstance(found, Reading):
            self._outbox.put(msgspec.structs.replace(found.state, numbered=False, asked_ns=asked_ns))
        else:
            self._outbox.put(AccountUnread(cause=request.cause, reason=found.reason))

    # --- Telling ---------------------------------------------------------------------------------------

    def _from_client(self, item: ClientItem) -> None:
        self._outbox.put(item)
        if isinstance(item, EntryChanged) and item.lost:
            # What was in flight is asked about by itself; what else was missed, a reading of the account shows.
            self._stream.want_reading()
        if isinstance(item, Outcome) and isinstance(self._stream, PolledAccount):
            self._stream.heard(item.reply.events)
        if isinstance(item, Outcome) and isinstance(item.reply, AuthFailed) and self.state is not LinkState.CLOSED:
            # A key that is refused is refused for everything: nothing more is tried with it until a person says so.
            self._barred = f"the venue refused our key: {item.reply.text}"[:200]
            self._state(LinkState.LOCKED, self._barred)

    def _from_stream(self, item: StreamItem) -> None:
        self._outbox.put(item)
        if isinstance(item, StreamChanged) and self.state is not LinkState.CLOSED and not self._barred:
            match item.status:
                case StreamStatus.LIVE:
                    self._state(LinkState.LIVE, item.reason)
                case StreamStatus.LOCKED:
                    self._state(LinkState.LOCKED, item.reason)
                case StreamStatus.CATCHING_UP if self.state is LinkState.LIVE and not item.reason:
                    pass  # it is read again while the session that is live goes on
                case _:
                    self._state(LinkState.CONNECTING, item.reason or item.status.value)

    def _state(self, state: LinkState, reason: str) -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self._outbox.put(LinkStated(state=state, reason=reason))

    def _failed(self, error: BaseException) -> None:
        """A bug of ours: what is not looked after any more is not live."""
        self._state(LinkState.LOCKED, f"internal: {error!r}"[:200])


def _fact(reply: Reply, kind: type[_Fact]) -> _Fact | None:
    return reply.fact if isinstance(reply, Told) and isinstance(reply.fact, kind) else None
