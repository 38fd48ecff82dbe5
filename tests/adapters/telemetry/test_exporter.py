"""Traces on their way out: to a real collector on loopback, to files, and to nobody at all."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from adapters.telemetry.exporter import QUEUE_TRACES_MAX, TraceExport, TraceExporter, read_cursor
from adapters.telemetry.otlp_json import resource_of
from tests.waiting import free_port, until
from trading.telemetry.ids import trace_id_of

RESOURCE = resource_of("7.1", "paper")


@pytest.fixture
async def collector():
    """An OTLP/HTTP collector: its address and the requests that it took."""
    taken: list[ExportTraceServiceRequest] = []

    async def traces(request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        taken.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(body=b"", content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", traces)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", taken
    await runner.cleanup()


def exporter_of(**fields) -> TraceExporter:
    exporter = TraceExporter(TraceExport(**fields), RESOURCE)
    exporter.start()
    return exporter


def spans_of(taken):
    return [
        span for request in taken for r in request.resource_spans for scope in r.scope_spans for span in scope.spans
    ]


@pytest.mark.req("P-OBS-1")
async def test_a_collector_gets_every_span_under_the_orders_trace(collector, traces):
    address, taken = collector
    exporter = exporter_of(otlp=address)
    for trace in traces:
        exporter.offer(trace)
    await until(lambda: exporter.counts.exported == len(traces), "the export")
    await asyncio.to_thread(exporter.close)
    spans = spans_of(taken)
    assert len(spans) == exporter.counts.spans == sum(len(trace.spans()) for trace in traces)
    attributes = {a.key: a.value.string_value for a in taken[0].resource_spans[0].resource.attributes}
    assert (attributes["service.name"], attributes["service.version"]) == ("propdesk", "7.1")
    for trace in traces:
        mine = [span for span in spans if span.trace_id.hex() == trace_id_of(trace.cl_ord_id)]
        root, *steps = mine
        assert (root.name, root.parent_span_id) == ("order", b"")
        assert {step.parent_span_id for step in steps} == {root.span_id}
        told = {a.key: a.value.int_value for a in root.attributes}
        assert told["journal_id"] == trace.place.seq
        assert told["outbox_id"] == trace.place.outbox_id
        assert [(s.name, s.start_time_unix_nano, s.end_time_unix_nano) for s in mine] == [
            (s.name, s.start_ns, s.end_ns) for s in trace.spans()
        ]


async def test_a_collector_that_is_away_costs_traces_and_nothing_else(traces, tmp_path):
    cursor = tmp_path / "traces.cursor"
    exporter = exporter_of(otlp=f"http://127.0.0.1:{free_port()}", cursor=str(cursor), timeout_s=0.2)
    for trace in traces:
        exporter.offer(trace)
    await until(lambda: exporter.counts.failed == len(traces), "the failure")
    await asyncio.to_thread(exporter.close)  # why, and how far it is, is noted after what failed is counted
    assert "did not take" in exporter.counts.trouble
    assert read_cursor(str(cursor)) == max(trace.end.seq for trace in traces)


async def test_after_a_restart_the_export_goes_on_where_it_was(traces, tmp_path):
    cursor, file = str(tmp_path / "traces.cursor"), tmp_path / "traces.jsonl"
    half = len(traces) // 2
    first = exporter_of(file=str(file), cursor=cursor)
    for trace in traces[:half]:
        first.offer(trace)
    await asyncio.to_thread(first.close)
    second = exporter_of(file=str(file), cursor=cursor)
    for trace in traces:
        second.offer(trace)
    await asyncio.to_thread(second.close)
    assert second.counts.exported == len(traces) - half
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    roots = [
        span["traceId"]
        for line in lines
        for span in line["resourceSpans"][0]["scopeSpans"][0]["spans"]
        if "parentSpanId" not in span
    ]
    assert roots == [trace.trace_id for trace in traces]


async def test_files_rotate_within_their_bound(traces, tmp_path):
    file = tmp_path / "traces" / "orders.jsonl"
    exporter = exporter_of(file=str(file), file_bytes_max=20_000, files_max=3)
    for trace in traces:
        for _ in range(20):
            exporter.offer(trace)
        await until(exporter._queue.empty, "the queue")
    await asyncio.to_thread(exporter.close)
    files = sorted(file.parent.iterdir())
    assert [one.name for one in files] == ["orders.jsonl", "orders.jsonl.1", "orders.jsonl.2"]
    for one in files:
        for line in one.read_text().splitlines():
            assert json.loads(line)["resourceSpans"]


async def test_a_share_is_exported_and_trouble_always(traces, tmp_path):
    traces[0].status = "rejected"
    exporter = exporter_of(file=str(tmp_path / "traces.jsonl"), share=0.0)
    for trace in traces:
        exporter.offer(trace)
    exporter.offer(traces[1], kept=True)
    await asyncio.to_thread(exporter.close)
    assert (exporter.counts.exported, exporter.counts.skipped) == (2, len(traces) - 1)


def test_a_full_queue_drops_and_counts(traces):
    exporter = TraceExporter(TraceExport(file="unused"), RESOURCE)
    for _ in range(QUEUE_TRACES_MAX + 3):
        exporter.offer(traces[0])
    assert exporter.counts.dropped == 3


async def test_a_disk_that_refuses_is_counted(traces, tmp_path):
    (tmp_path / "file").write_text("in the way")
    exporter = exporter_of(file=str(tmp_path / "file" / "traces.jsonl"))
    exporter.offer(traces[0])
    await asyncio.to_thread(exporter.close)
    assert exporter.counts.failed == 1
    assert exporter.counts.trouble.startswith("file: ")


def test_errors_are_marked_as_such(traces):
    from adapters.telemetry.otlp_http import OtlpHttp  # noqa: PLC0415 - only where it is used

    traces[0].status = "rejected"
    sink = OtlpHttp("http://127.0.0.1:9", RESOURCE, 1.0)
    spans = [sink._readable(traces[0].trace_id, span) for span in traces[0].spans()]
    sink.close()
    codes = {span.name: span.status.status_code.value for span in spans}
    assert (codes["order"], codes["route"]) == (Status.STATUS_CODE_ERROR, Status.STATUS_CODE_UNSET)
