"""Binance's orders, executions and user events as messages: pure, `BadReply` for what the documents do not say.

Sources: binance-spot-api-docs rest-api.md and user-data-stream.md, developers.binance.com derivatives "Event: Order
Update", "Event: Balance and Position Update", "Modify Order" (read 2026-11). Owns no error codes and no requests.

An execution's id is ``<symbol>:<trade id>:<order id>``: trade ids count per symbol, and both sides of a trade with
oneself share one. ``exec_seq`` is 0: Binance has no sequence over an account. Lists of executions say nothing of the
order's sums, so those are 0 there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from adapters.binance.instruments import SPOT
from adapters.orders import reading as r
from adapters.orders.binance_algo import algo_event
from adapters.orders.binance_stops import WAITING, waits
from adapters.orders.news import (
    BalanceChanged,
    MarginCalled,
    PositionChanged,
    StreamClosing,
    StreamRefused,
    Subscribed,
    Unread,
    UserEvent,
)
from adapters.orders.replies import ZERO
from trading.instruments import Instrument
from trading.orders.messages import ExecType, ExecutionReport, Liquidity, OrdStatus, OrdType, Side, TimeInForce

STATUS = {
    "NEW": OrdStatus.NEW,
    "PENDING_NEW": OrdStatus.PENDING_NEW,
    "PARTIALLY_FILLED": OrdStatus.PARTIALLY_FILLED,
    "FILLED": OrdStatus.FILLED,
    "CANCELED": OrdStatus.CANCELED,
    "PENDING_CANCEL": OrdStatus.PENDING_CANCEL,
    "REJECTED": OrdStatus.REJECTED,
    "EXPIRED": OrdStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrdStatus.EXPIRED,
}
_SIDE = {"BUY": Side.BUY, "SELL": Side.SELL}
_LIVE = frozenset(
    {
        OrdStatus.NEW,
        OrdStatus.PARTIALLY_FILLED,
        OrdStatus.PENDING_NEW,
        OrdStatus.PENDING_CANCEL,
        OrdStatus.PENDING_TRIGGER,
    }
)
_ENDED = {
    OrdStatus.CANCELED: ExecType.CANCELED,
    OrdStatus.EXPIRED: ExecType.EXPIRED,
    OrdStatus.REJECTED: ExecType.REJECTED,
}
_STREAM_TYPES = {
    "NEW": ExecType.NEW,
    "CANCELED": ExecType.CANCELED,
    "REJECTED": ExecType.REJECTED,
    "EXPIRED": ExecType.EXPIRED,
    "AMENDMENT": ExecType.ORDER_STATUS,
    "REPLACED": ExecType.ORDER_STATUS,
    "TRADE_PREVENTION": ExecType.ORDER_STATUS,
}


def exec_id(symbol: str, trade_id: str, order_id: str) -> str:
    """The id of one execution."""
    return f"{symbol}:{trade_id}:{order_id}"


def report_id(symbol: str, order_id: str, exec_type: ExecType, ts_ns: int) -> str:
    """The id of what is not an execution: the same from REST and stream, so that it counts once."""
    if exec_type is ExecType.ORDER_STATUS:
        return f"{symbol}:{order_id}:status:{ts_ns // 1_000_000}"
    return f"{symbol}:{order_id}:{exec_type.value}"


# --- REST --------------------------------------------------------------------------------------------------


def order_report(
    source: r.Row,
    instrument: Instrument,
    ts_ns: int,
    *,
    exec_type: ExecType | None = None,
    cl_ord_id: str = "",
    orig_cl_ord_id: str | None = None,
) -> ExecutionReport:
    """An order as REST shows it. Without ``exec_type`` it is the type of an end or of a placement's ack.

    ``cl_ord_id`` says whose order it is where the row has another word for it (cancels name themselves).
    """
    status = OrdStatus.PENDING_TRIGGER if waits(source) else _status(r.text(source, "status"))
    order_id = r.text(source, "orderId")
    order_qty, cum_qty = r.amount(source, "origQty"), r.amount(source, "executedQty")
    event_ns = _event_ns(source)
    kind = exec_type or _ENDED.get(status, ExecType.NEW)
    live = status in _LIVE
    ord_type, time_in_force = _terms(r.text(source, "type"), r.text_or(source, "timeInForce", "GTC"))
    price = r.amount(source, "price") if ord_type is OrdType.LIMIT else None
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=cl_ord_id or r.text(source, "clientOrderId"),
        orig_cl_ord_id=orig_cl_ord_id,
        order_id=order_id,
        exec_id=report_id(instrument.symbol, order_id, kind, event_ns),
        exec_seq=0,
        exec_type=kind,
        ord_status=status,
        side=_side(r.text(source, "side")),
        ord_type=ord_type,
        time_in_force=time_in_force,
        order_qty=order_qty,
        price=price,
        last_qty=ZERO,
        last_px=ZERO,
        cum_qty=cum_qty,
        leaves_qty=order_qty - cum_qty if live else ZERO,
        avg_px=_average(source, cum_qty),
        liquidity=None,
        fee=ZERO,
        fee_asset="",
        text="",
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
    )


def fills_of(source: r.Row, instrument: Instrument, base: ExecutionReport, ts_ns: int) -> list[ExecutionReport]:
    """The executions that spot tells with a placement (newOrderRespType FULL), in their order."""
    out: list[ExecutionReport] = []
    cum = ZERO
    for fill in r.rows(source.get("fills", []), "fills"):
        qty, price = r.amount(fill, "qty"), r.amount(fill, "price")
        cum += qty
        out.append(
            _execution(
                base,
                trade_id=r.text(fill, "tradeId"),
                trade_seq=r.trade_seq(fill, "tradeId"),
                symbol=instrument.symbol,
                last_qty=qty,
                last_px=price,
                cum_qty=cum,
                fee=r.amount(fill, "commission"),
                fee_asset=r.text(fill, "commissionAsset"),
                # What trades while it is placed, takes.
                liquidity=Liquidity.TAKER,
                ts_event_ns=base.ts_event_ns,
                ts_ns=ts_ns,
            )
        )
    return out


def trade_report(source: r.Row, instrument: Instrument, cl_ord_id: str, ts_ns: int) -> ExecutionReport:
    """A row of myTrades or userTrades; ``cl_ord_id`` is known from elsewhere."""
    order_id, event_ns = r.text(source, "orderId"), r.time_ns(source, "time")
    spot = instrument.venue == SPOT
    buyer = r.truth(source, "isBuyer" if spot else "buyer")
    maker = r.truth(source, "isMaker" if spot else "maker")
    qty, price = r.amount(source, "qty"), r.amount(source, "price")
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id=None,
        order_id=order_id,
        exec_id=exec_id(instrument.symbol, r.text(source, "id"), order_id),
        exec_seq=0,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.PARTIALLY_FILLED,
        side=Side.BUY if buyer else Side.SELL,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_qty=ZERO,
        price=None,
        last_qty=qty,
        last_px=price,
        cum_qty=ZERO,
        leaves_qty=ZERO,
        avg_px=ZERO,
        liquidity=Liquidity.MAKER if maker else Liquidity.TAKER,
        fee=r.amount(source, "commission"),
        fee_asset=r.text(source, "commissionAsset"),
        text="",
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
        trade_seq=r.trade_seq(source, "id"),
    )


def _execution(
    base: ExecutionReport,
    *,
    trade_id: str,
    trade_seq: int,
    symbol: str,
    last_qty: Decimal,
    last_px: Decimal,
    cum_qty: Decimal,
    fee: Decimal,
    fee_asset: str,
    liquidity: Liquidity,
    ts_event_ns: int,
    ts_ns: int,
) -> ExecutionReport:
    left = base.order_qty - cum_qty
    return ExecutionReport(
        venue=base.venue,
        instrument_id=base.instrument_id,
        cl_ord_id=base.cl_ord_id,
        orig_cl_ord_id=None,
        order_id=base.order_id,
        exec_id=exec_id(symbol, trade_id, base.order_id),
        exec_seq=0,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.FILLED if left <= 0 else OrdStatus.PARTIALLY_FILLED,
        side=base.side,
        ord_type=base.ord_type,
        time_in_force=base.time_in_force,
        order_qty=base.order_qty,
        price=base.price,
        last_qty=last_qty,
        last_px=last_px,
        cum_qty=cum_qty,
        leaves_qty=max(left, ZERO),
        avg_px=base.avg_px,
        liquidity=liquidity,
        fee=fee,
        fee_asset=fee_asset,
        text="",
        ts_event_ns=ts_event_ns,
        ts_init_ns=ts_ns,
        trade_seq=trade_seq,
    )


# --- The stream --------------------------------------------------------------------------------------------


def decode_user(
    payload: bytes, venue: str, find: Callable[[str], Instrument | None], ts_ns: int
) -> tuple[UserEvent, ...]:
    """A message of the user stream: raw, in a combined stream's or the WebSocket API's wrapping."""
    try:
        message = r.row(r.parse(payload))
        inner = message.get("event", message.get("data"))
        if isinstance(inner, dict):
            message = inner
        elif "e" not in message:
            return _answer(message)
        return _event(message, venue, find, ts_ns, payload)
    except r.BadReply as trouble:
        return (Unread(reason=str(trouble), payload=payload[:400]),)


def _answer(message: r.Row) -> tuple[UserEvent, ...]:
    """An answer of the WebSocket API to our own frame."""
    if "status" not in message:
        raise r.BadReply("neither an event nor an answer")
    if message["status"] == 200:
        return (Subscribed("userDataStream"),)
    error = r.row(message.get("error", {}), "error")
    code = r.text_or(error, "code", str(message["status"]))
    auth = code in {"-1002", "-1022", "-2008", "-2014", "-2015"}
    return (StreamRefused(code=code, text=r.text_or(error, "msg")[:200], auth=auth),)


def _event(
    message: r.Row, venue: str, find: Callable[[str], Instrument | None], ts_ns: int, payload: bytes
) -> tuple[UserEvent, ...]:
    match r.text(message, "e"):
        case "executionReport":
            return _order_event(message, find, ts_ns, payload, event_ns=r.time_ns(message, "T"))
        case "ALGO_UPDATE":
            return algo_event(message, find, ts_ns, payload)
        case "ORDER_TRADE_UPDATE":
            return _order_event(r.row(message.get("o"), "o"), find, ts_ns, payload, event_ns=r.time_ns(message, "T"))
        case "outboundAccountPosition":
            at = r.time_ns(message, "E")
            return tuple(
                BalanceChanged(
                    venue=venue, asset=r.text(b, "a"), total=r.amount(b, "f") + r.amount(b, "l"), ts_event_ns=at
                )
                for b in r.rows(message.get("B"), "B")
            )
        case "ACCOUNT_UPDATE":
            return _account_event(message, venue, find, payload)
        case "listenKeyExpired" | "eventStreamTerminated" | "serverShutdown" as what:
            return (StreamClosing(what),)
        case "MARGIN_CALL":
            return (MarginCalled(venue=venue, text=payload[:300].decode("utf-8", "replace")),)
        case _:
            # Lists of orders, leverage changes, grids and the like change no order of ours.
            return ()


def _account_event(
    message: r.Row, venue: str, find: Callable[[str], Instrument | None], payload: bytes
) -> tuple[UserEvent, ...]:
    at, inner = r.time_ns(message, "T"), r.row(message.get("a"), "a")
    paid = r.text_or(inner, "m") == "FUNDING_FEE"
    out: list[UserEvent] = [
        BalanceChanged(venue=venue, asset=r.text(b, "a"), total=r.amount(b, "wb"), ts_event_ns=at, funding=paid)
        for b in r.rows(inner.get("B", []), "B")
    ]
    for position in r.rows(inner.get("P", []), "P"):
        instrument = find(r.text(position, "s"))
        if instrument is None or r.text_or(position, "ps", "BOTH") != "BOTH":
            out.append(Unread(reason=f"a position of {r.text(position, 's')} is not ours", payload=payload[:400]))
            continue
        qty = r.amount(position, "pa")
        out.append(PositionChanged(venue=venue, instrument_id=instrument.instrument_id, qty=qty, ts_event_ns=at))
    return tuple(out)


def _order_event(
    source: r.Row, find: Callable[[str], Instrument | None], ts_ns: int, payload: bytes, *, event_ns: int
) -> tuple[UserEvent, ...]:
    """ExecutionReport and the ``o`` of ORDER_TRADE_UPDATE have the same letters."""
    symbol = r.text(source, "s")
    instrument = find(symbol)
    if instrument is None:
        return (Unread(reason=f"an order of {symbol}, which is not known", payload=payload[:400]),)
    status, order_id = _status(r.text(source, "X")), r.text(source, "i")
    last_qty = r.amount(source, "l")
    word = r.text(source, "x")
    # A liquidation's executions are called CALCULATED on futures.
    trade = word == "TRADE" or (word == "CALCULATED" and last_qty > 0)
    kind = ExecType.TRADE if trade else _STREAM_TYPES.get(word, ExecType.ORDER_STATUS)
    if kind is ExecType.NEW and r.text(source, "o") in WAITING and "w" in source:
        # The same word when it is taken and when its price has come; only this tells them apart.
        on_book = r.truth(source, "w")
        kind, status = (ExecType.TRIGGERED, status) if on_book else (kind, OrdStatus.PENDING_TRIGGER)
    order_qty, cum_qty = r.amount(source, "q"), r.amount(source, "z")
    ord_type, time_in_force = _terms(r.text(source, "o"), r.text_or(source, "f", "GTC"))
    # A cancel's report carries the cancel's own id as "c" on spot, and the order's as "C".
    cl_ord_id = r.text_or(source, "C") or r.text(source, "c") if not trade else r.text(source, "c")
    price = r.amount(source, "p") if ord_type is OrdType.LIMIT else None
    quote = r.amount_or(source, "Z", ZERO)
    live = kind not in _ENDED.values() and status not in _ENDED
    report = ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id=None,
        order_id=order_id,
        exec_id=exec_id(symbol, r.text(source, "t"), order_id)
        if trade
        else report_id(symbol, order_id, kind, event_ns),
        exec_seq=0,
        exec_type=kind,
        ord_status=status,
        side=_side(r.text(source, "S")),
        ord_type=ord_type,
        time_in_force=time_in_force,
        order_qty=order_qty,
        price=price,
        last_qty=last_qty if trade else ZERO,
        last_px=r.amount(source, "L") if trade else ZERO,
        cum_qty=cum_qty,
        leaves_qty=order_qty - cum_qty if live else ZERO,
        avg_px=r.amount_or(source, "ap", quote / cum_qty if cum_qty else ZERO),
        liquidity=(Liquidity.MAKER if r.truth(source, "m") else Liquidity.TAKER) if trade else None,
        fee=r.amount_or(source, "n", ZERO) if trade else ZERO,
        fee_asset=r.text_or(source, "N") if trade else "",
        text=_why(source),
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
        trade_seq=r.trade_seq(source, "t") if trade else 0,
    )
    return (report,)


def _why(source: r.Row) -> str:
    reason = r.text_or(source, "r", "NONE")
    return "" if reason == "NONE" else reason


# --- Words -------------------------------------------------------------------------------------------------


def _status(word: str) -> OrdStatus:
    status = STATUS.get(word)
    if status is None:
        raise r.BadReply(f"status {word[:40]!r} is not known")
    return status


def _side(word: str) -> Side:
    side = _SIDE.get(word)
    if side is None:
        raise r.BadReply(f"side {word[:40]!r} is not known")
    return side


def _terms(kind: str, how_long: str) -> tuple[OrdType, TimeInForce]:
    """Other kinds than ours (stops, liquidations) are read as what they become: limit or market."""
    if kind == "LIMIT_MAKER":
        return OrdType.LIMIT, TimeInForce.GTX
    if "LIMIT" in kind or kind in {"STOP", "TAKE_PROFIT", "LIQUIDATION"}:
        return OrdType.LIMIT, TimeInForce.__members__.get(how_long, TimeInForce.GTC)
    return OrdType.MARKET, TimeInForce.IOC


def _event_ns(source: Mapping[str, object]) -> int:
    for name in ("transactTime", "updateTime", "time"):
        if source.get(name):
            return r.time_ns(source, name)
    raise r.BadReply("an order without a time")


def _average(source: r.Row, cum_qty: Decimal) -> Decimal:
    if not cum_qty:
        return ZERO
    if "avgPrice" in source:
        return r.amount(source, "avgPrice")
    quote = r.amount_or(source, "cummulativeQuoteQty", r.amount_or(source, "cumQuote", ZERO))
    # A negative sum means that the venue has none (old orders).
    return quote / cum_qty if quote > 0 else ZERO
