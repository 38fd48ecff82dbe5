"""What root and cells need to know to begin: paths, placement, times. Light on purpose: outer processes import it.

Crosses process boundaries as msgpack; the configuration travels inside as bytes that only a cell opens.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from adapters.wirelog import SessionFacts

DRILLS_VARIABLE = "DESK_DRILLS"
"""Set to 1 by `propdesk drill` for the desk that it starts, and by nobody else."""
_SOCKET_PATH_MAX = 100
_DESK = frozenset(
    {"journal", "governor", "arbiter", "orders", "portfolio", "protection", "market", "second_source", "universe"}
    | {"strategy", "strategies", "core"}
)


class Paths(msgspec.Struct, frozen=True):
    """Where a desk keeps things; ``links`` is apart because a Unix socket's path may have 108 bytes at most."""

    data: str
    links: str

    @property
    def board(self) -> Path:
        """The permit board."""
        return Path(self.data) / "permit.board"

    @property
    def pid(self) -> Path:
        """The process id of the running desk, in decimal."""
        return Path(self.data) / "propdesk.pid"

    @property
    def port(self) -> Path:
        """The port of the running desk's HTTP, in decimal; `run --port` differs from the configuration's."""
        return Path(self.data) / "propdesk.port"

    @property
    def heartbeat(self) -> Path:
        """The heartbeat board."""
        return Path(self.data) / "heartbeat.board"

    @property
    def journal(self) -> Path:
        """The order journal."""
        return Path(self.data) / "journal.db"

    @property
    def brakes(self) -> Path:
        """The brakes that survive a restart."""
        return Path(self.data) / "brakes.msgpack"

    @property
    def paper(self) -> Path:
        """The simulated venues' accounts."""
        return Path(self.data) / "paper"

    def account(self, venue: str) -> Path:
        """The account at the loopback server of a venue, where orders go over its wire."""
        return self.paper / f"{venue}.account"

    @property
    def universe(self) -> Path:
        """The allow-list and its trail."""
        return Path(self.data) / "universe"

    def drop_copy(self, venue: str) -> Path:
        """The drop copy of a venue: what its record says was executed."""
        return Path(self.data) / "dropcopy" / f"{venue}.db"

    @property
    def operations(self) -> Path:
        """What operators and other programs asked for with a key of their own."""
        return Path(self.data) / "operations.db"

    @property
    def reports(self) -> Path:
        """Statements of days and sessions."""
        return Path(self.data) / "reports"

    @property
    def wire(self) -> Path:
        """The recorded wire logs."""
        return Path(self.data) / "history" / "wire"

    def sent(self, venue: str) -> Path:
        """The log of orders that left for a venue."""
        return Path(self.data) / "sent" / f"{venue}.log"

    def link(self, cell: str) -> Path:
        """The socket on which a cell hears the others."""
        return Path(self.links) / f"{cell}.sock"


def paths_of(data: Path) -> Paths:
    """The paths of a desk whose data directory is ``data``."""
    links = data / "links"
    if len(str(links)) > _SOCKET_PATH_MAX - 40:
        digest = hashlib.sha256(str(data).encode()).hexdigest()[:12]
        links = Path(tempfile.gettempdir()) / f"propdesk-{os.getuid()}-{digest}"
    return Paths(data=str(data), links=str(links))


class RootPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the root needs to know; crosses process boundaries. ``sim_ports``: the loopback server of each venue."""

    config: bytes
    placement: dict[str, tuple[str, ...]]
    paths: Paths
    anchor_ns: int
    facts: SessionFacts
    sim_ports: dict[str, int] = {}
    starter_pid: int
    hang_ms: int
    boot_ms: int = 8_000
    heartbeat_ms: int
    orphan_ms: int
    intensity: int
    period_ms: int
    backoff_ms_min: int
    backoff_ms_max: int


class Flight(msgspec.Struct, frozen=True, kw_only=True):
    """What `supervision.commands.preflight` found out for the process that starts the tree.

    ``any_ports``: nobody chose the ports of ``plan.sim_ports``; another start may take others.
    """

    plan: RootPlan
    any_ports: bool = False
    url: str
    profile: str
    market: str
    way: str = ""
    http_port: int
    admin_port: int
    orders: str = ""


class CellPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell needs to know."""

    cell: str
    roles: tuple[str, ...]
    placement: dict[str, tuple[str, ...]]
    paths: Paths
    config: bytes
    anchor_ns: int
    facts: SessionFacts
    sim_ports: dict[str, int] = {}
    root_pid: int
    heartbeat_ms: int
    orphan_ms: int

    @property
    def peers(self) -> tuple[str, ...]:
        """The other cells."""
        return tuple(cell for cell in self.placement if cell != self.cell)

    def cell_of(self, name: str) -> str | None:
        """The cell in which an actor of this name lives; None when no role has it."""
        role = role_of(name)
        if role is None:
            kind, _, cell = name.partition(".")
            return cell if kind in {"status", "drain"} and cell in self.placement else None
        return next((cell for cell, roles in self.placement.items() if role in roles), None)


def role_of(name: str) -> str | None:
    """The role that an actor's name belongs to."""
    head, _, rest = name.partition(".")
    if head in {"gateway", "connector", "features", "reporter", "venue"}:
        return f"venue:{rest}"
    if head in _DESK:
        return "desk"
    if head in {"drop_copy", "guard", "watch-top"}:
        return "ops"  # away from what they look after
    return head if head in {"ops", "simvenue"} else None


def cell_plan(root: RootPlan, cell: str, root_pid: int) -> CellPlan:
    """One cell's part of the root's plan."""
    return CellPlan(
        cell=cell,
        roles=root.placement[cell],
        placement=root.placement,
        paths=root.paths,
        config=root.config,
        anchor_ns=root.anchor_ns,
        facts=root.facts,
        sim_ports=root.sim_ports,
        root_pid=root_pid,
        heartbeat_ms=root.heartbeat_ms,
        orphan_ms=root.orphan_ms,
    )


def encode_cell_plan(plan: CellPlan) -> bytes:
    """Bytes for the outer mailbox."""
    return msgspec.msgpack.encode(plan)


def decode_cell_plan(blob: bytes) -> CellPlan:
    """The plan of `encode_cell_plan`."""
    return msgspec.msgpack.decode(blob, type=CellPlan)
