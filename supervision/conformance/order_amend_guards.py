"""The desk without one of its guards on amendments in place: what their cases must turn red on.

As `order_guards`: each function takes one guard out of a rig whose desk has heard nothing yet.
"""

from __future__ import annotations

from typing import Any

import msgspec

from supervision.conformance.order_case import OrderMutant
from supervision.conformance.order_rig import OrderRig
from trading.orders.journal_rows import InPlace
from trading.orders.messages import ExecType, ExecutionReport, ProposedOrder

__all__ = [
    "CARRIES_NOTHING",
    "CHAIN_UNFOLLOWED",
    "GIVEN_UP_IS_GONE",
    "NEVER_LEARNS",
    "OLD_TERMS_AT_ONCE",
    "OUTLIVES",
    "TERMS_UNSEEN",
    "TOTAL_FORGETS",
    "OrderMutant",
]


def _total_forgets(rig: OrderRig) -> None:
    """The new total is what is still wanted, as if nothing had been executed."""
    core: Any = rig.core
    found = core._amended_in_place  # noqa: SLF001

    def amended(order: ProposedOrder) -> InPlace | None:
        in_place: InPlace | None = found(order)
        return None if in_place is None else msgspec.structs.replace(in_place, base_qty=in_place.base_qty * 0)

    core._amended_in_place = amended  # noqa: SLF001


def _carries_nothing(rig: OrderRig) -> None:
    """The total is reckoned when the request leaves, anew by what was executed since it was wanted."""
    link: Any = rig.link
    submit = link.submit

    def raised(command: Any) -> Any:
        core: Any = rig.core
        order = core.order(rig.venue, command.cl_ord_id)
        if order is not None and order.in_place is not None and hasattr(command, "order_qty"):
            command = msgspec.structs.replace(command, order_qty=command.order_qty + order.in_place.old_qty)
        return submit(command)

    vars(link)["submit"] = raised


def _never_learns(rig: OrderRig) -> None:
    """A refusal to amend teaches nothing: the next replacement asks for the same again."""
    core: Any = rig.core
    core._learn_amends = _nothing  # noqa: SLF001


def _nothing(*_args: object, **_kwargs: object) -> None:
    return None


def _terms_unseen(rig: OrderRig) -> None:
    """The venue's record of an order says whether it lives, and its terms are not looked at."""
    core: Any = rig.core
    proved = core._proved_by  # noqa: SLF001

    def blind(m: ExecutionReport) -> Any:
        return proved(m) if m.exec_type is ExecType.REPLACED else None

    core._proved_by = blind  # noqa: SLF001


def _old_terms_at_once(rig: OrderRig) -> None:
    """The first record that shows the old terms is believed."""
    core: Any = rig.core
    core._config = msgspec.structs.replace(core._config, visibility_ms=0)  # noqa: SLF001


def _chain_unfollowed(rig: OrderRig) -> None:
    """What the venue says of an order is about the order that was placed under that id, whatever became of it."""
    core: Any = rig.core
    core._meant = core.order  # noqa: SLF001


def _outlives(rig: OrderRig) -> None:
    """The end of an order says nothing about its amendment."""
    core: Any = rig.core
    core._nothing_to_amend = _nothing  # noqa: SLF001


def _given_up_is_gone(rig: OrderRig) -> None:
    """What was given up can do nothing any more."""
    core: Any = rig.core
    core._lose = core._lost = _nothing  # noqa: SLF001


TOTAL_FORGETS = OrderMutant("the new total forgets what was executed before", _total_forgets)
CARRIES_NOTHING = OrderMutant("what is executed on the way is wanted again", _carries_nothing)
NEVER_LEARNS = OrderMutant("a refusal to amend teaches nothing", _never_learns)
TERMS_UNSEEN = OrderMutant("the terms of the venue's record are not looked at", _terms_unseen)
CHAIN_UNFOLLOWED = OrderMutant("words about an amended order are taken for the one that was placed", _chain_unfollowed)
OUTLIVES = OrderMutant("an amendment is waited for although its order has ended", _outlives)
OLD_TERMS_AT_ONCE = OrderMutant("the first record with the old terms is believed", _old_terms_at_once)
GIVEN_UP_IS_GONE = OrderMutant("an amendment that was given up is forgotten", _given_up_is_gone)
