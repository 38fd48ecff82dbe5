"""What Binance's HTTP answers prove about a command: status first, then code, then the order it shows.

Owns no request and no stream. Sources as in `adapters.orders.binance_codes` and `adapters.orders.binance_read`; "HTTP
Return Codes": 429 and 418 are limits, 403 the firewall, 5xx "execution status is UNKNOWN" (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters.binance.instruments import SPOT
from adapters.orders import reading as r
from adapters.orders.binance_algo import algo_report
from adapters.orders.binance_codes import banned_until_ms, verdict_of
from adapters.orders.binance_read import fills_of, order_report
from adapters.orders.replies import ZERO, Verdict, refusal, reply_of, retry_after_ns, said, status_answer
from adapters.orders.wire import (
    MS_NS,
    SECOND_NS,
    AccountMode,
    AllCanceled,
    Ambiguous,
    CancelAll,
    Countdown,
    CountdownSet,
    Events,
    Exists,
    HttpAnswer,
    KeyPermissions,
    KeyQuery,
    Leverage,
    LeverageQuery,
    ListenKey,
    ListenKeyRequest,
    ModeQuery,
    Refused,
    Reply,
    TimeQuery,
    Told,
    VenueTime,
    WireCommand,
)
from trading.instruments import Instrument
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    VenueEvent,
)

_LIMITS = {429: (Verdict.LIMITED, 10 * SECOND_NS), 418: (Verdict.BANNED, 120 * SECOND_NS)}
_FIREWALL_NS = 300 * SECOND_NS
_BUSY_NS = SECOND_NS


def reply_to(command: WireCommand, venue: str, instruments: Mapping[str, Instrument], answer: HttpAnswer) -> Reply:
    """The reply to one command; never raises."""
    if not 200 <= answer.status < 300:
        if isinstance(command, OrderCancelReplaceRequest) and venue == SPOT and answer.status in {400, 409}:
            halves = _halves(command, instruments[command.instrument_id], answer)
            if halves is not None:
                return halves
        return trouble_of(command, venue, answer)
    try:
        return _read(command, venue, instruments, answer)
    except r.BadReply as trouble:
        return Ambiguous(f"HTTP {answer.status}, but {trouble}")


def trouble_of(command: WireCommand, venue: str, answer: HttpAnswer) -> Reply:
    """What an answer that is no success says."""
    status, ts_ns = answer.status, answer.ts_ns
    code, msg = error_of(answer.body)
    name = str(code or f"HTTP {status}")
    if status in _LIMITS:
        verdict, usual_ns = _LIMITS[status]
        wait_ns = max(retry_after_ns(answer.headers, usual_ns), _until_ns(msg, ts_ns))
        return reply_of(verdict, command, name, msg, ts_ns, retry_ns=wait_ns)
    if status == 403:
        return reply_of(Verdict.LIMITED, command, "HTTP 403", "the firewall", ts_ns, retry_ns=_FIREWALL_NS)
    verdict = verdict_of(venue, code, msg) if code else Verdict.AMBIGUOUS
    if status >= 500 and verdict is not Verdict.LIMITED:
        return Ambiguous(said(f"HTTP {status}", f"{code or ''} {msg}"))
    wait_ns = max(_BUSY_NS, _until_ns(msg, ts_ns)) if verdict in {Verdict.LIMITED, Verdict.BANNED} else 0
    return reply_of(verdict, command, name, msg, ts_ns, retry_ns=wait_ns)


def error_of(body: bytes) -> tuple[int, str]:
    """Code and text of an error body; 0 and its beginning for anything else."""
    try:
        source = r.row(r.parse(body))
        code = source.get("code")
        if isinstance(code, int) and not isinstance(code, bool) and code < 0:
            return code, r.text_or(source, "msg")
    except r.BadReply:
        pass
    return 0, body[:80].decode("utf-8", "replace")


def order_answer(
    command: NewOrderSingle | OrderCancelRequest | OrderCancelReplaceRequest,
    instrument: Instrument,
    source: r.Row,
    ts_ns: int,
) -> Events:
    """What an order's row in an answer proves; `BadReply` when it is another order's."""
    match command:
        case NewOrderSingle():
            if r.text(source, "clientOrderId") != command.cl_ord_id:
                raise r.BadReply(f"the answer is of {r.text(source, 'clientOrderId')[:40]!r}")
            return _placed(command, instrument, source, ts_ns)
        case OrderCancelRequest():
            report = order_report(source, instrument, ts_ns, cl_ord_id=command.orig_cl_ord_id)
            return Events((report,))
        case OrderCancelReplaceRequest():
            # In place: the venue keeps the id of the original, the desk goes on with the new one.
            shown = order_report(source, instrument, ts_ns, cl_ord_id=command.orig_cl_ord_id)
            if shown.exec_type is not ExecType.NEW:
                # Nothing was left of it, or it would have taken: it ended instead of being amended.
                return Events((shown,))
            amended = msgspec.structs.replace(
                shown,
                exec_type=ExecType.REPLACED,
                exec_id=f"{shown.exec_id.rpartition(':')[0]}:{ExecType.REPLACED.value}:{command.cl_ord_id}",
                cl_ord_id=command.cl_ord_id,
                orig_cl_ord_id=command.orig_cl_ord_id,
            )
            return Events((amended,))


def _placed(command: NewOrderSingle, instrument: Instrument, source: r.Row, ts_ns: int) -> Events:
    if "status" not in source:
        # newOrderRespType ACK: its id and its time are all that is said.
        source = {
            **source,
            "status": "NEW",
            "origQty": r.plain(command.order_qty),
            "executedQty": "0",
            "price": "0" if command.price is None else r.plain(command.price),
            "type": "LIMIT" if command.ord_type is OrdType.LIMIT else "MARKET",
            "timeInForce": command.time_in_force.name,
            "side": "BUY" if command.side is Side.BUY else "SELL",
        }
    shown = order_report(source, instrument, ts_ns)
    events: list[VenueEvent] = []
    if shown.exec_type is not ExecType.REJECTED:
        events.append(_ack(shown, command.time_in_force))
    events += fills_of(source, instrument, shown, ts_ns)
    if shown.exec_type is not ExecType.NEW:
        events.append(shown)
    return Events(tuple(events))


def _held(command: NewOrderSingle, instrument: Instrument, source: r.Row, ts_ns: int) -> Events:
    """The algo service has it; what became of it since is told by the stream."""
    if r.text(source, "clientAlgoId") != command.cl_ord_id:
        raise r.BadReply(f"the answer is of {r.text(source, 'clientAlgoId')[:40]!r}")
    report = algo_report({**source, "algoStatus": "NEW", "actualOrderId": ""}, instrument, ts_ns)
    return Events((report,))


def _ack(shown: ExecutionReport, time_in_force: TimeInForce) -> ExecutionReport:
    """The order as it was before anything happened to it."""
    return msgspec.structs.replace(
        shown,
        exec_id=report_id_of_ack(shown),
        exec_type=ExecType.NEW,
        ord_status=shown.ord_status if shown.ord_status is OrdStatus.PENDING_TRIGGER else OrdStatus.NEW,
        time_in_force=time_in_force,
        cum_qty=ZERO,
        leaves_qty=shown.order_qty,
        avg_px=ZERO,
    )


def report_id_of_ack(shown: ExecutionReport) -> str:
    """The ack's id, whatever the order has become since."""
    return f"{shown.exec_id.rpartition(':')[0]}:{ExecType.NEW.value}"


# --- By command --------------------------------------------------------------------------------------------


def _read(command: WireCommand, venue: str, instruments: Mapping[str, Instrument], answer: HttpAnswer) -> Reply:
    parsed, ts_ns = r.parse(answer.body), answer.ts_ns
    match command:
        case NewOrderSingle() if command.trigger is not None and venue != SPOT:
            return _held(command, instruments[command.instrument_id], r.row(parsed), ts_ns)
        case OrderCancelRequest() if command.waits and venue != SPOT:
            # It is taken; its end comes on the stream.
            return Events()
        case OrderStatusRequest() if command.waits and venue != SPOT:
            held = algo_report(
                r.row(parsed), instruments[command.instrument_id], ts_ns, exec_type=ExecType.ORDER_STATUS
            )
            return Events((status_answer(command, held, ts_ns),))
        case OrderCancelReplaceRequest() if venue == SPOT:
            return _replaced(command, instruments[command.instrument_id], r.row(parsed), ts_ns)
        case NewOrderSingle() | OrderCancelRequest() | OrderCancelReplaceRequest():
            return order_answer(command, instruments[command.instrument_id], r.row(parsed), ts_ns)
        case OrderStatusRequest():
            shown = order_report(
                r.row(parsed),
                instruments[command.instrument_id],
                ts_ns,
                exec_type=ExecType.ORDER_STATUS,
                cl_ord_id=command.cl_ord_id if command.order_id else "",
            )
            return Events((status_answer(command, shown, ts_ns),))
        case CancelAll():
            return _all_canceled(command, venue, instruments[command.instrument_id], parsed, ts_ns)
        case _:
            return _fact(command, venue, parsed)


def _fact(command: WireCommand, venue: str, parsed: object) -> Reply:
    match command:
        case Countdown():
            return Told(CountdownSet(timeout_ms=int(r.text(r.row(parsed), "countdownTime"))))
        case KeyQuery():
            return Told(_permissions(venue, r.row(parsed)))
        case ModeQuery():
            hedge = r.truth(r.row(parsed), "dualSidePosition")
            return Told(AccountMode(hedge=hedge, text="dualSidePosition" if hedge else "one-way"))
        case LeverageQuery():
            for source in r.rows(parsed):
                return Told(Leverage(instrument_id=command.instrument_id, leverage=r.text(source, "leverage")))
            raise r.BadReply("no symbol in the list")
        case TimeQuery():
            return Told(VenueTime(server_ms=r.time_ns(r.row(parsed), "serverTime") // MS_NS))
        case ListenKeyRequest():
            return Told(ListenKey(listen_key=r.text_or(r.row(parsed), "listenKey")))
        case _:
            raise r.BadReply(f"no answer is known for {type(command).__name__}")


def _permissions(venue: str, source: r.Row) -> KeyPermissions:
    """``/sapi/v1/account/apiRestrictions``."""
    trade = "enableSpotAndMarginTrading" if venue == SPOT else "enableFutures"
    transfer = r.truth(source, "permitsUniversalTransfer") or r.truth(source, "enableInternalTransfer")
    on = sorted(name for name, value in source.items() if value is True)
    return KeyPermissions(
        read=r.truth(source, "enableReading"),
        trade=r.truth(source, trade),
        withdraw=r.truth(source, "enableWithdrawals"),
        transfer=transfer,
        ip_bound=r.truth(source, "ipRestrict"),
        text=" ".join(on),
    )


def _all_canceled(command: CancelAll, venue: str, instrument: Instrument, parsed: object, ts_ns: int) -> Reply:
    """Spot lists the orders it canceled (lists of orders among them); futures say code 200."""
    fact = AllCanceled(instrument_id=command.instrument_id)
    if venue != SPOT:
        if r.row(parsed).get("code") != 200:
            raise r.BadReply(f"cancel-all answers {str(parsed)[:80]}")
        return Told(fact)
    reports = [
        order_report(source, instrument, ts_ns, cl_ord_id=r.text(source, "origClientOrderId"))
        for source in r.rows(parsed)
        if "origClientOrderId" in source
    ]
    return Told(fact, tuple(reports))


# --- Spot's cancel-replace ---------------------------------------------------------------------------------


def _replaced(command: OrderCancelReplaceRequest, instrument: Instrument, source: r.Row, ts_ns: int) -> Events:
    inner = source.get("data", source)
    placed = r.row(r.row(inner, "data").get("newOrderResponse"), "newOrderResponse")
    if r.text(placed, "clientOrderId") != command.cl_ord_id:
        raise r.BadReply(f"the answer is of {r.text(placed, 'clientOrderId')[:40]!r}")
    new = _placed(as_new(command), instrument, placed, ts_ns).events
    first = new[0]
    assert isinstance(first, ExecutionReport)
    report = msgspec.structs.replace(
        first,
        exec_type=ExecType.REPLACED,
        exec_id=f"{first.exec_id.rpartition(':')[0]}:{ExecType.REPLACED.value}",
        orig_cl_ord_id=command.orig_cl_ord_id,
    )
    return Events((report, *new[1:]))


def _halves(command: OrderCancelReplaceRequest, instrument: Instrument, answer: HttpAnswer) -> Reply | None:
    """-2021 and -2022: which half was done is in their data. None when they are not there."""
    ts_ns = answer.ts_ns
    try:
        data = r.row(r.row(r.parse(answer.body)).get("data"), "data")
        canceled, placed = r.text(data, "cancelResult"), r.text(data, "newOrderResult")
        code, msg = _half_error(data, "newOrderResponse" if placed == "FAILURE" else "cancelResponse")
        if canceled == "FAILURE" and placed in {"NOT_ATTEMPTED", "FAILURE"}:
            words = said(str(code), msg)
            return Refused(code=str(code), text=words, events=refusal(command, words, ts_ns))
        if canceled != "SUCCESS" or placed != "FAILURE":
            return Ambiguous(said(str(code), f"cancel {canceled}, new order {placed}: {msg}"))
        gone = order_report(
            r.row(data.get("cancelResponse"), "cancelResponse"), instrument, ts_ns, cl_ord_id=command.orig_cl_ord_id
        )
    except r.BadReply:
        return None
    # The old order is gone, and the new one has an answer of its own.
    new = reply_of(verdict_of(SPOT, code, msg), as_new(command), str(code), msg, ts_ns, retry_ns=_BUSY_NS)
    if isinstance(new, Ambiguous):
        return Ambiguous(new.reason, (gone,))
    if isinstance(new, Exists):
        return Exists(reason=new.reason, events=(gone, *new.events))
    return Refused(code=str(code), text=said(str(code), msg), events=(gone, *new.events))


def _half_error(data: r.Row, name: str) -> tuple[int, str]:
    half = data.get(name)
    if not isinstance(half, dict) or not isinstance(half.get("code"), int):
        return 0, ""
    return half["code"], r.text_or(half, "msg")


def as_new(command: OrderCancelReplaceRequest) -> NewOrderSingle:
    """The new leg of a replacement as the placement that it is."""
    return NewOrderSingle(
        venue=command.venue,
        instrument_id=command.instrument_id,
        cl_ord_id=command.cl_ord_id,
        side=command.side,
        ord_type=command.ord_type,
        time_in_force=command.time_in_force,
        order_qty=command.order_qty,
        price=command.price,
        reduce_only=command.reduce_only,
        strategy_ids=command.strategy_ids,
        epoch=command.epoch,
        cause=command.cause,
        ts_init_ns=command.ts_init_ns,
    )


def _until_ns(msg: str, ts_ns: int) -> int:
    until_ms = banned_until_ms(msg)
    return max(0, until_ms * MS_NS - ts_ns) if until_ms else 0
