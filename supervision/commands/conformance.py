"""``propdesk conformance md`` and ``orders``: the fault matrices against loopback venues."""

from __future__ import annotations

import argparse
import os
import sys

import msgspec

from supervision.conformance import order_matrix
from supervision.conformance.matrix import Outcome, Report, errands, report, run_matrix
from supervision.conformance.order_matrix import OrderOutcome, OrderReport


def run(args: argparse.Namespace) -> int:
    """0: all green; 1: some case is red, or stayed green without its guard; 2: it could not run."""
    return _orders(args) if args.what == "orders" else _market_data(args)


def _orders(args: argparse.Namespace) -> int:
    try:
        todo = order_matrix.errands(args.venue, args.case, mutate=False) * args.repeat
        altered = order_matrix.errands(args.venue, args.case, mutate=True) if args.mutate else []
    except ValueError as error:
        print(f"propdesk conformance: {error}", file=sys.stderr)
        return 2
    if not todo:
        print("propdesk conformance: none of these cases is for these venues", file=sys.stderr)
        return 2
    jobs = args.jobs or min(2, os.cpu_count() or 1)
    try:
        results, took_s = order_matrix.run_matrix(todo, jobs=jobs)
        mutants, more_s = order_matrix.run_matrix(altered, jobs=jobs) if altered else ([], 0.0)
    except OSError as error:
        print(f"propdesk conformance: {error}", file=sys.stderr)
        return 2
    found = order_matrix.report(results, mutants, took_s + more_s)
    print(msgspec.json.encode(found).decode() if args.json else _orders_text(found))
    return 0 if found.passed else 1


def _orders_text(found: OrderReport) -> str:
    rows = [["case", "venue", "", "noticed ms", "sure after ms", "unknown", "orders", "fills", "sign"]]
    rows += [_orders_row(outcome) for outcome in found.results]
    lines = [*_columns(rows), *(f"{o.case} {o.venue}: {o.reason}" for o in found.results if not o.green)]
    for o in found.mutants:
        verdict = "red, as it must be" if o.green else "STAYED GREEN"
        lines.append(f"{o.case} {o.venue} without its guard ({o.mutant}): {verdict}")
    lines.append(
        f"{found.cases - sum(not o.green for o in found.results)} of {found.cases} green in {found.took_s} s; "
        f"{found.orders} orders and {found.fills} fills at the venues, the same in journal, positions and ledger; "
        f"{found.unknown} orders were UNKNOWN, and none is (SYNTHETIC market)"
    )
    return "\n".join(lines)


def _orders_row(o: OrderOutcome) -> list[str]:
    times = ["-" if ms is None else f"{ms:.0f}" for ms in (o.detected_ms, o.resolved_ms)]
    return [o.case, o.venue, "ok" if o.green else "RED", *times, str(o.unknown), str(o.orders), str(o.fills), o.sign]


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _market_data(args: argparse.Namespace) -> int:
    try:
        todo = errands(args.venue, args.case, mutate=False)
        altered = errands(args.venue, args.case, mutate=True) if args.mutate else []
    except ValueError as error:
        print(f"propdesk conformance: {error}", file=sys.stderr)
        return 2
    if not todo:
        print("propdesk conformance: none of these cases is for these venues", file=sys.stderr)
        return 2
    jobs = args.jobs or min(2, os.cpu_count() or 1)
    try:
        results, took_s = run_matrix(todo, jobs=jobs, repeat=args.repeat)
        mutants, more_s = run_matrix(altered, jobs=jobs) if altered else ([], 0.0)
    except OSError as error:
        print(f"propdesk conformance: {error}", file=sys.stderr)
        return 2
    found = report(results, mutants, took_s + more_s)
    print(msgspec.json.encode(found).decode() if args.json else _text(found))
    return 0 if found.passed else 1


def _text(found: Report) -> str:
    rows = [["case", "venue", "", "noticed p50/p99 ms", "back p50/p99 ms", "orders", "quotes", "new conns", "sign"]]
    rows += [_row(outcome) for outcome in found.results]
    lines = _columns(rows)
    lines += [f"{o.case} {o.venue}: {o.reason}" for o in found.results if not o.green]
    for o in found.mutants:
        verdict = "red, as it must be" if o.green else "STAYED GREEN"
        lines.append(f"{o.case} {o.venue} without its guard ({o.mutant}): {verdict}")
    lines.append(
        f"{found.cases - sum(not o.green for o in found.results)} of {found.cases} green in {found.took_s} s; "
        f"{found.orders_on_unproved} orders and {found.quotes_on_unproved} quotes on an unproved book; "
        f"back after a sequence fault p99 {found.sequence_resync_ms_p99} ms; "
        f"mute found within {found.mute_detected_ms_max} ms; another view leads within {found.failover_ms_max} ms "
        "(SYNTHETIC market)"
    )
    return "\n".join(lines)


def _row(o: Outcome) -> list[str]:
    def pair(low: float | None, high: float | None) -> str:
        return "-" if low is None else f"{low:.0f} / {high:.0f}"

    return [
        o.case,
        o.venue,
        "ok" if o.green else "RED",
        pair(o.detected_ms_p50, o.detected_ms_p99),
        pair(o.resync_ms_p50, o.resync_ms_p99),
        str(o.orders_on_unproved),
        str(o.quotes_on_unproved),
        str(o.reconnects),
        o.sign,
    ]
