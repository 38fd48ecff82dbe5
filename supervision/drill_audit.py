"""After a drill: the venues' own accounts against the journal and the ledger, read from their files."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec

from adapters.journal.store import open_reader, read_rows
from adapters.paper_store import PaperStore, restore
from supervision.plan import Paths
from supervision.wiring import INSTRUMENTS
from trading.ledger.portfolio import Portfolio
from trading.orders.journal_rows import PLACING
from trading.sim.config import SimConfig
from trading.sim.venue import SimVenue


class Audit(msgspec.Struct, kw_only=True):
    """What does not agree; ``lost_fills`` counts executions that only one side knows, and positions that differ."""

    fills: int
    lost_fills: int
    duplicated_orders: int
    detail: dict[str, Any]


def audit(paths: Paths, venues: tuple[str, ...]) -> Audit:
    """Sum of venue fills = sum of journal fills; net position at the venue = net position in the ledger."""
    with open_reader(paths.journal) as db:
        rows = list(read_rows(db))
    journalled = Counter((row.venue, row.exec_id or "") for row in rows if row.kind.value in {"partial", "fill"})
    portfolio = Portfolio(INSTRUMENTS)
    portfolio.rebuild(rows)
    held = {i: p.qty for i, p in portfolio.positions().items()}
    lost = duplicated = fills = 0
    detail: dict[str, Any] = {}
    for venue in venues:
        instruments = [x for x in INSTRUMENTS.values() if x.venue == venue]
        sim = SimVenue(venue, instruments, SimConfig(initial_balances={}), 0)
        store = PaperStore(paths.paper / f"{venue}.wal")
        restore(sim, store)
        store.close()
        state = sim.state_now(0, "audit", 0)
        executed = Counter((venue, report.exec_id) for report in state.executions)
        mine = Counter({key: n for key, n in journalled.items() if key[0] == venue})
        missing = executed - mine
        extra = mine - executed
        different = {
            instrument_id: f"venue {qty}, ledger {held.get(instrument_id, Decimal(0))}"
            for instrument_id, qty in state.positions.items()
            if qty != held.get(instrument_id, Decimal(0))
        }
        placed = Counter(row.cl_ord_id for row in rows if row.kind in PLACING and row.venue == venue)
        duplicated += sum(n - 1 for n in placed.values() if n > 1)
        lost += sum(missing.values()) + sum(extra.values()) + len(different)
        fills += sum(executed.values())
        detail[venue] = {"executions": sum(executed.values()), "journalled": sum(mine.values()), "different": different}
    return Audit(fills=fills, lost_fills=lost, duplicated_orders=duplicated, detail=detail)
