"""The native reader of levels: the same events as Python's, byte for byte, and None for whatever is not as usual."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS
from native import marketdata

NOW = 1_785_870_840_000_000_000

pytestmark = pytest.mark.skipif(marketdata is None, reason="no native code was built")


def update(bids, asks, **fields):
    row = {"asks": asks, "bids": bids, "ts": "1597026383185", "checksum": 0, "seqId": 9, "prevSeqId": 5} | fields
    message = {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": "update", "data": [row]}
    return json.dumps(message, separators=(",", ":")).encode()


def both(payload):
    """What a native codec and one in Python make of it: each is new, so that neither remembers."""
    native, python = OkxCodec(INSTRUMENTS), OkxCodec(INSTRUMENTS, native=False)
    return list(native.decode(payload, NOW)), list(python.decode(payload, NOW))


@pytest.fixture
def parser():
    return marketdata.LevelsParser((1, 1), (2, 1), 4)


def test_a_side_is_read_without_python_numbers(parser):
    found = parser.levels(b'[["8477","7.5","0","2"],["8476.9","0","0","0"],["8476.80","0.010","0","1"]]')
    assert found == [(84770, 750), (84769, 0), (84768, 1)]
    assert parser.levels(b"[]") == []
    assert parser.levels(msgspec.Raw(b'[["1","2","",""]]')) == [(10, 200)]
    assert parser.quantities == 4


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[",
        b"{}",
        b"null",
        b"[[]]",
        b'[["1","2"]]',
        b'[["1","2","0"]]',
        b'[["1","2","0","1","1"]]',
        b'[["1","2","0","1"]',
        b'[["1","2","0","1"]]x',
        b'[["1","2","0","1"],]',
        b'[ ["1","2","0","1"]]',
        b'[["1", "2","0","1"]]',
        b'[[1,"2","0","1"]]',
        b'[["1","2",0,"1"]]',
        b'[["1.05","2","0","1"]]',
        b'[["1","0.001","0","1"]]',
        b'[["0","2","0","1"]]',
        b'[["-1","2","0","1"]]',
        b'[["1e1","2","0","1"]]',
        b'[["","2","0","1"]]',
        b'[[".","2","0","1"]]',
        b'[["1","2","\\u0030","1"]]',
        b'[["1","2","\xff","1"]]',
        b'[["999999999999999999","2","0","1"]]',
    ],
)
def test_what_is_not_as_usual_is_left_to_python(parser, raw):
    assert parser.levels(raw) is None
    assert parser.quantities == 0


def test_more_levels_than_a_book_has_are_left_to_python(parser):
    row = b'["1","2","0","1"]'
    assert len(parser.levels(b"[" + b",".join([row] * 20_000) + b"]")) == 20_000
    assert parser.levels(b"[" + b",".join([row] * 20_001) + b"]") is None


def test_what_has_no_bytes_is_an_error(parser):
    with pytest.raises(TypeError):
        parser.levels("[]")


@pytest.mark.parametrize("wrong", [((-1, 1), (0, 1), 4), ((1, 0), (0, 1), 4), ((1, 1), (0, 1), 1)])
def test_a_grid_that_cannot_be_is_an_error(wrong):
    with pytest.raises(ValueError, match="step"):
        marketdata.LevelsParser(*wrong)


_numbers = (
    st.decimals(min_value=0, max_value=10**7, places=2).map(lambda number: f"{number:f}")
    | st.integers(0, 10**20).map(str)
    | st.sampled_from(["0", "0.0", "1.", ".5", "", "-1", "1e3", "NaN", "8476.95", "0.005", "007", "1,5", " 1", "1 "])
)
_rows = st.lists(st.tuples(_numbers, _numbers, st.just("0"), st.just("3")), max_size=4)
_usual = st.lists(
    st.tuples(
        st.integers(1, 10**6).map(lambda ticks: f"{Decimal(ticks) / 10:f}"),
        st.integers(0, 10**6).map(lambda lots: f"{Decimal(lots) / 100:f}"),
        st.just("0"),
        st.integers(0, 99).map(str),
    ),
    max_size=8,
)


@pytest.mark.req("P-MD-2")
@given(_usual, _usual)
def test_usual_levels_are_the_same_events(bids, asks):
    native, python = both(update(bids, asks))
    assert native == python
    assert native[0].bids == [(int(Decimal(p) * 10), int(Decimal(q) * 100)) for p, q, _, _ in bids]


@given(_rows, _rows)
def test_any_levels_are_the_same_events_or_the_same_refusal(bids, asks):
    native, python = both(update(bids, asks))
    assert native == python


@given(st.data())
def test_any_damage_is_the_same_refusal(data):
    frame = bytearray(update([("8476.8", "0.01", "0", "1")], [("8477", "0", "0", "0")]))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    native, python = both(bytes(frame))
    assert [type(event) for event in native] == [type(event) for event in python]
    assert [getattr(event, "reason", event) for event in native] == [
        getattr(event, "reason", event) for event in python
    ]


def test_quantities_read_natively_count_among_those_of_which_few_may_be_finer():
    codec = OkxCodec(INSTRUMENTS)
    finer = update([("8476.8", "0.015", "0", "1")], [])
    usual = update([("8476.8", "0.01", "0", "1")] * 40, [])
    refused = 0
    for _ in range(200):
        refused += sum(hasattr(event, "reason") for event in codec.decode(finer, NOW))
        codec.decode(usual, NOW)
    assert refused == 0
    assert codec.finer_quantities()["OKX:PERP:BTC-USDT:LINEAR"] == 200
