"""Records which requirement each test proves: outcomes by id go to `.pytest_cache/req.json` for `make spec`."""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from adapters.config import load_config
from adapters.journal.store import SqliteJournal
from adapters.wirelog import SessionFacts
from supervision.replay import SYNTHETIC_EPOCH_NS, Replay, synthetic_lines
from trading.orders.journal_rows import RowDraft
from trading.orders.messages import TargetIntent, Urgency

PROJECT = Path(__file__).resolve().parents[1]
TABLE = PROJECT / "tests" / "requirements.tsv"
SPREAD = (
    "tests/adapters/ccxt_venues/",
    "tests/adapters/streams/",
    "tests/research/",
    "tests/supervision/conformance/",
    "tests/supervision/simulation/",
    "tests/supervision/test_wired_orders.py",
)
_OUTCOMES = pytest.StashKey[dict[str, dict[str, str]]]()
_CONFIGS: list[pytest.Config] = []
"""The run's configuration; the hook for reports is not given it."""


def _known() -> set[str]:
    return {line.split("\t")[0] for line in TABLE.read_text("utf-8").splitlines() if line}


def _ids(item: pytest.Item) -> set[str]:
    return {name for mark in item.iter_markers("req") for name in mark.args}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = defaultdict(dict)
    _CONFIGS.append(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = _known()
    for item in items:
        unknown = _ids(item) - known
        if unknown:
            raise pytest.UsageError(f"{item.nodeid}: {', '.join(sorted(unknown))} is not in {TABLE.name}")


def pytest_collection_finish() -> None:
    """Modules and tests stay for the whole run: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A file goes to whichever worker is free, and what it reads is read once; real desks take turns, in order, on one.

    Files of long tests that share nothing are spread.
    """

    class DesksTakeTurns(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/process/"):
                return "desks"
            return nodeid if nodeid.startswith(SPREAD) else nodeid.partition("::")[0]

    return DesksTakeTurns(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    report.req = sorted(_ids(item))  # where tests run in several processes, reports are what comes back
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name in getattr(report, "req", ()):
        outcomes = _CONFIGS[-1].stash[_OUTCOMES][name]
        if report.when == "call" or report.outcome != "passed":
            before = outcomes.get(report.nodeid)
            outcomes[report.nodeid] = "failed" if before == "failed" else report.outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    outcomes = session.config.stash.get(_OUTCOMES, None)
    if outcomes is None or session.config.option.collectonly or hasattr(session.config, "workerinput"):
        return
    cache = PROJECT / ".pytest_cache"
    cache.mkdir(exist_ok=True)
    (cache / "req.json").write_text(json.dumps(outcomes, indent=1, sort_keys=True), "utf-8")


@pytest.fixture(scope="session")
def traded_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal file of a desk that traded eight seconds of the default session in virtual time."""
    directory = tmp_path_factory.mktemp("traded")
    config = load_config()
    desk = Replay(config, SessionFacts(), directory=directory)
    desk.boot(SYNTHETIC_EPOCH_NS)
    lines = list(synthetic_lines(config, 8))
    asked_ns = SYNTHETIC_EPOCH_NS + 4_000_000_000
    desk.feed(line for line in lines if line.ts_recv_ns <= asked_ns)
    desk.base.inject(
        "arbiter",
        TargetIntent(
            intent_id="maker-usdm:test:1",
            strategy_id="maker-usdm",
            instrument_id="BINANCEUSDM:PERP:BTC-USDT:LINEAR",
            target_lots=5,
            urgency=Urgency.AGGRESSIVE,
            limit_ticks=None,
            confidence=1.0,
            ttl_ns=3_000_000_000,
            reasons=("a test",),
            cause="a test",
            ts_init_ns=asked_ns,
        ),
    )
    desk.feed(line for line in lines if line.ts_recv_ns > asked_ns)
    desk.settle()
    rows = list(desk.base.actor("journal")._memory.read())
    desk.base.shutdown()
    path = directory / "journal.db"
    with SqliteJournal(path) as journal:
        for row in rows:
            fields = (row.ts_ns, row.kind, row.venue, row.cl_ord_id, row.exec_id, row.parent_id, row.epoch, row.body)
            journal.append([RowDraft(*fields)])
    return path
