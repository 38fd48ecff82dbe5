"""``propdesk finance``: what the desk has and what it made, out of the journal, with the daemon up, hung or dead.

Balances, equity, margin and profit by day, week or month; with ``--export`` the statement behind them as a file.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from adapters.finance import FORMATS, StatementFile, TooFine, read_book
from adapters.venue_codecs import KNOWN
from supervision.cli import ANSWER_IS_NO, DONE, failed
from supervision.commands.journal import place_of
from supervision.operator_commands import find_desk
from trading.finance.book import FinanceBook, UnknownInstrument
from trading.finance.periods import Period, date_of, day_number
from trading.finance.prices import Mark
from trading.finance.report import LEVERAGE, Amounts, Asked, OwnerRow, Summary, VenueRow, digits, summary, told
from trading.finance.statement import Line
from trading.ledger.portfolio import DAY_NS

_CENT = Decimal("0.01")


def run(args: argparse.Namespace) -> int:
    """0: told; 1: the journal holds no money yet; 2: it could not be read, or what was asked for makes no sense."""
    try:
        asked, marks = _asked(args)
        form = _format(args.export)
    except ValueError as error:
        return failed(args, str(error))
    place = place_of(find_desk(args))
    until_ns = None if asked.to_day is None else (asked.to_day + 1) * DAY_NS
    book = FinanceBook(KNOWN, until_ns=until_ns, lines_max=1 if form is None else 100)
    try:
        file = StatementFile(Path(args.export), form) if form is not None else None
    except OSError as error:
        return failed(args, f"--export: {error}")
    try:

        def take(line: Line) -> None:
            if file is not None and asked.has(line.ts_ns // DAY_NS) and asked.venue in {"", line.venue}:
                file.add(line)

        read_book(place, book, take, lambda rows: print(f"propdesk finance: {rows:,} rows read", file=sys.stderr))
        if file is not None:
            file.close()
    except FileNotFoundError as error:
        return failed(args, f"{error}: the desk of this data directory has never run (--data-dir names another)")
    except TooFine as error:
        return failed(args, f"--export: {error}")
    except UnknownInstrument as error:
        return failed(args, str(error))
    except (sqlite3.Error, msgspec.DecodeError, OSError) as error:
        return failed(args, f"{place} cannot be read: {error}. `propdesk journal verify` says where it is broken")
    finally:
        if file is not None:
            file.abandon()
    found = summary(book, asked, marks)
    exported = {} if file is None else {"export": str(args.export), "lines": file.count}
    done = bool(found.venues)
    if args.json:
        facts = {"command": "finance", "done": done, **exported, **told(found)}
        print(json.dumps(facts))
    else:
        print(to_text(found, asked))
        if file is not None:
            print(f"\n{file.count} lines of the statement are in {args.export}")
    return DONE if done else ANSWER_IS_NO


def _asked(args: argparse.Namespace) -> tuple[Asked, dict[str, Mark]]:
    def day(name: str, text: str | None) -> int | None:
        try:
            return None if text is None else day_number(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    first, last = day("--from", args.from_day), day("--to", args.to_day)
    if first is not None and last is not None and last < first:
        raise ValueError(f"--to {args.to_day} is before --from {args.from_day}")
    venues = sorted({one.venue for one in KNOWN.values()})
    if args.venue and args.venue not in venues:
        raise ValueError(f"--venue {args.venue}: it is one of {', '.join(venues)}")
    leverage = LEVERAGE if args.leverage is None else _positive("--leverage", args.leverage)
    marks = {}
    for pair in args.mark:
        instrument_id, _, price = pair.partition("=")
        if instrument_id not in KNOWN:
            raise ValueError(f"--mark {pair}: {instrument_id!r} is no instrument; write INSTRUMENT_ID=PRICE")
        marks[instrument_id] = Mark(price=_positive(f"--mark {pair}", price), source="given", ts_ns=0)
    return Asked(by=Period(args.by), from_day=first, to_day=last, venue=args.venue or "", leverage=leverage), marks


def _positive(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise ValueError(f"{name}: {text[:40]!r} is no number above 0")
    return number


def _format(path: str | None) -> str | None:
    if path is None:
        return None
    form = Path(path).suffix.removeprefix(".")
    if form not in FORMATS:
        raise ValueError(f"--export {path}: the ending is .csv or .parquet")
    return form


def to_text(found: Summary, asked: Asked) -> str:
    """For a terminal."""
    if not found.venues:
        return "the journal holds no money yet: no venue has found its account"
    totals = found.totals
    worth = f"{_usd(totals.equity_usd)} USD = cash {_usd(totals.cash_usd)} + open {_usd(totals.unrealized_usd)}"
    made = f"realized {_usd(totals.ledger_realized_usd)}, open {_usd(totals.ledger_unrealized_usd)}"
    lines = [
        f"equity {worth}; margin used {_usd(totals.margin_usd)} at leverage {found.leverage}",
        f"profit of all time {_usd(totals.pnl_usd)} USD: {made}; the ledger is off by {digits(totals.ledger_residual)}",
        "",
    ]
    lines += _table(["venue", "asset", "amount", "price", "USD"], _balances(found.venues))
    positions = [
        [v.venue, p.instrument_id, digits(p.qty), digits(p.avg_px), "-" if p.mark_px is None else digits(p.mark_px),
         _usd(p.unrealized_usd), _usd(p.notional_usd), _usd(p.margin_usd)]
        for v in found.venues for p in v.positions
    ]  # fmt: skip
    if positions:
        lines += [""]
        lines += _table(["venue", "position", "qty", "avg", "mark", "open USD", "notional", "margin"], positions)
    heads = ["realized", "fees", "rebates", "funding", "net", "turnover", "fills"]
    for name, rows in (
        (found.by, [(row.label, row.flows) for row in found.periods]),
        ("venue", _named(found.by_venue)),
        ("instrument", _named(found.by_instrument)),
        ("strategy", _named(found.by_strategy)),
    ):
        if rows:
            every = [("all", found.flows)] if name == found.by else []
            lines += ["", *_table([name, *heads], [[label, *_flows(flows)] for label, flows in (*rows, *every)])]
    closed = found.closed
    if closed.count:
        text = f"{closed.count} closed trades, first in, first out: {closed.won} won, {closed.lost} lost"
        lines += ["", f"{text}, {_usd(closed.net_usd)} USD after fees"]
    lines += [
        f"{'paid in' if row.amount > 0 else 'taken out'} at {row.venue}: {digits(abs(row.amount))} {row.asset}"
        for row in found.paid_in
    ]
    for one in found.external:
        lines.append(
            f"not ours: {digits(one.amount)} {one.asset} at {one.venue}, {one.state}, {one.diff_class}, since "
            f"{date_of(one.since_ns // DAY_NS)}: {one.text}"
        )
    if found.unvalued:
        lines.append(f"without a price, and in no sum: {', '.join(found.unvalued)}")
    ends = "" if asked.to_day is None else f" and with {date_of(asked.to_day)}"
    begins = "from the first row" if asked.from_day is None else f"from {date_of(asked.from_day)}"
    lines += ["", f"{begins}{ends}; {found.rows} rows. {found.boundaries}."]
    return "\n".join(lines)


def _balances(venues: Iterable[VenueRow]) -> list[list[str]]:
    return [
        [v.venue, b.asset, digits(b.amount), "-" if b.price_usd is None else digits(b.price_usd),
         "-" if b.usd is None else _usd(b.usd)]
        for v in venues for b in v.balances
    ]  # fmt: skip


def _named(rows: Iterable[OwnerRow]) -> list[tuple[str, Amounts]]:
    return [(row.name, row.flows) for row in rows]


def _flows(flows: Amounts) -> list[str]:
    shown = (flows.realized_usd, flows.fees_usd, flows.rebates_usd, flows.funding_usd, flows.net_usd)
    return [*map(_usd, shown), _usd(flows.turnover_usd), str(flows.fills)]


def _usd(amount: Decimal) -> str:
    return f"{amount.quantize(_CENT):,}"


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        padded = [f"{c:<{w}}" if n < 2 else f"{c:>{w}}" for n, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "  ".join(padded).rstrip()

    return [line(row) for row in (heads, *rows)]
