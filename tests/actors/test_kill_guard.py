"""The guard over resting orders: a real server, real boards of hearts and permits, and nobody who cancels but it."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from actors.kill_guard import AUTO_CANCEL, HEARTBEAT, KillGuardActor, KillGuardSetup
from actors.messages import ActorFailed, ActorReady, BrakesStated, ReconcileWanted, StartActor
from adapters.clock import SystemClock
from adapters.heartbeat_board import HeartbeatBoard
from adapters.orders.link import OrderLinkSpec
from adapters.orders.okx_read import id_in, id_out
from adapters.orders.wire import Credentials
from adapters.permit_board import PermitWriter
from adapters.simserver.order_faults import AcceptThen
from supervision.bases.loop import LoopBase
from tests.adapters.simserver.trading.conftest import KEYS, MARKETS, Bench, trading
from tests.waiting import breath, until
from trading.brakes import Level
from trading.kill_guard import GuardRules
from trading.operators import Published, Topic
from trading.orders.messages import OrdType, Side, TimeInForce

KEY = Credentials(api_key=KEYS.api_key, secret=KEYS.secret, passphrase=KEYS.passphrase)
VENUES = ("binance", "binanceusdm", "binancecoinm", "okx", "bybit")
MS = 1_000_000
SILENCE_NS = 10_000 * MS
"""Longer than any machine holds up the loop that beats here."""


class Watched:
    """Two cells that beat, a permit, orders that rest, and the guard."""

    def __init__(self, server, directory):
        self.server = server
        self.venue = server.spec.venue
        self.clock = SystemClock()
        self.benches = tuple(Bench(server, symbol) for symbol in MARKETS[self.venue])
        hearts = HeartbeatBoard(directory / "heartbeat.board")
        self.slots = {name: hearts.claim(name, os.getpid()) for name in ("desk", "venue")}
        self.beating = set(self.slots)
        self.permit = PermitWriter(directory / "permit.board", now_wall_ns=self.clock.wall_ns())
        self.modes = {}
        self.epoch = self.permit.next_epoch()
        self.kept = []
        self.base = LoopBase.standalone(name="watch", clock=self.clock)
        self.base.set_router(self._keep)
        self.base.attach(asyncio.get_running_loop())
        setup = KillGuardSetup(
            link=OrderLinkSpec(
                venue=self.venue,
                instruments=tuple(bench.instrument for bench in self.benches),
                credentials=KEY,
                rest=server.base_http,
                ws=server.base_ws,
            ),
            cells=("venue", "desk"),
            heartbeat=directory / "heartbeat.board",
            board=directory / "permit.board",
            rules=GuardRules(heartbeat_ns=SILENCE_NS, limit_ns=500 * MS),
            look_ns=20 * MS,
            publish_ns=50 * MS,
        )
        self.name = f"guard.{self.venue}"
        self.beat()
        address = self.base.create_root(KillGuardActor, {"propdesk.name": self.name})
        self.base.inject(address, StartActor(name=self.name, supervisor="supervisor", setup=setup))
        self._heart = asyncio.ensure_future(self._pulse())

    def beat(self):
        now = self.clock.mono_ns()
        for name in self.beating:
            self.slots[name].beat(now)
        self.permit.renew(self.epoch, now + 2 * SILENCE_NS, self.modes)

    def miss(self, name):
        """A cell's last beat is older than it may be, and nobody else's."""
        self.beating.discard(name)
        self.slots[name].beat(self.clock.mono_ns() - SILENCE_NS - MS)

    async def _pulse(self):
        while True:
            self.beat()
            await breath(0.02)

    def _keep(self, to, _sender, msg):
        self.kept.append((to, msg))
        return True

    def rest(self, name, bench=None):
        """An order one per cent below the market."""
        bench = bench or self.benches[0]
        report = self.server.account.place(
            bench.market,
            side=Side.BUY,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTC,
            qty=bench.qty,
            price=bench.price_at(100),
            cl_ord_id=id_out(name) if self.venue == "okx" else name,
        )
        assert name in self.resting(), report.text

    def resting(self):
        found = self.server.account.sim.open_ids()
        return {id_in(name) for name in found} if self.venue == "okx" else set(found)

    def told(self, kind, to=None):
        return [msg for where, msg in self.kept if isinstance(msg, kind) and to in {None, where}]

    def events(self):
        found = [
            m.body for m in self.told(Published, "ops") if m.topic is Topic.EVENT and m.body["code"] == AUTO_CANCEL
        ]
        return [body["text"] for body in found]

    def series(self, name):
        said = [m.body["series"] for m in self.told(Published, "ops") if m.topic is Topic.METRICS][-1:]
        return next((value for series in said for known, _, _, value in series if known == name), None)

    async def until(self, condition):
        await until(condition)

    async def close(self):
        self._heart.cancel()
        await self.base.stop(2.0)
        assert self.told(ActorFailed) == []


@contextlib.asynccontextmanager
async def watched(venue, directory):
    async with trading(venue) as server:
        one = Watched(server, directory)
        try:
            await one.until(lambda: one.told(ActorReady) != [] and one.base.actor(one.name).core._armed)
            yield one
        finally:
            await one.close()


@pytest.mark.req("P-VEN-9")
@pytest.mark.parametrize("venue", VENUES)
async def test_when_the_heart_of_a_cell_is_missed_what_rests_of_ours_is_canceled_from_outside(venue, tmp_path):
    async with watched(venue, tmp_path) as one:
        for bench in one.benches:
            one.rest(f"pd1-{bench.instrument.kind.value}", bench)
        one.rest("another")  # somebody else's
        one.miss("venue")
        await one.until(lambda: one.resting() == {"another"})
        await one.until(lambda: one.events() != [])
        assert "no heartbeat of cell venue" in one.events()[0]
        assert f"{len(one.benches)} orders canceled by the guard, nothing rests" in one.events()[0]
        (brake,) = one.told(BrakesStated, "governor")[-1].brakes
        assert (brake.code, brake.scope, brake.level) == (HEARTBEAT, f"venue:{venue}", int(Level.HOLD))
        await one.until(lambda: one.series("auto_cancel_on_hb_total") == 1)
        await one.until(lambda: one.series("auto_cancel_orders_total") == len(one.benches))
        one.beating.add("venue")
        await one.until(lambda: one.told(BrakesStated, "governor")[-1].brakes == ())
        assert [msg.venue for msg in one.told(ReconcileWanted, f"gateway.{venue}")] == [venue]


@pytest.mark.req("P-VEN-9", "P-VEN-8")
async def test_a_market_in_hold_is_proved_empty_and_what_was_left_there_is_canceled_and_nothing_else(tmp_path):
    async with watched("okx", tmp_path) as one:
        spot, linear = one.benches[:2]
        one.rest("pd1-a", spot)
        one.rest("pd1-b", linear)
        # The first cancel is done and answered with nothing: whether it was is looked for.
        one.server.faults.set(AcceptThen(requests=1, outcome="drop", topics=("/api/v5/trade/cancel*",)))
        one.modes = {f"symbol:{linear.instrument.instrument_id}": Level.HOLD}
        await one.until(lambda: one.resting() == {"pd1-a"})
        await one.until(lambda: one.events() != [])
        assert "in HOLD" in one.events()[0]
        assert one.told(BrakesStated, "governor")[-1].brakes == ()
        # A permit that nobody renews is a desk that is gone.
        one.modes = {}
        one.permit.revoke()
        one._heart.cancel()
        await one.until(lambda: one.resting() == set())
        await one.until(lambda: len(one.events()) >= 2)
        assert any("permit" in text or "heartbeat" in text for text in one.events())
