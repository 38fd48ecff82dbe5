"""REST that does not get itself banned: weights, 429 and 418, retries that end, and a queue that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web

from adapters.clock import SystemClock
from adapters.streams.dialects.base import RestPool, RestRequest
from adapters.streams.rest import MAX_BODY_BYTES, RestClient, RestFailure, RestFault, RestLimits, RestReply
from adapters.streams.topics import MS_NS, SECOND_NS
from tests.waiting import passed, stopwatch, until

POOL = RestPool(name="weight", weight=100, window_ns=60 * SECOND_NS, share=0.5, used_header="X-USED")
QUICK = RestLimits(deadline_ns=30 * SECOND_NS, attempt_ns=10 * SECOND_NS, retry_min_ns=10 * MS_NS)


class Site:
    """Answers as it is told to, and counts."""

    def __init__(self) -> None:
        self.answers: list[Callable[[], web.Response]] = []
        self.asked = 0
        self.url = ""
        self.hold = asyncio.Event()
        self.hold.set()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self.hold.wait()
        return self.answers.pop(0)() if self.answers else web.Response(text="ok")

    def request(self, weight: int = 1, pool: str = "weight") -> RestRequest:
        return RestRequest(channel="x", url=self.url, pool=pool, weight=weight)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_get("/x", site.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.url = f"http://127.0.0.1:{runner.addresses[0][1]}/x"
    yield site
    site.hold.set()
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[Callable[..., RestClient]]:
    async with aiohttp.ClientSession() as session:
        yield lambda limits=QUICK, pools=(POOL,): RestClient(pools, session, SystemClock(), limits)


def status(code: int, **headers: str) -> Callable[[], web.Response]:
    return lambda: web.Response(status=code, headers=headers, text="told")


async def failed(client: RestClient, request: RestRequest) -> RestFailure:
    outcome = await client.fetch(request)
    assert isinstance(outcome, RestFailure)
    return outcome


async def test_a_reply_has_the_body_and_our_clocks_around_it(site, client) -> None:
    reply = await client().fetch(site.request())
    assert isinstance(reply, RestReply)
    assert reply.body == b"ok"
    assert 0 <= reply.recv_ns - reply.sent_ns < SECOND_NS


@pytest.mark.parametrize(("code", "wait_s"), [(429, 7), (418, 300)])
async def test_a_limit_that_was_hit_freezes_everything_for_as_long_as_the_venue_says(
    site, client, code, wait_s
) -> None:
    rest = client()
    site.answers = [status(code, **{"Retry-After": str(wait_s)})]
    first = await failed(rest, site.request())
    assert first.fault is RestFault.LIMITED
    assert (wait_s - 1) * SECOND_NS < first.retry_ns <= wait_s * SECOND_NS
    for _ in range(20):
        assert (await failed(rest, site.request())).fault is RestFault.LIMITED
    assert site.asked == 1


async def test_without_a_word_on_how_long_each_offence_doubles_the_wait(site, client) -> None:
    rest = client()
    waits = []
    for _ in range(3):
        site.answers = [status(429)]
        waits.append((await failed(rest, site.request())).retry_ns // SECOND_NS)
        rest._frozen_ns = 0
    assert waits[1] >= 2 * waits[0]
    assert waits[2] >= 2 * waits[1]
    await rest.fetch(site.request())
    site.answers = [status(429)]
    assert (await failed(rest, site.request())).retry_ns // SECOND_NS <= waits[0] + 1


async def test_it_goes_on_after_the_freeze(site, client) -> None:
    rest = client()
    site.answers = [status(429, **{"Retry-After": "1"})]
    failure = await failed(rest, site.request())
    await passed(failure.retry_ns / 1e9)
    assert isinstance(await rest.fetch(site.request()), RestReply)


async def test_our_share_of_the_weight_is_never_exceeded(site, client) -> None:
    rest = client()
    outcomes = await asyncio.gather(*(rest.fetch(site.request(weight=10)) for _ in range(9)))
    assert sum(isinstance(outcome, RestReply) for outcome in outcomes) == 5
    refused = [outcome for outcome in outcomes if isinstance(outcome, RestFailure)]
    assert {outcome.fault for outcome in refused} == {RestFault.NO_WEIGHT}
    assert all(outcome.retry_ns > 50 * SECOND_NS for outcome in refused)
    assert site.asked == 5
    assert rest.status().used == {"weight": 50}


async def test_weight_that_comes_back_soon_is_waited_for(site, client) -> None:
    rest = client(pools=(RestPool(name="weight", weight=2, window_ns=200 * MS_NS, share=1.0),))
    outcomes = await asyncio.gather(*(rest.fetch(site.request()) for _ in range(6)))
    assert all(isinstance(outcome, RestReply) for outcome in outcomes)


async def test_others_behind_our_address_count_too(site, client) -> None:
    rest = client()
    site.answers = [status(200, **{"X-USED": "95"})]
    assert isinstance(await rest.fetch(site.request()), RestReply)
    assert (await failed(rest, site.request())).fault is RestFault.NO_WEIGHT
    assert site.asked == 1


async def test_trouble_of_the_server_is_tried_again_three_times_at_most(site, client) -> None:
    site.answers = [status(500), status(502)]
    assert isinstance(await client().fetch(site.request()), RestReply)
    assert site.asked == 3
    site.answers = [status(500)] * 9
    assert (await failed(client(), site.request())).fault is RestFault.UNAVAILABLE
    assert site.asked == 6


async def test_a_request_that_is_wrong_is_not_repeated(site, client) -> None:
    site.answers = [status(400)]
    failure = await failed(client(), site.request())
    assert failure.fault is RestFault.REFUSED
    assert "told" in failure.reason
    assert site.asked == 1


async def test_a_server_that_never_answers_costs_the_deadline_and_no_more(site, client) -> None:
    site.hold.clear()
    limits = RestLimits(deadline_ns=SECOND_NS, attempt_ns=300 * MS_NS, retry_min_ns=10 * MS_NS)
    async with stopwatch() as took:
        failure = await failed(client(limits), site.request())
    assert failure.fault is RestFault.TIMED_OUT
    assert took.seconds < 2


async def test_a_full_queue_says_so_at_once(site, client) -> None:
    rest = client(RestLimits(queue_max=3, deadline_ns=60 * SECOND_NS, attempt_ns=60 * SECOND_NS, tries=1))
    site.hold.clear()
    waiting = [asyncio.ensure_future(rest.fetch(site.request())) for _ in range(3)]
    await until(lambda: site.asked >= 3)
    assert (await failed(rest, site.request())).fault is RestFault.QUEUE_FULL
    site.hold.set()
    assert all(isinstance(outcome, RestReply) for outcome in await asyncio.gather(*waiting))
    assert rest.status().refused_full == 1
    assert rest.status().waiting == 0


async def test_a_body_without_end_is_cut(site, client) -> None:
    site.answers = [lambda: web.Response(body=b"x" * (MAX_BODY_BYTES + (1 << 17)))]
    limits = RestLimits(deadline_ns=60 * SECOND_NS, attempt_ns=60 * SECOND_NS)
    assert (await failed(client(limits), site.request())).fault is RestFault.TOO_LARGE


async def test_nobody_there_is_a_failure_and_not_an_exception(client, free_port) -> None:
    request = RestRequest(channel="x", url=f"http://127.0.0.1:{free_port}/", pool="none")
    assert (await failed(client(), request)).fault is RestFault.UNAVAILABLE
    wrong = RestRequest(channel="x", url="http://[", pool="none")
    assert (await failed(client(), wrong)).fault is RestFault.UNAVAILABLE


async def test_a_redirect_is_not_followed(site, client) -> None:
    site.answers = [status(302, Location="http://127.0.0.1:1/elsewhere")]
    assert (await failed(client(), site.request())).fault is RestFault.REFUSED
