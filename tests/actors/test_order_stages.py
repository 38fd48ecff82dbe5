"""What the desk measures of its own path to the wire: reactions to books apart from the age of books."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages import AppendRows, Epoch, JournalHistory, OrderSent, Positions, RowsCommitted
from actors.orders import Orders, OrdersSetup
from actors.strategy import StrategyActor, StrategySetup
from trading.market.events import BookState, BookTop
from trading.operators import Published, Topic
from trading.orders.core import OrderCoreConfig
from trading.orders.messages import (
    ApprovedOrder,
    NewOrderSingle,
    OrderStory,
    QuoteIntent,
    TargetIntent,
    Urgency,
)

MS = 1_000_000
INTENTS = (TargetIntent, QuoteIntent)
VENUE, USDM = "binanceusdm", "BINANCEUSDM:PERP:BTC-USDT:LINEAR"


@pytest.fixture
def orders(bench, usdm):
    setup = OrdersSetup(instruments={USDM: usdm}, venues=(VENUE,), config=OrderCoreConfig())
    actor = bench.start("orders", Orders, setup)
    bench.tell("orders", Epoch(epoch=1, serial=1), JournalHistory(rows=[]))
    return actor


@pytest.fixture
def sent(bench, orders, proposed):
    """Sends an order whose book is 200 ms old; decided ``cause`` 3 ms after the book came."""

    def send(name, cause):
        now = bench.clock.wall_ns()
        book_ns = now - 200 * MS
        intent = TargetIntent("i1", "maker", USDM, 4, Urgency.PASSIVE, None, 1.0, MS, (), cause, book_ns + 3 * MS)
        story = OrderStory("0.1", "0.001", (1, 1), (2, 1), False, (), (intent,), "")
        order = msgspec.structs.replace(proposed(name), book_ts_recv_ns=book_ns, story=story, cause=cause)
        bench.tell("orders", ApprovedOrder(order=order, epoch=1, checks={}, ts_init_ns=now))
        batches = bench.take(AppendRows, to="journal")
        bench.tell("orders", RowsCommitted(commit_ids=tuple(b.commit_id for b in batches)))
        assert bench.take(NewOrderSingle)
        bench.tell("orders", OrderSent(VENUE, name, bench.clock.wall_ns(), 1_000, 2_000))

    return send


@pytest.mark.req("P-OBS-1")
def test_the_age_of_a_book_is_not_taken_for_the_time_of_a_decision(bench, sent):
    sent("pd1-a-1", f"{USDM}@1")
    sent("pd1-a-2", f"timer, {USDM}@1")
    bench.after_ms(1_000)
    fact = next(m for m in reversed(bench.take(Published, to="ops")) if m.topic is Topic.LATENCY)
    stages = fact.body["stages"]
    assert (stages["decide"]["n"], stages["decide"]["max_us"]) == (1, 3_000)
    assert (stages["book_age"]["n"], stages["book_age"]["max_us"]) == (2, 200_000)
    assert set(stages["total"]) == {"p50_us", "p95_us", "p99_us", "p999_us", "max_us", "n"}


@pytest.mark.req("P-OBS-1")
def test_what_a_strategys_timer_decides_does_not_name_the_book_as_its_cause(bench, usdm):
    setup = StrategySetup(strategy_id="maker", kind="maker", instruments={USDM: usdm}, params={})
    bench.start("strategy.maker", StrategyActor, setup)
    bench.tell("strategy.maker", Epoch(epoch=3, serial=7), Positions(by_instrument={}, by_strategy={}))
    for n in range(160):
        at = bench.clock.wall_ns()
        bid = 610_000 + n % 3
        top = BookTop(
            instrument_id=USDM, state=BookState.SYNCED, update_id=n + 1, bids=((bid, 500),), asks=((bid + 1, 500),),
            ts_event_ns=at, ts_recv_ns=at,
        )  # fmt: skip
        bench.tell("strategy.maker", top)
        bench.after_ms(50)
    by_books = bench.take(*INTENTS, to="arbiter")
    bench.after_ms(3_000)
    by_timer = bench.take(*INTENTS, to="arbiter")
    assert any(intent.cause.startswith(f"{USDM}@") for intent in by_books)
    assert by_timer
    assert all(intent.cause == f"timer, {USDM}@160" for intent in by_timer)
