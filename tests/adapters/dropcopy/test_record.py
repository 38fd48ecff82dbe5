"""The drop copy's own reading of a venue's record, against the loopback servers and what their streams said."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal

import pytest

from adapters.clock import SystemClock
from adapters.dropcopy import reader as reading
from adapters.dropcopy.reader import Listed, RecordReader, TooMany
from adapters.dropcopy.record import record_of
from adapters.limits.limiter import Limiter
from adapters.orders.account import AccountCursor, Unreadable
from adapters.orders.link import OrderLink, OrderLinkSpec
from adapters.orders.user_stream import Pushed
from adapters.orders.wire import MS_NS, Credentials
from adapters.simserver.order_faults import BadBody, LateVisibility
from tests.adapters.simserver.trading.conftest import KEYS, trading
from tests.waiting import until
from trading.dropcopy.execution import compare, execution_of, funding_of
from trading.limits.messages import Ask, Go, Priority
from trading.limits.venues import limits_of
from trading.orders.messages import ExecutionReport, FundingPayment, Side

KEY = Credentials(api_key=KEYS.api_key, secret=KEYS.secret, passphrase=KEYS.passphrase)
VENUES = ("binance", "binanceusdm", "binancecoinm", "okx", "bybit")
SECOND = 1_000_000_000


def spec_of(server):
    instruments = tuple(market.instrument for market in server.feed.markets.values())
    return OrderLinkSpec(
        venue=server.spec.venue,
        instruments=instruments,
        credentials=KEY,
        rest=server.base_http,
        ws=server.base_ws,
    )


@contextlib.asynccontextmanager
async def reader_of(server, limiter=None):
    reader = RecordReader(spec_of(server), SystemClock(), limiter)
    reader.start()
    try:
        yield reader
    finally:
        await reader.close()


class Heard:
    """What an account's private stream says of executions."""

    def __init__(self, server):
        self.pushed = {}
        self.link = OrderLink(spec_of(server), SystemClock(), self._wake, lambda: True)

    def _wake(self):
        asyncio.get_running_loop().call_soon(self._take)

    def _take(self):
        for item in self.link.drain():
            if isinstance(item, Pushed) and isinstance(item.event, ExecutionReport):
                one = execution_of(item.event)
                if one is not None:
                    self.pushed[one.exec_id] = one


@pytest.mark.req("P-VEN-10")
@pytest.mark.parametrize("venue", VENUES)
async def test_record_and_private_stream_say_the_same_of_every_execution_however_many_pages_it_has(venue, monkeypatch):
    async with trading(venue) as server, reader_of(server) as reader:
        monkeypatch.setattr(type(reader.record), "PAGE", 5 if venue == "okx" else 2)
        heard = Heard(server)
        heard.link.start()
        try:
            await until(lambda: heard.link.state.value == "live")
            began = await reader.venue_ns()
            for index, market in enumerate(server.feed.markets.values()):
                instrument = market.instrument
                lots = max(instrument.lots_floor(instrument.min_qty), 1) * 3
                for number in range(3):
                    side = Side.SELL if number == 1 else Side.BUY
                    server.account.force_fill(market, side, lots + number, f"pd1-x{index}{number}")
            wanted = 3 * len(server.feed.markets)
            await until(lambda: len(heard.pushed) >= wanted)
            found = await reader.executions(began - SECOND, began + 60 * SECOND)
            assert isinstance(found, Listed)
            listed = {one.exec_id: one for one in found.executions}
            assert len(listed) == wanted
            assert compare(listed, heard.pushed) == []
            assert any(one.fee for one in listed.values())
            first_ns = found.executions[0].ts_event_ns
            before = await reader.executions(first_ns - 9 * SECOND, first_ns - 2 * MS_NS)
            assert isinstance(before, Listed)
            assert before.executions == ()
            if venue == "binanceusdm":
                await _what_cannot_be_read_is_not_nothing(server, reader, monkeypatch, began)
        finally:
            await heard.link.close()


async def _what_cannot_be_read_is_not_nothing(server, reader, monkeypatch, began):
    span = (began - SECOND, began + 60 * SECOND)
    late = server.faults.set(LateVisibility(delay_ms=60_000))
    found = await reader.executions(*span)
    assert isinstance(found, Listed)
    assert found.executions == ()
    server.faults.clear(late)
    server.faults.set(BadBody(requests=50, body="truncated"))
    assert isinstance(await reader.executions(*span), Unreadable)
    server.faults.clear()
    monkeypatch.setattr(reading, "PAGES_MAX", 1)
    assert isinstance(await reader.executions(*span), TooMany)


@pytest.mark.req("P-VEN-10")
@pytest.mark.parametrize("venue", ["binanceusdm", "binancecoinm", "okx", "bybit"])
async def test_record_and_order_path_say_the_same_of_funding_which_is_asked_for_seldom(venue):
    async with trading(venue) as server, reader_of(server) as reader:
        began = await reader.venue_ns()
        market = next(m for m in server.feed.markets.values() if ":PERP:" in m.instrument.instrument_id)
        for number in range(2):
            payment = FundingPayment(
                venue=venue,
                instrument_id=market.instrument.instrument_id,
                funding_id=f"f-{number}",
                exec_seq=100 + number,
                rate=Decimal("0.0001"),
                position_qty=Decimal(3),
                mark_price=Decimal(60_000),
                amount=Decimal("-1.25") * (-1) ** number,
                asset=market.instrument.settle,
                ts_event_ns=began + number * MS_NS,
                ts_init_ns=began,
            )
            server.account.exchange.fundings.append(payment)
        found = await reader.executions(began - SECOND, began + 60 * SECOND)
        assert isinstance(found, Listed)
        listed = {one.exec_id: one for one in found.executions}
        assert sorted(one.fee for one in listed.values()) == [Decimal("-1.25"), Decimal("1.25")]
        assert all(one.is_funding for one in listed.values())
        whole = await reader._whole.read(AccountCursor(venue=venue, since_ms=(began - SECOND) // MS_NS), "test")
        booked = {one.exec_id: one for one in map(funding_of, whole.state.fundings)}
        assert compare(listed, booked) == []
        again = await reader.executions(began - SECOND, began + 60 * SECOND)
        assert isinstance(again, Listed)
        # Bybit tells it among the trades; elsewhere a reading that did not ask says so.
        assert (again.fundings_since_ns is None, again.executions == ()) == ((venue != "bybit"),) * 2
        assert again.weight < found.weight or venue == "bybit"


async def test_where_the_pages_of_a_record_are_not_known_a_whole_reading_over_own_connections_does():
    assert record_of("mexc", ()) is None
    async with trading("bybit") as server, reader_of(server) as reader:
        began = await reader.venue_ns()
        market = next(iter(server.feed.markets.values()))
        server.account.force_fill(market, Side.BUY, 5_000, "pd1-a")
        paged = await reader.executions(began - SECOND, began + SECOND)
        reader.record = None
        whole = await reader.executions(began - SECOND, began + SECOND)
        assert paged.executions == whole.executions != ()
        assert whole.weight > 0
        assert await reader.open_orders() == []


@pytest.mark.req("P-VEN-10", "P-VEN-4")
async def test_readings_are_the_last_to_be_let_through_and_never_keep_a_cancel_waiting():
    clock = SystemClock()
    limiter = Limiter(limits_of("binanceusdm"), clock)
    async with trading("binanceusdm") as server, reader_of(server, limiter) as reader:
        began = await reader.venue_ns()
        spent = 0
        while True:
            ask = Ask(
                endpoint="GET /fapi/v1/userTrades",
                weight=5,
                priority=Priority.POLL,
                deadline_ns=clock.mono_ns() + 20 * MS_NS,
                account=KEY.api_key[-6:],
                signed=True,
            )
            if not isinstance(await limiter.admit(ask), Go):
                break
            spent += 5
        refused = await reader.executions(began, began + SECOND)
        assert isinstance(refused, Unreadable)
        assert "deadline" in refused.reason
        cancel = Ask(
            endpoint="DELETE /fapi/v1/order",
            priority=Priority.CANCEL,
            deadline_ns=clock.mono_ns() + SECOND,
            account=KEY.api_key[-6:],
            signed=True,
        )
        assert isinstance(await limiter.admit(cancel), Go)
        assert spent > 100
