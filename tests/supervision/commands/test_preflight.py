"""The preflight says whose orders will be filled by whom, and refuses books that are not of this account."""

from __future__ import annotations

import io
import json
import sys

import msgspec
import pytest

from supervision.commands import preflight
from supervision.plan import Flight

LIVE = {
    "profile": "live",
    "execution.orders": "wire",
    "execution.environment": "live",
    "market_data.source": "live",
    "venues": {"bybit": {"instruments": ["BYBIT:SPOT:BTC-USDT"]}},
    "strategies": {},
    "placement": {},
}
KEYS = {"BYBIT_API_KEY": "k", "BYBIT_API_SECRET": "the secret"}


@pytest.fixture
def checked(tmp_path, monkeypatch, capsys):
    """Run the preflight: (exit code, flight or None, what it said)."""

    def run(overrides, env=()):
        for name, value in dict(env).items():
            monkeypatch.setenv(name, value)
        asked = {
            "config": None,
            "profile": None,
            "one_cell": False,
            "overrides": {"data_dir": str(tmp_path), **overrides},
        }
        out = io.BytesIO()
        words = io.TextIOWrapper(out, write_through=True)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
            patched.setattr(sys, "stdout", words)
            code = preflight.main()
        flight = msgspec.msgpack.decode(out.getvalue(), type=Flight) if code == 0 else None
        words.close()
        return code, flight, capsys.readouterr().err

    return run


@pytest.mark.req("L-EXEC-3")
def test_keys_and_words_make_a_desk_live_and_without_keys_it_is_said_that_it_is_not(checked, tmp_path):
    code, flight, said = checked(LIVE)
    assert (code, flight.orders) == (0, "simulated (bybit)")
    assert "because bybit: no keys: set BYBIT_API_KEY and BYBIT_API_SECRET" in said
    assert (tmp_path / "account-kind").read_text() == "paper\n"
    code, flight, said = checked(LIVE, KEYS)
    assert (code, flight) == (2, None)
    assert said == (
        f"propdesk: data_dir: {tmp_path} holds the books of a paper account, and orders would go to a live one; "
        "choose another data_dir\n"
    )
    (tmp_path / "account-kind").unlink()
    code, flight, said = checked(LIVE, KEYS)
    assert (code, flight.orders, said) == (0, "live (bybit)", "")
    assert b"the secret" not in flight.plan.config


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"BYBIT_FORCE_MOCK": "yess"}, "BYBIT_FORCE_MOCK: 'yess' is neither true nor false; write true or false"),
        ({"EXCHANGE": "gateio"}, "EXCHANGE: 'gateio' is no venue of this desk: bybit; add it to venues"),
    ],
)
def test_an_environment_that_nobody_can_read_is_one_clear_line(checked, env, said):
    code, flight, heard = checked(LIVE, env)
    assert (code, flight, heard) == (2, None, f"propdesk: {said}\n")


def test_the_default_desk_needs_nothing_and_stays_on_paper(checked):
    code, flight, said = checked({}, KEYS)
    assert code == 0
    assert said == ""
    assert flight.orders.split(" ")[0] in {"simulated", "loopback"}
