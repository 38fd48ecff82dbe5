"""One venue's loopback server and a whole desk that trades on it, in one process and one loop.

The desk is the daemon's own: its wiring, supervisors, actors, journal on a disk, permit board, gateway, connector and
live streams. Only the strategies are the matrix's (`eager`), and the arbiter's and the governor's pace is higher, so
that an order is always about to leave. Owns starting, stopping and looking inside; judges nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from actors.arbiter import ArbiterSetup
from actors.connector import Connector
from actors.market import MarketSetup
from actors.messages import StartActor
from actors.risk import Governor, GovernorSetup
from actors.universe import UniverseSetup
from actors.venue_market import VenueMarket
from adapters.clock import SystemClock
from adapters.config import DeskConfig, load_config
from adapters.simserver.bybit import BybitDialect
from adapters.simserver.server import SimServer, SimServerSpec
from adapters.simserver.trading.account import AccountSpec
from adapters.simserver.venues import keys_of
from adapters.sources import FeedSource, SourceSpec
from adapters.streams.budget import ConnectionBudget
from adapters.streams.connection import Connection as FeedConnection
from adapters.streams.feed import Feed, FeedStatus
from adapters.streams.topics import TopicKind
from adapters.streams.view_line import ViewLine
from supervision.bases.loop import LoopBase
from supervision.conformance.eager import EagerQuoter, EagerTaker
from supervision.conformance.markets import MARKETS, generate
from supervision.conformance.oracle import Oracle
from supervision.desk_plan import INSTRUMENTS
from supervision.plan import paths_of
from supervision.supervisor import ChildStart, Supervisor
from supervision.wiring import Wiring
from trading.brakes import Brake, Level
from trading.market.events import BookState
from trading.orders.messages import NewOrderSingle, OrderCancelReplaceRequest
from trading.strategies.base import Strategy

MS = 1_000_000
POLL_S = 0.002
_PROBE_S = 0.01

_KINDS: dict[str, type[EagerQuoter] | type[EagerTaker]] = {"quoter": EagerQuoter, "taker": EagerTaker}


class NotInTimeError(RuntimeError):
    """A rig did not get to where its case begins, or a fault did not act."""

    def __init__(self, venue: str, what: str, seconds: float, why: str) -> None:
        super().__init__(venue, what, seconds, why)
        self.venue, self.what, self.seconds, self.why = venue, what, seconds, why

    def __str__(self) -> str:
        return f"{self.what} did not happen on {self.venue} within {self.seconds:g} s: {self.why}"


class RigWiring(Wiring):
    """The desk's wiring with an ear for what it is told, and without its deliberate pauses between orders."""

    def market(self) -> MarketSetup:
        """Market data goes to the oracle too."""
        setup = super().market()
        return msgspec.structs.replace(setup, always=("oracle", *setup.always))

    def governor(self) -> GovernorSetup:
        """Rates that no case uses up."""
        setup = super().governor()
        limits = msgspec.structs.replace(setup.limits, orders_per_sec=200, orders_per_symbol_per_min=100_000)
        return msgspec.structs.replace(setup, limits=limits)

    def universe(self) -> UniverseSetup:
        """One size of orders."""
        setup = super().universe()
        rules = setup.rules  # a lot of the generator's second symbol is worth more than the smallest usual order
        return msgspec.structs.replace(
            setup, rules=msgspec.structs.replace(rules, order_notional_min=rules.order_notional_max)
        )

    def arbiter(self) -> ArbiterSetup:
        """Orders close upon each other."""
        setup = super().arbiter()
        config = msgspec.structs.replace(
            setup.config,
            min_order_interval_ms=20,
            min_quote_interval_ms=20,
            max_orders_per_sec=200,
            orders_per_symbol_per_min=100_000,
            cool_off_on_errors_ms=100,
            retry_ms=20,
            flatten_tries_max=12,
        )
        return msgspec.structs.replace(setup, config=config)


def rig_config(
    venue: str,
    instrument_ids: Sequence[str],
    directory: Path,
    views: int = 1,
    orders: str = "simulated",
    *,
    protected: bool = False,
) -> DeskConfig:
    """One venue, two strategies, balances and caps that a case does not use up."""
    balances = {"USDT": Decimal(10_000_000), "BTC": Decimal(100), "ETH": Decimal(1_000)}
    strategy = {"kind": "maker", "instruments": list(instrument_ids), "budget_usd": Decimal(3_000)}
    return load_config(
        None,
        overrides={
            "data_dir": str(directory),
            "venues": {
                venue: {
                    "instruments": list(instrument_ids),
                    "sim": {
                        "order_latency_ms": 2,
                        "report_latency_ms": 2,
                        "jitter_ms": 0,
                        "initial_balances": balances,
                    },
                }
            },
            "market_data": {"views": views},
            "strategies": {"quoter": {**strategy, "priority": 20}, "taker": {**strategy, "priority": 10}},
            "placement": {"all": ["desk", f"venue:{venue}", "ops", "simvenue"]},
            "risk": {
                "throttle_orders_per_sec": 200,
                "daily_loss_cap_usd": Decimal(10_000_000),
                "max_inflight_orders": 200,
                "max_slippage_bps": Decimal(60),
                "per_order_notional_cap": Decimal(1_000),
                "protective_exits": {"enabled": protected, "held_by": "both", "cooldown_s": 1},
            },
            "execution": {
                "orders": orders,
                "pace": {"orders_per_symbol_per_min": 100_000, "min_order_interval_ms": 20},
            },
        },
    )


class Rig:
    """One market by its name in `MARKETS`, seen through so many ``views``, with the instrument ``beside`` it or alone.

    ``alter`` is called with the rig when the desk stands and has heard nothing yet. ``orders`` is how they travel,
    ``account`` what the venue's server knows of the account that they are of. ``protected``: positions are closed by
    themselves. ``stranger``: the instrument beside is the venue's and the account's alone, until the desk begins anew
    and loads it.
    """

    wiring_class: type[RigWiring] = RigWiring
    """Who makes the desk's setups."""

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        seed: int = 7,
        alter: Callable[[Rig], None] | None = None,
        views: int = 1,
        beside: bool = False,
        orders: str = "simulated",
        account: AccountSpec | None = None,
        protected: bool = False,
        stranger: bool = False,
    ) -> None:
        market = MARKETS[name]
        self.name = name
        self.venue = market.venue
        self.instrument = INSTRUMENTS[market.instrument]
        self.beside = INSTRUMENTS[market.beside] if beside or stranger else None
        traded = (market.instrument, market.beside) if self.beside is not None else (market.instrument,)
        if self.beside is not None:
            generate(self.instrument, self.beside)
        mine = traded[:1] if stranger else traded
        self.instruments = {instrument_id: INSTRUMENTS[instrument_id] for instrument_id in mine}
        self.noted: Counter[str] = Counter()
        """What a case's own eyes counted."""
        self.clock = SystemClock()
        self.faults_inside: list[str] = []
        self._stalls: deque[tuple[int, int]] = deque(maxlen=10_000)
        self._probe: asyncio.Task[None] | None = None
        self._alter = alter
        data = directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        self._desk = partial(rig_config, self.venue, directory=data, views=views, orders=orders, protected=protected)
        self._config = self._desk(mine)
        self._paths = paths_of(data)
        self.oracle = Oracle(self.clock, self._paths.sent(self.venue))
        source = SourceSpec(anchor_ns=self.clock.wall_ns() - 60_000 * MS, seed=seed, instruments=traded)
        self.server = SimServer(
            SimServerSpec(
                venue=self.venue, source=source, instruments=traded, seed=seed, account=account or AccountSpec()
            ),
            self.clock,
        )
        _, self._keys = keys_of(self.venue, traded)
        self.base: LoopBase
        self.stand_ins: dict[str, type[Any]] = {}
        """Actors that take the places of the desk's own, by name, from its next life on: the desk without a guard."""

    # --- Life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serve, then let the desk up; it trades when `until_trading` has come."""
        dialect = self.server._dialect  # noqa: SLF001 - the oracle numbers the truth as the venue numbers its stream
        if isinstance(dialect, BybitDialect):
            self.oracle.watch_numbers(dialect)
        else:
            for key in self._keys.values():
                self.oracle.watch(self.server.feed.markets[key])
        self._probe = asyncio.get_running_loop().create_task(self._feel(), name="loop probe")
        await self.server.start()
        await self._raise_desk()

    async def restart_desk(self) -> None:
        """The desk ends and begins anew on the same files, with every instrument of its venue; the venue goes on."""
        heard = len(self.faults_inside)
        await self._stop_desk()
        del self.faults_inside[heard:]  # who was told to exit is not there any more for the others
        loaded = dict.fromkeys((*self.instruments, *([self.beside.instrument_id] if self.beside is not None else [])))
        self.instruments = {instrument_id: INSTRUMENTS[instrument_id] for instrument_id in loaded}
        self._config = self._desk(tuple(loaded))
        self.oracle.last_tops.clear()
        await self._raise_desk()

    async def _raise_desk(self) -> None:
        # What actors of this process connect with from now on, when they begin anew too: the cases before this one are
        # desks on other hosts.
        FeedSource._budget = ConnectionBudget()  # noqa: SLF001
        wiring = self.wiring_class(self._config, self._paths, sim_ports={self.venue: self.server.port})
        self.base = base = LoopBase.standalone(name=f"rig-{self.name}", clock=self.clock)
        base.set_router(self.oracle.on_message)
        base.set_observer(
            on_dead_letter=lambda to, msg: self._fault_inside(f"dead letter to {to}: {type(msg).__name__}"),
            on_failure=lambda to, msg, error: self._fault_inside(f"{to} on {type(msg).__name__}: {error!r}"),
        )
        base.attach(asyncio.get_running_loop())
        tops = (
            ("core", wiring.core_tree("rig")),
            ("strategies", wiring.strategies_tree("rig")),
            ("universe-top", wiring.universe_tree("rig")),
            (f"venue.{self.venue}", wiring.venue_tree(self.venue, "rig")),
        )
        for name, table in tops:
            for child in self.stand_ins.keys() & table.starts.keys():
                table.starts[child] = ChildStart(self.stand_ins[child], table.starts[child].setup)
            address = base.create_root(Supervisor, {"propdesk.name": name})
            base.inject(address, StartActor(name=name, supervisor=None, setup=table))
        await self.until(lambda: self._actor(f"connector.{self.venue}") is not None, "the connector", 5.0)
        self._first_connector = self.connector
        self._own_budget()
        self._tell_orders_apart()
        if self._alter is not None:
            self._alter(self)
        for name, kind in _KINDS.items():
            await self.until(lambda name=name: self._is_whole(name), f"strategy {name}", 10.0)  # type: ignore[misc]
            actor = base.actor(f"strategy.{name}")
            mine: Strategy = kind(name, dict(self.instruments), 1)
            mine.restore_position({}, self.clock.wall_ns())
            actor._core = mine  # noqa: SLF001 - the strategy under which the desk has to hold
            actor.wake_after(0, "timer")

    def _own_budget(self) -> None:
        """Rigs of one process stand for desks on hosts of their own: none waits for another's connections."""
        feed = self.feed
        feed._budget = ConnectionBudget()  # noqa: SLF001
        for line in feed._connections:  # noqa: SLF001
            line._budget = feed._budget  # noqa: SLF001

    def _tell_orders_apart(self) -> None:
        """Let the oracle see whose the orders are that go to the gateway."""
        gateway = self.base.actor(f"gateway.{self.venue}")
        on, ordered = gateway.on, self.oracle.ordered

        def hear(msg: Any) -> None:
            if type(msg) is NewOrderSingle or type(msg) is OrderCancelReplaceRequest:
                ordered(msg.cl_ord_id, msg.instrument_id)
            on(msg)

        vars(gateway)["on"] = hear

    async def _feel(self) -> None:
        """Note when the loop, and with it the desk and the venue, did nothing for a while."""
        while True:
            began = self.clock.mono_ns()
            await asyncio.sleep(_PROBE_S)
            late = self.clock.mono_ns() - began - int(_PROBE_S * 1e9)
            if late > 20 * MS:
                self._stalls.append((began, late))

    def stood_still_ns(self, since_ns: int) -> int:
        """The longest time since a moment in which the loop did nothing."""
        return max((late for at_ns, late in self._stalls if at_ns >= since_ns), default=0)

    def _fault_inside(self, text: str) -> None:
        if len(self.faults_inside) < 50:
            self.faults_inside.append(text[:300])

    def _actor(self, name: str) -> Any:
        return self.base.actor(name)

    def _is_whole(self, name: str) -> bool:
        actor = self._actor(f"strategy.{name}")
        return actor is not None and bool(getattr(actor, "_whole", False))

    async def close(self) -> None:
        """Stop the desk, then the server."""
        if self._probe is not None:
            self._probe.cancel()
        await self._stop_desk()
        await self.server.close()

    async def _stop_desk(self) -> None:
        source = getattr(self._actor(f"connector.{self.venue}"), "_source", None)
        await self.base.stop(5.0)
        closing: list[asyncio.Task[None]] = getattr(source, "_closing", [])
        if closing:
            await asyncio.wait(closing, timeout=5.0)

    # --- Inside --------------------------------------------------------------------------------------

    @property
    def connector(self) -> Connector:
        """The venue's connector."""
        found: Connector = self.base.actor(f"connector.{self.venue}")
        return found

    @property
    def governor(self) -> Governor:
        """The risk governor."""
        found: Governor = self.base.actor("governor")
        return found

    @property
    def book(self) -> VenueMarket:
        """The connector's market of the instrument that faults are about."""
        return self.connector.markets[self.instrument.instrument_id]

    @property
    def source(self) -> FeedSource:
        """Where the connector's bytes come from."""
        found = self.connector._source  # noqa: SLF001 - looking inside is what a rig is for
        assert isinstance(found, FeedSource)
        return found

    @property
    def feed(self) -> Feed:
        """The venue's live streams."""
        return self.source._feed  # noqa: SLF001

    def status(self) -> FeedStatus:
        """The feed's own account."""
        return self.feed.status()

    def attempts(self) -> int:
        """Connections asked for since the start."""
        return sum(line.state.next_number - 1 for line in self.feed._connections)  # noqa: SLF001

    def line(self) -> ViewLine:
        """The vote over the connections that bring the book, where there are several views."""
        names = {c.line.name for c in self.feed._connections if self._brings_the_book(c)}  # noqa: SLF001
        return self.feed._lines[names.pop()]  # noqa: SLF001

    def _brings_the_book(self, connection: FeedConnection) -> bool:
        return any(
            topic.kind is TopicKind.BOOK and topic.symbol == self.instrument.symbol for topic in connection.line.topics
        )

    def at_server(self, view: str) -> tuple[int, ...]:
        """The server's ids of the open connections of a view."""
        ports: set[int] = set()
        for connection in self.feed._connections:  # noqa: SLF001
            if connection.view == view:
                sockets = (one.ws for one in connection._sockets.values() if one.ws is not None)  # noqa: SLF001
                ports.update(ws.get_extra_info("sockname")[1] for ws in sockets)
        return tuple(
            one.id
            for one in self.server.hub.connections.values()
            if one._transport is not None and one._transport.get_extra_info("peername")[1] in ports  # noqa: SLF001
        )

    def brakes(self) -> tuple[Brake, ...]:
        """What keeps the desk from trading; nothing is known while there is no governor."""
        governor: Governor | None = self._actor("governor")
        return () if governor is None else governor.brakes

    def is_trading(self) -> bool:
        """Whether the books are proved and nothing brakes; SAFE, which lets quotes through, is trading."""
        if self._actor("governor") is None:
            return False
        return self.is_proved() and all(b.level < Level.PAUSE for b in self.brakes())

    def is_proved(self) -> bool:
        """Whether every book was told as SYNCED last."""
        tops = self.oracle.last_tops
        return all(name in tops and tops[name].state is BookState.SYNCED for name in self.instruments)

    def state_in_words(self) -> str:
        """Why it does not trade."""
        if self._actor(f"connector.{self.venue}") is None or self._actor("governor") is None:
            return f"the desk is not whole: {'; '.join(self.trouble_inside())}"[:600]
        tops = self.oracle.last_tops
        brakes = ", ".join(f"{b.code} {b.scope}: {b.cause}" for b in self.brakes()) or "no brake"
        lines = ", ".join(f"{c.line} {c.status} ({c.reason})" for c in self.status().connections)
        books = ", ".join(
            f"book {tops[name].state.value if name in tops else 'never told'} ({market.sync.reason})"
            for name, market in self.connector.markets.items()
        )
        return f"{books}; {brakes}; {lines}"[:600]

    def trouble_inside(self) -> list[str]:
        """Exceptions, dead letters, unknown messages and restarts since the start: there must be none."""
        found = list(self.faults_inside)
        found.extend(notice.text for notice in self.oracle.notices if notice.code == "ACTOR_FAILED")
        if self._actor(f"connector.{self.venue}") is not self._first_connector:
            found.append("the connector was restarted")
        for name in (f"connector.{self.venue}", f"gateway.{self.venue}", "governor", "orders", "arbiter", "journal"):
            actor = self._actor(name)
            if actor is None:
                found.append(f"{name} is gone")
            elif actor.unknown_messages:
                found.append(f"{name} got {actor.unknown_messages} unknown messages")
        if self._actor(f"connector.{self.venue}") is not None:
            lines = self.feed._connections  # noqa: SLF001
            found.extend(f"a connection failed inside {line.faults} times" for line in lines if line.faults)
        if self.server.pump_errors:
            found.append(f"the server's pump failed {self.server.pump_errors} times")
        return found

    # --- Waiting -------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> int:
        """Wait for a condition; the monotonic ns at which it was seen.

        Raises:
            NotInTimeError: with the desk's state in words when it does not come.
        """
        deadline = self.clock.mono_ns() + int(timeout_s * 1e9)
        while not condition():
            if self.clock.mono_ns() > deadline:
                raise NotInTimeError(self.name, what, timeout_s, self.state_in_words())
            await asyncio.sleep(POLL_S)
        return self.clock.mono_ns()

    async def until_trading(self, timeout_s: float = 20.0) -> int:
        """Until it may trade and an order has left since; the monotonic ns of that."""
        await self.until(self.is_trading, "trading", timeout_s)
        began = self.clock.mono_ns()
        gateway = self.base.actor(f"gateway.{self.venue}")
        sent = gateway.sent
        await self.until(lambda: gateway.sent > sent, f"an order after {began}", timeout_s)
        return self.clock.mono_ns()
