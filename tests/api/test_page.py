"""The page in a real Chromium: an operator sees the desk, reads a story and holds it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from adapters.clock import SystemClock
from api.http import HttpServer, start_http
from api.projection import Projection
from trading.operators import CommandKind, Published, Topic

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
    page.set_default_timeout(8_000)
    complaints: list[str] = []
    page.on("console", lambda message: message.type in {"error", "warning"} and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.complaints = complaints
    await page.goto(live_server.url)
    await page.wait_for_selector(".book")
    yield page
    await page.close()


async def test_an_operator_sees_the_desk(page: Any) -> None:
    expect = playwright_api.expect
    await expect(page.locator("#synthetic")).to_be_visible()
    await expect(page.locator("#mode")).to_have_text("ТОРГОВЛЯ")
    await expect(page.locator("#permit")).to_contain_text("#7")
    await expect(page.locator(".book")).to_have_count(4)
    await expect(page.locator("#brakes li")).to_have_count(2)
    await expect(page.locator("#brakes")).to_contain_text("sequence gap 881204 -> 881231")
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
        await expect(page.locator("#mode")).not_to_have_text("НЕИЗВЕСТНО", timeout=10_000)
    finally:
        await again.close()
