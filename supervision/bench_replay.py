"""Replay beside the peers: recordings through the whole desk, the peers' events through ours and theirs in turn."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from adapters.config import load_config
from adapters.wirelog import SessionFacts, inspect_session, open_session
from native import marketdata
from supervision.bench_rig import SYMBOL, USDM, SilentDesk, peer_results
from supervision.desk_plan import INSTRUMENTS, restrict
from supervision.replay import recorded_lines, replay
from trading.market.events import BookTicker, DepthSnapshot, DepthUpdate


def replay_bench(*, quick: bool, data: Path | None, peers_python: str | None, peers_dir: Path | None) -> dict[str, Any]:
    """The recordings through the whole path, then the peers' own events through ours and theirs, in turn."""
    out: dict[str, Any] = {}
    if data is not None and (data / "binance/l2_raw/2024-08-08").exists():
        path = data / "binance/l2_raw/2024-08-08"
        session = open_session(path)
        facts = inspect_session(session)
        config, left_out = restrict(load_config(None, overrides={"session": str(path)}), facts)
        runs = [
            replay(config, facts, recorded_lines(session), name=path.name, left_out=left_out)
            for _ in range(1 if quick else 3)
        ]
        out["recording"] = {
            "times_real_time": statistics.median(r.times_real_time for r in runs),
            "events_per_s": round(statistics.median(r.events / r.wall_s for r in runs)),
            "events": runs[0].events,
            "fills": runs[0].fills,
        }
    n = 100_000 if quick else 300_000
    quotes: list[float] = []
    depth: list[float] = []
    cython_q: list[float] = []
    cython_d: list[float] = []
    rust_q: list[float] = []
    rust_d: list[float] = []
    with_peers = peers_python is not None and peers_dir is not None
    for _ in range(1 if quick else 3):
        quotes.append(_our_quotes(n))
        if with_peers:
            assert peers_python is not None
            assert peers_dir is not None
            cython_q.append(_rate(peer_results(peers_python, peers_dir / "nautilus_bt.py", "quotes", str(n))))
            rust_q.append(_rate(peer_results(peers_python, peers_dir / "nautilus_rust_bt.py", "quotes", str(n))))
        depth.append(_our_depth(n, peers_python, peers_dir))
        if with_peers:
            assert peers_python is not None
            assert peers_dir is not None
            cython_d.append(_rate(peer_results(peers_python, peers_dir / "nautilus_bt.py", "deltas", str(n))))
            rust_d.append(_rate(peer_results(peers_python, peers_dir / "nautilus_rust_bt.py", "deltas", str(n))))
    out["quotes_per_s"] = round(statistics.median(quotes))
    out["depth_msgs_per_s"] = round(statistics.median(depth))
    if with_peers:
        out["nautilus_cython"] = {
            "quotes_per_s": round(statistics.median(cython_q)),
            "depth_msgs_per_s": round(statistics.median(cython_d)),
        }
        out["nautilus_rust"] = {
            "quotes_per_s": round(statistics.median(rust_q)),
            "depth_msgs_per_s": round(statistics.median(rust_d)),
        }
        out["quotes_vs_cython"] = round(statistics.median(a / b for a, b in zip(quotes, cython_q, strict=True)), 2)
        out["depth_vs_cython"] = round(statistics.median(a / b for a, b in zip(depth, cython_d, strict=True)), 2)
        out["quotes_vs_rust"] = round(statistics.median(a / b for a, b in zip(quotes, rust_q, strict=True)), 2)
        out["depth_vs_rust"] = round(statistics.median(a / b for a, b in zip(depth, rust_d, strict=True)), 2)
    return out


def _our_quotes(n: int) -> float:
    import random  # noqa: PLC0415

    rnd = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="propdesk-bench-") as directory:
        facts = SessionFacts(symbols=(("binanceusdm", SYMBOL),), venues=("binanceusdm",))
        desk = SilentDesk(Path(directory), facts)
        mid = 650_000
        events: list[Any] = []
        origin = desk.clock.wall_ns()
        for i in range(n):
            mid += rnd.randint(-3, 3)
            ts = origin + i * 1_000_000
            events.append(
                BookTicker(
                    instrument_id=USDM,
                    update_id=i + 1,
                    bid_ticks=mid,
                    bid_lots=1_000,
                    ask_ticks=mid + 1,
                    ask_lots=1_000,
                    ts_event_ns=ts,
                    ts_recv_ns=ts,
                )
            )
        return desk.run(events, 1_000_000)


def _our_depth(n: int, peers_python: str | None, peers_dir: Path | None) -> float:
    """The peers' own stream (25 levels a message), made by their generator so that both see the same events."""
    if peers_python is None or peers_dir is None:
        return 0.0
    code = (
        f"import sys; sys.path.insert(0, {str(peers_dir)!r}); from _common import gen_stream; import json; "
        f"print(json.dumps(gen_stream({max(1000, n // 25)})))"
    )
    done = subprocess.run([peers_python, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    snap, msgs = json.loads(done.stdout)
    instrument = INSTRUMENTS[USDM]

    def levels(side: list[list[str]]) -> Any:
        """As our parser makes them: the peers' events too are of the peers' own types before the clock starts."""
        pairs = [(instrument.ticks(px), instrument.lots(qty)) for px, qty in side]
        return pairs if marketdata is None else marketdata.Levels(pairs)

    with tempfile.TemporaryDirectory(prefix="propdesk-bench-") as directory:
        desk = SilentDesk(Path(directory), SessionFacts())
        origin = desk.clock.wall_ns()
        events: list[Any] = [
            DepthSnapshot(
                instrument_id=USDM,
                last_update_id=1,
                bids=levels(snap[0]),
                asks=levels(snap[1]),
                ts_event_ns=origin,
                ts_recv_ns=origin,
            )
        ]
        for i, (bids, asks) in enumerate(msgs):
            ts = origin + i * 100_000_000
            events.append(
                DepthUpdate(
                    instrument_id=USDM,
                    first_update_id=i + 1,
                    final_update_id=i + 2,
                    prev_final_update_id=i + 1,
                    bids=levels(bids),
                    asks=levels(asks),
                    ts_event_ns=ts,
                    ts_recv_ns=ts,
                )
            )
        return desk.run(events, 100_000_000)


def _rate(results: dict[str, Any]) -> float:
    return float(next(row["events_s"] for row in results.values() if isinstance(row, dict) and "events_s" in row))
