"""What the desk tells its operators and what they may ask of it.

The desk publishes facts (`Published`), each the newest of its ``(topic, key)``; the ops cell keeps a projection of
them. Commands go the other way, one message each, and are answered once.
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Topic(Enum):
    """Everything that is published. The body of each is documented beside the actor that publishes it."""

    BOOK = "book"  # key instrument_id
    VENUE = "venue"  # key venue
    BRAKES = "brakes"  # key "all": the list of brakes, modes by scope, permit
    TREE = "tree"  # key cell: supervision tree of that cell
    POSITION = "position"  # key instrument_id
    PNL = "pnl"  # key "desk"
    ORDER = "order"  # key cl_ord_id
    FILL = "fill"  # key venue:exec_id
    LATENCY = "latency"  # key path name
    METRICS = "metrics"  # key cell
    STRATEGY = "strategy"  # key strategy_id
    EVENT = "event"  # key running number: what operators should read, newest last
    META = "meta"  # key instrument_id; body `trading.universe.report.MarketMeta`
    UNIVERSE = "universe"  # key "all"; body `trading.universe.report.UniverseBody`
    REGISTRY = "registry"  # key venue; body `trading.universe.report.VenueRegistry`
    FEED = "feed"  # key venue/view; body `trading.market_report.feeds.FeedBody`
    QUORUM = "quorum"  # key venue; body `trading.market_report.feeds.QuorumBody`
    CLOCK = "clock"  # key venue; body `trading.market_report.feeds.ClockBody`
    QUALITY = "quality"  # key instrument_id; body `trading.market_report.quality.QualityBody`
    DERIVATIVES = "derivatives"  # key instrument_id; body `trading.market_report.derivatives.DerivativesBody`
    LIQUIDATIONS = "liquidations"  # key instrument_id; body `trading.market_report.derivatives.LiquidationsBody`
    FLOW = "flow"  # key instrument_id; body `trading.market_report.flow.FlowBody`
    LIQUIDITY = "liquidity"  # key instrument_id; body `trading.market_report.flow.LiquidityBody`
    OPPORTUNITY = "opportunity"  # key instrument_id; body `trading.market_report.opportunity.OpportunityBody`
    RECON = "recon"  # key status, diffs, daily or invariants
    CONTRACTS = "contracts"  # key instrument_id, an index's too; body `trading.market_report.contracts.ContractsBody`


class Published(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The newest fact of ``(topic, key)``; conflated by it, except ORDER, FILL and EVENT, which are all delivered."""

    topic: Topic
    key: str
    body: dict[str, object]
    ts_ns: int


class CommandKind(Enum):
    """What an operator may ask.

    PAUSE, HOLD and KILL act at once; RESUME releases the brakes that an operator may release. UNIVERSE changes the
    allow-list. UNLOCK lets the link to a venue try again, whose key or account a person has mended.
    ADOPT explains what a venue is held for: balances are booked as paid in or taken out, executions accepted.
    """

    HOLD = "hold"
    PAUSE = "pause"
    RESUME = "resume"
    KILL = "kill"
    CANCEL_ALL = "cancel_all"
    WHY = "why"
    UNIVERSE = "universe"
    UNLOCK = "unlock"
    ADOPT = "adopt"


class OperatorCommand(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One request of one identity. ``scope`` is a brake scope.

    ``argument`` is the cl_ord_id of WHY; of UNIVERSE a command of `trading.universe.workflow` as JSON.
    """

    command_id: str
    kind: CommandKind
    scope: str
    actor: str
    cause: str
    argument: str
    ts_ns: int


class CommandAnswered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The one answer: done or refused, and why, in words."""

    command_id: str
    done: bool
    text: str
    body: dict[str, object]
    ts_ns: int
