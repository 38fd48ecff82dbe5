"""The configuration: defaults that load, overrides that win, and errors that name the field and its mend."""

from __future__ import annotations

import pickle
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

import adapters.config
from adapters.config import ConfigError, DeskConfig, load_config

PAPER = Path(__file__).resolve().parents[2] / "configs" / "paper.yaml"


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "desk.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.req("P-CFG-2")
def test_the_paper_profile_is_exactly_the_defaults_and_names_every_key():
    assert load_config(PAPER) == DeskConfig() == load_config()

    def keys(tree, prefix=""):
        found = {prefix} if prefix else set()
        for name, value in tree.items() if isinstance(tree, dict) else ():
            found |= keys(value, f"{prefix}.{name}")
        return found

    assert keys(yaml.safe_load(PAPER.read_text("utf-8"))) == keys(DeskConfig().model_dump())


def test_the_defaults_let_bitcoin_trade():
    config = DeskConfig()
    lot_usd = Decimal("0.001") * 100_000
    assert lot_usd < config.risk.per_order_notional_cap <= config.risk.notional_caps.symbol("any")
    assert config.risk.notional_caps.symbol("any") <= config.risk.notional_caps.venue("any")
    assert config.risk.notional_caps.venue("any") <= config.risk.notional_caps.gross
    assert config.venues["binance"].sim.initial_balances == {"USDT": Decimal(50000), "BTC": Decimal("0.5")}


@pytest.mark.req("P-CFG-2")
def test_the_command_line_wins_over_the_environment_over_the_file(written):
    path = written("server: {port: 8001}\nspeed: 2\nrisk: {daily_loss_cap_usd: 100.5}")
    assert load_config(path).server.port == 8001
    assert load_config(path).risk.daily_loss_cap_usd == Decimal("100.5")
    env = {"PROPDESK_SERVER__PORT": "8002", "API_PORT": "8009", "HOME": "/home/alice"}
    assert load_config(path, env=env).server.port == 8002
    assert load_config(path, env={"API_PORT": "8009"}).server.port == 8009
    config = load_config(path, env=env, overrides={"server.port": 8003, "speed": "4"})
    assert (config.server.port, config.speed) == (8003, 4.0)


def test_an_override_below_a_default_keeps_the_rest_of_it():
    config = load_config(env={"PROPDESK_STRATEGIES__MAKER-USDM__BUDGET_USD": "750"})
    assert config.strategies["maker-usdm"].budget_usd == 750
    assert len(config.strategies) == 6
    config = load_config(overrides={"risk.notional_caps.per_symbol.BINANCE:SPOT:BTC-USDT": 300})
    assert config.risk.notional_caps.symbol("BINANCE:SPOT:BTC-USDT") == 300
    assert config.risk.notional_caps.symbol("BINANCEUSDM:PERP:BTC-USDT:LINEAR") == 2000


def test_the_file_may_come_from_the_environment(written):
    path = written("speed: 3")
    assert load_config(env={"PROPDESK_CONFIG": str(path)}).speed == 3.0


def test_the_profile_may_come_from_the_environment(written):
    assert load_config(written(""), env={"DEFAULT_PROFILE": "live"}).profile == "live"
    with pytest.raises(ConfigError, match=r"live\.yaml: there is no such file"):
        load_config(env={"DEFAULT_PROFILE": "live"})


WRONG = [
    ("supervision: {heartbeat: 100ms}", "supervision.heartbeat", "did you mean heartbeat_ms (milliseconds)?"),
    ("supervision: {heartbeat_s: 1}", "supervision.heartbeat_s", "did you mean heartbeat_ms (milliseconds)?"),
    ("supervision: {heartbeat_ms: 100ms}", "supervision.heartbeat_ms", "write the number alone in milliseconds"),
    ("supervision: {period_s: 1m}", "supervision.period_s", "write the number alone in seconds"),
    ("supervision: {hang_ms: 150}", "supervision", "at least 3 heartbeats"),
    ("permit: {ttl_ms: 150}", "permit", "at least 2 renewals"),
    ("servr: {}", "servr", "did you mean server?"),
    ("venues: {binance: {instruments: ['A:SPOT:B-C'], simm: {}}}", "venues.binance.simm", "did you mean sim?"),
    ("venues: {binance: {instruments: ['A:SPOT:B-C'], api_key: k}}", "venues.binance.api_key", "environment"),
    ("server: {host: 0.0.0.0}", "server.host", "listens on 127.0.0.1 only"),
    ("risk: {daily_loss_cap_usd: -1}", "risk.daily_loss_cap_usd", "not -1; the unit is US dollars"),
    ("risk: {stale_ms: 0.5}", "risk.stale_ms", "valid integer, not 0.5"),
    ("risk: {price_band_bps: .inf}", "risk.price_band_bps", "risk"),
    ("risk: {notional_caps: {per_symbol: {}}}", "risk.notional_caps.per_symbol", "add a key 'default'"),
    ("risk: {notional_caps: {per_venue: {default: 1, okx: 1}}}", "risk.notional_caps.per_venue", "no venue 'okx'"),
    ("placement: {all: [desk]}", "placement", "is in no cell"),
    ("placement: {a: [desk, ops, desk]}", "placement", "more than once"),
    ("placement: {a: [desk, clerk]}", "placement", "no role 'clerk'"),
    ("strategies: {m: {kind: maker, instruments: ['A:SPOT:B-C']}}", "strategies.m.instruments", "no venue lists"),
    ("strategies: {m: {kind: maker}}", "strategies.m.instruments", "missing; add it"),
    ("speed: .nan", "speed", "not nan"),
    ("a: 1\na: 2", "line 2", "comes twice"),
    ("a: [", "desk.yaml line 1", "not YAML"),
    ("- a", "desk.yaml", "not a table of keys"),
]


@pytest.mark.parametrize("path", sorted(PAPER.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_what_is_read_in_c_is_what_python_reads(path):
    text = path.read_text("utf-8")
    assert repr(yaml.load(text, Loader=adapters.config._QuickLoader)) == repr(
        yaml.load(text, Loader=adapters.config._Loader)
    )


@pytest.mark.parametrize(("text", "field", "words"), WRONG, ids=[field for _, field, _ in WRONG])
def test_what_is_wrong_is_named_with_its_mend(written, text, field, words):
    with pytest.raises(ConfigError) as wrong:
        load_config(written(text))
    assert wrong.value.field.endswith(field)
    assert words in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_misspelt_variable_is_refused_and_not_ignored():
    with pytest.raises(ConfigError, match="servr: unknown key; did you mean server"):
        load_config(env={"PROPDESK_SERVR__PORT": "9001"})


@pytest.mark.parametrize(
    "key",
    [
        "per_order_notional_cap",
        "price_band_bps",
        "max_slippage_bps",
        "daily_loss_cap_usd",
        "throttle_orders_per_sec",
        "max_inflight_orders",
        "notional_caps.gross",
        "notional_caps.per_symbol.default",
        "notional_caps.per_venue.default",
    ],
)
def test_a_limit_of_zero_allows_nothing_in_paper_and_is_refused_in_live(written, key):
    load_config(overrides={f"risk.{key}": 0})
    with pytest.raises(ConfigError, match="0 allows nothing") as wrong:
        load_config(written(""), profile="live", overrides={f"risk.{key}": 0})
    assert wrong.value.field == f"risk.{key}"


def test_everything_may_share_one_cell():
    roles = ["desk", "venue:binance", "venue:binanceusdm", "venue:binancecoinm", "ops", "simvenue"]
    assert load_config(overrides={"placement": {"all": roles}}).placement == {"all": roles}


def test_the_loopback_servers_have_a_cell_exactly_where_they_are_the_source(written):
    roles = ["desk", "venue:binance", "venue:binanceusdm", "venue:binancecoinm", "ops"]
    unplaced = load_config(overrides={"placement": {"all": roles}})
    assert unplaced.placement == {"all": roles, "simvenue": ["simvenue"]}
    for source in ("embedded", "live"):
        config = load_config(overrides={"market_data.source": source})
        assert not config.from_simvenue
        assert "simvenue" not in config.placement
        assert config.synthetic is (source == "embedded")


def test_an_error_crosses_processes():
    error = pickle.loads(pickle.dumps(ConfigError("a.b", "wrong", "mend it")))
    assert (error.field, error.problem, error.mend, str(error)) == ("a.b", "wrong", "mend it", "a.b: wrong; mend it")


def test_the_choice_of_native_code_is_no_key():
    assert load_config(env={"PROPDESK_NATIVE": "0"}) == load_config()


def test_orders_go_by_wire_where_somebody_is_at_its_other_end():
    def orders(**given):
        return DeskConfig.model_validate(given).execution.orders

    assert orders() == orders(execution={"orders": "auto"}) == "wire"
    assert orders(execution={"orders": "auto", "deadlines_ms": {"place": 300}}) == "wire"
    assert orders(session="recording") == "simulated"
    assert orders(market_data={"source": "live"}) == orders(market_data={"source": "embedded"}) == "simulated"
    assert orders(execution={"orders": "simulated"}) == "simulated"
    with pytest.raises(ValidationError, match="wire needs the loopback servers"):
        orders(execution={"orders": "wire"}, market_data={"source": "embedded"})
