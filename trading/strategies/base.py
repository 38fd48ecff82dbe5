"""What a strategy is: market facts and its own fills in, intents out.

Owns intent ids, attributed positions and the table of kinds. A strategy never sees orders, limits or other
strategies: the arbiter and the risk governor stand between it and any venue.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.market.events import BookState, BookTop, MarkPrice, Trade
from trading.orders.messages import Intent, Side, TargetIntent, Urgency

NOTHING: tuple[Intent, ...] = ()
MS = 1_000_000


class Strategy(ABC):
    """A pure core: every method may change its state and returns the intents that follow.

    ``epoch`` is the fencing token the strategy was started under; with a running number it makes intent ids
    deterministic, so a replay proposes the same orders under the same names.
    """

    kind: str = ""
    has_timer: bool = True
    """Whether time alone may change its mind; one that acts on facts only is spared the wake-ups."""
    exact: bool = False
    """Whether its sizes are meant to the lot, so that an order which is too small is left out and not made larger."""

    def __init__(self, strategy_id: str, instruments: Mapping[str, Instrument], epoch: int) -> None:
        if not instruments:
            raise ValueError(f"instruments: strategy {strategy_id} has none")
        self.strategy_id = strategy_id
        self.instruments: tuple[str, ...] = tuple(instruments)
        self.specs: dict[str, Instrument] = dict(instruments)
        self.epoch = epoch
        self.position_qty: dict[str, Decimal] = {i: Decimal(0) for i in instruments}
        self.position_lots: dict[str, int] = dict.fromkeys(instruments, 0)
        self.last_intent: Intent | None = None
        self._count = 0

    # --- inbox -----------------------------------------------------------------------------------

    @abstractmethod
    def on_book(self, top: BookTop, now_ns: int) -> Sequence[Intent]:
        """A book changed, proved or not."""

    def on_trade(self, trade: Trade, now_ns: int) -> Sequence[Intent]:
        """A public execution."""
        return NOTHING

    def on_mark(self, mark: MarkPrice, now_ns: int) -> Sequence[Intent]:
        """Mark price and funding."""
        return NOTHING

    def on_fill(self, instrument_id: str, side: Side, qty: Decimal, price: Decimal, now_ns: int) -> Sequence[Intent]:
        """This strategy's own share of an execution or of an internal cross."""
        if instrument_id not in self.position_qty:
            return NOTHING
        self._set_position(instrument_id, self.position_qty[instrument_id] + side.sign * qty)
        return self.after_fill(instrument_id, side, qty, price, now_ns)

    def after_fill(self, instrument_id: str, side: Side, qty: Decimal, price: Decimal, now_ns: int) -> Sequence[Intent]:
        """React to a fill; the position already contains it."""
        return NOTHING

    @abstractmethod
    def on_timer(self, now_ns: int) -> Sequence[Intent]:
        """Time passed; called several times a second."""

    def restore_position(self, positions: Mapping[str, Decimal], now_ns: int) -> None:
        """Take the attributed positions of the ledger after a restart."""
        for instrument_id in self.instruments:
            self._set_position(instrument_id, positions.get(instrument_id, Decimal(0)))

    def view(self) -> dict[str, object]:
        """What operators see: inventory, signal, the last intent and its reasons. JSON-able."""
        last = self.last_intent
        return {
            "strategy_id": self.strategy_id,
            "kind": self.kind,
            "inventory": {i: str(q) for i, q in self.position_qty.items()},
            "signal": self.signal(),
            "last_intent": None if last is None else last.intent_id,
            "last_intent_ns": None if last is None else last.ts_init_ns,
            "reasons": [] if last is None else list(last.reasons),
            "intents": self._count,
        }

    @abstractmethod
    def signal(self) -> dict[str, object]:
        """The numbers the strategy is looking at."""

    # --- for subclasses ----------------------------------------------------------------------------

    def _set_position(self, instrument_id: str, qty: Decimal) -> None:
        self.position_qty[instrument_id] = qty
        self.position_lots[instrument_id] = self.specs[instrument_id].lots_floor(qty)

    def missing_lots(self, instrument_id: str, target_lots: int, mid_ticks: float) -> int:
        """Signed lots to the target; 0 on spot when no order for so little would be taken.

        A spot buy pays its fee out of what it buys, so a target in coins is never met to the lot.
        """
        spec = self.specs[instrument_id]
        missing = target_lots - self.position_lots[instrument_id]
        value = abs(missing) * LotValue(spec).usd(mid_ticks)
        return 0 if spec.kind is InstrumentKind.SPOT and value < float(spec.min_notional) else missing

    def next_intent_id(self) -> str:
        """The next id: strategy, epoch and a running number."""
        self._count += 1
        return f"{self.strategy_id}:{self.epoch}:{self._count}"

    def target(
        self,
        instrument_id: str,
        *,
        target_lots: int,
        confidence: float,
        ttl_ms: int,
        reasons: tuple[str, ...],
        cause: str,
        now_ns: int,
        urgency: Urgency = Urgency.AGGRESSIVE,
    ) -> TargetIntent:
        """A target intent, remembered as the last one."""
        intent = TargetIntent(
            self.next_intent_id(),
            self.strategy_id,
            instrument_id,
            target_lots,
            urgency,
            None,
            round(min(1.0, max(0.0, confidence)), 4),
            ttl_ms * MS,
            reasons,
            cause,
            now_ns,
        )
        self.last_intent = intent
        return intent


def usable(top: BookTop | None, now_ns: int, stale_ns: int) -> bool:
    """Whether a book is proved, two-sided and fresh."""
    return (
        top is not None
        and top.state is BookState.SYNCED
        and bool(top.bids)
        and bool(top.asks)
        and now_ns - top.ts_recv_ns <= stale_ns
    )


class LotValue:
    """The value of one lot of an instrument in quote currency, as floats for sizing inside strategies."""

    __slots__ = ("_base", "_inverse", "_tick")

    def __init__(self, spec: Instrument) -> None:
        self._base = float(spec.lot_size * spec.multiplier)
        self._tick = float(spec.tick_size)
        self._inverse = spec.kind is InstrumentKind.INVERSE

    def usd(self, mid_ticks: float) -> float:
        """Value of one lot at a mid; inverse contracts do not depend on it."""
        return self._base if self._inverse else self._base * self._tick * mid_ticks

    def lots(self, notional_usd: float, mid_ticks: float) -> int:
        """Whole lots worth at most ``notional_usd``."""
        return int(notional_usd / self.usd(mid_ticks) + 1e-9)


P = TypeVar("P", bound=msgspec.Struct)


def convert_params(params: Mapping[str, object], kind: type[P], strategy_id: str) -> P:
    """Build the frozen parameters of a strategy; ``ValueError`` names the key that is wrong."""
    types = {f.name: f.type for f in msgspec.structs.fields(kind)}
    unknown = set(params) - set(types)
    if unknown:
        raise ValueError(f"strategy {strategy_id}: unknown parameters {sorted(unknown)}")
    # A configuration's numbers are Decimals; a whole one is as good as an integer.
    decimals = {k: v for k, v in params.items() if isinstance(v, Decimal) and v.is_finite()}
    whole = {k: int(v) for k, v in decimals.items() if types[k] is int and v == int(v)}
    try:
        return msgspec.convert({**params, **whole}, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"strategy {strategy_id}: {error}") from error


def require(condition: bool, field: str, text: str) -> None:
    """Refuse a parameter: ``ValueError`` naming the field."""
    if not condition:
        raise ValueError(f"{field}: {text}")


def build_strategy(
    kind: str, strategy_id: str, instruments: Mapping[str, Instrument], params: dict[str, object], epoch: int
) -> Strategy:
    """Make a strategy of one of the kinds ``maker``, ``momentum``, ``basis``; ``ValueError`` when it cannot be made."""
    found = _kinds().get(kind)
    if found is None:
        raise ValueError(f"kind: {kind!r} is not a strategy; known are {', '.join(_kinds())}")
    make, params_kind = found
    made: Strategy = make(strategy_id, instruments, convert_params(params, params_kind, strategy_id), epoch)
    return made


def hears_trades(kind: str) -> bool:
    """Whether strategies of this kind act on public trades; the others need not be sent any."""
    found = _kinds().get(kind)
    return found is None or found[0].on_trade is not Strategy.on_trade


def _kinds() -> dict[str, tuple[Any, Any]]:
    # The kinds import this module, so they are found here when first asked for.
    from trading.strategies.basis import Basis, BasisParams  # noqa: PLC0415
    from trading.strategies.maker import Maker, MakerParams  # noqa: PLC0415
    from trading.strategies.momentum import Momentum, MomentumParams  # noqa: PLC0415

    return {"maker": (Maker, MakerParams), "momentum": (Momentum, MomentumParams), "basis": (Basis, BasisParams)}
