"""The ids of traces and spans: functions of the order's own id, so that a restart goes on with the same trace.

Sixteen bytes for a trace and eight for a span, in hex (W3C Trace Context, w3.org/TR/trace-context, read 2026-11).
"""

from __future__ import annotations

import hashlib

ROOT = "order"


def trace_id_of(cl_ord_id: str) -> str:
    """The trace of an order: the first half of the SHA-256 of its ClOrdID."""
    return hashlib.sha256(cl_ord_id.encode()).hexdigest()[:32]


def span_id_of(cl_ord_id: str, name: str = ROOT, seq: int = 0) -> str:
    """A span of it, by its name and the journal row that tells of it."""
    return hashlib.sha256(f"{cl_ord_id}\0{name}\0{seq}".encode()).hexdigest()[:16]


def sampled(trace_id: str, share: float) -> bool:
    """Whether a trace is among those ``share`` of all that are exported; the same everywhere and at all times."""
    return int(trace_id[16:], 16) < share * (1 << 64)
