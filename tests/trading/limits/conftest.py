"""Asks, one small venue, and how many go in a row."""

from __future__ import annotations

from trading.limits.messages import Ask, Go, Priority
from trading.limits.spec import SECOND_NS, Budget, Policy, Scope, Unit, VenueLimits
from trading.limits.venues import BINANCE_USDM

CANCEL, HEDGE, REPLACE, PLACE, POLL = Priority
START = 1_000 * SECOND_NS
WHOLE = Policy(share=1.0, others_share=0, jitter_ns=0)


def ask(priority=POLL, *, endpoint="GET /x", weight=1, orders=0, within_ns=3_600 * SECOND_NS, now=START, **more):
    return Ask(endpoint=endpoint, weight=weight, orders=orders, priority=priority, deadline_ns=now + within_ns, **more)


def venue(limit=100, window_ns=10 * SECOND_NS, *, rules=BINANCE_USDM.rules, **more):
    budget = Budget(name="weight", scope=Scope.IP, unit=Unit.WEIGHT, limit=limit, window_ns=window_ns, **more)
    return VenueLimits(venue="v", source="a test", budgets=(budget,), rules=rules)


def gone(governor, request, now, tries=1_000_000):
    """How many go in a row."""
    count = 0
    while count < tries and isinstance(governor.ask(request, now), Go):
        count += 1
    return count
