"""Wire to top of book on recorded bytes: our path and, interleaved with it, the paths of peers.

One step is: raw bytes of a depth frame -> decoded and checked -> proved to follow and applied -> best bid and ask
read. Peers run in their own environment (`scripts/peers_wire.py`) on the same bytes, round by round in turn with
ours. Every path starts from the snapshot and takes all frames; the second half is timed, as a desk runs for days.
Ratios are of medians over rounds of one run, because absolute numbers on shared machines mean little.
The markets are Binance's three and, where they were recorded, the streams of OKX and Bybit (`research.bench_streams`).
"""

from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import SPOT, instruments_of
from adapters.wirelog import LogFile, WireLine, open_session, read_log
from research.bench_book_memory import measure
from research.bench_streams import Stream, streams
from trading.market.events import BookState, DepthSnapshot, DepthUpdate
from trading.market.stitch import BookSync, SequenceRule

PEERS = ("nautilus", "ccxt_pro")
PEERS_DIR = Path(__file__).resolve().parents[1] / "scripts"
"""Where ``peers_wire.py`` is."""

SESSION = "binance/l2_raw/2024-08-08"
NOT_MEASURED = "not measured: the adapter is compiled and takes bytes from a socket of its own only"

RECV_NS = 1_723_161_600_000_000_000


class Market:
    """One recorded market of Binance: its snapshot and the raw diffs that a book applies after it."""

    peers = PEERS

    def __init__(self, file: LogFile, limit: int) -> None:
        self.name = file.path.name.partition("_")[0]
        self.venue = file.venue
        self.instruments = instruments_of(file.venue)
        self.instrument = next(i for i in self.instruments if i.symbol == file.symbol)
        codec = BinanceCodec(self.venue, self.instruments)
        frames: list[tuple[int, bytes]] = []
        snapshots: list[tuple[DepthSnapshot, bytes]] = []
        for line in read_log(file):
            if isinstance(line, WireLine) and (b"@depth" in line.payload[:60] or b"stream" not in line.payload[:20]):
                event = codec.decode_recorded(line.payload, file.symbol, line.ts_recv_ns)
                if isinstance(event, DepthSnapshot):
                    snapshots.append((event, line.payload))
                elif isinstance(event, DepthUpdate):
                    frames.append((event.final_update_id, line.payload))
                # Half as many again are read, because those before the snapshot are left out.
                if snapshots and len(frames) > limit * 3 // 2:
                    break
        self.snapshot, self.snapshot_payload = snapshots[0]
        self.frames = [raw for final, raw in frames if final > self.snapshot.last_update_id][:limit]
        self.untimed = len(self.frames) // 2
        self.timed_frames = self.frames[self.untimed :]
        decoded = (codec.decode(raw, RECV_NS) for raw in self.timed_frames)
        self.levels = sum(len(m.bids) + len(m.asks) for m in decoded if isinstance(m, DepthUpdate))

    @property
    def timed(self) -> int:
        """Messages timed in a round."""
        return len(self.timed_frames)

    def events(self) -> Iterator[DepthSnapshot | DepthUpdate]:
        """The snapshot and what each frame says."""
        codec = BinanceCodec(self.venue, self.instruments)
        yield self.snapshot
        for raw in self.frames:
            event = codec.decode(raw, RECV_NS)
            assert isinstance(event, DepthUpdate)
            yield event

    def fresh(self) -> tuple[BinanceCodec, BookSync]:
        """A codec with empty memories and a book that waits for its first diff."""
        codec = BinanceCodec(self.venue, self.instruments)
        rule = SequenceRule.SPOT if self.venue == SPOT else SequenceRule.FUTURES
        # Frames of other streams are left out here, so no ticker audits the book: the horizon is not looked at.
        sync = BookSync(self.instrument.instrument_id, rule, snapshot_depth=0)
        sync.on_snapshot(self.snapshot)
        return codec, sync

    def round(self) -> float:
        """Seconds for the second half of one pass over the frames, all checks on."""
        codec, sync = self.fresh()
        decode, on_update, book = codec.decode, sync.on_update, sync.book
        best_bid, best_ask = book.best_bid, book.best_ask
        for raw in self.frames[: self.untimed]:
            event = decode(raw, RECV_NS)
            if isinstance(event, DepthUpdate):
                on_update(event)
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        for raw in self.timed_frames:
            event = decode(raw, RECV_NS)
            if isinstance(event, DepthUpdate):
                on_update(event)
            best_bid()
            best_ask()
        seconds = time.perf_counter() - start
        gc.enable()
        if book.state is not BookState.SYNCED or sync.counters.applied != len(self.frames):
            raise RuntimeError(f"{self.name}: {book.state} after {sync.counters}: {sync.reason}")
        return seconds

    def tops(self) -> Iterator[tuple[float, float]]:
        """The best bid and ask after every frame."""
        codec, sync = self.fresh()
        price = self.instrument.price
        for raw in self.frames:
            event = codec.decode(raw, RECV_NS)
            assert isinstance(event, DepthUpdate)
            sync.on_update(event)
            bid, ask = sync.book.best_bid(), sync.book.best_ask()
            assert bid is not None
            assert ask is not None
            yield float(price(bid[0])), float(price(ask[0]))


def digest(tops: Iterable[tuple[float, float]]) -> str:
    """Of every best bid and ask, for comparison with the peers' own."""
    return hashlib.sha256(";".join(f"{bid:.8f},{ask:.8f}" for bid, ask in tops).encode()).hexdigest()


class _Peers:
    """The peers' process: one request, one answer."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.versions: dict[str, str] = self._read()["ready"]
        except RuntimeError:
            self.close()
            raise

    def round(self, market: str, peer: str, *, verify: bool) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{market} {peer} {'verify' if verify else 'time'}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=10)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peers' process ended with {self._process.wait(timeout=10)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def run(peers_python: str | None, peers_dir: Path | None, data: Path, quick: bool) -> dict[str, Any]:
    """The whole comparison, as one JSON-able object.

    Args:
        peers_python: the interpreter of the peers' environment; None measures ours only.
        peers_dir: the folder of ``peers_wire.py``; None is the project's ``scripts``.
        data: the folder of the recordings, or a recording of Binance, each of its markets with a snapshot.
        quick: at most 2,000 frames a market of Binance, 5 passes over a stream and 3 rounds instead of all, 20 and 5.
    """
    limit, passes, rounds = (2000, 5, 3) if quick else (1 << 30, 20, 5)
    session = data / SESSION if (data / SESSION).is_dir() else data
    binance = [Market(file, limit) for file in open_session(session).files]
    recorded = streams(data, passes)
    markets: list[Market | Stream] = [*binance, *recorded]
    memory = {market.name: measure(market.events) for market in markets}
    with tempfile.TemporaryDirectory(prefix="propdesk-bench-") as folder:
        for stream in recorded:
            (Path(folder) / stream.name).write_bytes(b"\n".join(stream.frames))
        script = (peers_dir or PEERS_DIR) / "peers_wire.py"
        command = [str(script), str(session), str(limit), folder, str(passes)]
        peers = _Peers([peers_python, *command]) if peers_python else None
        seconds, mismatches = _compare(markets, peers, rounds)
    return {
        "bench": "wire",
        "rounds": rounds,
        "peers": peers.versions if peers else {},
        "tops_that_differ": mismatches,
        "markets": {m.name: {**_market(m, seconds), "memory": memory[m.name]} for m in markets},
        "total": _total(binance, seconds),
    }


def _compare(
    markets: list[Market | Stream], peers: _Peers | None, rounds: int
) -> tuple[dict[tuple[str, str], list[float]], list[str]]:
    """Seconds of each round by market and path, and whose best prices are not ours."""
    seconds: dict[tuple[str, str], list[float]] = {}
    mismatches: list[str] = []
    try:
        for number in range(rounds + 1):  # the first round warms up and verifies
            for market in markets:
                took = market.round()
                if number:
                    seconds.setdefault((market.name, "propdesk"), []).append(took)
                expected = digest(market.tops()) if peers and not number else ""
                for peer in market.peers if peers else ():
                    assert peers is not None
                    answer = peers.round(market.name, peer, verify=not number)
                    if number:
                        seconds.setdefault((market.name, peer), []).append(answer["seconds"])
                    elif answer["tops"] != expected or answer["frames"] != len(market.frames):
                        mismatches.append(f"{market.name}/{peer}")
    finally:
        if peers:
            peers.close()
    return seconds, mismatches


def _market(market: Market | Stream, seconds: dict[tuple[str, str], list[float]]) -> dict[str, Any]:
    passes = market.passes if isinstance(market, Stream) else 1
    rows: dict[str, Any] = {"frames": market.timed, "levels": market.levels * passes}
    took = {name: median(seconds[market.name, name]) for name in _names([market], seconds)}
    rows |= _rows(took, market.timed, market.levels * passes)
    # A peer that has no way to take these bytes is named, so that nobody thinks that it was forgotten.
    return rows | {peer: NOT_MEASURED for peer in PEERS if peer not in market.peers}


def _total(markets: list[Market], seconds: dict[tuple[str, str], list[float]]) -> dict[str, Any]:
    """Of Binance's markets, which every peer takes."""
    names = _names(markets, seconds)
    sums = {name: sum(median(seconds[m.name, name]) for m in markets) for name in names}
    frames, levels = sum(m.timed for m in markets), sum(m.levels for m in markets)
    return {"of": [m.name for m in markets], "frames": frames, "levels": levels, **_rows(sums, frames, levels)}


def _names(markets: Sequence[Market | Stream], seconds: dict[tuple[str, str], list[float]]) -> list[str]:
    return [name for name in ("propdesk", *PEERS) if all((m.name, name) in seconds for m in markets)]


def _rows(took: dict[str, float], frames: int, levels: int) -> dict[str, Any]:
    rows: dict[str, Any] = {name: _row(seconds, frames, levels) for name, seconds in took.items()}
    for name, seconds in took.items():
        if name != "propdesk":
            rows[name]["propdesk_is_faster_x"] = round(seconds / took["propdesk"], 2)
    return rows


def _row(seconds: float, frames: int, levels: int) -> dict[str, Any]:
    return {
        "us_per_message": round(seconds / frames * 1e6, 2),
        "messages_per_s": round(frames / seconds),
        "ns_per_level": round(seconds / levels * 1e9),
    }
