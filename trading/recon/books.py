"""The desk's books as reconciliation needs them: the projection and, beside it, the flows of the same facts.

Owns that both see every fact once and in the same order, and what they were at the start of a day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.ledger.accounts import pnl_asset
from trading.ledger.ledger import Account, Book
from trading.ledger.portfolio import DAY_NS, PAID_IN, Portfolio
from trading.orders.journal_rows import (
    CrossBody,
    FundingBody,
    JournalRow,
    NoteBody,
    ReconcileBody,
    ReportBody,
    RowBody,
    decode_body,
)
from trading.orders.messages import FundingPayment, InternalCross, OrderFilled
from trading.orders.order import filled
from trading.recon.flows import Flows
from trading.recon.invariants import Violation, violations

_DAYS_KEPT = 2
Fact = OrderFilled | InternalCross | FundingPayment


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The books at a moment: everything that had flowed, cash and realised profit by (owner, asset), holdings."""

    ts_ns: int
    flows: Flows
    cash: dict[tuple[str, str], Decimal]
    realized: dict[tuple[str, str], Decimal]
    positions: dict[str, Decimal]


class Books:
    """Folds facts into both bookkeepings. ``KeyError`` for an instrument that is not configured."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments
        self.portfolio = Portfolio(instruments)
        self.flows = Flows(instruments)

    def opening(self, venue: str, balances: Mapping[str, Decimal], ts_ns: int) -> None:
        """What the desk begins with at a venue, once."""
        self.portfolio.opening(venue, balances, ts_ns)
        self.flows.opening(venue, balances)

    def paid_in(self, venue: str, asset: str, amount: Decimal, ref: str, ts_ns: int) -> tuple[str, Decimal]:
        """Cash that was paid in or taken out; the asset, and what its cash was before."""
        before = self.portfolio.ledger.balance(venue, asset, Book.CASH)
        cash = Account(owner=venue, asset=asset, book=Book.CASH)
        opening = Account(owner=venue, asset=asset, book=Book.OPENING)
        self.portfolio.ledger.post(ref, f"paid in: {amount} {asset}", {cash: amount, opening: -amount}, ts_ns)
        self.flows.opening(venue, {asset: amount})
        return asset, before

    def fold(self, fact: Fact) -> None:
        """One fact, in both."""
        match fact:
            case OrderFilled():
                self.portfolio.apply_fill(fact)
                self.flows.fill(fact)
            case InternalCross():
                self.portfolio.apply_cross(fact)
                self.flows.cross(fact)
            case FundingPayment():
                self.portfolio.apply_funding(fact)
                self.flows.funding(fact)

    def fold_moving(self, fact: Fact) -> list[tuple[str, Decimal]]:
        """One fact, in both; the assets whose cash it moved at its venue, and what each was before."""
        if isinstance(fact, InternalCross):
            self.fold(fact)
            return []
        ledger = self.portfolio.ledger
        assets = self._assets_of(fact)
        before = [ledger.balance(fact.venue, asset, Book.CASH) for asset in assets]
        self.fold(fact)
        was = zip(assets, before, strict=True)
        return [(asset, amount) for asset, amount in was if ledger.balance(fact.venue, asset, Book.CASH) != amount]

    def _assets_of(self, fact: OrderFilled | FundingPayment) -> tuple[str, ...]:
        if isinstance(fact, FundingPayment):
            return (fact.asset,)
        one = self.instruments[fact.instrument_id]
        base = (one.base,) if one.kind is InstrumentKind.SPOT else ()
        return tuple(dict.fromkeys((pnl_asset(one), fact.fee_asset, *base)))

    def rebuild(
        self, rows: Iterable[JournalRow], seen: Callable[[JournalRow, RowBody], None] | None = None
    ) -> dict[int, Snapshot]:
        """Fold what a journal holds, in order; the books at the start of the two newest UTC days that have rows.

        ``seen`` is shown every row with its body, before it is folded.
        """
        starts: dict[int, Snapshot] = {}
        day = -1
        opened: set[str] = set()
        for row in rows:
            if row.ts_ns // DAY_NS > day:
                day = row.ts_ns // DAY_NS
                starts[day] = self.snapshot(day * DAY_NS)
                if len(starts) > _DAYS_KEPT:
                    del starts[min(starts)]
            body = decode_body(row.body)
            if seen is not None:
                seen(row, body)
            match body:
                case ReportBody() if body.executed:
                    self.fold(filled(body.report, body.legs, row.cl_ord_id))
                case FundingBody():
                    self.fold(body.funding)
                case CrossBody():
                    self.fold(body.cross)
                case ReconcileBody() if body.baseline and row.venue not in opened:
                    opened.add(row.venue)
                    self.opening(row.venue, {a: Decimal(v) for a, v in body.balances.items()}, row.ts_ns)
                case NoteBody() if PAID_IN in body.facts:
                    asset, amount = body.facts[PAID_IN], Decimal(body.facts["amount"])
                    self.paid_in(row.venue, asset, amount, f"{row.venue}:paid_in:{row.seq}", row.ts_ns)
                case _:
                    continue
        return starts

    def snapshot(self, ts_ns: int) -> Snapshot:
        """The books as they are now."""
        ledger = self.portfolio.ledger
        return Snapshot(
            ts_ns=ts_ns,
            flows=self.flows.copy(),
            cash=ledger.balances(Book.CASH),
            realized=ledger.balances(Book.REALIZED),
            positions={i: line.holding.qty for i, line in self.portfolio.lines().items()},
        )

    def violations(self) -> list[Violation]:
        """What is not as it must be."""
        return violations(self.portfolio, self.flows, self.instruments)
