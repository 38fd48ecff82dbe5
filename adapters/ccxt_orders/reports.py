"""Orders, executions, balances and keys in ccxt's structures, as the desk's messages. Amounts are never floats."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from adapters.ccxt_orders.venues import CcxtOrderVenue, ord_status, our_id
from adapters.orders.reading import BadReply, trade_seq
from adapters.orders.replies import ZERO
from adapters.orders.wire import MS_NS, KeyPermissions
from trading.instruments import Instrument
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    Liquidity,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
)
from trading.orders.numbers import is_number

Row = Mapping[str, Any]

ENDED: Final = {
    OrdStatus.CANCELED: ExecType.CANCELED,
    OrdStatus.EXPIRED: ExecType.EXPIRED,
    OrdStatus.REJECTED: ExecType.REJECTED,
}
_IN_FORCE: Final = {"GTC": TimeInForce.GTC, "IOC": TimeInForce.IOC, "FOK": TimeInForce.FOK, "PO": TimeInForce.GTX}
_POINTS: Final = frozenset({"GATEPOINT", "POINT"})
_FIRST_MS, _END_MS = 10**12, 4 * 10**12
_MOVES: Final = ("withdraw", "wallet", "custody")
"""Gate.io's permissions that reach beyond trading: transfers are "wallet"."""


def amount(source: Row, name: str, default: Decimal | None = None) -> Decimal:
    """A number of ccxt's, which is the venue's text; `BadReply` for what is none, or is missing without a default."""
    value = source.get(name)
    if value is None or value == "":
        if default is None:
            raise BadReply(f"{name} is missing")
        return default
    if isinstance(value, bool | float):
        raise BadReply(f"{name} is {value!r}, not a decimal text")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if not is_number(number) or len(str(value)) > 40:
        raise BadReply(f"{name} is {str(value)[:40]!r}, not a decimal number")
    return number


def time_ns(*values: object) -> int:
    """The first time in milliseconds that is one; `BadReply` when none is."""
    for value in values:
        number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        if isinstance(number, int) and not isinstance(number, bool) and _FIRST_MS <= number < _END_MS:
            return number * MS_NS
    raise BadReply(f"no time in milliseconds among {str(values)[:80]}")


def order_report(
    known: CcxtOrderVenue,
    source: Row,
    instrument: Instrument,
    ts_ns: int,
    *,
    exec_type: ExecType | None = None,
    cl_ord_id: str = "",
) -> ExecutionReport:
    """An order. Without ``exec_type`` it is the type of its end, ORDER_STATUS of one that filled or works."""
    info = source.get("info")
    if not isinstance(info, Mapping):
        raise BadReply("an order without the venue's own row")
    order_id, order_qty, cum_qty = _text(source, "id"), amount(source, "amount"), amount(source, "filled", ZERO)
    status = ord_status(known, info, filled=cum_qty > 0)
    kind = exec_type or ENDED.get(status, ExecType.ORDER_STATUS)
    # ccxt has the time of the last change under two names, and Gate.io's own row in a third.
    event_ns = time_ns(
        source.get("lastUpdateTimestamp"), source.get("lastTradeTimestamp"), source.get("timestamp"), ts_ns // MS_NS
    )
    ord_type = OrdType.MARKET if source.get("type") == "market" else OrdType.LIMIT
    live = status in {OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED}
    shown = f"status:{ts_ns // MS_NS}" if kind is ExecType.ORDER_STATUS else kind.value
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=cl_ord_id or our_id(known, str(source.get("clientOrderId") or "")),
        orig_cl_ord_id=None,
        order_id=order_id,
        exec_id=f"{instrument.symbol}:{order_id}:{shown}",
        exec_seq=0,
        exec_type=kind,
        ord_status=status,
        side=_side(source),
        ord_type=ord_type,
        time_in_force=_in_force(source, ord_type),
        order_qty=order_qty,
        price=amount(source, "price") if ord_type is OrdType.LIMIT else None,
        last_qty=ZERO,
        last_px=ZERO,
        cum_qty=cum_qty,
        leaves_qty=order_qty - cum_qty if live else ZERO,
        avg_px=amount(source, "average", ZERO) if cum_qty else ZERO,
        liquidity=None,
        fee=ZERO,
        fee_asset="",
        text=_why(info, status),
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
    )


def trade_report(source: Row, instrument: Instrument, cl_ord_id: str, ts_ns: int) -> ExecutionReport:
    """An execution; ``cl_ord_id`` is known from elsewhere."""
    fee, fee_asset = _fee(source)
    event_ns = time_ns(source.get("timestamp"))
    return ExecutionReport(
        venue=instrument.venue,
        instrument_id=instrument.instrument_id,
        cl_ord_id=cl_ord_id,
        orig_cl_ord_id=None,
        order_id=_text(source, "order"),
        exec_id=f"{instrument.symbol}:{_text(source, 'id')}",
        exec_seq=0,
        exec_type=ExecType.TRADE,
        ord_status=OrdStatus.PARTIALLY_FILLED,
        side=_side(source),
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTC,
        order_qty=ZERO,
        price=None,
        last_qty=amount(source, "amount"),
        last_px=amount(source, "price"),
        cum_qty=ZERO,
        leaves_qty=ZERO,
        avg_px=ZERO,
        liquidity=_liquidity(source),
        fee=fee,
        fee_asset=fee_asset,
        text="",
        ts_event_ns=event_ns,
        ts_init_ns=ts_ns,
        trade_seq=trade_seq(source, "id"),
    )


def balances(source: Row, assets: frozenset[str]) -> dict[str, Decimal]:
    """Free and locked together, by asset: what is there, and ``assets`` whether it is or not."""
    totals = source.get("total")
    if not isinstance(totals, Mapping):
        raise BadReply("balances without totals")
    found = {str(asset): amount(totals, asset) for asset in totals}
    return {asset: total for asset, total in found.items() if total or asset in assets} | {
        asset: ZERO for asset in assets if asset not in found
    }


def gate_permissions(rows: object, api_key: str) -> KeyPermissions:
    """What Gate.io's list of keys says of ours, which it shows by its beginning; what is not in it is not known."""
    if not isinstance(rows, list):
        raise BadReply("the list of keys is none")
    ours = [row for row in rows if isinstance(row, Mapping) and _same_key(str(row.get("key", "")), api_key)]
    if len(ours) != 1:
        text = f"{len(ours)} of {len(rows)} keys in the venue's list begin like ours"
        return KeyPermissions(read=True, trade=True, withdraw=None, transfer=None, ip_bound=None, text=text)
    row = ours[0]
    perms = {
        str(one.get("name")): one.get("read_only") is not True
        for one in row.get("perms", [])
        if isinstance(one, Mapping)
    }
    moves = any(writes for name, writes in perms.items() if name.startswith(_MOVES))
    words = " ".join(f"{name}:{'write' if writes else 'read'}" for name, writes in sorted(perms.items()))
    return KeyPermissions(
        read="spot" in perms,
        trade=perms.get("spot", False) and row.get("state") == 1,
        withdraw=moves,
        transfer=moves,
        ip_bound=bool(row.get("ip_whitelist")),
        text=words or "no permissions",
    )


def foreign(venue: str, pair: str, pattern: Instrument) -> Instrument:
    """A stand-in for a pair that the desk does not trade: its orders are told, and nobody can place one with it."""
    return msgspec.structs.replace(pattern, instrument_id=f"{venue}/{pair}", symbol=pair)


def _same_key(shown: str, api_key: str) -> bool:
    visible = shown.rstrip("*")
    return len(visible) >= 6 and api_key.startswith(visible)


def _fee(source: Row) -> tuple[Decimal, str]:
    """The one fee of an execution. Points are no asset of the account's; two assets at once cannot be said here."""
    rows = source.get("fees") or ([source["fee"]] if source.get("fee") else [])
    fees = [(amount(row, "cost", ZERO), str(row.get("currency") or "")) for row in rows if isinstance(row, Mapping)]
    paid = [(cost, asset) for cost, asset in fees if cost and asset not in _POINTS]
    if len(paid) > 1:
        raise BadReply(f"execution {source.get('id')} has fees in {' and '.join(asset for _, asset in paid)}")
    return paid[0] if paid else next(((ZERO, asset) for _, asset in fees if asset not in _POINTS), (ZERO, ""))


def _liquidity(source: Row) -> Liquidity | None:
    said = source.get("takerOrMaker")
    return Liquidity.MAKER if said == "maker" else Liquidity.TAKER if said == "taker" else None


def _side(source: Row) -> Side:
    match source.get("side"):
        case "buy":
            return Side.BUY
        case "sell":
            return Side.SELL
        case other:
            raise BadReply(f"side {str(other)[:40]!r} is not known")


def _in_force(source: Row, ord_type: OrdType) -> TimeInForce:
    if ord_type is OrdType.MARKET:
        return TimeInForce.IOC
    if source.get("postOnly") is True:
        return TimeInForce.GTX
    return _IN_FORCE.get(str(source.get("timeInForce") or "GTC").upper(), TimeInForce.GTC)


def _text(source: Row, name: str) -> str:
    value = source.get(name)
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadReply(f"{name} is {str(value)[:40]!r}")


def _why(info: Row, status: OrdStatus) -> str:
    """Gate.io's word for how it ended, where it was not we who ended it."""
    end = str(info.get("finish_as") or "")
    return end if status in ENDED and end not in {"", "cancelled"} else ""
