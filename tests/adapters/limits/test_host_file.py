"""The shared file: real processes, kill -9, damage, another boot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.clock import VirtualClock
from adapters.limits import host_file
from adapters.limits.host_file import SIZE, Found, HostFile
from tests.adapters.limits.conftest import CANCEL, CLOCK, POLL, ask, spec
from trading.limits.governor import LimitGovernor
from trading.limits.messages import Ask, Go
from trading.limits.spec import MINUTE_NS, SECOND_NS, Policy
from trading.limits.venues import BINANCE_USDM, OKX

PROJECT = Path(__file__).resolve().parents[3]
SPENDER = """
import sys
from pathlib import Path
from adapters.clock import SystemClock
from adapters.limits.host_file import HostFile
from tests.adapters.limits.conftest import CANCEL, CLOCK, ask, spec
from trading.limits.governor import LimitGovernor
from trading.limits.messages import Go
from trading.limits.spec import Policy
file = HostFile(Path(sys.argv[1]), CLOCK)
governor = LimitGovernor(spec(limit=100_000, window_ms=600_000), Policy(share=1.0))
print("up", flush=True)
went = 0
while went < int(sys.argv[2]):
    if not file.lock():
        continue
    file.load(governor)
    went += isinstance(governor.ask(ask(CANCEL), CLOCK.mono_ns()), Go)
    file.save(governor)
    file.unlock()
print("done", flush=True)
"""


def spender(path, count):
    return subprocess.Popen(
        [sys.executable, "-c", SPENDER, str(path), str(count)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )


def used(path):
    governor = LimitGovernor(spec(limit=100_000, window_ms=600_000), Policy(share=1.0))
    file = HostFile(path, CLOCK)
    assert file.lock()
    file.load(governor)
    file.unlock()
    return governor.view(CLOCK.mono_ns()).pools[0].used


def test_nothing_is_lost_between_processes_that_spend_at_once(tmp_path):
    path = tmp_path / "limits.board"
    children = [spender(path, 400) for _ in range(2)]
    assert [child.communicate(timeout=240)[0].split() for child in children] == [["up", "done"]] * 2
    assert used(path) == 800


def test_a_killed_process_leaves_neither_a_lock_nor_half_a_state(tmp_path):
    path = tmp_path / "limits.board"
    for _ in range(3):
        child = spender(path, 10**9)
        assert child.stdout.readline() == "up\n"
        before = 0
        while before < 50:  # it spends: kill it in the middle of that
            try:
                before = HostFile(path, CLOCK)._words[8]
            except (OSError, IndexError):
                continue
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=120)
        assert used(path) > 0
        survivor = spender(path, 1)
        assert survivor.communicate(timeout=120)[0].split() == ["up", "done"]


@pytest.mark.parametrize("damage", ["short", "foreign", "garbled"])
def test_a_damaged_file_lets_only_cancels_through_for_a_minute(tmp_path, damage):
    path = tmp_path / "limits.board"
    clock = VirtualClock(wall_ns=10**18, mono_ns=10**12)
    governor = LimitGovernor(BINANCE_USDM)
    file = HostFile(path, clock)
    assert file.found is Found.NEW
    assert file.lock()
    file.load(governor)
    file.save(governor)
    file.unlock()
    content = bytearray(path.read_bytes())
    if damage == "short":
        content = content[:100]
    elif damage == "foreign":
        content[:8] = b"PDHEARTS"
    else:
        content[128:] = b"\xff" * (SIZE - 128)
    path.write_bytes(content)
    other, again = LimitGovernor(BINANCE_USDM), HostFile(path, clock)
    assert again.lock()
    again.load(other)
    again.save(other)
    again.unlock()
    assert again.found is Found.DAMAGED

    def goes(priority, at_ns):
        request = Ask(endpoint="GET /x", priority=priority, deadline_ns=at_ns + MINUTE_NS)
        return isinstance(other.ask(request, at_ns), Go)

    assert goes(CANCEL, clock.mono_ns())
    assert not goes(POLL, clock.mono_ns())
    assert goes(POLL, clock.mono_ns() + 62 * SECOND_NS)


def test_a_ban_outlives_a_reboot(tmp_path, monkeypatch):
    path = tmp_path / "limits.board"
    clock = VirtualClock(wall_ns=10**18, mono_ns=10**15)
    governor, file = LimitGovernor(BINANCE_USDM), HostFile(path, clock)
    governor.told("GET /x", 418, {"Retry-After": "3600"}, clock.mono_ns())
    assert file.lock()
    file.save(governor)
    file.unlock()
    monkeypatch.setattr(host_file, "boot_hash", lambda: b"another!")
    rebooted = VirtualClock(wall_ns=10**18 + 600 * SECOND_NS, mono_ns=20 * SECOND_NS)
    other, again = LimitGovernor(BINANCE_USDM), HostFile(path, rebooted)
    assert again.lock()
    again.load(other)
    again.unlock()
    (freeze,) = other.view(rebooted.mono_ns()).freezes
    assert 3_000_000 <= freeze.left_ms <= 3_001_000


def test_a_fork_does_not_share_its_parents_lock(tmp_path):
    file = HostFile(tmp_path / "limits.board", CLOCK)
    assert file.lock()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if not file.lock() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    file.unlock()


def test_the_largest_state_fits(tmp_path):
    governor, file = LimitGovernor(OKX), HostFile(tmp_path / "limits.board", CLOCK)
    for number in range(governor.policy.pools_max):
        name = f"INSTRUMENT-{number}-USDT-SWAP-WITH-A-LONG-NAME"
        governor.ask(OKX.ask("POST /api/v5/trade/cancel-order", CANCEL, 2**62, instrument=name), CLOCK.mono_ns())
    for pool in governor.state.pools.values():
        pool.slots = [2**31] * len(pool.slots)
    for number in range(governor.policy.endpoints_max):
        governor.told(f"GET /an/endpoint/with/a/long/name/{number}", 503, {}, CLOCK.mono_ns())
    assert file.lock()
    file.save(governor)
    file.unlock()
    assert ask(CANCEL)
