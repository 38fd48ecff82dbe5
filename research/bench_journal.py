"""How much of the disk's own speed the journal keeps: durable group commits against append+fdatasync of the same bytes.

Interleaved on one disk in one run; medians. `ratio` starts from encoded rows on both sides (`SqliteJournal.commit` of a
group as the writer gathers it, one batch a row: uniqueness, joining, insert, sync), `ratio_from_rows` from row structs
on both sides. Chain, index and checkpoints happen between
timings, as the writer does them when idle; their cost is `tending_us_per_row`. `paced` is the writer thread at
200 orders a second: from `submit` to the word that the row is durable, with everything else that it does in between.
"""

from __future__ import annotations

import os
import shutil
import statistics
import threading
import time
from pathlib import Path

from adapters.journal.store import JournalFailed, Prepared, SqliteJournal
from adapters.journal.writer import JournalWriter
from trading.orders.journal_rows import JournalKind, RowDraft, encode_group

GROUPS = (1, 10, 100)
BODY_BYTES = 210
ORDERS_PER_S = 200
ROWS_PER_ORDER = 3
"""place, ack, fill: each a batch of its own, as the order core writes them."""


def run(quick: bool, directory: Path) -> dict[str, object]:
    """``{"groups": {"1": {...}}}``; microseconds; ratio is the journal's rate over the file's."""
    place = directory / f"bench-journal-{os.getpid()}"
    place.mkdir(parents=True)
    try:
        return {**_run(60 if quick else 400, place), "paced": _paced(2 if quick else 10, place / "paced.db")}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run(rounds: int, place: Path) -> dict[str, object]:
    fd = os.open(place / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    groups: dict[str, dict[str, float]] = {}
    seq = 0
    tending_us: list[float] = []
    row_bytes = 0.0
    with SqliteJournal(place / "journal.db") as store:
        for size in GROUPS:
            samples: dict[str, list[int]] = {"journal": [], "raw": [], "journal_from_rows": [], "raw_from_rows": []}
            for _ in range(rounds):
                for from_rows in (False, True):
                    together = [_rows(seq + i * size, size) for i in range(5)]
                    seq += 5 * size
                    row_bytes = _one_round(store, fd, together, samples, from_rows=from_rows)
                    started = time.perf_counter_ns()
                    while store.tend(idle=True):
                        pass
                    tending_us.append((time.perf_counter_ns() - started) / 1e3 / (5 * size))
            groups[str(size)] = _compared(samples)
        head = store.head().seq
    os.close(fd)
    largest = groups[str(GROUPS[-1])]
    tending = statistics.median(tending_us[-2 * rounds :])
    return {
        "groups": groups,
        "row_bytes": round(row_bytes),
        "tending_us_per_row": round(tending, 2),
        # With no idle moment ever the tending is paid too: groups of the largest size, one after the other.
        "sustained_rows_per_s": round(1e6 / (tending + largest["journal_p50_us"] / GROUPS[-1])),
        "rows": head,
    }


def _paced(seconds: int, path: Path) -> dict[str, float]:
    """Orders by the clock, whether or not the disk keeps up: waiting in the queue counts."""
    submitted: list[int] = []
    durable: dict[int, int] = {}
    done = threading.Event()
    failures: list[str] = []
    wanted = seconds * ORDERS_PER_S * ROWS_PER_ORDER

    def on_committed(ids: list[int], _last_seq: int) -> None:
        now = time.perf_counter_ns()
        for batch_id in ids:
            durable[batch_id] = now
        if len(durable) == wanted:
            done.set()

    def on_failed(error: JournalFailed) -> None:
        failures.append(str(error))
        done.set()

    writer = JournalWriter(SqliteJournal(path), on_committed, on_failed)
    pause = threading.Event()
    started = time.perf_counter_ns()
    for number in range(wanted):
        due_s = (started + number * 10**9 // (ORDERS_PER_S * ROWS_PER_ORDER) - time.perf_counter_ns()) / 1e9
        if due_s > 0:
            pause.wait(due_s)
        rows = _rows(number, 1)
        submitted.append(time.perf_counter_ns())
        writer.submit(number, rows)
    done.wait(60)
    took_s = (max(durable.values()) - started) / 1e9
    writer.close()
    if failures:
        raise OSError(failures[0])
    waits = [durable[i] - at for i, at in enumerate(submitted)]
    cuts = statistics.quantiles(waits, n=100)
    return {
        "orders_per_s": round(wanted / ROWS_PER_ORDER / took_s, 1),
        "rows_per_s": round(wanted / took_s, 1),
        "commit_p50_us": round(statistics.median(waits) / 1e3, 1),
        "commit_p99_us": round(cuts[98] / 1e3, 1),
        "commit_max_us": round(max(waits) / 1e3, 1),
        "seconds": seconds,
    }


def _one_round(
    store: SqliteJournal, fd: int, groups: list[list[RowDraft]], samples: dict[str, list[int]], *, from_rows: bool
) -> float:
    suffix = "_from_rows" if from_rows else ""
    for rows in groups:
        batches = [Prepared((row,)) for row in rows]
        started = time.perf_counter_ns()
        store.commit([Prepared((row,)) for row in rows] if from_rows else batches)
        samples["journal" + suffix].append(time.perf_counter_ns() - started)
    for rows in groups:
        group = encode_group(rows)
        started = time.perf_counter_ns()
        os.write(fd, encode_group(rows) if from_rows else group)
        os.fdatasync(fd)
        samples["raw" + suffix].append(time.perf_counter_ns() - started)
    return len(group) / len(rows)


def _compared(samples: dict[str, list[int]]) -> dict[str, float]:
    medians = {name: statistics.median(values) / 1e3 for name, values in samples.items()}
    return {
        **{f"{name}_p50_us": round(value, 1) for name, value in medians.items()},
        "journal_p99_us": round(statistics.quantiles(samples["journal"], n=100)[98] / 1e3, 1),
        "raw_p99_us": round(statistics.quantiles(samples["raw"], n=100)[98] / 1e3, 1),
        "ratio": round(medians["raw"] / medians["journal"], 3),
        "ratio_from_rows": round(medians["raw_from_rows"] / medians["journal_from_rows"], 3),
    }


def _rows(start: int, count: int) -> list[RowDraft]:
    return [
        RowDraft(
            ts_ns=1_790_000_000_000_000_000 + i,
            kind=JournalKind.PLACE if i % 3 else JournalKind.FILL,
            venue="BINANCEUSDM",
            cl_ord_id=f"e7-{i:010d}",
            exec_id=None if i % 3 else f"{i:012d}",
            parent_id=f"momentum-{i // 4:08d}",
            epoch=7,
            body=i.to_bytes(8, "big") * (BODY_BYTES // 8),
        )
        for i in range(start, start + count)
    ]
