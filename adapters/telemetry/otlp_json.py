"""Spans as OTLP/JSON: one line is one ``TracesData`` (OTLP 1.7, opentelemetry.io/docs/specs/otlp, read 2026-11).

Pure. Ids are hex and times decimal strings, as the specification's JSON mapping asks.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trading.telemetry.ids import trace_id_of
from trading.telemetry.order_trace import Span, Value

SCOPE = "propdesk.orders"
_INTERNAL = 1
_ERROR = 2
Resource = tuple[tuple[str, str], ...]


def resource_of(version: str, profile: str) -> Resource:
    """What the spans come from, by OpenTelemetry's semantic conventions."""
    return (
        ("service.name", "propdesk"),
        ("service.version", version),
        ("deployment.environment.name", profile or "unnamed"),
    )


def encode_line(traces: Iterable[tuple[str, tuple[Span, ...]]], resource: Resource) -> bytes:
    """Spans of the orders (cl_ord_id, spans) as one line, without its end."""
    spans = [_span(trace_id_of(cl_ord_id), span) for cl_ord_id, trace in traces for span in trace]
    return msgspec.json.encode(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": [_attribute(key, value) for key, value in resource]},
                    "scopeSpans": [{"scope": {"name": SCOPE}, "spans": spans}],
                }
            ]
        }
    )


def _span(trace_id: str, span: Span) -> dict[str, object]:
    found: dict[str, object] = {
        "traceId": trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": [_attribute(key, value) for key, value in span.attributes.items()],
        "status": {"code": _ERROR, "message": span.error} if span.error else {},
    }
    if span.parent_id:
        found["parentSpanId"] = span.parent_id
    return found


def _attribute(key: str, value: Value) -> dict[str, object]:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    return {"key": key, "value": {"stringValue": value}}
