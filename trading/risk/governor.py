"""The risk governor: every order passes here and only what passes has the approved type.

Owns limits, exposure, modes as told, and the trips that ask for brakes. Does not own brakes, permits or their release,
and changes no order: it approves or denies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import native
from trading.brakes import ALLOWED, GLOBAL, Conduct, Level, Release, order_scopes
from trading.instruments import Instrument, InstrumentKind
from trading.ledger.accounts import eaten
from trading.market.events import BookState, BookTop, MarkPrice
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    InternalCross,
    Leg,
    OrderDenied,
    OrderFilled,
    OrderUpdated,
    ProposedOrder,
    RiskChecks,
    Side,
    TimeInForce,
)
from trading.orders.triggers import guards
from trading.risk.bounds import Bounds, Corridor, own_limits, pick
from trading.risk.exposure import TERMINAL, ZERO, Exposure, Working
from trading.risk.filters import Refusal, check_grid, check_notional, check_numbers
from trading.risk.limits import OPERATOR, BrakeRequest, RiskLimits
from trading.risk.rate import RateWindow

MS = 1_000_000
BPS = Decimal(10_000)
_REMEMBERED_IDS = 20_000
_UNBRAKED = (Level.RUN, GLOBAL)
_SYNCED = BookState.SYNCED
_BUY = Side.BUY  # a member of an enum costs a search of its class at every look
_GTX = TimeInForce.GTX


# What the short way in C reads, what it makes, and words.
_READ = (ProposedOrder, Leg, Exposure, Bounds, Corridor, BookTop, RiskLimits, Instrument, RateWindow)
_MADE = (Working, RiskChecks, ApprovedOrder)


class RiskGovernor:
    """Pre-trade checks against the worst case of everything that is held or may still fill."""

    # The approval of an order that is alone with its exposure and plainly within its limits, where C was built.
    _at_once: Callable[..., ApprovedOrder | None] | None = (
        None if native.orders is None else native.orders.PlainLimits(*_READ, *_MADE, _BUY, _GTX, ZERO)
    )

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        limits: RiskLimits,
        epoch: int,
        amends_in_place: Iterable[str] = (),
    ) -> None:
        """At venues ``amends_in_place`` a replacement becomes the order that it replaces: never both are live."""
        self._in_place = frozenset(amends_in_place)
        self.limits = limits
        self.epoch = epoch
        self.modes: dict[str, int] = {}
        self.day_pnl = ZERO
        self.approved = 0
        self.denied: dict[str, int] = {}
        self._best_pnl = ZERO
        self._loss = "0"
        self._lost = limits.daily_loss_cap_usd == 0
        self._tripped: set[tuple[str, str]] = set()
        self._rate = RateWindow(limits.orders_per_sec, 1_000_000_000)
        # A dict keeps the order of insertion, so the oldest id is the one forgotten.
        self._seen: dict[str, None] = {}
        self._exposures = {
            i: Exposure(spec, Bounds(limits, spec), limits.orders_per_symbol_per_min if own is None else own)
            for i, spec, own in ((i, spec, own_limits(limits, i).orders_per_min) for i, spec in instruments.items())
        }
        for exposure in self._exposures.values():
            exposure.others = tuple(e for e in self._exposures.values() if e is not exposure)

    # --- facts -------------------------------------------------------------------------------------

    def on_top(self, top: BookTop) -> None:
        """The newest state of a book; only a proved one moves the reference price."""
        exposure = self._exposures.get(top.instrument_id)
        if exposure is None:
            return
        exposure.top = top
        if top.state is _SYNCED and top.bids and top.asks:
            exposure.proved = top

    def top_route(self) -> Callable[[BookTop], bool] | None:
        """`on_top` in C, where that was built."""
        where = (self._exposures, Exposure, BookTop, _SYNCED)
        return None if native.orders is None else native.orders.reference_route(*where)

    def on_mark(self, mark: MarkPrice) -> None:
        """The mark values an exposure whose book was never proved."""
        exposure = self._exposures.get(mark.instrument_id)
        if exposure is not None and exposure.proved is None:
            exposure.mid = mark.mark_price

    def on_order(self, update: OrderUpdated) -> None:
        """An order changed; one that is open and unknown to us is exposure all the same."""
        exposure = self._exposures.get(update.instrument_id)
        if exposure is None:
            return
        if update.cl_ord_id not in exposure.working and update.ord_status not in TERMINAL:
            order = Working(update.cl_ord_id, update.side, update.order_qty, update.price)
            order.told_qty = not guards(update)
            if not order.told_qty:
                order.order_qty = ZERO
            # Fills before this moment are in the position already.
            order.filled = update.cum_qty
            exposure.add(order)
        exposure.update(update.cl_ord_id, update.ord_status, update.cum_qty, update.leaves_qty, update.late_qty)

    def on_denied(self, denied: OrderDenied) -> None:
        """The gateway refused what we had approved: the venue never saw it, so it is no exposure."""
        exposure = self._exposures.get(denied.instrument_id)
        if exposure is not None:
            exposure.drop(denied.cl_ord_id)

    def on_fill(self, fill: OrderFilled) -> None:
        """One execution."""
        exposure = self._exposures.get(fill.instrument_id)
        if exposure is not None:
            exposure.fill(fill.cl_ord_id, fill.side, fill.last_qty, eaten(fill, exposure.instrument))

    def on_cross(self, cross: InternalCross) -> None:
        """A cross inside the desk moves nothing at the venue; the governor's positions are the venue's."""

    def set_modes(self, modes: Mapping[str, int]) -> None:
        """Brake levels by scope: ``global``, ``venue:<venue>``, ``symbol:<instrument_id>``, ``strategy:<id>``."""
        self.modes = {scope: int(level) for scope, level in modes.items() if level}

    def set_pnl(self, day_pnl: Decimal) -> None:
        """The day's profit and loss, realised and not, in USD; a new day starts at its own 0."""
        self._take_pnl(day_pnl)
        self._best_pnl = max(self._best_pnl, day_pnl)

    def start_day(self) -> None:
        """A new trading day: the loss and the drawdown count from here."""
        self._take_pnl(ZERO)
        self._best_pnl = ZERO

    def _take_pnl(self, day_pnl: Decimal) -> None:
        cap = self.limits.daily_loss_cap_usd
        self.day_pnl = day_pnl
        self._loss = str(max(ZERO, -day_pnl))
        self._lost = -day_pnl >= cap or cap == 0

    def restore(self, positions: Mapping[str, Decimal], open_orders: Iterable[OrderUpdated] = ()) -> None:
        """Take reconciled positions by instrument and the orders that are still open, after a restart."""
        for instrument_id, exposure in self._exposures.items():
            exposure.hold(positions.get(instrument_id, ZERO))
        for update in open_orders:
            self.on_order(update)

    # --- the decision --------------------------------------------------------------------------------

    def decide(self, order: ProposedOrder, now_ns: int) -> ApprovedOrder | OrderDenied:
        """Approve, and count the order's worst case from now on, or deny with the number, the limit and the scope."""
        exposure = self._exposures.get(order.instrument_id)
        if exposure is None or exposure.venue != order.venue:
            text = f"{order.instrument_id} is not traded on {order.venue}"
            return self._deny(order, DenyReason.UNKNOWN_INSTRUMENT, text, now_ns)
        seen = self._seen
        if self._at_once is not None:
            approved = self._at_once(
                order,
                exposure,
                now_ns,
                seen,
                self._rate,
                self.limits,
                self._lost,
                self.modes,
                self._loss,
                self.epoch,
            )
            if approved is not None:
                if len(seen) > _REMEMBERED_IDS:
                    del seen[next(iter(seen))]
                self.approved += 1
                return approved
        checks = self._plainly_within(order, exposure, now_ns)
        if checks is None:
            bounds = exposure.bounds
            checks = RiskChecks(
                bounds.words, bounds.of_order, self._loss, 0, None, ZERO, ZERO, None, None, None, None, 0, 0
            )
            refusal = self._refuse(order, exposure, bounds, now_ns, checks)
            if refusal is not None:
                return self._deny(order, *refusal, now_ns)
        cl_ord_id = order.cl_ord_id
        working = Working(cl_ord_id, order.side, order.order_qty, order.price)
        if order.trigger is not None:
            working.order_qty = ZERO
        if order.replaces is not None and order.venue in self._in_place:
            exposure.amend(working, order.replaces)
        else:
            exposure.add(working)
        exposure.rate.add(now_ns)
        self._rate.add(now_ns)
        seen[cl_ord_id] = None
        if len(seen) > _REMEMBERED_IDS:
            del seen[next(iter(seen))]
        self.approved += 1
        return ApprovedOrder(order, self.epoch, checks, now_ns)

    def _deny(self, order: ProposedOrder, reason: DenyReason, text: str, now_ns: int) -> OrderDenied:
        self.denied[reason.value] = self.denied.get(reason.value, 0) + 1
        return OrderDenied(
            cl_ord_id=order.cl_ord_id,
            venue=order.venue,
            instrument_id=order.instrument_id,
            reason=reason,
            text=text,
            legs=order.legs,
            cause=order.cause,
            ts_init_ns=now_ns,
        )

    def _plainly_within(self, order: ProposedOrder, exposure: Exposure, now_ns: int) -> RiskChecks | None:
        """The record of an order that is within every limit at first sight.

        None is no refusal: `_refuse` decides then, check by check. What passes here would pass there with the same
        record, while something of what passes there may be doubted here. The same holds for `_at_once`, which
        says the most usual of these orders in C.
        """
        cl_ord_id, working = order.cl_ord_id, exposure.working
        bounds, top = exposure.bounds, exposure.top
        if (
            self._lost
            or order.trigger is not None
            or cl_ord_id in self._seen
            or cl_ord_id in working
            or (self.modes and self._level(order)[0])
            or top is None
            or top is not exposure.proved
        ):
            return None
        price, qty = order.price, order.order_qty
        buys, post_only = order.side is _BUY, order.time_in_force is _GTX
        age_ns = now_ns - top.ts_recv_ns
        if price is None or age_ns > (bounds.post_only_age_ns if post_only else bounds.age_ns):
            return None
        instrument, mid = exposure.instrument, exposure.price()
        corridor = exposure.corridor
        low = corridor.low if buys or post_only else corridor.sell_low
        high = corridor.buy_high if buys and not post_only else corridor.high
        if not exposure.is_sound(price, qty, low, high):
            return None
        if not _is_numbered(order):
            return None
        if working and self._check_own(order, price, exposure) is not None:
            return None
        notional = qty * price if bounds.plain else instrument.notional(qty, price)
        if notional > bounds.order_notional:
            return None
        opened = inflight = 1
        alone = True
        if working:
            opened += len(working)
            inflight += exposure.unanswered()
        for other in exposure.others:
            if other.working or other.position:
                alone = False
                opened += len(other.working)
                inflight += other.unanswered()
        limits = self.limits
        if (
            inflight > limits.max_inflight_orders
            or opened > limits.max_open_orders
            or now_ns < self._rate.full_until_ns
            or now_ns < exposure.rate.full_until_ns
        ):
            return None
        room: Decimal | None = None
        worst: Decimal | None = None
        worst_qty = ZERO
        if order.reduce_only:
            room = -(exposure.long if buys else exposure.short)
            if qty > room:
                return None
        else:
            if notional < instrument.min_notional:
                return None
            if order.replaces is not None and order.venue in self._in_place:
                qty = exposure.beyond(order.replaces, qty)
            worst_qty = (exposure.long if buys else exposure.short) + qty
            if worst_qty > ZERO:
                worst = worst_qty * mid if bounds.plain else instrument.notional(worst_qty, mid)
                if worst > (bounds.growth_long if buys else bounds.growth_short):
                    return None
        checks = RiskChecks(
            bounds.words,
            bounds.of_order,
            self._loss,
            age_ns,
            room,
            notional,
            mid,
            worst,
            None,
            None,
            None,
            inflight,
            opened,
        )
        if (
            worst is not None
            and not (alone and worst_qty >= (exposure.short if buys else exposure.long))
            and self._check_sums(order, exposure, worst, worst_qty, checks) is not None
        ):
            return None
        return checks

    def _refuse(
        self, order: ProposedOrder, exposure: Exposure, bounds: Bounds, now_ns: int, checks: RiskChecks
    ) -> Refusal | None:
        """The first check that fails. What each found is put into ``checks``, for the record."""
        refusal = check_numbers(order)
        if refusal is not None:
            return refusal
        if order.cl_ord_id in self._seen or order.cl_ord_id in exposure.working:
            return DenyReason.DUPLICATE, f"{order.cl_ord_id} was decided before"
        level, scope = self._level(order) if self.modes else _UNBRAKED
        if level or self._lost:
            conduct = _conduct(order, exposure)
            refusal = _check_mode(conduct, level, scope) or self._check_loss(conduct)
            if refusal is not None:
                return refusal
        if order.trigger is not None:
            # No book and no limit of now says anything of when it trades.
            return _check_guard(order, exposure)
        return (
            self._check_book(order, exposure, now_ns, checks)
            or self._check_order(order, exposure, bounds, level, checks)
            or self._check_price(order, exposure, bounds, checks)
            or self._check_exposure(order, exposure, bounds, checks)
            or self._check_counts(exposure, now_ns, checks)
        )

    def _level(self, order: ProposedOrder) -> tuple[Level, str]:
        modes = self.modes
        scopes = order_scopes(order.venue, order.instrument_id, (leg.strategy_id for leg in order.legs))
        worst = max(scopes, key=lambda scope: modes.get(scope, 0))
        return Level(modes.get(worst, 0)), worst

    def _check_loss(self, conduct: Conduct) -> Refusal | None:
        # An operator who flattens after the cap was hit makes the loss final, not larger.
        if self._lost and conduct is not Conduct.REDUCE_BY_OPERATOR:
            cap = self.limits.daily_loss_cap_usd
            return DenyReason.DAILY_LOSS, f"day's result {self.day_pnl} USD, loss cap {cap} USD (global)"
        return None

    def _check_book(self, order: ProposedOrder, exposure: Exposure, now_ns: int, checks: RiskChecks) -> Refusal | None:
        top, limits = exposure.top, self.limits
        if top is None or top.state is not _SYNCED or not top.bids or not top.asks:
            state = "never seen" if top is None else top.state.value
            return DenyReason.BOOK_NOT_SYNCED, f"book is {state}, must be synced and two-sided ({exposure.scope})"
        checks.book_age_ns = age_ns = now_ns - top.ts_recv_ns
        limit = limits.stale_book_ms
        if age_ns > limit * MS or limit == 0:
            return DenyReason.BOOK_STALE, f"book is {age_ns / MS:.0f} ms old, limit {limit} ms ({exposure.scope})"
        if order.time_in_force is _GTX:
            limit = limits.post_only_staleness_ms
            if age_ns > limit * MS or limit == 0:
                text = f"book is {age_ns / MS:.0f} ms old, post-only limit {limit} ms ({exposure.scope})"
                return DenyReason.POST_ONLY_STALE, text
        return None

    def _check_order(
        self, order: ProposedOrder, exposure: Exposure, bounds: Bounds, level: Level, checks: RiskChecks
    ) -> Refusal | None:
        instrument, price, qty = exposure.instrument, order.price, order.order_qty
        if price is None:
            return DenyReason.PRICE_BAND, f"a market order has no price to protect ({exposure.scope})"
        refusal = check_grid(instrument, qty, price)
        if refusal is not None:
            return refusal
        checks.notional = notional = instrument.notional(qty, price)
        limit = bounds.order_notional
        if order.reduce_only:
            checks.reducible = room = exposure.reducible(order.side)
            if qty > room:
                text = f"{order.side.value} {qty} would flip: position {exposure.position}, reducible {room}"
                return DenyReason.REDUCE_ONLY, f"{text} ({exposure.scope})"
        else:
            if notional < instrument.min_notional:
                return check_notional(instrument, notional)
            if level >= Level.SAFE:
                limit *= self.limits.safe_size_factor
                checks.order_limit = str(limit)
        if bounds.order_qty is not None and qty > bounds.order_qty:
            return DenyReason.MAX_ORDER_QTY, f"quantity {qty}, limit {bounds.order_qty} ({exposure.scope})"
        if notional > limit:
            return DenyReason.MAX_ORDER_NOTIONAL, f"order of {notional:.2f} USD, limit {limit} USD ({exposure.scope})"
        return None

    def _check_price(
        self, order: ProposedOrder, exposure: Exposure, bounds: Bounds, checks: RiskChecks
    ) -> Refusal | None:
        price = order.price
        assert price is not None
        checks.mid = mid = exposure.price()
        # Multiplied out: a division per limit would cost more than all of this, and round.
        away = (price - mid) * BPS
        if abs(away) > bounds.band * mid:
            text = f"price {price} is {away / mid:.1f} bps from mid {mid}, band {bounds.band} bps"
            return DenyReason.PRICE_BAND, f"{text} ({exposure.scope})"
        if order.time_in_force is not _GTX:
            given = away if order.side is _BUY else -away
            if given > bounds.slip * mid:
                text = f"price {price} gives away {given / mid:.1f} bps to mid {mid}, limit {bounds.slip} bps"
                return DenyReason.PRICE_BAND, f"{text} ({exposure.scope})"
        return self._check_own(order, price, exposure)

    def _check_own(self, order: ProposedOrder, price: Decimal, exposure: Exposure) -> Refusal | None:
        for other in exposure.working.values():
            if other.side is not order.side and other.price is not None and (other.open_qty or other.amends):
                crosses = price >= other.price if order.side is _BUY else price <= other.price
                if crosses:
                    text = f"{order.side.value} at {price} would meet our own {other.cl_ord_id} at {other.price}"
                    return DenyReason.SELF_TRADE, f"{text} ({exposure.scope})"
        return None

    def _check_exposure(
        self, order: ProposedOrder, exposure: Exposure, bounds: Bounds, checks: RiskChecks
    ) -> Refusal | None:
        if order.reduce_only:
            return None
        side, qty = order.side, order.order_qty
        if order.replaces is not None and order.venue in self._in_place:
            qty = exposure.beyond(order.replaces, qty)
        worst_qty = exposure.worst(side, qty)
        # An order that only shrinks the worse direction needs no room; one that grows it needs it all.
        if worst_qty == 0:
            return None
        worst = exposure.instrument.notional(worst_qty, checks.mid)
        limit = bounds.position
        if worst > limit:
            text = f"worst case {side.value} {worst:.2f} USD, limit {limit} USD ({exposure.scope})"
            return DenyReason.MAX_POSITION, text
        return self._check_sums(order, exposure, worst, worst_qty, checks)

    def _check_sums(
        self, order: ProposedOrder, exposure: Exposure, worst: Decimal, worst_qty: Decimal, checks: RiskChecks
    ) -> Refusal | None:
        """The limits over several instruments, ``worst`` being this one's worst case towards the order's side."""
        limits, side, bounds = self.limits, order.side, exposure.bounds
        against = exposure.worst(side.opposite)
        venue_sum = total = worst if worst_qty >= against else exposure.value(against)
        side_sum = worst
        held = 1
        for other in exposure.others:
            if not (other.position or other.working):
                continue
            gross = other.gross_notional()
            total += gross
            if other.venue == order.venue:
                venue_sum += gross
            side_sum += other.value(other.worst(side))
            held += 1
        side_limit = limits.max_long_notional_usd if side is _BUY else limits.max_short_notional_usd
        if venue_sum > bounds.venue:
            text = f"worst case {venue_sum:.2f} USD, limit {bounds.venue} USD (venue:{order.venue})"
            return DenyReason.MAX_VENUE_NOTIONAL, text
        if total > limits.max_global_notional_usd:
            text = f"worst case {total:.2f} USD, limit {limits.max_global_notional_usd} USD (global)"
            return DenyReason.MAX_GLOBAL_NOTIONAL, text
        if side_sum > side_limit:
            word = "long" if side is _BUY else "short"
            return (
                DenyReason.MAX_GLOBAL_NOTIONAL,
                f"worst case {word} {side_sum:.2f} USD, limit {side_limit} USD (global {word})",
            )
        if held > limits.max_concurrent_positions:
            text = f"{held} instruments with exposure, limit {limits.max_concurrent_positions} (global)"
            return DenyReason.MAX_POSITION, text
        checks.worst = worst
        if total is not worst or venue_sum is not worst or side_sum is not worst:
            checks.venue, checks.total, checks.side = venue_sum, total, side_sum
        return None

    def _check_counts(self, exposure: Exposure, now_ns: int, checks: RiskChecks) -> Refusal | None:
        limits = self.limits
        inflight = opened = 0
        for other in self._exposures.values():
            if other.working:
                opened += len(other.working)
                inflight += other.unanswered()
        if inflight + 1 > limits.max_inflight_orders:
            text = f"{inflight} orders unanswered, limit {limits.max_inflight_orders} (global)"
            return DenyReason.MAX_INFLIGHT, text
        if opened + 1 > limits.max_open_orders:
            return DenyReason.MAX_INFLIGHT, f"{opened} orders open, limit {limits.max_open_orders} (global)"
        if not self._rate.allows(now_ns):
            return (
                DenyReason.ORDER_RATE,
                f"{self._rate.used(now_ns)} orders in 1 s, limit {limits.orders_per_sec} (global)",
            )
        rate = exposure.rate
        if not rate.allows(now_ns):
            return DenyReason.ORDER_RATE, f"{rate.used(now_ns)} orders in 60 s, limit {rate.limit} ({exposure.scope})"
        checks.inflight, checks.open_orders = inflight + 1, opened + 1
        return None

    # --- trips and views -------------------------------------------------------------------------------

    def trips(self, now_ns: int) -> list[BrakeRequest]:
        """Brakes that are due and were not asked for since their condition last began."""
        limits = self.limits
        drawdown = self._best_pnl - self.day_pnl
        pct = drawdown / limits.capital_usd * 100 if limits.capital_usd else ZERO
        safe, hold = limits.drawdown_safe_pct, limits.drawdown_hold_pct
        lost = -self.day_pnl >= limits.daily_loss_cap_usd > 0
        breaches = [e for e in self._exposures.values() if e.position and self._is_breached(e)]
        if not (lost or pct > hold or pct > safe or breaches):
            self._tripped.clear()
            return []
        loss = f"day's result {self.day_pnl} USD, loss cap {limits.daily_loss_cap_usd} USD"
        fall = f"drawdown {drawdown} USD = {pct:.2f} % of {limits.capital_usd} USD, limit"
        due = [
            ("DAILY_LOSS", "global", Level.HOLD, Release.TWO_MAN, lost, loss),
            ("DRAWDOWN_HOLD", "global", Level.HOLD, Release.TWO_MAN, pct > hold, f"{fall} {hold} %"),
            ("DRAWDOWN_SAFE", "global", Level.SAFE, Release.OPERATOR, pct > safe, f"{fall} {safe} %"),
        ]
        for exposure in self._exposures.values():
            held = exposure.value(exposure.position) if exposure.position else ZERO
            text = f"position {exposure.position} = {held:.2f} USD, limit {self._position_limit(exposure)} USD"
            due.append(("POSITION_BREACH", exposure.scope, Level.PAUSE, Release.OPERATOR, exposure in breaches, text))
        out: list[BrakeRequest] = []
        for code, scope, level, release, on, cause in due:
            key = (code, scope)
            if not on:
                self._tripped.discard(key)
            elif key not in self._tripped:
                self._tripped.add(key)
                out.append(
                    BrakeRequest(code=code, scope=scope, level=level, cause=cause, release=release, ts_init_ns=now_ns)
                )
        return out

    def _position_limit(self, exposure: Exposure) -> Decimal:
        limits = self.limits
        own = own_limits(limits, exposure.instrument.instrument_id).max_position_notional_usd
        return pick(own, limits.max_position_notional_usd)

    def _is_breached(self, exposure: Exposure) -> bool:
        # A price that moved is no breach; 10 % beyond the limit did not come from our own orders.
        return exposure.value(exposure.position) * 10 > self._position_limit(exposure) * 11

    def view(self) -> dict[str, object]:
        """Use of every limit, modes and counts, JSON-able."""
        limits = self.limits
        gross = {i: e.gross_notional() for i, e in self._exposures.items()}
        open_qtys = {i: e.open_qtys() for i, e in self._exposures.items()}
        return {
            "epoch": self.epoch,
            "modes": dict(self.modes),
            "approved": self.approved,
            "denied": dict(self.denied),
            "day_pnl_usd": str(self.day_pnl),
            "daily_loss_cap_usd": str(limits.daily_loss_cap_usd),
            "global_notional_usd": f"{sum(gross.values(), ZERO):.2f}",
            "max_global_notional_usd": str(limits.max_global_notional_usd),
            "utilisation": {i: round(float(u), 4) for i, u in self.utilisation().items()},
            "instruments": {
                i: {
                    "position": str(e.position),
                    "open_buy_qty": str(open_qtys[i][0]),
                    "open_sell_qty": str(open_qtys[i][1]),
                    "working": len(e.working),
                    "unanswered": e.unanswered(),
                    "worst_case_usd": f"{gross[i]:.2f}",
                }
                for i, e in self._exposures.items()
            },
        }

    def utilisation(self) -> dict[str, Decimal]:
        """Share of each notional limit in use, 1 = full; a limit of 0 is full from the start."""
        limits = self.limits
        out: dict[str, Decimal] = {}
        venues: dict[str, Decimal] = {}
        for instrument_id, e in self._exposures.items():
            gross = e.gross_notional()
            venues[e.instrument.venue] = venues.get(e.instrument.venue, ZERO) + gross
            own = pick(own_limits(limits, instrument_id).max_position_notional_usd, limits.max_position_notional_usd)
            out[e.scope] = _share(gross, own)
        for venue, used in venues.items():
            out[f"venue:{venue}"] = _share(used, limits.by_venue_notional_usd.get(venue, limits.max_venue_notional_usd))
        out["global"] = _share(sum(venues.values(), ZERO), limits.max_global_notional_usd)
        out["daily_loss"] = _share(max(ZERO, -self.day_pnl), limits.daily_loss_cap_usd)
        return out


def _share(used: Decimal, limit: Decimal) -> Decimal:
    return used / limit if limit else Decimal(1)


def _is_numbered(order: ProposedOrder) -> bool:
    """Whether legs and reference are numbers; the rest is looked at by whoever asks."""
    legs = order.legs
    plain = len(legs) == 1 and legs[0].qty is order.order_qty and order.ref_price.is_finite()
    return plain or check_numbers(order) is None


def _check_guard(order: ProposedOrder, exposure: Exposure) -> Refusal | None:
    """Of orders that wait only those may go that are bound to closing: whenever they trade, they open nothing."""
    trigger = order.trigger
    if trigger is None or not (trigger.close_on_trigger and order.reduce_only):
        return DenyReason.TRIGGER, f"a venue holds for us only what is bound to closing ({exposure.scope})"
    held = -exposure.position if order.side is _BUY else exposure.position
    if order.order_qty > held:
        text = f"{order.side.value} {order.order_qty} closes more than the position of {exposure.position}"
        return DenyReason.REDUCE_ONLY, f"{text} ({exposure.scope})"
    return check_grid(exposure.instrument, order.order_qty, trigger.trigger_price)


def _conduct(order: ProposedOrder, exposure: Exposure) -> Conduct:
    # Spot has no reduce-only flag at the venue, so there the position itself is the proof.
    reduces = order.reduce_only or (
        exposure.instrument.kind is InstrumentKind.SPOT and order.order_qty <= exposure.reducible(order.side)
    )
    if reduces:
        by_operator = bool(order.legs) and all(leg.strategy_id == OPERATOR for leg in order.legs)
        return Conduct.REDUCE_BY_OPERATOR if by_operator else Conduct.REDUCE
    return Conduct.MAKE if order.time_in_force is _GTX else Conduct.TAKE


def _check_mode(conduct: Conduct, level: Level, scope: str) -> Refusal | None:
    allowed = ALLOWED[level]
    if conduct in allowed:
        return None
    words = ", ".join(sorted(c.value for c in allowed))
    return DenyReason.BRAKE, f"level {level.value} ({level.name}) on {scope}: {conduct.value} is not among {words}"
