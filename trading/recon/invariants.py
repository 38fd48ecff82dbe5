"""What must be true of the books at any moment, whatever happened: cash, positions, profit, double entry, shares.

Compares the projection (`trading.ledger.portfolio`) with `Flows`, which was added up beside it from the same facts.
Finds violations; healing and quarantine are whose books they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.ledger.accounts import ZERO, pnl_asset
from trading.ledger.ledger import Book
from trading.ledger.portfolio import Portfolio
from trading.recon.flows import Flows, Traded, profit, realized


class Invariant(Enum):
    """What is checked."""

    POSITION = "position"  # position = sum of executions, less what fees took out of it
    CASH = "cash"  # cash = opening + trading - fees + rebates + funding
    PNL = "pnl"  # profit = realised + open = worth of what is held less what was put in
    LEDGER = "ledger"  # every asset's accounts sum to zero, and both bookkeepings agree
    SHARES = "shares"  # the strategies' holdings sum to the desk's


WORDS: dict[Invariant, str] = {
    Invariant.POSITION: "position = sum(fills)",
    Invariant.CASH: "cash = opening + sum(fills) - fees + rebates + funding",
    Invariant.PNL: "pnl = realized + unrealized",
    Invariant.LEDGER: "every entry sums to zero, and the ledger equals the portfolio",
    Invariant.SHARES: "sum of the strategies = the desk",
}


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it must be: what was seen, and what follows from the facts."""

    invariant: Invariant
    scope: str
    subject: str
    seen: str
    expected: str

    def __str__(self) -> str:
        return f"{self.invariant.value} of {self.subject}: {self.seen}, from the facts {self.expected}"


def violations(portfolio: Portfolio, flows: Flows, instruments: Mapping[str, Instrument]) -> list[Violation]:
    """Everything that is wrong; empty as long as the books are sound."""
    found = _positions(portfolio, flows)
    found += _cash(portfolio, flows, instruments)
    found += _profits(portfolio, flows, instruments)
    residual = portfolio.ledger_residual()
    if residual:
        found.append(_violation(Invariant.LEDGER, "global", "all accounts", residual, ZERO))
    return found


def _violation(invariant: Invariant, scope: str, subject: str, seen: Decimal, expected: Decimal) -> Violation:
    return Violation(invariant=invariant, scope=scope, subject=subject, seen=str(seen), expected=str(expected))


def _positions(portfolio: Portfolio, flows: Flows) -> list[Violation]:
    found = []
    shares: dict[str, Decimal] = {}
    for (_, instrument_id), line in portfolio.lines_by_strategy().items():
        shares[instrument_id] = shares.get(instrument_id, ZERO) + line.holding.qty
    for instrument_id, line in portfolio.lines().items():
        scope, held = f"symbol:{instrument_id}", line.holding.qty
        wanted = flows.traded[instrument_id].qty if instrument_id in flows.traded else ZERO
        if held != wanted:
            found.append(_violation(Invariant.POSITION, scope, instrument_id, held, wanted))
        if held != shares.get(instrument_id, ZERO):
            found.append(_violation(Invariant.SHARES, scope, instrument_id, held, shares.get(instrument_id, ZERO)))
    gone = [i for i, traded in flows.traded.items() if traded.qty and i not in portfolio.lines()]
    found += [_violation(Invariant.POSITION, f"symbol:{i}", i, ZERO, flows.traded[i].qty) for i in gone]
    return found


def _cash(portfolio: Portfolio, flows: Flows, instruments: Mapping[str, Instrument]) -> list[Violation]:
    """Of contracts, what they realised is worked out from the values of all executions and what is held yet."""
    made: dict[tuple[str, str], Decimal] = {}
    lines = portfolio.lines()
    for instrument_id, traded in flows.traded.items():
        instrument = instruments[instrument_id]
        if instrument.kind is InstrumentKind.SPOT or instrument_id not in lines:
            continue
        key = (instrument.venue, instrument.settle)
        made[key] = made.get(key, ZERO) + realized(traded, lines[instrument_id].holding.cost, instrument)
    cash = portfolio.ledger.balances(Book.CASH)
    found = []
    for key in sorted(cash.keys() | flows.assets.keys() | made.keys()):
        flow = flows.assets.get(key)
        wanted = (flow.cash if flow is not None else ZERO) + made.get(key, ZERO)
        seen = cash.get(key, ZERO)
        if seen != wanted:
            found.append(_violation(Invariant.CASH, f"venue:{key[0]}", f"{key[0]} {key[1]}", seen, wanted))
    return found


def _profits(portfolio: Portfolio, flows: Flows, instruments: Mapping[str, Instrument]) -> list[Violation]:
    found = []
    for instrument_id, line in portfolio.lines().items():
        instrument = instruments[instrument_id]
        mark = portfolio.mark_of(instrument_id)
        if mark is None:
            continue
        traded = flows.traded.get(instrument_id, Traded())
        asset = pnl_asset(instrument)
        seen = line.realized.get(asset, ZERO) - line.fees.get(asset, ZERO) + line.funding.get(asset, ZERO)
        seen += line.holding.unrealized(mark, instrument)
        wanted = profit(traded, mark, instrument) - traded.own_fees + traded.funding
        if seen != wanted:
            found.append(_violation(Invariant.PNL, f"symbol:{instrument_id}", instrument_id, seen, wanted))
    return found
