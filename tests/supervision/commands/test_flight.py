"""What was found for the first start of a desk is found for the next ones; times and free ports are new."""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from adapters.clock import SystemClock
from adapters.config import load_config
from adapters.wirelog import SessionFacts
from supervision.commands.run import _again, _kept
from supervision.desk_plan import root_plan
from supervision.plan import Flight

PORTS = {"binance": 1, "binanceusdm": 2}


@pytest.mark.parametrize("any_ports", [True, False])
def test_the_next_start_has_the_same_desk_another_time_and_ports_that_nobody_chose(tmp_path, any_ports):
    config = load_config(None, "paper", {}, {"data_dir": str(tmp_path)})
    plan = root_plan(config, anchor_ns=7, facts=SessionFacts(), sim_ports=PORTS)
    flight = Flight(
        plan=plan, url="http://127.0.0.1:1", profile="paper", market="m", http_port=1, admin_port=2, any_ports=any_ports
    )
    kept = _kept(flight)
    before_ns = SystemClock.wall_ns()
    for _ in range(2):
        again = _again(os.dup(kept))
        assert before_ns <= again.plan.anchor_ns <= SystemClock.wall_ns()
        assert (again.plan.sim_ports == PORTS) is not any_ports
        assert again.plan.sim_ports.keys() == PORTS.keys()
        assert len(set(again.plan.sim_ports.values())) == len(PORTS)
        assert replace(again, plan=replace(again.plan, anchor_ns=7, sim_ports=PORTS)) == flight
    os.close(kept)
