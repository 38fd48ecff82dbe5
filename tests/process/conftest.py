"""Real desks: process trees of their own, looked at from outside, ended by pid whatever happens."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from adapters.journal.store import open_reader, read_rows
from supervision.drill_desk import DrillDesk
from supervision.root import alive
from tests.waiting import PATIENCE_S, waited_for_processors_s
from trading.orders.journal_rows import JournalKind

PROJECT = Path(__file__).resolve().parents[2]
LISTEN = "0A"


def _clean_environment():
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PROPDESK_")}
    for name in ("API_PORT", "API_HOST", "DEFAULT_PROFILE", "DESK_DRILLS"):
        kept.pop(name, None)
    return {**kept, "TELEGRAM_BOT_TOKEN": ""}


def _stat(pid):
    """(parent, session) of a process; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), int(fields[3])


def _links(pid):
    """What the open files of a process are; files come and go while we look."""
    try:
        files = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for file in files:
        try:
            yield str(file.readlink())
        except OSError:
            continue


class Daemon(DrillDesk):
    """`propdesk run` without a watcher: when it ends, it ends."""

    def __init__(self, directory, orders="auto"):
        super().__init__(directory, more=f"execution: {{orders: {orders}}}\n")
        self.seen = set()

    def start(self, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervision", "run", "--config", str(self.config_path), *words],
            # So that the venues write down what they did: the desk's own files are no witness.
            env={**_clean_environment(), "DESK_DRILLS": "1"},
            stdout=self.log,
            stderr=self.log,
            cwd=PROJECT,
            start_new_session=True,
        )

    def tree(self):
        """Every process of the desk that is alive: by parenthood, by session and by the heartbeat board."""
        assert self.process is not None
        known = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
        found = {self.process.pid, *self.pids().values()}
        grew = True
        while grew:
            more = {pid for pid, stat in known.items() if stat and (stat[0] in found or stat[1] == self.process.pid)}
            grew = not more <= found
            found |= more
        found = {pid for pid in found if alive(pid)}
        self.seen |= found
        return found

    def propdesk(self, *words):
        """Run a command against this desk; (exit code, what it said)."""
        done = subprocess.run(
            [sys.executable, "-m", "supervision", *words, "--json", "--config", str(self.config_path)],
            env=_clean_environment(),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
            check=False,
        )
        return done.returncode, json.loads(done.stdout)

    def get(self, path):
        """The JSON of an HTTP answer, None when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def listening(self):
        """(pid, address) of every TCP socket on which a process of the tree listens."""
        inodes = {}
        for table in ("tcp", "tcp6"):
            for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = row.split()
                if fields[3] == LISTEN:
                    inodes[f"socket:[{fields[9]}]"] = fields[1]
        return [(pid, inodes[link]) for pid in self.tree() for link in _links(pid) if link in inodes]

    def paced_ms(self, what, condition):
        """As `wait`, less the time in which somebody on this machine waited for a processor: how fast the desk is."""
        starved_s = waited_for_processors_s()
        took_ms = self.wait(what, condition, PATIENCE_S)
        return took_ms - 1_000 * (waited_for_processors_s() - starved_s)

    def fills(self):
        """Executions in the journal so far."""
        with closing(open_reader(self.paths.journal)) as db:
            return sum(row.kind in {JournalKind.PARTIAL, JournalKind.FILL} for row in read_rows(db))

    def signal_all(self, number):
        for pid in self.tree():
            os.kill(pid, number)

    def end(self):
        """Whatever a test left."""
        if self.process is None:
            return
        for pid in self.tree() | {p for p in self.seen if alive(p)}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(PATIENCE_S)
        if not self.log.closed:
            self.log.close()


@pytest.fixture(scope="module")
def daemon(request, tmp_path_factory):
    """A desk that trades; one for the module, because it takes seconds to come up. ``ORDERS``: by which way they go."""
    desk = Daemon(tmp_path_factory.mktemp("desk"), getattr(request.module, "ORDERS", "auto"))
    desk.start()
    try:
        desk.wait_trading(orders=3, timeout_s=2 * PATIENCE_S)
        desk.tree()
        yield desk
    finally:
        desk.end()


@pytest.fixture
def new_daemon(tmp_path):
    """A desk that the test starts itself."""
    desk = Daemon(tmp_path)
    try:
        yield desk
    finally:
        desk.end()


@pytest.fixture
def run_propdesk():
    """`propdesk` as a command of its own; (exit code, stdout, stderr)."""
    running = []

    def run(*words, timeout_s=2 * PATIENCE_S):
        process = subprocess.Popen(
            [sys.executable, "-m", "supervision", *words],
            env=_clean_environment(),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        out, err = process.communicate(timeout=timeout_s)
        return process.returncode, out, err

    yield run
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)
