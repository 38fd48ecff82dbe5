"""What the desk holds and what it made: positions, average cost, profit, by instrument and by strategy.

Every fact is booked twice: here by the average-cost method, and in the double-entry `Ledger`; `pnl_view` carries the
difference, which is zero. Amounts are kept in the asset they were paid in and valued in USD at the marks of the moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.ledger.accounts import ZERO, Holding, apportion, eaten, money, pnl_asset
from trading.ledger.late import Booked, Course, venue_order
from trading.ledger.ledger import Account, Book, Ledger
from trading.orders.journal_rows import (
    CrossBody,
    FundingBody,
    JournalRow,
    NoteBody,
    ReconcileBody,
    ReportBody,
    decode_body,
)
from trading.orders.messages import FundingPayment, InternalCross, OrderFilled
from trading.orders.order import EXTERNAL, filled

PAID_IN = "paid_in"
"""The key in a journal note's facts that names an asset that was paid in or taken out."""
DAY_NS = 86_400_000_000_000
USD_ASSETS = frozenset({"USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI"})
"""Valued at 1 USD."""


class Line(msgspec.Struct, kw_only=True):
    """One instrument of one owner (the desk or a strategy).

    Amounts are by asset; fees are positive when paid.
    """

    course: Course = msgspec.field(default_factory=Course)
    realized: dict[str, Decimal] = {}
    fees: dict[str, Decimal] = {}
    funding: dict[str, Decimal] = {}

    @property
    def holding(self) -> Holding:
        """What is held now and what it cost."""
        return self.course.holding


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A holding as others see it. ``avg_px`` is rounded for display; 0 when flat."""

    instrument_id: str
    qty: Decimal
    avg_px: Decimal
    mark_px: Decimal | None


class Portfolio:
    """Books fills, crosses and fundings, each once (the order core has seen to that), and values them."""

    def __init__(self, instruments: Mapping[str, Instrument], ledger: Ledger | None = None) -> None:
        self.ledger = ledger if ledger is not None else Ledger()
        self._instruments = instruments
        self._desk: dict[str, Line] = {}
        self._strategies: dict[tuple[str, str], Line] = {}
        self._marks: dict[str, Decimal] = {}
        self._opened: dict[tuple[str, str], Decimal] = {}
        self._day = -1
        self._day_start = Decimal(0)

    # Facts

    def opening(self, venue: str, balances: Mapping[str, Decimal], ts_ns: int = 0) -> None:
        """What the desk starts with at a venue. A second call books the difference, with its own entry."""
        for asset, amount in balances.items():
            change = amount - self._opened.get((venue, asset), Decimal(0))
            if change:
                self._opened[venue, asset] = amount
                cash = Account(owner=venue, asset=asset, book=Book.CASH)
                opening = Account(owner=venue, asset=asset, book=Book.OPENING)
                self.ledger.post(f"{venue}:opening", f"opening {asset}", {cash: change, opening: -change}, ts_ns)

    def apply_fill(self, m: OrderFilled) -> None:
        """Book one execution where the venue did, though newer ones are booked already (`trading.ledger.late`).

        ``KeyError`` for an instrument that is not configured: a fill must not vanish.
        """
        instrument = self._instruments[m.instrument_id]
        self.roll(m.ts_event_ns)
        at, asset, out = venue_order(m), pnl_asset(instrument), eaten(m, instrument)
        desk = self._desk.setdefault(m.instrument_id, Line())
        booked = desk.course.trade(at, m.side.sign * m.last_qty, m.last_px, instrument, eaten=out)
        _add(desk.realized, asset, booked.realized)
        _add(desk.fees, instrument.quote, booked.consumed)
        _add(desk.fees, m.fee_asset, m.fee - out)
        self._post_fill(m, instrument, booked, in_base=bool(out))
        self._marks.setdefault(m.instrument_id, m.last_px)
        for leg, fee in zip(m.legs, apportion(m.fee, [leg.qty for leg in m.legs]), strict=True):
            line = self._strategies.setdefault((leg.strategy_id, m.instrument_id), Line())
            part = fee if out else ZERO
            share = line.course.trade(at, m.side.sign * leg.qty, m.last_px, instrument, eaten=part)
            _add(line.realized, asset, share.realized)
            _add(line.fees, instrument.quote, share.consumed)
            _add(line.fees, m.fee_asset, fee - part)

    def apply_cross(self, m: InternalCross) -> None:
        """Move a position between two strategies at the cross price; the desk does not notice."""
        instrument = self._instruments[m.instrument_id]
        for strategy_id, sign in ((m.buyer_id, 1), (m.seller_id, -1)):
            line = self._strategies.setdefault((strategy_id, m.instrument_id), Line())
            moved = line.course.trade(None, sign * m.qty, m.price, instrument)
            _add(line.realized, pnl_asset(instrument), moved.realized)

    def apply_funding(self, m: FundingPayment) -> None:
        """Book one settlement, shared between the strategies by what they hold."""
        self.roll(m.ts_event_ns)
        _add(self._desk.setdefault(m.instrument_id, Line()).funding, m.asset, m.amount)
        cash = Account(owner=m.venue, asset=m.asset, book=Book.CASH)
        income = Account(owner=m.instrument_id, asset=m.asset, book=Book.FUNDING)
        self.ledger.post(
            f"{m.venue}:{m.funding_id}",
            f"funding {m.rate} on {m.position_qty}",
            {cash: m.amount, income: -m.amount},
            m.ts_event_ns,
        )
        holders = {s: line.holding.qty for (s, i), line in self._strategies.items() if i == m.instrument_id}
        if not sum(holders.values(), ZERO):
            holders = {EXTERNAL: Decimal(1)}
        for strategy_id, part in zip(holders, apportion(m.amount, list(holders.values())), strict=True):
            _add(self._strategies.setdefault((strategy_id, m.instrument_id), Line()).funding, m.asset, part)

    def mark(self, instrument_id: str, price: Decimal) -> None:
        """The price to value holdings with. ``ValueError`` unless positive: a delisting price of 0 is no price."""
        if not price.is_finite() or price <= 0:
            raise ValueError(f"mark of {instrument_id} is {price}")
        self._marks[instrument_id] = price

    def roll(self, now_ns: int) -> None:
        """Begin a new UTC day when ``now_ns`` is in one: its profit starts from here."""
        day = now_ns // DAY_NS
        if day > self._day:
            if self._day >= 0:
                self._day_start = self._total_usd()
            self._day = day

    def rebuild(self, rows: Iterable[JournalRow]) -> int:
        """Book what a journal holds, in order; returns how many rows moved anything."""
        moved = 0
        for row in rows:
            body = decode_body(row.body)
            match body:
                case ReportBody() if body.executed:
                    self.apply_fill(filled(body.report, body.legs, row.cl_ord_id))
                case FundingBody():
                    self.apply_funding(body.funding)
                case CrossBody():
                    self.apply_cross(body.cross)
                case ReconcileBody() if body.baseline:
                    self.opening(row.venue, {a: Decimal(v) for a, v in body.balances.items()}, row.ts_ns)
                case NoteBody() if PAID_IN in body.facts:
                    asset, amount = body.facts[PAID_IN], Decimal(body.facts["amount"])
                    cash = Account(owner=row.venue, asset=asset, book=Book.CASH)
                    paid_in = Account(owner=row.venue, asset=asset, book=Book.OPENING)
                    self.ledger.post(f"{row.venue}:paid_in", body.text, {cash: amount, paid_in: -amount}, row.ts_ns)
                case _:
                    continue
            moved += 1
        return moved

    # Views

    def positions(self) -> dict[str, Position]:
        """The desk's holdings by instrument, flat ones left out."""
        return {i: self._position(i, line) for i, line in self._desk.items() if line.holding.qty}

    def positions_by_strategy(self) -> dict[str, dict[str, Position]]:
        """Each strategy's holdings by instrument, internal crosses included, flat ones left out."""
        view: dict[str, dict[str, Position]] = {}
        for (strategy_id, instrument_id), line in self._strategies.items():
            if line.holding.qty:
                view.setdefault(strategy_id, {})[instrument_id] = self._position(instrument_id, line)
        return view

    def lines(self) -> Mapping[str, Line]:
        """The desk's lines by instrument, as they are kept: to be looked at, not to be changed."""
        return self._desk

    def lines_by_strategy(self) -> Mapping[tuple[str, str], Line]:
        """The strategies' lines by (strategy, instrument), as they are kept."""
        return self._strategies

    def mark_of(self, instrument_id: str) -> Decimal | None:
        """What an instrument is valued at; None before it had a price."""
        return self._marks.get(instrument_id)

    def price_of(self, asset: str) -> Decimal | None:
        """One unit of an asset in USD; None without a price."""
        return self._rate(asset)

    def balances_by_venue(self) -> dict[str, dict[str, Decimal]]:
        """Cash by venue and asset; spot inventory is cash of its base asset."""
        view: dict[str, dict[str, Decimal]] = {}
        for (venue, asset), amount in self.ledger.balances(Book.CASH).items():
            view.setdefault(venue, {})[asset] = amount
        return view

    def day_usd(self) -> Decimal:
        """Profit of this UTC day in USD, as `pnl_view` has it, without the rest of the view."""
        return self._total_usd() - self._day_start

    def is_priced(self) -> bool:
        """Whether anything that is held changes its value with a price."""
        cash = self.ledger.balances(Book.CASH)
        held = any(line.holding.qty for line in self._desk.values())
        return held or any(amount and asset not in USD_ASSETS for (_, asset), amount in cash.items())

    def open_profit_usd(self) -> Decimal:
        """Open profit of all derivatives in USD: what equity holds besides cash."""
        lines = self._desk.items()
        kinds = self._instruments
        return self._valued([(i, line) for i, line in lines if kinds[i].kind is not InstrumentKind.SPOT], set())[1]

    def pnl_view(self) -> dict[str, object]:
        """Profit in USD: ``total == realized + unrealized`` where realized is trading profit less fees plus funding.

        ``ledger_residual`` is what the two bookkeepings differ by, 0. ``unvalued`` lists assets without a price.
        """
        unvalued: set[str] = set()
        realized, unrealized = self._valued(self._desk.items(), unvalued)
        by_strategy: dict[str, dict[str, Decimal]] = {}
        for strategy_id in sorted({s for s, _ in self._strategies}):
            lines = [(i, line) for (s, i), line in self._strategies.items() if s == strategy_id]
            r, u = self._valued(lines, unvalued)
            fees = money(sum((self._usd(line.fees, unvalued) for _, line in lines), ZERO))
            by_strategy[strategy_id] = {"realized": r, "unrealized": u, "total": r + u, "fees": fees}
        by_instrument: dict[str, dict[str, Decimal]] = {}
        for instrument_id, line in self._desk.items():
            r, u = self._valued([(instrument_id, line)], unvalued)
            by_instrument[instrument_id] = {"realized": r, "unrealized": u, "total": r + u}
        total = realized + unrealized
        return {
            "total": total,
            "realized": realized,
            "unrealized": unrealized,
            "day": total - self._day_start,
            "fees": self._sum_usd("fees", unvalued),
            "funding": self._sum_usd("funding", unvalued),
            "by_instrument": by_instrument,
            "by_strategy": by_strategy,
            "ledger_residual": self.ledger_residual(),
            "unvalued": sorted(unvalued),
        }

    def ledger_residual(self) -> Decimal:
        """How far these books are from the ledger's and the ledger's from balance, summed over all accounts; 0."""
        off = sum((abs(v) for v in self.ledger.residual().values()), Decimal(0))
        for book, name, sign in (
            (Book.REALIZED, "realized", -1),
            (Book.FEES, "fees", 1),
            (Book.FUNDING, "funding", -1),
        ):
            ours = {
                (instrument_id, asset): amount
                for instrument_id, line in self._desk.items()
                for asset, amount in getattr(line, name).items()
            }
            theirs = self.ledger.balances(book)
            for key in ours.keys() | theirs.keys():
                off += abs(ours.get(key, ZERO) - sign * theirs.get(key, ZERO))
        for instrument_id, line in self._desk.items():
            off += abs(line.holding.qty - self.ledger.balance(instrument_id, instrument_id, Book.POSITION))
            instrument = self._instruments[instrument_id]
            if instrument.kind is InstrumentKind.SPOT:
                off += abs(line.holding.cost - self.ledger.balance(instrument_id, instrument.quote, Book.TRADING))
        return off

    # Inside

    def _post_fill(self, m: OrderFilled, instrument: Instrument, booked: Booked, *, in_base: bool) -> None:
        qty, realized, fee_cost = m.side.sign * m.last_qty, booked.realized, booked.consumed
        postings: dict[Account, Decimal] = {}

        def move(owner: str, asset: str, book: Book, amount: Decimal) -> None:
            account = Account(owner=owner, asset=asset, book=book)
            postings[account] = postings.get(account, Decimal(0)) + amount

        held = qty - (m.fee if in_base else 0)
        move(m.instrument_id, m.instrument_id, Book.POSITION, held)
        move(m.instrument_id, m.instrument_id, Book.OUTSIDE, -held)
        if instrument.kind is InstrumentKind.SPOT:
            paid = qty * m.last_px
            move(m.venue, instrument.base, Book.CASH, qty)
            move(m.instrument_id, instrument.base, Book.TRADING, -qty)
            move(m.venue, instrument.quote, Book.CASH, -paid)
            # What was paid is inventory until it is sold; then the part above its cost is profit.
            move(m.instrument_id, instrument.quote, Book.TRADING, paid + realized - fee_cost)
            move(m.instrument_id, instrument.quote, Book.REALIZED, -realized)
            if fee_cost:
                move(m.instrument_id, instrument.quote, Book.FEES, fee_cost)
        else:
            move(m.venue, instrument.settle, Book.CASH, realized)
            move(m.instrument_id, instrument.settle, Book.REALIZED, -realized)
        if in_base:
            # A fee in base eats inventory: an expense at what it cost, `fee_cost` above.
            move(m.venue, instrument.base, Book.CASH, -m.fee)
            move(m.instrument_id, instrument.base, Book.TRADING, m.fee)
        else:
            move(m.venue, m.fee_asset, Book.CASH, -m.fee)
            move(m.instrument_id, m.fee_asset, Book.FEES, m.fee)
        memo = f"{m.side.value} {m.last_qty} at {m.last_px} for {m.cl_ord_id}"
        if booked.restated:
            memo += f", heard late: {booked.restated} newer booked again"
        self.ledger.post(f"{m.venue}:{m.exec_id}", memo, postings, m.ts_event_ns)

    def _position(self, instrument_id: str, line: Line) -> Position:
        entry = line.holding.entry_px(self._instruments[instrument_id])
        return Position(
            instrument_id=instrument_id,
            qty=line.holding.qty,
            avg_px=money(entry) if entry is not None else ZERO,
            mark_px=self._marks.get(instrument_id),
        )

    def _rate(self, asset: str) -> Decimal | None:
        if asset in USD_ASSETS:
            return Decimal(1)
        for instrument_id, price in self._marks.items():
            instrument = self._instruments.get(instrument_id)
            if instrument is not None and instrument.base == asset and instrument.quote in USD_ASSETS:
                return price
        return None

    def _usd(self, amounts: Mapping[str, Decimal], unvalued: set[str]) -> Decimal:
        total = ZERO
        for asset, amount in amounts.items():
            rate = self._rate(asset)
            if rate is not None:
                total += amount * rate
            elif amount:
                unvalued.add(asset)
        return total

    def _valued(self, lines: Iterable[tuple[str, Line]], unvalued: set[str]) -> tuple[Decimal, Decimal]:
        realized = unrealized = ZERO
        for instrument_id, line in lines:
            instrument = self._instruments[instrument_id]
            realized += self._usd(line.realized, unvalued) - self._usd(line.fees, unvalued)
            realized += self._usd(line.funding, unvalued)
            mark = self._marks.get(instrument_id)
            if mark is not None:
                open_profit = line.holding.unrealized(mark, instrument)
                unrealized += self._usd({pnl_asset(instrument): open_profit}, unvalued)
        return money(realized), money(unrealized)

    def _sum_usd(self, name: str, unvalued: set[str]) -> Decimal:
        return money(sum((self._usd(getattr(line, name), unvalued) for line in self._desk.values()), ZERO))

    def _total_usd(self) -> Decimal:
        realized, unrealized = self._valued(self._desk.items(), set())
        return realized + unrealized


def _add(amounts: dict[str, Decimal], asset: str, amount: Decimal) -> None:
    if amount:
        amounts[asset] = amounts.get(asset, ZERO) + amount
