"""Brings market data to those in the desk's cell who asked for it: one copy over the link, fanned out here."""

from __future__ import annotations

from typing import Any

import msgspec

import native
from actors.shell import Shell
from trading.market.events import BookTop, MarkPrice, Trade


class MarketSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets what: actor names by instrument. ``always`` get every top and mark first, in this order.

    ``sampled`` get a top of each instrument at most once in ``sample_ns``, and every mark: they value, they do not act.
    """

    always: tuple[str, ...]
    sampled: tuple[str, ...]
    sample_ns: int = 500_000_000
    tops: dict[str, tuple[str, ...]]
    trades: dict[str, tuple[str, ...]]


class Market(Shell):
    """Order matters: risk and arbitration see a top before the strategies that act on it."""

    # What every message looks at, see `ConnectorBase`.
    __slots__ = ("_always", "_sample_at", "_sampled", "_tops", "_trades")

    def start(self, setup: MarketSetup) -> None:
        """Take the table."""
        self._always = setup.always
        self._tops = {k: setup.always + v for k, v in setup.tops.items()}
        self._trades = setup.trades
        self._sampled = setup.sampled
        self._sample_ns = setup.sample_ns
        self._sample_at: dict[str, int] = {}
        if native.orders is not None:
            self._routes[BookTop] = native.orders.fan_out_route(self._tops, self._sample_at, BookTop, self)

    def on(self, msg: Any) -> None:
        """Fan out."""
        kind = type(msg)
        if kind is BookTop:
            tell, instrument_id = self.tell, msg.instrument_id
            if instrument_id not in self._sample_at:
                self._tops.setdefault(instrument_id, self._always)
                self._sample_at[instrument_id] = 0
            if msg.ts_recv_ns >= self._sample_at[instrument_id]:
                self._sample_at[instrument_id] = msg.ts_recv_ns + self._sample_ns
                for name in self._sampled:
                    tell(name, msg)
            for name in self._tops[instrument_id]:
                tell(name, msg)
        elif kind is Trade:
            for name in self._trades.get(msg.instrument_id, ()):
                self.tell(name, msg)
        elif kind is MarkPrice:
            for name in (*self._sampled, *self._tops.get(msg.instrument_id, self._always)):
                self.tell(name, msg)
        else:
            self.unknown(msg)
