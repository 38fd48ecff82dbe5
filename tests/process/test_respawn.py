"""A desk under its watcher: when it fails it is started again, with what it was started with."""

from __future__ import annotations

import os
import signal

import pytest

from supervision.root import alive
from tests.waiting import PATIENCE_S


@pytest.mark.process
@pytest.mark.req("P-HA-10")
def test_a_failed_desk_trades_again_as_it_was_whatever_became_of_its_configuration(new_daemon):
    new_daemon.start("--respawn")
    new_daemon.wait_trading(orders=3, timeout_s=2 * PATIENCE_S)
    first = new_daemon.tree() - {new_daemon.process.pid}
    new_daemon.config_path.write_text("profile: [half\n")
    old = new_daemon.pids()
    os.kill(old["root"], signal.SIGKILL)
    killed_ns = new_daemon.clock.mono_ns()
    new_daemon.wait("the end of the first", lambda: not any(alive(pid) for pid in first), PATIENCE_S)
    new_daemon.wait("another root", lambda: new_daemon.pids().get("root") not in {None, old["root"]}, PATIENCE_S)
    new_daemon.wait_trading(orders=len(new_daemon.sent("binanceusdm")) + 1, timeout_s=2 * PATIENCE_S)
    assert new_daemon.sent_after(killed_ns) > 0
    assert new_daemon.process.poll() is None
    new_daemon.tree()
    new_daemon.process.send_signal(signal.SIGINT)
    assert new_daemon.process.wait(PATIENCE_S) == 0
    new_daemon.wait("the end of all", lambda: not any(alive(pid) for pid in new_daemon.seen), PATIENCE_S)
    assert (new_daemon.directory / "desk.log").read_text().count("starting it again") == 1


@pytest.mark.process
def test_a_desk_that_could_not_be_started_is_not_started_again(new_daemon):
    new_daemon.config_path.write_text("profile: paper\nserver: {port: none}\n")
    new_daemon.start("--respawn")
    assert new_daemon.process.wait(2 * PATIENCE_S) == 2
    said = (new_daemon.directory / "desk.log").read_text()
    assert "server.port" in said
    assert "again" not in said
