"""The portfolio's actor: positions, ledger and PnL, all folded from what the journal holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from actors.messages import AskPositions, DayPnl, JournalHistory, OwnFill, Positions, ReadJournal, RowsCommitted
from actors.recon import ReconDesk, ReconSetup
from actors.shell import Shell
from trading.instruments import Instrument
from trading.ledger.accounts import moves
from trading.ledger.portfolio import DAY_NS, Portfolio
from trading.market.events import BookState, BookTop, MarkPrice
from trading.operators import OperatorCommand, Published, Topic
from trading.orders.journal_rows import event_id
from trading.orders.messages import AccountState, FundingPayment, InternalCross, OrderFilled
from trading.orders.order import EXTERNAL
from trading.recon.books import Books
from trading.recon.difference import AccountCompared
from trading.risk.limits import OPERATOR

_ONE = Decimal(1)
_SYNCED = BookState.SYNCED
_CENT_OF_CENT = Decimal("0.00000001")

_NOBODYS = frozenset({OPERATOR, EXTERNAL})
"""Owners of executions that are no actors."""


class PortfolioSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What the portfolio is built from; what it opens with, each venue says in its first account.

    ``ops`` None: nobody looks (virtual time), so only the governor is told. ``early_max``: how many facts wait for the
    journal's history before it is read again. ``recon`` None: what is booked is not compared with anybody's.
    """

    instruments: dict[str, Instrument]
    strategies: tuple[str, ...] = ()
    publish_ns: int = 500_000_000
    early_max: int = 4_096
    journal: str = "journal"
    governor: str = "governor"
    ops: str | None = "ops"
    recon: ReconSetup | None = None


class PortfolioActor(Shell):
    """Rebuilds itself from the journal, then follows it."""

    def start(self, setup: PortfolioSetup) -> None:
        """Ask for the journal's rows."""
        self._setup = setup
        self._books = Books(setup.instruments)
        self._recon = self._reconciliation(setup.recon)
        self._rebuilding = False
        self._opened: set[str] = set()
        self.fills_by_strategy: dict[str, int] = {}
        self._whole = False
        self._askers: dict[str, None] = {}
        self._early: list[OrderFilled | InternalCross | FundingPayment] = []
        self._early_accounts: dict[str, AccountState] = {}
        self._read_again = False
        self._in_history: set[tuple[str, str]] = set()
        self._mids: dict[str, tuple[int, int]] = {}
        self._told: DayPnl | None = None
        self._idle = False
        self.tell(setup.journal, ReadJournal(reply_to=self.name))

    @property
    def core(self) -> Portfolio:
        """For the replay's report; live readers get `Published` facts."""
        return self._books.portfolio

    @property
    def recon(self) -> ReconDesk | None:
        """For reports and audits."""
        return self._recon

    @property
    def books(self) -> Books:
        """Both bookkeepings."""
        return self._books

    def _reconciliation(self, setup: ReconSetup | None) -> ReconDesk | None:
        if setup is None:
            return None
        return ReconDesk(setup, self._books, self.tell, name=self.name, reread=self._reread, now_ns=self.now_ns())

    def on(self, msg: Any) -> None:
        """Fold facts; answer who asks what we hold."""
        kind = type(msg)
        if kind is BookTop:
            if msg.bids and msg.asks and msg.state is _SYNCED:
                self._mids[msg.instrument_id] = (msg.bids[0][0], msg.asks[0][0])
        elif kind is JournalHistory:
            self._history(msg.rows)
        elif kind is AskPositions:
            if self._whole:
                self._answer(msg.reply_to)
            else:
                self._askers[msg.reply_to] = None
        elif kind is OrderFilled or kind is InternalCross or kind is FundingPayment:
            if self._whole:
                self._fold(msg)
            elif len(self._early) < self._setup.early_max:
                self._early.append(msg)
            else:
                # Whatever is told is in the journal already: let it go, and read that again.
                self._early.clear()
                self._read_again = True
        elif kind is AccountState:
            if self._whole:
                self._open(msg)
            else:
                self._early_accounts.setdefault(msg.venue, msg)
        elif kind is MarkPrice:
            self.core.mark(msg.instrument_id, msg.mark_price)
        elif kind is AccountCompared:
            if self._recon is not None and self._whole:
                self._recon.compared(msg, self.now_ns())
        elif kind is OperatorCommand:
            if self._recon is not None and self._whole:
                self._recon.adopt(msg, self.now_ns())
        elif kind is RowsCommitted:
            if self._recon is not None:
                self._recon.committed(msg.commit_ids, self.now_ns())
        else:
            self.unknown(msg)

    def _history(self, rows: Any) -> None:
        """Begin with what the journal holds, then fold what came while it was read."""
        if self._whole:
            return
        if self._read_again:
            self._read_again = False
            self._early.clear()
            self.tell(self._setup.journal, ReadJournal(reply_to=self.name))
            return
        self._read(rows)
        self._opened.update(self.core.balances_by_venue())
        self._whole = True
        # A row is read as soon as it is durable, and told a moment later: at the seam a fact may come from both sides.
        self._in_history = {(r.venue, r.exec_id) for r in rows[-self._setup.early_max :] if r.exec_id is not None}
        for account in self._early_accounts.values():
            self._open(account)
        for early in self._early:
            self._fold(early)
        self._early.clear()
        if self._rebuilding:
            self._rebuilding = False
            assert self._recon is not None
            self._recon.rebuilt(self._books, self.now_ns())
            return
        # A strategy that outlived us may have missed a fill that was journalled while nobody could tell it.
        for asker in dict.fromkeys((*self._askers, *(f"strategy.{s}" for s in self._setup.strategies))):
            self._answer(asker)
        self._askers.clear()
        self.wake_after(self._setup.publish_ns, "publish")

    def _read(self, rows: Any) -> None:
        """Make the books of what the journal holds."""
        if self._recon is None or self._rebuilding:
            self._books.rebuild(rows)
        else:
            self._recon.begin(rows, self._books, self.now_ns())

    def _reread(self) -> None:
        """The books are not what the facts make of them: they are made anew, and what comes meanwhile waits."""
        marks = {i: self.core.mark_of(i) for i in self._setup.instruments}
        self._books = Books(self._setup.instruments)
        for instrument_id, price in marks.items():
            if price is not None:
                self.core.mark(instrument_id, price)
        self._whole, self._rebuilding = False, True
        self._early_accounts.clear()
        self.tell(self._setup.journal, ReadJournal(reply_to=self.name))

    def _open(self, msg: AccountState) -> None:
        first = msg.venue not in self._opened
        if first:
            self._opened.add(msg.venue)
            self._busy()
            self._books.opening(msg.venue, msg.balances, msg.ts_init_ns)
        if self._recon is not None:
            self._recon.account(msg, self.now_ns(), first=first)

    def _fold(self, msg: OrderFilled | InternalCross | FundingPayment) -> None:
        if self._in_history and self._row_key(msg) in self._in_history:
            return
        self._busy()
        if self._recon is None:
            self._books.fold(msg)
        else:
            self._recon.folded(msg, self._books.fold_moving(msg), self.now_ns())
        match msg:
            case OrderFilled():
                changes = moves(msg, self._setup.instruments[msg.instrument_id])
                for leg, change in zip(msg.legs, changes, strict=True):
                    self.fills_by_strategy[leg.strategy_id] = self.fills_by_strategy.get(leg.strategy_id, 0) + 1
                    self._own(leg.strategy_id, msg.instrument_id, change > 0, abs(change), msg.last_px)
            case InternalCross():
                self._own(msg.buyer_id, msg.instrument_id, True, msg.qty, msg.price)
                self._own(msg.seller_id, msg.instrument_id, False, msg.qty, msg.price)
            case FundingPayment():
                pass  # no strategy is told

    def _busy(self) -> None:
        if self._idle:
            self._idle = False
            self.wake_after(self._setup.publish_ns, "publish")

    def _row_key(self, msg: OrderFilled | InternalCross | FundingPayment) -> tuple[str, str]:
        if type(msg) is InternalCross:
            return self._setup.instruments[msg.instrument_id].venue, event_id(msg)
        return msg.venue, event_id(msg)  # type: ignore[union-attr]

    def _own(self, strategy_id: str, instrument_id: str, buy: bool, qty: Decimal, price: Decimal) -> None:
        if strategy_id in _NOBODYS:
            return  # What an operator ordered, or a stranger did, is in the books and asks no strategy.
        self.tell(
            f"strategy.{strategy_id}",
            OwnFill(instrument_id=instrument_id, buy=buy, qty=str(qty), price=str(price)),
        )

    def _answer(self, asker: str) -> None:
        self.tell(
            asker,
            Positions(
                by_instrument={k: str(p.qty) for k, p in self.core.positions().items()},
                by_strategy={
                    s: {k: str(p.qty) for k, p in held.items()} for s, held in self.core.positions_by_strategy().items()
                },
            ),
        )

    def on_tick(self, tag: str) -> None:
        """Mark to the proved mids, tell the governor and the operators; compare what is to be compared."""
        now = self.now_ns()
        day = now // DAY_NS
        if not self._whole:
            # Books that are being made anew are nobody's news.
            self.wake_after(self._setup.publish_ns, "publish")
            return
        self.mark_to_mid()
        self.core.roll(now)
        equity = self._equity(self.core.balances_by_venue())
        profit = DayPnl(day=day, day_usd=_usd(self.core.day_usd()), equity_usd=_usd(equity))
        if profit != self._told:
            self._told = profit
            self.tell(self._setup.governor, profit)
        ops = self._setup.ops
        # With nothing that has a price and nobody who looks, only a fact or a new day changes anything.
        self._idle = ops is None and not self.core.is_priced()
        self.wake_after((day + 1) * DAY_NS - now if self._idle else self._setup.publish_ns, "publish")
        if ops is None:
            return
        view: Any = self.core.pnl_view()
        self.tell(ops, Published(topic=Topic.PNL, key="desk", body=self.pnl_body(view), ts_ns=now))
        for row in self.position_bodies(view["by_instrument"]):
            self.tell(ops, Published(topic=Topic.POSITION, key=str(row["instrument_id"]), body=row, ts_ns=now))
        if self._recon is not None:
            self._recon.tick(now)

    def stop(self) -> None:
        """The session's statement is left behind."""
        if self._recon is not None and self._whole:
            self._recon.stop(self.now_ns())

    def mark_to_mid(self) -> None:
        """Value every instrument at its proved mid."""
        for instrument_id, (bid, ask) in self._mids.items():
            self.core.mark(instrument_id, self._setup.instruments[instrument_id].tick_size * (bid + ask) / 2)

    def pnl_body(self, view: Any = None) -> dict[str, Any]:
        """PnL for operators: USD as decimal strings, 8 digits where a division was needed."""
        view = view if view is not None else self.core.pnl_view()
        balances = self.core.balances_by_venue()

        def rows(table: Any) -> dict[str, dict[str, str]]:
            return {k: {f"{name}_usd": _usd(v) for name, v in row.items()} for k, row in table.items()}

        return {
            "total_usd": _usd(view["total"]),
            "realized_usd": _usd(view["realized"]),
            "unrealized_usd": _usd(view["unrealized"]),
            "fees_usd": _usd(view["fees"]),
            "funding_usd": _usd(view["funding"]),
            "day_usd": _usd(view["day"]),
            "equity_usd": _usd(self._equity(balances)),
            "by_strategy": rows(view["by_strategy"]),
            "by_instrument": rows(view["by_instrument"]),
            "ledger_residual": str(view["ledger_residual"]),
            "unvalued": view["unvalued"],
            "balances": {v: {a: str(q) for a, q in held.items()} for v, held in balances.items()},
        }

    def _equity(self, balances: dict[str, dict[str, Decimal]]) -> Decimal:
        """Cash of every venue in USD plus open profit of derivatives."""
        prices: dict[str, Decimal] = {}
        for instrument_id, (bid, ask) in self._mids.items():
            instrument = self._setup.instruments[instrument_id]
            if instrument.base not in prices:
                prices[instrument.base] = instrument.tick_size * (bid + ask) / 2
        cash = sum((q * prices.get(a, _ONE) for held in balances.values() for a, q in held.items()), Decimal(0))
        return cash + self.core.open_profit_usd()

    def position_bodies(self, pnl: Any) -> list[dict[str, object]]:
        """One row an instrument that was ever traded; a flat one says so."""
        held = self.core.positions()
        shares = self.core.positions_by_strategy()
        out: list[dict[str, object]] = []
        for instrument_id, row in pnl.items():
            instrument = self._setup.instruments[instrument_id]
            position = held.get(instrument_id)
            qty = position.qty if position is not None else Decimal(0)
            sign = 1 if qty >= 0 else -1
            mark = position.mark_px if position is not None else None
            out.append(
                {
                    "instrument_id": instrument_id,
                    "venue": instrument.venue,
                    "qty": str(qty),
                    "avg_px": str(position.avg_px) if position is not None else None,
                    "mark": None if mark is None else str(mark),
                    "notional_usd": "0" if mark is None else _usd(sign * instrument.notional(qty, mark)),
                    "unrealized_usd": _usd(row["unrealized"]),
                    "realized_usd": _usd(row["realized"]),
                    "by_strategy": {s: str(h[instrument_id].qty) for s, h in shares.items() if instrument_id in h},
                }
            )
        return out


def _usd(amount: Any) -> str:
    return str(Decimal(amount).quantize(_CENT_OF_CENT))
