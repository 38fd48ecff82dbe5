"""The desk's configuration: every key, its unit, its default and its bounds.

Owns the model and what may not be configured. Reading files and the environment, and wording what is wrong, is
`config.py`; what is about orders on their way is in `config_orders.py`, the kinds of values in `config_values.py`.
Secrets are not configuration: keys name the environment variables that carry them.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from adapters.ccxt_venues.config import CcxtConfig
from adapters.ccxt_venues.instruments import VENUES as CCXT_VENUES
from adapters.config_orders import DropCopyConfig, ExecutionConfig, GuardConfig, LimitsConfig, ReconcileConfig
from adapters.config_values import DEFAULT, LOOPBACK, Amount, InstrumentId, Model, Money, Ms, Name, Ratio, Scalar
from adapters.context_model import ContextConfig
from adapters.telemetry.config import TelemetryConfig
from trading.universe.ids import parse_market_id
from trading.universe.quotes import AUTO as ANY_QUOTE
from trading.universe.quotes import PREFERENCE, QuoteChoice, choose_quote

PROJECT_ROOT: Final = Path(__file__).resolve().parents[1]
SIMVENUE: Final = "simvenue"
"""The role, and by default the cell, of the loopback servers."""
AUTO: Final = "auto"
"""What `execution.orders` is where nothing is said; the model holds what follows from it."""


class ServerConfig(Model):
    """Where the operators' HTTP listens."""

    host: str = LOOPBACK
    port: Annotated[int, Field(ge=1, le=65535)] = 8000

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        if host != LOOPBACK:
            raise ValueError(f"the desk listens on {LOOPBACK} only; use a tunnel to reach it from elsewhere")
        return host


class SimConfig(Model):
    """The simulated venue: latencies one way, in milliseconds, and what the account holds at first, by asset."""

    order_latency_ms: Annotated[int, Field(ge=0, le=60_000)] = 15
    report_latency_ms: Annotated[int, Field(ge=0, le=60_000)] = 15
    jitter_ms: Annotated[int, Field(ge=0, le=60_000)] = 10
    initial_balances: dict[str, Amount] = {}


class VenueConfig(Model):
    """One venue and what is traded there."""

    instruments: Annotated[list[InstrumentId], Field(min_length=1, max_length=64)]
    sim: SimConfig = SimConfig()


class MarketDataConfig(Model):
    """Where market data comes from when no recording is played.

    ``sim``: loopback servers of ours that speak the venues' protocols, fed by the generator. ``embedded``: the
    generator inside each venue's cell, without a network. ``live``: the venues' own public streams; no key is needed.
    ``views`` is how many parallel connections each venue is watched by; ``sim_port`` is the first port of the loopback
    servers, 0 takes free ones. ``reserve``: when a venue's own streams are lost for ten seconds, ccxt shows its market
    meanwhile; nothing is traded on what comes that way.
    """

    source: Literal["sim", "embedded", "live"] = "sim"
    views: Annotated[int, Field(ge=1, le=4)] = 1
    sim_port: Annotated[int, Field(ge=0, le=65_000)] = 0
    reserve: bool = True
    ccxt: CcxtConfig = CcxtConfig()


class RecorderConfig(Model):
    """Wire logs of everything inbound, in ``history/wire`` of the data directory.

    All sessions together hold at most ``total_gb_max``, the oldest go first, and ``free_gb_min`` of the disk are left
    to others.
    """

    enabled: bool = True
    total_gb_max: Annotated[int, Field(ge=1, le=100_000)] = 20
    free_gb_min: Annotated[int, Field(ge=0, le=100_000)] = 2


class JournalConfig(Model):
    """Where the order journal lies: without ``url`` in ``journal.db`` of the data directory, else in PostgreSQL.

    A password does not stand in the URL: libpq finds it in ``~/.pgpass`` or ``PGPASSWORD``. The order core's state is
    kept beside the rows every ``checkpoint_sec``: a start reads what came after.
    """

    url: Annotated[str, Field(max_length=500)] = ""
    checkpoint_sec: Annotated[int, Field(ge=1, le=3_600)] = 60

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        if not url:
            return url
        scheme, separator, rest = url.partition("://")
        if scheme not in {"postgresql", "postgresql+psycopg"} or not separator:
            raise ValueError("write postgresql://user@host:5432/database, or nothing for the file in data_dir")
        if ":" in rest.rpartition("@")[0] or "password=" in rest:
            raise ValueError("a password does not stand in the configuration: put it into ~/.pgpass or PGPASSWORD")
        return url


class GeneratorConfig(Model):
    """The synthetic market; equal seeds, equal markets. Activity, volatility and basis multiply the calibrated ones."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 7
    funding_interval_s: Annotated[int, Field(ge=10, le=86_400)] = 28_800
    activity: Annotated[Ratio, Field(ge=0.01, le=20)] = 1.0
    volatility: Annotated[Ratio, Field(le=20)] = 1.0
    basis: Annotated[Ratio, Field(le=20)] = 1.0


class StrategyConfig(Model):
    """One strategy. ``params`` belong to its kind, which validates them; a smaller ``priority`` goes first.

    ``protective_exits`` closes its positions by ``risk.protective_exits``, also where that is not enabled for all.
    ``exact_sizes``: an opening order that is too small is left out, and not made as large as it must be.
    """

    kind: Name
    instruments: Annotated[list[InstrumentId], Field(min_length=1, max_length=16)]
    params: Annotated[dict[str, Scalar], Field(max_length=64)] = {}
    priority: Annotated[int, Field(ge=0, le=1000)] = 100
    budget_usd: Money = Decimal(1000)
    protective_exits: bool = False
    exact_sizes: bool = False


class NotionalCaps(Model):
    """Worst-case notional in USD. ``default`` in a table holds for those that it does not name."""

    per_symbol: dict[str, Money] = {DEFAULT: Decimal(2000)}
    per_venue: dict[str, Money] = {DEFAULT: Decimal(5000)}
    gross: Money = Decimal(12000)

    @field_validator("per_symbol", "per_venue")
    @classmethod
    def _has_default(cls, table: dict[str, Decimal]) -> dict[str, Decimal]:
        if DEFAULT not in table:
            raise ValueError(f"add a key {DEFAULT!r}: the cap of those that are not named")
        return table

    def symbol(self, instrument_id: str) -> Decimal:
        """The cap of one instrument, USD."""
        return self.per_symbol.get(instrument_id, self.per_symbol[DEFAULT])

    def venue(self, venue: str) -> Decimal:
        """The cap of one venue, USD."""
        return self.per_venue.get(venue, self.per_venue[DEFAULT])


class ProtectiveExitsConfig(Model):
    """When a position is closed by itself; ``enabled`` asks it for every strategy.

    Distances are per cent of the average entry, 0 leaves one out; a named ``policy`` measures them in average true
    ranges as soon as these are known, and has its own pause. ``watched`` is whose price is compared. ``held_by`` both
    lets the venue hold a stop below the desk's own watch, where orders travel and the venue can bind it to closing;
    ``at_venue`` oco the take-profit too, as two orders of which one cancels the other.
    """

    enabled: bool = False
    policy: Literal["percent", "conservative", "moderate", "aggressive"] = "percent"
    stop_loss_pct: Annotated[Money, Field(lt=100)] = Decimal(2)
    take_profit_pct: Annotated[Money, Field(lt=100)] = Decimal(4)
    watched: Literal["mark", "last", "index", "touch"] = "mark"
    held_by: Literal["desk", "both"] = "desk"
    at_venue: Literal["stop_loss", "oco"] = "stop_loss"
    cooldown_s: Annotated[int, Field(ge=1, le=86_400)] = 30
    stuck_s: Annotated[int, Field(ge=1, le=86_400)] = 300

    @model_validator(mode="after")
    def _protects(self) -> Self:
        if not (self.stop_loss_pct or self.take_profit_pct):
            raise ValueError("protective_exits.stop_loss_pct: it and take_profit_pct are both 0; name one")
        return self


class RiskConfig(Model):
    """Limits. 0 allows nothing; there is no value for "unlimited", and a live profile refuses 0."""

    per_order_notional_cap: Money = Decimal(500)
    notional_caps: NotionalCaps = NotionalCaps()
    price_band_bps: Money = Decimal(100)
    max_slippage_bps: Money = Decimal(20)
    throttle_orders_per_sec: Annotated[int, Field(ge=0, le=1000)] = 5
    max_inflight_orders: Annotated[int, Field(ge=0, le=1000)] = 20
    daily_loss_cap_usd: Money = Decimal(500)
    stale_ms: Ms = 1200
    max_clock_skew_ms: Ms = 2000
    protective_exits: ProtectiveExitsConfig = ProtectiveExitsConfig()


class QuotesConfig(Model):
    """The quote that a symbol without one means (`BTC`): ``pref`` is auto, USDT, USDC, EUR or PLN; ``override`` wins.

    A quote in which no configured market trades is refused. Where ``limits.redis_url`` names a Redis, other programs
    are told there, under the key and channel ``propdesk:quote``.
    """

    pref: Annotated[str, Field(max_length=8)] = ANY_QUOTE
    override: Annotated[str, Field(max_length=8)] = ""


class BackoffConfig(Model):
    """The wait before a restart: doubles from ``initial_ms`` to ``max_ms``, plus up to ``jitter`` of itself."""

    initial_ms: Ms = 100
    max_ms: Ms = 5000
    jitter: Annotated[Ratio, Field(le=1)] = 0.2


class SupervisionConfig(Model):
    """Restarts and hangs: more than ``intensity`` restarts within ``period_s`` escalate, at last to HOLD."""

    heartbeat_ms: Ms = 100
    hang_ms: Ms = 600
    intensity: Annotated[int, Field(ge=0, le=100)] = 5
    period_s: Annotated[int, Field(ge=1, le=3600)] = 60
    backoff: BackoffConfig = BackoffConfig()

    @model_validator(mode="after")
    def _hang_outlasts_beats(self) -> SupervisionConfig:
        if self.hang_ms < 3 * self.heartbeat_ms:
            raise ValueError(f"hang_ms {self.hang_ms} must be at least 3 heartbeats of {self.heartbeat_ms} ms")
        return self


class PermitConfig(Model):
    """The permit's renewal and life; what lies between is how often a renewal may be late."""

    renew_ms: Ms = 100
    ttl_ms: Annotated[int, Field(ge=1, le=5000)] = 500

    @model_validator(mode="after")
    def _outlives_renewals(self) -> PermitConfig:
        if self.ttl_ms < 2 * self.renew_ms:
            raise ValueError(f"ttl_ms {self.ttl_ms} must be at least 2 renewals of {self.renew_ms} ms")
        return self


class TelegramConfig(Model):
    """The Telegram face: off without chats. ``token_env`` names the variable that holds the bot's token."""

    token_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")] = "TELEGRAM_BOT_TOKEN"  # noqa: S105  # a name
    allowed_chat_ids: Annotated[list[int], Field(max_length=32)] = []


class LoggingConfig(Model):
    """Logs on stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"


def _default_venues() -> dict[str, VenueConfig]:
    def sim(**balances: str) -> SimConfig:
        return SimConfig(initial_balances={asset: Decimal(amount) for asset, amount in balances.items()})

    return {
        "binance": VenueConfig(instruments=["BINANCE:SPOT:BTC-USDT"], sim=sim(USDT="50000", BTC="0.5")),
        "binanceusdm": VenueConfig(instruments=["BINANCEUSDM:PERP:BTC-USDT:LINEAR"], sim=sim(USDT="50000")),
        "binancecoinm": VenueConfig(instruments=["BINANCECOINM:PERP:BTC-USD:INVERSE"], sim=sim(BTC="0.8")),
    }


def _default_strategies() -> dict[str, StrategyConfig]:
    spot, usdm, coinm = (venue.instruments[0] for venue in _default_venues().values())
    return {
        "maker-usdm": StrategyConfig(
            kind="maker",
            instruments=[usdm],
            params={"spread_sigmas": Decimal("0.5")},
            priority=100,
            budget_usd=Decimal(2000),
        ),
        "maker-coinm": StrategyConfig(
            kind="maker",
            instruments=[coinm],
            params={"min_edge_bps": Decimal("1.5"), "spread_sigmas": Decimal("0.5")},
            priority=100,
            budget_usd=Decimal(2000),
        ),
        "maker-spot": StrategyConfig(
            kind="maker",
            instruments=[spot],
            params={
                "fair_half_life_s": 120,
                "min_edge_bps": 2,
                "max_inventory_usd": 900,
                "own_inventory_usd": 900,
            },
            priority=100,
            budget_usd=Decimal(1000),
        ),
        "momentum-usdm": StrategyConfig(kind="momentum", instruments=[usdm], priority=50, budget_usd=Decimal(1000)),
        "momentum-coinm": StrategyConfig(kind="momentum", instruments=[coinm], priority=50, budget_usd=Decimal(1000)),
        "basis-usdm-coinm": StrategyConfig(
            kind="basis", instruments=[usdm, coinm], priority=20, budget_usd=Decimal(1000)
        ),
    }


def _wants_simvenue(given: Mapping[str, Any]) -> bool:
    data = given.get("market_data") or {}
    source = data.get("source", "sim") if isinstance(data, Mapping) else getattr(data, "source", "sim")
    return source == "sim" and given.get("session", DEFAULT) == DEFAULT


def _with_simvenue(placement: Any, *, wanted: bool) -> Any:  # pydantic has not looked at it yet
    """The placement with a cell for the loopback servers exactly where they are wanted: they are not the user's."""
    if not isinstance(placement, Mapping) or not all(isinstance(roles, list | tuple) for roles in placement.values()):
        return placement
    placed = any(SIMVENUE in roles for roles in placement.values())
    if wanted:
        return placement if placed else {**placement, SIMVENUE: [SIMVENUE]}
    kept = {cell: [role for role in roles if role != SIMVENUE] for cell, roles in placement.items()}
    return {cell: roles for cell, roles in kept.items() if roles}


def _with_orders(execution: Any, *, wired: bool) -> Any:  # pydantic has not looked at it yet
    """The execution with the way that orders go by themselves: over a wire where there is somebody at its other end."""
    if execution is None:
        execution = {}
    if not isinstance(execution, Mapping) or execution.get("orders", AUTO) != AUTO:
        return execution
    return {**execution, "orders": "wire" if wired else "simulated"}


class DeskConfig(Model):
    """Everything that can be configured. ``speed`` multiplies the session's time; 1 is real time."""

    profile: Literal["paper", "live"] = "paper"
    server: ServerConfig = ServerConfig()
    admin_port: Annotated[int, Field(ge=1024, le=65435)] = 19000
    data_dir: Annotated[str, Field(min_length=1)] = "data"
    session: Annotated[str, Field(min_length=1)] = DEFAULT
    speed: Annotated[Ratio, Field(gt=0, le=1000)] = 1.0
    placement: dict[Name, list[str]] = {}
    venues: Annotated[dict[Name, VenueConfig], Field(min_length=1, max_length=16)] = Field(
        default_factory=_default_venues
    )
    market_data: MarketDataConfig = MarketDataConfig()
    recorder: RecorderConfig = RecorderConfig()
    journal: JournalConfig = JournalConfig()
    generator: GeneratorConfig = GeneratorConfig()
    context: ContextConfig = ContextConfig()
    strategies: Annotated[dict[Name, StrategyConfig], Field(max_length=64)] = Field(default_factory=_default_strategies)
    risk: RiskConfig = RiskConfig()
    execution: ExecutionConfig = ExecutionConfig()
    limits: LimitsConfig = LimitsConfig()
    quotes: QuotesConfig = QuotesConfig()
    reconcile: ReconcileConfig = ReconcileConfig()
    drop_copy: DropCopyConfig = DropCopyConfig()
    guard: GuardConfig = GuardConfig()
    supervision: SupervisionConfig = SupervisionConfig()
    permit: PermitConfig = PermitConfig()
    telegram: TelegramConfig = TelegramConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    logging: LoggingConfig = LoggingConfig()

    @model_validator(mode="before")
    @classmethod
    def _place_by_default(cls, given: Any) -> Any:  # pydantic hands over whatever it was given
        if not isinstance(given, Mapping):
            return given
        placement = given.get("placement")
        if not placement:
            venues = given.get("venues") or _default_venues()
            if not isinstance(venues, Mapping):
                return given
            cells = {f"venue-{venue}": [f"venue:{venue}"] for venue in venues}
            placement = {"desk": ["desk"], **cells, "ops": ["ops"]}
        wanted = _wants_simvenue(given)
        return {
            **given,
            "placement": _with_simvenue(placement, wanted=wanted),
            "execution": _with_orders(given.get("execution"), wired=wanted),
        }

    @model_validator(mode="after")
    def _whole(self) -> DeskConfig:
        self._check_placement()
        self._check_instruments()
        self._check_ways()
        self._check_caps()
        _ = self.quote
        return self

    @property
    def quote(self) -> QuoteChoice | None:
        """What a symbol without a quote means; None where nobody forces one and no market has one that is preferred."""
        names = (name for venue in self.venues.values() for name in venue.instruments if name.count(":") >= 2)
        listed = {parse_market_id(name).quote for name in names}
        asked = self.quotes
        forced = asked.override.strip() or asked.pref.strip().lower() not in {"", ANY_QUOTE}
        return choose_quote(asked.pref, asked.override, listed) if forced or listed & set(PREFERENCE) else None

    @property
    def from_simvenue(self) -> bool:
        """Whether market data comes from the loopback servers."""
        return self.session == DEFAULT and self.market_data.source == "sim"

    @property
    def synthetic(self) -> bool:
        """Whether the market is our own generator."""
        return self.session == DEFAULT and self.market_data.source != "live"

    @property
    def data_path(self) -> Path:
        """``data_dir`` as a path; a relative one lies in the project, so that every command finds the same boards."""
        return PROJECT_ROOT / self.data_dir

    @property
    def permit_board_path(self) -> Path:
        """The permit board."""
        return self.data_path / "permit.board"

    @property
    def heartbeat_board_path(self) -> Path:
        """The heartbeat board."""
        return self.data_path / "heartbeat.board"

    @property
    def pid_path(self) -> Path:
        """The daemon's process id, in decimal."""
        return self.data_path / "propdesk.pid"

    def _check_placement(self) -> None:
        wanted = {"desk", "ops", *(f"venue:{venue}" for venue in self.venues)}
        if self.from_simvenue:
            wanted.add(SIMVENUE)
        placed = [role for roles in self.placement.values() for role in roles]
        for role in placed:
            if role not in wanted:
                raise ValueError(f"placement: no role {role!r}; roles are {', '.join(sorted(wanted))}")
            if placed.count(role) > 1:
                raise ValueError(f"placement: {role!r} is placed more than once")
        missing = sorted(wanted - set(placed))
        if missing:
            raise ValueError(f"placement: {', '.join(missing)} is in no cell; add it to one")

    def _check_instruments(self) -> None:
        listed = [name for venue in self.venues.values() for name in venue.instruments]
        for name in listed:
            if listed.count(name) > 1:
                raise ValueError(f"venues: {name} is listed more than once")
        for strategy_id, strategy in self.strategies.items():
            for name in strategy.instruments:
                if name not in listed:
                    raise ValueError(f"strategies.{strategy_id}.instruments: no venue lists {name}")
        known = {*listed, DEFAULT}
        for name in self.risk.notional_caps.per_symbol:
            if name not in known:
                raise ValueError(f"risk.notional_caps.per_symbol: no venue lists {name}")
        for venue in self.risk.notional_caps.per_venue:
            if venue not in {*self.venues, DEFAULT}:
                raise ValueError(f"risk.notional_caps.per_venue: no venue {venue!r}")

    def _check_ways(self) -> None:
        source = self.market_data.source
        self._check_environment(source)
        for venue in self.venues:
            if venue in CCXT_VENUES and self.session == DEFAULT and source != "live":
                raise ValueError(
                    f"venues.{venue}: it is read through ccxt, which has no {source} source; "
                    "set market_data.source to live, or leave the venue out"
                )

    def _check_environment(self, source: str) -> None:
        execution = self.execution
        for venue in execution.keys_vouched:
            if venue not in self.venues:
                raise ValueError(f"execution.keys_vouched: no venue {venue!r}; name those of venues, or none")
        if execution.environment == "loopback":
            if execution.orders == "wire" and (source != "sim" or self.session != DEFAULT):
                raise ValueError(
                    "execution.orders: wire needs the loopback servers, which stand for the venues only with "
                    "market_data.source sim and the default session; set it to simulated"
                )
            return
        where = f"execution.environment: {execution.environment}"
        if execution.orders != "wire":
            raise ValueError(f"{where} sends orders over the wire; set execution.orders to wire, or loopback here")
        if source != "live" or self.session != DEFAULT:
            raise ValueError(
                f"{where} needs the venues' own markets; set market_data.source to live and session to {DEFAULT}"
            )
        if execution.environment == "live" and self.profile != "live":
            raise ValueError(f"{where} trades with money; set profile to live as well, or testnet here")

    def _check_caps(self) -> None:
        if self.profile != "live":
            return
        caps = self.risk.notional_caps
        tables = {"per_symbol": caps.per_symbol, "per_venue": caps.per_venue}
        limits: dict[str, Decimal | int] = {
            f"notional_caps.{table}.{name}": cap for table, rows in tables.items() for name, cap in rows.items()
        }
        limits["notional_caps.gross"] = caps.gross
        for name in ("per_order_notional_cap", "price_band_bps", "max_slippage_bps", "daily_loss_cap_usd"):
            limits[name] = getattr(self.risk, name)
        for name in ("throttle_orders_per_sec", "max_inflight_orders"):
            limits[name] = getattr(self.risk, name)
        for name, limit in limits.items():
            if limit == 0:
                raise ValueError(f"risk.{name}: 0 allows nothing and is refused in live; set the limit that you mean")
