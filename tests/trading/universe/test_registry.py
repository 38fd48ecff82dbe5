"""Conditions of venues and markets: windows open and close, the worst counts, each means one brake."""

from __future__ import annotations

from itertools import pairwise
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.brakes import ALLOWED, Brake, BrakeBook, Conduct, Level, Release
from trading.market.events import VenueNotice
from trading.universe.health import HealthLimits, VenueHealth, Verdict
from trading.universe.registry import MEANINGS, WINDOWS_MAX, Condition, Registry, Window

S = 1_000_000_000
T0 = 1_760_000_000 * S
BTC = "symbol:OKX:SPOT:BTC-USDT"


def window(condition=Condition.MAINTENANCE, begin=0, end=60, scope="venue:okx", name="", by="auto"):
    return Window(
        window_id=name or f"{scope} {condition.value} {begin}",
        scope=scope,
        condition=condition,
        begin_ns=T0 + begin * S,
        end_ns=T0 + end * S if end else 0,
        cause=f"{condition.value} is announced",
        set_by=by,
    )


@pytest.mark.req("P-VEN-14")
def test_a_window_opens_and_closes_by_the_clock_and_each_is_told_once():
    registry = Registry()
    assert registry.put(window(begin=10, end=20))
    assert registry.tick(T0) == []
    assert [w.window_id for w in registry.ahead(T0, 60 * S)] == ["venue:okx maintenance 10"]
    (opened,) = registry.tick(T0 + 10 * S)
    assert (opened.before, opened.after) == (Condition.NORMAL, Condition.MAINTENANCE)
    assert registry.tick(T0 + 15 * S) == []
    (closed,) = registry.tick(T0 + 20 * S)
    assert (closed.before, closed.after) == (Condition.MAINTENANCE, Condition.NORMAL)
    assert registry.windows() == ()


@pytest.mark.req("P-VEN-14")
@pytest.mark.parametrize(
    ("condition", "level", "routable"),
    [
        (Condition.NORMAL, Level.RUN, True),
        (Condition.DEGRADED, Level.SAFE, True),
        (Condition.POST_ONLY, Level.SAFE, True),
        (Condition.QUARANTINED, Level.PAUSE, False),
        (Condition.CANCEL_ONLY, Level.HOLD, False),
        (Condition.MAINTENANCE, Level.HOLD, False),
    ],
)
def test_each_condition_means_one_level_and_says_whether_a_router_may_go_there(condition, level, routable):
    assert (MEANINGS[condition].level, MEANINGS[condition].routable) == (level, routable)
    registry = Registry()
    if condition is not Condition.NORMAL:
        registry.put(window(condition))
        assert [brake.level for brake in registry.brakes(T0)] == [level]
    assert registry.is_routable("okx", "OKX:SPOT:BTC-USDT", T0) is routable
    assert registry.is_routable("bybit", "BYBIT:SPOT:BTC-USDT", T0)


def test_cancels_go_on_in_every_condition_and_post_only_forbids_taking():
    for meaning in MEANINGS.values():
        assert Conduct.CANCEL in ALLOWED[meaning.level]
    assert Conduct.TAKE not in ALLOWED[MEANINGS[Condition.POST_ONLY].level]
    assert Conduct.REDUCE in ALLOWED[MEANINGS[Condition.QUARANTINED].level]


@pytest.mark.req("P-VEN-14")
def test_a_quarantined_venue_and_a_quarantined_market_are_excluded_from_routing():
    registry = Registry()
    registry.put(window(Condition.QUARANTINED, end=0, scope=BTC, by="ann"))
    assert registry.quarantined(T0) == (BTC,)
    assert not registry.is_routable("okx", "OKX:SPOT:BTC-USDT", T0)
    assert registry.is_routable("okx", "OKX:SPOT:ETH-USDT", T0)
    (brake,) = registry.brakes(T0)
    assert (brake.release, brake.set_by) == (Release.OPERATOR, "ann")
    assert registry.end(f"{BTC} quarantined 0") is not None
    assert registry.is_routable("okx", "OKX:SPOT:BTC-USDT", T0)
    assert registry.end("nobody's") is None


def test_the_worst_of_several_windows_counts_and_all_show_as_brakes():
    registry = Registry()
    for condition in (Condition.DEGRADED, Condition.CANCEL_ONLY, Condition.POST_ONLY):
        registry.put(window(condition))
    assert registry.condition("venue:okx", T0) is Condition.CANCEL_ONLY
    assert {brake.code for brake in registry.brakes(T0)} == {"DEGRADED", "CANCEL_ONLY", "POST_ONLY"}
    book = BrakeBook()
    for brake in registry.brakes(T0):
        assert isinstance(brake, Brake)
        book.set(brake)
    assert book.mode(["venue:okx"]) is Level.HOLD


@pytest.mark.req("P-VEN-14")
def test_a_verdict_of_health_is_a_window_that_begins_once_and_ends_with_it():
    registry = Registry()
    registry.follow_health("okx", Verdict.DEGRADED, 61.2, T0)
    registry.follow_health("okx", Verdict.DEGRADED, 55.0, T0 + S)
    (brake,) = registry.brakes(T0 + S)
    assert (brake.code, brake.level, brake.since_ns, brake.cause) == ("DEGRADED", Level.SAFE, T0, "health is 61 of 100")
    registry.follow_health("okx", Verdict.QUARANTINE, 12.0, T0 + 2 * S)
    assert registry.quarantined(T0 + 2 * S) == ("venue:okx",)
    assert not registry.is_routable("okx", "OKX:SPOT:BTC-USDT", T0 + 2 * S)
    assert registry.brakes(T0 + 2 * S)[0].release is Release.AUTO, "what health set, health releases"
    registry.follow_health("okx", Verdict.HEALTHY, 95.0, T0 + 3 * S)
    registry.follow_health("okx", Verdict.HEALTHY, 95.0, T0 + 4 * S)
    assert registry.windows() == ()


@pytest.mark.req("P-VEN-14")
def test_a_venues_notice_is_a_maintenance_window_that_can_move():
    def notice(begin, end, text="engine upgrade"):
        return VenueNotice(venue="okx", code="sys-7", text=text, begin_ns=begin, end_ns=end, ts_recv_ns=T0)

    registry = Registry()
    assert registry.follow_notice(notice(T0 + 10 * S, T0 + 20 * S))
    assert registry.follow_notice(notice(T0 + 30 * S, None))
    (moved,) = registry.windows()
    assert (moved.condition, moved.begin_ns, moved.end_ns) == (Condition.MAINTENANCE, T0 + 30 * S, 0)
    assert moved.cause == "engine upgrade"
    assert registry.condition("venue:okx", T0 + 31 * S) is Condition.MAINTENANCE
    assert not registry.follow_notice(notice(None, None))
    assert not registry.follow_notice(notice(T0 + 5, T0 + 5))
    assert registry.follow_notice(notice(T0, T0 + S, text=""))
    assert registry.windows()[0].cause == "sys-7"


@pytest.mark.parametrize(
    "wrong", [{"scope": "global"}, {"scope": "strategy:x"}, {"condition": Condition.NORMAL}, {"begin": 5, "end": 5}]
)
def test_a_window_that_could_restrain_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"window|neither"):
        window(**wrong)


def test_windows_are_bounded_and_what_restrains_now_outlives_what_may_come():
    registry = Registry()
    for number in range(WINDOWS_MAX):
        assert registry.put(window(begin=number, end=0, name=str(number)))
    assert not registry.put(window(begin=999, end=0, name="later"))
    assert registry.put(window(begin=0, end=0, name="now"))
    names = {w.window_id for w in registry.windows()}
    assert len(names) == WINDOWS_MAX
    assert {"0", "now"} <= names
    assert str(WINDOWS_MAX - 1) not in names


def test_windows_survive_their_bytes_and_damage_is_said():
    registry = Registry()
    registry.put(window(Condition.QUARANTINED, end=0, by="ann"))
    again = Registry.load(registry.dump())
    assert again.windows() == registry.windows()
    for damaged in (b"", b"[{}]", registry.dump()[:-3], b"\xff"):
        with pytest.raises(ValueError, match="unreadable"):
            Registry.load(damaged)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(Condition)[1:]),
            st.integers(0, 20),
            st.integers(1, 20),
            st.sampled_from(["venue:okx", BTC]),
        ),
        max_size=12,
    )
)
def test_ticks_tell_exactly_how_conditions_change(windows):
    registry = Registry()
    for number, (condition, begin, length, scope) in enumerate(windows):
        registry.put(window(condition, begin, begin + length, scope, str(number)))
    seen = {}
    for second in range(45):
        for change in registry.tick(T0 + second * S):
            assert seen.get(change.scope, Condition.NORMAL) is change.before
            seen[change.scope] = change.after
        for scope in ("venue:okx", BTC):
            assert seen.get(scope, Condition.NORMAL) is registry.condition(scope, T0 + second * S)
    assert set(seen.values()) <= {Condition.NORMAL}


# Health.


@pytest.mark.req("P-VEN-14")
def test_a_venue_without_evidence_is_healthy_and_each_trouble_costs_by_its_own_factor():
    for trouble, part in [
        (lambda h: h.on_request(False, 0), "requests"),
        (lambda h: h.on_messages(1000, 500, 0, 0), "delivery"),
        (lambda h: h.on_slippage(20.0, 0), "slippage"),
        (lambda h: h.on_connection(False, 0), "connected"),
    ]:
        health = VenueHealth(0)
        assert health.parts(0).score == 100.0
        trouble(health)
        parts = health.parts(S)
        assert getattr(parts, part) < 1.0
        assert parts.score < 100.0
        others = {"connected", "requests", "delivery", "slippage"} - {part}
        assert {getattr(parts, other) for other in others} == {1.0}


def test_the_score_is_the_formula():
    health = VenueHealth(0)
    for answered in (True, True, False):
        health.on_request(answered, 0)
    health.on_messages(delivered=3000, dropped=0, gaps=1, now_ns=0)
    health.on_slippage(-5.0, 0)
    health.on_slippage(30.0, 0)
    parts = health.parts(0)
    assert parts.requests == round(12 / 13, 4)
    assert parts.delivery == 4000 / 5000
    assert parts.slippage == 0.5
    assert parts.score == pytest.approx(100 * 12 / 13 * 0.8 * 0.5, abs=0.01)


def test_trouble_fades_with_its_half_life():
    health = VenueHealth(0, half_life_s=60.0)
    health.on_connection(False, 0)
    health.on_connection(True, 60 * S)
    faded_s = 60.0 / 2 / log(2)  # a minute of trouble, as much of it as has not faded
    assert health.parts(60 * S).connected == pytest.approx(60 / (60 + faded_s), abs=1e-3)
    assert health.parts(120 * S).connected == pytest.approx((60 + faded_s) / (60 + 1.5 * faded_s), abs=1e-3)
    assert health.parts(900 * S).connected > 0.999


def test_a_verdict_worsens_at_once_and_mends_step_by_step():
    health = VenueHealth(0, HealthLimits(calm_s=10.0), half_life_s=5.0)
    for _ in range(50):
        health.on_request(False, 0)
    assert health.judge(0) is Verdict.QUARANTINE
    seen = [health.judge(second * S) for second in range(1, 80)]
    turns = [verdict for before, verdict in pairwise(seen) if before is not verdict]
    assert turns == [Verdict.DEGRADED, Verdict.HEALTHY]


def test_a_score_between_the_marks_keeps_the_verdict():
    health = VenueHealth(0)
    health.on_messages(2000, 1000, 0, 0)
    assert 70 < health.parts(0).score < 80
    assert health.judge(0) is Verdict.HEALTHY
    health.verdict = Verdict.DEGRADED
    assert health.judge(61 * S) is Verdict.DEGRADED
