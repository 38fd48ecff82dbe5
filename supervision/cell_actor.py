"""The outer actor of a cell: what the root sees of a process. The desk's side of it is `supervision.cell`."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from thespian.actors import Actor, ActorAddress, ActorExitRequest, WakeupMessage

from supervision.cell import CellRuntime
from supervision.parent import die_with_parent
from supervision.plan import decode_cell_plan
from supervision.root import CellDrained, DrainCell, StartCell

_TICK = timedelta(milliseconds=50)


class Cell(Actor):
    """The outer actor of a cell: starts the loop's thread, and takes its leave with it."""

    def __init__(self) -> None:
        super().__init__()
        self._runtime: CellRuntime | None = None
        self._root: ActorAddress | None = None

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """The outer mailbox sees life cycle only; everything else travels on links."""
        match msg:
            case StartCell():
                die_with_parent()
                plan = decode_cell_plan(msg.plan)
                self._root = sender
                self._runtime = CellRuntime(plan)
                self._runtime.start()
            case DrainCell():
                if self._runtime is not None:
                    self._runtime.drain()
                    self.wakeupAfter(_TICK, "drain")
            case WakeupMessage():
                self._drained()
            case ActorExitRequest():
                if self._runtime is not None:
                    self._runtime.stop()
            case _:
                print(f"cell: unknown message {msg!r}", file=sys.stderr)

    def _drained(self) -> None:
        runtime = self._runtime
        if runtime is None or self._root is None:
            return
        if runtime.drained is None:
            # Again, because the order core may not have been there, or not be the one that was asked.
            runtime.drain()
            self.wakeupAfter(_TICK, "drain")
        else:
            self.send(self._root, CellDrained(cell=runtime.plan.cell, open_orders=runtime.drained))
