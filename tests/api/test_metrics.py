"""One scrape for all cells, in a bounded space of labels."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.http import HttpServer
from api.metrics import SERIES_MAX, SERIES_PER_NAME_MAX, Exposition, OpsCounters
from api.projection import Projection
from trading.operators import Topic


def scrape(projection: Projection) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    page = Exposition(projection, OpsCounters()).everything().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


@pytest.mark.req("P-API-28")
def test_all_cells_are_in_one_scrape_labelled_by_cell(projection: Projection, publish: Any) -> None:
    for cell, sent in (("desk", 5), ("venue-a", 7)):
        series = [
            ["orders_sent_total", "counter", {"venue": "A"}, sent],
            ["orders_sent_total", "counter", {"venue": "B"}, 1],
            ["mailbox_depth", "gauge", {}, 2.5],
            ["frames", "counter", {}, "9"],
        ]
        publish(projection, Topic.METRICS, cell, {"series": series})
    found = scrape(projection)
    assert found[key("orders_sent_total", venue="A", cell="desk")] == 5
    assert found[key("orders_sent_total", venue="A", cell="venue-a")] == 7
    assert found[key("mailbox_depth", cell="desk")] == 2.5
    assert found[key("frames_total", cell="desk")] == 9
    assert found[key("metrics_cardinality_series")] == 8
    assert found[key("metrics_cardinality_dropped")] == 0


@pytest.mark.req("P-OBS-3")
def test_labels_beyond_the_cap_are_dropped_and_counted(projection: Projection, publish: Any) -> None:
    many = [["fills_total", "counter", {"order": str(number)}, 1] for number in range(SERIES_PER_NAME_MAX + 50)]
    publish(projection, Topic.METRICS, "desk", {"series": many})
    found = scrape(projection)
    assert found[key("metrics_cardinality_series")] == SERIES_PER_NAME_MAX
    assert found[key("metrics_cardinality_dropped")] == 50


@pytest.mark.req("P-OBS-3")
def test_names_beyond_the_cap_are_dropped_and_counted(projection: Projection, publish: Any) -> None:
    many = [[f"metric_{number}", "gauge", {}, 1] for number in range(SERIES_MAX + 10)]
    publish(projection, Topic.METRICS, "desk", {"series": many})
    assert scrape(projection)[key("metrics_cardinality_dropped")] == 10


@pytest.mark.parametrize(
    "row",
    [
        ["bad name", "gauge", {}, 1],
        ["x", "histogram", {}, 1],
        ["x", "gauge", {"le le": "1"}, 1],
        ["x", "gauge", {}, "NaN"],
        ["x", "gauge", {}],
        ["ops_uptime_seconds", "gauge", {}, 1],
        ["x", "gauge", {f"label_{n}": "v" for n in range(9)}, 1],
        "x",
    ],
)
def test_a_malformed_series_costs_only_itself(projection: Projection, publish: Any, row: object) -> None:
    publish(projection, Topic.METRICS, "desk", {"series": [row, ["good", "gauge", {}, 1]]})
    found = scrape(projection)
    assert found[key("good", cell="desk")] == 1
    assert found[key("metrics_cardinality_dropped")] == 1


def test_one_name_of_two_kinds_and_a_repeated_series_do_not_break_the_page(
    projection: Projection, publish: Any
) -> None:
    publish(projection, Topic.METRICS, "a", {"series": [["x", "gauge", {}, 1], ["x", "gauge", {}, 2]]})
    publish(projection, Topic.METRICS, "b", {"series": [["x", "counter", {}, 3]]})
    found = scrape(projection)
    assert found[key("x", cell="a")] == 1
    assert found[key("metrics_cardinality_dropped")] == 2


@pytest.mark.req("P-API-28")
async def test_the_pages_of_the_server_parse(server: HttpServer, projection: Projection, feed: Any) -> None:
    feed(projection, steps=3)
    async with aiohttp.ClientSession() as client:
        for path in ("metrics", "metrics", "metrics/latency"):
            async with client.get(server.url + path) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                names = {family.name for family in text_string_to_metric_families(await answer.text())}
            assert "latency_stage_us" in names
            assert ("ops_http_requests" in names) is (path == "metrics")
            assert ("ops_process_resident_memory_bytes" in names) is (path == "metrics")
