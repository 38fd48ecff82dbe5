"""The universe's actor: what may be traded at all, which rules the venues have changed, how far each may be relied on.

Holds every market that nobody approved. Owns the file of the allow-list; decisions are `trading.universe`'s. On paper
the configuration may approve its own instruments, through the same steps and checks as a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import BrakeCleared, BrakeSet, BrakesStated, ListingRead, ListingWanted, VenuePulse
from actors.shell import Shell
from adapters.universe_store import UniverseBusyError, UniverseDamagedError, UniverseStore
from trading.brakes import Brake
from trading.instruments import Instrument
from trading.market.events import BookState, BookTop, MarkPrice, VenueNotice
from trading.operators import CommandAnswered, CommandKind, OperatorCommand, Published, Topic
from trading.universe.admission import UniverseRules, find_namesakes
from trading.universe.core import Kept, UniverseCore
from trading.universe.health import VenueHealth
from trading.universe.ids import parse_market_id
from trading.universe.listing import ListedMarket, listing_of
from trading.universe.registry import Registry
from trading.universe.report import HealthBody, market_meta, published, venue_registry
from trading.universe.watch import MarketChanged
from trading.universe.workflow import (
    ApproveMarket,
    DraftMarket,
    EntryStatus,
    SubmitMarket,
    UniverseCommand,
    UniverseState,
)

CONFIGURATION = "configuration"
_LOOKS_A_REPORT = 8
_SEED_STEPS = 3
_REFUSALS_TOLD = 20
_REFUSED_AGAIN_NS = 10_000_000_000
_ENCODE = msgspec.json.Encoder().encode


class UniverseSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What the universe is built from. ``seed``: the configuration approves its own instruments (paper).

    ``table``: no venue is asked for its listing (recordings), so that propdesk's own description stands for it.
    """

    folder: Path
    rules: UniverseRules
    instruments: dict[str, Instrument]
    venues: tuple[str, ...]
    seed: bool
    synthetic: bool
    table: bool = False
    look_ns: int = 250_000_000
    governor: str = "governor"
    ops: str = "ops"


class Universe(Shell):
    """Nothing is tradable until it is listed, checked and approved."""

    def start(self, setup: UniverseSetup) -> None:
        """Read the list; where that is not possible nothing is tradable, and why is told."""
        self._setup = setup
        now = self.now_ns()
        self._store: UniverseStore | None = None
        trouble = ""
        try:
            self._store = UniverseStore(setup.folder)
            trouble = self._store.trouble
        except (UniverseBusyError, OSError) as error:
            trouble = f"{setup.folder}: {error}"
        store = self._store
        self._core = UniverseCore(
            store.state if store is not None else UniverseState(),
            setup.rules,
            audit=store.recent if store is not None else (),
            trouble=trouble,
        )
        self._set: dict[tuple[str, str], Brake] = {}
        self._health = {venue: VenueHealth(self.mono_ns()) for venue in setup.venues}
        self._pulses: dict[str, VenuePulse] = {}
        self._registry = Registry()
        self._answered = self._looks = self._refused_ns = 0
        if setup.table:
            for venue in setup.venues:
                markets = [ListedMarket(instrument=i) for i in setup.instruments.values() if i.venue == venue]
                self._core.on_listing(listing_of(venue, now, markets))
        self._brake(now)
        self.wake_after(setup.look_ns, "look")

    @property
    def core(self) -> UniverseCore:
        """For reports."""
        return self._core

    def on(self, msg: Any) -> None:
        """A listing, a command, a price, a venue's pulse."""
        kind = type(msg)
        if kind is BookTop:
            if msg.state is BookState.SYNCED and msg.bids:
                one = self._setup.instruments[msg.instrument_id]
                self._core.on_price(msg.instrument_id, one.price(msg.bids[0][0]))
        elif kind is MarkPrice:
            pass
        elif kind is VenuePulse:
            self._pulse(msg)
        elif kind is ListingRead:
            self._listed(msg)
        elif kind is VenueNotice:
            self._registry.follow_notice(msg)
        elif kind is OperatorCommand and msg.kind is CommandKind.UNIVERSE:
            self._command(msg)
        else:
            self.unknown(msg)

    def on_tick(self, tag: str) -> None:
        """Judge the venues, approve what the configuration may, tell the operators."""
        self.wake_after(self._setup.look_ns, "look")
        now = self.now_ns()
        self._judge(now)
        if self._setup.seed:
            self._seed(now)
        self._brake(now)
        self._looks += 1
        if self._looks % _LOOKS_A_REPORT == 0:
            # A governor that began anew knows only what it is told, and what an earlier life of ours said ends here.
            held = tuple(self._told(brake, self.name) for brake in self._set.values())
            self.tell(self._setup.governor, BrakesStated(owner=self.name, brakes=held))
            self._publish(now)

    # --- Listings and commands -----------------------------------------------------------------------

    def _listed(self, msg: ListingRead) -> None:
        followed = self._core.on_listing(msg.listing)
        for code, scope in followed.released:
            self.tell(self._setup.governor, BrakeCleared(code=code, scope=scope))
        for brake in followed.brakes:
            if brake.scope.partition(":")[2] in self._setup.instruments:
                # It lasts until a listing or a person takes it back, also beyond this life: nobody states it again.
                self.tell(self._setup.governor, self._told(brake, "desk"))
        for change in followed.changes:
            if change.instrument_id in self._setup.instruments:
                self._changed(change)
        for kept in followed.kept:
            self._keep(kept)
        self._brake(self.now_ns())

    def _changed(self, change: MarketChanged) -> None:
        text = f"{change.instrument_id}: {change.kind.value} {change.field} {change.old} -> {change.new}"
        self._event("warning", "MARKET_CHANGED", text[:300])

    def _command(self, command: OperatorCommand) -> None:
        kept, answer = self._core.on_command(command, self.now_ns())
        if kept is not None and not self._keep(kept):
            answer = CommandAnswered(
                command_id=command.command_id, done=False, text=self._core.trouble, body={}, ts_ns=self.now_ns()
            )
        elif kept is not None:
            self._core.accept(kept)
            changed = kept.changed
            self._event("info", "UNIVERSE_CHANGED", f"{changed.instrument_id}: {changed.step.value} by {changed.by}")
        self._brake(self.now_ns())
        self._publish(self.now_ns())
        self.tell(self._setup.ops, answer)

    def _keep(self, kept: Kept) -> bool:
        """On disk, or nothing is tradable any more."""
        try:
            if self._store is None:
                raise OSError("there is no store")
            self._store.save(kept.state, kept.changed)
        except (OSError, UniverseDamagedError) as error:
            self._core.distrust(f"the allow-list cannot be kept: {error}")
            self._event("error", "UNIVERSE_DAMAGED", self._core.trouble)
            return False
        return True

    def _seed(self, now: int) -> None:
        """Take the configured instruments in, by the steps and rules that hold for everybody."""
        for name in self._setup.instruments:
            for _ in range(_SEED_STEPS):
                step = self._next_step(name)
                if step is None or not self._seeded(name, step, now):
                    break

    def _next_step(self, name: str) -> UniverseCommand | None:
        """What is next for an instrument; None when that is for a person or a venue to say."""
        core, venue = self._core, self._setup.instruments[name].venue
        entry = core.state.entries.get(name)
        if core.trouble or venue not in core.listings or (entry is not None and entry.drafted_by != CONFIGURATION):
            return None
        if entry is None:
            return DraftMarket(instrument_id=name, actor=CONFIGURATION, note="named in the paper configuration")
        if entry.status is EntryStatus.DRAFT:
            namesakes = find_namesakes(parse_market_id(name), core.listings.values())
            return SubmitMarket(instrument_id=name, actor=CONFIGURATION, confirmed_namesakes=namesakes)
        if entry.status is EntryStatus.REVIEW:
            return ApproveMarket(instrument_id=name, actor=CONFIGURATION, facts_hash=entry.facts_hash)
        return None

    def _seeded(self, name: str, step: UniverseCommand, now: int) -> bool:
        command = OperatorCommand(
            command_id=f"seed:{name}",
            kind=CommandKind.UNIVERSE,
            scope="global",
            actor=CONFIGURATION,
            cause="paper",
            argument=_ENCODE(step).decode(),
            ts_ns=now,
        )
        kept, answer = self._core.on_command(command, now)
        if kept is None:
            if isinstance(step, DraftMarket):
                return False  # no price yet, as a rule: the next look comes soon
            if self._answered < _REFUSALS_TOLD and now >= self._refused_ns:
                self._answered, self._refused_ns = self._answered + 1, now + _REFUSED_AGAIN_NS
                self._event("warning", "UNIVERSE_NOT_SEEDED", f"{name}: {answer.text}")
            return False
        if not self._keep(kept):
            return False
        self._core.accept(kept)
        return True

    # --- Venues --------------------------------------------------------------------------------------

    def _pulse(self, msg: VenuePulse) -> None:
        health = self._health.get(msg.venue)
        if health is None:
            return
        before = self._pulses.get(msg.venue)
        if before is None and not msg.connected:
            return  # it is only just connecting, which says nothing of the venue
        self._pulses[msg.venue] = msg
        if msg.connected and msg.venue not in self._core.listings:
            self.tell(f"connector.{msg.venue}", ListingWanted(venue=msg.venue))
        now = self.mono_ns()
        health.on_connection(msg.connected, now)
        if before is None or before.messages > msg.messages:
            return  # its cell began anew: the counts are of another life
        health.on_messages(msg.messages - before.messages, msg.dropped - before.dropped, msg.gaps - before.gaps, now)
        failed = max(0, msg.requests_failed - before.requests_failed)
        for answered in [True] * min(100, max(0, msg.requests - before.requests - failed)) + [False] * min(100, failed):
            health.on_request(answered, now)

    def _judge(self, now: int) -> None:
        for venue, health in self._health.items():
            if venue in self._pulses:
                mono = self.mono_ns()
                self._registry.follow_health(venue, health.judge(mono), health.parts(mono).score, now)
        for change in self._registry.tick(now):
            text = f"{change.scope}: {change.before.value} -> {change.after.value} {change.cause}"
            self._event("warning", "CONDITION_CHANGED", text[:300])

    # --- Brakes and facts ----------------------------------------------------------------------------

    def _brake(self, now: int) -> None:
        """The brakes that follow from list and registry, told when they change."""
        wanted = {(b.code, b.scope): b for b in self._wanted(now)}
        for key, brake in wanted.items():
            known = self._set.get(key)
            if known is None or (known.level, known.cause) != (brake.level, brake.cause):
                self.tell(self._setup.governor, self._told(brake, self.name))
        for code, scope in self._set.keys() - wanted.keys():
            self.tell(self._setup.governor, BrakeCleared(code=code, scope=scope))
        self._set = wanted

    def _wanted(self, now: int) -> Iterable[Brake]:
        yield from self._core.brakes(self._setup.instruments, now)
        yield from self._registry.brakes(now)

    def _told(self, brake: Brake, owner: str) -> BrakeSet:
        return BrakeSet(
            code=brake.code,
            scope=brake.scope,
            level=int(brake.level),
            cause=brake.cause,
            release=brake.release.value,
            owner=owner,
        )

    def _publish(self, now: int) -> None:
        setup, core = self._setup, self._core
        self.tell(setup.ops, published(Topic.UNIVERSE, "all", core.body(), now))
        for name, one in setup.instruments.items():
            listing = core.listings.get(one.venue)
            market = listing.markets.get(name) if listing is not None else None
            if market is not None:
                meta = market_meta(market, core.state, core.history, synthetic=setup.synthetic)
                self.tell(setup.ops, published(Topic.META, name, meta, now))
        mono = self.mono_ns()
        for venue, health in self._health.items():
            body = HealthBody(verdict=health.verdict, parts=health.parts(mono))
            markets = [name for name, one in setup.instruments.items() if one.venue == venue]
            registry = venue_registry(venue, self._registry, body, markets, now)
            self.tell(setup.ops, published(Topic.REGISTRY, venue, registry, now))

    def _event(self, level: str, code: str, text: str) -> None:
        now = self.now_ns()
        body: dict[str, object] = {"level": level, "code": code, "text": text, "ts_ns": now, "cell": "universe"}
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=f"universe:{now}:{code}", body=body, ts_ns=now))

    def stop(self) -> None:
        """Let go of the file."""
        if self._store is not None:
            self._store.close()
            self._store = None


def order_sizes(largest_usd: Decimal) -> UniverseRules:
    """The rules for a desk whose orders are at most so large."""
    return UniverseRules(order_notional_min=min(Decimal(100), largest_usd), order_notional_max=largest_usd)
