"""``propdesk sim ambiguous``: submits whose outcome nobody knows, by the million, in virtual time."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

import msgspec

from supervision.simulation.campaign import Campaign, run_campaign, run_world


def run(args: argparse.Namespace) -> int:
    """0: nothing was lost or doubled; 1: something was; 2: it could not run."""
    if args.world is not None:
        result = run_world(args.world, args.intents)
        body = msgspec.json.encode(result)
        print((body if args.json else msgspec.json.format(body)).decode())
        return 0 if result.clean else 1
    jobs = args.jobs or os.cpu_count() or 1
    found = run_campaign(args.n, seed=args.seed, jobs=jobs, say=_progress(args.n), intents=args.intents)
    print(msgspec.json.encode(found).decode() if args.json else _text(found))
    return 0 if found.passed else 1


def _progress(n: int) -> Callable[[Campaign], None]:
    def say(found: Campaign) -> None:
        if found.worlds % 16 == 0 or found.failures:
            share = min(100, 100 * found.ambiguous // n)
            left = found.took_s * (n - found.ambiguous) / found.ambiguous if found.ambiguous else 0.0
            print(
                f"sim: {share:3d} %  {found.ambiguous:,} ambiguous submits, {found.worlds} worlds, "
                f"{len(found.failures)} not clean, about {max(0, left):.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    return say


def _text(f: Campaign) -> str:
    verdict = "passed" if f.passed else "FAILED"
    wrong = (
        f"sim ambiguous: {verdict}  duplicates {f.duplicates}  lost {f.lost}  invented {f.invented}  "
        f"unknown at the end {f.unknown_unresolved}  not at rest {f.not_at_rest}  residual {f.position_residual}"
    )
    seen = (
        f"{f.ambiguous:,} of {f.submits:,} submits were ambiguous, {f.unknowns:,} times an order was UNKNOWN, "
        f"{f.crashes:,} crashes, {f.executions:,} executions; {f.worlds} worlds from seed {f.first_seed} "
        f"in {f.took_s} s (SYNTHETIC market)"
    )
    stories = [f"seed {world.seed}: {world.story}" for world in f.failures]
    return "\n".join((wrong, seen, *stories))
