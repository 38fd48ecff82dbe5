"""The actor of the loopback servers: starts one a venue, says when they are up, tells operators what they serve.

Owns no market and no protocol: both are the servers'. It is the outside world of a desk that has none.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec

from actors.shell import Shell
from adapters.simserver.server import SimServer, SimServerSpec
from adapters.simserver.trading.account import AccountSpec
from trading.operators import Published, Topic

__all__ = ["AccountSpec", "SimServerSpec", "SimVenueActor", "SimVenueSetup"]


class SimVenueSetup(msgspec.Struct, frozen=True, kw_only=True):
    """One server a venue. ``doors``: sockets that listen already, by venue; the first servers take them."""

    servers: tuple[SimServerSpec, ...]
    doors: dict[str, socket.socket] = {}
    publish_ns: int = 1_000_000_000
    ops: str = "ops"


class ServerFailed(msgspec.Struct, frozen=True):
    """A server could not start."""

    venue: str
    text: str


class SimVenueActor(Shell):
    """Serves until it is told to leave; a server that cannot start is this actor's failure."""

    def start(self, setup: SimVenueSetup) -> None:
        """Bind and serve."""
        self._setup = setup
        self._servers = [SimServer(spec, self.clock, setup.doors.pop(spec.venue, None)) for spec in setup.servers]
        self._serving = asyncio.get_running_loop().create_task(self._serve(), name="simvenue")
        self.wake_after(setup.publish_ns, "publish")

    async def _serve(self) -> None:
        for spec, server in zip(self._setup.servers, self._servers, strict=True):
            try:
                await server.start()
            except OSError as error:
                self.threadsafe_tell()(self.name, ServerFailed(spec.venue, str(error)))
                return

    def on(self, msg: Any) -> None:
        """A server could not start."""
        if type(msg) is ServerFailed:
            raise OSError(f"the loopback server of {msg.venue} could not start: {msg.text}")
        self.unknown(msg)

    def on_tick(self, tag: str) -> None:
        """Tell the operators."""
        self.wake_after(self._setup.publish_ns, "publish")
        series: list[list[object]] = []
        for spec, server in zip(self._setup.servers, self._servers, strict=True):
            labels = {"venue": spec.venue}
            state = server.state()
            series.append(["simvenue_connections", "gauge", labels, state.connections])
            series.append(["simvenue_messages_sent_total", "counter", labels, state.messages_sent])
            series.append(["simvenue_faults_applied_total", "counter", labels, state.faults_applied])
        self.tell(
            self._setup.ops,
            Published(topic=Topic.METRICS, key="simvenue", body={"series": series}, ts_ns=self.now_ns()),
        )

    def stop(self) -> None:
        """Close the sockets."""
        self._serving.cancel()
        servers, self._servers = self._servers, []
        self._closing = [
            asyncio.get_running_loop().create_task(server.close(), name="simvenue close") for server in servers
        ]
