"""How like the real thing the synthetic market is: the same measurements on recordings and on the generator.

``run`` measures both sides, ``table`` prints them with their ratio. The recordings are Binance's of 2024-08-08 (spot,
USD-M, COIN-M), read here without the desk's codecs, so that a shared mistake cannot hide. Does not fit anything:
constants are edited in ``adapters/synthetic/params.py`` by hand with this table as evidence.
"""

from __future__ import annotations

import itertools
import json
import lzma
import statistics
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.synthetic.generator import MarketGenerator
from adapters.synthetic.params import MARKETS, GeneratorSpec, MarketParams

FILES = {
    "BINANCE:SPOT:BTC-USDT": "spot_btcusdt_20240808.dat.xz",
    "BINANCEUSDM:PERP:BTC-USDT:LINEAR": "usdm_btcusdt_20240808.dat.xz",
    "BINANCECOINM:PERP:BTC-USD:INVERSE": "coinm_btcusd_perp_20240808.dat.xz",
}
DEPTH_LEVELS = (1, 5, 10, 20)
BANDS_BPS = (1, 2, 5, 10)
TRADE_QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.99)
_WORLDS = 3
_BOOK_SAMPLE_NS = 500_000_000
_SECOND_NS = 1_000_000_000


@dataclass
class Measured:
    """The rows of one market (name -> value, None where undefined) and its mid price at each whole second."""

    rows: dict[str, float | None]
    mids: dict[int, float]


def run(recordings: Path, *, quick: bool, seed: int = 7) -> dict[str, Any]:
    """Measure the recordings in ``recordings`` (the folder of 2024-08-08) and the generator over equal durations.

    ``quick`` uses the first minute and one synthetic world; otherwise rows are means over several worlds, because one
    world's six minutes may be calm or wild. The result holds ``markets`` (id -> row -> [recorded, synthetic]) and
    ``correlation`` of 1 s returns between venues. Raises ``FileNotFoundError`` where a recording is missing.
    """
    duration_ns = (60 if quick else 340) * _SECOND_NS
    real = {i: measure(MARKETS[i], _recorded(recordings / name, duration_ns)) for i, name in FILES.items()}
    worlds: list[dict[str, Measured]] = []
    for world in range(1 if quick else _WORLDS):
        spec = GeneratorSpec(seed=seed + world, epoch_ns=1_760_000_000 * _SECOND_NS)
        worlds.append({i: measure(MARKETS[i], _synthetic(spec, MARKETS[i], duration_ns)) for i in FILES})
    markets = {
        i: {row: [value, _mean([w[i].rows.get(row) for w in worlds])] for row, value in real[i].rows.items()}
        for i in FILES
    }
    correlation = {
        f"{a.split(':')[0]} / {b.split(':')[0]}": [
            _return_correlation(real[a].mids, real[b].mids),
            _mean([_return_correlation(w[a].mids, w[b].mids) for w in worlds]),
        ]
        for a, b in itertools.combinations(FILES, 2)
    }
    return {
        "synthetic": True,
        "seed": seed,
        "worlds": len(worlds),
        "seconds": duration_ns // _SECOND_NS,
        "markets": markets,
        "correlation": correlation,
    }


def table(result: dict[str, Any]) -> str:
    """The result as markdown; the ratio is synthetic over recorded."""
    lines = [f"Recorded 2024-08-08 against synthetic ({result['worlds']} worlds), {result['seconds']} s each."]
    sections = [*result["markets"].items(), ("Correlation of 1 s returns", result["correlation"])]
    for title, rows in sections:
        lines += ["", f"### {title}", "", "| measure | recorded | synthetic | ratio |", "|---|---:|---:|---:|"]
        for row, (recorded, synthetic) in rows.items():
            ratio = f"{synthetic / recorded:.2f}" if recorded and synthetic is not None else "-"
            lines.append(f"| {row} | {_number(recorded)} | {_number(synthetic)} | {ratio} |")
    return "\n".join(lines) + "\n"


def measure(market: MarketParams, lines: Iterable[tuple[int, bytes]]) -> Measured:
    """All rows of one market from its lines (receipt ns, payload); depth is measured from the snapshot on."""
    tape = _Tape(market)
    for ts_ns, payload in lines:
        tape.read(ts_ns, json.loads(payload))
    return tape.measured()


class _Tape:
    """Collects one market's numbers line by line."""

    def __init__(self, market: MarketParams) -> None:
        self._tick = 1.0 / market.ticks_per_unit
        self._lot = 10.0**-market.lot_decimals
        self._begin_ns = self._end_ns = 0
        self._counts: Counter[str] = Counter()
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._sampled_ns = 0
        self._spreads: list[int] = []
        self._tickers: list[tuple[int, float]] = []
        self._trades: list[int] = []
        self._signs: list[int] = []
        self._flow: Counter[int] = Counter()  # signed lots taken in each second
        self._changes = self._zeros = 0
        self._depth: dict[str, list[float]] = {}

    def read(self, ts_ns: int, message: dict[str, Any]) -> None:
        self._begin_ns = self._begin_ns or ts_ns
        self._end_ns = ts_ns
        if "stream" not in message:
            self._bids, self._asks = self._levels(message["bids"]), self._levels(message["asks"])
            return
        kind, data = message["stream"].split("@")[1], message["data"]
        self._counts[kind] += 1
        if kind == "depth":
            self._on_depth(ts_ns, data)
        elif kind == "bookTicker":
            bid, ask = float(data["b"]), float(data["a"])
            self._spreads.append(round((ask - bid) / self._tick))
            self._tickers.append((ts_ns, (bid + ask) / 2.0))
        elif kind == "trade":
            self._trades.append(round(float(data["q"]) / self._lot))
            self._signs.append(-1 if data["m"] else 1)
            self._flow[ts_ns // _SECOND_NS + 1] += self._signs[-1] * self._trades[-1]

    def _levels(self, pairs: list[list[str]]) -> dict[int, int]:
        return {round(float(p) / self._tick): round(float(q) / self._lot) for p, q in pairs}

    def _on_depth(self, ts_ns: int, data: dict[str, Any]) -> None:
        for book, changed in ((self._bids, data["b"]), (self._asks, data["a"])):
            for ticks, lots in self._levels(changed).items():
                self._changes += 1
                if lots:
                    book[ticks] = lots
                else:
                    self._zeros += 1
                    book.pop(ticks, None)
        if ts_ns - self._sampled_ns >= _BOOK_SAMPLE_NS and len(self._bids) > 500 and len(self._asks) > 500:
            self._sampled_ns = ts_ns
            self._sample()

    def _sample(self) -> None:
        bids, asks = sorted(self._bids, reverse=True), sorted(self._asks)
        if bids[0] >= asks[0]:
            return
        for level in DEPTH_LEVELS:
            lots = (self._bids[bids[level - 1]] + self._asks[asks[level - 1]]) / 2.0
            self._depth.setdefault(f"lots at level {level}, mean", []).append(lots)
            away = ((bids[0] - bids[level - 1]) + (asks[level - 1] - asks[0])) / 2.0
            if level > 1:
                self._depth.setdefault(f"ticks to level {level}, mean", []).append(away)
        falling = [-b for b in bids]
        for bps in BANDS_BPS:
            width = bids[0] * bps * 1e-4
            total = sum(self._bids[b] for b in bids[: bisect_right(falling, -bids[0] + width)])
            total += sum(self._asks[a] for a in asks[: bisect_right(asks, asks[0] + width)])
            self._depth.setdefault(f"lots within {bps} bps, mean", []).append(total / 2.0)

    def measured(self) -> Measured:
        seconds = max(1e-9, (self._end_ns - self._begin_ns) / 1e9)
        rows: dict[str, float | None] = {
            f"{kind} messages/s": self._counts[kind] / seconds for kind in ("depth", "bookTicker", "trade")
        }
        rows["level changes/s"] = self._changes / seconds
        rows["zero-quantity share of changes"] = self._zeros / max(1, self._changes)
        rows["spread mean, ticks"] = statistics.fmean(self._spreads) if self._spreads else None
        rows["spread median, ticks"] = statistics.median(self._spreads) if self._spreads else None
        rows["share of tickers at one tick"] = self._spreads.count(1) / max(1, len(self._spreads))
        rows |= {name: statistics.fmean(values) for name, values in self._depth.items()}
        sizes = sorted(self._trades)
        for q in TRADE_QUANTILES:
            rows[f"trade lots, {q:.0%}"] = sizes[int(q * len(sizes))] if sizes else None
        rows["trade lots, mean"] = statistics.fmean(sizes) if sizes else None
        for lag in (1, 10):
            rows[f"trade sign autocorrelation, lag {lag}"] = _autocorrelation([float(s) for s in self._signs], lag)
        mids = _grid(self._tickers, _SECOND_NS)
        returns = _returns(list(mids.values()))
        tenths = _returns(list(_grid(self._tickers, _SECOND_NS // 10).values()))
        rows["volatility of 100 ms returns, bps"] = statistics.pstdev(tenths) if tenths else None
        rows["volatility of 1 s returns, bps"] = statistics.pstdev(returns) if returns else None
        rows["share of 1 s returns not zero"] = sum(1 for r in returns if r) / max(1, len(returns))
        rows["1 s return autocorrelation, lag 1"] = _autocorrelation(returns, 1)
        rows["absolute 1 s return autocorrelation, lag 1"] = _autocorrelation([abs(r) for r in returns], 1)
        flow = [float(self._flow[k]) for k in list(mids)[1:]]
        rows["order flow and return of the same second, correlation"] = _correlation(flow, returns)
        rows["order flow and return of the next second, correlation"] = _correlation(flow[:-1], returns[1:])
        return Measured(rows, mids)


def _recorded(path: Path, duration_ns: int) -> Iterator[tuple[int, bytes]]:
    begin_ns = 0
    with lzma.open(path, "rb") as lines:
        for line in lines:
            stamp, payload = line.split(b" ", 1)
            begin_ns = begin_ns or int(stamp)
            if int(stamp) - begin_ns > duration_ns:
                return
            yield int(stamp), payload


def _synthetic(spec: GeneratorSpec, market: MarketParams, duration_ns: int) -> Iterator[tuple[int, bytes]]:
    # A fresh book needs some seconds to forget how it was laid out.
    warm_up_ns = 20 * _SECOND_NS
    source = MarketGenerator(spec, market.venue, spec.epoch_ns)
    source.next_batch(spec.epoch_ns + warm_up_ns)
    ts_ns, _, body = source.snapshot(market.symbol)
    yield ts_ns, body
    for end_ns in range(ts_ns + _SECOND_NS, ts_ns + duration_ns + 1, _SECOND_NS):
        yield from source.next_batch(end_ns)


def _grid(points: list[tuple[int, float]], step_ns: int) -> dict[int, float]:
    """The last value at or before each whole step."""
    if not points:
        return {}
    times = [t for t, _ in points]
    first, last = -(-times[0] // step_ns), times[-1] // step_ns
    return {k: points[max(0, bisect_left(times, k * step_ns + 1) - 1)][1] for k in range(first, last + 1)}


def _returns(values: list[float]) -> list[float]:
    return [(b / a - 1.0) * 1e4 for a, b in itertools.pairwise(values)]


def _autocorrelation(values: list[float], lag: int) -> float | None:
    return _correlation(values[:-lag], values[lag:])


def _correlation(a: list[float], b: list[float]) -> float | None:
    if len(a) < 3 or statistics.pstdev(a) == 0.0 or statistics.pstdev(b) == 0.0:
        return None
    return statistics.correlation(a, b)


def _return_correlation(a: dict[int, float], b: dict[int, float]) -> float | None:
    common = sorted(a.keys() & b.keys())
    return _correlation(_returns([a[k] for k in common]), _returns([b[k] for k in common]))


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.fmean(known) if known else None


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
