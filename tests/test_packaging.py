"""The package is this project's own: folders are listed, no stranger of the same name is imported, locks whole."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-build.lock"]
OURS = ["actors", "adapters", "api", "native", "research", "supervision", "trading"]


def test_every_folder_with_code_is_listed_for_installation():
    found = {
        ".".join(init.parent.relative_to(PROJECT).parts)
        for top in OURS
        for init in (PROJECT / top).rglob("__init__.py")
    }
    assert found == set(PYPROJECT["tool"]["setuptools"]["packages"])


def test_every_folder_with_modules_is_a_package():
    for top in OURS:
        for module in (PROJECT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


@pytest.mark.parametrize("name", OURS)
def test_our_names_resolve_inside_the_project(name):
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(PROJECT)
    assert set(importlib.metadata.packages_distributions().get(name, ["propdesk"])) == {"propdesk"}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_an_exact_version_and_a_hash(lock):
    text = (PROJECT / lock).read_text("utf-8").replace("\\\n", " ")
    rows = [line for line in text.splitlines() if line and not line.lstrip().startswith(("#", "--"))]
    assert rows
    for row in rows:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==\S+ ", row), row
        assert "--hash=sha256:" in row, row


def test_every_dependency_is_locked():
    def names(rows):
        return {re.split(r"[<>=!~; \[]", row, maxsplit=1)[0].lower().replace("_", "-") for row in rows}

    def locked(lock):
        text = (PROJECT / lock).read_text("utf-8")
        return {
            name.lower().replace("_", "-")
            for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==", text, re.MULTILINE)
        }

    assert names(PYPROJECT["project"]["dependencies"]) <= locked("requirements.lock")
    assert names(PYPROJECT["project"]["optional-dependencies"]["dev"]) <= locked("requirements-dev.lock")
    assert names(PYPROJECT["build-system"]["requires"]) <= locked("requirements-build.lock")


@pytest.mark.parametrize("version", ["3.11.0", "3.11.14", "3.12.0", "3.12.12"])
@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_what_locked_packages_need_on_any_python_of_ours_is_locked_too(lock, version):
    """A lock is written by one Python; what another one needs besides is missed only there, at somebody's first run."""
    text = (PROJECT / lock).read_text("utf-8")
    locked = {
        canonicalize_name(name) for name in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==", text, re.MULTILINE)
    }
    python = {"python_full_version": version, "python_version": version.rpartition(".")[0], "extra": ""}
    missing = [
        (name, str(need))
        for name in locked
        for need in map(Requirement, _needs(name))
        if need.marker is None or need.marker.evaluate(python)
        if canonicalize_name(need.name) not in locked
    ]
    assert missing == []


def _needs(name):
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []  # one that this Python does not need


def test_the_command_starts_where_the_package_says():
    module, _, function = PYPROJECT["project"]["scripts"]["propdesk"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
