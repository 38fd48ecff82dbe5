"""Thespian's own tests, as shipped in its wheel, on LoopBase: what the tables of `thespian_suite` promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import thespian.test

from supervision.bases import thespian_suite

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
THEIR_TESTS = Path(thespian.test.__file__).parent
pytestmark = pytest.mark.process
ALL_MODULES = [module for shard in thespian_suite.MODULES for module in shard]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, list[str]]:
    """What became of every test of Thespian's, all shards side by side."""
    work = tmp_path_factory.mktemp("thespian")
    runs = []
    for number, shard in enumerate(thespian_suite.MODULES):
        report = work / f"{number}.json"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(HERE))),
            "LOOPBASE_OUTCOMES": str(report),
            "TMPDIR": str(work),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # our own tests' plugins are of no use to Thespian's, and take long
        }
        command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(work)]
        command += ["-p", "no:cacheprovider", "-p", "loopbase_plugin"]
        command += [str(THEIR_TESTS / f"{module}.py") for module in shard]
        with (work / f"{number}.log").open("wb") as log:
            runs.append((report, subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log)))
    found: dict[str, list[str]] = {}
    for report, process in runs:
        try:
            process.wait(timeout=600)
        finally:
            process.kill()
            process.wait()
        found |= json.loads(report.read_text())
    return found


def test_every_test_module_of_the_wheel_is_accounted_for():
    assert sorted(ALL_MODULES) == sorted(path.stem for path in THEIR_TESTS.glob("test_*.py"))


@pytest.mark.parametrize("module", ALL_MODULES)
def test_thespians_own_tests_pass_on_the_loop_base(module, outcomes):
    mine = {name: outcome for name, outcome in outcomes.items() if name.split("::")[0] == module}
    assert mine
    assert {name: why for name, (outcome, why) in mine.items() if outcome == "failed"} == {}
    if any(outcome != "excluded" for outcome, _ in mine.values()):
        assert any(outcome == "passed" for outcome, _ in mine.values())


def test_a_test_that_thespian_skips_by_itself_is_in_the_table(outcomes):
    skipped = {name for name, (outcome, _) in outcomes.items() if outcome == "skipped"}
    assert {name for name in skipped if not name.startswith(tuple(thespian_suite.SKIP_THEMSELVES))} == set()


def test_every_exclusion_still_excludes_something(outcomes):
    excluded = [name for name, (outcome, _) in outcomes.items() if outcome == "excluded"]
    prefixes = [*thespian_suite.EXCLUDED]
    if os.environ.get("LOOPBASE_SLOW") != "1":
        prefixes += thespian_suite.SLOW
    assert [prefix for prefix in prefixes if not any(name.startswith(prefix) for name in excluded)] == []


def test_most_of_thespians_tests_run(outcomes):
    assert sum(outcome == "passed" for outcome, _ in outcomes.values()) >= 350
