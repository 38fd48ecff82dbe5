"""Records which requirement each test proves: outcomes by id go to `.pytest_cache/req.json` for `make spec`."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections import defaultdict
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from adapters.config import load_config
from adapters.journal.store import SqliteJournal
from adapters.wirelog import SessionFacts
from supervision.replay import SYNTHETIC_EPOCH_NS, Replay, synthetic_lines
from trading.orders.journal_rows import RowDraft
from trading.orders.messages import TargetIntent, Urgency

# Compiled once, and not anew by each worker and by each process that a test starts.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# `PROPDESK_...` is a key of the configuration to whatever a test starts: `tests/effort.py` reads another name.
if os.environ.pop("PROPDESK_THOROUGH", "") == "1":
    os.environ["TESTS_ARE_THOROUGH"] = "1"
# A run in the background of a shell is deaf to Ctrl-C, and so would be all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

PROJECT = Path(__file__).resolve().parents[1]
TABLE = PROJECT / "tests" / "requirements.tsv"
FIRST = (
    "tests/process/",
    "tests/supervision/bases/test_thespian_suite.py",
    "tests/api/test_page.py",
    "tests/supervision/conformance/",
    "tests/supervision/test_wired_orders.py",
    "tests/adapters/streams/",
    "tests/adapters/ccxt_venues/",
    "tests/adapters/simserver/",
    "tests/adapters/orders/",
    "tests/adapters/recorder/",
    "tests/adapters/test_venue_codecs.py",
    "tests/fuzz/",
    "tests/supervision/",
)
"""What waits for real clocks, processes and sockets begins, the longest first; what only computes fills the rest."""
SPREAD = (
    "tests/adapters/ccxt_venues/",
    "tests/adapters/streams/",
    "tests/supervision/conformance/",
    "tests/supervision/simulation/",
    "tests/supervision/test_wired_orders.py",
)
_OUTCOMES = pytest.StashKey[dict[str, dict[str, str]]]()
_KNOWN = pytest.StashKey[set[str]]()
_CONFIGS: list[pytest.Config] = []
"""The run's configuration; the hook for reports is not given it."""


def _known() -> set[str]:
    return {line.split("\t")[0] for line in TABLE.read_text("utf-8").splitlines() if line}


def _ids(item: pytest.Item) -> set[str]:
    return {name for mark in item.iter_markers("req") for name in mark.args}


def _rank(item: pytest.Item) -> tuple[int, str]:
    first = next((n for n, prefix in enumerate(FIRST) if item.nodeid.startswith(prefix)), len(FIRST))
    return first, item.nodeid.partition("::")[0]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = defaultdict(dict)
    config.stash[_KNOWN] = _known()
    _CONFIGS.append(config)
    worker = getattr(config, "workerinput", None)
    if worker and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        # Each worker begins to collect elsewhere, and finds compiled what the others had before: together they
        # compile every file once. The order in which tests run is the same for all, by `_rank`.
        files = sorted(str(path) for path in (PROJECT / "tests").rglob("test_*.py"))
        begin = len(files) * int(worker["workerid"][2:]) // worker["workercount"]
        config.args = files[begin:] + files[:begin]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    unknown = _ids(item) - item.config.stash[_KNOWN]
    if unknown:
        pytest.fail(f"{', '.join(sorted(unknown))} is not in {TABLE.name}", pytrace=False)


def pytest_collection_finish() -> None:
    """Modules and tests stay for the whole run: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More workers than processors: half of the time tests wait for a real clock."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A file goes to whichever worker is free, and what it reads is read once; real desks take turns, in order, on one.

    Files of long tests that share nothing are spread.
    """

    class DesksTakeTurns(LoadScopeScheduling):
        def __init__(self) -> None:
            config.option.loadscopereorder = False  # the order is `FIRST`'s
            super().__init__(config, log)

        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith("tests/process/"):
                return "desks"
            return nodeid if nodeid.startswith(SPREAD) else nodeid.partition("::")[0]

    return DesksTakeTurns()


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
