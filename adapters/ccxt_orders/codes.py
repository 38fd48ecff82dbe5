"""From a venue's refusal, as ccxt classes it, to a verdict.

ccxt's classes say what went wrong, and only some of them say that nothing was done. Where a class says less than the
venue's own label, or something else, the label decides (`LABELS`). What is in neither table is AMBIGUOUS.

Sources: "Exception Hierarchy" of docs.ccxt.com; the lists of labels and codes in Gate.io's API v4 and MEXC's spot v3
documents, and as ccxt 4.5.68 has them. Read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters.ccxt_venues.instruments import GATEIO, MEXC
from adapters.orders import reading as r
from adapters.orders.replies import Verdict, reply_of, retry_after_ns, said
from adapters.orders.wire import MS_NS, SECOND_NS, Ambiguous, HttpAnswer, Reply, WireCommand

_V = Verdict

LABELS: Final[Mapping[str, Mapping[str, Verdict]]] = {
    GATEIO: {
        "REQUEST_EXPIRED": _V.CLOCK,  # time stamp more than 60 s away; ccxt: AuthenticationError
        "REPEATED_CREATION": _V.EXISTS,  # ccxt: InvalidOrder
        "INTERNAL": _V.AMBIGUOUS,
        "SERVER_ERROR": _V.AMBIGUOUS,
        "TOO_BUSY": _V.AMBIGUOUS,
        "TOO_FAST": _V.LIMITED,
        "TOO_MANY_REQUESTS": _V.LIMITED,
        "ORDER_FINISHED": _V.REFUSED,  # ccxt: ExchangeError
        "ORDER_NOT_OWNED": _V.REFUSED,
    },
    MEXC: {
        "-2013": _V.UNKNOWN_ORDER,  # Order does not exist; not in ccxt's table
        "-2011": _V.REFUSED,
        "429": _V.LIMITED,
        "510": _V.LIMITED,
        "26": _V.REFUSED,  # operation not allowed
        "10072": _V.AUTH,  # invalid access key; ccxt: BadRequest
        "10073": _V.CLOCK,  # invalid request time
        "700003": _V.CLOCK,
        "700005": _V.REFUSED,  # our window is too long: no clock mends that
        "700006": _V.AUTH,  # address not on the list
        "60005": _V.AUTH,  # your account is abnormal
        "30000": _V.REFUSED,  # trading of the symbol is suspended
        "20002": _V.AMBIGUOUS,  # internal error
        "730000": _V.AMBIGUOUS,  # request failed
        "500": _V.AMBIGUOUS,
    },
}
"""What the venues' own labels mean where ccxt's class is not enough."""

CLASSES: Final[tuple[tuple[str, Verdict], ...]] = (
    ("OrderNotFound", _V.UNKNOWN_ORDER),
    ("DuplicateOrderId", _V.EXISTS),
    ("OrderNotCached", _V.AMBIGUOUS),
    ("InvalidNonce", _V.CLOCK),
    ("RateLimitExceeded", _V.LIMITED),
    ("DDoSProtection", _V.LIMITED),
    ("OnMaintenance", _V.AMBIGUOUS),
    ("RequestTimeout", _V.AMBIGUOUS),
    ("NetworkError", _V.AMBIGUOUS),
    ("AuthenticationError", _V.AUTH),
    ("InsufficientFunds", _V.REFUSED),
    ("InvalidOrder", _V.REFUSED),
    ("ArgumentsRequired", _V.REFUSED),
    ("BadSymbol", _V.REFUSED),
    ("BadRequest", _V.REFUSED),
    ("OperationRejected", _V.REFUSED),
    ("NotSupported", _V.REFUSED),
    ("BaseError", _V.AMBIGUOUS),
)
"""ccxt's classes, from the special to the general: the first that an error is one of decides."""

_USUAL_NS: Final = SECOND_NS
_FIREWALL_NS: Final = 300 * SECOND_NS


def label_of(body: bytes) -> tuple[str, str]:
    """Label (Gate.io) or code (MEXC) of an error body, and its text; "" and its beginning for anything else."""
    try:
        source = r.row(r.parse(body))
        label = source.get("label", source.get("code"))
        text = next((str(source[name]) for name in ("message", "detail", "msg") if source.get(name)), "")
        if isinstance(label, str | int) and not isinstance(label, bool):
            return str(label), text
    except r.BadReply:
        pass
    return "", body[:80].decode("utf-8", "replace")


def verdict_of(venue: str, label: str, error: Exception, errors: Any) -> Verdict:
    """What an error of ccxt means; ``errors`` is ccxt, whose classes are asked."""
    known = LABELS.get(venue, {}).get(label)
    if known is not None:
        return known
    return next(
        (verdict for name, verdict in CLASSES if isinstance(error, getattr(errors, name))),
        Verdict.AMBIGUOUS,
    )


def reply_to(venue: str, command: WireCommand, answer: HttpAnswer, error: Exception, errors: Any) -> Reply:
    """The reply that an error is to one command."""
    label, text = label_of(answer.body)
    name, ts_ns = label or f"HTTP {answer.status}", answer.ts_ns
    if answer.status == 418:
        wait_ns = retry_after_ns(answer.headers, 120 * SECOND_NS)
        return reply_of(Verdict.BANNED, command, name, text, ts_ns, retry_ns=wait_ns)
    if answer.status == 429:
        return reply_of(Verdict.LIMITED, command, name, text, ts_ns, retry_ns=_retry_ns(answer))
    if answer.status == 403 and not label:
        return reply_of(Verdict.LIMITED, command, "HTTP 403", "the firewall", ts_ns, retry_ns=_FIREWALL_NS)
    verdict = verdict_of(venue, label, error, errors)
    if answer.status >= 500 and verdict is not Verdict.LIMITED:
        return Ambiguous(said(f"HTTP {answer.status}", f"{label} {text}"))
    wait_ns = _retry_ns(answer) if verdict is Verdict.LIMITED else 0
    return reply_of(verdict, command, name, text, ts_ns, retry_ns=wait_ns)


def _retry_ns(answer: HttpAnswer) -> int:
    """``Retry-After``, or Gate.io's time (s) at which its window begins anew."""
    reset = answer.headers.get("x-gate-ratelimit-reset-timestamp", "")
    if reset.isascii() and reset.isdigit() and len(reset) < 14:
        until_ns = int(reset) * (SECOND_NS if len(reset) <= 10 else MS_NS)
        return min(max(until_ns - answer.ts_ns, SECOND_NS // 10), 60 * SECOND_NS)
    return retry_after_ns(answer.headers, _USUAL_NS)
