"""The limiter on a loop: turns by priority, cancellation, refusals, and one count for all processes of a host."""

from __future__ import annotations

import asyncio
import fcntl

import pytest

from adapters.config import load_config
from adapters.limits.build import limiter_for
from tests.adapters.limits.conftest import CANCEL, CLOCK, HEDGE, PLACE, POLL, ask, spec
from tests.waiting import breath, stopwatch, waited_for_processors_s
from trading.limits.messages import Go, Refusal, Refused
from trading.limits.spec import Policy
from trading.limits.venues import BINANCE_USDM, limits_of


async def admitted(limiter, request, order):
    answer = await limiter.admit(request)
    order.append(request.priority)
    return answer


async def filled(limiter, priority=CANCEL, weight=20):
    assert isinstance(await limiter.admit(ask(priority, weight=weight)), Go)


async def test_those_who_wait_are_woken_by_priority_and_then_in_the_order_they_came(limiters):
    limiter = limiters(spec(window_ms=1_000))
    await filled(limiter)
    order = []
    async with asyncio.TaskGroup() as group:
        for priority in (POLL, PLACE, CANCEL, HEDGE, CANCEL, POLL):
            group.create_task(admitted(limiter, ask(priority), order))
    assert order == [CANCEL, CANCEL, HEDGE, PLACE, POLL, POLL]


async def test_what_has_room_goes_without_waiting(limiters):
    limiter = limiters()
    before = CLOCK.mono_ns()
    answer = await limiter.admit(ask(PLACE))
    assert isinstance(answer, Go)
    assert before <= answer.at_ns <= CLOCK.mono_ns()


async def test_one_that_is_cancelled_leaves_its_place_to_the_next(limiters):
    limiter = limiters()
    await filled(limiter)
    first = asyncio.ensure_future(limiter.admit(ask(CANCEL, weight=20)))
    second = asyncio.ensure_future(limiter.admit(ask(CANCEL, weight=20)))
    await breath()
    first.cancel()
    assert isinstance(await second, Go)
    assert first.cancelled()
    assert limiter.view().limits.pools[0].used == 20
    assert limiter.view().waiting["cancel"] == 0


async def test_one_that_was_cancelled_after_its_turn_is_not_counted(limiters):
    limiter = limiters(spec(window_ms=500))
    await filled(limiter)
    task = asyncio.ensure_future(limiter.admit(ask(CANCEL, weight=20)))
    await breath()
    until = CLOCK.mono_ns() + 600_000_000
    while CLOCK.mono_ns() < until:  # the loop stands still, the window passes
        pass
    assert limiter.view().limits.pools[0].used == 20  # it has its turn, and has not seen the answer yet
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert limiter.view().limits.pools[0].used == 0


async def test_refusals_come_at_once_and_say_why(limiters):
    limiter = limiters(spec(window_ms=60_000), queue_max=2)
    await filled(limiter)
    async with stopwatch() as took:
        assert (await limiter.admit(ask(PLACE, within_s=20))).reason is Refusal.DEADLINE
        assert (await limiter.admit(ask(PLACE, weight=99))).reason is Refusal.TOO_DEAR
        waiting = [asyncio.ensure_future(limiter.admit(ask(PLACE, within_s=120))) for _ in range(2)]
        await breath()
        assert (await limiter.admit(ask(PLACE, within_s=120))).reason is Refusal.QUEUE_FULL
    assert took.seconds < 1
    await limiter.close()
    assert [(await task).reason for task in waiting] == [Refusal.CLOSED] * 2
    assert (await limiter.admit(ask(CANCEL))).reason is Refusal.CLOSED


async def test_who_waits_behind_others_is_told_when_its_deadline_passes(limiters):
    limiter = limiters(spec(limit=10, window_ms=1_000))
    await filled(limiter, weight=10)
    others = [asyncio.ensure_future(limiter.admit(ask(CANCEL, weight=10))) for _ in range(2)]
    await breath()
    began = CLOCK.mono_ns()
    async with stopwatch() as took:
        late = await limiter.admit(ask(CANCEL, weight=10, within_s=0.2))
    assert late == Refused(reason=Refusal.DEADLINE, pool="")
    assert CLOCK.mono_ns() - began >= 0.2e9
    assert took.seconds < 0.9
    for task in others:
        task.cancel()


@pytest.mark.req("P-VEN-4")
async def test_processes_of_a_host_count_together_and_share_a_ban(limiters):
    one, other = limiters(spec(window_ms=60_000)), limiters(spec(window_ms=60_000))
    await filled(one, PLACE, weight=16)
    assert (await other.admit(ask(PLACE, within_s=20))).reason is Refusal.DEADLINE
    assert isinstance(await other.admit(ask(CANCEL)), Go)
    assert one.view().limits.pools[0].used == other.view().limits.pools[0].used == 17
    other.told("GET /x", 418, {"Retry-After": "60"})
    assert (await one.admit(ask(CANCEL, within_s=0.3))).reason is Refusal.BANNED
    assert one.view().shared == "host"


async def test_a_ban_in_the_words_of_the_body_is_heard(limiters):
    limiter = limiters(BINANCE_USDM, shared=False)
    until_ms = CLOCK.wall_ns() // 1_000_000 + 90_000
    body = b'{"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until %d."}' % until_ms
    limiter.told("GET /fapi/v1/depth", 418, {}, body=body)
    answer = await limiter.admit(ask(CANCEL, within_s=1))
    assert answer.reason is Refusal.BANNED
    assert 89e9 < answer.retry_ns < 91e9


async def test_a_lock_that_a_stopped_process_keeps_does_not_stop_this_one(limiters, tmp_path):
    limiter = limiters(spec(limit=20, window_ms=60_000))
    await filled(limiter, weight=5)
    with (tmp_path / "limits-v.board.lock").open("rb+") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        began, starved = CLOCK.mono_ns() / 1e9, waited_for_processors_s()
        assert isinstance(await limiter.admit(ask(CANCEL)), Go)
        assert CLOCK.mono_ns() / 1e9 - began - (waited_for_processors_s() - starved) < 1
        assert limiter.view().shared == "alone"
        assert limiter.view().flags[0].startswith("the host's file cannot be used")
        assert isinstance(await limiter.admit(ask(CANCEL)), Go)
        limiter.told("GET /x", 429, {"Retry-After": "30"})
    view = limiter.view()
    assert (view.shared, view.flags) == ("host", ())
    assert view.limits.pools[0].used == 7  # what was spent meanwhile is written down
    other = limiters(limiter.spec)
    assert other.view().limits.pools == view.limits.pools
    assert other.view().limits.freezes[0].kind == "limited"


async def test_a_file_that_disappears_is_made_again_with_what_is_known(limiters, tmp_path):
    limiter = limiters(spec(window_ms=60_000))
    await filled(limiter, weight=5)
    (tmp_path / "limits-v.board").unlink()
    assert isinstance(await limiter.admit(ask(CANCEL)), Go)
    assert limiters(limiter.spec).view().limits.pools == limiter.view().limits.pools
    assert limiter.view().limits.pools[0].used == 6


async def test_the_configuration_makes_limiters_that_share_a_host_file(tmp_path):
    config = load_config(overrides={"data_dir": str(tmp_path), "limits.venue_shares.okx": 0.5})
    usdm, okx = limiter_for("binanceusdm", config, CLOCK), limiter_for("okx", config, CLOCK, env={})
    try:
        await usdm.admit(BINANCE_USDM.ask("POST /fapi/v1/order", PLACE, CLOCK.mono_ns() + 10**9))
        await usdm.admit(BINANCE_USDM.ask("DELETE /fapi/v1/order", CANCEL, CLOCK.mono_ns() + 10**9))
        await okx.admit(limits_of("okx").ask("GET /api/v5/market/books", POLL, CLOCK.mono_ns() + 10**9))
        assert {pool.pool: pool.usable for pool in usdm.view().limits.pools} == {
            "weight": 2280,
            "orders_10s": 285,
            "orders_1m": 1140,
        }
        assert okx.view().limits.pools[0].usable == 20
        assert (tmp_path / "limits-binanceusdm.board").exists()
    finally:
        await usdm.close()
        await okx.close()


async def test_an_endpoints_failures_slow_it_down_for_all_processes(limiters):
    one, other = limiters(policy=Policy(penalty_ns=10**10)), limiters(policy=Policy(penalty_ns=10**10))
    one.told("GET /x", 503, {})
    assert (await other.admit(ask(PLACE, within_s=0.1))).reason is Refusal.PENALISED
    other.told("GET /x", 200, {})
    assert isinstance(await one.admit(ask(PLACE)), Go)


@pytest.mark.req("P-VEN-4")
async def test_who_waits_for_a_refused_key_goes_when_a_person_has_mended_it_in_every_process(limiters):
    refused, other = limiters(), limiters()
    refused.told("GET /x", 401, {}, request=ask(signed=True, account="a"))
    order = []
    async with asyncio.TaskGroup() as group:
        for limiter in (refused, other):
            group.create_task(admitted(limiter, ask(PLACE, signed=True, account="a", within_s=60.0), order))
        await breath()
        assert order == []
        other.mended("a")
        refused.view()  # a turn: whoever counts with it sees what the file says
    assert order == [PLACE, PLACE]
