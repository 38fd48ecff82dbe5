"""The wire bench times what it says: the same frames, the same books, a peer that agrees on every top."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from research.bench_wire import run

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / ".." / "shared" / "data"
RECORDING = DATA / "binance" / "l2_raw" / "2024-08-08"
STREAMS = ("okx", "bybit")

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

# It answers with the tops that our books have after the bytes that it was given.
PEERS_THAT_READ_THE_STREAMS = """
import json, pathlib, sys
sys.path.insert(0, %r)
from research.bench_streams import streams
from research.bench_wire import digest
own = {stream.name: stream for stream in streams(pathlib.Path(%r), 1)}
given = {path.name: path.read_bytes().split(b"\\n") for path in pathlib.Path(sys.argv[3]).iterdir()}
print(json.dumps({"ready": {}}), flush=True)
for line in sys.stdin:
    stream = own.get(line.split()[0])
    answer = {"seconds": 1.0, "frames": 0, "tops": ""}
    if stream is not None and stream.frames == given[stream.name]:
        answer = {"seconds": 1.0, "frames": len(stream.frames), "tops": digest(stream.tops())}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="module")
def alone():
    """A report without peers."""
    return run(None, None, DATA, True)


def test_the_wire_benchmark_measures_our_path_over_every_market(alone):
    report = alone
    assert set(report["markets"]) == {"spot", "usdm", "coinm", *STREAMS}
    assert report["total"]["frames"] == 3000
    assert set(report["total"]["of"]) == {"spot", "usdm", "coinm"}
    # The second half of 290 and of 50 messages, five times.
    assert [report["markets"][name]["frames"] for name in STREAMS] == [725, 125]
    assert all(market["propdesk"]["messages_per_s"] > 0 for market in report["markets"].values())


def test_a_recording_of_binance_alone_is_enough():
    assert set(run(None, None, RECORDING, True)["markets"]) == {"spot", "usdm", "coinm"}


def test_a_peer_without_a_way_for_a_venue_is_said_to_be_not_measured(alone):
    report = alone
    assert all(report["markets"][name]["nautilus"].startswith("not measured") for name in STREAMS)
    assert "nautilus" not in report["markets"]["spot"]


def test_a_peer_whose_best_prices_differ_is_named(tmp_path):
    (tmp_path / "peers_wire.py").write_text(PEERS_THAT_ANSWER)
    report = run(sys.executable, tmp_path, DATA, True)
    assert len(report["tops_that_differ"]) == 8
    assert {"okx/ccxt_pro", "bybit/ccxt_pro"} < set(report["tops_that_differ"])
    assert report["total"]["nautilus"]["propdesk_is_faster_x"] > 8
    assert report["markets"]["okx"]["ccxt_pro"]["propdesk_is_faster_x"] > 2.5
    assert report["peers"] == {"stranger": "1"}


def test_peers_get_the_very_bytes_that_we_read(tmp_path):
    (tmp_path / "peers_wire.py").write_text(PEERS_THAT_READ_THE_STREAMS % (str(ROOT), str(DATA)))
    report = run(sys.executable, tmp_path, DATA, True)
    assert {name.partition("/")[0] for name in report["tops_that_differ"]} == {"spot", "usdm", "coinm"}


def test_peers_that_die_end_the_benchmark_with_a_clear_error(tmp_path):
    (tmp_path / "peers_wire.py").write_text("raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="ended with 3"):
        run(sys.executable, tmp_path, RECORDING, True)
