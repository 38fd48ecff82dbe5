"""Facts of a small desk: three kinds of instruments, executions, funding, accounts; and a reconciliation to feed."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest

from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import (
    AccountState,
    ExecType,
    ExecutionReport,
    FundingPayment,
    Leg,
    Liquidity,
    OrderFilled,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)
from trading.recon.config import ReconConfig
from trading.recon.core import ReconCore
from trading.recon.tracked import AskAccount, Say, WriteRows

T0 = 1_790_000_000_000_000_000
MS = 1_000_000
SECOND = 1_000 * MS


def instrument(kind, instrument_id, settle, lot="0.001", multiplier="1"):
    return Instrument(
        instrument_id=instrument_id,
        venue=instrument_id.split(":", maxsplit=1)[0],
        symbol="X",
        kind=kind,
        base="BTC",
        quote="USD" if kind is InstrumentKind.INVERSE else "USDT",
        settle=settle,
        tick_size=Decimal("0.1"),
        lot_size=Decimal(lot),
        min_qty=Decimal(lot),
        max_qty=Decimal(1000),
        min_notional=Decimal(1),
        multiplier=Decimal(multiplier),
    )


SPOT = instrument(InstrumentKind.SPOT, "S:SPOT:BTC-USDT", "USDT")
LINEAR = instrument(InstrumentKind.LINEAR, "L:PERP:BTC-USDT:LINEAR", "USDT")
INVERSE = instrument(InstrumentKind.INVERSE, "I:PERP:BTC-USD:INVERSE", "BTC", "1", "100")
ALL = {i.instrument_id: i for i in (SPOT, LINEAR, INVERSE)}
VENUE = LINEAR.venue
_NUMBERS = count(1)


def fill(of=LINEAR, side=Side.BUY, qty="0.010", px="50000", fee="0.1", fee_asset="", *, legs=None, ts=T0, number=0):
    number = number or next(_NUMBERS)
    return OrderFilled(
        venue=of.venue,
        instrument_id=of.instrument_id,
        cl_ord_id=f"pd1-{number}",
        exec_id=f"x{number}",
        exec_seq=number,
        side=side,
        last_qty=Decimal(qty),
        last_px=Decimal(px),
        liquidity=Liquidity.MAKER,
        fee=Decimal(fee),
        fee_asset=fee_asset or of.settle,
        legs=tuple(Leg(strategy_id=s, intent_id="i", qty=Decimal(q)) for s, q in (legs or (("a", qty),))),
        ts_event_ns=ts,
        ts_init_ns=ts,
    )


def report(m, **changes):
    """The venue's own word of an execution."""
    fields = {
        "venue": m.venue,
        "instrument_id": m.instrument_id,
        "cl_ord_id": m.cl_ord_id,
        "orig_cl_ord_id": None,
        "order_id": f"V{m.cl_ord_id}",
        "exec_id": m.exec_id,
        "exec_seq": m.exec_seq,
        "exec_type": ExecType.TRADE,
        "ord_status": OrdStatus.FILLED,
        "side": m.side,
        "ord_type": OrdType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "order_qty": m.last_qty,
        "price": m.last_px,
        "last_qty": m.last_qty,
        "last_px": m.last_px,
        "cum_qty": m.last_qty,
        "leaves_qty": Decimal(0),
        "avg_px": m.last_px,
        "liquidity": m.liquidity,
        "fee": m.fee,
        "fee_asset": m.fee_asset,
        "text": "",
        "ts_event_ns": m.ts_event_ns,
        "ts_init_ns": m.ts_init_ns,
    }
    return ExecutionReport(**{**fields, **changes})


def funding(amount="-0.5", funding_id="f1", ts=T0):
    return FundingPayment(
        venue=VENUE,
        instrument_id=LINEAR.instrument_id,
        funding_id=funding_id,
        exec_seq=900,
        rate=Decimal("0.0001"),
        position_qty=Decimal("0.01"),
        mark_price=Decimal(50_000),
        amount=Decimal(amount),
        asset="USDT",
        ts_event_ns=ts,
        ts_init_ns=ts,
    )


class Watch:
    """A reconciliation, the cash that it is told of, and everything that it asked for."""

    def __init__(self, **config):
        self.now = T0
        self.cash = {"USDT": Decimal(1_000)}
        self.price = {"USDT": Decimal(1), "BTC": Decimal(50_000)}
        self.core = ReconCore(ReconConfig(**config), ALL, [VENUE], cash=lambda _v: self.cash, price=self.price.get)
        self.effects = []
        self.core.opened(self.account(numbered=False), self.now)

    def account(self, *executions, cause="audit", numbered=True, usdt=None, fundings=(), positions=None, asked=None):
        return AccountState(
            venue=VENUE,
            exec_seq=0,
            open_orders=(),
            executions=tuple(executions),
            fundings=tuple(fundings),
            positions=positions or {},
            balances={"USDT": self.cash["USDT"] if usdt is None else Decimal(usdt)},
            cause=cause,
            ts_init_ns=self.now,
            numbered=numbered,
            asked_ns=self.now if asked is None else asked,
        )

    def book(self, m, change=None):
        if change is not None:
            self.core.cash_moved(VENUE, "USDT", self.cash["USDT"], self.now)
            self.cash["USDT"] += Decimal(change)
        return self._did(self.core.booked(m, self.now))

    def read(self, *executions, **fields):
        """An account is read, and what it says has settled."""
        self.core.on_account(self.account(*executions, **fields), self.now)
        return self.later(2_001)

    def compared(self, message):
        return self._did(self.core.on_compared(message, self.now))

    def later(self, ms):
        self.now += ms * MS
        return self._did(self.core.on_timer(self.now))

    def _did(self, effects):
        """Rows are durable at once."""
        done = list(effects)
        for effect in effects:
            if isinstance(effect, WriteRows):
                done += self.core.on_committed(effect.commit_id)
        self.effects += done
        return done

    def states(self):
        return {t.diff.ref: (t.diff.diff_class.value, t.state.value) for t in self.core.tracked.values()}

    def codes(self):
        return [e.code for e in self.effects if isinstance(e, Say)]

    def asked(self):
        return [e for e in self.effects if isinstance(e, AskAccount)]


@pytest.fixture
def watch():
    return Watch()
