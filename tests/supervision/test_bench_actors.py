"""The bench of actors measures three systems in one run and leaves nothing behind."""

from __future__ import annotations

import pytest

from supervision import bench_actors


@pytest.mark.process
def test_the_loop_base_is_faster_than_both_peers_by_the_stated_factors():
    found = bench_actors.run(quick=True)
    assert found["goals_met"] == {"loop_vs_multiproc": True, "loop_vs_pykka_tell": True}
    assert found["loop_vs_multiproc"] >= bench_actors.GOAL_VS_MULTIPROC
    assert found["loop_round_trip_us"] < found["multiproc_round_trip_us"]
