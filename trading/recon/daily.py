"""The statement of a day or a session: what every venue and asset began with, what moved it, what the venue says.

Owns the arithmetic and the verdict, clean or not and why; the same for a running desk and for whoever reads its
journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from trading.instruments import Instrument, InstrumentKind
from trading.ledger.accounts import ZERO
from trading.ledger.portfolio import DAY_NS
from trading.recon.books import Snapshot
from trading.recon.flows import AssetFlow, Traded

TROUBLES_MAX = 64


class VenueFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue said of itself after the end, and how its executions were matched.

    ``booked`` are the executions that were looked back on, ``unlooked`` those that were too many to be: of these the
    sums are compared, in balances and positions. ``deviations`` are the differences of balances and positions that are
    open there, in words, by asset or instrument.
    """

    read_ns: int
    balances: dict[str, str]
    positions: dict[str, str]
    booked: int
    confirmed: int
    unlooked: int = 0
    deviations: dict[str, str] = {}


class AssetLine(msgspec.Struct, frozen=True, kw_only=True):
    """One asset at one venue over the time; ``residual`` is what the lines leave unexplained, 0. Decimal strings."""

    venue: str
    asset: str
    opening: str
    paid_in: str
    trading: str
    fees: str
    rebates: str
    funding: str
    closing: str
    residual: str
    venue_says: str | None
    deviation: str


class PositionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument over the time, in its units; ``venue_says`` None for spot, whose holding is a balance."""

    venue: str
    instrument_id: str
    opening: str
    bought: str
    sold: str
    fees_taken: str
    closing: str
    fills: int
    residual: str
    venue_says: str | None
    deviation: str


class VenueLine(msgspec.Struct, frozen=True, kw_only=True):
    """One venue: when it was read after the end (0: it was not), and how many of our executions its lists confirmed.

    ``unlooked`` were too many to be looked back on one by one.
    """

    venue: str
    read_ns: int
    booked: int
    confirmed: int
    unlooked: int = 0


class DayStatement(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it. ``part`` says that the time has not ended or did not begin at midnight."""

    day: str
    kind: str
    from_ns: int
    to_ns: int
    made_ns: int
    assets: tuple[AssetLine, ...]
    positions: tuple[PositionLine, ...]
    venues: tuple[VenueLine, ...]
    differences: tuple[dict[str, object], ...]
    violations: int
    troubles: tuple[str, ...]
    part: bool = False

    @property
    def clean(self) -> bool:
        """Whether nothing deviates."""
        return not self.troubles

    def venues_in_trouble(self) -> tuple[str, ...]:
        """The venues that some trouble names."""
        return tuple(v.venue for v in self.venues if any(t.startswith(f"{v.venue}: ") for t in self.troubles))


def day_of(ts_ns: int) -> str:
    """The UTC day of a moment, YYYY-MM-DD."""
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d")


def day_start_ns(day: str) -> int:
    """The beginning of a UTC day; ``ValueError`` for what is no YYYY-MM-DD."""
    at = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    return int(at.timestamp()) * 1_000_000_000


def statement(
    start: Snapshot,
    end: Snapshot,
    instruments: Mapping[str, Instrument],
    figures: Mapping[str, VenueFigures | None],
    *,
    made_ns: int,
    kind: str = "day",
    differences: Iterable[Mapping[str, object]] = (),
    violations: int = 0,
) -> DayStatement:
    """What happened between two snapshots, against what the venues say. ``figures`` None: the venue was not read.

    ``differences`` are `Tracked.body` tables: those that were met, closed ones too.
    """
    assets = _assets(start, end, instruments, figures)
    positions = _positions(start, end, instruments, figures)
    met = tuple(dict(one) for one in differences)
    venues = tuple(
        VenueLine(
            venue=venue,
            read_ns=0 if said is None else said.read_ns,
            booked=0 if said is None else said.booked,
            confirmed=0 if said is None else said.confirmed,
            unlooked=0 if said is None else said.unlooked,
        )
        for venue, said in sorted(figures.items())
    )
    troubles = [f"{v.venue}: its account was not read after the end" for v in venues if not v.read_ns]
    troubles += [
        f"{v.venue}: {v.booked - v.confirmed} of {v.booked} executions are in no list of the venue"
        for v in venues
        if v.read_ns and v.confirmed < v.booked
    ]
    troubles += [f"{a.venue}: {a.asset}: {a.deviation}" for a in assets if a.deviation]
    troubles += [f"{a.venue}: {a.asset}: the lines leave {a.residual}" for a in assets if Decimal(a.residual)]
    troubles += [f"{p.venue}: {p.deviation}" for p in positions if p.deviation]
    troubles += [
        f"{p.venue}: {p.instrument_id}: the lines leave {p.residual}" for p in positions if Decimal(p.residual)
    ]
    named = " ".join(troubles)
    troubles += [
        f"{one['venue']}: {one['class']} is {one['state']}: {one['text']}"
        for one in met
        if one["state"] != "healed" and str(one["text"]) not in named
    ]
    if violations:
        troubles.append(f"desk: {violations} invariants are violated")
    return DayStatement(
        day=day_of(start.ts_ns),
        kind=kind,
        from_ns=start.ts_ns,
        to_ns=end.ts_ns,
        made_ns=made_ns,
        assets=assets,
        positions=positions,
        venues=venues,
        differences=met,
        violations=violations,
        troubles=tuple(troubles[:TROUBLES_MAX]),
        part=bool(start.ts_ns % DAY_NS or end.ts_ns % DAY_NS),
    )


def _assets(
    start: Snapshot,
    end: Snapshot,
    instruments: Mapping[str, Instrument],
    figures: Mapping[str, VenueFigures | None],
) -> tuple[AssetLine, ...]:
    made: dict[tuple[str, str], Decimal] = {}
    for instrument_id, asset in start.realized.keys() | end.realized.keys():
        instrument = instruments[instrument_id]
        if instrument.kind is not InstrumentKind.SPOT:
            key = (instrument.venue, asset)
            # As double entry has it, profit is a negative balance.
            change = start.realized.get((instrument_id, asset), ZERO) - end.realized.get((instrument_id, asset), ZERO)
            made[key] = made.get(key, ZERO) + change
    lines = []
    for key in sorted(start.cash.keys() | end.cash.keys() | made.keys()):
        venue, asset = key
        flow = end.flows.assets.get(key, AssetFlow()).minus(start.flows.assets.get(key, AssetFlow()))
        trading = flow.trading + made.get(key, ZERO)
        opening, closing = start.cash.get(key, ZERO), end.cash.get(key, ZERO)
        explained = opening + flow.opening + trading - flow.fees + flow.rebates + flow.funding
        said = figures.get(venue)
        lines.append(
            AssetLine(
                venue=venue,
                asset=asset,
                opening=str(opening),
                paid_in=str(flow.opening),
                trading=str(trading),
                fees=str(flow.fees),
                rebates=str(flow.rebates),
                funding=str(flow.funding),
                closing=str(closing),
                residual=str(closing - explained),
                venue_says=None if said is None else said.balances.get(asset, "0"),
                deviation="" if said is None else said.deviations.get(asset, ""),
            )
        )
    known = {(line.venue, line.asset) for line in lines}
    for venue, said in figures.items():
        for asset, text in said.deviations.items() if said is not None else ():
            if (venue, asset) not in known and asset not in instruments and said is not None:
                lines.append(_unknown(venue, asset, said.balances.get(asset, "0"), text))
    return tuple(lines)


def _unknown(venue: str, asset: str, amount: str, text: str) -> AssetLine:
    """An asset that the venue names and the ledger does not know."""
    return AssetLine(
        venue=venue,
        asset=asset,
        opening="0",
        paid_in="0",
        trading="0",
        fees="0",
        rebates="0",
        funding="0",
        closing="0",
        residual="0",
        venue_says=amount,
        deviation=text,
    )


def _positions(
    start: Snapshot,
    end: Snapshot,
    instruments: Mapping[str, Instrument],
    figures: Mapping[str, VenueFigures | None],
) -> tuple[PositionLine, ...]:
    lines = []
    for instrument_id in sorted(end.positions.keys() | end.flows.traded.keys()):
        instrument = instruments[instrument_id]
        before = start.flows.traded.get(instrument_id, Traded())
        after = end.flows.traded.get(instrument_id, Traded())
        opening, closing = start.positions.get(instrument_id, ZERO), end.positions.get(instrument_id, ZERO)
        bought, sold = after.bought - before.bought, after.sold - before.sold
        taken = after.eaten - before.eaten
        said = figures.get(instrument.venue)
        spot = instrument.kind is InstrumentKind.SPOT
        lines.append(
            PositionLine(
                venue=instrument.venue,
                instrument_id=instrument_id,
                opening=str(opening),
                bought=str(bought),
                sold=str(sold),
                fees_taken=str(taken),
                closing=str(closing),
                fills=after.fills - before.fills,
                residual=str(closing - (opening + bought - sold - taken)),
                venue_says=None if spot or said is None else said.positions.get(instrument_id, "0"),
                deviation="" if said is None else said.deviations.get(instrument_id, ""),
            )
        )
    return tuple(lines)
