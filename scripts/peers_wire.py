"""One round of a peer over the recorded depth bytes, on demand: the other half of `research/bench_wire.py`.

Runs in the peers' own environment (nautilus_trader, ccxt, orjson), never in ours. Reads the recordings by itself,
then answers each line ``<market> <peer> verify|time`` on stdin with one JSON line
``{"seconds": .., "frames": .., "tops": sha256 of every best bid and ask}``.
Each peer takes the path that its own adapter takes for these frames; the second half of them is timed. Streams of
other venues are prepared files, a frame a line, snapshots included, and take as many passes as the caller says.
"""

import asyncio
import gc
import hashlib
import json
import lzma
import sys
import time
from importlib.metadata import version
from pathlib import Path

import ccxt.pro
import msgspec
import orjson
from ccxt.async_support.base.ws.client import Client
from ccxt.async_support.base.ws.order_book import OrderBook as CcxtBook
from nautilus_trader.adapters.binance.common.schemas.market import (
    BinanceDataMsgWrapper,
    BinanceOrderBookData,
    BinanceOrderBookMsg,
)
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId


def load(path: Path, limit: int) -> tuple[dict, list[bytes]]:
    """The snapshot and the diffs after it (the frames that a book applies), as raw bytes."""
    snapshot: dict = {}
    frames: list[bytes] = []
    with lzma.open(path) as stream:
        for line in stream:
            payload = line.partition(b" ")[2].strip()
            if payload.startswith(b'{"lastUpdateId"'):
                snapshot = json.loads(payload)
            elif b"@depth" in payload[:60]:
                frames.append(payload)
    last = snapshot["lastUpdateId"]
    kept = [frame for frame in frames if json.loads(frame)["data"]["u"] > last]
    return snapshot, kept[:limit]


def nautilus(snapshot: dict):
    """The adapter's wrapper probe, its schema classes, its deltas, its book."""
    instrument_id = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
    probe = msgspec.json.Decoder(BinanceDataMsgWrapper).decode
    decode = msgspec.json.Decoder(BinanceOrderBookMsg).decode
    book = OrderBook(instrument_id, BookType.L2_MBP)
    whole = {"e": "", "E": 0, "s": "", "U": 0, "u": 0, "b": snapshot["bids"], "a": snapshot["asks"]}
    book.apply_deltas(msgspec.convert(whole, BinanceOrderBookData).parse_to_order_book_deltas(instrument_id, 0))

    def step(raw: bytes) -> tuple:
        if not probe(raw).stream:
            return ()
        book.apply_deltas(decode(raw).data.parse_to_order_book_deltas(instrument_id, 0))
        return book.best_bid_price(), book.best_ask_price()

    return step


def ccxt_pro(snapshot: dict):
    """The handler of ccxt.pro's binance class over its own order book, fed by orjson."""
    exchange = ccxt.pro.binance()
    sides = {side: [[float(p), float(q)] for p, q in snapshot[side]] for side in ("bids", "asks")}
    book = CcxtBook(sides)

    def step(raw: bytes) -> tuple:
        exchange.handle_order_book_message(None, orjson.loads(raw)["data"], book)
        return book["bids"][0][0], book["asks"][0][0]

    return step


def ccxt_pro_stream(venue: str, frames: list[bytes]):
    """The handler of ccxt.pro's class for a whole message, with the markets that it needs, fed by orjson."""
    asyncio.set_event_loop(asyncio.new_event_loop())  # a client makes a future
    exchange = getattr(ccxt.pro, venue)()
    messages = [orjson.loads(frame) for frame in frames]
    symbol_of = {"okx": lambda m: m["arg"]["instId"], "bybit": lambda m: m["data"]["s"]}[venue]
    symbols = {symbol_of(message) for message in messages}
    kinds = {symbol: "spot" if venue == "okx" and symbol.count("-") == 1 else "swap" for symbol in symbols}
    exchange.set_markets(
        [
            exchange.safe_market_structure(
                {"id": symbol, "symbol": symbol, "type": kind, kind: True, "contract": kind == "swap"}
            )
            for symbol, kind in kinds.items()
        ]
    )
    client = Client(f"wss://{venue}/linear", None, None, None, None, {})
    client.subscriptions.update({f"books:{symbol}": True for symbol in symbols})
    handle, books = exchange.handle_order_book, exchange.orderbooks

    def step(raw: bytes) -> tuple:
        message = orjson.loads(raw)
        handle(client, message)
        book = books[symbol_of(message)]
        return book["bids"][0][0], book["asks"][0][0]

    return step


PEERS = {"nautilus": nautilus, "ccxt_pro": ccxt_pro}


def digest(tops: list[tuple]) -> str:
    """Of every best bid and ask."""
    return hashlib.sha256(";".join(f"{float(bid):.8f},{float(ask):.8f}" for bid, ask in tops).encode()).hexdigest()


def versions() -> dict[str, str]:
    """What is compared."""
    return {name: version(name) for name in ("nautilus_trader", "ccxt", "orjson", "msgspec")}


def timed(step, frames: list[bytes], passes: int) -> float:
    """Seconds for the second half of the frames, in every pass."""
    untimed = len(frames) // 2
    seconds = 0.0
    gc.collect()
    gc.disable()
    for _ in range(passes):
        for frame in frames[:untimed]:
            step(frame)
        start = time.perf_counter()
        for frame in frames[untimed:]:
            step(frame)
        seconds += time.perf_counter() - start
    gc.enable()
    return seconds


def main() -> None:
    """Load, say ready, then one round per line."""
    folder, limit, streams, passes = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    data = {path.name.partition("_")[0]: load(path, limit) for path in sorted(folder.glob("*.dat.xz"))}
    prepared = {path.name: path.read_bytes().split(b"\n") for path in streams.iterdir()}
    print(json.dumps({"ready": versions()}), flush=True)
    for line in sys.stdin:
        market, peer, verify = line.split()
        if market in prepared:
            frames, times = prepared[market], passes
            # A stream begins with its snapshots, so that the same handler may take it again.
            step = again = ccxt_pro_stream(market, frames)
        else:
            snapshot, frames = data[market]
            times = 1
            step, again = PEERS[peer](snapshot), PEERS[peer](snapshot)
        seconds = timed(step, frames, times)
        # A second pass, untimed.
        tops = digest([again(frame) for frame in frames]) if verify == "verify" else ""
        print(json.dumps({"seconds": seconds, "frames": len(frames), "tops": tops}), flush=True)


if __name__ == "__main__":
    main()
