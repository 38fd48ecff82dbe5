"""How a simulated account behaves: latencies, limits, money to start with, and the faults that drills inject."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class SimConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one simulated venue; times in nanoseconds.

    ``queue_cancel_ahead`` is the share of the lots cancelled at our price that is assumed to have stood ahead of
    us: 0 is the most pessimistic, 1 the most optimistic. ``taker_depth`` is how many levels a taker may walk.
    ``post_only_expires``: a post-only order that would take is accepted and expires, as on OKX and Bybit; else it is
    refused, as on Binance. ``reuse_closed_ids``: a client order id may be used again once its order is closed, so a
    resent order whose first copy has filled trades again, as on Binance.
    ``holds_triggers``: it holds orders that wait for a trigger; else these are refused. ``waiting_locks``: on spot they
    lock what they would need, as on Binance.
    ``write_ahead`` is False where nobody persists the venue (backtests); then `drain_log` is always empty.
    """

    initial_balances: dict[str, Decimal]
    order_latency_ns: int = 5_000_000
    report_latency_ns: int = 5_000_000
    latency_jitter_ns: int = 2_000_000
    queue_cancel_ahead: Decimal = Decimal("0.5")
    leverage: Decimal = Decimal(5)
    max_open_orders: int = 200
    max_finished_orders: int = 5_000
    max_executions: int = 20_000
    taker_depth: int = 1_000
    post_only_expires: bool = False
    reuse_closed_ids: bool = False
    holds_triggers: bool = False
    waiting_locks: bool = False
    write_ahead: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.queue_cancel_ahead <= 1:
            raise ValueError(f"queue_cancel_ahead is a share of 0..1, not {self.queue_cancel_ahead}")
        if min(self.order_latency_ns, self.report_latency_ns, self.latency_jitter_ns) < 0:
            raise ValueError("a latency cannot be negative")
        if self.leverage <= 0:
            raise ValueError(f"leverage must be positive, not {self.leverage}")


class SimFaults(msgspec.Struct, kw_only=True):
    """What goes wrong next. Each number counts down to 0; an empty ``reject_next`` rejects nothing.

    ``lose_commands``: the next n commands never reach the venue. ``drop_acks``: the next n accepted orders send no
    NEW. ``silence_orders``: the next n accepted orders send no report at all, only queries show them.
    ``duplicate_exec_reports``: the next n executions are reported twice, with the same exec_id.
    """

    lose_commands: int = 0
    drop_acks: int = 0
    silence_orders: int = 0
    duplicate_exec_reports: int = 0
    reject_next: str = ""
