"""Three Binance instruments and makers of market facts."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import pytest

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import Aggressor, BookState, BookTop, MarkPrice, Trade

D = Decimal
NOW = 1_700_000_000_000_000_000


def _instrument(instrument_id, kind, tick, lot, **fields):
    return Instrument(
        instrument_id=instrument_id,
        venue="v",
        symbol="BTC",
        kind=kind,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick_size=D(tick),
        lot_size=D(lot),
        min_qty=D(lot),
        max_qty=D(1000),
        min_notional=D(5),
        **fields,
    )


def _top(instrument_id, bid, ask, now_ns, *, bid_lots=10, ask_lots=10, state=BookState.SYNCED, update_id=1):
    return BookTop(
        instrument_id=instrument_id,
        state=state,
        update_id=update_id,
        bids=((bid, bid_lots),),
        asks=((ask, ask_lots),),
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
    )


def _trade(instrument_id, price, lots, now_ns):
    return Trade(
        instrument_id=instrument_id,
        trade_id=1,
        price_ticks=price,
        qty_lots=abs(lots),
        aggressor=Aggressor.BUY if lots > 0 else Aggressor.SELL,
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
    )


def _mark(instrument_id, rate, now_ns):
    return MarkPrice(
        instrument_id=instrument_id,
        mark_price=D(50000),
        index_price=None,
        funding_rate=D(rate),
        next_funding_ns=None,
        ts_event_ns=now_ns,
        ts_recv_ns=now_ns,
    )


@pytest.fixture
def kit():
    spot = _instrument("B:SPOT:BTC-USDT", InstrumentKind.SPOT, "0.01", "0.00001", taker_fee=D("0.001"))
    perp = _instrument("B:PERP:BTC-USDT:LINEAR", InstrumentKind.LINEAR, "0.1", "0.001")
    coin = _instrument("B:PERP:BTC-USD:INVERSE", InstrumentKind.INVERSE, "0.1", "1", multiplier=D(100))
    return SimpleNamespace(
        spot=spot,
        perp=perp,
        coin=coin,
        some=lambda *specs: {s.instrument_id: s for s in specs},
        top=_top,
        trade=_trade,
        mark=_mark,
        now=NOW,
        second=1_000_000_000,
    )
