"""The desk without one of its guards on what it remembers: what the cases of `order_state` must turn red on.

Nothing here runs but in mutation runs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.messages import RowsCommitted
from actors.protection import ProtectionActor
from adapters.permit_layout import operator_brake
from supervision.conformance.order_case import OrderMutant
from supervision.conformance.order_rig import OrderRig
from trading.brakes import Brake, Level
from trading.orders.messages import ApprovedOrder


def _not_durable(rig: OrderRig) -> None:
    """An order is sent when its row was handed over, whatever becomes of the row."""
    orders: Any = rig.base.actor("orders")
    on = orders.on

    def hear(msg: Any) -> None:
        on(msg)
        if type(msg) is ApprovedOrder:
            on(RowsCommitted((orders.core._commit_id,), orders._durable_seq))  # noqa: SLF001

    vars(orders)["on"] = hear


def _fails_in_silence(rig: OrderRig) -> None:
    """A journal that cannot write begins anew, and holds nobody."""
    vars(rig.base.actor("journal"))["_brake"] = lambda _cause: None


class _Forgetful(ProtectionActor):
    """Exits that were kept nowhere."""

    def _wake_up(self, epoch: int, rows: Any) -> None:
        super()._wake_up(epoch, rows[:0])


def _exits_forgotten(rig: OrderRig) -> None:
    rig.stand_ins["protection"] = _Forgetful


class _OnPaper:
    """Operators' words as long as the process lives."""

    def __init__(self) -> None:
        self._brakes: dict[str, Brake] = {}

    def read(self) -> tuple[Brake, ...]:
        return tuple(self._brakes.values())

    def set(self, scope: str, level: Level, cause: str, actor: str, now_ns: int) -> None:
        self._brakes[scope] = operator_brake(scope, level, cause, actor, now_ns)


def _word_forgotten(rig: OrderRig) -> None:
    governor: Any = rig.governor
    governor._setup = msgspec.structs.replace(governor._setup, brakes_file=None)  # noqa: SLF001
    governor._operator = _OnPaper()  # noqa: SLF001


NOT_DURABLE = OrderMutant("an order is sent before its row is durable", _not_durable)
FAILS_IN_SILENCE = OrderMutant("a journal that fails holds nobody", _fails_in_silence)
EXITS_FORGOTTEN = OrderMutant("protective exits are not restored from the journal", _exits_forgotten)
WORD_FORGOTTEN = OrderMutant("operators' brakes live as long as the process", _word_forgotten)
