"""Orders at Gate.io's and MEXC's own protocols on loopback, through ccxt's words and this desk's client."""

from __future__ import annotations

import ccxt.async_support as ccxt_rest
import pytest

from adapters.ccxt_venues.exchange import pointed
from adapters.ccxt_venues.spec import CcxtSpec
from adapters.clock import SystemClock
from adapters.limits.limiter import Limiter
from adapters.orders.client import OrderClient
from adapters.orders.link import LinkState, LinkStated
from adapters.orders.sanitiser import ForbiddenRequestError
from adapters.orders.wire import Ambiguous, AuthFailed, CancelAll, Credentials, Limited, OrderEndpoints, Refused
from adapters.simserver.faults import RestStatus
from adapters.simserver.order_faults import AcceptThen, AuthFailure, BadBody, KeyMayWithdraw
from tests.adapters.ccxt_orders.wires import KEY, SERVER_KEYS, VENUES, dialect, server_of, wired
from tests.adapters.orders.commands import cancel, place, status
from trading.limits.venues import limits_of
from trading.orders.messages import ExecType, OrderStatusReport, OrdStatus, Side, TimeInForce

ORDER_PATH = {"gateio": "/api/v4/spot/orders", "mexc": "/api/v3/order"}


@pytest.mark.parametrize("venue", VENUES)
async def test_an_order_lives_is_asked_about_and_canceled_and_another_fills(venue):
    async with wired(venue) as wire:
        assert "read every" in wire.link.reason
        wire.link.submit(place(wire.btc, "pd1-rest", qty="0.01", price="50000"))
        await wire.until(lambda: wire.outcomes("pd1-rest"))
        assert wire.outcomes("pd1-rest")[0].reply.events[0].exec_type is ExecType.NEW
        wire.link.submit(status(wire.btc, "pd1-rest"))
        wire.link.submit(status(wire.btc, "pd1-never"))
        await wire.until(lambda: len(wire.outcomes("pd1-rest")) == 2 and wire.outcomes("pd1-never"))
        assert wire.outcomes("pd1-rest")[1].reply.events[0].report.ord_status is OrdStatus.NEW
        assert wire.outcomes("pd1-never")[0].reply.events[0].report is None
        wire.link.submit(cancel(wire.btc, "pd1-rest"))
        await wire.until(lambda: wire.outcomes("pd1-rest-c1"))
        ended = wire.outcomes("pd1-rest-c1")[0].reply.events[0]
        assert (ended.exec_type, ended.cl_ord_id) == (ExecType.CANCELED, "pd1-rest")
        # Half a coin takes what is there, the rest of the order expires or is canceled by the venue.
        order = place(wire.btc, "pd1-take", qty="1.5", price="60000.1", time_in_force=TimeInForce.IOC)
        wire.link.submit(order)
        await wire.until(wire.executions)
        filled = wire.executions()[0]
        assert (filled.cl_ord_id, filled.side, str(filled.last_px)) == ("pd1-take", Side.BUY, "60000.1")
        assert filled.last_qty == 1
        assert filled.fee_asset == "BTC"
        server = wire.server.account.order(cl_ord_id=dialect(venue)._known.prefix + "pd1-take")
        assert wire.btc.qty(server.cum_lots) == 1
        if venue == "mexc":  # Gate.io's answer to the placement said so
            await wire.until(lambda: wire.statuses("pd1-take"))
            assert wire.statuses("pd1-take") == [OrdStatus.CANCELED]
        else:
            shown = wire.outcomes("pd1-take")[0].reply.events[-1]
            assert (shown.ord_status, shown.text) == (OrdStatus.EXPIRED, "ioc")


@pytest.mark.parametrize("venue", VENUES)
async def test_a_fill_of_a_resting_order_is_told_once_and_its_end_is_asked_for(venue):
    async with wired(venue) as wire:
        wire.link.submit(place(wire.btc, "pd1-rest", qty="0.5", price="59000"))
        await wire.until(lambda: wire.outcomes("pd1-rest"))
        wire.server.set_book(wire.btc.symbol, [("58999.8", "1")], [("58999.9", "2")])
        wire.link._stream.want_reading()
        await wire.until(lambda: wire.statuses("pd1-rest"))
        assert wire.statuses("pd1-rest") == [OrdStatus.FILLED]
        assert [(one.cl_ord_id, str(one.last_qty)) for one in wire.executions()] == [("pd1-rest", "0.5")]
        readings = wire.link._stream.counters.readings
        wire.link._stream.want_reading()
        await wire.until(lambda: wire.link._stream.counters.readings > readings)
        assert len(wire.executions()) == 1


@pytest.mark.parametrize("venue", VENUES)
async def test_refusals_are_definite_and_a_second_order_of_one_id_is_not_sent(venue):
    async with wired(venue) as wire:
        wire.link.submit(place(wire.btc, "pd1-big", qty="90", price="50000"))
        wire.link.submit(place(wire.btc, "pd1-post", qty="0.01", price="60000.1", time_in_force=TimeInForce.GTX))
        await wire.until(lambda: wire.outcomes("pd1-big") and wire.outcomes("pd1-post"))
        for name in ("pd1-big", "pd1-post"):
            reply = wire.outcomes(name)[0].reply
            assert isinstance(reply, Refused), reply
            assert reply.events[0].exec_type is ExecType.REJECTED
        wire.link.submit(place(wire.btc, "pd1-a", qty="0.01", price="50000"))
        refused = wire.link.submit(place(wire.btc, "pd1-a", qty="0.01", price="50000"))
        assert refused is not None
        assert refused.duplicate
        await wire.until(lambda: wire.outcomes("pd1-a"))
        wire.link.submit(CancelAll(venue=venue, instrument_id=wire.btc.instrument_id, cause="", ts_init_ns=0))
        await wire.until(lambda: not wire.server.account.sim.open_ids())


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    "fault",
    [
        AcceptThen(outcome="unknown"),
        AcceptThen(outcome="drop"),
        AcceptThen(outcome="status", status=502),
        BadBody(body="html"),
        BadBody(body="truncated"),
    ],
    ids=["internal error", "dropped", "502", "html", "truncated"],
)
async def test_an_order_whose_answer_is_lost_is_unknown_and_found_by_its_id(venue, fault):
    async with wired(venue) as wire:
        wire.server.faults.set(fault)
        wire.link.submit(place(wire.btc, "pd1-lost", qty="0.01", price="50000"))
        await wire.until(lambda: wire.outcomes("pd1-lost"))
        assert isinstance(wire.outcomes("pd1-lost")[0].reply, Ambiguous)
        wire.link.submit(status(wire.btc, "pd1-lost"))
        await wire.until(lambda: len(wire.outcomes("pd1-lost")) == 2)
        answer = wire.outcomes("pd1-lost")[1].reply.events[0]
        assert isinstance(answer, OrderStatusReport)
        assert answer.report.ord_status is OrdStatus.NEW
        placed = [one for one in wire.server.asked if one == f"POST {ORDER_PATH[venue]}"]
        assert len(placed) == 1


@pytest.mark.parametrize("venue", VENUES)
async def test_a_limit_is_not_sent_into_and_a_read_only_answer_changes_nothing(venue):
    async with wired(venue) as wire:
        wire.server.faults.set(RestStatus(status=429, retry_after_s=2, requests=1, topics=(ORDER_PATH[venue],)))
        wire.link.submit(place(wire.btc, "pd1-a", qty="0.01", price="50000"))
        await wire.until(lambda: wire.outcomes("pd1-a"))
        reply = wire.outcomes("pd1-a")[0].reply
        assert isinstance(reply, Limited)
        assert not reply.banned
        assert wire.server.account.sim.open_ids() == ()


async def test_an_account_that_cannot_be_read_holds_the_venue_until_it_can():
    async with wired("gateio") as wire:
        stream = wire.link._stream
        stream.limits = type(stream.limits)(soon_ms=10, again_ms=20, stale_ms=1)
        wire.server.faults.set(BadBody(body="html", requests=1_000, topics=("/api/v4/spot/my_trades",)))
        stream.want_reading()
        await wire.until(lambda: wire.link.state is LinkState.CONNECTING)
        assert "not JSON" in wire.link.reason
        wire.server.faults.clear()
        await wire.until_live()


@pytest.mark.req("P-SEC-11")
async def test_a_key_that_may_withdraw_is_never_traded_with():
    async with wired("gateio", live=False, key_vouched=True) as wire:
        wire.server.faults.set(KeyMayWithdraw())
        await wire.until(lambda: wire.link.state is LinkState.LOCKED)
        assert "may withdraw" in wire.link.reason
        wire.server.faults.clear()
        wire.link.unlock()
        await wire.until_live()


@pytest.mark.req("P-SEC-11")
async def test_a_venue_that_does_not_say_what_a_key_may_do_is_locked_until_a_person_vouches_for_it():
    async with wired("mexc", live=False, key_vouched=False) as wire:
        await wire.until(lambda: wire.link.state is LinkState.LOCKED)
        assert "not said to be unable to withdraw" in wire.link.reason
    async with wired("gateio", key_vouched=False):
        pass  # Gate.io says it itself


@pytest.mark.parametrize("venue", VENUES)
async def test_a_wrong_secret_locks_the_link(venue):
    wrong = Credentials(api_key=KEY.api_key, secret="another")
    async with wired(venue, live=False, credentials=wrong) as wire:
        await wire.until(lambda: wire.link.state is LinkState.LOCKED)
        assert "refused our key" in wire.link.reason
        await wire.until(lambda: any(isinstance(item, LinkStated) for item in wire.items))


@pytest.mark.parametrize("venue", VENUES)
async def test_a_key_that_is_refused_later_locks_the_link_too(venue):
    async with wired(venue) as wire:
        wire.server.faults.set(AuthFailure())
        wire.link.submit(place(wire.btc, "pd1-a", qty="0.01", price="50000"))
        await wire.until(lambda: wire.outcomes("pd1-a"))
        assert isinstance(wire.outcomes("pd1-a")[0].reply, AuthFailed)
        await wire.until(lambda: wire.link.state is LinkState.LOCKED)
        wire.server.faults.clear()
        wire.link.unlock()
        await wire.until_live()


@pytest.mark.req("P-VEN-8")
async def test_gates_timer_is_armed_and_cancels_what_rests_when_it_runs_down():
    async with wired("gateio", countdown_ms=15_000) as wire:
        await wire.until(lambda: wire.link.timers_armed)
        wire.link.submit(place(wire.btc, "pd1-a", qty="0.01", price="50000"))
        await wire.until(lambda: wire.outcomes("pd1-a"))
        words = wire.server.words
        assert words._until_ns  # of the pairs that were named
        words._expire(wire.server.account.now_ns() + 16 * 10**9)
        assert wire.server.account.sim.open_ids() == ()


@pytest.mark.req("P-SEC-11")
@pytest.mark.parametrize("venue", VENUES)
async def test_a_dialect_that_was_turned_into_a_thief_sends_nothing(venue):
    async with server_of(venue) as server:
        spoken = type(dialect(venue))(venue, server.spec.instruments, _endpoints(server))
        clock = SystemClock()
        desk = OrderClient(spoken, KEY, clock, Limiter(limits_of(venue), clock), put=lambda item: None)
        desk.start()
        order = place(server.spec.instruments[0], qty="0.01", price="60000")
        path = "withdrawals" if venue == "gateio" else "capital/withdraw"
        stolen = spoken.encode(order, 0)
        api = ("private", "withdrawals") if venue == "gateio" else ("spot", "private")
        unsigned = type(stolen.unsigned)(path, api, "POST", {"amount": "1", "address": "x"})
        forged = type(stolen)(
            **{name: getattr(stolen, name) for name in stolen.__struct_fields__} | {"unsigned": unsigned}
        )
        spoken.encode = lambda command, now_ms: forged
        try:
            with pytest.raises(ForbiddenRequestError, match="was not sent"):
                desk.submit(order)
            with pytest.raises(ForbiddenRequestError):
                await desk.ask(order)
        finally:
            await desk.close()
        assert server.asked == []


def _endpoints(server):
    return OrderEndpoints(rest=server.base_http, ws="")


@pytest.mark.parametrize("venue", VENUES)
async def test_unmodified_ccxt_trades_on_our_server(venue):
    """The servers are not written to please one client: ccxt's own way to them, but for the host."""
    async with server_of(venue) as server:
        known = dialect(venue)._known
        options = {"apiKey": SERVER_KEYS.api_key, "secret": SERVER_KEYS.secret, "options": dict(known.options)}
        exchange = getattr(ccxt_rest, known.exchange)(options)
        exchange.urls["api"] = pointed(exchange.urls["api"], CcxtSpec(rest=server.base_http))
        exchange.set_markets(list(dialect(venue)._io._exchange.markets.values()))
        try:
            made = await exchange.create_order("BTC/USDT", "limit", "buy", 0.01, 50000, {"clientOrderId": "pd1-x"})
            assert [one["id"] for one in await exchange.fetch_open_orders("BTC/USDT")] == [made["id"]]
            assert (await exchange.fetch_order(made["id"], "BTC/USDT"))["status"] == "open"
            assert (await exchange.cancel_order(made["id"], "BTC/USDT"))["status"] == "canceled"
            await exchange.create_order("BTC/USDT", "limit", "sell", 0.01, 59999.9)
            trades = await exchange.fetch_my_trades("BTC/USDT")
            assert [(one["side"], one["amount"]) for one in trades] == [("sell", 0.01)]
            assert (await exchange.fetch_balance())["BTC"]["total"] == 9.99
        finally:
            await exchange.close()
