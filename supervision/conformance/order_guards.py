"""The desk without one of its guards on orders: what the order matrix must turn red on.

Each function takes one guard out of a rig whose desk has heard nothing yet. Nothing here runs but in mutation runs.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import msgspec

from actors.messages import ModesChanged
from adapters.orders.client import Outcome
from adapters.orders.entry import EntryMode, EntryUnread
from adapters.orders.user_stream import CaughtUp
from adapters.orders.wire import Ambiguous, AuthFailed, Limited
from supervision.conformance.order_case import OrderMutant
from supervision.conformance.order_rig import OrderRig
from trading.orders.evidence import is_duplicate
from trading.orders.messages import (
    AccountState,
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrdStatus,
)
from trading.orders.messages import AccountStateRequest as Ask
from trading.orders.refusals import rejected

NEVER_MS = 1 << 40


def _nothing(*_args: object, **_kwargs: object) -> None:
    return None


def _on_outcome(rig: OrderRig, change: Callable[[Any, Outcome], Outcome | None]) -> None:
    """Let ``change`` see every outcome before the gateway does; None hides it."""
    gateway: Any = rig.gateway
    outcome = gateway._outcome  # noqa: SLF001

    def hear(item: Outcome) -> None:
        changed = change(gateway, item)
        if changed is not None:
            outcome(changed)

    vars(gateway)["_outcome"] = hear


def _core_config(rig: OrderRig, **changes: Any) -> None:
    """Of the core that is there now."""
    core: Any = rig.core
    core._config = msgspec.structs.replace(core._config, **changes)  # noqa: SLF001


def _new_id(rig: OrderRig) -> None:
    def change(gateway: Any, item: Outcome) -> Outcome:
        command = item.command
        unanswered = isinstance(item.reply, Ambiguous) and not item.late
        if unanswered and type(command) is NewOrderSingle and not command.cl_ord_id.endswith("r"):
            again = msgspec.structs.replace(command, cl_ord_id=f"{command.cl_ord_id}r")
            gateway.link.submit(again)
        return item

    _on_outcome(rig, change)


def _no_is_an_answer(rig: OrderRig) -> None:
    def change(gateway: Any, item: Outcome) -> Outcome:
        command = item.command
        if isinstance(item.reply, Ambiguous) and type(command) is NewOrderSingle:
            exec_id = f"{command.instrument_id}:{command.cl_ord_id}:rejected"
            gateway.tell("orders", rejected(command, exec_id, 0, "no answer", item.recv_ns))
        return item

    _on_outcome(rig, change)


def _duplicate_is_no(rig: OrderRig) -> None:
    core: Any = rig.core
    on_venue = core.on_venue

    def hear(m: Any, now_ns: int) -> Any:
        if type(m) is ExecutionReport and m.exec_type is ExecType.REJECTED and is_duplicate(m.text):
            m = msgspec.structs.replace(m, text="refused", ord_status=OrdStatus.REJECTED)
        return on_venue(m, now_ns)

    core.on_venue = hear


def _not_found_at_once(rig: OrderRig) -> None:
    _core_config(rig, visibility_ms=0)


def _no_deadline(rig: OrderRig) -> None:
    """Nobody asks what became of an order that was not answered."""
    core: Any = rig.core
    core._check_deadlines = _nothing  # noqa: SLF001


def _cancel_storm(rig: OrderRig) -> None:
    core: Any = rig.core

    def refused(order: Any, _turn: Any) -> None:
        order.cancel_id = ""

    core._cancel_refused = refused  # noqa: SLF001


def _no_dedupe(rig: OrderRig) -> None:
    """Every execution is new, and gets an id of its own in the journal."""
    core: Any = rig.core
    execution = core._execution  # noqa: SLF001
    count = iter(range(1 << 40))

    def apply(m: ExecutionReport, turn: Any) -> None:
        if m.exec_type is ExecType.TRADE:
            m = msgspec.structs.replace(m, exec_id=f"{m.exec_id}#{next(count)}")
        execution(m, turn)

    core._execution = apply  # noqa: SLF001


def _no_audit(rig: OrderRig) -> None:
    """The account is read when it is reconciled, and never to see whether something was missed."""
    gateway: Any = rig.gateway
    on = gateway.on

    def hear(msg: Any) -> None:
        if type(msg) is not Ask or msg.cause == "reconcile":
            on(msg)

    vars(gateway)["on"] = hear


def _no_catch_up(rig: OrderRig) -> None:
    """What was executed while nobody listened is not asked for: neither after a connection nor by audits."""
    gateway: Any = rig.gateway
    heard = gateway._heard  # noqa: SLF001

    def hear(item: Any) -> None:
        if isinstance(item, CaughtUp):
            return
        if isinstance(item, AccountState):
            item = msgspec.structs.replace(item, executions=())
        heard(item)

    vars(gateway)["_heard"] = hear


def _brakes(rig: OrderRig) -> None:
    """Brakes are set and told, and neither the arbiter, the governor nor the gateway heeds them."""
    vars(rig.gateway)["_refusal"] = _nothing
    client: Any = rig.link._client  # noqa: SLF001
    client._bars = None  # noqa: SLF001
    core, arbiter = rig.governor.core, rig.base.actor("arbiter")
    set_modes, on = core.set_modes, arbiter.on
    set_modes({})
    vars(core)["set_modes"] = lambda _modes: set_modes({})
    vars(arbiter)["on"] = lambda msg: on(ModesChanged(modes={}) if type(msg) is ModesChanged else msg)


def _no_lock(rig: OrderRig) -> None:
    """A refused key is one refusal like another."""

    def change(_gateway: Any, item: Outcome) -> Outcome:
        if isinstance(item.reply, AuthFailed):
            rig.exchange.locked = ""
        return item

    note = rig.exchange.note

    def unlocked(request: Any, reply: Any) -> None:
        note(request, reply)
        rig.exchange.locked = ""

    vars(rig.exchange)["note"] = unlocked
    _on_outcome(rig, change)
    vars(rig.link)["_state"] = _deaf_to_locks(rig.link._state)  # noqa: SLF001


def _deaf_to_locks(state: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    def said(link_state: Any, reason: str) -> None:
        if link_state.value != "locked":
            state(link_state, reason)

    return said


def _no_limits(rig: OrderRig) -> None:
    """The venue's 429 is not heard: what it asked for, the governor of our requests does not learn."""
    exchange: Any = rig.exchange
    vars(exchange)["_told"] = _nothing
    client: Any = rig.link._client  # noqa: SLF001
    client.limits = msgspec.structs.replace(client.limits, backoff_ms=(1, 1, 1, 1, 1, 1, 1, 1))

    def change(_gateway: Any, item: Outcome) -> Outcome:
        if isinstance(item.reply, Limited):
            return msgspec.structs.replace(item, reply=msgspec.structs.replace(item.reply, retry_ns=0))
        return item

    _on_outcome(rig, change)


def _bans_unheard(rig: OrderRig) -> None:
    """Two guards stand before an order during a ban, the brake and the governor of requests: without both."""
    _brakes(rig)
    _no_limits(rig)


def _flat_is_flat(rig: OrderRig) -> None:
    """A position that the venue does not tell is believed to be closed: by an execution that nobody saw."""
    core: Any = rig.core
    judge = core._account_state  # noqa: SLF001

    def believe(m: AccountState, turn: Any) -> None:
        account = core._account(m.venue)  # noqa: SLF001
        for name in [name for name, qty in account.net.items() if qty and name not in m.positions]:
            account.net[name] = account.net[name] * 0
        judge(m, turn)

    core._account_state = believe  # noqa: SLF001


def _not_ours(rig: OrderRig) -> None:
    """Executions of orders that are not ours are nobody's."""
    core: Any = rig.core
    core._foreign = _nothing  # noqa: SLF001


def _last_word(rig: OrderRig) -> None:
    """The end of an order is believed before all that was executed has come."""
    core: Any = rig.core
    execution = core._execution  # noqa: SLF001

    def apply(m: ExecutionReport, turn: Any) -> None:
        order = core.order(m.venue, m.cl_ord_id)
        if m.exec_type is ExecType.TRADE and order is not None and order.cancel_id:
            return
        execution(m, turn)

    core._execution = apply  # noqa: SLF001


def _blind_amends(rig: OrderRig) -> None:
    """A replacement goes out whatever became of the order that it is to replace."""
    core: Any = rig.core

    def at_once(order: Any, replaces: str, turn: Any) -> bool:
        original = core._open[order.venue, replaces]  # noqa: SLF001
        order.as_new = True
        core._cancel_again(original, "replaced", turn)  # noqa: SLF001
        return False

    core._by_cancel = at_once  # noqa: SLF001
    core._amended_in_place = _nothing  # noqa: SLF001


def _road(rig: OrderRig) -> Any:
    road = rig.exchange.road
    assert road is not None
    return road


def _said_again(rig: OrderRig) -> None:
    """What the WebSocket left unanswered is said by REST, as if it could not have been read."""
    road = _road(rig)
    send = road.send

    async def again(request: Any) -> Any:
        outcome = await send(request)
        return EntryUnread(reason=outcome) if isinstance(outcome, str) else outcome

    vars(road)["send"] = again


def _rest_only(rig: OrderRig) -> None:
    vars(_road(rig))["takes"] = lambda _request: False


def _websocket_only(rig: OrderRig) -> None:
    """Without the WebSocket nothing is placed."""
    _road(rig).mode = EntryMode.WS


def _no_way_back(rig: OrderRig) -> None:
    """One connection is opened, and never another."""
    road = _road(rig)
    opened = road._open  # noqa: SLF001
    tries = itertools.count()

    async def once() -> Any:
        if next(tries):
            await asyncio.Event().wait()
        return await opened()

    vars(road)["_open"] = once


NEW_ID = OrderMutant("an unanswered order is placed again under a new id", _new_id)
NO_IS_AN_ANSWER = OrderMutant("no answer, or a 5xx, is taken as a rejection", _no_is_an_answer)
DUPLICATE_IS_NO = OrderMutant("a duplicate id is taken as a rejection", _duplicate_is_no)
NOT_FOUND_AT_ONCE = OrderMutant("the first not-found is believed", _not_found_at_once)
NO_DEADLINE = OrderMutant("nobody asks about unanswered orders", _no_deadline)
CANCEL_STORM = OrderMutant("a cancel that was refused is sent again at every occasion", _cancel_storm)
NO_DEDUPE = OrderMutant("executions are applied as often as they come", _no_dedupe)
NO_AUDIT = OrderMutant("the account is not audited while all is well", _no_audit)
NO_CATCH_UP = OrderMutant("nothing is caught up with after a reconnect", _no_catch_up)
BRAKES = OrderMutant("arbiter, governor and gateway are deaf to brakes", _brakes)
NO_LOCK = OrderMutant("a refused key locks nothing", _no_lock)
BANS_UNHEARD = OrderMutant("neither brakes nor the venue's limits are heard", _bans_unheard)
NO_LIMITS = OrderMutant("the venue's limits are not heard", _no_limits)
FLAT_IS_FLAT = OrderMutant("a position that is not told is believed closed", _flat_is_flat)
NOT_OURS = OrderMutant("executions of others' orders are ignored", _not_ours)
LAST_WORD = OrderMutant("an order that is being canceled executes no more", _last_word)
BLIND_AMENDS = OrderMutant("a replacement does not wait for the end of the original", _blind_amends)
SAID_AGAIN = OrderMutant("what one road left unanswered is said by the other", _said_again)
REST_ONLY = OrderMutant("orders never go by WebSocket", _rest_only)
WEBSOCKET_ONLY = OrderMutant("orders never go by REST", _websocket_only)
NO_WAY_BACK = OrderMutant("a lost WebSocket is not opened again", _no_way_back)
