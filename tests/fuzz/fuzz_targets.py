"""What must hold for any bytes that a codec is given; each target raises when it does not.

A target takes one case: some messages, one a line, told to fresh codecs one after the other. Owns the properties only:
`fuzz_mutations` makes cases, `campaign.py` and the tests run them.
"""

from __future__ import annotations

import gzip
import lzma
import tempfile
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from adapters.binance import exchange_info
from adapters.binance import orders_codec as orders
from adapters.binance.codec import BinanceCodec
from adapters.binance.grid import Grid, RejectReason
from adapters.binance.instruments import COINM, SPOT, USDM, VENUES
from adapters.binance.instruments import INSTRUMENTS as BINANCE_INSTRUMENTS
from adapters.binance.instruments import instruments_of as binance_instruments
from adapters.binance.topics import StreamLedger
from adapters.bybit import instruments as bybit_rules
from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import Category
from adapters.bybit.subscriptions import SubscriptionLedger
from adapters.okx import instruments as okx_rules
from adapters.okx.codec import OkxCodec
from adapters.okx.topics import Topic, TopicLedger, topic_of
from adapters.recordings import Kind, Recorded, Unreadable, read_recording
from adapters.universe_listings import binance_listing, bybit_listing, okx_listing
from adapters.wirelog import LogFile, Session, WireLine
from native import marketdata
from trading.instruments import Instrument
from trading.market.book import PyBook
from trading.market.events import (
    BookState,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    IndexPrice,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
    VenueEvent,
    VenueNotice,
    WireRejected,
)
from trading.market.stitch import BookSync, SequenceRule
from trading.market.stream_stitch import StreamSync

SEEDS = Path(__file__).parent / "seeds"
NOW = 1_785_870_840_000_000_000
UNITS_END = 1 << 62
MESSAGES_MAX = 64

_EVENTS = VenueEvent.__args__
_REASONS = {reason.value for reason in RejectReason}
_FIRST_NS, _END_NS = 10**18, 4 * 10**18

Target = Callable[[bytes], None]
Answer = Sequence[VenueEvent]


def seeds(name: str) -> list[bytes]:
    """The messages of a file of ``seeds``, one a line."""
    return (SEEDS / f"{name}.txt").read_bytes().splitlines()


# --- What every event must be ------------------------------------------------------------------------


def believable(event: object) -> None:
    """Raise AssertionError when an event says what no market can."""
    assert isinstance(event, _EVENTS), type(event)
    msgspec.msgpack.encode(event, enc_hook=list)
    stamp = getattr(event, "ts_event_ns", 0)
    assert stamp == 0 or _FIRST_NS <= stamp < _END_NS, stamp
    match event:
        case DepthSnapshot() | DepthUpdate():
            for side in (event.bids, event.asks):
                for ticks, lots in side:
                    assert 0 <= ticks < UNITS_END, ticks
                    assert 0 <= lots < UNITS_END, lots
                    assert ticks or not lots
        case BookTicker():
            for ticks, lots in ((event.bid_ticks, event.bid_lots), (event.ask_ticks, event.ask_lots)):
                assert 0 <= ticks < UNITS_END
                assert 0 <= lots < UNITS_END
        case Trade():
            assert 0 < event.price_ticks < UNITS_END
            assert 0 < event.qty_lots < UNITS_END
            assert 0 <= event.trade_id < 1 << 63
        case MarkPrice():
            above_zero(event.mark_price, event.index_price)
            finite(event.funding_rate)
            time_of(event.next_funding_ns)
        case Ticker():
            above_zero(event.last_price, event.bid_price, event.ask_price)
            not_negative(event.last_qty, event.bid_qty, event.ask_qty, event.volume_24h, event.turnover_24h)
            not_negative(event.open_24h, event.high_24h, event.low_24h)
        case IndexPrice():
            above_zero(event.index_price)
        case FundingRate():
            finite(event.funding_rate, event.next_funding_rate, event.settled_rate, event.min_rate, event.max_rate)
            time_of(event.funding_ns)
            time_of(event.next_funding_ns)
        case OpenInterest():
            not_negative(event.qty, event.base_qty, event.notional)
        case Liquidation():
            above_zero(event.price)
            not_negative(event.qty)
        case LongShortRatio():
            time_of(event.ts_event_ns)
            not_negative(event.ratio)
        case WireRejected():
            assert event.reason in _REASONS, event.reason
            assert 0 < len(event.excerpt) <= 200
        case VenueNotice():
            time_of(event.begin_ns)
            time_of(event.end_ns)
        case _:
            pass


def above_zero(*prices: Decimal | None) -> None:
    """Each price is missing, or a finite number above zero (no delisting at 0, no NaN)."""
    for price in prices:
        assert price is None or (price.is_finite() and price > 0), price


def not_negative(*figures: Decimal | None) -> None:
    """Each figure is missing, or a finite number of zero or more."""
    for figure in figures:
        assert figure is None or (figure.is_finite() and figure >= 0), figure


def time_of(stamp_ns: int | None) -> None:
    """A time is missing, or between 2001 and 2096: no other unit of time is believed."""
    assert stamp_ns is None or _FIRST_NS <= stamp_ns < _END_NS, stamp_ns


def finite(*figures: Decimal | None) -> None:
    """Each figure is missing or a finite number."""
    for figure in figures:
        assert figure is None or figure.is_finite(), figure


def as_answer(answer: object) -> Answer:
    """What any codec answers with as a sequence."""
    if answer is None:
        return ()
    return answer if isinstance(answer, list | tuple) else (answer,)


def told(answer: object, *, listing: bool = False) -> Answer:
    """The events of an answer, believed; a refusal is one event and stands alone (but for a listing's rows)."""
    events = as_answer(answer)
    for event in events:
        believable(event)
    rejected = sum(isinstance(event, WireRejected) for event in events)
    assert listing or not rejected or len(events) == 1, f"{rejected} refusals among {len(events)} events"
    return events


def same(one: Answer, other: Answer, payload: bytes) -> None:
    """The native and the Python codec agree on every event, word for word."""
    assert len(one) == len(other), (one, other, payload[:300])
    for a, b in zip(one, other, strict=True):
        assert type(a) is type(b), (a, b, payload[:300])
        assert a == b, (a, b, payload[:300])


# --- Streams -----------------------------------------------------------------------------------------


class Books:
    """Every book that a codec's events make, in C and in Python side by side."""

    def __init__(self, instruments: Sequence[Instrument], rule: SequenceRule) -> None:
        make: Any = StreamSync if rule in StreamSync.RULES else BookSync
        self._pairs: dict[str, tuple[BookSync, BookSync]] = {}
        self.proved = 0
        for one in instruments:
            name = one.instrument_id
            pair = make(name, rule), make(name, rule)
            pair[1].book = PyBook(name, pair[1].book.max_levels)
            self._pairs[name] = pair

    def take(self, event: VenueEvent) -> None:
        """Tell both books; they answer alike and are the same, and none is SYNCED and crossed."""
        pair = self._pairs.get(getattr(event, "instrument_id", ""))
        if pair is None or not isinstance(event, DepthSnapshot | DepthUpdate | BookTicker):
            return
        results = []
        for sync in pair:
            match event:
                case DepthSnapshot():
                    results.append(sync.on_snapshot(event))
                case DepthUpdate():
                    results.append(sync.on_update(event))
                case BookTicker():
                    results.append(sync.on_ticker(event))
        ours, reference = pair[0].book, pair[1].book
        assert results[0] == results[1], results
        assert ours.state is reference.state
        assert ours.top(1000) == reference.top(1000)
        assert ours.to_top() == reference.to_top()
        assert ours.state is not BookState.SYNCED or not ours.crossed()
        self.proved += ours.state is BookState.SYNCED


class Stream:
    """One codec three times: as it runs, in Python, and told only what was not refused."""

    def __init__(self, make: Callable[[bool], Any], books: Books, calls: Sequence[Callable[..., object]]) -> None:
        self.codecs = make(True), make(False)
        self._make = make
        self._books = books
        self._calls = calls

    def run(self, case: bytes) -> None:
        """Tell the case's messages in every way that the codec can be told them."""
        fast, reference = self.codecs
        heard: list[tuple[Callable[..., object], bytes, Answer]] = []
        for payload in case.split(b"\n")[:MESSAGES_MAX]:
            for call in self._calls:
                listing = b"instruments" in payload
                answer = told(call(fast, payload), listing=listing)
                same(answer, told(call(reference, payload), listing=listing), payload)
                assert fast.finer_quantities() == reference.finer_quantities()
                for event in answer:
                    self._books.take(event)
                # A sequence that is broken is remembered: that is what the refusal is for.
                if not any(isinstance(e, WireRejected) and e.reason != "bad_sequence" for e in answer):
                    heard.append((call, payload, answer))
        if not any(fast.finer_quantities().values()):
            spared = self._make(True)
            for call, payload, answer in heard:
                same(answer, as_answer(call(spared, payload)), payload)


def binance(venue: str) -> Target:
    """Streams, REST snapshots and answers of one of Binance's venues."""
    instruments = binance_instruments(venue)[:2]
    rule = SequenceRule.SPOT if venue == SPOT else SequenceRule.FUTURES
    name, symbol = instruments[0].instrument_id, instruments[0].symbol
    calls = (
        lambda codec, payload: codec.decode(payload, NOW),
        lambda codec, payload: codec.decode_snapshot(payload, name, NOW),
        lambda codec, payload: codec.decode_recorded(payload, symbol, NOW),
    )

    def target(case: bytes) -> None:
        stream = Stream(lambda native: BinanceCodec(venue, instruments, native=native), Books(instruments, rule), calls)
        stream.run(case)
        for payload in case.split(b"\n")[:MESSAGES_MAX]:
            ack = stream.codecs[0].decode_ack(payload)
            assert ack is None or len(ack.error) <= 200
        ledger_of_streams(case)

    return target


def ledger_of_streams(case: bytes) -> None:
    """Answers to requests for Binance's streams: whatever comes, only what was asked for is granted or refused."""
    asked = [f"{name}@trade" for name in "abcdefgh"]
    ledger = StreamLedger()
    ledger.subscribe(asked, 0)
    ledger.unsubscribe(asked[:1])
    for payload in case.split(b"\n")[:MESSAGES_MAX]:
        answer = ledger.on_message(payload)
        assert set(ledger.states) <= set(asked)
        if answer is not None:
            assert set(answer.streams) | set(answer.again) <= set(asked)
            assert len(answer.text) <= 200
            assert len(answer.code) <= 20
    assert set(ledger.overdue(1, 0)) <= set(asked)
    assert set(ledger.on_disconnected()) <= set(asked)


_OKX_CHANNELS = (
    "trades",
    "tickers",
    "mark-price",
    "index-tickers",
    "funding-rate",
    "open-interest",
    "liquidation-orders",
    "instruments",
    "status",
)
_OKX_TOPICS = (Topic("books", "BTC-USDT"), Topic("tickers", "LTC-USD"), Topic("liquidation-orders", "", "SWAP"))


def okx(case: bytes) -> None:
    """Streams, REST replies and the ledger of topics of OKX."""
    instruments = okx_rules.INSTRUMENTS
    name = instruments[0].instrument_id
    channel = _OKX_CHANNELS[len(case) % len(_OKX_CHANNELS)]
    calls = (
        lambda codec, payload: codec.decode(payload, NOW),
        lambda codec, payload: codec.decode_snapshot(payload, name, NOW),
        lambda codec, payload: codec.decode_reply(channel, payload, NOW),
        lambda codec, payload: codec.decode_ratios(payload, name, NOW),
    )
    if channel == "instruments":
        calls = calls[:2]
        for payload in case.split(b"\n")[:MESSAGES_MAX]:
            told(OkxCodec(instruments).decode_reply(channel, payload, NOW), listing=True)
    Stream(lambda native: OkxCodec(instruments, native=native), Books(instruments, SequenceRule.OKX), calls).run(case)
    ledger = TopicLedger()
    ledger.subscribe(_OKX_TOPICS, 0)
    for payload in case.split(b"\n")[:MESSAGES_MAX]:
        ledger.on_message(payload)
        topic_of(payload)
        assert set(ledger.overdue(1, 0)) <= set(_OKX_TOPICS)
    assert set(ledger.on_disconnected()) <= set(_OKX_TOPICS)


def bybit(category: Category) -> Target:
    """Streams, REST replies and the ledger of topics of one of Bybit's categories."""
    instruments = bybit_rules.INSTRUMENTS[category]
    asked = ("orderbook.50.BTCUSDT", "tickers.GONEUSDT", "publicTrade.BTC")
    calls = (
        lambda codec, payload: codec.decode(payload, NOW),
        lambda codec, payload: codec.decode_snapshot(payload, NOW),
        lambda codec, payload: codec.decode_ratios(payload, NOW),
    )

    def target(case: bytes) -> None:
        books = Books(instruments, SequenceRule.BYBIT)
        Stream(lambda native: BybitCodec(instruments, native=native), books, calls).run(case)
        ledger = SubscriptionLedger()
        ledger.subscribe(asked)
        for payload in case.split(b"\n")[:MESSAGES_MAX]:
            ledger.on_message(payload)
            assert set(ledger.states) <= set(asked)

    return target


# --- Listings, orders, logs --------------------------------------------------------------------------


def usable(instrument: Instrument) -> None:
    """An instrument whose rules can be calculated with: its books can be read and its orders sized."""
    rules = (instrument.tick_size, instrument.lot_size, instrument.multiplier, instrument.max_qty)
    above_zero(*rules)
    for rule in (*rules, instrument.min_qty, instrument.min_notional):
        assert rule >= 0
        assert rule.is_finite()
        assert abs(rule.adjusted()) <= 60, rule
    assert instrument.instrument_id
    assert instrument.symbol
    assert instrument.base
    assert instrument.quote
    msgspec.msgpack.encode(instrument)
    grid = Grid(instrument)
    if marketdata is not None:
        marketdata.LevelsParser(*grid.scales, 2)


def listing(decode: Callable[[bytes], Any]) -> Target:
    """A page of instruments: each entry is an instrument whose rules can be used, or refused by name."""

    def target(case: bytes) -> None:
        for payload in case.split(b"\n")[:MESSAGES_MAX]:
            found = decode(payload)
            if found is None:
                continue
            for one in found.instruments:
                usable(one if isinstance(one, Instrument) else one.instrument)
            for symbol, why in found.refused.items():
                assert why, symbol
                assert len(why) <= 120

    return target


def universe(case: bytes) -> None:
    """Listings in the universe's one form: whole or none, usable rules, and times of OKX and Bybit that fit 64 bits."""
    payloads = case.split(b"\n")[:MESSAGES_MAX]
    binance_found = [binance_listing(USDM, payloads[0], NOW, payload) for payload in payloads]
    found = [okx_listing(payloads, NOW), bybit_listing(payloads, NOW)]
    for payload in payloads:
        binance_found += [binance_listing(venue, payload, NOW) for venue in VENUES]
        found += [okx_listing([payload], NOW), bybit_listing([payload], NOW)]
    for one in (*binance_found, *found):
        if one is not None:
            one.by_symbol()
            for name, market in one.markets.items():
                assert market.instrument_id == name
                usable(market.instrument)
    for one in found:
        if one is None:
            continue
        msgspec.msgpack.encode(one)
        for market in one.markets.values():
            for stamp in (market.list_ns, market.delist_ns, *(change.effective_ns for change in market.planned)):
                assert 0 <= stamp < 1 << 63, stamp


def _every_binance_listing(payload: bytes) -> Any:
    found = [exchange_info.decode_exchange_info(payload, venue) for venue in VENUES]
    assert len({one is None for one in found}) == 1
    if found[0] is None:
        return None
    many = tuple(instrument for one in found for instrument in one.instruments)
    return exchange_info.Listing(many, {k: v for one in found for k, v in one.refused.items()})


def binance_orders(case: bytes) -> None:
    """Order requests: read or refused in the venue's words; what was read is written and read again unchanged."""
    for body in case.split(b"\n")[:MESSAGES_MAX]:
        for venue, kind in orders.ENDPOINTS:

            def read(body: bytes, venue: str = venue, kind: orders.RequestKind = kind) -> Any:
                return orders.decode_order_request(
                    body, venue=venue, kind=kind, instruments=BINANCE_INSTRUMENTS, ts_init_ns=NOW
                )

            request = read(body)
            if isinstance(request, orders.RequestRefused):
                assert request.code < 0
                assert request.msg
                continue
            instrument = next(i for i in BINANCE_INSTRUMENTS if i.instrument_id == request.instrument_id)
            written = _writers[kind](request, instrument)
            assert len(written) <= orders.MAX_BODY_BYTES
            again = read(written)
            if venue == SPOT and kind in {orders.RequestKind.NEW, orders.RequestKind.REPLACE}:
                request = msgspec.structs.replace(request, reduce_only=False)  # spot has no such word
            if venue != SPOT and kind is orders.RequestKind.CANCEL:
                request = msgspec.structs.replace(request, cl_ord_id=request.orig_cl_ord_id)  # nor futures an own id
            if venue != SPOT and kind is orders.RequestKind.REPLACE:
                request = msgspec.structs.replace(request, reduce_only=False)
            assert again == request, (body, written)


_writers: dict[orders.RequestKind, Callable[..., bytes]] = {
    orders.RequestKind.NEW: orders.encode_new_order,
    orders.RequestKind.CANCEL: orders.encode_cancel,
    orders.RequestKind.REPLACE: orders.encode_replace,
    orders.RequestKind.STATUS: orders.encode_status,
}


def wire_log(case: bytes) -> None:
    """Log files, whole and damaged: every line is read or reported, and nothing is left out in silence."""
    cut = len(case) * 7 // 8
    files = {
        "spot_btcusdt_20240808.dat": case,
        "spot_btcusdt_20240808.dat.gz": gzip.compress(case, 1)[: cut + 20],
        "spot_btcusdt_20240808.dat.xz": case,
        "coinm_btcusd_20240808.dat.zst": case,
        "usdm_btcusdt_20240808.dat.zst": zstandard.compress(case, 1)[: cut + 30],
        "usdm_btcusdt_20240808.dat.xz": lzma.compress(case, preset=0)[: cut + 60],
    }
    with tempfile.TemporaryDirectory() as directory:
        for name, content in files.items():
            path = Path(directory) / name
            path.write_bytes(content)
            session = Session((LogFile(path, "binance", "BTCUSDT"),))
            items = list(session)
            assert session.lines == sum(isinstance(item, WireLine) for item in items)
            assert session.rejected == len(items) - session.lines
            recorded = list(read_recording(path))
            if name.endswith(".dat"):
                assert len(items) == len(case.split(b"\n")) - case.endswith(b"\n") - (not case)
                lines = case.split(b"\n")
                notes = sum(b'{"propdesk":' in line and line.strip().endswith(b"}") for line in lines)
                assert 0 <= sum(map(_counts, lines)) - len(recorded) <= notes
            for item in (*items, *recorded):
                match item:
                    case WireLine():
                        assert 0 <= item.ts_recv_ns < 10**19
                        assert item.payload
                    case WireRejected():
                        assert item.reason
                        assert len(item.excerpt) <= 200
                    case Recorded():
                        assert 0 <= item.ts_ns < 10**19
                        assert item.payload or item.kind is Kind.CONNECTED
                    case Unreadable():
                        assert item.reason


def _counts(line: bytes) -> bool:
    text = line.strip()
    return bool(text) and not text.startswith(b"configuration: ")


TARGETS: dict[str, tuple[Target, str]] = {
    "binance-spot": (binance(SPOT), "binance"),
    "binance-usdm": (binance(USDM), "binance"),
    "binance-coinm": (binance(COINM), "binance"),
    "binance-listing": (listing(_every_binance_listing), "binance-listing"),
    "binance-orders": (binance_orders, "binance-orders"),
    "okx": (okx, "okx"),
    "okx-listing": (listing(okx_rules.decode_listing), "okx-listing"),
    "bybit-spot": (bybit(Category.SPOT), "bybit"),
    "bybit-linear": (bybit(Category.LINEAR), "bybit"),
    "bybit-inverse": (bybit(Category.INVERSE), "bybit"),
    "bybit-listing": (listing(bybit_rules.decode_listing), "bybit-listing"),
    "universe": (universe, "universe"),
    "wire-log": (wire_log, "wire-log"),
}
"""By name: the property, and the file of seeds that it starts from."""


def cases(name: str) -> Iterator[bytes]:
    """Where the search for a target begins: each seed, five in a row (a snapshot and its diffs), and all of them."""
    messages = seeds(TARGETS[name][1])
    yield from messages
    yield from (b"\n".join(messages[begin : begin + 5]) for begin in range(len(messages) - 4))
    yield b"\n".join(messages)
