"""A simulated exchange account as a pure state machine: commands and market data in, reports out, time as argument.

Owns latency, order of delivery, injected faults, dump and log. What the exchange does with a command is
`exchange.Exchange`; how log and dump are stored is adapters/paper_store.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence

import msgspec

from trading.instruments import Instrument
from trading.market.events import MarkPrice, Trade
from trading.orders.messages import (
    AccountState,
    AccountStateRequest,
    ExecType,
    ExecutionReport,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderStatusRequest,
    VenueCommand,
    VenueEvent,
)
from trading.sim.book_view import BookView
from trading.sim.config import SimConfig, SimFaults
from trading.sim.inplace import InPlaceExchange
from trading.sim.matching import Market
from trading.sim.state import (
    DUMP_VERSION,
    UNKNOWN_QUEUE,
    AccountRecord,
    ExecutionRecord,
    FundingRecord,
    LogRecord,
    OrderRecord,
    SimOrder,
    VenueDump,
)

MAX_UNDRAINED = 100_000
"""Log records nobody drained; above it the venue raises rather than grow."""

_NEVER_NS = 2**63
_MASK = 2**64 - 1


def splitmix64(state: int) -> tuple[int, int]:
    """The next state and a 64-bit number (Steele, Lea, Flood: "Fast splittable pseudorandom number generators")."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return state, z ^ (z >> 31)


class SimVenue:
    """One venue's simulated account. ``now_ns`` is UTC and must not go back; ``faults`` may be set at any time.

    A command takes effect one order latency after `on_command`, at the first call whose ``now_ns`` has reached
    that time; its reports can be polled one report latency later. Commands arrive and reports leave in order.
    """

    def __init__(self, venue: str, instruments: Sequence[Instrument], config: SimConfig, seed: int) -> None:
        self.venue = venue
        self.config = config
        self.faults = SimFaults()
        self._exchange = InPlaceExchange(venue, instruments, config, self._emit)
        self._markets = self._exchange.markets
        self._random_state = seed & _MASK
        self._commands: deque[tuple[int, VenueCommand]] = deque()
        self._reports: deque[tuple[int, VenueEvent]] = deque()
        self._act_ns = 0
        self._effect_due_ns = _NEVER_NS
        self._silenced: set[str] = set()
        self._logged = self._counters()

    def market(self, instrument_id: str) -> Market:
        """One instrument at the venue. While it is not ``busy``, a change of the book it has needs no `on_book`."""
        return self._markets[instrument_id]

    # Inputs.

    def on_command(self, cmd: VenueCommand, now_ns: int) -> None:
        """Send a command on its way."""
        if self.faults.lose_commands > 0:
            self.faults.lose_commands -= 1
            return
        due_ns = now_ns + self.config.order_latency_ns + self._jitter_ns()
        if self._commands:
            due_ns = max(due_ns, self._commands[-1][0])
        self._commands.append((due_ns, cmd))
        self._effect_due_ns = min(self._effect_due_ns, due_ns)

    def on_book(self, book: BookView, now_ns: int) -> None:
        """The book of one instrument changed; it is kept and read until the next call or `on_book_lost`."""
        market = self._markets[book.instrument_id]
        market.book = book
        if now_ns >= self._effect_due_ns:
            self._advance(now_ns)
        if market.busy:
            self._act_ns = now_ns
            self._exchange.book_changed(market, now_ns)

    def on_ticker(  # noqa: PLR0917 -- called for every ticker, where keywords would cost
        self, bid_ticks: int, bid_lots: int, ask_ticks: int, ask_lots: int, instrument_id: str, now_ns: int
    ) -> None:
        """The best levels of an instrument that has no deeper book here."""
        ticker = self._markets[instrument_id].ticker
        ticker.set((bid_ticks, bid_lots), (ask_ticks, ask_lots))
        self.on_book(ticker, now_ns)

    def on_book_lost(self, instrument_id: str) -> None:
        """The book is not proved any more: nothing is taken, and queues wait, until the next `on_book`.

        What happened meanwhile was not seen, so resting orders are then assumed to stand at the back.
        """
        market = self._markets[instrument_id]
        market.book = None
        market.consumed.clear()
        for order in market.orders:
            order.queue_ahead = UNKNOWN_QUEUE
        market.rest()

    def on_trade(self, trade: Trade, now_ns: int) -> None:
        """A public trade."""
        if now_ns >= self._effect_due_ns:
            self._advance(now_ns)
        market = self._markets[trade.instrument_id]
        if market.busy:
            self._act_ns = now_ns
            self._exchange.traded(market, trade, now_ns)

    def on_mark(self, mark: MarkPrice, now_ns: int) -> None:
        """Mark price and funding. The settlement that was announced last happens when it is due or rolled over.

        A settlement already past when it is first announced was not ours to see and is not paid.
        """
        self._advance(now_ns)
        self._act_ns = now_ns
        exchange = self._exchange
        known = exchange.marks.get(mark.instrument_id)
        next_ns = mark.next_funding_ns
        known_ns = None if known is None else known.next_funding_ns
        if known is not None and known_ns is not None and next_ns is not None and next_ns > known_ns:
            exchange.settle(known)
        if next_ns is not None and next_ns <= now_ns and next_ns > exchange.settled.get(mark.instrument_id, 0):
            exchange.settled[mark.instrument_id] = next_ns
        exchange.marks[mark.instrument_id] = mark
        self._find_effect_due()

    def in_place(self, now_ns: int) -> InPlaceExchange:
        """The exchange itself, for what a venue does at once and without a command: amend, liquidate, look things up.

        What was due happens first; the reports of what is done now leave as those of commands do.
        """
        if now_ns >= self._effect_due_ns:
            self._advance(now_ns)
        self._act_ns = now_ns
        return self._exchange

    # Time and outputs.

    def poll(self, now_ns: int) -> list[VenueEvent]:
        """Let everything that is due happen; return the reports that have arrived by now, in order."""
        if now_ns >= self._effect_due_ns:
            self._advance(now_ns)
        reports = self._reports
        arrived = []
        while reports and reports[0][0] <= now_ns:
            arrived.append(reports.popleft()[1])
        return arrived

    def next_due_ns(self) -> int | None:
        """When `poll` has something to do next, or None."""
        due_ns = self._effect_due_ns
        if self._reports:
            due_ns = min(due_ns, self._reports[0][0])
        return None if due_ns == _NEVER_NS else due_ns

    def state_now(self, since_exec_seq: int, cause: str, ts_ns: int) -> AccountState:
        """The account without latency or message: for tests, drills and displays."""
        return self._exchange.state_now(since_exec_seq, cause, ts_ns)

    def open_ids(self) -> tuple[str, ...]:
        """ClOrdIDs of the orders that are live here, oldest first: for audits."""
        return tuple(self._exchange.open)

    def queue_of(self, cl_ord_id: str) -> tuple[int, int] | None:
        """(lots ahead, lots displayed at the price) of a resting order; None when not resting or not known."""
        order = self._exchange.open.get(cl_ord_id)
        if order is None or order.queue_ahead == UNKNOWN_QUEUE:
            return None
        return order.queue_ahead, order.displayed

    def _advance(self, now_ns: int) -> None:
        """Commands and settlements that are due by ``now_ns``, in order of time."""
        while self._effect_due_ns <= now_ns:
            due_ns = self._effect_due_ns
            self._act_ns = due_ns
            if self._commands and self._commands[0][0] == due_ns:
                self._execute(self._commands.popleft()[1], due_ns)
            else:
                for mark in self._exchange.marks.values():
                    if mark.next_funding_ns == due_ns:
                        self._exchange.settle(mark)
            self._find_effect_due()

    def _execute(self, cmd: VenueCommand, ts_ns: int) -> None:
        exchange = self._exchange
        match cmd:
            case NewOrderSingle():
                refusal, self.faults.reject_next = self.faults.reject_next, ""
                exchange.new_order(cmd, ts_ns, refusal)
            case OrderCancelRequest():
                exchange.cancel(cmd, ts_ns)
            case OrderCancelReplaceRequest():
                exchange.replace(cmd, ts_ns)
            case OrderStatusRequest():
                exchange.order_status(cmd, ts_ns)
            case AccountStateRequest():
                exchange.account_state(cmd, ts_ns)

    def _find_effect_due(self) -> None:
        due_ns = self._commands[0][0] if self._commands else _NEVER_NS
        settled = self._exchange.settled
        for mark in self._exchange.marks.values():
            next_ns = mark.next_funding_ns
            if next_ns is not None and next_ns < due_ns and settled.get(mark.instrument_id, 0) < next_ns:
                due_ns = next_ns
        self._effect_due_ns = due_ns

    def _emit(self, event: VenueEvent) -> None:
        """Put a report on its way, unless a fault swallows it."""
        copies = 1
        if isinstance(event, ExecutionReport):
            copies = self._copies(event)
        for _ in range(copies):
            due_ns = self._act_ns + self.config.report_latency_ns + self._jitter_ns()
            if self._reports:
                due_ns = max(due_ns, self._reports[-1][0])
            self._reports.append((due_ns, event))

    def _copies(self, report: ExecutionReport) -> int:
        faults = self.faults
        if report.exec_type in (ExecType.NEW, ExecType.REPLACED):
            if faults.silence_orders > 0:
                faults.silence_orders -= 1
                self._silenced.add(report.cl_ord_id)
            elif faults.drop_acks > 0:
                faults.drop_acks -= 1
                return 0
        cl_ord_id = report.cl_ord_id
        if report.exec_type is ExecType.CANCELED and report.orig_cl_ord_id is not None:
            cl_ord_id = report.orig_cl_ord_id
        if cl_ord_id in self._silenced and report.exec_type is not ExecType.REJECTED:
            if report.leaves_qty == 0:
                self._silenced.discard(cl_ord_id)
            return 0
        if report.exec_type is ExecType.TRADE and faults.duplicate_exec_reports > 0:
            faults.duplicate_exec_reports -= 1
            return 2
        return 1

    def _jitter_ns(self) -> int:
        if self.config.latency_jitter_ns == 0:
            return 0
        self._random_state, number = splitmix64(self._random_state)
        return number % (self.config.latency_jitter_ns + 1)

    # Persistence.

    def drain_log(self) -> list[LogRecord]:
        """What changed since the last call, as states: append these to the store before the reports leave.

        ``RuntimeError`` when more than `MAX_UNDRAINED` changes wait: nobody drains, and ``write_ahead`` is on.
        """
        exchange = self._exchange
        if not self.config.write_ahead:
            return []
        waiting = len(exchange.changed) + len(exchange.executed) + len(exchange.paid)
        if waiting > MAX_UNDRAINED:
            raise RuntimeError(f"{waiting} changes of {self.venue} were not drained")
        counters = self._counters()
        if not waiting and counters == self._logged:
            return []
        self._logged = counters
        records: list[LogRecord] = [OrderRecord(order=copy.copy(order)) for order in exchange.changed.values()]
        records += [ExecutionRecord(report=report) for report in exchange.executed]
        records += [FundingRecord(payment=payment) for payment in exchange.paid]
        records.append(self._account_record())
        exchange.changed.clear()
        exchange.executed.clear()
        exchange.paid.clear()
        return records

    def apply_log(self, records: Sequence[LogRecord]) -> None:
        """Redo drained changes on top of a loaded dump or a new venue; records already contained change nothing."""
        exchange = self._exchange
        for record in records:
            match record:
                case OrderRecord():
                    self._put_order(copy.copy(record.order))
                case ExecutionRecord():
                    if not exchange.executions or exchange.executions[-1].exec_seq < record.report.exec_seq:
                        exchange.executions.append(record.report)
                case FundingRecord():
                    if not exchange.fundings or exchange.fundings[-1].exec_seq < record.payment.exec_seq:
                        exchange.fundings.append(record.payment)
                case AccountRecord():
                    if record.exec_seq >= exchange.exec_seq and record.next_order_no >= exchange.next_order_no:
                        self._put_account(record)
        self._rebuild_markets()

    def forget_in_flight(self) -> None:
        """Drop commands and reports under way, and what is known of queues: what a death of the process loses.

        Executions are not lost: they are in the account's history.
        """
        self._commands.clear()
        self._reports.clear()
        self._silenced.clear()
        for instrument_id in self._markets:
            self.on_book_lost(instrument_id)
        self._find_effect_due()

    def dump(self) -> bytes:
        """The whole venue except its books, as msgpack."""
        exchange = self._exchange
        return msgspec.msgpack.encode(
            VenueDump(
                version=DUMP_VERSION,
                venue=self.venue,
                account=self._account_record(),
                open_orders=[one for market in self._markets.values() for one in (*market.orders, *market.waiting)],
                finished_orders=list(exchange.finished.values()),
                executions=list(exchange.executions),
                fundings=list(exchange.fundings),
                marks=list(exchange.marks.values()),
                consumed=[level for market in self._markets.values() for level in market.consumed_levels()],
                commands=list(self._commands),
                reports=list(self._reports),
            )
        )

    def load(self, blob: bytes) -> None:
        """Become what `dump` returned. ``ValueError`` for another venue's dump or another version's."""
        dump = msgspec.msgpack.decode(blob, type=VenueDump)
        if (dump.version, dump.venue) != (DUMP_VERSION, self.venue):
            raise ValueError(f"a dump of {dump.venue} version {dump.version} is not one of {self.venue} {DUMP_VERSION}")
        exchange = self._exchange
        exchange.open = {order.cl_ord_id: order for order in dump.open_orders}
        exchange.finished.clear()
        exchange.finished.update((order.cl_ord_id, order) for order in dump.finished_orders)
        exchange.executions.clear()
        exchange.executions.extend(dump.executions)
        exchange.fundings.clear()
        exchange.fundings.extend(dump.fundings)
        exchange.marks = {mark.instrument_id: mark for mark in dump.marks}
        self._put_account(dump.account)
        for market in self._markets.values():
            market.consumed.clear()
        for level in dump.consumed:
            self._markets[level.instrument_id].consumed[level.taken_from, level.tick] = (level.displayed, level.taken)
        self._commands = deque(dump.commands)
        self._reports = deque(dump.reports)
        self._rebuild_markets()

    def _account_record(self) -> AccountRecord:
        exchange = self._exchange
        return AccountRecord(
            exec_seq=exchange.exec_seq,
            next_order_no=exchange.next_order_no,
            random_state=self._random_state,
            balances=dict(exchange.account.balances),
            positions=dict(exchange.account.positions),
            settled=dict(exchange.settled),
        )

    def _counters(self) -> tuple[int, int, int]:
        """Changes whenever an `AccountRecord` would."""
        return self._exchange.exec_seq, self._exchange.next_order_no, sum(self._exchange.settled.values())

    def _put_account(self, record: AccountRecord) -> None:
        exchange = self._exchange
        exchange.exec_seq = record.exec_seq
        exchange.next_order_no = record.next_order_no
        exchange.account.balances = dict(record.balances)
        exchange.account.positions = dict(record.positions)
        exchange.settled = dict(record.settled)
        self._random_state = record.random_state

    def _put_order(self, order: SimOrder) -> None:
        exchange = self._exchange
        if order.is_open:
            closed = exchange.finished.get(order.cl_ord_id)
            if closed is None or closed.order_no < order.order_no:
                exchange.open[order.cl_ord_id] = order
            return
        exchange.open.pop(order.cl_ord_id, None)
        exchange.finished[order.cl_ord_id] = order
        if len(exchange.finished) > self.config.max_finished_orders:
            exchange.finished.popitem(last=False)

    def _rebuild_markets(self) -> None:
        """Open orders return to their markets in the order in which they were accepted."""
        for market in self._markets.values():
            market.orders, market.waiting = [], []
        for order in self._exchange.open.values():
            market = self._markets[order.instrument_id]
            (market.waiting if order.waits else market.orders).append(order)
        for market in self._markets.values():
            market.rest()
        self._logged = self._counters()
        self._find_effect_due()
