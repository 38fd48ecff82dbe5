"""Where orders go: the whole truth table, the variables of the environment, and what the desk makes of them."""

from __future__ import annotations

import itertools

import pytest

from adapters.config import ConfigError, load_config
from adapters.config_model import PROJECT_ROOT
from adapters.execution_backend import (
    VARIABLES,
    Backend,
    Resolved,
    Switches,
    Wish,
    agreed,
    backends_of,
    credentials_of,
    key_variables,
    resolve,
    switches_of,
)

SIMULATED, LOOPBACK, TESTNET, LIVE = Backend
KEYS = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s"}


def wish(venue="binance", **told):
    return Wish(venue=venue, **({"profile": "live", "orders": "wire", "environment": "live"} | told))


# Spec L-EXEC-3 and -4, C-EXEC-7: (use_testnet, live_trading, force_mock, keys) of a live configuration.
TRUTH = [
    ((testnet, trading, forced, keys), expected)
    for testnet, trading, forced, keys in itertools.product(
        (None, False, True), (None, False, True), (False, True), (False, True)
    )
    for expected in [
        SIMULATED if forced or not keys else TESTNET if testnet else SIMULATED if trading is False else LIVE
    ]
]


@pytest.mark.req("L-EXEC-3", "L-EXEC-4")
@pytest.mark.parametrize(("told", "expected"), TRUTH)
def test_the_truth_table_of_a_live_configuration(told, expected):
    testnet, trading, forced, keys = told
    switches = Switches(testnet=testnet, live_trading=trading, force_mock=forced, keys=keys)
    found = resolve(wish(), switches)
    assert found.backend is expected
    assert found.reason


@pytest.mark.req("L-EXEC-3", "L-EXEC-4")
@pytest.mark.parametrize("environment", ["loopback", "testnet", "live"])
@pytest.mark.parametrize("orders", ["simulated", "wire"])
@pytest.mark.parametrize("profile", ["paper", "live"])
@pytest.mark.parametrize("played", [False, True])
def test_no_switch_makes_a_desk_more_dangerous_than_its_configuration(environment, orders, profile, played):
    asked = wish(environment=environment, orders=orders, profile=profile, played=played)
    most = {"loopback": LOOPBACK, "testnet": TESTNET, "live": LIVE}[environment].rank
    for values in itertools.product(
        (False, True), (False, True), (False, True), (None, False, True), (None, False, True)
    ):
        switches = Switches(
            **dict(zip(("keys", "force_mock", "mode_mock", "testnet", "live_trading"), values, strict=True))
        )
        found = resolve(asked, switches).backend
        assert found.rank <= most
        if orders == "simulated" or played or switches.force_mock or switches.mode_mock:
            assert found is SIMULATED
        if found is LIVE:
            assert profile == "live"
            assert switches.keys
        if found is not LOOPBACK and found is not SIMULATED:
            assert switches.keys


@pytest.mark.req("L-EXEC-4")
@pytest.mark.parametrize("venue", VARIABLES)
def test_the_emergency_switch_beats_everything_and_is_named(venue):
    name = VARIABLES[venue].force_mock
    found = resolve(wish(venue), switches_of(venue, {name: "TRUE", **all_keys()}))
    assert found.backend is SIMULATED
    assert name in found.reason


@pytest.mark.req("L-EXEC-6")
@pytest.mark.parametrize("venue", ["binanceusdm", "binancecoinm"])
def test_futures_have_keys_and_a_test_network_of_their_own(venue):
    env = {"BINANCE_FUTURES_TESTNET": "true", **KEYS}
    found = resolve(wish(venue), switches_of(venue, env))
    assert (found.backend, "BINANCE_FUTURES_API_KEY" in found.reason) == (SIMULATED, True)
    env |= {"BINANCE_FUTURES_API_KEY": "k", "BINANCE_FUTURES_API_SECRET": "s"}
    assert resolve(wish(venue), switches_of(venue, env)).backend is TESTNET
    assert resolve(wish(venue), switches_of(venue, env | {"BINANCE_FUTURES_TESTNET": "false"})).backend is LIVE


@pytest.mark.req("C-EXEC-7")
def test_gates_keys_and_its_sandbox():
    env = {"EXCHANGE": "gateio", "GATEIO_API_KEY": "k", "GATEIO_API_SECRET": "s", "GATEIO_PASSWORD": "p"}
    assert credentials_of("gateio", env).passphrase == "p"
    assert resolve(wish("gateio"), switches_of("gateio", env)).backend is LIVE
    assert resolve(wish("gateio"), switches_of("gateio", env | {"GATEIO_SANDBOX": "true"})).backend is TESTNET
    assert resolve(wish("gateio"), switches_of("gateio", env | {"GATEIO_SANDBOX": "false"})).backend is LIVE


def test_a_venue_without_a_test_network_simulates_instead():
    env = {"MEXC_API_KEY": "k", "MEXC_API_SECRET": "s"}
    found = resolve(wish("mexc", environment="testnet"), switches_of("mexc", env))
    assert (found.backend, "no test network" in found.reason) == (SIMULATED, True)


def all_keys():
    return dict.fromkeys(key_variables(), "x")


@pytest.mark.parametrize("venue", VARIABLES)
def test_a_part_of_a_key_is_no_key(venue):
    names = VARIABLES[venue]
    assert credentials_of(venue, all_keys()) is not None
    wanted = [names.key, names.secret, *([names.passphrase] if names.needs_passphrase else [])]
    for group in wanted:
        assert credentials_of(venue, {k: v for k, v in all_keys().items() if k not in group}) is None
        assert credentials_of(venue, all_keys() | dict.fromkeys(group, " ")) is None


def test_two_names_of_one_key_agree_or_nothing_starts():
    both = KEYS | {"BINANCE_KEY": "k", "BINANCE_SECRET": "s"}
    assert credentials_of("binance", both).api_key == "k"
    with pytest.raises(ConfigError, match=r"BINANCE_API_KEY and BINANCE_KEY.*differ.*set one of them"):
        credentials_of("binance", both | {"BINANCE_KEY": "another"})


@pytest.mark.parametrize(
    ("env", "field"),
    [
        ({"BINANCE_FORCE_MOCK": "maybe"}, "BINANCE_FORCE_MOCK"),
        ({"BINANCE_USE_TESTNET": "2"}, "BINANCE_USE_TESTNET"),
        ({"EXCHANGE_MODE": "paper"}, "EXCHANGE_MODE"),
    ],
)
def test_a_switch_that_cannot_be_read_is_an_error_and_never_a_guess(env, field):
    with pytest.raises(ConfigError) as raised:
        switches_of("binance", env)
    assert raised.value.field == field


@pytest.mark.req("L-EXEC-1")
def test_the_mode_mock_simulates_everything():
    found = resolve(wish(), switches_of("binance", KEYS | {"EXCHANGE_MODE": "mock"}))
    assert (found.backend, found.reason) == (SIMULATED, "EXCHANGE_MODE is mock")
    assert resolve(wish(), switches_of("binance", KEYS | {"EXCHANGE_MODE": "real"})).backend is LIVE


# --- The desk ----------------------------------------------------------------------------------------------


def test_a_desk_is_as_safe_as_its_safest_venue():
    each = tuple(Resolved(venue=v, backend=b, reason="said") for v, b in (("a", LIVE), ("b", TESTNET), ("c", LIVE)))
    together = agreed(each)
    assert [one.backend for one in together] == [TESTNET] * 3
    assert "b is testnet (said)" in together[0].reason
    assert together[1].reason == "said"


def test_one_venue_without_keys_makes_the_whole_desk_simulate():
    both = {"binance": {"instruments": ["BINANCE:SPOT:BTC-USDT"]}, "okx": {"instruments": ["OKX:SPOT:BTC-USDT"]}}
    each = backends_of(live(venues=both), KEYS)
    assert [one.backend for one in each] == [SIMULATED, SIMULATED]
    assert "okx is simulated (no keys: set OKX_API_KEY" in each[0].reason
    assert {one.backend for one in backends_of(live(venues=both), all_keys())} == {LIVE}


def live(**more):
    overrides = {
        "profile": "live",
        "execution.orders": "wire",
        "execution.environment": "live",
        "market_data.source": "live",
        "venues": {"binance": {"instruments": ["BINANCE:SPOT:BTC-USDT"]}},
        "strategies": {},
        "placement": {},
    }
    return load_config(PROJECT_ROOT / "configs" / "paper.yaml", overrides=overrides | more)


def test_configuration_reaches_a_real_account_only_by_all_of_its_words():
    config = live()
    assert backends_of(config, KEYS)[0].backend is LIVE
    assert backends_of(config, {})[0].backend is SIMULATED
    assert backends_of(config, KEYS | {"BINANCE_USE_TESTNET": "true"})[0].backend is TESTNET
    assert backends_of(config, KEYS, played=True)[0].backend is SIMULATED
    with pytest.raises(ConfigError, match="EXCHANGE"):
        backends_of(config, KEYS | {"EXCHANGE": "kraken"})


@pytest.mark.parametrize(
    ("change", "field", "mend"),
    [
        ({"profile": "paper"}, "execution.environment", "set profile to live"),
        ({"execution.orders": "simulated"}, "execution.environment", "set execution.orders to wire"),
        ({"market_data.source": "embedded"}, "execution.environment", "set market_data.source to live"),
        ({"execution.environment": "loopback"}, "execution.orders", "set it to simulated"),
        ({"execution.keys_vouched": ["mexc"]}, "execution.keys_vouched", "name those of venues"),
    ],
)
def test_half_a_live_configuration_is_refused_with_its_mend(change, field, mend):
    with pytest.raises(ConfigError) as raised:
        live(**change)
    assert raised.value.field == field
    assert mend in str(raised.value)


def test_the_paper_desk_is_what_it_was():
    config = load_config(PROJECT_ROOT / "configs" / "paper.yaml")
    assert backends_of(config, {"EXCHANGE": "gateio"}) == backends_of(config, {})
    assert {one.backend for one in backends_of(config, {})} <= {SIMULATED, LOOPBACK}
