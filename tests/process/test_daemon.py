"""One real desk, hurt in every way that it must survive, then stopped. The tests run in order, on the same desk."""

from __future__ import annotations

import os
import signal

import pytest

from actors.messages import DrillFault, VenueDown
from adapters.free_ports import free_port
from adapters.permit_board import PermitReader
from supervision.drill_audit import audit
from supervision.root import alive
from tests.waiting import PATIENCE_S
from trading.brakes import GLOBAL, Level

pytestmark = pytest.mark.process

LOOPBACK = "0100007F"
VENUE = "binanceusdm"
CELL = f"venue-{VENUE}"


@pytest.mark.req("P-API-2", "P-SAFE-1")
def test_it_says_over_http_that_it_trades(daemon):
    daemon.wait("readiness", lambda: (daemon.get("/live-readiness") or {}).get("ready") is True, PATIENCE_S)
    state = daemon.get("/api/ui/control-state")
    assert state["global_mode"] == "run"


def test_every_socket_of_every_process_is_on_loopback(daemon):
    listening = daemon.listening()
    pids = {pid for pid, _ in listening}
    # admin, root, cells: each has its own; the logger of the outer tree too.
    assert set(daemon.pids().values()) <= pids
    assert len(daemon.pids()) == 2 + len(daemon.config.placement)
    assert {address.rpartition(":")[0] for _, address in listening} == {LOOPBACK}
    ports = {int(address.rpartition(":")[2], 16) for _, address in listening}
    assert {daemon.port, daemon.admin_port} <= ports


@pytest.mark.req("P-HA-3")
def test_a_second_desk_on_the_same_data_is_refused_in_one_line(daemon, run_propdesk):
    code, _, err = run_propdesk("run", "--config", str(daemon.config_path))
    assert code == 2
    assert err.strip().splitlines() == [err.strip()]
    assert "another desk" in err
    assert str(daemon.process.pid) in err
    assert daemon.process.poll() is None
    daemon.wait("the first goes on", daemon.trading, PATIENCE_S)


def test_a_taken_admin_port_is_named(daemon, run_propdesk, tmp_path):
    code, _, err = run_propdesk(
        "run", "--data-dir", str(tmp_path), "--port", str(free_port()), "--admin-port", str(daemon.admin_port)
    )
    assert code == 2
    assert err.strip().splitlines() == [err.strip()]
    assert f"admin_port {daemon.admin_port}" in err
    assert daemon.process.poll() is None
    daemon.wait("the desk goes on", daemon.trading, PATIENCE_S)


@pytest.mark.req("P-HA-10")
def test_without_ops_orders_go_on_and_ops_comes_back(daemon):
    old = daemon.pids()
    os.kill(old["ops"], signal.SIGKILL)
    killed_ns = daemon.clock.mono_ns()
    braked = set()

    def orders(more_than):
        # Of the whole desk, by whomever, for however short: a venue may be in doubt of its own just then.
        braked.add(PermitReader(daemon.paths.board).modes().get(GLOBAL, Level.RUN))
        return daemon.sent_after(killed_ns) > more_than

    daemon.wait("an order without ops", lambda: orders(0), PATIENCE_S)
    daemon.wait("a new ops", lambda: daemon.pids().get("ops") not in {None, old["ops"]}, PATIENCE_S)
    daemon.wait("HTTP", lambda: daemon.get("/api/health") is not None, PATIENCE_S)
    assert {name: pid for name, pid in daemon.pids().items() if name != "ops"} == {
        name: pid for name, pid in old.items() if name != "ops"
    }
    daemon.wait("more orders", lambda: orders(2), PATIENCE_S)
    assert braked == {Level.RUN}
    # Late data holds a market for a moment on a busy machine; what a person has to lift would stay.
    daemon.wait("no brake that stays", lambda: _staying(daemon) == [], PATIENCE_S)


@pytest.mark.req("P-SAFE-4", "P-SAFE-14")
def test_hold_stops_orders_at_once_status_says_so_and_resume_lets_go(daemon):
    code, said = daemon.propdesk("hold", "a", "test", "--actor", "alice")
    held_ns = daemon.clock.mono_ns()
    assert (code, said["daemon"]) == (0, "up")
    code, said = daemon.propdesk("status")
    assert (code, said["trading"], said["verdict"]) == (1, False, "refused_hold")
    assert [b["cause"] for b in said["operators"]] == ["a test"]
    daemon.wait("its own view", lambda: _mode(daemon) == "hold", PATIENCE_S)
    assert daemon.sent_after(held_ns) == 0
    code, said = daemon.propdesk("resume", "--actor", "bob")
    assert (code, said["left"]) == (0, [])
    daemon.wait("an order after resume", lambda: daemon.sent_after(held_ns) > 0, PATIENCE_S)
    assert daemon.propdesk("status")[0] == 0


@pytest.mark.req("P-SAFE-14")
def test_status_asks_the_port_that_the_desk_has_and_every_process_of_it_beats(daemon):
    def said():
        return daemon.propdesk("status", "--set", "server.port=1")[1]

    daemon.wait("an answer", lambda: said()["http"] is not None, PATIENCE_S)
    assert {cell["name"] for cell in said()["cells"]} == {"root", "admin", *daemon.config.placement}
    daemon.wait("beats of all", lambda: all(cell["age_ms"] < 1_000 for cell in said()["cells"]), PATIENCE_S)


def test_unlock_reaches_the_gateway_which_says_that_nothing_is_locked(daemon):
    code, said = daemon.propdesk("unlock", VENUE, "a", "test", "--actor", "alice")
    assert (code, "is not locked" in said["text"]) == (1, True)

    def told():
        events = (daemon.get("/api/ui/events") or {}).get("events", ())
        return any(event["code"] == "OPERATOR:unlock" and "alice: a test" in event["text"] for event in events)

    daemon.wait("its trace", told, PATIENCE_S)


@pytest.mark.req("P-HA-10")
def test_a_watcher_that_was_given_up_is_held_by_name_and_resume_starts_it_again(daemon):
    guard = f"guard.{VENUE}"

    def state():
        cells = (daemon.get("/api/ui/tree") or {}).get("cells", {})
        rows = [child for cell in cells.values() for branch in cell["children"] for child in branch["children"]]
        return next((child["state"] for child in rows if child["id"] == guard), None)

    def given_up():
        # It fails at its next word, whatever that is; a message that finds it away is lost.
        daemon.tell("ops", [(guard, DrillFault(kind="raise", target=guard)), (guard, VenueDown(venue=VENUE))])
        brakes = (daemon.get("/api/ui/control-state") or {}).get("brakes", ())
        return any(b["code"] == f"RESTART:{guard}" and b["release"] == "operator" for b in brakes)

    daemon.wait("its end", given_up, PATIENCE_S)
    daemon.wait("held", lambda: state() == "held", PATIENCE_S)
    assert not daemon.trading()
    code, said = daemon.propdesk("resume", "--scope", f"venue:{VENUE}", "--actor", "alice")
    assert (code, f"RESTART:{guard}" in said["text"]) == (0, True)
    daemon.wait("a new one", lambda: state() == "running", PATIENCE_S)
    daemon.wait("trading again", daemon.trading, PATIENCE_S)


@pytest.mark.req("P-EXE-19", "P-HA-10")
def test_a_hung_venue_is_killed_and_trades_again_within_five_seconds(daemon):
    old = daemon.pids()
    os.kill(old[CELL], signal.SIGSTOP)
    took_ms = daemon.paced_ms("its end", lambda: not alive(old[CELL]))
    assert took_ms < 2_000
    took_ms += daemon.paced_ms("a new cell", lambda: daemon.pids().get(CELL) not in {None, old[CELL]})
    took_ms += daemon.paced_ms("reconciliation", daemon.trading)
    assert took_ms < 5_000
    back_ns = daemon.clock.mono_ns()
    assert {n: p for n, p in daemon.pids().items() if n != CELL} == {n: p for n, p in old.items() if n != CELL}
    daemon.wait("an order there", lambda: daemon.sent_after(back_ns, VENUE) > 0, PATIENCE_S)


@pytest.mark.req("P-HA-10", "P-HA-6", "P-SAFE-2")
def test_a_killed_desk_holds_first_and_then_trades_again_whoever_died_beside_it(daemon):
    old = daemon.pids()
    # Both ends come at once: a supervisor that hears of one while it is busy with the other must not forget it.
    os.kill(old["ops"], signal.SIGKILL)
    os.kill(old["desk"], signal.SIGKILL)
    took_ms = daemon.paced_ms("a hold", daemon.holds)
    took_ms += daemon.paced_ms("a new desk", lambda: daemon.pids().get("desk") not in {None, old["desk"]})
    took_ms += daemon.paced_ms("a new ops", lambda: daemon.pids().get("ops") not in {None, old["ops"]})
    took_ms += daemon.paced_ms("reconciliation", daemon.trading)
    assert took_ms < 8_000
    back_ns = daemon.clock.mono_ns()
    daemon.wait("an order", lambda: daemon.sent_after(back_ns) > 0, PATIENCE_S)


@pytest.mark.req("P-ORD-1", "P-ORD-3")
def test_ctrl_c_ends_every_process_in_time_and_nothing_was_doubled_or_lost(daemon):
    daemon.tree()
    daemon.wait("a fill", lambda: daemon.fills() > 0, PATIENCE_S)
    daemon.wait("a valid permit", daemon.trading, PATIENCE_S)
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.paced_ms("its end", lambda: daemon.process.poll() is not None) < 10_000
    assert daemon.process.returncode == 0
    assert {pid for pid in daemon.seen if alive(pid)} == set()
    assert daemon.modes()["global"] is Level.HOLD
    found = audit(daemon.paths, tuple(daemon.config.venues))
    assert (found.duplicated_orders, found.lost_fills, found.fills > 0) == (0, 0, True)
    names = [name for _, name in daemon.sent()]
    assert len(names) == len(set(names)) > 3
    # Nothing that rested was left behind.
    assert daemon.propdesk("status")[1]["daemon"] == "dead"


def _staying(daemon):
    """Brakes that nothing lifts by itself; None when nobody answers."""
    brakes = (daemon.get("/api/ui/control-state") or {}).get("brakes")
    return None if brakes is None else [brake for brake in brakes if brake["release"] != "auto"]


def _mode(daemon):
    return (daemon.get("/api/ui/control-state") or {}).get("global_mode")
