"""The status actor of a cell: publishes its supervision tree and the health of its loop."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from actors.shell import Shell
from supervision.supervisor import SupervisorView
from trading.operators import Published, Topic

_PAGE = os.sysconf("SC_PAGE_SIZE")


def rss_mb(pid: int | str = "self") -> float:
    """Resident memory of a process in MB (``/proc``); 0.0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123 - read every second, keep it light
            return int(file.read().split()[1]) * _PAGE / 1e6
    except OSError:
        return 0.0


def pss_mb(pid: int) -> float:
    """Memory of a process in MB, pages that it shares counted in proportion; 0.0 when the process is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123 - as above
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1_024 / 1e6
    except OSError:
        pass
    return 0.0


class StatusSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Which cell, and how often it reports. ``extra`` gives series of the cell's links."""

    cell: str
    extra: Any
    publish_ns: int = 1_000_000_000
    ops: str = "ops"


class Status(Shell):
    """Merges what supervisors say with what the system base knows."""

    def start(self, setup: StatusSetup) -> None:
        """Begin to report."""
        self._setup = setup
        self._views: dict[str, SupervisorView] = {}
        self._started = self.mono_ns()
        self._due = 0
        self._arm()

    def _arm(self) -> None:
        self._due = self.mono_ns() + self._setup.publish_ns
        self.wake_after(self._setup.publish_ns, "publish")

    def on(self, msg: Any) -> None:
        """A supervisor's rows changed."""
        if type(msg) is SupervisorView:
            self._views[msg.id] = msg
        else:
            self.unknown(msg)

    def on_tick(self, tag: str) -> None:
        """Publish the tree and the loop's metrics."""
        lag_ms = (self.mono_ns() - self._due) / 1e6
        self._arm()
        base = self._myRef.base
        mailboxes = {view.name: (view.depth, view.handled) for view in base.tree()}
        now = self.now_ns()
        cell = self._setup.cell
        body: dict[str, object] = {
            "cell": cell,
            "pid": os.getpid(),
            "state": "running",
            "rss_mb": round(rss_mb(), 1),
            "uptime_s": round((self.mono_ns() - self._started) / 1e9, 1),
            "loop_lag_ms": round(lag_ms, 3),
            "children": [
                self._branch(view, mailboxes) for view in self._views.values() if view.parent not in self._views
            ],
        }
        self.tell(self._setup.ops, Published(topic=Topic.TREE, key=cell, body=body, ts_ns=now))
        labels: dict[str, str] = {}
        series: list[list[object]] = [
            ["process_resident_megabytes", "gauge", labels, body["rss_mb"]],
            ["loop_lag_ms", "gauge", labels, body["loop_lag_ms"]],
            *([f"actors_{name}", "counter", labels, value] for name, value in base.stats().items()),
            *self._setup.extra(),
        ]
        self.tell(self._setup.ops, Published(topic=Topic.METRICS, key=cell, body={"series": series}, ts_ns=now))

    def _branch(self, view: SupervisorView, mailboxes: dict[str, tuple[int, int]]) -> dict[str, object]:
        children: list[dict[str, object]] = []
        for row in view.children:
            child_id = str(row["id"])
            depth, handled = mailboxes.get(child_id, (0, 0))
            child = {**row, "mailbox": depth, "handled": handled}
            below = self._views.get(child_id)
            if below is not None:
                child["children"] = self._branch(below, mailboxes)["children"]
            children.append(child)
        depth, handled = mailboxes.get(view.id, (0, 0))
        return {
            "id": view.id,
            "state": "running",
            "restarts": 0,
            "strategy": view.strategy,
            "mailbox": depth,
            "handled": handled,
            "children": children,
        }
