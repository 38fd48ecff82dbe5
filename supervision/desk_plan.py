"""What a configuration comes to before anything is started: instruments, strategies that can be built, the root's plan.

Imports no actor and no HTTP: a start waits for whoever checks it first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from adapters.config import DeskConfig
from adapters.venue_codecs import KNOWN
from adapters.wirelog import SessionFacts
from supervision.plan import RootPlan, paths_of
from trading.instruments import Instrument
from trading.strategies.base import build_strategy

VERSION = "0.1.0"
INSTRUMENTS = KNOWN


def root_plan(
    config: DeskConfig, *, anchor_ns: int, facts: SessionFacts, sim_ports: Mapping[str, int] | None = None
) -> RootPlan:
    """The plan of a whole desk started by this process."""
    supervision = config.supervision
    return RootPlan(
        config=config.model_dump_json().encode(),
        placement={cell: tuple(roles) for cell, roles in config.placement.items()},
        paths=paths_of(config.data_path),
        anchor_ns=anchor_ns,
        facts=facts,
        sim_ports=dict(sim_ports or {}),
        starter_pid=os.getpid(),
        hang_ms=supervision.hang_ms,
        heartbeat_ms=supervision.heartbeat_ms,
        orphan_ms=supervision.hang_ms + 2 * supervision.heartbeat_ms,
        intensity=supervision.intensity,
        period_ms=supervision.period_s * 1_000,
        backoff_ms_min=supervision.backoff.initial_ms,
        backoff_ms_max=supervision.backoff.max_ms,
    )


def restrict(config: DeskConfig, facts: SessionFacts) -> tuple[DeskConfig, list[str]]:
    """The configuration without what a recording does not have, and what was left out, in words."""
    left_out: list[str] = []
    have = {i for i, x in INSTRUMENTS.items() if (x.venue, x.symbol) in set(facts.symbols)}
    given = config.model_dump()
    for venue, venue_config in list(given["venues"].items()):
        kept = [i for i in venue_config["instruments"] if i in have]
        left_out.extend(f"instrument {i}" for i in venue_config["instruments"] if i not in have)
        if kept:
            venue_config["instruments"] = kept
        else:
            del given["venues"][venue]
    for strategy_id, strategy in list(given["strategies"].items()):
        if not all(i in have for i in strategy["instruments"]):
            left_out.append(f"strategy {strategy_id}")
            del given["strategies"][strategy_id]
    if not given["venues"]:
        raise ValueError(f"the session has none of the configured instruments; it has {facts.symbols}")
    roles = {"desk", "ops", *(f"venue:{v}" for v in given["venues"])}
    placement = {c: [r for r in rs if r in roles] for c, rs in given["placement"].items()}
    given["placement"] = {c: rs for c, rs in placement.items() if rs}
    caps = given["risk"]["notional_caps"]
    caps["per_symbol"] = {k: v for k, v in caps["per_symbol"].items() if k in have or k == "default"}
    caps["per_venue"] = {k: v for k, v in caps["per_venue"].items() if k in given["venues"] or k == "default"}
    return DeskConfig.model_validate(given), left_out


def instruments_of(config: DeskConfig) -> dict[str, Instrument]:
    """The instruments that the configuration trades; ``ValueError`` for one that nobody described."""
    found: dict[str, Instrument] = {}
    for venue, venue_config in config.venues.items():
        for instrument_id in venue_config.instruments:
            instrument = INSTRUMENTS.get(instrument_id)
            if instrument is None or instrument.venue != venue:
                known = sorted(i for i, x in INSTRUMENTS.items() if x.venue == venue)
                raise ValueError(f"venues.{venue}.instruments: {instrument_id} is not known there; known: {known}")
            found[instrument_id] = instrument
    return found


def check_strategies(config: DeskConfig) -> None:
    """Build every strategy once and throw it away; ``ValueError`` names the one that cannot be built and why."""
    instruments = instruments_of(config)
    for strategy_id, strategy in config.strategies.items():
        mine = {i: instruments[i] for i in strategy.instruments}
        try:
            build_strategy(strategy.kind, strategy_id, mine, dict(strategy.params), 1)
        except ValueError as error:
            raise ValueError(f"strategies.{strategy_id}: {error}") from error
