"""Orders that wait at Binance's futures: the algo service, its requests, its rows and the events of its orders.

Sources: "New Algo Order", "Cancel Algo Order", "Query Algo Order", "Current All Algo Open Orders", "Event: Algo Order
Update", developers.binance.com USD-M (read 2026-11; COIN-M has the same under ``/dapi``). The order endpoints refuse
such orders with -4120 and know nothing of them. An order of the service has ids of its own; what it becomes at its
trigger is another order, ``actualOrderId``, with the same client id. ``FINISHED`` says that this one is over, and not
how: whoever reads it asks the order endpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from urllib.parse import urlencode

from adapters.orders import reading as r
from adapters.orders.news import Unread, UserEvent
from adapters.orders.replies import ZERO
from adapters.orders.terms import waiting
from adapters.orders.wire import WireKind, WireRequest, wire_request
from trading.instruments import Instrument
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

TYPES = {
    OrdType.STOP: "STOP_MARKET",
    OrdType.STOP_LIMIT: "STOP",
    OrdType.TAKE_PROFIT: "TAKE_PROFIT_MARKET",
    OrdType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT",
}
_TYPES_READ = {word: ord_type for ord_type, word in TYPES.items()}
_WORKING = {TriggerPriceType.MARK: "MARK_PRICE", TriggerPriceType.LAST: "CONTRACT_PRICE"}
_WORKING_READ = {word: kind for kind, word in _WORKING.items()}
STATUS = {
    "NEW": OrdStatus.PENDING_TRIGGER,
    "TRIGGERING": OrdStatus.PENDING_TRIGGER,
    "TRIGGERED": OrdStatus.NEW,
    "FINISHED": OrdStatus.NEW,
    "CANCELED": OrdStatus.CANCELED,
    "EXPIRED": OrdStatus.EXPIRED,
    "REJECTED": OrdStatus.REJECTED,
}
_TOLD = {
    "NEW": ExecType.NEW,
    "TRIGGERED": ExecType.TRIGGERED,
    "FINISHED": ExecType.ORDER_STATUS,
    "CANCELED": ExecType.CANCELED,
    "EXPIRED": ExecType.EXPIRED,
    "REJECTED": ExecType.REJECTED,
}
"""What an event of the service is; TRIGGERING is the moment before TRIGGERED or REJECTED, and tells nothing."""


# --- Out -----------------------------------------------------------------------------------------------------


def place(command: NewOrderSingle, instrument: Instrument, prefix: str, stp: tuple[str, str] | None) -> WireRequest:
    """A new order of the service; ``ValueError`` names what it cannot carry."""
    trigger, price = waiting(command, instrument)
    fields = {
        "algoType": "CONDITIONAL",
        "symbol": instrument.symbol,
        "side": command.side.name,
        "type": TYPES[command.ord_type],
        "quantity": r.plain(command.order_qty),
        "triggerPrice": r.plain(trigger.trigger_price),
        "workingType": _WORKING[trigger.trigger_price_type],
        "clientAlgoId": command.cl_ord_id,
    }
    if price is not None:
        if command.time_in_force is TimeInForce.GTX:
            raise ValueError(f"{command.cl_ord_id}: the service takes GTC, IOC and FOK")
        fields |= {"price": r.plain(price), "timeInForce": command.time_in_force.name}
    if command.reduce_only:
        fields["reduceOnly"] = "true"
    if stp is not None:
        fields[stp[0]] = stp[1]
    body = urlencode(fields).encode()
    path, reduces = f"{prefix}/algoOrder", command.reduce_only
    return wire_request("POST", path, WireKind.PLACE, body=body, weight=0, orders=1, reduces=reduces)


def cancel(command: OrderCancelRequest, prefix: str) -> WireRequest:
    """The end of one that waits."""
    query = urlencode({"clientAlgoId": command.orig_cl_ord_id})
    return wire_request("DELETE", f"{prefix}/algoOrder", WireKind.CANCEL, query=query)


def ask(command: OrderStatusRequest, prefix: str) -> WireRequest:
    """What became of one that waits."""
    query = urlencode({"clientAlgoId": command.cl_ord_id})
    return wire_request("GET", f"{prefix}/algoOrder", WireKind.QUERY, query=query)


# --- In ------------------------------------------------------------------------------------------------------


def algo_report(
    source: r.Row, instrument: Instrument, ts_ns: int, *, exec_type: ExecType | None = None
) -> ExecutionReport:
    """An order of the service as its answers and lists show it."""
    word = r.text(source, "algoStatus")
    return _report(
        instrument,
        ts_ns,
        word=word,
        exec_type=exec_type or _TOLD.get(word, ExecType.ORDER_STATUS),
        cl_ord_id=r.text(source, "clientAlgoId"),
        ids=(r.text(source, "algoId"), r.text_or(source, "actualOrderId")),
        terms=(r.text(source, "side"), r.text(source, "orderType"), r.text_or(source, "timeInForce", "GTC")),
        qty=r.amount_or(source, "quantity", ZERO),
        price=r.amount_or(source, "price", ZERO),
        trigger_price=r.amount(source, "triggerPrice"),
        working=r.text_or(source, "workingType"),
        closes=source.get("reduceOnly") is True or source.get("closePosition") is True,
        text="",
        event_ns=r.time_ns(source, "updateTime"),
    )


def algo_event(
    message: r.Row, find: Callable[[str], Instrument | None], ts_ns: int, payload: bytes
) -> tuple[UserEvent, ...]:
    """``ALGO_UPDATE``."""
    source = r.row(message.get("o"), "o")
    symbol, word = r.text(source, "s"), r.text(source, "X")
    instrument = find(symbol)
    if instrument is None:
        return (Unread(reason=f"an order of {symbol}, which is not known", payload=payload[:400]),)
    if word == "TRIGGERING":
        return ()
    report = _report(
        instrument,
        ts_ns,
        word=word,
        exec_type=_TOLD.get(word, ExecType.ORDER_STATUS),
        cl_ord_id=r.text(source, "caid"),
        ids=(r.text(source, "aid"), r.text_or(source, "ai")),
        terms=(r.text(source, "S"), r.text(source, "o"), r.text_or(source, "f", "GTC")),
        qty=r.amount_or(source, "q", ZERO),
        price=r.amount_or(source, "p", ZERO),
        trigger_price=r.amount(source, "tp"),
        working=r.text_or(source, "wt"),
        closes=source.get("R") is True or source.get("cp") is True,
        text=r.text_or(source, "rm"),
        event_ns=r.time_ns(message, "T"),
    )
    return (report,)


def _report(
    instrument: Instrument,
    ts_ns: int,
    *,
    word: str,
    exec_type: ExecType,
    cl_ord_id: str,
    ids: tuple[str, str],
    terms: tuple[str, str, str],
    qty: Decimal,
    price: Decimal,
    trigger_price: Decimal,
    working: str,
    closes: bool,
    text: str,
    event_ns: int,
) -> ExecutionReport:
    status, ord_type = STATUS.get(word), _TYPES_READ.get(terms[1])
    if status is None or ord_type is None or terms[0] not in Side.__members__:
        raise r.BadReply(f"an order of the algo service that is {word[:40]!r} {terms[0][:10]!r} {terms[1][:40]!r}")
    algo_id, actual_id = ids
    become = actual_id if actual_id not in {"", "0"} else ""
    own = f"a{algo_id}"
    stamp = f":{event_ns // 1_000_000}" if exec_type is ExecType.ORDER_STATUS else ""
    waits = status is OrdStatus.PENDING_TRIGGER
    kind = _WORKING_READ.get(working, TriggerPriceType.LAST)
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id=None,
        order_id=become or own,
        exec_id=f"{instrument.symbol}:{own}:{exec_type.value}{stamp}",
        exec_seq=0,
        exec_type=exec_type,
        ord_status=status,
        side=Side[terms[0]],
        ord_type=ord_type,
        time_in_force=TimeInForce.__members__.get(terms[2], TimeInForce.GTC),
        order_qty=qty,
        price=price or None,
        last_qty=ZERO,
        last_px=ZERO,
        cum_qty=ZERO,
        leaves_qty=qty if waits or status is OrdStatus.NEW else ZERO,
        avg_px=ZERO,
        liquidity=None,
        fee=ZERO,
        fee_asset="",
        text=text,
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
        trigger=TriggeringInstructions(trigger_price, kind, closes),
    )
