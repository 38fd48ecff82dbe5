"""Recorded streams of OKX and Bybit for the wire bench: snapshots and diffs of one channel of books, as they came.

Owns which recordings these are and the way of their bytes through our codec and books; rounds and comparisons are
`research.bench_wire`'s. A recording is a few seconds long, so a round is many passes over it.
"""

from __future__ import annotations

import gc
import lzma
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import INSTRUMENTS, Category
from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import decode_listing
from trading.instruments import Instrument
from trading.market.events import BookState, DepthSnapshot, DepthUpdate, VenueEvent
from trading.market.stitch import SequenceRule
from trading.market.stream_stitch import StreamSync

OKX_FOLDER, BYBIT_FILE = "okx/cryptofeed_raw", "bybit/l2_raw/2024-12-01_XRPUSDT_ob500.jsonl.xz"
RECV_NS = 1_733_011_200_700_000_000

Decode = Callable[[bytes, int], Sequence[VenueEvent]]

_OKX_PUSH = re.compile(rb'^\{"arg":\{"channel":"books","instId":"([^"]+)"\},"action"')
_OKX_CHECKSUM = re.compile(rb'"checksum":-?\d+\}\]\}$')


class Stream:
    """One recorded stream; ``frames`` are its messages of books, of which the second half is timed."""

    peers = ("ccxt_pro",)

    def __init__(
        self,
        name: str,
        rule: SequenceRule,
        *,
        instruments: Sequence[Instrument],
        frames: list[bytes],
        codec: Callable[[], Decode],
        passes: int,
    ) -> None:
        self.name = name
        self.instruments = instruments
        self.frames = frames
        self.passes = passes
        self.untimed = len(frames) // 2
        self.timed_frames = frames[self.untimed :]
        self.codec = codec
        self._rule = rule
        timed = list(self.events())[self.untimed :]
        if not timed or not all(isinstance(event, DepthUpdate) for event in timed):
            raise ValueError(f"{name}: the second half of this recording is not diffs alone")
        self.levels = sum(len(e.bids) + len(e.asks) for e in timed if isinstance(e, DepthUpdate))

    @property
    def timed(self) -> int:
        """Messages timed in a round."""
        return len(self.timed_frames) * self.passes

    def events(self) -> Iterator[DepthSnapshot | DepthUpdate]:
        """What each frame says."""
        decode = self.codec()
        for raw in self.frames:
            (event,) = decode(raw, RECV_NS)
            if not isinstance(event, DepthSnapshot | DepthUpdate):
                raise TypeError(f"{self.name}: {event}")
            yield event

    def round(self) -> float:
        """Seconds for the second half of every pass, all checks on."""
        gc.collect()
        gc.disable()
        try:
            return sum(self._pass() for _ in range(self.passes))
        finally:
            gc.enable()

    def tops(self) -> Iterator[tuple[float, float]]:
        """The best bid and ask of the frame's book after every frame."""
        price = {one.instrument_id: one.price for one in self.instruments}
        syncs = self._fresh()
        for event in self.events():
            sync = syncs[event.instrument_id]
            _take(sync, event)
            bid, ask = sync.book.best_bid(), sync.book.best_ask()
            assert bid is not None
            assert ask is not None
            yield float(price[event.instrument_id](bid[0])), float(price[event.instrument_id](ask[0]))

    def _pass(self) -> float:
        decode, syncs = self.codec(), self._fresh()
        for raw in self.frames[: self.untimed]:
            (event,) = decode(raw, RECV_NS)
            if isinstance(event, DepthSnapshot | DepthUpdate):
                _take(syncs[event.instrument_id], event)
        paths = {name: (sync.on_update, sync.book.best_bid, sync.book.best_ask) for name, sync in syncs.items()}
        start = time.perf_counter()
        for raw in self.timed_frames:
            (event,) = decode(raw, RECV_NS)
            if isinstance(event, DepthUpdate):
                on_update, best_bid, best_ask = paths[event.instrument_id]
                on_update(event)
                best_bid()
                best_ask()
        seconds = time.perf_counter() - start
        applied = sum(sync.counters.applied for sync in syncs.values())
        if applied != len(self.frames) - len(syncs) or any(s.state is not BookState.SYNCED for s in syncs.values()):
            raise RuntimeError(f"{self.name}: {applied} of {len(self.frames)} messages applied")
        return seconds

    def _fresh(self) -> dict[str, StreamSync]:
        return {one.instrument_id: StreamSync(one.instrument_id, self._rule) for one in self.instruments}


def streams(data: Path, passes: int) -> list[Stream]:
    """The streams whose recordings are in ``data``."""
    found: list[Stream] = []
    if (data / OKX_FOLDER).is_dir():
        found.append(_okx(data / OKX_FOLDER, passes))
    if (data / BYBIT_FILE).is_file():
        found.append(_bybit(data / BYBIT_FILE, passes))
    return found


def _okx(folder: Path, passes: int) -> Stream:
    """``books`` of three symbols on 2022-05-13, numbered as the venue does since then: it states seqId, no checksum."""
    seqs: dict[bytes, int] = {}
    frames: list[bytes] = []
    for line in _lines(folder / "OKX.ws.1.0.txt.xz"):
        payload = line.partition(b": ")[2].strip()
        push = _OKX_PUSH.match(payload)
        if push is None or not line[:1].isdigit():
            continue
        seq = seqs.get(push[1], -1)
        seqs[push[1]] = after = seq + 7 if seq >= 0 else 1000
        frames.append(_OKX_CHECKSUM.sub(b'"checksum":0,"seqId":%d,"prevSeqId":%d}]}' % (after, seq), payload))
    listed: dict[str, Instrument] = {}
    for line in _lines(folder / "OKX.0.txt.xz"):
        listing = decode_listing(line.partition(b" -> ")[2].partition(b": ")[2])
        if b"/public/instruments" in line[:100] and listing is not None:
            listed |= {one.instrument.symbol: one.instrument for one in listing.instruments}
    instruments = [listed[symbol.decode()] for symbol in seqs]
    return Stream(
        "okx",
        SequenceRule.OKX,
        instruments=instruments,
        frames=frames,
        codec=lambda: OkxCodec(instruments).decode,
        passes=passes,
    )


def _bybit(file: Path, passes: int) -> Stream:
    """``orderbook.500`` of XRPUSDT on 2024-12-01."""
    frames = [line.strip() for line in _lines(file)]
    instruments = [one for one in INSTRUMENTS[Category.LINEAR] if one.symbol == "XRPUSDT"]
    return Stream(
        "bybit",
        SequenceRule.BYBIT,
        instruments=instruments,
        frames=frames,
        codec=lambda: BybitCodec(instruments, book_depth=500).decode,
        passes=passes,
    )


def _lines(file: Path) -> list[bytes]:
    with lzma.open(file) as stream:
        return stream.readlines()


def _take(sync: StreamSync, event: DepthSnapshot | DepthUpdate) -> None:
    if isinstance(event, DepthSnapshot):
        sync.on_snapshot(event)
    else:
        sync.on_update(event)
