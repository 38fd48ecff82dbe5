"""The risk governor's actor: decides on every proposal, owns the brakes, renews the permit.

No mailbox stands between HOLD and the wire: the permit that this actor renews every 100 ms expires by itself, and
the board's operator section is read here only to be shown and remembered.
"""

from __future__ import annotations

import os
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.messages import (
    AskEpoch,
    AskOpenOrders,
    AskPositions,
    BrakeCleared,
    BrakeSet,
    BrakesStated,
    DayPnl,
    Epoch,
    ModesChanged,
    OpenOrders,
    Positions,
    ResumeChild,
    VenueDown,
    VenueReconciled,
    VenueUp,
)
from actors.shell import Shell
from adapters.permit_board import BoardBusyError, OperatorBoard, PermitWriter
from trading.brakes import GLOBAL, Brake, BrakeBook, Level, Release, ReleaseRefused, release_hash
from trading.instruments import Instrument
from trading.market.events import BookTop, MarkPrice
from trading.operators import CommandAnswered, CommandKind, OperatorCommand, Published, Topic
from trading.orders.messages import ApprovedOrder, InternalCross, OrderDenied, OrderFilled, OrderUpdated, ProposedOrder
from trading.risk.governor import RiskGovernor
from trading.risk.limits import RiskLimits

_LEVELS = {CommandKind.HOLD: Level.HOLD, CommandKind.PAUSE: Level.PAUSE, CommandKind.KILL: Level.KILL}
_FIRST_RECON = "waiting for the first reconciliation since the start"
_APPROVAL_NS = 600_000_000_000
_APPROVALS_MAX = 256
_RESTART = "RESTART:"
_BUSY_RETRY_NS = 25_000_000
_OPEN_RETRY_NS = 250_000_000
_BUSY = "PERMIT_BUSY"
_WAITING_MAX = 1_024
_AGAIN = frozenset({BookTop, MarkPrice, ProposedOrder, OrderUpdated, OrderFilled, InternalCross, OrderDenied})
"""What is said again, or means nothing before it is known what the desk holds."""
_SILENT = "VENUE_SILENT"


class GovernorSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What the governor is built from.

    ``silent_ns``: a venue of which nothing was heard for so long, neither that it can be traded nor why not, is held;
    0 where venues say it once, as in virtual time.
    """

    instruments: dict[str, Instrument]
    venues: tuple[str, ...]
    limits: RiskLimits
    board: Path
    brakes_file: Path | None
    renew_ns: int = 100_000_000
    ttl_ns: int = 500_000_000
    amends_in_place: tuple[str, ...] = ()
    publish_ns: int = 500_000_000
    silent_ns: int = 0
    arbiter: str = "arbiter"
    orders: str = "orders"
    portfolio: str = "portfolio"
    stops: str | None = None
    ops: str = "ops"
    cell: str = "desk"


class Governor(Shell):
    """Starts with every venue braked: trading is permitted, never assumed."""

    def start(self, setup: GovernorSetup) -> None:
        """Take a new epoch, remember the brakes that survive, hold every venue until it is reconciled."""
        self._setup = setup
        self._serial = 0
        self._busy_ns: int | None = None
        self._waiting: dict[object, Any] | None = {}
        self._writer: PermitWriter | None = None
        self._book = BrakeBook()
        self._open_board()

    def _open_board(self) -> None:
        """Begin when the board is had. While another process keeps it there is no permit, and nothing is decided."""
        setup, waiting = self._setup, self._waiting
        try:
            writer = PermitWriter(setup.board, now_wall_ns=self.now_ns())
            epoch = writer.next_epoch()
        except BoardBusyError as error:
            self._say_busy(error)
            self.wake_after(_OPEN_RETRY_NS, "open")
            return
        self._waiting, self._busy_ns = None, None
        self._begin(writer, epoch)
        for msg in (waiting or {}).values():
            self.on(msg)

    def _begin(self, writer: PermitWriter, epoch: int) -> None:
        setup = self._setup
        self._writer, self._epoch = writer, epoch
        self._operator = OperatorBoard(setup.board)
        self._core = RiskGovernor(setup.instruments, setup.limits, epoch, setup.amends_in_place)
        top_route = self._core.top_route()
        if top_route is not None:
            self._routes[BookTop] = top_route
        self._approvals: dict[str, tuple[str, int]] = {}
        self._modes: dict[str, int] = {}
        self._from_board: set[tuple[str, str]] = set()
        self._up: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._heard_ns = dict.fromkeys(setup.venues, self.mono_ns())
        self._day = -1
        self.denied: dict[str, int] = {}
        self.approved = 0
        damaged = self._remember(setup.brakes_file)
        for brake in self._book.brakes():
            if brake.release is Release.AUTO:
                self._book.clear(brake.code, brake.scope, "auto", None, self.now_ns())
        for venue in setup.venues:
            self._brake("RECON", f"venue:{venue}", Level.HOLD, _FIRST_RECON, Release.AUTO)
        if damaged:
            self._brake("BRAKES_UNREADABLE", GLOBAL, Level.HOLD, damaged, Release.OPERATOR)
        self._positions: Positions | None = None
        self._open: OpenOrders | None = None
        self._whole = False
        self.tell(setup.portfolio, AskPositions(reply_to=self.name))
        self.tell(setup.orders, AskOpenOrders(reply_to=self.name))
        self._renew()
        self.wake_after(setup.publish_ns, "publish")

    def _remember(self, file: Path | None) -> str:
        """Take up the brakes of an earlier life; why that was not possible, if it was not."""
        if file is None or not file.exists():
            return ""
        try:
            self._book = BrakeBook.load(file.read_bytes())
        except ValueError as error:
            return f"what was braked before is not known: {error}"
        return ""

    @property
    def core(self) -> RiskGovernor:
        """For the replay's report."""
        return self._core

    @property
    def brakes(self) -> tuple[Brake, ...]:
        """For the replay's report."""
        return tuple(self._book.brakes())

    def on(self, msg: Any) -> None:
        """Decide, or take in a fact."""
        kind = type(msg)
        if self._waiting is not None:
            self._wait_with(msg, self._waiting)
            return
        if kind is BookTop:
            self._core.on_top(msg)
            return
        now = self.now_ns()
        if kind is ProposedOrder:
            self._decide(msg, now)
        elif kind is OrderUpdated:
            if self._whole:
                self._core.on_order(msg)
        elif kind is OrderFilled:
            if self._whole:
                self._core.on_fill(msg)
        elif kind is InternalCross:
            self._core.on_cross(msg)
        elif kind is MarkPrice:
            self._core.on_mark(msg)
        elif kind is OrderDenied:
            self._count(msg)
            self._core.on_denied(msg)
        else:
            self._on_rare(msg, kind, now)

    def _wait_with(self, msg: Any, waiting: dict[object, Any]) -> None:
        """Keep what must be answered or obeyed; of what is stated again and again, the newest."""
        kind = type(msg)
        if kind in _AGAIN:
            return
        key: object = id(msg)
        if kind is BrakesStated:
            key = (kind, msg.owner)
        elif kind is VenueUp:
            key = (kind, msg.venue)
        elif kind is DayPnl:
            key = kind
        waiting.pop(key, None)
        if len(waiting) >= _WAITING_MAX:
            raise RuntimeError(f"the permit board has been busy for so long that {_WAITING_MAX} messages wait for it")
        waiting[key] = msg

    def _on_rare(self, msg: Any, kind: type[Any], now: int) -> None:
        """What comes less often than the market: venues, brakes, operators, and what an earlier life left."""
        if kind is BrakeSet:
            self._set(msg)
        elif kind is BrakeCleared:
            self._clear(msg.code, msg.scope)
        elif kind is BrakesStated:
            self._stated(msg)
        elif kind is VenueReconciled:
            self._reconciled(msg)
        elif kind is VenueUp:
            self._venue_up(msg)
        elif kind is VenueDown:
            self._brake("VENUE_DOWN", f"venue:{msg.venue}", Level.HOLD, "the venue's cell is away", Release.AUTO)
        elif kind is DayPnl:
            if msg.day != self._day:
                self._day = msg.day
                self._core.start_day()
            self._core.set_pnl(Decimal(msg.day_usd))
            self._trip(now)
        elif kind is AskEpoch:
            self._serial += 1
            self.tell(msg.reply_to, Epoch(epoch=self._epoch, serial=self._serial))
            if msg.reply_to == self._setup.arbiter:
                # It was not there, or was another, when the brakes were last told.
                self.tell(self._setup.arbiter, ModesChanged(modes=self._modes))
            elif msg.reply_to == self._setup.orders:
                # The same for venues that came up: it must answer for the life that is on, not for one before it.
                for venue, asked in self._asked.items():
                    self.tell(self._setup.orders, VenueUp(venue=venue, incarnation=asked))
        elif kind is OperatorCommand:
            self._command(msg, now)
        elif kind is Positions:
            self._positions = msg
            self._wake_up()
        elif kind is OpenOrders:
            self._open = msg
            self._wake_up()
        else:
            self.unknown(msg)

    def _venue_up(self, msg: VenueUp) -> None:
        """Said for as long as it is so; what is new in it is another life of the venue, or its cell's return."""
        scope = f"venue:{msg.venue}"
        self._heard(msg.venue)
        away = any(b.code == "VENUE_DOWN" and b.scope == scope for b in self._book.brakes())
        if self._up.get(msg.venue) == msg.incarnation and not away:
            return
        self._up[msg.venue] = msg.incarnation
        # A number of its own for every time that it came up: a venue that was away and is as it was says the same one.
        asked = self._asked[msg.venue] = max(msg.incarnation, self._asked.get(msg.venue, 0) + 1)
        self._brake("RECON", scope, Level.HOLD, "venue came up, not reconciled yet", Release.AUTO)
        self._clear("VENUE_DOWN", scope)
        self.tell(self._setup.orders, VenueUp(venue=msg.venue, incarnation=asked))

    def _heard(self, venue: str) -> None:
        """It says that it can be traded, or why not."""
        if venue in self._heard_ns:
            self._heard_ns[venue] = self.mono_ns()
            self._clear(_SILENT, f"venue:{venue}")

    def _look_for_silent(self) -> None:
        limit_ns = self._setup.silent_ns
        for venue, heard_ns in self._heard_ns.items():
            if limit_ns and self.mono_ns() - heard_ns > limit_ns:
                cause = f"its gateway has not said for {limit_ns / 1e9:g} s that it can be traded, nor why not"
                self._brake(_SILENT, f"venue:{venue}", Level.HOLD, cause, Release.AUTO)

    def _wake_up(self) -> None:
        """Exposure is whole once positions and open orders of the journal are known; until then nothing is approved."""
        if self._whole or self._positions is None or self._open is None:
            return
        self._whole = True
        held = {i: Decimal(q) for i, q in self._positions.by_instrument.items()}
        self._core.restore(held, self._open.orders)

    def _decide(self, msg: ProposedOrder, now: int) -> None:
        if not self._whole:
            return
        verdict = self._core.decide(msg, now)
        if type(verdict) is ApprovedOrder:
            self.approved += 1
            self.tell(self._setup.orders, verdict)
        elif type(verdict) is OrderDenied:
            self._count(verdict)
            self.tell(self._setup.arbiter, verdict)
            if self._setup.stops is not None and msg.trigger is not None:
                self.tell(self._setup.stops, verdict)
            self._deny_fact(verdict)

    def _count(self, denied: OrderDenied) -> None:
        reason = denied.reason.value
        self.denied[reason] = self.denied.get(reason, 0) + 1

    def _deny_fact(self, m: OrderDenied) -> None:
        body: dict[str, object] = {
            "cl_ord_id": m.cl_ord_id,
            "venue": m.venue,
            "instrument_id": m.instrument_id,
            "ord_status": "denied",
            "strategies": [leg.strategy_id for leg in m.legs],
            "text": f"{m.reason.value}: {m.text}",
            "ts_ns": m.ts_init_ns,
        }
        self.tell(self._setup.ops, Published(topic=Topic.ORDER, key=m.cl_ord_id, body=body, ts_ns=m.ts_init_ns))

    def _reconciled(self, msg: VenueReconciled) -> None:
        scope = f"venue:{msg.venue}"
        if not msg.ok:
            for held in [f"symbol:{i}" for i in msg.instrument_ids] or [scope]:
                self._brake("RECON", held, Level.HOLD, msg.text, Release.AUTO)
        elif msg.incarnation == self._asked.get(msg.venue, 0):
            # A clean account of before it came up last vouches for nothing; a bad one may hold what came after as well.
            self._clear("RECON", scope)
            for instrument_id, instrument in self._setup.instruments.items():
                if instrument.venue == msg.venue:
                    self._clear("RECON", f"symbol:{instrument_id}")

    # Brakes.

    def _set(self, msg: BrakeSet) -> None:
        self._brake(msg.code, msg.scope, Level(msg.level), msg.cause, Release(msg.release), by=msg.owner)

    def _stated(self, msg: BrakesStated) -> None:
        """What its owner has a reason for, and nothing else that is only its own to release."""
        self._heard(msg.owner.removeprefix("gateway."))
        for brake in msg.brakes:
            self._set(brake)
        held = {(brake.code, brake.scope) for brake in msg.brakes}
        for known in self._book.brakes():
            gone = known.set_by == msg.owner and (known.code, known.scope) not in held
            if gone and known.release is Release.AUTO:
                self._clear(known.code, known.scope)

    def _brake(
        self,
        code: str,
        scope: str,
        level: Level,
        cause: str,
        release: Release,
        *,
        by: str = "desk",
        since_ns: int | None = None,
    ) -> None:
        known = next((b for b in self._book.brakes() if b.code == code and b.scope == scope), None)
        if known is not None and known.level == level and known.cause == cause:
            return
        since = since_ns or (self.now_ns() if known is None else known.since_ns)
        self._book.set(
            Brake(code=code, scope=scope, level=level, cause=cause, since_ns=since, release=release, set_by=by)
        )
        self._changed()
        if known is None or known.level != level:
            self._event("warning", f"BRAKE:{code}", f"{scope} -> {level.name}: {cause}")

    def _clear(self, code: str, scope: str, by: str = "auto", two_man: tuple[str, str] | None = None) -> str | None:
        if not any(b.code == code and b.scope == scope for b in self._book.brakes()):
            return None
        outcome = self._book.clear(code, scope, by, two_man, self.now_ns())
        if isinstance(outcome, ReleaseRefused):
            return outcome.text
        self._changed()
        self._event("info", f"RELEASED:{code}", f"{scope}: released by {by}")
        return None

    def _drop(self, code: str, scope: str) -> None:
        """The board no longer has an operator's brake: who took it off was checked there."""
        kept = [b for b in self._book.brakes() if (b.code, b.scope) != (code, scope)]
        self._book = BrakeBook()
        for brake in kept:
            self._book.set(brake)
        self._changed()
        self._event("info", f"RELEASED:{code}", f"{scope}: taken off the board")

    def _changed(self) -> None:
        """Modes reach the board at once, not at the next renewal."""
        modes = {scope: int(level) for scope, level in self._book.modes().items()}
        if modes != self._modes:
            self._modes = modes
            self._core.set_modes(modes)
            if not self._permit():
                self.wake_after(_BUSY_RETRY_NS, "renew")
            self.tell(self._setup.orders, ModesChanged(modes=modes))
            self.tell(self._setup.arbiter, ModesChanged(modes=modes))
        if self._setup.brakes_file is not None:
            _write_atomically(self._setup.brakes_file, self._book.dump())

    def _renew(self) -> None:
        self._absorb_operator()
        self._trip(self.now_ns())
        self.wake_after(self._setup.renew_ns if self._permit() else _BUSY_RETRY_NS, "renew")

    def _trip(self, now: int) -> None:
        """Put on the brakes that a loss or a position asks for."""
        for trip in self._core.trips(now):
            self._brake(trip.code, trip.scope, Level(trip.level), trip.cause, Release(trip.release), by="governor")

    def _permit(self) -> bool:
        """Renew; False when somebody else has the board: nothing is lost by trying again, and it expires by itself.

        When it has expired, the desk is told to hold as well, so that nothing rests which nobody may renew.
        """
        assert self._writer is not None
        try:
            self._writer.renew(self._epoch, self.mono_ns() + self._setup.ttl_ns, self._book.modes())
        except BoardBusyError as error:
            if self.mono_ns() - self._say_busy(error) >= self._setup.ttl_ns:
                self._brake(_BUSY, GLOBAL, Level.HOLD, "another process keeps the permit board locked", Release.AUTO)
            return False
        if self._busy_ns is not None:
            self._busy_ns = None
            self._clear(_BUSY, GLOBAL)
        return True

    def _say_busy(self, error: BoardBusyError) -> int:
        """Told once; since when it is so, monotonic nanoseconds."""
        if self._busy_ns is None:
            self._busy_ns = self.mono_ns()
            self._event("warning", _BUSY, f"there is no new permit: {error}")
        return self._busy_ns

    def _absorb_operator(self) -> None:
        """What operators wrote on the board becomes brakes; what they took off it is released."""
        found = self._operator.read()
        seen = {(brake.code, brake.scope) for brake in found}
        for brake in found:
            # Every field as it stands on the board: what two people approve is a hash over all of them.
            self._brake(
                brake.code,
                brake.scope,
                brake.level,
                brake.cause,
                brake.release,
                by=brake.set_by,
                since_ns=brake.since_ns,
            )
        for code, scope in self._from_board - seen:
            self._drop(code, scope)
        self._from_board = seen

    def on_tick(self, tag: str) -> None:
        """Renew the permit; show the brakes."""
        if tag == "renew":
            self._renew()
            return
        if tag == "open":
            self._open_board()
            return
        self.wake_after(self._setup.publish_ns, "publish")
        self._look_for_silent()
        self._publish()

    def _publish(self) -> None:
        now = self.now_ns()
        modes = {scope: Level(level).name for scope, level in self._modes.items()}
        body: dict[str, object] = {
            "brakes": [
                {
                    "code": b.code,
                    "scope": b.scope,
                    "level": Level(b.level).name,
                    "cause": b.cause,
                    "since_ns": b.since_ns,
                    "release": b.release.value,
                    "set_by": b.set_by,
                }
                for b in self._book.brakes()
            ],
            "modes": modes,
            "global_mode": modes.get("global", "RUN"),
            "permit": {
                "epoch": self._epoch,
                "expires_in_ms": self._setup.ttl_ns // 1_000_000,
                "valid": True,
                "renewed_ns": now,
            },
            "risk": self._core.view(),
        }
        self.tell(self._setup.ops, Published(topic=Topic.BRAKES, key="all", body=body, ts_ns=now))
        series: list[list[object]] = [["orders_approved_total", "counter", {}, self.approved]]
        series.extend(["orders_denied_total", "counter", {"reason": r}, n] for r, n in self.denied.items())
        series.append(["brakes_active", "gauge", {}, len(self._book.brakes())])
        series.append(["permit_epoch", "gauge", {}, self._epoch])
        self.tell(
            self._setup.ops,
            Published(topic=Topic.METRICS, key=f"{self._setup.cell}.governor", body={"series": series}, ts_ns=now),
        )

    # Operators.

    def _command(self, msg: OperatorCommand, now: int) -> None:
        level = _LEVELS.get(msg.kind)
        if level is not None:
            self._operator.set(msg.scope, level, msg.cause, msg.actor, now)
            self._absorb_operator()
            self._answer(msg, True, f"{msg.scope} is in {level.name}: {msg.cause}")
        elif msg.kind is CommandKind.RESUME:
            self._answer(msg, *self._resume(msg, now))
        elif msg.kind is CommandKind.CANCEL_ALL:
            self.tell(self._setup.orders, ModesChanged(modes={**self._modes, msg.scope: int(Level.HOLD)}))
            self.tell(self._setup.orders, ModesChanged(modes=self._modes))
            self._answer(msg, True, f"cancels sent for {msg.scope}")
        elif msg.kind is CommandKind.UNLOCK and msg.scope.removeprefix("venue:") in self._setup.venues:
            self.tell(f"gateway.{msg.scope.removeprefix('venue:')}", msg)  # it answers
        elif msg.kind is CommandKind.UNLOCK:
            venues = ", ".join(f"venue:{venue}" for venue in self._setup.venues)
            self._answer(msg, False, f"{msg.scope} has no link; say one of {venues}")
        elif msg.kind is CommandKind.ADOPT:
            self.tell(self._setup.portfolio, msg)  # it answers
        else:
            self._answer(msg, False, f"the desk does not answer {msg.kind.value}")

    def _resume(self, msg: OperatorCommand, now: int) -> tuple[bool, str]:
        released: list[str] = []
        refused: list[str] = []
        scopes = {b.scope for b in self._book.brakes()} if msg.scope == "global" else {msg.scope}
        for brake in self._book.brakes():
            if brake.scope not in scopes:
                continue
            name = f"{brake.code} on {brake.scope}"
            if brake.release is Release.AUTO:
                refused.append(f"{name} goes when its cause does: {brake.cause}")
                continue
            two_man = self._approved(brake, msg.actor, now) if brake.release is Release.TWO_MAN else None
            if brake.release is Release.TWO_MAN and two_man is None:
                refused.append(f"{name} needs a second person; your approval is noted")
                continue
            if (brake.code, brake.scope) in self._from_board:
                texts = self._clear_board(brake.scope, msg.actor, two_man, now)
            else:
                text = self._clear(brake.code, brake.scope, by=msg.actor, two_man=two_man)
                texts = [text] if text else []
            refused.extend(texts)
            if not texts:
                released.append(name)
                if brake.code.startswith(_RESTART):
                    # Whoever gave the child up is who may start it again, in whatever cell it lives.
                    self.tell(brake.set_by, ResumeChild(name=brake.code.removeprefix(_RESTART)))
        self._absorb_operator()
        parts = [f"released: {', '.join(released)}"] if released else ["nothing to release"]
        if refused:
            parts.append("still on: " + "; ".join(refused))
        return bool(released) or not refused, ". ".join(parts)

    def _clear_board(self, scope: str, actor: str, two_man: tuple[str, str] | None, now: int) -> list[str]:
        """Why operators' brakes on ``scope`` stay, if they do."""
        try:
            answers = self._operator.clear(scope, actor, two_man, now)
        except BoardBusyError as error:
            return [f"{error}: try again"]
        return [answer.text for answer in answers if isinstance(answer, ReleaseRefused)]

    def _approved(self, brake: Brake, actor: str, now: int) -> tuple[str, str] | None:
        """The other person who approved this very brake, and its hash; None when ``actor`` is the first."""
        key = release_hash(brake)
        first = self._approvals.get(key)
        if first is None or first[0].casefold() == actor.casefold() or now - first[1] > _APPROVAL_NS:
            if len(self._approvals) >= _APPROVALS_MAX:
                self._approvals.clear()
            self._approvals[key] = (actor, now)
            return None
        del self._approvals[key]
        return first[0], key

    def _answer(self, msg: OperatorCommand, done: bool, text: str) -> None:
        now = self.now_ns()
        self._event("info", f"OPERATOR:{msg.kind.value}", f"{msg.actor}: {text}")
        self._publish()
        self.tell(
            self._setup.ops,
            CommandAnswered(command_id=msg.command_id, done=done, text=text, body={}, ts_ns=now),
        )

    def _event(self, level: str, code: str, text: str) -> None:
        now = self.now_ns()
        self._serial += 1
        body: dict[str, object] = {"level": level, "code": code, "text": text, "ts_ns": now, "cell": self._setup.cell}
        self.tell(
            self._setup.ops, Published(topic=Topic.EVENT, key=f"governor:{now}:{self._serial}", body=body, ts_ns=now)
        )

    def stop(self) -> None:
        """Leaving takes the permit along; from a busy board it goes by expiring."""
        if self._writer is not None:
            with suppress(BoardBusyError):
                self._writer.revoke()


def _write_atomically(path: Path, blob: bytes) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
