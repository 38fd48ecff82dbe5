"""A whole desk in this process that trades one venue through ccxt on paper: the daemon's own wiring in one cell.

Only the strategies are greedier than the desk's (`supervision.conformance.eager`), so that an order is always about to
leave. Owns starting, stopping and looking inside; judges nothing.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest

from actors.messages import StartActor
from adapters.clock import SystemClock
from adapters.config import load_config
from adapters.sent_log import read_sent
from supervision.bases.loop import LoopBase
from supervision.conformance.eager import EagerQuoter, EagerTaker
from supervision.plan import paths_of
from supervision.supervisor import Supervisor
from supervision.wiring import Wiring
from tests.waiting import PATIENCE_S, breath
from trading.brakes import Level
from trading.market.events import BookState, BookTop
from trading.operators import Published, Topic

KINDS = {"quoter": EagerQuoter, "taker": EagerTaker}


def config_of(venue_name, instrument_id, venue, directory, *, audit_every_ms=700):
    strategy = {"kind": "maker", "instruments": [instrument_id], "budget_usd": Decimal(3_000)}
    return load_config(
        None,
        overrides={
            "data_dir": str(directory),
            "venues": {
                venue_name: {
                    "instruments": [instrument_id],
                    "sim": {
                        "order_latency_ms": 2,
                        "report_latency_ms": 2,
                        "jitter_ms": 0,
                        "initial_balances": {"USDT": Decimal(10_000_000), "BTC": Decimal(100)},
                    },
                }
            },
            "market_data": {
                "source": "live",
                "ccxt": {"audit_every_ms": audit_every_ms, "proof_ms": 6_000, "hosts": {venue_name: venue.hosts}},
            },
            "strategies": {"quoter": {**strategy, "priority": 20}, "taker": {**strategy, "priority": 10}},
            "placement": {"all": ["desk", f"venue:{venue_name}", "ops"]},
            "risk": {"max_slippage_bps": Decimal(60), "daily_loss_cap_usd": Decimal(1_000_000)},
        },
    )


class _ListeningWiring(Wiring):
    def market(self):
        setup = super().market()
        return msgspec.structs.replace(setup, always=("oracle", *setup.always))


class PaperDesk:
    """``tops`` are (monotonic ns, state) as the desk was told them, ``events`` what its operators were."""

    def __init__(self, config):
        (self.venue,) = config.venues
        (self.instrument_id,) = config.venues[self.venue].instruments
        self.clock = SystemClock()
        self.paths = paths_of(config.data_path)
        self.wiring = _ListeningWiring(config, self.paths)
        self.tops = []
        self.events = []
        self.venue_facts = {}

    async def start(self):
        self.base = base = LoopBase.standalone(name=f"paper-{self.venue}", clock=self.clock)
        base.set_router(self._route)
        base.attach(asyncio.get_running_loop())
        for name, table in (
            ("core", self.wiring.core_tree("all")),
            ("strategies", self.wiring.strategies_tree("all")),
            ("universe-top", self.wiring.universe_tree("all")),
            (f"venue.{self.venue}", self.wiring.venue_tree(self.venue, "all")),
        ):
            address = base.create_root(Supervisor, {"propdesk.name": name})
            base.inject(address, StartActor(name=name, supervisor=None, setup=table))
        for name, kind in KINDS.items():
            await self.until(lambda name=name: self._is_whole(name), f"strategy {name}")
            actor = base.actor(f"strategy.{name}")
            mine = kind(name, {self.instrument_id: self.wiring.instruments[self.instrument_id]}, 1)
            mine.restore_position({}, self.clock.wall_ns())
            actor._core = mine
            actor.wake_after(0, "timer")
        return self

    async def close(self):
        source = self.connector._source
        await self.base.stop(5.0)
        await asyncio.wait(source._closing, timeout=PATIENCE_S)

    def _is_whole(self, name):
        actor = self.base.actor(f"strategy.{name}")
        return actor is not None and bool(getattr(actor, "_whole", False))

    def _route(self, to, _sender, msg):
        if type(msg) is BookTop and to == "oracle":
            self.tops.append((self.clock.mono_ns(), msg.state))
        elif type(msg) is Published and msg.topic is Topic.EVENT:
            self.events.append((msg.body["code"], msg.body["text"]))
        elif type(msg) is Published and msg.topic in {Topic.FEED, Topic.VENUE, Topic.BOOK}:
            self.venue_facts[msg.topic] = msg.body
        return to in {"oracle", "ops"} or to.startswith("status.")

    @property
    def connector(self):
        return self.base.actor(f"connector.{self.venue}")

    @property
    def sync(self):
        return self.connector.markets[self.instrument_id].sync

    @property
    def is_synced(self):
        return self.sync.state is BookState.SYNCED

    def sent(self):
        """(monotonic ns, cl_ord_id) of the orders that left."""
        return read_sent(self.paths.sent(self.venue))

    def sent_after(self, mono_ns):
        return [name for at, name in self.sent() if at > mono_ns]

    def executions(self):
        return self.connector.sim.state_now(0, "test", 0).executions

    def brakes(self):
        return [f"{b.code} {b.scope} {b.level.name}: {b.cause}" for b in self.base.actor("governor").brakes]

    def may_trade(self):
        return self.is_synced and all(b.level < Level.PAUSE for b in self.base.actor("governor").brakes)

    async def until(self, condition, what, seconds=PATIENCE_S):
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await breath(0.005)
        except TimeoutError:
            inside = [self.sync.reason, *self.brakes()] if self.connector is not None else []
            pytest.fail(f"{what} not in {seconds} s: {inside}; {self.events[-8:]}")

    async def until_an_order_leaves(self):
        await self.until(self.may_trade, "a desk that may trade")
        now = self.clock.mono_ns()
        await self.until(lambda: self.sent_after(now), "an order")
