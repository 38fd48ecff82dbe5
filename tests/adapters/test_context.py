"""Market context from stub servers on loopback: every key, every way that a source can fail, and the hour's limit."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from adapters.clock import VirtualClock
from adapters.context import ContextFeed, parse_btc_dominance, parse_dxy, parse_fear_greed
from adapters.context_model import CONTEXT_VARIABLES, ContextConfig, context_config
from tests.waiting import PATIENCE_S, until
from trading.context import BreakerState, FearGreed

SECOND = 1_000_000_000
# As the sources document their replies, shortened.
GLOBAL = {
    "data": {
        "active_cryptocurrencies": 13690,
        "markets": 1046,
        "total_market_cap": {"btc": 39003738.08, "usd": 2721226850772.6},
        "market_cap_percentage": {"btc": 50.44635, "eth": 14.9228},
        "updated_at": 1712512855,
    }
}
MOOD = {
    "name": "Fear and Greed Index",
    "data": [{"value": "40", "value_classification": "Fear", "timestamp": "1551157200", "time_until_update": "68499"}],
    "metadata": {"error": None},
}


class Stub:
    """The three sources on one loopback server; what each answers can be changed."""

    def __init__(self):
        self.replies = {"/global": GLOBAL, "/fng": MOOD, "/dxy": {"value": 104.25}}
        self.calls = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.base = ""

    async def start(self):
        app = web.Application()
        app.router.add_get("/{name}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self):
        self.gate.set()
        await self._runner.cleanup()

    async def _answer(self, request):
        self.calls.append(request.path_qs)
        await self.gate.wait()
        reply = self.replies[request.path]
        if callable(reply):
            raise reply()  # one of its own each time: an answer can be given once
        return web.Response(body=reply if isinstance(reply, bytes) else json.dumps(reply).encode())


@pytest.fixture
async def stub():
    made = Stub()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def clock():
    return VirtualClock(1_700_000_000 * SECOND, 10 * SECOND)


@pytest.fixture
async def feed(stub, clock):
    made = []

    def make(**env):
        wanted = {
            "CONTEXT_ENABLE": "true",
            "CONTEXT_BTC_DOMINANCE_URL": f"{stub.base}/global",
            "CONTEXT_FEAR_GREED_URL": f"{stub.base}/fng?limit=1",
            "CONTEXT_DXY_URL": f"{stub.base}/dxy",
        }
        one = ContextFeed(context_config(wanted | env), clock)
        made.append(one)
        return one

    yield make
    for one in made:
        await one.close()


def later(clock, seconds):
    clock.advance_to_mono(clock.mono_ns() + int(seconds * SECOND))


@pytest.mark.req("C-MKT-1")
async def test_figures_are_those_of_the_sources(feed, stub):
    seen = await feed().refresh()
    assert (seen.btc_dominance_pct, seen.fear_greed, seen.fear_greed_class, seen.dxy) == (50.44635, 40, "Fear", 104.25)
    assert sorted(stub.calls) == ["/dxy", "/fng?limit=1", "/global"]


@pytest.mark.req("C-MKT-1")
async def test_the_dollar_index_is_asked_for_only_where_a_source_is_configured(feed, stub):
    seen = await feed(CONTEXT_DXY_URL="").refresh()
    assert (seen.btc_dominance_pct, seen.dxy) == (50.44635, None)
    assert "/dxy" not in stub.calls
    assert "dxy" not in seen.breakers


@pytest.mark.req("C-MKT-3")
async def test_switched_off_it_asks_nobody(feed, stub):
    off = feed(CONTEXT_ENABLE="false")
    seen = await off.refresh()
    assert (seen.enabled, seen.btc_dominance_pct, off.current().fear_greed) == (False, None, None)
    assert stub.calls == []


@pytest.mark.req("C-MKT-3")
async def test_figures_are_kept_as_long_as_the_cache_ttl_says(feed, stub, clock):
    short = feed(CONTEXT_CACHE_TTL_SEC="30")
    await short.refresh()
    later(clock, 29.9)
    await short.refresh()
    assert len(stub.calls) == 3
    stub.replies["/dxy"] = {"value": 99}
    later(clock, 0.1)
    assert (await short.refresh()).dxy == 99.0
    assert len(stub.calls) == 6


@pytest.mark.req("C-MKT-3")
async def test_a_source_that_does_not_answer_costs_the_http_timeout_and_no_more(feed, stub):
    slow = feed(CONTEXT_HTTP_TIMEOUT_SEC="0.2")
    stub.gate.clear()
    seen = await asyncio.wait_for(slow.refresh(), PATIENCE_S)
    assert (seen.btc_dominance_pct, seen.fear_greed, seen.dxy) == (None, None, None)
    assert set(seen.errors) == {"btc_dominance", "fear_greed", "dxy"}
    assert all("Timeout" in error for error in seen.errors.values())


@pytest.mark.req("C-MKT-2")
async def test_while_a_source_is_asked_what_is_known_is_told_without_waiting(feed, stub, clock):
    patient = feed(CONTEXT_CACHE_TTL_SEC="30")
    await patient.refresh()
    stub.gate.clear()
    later(clock, 31)
    asking = asyncio.ensure_future(patient.refresh())
    await until(lambda: len(stub.calls) >= 6)
    assert patient.current().dxy == 104.25
    assert len(await asyncio.gather(patient.refresh(), patient.refresh())) == 2
    assert len(stub.calls) == 6
    stub.gate.set()
    assert (await asking).dxy == 104.25


@pytest.mark.req("C-MKT-4")
async def test_the_101st_call_is_served_from_the_cache(feed, stub, clock):
    one = feed(CONTEXT_CACHE_TTL_SEC="1", CONTEXT_DXY_URL="", CONTEXT_FEAR_GREED_URL="")
    for _ in range(100):
        await one.refresh()
        later(clock, 1)
    assert len(stub.calls) == 100
    stub.replies["/global"] = {"data": {"market_cap_percentage": {"btc": 1.5}}}
    seen = await one.refresh()
    assert len(stub.calls) == 100
    assert (seen.btc_dominance_pct, seen.limited, seen.calls_last_hour) == (50.44635, ("btc_dominance",), 100)
    later(clock, 3600)
    assert (await one.refresh()).btc_dominance_pct == 1.5


@pytest.mark.req("C-MKT-3")
async def test_the_hourly_limit_is_configured(feed, stub, clock):
    one = feed(CONTEXT_CACHE_TTL_SEC="1", RATE_LIMIT_MARKET_CONTEXT_PER_HOUR="4")
    for _ in range(5):
        await one.refresh()
        later(clock, 1)
    assert len(stub.calls) == 4


BAD = {
    "status": web.HTTPServiceUnavailable,
    "redirect": lambda: web.HTTPFound("http://127.0.0.1:1/"),
    "not JSON": b"<html>",
    "nothing": b"",
    "other JSON": {"data": []},
    "null": {"data": None, "value": None},
    "too long": b'{"value": 104.25' + b" " * 300_000 + b"}",
    "nested": b"[" * 5_000,
}


@pytest.mark.req("C-MKT-2")
@pytest.mark.parametrize("reply", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize(("path", "figure"), [("/global", "btc_dominance"), ("/fng", "fear_greed"), ("/dxy", "dxy")])
async def test_what_cannot_be_believed_is_null_and_the_other_figures_stay(feed, stub, path, figure, reply):
    stub.replies[path] = reply
    seen = await feed().refresh()
    shown = {"btc_dominance": seen.btc_dominance_pct, "fear_greed": seen.fear_greed, "dxy": seen.dxy}
    assert {name for name, value in shown.items() if value is None} == {figure}
    assert set(seen.errors) == {figure}


@pytest.mark.req("C-MKT-2")
async def test_a_source_that_is_down_opens_its_breaker_and_is_tried_again_later(feed, stub, clock):
    one = feed()
    await stub.stop()
    for _ in range(3):
        await one.refresh()
        later(clock, 15)
    seen = await one.refresh()
    assert set(seen.breakers.values()) == {BreakerState.OPEN}
    assert (seen.btc_dominance_pct, seen.fear_greed, seen.dxy) == (None, None, None)
    assert seen.calls_last_hour == 9
    later(clock, 300)
    seen = await one.refresh()
    assert seen.calls_last_hour == 12


async def test_a_refresh_that_is_given_up_does_not_leave_its_sources_asked_forever(feed, stub, clock):
    one = feed()
    stub.gate.clear()
    asking = asyncio.ensure_future(one.refresh())
    await until(lambda: len(stub.calls) >= 3)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    stub.gate.set()
    later(clock, 15)
    assert (await one.refresh()).dxy == 104.25


async def test_run_refreshes_until_it_is_canceled(feed, stub):
    one = feed()
    task = asyncio.ensure_future(one.run(0.01))
    await until(lambda: one.current().dxy is not None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.req("C-MKT-3")
def test_defaults_are_those_of_the_specification_but_off():
    config = context_config({"HOME": "/", "CONTEXT_ENABLE": "false"})
    assert config == ContextConfig()
    assert not config.enable
    assert (config.cache_ttl_sec, config.http_timeout_sec, config.calls_per_hour) == (300, 2.0, 100)
    assert config.btc_dominance_url == "https://api.coingecko.com/api/v3/global"
    assert config.fear_greed_url == "https://api.alternative.me/fng/?limit=1"
    assert config.dxy_url == ""
    assert set(CONTEXT_VARIABLES.values()) == set(ContextConfig.model_fields)


def test_a_section_of_the_configuration_file_is_read_strictly():
    config = ContextConfig.model_validate({"enable": True, "http_timeout_sec": Decimal("1.5"), "cache_ttl_sec": 60})
    assert (config.enable, config.http_timeout_sec, config.cache_ttl_sec) == (True, 1.5, 60)
    assert ContextConfig.model_validate({"http_timeout_sec": 3}).http_timeout_sec == 3.0
    for wrong in ({"enable": "true"}, {"cache_ttl_sec": "60"}, {"ttl": 1}):
        with pytest.raises(ValueError, match="ContextConfig"):
            ContextConfig.model_validate(wrong)


@pytest.mark.parametrize(
    "env",
    [
        {"CONTEXT_ENABLE": "perhaps"},
        {"CONTEXT_CACHE_TTL_SEC": "0"},
        {"CONTEXT_HTTP_TIMEOUT_SEC": "nan"},
        {"CONTEXT_HTTP_TIMEOUT_SEC": "-1"},
        {"RATE_LIMIT_MARKET_CONTEXT_PER_HOUR": "many"},
        {"CONTEXT_DXY_URL": "http://example.com/dxy"},
        {"CONTEXT_DXY_URL": "file:///etc/passwd"},
        {"CONTEXT_DXY_URL": "https://user:secret@example.com/"},
        {"CONTEXT_DXY_URL": "https://"},
    ],
)
def test_a_setting_that_cannot_be_is_refused(env):
    with pytest.raises(ValueError, match="ContextConfig"):
        context_config(env)


@given(st.binary(max_size=300) | st.recursive(st.none() | st.floats() | st.text(max_size=5), st.lists).map(json.dumps))
def test_no_reply_makes_a_parser_do_more_than_refuse(body):
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    for parse in (parse_btc_dominance, parse_fear_greed, parse_dxy):
        with pytest.raises(ValueError):
            parse(raw)


@pytest.mark.parametrize("value", ["-1", "101", "4.5", "", "\u0664", "1e1"])
def test_an_index_out_of_its_scale_is_refused(value):
    mood = {"data": [{"value": value, "value_classification": "Fear"}]}
    with pytest.raises(ValueError, match="index"):
        parse_fear_greed(json.dumps(mood).encode())
    strange = {"data": [{"value": "4", "value_classification": "Delight"}]}
    with pytest.raises(ValueError, match="class"):
        parse_fear_greed(json.dumps(strange).encode())
    assert parse_fear_greed(json.dumps(MOOD).encode()) == FearGreed(value=40, value_class="Fear")


@pytest.mark.parametrize("body", [b'{"value":0}', b'{"value":-104}', b'{"value":1e400}', b'{"value":"104"}'])
def test_a_dollar_index_that_cannot_be_is_refused(body):
    with pytest.raises(ValueError):
        parse_dxy(body)
