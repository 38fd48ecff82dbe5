"""Whether the desk may be believed to be able to trade now, with reasons and advice; never green by default.

A pure function of the projection. Silence is a reason: what was not heard of lately is not ready.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from api.i18n import ADVICE, advice
from api.projection import Entry, Projection, decimal_of, int_of
from trading.operators import Topic

# A publisher speaks at least once a second; twice that is silence.
SILENT_MS = 2_000
CELL_SILENT_MS = 5_000
BOOK_STALE_MS = 3_000
SKEW_MS = 1_000
ORDER_CYCLE_MS = 500

_MODES = {"run": 0, "safe": 1, "pause": 2, "hold": 3, "kill": 4}
# A degraded venue is connected with unproved books, and those are reasons of their own.
_VENUE_UP = frozenset({"", "up", "ok", "run", "running", "live", "ready", "connected", "synced", "degraded"})
_ACTOR_UP = frozenset({"", "up", "ok", "run", "running", "ready", "stopped", "done", "finished"})


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that stands in the way. ``fatal`` makes the status ``fail``, else ``degraded``."""

    code: str
    detail: str
    fatal: bool
    advice_ru: str
    advice_en: str


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """The superset of every shape of `/live-readiness`; ``ok`` and ``ready`` are equal."""

    ok: bool
    ready: bool
    status: str
    reasons: tuple[Reason, ...]
    advice_ru: str
    advice_en: str
    metrics: dict[str, float]
    leader: bool
    fencing_token: int
    venue_halt: tuple[str, ...]
    data_quorum: dict[str, object]
    synthetic: bool
    ts_ns: int


def level_rank(level: object) -> int:
    """RUN 0 < SAFE < PAUSE < HOLD < KILL 4; a number is its own rank, an unknown word ranks as HOLD."""
    number = int_of(level)
    return number if number is not None else _MODES.get(str(level).lower(), 3)


def assess(projection: Projection) -> Readiness:
    """Judge the newest facts. Degraded is ready; any fatal reason is not."""
    books = list(projection.facts(Topic.BOOK))
    brakes = projection.get(Topic.BRAKES, "all")
    reasons = [
        *_permit_reasons(projection, brakes),
        *_brake_reasons(brakes),
        *_book_reasons(projection, books),
        *_venue_reasons(projection),
        *_quorum_reasons(projection),
        *_tree_reasons(projection),
        *_money_reasons(projection),
        *_latency_reasons(projection),
    ]
    status = "fail" if any(reason.fatal for reason in reasons) else "degraded" if reasons else "ok"
    halted = [entry.key for entry in projection.facts(Topic.VENUE) if _state(entry) in {"halt", "halted", "hold"}]
    ready = status != "fail"
    permit = permit_of(projection)
    return Readiness(
        ok=ready,
        ready=ready,
        status=status,
        reasons=tuple(sorted(reasons, key=lambda reason: not reason.fatal)),
        advice_ru="; ".join(dict.fromkeys(reason.advice_ru for reason in reasons)),
        advice_en="; ".join(dict.fromkeys(reason.advice_en for reason in reasons)),
        metrics=_metrics(projection, books),
        leader=bool(permit["valid"]),
        fencing_token=int_of(permit["epoch"]) or 0,
        venue_halt=tuple(sorted(halted)),
        data_quorum=_data_quorum(projection, books),
        synthetic=is_synthetic(projection),
        ts_ns=projection.clock.wall_ns(),
    )


def _data_quorum(projection: Projection, books: list[Entry]) -> dict[str, object]:
    """Proved books of all, and of every venue how many of its views are fresh and how many it takes."""
    synced = sum(_state(entry) == "synced" for entry in books)
    venues = {
        entry.key: {"state": _state(entry), "fresh": entry.body.get("fresh"), "needed": entry.body.get("needed")}
        for entry in projection.facts(Topic.QUORUM)
    }
    lost = any(venue["state"] == "lost" for venue in venues.values())
    return {
        "synced": synced,
        "total": len(books),
        "venues": venues,
        "ok": bool(books) and synced == len(books) and not lost,
    }


def _quorum_reasons(projection: Projection) -> Iterator[Reason]:
    for entry in projection.facts(Topic.QUORUM):
        if _state(entry) == "lost":
            text = f"{entry.key}: {entry.body.get('fresh')} views are fresh, {entry.body.get('needed')} are needed"
            yield _reason("DATA_QUORUM", text, fatal=False)


def permit_of(projection: Projection) -> dict[str, object]:
    """The permit as this process may vouch for it: silence of the desk is an invalid permit."""
    entry = projection.get(Topic.BRAKES, "all")
    permit = entry.body.get("permit") if entry else None
    if entry is None or not isinstance(permit, dict):
        return {"epoch": 0, "valid": False, "expires_in_ms": 0, "vouched_ms": 0, "feed_age_ms": None}
    age_ms = projection.age_ms(entry)
    return {
        "epoch": permit.get("epoch", 0),
        "valid": permit.get("valid") is True and age_ms <= SILENT_MS,
        "expires_in_ms": max(0, (int_of(permit.get("expires_in_ms")) or 0) - age_ms),
        # It is renewed far more often than it is published: for so long this process still believes in it.
        "vouched_ms": max(0, SILENT_MS - age_ms),
        "feed_age_ms": age_ms,
    }


def is_synthetic(projection: Projection) -> bool:
    """Whether any venue or book says that its data is not a market's."""
    facts = [*projection.facts(Topic.VENUE), *projection.facts(Topic.BOOK)]
    return any(bool(entry.body.get("synthetic")) or entry.body.get("source") == "generator" for entry in facts)


def tree_nodes(entry: Entry) -> Iterator[tuple[str, dict[str, object]]]:
    """Every actor of a cell as (path, node), parents first."""
    stack = [(entry.key, child) for child in _children(entry.body)]
    while stack:
        path, node = stack.pop(0)
        here = f"{path}/{node.get('id', '?')}"
        yield here, node
        stack.extend((here, child) for child in _children(node))


def _reason(code: str, detail: str, *, fatal: bool = True, words: str = "") -> Reason:
    key = words or code
    if key not in ADVICE:
        raise KeyError(f"readiness code without advice: {key}")
    return Reason(code=code, detail=detail, fatal=fatal, advice_ru=advice(key, "ru"), advice_en=advice(key, "en"))


def _permit_reasons(projection: Projection, brakes: Entry | None) -> Iterator[Reason]:
    if brakes is None:
        yield _reason("DESK_SILENT", "no brakes have been published yet")
        return
    age_ms = projection.age_ms(brakes)
    if age_ms > SILENT_MS:
        yield _reason("DESK_SILENT", f"no brakes for {age_ms} ms")
        return
    late_ms = (projection.clock.wall_ns() - brakes.ts_ns) // 1_000_000
    if late_ms > SILENT_MS:
        yield _reason("FEED_LATE", f"facts are {late_ms} ms old on arrival")
    if not permit_of(projection)["valid"]:
        yield _reason("PERMIT_EXPIRED", "no valid permit")


def _brake_reasons(brakes: Entry | None) -> Iterator[Reason]:
    if brakes is None:
        return
    listed = brakes.body.get("brakes")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list | tuple) else []
    for row in rows:
        level, scope = row.get("level", "hold"), str(row.get("scope", "global"))
        # A brake on one venue or symbol narrows the desk; only a global one stops it.
        fatal = level_rank(level) >= _MODES["pause"] and scope == "global"
        detail = f"{level} {scope}: {row.get('cause', '')}"
        yield _reason(f"BRAKE_{str(row.get('code', 'unnamed')).upper()}", detail, fatal=fatal, words="BRAKE")
    mode = brakes.body.get("global_mode", "unknown")
    if level_rank(mode) > 0 and not rows:
        yield _reason("MODE", f"global mode is {mode}", fatal=level_rank(mode) >= _MODES["pause"])


def _book_reasons(projection: Projection, books: list[Entry]) -> Iterator[Reason]:
    if not books:
        yield _reason("NO_BOOKS", "no book has been published")
    usable = 0
    found: list[tuple[str, str]] = []
    for entry in books:
        age_ms = book_age_ms(projection, entry)
        state = _state(entry)
        if state != "synced":
            found.append(("BOOK_NOT_SYNCED", f"{entry.key} {state}"))
        elif age_ms > BOOK_STALE_MS:
            found.append(("BOOK_STALE", f"{entry.key} {age_ms} ms"))
        else:
            usable += 1
        skew_ms = decimal_of(entry.body.get("skew_ms"))
        if skew_ms is not None and abs(skew_ms) > SKEW_MS:
            yield _reason("CLOCK_SKEW", f"{entry.key} {skew_ms} ms", fatal=False)
    for code, detail in found:
        # One book out of many narrows the desk; none left stops it.
        yield _reason(code, detail, fatal=usable == 0)


def _venue_reasons(projection: Projection) -> Iterator[Reason]:
    down = [
        entry
        for entry in projection.facts(Topic.VENUE)
        if entry.body.get("connected") is False or _state(entry) not in _VENUE_UP
    ]
    everything = len(down) == projection.size(Topic.VENUE)
    for entry in down:
        yield _reason("VENUE_DOWN", f"{entry.key} {_state(entry) or 'not connected'}", fatal=everything)


def _tree_reasons(projection: Projection) -> Iterator[Reason]:
    for entry in projection.facts(Topic.TREE):
        age_ms = (int_of(entry.body.get("heartbeat_age_ms")) or 0) + projection.age_ms(entry)
        if age_ms > CELL_SILENT_MS or _state(entry) not in _ACTOR_UP:
            fatal = entry.key in {"desk", "core"}
            yield _reason("CELL_SILENT", f"{entry.key} {_state(entry)} {age_ms} ms", fatal=fatal)
        for path, node in tree_nodes(entry):
            state = str(node.get("state", "")).lower()
            if state not in _ACTOR_UP:
                yield _reason("ACTOR_DOWN", f"{path} {state}", fatal=False)


def _money_reasons(projection: Projection) -> Iterator[Reason]:
    pnl = projection.get(Topic.PNL, "desk")
    residual = pnl.body.get("ledger_residual") if pnl else None
    amounts = residual.values() if isinstance(residual, dict) else [residual]
    if any((decimal_of(amount) or 0) != 0 for amount in amounts):
        yield _reason("LEDGER_RESIDUAL", f"residual {residual}")
    unknown = [entry.key for entry in projection.facts(Topic.ORDER) if entry.body.get("ord_status") == "unknown"]
    if unknown:
        yield _reason("ORDERS_UNKNOWN", f"{len(unknown)}: {', '.join(unknown[-3:])}", fatal=False)


def _latency_reasons(projection: Projection) -> Iterator[Reason]:
    cycle_ms = _order_cycle_ms(projection)
    if cycle_ms is not None and cycle_ms > ORDER_CYCLE_MS:
        yield _reason("ORDER_CYCLE_SLOW", f"tick to order {cycle_ms:.0f} ms", fatal=False)


def book_age_ms(projection: Projection, entry: Entry) -> int:
    """How old the book is now: its age when published plus the time since."""
    return (int_of(entry.body.get("age_ms")) or 0) + projection.age_ms(entry)


def _metrics(projection: Projection, books: list[Entry]) -> dict[str, float]:
    """The p95 of freshness is across the books now; of the order cycle, p99 serves where p95 is not published."""
    ages = sorted(book_age_ms(projection, entry) for entry in books)
    metrics: dict[str, float] = {
        "books_total": len(books),
        "orders_kept": projection.size(Topic.ORDER),
        "restarts_total": sum(
            int_of(node.get("restarts")) or 0
            for entry in projection.facts(Topic.TREE)
            for node in [entry.body, *(node for _, node in tree_nodes(entry))]
        ),
        "seq_gaps_total": sum(int_of(entry.body.get("gaps")) or 0 for entry in books),
        "resyncs_total": sum(int_of(entry.body.get("resyncs")) or 0 for entry in books),
        "brakes_total": _brakes_total(projection),
    }
    if ages:
        metrics["book_freshness_ms_p95"] = metrics["ws_gap_ms_p95"] = ages[min(len(ages) - 1, int(len(ages) * 0.95))]
    cycle_ms = _order_cycle_ms(projection)
    if cycle_ms is not None:
        metrics["order_cycle_ms_p95"] = cycle_ms
    brakes = projection.get(Topic.BRAKES, "all")
    if brakes is not None:
        metrics["feed_age_ms"] = projection.age_ms(brakes)
    return metrics


def _brakes_total(projection: Projection) -> int:
    entry = projection.get(Topic.BRAKES, "all")
    listed = entry.body.get("brakes") if entry else None
    return len(listed) if isinstance(listed, list | tuple) else 0


def _order_cycle_ms(projection: Projection) -> float | None:
    entry = projection.get(Topic.LATENCY, "tick_to_order")
    stages = entry.body.get("stages") if entry else None
    total = stages.get("total") if isinstance(stages, dict) else None
    if not isinstance(total, dict):
        return None
    micros = decimal_of(total.get("p95_us", total.get("p99_us")))
    return None if micros is None else float(micros) / 1_000


def _state(entry: Entry) -> str:
    return str(entry.body.get("state", "")).lower()


def _children(node: dict[str, object]) -> list[dict[str, object]]:
    children = node.get("children")
    return [child for child in children if isinstance(child, dict)] if isinstance(children, list | tuple) else []
