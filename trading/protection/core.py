"""Protective exits: no entry without a durable plan of its exit, and each exit once.

Owns, for strategies that asked for it, every position's stop loss and take profit: planned before the entry may go out,
priced from the real average of its executions, watched on live prices, carried out until nothing is left. Does not own
orders: an exit is a target of nothing in the strategy's own name, which the arbiter nets and sizes from what is held
and the governor checks like any other. A target is a level and not an order, so saying it again sells nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from trading.instruments import Instrument
from trading.ledger.accounts import ZERO, apportion, eaten
from trading.market.events import BookTop, MarkPrice, Trade
from trading.orders.journal_rows import (
    CrossBody,
    JournalKind,
    JournalRow,
    ProtectBody,
    ProtectEvent,
    ReportBody,
    RowDraft,
    decode_body,
    encode_body,
)
from trading.orders.messages import (
    Intent,
    InternalCross,
    OrderFilled,
    QuoteIntent,
    Side,
    TargetIntent,
    Urgency,
)
from trading.orders.order import filled
from trading.protection.effects import Effect, Say, Stuck, Told, WriteRows
from trading.protection.leg import BLOCKING, ExitEvent, ExitStatus, ProtectedLeg
from trading.protection.levels import WORDS, Distances, ExitReason, Levels, distances, due, levels
from trading.protection.policy import ExitPolicy
from trading.protection.prices import MS, WatchedPrices
from trading.protection.remainder import sellable

COMMIT_IDS_FROM = 1 << 62
"""Batches of ours and of the order core lie in one journal; their ids must not meet."""
EXIT_TTL_NS = 5_000 * MS
RESAY_NS = 1_000 * MS
PLAN_AGE_NS = 60_000 * MS

_Key = tuple[str, str]
_Moved = tuple[ProtectedLeg, ExitStatus, Levels | None]
"""A leg, and its status and levels before it moved."""


class Protection:
    """Pure: every method takes a fact and the time (UTC ns) and returns what is to be done, in order.

    The shell's duties: 1. `restore` from the journal, then `begin`, before any intent; 2. write the rows of each
    `WriteRows` as one batch and call `on_committed` when they are durable; 3. bring it every intent, fill and internal
    cross of ``policies``' strategies once, and the prices of ``instruments``; 4. call `on_timer` by `next_due_ns`.
    """

    def __init__(self, instruments: Mapping[str, Instrument], policies: Mapping[str, ExitPolicy], epoch: int) -> None:
        self._instruments = instruments
        self._policies = policies
        self._epoch = epoch
        self._legs: dict[_Key, ProtectedLeg] = {}
        self._by_instrument: dict[str, list[ProtectedLeg]] = {}
        self._prices = {i: WatchedPrices(x) for i, x in instruments.items()}
        self._commit_id = COMMIT_IDS_FROM
        self._waiting: dict[int, tuple[ProtectedLeg, ExitEvent]] = {}
        self.exits = 0

    def legs(self) -> list[ProtectedLeg]:
        """Every leg that was ever planned or held, for displays and tests."""
        return list(self._legs.values())

    # Restart

    def restore(self, rows: Iterable[JournalRow]) -> None:
        """Fold the journal: what is held, what was planned, which exits were decided and not yet done."""
        for row in rows:
            body = decode_body(row.body)
            match body:
                case ReportBody() if body.executed:
                    self._hold(filled(body.report, body.legs, row.cl_ord_id), row.ts_ns)
                case CrossBody():
                    self._cross(body.cross, row.ts_ns)
                case ProtectBody():
                    self._replay(body, row.ts_ns)
                case _:
                    pass

    def begin(self, now_ns: int) -> list[Effect]:
        """What is held and was never planned is planned now; exits that were decided go on."""
        out: list[Effect] = []
        for leg in self._legs.values():
            if leg.status is ExitStatus.UNPLANNED and self._sells(leg):
                out += self._plan(leg, now_ns)
            elif leg.status is ExitStatus.EXITING:
                out += self._say(leg, now_ns)
        return out

    def _replay(self, body: ProtectBody, ts_ns: int) -> None:
        leg = self._leg(body.strategy_id, body.instrument_id)
        if leg is None:
            return
        self._cool(leg, ts_ns)
        match body.event:
            case ProtectEvent.PLAN:
                leg.plan, leg.levels = _distances(body), None
                if leg.status in {ExitStatus.UNPLANNED, ExitStatus.READY}:
                    leg.apply(ExitEvent.PLANNED, ts_ns)
                    leg.apply(ExitEvent.PLAN_DURABLE, ts_ns)
                self._settle(leg, ts_ns)
            case ProtectEvent.LEVELS:
                pass  # The same follow from the plan and the executions.
            case ProtectEvent.TRIGGER:
                leg.serial = body.serial
                if leg.status is ExitStatus.ARMED:
                    leg.reason, leg.why = ExitReason(body.reason), body.text
                    leg.apply(ExitEvent.REACHED, ts_ns)
                    leg.apply(ExitEvent.TRIGGER_DURABLE, ts_ns)

    # What strategies want

    def on_intent(self, intent: Intent, now_ns: int) -> list[Effect]:
        """Pass it on, hold it until its plan is durable, or keep it back while its position is being closed."""
        leg = self._leg(intent.strategy_id, intent.instrument_id)
        if leg is None:
            return [Say(intent)]
        self._cool(leg, now_ns)
        if type(intent) is QuoteIntent:
            leg.quoted = True
        if leg.status in BLOCKING or leg.status is ExitStatus.PLANNING:
            leg.blocked += leg.status in BLOCKING
            leg.waiting[type(intent).__name__] = intent
            return []
        if leg.status is ExitStatus.UNPLANNED or self._outdated(leg, now_ns):
            leg.waiting[type(intent).__name__] = intent
            return self._plan(leg, now_ns)
        return [Say(intent)]

    def _outdated(self, leg: ProtectedLeg, now_ns: int) -> bool:
        """Whether the next entry deserves newer distances: only they move with the market, and only while flat."""
        if leg.status is not ExitStatus.READY or leg.plan is None:
            return False
        far = self._distances(leg)
        if (far.stop_loss_pct, far.take_profit_pct) != (leg.plan.stop_loss_pct, leg.plan.take_profit_pct):
            return True
        return far != leg.plan and now_ns - leg.since_ns > PLAN_AGE_NS

    def _distances(self, leg: ProtectedLeg) -> Distances:
        policy = self._policies[leg.strategy_id]
        moves = policy.stop_loss_atr or policy.take_profit_atr
        return distances(policy, self._prices[leg.instrument_id].atr if moves else None)

    def _plan(self, leg: ProtectedLeg, now_ns: int) -> list[Effect]:
        leg.plan = far = self._distances(leg)
        leg.apply(ExitEvent.PLANNED, now_ns)
        body = ProtectBody(
            event=ProtectEvent.PLAN,
            strategy_id=leg.strategy_id,
            instrument_id=leg.instrument_id,
            stop_loss_pct=far.stop_loss_pct,
            take_profit_pct=far.take_profit_pct,
            stop_loss_atr=far.stop_loss_atr,
            take_profit_atr=far.take_profit_atr,
        )
        return [self._write(leg, body, now_ns, ExitEvent.PLAN_DURABLE)]

    # What became of it

    def on_fill(self, fill: OrderFilled, now_ns: int) -> list[Effect]:
        """One execution, once."""
        return self._after(self._hold(fill, now_ns), now_ns)

    def on_cross(self, cross: InternalCross, now_ns: int) -> list[Effect]:
        """One internal cross, once."""
        return self._after(self._cross(cross, now_ns), now_ns)

    def _hold(self, fill: OrderFilled, ts_ns: int) -> list[_Moved]:
        instrument = self._instruments.get(fill.instrument_id)
        if instrument is None:
            return []
        fee = eaten(fill, instrument)
        fees = apportion(fee, [leg.qty for leg in fill.legs]) if fee else [ZERO] * len(fill.legs)
        moved = []
        for share, eaten_qty in zip(fill.legs, fees, strict=True):
            leg = self._leg(share.strategy_id, fill.instrument_id)
            if leg is None:
                continue
            moved.append(self._move(leg, fill.side.sign * share.qty, fill.last_px, eaten_qty, ts_ns=ts_ns))
        return moved

    def _cross(self, cross: InternalCross, ts_ns: int) -> list[_Moved]:
        moved = []
        for strategy_id, sign in ((cross.buyer_id, 1), (cross.seller_id, -1)):
            leg = self._leg(strategy_id, cross.instrument_id)
            if leg is not None:
                moved.append(self._move(leg, sign * cross.qty, cross.price, ZERO, ts_ns=ts_ns))
        return moved

    def _move(self, leg: ProtectedLeg, qty: Decimal, px: Decimal, eaten_qty: Decimal, *, ts_ns: int) -> _Moved:
        instrument, holding = self._instruments[leg.instrument_id], leg.holding
        self._cool(leg, ts_ns)
        was = (leg, leg.status, leg.levels)
        before = holding.qty
        holding.trade(qty, px, instrument)
        if eaten_qty:
            holding.consume(eaten_qty, px, instrument)
        if abs(holding.qty) > abs(before) or holding.qty * before < 0:
            leg.levels = None  # What was added moved the average; what was taken away did not.
        self._settle(leg, ts_ns, px)
        return was

    def _settle(self, leg: ProtectedLeg, ts_ns: int, px: Decimal | None = None) -> None:
        """Bring status and levels in line with what is held."""
        instrument = self._instruments[leg.instrument_id]
        held = self._sells(leg, px)
        leg.apply(ExitEvent.ENTERED if held else ExitEvent.LEFT, ts_ns)
        if not held:
            leg.levels = None
        elif leg.levels is None and leg.plan is not None:
            entry_px = leg.holding.entry_px(instrument)
            if entry_px is not None:
                leg.levels = levels(instrument, _side(leg), entry_px, leg.plan)

    def _sells(self, leg: ProtectedLeg, px: Decimal | None = None) -> bool:
        """Whether an order could close any of it; dust stays until something is added."""
        instrument = self._instruments[leg.instrument_id]
        price = px or leg.holding.entry_px(instrument) or ZERO
        return bool(leg.holding.qty and sellable(instrument, leg.holding.qty, price))

    def _after(self, moved: list[_Moved], now_ns: int) -> list[Effect]:
        out: list[Effect] = []
        for leg, status, at in moved:
            if leg.status is ExitStatus.UNPLANNED and self._sells(leg):
                out += self._plan(leg, now_ns)
            elif leg.status is ExitStatus.ARMED and leg.levels != at:
                out.append(self._note_levels(leg, now_ns))
            elif leg.status is not status and leg.status is ExitStatus.COOLING:
                out += self._done(leg, now_ns)
            elif leg.status is not status and leg.status is ExitStatus.EXITING:
                out += self._say(leg, now_ns)
        return out

    def _note_levels(self, leg: ProtectedLeg, now_ns: int) -> Effect:
        at = leg.levels
        assert at is not None
        body = ProtectBody(
            event=ProtectEvent.LEVELS,
            strategy_id=leg.strategy_id,
            instrument_id=leg.instrument_id,
            position=leg.holding.qty,
            entry_px=at.entry_px,
            stop_loss=at.stop_loss,
            take_profit=at.take_profit,
        )
        return self._write(leg, body, now_ns, None)

    def on_committed(self, commit_id: int, now_ns: int) -> list[Effect]:
        """A batch of ours is durable: what waited for it goes on."""
        waited = self._waiting.pop(commit_id, None)
        if waited is None:
            return []
        leg, event = waited
        leg.apply(event, now_ns)
        self._settle(leg, now_ns)
        if event is ExitEvent.PLAN_DURABLE:
            out = [self._note_levels(leg, now_ns)] if leg.status is ExitStatus.ARMED else []
            return [*out, *self._let_go(leg, now_ns)]
        if leg.status is ExitStatus.COOLING:
            return self._done(leg, now_ns)
        text = f"{leg.name}: {leg.why}"
        told = Told(code="PROTECTIVE_EXIT", level="warning", instrument_id=leg.instrument_id, text=text, ts_ns=now_ns)
        return [*self._say(leg, now_ns), told]

    # Prices

    def on_top(self, top: BookTop, now_ns: int) -> list[Effect]:
        """A book."""
        prices = self._prices.get(top.instrument_id)
        if prices is None:
            return []
        prices.on_top(top)
        return self._watch(top.instrument_id, now_ns)

    def on_mark(self, mark: MarkPrice, now_ns: int) -> list[Effect]:
        """Mark and index."""
        prices = self._prices.get(mark.instrument_id)
        if prices is None:
            return []
        prices.on_mark(mark)
        return self._watch(mark.instrument_id, now_ns)

    def on_trade(self, trade: Trade, now_ns: int) -> list[Effect]:
        """A public execution."""
        prices = self._prices.get(trade.instrument_id)
        if prices is None:
            return []
        prices.on_trade(trade)
        return self._watch(trade.instrument_id, now_ns)

    def _watch(self, instrument_id: str, now_ns: int) -> list[Effect]:
        out: list[Effect] = []
        for leg in self._by_instrument.get(instrument_id, ()):
            if leg.status is not ExitStatus.ARMED or leg.levels is None:
                continue
            policy, side = self._policies[leg.strategy_id], _side(leg)
            seen = self._prices[instrument_id].seen(policy.watched, side, now_ns, policy.stale_ms * MS)
            reason = None if seen is None else due(leg.levels, side, seen[0])
            if seen is not None and reason is not None:
                out.append(self._trigger(leg, reason, f"{seen[1].value} {seen[0]}", now_ns))
        return out

    def on_venue_exit(
        self, strategy_id: str, instrument_id: str, reason: ExitReason, cl_ord_id: str, now_ns: int
    ) -> list[Effect]:
        """An exit that the venue holds for a leg was triggered there: its level was reached, nothing reopens it."""
        leg = self._legs.get((strategy_id, instrument_id))
        if leg is None or leg.status is not ExitStatus.ARMED or leg.levels is None:
            return []
        return [self._trigger(leg, reason, f"the venue's price (its {WORDS[reason]} {cl_ord_id})", now_ns)]

    def _trigger(self, leg: ProtectedLeg, reason: ExitReason, seen: str, now_ns: int) -> Effect:
        at = leg.levels
        assert at is not None
        level = at.stop_loss if reason is ExitReason.STOP_LOSS else at.take_profit
        leg.serial += 1
        leg.reason = reason
        leg.why = f"{reason.value}: {seen} reached {level}, {leg.holding.qty} entered at {at.entry_px}"
        leg.apply(ExitEvent.REACHED, now_ns)
        self.exits += 1
        body = ProtectBody(
            event=ProtectEvent.TRIGGER,
            strategy_id=leg.strategy_id,
            instrument_id=leg.instrument_id,
            position=leg.holding.qty,
            entry_px=at.entry_px,
            stop_loss=at.stop_loss,
            take_profit=at.take_profit,
            reason=reason.value,
            text=leg.why,
            serial=leg.serial,
        )
        return self._write(leg, body, now_ns, ExitEvent.TRIGGER_DURABLE)

    # Time

    def on_timer(self, now_ns: int) -> list[Effect]:
        """Exits are said again until they are done, and told when they are not; pauses end."""
        out: list[Effect] = []
        for leg in self._legs.values():
            if leg.status is ExitStatus.EXITING:
                if now_ns - leg.said_ns >= RESAY_NS:
                    out += self._say(leg, now_ns)
                if not leg.stuck_told and now_ns - leg.since_ns >= self._policies[leg.strategy_id].stuck_ms * MS:
                    leg.stuck_told = True
                    text = f"{leg.name}: {leg.holding.qty} still held; {leg.why}"
                    out += self._stuck(leg, text, now_ns)
            elif leg.status is ExitStatus.COOLING and self._cool(leg, now_ns):
                out += self._let_go(leg, now_ns)
        return out

    def next_due_ns(self) -> int | None:
        """When `on_timer` next has something to do; None while nothing is being closed."""
        dues = []
        for leg in self._legs.values():
            if leg.status is ExitStatus.EXITING:
                dues.append(leg.said_ns + RESAY_NS)
            elif leg.status is ExitStatus.COOLING:
                dues.append(leg.since_ns + self._policies[leg.strategy_id].cooldown_ms * MS)
        return min(dues, default=None)

    def view(self) -> list[dict[str, object]]:
        """One row a leg that holds something or is closing, for operators."""
        rows: list[dict[str, object]] = []
        for leg in self._legs.values():
            at = leg.levels
            if leg.holding.qty or leg.status in BLOCKING:
                rows.append(
                    {
                        "strategy_id": leg.strategy_id,
                        "instrument_id": leg.instrument_id,
                        "status": leg.status.value,
                        "position": str(leg.holding.qty),
                        "entry_px": None if at is None else str(at.entry_px),
                        "stop_loss": None if at is None or at.stop_loss is None else str(at.stop_loss),
                        "take_profit": None if at is None or at.take_profit is None else str(at.take_profit),
                        "why": leg.why if leg.status in BLOCKING else "",
                    }
                )
        return rows

    # What is said

    def _say(self, leg: ProtectedLeg, now_ns: int) -> list[Effect]:
        """Nothing is wanted here any more: quotes first, they would open what the exit closes."""
        leg.said_ns = now_ns
        intent_id = f"{leg.strategy_id}:exit:{leg.serial}"
        said: list[Effect] = []
        if leg.quoted:
            pulled = QuoteIntent(
                intent_id=intent_id,
                strategy_id=leg.strategy_id,
                instrument_id=leg.instrument_id,
                bid_ticks=0,
                bid_lots=0,
                ask_ticks=0,
                ask_lots=0,
                confidence=1.0,
                ttl_ns=EXIT_TTL_NS,
                reasons=(leg.why,),
                cause=intent_id,
                ts_init_ns=now_ns,
            )
            said.append(Say(pulled))
        target = TargetIntent(
            intent_id=intent_id,
            strategy_id=leg.strategy_id,
            instrument_id=leg.instrument_id,
            target_lots=0,
            urgency=Urgency.AGGRESSIVE,
            limit_ticks=None,
            confidence=1.0,
            ttl_ns=EXIT_TTL_NS,
            reasons=(leg.why,),
            cause=intent_id,
            ts_init_ns=now_ns,
        )
        return [*said, Say(target)]

    def _done(self, leg: ProtectedLeg, now_ns: int) -> list[Effect]:
        rest = f"; {leg.holding.qty.normalize():f} is left, too little to sell" if leg.holding.qty else ""
        text = f"{leg.name}: closed{rest}; {leg.why}"
        told = Told(code="PROTECTIVE_EXIT_DONE", level="info", instrument_id=leg.instrument_id, text=text, ts_ns=now_ns)
        if not leg.stuck_told:
            return [told]
        leg.stuck_told = False
        if any(other.stuck_told for other in self._by_instrument[leg.instrument_id]):
            return [told]
        return [told, Stuck(instrument_id=leg.instrument_id, on=False, text="closed")]

    def _stuck(self, leg: ProtectedLeg, text: str, now_ns: int) -> list[Effect]:
        return [
            Told(code="PROTECTIVE_EXIT_STUCK", level="error", instrument_id=leg.instrument_id, text=text, ts_ns=now_ns),
            Stuck(instrument_id=leg.instrument_id, on=True, text=text),
        ]

    def _let_go(self, leg: ProtectedLeg, now_ns: int) -> list[Effect]:
        """What the strategy wanted last goes on, unless it is too old."""
        waiting, leg.waiting = leg.waiting, {}
        return [Say(intent) for intent in waiting.values() if now_ns < intent.ts_init_ns + intent.ttl_ns]

    def _cool(self, leg: ProtectedLeg, now_ns: int) -> bool:
        """End the pause of a leg whose time is over."""
        if leg.status is not ExitStatus.COOLING:
            return False
        if now_ns < leg.since_ns + self._policies[leg.strategy_id].cooldown_ms * MS:
            return False
        leg.apply(ExitEvent.COOLED, now_ns)
        return True

    # Legs and rows

    def _leg(self, strategy_id: str, instrument_id: str) -> ProtectedLeg | None:
        key = (strategy_id, instrument_id)
        leg = self._legs.get(key)
        if leg is None and strategy_id in self._policies and instrument_id in self._instruments:
            leg = self._legs[key] = ProtectedLeg(strategy_id=strategy_id, instrument_id=instrument_id)
            self._by_instrument.setdefault(instrument_id, []).append(leg)
        return leg

    def _write(self, leg: ProtectedLeg, body: ProtectBody, now_ns: int, then: ExitEvent | None) -> WriteRows:
        self._commit_id += 1
        if then is not None:
            self._waiting[self._commit_id] = (leg, then)
        venue = self._instruments[leg.instrument_id].venue
        row = RowDraft(now_ns, JournalKind.PROTECT, venue, "", None, "", self._epoch, encode_body(body))
        return WriteRows(self._commit_id, (row,))


def _side(leg: ProtectedLeg) -> Side:
    return Side.BUY if leg.holding.qty > 0 else Side.SELL


def _distances(body: ProtectBody) -> Distances:
    return Distances(body.stop_loss_pct, body.take_profit_pct, body.stop_loss_atr, body.take_profit_atr)
