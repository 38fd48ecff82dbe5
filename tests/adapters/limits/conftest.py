"""Limiters on a file of their own, a small venue, and Redis where there is one."""

from __future__ import annotations

import uuid

import pytest
import redis

from adapters.clock import SystemClock
from adapters.limits.host_file import HostFile
from adapters.limits.limiter import Limiter
from trading.limits.messages import Ask, Priority
from trading.limits.spec import MS_NS, SECOND_NS, Budget, Policy, Scope, Unit, VenueLimits
from trading.limits.venues import BINANCE_USDM

CANCEL, HEDGE, REPLACE, PLACE, POLL = Priority
CLOCK = SystemClock()
REDIS_URL = "redis://127.0.0.1:6379/0"


def spec(limit=20, window_ms=500, name="v"):
    budget = Budget(name="weight", scope=Scope.IP, unit=Unit.WEIGHT, limit=limit, window_ns=window_ms * MS_NS)
    return VenueLimits(venue=name, source="a test", budgets=(budget,), rules=BINANCE_USDM.rules)


def ask(priority=POLL, *, weight=1, within_s=10.0, **more):
    return Ask(
        endpoint="GET /x",
        weight=weight,
        priority=priority,
        deadline_ns=CLOCK.mono_ns() + round(within_s * SECOND_NS),
        **more,
    )


@pytest.fixture
async def limiters(tmp_path):
    """Makes limiters that count together in one file, as processes of a host do; closes them."""
    made = []

    def make(venue=None, *, shared=True, policy=None, **more):
        file = HostFile(tmp_path / "limits-v.board", CLOCK) if shared else None
        limiter = Limiter(venue or spec(), CLOCK, policy=policy or Policy(share=1.0), file=file, **more)
        made.append(limiter)
        return limiter

    yield make
    for limiter in made:
        await limiter.close()


@pytest.fixture
def redis_prefix():
    """A prefix of this test's own in a real Redis; its keys are gone afterwards."""
    client = redis.Redis.from_url(REDIS_URL, socket_timeout=1)
    try:
        client.ping()
    except redis.RedisError as trouble:
        pytest.skip(f"no Redis at {REDIS_URL}: {trouble}")
    prefix = f"propdesk-test:{uuid.uuid4().hex}"
    yield prefix
    for key in client.scan_iter(f"{prefix}:*", count=1000):
        client.delete(key)
    client.close()
