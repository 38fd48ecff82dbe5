"""One account's link: what has to be true before it is live, what locks it, and what it does while it is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from adapters.clock import SystemClock
from adapters.orders.client import Outcome
from adapters.orders.link import AccountUnread, LinkState, LinkStated, OrderLink, OrderLinkSpec, open_dialect
from adapters.orders.user_stream import CaughtUp, Pushed
from adapters.orders.wire import Credentials
from adapters.simserver.order_faults import BadBody, KeyMayWithdraw
from tests.adapters.orders.commands import cancel, place
from tests.adapters.simserver.trading.conftest import KEYS, trading
from tests.waiting import until
from trading.instruments import Instrument
from trading.orders.messages import AccountState, AccountStateRequest, ExecType, ExecutionReport, Side

KEY = Credentials(api_key=KEYS.api_key, secret=KEYS.secret, passphrase=KEYS.passphrase)
VENUES = ("binance", "binanceusdm", "binancecoinm", "okx", "bybit")


class Wire:
    """A link, and everything that came out of it."""

    def __init__(self, server, *, vouched=True, **spec):
        self.server = server
        self.market: Instrument = next(iter(server.feed.markets.values())).instrument
        settings = {"venue": server.spec.venue, "instruments": (self.market,), "credentials": KEY} | spec
        self.items = []
        self.vouched = vouched
        self.link = OrderLink(
            OrderLinkSpec(rest=server.base_http, ws=server.base_ws, **settings),
            SystemClock(),
            self._take,
            lambda: self.vouched,
        )

    def _take(self):
        asyncio.get_running_loop().call_soon(lambda: self.items.extend(self.link.drain()))

    def of(self, kind):
        return [item for item in self.items if isinstance(item, kind)]

    def states(self):
        return [item.state for item in self.of(LinkStated)]

    def reported(self):
        """What the stream said of orders."""
        return [item.event.exec_type for item in self.of(Pushed) if isinstance(item.event, ExecutionReport)]

    async def until(self, condition):
        await until(condition, f"{self.link.state} {self.link.reason}")

    async def until_live(self):
        """Until the link is live and has said so."""
        await self.until(lambda: self.link.state is LinkState.LIVE and self.states()[-1:] == [LinkState.LIVE])


@asynccontextmanager
async def wired(venue, *, faults=(), account=None, **spec):
    async with trading(venue, **(account or {})) as server:
        for knob in faults:
            server.faults.set(knob)
        wire = Wire(server, **spec)
        wire.link.start()
        try:
            yield wire
        finally:
            await wire.link.close()
            assert not wire.link.faults


@pytest.mark.req("P-SAFE-1")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_link_is_live_when_clock_key_mode_leverage_and_stream_are_as_they_must_be(venue):
    async with wired(venue) as wire:
        await wire.until_live()
        assert wire.states()[-1] is LinkState.LIVE
        assert len(wire.of(CaughtUp)) == 1


@pytest.mark.req("P-SEC-11", "P-SAFE-1")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_key_that_may_withdraw_is_never_traded_with(venue):
    async with wired(venue, faults=[KeyMayWithdraw()]) as wire:
        await wire.until(lambda: wire.link.state is LinkState.LOCKED)
        assert "may withdraw" in wire.link.reason
        assert wire.of(CaughtUp) == []
        wire.server.faults.clear()
        wire.link.unlock()
        await wire.until_live()


@pytest.mark.req("P-SEC-11")
async def test_a_key_that_is_given_the_right_to_withdraw_meanwhile_locks_the_link_until_it_is_taken_away():
    async with wired("binanceusdm") as wire:
        await wire.until_live()
        wire.server.faults.set(KeyMayWithdraw())
        await wire.link.check_again()
        assert wire.link.state is LinkState.LOCKED
        wire.link._stream.want_reading()  # whatever the stream says of itself, it stays locked
        await wire.until(lambda: len(wire.of(CaughtUp)) == 2)
        assert wire.link.state is LinkState.LOCKED
        wire.server.faults.clear()
        await wire.link.check_again()
        assert wire.link.state is LinkState.LIVE


@pytest.mark.req("P-SAFE-1")
async def test_more_leverage_than_the_configuration_allows_locks_the_link_with_the_mend():
    async with wired("binanceusdm", account={"leverage": Decimal(20)}) as wire:
        await wire.until(lambda: wire.link.state is LinkState.LOCKED)
        assert "leverage 20, at most 10" in wire.link.reason
    async with wired("binanceusdm", account={"leverage": Decimal(20)}, leverage_max=Decimal(20)) as wire:
        await wire.until_live()


@pytest.mark.req("P-SAFE-1")
async def test_hedge_mode_locks_the_link():
    async with trading("binancecoinm") as server:
        server.account.settings.set_hedge(hedge=True)
        wire = Wire(server)
        wire.link.start()
        try:
            await wire.until(lambda: wire.link.state is LinkState.LOCKED)
            assert "hedge mode" in wire.link.reason
        finally:
            await wire.link.close()


async def test_a_wrong_secret_locks_the_link():
    wrong = Credentials(api_key=KEYS.api_key, secret="another", passphrase=KEYS.passphrase)
    async with wired("okx", credentials=wrong) as wire:
        await wire.until(lambda: wire.link.state is LinkState.LOCKED)
        assert "refused our key" in wire.link.reason


@pytest.mark.req("P-VEN-8")
async def test_the_venues_timer_cancels_what_rests_when_nobody_vouches_for_the_desk():
    async with wired("binanceusdm", countdown_ms=3_000) as wire:
        await wire.until_live()
        wire.link.submit(place(wire.market, "pd1-a", qty="0.010", price="30000"))
        await wire.until(lambda: wire.server.account.sim.open_ids() == ("pd1-a",))
        await wire.until(lambda: wire.link.timers_armed >= 3)
        assert wire.server.account.sim.open_ids() == ("pd1-a",)
        wire.vouched = False
        await wire.until(lambda: wire.server.account.sim.open_ids() == ())
        await wire.until(lambda: ExecType.CANCELED in wire.reported())


@pytest.mark.req("P-PNL-7")
async def test_an_account_is_read_after_it_was_asked_for_and_what_cannot_be_read_is_not_zero():
    async with wired("binanceusdm") as wire:
        await wire.until_live()
        asked_ns = SystemClock.wall_ns()
        for number in range(3):
            wire.link.read(
                AccountStateRequest(venue="binanceusdm", since_exec_seq=0, cause=f"r{number}", ts_init_ns=asked_ns)
            )
        await wire.until(lambda: [state.cause for state in wire.of(AccountState)][-1:] == ["r2"])
        states = wire.of(AccountState)
        assert len(states) <= 2  # of those that waited the newest stands for all
        assert all(not state.numbered and state.asked_ns >= asked_ns for state in states)
        wire.server.faults.set(BadBody(requests=50, topics=("/fapi/v3/account",), body="truncated"))
        wire.link.read(AccountStateRequest(venue="binanceusdm", since_exec_seq=0, cause="torn", ts_init_ns=asked_ns))
        await wire.until(lambda: wire.of(AccountUnread) != [])
        assert wire.of(AccountUnread)[0].cause == "torn"


@pytest.mark.req("P-PNL-7")
async def test_the_first_reading_lists_what_later_ones_will_reach_back_to():
    async with wired("binanceusdm") as wire:
        market = next(iter(wire.server.feed.markets.values()))
        wire.server.account.force_fill(market, Side.BUY, 5, "web_1", 600_000)
        await wire.until_live()
        wire.link.read(AccountStateRequest(venue="binanceusdm", since_exec_seq=0, cause="reconcile", ts_init_ns=0))
        await wire.until(lambda: wire.of(AccountState) != [])
        (first,) = wire.of(AccountState)
        wire.link.read(
            AccountStateRequest(
                venue="binanceusdm", since_exec_seq=0, cause="audit", ts_init_ns=0, since_ns=first.asked_ns
            )
        )
        await wire.until(lambda: len(wire.of(AccountState)) == 2)
        listed = [{one.exec_id for one in state.executions} for state in wire.of(AccountState)]
        assert len(listed[0]) == 1
        assert listed[1] == listed[0]  # an order core that opens with the first knows that it is not its own


@pytest.mark.req("P-VEN-13")
async def test_a_server_that_dies_and_comes_back_is_caught_up_with_before_the_link_is_live():
    async with wired("bybit") as wire:
        await wire.until_live()
        for connection in list(wire.server.hub.connections.values()):
            connection.end(1006)
        await wire.until(lambda: LinkState.CONNECTING in wire.states()[wire.states().index(LinkState.LIVE) :])
        await wire.until_live()
        await wire.until(lambda: len(wire.of(CaughtUp)) == 2)
        wire.link.submit(place(wire.market, "pd1-b", qty="0.010", price="30000"))
        await wire.until(lambda: wire.of(Outcome) != [])
        wire.link.submit(cancel(wire.market, "pd1-b"))
        await wire.until(lambda: wire.server.account.sim.open_ids() == ())


def test_a_venue_without_an_order_codec_is_refused_by_name():
    with pytest.raises(ValueError, match="kraken"):
        open_dialect(OrderLinkSpec(venue="kraken", instruments=(), credentials=KEY))
