"""`propdesk replay`: keys set on the command line and in the environment reach the session and the desk."""

from __future__ import annotations

import json

import pytest


@pytest.mark.req("P-SIM-1")
def test_a_set_key_reaches_the_generator_and_the_desk(propdesk, monkeypatch):
    def books(*words):
        code, out, _ = propdesk("replay", "--duration", 3, "--json", *words)
        assert code == 0
        return json.loads(out)["books"]

    plain = books()
    assert books("--set", "generator.seed=1") != plain
    assert books("--set", "generator.seed=7") == plain
    monkeypatch.setenv("PROPDESK_GENERATOR__SEED", "1")
    assert books() != plain


def test_a_key_that_does_not_exist_is_an_error_and_not_ignored(propdesk):
    code, _, err = propdesk("replay", "--duration", 3, "--set", "generator.sed=1")
    assert code == 2
    assert "seed" in err


def test_a_session_that_is_not_there_cannot_be_replayed(propdesk, tmp_path):
    code, _, err = propdesk("replay", "--session", tmp_path / "nothing")
    assert code == 2
    assert err
