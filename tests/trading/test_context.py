"""Market context as a machine: what is fetched, what is served, and what is left alone, at every time."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trading.context import (
    HOUR_NS,
    Breaker,
    BreakerState,
    CallBudget,
    ContextCache,
    FearGreed,
    Source,
)

SECOND = 1_000_000_000
TTL = 300 * SECOND
RETRY = 15 * SECOND
BTC, MOOD, DXY = Source.BTC_DOMINANCE, Source.FEAR_GREED, Source.DXY
FEAR = FearGreed(value=20, value_class="Extreme Fear")


def cache(*sources, limit=100, failures_max=3):
    return ContextCache(
        sources or tuple(Source), ttl_ns=TTL, calls_per_hour=limit, failures_max=failures_max, retry_ns=RETRY
    )


@pytest.mark.req("C-MKT-1")
def test_figures_are_shown_once_their_sources_have_answered():
    context = cache()
    assert context.due(0) == (BTC, MOOD, DXY)
    assert context.due(1) == ()
    context.on_answer(BTC, 52.5, SECOND)
    context.on_answer(MOOD, FEAR, SECOND)
    seen = context.view(3 * SECOND)
    assert (seen.btc_dominance_pct, seen.fear_greed, seen.fear_greed_class, seen.dxy) == (
        52.5,
        20,
        "Extreme Fear",
        None,
    )
    assert seen.age_s == {"btc_dominance": 2.0, "fear_greed": 2.0}
    context.on_answer(DXY, 104.25, 4 * SECOND)
    assert context.view(4 * SECOND).dxy == 104.25


@pytest.mark.req("C-MKT-2")
def test_a_figure_is_served_for_its_time_to_live_and_asked_for_again_after_it():
    context = cache(BTC)
    context.due(0)
    context.on_answer(BTC, 50.0, 0)
    assert context.due(TTL - 1) == ()
    assert context.view(TTL - 1).btc_dominance_pct == 50.0
    assert context.view(TTL).btc_dominance_pct is None
    assert context.due(TTL) == (BTC,)
    assert context.view(TTL + 1).btc_dominance_pct == 50.0  # until the answer is there
    context.on_failure(BTC, "status 500", TTL + 2)
    seen = context.view(TTL + 2)
    assert (seen.btc_dominance_pct, seen.errors) == (None, {"btc_dominance": "status 500"})
    assert context.due(TTL + 2 + RETRY - 1) == ()
    assert context.due(TTL + 2 + RETRY) == (BTC,)
    context.on_answer(BTC, 51.0, TTL + 3 + RETRY)
    assert (context.view(TTL + 3 + RETRY).btc_dominance_pct, context.view(TTL + 3 + RETRY).errors) == (51.0, {})


@pytest.mark.req("C-MKT-2")
def test_a_source_that_is_down_leaves_the_others_as_they_are():
    context = cache(BTC, MOOD)
    context.due(0)
    context.on_failure(BTC, "x" * 1_000, 0)
    context.on_answer(MOOD, FEAR, 0)
    seen = context.view(1)
    assert (seen.btc_dominance_pct, seen.fear_greed) == (None, 20)
    assert len(seen.errors["btc_dominance"]) == 200


@pytest.mark.req("C-MKT-2", "C-EXEC-10")
def test_the_breaker_opens_half_opens_and_closes():
    breaker = Breaker(3, 60 * SECOND)
    for n in range(3):
        assert breaker.state is BreakerState.CLOSED
        assert breaker.allows(n)
        breaker.on_failure(n)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allows(2 + 60 * SECOND - 1)
    assert breaker.allows(2 + 60 * SECOND)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.on_failure(70 * SECOND)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allows(129 * SECOND)
    assert breaker.allows(130 * SECOND)
    breaker.on_answer(131 * SECOND)
    assert (breaker.state, breaker.failures, breaker.opened) == (BreakerState.CLOSED, 0, 2)


def test_an_answer_between_failures_starts_the_count_anew():
    breaker = Breaker(2, SECOND)
    for n in range(10):
        breaker.on_failure(n)
        breaker.on_answer(n)
    assert breaker.state is BreakerState.CLOSED


@pytest.mark.req("C-MKT-4")
def test_the_101st_call_of_an_hour_is_not_made_and_the_old_figure_is_served():
    context = ContextCache((BTC,), ttl_ns=SECOND, calls_per_hour=100)
    for n in range(100):
        assert context.due(n * SECOND) == (BTC,)
        context.on_answer(BTC, 50.0 + n / 100, n * SECOND)
    assert context.due(100 * SECOND) == ()
    seen = context.view(100 * SECOND)
    assert seen.btc_dominance_pct == pytest.approx(50.99)
    assert (seen.limited, seen.calls_last_hour, seen.calls_refused) == (("btc_dominance",), 100, 1)
    assert seen.age_s["btc_dominance"] == 1.0
    assert context.due(HOUR_NS - 1) == ()
    assert context.due(HOUR_NS) == (BTC,)
    context.on_answer(BTC, 60.0, HOUR_NS)
    assert (context.view(HOUR_NS).btc_dominance_pct, context.view(HOUR_NS).limited) == (60.0, ())


def test_the_budget_is_of_any_hour_not_of_the_clocks():
    budget = CallBudget(3)
    assert [budget.take(t) for t in (0, HOUR_NS // 2, HOUR_NS - 1, HOUR_NS - 1)] == [True, True, True, False]
    assert [budget.take(HOUR_NS), budget.take(HOUR_NS)] == [True, False]
    assert budget.used(3 * HOUR_NS) == 0


def test_a_source_that_stays_down_does_not_use_up_the_calls_of_the_others():
    context = cache(BTC, MOOD, limit=60)
    for second in range(0, 3600, 5):
        now_ns = second * SECOND
        for source in context.due(now_ns):
            if source is BTC:
                context.on_failure(BTC, "down", now_ns)
            else:
                context.on_answer(MOOD, FEAR, now_ns)
        assert context.view(now_ns).fear_greed == 20
    assert context.refused == 0
    assert context.view(3600 * SECOND).breakers["btc_dominance"] is BreakerState.OPEN


class ContextMachine(RuleBasedStateMachine):
    """Any order of times, answers and failures."""

    LIMIT = 7

    def __init__(self):
        super().__init__()
        self.now = 0
        self.cache = ContextCache(
            (BTC, MOOD), ttl_ns=100, calls_per_hour=self.LIMIT, failures_max=2, cooldown_ns=50, retry_ns=10
        )
        self.calls, self.open, self.last = [], set(), {}

    @rule(step=st.one_of(st.integers(0, 200), st.just(HOUR_NS)))
    def wait(self, step):
        self.now += step

    @rule()
    def ask(self):
        due = self.cache.due(self.now)
        assert not self.open & set(due)
        self.open |= set(due)
        self.calls += [self.now] * len(due)

    @rule(source=st.sampled_from([BTC, MOOD]), good=st.booleans())
    def settle(self, source, good):
        if source not in self.open:
            return
        self.open.discard(source)
        figure = 50.0 if source is BTC else FEAR
        if good:
            self.cache.on_answer(source, figure, self.now)
        else:
            self.cache.on_failure(source, "down", self.now)
        self.last[source] = (good, self.now)

    @invariant()
    def no_hour_has_more_calls_than_allowed(self):
        assert sum(self.now - call < HOUR_NS for call in self.calls) <= self.LIMIT

    @invariant()
    def what_is_shown_was_answered_and_not_failed_since(self):
        seen = self.cache.view(self.now)
        for source, value in ((BTC, seen.btc_dominance_pct), (MOOD, seen.fear_greed)):
            good, at = self.last.get(source, (False, 0))
            if value is not None:
                assert good
                assert self.now - at < 100 or source in self.open or source.value in seen.limited
            elif good:
                assert self.now - at >= 100


TestContextMachine = ContextMachine.TestCase
