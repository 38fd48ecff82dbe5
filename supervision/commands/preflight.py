"""Checks and prepares a run in a process of its own, so that the process that starts the tree stays small for good.

``propdesk run`` starts it, gives the arguments on stdin as JSON and reads a `Flight` from stdout.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from adapters.clock import SystemClock
from adapters.config import ConfigError, DeskConfig, load_config
from adapters.config_values import DEFAULT
from adapters.execution_backend import backends_of
from adapters.free_ports import free_ports
from adapters.wirelog import SessionFacts, inspect_session, open_session
from supervision.desk_plan import check_strategies, restrict, root_plan
from supervision.order_accounts import check_books, mark_books, unmet, words_of
from supervision.paper_journal import foreign_journal
from supervision.plan import Flight

EXIT_COULD_NOT_RUN = 2


def main() -> int:
    """Read arguments, write the flight; 2 and one line on stderr when it cannot be."""
    args: dict[str, Any] = json.load(sys.stdin)
    try:
        config = load_config(args["config"], args["profile"], os.environ, args["overrides"])
        config, facts = for_session(config)
        if args["one_cell"]:
            roles = [role for cell in config.placement.values() for role in cell]
            config = config.model_copy(update={"placement": {"all": roles}})
        check_strategies(config)
        backends = backends_of(config, os.environ)
        check_books(config.data_path, backends[0].backend)
        foreign = foreign_journal(config.data_path, backends[0].backend.value) if config.journal.url else ""
        if foreign:
            raise ConfigError("journal.url", foreign, "name another database, and another data_dir")
    except (ConfigError, ValueError) as error:
        print(f"propdesk: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    flight = Flight(
        any_ports=config.from_simvenue and not config.market_data.sim_port,
        plan=root_plan(config, anchor_ns=SystemClock().wall_ns(), facts=facts, sim_ports=sim_ports(config)),
        url=f"http://{config.server.host}:{config.server.port}",
        profile=config.profile,
        market=market_of(config),
        http_port=config.server.port,
        admin_port=config.admin_port,
        orders=words_of(backends),
        way=backends[0].backend.value,
    )
    less = unmet(config, backends)
    if less:
        print(f"propdesk: orders do not go where execution.environment says, because {less}", file=sys.stderr)
    mark_books(config.data_path, backends[0].backend)
    sys.stdout.buffer.write(msgspec.msgpack.encode(flight))
    return 0


def market_of(config: DeskConfig) -> str:
    """Where market data comes from, in words."""
    if config.session != DEFAULT:
        return f"recording {config.session}"
    if config.market_data.source == "live":
        return f"the public streams of {', '.join(config.venues)}"
    way = "over loopback" if config.from_simvenue else "inside the cells"
    return f"the market generator {way} (SYNTHETIC)"


def sim_ports(config: DeskConfig) -> dict[str, int]:
    """A port for each venue's loopback server: free ones, or in turn from ``market_data.sim_port`` on."""
    if not config.from_simvenue:
        return {}
    first = config.market_data.sim_port
    if first:
        return {venue: first + i for i, venue in enumerate(config.venues)}
    return free_ports(config.venues)


def for_session(config: DeskConfig) -> tuple[DeskConfig, SessionFacts]:
    """The configuration for its session: a recording is read once, and what it lacks is left out and named."""
    if config.session == DEFAULT:
        return config, SessionFacts()
    facts = inspect_session(open_session(Path(config.session)))
    if facts.last_ns <= facts.first_ns:
        raise ValueError(f"session {config.session} holds no readable message")
    config, left_out = restrict(config, facts)
    if left_out:
        print(f"propdesk: the session does not have: {', '.join(left_out)}", file=sys.stderr)
    return config, facts


if __name__ == "__main__":
    sys.exit(main())
