"""A pytest plugin: Thespian's own tests, with their `asys` fixture on LoopBase.

Writes what became of every test to the JSON file named by LOOPBASE_OUTCOMES: id -> [outcome, reason].
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import thespian.test
from thespian.actors import ActorSystem

from supervision.bases import thespian_suite

CAPABILITIES = {"Foo Allowed": True, "Cows Allowed": True, "Dogs Allowed": True, "dog": "food"}
OUTCOMES: dict[str, tuple[str, str]] = {}


def test_id(node) -> str:
    owner = [node.cls.__name__] if node.cls is not None else []
    return "::".join([Path(str(node.fspath)).stem, *owner, node.name])


@pytest.fixture(params=[thespian_suite.BASE_NAME])
def asys(request):
    system = ActorSystem(systemBase=request.param, capabilities=dict(CAPABILITIES), logDefs=False, transientUnique=True)
    in_process = any(test_id(request.node).startswith(name) for name in thespian_suite.AS_IN_PROCESS)
    system.base_name = thespian_suite.IN_PROCESS_NAME if in_process else request.param
    system.port_num = None
    system.txonly = False
    yield system
    system.shutdown()


def pytest_configure(config):
    thespian_suite.register()
    thespian.test.asys = asys  # every test module imports it from here


def pytest_collection_modifyitems(config, items):
    kept = []
    for item in items:
        reason = thespian_suite.reason_not_to_run(
            test_id(item), item.fixturenames, slow_too=os.environ.get("LOOPBASE_SLOW") == "1"
        )
        if reason is None:
            kept.append(item)
        else:
            OUTCOMES[test_id(item)] = ("excluded", reason)
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    name = test_id(item)
    if report.failed:
        OUTCOMES[name] = ("failed", str(report.longrepr)[-2_000:])
    elif report.skipped:
        OUTCOMES[name] = ("skipped", str(report.longrepr[2]))
    elif report.when == "call":
        OUTCOMES.setdefault(name, ("passed", ""))
    return report


def pytest_sessionfinish(session):
    target = os.environ.get("LOOPBASE_OUTCOMES")
    if target:
        Path(target).write_text(json.dumps(OUTCOMES))
