"""The operator's command line: it works with the daemon up, hung or dead, and says what it means."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adapters.clock import SystemClock
from adapters.heartbeat_board import HeartbeatBoard
from adapters.permit_board import OperatorBoard, PermitReader, PermitVerdict, PermitWriter
from supervision import operator_commands
from supervision.cli import build_parser, main
from tests.waiting import PATIENCE_S, free_port
from trading.brakes import Level

PROJECT = Path(__file__).resolve().parents[2]
CLOCK = SystemClock()
SECOND = 10**9


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("PROPDESK_") or name in {"API_PORT", "API_HOST", "DEFAULT_PROFILE"}:
            monkeypatch.delenv(name)


@pytest.fixture(name="free_port")
def _free_port():
    return free_port()


@pytest.fixture
def propdesk(tmp_path, capsys, free_port):
    def run(*words, port=free_port):
        code = main([*words, "--json", "--data-dir", str(tmp_path), "--set", f"server.port={port}"])
        return code, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def board(tmp_path):
    return tmp_path / "permit.board"


@pytest.fixture
def trading_desk(tmp_path, board):
    """The boards of a desk that trades: a valid permit, and beats."""
    writer = PermitWriter(board)
    epoch, ended = writer.next_epoch(), threading.Event()
    heart = HeartbeatBoard(tmp_path / "heartbeat.board").claim("desk", os.getpid())

    def beat():
        writer.renew(epoch, CLOCK.mono_ns() + 9 * SECOND, {})
        heart.beat(CLOCK.mono_ns())

    def live():
        while not ended.wait(0.05):
            beat()

    beat()

    living = threading.Thread(target=live)
    living.start()
    yield PermitReader(board)
    ended.set()
    living.join()


@pytest.fixture
def daemon_http(monkeypatch):
    """Something that answers as the desk's HTTP does, however slow the machine, and remembers what it was asked."""
    monkeypatch.setattr(operator_commands, "_HTTP_TIMEOUT_S", PATIENCE_S)
    asked = []

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            self.answer({"done": True, "text": "released"})

        def do_GET(self):
            self.answer({"global_mode": "RUN"})

        def answer(self, facts):
            raw = json.dumps(facts).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port, asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.req("P-SAFE-4")
def test_hold_stops_a_trading_desk_and_resume_lets_it_go_on(propdesk, trading_desk):
    assert trading_desk.check((), CLOCK.mono_ns(), 1) is PermitVerdict.GRANTED
    code, said = propdesk("hold", "news", "at", "two", "--actor", "alice")
    assert (code, said["done"], said["daemon"]) == (0, True, "up")
    assert (said["brake"]["cause"], said["brake"]["set_by"]) == ("news at two", "alice")
    assert "obey from now on" in said["text"]
    assert trading_desk.check((), CLOCK.mono_ns(), 1) is PermitVerdict.REFUSED_HOLD
    code, said = propdesk("resume", "--actor", "bob")
    assert (code, said["left"]) == (0, [])
    assert trading_desk.check((), CLOCK.mono_ns(), 1) is PermitVerdict.GRANTED


@pytest.mark.req("P-SAFE-14")
def test_status_says_whether_trading_is_permitted_and_why_not(propdesk, trading_desk):
    code, said = propdesk("status")
    assert (code, said["trading"], said["verdict"], said["daemon"]) == (0, True, "granted", "up")
    propdesk("hold", "--scope", "venue:binance", "--level", "pause")
    code, said = propdesk("status")
    assert (code, said["modes"]) == (0, {"venue:binance": "PAUSE"})
    propdesk("hold", "enough")
    code, said = propdesk("status")
    assert (code, said["verdict"]) == (1, "refused_hold")
    assert [b["cause"] for b in said["operators"]] == ["held by hand", "enough"]
    assert [c["name"] for c in said["cells"]] == ["desk"]


def test_hold_works_where_no_daemon_ever_ran(propdesk, board):
    code, said = propdesk("hold")
    assert (code, said["daemon"]) == (0, "dead")
    assert OperatorBoard(board).read()[0].level is Level.HOLD
    assert propdesk("status")[0] == 1


def test_hold_works_on_a_hung_daemon(propdesk, tmp_path):
    HeartbeatBoard(tmp_path / "heartbeat.board").claim("desk", os.getpid()).beat(CLOCK.mono_ns() - 60 * SECOND)
    code, said = propdesk("hold")
    assert (code, said["daemon"]) == (0, "hung")


def test_hold_works_with_a_broken_configuration_on_the_board_that_it_names(tmp_path, capsys):
    config = tmp_path / "desk.yaml"
    config.write_text(f"data_dir: {tmp_path}/data\nservr: {{}}\n")
    assert main(["hold", "--config", str(config)]) == 2
    assert "--data-dir" in capsys.readouterr().err
    PermitWriter(tmp_path / "data" / "permit.board")
    assert main(["hold", "--config", str(config)]) == 0
    assert "did you mean server" in capsys.readouterr().err
    assert OperatorBoard(tmp_path / "data" / "permit.board").read()[0].level is Level.HOLD


def test_hold_on_a_damaged_board_cannot_store_it_and_says_that_nothing_passes(propdesk, board):
    board.write_bytes(b"junk")
    code, said = propdesk("hold")
    assert code == 2
    assert "No order passes" in said["error"]
    assert propdesk("status")[1]["verdict"] == "refused_no_board"


def test_a_bad_scope_is_named(propdesk):
    code, said = propdesk("hold", "--scope", "venues:x")
    assert code == 2
    assert "venue:<venue>" in said["error"]


def test_resume_without_a_brake_says_no(propdesk):
    code, said = propdesk("resume")
    assert (code, said["done"]) == (1, False)
    assert "No operator's brake" in said["text"]


@pytest.mark.req("P-SAFE-4")
def test_a_kill_is_released_by_two_people_who_approve_the_same_hash(propdesk, board):
    _, said = propdesk("hold", "--level", "kill", "--actor", "alice")
    approved = said["brake"]["release_hash"]
    code, said = propdesk("resume", "--actor", "alice")
    assert (code, said["refused"][0]["reason"]) == (1, "second_identity_needed")
    code, said = propdesk("resume", "--actor", "alice", "--second", "alice", "--approve", approved)
    assert (code, said["refused"][0]["reason"]) == (1, "same_identity")
    code, said = propdesk("resume", "--actor", "alice", "--second", "bob", "--approve", "0")
    assert (code, said["refused"][0]["reason"]) == (1, "other_brake_approved")
    assert propdesk("resume", "--actor", "alice", "--second", "bob", "--approve", approved)[0] == 0
    assert OperatorBoard(board).read() == ()


def test_resume_all_takes_every_operators_brake_off(propdesk, board):
    for scope in ("global", "venue:okx", "strategy:maker"):
        propdesk("hold", "--scope", scope)
    assert propdesk("resume")[1]["left"] != []
    code, said = propdesk("resume", "--all")
    assert (code, said["left"]) == (0, [])
    assert OperatorBoard(board).read() == ()


def test_resume_asks_a_daemon_that_answers(propdesk, trading_desk, daemon_http):
    port, asked = daemon_http
    code, said = propdesk("resume", "all", "clear", "--actor", "alice", port=port)
    assert (code, said["daemon_answer"]["done"]) == (0, True)
    assert asked == [("/api/control", {"action": "resume", "scope": "global", "cause": "alice: all clear"})]
    assert propdesk("status", port=port)[1]["http"] == {"global_mode": "RUN"}


def test_unlock_asks_the_desk_for_that_venue_in_the_operators_name(propdesk, trading_desk, daemon_http):
    port, asked = daemon_http
    code, said = propdesk("unlock", "okx", "a", "new", "key", "--actor", "alice", port=port)
    assert (code, said["done"]) == (0, True)
    assert asked == [("/api/control", {"action": "unlock", "scope": "venue:okx", "cause": "alice: a new key"})]


def test_adopt_says_in_the_operators_name_what_the_difference_was(propdesk, trading_desk, daemon_http):
    port, asked = daemon_http
    code, said = propdesk("adopt", "okx", "a", "deposit", "--actor", "alice", port=port)
    assert (code, said["done"]) == (0, True)
    assert asked == [("/api/control", {"action": "adopt", "scope": "venue:okx", "cause": "alice: a deposit"})]


def test_unlock_without_a_desk_says_that_there_is_nothing_to_unlock(capsys, tmp_path):
    assert main(["unlock", "okx", "--data-dir", str(tmp_path)]) == 2
    assert "no desk runs" in capsys.readouterr().err


@pytest.mark.req("P-SAFE-14")
def test_status_and_resume_ask_the_port_that_the_running_desk_says_it_has(
    propdesk, tmp_path, trading_desk, daemon_http, free_port
):
    port, asked = daemon_http
    (tmp_path / "propdesk.port").write_text(f"{port}\n")
    assert propdesk("status", port=free_port)[1]["http"] == {"global_mode": "RUN"}
    assert propdesk("resume", port=free_port)[1]["daemon_answer"]["done"] is True
    assert len(asked) == 1


def test_the_port_of_a_desk_that_is_gone_is_not_asked(propdesk, tmp_path, daemon_http, free_port):
    (tmp_path / "propdesk.port").write_text(f"{daemon_http[0]}\n")
    assert propdesk("status", port=free_port)[1]["http"] is None


def test_a_daemon_that_accepts_and_never_answers_delays_nothing_but_half_a_second(propdesk, trading_desk):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        began = CLOCK.mono_ns()
        code, said = propdesk("status", port=mute.getsockname()[1])
    assert (code, said["http"]) == (0, None)
    assert CLOCK.mono_ns() - began < PATIENCE_S * SECOND


def test_doctor_answers_with_its_checks(propdesk):
    code, said = propdesk("doctor")
    assert code in {0, 1}
    assert {check["status"] for check in said["checks"]} <= {"ok", "warn", "fail"}


def test_a_wrong_key_is_a_finding_of_the_doctor(capsys):
    assert main(["doctor", "--set", "servr.port=1", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["checks"][-1]["name"] == "config"


def test_every_command_takes_json_and_says_what_it_is_for():
    commands = build_parser()._subparsers._group_actions[0].choices
    assert set(commands) >= {"run", "status", "hold", "resume", "doctor", "why", "replay", "bench", "drill", "journal"}
    for command in commands.values():
        assert command.description
        assert "--json" in command.format_help()


@pytest.mark.process
def test_the_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-m", "supervision", "hold", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "global is on HOLD" in done.stdout
    wrong = subprocess.run([*command[:3], "hodl"], cwd=PROJECT, capture_output=True, timeout=120, check=False)
    assert wrong.returncode == 2


@pytest.mark.process
@pytest.mark.parametrize("words", ["status", "doctor", "hold", "why nothing", "replay --duration 1", "--help"])
def test_a_reader_that_leaves_changes_neither_what_a_command_does_nor_its_exit_code(tmp_path, words):
    at = [] if words == "--help" else ["--data-dir", str(tmp_path)]
    command = [sys.executable, "-m", "supervision", *words.split(), *at]
    whole = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        said = process.stderr.read()
        process.wait(120)
    assert "BrokenPipe" not in said
    assert process.returncode == whole.returncode
    assert said == whole.stderr
