"""The package is this project's own: folders are listed, no stranger of the same name is imported, locks whole."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
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


VERSIONS = ["3.11.0", "3.11.14", "3.12.0", "3.12.12"]


def rows_for(lock, version):
    """Name and Requires-Python of what the lock installs on a Python, as far as it is installed here."""
    text = (PROJECT / lock).read_text("utf-8")
    rows = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[a-z,-]+\])?==[^ ]+ (?:; ([^\\]+))?", text, re.MULTILINE)
    return {
        canonicalize_name(name)
        for name, marker in rows
        if not marker or Marker(marker.strip()).evaluate(python(version))
    }


def python(version):
    return {"python_full_version": version, "python_version": version.rpartition(".")[0], "extra": ""}


def about(name):
    try:
        return importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None  # one that this Python does not need


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_whole_on_each_of_our_pythons(lock, version):
    """It is written by one Python; what another one needs besides is missed only there, at somebody's first run."""
    locked = rows_for(lock, version)
    found = {name: facts for name in locked if (facts := about(name)) is not None}
    assert len(found) > len(locked) // 2
    needs = [
        (name, Requirement(need)) for name, facts in found.items() for need in facts.get_all("Requires-Dist") or ()
    ]
    missing = [
        (name, str(need))
        for name, need in needs
        if (need.marker is None or need.marker.evaluate(python(version))) and canonicalize_name(need.name) not in locked
    ]
    assert missing == []


@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_locked_for_every_python_installs_on_the_oldest_of_ours(lock):
    oldest, newest = (rows_for(lock, version) for version in (VERSIONS[0], VERSIONS[-1]))
    for name in oldest:
        facts = about(name)
        needs = facts.get("Requires-Python") if facts is not None and name in newest else None
        # A row of its own for the older one is of another version than the one that is installed here.
        if needs and not _has_rows_by_python(lock, name):
            assert SpecifierSet(needs).contains(VERSIONS[0]), f"{name} needs Python {needs}"


def _has_rows_by_python(lock, name):
    rows = re.findall(r"^([A-Za-z0-9._-]+)==[^ ]+ ; python_version", (PROJECT / lock).read_text("utf-8"), re.MULTILINE)
    return name in {canonicalize_name(row) for row in rows}


def test_the_command_starts_where_the_package_says():
    module, _, function = PYPROJECT["project"]["scripts"]["propdesk"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
