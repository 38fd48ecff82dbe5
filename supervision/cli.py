"""The command line: `propdesk <command>`, its arguments, its exit codes.

Owns the tree of arguments and the dispatch. hold, resume, status and doctor are `operator_commands.py`; every other
command is a module of `supervision.commands` with `run(args) -> int`, imported when it is asked for.
Exit codes: 0 done, 1 it ran and the answer is no, 2 it could not run.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from adapters.config_error import ConfigError
from trading.brakes import GLOBAL, Level

DONE: Final = 0
ANSWER_IS_NO: Final = 1
COULD_NOT_RUN: Final = 2

SUMMARIES: Final = {
    "run": "run the desk until it is stopped",
    "status": "may it trade, and if not, why not",
    "hold": "stop trading now; works with the daemon up, hung or dead",
    "resume": "take operators' brakes off",
    "unlock": "let a venue's locked link try again: its key or account is mended",
    "adopt": "explain what holds a venue: a deposit, a withdrawal, a trade that it corrected",
    "doctor": "what about this machine would hurt the desk",
    "why": "the whole story of one order",
    "finance": "balances, equity, profit by day, week, month, and the statement behind them",
    "lifecycle": "how orders fared: latencies, ends and refusals by venue",
    "replay": "run a session through the whole desk in virtual time",
    "bench": "measure this machine",
    "drill": "break something on purpose and see it heal",
    "journal": "the order journal: verify, show, tail, export, migrate, vacuum",
    "dropcopy": "what venues say was executed against what the journal booked",
    "recon": "whether a day agrees with the venues: its statement, out of the journal",
    "backup": "save the desk's state while it runs, with a manifest",
    "restore": "bring a backup back, where no desk runs",
    "books": "check recorded order books by the venue's own rules",
    "sim": "worlds in virtual time in which everything goes wrong",
    "record": "record market data as it arrives",
    "data": "recorded history: list, build, ask, check, fill",
    "conformance": "hurt market data, or orders and accounts, on purpose, and hold the desk against what was true",
}

_OWN: Final = frozenset({"hold", "resume", "unlock", "adopt", "status", "doctor"})


def build_parser() -> argparse.ArgumentParser:
    """The whole tree of arguments."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object on stdout; logs stay on stderr")
    common.add_argument("--config", metavar="PATH", help="the configuration; without it the profile's")
    common.add_argument("--profile", help="paper (default) or live")
    common.add_argument("--data-dir", metavar="PATH", help="where journal and boards lie; wins over the configuration")
    common.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set one key of the configuration"
    )
    parser = argparse.ArgumentParser(prog="propdesk", description="A crypto prop-trading desk.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def add(name: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=SUMMARIES[name], description=SUMMARIES[name], parents=[common])

    run = add("run")
    run.add_argument("--session", metavar="PATH", help="a recording instead of the synthetic market")
    run.add_argument("--port", type=int, help="port of the operators' HTTP")
    run.add_argument("--speed", type=float, help="how fast the session runs; 1 is real time")
    run.add_argument("--admin-port", type=int, help="port of the outer tree's admin")
    run.add_argument("--for-s", type=_seconds, metavar="SECONDS", help="stop in order after so long, and exit 0")
    run.add_argument("--one-cell", action="store_true", help="everything in one process")
    run.add_argument("--respawn", action="store_true", help="start a failed desk again, as it was started")
    run.add_argument("--flight-fd", type=int, help=argparse.SUPPRESS)
    add("status")
    hold = add("hold")
    hold.add_argument("cause", nargs="*", help="why, for the journal and your colleagues")
    hold.add_argument(
        "--level", default="hold", choices=[level.name.lower() for level in Level if level], help="default hold"
    )
    _identity(hold)
    resume = add("resume")
    resume.add_argument("cause", nargs="*", help="why, for the journal and your colleagues")
    resume.add_argument("--all", action="store_true", help="on every scope")
    resume.add_argument("--second", metavar="NAME", help="the second identity, for a kill")
    resume.add_argument("--approve", metavar="HASH", help="the hash that both approve, for a kill")
    _identity(resume)
    unlock = add("unlock")
    unlock.add_argument("venue")
    unlock.add_argument("cause", nargs="*", help="what was mended, for your colleagues")
    unlock.add_argument("--actor", help="who you are; without it the user that runs the command")
    adopted = add("adopt")
    adopted.add_argument("venue")
    adopted.add_argument("cause", nargs="+", help="what it was, for the journal")
    adopted.add_argument("--actor", help="who you are; without it the user that runs the command")
    add("doctor")
    add("why").add_argument("cl_ord_id")
    finance = add("finance")
    finance.add_argument("--from", dest="from_day", metavar="YYYY-MM-DD", help="the first day (UTC); without it all")
    finance.add_argument("--to", dest="to_day", metavar="YYYY-MM-DD", help="the last day; balances are as of its end")
    finance.add_argument("--by", choices=["day", "week", "month"], default="day", help="periods of profit")
    finance.add_argument("--venue", metavar="V", help="only this venue")
    finance.add_argument("--leverage", metavar="N", help="at which margin is told; 5 as the simulated venues have it")
    finance.add_argument(
        "--mark", action="append", default=[], metavar="ID=PRICE", help="value an instrument at this; repeatable"
    )
    finance.add_argument("--export", metavar="FILE", help="the statement, line by line, into FILE.csv or FILE.parquet")
    lifecycle = add("lifecycle")
    lifecycle.add_argument("path", nargs="?", help="of the journal, or its URL; without it the desk's own")
    lifecycle.add_argument(
        "--hours", type=_positive, metavar="N", help="only the newest hours with rows, the open one included"
    )
    lifecycle.add_argument("--out", metavar="FILE.md", help="also write it as Markdown")
    replay = add("replay")
    replay.add_argument(
        "--session", metavar="PATH", default="default", help="a recording; default: the synthetic market"
    )
    replay.add_argument("--duration", type=float, metavar="SECONDS", help="of the synthetic session; 300 by default")
    replay.add_argument("--schedule-seed", type=int, metavar="N", help="run actors in this seeded order")
    bench = add("bench")
    bench.add_argument(
        "suite", nargs="?", default="all", help="actors, wire-to-top, journal, tick-to-order, replay, memory"
    )
    bench.add_argument("--quick", action="store_true", help="fewer rounds")
    bench.add_argument("--data", metavar="PATH", help="the recordings; looked for beside the project")
    bench.add_argument("--peers-dir", metavar="PATH", help="the peers' benchmarks; looked for beside the project")
    bench.add_argument("--peers-python", metavar="PATH", help="the interpreter of the environment that has the peers")
    bench.add_argument("--minutes", type=float, default=30.0, help="length of the memory bench")
    bench.add_argument("--disk", metavar="PATH", help="where the journal bench writes")
    drill = add("drill")
    drill.add_argument("name", nargs="?", default="all")
    drill.add_argument("--trials", type=int, default=50, help="of backlog-hold")
    drill.add_argument("--orders", choices=["simulated", "wire"], default="simulated", help="by which way orders go")
    drill.add_argument("--kills", type=int, default=20, help="of crash-campaign")
    drill.add_argument("--seed", type=int, default=1, help="of crash-campaign: who is killed and when")
    drill.add_argument("--venues", default="okx,bybit,binanceusdm", help="of crash-campaign; okx has to be one")
    _journal(add("journal"))
    dropcopy = add("dropcopy")
    dropcopy.add_argument("cause", nargs="*", help="why a difference is accepted")
    dropcopy.add_argument("--days", type=_positive, default=7, metavar="N", help="how far back; 7 by default")
    dropcopy.add_argument("--venue", action="append", default=[], metavar="V", help="only this venue; repeatable")
    dropcopy.add_argument("--accept", metavar="EXEC_ID", help="live with the difference of this execution")
    dropcopy.add_argument("--actor", help="who you are; without it the user that runs the command")
    add("recon").add_argument("--day", metavar="YYYY-MM-DD", help="a UTC day; the newest of the journal without it")
    add("backup").add_argument("directory", metavar="DIR", help="a folder that is not there yet")
    restore = add("restore")
    restore.add_argument("directory", metavar="DIR", help="the backup")
    restore.add_argument("--to", required=True, metavar="DATA_DIR", help="a data directory, or the URL of a database")
    restore.add_argument("--any-config", action="store_true", help="though it was taken under another configuration")
    books = add("books")
    books.add_argument("action", choices=["check"])
    books.add_argument("files", nargs="+", metavar="FILE", help="recorded traffic, plain, .gz or .xz, in any order")
    books.add_argument("--venue", required=True, help="binance, binanceusdm, binancecoinm, okx or bybit")
    conformance = add("conformance")
    conformance.add_argument("what", choices=["md", "orders"], help="market data, or orders")
    conformance.add_argument("--venue", action="append", default=[], metavar="V", help="only this venue; repeatable")
    conformance.add_argument("--case", action="append", default=[], metavar="ID", help="only this case; repeatable")
    conformance.add_argument("--repeat", type=_positive, default=1, metavar="N", help="so many times the trials")
    conformance.add_argument("--mutate", action="store_true", help="also without each guard: the case must turn red")
    conformance.add_argument("--jobs", type=_positive, metavar="N", help="processes; 2 where there are two cores")
    sim = add("sim")
    sim.add_argument("what", choices=["ambiguous"], help="submits whose outcome nobody knows")
    sim.add_argument("--n", type=_positive, default=20_000, metavar="N", help="ambiguous submits; 20,000 by default")
    sim.add_argument("--seed", type=int, default=1, metavar="S", help="of the first world")
    sim.add_argument("--intents", type=_positive, default=3_000, metavar="N", help="in each world; 3,000 by default")
    sim.add_argument("--world", type=int, metavar="S", help="only the world of this seed, whole")
    sim.add_argument("--jobs", type=_positive, metavar="N", help="processes; by default one for each core")
    record = add("record")
    record.add_argument("--out", metavar="DIR", help="the history; without it `history` of the data directory")
    record.add_argument("--seconds", type=float, metavar="N", help="stop after so long; else at the end or by Ctrl-C")
    record.add_argument("--venue", action="append", default=[], metavar="V", help="only this venue; may be repeated")
    record.add_argument(
        "--session", metavar="PATH", default="default", help="a recording; default: the synthetic market"
    )
    record.add_argument("--live", action="store_true", help="the venues' own public streams; needs no key")
    record.add_argument("--virtual", action="store_true", help="as fast as the source can be read")
    _data(add("data"))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    args = build_parser().parse_args(argv)
    module = "supervision.operator_commands" if args.command in _OWN else f"supervision.commands.{args.command}"
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return failed(args, f"`propdesk {args.command}` is not part of this installation")
    run = getattr(found, args.command if args.command in _OWN else "run")
    try:
        return int(run(args))
    except ConfigError as error:
        return failed(args, f"configuration: {error}")


class _Outlet(io.FileIO):
    """A standard stream whose reader may leave (`| head`): what nobody reads is let go, and the command goes on."""

    def write(self, data: Any) -> int:
        """Like the stream's, but never ``BrokenPipeError``."""
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)


def outlive_readers() -> None:
    """Let stdout and stderr of this process, and of those forked from it, do without a reader."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        stream.flush()
        buffer = io.BufferedWriter(_Outlet(stream.fileno(), "w", closefd=False))
        lines = stream.isatty() or name == "stderr"
        setattr(
            sys,
            name,
            io.TextIOWrapper(buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=lines),
        )


def failed(args: argparse.Namespace, text: str) -> int:
    """Say why the command could not run."""
    if args.json:
        print(json.dumps({"command": args.command, "done": False, "error": text}))
    print(f"propdesk {args.command}: {text}", file=sys.stderr)
    return COULD_NOT_RUN


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _journal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["verify", "show", "tail", "export", "migrate", "vacuum"])
    parser.add_argument("path", nargs="?", help="of the journal, or its URL; without it the desk's own")
    parser.add_argument(
        "--limit", "-n", type=_positive, default=50, metavar="N", help="how many of the newest rows show prints"
    )
    parser.add_argument("--follow", "-f", action="store_true", help="then new rows as they come, until Ctrl-C")
    parser.add_argument("--order", metavar="CL_ORD_ID", help="only this order")
    parser.add_argument("--venue", action="append", default=[], metavar="V", help="only this venue; repeatable")
    parser.add_argument("--kind", action="append", default=[], metavar="K", help="only this kind; repeatable")
    parser.add_argument("--expect", type=_head, metavar="SEQ:HASH", help="a head that verify printed before")
    parser.add_argument("--out", metavar="FILE", help="where export writes")
    parser.add_argument("--format", choices=["csv", "jsonl", "parquet"], help="of the export; by its ending without")
    parser.add_argument("--from-seq", type=_positive, default=1, metavar="N", help="the first row to export")
    parser.add_argument("--to", type=_positive, metavar="VERSION", help="of the schema; the newest without")


def _head(text: str) -> tuple[int, bytes]:
    seq, _, link = text.partition(":")
    try:
        return int(seq), bytes.fromhex(link)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is not a row's number, a colon and a hash") from error


def _data(parser: argparse.ArgumentParser) -> None:
    """The actions on recorded history; what holds for every one may stand before it or after it."""
    parser.add_argument("--history", metavar="DIR", help="the history; without it `history` of the data directory")
    after = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    after.add_argument("--json", action="store_true", help="one JSON object on stdout")
    for name in ("--history", "--config", "--profile", "--data-dir"):
        after.add_argument(name, help=argparse.SUPPRESS)
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, description=text, parents=[after])

    add("ls", "sessions and partitions")
    build = add("build", "wire logs into Parquet")
    build.add_argument("sessions", nargs="*", metavar="SESSION", help="recordings; without them those of the history")
    sql = add("sql", "one SELECT over the views")
    sql.add_argument("query")
    sql.add_argument("--limit", type=_positive, default=1000, metavar="N", help="how many rows at most")
    sql.add_argument("--csv", action="store_true", help="comma-separated values, with a header")
    check = add("check", "is it what it promises to be")
    check.add_argument("--deep", action="store_true", help="build it all again beside and compare bytes")
    fill = add("backfill", "fill holes in trades")
    fill.add_argument("--from", dest="sources", action="append", default=[], metavar="PATH", help="another recording")
    fill.add_argument("--reports", metavar="DIR", help="where the report goes; without it `reports` of the history")


def _identity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scope", default=GLOBAL, help="global, venue:<venue>, symbol:<instrument_id>, strategy:<id>")
    parser.add_argument("--actor", help="who you are; without it the user that runs the command")
