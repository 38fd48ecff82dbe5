"""The configuration of orders on their way: entry, deadlines, the venues' limits, and who proves it from outside."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from adapters.config_values import DEFAULT, Model, Money, Ms, Name, Ratio


class DeadlinesMs(Model):
    """How long an answer of the venue may take before the order is UNKNOWN, milliseconds."""

    place: Ms = 400
    cancel: Ms = 300


class CancelReplaceConfig(Model):
    """How an order is replaced: amended in place where the venue can, not by its cancel and a new one.

    Where amending takes longer than ``max_latency_ms`` and longer than both together, the two are used.
    """

    enabled: bool = True
    max_latency_ms: Ms = 25


class PostOnlyConfig(Model):
    """Post-only orders are refused on a book older than this."""

    staleness_ms: Ms = 500


class PaceConfig(Model):
    """How fast orders may follow each other: on one instrument, milliseconds apart, and how many a minute."""

    min_order_interval_ms: Annotated[int, Field(ge=0, le=60_000)] = 250
    min_quote_interval_ms: Annotated[int, Field(ge=0, le=60_000)] = 400
    orders_per_symbol_per_min: Annotated[int, Field(ge=0, le=1_000_000)] = 240


class ExecutionConfig(Model):
    """Orders on their way.

    ``orders``: ``auto`` is ``wire`` where market data comes from the loopback servers, else ``simulated``.
    ``simulated`` fills them inside the venue's own cell; ``wire`` sends signed requests and hears private
    streams, in ``environment``: the ``loopback`` servers that stand for the venues, the venues' test networks, or, with
    profile live, the venues. Keys come from the environment. ``keys_vouched`` are venues that do not say what a key may
    do, whose key you have made without the right to withdraw. ``min_notional_usd``: an order that opens a position is
    made as large as this, or as the venue's own minimum where that is more.
    ``entry``: which road orders over the wire take. ``auto`` is the venue's WebSocket while it is logged on and
    healthy, REST otherwise; ``ws`` places nothing by REST; ``rest`` opens no WebSocket for orders.
    """

    orders: Literal["simulated", "wire"] = "simulated"
    environment: Literal["loopback", "testnet", "live"] = "loopback"
    entry: Literal["auto", "ws", "rest"] = "auto"
    keys_vouched: Annotated[list[Name], Field(max_length=16)] = []
    deadlines_ms: DeadlinesMs = DeadlinesMs()
    cancel_replace: CancelReplaceConfig = CancelReplaceConfig()
    post_only: PostOnlyConfig = PostOnlyConfig()
    min_notional_usd: Money = Decimal(11)
    pace: PaceConfig = PaceConfig()


class LimitsConfig(Model):
    """What we use of the venues' rate limits, and with whom we count them together.

    ``share`` of each limit is used at most, ``venue_shares`` where a venue's differs; ``queue_max`` requests of one
    priority may wait. ``redis_url`` shares the counts between hosts (none: those of one host only); its password is in
    the variable that ``redis_password_env`` names. Hosts behind one address have the same ``address``.
    """

    share: Annotated[Ratio, Field(gt=0, le=1)] = 0.95
    venue_shares: Annotated[dict[Name, Annotated[Ratio, Field(gt=0, le=1)]], Field(max_length=16)] = {}
    queue_max: Annotated[int, Field(ge=1, le=10_000)] = 256
    redis_url: Annotated[str, Field(pattern=r"^$|^(redis|rediss|unix)://[^@]+$")] = ""
    redis_password_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")] = "REDIS_PASSWORD"  # noqa: S105
    address: Name = DEFAULT


class DropCopyConfig(Model):
    """The second reader of what the venues executed, beside orders that go by ``execution.orders: wire``.

    Every ``poll_s`` their record is compared with the journal. The record may be ``late_s`` behind; what is still
    different after ``lasting_s`` brakes its venue. The copy is kept for ``days``, at most ``rows_max`` executions of
    each venue.
    """

    enabled: bool = True
    poll_s: Annotated[int, Field(ge=1, le=300)] = 5
    late_s: Annotated[int, Field(ge=1, le=600)] = 30
    lasting_s: Annotated[int, Field(ge=1, le=3_600)] = 10
    days: Annotated[int, Field(ge=7, le=90)] = 8
    rows_max: Annotated[int, Field(ge=1_000, le=100_000_000)] = 1_000_000


class GuardConfig(Model):
    """The guard over orders that rest at venues, beside orders that go by ``execution.orders: wire``.

    A cell whose heart missed ``heartbeat_ms``, a permit that ran out, or a venue or market in HOLD: after
    ``cancel_all_within_ms`` nothing of ours rests there.
    """

    enabled: bool = True
    heartbeat_ms: Annotated[int, Field(ge=200, le=60_000)] = 1_000
    cancel_all_within_ms: Annotated[int, Field(ge=100, le=60_000)] = 500


class ReconcileConfig(Model):
    """How the desk's books are compared with the venues' own lists while it runs.

    Every ``interval_sec`` the account is read again, ``lookback_hours`` deep or over the newest ``executions_max``
    executions. What is still different after ``brake_s`` holds its scope; balances that differ by less than
    ``dust_usd`` are accepted. ``keep_reports`` False writes no statements.
    """

    interval_sec: Annotated[int, Field(ge=5, le=3_600)] = 60
    lookback_hours: Annotated[int, Field(ge=1, le=168)] = 24
    executions_max: Annotated[int, Field(ge=100, le=20_000)] = 1_000
    late_s: Annotated[int, Field(ge=1, le=600)] = 10
    visible_s: Annotated[int, Field(ge=1, le=3_600)] = 60
    brake_s: Annotated[int, Field(ge=1, le=3_600)] = 15
    dust_usd: Annotated[Money, Field(le=100)] = Decimal("0.1")
    keep_reports: bool = True
