"""The ops cell's memory: the newest fact of every (topic, key), within fixed bounds.

Owns what the operators' surfaces may read. Holds no trading state and decides nothing; losing it costs a page,
never an order. Readers keep a cursor (an integer), so a slow reader costs no memory here.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from adapters.clock import Clock, SystemClock
from api.correlation import correlated
from trading.operators import Published, Topic

TERMINAL = frozenset({"filled", "canceled", "replaced", "rejected", "denied", "expired"})
_SECOND_NS = 1_000_000_000
_EVICTION_SCAN = 64


@dataclasses.dataclass(slots=True)
class Entry:
    """One fact: ``seq`` grows with every applied message, ``seen_mono_ns`` is when this process saw it."""

    key: str
    body: dict[str, object]
    ts_ns: int
    seq: int
    seen_mono_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class ProjectionLimits:
    """How many facts are kept; the oldest give way (of orders, the oldest finished one)."""

    orders: int = 2_000
    fills: int = 2_000
    events: int = 1_000
    keys_per_topic: int = 512
    pnl_points: int = 1_440
    pnl_strategies: int = 16


@dataclasses.dataclass(frozen=True, slots=True)
class PnlPoint:
    """One sample of the chart: UTC nanoseconds, USD as decimal strings."""

    ts_ns: int
    total_usd: str
    realized_usd: str
    unrealized_usd: str
    by_strategy: dict[str, str]


class Projection:
    """A bounded store of published facts. ``apply`` is the only way in; everything else reads."""

    def __init__(self, clock: Clock | None = None, limits: ProjectionLimits | None = None) -> None:
        self.clock = clock or SystemClock()
        self.limits = limits or ProjectionLimits()
        self.started_mono_ns = self.clock.mono_ns()
        self.seq = 0
        self.refused = 0
        self.evicted = 0
        self.pnl_history: list[PnlPoint] = []
        self._pnl_step_ns = _SECOND_NS
        self._notes = 0
        # Each topic is ordered by recency of change, so that "what changed since" is a walk from the end.
        self._facts: dict[Topic, OrderedDict[str, Entry]] = {topic: OrderedDict() for topic in Topic}

    def apply(self, published: Published) -> None:
        """Take one fact. A new key beyond the topic's bound is refused and counted; rings drop their oldest."""
        facts = self._facts[published.topic]
        key = published.key
        body = published.body
        if key in facts:
            if published.topic is Topic.ORDER:
                # A denial says less than the order's earlier states did; what it leaves out still holds.
                body = {**facts[key].body, **body}
            facts.move_to_end(key)
        elif not self._make_room(published.topic, facts):
            self.refused += 1
            return
        if published.topic is Topic.EVENT:
            body = correlated(body, self.knows_order)
        self.seq += 1
        facts[key] = Entry(key, body, published.ts_ns, self.seq, self.clock.mono_ns())
        if published.topic is Topic.PNL:
            self._sample(published)

    def note(self, level: str, code: str, text: str, cl_ord_id: str = "") -> None:
        """Add an event of the ops cell itself, beside those that the desk publishes; of an order, with its trace."""
        self._notes += 1
        now_ns = self.clock.wall_ns()
        body: dict[str, object] = {"level": level, "code": code, "text": text, "ts_ns": now_ns, "cell": "ops"}
        if cl_ord_id:
            body["cl_ord_id"] = cl_ord_id
        self.apply(Published(topic=Topic.EVENT, key=f"ops-{self._notes}", body=body, ts_ns=now_ns))

    def knows_order(self, cl_ord_id: str) -> bool:
        """Whether this is the id of an order that is kept."""
        return cl_ord_id in self._facts[Topic.ORDER]

    # What readers use.

    def get(self, topic: Topic, key: str) -> Entry | None:
        """The newest fact of one key, or None."""
        return self._facts[topic].get(key)

    def facts(self, topic: Topic) -> Iterable[Entry]:
        """All facts of a topic, the one changed longest ago first."""
        return self._facts[topic].values()

    def newest(self, topic: Topic, limit: int) -> list[Entry]:
        """The ``limit`` most recently changed facts, newest first."""
        found: list[Entry] = []
        for entry in reversed(self._facts[topic].values()):
            if len(found) >= limit:
                break
            found.append(entry)
        return found

    def changed_since(self, topic: Topic, seq: int, limit: int) -> Iterator[Entry]:
        """Facts changed after ``seq``, newest first, at most ``limit``: what a reader with that cursor missed."""
        for taken, entry in enumerate(reversed(self._facts[topic].values())):
            if entry.seq <= seq or taken >= limit:
                return
            yield entry

    def size(self, topic: Topic) -> int:
        """How many facts of a topic are kept."""
        return len(self._facts[topic])

    def age_ms(self, entry: Entry) -> int:
        """Milliseconds since this process saw the fact, by the monotonic clock."""
        return (self.clock.mono_ns() - entry.seen_mono_ns) // 1_000_000

    # Bounds.

    def _make_room(self, topic: Topic, facts: OrderedDict[str, Entry]) -> bool:
        rings = {
            Topic.ORDER: self.limits.orders,
            Topic.FILL: self.limits.fills,
            Topic.EVENT: self.limits.events,
        }
        ring = rings.get(topic)
        if ring is None:
            return len(facts) < self.limits.keys_per_topic
        if len(facts) >= ring:
            self.evicted += 1
            del facts[_least_missed(facts)]
        return True

    def _sample(self, published: Published) -> None:
        history = self.pnl_history
        if history and published.ts_ns - history[-1].ts_ns < self._pnl_step_ns:
            return
        body = published.body
        by_strategy = body.get("by_strategy")
        strategies = sorted(by_strategy.items())[: self.limits.pnl_strategies] if isinstance(by_strategy, dict) else []
        history.append(
            PnlPoint(
                ts_ns=published.ts_ns,
                total_usd=text_of(body.get("total_usd")),
                realized_usd=text_of(body.get("realized_usd")),
                unrealized_usd=text_of(body.get("unrealized_usd")),
                by_strategy={name: text_of(strategy_total(part)) for name, part in strategies},
            )
        )
        # A full ring halves its resolution instead of forgetting the morning: the chart keeps the whole session.
        if len(history) >= self.limits.pnl_points:
            self.pnl_history = history[::2]
            self._pnl_step_ns *= 2


def _least_missed(facts: OrderedDict[str, Entry]) -> str:
    """The oldest finished order; where the oldest few are all alive, the oldest."""
    first = next(iter(facts))
    for scanned, (key, entry) in enumerate(facts.items()):
        if scanned >= _EVICTION_SCAN:
            break
        if entry.body.get("ord_status", "filled") in TERMINAL:
            return key
    return first


def strategy_total(part: object) -> object:
    """The total PnL of one strategy's row: the row is a number, or a table with ``total_usd``."""
    if isinstance(part, dict):
        if "total_usd" in part:
            return part["total_usd"]
        realized, unrealized = decimal_of(part.get("realized_usd")), decimal_of(part.get("unrealized_usd"))
        return (realized or Decimal(0)) + (unrealized or Decimal(0))
    return part


def decimal_of(value: object) -> Decimal | None:
    """A number or decimal string as ``Decimal``; None for anything else, and for NaN and infinities."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def text_of(value: object) -> str:
    """A number as plain decimal text; "0" for what is no number."""
    number = decimal_of(value)
    return "0" if number is None else format(number, "f")


def int_of(value: object) -> int | None:
    """A number cut to an integer; None for what is no number."""
    number = decimal_of(value)
    return None if number is None else int(number)
