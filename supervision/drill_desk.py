"""A real desk of a drill's own: its processes, ports and directory, how it ends, and what it left behind.

Owns starting, looking from outside, stopping and the audit. What is broken, and when, is the drills' own business.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import LinkMessage
from adapters.clock import SystemClock
from adapters.config import DeskConfig, load_config
from adapters.free_ports import free_port
from adapters.heartbeat_board import HeartbeatBoard
from adapters.links import LinkCodec
from adapters.permit_board import OperatorBoard, PermitReader
from adapters.sent_log import read_sent
from supervision.desk_plan import INSTRUMENTS
from supervision.drill_audit import audit
from supervision.plan import paths_of
from supervision.root import alive
from trading.brakes import Level

MS = 1_000_000
HURT_VENUE = "binanceusdm"
_POLL_S, _POLL_S_MAX = 0.002, 0.01


class DrillResult(msgspec.Struct, kw_only=True):
    """What a drill measured.

    Times in milliseconds from the blow; counts must be 0. ``passed`` compares with the goals.
    """

    drill: str
    detected_ms: float | None
    recovered_ms: float | None
    duplicated_orders: int
    lost_fills: int
    orders_after_hold: int
    orphans: int
    passed: bool
    synthetic: bool = True
    fills_before: int = 0
    orders_total: int = 0
    fills_total: int = 0
    detail: dict[str, Any] = {}


class DrillFailed(RuntimeError):  # noqa: N818 - the drill's outcome, not a fault of ours
    """The desk did not get to where the drill could be done."""


class DrillDesk:
    """A real desk of its own: process tree, data directory, ports. ``more`` is added to its configuration.

    ``basis`` scales the swings of the perpetuals' premium: where they are small, venues do not hold each other.
    """

    def __init__(self, directory: Path, *, seed: int = 7, more: str = "", basis: float = 1.0) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.admin_port = free_port()
        while not 1_024 <= self.admin_port <= 65_000:
            self.admin_port = free_port()
        self.config_path = directory / "drill.yaml"
        self.config_path.write_text(
            "profile: paper\n"
            f"data_dir: {self.data}\nadmin_port: {self.admin_port}\nserver: {{port: {self.port}}}\n"
            f"generator: {{seed: {seed}, activity: 1.0, basis: {basis}}}\n{more}"
        )
        self.config: DeskConfig = load_config(self.config_path)
        self.paths = paths_of(self.data)
        self.clock = SystemClock()
        self.log = (directory / "desk.log").open("w")
        self.process: subprocess.Popen[bytes] | None = None
        self._pause = threading.Event()

    def start(self) -> None:
        """Start it under its watcher, as on a server."""
        env = {**os.environ, "DESK_DRILLS": "1", "TELEGRAM_BOT_TOKEN": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervision", "run", "--respawn", "--config", str(self.config_path)],
            env=env,
            stdout=self.log,
            stderr=self.log,
            cwd=Path(__file__).resolve().parents[1],
            start_new_session=True,
        )

    def wait(self, what: str, condition: Callable[[], bool], timeout_s: float) -> float:
        """Wait for a condition; milliseconds it took.

        Raises:
            DrillFailed: with the desk's last words when it does not come.
        """
        started = self.clock.mono_ns()
        while not condition():
            waited_s = (self.clock.mono_ns() - started) / 1e9
            if waited_s > timeout_s:
                self.log.flush()
                tail = (self.directory / "desk.log").read_text()[-1_500:]
                seen = f"{len(self.pids())} processes live, brakes: {self.reasons()}"
                raise DrillFailed(f"{what} did not happen within {timeout_s} s ({seen}); the desk said:\n{tail}")
            # What took long need not be known to the millisecond, and looking takes the desk's processors.
            self._pause.wait(min(max(_POLL_S, waited_s / 100), _POLL_S_MAX))
        return (self.clock.mono_ns() - started) / MS

    def pids(self) -> dict[str, int]:
        """Living processes by name."""
        if not self.paths.heartbeat.exists():
            return {}
        return {b.name: b.pid for b in HeartbeatBoard(self.paths.heartbeat).read() if alive(b.pid)}

    def sent(self, venue: str | None = None) -> list[tuple[int, str]]:
        """Orders that left, by venue or all."""
        venues = [venue] if venue else list(self.config.venues)
        return sorted(row for v in venues for row in read_sent(self.paths.sent(v)))

    def sent_after(self, mono_ns: int, venue: str | None = None) -> int:
        """How many orders left after a moment."""
        return sum(1 for stamp, _ in self.sent(venue) if stamp > mono_ns)

    def modes(self) -> dict[str, Level]:
        """Brake levels by scope as a gateway sees them; global HOLD when there is no valid permit."""
        reader = PermitReader(self.paths.board)
        lease = reader.lease()
        modes = reader.modes()
        if lease is None or lease.expires_mono_ns < self.clock.mono_ns():
            modes["global"] = max(Level.HOLD, modes.get("global", Level.RUN))
        return modes

    def reasons(self) -> str:
        """The brakes with their causes as the page shows them; only the levels where the page cannot be asked."""
        url = f"http://127.0.0.1:{self.port}/api/ui/control-state"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                brakes = json.load(answer)["brakes"]
        except (OSError, ValueError, KeyError):
            return f"{self.modes()}, and the page does not answer"
        return json.dumps(brakes)

    def holds(self) -> bool:
        """Whether any scope is in HOLD or worse."""
        return any(level >= Level.HOLD for level in self.modes().values())

    def trading(self) -> bool:
        """Permit valid, nothing held, every cell alive."""
        wanted = {"root", *self.config.placement}
        return wanted <= set(self.pids()) and not self.holds()

    def wait_trading(self, orders: int = 25, timeout_s: float = 60.0) -> None:
        """Until it trades on the venue that will be hurt."""
        self.wait("trading", self.trading, timeout_s)
        self.wait("orders", lambda: len(self.sent(HURT_VENUE)) >= orders, timeout_s)

    def book_rows(self) -> list[dict[str, Any]]:
        """The books as the page shows them."""
        url = f"http://127.0.0.1:{self.port}/api/ui/books"
        with urllib.request.urlopen(url, timeout=2) as answer:
            books = json.load(answer)["books"]
        return list(books.values() if isinstance(books, dict) else books)

    def book_states(self) -> set[str]:
        """In which states the books are; what cannot be asked is no state."""
        try:
            return {str(row["state"]) for row in self.book_rows()}
        except OSError:
            return set()

    def mids_ticks(self) -> dict[str, int]:
        """The middles of the books as the page shows them, in ticks by instrument."""
        return {
            row["instrument_id"]: int(
                (Decimal(row["bid"]) + Decimal(row["ask"])) / 2 / INSTRUMENTS[row["instrument_id"]].tick_size
            )
            for row in self.book_rows()
        }

    def tell(self, cell: str, batch: list[tuple[str, Any]]) -> None:
        """Put messages into a cell over its own link."""
        codec = LinkCodec(LinkMessage)
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(self.paths.link(cell)))
            link.sendall(codec.encode(batch))

    def stop(self, timeout_s: float = 12.0) -> float:
        """Ctrl-C; seconds until it was gone. Whatever is left after that is killed."""
        assert self.process is not None
        started = self.clock.mono_ns()
        known = self.pids()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
        took = (self.clock.mono_ns() - started) / 1e9
        self.kill_left(known)
        self.log.close()
        return took

    def kill_left(self, known: dict[str, int]) -> None:
        """End what should not be there any more, by its pid."""
        for pid in {**known, **self.pids()}.values():
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def hold(desk: DrillDesk, cause: str) -> int:
    """What ``propdesk hold`` does; the monotonic time at which it was done."""
    OperatorBoard(desk.paths.board).set("global", Level.HOLD, cause, "drill", desk.clock.wall_ns())
    return desk.clock.mono_ns()


def release(desk: DrillDesk) -> None:
    """What ``propdesk resume`` does."""
    OperatorBoard(desk.paths.board).clear("global", "drill", None, desk.clock.wall_ns())


def finish(
    drill: str,
    desk: DrillDesk,
    detail: dict[str, Any],
    *,
    detected_ms: float | None = None,
    recovered_ms: float | None = None,
    recovered_ms_max: float = 5_000,
    orphans: int = 0,
) -> DrillResult:
    """HOLD, stop, count and compare: how every drill ends."""
    held_ns = hold(desk, f"end of drill {drill}")
    threading.Event().wait(0.5)
    after_hold = desk.sent_after(held_ns)
    pids = desk.pids()
    stop_s = desk.stop()
    orphans += sum(1 for pid in pids.values() if alive(pid))
    sent = Counter(cl_ord_id for _, cl_ord_id in desk.sent())
    duplicated = sum(n - 1 for n in sent.values() if n > 1)
    found = audit(desk.paths, tuple(desk.config.venues))
    detail = {**detail, "stop_s": round(stop_s, 2), **found.detail}
    passed = (
        duplicated == 0
        and found.duplicated_orders == 0
        and found.lost_fills == 0
        and after_hold == 0
        and orphans == 0
        and stop_s <= 10.0
        and (detected_ms is None or detected_ms <= 1_000)
        and (recovered_ms is None or recovered_ms <= recovered_ms_max)
    )
    return DrillResult(
        drill=drill,
        detected_ms=None if detected_ms is None else round(detected_ms, 1),
        recovered_ms=None if recovered_ms is None else round(recovered_ms, 1),
        duplicated_orders=duplicated + found.duplicated_orders,
        lost_fills=found.lost_fills,
        orders_after_hold=after_hold,
        orphans=orphans,
        passed=passed,
        orders_total=len(sent),
        fills_total=found.fills,
        detail=detail,
    )
