"""The generator is measured against recordings and is near them where it was fitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.synthetic.params import SPOT_BTC
from research import calibration

RECORDINGS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "binance" / "l2_raw" / "2024-08-08"

FITTED = (
    "depth messages/s",
    "bookTicker messages/s",
    "trade messages/s",
    "level changes/s",
    "zero-quantity share of changes",
    "spread median, ticks",
    "lots at level 1, mean",
    "lots within 5 bps, mean",
    "trade lots, 50%",
    "volatility of 1 s returns, bps",
)


def test_measurements_of_a_small_tape_are_right():
    def ticker(second, bid, ask):
        body = f'{{"stream":"btcusdt@bookTicker","data":{{"u":{second},"b":"{bid}","B":"1","a":"{ask}","A":"1"}}}}'
        return second * 1_000_000_000, body.encode()

    def trade(second, qty, sell):
        body = f'{{"stream":"btcusdt@trade","data":{{"q":"{qty}","m":{"true" if sell else "false"}}}}}'
        return second * 1_000_000_000, body.encode()

    measured = calibration.measure(
        SPOT_BTC,
        [
            ticker(1, "99.99", "100.01"),
            trade(1, "0.00100000", sell=True),
            ticker(2, "100.00", "100.01"),
            trade(2, "0.00300000", sell=False),
            ticker(3, "100.00", "100.01"),
        ],
    )
    rows = measured.rows
    assert rows["bookTicker messages/s"] == 1.5
    assert rows["spread median, ticks"] == 1
    assert rows["trade lots, mean"] == 200
    assert rows["share of 1 s returns not zero"] == 0.5
    assert measured.mids == {1: 100.0, 2: 100.005, 3: 100.005}


@pytest.mark.recording
def test_the_generator_is_within_a_factor_of_two_of_the_recordings():
    if not RECORDINGS.is_dir():
        pytest.skip("the recorded market data is not beside the project")
    result = calibration.run(RECORDINGS, quick=True)
    assert result["synthetic"]
    for market, rows in result["markets"].items():
        for row in FITTED:
            recorded, synthetic = rows[row]
            assert 0.4 < synthetic / recorded < 2.5, (market, row, recorded, synthetic)
    for pair, (recorded, synthetic) in result["correlation"].items():
        assert abs(recorded - synthetic) < 0.35, (pair, recorded, synthetic)
    text = calibration.table(result)
    assert "| measure | recorded | synthetic | ratio |" in text
    assert "spread median" in text
