"""A statement in words: Markdown that is read as it is."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from trading.recon.daily import DayStatement


def markdown(found: DayStatement) -> str:
    """The statement as a page."""
    head = "clean" if found.clean else "NOT CLEAN"
    lines = [
        f"# Reconciliation of {found.day}: {head}",
        "",
        f"{found.kind}, from {_time(found.from_ns)} to {_time(found.to_ns)} UTC, made {_time(found.made_ns)}"
        + (", part of a day" if found.part else ""),
        "",
    ]
    lines += [f"- {trouble}" for trouble in found.troubles]
    if found.troubles:
        lines.append("")
    lines += ["## Venues", ""]
    lines += _table(
        ["venue", "read", "executions looked back on", "confirmed by its lists", "too many"],
        [
            [v.venue, _time(v.read_ns) if v.read_ns else "not read", str(v.booked), str(v.confirmed), str(v.unlooked)]
            for v in found.venues
        ],
    )
    lines += ["", "What a venue said is of the time when it was read; what was booked later is not in it.", ""]
    lines += ["## Assets", ""]
    heads = ["venue", "asset", "opening", "paid in", "trading", "fees", "rebates", "funding", "closing", "venue said"]
    lines += _table(
        heads,
        [
            [
                a.venue,
                a.asset,
                *map(_number, (a.opening, a.paid_in, a.trading, a.fees, a.rebates, a.funding, a.closing)),
                "-" if a.venue_says is None else _number(a.venue_says),
            ]
            for a in found.assets
        ],
    )
    lines += ["", "## Positions", ""]
    heads = ["venue", "instrument", "opening", "bought", "sold", "fees taken", "closing", "venue said", "executions"]
    lines += _table(
        heads,
        [
            [
                p.venue,
                p.instrument_id,
                *map(_number, (p.opening, p.bought, p.sold, p.fees_taken, p.closing)),
                "-" if p.venue_says is None else _number(p.venue_says),
                str(p.fills),
            ]
            for p in found.positions
        ],
    )
    lines += ["", "## Differences", ""]
    if found.differences:
        lines += _table(
            ["class", "state", "scope", "what", "outcome"],
            [
                [str(d[k]).replace("|", "/") for k in ("class", "state", "scope", "text", "outcome")]
                for d in found.differences
            ],
        )
    else:
        lines.append("None.")
    return "\n".join((*lines, ""))


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _time(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _number(text: str) -> str:
    shown = format(Decimal(text), "f")
    return (shown.rstrip("0").rstrip(".") or "0") if "." in shown else shown
