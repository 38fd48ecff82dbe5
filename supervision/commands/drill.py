"""``propdesk drill NAME``: hurt a real desk and measure what follows."""

from __future__ import annotations

import argparse
import sys

import msgspec

from supervision.drill_desk import DrillFailed, DrillResult
from supervision.drills import DRILLS, run_drill


def run(args: argparse.Namespace) -> int:
    """0: every goal was met; 1: the drill ran and one was not; 2: it could not be run."""
    names = DRILLS if args.name == "all" else (args.name,)
    results: list[DrillResult] = []
    for name in names:
        try:
            result = run_drill(name, _say, trials=args.trials)
        except (DrillFailed, ValueError, OSError) as error:
            print(f"propdesk drill {name}: {error}", file=sys.stderr)
            return 2
        results.append(result)
        if not args.json:
            print(_text(result))
    if args.json:
        out = results[0] if args.name != "all" else results
        print(msgspec.json.encode(out).decode())
    return 0 if all(result.passed for result in results) else 1


def _say(text: str) -> None:
    print(f"drill: {text}", file=sys.stderr, flush=True)


def _text(r: DrillResult) -> str:
    verdict = "passed" if r.passed else "FAILED"
    return (
        f"{r.drill}: {verdict}  detected {r.detected_ms} ms  recovered {r.recovered_ms} ms  "
        f"duplicated {r.duplicated_orders}  lost fills {r.lost_fills}  after hold {r.orders_after_hold}  "
        f"orphans {r.orphans}  ({r.orders_total} orders, {r.fills_total} fills, SYNTHETIC market)"
    )
