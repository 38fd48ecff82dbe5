"""Hung is told from starved: by the checker's own lateness, and by what the kernel says of waiting for a processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adapters.clock import SystemClock
from adapters.heartbeat_board import Beat, BeatState
from supervision.liveness import CellWatch, Exited, HangWatch, Overdue, Patience, run_delays, waited_ns, waits_for_disk
from tests.waiting import PATIENCE_S

MS = 1_000_000
PERIOD = 50 * MS
HANG = 600 * MS
NOBODY = 2**22 + 1  # above pid_max: no such process, so nothing is known of its threads

pytestmark = pytest.mark.req("P-EXE-19", "P-HA-10")


def ticked(*times_ms):
    patience = Patience(PERIOD)
    for at in times_ms:
        patience.woke(at * MS)
    return patience


def test_a_checker_that_is_in_time_excuses_nothing():
    patience = ticked(*range(0, 1_000, 50))
    assert patience.silence_ns(100 * MS, 950 * MS) == 850 * MS
    # A few milliseconds are the timer's, not the machine's.
    assert ticked(0, 55, 112).silence_ns(0, 112 * MS) == 112 * MS


def test_what_the_checker_slept_through_is_no_silence_of_others():
    patience = ticked(0, 50, 1_100, 1_150)
    assert patience.silence_ns(50 * MS, 1_150 * MS) == (50 + 50) * MS
    assert patience.silence_ns(600 * MS, 1_150 * MS) == 50 * MS
    assert patience.silence_ns(1_100 * MS, 1_150 * MS) == 50 * MS


def test_a_silent_process_is_found_within_its_time_and_one_tick():
    patience = Patience(PERIOD)
    watch = HangWatch(HANG, patience)
    found = []
    for at in range(0, 1_000, 50):
        patience.woke(at * MS)
        if watch.silent(NOBODY, 0, at * MS) is not None:
            found.append(at)
    assert found[0] == 650


def test_a_beat_ends_the_suspicion():
    patience = Patience(PERIOD)
    watch = HangWatch(HANG, patience)
    for at in range(0, 3_000, 50):
        patience.woke(at * MS)
        assert watch.silent(NOBODY, max(0, at - 500) * MS, at * MS) is None


def test_after_a_stop_of_the_whole_machine_everybody_gets_the_whole_time_again():
    patience = ticked(0, 50, 60_000)
    watch = HangWatch(HANG, patience)
    assert watch.silent(NOBODY, 40 * MS, 60_000 * MS) is None
    for at in range(60_050, 60_500, 50):
        patience.woke(at * MS)
        assert watch.silent(NOBODY, 40 * MS, at * MS) is None
    for at in range(60_500, 60_700, 50):
        patience.woke(at * MS)
    assert watch.silent(NOBODY, 40 * MS, 60_650 * MS) is not None


class Root:
    """What a root does with one cell, in virtual time: it looks every 50 ms."""

    def __init__(self):
        patience = Patience(PERIOD)
        self.patience, self.watch = patience, CellWatch(HangWatch(HANG, patience), patience, boot_ms=8_000)
        self.dead = set()
        self.now = 1_000 * MS

    def forked(self, pid):
        self.watch.started("okx", pid, self.now)

    def looks(self, ms, beat_pid=None, beat_ns=None):
        """The verdicts of so many milliseconds; a cell that beats does so until now unless ``beat_ns`` says when."""
        found = []
        for _ in range(ms // 50):
            self.now += PERIOD
            self.patience.woke(self.now)
            beat = None
            if beat_pid is not None:
                at_ns = self.now if beat_ns is None else beat_ns
                beat = Beat(name="okx", pid=beat_pid, mono_ns=at_ns, state=BeatState.RUNNING, incarnation=1)
            verdict = self.watch.judge("okx", beat, self.now, lambda pid: pid not in self.dead)
            if verdict is not None:
                found.append(verdict)
        return found


@pytest.fixture
def root():
    return Root()


def test_a_cell_whose_end_nobody_told_is_missed(root):
    root.forked(NOBODY)
    assert root.looks(2_000, NOBODY) == []
    root.dead.add(NOBODY)
    last_ns = root.now
    # Half a second is for whoever has to tell it; after that it is gone, whether it was told or not.
    assert root.looks(500, NOBODY, last_ns) == []
    assert root.looks(100, NOBODY, last_ns)[:1] == [Exited(NOBODY)]


def test_a_cell_that_is_told_to_be_gone_begins_anew(root):
    root.forked(NOBODY)
    root.dead.add(NOBODY)
    assert root.looks(300) == []
    root.watch.ended("okx")
    root.forked(NOBODY + 1)
    assert root.looks(2_000, NOBODY + 1) == []


def test_a_cell_that_never_beats_is_killed_by_its_own_number_and_not_by_an_older_lifes(root):
    old_ns = root.now - MS
    root.forked(NOBODY + 1)
    assert root.looks(8_000, NOBODY, old_ns) == []
    (verdict,) = root.looks(500, NOBODY, old_ns)
    assert (verdict.pid, "did not come up" in verdict.why) == (NOBODY + 1, True)
    # Should even that not end it, it is killed again.
    assert [type(v) for v in root.looks(2_000, NOBODY, old_ns)] == [Overdue]
    root.dead.add(NOBODY + 1)
    assert root.looks(600, NOBODY, old_ns)[:1] == [Exited(NOBODY + 1)]


def boots(root, pid):
    """How long a cell that never beats is waited for, milliseconds."""
    root.forked(pid)
    since_ns = root.now
    while not root.looks(50):
        assert root.now - since_ns < 100_000 * MS
    root.looks(1_000)
    root.dead.add(pid)
    root.watch.ended("okx")
    return (root.now - since_ns) // MS - 1_050


def test_each_boot_that_was_too_slow_gives_the_next_one_twice_the_time_until_one_comes_up(root):
    assert [boots(root, NOBODY + n) for n in range(5)] == [8_000, 16_000, 32_000, 64_000, 64_000]
    root.forked(NOBODY + 9)
    assert root.looks(20_000, NOBODY + 9, root.now - MS) == []
    assert root.looks(500, NOBODY + 9) == []
    root.watch.ended("okx")
    assert boots(root, NOBODY + 10) == 8_000


def test_a_hung_cell_is_killed_once_and_then_waited_for(root):
    root.forked(NOBODY)
    root.looks(1_000, NOBODY)
    last_ns = root.now
    (verdict,) = root.looks(2_000, NOBODY, last_ns)
    assert (verdict.pid, verdict.why.startswith("silent for")) == (NOBODY, True)


def test_without_the_number_of_its_process_a_cell_is_known_by_its_beats(root):
    root.forked(0)
    assert root.looks(1_000, NOBODY) == []
    root.dead.add(NOBODY)
    assert root.looks(700, NOBODY, root.now)[:1] == [Exited(NOBODY)]


@pytest.fixture
def crowd():
    """Starts processes that want the same processor for as long as the test needs."""
    cpu = min(os.sched_getaffinity(0))
    work = f"import os, time; os.sched_setaffinity(0, {{{cpu}}}); end = time.time() + 90\nwhile time.time() < end: pass"
    started = []

    def start(n):
        started.extend(subprocess.Popen([sys.executable, "-c", work]) for _ in range(n))
        return started

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(condition, timeout_s=PATIENCE_S):
    clock, pause = SystemClock(), threading.Event()
    ends = clock.mono_ns() + timeout_s * 1_000 * MS
    while not condition():
        assert clock.mono_ns() < ends
        pause.wait(0.005)


@pytest.mark.process
@pytest.mark.skipif(not run_delays(os.getpid()), reason="this kernel does not account for waiting")
def test_a_starved_process_is_excused_for_what_it_waited(crowd):
    victim = crowd(4)[0]
    until(lambda: waited_ns(dict.fromkeys(run_delays(victim.pid), 0), run_delays(victim.pid)) > 200 * MS)
    patience = Patience(PERIOD)
    watch = HangWatch(100 * MS, patience)
    patience.woke(60 * MS)
    assert watch.silent(victim.pid, 0, 60 * MS) is None
    before = run_delays(victim.pid)
    until(lambda: waited_ns(before, run_delays(victim.pid)) > 60 * MS)
    patience.woke(110 * MS)
    # 150 ms of silence would be too many, but it had no processor for 60 of them.
    assert watch.silent(victim.pid, 0, 150 * MS) is None
    # The excuse is not for ever.
    assert watch.silent(victim.pid, 0, 2_000 * MS) is not None


@pytest.mark.process
@pytest.mark.skipif(not run_delays(os.getpid()), reason="this kernel does not account for waiting")
def test_a_cell_that_waits_for_a_processor_is_given_as_much_longer_to_come_up(crowd):
    victim = crowd(4)[0]
    patience = Patience(PERIOD)
    watch = CellWatch(HangWatch(HANG, patience), patience, boot_ms=100)
    watch.started("okx", victim.pid, 0)
    until(lambda: max(run_delays(victim.pid).values()) > 80 * MS)
    assert watch.judge("okx", None, 150 * MS, lambda _pid: True) is None
    # Not for ever, however long it waits.
    until(lambda: max(run_delays(victim.pid).values()) > 600 * MS)
    assert type(watch.judge("okx", None, 700 * MS, lambda _pid: True)) is Overdue


@pytest.mark.process
@pytest.mark.skipif(not run_delays(os.getpid()), reason="this kernel does not account for waiting")
def test_a_stopped_process_has_no_excuse_on_a_busy_machine(crowd):
    victim = crowd(4)[0]
    os.kill(victim.pid, signal.SIGSTOP)
    until(lambda: b"T" in _state(victim.pid))
    before = run_delays(victim.pid)
    others = crowd(0)[1:]
    at_first = [run_delays(other.pid) for other in others]
    until(lambda: all(waited_ns(b, run_delays(o.pid)) > 100 * MS for b, o in zip(at_first, others, strict=True)))
    assert waited_ns(before, run_delays(victim.pid)) == 0


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this kernel does not tell of threads")
def test_a_process_that_no_signal_reaches_is_waited_for_and_not_for_ever(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Until its child has become another program a parent sleeps like one that waits for a disk; this one opens a pipe.
    opens = "[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)]"
    words = f"import os, sys; os.posix_spawn('/bin/true', ['true'], {{}}, file_actions={opens})"
    with subprocess.Popen([sys.executable, "-c", words, str(pipe)]) as victim:
        try:
            until(lambda: waits_for_disk(victim.pid))
            watch = HangWatch(100 * MS, Patience(PERIOD))
            looks = [watch.silent(victim.pid, 0, at * MS) for at in range(50, 1_000, 50)]
        finally:
            os.close(os.open(pipe, os.O_WRONLY))
        assert victim.wait(PATIENCE_S) == 0
    assert looks[:9] == [None] * 9
    assert looks[-1] is not None
    assert not waits_for_disk(os.getpid())


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
