"""``propdesk run``: starts the outer tree, watches it, drains it on Ctrl-C; ends non-zero when the root is gone."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from adapters.clock import SystemClock
from adapters.config import ConfigError, DeskConfig, load_config
from adapters.heartbeat_board import HeartbeatBoard
from adapters.sources import SessionFacts, inspect_session
from adapters.wirelog import open_session
from supervision.outer import start_system
from supervision.root import DrainRoot, Root, StartRoot, alive
from supervision.wiring import check_strategies, restrict, root_plan

EXIT_DONE = 0
EXIT_DESK_FAILED = 1
EXIT_COULD_NOT_RUN = 2
_TICK_S = 0.05
_ROOT_SILENT_NS = 1_500_000_000
_ROOT_BOOT_NS = 10_000_000_000
_DRAIN_S = 9.0
_LEFTOVER_NS = 5_000_000_000
_RESPAWNS = 5
_RESPAWN_PERIOD_NS = 120_000_000_000


@dataclass
class _Watch:
    """What the starting process knows of the tree it started."""

    config: DeskConfig
    stop: threading.Event
    clock: SystemClock
    started_ns: int
    group: int = 0


def run(args: argparse.Namespace) -> int:
    """Run until stopped; see the module."""
    if getattr(args, "respawn", False):
        return _respawning(args)
    try:
        config = load_config(args.config, args.profile, os.environ, _overrides(args))
        config, facts = for_session(config)
        check_strategies(config)
    except (ConfigError, ValueError) as error:
        print(f"propdesk: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    config.data_path.mkdir(parents=True, exist_ok=True)
    lock = _single(config)
    if lock is None:
        return EXIT_COULD_NOT_RUN
    with lock:
        return _run(config, facts, args)


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    session = getattr(args, "session", None)
    if session and session != "default":
        overrides["session"] = str(Path(session).resolve())
    if getattr(args, "port", None):
        overrides["server.port"] = args.port
    if getattr(args, "admin_port", None):
        overrides["admin_port"] = args.admin_port
    if getattr(args, "data_dir", None):
        overrides["data_dir"] = str(Path(args.data_dir).resolve())
    if getattr(args, "speed", None):
        overrides["speed"] = args.speed
    if getattr(args, "one_cell", False):
        overrides["placement"] = None
    return overrides


def for_session(config: DeskConfig) -> tuple[DeskConfig, SessionFacts]:
    """The configuration for its session: a recording is read once, and what it lacks is left out and named."""
    if config.session == "default":
        return config, SessionFacts()
    facts = inspect_session(open_session(Path(config.session)))
    if facts.last_ns <= facts.first_ns:
        raise ValueError(f"session {config.session} holds no readable message")
    config, left_out = restrict(config, facts)
    if left_out:
        print(f"propdesk: the session does not have: {', '.join(left_out)}", file=sys.stderr)
    return config, facts


def _single(config: DeskConfig) -> IO[str] | None:
    """One desk a data directory: the lock lives as long as this process."""
    path = config.data_path / "propdesk.lock"
    lock = path.open("a+")
    try:
        # A record lock: unlike flock it is not shared with the processes that are forked from this one.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = config.pid_path.read_text().strip() if config.pid_path.exists() else "unknown"
        lock.close()
        print(
            f"propdesk: another desk (pid {owner}) runs on {config.data_path}; stop it, or choose another data_dir",
            file=sys.stderr,
        )
        return None
    config.pid_path.write_text(f"{os.getpid()}\n")
    return lock


def _run(config: DeskConfig, facts: SessionFacts, args: argparse.Namespace) -> int:
    clock = SystemClock()
    _clear_leftovers(config, clock)
    watch = _Watch(config=config, stop=threading.Event(), clock=clock, started_ns=clock.mono_ns())
    plan = root_plan(config, anchor_ns=clock.wall_ns(), facts=facts)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        system = start_system(config.admin_port)
    except OSError as error:
        print(
            f"propdesk: admin_port {config.admin_port} cannot be used ({error}); choose another", file=sys.stderr
        )
        return EXIT_COULD_NOT_RUN
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: watch.stop.set())
    root = system.createActor(Root)
    system.tell(root, StartRoot(plan=msgspec.msgpack.encode(plan)))
    _announce(config, args)
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
    config.pid_path.unlink(missing_ok=True)
    print(f"propdesk: stopped{'' if drained else ' (not in time: what was left was killed)'}", file=sys.stderr)
    return EXIT_DONE if drained else EXIT_DESK_FAILED


def _announce(config: DeskConfig, args: argparse.Namespace) -> None:
    url = f"http://{config.server.host}:{config.server.port}"
    source = "the market generator (SYNTHETIC)" if config.session == "default" else f"recording {config.session}"
    if getattr(args, "json", False):
        print(json.dumps({"url": url, "source": source, "pid": os.getpid()}), flush=True)
    else:
        print(f"propdesk {config.profile}: {url}  market: {source}  Ctrl-C stops", flush=True)


def _pids(watch: _Watch) -> dict[str, int]:
    """Processes of this run only: a number left on the board by an earlier run may be somebody else by now."""
    names = {"root", "admin", *watch.config.placement}
    beats = HeartbeatBoard(watch.config.heartbeat_board_path).read()
    return {b.name: b.pid for b in beats if b.name in names and b.mono_ns >= watch.started_ns}


def _wait(watch: _Watch) -> str | None:
    """None when asked to stop, else what went wrong."""
    started = watch.started_ns
    board = HeartbeatBoard(watch.config.heartbeat_board_path)
    while not watch.stop.wait(_TICK_S):
        now = watch.clock.mono_ns()
        beats = {beat.name: beat for beat in board.read()}
        root, admin = beats.get("root"), beats.get("admin")
        if root is None or root.mono_ns < started:
            if now - started > _ROOT_BOOT_NS:
                return "the root did not come up"
            continue
        if not watch.group and alive(root.pid):
            watch.group = _group_of(root.pid)
        if not alive(root.pid):
            return f"the root (pid {root.pid}) is gone"
        if now - root.mono_ns > _ROOT_SILENT_NS:
            return f"the root (pid {root.pid}) has been silent for {(now - root.mono_ns) / 1e6:.0f} ms"
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


def _clear_leftovers(config: DeskConfig, clock: SystemClock) -> None:
    """End processes of an earlier run on this data directory: they have no supervisor, and fence themselves anyway."""
    if not config.heartbeat_board_path.exists():
        return
    left = []
    for beat in HeartbeatBoard(config.heartbeat_board_path).read():
        recent = clock.mono_ns() - beat.mono_ns < _LEFTOVER_NS
        if recent and beat.name in config.placement and alive(beat.pid):
            print(f"propdesk: ending {beat.name} (pid {beat.pid}) of an earlier run", file=sys.stderr)
            os.kill(beat.pid, signal.SIGKILL)
            left.append(beat.pid)
    _wait_dead(left)


def _respawning(args: argparse.Namespace) -> int:
    """Start the desk again when it fails, a limited number of times: beyond that it stays down."""
    clock = SystemClock()
    command = [sys.executable, "-m", "supervision", *[a for a in sys.argv[1:] if a != "--respawn"]]
    starts: list[int] = []
    stopping = threading.Event()
    child: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _frame: object) -> None:
        stopping.set()
        if child:
            child[0].send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    while True:
        now = clock.mono_ns()
        starts = [t for t in starts if now - t < _RESPAWN_PERIOD_NS] + [now]
        if len(starts) > _RESPAWNS:
            print(f"propdesk: failed {_RESPAWNS} times in 2 minutes; staying down", file=sys.stderr)
            return EXIT_DESK_FAILED
        child[:] = [subprocess.Popen(command, start_new_session=True)]
        code = child[0].wait()
        if stopping.is_set() or code in (EXIT_DONE, EXIT_COULD_NOT_RUN):
            return code
        print(f"propdesk: the desk ended with {code}; starting it again", file=sys.stderr)
