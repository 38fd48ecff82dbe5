"""Latency of orders by stage as a Prometheus histogram, and how following and exporting fare. Owns its bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from api.traces_desk import TraceDesk

BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class TraceMetrics(Collector):
    """Rendered at scrape from the book of traces."""

    def __init__(self, desk: TraceDesk) -> None:
        self._desk = desk

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Histograms by venue and stage; counters of what was read and sent."""
        desk = self._desk
        yield stage_family(desk)
        sizes = desk.book.sizes()
        yield GaugeMetricFamily("traces_open", "Orders whose trace is not complete", value=sizes["open"])
        yield GaugeMetricFamily("traces_rows_behind", "Journal rows not read yet", value=desk.behind)
        yield CounterMetricFamily("traces_rows", "Journal rows read", value=desk.book.rows)
        yield CounterMetricFamily(
            "traces_evicted", "Traces forgotten before they were complete", value=desk.book.evicted
        )
        exporter = desk.exporter
        if exporter is not None:
            counts = exporter.counts
            fates = CounterMetricFamily("traces_finished", "Finished traces by what became of them", labels=["fate"])
            for fate, count in (
                ("exported", counts.exported),
                ("skipped", counts.skipped),
                ("dropped", counts.dropped),
                ("failed", counts.failed),
            ):
                fates.add_metric([fate], count)
            yield fates


def stage_family(desk: TraceDesk) -> Metric:
    """Durations by venue and stage, in seconds."""
    family = HistogramMetricFamily(
        "order_stage_seconds", "Latency of orders by stage, from the journal", labels=["venue", "stage"]
    )
    for venue, stages in desk.book.stages().items():
        for stage, histogram in stages.items():
            buckets = [(repr(bound), float(histogram.up_to(int(bound * 1e9)))) for bound in BOUNDS_S]
            buckets.append(("+Inf", float(histogram.count)))
            family.add_metric([venue, stage], buckets, sum_value=histogram.total_ns / 1e9)
    return family
