"""The doctor: finds what would hurt, names the mend, shows no secret."""

from __future__ import annotations

import os
import socket

import pytest

from adapters.clock import SystemClock, VirtualClock
from adapters.config import ConfigError, load_config
from adapters.doctor import (
    Status,
    check_build,
    check_clock,
    check_directory,
    check_disk,
    check_fsync,
    check_native,
    check_permit_board,
    check_pid,
    check_port,
    check_python,
    check_secrets,
    examine,
    port_owner,
)
from adapters.permit_board import OperatorBoard, PermitWriter
from trading.brakes import Level

GONE = 2**22 + 1  # above the kernel's largest pid


@pytest.fixture
def config(tmp_path):
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = {"server.port": one.getsockname()[1], "admin_port": two.getsockname()[1]}
    return load_config(overrides={"data_dir": str(tmp_path), **ports})


@pytest.fixture
def listening():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_sound_machine_has_no_failure(config, tmp_path):
    tmp_path.chmod(0o700)
    checks = examine(config, {})
    assert [c for c in checks if c.status is Status.FAIL] == []
    assert {c.name for c in checks} >= {
        "python",
        "python build",
        "native code",
        "clock",
        "config",
        "disk",
        "fsync",
        "http port",
        "permit board",
    }
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_configuration_is_a_finding_and_not_a_crash():
    checks = examine(ConfigError("server.port", "not a number", "write a number"), {})
    assert checks[-1].status is Status.FAIL
    assert (checks[-1].text, checks[-1].mend) == ("server.port: not a number", "write a number")


@pytest.mark.parametrize(
    ("version", "status"), [((3, 10, 9), Status.FAIL), ((3, 12, 1), Status.OK), ((3, 15, 0), Status.WARN)]
)
def test_the_python_version(version, status):
    assert check_python(version).status is status


@pytest.mark.parametrize(
    ("configured", "prefix", "status"),
    [
        ("'--enable-optimizations' '--with-lto'", "/opt/python", Status.OK),
        (
            "'--enable-shared' '--prefix=/home/me/.pyenv/versions/3.12.1'",
            "/home/me/.pyenv/versions/3.12.1",
            Status.WARN,
        ),
        ("'--enable-shared' '--build=x86_64-linux-gnu'", "/usr", Status.OK),
        ("", "C:\\Python312", Status.OK),
    ],
)
def test_an_interpreter_that_was_compiled_without_optimisations_is_told_with_its_mend(configured, prefix, status):
    found = check_build(configured, prefix)
    assert found.status is status
    assert ("pyenv install" in found.mend) is (status is Status.WARN)


@pytest.mark.req("P-EXE-17")
@pytest.mark.parametrize(
    ("why_not", "status", "words"),
    [
        ("", Status.OK, "yes"),
        ("PROPDESK_NATIVE=0", Status.OK, "slower"),
        ("No module named 'native._marketdata'", Status.WARN, "slower"),
    ],
)
def test_python_in_the_place_of_c_is_told_with_what_it_costs_and_how_to_mend_it(why_not, status, words):
    found = check_native(why_not)
    assert found.status is status
    assert words in found.text
    assert why_not in found.text
    assert bool(found.mend) is (status is Status.WARN)


def test_a_clock_that_runs_backwards_fails():
    class Backwards(VirtualClock):
        ticks = iter((2, 1))

        def mono_ns(self):
            return next(self.ticks)

    assert check_clock(Backwards(0)).status is Status.FAIL
    assert check_clock(SystemClock()).status in {Status.OK, Status.WARN}


def test_a_port_in_use_names_its_owner(listening, tmp_path):
    found = check_port("http port", listening, tmp_path / "none.pid")
    assert found.status is Status.FAIL
    assert str(os.getpid()) in found.text
    assert f"({os.getpid()})" in port_owner(listening)
    (tmp_path / "desk.pid").write_text(f"{os.getpid()}\n")
    assert check_port("http port", listening, tmp_path / "desk.pid").status is Status.OK


def test_a_stale_pid_file_is_told_from_a_running_desk(tmp_path):
    path = tmp_path / "desk.pid"
    assert check_pid(path).status is Status.OK
    path.write_text(str(os.getpid()))
    assert check_pid(path).text == f"the desk runs as {os.getpid()}"
    path.write_text(str(GONE))
    assert "is gone" in check_pid(path).text
    path.write_text("x")
    assert check_pid(path).status is Status.WARN


def test_a_directory_that_others_may_write_is_warned_of(tmp_path):
    tmp_path.chmod(0o777)
    assert check_directory(tmp_path).status is Status.WARN
    tmp_path.chmod(0o700)
    assert check_directory(tmp_path).status is Status.OK
    assert check_directory(tmp_path / "a" / "b").text.endswith("will be made")


def test_disk_and_fsync_are_measured(tmp_path):
    assert "GiB free" in check_disk(tmp_path / "later").text
    assert "median" in check_fsync(tmp_path, SystemClock()).text


def test_the_permit_board_is_described_and_a_damaged_one_fails(tmp_path):
    path = tmp_path / "permit.board"
    assert check_permit_board(path, SystemClock()).status is Status.OK
    writer = PermitWriter(path)
    writer.renew(writer.next_epoch(), SystemClock().mono_ns() + 10**9, {})
    OperatorBoard(path).set("venue:okx", Level.HOLD, "", "alice", 1)
    text = check_permit_board(path, SystemClock()).text
    assert text == "epoch 1, permit valid, operators: venue:okx HOLD by alice"
    path.write_bytes(b"junk")
    assert check_permit_board(path, SystemClock()).status is Status.FAIL


def test_secrets_are_named_and_never_shown(config):
    found = check_secrets(config, {"BINANCE_KEY": "hunter2", "BINANCE_SECRET": ""})
    assert found.status is Status.WARN
    assert "BINANCE_KEY" in found.text
    assert "BINANCE_SECRET" not in found.text
    assert "hunter2" not in repr(found)
    talking = load_config(overrides={"telegram.allowed_chat_ids": [1]})
    assert check_secrets(talking, {}).status is Status.FAIL
    assert check_secrets(talking, {"TELEGRAM_BOT_TOKEN": "t"}).status is Status.OK
