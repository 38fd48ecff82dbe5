"""Bybit v5 bytes to events: exact ticks and lots or a rejection with a reason; no bytes make it raise."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.binance.grid import RejectReason
from adapters.bybit.codec import MAX_PAYLOAD_BYTES, BybitCodec
from adapters.bybit.instruments import INSTRUMENTS, Category
from native import marketdata
from trading.market.events import (
    Aggressor,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    IndexPrice,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Ticker,
    Trade,
    WireRejected,
)

NOW = 1_733_011_200_700_000_000
LINEAR_BTC, INVERSE_BTC, SPOT_BTC = (
    "BYBIT:PERP:BTC-USDT:LINEAR",
    "BYBIT:PERP:BTC-USD:INVERSE",
    "BYBIT:SPOT:BTC-USDT",
)

# In the spelling of messages of 2023-2025 (snapshots shortened).
SNAPSHOT = (
    b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1733011200691,"data":{"s":"BTCUSDT","b":[["28552.00",'
    b'"0.047"],["28551.90","1"]],"a":[["28552.10","25.433"]],"u":20683568,"seq":50193540681},"cts":1733011200589}'
)
DELTA = (
    b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1733011200693,"data":{"s":"BTCUSDT","b":[["28552.00",'
    b'"0.677"]],"a":[["28552.10","0"]],"u":20683569,"seq":50193540690},"cts":1733011200691}'
)
TOUCH = (
    b'{"topic":"orderbook.1.BTCUSDT","type":"snapshot","ts":1680673820717,"data":{"s":"BTCUSDT","b":[["28552.00",'
    b'"0.047"]],"a":[["28552.10","25.433"]],"u":7003305,"seq":50193540681}}'
)
TOUCH_DELTA = (
    b'{"topic":"orderbook.1.BTCUSDT","type":"delta","ts":1680673821137,"data":{"s":"BTCUSDT","b":[["28552.00","0"],'
    b'["28551.70","0.777"]],"a":[],"u":7003306,"seq":50193543147}}'
)
TRADES = (
    b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT",'
    b'"S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false},'
    b'{"T":1672304486866,"s":"BTCUSDT","S":"Sell","v":"2","p":"16578.40","L":"MinusTick","i":'
    b'"2290000000050703789","BT":false,"RPI":false,"seq":1783284617},{"T":1672304486866,"s":"BTCUSDT","S":"Sell",'
    b'"v":"500","p":"16500.00","i":"c-1","BT":true}]}'
)
TICKER = (
    b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick",'
    b'"price24hPcnt":"0.017103","lastPrice":"17216.00","prevPrice24h":"16926.50","highPrice24h":"17281.50",'
    b'"lowPrice24h":"16915.00","prevPrice1h":"17238.00","markPrice":"17217.33","indexPrice":"17227.36",'
    b'"openInterest":"68744.761","openInterestValue":"1183601235.91","turnover24h":"1570383121.943499",'
    b'"volume24h":"91705.276","nextFundingTime":"1673280000000","fundingRate":"-0.000212","fundingIntervalHour":"8",'
    b'"fundingCap":"0.005","bid1Price":"17215.50","bid1Size":"84.489","ask1Price":"17216.00","ask1Size":"83.020"},'
    b'"cs":24987956059,"ts":1673272861686}'
)
TICKER_DELTA = (
    b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","fundingRate":"-0.000210",'
    b'"openInterest":"68744.700"},"cs":24987956060,"ts":1673272861786}'
)
INVERSE_TICKER = (
    b'{"topic":"tickers.BTCUSD","type":"snapshot","data":{"symbol":"BTCUSD","lastPrice":"28560.00","markPrice":'
    b'"28560.00","indexPrice":"28566.94","openInterest":"449736676","openInterestValue":"15747.08","turnover24h":'
    b'"23389.1894","volume24h":"661543991","nextFundingTime":"","fundingRate":""},"cs":20856433578,'
    b'"ts":1680673822577}'
)
SPOT_TICKER = (
    b'{"topic":"tickers.BTCUSDT","ts":1673853746003,"type":"snapshot","cs":2588407389,"data":{"symbol":"BTCUSDT",'
    b'"lastPrice":"21109.77","highPrice24h":"21426.99","lowPrice24h":"20575","prevPrice24h":"20704.93","volume24h":'
    b'"6780.866843","turnover24h":"141946527.22907118","price24hPcnt":"0.0196","usdIndexPrice":"21120.2400136"}}'
)
LIQUIDATIONS = (
    b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1740480207578,"data":[{"T":1740480207110,"s":'
    b'"BTCUSDT","S":"Sell","v":"0.003","p":"43511.73"},{"T":1740480207111,"s":"BTCUSDT","S":"Buy","v":"1",'
    b'"p":"43511.7"}]}'
)
LIQUIDATION = (
    b'{"data":{"price":"0.03803","side":"Buy","size":"1637","symbol":"BTCUSDT","updatedTime":1673251091822},'
    b'"topic":"liquidation.BTCUSDT","ts":1673251091822,"type":"snapshot"}'
)
REST_BOOK = (
    b'{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","a":[["65557.7","16.606"]],"b":[["65485.4","47.081"]],'
    b'"ts":1716863719031,"u":230704,"seq":1432604333,"cts":1716863718905},"retExtInfo":{},"time":1716863719382}'
)
RATIOS = (
    b'{"retCode":0,"retMsg":"OK","result":{"list":[{"symbol":"BTCUSDT","buyRatio":"0.6","sellRatio":"0.4",'
    b'"timestamp":"1696262400000"},{"symbol":"BTCUSDT","buyRatio":"0.5","sellRatio":"0.5","timestamp":'
    b'"1696258800000"}],"nextPageCursor":""},"retExtInfo":{},"time":1731567491688}'
)
FRAMES = [SNAPSHOT, DELTA, TOUCH, TOUCH_DELTA, TRADES, TICKER, TICKER_DELTA, LIQUIDATIONS, LIQUIDATION]


@pytest.fixture
def codec():
    return BybitCodec(INSTRUMENTS[Category.LINEAR])


def changed(frame, **fields):
    """``frame`` with fields of its data set."""
    message = msgspec.json.decode(frame)
    message["data"].update(fields)
    return msgspec.json.encode(message)


@pytest.mark.req("P-MD-2")
def test_a_snapshot_and_a_delta_become_ticks_lots_and_both_of_the_venues_numbers(codec):
    assert codec.decode(SNAPSHOT, NOW) == (
        DepthSnapshot(
            instrument_id=LINEAR_BTC,
            last_update_id=20683568,
            bids=[(285520, 47), (285519, 1000)],
            asks=[(285521, 25433)],
            ts_event_ns=1733011200589_000_000,
            ts_recv_ns=NOW,
            seq=50193540681,
            in_stream=True,
        ),
    )
    assert codec.decode(DELTA, NOW) == (
        DepthUpdate(
            instrument_id=LINEAR_BTC,
            first_update_id=20683569,
            final_update_id=20683569,
            prev_final_update_id=-1,
            bids=[(285520, 677)],
            asks=[(285521, 0)],
            ts_event_ns=1733011200691_000_000,
            ts_recv_ns=NOW,
            seq=50193540690,
        ),
    )


def test_another_depth_of_the_same_symbol_is_not_the_book_of_this_codec(codec):
    (rejected,) = codec.decode(SNAPSHOT.replace(b"orderbook.50.", b"orderbook.200."), NOW)
    assert isinstance(rejected, WireRejected)
    assert rejected.reason == "unknown_event"
    deep = BybitCodec(INSTRUMENTS[Category.LINEAR], book_depth=200)
    assert isinstance(deep.decode(SNAPSHOT.replace(b"orderbook.50.", b"orderbook.200."), NOW)[0], DepthSnapshot)


def test_the_best_bid_and_ask_are_numbered_by_the_cross_sequence_and_follow_deltas(codec):
    (first,) = codec.decode(TOUCH, NOW)
    assert first == BookTicker(
        instrument_id=LINEAR_BTC,
        update_id=50193540681,
        bid_ticks=285520,
        bid_lots=47,
        ask_ticks=285521,
        ask_lots=25433,
        ts_event_ns=1680673820717_000_000,
        ts_recv_ns=NOW,
    )
    (second,) = codec.decode(TOUCH_DELTA, NOW)
    assert (second.bid_ticks, second.bid_lots, second.ask_ticks, second.ask_lots) == (285517, 777, 285521, 25433)
    assert codec.decode(TOUCH_DELTA, NOW) == ()
    (third,) = codec.decode(changed(TOUCH_DELTA, b=[["28551.70", "0"]], u=7003307), NOW)
    assert (third.bid_ticks, third.bid_lots) == (0, 0)


def test_a_delta_of_the_best_bid_and_ask_that_follows_nothing_is_refused_until_a_snapshot(codec):
    for frame in (TOUCH_DELTA, TOUCH, changed(TOUCH_DELTA, u=7003307), TOUCH_DELTA, TOUCH):
        (event,) = codec.decode(frame, NOW)
        assert isinstance(event, BookTicker if frame == TOUCH else WireRejected)
    codec.on_connected()
    assert codec.decode(TOUCH_DELTA, NOW)[0].reason == "bad_sequence"
    assert codec.decode(changed(TOUCH, u=1), NOW)[0].bid_ticks == 285520


def test_each_trade_of_a_message_is_an_event_and_block_trades_are_left_out(codec):
    first, second = codec.decode(TRADES, NOW)
    assert first == Trade(
        instrument_id=LINEAR_BTC,
        trade_id=0x20F43950D8DDB31,
        price_ticks=165785,
        qty_lots=1,
        aggressor=Aggressor.BUY,
        ts_event_ns=1672304486865_000_000,
        ts_recv_ns=NOW,
    )
    assert (second.trade_id, second.aggressor, second.qty_lots) == (2290000000050703789, Aggressor.SELL, 2000)


def test_a_ticker_snapshot_says_mark_index_funding_interest_and_last(codec):
    mark, funding, interest, ticker = codec.decode(TICKER, NOW)
    at = {"instrument_id": LINEAR_BTC, "ts_event_ns": 1673272861686_000_000, "ts_recv_ns": NOW}
    assert mark == MarkPrice(
        mark_price=Decimal("17217.33"),
        index_price=Decimal("17227.36"),
        funding_rate=Decimal("-0.000212"),
        next_funding_ns=1673280000000_000_000,
        **at,
    )
    assert funding == FundingRate(
        funding_rate=Decimal("-0.000212"),
        funding_ns=1673280000000_000_000,
        next_funding_ns=1673280000000_000_000 + 8 * 3600 * 10**9,
        min_rate=Decimal("-0.005"),
        max_rate=Decimal("0.005"),
        **at,
    )
    assert interest == OpenInterest(
        qty=Decimal("68744.761"), base_qty=Decimal("68744.761"), notional=Decimal("1183601235.91"), **at
    )
    assert ticker == Ticker(
        last_price=Decimal(17216),
        bid_price=Decimal("17215.50"),
        bid_qty=Decimal("84.489"),
        ask_price=Decimal(17216),
        ask_qty=Decimal("83.020"),
        open_24h=Decimal("16926.50"),
        high_24h=Decimal("17281.50"),
        low_24h=Decimal(16915),
        volume_24h=Decimal("91705.276"),
        turnover_24h=Decimal("1570383121.943499"),
        **at,
    )


def test_what_a_ticker_delta_does_not_name_has_not_changed(codec):
    assert codec.decode(TICKER_DELTA, NOW)[0].reason == "bad_sequence"
    codec.decode(TICKER, NOW)
    mark, funding, interest = codec.decode(TICKER_DELTA, NOW)
    assert (mark.mark_price, mark.funding_rate) == (Decimal("17217.33"), Decimal("-0.000210"))
    assert (funding.funding_rate, funding.funding_ns) == (Decimal("-0.000210"), 1673280000000_000_000)
    assert (interest.qty, interest.notional) == (Decimal("68744.700"), Decimal("1183601235.91"))
    # Older than what is known: nothing is taken back.
    assert codec.decode(TICKER_DELTA.replace(b"24987956060", b"24987956050"), NOW) == ()


def test_a_refused_ticker_delta_changes_nothing(codec):
    codec.decode(TICKER, NOW)
    (rejected,) = codec.decode(changed(TICKER_DELTA, fundingRate="NaN", openInterest="1"), NOW)
    assert rejected.reason == "bad_number"
    (interest,) = codec.decode(
        b'{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","openInterestValue":"5"},'
        b'"cs":24987956060,"ts":1673272861786}',
        NOW,
    )
    assert interest.qty == Decimal("68744.761")
    (zero,) = codec.decode(changed(TICKER_DELTA, markPrice="0"), NOW)
    assert zero.reason == "zero_price"


def test_inverse_open_interest_is_in_contracts_and_a_future_without_funding_says_none():
    mark, interest, ticker = BybitCodec(INSTRUMENTS[Category.INVERSE]).decode(INVERSE_TICKER, NOW)
    assert (mark.funding_rate, mark.next_funding_ns) == (None, None)
    assert (interest.qty, interest.base_qty) == (Decimal(449736676), Decimal("15747.08"))
    assert interest.notional == Decimal(449736676)
    assert (ticker.volume_24h, ticker.turnover_24h) == (Decimal(661543991), None)


def test_spot_tells_its_last_price_and_the_index_in_dollars():
    index, ticker = BybitCodec(INSTRUMENTS[Category.SPOT]).decode(SPOT_TICKER, NOW)
    assert index == IndexPrice(
        instrument_id="BYBIT:INDEX:BTC-USD",
        index_price=Decimal("21120.2400136"),
        ts_event_ns=1673853746003_000_000,
        ts_recv_ns=NOW,
    )
    assert (ticker.instrument_id, ticker.last_price) == (SPOT_BTC, Decimal("21109.77"))


def test_a_liquidation_names_the_side_of_the_position_in_both_generations(codec):
    first, second = codec.decode(LIQUIDATIONS, NOW)
    assert first == Liquidation(
        instrument_id=LINEAR_BTC,
        side=PositionSide.SHORT,
        price=Decimal("43511.73"),
        qty=Decimal("0.003"),
        ts_event_ns=1740480207110_000_000,
        ts_recv_ns=NOW,
    )
    assert second.side is PositionSide.LONG
    (old,) = codec.decode(LIQUIDATION, NOW)
    assert (old.side, old.price, old.ts_event_ns) == (PositionSide.LONG, Decimal("0.03803"), 1673251091822_000_000)


def test_rest_book_and_ratios(codec):
    book = codec.decode_snapshot(REST_BOOK, NOW)
    assert isinstance(book, DepthSnapshot)
    assert (book.last_update_id, book.seq, book.in_stream) == (230704, 1432604333, False)
    assert (book.bids, book.asks) == ([(654854, 47081)], [(655577, 16606)])
    older, newer = codec.decode_ratios(RATIOS, NOW)
    assert older == LongShortRatio(
        instrument_id=LINEAR_BTC, ratio=Decimal(1), ts_event_ns=1696258800000_000_000, ts_recv_ns=NOW
    )
    assert newer.ratio == Decimal("1.5")
    for reply in (b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}', b'{"retCode":10001,"retMsg":"x"}'):
        assert codec.decode_snapshot(reply, NOW).reason in {"venue_error", "malformed"}
        assert codec.decode_ratios(reply, NOW)[0].reason in {"venue_error", "malformed"}
    assert codec.decode_ratios(RATIOS.replace(b'"sellRatio":"0.4"', b'"sellRatio":"0"'), NOW)[0].reason == "bad_number"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "unknown_event"),
        (DELTA[:-3], "malformed"),
        (DELTA.replace(b'"u":20683569', b'"u":-1'), "malformed"),
        (DELTA.replace(b'"ts":1733011200693', b'"ts":1733011200'), "malformed"),
        (DELTA.replace(b'"type":"delta"', b'"type":"partial"'), "malformed"),
        (DELTA.replace(b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'), "symbol_mismatch"),
        (DELTA.replace(b"28552.00", b"28552.05"), "off_grid_price"),
        (DELTA.replace(b"28552.00", b"0"), "zero_price"),
        (DELTA.replace(b"28552.00", b"-1"), "bad_number"),
        (DELTA.replace(b"28552.00", b"1e5"), "bad_number"),
        (TRADES.replace(b'"v":"0.001"', b'"v":"0"'), "bad_number"),
        (TRADES.replace(b"20f43950-d8dd-5b31-9112-a178eb6023af", b"20f43950"), "bad_number"),
        (TOUCH.replace(b'[["28552.00","0.047"]]', b'[["28552.00","1"],["28551.00","1"]]'), "malformed"),
        (LIQUIDATIONS.replace(b"43511.73", b"0"), "bad_number"),
        (DELTA.replace(b"BTCUSDT", b"DOGEUSDT"), "unknown_symbol"),
        (b'{"topic":"kline.5.BTCUSDT","data":[],"ts":1672324988882,"type":"snapshot"}', "unknown_event"),
        (b'{"success":false,"ret_msg":"error:handler not found,topic:x","op":"subscribe"}', "venue_error"),
        (b'{"topic":"' + b"x" * MAX_PAYLOAD_BYTES + b'"}', "too_large"),
    ],
)
def test_what_cannot_be_believed_is_one_rejection_with_its_reason(codec, payload, reason):
    (rejected,) = codec.decode(payload, NOW)
    assert isinstance(rejected, WireRejected)
    assert (rejected.reason, rejected.venue, rejected.ts_recv_ns) == (reason, "bybit", NOW)
    assert len(rejected.excerpt) <= 200


@pytest.mark.parametrize(
    "payload",
    [
        b'{"success":true,"ret_msg":"subscribe","conn_id":"2324d924","req_id":"1","op":"subscribe"}',
        b'{"success":true,"ret_msg":"pong","conn_id":"465772b1","req_id":"","op":"ping"}',
        b'{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"cfcb4ocsvfriu23r3er0"}',
    ],
)
def test_answers_say_nothing_of_a_market(codec, payload):
    assert codec.decode(payload, NOW) == ()


@pytest.mark.parametrize("frame", FRAMES)
def test_another_order_of_keys_and_spaces_change_nothing(frame):
    reversed_keys = json.dumps(dict(reversed(json.loads(frame).items())), indent=1).encode()
    plain, other = (BybitCodec(INSTRUMENTS[Category.LINEAR]) for _ in range(2))
    for codec in (plain, other):
        codec.decode(TICKER, NOW)
        codec.decode(TOUCH, NOW)
    assert plain.decode(frame, NOW) == other.decode(reversed_keys, NOW)


@st.composite
def damaged(draw):
    """A real message with some bytes changed, cut or repeated."""
    payload = bytearray(draw(st.sampled_from([*FRAMES, REST_BOOK, RATIOS])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(payload) - 1)))
        match draw(st.sampled_from(["set", "cut", "insert", "repeat"])):
            case "set":
                payload[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del payload[at : at + draw(st.integers(1, 40))]
            case "insert":
                payload[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                payload[at:at] = payload[at : at + draw(st.integers(1, 40))]
    return bytes(payload)


@pytest.mark.skipif(marketdata is None, reason="native/ is not built")
@example([SNAPSHOT.replace(b'"0.047"]', b'"0.047"', 1)])  # a bracket that is missing: the words are Python's
@given(st.lists(st.one_of(damaged(), st.sampled_from([SNAPSHOT, DELTA])), max_size=8))
def test_the_native_parser_changes_nothing(payloads):
    native, plain = (BybitCodec(INSTRUMENTS[Category.LINEAR], native=choice) for choice in (True, False))
    for payload in payloads:
        assert list(native.decode(payload, NOW)) == list(plain.decode(payload, NOW))


@given(st.lists(st.one_of(damaged(), st.binary(max_size=200), st.sampled_from(FRAMES)), max_size=12))
def test_no_input_raises_and_bad_input_is_counted_exactly(payloads):
    codec = BybitCodec(INSTRUMENTS[Category.LINEAR])
    good = bad = 0
    for payload in payloads:
        events = codec.decode(payload, NOW)
        rejected = [event for event in events if isinstance(event, WireRejected)]
        # A message is believed whole or not at all.
        assert len(rejected) in {0, len(events)}
        assert len(rejected) <= 1
        bad += len(rejected)
        good += not rejected
        assert all(event.reason in {reason.value for reason in RejectReason} for event in rejected)
        assert isinstance(codec.decode_snapshot(payload, NOW), DepthSnapshot | WireRejected)
        assert all(isinstance(event, LongShortRatio | WireRejected) for event in codec.decode_ratios(payload, NOW))
    assert good + bad == len(payloads)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("1"),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("sbauTSvpi"), inner, max_size=6),
        max_leaves=12,
    ),
    st.sampled_from(["orderbook.50", "orderbook.1", "publicTrade", "tickers", "allLiquidation", "liquidation"]),
)
def test_well_formed_nonsense_is_refused_and_never_raises(data, topic):
    payload = json.dumps({"topic": f"{topic}.BTCUSDT", "type": "snapshot", "ts": 1733011200691, "data": data}).encode()
    for event in BybitCodec(INSTRUMENTS[Category.LINEAR]).decode(payload, NOW):
        assert isinstance(event, WireRejected | Trade | Liquidation)
