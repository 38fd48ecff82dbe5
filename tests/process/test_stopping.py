"""A desk that is given its time: it runs for so long, stops in order by itself and says so by its exit code."""

from __future__ import annotations

import pytest

from supervision.cli import build_parser
from supervision.root import alive
from tests.waiting import PATIENCE_S
from trading.brakes import Level


@pytest.mark.process
def test_a_desk_with_a_time_to_run_stops_in_order_by_itself(new_daemon):
    new_daemon.start("--for-s", "10")
    new_daemon.wait("its processes", lambda: len(new_daemon.tree()) > len(new_daemon.config.placement), PATIENCE_S)
    new_daemon.wait("its end", lambda: new_daemon.process.poll() is not None, PATIENCE_S)
    assert new_daemon.process.returncode == 0
    assert {pid for pid in new_daemon.seen if alive(pid)} == set()
    assert not new_daemon.paths.pid.exists()
    assert new_daemon.modes()["global"] is Level.HOLD
    assert "stopping: intake closed" in (new_daemon.directory / "desk.log").read_text()


@pytest.mark.parametrize("given", ["0", "-1", "inf", "nan", "soon"])
def test_what_is_no_length_of_time_is_refused(given, capsys):
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(["run", "--for-s", given])
    assert "--for-s" in capsys.readouterr().err
