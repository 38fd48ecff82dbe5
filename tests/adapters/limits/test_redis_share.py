"""Hosts that count together by a real Redis, and what happens when it goes away."""

from __future__ import annotations

import asyncio
import socket

import pytest
import redis.asyncio

from adapters.limits.host_file import HostFile
from adapters.limits.limiter import Limiter
from adapters.limits.redis_share import RedisShare
from tests.adapters.limits.conftest import CANCEL, CLOCK, PLACE, POLL, REDIS_URL, ask, spec
from tests.waiting import PATIENCE_S, breath, stopwatch
from trading.limits.governor import LimitGovernor
from trading.limits.messages import Go, Refusal
from trading.limits.spec import Policy

WHOLE = Policy(share=1.0)


@pytest.fixture
async def hosts(redis_prefix, tmp_path):
    """Makes limiters with a file of their own each, as hosts have, and one Redis."""
    made = []

    def make(venue=None, *, url=REDIS_URL, **more):
        share = RedisShare(url, "v", CLOCK, prefix=redis_prefix, timeout_s=PATIENCE_S, **more)
        file = HostFile(tmp_path / f"host{len(made)}" / "limits.board", CLOCK)
        made.append(Limiter(venue or spec(), CLOCK, policy=WHOLE, file=file, redis=share))
        return made[-1]

    yield make
    for limiter in made:
        await limiter.close()


async def settled(limiter):
    """What is only counted goes its own way: wait for it."""
    while limiter._tasks:
        await asyncio.gather(*limiter._tasks)


async def test_hosts_together_take_no_more_than_one_window_holds(hosts):
    venue = spec(limit=50, window_ms=60_000)
    limiters = [hosts(venue) for _ in range(3)]
    asks = [limiter.admit(ask(PLACE, within_s=20)) for limiter in limiters for _ in range(30)]
    answers = await asyncio.gather(*asks)
    assert sum(isinstance(answer, Go) for answer in answers) == 40
    assert {answer.reason for answer in answers if not isinstance(answer, Go)} == {Refusal.DEADLINE}
    assert {limiter.view().shared for limiter in limiters} == {"redis"}
    used = [limiter.view().limits.pools[0].used for limiter in limiters]
    assert sum(used) == 40  # what Redis refused was given back


async def test_who_waits_for_another_hosts_window_goes_when_it_has_passed(hosts):
    one, other = hosts(), hosts()
    began = CLOCK.mono_ns()
    assert isinstance(await one.admit(ask(PLACE, weight=16)), Go)
    async with stopwatch() as took:
        assert isinstance(await other.admit(ask(PLACE)), Go)
    assert CLOCK.mono_ns() - began > 0.4e9
    assert took.seconds < 1.5


async def test_a_cancel_does_not_ask_redis_but_is_counted_there(hosts):
    one, other = hosts(spec(window_ms=60_000)), hosts(spec(window_ms=60_000))
    assert isinstance(await one.admit(ask(PLACE, weight=16)), Go)
    async with stopwatch() as took:
        answer = await other.admit(ask(CANCEL, weight=5))
    assert isinstance(answer, Go)
    assert took.seconds < 0.25
    await settled(other)
    demand = other._governor.demand(ask(POLL), CLOCK.mono_ns())
    verdict = await other._redis.take(demand)
    assert verdict.wait_ns > 1e9
    assert verdict.pool == "weight"


async def test_a_ban_that_one_host_is_told_of_stops_the_others(hosts):
    one, other = hosts(), hosts()
    one.told("GET /x", 418, {"Retry-After": "60"})
    await settled(one)
    assert (await other.admit(ask(PLACE, within_s=0.5))).reason is Refusal.DEADLINE
    assert isinstance(await other.admit(ask(CANCEL)), Go)


async def test_hosts_behind_another_address_have_windows_of_their_own(hosts):
    one, other = hosts(spec(window_ms=60_000)), hosts(spec(window_ms=60_000), address="elsewhere")
    assert isinstance(await one.admit(ask(PLACE, weight=16)), Go)
    assert isinstance(await other.admit(ask(PLACE, weight=16)), Go)


async def test_old_slots_leave_redis_again(hosts, redis_prefix):
    limiter = hosts(spec(limit=1000, window_ms=500))
    client = redis.asyncio.Redis.from_url(REDIS_URL)
    try:
        demand = limiter._governor.demand(ask(PLACE), CLOCK.mono_ns())
        for _ in range(120):
            await limiter._redis.take(demand)
            await breath(0.008)  # another slot each time
        (key,) = [key async for key in client.scan_iter(f"{redis_prefix}:*", count=1000)]
        assert await client.hlen(key) <= 66
        assert 0 < await client.pttl(key) <= 1250
    finally:
        await client.aclose()


async def test_without_redis_the_hosts_file_counts_flagged_and_nobody_waits(hosts):
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it takes the connection and never answers
        gone = RedisShare(f"redis://127.0.0.1:{mute.getsockname()[1]}/0", "v", CLOCK, timeout_s=1.0)
        limiter = Limiter(spec(window_ms=60_000), CLOCK, policy=WHOLE, redis=gone)
        async with stopwatch() as took:
            assert isinstance(await limiter.admit(ask(CANCEL)), Go)
        assert took.seconds < 0.5
        async with stopwatch() as took:
            assert isinstance(await limiter.admit(ask(PLACE)), Go)
        assert took.seconds < 3
        async with stopwatch() as took:
            for _ in range(14):
                assert isinstance(await limiter.admit(ask(PLACE)), Go)
        assert took.seconds < 0.5  # it is left alone for a while
        assert (await limiter.admit(ask(PLACE, within_s=0.1))).reason is Refusal.DEADLINE
        view = limiter.view()
        assert view.redis_failures >= 1
        assert view.flags[0].startswith("Redis is not there, the host's file counts: Timeout")
        await limiter.close()


async def test_redis_counts_again_once_it_is_back(hosts):
    limiter = hosts(url="redis://127.0.0.1:1/0")
    assert isinstance(await limiter.admit(ask(PLACE)), Go)
    assert limiter.view().flags
    back = hosts()
    limiter._redis, refused = back._redis, limiter._redis
    assert isinstance(await limiter.admit(ask(PLACE)), Go)
    assert limiter.view().shared == "redis"
    await refused.close()


async def test_a_clients_own_errors_are_not_trades_errors(redis_prefix):
    share = RedisShare(REDIS_URL, "v", CLOCK, prefix=redis_prefix)
    client = redis.asyncio.Redis.from_url(REDIS_URL)
    governor = LimitGovernor(spec())
    demand = governor.demand(ask(PLACE), CLOCK.mono_ns())
    await client.set(share._keys(demand)[1], "no hash", ex=10)
    assert await share.take(demand) is None
    assert "WRONGTYPE" in share.trouble
    assert not share.up
    await client.aclose()
    await share.close()
