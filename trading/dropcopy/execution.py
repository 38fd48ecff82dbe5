"""One execution as both sides tell it, and what can differ between the two. A funding payment is told as one.

Owns the comparison of a pair and of a whole set; what a difference leads to is `trading.dropcopy.core`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum

import msgspec

from trading.orders.messages import ExecType, ExecutionReport, FundingPayment, Side

_FUNDING = "funding:"
_ZERO = Decimal(0)


class Execution(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What moved a position and cost a fee. ``fee`` is positive when paid; ``cl_ord_id`` "" where it is not said."""

    exec_id: str
    instrument_id: str
    order_id: str
    cl_ord_id: str
    side: Side
    last_qty: Decimal
    last_px: Decimal
    fee: Decimal
    fee_asset: str
    ts_event_ns: int

    @property
    def is_funding(self) -> bool:
        """Whether it is a funding payment: money and no quantity, ``fee`` what was paid (negative: received)."""
        return self.exec_id.startswith(_FUNDING)


class DifferenceKind(Enum):
    """How the two sides can disagree; a closed set."""

    UNBOOKED = "unbooked"
    """The venue's record has it, the journal does not: a hole in the stream, or a fill that we lost."""
    GHOST = "ghost"
    """The journal booked it, the venue's record does not have it."""
    DUPLICATE = "duplicate"
    """A ghost that is like another execution of its order, which the record has: booked twice."""
    QTY = "qty"
    """Both have it, with another quantity, side, order or instrument."""
    PRICE = "price"
    """Both have it, at another price."""
    FEE = "fee"
    """Both have it, with another fee."""


def execution_of(report: ExecutionReport) -> Execution | None:
    """The execution in a report; None where it reports something else."""
    if report.exec_type is not ExecType.TRADE or not report.exec_id:
        return None
    return Execution(
        report.exec_id,
        report.instrument_id,
        report.order_id,
        report.cl_ord_id,
        report.side,
        report.last_qty,
        report.last_px,
        report.fee,
        report.fee_asset if report.fee else "",
        report.ts_event_ns,
    )


def funding_of(payment: FundingPayment) -> Execution | None:
    """A funding payment as an execution of nothing; None for an instrument that the desk does not trade."""
    if "/" in payment.instrument_id:
        return None
    return Execution(
        f"{_FUNDING}{payment.funding_id}",
        payment.instrument_id,
        "",
        "",
        Side.BUY,
        _ZERO,
        _ZERO,
        -payment.amount,
        payment.asset,
        payment.ts_event_ns,
    )


def difference(listed: Execution, booked: Execution) -> DifferenceKind | None:
    """The gravest thing in which two tellings of one execution differ; None: they are the same."""
    same_order = listed.order_id == booked.order_id or not (listed.order_id and booked.order_id)
    same_place = listed.instrument_id == booked.instrument_id and listed.side is booked.side
    if not (same_order and same_place and listed.last_qty == booked.last_qty):
        return DifferenceKind.QTY
    if listed.last_px != booked.last_px:
        return DifferenceKind.PRICE
    if listed.fee != booked.fee or listed.fee_asset != booked.fee_asset:
        return DifferenceKind.FEE
    return None


def is_twin(one: Execution, other: Execution) -> bool:
    """Whether two executions of different ids are so alike that one may be the other, booked again."""
    return (
        one.exec_id != other.exec_id
        and not one.is_funding
        and one.order_id == other.order_id
        and one.instrument_id == other.instrument_id
        and one.side is other.side
        and one.last_qty == other.last_qty
        and one.last_px == other.last_px
    )


def absent_kind(booked: Execution, listed: Iterable[Execution]) -> DifferenceKind:
    """What a booked execution is that the record does not have."""
    return DifferenceKind.DUPLICATE if any(is_twin(booked, one) for one in listed) else DifferenceKind.GHOST


def told(kind: DifferenceKind, listed: Execution | None, booked: Execution | None) -> str:
    """A difference in words: what the venue says and what we booked."""
    one = booked if listed is None else listed
    assert one is not None
    if one.is_funding:
        sides = (f"the venue's record has {_paid(listed)}", f"booked {_paid(booked)}")
        return f"{kind.value}: {one.exec_id} of {one.instrument_id}: {sides[0]}, {sides[1]}"
    order = one.cl_ord_id or (booked.cl_ord_id if booked is not None else "") or f"venue order {one.order_id}"
    name = f"{kind.value}: {one.exec_id} of {order}"
    if listed is None:
        return f"{name}: booked {_words(one)}, not in the venue's record"
    if booked is None:
        return f"{name}: the venue's record has {_words(one)}, not booked"
    return f"{name}: the venue's record has {_words(listed)}, booked {_words(booked)}"


def _paid(one: Execution | None) -> str:
    return "none" if one is None else f"{-one.fee} {one.fee_asset}"


def _words(one: Execution) -> str:
    fee = f", fee {one.fee} {one.fee_asset}".rstrip()
    return f"{one.side.value} {one.last_qty} at {one.last_px}{fee}"


def compare(
    listed: Mapping[str, Execution], booked: Mapping[str, Execution]
) -> list[tuple[DifferenceKind, Execution | None, Execution | None]]:
    """Every difference between two whole sets by exec_id: (what, as listed, as booked), by the id."""
    found: list[tuple[DifferenceKind, Execution | None, Execution | None]] = []
    for exec_id in sorted(listed.keys() | booked.keys()):
        theirs, ours = listed.get(exec_id), booked.get(exec_id)
        if theirs is None:
            assert ours is not None
            found.append((absent_kind(ours, listed.values()), None, ours))
        elif ours is None:
            found.append((DifferenceKind.UNBOOKED, theirs, None))
        elif (kind := difference(theirs, ours)) is not None:
            found.append((kind, theirs, ours))
    return found
