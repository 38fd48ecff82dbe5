"""The heartbeat board: one slot per name, beats seen by other processes, dead claimers forgotten."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.heartbeat_board import SIZE, SLOTS_MAX, Beat, BeatState, HeartbeatBoard

PROJECT = Path(__file__).resolve().parents[2]
NOBODY = 2**22 + 1  # above the kernel's largest pid


@pytest.fixture
def path(tmp_path):
    return tmp_path / "heartbeat.board"


def test_a_beat_is_seen_by_every_reader_of_the_board(path):
    slot = HeartbeatBoard(path).claim("desk", 10)
    reader = HeartbeatBoard(path)
    assert reader.read() == [Beat(name="desk", pid=10, mono_ns=0, state=BeatState.STARTING, incarnation=1)]
    slot.beat(77)
    assert reader.read() == [Beat(name="desk", pid=10, mono_ns=77, state=BeatState.RUNNING, incarnation=1)]
    slot.beat(78, BeatState.HELD)
    assert reader.read()[0].state is BeatState.HELD


def test_a_restarted_process_takes_the_place_of_the_one_before(path):
    board = HeartbeatBoard(path)
    board.claim("desk", 10).beat(5)
    board.claim("venue:binance", 11)
    assert board.claim("desk", 12).incarnation == 2
    assert [(b.name, b.pid, b.mono_ns) for b in board.read()] == [("desk", 12, 0), ("venue:binance", 11, 0)]


def test_a_full_board_gives_away_the_slots_of_the_dead_only(path):
    board = HeartbeatBoard(path)
    for number in range(SLOTS_MAX - 1):
        board.claim(f"cell-{number}", os.getpid())
    board.claim("gone", NOBODY)
    board.claim("new", os.getpid())
    assert "gone" not in {b.name for b in board.read()}
    with pytest.raises(RuntimeError, match="living"):
        board.claim("one-more", os.getpid())


BEATING = """
import sys
from pathlib import Path
from adapters.heartbeat_board import HeartbeatBoard
slot = HeartbeatBoard(Path(sys.argv[1])).claim("root", 10)
for mono_ns in range(7_183_000_000_000, 7_183_000_000_000 + 200_000 * 1_000_003, 1_000_003):
    slot.beat(mono_ns)
"""


@pytest.mark.req("P-EXE-19")
def test_no_reader_sees_half_a_beat(path):
    board = HeartbeatBoard(path)
    board.claim("root", 10).beat(1)
    beating = subprocess.Popen([sys.executable, "-c", BEATING, str(path)], cwd=PROJECT)
    while board.read()[0].incarnation == 1 or board.read()[0].mono_ns == 0:
        assert beating.poll() is None
    seen = []
    while beating.poll() is None:
        seen.append(board.read()[0].mono_ns)
    assert min(seen) >= 7_183_000_000_000
    assert seen == sorted(seen)


@pytest.mark.parametrize("name", ["", "x" * 33, "a\0b"])
def test_bad_names_are_refused(path, name):
    with pytest.raises(ValueError, match="1 to 32 bytes"):
        HeartbeatBoard(path).claim(name, 1)


@pytest.mark.parametrize("content", [b"", b"x" * SIZE])
def test_a_foreign_file_is_made_anew(path, content):
    path.write_bytes(content)
    HeartbeatBoard(path).claim("desk", 1)
    assert [b.name for b in HeartbeatBoard(path).read()] == ["desk"]


def test_a_claim_that_was_killed_half_way_is_left_out_and_claimed_again(path):
    board = HeartbeatBoard(path)
    board.claim("desk", 10)
    raw = bytearray(path.read_bytes())
    raw[64] |= 1
    path.write_bytes(raw)
    assert board.read() == []
    assert board.claim("desk", 11).incarnation == 2
    assert [b.pid for b in board.read()] == [11]


@pytest.mark.process
def test_another_process_beats(path):
    code = (
        "import sys; from pathlib import Path; from adapters.heartbeat_board import HeartbeatBoard\n"
        "HeartbeatBoard(Path(sys.argv[1])).claim('ops', 42).beat(99)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=PROJECT, check=True, timeout=120)
    (beat,) = HeartbeatBoard(path).read()
    assert (beat.name, beat.pid, beat.mono_ns) == ("ops", 42, 99)
