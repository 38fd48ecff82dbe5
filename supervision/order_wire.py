"""How a venue's gateway is built where its orders travel over sockets. Imported only by cells that send."""

from __future__ import annotations

import msgspec

from actors.gateway import GatewaySetup
from actors.live_gateway import LiveGateway, LiveGatewaySetup
from adapters.config import DeskConfig
from adapters.limits.build import limiter_for
from adapters.orders.link import OrderLinkSpec
from adapters.orders.wire import Credentials
from supervision.order_core import WIRE_AGE_MS
from supervision.supervisor import ChildStart

PAPER_KEYS = Credentials(api_key="paper-key", secret="paper-secret", passphrase="paper-pass")  # noqa: S106
"""Of the loopback servers' accounts: they open nothing else."""


def live_gateway(venue: str, gate: GatewaySetup, port: int, config: DeskConfig) -> ChildStart:
    """The gateway of the account at the loopback server that stands for ``venue`` on ``port``."""
    link = OrderLinkSpec(
        venue=venue,
        instruments=tuple(gate.instruments.values()),
        credentials=PAPER_KEYS,
        rest=f"http://127.0.0.1:{port}",
        ws=f"ws://127.0.0.1:{port}",
    )
    setup = LiveGatewaySetup(
        gate=msgspec.structs.replace(gate, max_age_ms=WIRE_AGE_MS),
        link=link,
        limiter=lambda clock: limiter_for(venue, config, clock),
    )
    return ChildStart(LiveGateway, lambda: setup)
