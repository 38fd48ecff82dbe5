"""The desk without guards of its comings and goings: shutdown, the next life, the private stream, halted symbols.

As `supervision.conformance.order_guards`: nothing here runs but in mutation runs.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from actors.messages import JournalHistory
from adapters.orders.client import Outcome
from adapters.orders.wire import Ambiguous
from supervision.conformance.order_case import OrderMutant
from supervision.conformance.order_rig import OrderRig
from trading.orders.messages import (
    ApprovedOrder,
    ExecType,
    ExecutionReport,
    OrderCancelRequest,
    OrderDenied,
    ProposedOrder,
)

STOPPED = "MUTANT_STOPPED"


def _executions(rig: OrderRig, change: Callable[[ExecutionReport, Any], ExecutionReport]) -> None:
    """Let ``change`` see every execution, with its order, before the core books it."""
    core: Any = rig.core
    execution = core._execution  # noqa: SLF001

    def apply(m: ExecutionReport, turn: Any) -> None:
        if m.exec_type is ExecType.TRADE:
            m = change(m, core.order(m.venue, m.cl_ord_id))
        execution(m, turn)

    core._execution = apply  # noqa: SLF001


def _of_the_next_life(rig: OrderRig, name: str, alter: Callable[[Any], None]) -> None:
    """Have ``alter`` see every actor that takes the place of one of this name, before it hears anything."""
    base: Any = rig.base
    bring = base._bring_to_life  # noqa: SLF001

    def born(hosted: Any, actor: Any) -> None:
        bring(hosted, actor)
        if hosted.name == name:
            alter(actor)

    vars(base)["_bring_to_life"] = born


def _intake_open(rig: OrderRig) -> None:
    actor: Any = rig.base.actor("orders")
    on = actor.on

    def hear(msg: Any) -> None:
        asked = actor._drain_to  # noqa: SLF001
        if type(msg) is not ApprovedOrder or asked is None:
            on(msg)
            return
        actor._drain_to = None  # noqa: SLF001
        on(msg)
        actor._drain_to = asked  # noqa: SLF001

    vars(actor)["on"] = hear


def _no_memory(rig: OrderRig) -> None:
    def forget(actor: Any) -> None:
        waking = actor._while_waking  # noqa: SLF001

        def hear(msg: Any) -> None:
            waking(JournalHistory(rows=(), checkpoint=None) if type(msg) is JournalHistory else msg)

        vars(actor)["_while_waking"] = hear

    _of_the_next_life(rig, "orders", forget)


def _whole_orders(rig: OrderRig) -> None:
    def whole(m: ExecutionReport, order: Any) -> ExecutionReport:
        return m if order is None else msgspec.structs.replace(m, last_qty=order.order_qty)

    _executions(rig, whole)


def _fee_aside(rig: OrderRig) -> None:
    _executions(rig, lambda m, _order: msgspec.structs.replace(m, fee=Decimal(0)))


def _said_once(rig: OrderRig) -> None:
    """A cancel that nobody answered is said once: nobody asks about it, nobody says it again."""
    gateway: Any = rig.gateway
    core: Any = rig.core
    client: Any = rig.link._client  # noqa: SLF001
    client.limits = msgspec.structs.replace(client.limits, backoff_ms=())
    outcome = gateway._outcome  # noqa: SLF001

    def hear(item: Outcome) -> None:
        if not (type(item.command) is OrderCancelRequest and isinstance(item.reply, Ambiguous)):
            outcome(item)

    vars(gateway)["_outcome"] = hear
    core._check_deadlines = lambda *_args, **_kwargs: None  # noqa: SLF001


def _one_session(rig: OrderRig) -> None:
    """One private session is opened, and never another."""
    stream: Any = rig.link._stream  # noqa: SLF001
    opened = stream._open  # noqa: SLF001
    tries = itertools.count()

    async def once() -> Any:
        if next(tries):
            await asyncio.Event().wait()
        return await opened()

    vars(stream)["_open"] = once


def _key_is_good(rig: OrderRig) -> None:
    """Whatever the venue says of the listen key, it is taken to be good."""
    stream: Any = rig.link._stream  # noqa: SLF001
    keep = stream._keep  # noqa: SLF001

    async def kept() -> bool:
        await keep()
        stream._kept_ns = 1 << 62  # noqa: SLF001
        return True

    vars(stream)["_keep"] = kept


def _filters_off(rig: OrderRig) -> None:
    """What a filter refuses is approved."""
    core: Any = rig.governor.core
    decide = core.decide

    def approve(order: ProposedOrder, now_ns: int) -> Any:
        verdict = decide(order, now_ns)
        if type(verdict) is not OrderDenied or not verdict.reason.value.startswith("filter_"):
            return verdict
        return ApprovedOrder(order=order, epoch=core.epoch, checks={}, ts_init_ns=now_ns)

    vars(core)["decide"] = approve


def _stop_at_refusals(rig: OrderRig) -> None:
    """An order that one symbol refuses stops its venue."""
    gateway: Any = rig.gateway
    outcome = gateway._outcome  # noqa: SLF001

    def hear(item: Outcome) -> None:
        outcome(item)
        rejected = [e for e in item.reply.events if getattr(e, "exec_type", None) is ExecType.REJECTED]
        if rejected:
            gateway._brake(STOPPED, "an order was refused")  # noqa: SLF001

    vars(gateway)["_outcome"] = hear


INTAKE_OPEN = OrderMutant("orders are taken in while the desk shuts down", _intake_open)
NO_MEMORY = OrderMutant("the next life of the core knows nothing of the one before", _no_memory)
WHOLE_ORDERS = OrderMutant("an execution is taken for its whole order", _whole_orders)
FEE_ASIDE = OrderMutant("fees are not taken out of what was bought", _fee_aside)
CANCEL_FORGOTTEN = OrderMutant("an unanswered cancel is said once and never asked about", _said_once)
ONE_SESSION = OrderMutant("a lost private session is not opened again", _one_session)
KEY_IS_GOOD = OrderMutant("a listen key is taken to be good for ever", _key_is_good)
FILTERS_OFF = OrderMutant("the governor has no filters", _filters_off)
STOP_AT_REFUSALS = OrderMutant("what one symbol refuses stops the venue", _stop_at_refusals)
