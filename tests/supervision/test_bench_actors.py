"""The bench of actors measures three systems in one run and leaves nothing behind."""

from __future__ import annotations

import pytest

from supervision import bench_actors
from supervision.bench_goals import judge


@pytest.mark.process
def test_the_loop_base_is_faster_than_both_peers_by_the_stated_factors():
    found = bench_actors.run(quick=True)
    assert [outcome.met for outcome in judge("actors", found)] == [True, True]
    assert found["loop_round_trip_us"] < found["multiproc_round_trip_us"]
