"""``propdesk dropcopy``: what the venues' records and the journal do not agree on, offline, for so many days.

Owns finding the copies and the words. With ``--accept`` it writes down that a person lives with a difference, which is
the one thing here that changes anything: the venue's brake goes when the desk looks next.
"""

from __future__ import annotations

import argparse
import getpass
import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.clock import SystemClock
from adapters.dropcopy.report import TROUBLE, VenueReport, report
from adapters.dropcopy.store import DAY_NS, DropCopyStore
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.commands.journal import place_of
from supervision.operator_commands import find_desk
from supervision.plan import paths_of

_CLOCK = SystemClock()
_SHOWN = 20


def run(args: argparse.Namespace) -> int:
    """0: nothing differs; 1: something does; 2: there is no copy, or something could not be read."""
    desk = find_desk(args)
    paths = paths_of(desk.data)
    folder = paths.drop_copy("any").parent
    venues = args.venue or sorted(path.stem for path in folder.glob("*.db"))
    if not venues:
        return failed(
            args, f"no drop copy in {folder}: it is kept by a desk whose orders go by wire (execution.orders: wire)"
        )
    if args.accept:
        return _accept(args, [paths.drop_copy(venue) for venue in venues])
    since_ns = _CLOCK.wall_ns() - args.days * DAY_NS
    try:
        found = [report(place_of(desk), paths.drop_copy(venue), venue, since_ns) for venue in venues]
    except TROUBLE as trouble:
        return failed(args, f"it cannot be compared: {type(trouble).__name__}: {trouble}")
    clean = all(one.clean for one in found)
    text = "\n".join(line for one in found for line in _lines(one))
    if args.json:
        gap = sum(sum(one.differing.values()) for one in found)
        told = [{**msgspec.to_builtins(one), "clean": one.clean} for one in found]
        body = {"command": "dropcopy", "done": clean, "days": args.days, "recon_gap": gap, "venues": told}
        print(json.dumps({**body, "text": text}))
    else:
        print(text)
    return DONE if clean else ANSWER_IS_NO


def _accept(args: argparse.Namespace, copies: list[Path]) -> int:
    """Find the difference by its execution's id, and write down who lives with it."""
    by = args.actor or getpass.getuser()
    why = " ".join(args.cause)
    if not why:
        return failed(args, f"say why: propdesk dropcopy --accept {args.accept} --actor NAME WHY")
    try:
        for path in copies:
            with closing(DropCopyStore(path)) as store:
                known = [one for one in store.differences() if one.difference.exec_id == args.accept]
                if known:
                    store.accept(args.accept, by, why[:500], _CLOCK.wall_ns())
                    text = f"{path.stem}: accepted by {by}: {known[-1].difference.text}"
                    body = {"command": "dropcopy", "done": True, "venue": path.stem, "text": text}
                    print(json.dumps(body) if args.json else text)
                    return DONE
    except TROUBLE as trouble:
        return failed(args, f"the copy cannot be written: {type(trouble).__name__}: {trouble}")
    text = f"no difference of an execution {args.accept}; `propdesk dropcopy` names them"
    print(json.dumps({"command": "dropcopy", "done": False, "text": text}) if args.json else text)
    return ANSWER_IS_NO


def _lines(one: VenueReport) -> list[str]:
    verdict = "clean" if one.clean else "DIFFERS"
    counts = f"{one.listed} executions in the record, {one.booked} booked, {one.matched} matched"
    lines = [f"{one.venue}: {verdict}: {counts}, {one.unsettled} too new to be judged, {one.accepted} accepted"]
    lines.append(f"  compared from {_time(one.from_ns)} to {_time(one.until_ns)} UTC, the venue's time")
    lines += [
        f"  {day.day}  {day.listed:>8} executions  {day.differing:>4} differ  {day.readings:>6} readings, "
        f"{day.failed} failed, not read for {day.blind_s:g} s"
        for day in one.days
    ]
    lines += [f"  {line.text}{_by(line.accepted_by)}" for line in one.lines[:_SHOWN]]
    if len(one.lines) > _SHOWN:
        lines.append(f"  and {len(one.lines) - _SHOWN} more: --json has them")
    healed = [past for past in one.past if past.lasted_s is not None and not past.accepted_by]
    if healed:
        longest = max(past.lasted_s or 0.0 for past in healed)
        lines.append(f"  {len(healed)} differences came and were mended while it ran, the longest in {longest:g} s")
    return lines


def _time(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).isoformat(sep=" ", timespec="seconds")[:19]


def _by(name: str) -> str:
    return f" (accepted by {name})" if name else ""
