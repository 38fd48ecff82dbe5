"""What Bybit's HTTP answers prove about a command: status, then ``retCode``, then what the result shows.

Sources as in `adapters.orders.bybit_codes`, and "Rate Limit Rules" (read 2026-11): 403 is the address's limit, for ten
minutes; ``X-Bapi-Limit-Reset-Timestamp`` says when a key's limit begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.orders import reading as r
from adapters.orders.acks import ack
from adapters.orders.bybit_codes import verdict_of
from adapters.orders.bybit_read import order_report
from adapters.orders.dialect import BatchCommand
from adapters.orders.replies import Verdict, reply_of, retry_after_ns, said, status_answer
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
    HttpAnswer,
    KeyPermissions,
    KeyQuery,
    Leverage,
    LeverageQuery,
    ModeQuery,
    Reply,
    TimeQuery,
    Told,
    VenueTime,
    WireCommand,
)
from trading.instruments import Instrument
from trading.orders.messages import (
    ExecType,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
)

_ADDRESS_NS = 600 * SECOND_NS


def reply_to(command: WireCommand, instruments: Mapping[str, Instrument], answer: HttpAnswer) -> Reply:
    """The reply to one command; never raises."""
    trouble = trouble_of(command, answer)
    if trouble is not None:
        return trouble
    try:
        return _read(command, instruments, answer)
    except r.BadReply as bad:
        return Ambiguous(f"HTTP {answer.status}, but {bad}")


def trouble_of(command: WireCommand, answer: HttpAnswer) -> Reply | None:
    """What an answer that is no success says; None for a success."""
    status, ts_ns = answer.status, answer.ts_ns
    code, text = _code_of(answer.body)
    name = f"HTTP {status}" if code is None else str(code)
    if status == 403:
        return reply_of(Verdict.BANNED, command, name, text or "the address's limit", ts_ns, retry_ns=_ADDRESS_NS)
    if status == 429:
        wait_ns = retry_after_ns(answer.headers, SECOND_NS)
        return reply_of(Verdict.LIMITED, command, name, text, ts_ns, retry_ns=wait_ns)
    if status >= 500:
        return Ambiguous(said(f"HTTP {status}", text))
    if status == 401:
        return reply_of(Verdict.AUTH, command, name, text, ts_ns)
    if code is None:
        return Ambiguous(said(f"HTTP {status}", text))
    if code == 0:
        return None if status == 200 else Ambiguous(f"HTTP {status}, but retCode 0")
    return _coded(command, code, text, answer)


def _coded(command: WireCommand, code: int, text: str, answer: HttpAnswer) -> Reply:
    verdict = verdict_of(code)
    if code == 10001 and isinstance(command, OrderCancelReplaceRequest) and "unchanged" in text.lower():
        # "The order remains unchanged as the parameters entered match the existing ones."
        verdict = Verdict.UNCHANGED
    wait_ns = 0
    if verdict is Verdict.LIMITED:
        wait_ns = _reset_ns(answer)
    elif verdict is Verdict.BANNED:
        wait_ns = _ADDRESS_NS
    return reply_of(verdict, command, str(code), text, answer.ts_ns, retry_ns=wait_ns)


def _reset_ns(answer: HttpAnswer) -> int:
    stamp = answer.headers.get("x-bapi-limit-reset-timestamp", "")
    if stamp.isascii() and stamp.isdigit() and len(stamp) == 13:
        return min(max(int(stamp) * MS_NS - answer.ts_ns, 100 * MS_NS), 60 * SECOND_NS)
    return SECOND_NS


def _code_of(body: bytes) -> tuple[int | None, str]:
    try:
        source = r.row(r.parse(body))
        code = source.get("retCode")
        if isinstance(code, int) and not isinstance(code, bool):
            return code, r.text_or(source, "retMsg")
    except r.BadReply:
        pass
    return None, body[:80].decode("utf-8", "replace")


# --- By command --------------------------------------------------------------------------------------------


def _read(command: WireCommand, instruments: Mapping[str, Instrument], answer: HttpAnswer) -> Reply:
    source = r.row(r.parse(answer.body))
    result = r.row(source.get("result"), "result")
    match command:
        case NewOrderSingle():
            return _placed(command, instruments[command.instrument_id], result, r.time_ns(source, "time"), answer.ts_ns)
        case OrderCancelRequest() | OrderCancelReplaceRequest():
            return _taken(command, result)
        case OrderStatusRequest():
            rows = r.rows(result.get("list"), "list")
            if not rows:
                return Events((status_answer(command, None, answer.ts_ns),))
            found = order_report(
                rows[0], instruments[command.instrument_id], answer.ts_ns, exec_type=ExecType.ORDER_STATUS
            )
            if found.cl_ord_id != command.cl_ord_id:
                raise r.BadReply(f"the answer is of {found.cl_ord_id[:40]!r}")
            return Events((status_answer(command, found, answer.ts_ns),))
        case _:
            return _fact(command, source, result)


def _placed(command: NewOrderSingle, instrument: Instrument, result: r.Row, event_ns: int, ts_ns: int) -> Reply:
    if r.text(result, "orderLinkId") != command.cl_ord_id:
        raise r.BadReply(f"the answer is of {r.text(result, 'orderLinkId')[:40]!r}")
    return Events((ack(command, instrument, r.text(result, "orderId"), event_ns=event_ns, ts_ns=ts_ns),))


def _taken(command: OrderCancelRequest | OrderCancelReplaceRequest, result: r.Row) -> Reply:
    """The request was taken; its end comes on the stream."""
    if r.text_or(result, "orderLinkId", command.orig_cl_ord_id) != command.orig_cl_ord_id:
        raise r.BadReply(f"the answer is of {r.text(result, 'orderLinkId')[:40]!r}")
    return Events()


def _fact(command: WireCommand, source: r.Row, result: r.Row) -> Reply:
    match command:
        case CancelAll():
            return Told(AllCanceled(instrument_id=command.instrument_id))
        case Countdown():
            return Told(CountdownSet(timeout_ms=command.timeout_ms))
        case KeyQuery():
            return Told(_permissions(result))
        case ModeQuery():
            indexes = {r.text_or(row, "positionIdx", "0") for row in r.rows(result.get("list"), "list")}
            if not indexes:
                raise r.BadReply("no position in the list")
            return Told(AccountMode(hedge=indexes != {"0"}, text=f"positionIdx {', '.join(sorted(indexes))}"))
        case LeverageQuery():
            for row in r.rows(result.get("list"), "list"):
                return Told(Leverage(instrument_id=command.instrument_id, leverage=r.text(row, "leverage")))
            raise r.BadReply("no position in the list")
        case TimeQuery():
            return Told(VenueTime(server_ms=r.time_ns(source, "time") // MS_NS))
        case _:
            raise r.BadReply(f"no answer is known for {type(command).__name__}")


def _permissions(result: r.Row) -> KeyPermissions:
    """``/v5/user/query-api``: ``Wallet`` lists what may be done with funds."""
    groups = r.row(result.get("permissions"), "permissions")
    wallet = groups.get("Wallet")
    if not isinstance(wallet, list):
        raise r.BadReply("permissions.Wallet is missing")
    trading = [*_words(groups, "ContractTrade"), *_words(groups, "Spot"), *_words(groups, "Derivatives")]
    writes = r.text(result, "readOnly") == "0"
    ips = result.get("ips")
    bound = isinstance(ips, list) and bool(ips) and "*" not in ips
    return KeyPermissions(
        read=True,
        trade=writes and ("Order" in trading or "SpotTrade" in trading),
        withdraw=writes and "Withdraw" in wallet,
        transfer=writes and any("Transfer" in str(word) for word in wallet),
        ip_bound=bound,
        text=" ".join(f"{name}:{'+'.join(_words(groups, name))}" for name in sorted(groups) if _words(groups, name)),
    )


def _words(groups: r.Row, name: str) -> list[str]:
    value = groups.get(name, [])
    return [str(word) for word in value] if isinstance(value, list) else []


# --- Batches -----------------------------------------------------------------------------------------------


def batch_replies(
    commands: Sequence[BatchCommand], instruments: Mapping[str, Instrument], answer: HttpAnswer
) -> tuple[Reply, ...]:
    """One reply each: ``retExtInfo.list`` has each item's code, ``result.list`` its ids, both in our order."""
    troubles = [trouble_of(command, answer) for command in commands]
    if troubles and troubles[0] is not None:
        return tuple(trouble for trouble in troubles if trouble is not None)
    try:
        source = r.row(r.parse(answer.body))
        codes = r.rows(r.row(source.get("retExtInfo"), "retExtInfo").get("list"), "retExtInfo.list")
        results = r.rows(r.row(source.get("result"), "result").get("list"), "result.list")
        event_ns = r.time_ns(source, "time")
        if not len(codes) == len(results) == len(commands):
            raise r.BadReply(f"{len(codes)} codes and {len(results)} results to {len(commands)} commands")
    except r.BadReply as bad:
        return tuple(Ambiguous(f"HTTP {answer.status}, but {bad}") for _ in commands)
    return tuple(
        _item(command, instruments[command.instrument_id], item, event_ns, answer)
        for command, item in zip(commands, zip(codes, results, strict=True), strict=True)
    )


def _item(
    command: BatchCommand, instrument: Instrument, item: tuple[r.Row, r.Row], event_ns: int, answer: HttpAnswer
) -> Reply:
    code, result = item
    try:
        number = int(r.text(code, "code"))
        if number:
            return _coded(command, number, r.text_or(code, "msg"), answer)
        if isinstance(command, NewOrderSingle):
            return _placed(command, instrument, result, event_ns, answer.ts_ns)
        return _taken(command, result)
    except (r.BadReply, ValueError) as bad:
        return Ambiguous(str(bad))
