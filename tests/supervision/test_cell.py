"""A cell that must leave leaves: whatever stands in its way, it does not go on unsupervised."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.permit_board import PermitReader, PermitVerdict, PermitWriter
from supervision.cell import EXIT_ORPHANED

PROJECT = Path(__file__).resolve().parents[2]
LEAVE = """
import sys
from pathlib import Path
from adapters.wirelog import SessionFacts
from supervision.cell import CellRuntime
from supervision.plan import CellPlan, paths_of

roles = ("desk",)
plan = CellPlan(
    cell="desk", roles=roles, placement={"desk": roles}, paths=paths_of(Path(sys.argv[1])), config=b"", anchor_ns=0,
    facts=SessionFacts(), root_pid=1, heartbeat_ms=100, orphan_ms=500,
)
CellRuntime(plan).fence("a test")
"""


@pytest.fixture
def leave(tmp_path):
    """The desk's cell fences itself in a process of its own; its exit code and its last words."""

    def run():
        command = [sys.executable, "-c", LEAVE, str(tmp_path)]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stderr

    return run


@pytest.mark.process
@pytest.mark.req("P-HA-10", "P-SAFE-4")
def test_a_cell_takes_the_permit_along(leave, tmp_path):
    board = tmp_path / "permit.board"
    writer = PermitWriter(board)
    writer.renew(writer.next_epoch(), 2**62, {})
    assert leave()[0] == EXIT_ORPHANED
    assert PermitReader(board).check((), 0, 1) is PermitVerdict.REFUSED_EXPIRED


@pytest.mark.process
@pytest.mark.req("P-HA-10", "P-SAFE-4")
def test_a_cell_leaves_though_the_board_is_busy(leave, tmp_path):
    PermitWriter(tmp_path / "permit.board")
    with (tmp_path / "permit.board.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, said = leave()
    assert code == EXIT_ORPHANED
    assert "will expire" in said
    assert "Traceback" not in said
