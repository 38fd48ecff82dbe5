"""The page in a real Chromium: an operator sees the desk, reads a story and holds it."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from adapters.clock import SystemClock
from adapters.journal.store import SqliteJournal
from api.http import HttpServer, start_http
from api.projection import Projection
from tests.waiting import PATIENCE_S
from trading.operators import CommandKind, Published, Topic
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body
from trading.universe.workflow import DraftMarket, SubmitMarket, UniverseCommand

from .market_facts import MARKETS, SUSPECT, VENUES, tell

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = next((path for path in ("/usr/bin/chromium", shutil.which("chromium") or "") if Path(path).is_file()), None)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.process,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    async with playwright_api.async_playwright() as playwright:
        playwright_api.expect.set_options(timeout=PATIENCE_S * 1_000)
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def live_server(live_projection: Projection, bus: Any) -> AsyncIterator[HttpServer]:
    """A server whose desk keeps talking: one that falls silent is shown as silent."""
    server = await start_http(
        live_projection, bus, "127.0.0.1", 0, version="0.1.0", clock=SystemClock(), profile="paper", stream_hz=20
    )
    brakes = live_projection.get(Topic.BRAKES, "all")
    assert brakes is not None

    ended = asyncio.Event()

    async def talk() -> None:
        while not ended.is_set():
            now_ns = SystemClock().wall_ns()
            live_projection.apply(Published(topic=Topic.BRAKES, key="all", body=brakes.body, ts_ns=now_ns))
            await asyncio.wait([asyncio.ensure_future(ended.wait())], timeout=0.25)

    talking = asyncio.ensure_future(talk())
    yield server
    ended.set()
    await talking
    await server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Any, live_server: HttpServer) -> AsyncIterator[Any]:
    page = await browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(PATIENCE_S * 1_000)
    complaints: list[str] = []
    page.on("console", lambda message: message.type in {"error", "warning"} and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints
    await page.goto(live_server.url)
    await page.wait_for_selector(".book")
    yield page
    await page.close()


async def test_an_operator_sees_the_desk(page: Any, live_projection: Projection, publish: Any) -> None:
    expect = playwright_api.expect
    await expect(page.locator("#synthetic")).to_be_visible()
    await expect(page.locator("#mode")).to_have_text("ТОРГОВЛЯ")
    await expect(page.locator("#permit")).to_contain_text("#7")
    await expect(page.locator(".book")).to_have_count(4)
    await expect(page.locator("#brakes li")).to_have_count(2)
    await expect(page.locator("#brakes")).to_contain_text("sequence gap 881204 -> 881231")
    await expect(page.locator("#profile")).to_have_text("paper · loopback · 0.1.0")
    await expect(page.locator("#profile")).to_have_attribute("title", re.compile("our own server stands for the venue"))
    await expect(page.locator("#tree")).to_contain_text("governor")
    await expect(page.locator("#tree")).to_contain_text("pid 4100")
    await expect(page.locator("#positions tr")).to_have_count(4)
    await expect(page.locator("#orders tr").first).to_contain_text("pd-7-000242")
    await expect(page.locator("#fills tr").first).to_contain_text("BTC-USDT")
    await expect(page.locator("#latency")).to_contain_text("governor")
    await expect(page.locator("#events")).to_contain_text("order_denied")
    await expect(page.locator("#chart path.total")).to_have_count(1)
    overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    publish(live_projection, Topic.RECON, "status", {"open": 3})
    await expect(page.locator("#pnl-facts .neg")).to_have_text("3")
    await page.click("#lang")
    await expect(page.locator("#mode")).to_have_text("TRADING")
    await expect(page.locator("#h-brakes")).to_contain_text("Brakes")
    assert page.complaints == []


@pytest.mark.parametrize("width", [1400, 1920])
async def test_no_column_is_cut_on_a_wide_screen(page: Any, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 900})
    for panel in ("orders", "positions", "fills", "latency"):
        await playwright_api.expect(page.locator(f"#{panel} tr td:nth-child(5)").first).to_be_visible()
        cut = await page.evaluate(f"(e => e.scrollWidth - e.clientWidth)(document.querySelector('#p-{panel} .scroll'))")
        assert cut <= 0, panel


async def test_a_story_fits_a_telephone(page: Any, bus: Any) -> None:
    checks = "; ".join(f"limit_number_{n}_usd 100.00/12000" for n in range(12))
    step = {"name": "risk", "ts_ns": 1_760_000_000_000_000_000, "text": f"approved: {checks}", "seq": 3}
    bus.body = {"trace": "BTC@17", "steps": [step]}
    await page.set_viewport_size({"width": 420, "height": 900})
    await page.click('[data-why="pd-7-000241"]')
    told = page.locator("#story-body table.steps p")
    await playwright_api.expect(told).to_have_count(12)
    assert await page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('#story'))") <= 0
    box, story = await told.first.bounding_box(), await page.locator("#story").bounding_box()
    assert box is not None
    assert story is not None
    assert box["width"] > 0.75 * story["width"]


async def test_an_operator_holds_a_venue_and_says_why(page: Any, bus: Any) -> None:
    await page.click("header [data-action=hold]")
    await page.select_option("#command-scope", "venue:OKX")
    await page.fill("#command-cause", "odd fills on OKX")
    await page.click("#command-send")
    await playwright_api.expect(page.locator("#toast")).to_contain_text("hold venue:OKX: done")
    (command,) = bus.commands
    assert (command.kind, command.scope, command.cause) == (CommandKind.HOLD, "venue:OKX", "odd fills on OKX")
    bus.mode = "refused"
    await page.click("header [data-action=resume]")
    await page.fill("#command-cause", "all is well")
    await page.keyboard.press("Enter")
    await playwright_api.expect(page.locator("#toast")).to_contain_text("refused")


async def test_the_journals_story_is_shown_step_by_step(page: Any, bus: Any) -> None:
    t0 = 1_760_000_000_000_000_000
    bus.body = {
        "trace": "BTC@17",
        "steps": [
            {"name": "tick", "ts_ns": t0, "text": "book update 17", "seq": None},
            {"name": "risk", "ts_ns": t0 + 250_000, "text": "approved", "seq": None},
            {"name": "ledger", "ts_ns": t0 + 35_250_000, "text": "entry <b>x</b>", "seq": 9},
        ],
    }
    await page.click('[data-why="pd-7-000241"]')
    expect = playwright_api.expect
    rows = page.locator("#story-body table.steps tr")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(1)).to_contain_text("+250 µs")
    await expect(rows.nth(2)).to_contain_text("+35.0 ms")
    await expect(rows.nth(2)).to_contain_text("entry <b>x</b>")
    await expect(rows.nth(2)).to_contain_text("#9")
    await expect(page.locator("#story-body")).to_contain_text("BTC@17")
    assert page.complaints == []


async def test_an_operator_reads_the_story_of_an_order(page: Any) -> None:
    await page.click('[data-why="pd-7-000241"]')
    await playwright_api.expect(page.locator("#story-body")).to_contain_text("pd-7-000241")
    await playwright_api.expect(page.locator("#story-body")).to_contain_text("fills")
    assert page.complaints == []


async def test_what_the_desk_says_never_becomes_markup(page: Any, live_projection: Projection, publish: Any) -> None:
    text = "<img src=x onerror=\"document.title='owned'\">"
    publish(live_projection, Topic.EVENT, "x", {"level": "error", "code": text, "text": text, "cell": text})
    publish(live_projection, Topic.BOOK, f"A:SPOT:{text}", {"state": text, "bids": [[text, text]], "asks": []})
    await playwright_api.expect(page.locator("#events")).to_contain_text("onerror")
    assert await page.locator("main img").count() == 0
    assert await page.title() == "propdesk"


async def test_the_page_says_when_it_lost_the_service_and_recovers(
    page: Any, live_server: HttpServer, live_projection: Projection, bus: Any
) -> None:
    expect = playwright_api.expect
    await live_server.close()
    await expect(page.locator("#banner")).to_be_visible()
    await expect(page.locator("#banner")).to_contain_text("НЕТ СВЯЗИ")
    await expect(page.locator("#mode")).to_have_text("НЕИЗВЕСТНО")
    await expect(page.locator("#permit")).to_contain_text("НЕТ РАЗРЕШЕНИЯ")
    again = await start_http(
        live_projection, bus, "127.0.0.1", live_server.port, version="0.1.0", clock=SystemClock(), stream_hz=20
    )
    try:
        await expect(page.locator("#mode")).not_to_have_text("НЕИЗВЕСТНО")
    finally:
        await again.close()


# The Data Quality page.


@pytest_asyncio.fixture(loop_scope="module")
async def data_server(bus: Any) -> AsyncIterator[tuple[HttpServer, Projection, asyncio.Event]]:
    """A server whose desk tells of its market data twice a second, until the event ends it."""
    projection = Projection(SystemClock())
    tell(projection, SystemClock().wall_ns())
    server = await start_http(projection, bus, "127.0.0.1", 0, version="0.1.0", clock=SystemClock(), stream_hz=20)
    ended = asyncio.Event()

    async def talk() -> None:
        while not ended.is_set():
            tell(projection, SystemClock().wall_ns(), first=False)
            await asyncio.wait([asyncio.ensure_future(ended.wait())], timeout=0.5)

    talking = asyncio.ensure_future(talk())
    yield server, projection, ended
    ended.set()
    await talking
    await server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def data_page(browser: Any, data_server: Any) -> AsyncIterator[Any]:
    page = await browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(PATIENCE_S * 1_000)
    complaints: list[str] = []
    page.on("console", lambda message: message.type in {"error", "warning"} and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints
    await page.goto(f"{data_server[0].url}quality")
    await page.wait_for_selector("#symbols .st")
    yield page
    await page.close()


@pytest.mark.req("P-MD-14")
async def test_an_operator_sees_what_the_data_is_worth(data_page: Any) -> None:
    page, expect = data_page, playwright_api.expect
    await expect(page.locator("#synthetic")).to_be_visible()
    await expect(page.locator("#symbols tr")).to_have_count(len(MARKETS))
    await expect(page.locator("#ready")).to_have_text("6 / 7")
    await expect(page.locator("#closed")).to_have_text("2")
    bad = page.locator("#symbols tr", has=page.locator(f'td[title="{SUSPECT}"]'))
    await expect(bad).to_contain_text("sequence gap 881204 -> 881231")
    await expect(bad).to_contain_text("под сомнением")
    await expect(page.locator("#gates")).to_contain_text("mark 178.61 is 14.2 bps from mid 178.36")
    await expect(page.locator("#venues tr")).to_have_count(len(VENUES))
    await expect(page.locator("#venues svg path")).to_have_count(len(VENUES))
    await expect(page.locator("#venues")).to_contain_text("ухудшена")
    await expect(page.locator("#feeds tr")).to_have_count(9)
    await expect(page.locator("#feeds")).to_contain_text("mute for 1620 ms")
    await expect(page.locator("#feeds")).to_contain_text("резерв")
    await expect(page.locator("#regions")).to_contain_text("frankfurt")
    await expect(page.locator("#derivatives tr")).to_have_count(4)
    await expect(page.locator("#flow tr")).to_have_count(len(MARKETS))
    await expect(page.locator("#opportunity tr")).to_have_count(len(MARKETS))
    dry = page.locator("#opportunity tr", has=page.locator(f'td[title="{SUSPECT}"]'))
    await expect(dry).to_contain_text("сухо, токсично")
    await expect(page.locator("#contracts tr")).to_have_count(3)
    await expect(page.locator("#contracts")).to_contain_text("(trade_id) unique")
    await expect(page.locator("#contracts-note")).to_contain_text("с нарушением 112")
    await expect(page.locator("#liquidation-sums div")).to_have_count(4)
    await expect(page.locator("#universe tr")).to_have_count(2)
    await page.click("#lang")
    await expect(page.locator("#h-symbols")).to_contain_text("Markets")
    await expect(page.locator("#venues")).to_contain_text("degraded")
    await expect(page.locator("#universe")).to_contain_text("Submit")
    assert page.complaints == []


async def test_the_quality_page_is_cut_nowhere(data_page: Any) -> None:
    await playwright_api.expect(data_page.locator("#symbols tr")).to_have_count(len(MARKETS))
    panels = ("symbols", "venues", "feeds", "regions", "derivatives", "flow", "liquidations", "universe")
    for width in (1180, 1280, 1600, 1920):
        await data_page.set_viewport_size({"width": width, "height": 1000})
        over = await data_page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, width
        for panel in (*panels, "opportunity", "contracts"):
            cut = await data_page.evaluate(
                f"(e => e.scrollWidth - e.clientWidth)(document.querySelector('#p-{panel} .scroll'))"
            )
            assert cut <= 0, (width, panel, cut)


async def test_a_market_of_which_the_desk_falls_silent_is_not_shown_as_ready(data_page: Any, data_server: Any) -> None:
    data_server[2].set()
    expect = playwright_api.expect
    await expect(data_page.locator("#ready")).to_have_text("0 / 7")
    await expect(data_page.locator("#symbols tr").first).to_contain_text("ядро молчит об этом")
    await expect(data_page.locator("#feeds-up")).to_have_text("0 / 9")


@pytest.mark.req("P-UNI-4")
async def test_an_operator_adds_a_market_and_must_confirm_its_namesakes(
    data_page: Any, data_server: Any, bus: Any
) -> None:
    page, expect = data_page, playwright_api.expect
    await page.fill("#add-id", "OKX:PERP:BTC-USDT:LINEAR")
    await page.click("#add button")
    await page.fill("#step-operator", "ann")
    await page.click("#step-send")
    await expect(page.locator("#toast")).to_contain_text("done")
    sent = msgspec.json.decode(bus.commands[-1].argument, type=UniverseCommand)
    assert sent == DraftMarket(instrument_id="OKX:PERP:BTC-USDT:LINEAR", actor="ann")
    entry = data_server[1].get(Topic.UNIVERSE, "all").body["entries"][0]
    name = "BINANCE:SPOT:SOL-USDT"
    body = {**data_server[1].get(Topic.UNIVERSE, "all").body, "entries": [{**entry, "namesakes": [name]}]}
    data_server[1].apply(Published(topic=Topic.UNIVERSE, key="all", body=body, ts_ns=1))
    await expect(page.locator("#universe tr")).to_have_count(1)
    await page.click('[data-step="submit"]')
    await expect(page.locator("#step-names")).to_contain_text(name)
    await page.check("#step-boxes input")
    bus.mode = "refused"
    await page.click("#step-send")
    await expect(page.locator("#step-error")).to_contain_text("refused")
    sent = msgspec.json.decode(bus.commands[-1].argument, type=UniverseCommand)
    assert sent == SubmitMarket(instrument_id=entry["instrument_id"], actor="ann", confirmed_namesakes=(name,))


async def test_nothing_that_a_venue_says_becomes_markup_on_the_quality_page(data_page: Any, data_server: Any) -> None:
    text = "<img src=x onerror=\"document.title='owned'\">"
    projection = data_server[1]
    quality = projection.get(Topic.QUALITY, SUSPECT).body
    gate = {"code": text, "level": text, "scope": text, "target": text, "cause": text, "since_ns": 1}
    body = {**quality, "reason": text, "book": text, "gates": [gate]}
    projection.apply(Published(topic=Topic.QUALITY, key=f"A:SPOT:{text}", body=body, ts_ns=1))
    feed = {**projection.get(Topic.FEED, "okx/a").body, "reason": text, "region": text, "state": text, "role": text}
    projection.apply(Published(topic=Topic.FEED, key=f"okx/{text}", body=feed, ts_ns=1))
    judged = projection.get(Topic.CONTRACTS, SUSPECT).body
    breach = {"contract": text, "rule": text, "code": text, "count": text, "text": text, "newest_ns": text}
    projection.apply(
        Published(topic=Topic.CONTRACTS, key=f"A:SPOT:{text}", body={**judged, "breaches": [breach]}, ts_ns=1)
    )
    await playwright_api.expect(data_page.locator("#gates")).to_contain_text("onerror")
    await playwright_api.expect(data_page.locator("#feeds")).to_contain_text("onerror")
    await playwright_api.expect(data_page.locator("#contracts")).to_contain_text("onerror")
    assert await data_page.locator("main img").count() == 0
    assert "propdesk" in await data_page.title()


@pytest_asyncio.fixture(loop_scope="module")
async def finance_page(browser: Any, bus: Any, traded_journal: Path, tmp_path: Path) -> AsyncIterator[Any]:
    """The finance page of a desk that traded, and to whose account somebody paid in."""
    journal = tmp_path / "journal.db"
    shutil.copyfile(traded_journal, journal)
    facts = {
        "diff": "binanceusdm:balance:USDT",
        "class": "unexplained",
        "state": "braked",
        "ours": "1",
        "theirs": "251.5",
    }
    body = encode_body(NoteBody(text="USDT on binanceusdm: <b>venue</b> 251.5, ledger 1", facts=facts))
    with SqliteJournal(journal) as writing:
        newest = list(writing.read())[-1].ts_ns
        writing.append([RowDraft(newest, JournalKind.RECONCILE, "binanceusdm", "", None, "", 1, body)])
    clock = SystemClock()
    server = await start_http(
        Projection(clock), bus, "127.0.0.1", 0, version="0.1.0", clock=clock, journal=str(journal)
    )
    page = await browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(PATIENCE_S * 1_000)
    complaints: list[str] = []
    page.on("console", lambda message: message.type in {"error", "warning"} and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints
    await page.goto(f"{server.url}finance")
    yield page
    await page.close()
    await server.close()


@pytest.mark.req("P-PNL-6")
async def test_an_operator_sees_what_the_desk_has_and_what_it_made(finance_page: Any) -> None:
    page, expect = finance_page, playwright_api.expect
    await expect(page.locator("#residual")).to_have_text("0")
    await expect(page.locator("#periods tr")).to_have_count(2)
    await expect(page.locator("#periods tr").nth(1)).to_contain_text("2024-08-08")
    await expect(page.locator("#chart rect.loss")).to_have_count(1)
    await expect(page.locator("#venues")).to_contain_text("49\u202f999.8467025")
    await expect(page.locator("#owners")).to_contain_text("maker-usdm")
    await expect(page.locator("#external")).to_contain_text("+250.5 USDT")
    await expect(page.locator("#external")).to_contain_text("<b>venue</b>")
    await expect(page.locator("#statement tr").nth(0)).to_contain_text("не наше")
    await expect(page.locator("#statement")).to_contain_text("комиссия")
    await page.click("[data-by=month]")
    await expect(page.locator("#periods tr").nth(1)).to_contain_text("2024-08")
    await expect(page.locator("[data-by=month]")).to_have_attribute("aria-pressed", "true")
    await page.select_option("#venue", "binance")
    await expect(page.locator("#statement tr")).to_have_count(2)
    assert (await page.get_attribute("#csv", "href")).endswith("?venue=binance&format=csv")
    await page.click("#lang")
    await expect(page.locator("#h-statement")).to_contain_text("Statement")
    assert await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert page.complaints == []
