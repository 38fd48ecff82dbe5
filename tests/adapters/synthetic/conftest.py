"""A reference book by Binance's published rules, sharing nothing with the generator."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest


class ReferenceBook:
    """Applies frames as a client must and asserts every rule on the way. Keeps Decimals, as the wire does."""

    def __init__(self, venue):
        self.venue = venue
        self.bids, self.asks = {}, {}
        self.last_update_id = None
        self.previous_final = None
        self.top = None  # what bookTicker says
        self.top_id = -1
        self.burst = []  # prints since the last bookTicker
        self.trade_id = None
        self.kinds = {}
        self.marks = []
        self.trades = []

    def load(self, body):
        message = json.loads(body)
        self.bids = {Decimal(p): Decimal(q) for p, q in message["bids"]}
        self.asks = {Decimal(p): Decimal(q) for p, q in message["asks"]}
        self.last_update_id = message["lastUpdateId"]
        self.previous_final = None

    def best(self):
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]

    def apply(self, payload):
        message = json.loads(payload)
        kind, data = message["stream"].split("@")[1], message["data"]
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        getattr(self, f"on_{kind.lower()}")(data)

    def on_depth(self, data):
        if self.last_update_id is None:
            return
        first, final = data["U"], data["u"]
        assert first <= final
        if self.previous_final is None:
            if self.venue == "binance":
                if final <= self.last_update_id:
                    return
                assert first <= self.last_update_id + 1 <= final
            else:
                if final < self.last_update_id:
                    return
                assert first <= self.last_update_id <= final
        elif self.venue == "binance":
            assert first == self.previous_final + 1
        else:
            assert data["pu"] == self.previous_final
            assert first > data["pu"]
        for book, changed in ((self.bids, data["b"]), (self.asks, data["a"])):
            for price, qty in changed:
                if Decimal(qty) == 0:
                    book.pop(Decimal(price), None)
                else:
                    assert Decimal(qty) > 0
                    book[Decimal(price)] = Decimal(qty)
        self.previous_final = self.last_update_id = final
        bid, _, ask, _ = best = self.best()
        assert bid < ask
        if self.top is not None and self.top_id <= final:
            assert best == self.top

    def on_bookticker(self, data):
        assert data["u"] > self.top_id
        top = tuple(Decimal(data[k]) for k in ("b", "B", "a", "A"))
        if self.top is not None and self.burst:
            self.check_consumption(top)
        self.burst = []
        self.top, self.top_id = top, data["u"]
        assert top[0] < top[2]
        assert top[1] > 0
        assert top[3] > 0

    def check_consumption(self, top):
        """Prints at the touch leave exactly the rest behind, unless the level went."""
        sell = self.burst[0][2]
        price, lots = (self.top[0], self.top[1]) if sell else (self.top[2], self.top[3])
        now_price, now_lots = (top[0], top[1]) if sell else (top[2], top[3])
        printed = sum(q for p, q, _ in self.burst if p == price)
        assert printed <= lots
        if now_price == price:
            assert now_lots == lots - printed

    def on_trade(self, data):
        if self.trade_id is not None:
            assert data["t"] == self.trade_id + 1
        self.trade_id = data["t"]
        price, qty, sell = Decimal(data["p"]), Decimal(data["q"]), data["m"]
        assert qty > 0
        if self.top is not None:
            # An order's first print is at the touch, the next may go deeper and never come back.
            touch = self.top[0] if sell else self.top[2]
            last = self.burst[-1][0] if self.burst else touch
            assert price <= last if sell else price >= last
            assert self.burst or price == touch
        self.burst.append((price, qty, sell))
        self.trades.append((data["T"], price, qty, sell))

    def on_markprice(self, data):
        self.marks.append(data)


@pytest.fixture(scope="session")
def reference_book():
    return ReferenceBook
