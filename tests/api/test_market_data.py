"""Market data and the universe over HTTP: what is told, what grows old, what is refused and why."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from adapters.clock import VirtualClock
from adapters.quote_share import QuoteShare
from api.http import HttpServer, start_http
from api.market_data import ENDPOINTS, META_SHOWN
from api.market_schemas import UniverseRequest
from api.projection import Projection
from trading.operators import CommandKind, Topic
from trading.universe.quotes import QuoteChoice
from trading.universe.report import MarketMeta
from trading.universe.workflow import ApproveMarket, DeleteMarket, DraftMarket, SubmitMarket, UniverseCommand

from .market_facts import MARKETS, SUSPECT, VENUES, tell

HASH = "a" * 64
MARKET_TOPICS = [
    *(Topic.META, Topic.UNIVERSE, Topic.REGISTRY, Topic.FEED, Topic.QUORUM, Topic.CLOCK, Topic.QUALITY),
    *(Topic.DERIVATIVES, Topic.LIQUIDATIONS, Topic.FLOW, Topic.LIQUIDITY, Topic.OPPORTUNITY, Topic.CONTRACTS),
]
ETH = "OKX:SPOT:ETH-USDT"


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=server.url) as session:
        yield session


@pytest.fixture
def told(projection: Projection, clock: VirtualClock) -> Projection:
    tell(projection, clock.wall_ns())
    return projection


async def get(client: aiohttp.ClientSession, path: str, status: int = 200, **query: str) -> Any:
    async with client.get(path, params=query) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.method == "GET"], ids=lambda one: one.path)
async def test_each_get_answers_in_its_documented_shape_with_and_without_facts(
    client: aiohttp.ClientSession, projection: Projection, clock: VirtualClock, endpoint: Any
) -> None:
    async with client.get(endpoint.path) as answer:
        assert answer.status == 200
        endpoint.answer.model_validate_json(await answer.read())
    tell(projection, clock.wall_ns())
    async with client.get(endpoint.path) as answer:
        assert answer.status == 200
        endpoint.answer.model_validate_json(await answer.read())


@pytest.mark.req("P-API-39")
@pytest.mark.req("P-MD-9")
async def test_meta_has_filters_fees_funding_schedule_ids_and_a_version(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    body = await get(client, "/api/md/meta")
    assert set(body["markets"]) == {market_id for _, market_id in MARKETS}
    one = body["markets"]["OKX:PERP:BTC-USDT:LINEAR"]
    wanted = {"tick_size", "lot_size", "min_notional", "multiplier", "maker_fee", "taker_fee", "symbol", "aliases"}
    assert wanted <= set(one)
    assert one["funding"]["interval_min"] == 480
    assert one["rules_version"]
    assert body["synthetic"] is True
    assert (body["shown"], body["total"]) == (7, 7)
    version = body["rules_version"]
    entry = told.get(Topic.META, "OKX:PERP:BTC-USDT:LINEAR")
    entry.body["rules_version"] = "changed"
    assert (await get(client, "/api/md/meta"))["rules_version"] != version


async def test_facts_are_chosen_by_venue_by_id_and_by_any_spelling_of_a_pair(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    assert set((await get(client, "/api/md/meta", venue="okx"))["markets"]) == {"OKX:PERP:BTC-USDT:LINEAR", ETH}
    assert set((await get(client, "/api/md/meta", symbol=ETH))["markets"]) == {ETH}
    for spelling in ("ethusdt", "ETH/USDT", "ETH_USDT"):
        found = (await get(client, "/api/ui/quality", symbol=spelling))["symbols"]
        assert set(found) == {ETH, "BINANCEUSDM:PERP:ETH-USDT:LINEAR"}
    assert (await get(client, "/api/ui/cvd", symbol="OKX:SPOT:DOGE-USDT"))["symbols"] == {}
    refused = await get(client, "/api/ui/cvd", 400, symbol="???")
    assert refused["error"]["field"] == "symbol"


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1e3", "99999999"])
async def test_a_limit_that_is_no_count_is_refused_by_name(client: aiohttp.ClientSession, limit: str) -> None:
    refused = await get(client, "/api/md/meta", 400, limit=limit)
    assert refused["error"]["field"] == "limit"
    assert str(META_SHOWN) in refused["error"]["mend"]


async def test_meta_is_cut_at_its_limit_and_says_so(client: aiohttp.ClientSession, told: Projection) -> None:
    body = await get(client, "/api/md/meta", limit="2")
    assert (body["shown"], body["total"], len(body["markets"])) == (2, 7, 2)


@pytest.mark.req("P-API-45")
@pytest.mark.req("P-MD-14")
async def test_quality_says_freshness_gaps_skew_drops_and_closed_gates(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    body = await get(client, "/api/ui/quality")
    bad = body["symbols"][SUSPECT]
    assert bad["ready"] is False
    assert bad["counts"]["seq_gaps"] == 3
    assert bad["counts"]["misses"] == 7
    assert 0 < bad["drop_ratio"] < 0.001
    assert [gate["code"] for gate in bad["gates"]] == ["anchor_divergence", "stream_stale"]
    assert body["totals"]["symbols"] == 7
    assert body["totals"]["ready"] == 6
    assert body["totals"]["gates_closed"] == 2
    assert body["totals"]["counts"]["seq_gaps"] == 3
    assert set(body["venues"]) == set(VENUES)
    okx = body["venues"]["okx"]
    assert okx["clock"]["state"] == "notice"
    assert okx["clock"]["skew_ms"] > 500
    assert len(okx["clock"]["course"]) == 120
    assert okx["quorum"]["state"] == "met"
    assert "channels" not in okx["feeds"]["okx/a"]
    assert body["venues"]["bybit"]["registry"]["condition"] == "degraded"


async def test_what_falls_silent_grows_old_and_is_not_ready(
    client: aiohttp.ClientSession, told: Projection, clock: VirtualClock
) -> None:
    fresh = (await get(client, "/api/ui/quality"))["symbols"][ETH]
    assert (fresh["ready"], fresh["silent"]) == (True, False)
    clock.advance_to_wall(clock.wall_ns() + 6_000_000_000)
    old = (await get(client, "/api/ui/quality"))["symbols"][ETH]
    assert (old["ready"], old["silent"]) == (False, True)
    assert old["freshness_ms"] == fresh["freshness_ms"] + 6000
    regions = (await get(client, "/api/ui/md/regions"))["regions"]
    assert {region["live"] for region in regions.values()} == {0}


@pytest.mark.req("P-API-38")
async def test_regions_count_their_feeds_leaders_and_quarantines(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    body = await get(client, "/api/ui/md/regions")
    tokyo, frankfurt = body["regions"]["tokyo"], body["regions"]["frankfurt"]
    assert (tokyo["feeds"], tokyo["live"], tokyo["leaders"]) == (5, 5, 5)
    assert (frankfurt["feeds"], frankfurt["live"], frankfurt["quarantined"]) == (4, 3, 1)
    assert frankfurt["reconnects"] == 3 + 4
    assert frankfurt["venues"] == ["binance", "binanceusdm", "okx", "bybit"]
    assert body["venues"]["bybit"]["failover_ms"] == 412.0
    views = {view["view"]: view for view in body["venues"]["bybit"]["views"]}
    assert views["b"]["fresh"] is False


async def test_channels_show_what_is_not_acknowledged_with_its_reason(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    body = await get(client, "/api/ui/channels")
    assert (body["channels"], body["unhealthy"]) == (39, 1)
    (bad,) = [one for one in body["feeds"]["bybit/b"]["channels"] if one["state"] != "acked"]
    assert (bad["channel"], bad["reason"], bad["age_ms"]) == ("trades:SOL-USDT", "no ack in 2 s", None)
    assert list((await get(client, "/api/ui/channels", venue="gateio"))["feeds"]) == ["gateio/ccxt"]


@pytest.mark.req("P-API-47")
async def test_liquidations_are_one_stream_newest_first_and_sums(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    body = await get(client, "/api/ui/liquidations")
    times = [one["ts_ns"] for one in body["newest"]]
    assert len(times) == 36
    assert times == sorted(times, reverse=True)
    day = body["totals"][-1]
    assert (day["window_s"], day["longs"] + day["shorts"]) == (86_400, 36)
    assert "newest" not in body["by_symbol"][SUSPECT]
    assert body["enabled"] is True


@pytest.mark.req("P-API-47")
async def test_imbalance_and_cvd_are_by_symbol_and_timeframe(client: aiohttp.ClientSession, told: Projection) -> None:
    flow = (await get(client, "/api/ui/imbalance"))["symbols"]
    assert flow[ETH]["imbalance_1"] is not None
    assert flow[SUSPECT]["imbalance_1"] is None, "an unproved book says nothing"
    assert [one["window_s"] for one in flow[ETH]["ofi"]] == [10, 60]
    every = (await get(client, "/api/ui/cvd"))["symbols"][ETH]
    assert [one["timeframe"] for one in every["delta"]] == ["1m", "5m", "15m", "1h"]
    for spelling in ("1m", "M1", "1min"):
        (one,) = (await get(client, "/api/ui/cvd", tf=spelling))["symbols"][ETH]["delta"]
        assert one["timeframe"] == "1m"
        assert one["qty"] is not None
    assert (await get(client, "/api/ui/cvd", 400, tf="7m"))["error"]["field"] == "tf"


@pytest.mark.req("P-MD-10")
async def test_derivatives_and_depth_are_told_as_the_desk_told_them(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    one = (await get(client, "/api/ui/derivatives"))["symbols"]["OKX:PERP:BTC-USDT:LINEAR"]
    assert one["basis"] == pytest.approx(0.0004)
    assert one["open_interest"] == "54230"
    assert len(one["history"]) == 3
    assert one["mark"] != one["index"]
    depth = (await get(client, "/api/ui/liquidity"))["symbols"]
    assert [band["bps"] for band in depth[ETH]["bands"]] == [1.0, 5.0, 10.0, 25.0, 50.0]
    assert depth[SUSPECT]["bands"] == []


@pytest.mark.req("P-MD-16")
async def test_opportunities_are_told_with_spread_depth_toxicity_and_since_when_there_is_none(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    every = (await get(client, "/api/ui/opportunity"))["symbols"]
    assert set(every) == {market_id for _, market_id in MARKETS}
    one, bad = every[ETH], every[SUSPECT]
    assert one["opps_per_sec"] > 0
    assert one["spread_bps"] < one["spread_bps_max"]
    assert one["depth_qty"] == pytest.approx(one["depth_lots"] * 0.001, rel=1e-4)
    assert 0 <= one["vpin"] < one["toxic_vpin"]
    assert (one["dry"], one["dry_since_ns"], one["toxic"], one["toxic_since_ns"]) == (False, None, False, None)
    assert (bad["dry"], bad["toxic"], bad["vpin"]) == (True, True, 1.0)
    assert bad["toxic_since_ns"] < bad["dry_since_ns"] < bad["ts_ns"]
    assert set((await get(client, "/api/ui/opportunity", venue="okx", symbol="ethusdt"))["symbols"]) == {ETH}
    assert (await get(client, "/api/ui/opportunity", 400, symbol="???"))["error"]["field"] == "symbol"


@pytest.mark.req("P-MD-11")
async def test_contracts_say_what_was_judged_and_which_rule_was_broken_how_often(
    client: aiohttp.ClientSession, told: Projection
) -> None:
    body = await get(client, "/api/ui/contracts")
    assert body["symbols"][ETH]["kept"] is True
    assert body["symbols"][ETH]["breaches"] == []
    assert {one["contract"]: one["rows"] for one in body["symbols"][ETH]["contracts"]} == {"top": 130, "trade": 130}
    bad = body["symbols"][SUSPECT]
    assert {(one["contract"], one["rule"], one["code"]): one["count"] for one in bad["breaches"]} == {
        ("trade", "(trade_id) unique", "repeated"): 111,
        ("trade", "ts_event_ns in [1.23077e+18, 4.10244e+18]", "out_of_range"): 1,
        ("trade", "ts_event_ns does not go back", "went_back"): 1,
    }
    assert body["totals"] == {"symbols": 7, "kept": 6, "rows": 7 * 260, "bad_rows": bad["bad_rows"]}
    assert set((await get(client, "/api/ui/contracts", venue="bybit"))["symbols"]) == {SUSPECT}
    assert (await get(client, "/api/ui/contracts", 400, symbol="???"))["error"]["field"] == "symbol"


@pytest.mark.parametrize(
    "odd", [None, "text", -1, 1e400, [], {}, [None, 7, {"ts_ns": "x"}], {"messages": "many", "x": []}]
)
async def test_no_fact_of_an_odd_shape_makes_an_endpoint_fail(
    client: aiohttp.ClientSession, told: Projection, publish: Any, odd: object
) -> None:
    for topic in MARKET_TOPICS:
        entry = next(iter(told.facts(topic)))
        publish(told, topic, entry.key, dict.fromkeys(entry.body, odd))
        publish(told, topic, "odd", {})
    for endpoint in ENDPOINTS:
        if endpoint.method == "GET":
            async with client.get(endpoint.path) as answer:
                assert answer.status == 200, endpoint.path
                await answer.json()


async def test_the_quality_page_is_served_with_everything_that_it_imports(client: aiohttp.ClientSession) -> None:
    async with client.get("/quality") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        page = await answer.text()
    assert "http://" not in page
    assert "https://" not in page
    names = set(re.findall(r"/ui/([a-z_]+\.(?:js|css))", page))
    seen: set[str] = set()
    while names - seen:
        name = min(names - seen)
        seen.add(name)
        async with client.get(f"/ui/{name}") as answer:
            assert answer.status == 200, name
            names |= set(re.findall(r'from "/ui/([a-z_]+\.js)"', await answer.text()))
    ours = {"quality.js", "quality_panels.js", "quality_contracts.js", "quality.css"}
    assert seen == ours | {"stream.js", "words.js", "dom.js", "style.css"}


async def test_every_word_of_the_quality_page_is_there_in_both_languages(client: aiohttp.ClientSession) -> None:
    async with client.get("/ui/words.js") as answer:
        words = await answer.text()
    russian, english = words.split("const EN")
    used: set[str] = set()
    for name in ("quality", "ui/quality.js", "ui/quality_panels.js", "ui/quality_contracts.js"):
        async with client.get(f"/{name}") as answer:
            text = await answer.text()
        used |= set(re.findall(r'data-(?:w|aria|hint)="([a-z_0-9]+)"|\bw\("([a-z_0-9]+)"\)', text))
    keys = {key for pair in used for key in pair if key}
    assert len(keys) > 60
    for language in (russian, english):
        assert {key for key in keys if not re.search(rf"\b{key}: ", language)} == set()


# The universe.


@pytest.mark.req("P-API-16")
async def test_the_universe_is_told_with_its_rules_and_trail_and_searched(
    client: aiohttp.ClientSession, projection: Projection, clock: VirtualClock
) -> None:
    empty = await get(client, "/api/ui/universe")
    assert (empty["known"], empty["tradable"]) == (False, [])
    assert empty["trouble"] == "the desk has not told its allow-list yet"
    tell(projection, clock.wall_ns())
    body = await get(client, "/api/ui/universe", search="btcusdt")
    assert (body["known"], body["trouble"], body["tradable"]) == (True, "", [ETH])
    assert {entry["instrument_id"]: entry["status"] for entry in body["entries"]} == {ETH: "approved", SUSPECT: "draft"}
    assert body["rules"]["auto_add"] is False
    assert body["rules"]["excluded_prefixes"] == ["1000", "3L", "3S"]
    assert [row["by"] for row in body["audit"]] == ["bob", "bob", "ann", "ann"]
    assert len(body["matches"]) == 4
    assert {match["base"] for match in body["matches"]} == {"BTC"}
    assert msgspec.convert(body["matches"][0], MarketMeta, strict=False)
    assert (await get(client, "/api/ui/universe", search="okx"))["matches"]
    assert (await get(client, "/api/ui/universe", search="nothing"))["matches"] == []


@pytest.mark.req("P-API-16")
@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("body", "command"),
    [
        ({"action": "draft", "cause": "wide book"}, DraftMarket(instrument_id=ETH, actor="ann", note="wide book")),
        (
            {"action": "submit", "confirmed_namesakes": ["BYBIT:SPOT:ETH-USDT"]},
            SubmitMarket(instrument_id=ETH, actor="ann", confirmed_namesakes=("BYBIT:SPOT:ETH-USDT",)),
        ),
        ({"action": "approve", "facts_hash": HASH}, ApproveMarket(instrument_id=ETH, actor="ann", facts_hash=HASH)),
        ({"action": "delete", "cause": "thin"}, DeleteMarket(instrument_id=ETH, actor="ann", cause="thin")),
    ],
)
async def test_a_step_reaches_the_desk_as_the_command_that_it_is(
    client: aiohttp.ClientSession, bus: Any, method: str, body: dict[str, object], command: UniverseCommand
) -> None:
    async with client.request(
        method, "/api/ui/universe", json={"instrument_id": ETH, "operator": "ann", **body}
    ) as answer:
        assert answer.status == 200
        assert (await answer.json())["done"] is True
    (sent,) = bus.commands
    assert sent.kind is CommandKind.UNIVERSE
    assert sent.actor.startswith("http:127.0.0.1:ann")
    assert msgspec.json.decode(sent.argument, type=UniverseCommand) == command


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"action": "add"}, "action"),
        ({"operator": ""}, "operator"),
        ({"operator": "ann; drop"}, "operator"),
        ({"instrument_id": "X" * 90}, "instrument_id"),
        ({"instrument_id": 7}, "instrument_id"),
        ({"colour": "red"}, "colour"),
        ({"action": "approve"}, "facts_hash"),
        ({"action": "approve", "facts_hash": "zz"}, "facts_hash"),
        ({"facts_hash": HASH}, "facts_hash"),
        ({"action": "delete"}, "cause"),
        ({"action": "reject", "cause": "no"}, "cause"),
        ({"confirmed_namesakes": ["BYBIT:SPOT:ETH-USDT"]}, "confirmed_namesakes"),
        ({"action": "submit", "confirmed_namesakes": "all"}, "confirmed_namesakes"),
        ({"action": "submit", "confirmed_namesakes": ["x" * 4] * 65}, "confirmed_namesakes"),
    ],
)
async def test_a_wrong_body_is_refused_by_the_one_field_and_nothing_is_sent(
    client: aiohttp.ClientSession, bus: Any, change: dict[str, object], field: str
) -> None:
    body = {"action": "draft", "instrument_id": ETH, "operator": "ann", **change}
    async with client.put("/api/ui/universe", json=body) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
    assert error["field"] == field
    assert error["message"]
    assert error["mend"]
    assert bus.commands == []


async def test_what_is_no_json_and_who_is_no_page_of_ours_is_refused(client: aiohttp.ClientSession, bus: Any) -> None:
    async with client.put("/api/ui/universe", data=b"{", headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 400
        assert '"operator": "ann"' in (await answer.json())["error"]["mend"]
    async with client.put("/api/ui/universe", data=b"a=b", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415
    for method in ("PUT", "POST"):
        async with client.request(
            method, "/api/ui/universe", json={}, headers={"Origin": "http://evil.example"}
        ) as answer:
            assert answer.status == 403
    assert bus.commands == []


async def test_the_desks_refusal_and_its_silence_are_told_apart(client: aiohttp.ClientSession, bus: Any) -> None:
    body = {"action": "draft", "instrument_id": ETH, "operator": "ann"}
    for mode, status in (("refused", 409), ("broken", 503)):
        bus.mode = mode
        async with client.put("/api/ui/universe", json=body) as answer:
            assert answer.status == status
            assert (await answer.json())["error"]["message"]


async def test_the_document_describes_every_endpoint_and_the_request(client: aiohttp.ClientSession) -> None:
    document = await get(client, "/openapi.json")
    for endpoint in ENDPOINTS:
        assert endpoint.method.lower() in document["paths"][endpoint.path]
    request = document["paths"]["/api/ui/universe"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert request["$ref"].endswith(UniverseRequest.__name__)
    assert json.dumps(document)


@pytest.mark.req("L-EXEC-7")
async def test_a_symbol_without_a_quote_means_the_one_that_the_desk_prefers(
    projection: Projection, bus: Any, clock: VirtualClock
) -> None:
    tell(projection, clock.wall_ns())
    quotes = QuoteShare(QuoteChoice("USDT", "auto: the first"), "", clock)
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock, quotes=quotes)
    try:
        async with aiohttp.ClientSession(base_url=server.url) as client:
            found = [(await get(client, "/api/ui/quality", symbol=word))["symbols"] for word in ("eth", "ethusdt")]
            assert found[0].keys() == found[1].keys() >= {ETH}
            assert all("ETH-USDT" in name.split(":") for name in found[0])
            told = await get(client, "/api/ui/universe", search="btc")
            assert told["quote"] == {
                "quote": "USDT",
                "reason": "auto: the first",
                "in_redis": False,
                "trouble": "no Redis is configured",
            }
            assert "-USDT" in told["matches"][0]["instrument_id"]
    finally:
        await server.close()
