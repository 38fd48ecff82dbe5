"""Traces to a collector over OTLP/HTTP (protobuf), by OpenTelemetry's own SDK.

The only module that imports the SDK, and itself imported only where an address is configured: the SDK costs some
fifteen megabytes. Blocks: it is for the exporter's thread.
"""

from __future__ import annotations

import logging

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from adapters.telemetry.otlp_json import SCOPE, Resource
from trading.telemetry.ids import trace_id_of
from trading.telemetry.order_trace import Span

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope(SCOPE)


class CollectorRefused(OSError):  # noqa: N818 - named for what happened
    """The collector did not take the spans, however often they were offered."""


class OtlpHttp:
    """One collector, by its base address (`http://127.0.0.1:4318`)."""

    def __init__(self, address: str, resource: Resource, timeout_s: float) -> None:
        self._address = address
        self._resource = SdkResource(dict(resource))
        # The SDK logs each failure with its trace; they are counted and said once by whoever exports.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").setLevel(logging.CRITICAL)
        endpoint = f"{address.rstrip('/')}/v1/traces"
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)

    def export(self, traces: list[tuple[str, tuple[Span, ...]]]) -> None:
        """Send them; `CollectorRefused` when they did not arrive within the time."""
        spans = [self._readable(trace_id_of(cl_ord_id), span) for cl_ord_id, trace in traces for span in trace]
        if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise CollectorRefused(f"{self._address} did not take {len(spans)} spans")

    def close(self) -> None:
        """Give up what is on its way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, trace_id: str, span: Span) -> ReadableSpan:
        parent = _context(trace_id, span.parent_id) if span.parent_id else None
        return ReadableSpan(
            name=span.name,
            context=_context(trace_id, span.span_id),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.INTERNAL,
            instrumentation_scope=_SCOPE,
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=span.start_ns,
            end_time=span.end_ns,
        )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
