"""The ack of a placement whose venue answers with nothing but an id, in the order core's words."""

from __future__ import annotations

from adapters.orders.replies import ZERO
from trading.instruments import Instrument
from trading.orders.messages import ExecType, ExecutionReport, NewOrderSingle, OrdStatus


def ack(
    command: NewOrderSingle, instrument: Instrument, order_id: str, *, event_ns: int, ts_ns: int
) -> ExecutionReport:
    """The order lives, or is held for its trigger, and nothing has happened to it as far as this says."""
    return ExecutionReport(
        venue=command.venue,
        instrument_id=command.instrument_id,
        cl_ord_id=command.cl_ord_id,
        orig_cl_ord_id=None,
        order_id=order_id,
        exec_id=f"{instrument.symbol}:{order_id}:{ExecType.NEW.value}",
        exec_seq=0,
        exec_type=ExecType.NEW,
        ord_status=OrdStatus.NEW if command.trigger is None else OrdStatus.PENDING_TRIGGER,
        side=command.side,
        ord_type=command.ord_type,
        time_in_force=command.time_in_force,
        order_qty=command.order_qty,
        price=command.price,
        last_qty=ZERO,
        last_px=ZERO,
        cum_qty=ZERO,
        leaves_qty=command.order_qty,
        avg_px=ZERO,
        liquidity=None,
        fee=ZERO,
        fee_asset="",
        text="",
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
        trigger=command.trigger,
    )
