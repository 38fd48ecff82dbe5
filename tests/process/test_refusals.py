"""What `propdesk run` refuses before anything is started: one clear line, exit code 2, nothing left behind."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.process, pytest.mark.req("P-CFG-2")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("servr: {port: 8001}\n", ("servr", "server")),
        ("permit: {ttl_ms: 500ms}\n", ("permit.ttl_ms", "500", "milliseconds")),
        ("risk: {daily_loss_cap_usd: -1}\n", ("risk.daily_loss_cap_usd",)),
        ("server: {host: 0.0.0.0}\n", ("server.host", "127.0.0.1")),
        ("strategies: {a: {kind: maker, instruments: ['NOWHERE:SPOT:A-B']}}\n", ("NOWHERE:SPOT:A-B",)),
        ("session: /nowhere/at/all\n", ("/nowhere/at/all",)),
        ("risk: [\n", ("line",)),
    ],
)
def test_a_wrong_configuration_is_named_in_one_line_and_nothing_starts(run_propdesk, tmp_path, text, words):
    config = tmp_path / "desk.yaml"
    config.write_text(f"data_dir: {tmp_path / 'data'}\n{text}")
    code, out, err = run_propdesk("run", "--config", str(config))
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    assert all(word in err for word in words), err
    assert not (tmp_path / "data" / "permit.board").exists()


def test_a_configuration_that_is_not_there_is_named(run_propdesk, tmp_path):
    code, _, err = run_propdesk("run", "--config", str(tmp_path / "none.yaml"))
    assert code == 2
    assert "none.yaml" in err
    assert len(err.strip().splitlines()) == 1


def test_an_unknown_kind_of_strategy_is_named_before_anything_starts(run_propdesk, tmp_path):
    config = tmp_path / "desk.yaml"
    config.write_text(
        f"data_dir: {tmp_path / 'data'}\n"
        "strategies: {a: {kind: makr, instruments: ['BINANCEUSDM:PERP:BTC-USDT:LINEAR']}}\n"
    )
    code, _, err = run_propdesk("run", "--config", str(config))
    assert code == 2
    assert "makr" in err
    assert len(err.strip().splitlines()) == 1
