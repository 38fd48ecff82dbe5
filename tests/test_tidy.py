"""The house is tidy: nothing is left undone, no test sleeps, every module says what it owns, runbooks are found."""

from __future__ import annotations

import importlib.util
import re
import tokenize
import warnings
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
CODE = ["actors", "adapters", "api", "native", "research", "scripts", "supervision", "tests", "trading"]
MODULES = sorted(path for top in CODE for path in (PROJECT / top).rglob("*.py") if "__pycache__" not in path.parts)
TEXTS = [
    *MODULES,
    *PROJECT.glob("native/*.[ch]"),
    *PROJECT.glob("*.md"),
    *PROJECT.glob("*.lock"),
    *PROJECT.glob("runbooks/**/*.md"),
    *PROJECT.glob("configs/*"),
    PROJECT / "Makefile",
    PROJECT / "pyproject.toml",
    PROJECT / ".ci" / "run",
]
LINES_MAX = 600
LEFT_UNDONE = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "X" * 3 + r"\b"]))
MACHINES = re.compile(
    "|".join(["/opt/" + "wheels", "/" + "root/", "/" + "work/", "pypi" + r"\.org", "python" + "hosted"])
)


def where(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(PROJECT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_undone():
    assert where(LEFT_UNDONE, TEXTS) == []


def test_no_file_names_a_machine_or_a_registry():
    assert where(MACHINES, TEXTS) == []


def test_no_test_sleeps():
    sleeps = re.compile(r"\b(time\.sleep|(asyncio|anyio)\.sleep)\((?!0\))")
    assert where(sleeps, [path for path in MODULES if "tests" in path.parts]) == []


def first_words(path):
    """The text that a module opens with, as it is written; "" where the first of its code is something else."""
    with tokenize.open(path) as lines:
        for token in tokenize.generate_tokens(lines.readline):
            if token.type not in {tokenize.COMMENT, tokenize.NL}:
                return token.string.strip("\"' \n") if token.type == tokenize.STRING else ""
    return ""


def test_every_module_says_what_it_is():
    silent = [str(path.relative_to(PROJECT)) for path in MODULES if path.stat().st_size and not first_words(path)]
    assert silent == []


@pytest.mark.filterwarnings("default")
def test_long_modules_are_pointed_at():
    for path in MODULES:
        lines = len(path.read_text("utf-8").splitlines())
        if lines > LINES_MAX:
            warnings.warn(f"{path.relative_to(PROJECT)} has {lines} lines: is it two things?", stacklevel=1)


def test_every_runbook_is_linked_and_every_link_leads_somewhere():
    documents = [PROJECT / "README.md", *sorted((PROJECT / "runbooks").rglob("*.md"))]
    linked = set()
    for document in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text("utf-8")):
            path = (document.parent / target).resolve()
            assert path.exists(), f"{document.name} links {target}"
            linked.add(path)
    assert [str(path.relative_to(PROJECT)) for path in documents[1:] if path not in linked] == []


def test_the_generated_tables_are_those_of_the_code():
    spec = importlib.util.spec_from_file_location("docs", PROJECT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    for path in docs.documents():
        assert docs.regenerated(path.read_text("utf-8")) == path.read_text("utf-8"), f"{path.name}: run `make docs`"
