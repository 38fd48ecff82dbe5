"""The drop copy beside a stream with faults: a real server, a real journal, and whatever it says of the two."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from decimal import Decimal

import msgspec
import pytest

from actors.drop_copy import BLIND, DROP_COPY, GAP, HEALED, DropCopy, DropCopySetup
from actors.gateway import GatewaySetup
from actors.live_gateway import LiveGateway, LiveGatewaySetup
from actors.messages import ActorFailed, ActorReady, BrakesStated, ReconcileWanted, StartActor, VenueUp
from adapters.clock import SystemClock
from adapters.dropcopy.mirror import MirrorSpec
from adapters.dropcopy.store import DropCopyStore
from adapters.journal.store import SqliteJournal
from adapters.orders.link import OrderLink, OrderLinkSpec
from adapters.orders.user_stream import Pushed
from adapters.orders.wire import Credentials
from adapters.simserver.faults import Duplicate, Gap
from adapters.simserver.order_faults import BadBody, LateVisibility
from supervision.bases.loop import LoopBase
from tests.adapters.simserver.trading.conftest import KEYS, trading
from tests.waiting import until
from trading.brakes import Level
from trading.dropcopy.core import DropCopyRules
from trading.dropcopy.execution import DifferenceKind, execution_of
from trading.operators import Published, Topic
from trading.orders.journal_rows import JournalKind, ReportBody, RowDraft, encode_body
from trading.orders.messages import ExecutionReport, Side

KEY = Credentials(api_key=KEYS.api_key, secret=KEYS.secret, passphrase=KEYS.passphrase)
MS = 1_000_000
QUICK = DropCopyRules(grace_ns=100 * MS, late_ns=400 * MS, lasting_ns=200 * MS, again_ns=100 * MS)


class Desk:
    """An order path that books what its stream says, once; and a drop copy that looks on."""

    def __init__(self, server, directory):
        self.server = server
        self.market = next(iter(server.feed.markets.values()))
        self.venue = server.spec.venue
        self.journal = SqliteJournal(directory / "journal.db")
        self.store = directory / "dropcopy" / f"{self.venue}.db"
        self.link_spec = OrderLinkSpec(
            venue=self.venue,
            instruments=tuple(market.instrument for market in server.feed.markets.values()),
            credentials=KEY,
            rest=server.base_http,
            ws=server.base_ws,
        )
        self.link = OrderLink(self.link_spec, SystemClock(), self._wake, lambda: True)
        self.booked = {}
        self.kept = []
        self.holds = set()
        """Executions that the order path loses after it heard them."""

    def _wake(self):
        asyncio.get_running_loop().call_soon(self._hear)

    def _hear(self):
        for item in self.link.drain():
            if isinstance(item, Pushed) and isinstance(item.event, ExecutionReport):
                self.book(item.event)

    def book(self, report):
        one = execution_of(report)
        if one is None or one.exec_id in self.booked:
            return
        self.booked[one.exec_id] = report
        row = RowDraft(
            report.ts_init_ns, JournalKind.FILL, self.venue, report.cl_ord_id, one.exec_id, "", 1,
            encode_body(ReportBody(report=report)),
        )  # fmt: skip
        self.journal.append([row])

    def up(self):
        """Begin a life of the drop copy."""
        self.base = LoopBase.standalone(name="watch", clock=SystemClock())
        self.base.set_router(self._keep)
        self.base.attach(asyncio.get_running_loop())
        mirror = MirrorSpec(
            link=self.link_spec,
            journal=self.journal_path,
            store=self.store,
            poll_ns=60 * MS,
            weight_a_minute=1_000_000,
        )
        setup = DropCopySetup(mirror=mirror, rules=QUICK, publish_ns=50 * MS, blind_ns=300 * MS)
        name = f"drop_copy.{self.venue}"
        address = self.base.create_root(DropCopy, {"propdesk.name": name})
        self.base.inject(address, StartActor(name=name, supervisor="supervisor", setup=setup))
        self.name = name

    @property
    def journal_path(self):
        return self.store.parent.parent / "journal.db"

    @property
    def actor(self):
        return self.base.actor(self.name)

    def _keep(self, to, _sender, msg):
        self.kept.append((to, msg))
        return True

    def fill(self, name, side=Side.BUY):
        instrument = self.market.instrument
        self.server.account.force_fill(self.market, side, max(instrument.lots_floor(instrument.min_qty), 1) * 2, name)
        return self.server.account.fills[-1].report

    def told(self, kind, to=None):
        return [msg for where, msg in self.kept if isinstance(msg, kind) and to in {None, where}]

    def events(self, code):
        found = [m.body for m in self.told(Published, "ops") if m.topic is Topic.EVENT and m.body["code"] == code]
        return [body["text"] for body in found]

    def series(self, name):
        body = [m.body for m in self.told(Published, "ops") if m.topic is Topic.METRICS][-1]
        return {tuple(labels.values())[1:]: value for known, _, labels, value in body["series"] if known == name}

    def brakes(self):
        stated = self.told(BrakesStated, "governor")
        return stated[-1].brakes if stated else None

    async def until(self, condition):
        await until(condition)

    async def until_compared(self):
        """Until everything that the venue has was compared."""
        ready = lambda: self.actor is not None and self.actor.core is not None  # noqa: E731
        await self.until(lambda: ready() and self.actor.core.matched == len(self.booked) and not self.actor.core.gap)


@contextlib.asynccontextmanager
async def desk_at(venue, directory):
    async with trading(venue) as server:
        desk = Desk(server, directory)
        desk.link.start()
        desk.up()
        try:
            await desk.until(lambda: desk.link.state.value == "live" and desk.told(ActorReady) != [])
            yield desk
        finally:
            await desk.link.close()
            await desk.base.stop(2.0)
            desk.journal.close()
            assert desk.told(ActorFailed) == []


@pytest.mark.req("P-VEN-10", "P-VEN-13")
async def test_what_a_stream_loses_doubles_and_invents_is_found_told_and_held_until_it_is_mended(tmp_path):
    async with desk_at("binanceusdm", tmp_path) as desk:
        faults = desk.server.faults
        # All is well, and a frame that comes twice changes nothing.
        faults.set(Duplicate(messages=1, topics=("user:fill:*",)))
        desk.fill("pd1-a")
        desk.fill("pd1-b", Side.SELL)
        await desk.until(lambda: len(desk.booked) == 2)
        await desk.until_compared()
        await desk.until(lambda: desk.series("recon_gap") == {(): 0})
        assert desk.brakes() == ()
        # A frame is lost.
        faults.set(Gap(messages=1, topics=("user:fill:*",)))
        lost = desk.fill("pd1-c")
        await desk.until(lambda: desk.brakes() != ())
        (brake,) = desk.brakes()
        assert (brake.code, brake.scope, brake.level) == (DROP_COPY, "venue:binanceusdm", int(Level.HOLD))
        assert f"the venue's record has buy {lost.last_qty} at {lost.last_px}" in brake.cause
        assert "unbooked" in desk.events(GAP)[-1]
        asked = desk.told(ReconcileWanted, "gateway.binanceusdm")
        assert asked[0].venue == "binanceusdm"
        await desk.until(lambda: desk.series("recon_gap") == {(): 1})
        # The order path mends it by its own evidence; here it reads the account.
        found = await desk.link._client.read_account(desk.link._stream.cursor, "audit")
        for report in found.state.executions:
            desk.book(report)
        assert len(desk.booked) == 3
        await desk.until(lambda: desk.brakes() == ())
        assert "both sides agree now" in desk.events(HEALED)[-1]
        # Pages that are late are waited for.
        late = faults.set(LateVisibility(delay_ms=200))
        desk.fill("pd1-d")
        await desk.until(lambda: len(desk.booked) == 4)
        await desk.until_compared()
        faults.clear(late)
        assert len(desk.events(GAP)) == 1
        # An execution that only the stream has, and one more of which the numbers are another's.
        shown = next(iter(desk.booked.values()))
        desk.book(msgspec.structs.replace(shown, exec_id="invented", order_id="999", last_px=shown.last_px + 1))
        desk.book(msgspec.structs.replace(shown, exec_id="again"))
        await desk.until(lambda: desk.actor.core.gap == 2)
        kinds = {one.kind for one in desk.actor.core.open()}
        assert kinds == {DifferenceKind.GHOST, DifferenceKind.DUPLICATE}
        await desk.until(lambda: desk.brakes() != ())
        # Another life of it knows all that, and holds before it has read anything.
        await desk.base.stop(2.0)
        desk.kept.clear()
        desk.up()
        await desk.until(lambda: desk.told(BrakesStated) != [])
        assert desk.told(BrakesStated)[0].brakes[0].code == DROP_COPY
        await desk.until(lambda: desk.actor.core.listed == 0 and desk.actor.readings >= 3)
        # What nothing can mend a person accepts.
        with contextlib.closing(DropCopyStore(desk.store)) as store:
            for exec_id in ("invented", "again"):
                store.accept(exec_id, "alice", "seen at the venue", desk.base.clock.wall_ns())
        await desk.until(lambda: desk.brakes() == ())
        assert all("accepted by alice" in text for text in desk.events(HEALED))


@pytest.mark.req("P-VEN-10")
async def test_a_venue_that_does_not_answer_blinds_the_copy_which_says_so_and_goes_on_where_it_was(tmp_path):
    async with desk_at("bybit", tmp_path) as desk:
        desk.fill("pd1-a")
        await desk.until(lambda: len(desk.booked) == 1)
        await desk.until_compared()
        desk.server.faults.set(BadBody(requests=9, topics=("/v5/execution/list",)))
        await desk.until(lambda: desk.events(BLIND) != [])
        assert "nothing could be compared" in desk.events(BLIND)[0]
        await desk.until(lambda: desk.series("drop_copy_readings_failed_total")[()] >= 1)
        assert desk.actor.core.gap == 0  # what cannot be read says nothing about it
        desk.fill("pd1-b")
        await desk.until(lambda: desk.events(BLIND)[1:] != [])
        await desk.until(lambda: len(desk.booked) == 2)
        await desk.until_compared()
    with contextlib.closing(sqlite3.connect(desk.store)) as db:
        assert db.execute("SELECT count(*), sum(booked) FROM execution").fetchone() == (2, 2)


@pytest.mark.req("P-VEN-10", "P-PNL-7")
async def test_a_gateway_that_is_asked_for_a_reconciliation_has_the_desk_compare_anew(tmp_path):
    async with trading("binanceusdm") as server:
        clock, kept = SystemClock(), []
        base = LoopBase.standalone(name="venue", clock=clock)
        base.set_router(lambda to, _sender, msg: kept.append((to, msg)) or True)
        base.attach(asyncio.get_running_loop())
        instruments = tuple(market.instrument for market in server.feed.markets.values())
        gate = GatewaySetup(
            venue="binanceusdm",
            instruments={one.instrument_id: one for one in instruments},
            board=tmp_path / "permit.board",
            sent_log=None,
            max_order_notional_usd=Decimal(1_000),
        )
        link = OrderLinkSpec(
            venue="binanceusdm", instruments=instruments, credentials=KEY, rest=server.base_http, ws=server.base_ws
        )
        address = base.create_root(LiveGateway, {"propdesk.name": "gateway.binanceusdm"})
        setup = LiveGatewaySetup(gate=gate, link=link)
        base.inject(address, StartActor(name="gateway.binanceusdm", supervisor=None, setup=setup))

        def lives():
            return {msg.incarnation for to, msg in kept if to == "governor" and isinstance(msg, VenueUp)}

        try:
            await until(lives)
            (first,) = lives()
            base.inject("gateway.binanceusdm", ReconcileWanted(venue="binanceusdm", cause="a test"))
            await until(lambda: len(lives()) == 2)
            assert max(lives()) > first
        finally:
            await base.stop(2.0)
