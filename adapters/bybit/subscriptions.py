"""Bybit v5's subscriptions: request bytes, pings, and a ledger of what the venue granted topic by topic.

Owns what was asked and what was answered on one connection; opens none. A topic counts as granted by an answer or by
its own data, never by silence.
"Connect", bybit-exchange.github.io/docs/v5/ws/connect (read 2026-11): at most 10 ``args`` a request on spot and 21,000
characters on contracts; a ping every 20 s. One answer is for a whole request: ``success`` false names one topic in
``ret_msg`` ("error:handler not found,topic:x"), and says nothing of the others, which have to be asked again.
"already subscribed" is evidence of the subscription (sieblyio/bybit-api#477). The option stream answers per topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec

MAX_ARGS = 10
PING_EVERY_S = 20
EXCERPT_CHARS = 200


class TopicState(Enum):
    """What is known of one subscription."""

    ASKED = "asked"
    GRANTED = "granted"
    REFUSED = "refused"
    UNTOLD = "untold"


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What one answer settled, by topic; ``error`` is the venue's text, empty when it agreed."""

    request_id: str
    granted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    error: str = ""


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to a ping. It says that the connection lives, not that data flows."""

    request_id: str


class _Topics(msgspec.Struct, gc=False, rename="camel"):
    """The option stream's answer."""

    fail_topics: list[str] = []
    success_topics: list[str] = []


class _Message(msgspec.Struct, gc=False):
    topic: str = ""
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""
    req_id: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class _Request(msgspec.Struct, gc=False, omit_defaults=True):
    req_id: str
    op: str
    args: Sequence[str] = ()


_message = msgspec.json.Decoder(_Message).decode
_topics = msgspec.json.Decoder(_Topics).decode
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)


def ping(request_id: str) -> bytes:
    """The bytes of a ping."""
    return msgspec.json.encode(_Request(req_id=request_id, op="ping"))


class SubscriptionLedger:
    """What one connection was asked for and what it granted. ``states`` is by topic; one that was left is not in it."""

    def __init__(self, prefix: str = "s") -> None:
        self.states: dict[str, TopicState] = {}
        self.reasons: dict[str, str] = {}
        self._prefix = prefix
        self._asked = 0
        self._open: dict[str, tuple[str, tuple[str, ...]]] = {}

    def subscribe(self, topics: Iterable[str]) -> list[bytes]:
        """Requests for these topics, `MAX_ARGS` each; topics that are granted already are not asked again."""
        wanted = [topic for topic in dict.fromkeys(topics) if self.states.get(topic) is not TopicState.GRANTED]
        self.states.update(dict.fromkeys(wanted, TopicState.ASKED))
        return self._requests("subscribe", wanted)

    def unsubscribe(self, topics: Iterable[str]) -> list[bytes]:
        """Requests to leave these topics."""
        return self._requests("unsubscribe", [topic for topic in dict.fromkeys(topics) if topic in self.states])

    def on_connected(self) -> tuple[str, ...]:
        """A new connection has granted nothing: the topics to ask for again."""
        wanted = tuple(self.states)
        self.states = dict.fromkeys(wanted, TopicState.UNTOLD)
        self.reasons.clear()
        self._open.clear()
        return wanted

    def on_data(self, topic: str) -> None:
        """Data of a topic is evidence that it was granted, answered or not."""
        if self.states.get(topic, TopicState.GRANTED) is not TopicState.GRANTED:
            self.states[topic] = TopicState.GRANTED
            self.reasons.pop(topic, None)

    def missing(self) -> tuple[str, ...]:
        """Topics that were asked for and are not granted."""
        return tuple(topic for topic, state in self.states.items() if state is not TopicState.GRANTED)

    def on_message(self, payload: bytes) -> Answer | Pong | None:
        """What an answer settles; None for everything else, answers to requests of others among it. Never raises."""
        try:
            message = _message(payload)
            by_topic = _topics(message.data) if message.type == "COMMAND_RESP" and bytes(message.data) else None
        except _FAULTS:
            return None
        if message.topic:
            return None
        if message.op in {"ping", "pong"}:
            return Pong(request_id=message.req_id)
        if by_topic is not None:
            return self._by_topic(message, by_topic)
        asked = self._open.pop(message.req_id, None)
        if asked is None or message.success is None:
            return None
        op, topics = asked
        if op == "unsubscribe":
            return self._left(message, topics)
        if message.success:
            return self._settle(message, granted=topics)
        return self._refused(message, topics)

    def _refused(self, message: _Message, topics: tuple[str, ...]) -> Answer:
        named = message.ret_msg.rpartition("topic:")[2].strip() if "topic:" in message.ret_msg else ""
        found = tuple(topic for topic in topics if topic == named) or (topics if len(topics) == 1 else ())
        others = tuple(topic for topic in topics if topic not in found)
        if "already subscribed" in message.ret_msg:
            return self._settle(message, granted=found, untold=others)
        return self._settle(message, refused=found, untold=others)

    def _by_topic(self, message: _Message, told: _Topics) -> Answer:
        self._open.pop(message.req_id, None)
        known = set(self.states)
        return self._settle(
            message,
            granted=tuple(topic for topic in told.success_topics if topic in known),
            refused=tuple(topic for topic in told.fail_topics if topic in known),
        )

    def _settle(
        self,
        message: _Message,
        granted: tuple[str, ...] = (),
        refused: tuple[str, ...] = (),
        untold: tuple[str, ...] = (),
    ) -> Answer:
        error = "" if message.success else message.ret_msg[:EXCERPT_CHARS]
        for topics, state in (
            (granted, TopicState.GRANTED),
            (refused, TopicState.REFUSED),
            (untold, TopicState.UNTOLD),
        ):
            for topic in topics:
                # Its own data may have told more than this answer does.
                if self.states.get(topic) in {None, TopicState.GRANTED}:
                    continue
                self.states[topic] = state
                if state is not TopicState.GRANTED:
                    self.reasons[topic] = error
        return Answer(request_id=message.req_id, granted=granted, refused=refused, untold=untold, error=error)

    def _left(self, message: _Message, topics: tuple[str, ...]) -> Answer:
        if not message.success:
            return Answer(request_id=message.req_id, error=message.ret_msg[:EXCERPT_CHARS])
        for topic in topics:
            self.states.pop(topic, None)
            self.reasons.pop(topic, None)
        return Answer(request_id=message.req_id, left=topics)

    def _requests(self, op: str, topics: Sequence[str]) -> list[bytes]:
        requests: list[bytes] = []
        for begin in range(0, len(topics), MAX_ARGS):
            args = tuple(topics[begin : begin + MAX_ARGS])
            self._asked += 1
            request_id = f"{self._prefix}{self._asked}"
            self._open[request_id] = (op, args)
            requests.append(msgspec.json.encode(_Request(req_id=request_id, op=op, args=args)))
        return requests
