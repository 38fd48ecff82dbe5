"""Ports on loopback that nobody has: for servers whose port nobody chose."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack


def free_ports(names: Iterable[str]) -> dict[str, int]:
    """A port for each name, all different. Free now, which is no promise."""
    with ExitStack() as held:
        ports: dict[str, int] = {}
        for name in names:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports[name] = probe.getsockname()[1]
        return ports


def free_port() -> int:
    """One of them."""
    return free_ports(("one",))["one"]
