"""From configuration and environment to a link: whose account, which hosts, whose books. Nothing leaves loopback."""

from __future__ import annotations

import pytest

from adapters.config import ConfigError, load_config
from adapters.config_model import PROJECT_ROOT
from adapters.doctor import Status, check_orders, check_secrets
from adapters.execution_backend import Backend, backends_of
from adapters.orders.link import open_dialect
from adapters.orders.wire import OrderEndpoints
from adapters.venue_codecs import KNOWN
from supervision.order_accounts import PAPER_KEYS, account_link, check_books, mark_books, unmet, words_of
from supervision.plan import paths_of
from supervision.wiring import Wiring

IDS = {
    "binance": "BINANCE:SPOT:BTC-USDT",
    "binanceusdm": "BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    "binancecoinm": "BINANCECOINM:PERP:BTC-USD:INVERSE",
    "okx": "OKX:PERP:BTC-USDT:LINEAR",
    "bybit": "BYBIT:PERP:BTC-USDT:LINEAR",
    "gateio": "GATEIO:SPOT:BTC-USDT",
    "mexc": "MEXC:SPOT:BTC-USDT",
}
ENV = {
    f"{prefix}_{part}": f"{prefix} {part}"
    for prefix in ("BINANCE", "BINANCE_FUTURES", "OKX", "BYBIT", "GATEIO", "MEXC")
    for part in ("API_KEY", "API_SECRET")
} | {"OKX_API_PASSPHRASE": "words"}
REAL = {
    "binance": "https://api.binance.com",
    "binanceusdm": "https://fapi.binance.com",
    "binancecoinm": "https://dapi.binance.com",
    "okx": "https://www.okx.com",
    "bybit": "https://api.bybit.com",
    "gateio": "https://api.gateio.ws",
    "mexc": "https://api.mexc.com",
}
TEST = {
    "binance": "https://testnet.binance.vision",
    "binanceusdm": "https://demo-fapi.binance.com",
    "binancecoinm": "https://demo-dapi.binance.com",
    "okx": "https://www.okx.com",  # the same host, with a header
    "bybit": "https://api-testnet.bybit.com",
    "gateio": "https://api-testnet.gateapi.io",
}


def config_of(venue, environment, **more):
    """A desk of one venue whose orders go to ``environment``."""
    sim = environment == "loopback"
    overrides = {
        "profile": "live" if environment == "live" else "paper",
        "execution.orders": "wire",
        "execution.environment": environment,
        "market_data.source": "sim" if sim else "live",
        "venues": {venue: {"instruments": [IDS[venue]]}},
        "strategies": {},
        "placement": {},
    }
    return load_config(PROJECT_ROOT / "configs" / "paper.yaml", overrides=overrides | more)


def link_of(venue, environment, env=ENV, **more):
    return account_link(venue, [KNOWN[IDS[venue]]], 4711, config_of(venue, environment, **more), env)


@pytest.mark.req("L-EXEC-3", "L-EXEC-6")
@pytest.mark.parametrize("venue", REAL)
def test_live_is_the_venues_own_host_with_the_keys_of_the_environment(venue):
    link = link_of(venue, "live")
    assert not link.testnet
    assert link.credentials.secret.endswith("API_SECRET")
    assert open_dialect(link).endpoints.rest == REAL[venue]


@pytest.mark.req("L-EXEC-3", "C-EXEC-7")
@pytest.mark.parametrize("venue", TEST)
def test_testnet_is_the_test_networks_host_and_funds_of_nobody(venue):
    link = link_of(venue, "testnet")
    assert link.testnet
    endpoints = open_dialect(link).endpoints
    assert isinstance(endpoints, OrderEndpoints)
    assert (endpoints.rest, endpoints.demo) == (TEST[venue], True)


@pytest.mark.parametrize("venue", ["binance", "binanceusdm", "okx", "bybit"])
def test_loopback_is_this_machine_with_keys_that_open_nothing_else(venue):
    link = link_of(venue, "loopback")
    assert (link.rest, link.ws, link.credentials) == ("http://127.0.0.1:4711", "ws://127.0.0.1:4711", PAPER_KEYS)


@pytest.mark.req("L-EXEC-4")
@pytest.mark.parametrize("venue", REAL)
def test_without_keys_or_with_the_emergency_switch_there_is_no_link_at_all(venue):
    forced = {f"{venue.upper().removesuffix('USDM').removesuffix('COINM')}_FORCE_MOCK": "true"}
    for env in ({}, ENV | forced):
        with pytest.raises(ConfigError, match="it has no account"):
            link_of(venue, "live", env)


def test_a_relay_to_a_venue_is_for_its_orders_too():
    hosts = {"market_data.ccxt.hosts": {"gateio": {"rest": "https://relay.example", "ws": "wss://relay.example"}}}
    link = link_of("gateio", "live", **hosts)
    assert open_dialect(link).endpoints.rest == "https://relay.example"
    assert not link.testnet


def test_a_person_vouches_for_a_key_by_name():
    assert not link_of("mexc", "live").key_vouched
    assert link_of("mexc", "live", **{"execution.keys_vouched": ["mexc"]}).key_vouched


@pytest.mark.req("L-EXEC-1", "C-EXEC-1")
@pytest.mark.parametrize(
    ("environment", "env", "backend", "wired"),
    [
        ("loopback", {}, Backend.LOOPBACK, True),
        ("testnet", ENV, Backend.TESTNET, True),
        ("testnet", {}, Backend.SIMULATED, False),
        ("live", ENV, Backend.LIVE, True),
        ("live", {}, Backend.SIMULATED, False),
        ("live", ENV | {"BINANCE_FORCE_MOCK": "1"}, Backend.SIMULATED, False),
    ],
)
def test_the_tree_is_wired_by_what_was_resolved_and_tells_operators_why(
    tmp_path, monkeypatch, environment, env, backend, wired
):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    wiring = Wiring(config_of("binance", environment), paths_of(tmp_path))
    assert wiring.wired is wired
    connector = wiring.connector("binance")
    assert (connector.takes_orders, connector.backend) == (not wired, backend.value)
    assert connector.backend_reason
    start = wiring.gateway_start("binance")
    assert start.actor_class.__name__ == ("LiveGateway" if wired else "Gateway")
    # Virtual time never has a wire, whatever the environment holds.
    assert not Wiring(config_of("binance", environment), paths_of(tmp_path), replay=True).wired


@pytest.mark.req("L-EXEC-3")
def test_the_doctor_says_who_is_live_and_what_is_missing():
    config = config_of("okx", "live")
    (found,) = check_orders(config, ENV)
    assert (found.name, found.status, found.text[:4]) == ("orders okx", Status.OK, "live")
    (less,) = check_orders(config, {})
    assert (less.status, "set OKX_API_KEY, OKX_API_SECRET and OKX_API_PASSPHRASE" in less.text) == (Status.WARN, True)
    (wrong,) = check_orders(config, {"OKX_FORCE_MOCK": "perhaps"})
    assert (wrong.status, wrong.mend) == (Status.FAIL, "write true or false")
    assert check_secrets(config, ENV).status is Status.OK
    assert check_secrets(config_of("okx", "loopback"), ENV).status is Status.WARN
    assert all("words" not in one.text for one in (found, less))


def test_books_of_play_money_and_of_an_account_never_share_a_directory(tmp_path):
    check_books(tmp_path, Backend.LIVE)
    mark_books(tmp_path, Backend.LIVE)
    check_books(tmp_path, Backend.LIVE)
    for other in (Backend.SIMULATED, Backend.LOOPBACK, Backend.TESTNET):
        with pytest.raises(ConfigError, match="holds the books of a live account"):
            check_books(tmp_path, other)
    old = tmp_path / "old"
    old.mkdir()
    (old / "journal.db").write_bytes(b"")
    check_books(old, Backend.LOOPBACK)
    with pytest.raises(ConfigError, match=r"data_dir.*paper account.*choose another data_dir"):
        check_books(old, Backend.LIVE)
    mark_books(old, Backend.SIMULATED)
    check_books(old, Backend.LOOPBACK)


def test_what_is_less_than_was_asked_for_is_said_in_one_line():
    config = config_of("bybit", "live")
    assert unmet(config, backends_of(config, ENV)) == ""
    assert unmet(config, backends_of(config, {})).startswith("bybit: no keys: set BYBIT_API_KEY")
    assert words_of(backends_of(config, ENV)) == "live (bybit)"
