"""The Bybit server, seen through our own codec, ledger and books."""

from __future__ import annotations

import pytest

from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import INSTRUMENTS, Category, decode_listing
from adapters.bybit.subscriptions import SubscriptionLedger, TopicState
from tests.adapters.simserver.conftest import Client, running, spec_of
from trading.market.events import (
    BookState,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
    WireRejected,
)
from trading.market.stitch import SequenceRule
from trading.market.stream_stitch import StreamSync

SYMBOL = {Category.SPOT: "BTCUSDT", Category.LINEAR: "BTCUSDT", Category.INVERSE: "BTCUSD"}


class Desk:
    """The book of one category by the venue's rules, and what has become of each topic."""

    def __init__(self, category, depth=50):
        (self.instrument,) = (i for i in INSTRUMENTS[category] if i.symbol == SYMBOL[category])
        self.codec = BybitCodec([self.instrument], book_depth=depth)
        self.ledger = SubscriptionLedger()
        self.sync = StreamSync(self.instrument.instrument_id, SequenceRule.BYBIT)
        self.events = []
        self.answers = []

    def hear(self, payload):
        answer = self.ledger.on_message(payload)
        if answer is not None:
            self.answers.append(answer)
            return
        for event in self.codec.decode(payload, 1):
            self.events.append(event)
            assert not isinstance(event, WireRejected), event
            if isinstance(event, DepthSnapshot):
                self.sync.on_snapshot(event)
            elif isinstance(event, DepthUpdate):
                self.sync.on_update(event)

    async def ask(self, client, *topics):
        for payload in self.ledger.subscribe(topics):
            await client.say(payload.decode())


async def hear_until(client, desk, condition):
    while not condition():
        desk.hear(await client.until(lambda _: True))


@pytest.mark.parametrize("depth", [50, 200, 1000])
@pytest.mark.parametrize("category", list(Category))
async def test_a_book_of_any_depth_is_the_servers_book(http, category, depth):
    path = f"/v5/public/{category.value}"
    async with running(spec_of("bybit")) as server, http.ws_connect(server.base_ws + path) as socket:
        client, desk = Client(socket), Desk(category, depth)
        symbol = SYMBOL[category]
        await desk.ask(client, f"orderbook.{depth}.{symbol}")
        await hear_until(client, desk, lambda: desk.sync.counters.applied > 4)
        server.pause()
        truth = server.truth(f"{category.value}:{symbol}", depth)
        await hear_until(client, desk, lambda: desk.sync.book.top(depth) == (truth.bids, truth.asks))
        assert desk.sync.book.state is BookState.SYNCED
        assert desk.sync.counters.gaps == 0


@pytest.mark.req("P-MD-10")
async def test_every_topic_is_granted_and_read_by_the_codec(http):
    async with running(spec_of("bybit")) as server, http.ws_connect(f"{server.base_ws}/v5/public/linear") as socket:
        client, desk = Client(socket), Desk(Category.LINEAR)
        names = ("orderbook.50", "orderbook.1", "publicTrade", "tickers", "allLiquidation")
        topics = [f"{name}.BTCUSDT" for name in names]
        await desk.ask(client, *topics)
        wanted = {
            DepthSnapshot,
            DepthUpdate,
            BookTicker,
            Trade,
            Ticker,
            MarkPrice,
            FundingRate,
            OpenInterest,
            Liquidation,
        }
        await hear_until(client, desk, lambda: wanted <= {type(event) for event in desk.events})
        assert set(desk.ledger.states.values()) == {TopicState.GRANTED}
        best = [event for event in desk.events if isinstance(event, BookTicker)]
        assert all(event.bid_ticks < event.ask_ticks for event in best)


async def test_one_unknown_topic_refuses_the_request(http):
    async with running(spec_of("bybit")) as server, http.ws_connect(f"{server.base_ws}/v5/public/spot") as socket:
        client, desk = Client(socket), Desk(Category.SPOT)
        await desk.ask(client, "publicTrade.BTCUSDT", "publicTrade.NOSUCH")
        await hear_until(client, desk, lambda: desk.answers)
        assert desk.ledger.states["publicTrade.NOSUCH"] is TopicState.REFUSED
        assert desk.ledger.states["publicTrade.BTCUSDT"] is TopicState.UNTOLD


async def test_replies_are_read_by_the_codec(http):
    async with running(spec_of("bybit")) as server:

        async def get(path, **query):
            async with http.get(f"{server.base_http}/v5/market/{path}", params=query) as reply:
                assert reply.status == 200
                return await reply.read()

        for category, symbol in SYMBOL.items():
            desk = Desk(category)
            listing = decode_listing(await get("instruments-info", category=category.value))
            assert listing.refused == {}
            (listed,) = listing.instruments
            for field in ("instrument_id", "kind", "tick_size", "lot_size", "min_qty", "min_notional", "settle"):
                assert getattr(listed.instrument, field) == getattr(desk.instrument, field), field
            book = desk.codec.decode_snapshot(
                await get("orderbook", category=category.value, symbol=symbol, limit=200), 1
            )
            assert isinstance(book, DepthSnapshot), book
            assert book.seq <= server.truth(f"{category.value}:{symbol}").update_id
            if category is not Category.SPOT:
                query = {"category": category.value, "symbol": symbol, "period": "5min"}
                (ratio,) = desk.codec.decode_ratios(await get("account-ratio", **query), 1)
                assert ratio.ratio > 0
