"""The outer tree's system base: stock ``multiprocTCPBase``, every socket on loopback, the admin's port configured.

Thespian's admin listens on all interfaces whatever its capabilities say and its messages are pickles, so the bind
address is not a preference: `loopback` must run before any ActorSystem is made, in every process of the tree.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import Any

from thespian.actors import ActorSystem
from thespian.system.transport.IPBase import IPActorAddress

from adapters.clock import SystemClock

LOOPBACK = "127.0.0.1"
BASE = "multiprocTCPBase"
_PORT_TICK_S = 0.02


def loopback() -> None:
    """Bind every socket of the outer tree to loopback. Forked processes inherit it."""
    os.environ["THESPIAN_BASE_IPADDR"] = LOOPBACK
    IPActorAddress.bindArgs = property(lambda self: ((LOOPBACK, self.sockname[1]),))


def logging_definitions(level: str) -> dict[str, Any]:
    """Log records of the outer tree go to stderr, one line each."""
    return {
        "version": 1,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(message)s"}},
        "handlers": {"err": {"class": "logging.StreamHandler", "formatter": "line", "stream": sys.stderr}},
        "root": {"handlers": ["err"], "level": level},
        "disable_existing_loggers": False,
    }


def wait_free(port: int, patience_s: float) -> None:
    """Until nobody has a port of loopback; ``OSError`` when somebody still has after ``patience_s``."""
    clock = SystemClock()
    deadline_ns = clock.mono_ns() + int(patience_s * 1e9)
    pause = threading.Event()
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                if clock.mono_ns() >= deadline_ns:
                    raise
            else:
                return
        pause.wait(_PORT_TICK_S)


def start_system(admin_port: int, level: str = "WARNING", *, patience_s: float = 0.0) -> ActorSystem:
    """Start the outer ActorSystem; ``OSError`` when the admin's port is taken by somebody else, and stays so."""
    loopback()
    wait_free(admin_port, patience_s)
    return ActorSystem(
        BASE,
        capabilities={"Admin Port": admin_port, "Process Startup Method": "fork", "Convention Address.IPv4": None},
        logDefs=logging_definitions(level),
    )
