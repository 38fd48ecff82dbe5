"""The universe as one core: listings and commands in; brakes, steps to keep and answers out.

Owns the state between a listing, an operator's command and what may be traded. Keeps nothing on disk: every step that
it returns is to be kept (`adapters.universe_store`) and, where that fails, `distrust` makes nothing tradable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from trading.brakes import AUTO, Brake, Level, Release
from trading.operators import CommandAnswered, OperatorCommand
from trading.universe.admission import UniverseRules
from trading.universe.listing import VenueListing
from trading.universe.report import RuleHistory, UniverseBody, universe_body
from trading.universe.watch import ListingWatch, MarketChanged, brake_of, brakes_released_by
from trading.universe.workflow import (
    Surroundings,
    UniverseChanged,
    UniverseCommand,
    UniverseState,
    decide,
    follow,
)

AUDIT_KEPT: Final = 100
PRICES_MAX: Final = 4_096
NOT_ALLOWED: Final = "NOT_IN_UNIVERSE"

_command = msgspec.json.Decoder(UniverseCommand).decode


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One step and the state after it: to be kept in this order."""

    state: UniverseState
    changed: UniverseChanged


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing led to. ``released`` are (code, scope) of automatic brakes whose cause has ended."""

    changes: tuple[MarketChanged, ...]
    brakes: tuple[Brake, ...]
    released: tuple[tuple[str, str], ...]
    kept: tuple[Kept, ...]


class UniverseCore:
    """One desk's universe."""

    def __init__(
        self,
        state: UniverseState,
        rules: UniverseRules,
        *,
        audit: Iterable[UniverseChanged] = (),
        trouble: str = "",
        renames: dict[str, str] | None = None,
    ) -> None:
        """``audit`` is newest first; ``trouble`` says why the stored list cannot be trusted."""
        self.state = state
        self.rules = rules
        self.trouble = trouble
        self.history = RuleHistory()
        self.listings: dict[str, VenueListing] = {}
        self.audit: deque[UniverseChanged] = deque(audit, maxlen=AUDIT_KEPT)
        self._renames = renames or {}
        self._watches: dict[str, ListingWatch] = {}
        self._prices: dict[str, Decimal] = {}

    def is_tradable(self, instrument_id: str) -> bool:
        """Whether orders may be made there; nowhere while there is trouble."""
        return not self.trouble and self.state.is_tradable(instrument_id)

    def on_price(self, instrument_id: str, price: Decimal) -> None:
        """A recent price of a market, for checks of order sizes; at most 4096 markets are remembered."""
        if instrument_id in self._prices or len(self._prices) < PRICES_MAX:
            self._prices[instrument_id] = price

    def on_listing(self, listing: VenueListing) -> Followed:
        """A whole listing of one venue. What it makes safer holds at once, kept or not."""
        watch = self._watches.get(listing.venue)
        if watch is None:
            watch = self._watches[listing.venue] = ListingWatch(listing.venue, self._renames)
        changes = watch.take(listing)
        if watch.listing is not None:
            self.listings[listing.venue] = watch.listing
        kept: list[Kept] = []
        for change in changes:
            self.history.take(change)
            self.state, changed = follow(self.state, change, self._around())
            if changed is not None:
                self.audit.appendleft(changed)
                kept.append(Kept(state=self.state, changed=changed))
        released = [(code, f"symbol:{one.instrument_id}") for one in changes for code in brakes_released_by(one)]
        brakes = [brake for one in changes if (brake := brake_of(one)) is not None]
        return Followed(changes=tuple(changes), brakes=tuple(brakes), released=tuple(released), kept=tuple(kept))

    def on_command(self, command: OperatorCommand, now_ns: int) -> tuple[Kept | None, CommandAnswered]:
        """One step of an operator. A ``Kept`` must be kept first, then `accept`ed, then the answer may be given.

        ``argument`` names the same person as ``actor``, which the face that took the command in vouches for.
        """
        if self.trouble:
            return None, _answer(command, self.trouble, now_ns, field="", mend="")
        try:
            wanted = _command(command.argument)
        except (msgspec.MsgspecError, RecursionError) as fault:
            return None, _answer(command, f"no universe command: {str(fault)[:120]}", now_ns, field="argument", mend="")
        if command.actor.rpartition(":")[2] != wanted.actor:
            text = f"{command.actor} speaks for {wanted.actor[:40]}"
            return None, _answer(command, text, now_ns, field="actor", mend="act in your own name")
        state, said = decide(self.state, wanted, self._around(), now_ns)
        if not isinstance(said, UniverseChanged):
            text = f"{said.field}: {said.text}. {said.mend}"
            return None, _answer(command, text, now_ns, field=said.field, mend=said.mend)
        status = said.after.status.value if said.after is not None else "absent"
        body = {"entry": msgspec.to_builtins(said.after), "revision": said.revision}
        answer = CommandAnswered(
            command_id=command.command_id,
            done=True,
            text=f"{said.instrument_id} is {status}",
            body=body,
            ts_ns=now_ns,
        )
        return Kept(state=state, changed=said), answer

    def accept(self, kept: Kept) -> None:
        """A command's step is on disk: it holds from now on."""
        self.state = kept.state
        self.audit.appendleft(kept.changed)

    def distrust(self, text: str) -> None:
        """The list could not be kept: nothing is tradable until somebody has looked."""
        self.trouble = text

    def brakes(self, traded: Iterable[str], now_ns: int) -> tuple[Brake, ...]:
        """A HOLD on every market of ``traded`` that is not tradable here, with why."""
        return tuple(
            Brake(
                code=NOT_ALLOWED,
                scope=f"symbol:{name}",
                level=Level.HOLD,
                cause=self.trouble[:200] or "nobody approved it",
                since_ns=now_ns,
                release=Release.AUTO,
                set_by=AUTO,
            )
            for name in traded
            if not self.is_tradable(name)
        )

    def body(self) -> UniverseBody:
        """The body of UNIVERSE."""
        return universe_body(self.state, self.rules, self.audit, self.trouble)

    def _around(self) -> Surroundings:
        return Surroundings(listings=self.listings, prices=self._prices, rules=self.rules)


def _answer(command: OperatorCommand, text: str, now_ns: int, *, field: str, mend: str) -> CommandAnswered:
    body: dict[str, object] = {"field": field, "mend": mend}
    return CommandAnswered(command_id=command.command_id, done=False, text=text, body=body, ts_ns=now_ns)
