"""The permit board: nothing passes without a valid permit, whoever was killed, hung or overwritten."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import subprocess
import sys
import timeit
from pathlib import Path

import pytest

from adapters.board_file import boot_hash
from adapters.permit_board import (
    LEASE_NS_MAX,
    BoardDamagedError,
    EpochFencedError,
    OperatorBoard,
    PermitReader,
    PermitVerdict,
    PermitWriter,
)
from adapters.permit_layout import CAUSE_BYTES_MAX, OPERATOR_BRAKES_MAX, SIZE, Board
from trading.brakes import BrakeChanged, Level, Release, ReleaseRefused, release_hash

PROJECT = Path(__file__).resolve().parents[2]
NOW = 1_000_000_000_000
TTL = 500_000_000
SCOPES = ("global", "venue:binance", "symbol:BINANCE:SPOT:BTC-USDT", "strategy:maker")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "permit.board"


@pytest.fixture
def granted(path):
    writer = PermitWriter(path)
    epoch = writer.next_epoch()
    writer.renew(epoch, NOW + TTL, {})
    return writer


def run(code: str, *args: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stdin=subprocess.PIPE)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_renewed_permit_grants_until_it_expires(path, granted):
    reader = PermitReader(path)
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.GRANTED
    assert reader.check(SCOPES, NOW + TTL - 1, 1) is PermitVerdict.GRANTED
    assert reader.check(SCOPES, NOW + TTL, 1) is PermitVerdict.REFUSED_EXPIRED
    granted.renew(1, NOW + 2 * TTL, {})
    assert reader.check(SCOPES, NOW + TTL, 1) is PermitVerdict.GRANTED


def test_a_board_that_never_had_a_permit_grants_nothing(path):
    PermitWriter(path)
    assert PermitReader(path).check(SCOPES, NOW, 0) is PermitVerdict.REFUSED_EXPIRED
    assert PermitReader(path).check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_EXPIRED


def test_a_reader_without_a_board_refuses_and_finds_the_board_when_it_comes(path):
    reader = PermitReader(path)
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_NO_BOARD
    assert "no permit" in reader.problem
    PermitWriter(path).renew(1, NOW + TTL, {})
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.GRANTED
    assert reader.problem == ""


@pytest.mark.req("P-SAFE-4")
@pytest.mark.parametrize("scope", SCOPES)
def test_the_worst_level_on_any_scope_of_the_order_decides(path, granted, scope):
    reader = PermitReader(path)
    verdicts = []
    for level in Level:
        granted.renew(1, NOW + TTL, {scope: level, "venue:other": Level.KILL})
        verdicts.append(reader.check(SCOPES, NOW, 1))
    assert verdicts == [
        PermitVerdict.GRANTED,
        PermitVerdict.SAFE_ONLY,
        PermitVerdict.REDUCE_ONLY,
        PermitVerdict.REFUSED_HOLD,
        PermitVerdict.REFUSED_KILL,
    ]


def test_what_a_verdict_admits():
    def admitted(verdict):
        return [
            verdict.admits(post_only=False, reduce_only=False),
            verdict.admits(post_only=True, reduce_only=False),
            verdict.admits(post_only=False, reduce_only=True),
            verdict.admits(post_only=False, reduce_only=True, by_operator=True),
        ]

    assert admitted(PermitVerdict.GRANTED) == [True, True, True, True]
    assert admitted(PermitVerdict.SAFE_ONLY) == [False, True, True, True]
    assert admitted(PermitVerdict.REDUCE_ONLY) == [False, False, True, True]
    assert admitted(PermitVerdict.REFUSED_HOLD) == [False, False, False, True]
    assert admitted(PermitVerdict.REFUSED_KILL) == [False, False, False, True]
    for verdict in ("EXPIRED", "BOOT", "EPOCH", "TORN", "NO_BOARD"):
        assert admitted(PermitVerdict[f"REFUSED_{verdict}"]) == [False] * 4


@pytest.mark.req("P-HA-1")
def test_an_old_leader_that_wakes_up_is_fenced_and_so_are_its_orders(path, granted):
    reader = PermitReader(path)
    new_leader = PermitWriter(path)
    assert new_leader.next_epoch() == 2
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_EPOCH
    with pytest.raises(EpochFencedError) as fenced:
        granted.renew(1, NOW + 9 * TTL, {})
    assert (fenced.value.epoch, fenced.value.newest) == (1, 2)
    assert pickle.loads(pickle.dumps(fenced.value)).newest == 2
    new_leader.renew(2, NOW + TTL, {})
    granted.revoke()
    assert reader.check(SCOPES, NOW, 2) is PermitVerdict.GRANTED
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_EPOCH
    assert reader.check(SCOPES, NOW, 3) is PermitVerdict.REFUSED_EPOCH


def test_a_revoked_permit_grants_nothing(path, granted):
    reader = PermitReader(path)
    granted.revoke()
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_EXPIRED


def test_a_permit_of_another_boot_or_of_an_absurd_future_grants_nothing(path, granted):
    reader = PermitReader(path)
    Board(path).set_lease(1, b"otherone", NOW + TTL, b"")
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_BOOT
    Board(path).set_lease(1, boot_hash(), NOW + LEASE_NS_MAX + 1, b"")
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_BOOT


@pytest.mark.req("P-HA-1")
def test_epochs_from_many_processes_at_once_are_all_different(path):
    PermitWriter(path)
    code = (
        "import sys; from pathlib import Path; from adapters.permit_board import PermitWriter\n"
        "w = PermitWriter(Path(sys.argv[1]))\n"
        "print(*[w.next_epoch() for _ in range(10)])"
    )
    processes = [run(code, path) for _ in range(3)]
    epochs = [int(word) for process in processes for word in process.communicate(timeout=120)[0].split()]
    assert sorted(epochs) == list(range(1, 31))
    assert PermitWriter(path).newest_epoch() == 30


def test_the_epoch_starts_above_what_the_journal_knows(path):
    assert PermitWriter(path, epoch_floor=41).next_epoch() == 42


# --- Operators -----------------------------------------------------------------------------------------


@pytest.mark.req("P-SAFE-4")
def test_an_operators_hold_works_without_the_governor_and_outlives_it(path, granted):
    reader = PermitReader(path)
    operators = OperatorBoard(path)
    stands = operators.set("global", Level.HOLD, "lunch", "alice", 7)
    assert (stands.cause, stands.set_by, stands.since_ns, stands.release) == ("lunch", "alice", 7, Release.OPERATOR)
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_HOLD
    granted.renew(1, NOW + TTL, {"global": Level.SAFE})
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_HOLD
    assert PermitReader(path).modes() == {"global": Level.HOLD}
    reborn = PermitWriter(path)
    reborn.renew(reborn.next_epoch(), NOW + TTL, {})
    assert reader.check(SCOPES, NOW, 2) is PermitVerdict.REFUSED_HOLD
    (released,) = operators.clear("global", "bob", None, 8)
    assert isinstance(released, BrakeChanged)
    assert reader.check(SCOPES, NOW, 2) is PermitVerdict.GRANTED


def test_an_operator_can_hold_before_any_desk_ever_ran(path):
    OperatorBoard(path).set("venue:binance", Level.PAUSE, "", "alice", 7)
    assert path.stat().st_mode & 0o777 == 0o600
    writer = PermitWriter(path)
    writer.renew(writer.next_epoch(), NOW + TTL, {})
    assert PermitReader(path).check(SCOPES, NOW, 1) is PermitVerdict.REDUCE_ONLY
    assert PermitReader(path).check(("venue:okx",), NOW, 1) is PermitVerdict.GRANTED


def test_asking_for_less_does_not_loosen_what_stands(path):
    operators = OperatorBoard(path)
    operators.set("global", Level.HOLD, "first", "alice", 7)
    assert operators.set("global", Level.SAFE, "second", "bob", 8).level is Level.HOLD
    assert [b.cause for b in operators.read()] == ["first"]


@pytest.mark.req("P-SAFE-4")
def test_an_operators_kill_takes_two_people_to_release(path):
    operators = OperatorBoard(path)
    kill_brake = operators.set("global", Level.KILL, "enough", "alice", 7)
    (refused,) = operators.clear("global", "alice", None, 8)
    assert isinstance(refused, ReleaseRefused)
    assert operators.read() == (kill_brake,)
    (released,) = operators.clear("global", "alice", ("bob", release_hash(kill_brake)), 9)
    assert isinstance(released, BrakeChanged)
    assert operators.read() == ()


def test_causes_are_cut_at_a_whole_character_and_scopes_are_checked(path):
    operators = OperatorBoard(path)
    operators.set("global", Level.HOLD, "я" * 500, "ж" * 50, 7)
    (stands,) = operators.read()
    assert stands.cause == "я" * (CAUSE_BYTES_MAX // 2)
    assert stands.set_by == "ж" * 16
    with pytest.raises(ValueError, match="no scope"):
        operators.set("venues:x", Level.HOLD, "", "alice", 7)


def test_more_operator_brakes_than_fit_hold_everything(path):
    operators = OperatorBoard(path)
    for number in range(OPERATOR_BRAKES_MAX + 5):
        operators.set(f"strategy:s{number}", Level.SAFE, "", "alice", number)
    assert len(operators.read()) == OPERATOR_BRAKES_MAX
    assert PermitReader(path).modes()["global"] is Level.HOLD


@pytest.mark.process
def test_a_stopped_process_that_keeps_the_lock_cannot_keep_an_operator_from_holding(path, granted):
    reader = PermitReader(path)
    operators = OperatorBoard(path)
    fd = os.open(path.with_name(path.name + ".operator.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    stands = operators.set("venue:okx", Level.PAUSE, "", "alice", 7)
    assert (stands.scope, stands.level) == ("global", Level.HOLD)
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_HOLD
    os.close(fd)
    assert [b.code for b in operators.read()] == ["operator_emergency"]
    (refused,) = operators.clear("global", "", None, 8)
    assert isinstance(refused, ReleaseRefused)
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_HOLD
    operators.clear("global", "alice", None, 8)
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.GRANTED


# --- Damage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"short", b"x" * SIZE, bytes(SIZE)])
def test_a_short_or_foreign_file_is_no_permit_and_is_replaced_by_a_board_on_hold(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    reader = PermitReader(path)
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_NO_BOARD
    assert str(path) in reader.problem
    with pytest.raises(BoardDamagedError):
        OperatorBoard(path).set("global", Level.HOLD, "", "alice", 7)
    writer = PermitWriter(path, epoch_floor=5)
    writer.renew(writer.next_epoch(), NOW + TTL, {})
    assert reader.check(SCOPES, NOW, 6) is PermitVerdict.REFUSED_HOLD
    assert "damaged" in OperatorBoard(path).read()[0].cause
    assert path.with_name("permit.board.damaged").read_bytes() == content
    OperatorBoard(path).clear("global", "alice", None, 8)
    assert reader.check(SCOPES, NOW, 6) is PermitVerdict.GRANTED


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))


def test_a_torn_permit_refuses_and_the_next_renewal_repairs_it(path, granted):
    reader = PermitReader(path)
    granted.renew(1, NOW + TTL, {"venue:x": Level.SAFE})
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.GRANTED
    payload = path.read_bytes().index(b"venue:x")
    flip(path, payload)
    assert PermitReader(path).check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_TORN
    granted.renew(1, NOW + TTL, {})
    assert reader.check(SCOPES, NOW, 1) is PermitVerdict.GRANTED


def test_damaged_operator_brakes_refuse_everything_and_are_never_forgotten_silently(path, granted):
    OperatorBoard(path).set("venue:okx", Level.HOLD, "maintenance", "alice", 7)
    flip(path, path.read_bytes().index(b"maintenance"))
    assert PermitReader(path).check(SCOPES, NOW, 1) is PermitVerdict.REFUSED_TORN
    writer = PermitWriter(path)
    assert writer.next_epoch() == 2
    assert PermitReader(path).modes() == {"global": Level.HOLD}


def test_a_half_written_slot_is_not_seen_and_the_next_writer_fills_it_again(path, granted):
    granted.renew(1, NOW + TTL, {"venue:old": Level.HOLD})
    granted.renew(1, NOW + TTL, {"venue:new": Level.HOLD})
    at = path.read_bytes().index(b"venue:old")
    with path.open("r+b") as file:
        file.seek(at - 60)
        file.write(b"\xaa" * 300)
    reader = PermitReader(path)
    assert reader.modes() == {"venue:new": Level.HOLD}
    assert reader.check(("venue:new",), NOW, 1) is PermitVerdict.REFUSED_HOLD
    granted.renew(1, NOW + TTL, {})
    assert reader.check(("venue:new",), NOW, 1) is PermitVerdict.GRANTED


@pytest.mark.process
@pytest.mark.req("P-SAFE-4")
def test_kill_9_of_a_governor_in_the_middle_of_writing_leaves_a_whole_permit(path):
    """Every table that a reader sees is one that was written: all scopes on one level, expiry to match."""
    code = (
        "import sys; from pathlib import Path; from trading.brakes import Level\n"
        "from adapters.permit_board import PermitWriter\n"
        "w = PermitWriter(Path(sys.argv[1])); e = w.next_epoch(); now = int(sys.argv[2])\n"
        "tables = [{f'venue:v{i}': Level(n) for i in range(200)} for n in range(1, 5)]\n"
        "w.renew(e, now + 1, tables[0])\n"
        "print(e, flush=True)\n"
        "while True:\n"
        "    for n, t in enumerate(tables, 1): w.renew(e, now + n, t)\n"
    )
    PermitWriter(path)
    reader = PermitReader(path)
    for _ in range(6):
        process = run(code, path, NOW)
        assert process.stdout is not None
        epoch = int(process.stdout.readline())
        for _ in range(200):
            lease = reader.lease()
            assert lease is not None
            levels = set(lease.modes.values())
            assert (lease.epoch, len(lease.modes), len(levels)) == (epoch, 200, 1)
            assert lease.expires_mono_ns - NOW == min(levels)
        kill(process)
        lease = reader.lease()
        assert lease is not None
        assert len(set(lease.modes.values())) == 1
        reader.check(SCOPES, NOW, epoch)
        assert reader.problem == ""
    heir = PermitWriter(path)
    epoch = heir.next_epoch()
    heir.renew(epoch, NOW + TTL, {})
    assert reader.check(SCOPES, NOW, epoch) is PermitVerdict.GRANTED


@pytest.mark.process
def test_kill_9_of_an_operators_command_leaves_the_brakes_before_or_after_it(path, granted):
    code = (
        "import sys; from pathlib import Path; from trading.brakes import Level\n"
        "from adapters.permit_board import OperatorBoard\n"
        "b = OperatorBoard(Path(sys.argv[1]))\n"
        "print('up', flush=True)\n"
        "while True:\n"
        "    b.set('venue:x', Level.HOLD, 'c' * 150, 'alice', 1); b.clear('venue:x', 'alice', None, 2)\n"
    )
    OperatorBoard(path).set("venue:always", Level.HOLD, "", "alice", 7)
    for _ in range(3):
        process = run(code, path)
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(50):
            assert {b.scope for b in OperatorBoard(path).read()} in ({"venue:always"}, {"venue:always", "venue:x"})
        kill(process)
        assert PermitReader(path).check(("venue:always",), NOW, 1) is PermitVerdict.REFUSED_HOLD
    OperatorBoard(path).set("venue:x", Level.HOLD, "", "bob", 7)
    assert len(OperatorBoard(path).read()) == 2


def test_a_check_of_an_unchanged_board_costs_microseconds(path, granted):
    granted.renew(1, NOW + TTL, {"venue:other": Level.HOLD})
    reader = PermitReader(path)
    per_check_us = min(timeit.repeat(lambda: reader.check(SCOPES, NOW, 1), number=2000, repeat=5)) / 2000 * 1e6
    assert per_check_us < 20, per_check_us  # about 1 on a quiet machine; the bound only catches a wrong order of size
