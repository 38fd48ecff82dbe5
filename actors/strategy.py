"""One strategy: hears its instruments, says what it wants to the arbiter. Knows no order, no venue, no balance."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from actors.messages import ActorReady, AskEpoch, AskPositions, Epoch, OwnFill, Positions
from actors.shell import Shell
from trading.instruments import Instrument
from trading.market.events import BookTop, MarkPrice, Trade
from trading.operators import Published, Topic
from trading.orders.messages import Intent, Side
from trading.strategies.base import Strategy, build_strategy
from trading.strategies.minimum import OrderMinimum

_SERIALS_PER_EPOCH = 100_000


class StrategySetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy is built from, and how often its timer runs.

    ``ops`` None: nobody looks (virtual time). ``floor_usd``: an opening order is made at least so large, if the venue
    does not ask for more and ``most_usd`` of its instrument allows it; None where sizes are exact.
    """

    strategy_id: str
    kind: str
    instruments: dict[str, Instrument]
    params: dict[str, object]
    floor_usd: Decimal | None = None
    most_usd: dict[str, Decimal] = {}
    timer_ns: int = 100_000_000
    publish_ns: int = 500_000_000
    ask_ns: int = 250_000_000
    arbiter: str = "arbiter"
    governor: str = "governor"
    portfolio: str = "portfolio"
    ops: str | None = "ops"


class StrategyActor(Shell):
    """Silent until it knows its epoch and what it already holds."""

    # What every message looks at, see `ConnectorBase`.
    __slots__ = ("_arbiter", "_core", "_minimum", "_whole")

    def start(self, setup: StrategySetup) -> None:
        """Ask for the epoch; the strategy is built when it comes."""
        self._setup = setup
        self._arbiter = setup.arbiter
        self._core: Strategy | None = None
        self._minimum: OrderMinimum | None = None
        self._refused = ""
        self._whole = False
        self._ask()

    def _ask(self) -> None:
        """Ask for what is missing, and again until it is there: who answers may be restarting too."""
        setup = self._setup
        self.wake_after(setup.ask_ns, "ask")
        if self._core is None:
            self.tell(setup.governor, AskEpoch(reply_to=self.name))
        else:
            self.tell(setup.portfolio, AskPositions(reply_to=self.name))

    def on(self, msg: Any) -> None:
        """Hand market facts and own fills to the strategy, its intents to the arbiter."""
        kind = type(msg)
        core = self._core
        if kind is BookTop and core is not None and self._whole:
            if self._minimum is not None:
                self._minimum.on_top(msg)
                self._say(core.on_book(msg, self.now_ns()))
                return
            for intent in core.on_book(msg, self.now_ns()):
                self.tell(self._arbiter, intent)
            return
        if kind is Epoch:
            if core is not None:
                return
            setup = self._setup
            self._core = build_strategy(
                setup.kind,
                setup.strategy_id,
                setup.instruments,
                dict(setup.params),
                msg.epoch * _SERIALS_PER_EPOCH + msg.serial,
            )
            if setup.floor_usd is not None and not self._core.exact:
                self._minimum = OrderMinimum(setup.instruments, setup.floor_usd, setup.most_usd)
            self._ask()
            return
        if core is None:
            return
        if kind is Positions:
            mine = msg.by_strategy.get(self._setup.strategy_id, {})
            core.restore_position({k: Decimal(v) for k, v in mine.items()}, self.now_ns())
            if not self._whole:
                self._whole = True
                if core.has_timer:
                    self.wake_after(self._setup.timer_ns, "timer")
                if self._setup.ops is not None:
                    self.wake_after(self._setup.publish_ns, "publish")
                if self._supervisor is not None:
                    self.tell(self._supervisor, ActorReady(name=self.name))
            return
        if not self._whole:
            return
        now = self.now_ns()
        if kind is Trade:
            self._say(core.on_trade(msg, now))
        elif kind is MarkPrice:
            self._say(core.on_mark(msg, now))
        elif kind is OwnFill:
            side = Side.BUY if msg.buy else Side.SELL
            self._say(core.on_fill(msg.instrument_id, side, Decimal(msg.qty), Decimal(msg.price), now))
        elif kind is not BookTop:
            self.unknown(msg)

    def on_tick(self, tag: str) -> None:
        """The strategy's own timer, and its view for the operators."""
        if tag == "ask":
            if not self._whole:
                self._ask()
            return
        if self._core is None:
            return
        now = self.now_ns()
        if tag == "timer":
            if self._core.has_timer:
                self.wake_after(self._setup.timer_ns, "timer")
                self._say(_by_timer(self._core.on_timer(now)))
        elif self._setup.ops is not None:
            self.wake_after(self._setup.publish_ns, "publish")
            body = {"strategy_id": self._setup.strategy_id, "kind": self._setup.kind, **self._core.view()}
            if self._minimum is not None:
                body["minimum"] = {"raised": self._minimum.raised, "refused": self._minimum.refused}
            self.tell(
                self._setup.ops,
                Published(topic=Topic.STRATEGY, key=self._setup.strategy_id, body=body, ts_ns=now),
            )

    def _say(self, intents: Sequence[Intent]) -> None:
        minimum, core = self._minimum, self._core
        for intent in intents:
            if minimum is None or core is None:
                self.tell(self._setup.arbiter, intent)
            else:
                self.tell(self._setup.arbiter, minimum.apply(intent, core.position_lots[intent.instrument_id]))
        if minimum is not None and minimum.refused and not self._refused:
            self._refused = minimum.words
            self._tell_refused(minimum.words)

    def _tell_refused(self, words: str) -> None:
        """Once in a life: what is too small stays too small until somebody changes a limit."""
        if self._setup.ops is None:
            return
        now, strategy_id = self.now_ns(), self._setup.strategy_id
        body: dict[str, object] = {"level": "warning", "code": "ORDER_TOO_SMALL", "text": f"{strategy_id}: {words}"}
        body |= {"ts_ns": now, "cell": "desk"}
        key = f"{self.name}:{now}:minimum"
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=key, body=body, ts_ns=now))


def _by_timer(intents: Sequence[Intent]) -> Sequence[Intent]:
    """What a timer caused, and not the book that was known by then: how old that is says nothing of our speed."""
    return [msgspec.structs.replace(intent, cause=f"timer, {intent.cause}") for intent in intents]
