"""``propdesk why CL_ORD_ID``: the whole story of one order out of the journal, with the daemon up, hung or dead."""

from __future__ import annotations

import argparse
import json
import sqlite3

import msgspec

from adapters.why import UnknownOrder, why
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.commands.journal import place_of
from supervision.operator_commands import find_desk


def run(args: argparse.Namespace) -> int:
    """0: told; 1: the journal does not know the order; 2: there is no journal that could be read."""
    path = place_of(find_desk(args))
    try:
        story = why(path, args.cl_ord_id)
    except UnknownOrder as unknown:
        body = {"command": "why", "done": False, "error": str(unknown), "nearest": list(unknown.nearest)}
        print(json.dumps(body) if args.json else f"propdesk why: {unknown}")
        return ANSWER_IS_NO
    except FileNotFoundError as error:
        return failed(args, f"{error}: the desk of this data directory has never run (--data-dir names another)")
    except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
        return failed(args, f"{path} cannot be read: {error}. `propdesk journal verify` says where it is broken")
    if args.json:
        print(json.dumps({"command": "why", "done": True, "text": story.to_text(), **msgspec.to_builtins(story)}))
    else:
        print(story.to_text())
    return DONE
