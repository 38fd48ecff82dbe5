"""The doctor: what about this machine, this data directory and this configuration would hurt the desk.

Owns the checks and their words. Changes nothing but a probe file that it removes; never shows a secret.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import statistics
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

import msgspec

import native
from adapters.board_file import BoardDamagedError
from adapters.clock import Clock, SystemClock
from adapters.config import ConfigError, DeskConfig
from adapters.execution_backend import Backend, backends_of, key_variables
from adapters.permit_board import OperatorBoard, PermitReader

SECRET_VARIABLES: Final = key_variables()
_GIB: Final = 2**30
_STA_UNSYNC: Final = 0x40
_TIME_ERROR: Final = 5
_FSYNCS: Final = 9


class Status(Enum):
    """How a check ended, in order."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding; ``mend`` says what to do where something is wrong."""

    name: str
    status: Status
    text: str
    mend: str = ""


def examine(config: DeskConfig | ConfigError, env: Mapping[str, str], clock: Clock | None = None) -> list[Check]:
    """Every check, in the order in which one would mend. A wrong configuration leaves only what needs none."""
    clock = clock or SystemClock()
    checks = [
        check_python(sys.version_info[:3]),
        this_build(),
        check_native(native.why_not),
        check_clock(clock),
    ]
    if isinstance(config, ConfigError):
        wrong = Check(name="config", status=Status.FAIL, text=f"{config.field}: {config.problem}", mend=config.mend)
        return [*checks, wrong]
    return [
        *checks,
        Check(name="config", status=Status.OK, text=f"profile {config.profile}, {len(config.venues)} venues"),
        check_directory(config.data_path),
        check_disk(config.data_path),
        check_fsync(config.data_path, clock),
        check_pid(config.pid_path),
        check_port("http port", config.server.port, config.pid_path),
        check_port("admin port", config.admin_port, config.pid_path),
        check_permit_board(config.permit_board_path, clock),
        check_secrets(config, env),
        *check_orders(config, env),
    ]


def check_python(version: tuple[int, ...]) -> Check:
    """3.11 or newer; 3.12 is what the desk is measured on."""
    text = ".".join(map(str, version))
    if version < (3, 11):
        return Check(name="python", status=Status.FAIL, text=text, mend="install Python 3.12")
    if version[:2] not in {(3, 11), (3, 12)}:
        return Check(name="python", status=Status.WARN, text=f"{text} is not tested", mend="use Python 3.12")
    return Check(name="python", status=Status.OK, text=text)


def this_build() -> Check:
    """`check_build` of the interpreter that runs."""
    return check_build(str(sysconfig.get_config_var("CONFIG_ARGS") or ""), sys.base_prefix)


def check_build(configured: str, prefix: str) -> Check:
    """Whether the interpreter was compiled with its own optimisations: by distributions it is, by pyenv it is not.

    ``configured`` are its ``CONFIG_ARGS``, ``prefix`` where it lies. Debian's does not say; what lies in /usr is a
    distribution's.
    """
    if "--enable-optimizations" in configured or prefix == "/usr" or not configured:
        return Check(name="python build", status=Status.OK, text="optimised")
    text = "compiled without --enable-optimizations: the desk executes about a fifth more instructions"
    mend = (
        "use a distribution's Python, or PYTHON_CONFIGURE_OPTS='--enable-optimizations --with-lto' pyenv install 3.12"
    )
    return Check(name="python build", status=Status.WARN, text=text, mend=mend)


def check_native(why_not: str) -> Check:
    """The hottest code runs in C, or in Python: slower, with the same results. ``why_not`` is that of `native`."""
    if not why_not:
        return Check(name="native code", status=Status.OK, text="yes: books, depth messages and delivery in C")
    text = f"no: {why_not}; Python does the same, slower (a depth message takes 5 to 10 times as long)"
    if why_not.startswith("PROPDESK_NATIVE"):
        return Check(name="native code", status=Status.OK, text=text)
    mend = "install a C compiler and Python's headers (Debian: gcc, python3-dev), then `make clean && make setup`"
    return Check(name="native code", status=Status.WARN, text=text, mend=mend)


def check_clock(clock: Clock) -> Check:
    """Monotonic time moves forward, and the kernel says that wall time is synchronised, where it can be asked."""
    first, second = clock.mono_ns(), clock.mono_ns()
    if second < first:
        return Check(name="clock", status=Status.FAIL, text="monotonic time ran backwards", mend="restart the machine")
    asked = _adjtimex()
    if asked is None:
        return Check(name="clock", status=Status.WARN, text="cannot ask the kernel", mend="run chrony or ntpd")
    state, status, max_error_us = asked
    if state == _TIME_ERROR or status & _STA_UNSYNC:
        text = "wall time is not synchronised, says the kernel"
        return Check(
            name="clock", status=Status.WARN, text=text, mend="run chrony or ntpd; venues refuse skewed requests"
        )
    return Check(name="clock", status=Status.OK, text=f"synchronised, error at most {max_error_us / 1000:.1f} ms")


def check_directory(path: Path) -> Check:
    """The data directory can be written and is nobody else's business."""
    found = _existing(path)
    if not os.access(found, os.W_OK | os.X_OK):
        return Check(
            name="data dir", status=Status.FAIL, text=f"{found} is not writable", mend=f"chown {found} to yourself"
        )
    if found != path:
        return Check(name="data dir", status=Status.OK, text=f"{path} will be made")
    mode = path.stat().st_mode & 0o777
    if mode & 0o022:
        text = f"{path} has mode {mode:o}: others may write it"
        return Check(name="data dir", status=Status.WARN, text=text, mend=f"chmod 700 {path}")
    return Check(name="data dir", status=Status.OK, text=f"{path}, mode {mode:o}")


def check_disk(path: Path) -> Check:
    """Room for the journal: a full disk stops trading."""
    free = shutil.disk_usage(_existing(path)).free
    text = f"{free / _GIB:.1f} GiB free"
    if free < _GIB // 2:
        return Check(name="disk", status=Status.FAIL, text=text, mend="free at least 1 GiB")
    if free < 2 * _GIB:
        return Check(name="disk", status=Status.WARN, text=text, mend="free at least 2 GiB")
    return Check(name="disk", status=Status.OK, text=text)


def check_fsync(path: Path, clock: Clock) -> Check:
    """Every order waits for one fsync of the journal."""
    times_ms = []
    try:
        with tempfile.TemporaryFile(dir=_existing(path)) as probe:
            for _ in range(_FSYNCS):
                probe.write(bytes(4096))
                probe.flush()
                began = clock.mono_ns()
                os.fsync(probe.fileno())
                times_ms.append((clock.mono_ns() - began) / 1e6)
    except OSError as error:
        return Check(name="fsync", status=Status.FAIL, text=str(error), mend="see the disk and its permissions")
    median, worst = statistics.median(times_ms), max(times_ms)
    text = f"median {median:.2f} ms, worst {worst:.2f} ms of {_FSYNCS}"
    if worst > 1000:
        return Check(name="fsync", status=Status.FAIL, text=text, mend="put the data directory on a local SSD")
    if median > 20:
        return Check(name="fsync", status=Status.WARN, text=text, mend="put the data directory on a local SSD")
    return Check(name="fsync", status=Status.OK, text=text)


def check_pid(path: Path) -> Check:
    """The pid file names a living process or none."""
    try:
        pid = int(path.read_text("ascii"))
    except FileNotFoundError:
        return Check(name="pid file", status=Status.OK, text="no desk runs")
    except (OSError, ValueError) as error:
        return Check(name="pid file", status=Status.WARN, text=f"{path}: {error}", mend=f"remove {path}")
    if process_alive(pid):
        return Check(name="pid file", status=Status.OK, text=f"the desk runs as {pid}")
    text = f"{path} names {pid}, which is gone: the desk did not end by itself"
    return Check(
        name="pid file", status=Status.WARN, text=text, mend="see the log; `propdesk run` starts on HOLD and reconciles"
    )


def check_port(name: str, port: int, pid_path: Path) -> Check:
    """The port is free, or the desk itself has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            return Check(name=name, status=Status.FAIL, text=f"{port} needs privileges", mend="use a port above 1023")
        except OSError:
            pass
        else:
            return Check(name=name, status=Status.OK, text=f"{port} is free")
    owner = port_owner(port)
    if check_pid(pid_path).text.startswith("the desk runs"):
        return Check(name=name, status=Status.OK, text=f"{port} is in use by {owner or 'the desk'}")
    text = f"{port} is in use by {owner or 'a process that we may not see'}"
    return Check(name=name, status=Status.FAIL, text=text, mend="end it, or configure another port")


def check_permit_board(path: Path, clock: Clock) -> Check:
    """The board is readable; what stands on it."""
    if not path.exists():
        return Check(name="permit board", status=Status.OK, text="none yet: nothing may trade")
    reader = PermitReader(path)
    if reader.problem:
        mend = "nothing may trade; `propdesk run` sets it aside and starts on HOLD"
        return Check(name="permit board", status=Status.FAIL, text=reader.problem, mend=mend)
    if path.stat().st_mode & 0o077:
        text = f"mode {path.stat().st_mode & 0o777:o}: others may open it"
        return Check(name="permit board", status=Status.WARN, text=text, mend=f"chmod 600 {path}")
    lease = reader.lease()
    valid = lease is not None and lease.expires_mono_ns > clock.mono_ns()
    try:
        held = ", ".join(f"{b.scope} {b.level.name} by {b.set_by}" for b in OperatorBoard(path).read())
    except BoardDamagedError as error:
        return Check(name="permit board", status=Status.FAIL, text=str(error), mend="`propdesk run` starts on HOLD")
    text = (
        f"epoch {reader.newest_epoch()}, permit {'valid' if valid else 'expired'}, operators: {held or 'nothing held'}"
    )
    return Check(name="permit board", status=Status.OK, text=text)


def check_secrets(config: DeskConfig, env: Mapping[str, str]) -> Check:
    """Which secrets the environment holds, by name only. Paper needs none."""
    names = (*SECRET_VARIABLES, config.telegram.token_env)
    present = [name for name in names if env.get(name)]
    text = f"present: {', '.join(present) or 'none'}"
    if config.telegram.allowed_chat_ids and not env.get(config.telegram.token_env):
        mend = f"set {config.telegram.token_env} or remove telegram.allowed_chat_ids"
        return Check(name="secrets", status=Status.FAIL, text=f"{text}; Telegram has chats but no token", mend=mend)
    if config.execution.environment == "loopback" and any(name in present for name in SECRET_VARIABLES):
        mend = "unset them: neither the simulation nor loopback uses them"
        return Check(name="secrets", status=Status.WARN, text=f"{text}; nothing here needs keys", mend=mend)
    return Check(name="secrets", status=Status.OK, text=text)


def check_orders(config: DeskConfig, env: Mapping[str, str]) -> list[Check]:
    """Where each venue's orders would go if the desk began now, and why; less than was asked for is a warning."""
    try:
        each = backends_of(config, env)
    except ConfigError as error:
        text = f"{error.field}: {error.problem}"
        return [Check(name="orders", status=Status.FAIL, text=text, mend=error.mend)]
    asked = config.execution
    wanted = Backend(asked.environment) if asked.orders == "wire" else Backend.SIMULATED
    found = []
    for one in each:
        name, text = f"orders {one.venue}", f"{one.backend.value}: {one.reason}"
        if one.backend is wanted:
            found.append(Check(name=name, status=Status.OK, text=text))
        else:
            mend = f"execution.environment asks for {wanted.value}: mend what is said, or ask for less"
            found.append(Check(name=name, status=Status.WARN, text=text, mend=mend))
    return found


def process_alive(pid: int) -> bool:
    """Whether ``pid`` exists; a zombie does not count."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace").rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def port_owner(port: int) -> str:
    """``name (pid)`` of the process that listens on a TCP port, empty where /proc does not tell."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for row in (line.split() for line in rows):
            if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:  # 0A is LISTEN
                inodes.add(f"socket:[{row[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            if any(str(fd.readlink()) in inodes for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text('utf-8').strip()} ({process.name})"
        except OSError:
            continue
    return ""


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _adjtimex() -> tuple[int, int, int] | None:
    """State, status flags and maximum error (microseconds) of the kernel's clock; Linux only, asks without setting."""
    try:
        call = ctypes.CDLL(None, use_errno=True).adjtimex
    except (AttributeError, OSError):
        return None
    timex = (ctypes.c_long * 64)()  # larger than struct timex; modes = 0 only reads
    state = int(call(ctypes.byref(timex)))
    if state < 0:
        return None
    status = ctypes.cast(ctypes.byref(timex, 5 * ctypes.sizeof(ctypes.c_long)), ctypes.POINTER(ctypes.c_int))[0]
    return state, int(status), int(timex[3])
