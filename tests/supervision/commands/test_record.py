"""`propdesk record`: a session is recorded, named, counted, and can be replayed; a signal ends it whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.recorder import drive
from adapters.recorder.manifest import read_manifest
from adapters.wirelog import WireLine, inspect_session, open_session
from supervision.commands.record import main

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance" / "l2_raw"


@pytest.fixture
def record(tmp_path, capsys):
    """Runs the command; (exit code, what it said on stdout, stderr)."""

    def run(*words):
        code = main(["--out", str(tmp_path), *[str(word) for word in words]])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_the_generator_is_recorded_in_virtual_time_and_flagged_synthetic(record):
    code, out, _ = record("--seconds", 20, "--virtual", "--json")
    said = json.loads(out)
    assert (code, said["command"], said["done"], said["synthetic"], said["whole"]) == (0, "record", True, True, True)
    session = Path(said["session"])
    manifest = read_manifest(session)
    assert manifest.synthetic
    assert {one.venue for one in manifest.instruments} == set(said["driven"]["lines"])
    facts = inspect_session(open_session(session))
    assert facts.lines == said["stats"]["written"] == sum(said["driven"]["lines"].values()) > 1000
    assert len(facts.with_snapshot) == len(facts.symbols) == 3
    assert 19 < (facts.last_ns - facts.first_ns) / 1e9 <= 20


def test_one_venue_is_recorded_when_one_is_asked_for(record):
    code, out, _ = record("--seconds", 5, "--virtual", "--venue", "binanceusdm", "--json")
    said = json.loads(out)
    assert code == 0
    assert list(said["driven"]["lines"]) == ["binanceusdm"]
    assert [file.symbol for file in read_manifest(Path(said["session"])).files] == ["BTCUSDT"]
    assert record("--venue", "mtgox")[0] == 2


def test_people_are_told_where_it_is_and_what_it_holds(record, monkeypatch):
    monkeypatch.setattr(drive, "VIRTUAL_PROGRESS_NS", 10_000_000_000)
    code, out, err = record("--seconds", 21, "--virtual", "--venue", "binance")
    assert code == 0
    assert "SYNTHETIC" in out
    assert "dropped" not in out
    assert err.count("lines") == 2


def test_a_recording_can_be_recorded_again_and_replayed_by_the_desk(record, tmp_path):
    _, out, _ = record("--seconds", 5, "--virtual", "--json")
    first = Path(json.loads(out)["session"])
    code, out, _ = record("--session", first, "--virtual", "--json")
    second = Path(json.loads(out)["session"])
    assert code == 0
    assert read_manifest(second).synthetic  # a market that was none does not become one by being recorded again
    assert list(open_session(second)) == list(open_session(first))
    done = subprocess.run(
        [sys.executable, "-m", "supervision", "replay", "--session", str(second), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["books"]


def test_live_streams_are_of_venues_that_the_desk_reads_and_in_real_time(record):
    assert record("--live", "--venue", "mtgox")[0] == 2
    assert record("--live", "--virtual")[0] == 2
    assert record("--live", "--session", "somewhere")[0] == 2


def test_what_cannot_be_recorded_is_exit_2(record, tmp_path):
    code, _, err = record("--session", tmp_path / "nothing")
    assert code == 2
    assert err
    (tmp_path / "wire").write_text("in the way")
    code, out, _ = record("--seconds", 1, "--virtual", "--json")
    assert code == 2
    assert json.loads(out)["done"] is False


@pytest.mark.process
def test_a_signal_ends_a_recording_in_real_time_with_everything_in_its_files(tmp_path):
    code = "import sys; from supervision.commands.record import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--out", str(tmp_path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        logs = []
        while process.poll() is None and not logs:
            logs = [path for path in tmp_path.glob("wire/*/*.dat.zst") if path.stat().st_size]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    said = json.loads(out)
    assert said["stats"]["waiting"] == 0
    read = list(open_session(Path(said["session"])))
    assert len(read) == said["stats"]["written"] > 0
    assert all(isinstance(item, WireLine) for item in read)


@pytest.mark.recording
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}")
def test_a_real_recording_keeps_its_lines_and_times(record):
    source = DATA / "2023-04-05_funding"
    code, out, _ = record("--session", source, "--virtual", "--json")
    said = json.loads(out)
    assert code == 0
    assert not said["synthetic"]
    kept = [(line.ts_recv_ns, line.payload) for line in open_session(Path(said["session"]))]
    assert kept == [(line.ts_recv_ns, line.payload) for line in open_session(source)]
