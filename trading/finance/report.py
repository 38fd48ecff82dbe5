"""The summary: what the desk has at each venue and in all, in USD, and what it made by period, venue and owner.

Balances, positions and equity are as of the book's last fact, valued at the marks that are given or else at the
journal's; flows are those of the range, in their own assets exactly and in USD at the prices of their moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Context, Decimal, localcontext

import msgspec

from trading.finance.book import Bucket, FinanceBook, Flow, PaidIn
from trading.finance.external import External
from trading.finance.periods import BOUNDARIES, Period, first_day, label_of, next_day
from trading.finance.prices import Mark
from trading.instruments import InstrumentKind
from trading.ledger.accounts import ZERO, money, pnl_asset
from trading.ledger.portfolio import DAY_NS, Position
from trading.sim.config import SimConfig

LEVERAGE: Decimal = SimConfig(initial_balances={}).leverage
"""What margin is told at where nobody says at which leverage the account stands."""
LAST_CLOSED = 20
_EXACT = Context(prec=60)


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """Flows of a range: fees positive when paid, rebates and funding when received, ``net`` what is left of all."""

    realized_usd: Decimal
    fees_usd: Decimal
    rebates_usd: Decimal
    funding_usd: Decimal
    net_usd: Decimal
    turnover_usd: Decimal
    fills: int
    assets: dict[str, dict[str, Decimal]]
    unvalued: int


class PeriodRow(msgspec.Struct, frozen=True, kw_only=True):
    """One day, week or month; what lies outside the range that was asked for is not in it."""

    label: str
    from_ns: int
    to_ns: int
    flows: Amounts


class OwnerRow(msgspec.Struct, frozen=True, kw_only=True):
    """Flows of one venue, instrument or strategy."""

    name: str
    flows: Amounts


class BalanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """Cash of one asset by the ledger; ``price_usd`` and ``usd`` None where nothing says what it is worth."""

    asset: str
    amount: Decimal
    price_usd: Decimal | None
    usd: Decimal | None


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A holding, valued at its mark. ``margin_usd`` is 0 for spot, which is paid for."""

    instrument_id: str
    qty: Decimal
    avg_px: Decimal
    mark_px: Decimal | None
    unrealized: Decimal
    asset: str
    unrealized_usd: Decimal
    notional_usd: Decimal
    margin_usd: Decimal


class VenueRow(msgspec.Struct, frozen=True, kw_only=True):
    """One venue, in USD: cash of every asset, open profit of contracts (not spot: its coins are cash), and both."""

    venue: str
    cash_usd: Decimal
    unrealized_usd: Decimal
    equity_usd: Decimal
    margin_usd: Decimal
    balances: tuple[BalanceRow, ...]
    positions: tuple[PositionRow, ...]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Cash, open profit, equity and margin of the venues asked for; of the whole desk the ledger's profit.

    ``pnl_usd`` is since it began, open profit included, at these marks. ``revaluation_usd``: what profit that was paid
    in coin, and fees, gained in USD since they were paid; with it the flows of all time are ``ledger_realized_usd``.
    """

    cash_usd: Decimal
    unrealized_usd: Decimal
    equity_usd: Decimal
    margin_usd: Decimal
    pnl_usd: Decimal
    ledger_realized_usd: Decimal
    ledger_unrealized_usd: Decimal
    revaluation_usd: Decimal
    ledger_residual: Decimal


class ClosedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One closing execution by first in, first out."""

    instrument_id: str
    ref: str
    qty: Decimal
    px: Decimal
    pnl: Decimal
    asset: str
    net_usd: Decimal | None
    lots: int
    opened_ns: int
    closed_ns: int


class ClosedTold(msgspec.Struct, frozen=True, kw_only=True):
    """Closed trades of the range among the newest that are kept; ``last`` are the newest of them, oldest first."""

    count: int
    won: int
    lost: int
    net_usd: Decimal
    last: tuple[ClosedRow, ...]


class PaidInRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid in, less what was taken out, in the range; ``usd`` at the prices of the moments."""

    venue: str
    asset: str
    amount: Decimal
    usd: Decimal


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Decimals are exact but for USD, which has 8 digits. ``rows`` is the journal's last row in it."""

    by: str
    from_ns: int
    to_ns: int
    rows: int
    first_ns: int
    last_ns: int
    boundaries: str
    leverage: Decimal
    totals: Totals
    flows: Amounts
    periods: tuple[PeriodRow, ...]
    venues: tuple[VenueRow, ...]
    by_venue: tuple[OwnerRow, ...]
    by_instrument: tuple[OwnerRow, ...]
    by_strategy: tuple[OwnerRow, ...]
    paid_in: tuple[PaidInRow, ...]
    external: tuple[External, ...]
    closed: ClosedTold
    marks: dict[str, Mark]
    unvalued: tuple[str, ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a summary is asked for: days from 1970-01-01, the last one included; None: without an end."""

    by: Period = Period.DAY
    from_day: int | None = None
    to_day: int | None = None
    venue: str = ""
    leverage: Decimal = LEVERAGE

    def has(self, day: int) -> bool:
        """Whether a day lies in the range."""
        return (self.from_day is None or day >= self.from_day) and (self.to_day is None or day <= self.to_day)


def summary(book: FinanceBook, asked: Asked, marks: Mapping[str, Mark] | None = None) -> Summary:
    """The summary of a book. ``marks`` win over the journal's prices; ``ValueError`` for one that is not positive."""
    known = {**book.prices.marks, **{i: m for i, m in (marks or {}).items() if i in book.instruments}}
    for instrument_id, mark in known.items():
        book.portfolio.mark(instrument_id, mark.price)
    with localcontext(_EXACT):
        return _summary(book, asked, known)


def _summary(book: FinanceBook, asked: Asked, marks: Mapping[str, Mark]) -> Summary:
    unvalued: set[str] = set()
    venues = _venues(book, asked, unvalued)
    mine = {
        key: bucket
        for key, bucket in book.by_instrument.items()
        if asked.has(key[0]) and asked.venue in {"", book.instruments[key[1]].venue}
    }
    shares = {
        key: bucket
        for key, bucket in book.by_strategy.items()
        if asked.has(key[0]) and asked.venue in {"", book.instruments[key[2]].venue}
    }
    grouped: dict[int, list[Bucket]] = {first_day(day, asked.by): [] for day, *_ in shares}
    for (day, _), bucket in mine.items():
        grouped.setdefault(first_day(day, asked.by), []).append(bucket)
    return Summary(
        by=asked.by.value,
        from_ns=(asked.from_day or 0) * DAY_NS,
        to_ns=(asked.to_day + 1) * DAY_NS if asked.to_day is not None else 0,
        rows=book.rows,
        first_ns=book.first_ns,
        last_ns=book.last_ns,
        boundaries=BOUNDARIES,
        leverage=asked.leverage,
        totals=_totals(book, venues, unvalued),
        flows=_amounts(mine.values()),
        periods=tuple(
            PeriodRow(
                label=label_of(first, asked.by),
                from_ns=first * DAY_NS,
                to_ns=next_day(first, asked.by) * DAY_NS,
                flows=_amounts(buckets),
            )
            for first, buckets in sorted(grouped.items())
        ),
        venues=venues,
        by_venue=_owners((book.instruments[i].venue, b) for (_, i), b in mine.items()),
        by_instrument=_owners((i, b) for (_, i), b in mine.items()),
        by_strategy=_owners((s, b) for (_, s, _), b in shares.items()),
        paid_in=_paid_in(book, asked),
        external=_external(book, asked),
        closed=_closed(book, asked),
        marks=dict(marks),
        unvalued=tuple(sorted(unvalued)),
    )


def _venues(book: FinanceBook, asked: Asked, unvalued: set[str]) -> tuple[VenueRow, ...]:
    portfolio = book.portfolio
    balances = portfolio.balances_by_venue()
    held = portfolio.positions()
    names = sorted(set(balances) | {book.instruments[i].venue for i in held})
    rows = []
    for venue in names:
        if asked.venue not in {"", venue}:
            continue
        cash = tuple(_balance(asset, amount, portfolio.price_of(asset)) for asset, amount in balances[venue].items())
        unvalued.update(row.asset for row in cash if row.usd is None and row.amount)
        positions = tuple(
            _position(book, position, asked, unvalued)
            for i, position in held.items()
            if book.instruments[i].venue == venue
        )
        contracts = [p for p in positions if book.instruments[p.instrument_id].kind is not InstrumentKind.SPOT]
        cash_usd = sum((row.usd for row in cash if row.usd is not None), ZERO)
        open_usd = sum((p.unrealized_usd for p in contracts), ZERO)
        rows.append(
            VenueRow(
                venue=venue,
                cash_usd=cash_usd,
                unrealized_usd=open_usd,
                equity_usd=cash_usd + open_usd,
                margin_usd=sum((p.margin_usd for p in contracts), ZERO),
                balances=cash,
                positions=positions,
            )
        )
    return tuple(rows)


def _balance(asset: str, amount: Decimal, price: Decimal | None) -> BalanceRow:
    return BalanceRow(
        asset=asset, amount=amount, price_usd=price, usd=money(amount * price) if price is not None else None
    )


def _position(book: FinanceBook, position: Position, asked: Asked, unvalued: set[str]) -> PositionRow:
    instrument_id, portfolio = position.instrument_id, book.portfolio
    instrument, holding = book.instruments[instrument_id], portfolio.lines()[instrument_id].holding
    mark, asset = position.mark_px, pnl_asset(instrument)
    open_profit = holding.unrealized(mark, instrument) if mark is not None else ZERO
    price, quote_price = portfolio.price_of(asset), portfolio.price_of(instrument.quote)
    if price is None or quote_price is None:
        unvalued.add(asset if price is None else instrument.quote)
    notional = instrument.notional(holding.qty, mark) * (quote_price or ZERO) if mark is not None else ZERO
    spot = instrument.kind is InstrumentKind.SPOT
    return PositionRow(
        instrument_id=instrument_id,
        qty=holding.qty,
        avg_px=position.avg_px,
        mark_px=mark,
        unrealized=open_profit,
        asset=asset,
        unrealized_usd=money(open_profit * (price or ZERO)),
        notional_usd=money(notional),
        margin_usd=ZERO if spot else money(notional / asked.leverage),
    )


def _totals(book: FinanceBook, venues: Iterable[VenueRow], unvalued: set[str]) -> Totals:
    venues = tuple(venues)
    view = book.portfolio.pnl_view()
    realized, unrealized = Decimal(str(view["realized"])), Decimal(str(view["unrealized"]))
    missing = view["unvalued"]
    unvalued.update(str(asset) for asset in (missing if isinstance(missing, list) else ()))
    cash = sum((v.cash_usd for v in venues), ZERO)
    open_usd = sum((v.unrealized_usd for v in venues), ZERO)
    return Totals(
        cash_usd=cash,
        unrealized_usd=open_usd,
        equity_usd=cash + open_usd,
        margin_usd=sum((v.margin_usd for v in venues), ZERO),
        pnl_usd=realized + unrealized,
        ledger_realized_usd=realized,
        ledger_unrealized_usd=unrealized,
        revaluation_usd=realized - _amounts(book.by_instrument.values()).net_usd,
        ledger_residual=book.portfolio.ledger_residual(),
    )


def _amounts(buckets: Iterable[Bucket]) -> Amounts:
    total = Bucket()
    for bucket in buckets:
        total.plus(bucket)
    every = Flow()
    for flow in total.assets.values():
        every.plus(flow)
    return Amounts(
        realized_usd=every.realized_usd,
        fees_usd=every.fees_usd,
        rebates_usd=every.rebates_usd,
        funding_usd=every.funding_usd,
        net_usd=every.realized_usd - every.fees_usd + every.rebates_usd + every.funding_usd,
        turnover_usd=total.turnover_usd,
        fills=total.fills,
        assets={
            asset: {
                "realized": flow.realized,
                "fees": flow.fees,
                "rebates": flow.rebates,
                "funding": flow.funding,
                "net": flow.realized - flow.fees + flow.rebates + flow.funding,
            }
            for asset, flow in sorted(total.assets.items())
        },
        unvalued=every.unvalued,
    )


def _owners(named: Iterable[tuple[str, Bucket]]) -> tuple[OwnerRow, ...]:
    found: dict[str, list[Bucket]] = {}
    for name, bucket in named:
        found.setdefault(name, []).append(bucket)
    return tuple(OwnerRow(name=name, flows=_amounts(buckets)) for name, buckets in sorted(found.items()))


def _paid_in(book: FinanceBook, asked: Asked) -> tuple[PaidInRow, ...]:
    found: dict[tuple[str, str], PaidIn] = {}
    for (day, venue, asset), paid in book.paid_in.items():
        if asked.has(day) and asked.venue in {"", venue}:
            into = found.setdefault((venue, asset), PaidIn())
            into.amount += paid.amount
            into.usd += paid.usd
    return tuple(
        PaidInRow(venue=venue, asset=asset, amount=paid.amount, usd=paid.usd)
        for (venue, asset), paid in sorted(found.items())
    )


def _external(book: FinanceBook, asked: Asked) -> tuple[External, ...]:
    every = (*book.externals.ended, *book.externals.open.values())
    return tuple(
        one
        for one in every
        if asked.venue in {"", one.venue}
        and (
            asked.from_day is None
            or one.until_ns >= asked.from_day * DAY_NS
            or (one.venue, one.asset) in book.externals.open
        )
        and (asked.to_day is None or one.since_ns < (asked.to_day + 1) * DAY_NS)
    )


def _closed(book: FinanceBook, asked: Asked) -> ClosedTold:
    found = [
        one
        for one in book.trades.closed()
        if asked.has(one.closed_ns // DAY_NS) and asked.venue in {"", book.instruments[one.instrument_id].venue}
    ]
    nets = [one.net_usd for one in found if one.net_usd is not None]
    return ClosedTold(
        count=len(found),
        won=sum(net > 0 for net in nets),
        lost=sum(net < 0 for net in nets),
        net_usd=sum(nets, ZERO),
        last=tuple(
            ClosedRow(
                instrument_id=one.instrument_id,
                ref=one.ref,
                qty=one.qty,
                px=one.px,
                pnl=one.pnl,
                asset=one.asset,
                net_usd=one.net_usd,
                lots=one.lots,
                opened_ns=one.opened_ns,
                closed_ns=one.closed_ns,
            )
            for one in found[-LAST_CLOSED:]
        ),
    )


def told(found: Summary) -> dict[str, object]:
    """A summary for JSON: numbers as plain decimal strings, without an exponent and without needless zeros."""
    facts = _plain(msgspec.to_builtins(found, builtin_types=(Decimal,)))
    assert isinstance(facts, dict)
    return facts


def digits(number: Decimal) -> str:
    """All digits of a number and no more: no exponent, no needless zeros."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) if number else "0"


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return digits(value)
        case dict():
            return {name: _plain(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case _:
            return value
