"""Bybit v5 public market data as bytes: what `adapters.bybit.codec` reads, written as the venue writes it. Pure.

Owns spelling and key order; what is said, and when, is the caller's. Formats:
bybit-exchange.github.io/docs/v5/websocket/public/{orderbook,trade,ticker,all-liquidation} and docs/v5/market (read
2026-11), compared with messages of 2023 and a recording of 2024-12-01. Contracts have prices of two decimals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from adapters.synthetic.steps import StepText, places

Level = tuple[int, int]
Sides = tuple[Sequence[Level], Sequence[Level]]
"""Bids and asks in ticks and lots, best first."""

_encode = msgspec.json.encode


class BybitEncoder:
    """The messages of one instrument. ``ticks`` and ``lots`` are units of its steps."""

    def __init__(self, symbol: str, tick_size: Decimal, lot_size: Decimal, *, spot: bool, inverse: bool) -> None:
        self.symbol = symbol
        self._spot = spot
        self.price = StepText(tick_size, None if spot else max(2, places(tick_size)))
        self.qty = StepText(lot_size, None if spot else 0 if inverse else places(lot_size))

    def levels(self, levels: Iterable[Level]) -> str:
        """A JSON array of [price, size]; a removed level has size 0."""
        price, qty = self.price, self.qty
        return "[" + ",".join([f'["{price(t)}","{qty(n) if n else "0"}"]' for t, n in levels]) + "]"

    def book(self, depth: int, kind: str, sides: Sides, *, u: int, seq: int, event_ms: int, sent_ms: int) -> bytes:
        """A message of ``orderbook.{depth}``; ``kind`` is snapshot or delta."""
        bids, asks = sides
        return (
            f'{{"topic":"orderbook.{depth}.{self.symbol}","type":"{kind}","ts":{sent_ms},"data":{{"s":"{self.symbol}",'
            f'"b":{self.levels(bids)},"a":{self.levels(asks)},"u":{u},"seq":{seq}}},"cts":{event_ms}}}'
        ).encode()

    def trade(self, trade_id: int, ticks: int, lots: int, *, event_ms: int, sent_ms: int, seq: int, buy: bool) -> bytes:
        """A message of ``publicTrade`` with one execution."""
        row = self.trade_fields(trade_id, ticks, lots, event_ms=event_ms, seq=seq, buy=buy)
        return _encode({"topic": f"publicTrade.{self.symbol}", "type": "snapshot", "ts": sent_ms, "data": [row]})

    def trade_fields(
        self, trade_id: int, ticks: int, lots: int, *, event_ms: int, seq: int, buy: bool
    ) -> dict[str, object]:
        """One execution of ``publicTrade``; only contracts say how the price moved."""
        row: dict[str, object] = {"T": event_ms, "s": self.symbol, "S": "Buy" if buy else "Sell"}
        row |= {"v": self.qty(lots), "p": self.price(ticks)}
        if not self._spot:
            row["L"] = "PlusTick" if buy else "MinusTick"
        return row | {"i": self.exec_id(trade_id), "BT": False, "RPI": False, "seq": seq}

    def trade_row(self, exec_id: str, ticks: int, lots: int, event_ms: int, *, buy: bool) -> dict[str, object]:
        """A row of ``/v5/market/recent-trade``."""
        row: dict[str, object] = {"execId": exec_id, "symbol": self.symbol, "price": self.price(ticks)}
        row |= {"size": self.qty(lots), "side": "Buy" if buy else "Sell", "time": str(event_ms)}
        return row | {"isBlockTrade": False, "isRPITrade": False}

    def exec_id(self, trade_id: int) -> str:
        """Spot numbers its trades; contracts name them by UUID."""
        if self._spot:
            return str(2_290_000_000_000_000_000 + trade_id)
        digits = f"{trade_id * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{digits[16:20]}-{digits[20:]}"

    def ticker(self, kind: str, fields: Mapping[str, str], cs: int, sent_ms: int) -> bytes:
        """A message of ``tickers``: a delta names what changed."""
        data = {"symbol": self.symbol, **fields}
        return _encode({"topic": f"tickers.{self.symbol}", "type": kind, "data": data, "cs": cs, "ts": sent_ms})

    def liquidations(self, taken: Sequence[tuple[int, int, int, bool]], sent_ms: int) -> bytes:
        """A message of ``allLiquidation``: (event ms, ticks, lots, whether a long position was liquidated) each."""
        rows = [
            {"T": at, "s": self.symbol, "S": "Buy" if long else "Sell", "v": self.qty(lots), "p": self.price(ticks)}
            for at, ticks, lots, long in taken
        ]
        return _encode({"topic": f"allLiquidation.{self.symbol}", "type": "snapshot", "ts": sent_ms, "data": rows})

    def rest_book(self, sides: Sides, *, u: int, seq: int, event_ms: int, sent_ms: int) -> bytes:
        """The reply of ``/v5/market/orderbook``."""
        bids, asks = sides
        return (
            f'{{"retCode":0,"retMsg":"OK","result":{{"s":"{self.symbol}","b":{self.levels(bids)},"a":{self.levels(asks)},'
            f'"ts":{sent_ms},"u":{u},"seq":{seq},"cts":{event_ms}}},"retExtInfo":{{}},"time":{sent_ms}}}'
        ).encode()


def reply(result: object, now_ms: int) -> bytes:
    """A REST reply."""
    return _encode({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms})


def refusal(code: int, msg: str, now_ms: int) -> bytes:
    """A REST reply that says why there is nothing."""
    return _encode({"retCode": code, "retMsg": msg, "result": {}, "retExtInfo": {}, "time": now_ms})
