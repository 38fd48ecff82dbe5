"""``propdesk backup DIR``: the desk's state while it runs, with a manifest that proves it."""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import sys
from pathlib import Path

import msgspec

from adapters.clock import SystemClock
from adapters.config_model import DeskConfig
from adapters.journal.backup import BackupRefused, backup
from adapters.journal.base import JournalFailed
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.commands.journal import place_of
from supervision.desk_plan import VERSION
from supervision.operator_commands import find_desk

_OF_THE_MACHINE = {"data_dir", "admin_port", "server", "logging", "journal"}
"""Keys that may differ between the desk that was saved and the one that goes on."""


def run(args: argparse.Namespace) -> int:
    """0: saved and proved; 1: refused; 2: it could not run."""
    desk = find_desk(args)
    if desk.config is None:
        return failed(args, "the configuration is wrong, and a backup names the one that it was taken under: mend it")
    place, target = place_of(desk), Path(args.directory)
    try:
        manifest = backup(
            place,
            desk.data,
            target,
            software=VERSION,
            config_digest=config_digest(desk.config),
            now_ns=SystemClock().wall_ns(),
            progress=progress,
        )
    except BackupRefused as refused:
        return say(args, ANSWER_IS_NO, str(refused), {})
    except FileNotFoundError as error:
        return failed(args, f"{error}: the desk of this data directory has never run (--data-dir names another)")
    except (OSError, sqlite3.Error, JournalFailed) as error:
        return failed(args, str(error))
    journal = manifest.journal
    text = f"{target}: {journal.rows} rows, {journal.hours} closed hours, head {journal.head_hash}"
    return say(args, DONE, text, {"path": str(target), "manifest": msgspec.to_builtins(manifest)})


def config_digest(config: DeskConfig) -> str:
    """sha256 (hex) of what the desk trades and how; where it runs is left out."""
    return hashlib.sha256(config.model_dump_json(exclude=_OF_THE_MACHINE).encode()).hexdigest()


def say(args: argparse.Namespace, code: int, text: str, facts: dict[str, object]) -> int:
    """The answer, and its exit code."""
    if args.json:
        print(json.dumps({"command": args.command, "done": code == DONE, "text": text, **facts}))
    else:
        print(text)
    return code


def progress(text: str) -> None:
    """What long work is at, on stderr."""
    end = "" if sys.stderr.isatty() else "\n"
    print(f"{'' if end else chr(13)}{text}", end=end, file=sys.stderr, flush=True)
