"""What operators read of markets, the allow-list and the states of venues: bodies of META, UNIVERSE and REGISTRY.

Owns the shapes and the functions that fill them. Amounts are decimal strings in the venue's units, times UTC ns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from trading.operators import Published, Topic
from trading.universe.admission import UniverseRules
from trading.universe.health import HealthParts, Verdict
from trading.universe.ids import parse_market_id
from trading.universe.listing import FundingRule, ListedMarket, PlannedChange
from trading.universe.registry import Condition, Registry, Window
from trading.universe.watch import MarketChanged
from trading.universe.workflow import EntryStatus, UniverseChanged, UniverseEntry, UniverseState

CHANGES_KEPT: Final = 20
AUDIT_SHOWN: Final = 30


class RuleChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change that the venue made to a market: what it is about, before and after, when it was seen."""

    kind: str
    field: str
    old: str
    new: str
    at_ns: int
    ts_ns: int
    rules_version: str


class MarketMeta(msgspec.Struct, frozen=True, kw_only=True):
    """META, key instrument_id: everything that is known of a market.

    ``tick_size`` is in quote currency; ``lot_size``, ``min_qty`` and ``max_qty`` in the venue's quantity unit;
    ``min_notional`` in quote currency, 0 where the venue has no such filter; ``multiplier`` as in `Instrument`; fees
    are fractions of notional. ``next_funding_ns`` 0 is not known. ``changes`` are the newest 20, oldest first.
    """

    instrument_id: str
    venue: str
    symbol: str
    aliases: tuple[str, ...]
    market: str
    base: str
    quote: str
    settle: str
    kind: str
    tick_size: str
    lot_size: str
    min_qty: str
    max_qty: str
    min_notional: str
    multiplier: str
    maker_fee: str
    taker_fee: str
    funding: FundingRule | None
    next_funding_ns: int
    status: str
    tradable: bool
    list_ns: int
    delist_ns: int
    planned: tuple[PlannedChange, ...]
    rules_version: str
    changes: tuple[RuleChange, ...]
    universe: EntryStatus
    synthetic: bool


class UniverseBody(msgspec.Struct, frozen=True, kw_only=True):
    """UNIVERSE, key "all": the allow-list. ``trouble`` says why nothing is tradable, empty when the list is whole.

    ``audit`` are the newest 30 changes, newest first.
    """

    revision: int
    tradable: tuple[str, ...]
    entries: tuple[UniverseEntry, ...]
    rules: UniverseRules
    audit: tuple[UniverseChanged, ...]
    trouble: str


class HealthBody(msgspec.Struct, frozen=True, kw_only=True):
    """The score of `VenueHealth` (0 to 100), its factors (0 to 1) and the verdict."""

    verdict: Verdict
    parts: HealthParts


class VenueRegistry(msgspec.Struct, frozen=True, kw_only=True):
    """REGISTRY, key venue: its condition, that of its markets where it is not normal, open and coming windows."""

    venue: str
    condition: Condition
    cause: str
    health: HealthBody
    symbols: dict[str, Condition]
    quarantined: tuple[str, ...]
    windows: tuple[Window, ...]


class RuleHistory:
    """The newest changes of each market, bounded; what `MarketMeta.changes` shows."""

    def __init__(self, markets_max: int = 4_096) -> None:
        self.forgotten = 0
        self._changes: dict[str, deque[RuleChange]] = {}
        self._markets_max = markets_max

    def take(self, change: MarketChanged) -> None:
        """Remember one; of the market that was written to longest ago everything is forgotten when there is no room."""
        kept = self._changes.pop(change.instrument_id, None)
        if kept is None:
            kept = deque(maxlen=CHANGES_KEPT)
            if len(self._changes) >= self._markets_max:
                del self._changes[next(iter(self._changes))]
                self.forgotten += 1
        self._changes[change.instrument_id] = kept
        kept.append(
            RuleChange(
                kind=change.kind.value,
                field=change.field,
                old=change.old,
                new=change.new,
                at_ns=change.at_ns,
                ts_ns=change.ts_ns,
                rules_version=change.rules_version,
            )
        )

    def of(self, instrument_id: str) -> tuple[RuleChange, ...]:
        """The changes of one market, oldest first."""
        return tuple(self._changes.get(instrument_id, ()))


def market_meta(
    market: ListedMarket,
    state: UniverseState,
    history: RuleHistory,
    *,
    next_funding_ns: int = 0,
    synthetic: bool = False,
) -> MarketMeta:
    """The body of META for one listed market."""
    i = market.instrument
    entry = state.entries.get(i.instrument_id)
    return MarketMeta(
        instrument_id=i.instrument_id,
        venue=i.venue,
        symbol=i.symbol,
        aliases=market.aliases,
        market=parse_market_id(i.instrument_id).market,
        base=i.base,
        quote=i.quote,
        settle=i.settle,
        kind=i.kind.value,
        tick_size=f"{i.tick_size:f}",
        lot_size=f"{i.lot_size:f}",
        min_qty=f"{i.min_qty:f}",
        max_qty=f"{i.max_qty:f}",
        min_notional=f"{i.min_notional:f}",
        multiplier=f"{i.multiplier:f}",
        maker_fee=f"{i.maker_fee:f}",
        taker_fee=f"{i.taker_fee:f}",
        funding=market.funding,
        next_funding_ns=next_funding_ns,
        status=market.status,
        tradable=market.tradable,
        list_ns=market.list_ns,
        delist_ns=market.delist_ns,
        planned=market.planned,
        rules_version=i.rules_version,
        changes=history.of(i.instrument_id),
        universe=entry.status if entry is not None else EntryStatus.ABSENT,
        synthetic=synthetic,
    )


def universe_body(
    state: UniverseState, rules: UniverseRules, audit: Iterable[UniverseChanged], trouble: str = ""
) -> UniverseBody:
    """The body of UNIVERSE; ``audit`` is newest first."""
    return UniverseBody(
        revision=state.revision,
        tradable=() if trouble else tuple(sorted(state.tradable)),
        entries=tuple(state.entries[name] for name in sorted(state.entries)),
        rules=rules,
        audit=tuple(changed for changed, _ in zip(audit, range(AUDIT_SHOWN), strict=False)),
        trouble=trouble,
    )


def venue_registry(
    venue: str, registry: Registry, health: HealthBody, markets: Iterable[str], now_ns: int
) -> VenueRegistry:
    """The body of REGISTRY for one venue; ``markets`` are the ids of its markets that the desk watches."""
    own = f"venue:{venue}"
    scopes = {f"symbol:{name}" for name in markets} | {own}
    windows = tuple(window for window in registry.windows() if window.scope in scopes)
    condition = registry.condition(own, now_ns)
    causes = [w.cause for w in windows if w.scope == own and w.condition is condition and w.is_open(now_ns)]
    symbols = {scope.partition(":")[2]: registry.condition(scope, now_ns) for scope in sorted(scopes - {own})}
    return VenueRegistry(
        venue=venue,
        condition=condition,
        cause=causes[0] if causes else "",
        health=health,
        symbols={name: found for name, found in symbols.items() if found is not Condition.NORMAL},
        quarantined=tuple(scope for scope in registry.quarantined(now_ns) if scope in scopes),
        windows=windows,
    )


def published(topic: Topic, key: str, body: msgspec.Struct, ts_ns: int) -> Published:
    """A body as the fact that the ops cell takes."""
    return Published(topic=topic, key=key, body=msgspec.to_builtins(body), ts_ns=ts_ns)
