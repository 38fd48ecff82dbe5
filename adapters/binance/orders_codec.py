"""Binance order requests as unsigned urlencoded bytes, and back (a simulated venue reads what a gateway writes).

Pure. Time stamps, signatures and keys are added by whoever sends. There is no request that moves funds: no
withdrawal, no transfer. Formats: binance-spot-api-docs/rest-api.md and developers.binance.com derivatives, "New
Order", "Cancel Order", "Modify Order", "Query Order" (read 2026-11).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from urllib.parse import parse_qsl, quote_plus

import msgspec

import native
from adapters.binance.instruments import COINM, SPOT, USDM
from trading.instruments import Instrument
from trading.orders.messages import (
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdType,
    Side,
    TimeInForce,
)

MAX_BODY_BYTES = 4096

_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_is_plain = frozenset(string.ascii_letters + string.digits + "._-").issuperset
_HOW = {word: f"LIMIT&timeInForce={word.name}" for word in TimeInForce}
# Members of enums that every order is compared with: a look at their class is a call.
_LIMIT, _BUY, _GTX = OrdType.LIMIT, Side.BUY, TimeInForce.GTX
_READ, _WORDS = (NewOrderSingle, Instrument), (_LIMIT, _BUY, _GTX, SPOT, _HOW, "BUY", "SELL", "LIMIT_MAKER")
_plain_order = None if native.orders is None else native.orders.PlainOrder(*_READ, *_WORDS)
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


class RequestKind(Enum):
    """What a request asks for."""

    NEW = "new"
    CANCEL = "cancel"
    REPLACE = "replace"
    STATUS = "status"


ENDPOINTS: dict[tuple[str, RequestKind], tuple[str, str]] = {
    (SPOT, RequestKind.NEW): ("POST", "/api/v3/order"),
    (SPOT, RequestKind.CANCEL): ("DELETE", "/api/v3/order"),
    (SPOT, RequestKind.REPLACE): ("POST", "/api/v3/order/cancelReplace"),
    (SPOT, RequestKind.STATUS): ("GET", "/api/v3/order"),
    (USDM, RequestKind.NEW): ("POST", "/fapi/v1/order"),
    (USDM, RequestKind.CANCEL): ("DELETE", "/fapi/v1/order"),
    (USDM, RequestKind.REPLACE): ("PUT", "/fapi/v1/order"),
    (USDM, RequestKind.STATUS): ("GET", "/fapi/v1/order"),
    (COINM, RequestKind.NEW): ("POST", "/dapi/v1/order"),
    (COINM, RequestKind.CANCEL): ("DELETE", "/dapi/v1/order"),
    (COINM, RequestKind.REPLACE): ("PUT", "/dapi/v1/order"),
    (COINM, RequestKind.STATUS): ("GET", "/dapi/v1/order"),
}
"""Method and path of each request. The bytes are the body (POST, PUT) or the query string (GET, DELETE)."""


class RequestRefused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the venue answers to a request it cannot read: its own error code and text."""

    code: int
    msg: str


OrderRequest = NewOrderSingle | OrderCancelRequest | OrderCancelReplaceRequest | OrderStatusRequest
_Amending = NewOrderSingle | OrderCancelReplaceRequest


# --- Writing -------------------------------------------------------------------------------------


def encode_new_order(order: NewOrderSingle, instrument: Instrument) -> bytes:
    """A new order.

    Post-only is type LIMIT_MAKER on spot and timeInForce GTX on futures. ``reduce_only`` is said on futures; spot has
    no such word. ``ValueError`` when the order is off the instrument's grid or cannot be said in the venue's words.
    """
    if _plain_order is not None:
        said = _plain_order(order, instrument)
        if said is not None:
            return said
    return encode_new_order_in_python(order, instrument)


def encode_new_order_in_python(order: NewOrderSingle, instrument: Instrument) -> bytes:
    """The reference of `encode_new_order`, which says the usual order in C where that was built."""
    cl_ord_id = _id(order.cl_ord_id, "newClientOrderId")
    return f"symbol={instrument.symbol}{_terms(order, instrument)}&newClientOrderId={cl_ord_id}".encode("ascii")


def encode_cancel(request: OrderCancelRequest, instrument: Instrument, order_id: str = "") -> bytes:
    """A cancel by client order id, or by the venue's. Spot lets the cancel carry an id of its own; futures do not."""
    if order_id:
        return _write({"symbol": instrument.symbol, "orderId": order_id})
    fields = {"symbol": instrument.symbol, "origClientOrderId": _id(request.orig_cl_ord_id, "origClientOrderId")}
    if instrument.venue == SPOT:
        fields["newClientOrderId"] = _id(request.cl_ord_id, "newClientOrderId")
    return _write(fields)


def encode_replace(request: OrderCancelReplaceRequest, instrument: Instrument) -> bytes:
    """A replacement: all or nothing.

    Spot cancels and places anew (STOP_ON_FAILURE: no new order unless the old one is gone). Futures modify in place:
    price and quantity change, **the client order id stays the original's**, and nothing else can change.
    """
    if instrument.venue == SPOT:
        old, new = _id(request.orig_cl_ord_id, "cancelOrigClientOrderId"), _id(request.cl_ord_id, "newClientOrderId")
        how = f"&cancelReplaceMode=STOP_ON_FAILURE&cancelOrigClientOrderId={old}&newClientOrderId={new}"
        return f"symbol={instrument.symbol}{_terms(request, instrument)}{how}".encode("ascii")
    if request.ord_type is not OrdType.LIMIT or request.price is None:
        raise ValueError(f"futures modify limit orders only: {request.cl_ord_id}")
    return _write(
        {
            "symbol": instrument.symbol,
            "side": request.side.name,
            "quantity": _number(request.order_qty, instrument.lot_size, instrument.lots, "quantity"),
            "price": _number(request.price, instrument.tick_size, instrument.ticks, "price"),
            "origClientOrderId": _id(request.orig_cl_ord_id, "origClientOrderId"),
        }
    )


def encode_status(request: OrderStatusRequest, instrument: Instrument, order_id: str = "") -> bytes:
    """A question after one order by client order id, or by the venue's."""
    if order_id:
        return _write({"symbol": instrument.symbol, "orderId": order_id})
    return _write({"symbol": instrument.symbol, "origClientOrderId": _id(request.cl_ord_id, "origClientOrderId")})


def _terms(order: _Amending, instrument: Instrument) -> str:
    price, time_in_force = order.price, order.time_in_force
    if order.trigger is not None:
        raise ValueError(f"{order.cl_ord_id}: an order that waits for a trigger is not said by these words")
    limit = order.ord_type is OrdType.LIMIT
    post_only = time_in_force is TimeInForce.GTX
    if limit != (price is not None) or (post_only and not limit):
        raise ValueError(f"{order.cl_ord_id}: a limit order has a price, a market order has none and is not post-only")
    side = "BUY" if order.side is Side.BUY else "SELL"
    how = "LIMIT_MAKER" if post_only and instrument.venue == SPOT else _HOW[time_in_force] if limit else "MARKET"
    qty = _number(order.order_qty, instrument.lot_size, instrument.lots, "quantity")
    at = "" if price is None else f"&price={_number(price, instrument.tick_size, instrument.ticks, 'price')}"
    reduce_only = "&reduceOnly=true" if order.reduce_only and instrument.venue != SPOT else ""
    return f"&side={side}&type={how}&quantity={qty}{at}{reduce_only}"


def _number(value: Decimal, step: Decimal, units: Callable[[Decimal], int], name: str) -> str:
    """All digits, no exponent, no trailing zeros."""
    # One remainder says what ``units`` would; whatever is wrong is then said in its words.
    try:
        wrong = value % step or not value > 0
    except ArithmeticError:
        raise ValueError(f"{name} {str(value)[:60]} is no number") from None
    if wrong:
        units(value)
        raise ValueError(f"{name} {value} is not above zero")
    text = str(value)
    if "E" in text:
        text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if text[-1] == "0" and "." in text else text


def _id(value: str, name: str) -> str:
    """A client order id as it stands in a query string."""
    # The same as a pattern would say, without starting one.
    if 0 < len(value) <= 36 and _is_plain(value):
        return value
    if not _CLIENT_ID.fullmatch(value):
        raise ValueError(f"{name} {value!r} is not 1 to 36 of letters, digits and .:/_-")
    return quote_plus(value)


def _write(fields: dict[str, str]) -> bytes:
    # Symbols, words and numbers need no quoting, and ids have theirs.
    return "&".join([f"{name}={value}" for name, value in fields.items()]).encode("ascii")


# --- Reading -------------------------------------------------------------------------------------


class _Unreadable(Exception):  # noqa: N818 - an answer of the venue, not a bug of ours
    def __init__(self, code: int, msg: str) -> None:
        super().__init__(code, msg)
        self.refused = RequestRefused(code=code, msg=msg)


def decode_order_request(
    body: bytes, *, venue: str, kind: RequestKind, instruments: Sequence[Instrument], ts_init_ns: int
) -> OrderRequest | RequestRefused:
    """What a request asks for, or the venue's refusal of it; never raises on bad bytes.

    Epoch, strategies and cause do not travel to a venue: they come back as 0, empty and "wire". A futures
    modification comes back with ``cl_ord_id`` equal to ``orig_cl_ord_id``, because the venue keeps the id.
    """
    try:
        fields = _fields(body)
        symbol = _needed(fields, "symbol")
        instrument = next((i for i in instruments if i.symbol == symbol and i.venue == venue), None)
        if instrument is None:
            raise _Unreadable(-1121, "Invalid symbol.")
        return _request(fields, instrument, kind, ts_init_ns)
    except _Unreadable as fault:
        return fault.refused


def _request(fields: dict[str, str], instrument: Instrument, kind: RequestKind, ts_init_ns: int) -> OrderRequest:
    venue, instrument_id = instrument.venue, instrument.instrument_id
    if kind is RequestKind.STATUS:
        cl_ord_id = _client_id(fields, "origClientOrderId")
        return OrderStatusRequest(
            venue=venue, instrument_id=instrument_id, cl_ord_id=cl_ord_id, cause="wire", ts_init_ns=ts_init_ns
        )
    if kind is RequestKind.CANCEL:
        orig = _client_id(fields, "origClientOrderId")
        return OrderCancelRequest(
            venue=venue,
            instrument_id=instrument_id,
            cl_ord_id=_client_id(fields, "newClientOrderId") if "newClientOrderId" in fields else orig,
            orig_cl_ord_id=orig,
            epoch=0,
            cause="wire",
            ts_init_ns=ts_init_ns,
        )
    in_place = kind is RequestKind.REPLACE and venue != SPOT
    side, ord_type, time_in_force = _kind_of_order(fields, in_place=in_place)
    price = _amount(fields, "price", instrument) if ord_type is OrdType.LIMIT else None
    qty = _amount(fields, "quantity", instrument)
    reduce_only = fields.get("reduceOnly", "false").lower() == "true"
    if kind is RequestKind.NEW:
        return NewOrderSingle(
            venue=venue,
            instrument_id=instrument_id,
            cl_ord_id=_client_id(fields, "newClientOrderId"),
            side=side,
            ord_type=ord_type,
            time_in_force=time_in_force,
            order_qty=qty,
            price=price,
            reduce_only=reduce_only,
            strategy_ids=(),
            epoch=0,
            cause="wire",
            ts_init_ns=ts_init_ns,
        )
    orig = _client_id(fields, "origClientOrderId" if in_place else "cancelOrigClientOrderId")
    return OrderCancelReplaceRequest(
        venue=venue,
        instrument_id=instrument_id,
        cl_ord_id=orig if in_place else _client_id(fields, "newClientOrderId"),
        orig_cl_ord_id=orig,
        side=side,
        ord_type=ord_type,
        time_in_force=time_in_force,
        order_qty=qty,
        price=price,
        reduce_only=reduce_only,
        strategy_ids=(),
        epoch=0,
        cause="wire",
        ts_init_ns=ts_init_ns,
    )


def _kind_of_order(fields: dict[str, str], *, in_place: bool) -> tuple[Side, OrdType, TimeInForce]:
    side = Side.__members__.get(_needed(fields, "side"))
    if side is None:
        raise _Unreadable(-1117, "Invalid side.")
    if in_place:
        return side, OrdType.LIMIT, TimeInForce.GTC
    match _needed(fields, "type"):
        case "LIMIT_MAKER":
            return side, OrdType.LIMIT, TimeInForce.GTX
        case "MARKET":
            return side, OrdType.MARKET, TimeInForce.IOC
        case "LIMIT":
            time_in_force = TimeInForce.__members__.get(_needed(fields, "timeInForce"))
            if time_in_force is None:
                raise _Unreadable(-1115, "Invalid timeInForce.")
            return side, OrdType.LIMIT, time_in_force
        case _:
            raise _Unreadable(-1116, "Invalid orderType.")


def _fields(body: bytes) -> dict[str, str]:
    if len(body) > MAX_BODY_BYTES:
        raise _Unreadable(-1101, "Too many parameters sent for this endpoint.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=32)
    except ValueError:
        raise _Unreadable(-1100, "Illegal characters found in a parameter.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _Unreadable(-1101, "Duplicate values for a parameter detected.")
    return fields


def _needed(fields: dict[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise _Unreadable(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def _client_id(fields: dict[str, str], name: str) -> str:
    value = _needed(fields, name)
    if not _CLIENT_ID.fullmatch(value):
        raise _Unreadable(-1100, f"Illegal characters found in parameter '{name}'.")
    return value


def _amount(fields: dict[str, str], name: str, instrument: Instrument) -> Decimal:
    text = _needed(fields, name)
    if not _NUMBER.fullmatch(text):
        raise _Unreadable(-1100, f"Illegal characters found in parameter '{name}'.")
    value = Decimal(text)
    try:
        units = instrument.ticks(value) if name == "price" else instrument.lots(value)
    except ValueError:
        raise _Unreadable(-1111, f"Precision is over the maximum defined for {name}.") from None
    if units <= 0:
        raise _Unreadable(-4003 if name == "quantity" else -4001, f"{name} less than or equal to zero.")
    return value
