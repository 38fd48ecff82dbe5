"""``propdesk replay``: a session through the whole decision path in virtual time."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from adapters.config import ConfigError, load_config
from adapters.wirelog import SessionFacts, inspect_session, open_session
from supervision.desk_plan import check_strategies, restrict
from supervision.operator_commands import overrides
from supervision.replay import Line, explain, recorded_lines, replay, synthetic_lines
from trading.market.events import WireRejected

_DEFAULT_DURATION_S = 300.0


def run(args: argparse.Namespace) -> int:
    """0: replayed and the books balance; 1: replayed, they do not; 2: could not replay."""
    try:
        left_out: list[str] = []
        lines: Iterable[Line | WireRejected]
        name = args.session or "default"
        session_key = name if name == "default" else str(Path(name).resolve())
        given = {**overrides(args), "session": session_key}
        config = load_config(args.config, args.profile, os.environ, given)
        if name == "default":
            facts = SessionFacts()
            lines = synthetic_lines(config, args.duration or _DEFAULT_DURATION_S)
        else:
            session = open_session(Path(name))
            facts = inspect_session(session)
            config, left_out = restrict(config, facts)
            lines = recorded_lines(session)
        check_strategies(config)
        result = replay(
            config,
            facts,
            lines,
            name=name,
            left_out=left_out,
            progress=_progress if sys.stderr.isatty() else None,
            schedule_seed=args.schedule_seed,
        )
    except (ConfigError, ValueError, OSError) as error:
        print(f"propdesk replay: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(msgspec.json.encode(result).decode())
    else:
        print(explain(result))
    return 0 if result.ledger_residual == 0 else 1


def _progress(count: int, ts_ns: int) -> None:
    print(f"\r{count:,} events, market time {ts_ns / 1e9:.0f}", end="", file=sys.stderr, flush=True)
