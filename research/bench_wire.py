"""Wire to top of book on recorded bytes: our path and, interleaved with it, the paths of peers.

One step is: raw bytes of a depth frame -> decoded and checked -> proved to follow and applied -> best bid and ask
read. Peers run in their own environment (`scripts/peers_wire.py`) on the same bytes, round by round in turn with
ours. Every path starts from the snapshot and takes all frames; the second half is timed, as a desk runs for days.
Ratios are of medians over rounds of one run, because absolute numbers on shared machines mean little.
"""

from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

from adapters.binance.codec import BinanceCodec
from adapters.binance.instruments import SPOT, instruments_of
from adapters.wirelog import LogFile, WireLine, open_session, read_log
from trading.market.events import BookState, DepthSnapshot, DepthUpdate
from trading.market.stitch import BookSync, SequenceRule

PEERS = ("nautilus", "ccxt_pro")
PEERS_DIR = Path(__file__).resolve().parents[1] / "scripts"
"""How many times faster than each peer our path is meant to be, in total over the markets."""

RECV_NS = 1_723_161_600_000_000_000


class Market:
    """One recorded market: its snapshot and the raw diffs that a book applies after it."""

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

    def fresh(self) -> tuple[BinanceCodec, BookSync]:
        """A codec with empty memories and a book that waits for its first diff."""
        codec = BinanceCodec(self.venue, self.instruments)
        rule = SequenceRule.SPOT if self.venue == SPOT else SequenceRule.FUTURES
        # Frames of other streams are left out here, so no ticker audits the book: the horizon is not looked at.
        sync = BookSync(self.instrument.instrument_id, rule, snapshot_depth=0)
        sync.on_snapshot(self.snapshot)
        return codec, sync


def our_round(market: Market) -> float:
    """Seconds for the second half of one pass over the market's frames, all checks on."""
    codec, sync = market.fresh()
    decode, on_update, book = codec.decode, sync.on_update, sync.book
    best_bid, best_ask = book.best_bid, book.best_ask
    for raw in market.frames[: market.untimed]:
        event = decode(raw, RECV_NS)
        if isinstance(event, DepthUpdate):
            on_update(event)
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    for raw in market.timed_frames:
        event = decode(raw, RECV_NS)
        if isinstance(event, DepthUpdate):
            on_update(event)
        best_bid()
        best_ask()
    seconds = time.perf_counter() - start
    gc.enable()
    if book.state is not BookState.SYNCED or sync.counters.applied != len(market.frames):
        raise RuntimeError(f"{market.name}: {book.state} after {sync.counters}: {sync.reason}")
    return seconds


def our_tops(market: Market) -> str:
    """The digest of every best bid and ask, for comparison with the peers' own."""
    codec, sync = market.fresh()
    tops: list[str] = []
    for raw in market.frames:
        event = codec.decode(raw, RECV_NS)
        assert isinstance(event, DepthUpdate)
        sync.on_update(event)
        bid, ask = sync.book.best_bid(), sync.book.best_ask()
        assert bid is not None
        assert ask is not None
        price = market.instrument.price
        tops.append(f"{price(bid[0]):.2f},{price(ask[0]):.2f}")
    return hashlib.sha256(";".join(tops).encode()).hexdigest()


class _Peers:
    """The peers' process: one request, one answer."""

    def __init__(self, python: str, script: Path, data: Path, limit: int) -> None:
        self._process = subprocess.Popen(
            [python, str(script), str(data), str(limit)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
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
        data: the folder of the recording (2024-08-08: spot, USD-M and COIN-M, each with a snapshot).
        quick: at most 2,000 frames a market and 3 rounds instead of all and 5.
    """
    limit, rounds = (2000, 3) if quick else (1 << 30, 5)
    markets = [Market(file, limit) for file in open_session(data).files]
    script = (peers_dir or PEERS_DIR) / "peers_wire.py"
    peers = _Peers(peers_python, script, data, limit) if peers_python else None
    seconds: dict[tuple[str, str], list[float]] = {}
    mismatches: list[str] = []
    try:
        for number in range(rounds + 1):  # the first round warms up and verifies
            for market in markets:
                took = our_round(market)
                if number:
                    seconds.setdefault((market.name, "propdesk"), []).append(took)
                expected = our_tops(market) if peers and not number else ""
                for peer in PEERS if peers else ():
                    assert peers is not None
                    answer = peers.round(market.name, peer, verify=not number)
                    if number:
                        seconds.setdefault((market.name, peer), []).append(answer["seconds"])
                    elif answer["tops"] != expected or answer["frames"] != len(market.frames):
                        mismatches.append(f"{market.name}/{peer}")
    finally:
        if peers:
            peers.close()
    return _report(markets, seconds, mismatches, peers.versions if peers else {}, rounds)


def _report(
    markets: list[Market],
    seconds: dict[tuple[str, str], list[float]],
    mismatches: list[str],
    versions: dict[str, str],
    rounds: int,
) -> dict[str, Any]:
    names = [name for name in ("propdesk", *PEERS) if any(name == other for _, other in seconds)]
    per_market: dict[str, Any] = {}
    for market in markets:
        rows: dict[str, Any] = {"frames": len(market.timed_frames), "levels": market.levels}
        for name in names:
            took = median(seconds[market.name, name])
            rows[name] = _row(took, len(market.timed_frames), market.levels)
            if name != "propdesk":
                rows[name]["propdesk_is_faster_x"] = round(took / median(seconds[market.name, "propdesk"]), 2)
        per_market[market.name] = rows
    frames, levels = sum(len(m.timed_frames) for m in markets), sum(m.levels for m in markets)
    total: dict[str, Any] = {"frames": frames, "levels": levels}
    sums = {name: sum(median(seconds[m.name, name]) for m in markets) for name in names}
    for name in names:
        total[name] = _row(sums[name], frames, levels)
        if name != "propdesk":
            ratio = sums[name] / sums["propdesk"]
            total[name]["propdesk_is_faster_x"] = round(ratio, 2)
    return {
        "bench": "wire",
        "rounds": rounds,
        "peers": versions,
        "tops_that_differ": mismatches,
        "markets": per_market,
        "total": total,
    }


def _row(seconds: float, frames: int, levels: int) -> dict[str, Any]:
    return {
        "us_per_message": round(seconds / frames * 1e6, 2),
        "messages_per_s": round(frames / seconds),
        "ns_per_level": round(seconds / levels * 1e9),
    }
