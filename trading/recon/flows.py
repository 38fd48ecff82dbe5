"""Everything that ever moved cash or a position, added up from the facts alone.

A second bookkeeping beside `trading.ledger`, without average cost, entries or strategies: what it says of cash,
positions and profit has to equal what the projection says, and `trading.recon.invariants` asks that all the time.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.ledger.accounts import ZERO, eaten, pnl_asset, value_of
from trading.ledger.late import LATE_MAX, Order, take_newer, venue_order
from trading.orders.messages import FundingPayment, InternalCross, OrderFilled


class AssetFlow(msgspec.Struct, kw_only=True):
    """What moved one asset at one venue. Fees are positive when paid, rebates when received.

    ``trading`` leaves out the profit that contracts realised: that depends on what is still held, see `Traded.value`.
    """

    opening: Decimal = ZERO
    trading: Decimal = ZERO
    fees: Decimal = ZERO
    rebates: Decimal = ZERO
    funding: Decimal = ZERO

    def minus(self, earlier: AssetFlow) -> AssetFlow:
        """What was added since ``earlier``."""
        return AssetFlow(
            opening=self.opening - earlier.opening,
            trading=self.trading - earlier.trading,
            fees=self.fees - earlier.fees,
            rebates=self.rebates - earlier.rebates,
            funding=self.funding - earlier.funding,
        )

    @property
    def cash(self) -> Decimal:
        """What all of it does to cash."""
        return self.opening + self.trading - self.fees + self.rebates + self.funding


class Traded(msgspec.Struct, kw_only=True):
    """What was executed in one instrument: signed quantity, its signed value (`value_of`), counts.

    ``own_fees`` were paid in the asset of its profit, ``eaten`` out of the holding itself; ``funding`` in the former.
    """

    qty: Decimal = ZERO
    value: Decimal = ZERO
    own_fees: Decimal = ZERO
    eaten: Decimal = ZERO
    funding: Decimal = ZERO
    fills: int = 0
    bought: Decimal = ZERO
    sold: Decimal = ZERO


class _Rounded(msgspec.Struct, frozen=True, gc=False):
    """A trade in contracts of which the value is rounded, and what was there before it."""

    at: Order
    qty: Decimal
    px: Decimal
    held: Decimal
    value: Decimal


class Flows:
    """Adds up; answers in the ledger's terms."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self.assets: dict[tuple[str, str], AssetFlow] = {}
        self.traded: dict[str, Traded] = {}
        self.crosses = 0
        self._rounded: dict[str, deque[_Rounded]] = {}

    def opening(self, venue: str, balances: Mapping[str, Decimal]) -> None:
        """What a venue's account began with."""
        for asset, amount in balances.items():
            if amount:
                self._asset(venue, asset).opening += amount

    def fill(self, m: OrderFilled) -> None:
        """One execution."""
        instrument = self._instruments[m.instrument_id]
        traded = self.traded.setdefault(m.instrument_id, Traded())
        qty, in_base = m.side.sign * m.last_qty, eaten(m, instrument)
        if instrument.kind is InstrumentKind.INVERSE:
            self._inverse(traded, m, qty, instrument)
        else:
            traded.value += value_of(instrument, qty, m.last_px)
            traded.qty += qty
        traded.fills += 1
        if qty > 0:
            traded.bought += qty
        else:
            traded.sold -= qty
        if instrument.kind is InstrumentKind.SPOT:
            self._asset(m.venue, instrument.base).trading += qty
            self._asset(m.venue, instrument.quote).trading -= qty * m.last_px * instrument.multiplier
        paid = self._asset(m.venue, m.fee_asset) if m.fee else None
        if paid is not None:
            paid.fees += max(m.fee, ZERO)
            paid.rebates += max(-m.fee, ZERO)
        traded.qty -= in_base
        traded.eaten += in_base
        if not in_base and m.fee_asset == pnl_asset(instrument):
            traded.own_fees += m.fee

    def funding(self, m: FundingPayment) -> None:
        """One settlement."""
        self._asset(m.venue, m.asset).funding += m.amount
        instrument = self._instruments[m.instrument_id]
        if m.asset == pnl_asset(instrument):
            self.traded.setdefault(m.instrument_id, Traded()).funding += m.amount

    def cross(self, _m: InternalCross) -> None:
        """Moves nothing of the desk's."""
        self.crosses += 1

    def copy(self) -> Flows:
        """As they are now, for what is asked since a moment: not to be added to."""
        found = Flows(self._instruments)
        found.assets = copy.deepcopy(self.assets)
        found.traded = copy.deepcopy(self.traded)
        found.crosses = self.crosses
        return found

    def _inverse(self, traded: Traded, m: OrderFilled, qty: Decimal, instrument: Instrument) -> None:
        """Where a holding turns over is where its value is rounded twice, so the venue's order counts."""
        at = venue_order(m)
        steps = self._rounded.setdefault(m.instrument_id, deque(maxlen=LATE_MAX))
        newer = take_newer(steps, at)
        if newer:
            traded.qty, traded.value = newer[-1].held, newer[-1].value
        for step in (_Rounded(at, qty, m.last_px, ZERO, ZERO), *reversed(newer)):
            steps.append(_Rounded(step.at, step.qty, step.px, traded.qty, traded.value))
            _trade(traded, step.qty, step.px, instrument)

    def _asset(self, venue: str, asset: str) -> AssetFlow:
        flow = self.assets.get((venue, asset))
        if flow is None:
            flow = self.assets[venue, asset] = AssetFlow()
        return flow


def realized(traded: Traded, cost: Decimal, instrument: Instrument) -> Decimal:
    """The trading profit of everything executed, when ``cost`` is what the holding that is left did cost.

    Value bought and not held any more was sold: no average cost is needed but that of what is left.
    """
    if instrument.kind is InstrumentKind.INVERSE:
        return traded.value - cost
    return cost - traded.value


def profit(traded: Traded, mark: Decimal, instrument: Instrument) -> Decimal:
    """Realised and open profit together, before fees: what the holding is worth less what was put in for it."""
    worth = value_of(instrument, traded.qty, mark) if traded.qty else ZERO
    return traded.value - worth if instrument.kind is InstrumentKind.INVERSE else worth - traded.value


def _trade(traded: Traded, qty: Decimal, px: Decimal, instrument: Instrument) -> None:
    held = traded.qty
    if held and (held > 0) != (qty > 0) and abs(qty) > abs(held):
        # Values of contracts in base coin are rounded one by one: what closes and what opens are two.
        traded.value += value_of(instrument, -held, px) + value_of(instrument, qty + held, px)
    else:
        traded.value += value_of(instrument, qty, px)
    traded.qty += qty
