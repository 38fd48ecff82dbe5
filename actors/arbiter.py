"""The intent arbiter's actor: intents in, proposed orders, cancels and internal crosses out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from actors.messages import AskEpoch, AskOpenOrders, AskPositions, Epoch, ModesChanged, OpenOrders, Positions
from actors.shell import Shell
from trading.arbiter.config import ArbiterConfig, ArbiterOut, ConflictResolved, FlattenTold
from trading.arbiter.core import QUIET, Arbiter
from trading.instruments import Instrument
from trading.market.events import BookTop, MarkPrice
from trading.operators import Published, Topic
from trading.orders.messages import (
    Intent,
    InternalCross,
    OrderDenied,
    OrderFilled,
    OrderUpdated,
    ProposedCancel,
    ProposedOrder,
    QuoteIntent,
    TargetIntent,
)

_DIGEST_BATCH = 256
_NEED_WHOLE = frozenset({OrderUpdated, OrderFilled, OrderDenied})


class ArbiterSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What the arbiter is built from. ``digest`` hashes every intent in order, for replays."""

    instruments: dict[str, Instrument]
    config: ArbiterConfig
    timer_ns: int = 50_000_000
    digest: bool = False
    governor: str = "governor"
    orders: str = "orders"
    portfolio: str = "portfolio"
    ops: str = "ops"
    cell: str = "desk"


class ArbiterActor(Shell):
    """Silent until it knows its epoch and the positions by strategy."""

    # What every message looks at, see `ConnectorBase`.
    __slots__ = ("_armed_ns", "_core", "_governor", "_setup", "_timer_ns", "_whole")

    def start(self, setup: ArbiterSetup) -> None:
        """Ask for the epoch."""
        self._setup = setup
        self._governor, self._timer_ns = setup.governor, setup.timer_ns
        self._core: Arbiter | None = None
        self._whole = False
        self._armed_ns: int | None = None
        self._positions: Positions | None = None
        self._open: OpenOrders | None = None
        self._sha = hashlib.sha256()
        self._undigested: list[Intent] = []
        self._encoder = msgspec.msgpack.Encoder()
        self.intents = 0
        self.conflicts = 0
        self.crosses = 0
        self.tell(setup.governor, AskEpoch(reply_to=self.name))

    @property
    def intents_sha256(self) -> str:
        """The digest of all intents so far, in the order they came."""
        self._digest()
        return self._sha.hexdigest()

    def _digest(self) -> None:
        for intent in self._undigested:
            self._sha.update(self._encoder.encode(intent))
        self._undigested.clear()

    def on(self, msg: Any) -> None:
        """Feed the core; carry out what it says."""
        kind, core = type(msg), self._core
        if core is None or kind is Epoch:
            if kind is Epoch:
                self._begin(msg)
            return
        now = self.now_ns()
        touched: str | None = None
        if kind is BookTop:
            outs = core.on_top(msg, now)
            if outs is QUIET:
                return
            self._perform(outs)
            touched = msg.instrument_id
        elif kind is TargetIntent or kind is QuoteIntent:
            self.intents += 1
            if self._setup.digest:
                self._undigested.append(msg)
                if len(self._undigested) >= _DIGEST_BATCH:
                    self._digest()
            if self._whole:
                self._perform(core.on_intent(msg, now))
            touched = msg.instrument_id
        elif not self._whole and kind in _NEED_WHOLE:
            pass  # What it says is in the positions and open orders that are on their way.
        elif kind is OrderUpdated:
            self._perform(core.on_order(msg, now))
            touched = msg.instrument_id
        elif kind is OrderFilled:
            self._perform(core.on_fill(msg, now))
            touched = msg.instrument_id
        elif kind is OrderDenied:
            self._perform(core.on_denied(msg, now))
            touched = msg.instrument_id
        elif kind is ModesChanged:
            self._perform(core.set_modes(msg.modes, now))
        elif kind is MarkPrice:
            pass
        elif kind is Positions:
            self._positions = msg
            self._wake_up(core)
        elif kind is OpenOrders:
            self._open = msg
            self._wake_up(core)
        else:
            self.unknown(msg)
        if self._whole:
            self._arm(core, now, touched)

    def _begin(self, epoch: Epoch) -> None:
        """Build the core, and ask what is held and what is open."""
        self._core = Arbiter(self._setup.instruments, self._setup.config, epoch.epoch)
        top_route = self._core.top_route(self.now_ns)
        if top_route is not None:
            self._routes[BookTop] = top_route
        self.tell(self._setup.portfolio, AskPositions(reply_to=self.name))
        self.tell(self._setup.orders, AskOpenOrders(reply_to=self.name))

    def _arm(self, core: Arbiter, now: int, instrument_id: str | None = None) -> None:
        """Wake when the core next has something to look at; nothing pending, no timer.

        ``instrument_id`` is the only one that changed: for all others the timer that is set comes early enough.
        """
        armed, soon = self._armed_ns, now + self._timer_ns
        if armed is not None and armed <= soon:
            return
        due = core.next_due_ns(soon, instrument_id)
        if due is not None and (armed is None or due < armed):
            self._armed_ns = due if due > now else soon
            self.wake_after(self._armed_ns - now, "timer")

    def _wake_up(self, core: Arbiter) -> None:
        """Whole once positions and open orders of the journal are known."""
        positions, orders = self._positions, self._open
        if self._whole or positions is None or orders is None:
            return
        held = {s: {i: Decimal(q) for i, q in rows.items()} for s, rows in positions.by_strategy.items()}
        core.restore(held, orders.orders)
        self._whole = True

    def on_tick(self, tag: str) -> None:
        """Expiries, hysteresis, back-off."""
        self._armed_ns = None
        if self._core is not None:
            now = self.now_ns()
            self._perform(self._core.on_timer(now))
            self._arm(self._core, now)

    def _perform(self, outs: Sequence[ArbiterOut]) -> None:
        if len(outs) == 1 and type(outs[0]) is ProposedOrder:
            self.tell(self._governor, outs[0])
            return
        for out in outs:
            match out:
                case ProposedOrder():
                    self.tell(self._governor, out)
                case ProposedCancel():
                    self.tell(self._setup.orders, out)
                case InternalCross():
                    self.crosses += 1
                    self.tell(self._setup.orders, out)
                case ConflictResolved():
                    self.conflicts += 1
                    self._metrics()
                case FlattenTold():
                    self._tell_flattened(out)

    def _tell_flattened(self, told: FlattenTold) -> None:
        code, level = ("FLATTENED", "info") if told.done else ("FLATTEN_STUCK", "error")
        text = f"{told.instrument_id}: {told.text}"
        body: dict[str, object] = {
            "level": level,
            "code": code,
            "text": text,
            "ts_ns": told.ts_init_ns,
            "cell": self._setup.cell,
        }
        key = f"arbiter:{told.ts_init_ns}:{told.instrument_id}"
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=key, body=body, ts_ns=told.ts_init_ns))

    def _metrics(self) -> None:
        now = self.now_ns()
        series = [
            ["conflict_resolved_total", "counter", {}, self.conflicts],
            ["intents_total", "counter", {}, self.intents],
            ["internal_crosses_total", "counter", {}, self.crosses],
        ]
        self.tell(
            self._setup.ops,
            Published(topic=Topic.METRICS, key=f"{self._setup.cell}.arbiter", body={"series": series}, ts_ns=now),
        )
