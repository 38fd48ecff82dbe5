"""The wire bench times what it says: the same frames, the same books, a peer that agrees on every top."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from research.bench_wire import run

RECORDING = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "binance" / "l2_raw" / "2024-08-08"

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not RECORDING.is_dir(), reason=f"no recording at {RECORDING}"),
]

PEERS_THAT_ANSWER = """
import json, sys
print(json.dumps({"ready": {"stranger": "1"}}), flush=True)
for line in sys.stdin:
    print(json.dumps({"seconds": 1e9, "frames": 2000, "tops": "not ours"}), flush=True)
"""


def test_the_wire_benchmark_measures_our_path_over_every_market():
    report = run(None, None, RECORDING, True)
    assert set(report["markets"]) == {"spot", "usdm", "coinm"}
    assert report["total"]["frames"] == 3000
    assert report["total"]["propdesk"]["messages_per_s"] > 0


def test_a_peer_whose_best_prices_differ_is_named(tmp_path):
    (tmp_path / "peers_wire.py").write_text(PEERS_THAT_ANSWER)
    report = run(sys.executable, tmp_path, RECORDING, True)
    assert len(report["tops_that_differ"]) == 6
    assert report["total"]["nautilus"]["propdesk_is_faster_x"] > 8
    assert report["peers"] == {"stranger": "1"}


def test_peers_that_die_end_the_benchmark_with_a_clear_error(tmp_path):
    (tmp_path / "peers_wire.py").write_text("raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="ended with 3"):
        run(sys.executable, tmp_path, RECORDING, True)
