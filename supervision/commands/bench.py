"""``propdesk bench NAME``: ratios against peers, measured in one run on this machine."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from supervision.bench_desk import tick_to_order
from supervision.bench_goals import judge, missed
from supervision.bench_replay import replay_bench
from supervision.cli import ANSWER_IS_NO, DONE

NAMES = ("actors", "wire-to-top", "journal", "tick-to-order", "replay", "rate-storm", "memory")


def run(args: argparse.Namespace) -> int:
    """0: measured, and no goal missed; 1: a goal is missed; 2: could not run."""
    names = NAMES[:-1] if args.suite == "all" else (args.suite,)
    out: dict[str, Any] = {}
    for name in names:
        if name not in NAMES:
            print(f"propdesk bench: no bench {name!r}; there are: {', '.join(NAMES)}", file=sys.stderr)
            return 2
        print(f"bench {name} ...", file=sys.stderr, flush=True)
        try:
            found = _BENCHES[name](args)
        except (OSError, RuntimeError, ValueError) as error:
            print(f"propdesk bench {name}: {error}", file=sys.stderr)
            return 2
        out[name] = {**found, "goals": judge(name, found)}
    facts = msgspec.to_builtins(out)
    if args.json:
        print(json.dumps(facts if args.suite == "all" else facts[args.suite]))
    else:
        print(json.dumps(facts, indent=2))
        for name, result in out.items():
            print("\n".join(f"{name}: {outcome}" for outcome in result["goals"]))
    return verdict(out)


def verdict(results: dict[str, dict[str, Any]]) -> int:
    """The exit code of these benches; what was not measured is not missed."""
    return ANSWER_IS_NO if any(missed(result["goals"]) for result in results.values()) else DONE


def _data(args: argparse.Namespace) -> Path | None:
    path = Path(args.data) if args.data else Path(__file__).resolve().parents[3] / "shared" / "data"
    return path if path.exists() else None


def _peers_dir(args: argparse.Namespace) -> Path | None:
    path = Path(args.peers_dir) if args.peers_dir else Path(__file__).resolve().parents[3] / "shared" / "peers"
    return path if path.exists() else None


def _research(module: str) -> Callable[..., dict[str, Any]]:
    """Research is a ring beside this one: found by name."""
    found: Callable[..., dict[str, Any]] = importlib.import_module(f"research.{module}").run
    return found


def _actors(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = importlib.import_module("supervision.bench_actors").run(quick=args.quick)
    return found


def _wire(args: argparse.Namespace) -> dict[str, Any]:
    data = _data(args)
    if data is None:
        raise OSError("wire-to-top needs the recordings: give --data PATH")
    return _research("bench_wire")(
        peers_python=args.peers_python,
        peers_dir=Path(args.peers_dir) if args.peers_dir else None,
        data=data,
        quick=args.quick,
    )


def _journal(args: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="propdesk-bench-", dir=args.disk) as directory:
        return _research("bench_journal")(quick=args.quick, directory=Path(directory))


def _tick(args: argparse.Namespace) -> dict[str, Any]:
    return tick_to_order(quick=args.quick, peers_python=args.peers_python, peers_dir=_peers_dir(args))


def _replay(args: argparse.Namespace) -> dict[str, Any]:
    return replay_bench(quick=args.quick, data=_data(args), peers_python=args.peers_python, peers_dir=_peers_dir(args))


def _storm(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = importlib.import_module("supervision.bench_rate_storm").run(quick=args.quick)
    return found


def _memory(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = importlib.import_module("supervision.bench_memory").run(minutes=args.minutes)
    return found


_BENCHES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "actors": _actors,
    "wire-to-top": _wire,
    "journal": _journal,
    "tick-to-order": _tick,
    "replay": _replay,
    "rate-storm": _storm,
    "memory": _memory,
}
