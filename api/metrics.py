"""All cells' metrics in one Prometheus scrape, labelled by cell, within a bounded number of series.

Owns its registry and the cardinality cap (P-OBS-3). What the desk measures, the desk publishes; this only renders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from api.projection import Entry, Projection, decimal_of
from trading.operators import Topic

SERIES_MAX = 4_000
SERIES_PER_NAME_MAX = 200
LABELS_MAX = 8
LABEL_VALUE_MAX = 120

_NAME = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]{0,119}$")
_RESERVED = ("ops_", "metrics_cardinality_", "latency_stage_", "order_stage_", "traces_")
_QUANTILES = (("0.5", "p50_us"), ("0.95", "p95_us"), ("0.99", "p99_us"), ("0.999", "p999_us"))
_LABEL = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]{0,59}$")


class OpsCounters:
    """What the ops process counts of itself; plain integers, rendered at scrape."""

    def __init__(self) -> None:
        self.http_requests: dict[tuple[str, int], int] = {}
        self.stream_clients = 0
        self.stream_frames = 0
        self.stream_slow_closed = 0
        self.commands: dict[str, int] = {}
        self.telegram_ignored = 0
        self.telegram_sent = 0
        self.telegram_dropped = 0

    def count_request(self, route: str, status: int) -> None:
        """Count one HTTP answer by route (never by raw path: that would be anybody's label)."""
        key = (route, status)
        self.http_requests[key] = self.http_requests.get(key, 0) + 1


class CellMetrics(Collector):
    """Renders METRICS and LATENCY facts. Series beyond the caps are dropped and counted, never rendered in part."""

    def __init__(self, projection: Projection, counters: OpsCounters) -> None:
        self._projection = projection
        self._counters = counters

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family per name across all cells."""
        families: dict[str, Metric] = {}
        rendered = dropped = 0
        seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        for cell in self._projection.facts(Topic.METRICS):
            for row in _rows(cell):
                series = _series(row, cell.key)
                family = series and _family(families, series[0], series[1])
                if not series or not family or rendered >= SERIES_MAX or len(family.samples) >= SERIES_PER_NAME_MAX:
                    dropped += 1
                    continue
                name, kind, labels, value = series
                identity = (name, tuple(sorted(labels.items())))
                if identity in seen:
                    dropped += 1
                    continue
                seen.add(identity)
                family.add_sample(f"{family.name}_total" if kind == "counter" else family.name, labels, value)
                rendered += 1
        yield from (family for family in families.values() if family.samples)
        yield _gauge("metrics_cardinality_series", "Series of the cells rendered in this scrape", rendered)
        yield _gauge("metrics_cardinality_dropped", "Series refused in this scrape: over a cap or malformed", dropped)
        yield from latency_families(self._projection)
        yield from self._own()

    def _own(self) -> Iterator[Metric]:
        projection, counters = self._projection, self._counters
        uptime_s = (projection.clock.mono_ns() - projection.started_mono_ns) / 1e9
        yield _gauge("ops_uptime_seconds", "Seconds since the projection was created", uptime_s)
        yield _gauge("ops_stream_clients", "Open WebSocket and SSE streams", counters.stream_clients)
        kept = GaugeMetricFamily("ops_facts_kept", "Facts in the projection", labels=["topic"])
        for topic in Topic:
            kept.add_metric([topic.value], projection.size(topic))
        yield kept
        totals = {
            "ops_facts_applied": ("Facts applied to the projection", projection.seq),
            "ops_facts_refused": ("Facts refused: too many keys in a topic", projection.refused),
            "ops_facts_evicted": ("Facts that fell out of a ring", projection.evicted),
            "ops_stream_frames": ("Frames sent to streams", counters.stream_frames),
            "ops_stream_slow_closed": ("Streams closed because the reader stood still", counters.stream_slow_closed),
            "ops_telegram_ignored": ("Telegram messages from chats not on the allow-list", counters.telegram_ignored),
            "ops_telegram_sent": ("Telegram messages delivered", counters.telegram_sent),
            "ops_telegram_dropped": ("Telegram messages dropped: outbox full or refused", counters.telegram_dropped),
        }
        for name, (words, value) in totals.items():
            yield CounterMetricFamily(name, words, value=value)
        requests = CounterMetricFamily("ops_http_requests", "HTTP answers", labels=["route", "status"])
        for (route, status), count in sorted(counters.http_requests.items()):
            requests.add_metric([route, str(status)], count)
        yield requests
        commands = CounterMetricFamily("ops_commands", "Commands by what became of them", labels=["fate"])
        for fate, count in sorted(counters.commands.items()):
            commands.add_metric([fate], count)
        yield commands


class LatencyMetrics(Collector):
    """Latency aggregates alone, for `/metrics/latency`."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Latency by path, stage and quantile."""
        return latency_families(self._projection)


def latency_families(projection: Projection) -> Iterator[Metric]:
    """Stage latencies in microseconds, by path, stage and quantile; and how many samples they summarise."""
    micros = GaugeMetricFamily("latency_stage_us", "Stage latency", labels=["path", "stage", "quantile"])
    counts = GaugeMetricFamily("latency_stage_samples", "Samples behind the latency", labels=["path", "stage"])
    for entry in projection.facts(Topic.LATENCY):
        stages = entry.body.get("stages")
        for stage, row in list(stages.items())[:32] if isinstance(stages, dict) else ():
            for quantile, key in _QUANTILES:
                value = decimal_of(row.get(key)) if isinstance(row, dict) else None
                if value is not None:
                    micros.add_metric([entry.key, str(stage), quantile], float(value))
            count = decimal_of(row.get("n")) if isinstance(row, dict) else None
            if count is not None:
                counts.add_metric([entry.key, str(stage)], float(count))
    yield micros
    yield counts


class Exposition:
    """The two Prometheus pages of one server, each from a registry of its own."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, projection: Projection, counters: OpsCounters, *more: Collector) -> None:
        self._all = CollectorRegistry(auto_describe=False)
        self._all.register(CellMetrics(projection, counters))
        for collector in more:
            self._all.register(collector)
        ProcessCollector(namespace="ops", registry=self._all)
        self._latency = CollectorRegistry(auto_describe=False)
        self._latency.register(LatencyMetrics(projection))

    def everything(self) -> bytes:
        """The page of `/metrics`."""
        return generate_latest(self._all)

    def latency(self) -> bytes:
        """The page of `/metrics/latency`."""
        return generate_latest(self._latency)


def _rows(cell: Entry) -> Iterator[object]:
    rows = cell.body.get("series")
    if isinstance(rows, list | tuple):
        yield from rows


def _series(row: object, cell: str) -> tuple[str, str, dict[str, str], float] | None:
    if not isinstance(row, list | tuple) or len(row) != 4:
        return None
    name, kind, labels, raw = row
    value = decimal_of(raw)
    if not isinstance(name, str) or not _NAME.match(name) or kind not in {"counter", "gauge"} or value is None:
        return None
    if name.startswith(_RESERVED):
        return None
    if not isinstance(labels, dict) or len(labels) > LABELS_MAX:
        return None
    if not all(isinstance(label, str) and _LABEL.match(label) for label in labels):
        return None
    clean = {str(label): str(text)[:LABEL_VALUE_MAX] for label, text in labels.items() if label != "cell"}
    return name, kind, {**clean, "cell": cell}, float(value)


def _family(families: dict[str, Metric], name: str, kind: str) -> Metric | None:
    """The family of a name; None when another cell publishes the same name as another kind."""
    base = name.removesuffix("_total") if kind == "counter" else name
    family = families.get(base)
    if family is None:
        words = f"{base.replace('_', ' ')}, as published by the cells"
        family = CounterMetricFamily(base, words) if kind == "counter" else GaugeMetricFamily(base, words)
        families[base] = family
    return family if family.type == kind else None


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)
