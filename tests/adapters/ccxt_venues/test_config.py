"""A desk is configured with a venue that is read through ccxt, or told in one sentence why it cannot be."""

from __future__ import annotations

import re

import pytest

from adapters.ccxt_venues.exchange import pointed
from adapters.ccxt_venues.spec import CcxtSpec
from adapters.config import load_config
from adapters.config_error import ConfigError
from supervision.plan import paths_of
from supervision.wiring import Wiring

DESK = """
venues:
  gateio: {instruments: ["GATEIO:SPOT:BTC-USDT"]}
  mexc: {instruments: ["MEXC:SPOT:BTC-USDT", "MEXC:SPOT:ETH-USDT"]}
strategies: {}
market_data:
  source: %s
  ccxt: %s
"""


@pytest.fixture
def configured(tmp_path):
    def load(source="live", ccxt="{}", desk=DESK):
        path = tmp_path / "desk.yaml"
        path.write_text(desk % (source, ccxt))
        return load_config(path)

    return load


@pytest.mark.req("P-VEN-1")
def test_gateio_and_mexc_are_venues_by_name_with_instruments_of_their_own_words(configured):
    hosts = '{proof_ms: 60000, hosts: {gateio: {rest: "https://relay.example", ws: "wss://relay.example:444"}}}'
    config = configured(ccxt=hosts)
    wiring = Wiring(config, paths_of(config.data_path))
    assert [one.symbol for one in wiring.instruments.values()] == ["BTC_USDT", "BTCUSDT", "ETHUSDT"]
    terms = wiring.source("gateio").ccxt
    assert (terms.rest, terms.ws, terms.proof_ms) == ("https://relay.example", "wss://relay.example:444", 60_000)
    assert wiring.source("mexc").ccxt.rest == ""
    assert wiring.source("mexc").ccxt.proof_ms == 60_000


@pytest.mark.parametrize("source", ["sim", "embedded"])
def test_a_market_that_nobody_generates_is_refused_with_the_mend(configured, source):
    with pytest.raises(ConfigError, match=rf"venues\.gateio: .* no {source} source; set market_data\.source to live"):
        configured(source=source)


@pytest.mark.parametrize(
    ("ccxt", "said"),
    [
        ("{proof_ms: 20000}", "proof_ms 20000 must be at least 2 audits of 15000 ms"),
        ("{hosts: {binance: {}}}", "binance is not read through ccxt; those are gateio, mexc"),
        ('{hosts: {gateio: {rest: "http://relay.example"}}}', "hosts.gateio.rest"),
        ('{hosts: {gateio: {ws: "wss://user@relay.example"}}}', "hosts.gateio.ws"),
        ("{poll_ms: 1}", "poll_ms"),
    ],
)
def test_terms_that_prove_nothing_or_ask_strangers_are_refused(configured, ccxt, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        configured(ccxt=ccxt)


def test_a_host_replaces_scheme_and_host_and_nothing_else():
    urls = {"public": {"spot": "https://api.gateio.ws/api/v4"}, "spot": "wss://api.gateio.ws/ws/v4/", "none": None}
    terms = CcxtSpec(rest="http://127.0.0.1:81", ws="ws://127.0.0.1:82")
    assert pointed(urls, terms) == {
        "public": {"spot": "http://127.0.0.1:81/api/v4"},
        "spot": "ws://127.0.0.1:82/ws/v4/",
        "none": None,
    }
    assert pointed(urls, CcxtSpec()) == urls
