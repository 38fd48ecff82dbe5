"""When resting orders have to go, in virtual time."""

from __future__ import annotations

import pytest

from trading.kill_guard import MS, SECOND_NS, GuardRules, KillGuard, Signs

VENUE, SYMBOL = "venue:okx", "symbol:OKX:PERP:BTC-USDT:LINEAR"
T = 1_000 * SECOND_NS


class Watch:
    """A guard that looks every 50 ms at hearts that beat unless they are stopped."""

    def __init__(self):
        self.guard = KillGuard("okx", GuardRules())
        self.now = T
        self.beats = {"venue-okx": T, "desk": T}
        self.beating = {"venue-okx", "desk", "permit"}
        self.permit = T + 500 * MS
        self.held = frozenset()

    def run(self, ms, step=50):
        """The sweeps asked for, with when."""
        asked = []
        for _ in range(ms // step):
            self.now += step * MS
            for cell in self.beating & self.beats.keys():
                self.beats[cell] = self.now
            if "permit" in self.beating:
                self.permit = self.now + 500 * MS
            signs = Signs(now_ns=self.now, beats=dict(self.beats), permit_ns=self.permit, held=self.held)
            sweep = self.guard.look(signs)
            if sweep is not None:
                asked.append(sweep)
                return asked
        return asked


@pytest.fixture
def watch():
    made = Watch()
    made.run(200)
    return made


@pytest.mark.req("P-VEN-9")
@pytest.mark.parametrize(
    ("gone", "words", "after_ms"),
    [
        ("venue-okx", "no heartbeat of cell venue-okx", 1_050),
        ("desk", "no heartbeat of cell desk", 1_050),
        ("permit", "the permit ran out", 1_050),
    ],
)
def test_whoever_is_missed_the_whole_venue_is_swept_at_once_until_nothing_rests(watch, gone, words, after_ms):
    watch.beating.discard(gone)
    began = watch.now
    (sweep,) = watch.run(5_000)
    assert (watch.now - began) // MS == after_ms
    assert sweep.scopes == {VENUE}
    assert words in sweep.cause
    assert watch.guard.swept(3, 2, watch.now + 20 * MS) is None  # one could not be canceled
    (again,) = watch.run(100)
    assert again.scopes == {VENUE}
    cleared = watch.guard.swept(1, 1, watch.now + 10 * MS)
    assert (cleared.canceled, cleared.silent, cleared.late) == (3, True, False)
    assert cleared.after_ns < 500 * MS
    assert watch.guard.missing
    # It stays so, and is looked at again, until the heart is back.
    assert len(watch.run(1_500)) == 1
    watch.guard.swept(0, 0, watch.now)
    watch.beating.add(gone)
    assert watch.run(200) == []
    assert (watch.guard.missing, watch.guard.ended, watch.guard.trips) == ("", 1, 1)


@pytest.mark.req("P-VEN-9")
def test_a_cell_that_is_born_again_is_missed_until_it_beats(watch):
    watch.beating.discard("venue-okx")
    watch.run(600)
    watch.beats["venue-okx"] = 0  # its successor has claimed the place and not begun
    (sweep,) = watch.run(600)
    assert "venue-okx" in sweep.cause


@pytest.mark.req("P-VEN-9")
def test_a_scope_that_enters_hold_is_left_to_the_order_core_for_half_of_the_limit_and_then_proved(watch):
    watch.held = frozenset({SYMBOL})
    began = watch.now
    (sweep,) = watch.run(2_000)
    assert sweep.scopes == {SYMBOL}
    assert 250 <= (watch.now - began) // MS <= 350
    cleared = watch.guard.swept(0, 0, watch.now + 5 * MS)
    assert (cleared.canceled, cleared.silent, cleared.late) == (0, False, False)
    assert watch.guard.missing == ""  # what holds it is its own brake
    for _ in range(2):
        assert len(watch.run(5_000)) == 1
        assert watch.guard.swept(0, 0, watch.now) is None
    assert watch.run(60_000) == []  # it may be held for hours
    watch.held = frozenset()
    watch.run(100)
    watch.held = frozenset({VENUE})
    (again,) = watch.run(2_000)
    assert again.scopes == {VENUE}


@pytest.mark.req("P-VEN-9")
def test_what_took_too_long_and_what_could_not_be_seen_is_said(watch):
    watch.held = frozenset({VENUE})
    watch.run(2_000)
    watch.guard.failed(watch.now)
    assert len(watch.run(200)) == 1
    cleared = watch.guard.swept(1, 1, watch.now + 400 * MS)
    assert cleared.late
    assert watch.guard.late == 1


def test_what_was_being_swept_when_a_heart_was_missed_is_not_taken_for_the_whole(watch):
    watch.held = frozenset({SYMBOL})
    watch.beating.discard("desk")
    watch.run(800)
    assert watch.guard.trip.scopes == {SYMBOL}
    assert watch.run(1_500) == []  # the sweep of the market is still on its way
    assert watch.guard.trip.silent
    assert watch.guard.swept(0, 0, watch.now) is None
    (whole,) = watch.run(100)
    assert whole.scopes == {VENUE}


@pytest.mark.parametrize("held", [True, False])
def test_what_never_began_is_not_missed_and_what_was_held_before_is_not_entered(held):
    watch = Watch()
    watch.beats = {"venue-okx": 0, "desk": 0}
    watch.beating = set()
    watch.permit = 0
    watch.held = frozenset({VENUE}) if held else frozenset()
    assert watch.run(5_000) == []
    assert watch.guard.trips == 0


def test_a_guard_that_could_not_listen_blames_nobody_for_that_time(watch):
    watch.beating.clear()
    assert watch.run(900) == []
    assert watch.run(5_000, step=5_000) == []  # it was stopped itself
    watch.beating |= {"venue-okx", "desk", "permit"}
    assert watch.run(1_000) == []
    assert watch.guard.trips == 0
