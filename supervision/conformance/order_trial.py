"""One fault of orders, once: bring a desk to where it begins, let it act, and hold the end against the venue's account.

Owns the measurement and the verdict. What a fault is and what has to follow is an `OrderStrike`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from adapters.simserver.faults import Fault
from supervision.conformance.order_oracle import differences
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.rig import MS, POLL_S, NotInTimeError

ORDER = "order:"
"""A sign that begins so is a state of an order (``order:unknown``); others are codes of the desk's events."""
_ACT_S = 5.0
_AGREE_S = 5.0
_AGREE_POLL_S = 0.1
_SETTLE_S = 0.06

Faults = Callable[[str], Sequence[Fault]]


class OrderStrike(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to a desk with orders and what must follow.

    ``quiet``: the strategies want nothing and nothing is open when it begins, so that every order is the case's own;
    ``before`` then brings about what the fault meets. ``faults`` are set, then ``act`` does what is to be done by hand;
    time counts from the first act of the knob ``acts``, else from that moment, or the one that ``act`` answers with.

    ``signs`` show that the desk noticed: the first has to come within ``within_ms``; ``also`` have to come too, within
    ``also_ms``; ``never`` must not come before the end. ``must_act`` are knobs that have to act besides. Faults are
    taken back ``hold_ms`` after the act, and ``mend`` is done. Then the desk has to be sure again, trading and without
    an UNKNOWN, within ``resolve_ms`` of the sign, or of that where it is sure only then: ``ends_held`` names the
    brakes under which it has to hold instead. ``entries_max`` bounds what may leave, from the sign, or from the last
    of ``also``, until the fault is taken back. ``after`` looks at the rig at the end and says what is wrong, or "".
    """

    faults: Faults = lambda _venue: ()
    acts: str = ""
    act: Callable[[OrderRig], Awaitable[int | None]] | None = None
    quiet: bool = False
    before: Callable[[OrderRig], Awaitable[None]] | None = None
    must_act: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    within_ms: float = 1_000.0
    also: tuple[str, ...] = ()
    also_ms: float = 5_000.0
    never: tuple[str, ...] = ()
    hold_ms: float = 300.0
    mend: Callable[[OrderRig], None] | None = None
    resolve_ms: float = 8_000.0
    ends_held: tuple[str, ...] = ()
    entries_max: int | None = None
    after: Callable[[OrderRig, int], str] | None = None


class OrderTrial(msgspec.Struct, kw_only=True):
    """What one trial measured; it passed without anything in its lists. Times in ms, None for what did not happen.

    ``reasons`` are what must never be: differences of the accounts, orders after HOLD, failures inside. ``late`` are
    bounds that were not kept, and ``amiss`` is a course that was not the case's: where ``stood_still_ms``, in which
    this process did nothing, is long, both say more of the machine than of the desk.
    """

    reasons: list[str] = []
    late: list[str] = []
    amiss: list[str] = []
    detected_ms: float | None = None
    resolved_ms: float | None = None
    sign: str = ""
    unknown: int = 0
    orders: int = 0
    fills: int = 0
    stood_still_ms: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether everything was as it must be."""
        return not (self.reasons or self.late or self.amiss)


async def strike(rig: OrderRig, what: OrderStrike) -> OrderTrial:
    """One trial on a rig that is up. Never raises for what the desk or the venue does."""
    trial = OrderTrial()
    began, has_begun = rig.clock.mono_ns(), False
    try:
        await rig.until_trading()
        began, has_begun = rig.clock.mono_ns(), True
        acted = await _measure(rig, what, trial)
        await _end(rig, what, trial, acted)
    except NotInTimeError as late:
        trial.late.append(str(late))
    finally:
        rig.server.faults.clear()
    trial.reasons.extend(rig.breaches)
    trial.reasons.extend(rig.trouble_inside())
    if trial.late and has_begun and not trial.reasons:  # before that, the desk has no account of itself yet
        await _agree(rig, trial, of=_lasting, said="at the end: ")
    trial.unknown = len({w.cl_ord_id for w in rig.words if w.ord_status == "unknown"})
    trial.orders = len(rig.truth.ours())
    trial.fills = sum(order.fills for order in rig.truth.ours())
    trial.stood_still_ms = round(rig.stood_still_ns(began) / MS, 1)
    return trial


def _lasting(found: list[str]) -> list[str]:
    """What no cancel would mend: orders that are open when a case breaks off are none of it."""
    return [text for text in found if not text.endswith("at the end")]


async def _measure(rig: OrderRig, what: OrderStrike, trial: OrderTrial) -> int:
    """From the act to the moment from which the desk is sure again; when it acted, monotonic ns."""
    if what.quiet:
        await rig.settle()
    if what.before is not None:
        await what.before(rig)
    counts = rig.server.faults.counts.copy()
    acted = await _act(rig, what)
    noticed = await _notice(rig, what, acted, trial)
    entries = rig.entries
    plane = rig.server.faults
    unsure = await _hold(rig, acted + int(what.hold_ms * MS), noticed)
    lasting = any(one.left is None for one in plane.active())
    if what.entries_max is not None and rig.entries - entries > what.entries_max:
        trial.amiss.append(f"{rig.entries - entries} orders left under the fault, at most {what.entries_max} may")
    idle = [k for k in (what.acts, *what.must_act) if k and plane.counts[k] == counts[k] and plane is rig.server.faults]
    if idle:
        trial.amiss.append(f"{', '.join(idle)} did not act: nothing was tried")
    cleared = rig.clock.mono_ns()
    rig.server.faults.clear()
    if what.mend is not None:
        what.mend(rig)
    if what.ends_held:
        await rig.until(lambda: _held(rig, what.ends_held), f"HOLD by {', '.join(what.ends_held)}", 5.0)
        return acted
    sure = unsure
    if not rig.is_sure():
        sure = await rig.until(rig.is_sure, "certainty", max(10.0, 2 * what.resolve_ms / 1e3))
    since = cleared if sure > cleared and (lasting or what.mend is not None) else noticed
    trial.resolved_ms = round(max(0, sure - since) / MS, 1)
    if trial.resolved_ms > what.resolve_ms:
        trial.late.append(f"sure after {trial.resolved_ms} ms, bound {what.resolve_ms:g} ms")
    return acted


async def _hold(rig: OrderRig, until_ns: int, noticed_ns: int) -> int:
    """Let the fault last; the moment after the last at which the desk was not sure."""
    unsure_ns = noticed_ns
    while rig.clock.mono_ns() < until_ns:
        await asyncio.sleep(POLL_S)
        if not rig.is_sure():
            unsure_ns = rig.clock.mono_ns()
    return unsure_ns


def _held(rig: OrderRig, codes: Sequence[str]) -> bool:
    on = {brake.code for brake in rig.brakes()}
    return all(code in on for code in codes)


async def _act(rig: OrderRig, what: OrderStrike) -> int:
    """Set the faults, do the rest by hand, and wait for the act; its monotonic ns."""
    plane = rig.server.faults
    before = len(plane.applied)
    set_ns = rig.clock.mono_ns()
    for fault in what.faults(rig.name):
        plane.set(fault)
    if what.act is not None:
        set_ns = await what.act(rig) or set_ns
    if not what.acts:
        return set_ns

    def first() -> int:
        return next((a.mono_ns for a in list(plane.applied)[before:] if a.knob == what.acts), 0)

    await rig.until(lambda: first() > 0, f"the act of {what.acts}", _ACT_S)
    return first()


async def _notice(rig: OrderRig, what: OrderStrike, acted: int, trial: OrderTrial) -> int:
    """The monotonic ns of the first sign; of the act where none is expected."""
    if not what.signs:
        return acted
    patience_s = max(4.0, 3 * what.within_ms / 1e3)
    await rig.until(lambda: _first(rig, what.signs, acted) is not None, f"a sign ({', '.join(what.signs)})", patience_s)
    found = _first(rig, what.signs, acted)
    assert found is not None
    at_ns, trial.sign = found
    trial.detected_ms = round((at_ns - acted) / MS, 1)
    if trial.detected_ms > what.within_ms:
        trial.late.append(f"noticed after {trial.detected_ms} ms, bound {what.within_ms:g} ms")
    for code in what.also:
        await rig.until(lambda code=code: _first(rig, (code,), acted) is not None, code, what.also_ms / 1e3)  # type: ignore[misc]
    return at_ns


def _first(rig: OrderRig, signs: Sequence[str], since_ns: int) -> tuple[int, str] | None:
    """The first of the signs since a moment: when, and which."""
    statuses = [sign.removeprefix(ORDER) for sign in signs if sign.startswith(ORDER)]
    word = rig.word_since(since_ns, *statuses)
    found = [] if word is None else [(word.mono_ns, ORDER + word.ord_status)]
    found += [(n.mono_ns, n.code) for n in rig.oracle.notices_since(since_ns) if n.code in signs][:1]
    return min(found, default=None)


async def _end(rig: OrderRig, what: OrderStrike, trial: OrderTrial, acted: int) -> None:
    """Nothing is open any more: do the accounts agree, and does the desk trade on?"""
    await rig.settle()
    await _agree(rig, trial)
    came = _first(rig, what.never, acted) if what.never else None
    if came is not None:
        trial.amiss.append(f"{came[1]} came, which must not")
    if what.after is not None:
        reason = what.after(rig, acted)
        if reason:
            trial.amiss.append(reason)
    if what.ends_held:
        if not _held(rig, what.ends_held):
            trial.reasons.append(f"the desk let go of {', '.join(what.ends_held)} by itself")
        return
    asked = rig.clock.mono_ns()
    rig.ask_again()
    await rig.until(lambda: _first(rig, ("RELEASED:RECON",), asked) is not None, "a clean reconciliation", 20.0)
    rig.want(orders=True)
    await rig.until_trading()


async def _agree(
    rig: OrderRig, trial: OrderTrial, *, of: Callable[[list[str]], list[str]] = list, said: str = ""
) -> None:
    """Until the desk's account of itself is the venue's; why it is not, if it does not come."""
    await asyncio.sleep(_SETTLE_S)  # what was committed last is being told
    deadline = rig.clock.mono_ns() + int(_AGREE_S * 1e9)
    while found := of(differences(rig)):
        if rig.clock.mono_ns() > deadline:
            trial.reasons.extend(said + text for text in found[:6])
            return
        await asyncio.sleep(_AGREE_POLL_S)
