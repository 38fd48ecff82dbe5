"""How the drop copies and the kill guards are built, one of each a venue, in the operators' cell.

Imported only where orders travel over sockets. Both have connections of their own and the limits of the host in common
with the gateways: beside them, they are one more client of the same account.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial

from actors.drop_copy import DropCopy, DropCopySetup
from actors.kill_guard import KillGuardActor, KillGuardSetup
from adapters.ccxt_venues.instruments import VENUES as CCXT_VENUES
from adapters.config import DeskConfig
from adapters.dropcopy.mirror import MirrorSpec
from adapters.limits.build import limiter_for
from adapters.orders.link import OrderLinkSpec
from adapters.orders.wire import SECOND_NS
from supervision.order_accounts import account_link
from supervision.plan import Paths
from supervision.supervisor import ChildStart
from trading.dropcopy.core import DropCopyRules
from trading.instruments import Instrument
from trading.kill_guard import MS, GuardRules

_MARGIN_S = 10


def account(venue: str, instruments: Iterable[Instrument], port: int, config: DeskConfig) -> OrderLinkSpec:
    """The venue's account, the gateway's own; ``port`` is of the loopback server, where one stands for the venue."""
    return account_link(venue, (one for one in instruments if one.venue == venue), port, config, os.environ)


def drop_copy(link: OrderLinkSpec, config: DeskConfig, paths: Paths) -> DropCopySetup:
    """The drop copy of an account."""
    asked, venue = config.drop_copy, link.venue
    return DropCopySetup(
        mirror=MirrorSpec(
            link=link,
            journal=config.journal.url or paths.journal,
            store=paths.drop_copy(venue),
            poll_ns=asked.poll_s * SECOND_NS,
            overlap_ns=(asked.late_s + _MARGIN_S) * SECOND_NS,
            days=asked.days,
            rows_max=asked.rows_max,
        ),
        rules=DropCopyRules(late_ns=asked.late_s * SECOND_NS, lasting_ns=asked.lasting_s * SECOND_NS),
        limiter=lambda clock: limiter_for(venue, config, clock),
    )


def kill_guard(link: OrderLinkSpec, config: DeskConfig, paths: Paths) -> KillGuardSetup:
    """The guard over an account's orders, which depend on the venue's cell and on the desk's."""
    asked = config.guard
    homes = {role: cell for cell, roles in config.placement.items() for role in roles}
    return KillGuardSetup(
        link=link,
        cells=tuple(dict.fromkeys((homes[f"venue:{link.venue}"], homes["desk"]))),
        heartbeat=paths.heartbeat,
        board=paths.board,
        rules=GuardRules(heartbeat_ns=asked.heartbeat_ms * MS, limit_ns=asked.cancel_all_within_ms * MS),
        limiter=lambda clock: limiter_for(link.venue, config, clock),
    )


def watchers(
    venues: Iterable[str],
    instruments: Mapping[str, Instrument],
    ports: Mapping[str, int],
    config: DeskConfig,
    paths: Paths,
) -> dict[str, ChildStart]:
    """Who looks on from outside the order path, by name."""
    starts: dict[str, ChildStart] = {}
    for venue in venues:
        link = account(venue, instruments.values(), ports.get(venue, 0), config)
        if config.drop_copy.enabled and venue not in CCXT_VENUES:  # their record is read by one reader only
            starts[f"drop_copy.{venue}"] = ChildStart(DropCopy, partial(drop_copy, link, config, paths))
        if config.guard.enabled:
            starts[f"guard.{venue}"] = ChildStart(KillGuardActor, partial(kill_guard, link, config, paths))
    return starts
