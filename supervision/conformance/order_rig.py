"""A rig whose orders travel: signed requests and a private stream between a whole desk and the venue's loopback server.

Owns the ears on the wire and at the account, and what a case does by hand: place, cancel, trade through an order, kill
a part of the desk, restart the server. Judges nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

import msgspec

from actors.connector import ConnectorSetup
from actors.live_gateway import LiveGateway
from actors.messages import DrillFault, LinkUp
from actors.orders import OrdersSetup
from adapters.orders.exchange import Exchange
from adapters.orders.link import OrderLink
from adapters.orders.wire import ENTRIES, HttpAnswer, WireRequest
from adapters.permit_board import PermitReader, PermitVerdict
from adapters.simserver.server import SimServer
from adapters.simserver.trading.account import AccountSpec
from supervision.conformance.order_truth import Truth
from supervision.conformance.rig import MS, NotInTimeError, Rig, RigWiring
from trading.instruments import Instrument
from trading.market.events import Aggressor, BookTop, Trade
from trading.operators import Published, Topic
from trading.orders.core import OrderCore
from trading.orders.messages import (
    ApprovedOrder,
    Contingency,
    Leg,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
    TriggeringInstructions,
)
from trading.orders.triggers import PRICED

LATE_MS = 50
"""An order that leaves so long after the board said HOLD had passed no gate; less is one turn of a busy loop."""
FILL = "fill"
"""The word for an execution; others are states of orders."""
_CALM = {"book_freshness_ms": 3_000, "stream_stale_ms": 5_000, "ws_gap_p95_ms": 3_000}
CALM_MS = 200
_LOOK_S = 0.005
_WORDS_MAX = 20_000
_HELD = frozenset(
    {
        PermitVerdict.REFUSED_HOLD,
        PermitVerdict.REFUSED_KILL,
        PermitVerdict.REFUSED_EXPIRED,
    }
)


class OrderWord(msgspec.Struct, frozen=True):
    """One word of the desk to its operators about one of its orders."""

    mono_ns: int
    cl_ord_id: str
    ord_status: str
    text: str


class OrderTerms(TypedDict, total=False):
    """What `OrderRig.order` may be told of an order besides its side."""

    away_ticks: Required[int]
    lots: int
    time_in_force: TimeInForce
    reduce_only: bool
    replaces: str | None
    ord_type: OrdType
    trigger: TriggeringInstructions | None
    contingency: Contingency | None


def wiring_with(audit_ms: int) -> type[RigWiring]:
    """The rig's wiring with another pace of audits, and gates of market data that a busy machine does not close.

    What the desk makes of bad market data is the other matrix's; here several desks and venues share one loop.
    """

    class OrderWiring(RigWiring):
        def orders(self) -> OrdersSetup:
            setup = super().orders()
            return msgspec.structs.replace(setup, config=msgspec.structs.replace(setup.config, audit_ms=audit_ms))

        def connector(self, venue: str) -> ConnectorSetup:
            setup = super().connector(venue)
            return msgspec.structs.replace(setup, gates=msgspec.structs.replace(setup.gates, **_CALM))

    return OrderWiring


class OrderRig(Rig):
    """One market of `MARKETS` over its venue's own wire.

    ``kept``: the account outlives its server. ``audit_ms``: the account is read again so often, to see whether
    something was missed.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        alter: Callable[[Rig], None] | None = None,
        beside: bool = False,
        kept: bool = False,
        audit_ms: int = 60_000,
        protected: bool = False,
        stranger: bool = False,
    ) -> None:
        self.wiring_class = wiring_with(audit_ms)
        account = AccountSpec(directory=directory / "account" if kept else None)
        super().__init__(
            name,
            directory,
            alter=alter,
            beside=beside,
            orders="wire",
            account=account,
            protected=protected,
            stranger=stranger,
        )
        self.truth = Truth(self.clock.mono_ns, spelled_with="Z" if self.venue == "okx" else "-")
        self.truth.watch(self.server.account)
        self.words: list[OrderWord] = []
        self.breaches: list[str] = []
        """What must never happen, seen while it happened."""
        self.entries = 0
        """Requests that can make an order live, as they left."""
        self.drilled: set[str] = set()
        self.bound_to_fail: tuple[str, ...] = ()
        """Words of failures inside that a case brings about on purpose, beside those of its drills."""
        self.noted_name = ""
        """The order that a case is about."""
        self.noted_count = 0
        """A count that a case compares at its end with what it has become."""
        self.successor = ""
        """The order that replaces it, where one does."""
        self.twin = ""
        """The other leg of its list, where it is one of two."""
        self.wanted_lots = 0
        """What a case wanted in all of the order that it is about."""
        self.places = (0, 0)
        """How many orders stood before it, at two moments of a case."""
        self.connects = 0
        """Private sessions that had been opened when a case acted."""
        self.chores: list[asyncio.Task[object]] = []
        """What a case lets happen beside it."""
        self.flattens = False
        """An operator has it flattened: in HOLD orders leave that reduce."""
        self.remembered: Any = None
        """What the desk knew before it began anew, as a case has it."""
        self.found: Any = None
        """And what it knew first after that."""
        self.held_open: Any = None
        """What a case keeps open until it mends."""
        self.began_wall_ns = self.clock.wall_ns()
        self._board = PermitReader(self._paths.board)
        self._held_ns: int | None = None
        self._eyes: asyncio.Task[None] | None = None
        self._heard: LiveGateway | None = None
        self._numbers = itertools.count(1)
        listen = self.oracle.on_message

        def on_message(to: str, sender: object, msg: object) -> bool:
            if type(msg) is Published and msg.topic is Topic.ORDER:
                self._word(msg.body, str(msg.body.get("ord_status")))
            elif type(msg) is Published and msg.topic is Topic.FILL:
                self._word(msg.body, FILL)
            return listen(to, sender, msg)

        vars(self.oracle)["on_message"] = on_message

    # --- Life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """As every rig, and then look at the board, the core and the wire all the time."""
        await super().start()
        self._listen()
        self._eyes = asyncio.get_running_loop().create_task(self._look(), name="order eyes")

    async def close(self) -> None:
        """Stop the desk, then the server."""
        if self._eyes is not None:
            self._eyes.cancel()
        await super().close()

    async def _stop_desk(self) -> None:
        link = self.link if self._heard is not None and self._actor(f"gateway.{self.venue}") is not None else None
        await super()._stop_desk()
        if link is not None:
            await link.close()

    async def restart_server(self, down_s: float) -> None:
        """The venue is away for a while and comes back with the account that it had."""
        assert self.server.spec.account.directory is not None, "a case that restarts its server keeps the account"
        spec = msgspec.structs.replace(self.server.spec, port=self.server.port)
        await self.server.close()
        await asyncio.sleep(down_s)
        self.server = SimServer(spec, self.clock)
        self.truth.watch(self.server.account)
        await self.server.start()

    def drill(self, actor: str) -> None:
        """Let an actor fail at its next message."""
        self.drilled.add(actor)
        self.base.inject(actor, DrillFault(kind="raise", target=actor))

    # --- Inside --------------------------------------------------------------------------------------

    @property
    def core(self) -> OrderCore | None:
        """The order core; None while it is being built."""
        actor = self._actor("orders")
        found: OrderCore | None = None if actor is None else actor.core
        return found

    @property
    def gateway(self) -> LiveGateway:
        """The venue's order gateway."""
        found: LiveGateway = self.base.actor(f"gateway.{self.venue}")
        return found

    @property
    def link(self) -> OrderLink:
        """The account's link."""
        return self.gateway.link

    @property
    def exchange(self) -> Exchange:
        """What signs and sends."""
        return self.link._client._exchange  # noqa: SLF001 - looking inside is what a rig is for

    @property
    def journal(self) -> Path:
        """The order journal's file."""
        return self._paths.journal

    def is_settled(self) -> bool:
        """Whether nothing is open or unknown, here and at the venue."""
        core = self.core
        if core is None or core.open_orders() or core.waiting_commits():
            return False
        return all(order.ended_ns is not None for order in self.truth.ours())

    def is_sure(self) -> bool:
        """Whether the desk trades and there is no order of which it does not know what became of it."""
        core = self.core
        return core is not None and not core.unknown_orders() and self.is_trading()

    def trouble_inside(self) -> list[str]:
        """As of every rig; what was killed on purpose may have failed."""
        found = super().trouble_inside()
        if self.bound_to_fail:
            found = [t for t in found if not any(word in t for word in self.bound_to_fail)]
        if self.drilled:
            found = [t for t in found if "DrillError" not in t and "dead letter" not in t and "was restarted" not in t]
        if self._heard is not None:
            link = self.link
            client, stream = link._client, link._stream  # noqa: SLF001
            road = client._exchange.road  # noqa: SLF001
            faults = (*link.faults, *client.faults, *stream.faults, *(() if road is None else road.faults))
            found += [f"the order link failed inside: {e!r}" for e in faults]
        return found

    def state_in_words(self) -> str:
        """Why it does not trade; what of the account could not be read, and what is open."""
        core = self.core
        unread = next((n.text for n in reversed(self.oracle.notices) if n.code == "ACCOUNT_UNREAD"), "")
        orders = [] if core is None else [f"{o.cl_ord_id} {o.ord_status.value}" for o in core.open_orders()[:4]]
        live = [o.cl_ord_id for o in self.truth.ours() if o.ended_ns is None][:4]
        own = f"here open: {orders}, at the venue: {live}{'; unread: ' + unread if unread else ''}"
        return f"{own}; {super().state_in_words()}"[:600]

    def _word(self, body: dict[str, object], what: str) -> None:
        if len(self.words) < _WORDS_MAX:
            text = str(body.get("text", ""))
            self.words.append(OrderWord(self.clock.mono_ns(), str(body.get("cl_ord_id")), what, text))

    def word_since(self, mono_ns: int, *statuses: str) -> OrderWord | None:
        """The first word since a moment that an order is in one of the states."""
        return next((w for w in self.words if w.mono_ns >= mono_ns and w.ord_status in statuses), None)

    # --- Eyes ----------------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._listen()
            self._see_board()
            self._see_unknown()

    def _listen(self) -> None:
        """Hear every request that leaves, of each life of the gateway."""
        gateway = self._actor(f"gateway.{self.venue}")
        if gateway is None or gateway is self._heard or getattr(gateway, "_link", None) is None:
            return
        self._heard = gateway
        exchange = self.exchange
        send = exchange.send

        async def heard(request: WireRequest) -> HttpAnswer | str:
            if request.kind in ENTRIES:
                self._leaves()
            return await send(request)

        vars(exchange)["send"] = heard
        client: Any = gateway.link._client  # noqa: SLF001 - as above
        bars = client._bars  # noqa: SLF001
        if bars is None:
            return

        def looked(command: Any) -> str:
            # A HOLD that ended before this look, and another that began after it, are not one.
            self._see_board()
            said: str = bars(command)
            return said

        client._bars = looked  # noqa: SLF001

    def _leaves(self) -> None:
        self.entries += 1
        self._see_board()
        held_ns = self._held_ns
        late_ms = 0.0 if held_ns is None else (self.clock.mono_ns() - held_ns) / MS
        if held_ns is not None and not self.flattens and late_ms > LATE_MS + self.stood_still_ns(held_ns) / MS:
            self._breach(f"an order left {late_ms:.0f} ms after HOLD")

    def _see_board(self) -> None:
        now = self.clock.mono_ns()
        epoch = self._board.newest_epoch() or 0
        held = self._board.check(("global", f"venue:{self.venue}"), now, epoch) in _HELD
        if not held:
            self._held_ns = None
        elif self._held_ns is None:
            self._held_ns = now

    def _see_unknown(self) -> None:
        core, governor = self.core, self._actor("governor")
        if core is None or governor is None or not getattr(governor, "_whole", False):
            return
        for order in core.unknown_orders():
            exposure = governor.core._exposures[order.proposed.instrument_id]  # noqa: SLF001
            if order.cl_ord_id not in exposure.working and order.approved.epoch == core.epoch:
                self._breach(f"{order.cl_ord_id} is UNKNOWN and in nobody's exposure")

    def _breach(self, text: str) -> None:
        if len(self.breaches) < 20:
            self.breaches.append(text)

    # --- Hands ---------------------------------------------------------------------------------------

    def want(self, *, orders: bool) -> None:
        """Whether the strategies want anything from now on."""
        for name in ("quoter", "taker"):
            actor = self._actor(f"strategy.{name}")
            if actor is not None:
                actor._core.paused = not orders  # noqa: SLF001

    async def settle(self, timeout_s: float = 12.0) -> None:
        """Nothing is wanted, everything is canceled, and what became of each order is known.

        Raises:
            NotInTimeError: with the desk's state in words.
        """
        self.want(orders=False)
        asked: dict[str, int] = {}
        calm_ns = self.clock.mono_ns()

        def settled() -> bool:
            nonlocal calm_ns
            core = self.core
            now = self.clock.mono_ns()
            for order in core.open_orders() if core is not None else ():
                if order.cancel_id == "" and now - asked.get(order.cl_ord_id, 0) > 100 * MS:
                    asked[order.cl_ord_id] = now
                    self.cancel(order.cl_ord_id, order.proposed.instrument_id)
            if not self.is_settled():
                calm_ns = now
            return now - calm_ns > CALM_MS * MS  # what was wanted before may still come out of the arbiter

        await self.until(settled, "nothing open", timeout_s)

    def cancel(self, cl_ord_id: str, instrument_id: str = "") -> None:
        """Have an order canceled."""
        self.base.inject(
            "orders",
            ProposedCancel(
                cl_ord_id=cl_ord_id,
                venue=self.venue,
                instrument_id=instrument_id or self.instrument.instrument_id,
                reason="the case wants it gone",
                cause="case",
                ts_init_ns=self.clock.wall_ns(),
            ),
        )

    def top(self, instrument: Instrument | None = None) -> BookTop:
        """The book that the desk has."""
        return self.oracle.last_tops[(instrument or self.instrument).instrument_id]

    def lots(self, usd: float = 260.0) -> int:
        """Lots worth about so much, at least what the venue takes."""
        one, top = self.instrument, self.top()
        notional = one.notional(one.qty(1_000_000), one.price(top.bids[0][0])) / 1_000_000
        return max(int(Decimal(usd) / notional), -int(-one.min_qty // one.lot_size), 1)

    def place(self, side: Side, **terms: Unpack[OrderTerms]) -> str:
        """Have an order placed whose terms are those of `order`; its ClOrdID."""
        order = self.order(side, **terms)
        core = self.core
        assert core is not None
        approved = ApprovedOrder(order=order, epoch=core.epoch, checks={}, ts_init_ns=order.ts_init_ns)
        self.base.inject("orders", approved)
        return order.cl_ord_id

    def order(
        self,
        side: Side,
        *,
        away_ticks: int,
        lots: int = 0,
        time_in_force: TimeInForce = TimeInForce.GTC,
        reduce_only: bool = False,
        replaces: str | None = None,
        ord_type: OrdType = OrdType.LIMIT,
        trigger: TriggeringInstructions | None = None,
        contingency: Contingency | None = None,
    ) -> ProposedOrder:
        """One that is so many ticks worse than the best price of its own side; nobody has seen it yet."""
        core = self.core
        assert core is not None
        top, one, number = self.top(), self.instrument, next(self._numbers)
        best = top.bids[0][0] if side is Side.BUY else top.asks[0][0]
        now = self.clock.wall_ns()
        qty = one.qty(lots or self.lots())
        return ProposedOrder(
            cl_ord_id=f"pd{core.epoch:x}-case-{number}",
            venue=self.venue,
            instrument_id=one.instrument_id,
            side=side,
            ord_type=ord_type,
            time_in_force=time_in_force,
            order_qty=qty,
            price=one.price(best - side.sign * away_ticks) if ord_type in PRICED else None,
            reduce_only=reduce_only,
            legs=(Leg(strategy_id="quoter", intent_id=f"case:{core.epoch}:{number}", qty=qty),),
            replaces=replaces,
            ref_price=one.price(best),
            book_update_id=top.update_id,
            book_ts_recv_ns=top.ts_recv_ns,
            story={},
            cause="case",
            ts_init_ns=now,
            trigger=trigger,
            contingency=contingency,
        )

    def trade_at(self, cl_ord_id: str, lots: int) -> None:
        """Let the public trade so many lots at a resting order's price, with nobody before it in the queue."""
        account = self.server.account
        exchange = account.exchange  # it has taken the book in: from here on nothing happens in between
        order = next((one for one in exchange.open.values() if self.spelled(one.cl_ord_id) == cl_ord_id), None)
        if order is None:
            raise NotInTimeError(self.name, f"a trade with {cl_ord_id}", 0, "it rests no more")
        assert order.price_ticks is not None
        order.queue_ahead = 0
        now = self.clock.wall_ns()
        aggressor = Aggressor.SELL if order.side is Side.BUY else Aggressor.BUY
        trade = Trade(
            instrument_id=order.instrument_id,
            trade_id=now // 1_000,
            price_ticks=order.price_ticks,
            qty_lots=lots,
            aggressor=aggressor,
            ts_event_ns=now,
            ts_recv_ns=now,
        )
        exchange.traded(exchange.markets[order.instrument_id], trade, account.now_ns())
        account._leave(account.now_ns())  # noqa: SLF001 - as the account does when the public trades

    def spelled(self, cl_ord_id: str) -> str:
        """An id of the venue in the desk's spelling."""
        return cl_ord_id.replace("Z", "-") if self.venue == "okx" and cl_ord_id.startswith("pd") else cl_ord_id

    def ask_again(self) -> None:
        """Have the account reconciled anew, as after a return of the venue."""
        self.base.inject(f"gateway.{self.venue}", LinkUp(cell="case"))

    def resend(self, cl_ord_id: str) -> None:
        """Send the very placement once more, as a careless transport would: by the road that is surely there."""
        core = self.core
        assert core is not None
        order = core.order(self.venue, cl_ord_id)
        assert order is not None
        client: Any = self.link._client  # noqa: SLF001
        command = order.command(self.clock.wall_ns())
        request = client.dialect.encode(command, self.clock.wall_ns() // MS)

        async def again() -> None:
            answer = await self.exchange._post(request)  # noqa: SLF001
            client._tell(command, client._reply(command, request, answer), 1, 0, final=True)  # noqa: SLF001

        self.chores.append(asyncio.get_running_loop().create_task(again()))
