"""Who looks on from outside the order path, and where."""

from __future__ import annotations

import pytest

from actors.drop_copy import DropCopy
from actors.kill_guard import KillGuardActor
from adapters.config import load_config
from adapters.wirelog import SessionFacts
from supervision.desk_plan import root_plan
from supervision.plan import CellPlan, paths_of, role_of
from supervision.supervisor import SupervisorSetup
from supervision.wiring import Wiring, plan_cell

VENUES = ("binance", "binanceusdm", "binancecoinm")


def plans(tmp_path, **overrides):
    config = load_config(None, overrides={"data_dir": str(tmp_path), **overrides})
    root = root_plan(config, anchor_ns=0, facts=SessionFacts(), sim_ports=dict.fromkeys(VENUES, 9))
    return config, {
        cell: CellPlan(
            cell=cell,
            roles=roles,
            placement=root.placement,
            paths=root.paths,
            config=root.config,
            anchor_ns=0,
            facts=root.facts,
            sim_ports=root.sim_ports,
            root_pid=1,
            heartbeat_ms=100,
            orphan_ms=1_000,
        )
        for cell, roles in root.placement.items()
    }


@pytest.mark.req("P-VEN-9", "P-VEN-10")
def test_each_venue_is_watched_from_the_operators_cell_where_orders_go_by_wire(tmp_path):
    config, cells = plans(tmp_path, execution={"orders": "wire"})
    tops = {cell: {name: setup for name, _, setup in plan_cell(plan)} for cell, plan in cells.items()}
    assert [cell for cell, found in tops.items() if "watch-top" in found] == ["ops"]
    watch = tops["ops"]["watch-top"]
    assert isinstance(watch, SupervisorSetup)
    assert set(watch.starts) == {f"{kind}.{venue}" for kind in ("drop_copy", "guard") for venue in VENUES}
    assert {child.scope for child in watch.spec.children} == {f"venue:{venue}" for venue in VENUES}
    # The governor, in another cell, reaches them and whoever starts them again by name.
    assert {role_of(name) for name in ("watch-top", *watch.starts)} == {"ops"}
    copy, guard = watch.starts["drop_copy.binance"], watch.starts["guard.binance"]
    assert (copy.actor_class, guard.actor_class) == (DropCopy, KillGuardActor)
    mirror, guarding = copy.setup().mirror, guard.setup()
    assert mirror.journal == paths_of(config.data_path).journal
    assert [one.venue for one in mirror.link.instruments] == ["binance"]
    assert guarding.cells == ("venue-binance", "desk")
    assert guarding.rules.limit_ns == config.guard.cancel_all_within_ms * 1_000_000


@pytest.mark.parametrize(
    "asked",
    [
        {"execution": {"orders": "simulated"}},
        {"execution": {"orders": "wire"}, "drop_copy": {"enabled": False}, "guard": {"enabled": False}},
    ],
)
def test_where_nothing_travels_or_nobody_asked_there_is_nobody_to_look_on(tmp_path, asked):
    config, cells = plans(tmp_path, **asked)
    wiring = Wiring(config, paths_of(config.data_path), sim_ports=dict.fromkeys(VENUES, 9))
    assert wiring.watch_tree("ops").starts == {}
    assert plan_cell(cells["ops"])
