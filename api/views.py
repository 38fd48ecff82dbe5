"""What GETs answer: tables made of the projection's facts. Pure reading; asks nobody.

The shapes are documented, and checked in tests, by schemas.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from api.projection import Entry, Projection, decimal_of
from api.readiness import assess, book_age_ms, is_synthetic, level_rank, permit_of
from trading.operators import Topic
from trading.telemetry.ids import trace_id_of

ORDERS_SHOWN = 300
FILLS_SHOWN = 200
EVENTS_SHOWN = 200

Table = dict[str, object]


def control_state(projection: Projection) -> Table:
    """Mode, permit, brakes and whether any of it can be believed; the small fact sent in every stream frame."""
    entry = projection.get(Topic.BRAKES, "all")
    body = entry.body if entry else {}
    permit = permit_of(projection)
    mode = str(body.get("global_mode", "unknown")).lower()
    readiness = assess(projection)
    return {
        "ts_ns": projection.clock.wall_ns(),
        "global_mode": mode,
        # What stands at the wire: without a permit nothing leaves, whatever the mode says.
        "trading": bool(permit["valid"]) and level_rank(mode) < level_rank("hold"),
        "modes": body.get("modes", {}),
        "brakes": body.get("brakes", []),
        "permit": permit,
        "synthetic": is_synthetic(projection),
        "sources": {fact.key: fact.body.get("source", "unknown") for fact in projection.facts(Topic.VENUE)},
        "orders": {fact.key: fact.body.get("orders", {}) for fact in projection.facts(Topic.VENUE)},
        "readiness": {
            "status": readiness.status,
            "reasons": [
                {
                    "code": reason.code,
                    "detail": reason.detail,
                    "fatal": reason.fatal,
                    "advice_ru": reason.advice_ru,
                    "advice_en": reason.advice_en,
                }
                for reason in readiness.reasons[:20]
            ],
        },
        "uptime_s": (projection.clock.mono_ns() - projection.started_mono_ns) // 1_000_000_000,
    }


def execution(projection: Projection) -> Table:
    """The newest orders and fills, and latency by stage."""
    return {
        "orders": [
            {**body, "trace_id": trace_id_of(str(body["key"]))}
            for body in _bodies(projection.newest(Topic.ORDER, ORDERS_SHOWN))
        ],
        "fills": _bodies(projection.newest(Topic.FILL, FILLS_SHOWN)),
        "latency": {entry.key: entry.body for entry in projection.facts(Topic.LATENCY)},
        "orders_kept": projection.size(Topic.ORDER),
        "fills_kept": projection.size(Topic.FILL),
        "ts_ns": projection.clock.wall_ns(),
    }


def pnl(projection: Projection) -> Table:
    """The desk's PnL with the history of this process's session, oldest first."""
    entry = projection.get(Topic.PNL, "desk")
    return {
        "pnl": entry.body if entry else None,
        "history": [
            {
                "ts_ns": point.ts_ns,
                "total_usd": point.total_usd,
                "realized_usd": point.realized_usd,
                "unrealized_usd": point.unrealized_usd,
                "by_strategy": point.by_strategy,
            }
            for point in projection.pnl_history
        ],
        "ts_ns": projection.clock.wall_ns(),
    }


def exposure(projection: Projection) -> Table:
    """Net (signed) and gross USD per venue and per symbol; the sign is the position's quantity's."""
    venues: dict[str, list[Decimal]] = {}
    symbols: dict[str, list[Decimal]] = {}
    everything: list[Decimal] = []
    for entry in projection.facts(Topic.POSITION):
        qty = decimal_of(entry.body.get("qty")) or Decimal(0)
        notional = abs(decimal_of(entry.body.get("notional_usd")) or Decimal(0)).copy_sign(qty)
        if qty == 0 or notional == 0:
            continue
        parts = entry.key.split(":")
        venues.setdefault(str(entry.body.get("venue", parts[0])), []).append(notional)
        symbols.setdefault(parts[2] if len(parts) > 2 else entry.key, []).append(notional)
        everything.append(notional)
    return {
        "total": _net_gross(everything),
        "by_venue": {name: _net_gross(parts) for name, parts in sorted(venues.items())},
        "by_symbol": {name: _net_gross(parts) for name, parts in sorted(symbols.items())},
        "positions": _bodies(projection.facts(Topic.POSITION)),
        "ts_ns": projection.clock.wall_ns(),
    }


def books(projection: Projection) -> Table:
    """Every book with its age now, and the venues they come from."""
    return {
        "books": {
            entry.key: {**entry.body, "age_ms": book_age_ms(projection, entry)}
            for entry in projection.facts(Topic.BOOK)
        },
        "venues": {entry.key: entry.body for entry in projection.facts(Topic.VENUE)},
        "synthetic": is_synthetic(projection),
        "ts_ns": projection.clock.wall_ns(),
    }


def tree(projection: Projection) -> Table:
    """The supervision trees of all cells, with the time since each was heard of."""
    return {
        "cells": {
            entry.key: {**entry.body, "seen_age_ms": projection.age_ms(entry)} for entry in projection.facts(Topic.TREE)
        },
        "ts_ns": projection.clock.wall_ns(),
    }


def events(projection: Projection) -> Table:
    """What operators should read, newest first."""
    return {"events": _bodies(projection.newest(Topic.EVENT, EVENTS_SHOWN)), "ts_ns": projection.clock.wall_ns()}


def strategies(projection: Projection) -> Table:
    """Each strategy's own view."""
    return {
        "strategies": {entry.key: entry.body for entry in projection.facts(Topic.STRATEGY)},
        "ts_ns": projection.clock.wall_ns(),
    }


def order_story(projection: Projection, cl_ord_id: str) -> Table | None:
    """What the projection itself knows of an order: its newest state and its fills; None when it knows nothing."""
    order = projection.get(Topic.ORDER, cl_ord_id)
    fills = [entry.body for entry in projection.facts(Topic.FILL) if entry.body.get("cl_ord_id") == cl_ord_id]
    if order is None and not fills:
        return None
    return {"order": order.body if order else None, "fills": fills}


def _bodies(entries: Iterable[Entry]) -> list[Table]:
    return [{"key": entry.key, "ts_ns": entry.ts_ns, **entry.body} for entry in entries]


def _net_gross(parts: list[Decimal]) -> Table:
    net = sum(parts, Decimal(0))
    gross = sum((abs(part) for part in parts), Decimal(0))
    return {"net_usd": format(net, "f"), "gross_usd": format(gross, "f")}
