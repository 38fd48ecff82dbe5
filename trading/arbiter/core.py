"""The intent arbiter: what all strategies want together, as few orders as possible, each attributed exactly.

Owns netting, internal crosses, budgets, priorities, order slots and their pace. Does not own risk limits (the governor
may still deny) nor order state (the order core's updates are the truth).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

import native
from trading.arbiter.config import ArbiterConfig, ArbiterOut, ConflictResolved
from trading.arbiter.desk import FAR_FUTURE_NS, MS, InstrumentDesk
from trading.arbiter.lone import lone_round
from trading.arbiter.round import Round, Shared
from trading.arbiter.slots import Slot, WorkingOrder
from trading.arbiter.story import tell_view
from trading.brakes import GLOBAL, Level
from trading.instruments import Instrument
from trading.ledger.accounts import moves
from trading.market.events import BookState, BookTop
from trading.orders.messages import (
    DenyReason,
    Intent,
    Leg,
    OrderDenied,
    OrderFilled,
    OrderUpdated,
    OrdStatus,
    QuoteIntent,
    TargetIntent,
)
from trading.orders.triggers import guards
from trading.risk.exposure import TERMINAL
from trading.risk.limits import OPERATOR

# A refusal of these kinds will not change within a retry, so the slot rests at once.
_LASTING = frozenset(
    {
        DenyReason.BRAKE,
        DenyReason.DAILY_LOSS,
        DenyReason.PERMIT_EXPIRED,
        DenyReason.PERMIT_EPOCH,
        DenyReason.PERMIT_MODE,
        DenyReason.INSUFFICIENT_BALANCE,
        DenyReason.UNKNOWN_INSTRUMENT,
    }
)


_TRIGGERED = frozenset({OrdStatus.NEW, OrdStatus.PARTIALLY_FILLED, OrdStatus.FILLED})

QUIET: tuple[ArbiterOut, ...] = ()
"""Nothing was evaluated: no deadline has changed either."""


class Arbiter:
    """Pure core: every method takes a fact and returns what is to be done about it, in order."""

    def __init__(self, instruments: Mapping[str, Instrument], config: ArbiterConfig, epoch: int) -> None:
        self.config = config
        self.epoch = epoch
        self._shared = Shared(config, epoch)
        self._guards: set[str] = set()
        codes = _codes(instruments)
        self._desks = {
            i: InstrumentDesk(spec, codes[i], config.orders_per_symbol_per_min) for i, spec in instruments.items()
        }
        for i, desk in self._desks.items():
            desk.cap_reach = desk.reach(config.by_instrument_notional_usd.get(i, config.max_position_notional_usd))
            desk.id_prefix = f"pd{epoch:x}-{desk.code}-"
            desk.order_reach = desk.reach(config.max_order_notional_usd)
            desk.budget_reach = {s: desk.reach(b.max_notional_usd) for s, b in config.budgets.items()}
        longest = max((len(desk.id_prefix) for desk in self._desks.values()), default=0)
        if longest > 26:
            raise ValueError(f"epoch: {epoch} makes a cl_ord_id longer than the venues' 36 characters")

    # --- inbox -----------------------------------------------------------------------------------------

    def on_top(self, top: BookTop, now_ns: int) -> Sequence[ArbiterOut]:
        """A book changed; most of the time there is nothing to do about it, which is `QUIET`."""
        desk = self._desks.get(top.instrument_id)
        if desk is not None and (desk.set_top(top) or desk.dirty or now_ns >= desk.wake_ns):
            return Round(self._shared, desk, now_ns).run()
        return QUIET

    def top_route(self, now_ns: Callable[[], int]) -> Callable[[BookTop], bool] | None:
        """In C, where that was built: notes a top of which `on_top` would make `QUIET`, and says whether it was one."""
        where = (self._desks, InstrumentDesk, BookTop, BookState.SYNCED, now_ns)
        return None if native.orders is None else native.orders.touch_route(*where)

    def on_intent(self, intent: Intent, now_ns: int) -> list[ArbiterOut]:
        """A strategy's word replaces its earlier one of the same kind on the instrument."""
        desk, strategy_id = self._desks.get(intent.instrument_id), intent.strategy_id
        if desk is None or strategy_id not in desk.budget_reach:
            self._shared.conflicts += 1
            return [
                ConflictResolved(
                    instrument_id=intent.instrument_id,
                    strategy_id=intent.strategy_id,
                    intent_id=intent.intent_id,
                    rule="no_budget",
                    wanted_lots=0,
                    got_lots=0,
                    text=f"{intent.strategy_id} has no budget on {intent.instrument_id}",
                    ts_init_ns=now_ns,
                )
            ]
        if (desk.flattening.asked or strategy_id == OPERATOR) and desk.flattening.concerns(strategy_id):
            return []
        if type(intent) is TargetIntent:
            desk.targets[strategy_id] = intent
            outs = lone_round(self._shared, desk, intent, now_ns)
            if outs is not None:
                return outs
        elif type(intent) is QuoteIntent:
            desk.quotes[strategy_id] = intent
        return Round(self._shared, desk, now_ns).run()

    def on_order(self, update: OrderUpdated, now_ns: int) -> list[ArbiterOut]:
        """An order changed; one that is open and not ours counts, but is nobody's slot."""
        desk = self._desks.get(update.instrument_id)
        if desk is None:
            return []
        if guards(update):
            return self._guarded(desk, update, now_ns)
        order = desk.orders.get(update.cl_ord_id)
        if order is None:
            if update.ord_status in TERMINAL:
                return []
            order = self._adopt(desk, update)
        unfilled = update.cum_qty == 0
        order.update(update.ord_status, desk.instrument.lots_floor(update.cum_qty))
        if order.replaces is not None and order.accepted:
            # What was executed while it was on its way is not executed again.
            order.lots = desk.instrument.lots_floor(update.cum_qty + update.leaves_qty)
        slot = None if order.owner is None else desk.slot(order.owner, order.side)
        if slot is not None:
            if not unfilled or (update.ord_status is OrdStatus.NEW and slot.owner):
                # A resting quote has succeeded when it rests, an aggressive order only when it filled.
                slot.succeeded()
            elif update.ord_status in (OrdStatus.REJECTED, OrdStatus.DENIED):
                self._failed(slot, now_ns)
            elif unfilled and update.ord_status in TERMINAL and not order.canceled_ns and not order.replaced_by:
                # An IOC that met nobody or a quote that would have crossed: try again, slower each time.
                self._failed(slot, now_ns)
        if order.done:
            desk.remove(order)
        return Round(self._shared, desk, now_ns).run()

    def on_denied(self, denied: OrderDenied, now_ns: int) -> list[ArbiterOut]:
        """We refused an order ourselves: its slot is free again, after a pause."""
        desk = self._desks.get(denied.instrument_id)
        order = desk.orders.get(denied.cl_ord_id) if desk is not None else None
        if desk is None or order is None:
            return []
        order.update(OrdStatus.DENIED, 0)
        if order.owner is not None:
            slot = desk.slot(order.owner, order.side)
            self._failed(slot, now_ns)
            if denied.reason in _LASTING:
                slot.next_ns = max(slot.next_ns, now_ns + self.config.cool_off_on_errors_ms * MS)
        desk.remove(order)
        return Round(self._shared, desk, now_ns).run()

    def on_fill(self, fill: OrderFilled, now_ns: int) -> list[ArbiterOut]:
        """One execution, attributed by its legs whether or not its order is still known."""
        desk = self._desks.get(fill.instrument_id)
        if desk is None:
            return []
        if fill.cl_ord_id in self._guards:
            _forget_wants(desk, fill.legs)
        for leg, change in zip(fill.legs, moves(fill, desk.instrument), strict=True):
            desk.move(leg.strategy_id, change)
            if leg.strategy_id == OPERATOR:
                desk.flattening.tries = 0
        order = desk.orders.get(fill.cl_ord_id)
        if order is not None:
            order.filled_lots += desk.instrument.lots_floor(fill.last_qty)
            if order.done:
                desk.remove(order)
        return Round(self._shared, desk, now_ns).run()

    def next_due_ns(self, soon_ns: int, instrument_id: str | None = None) -> int | None:
        """When `on_timer` may next have something to do: ``soon_ns`` where something is unsettled, else by deadline.

        ``instrument_id`` asks for one instrument only.
        """
        one = None if instrument_id is None else self._desks.get(instrument_id)
        if one is not None:
            due = self._due_ns(one, soon_ns)
        elif any(desk.dirty or desk.orphans or desk.flattening.asked for desk in self._desks.values()):
            return soon_ns
        else:
            due = min((self._due_ns(desk, soon_ns) for desk in self._desks.values()), default=FAR_FUTURE_NS)
        return None if due == FAR_FUTURE_NS else due

    def _due_ns(self, desk: InstrumentDesk, soon_ns: int) -> int:
        """When a desk has something to do: soon while unsettled, else by its own deadline or its book's."""
        if desk.dirty or desk.orphans or desk.flattening.asked:
            return soon_ns
        due = desk.wake_ns
        if desk.orders:
            top = desk.top
            stale_ns = soon_ns if top is None else top.ts_recv_ns + self._shared.stale_ns + 1
            if stale_ns < due:  # noqa: PLR1730  # min() costs a call, after every message
                due = stale_ns
        return due

    def on_timer(self, now_ns: int) -> list[ArbiterOut]:
        """Expiry, staleness and whatever waited for its time."""
        out: list[ArbiterOut] = []
        for desk in self._desks.values():
            stale = desk.top is None or now_ns - desk.top.ts_recv_ns > self._shared.stale_ns
            if desk.dirty or desk.orphans or desk.flattening.asked or now_ns >= desk.wake_ns or (stale and desk.orders):
                out.extend(Round(self._shared, desk, now_ns).run())
        return out

    def set_modes(self, modes: Mapping[str, int], now_ns: int) -> list[ArbiterOut]:
        """The brakes' levels by scope. What they forbid is not even proposed; KILL flattens what is in its scope."""
        self._shared.set_levels(modes)
        killed = frozenset(s for s, level in self._shared.levels.items() if level >= Level.KILL)
        out: list[ArbiterOut] = []
        for desk in self._desks.values():
            i = desk.instrument
            desk.level = self._shared.worst((GLOBAL, f"venue:{i.venue}", f"symbol:{i.instrument_id}"))
            desk.flattening.ask(desk.level >= Level.KILL, killed, now_ns)
            for book in (desk.targets, desk.quotes):
                for strategy_id in [s for s in book if desk.flattening.concerns(s)]:
                    del book[strategy_id]
            out.extend(Round(self._shared, desk, now_ns).run())
        return out

    def restore(
        self, positions_by_strategy: Mapping[str, Mapping[str, Decimal]], open_orders: Iterable[OrderUpdated]
    ) -> None:
        """After a restart: attributed positions of the ledger (strategy, instrument), and orders of an earlier life.

        Those orders count as exposure and are canceled at the next timer: nobody remembers why they rest.
        """
        for strategy_id, positions in positions_by_strategy.items():
            for instrument_id, qty in positions.items():
                if instrument_id in self._desks:
                    self._desks[instrument_id].set_position(strategy_id, qty)
        for update in open_orders:
            desk = self._desks.get(update.instrument_id)
            if desk is not None and guards(update):
                self._guards.add(update.cl_ord_id)
            elif desk is not None and update.ord_status not in TERMINAL:
                self._adopt(desk, update)
                desk.orphans.add(update.cl_ord_id)

    def position_lots(self, instrument_id: str) -> dict[str, int]:
        """Attributed lots by strategy."""
        return dict(self._desks[instrument_id].position_lots)

    @property
    def conflicts_resolved(self) -> int:
        """How often strategies got less than they asked for, crosses included (``conflict_resolved_total``)."""
        return self._shared.conflicts

    def view(self) -> dict[str, object]:
        """Intents, positions and working orders by instrument, JSON-able."""
        return {
            "epoch": self.epoch,
            "proposed": self._shared.orders,
            "crosses": self._shared.crosses,
            "conflict_resolved_total": self._shared.conflicts,
            "instruments": {i: tell_view(desk) for i, desk in self._desks.items()},
        }

    # --- orders -----------------------------------------------------------------------------------------

    def _guarded(self, desk: InstrumentDesk, update: OrderUpdated, now_ns: int) -> list[ArbiterOut]:
        """A stop that the venue holds to close what is held is nobody's way to a target.

        Once it is triggered, what was wanted before is void: the next round would buy back what it sells.
        """
        if update.ord_status in TERMINAL:
            self._guards.discard(update.cl_ord_id)
        else:
            self._guards.add(update.cl_ord_id)
        if update.ord_status not in _TRIGGERED:
            return []
        _forget_wants(desk, update.legs)
        return Round(self._shared, desk, now_ns).run()

    def _adopt(self, desk: InstrumentDesk, update: OrderUpdated) -> WorkingOrder:
        spec = desk.instrument
        price = update.price if update.price is not None else Decimal(0)
        order = WorkingOrder(
            update.cl_ord_id,
            None,
            update.side,
            int(price / spec.tick_size),
            spec.lots_floor(update.order_qty),
            None,
        )
        order.filled_lots = spec.lots_floor(update.cum_qty)
        order.ord_status = update.ord_status
        desk.orders[update.cl_ord_id] = order
        return order

    def _failed(self, slot: Slot, now_ns: int) -> None:
        c = self.config
        slot.failed(now_ns, c.retry_ms * MS, c.cool_off_on_errors_ms * MS, c.cool_off_after_errors)


def _codes(instruments: Mapping[str, Instrument]) -> dict[str, str]:
    """A short word for each instrument, unique within the desk: symbol and kind, numbered if need be."""
    codes: dict[str, str] = {}
    taken: set[str] = set()
    for instrument_id in sorted(instruments):
        spec = instruments[instrument_id]
        word = "".join(c for c in spec.symbol.lower() if c.isascii() and c.isalnum())[:8] + spec.kind.value[0]
        code, n = word, 1
        while code in taken:
            n += 1
            code = f"{word}{n}"
        taken.add(code)
        codes[instrument_id] = code
    return codes


def _forget_wants(desk: InstrumentDesk, legs: Iterable[Leg]) -> None:
    """What the strategies behind an order wanted here is void."""
    for leg in legs:
        desk.targets.pop(leg.strategy_id, None)
        desk.quotes.pop(leg.strategy_id, None)
