"""The desk without one of its guards: what the matrix must turn red on.

Each function takes one guard out of a rig whose desk has heard nothing yet. Nothing here runs but in mutation runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from actors.messages import ModesChanged
from actors.venue_market import VenueMarket
from adapters.streams.budget import ConnectionBudget, ConnectionLimits
from adapters.streams.connection import Deliver
from adapters.streams.state import ConnectionRules
from adapters.streams.topics import Pulse
from supervision.conformance.case import Mutant
from supervision.conformance.rig import Rig
from trading.market.events import BookState, DepthSnapshot, DepthUpdate
from trading.market.gates import GateEvent, VenueGates
from trading.market.stitch import BookSync, SyncResult
from trading.market.stream_stitch import StreamSync

# --- Books -------------------------------------------------------------------------------------------------------


class _BelievesNumbers(BookSync):
    """Applies every diff to a book that is SYNCED, whatever its numbers."""

    __slots__ = ()

    def on_update(self, update: DepthUpdate) -> SyncResult:
        if self.book.state is not BookState.SYNCED:
            return super().on_update(update)
        self.book.apply(update)
        return SyncResult.APPLIED


class _BelievesStreamNumbers(StreamSync):
    """The same for venues whose snapshots are in the stream."""

    __slots__ = ()

    def on_update(self, update: DepthUpdate) -> SyncResult:
        if self.book.state is not BookState.SYNCED:
            return super().on_update(update)
        self.book.apply(update)
        return SyncResult.APPLIED


class _BelievesSnapshots(BookSync):
    """Takes the first snapshot as the book, without a diff that follows it."""

    __slots__ = ()

    def on_snapshot(self, snapshot: DepthSnapshot) -> SyncResult:
        return _take(self, snapshot)


class _BelievesStreamSnapshots(StreamSync):
    """Takes every diff after a snapshot."""

    __slots__ = ()

    def on_snapshot(self, snapshot: DepthSnapshot) -> SyncResult:
        return _take(self, snapshot)

    def on_update(self, update: DepthUpdate) -> SyncResult:
        if self.book.state is not BookState.SYNCED:
            return super().on_update(update)
        self.book.apply(update)
        return SyncResult.APPLIED


def _take(sync: BookSync, snapshot: DepthSnapshot) -> SyncResult:
    sync.book.apply_snapshot(snapshot)
    sync.book.state = BookState.SYNCED
    sync.book.update_id = 1 << 60 if not isinstance(sync, StreamSync) else snapshot.last_update_id
    sync.wants_snapshot = False
    return SyncResult.BRIDGED


class _IgnoresChecksums(StreamSync):
    """Believes numbered diffs whatever their checksum says."""

    __slots__ = ()

    def _verified(self, message: DepthUpdate | DepthSnapshot, proved: SyncResult) -> SyncResult:
        return proved


def _become(rig: Rig, plain: type[BookSync], stream: type[StreamSync]) -> None:
    sync: Any = rig.book.sync
    sync.__class__ = stream if isinstance(sync, StreamSync) else plain


def _sequence(rig: Rig) -> None:
    _become(rig, _BelievesNumbers, _BelievesStreamNumbers)


def _stitching(rig: Rig) -> None:
    _become(rig, _BelievesSnapshots, _BelievesStreamSnapshots)


def _checksum(rig: Rig) -> None:
    _become(rig, BookSync, _IgnoresChecksums)


def _resync(rig: Rig) -> None:
    vars(rig.connector)["_want_snapshot"] = _nothing


def _book_state(rig: Rig) -> None:
    """The governor and the arbiter take every book for proved."""
    publish = rig.connector.tell

    def tell(to: str, msg: Any) -> None:
        if to == "market" and getattr(msg, "state", None) in {BookState.SUSPECT, BookState.RESYNC}:
            publish("oracle", msg)
            msg = msgspec.structs.replace(msg, state=BookState.SYNCED, ts_recv_ns=rig.clock.wall_ns())
            for name in ("governor", "arbiter"):
                publish(name, msg)
            return
        publish(to, msg)

    rig.connector.tell = tell  # type: ignore[method-assign]


# --- Connections -------------------------------------------------------------------------------------------------


def _nothing(*_args: object) -> None:
    return None


def _rules(rig: Rig, change: Callable[[ConnectionRules], ConnectionRules]) -> None:
    for connection in rig.feed._connections:  # noqa: SLF001
        connection.state = msgspec.structs.replace(connection.state, rules=change(connection.state.rules))


def _topics(rig: Rig, **changes: int) -> None:
    for connection in rig.feed._connections:  # noqa: SLF001
        topics = {k: msgspec.structs.replace(t, **changes) for k, t in connection.state.topics.items()}
        connection.state = msgspec.structs.replace(connection.state, topics=topics)


def _watchdog(rig: Rig) -> None:
    _topics(rig, mute_ns=0)


def _deadlines(rig: Rig) -> None:
    _topics(rig, mute_ns=0, first_ns=0)
    _rules(rig, lambda rules: msgspec.structs.replace(rules, ack_ns=1 << 60))


def _pongs(rig: Rig) -> None:
    _topics(rig, mute_ns=0)
    _rules(rig, lambda rules: msgspec.structs.replace(rules, ping_every_ns=1 << 60, pong_ns=1 << 60))


def _backoff(rig: Rig) -> None:
    _rules(
        rig,
        lambda rules: msgspec.structs.replace(
            rules, jitter_min_ns=0, jitter_max_ns=1, backoff_max_ns=1, maintenance_max_ns=1
        ),
    )
    free = ConnectionLimits(per_5_min=100_000, per_min=100_000, at_once=1_000)
    budget = ConnectionBudget({"binance": free, "okx": free, "bybit": free}, other=free, process=free)
    rig.feed._budget = budget  # noqa: SLF001
    for connection in rig.feed._connections:  # noqa: SLF001
        connection._budget = budget  # noqa: SLF001


def _lost_streams(rig: Rig) -> None:
    vars(rig.connector)["_lose"] = _nothing


# --- Views and symbols ---------------------------------------------------------------------------------------------


def _vote(rig: Rig) -> None:
    """Whoever leads goes on leading while it is connected."""
    for line in rig.feed._lines.values():  # noqa: SLF001
        vars(line)["tick"] = _nothing


def _failover(rig: Rig) -> None:
    """Nobody takes the place of a lost view."""
    for line in rig.feed._lines.values():  # noqa: SLF001
        vars(line)["down"] = _nothing


def _copies(rig: Rig) -> None:
    """There is a vote, and what every view brings goes on whatever it says."""
    deliver = rig.feed._deliver  # noqa: SLF001
    for line in rig.feed._lines.values():  # noqa: SLF001
        line._deliver = _nothing  # noqa: SLF001
    for connection in rig.feed._connections:  # noqa: SLF001
        connection._deliver = _both(connection._deliver, deliver)  # noqa: SLF001


def _both(first: Deliver, second: Deliver) -> Deliver:
    def deliver(payload: bytes, ts_recv_ns: int, pulse: Pulse | None) -> None:
        first(payload, ts_recv_ns, pulse)
        second(payload, ts_recv_ns, pulse)

    return deliver


def _scope(rig: Rig) -> None:
    """The books of a venue are lost together."""
    connector, hurt = rig.connector, rig.book
    publish, lose = connector._publish_top, connector._lose  # noqa: SLF001
    others = tuple(one.symbol for one in rig.instruments.values() if one is not rig.instrument)

    def publish_top(market: VenueMarket) -> None:
        was = market.proved
        publish(market)
        if market is hurt and was and not market.proved:
            lose(others)

    connector._tell_top = publish_top  # noqa: SLF001


# --- Gates and limits --------------------------------------------------------------------------------------------


def _age(rig: Rig) -> None:
    rig.book.gates.limits = msgspec.structs.replace(
        rig.book.gates.limits, book_freshness_ms=1 << 40, stream_stale_ms=1 << 40
    )


class _NoClock(VenueGates):
    __slots__ = ()

    def check(self, now_ns: int) -> list[GateEvent]:
        return []


def _clock(rig: Rig) -> None:
    gates: Any = rig.connector._gates  # noqa: SLF001
    gates.__class__ = _NoClock


def _retry_after(rig: Rig) -> None:
    client = rig.feed._rest  # noqa: SLF001
    assert client is not None
    client._freeze = lambda *_args: 1  # type: ignore[method-assign]  # noqa: SLF001


def _brakes(rig: Rig) -> None:
    """Brakes are set and told, and neither the arbiter, the governor nor the gateway heeds them."""
    vars(rig.base.actor(f"gateway.{rig.venue}"))["_refusal"] = _nothing
    core, arbiter = rig.governor.core, rig.base.actor("arbiter")
    set_modes, on = core.set_modes, arbiter.on
    set_modes({})
    vars(core)["set_modes"] = lambda _modes: set_modes({})
    vars(arbiter)["on"] = lambda msg: on(ModesChanged(modes={}) if type(msg) is ModesChanged else msg)


def _refusals(rig: Rig) -> None:
    """What cannot be read is counted and changes no book, and numbers are not looked at."""
    connector: Any = rig.connector
    vars(connector)["_refused"] = lambda event, _payload: connector._reject(event)  # noqa: SLF001
    _sequence(rig)


SEQUENCE = Mutant("no sequence check", _sequence)
STITCHING = Mutant("no bridge between snapshot and diffs", _stitching)
CHECKSUM = Mutant("no checksum", _checksum)
RESYNC = Mutant("no snapshot is asked for", _resync)
BOOK_STATE = Mutant("governor and arbiter take every book for proved", _book_state)
WATCHDOG = Mutant("no age of data per topic", _watchdog)
DEADLINES = Mutant("no deadline for answers and first data", _deadlines)
PONGS = Mutant("neither age of data nor pongs", _pongs)
BACKOFF = Mutant("no backoff and no connection budget", _backoff)
LOST_STREAMS = Mutant("a lost stream changes no book", _lost_streams)
AGE = Mutant("no gate on the age of books", _age)
CLOCK = Mutant("no gate on the clock", _clock)
RETRY_AFTER = Mutant("Retry-After is not heard", _retry_after)
BRAKES = Mutant("arbiter, governor and gateway are deaf to brakes", _brakes)
REFUSALS = Mutant("a refused message changes no book, and no sequence check", _refusals)
VOTE = Mutant("no vote on the freshness of views", _vote)
FAILOVER = Mutant("no view takes over from a lost one", _failover)
COPIES = Mutant("copies of several views are not told apart", _copies)
SCOPE = Mutant("what one symbol loses, all lose", _scope)
