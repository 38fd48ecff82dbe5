"""The drill ``backlog-hold``: orders leave all the time, 10,000 messages wait in the desk, and somebody says HOLD.

Owns the traffic and the trials. Now and then the same backlog comes without HOLD: only if orders then go on leaving
does silence after HOLD prove anything.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from actors.messages import Flood, LinkMessage
from adapters.config import DeskConfig
from adapters.links import LinkCodec
from supervision.desk_plan import INSTRUMENTS
from supervision.drill_desk import MS, DrillDesk, DrillResult, finish, hold, release
from trading.orders.messages import QuoteIntent

BACKLOG = 10_000
_WINDOW_NS = 50 * MS
_GOAL_MS = 50
_FLOW = 8
"""A trial begins when so many orders left within the last 50 ms."""
_QUOTE_EVERY_S = 0.005
_QUOTE_EVERY = 400
_AWAY = Decimal("0.0006")
_SIZE_USD = Decimal(130)
_QUOTERS_PER_VENUE = 3
_CONTROL_EVERY = 10


def backlog_config() -> str:
    """No pauses between orders, venues that answer at once, room for all of it, and quoters that only the drill moves.

    The quoters are makers of size 0: they say nothing by themselves, but have a budget that the drill's quotes use.
    """
    default = DeskConfig()
    strategies = {s: json.loads(c.model_dump_json()) for s, c in default.strategies.items()}
    for strategy_id, instrument_id in _quoters(default):
        strategies[strategy_id] = {
            "kind": "maker",
            "instruments": [instrument_id],
            "params": {"quote_notional_usd": 0},
            "budget_usd": 5_000,
        }
    for strategy in strategies.values():
        strategy["params"] = {k: float(v) for k, v in strategy["params"].items()}
        strategy["budget_usd"] = float(strategy["budget_usd"])
    fast = {"order_latency_ms": 0, "report_latency_ms": 0, "jitter_ms": 0}
    tree = {
        "risk": {
            "throttle_orders_per_sec": 1_000,
            "max_inflight_orders": 500,
            "notional_caps": {"per_symbol": {"default": 20_000}, "per_venue": {"default": 50_000}, "gross": 100_000},
        },
        "execution": {
            # No venue's limits allow as many orders as the proof needs.
            "orders": "simulated",
            "pace": {"min_order_interval_ms": 0, "min_quote_interval_ms": 1, "orders_per_symbol_per_min": 1_000_000},
        },
        "venues": {
            venue: {
                "instruments": config.instruments,
                "sim": {
                    **fast,
                    "initial_balances": {a: float(amount) for a, amount in config.sim.initial_balances.items()},
                },
            }
            for venue, config in default.venues.items()
        },
        "strategies": strategies,
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in tree.items())


def _quoters(config: DeskConfig) -> list[tuple[str, str]]:
    """Strategy and instrument of each of the drill's quoters, the venues taking turns."""
    instruments = [i for venue in config.venues.values() for i in venue.instruments]
    return [(f"drill-{n}-{INSTRUMENTS[i].venue}", i) for n in range(_QUOTERS_PER_VENUE) for i in instruments]


class _Traffic:
    """Quotes far from the touch, over the desk's own link; each differs from the one before and asks for two orders."""

    def __init__(self, desk: DrillDesk) -> None:
        self._desk = desk
        self._quoters = _quoters(desk.config)
        self._codec = LinkCodec(LinkMessage)
        self._link = socket.socket(socket.AF_UNIX)
        self._link.connect(str(desk.paths.link("desk")))
        self._pause = threading.Event()
        self._ballast: list[tuple[str, Any]] = [("orders" if n % 2 else "arbiter", Flood(n=n)) for n in range(BACKLOG)]
        self._mids: dict[str, int] = {}
        self._count = 0

    def close(self) -> None:
        """Let go of the link."""
        self._link.close()

    def look(self) -> None:
        """Take the books' middles."""
        self._mids = self._desk.mids_ticks()

    def quote(self) -> tuple[str, QuoteIntent]:
        """The next quoter's next quote."""
        self._count += 1
        n = self._count
        strategy_id, instrument_id = self._quoters[n % len(self._quoters)]
        instrument = INSTRUMENTS[instrument_id]
        mid = self._mids[instrument_id]
        away = int(mid * _AWAY) + n * 7 % 61 * 2
        lots = int(_SIZE_USD / instrument.notional(instrument.lot_size, instrument.price(mid))) + 1
        return "arbiter", QuoteIntent(
            intent_id=f"drill:{n}",
            strategy_id=strategy_id,
            instrument_id=instrument_id,
            bid_ticks=mid - away,
            bid_lots=lots,
            ask_ticks=mid + away,
            ask_lots=lots,
            confidence=1.0,
            ttl_ns=5_000_000_000,
            reasons=("drill backlog",),
            cause="drill",
            ts_init_ns=self._desk.clock.wall_ns(),
        )

    def send(self, batch: list[tuple[str, Any]]) -> None:
        """Put a batch into the desk."""
        self._link.sendall(self._codec.encode(batch))

    def go_on(self) -> None:
        """One quote and its pause."""
        self.send([self.quote()])
        self._pause.wait(_QUOTE_EVERY_S)

    def flood(self) -> None:
        """10,000 messages at once, quotes among them, as they would come from strategies."""
        batch = self._ballast
        for n in range(0, BACKLOG, _QUOTE_EVERY):
            batch[n] = self.quote()
        self.send(batch)

    def until_flowing(self) -> None:
        """Quote until orders leave by the dozen; slots that were refused under the last HOLD rest for some seconds."""
        desk = self._desk

        def flowing() -> bool:
            for _ in range(4):
                self.go_on()
            return desk.sent_after(desk.clock.mono_ns() - _WINDOW_NS) >= _FLOW

        self.look()
        desk.wait("a flow of orders", flowing, 30.0)


def run_backlog(desk: DrillDesk, say: Callable[[str], None], trials: int) -> DrillResult:
    """When does the last order leave after HOLD?"""
    traffic = _Traffic(desk)
    pause = threading.Event()
    last_ms: list[float] = []
    before: list[int] = []
    control: list[list[float]] = []
    after = 0
    try:
        for trial in range(trials):
            desk.wait("trading before a trial", desk.trading, 20.0)
            if trial % _CONTROL_EVERY == 0:
                control.append(_without_hold(desk, traffic))
            traffic.until_flowing()
            traffic.flood()
            pause.wait(_moment_s(trial, control[0]))
            held_ns = hold(desk, f"trial {trial}")
            for _ in range(20):
                traffic.go_on()
            pause.wait(0.1)
            stamps = [stamp for stamp, _ in desk.sent()]
            last_ms.append((max(stamps) - held_ns) / MS)
            before.append(sum(1 for stamp in stamps if held_ns - _WINDOW_NS < stamp <= held_ns))
            after += sum(1 for stamp in stamps if stamp - held_ns > _WINDOW_NS)
            release(desk)
            if trial % 10 == 9 or trial == trials - 1:
                say(f"{trial + 1} of {trials} trials, last order {max(last_ms):+.3f} ms from HOLD at worst")
    finally:
        traffic.close()
    desk.wait("trading after the trials", desk.trading, 20.0)
    result = finish("backlog-hold", desk, _detail(last_ms, before, control))
    result.orders_after_hold += after
    # Without orders on their way at HOLD, and more behind them, the drill would prove nothing.
    meant = all(control) and sum(before) >= _FLOW * trials // 2
    result.passed = result.passed and _rank(last_ms, 0.99) <= _GOAL_MS and after == 0 and meant
    return result


def _without_hold(desk: DrillDesk, traffic: _Traffic) -> list[float]:
    """The same backlog and nobody says HOLD: when orders leave after it, in milliseconds."""
    traffic.until_flowing()
    traffic.flood()
    flooded_ns = desk.clock.mono_ns()
    for _ in range(30):
        traffic.go_on()
    return [(stamp - flooded_ns) / MS for stamp, _ in desk.sent() if stamp > flooded_ns]


def _moment_s(trial: int, control: list[float]) -> float:
    """When HOLD comes after the backlog: while all of it waits, or, every other time, while its orders leave."""
    if not control:
        return 0.0
    step = trial // 2 % 5 / 5
    begin, end = control[0], control[len(control) * 2 // 3]
    return (min(begin * 0.6, 30.0) * step if trial % 2 == 0 else begin + (end - begin) * step) / 1e3


def _rank(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _detail(last_ms: list[float], before: list[int], control: list[list[float]]) -> dict[str, Any]:
    return {
        "trials": len(last_ms),
        "backlog": BACKLOG,
        "messages_queued": (len(last_ms) + len(control)) * BACKLOG,
        "orders_in_the_50_ms_before_hold": sum(before),
        "orders_in_the_50_ms_before_hold_per_trial_min": min(before),
        "orders_in_the_50_ms_before_hold_per_trial_p50": int(_rank([float(n) for n in before], 0.5)),
        "orders_in_the_150_ms_after_the_same_backlog_without_hold": [len(times) for times in control],
        "first_of_them_ms": [round(times[0], 1) for times in control if times],
        "last_order_after_hold_ms_p50": round(_rank(last_ms, 0.5), 3),
        "last_order_after_hold_ms_p99": round(_rank(last_ms, 0.99), 3),
        "last_order_after_hold_ms_max": round(max(last_ms), 3),
    }
