"""The one account of a simulated venue: its orders meet the server's own books and trades, and it outlives its process.

Owns the simulated exchange (`trading.sim`), its persistence, and who is told what happened, in which order. Knows no
venue's words: those are the venues' modules'. Time is the server's own clock; what faults make of it is only said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec

from adapters.paper_store import PaperStore, restore
from adapters.simserver.fault_plane import MS, Faults
from adapters.simserver.feed import Market, MarketFeed
from adapters.simserver.order_faults import FillBeforeAck, Halted, LateVisibility
from adapters.simserver.trading.keys import Credentials
from adapters.simserver.trading.settings import Settings
from adapters.simserver.trading.statement import Statement
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import MarkPrice, Trade
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    FundingPayment,
    NewOrderSingle,
    OrderCancelRequest,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
    VenueCommand,
    VenueEvent,
)
from trading.sim.account import Position, apply_fill
from trading.sim.config import SimConfig
from trading.sim.inplace import InPlaceExchange
from trading.sim.state import ExecutionRecord, OrderRecord, SimOrder
from trading.sim.venue import SimVenue

FILLS_MAX = 20_000
RECORDS_PER_CHECKPOINT = 5_000
STATEMENT = "statement.jsonl"
DEPTH = 1_000
ZERO = Decimal(0)


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One account. ``directory`` is where it survives its process, None: nowhere; ``balances`` None: the default.

    With ``statement`` the directory also gets a `Statement`, for audits.
    """

    directory: Path | None = None
    balances: dict[str, Decimal] | None = None
    leverage: Decimal = Decimal(5)
    credentials: Credentials = Credentials()
    statement: bool = False


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, and the profit that it realised in the settlement asset (before its fee)."""

    report: ExecutionReport
    pnl: Decimal

    @property
    def trade_id(self) -> int:
        """The venue's number of it."""
        return self.report.exec_seq


class OrderFacts(msgspec.Struct):
    """What is added up over the executions of one order."""

    cl_ord_id: str
    fee: Decimal = ZERO
    fee_asset: str = ""
    pnl: Decimal = ZERO
    last: Fill | None = None
    text: str = ""


class TradingAccount:
    """One account over one feed. ``listeners`` are told every event in order, before its request is answered."""

    def __init__(
        self, venue: str, feed: MarketFeed, faults: Faults, wall_ns: Callable[[], int], spec: AccountSpec
    ) -> None:
        self.venue = venue
        self.markets = feed.markets
        self.key_of = {market.instrument.instrument_id: key for key, market in feed.markets.items()}
        self.credentials = spec.credentials
        self.faults = faults
        self.listeners: list[Callable[[VenueEvent], None]] = []
        self.fills: deque[Fill] = deque(maxlen=FILLS_MAX)
        self.facts: dict[int, OrderFacts] = {}
        self.touched_ns: dict[str, int] = {}
        self.hold_ms = 0
        self._feed = feed
        self._wall_ns = wall_ns
        self._now_ns = 0
        self._shadow: dict[str, Position] = {}
        self._unsaved = 0
        instruments = [market.instrument for market in feed.markets.values()]
        config = SimConfig(
            initial_balances=dict(spec.balances or default_balances(instruments)),
            order_latency_ns=0,
            report_latency_ns=0,
            latency_jitter_ns=0,
            leverage=spec.leverage,
            post_only_expires=venue in {"okx", "bybit"},
            reuse_closed_ids=venue.startswith("binance"),
            holds_triggers=True,
            waiting_locks=venue == "binance",
            write_ahead=spec.directory is not None,
        )
        self.sim = SimVenue(venue, instruments, config, 0)
        self._store = None if spec.directory is None else PaperStore(spec.directory)
        self.settings = Settings(None if spec.directory is None else spec.directory / "settings.json")
        if self._store is not None:
            restore(self.sim, self._store)
        self._statement: Statement | None = None
        if spec.statement and spec.directory is not None:
            self._statement = Statement(spec.directory / STATEMENT)
            self._statement.note(self.exchange.orders(), self.exchange.executions)
        self.exchange.leverage.update(self.settings.leverage)
        for report in self.exchange.executions:
            self._remember(report)
        for order in self.exchange.orders():
            self.facts.setdefault(order.order_no, OrderFacts(order.cl_ord_id))
        for market in feed.markets.values():
            market.watcher = self

    # --- Time ----------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The account's clock, UTC ns; it never goes back."""
        self._now_ns = max(self._now_ns, self._wall_ns())
        return self._now_ns

    def wire_ms(self, ts_ns: int) -> int:
        """A time as the venue states it: its clock may be off."""
        return (ts_ns + self.faults.offset_ns) // MS

    def venue_ms(self) -> int:
        """The venue's time now."""
        return self.wire_ms(self.now_ns())

    # --- The market ----------------------------------------------------------------------------------

    def on_book(self, market: Market) -> None:
        """A book changed: resting orders may fill."""
        place = self.sim.market(market.instrument.instrument_id)
        if place.book is None or place.busy:
            now_ns = self.now_ns()
            self.sim.on_book(market.book, now_ns)
            self._leave(now_ns)

    def on_trade(self, trade: Trade) -> None:
        """A public trade."""
        place = self.sim.market(trade.instrument_id)
        if place.busy:
            now_ns = self.now_ns()
            self.sim.on_trade(trade, now_ns)
            self._leave(now_ns)
        if place.waiting:
            self.on_price(trade.instrument_id, TriggerPriceType.LAST, place.instrument.price(trade.price_ticks))

    def on_price(self, instrument_id: str, kind: TriggerPriceType, price: Decimal) -> None:
        """A price that waiting orders watch: what it reaches is triggered."""
        now_ns = self.now_ns()
        self.sim.in_place(now_ns).see_price(instrument_id, kind, price, now_ns)
        self._leave(now_ns)

    def _prices_now(self, key: str, market: Market) -> None:
        """What waiting orders of a market are held against from here on."""
        one = market.instrument
        prices = self._feed.prices(key, self.now_ns())
        if prices is not None:
            self.on_price(one.instrument_id, TriggerPriceType.INDEX, Decimal(f"{prices[0]:.8f}"))
            self.on_price(one.instrument_id, TriggerPriceType.MARK, Decimal(f"{prices[1]:.8f}"))
        if market.last_ticks:
            self.on_price(one.instrument_id, TriggerPriceType.LAST, one.price(market.last_ticks))

    def on_second(self) -> None:
        """Mark prices and funding go on."""
        now_ns = self.now_ns()
        for key, market in self.markets.items():
            if self.sim.market(market.instrument.instrument_id).waiting:
                self._prices_now(key, market)
            prices = self._feed.prices(key, now_ns)
            if prices is None or market.instrument.kind is InstrumentKind.SPOT:
                continue
            funding = self._feed.funding(key, now_ns)
            mark = MarkPrice(
                instrument_id=market.instrument.instrument_id,
                mark_price=Decimal(f"{prices[1]:.8f}"),
                index_price=Decimal(f"{prices[0]:.8f}"),
                funding_rate=None if funding is None else Decimal(f"{funding[0]:.8f}"),
                next_funding_ns=None if funding is None else funding[1] * MS,
                ts_event_ns=now_ns,
                ts_recv_ns=now_ns,
            )
            self.sim.on_mark(mark, now_ns)
        self._leave(now_ns)

    # --- Orders --------------------------------------------------------------------------------------

    @property
    def exchange(self) -> InPlaceExchange:
        """The exchange as it is now, to be read or to be acted on before `leave`."""
        return self.sim.in_place(self.now_ns())

    def submit(self, command: VenueCommand) -> list[VenueEvent]:
        """Do what is asked now; what it caused, in order."""
        now_ns = self.now_ns()
        self.sim.on_command(command, now_ns)
        return self._leave(now_ns)

    def place(
        self,
        market: Market,
        *,
        side: Side,
        ord_type: OrdType,
        time_in_force: TimeInForce,
        qty: Decimal,
        price: Decimal | None,
        cl_ord_id: str,
        reduce_only: bool = False,
        trigger: TriggeringInstructions | None = None,
    ) -> ExecutionReport:
        """A new order: the first report of it, NEW or REJECTED."""
        if trigger is not None:
            self._prices_now(market.key, market)
        order = NewOrderSingle(
            venue=self.venue,
            instrument_id=market.instrument.instrument_id,
            cl_ord_id=cl_ord_id,
            side=side,
            ord_type=ord_type,
            time_in_force=time_in_force,
            order_qty=qty,
            price=price,
            reduce_only=reduce_only,
            strategy_ids=(),
            epoch=0,
            cause="wire",
            ts_init_ns=self.now_ns(),
            trigger=trigger,
        )
        events = self.submit(order)
        return next(
            event
            for event in events
            if isinstance(event, ExecutionReport)
            and event.cl_ord_id == cl_ord_id
            and event.exec_type in {ExecType.NEW, ExecType.REJECTED}
        )

    def cancel(self, order: SimOrder, cl_ord_id: str = "") -> None:
        """Cancel a working order; the request may have an id of its own."""
        request = OrderCancelRequest(
            venue=self.venue,
            instrument_id=order.instrument_id,
            cl_ord_id=cl_ord_id or order.cl_ord_id,
            orig_cl_ord_id=order.cl_ord_id,
            epoch=0,
            cause="wire",
            ts_init_ns=self.now_ns(),
        )
        self.submit(request)

    def cancel_all(self, keys: set[str] | None = None, *, waiting: bool = True) -> list[SimOrder]:
        """Cancel what works in some markets, or in all; what was canceled. Without ``waiting`` what waits stays."""
        found = [order for order in self.working() if keys is None or self.key_of[order.instrument_id] in keys]
        found = [order for order in found if waiting or not order.waits]
        for order in found:
            self.cancel(order)
        return found

    def amend(self, order: SimOrder, qty: Decimal, price: Decimal) -> str:
        """Amend in place; "" or the refusal."""
        now_ns = self.now_ns()
        refusal = self.sim.in_place(now_ns).amend(order.cl_ord_id, qty, price, now_ns)
        self._leave(now_ns)
        return refusal

    def force_fill(self, market: Market, side: Side, lots: int, cl_ord_id: str, price_ticks: int | None = None) -> None:
        """An execution that nobody here asked for, at the best price unless one is given."""
        now_ns = self.now_ns()
        exchange = self.sim.in_place(now_ns)
        instrument_id = market.instrument.instrument_id
        best = exchange.markets[instrument_id].best_opposite(side)
        ticks = price_ticks or (best[0] if best else market.last_ticks)
        exchange.force_fill(instrument_id, side, lots, ticks, cl_ord_id=cl_ord_id, ts_ns=now_ns)
        self._leave(now_ns)

    def set_leverage(self, market: Market, leverage: Decimal) -> None:
        """The initial margin of an instrument's positions and orders, from now on."""
        instrument_id = market.instrument.instrument_id
        self.exchange.leverage[instrument_id] = leverage
        self.settings.set_leverage(instrument_id, leverage)

    def leverage_of(self, market: Market) -> Decimal:
        """What `set_leverage` last said."""
        exchange = self.exchange
        return exchange.leverage.get(market.instrument.instrument_id, exchange.config.leverage)

    def new_id(self, prefix: str = "~") -> str:
        """A client order id that no order has; one that begins with "~" is not shown to clients."""
        return f"{prefix}{self.exchange.next_order_no}"

    # --- Looking -------------------------------------------------------------------------------------

    def order(self, order_no: int | None = None, cl_ord_id: str = "") -> SimOrder | None:
        """An order by the venue's number, else by client order id."""
        if order_no is not None:
            facts = self.facts.get(order_no)
            found = None if facts is None else self.exchange.find(facts.cl_ord_id)
            return found if found is not None and found.order_no == order_no else None
        return self.exchange.find(cl_ord_id) if cl_ord_id else None

    def working(self) -> list[SimOrder]:
        """Open orders, oldest first."""
        return sorted(self.exchange.open.values(), key=lambda order: order.order_no)

    def seen(self, orders: list[SimOrder], path: str) -> list[SimOrder]:
        """The orders that a query is told of: young ones may not be visible yet."""
        late_ns = self._late_ns(path)
        return [order for order in orders if order.ts_ns + late_ns <= self.now_ns()] if late_ns else orders

    def fills_seen(self, market: Market | None, path: str) -> list[Fill]:
        """Executions that a query is told of, oldest first."""
        late_ns = self._late_ns(path)
        before_ns = self.now_ns() - late_ns
        wanted = None if market is None else market.instrument.instrument_id
        return [
            fill
            for fill in self.fills
            if wanted in {None, fill.report.instrument_id} and fill.report.ts_event_ns <= before_ns
        ]

    def _late_ns(self, path: str) -> int:
        late = self.faults.find(LateVisibility, path)
        if late is None:
            return 0
        self.faults.note(late, path)
        return late.delay_ms * MS

    def fundings(self) -> list[FundingPayment]:
        """Funding that was paid or received, oldest first."""
        return list(self.exchange.fundings)

    def halted(self, market: Market) -> bool:
        """Whether the venue takes no orders of a market now."""
        return self.faults.take(Halted, market.key) is not None

    def lots_for(self, market: Market, quote: Decimal) -> int:
        """How many lots an amount of quote currency buys of the book as it is."""
        instrument, left, lots = market.instrument, quote, 0
        for ticks, available in market.book.top(DEPTH)[1]:
            cost = instrument.price(ticks) * instrument.lot_size * instrument.multiplier
            taken = min(available, int(left / cost))
            lots += taken
            left -= cost * taken
            if taken < available:
                break
        return lots

    # --- Telling -------------------------------------------------------------------------------------

    def _leave(self, now_ns: int) -> list[VenueEvent]:
        """What has happened is written down, remembered, and told."""
        events = self.sim.poll(now_ns)
        self._save()
        for event in events:
            if isinstance(event, ExecutionReport):
                self._note(event)
        told = self._fills_first(events)
        for event in told:
            for listener in self.listeners:
                listener(event)
        return events

    def _note(self, report: ExecutionReport) -> None:
        if report.exec_type is ExecType.TRADE:
            self._remember(report)
        elif report.order_id and (report.exec_type is ExecType.NEW or int(report.order_id) not in self.facts):
            self.facts[int(report.order_id)] = OrderFacts(report.cl_ord_id)
        if report.text and report.order_id:
            self.facts[int(report.order_id)].text = report.text
        if len(self.facts) > FILLS_MAX:
            known = {order.order_no for order in self.exchange.orders()}
            self.facts = {number: facts for number, facts in self.facts.items() if number in known}

    def _remember(self, report: ExecutionReport) -> None:
        instrument = self.markets[self.key_of[report.instrument_id]].instrument
        pnl = ZERO
        if instrument.kind is not InstrumentKind.SPOT:
            held = self._shadow.get(instrument.instrument_id, Position())
            signed = report.last_qty * report.side.sign
            self._shadow[instrument.instrument_id], pnl = apply_fill(held, instrument, signed, report.last_px)
        fill = Fill(report=report, pnl=pnl)
        self.fills.append(fill)
        self.touched_ns[report.instrument_id] = report.ts_event_ns
        facts = self.facts.setdefault(int(report.order_id), OrderFacts(report.cl_ord_id))
        facts.fee += report.fee
        facts.fee_asset = report.fee_asset
        facts.pnl += pnl
        facts.last = fill

    def _fills_first(self, events: list[VenueEvent]) -> list[VenueEvent]:
        """With the fault, the acknowledgement of an order comes after its fills."""
        filled = {e.cl_ord_id for e in events if isinstance(e, ExecutionReport) and e.exec_type is ExecType.TRADE}
        acks = [e for e in events if isinstance(e, ExecutionReport) and e.exec_type is ExecType.NEW]
        late = [ack for ack in acks if ack.cl_ord_id in filled]
        if not late:
            return events
        fault = self.faults.take(FillBeforeAck, self.key_of[late[0].instrument_id])
        if fault is None:
            return events
        self.hold_ms = fault.delay_ms
        return [event for event in events if event not in late] + list(late)

    # --- Keeping -------------------------------------------------------------------------------------

    def _save(self) -> None:
        if self._store is None:
            return
        records = self.sim.drain_log()
        self._store.append(records)
        if self._statement is not None:
            self._statement.note(
                (one.order for one in records if isinstance(one, OrderRecord)),
                (one.report for one in records if isinstance(one, ExecutionRecord)),
            )
        self._unsaved += len(records)
        if self._unsaved >= RECORDS_PER_CHECKPOINT:
            self._unsaved = 0
            self._store.checkpoint(self.sim.dump())

    def close(self) -> None:
        """Write the whole account down and let go of its files."""
        if self._store is not None:
            self._save()
            self._store.checkpoint(self.sim.dump())
            self._store.close()
            self._store = None
        if self._statement is not None:
            self._statement.close()
            self._statement = None


def default_balances(instruments: list[Instrument]) -> dict[str, Decimal]:
    """Paper money enough to trade with: a million of each quote currency, ten of each base that can be sold."""
    found: dict[str, Decimal] = {}
    for one in instruments:
        if one.kind is InstrumentKind.INVERSE:
            found[one.settle] = Decimal(100)
        else:
            found[one.quote] = Decimal(1_000_000)
            if one.kind is InstrumentKind.SPOT:
                found.setdefault(one.base, Decimal(10))
    return found
