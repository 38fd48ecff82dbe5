"""Which numbers of orders and of venues' reports may be reckoned with, and which field holds one that may not.

Decimal raises where NaN is compared, where an infinity is divided, and where a remainder has more digits than its
context: in the middle of a decision. So what is none of a market's numbers is named before anything is done with it.
Does not own grids and limits: zero and what is below it is theirs to refuse.
"""

from __future__ import annotations

from decimal import Decimal

from trading.orders.messages import (
    AccountState,
    ExecType,
    ExecutionReport,
    FundingPayment,
    NewOrderSingle,
    OrderCancelReject,
    OrderCancelReplaceRequest,
    OrderStatusReport,
    ProposedOrder,
    VenueEvent,
)

WORDS_MAX = 60
_LEAST, _MOST = -30, 18
LEAST, MOST = Decimal(1).scaleb(_LEAST), Decimal(1).scaleb(_MOST)
"""A number that is not 0 is from ``LEAST`` to below ``MOST``, its sign aside."""
_ZERO = Decimal(0)


def is_number(value: Decimal) -> bool:
    """Whether ``value`` is finite and, unless 0, from 10**-30 to below 10**18: nothing that is traded needs more."""
    return value.is_finite() and (not value or _LEAST <= value.adjusted() < _MOST)


def unsound_order(order: ProposedOrder | NewOrderSingle | OrderCancelReplaceRequest) -> str:
    """The first field of an order that is no number, with its value, or "". Negative zero is none: it has no side."""
    terms = [("order_qty", order.order_qty), ("price", order.price)]
    if order.trigger is not None:
        terms.append(("trigger.trigger_price", order.trigger.trigger_price))
    for name, value in terms:
        if value is not None and not _is_term(value):
            return told(name, value)
    if not isinstance(order, ProposedOrder):
        return ""
    # It is told and never reckoned with.
    return _unsound_legs(order) if order.ref_price.is_finite() else told("ref_price", order.ref_price)


def unsound_event(m: VenueEvent) -> str:
    """The first field of what a venue said that cannot be reckoned with, with its value, or ""."""
    match m:
        case ExecutionReport():
            return _unsound_report(m)
        case OrderStatusReport():
            return "" if m.report is None else _unsound_report(m.report)
        case AccountState():
            return _unsound_account(m)
        case FundingPayment():
            return _first(
                ("rate", m.rate),
                ("position_qty", m.position_qty),
                ("mark_price", m.mark_price),
                ("amount", m.amount),
            )
        case OrderCancelReject():
            return ""


def told(name: str, value: Decimal) -> str:
    """The words for a field whose value is no number."""
    return f"{name}: {str(value)[:WORDS_MAX]} is no number of a market"


def _unsound_legs(order: ProposedOrder) -> str:
    for index, leg in enumerate(order.legs):
        if not _is_term(leg.qty):
            return told(f"legs[{index}].qty", leg.qty)
    return ""


def _unsound_report(m: ExecutionReport) -> str:
    if m.price is not None and not is_number(m.price):
        return told("price", m.price)
    # Without names first: every word of a venue comes here.
    for value in (m.last_qty, m.last_px, m.order_qty, m.cum_qty, m.leaves_qty, m.avg_px, m.fee):
        if value and not (value.is_finite() and _LEAST <= value.adjusted() < _MOST):
            return _named(m)
    if m.trigger is not None and not is_number(m.trigger.trigger_price):
        return told("trigger.trigger_price", m.trigger.trigger_price)
    if m.exec_type is ExecType.TRADE and not (m.last_qty > _ZERO and m.last_px > _ZERO):
        name, value = ("last_px", m.last_px) if m.last_qty > _ZERO else ("last_qty", m.last_qty)
        return f"{name}: {value} of an execution is not above zero"
    return ""


def _named(m: ExecutionReport) -> str:
    return _first(
        ("last_qty", m.last_qty),
        ("last_px", m.last_px),
        ("order_qty", m.order_qty),
        ("cum_qty", m.cum_qty),
        ("leaves_qty", m.leaves_qty),
        ("avg_px", m.avg_px),
        ("fee", m.fee),
    )


def _unsound_account(m: AccountState) -> str:
    for report in (*m.open_orders, *m.executions):
        found = _unsound_report(report)
        if found:
            return f"{report.exec_id or report.cl_ord_id}: {found}"
    for payment in m.fundings:
        found = unsound_event(payment)
        if found:
            return f"{payment.funding_id}: {found}"
    return _first(
        *((f"positions.{name}", qty) for name, qty in m.positions.items()),
        *((f"balances.{name}", amount) for name, amount in m.balances.items()),
    )


def _first(*fields: tuple[str, Decimal]) -> str:
    return next((told(name, value) for name, value in fields if not is_number(value)), "")


def _is_term(value: Decimal) -> bool:
    return is_number(value) and bool(value or not value.is_signed())
