"""The outer tree's system base: stock ``multiprocTCPBase``, every socket on loopback, the admin's port configured.

Thespian's admin listens on all interfaces whatever its capabilities say and its messages are pickles, so the bind
address is not a preference: `loopback` must run before any ActorSystem is made, in every process of the tree.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from thespian.actors import ActorSystem
from thespian.system.transport.IPBase import IPActorAddress

LOOPBACK = "127.0.0.1"
BASE = "multiprocTCPBase"


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


def start_system(admin_port: int, level: str = "WARNING") -> ActorSystem:
    """Start the outer ActorSystem; ``OSError`` when the admin's port is taken by somebody else."""
    loopback()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, admin_port))
    return ActorSystem(
        BASE,
        capabilities={"Admin Port": admin_port, "Process Startup Method": "fork", "Convention Address.IPv4": None},
        logDefs=logging_definitions(level),
    )
