"""One fault, once: wait until the desk trades, let the fault act, and measure what the desk made of it.

Owns the measurement and the verdict on one trial. What a fault is and what has to follow is a `Strike`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from adapters.simserver.faults import Fault
from supervision.conformance.oracle import Notice, Told
from supervision.conformance.rig import MS, NotInTimeError, Rig
from trading.market.events import BookState

FOREVER_NS = 1 << 62
UNPROVED = "unproved"
STALE_MS = 1_350
"""STREAM_STALE holds at 1200 ms of age; what a busy loop may add to it is in here."""
_SETTLE_S = 0.05
_ACT_S = 10.0

Faults = Callable[[str], Sequence[Fault]]
"""The faults to set for a venue, in order."""


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to a rig and what must follow.

    ``acts`` is the knob whose first act is the moment from which time counts; "" takes the moment of setting. ``act``
    replaces setting ``faults`` where more is to be done, and may answer with that moment. ``must_act`` are knobs that
    have to act besides.
    ``signs``: how the desk shows that it noticed: "unproved" (a book that is not SYNCED) or codes of its events; none
    for a fault that must change nothing. ``within_ms`` bounds the first of them. ``also`` are codes that must be
    published too, within ``also_ms``. From ``blind_ms`` after the act no order may leave until the book is proved
    again; None: while it is not proved, or while the sign's brake is on, where that is a HOLD. ``trades_on``: orders go
    on throughout. ``lies_ms`` is how long after the act a SYNCED top may differ from the venue's book: 0 wherever the
    venue's rules prove each message. A fault is taken back ``hold_ms`` after its act, by default when it has been used
    up; ``mend`` is done then. ``resync_ms`` bounds the way back, counted from the first sign, or from the moment a
    lasting fault was taken back; None: it is stated only. ``attempts_max`` bounds new connections in all of it.
    ``stays_proved``: the book never becomes unproved, whatever else shows the fault. Where a second instrument is
    traded, it must go on from ``beside_ms`` after the act, proved and with orders of its own, until the first is back;
    None: the fault is of both. ``books_only``: the way back ends with a proved book, whatever still brakes. ``after``
    looks at the rig at the end and says what is wrong, or "".
    """

    faults: Faults = lambda _venue: ()
    acts: str = ""
    mend: Callable[[Rig], None] | None = None
    must_act: tuple[str, ...] = ()
    signs: tuple[str, ...] = (UNPROVED,)
    within_ms: float = 1_000.0
    also: tuple[str, ...] = ()
    also_ms: float = 5_000.0
    blind_ms: float | None = None
    lies_ms: float = 0.0
    hold_ms: float = 0.0
    resync_ms: float | None = 1_000.0
    recover_s: float = 20.0
    attempts_max: int = 0
    trades_on: bool = False
    stays_proved: bool = False
    beside_ms: float | None = 0.0
    books_only: bool = False
    act: Callable[[Rig], Awaitable[int | None]] | None = None
    after: Callable[[Rig, int], str] | None = None


class Trial(msgspec.Struct, kw_only=True):
    """What one trial measured; it passed without ``reasons`` and without ``late``, bounds that were not kept.

    ``reasons`` must never be. ``late`` is also what a desk does that gets no processor for a second: its streams are
    as if they were mute, and it connects anew.

    Times in ms, None for what did not happen. ``stood_still_ms`` is the longest time in which this process's loop did
    nothing at all: where that is long, ``late`` says more of the machine than of the desk.
    """

    reasons: list[str] = []
    late: list[str] = []
    stood_still_ms: float = 0.0
    detected_ms: float | None = None
    resync_ms: float | None = None
    blind_orders: int = 0
    orders_on_unproved: int = 0
    orders_beside: int | None = None
    quotes_on_unproved: int = 0
    wrong_within_bound: int = 0
    attempts: int = 0
    sign: str = ""
    holds: bool = False

    @property
    def passed(self) -> bool:
        """Whether everything was as it must be."""
        return not self.reasons and not self.late


async def strike(rig: Rig, what: Strike) -> Trial:
    """One trial on a rig that is up. Never raises for what the desk or the venue does."""
    trial = Trial()
    began = rig.clock.mono_ns()
    try:
        await rig.until_trading()
        began = rig.clock.mono_ns()
        await _measure(rig, what, trial)
    except NotInTimeError as late:
        trial.late.append(str(late))
    finally:
        rig.server.faults.clear()
    trial.stood_still_ms = round(rig.stood_still_ns(began) / MS, 1)
    trial.reasons.extend(rig.trouble_inside())
    return trial


async def _measure(rig: Rig, what: Strike, trial: Trial) -> None:
    clock = rig.clock
    attempts = rig.attempts()
    begun = clock.mono_ns()
    counts = rig.server.faults.counts.copy()
    acted = await _act(rig, what)
    sign = await _notice(rig, what, acted, trial) if what.signs else None
    for code in what.also:
        await rig.until(lambda code=code: _told(rig, (code,), acted) is not None, code, what.also_ms / 1e3)  # type: ignore[misc]
    lasting = bool(rig.server.faults.active())
    left_ns = acted + int(what.hold_ms * MS) - clock.mono_ns()
    if left_ns > 0:
        await asyncio.sleep(left_ns / 1e9)
    elif not what.hold_ms:
        await rig.until(lambda: _used_up(rig), "the last act of the fault", what.recover_s)
    cleared = clock.mono_ns()
    rig.server.faults.clear()
    if what.mend is not None:
        what.mend(rig)
    since = cleared if lasting or sign is None else sign
    recovered = await _recovery(rig, max(since, acted), what)
    await asyncio.sleep(_SETTLE_S)
    ended = clock.mono_ns()
    trial.attempts = rig.attempts() - attempts
    if sign is not None:
        trial.resync_ms = round((recovered - since) / MS, 1)
        if what.resync_ms is not None and trial.resync_ms > what.resync_ms:
            trial.late.append(f"back after {trial.resync_ms} ms, bound {what.resync_ms:g} ms")
    moments = Moments(
        begun=begun,
        acted=acted,
        sign=sign,
        cleared=cleared if lasting else FOREVER_NS,
        back=cleared if lasting else recovered,
        ended=ended,
    )
    _judge(rig, what, trial, moments)
    idle = [knob for knob in what.must_act if rig.server.faults.counts[knob] == counts[knob]]
    if idle:
        trial.late.append(f"{', '.join(idle)} did not act: nothing was tried")
    if what.after is not None:
        reason = what.after(rig, begun)
        if reason:
            trial.reasons.append(reason)


async def _act(rig: Rig, what: Strike) -> int:
    """Set the faults and wait for the act; its monotonic ns."""
    set_ns = rig.clock.mono_ns()
    if what.act is not None:
        return await what.act(rig) or set_ns
    plane = rig.server.faults
    before = len(plane.applied)
    for fault in what.faults(rig.name):
        plane.set(fault)
    if not what.acts:
        return set_ns

    def first() -> int:
        return next((a.mono_ns for a in list(plane.applied)[before:] if a.knob == what.acts), 0)

    await rig.until(lambda: first() > 0, f"the act of {what.acts}", _ACT_S)
    return first()


async def _notice(rig: Rig, what: Strike, acted: int, trial: Trial) -> int | None:
    """The monotonic ns of the first sign."""
    patience_s = max(5.0, 3 * what.within_ms / 1e3)
    try:
        await rig.until(
            lambda: _told(rig, what.signs, acted) is not None, f"a sign ({', '.join(what.signs)})", patience_s
        )
    except NotInTimeError as late:
        trial.late.append(str(late))
        return None
    found = _told(rig, what.signs, acted)
    assert found is not None
    trial.detected_ms = round((found.mono_ns - acted) / MS, 1)
    trial.sign = found.code if isinstance(found, Notice) else UNPROVED
    trial.holds = isinstance(found, Notice) and found.code.startswith("BRAKE:") and "-> HOLD" in found.text
    if trial.detected_ms > what.within_ms:
        trial.late.append(f"noticed after {trial.detected_ms} ms, bound {what.within_ms:g} ms")
    return found.mono_ns


def _used_up(rig: Rig) -> bool:
    return all(one.left is None for one in rig.server.faults.active())


def _told(rig: Rig, signs: Sequence[str], since_ns: int) -> Told | Notice | None:
    """The first of the signs since a moment."""
    found: list[Told | Notice] = []
    if UNPROVED in signs:
        tops = rig.oracle.tops_since(since_ns, rig.instrument.instrument_id)
        found += [top for top in tops if top.state is not BookState.SYNCED][:1]
    found += [notice for notice in rig.oracle.notices_since(since_ns) if notice.code in signs][:1]
    return min(found, key=lambda one: one.mono_ns, default=None)


async def _recovery(rig: Rig, since_ns: int, what: Strike) -> int:
    """Until the desk trades on a book that is the venue's; the monotonic ns at which it may trade again."""

    def is_back() -> bool:
        for instrument_id in rig.instruments:
            tops = rig.oracle.tops_since(since_ns, instrument_id)
            if not tops or tops[-1].state is not BookState.SYNCED or tops[-1].true is not True:
                return False
        return what.books_only or rig.is_trading()

    back = await rig.until(is_back, "recovery", what.recover_s)
    if not what.books_only:
        await rig.until_trading()
    return back


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """When what happened, monotonic ns: ``cleared`` is for ever where the fault ended by itself.

    ``back``: when a lasting fault was taken back, or when the desk had recovered from one that ended by itself.
    """

    begun: int
    acted: int
    sign: int | None
    cleared: int
    back: int
    ended: int


def _judge(rig: Rig, what: Strike, trial: Trial, at: Moments) -> None:
    """Count what must not have happened."""
    oracle, reasons = rig.oracle, trial.reasons
    trusted = at.acted + int(what.lies_ms * MS)
    trial.wrong_within_bound = oracle.wrong_between(at.begun, trusted) if what.lies_ms else 0
    trial.quotes_on_unproved = oracle.wrong_between(trusted if what.lies_ms else at.begun, at.ended)
    hurt = rig.instrument.instrument_id
    for instrument_id in rig.instruments:
        spans = unproved(oracle.tops_since(at.begun, instrument_id), at.ended)
        trial.orders_on_unproved += sum(oracle.orders_between(*span, instrument_id) for span in spans)
    blind = _blind_span(rig, what, trial, at)
    if blind is not None:
        trial.blind_orders = oracle.orders_between(*blind, hurt)
    if rig.beside is not None and what.beside_ms is not None:
        _judge_beside(rig, rig.beside.instrument_id, what.beside_ms, trial, at)
    if trial.quotes_on_unproved:
        reasons.append(f"{trial.quotes_on_unproved} tops told as SYNCED were wrong: {oracle.first_wrong}")
    if trial.orders_on_unproved:
        reasons.append(f"{trial.orders_on_unproved} orders left while the book was not proved")
    if trial.blind_orders:
        reasons.append(f"{trial.blind_orders} orders left after the desk had to know")
    if trial.attempts > what.attempts_max:
        trial.late.append(f"{trial.attempts} new connections, bound {what.attempts_max}")
    if (not what.signs or what.trades_on) and not oracle.orders_between(at.acted, at.ended, hurt):
        trial.late.append("no order left: trading should have gone on")
    if not what.signs and _told(rig, (UNPROVED,), at.acted) is not None:
        trial.late.append("the book became unproved over a fault that changes nothing")
    if what.stays_proved and _told(rig, (UNPROVED,), at.acted) is not None:
        trial.late.append("the book became unproved before another view led")


def _judge_beside(rig: Rig, instrument_id: str, beside_ms: float, trial: Trial, at: Moments) -> None:
    """The instrument beside the one with the fault goes on: proved, and with orders while the other has none."""
    begun = at.acted + int(beside_ms * MS)
    spans = unproved(rig.oracle.tops_since(begun, instrument_id), at.ended)
    trial.orders_beside = rig.oracle.orders_between(begun if beside_ms else at.sign or begun, at.back, instrument_id)
    if spans:
        trial.late.append(f"{instrument_id} became unproved over a fault of another symbol")
    if not trial.orders_beside:
        trial.late.append(f"no order of {instrument_id} left while another symbol had its fault")


def _blind_span(rig: Rig, what: Strike, trial: Trial, at: Moments) -> tuple[int, int] | None:
    """When no order may leave beyond the time of an unproved book: the desk knew, or had to."""
    if at.sign is None or what.trades_on:
        return None
    if what.blind_ms is not None:
        spans = unproved(rig.oracle.tops_since(at.acted, rig.instrument.instrument_id), at.ended)
        proved_again = spans[0][1] if spans else at.ended
        return at.acted + int(what.blind_ms * MS), min(at.cleared, proved_again)
    if not trial.holds:
        return None  # SAFE and PAUSE let through what does not add to the risk
    released = trial.sign.replace("BRAKE:", "RELEASED:")
    off = next((n.mono_ns for n in rig.oracle.notices_since(at.sign) if n.code == released), at.ended)
    return at.sign, min(at.cleared, off)


def unproved(tops: Sequence[Told], ended_ns: int) -> list[tuple[int, int]]:
    """From each top that was told as not SYNCED to the next that was, monotonic ns."""
    spans: list[tuple[int, int]] = []
    began: int | None = None
    for top in tops:
        if top.state is BookState.SYNCED:
            if began is not None:
                spans.append((began, top.mono_ns))
            began = None
        elif began is None:
            began = top.mono_ns
    if began is not None:
        spans.append((began, ended_ns))
    return spans
