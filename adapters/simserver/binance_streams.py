"""What Binance derives from its finest streams: slower diffs, aggregated trades, the day's figures, liquidations.

Frames only; no sockets, no books. Slower diffs merge: the first id of the first, the last of the last, and each level
as it was last. Taker orders on perpetuals whose trade id says so are told as liquidations too (``forceOrder``): they
are on the tape in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from adapters.binance.instruments import SPOT
from adapters.simserver.feed import Market
from adapters.simserver.hub import Hub
from adapters.simserver.liquidations import is_liquidation
from adapters.synthetic.steps import StepText
from trading.market.events import Aggressor, Trade

MS = 1_000_000

_encode = msgspec.json.encode


class _Diff(msgspec.Struct, gc=False):
    E: int
    U: int
    u: int
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    T: int = 0
    pu: int = -1
    ps: str = ""


class _Frame(msgspec.Struct, gc=False):
    data: _Diff


_frame = msgspec.json.Decoder(_Frame).decode


class _Merged:
    """Diffs since the last one that was sent at one speed."""

    def __init__(self, every_ns: int) -> None:
        self.every_ns = every_ns
        self.sent_ns = 0
        self.first: _Diff | None = None
        self.last: _Diff | None = None
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}

    def add(self, diff: _Diff) -> None:
        self.first = self.first or diff
        self.last = diff
        self.bids.update(diff.b)
        self.asks.update(diff.a)

    def forget(self) -> None:
        self.first = self.last = None
        self.bids, self.asks = {}, {}


class DerivedStreams:
    """The derived streams of one server. Only what somebody wants is computed."""

    def __init__(self, venue: str, hub: Hub, wall_ns: Callable[[], int]) -> None:
        self._venue = venue
        self._hub = hub
        self._wall_ns = wall_ns
        self._merged: dict[str, _Merged] = {}
        self._names: dict[str, list[tuple[str, int]]] = {}
        self._out: list[tuple[str, bytes]] = []
        self._aggregate: dict[str, list[Trade]] = {}
        self._markets: dict[str, Market] = {}
        self._marks = 0
        self._default_ms = 1000 if venue == SPOT else 250

    def on_depth(self, stream: str, payload: bytes) -> None:
        """A diff of the finest stream: others of the symbol merge it."""
        diff: _Diff | None = None
        for name, every_ns in self._slower_names(stream):
            if not self._hub.wanted(name):
                self._merged.pop(name, None)
                continue
            merged = self._merged.get(name)
            if merged is None:
                merged = self._merged[name] = _Merged(every_ns)
            diff = diff or _frame(payload).data
            merged.add(diff)

    def _slower_names(self, stream: str) -> list[tuple[str, int]]:
        """The slower diffs that a stream is merged into, and how far apart they are (ns)."""
        names = self._names.get(stream)
        if names is None:
            symbol = stream.partition("@")[0]
            speeds = {"": self._default_ms, "@100ms": 100, "@250ms": 250, "@500ms": 500, "@1000ms": 1000}
            found = [(f"{symbol}@depth{suffix}", speed_ms * MS) for suffix, speed_ms in speeds.items()]
            names = self._names[stream] = [one for one in found if one[0] != stream]
        return names

    def on_trade(self, market: Market, trade: Trade) -> None:
        """A print: it joins those of the same taker at the same price, or begins anew; some are liquidations."""
        symbol = market.key.lower()
        name = f"{symbol}@aggTrade"
        if self._hub.wanted(name):
            self._markets[symbol] = market
            run = self._aggregate.setdefault(symbol, [])
            if run and not _same_taker(run[-1], trade):
                self._out.append((name, self._agg_trade(market, run)))
                run.clear()
            run.append(trade)
        if self._venue != SPOT and is_liquidation(trade.trade_id):
            name = f"{symbol}@forceOrder"
            if self._hub.wanted(name):
                self._out.append((name, self._force_order(name, market, trade)))
            if self._hub.wanted("!forceOrder@arr"):
                self._out.append(("!forceOrder@arr", self._force_order("!forceOrder@arr", market, trade)))

    def on_mark(self, stream: str, payload: bytes) -> None:
        """``markPrice`` is every third ``markPrice@1s``."""
        self._marks += 1
        slow = stream.removesuffix("@1s")
        if self._marks % 3 == 0 and slow != stream and self._hub.wanted(slow):
            self._out.append((slow, payload.replace(stream.encode(), slow.encode(), 1)))

    def due(self) -> Iterator[tuple[str, bytes]]:
        """What is to be sent after a batch."""
        for symbol, run in self._aggregate.items():
            if run:
                self._out.append((f"{symbol}@aggTrade", self._agg_trade(self._markets[symbol], run)))
                run.clear()
        now_ns = self._wall_ns()
        for name, merged in self._merged.items():
            if merged.first is not None and now_ns - merged.sent_ns >= merged.every_ns:
                merged.sent_ns = now_ns
                self._out.append((name, self._slower(name, merged)))
        out, self._out = self._out, []
        return iter(out)

    def day(self, market: Market, figures: dict[str, object]) -> list[tuple[str, bytes]]:
        """``ticker``: the day's figures under their short names."""
        name = f"{market.key.lower()}@ticker"
        if not self._hub.wanted(name):
            return []
        body: dict[str, object] = {"e": "24hrTicker", "E": self._wall_ns() // MS, "s": market.key}
        if "pair" in figures:
            body["ps"] = figures["pair"]
        named = {"quoteVolume": figures.get("baseVolume")} | figures  # COIN-M counts in the base asset
        body |= {short: named[long] for short, long in _DAY.items() if long in named}
        return [(name, _encode({"stream": name, "data": body}))]

    def _slower(self, name: str, merged: _Merged) -> bytes:
        first, last = merged.first, merged.last
        assert first is not None
        assert last is not None
        data: dict[str, object] = {"e": "depthUpdate", "E": last.E}
        if self._venue != SPOT:
            data["T"] = last.T
        data["s"] = last.s
        if last.ps:
            data["ps"] = last.ps
        data |= {"U": first.U, "u": last.u}
        if self._venue != SPOT:
            data["pu"] = first.pu
        data |= {"b": list(merged.bids.items()), "a": list(merged.asks.items())}
        merged.forget()
        return _encode({"stream": name, "data": data})

    def _agg_trade(self, market: Market, run: list[Trade]) -> bytes:
        first, last = run[0], run[-1]
        price, qty = texts(market)
        event_ms = last.ts_event_ns // MS
        name = f"{market.key.lower()}@aggTrade"
        data: dict[str, object] = {
            "e": "aggTrade",
            "E": event_ms,
            "s": market.key,
            "a": first.trade_id,
            "p": price(last.price_ticks),
            "q": qty(sum(trade.qty_lots for trade in run)),
            "f": first.trade_id,
            "l": last.trade_id,
            "T": event_ms,
            "m": last.aggressor is Aggressor.SELL,
        }
        if self._venue == SPOT:
            data["M"] = True
        return _encode({"stream": name, "data": data})

    def _force_order(self, name: str, market: Market, trade: Trade) -> bytes:
        price, qty = texts(market)
        at, size, event_ms = price(trade.price_ticks), qty(trade.qty_lots), trade.ts_event_ns // MS
        order: dict[str, object] = {"s": market.key}
        if market.key.endswith("_PERP"):
            order["ps"] = market.key.removesuffix("_PERP")
        order |= {
            "S": "BUY" if trade.aggressor is Aggressor.BUY else "SELL",
            "o": "LIMIT",
            "f": "IOC",
            "q": size,
            "p": at,
            "ap": at,
            "X": "FILLED",
            "l": size,
            "z": size,
            "T": event_ms,
        }
        return _encode({"stream": name, "data": {"e": "forceOrder", "E": event_ms, "o": order}})


_DAY = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "c": "lastPrice",
    "Q": "lastQty",
    "b": "bidPrice",
    "B": "bidQty",
    "a": "askPrice",
    "A": "askQty",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}


def _same_taker(one: Trade, other: Trade) -> bool:
    return (
        one.ts_event_ns == other.ts_event_ns
        and one.price_ticks == other.price_ticks
        and one.aggressor is other.aggressor
    )


_texts: dict[str, tuple[StepText, StepText]] = {}


def texts(market: Market) -> tuple[StepText, StepText]:
    """How the venue spells an instrument's prices and quantities."""
    instrument = market.instrument
    found = _texts.get(instrument.instrument_id)
    if found is None:
        decimals = {SPOT: (8, 8)}.get(instrument.venue) or ((1, 0) if instrument.multiplier > 1 else (2, 3))
        found = StepText(instrument.tick_size, decimals[0]), StepText(instrument.lot_size, decimals[1])
        _texts[instrument.instrument_id] = found
    return found
