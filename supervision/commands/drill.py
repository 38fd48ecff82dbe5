"""``propdesk drill NAME``: hurt a real desk and measure what follows. ``crash-campaign`` hurts it again and again."""

from __future__ import annotations

import argparse
import sys

import msgspec

from supervision.drill_campaign import CAMPAIGN, CampaignResult, run_campaign
from supervision.drill_desk import DrillFailed, DrillResult
from supervision.drills import DRILLS, run_drill


def run(args: argparse.Namespace) -> int:
    """0: every goal was met; 1: the drill ran and one was not; 2: it could not be run."""
    if args.name == CAMPAIGN:
        return _campaign(args)
    names = DRILLS if args.name == "all" else (args.name,)
    results: list[DrillResult] = []
    for name in names:
        try:
            result = run_drill(name, _say, trials=args.trials, orders=args.orders)
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


def _campaign(args: argparse.Namespace) -> int:
    venues = tuple(args.venues.split(","))
    try:
        result = run_campaign(args.kills, _say, seed=args.seed, venues=venues)
    except (DrillFailed, ValueError, OSError) as error:
        print(f"propdesk drill {CAMPAIGN}: {error}", file=sys.stderr)
        return 2
    print(msgspec.json.encode(result).decode() if args.json else _sums(result))
    return 0 if result.passed else 1


def _sums(r: CampaignResult) -> str:
    verdict = "passed" if r.passed else "FAILED"
    by = ", ".join(f"{name} {n}" for name, n in r.kills_by_boundary.items())
    return (
        f"{r.drill}: {verdict}  {r.kills} kills in {r.seconds:.0f} s ({by})  duplicates {r.duplicates}  "
        f"lost fills {r.lost_fills}  invented fills {r.invented_fills}  unresolved {r.unknown_unresolved}  "
        f"ledger residual {r.ledger_residual}  "
        f"recovery {r.recovery_ms_p50:.0f} ms p50, {r.recovery_ms_p99:.0f} ms p99  "
        f"{r.orders_per_s:.0f} orders/s  ({r.orders} orders, {r.fills} fills, SYNTHETIC market)"
    )


def _say(text: str) -> None:
    print(f"drill: {text}", file=sys.stderr, flush=True)


def _text(r: DrillResult) -> str:
    verdict = "passed" if r.passed else "FAILED"
    return (
        f"{r.drill}: {verdict}  detected {r.detected_ms} ms  recovered {r.recovered_ms} ms  "
        f"duplicated {r.duplicated_orders}  lost fills {r.lost_fills}  after hold {r.orders_after_hold}  "
        f"orphans {r.orphans}  ({r.orders_total} orders, {r.fills_total} fills, SYNTHETIC market)"
    )
