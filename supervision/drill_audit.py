"""After a drill: the venues' own accounts against the journal and the ledger, read from their files.

Where orders went over the wire the account is the loopback server's, with a statement of every order it ever took.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from adapters.journal.store import open_reader, read_rows
from adapters.okx.instruments import OKX
from adapters.orders.okx_read import id_out
from adapters.paper_store import PaperStore, restore
from adapters.simserver.trading.account import STATEMENT
from adapters.simserver.trading.statement import Executed, NotWhole, Taken, read_statement
from supervision.desk_plan import INSTRUMENTS
from supervision.plan import Paths
from trading.ledger.portfolio import Portfolio
from trading.orders.core import OrderCore, OrderCoreConfig
from trading.orders.journal_rows import PLACING, JournalKind, JournalRow, ReportBody, decode_body
from trading.orders.messages import AccountState, ExecutionReport
from trading.sim.config import SimConfig
from trading.sim.venue import SimVenue

_FILLS = frozenset({JournalKind.PARTIAL, JournalKind.FILL})
_ZERO = Decimal(0)
_EPOCH_AFTER_ALL = 1 << 62


class Audit(msgspec.Struct, kw_only=True):
    """What does not agree; ``lost_fills`` counts executions that only one side knows, and positions that differ.

    Its parts, where they are wanted apart: ``missing_fills`` only the venue knows, ``invented_fills`` only the journal.
    ``duplicated_orders`` also counts orders at the venue that the journal does not know. ``open_orders`` are those that
    the journal leaves without an end, UNKNOWN ones among them. ``residual`` adds up what ledger and venue differ by, in
    positions and balances, and what the two bookkeepings of the ledger differ by.
    """

    fills: int
    lost_fills: int
    duplicated_orders: int
    missing_fills: int = 0
    invented_fills: int = 0
    open_orders: int = 0
    residual: Decimal = _ZERO
    detail: dict[str, Any]


class _Truth(msgspec.Struct, kw_only=True):
    """What a venue says of itself: executions and accepted orders, each as often as it was, and the account."""

    executed: Counter[tuple[object, ...]]
    taken: Counter[str]
    state: AccountState


def audit(paths: Paths, venues: tuple[str, ...]) -> Audit:
    """Sum of venue fills = sum of journal fills; net position at the venue = net position in the ledger.

    ``ValueError`` for a statement that is not whole.
    """
    with open_reader(paths.journal) as db:
        rows = list(read_rows(db))
    portfolio = Portfolio(INSTRUMENTS)
    portfolio.rebuild(rows)
    found = Audit(fills=0, lost_fills=0, duplicated_orders=0, detail={})
    found.open_orders = _left_open(rows)
    found.residual = abs(Decimal(str(portfolio.pnl_view()["ledger_residual"])))
    for venue in venues:
        mine = [row for row in rows if row.venue == venue]
        if paths.account(venue).exists():
            truth, journalled = _by_wire(paths.account(venue), venue), _contents(venue, mine)
        else:
            truth, journalled = _in_cell(paths.paper / f"{venue}.wal", venue), _exec_ids(mine)
        _compare(found, truth, mine, journalled, portfolio)
    return found


def _compare(
    found: Audit,
    truth: _Truth,
    rows: Sequence[JournalRow],
    journalled: Counter[tuple[object, ...]],
    portfolio: Portfolio,
) -> None:
    venue = truth.state.venue
    missing, invented = truth.executed - journalled, journalled - truth.executed
    placed = Counter(row.cl_ord_id for row in rows if row.kind in PLACING)
    known = {_told(venue, cl_ord_id) for cl_ord_id in placed}
    strangers = [cl_ord_id for cl_ord_id in truth.taken if cl_ord_id not in known]
    different = _different(truth.state, portfolio, venue)
    found.duplicated_orders += sum(n - 1 for n in (*placed.values(), *truth.taken.values()) if n > 1) + len(strangers)
    found.missing_fills += missing.total()
    found.invented_fills += invented.total()
    # Balances are the wire's own check: a cell's simulated account begins with what the desk is told it has.
    positions = [i for i in different if i in INSTRUMENTS]
    found.lost_fills += missing.total() + invented.total() + len(positions)
    found.residual += sum((abs(theirs - ours) for theirs, ours in different.values()), _ZERO)
    found.fills += truth.executed.total()
    found.detail[venue] = {
        "executions": truth.executed.total(),
        "journalled": journalled.total(),
        "different": {key: f"venue {theirs}, ledger {ours}" for key, (theirs, ours) in different.items()},
        "orders_taken": truth.taken.total(),
        "strangers": strangers[:10],
        "missing": [str(one) for one in list(missing)[:5]],
        "invented": [str(one) for one in list(invented)[:5]],
        "still_open": len(truth.state.open_orders),
    }


def _different(state: AccountState, portfolio: Portfolio, venue: str) -> dict[str, tuple[Decimal, Decimal]]:
    """(venue's, ours) where they differ: positions by instrument, balances by asset."""
    held = {i: p.qty for i, p in portfolio.positions().items()}
    cash = portfolio.balances_by_venue().get(venue, {})
    pairs = {i: (qty, held.get(i, _ZERO)) for i, qty in state.positions.items()}
    pairs |= {a: (amount, cash[a]) for a, amount in state.balances.items() if a in cash}
    return {key: (theirs, ours) for key, (theirs, ours) in pairs.items() if theirs != ours}


def _left_open(rows: Iterable[JournalRow]) -> int:
    core = OrderCore(INSTRUMENTS, _EPOCH_AFTER_ALL, OrderCoreConfig())
    core.restore(rows)
    return len(core.open_orders())


# --- The venues' side --------------------------------------------------------------------------------


def _in_cell(path: Path, venue: str) -> _Truth:
    state = _state(path, venue)
    executed = Counter[tuple[object, ...]]((report.exec_id,) for report in state.executions)
    return _Truth(executed=executed, taken=Counter(), state=state)


def _by_wire(path: Path, venue: str) -> _Truth:
    lines = read_statement(path / STATEMENT)
    if any(isinstance(line, NotWhole) for line in lines):
        raise ValueError(f"the statement of {venue} is not whole: the drill was too long for it")
    return _Truth(
        executed=Counter(
            (one.cl_ord_id, one.instrument_id, one.side, one.qty, one.px, one.fee, one.fee_asset)
            for one in lines
            if isinstance(one, Executed)
        ),
        taken=Counter(one.cl_ord_id for one in lines if isinstance(one, Taken)),
        state=_state(path, venue),
    )


def _state(path: Path, venue: str) -> AccountState:
    instruments = [x for x in INSTRUMENTS.values() if x.venue == venue]
    sim = SimVenue(venue, instruments, SimConfig(initial_balances={}), 0)
    store = PaperStore(path)
    restore(sim, store)
    store.close()
    return sim.state_now(0, "audit", 0)


# --- The journal's side ------------------------------------------------------------------------------


def _exec_ids(rows: Iterable[JournalRow]) -> Counter[tuple[object, ...]]:
    return Counter((row.exec_id or "",) for row in rows if row.kind in _FILLS)


def _contents(venue: str, rows: Iterable[JournalRow]) -> Counter[tuple[object, ...]]:
    """By what was executed and not by its id: one execution under two ids is then one too many."""
    reports = [body.report for body in _bodies(rows) if isinstance(body, ReportBody)]
    return Counter(_content(venue, report) for report in reports)


def _bodies(rows: Iterable[JournalRow]) -> Iterable[object]:
    return (decode_body(row.body) for row in rows if row.kind in _FILLS)


def _content(venue: str, r: ExecutionReport) -> tuple[object, ...]:
    return _told(venue, r.cl_ord_id), r.instrument_id, r.side.value, r.last_qty, r.last_px, r.fee, r.fee_asset


def _told(venue: str, cl_ord_id: str) -> str:
    """Our id as the venue was told it."""
    return id_out(cl_ord_id) if venue == OKX else cl_ord_id
