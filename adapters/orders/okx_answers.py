"""What OKX's HTTP answers prove about a command: ``code`` of the whole, then ``sCode`` of each order in it.

Sources as in `adapters.orders.okx_codes`; "Place order": code 1 is "all failed", 2 "some failed", the reasons are in
``data`` (read 2026-11). 429 has no Retry-After there: limits are counted in windows of two seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.orders import reading as r
from adapters.orders.acks import ack
from adapters.orders.dialect import BatchCommand
from adapters.orders.okx_algo import algo_report
from adapters.orders.okx_codes import verdict_of
from adapters.orders.okx_read import id_in, order_report
from adapters.orders.replies import Verdict, reply_of, retry_after_ns, said, status_answer
from adapters.orders.wire import (
    MS_NS,
    SECOND_NS,
    AccountMode,
    Ambiguous,
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

_WINDOW_NS = 2 * SECOND_NS
_BAN_NS = 300 * SECOND_NS


def reply_to(command: WireCommand, instruments: Mapping[str, Instrument], answer: HttpAnswer) -> Reply:
    """The reply to one command; never raises."""
    trouble = trouble_of(command, answer)
    if trouble is not None:
        return trouble
    try:
        rows = r.rows(r.row(r.parse(answer.body)).get("data"), "data")
        if isinstance(command, NewOrderSingle | OrderCancelRequest | OrderCancelReplaceRequest):
            if len(rows) != 1:
                raise r.BadReply(f"{len(rows)} orders in the answer to one")
            return _order(command, instruments[command.instrument_id], rows[0], answer)
        return _read(command, instruments, rows, answer)
    except r.BadReply as bad:
        return Ambiguous(f"HTTP {answer.status}, but {bad}")


def trouble_of(command: WireCommand, answer: HttpAnswer) -> Reply | None:
    """What an answer that is no success says; None where the orders in it speak for themselves."""
    status, ts_ns = answer.status, answer.ts_ns
    code, text, rows = _code_of(answer.body)
    if code and rows and code in {"1", "2"} and status == 200:
        return None
    if status in {403, 418}:
        return reply_of(Verdict.BANNED, command, f"HTTP {status}", text, ts_ns, retry_ns=_BAN_NS)
    if code and code not in {"0", "1", "2"}:
        verdict = verdict_of(code)
        if verdict is not Verdict.AMBIGUOUS:
            wait_ns = retry_after_ns(answer.headers, _WINDOW_NS) if verdict is Verdict.LIMITED else 0
            return reply_of(verdict, command, code, text, ts_ns, retry_ns=wait_ns)
        return Ambiguous(said(f"HTTP {status} {code}", text))
    if status == 429:
        wait_ns = retry_after_ns(answer.headers, _WINDOW_NS)
        return reply_of(Verdict.LIMITED, command, "HTTP 429", text, ts_ns, retry_ns=wait_ns)
    if status == 401:
        return reply_of(Verdict.AUTH, command, "HTTP 401", text, ts_ns)
    if status != 200 or code != "0":
        return Ambiguous(said(f"HTTP {status} {code}", text))
    return None


def _code_of(body: bytes) -> tuple[str, str, bool]:
    """Code, text, and whether there is data."""
    try:
        source = r.row(r.parse(body))
        return r.text(source, "code"), r.text_or(source, "msg"), bool(source.get("data"))
    except r.BadReply:
        return "", body[:80].decode("utf-8", "replace"), False


# --- By command --------------------------------------------------------------------------------------------


def _order(command: BatchCommand, instrument: Instrument, row: r.Row, answer: HttpAnswer) -> Reply:
    """One order's part of an answer."""
    code = r.text(row, "sCode")
    if code != "0":
        verdict = verdict_of(code)
        wait_ns = _WINDOW_NS if verdict is Verdict.LIMITED else 0
        return reply_of(verdict, command, code, r.text_or(row, "sMsg"), answer.ts_ns, retry_ns=wait_ns)
    if isinstance(command, NewOrderSingle) and command.trigger is not None:
        named = id_in(r.text(row, "algoClOrdId"))
        if named != command.cl_ord_id:
            raise r.BadReply(f"the answer is of {named[:40]!r}")
        own = f"a{r.text(row, 'algoId')}"
        return Events((ack(command, instrument, own, event_ns=answer.ts_ns, ts_ns=answer.ts_ns),))
    if isinstance(command, OrderCancelRequest) and (command.waits or command.order_id):
        return Events()
    named = id_in(r.text_or(row, "clOrdId"))
    if isinstance(command, NewOrderSingle):
        if named != command.cl_ord_id:
            raise r.BadReply(f"the answer is of {named[:40]!r}")
        event_ns = r.time_ns(row, "ts")
        return Events((ack(command, instrument, r.text(row, "ordId"), event_ns=event_ns, ts_ns=answer.ts_ns),))
    if named and named != command.orig_cl_ord_id:
        raise r.BadReply(f"the answer is of {named[:40]!r}")
    # Cancels and amendments were taken; whether they were done the channel says.
    return Events()


def _read(command: WireCommand, instruments: Mapping[str, Instrument], rows: list[r.Row], answer: HttpAnswer) -> Reply:
    if isinstance(command, Countdown):
        return Told(CountdownSet(timeout_ms=command.timeout_ms))
    if not rows:
        raise r.BadReply("no data in the answer")
    row = rows[0]
    match command:
        case OrderStatusRequest() if command.waits:
            instrument, named = instruments[command.instrument_id], id_in(r.text(row, "algoClOrdId"))
            if named != command.cl_ord_id:
                raise r.BadReply(f"the answer is of {named[:40]!r}")
            return Events((status_answer(command, algo_report(row, instrument, answer.ts_ns, named), answer.ts_ns),))
        case OrderStatusRequest():
            found = order_report(row, instruments[command.instrument_id], answer.ts_ns, exec_type=ExecType.ORDER_STATUS)
            if found.cl_ord_id != command.cl_ord_id:
                raise r.BadReply(f"the answer is of {found.cl_ord_id[:40]!r}")
            return Events((status_answer(command, found, answer.ts_ns),))
        case KeyQuery():
            words = [word.strip() for word in r.text(row, "perm").split(",")]
            return Told(
                KeyPermissions(
                    read="read_only" in words or "trade" in words,
                    trade="trade" in words,
                    withdraw="withdraw" in words,
                    # Moving funds between one's own accounts is part of trading there, and is not told apart.
                    transfer=None,
                    ip_bound=bool(r.text_or(row, "ip")),
                    text=" ".join(words),
                )
            )
        case ModeQuery():
            mode = r.text(row, "posMode")
            return Told(AccountMode(hedge=mode != "net_mode", text=mode))
        case LeverageQuery():
            return Told(Leverage(instrument_id=command.instrument_id, leverage=r.text(row, "lever")))
        case TimeQuery():
            return Told(VenueTime(server_ms=r.time_ns(row, "ts") // MS_NS))
        case _:
            raise r.BadReply(f"no answer is known for {type(command).__name__}")


# --- Batches -----------------------------------------------------------------------------------------------


def batch_replies(
    commands: Sequence[BatchCommand], instruments: Mapping[str, Instrument], answer: HttpAnswer
) -> tuple[Reply, ...]:
    """One reply each, in our order; those that name another order prove nothing."""
    troubles = [trouble_of(command, answer) for command in commands]
    if troubles and troubles[0] is not None:
        return tuple(trouble for trouble in troubles if trouble is not None)
    try:
        rows = r.rows(r.row(r.parse(answer.body)).get("data"), "data")
        if len(rows) != len(commands):
            raise r.BadReply(f"{len(rows)} answers to {len(commands)} commands")
    except r.BadReply as bad:
        return tuple(Ambiguous(f"HTTP {answer.status}, but {bad}") for _ in commands)
    out: list[Reply] = []
    for command, row in zip(commands, rows, strict=True):
        try:
            out.append(_order(command, instruments[command.instrument_id], row, answer))
        except r.BadReply as bad:
            out.append(Ambiguous(str(bad)))
    return tuple(out)
