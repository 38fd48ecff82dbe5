"""A venue's clock, asked and overheard: the estimate is right within what it says, and steps are found."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.market.clock_offset import ClockLimits, ClockOffset, SampleResult

MS = 1_000_000
S = 1000 * MS
WALL = 1_700_000_000 * S
MONO = 5_000 * S
"""Our two clocks when a test begins; the monotonic one began somewhere."""


class World:
    """True time, a venue's clock and both of ours; ``ours_ms`` and ``venue_ms`` are how far they are ahead of it."""

    def __init__(self, ours_ms=0.0, venue_ms=0.0, limits=None):
        self.true_ns = 0
        self.ours_ns = round(ours_ms * MS)
        self.venue_ns = round(venue_ms * MS)
        self.venue_ppm = 0.0
        self.clock = ClockOffset("binance", limits)

    @property
    def mono(self):
        return MONO + self.true_ns

    @property
    def wall(self):
        return WALL + self.true_ns + self.ours_ns

    def server(self):
        """What the venue would say, in whole milliseconds."""
        drifted = self.true_ns + round(self.true_ns * self.venue_ppm / 1e6)
        return (WALL + drifted + self.venue_ns) // MS * MS

    def ask(self, there_ms=20.0, back_ms=20.0):
        sent = self.mono
        self.true_ns += round(there_ms * MS)
        said = self.server()
        self.true_ns += round(back_ms * MS)
        return self.clock.on_reply(sent, said, self.mono)

    def wait(self, seconds):
        self.true_ns += round(seconds * S)

    def verdict(self):
        return self.clock.verdict(self.wall, self.mono)

    @property
    def skew_ms(self):
        """The truth: our wall clock less the venue's."""
        return (self.ours_ns - self.venue_ns) / MS - self.true_ns * self.venue_ppm / 1e6 / MS


@pytest.mark.req("P-MD-7")
def test_nothing_is_known_before_the_venue_was_heard_and_after_ten_minutes_of_silence():
    world = World()
    assert world.verdict() is None
    assert world.clock.venue_now_ns(world.mono) is None
    world.ask()
    assert world.verdict() is not None
    world.wait(600)
    assert world.verdict() is not None
    world.wait(1)
    assert world.verdict() is None


@pytest.mark.req("P-MD-7")
def test_one_answer_bounds_the_offset_by_its_way_there_and_back():
    world = World(ours_ms=-1300)
    world.ask(30, 10)
    verdict = world.verdict()
    assert verdict.skew_ms == pytest.approx(-1300 - 10, abs=1.0)
    assert verdict.error_ms == pytest.approx(20.5, abs=0.01)
    assert abs(verdict.skew_ms - world.skew_ms) <= verdict.error_ms
    assert verdict.samples == 1
    assert not verdict.is_stepped


@pytest.mark.req("P-MD-7")
def test_the_quickest_answer_counts_and_slow_or_lopsided_ones_do_no_harm():
    world = World(ours_ms=700)
    for there, back in ((900, 20), (20, 900), (2, 2), (20, 900), (1500, 10)):
        assert world.ask(there, back) is SampleResult.USED
        world.wait(1)
    verdict = world.verdict()
    assert verdict.skew_ms == pytest.approx(700, abs=2.6)
    assert verdict.error_ms < 3
    assert abs(verdict.skew_ms - world.skew_ms) <= verdict.error_ms


@pytest.mark.req("P-MD-7", "C-MKT-5")
@given(
    st.floats(-5000, 5000),
    st.floats(-5000, 5000),
    st.lists(st.tuples(st.floats(0, 400), st.floats(0, 400), st.floats(0, 60)), min_size=1, max_size=20),
)
def test_the_truth_is_always_within_the_stated_error(ours, venue, asked):
    world = World(ours, venue)
    world.venue_ppm = 20.0
    for there, back, pause in asked:
        assert world.ask(there, back) is SampleResult.USED
        verdict = world.verdict()
        assert abs(verdict.skew_ms - world.skew_ms) <= verdict.error_ms + 0.001
        world.wait(pause)
    now = world.clock.venue_now_ns(world.mono)
    true_now = WALL + world.true_ns + round(world.true_ns * 20e-6) + world.venue_ns
    assert abs(now - true_now) <= (world.verdict().error_ms + 0.001) * MS


@pytest.mark.req("P-MD-7")
def test_a_step_of_our_wall_clock_is_seen_at_once_and_moves_no_sample():
    world = World()
    for _ in range(5):
        world.ask()
        world.wait(1)
        assert not world.verdict().is_stepped
    before = world.verdict().error_ms
    world.ours_ns += 5000 * MS
    world.wait(0.1)
    verdict = world.verdict()
    assert verdict.is_stepped
    assert verdict.skew_ms == pytest.approx(5000, abs=verdict.error_ms)
    assert verdict.error_ms == pytest.approx(before, abs=0.01)
    assert world.clock.steps == 1
    world.wait(2.0)
    assert world.verdict().is_stepped
    world.wait(0.1)
    assert not world.verdict().is_stepped
    assert world.ask() is SampleResult.USED


@pytest.mark.parametrize(("step", "seen"), [(250, False), (250.1, True), (-250.1, True)])
def test_a_wall_clock_steps_when_it_moves_by_more_than_250_ms_against_the_monotonic_one(step, seen):
    world = World()
    assert world.clock.on_clocks(world.wall, world.mono) is False
    world.wait(1)
    world.ours_ns += round(step * MS)
    assert world.clock.on_clocks(world.wall, world.mono) is seen


@pytest.mark.req("P-MD-7", "C-MKT-5")
@pytest.mark.req("P-MD-7")
def test_a_step_of_the_venues_clock_is_disputed_at_once_and_believed_after_three_answers():
    world = World()
    for _ in range(5):
        world.ask()
        world.wait(1)
    world.venue_ns += 3000 * MS
    assert world.ask() is SampleResult.DISPUTED
    verdict = world.verdict()
    assert verdict.is_stepped
    assert verdict.skew_ms == pytest.approx(0, abs=verdict.error_ms)
    assert world.ask() is SampleResult.DISPUTED
    assert world.ask() is SampleResult.STEPPED
    verdict = world.verdict()
    assert verdict.is_stepped
    assert verdict.skew_ms == pytest.approx(-3000, abs=verdict.error_ms)
    world.wait(3)
    assert not world.verdict().is_stepped
    assert (world.clock.steps, world.clock.disputed) == (1, 3)


def test_one_garbled_answer_is_disputed_and_forgotten_and_three_that_differ_prove_nothing():
    world = World()
    world.ask()
    world.venue_ns += 86_400 * S
    assert world.ask() is SampleResult.DISPUTED
    world.venue_ns -= 86_400 * S
    assert world.ask() is SampleResult.USED
    assert not world.verdict().is_stepped
    for n in range(1, 6):
        world.venue_ns = n * 3600 * S
        assert world.ask() is SampleResult.DISPUTED
    world.venue_ns = 0
    assert world.ask() is SampleResult.USED
    assert world.verdict().skew_ms == pytest.approx(0, abs=world.verdict().error_ms)


def test_what_cannot_be_or_took_too_long_is_counted_and_not_used():
    world = World()
    clock = world.clock
    assert clock.on_reply(MONO, WALL, MONO - 1) is SampleResult.IMPOSSIBLE
    assert clock.on_reply(MONO, 0, MONO) is SampleResult.IMPOSSIBLE
    assert world.ask(2500, 2500) is SampleResult.USED
    assert world.ask(2501, 2500) is SampleResult.TOO_SLOW
    assert clock.rejected == 3


@pytest.mark.parametrize("ppm", [35.0, -12.0, 0.0])
def test_drift_is_told_after_five_minutes_and_is_that_of_the_two_clocks(ppm):
    world = World()
    world.venue_ppm = ppm
    rng = random.Random(7)
    for minute in range(30):
        for _ in range(6):
            world.ask(rng.uniform(5, 60), rng.uniform(5, 60))
            world.wait(10)
        if minute == 3:
            assert world.clock.drift_ppm is None
    # Ours runs faster by what the venue's runs slower.
    assert world.verdict().drift_ppm == pytest.approx(-ppm, abs=6.0)


@pytest.mark.req("P-MD-7")
def test_a_stream_alone_bounds_from_above_and_with_answers_it_narrows_them():
    world = World(ours_ms=400)
    world.clock.on_envelope(round((400 + 15) * MS), world.wall, world.mono)
    verdict = world.verdict()
    assert (verdict.skew_ms, verdict.error_ms) == (pytest.approx(415), None)
    world.ask(30, 30)
    wide = world.verdict()
    assert wide.error_ms < 30.5
    assert abs(wide.skew_ms - world.skew_ms) <= wide.error_ms
    world.clock.on_envelope(round((400 + 3) * MS), world.wall, world.mono)
    narrow = world.verdict()
    assert narrow.error_ms < wide.error_ms
    assert abs(narrow.skew_ms - world.skew_ms) <= narrow.error_ms
    world.clock.on_envelope(-(10**6) * MS, world.wall, world.mono)  # a stream of another clock
    assert world.verdict().error_ms >= wide.error_ms
    world.wait(601)
    assert world.verdict() is None


def test_memory_is_bounded_by_the_limits():
    limits = ClockLimits(samples=4, drift_points=6, drift_point_ms=1000)
    world = World(limits=limits)
    for _ in range(200):
        world.ask()
        world.wait(1)
    assert world.verdict().samples == 4
    assert len(world.clock._points) == 6
