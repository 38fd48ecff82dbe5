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
    "doctor": "what about this machine would hurt the desk",
    "why": "the whole story of one order",
    "replay": "run a session through the whole desk in virtual time",
    "bench": "measure this machine",
    "drill": "break something on purpose and see it heal",
    "journal": "verify or show the order journal",
    "books": "check recorded order books by the venue's own rules",
}

_OWN: Final = frozenset({"hold", "resume", "status", "doctor"})


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
    run.add_argument("--for-s", type=float, metavar="SECONDS", help="stop by itself after so long")
    run.add_argument("--one-cell", action="store_true", help="everything in one process")
    run.add_argument("--respawn", action="store_true", help="start the desk again when it fails, as a service would")
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
    add("doctor")
    add("why").add_argument("cl_ord_id")
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
    journal = add("journal")
    journal.add_argument("action", choices=["verify", "show"])
    journal.add_argument("path", nargs="?", help="of the journal; without it the data directory's")
    journal.add_argument(
        "--limit", type=_positive, default=50, metavar="N", help="how many of the newest rows show prints"
    )
    books = add("books")
    books.add_argument("action", choices=["check"])
    books.add_argument("files", nargs="+", metavar="FILE", help="recorded traffic, plain, .gz or .xz, in any order")
    books.add_argument("--venue", required=True, help="binance, binanceusdm, binancecoinm, okx or bybit")
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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _identity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scope", default=GLOBAL, help="global, venue:<venue>, symbol:<instrument_id>, strategy:<id>")
    parser.add_argument("--actor", help="who you are; without it the user that runs the command")
