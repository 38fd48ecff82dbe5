"""Lots matched first in, first out, long and short: what every closing execution made of the oldest lots it closed.

A second view of the profit that `trading.ledger` has by average cost. Values are rounded as there, once for each
execution, so that realised profit and the cost of what is still held differ from the ledger's by the same amount.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import Context, Decimal, localcontext

import msgspec

from trading.finance.periods import day_of_ns
from trading.instruments import Instrument, InstrumentKind
from trading.ledger.accounts import ZERO, apportion, eaten, money, pnl_asset, value_of
from trading.orders.messages import InternalCross, OrderFilled

LOTS_MAX = 10_000
CLOSED_MAX = 10_000
DESK = ""
"""The owner of the desk's own lots, beside those of its strategies."""
_EXACT = Context(prec=60)


class Lot(msgspec.Struct, kw_only=True):
    """What one execution opened and nothing has closed yet: signed quantity, its cost (`value_of`, signed alike).

    ``fees`` are what opening it cost, by asset.
    """

    qty: Decimal
    cost: Decimal
    px: Decimal
    fees: dict[str, Decimal]
    opened_ns: int


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """What one execution closed. ``qty`` is positive where a long was closed, negative for a short.

    ``pnl`` is before fees, in ``asset``; ``fees`` are those of closing and the closed lots' own, by asset, positive
    when paid. ``net_usd`` is what is left, at the prices of the moment; None where an asset had none.
    """

    strategy_id: str
    instrument_id: str
    ref: str
    qty: Decimal
    px: Decimal
    pnl: Decimal
    asset: str
    fees: dict[str, Decimal]
    lots: int
    opened_ns: int
    closed_ns: int
    net_usd: Decimal | None = None


class Fifo:
    """The lots of one owner in one instrument, the oldest first.

    ``long_only``: what is sold beyond what was bought opens nothing, and is counted in ``unmatched``.
    """

    def __init__(self, instrument: Instrument, strategy_id: str = DESK, *, long_only: bool = False) -> None:
        self.instrument = instrument
        self.strategy_id = strategy_id
        self.lots: deque[Lot] = deque()
        self.unmatched = ZERO
        self.merged = 0
        """Lots that were put together with the one after them, because there were too many."""
        self._long_only = long_only
        self._held = ZERO

    @property
    def qty(self) -> Decimal:
        """The signed quantity of all lots."""
        return self._held

    @property
    def cost(self) -> Decimal:
        """What all lots did cost."""
        return sum((lot.cost for lot in self.lots), ZERO)

    def trade(
        self, qty: Decimal, px: Decimal, ts_ns: int, *, ref: str = "", fee: Decimal = ZERO, fee_asset: str = ""
    ) -> Closed | None:
        """Add a signed execution; what it closed, if anything."""
        with localcontext(_EXACT):
            held = self.qty
            if not held or (held > 0) == (qty > 0):
                self._open(qty, px, ts_ns, {fee_asset: fee} if fee else {})
                return None
            closing = qty if abs(qty) <= abs(held) else -held
            rest = qty - closing
            for_closing, for_opening = apportion(fee, [abs(closing), abs(rest)]) if rest and fee else (fee, ZERO)
            closed = self._close(closing, px, ts_ns, ref, {fee_asset: for_closing} if for_closing else {})
            if rest:
                self._open(rest, px, ts_ns, {fee_asset: for_opening} if for_opening else {})
            return closed

    def consume(self, qty: Decimal, px: Decimal, ts_ns: int, *, bought: bool) -> Decimal:
        """Take out what a fee in the coin itself took, of the lot just bought or else of the oldest; at what cost.

        Beyond the lots it is bought at ``px``. A rebate in the coin is negative and comes as a lot at ``px``.
        """
        with localcontext(_EXACT):
            taken, left = ZERO, qty
            while left and self.lots and (self.lots[0].qty > 0) == (left > 0):
                lot = self.lots[-1] if bought else self.lots[0]
                whole = abs(lot.qty) <= abs(left)
                part, share = (lot.qty, lot.cost) if whole else (left, money(lot.cost * left / lot.qty))
                lot.qty -= part
                lot.cost -= share
                self._held -= part
                taken, left = taken + share, left - part
                if whole:
                    (self.lots.pop if bought else self.lots.popleft)()
            if left:
                self._open(-left, px, ts_ns, {})
                taken += value_of(self.instrument, left, px)
            return taken

    def _open(self, qty: Decimal, px: Decimal, ts_ns: int, fees: dict[str, Decimal]) -> None:
        if qty < 0 and self._long_only:
            self.unmatched -= qty
            return
        self._held += qty
        self.lots.append(Lot(qty=qty, cost=value_of(self.instrument, qty, px), px=px, fees=fees, opened_ns=ts_ns))
        if len(self.lots) > LOTS_MAX:
            # Nothing is lost but which of the two is closed first.
            oldest, second = self.lots.popleft(), self.lots[0]
            second.qty += oldest.qty
            second.cost += oldest.cost
            second.opened_ns = oldest.opened_ns
            second.fees = _sum(second.fees, oldest.fees)
            self.merged += 1

    def _close(self, qty: Decimal, px: Decimal, ts_ns: int, ref: str, fees: dict[str, Decimal]) -> Closed:
        cost, left, lots, opened_ns = ZERO, abs(qty), 0, ts_ns
        while left:
            lot = self.lots[0]
            size = abs(lot.qty)
            lots += 1
            opened_ns = min(opened_ns, lot.opened_ns)
            if size <= left:
                self.lots.popleft()
                part, share, paid = size, lot.cost, lot.fees
            else:
                part, share = left, money(lot.cost * left / size)
                paid = {asset: money(fee * left / size) for asset, fee in lot.fees.items()}
                lot.qty -= part if lot.qty > 0 else -part
                lot.cost -= share
                lot.fees = {asset: fee - paid[asset] for asset, fee in lot.fees.items()}
            cost += share
            fees = _sum(fees, paid)
            left -= part
        self._held += qty
        both = cost + value_of(self.instrument, qty, px)
        return Closed(
            strategy_id=self.strategy_id,
            instrument_id=self.instrument.instrument_id,
            ref=ref,
            qty=-qty,
            px=px,
            pnl=both if self.instrument.kind is InstrumentKind.INVERSE else -both,
            asset=pnl_asset(self.instrument),
            fees=fees,
            lots=lots,
            opened_ns=opened_ns,
            closed_ns=ts_ns,
        )


class ClosedTrades:
    """What was closed, of the desk and of each strategy, and what came of it: the newest of them, and sums by day.

    ``price`` answers an asset's price in USD at the moment, or None.
    """

    def __init__(self, price: Callable[[str], Decimal | None], *, long_only: bool = False) -> None:
        self._price = price
        self._long_only = long_only
        self._lots: dict[tuple[str, str], Fifo] = {}
        self._closed: dict[str, deque[Closed]] = {}
        self._days: dict[tuple[str, int], Decimal] = {}
        self.unvalued = 0
        """Closed trades in an asset without a price: they are in no sum."""

    def fill(self, m: OrderFilled, instrument: Instrument) -> None:
        """One execution: in the desk's lots, and in those of each strategy by its leg."""
        in_base = bool(eaten(m, instrument))
        self._trade(self._of(DESK, instrument), m, m.last_qty, m.fee, in_base=in_base)
        fees = apportion(m.fee, [leg.qty for leg in m.legs]) if m.legs else []
        for leg, fee in zip(m.legs, fees, strict=True):
            self._trade(self._of(leg.strategy_id, instrument), m, leg.qty, fee, in_base=in_base)

    def cross(self, m: InternalCross, instrument: Instrument) -> None:
        """A position passed from one strategy to another; the desk's lots do not notice."""
        for strategy_id, sign in ((m.buyer_id, 1), (m.seller_id, -1)):
            self._take(self._of(strategy_id, instrument).trade(sign * m.qty, m.price, m.ts_init_ns, ref=m.cross_id))

    def last_closed_pnls(self, n: int, strategy_id: str = DESK) -> list[Decimal]:
        """Profit after fees in USD of the newest ``n`` closing executions, the oldest of them first."""
        known = [one.net_usd for one in self._closed.get(strategy_id, ()) if one.net_usd is not None]
        return known[-n:] if n > 0 else []

    def get_realized_pnl(self, days: int, now_ns: int, strategy_id: str = DESK) -> Decimal:
        """Profit after fees in USD of what was closed in the last ``days`` UTC days, the one of ``now_ns`` included."""
        today = day_of_ns(now_ns)
        return sum((self._days.get((strategy_id, day), ZERO) for day in range(today - days + 1, today + 1)), ZERO)

    def closed(self, strategy_id: str = DESK) -> list[Closed]:
        """The newest closed trades, oldest first."""
        return list(self._closed.get(strategy_id, ()))

    def lots(self, instrument_id: str, strategy_id: str = DESK) -> Fifo | None:
        """The open lots, or None where nothing was ever traded."""
        return self._lots.get((strategy_id, instrument_id))

    def _of(self, strategy_id: str, instrument: Instrument) -> Fifo:
        key = (strategy_id, instrument.instrument_id)
        found = self._lots.get(key)
        if found is None:
            found = self._lots[key] = Fifo(instrument, strategy_id, long_only=self._long_only)
        return found

    def _trade(self, lots: Fifo, m: OrderFilled, size: Decimal, fee: Decimal, *, in_base: bool) -> None:
        qty, paid = m.side.sign * size, ZERO if in_base else fee
        ref = f"{m.venue}:{m.exec_id}"
        closed = lots.trade(qty, m.last_px, m.ts_event_ns, ref=ref, fee=paid, fee_asset=m.fee_asset)
        if in_base and fee:
            cost = {lots.instrument.quote: lots.consume(fee, m.last_px, m.ts_event_ns, bought=qty > 0)}
            if closed is not None:
                closed = msgspec.structs.replace(closed, fees=_sum(closed.fees, cost))
            elif lots.lots:
                lots.lots[-1].fees = _sum(lots.lots[-1].fees, cost)
        self._take(closed)

    def _take(self, closed: Closed | None) -> None:
        if closed is None:
            return
        closed = msgspec.structs.replace(closed, net_usd=self._net(closed))
        self._closed.setdefault(closed.strategy_id, deque(maxlen=CLOSED_MAX)).append(closed)
        if closed.net_usd is None:
            self.unvalued += 1
            return
        key = (closed.strategy_id, day_of_ns(closed.closed_ns))
        self._days[key] = self._days.get(key, ZERO) + closed.net_usd

    def _net(self, closed: Closed) -> Decimal | None:
        with localcontext(_EXACT):
            total = ZERO
            for asset, amount in ((closed.asset, closed.pnl), *((a, -fee) for a, fee in closed.fees.items())):
                if not amount:
                    continue
                price = self._price(asset)
                if price is None:
                    return None
                total += amount * price
            return money(total)


def _sum(one: dict[str, Decimal], other: dict[str, Decimal]) -> dict[str, Decimal]:
    return {asset: one.get(asset, ZERO) + other.get(asset, ZERO) for asset in {**one, **other}}
