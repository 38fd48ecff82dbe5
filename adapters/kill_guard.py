"""A second way to a venue for cancels alone: list what rests of ours, cancel it, say what was found.

Has its own connections and clock, so that it works when the venue's cell or the desk's does not. Cancels by id and only
what bears our mark: what somebody else rests on the account is not ours to touch. Places nothing, ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from adapters.clock import Clock
from adapters.dropcopy.reader import RecordReader
from adapters.limits.limiter import Limiter
from adapters.orders.client import ClientItem, NotSent, OrderClient, Outcome
from adapters.orders.link import OrderLinkSpec, open_dialect
from adapters.orders.wire import Events
from trading.limits.venues import limits_of
from trading.orders.messages import ExecutionReport, OrderCancelRequest

_ANSWERS_S = 2.0


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """``found`` orders of ours rested, ``canceled`` of them the venue has said to be gone. ``trouble``: not known."""

    found: int = 0
    canceled: int = 0
    trouble: str = ""


class Sweeper:
    """One account. Call from one loop only; one sweep at a time."""

    def __init__(self, spec: OrderLinkSpec, clock: Clock, prefix: str, limiter: Limiter | None = None) -> None:
        """``prefix`` marks our client order ids."""
        limiter = limiter or Limiter(limits_of(spec.venue), clock)
        self.reader = RecordReader(spec, clock, limiter)
        self._client = OrderClient(open_dialect(spec), spec.credentials, clock, limiter, put=self._take)
        self._prefix = prefix
        self._clock = clock
        self._serial = 0
        self._waiting: dict[str, asyncio.Future[bool]] = {}

    def start(self) -> None:
        """Open the connections, on the running loop."""
        self.reader.start()
        self._client.start()

    async def close(self) -> None:
        """End them."""
        await self._client.close()
        await self.reader.close()

    async def warm(self) -> None:
        """Keep both connections open: a handshake would cost a good part of the time there is."""
        await asyncio.gather(self.reader.warm(), self._client.sync_clock())

    async def sweep(self, instruments: frozenset[str] | None, cause: str) -> Swept:
        """Cancel what rests of ours, on these instruments or on all."""
        if await self.reader.venue_ns() is None:
            return Swept(trouble="the venue does not tell its time")
        listed = await self.reader.open_orders()
        if not isinstance(listed, list):
            return Swept(trouble=str(listed))
        ours = {
            report.cl_ord_id: report
            for report in listed
            if report.cl_ord_id.startswith(self._prefix)
            and (instruments is None or report.instrument_id in instruments)
        }
        return Swept(found=len(ours), canceled=await self._cancel(ours.values(), cause))

    async def _cancel(self, orders: Iterable[ExecutionReport], cause: str) -> int:
        loop = asyncio.get_running_loop()
        commands = []
        for order in orders:
            self._serial += 1
            self._waiting[order.cl_ord_id] = loop.create_future()
            commands.append(
                OrderCancelRequest(
                    venue=order.venue,
                    instrument_id=order.instrument_id,
                    cl_ord_id=f"{order.cl_ord_id}-g{self._serial}",
                    orig_cl_ord_id=order.cl_ord_id,
                    epoch=0,
                    cause=cause,
                    ts_init_ns=self._clock.wall_ns(),
                )
            )
        if not commands:
            return 0
        waiting = tuple(self._waiting.values())
        self._client.submit_batch(commands)
        await asyncio.wait(waiting, timeout=_ANSWERS_S)
        self._waiting.clear()
        return sum(one.done() and one.result() for one in waiting)

    def _take(self, item: ClientItem) -> None:
        """What became of a cancel. Only what the venue said to be gone is gone; all else is looked for again."""
        if isinstance(item, Outcome | NotSent) and isinstance(item.command, OrderCancelRequest):
            waiting = self._waiting.get(item.command.orig_cl_ord_id)
            final = isinstance(item, NotSent) or item.final
            if waiting is not None and final and not waiting.done():
                waiting.set_result(isinstance(item, Outcome) and isinstance(item.reply, Events))
