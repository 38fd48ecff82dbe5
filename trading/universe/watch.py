"""What changed between two listings of a venue: listings, delistings, halts, renames, rules and funding rules.

Owns the comparison and which brake each change means. Fetches nothing. A listing that lacks much is doubted, never read
as mass delisting; a market must be absent twice before it counts as gone; each market is judged alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

import msgspec

from trading.brakes import AUTO, Brake, Level, Release
from trading.instruments import Instrument
from trading.universe.ids import is_market_id
from trading.universe.listing import FundingRule, ListedMarket, VenueListing

ABSENT_LISTINGS: Final = 2
DOUBT_SHARE: Final = 0.1
DOUBT_MIN: Final = 3
DOUBTS_MAX: Final = 3

IDENTITY: Final = frozenset({"symbol", "kind", "base", "quote", "settle", "multiplier"})
"""Fields that make a contract what it is: one of them changing under the same id is another contract."""

_FIELDS: Final = tuple(name for name in Instrument.__struct_fields__ if name not in {"instrument_id", "rules_version"})


class ChangeKind(Enum):
    """Every change, a closed set."""

    LISTED = "listed"
    DELISTING = "delisting"
    DELISTING_CALLED_OFF = "delisting_called_off"
    MISSING = "missing"
    DELISTED = "delisted"
    HALTED = "halted"
    REOPENED = "reopened"
    RULES_CHANGED = "rules_changed"
    RULES_PLANNED = "rules_planned"
    FUNDING_RULES_CHANGED = "funding_rules_changed"
    MIGRATED = "migrated"
    UNREADABLE = "unreadable"
    READABLE = "readable"
    DOUBTED = "doubted"


class MarketChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One change of one market. ``instrument_id`` is the venue's symbol where the market has no id (UNREADABLE).

    ``field``, ``old`` and ``new`` say what was stated before and after, as text; of MIGRATED ``new`` is the id that
    continues it. ``at_ns`` is when it takes effect (UTC), 0 when it has. ``rules_version`` is that of the new listing.
    """

    kind: ChangeKind
    venue: str
    instrument_id: str
    field: str = ""
    old: str = ""
    new: str = ""
    at_ns: int = 0
    rules_version: str = ""
    ts_ns: int


class ListingWatch:
    """Follows one venue's listings. ``take`` is to be given every whole listing, oldest first."""

    def __init__(self, venue: str, renames: dict[str, str] | None = None) -> None:
        """``renames`` is what operators know of migrations: old instrument_id -> new."""
        self.venue = venue
        self.listing: VenueListing | None = None
        """The newest listing that was believed, with markets that are absent for the first time still in it."""
        self.doubted = 0
        self._renames = renames or {}
        self._absent: dict[str, int] = {}
        self._doubted_gone: frozenset[str] = frozenset()
        self._doubts = 0

    def take(self, listing: VenueListing) -> list[MarketChanged]:
        """The changes since the last believed listing; the first one is where the comparison begins, not a change."""
        if listing.venue != self.venue:
            raise ValueError(f"a listing of {listing.venue} is not one of {self.venue}")
        before = self.listing
        if before is None:
            self.listing = listing
            return [self._unreadable(listing, symbol) for symbol in sorted(listing.refused)]
        gone = [market_id for market_id in before.markets if market_id not in listing.markets]
        if self._is_doubtful(before, listing, gone):
            self.doubted += 1
            text = f"{len(gone)} of {len(before.markets)} markets are absent at once"
            return [self._change(ChangeKind.DOUBTED, "", listing, field="markets", new=text)]
        changes = [
            *self._differences(before, listing),
            *self._appeared(before, listing),
            *self._readability(before, listing),
        ]
        carried, left = self._absences(before, listing, gone)
        self.listing = msgspec.structs.replace(listing, markets={**carried, **listing.markets})
        return changes + left

    def _is_doubtful(self, before: VenueListing, listing: VenueListing, gone: list[str]) -> bool:
        """Whether too much is absent without a reason, unless the venue has said the same three times in a row."""
        unexplained = frozenset(
            market_id
            for market_id in gone
            if before.markets[market_id].instrument.symbol not in listing.refused
            and not 0 < before.markets[market_id].delist_ns <= listing.ts_ns
        )
        if len(unexplained) < max(DOUBT_MIN, DOUBT_SHARE * len(before.markets)):
            self._doubts = 0
            return False
        self._doubts = self._doubts + 1 if unexplained == self._doubted_gone else 1
        self._doubted_gone = unexplained
        return self._doubts <= DOUBTS_MAX

    def _differences(self, before: VenueListing, listing: VenueListing) -> Iterator[MarketChanged]:
        for market_id, new in listing.markets.items():
            old = before.markets.get(market_id)
            if old is not None and old != new:
                yield from self._compared(old, new, listing)

    def _appeared(self, before: VenueListing, listing: VenueListing) -> Iterator[MarketChanged]:
        for market_id, market in listing.markets.items():
            if market_id not in before.markets or market_id in self._absent:
                yield self._change(ChangeKind.LISTED, market_id, listing, new=market.instrument.symbol)

    def _readability(self, before: VenueListing, listing: VenueListing) -> Iterator[MarketChanged]:
        lost = {before.markets[name].instrument.symbol for name in before.markets if name not in listing.markets}
        for symbol in sorted(listing.refused.keys() - before.refused.keys() - lost):
            yield self._unreadable(listing, symbol)
        for symbol in sorted(before.refused.keys() - listing.refused.keys()):
            yield self._change(ChangeKind.READABLE, symbol, listing)

    def _absences(
        self, before: VenueListing, listing: VenueListing, gone: list[str]
    ) -> tuple[dict[str, ListedMarket], list[MarketChanged]]:
        """Markets that stay for one listing more, and what is said of those that left."""
        carried: dict[str, ListedMarket] = {}
        said: list[MarketChanged] = []
        absent: dict[str, int] = {}
        symbols = listing.by_symbol()
        for market_id in gone:
            market = before.markets[market_id]
            symbol = market.instrument.symbol
            if symbol in listing.refused:
                # It is listed but cannot be read; its old rules hold for nothing.
                said.append(self._unreadable(listing, symbol, market_id))
                continue
            heir = self._heir(market_id, market, listing, symbols, before)
            if heir:
                said.append(self._change(ChangeKind.MIGRATED, market_id, listing, field="instrument_id", new=heir))
                continue
            count = self._absent.get(market_id, 0) + 1
            if count >= ABSENT_LISTINGS or 0 < market.delist_ns <= listing.ts_ns:
                said.append(self._change(ChangeKind.DELISTED, market_id, listing, old=symbol))
                continue
            absent[market_id] = count
            carried[market_id] = market
            said.append(self._change(ChangeKind.MISSING, market_id, listing, old=symbol))
        self._absent = absent
        return carried, said

    def _heir(
        self,
        market_id: str,
        market: ListedMarket,
        listing: VenueListing,
        symbols: dict[tuple[str, str], ListedMarket],
        before: VenueListing,
    ) -> str:
        """The id that continues ``market``, by evidence only: an operator's word, the same symbol, a stated alias."""
        told = self._renames.get(market_id, "")
        if told in listing.markets:
            return told
        same = symbols.get((market.type, market.instrument.symbol))
        if same is not None:
            return same.instrument_id
        for other_id, other in listing.markets.items():
            if other_id in before.markets or other.type != market.type:
                continue
            if market.instrument.symbol in other.aliases:
                return other_id
        return ""

    def _compared(self, old: ListedMarket, new: ListedMarket, listing: VenueListing) -> Iterator[MarketChanged]:
        market_id = new.instrument_id
        rules = new.instrument.rules_version
        named = False
        for field in _FIELDS:
            was, now = getattr(old.instrument, field), getattr(new.instrument, field)
            if was != now:
                named = True
                yield self._change(
                    ChangeKind.RULES_CHANGED,
                    market_id,
                    listing,
                    field=field,
                    old=_text(was),
                    new=_text(now),
                    rules=rules,
                )
        if not named and old.instrument.rules_version != rules:
            version = old.instrument.rules_version
            yield self._change(
                ChangeKind.RULES_CHANGED, market_id, listing, field="rules_version", old=version, new=rules, rules=rules
            )
        if old.funding != new.funding:
            yield from self._funding(market_id, old.funding, new.funding, listing)
        for planned in new.planned:
            if planned not in old.planned:
                yield self._change(
                    ChangeKind.RULES_PLANNED,
                    market_id,
                    listing,
                    field=planned.field,
                    new=planned.value,
                    at_ns=planned.effective_ns,
                    rules=rules,
                )
        if old.delist_ns != new.delist_ns:
            kind = ChangeKind.DELISTING if new.delist_ns else ChangeKind.DELISTING_CALLED_OFF
            yield self._change(kind, market_id, listing, at_ns=new.delist_ns)
        if old.tradable != new.tradable:
            kind = ChangeKind.REOPENED if new.tradable else ChangeKind.HALTED
            yield self._change(kind, market_id, listing, field="status", old=old.status, new=new.status)

    def _funding(
        self, market_id: str, old: FundingRule | None, new: FundingRule | None, listing: VenueListing
    ) -> Iterator[MarketChanged]:
        for field in FundingRule.__struct_fields__:
            was, now = getattr(old, field, None), getattr(new, field, None)
            if was != now:
                yield self._change(
                    ChangeKind.FUNDING_RULES_CHANGED, market_id, listing, field=field, old=_text(was), new=_text(now)
                )

    def _unreadable(self, listing: VenueListing, symbol: str, known: str = "") -> MarketChanged:
        """Of a market that was readable before, the id is ``known``."""
        reason = listing.refused[symbol]
        return self._change(ChangeKind.UNREADABLE, known or symbol, listing, field="rules", new=reason)

    def _change(
        self,
        kind: ChangeKind,
        market_id: str,
        listing: VenueListing,
        *,
        field: str = "",
        old: str = "",
        new: str = "",
        at_ns: int = 0,
        rules: str = "",
    ) -> MarketChanged:
        return MarketChanged(
            kind=kind,
            venue=self.venue,
            instrument_id=market_id,
            field=field,
            old=old,
            new=new,
            at_ns=at_ns,
            rules_version=rules,
            ts_ns=listing.ts_ns,
        )


_BRAKES: Final[dict[ChangeKind, Level]] = {
    ChangeKind.DELISTING: Level.PAUSE,  # what is held may still be sold
    ChangeKind.MISSING: Level.PAUSE,
    ChangeKind.DELISTED: Level.HOLD,
    ChangeKind.HALTED: Level.HOLD,
    ChangeKind.MIGRATED: Level.HOLD,  # the old id has no market any more
    ChangeKind.UNREADABLE: Level.HOLD,
}
_RELEASED_BY: Final = {
    ChangeKind.DELISTING_CALLED_OFF: (ChangeKind.DELISTING,),
    ChangeKind.REOPENED: (ChangeKind.HALTED,),
    ChangeKind.LISTED: (ChangeKind.MISSING, ChangeKind.DELISTED, ChangeKind.UNREADABLE, ChangeKind.MIGRATED),
}


def brake_of(change: MarketChanged) -> Brake | None:
    """The brake that a change means on its market, or None.

    A changed identity is HOLD until an operator has looked: it is another contract. A changed filter is PAUSE until the
    desk works with the new one, whose cause clears it. Text is for people.
    """
    if change.kind is ChangeKind.RULES_CHANGED:
        if change.field in {"rules_version", "maker_fee", "taker_fee"}:
            return None
        level = Level.HOLD if change.field in IDENTITY else Level.PAUSE
        release = Release.OPERATOR if change.field in IDENTITY else Release.AUTO
        code = "CONTRACT_CHANGED" if change.field in IDENTITY else "RULES_CHANGED"
        cause = f"{change.field} was {change.old}, is {change.new}"
    else:
        found = _BRAKES.get(change.kind)
        if found is None or not is_market_id(change.instrument_id):
            return None
        level, release, code = found, Release.AUTO, change.kind.name
        cause = {
            ChangeKind.DELISTING: "the venue ends trading of it",
            ChangeKind.MISSING: "it is absent from the venue's newest listing",
            ChangeKind.DELISTED: "the venue does not list it any more",
            ChangeKind.HALTED: f"the venue takes no orders for it: {change.new or 'halted'}",
            ChangeKind.UNREADABLE: f"its rules cannot be read: {change.new}",
            ChangeKind.MIGRATED: f"the venue continues it as {change.new}",
        }[change.kind]
    return Brake(
        code=code,
        scope=f"symbol:{change.instrument_id}",
        level=level,
        cause=cause,
        since_ns=change.ts_ns,
        release=release,
        set_by=AUTO,
    )


def brakes_released_by(change: MarketChanged) -> tuple[str, ...]:
    """Codes of automatic brakes on the same market whose cause ends with ``change``."""
    return tuple(kind.name for kind in _RELEASED_BY.get(change.kind, ()))


def _text(value: object) -> str:
    return str(value.value) if isinstance(value, Enum) else "" if value is None else str(value)
