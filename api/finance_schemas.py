"""The bodies of finance as pydantic models: documentation that tests hold true. Numbers are exact decimal strings."""

from __future__ import annotations

from pydantic import BaseModel

from api.schemas import Answer, Body


class FlowsAnswer(BaseModel):
    """Flows of a range: fees positive when paid, rebates and funding when received, ``net`` what is left of all.

    USD at the prices of the moments; ``assets`` the same in each asset. ``unvalued`` counts what had no price.
    """

    realized_usd: str
    fees_usd: str
    rebates_usd: str
    funding_usd: str
    net_usd: str
    turnover_usd: str
    fills: int
    assets: dict[str, dict[str, str]]
    unvalued: int


class PeriodAnswer(BaseModel):
    """One day, week or month, UTC: from ``from_ns`` to before ``to_ns``."""

    label: str
    from_ns: int
    to_ns: int
    flows: FlowsAnswer


class OwnerAnswer(BaseModel):
    """Flows of one venue, instrument or strategy."""

    name: str
    flows: FlowsAnswer


class VenueFinanceAnswer(BaseModel):
    """One venue now: cash, open profit of contracts, equity, margin used, in USD; balances and positions."""

    venue: str
    cash_usd: str
    unrealized_usd: str
    equity_usd: str
    margin_usd: str
    balances: list[Body]
    positions: list[Body]


class TotalsAnswer(BaseModel):
    """The venues asked for, and of the whole desk the ledger's profit since it began, at the marks of the answer."""

    cash_usd: str
    unrealized_usd: str
    equity_usd: str
    margin_usd: str
    pnl_usd: str
    ledger_realized_usd: str
    ledger_unrealized_usd: str
    revaluation_usd: str
    ledger_residual: str


class FinanceSummaryAnswer(Answer):
    """What the desk has now and what it made in the range, out of the journal up to its row ``rows``."""

    by: str
    from_ns: int
    to_ns: int
    rows: int
    first_ns: int
    last_ns: int
    boundaries: str
    leverage: str
    totals: TotalsAnswer
    flows: FlowsAnswer
    periods: list[PeriodAnswer]
    periods_left_out: int
    venues: list[VenueFinanceAnswer]
    by_venue: list[OwnerAnswer]
    by_instrument: list[OwnerAnswer]
    by_strategy: list[OwnerAnswer]
    paid_in: list[Body]
    external: list[Body]
    closed: Body
    marks: dict[str, Body]
    unvalued: list[str]
    ts_ns: int


class StatementLineAnswer(BaseModel):
    """One movement of one asset at one venue; see the columns of the export."""

    seq: int
    ts_ns: int
    time: str
    venue: str
    kind: str
    asset: str
    amount: str
    balance: str
    realized: str
    price_usd: str | None
    instrument_id: str
    strategies: str
    side: str
    qty: str | None
    px: str | None
    ref: str
    cl_ord_id: str
    booked: bool
    text: str


class StatementAnswer(Answer):
    """The newest lines first. ``found`` are the lines of the range that are kept, ``dropped`` older ones that are not.

    ``dropped_ns`` is when the newest of those happened: a range that begins later is whole.
    """

    lines: list[StatementLineAnswer]
    found: int
    dropped: int
    dropped_ns: int
    rows: int
    ts_ns: int
