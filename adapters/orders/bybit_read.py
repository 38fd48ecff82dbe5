"""Bybit's orders, executions and private topics as messages: pure, `BadReply` for what the document does not say.

Sources: "Get Open & Closed Orders", "Get Trade History", "Order", "Execution", "Position", "Wallet" (private stream),
"Enums Definitions", bybit-exchange.github.io/docs/v5 (read 2026-11). ``execId`` is unique over the account; it keeps
its own form. An ``order`` message repeats sums and is never an execution; those come by ``execution``.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from adapters.orders import reading as r
from adapters.orders.news import (
    BalanceChanged,
    Heartbeat,
    LoggedIn,
    PositionChanged,
    StreamRefused,
    Subscribed,
    Unread,
    UserEvent,
)
from adapters.orders.replies import ZERO
from trading.instruments import Instrument
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    FundingPayment,
    Liquidity,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.orders.triggers import waiting_type

Find = Callable[[str, str], Instrument | None]
"""An instrument by category and symbol: spot and linear share their symbols."""

STATUS = {
    "New": OrdStatus.NEW,
    "PartiallyFilled": OrdStatus.PARTIALLY_FILLED,
    "Filled": OrdStatus.FILLED,
    "Cancelled": OrdStatus.CANCELED,
    "PartiallyFilledCanceled": OrdStatus.CANCELED,
    "Rejected": OrdStatus.REJECTED,
    "Untriggered": OrdStatus.PENDING_TRIGGER,
    "Triggered": OrdStatus.NEW,
    "Deactivated": OrdStatus.CANCELED,
    "Active": OrdStatus.NEW,
    "Created": OrdStatus.PENDING_NEW,
}
_SIDE = {"Buy": Side.BUY, "Sell": Side.SELL}
_TIF = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "PostOnly": TimeInForce.GTX,
    "RPI": TimeInForce.GTX,
}
_TRIGGER_BY = {
    "LastPrice": TriggerPriceType.LAST,
    "MarkPrice": TriggerPriceType.MARK,
    "IndexPrice": TriggerPriceType.INDEX,
}
_ENDED = {OrdStatus.CANCELED: ExecType.CANCELED, OrdStatus.REJECTED: ExecType.REJECTED}
_TRADES = frozenset({"Trade", "AdlTrade", "BustTrade", "Settle", "Delivery", "BlockTrade", "MovePosition"})


def order_report(
    source: r.Row, instrument: Instrument, ts_ns: int, *, exec_type: ExecType | None = None
) -> ExecutionReport:
    """An order as lists and the ``order`` topic show it; without ``exec_type`` it is an ack, an end, or a status."""
    status = STATUS.get(r.text(source, "orderStatus"))
    if status is None:
        raise r.BadReply(f"orderStatus {r.text(source, 'orderStatus')[:40]!r} is not known")
    order_id, event_ns = r.text(source, "orderId"), r.time_ns(source, "updatedTime")
    order_qty, cum_qty = r.amount(source, "qty"), r.amount_or(source, "cumExecQty", ZERO)
    trigger = _trigger(source)
    kind = exec_type or _ENDED.get(status) or _began(status, cum_qty, waited=trigger is not None)
    ord_type = OrdType.LIMIT if r.text(source, "orderType") == "Limit" else OrdType.MARKET
    priced = ord_type is OrdType.LIMIT
    if trigger is not None:
        rising = r.text_or(source, "triggerDirection", "0") == "1"
        ord_type = waiting_type(side_of(source), rising=rising, priced=priced)
    live = status not in _ENDED and status is not OrdStatus.FILLED
    reason = r.text_or(source, "rejectReason")
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=r.text(source, "orderLinkId"),
        orig_cl_ord_id=None,
        order_id=order_id,
        exec_id=report_id(instrument, order_id, kind, event_ns),
        exec_seq=0,
        exec_type=kind,
        ord_status=status,
        side=side_of(source),
        ord_type=ord_type,
        time_in_force=_TIF.get(r.text(source, "timeInForce"), TimeInForce.GTC),
        order_qty=order_qty,
        price=r.amount(source, "price") if priced else None,
        last_qty=ZERO,
        last_px=ZERO,
        cum_qty=cum_qty,
        leaves_qty=order_qty - cum_qty if live else ZERO,
        avg_px=r.amount_or(source, "avgPrice", ZERO),
        liquidity=None,
        fee=ZERO,
        fee_asset="",
        text="" if reason in {"", "EC_NoError"} else reason,
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
        trigger=trigger,
    )


def _began(status: OrdStatus, cum_qty: Decimal, *, waited: bool) -> ExecType:
    """What a row of a live order tells: an ack, the end of a wait, or no more than how it stands."""
    if status is OrdStatus.PENDING_TRIGGER:
        return ExecType.NEW
    if status is not OrdStatus.NEW or cum_qty:
        return ExecType.ORDER_STATUS
    # "New" follows "Triggered" at once: either may be the one that arrives.
    return ExecType.TRIGGERED if waited else ExecType.NEW


def _trigger(source: r.Row) -> TriggeringInstructions | None:
    """What an order waits or waited for; a plain one says 0, "" or nothing."""
    price = r.amount_or(source, "triggerPrice", ZERO)
    if not price:
        return None
    kind = _TRIGGER_BY.get(r.text_or(source, "triggerBy"), TriggerPriceType.LAST)
    return TriggeringInstructions(price, kind, source.get("closeOnTrigger") in (True, "true"))


def report_id(instrument: Instrument, order_id: str, kind: ExecType, event_ns: int) -> str:
    """The id of what is not an execution: the same however it was heard."""
    if kind is ExecType.ORDER_STATUS:
        return f"{instrument.symbol}:{order_id}:status:{event_ns // 1_000_000}"
    return f"{instrument.symbol}:{order_id}:{kind.value}"


def execution(source: r.Row, instrument: Instrument, ts_ns: int) -> ExecutionReport | FundingPayment | None:
    """A row of executions: a trade, a funding payment, or None for what moves no position and no money."""
    kind = r.text(source, "execType")
    if kind == "Funding":
        return _funding(source, instrument, ts_ns)
    if kind not in _TRADES:
        if kind in {"SessionSettlePnL", "UNKNOWN", "FutureSpread"}:
            return None
        raise r.BadReply(f"execType {kind[:40]!r} is not known")
    order_qty, left = r.amount(source, "orderQty"), r.amount_or(source, "leavesQty", ZERO)
    ord_type = OrdType.LIMIT if r.text(source, "orderType") == "Limit" else OrdType.MARKET
    buyer = side_of(source) is Side.BUY
    asset = r.text_or(source, "feeCurrency") or _fee_asset(instrument, buyer=buyer)
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=r.text(source, "orderLinkId"),
        orig_cl_ord_id=None,
        order_id=r.text(source, "orderId"),
        exec_id=r.text(source, "execId"),
        exec_seq=0,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.PARTIALLY_FILLED if left else OrdStatus.FILLED,
        side=side_of(source),
        ord_type=ord_type,
        time_in_force=TimeInForce.GTC,
        order_qty=order_qty,
        price=r.amount_or(source, "orderPrice", ZERO) if ord_type is OrdType.LIMIT else None,
        last_qty=r.amount(source, "execQty"),
        last_px=r.amount(source, "execPrice"),
        cum_qty=max(order_qty - left, ZERO),
        leaves_qty=left,
        avg_px=ZERO,
        liquidity=Liquidity.MAKER if r.truth(source, "isMaker") else Liquidity.TAKER,
        fee=r.amount(source, "execFee"),
        fee_asset=asset,
        text="" if kind == "Trade" else kind,
        ts_event_ns=r.time_ns(source, "execTime"),
        ts_init_ns=ts_ns,
        trade_seq=r.trade_seq(source, "seq"),
    )


def _fee_asset(instrument: Instrument, *, buyer: bool) -> str:
    """Where the venue does not say: spot takes from what is received, contracts from what they settle in."""
    if instrument.instrument_id.split(":")[1] == "SPOT":
        return instrument.base if buyer else instrument.quote
    return instrument.settle


def _funding(source: r.Row, instrument: Instrument, ts_ns: int) -> FundingPayment:
    """A funding row: ``execFee`` is what was paid, ``execQty`` the position, ``execPrice`` the mark price."""
    return FundingPayment(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        funding_id=r.text(source, "execId"),
        exec_seq=0,
        rate=r.amount_or(source, "feeRate", ZERO),
        position_qty=r.amount(source, "execQty") * side_of(source).sign,
        mark_price=r.amount(source, "execPrice"),
        amount=-r.amount(source, "execFee"),
        asset=r.text_or(source, "feeCurrency") or instrument.settle,
        ts_event_ns=r.time_ns(source, "execTime"),
        ts_init_ns=ts_ns,
    )


def side_of(source: r.Row) -> Side:
    """Buy or Sell."""
    side = _SIDE.get(r.text(source, "side"))
    if side is None:
        raise r.BadReply(f"side {r.text(source, 'side')[:40]!r} is not known")
    return side


# --- The stream --------------------------------------------------------------------------------------------


def decode_user(payload: bytes, venue: str, find: Find, ts_ns: int) -> tuple[UserEvent, ...]:
    """A message of ``/v5/private``."""
    try:
        message = r.row(r.parse(payload))
        if "topic" in message:
            return _pushed(message, venue, find, ts_ns, payload)
        return _answer(message)
    except r.BadReply as trouble:
        return (Unread(reason=str(trouble), payload=payload[:400]),)


def _answer(message: r.Row) -> tuple[UserEvent, ...]:
    op = r.text(message, "op")
    if op in {"pong", "ping"}:
        return (Heartbeat(),)
    granted = message.get("success") is True or message.get("retCode") == 0
    if not granted:
        text = r.text_or(message, "ret_msg") or r.text_or(message, "retMsg")
        # Only a login can be refused for the key's sake; a channel for a wrong name or a wrong account.
        return (StreamRefused(code=op, text=text[:200], auth=op == "auth"),)
    if op == "auth":
        return (LoggedIn(),)
    if op == "subscribe":
        # One request asks for all channels, and its answer names none.
        return (Subscribed(CHANNELS),)
    return ()


CHANNELS = "order,execution,position,wallet"


def _pushed(message: r.Row, venue: str, find: Find, ts_ns: int, payload: bytes) -> tuple[UserEvent, ...]:
    topic = r.text(message, "topic").partition(".")[0]
    out: list[UserEvent] = []
    for source in r.rows(message.get("data"), "data"):
        if topic == "wallet":
            at = r.time_ns(message, "creationTime")
            for coin in r.rows(source.get("coin"), "coin"):
                total = r.amount_or(coin, "walletBalance", ZERO)
                out.append(BalanceChanged(venue=venue, asset=r.text(coin, "coin"), total=total, ts_event_ns=at))
            continue
        if topic not in {"order", "execution", "position"}:
            continue
        instrument = find(r.text(source, "category"), r.text(source, "symbol"))
        if instrument is None:
            reason = f"{topic} of {r.text(source, 'category')} {r.text(source, 'symbol')}, which is not known"
            out.append(Unread(reason=reason, payload=payload[:400]))
        elif topic == "order":
            out.append(order_report(source, instrument, ts_ns))
        elif topic == "execution":
            event = execution(source, instrument, ts_ns)
            if event is not None:
                out.append(event)
        else:
            at = r.time_ns(message, "creationTime")
            out.append(
                PositionChanged(
                    venue=venue, instrument_id=instrument.instrument_id, qty=position_qty(source), ts_event_ns=at
                )
            )
    return tuple(out)


def position_qty(source: r.Row) -> Decimal:
    """Signed; `BadReply` in hedge mode."""
    size = r.amount(source, "size")
    if r.text_or(source, "positionIdx", "0") != "0" and size:
        raise r.BadReply(f"{r.text(source, 'symbol')} has a position of one side only: the account is in hedge mode")
    return -size if r.text_or(source, "side") == "Sell" else size
