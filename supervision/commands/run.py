"""``propdesk run``: starts the outer tree, watches it, drains it on Ctrl-C; ends non-zero when the root is gone."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from adapters.clock import SystemClock
from adapters.free_ports import free_ports
from adapters.heartbeat_board import HeartbeatBoard
from supervision.liveness import HangWatch, Patience
from supervision.outer import start_system
from supervision.paper_journal import settle_journal
from supervision.plan import Flight, RootPlan
from supervision.root import DrainRoot, Root, StartRoot, alive

EXIT_DONE = 0
EXIT_DESK_FAILED = 1
EXIT_COULD_NOT_RUN = 2
_TICK_S = 0.05
_ROOT_SILENT_NS = 1_500_000_000
_ROOT_BOOT_NS = 10_000_000_000
_DRAIN_S = 9.0
_LEFTOVER_NS = 5_000_000_000
_PORT_FREE_S = 5.0
_RESPAWNS = 5
_RESPAWN_PERIOD_NS = 120_000_000_000


@dataclass
class _Watch:
    """What the starting process knows of the tree it started."""

    plan: RootPlan
    stop: threading.Event
    clock: SystemClock
    started_ns: int
    for_ns: int | None = None
    group: int = 0


def run(args: argparse.Namespace) -> int:
    """Run until stopped; see the module."""
    if getattr(args, "respawn", False):
        return _respawning(args)
    flight = _preflight(args) if args.flight_fd is None else _again(args.flight_fd)
    if flight is None:
        return EXIT_COULD_NOT_RUN
    Path(flight.plan.paths.data).mkdir(parents=True, exist_ok=True)
    lock = _single(flight)
    if lock is None:
        return EXIT_COULD_NOT_RUN
    with lock:
        return _run(flight, args)


def _preflight(args: argparse.Namespace) -> Flight | None:
    asked = {
        "config": args.config,
        "profile": args.profile,
        "overrides": _overrides(args),
        "one_cell": bool(getattr(args, "one_cell", False)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "supervision.commands.preflight"],
        input=json.dumps(asked).encode(),
        stdout=subprocess.PIPE,
        check=False,
    )
    return msgspec.msgpack.decode(done.stdout, type=Flight) if done.returncode == 0 else None


def _kept(flight: Flight) -> int:
    """A file without a name, for as many starts as there will be."""
    with tempfile.TemporaryFile() as file:
        file.write(msgspec.msgpack.encode(flight))
        file.flush()
        return os.dup(file.fileno())


def _again(flight_fd: int) -> Flight:
    """The flight that was found for an earlier start, for another one now."""
    with os.fdopen(flight_fd, "rb") as file:
        file.seek(0)
        flight = msgspec.msgpack.decode(file.read(), type=Flight)
    plan = msgspec.structs.replace(flight.plan, anchor_ns=SystemClock().wall_ns())
    if flight.any_ports:
        plan = msgspec.structs.replace(plan, sim_ports=free_ports(plan.sim_ports))
    return msgspec.structs.replace(flight, plan=plan)


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    overrides: dict[str, Any] = dict(pair.partition("=")[::2] for pair in args.set)
    session = getattr(args, "session", None)
    if session and session != "default":
        overrides["session"] = str(Path(session).resolve())
    if getattr(args, "data_dir", None):
        overrides["data_dir"] = str(Path(args.data_dir).resolve())
    for key, name in (("server.port", "port"), ("admin_port", "admin_port"), ("speed", "speed")):
        if getattr(args, name, None):
            overrides[key] = getattr(args, name)
    return overrides


def _single(flight: Flight) -> IO[str] | None:
    """One desk a data directory: the lock lives as long as this process."""
    paths = flight.plan.paths
    path = Path(paths.data) / "propdesk.lock"
    lock = path.open("a+")
    try:
        # A record lock: unlike flock it is not shared with the processes that are forked from this one.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = paths.pid.read_text().strip() if paths.pid.exists() else "unknown"
        lock.close()
        print(
            f"propdesk: another desk (pid {owner}) runs on {paths.data}; stop it, or choose another data_dir",
            file=sys.stderr,
        )
        return None
    paths.port.write_text(f"{flight.http_port}\n")
    paths.pid.write_text(f"{os.getpid()}\n")
    return lock


def _run(flight: Flight, args: argparse.Namespace) -> int:
    clock = SystemClock()
    plan = msgspec.structs.replace(flight.plan, starter_pid=os.getpid())
    _clear_leftovers(plan, clock)
    moved = settle_journal(Path(plan.paths.data), flight.way)
    if moved:
        print(f"propdesk: {moved}", file=sys.stderr)
    for_ns = None if args.for_s is None else int(args.for_s * 1e9)
    watch = _Watch(plan=plan, stop=threading.Event(), clock=clock, started_ns=clock.mono_ns(), for_ns=for_ns)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # What was killed a moment ago may not have let go of it yet, and a desk that failed has to come back.
        system = start_system(flight.admin_port, patience_s=0.0 if args.flight_fd is None else _PORT_FREE_S)
    except OSError as error:
        print(f"propdesk: admin_port {flight.admin_port} cannot be used ({error}); choose another", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: watch.stop.set())
    root = system.createActor(Root)
    system.tell(root, StartRoot(plan=msgspec.msgpack.encode(plan)))
    _announce(flight, args)
    why = _wait(watch)
    if why is not None:
        print(f"propdesk: {why}; the desk is down", file=sys.stderr)
        _kill_all(watch)
        return EXIT_DESK_FAILED
    print("propdesk: stopping: intake closed, cancelling, then venues, desk, ops", file=sys.stderr)
    system.tell(root, DrainRoot())
    drained = _wait_gone(watch)
    stopper = threading.Thread(target=system.shutdown, daemon=True)
    stopper.start()
    stopper.join(1.0)
    _kill_all(watch)
    plan.paths.pid.unlink(missing_ok=True)
    plan.paths.port.unlink(missing_ok=True)
    print(f"propdesk: stopped{'' if drained else ' (not in time: what was left was killed)'}", file=sys.stderr)
    return EXIT_DONE if drained else EXIT_DESK_FAILED


def _announce(flight: Flight, args: argparse.Namespace) -> None:
    if getattr(args, "json", False):
        told = {"url": flight.url, "market": flight.market, "orders": flight.orders, "pid": os.getpid()}
        print(json.dumps(told), flush=True)
    else:
        where = f"market: {flight.market}  orders: {flight.orders}"
        print(f"propdesk {flight.profile}: {flight.url}  {where}  Ctrl-C stops", flush=True)


def _pids(watch: _Watch) -> dict[str, int]:
    """Processes of this run only: a number left on the board by an earlier run may be somebody else by now."""
    names = {"root", "admin", *watch.plan.placement}
    beats = HeartbeatBoard(watch.plan.paths.heartbeat).read()
    return {b.name: b.pid for b in beats if b.name in names and b.mono_ns >= watch.started_ns}


def _wait(watch: _Watch) -> str | None:
    """None when asked to stop or its time is over, else what went wrong."""
    started = watch.started_ns
    board = HeartbeatBoard(watch.plan.paths.heartbeat)
    patience = Patience(int(_TICK_S * 1e9))
    hangs = HangWatch(_ROOT_SILENT_NS, patience)
    while not watch.stop.wait(_TICK_S):
        now = watch.clock.mono_ns()
        patience.woke(now)
        if watch.for_ns is not None and now - started >= watch.for_ns:
            return None
        beats = {beat.name: beat for beat in board.read()}
        root, admin = beats.get("root"), beats.get("admin")
        if root is None or root.mono_ns < started:
            if patience.silence_ns(started, now) > _ROOT_BOOT_NS:
                return "the root did not come up"
            continue
        if not watch.group and alive(root.pid):
            watch.group = _group_of(root.pid)
        if not alive(root.pid):
            return f"the root (pid {root.pid}) is gone"
        silent_ns = hangs.silent(root.pid, root.mono_ns, now)
        if silent_ns is not None:
            return f"the root (pid {root.pid}) has been silent for {silent_ns / 1e6:.0f} ms"
        if admin is not None and not alive(admin.pid):
            return f"the admin (pid {admin.pid}) is gone"
    return None


def _wait_gone(watch: _Watch) -> bool:
    deadline = watch.clock.mono_ns() + int(_DRAIN_S * 1e9)
    ticker = threading.Event()
    while watch.clock.mono_ns() < deadline:
        pids = _pids(watch)
        pids.pop("admin", None)
        if not any(alive(pid) for pid in pids.values()):
            return True
        ticker.wait(_TICK_S)
    return False


def _group_of(pid: int) -> int:
    """The process group of the tree (the admin began a session for it); 0 when it is ours or nobody's."""
    try:
        group = os.getpgid(pid)
    except ProcessLookupError:
        return 0
    return group if group != os.getpgrp() else 0


def _kill_all(watch: _Watch) -> None:
    """End what is left of the tree: by its group, which also holds the logger, then by pid. Waits until it is gone."""
    pids = [pid for pid in _pids(watch).values() if alive(pid)]
    if watch.group:
        try:
            os.killpg(watch.group, signal.SIGKILL)
        except ProcessLookupError:
            pids = []
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    _wait_dead(pids)


def _wait_dead(pids: list[int], timeout_s: float = 2.0) -> None:
    ticker = threading.Event()
    clock = SystemClock()
    deadline = clock.mono_ns() + int(timeout_s * 1e9)
    while any(alive(pid) for pid in pids) and clock.mono_ns() < deadline:
        ticker.wait(0.01)


def _clear_leftovers(plan: RootPlan, clock: SystemClock) -> None:
    """End processes of an earlier run on this data directory: they have no supervisor, and fence themselves anyway."""
    if not plan.paths.heartbeat.exists():
        return
    left = []
    for beat in HeartbeatBoard(plan.paths.heartbeat).read():
        recent = clock.mono_ns() - beat.mono_ns < _LEFTOVER_NS
        if recent and beat.name in plan.placement and alive(beat.pid):
            print(f"propdesk: ending {beat.name} (pid {beat.pid}) of an earlier run", file=sys.stderr)
            os.kill(beat.pid, signal.SIGKILL)
            left.append(beat.pid)
    _wait_dead(left)


def _respawning(args: argparse.Namespace) -> int:
    """Start the desk again when it fails, a limited number of times: beyond that it stays down.

    With what it was started with: a configuration that is being edited has no part in a recovery, and reading it again
    would be a second of the time without a desk.
    """
    clock = SystemClock()
    starts: list[int] = []
    stopping = threading.Event()
    child: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _frame: object) -> None:
        stopping.set()
        if child:
            child[0].send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    flight = _preflight(args)
    if flight is None or stopping.is_set():
        return EXIT_COULD_NOT_RUN if flight is None else EXIT_DONE
    fd = _kept(flight)
    command = [sys.executable, "-m", "supervision", *[a for a in sys.argv[1:] if a != "--respawn"]]
    command += ["--flight-fd", str(fd)]
    while True:
        now = clock.mono_ns()
        starts = [t for t in starts if now - t < _RESPAWN_PERIOD_NS] + [now]
        if len(starts) > _RESPAWNS:
            print(f"propdesk: failed {_RESPAWNS} times in 2 minutes; staying down", file=sys.stderr)
            return EXIT_DESK_FAILED
        child[:] = [subprocess.Popen(command, start_new_session=True, pass_fds=(fd,))]
        code = child[0].wait()
        if stopping.is_set() or code in (EXIT_DONE, EXIT_COULD_NOT_RUN):
            return code
        print(f"propdesk: the desk ended with {code}; starting it again", file=sys.stderr)
