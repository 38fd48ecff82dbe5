"""OKX's bytes to events: exact ticks and lots or a rejection with a reason; no bytes make it raise."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS
from trading.market.events import (
    Aggressor,
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    IndexPrice,
    InstrumentStatus,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Ticker,
    Trade,
    VenueNotice,
    WireRejected,
)

NOW = 1_785_870_840_000_000_000
SPOT, LINEAR, INVERSE = "OKX:SPOT:BTC-USDT", "OKX:PERP:BTC-USDT:LINEAR", "OKX:PERP:BTC-USD:INVERSE"

# In the venue's own form; the funding-rate and index-tickers rows are of 2026-08, the others of 2021 and 2022.
SNAPSHOT = (
    b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"snapshot","data":[{"asks":[["8476.9","415","0",'
    b'"13"],["8477","7.5","0","2"]],"bids":[["8476.8","256","0","12"]],"ts":"1597026383085","checksum":0,'
    b'"seqId":123456,"prevSeqId":-1}]}'
)
UPDATE = (
    b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[{"asks":[["8477","0","0","0"]],'
    b'"bids":[["8476.8","0.01","0","1"]],"ts":"1597026383185","checksum":0,"seqId":123470,"prevSeqId":123456}]}'
)
OLD_UPDATE = (
    b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["30243.5","1.2112","0","4"]],'
    b'"bids":[],"ts":"1652459225464","checksum":-914047754}]}'
)
BEST = (
    b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["38632.4","727","0","22"]],'
    b'"bids":[["38632.3","990","0","22"]],"ts":"1651761120004","seqId":55}]}'
)
TRADES = (
    b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"338476307","px":"30236",'
    b'"sz":"0.0002","side":"buy","ts":"1652459224818"},{"instId":"BTC-USDT","tradeId":"338476308","px":"30236.1",'
    b'"sz":"1","side":"sell","ts":"1652459224819"}]}'
)
TICKER = (
    b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":"BTC-USDT","last":"30236",'
    b'"lastSz":"0.0002","askPx":"30228.7","askSz":"1.55896972","bidPx":"30228.6","bidSz":"","open24h":"29700.4",'
    b'"high24h":"31073","low24h":"28020.3","sodUtc0":"29028.8","sodUtc8":"30337.7","volCcy24h":"525802090.62716611",'
    b'"vol24h":"17602.13085371","ts":"1652459224956"}]}'
)
MARK = (
    b'{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP",'
    b'"markPx":"42310.65","ts":"1640131259180"}]}'
)
INDEX = (
    b'{"arg":{"channel":"index-tickers","instId":"BTC-USD"},"data":[{"instId":"BTC-USD","idxPx":"64280",'
    b'"open24h":"63848.2","high24h":"64360.7","low24h":"63265.5","sodUtc0":"63465.3","sodUtc8":"64075.9",'
    b'"ts":"1785870839964"}]}'
)
FUNDING = (
    b'{"arg":{"channel":"funding-rate","instId":"BTC-USD-SWAP"},"data":[{"formulaType":"withRate",'
    b'"fundingRate":"-0.0004270396398519","fundingTime":"1785888000000","impactValue":"10000.0000000000000000",'
    b'"instId":"BTC-USD-SWAP","instType":"SWAP","interestRate":"0.0001000000000000","maxFundingRate":"0.00375",'
    b'"method":"current_period","minFundingRate":"-0.00375","nextFundingRate":"","nextFundingTime":"1785916800000",'
    b'"premium":"-0.0008949500017283","prevFundingTime":"1785859200000","settFundingRate":"-0.0001996513270201",'
    b'"settState":"settled","ts":"1785870855692"}]}'
)
INTEREST = (
    b'{"arg":{"channel":"open-interest","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP",'
    b'"oi":"644195","oiCcy":"6441.95","oiUsd":"414000000.5","ts":"1640131258756"}]}'
)
LIQUIDATIONS = (
    b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"51886.2",'
    b'"ccy":"","posSide":"short","side":"buy","sz":"12","ts":"1680173247614"},{"bkLoss":"0","bkPx":"51880.25","ccy":"",'
    b'"posSide":"net","side":"sell","sz":"3","ts":"1680173247600"}],"instFamily":"BTC-USD","instId":"BTC-USD-SWAP",'
    b'"instType":"SWAP","uly":"BTC-USD"},{"details":[{"bkLoss":"0","bkPx":"0.55205","ccy":"","posSide":"short",'
    b'"side":"buy","sz":"39","ts":"1680173247614"}],"instFamily":"XRP-USD","instId":"XRP-USD-SWAP","instType":"SWAP",'
    b'"uly":"XRP-USD"}]}'
)
STATUS = (
    b'{"arg":{"channel":"status"},"data":[{"begin":"1672823400000","end":"1672825980000","href":"","preOpenBegin":"",'
    b'"scheDesc":"","serviceType":"0","state":"scheduled","system":"unified","title":"WebSocket upgrade",'
    b'"ts":"1672826038470"}]}'
)
NOTICE = (
    b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade.",'
    b'"connId":"a4d3ae55"}'
)
REST_BOOK = (
    b'{"code":"0","msg":"","data":[{"asks":[["8477","7.5","0","2"]],"bids":[["8476.8","256","12"]],'
    b'"ts":"1629966436396","seqId":123460}]}'
)
RATIOS = b'{"code":"0","data":[["1630502400000","0.9"],["1630502100000","1.25"]],"msg":""}'
ALL = (
    SNAPSHOT,
    UPDATE,
    OLD_UPDATE,
    BEST,
    TRADES,
    TICKER,
    MARK,
    INDEX,
    FUNDING,
    INTEREST,
    LIQUIDATIONS,
    STATUS,
    NOTICE,
    REST_BOOK,
    RATIOS,
)


@pytest.fixture
def codec():
    return OkxCodec(INSTRUMENTS)


def one(codec, payload):
    (event,) = codec.decode(payload, NOW)
    return event


def reason(events):
    (event,) = events if isinstance(events, (list, tuple)) else (events,)
    assert isinstance(event, WireRejected)
    return event.reason


# --- Books ------------------------------------------------------------------------------------------


@pytest.mark.req("P-MD-2")
def test_a_snapshot_of_the_stream_says_that_it_came_there(codec):
    assert one(codec, SNAPSHOT) == DepthSnapshot(
        instrument_id=LINEAR,
        last_update_id=123456,
        bids=[(84768, 25600)],
        asks=[(84769, 41500), (84770, 750)],
        ts_event_ns=1_597_026_383_085_000_000,
        ts_recv_ns=NOW,
        in_stream=True,
    )


@pytest.mark.req("P-MD-2")
def test_a_diff_covers_what_comes_after_prev_seq_id(codec):
    assert one(codec, UPDATE) == DepthUpdate(
        instrument_id=LINEAR,
        first_update_id=123457,
        final_update_id=123470,
        prev_final_update_id=123456,
        bids=[(84768, 1)],
        asks=[(84770, 0)],
        ts_event_ns=1_597_026_383_185_000_000,
        ts_recv_ns=NOW,
    )


def test_a_diff_of_2022_has_a_checksum_and_no_numbers(codec):
    event = one(codec, OLD_UPDATE)
    assert (event.first_update_id, event.final_update_id, event.prev_final_update_id) == (-1, -1, -1)
    assert event.checksum == -914047754
    assert event.asks == [(302435, 121120000)]


@pytest.mark.parametrize("numbers", [b'"seqId":123470', b'"seqId":123470,"prevSeqId":-1', b'"prevSeqId":123456'])
def test_a_diff_with_half_of_its_numbers_is_refused(codec, numbers):
    payload = UPDATE.replace(b'"seqId":123470,"prevSeqId":123456', numbers)
    assert reason(codec.decode(payload, NOW)) == "bad_sequence"


@pytest.mark.parametrize("channel", ["books-l2-tbt", "books50-l2-tbt"])
def test_one_codec_makes_the_book_of_one_channel(codec, channel):
    payload = UPDATE.replace(b'"books"', f'"{channel}"'.encode())
    assert reason(codec.decode(payload, NOW)) == "unknown_event"
    assert isinstance(one(OkxCodec(INSTRUMENTS, book_channel=channel), payload), DepthUpdate)


def test_best_prices_are_numbered_as_the_book_is(codec):
    assert one(codec, BEST) == BookTicker(
        instrument_id=LINEAR,
        update_id=55,
        bid_ticks=386323,
        bid_lots=99000,
        ask_ticks=386324,
        ask_lots=72700,
        ts_event_ns=1_651_761_120_004_000_000,
        ts_recv_ns=NOW,
    )


def test_an_empty_side_of_the_best_prices_is_zero(codec):
    event = one(codec, BEST.replace(b'[["38632.3","990","0","22"]]', b"[]"))
    assert (event.bid_ticks, event.bid_lots, event.ask_lots) == (0, 0, 72700)


@pytest.mark.req("P-MD-2")
def test_a_book_of_rest_is_no_part_of_the_stream(codec):
    event = codec.decode_snapshot(REST_BOOK, LINEAR, NOW)
    assert isinstance(event, DepthSnapshot)
    assert (event.last_update_id, event.in_stream) == (123460, False)
    assert (event.bids, event.asks) == ([(84768, 25600)], [(84770, 750)])


def test_a_book_of_rest_without_a_number_says_so(codec):
    event = codec.decode_snapshot(REST_BOOK.replace(b',"seqId":123460', b""), LINEAR, NOW)
    assert event.last_update_id == -1


# --- The other channels ---------------------------------------------------------------------------------


def test_every_trade_of_a_message_is_an_event(codec):
    first, second = codec.decode(TRADES, NOW)
    assert first == Trade(
        instrument_id=SPOT,
        trade_id=338476307,
        price_ticks=302360,
        qty_lots=20000,
        aggressor=Aggressor.BUY,
        ts_event_ns=1_652_459_224_818_000_000,
        ts_recv_ns=NOW,
    )
    assert (second.trade_id, second.aggressor) == (338476308, Aggressor.SELL)


def test_one_bad_trade_refuses_the_whole_message(codec):
    assert reason(codec.decode(TRADES.replace(b'"px":"30236.1"', b'"px":"30236.15"'), NOW)) == "off_grid_price"


def test_a_ticker_keeps_what_is_stated_and_none_for_what_is_not(codec):
    event = one(codec, TICKER)
    assert isinstance(event, Ticker)
    assert (event.instrument_id, event.last_price, event.last_qty) == (SPOT, Decimal(30236), Decimal("0.0002"))
    assert (event.bid_price, event.bid_qty) == (Decimal("30228.6"), None)
    assert (event.volume_24h, event.turnover_24h) == (Decimal("17602.13085371"), Decimal("525802090.62716611"))


def test_a_contracts_ticker_has_no_turnover_in_quote_currency(codec):
    event = one(codec, TICKER.replace(b"BTC-USDT", b"BTC-USDT-SWAP"))
    assert (event.instrument_id, event.turnover_24h) == (LINEAR, None)


def test_an_instrument_that_never_traded_has_no_ticker(codec):
    assert codec.decode(TICKER.replace(b'"last":"30236"', b'"last":""'), NOW) == []


def test_mark_and_index_are_separate_prices(codec):
    assert one(codec, MARK) == MarkPrice(
        instrument_id=LINEAR,
        mark_price=Decimal("42310.65"),
        index_price=None,
        funding_rate=None,
        next_funding_ns=None,
        ts_event_ns=1_640_131_259_180_000_000,
        ts_recv_ns=NOW,
    )
    assert one(codec, INDEX) == IndexPrice(
        instrument_id="OKX:INDEX:BTC-USD",
        index_price=Decimal(64280),
        ts_event_ns=1_785_870_839_964_000_000,
        ts_recv_ns=NOW,
    )


def test_funding_says_what_forms_when_it_settles_and_what_settled_last(codec):
    assert one(codec, FUNDING) == FundingRate(
        instrument_id=INVERSE,
        funding_rate=Decimal("-0.0004270396398519"),
        funding_ns=1_785_888_000_000_000_000,
        next_funding_rate=None,
        next_funding_ns=1_785_916_800_000_000_000,
        settled_rate=Decimal("-0.0001996513270201"),
        min_rate=Decimal("-0.00375"),
        max_rate=Decimal("0.00375"),
        ts_event_ns=1_785_870_855_692_000_000,
        ts_recv_ns=NOW,
    )


def test_a_settlement_under_way_is_not_yet_settled(codec):
    event = one(codec, FUNDING.replace(b'"settState":"settled"', b'"settState":"processing"'))
    assert event.settled_rate is None


def test_funding_before_the_first_period_is_no_event(codec):
    assert codec.decode(FUNDING.replace(b'"fundingRate":"-0.0004270396398519",', b""), NOW) == []


def test_funding_history_is_what_was_paid(codec):
    payload = (
        b'{"code":"0","msg":"","data":[{"fundingRate":"0.0000746604960499","fundingTime":"1703059200000",'
        b'"instId":"BTC-USD-SWAP","instType":"SWAP","method":"next_period","realizedRate":"0.0000746572360545"}]}'
    )
    (event,) = codec.decode_reply("funding-rate", payload, NOW)
    assert (event.funding_rate, event.funding_ns) == (Decimal("0.0000746572360545"), 1_703_059_200_000_000_000)


def test_open_interest_is_in_contracts_base_and_quote(codec):
    assert one(codec, INTEREST) == OpenInterest(
        instrument_id=LINEAR,
        qty=Decimal(644195),
        base_qty=Decimal("6441.95"),
        notional=Decimal("414000000.5"),
        ts_event_ns=1_640_131_258_756_000_000,
        ts_recv_ns=NOW,
    )


def test_liquidations_of_known_instruments_are_of_the_position_that_was_closed(codec):
    first, second = codec.decode(LIQUIDATIONS, NOW)
    assert first == Liquidation(
        instrument_id=INVERSE,
        side=PositionSide.SHORT,
        price=Decimal("51886.2"),
        qty=Decimal(12),
        ts_event_ns=1_680_173_247_614_000_000,
        ts_recv_ns=NOW,
    )
    assert second.side is PositionSide.LONG


def test_a_liquidation_that_contradicts_itself_is_refused(codec):
    assert reason(
        codec.decode(LIQUIDATIONS.replace(b'"short","side":"buy","sz":"12"', b'"long","side":"buy","sz":"12"'), NOW)
    ) == ("malformed")


def test_ratios_come_oldest_first(codec):
    assert codec.decode_ratios(RATIOS, LINEAR, NOW) == [
        LongShortRatio(
            instrument_id=LINEAR, ratio=Decimal("1.25"), ts_event_ns=1_630_502_100_000_000_000, ts_recv_ns=NOW
        ),
        LongShortRatio(
            instrument_id=LINEAR, ratio=Decimal("0.9"), ts_event_ns=1_630_502_400_000_000_000, ts_recv_ns=NOW
        ),
    ]


def test_the_venue_announces_upgrades_and_maintenance(codec):
    notice = one(codec, NOTICE)
    assert isinstance(notice, VenueNotice)
    assert (notice.code, notice.begin_ns) == ("64008", None)
    window = one(codec, STATUS)
    assert (window.code, window.begin_ns, window.end_ns) == (
        "scheduled",
        1_672_823_400_000_000_000,
        1_672_825_980_000_000_000,
    )


def test_a_push_of_instruments_says_which_rules_hold(codec):
    entry = {
        "instId": "NEW-USDT",
        "instType": "SPOT",
        "baseCcy": "NEW",
        "quoteCcy": "USDT",
        "tickSz": "0.1",
        "lotSz": "0.01",
        "minSz": "0.01",
        "maxLmtSz": "100",
        "state": "preopen",
    }
    push = {"arg": {"channel": "instruments", "instType": "SPOT"}, "data": [entry, {**entry, "tickSz": ""}]}
    status, refused = codec.decode(json.dumps(push).encode(), NOW)
    assert isinstance(status, InstrumentStatus)
    assert (status.instrument_id, status.status, status.tradable) == ("OKX:SPOT:NEW-USDT", "preopen", False)
    assert isinstance(refused, WireRejected)
    assert "tickSz" in refused.excerpt


# --- What is refused, and what says nothing ------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"pong",
        b'{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
        b'{"event":"unsubscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}',
        b'{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}',
        b'{"event":"channel-conn-count","channel":"orders","connCount":"2","connId":"a4d3ae55"}',
    ],
)
def test_answers_are_no_events(codec, payload):
    assert list(codec.decode(payload, NOW)) == []


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "malformed"),
        (b"ping", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "unknown_event"),
        (b'{"event":"error","code":"60012","msg":"Invalid request"}', "venue_error"),
        (b'{"event":"channel-conn-count-error","channel":"books","connCount":"30"}', "venue_error"),
        (UPDATE[:-30], "malformed"),
        (UPDATE.replace(b"BTC-USDT-SWAP", b"DOGE-USDT-SWAP"), "unknown_symbol"),
        (UPDATE.replace(b'"books"', b'"candle1m"'), "unknown_event"),
        (UPDATE.replace(b'"update"', b'"append"'), "malformed"),
        (UPDATE.replace(b'["8477","0","0","0"]', b'["8477","0"]'), "malformed"),
        (UPDATE.replace(b'"8476.8"', b'"8476.85"'), "off_grid_price"),
        (UPDATE.replace(b'"8476.8"', b'"0"'), "zero_price"),
        (UPDATE.replace(b'"8476.8"', b'"NaN"'), "bad_number"),
        (UPDATE.replace(b'"8476.8"', b'"-8476.8"'), "bad_number"),
        (UPDATE.replace(b'"0.01"', b'"1e-2"'), "bad_number"),
        (UPDATE.replace(b"1597026383185", b"1597026383"), "bad_number"),  # seconds
        (UPDATE.replace(b"1597026383185", b"1597026383185000"), "bad_number"),  # microseconds
        (UPDATE.replace(b"123470", b"-2"), "malformed"),
        (UPDATE.replace(b"123470", b"123470.5"), "malformed"),
        (TRADES.replace(b'"sz":"1"', b'"sz":"0"'), "bad_number"),
        (TRADES.replace(b'"338476308"', b'"abc"'), "bad_number"),
        (TRADES.replace(b'"side":"sell"', b'"side":"hold"'), "malformed"),
        (
            TRADES.replace(
                b'{"instId":"BTC-USDT","tradeId":"338476308"', b'{"instId":"ETH-USDT","tradeId":"338476308"'
            ),
            "symbol_mismatch",
        ),
        (MARK.replace(b'"42310.65"', b'"0"'), "zero_price"),
        (MARK.replace(b'"42310.65"', b'""'), "bad_number"),
        (INDEX.replace(b"BTC-USD", b"ABC-USD"), "unknown_symbol"),
        (INTEREST.replace(b'"644195"', b'"-1"'), "bad_number"),
        (b" " * (4 << 20) + UPDATE, "too_large"),
    ],
)
def test_what_cannot_be_believed_is_refused_with_its_reason(codec, payload, why):
    assert reason(codec.decode(payload, NOW)) == why


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b'{"code":"50011","msg":"Too Many Requests","data":[]}', "venue_error"),
        (b'{"code":"0","msg":"","data":[]}', "malformed"),
        (REST_BOOK.replace(b'"8477"', b'"8477.05"'), "off_grid_price"),
        (b"<html>", "malformed"),
    ],
)
def test_a_refused_rest_book_is_not_an_empty_one(codec, payload, why):
    assert reason(codec.decode_snapshot(payload, LINEAR, NOW)) == why


def test_a_rest_book_of_a_stranger_is_refused(codec):
    assert reason(codec.decode_snapshot(REST_BOOK, "OKX:SPOT:NO-SUCH", NOW)) == "unknown_symbol"


@pytest.mark.parametrize("channel", ["mark-price", "no-such-channel"])
def test_a_refused_reply_is_refused_for_every_channel(codec, channel):
    assert reason(
        codec.decode_reply(channel, b'{"code":"51001","msg":"Instrument ID does not exist","data":[]}', NOW)
    ) == ("venue_error")


def test_a_reply_of_a_channel_that_nobody_reads_is_refused(codec):
    assert reason(codec.decode_reply("books5", b'{"code":"0","data":[]}', NOW)) == "unknown_event"


def test_keys_in_another_order_change_nothing(codec):
    for payload in (SNAPSHOT, UPDATE, BEST, TRADES, TICKER, MARK, INDEX, FUNDING, INTEREST):
        message = json.loads(payload)
        reordered = json.dumps({key: message[key] for key in reversed(message)}, indent=1).encode()
        assert list(codec.decode(reordered, NOW)) == list(codec.decode(payload, NOW))


def test_an_excerpt_says_what_was_wrong_in_few_characters(codec):
    (event,) = codec.decode(UPDATE.replace(b'"8476.8"', b'"8476.85"'), NOW)
    assert "8476.85" in event.excerpt
    assert len(event.excerpt) <= 200


# --- Nothing raises ------------------------------------------------------------------------------------------


def everything(codec, payload):
    """Every way into the codec; what comes out must be events."""
    events = [*codec.decode(payload, NOW), codec.decode_snapshot(payload, LINEAR, NOW)]
    events += codec.decode_ratios(payload, LINEAR, NOW)
    for channel in ("trades", "tickers", "funding-rate", "instruments", "status", "liquidation-orders", "books"):
        events += codec.decode_reply(channel, payload, NOW)
    return events


CODEC = OkxCodec(INSTRUMENTS)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_codec_raise(payload):
    assert all(hasattr(event, "ts_recv_ns") for event in everything(CODEC, payload))


@given(st.data())
def test_no_damage_to_a_real_message_makes_the_codec_raise(data):
    frame = bytearray(data.draw(st.sampled_from(ALL)))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    assert all(hasattr(event, "ts_recv_ns") for event in everything(CODEC, bytes(frame)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_no_value_in_the_place_of_another_makes_the_codec_raise(data):
    message = json.loads(data.draw(st.sampled_from(ALL)))
    node = message
    while True:
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        if not keys:
            break
        key = data.draw(st.sampled_from(list(keys)))
        if isinstance(node[key], (dict, list)) and data.draw(st.booleans()):
            node = node[key]
            continue
        node[key] = data.draw(_JSON)
        break
    assert all(hasattr(event, "ts_recv_ns") for event in everything(CODEC, json.dumps(message).encode()))


@given(st.lists(st.tuples(st.sampled_from(ALL[:10]), st.booleans()), max_size=30))
def test_the_count_of_refused_messages_is_exact(messages):
    codec = OkxCodec(INSTRUMENTS)
    refused = 0
    for payload, spoiled in messages:
        # Cut before its end no message is whole JSON.
        events = codec.decode(payload[:-2] if spoiled else payload, NOW)
        refused += sum(isinstance(event, WireRejected) for event in events)
    assert refused == sum(spoiled for _, spoiled in messages)
