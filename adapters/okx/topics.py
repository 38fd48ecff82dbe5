"""Subscriptions of one OKX connection: request bytes, and a ledger of what the venue has answered for each topic.

Pure: who sends and who watches the clock is the stream's driver. Rules ("WebSocket", okx.com/docs-v5, read 2026-11):
every topic of a request is answered by itself with event subscribe (or unsubscribe) and its ``arg``. A refusal is event
error with ``code`` and ``msg``; it carries the request's ``id`` (1 to 32 letters and digits), and names the topic in
words at best (``channel:books,instId:X-Y doesn't exist``). ``channel-conn-count-error`` takes back what was granted.
A request's args are 64 KB at most; a connection may make 480 requests an hour. One with nothing to say for 30 s is cut:
the text ``ping`` is answered by the text ``pong``. trades-all is at the business URL, all other channels at the public.

A topic that is neither granted nor refused in time is a failure (`overdue`), and so is one that the venue ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

import msgspec

PING = b"ping"
REQUEST_ARGS_BYTES = 60_000
PUBLIC_PATH = "/ws/v5/public"
BUSINESS_PATH = "/ws/v5/business"
_BUSINESS_CHANNELS = frozenset({"trades-all"})

RETRY_LATER = frozenset({"60014", "60023", "63999", "64008"})
"""Codes after which the same request may be granted; all others need somebody to change something."""


class Topic(msgspec.Struct, frozen=True, order=True, omit_defaults=True, rename="camel"):
    """What is subscribed to: a channel of an instrument, of an index (``inst_id``) or of an instrument type."""

    channel: str
    inst_id: str = ""
    inst_type: str = ""

    @property
    def path(self) -> str:
        """Which of the venue's public endpoints carries it."""
        return BUSINESS_PATH if self.channel in _BUSINESS_CHANNELS else PUBLIC_PATH


class TopicState(Enum):
    """How far a topic has come."""

    ASKED = "asked"
    GRANTED = "granted"
    LEAVING = "leaving"
    REFUSED = "refused"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer of the venue meant. ``topics`` is empty when it fits nothing that was asked.

    ``code`` is empty when the venue agreed; ``retry`` says whether the same request may be granted later.
    """

    topics: tuple[Topic, ...]
    code: str = ""
    text: str = ""
    retry: bool = False


class _Event(msgspec.Struct, gc=False, rename="camel"):
    event: str
    code: str = ""
    msg: str = ""
    id: str = ""
    channel: str = ""
    arg: Topic | None = None


class _Entry(msgspec.Struct):
    state: TopicState
    request_id: str
    asked_ns: int


class _Request(msgspec.Struct):
    id: str
    op: str
    args: list[Topic]


class _Push(msgspec.Struct, gc=False):
    arg: Topic
    data: msgspec.Raw


_event = msgspec.json.Decoder(_Event).decode
_push = msgspec.json.Decoder(_Push).decode
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)


class TopicLedger:
    """What one connection has asked for and been granted. Times are monotonic ns, the caller's."""

    def __init__(self) -> None:
        self._entries: dict[Topic, _Entry] = {}
        self._requests = 0
        self.unexpected = 0

    # --- Asking --------------------------------------------------------------------------------------

    def subscribe(self, topics: Iterable[Topic], now_ns: int) -> list[bytes]:
        """The requests for those ``topics`` that are neither granted nor asked for already."""
        return self._ask("subscribe", TopicState.ASKED, topics, now_ns)

    def unsubscribe(self, topics: Iterable[Topic], now_ns: int) -> list[bytes]:
        """The requests to end those ``topics`` that are in the ledger."""
        known = [topic for topic in topics if topic in self._entries]
        return self._ask("unsubscribe", TopicState.LEAVING, known, now_ns)

    def again(self, topic: Topic, now_ns: int) -> list[bytes]:
        """The requests that make the venue begin ``topic`` anew: a book's next message is then a snapshot."""
        leave = self.unsubscribe([topic], now_ns)
        self._entries.pop(topic, None)
        return leave + self.subscribe([topic], now_ns)

    def _ask(self, op: str, state: TopicState, topics: Iterable[Topic], now_ns: int) -> list[bytes]:
        waiting = {TopicState.ASKED, TopicState.GRANTED} if state is TopicState.ASKED else {TopicState.LEAVING}
        wanted = dict.fromkeys(topics)
        asked = [topic for topic in wanted if (e := self._entries.get(topic)) is None or e.state not in waiting]
        sent: list[bytes] = []
        for args in _chunks(asked):
            self._requests += 1
            request_id = f"{op[:1]}{self._requests}"
            for topic in args:
                self._entries[topic] = _Entry(state, request_id, now_ns)
            sent.append(msgspec.json.encode(_Request(request_id, op, args)))
        return sent

    # --- Answers -------------------------------------------------------------------------------------

    def on_message(self, payload: bytes) -> Answer | None:
        """What an answer of the venue means; None when ``payload`` is no answer to a subscription. Does not raise."""
        if not payload.startswith(b"{") or b'"event"' not in payload[:200]:
            return None
        try:
            event = _event(payload)
        except _FAULTS:
            return None
        match event.event:
            case "subscribe":
                return self._granted(event)
            case "unsubscribe":
                return self._ended(event)
            case "error":
                return self._refused(event, list(self._meant(event)))
            case "channel-conn-count-error":
                over = [topic for topic, e in self._entries.items() if topic.channel == event.channel and _alive(e)]
                return self._refused(event, over)
            case _:
                return None

    def _granted(self, event: _Event) -> Answer:
        entry = self._entries.get(event.arg) if event.arg else None
        if entry is None or event.arg is None or entry.state is TopicState.REFUSED:
            return self._unasked(event)
        # The answer to an earlier request does not undo a later one.
        if entry.state is not TopicState.LEAVING:
            entry.state = TopicState.GRANTED
        return Answer(topics=(event.arg,))

    def _ended(self, event: _Event) -> Answer:
        entry = self._entries.get(event.arg) if event.arg else None
        if entry is None or event.arg is None:
            return self._unasked(event)
        if entry.state is TopicState.LEAVING:
            del self._entries[event.arg]
            return Answer(topics=(event.arg,))
        if entry.state is TopicState.ASKED:
            # Asked for again before the old one had ended.
            return Answer(topics=(event.arg,))
        entry.state = TopicState.REFUSED
        return Answer(topics=(event.arg,), code="unsubscribe", text="the venue ended it", retry=True)

    def _refused(self, event: _Event, topics: list[Topic]) -> Answer:
        if not topics:
            return self._unasked(event)
        for topic in topics:
            if self._entries[topic].state is TopicState.LEAVING:
                # It is not there any more, or never was: either way it is left.
                del self._entries[topic]
            else:
                self._entries[topic].state = TopicState.REFUSED
        code = event.code or event.event
        return Answer(topics=tuple(topics), code=code, text=event.msg[:200], retry=event.code in RETRY_LATER)

    def _meant(self, event: _Event) -> Iterator[Topic]:
        """Topics that an error speaks of: its ``arg``, those it names, or else all of its request that wait."""
        if event.arg in self._entries:
            yield event.arg
            return
        waiting = [(t, e) for t, e in self._entries.items() if e.state in {TopicState.ASKED, TopicState.LEAVING}]
        requests = {event.id} if event.id else {entry.request_id for _, entry in waiting}
        if len(requests) != 1:
            named = [topic for topic, _ in waiting if _names(event.msg, topic)]
            yield from named
            return
        mine = [topic for topic, entry in waiting if entry.request_id in requests]
        yield from [topic for topic in mine if _names(event.msg, topic)] or mine

    def _unasked(self, event: _Event) -> Answer:
        self.unexpected += 1
        return Answer(topics=(), code=event.code, text=event.msg[:200], retry=event.code in RETRY_LATER)

    # --- Views ---------------------------------------------------------------------------------------

    def state(self, topic: Topic) -> TopicState | None:
        """How far ``topic`` has come; None when it was not asked for, or has ended."""
        entry = self._entries.get(topic)
        return entry.state if entry else None

    def topics(self, state: TopicState) -> list[Topic]:
        """All topics in one state, in the order they were asked for."""
        return [topic for topic, entry in self._entries.items() if entry.state is state]

    def overdue(self, now_ns: int, timeout_ns: int) -> list[Topic]:
        """Topics that the venue has not answered for in time."""
        return [
            topic
            for topic, entry in self._entries.items()
            if entry.state in {TopicState.ASKED, TopicState.LEAVING} and now_ns - entry.asked_ns > timeout_ns
        ]

    def on_disconnected(self) -> list[Topic]:
        """Forget the connection; answers with the topics that were wanted, to be asked for on the next one."""
        wanted = [topic for topic, entry in self._entries.items() if entry.state is not TopicState.LEAVING]
        self._entries.clear()
        return wanted


def is_pong(payload: bytes) -> bool:
    """Whether this is the answer to `PING`."""
    return payload == b"pong"


def topic_of(payload: bytes) -> Topic | None:
    """The topic whose data ``payload`` is; None for anything else. For watchdogs of data age; does not raise."""
    try:
        return _push(payload).arg
    except _FAULTS:
        return None


def _alive(entry: _Entry) -> bool:
    return entry.state in {TopicState.ASKED, TopicState.GRANTED}


def _names(text: str, topic: Topic) -> bool:
    """Whether an error's words name the topic and no other: ``channel:tickers,instId:LTC-USD doesn't exist``."""
    words = text.replace(",", " ").replace("'", " ").split()
    subject = f"instId:{topic.inst_id}" if topic.inst_id else f"instType:{topic.inst_type}"
    return any(word.endswith(f"channel:{topic.channel}") for word in words) and subject in words


def _chunks(topics: list[Topic]) -> Iterator[list[Topic]]:
    chunk: list[Topic] = []
    size = 0
    for topic in topics:
        bytes_of_topic = len(msgspec.json.encode(topic)) + 1
        if chunk and size + bytes_of_topic > REQUEST_ARGS_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(topic)
        size += bytes_of_topic
    if chunk:
        yield chunk
