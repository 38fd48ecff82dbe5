"""What waits for one actor: plain, or bounded by a stated policy per message class.

Owns order, conflation and overflow of waiting messages. Does not own whose turn it is (that is the scheduler's).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

from thespian.actors import ActorAddress, ActorSystemMessage, WakeupMessage

_TYPES_MAX = 4_096
_GONE_SLACK = 64


class MessageClass(Enum):
    """How a message may be treated while it waits.

    ``ORDER`` is never dropped; beyond the hard limit it is reported and still accepted. ``CONTROL`` is never dropped
    and overtakes market data waiting at the end of the mailbox. ``MARKET`` is conflated: a newer message of the same
    type and key takes the place of the older one. ``REPORT`` drops its oldest.
    """

    ORDER = "order"
    CONTROL = "control"
    MARKET = "market"
    REPORT = "report"


Classify: TypeAlias = Callable[[Any], tuple[MessageClass, object | None]]
Overflowed: TypeAlias = Callable[[ActorAddress, MessageClass], None]
Waiting: TypeAlias = tuple[Any, ActorAddress]


def everything_is_order(_msg: object) -> tuple[MessageClass, object | None]:
    """The default classification."""
    return MessageClass.ORDER, None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverflowPolicy:
    """Limits per actor, in messages; ``classify`` names a message's class and, for MARKET, its conflation key.

    The class must depend on the type alone (it is cached per type); the key may depend on the message.
    """

    classify: Classify = everything_is_order
    hard_limit: int = 100_000
    market_limit: int = 4_096
    report_limit: int = 1_024


class Mailbox(Protocol):
    """Messages waiting for one actor."""

    def put(self, msg: Any, sender: ActorAddress) -> bool:
        """Accept a message; true when one more message waits than before."""
        ...

    def take(self) -> Waiting:
        """Remove and return the next message; ``IndexError`` when nothing waits."""
        ...

    def __len__(self) -> int: ...


class PlainMailbox(deque[Waiting]):
    """First in, first out, without limits: for seeded scheduling where no policy is stated."""

    __slots__ = ()

    def put(self, msg: Any, sender: ActorAddress) -> bool:
        """Accept a message at the end."""
        self.append((msg, sender))
        return True

    def take(self) -> Waiting:
        """Remove and return the next message."""
        return self.popleft()


# One waiting message: its class (None once it was dropped in favour of a newer one), the message, the sender and the
# conflation key. A list, because it is made once per message and rewritten in place by conflation.
_Entry: TypeAlias = list[Any]


class PolicyCounts:
    """What the policy did, over all mailboxes of one base."""

    __slots__ = ("beyond_limit", "conflated", "dropped")

    def __init__(self) -> None:
        self.conflated = 0
        self.dropped = 0
        self.beyond_limit = 0


class Classifier:
    """The policy's classification with the class cached per type; only MARKET asks again, for its key."""

    __slots__ = ("_classify", "known")

    def __init__(self, classify: Classify) -> None:
        self._classify = classify
        self.known: dict[type, MessageClass] = {}

    def __call__(self, msg: Any) -> tuple[MessageClass, object | None]:
        """The message's class, and its conflation key when it is MARKET."""
        kind = type(msg)
        cls = self.known.get(kind)
        key: object | None = None
        if cls is None:
            if isinstance(msg, ActorSystemMessage) and not isinstance(msg, WakeupMessage):
                cls = MessageClass.CONTROL  # exits and deaths must not wait behind market data
            else:
                cls, key = self._classify(msg)
            if len(self.known) >= _TYPES_MAX:
                self.known.clear()
            self.known[kind] = cls
        elif cls is _MARKET:
            key = self._classify(msg)[1]
        return cls, (kind, key) if cls is _MARKET else None


class BoundedMailbox:
    """One actor's mailbox under an `OverflowPolicy`."""

    __slots__ = (
        "_address",
        "_classifier",
        "_counts",
        "_entries",
        "_gone",
        "_hard_limit",
        "_known",
        "_market",
        "_overflowed",
        "_policy",
        "_reports",
    )

    def __init__(
        self,
        address: ActorAddress,
        policy: OverflowPolicy,
        classifier: Classifier,
        counts: PolicyCounts,
        overflowed: Overflowed,
    ) -> None:
        self._address = address
        self._policy = policy
        self._hard_limit = policy.hard_limit
        self._classifier = classifier
        self._known = classifier.known
        self._counts = counts
        self._overflowed = overflowed
        self._entries: deque[_Entry] = deque()
        self._market: dict[object, _Entry] = {}  # in order of arrival, as dicts are
        self._reports: deque[_Entry] = deque()
        self._gone = 0

    def __len__(self) -> int:
        return len(self._entries) - self._gone

    def put(self, msg: Any, sender: ActorAddress) -> bool:
        """Accept a message under the policy of its class; true when one more message waits than before."""
        entries = self._entries
        if self._known.get(type(msg)) is _ORDER:
            entries.append([_ORDER, msg, sender, None])
            if len(entries) > self._hard_limit:
                self._report_beyond_limit(_ORDER)
            return True
        cls, key = self._classifier(msg)
        entry = [cls, msg, sender, key]
        match cls:
            case MessageClass.ORDER | MessageClass.CONTROL:
                if cls is _ORDER:
                    entries.append(entry)
                else:
                    self._put_control(entry)
                self._report_beyond_limit(cls)
                return True
            case MessageClass.MARKET:
                return self._put_market(key, entry)
            case MessageClass.REPORT:
                return self._put_report(entry)

    def take(self) -> Waiting:
        """Remove and return the next message."""
        cls, msg, sender, key = self._entries.popleft()
        while cls is None:
            self._gone -= 1
            cls, msg, sender, key = self._entries.popleft()
        if cls is _MARKET:
            del self._market[key]
        elif cls is _REPORT:
            self._reports.popleft()  # the oldest report of the mailbox is the oldest of the reports
        return msg, sender

    def _report_beyond_limit(self, cls: MessageClass) -> None:
        if len(self) > self._hard_limit:
            self._counts.beyond_limit += 1
            self._overflowed(self._address, cls)

    def _put_control(self, entry: _Entry) -> None:
        at = len(self._entries)
        for waiting in reversed(self._entries):
            if waiting[0] is not _MARKET and waiting[0] is not None:
                break
            at -= 1
        self._entries.insert(at, entry)

    def _put_market(self, key: object, entry: _Entry) -> bool:
        older = self._market.get(key)
        if older is not None:
            older[:] = entry
            self._counts.conflated += 1
            return False
        more = True
        if len(self._market) >= self._policy.market_limit:
            self._drop(self._market.pop(next(iter(self._market))))
            more = False
        self._market[key] = entry
        self._entries.append(entry)
        return more

    def _put_report(self, entry: _Entry) -> bool:
        more = True
        if len(self._reports) >= self._policy.report_limit:
            self._drop(self._reports.popleft())
            more = False
        self._reports.append(entry)
        self._entries.append(entry)
        return more

    def _drop(self, entry: _Entry) -> None:
        cls = entry[0]
        entry[0] = entry[1] = None
        self._gone += 1
        self._counts.dropped += 1
        self._overflowed(self._address, cls)
        if self._gone > _GONE_SLACK and self._gone * 2 > len(self._entries):
            # An actor that takes nothing while its oldest are dropped must not collect the dropped ones.
            self._entries = deque(waiting for waiting in self._entries if waiting[0] is not None)
            self._gone = 0


_ORDER = MessageClass.ORDER
_MARKET = MessageClass.MARKET
_REPORT = MessageClass.REPORT
