"""One governor over two venues that trade the same ticker, and makers of its inbox."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop
from trading.orders.messages import (
    Leg,
    OrderFilled,
    OrderUpdated,
    OrdStatus,
    OrdType,
    ProposedOrder,
    Side,
    TimeInForce,
)
from trading.risk.governor import RiskGovernor
from trading.risk.limits import RiskLimits

D = Decimal
SPOT = "BINANCE:SPOT:BTC-USDT"
PERP = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
NOW = 1_700_000_000_000_000_000


def _instrument(instrument_id, venue, kind, **fields):
    defaults = {
        "symbol": "BTCUSDT",
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "tick_size": D("0.1"),
        "lot_size": D("0.001"),
        "min_qty": D("0.001"),
        "max_qty": D(100),
        "min_notional": D(10),
    }
    return Instrument(instrument_id=instrument_id, venue=venue, kind=kind, **(defaults | fields))


class Desk:
    def __init__(self, governor, instruments):
        self.governor = governor
        self.instruments = instruments
        self.n = 0

    def top(self, instrument_id, *, mid="50000", state=BookState.SYNCED, now_ns=NOW):
        ticks = self.instruments[instrument_id].ticks(mid)
        self.governor.on_top(
            BookTop(
                instrument_id=instrument_id,
                state=state,
                update_id=1,
                bids=((ticks - 1, 10),),
                asks=((ticks + 1, 10),),
                ts_event_ns=now_ns,
                ts_recv_ns=now_ns,
            )
        )

    def order(self, instrument_id=PERP, side=Side.BUY, qty="0.002", price="50000", tif=TimeInForce.GTX, **fields):
        self.n += 1
        order_qty = D(qty)
        values = {
            "cl_ord_id": f"o{self.n}",
            "venue": self.instruments[instrument_id].venue if instrument_id in self.instruments else "nowhere",
            "reduce_only": False,
            "legs": (Leg(strategy_id="s", intent_id="s:1:1", qty=order_qty),),
            "replaces": None,
            "ref_price": D(50000),
        } | fields
        return ProposedOrder(
            instrument_id=instrument_id,
            side=side,
            ord_type=OrdType.LIMIT,
            time_in_force=tif,
            order_qty=order_qty,
            price=None if price is None else D(price),
            book_update_id=1,
            book_ts_recv_ns=NOW,
            story={},
            cause="c",
            ts_init_ns=NOW,
            **values,
        )

    def decide(self, order, now_ns=NOW):
        return self.governor.decide(order, now_ns)

    def update(self, order, status, cum="0", leaves=None):
        self.governor.on_order(
            OrderUpdated(
                venue=order.venue,
                instrument_id=order.instrument_id,
                cl_ord_id=order.cl_ord_id,
                side=order.side,
                ord_type=order.ord_type,
                time_in_force=order.time_in_force,
                ord_status=status,
                order_qty=order.order_qty,
                price=order.price,
                cum_qty=D(cum),
                leaves_qty=order.order_qty - D(cum) if leaves is None else D(leaves),
                avg_px=D(0),
                reduce_only=order.reduce_only,
                legs=order.legs,
                text="",
                cause="c",
                ts_init_ns=NOW,
            )
        )

    def fill(self, order, qty):
        self.governor.on_fill(
            OrderFilled(
                venue=order.venue,
                instrument_id=order.instrument_id,
                cl_ord_id=order.cl_ord_id,
                exec_id="e",
                exec_seq=1,
                side=order.side,
                last_qty=D(qty),
                last_px=D(50000),
                liquidity=None,
                fee=D(0),
                fee_asset="USDT",
                legs=order.legs,
                ts_event_ns=NOW,
                ts_init_ns=NOW,
            )
        )

    def exposure(self, instrument_id=PERP):
        return self.governor.view()["instruments"][instrument_id]


@pytest.fixture
def kit():
    instruments = {
        SPOT: _instrument(SPOT, "binance", InstrumentKind.SPOT),
        PERP: _instrument(PERP, "binanceusdm", InstrumentKind.LINEAR),
    }

    def desk(*, tops=True, amends_in_place=(), **limits):
        made = Desk(RiskGovernor(instruments, RiskLimits(**limits), 3, amends_in_place), instruments)
        if tops:
            for i in instruments:
                made.top(i)
        return made

    return SimpleNamespace(SPOT=SPOT, PERP=PERP, NOW=NOW, desk=desk, instruments=instruments, make=_instrument)


@pytest.fixture
def status():
    return OrdStatus
