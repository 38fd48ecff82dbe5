"""How a venue's refusals are said in the words of `trading.orders.messages`: by venues that are simulated and real.

Owns the shape only; why something is refused is the venue's.
"""

from __future__ import annotations

from decimal import Decimal

from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrdStatus,
)

ZERO = Decimal(0)


def rejected(cmd: NewOrderSingle, exec_id: str, exec_seq: int, text: str, ts_ns: int) -> ExecutionReport:
    """The venue's refusal of a new order: it has no ``order_id`` and never existed."""
    return ExecutionReport(
        venue=cmd.venue,
        instrument_id=cmd.instrument_id,
        cl_ord_id=cmd.cl_ord_id,
        orig_cl_ord_id=None,
        order_id="",
        exec_id=exec_id,
        exec_seq=exec_seq,
        exec_type=ExecType.REJECTED,
        ord_status=OrdStatus.REJECTED,
        side=cmd.side,
        ord_type=cmd.ord_type,
        time_in_force=cmd.time_in_force,
        order_qty=cmd.order_qty,
        price=cmd.price,
        last_qty=ZERO,
        last_px=ZERO,
        cum_qty=ZERO,
        leaves_qty=ZERO,
        avg_px=ZERO,
        liquidity=None,
        fee=ZERO,
        fee_asset="",
        text=text,
        ts_event_ns=ts_ns,
        ts_init_ns=ts_ns,
    )


def cancel_reject(
    cmd: OrderCancelRequest | OrderCancelReplaceRequest, status: OrdStatus, text: str, ts_ns: int
) -> OrderCancelReject:
    """The refusal of a cancel or replace; ``status`` is that of the original order, REJECTED when it is unknown."""
    return OrderCancelReject(
        venue=cmd.venue,
        instrument_id=cmd.instrument_id,
        cl_ord_id=cmd.cl_ord_id,
        orig_cl_ord_id=cmd.orig_cl_ord_id,
        ord_status=status,
        text=text,
        ts_event_ns=ts_ns,
        ts_init_ns=ts_ns,
    )
