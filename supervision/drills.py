"""Drills: a real desk is started, trades, is hurt, and is measured from outside.

What is measured comes from evidence that the hurt parts do not write: the sent logs of the gateways, the permit and
heartbeat boards, the simulated venues' own accounts, and the journal read back after the desk was stopped.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import DrillFault, Flood, LinkMessage
from adapters.clock import SystemClock
from adapters.config import DeskConfig, load_config
from adapters.heartbeat_board import HeartbeatBoard
from adapters.links import LinkCodec
from adapters.permit_board import OperatorBoard, PermitReader
from adapters.sent_log import read_sent
from supervision.drill_audit import audit
from supervision.plan import paths_of
from supervision.root import alive
from supervision.wiring import INSTRUMENTS
from trading.brakes import Level
from trading.orders.messages import QuoteIntent

_MS = 1_000_000
_POLL_S = 0.002
_HURT_VENUE = "binanceusdm"
_PERP = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
_BACKLOG = 10_000
_TRIALS = 50


_FAST = """\
risk: {throttle_orders_per_sec: 1000, max_inflight_orders: 500}
execution: {pace: {min_order_interval_ms: 0, min_quote_interval_ms: 1, orders_per_symbol_per_min: 1000000}}
venues:
  binance: {instruments: ["BINANCE:SPOT:BTC-USDT"], sim: {order_latency_ms: 0, report_latency_ms: 0, jitter_ms: 0,
    initial_balances: {USDT: 50000, BTC: 0.5}}}
  binanceusdm: {instruments: ["BINANCEUSDM:PERP:BTC-USDT:LINEAR"], sim: {order_latency_ms: 0, report_latency_ms: 0,
    jitter_ms: 0, initial_balances: {USDT: 50000}}}
  binancecoinm: {instruments: ["BINANCECOINM:PERP:BTC-USD:INVERSE"], sim: {order_latency_ms: 0, report_latency_ms: 0,
    jitter_ms: 0, initial_balances: {BTC: 0.8}}}
"""
"""No pauses between orders and a venue that answers at once: orders leave as fast as the desk can decide them."""


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


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class DrillDesk:
    """A real desk of its own: process tree, data directory, ports."""

    def __init__(self, directory: Path, *, seed: int = 7, fast: bool = False) -> None:
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
            f"generator: {{seed: {seed}, activity: 1.0}}\n" + (_FAST if fast else "")
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
            if self.clock.mono_ns() - started > timeout_s * 1e9:
                self.log.flush()
                tail = (self.directory / "desk.log").read_text()[-1_500:]
                raise DrillFailed(f"{what} did not happen within {timeout_s} s; the desk said:\n{tail}")
            self._pause.wait(_POLL_S)
        return (self.clock.mono_ns() - started) / _MS

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
        self.wait("orders", lambda: len(self.sent(_HURT_VENUE)) >= orders, timeout_s)

    def mid_ticks(self) -> int:
        """The middle of the hurt venue's book as its page shows it, in ticks."""
        url = f"http://127.0.0.1:{self.port}/api/ui/books"
        with urllib.request.urlopen(url, timeout=2) as answer:
            books = json.load(answer)["books"]
        rows = books.values() if isinstance(books, dict) else books
        book = next(row for row in rows if row["instrument_id"] == _PERP)
        tick = INSTRUMENTS[_PERP].tick_size
        return int((Decimal(book["bid"]) + Decimal(book["ask"])) / 2 / tick)

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


class _Blow(msgspec.Struct):
    """What a drill did and what must follow."""

    hit_ns: int
    victims: list[int]
    venue: str | None = None
    scope: str | None = None
    name: str | None = None


def _kill(desk: DrillDesk, name: str, number: int = signal.SIGKILL) -> _Blow:
    pid = desk.pids()[name]
    hit = desk.clock.mono_ns()
    os.kill(pid, number)
    return _Blow(hit_ns=hit, victims=[pid], name=name)


def _kill_tree(desk: DrillDesk, name: str) -> _Blow:
    pids = desk.pids()
    blow = _kill(desk, name)
    blow.victims = list(pids.values())
    return blow


def _fault(desk: DrillDesk, cell: str, target: str, kind: str) -> _Blow:
    hit = desk.clock.mono_ns()
    desk.tell(cell, [(target, DrillFault(kind=kind, target=target))])
    return _Blow(hit_ns=hit, victims=[])


def _blow(drill: str, desk: DrillDesk) -> _Blow:
    cell = f"venue-{_HURT_VENUE}"
    match drill:
        case "kill-venue":
            blow = _kill(desk, cell)
            blow.venue, blow.scope = _HURT_VENUE, f"venue:{_HURT_VENUE}"
        case "hang-venue":
            blow = _kill(desk, cell, signal.SIGSTOP)
            blow.venue, blow.scope = _HURT_VENUE, f"venue:{_HURT_VENUE}"
        case "kill-desk":
            blow = _kill(desk, "desk")
            blow.scope = "global"
        case "kill-ops":
            blow = _kill(desk, "ops")
        case "kill-root":
            blow = _kill_tree(desk, "root")
            blow.scope = "global"
        case "kill-admin":
            blow = _kill_tree(desk, "admin")
            blow.scope = "global"
        case "poison-strategy":
            blow = _fault(desk, "desk", "strategy.maker-usdm", "raise")
            blow.scope = "strategy:maker-usdm"
        case "raise-after-effect":
            blow = _fault(desk, "desk", "orders", "raise_after_effect")
            blow.scope = f"venue:{_HURT_VENUE}"
        case _:
            raise ValueError(f"no drill {drill!r}; drills: {', '.join(DRILLS)}")
    return blow


DRILLS = (
    "kill-venue",
    "kill-desk",
    "kill-ops",
    "hang-venue",
    "kill-root",
    "kill-admin",
    "poison-strategy",
    "raise-after-effect",
    "backlog-hold",
)


def run_drill(drill: str, say: Callable[[str], None], *, trials: int = _TRIALS) -> DrillResult:
    """Start a desk, wait until it trades, hurt it, measure, stop it, audit what it left behind."""
    if drill not in DRILLS:
        raise ValueError(f"no drill {drill!r}; drills: {', '.join(DRILLS)}")
    with tempfile.TemporaryDirectory(prefix="propdesk-drill-") as directory:
        desk = DrillDesk(Path(directory), fast=drill == "backlog-hold")
        desk.start()
        try:
            say("waiting until it trades")
            desk.wait_trading()
            if drill == "backlog-hold":
                return _backlog(desk, say, trials)
            return _measured(drill, desk, say)
        finally:
            if desk.process is not None and desk.process.poll() is None:
                desk.stop()


def _measured(drill: str, desk: DrillDesk, say: Callable[[str], None]) -> DrillResult:
    before = len(desk.sent())
    old = desk.pids()
    say(f"{drill}: now, after {before} orders")
    blow = _blow(drill, desk)

    def detected() -> bool:
        modes = desk.modes()
        if blow.scope is not None:
            # A desk that comes back within the old permit's life never shows a global HOLD: its venues are held anew.
            held = {scope for scope, level in modes.items() if level >= Level.HOLD}
            return bool(held) if blow.scope == "global" else bool(held & {blow.scope, "global"})
        assert blow.name is not None
        return desk.pids().get(blow.name) not in {None, old[blow.name]}

    detected_ms = desk.wait("detection", detected, 5.0)
    say(f"detected after {detected_ms:.0f} ms")
    desk.wait("recovery", desk.trading, 20.0)
    reconciled_ns = desk.clock.mono_ns()
    desk.wait("an order after recovery", lambda: desk.sent_after(blow.hit_ns, _HURT_VENUE) > 0, 20.0)
    if blow.scope is not None and blow.scope != "strategy:maker-usdm":
        desk.wait("an order after reconciliation", lambda: desk.sent_after(reconciled_ns, blow.venue) > 0, 20.0)
    recovered_ms = (reconciled_ns - blow.hit_ns) / _MS
    say(f"trading again after {recovered_ms:.0f} ms")
    left = 2.0 - (desk.clock.mono_ns() - blow.hit_ns) / 1e9
    if left > 0:
        threading.Event().wait(left)
    orphans = sum(1 for pid in blow.victims if alive(pid))
    detail = {"orders_before": before}
    return _finish(drill, desk, detail, detected_ms=detected_ms, recovered_ms=recovered_ms, orphans=orphans)


def _hold(desk: DrillDesk, cause: str) -> int:
    OperatorBoard(desk.paths.board).set("global", Level.HOLD, cause, "drill", desk.clock.wall_ns())
    return desk.clock.mono_ns()


def _release(desk: DrillDesk) -> None:
    OperatorBoard(desk.paths.board).clear("global", "drill", None, desk.clock.wall_ns())


def _finish(
    drill: str,
    desk: DrillDesk,
    detail: dict[str, Any],
    *,
    detected_ms: float | None = None,
    recovered_ms: float | None = None,
    orphans: int = 0,
) -> DrillResult:
    held_ns = _hold(desk, f"end of drill {drill}")
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
        and (recovered_ms is None or recovered_ms <= 5_000)
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


def _quote(n: int, mid_ticks: int, now_ns: int) -> QuoteIntent:
    """A quote far from the touch that differs from the one before, so that each asks for two orders."""
    return QuoteIntent(
        intent_id=f"drill:{n}",
        strategy_id="maker-usdm",
        instrument_id=_PERP,
        bid_ticks=mid_ticks - 400 - n * 7 % 200,
        bid_lots=4 + n % 2,
        ask_ticks=mid_ticks + 400 + n * 7 % 200,
        ask_lots=4 + n % 2,
        confidence=1.0,
        ttl_ns=5_000_000_000,
        reasons=("drill backlog",),
        cause="drill",
        ts_init_ns=now_ns,
    )


def _backlog(desk: DrillDesk, say: Callable[[str], None], trials: int) -> DrillResult:
    """Orders leave all the time and 10,000 messages wait in the desk: when does the last order leave after HOLD?"""
    late_ms: list[float] = []
    after = before = quotes = mid = 0
    pause = threading.Event()
    ballast = [("orders" if n % 2 else "arbiter", Flood(n=n)) for n in range(_BACKLOG)]

    def quote() -> None:
        nonlocal quotes
        quotes += 1
        desk.tell("desk", [("arbiter", _quote(quotes, mid, desk.clock.wall_ns()))])
        pause.wait(0.005)

    for trial in range(trials):
        desk.wait("trading before a trial", desk.trading, 20.0)
        mid = desk.mid_ticks()
        for _ in range(40 + trial % 10):
            quote()
        desk.tell("desk", ballast)
        held_ns = _hold(desk, f"trial {trial}")
        for _ in range(20):
            quote()
        pause.wait(0.1)
        sent = desk.sent()
        stamps = [stamp for stamp, _ in sent if stamp > held_ns]
        before += sum(1 for stamp, _ in sent if held_ns - 50 * _MS < stamp <= held_ns)
        late_ms.append(max((stamp - held_ns) / _MS for stamp in stamps) if stamps else 0.0)
        after += sum(1 for stamp in stamps if stamp - held_ns > 50 * _MS)
        _release(desk)
        if trial % 10 == 9:
            say(f"{trial + 1} of {trials} trials, worst {max(late_ms):.3f} ms")
    ordered = sorted(late_ms)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    detail = {
        "trials": trials,
        "backlog": _BACKLOG,
        "messages_queued": trials * _BACKLOG,
        "orders_in_the_50_ms_before_hold": before,
        "last_order_ms_p50": round(ordered[len(ordered) // 2], 3),
        "last_order_ms_p99": round(p99, 3),
        "last_order_ms_max": round(ordered[-1], 3),
    }
    desk.wait("trading after the trials", desk.trading, 20.0)
    result = _finish("backlog-hold", desk, detail)
    result.orders_after_hold += after
    # Without orders under way at HOLD the drill would prove nothing.
    result.passed = result.passed and p99 <= 50 and after == 0 and before >= trials // 2
    return result
