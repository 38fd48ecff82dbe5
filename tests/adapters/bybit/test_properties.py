"""Bybit's codecs told what no venue sends: nothing raises, every message is counted, C and Python agree."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "fuzz"))

import fuzz_targets
from fuzz_mutations import mutate

from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import INSTRUMENTS, Category, decode_listing
from trading.market.book import Book
from trading.market.events import FundingRate, Trade, WireRejected

NOW = fuzz_targets.NOW
LINEAR = INSTRUMENTS[Category.LINEAR]


@pytest.mark.parametrize("name", ["bybit-spot", "bybit-linear", "bybit-inverse", "bybit-listing"])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_changed_messages_break_no_promise(name, data):
    target, _ = fuzz_targets.TARGETS[name]
    case = data.draw(st.sampled_from(list(fuzz_targets.cases(name))))
    target(mutate(case, data.draw(st.randoms(use_true_random=False))))


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400), st.sampled_from(["bybit-linear", "bybit-listing"]))
def test_any_bytes_break_no_promise(case, name):
    fuzz_targets.TARGETS[name][0](case)


def test_a_side_nested_without_end_is_refused_in_the_same_words_with_and_without_c():
    head = b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1733011200693,"data":{"s":"BTCUSDT","b":0,"a":['
    payload = head + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b'],"u":2,"seq":3},"cts":1733011200691}'
    (refused,) = BybitCodec(LINEAR).decode(payload, NOW)
    assert refused.reason == "malformed"
    assert (refused,) == tuple(BybitCodec(LINEAR, native=False).decode(payload, NOW))


def ticker(hours="8", time="1673280000000"):
    return (
        b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","fundingRate":"-0.000212",'
        b'"nextFundingTime":"%s","fundingIntervalHour":"%s"},"cs":1,"ts":1673272861686}'
    ) % (time.encode(), hours.encode())


@pytest.mark.parametrize(
    "change", [{"hours": "9" * 20}, {"hours": "-8"}, {"time": "0000000000001"}, {"time": "9" * 13}]
)
def test_a_funding_time_that_cannot_be_is_refused(change):
    codec = BybitCodec(LINEAR)
    (refused,) = codec.decode(ticker(**change), NOW)
    assert isinstance(refused, WireRejected)
    assert refused.reason == "bad_number"
    (event,) = codec.decode(ticker(), NOW)
    assert isinstance(event, FundingRate)
    assert event.next_funding_ns - event.funding_ns == 8 * 3600 * 10**9


def test_a_ratio_of_1970_is_refused():
    body = b'{"retCode":0,"retMsg":"OK","result":{"list":[{"symbol":"BTCUSDT","buyRatio":"0.6","sellRatio":"0.4",'
    (refused,) = BybitCodec(LINEAR).decode_ratios(body + b'"timestamp":"0000000000000"}]}}', NOW)
    assert refused.reason == "bad_number"


def test_a_trade_id_fits_64_bits_or_the_trade_is_refused():
    row = (
        b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT",'
    )
    row += b'"S":"Buy","v":"0.001","p":"16578.50","i":"%d"}]}'
    (last,) = BybitCodec(LINEAR).decode(row % (2**63 - 1), NOW)
    assert isinstance(last, Trade)
    (refused,) = BybitCodec(LINEAR).decode(row % 2**63, NOW)
    assert refused.reason == "bad_number"


def test_a_key_that_comes_twice_counts_as_it_came_last_with_and_without_c():
    head = b'{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1733011200693,"data":{"s":"BTCUSDT","b":["no level"],'
    payload = head + b'"b":[["28552.0","1"]],"a":[],"u":2,"seq":3},"cts":1733011200691}'
    (update,) = BybitCodec(LINEAR).decode(payload, NOW)
    assert list(update.bids) == [(285520, 1000)]
    assert (update,) == tuple(BybitCodec(LINEAR, native=False).decode(payload, NOW))


def test_a_time_that_a_book_cannot_hold_is_refused():
    push = (
        b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":%d,"data":{"s":"BTCUSDT","b":[],"a":[],"u":2,"seq":3}}'
    )
    codec = BybitCodec(LINEAR)
    (last,) = codec.decode(push % (4 * 10**12 - 1), NOW)
    Book("x", 5000).apply_snapshot(last)
    (refused,) = codec.decode(push % (4 * 10**12), NOW)
    assert refused.reason == "malformed"


@pytest.mark.parametrize(
    "name", ["openInterest", "openInterestValue", "bid1Size", "ask1Price", "volume24h", "turnover24h"]
)
def test_a_quantity_below_zero_is_refused(name):
    head = b'{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","lastPrice":"17216.00",'
    head += b'"openInterest":"1","bid1Price":"1","ask1Price":"2","ask1Size":"1","%s":"-1"},"cs":1,"ts":1673272861686}'
    (refused,) = BybitCodec(LINEAR).decode(head % name.encode(), NOW)
    assert refused.reason == "bad_number"


def test_a_delivery_that_64_bits_cannot_hold_refuses_the_instrument():
    page = next(line for line in fuzz_targets.seeds("bybit-listing") if b'"deliveryTime": "0"' in line)
    assert len(decode_listing(page).instruments) == 1
    refused = decode_listing(page.replace(b'"deliveryTime": "0"', b'"deliveryTime": "9999999999999"'))
    assert (refused.instruments, len(refused.refused)) == ((), 1)
