"""``propdesk lifecycle``: how orders fared at each venue, out of the journal, with the daemon up, hung or dead.

Latencies of placing, canceling and amending, how orders ended, what was refused, on which route and why.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.journal.reader import JournalReader, is_url, open_journal
from adapters.telemetry.follow import all_rows
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.commands.journal import place_of
from supervision.operator_commands import find_desk
from trading.telemetry.lifecycle import TIMED, Lifecycle, LifecycleReport, VenueLifecycle


def run(args: argparse.Namespace) -> int:
    """0: told; 1: the journal knows no order; 2: there is no journal that could be read."""
    place = (args.path if is_url(args.path) else Path(args.path)) if args.path else place_of(find_desk(args))
    lifecycle = Lifecycle()
    try:
        with closing(open_journal(place)) as journal:
            for traced in all_rows(journal, _first_seq(journal, args.hours)):
                lifecycle.take(traced)
    except FileNotFoundError as error:
        return failed(args, f"{error}: the desk of this data directory has never run (--data-dir names another)")
    except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
        return failed(args, f"{place} cannot be read: {error}. `propdesk journal verify` says where it is broken")
    report = lifecycle.report()
    if args.out:
        try:
            Path(args.out).write_text(to_markdown(report), "utf-8")
        except OSError as error:
            return failed(args, f"--out {args.out}: {error.strerror or error}")
    if args.json:
        done = bool(report.venues)
        print(json.dumps({"command": "lifecycle", "done": done, **msgspec.to_builtins(report)}))
    else:
        print(to_text(report))
    return DONE if report.venues else ANSWER_IS_NO


def _first_seq(journal: JournalReader, hours: int | None) -> int:
    """The first row of the newest hours (UTC) in which anything was journalled; the journal knows where they begin."""
    closed = [] if hours is None else list(journal.hours())
    return closed[-hours].last_seq + 1 if hours is not None and len(closed) >= hours else 1


def to_text(report: LifecycleReport) -> str:
    """For a terminal."""
    lines = [_headline(report)]
    for venue, life in report.venues.items():
        lines += ["", f"{venue}: {_counts(life)}"]
        for stage, words in TIMED.items():
            facts = life.latency.get(stage)
            if facts is not None:
                quantiles = "  ".join(f"{name} {_time(facts[f'{name}_us'])}" for name in ("p50", "p95", "p99", "p999"))
                lines.append(f"  {words:<22} {quantiles}  max {_time(facts['max_us'])}  n {facts['n']:.0f}")
        for one in life.refusals:
            where = f" on {one.instrument_id}" if one.instrument_id else ""
            lines.append(
                f"  {one.kind} {one.count}x{where}: {one.reason}; newest {one.cl_ord_id}, trace {one.trace_id}"
            )
    return "\n".join(lines)


def to_markdown(report: LifecycleReport) -> str:
    """For a folder of reports."""
    lines = ["# Execution lifecycle", "", _headline(report), ""]
    lines += [
        "| venue | what | p50 | p95 | p99 | p99.9 | max | n |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for venue, life in report.venues.items():
        for stage, words in TIMED.items():
            facts = life.latency.get(stage)
            if facts is not None:
                cells = [_time(facts[name]) for name in ("p50_us", "p95_us", "p99_us", "p999_us", "max_us")]
                lines.append(f"| {venue} | {words} | {' | '.join(cells)} | {facts['n']:.0f} |")
    lines += ["", "| venue | orders | ends | routing errors |", "| --- | --- | --- | --- |"]
    for venue, life in report.venues.items():
        ends = ", ".join(f"{status} {count}" for status, count in life.ends.items()) or "none"
        lines.append(f"| {venue} | {life.placed} | {ends} | {life.error_share:.2%} |")
    lines += [
        "",
        "| venue | instrument | error | times | reason | newest order |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for venue, life in report.venues.items():
        for one in life.refusals:
            reason = one.reason.replace("|", "/")
            lines.append(f"| {venue} | {one.instrument_id} | {one.kind} | {one.count} | {reason} | {one.cl_ord_id} |")
    return "\n".join([*lines, ""])


def _headline(report: LifecycleReport) -> str:
    if not report.venues:
        return "no orders in this journal"
    return f"{report.rows} rows, {_at(report.first_ns)} to {_at(report.last_ns)}; quantiles are at most 1/32 off"


def _counts(life: VenueLifecycle) -> str:
    ends = ", ".join(f"{count} {status}" for status, count in life.ends.items()) or "none ended"
    return (
        f"{life.placed} placed ({life.amended} amend others), {life.executions} executions; {ends}; {life.open} open; "
        f"{life.unanswered} in doubt on the way; {life.error_share:.2%} met a routing error"
    )


def _time(us: float) -> str:
    return f"{us:.0f}us" if us < 1_000 else f"{us / 1e3:.1f}ms" if us < 1_000_000 else f"{us / 1e6:.2f}s"


def _at(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(sep=" ", timespec="seconds")
