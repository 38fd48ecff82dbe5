"""Rows of a journal made by hand: executions, funding, crosses, first accounts, differences; of three contracts."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest

from trading.finance.book import FinanceBook
from trading.instruments import Instrument, InstrumentKind
from trading.orders.journal_rows import (
    CrossBody,
    FundingBody,
    JournalKind,
    JournalRow,
    NoteBody,
    ReconcileBody,
    ReportBody,
    encode_body,
)
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    FundingPayment,
    InternalCross,
    Leg,
    Liquidity,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
T0 = 20_000 * DAY
"""Midnight of 2024-10-04, a Friday."""


def instrument(kind, instrument_id, settle, multiplier="1"):
    return Instrument(
        instrument_id=instrument_id,
        venue=instrument_id.split(":", maxsplit=1)[0].lower(),
        symbol="X",
        kind=kind,
        base="BTC",
        quote="USD" if kind is InstrumentKind.INVERSE else "USDT",
        settle=settle,
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(1000),
        min_notional=Decimal(1),
        multiplier=Decimal(multiplier),
    )


SPOT = instrument(InstrumentKind.SPOT, "S:SPOT:BTC-USDT", "USDT")
LINEAR = instrument(InstrumentKind.LINEAR, "L:PERP:BTC-USDT:LINEAR", "USDT")
INVERSE = instrument(InstrumentKind.INVERSE, "I:PERP:BTC-USD:INVERSE", "BTC", "100")
ALL = {one.instrument_id: one for one in (SPOT, LINEAR, INVERSE)}


class Journal:
    """Rows in order. ``read`` gives a book of all of them."""

    def __init__(self):
        self.rows = []
        self._numbers = count(1)

    def _row(self, kind, venue, ts, body, exec_id=None):
        row = JournalRow(
            seq=len(self.rows) + 1,
            ts_ns=ts,
            kind=kind,
            venue=venue,
            cl_ord_id="",
            exec_id=exec_id,
            parent_id="",
            epoch=1,
            body=encode_body(body),
        )
        self.rows.append(row)

    def opening(self, venue, ts=T0, **balances):
        body = ReconcileBody(ok=True, text="baseline", exec_seq=0, baseline=True, positions={}, balances={**balances})
        self._row(JournalKind.RECONCILE, venue, ts, body)

    def fill(self, of, side, qty, px, fee="0", fee_asset="", *, legs=None, ts=T0):
        number = next(self._numbers)
        qty = Decimal(qty)
        report = ExecutionReport(
            venue=of.venue,
            instrument_id=of.instrument_id,
            cl_ord_id=f"pd1-{number}",
            orig_cl_ord_id=None,
            order_id=str(number),
            exec_id=f"x{number}",
            exec_seq=number,
            exec_type=ExecType.TRADE,
            ord_status=OrdStatus.FILLED,
            side=side,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTC,
            order_qty=qty,
            price=Decimal(px),
            last_qty=qty,
            last_px=Decimal(px),
            cum_qty=qty,
            leaves_qty=Decimal(0),
            avg_px=Decimal(px),
            liquidity=Liquidity.MAKER,
            fee=Decimal(fee),
            fee_asset=fee_asset or of.settle,
            text="",
            ts_event_ns=ts,
            ts_init_ns=ts,
        )
        shares = tuple(Leg(strategy_id=s, intent_id="i", qty=Decimal(q)) for s, q in (legs or (("a", qty),)))
        self._row(JournalKind.FILL, of.venue, ts, ReportBody(report=report, legs=shares), report.exec_id)

    def buy(self, of, qty, px, fee="0", fee_asset="", **more):
        self.fill(of, Side.BUY, qty, px, fee, fee_asset, **more)

    def sell(self, of, qty, px, fee="0", fee_asset="", **more):
        self.fill(of, Side.SELL, qty, px, fee, fee_asset, **more)

    def funding(self, of, amount, mark, *, ts=T0):
        paid = FundingPayment(
            venue=of.venue,
            instrument_id=of.instrument_id,
            funding_id=f"f{next(self._numbers)}",
            exec_seq=0,
            rate=Decimal("0.0001"),
            position_qty=Decimal(1),
            mark_price=Decimal(mark),
            amount=Decimal(amount),
            asset=of.settle,
            ts_event_ns=ts,
            ts_init_ns=ts,
        )
        self._row(JournalKind.FUNDING, of.venue, ts, FundingBody(funding=paid), f"funding:{paid.funding_id}")

    def cross(self, of, buyer, seller, qty, px, *, ts=T0):
        crossed = InternalCross(
            cross_id=f"c{next(self._numbers)}",
            instrument_id=of.instrument_id,
            buyer_id=buyer,
            seller_id=seller,
            qty=Decimal(qty),
            price=Decimal(px),
            cause="",
            ts_init_ns=ts,
        )
        self._row(JournalKind.CROSS, of.venue, ts, CrossBody(cross=crossed), f"cross:{crossed.cross_id}")

    def difference(self, venue, asset, ours, theirs, *, state="open", of_class="unexplained", ts=T0):
        facts = {
            "diff": f"{venue}:balance:{asset}",
            "class": of_class,
            "state": state,
            "ours": ours,
            "theirs": theirs,
        }
        self._row(JournalKind.RECONCILE, venue, ts, NoteBody(text=f"{asset} on {venue}", facts=facts))

    def adopted(self, venue, asset, amount, *, ts=T0):
        facts = {"paid_in": asset, "amount": amount, "actor": "ann", "explains": f"{venue}:balance:{asset}"}
        self._row(JournalKind.RECONCILE, venue, ts, NoteBody(text=f"{amount} {asset}: from the bank", facts=facts))

    def read(self, **more):
        book = FinanceBook(ALL, **more)
        book.rebuild(self.rows)
        return book


@pytest.fixture
def journal():
    return Journal()
