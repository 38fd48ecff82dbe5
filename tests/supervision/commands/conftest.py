"""The command line in this process."""

from __future__ import annotations

import os

import pytest

from supervision.cli import main


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith("PROPDESK_") or name in {"API_PORT", "API_HOST", "DEFAULT_PROFILE"}:
            monkeypatch.delenv(name)


@pytest.fixture
def propdesk(capsys):
    """Runs one command; (exit code, stdout, stderr)."""

    def run(*words):
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
