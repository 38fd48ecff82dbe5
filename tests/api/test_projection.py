"""The ops cell's memory stays within its bounds and misses nothing that it should keep."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.clock import VirtualClock
from api.projection import Projection, ProjectionLimits, decimal_of, text_of
from trading.operators import Published, Topic


def test_the_newest_fact_of_a_key_replaces_the_older(projection: Projection, publish: Any) -> None:
    publish(projection, Topic.BOOK, "A:SPOT:X-Y", {"bid": 1})
    publish(projection, Topic.BOOK, "A:SPOT:X-Y", {"bid": 2})
    entry = projection.get(Topic.BOOK, "A:SPOT:X-Y")
    assert entry is not None
    assert entry.body == {"bid": 2}
    assert projection.size(Topic.BOOK) == 1


def test_a_ring_drops_its_oldest_and_counts_it(clock: VirtualClock, publish: Any) -> None:
    projection = Projection(clock, ProjectionLimits(fills=3))
    for number in range(5):
        publish(projection, Topic.FILL, str(number), {"n": number})
    assert [entry.key for entry in projection.newest(Topic.FILL, 10)] == ["4", "3", "2"]
    assert projection.evicted == 2


def test_a_live_order_outlasts_younger_finished_ones(clock: VirtualClock, publish: Any) -> None:
    projection = Projection(clock, ProjectionLimits(orders=3))
    publish(projection, Topic.ORDER, "live", {"ord_status": "unknown"})
    for number in range(6):
        publish(projection, Topic.ORDER, f"done-{number}", {"ord_status": "filled"})
    assert projection.get(Topic.ORDER, "live") is not None
    assert projection.size(Topic.ORDER) == 3


def test_a_topic_refuses_keys_beyond_its_bound(clock: VirtualClock, publish: Any) -> None:
    projection = Projection(clock, ProjectionLimits(keys_per_topic=2))
    for key in ("a", "b", "c", "a"):
        publish(projection, Topic.BOOK, key, {})
    assert projection.size(Topic.BOOK) == 2
    assert projection.refused == 1


def test_a_reader_sees_exactly_what_changed_after_its_cursor(projection: Projection, publish: Any) -> None:
    publish(projection, Topic.ORDER, "a", {"v": 1})
    publish(projection, Topic.ORDER, "b", {"v": 1})
    cursor = projection.seq
    publish(projection, Topic.ORDER, "a", {"v": 2})
    publish(projection, Topic.ORDER, "c", {"v": 1})
    assert [entry.key for entry in projection.changed_since(Topic.ORDER, cursor, 10)] == ["c", "a"]
    assert [entry.key for entry in projection.changed_since(Topic.ORDER, cursor, 1)] == ["c"]


def test_the_pnl_history_keeps_the_whole_session_in_bounded_points(clock: VirtualClock) -> None:
    projection = Projection(clock, ProjectionLimits(pnl_points=16))
    for second in range(500):
        clock.advance_to_wall(clock.wall_ns() + 1_000_000_000)
        body: dict[str, object] = {"total_usd": second, "by_strategy": {"s": {"total_usd": str(second)}}}
        projection.apply(Published(topic=Topic.PNL, key="desk", body=body, ts_ns=clock.wall_ns()))
    assert len(projection.pnl_history) < 16
    assert projection.pnl_history[0].total_usd == "0"
    assert int(projection.pnl_history[-1].total_usd) > 430
    assert projection.pnl_history[-1].by_strategy["s"] == projection.pnl_history[-1].total_usd


def test_samples_closer_than_the_step_are_not_kept(projection: Projection, publish: Any) -> None:
    for _ in range(10):
        publish(projection, Topic.PNL, "desk", {"total_usd": 1})
    assert len(projection.pnl_history) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.50", "1.50"), (2, "2"), (1e-7, "0.0000001"), ("NaN", "0"), (None, "0"), ("x", "0"), (True, "0")],
)
def test_numbers_of_any_dress_become_plain_decimals(value: object, text: str) -> None:
    assert text_of(value) == text


def test_what_is_no_number_is_none() -> None:
    assert decimal_of(float("inf")) is None
    assert decimal_of([1]) is None
