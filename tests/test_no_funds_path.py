"""What the code cannot do, read from the code itself: move funds, or place an order that no journal holds.

The run-time half is `adapters.orders.sanitiser` with its own tests: what is not on the list does not reach a socket.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("trading", "adapters", "actors", "supervision", "api", "research")
SERVERS = "adapters/simserver/"
"""Our own loopback servers: they answer, they ask nobody."""
FUNDS = re.compile(r"(?i)withdraw|transfer|sub-?account|loan|borrow|redeem|convert")
WRITES = frozenset({"post", "put", "delete", "patch", "request"})
SAYS = "trading/orders/order.py"
MATRIX = "supervision/conformance/"
"""Takes guards away on purpose, to see its cases turn red: one of its desks says an order again."""
READS = {"adapters/binance/orders_codec.py", "adapters/orders/binance_answers.py"}
"""Who makes an order's message: the order core's order, and those who read one back from bytes."""
SESSIONS = {
    "adapters/orders/exchange.py",
    "adapters/orders/user_stream.py",
    "adapters/streams/feed.py",
    "adapters/context.py",
    "supervision/bench_rate_storm.py",
}
"""Who opens HTTP sessions. Only the first may write; the last asks a server of its own."""


FRAMES = {
    "adapters/orders/entry_line.py",
    "adapters/orders/user_session.py",
    "adapters/streams/connection.py",
}
"""Who writes frames to venues' WebSockets. Only the first asks for orders; the others log in, subscribe and ping."""


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((PROJECT / room).rglob("*.py")):
            yield path.relative_to(PROJECT).as_posix(), ast.parse(path.read_text("utf-8"))


@pytest.fixture(scope="module")
def modules() -> dict[str, ast.Module]:
    """Every module by its path; read once, by the one process that runs these tests."""
    return dict(_modules())


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call: itself, the name of what is called, and the text of what it is called on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, node.func.attr, ast.unparse(node.func.value)
            elif isinstance(node.func, ast.Name):
                yield node, node.func.id, ""


def _texts(tree: ast.Module) -> Iterator[str]:
    """String constants that are not docstrings."""
    documentation = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            documentation.update(
                id(item.value) for item in body if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant)
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


@pytest.mark.req("P-SEC-11")
def test_no_address_that_moves_funds_is_written_anywhere(modules):
    found = [
        (name, text)
        for name, tree in modules.items()
        if not name.startswith(SERVERS)
        for text in _texts(tree)
        if "/" in text and " " not in text and FUNDS.search(text)
    ]
    assert found == []


@pytest.mark.req("P-SEC-11")
def test_nothing_that_moves_funds_is_called(modules):
    found = [
        (name, called)
        for name, tree in modules.items()
        for _, called, _ in _calls(tree)
        if re.search(r"(?i)^(create_|fetch_|private_?)?.*(withdraw|transfer_?out|transfer$)", called)
    ]
    assert found == []


@pytest.mark.req("P-SEC-11", "P-ORD-1")
def test_one_module_writes_to_venues_and_it_is_known_who_opens_sessions(modules):
    opened = {name for name, tree in modules.items() for _, called, _ in _calls(tree) if called == "ClientSession"}
    assert opened <= SESSIONS
    writing = {
        name
        for name, tree in modules.items()
        for _, called, on in _calls(tree)
        if called in WRITES and "session" in on.lower()
    }
    assert writing == {"adapters/orders/exchange.py"}


@pytest.mark.req("P-SEC-11", "P-ORD-1")
def test_it_is_known_who_writes_frames_and_each_of_an_order_is_held_against_the_list_of_operations(modules):
    writing = {
        name
        for name, tree in modules.items()
        if not name.startswith(SERVERS)
        for _, called, _ in _calls(tree)
        if called in {"send_str", "send_bytes", "send_json", "ws_connect"}
    }
    assert writing == FRAMES
    sent = []
    for function in [
        n for n in ast.walk(modules["adapters/orders/entry_line.py"]) if isinstance(n, ast.AsyncFunctionDef)
    ]:
        calls = [(call.lineno, called, ast.unparse(call)) for call, called, _ in _calls(function)]
        for line, _, text in [one for one in calls if one[1] == "send_str"]:
            frame = text.removeprefix("ws.send_str(").removesuffix(".decode())")
            checked = [at for at, called, said in calls if called == "check_frame" and said.endswith(f", {frame})")]
            sent.append((function.name, frame, bool(checked) and min(checked) < line))
    assert sorted(sent) == [("_live", "login", True), ("_ping", "ping", False), ("send", "frame", True)]


@pytest.mark.req("P-SEC-11")
def test_no_codec_of_frames_has_a_word_that_moves_funds(modules):
    frames = [name for name in modules if name.startswith("adapters/orders/entry_")]
    assert len(frames) >= 6
    assert [(name, text) for name in frames for text in _texts(modules[name]) if FUNDS.search(text)] == []


@pytest.mark.req("P-ORD-1")
def test_an_order_is_said_only_by_the_release_of_its_durable_row(modules):
    made = {
        name
        for name, tree in modules.items()
        if not name.startswith((SERVERS, "trading/sim/"))
        for _, called, _ in _calls(tree)
        if called in {"NewOrderSingle", "OrderCancelReplaceRequest"}
    }
    assert made == {SAYS} | READS
    said, released = [], []
    for name, tree in modules.items():
        if name.startswith(MATRIX):
            continue
        for function in [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]:
            calls = {(called, on) for _, called, on in _calls(function)}
            if ("command", "order") in calls:
                said.append((name, function.name))
            if any(called == "release_alone" for called, _ in calls):
                released.append((name, function.name))
    assert sorted(said) == [("trading/orders/core.py", "_release_alone"), ("trading/orders/state.py", "_release")]
    # The first of them, and its twin in C, is asked by whoever hears that rows are durable, and by nobody else.
    assert released == [("actors/orders.py", "on")]
    (on,) = [n for n in ast.walk(modules["actors/orders.py"]) if isinstance(n, ast.FunctionDef) and n.name == "on"]
    (branch,) = [n for n in ast.walk(on) if isinstance(n, ast.If) and ast.unparse(n.test) == "kind is RowsCommitted"]
    asked = {called for part in branch.body for _, called, _ in _calls(part)}
    rest = {
        called
        for part in (*branch.orelse, *(part for part in on.body if part is not branch))
        for _, called, _ in _calls(part)
    }
    assert "release_alone" in asked
    assert "release_alone" not in rest
