"""What ties a fact, an event or an alert to the trace of the order that it is about."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from trading.telemetry.ids import trace_id_of

WORDS_MAX: Final = 64
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{3,79}")


def trace_path(cl_ord_id: str) -> str:
    """Where the trace of an order is served."""
    return f"/api/ui/ops/trace/{cl_ord_id}"


def correlation(cl_ord_id: str) -> dict[str, object]:
    """The order, its trace's id and where the trace is."""
    return {"cl_ord_id": cl_ord_id, "correlation_id": trace_id_of(cl_ord_id), "trace": trace_path(cl_ord_id)}


def order_named(text: str, known: Callable[[str], bool]) -> str:
    """The first order of ours that the words name; "" when they name none."""
    for count, word in enumerate(_WORD.finditer(text)):
        if count >= WORDS_MAX:
            break
        name = word.group().rstrip(".:-")
        if known(name):
            return name
    return ""


def correlated(body: dict[str, object], known: Callable[[str], bool]) -> dict[str, object]:
    """The body with its correlation, where it is about one order: by its field, else by its words."""
    if "correlation_id" in body:
        return body
    stated = body.get("cl_ord_id")
    named = stated if isinstance(stated, str) and stated else order_named(str(body.get("text", "")), known)
    return {**body, **correlation(named)} if named else body


def jump(cl_ord_id: str, site: str) -> str:
    """A line for a notification: the trace's id and the way to it."""
    return f"trace {trace_id_of(cl_ord_id)} {site.rstrip('/')}{trace_path(cl_ord_id)}"
