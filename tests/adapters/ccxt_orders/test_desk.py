"""A whole desk that is configured to trade Gate.io with an account: both its sides on one loopback port."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from decimal import Decimal

import msgspec
import pytest
from aiohttp import web

from actors.messages import BrakeSet
from adapters.ccxt_venues.instruments import INSTRUMENTS
from adapters.config import load_config
from adapters.journal.store import open_reader, read_rows
from adapters.simserver.spot_server import SpotServer, SpotServerSpec
from adapters.simserver.trading.account import AccountSpec
from tests.adapters.ccxt_orders.wires import SERVER_KEYS
from tests.adapters.ccxt_venues.desk import PaperDesk
from tests.adapters.ccxt_venues.venues import Gate
from trading.brakes import Level
from trading.operators import CommandAnswered, CommandKind, OperatorCommand
from trading.orders.journal_rows import JournalKind, ReportBody, decode_body
from trading.orders.messages import Side
from trading.universe.workflow import ApproveMarket, DraftMarket, SubmitMarket

pytestmark = [
    # ccxt's own coroutines and parsers warn on this Python; what they warn of is not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BTC = next(one for one in INSTRUMENTS if one.instrument_id == "GATEIO:SPOT:BTC-USDT")
DEPTH = 20


class TradedGate(Gate):
    """Gate.io with an account: what its public side shows is what its private side fills against."""

    def __init__(self):
        super().__init__()
        balances = {"USDT": Decimal(1_000_000), "BTC": Decimal(10)}
        account = AccountSpec(credentials=SERVER_KEYS, balances=balances)
        self.spot = SpotServer(SpotServerSpec(venue="gateio", instruments=(BTC,), account=account), self.clock)

    def routes(self):
        """The public paths but the clock, which is the account's."""
        return {path: handler for path, handler in super().routes().items() if not path.endswith("/time")}

    async def start(self):
        app = web.Application(middlewares=[self._switch])
        for path, handler in self.routes().items():
            app.router.add_get(path, handler)
        self.spot.serve_in(app)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        self.market.on_snapshot(self._codec.decode_snapshot(self._generator.snapshot()[2], self.clock.wall_ns()))
        self._shown()
        self._tasks = [asyncio.get_running_loop().create_task(self._pump())]
        return self

    async def close(self):
        await super().close()
        self.spot.account.close()

    def push(self):
        super().push()
        self._shown()

    def reaches_a_quote(self):
        """Let the other side come to what rests here; whether anything of ours was filled by it."""
        before = len(self.spot.account.fills)
        for order in self.spot.account.working():
            price = BTC.price(order.price_ticks)
            near, far = (price, price - 1) if order.side is Side.BUY else (price + 1, price)
            self.spot.set_book(BTC.symbol, [(str(far), "1")], [(str(near), "1")])
            self._shown()
        return len(self.spot.account.fills) > before

    def _shown(self):
        bids, asks = self.market.book.top(DEPTH)
        self.spot.set_book(BTC.symbol, self.rows(bids), self.rows(asks))


class LiveDesk(PaperDesk):
    """With operators who have to approve a market: a live desk approves nothing by itself."""

    def __init__(self, config):
        super().__init__(config)
        self.answers = []

    def _route(self, to, sender, msg):
        if isinstance(msg, CommandAnswered):
            self.answers.append(msg)
        return super()._route(to, sender, msg)

    async def says(self, step):
        heard = len(self.answers)
        command = OperatorCommand(
            command_id=f"c{heard}",
            kind=CommandKind.UNIVERSE,
            scope="global",
            actor=f"http:{step.actor}",
            cause="test",
            argument=msgspec.json.encode(step).decode(),
            ts_ns=self.clock.wall_ns(),
        )
        self.base.inject("universe", command)
        await self.until(lambda: len(self.answers) > heard, "an answer")
        answer = self.answers[-1]
        assert answer.done, answer.text
        return answer.body

    async def approve(self):
        await self.says(DraftMarket(instrument_id=BTC.instrument_id, actor="ann"))
        seen = await self.says(SubmitMarket(instrument_id=BTC.instrument_id, actor="ann"))
        facts = seen["entry"]["facts_hash"]
        await self.says(ApproveMarket(instrument_id=BTC.instrument_id, actor="bob", facts_hash=facts))


def config_of(venue, directory):
    strategy = {"kind": "maker", "instruments": [BTC.instrument_id], "budget_usd": Decimal(3_000)}
    return load_config(
        None,
        overrides={
            "profile": "live",
            "data_dir": str(directory),
            "execution": {"orders": "wire", "environment": "live"},
            "venues": {"gateio": {"instruments": [BTC.instrument_id]}},
            "market_data": {
                "source": "live",
                "ccxt": {"audit_every_ms": 700, "proof_ms": 6_000, "hosts": {"gateio": venue.hosts}},
            },
            "strategies": {"quoter": {**strategy, "priority": 20}, "taker": {**strategy, "priority": 10}},
            "placement": {"all": ["desk", "venue:gateio", "ops"]},
            "risk": {"max_slippage_bps": Decimal(60), "daily_loss_cap_usd": Decimal(1_000_000)},
        },
    )


def booked(paths):
    """What the journal holds of executions: quantity by order."""
    sums = defaultdict(Decimal)
    db = open_reader(paths.journal)
    try:
        for row in read_rows(db):
            if row.kind in {JournalKind.FILL, JournalKind.PARTIAL}:
                body = decode_body(row.body)
                assert isinstance(body, ReportBody)
                sums[row.cl_ord_id] += body.report.last_qty
    finally:
        db.close()
    return dict(sums)


def executed(account):
    """What the venue executed: quantity by order."""
    sums = defaultdict(Decimal)
    for fill in account.fills:
        sums[fill.report.cl_ord_id.removeprefix("t-")] += fill.report.last_qty
    return dict(sums)


@pytest.mark.req("P-SAFE-1", "L-EXEC-3")
async def test_a_live_desk_waits_for_its_account_then_trades_and_its_journal_is_the_venues(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEIO_API_KEY", SERVER_KEYS.api_key)
    monkeypatch.setenv("GATEIO_API_SECRET", SERVER_KEYS.secret)
    venue = await TradedGate().start()
    account = venue.spot.account
    venue.rest_down = True
    desk = LiveDesk(config_of(venue, tmp_path / "data"))
    try:
        assert desk.wiring.backends[0].backend.value == "live"
        await desk.start()
        governor, orders = desk.base.actor("governor"), desk.base.actor("orders")
        await desk.until(lambda: "ORDER_LINK" in {b.code for b in governor.brakes}, "a hold")
        assert desk.sent() == []
        venue.rest_down = False
        await desk.until(lambda: len(desk.brakes()) == 1 and desk.is_synced, "all but an approval")
        assert "nobody approved it" in desk.brakes()[0]
        assert desk.sent() == []
        await desk.approve()
        await desk.until(desk.may_trade, "permission")
        await desk.until(lambda: orders.fills and account.fills, "what the taker took")
        await desk.until(venue.reaches_a_quote, "a quote that the market comes to")
        await desk.until(lambda: orders.fills >= len(account.fills) > 1, "the fill that nobody pushed")
        hold = BrakeSet(code="TEST", scope="global", level=int(Level.HOLD), cause="enough", release="operator")
        desk.base.inject("governor", hold)
        await desk.until(lambda: not orders.core.open_orders(), "an end of every order")
        await desk.until(lambda: booked(desk.paths) == executed(account), "agreement with the venue")
        assert account.sim.open_ids() == ()
        assert orders.core.unknown_orders() == []
        assert desk.venue_facts  # what the operators are told
    finally:
        gateway = desk.base.actor("gateway.gateio")
        await desk.close()
        await gateway.link.close()
        await venue.close()
    assert not gateway.link.faults
