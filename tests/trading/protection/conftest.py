"""A protection core with an obedient journal, and makers of what it hears."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop, MarkPrice
from trading.orders.journal_rows import numbered
from trading.orders.messages import Leg, Liquidity, OrderFilled, Side, TargetIntent, Urgency
from trading.protection.core import Protection
from trading.protection.effects import Say, WriteRows
from trading.protection.policy import ExitPolicy, Watched

PERP, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCE:SPOT:BTC-USDT"
T0 = 1_790_000_000_000_000_000
MS = 1_000_000


def instrument(instrument_id, kind, **fields):
    defaults = {
        "venue": "binanceusdm" if kind is InstrumentKind.LINEAR else "binance",
        "symbol": "BTCUSDT",
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "tick_size": Decimal("0.1"),
        "lot_size": Decimal("0.001"),
        "min_qty": Decimal("0.001"),
        "max_qty": Decimal(100),
        "min_notional": Decimal(5),
    }
    return Instrument(instrument_id=instrument_id, kind=kind, **(defaults | fields))


INSTRUMENTS = {
    PERP: instrument(PERP, InstrumentKind.LINEAR),
    SPOT: instrument(SPOT, InstrumentKind.SPOT, taker_fee=Decimal("0.001")),
}


class Bench:
    """Rows are durable when the test says `commit`; what is said to the arbiter is kept."""

    def __init__(self, policy=None, *, rows=(), now=T0, epoch=1):
        self.policy = policy or ExitPolicy(watched=Watched.MARK, cooldown_ms=30_000)
        self.core = Protection(INSTRUMENTS, {"m1": self.policy, "m2": self.policy}, epoch)
        self.now = now
        self.rows = list(rows)
        self.waiting = []
        self.said = []
        self.told = []
        self.fills = 0
        self.core.restore(self.rows)
        self.take(self.core.begin(self.now))

    def take(self, effects):
        for effect in effects:
            if isinstance(effect, WriteRows):
                self.waiting.append(effect)
            elif isinstance(effect, Say):
                self.said.append(effect.intent)
            else:
                self.told.append(effect)

    def commit(self):
        while self.waiting:
            batch = self.waiting.pop(0)
            self.rows += numbered(len(self.rows) + 1, batch.rows, bytes(32), bytes(32))
            self.take(self.core.on_committed(batch.commit_id, self.now))

    def later(self, ms):
        self.now += int(ms * MS)
        self.take(self.core.on_timer(self.now))

    def wants(self, lots, *, strategy="m1", instrument_id=PERP, ttl_ms=60_000):
        intent = TargetIntent(
            intent_id=f"{strategy}:{self.now}:{lots}",
            strategy_id=strategy,
            instrument_id=instrument_id,
            target_lots=lots,
            urgency=Urgency.AGGRESSIVE,
            limit_ticks=None,
            confidence=1.0,
            ttl_ns=ttl_ms * MS,
            reasons=("a test",),
            cause="a test",
            ts_init_ns=self.now,
        )
        self.take(self.core.on_intent(intent, self.now))
        return intent

    def fill(self, side, qty, px, *, strategy="m1", instrument_id=PERP, fee="0", fee_asset="USDT"):
        self.fills += 1
        fill = OrderFilled(
            venue=INSTRUMENTS[instrument_id].venue,
            instrument_id=instrument_id,
            cl_ord_id="pd1-1",
            exec_id=f"x{self.fills}",
            exec_seq=self.fills,
            side=side,
            last_qty=Decimal(qty),
            last_px=Decimal(px),
            liquidity=Liquidity.TAKER,
            fee=Decimal(fee),
            fee_asset=fee_asset,
            legs=(Leg(strategy, "i1", Decimal(qty)),),
            ts_event_ns=self.now,
            ts_init_ns=self.now,
        )
        self.take(self.core.on_fill(fill, self.now))
        return fill

    def enter(self, qty="0.010", px="50000", side=Side.BUY):
        """Plan and fill an entry, all of it durable."""
        self.wants(10 if side is Side.BUY else -10)
        self.commit()
        self.fill(side, qty, px)
        self.commit()
        self.said.clear()

    def mark(self, price, instrument_id=PERP):
        mark = MarkPrice(
            instrument_id=instrument_id,
            mark_price=Decimal(price),
            index_price=None,
            funding_rate=None,
            next_funding_ns=None,
            ts_event_ns=self.now,
            ts_recv_ns=self.now,
        )
        self.take(self.core.on_mark(mark, self.now))

    def top(self, bid, ask, instrument_id=PERP, state=BookState.SYNCED):
        spec = INSTRUMENTS[instrument_id]
        top = BookTop(
            instrument_id=instrument_id,
            state=state,
            update_id=1,
            bids=((spec.ticks(bid), 10),),
            asks=((spec.ticks(ask), 10),),
            ts_event_ns=self.now,
            ts_recv_ns=self.now,
        )
        self.take(self.core.on_top(top, self.now))

    def leg(self, strategy="m1", instrument_id=PERP):
        (found,) = [x for x in self.core.legs() if (x.strategy_id, x.instrument_id) == (strategy, instrument_id)]
        return found

    def exits(self):
        """The targets of nothing that were said since the last look."""
        found = [i for i in self.said if ":exit:" in i.intent_id]
        self.said = [i for i in self.said if ":exit:" not in i.intent_id]
        return found


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def new_bench():
    return Bench
