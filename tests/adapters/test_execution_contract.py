"""Every backend answers the same questions alike: the simulated account, in real and in virtual time, and each wire."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from adapters.binance.instruments import SPOT, instruments_of
from adapters.clock import SystemClock
from adapters.orders.client import Outcome
from adapters.orders.link import LinkState, OrderLink, OrderLinkSpec
from adapters.orders.user_stream import CaughtUp, Pushed
from adapters.orders.wire import Credentials
from tests.adapters.ccxt_orders.wires import KEY, server_of
from tests.adapters.orders.commands import cancel, place, status
from tests.adapters.simserver.trading.conftest import KEYS, trading
from tests.waiting import PATIENCE_S, breath, until
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ExecType,
    ExecutionReport,
    OrderCancelReject,
    OrderStatusReport,
    OrdStatus,
    Side,
)
from trading.sim.config import SimConfig
from trading.sim.venue import SimVenue

NATIVE = ("binance", "binanceusdm", "binancecoinm", "okx", "bybit")
CCXT = ("gateio", "mexc")
BACKENDS = ("simulated", "replayed", *NATIVE, *CCXT)


class Simulated:
    """The account inside a venue's cell; ``replayed``: the same, in a time that only the run moves."""

    def __init__(self, *, replayed):
        self.market = instruments_of(SPOT)[0]
        self.events = []
        self._clock = None if replayed else SystemClock()
        self._now_ns = 1_763_000_000_000_000_000
        config = SimConfig(initial_balances={"USDT": Decimal(100_000), "BTC": Decimal(1)})
        self._sim = SimVenue(SPOT, [self.market], config, 7)

    def now(self):
        return self._clock.wall_ns() if self._clock is not None else self._now_ns

    def ask(self, command):
        self._sim.on_command(command, self.now())

    def read(self):
        request = AccountStateRequest(venue=SPOT, since_exec_seq=0, cause="test", ts_init_ns=self.now())
        self.ask(request)

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self._clock is None:
                    due = self._sim.next_due_ns()
                    assert due is not None, "nothing is on its way"
                    self._now_ns = due
                else:
                    await breath(0.002)
                self.events += self._sim.poll(self.now())


class Wired:
    """A link to a loopback server."""

    def __init__(self, server, market, credentials):
        self.market = market
        self.events = []
        spec = OrderLinkSpec(
            venue=market.venue,
            instruments=(market,),
            credentials=credentials,
            rest=server.base_http,
            ws=getattr(server, "base_ws", ""),
            key_vouched=True,
        )
        self.link = OrderLink(spec, SystemClock(), self._wake, lambda: True)

    def _wake(self):
        asyncio.get_running_loop().call_soon(self._take)

    def _take(self):
        for item in self.link.drain():
            match item:
                case Outcome():
                    self.events += item.reply.events
                case Pushed():
                    self.events.append(item.event)
                case CaughtUp():
                    self.events += item.state.executions
                case AccountState():
                    self.events.append(item)

    def ask(self, command):
        assert self.link.submit(command) is None

    def read(self):
        self.link.read(
            AccountStateRequest(venue=self.market.venue, since_exec_seq=0, cause="test", ts_init_ns=0, since_ns=0)
        )

    async def until(self, condition):
        await until(condition)


@asynccontextmanager
async def backend(name):
    if name in {"simulated", "replayed"}:
        yield Simulated(replayed=name == "replayed")
        return
    async with server_of(name) if name in CCXT else trading(name) as server:
        if name in CCXT:
            desk = Wired(server, server.spec.instruments[0], KEY)
        else:
            market = next(iter(server.feed.markets.values())).instrument
            keys = Credentials(api_key=KEYS.api_key, secret=KEYS.secret, passphrase=KEYS.passphrase)
            desk = Wired(server, market, keys)
        desk.link.start()
        try:
            await desk.until(lambda: desk.link.state is LinkState.LIVE)
            yield desk
        finally:
            await desk.link.close()


def resting(market):
    """An order that no market of these servers reaches, big enough for every venue's filters."""
    return place(market, "pd1-rest", side=Side.BUY, price="30000", qty=_QTY.get(market.venue, "0.01"))


_QTY = {"binancecoinm": "5", "okx": "1", "bybit": "0.01"}


@pytest.mark.req("C-EXEC-1", "L-EXEC-1")
@pytest.mark.parametrize("name", BACKENDS)
async def test_every_backend_answers_the_same_questions_alike(name):
    async with backend(name) as desk:
        market = desk.market

        def reports(kind):
            return [e for e in desk.events if isinstance(e, ExecutionReport) and e.exec_type is kind]

        def answers(cl_ord_id):
            return [e for e in desk.events if isinstance(e, OrderStatusReport) and e.cl_ord_id == cl_ord_id]

        order = resting(market)
        desk.ask(order)
        await desk.until(lambda: reports(ExecType.NEW))
        accepted = reports(ExecType.NEW)[0]
        assert (accepted.cl_ord_id, accepted.ord_status, accepted.leaves_qty) == (
            "pd1-rest",
            OrdStatus.NEW,
            order.order_qty,
        )
        desk.ask(status(market, "pd1-rest"))
        desk.ask(status(market, "pd1-never"))
        await desk.until(lambda: answers("pd1-rest") and answers("pd1-never"))
        assert answers("pd1-rest")[0].report.ord_status is OrdStatus.NEW
        assert answers("pd1-never")[0].report is None
        desk.read()
        await desk.until(lambda: [e for e in desk.events if isinstance(e, AccountState)])
        state = next(e for e in desk.events if isinstance(e, AccountState))
        assert [one.cl_ord_id for one in state.open_orders] == ["pd1-rest"]
        assert state.balances
        desk.ask(cancel(market, "pd1-rest"))
        await desk.until(
            lambda: (
                reports(ExecType.CANCELED)
                or [a for a in answers("pd1-rest") if a.report.ord_status is OrdStatus.CANCELED]
            )
        )
        desk.ask(cancel(market, "pd1-none"))
        await desk.until(lambda: [e for e in desk.events if isinstance(e, OrderCancelReject)])
        assert reports(ExecType.TRADE) == reports(ExecType.REJECTED) == []
