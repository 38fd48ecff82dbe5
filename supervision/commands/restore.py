"""``propdesk restore DIR --to DATA_DIR``: a backup into an empty place, proved before and after, where no desk runs."""

from __future__ import annotations

import argparse
import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from adapters.journal.backup import JOURNAL, BackupRefused, Manifest, check, restore
from adapters.journal.base import JournalFailed
from adapters.journal.reader import is_url, open_journal
from adapters.journal.store import lock
from adapters.journal.verify import verify
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.commands.backup import config_digest, progress, say
from supervision.operator_commands import find_desk


def run(args: argparse.Namespace) -> int:
    """0: there and proved; 1: refused, and nothing was changed; 2: it could not run."""
    source = Path(args.directory)
    digest = None
    if not args.any_config:
        desk = find_desk(args)
        if desk.config is None:
            return failed(args, "the configuration is wrong: mend it, or say --any-config")
        digest = config_digest(desk.config)
    try:
        progress("proving the backup")
        manifest = check(source, digest)
        _restore(source, args.to, manifest)
    except BackupRefused as refused:
        return say(args, ANSWER_IS_NO, f"refused: {refused}", {})
    except JournalFailed as error:
        return say(args, ANSWER_IS_NO, f"refused: {error.text}", {})
    except (OSError, sqlite3.Error) as error:
        return failed(args, str(error))
    rows = manifest.journal.rows
    text = f"{args.to}: {rows} rows of {manifest.taken_at}; what came after, only the venues know: the start asks"
    return say(args, DONE, text, {"path": args.to, "rows": rows, "head_hash": manifest.journal.head_hash})


def _restore(source: Path, to: str, manifest: Manifest) -> None:
    expect = (manifest.journal.rows, bytes.fromhex(manifest.journal.head_hash))
    if is_url(to):
        from adapters.journal.pour import into_database  # noqa: PLC0415 - a driver that most desks do not need

        with closing(open_journal(source / JOURNAL)) as journal, journal.snapshot():
            into_database(journal, to, lambda row: progress(f"journal: {row:,} rows"))
        report = verify(to, expect)
    else:
        data = Path(to)
        with _no_desk(data), lock(data / JOURNAL):
            restore(source, data, manifest)
            report = verify(data / JOURNAL, expect)
    if not report.ok:
        raise BackupRefused(f"what was restored is not what was saved ({report.text}): look at the disk")


@contextmanager
def _no_desk(data: Path) -> Iterator[None]:
    """Hold the lock that a running desk holds; `BackupRefused` when one does."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "propdesk.lock").open("a+") as held:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BackupRefused(f"a desk runs on {data}: stop it first") from error
        yield
