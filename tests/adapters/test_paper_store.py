"""The store of a simulated account: what was reported survives a killed process, torn writes are cut off."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.paper_store import PaperStore, PaperStoreCorruptError, restore
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import Aggressor, MarkPrice, Trade
from trading.orders.messages import (
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
)
from trading.sim.config import SimConfig
from trading.sim.venue import SimVenue

START_NS = 1_700_000_000_000_000_000
PERP = Instrument(
    instrument_id="SIM:PERP", venue="SIM", symbol="PERP", kind=InstrumentKind.LINEAR, base="BTC", quote="USDT",
    settle="USDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.1"), min_qty=Decimal("0.1"), max_qty=Decimal(100),
    min_notional=Decimal(1),
)  # fmt: skip
SPOT = msgspec.structs.replace(PERP, instrument_id="SIM:SPOT", symbol="SPOT", kind=InstrumentKind.SPOT)


def new_venue(seed=1):
    config = SimConfig(initial_balances={"USDT": Decimal(10_000), "BTC": Decimal(5)}, max_finished_orders=8)
    return SimVenue("SIM", [PERP, SPOT], config, seed)


def state_of(venue):
    return venue.state_now(0, "test", START_NS)


def a_batch(venue, now_ns, instrument, kind, n, tick, size):
    """One thing that happens to a venue."""
    common = {"venue": "SIM", "instrument_id": instrument.instrument_id, "cause": "c", "ts_init_ns": now_ns}
    entry = {
        "side": Side.BUY if size % 2 else Side.SELL,
        "ord_type": OrdType.LIMIT,
        "time_in_force": list(TimeInForce)[size % 4],
        "order_qty": Decimal(size) / 10,
        "price": instrument.price(10_000 + tick),
        "reduce_only": size % 7 == 0,
        "strategy_ids": ("s",),
        "epoch": 1,
    }
    orig = f"o{max(0, n - size % 5)}"
    match kind:
        case "new":
            venue.on_command(NewOrderSingle(cl_ord_id=f"o{n}", **entry, **common), now_ns)
        case "replace":
            venue.on_command(
                OrderCancelReplaceRequest(cl_ord_id=f"o{n}", orig_cl_ord_id=orig, **entry, **common), now_ns
            )
        case "cancel":
            venue.on_command(OrderCancelRequest(cl_ord_id=f"c{n}", orig_cl_ord_id=orig, epoch=1, **common), now_ns)
        case "status":
            venue.on_command(OrderStatusRequest(cl_ord_id=orig, **common), now_ns)
        case "book":
            mid = 10_000 + tick
            venue.on_ticker(mid - 1, size, mid + 1, size, instrument.instrument_id, now_ns)
        case "trade":
            aggressor = Aggressor.BUY if size % 2 else Aggressor.SELL
            venue.on_trade(
                Trade(
                    instrument_id=instrument.instrument_id, trade_id=n, price_ticks=10_000 + tick, qty_lots=size,
                    aggressor=aggressor, ts_event_ns=now_ns, ts_recv_ns=now_ns,
                ),
                now_ns,
            )  # fmt: skip
        case "mark":
            venue.on_mark(
                MarkPrice(
                    instrument_id=PERP.instrument_id, mark_price=PERP.price(10_000 + tick), index_price=None,
                    funding_rate=Decimal(size) / 10_000, next_funding_ns=now_ns + 15_000_000, ts_event_ns=now_ns,
                    ts_recv_ns=now_ns,
                ),
                now_ns,
            )  # fmt: skip


STEPS = st.lists(
    st.tuples(
        st.sampled_from([PERP, SPOT]),
        st.sampled_from(["new", "new", "replace", "cancel", "status", "book", "book", "trade", "mark"]),
        st.integers(-3, 3),
        st.integers(1, 40),
        st.sampled_from(["nothing", "nothing", "nothing", "crash", "checkpoint", "crash in checkpoint"]),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_a_crash_at_any_batch_boundary_loses_nothing(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("paper")
    store, venue, now_ns = PaperStore(path), new_venue(), START_NS
    try:
        for n, (instrument, kind, tick, size, then) in enumerate(steps):
            a_batch(venue, now_ns, instrument, kind, n, tick, size)
            now_ns += 10_000_000
            reports = venue.poll(now_ns)
            store.append(venue.drain_log())
            if then == "nothing":
                continue
            before, seen = state_of(venue), reports
            if then == "checkpoint":
                store.checkpoint(venue.dump())
                continue
            if then == "crash in checkpoint":
                stale = store.log_path
                kept = stale.read_bytes()
                store.checkpoint(venue.dump())
                stale.write_bytes(kept)
            store.close()
            store, venue = PaperStore(path), new_venue(seed=n)
            found = restore(venue, store)
            assert found.truncated_bytes == 0
            assert state_of(venue) == before
            known = {e.exec_id for e in (*before.executions,)}
            assert {r.exec_id for r in seen if getattr(r, "exec_type", None) and r.exec_type.value == "trade"} <= known
            assert venue.drain_log() == []
            # Redoing the log changes nothing: its records are states.
            venue.apply_log(store.load())
            assert state_of(venue) == before
    finally:
        store.close()
        shutil.rmtree(path)


@pytest.fixture
def busy(tmp_path):
    """A store with three batches, and the venue that wrote them."""
    store, venue, now_ns = PaperStore(tmp_path / "paper"), new_venue(), START_NS
    venue.on_ticker(9_999, 50, 10_001, 50, PERP.instrument_id, now_ns)
    states = []
    for n in range(3):
        a_batch(venue, now_ns, PERP, "new", n, 2, 5)
        now_ns += 20_000_000
        venue.poll(now_ns)
        store.append(venue.drain_log())
        states.append(state_of(venue))
    yield store, states
    store.close()


def test_a_torn_tail_is_cut_off_and_told(busy):
    store, states = busy
    whole = store.log_path.read_bytes()
    ends = [e for e in range(len(whole) + 1) if _is_boundary(whole, e)]
    assert len(ends) == 4
    for cut in {*range(ends[2] + 1, len(whole), 97), ends[2] + 3, len(whole) - 1}:
        store.log_path.write_bytes(whole[:cut])
        venue = new_venue()
        found = restore(venue, store)
        assert found.truncated_bytes == cut - ends[2]
        assert state_of(venue) == states[1]
        assert store.log_path.stat().st_size == ends[2]


def _is_boundary(data, end):
    offset = 0
    while offset < end:
        offset += 8 + int.from_bytes(data[offset : offset + 4], "little")
    return offset == end


def test_after_a_torn_tail_appending_goes_on(busy):
    store, _ = busy
    last = store.load()[-1]
    whole = store.log_path.read_bytes()
    os.truncate(store.log_path, len(whole) - 1)
    store.load()
    assert store.truncated_bytes > 0
    store.append([last])
    assert store.load()[-1] == last
    assert store.truncated_bytes == 0


def test_damage_before_the_end_is_not_taken_for_a_torn_tail(busy):
    store, _ = busy
    damaged = bytearray(store.log_path.read_bytes())
    damaged[20] ^= 1
    store.log_path.write_bytes(damaged)
    with pytest.raises(PaperStoreCorruptError, match="byte 0"):
        store.load()


def test_a_damaged_checkpoint_is_told(busy):
    store, _ = busy
    store.checkpoint(new_venue().dump())
    checkpoint = store.path / "checkpoint"
    for damaged in (b"", checkpoint.read_bytes()[:-1], b"\0" * 100):
        checkpoint.write_bytes(damaged)
        with pytest.raises(PaperStoreCorruptError):
            store.load_checkpoint()


def test_a_checkpoint_empties_the_log(busy):
    store, states = busy
    venue = new_venue()
    restore(venue, store)
    store.checkpoint(venue.dump())
    assert store.load() == []
    assert sorted(p.name for p in store.path.iterdir()) == ["checkpoint", "log-00000001"]
    again = new_venue()
    assert restore(again, store).had_checkpoint
    assert state_of(again) == states[-1]


def test_a_refused_write_leaves_the_log_as_it_was(busy, monkeypatch):
    store, _ = busy
    records, size = store.load(), store.log_path.stat().st_size
    really_write = os.write

    def full_disk(fd, data):
        if len(data) < 50:
            raise OSError(28, "No space left on device")
        return really_write(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match="No space"):
        store.append(records)
    monkeypatch.undo()
    assert store.log_path.stat().st_size == size
    assert store.load() == records


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_paper_store as t
store, venue, now_ns = t.PaperStore(Path(sys.argv[1])), t.new_venue(), t.START_NS
for n in range(4_000):
    t.a_batch(venue, now_ns, t.PERP, "book", n, n % 3, 40)
    t.a_batch(venue, now_ns, t.PERP, "new", n, -2 if n % 2 else 2, 1 + n % 2)
    now_ns += 20_000_000
    reports = venue.poll(now_ns)
    store.append(venue.drain_log())
    for report in reports:
        if report.exec_type.value == "trade":
            sys.stdout.write(report.exec_id + "\\n")
            sys.stdout.flush()
"""


@pytest.mark.process
def test_a_killed_process_has_reported_nothing_that_is_not_stored(tmp_path):
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    with child:
        heard = [child.stdout.readline().strip() for _ in range(200)]
        assert all(heard)
        child.send_signal(signal.SIGKILL)
        heard += [line.strip() for line in child.stdout if line.endswith("\n")]
    store, venue = PaperStore(tmp_path), new_venue()
    restore(venue, store)
    store.close()
    assert set(heard) <= {e.exec_id for e in state_of(venue).executions}
