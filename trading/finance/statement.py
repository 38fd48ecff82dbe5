"""The statement: every movement of cash, with what moved it and what was there afterwards.

A line a movement, made of the ledger's own entry, so that the lines of an account add up to its balance, exactly. The
desk moves no funds: what came or went without it is a line that is not booked (``external``), until an operator says
what it was and it is (``deposit``, ``withdrawal``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum

import msgspec

from trading.finance.prices import Prices
from trading.instruments import Instrument
from trading.ledger.accounts import ZERO, pnl_asset
from trading.ledger.ledger import Book, Entry
from trading.orders.journal_rows import JournalRow
from trading.orders.messages import FundingPayment, InternalCross, OrderFilled


class LineKind(Enum):
    """What moved cash. EXTERNAL is what only the venue knows of, and no operator has explained."""

    OPENING = "opening"
    TRADE = "trade"
    FEE = "fee"
    REBATE = "rebate"
    FUNDING = "funding"
    CROSS = "cross"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    EXTERNAL = "external"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One movement of one asset at one venue.

    ``amount`` is signed from our side, ``balance`` what the ledger had afterwards, ``realized`` the profit in it
    (before fees, in the same asset), ``price_usd`` the asset's price at the moment as the journal knew it. ``seq`` is
    the journal's row; ``ts_ns`` the venue's time, UTC. ``booked`` is False for what is in no ledger.
    """

    seq: int
    ts_ns: int
    venue: str
    kind: LineKind
    asset: str
    amount: Decimal
    balance: Decimal
    realized: Decimal = ZERO
    price_usd: Decimal | None = None
    instrument_id: str = ""
    strategies: str = ""
    side: str = ""
    qty: Decimal | None = None
    px: Decimal | None = None
    ref: str = ""
    cl_ord_id: str = ""
    text: str = ""
    booked: bool = True


class Statement:
    """Writes the lines, and knows what every account has after each."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self.balances: dict[tuple[str, str], Decimal] = {}

    def fill(self, seq: int, m: OrderFilled, entry: Entry, instrument: Instrument) -> Iterator[Line]:
        """The lines of one execution: what was traded, an asset a line, then its fee."""
        cash = {p.account.asset: p.amount for p in entry.postings if p.account.book is Book.CASH}
        realized = -sum((p.amount for p in entry.postings if p.account.book is Book.REALIZED), ZERO)
        paid_in = pnl_asset(instrument)
        traded = {paid_in: ZERO, **cash}
        if m.fee:
            # The entry has them in one sum where they are of one asset.
            traded[m.fee_asset] = traded.get(m.fee_asset, ZERO) + m.fee
        strategies = ", ".join(leg.strategy_id for leg in m.legs)

        def line(kind: LineKind, asset: str, amount: Decimal, profit: Decimal) -> Line:
            return Line(
                seq=seq,
                ts_ns=m.ts_event_ns,
                venue=m.venue,
                kind=kind,
                asset=asset,
                amount=amount,
                balance=self._moved(m.venue, asset, amount),
                realized=profit,
                price_usd=self._prices.of(asset),
                instrument_id=m.instrument_id,
                strategies=strategies,
                side=m.side.value,
                qty=m.last_qty,
                px=m.last_px,
                ref=m.exec_id,
                cl_ord_id=m.cl_ord_id,
            )

        for asset, amount in traded.items():
            if amount or asset == paid_in:
                yield line(LineKind.TRADE, asset, amount, realized if asset == paid_in else ZERO)
        if m.fee:
            yield line(LineKind.FEE if m.fee > 0 else LineKind.REBATE, m.fee_asset, -m.fee, ZERO)

    def funding(self, seq: int, m: FundingPayment) -> Line:
        """The line of one settlement."""
        return Line(
            seq=seq,
            ts_ns=m.ts_event_ns,
            venue=m.venue,
            kind=LineKind.FUNDING,
            asset=m.asset,
            amount=m.amount,
            balance=self._moved(m.venue, m.asset, m.amount),
            price_usd=self._prices.of(m.asset),
            instrument_id=m.instrument_id,
            qty=m.position_qty,
            px=m.mark_price,
            ref=m.funding_id,
            text=f"rate {m.rate}",
        )

    def cross(self, seq: int, m: InternalCross, instrument: Instrument) -> Line:
        """The line of an internal cross: it moves nothing of the desk's."""
        asset = pnl_asset(instrument)
        return Line(
            seq=seq,
            ts_ns=m.ts_init_ns,
            venue=instrument.venue,
            kind=LineKind.CROSS,
            asset=asset,
            amount=ZERO,
            balance=self._moved(instrument.venue, asset, ZERO),
            price_usd=self._prices.of(asset),
            instrument_id=m.instrument_id,
            strategies=f"{m.buyer_id}, {m.seller_id}",
            qty=m.qty,
            px=m.price,
            ref=m.cross_id,
            text=f"{m.buyer_id} bought of {m.seller_id}",
        )

    def opening(self, seq: int, ts_ns: int, venue: str, opened: Mapping[str, Decimal]) -> Iterator[Line]:
        """What the desk began with at a venue."""
        for asset, amount in opened.items():
            if amount:
                yield Line(
                    seq=seq,
                    ts_ns=ts_ns,
                    venue=venue,
                    kind=LineKind.OPENING,
                    asset=asset,
                    amount=amount,
                    balance=self._moved(venue, asset, amount),
                    price_usd=self._prices.of(asset),
                    ref=f"{venue}:opening",
                    text="the venue's first account of us",
                )

    def paid(self, row: JournalRow, asset: str, amount: Decimal, text: str) -> Line:
        """What was paid in or taken out, as an operator says."""
        return Line(
            seq=row.seq,
            ts_ns=row.ts_ns,
            venue=row.venue,
            kind=LineKind.DEPOSIT if amount > 0 else LineKind.WITHDRAWAL,
            asset=asset,
            amount=amount,
            balance=self._moved(row.venue, asset, amount),
            price_usd=self._prices.of(asset),
            ref=f"{row.venue}:transfer",
            text=text,
        )

    def external(self, row: JournalRow, asset: str, amount: Decimal, *, ref: str, text: str) -> Line:
        """What only the venue knows of: told, and in no balance."""
        return Line(
            seq=row.seq,
            ts_ns=row.ts_ns,
            venue=row.venue,
            kind=LineKind.EXTERNAL,
            asset=asset,
            amount=amount,
            balance=self.balances.get((row.venue, asset), ZERO),
            price_usd=self._prices.of(asset),
            ref=ref,
            text=text,
            booked=False,
        )

    def _moved(self, venue: str, asset: str, amount: Decimal) -> Decimal:
        balance = self.balances.get((venue, asset), ZERO) + amount
        if amount:
            self.balances[venue, asset] = balance
        return balance
