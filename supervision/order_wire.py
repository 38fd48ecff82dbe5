"""How a venue's gateway is built where its orders travel over sockets. Imported only by cells that send."""

from __future__ import annotations

import os

import msgspec

from actors.gateway import GatewaySetup
from actors.live_gateway import LiveGateway, LiveGatewaySetup
from adapters.config import DeskConfig
from adapters.limits.build import limiter_for
from supervision.order_accounts import PAPER_KEYS, account_link
from supervision.order_core import WIRE_AGE_MS
from supervision.supervisor import ChildStart

__all__ = ["PAPER_KEYS", "live_gateway"]


def live_gateway(venue: str, gate: GatewaySetup, port: int, config: DeskConfig) -> ChildStart:
    """The gateway of the venue's account; ``port`` is of the loopback server, where one stands for the venue."""
    link = account_link(venue, gate.instruments.values(), port, config, os.environ)
    setup = LiveGatewaySetup(
        gate=msgspec.structs.replace(gate, max_age_ms=WIRE_AGE_MS),
        link=link,
        limiter=lambda clock: limiter_for(venue, config, clock),
    )
    return ChildStart(LiveGateway, lambda: setup)
