"""The desk without one of its guards on its books: what the cases of `order_books` must turn red on.

Nothing here runs but in mutation runs.
"""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from supervision.conformance.order_case import OrderMutant
from supervision.conformance.order_rig import OrderRig
from trading.orders.messages import AccountState, FundingPayment


def _strangers_dropped(rig: OrderRig) -> None:
    """What is not known is not ours: neither its words nor its positions are heard."""
    gateway: Any = rig.gateway
    vars(gateway)["_event"] = lambda *_words: None
    heard = gateway._heard  # noqa: SLF001

    def hear(item: Any) -> None:
        if isinstance(item, AccountState):
            known = {name: qty for name, qty in item.positions.items() if name in rig.instruments}
            item = msgspec.structs.replace(item, positions=known)
        heard(item)

    vars(gateway)["_heard"] = hear


def _no_pace(rig: OrderRig) -> None:
    """A comparison that fails is made again at once, for ever."""
    core: Any = rig.core
    core._config = msgspec.structs.replace(  # noqa: SLF001
        core._config,  # noqa: SLF001
        reconcile_ladder_ms=(0,),
        reconcile_retry_ms=0,
        reconcile_rounds_max=1 << 30,
    )


def _never_gives_up(rig: OrderRig) -> None:
    arbiter: Any = rig.base.actor("arbiter")
    shared = arbiter._core._shared  # noqa: SLF001
    shared.config = msgspec.structs.replace(shared.config, flatten_tries_max=1 << 30)


def _funded_again(rig: OrderRig) -> None:
    """Every word of a funding is a funding."""
    core: Any = rig.core
    funding = core._funding  # noqa: SLF001
    count = itertools.count()

    def apply(m: FundingPayment, turn: Any) -> None:
        funding(msgspec.structs.replace(m, funding_id=f"{m.funding_id}#{next(count)}"), turn)

    core._funding = apply  # noqa: SLF001


def _income_unread(rig: OrderRig) -> None:
    """Funding is what the stream tells of."""
    core: Any = rig.core
    on_venue = core.on_venue

    def hear(m: Any, now_ns: int) -> Any:
        if type(m) is FundingPayment:
            return []
        if type(m) is AccountState:
            m = msgspec.structs.replace(m, fundings=())
        return on_venue(m, now_ns)

    core.on_venue = hear


STRANGERS_DROPPED = OrderMutant("what is of an unknown instrument is dropped", _strangers_dropped)
NO_PACE = OrderMutant("a comparison that failed is made again at once", _no_pace)
NEVER_GIVES_UP = OrderMutant("a flattening tries for ever", _never_gives_up)
FUNDED_AGAIN = OrderMutant("a funding is booked as often as it is told", _funded_again)
INCOME_UNREAD = OrderMutant("the venue's rows of income are not read", _income_unread)
