"""Who runs where: from the configuration to cells, supervisors' tables and actors' setups.

One table for every base: the daemon's cells, a single cell with everything, and replay in virtual time are built
from the same functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from actors.arbiter import ArbiterActor, ArbiterSetup
from actors.connector import Connector, ConnectorSetup
from actors.gateway import Gateway, GatewaySetup
from actors.journal import Journal, JournalSetup
from actors.market import Market, MarketSetup
from actors.messages import BrakeCleared, BrakeSet, Flood, RawFrame
from actors.ops import OpsSetup
from actors.orders import Orders, OrdersSetup
from actors.portfolio import PortfolioActor, PortfolioSetup
from actors.risk import Governor, GovernorSetup
from actors.strategy import StrategyActor, StrategySetup
from adapters.binance.instruments import INSTRUMENTS as LISTED
from adapters.config import DeskConfig
from adapters.journal.store import MemoryJournal
from adapters.sources import SourceSpec
from adapters.wirelog import SessionFacts
from supervision.bases.mailbox import MessageClass, OverflowPolicy
from supervision.plan import CellPlan, Paths, RootPlan, paths_of
from supervision.policy import Beyond, ChildSpec, Strategy, SupervisorSpec
from supervision.supervisor import ChildStart, Supervisor, SupervisorSetup
from trading.arbiter.config import ArbiterConfig, StrategyBudget
from trading.instruments import Instrument
from trading.market.events import BookTop, MarkPrice, Trade
from trading.market.gates import GateLimits
from trading.operators import OperatorCommand, Published
from trading.orders.core import OrderCoreConfig
from trading.risk.limits import InstrumentLimits, RiskLimits
from trading.sim.config import SimConfig
from trading.strategies.base import build_strategy, hears_trades

VERSION = "0.1.0"
INSTRUMENTS = {x.instrument_id: x for x in LISTED}
OPS_ACTOR = "api.actor.OpsActor"
"""By name: the faces are a ring of their own, and only the cell that serves them pays for an HTTP server."""
_REPLAY_RENEW_NS = 8_000_000_000
_NEVER_NS = 10**18
"""Nobody looks at a virtual run while it runs: its facts are read from the actors at the end."""


def root_plan(config: DeskConfig, *, anchor_ns: int, facts: SessionFacts) -> RootPlan:
    """The plan of a whole desk started by this process."""
    supervision = config.supervision
    return RootPlan(
        config=config.model_dump_json().encode(),
        placement={cell: tuple(roles) for cell, roles in config.placement.items()},
        paths=paths_of(config.data_path),
        anchor_ns=anchor_ns,
        facts=facts,
        starter_pid=os.getpid(),
        hang_ms=supervision.hang_ms,
        heartbeat_ms=supervision.heartbeat_ms,
        orphan_ms=supervision.hang_ms + 2 * supervision.heartbeat_ms,
        intensity=supervision.intensity,
        period_ms=supervision.period_s * 1_000,
        backoff_ms_min=supervision.backoff.initial_ms,
        backoff_ms_max=supervision.backoff.max_ms,
    )


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
    if kind is OperatorCommand or kind is BrakeSet or kind is BrakeCleared:
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
        replay: bool = False,
        hashing: bool = True,
    ) -> None:
        self.config = config
        self.paths = paths
        self._anchor_ns = anchor_ns
        self._facts = facts or SessionFacts()
        self._replay = replay
        self._memory = MemoryJournal(hashed=hashing) if replay else None
        self.instruments = instruments_of(config)
        self.venues = tuple(config.venues)

    @property
    def synthetic(self) -> bool:
        """Whether the market is our own generator."""
        return self.config.session == "default"

    @property
    def bbo_only(self) -> tuple[str, ...]:
        """Instruments whose recording has no snapshot: the venue's own best bid and ask is all that can be proved."""
        seeded = set(self._facts.with_snapshot)
        return tuple(i for i, x in self.instruments.items() if not self.synthetic and (x.venue, x.symbol) not in seeded)

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

    def connector(self, venue: str) -> ConnectorSetup:
        """The connector of a venue."""
        config = self.config
        sim = config.venues[venue].sim
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
            synthetic=self.synthetic,
            incarnation=1 if self._replay else 0,
            publish_ns=self._publish_ns(250),
            gates=GateLimits(stream_stale_ms=config.risk.stale_ms, max_clock_skew_ms=config.risk.max_clock_skew_ms),
        )

    def source(self, venue: str) -> SourceSpec:
        """Where a venue's bytes come from."""
        config = self.config
        return SourceSpec(
            anchor_ns=self._anchor_ns,
            session=None if self.synthetic else config.session,
            speed=config.speed,
            seed=config.generator.seed,
            funding_interval_s=config.generator.funding_interval_s,
            instruments=tuple(self.instruments),
            first_ns=self._facts.first_ns,
            last_ns=self._facts.last_ns,
        )

    def journal(self) -> JournalSetup:
        """The order journal."""
        return JournalSetup(path=None if self._replay else self.paths.journal, memory=self._memory)

    def governor(self) -> GovernorSetup:
        """The risk governor."""
        config = self.config
        return GovernorSetup(
            instruments=self.instruments,
            venues=self.venues,
            limits=limits_of(config, self.instruments),
            board=self.paths.board,
            brakes_file=None if self._replay else self.paths.brakes,
            publish_ns=self._publish_ns(500),
            # Nobody but the run itself moves virtual time, so a permit cannot be late there: it is renewed less often.
            # In virtual time nobody can hang: the permit is there to be checked, not to run out.
            renew_ns=_REPLAY_RENEW_NS if self._replay else config.permit.renew_ms * 1_000_000,
            ttl_ns=_REPLAY_RENEW_NS + 2_000_000_000 if self._replay else config.permit.ttl_ms * 1_000_000,
        )

    def arbiter(self) -> ArbiterSetup:
        """The intent arbiter."""
        return ArbiterSetup(
            instruments=self.instruments,
            config=arbiter_config(self.config, self.instruments),
            digest=self._replay,
        )

    def orders(self) -> OrdersSetup:
        """The order core."""
        deadlines = self.config.execution.deadlines_ms
        return OrdersSetup(
            instruments=self.instruments,
            venues=self.venues,
            config=OrderCoreConfig(place_deadline_ms=deadlines.place, cancel_deadline_ms=deadlines.cancel),
            publish_ns=self._publish_ns(1_000),
        )

    def portfolio(self) -> PortfolioSetup:
        """Positions and ledger."""
        return PortfolioSetup(
            instruments=self.instruments,
            strategies=tuple(self.config.strategies),
            ops=None if self._replay else "ops",
        )

    def market(self) -> MarketSetup:
        """The fan-out of market data."""
        tops: dict[str, tuple[str, ...]] = dict.fromkeys(self.instruments, ())
        trades: dict[str, tuple[str, ...]] = dict.fromkeys(self.instruments, ())
        for strategy_id, strategy in self.config.strategies.items():
            for instrument_id in strategy.instruments:
                tops[instrument_id] = (*tops[instrument_id], f"strategy.{strategy_id}")
                if hears_trades(strategy.kind):
                    trades[instrument_id] = (*trades[instrument_id], f"strategy.{strategy_id}")
        return MarketSetup(always=("governor", "arbiter"), sampled=("portfolio",), tops=tops, trades=trades)

    def strategy(self, strategy_id: str) -> StrategySetup:
        """One strategy."""
        strategy = self.config.strategies[strategy_id]
        return StrategySetup(
            strategy_id=strategy_id,
            kind=strategy.kind,
            instruments={i: self.instruments[i] for i in strategy.instruments},
            params=dict(strategy.params),
            ops=None if self._replay else "ops",
        )

    # Supervisors' tables.

    def core_tree(self, cell: str) -> SupervisorSetup:
        """journal, governor, arbiter, orders and portfolio stand and fall together."""
        starts: dict[str, ChildStart] = {
            "journal": ChildStart(Journal, self.journal),
            "governor": ChildStart(Governor, self.governor),
            "orders": ChildStart(Orders, self.orders),
            "portfolio": ChildStart(PortfolioActor, self.portfolio),
            "arbiter": ChildStart(ArbiterActor, self.arbiter),
            "market": ChildStart(Market, self.market),
        }
        return self._table("core", Strategy.ONE_FOR_ALL, starts, cell)

    def strategies_tree(self, cell: str) -> SupervisorSetup:
        """Strategies fail alone, and beyond their intensity stay stopped under HOLD."""
        starts = {f"strategy.{s}": ChildStart(StrategyActor, _bind(self.strategy, s)) for s in self.config.strategies}
        scopes = {f"strategy.{s}": f"strategy:{s}" for s in self.config.strategies}
        return self._table("strategies", Strategy.ONE_FOR_ONE, starts, cell, beyond=Beyond.HOLD_CHILD, scopes=scopes)

    def venue_tree(self, venue: str, cell: str) -> SupervisorSetup:
        """Gateway, then connector: what is upstream of a failure stays."""
        starts = {
            f"gateway.{venue}": ChildStart(Gateway, _bind(self.gateway, venue)),
            f"connector.{venue}": ChildStart(Connector, _bind(self.connector, venue)),
        }
        return self._table(f"venue.{venue}", Strategy.REST_FOR_ONE, starts, cell)

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


def plan_cell(plan: CellPlan) -> list[tuple[str, type[Any], object]]:
    """The top supervisors of a cell: name, class, setup."""
    config = DeskConfig.model_validate_json(plan.config, strict=False)
    wiring = Wiring(config, plan.paths, anchor_ns=plan.anchor_ns, facts=plan.facts)
    tops: list[tuple[str, type[Any], object]] = []
    if "desk" in plan.roles:
        tops.append(("core", Supervisor, wiring.core_tree(plan.cell)))
        tops.append(("strategies", Supervisor, wiring.strategies_tree(plan.cell)))
    for role in plan.roles:
        if role.startswith("venue:"):
            venue = role.removeprefix("venue:")
            tops.append((f"venue.{venue}", Supervisor, wiring.venue_tree(venue, plan.cell)))
    if "ops" in plan.roles:
        tops.append(("ops-top", Supervisor, _ops_tree(config, plan)))
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
            journal=str(plan.paths.journal),
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


def restrict(config: DeskConfig, facts: SessionFacts) -> tuple[DeskConfig, list[str]]:
    """The configuration without what a recording does not have, and what was left out, in words."""
    left_out: list[str] = []
    have = {i for i, x in INSTRUMENTS.items() if (x.venue, x.symbol) in set(facts.symbols)}
    given = config.model_dump()
    for venue, venue_config in list(given["venues"].items()):
        kept = [i for i in venue_config["instruments"] if i in have]
        left_out.extend(f"instrument {i}" for i in venue_config["instruments"] if i not in have)
        if kept:
            venue_config["instruments"] = kept
        else:
            del given["venues"][venue]
    for strategy_id, strategy in list(given["strategies"].items()):
        if not all(i in have for i in strategy["instruments"]):
            left_out.append(f"strategy {strategy_id}")
            del given["strategies"][strategy_id]
    if not given["venues"]:
        raise ValueError(f"the session has none of the configured instruments; it has {facts.symbols}")
    roles = {"desk", "ops", *(f"venue:{v}" for v in given["venues"])}
    placement = {c: [r for r in rs if r in roles] for c, rs in given["placement"].items()}
    given["placement"] = {c: rs for c, rs in placement.items() if rs}
    caps = given["risk"]["notional_caps"]
    caps["per_symbol"] = {k: v for k, v in caps["per_symbol"].items() if k in have or k == "default"}
    caps["per_venue"] = {k: v for k, v in caps["per_venue"].items() if k in given["venues"] or k == "default"}
    return DeskConfig.model_validate(given), left_out


def instruments_of(config: DeskConfig) -> dict[str, Instrument]:
    """The instruments that the configuration trades; ``ValueError`` for one that nobody described."""
    found: dict[str, Instrument] = {}
    for venue, venue_config in config.venues.items():
        for instrument_id in venue_config.instruments:
            instrument = INSTRUMENTS.get(instrument_id)
            if instrument is None or instrument.venue != venue:
                known = sorted(i for i, x in INSTRUMENTS.items() if x.venue == venue)
                raise ValueError(f"venues.{venue}.instruments: {instrument_id} is not known there; known: {known}")
            found[instrument_id] = instrument
    return found


def check_strategies(config: DeskConfig) -> None:
    """Build every strategy once and throw it away; ``ValueError`` names the one that cannot be built and why."""
    instruments = instruments_of(config)
    for strategy_id, strategy in config.strategies.items():
        mine = {i: instruments[i] for i in strategy.instruments}
        try:
            build_strategy(strategy.kind, strategy_id, mine, dict(strategy.params), 1)
        except ValueError as error:
            raise ValueError(f"strategies.{strategy_id}: {error}") from error


def limits_of(config: DeskConfig, instruments: Mapping[str, Instrument]) -> RiskLimits:
    """The governor's limits."""
    risk = config.risk
    caps = risk.notional_caps
    return RiskLimits(
        max_order_notional_usd=risk.per_order_notional_cap,
        max_position_notional_usd=caps.per_symbol["default"],
        max_venue_notional_usd=caps.per_venue["default"],
        max_global_notional_usd=caps.gross,
        max_long_notional_usd=caps.gross,
        max_short_notional_usd=caps.gross,
        max_inflight_orders=risk.max_inflight_orders,
        price_band_bps=risk.price_band_bps,
        max_slippage_bps=risk.max_slippage_bps,
        orders_per_sec=risk.throttle_orders_per_sec,
        orders_per_symbol_per_min=config.execution.pace.orders_per_symbol_per_min,
        daily_loss_cap_usd=risk.daily_loss_cap_usd,
        # The drawdown that holds (2.5 % of capital) is the daily cap again, from the day's best and not from its start.
        capital_usd=risk.daily_loss_cap_usd * 40,
        stale_book_ms=risk.stale_ms,
        post_only_staleness_ms=config.execution.post_only.staleness_ms,
        by_instrument={i: InstrumentLimits(max_position_notional_usd=caps.symbol(i)) for i in instruments},
        by_venue_notional_usd={v: caps.venue(v) for v in config.venues},
    )


def arbiter_config(config: DeskConfig, instruments: Mapping[str, Instrument]) -> ArbiterConfig:
    """Budgets, priorities and pace of the arbiter; it keeps a little inside the governor's limits."""
    caps = config.risk.notional_caps
    return ArbiterConfig(
        budgets={
            s: StrategyBudget(priority=c.priority, max_notional_usd=c.budget_usd) for s, c in config.strategies.items()
        },
        max_position_notional_usd=caps.per_symbol["default"],
        by_instrument_notional_usd={i: caps.symbol(i) for i in instruments},
        max_order_notional_usd=config.risk.per_order_notional_cap * Decimal("0.9"),
        stale_book_ms=config.risk.stale_ms,
        post_only_staleness_ms=int(config.execution.post_only.staleness_ms * 0.9),
        max_orders_per_sec=config.risk.throttle_orders_per_sec,
        orders_per_symbol_per_min=int(config.execution.pace.orders_per_symbol_per_min * 0.96),
        min_order_interval_ms=config.execution.pace.min_order_interval_ms,
        min_quote_interval_ms=config.execution.pace.min_quote_interval_ms,
    )
