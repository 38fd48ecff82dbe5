"""The drop copy of one venue: an independent reader of what was executed, compared with what the journal booked.

It lives in the operators' cell and not in the venue's or the desk's: what breaks, hangs or misleads the order path must
not reach what checks it, and a cell for it alone would cost a process for a few requests a minute. It reads the venue's
record and not a second private stream, because two streams of one venue lose together; and the journal's own rows, not
what anybody says of them. It books nothing. A difference that lasts brakes its venue and asks for a reconciliation, by
which the order core mends it on its own evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from actors.messages import ActorReady, BrakeSet, BrakesStated, ReconcileWanted
from actors.shell import Shell
from adapters.clock import Clock
from adapters.dropcopy.mirror import Broken, Look, Mirror, MirrorItem, MirrorSpec, Opened
from adapters.dropcopy.store import Entry
from adapters.limits.limiter import Limiter
from adapters.orders.outbox import Outbox
from trading.dropcopy.core import Difference, DropCopyCore, DropCopyRules, Span, Turn
from trading.operators import Published, Topic

DROP_COPY = "DROP_COPY"
GAP, HEALED, BLIND = "drop_copy_gap", "drop_copy_healed", "drop_copy_blind"
_LOOKS_MAX = 8
_EVENTS_A_SECOND = 5


class DropCopySetup(msgspec.Struct, frozen=True, kw_only=True):
    """What is mirrored, how patiently it is judged, and who makes what keeps the venue's limits.

    After ``blind_ns`` without a whole look operators are told that nothing is compared.
    """

    mirror: MirrorSpec
    rules: DropCopyRules = DropCopyRules()
    limiter: Callable[[Clock], Limiter] | None = None
    publish_ns: int = 1_000_000_000
    blind_ns: int = 60_000_000_000
    governor: str = "governor"
    ops: str = "ops"

    @property
    def venue(self) -> str:
        """Whose record it is."""
        return self.mirror.link.venue


class MirrorReady(msgspec.Struct, frozen=True):
    """The mirror has something to look at. Never leaves the process."""


class DropCopy(Shell):
    """Silent about brakes until it knows what an earlier life of it left open."""

    def start(self, setup: DropCopySetup) -> None:
        """Open the mirror."""
        self._setup = setup
        self._core: DropCopyCore | None = None
        self._until_ns = 0
        self._read_mono_ns = self._looked_mono_ns = self.mono_ns()
        self._blind = False
        self._said = 0
        self.readings = 0
        self.failed = 0
        self._trouble = self._broken = ""
        self._closing: asyncio.Task[None] | None = None
        inject, name = self.loop_tell(), self.name
        self._outbox: Outbox[MirrorItem] = Outbox(lambda: inject(name, MirrorReady()), _LOOKS_MAX)
        limiter = setup.limiter(self.clock) if setup.limiter is not None else None
        self._mirror = Mirror(setup.mirror, self.clock, self._outbox.put, limiter)
        self._mirror.start()
        self.wake_after(setup.publish_ns, "publish")

    @property
    def core(self) -> DropCopyCore | None:
        """For tests."""
        return self._core

    def on(self, msg: Any) -> None:
        """The mirror has looked."""
        if type(msg) is not MirrorReady:
            self.unknown(msg)
            return
        for item in self._outbox.drain():
            match item:
                case Opened():
                    self._opened(item)
                case Look():
                    self._looked(item)
                case Broken():
                    if item.reason != self._broken and not item.away:
                        self._event("error", BLIND, f"the copy is not kept: {item.reason}")
                    self._trouble = self._broken = item.reason

    def _opened(self, item: Opened) -> None:
        kept = item.kept
        core = DropCopyCore(self._setup.rules, item.from_ns)
        core.before_ns = kept.before_ns
        core.restore(kept.listed, kept.booked, kept.open, self.now_ns())
        self._core, self._until_ns, self._trouble = core, kept.until_ns or item.from_ns, ""
        if self._supervisor is not None:
            self.tell(self._supervisor, ActorReady(name=self.name))

    def _looked(self, look: Look) -> None:
        """Judge both sides, write it down, say what changed."""
        core = self._core
        assert core is not None
        now, mono = self.now_ns(), self.mono_ns()
        turns = [core.accept(exec_id, by) for exec_id, by in look.accepted.items()]
        if look.booked.before_ns:
            turns.append(core.on_before(look.booked.before_ns))
        listed = look.listed
        if listed is not None:
            span = Span(
                since_ns=listed.since_ns,
                until_ns=listed.until_ns,
                began_ns=listed.began_ns,
                fundings_since_ns=listed.fundings_since_ns,
            )
            turns.append(core.on_listed(listed.executions, span, now))
            self._until_ns = max(self._until_ns, listed.until_ns)
        turns.append(core.on_booked(look.booked.executions, now))
        if not look.booked.behind and not look.booked.trouble:
            turns.append(core.on_time(now))
        turn = _together(turns)
        self._mirror.keep(
            Entry(
                turn=turn,
                from_ns=core.from_ns,
                until_ns=self._until_ns,
                journal_seq=look.booked.seq,
                before_ns=core.before_ns,
                at_ns=now,
                failed=listed is None,
                blind_ns=mono - self._looked_mono_ns if listed is None else 0,
            ),
            core.since_ns,
        )
        self._looked_mono_ns = mono
        self._trouble = look.trouble
        self.readings += 1
        if look.trouble:
            self.failed += 1
        else:
            self._read_mono_ns = mono
        for one in turn.opened:
            self._event("error", GAP, one.text)
        for one in turn.healed:
            by = f", accepted by {one.accepted_by}" if one.accepted_by else ", both sides agree now"
            self._event("info", HEALED, f"{one.text}{by}, after {(now - one.since_ns) / 1e9:.0f} s")
        self._follow(core, now)

    def _follow(self, core: DropCopyCore, now: int) -> None:
        """What a lasting difference asks for."""
        venue = self._setup.venue
        if core.wants_reconciliation(now):
            cause = _cause(core.lasting(now))
            self.tell(f"gateway.{venue}", ReconcileWanted(venue=venue, cause=cause))
        self._state_brakes(core, now)

    def _state_brakes(self, core: DropCopyCore, now: int) -> None:
        asked = core.brake(now)
        brakes: tuple[BrakeSet, ...] = ()
        if asked is not None:
            level, cause = asked
            scope = f"venue:{self._setup.venue}"
            brakes = (
                BrakeSet(
                    code=DROP_COPY, scope=scope, level=int(level), cause=cause[:300], release="auto", owner=self.name
                ),
            )
        self.tell(self._setup.governor, BrakesStated(owner=self.name, brakes=brakes))

    def on_tick(self, tag: str) -> None:
        """Counters, brakes that hold, and whether anything can be seen at all."""
        self.wake_after(self._setup.publish_ns, "publish")
        self._said = 0
        core, now = self._core, self.now_ns()
        age_ns = self.mono_ns() - self._read_mono_ns
        if (age_ns > self._setup.blind_ns) is not self._blind:
            self._blind = not self._blind
            text = f"nothing could be compared for {age_ns // 1_000_000_000} s: {self._trouble}"
            self._event(*(("warning", BLIND, text) if self._blind else ("info", BLIND, "it can be compared again")))
        if core is not None:
            self._follow(core, now)
        self._publish(core, age_ns, now)

    def _publish(self, core: DropCopyCore | None, age_ns: int, now: int) -> None:
        labels: dict[str, str] = {"venue": self._setup.venue}
        series: list[list[object]] = [
            ["drop_copy_age_seconds", "gauge", labels, round(age_ns / 1e9, 1)],
            ["drop_copy_readings_total", "counter", labels, self.readings],
            ["drop_copy_readings_failed_total", "counter", labels, self.failed],
            ["drop_copy_weight_total", "counter", labels, self._mirror.reader.weight],
        ]
        if core is not None:
            unbooked, unlisted = core.waiting
            series += [
                ["recon_gap", "gauge", labels, core.gap],
                ["drop_copy_executions_total", "counter", labels, core.listed],
                ["drop_copy_matched_total", "counter", labels, core.matched],
                ["drop_copy_waiting", "gauge", {**labels, "for": "journal"}, unbooked],
                ["drop_copy_waiting", "gauge", {**labels, "for": "record"}, unlisted],
                ["drop_copy_reconciliations_asked_total", "counter", labels, core.asked],
                ["drop_copy_overflow_total", "counter", labels, core.overflowed],
            ]
            series += [
                ["drop_copy_differences_total", "counter", {**labels, "kind": kind.value}, count]
                for kind, count in core.found.items()
            ]
        body: dict[str, object] = {"series": series}
        key = f"drop_copy.{self._setup.venue}"
        self.tell(self._setup.ops, Published(topic=Topic.METRICS, key=key, body=body, ts_ns=now))

    def _event(self, level: str, code: str, text: str) -> None:
        """What operators should read, at most five a second: all of it is in the report."""
        self._said += 1
        if self._said > _EVENTS_A_SECOND:
            return
        now, venue = self.now_ns(), self._setup.venue
        told = f"{venue}: {text}"[:300]
        body: dict[str, object] = {"level": level, "code": code, "text": told, "ts_ns": now, "cell": "ops"}
        key = f"{self.name}:{now}:{self._said}"
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=key, body=body, ts_ns=now))

    def stop(self) -> None:
        """Let go of the venue, the journal and the copy."""
        self._closing = asyncio.get_running_loop().create_task(self._mirror.close(), name=f"{self.name} close")


def _together(turns: list[Turn]) -> Turn:
    """One turn of several, in their order."""
    whole = Turn()
    for turn in turns:
        whole.matched += turn.matched
        whole.listed += turn.listed
        whole.booked += turn.booked
        whole.gone += turn.gone
        whole.opened += turn.opened
        whole.healed += turn.healed
    return whole


def _cause(lasting: tuple[Difference, ...]) -> str:
    more = f" and {len(lasting) - 1} more" if len(lasting) > 1 else ""
    return f"{lasting[0].text}{more}"[:300]
