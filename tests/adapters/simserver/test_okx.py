"""The OKX server, seen through our own codec, ledger and books."""

from __future__ import annotations

import json

import pytest

from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS, decode_listing
from adapters.okx.topics import Topic, TopicLedger, TopicState
from adapters.simserver.faults import RealChecksum
from tests.adapters.simserver.conftest import Client, running, spec_of
from trading.market.events import (
    BookState,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    IndexPrice,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
    WireRejected,
)
from trading.market.stitch import SequenceRule
from trading.market.stream_stitch import StreamSync

SYMBOLS = ("BTC-USDT", "BTC-USDT-SWAP", "BTC-USD-SWAP")
MINE = [one for one in INSTRUMENTS if one.symbol in SYMBOLS]


class Desk:
    """Books of all symbols by the venue's rules, and what has become of each topic."""

    def __init__(self):
        self.codec = OkxCodec(MINE)
        self.ledger = TopicLedger()
        self.books = {
            one.symbol: StreamSync(
                one.instrument_id, SequenceRule.OKX, checksum_of=self.codec.checksum_of(one.instrument_id)
            )
            for one in MINE
        }
        self.by_id = {one.instrument_id: self.books[one.symbol] for one in MINE}
        self.events = []

    def hear(self, payload):
        if self.ledger.on_message(payload) is not None:
            return
        for event in self.codec.decode(payload, 1):
            self.events.append(event)
            assert not isinstance(event, WireRejected), event
            if isinstance(event, DepthSnapshot):
                self.by_id[event.instrument_id].on_snapshot(event)
            elif isinstance(event, DepthUpdate):
                self.by_id[event.instrument_id].on_update(event)
            elif isinstance(event, BookTicker):
                self.by_id[event.instrument_id].on_ticker(event)

    def ask(self, *topics):
        return [payload.decode() for payload in self.ledger.subscribe(topics, 0)]


async def hear_until(client, desk, condition):
    while not condition():
        desk.hear(await client.until(lambda _: True))


@pytest.mark.parametrize("real", [False, True])
async def test_books_are_snapshot_and_updates_chained_by_number_and_checksum(http, real):
    async with running(spec_of("okx")) as server, http.ws_connect(f"{server.base_ws}/ws/v5/public") as socket:
        if real:
            server.faults.set(RealChecksum())
        client, desk = Client(socket), Desk()
        for text in desk.ask(*[Topic("books", symbol) for symbol in SYMBOLS], Topic("bbo-tbt", "BTC-USDT-SWAP")):
            await client.say(text)
        await hear_until(client, desk, lambda: all(sync.counters.applied > 6 for sync in desk.books.values()))
        server.pause()
        for symbol, sync in desk.books.items():
            await hear_until(client, desk, lambda s=symbol, b=sync: b.book.update_id >= server.truth(s).update_id)
            truth = server.truth(symbol, 400)
            assert sync.book.state is BookState.SYNCED
            assert sync.book.top(400) == (truth.bids, truth.asks)
            assert (sync.counters.gaps, sync.counters.checksums_failed, sync.counters.mismatches) == (0, 0, 0)
            assert (sync.counters.checksums_ok > 6) is real


@pytest.mark.req("P-MD-10")
async def test_every_channel_is_granted_and_read_by_the_codec(http):
    async with running(spec_of("okx")) as server, http.ws_connect(f"{server.base_ws}/ws/v5/public") as socket:
        client, desk = Client(socket), Desk()
        channels = ("books", "bbo-tbt", "trades", "tickers", "mark-price", "funding-rate", "open-interest")
        topics = [Topic(channel, "BTC-USDT-SWAP") for channel in channels]
        topics += [Topic("index-tickers", "BTC-USDT"), Topic("instruments", inst_type="SWAP"), Topic("status")]
        topics += [Topic("liquidation-orders", inst_type="SWAP")]
        for text in desk.ask(*topics):
            await client.say(text)
        wanted = {
            DepthSnapshot,
            DepthUpdate,
            BookTicker,
            Trade,
            Ticker,
            MarkPrice,
            FundingRate,
            OpenInterest,
            IndexPrice,
            Liquidation,
        }
        await hear_until(client, desk, lambda: wanted <= {type(event) for event in desk.events})
        assert desk.ledger.topics(TopicState.GRANTED) == topics


async def test_an_unknown_topic_is_refused_by_itself(http):
    async with running(spec_of("okx")) as server, http.ws_connect(f"{server.base_ws}/ws/v5/public") as socket:
        client, desk = Client(socket), Desk()
        good, bad = Topic("trades", "BTC-USDT"), Topic("trades", "NO-SUCH")
        for text in desk.ask(good, bad):
            await client.say(text)
        await hear_until(client, desk, lambda: not desk.ledger.topics(TopicState.ASKED))
        assert desk.ledger.topics(TopicState.GRANTED) == [good]
        assert desk.ledger.topics(TopicState.REFUSED) == [bad]
        await client.say("ping")
        assert await client.until(lambda p: p == b"pong") == b"pong"


async def test_replies_are_read_by_the_codec(http):
    async with running(spec_of("okx")) as server:
        codec = OkxCodec(MINE)

        async def get(path, **query):
            async with http.get(server.base_http + path, params=query) as reply:
                assert reply.status == 200
                return await reply.read()

        listed = []
        for kind in ("SPOT", "SWAP"):
            listing = decode_listing(await get("/api/v5/public/instruments", instType=kind))
            assert listing.refused == {}
            listed += listing.instruments
        known = {one.instrument_id: one for one in MINE}
        assert {one.instrument.instrument_id for one in listed} == set(known)
        for one in listed:
            for field in ("symbol", "kind", "tick_size", "lot_size", "min_qty", "multiplier", "settle"):
                assert getattr(one.instrument, field) == getattr(known[one.instrument.instrument_id], field)

        book = codec.decode_snapshot(
            await get("/api/v5/market/books", instId="BTC-USDT-SWAP", sz="400"), "OKX:PERP:BTC-USDT:LINEAR", 1
        )
        truth = server.truth("BTC-USDT-SWAP", 400)
        assert isinstance(book, DepthSnapshot)
        assert book.last_update_id <= truth.update_id
        swap = {"instId": "BTC-USDT-SWAP"}
        for channel, path, query, kind in (
            ("tickers", "/api/v5/market/ticker", swap, Ticker),
            ("tickers", "/api/v5/market/tickers", {"instType": "SWAP"}, Ticker),
            ("mark-price", "/api/v5/public/mark-price", {"instType": "SWAP"}, MarkPrice),
            ("funding-rate", "/api/v5/public/funding-rate", swap, FundingRate),
            ("funding-rate", "/api/v5/public/funding-rate-history", swap, FundingRate),
            ("open-interest", "/api/v5/public/open-interest", {"instType": "SWAP"}, OpenInterest),
            ("index-tickers", "/api/v5/market/index-tickers", {"instId": "BTC-USDT"}, IndexPrice),
        ):
            events = codec.decode_reply(channel, await get(path, **query), 1)
            assert events, path
            assert {type(event) for event in events} == {kind}, (path, events[:1])
        ratio = codec.decode_ratios(
            await get("/api/v5/rubik/stat/contracts/long-short-account-ratio", ccy="BTC"), "OKX:SPOT:BTC-USDT", 1
        )
        assert ratio[0].ratio > 0
        refused = json.loads(await get("/api/v5/market/books", instId="NO-SUCH"))
        assert (refused["code"], refused["data"]) == ("51001", [])
