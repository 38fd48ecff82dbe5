"""OKX's orders, fills and private channels as messages: pure, `BadReply` for what the document does not say.

Sources: "Get order details", "Get transaction details (last 3 months)", "Order channel", "Positions channel", "Account
channel", okx.com/docs-v5 (read 2026-11). An execution's id is ``<instId>:<tradeId>:<ordId>``. Fees are negative when
paid there, positive here.

Client order ids are letters and digits only: "-" of ours travels as "Z", which none of ours contains.
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
    StreamClosing,
    StreamRefused,
    Subscribed,
    Unread,
    UserEvent,
)
from adapters.orders.replies import TEXT_MAX, ZERO
from trading.instruments import Instrument
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    Liquidity,
    OrderCancelReject,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)

Find = Callable[[str], Instrument | None]

STATUS = {
    "live": OrdStatus.NEW,
    "partially_filled": OrdStatus.PARTIALLY_FILLED,
    "filled": OrdStatus.FILLED,
    "canceled": OrdStatus.CANCELED,
    "mmp_canceled": OrdStatus.CANCELED,
}
_SIDE = {"buy": Side.BUY, "sell": Side.SELL}
_TYPES = {
    "limit": (OrdType.LIMIT, TimeInForce.GTC),
    "post_only": (OrdType.LIMIT, TimeInForce.GTX),
    "fok": (OrdType.LIMIT, TimeInForce.FOK),
    "ioc": (OrdType.LIMIT, TimeInForce.IOC),
    "optimal_limit_ioc": (OrdType.MARKET, TimeInForce.IOC),
    "market": (OrdType.MARKET, TimeInForce.IOC),
    "mmp": (OrdType.LIMIT, TimeInForce.GTC),
    "mmp_and_post_only": (OrdType.LIMIT, TimeInForce.GTX),
}
_AUTH = frozenset({"60001", "60002", "60003", "60004", "60005", "60006", "60007", "60009", "60024", "60032"})
ID_PREFIX = "pd"
_OURS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_THEIRS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789Z")


def id_out(cl_ord_id: str) -> str:
    """Our id as it travels; ``ValueError`` for one that could not be read back."""
    if not 0 < len(cl_ord_id) <= 32 or not _OURS.issuperset(cl_ord_id):
        raise ValueError(f"clOrdId {cl_ord_id!r} is not 1 to 32 of small letters, digits and -")
    return cl_ord_id.replace("-", "Z")


def id_in(cl_ord_id: str) -> str:
    """An id as the desk knows it; those of others stay as they are."""
    ours = cl_ord_id.startswith(ID_PREFIX) and _THEIRS.issuperset(cl_ord_id)
    return cl_ord_id.replace("Z", "-") if ours else cl_ord_id


def whose(source: r.Row) -> str:
    """Our id of an order: what a triggered algo order became has none of its own."""
    return id_in(r.text(source, "clOrdId") or r.text_or(source, "algoClOrdId"))


# --- Orders ------------------------------------------------------------------------------------------------


def order_report(
    source: r.Row, instrument: Instrument, ts_ns: int, *, exec_type: ExecType | None = None
) -> ExecutionReport:
    """An order as lists and the channel show it; without ``exec_type`` it is an ack, an end, or a status."""
    status = STATUS.get(r.text(source, "state"))
    if status is None:
        raise r.BadReply(f"state {r.text(source, 'state')[:40]!r} is not known")
    order_id, event_ns = r.text(source, "ordId"), r.time_ns(source, "uTime")
    order_qty, cum_qty = r.amount(source, "sz"), r.amount_or(source, "accFillSz", ZERO)
    amended = bool(r.text_or(source, "amendResult"))
    untouched = status is OrdStatus.NEW and not cum_qty and not amended
    ended = ExecType.CANCELED if status is OrdStatus.CANCELED else None
    # An algo order became this: that it is there is the word of its trigger.
    began = ExecType.TRIGGERED if r.text_or(source, "algoClOrdId") else ExecType.NEW
    kind = exec_type or ended or (began if untouched else ExecType.ORDER_STATUS)
    ord_type, time_in_force = _TYPES.get(r.text(source, "ordType"), (OrdType.LIMIT, TimeInForce.GTC))
    live = status in {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED}
    tail = f"status:{event_ns // 1_000_000}" if kind is ExecType.ORDER_STATUS else kind.value
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=whose(source),
        orig_cl_ord_id=None,
        order_id=order_id,
        exec_id=f"{instrument.symbol}:{order_id}:{tail}",
        exec_seq=0,
        exec_type=kind,
        ord_status=status,
        side=_side(source),
        ord_type=ord_type,
        time_in_force=time_in_force,
        order_qty=order_qty,
        price=r.amount_or(source, "px", ZERO) if ord_type is OrdType.LIMIT else None,
        last_qty=ZERO,
        last_px=ZERO,
        cum_qty=cum_qty,
        leaves_qty=order_qty - cum_qty if live else ZERO,
        avg_px=r.amount_or(source, "avgPx", ZERO),
        liquidity=None,
        fee=ZERO,
        fee_asset="",
        text=_why(source),
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
    )


def _why(source: r.Row) -> str:
    reason = r.text_or(source, "cancelSourceReason")
    number = r.text_or(source, "cancelSource")
    return f"{number} {reason}".strip()[:TEXT_MAX]


def fill_report(source: r.Row, instrument: Instrument, ts_ns: int, *, streamed: bool) -> ExecutionReport:
    """One execution: a row of fills, or what the order channel says of the last one (``streamed``)."""
    order_id = r.text(source, "ordId")
    fee = r.amount_or(source, "fillFee" if streamed else "fee", ZERO)
    order_qty = r.amount(source, "sz") if streamed else ZERO
    cum_qty = r.amount_or(source, "accFillSz", ZERO)
    left = max(order_qty - cum_qty, ZERO)
    ord_type, time_in_force = _TYPES.get(r.text_or(source, "ordType"), (OrdType.LIMIT, TimeInForce.GTC))
    full = streamed and r.text(source, "state") == "filled"
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=whose(source),
        orig_cl_ord_id=None,
        order_id=order_id,
        exec_id=f"{instrument.symbol}:{r.text(source, 'tradeId')}:{order_id}",
        exec_seq=0,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.FILLED if full else OrdStatus.PARTIALLY_FILLED,
        side=_side(source),
        ord_type=ord_type,
        time_in_force=time_in_force,
        order_qty=order_qty,
        price=r.amount_or(source, "px", ZERO) if streamed and ord_type is OrdType.LIMIT else None,
        last_qty=r.amount(source, "fillSz"),
        last_px=r.amount(source, "fillPx"),
        cum_qty=cum_qty,
        leaves_qty=left,
        avg_px=r.amount_or(source, "avgPx", ZERO),
        liquidity=Liquidity.MAKER if r.text(source, "execType") == "M" else Liquidity.TAKER,
        fee=-fee,
        fee_asset=r.text_or(source, "fillFeeCcy" if streamed else "feeCcy"),
        text=_category(source),
        ts_event_ns=r.time_ns(source, "fillTime" if source.get("fillTime") else "ts"),
        ts_init_ns=ts_ns,
        trade_seq=r.trade_seq(source, "tradeId"),
    )


def _category(source: r.Row) -> str:
    """Liquidations, ADL and deliveries say so."""
    word = r.text_or(source, "category", "normal")
    return "" if word == "normal" else word


def _side(source: r.Row) -> Side:
    side = _SIDE.get(r.text(source, "side"))
    if side is None:
        raise r.BadReply(f"side {r.text(source, 'side')[:40]!r} is not known")
    return side


def position_qty(source: r.Row) -> Decimal:
    """Signed; `BadReply` in hedge mode."""
    qty = r.amount_or(source, "pos", ZERO)
    if qty and r.text(source, "posSide") != "net":
        raise r.BadReply(f"{r.text(source, 'instId')} has a {r.text(source, 'posSide')} position: hedge mode")
    return qty


# --- The stream --------------------------------------------------------------------------------------------


def decode_user(payload: bytes, venue: str, find: Find, ts_ns: int) -> tuple[UserEvent, ...]:
    """A message of ``/ws/v5/private``."""
    if payload == b"pong":
        return (Heartbeat(),)
    try:
        message = r.row(r.parse(payload))
        if "event" in message:
            return _answer(message)
        channel = r.text(r.row(message.get("arg"), "arg"), "channel")
        out: list[UserEvent] = []
        for source in r.rows(message.get("data"), "data"):
            out += _pushed(channel, source, venue, find, ts_ns)
        return tuple(out)
    except r.BadReply as trouble:
        return (Unread(reason=str(trouble), payload=payload[:400]),)


def _answer(message: r.Row) -> tuple[UserEvent, ...]:
    match r.text(message, "event"):
        case "login" if r.text(message, "code") == "0":
            return (LoggedIn(),)
        case "subscribe":
            return (Subscribed(r.text(r.row(message.get("arg"), "arg"), "channel")),)
        case "login" | "error":
            code = r.text_or(message, "code")
            return (StreamRefused(code=code, text=r.text_or(message, "msg")[:TEXT_MAX], auth=code in _AUTH),)
        case "notice":
            return (StreamClosing(f"notice {r.text_or(message, 'code')} {r.text_or(message, 'msg')}"[:TEXT_MAX]),)
        case _:
            return ()


def _pushed(channel: str, source: r.Row, venue: str, find: Find, ts_ns: int) -> list[UserEvent]:
    if channel == "account":
        return [
            BalanceChanged(
                venue=venue,
                asset=r.text(detail, "ccy"),
                total=r.amount(detail, "cashBal"),
                ts_event_ns=r.time_ns(detail, "uTime"),
            )
            for detail in r.rows(source.get("details"), "details")
        ]
    if channel not in {"orders", "positions"}:
        return []
    symbol = r.text(source, "instId")
    instrument = find(symbol)
    if instrument is None:
        return [Unread(reason=f"{channel} of {symbol}, which is not known", payload=b"")]
    if channel == "positions":
        qty = position_qty(source)
        at = r.time_ns(source, "uTime")
        return [PositionChanged(venue=venue, instrument_id=instrument.instrument_id, qty=qty, ts_event_ns=at)]
    return _order_events(source, instrument, ts_ns)


def _order_events(source: r.Row, instrument: Instrument, ts_ns: int) -> list[UserEvent]:
    """The last execution, then what became of the order; an amendment that failed is its own word."""
    out: list[UserEvent] = []
    if r.text_or(source, "tradeId") and r.amount_or(source, "fillSz", ZERO):
        out.append(fill_report(source, instrument, ts_ns, streamed=True))
    if r.text_or(source, "amendResult") == "-1":
        out.append(_amend_refused(source, instrument, ts_ns))
        return out
    shown = order_report(source, instrument, ts_ns)
    if not out or shown.exec_type is not ExecType.ORDER_STATUS:
        out.append(shown)
    return out


def _amend_refused(source: r.Row, instrument: Instrument, ts_ns: int) -> OrderCancelReject:
    return OrderCancelReject(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=id_in(r.text_or(source, "reqId")),
        orig_cl_ord_id=id_in(r.text(source, "clOrdId")),
        ord_status=STATUS.get(r.text(source, "state"), OrdStatus.UNKNOWN),
        text=f"{r.text_or(source, 'code')} {r.text_or(source, 'msg')}".strip()[:TEXT_MAX],
        ts_event_ns=r.time_ns(source, "uTime"),
        ts_init_ns=ts_ns,
    )
