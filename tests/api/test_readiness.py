"""Readiness is never green by default: each kind of trouble makes it say so, with advice."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.clock import VirtualClock
from api.i18n import ADVICE
from api.projection import Projection
from api.readiness import assess
from trading.operators import Published, Topic


def healthy(projection: Projection, publish: Any) -> None:
    publish(projection, Topic.BRAKES, "all", {
        "brakes": [], "modes": {}, "global_mode": "run",
        "permit": {"epoch": 3, "valid": True, "expires_in_ms": 400, "renewed_ns": 0},
    })  # fmt: skip
    publish(projection, Topic.BOOK, "A:SPOT:X-Y", {"state": "synced", "age_ms": 10, "skew_ms": 1, "synthetic": False})
    publish(projection, Topic.BOOK, "B:SPOT:X-Y", {"state": "synced", "age_ms": 10})
    publish(projection, Topic.VENUE, "A", {"state": "up", "connected": True, "source": "public"})
    publish(projection, Topic.TREE, "desk", {"cell": "desk", "state": "running", "heartbeat_age_ms": 5, "children": []})
    publish(projection, Topic.PNL, "desk", {"ledger_residual": "0.00"})


def codes(projection: Projection) -> list[str]:
    return [reason.code for reason in assess(projection).reasons]


@pytest.mark.req("P-GLO-2")
def test_an_empty_projection_is_not_ready(projection: Projection) -> None:
    judged = assess(projection)
    assert (judged.ok, judged.ready, judged.status) == (False, False, "fail")
    assert {"DESK_SILENT", "NO_BOOKS"} <= {reason.code for reason in judged.reasons}
    assert judged.advice_ru


@pytest.mark.req("P-GLO-2")
def test_a_healthy_desk_is_ready_without_reasons(projection: Projection, publish: Any) -> None:
    healthy(projection, publish)
    judged = assess(projection)
    assert (judged.ok, judged.status, judged.reasons) == (True, "ok", ())
    assert judged.leader
    assert judged.fencing_token == 3
    assert judged.data_quorum == {"synced": 2, "total": 2, "venues": {}, "ok": True}
    assert judged.metrics["book_freshness_ms_p95"] == 10


@pytest.mark.req("P-MD-4")
def test_a_venue_whose_views_are_mostly_gone_is_told_with_the_vote(projection: Projection, publish: Any) -> None:
    healthy(projection, publish)
    publish(projection, Topic.QUORUM, "okx", {"state": "thin", "fresh": 2, "needed": 2})
    assert assess(projection).data_quorum["ok"]
    publish(projection, Topic.QUORUM, "okx", {"state": "lost", "fresh": 1, "needed": 2})
    judged = assess(projection)
    assert [(r.code, r.fatal) for r in judged.reasons] == [("DATA_QUORUM", False)]
    assert judged.data_quorum["venues"] == {"okx": {"state": "lost", "fresh": 1, "needed": 2}}
    assert not judged.data_quorum["ok"]


@pytest.mark.parametrize(
    ("topic", "key", "body", "code", "status"),
    [
        (Topic.BRAKES, "all", {"global_mode": "run", "permit": {"valid": False}}, "PERMIT_EXPIRED", "fail"),
        (Topic.BRAKES, "all", {"global_mode": "hold", "permit": {"valid": True}}, "MODE", "fail"),
        (
            Topic.BRAKES,
            "all",
            {"brakes": [{"code": "operator", "scope": "global", "level": "hold"}], "permit": {"valid": True}},
            "BRAKE_OPERATOR",
            "fail",
        ),
        (
            Topic.BRAKES,
            "all",
            {
                "global_mode": "run",
                "brakes": [{"code": "stale", "scope": "venue:A", "level": "hold"}],
                "permit": {"valid": True},
            },
            "BRAKE_STALE",
            "degraded",
        ),
        (Topic.BOOK, "A:SPOT:X-Y", {"state": "suspect"}, "BOOK_NOT_SYNCED", "degraded"),
        (Topic.BOOK, "A:SPOT:X-Y", {"state": "synced", "age_ms": 9_000}, "BOOK_STALE", "degraded"),
        (Topic.BOOK, "A:SPOT:X-Y", {"state": "synced", "age_ms": 1, "skew_ms": -4_000}, "CLOCK_SKEW", "degraded"),
        (Topic.VENUE, "A", {"state": "up", "connected": False}, "VENUE_DOWN", "fail"),
        (Topic.VENUE, "B", {"state": "halt", "connected": True}, "VENUE_DOWN", "degraded"),
        (Topic.TREE, "venue-a", {"state": "running", "heartbeat_age_ms": 60_000}, "CELL_SILENT", "degraded"),
        (Topic.TREE, "desk", {"state": "killed", "heartbeat_age_ms": 1}, "CELL_SILENT", "fail"),
        (
            Topic.TREE,
            "desk",
            {"state": "running", "children": [{"id": "s", "children": [{"id": "mm", "state": "backoff"}]}]},
            "ACTOR_DOWN",
            "degraded",
        ),
        (Topic.PNL, "desk", {"ledger_residual": {"USDT": "0.01"}}, "LEDGER_RESIDUAL", "fail"),
        (Topic.ORDER, "o-1", {"ord_status": "unknown"}, "ORDERS_UNKNOWN", "degraded"),
        (
            Topic.LATENCY,
            "tick_to_order",
            {"stages": {"total": {"p50_us": 1, "p99_us": 2_000_000}}},
            "ORDER_CYCLE_SLOW",
            "degraded",
        ),
    ],
)
@pytest.mark.req("P-API-2")
def test_each_trouble_is_named(
    projection: Projection, publish: Any, topic: Topic, key: str, body: dict[str, object], code: str, status: str
) -> None:
    healthy(projection, publish)
    publish(projection, topic, key, body)
    judged = assess(projection)
    assert code in [reason.code for reason in judged.reasons]
    assert judged.status == status
    assert judged.ok is judged.ready is (status != "fail")


@pytest.mark.req("P-API-2")
def test_a_desk_that_falls_silent_is_not_ready(projection: Projection, publish: Any, clock: VirtualClock) -> None:
    healthy(projection, publish)
    clock.advance_to_mono(clock.mono_ns() + 2_500_000_000)
    assert "DESK_SILENT" in codes(projection)
    assert not assess(projection).leader
    clock.advance_to_mono(clock.mono_ns() + 3_000_000_000)
    assert {"BOOK_STALE", "CELL_SILENT"} <= set(codes(projection))
    assert assess(projection).status == "fail"


@pytest.mark.req("P-API-2")
def test_facts_that_arrive_late_are_not_believed(projection: Projection, publish: Any) -> None:
    healthy(projection, publish)
    fresh = projection.get(Topic.BRAKES, "all")
    assert fresh is not None
    late_ns = projection.clock.wall_ns() - 10_000_000_000
    projection.apply(Published(topic=Topic.BRAKES, key="all", body=fresh.body, ts_ns=late_ns))
    assert codes(projection) == ["FEED_LATE"]


def test_every_advice_speaks_both_languages() -> None:
    for russian, english in ADVICE.values():
        assert russian
        assert english
        assert russian != english
