"""Folds the journal into what finance is told from: the ledger, flows by day and owner, lots, the newest lines.

The arithmetic of positions and profit is `trading.ledger`'s; every figure by day is a part of its entries, so that
days add up to it. Knows prices only by the journal; who has better ones gives them to `trading.finance.report`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal, localcontext

import msgspec

from trading.finance.external import Externals
from trading.finance.fifo import ClosedTrades
from trading.finance.periods import day_of_ns
from trading.finance.prices import Prices
from trading.finance.statement import Line, Statement
from trading.instruments import Instrument
from trading.ledger.accounts import ZERO, money
from trading.ledger.ledger import Account, Book, Entry, Ledger
from trading.ledger.portfolio import PAID_IN, Portfolio
from trading.ledger.portfolio import Line as Holder
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

LINES_MAX = 20_000
_EXACT = Context(prec=60)


class UnknownInstrument(Exception):  # noqa: N818 - named for what happened
    """The journal holds a fact of an instrument that nobody described: without its kind nothing can be said of it."""

    def __init__(self, seq: int, instrument_id: str) -> None:
        super().__init__(
            f"row {seq} is of {instrument_id}, which is not described: this propdesk is older than the row"
        )
        self.seq = seq
        self.instrument_id = instrument_id

    def __reduce__(self) -> tuple[type[UnknownInstrument], tuple[int, str]]:
        """Survive pickling with the facts."""
        return (UnknownInstrument, (self.seq, self.instrument_id))


class Flow(msgspec.Struct, kw_only=True):
    """Amounts of one asset: trading profit, fees (positive when paid), rebates and funding (positive when received).

    ``*_usd`` are the same at the prices of their moments, each rounded at 8 digits, so that sums of them are exact;
    ``unvalued`` counts those without a price then.
    """

    realized: Decimal = ZERO
    fees: Decimal = ZERO
    rebates: Decimal = ZERO
    funding: Decimal = ZERO
    realized_usd: Decimal = ZERO
    fees_usd: Decimal = ZERO
    rebates_usd: Decimal = ZERO
    funding_usd: Decimal = ZERO
    unvalued: int = 0

    def add(self, name: str, amount: Decimal, price: Decimal | None) -> None:
        """One movement of a kind."""
        if not amount:
            return
        setattr(self, name, getattr(self, name) + amount)
        if price is None:
            self.unvalued += 1
        else:
            in_usd = f"{name}_usd"
            setattr(self, in_usd, getattr(self, in_usd) + money(amount * price))

    def plus(self, other: Flow) -> None:
        """Add another's amounts."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class PaidIn(msgspec.Struct, kw_only=True):
    """What an operator said was paid in (negative: taken out) of one asset, and in USD at the price of the moment."""

    amount: Decimal = ZERO
    usd: Decimal = ZERO


class Bucket(msgspec.Struct, kw_only=True):
    """What one owner did on one day: flows by asset, executions, what they were worth."""

    assets: dict[str, Flow] = {}
    fills: int = 0
    turnover_usd: Decimal = ZERO

    def flow(self, asset: str) -> Flow:
        """The flow of an asset."""
        found = self.assets.get(asset)
        if found is None:
            found = self.assets[asset] = Flow()
        return found

    def plus(self, other: Bucket) -> None:
        """Add another's."""
        for asset, flow in other.assets.items():
            self.flow(asset).plus(flow)
        self.fills += other.fills
        self.turnover_usd += other.turnover_usd


class _Told(Ledger):
    """The ledger, which remembers the entry that was posted last."""

    last: Entry

    def post(self, ref: str, memo: str, postings: Mapping[Account, Decimal], ts_ns: int) -> Entry:
        """As the ledger does."""
        self.last = super().post(ref, memo, postings, ts_ns)
        return self.last


class FinanceBook:
    """Give it the journal's rows in order. ``until_ns``: what happened then or later (venue's time) is left out.

    ``by_instrument`` and ``by_strategy`` are flows by (day, instrument_id) and (day, strategy_id, instrument_id): they
    grow with the calendar, not with the rows. ``lines`` are the newest; ``dropped`` counts those that are not kept.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        *,
        until_ns: int | None = None,
        lines_max: int = LINES_MAX,
        long_only: bool = False,
    ) -> None:
        self.instruments = instruments
        self.ledger = _Told()
        self.portfolio = Portfolio(instruments, self.ledger)
        self.prices = Prices(instruments)
        self.statement = Statement(self.prices)
        self.trades = ClosedTrades(self.prices.of, long_only=long_only)
        self.externals = Externals()
        self.by_instrument: dict[tuple[int, str], Bucket] = {}
        self.by_strategy: dict[tuple[int, str, str], Bucket] = {}
        self.paid_in: dict[tuple[int, str, str], PaidIn] = {}
        self.lines: deque[Line] = deque(maxlen=lines_max)
        self.dropped = 0
        self.dropped_ns = 0
        """When the newest line that is not kept any more happened."""
        self.rows = 0
        self.first_ns = 0
        self.last_ns = 0
        self._until_ns = until_ns
        self._opened: set[str] = set()

    def rebuild(self, rows: Iterable[JournalRow]) -> None:
        """Fold rows."""
        for row in rows:
            self.take(row, decode_body(row.body))

    def take(self, row: JournalRow, body: RowBody) -> None:
        """One row. `UnknownInstrument` and nothing folded when it is of an instrument that nobody described."""
        with localcontext(_EXACT):
            for line in self._lines_of(row, body):
                if len(self.lines) == self.lines.maxlen:
                    self.dropped += 1
                    self.dropped_ns = self.lines[0].ts_ns if self.lines else line.ts_ns
                self.lines.append(line)
                self.first_ns = min(self.first_ns, line.ts_ns) if self.first_ns else line.ts_ns
                self.last_ns = max(self.last_ns, line.ts_ns)
        self.rows = row.seq

    def _lines_of(self, row: JournalRow, body: RowBody) -> Iterator[Line]:
        match body:
            case ReportBody() if body.executed:
                fill = filled(body.report, body.legs, row.cl_ord_id)
                self._known(row.seq, fill.instrument_id)
                if not fill.ts_event_ns:
                    fill = msgspec.structs.replace(fill, ts_event_ns=row.ts_ns)
                if self._within(fill.ts_event_ns):
                    yield from self._fill(row.seq, fill)
            case FundingBody():
                self._known(row.seq, body.funding.instrument_id)
                if self._within(body.funding.ts_event_ns):
                    yield self._funding(row.seq, body.funding)
            case CrossBody():
                self._known(row.seq, body.cross.instrument_id)
                if self._within(body.cross.ts_init_ns):
                    yield self._cross(row.seq, body.cross)
            case ReconcileBody() if body.baseline and row.venue not in self._opened:
                if self._within(row.ts_ns):
                    self._opened.add(row.venue)
                    balances = {a: Decimal(v) for a, v in body.balances.items()}
                    self.portfolio.opening(row.venue, balances, row.ts_ns)
                    yield from self.statement.opening(row.seq, row.ts_ns, row.venue, balances)
            case NoteBody() if PAID_IN in body.facts:
                if self._within(row.ts_ns):
                    yield from self._paid(row, body)
            case NoteBody():
                if self._within(row.ts_ns):
                    yield from self.externals.note(row, body, self.statement)
            case _:
                pass

    def _within(self, ts_ns: int) -> bool:
        return self._until_ns is None or ts_ns < self._until_ns

    def _known(self, seq: int, instrument_id: str) -> None:
        if instrument_id not in self.instruments:
            raise UnknownInstrument(seq, instrument_id)

    def _fill(self, seq: int, m: OrderFilled) -> Iterator[Line]:
        instrument = self.instruments[m.instrument_id]
        self.prices.see(m.instrument_id, m.last_px, "execution", m.ts_event_ns)
        day, price = day_of_ns(m.ts_event_ns), self.prices.of
        owners = tuple(dict.fromkeys(leg.strategy_id for leg in m.legs))
        before = self._shares(owners, m.instrument_id)
        self.portfolio.apply_fill(m)
        self.portfolio.mark(m.instrument_id, m.last_px)
        self.trades.fill(m, instrument)
        bucket = self.by_instrument.setdefault((day, m.instrument_id), Bucket())
        bucket.fills += 1
        bucket.turnover_usd += self._worth(instrument, m.last_qty, m.last_px)
        for posting in self.ledger.last.postings:
            asset, amount = posting.account.asset, posting.amount
            if posting.account.book is Book.REALIZED:
                bucket.flow(asset).add("realized", -amount, price(asset))
            elif posting.account.book is Book.FEES:
                paid = amount > 0
                bucket.flow(asset).add("fees" if paid else "rebates", abs(amount), price(asset))
        self._attribute(day, m.instrument_id, owners, before)
        for leg in m.legs:
            share = self.by_strategy.setdefault((day, leg.strategy_id, m.instrument_id), Bucket())
            share.fills += 1
            share.turnover_usd += self._worth(instrument, leg.qty, m.last_px)
        return self.statement.fill(seq, m, self.ledger.last, instrument)

    def _worth(self, instrument: Instrument, qty: Decimal, px: Decimal) -> Decimal:
        return money(instrument.notional(qty, px) * (self.prices.of(instrument.quote) or ZERO))

    def _funding(self, seq: int, m: FundingPayment) -> Line:
        self.prices.see(m.instrument_id, m.mark_price, "funding", m.ts_event_ns)
        before = self._shares(self._holders(m.instrument_id), m.instrument_id)
        self.portfolio.apply_funding(m)
        if m.mark_price.is_finite() and m.mark_price > 0:
            self.portfolio.mark(m.instrument_id, m.mark_price)
        day = day_of_ns(m.ts_event_ns)
        bucket = self.by_instrument.setdefault((day, m.instrument_id), Bucket())
        bucket.flow(m.asset).add("funding", m.amount, self.prices.of(m.asset))
        self._attribute(day, m.instrument_id, self._holders(m.instrument_id), before)
        return self.statement.funding(seq, m)

    def _cross(self, seq: int, m: InternalCross) -> Line:
        instrument = self.instruments[m.instrument_id]
        owners = (m.buyer_id, m.seller_id)
        before = self._shares(owners, m.instrument_id)
        self.portfolio.apply_cross(m)
        self.trades.cross(m, instrument)
        self._attribute(day_of_ns(m.ts_init_ns), m.instrument_id, owners, before)
        return self.statement.cross(seq, m, instrument)

    def _paid(self, row: JournalRow, body: NoteBody) -> Iterator[Line]:
        asset, amount = body.facts[PAID_IN], Decimal(body.facts["amount"])
        cash = Account(owner=row.venue, asset=asset, book=Book.CASH)
        paid_in = Account(owner=row.venue, asset=asset, book=Book.OPENING)
        self.ledger.post(f"{row.venue}:transfer", body.text, {cash: amount, paid_in: -amount}, row.ts_ns)
        paid = self.paid_in.setdefault((day_of_ns(row.ts_ns), row.venue, asset), PaidIn())
        paid.amount += amount
        paid.usd += money(amount * (self.prices.of(asset) or ZERO))
        yield from self.externals.adopted(row, asset, self.statement)
        yield self.statement.paid(row, asset, amount, body.text)

    # Strategies

    def _holders(self, instrument_id: str) -> tuple[str, ...]:
        return tuple(s for s, i in self.portfolio.lines_by_strategy() if i == instrument_id)

    def _shares(self, owners: Iterable[str], instrument_id: str) -> dict[str, Share]:
        lines = self.portfolio.lines_by_strategy()
        return {owner: _share(lines.get((owner, instrument_id))) for owner in owners}

    def _attribute(self, day: int, instrument_id: str, owners: Iterable[str], before: Mapping[str, Share]) -> None:
        """What a fact changed of its strategies' own lines, which have average costs of their own."""
        lines = self.portfolio.lines_by_strategy()
        for owner in owners:
            old, new = before.get(owner) or _share(None), _share(lines.get((owner, instrument_id)))
            for name, was, now in zip(_SHARED, old, new, strict=True):
                for asset, amount in now.items():
                    change = amount - was.get(asset, ZERO)
                    if change:
                        bucket = self.by_strategy.setdefault((day, owner, instrument_id), Bucket())
                        kind = "rebates" if name == "fees" and change < 0 else name
                        moved = abs(change) if name == "fees" else change
                        bucket.flow(asset).add(kind, moved, self.prices.of(asset))


Share = tuple[dict[str, Decimal], dict[str, Decimal], dict[str, Decimal]]
_SHARED = ("realized", "fees", "funding")


def _share(line: Holder | None) -> Share:
    return ({}, {}, {}) if line is None else (dict(line.realized), dict(line.fees), dict(line.funding))
