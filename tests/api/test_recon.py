"""Reconciliation over HTTP, out of the very bodies that the desk publishes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest

from actors.recon import ReconDesk, ReconSetup
from adapters.binance.instruments import INSTRUMENTS
from adapters.clock import VirtualClock
from api.http import start_http
from api.projection import Projection
from api.recon import ENDPOINTS
from trading.operators import Published, Topic
from trading.orders.messages import AccountState
from trading.recon.books import Books
from trading.recon.config import ReconConfig

VENUE = "binanceusdm"
SECOND = 1_000_000_000


@pytest.fixture
async def client(projection: Projection, bus: Any, clock: VirtualClock) -> AsyncIterator[aiohttp.ClientSession]:
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock)
    async with aiohttp.ClientSession(base_url=server.url) as session:
        yield session
    await server.close()


def publish_a_desk(projection: Projection) -> None:
    """A desk whose venue lacks 500 USDT, as it publishes itself and as it comes over the link."""
    told: list[Published] = []

    def tell(_to: str, message: object) -> None:
        if isinstance(message, Published):
            told.append(msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Published))

    one = next(i for i in INSTRUMENTS if i.venue == VENUE)
    now = projection.clock.wall_ns()
    books = Books({one.instrument_id: one})
    setup = ReconSetup(config=ReconConfig(), venues=(VENUE,))
    desk = ReconDesk(setup, books, tell, name="portfolio", reread=lambda: None, now_ns=now)
    books.opening(VENUE, {"USDT": Decimal(50_000)}, now)
    for step, usdt in enumerate(("50000", "49500", "49500", "49500")):
        at = now + step * 20 * SECOND
        state = AccountState(
            venue=VENUE, exec_seq=0, open_orders=(), executions=(), fundings=(), positions={},
            balances={"USDT": Decimal(usdt)}, cause="audit", ts_init_ns=at, numbered=False, asked_ns=at,
        )  # fmt: skip
        desk.account(state, at, first=step == 0)
        desk.tick(at + 3 * SECOND)
        desk.tick(at + 18 * SECOND)
    for message in told:
        projection.apply(message)


async def get(client: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with client.get(path) as answer:
        assert answer.status == 200
        body: dict[str, Any] = await answer.json()
    return body


@pytest.mark.req("P-PNL-7", "P-PNL-9")
async def test_the_desks_own_bodies_have_the_documented_shapes(
    client: aiohttp.ClientSession, projection: Projection
) -> None:
    publish_a_desk(projection)
    for endpoint in ENDPOINTS:
        assert endpoint.answer is not None
        body = await get(client, endpoint.path)
        endpoint.answer.model_validate(body)
        assert body["known"] is True


@pytest.mark.req("P-PNL-7")
async def test_a_difference_is_shown_with_class_state_evidence_and_the_scope_that_it_holds(
    client: aiohttp.ClientSession, projection: Projection
) -> None:
    publish_a_desk(projection)
    (found,) = (await get(client, "/api/ui/recon/diffs"))["open"]
    assert (found["class"], found["state"], found["subject"]) == ("unexplained", "braked", "balance")
    status = await get(client, "/api/ui/recon/status")
    assert list(status["held"]) == [found["scope"]]
    assert status["totals"]["unexplained"] == 1
    assert status["venues"][VENUE]["braked"] == 1
    assert status["lookback_h"] == 24.0


async def test_before_the_desk_spoke_nothing_is_known(client: aiohttp.ClientSession) -> None:
    assert (await get(client, "/api/ui/recon/status"))["known"] is False
    assert (await get(client, "/api/ui/recon/daily"))["last"] is None


@pytest.mark.req("P-PNL-9")
async def test_every_invariant_is_stated_with_its_rule(client: aiohttp.ClientSession, projection: Projection) -> None:
    publish_a_desk(projection)
    body = await get(client, "/api/ui/ops/invariants")
    assert set(body["invariants"]) == {"position", "cash", "pnl", "ledger", "shares"}
    assert all(one["holds"] and one["rule"] for one in body["invariants"].values())
    assert body["checks"] > 0


@pytest.mark.req("P-PNL-7")
async def test_open_differences_are_metrics_by_class(client: aiohttp.ClientSession, projection: Projection) -> None:
    publish_a_desk(projection)
    assert projection.get(Topic.METRICS, "desk.recon") is not None
    async with client.get("/metrics") as answer:
        page = await answer.text()
    assert 'recon_diffs_open{cell="desk.recon",class="unexplained"} 1.0' in page
    assert 'recon_diffs_total{cell="desk.recon",class="unexplained"} 1.0' in page
    assert 'invariants_violations_total{cell="desk.recon"} 0.0' in page
