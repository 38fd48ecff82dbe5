"""From a venue's verdict to a reply: one table of meanings for all venues, and the events that say it to the desk.

Owns what a refusal means for each kind of command. Which code is which verdict is the venues' own (``*_codes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum

from adapters.orders.wire import (
    Ambiguous,
    AuthFailed,
    ClockSkewed,
    Events,
    Exists,
    Limited,
    Refused,
    Reply,
    WireCommand,
)
from trading.orders.inplace import UNCHANGED
from trading.orders.messages import (
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusReport,
    OrderStatusRequest,
    OrdStatus,
    VenueEvent,
)
from trading.orders.refusals import cancel_reject, rejected

ZERO = Decimal(0)
TEXT_MAX = 200


class Verdict(Enum):
    """What the venue's document says of a code.

    UNKNOWN_ORDER: the venue knows no such order. UNCHANGED: an amendment that would change nothing.
    """

    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"
    EXISTS = "exists"
    UNKNOWN_ORDER = "unknown_order"
    UNCHANGED = "unchanged"
    LIMITED = "limited"
    BANNED = "banned"
    AUTH = "auth"
    CLOCK = "clock"


def said(code: str, text: str) -> str:
    """A venue's refusal in one line: its code first."""
    return f"{code} {text}".strip()[:TEXT_MAX]


def reply_of(verdict: Verdict, command: WireCommand, code: str, text: str, ts_ns: int, *, retry_ns: int = 0) -> Reply:
    """What ``verdict`` means for ``command``. ``ts_ns`` is when we heard it."""
    words = said(code, text)
    match verdict:
        case Verdict.AMBIGUOUS:
            return Ambiguous(words)
        case Verdict.LIMITED | Verdict.BANNED:
            banned = verdict is Verdict.BANNED
            return Limited(retry_ns=retry_ns, banned=banned, text=words, events=rejection(command, words, ts_ns))
        case Verdict.AUTH:
            return AuthFailed(text=words, events=rejection(command, words, ts_ns))
        case Verdict.CLOCK:
            return ClockSkewed(text=words, events=rejection(command, words, ts_ns))
        case Verdict.EXISTS if isinstance(command, NewOrderSingle | OrderCancelReplaceRequest):
            return Exists(reason=words, events=(duplicate(command, words, ts_ns),))
        case Verdict.UNKNOWN_ORDER if isinstance(command, OrderStatusRequest):
            return Events((status_answer(command, None, ts_ns),))
        case Verdict.UNKNOWN_ORDER if isinstance(command, NewOrderSingle):
            # "No such order" is no answer to a placement.
            return Ambiguous(words)
        case Verdict.UNCHANGED if isinstance(command, OrderCancelReplaceRequest):
            # Whether this very request made it so, only the venue's record of the order can tell.
            return Refused(code=code, text=words, events=refusal(command, UNCHANGED + words, ts_ns))
        case Verdict.REFUSED | Verdict.UNKNOWN_ORDER | Verdict.UNCHANGED | Verdict.EXISTS:
            return Refused(code=code, text=words, events=refusal(command, words, ts_ns))


def refusal(command: WireCommand, text: str, ts_ns: int) -> tuple[VenueEvent, ...]:
    """A definite no, in the order core's words."""
    if isinstance(command, NewOrderSingle):
        exec_id = f"{command.instrument_id}:{command.cl_ord_id}:rejected"
        return (rejected(command, exec_id, 0, text, ts_ns),)
    if isinstance(command, OrderCancelRequest | OrderCancelReplaceRequest):
        # Why, only the venue's record of the order can tell.
        return (cancel_reject(command, OrdStatus.UNKNOWN, text, ts_ns),)
    return ()


def rejection(command: WireCommand, text: str, ts_ns: int) -> tuple[VenueEvent, ...]:
    """The same of a request that was turned away before it was read.

    Of a cancel it says nothing: the order core says the cancel again when it hears nothing.
    """
    return () if isinstance(command, OrderCancelRequest) else refusal(command, text, ts_ns)


def duplicate(command: NewOrderSingle | OrderCancelReplaceRequest, text: str, ts_ns: int) -> VenueEvent:
    """How the order core reads that the venue has this id already: never applied, always asked about."""
    words = f"duplicate id: {text}"
    if isinstance(command, NewOrderSingle):
        return rejected(command, "", 0, words, ts_ns)
    return cancel_reject(command, OrdStatus.UNKNOWN, words, ts_ns)


def status_answer(command: OrderStatusRequest, report: ExecutionReport | None, ts_ns: int) -> OrderStatusReport:
    """The answer to a question after one order; None: the venue does not know it."""
    return OrderStatusReport(
        venue=command.venue,
        instrument_id=command.instrument_id,
        cl_ord_id=command.cl_ord_id,
        report=report,
        ts_init_ns=ts_ns,
        asked_ns=command.ts_init_ns,
    )


def retry_after_ns(headers: Mapping[str, str], usual_ns: int) -> int:
    """``Retry-After`` in seconds, else ``usual_ns``."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit() and len(text) < 8:
        return max(int(text) * 1_000_000_000, usual_ns // 2)
    return usual_ns
