"""A book's memory is what was allocated for it and stays: more levels cost more, and the native book costs less."""

from __future__ import annotations

import pytest

from native import marketdata
from research.bench_book_memory import measure
from trading.market.events import DepthSnapshot, DepthUpdate


def recording(levels, names=("x",)):
    def events():
        for name in names:
            yield DepthSnapshot(
                instrument_id=name,
                last_update_id=1,
                bids=[(100_000 - n, 1_000 + n) for n in range(levels)],
                asks=[(100_001 + n, 1_000 + n) for n in range(levels)],
                ts_event_ns=1,
                ts_recv_ns=1,
            )
            yield DepthUpdate(
                instrument_id=name,
                first_update_id=2,
                final_update_id=2,
                prev_final_update_id=1,
                bids=[(100_000, 0)],
                asks=[(100_001, 5)],
                ts_event_ns=2,
                ts_recv_ns=2,
            )

    return events


def test_levels_are_counted_a_book_and_every_level_costs_its_two_numbers():
    found = measure(recording(1000, ("x", "y")))
    assert (found["books"], found["levels_per_book"]) == (2, 1999)
    assert found["python_bytes"] > 2 * 8 * 1999


@pytest.mark.parametrize("kind", ["native_bytes", "python_bytes"])
@pytest.mark.skipif(marketdata is None, reason="no native code was built")
def test_a_book_of_more_levels_is_larger(kind):
    assert measure(recording(2000))[kind] > 1.5 * measure(recording(500))[kind]


@pytest.mark.skipif(marketdata is None, reason="no native code was built")
def test_a_native_book_is_smaller_than_pythons_and_holds_every_level():
    found = measure(recording(1000))
    # A level is two numbers of 64 bits.
    assert 16 * 1999 <= found["native_bytes"] < found["python_bytes"]
