"""A world of ambiguous submits: the order core, a simulated venue, a bad wire, crashes, a strategy that tries again.

Each intent is worth one order's quantity. Whenever the core says that an order of it is over and something is left, the
intent is tried again under a new ClOrdID, as strategies do: a core that gives up too early would execute it twice.
Owns one world and its audit; running a million is `campaign`'s.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from supervision.simulation.wire import MS, BadWire, Fate, WireRules
from trading.instruments import Instrument
from trading.market.events import Aggressor, Trade
from trading.orders import fsm
from trading.orders.core import Effect, Emit, Journal, OrderCore, OrderCoreConfig, Reconciled, SendToVenue
from trading.orders.journal_rows import JournalKind, JournalRow, ReportBody, RowDraft, decode_body, numbered
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ApprovedOrder,
    ExecutionReport,
    Leg,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderDenied,
    OrderFilled,
    OrderStatusReport,
    OrderStatusRequest,
    OrderUpdated,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
)
from trading.sim.config import SimConfig
from trading.sim.venue import SimVenue

START_NS = 1_790_000_000_000_000_000
ATTEMPTS_MAX = 4
_ZERO = Decimal(0)
_BID, _ASK = 500_000, 500_001
_EVERY_NS = 10 * MS
_DEPTH_LOTS = 12
_TIDY_NS = 1_000 * MS
_TIMER_NS = 50 * MS
_REST_NS = 400_000 * MS
"""After the faults stop, everything must come to rest within this much of the world's time."""


class WorldSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One world: its seed, how many intents, how bad the wire is, how often the process dies."""

    seed: int
    intents: int
    wire: WireRules = WireRules()
    core: OrderCoreConfig = OrderCoreConfig()
    crash_every_s: float = 10.0
    numbered: bool = False


class WorldResult(msgspec.Struct, kw_only=True):
    """What the audit found; everything in the first line has to be 0."""

    seed: int
    duplicates: int = 0
    lost: int = 0
    invented: int = 0
    unknown_unresolved: int = 0
    position_residual: str = "0"
    not_at_rest: int = 0
    submits: int = 0
    ambiguous: int = 0
    executions: int = 0
    crashes: int = 0
    resubmits: int = 0
    unknowns: int = 0
    repeated_away: int = 0
    story: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        wrong = self.duplicates + self.lost + self.invented + self.unknown_unresolved + self.not_at_rest
        return wrong == 0 and Decimal(self.position_residual) == 0


class World:
    """One seed's world. ``core_of`` makes the core, for those who want to see it fail."""

    def __init__(self, spec: WorldSpec, instrument: Instrument, core_of: Callable[..., OrderCore] = OrderCore) -> None:
        self.spec = spec
        self._instrument = instrument
        self._core_of = core_of
        self._random = Random(spec.seed)
        self._wire = BadWire(self._random, spec.wire)
        self._now = START_NS
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._life = 1
        self._durable_ns = 0
        self._tidy_ns = 0
        self._rows: list[JournalRow] = []
        self._qty = instrument.lot_size * 2
        self._remaining: dict[str, Decimal] = {}
        self._attempts: Counter[str] = Counter()
        self._working: dict[str, str] = {}
        self._trading = False
        self._visible_ns: dict[str, int] = {}
        self.result = WorldResult(seed=spec.seed)
        balances = {"USDT": Decimal(10) ** 9}
        sim = SimConfig(
            initial_balances=balances,
            order_latency_ns=0,
            report_latency_ns=0,
            latency_jitter_ns=0,
            max_open_orders=10**6,
            max_finished_orders=10**6,
            max_executions=10**6,
            write_ahead=False,
        )
        self._venue = SimVenue(instrument.venue, [instrument], sim, spec.seed)
        self._core = self._new_core()

    # --- Life ----------------------------------------------------------------------------------------

    def run(self) -> WorldResult:
        """From the first intent to rest, and the audit."""
        self._quote()
        self._do(self._core.begin_reconcile(self._instrument.venue, self._now))
        for n in range(self.spec.intents):
            self._at(n * _EVERY_NS, self._intend, f"i{n}")
        span_ns = self.spec.intents * _EVERY_NS
        if self.spec.crash_every_s:
            at_ns = 0.0
            while True:
                at_ns += self._random.expovariate(1 / (self.spec.crash_every_s * 1e9))
                if at_ns >= span_ns:
                    break
                self._at(int(at_ns), self._crash)
        self._at(_TIMER_NS, self._timer)
        self._at(_TIMER_NS, self._market)
        self._at(span_ns, self._calm)
        end_ns = START_NS + span_ns + _REST_NS
        while self._heap:
            at_ns, _, act, args = heapq.heappop(self._heap)
            if at_ns > end_ns or (self._wire.quiet and self._at_rest()):
                break
            self._now = max(self._now, at_ns)
            act(*args)
        self._audit()
        return self.result

    def _at(self, after_ns: int, act: Callable[..., None], *args: Any) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self._now + after_ns, self._count, act, args))

    def _calm(self) -> None:
        self._wire.quiet = True
        self._do(self._core.cancel_all(self._now, reason="the faults have stopped"))
        self._submit_idle()

    def _at_rest(self) -> bool:
        return self._trading and not (self._remaining or self._core.open_orders() or self._core.waiting_commits())

    def _new_core(self) -> OrderCore:
        instruments = {self._instrument.instrument_id: self._instrument}
        return self._core_of(instruments, self._life, self.spec.core)

    def _crash(self) -> None:
        """The process dies: what is not durable and what is on its way to it is lost."""
        self.result.crashes += 1
        self.result.repeated_away += self._core.duplicates_suppressed
        self._life += 1
        self._trading = False
        self._core = self._new_core()
        self._core.restore(self._rows)
        self._working = {_intent(o.cl_ord_id): o.cl_ord_id for o in self._core.open_orders()}
        self._recount()
        self._do(self._core.begin_reconcile(self._instrument.venue, self._now))

    def _recount(self) -> None:
        """What is left of each intent, as the journal tells it."""
        filled: Counter[str] = Counter()
        for row in self._rows:
            if row.kind in {JournalKind.FILL, JournalKind.PARTIAL}:
                body = decode_body(row.body)
                assert isinstance(body, ReportBody)
                filled[_intent(row.cl_ord_id)] += body.report.last_qty  # type: ignore[assignment]
        for intent in list(self._remaining):
            left = self._qty - filled[intent]
            if left > 0:
                self._remaining[intent] = left
            else:
                del self._remaining[intent]

    # --- The desk ------------------------------------------------------------------------------------

    def _intend(self, intent: str) -> None:
        self._remaining[intent] = self._qty
        self._submit(intent)

    def _submit(self, intent: str) -> None:
        """One order for what is left, if none is working."""
        left = self._remaining.get(intent)
        if left is None or intent in self._working or not self._trading:
            return
        if self._attempts[intent] >= ATTEMPTS_MAX and not self._wire.quiet:
            return
        self._attempts[intent] += 1
        n = self._attempts[intent]
        self.result.resubmits += n > 1
        cl_ord_id = f"pd{self._life}-{intent}-{n}"
        self._working[intent] = cl_ord_id
        buys = int(intent[1:]) % 2 == 0
        taker = self._wire.quiet or self._random.random() < 0.5
        ticks = (_ASK if buys else _BID) if taker else (_BID if buys else _ASK)
        order = ProposedOrder(
            cl_ord_id=cl_ord_id,
            venue=self._instrument.venue,
            instrument_id=self._instrument.instrument_id,
            side=Side.BUY if buys else Side.SELL,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.IOC if taker else TimeInForce.GTX,
            order_qty=left,
            price=self._instrument.price(ticks),
            reduce_only=False,
            legs=(Leg(strategy_id="s", intent_id=intent, qty=left),),
            replaces=None,
            ref_price=self._instrument.price(_BID),
            book_update_id=1,
            book_ts_recv_ns=self._now,
            story={},
            cause="simulation",
            ts_init_ns=self._now,
        )
        approved = ApprovedOrder(order=order, epoch=self._life, checks={}, ts_init_ns=self._now)
        self._do(self._core.on_approved(approved, self._now))
        if not taker:
            self._at(self._random.randint(100, 3_000) * MS, self._cancel, cl_ord_id)

    def _submit_idle(self) -> None:
        """Intents that waited until the desk may trade, or that had been tried often enough while the wire was bad."""
        for intent in [name for name in self._remaining if name not in self._working] if self._trading else ():
            self._at(self._random.randint(1, 200) * MS, self._submit, intent)

    def _cancel(self, cl_ord_id: str) -> None:
        cancel = ProposedCancel(
            cl_ord_id=cl_ord_id,
            venue=self._instrument.venue,
            instrument_id=self._instrument.instrument_id,
            reason="enough",
            cause="simulation",
            ts_init_ns=self._now,
        )
        self._do(self._core.on_cancel(cancel, self._now))

    def _timer(self) -> None:
        self._at(_TIMER_NS, self._timer)
        self._do(self._core.on_timer(self._now))
        if self._wire.quiet and self._now >= self._tidy_ns:
            # What still rests would stand in the way of the other side for ever; a cancel may have come too early.
            self._tidy_ns = self._now + _TIDY_NS
            for order in self._core.open_orders():
                if order.proposed.time_in_force is TimeInForce.GTX:
                    self._cancel(order.cl_ord_id)

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Journal():
                    # Batches become durable in the order in which they were handed out.
                    self._durable_ns = max(self._durable_ns, self._now + self._random.randint(0, 3) * MS)
                    self._at(self._durable_ns - self._now, self._durable, self._life, effect)
                case SendToVenue():
                    self._send(effect.command)
                case Emit():
                    self._told(effect.message)
                case Reconciled():
                    self._trading = effect.ok
                    self._submit_idle()

    def _durable(self, life: int, effect: Journal) -> None:
        if life != self._life:
            return
        rows: tuple[RowDraft, ...] = effect.rows
        self._rows += numbered(len(self._rows) + 1, rows, bytes(32), bytes(32))
        self._do(self._core.on_committed(effect.commit_id, self._now))

    def _told(self, message: Any) -> None:
        if type(message) is OrderFilled:
            intent = _intent(message.cl_ord_id)
            left = self._remaining.get(intent, _ZERO) - message.last_qty
            if left > 0:
                self._remaining[intent] = left
            else:
                self._remaining.pop(intent, None)
        elif type(message) is OrderDenied:
            # Too many are open: the intent waits like any strategy's.
            intent = _intent(message.cl_ord_id)
            self._working.pop(intent, None)
            self._at(self._random.randint(500, 1_500) * MS, self._submit, intent)
        elif type(message) is OrderUpdated:
            intent = _intent(message.cl_ord_id)
            if message.ord_status in fsm.TERMINAL:
                if self._working.get(intent) == message.cl_ord_id:
                    del self._working[intent]
                    self._at(self._random.randint(20, 400) * MS, self._submit, intent)
            else:
                self.result.unknowns += message.ord_status.value == "unknown"
                self._working[intent] = message.cl_ord_id

    # --- The wire ------------------------------------------------------------------------------------

    def _send(self, command: Any) -> None:
        kind = type(command)
        if kind is NewOrderSingle or kind is OrderCancelReplaceRequest:
            self._place(command)
        elif kind is AccountStateRequest:
            for delay in self._wire.answer():
                self._at(delay, self._account, self._life, command)
        elif kind is OrderStatusRequest:
            for delay in self._wire.answer():
                self._at(delay, self._query, self._life, command)
        elif self._wire.quiet or self._random.random() > self.spec.wire.answers_lost:
            self._at(self._wire.usual_ns(), self._arrive, command, None)

    def _place(self, command: Any) -> None:
        fate = self._wire.fate()
        self.result.submits += 1
        self.result.ambiguous += fate is not Fate.ANSWERED
        if fate is Fate.LOST:
            return
        if fate is Fate.TOO_OLD:
            # The venue refuses it by its own clock, and the refusal is lost as well.
            self._at(self.spec.wire.window_ms * MS + self._wire.late_ns(), self._arrive, command, None)
            return
        self._at(self._travel_ns(fate), self._arrive, command, fate)

    def _travel_ns(self, fate: Fate) -> int:
        """An ambiguous placement may reach the venue as late as its window lets it."""
        if fate is Fate.ANSWERED or self._random.random() < 0.5:
            return self._wire.usual_ns()
        return self._random.randint(1, self.spec.wire.window_ms) * MS

    def _arrive(self, command: Any, fate: Fate | None) -> None:
        """A command at the venue's door."""
        kind = type(command)
        placing = kind is NewOrderSingle or kind is OrderCancelReplaceRequest
        if placing:
            if self._now - command.ts_init_ns > self.spec.wire.window_ms * MS:
                return
            self._visible_ns[command.cl_ord_id] = self._now + self._wire.invisible_ns()
        self._venue.on_command(command, self._now)
        self._listen(command.cl_ord_id if placing else "", fate)
        if placing:
            self._count_live(_intent(command.cl_ord_id))

    def _listen(self, placed: str = "", fate: Fate | None = None) -> None:
        """What the venue says now goes on its way: the answer to a placement by its fate, the rest by the stream."""
        for event in self._venue.poll(self._now):
            said = self._as_venue(event)
            answer = placed and isinstance(event, ExecutionReport) and event.cl_ord_id == placed
            if answer and fate is Fate.ANSWERED:
                self._at(self._wire.usual_ns(), self._hear, self._life, said)
            elif answer and fate is Fate.LATE:
                self._at(self._wire.late_ns(), self._hear, self._life, said)
            for delay in self._wire.stream():
                self._at(delay, self._hear, self._life, said)

    def _as_venue(self, event: Any) -> Any:
        """Real venues number nothing across an account."""
        if not self.spec.numbered and isinstance(event, ExecutionReport):
            return msgspec.structs.replace(event, exec_seq=0)
        return event

    def _hear(self, life: int, event: Any) -> None:
        if life == self._life:
            self._do(self._core.on_venue(event, self._now))

    def _query(self, life: int, command: OrderStatusRequest) -> None:
        """The venue looks up an order; young ones may not be in its queries yet."""
        if self._now < self._visible_ns.get(command.cl_ord_id, 0):
            said: Any = OrderStatusReport(
                venue=command.venue,
                instrument_id=command.instrument_id,
                cl_ord_id=command.cl_ord_id,
                report=None,
                ts_init_ns=self._now,
                asked_ns=command.ts_init_ns,
            )
        else:
            self._venue.on_command(command, self._now)
            (found,) = self._venue.poll(self._now)
            assert isinstance(found, OrderStatusReport)
            report = None if found.report is None else self._as_venue(found.report)
            said = msgspec.structs.replace(found, report=report)
        self._at(self._wire.usual_ns(), self._hear, life, said)

    def _account(self, life: int, command: AccountStateRequest) -> None:
        """The venue's account: orders and positions now, executions a moment later, as separate replies are."""
        early = self._venue.state_now(0, command.cause, self._now)
        self._at(self._wire.usual_ns(), self._account_rest, life, command, early)

    def _account_rest(self, life: int, command: AccountStateRequest, early: AccountState) -> None:
        late = self._venue.state_now(command.since_exec_seq, command.cause, self._now)
        if self.spec.numbered:
            self._hear(life, msgspec.structs.replace(late, asked_ns=command.ts_init_ns))
            return
        visible = self._visible_ns
        orders = tuple(o for o in early.open_orders if self._now >= visible.get(o.cl_ord_id, 0))
        since_ns = command.since_ns
        state = msgspec.structs.replace(
            early,
            exec_seq=0,
            open_orders=tuple(self._as_venue(order) for order in orders),
            executions=tuple(self._as_venue(e) for e in late.executions if e.ts_event_ns >= since_ns),
            numbered=False,
            asked_ns=command.ts_init_ns,
        )
        self._hear(life, state)

    def _market(self) -> None:
        """The touch gets new liquidity, and somebody trades against what rests, at times."""
        self._at(_TIMER_NS, self._market)
        self._quote()
        if self._random.random() < 0.5:
            hits_bid = self._random.random() < 0.5
            trade = Trade(
                instrument_id=self._instrument.instrument_id,
                trade_id=self._count,
                price_ticks=_BID if hits_bid else _ASK,
                qty_lots=self._random.randint(1, _DEPTH_LOTS),
                aggressor=Aggressor.SELL if hits_bid else Aggressor.BUY,
                ts_event_ns=self._now,
                ts_recv_ns=self._now,
            )
            self._venue.on_trade(trade, self._now)
            self._listen()

    def _quote(self) -> None:
        """Thin enough that orders are filled in parts."""
        lots = 10**6 if self._wire.quiet else self._random.randint(1, _DEPTH_LOTS)
        self._venue.on_ticker(_BID, lots, _ASK, lots, self._instrument.instrument_id, self._now)

    # --- The audit -----------------------------------------------------------------------------------

    def _count_live(self, intent: str) -> None:
        live = [name for name in self._venue.open_ids() if _intent(name) == intent]
        if len(live) > 1:
            self._wrong("duplicates", f"{intent}: {', '.join(live)} are live at once")

    def _wrong(self, what: str, text: str) -> None:
        result = self.result
        setattr(result, what, getattr(result, what) + 1)
        if not result.story:
            result.story = f"{what} at {(self._now - START_NS) / 1e9:.3f} s: {text}"[:400]

    def _audit(self) -> None:
        result = self.result
        truth = {e.exec_id: e for e in self._venue.state_now(0, "audit", self._now).executions}
        kinds = {JournalKind.FILL, JournalKind.PARTIAL}
        journal = {r.exec_id for r in self._rows if r.kind in kinds and r.exec_id is not None}
        done: Counter[str] = Counter()
        net = _ZERO
        for execution in truth.values():
            done[_intent(execution.cl_ord_id)] += execution.last_qty  # type: ignore[assignment]
            net += execution.side.sign * execution.last_qty
        for intent, qty in done.items():
            if qty > self._qty:
                self._wrong("duplicates", f"{intent} executed {qty} of {self._qty}")
        for exec_id in truth.keys() - journal:
            self._wrong("lost", f"execution {exec_id} of {truth[exec_id].cl_ord_id} is not in the journal")
        for exec_id in journal - truth.keys():
            self._wrong("invented", f"the journal holds execution {exec_id}, the venue does not")
        for order in self._core.unknown_orders():
            self._wrong("unknown_unresolved", "; ".join(order.told()[-6:]))
        if not self._at_rest():
            open_ = ", ".join(f"{o.cl_ord_id} {o.ord_status.value}" for o in self._core.open_orders()[:5])
            self._wrong("not_at_rest", f"trading {self._trading}, {len(self._remaining)} intents left, open: {open_}")
        exposure = self._core.exposure().get(self._instrument.instrument_id)
        result.position_residual = str((exposure.position if exposure is not None else _ZERO) - net)
        result.executions = len(truth)
        result.repeated_away += self._core.duplicates_suppressed


def _intent(cl_ord_id: str) -> str:
    return cl_ord_id.split("-")[1]
