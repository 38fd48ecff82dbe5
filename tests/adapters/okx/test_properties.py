"""OKX's codecs told what no venue sends: nothing raises, every message is counted, C and Python agree."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "fuzz"))

import fuzz_targets
from fuzz_mutations import mutate

from adapters.okx.codec import OkxCodec
from adapters.okx.frames import LEVELS_MAX
from adapters.okx.instruments import INSTRUMENTS
from trading.market.book import Book

NOW = fuzz_targets.NOW


@pytest.mark.parametrize("name", ["okx", "okx-listing"])
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_changed_messages_break_no_promise(name, data):
    target, _ = fuzz_targets.TARGETS[name]
    case = data.draw(st.sampled_from(list(fuzz_targets.cases(name))))
    target(mutate(case, data.draw(st.randoms(use_true_random=False))))


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=400), st.sampled_from(["okx", "okx-listing"]))
def test_any_bytes_break_no_promise(case, name):
    fuzz_targets.TARGETS[name][0](case)


def test_a_side_nested_without_end_is_refused_in_the_same_words_with_and_without_c():
    head = b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[{"asks":[['
    payload = (
        head + b"[" * 3_000 + b'"1"' + b"]" * 3_002 + b',"bids":[],"ts":"1597026383185","seqId":2,"prevSeqId":1}]}'
    )
    fast, reference = OkxCodec(INSTRUMENTS), OkxCodec(INSTRUMENTS, native=False)
    (refused,) = fast.decode(payload, NOW)
    assert refused.reason == "malformed"
    assert (refused,) == tuple(reference.decode(payload, NOW))


def test_a_key_that_comes_twice_counts_as_it_came_last_with_and_without_c():
    head = (
        b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[{"asks":[],"bids":["no level"],'
    )
    payload = head + b'"bids":[["8476.8","1","0","2"]],"ts":"1597026383185","checksum":0,"seqId":2,"prevSeqId":1}]}'
    (update,) = OkxCodec(INSTRUMENTS).decode(payload, NOW)
    assert list(update.bids) == [(84768, 100)]
    assert (update,) == tuple(OkxCodec(INSTRUMENTS, native=False).decode(payload, NOW))


def test_a_side_of_too_many_levels_is_refused_with_and_without_c():
    head = b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[{"asks":[],"bids":['
    tail = b'],"ts":"1597026383185","checksum":0,"seqId":2,"prevSeqId":1}]}'
    for native in (True, False):
        codec = OkxCodec(INSTRUMENTS, native=native)
        (update,) = codec.decode(head + b",".join([b'["8476.8","1","0","2"]'] * LEVELS_MAX) + tail, NOW)
        assert len(update.bids) == LEVELS_MAX
        (refused,) = codec.decode(head + b",".join([b'["8476.8","1","0","2"]'] * (LEVELS_MAX + 1)) + tail, NOW)
        assert refused.reason == "malformed"


def test_a_best_price_of_zero_is_no_price():
    row = b'{"instId":"BTC-USDT","last":"30236","lastSz":"1","askPx":"0","askSz":"","bidPx":"0.0","bidSz":"","ts":"%d"}'
    payload = b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[' + row % 1652459224956 + b"]}"
    (ticker,) = OkxCodec(INSTRUMENTS).decode(payload, NOW)
    assert (ticker.bid_price, ticker.ask_price) == (None, None)


def test_a_time_that_a_book_cannot_hold_is_refused():
    push = (
        b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"snapshot","data":[{"asks":[],"bids":[],'
        b'"ts":"%d","checksum":0,"seqId":2,"prevSeqId":-1}]}'
    )
    codec = OkxCodec(INSTRUMENTS)
    (last,) = codec.decode(push % (4 * 10**12 - 1), NOW)
    Book("x", 5000).apply_snapshot(last)
    (refused,) = codec.decode(push % (4 * 10**12), NOW)
    assert refused.reason == "bad_number"
