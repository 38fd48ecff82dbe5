"""Binance's codecs told what no venue sends: nothing raises, every message is counted, C and Python agree."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "fuzz"))

import fuzz_targets
from fuzz_mutations import mutate

from adapters.binance.codec import BinanceCodec
from adapters.binance.exchange_info import decode_exchange_info
from adapters.binance.instruments import COINM, SPOT, USDM, instruments_of
from adapters.binance.topics import StreamLedger
from trading.market.book import Book
from trading.market.events import MarkPrice, WireRejected

NOW = fuzz_targets.NOW


@pytest.mark.parametrize("name", ["binance-spot", "binance-usdm", "binance-coinm", "binance-listing", "binance-orders"])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_changed_messages_break_no_promise(name, data):
    target, _ = fuzz_targets.TARGETS[name]
    case = data.draw(st.sampled_from(list(fuzz_targets.cases(name))))
    target(mutate(case, data.draw(st.randoms(use_true_random=False))))


@example(b'{"propdesk":', "wire-log")
@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=400), st.sampled_from(["binance-spot", "binance-listing", "binance-orders", "wire-log"]))
def test_any_bytes_break_no_promise(case, name):
    fuzz_targets.TARGETS[name][0](case)


MARK = b'{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSDT","p":"28147.2","i":"28159.7","r":"0.0001","T":%d}'


@pytest.mark.parametrize("unit", [1680681600, 1680681600000000, 10**20, -1, 1])
def test_a_funding_time_in_another_unit_is_refused(unit):
    codec = BinanceCodec(USDM, instruments_of(USDM))
    refused = codec.decode(MARK % unit, NOW)
    assert isinstance(refused, WireRejected)
    assert refused.reason == "bad_number"
    event = codec.decode(MARK % 1680681600000, NOW)
    assert isinstance(event, MarkPrice)
    assert event.next_funding_ns == 1680681600_000_000_000
    assert codec.decode(MARK % 0, NOW).next_funding_ns is None


def reply(tick="0.01", step="0.001", size=100):
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": "1", "maxQty": "1000", "stepSize": step},
        {"filterType": "NOTIONAL", "minNotional": "5"},
    ]
    symbol = {"symbol": "BTCUSD_PERP", "baseAsset": "BTC", "quoteAsset": "USD", "filters": filters}
    return json.dumps({"symbols": [{**symbol, "contractSize": size, "contractType": "PERPETUAL"}]}).encode()


@pytest.mark.parametrize(
    "text", ["1E-999999", "1E+400", "1e-25", "1_0", " 1", "\u0661", "1" * 19, "NaN", "0", "-1", ""]
)
def test_a_step_that_no_grid_can_have_refuses_the_instrument(text):
    for venue in (SPOT, USDM, COINM):
        for body in (reply(tick=text), reply(step=text)):
            listing = decode_exchange_info(body, venue)
            assert listing.instruments == ()
            assert list(listing.refused) == ["BTCUSD_PERP"]
    (found,) = decode_exchange_info(reply(tick="1e-8"), COINM).instruments
    assert found.tick_size == Decimal("0.00000001")


@pytest.mark.parametrize("size", [0, -100])
def test_a_contract_worth_nothing_is_refused(size):
    assert decode_exchange_info(reply(size=size), COINM).instruments == ()


@pytest.mark.parametrize("native", [True, False])
def test_a_time_that_a_book_cannot_hold_is_refused(native):
    frame = (
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":%d,"s":"BTCUSDT","U":1,"u":2,'
        b'"b":[["61737.63000000","1.00000000"]],"a":[]}}'
    )
    codec = BinanceCodec(SPOT, instruments_of(SPOT), native=native)
    last = codec.decode(frame % (4 * 10**12 - 1), NOW)
    Book("x", 5000).apply(last)
    refused = codec.decode(frame % (4 * 10**12), NOW)
    assert refused.reason == "malformed"


@pytest.mark.parametrize("name", ["symbol", "baseAsset", "quoteAsset"])
def test_an_instrument_without_a_name_is_refused(name):
    body = json.loads(reply())
    body["symbols"][0][name] = ""
    listing = decode_exchange_info(json.dumps(body).encode(), COINM)
    assert listing.instruments == ()
    assert len(listing.refused) == 1


@pytest.mark.parametrize("request_id", [1, 9])
def test_an_answers_words_are_bounded_whether_it_was_asked_for_or_not(request_id):
    ledger = StreamLedger()
    ledger.subscribe(["btcusdt@trade"], 0)
    said = b'{"id":%d,"error":{"code":%s,"msg":"%s"}}' % (request_id, b"1" * 4_000, b"x" * 4_000)
    answer = ledger.on_message(said)
    assert (answer.code, answer.text) == ("1" * 20, "x" * 200)
    assert ledger.unexpected == (request_id == 9)
