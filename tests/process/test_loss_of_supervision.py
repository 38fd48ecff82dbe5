"""A desk whose root is killed, that is dead, that hangs: nobody trades unsupervised, and HOLD works all the same.

The tests run in order, on the same data directory. How fast all this is, the drills measure: here a busy machine may
take its time, but nobody may send an order in it.
"""

from __future__ import annotations

import os
import signal

import pytest

from adapters.heartbeat_board import HeartbeatBoard
from supervision.root import alive
from tests.waiting import PATIENCE_S
from trading.brakes import Level

pytestmark = pytest.mark.process
ORDERS = "simulated"
"""Filled inside the cells, so that this way of trading has real desks under test too."""


@pytest.mark.req("P-HA-10", "P-SAFE-1")
def test_without_its_root_the_desk_ends_at_once_and_as_a_failure(daemon):
    everybody = daemon.tree()
    root = daemon.pids()["root"]
    os.kill(root, signal.SIGKILL)
    daemon.wait("its end", lambda: not alive(root), PATIENCE_S)
    # The kernel ended its children with it: a process that has a SIGKILL waiting runs no line of ours any more.
    gone_ns = daemon.clock.mono_ns()
    assert daemon.process.wait(PATIENCE_S) == 1
    daemon.wait("the end of all", lambda: not any(alive(pid) for pid in everybody), PATIENCE_S)
    daemon.wait("the end of the permit", lambda: daemon.modes().get("global") is Level.HOLD, PATIENCE_S)
    assert daemon.sent_after(gone_ns) == 0


@pytest.mark.req("P-SAFE-4", "P-SAFE-14")
def test_a_dead_desk_can_be_held_and_the_next_one_starts_under_that_hold(daemon):
    code, said = daemon.propdesk("status")
    assert (code, said["trading"], said["daemon"]) == (1, False, "dead")
    code, said = daemon.propdesk("hold", "not", "tonight")
    assert (code, said["daemon"]) == (0, "dead")
    orders = len(daemon.sent())
    daemon.start()
    daemon.wait("HTTP", lambda: daemon.get("/api/health") is not None, PATIENCE_S)
    daemon.wait("the remembered hold", lambda: _mode(daemon) == "hold", PATIENCE_S)
    daemon.tree()
    venues = {f"venue:{venue}" for venue in daemon.config.venues}
    daemon.wait("reconciliation", lambda: not venues & set(daemon.modes()), PATIENCE_S)
    assert len(daemon.sent()) == orders
    code, _ = daemon.propdesk("resume", "--actor", "bob")
    assert code == 0
    daemon.wait("an order", lambda: len(daemon.sent()) > orders, PATIENCE_S)


@pytest.mark.req("P-SAFE-4", "P-SAFE-14")
def test_a_hung_desk_can_be_held_and_sends_nothing_when_it_wakes(daemon):
    everybody = daemon.tree()
    daemon.signal_all(signal.SIGSTOP)
    try:
        daemon.wait("its beats to be old", lambda: daemon.propdesk("status")[1]["daemon"] == "hung", PATIENCE_S)
        code, said = daemon.propdesk("hold", "it", "hangs")
        held_ns = daemon.clock.mono_ns()
        assert (code, said["daemon"]) == (0, "hung")
        assert daemon.propdesk("status")[1]["trading"] is False
        code, said = daemon.propdesk("resume", "--scope", "venue:binance")
        assert (code, said["daemon"]) == (1, "hung")
    finally:
        for pid in everybody:
            if alive(pid):
                os.kill(pid, signal.SIGCONT)
    # Each knows that it slept itself, so nobody is taken for hung: the desk goes on as it was, under the hold.
    woken_ns = daemon.clock.mono_ns()
    daemon.wait("everybody's beats", lambda: _beat_after(daemon, woken_ns), PATIENCE_S)
    daemon.wait("its own view", lambda: _mode(daemon) == "hold", PATIENCE_S)
    daemon.process.send_signal(signal.SIGINT)
    daemon.process.wait(PATIENCE_S)
    daemon.wait("the end of all", lambda: not any(alive(pid) for pid in daemon.seen), PATIENCE_S)
    assert daemon.sent_after(held_ns) == 0


@pytest.mark.req("P-HA-10", "P-SAFE-1")
@pytest.mark.parametrize("who", ["starter", "admin"])
def test_nothing_outlives_the_processes_that_started_it(new_daemon, who):
    desk = new_daemon
    desk.start()
    desk.wait("trading", desk.trading, PATIENCE_S)
    everybody = desk.tree()
    assert len(everybody) >= 3 + len(desk.config.placement)
    os.kill({"starter": desk.process.pid, "admin": desk.pids()["admin"]}[who], signal.SIGKILL)
    assert desk.process.wait(PATIENCE_S) != 0
    desk.wait("the end of all", lambda: not any(alive(pid) for pid in everybody), PATIENCE_S)
    desk.wait("the end of the permit", lambda: desk.modes().get("global") is Level.HOLD, PATIENCE_S)


@pytest.mark.req("P-HA-10", "P-SAFE-4")
def test_a_cell_that_was_given_up_means_hold_and_comes_back_when_a_person_lifts_it(new_daemon):
    desk = new_daemon
    desk.config_path.write_text(desk.config_path.read_text() + "supervision: {intensity: 0}\n")
    desk.start()
    desk.wait("trading", desk.trading, PATIENCE_S)
    desk.tree()
    given_up = desk.pids()["ops"]
    os.kill(given_up, signal.SIGKILL)
    desk.wait("HOLD", lambda: desk.modes().get("global") is Level.HOLD, PATIENCE_S)
    code, said = desk.propdesk("status")
    assert (code, said["operators"][0]["set_by"]) == (1, "root")
    assert "ops failed 1 times" in said["operators"][0]["cause"]
    assert desk.pids().get("ops") in {None, given_up}
    assert desk.propdesk("resume", "--actor", "bob")[0] == 0
    desk.wait("a new ops", lambda: desk.pids().get("ops") not in {None, given_up}, PATIENCE_S)
    desk.wait("trading", desk.trading, PATIENCE_S)


def _mode(daemon):
    return (daemon.get("/api/ui/control-state") or {}).get("global_mode")


def _beat_after(daemon, mono_ns):
    beats = {b.name: b.mono_ns for b in HeartbeatBoard(daemon.paths.heartbeat).read()}
    return all(beats[name] > mono_ns for name in ("root", *daemon.config.placement))
