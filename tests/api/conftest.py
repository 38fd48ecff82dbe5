"""A desk that talks: realistic facts for the projection, and a bus that remembers what it was told."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from adapters.clock import SystemClock, VirtualClock
from api.http import HttpServer, start_http
from api.projection import Projection
from trading.operators import CommandAnswered, OperatorCommand, Published, Topic

T0 = 1_760_000_000_000_000_000
INSTRUMENTS = {
    "BINANCE:SPOT:BTC-USDT": 67_412.5,
    "BINANCEUSDM:PERP:BTC-USDT:LINEAR": 67_418.1,
    "OKX:SPOT:ETH-USDT": 3_512.44,
    "BYBIT:PERP:SOL-USDT:LINEAR": 178.31,
}
STRATEGIES = ("mm-btc", "basis-btc", "momo-eth")


class RecordingBus:
    """Answers each command as told; ``silent`` never answers, ``broken`` cannot be reached."""

    def __init__(self) -> None:
        self.commands: list[OperatorCommand] = []
        self.received: asyncio.Queue[OperatorCommand] = asyncio.Queue()
        self.mode = "done"
        self.body: dict[str, object] = {}

    async def send(self, command: OperatorCommand) -> CommandAnswered:
        self.commands.append(command)
        self.received.put_nowait(command)
        if self.mode == "broken":
            raise ConnectionRefusedError("no such link")
        if self.mode == "silent":
            await asyncio.Event().wait()
        return CommandAnswered(
            command_id=command.command_id,
            done=self.mode == "done",
            text=f"{command.kind.value} {command.scope}: {self.mode}",
            body=self.body,
            ts_ns=command.ts_ns,
        )


def desk_facts(step: int, ts_ns: int) -> list[tuple[Topic, str, dict[str, object]]]:
    """One second of a healthy synthetic desk, as (topic, key, body)."""
    facts: list[tuple[Topic, str, dict[str, object]]] = []
    for number, (instrument_id, base) in enumerate(INSTRUMENTS.items()):
        venue, _, symbol = instrument_id.split(":")[:3]
        tick = 0.1 if base > 10_000 else 0.01
        mid = base * (1 + 0.0004 * math.sin(step / 7 + number))
        bids = [[f"{mid - tick * (level + 1):.2f}", f"{0.4 + 0.35 * level + 0.1 * number:.3f}"] for level in range(5)]
        asks = [[f"{mid + tick * (level + 1):.2f}", f"{0.5 + 0.28 * level + 0.1 * number:.3f}"] for level in range(5)]
        state = "resync" if number == 3 and step % 20 < 5 else "synced"
        body: dict[str, object] = {
            "instrument_id": instrument_id,
            "venue": venue,
            "symbol": symbol,
            "state": state,
            "bid": bids[0][0],
            "ask": asks[0][0],
            "bid_qty": bids[0][1],
            "ask_qty": asks[0][1],
            "bids": bids,
            "asks": asks,
            "update_id": 881_000 + step * 40,
            "ts_recv_ns": ts_ns,
            "age_ms": 12 + 5 * number,
            "skew_ms": 3 - number,
            "spread_bps": round(2 * tick / mid * 1e4, 3),
            "messages": 4_000 + step * 90,
            "gaps": number // 3,
            "resyncs": number // 3,
            "rejected": 0,
            "synthetic": True,
        }
        facts.append((Topic.BOOK, instrument_id, body))
        facts.append(
            (
                Topic.VENUE,
                venue,
                {
                    "orders": {"backend": "loopback", "reason": "our own server stands for the venue"},
                    "venue": venue,
                    "state": "up",
                    "source": "generator",
                    "synthetic": True,
                    "connected": True,
                    "open_orders": 4,
                    "msgs_per_s": 92,
                    "skew_ms": 1,
                    "progress": None,
                },
            )
        )
        qty = [0.42, -0.4, 3.5, 0.0][number]
        facts.append(
            (
                Topic.POSITION,
                instrument_id,
                {
                    "instrument_id": instrument_id,
                    "venue": venue,
                    "qty": str(qty),
                    "avg_px": f"{base:.2f}",
                    "mark": f"{mid:.2f}",
                    "notional_usd": f"{abs(qty) * mid:.2f}",
                    "unrealized_usd": f"{qty * (mid - base):.2f}",
                    "realized_usd": f"{12.5 * number - 3:.2f}",
                    "by_strategy": {"mm-btc": str(qty)},
                },
            )
        )
    facts.append(
        (
            Topic.BRAKES,
            "all",
            {
                "brakes": [
                    {
                        "code": "book_suspect",
                        "scope": "symbol:BYBIT:PERP:SOL-USDT:LINEAR",
                        "level": "pause",
                        "cause": "sequence gap 881204 -> 881231",
                        "since_ns": ts_ns - 14_000_000_000,
                        "release": "auto",
                    },
                    {
                        "code": "warmup",
                        "scope": "strategy:momo-eth",
                        "level": "safe",
                        "cause": "features warm up for 120 s",
                        "since_ns": ts_ns - 62_000_000_000,
                        "release": "auto",
                    },
                ],
                "modes": {"global": "run", "symbol:BYBIT:PERP:SOL-USDT:LINEAR": "pause", "strategy:momo-eth": "safe"},
                "global_mode": "run",
                "permit": {"epoch": 7, "expires_in_ms": 480, "valid": True, "renewed_ns": ts_ns},
            },
        )
    )
    actors = {
        "desk": ["journal", "governor", "arbiter", "orders", "portfolio", "ledger", "recon"],
        "venue-binance": ["rates", "private", "gateway", "connector", "books"],
        "ops": ["projection", "http"],
    }
    for pid, (cell, names) in enumerate(actors.items()):
        children: list[dict[str, object]] = [
            {"id": name, "state": "running", "restarts": 0, "mailbox": 0, "handled": step * 117} for name in names
        ]
        if cell == "desk":
            children.append(
                {
                    "id": "strategies",
                    "state": "running",
                    "restarts": 0,
                    "mailbox": 0,
                    "handled": 9,
                    "children": [
                        {
                            "id": name,
                            "state": "restarting" if name == "momo-eth" and step % 20 < 3 else "running",
                            "restarts": 1,
                            "mailbox": 2,
                            "handled": step * 31,
                        }
                        for name in STRATEGIES
                    ],
                }
            )
        facts.append(
            (
                Topic.TREE,
                cell,
                {
                    "cell": cell,
                    "pid": 4_100 + pid,
                    "state": "running",
                    "restarts": pid // 2,
                    "rss_mb": 61.4 + pid,
                    "heartbeat_age_ms": 40 + pid,
                    "uptime_s": 3_600 + step,
                    "children": children,
                },
            )
        )
    total = 140 + 60 * math.sin(step / 25) + step * 0.4
    parts = {
        name: total * share + 9 * math.sin(step / (5 + i))
        for i, (name, share) in enumerate(zip(STRATEGIES, (0.6, 0.3, 0.1), strict=True))
    }
    facts.append(
        (
            Topic.PNL,
            "desk",
            {
                "total_usd": f"{total:.2f}",
                "realized_usd": f"{total * 0.7:.2f}",
                "unrealized_usd": f"{total * 0.3:.2f}",
                "fees_usd": "-18.22",
                "funding_usd": "1.04",
                "day_usd": f"{total:.2f}",
                "by_strategy": {name: {"total_usd": f"{value:.2f}"} for name, value in parts.items()},
                "by_instrument": {},
                "equity_usd": f"{100_000 + total:.2f}",
                "ledger_residual": "0",
                "balances": {"BINANCE": {"USDT": "50120.11", "BTC": "0.42"}, "OKX": {"USDT": "49880.4"}},
            },
        )
    )
    stages = ("decode", "book", "strategy", "arbiter", "governor", "commit", "permit", "encode")
    rows = {name: {"p50_us": 8 + 11 * i, "p99_us": 40 + 37 * i, "n": step * 12} for i, name in enumerate(stages)}
    rows["total"] = {"p50_us": 910, "p99_us": 4_200, "n": step * 12}
    facts.append((Topic.LATENCY, "tick_to_order", {"stages": rows}))
    statuses = ("new", "filled", "partially_filled", "canceled", "denied", "unknown", "rejected", "journaled")
    ids = list(INSTRUMENTS)
    instrument_id = ids[step % 4]
    order: dict[str, object] = {
        "venue": instrument_id.split(":")[0],
        "instrument_id": instrument_id,
        "cl_ord_id": f"pd-7-{step:06d}",
        "side": "buy" if step % 2 else "sell",
        "ord_type": "limit",
        "time_in_force": "gtx",
        "ord_status": statuses[step % 8] if step % 8 != 5 else "new",
        "order_qty": "0.040",
        "price": f"{INSTRUMENTS[instrument_id]:.2f}",
        "cum_qty": "0.040" if step % 8 == 1 else "0",
        "leaves_qty": "0.040",
        "avg_px": "0",
        "reduce_only": "false",
        "text": "price band 0.8 % > 0.5 %" if step % 8 == 4 else "",
        "cause": f"intent-{step}",
        "ts_init_ns": ts_ns,
        "strategies": [STRATEGIES[step % 3]],
    }
    facts.append((Topic.ORDER, str(order["cl_ord_id"]), order))
    if step % 8 == 1:
        facts.append(
            (
                Topic.FILL,
                f"BINANCE:{step}",
                {
                    "venue": order["venue"],
                    "instrument_id": instrument_id,
                    "cl_ord_id": order["cl_ord_id"],
                    "exec_id": str(step),
                    "exec_seq": step,
                    "side": order["side"],
                    "last_qty": "0.040",
                    "last_px": order["price"],
                    "liquidity": "maker",
                    "fee": "0.013",
                    "fee_asset": "USDT",
                    "ts_event_ns": ts_ns,
                    "ts_init_ns": ts_ns,
                },
            )
        )
    if step % 15 == 2:
        level, code, text = [
            ("info", "book_synced", "OKX:SPOT:ETH-USDT proved in 212 ms"),
            ("warning", "book_suspect", "BYBIT SOL-USDT sequence gap 881204 -> 881231, quotes pulled"),
            ("error", "order_denied", "mm-btc: price band 0.8 % > 0.5 %"),
        ][step // 15 % 3]
        facts.append(
            (Topic.EVENT, str(step), {"level": level, "code": code, "text": text, "ts_ns": ts_ns, "cell": "desk"})
        )
    facts.append(
        (
            Topic.METRICS,
            "desk",
            {
                "series": [
                    ["orders_sent_total", "counter", {"venue": "BINANCE"}, 120 + step],
                    ["journal_bytes", "gauge", {}, 88_000],
                ]
            },
        )
    )
    return facts


Feed = Callable[..., None]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(wall_ns=T0, mono_ns=1_000_000_000)


@pytest.fixture
def projection(clock: VirtualClock) -> Projection:
    return Projection(clock)


@pytest.fixture
def publish(clock: VirtualClock) -> Feed:
    def _publish(projection: Projection, topic: Topic, key: str, body: dict[str, object]) -> None:
        projection.apply(Published(topic=topic, key=key, body=body, ts_ns=projection.clock.wall_ns()))

    return _publish


@pytest.fixture
def feed() -> Feed:
    """Apply ``steps`` seconds of a talking desk; on a virtual clock each step takes a second."""

    def _feed(projection: Projection, steps: int = 40, first: int = 0) -> None:
        for step in range(first, first + steps):
            clock = projection.clock
            ts_ns = clock.wall_ns() - (first + steps - 1 - step) * 1_000_000_000
            if isinstance(clock, VirtualClock):
                clock.advance_to_wall(clock.wall_ns() + 1_000_000_000)
                ts_ns = clock.wall_ns()
            for topic, key, body in desk_facts(step, ts_ns):
                projection.apply(Published(topic=topic, key=key, body=body, ts_ns=ts_ns))

    return _feed


@pytest.fixture
def bus() -> RecordingBus:
    return RecordingBus()


@pytest.fixture
async def server(projection: Projection, bus: RecordingBus, clock: VirtualClock) -> AsyncIterator[HttpServer]:
    server = await start_http(projection, bus, "127.0.0.1", 0, version="0.1.0", clock=clock, profile="paper")
    yield server
    await server.close()


@pytest.fixture
def live_projection(feed: Any) -> Projection:
    """A projection on the machine's clock, fed with four minutes of history."""
    projection = Projection(SystemClock())
    feed(projection, steps=243)
    return projection
