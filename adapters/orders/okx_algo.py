"""Orders that wait at OKX: algo orders of the kind ``conditional``, their requests and rows.

Sources: "Place algo order", "Cancel algo order", "Get algo order details", "Get algo order list", "Order channel",
okx.com/docs-v5 (read 2026-11). An algo order has an id of its own and none of the order endpoints knows it. What it
becomes at its trigger is another order: its ``clOrdId`` is empty, and ``algoClOrdId`` says whose it is. The channel of
algo orders is on another socket (``/ws/v5/business``) than that of orders, which tells of the trigger too; that one
was canceled, or failed at its trigger, is found out by asking.
"""

from __future__ import annotations

from typing import Any

from adapters.orders import reading as r
from adapters.orders.replies import ZERO
from adapters.orders.terms import waiting
from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.orders.triggers import STOPS

PLACE = "/api/v5/trade/order-algo"
CANCEL = "/api/v5/trade/cancel-algos"
ASK = "/api/v5/trade/order-algo"
LIST = "/api/v5/trade/orders-algo-pending"

STATUS = {
    "live": OrdStatus.PENDING_TRIGGER,
    "pause": OrdStatus.PENDING_TRIGGER,
    "partially_effective": OrdStatus.NEW,
    "effective": OrdStatus.NEW,
    "canceled": OrdStatus.CANCELED,
    "order_failed": OrdStatus.REJECTED,
    "partially_failed": OrdStatus.NEW,
}
_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_KINDS = {"last": TriggerPriceType.LAST, "mark": TriggerPriceType.MARK, "index": TriggerPriceType.INDEX}
MARKET = "-1"
"""The price of an order that is a market order once it is triggered."""


def placement(command: NewOrderSingle, instrument: Instrument, sent_id: str, td_mode: str) -> dict[str, Any]:
    """The body of a new algo order; ``ValueError`` names what it cannot carry."""
    trigger, price = waiting(command, instrument)
    if price is not None and command.time_in_force is not TimeInForce.GTC:
        raise ValueError(f"{command.cl_ord_id}: an order that waits is good until it is canceled")
    spot = instrument.kind is InstrumentKind.SPOT
    kind = "sl" if command.ord_type in STOPS else "tp"
    fields: dict[str, Any] = {
        "instId": instrument.symbol,
        "tdMode": "cash" if spot else td_mode,
        "side": command.side.value,
        "ordType": "conditional",
        "sz": r.plain(command.order_qty),
        "algoClOrdId": sent_id,
        f"{kind}TriggerPx": r.plain(trigger.trigger_price),
        f"{kind}TriggerPxType": trigger.trigger_price_type.value,
        f"{kind}OrdPx": MARKET if price is None else r.plain(price),
    }
    if spot:
        fields["tgtCcy"] = "base_ccy"
    elif command.reduce_only:
        fields["reduceOnly"] = "true"
    return fields


def algo_report(source: r.Row, instrument: Instrument, ts_ns: int, cl_ord_id: str) -> ExecutionReport:
    """A row of algo orders as a status: what became of its orders, the order endpoints tell."""
    word, side = r.text(source, "state"), _SIDES.get(r.text(source, "side"))
    status = STATUS.get(word)
    if status is None or side is None:
        raise r.BadReply(f"an algo order that is {word[:40]!r} {r.text(source, 'side')[:10]!r}")
    stops = bool(r.amount_or(source, "slTriggerPx", ZERO))
    kind = "sl" if stops else "tp"
    at = r.text_or(source, f"{kind}OrdPx", MARKET)
    market = at in {"", MARKET}
    ord_type = (OrdType.STOP if market else OrdType.STOP_LIMIT) if stops else OrdType.TAKE_PROFIT
    if not stops and not market:
        ord_type = OrdType.TAKE_PROFIT_LIMIT
    event_ns, algo_id = r.time_ns(source, "uTime"), r.text(source, "algoId")
    own, qty = f"a{algo_id}", r.amount_or(source, "sz", ZERO)
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id=None,
        order_id=r.text_or(source, "ordId") or own,
        exec_id=f"{instrument.symbol}:{own}:status:{event_ns // 1_000_000}",
        exec_seq=0,
        exec_type=ExecType.ORDER_STATUS,
        ord_status=status,
        side=side,
        ord_type=ord_type,
        time_in_force=TimeInForce.GTC,
        order_qty=qty,
        price=None if market else r.amount(source, f"{kind}OrdPx"),
        last_qty=ZERO,
        last_px=ZERO,
        cum_qty=ZERO,
        leaves_qty=qty if status in {OrdStatus.PENDING_TRIGGER, OrdStatus.NEW} else ZERO,
        avg_px=ZERO,
        liquidity=None,
        fee=ZERO,
        fee_asset="",
        text=r.text_or(source, "failCode") if status is OrdStatus.REJECTED else "",
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
        trigger=TriggeringInstructions(
            r.amount_or(source, f"{kind}TriggerPx", ZERO),
            _KINDS.get(r.text_or(source, f"{kind}TriggerPxType"), TriggerPriceType.LAST),
            r.text_or(source, "reduceOnly") == "true",
        ),
    )
