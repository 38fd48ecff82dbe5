"""The rate-limit governor of one venue: go, wait, or refused, for one request at a time.

Owns the decision; it has no clock, queue or file of its own. Whoever is refused is told why. Each priority fills a
window only up to its share, so that a cancel finds room whatever else wants to go, and who waits for too long has room
made for it, so that nobody starves for ever (but for cancels, which yield to nobody: while they alone keep a window
full, others wait). Called for by GuntharDeNiro/BTCT#427, svanas/nefertiti#55 and taniman/profit-trailer#444: a 429
that is not heard becomes a ban, and a ban that ends has to be survived.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from trading.limits.messages import (
    Answer,
    Ask,
    Go,
    LimitView,
    Priority,
    Refusal,
    Refused,
    Wait,
)
from trading.limits.monitor import Tally, freeze_views, pool_view
from trading.limits.pauses import Dice, Kind, Pause, cancel_passed, failed, offended, pause_ns, scope_of, scopes_of
from trading.limits.spec import SECOND_NS, Budget, Keyed, Policy, Reach, Scope, VenueLimits
from trading.limits.window import SLOTS, Pool

_NAP_MAX_NS: Final = SECOND_NS
"""Nobody is told to wait longer for room: the venue's next word may make some."""


_TERMS_MAX: Final = 1024


class GovernorState(msgspec.Struct):
    """All that decides; shared between processes as it is. ``now_ns`` is the latest time that it was told."""

    venue: str
    now_ns: int = 0
    pools: dict[str, Pool] = {}
    pauses: dict[str, Pause] = {}

    def shift(self, by_ns: int) -> None:
        """Translate to a clock that shows ``by_ns`` more."""
        self.now_ns += by_ns
        for pool in self.pools.values():
            pool.shift(by_ns)
        for pause in self.pauses.values():
            pause.shift(by_ns)


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What one request takes of one pool: ``amount``, while no more than ``ceiling`` is used within ``span_ns``."""

    pool: str
    scope: Scope
    amount: int
    ceiling: int
    span_ns: int


class _Terms(msgspec.Struct, frozen=True):
    """What a budget comes to under our policy; worked out once for each limit that the venue states."""

    limit: int
    ceilings: tuple[int, ...]
    patience_ns: int
    span_ns: int


class _Part(msgspec.Struct, frozen=True):
    """What one ask takes of one pool."""

    name: str
    budget: Budget
    pool: Pool
    amount: int
    terms: _Terms


class LimitGovernor:
    """Decides for one venue. ``seed`` makes the jitter; ``state`` is what another life of it left behind."""

    def __init__(
        self, spec: VenueLimits, policy: Policy | None = None, *, seed: int = 0, state: GovernorState | None = None
    ) -> None:
        self.spec = spec
        self.policy = policy or Policy()
        self.state = GovernorState(venue=spec.venue)
        self._dice = Dice(seed)
        self._rules = {rule.status: rule for rule in spec.rules}
        self._budgets: dict[str, tuple[Budget, ...]] = {}
        self._terms: dict[tuple[str, int], _Terms] = {}
        self._by_name = {budget.name: budget for budget in (*spec.budgets, spec.other)}
        self._last: dict[str, Ask] = {}
        self._tally = Tally()
        if state is not None:
            self.adopt(state)

    def adopt(self, state: GovernorState) -> None:
        """Go on from ``state``; ``ValueError`` when it is another venue's. Windows of another length are left out."""
        if state.venue != self.spec.venue:
            raise ValueError(f"the state is {state.venue}'s and not {self.spec.venue}'s")
        for name, pool in list(state.pools.items()):
            budget = self._by_name.get(name.split("|", 1)[0])
            if budget is None or pool.slot_ns != self._slot_ns(budget) or len(pool.slots) != SLOTS + 1:
                del state.pools[name]
        self.state = state

    # --- Asking ----------------------------------------------------------------------------------------

    def ask(self, request: Ask, now_ns: int, behind: Collection[str] = ()) -> Answer:
        """Whether ``request`` may be sent now. `Go` counts it; the other answers count nothing.

        ``behind``: pools in which somebody waits who goes first; there it goes only when it has waited for too long.
        """
        answer = self._decide(request, self._clock(now_ns), behind)
        self._tally.answered(request.priority, answer)
        return answer

    def give_back(self, request: Ask, at_ns: int, now_ns: int) -> None:
        """A request that was told `Go` at ``at_ns`` was not sent after all."""
        now = self._clock(now_ns)
        for part in self._parts(request, now) or ():
            part.pool.give_back(part.amount, at_ns)

    def count(self, request: Ask, now_ns: int) -> None:
        """Count a request that was sent without asking here."""
        for part in self._parts(request, self._clock(now_ns)) or ():
            part.pool.take(part.amount)
        self._remember(request)

    def demand(self, request: Ask, now_ns: int) -> tuple[Demand, ...]:
        """What a `Go` for ``request`` takes of each pool."""
        now = self._clock(now_ns)
        return tuple(
            Demand(
                pool=part.name,
                scope=part.budget.scope,
                amount=part.amount,
                ceiling=self._ceiling(part, request.priority, now),
                span_ns=part.terms.span_ns,
            )
            for part in self._parts(request, now) or ()
        )

    def _decide(self, request: Ask, now: int, behind: Collection[str]) -> Answer:
        if now > request.deadline_ns:
            return Refused(reason=Refusal.DEADLINE, pool="")
        paused = self._paused(request, now)
        if paused is not None:
            return paused
        parts = self._parts(request, now)
        if parts is None:
            return Refused(reason=Refusal.POOLS_FULL, pool="")
        longest, pool = 0, ""
        naps: list[int] = []
        for part in parts:
            if part.amount > part.terms.ceilings[min(request.priority, Priority.HEDGE)]:
                return Refused(reason=Refusal.TOO_DEAR, pool=part.name)
            wait, nap = self._wait(part, request.priority, now, part.name in behind)
            if wait:
                part.pool.wait_noted(request.priority, part.amount, part.terms.patience_ns, now)
                naps.append(nap)
                if wait > longest:
                    longest, pool = wait, part.name
        if naps:
            if now + longest > request.deadline_ns:
                return Refused(reason=Refusal.DEADLINE, pool=pool, retry_ns=longest)
            return Wait(wait_ns=max(1, *naps), pool=pool)
        for part in parts:
            part.pool.take(part.amount)
            part.pool.served(request.priority)
        if request.priority is Priority.CANCEL:
            for scope in scopes_of(request):
                if (pause := self.state.pauses.get(scope)) is not None:
                    cancel_passed(pause, self.policy, now)
        self._remember(request)
        return Go(at_ns=now)

    def _paused(self, request: Ask, now: int) -> Wait | Refused | None:
        worst, wait, name = None, 0, ""
        for scope in scopes_of(request):
            pause = self.state.pauses.get(scope)
            if pause is not None and (left := pause_ns(pause, request, now)) > wait:
                worst, wait, name = pause, left, scope
        if worst is None:
            return None
        if now + wait > request.deadline_ns:
            return Refused(reason=Refusal(worst.kind.value), pool=name, retry_ns=wait)
        return Wait(wait_ns=wait, pool=name)

    def _wait(self, part: _Part, priority: Priority, now: int, behind: bool) -> tuple[int, int]:
        """How long until there is room as far as is known, and when to ask again; both 0: there is room."""
        pool = part.pool
        ceiling = self._ceiling(part, priority, now)
        patience = part.terms.patience_ns
        overdue = claimed = 0
        if priority is not Priority.CANCEL:
            overdue = pool.patient_until(priority, patience, now)
            if pool.contended:
                claimed = pool.claimed(priority, patience, now)
        amount = part.amount + claimed
        if part.amount > ceiling:  # half of the room after a pause, or a share that only patience exceeds
            wait = max(1, self._recovered(now), overdue - now)
        elif amount > ceiling:
            wait = patience
        else:
            wait = max(pool.free_in(amount, ceiling, now), pool.venue_free_in(amount, ceiling, now))
        nap = min(wait, _NAP_MAX_NS)
        if behind and (overdue > now or priority is Priority.CANCEL):
            wait, nap = max(wait, 1), _NAP_MAX_NS  # whoever stands in front says when to come
        if not wait:
            return 0, 0
        return wait, min(nap, overdue - now) if overdue > now else nap

    def _ceiling(self, part: _Part, priority: Priority, now: int) -> int:
        """Up to where ``priority`` may fill the pool now: further when it waited too long, less after a pause."""
        ceilings = part.terms.ceilings
        if priority is Priority.CANCEL:
            return ceilings[priority]
        aged = part.pool.contended and part.pool.patient_until(priority, part.terms.patience_ns, now) <= now
        ceiling = ceilings[Priority.HEDGE if aged else priority]
        if part.budget.aligned:
            usable = ceilings[Priority.CANCEL]
            theirs = part.pool.others_to_come(part.budget, self.policy, now)
            ceiling = max(1, ceiling * max(0, usable - theirs) // usable)
        return max(1, ceiling // 2) if self._recovered(now) else ceiling

    def _recovered(self, now: int) -> int:
        """Nanoseconds until the caution after a pause of the whole venue ends; 0: there is none."""
        pause = self.state.pauses.get("venue")
        return max(0, pause.recovered_ns - now) if pause is not None else 0

    def _parts(self, request: Ask, now: int) -> list[_Part] | None:
        """The pools that ``request`` is counted in, at ``now``; ``None`` when there are too many already."""
        budgets = self._budgets.get(request.endpoint)
        if budgets is None:
            budgets = tuple(budget for budget in self.spec.budgets if budget.counts(request.endpoint))
            if len(self._budgets) < self.policy.endpoints_max:
                self._budgets[request.endpoint] = budgets
        parts: list[_Part] = []
        for budget in budgets:
            if (amount := budget.amount(request)) and not self._part_of(request, budget, amount, parts, now):
                return None
        if not parts and not self._part_of(request, self.spec.other, 1, parts, now):
            return None
        return parts

    def _part_of(self, request: Ask, budget: Budget, amount: int, parts: list[_Part], now: int) -> bool:
        """Add the pool of ``budget`` to ``parts``; whether there was a place for it."""
        pools = self.state.pools
        name = budget.pool(request)
        pool = pools.get(name)
        if pool is None:
            if len(pools) >= self.policy.pools_max and not self._evicted(now):
                return False
            slot_ns = self._slot_ns(budget)
            pool = pools[name] = Pool(slot_ns=slot_ns, head=now // slot_ns)
        pool.advance(now)
        parts.append(_Part(name, budget, pool, amount, self._terms_of(budget, pool)))
        return True

    def _terms_of(self, budget: Budget, pool: Pool) -> _Terms:
        limit = min(budget.limit, pool.limit) if pool.limit else budget.limit
        terms = self._terms.get((budget.name, limit))
        if terms is None:
            policy = self.policy
            ceilings = tuple(policy.ceiling(budget, limit, priority) for priority in Priority)
            terms = _Terms(limit, ceilings, policy.patience(budget), policy.span(budget))
            if len(self._terms) < _TERMS_MAX:
                self._terms[budget.name, limit] = terms
        return terms

    def _evicted(self, now: int) -> bool:
        """Forget pools that hold nothing any more; whether there were any."""
        for pool in self.state.pools.values():
            pool.advance(now)
        empty = [n for n, pool in self.state.pools.items() if not pool.used and pool.venue_used(now) is None]
        for name in empty:
            del self.state.pools[name]
        return bool(empty)

    def _slot_ns(self, budget: Budget) -> int:
        return -(-self.policy.span(budget) // SLOTS)

    def _remember(self, request: Ask) -> None:
        if request.endpoint in self._last or len(self._last) < self.policy.endpoints_max:
            self._last[request.endpoint] = request

    def _clock(self, now_ns: int) -> int:
        """Time never goes back."""
        self.state.now_ns = max(self.state.now_ns, now_ns)
        return self.state.now_ns

    # --- The venue's answers ---------------------------------------------------------------------------

    def told(
        self,
        endpoint: str,
        status: int,
        headers: Mapping[str, str],
        now_ns: int,
        *,
        request: Ask | None = None,
        retry_ns: int = 0,
        unsent_ns: int | None = None,
    ) -> None:
        """An answer of the venue: its HTTP status (0: none came) and headers, whose counts correct ours.

        ``request`` is what was answered (otherwise the endpoint's latest is taken for it); ``retry_ns`` how long the
        body says to wait. A venue that says "too much" in a body under status 200 is told as 429. ``unsent_ns``: the
        request was to go then and found no connection; the venue, which never saw it, counts nothing.
        """
        now = self._clock(now_ns)
        request = request or self._last.get(endpoint)
        account = request.account if request is not None else ""
        if headers and request is not None:
            self._counted(request, {name.lower(): value for name, value in headers.items()}, now)
        elif request is not None and unsent_ns is not None:
            self.give_back(request, unsent_ns, now_ns)
        elif request is not None:
            for part in self._parts(request, now) or ():
                part.pool.in_flight = max(0, part.pool.in_flight - part.amount)
        rule = self._rules.get(status)
        if rule is not None:
            self._tally.told(status)
            said = max(retry_ns, _retry_after_ns(headers))
            name = scope_of(rule.reach, endpoint, account)
            self._pause(
                name, offended(self.state.pauses.get(name), rule, said, self.policy, self._dice, now_ns=now), now
            )
        elif status == 0 or status >= 500:
            name = scope_of(Reach.ENDPOINT, endpoint, account)
            self._pause(name, failed(self.state.pauses.get(name), self.policy, self._dice, now), now)
        else:
            self._answered(endpoint, now)

    def mended(self, account: str, now_ns: int) -> None:
        """A person says that the key of ``account`` is good again: nobody waits for that any longer.

        The strikes stay, so that a key that is still refused pauses for longer; and so does every other pause.
        """
        now = self._clock(now_ns)
        pause = self.state.pauses.get(scope_of(Reach.ACCOUNT, "", account))
        if pause is not None and pause.kind is Kind.AUTH_FAILED:
            pause.until_ns = min(pause.until_ns, now)

    def _counted(self, request: Ask, headers: Mapping[str, str], now: int) -> None:
        for part in self._parts(request, now) or ():
            budget, pool = part.budget, part.pool
            pool.in_flight = max(0, pool.in_flight - part.amount)
            used = _number(headers, budget.used_header)
            stated, left = _number(headers, budget.limit_header), _number(headers, budget.left_header)
            if stated:
                pool.limit = stated if stated < budget.limit else 0
                if left is not None:
                    used = max(0, stated - left)
            if used is not None:
                pool.told(used, budget, self.policy, now)

    def _pause(self, name: str, pause: Pause, now: int) -> None:
        pauses = self.state.pauses
        if name not in pauses and len(pauses) >= self.policy.endpoints_max:
            gone = [n for n, old in pauses.items() if old.forget_ns <= now and old.recovered_ns <= now]
            if not gone:
                # Too many different endpoints fail: whichever comes next stops the venue.
                name, gone = "venue", []
            for old_name in gone:
                del pauses[old_name]
        pauses[name] = pause

    def _answered(self, endpoint: str, now: int) -> None:
        """The endpoint works: half of its strikes are forgiven, and its penalty ends."""
        name = f"endpoint|{endpoint}"
        pause = self.state.pauses.get(name)
        if pause is not None and pause.kind is Kind.PENALISED:
            pause.strikes //= 2
            pause.until_ns = min(pause.until_ns, now)
            if not pause.strikes:
                del self.state.pauses[name]

    def presume(self, window_max_ns: int, now_ns: int) -> None:
        """Nothing is known of what was spent: only cancels may go until the windows up to this length have passed."""
        now = self._clock(now_ns)
        for budget in self.spec.budgets:
            if budget.keyed is not Keyed.TOGETHER or budget.window_ns > window_max_ns:
                continue
            slot_ns = self._slot_ns(budget)
            pool = self.state.pools.setdefault(budget.name, Pool(slot_ns=slot_ns, head=now // slot_ns))
            pool.advance(now)
            pool.take(max(0, self.policy.ceiling(budget, budget.limit, Priority.HEDGE) - pool.used))
            pool.in_flight = 0

    # --- Looking on ------------------------------------------------------------------------------------

    def view(self, now_ns: int) -> LimitView:
        """For the Rate-Limit Monitor: every pool, pause and count."""
        now = self._clock(now_ns)
        pools = []
        for name, pool in sorted(self.state.pools.items()):
            budget = self._by_name[name.split("|", 1)[0]]
            pool.advance(now)
            terms = self._terms_of(budget, pool)
            pools.append(pool_view(name, budget, pool, (terms.limit, terms.ceilings[0], terms.patience_ns), now))
        return LimitView(
            venue=self.spec.venue,
            source=self.spec.source,
            at_ns=now,
            pools=tuple(pools),
            freezes=freeze_views(self.state.pauses, now),
            priorities=self._tally.views(),
            statuses=self._tally.statuses(),
            recovering=self._recovered(now) > 0,
        )


def _number(headers: Mapping[str, str], name: str) -> int | None:
    """A header that is a plain number of at most nine digits."""
    text = headers.get(name.lower(), "") if name else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _retry_after_ns(headers: Mapping[str, str]) -> int:
    """``Retry-After`` in seconds; 0 when it is missing, or a date, which is the caller's to read."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            text = value.strip()
            return int(text) * SECOND_NS if text.isascii() and text.isdigit() and len(text) < 8 else 0
    return 0
