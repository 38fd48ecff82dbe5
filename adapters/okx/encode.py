"""OKX v5 public market data as bytes: what `adapters.okx.codec` reads, written as the venue writes it. Pure.

Owns spelling and key order; what is said, and when, is the caller's. Formats: "Public Channel" of order book trading
and of public data, okx.com/docs-v5 (read 2026-11), compared with recordings of 2022-05-13. Numbers are texts without
needless zeros, times texts of milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from zlib import crc32

import msgspec

from adapters.okx.checksum import LEVELS
from adapters.synthetic.steps import StepText

Level = tuple[int, int]
Sides = tuple[Sequence[Level], Sequence[Level]]
"""Bids and asks in ticks and lots, best first."""

_encode = msgspec.json.encode


class OkxEncoder:
    """The messages of one instrument. ``ticks`` and ``lots`` are units of its steps."""

    def __init__(self, symbol: str, tick_size: Decimal, lot_size: Decimal) -> None:
        self.symbol = symbol
        self.price = StepText(tick_size)
        self.qty = StepText(lot_size)
        arg = f'{{"arg":{{"channel":"trades","instId":"{symbol}"}}'
        self._trade_head = f'{arg},"data":[{{"instId":"{symbol}","tradeId":"'
        self._best_head = f'{{"arg":{{"channel":"bbo-tbt","instId":"{symbol}"}},"data":[{{"asks":'

    def levels(self, levels: Iterable[Level]) -> str:
        """A JSON array of [price, size, "0", orders]; a removed level has no orders."""
        price, qty = self.price, self.qty
        return "[" + ",".join([f'["{price(t)}","{qty(n)}","0","{orders_of(n)}"]' for t, n in levels]) + "]"

    def books(
        self,
        channel: str,
        sides: Sides,
        ts_ms: int,
        seq_id: int,
        prev_seq_id: int,
        *,
        action: str = "update",
        checksum: int = 0,
    ) -> bytes:
        """A push of a book channel; ``prev_seq_id`` is -1 in a snapshot."""
        bids, asks = sides
        return (
            f'{{"arg":{{"channel":"{channel}","instId":"{self.symbol}"}},"action":"{action}","data":[{{'
            f'"asks":{self.levels(asks)},"bids":{self.levels(bids)},"ts":"{ts_ms}","checksum":{checksum},'
            f'"seqId":{seq_id},"prevSeqId":{prev_seq_id}}}]}}'
        ).encode()

    def checksum(self, sides: Sides) -> int:
        """The venue's checksum of a book that has these sides (`adapters.okx.checksum` says the rule)."""
        price, qty = self.price, self.qty
        bids, asks = [[f"{price(t)}:{qty(n)}" for t, n in side[:LEVELS]] for side in sides]
        texts: list[str] = []
        for k in range(max(len(bids), len(asks))):
            texts += bids[k : k + 1] + asks[k : k + 1]
        unsigned = crc32(":".join(texts).encode())
        return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned

    def best(self, bids: Sequence[Level], asks: Sequence[Level], ts_ms: int, seq_id: int) -> bytes:
        """A push of ``bbo-tbt``: one level a side at most."""
        text = f'{self.levels(asks)},"bids":{self.levels(bids)},"ts":"{ts_ms}","seqId":{seq_id}}}]}}'
        return (self._best_head + text).encode()

    def five(self, sides: Sides, ts_ms: int, seq_id: int) -> bytes:
        """A push of ``books5``: a small book, whole each time."""
        bids, asks = sides
        return (
            f'{{"arg":{{"channel":"books5","instId":"{self.symbol}"}},"data":[{{"asks":{self.levels(asks[:5])},'
            f'"bids":{self.levels(bids[:5])},"instId":"{self.symbol}","ts":"{ts_ms}","seqId":{seq_id}}}]}}'
        ).encode()

    def trade(self, trade_id: int, ticks: int, lots: int, ts_ms: int, *, buy: bool) -> bytes:
        """A push of ``trades``: the fills of one taker order at one price."""
        side = "buy" if buy else "sell"
        text = f'{trade_id}","px":"{self.price(ticks)}","sz":"{self.qty(lots)}","side":"{side}","ts":"{ts_ms}",'
        return f'{self._trade_head}{text}"count":"1","source":"0"}}]}}'.encode()

    def trade_row(self, trade_id: int, ticks: int, lots: int, ts_ms: int, *, buy: bool) -> dict[str, str]:
        """A row of ``/api/v5/market/trades``."""
        row = {"instId": self.symbol, "side": "buy" if buy else "sell", "sz": self.qty(lots), "px": self.price(ticks)}
        return row | {"source": "0", "tradeId": str(trade_id), "ts": str(ts_ms)}

    def mark(self, mark_price: float, ts_ms: int) -> bytes:
        """A push of ``mark-price``."""
        return push("mark-price", {"instId": self.symbol}, [self.mark_row(mark_price, ts_ms)])

    def mark_row(self, mark_price: float, ts_ms: int) -> dict[str, str]:
        """A row of ``mark-price``."""
        row = {"instType": instrument_type(self.symbol), "instId": self.symbol}
        return row | {"markPx": f"{mark_price:.1f}", "ts": str(ts_ms)}

    def rest_book(self, bids: Sequence[Level], asks: Sequence[Level], ts_ms: int, seq_id: int) -> bytes:
        """The reply of ``/api/v5/market/books``."""
        return (
            f'{{"code":"0","msg":"","data":[{{"asks":{self.levels(asks)},"bids":{self.levels(bids)},'
            f'"ts":"{ts_ms}","seqId":{seq_id}}}]}}'
        ).encode()


def orders_of(lots: int) -> int:
    """How many orders make a level: nobody knows, so it is a function of its size. None where there is no level."""
    return 1 + (lots * 2_654_435_761 >> 7) % 12 if lots else 0


def instrument_type(symbol: str) -> str:
    """SPOT, SWAP or FUTURES, as the symbol says."""
    parts = symbol.split("-")
    if len(parts) == 2:
        return "SPOT"
    return "SWAP" if parts[2] == "SWAP" else "FUTURES"


def instrument_code(symbol: str) -> int:
    """The number that the venue gives an instrument, ``instIdCode``; ours follow from the name."""
    return 100_000 + crc32(symbol.encode()) % 9_000_000


def push(channel: str, subject: Mapping[str, str], rows: Sequence[Mapping[str, object]]) -> bytes:
    """A push of rows; ``subject`` is what the subscription named beside the channel."""
    return _encode({"arg": {"channel": channel, **subject}, "data": rows})


def reply(rows: Sequence[object]) -> bytes:
    """A REST reply of rows."""
    return _encode({"code": "0", "msg": "", "data": rows})


def refusal(code: str, msg: str) -> bytes:
    """A REST reply without rows."""
    return _encode({"code": code, "msg": msg, "data": []})
