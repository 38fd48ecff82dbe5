"""Execution reports of simulated orders in the words of `trading.orders.messages`.

Follows FIX: a CANCELED or REPLACED report that answers a request carries the request's id as ``cl_ord_id`` and the
order's as ``orig_cl_ord_id``; every other report carries the order's own id and no ``orig_cl_ord_id``.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from trading.instruments import Instrument
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    Liquidity,
)
from trading.sim.state import SimOrder

ZERO = Decimal(0)
AVG_PX_QUANTUM = Decimal("0.0000000001")


def execution_report(
    order: SimOrder,
    instrument: Instrument,
    exec_type: ExecType,
    *,
    exec_id: str,
    exec_seq: int,
    ts_ns: int,
    cl_ord_id: str | None = None,
    orig_cl_ord_id: str | None = None,
    last_qty: Decimal = ZERO,
    last_px: Decimal = ZERO,
    liquidity: Liquidity | None = None,
    fee: Decimal = ZERO,
    fee_asset: str = "",
    text: str = "",
) -> ExecutionReport:
    """The state of ``order`` after the event ``exec_type``. ``avg_px`` is rounded to 10 decimals."""
    cum_qty = instrument.qty(order.cum_lots)
    avg_px = (order.cum_value / cum_qty).quantize(AVG_PX_QUANTUM, rounding=ROUND_HALF_EVEN) if cum_qty else ZERO
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=order.instrument_id,
        cl_ord_id=cl_ord_id or order.cl_ord_id,
        orig_cl_ord_id=orig_cl_ord_id,
        order_id=order.order_id,
        exec_id=exec_id,
        exec_seq=exec_seq,
        exec_type=exec_type,
        ord_status=order.status,
        side=order.side,
        ord_type=order.ord_type,
        time_in_force=order.time_in_force,
        order_qty=instrument.qty(order.order_lots),
        price=None if order.price_ticks is None else instrument.price(order.price_ticks),
        last_qty=last_qty,
        last_px=last_px,
        cum_qty=cum_qty,
        leaves_qty=instrument.qty(order.open_lots) if order.is_open else ZERO,
        avg_px=avg_px,
        liquidity=liquidity,
        fee=fee,
        fee_asset=fee_asset,
        text=text,
        ts_event_ns=ts_ns,
        ts_init_ns=ts_ns,
        trigger=order.trigger,
    )
