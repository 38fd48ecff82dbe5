"""One evaluation of one instrument: from what is wanted and what is working to what is to be done now.

Owns the decisions: netting, crossing, cuts, the net order, quotes, self-trade avoidance. The state is the
instrument's desk and what all instruments share; a round lives for one call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from trading.arbiter.config import ArbiterConfig, ArbiterOut, ConflictResolved
from trading.arbiter.desk import FAR_FUTURE_NS, MS, InstrumentDesk
from trading.arbiter.flatten import Flatten
from trading.arbiter.netting import Need, allocate, by_priority, clip, cross
from trading.arbiter.slots import NET_OWNER, Slot, WorkingOrder, pegged, unpegged
from trading.brakes import Level
from trading.orders.messages import (
    InternalCross,
    Leg,
    OrderStory,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    QuoteIntent,
    Side,
    TargetIntent,
    TimeInForce,
    Urgency,
)
from trading.risk.limits import OPERATOR
from trading.risk.rate import RateWindow

# A member of an enum costs a search of its class at every look; these are looked at for every order.
_BUY, _SELL = Side.BUY, Side.SELL
_IOC, _LIMIT = TimeInForce.IOC, OrdType.LIMIT
_AGGRESSIVE = Urgency.AGGRESSIVE
_HOLD, _PAUSE = Level.HOLD, Level.PAUSE
_SOON_NS = 500 * MS
_INTENTS_MAX = 4
# The governor sees a proposal a little later than it was made, so our window is a little longer than its second.
_SECOND_NS = 1_050 * MS


class Shared:
    """What all instruments share: configuration, counters and the order rate."""

    __slots__ = (
        "_by_scope",
        "config",
        "conflicts",
        "crosses",
        "epoch",
        "levels",
        "min_order_interval_ns",
        "orders",
        "post_only_stale_ns",
        "rate",
        "slippage",
        "stale_ns",
    )

    def __init__(self, config: ArbiterConfig, epoch: int) -> None:
        self.config = config
        self.epoch = epoch
        self.orders = 0
        self.crosses = 0
        self.conflicts = 0
        self.levels: dict[str, int] = {}
        self._by_scope: dict[str, int] = {}
        self.rate = RateWindow(config.max_orders_per_sec, _SECOND_NS)
        self.stale_ns = config.stale_book_ms * MS
        self.post_only_stale_ns = config.post_only_staleness_ms * MS
        self.min_order_interval_ns = config.min_order_interval_ms * MS
        self.slippage = config.aggressive_slippage_bps * 1e-4

    def set_levels(self, modes: Mapping[str, int]) -> None:
        """Take the levels by scope; ``levels`` are those of strategies, by their ids."""
        self._by_scope = dict(modes)
        prefix = "strategy:"
        self.levels = {s.removeprefix(prefix): level for s, level in modes.items() if s.startswith(prefix)}

    def worst(self, scopes: Iterable[str]) -> Level:
        """The worst level of some scopes."""
        return Level(max(self._by_scope.get(scope, 0) for scope in scopes))


class Round(msgspec.Struct, gc=False):
    """One evaluation; `run` returns its outputs."""

    shared: Shared
    desk: InstrumentDesk
    now_ns: int
    out: list[ArbiterOut] = []

    def run(self) -> list[ArbiterOut]:
        """Everything that is to be done now, in order."""
        desk = self.desk
        desk.dirty = desk.follows_touch = False
        resting = bool(desk.orders)
        self._expire()
        if desk.orphans:
            for cl_ord_id in desk.orphans:
                self.cancel(desk.orders[cl_ord_id], "left from an earlier life")
        top = desk.top
        fresh = top is not None and 0 < self.shared.stale_ns >= self.now_ns - top.ts_recv_ns
        if not fresh or not desk.tradable:
            self._pull_all()
            desk.dirty = bool(desk.targets or desk.quotes or desk.flattening.asked)
            return self.out
        if desk.flattening.asked or desk.position_lots.get(OPERATOR):
            Flatten(self).run()
        needs = self._needs()
        if not needs and not desk.quotes:
            # Most rounds follow our own orders' news and find everything as it should be.
            if resting:
                self._cancel_unwanted(())
            return self.out
        quotes = self._serve(needs)
        if resting:
            self._cancel_unwanted(quotes)
        return self.out

    def _serve(self, needs: list[Need]) -> Sequence[Need]:
        """Meet what is needed as far as it is allowed; returns the quotes that are wanted."""
        desk = self.desk
        cap = desk.cap_reach // desk.lot_reach
        targets = desk.targets
        if len(needs) == 1 and not desk.quotes and targets[needs[0].strategy_id].urgency is _AGGRESSIVE:
            # One target and nothing beside it, which is the usual round that makes an order.
            need = needs[0]
            if abs(need.lots) + abs(desk.net_lots) > cap:
                needs = [n for n in self._allocate(needs, cap) if n.lots]
            if needs or desk.orders:
                self._propose_net(needs, cap, "")
            return ()
        crossing = ""
        if len(needs) > 1:
            needs, crossing = self._cross(needs)
        aggressive = [n for n in needs if targets[n.strategy_id].urgency is _AGGRESSIVE]
        quotes: list[Need] = []
        if desk.quotes or len(aggressive) < len(needs):
            quotes = by_priority(self._quote_needs(needs))
        allowed = self._allocate(aggressive + quotes if quotes else aggressive, cap)
        net = [n for n in (allowed[: len(aggressive)] if quotes else allowed) if n.lots]
        guard = self._propose_net(net, cap, crossing) if net or desk.orders else None
        if quotes:
            for quote, may_have in zip(quotes, allowed[len(aggressive) :], strict=True):
                self._work_quote(quote, abs(may_have.lots), guard, cap)
        return quotes

    def _expire(self) -> None:
        desk, now_ns = self.desk, self.now_ns
        wake_ns = FAR_FUTURE_NS
        # An expired target leaves its strategy where it is, an expired quote is pulled.
        for book in (desk.targets, desk.quotes):
            over: list[str] | None = None
            for strategy_id, intent in book.items():
                until_ns = intent.ts_init_ns + intent.ttl_ns
                if now_ns >= until_ns:
                    over = [*(over or ()), strategy_id]
                elif until_ns < wake_ns:
                    wake_ns = until_ns
            for strategy_id in over or ():
                del book[strategy_id]
        desk.wake_ns = wake_ns

    def _pull_all(self) -> None:
        desk = self.desk
        state = "never seen" if desk.top is None else "stale" if desk.tradable else desk.top.state.value
        for order in list(desk.orders.values()):
            if order.owner:
                self.cancel(order, f"book {state}")

    def _needs(self) -> list[Need]:
        """What each strategy lacks to its target, the target cut to its budget, less what already works for it."""
        desk = self.desk
        needs: list[Need] = []
        if not desk.targets:
            return needs
        resting = bool(desk.orders)
        flying = desk.net_order() if resting else None
        budgets = self.shared.config.budgets
        for strategy_id, intent in desk.targets.items():
            urgency = intent.urgency
            # One aggressive order at a time, and nobody in it is netted again while its outcome is open.
            if flying is not None and (urgency is _AGGRESSIVE or strategy_id in flying.strategies):
                continue
            level = self.level(strategy_id) if self.shared.levels else desk.level
            if level >= _HOLD:
                continue
            budget = budgets[strategy_id]
            cap = desk.budget_reach[strategy_id] // desk.lot_reach
            wanted = target = intent.target_lots
            if not -cap <= target <= cap:
                target = cap if target > 0 else -cap
            held = desk.position_lots.get(strategy_id, 0)
            if level and (level >= _PAUSE or urgency is _AGGRESSIVE):
                # No new risk: nobody's position may grow, not even by a cross inside the desk.
                target = max(0, min(held, target)) if held > 0 else min(0, max(held, target))
            if target != wanted and abs(held) > abs(target) and held * target >= 0:
                # A budget forbids growth; it does not by itself make anybody sell because the price moved.
                target = max(min(held, wanted), target) if held > 0 else min(max(held, wanted), target)
            if target != wanted:
                text = f"target {wanted} cut to {target} by budget {budget.max_notional_usd} USD"
                self._resolve(intent.strategy_id, intent.intent_id, "budget", wanted=wanted, got=target, text=text)
            lots = target - held
            if resting and urgency is _AGGRESSIVE and lots:
                lots -= _toward_zero(lots, desk.owned_open_lots(pegged(strategy_id), _BUY if lots > 0 else _SELL))
            if lots:
                needs.append(Need(strategy_id, intent.intent_id, budget.priority, lots, intent.limit_ticks))
        return needs

    def _cross(self, needs: list[Need]) -> tuple[list[Need], str]:
        desk = self.desk
        top = desk.top
        assert top is not None
        if desk.net_order() is not None:
            return needs, ""
        free = [n for n in needs if not desk.owned_open_lots(pegged(n.strategy_id), _side(n.lots))]
        crossed, _ = cross(free, desk.bid + desk.ask)
        if not crossed:
            return needs, ""
        mid = desk.mid()
        left = {n.strategy_id: n.lots for n in needs}
        words: list[str] = []
        for pair in crossed:
            qty = desk.instrument.qty(pair.lots)
            buyer, seller = pair.buyer.strategy_id, pair.seller.strategy_id
            left[buyer] -= pair.lots
            left[seller] += pair.lots
            self.cross_inside(buyer, seller, qty, mid)
            text = f"{buyer} bought {pair.lots} lots from {seller} at mid {mid}"
            words.append(text)
            self._resolve(buyer, pair.buyer.intent_id, "cross", wanted=pair.buyer.lots, got=left[buyer], text=text)
        return [n.of(left[n.strategy_id]) for n in needs if left[n.strategy_id]], "; ".join(words)[:240]

    def cross_inside(self, buyer: str, seller: str, qty: Decimal, mid: Decimal) -> None:
        """Move a position from one strategy to another at the mid, without an order."""
        desk, top = self.desk, self.desk.top
        assert top is not None
        desk.move(buyer, qty)
        desk.move(seller, -qty)
        self.shared.crosses += 1
        self.out.append(
            InternalCross(
                cross_id=f"x{self.shared.epoch:x}-{desk.code}-{self.shared.crosses:x}",
                instrument_id=desk.instrument.instrument_id,
                buyer_id=buyer,
                seller_id=seller,
                qty=qty,
                price=mid,
                cause=f"{top.instrument_id}@{top.update_id}",
                ts_init_ns=self.now_ns,
            )
        )

    def level(self, strategy_id: str) -> int:
        """The worst level that stands over a strategy's orders here."""
        levels = self.shared.levels
        return max(self.desk.level, levels.get(strategy_id, 0)) if levels else self.desk.level

    def _quote_needs(self, needs: Sequence[Need]) -> list[Need]:
        """Sides of quotes, and passive targets as quotes pegged to the touch, as needs with their price."""
        desk = self.desk
        out: list[Need] = []
        most = min(desk.max_lots, desk.order_reach // desk.lot_reach)
        for strategy_id, quote in desk.quotes.items():
            level = self.level(strategy_id)
            if level >= _PAUSE:
                continue
            budget = self.shared.config.budgets[strategy_id]
            cap = desk.budget_reach[strategy_id] // desk.lot_reach
            held = desk.position_lots.get(strategy_id, 0)
            bid_lots, ask_lots = min(quote.bid_lots, cap - held, most), min(quote.ask_lots, cap + held, most)
            if level:
                bid_lots, ask_lots = self._safe_lots(bid_lots), self._safe_lots(ask_lots)
            if bid_lots > 0:
                out.append(Need(strategy_id, quote.intent_id, budget.priority, bid_lots, quote.bid_ticks))
            if ask_lots > 0:
                out.append(Need(strategy_id, quote.intent_id, budget.priority, -ask_lots, quote.ask_ticks))
        for need in needs:
            if desk.targets[need.strategy_id].urgency is Urgency.PASSIVE:
                desk.follows_touch = True
                price = _peg(need, desk.bid, desk.ask)
                lots = max(-most, min(most, need.lots))
                level = self.level(need.strategy_id)
                if level >= _PAUSE:
                    continue
                if level:
                    lots = self._safe_lots(lots)
                out.append(Need(pegged(need.strategy_id), need.intent_id, need.priority, lots, price))
        return out

    def _safe_lots(self, lots: int) -> int:
        return int(lots * self.shared.config.safe_size_factor)

    def _allocate(self, wanted: list[Need], cap: int) -> list[Need]:
        """What each need may have, so that all of them filled at once stay within the cap."""
        desk = self.desk
        if len(wanted) == 1 and abs(wanted[0].lots) + abs(desk.net_lots) <= cap:
            return wanted
        places = sorted(range(len(wanted)), key=lambda i: (wanted[i].priority, wanted[i].strategy_id))
        served = [wanted[i] for i in places]
        allowed = list(wanted)
        for i, before, after in zip(places, served, allocate(served, desk.net_lots, cap), strict=True):
            if before is not after:
                text = f"{before.lots} lots cut to {after.lots}: all together may hold {cap}, hold {desk.net_lots}"
                owner, intent_id = before.strategy_id, before.intent_id
                self._resolve(owner, intent_id, "priority", wanted=before.lots, got=after.lots, text=text)
                allowed[i] = after
        return allowed

    # --- the netted aggressive order ----------------------------------------------------------------------------

    def _propose_net(self, needs: list[Need], cap: int, crossing: str) -> tuple[Side, int] | None:
        """Send the net of what is left as one IOC; returns the side and limit that our own quotes must not meet."""
        desk = self.desk
        resting = bool(desk.orders)
        working = desk.net_order() if resting else None
        if working is not None:
            return working.side, working.price_ticks
        same = [n for n in needs if n.limit_ticks is None or _marketable(n, desk.bid, desk.ask)]
        if len(same) < len(needs):
            desk.follows_touch = True
        net = same[0].lots if len(same) == 1 else sum([n.lots for n in same])
        if net == 0:
            return None
        side = _BUY if net > 0 else _SELL
        if len(same) > 1:
            # Limits can leave both signs; the heavier side goes first and the other waits for the next round.
            same = [n for n in same if (n.lots > 0) is (net > 0)]
        most = desk.max_lots
        if desk.level or self.shared.levels:
            same, most = self._restrain(same, side)
            if not same:
                return None
        now_ns, shared = self.now_ns, self.shared
        limit = self.limit_ticks(side, same, shared.config.aggressive_slippage_bps)
        blocked = resting and self.make_way(side, limit)
        own = desk.own_best(side.opposite) if resting else None
        if not blocked and own is not None and own - side.sign == limit:
            for need in same:
                text = f"reaches to {limit} ticks and no further: our own {side.opposite.value} rests at {own}"
                self._resolve(
                    need.strategy_id, need.intent_id, "self_trade", wanted=need.lots, got=need.lots, text=text
                )
        slot = desk.slot(NET_OWNER, side)
        if now_ns < slot.next_ns or now_ns < desk.next_aggressive_ns:
            ready_ns = max(slot.next_ns, desk.next_aggressive_ns)
            desk.wake_at(ready_ns)
            # Quotes keep clear of an order that is due soon, and do not wait for one that rests after errors.
            return (side, limit) if ready_ns - now_ns <= _SOON_NS else None
        if blocked:
            return side, limit
        working_lots = desk.open_lots(side) if resting else 0
        held = desk.net_lots if net > 0 else -desk.net_lots
        lots, legs = abs(net), same
        order_room, room = desk.order_reach // desk.lot_reach, cap - held - working_lots
        if lots > room or lots > most or lots > order_room or len(same) > 1:
            legs = clip(same, max(0, min(room, most, order_room)))
            lots = abs(sum([n.lots for n in legs]))
        if not desk.large_enough(lots) or not self.pace(0):
            return None
        desk.next_aggressive_ns = now_ns + shared.min_order_interval_ns
        self.propose(slot, limit, legs, _IOC, crossing=crossing)
        return side, limit

    def _restrain(self, needs: list[Need], side: Side) -> tuple[list[Need], int]:
        """Who may take liquidity now, and how many lots together: under a brake only what reduces the position."""
        most = self.desk.max_lots
        if not self.desk.level and not any(self.shared.levels.get(n.strategy_id) for n in needs):
            return needs, most
        reducible = self.desk.reducible(side)
        if reducible:
            return needs, min(reducible, most)
        return [n for n in needs if not self.level(n.strategy_id)], most

    def make_way(self, side: Side, limit: int) -> bool:
        """Cancel our own orders that a taker of ``side`` up to ``limit`` would meet; True when there were any."""
        blocked = False
        for order in list(self.desk.orders.values()):
            if order.side is not side and order.open_lots and (order.price_ticks - limit) * side.sign <= 0:
                # Our own quote in the way is moved out of it first; the order follows when it is gone.
                self.cancel(order, f"self-trade: a {side.value} up to {limit} would meet it")
                text = f"{order.cl_ord_id} makes way for {side.value} up to {limit} ticks"
                if order.owner:
                    wanted = order.side.sign * order.open_lots
                    self._resolve(order.owner, order.cl_ord_id, "self_trade", wanted=wanted, got=0, text=text)
                blocked = True
        return blocked

    def limit_ticks(self, side: Side, needs: Sequence[Need], slippage_bps: float) -> int:
        """The worst price that a taker of ``side`` may pay: the touch and ``slippage_bps``, and nobody's own limit."""
        desk = self.desk
        bid, ask = desk.bid, desk.ask
        slip = int(slippage_bps * 1e-4 * (bid + ask) * 0.5)
        own = [n.limit_ticks for n in needs if n.limit_ticks is not None]
        if not own and not desk.orders:
            return ask + slip if side is _BUY else bid - slip
        theirs = desk.own_best(side.opposite)
        if side is _BUY:
            limit = min([desk.ask + slip, *own])
            # A quote of ours deeper in the book only shortens the reach; at the touch it has to go.
            return min(limit, theirs - 1) if theirs is not None and theirs > desk.ask else limit
        limit = max([desk.bid - slip, *own])
        return max(limit, theirs + 1) if theirs is not None and theirs < desk.bid else limit

    # --- resting quotes -----------------------------------------------------------------------------------------

    def _work_quote(self, quote: Need, lots: int, guard: tuple[Side, int] | None, cap: int) -> None:
        """Place, replace, cancel or leave the one order of a quote's side; ``lots`` is what it may have."""
        desk = self.desk
        side = _side(quote.lots)
        slot = desk.slot(quote.strategy_id, side)
        price = self._safe_price(slot, quote.limit_ticks or 0)
        if price is None:
            return
        meets = guard is not None and guard[0] is not side and (price - guard[1]) * guard[0].sign <= 0
        order = slot.current
        if meets or not desk.large_enough(lots):
            if meets:
                text = f"no {side.value} at {price} ticks while an aggressive order may reach it"
                owner = quote.strategy_id
                self._resolve(owner, quote.intent_id, "self_trade", wanted=quote.lots, got=0, text=text)
            if order is not None:
                why = "an aggressive order would meet it" if meets else f"{lots} lots are allowed"
                self.cancel(order, why)
            return
        if order is not None:
            if order.canceled_ns:
                # A cancel that was lost is asked for again; until it is answered the slot stays taken.
                self.cancel(order, "canceled before, still open")
                return
            if not order.accepted or order.replaced_by or not order.open_lots:
                # Nothing is open any more where the last fill came before the terminal word.
                return
            too_large = order.open_lots > lots
            if not too_large and not self._off(order, price, lots):
                return
            if too_large and lots < abs(quote.lots):
                self.cancel(order, f"only {lots} lots are allowed")
                return
        if self.now_ns < slot.next_ns:
            desk.wake_at(slot.next_ns)
            return
        top = desk.top
        if top is None or self.now_ns - top.ts_recv_ns > self.shared.post_only_stale_ns:
            desk.dirty = True
            return
        # An order and its replacement may both fill before the venue has decided, so both need room.
        room = cap - side.sign * desk.net_lots - desk.open_lots(side)
        if order is not None and desk.instrument.venue in self.shared.config.amends_in_place:
            room += order.open_lots
        if lots > room:
            if order is not None:
                self.cancel(order, "no room for it and its replacement")
            return
        if not self.pace(1):
            return
        slot.next_ns = self.now_ns + self.shared.config.min_quote_interval_ms * MS
        strategy_id = unpegged(quote.strategy_id)
        leg = Need(strategy_id, quote.intent_id, quote.priority, side.sign * lots, quote.limit_ticks)
        self.propose(slot, price, [leg], TimeInForce.GTX, replaces=order)

    def _safe_price(self, slot: Slot, price: int) -> int | None:
        """A price that neither crosses the book, so that post-only is accepted, nor meets our own other side.

        None while the owner's own other side has still to move out of the way.
        """
        desk = self.desk
        side = slot.side
        touch = desk.ask - 1 if side is _BUY else desk.bid + 1
        price = min(price, touch) if side is _BUY else max(price, touch)
        own = desk.own_best(side.opposite)
        if own is None or (own - price) * side.sign > 0:
            return price
        other = desk.slot(slot.owner, side.opposite).current
        if other is not None and (other.price_ticks - price) * side.sign <= 0:
            return None
        return own - side.sign

    def _off(self, order: WorkingOrder, price: int, lots: int) -> bool:
        moved = abs(order.price_ticks - price)
        return moved > self.shared.config.quote_hysteresis_ticks or order.open_lots * 2 < lots

    def _cancel_unwanted(self, quotes: Sequence[Need]) -> None:
        desk = self.desk
        wanted = {(n.strategy_id, n.lots > 0) for n in quotes}
        for order in list(desk.orders.values()):
            if order.owner and (order.owner, order.side is _BUY) not in wanted:
                self.cancel(order, "no longer wanted")

    # --- effects ---------------------------------------------------------------------------------------------------

    def pace(self, spare: int) -> bool:
        """Whether the order rate allows one more; quotes leave ``spare`` places to aggressive orders."""
        desk, now_ns, shared = self.desk, self.now_ns, self.shared
        if spare and shared.config.max_orders_per_sec <= 1:
            spare = 0
        if shared.rate.allows(now_ns, spare) and desk.rate.allows(now_ns, spare):
            return True
        desk.wake_at(now_ns + 50 * MS)
        return False

    def propose(
        self,
        slot: Slot,
        price_ticks: int,
        needs: Sequence[Need],
        time_in_force: TimeInForce,
        *,
        replaces: WorkingOrder | None = None,
        crossing: str = "",
        intents: Sequence[TargetIntent | QuoteIntent] = (),
    ) -> None:
        """Take the slot and say the order."""
        desk, now_ns, shared = self.desk, self.now_ns, self.shared
        instrument, top = desk.instrument, desk.top
        assert top is not None
        shared.orders += 1
        cl_ord_id = f"{desk.id_prefix}{shared.orders:x}"
        lot_size, tick_size = instrument.lot_size, instrument.tick_size
        if len(needs) == 1:
            need = needs[0]
            lots = abs(need.lots)
            qty = lot_size * lots
            strategies: tuple[str, ...] = (need.strategy_id,)
            legs: tuple[Leg, ...] = (Leg(need.strategy_id, need.intent_id, qty),)
            intents = intents or (_intent_of(desk, need),)
        else:
            lots = abs(sum([n.lots for n in needs]))  # needs of one order are of one sign
            qty = lot_size * lots
            strategies = tuple([n.strategy_id for n in needs])
            legs = tuple([Leg(n.strategy_id, n.intent_id, lot_size * abs(n.lots)) for n in needs])
            intents = intents or [_intent_of(desk, n) for n in needs]
        owner, side = slot.owner, slot.side
        original = None if replaces is None else replaces.cl_ord_id
        order = WorkingOrder(cl_ord_id, owner, side, price_ticks, lots, original, strategies)
        # Spot has no such word at the venue; for the governor and the gateway it means the same everywhere.
        reduce_only = time_in_force is _IOC and desk.net_lots != 0 and lots <= desk.reducible(side)
        if replaces is not None:
            replaces.replaced_by = cl_ord_id
        desk.orders[cl_ord_id] = order
        slot.current = order
        shared.rate.add(now_ns)
        desk.rate.add(now_ns)
        story = OrderStory(
            desk.tick_word,
            desk.lot_word,
            top.bids[0],
            top.asks[0],
            top.synthetic,
            desk.held,
            tuple(intents[:_INTENTS_MAX]),
            crossing,
        )
        self.out.append(
            ProposedOrder(
                cl_ord_id,
                instrument.venue,
                instrument.instrument_id,
                side,
                _LIMIT,
                time_in_force,
                qty,
                tick_size * price_ticks,
                reduce_only,
                legs,
                original,
                desk.mid(),
                top.update_id,
                top.ts_recv_ns,
                story,
                intents[0].cause,
                now_ns,
            )
        )

    def cancel(self, order: WorkingOrder, reason: str) -> None:
        """Ask for an order's end, again when the answer was lost."""
        desk = self.desk
        if not order.open_lots or order.terminal_lots is not None:
            return
        if order.canceled_ns and self.now_ns - order.canceled_ns < self.shared.config.cancel_retry_ms * MS:
            desk.wake_at(order.canceled_ns + self.shared.config.cancel_retry_ms * MS)
            return
        order.canceled_ns = self.now_ns
        desk.wake_at(self.now_ns + self.shared.config.cancel_retry_ms * MS)
        self.out.append(
            ProposedCancel(
                cl_ord_id=order.cl_ord_id,
                venue=desk.instrument.venue,
                instrument_id=desk.instrument.instrument_id,
                reason=reason,
                cause=f"{desk.instrument.instrument_id}@{desk.top.update_id if desk.top else 0}",
                ts_init_ns=self.now_ns,
            )
        )

    def _resolve(self, strategy_id: str, intent_id: str, rule: str, *, wanted: int, got: int, text: str) -> None:
        """Tell of a conflict once per strategy, rule and intent, however often it is found again."""
        desk = self.desk
        key = (strategy_id, f"{rule}{'+' if wanted > 0 else '-'}")
        if rule != "cross" and desk.told.get(key) == intent_id:
            return
        desk.told[key] = intent_id
        self.shared.conflicts += 1
        self.out.append(
            ConflictResolved(
                instrument_id=desk.instrument.instrument_id,
                strategy_id=unpegged(strategy_id),
                intent_id=intent_id,
                rule=rule,
                wanted_lots=wanted,
                got_lots=got,
                text=text,
                ts_init_ns=self.now_ns,
            )
        )


def _side(lots: int) -> Side:
    return _BUY if lots > 0 else _SELL


def _toward_zero(lots: int, by: int) -> int:
    """The part of ``lots`` that ``by`` covers, with the sign of ``lots``."""
    return min(lots, by) if lots > 0 else max(lots, -by)


def _marketable(need: Need, bid: int, ask: int) -> bool:
    if need.limit_ticks is None:
        return True
    return need.limit_ticks >= ask if need.lots > 0 else need.limit_ticks <= bid


def _peg(need: Need, bid: int, ask: int) -> int:
    if need.lots > 0:
        return bid if need.limit_ticks is None else min(bid, need.limit_ticks)
    return ask if need.limit_ticks is None else max(ask, need.limit_ticks)


def _intent_of(desk: InstrumentDesk, need: Need) -> TargetIntent | QuoteIntent:
    target = desk.targets.get(need.strategy_id)
    if target is not None and target.intent_id == need.intent_id:
        return target
    return desk.quotes[need.strategy_id]
