"""Who runs where: from the configuration to cells, supervisors' tables and actors' setups.

One table for every base: the daemon's cells, a single cell with everything, and replay in virtual time are built
from the same functions.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from actors.arbiter import ArbiterActor, ArbiterSetup
from actors.connector import Connector, ConnectorSetup, TapeSetup
from actors.features import Features, FeaturesSetup
from actors.gateway import Gateway, GatewaySetup
from actors.journal import Journal, JournalSetup
from actors.market import Market, MarketSetup
from actors.market_reporter import MarketReporter, ReporterSetup
from actors.messages import BrakeCleared, BrakeSet, BrakesStated, Flood, RawFrame
from actors.ops import OpsSetup
from actors.orders import Orders, OrdersSetup
from actors.portfolio import PortfolioActor, PortfolioSetup
from actors.protection import ProtectionActor, ProtectionSetup
from actors.recon import ReconSetup
from actors.risk import Governor, GovernorSetup
from actors.second_source import SecondSource, SecondSourceSetup, compared
from actors.strategy import StrategyActor, StrategySetup
from actors.universe import Universe, UniverseSetup, order_sizes
from adapters.config import DeskConfig
from adapters.config_model import SIMVENUE, StrategyConfig
from adapters.config_values import DEFAULT, LOOPBACK
from adapters.execution_backend import Backend, Resolved, backends_of
from adapters.journal.store import MemoryJournal
from adapters.recorder.events import RecorderLimits
from adapters.sources import Origin, SourceSpec
from adapters.wirelog import SessionFacts
from supervision.bases.mailbox import MessageClass, OverflowPolicy
from supervision.decisions import arbiter_config, exit_policy, limits_of, recon_config
from supervision.desk_plan import VERSION, instruments_of
from supervision.order_core import amended_in_place, order_core, replacing
from supervision.plan import DRILLS_VARIABLE, CellPlan, Paths
from supervision.policy import Beyond, ChildSpec, Strategy, SupervisorSpec
from supervision.supervisor import ChildStart, Supervisor, SupervisorSetup
from trading.instruments import Instrument
from trading.market.events import BookTop, MarkPrice, Trade
from trading.market.gates import GateLimits
from trading.operators import OperatorCommand, Published
from trading.sim.config import SimConfig
from trading.strategies.base import hears_trades

OPS_ACTOR = "api.actor.OpsActor"
"""By name: the faces are a ring of their own, and only the cell that serves them pays for an HTTP server."""
SIMVENUE_ACTOR = "actors.simvenue.SimVenueActor"
"""By name, for the same reason."""
_TAPE_QUEUE_BYTES = 32 << 20
_SILENT_NS = 10_000_000_000
_REPLAY_RENEW_NS = 8_000_000_000
_NEVER_NS = 10**18
"""Nobody looks at a virtual run while it runs: its facts are read from the actors at the end."""


def overflow_policy() -> OverflowPolicy:
    """What a full mailbox does, by message class: order events are never dropped, market data is conflated."""
    return OverflowPolicy(classify=_classify)


def _classify(msg: Any) -> tuple[MessageClass, object | None]:
    kind = type(msg)
    if kind is BookTop or kind is MarkPrice:
        return MessageClass.MARKET, msg.instrument_id
    if kind is Trade:
        return MessageClass.MARKET, (msg.instrument_id, msg.trade_id)
    if kind is Published:
        return MessageClass.REPORT, None
    if kind is OperatorCommand or kind is BrakeSet or kind is BrakeCleared or kind is BrakesStated:
        return MessageClass.CONTROL, None
    if kind is RawFrame or kind is Flood:
        return MessageClass.ORDER, None
    return MessageClass.ORDER, None


# --- Setups ------------------------------------------------------------------------------------------


class Wiring:
    """Builds the setups of one desk's actors. ``replay`` leaves out disks, sources and faces."""

    def __init__(
        self,
        config: DeskConfig,
        paths: Paths,
        *,
        anchor_ns: int = 0,
        facts: SessionFacts | None = None,
        sim_ports: Mapping[str, int] | None = None,
        doors: dict[str, socket.socket] | None = None,
        replay: bool = False,
        hashing: bool = True,
    ) -> None:
        self.config = config
        self.paths = paths
        self._anchor_ns = anchor_ns
        self._facts = facts or SessionFacts()
        self._sim_ports = dict(sim_ports or {})
        self._doors = {} if doors is None else doors
        self._replay = replay
        self._memory = MemoryJournal(hashed=hashing) if replay else None
        self.instruments = instruments_of(config)
        self.venues = tuple(config.venues)

    @property
    def synthetic(self) -> bool:
        """Whether the market is our own generator, or was when it was recorded."""
        return self.config.synthetic or self._facts.synthetic

    @property
    def bbo_only(self) -> tuple[str, ...]:
        """Instruments whose recording has no snapshot: the venue's own best bid and ask is all that can be proved."""
        if not self._recorded:
            return ()
        seeded = set(self._facts.with_snapshot)
        return tuple(i for i, x in self.instruments.items() if (x.venue, x.symbol) not in seeded)

    @property
    def _recorded(self) -> bool:
        return self.config.session != DEFAULT

    def _publish_ns(self, ms: int) -> int:
        return _NEVER_NS if self._replay else ms * 1_000_000

    def of_venue(self, venue: str) -> dict[str, Instrument]:
        """The instruments traded on one venue."""
        return {i: x for i, x in self.instruments.items() if x.venue == venue}

    def gateway(self, venue: str) -> GatewaySetup:
        """The order gateway of a venue."""
        config = self.config
        return GatewaySetup(
            venue=venue,
            instruments=self.of_venue(venue),
            board=self.paths.board,
            sent_log=None if self._replay else self.paths.sent(venue),
            max_order_notional_usd=self.config.risk.per_order_notional_cap * 2,
            orders_per_sec=max(50, config.risk.throttle_orders_per_sec),
            publish_ns=self._publish_ns(1_000),
        )

    @property
    def wired(self) -> bool:
        """Whether orders travel over sockets; recordings and virtual time have none."""
        return self.backends[0].backend is not Backend.SIMULATED

    @cached_property
    def backends(self) -> tuple[Resolved, ...]:
        """Where each venue's orders go, and why: the same in every process, because the environment is."""
        return backends_of(self.config, {} if self._replay else os.environ, played=self._replay)

    def gateway_start(self, venue: str) -> ChildStart:
        """The gateway, by the way that its orders go."""
        if not self.wired:
            return ChildStart(Gateway, _bind(self.gateway, venue))
        from supervision.order_wire import live_gateway  # noqa: PLC0415 - only cells that send pay for an HTTP client

        return live_gateway(venue, self.gateway(venue), self._sim_ports.get(venue, 0), self.config)

    def connector(self, venue: str) -> ConnectorSetup:
        """The connector of a venue."""
        config = self.config
        sim = config.venues[venue].sim
        backend = next(one for one in self.backends if one.venue == venue)
        return ConnectorSetup(
            venue=venue,
            instruments=self.of_venue(venue),
            sim=SimConfig(
                initial_balances=dict(sim.initial_balances),
                order_latency_ns=sim.order_latency_ms * 1_000_000,
                report_latency_ns=sim.report_latency_ms * 1_000_000,
                latency_jitter_ns=sim.jitter_ms * 1_000_000,
                write_ahead=not self._replay,
            ),
            sim_seed=config.generator.seed,
            paper_dir=None if self._replay else self.paths.paper,
            source=None if self._replay else self.source(venue),
            bbo_only=self.bbo_only,
            tape=self.tape(),
            watchers=() if self._replay else (f"features.{venue}", f"reporter.{venue}"),
            synthetic=self.synthetic,
            incarnation=1 if self._replay else 0,
            publish_ns=self._publish_ns(250),
            report_ns=self._publish_ns(1_000),
            gates=GateLimits(stream_stale_ms=config.risk.stale_ms, max_clock_skew_ms=config.risk.max_clock_skew_ms),
            takes_orders=not self.wired,
            backend=backend.backend.value,
            backend_reason=backend.reason,
        )

    def tape(self) -> TapeSetup | None:
        """Where what comes in is recorded; recordings are not recorded again."""
        recorder = self.config.recorder
        if self._replay or self._recorded or not recorder.enabled:
            return None
        return TapeSetup(
            wire=self.paths.wire,
            software=VERSION,
            limits=RecorderLimits(
                queue_bytes_max=_TAPE_QUEUE_BYTES,
                total_bytes_max=recorder.total_gb_max * 10**9,
                free_bytes_min=recorder.free_gb_min * 10**9,
            ),
        )

    def features(self, venue: str) -> FeaturesSetup:
        """The features of a venue's instruments, beside its connector: from every top, not from those of a link."""
        return FeaturesSetup(instruments=self.of_venue(venue), cell=f"venue.{venue}", judge=f"reporter.{venue}")

    def reporter(self, venue: str) -> ReporterSetup:
        """What operators read of a venue's markets."""
        return ReporterSetup(instruments=self.of_venue(venue), synthetic=self.synthetic, cell=f"venue.{venue}")

    def source(self, venue: str) -> SourceSpec:
        """Where a venue's bytes come from."""
        data = self.config.market_data
        if self._recorded:
            return self.embedded()
        port = self._sim_ports.get(venue, 0)
        return msgspec.structs.replace(
            self.embedded(),
            origin=Origin(data.source),
            port=port,
            views=data.views,
            reserve=data.reserve,
            ccxt=data.ccxt.terms(venue),
        )

    def embedded(self) -> SourceSpec:
        """The recording, or the generator, without a network."""
        config = self.config
        return SourceSpec(
            anchor_ns=self._anchor_ns,
            session=config.session if self._recorded else None,
            speed=config.speed,
            seed=config.generator.seed,
            funding_interval_s=config.generator.funding_interval_s,
            instruments=tuple(self.instruments),
            first_ns=self._facts.first_ns,
            last_ns=self._facts.last_ns,
        )

    def simvenue(self) -> object:
        """The loopback servers, one a venue."""
        from actors.simvenue import AccountSpec, SimServerSpec, SimVenueSetup  # noqa: PLC0415 - HTTP for one cell only

        def account(venue: str) -> AccountSpec:
            if not self.wired:
                return AccountSpec()
            return AccountSpec(
                directory=self.paths.account(venue),
                balances=dict(self.config.venues[venue].sim.initial_balances) or None,
                statement=os.environ.get(DRILLS_VARIABLE) == "1",
            )

        return SimVenueSetup(
            servers=tuple(
                SimServerSpec(
                    venue=venue,
                    source=self.embedded(),
                    instruments=tuple(self.of_venue(venue)),
                    port=self._sim_ports.get(venue, 0),
                    seed=self.config.generator.seed,
                    account=account(venue),
                )
                for venue in self.venues
            ),
            doors=self._doors,
        )

    def journal(self) -> JournalSetup:
        """The order journal."""
        if self._replay:
            return JournalSetup(path=None, memory=self._memory)
        return JournalSetup(path=self.paths.journal, url=self.config.journal.url or None)

    def governor(self) -> GovernorSetup:
        """The risk governor."""
        config = self.config
        return GovernorSetup(
            instruments=self.instruments,
            venues=self.venues,
            limits=limits_of(config, self.instruments),
            board=self.paths.board,
            brakes_file=None if self._replay else self.paths.brakes,
            amends_in_place=self.in_place,
            stops="protection" if self.holds_stops else None,
            publish_ns=self._publish_ns(500),
            silent_ns=0 if self._replay else _SILENT_NS,
            # Nobody but the run itself moves virtual time, so a permit cannot be late there: it is renewed less often.
            # In virtual time nobody can hang: the permit is there to be checked, not to run out.
            renew_ns=_REPLAY_RENEW_NS if self._replay else config.permit.renew_ms * 1_000_000,
            ttl_ns=_REPLAY_RENEW_NS + 2_000_000_000 if self._replay else config.permit.ttl_ms * 1_000_000,
        )

    @property
    def in_place(self) -> tuple[str, ...]:
        """The venues at which orders are amended in place."""
        amends = self.wired and self.config.execution.cancel_replace.enabled
        return amended_in_place(self.venues) if amends else ()

    def arbiter(self) -> ArbiterSetup:
        """The intent arbiter."""
        return ArbiterSetup(
            instruments=self.instruments,
            config=msgspec.structs.replace(
                arbiter_config(self.config, self.instruments), amends_in_place=self.in_place
            ),
            digest=self._replay,
        )

    def orders(self) -> OrdersSetup:
        """The order core."""
        deadlines, amends = self.config.execution.deadlines_ms, self.config.execution.cancel_replace
        return OrdersSetup(
            instruments=self.instruments,
            venues=self.venues,
            config=replacing(
                order_core(deadlines.place, deadlines.cancel, self.venues if self.wired else ()),
                self.venues,
                enabled=amends.enabled,
                max_latency_ms=amends.max_latency_ms,
            ),
            protection="protection" if self.protected else None,
            stops=self.holds_stops,
            publish_ns=self._publish_ns(1_000),
            checkpoint_ns=self.config.journal.checkpoint_sec * 1_000_000_000,
        )

    @property
    def protected(self) -> tuple[str, ...]:
        """The strategies whose positions are closed by themselves."""
        config = self.config
        everybody = config.risk.protective_exits.enabled
        return tuple(s for s, c in config.strategies.items() if everybody or c.protective_exits)

    @property
    def holds_stops(self) -> bool:
        """Whether venues are asked to hold stops below the desk's own watch: those that orders travel to can."""
        return bool(self.protected) and self.wired and self.config.risk.protective_exits.held_by == "both"

    def protection(self) -> ProtectionSetup:
        """Protective exits."""
        policy = exit_policy(self.config)
        held = {i for s in self.protected for i in self.config.strategies[s].instruments}
        return ProtectionSetup(
            instruments={i: x for i, x in self.instruments.items() if i in held},
            policies=dict.fromkeys(self.protected, policy),
            orders="orders" if self.holds_stops else None,
            publish_ns=self._publish_ns(1_000),
            ops=None if self._replay else "ops",
        )

    def portfolio(self) -> PortfolioSetup:
        """Positions and ledger."""
        return PortfolioSetup(
            instruments=self.instruments,
            strategies=tuple(self.config.strategies),
            ops=None if self._replay else "ops",
            recon=None if self._replay else self.recon(),
        )

    def recon(self) -> ReconSetup:
        """How what the portfolio books is compared with the venues' accounts."""
        told = self.config.reconcile
        return ReconSetup(
            config=recon_config(told),
            venues=self.venues,
            reports=self.paths.reports if told.keep_reports else None,
        )

    def market(self) -> MarketSetup:
        """The fan-out of market data."""
        tops: dict[str, tuple[str, ...]] = dict.fromkeys(self.instruments, ())
        trades: dict[str, tuple[str, ...]] = dict.fromkeys(self.instruments, ())
        for instrument_id in self.protection().instruments if self.protected else ():
            # Before the strategies: what closes a position knows the price before what opens one.
            tops[instrument_id] = trades[instrument_id] = ("protection",)
        for strategy_id, strategy in self.config.strategies.items():
            for instrument_id in strategy.instruments:
                tops[instrument_id] = (*tops[instrument_id], f"strategy.{strategy_id}")
                if hears_trades(strategy.kind):
                    trades[instrument_id] = (*trades[instrument_id], f"strategy.{strategy_id}")
        sampled = ["portfolio"]
        if compared(self.instruments):
            sampled.append("second_source")
        if not self._replay:
            sampled.append("universe")
        return MarketSetup(always=("governor", "arbiter"), sampled=tuple(sampled), tops=tops, trades=trades)

    def universe(self) -> UniverseSetup:
        """What may be traded at all; a paper configuration approves what it names."""
        config = self.config
        asked = not self._recorded and config.market_data.source != "embedded"
        return UniverseSetup(
            folder=self.paths.universe,
            rules=order_sizes(config.risk.per_order_notional_cap),
            instruments=self.instruments,
            venues=self.venues,
            seed=config.profile == "paper",
            synthetic=self.synthetic,
            table=not asked,
        )

    def second_source(self) -> SecondSourceSetup:
        """Prices of one venue against those of the others."""
        return SecondSourceSetup(instruments=self.instruments)

    def strategy(self, strategy_id: str) -> StrategySetup:
        """One strategy."""
        strategy = self.config.strategies[strategy_id]
        return StrategySetup(
            strategy_id=strategy_id,
            kind=strategy.kind,
            instruments={i: self.instruments[i] for i in strategy.instruments},
            params=dict(strategy.params),
            floor_usd=None if strategy.exact_sizes else self.config.execution.min_notional_usd,
            most_usd={i: self._most_usd(strategy, i) for i in strategy.instruments},
            arbiter="protection" if strategy_id in self.protected else "arbiter",
            ops=None if self._replay else "ops",
        )

    def _most_usd(self, strategy: StrategyConfig, instrument_id: str) -> Decimal:
        """What one order of a strategy may be worth by all of its limits."""
        risk = self.config.risk
        caps = (risk.per_order_notional_cap, risk.notional_caps.symbol(instrument_id), strategy.budget_usd)
        return min(caps)

    # Supervisors' tables.

    def core_tree(self, cell: str) -> SupervisorSetup:
        """journal, governor, arbiter, orders, portfolio and protective exits stand and fall together."""
        starts: dict[str, ChildStart] = {
            "journal": ChildStart(Journal, self.journal),
            "governor": ChildStart(Governor, self.governor),
            "orders": ChildStart(Orders, self.orders),
            "portfolio": ChildStart(PortfolioActor, self.portfolio),
            "arbiter": ChildStart(ArbiterActor, self.arbiter),
            "market": ChildStart(Market, self.market),
            "second_source": ChildStart(SecondSource, self.second_source),
        }
        if self.protected:
            starts["protection"] = ChildStart(ProtectionActor, self.protection)
        return self._table("core", Strategy.ONE_FOR_ALL, starts, cell)

    def strategies_tree(self, cell: str) -> SupervisorSetup:
        """Strategies fail alone, and beyond their intensity stay stopped under HOLD."""
        starts = {f"strategy.{s}": ChildStart(StrategyActor, _bind(self.strategy, s)) for s in self.config.strategies}
        scopes = {f"strategy.{s}": f"strategy:{s}" for s in self.config.strategies}
        return self._table("strategies", Strategy.ONE_FOR_ONE, starts, cell, beyond=Beyond.HOLD_CHILD, scopes=scopes)

    def venue_tree(self, venue: str, cell: str) -> SupervisorSetup:
        """Gateway, then connector, then what only looks on: what is upstream of a failure stays."""
        starts: dict[str, ChildStart] = {
            f"gateway.{venue}": self.gateway_start(venue),
            f"connector.{venue}": ChildStart(Connector, _bind(self.connector, venue)),
        }
        if not self._replay:
            starts[f"features.{venue}"] = ChildStart(Features, _bind(self.features, venue))
            starts[f"reporter.{venue}"] = ChildStart(MarketReporter, _bind(self.reporter, venue))
        return self._table(f"venue.{venue}", Strategy.REST_FOR_ONE, starts, cell)

    def watch_tree(self, cell: str) -> SupervisorSetup:
        """Drop copies and guards: each fails alone, and where orders do not travel there is nothing to look after."""
        starts: dict[str, ChildStart] = {}
        if self.wired:
            from supervision.drop_copy import watchers  # noqa: PLC0415 - as the gateways, an HTTP client

            starts = watchers(self.venues, self.instruments, self._sim_ports, self.config, self.paths)
        scopes = {name: f"venue:{name.partition('.')[2]}" for name in starts}
        return self._table("watch-top", Strategy.ONE_FOR_ONE, starts, cell, beyond=Beyond.HOLD_CHILD, scopes=scopes)

    def universe_tree(self, cell: str) -> SupervisorSetup:
        """What may be traded at all: its failure is nobody else's, and its brakes stay on meanwhile."""
        return self._table(
            "universe-top", Strategy.ONE_FOR_ONE, {"universe": ChildStart(Universe, self.universe)}, cell
        )

    def simvenue_tree(self, cell: str) -> SupervisorSetup:
        """The loopback servers of all venues."""
        starts = {SIMVENUE: ChildStart(SIMVENUE_ACTOR, self.simvenue)}
        return self._table(f"{SIMVENUE}-top", Strategy.ONE_FOR_ONE, starts, cell)

    def _table(
        self,
        name: str,
        strategy: Strategy,
        starts: dict[str, ChildStart],
        cell: str,
        *,
        beyond: Beyond = Beyond.ESCALATE,
        scopes: Mapping[str, str] | None = None,
    ) -> SupervisorSetup:
        supervision = self.config.supervision
        scopes = scopes or {}
        spec = SupervisorSpec(
            id=name,
            strategy=strategy,
            children=tuple(ChildSpec(id=i, scope=scopes.get(i)) for i in starts),
            intensity=supervision.intensity,
            period_ms=supervision.period_s * 1_000,
            backoff_ms_min=supervision.backoff.initial_ms,
            backoff_ms_max=supervision.backoff.max_ms,
            beyond=beyond,
        )
        return SupervisorSetup(spec=spec, starts=starts, cell=cell)


def _bind(make: Callable[[str], object], argument: str) -> Callable[[], object]:
    return lambda: make(argument)


def open_doors(plan: CellPlan) -> dict[str, socket.socket]:
    """The sockets of a cell's loopback servers, by venue, listening before the servers are there to serve them.

    Whoever connects meanwhile waits a moment; refused, it would come again after half a second to two. A port that is
    taken has no door: the server says so.
    """
    doors: dict[str, socket.socket] = {}
    for venue, port in plan.sim_ports.items() if SIMVENUE in plan.roles else ():
        try:
            doors[venue] = socket.create_server((LOOPBACK, port))
        except OSError:
            continue
    return doors


def plan_cell(plan: CellPlan, doors: dict[str, socket.socket] | None = None) -> list[tuple[str, type[Any], object]]:
    """The top supervisors of a cell: name, class, setup."""
    config = DeskConfig.model_validate_json(plan.config, strict=False)
    wiring = Wiring(
        config, plan.paths, anchor_ns=plan.anchor_ns, facts=plan.facts, sim_ports=plan.sim_ports, doors=doors
    )
    tops: list[tuple[str, type[Any], object]] = []
    if SIMVENUE in plan.roles:
        tops.append((f"{SIMVENUE}-top", Supervisor, wiring.simvenue_tree(plan.cell)))
    if "desk" in plan.roles:
        tops.append(("core", Supervisor, wiring.core_tree(plan.cell)))
        tops.append(("strategies", Supervisor, wiring.strategies_tree(plan.cell)))
        tops.append(("universe-top", Supervisor, wiring.universe_tree(plan.cell)))
    for role in plan.roles:
        if role.startswith("venue:"):
            venue = role.removeprefix("venue:")
            tops.append((f"venue.{venue}", Supervisor, wiring.venue_tree(venue, plan.cell)))
    if "ops" in plan.roles:
        tops.append(("ops-top", Supervisor, _ops_tree(config, plan)))
        if wiring.wired:
            tops.append(("watch-top", Supervisor, wiring.watch_tree(plan.cell)))
    return tops


def _ops_tree(config: DeskConfig, plan: CellPlan) -> SupervisorSetup:
    def setup() -> object:
        return OpsSetup(
            host=config.server.host,
            port=config.server.port,
            telegram_token=os.environ.get(config.telegram.token_env, ""),
            allowed_chat_ids=tuple(config.telegram.allowed_chat_ids),
            version=VERSION,
            profile=config.profile,
            journal=config.journal.url or str(plan.paths.journal),
            context=config.context.model_dump_json().encode(),
            traces=config.telemetry.traces.export(Path(plan.paths.data)),
            operations=str(plan.paths.operations),
            trades=config.telemetry.trades.log(Path(plan.paths.data)),
            quote=config.quote,
            redis_url=config.limits.redis_url,
            redis_password=os.environ.get(config.limits.redis_password_env, ""),
        )

    spec = SupervisorSpec(
        id="ops-top",
        strategy=Strategy.ONE_FOR_ONE,
        children=(ChildSpec(id="ops"),),
        intensity=config.supervision.intensity,
        period_ms=config.supervision.period_s * 1_000,
        backoff_ms_min=config.supervision.backoff.initial_ms,
        backoff_ms_max=config.supervision.backoff.max_ms,
    )
    return SupervisorSetup(spec=spec, starts={"ops": ChildStart(OPS_ACTOR, setup)}, cell=plan.cell)
