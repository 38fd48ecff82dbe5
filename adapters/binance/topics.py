"""Subscriptions of one Binance connection: request bytes, and a ledger of what the venue has answered.

Pure: who sends and who watches the clock is the stream's driver. Rules ("Live Subscribing/Unsubscribing to streams",
binance-spot-api-docs/web-socket-streams.md and developers.binance.com futures websocket market streams, read 2026-11):
a request has an ``id``; ``{"result":null,"id":1}`` grants all of it, ``error`` (or a bare ``code`` and ``msg``) with
the id refuses all of it. The venue grants streams that do not exist and that this route does not carry: an answer is
no evidence of data. At most 1024 streams a connection, and 5 messages a second on spot (10 on futures).

A refused request of several streams says nothing of each: they are asked again by halves (`split`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import msgspec

STREAMS_PER_CONNECTION = 1024
STREAMS_PER_REQUEST = 100
MESSAGES_PER_S = 5
TEXT_CHARS = 200
CODE_CHARS = 20

# "Error Messages" of web-socket-streams.md: a request that is malformed stays so; the others are the venue's trouble.
_FOREVER = frozenset({"0", "1", "2", "3", "4"})
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)


class StreamState(Enum):
    """How far a stream has come."""

    ASKED = "asked"
    GRANTED = "granted"
    REFUSED = "refused"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer meant. ``streams`` is empty when it fits nothing that was asked or is an UNSUBSCRIBE's.

    ``code`` is empty when the venue agreed; ``retry`` says whether the same request may be granted later; ``split``
    holds the requests that ask again, by halves, for what was refused together, and ``again`` is what they ask for.
    """

    streams: tuple[str, ...]
    code: str = ""
    text: str = ""
    retry: bool = False
    split: tuple[bytes, ...] = ()
    again: tuple[str, ...] = ()


class _Error(msgspec.Struct, gc=False):
    code: int | str = 0
    msg: str = ""


class _Message(msgspec.Struct, gc=False):
    id: int | str | None = None
    error: _Error | None = None
    code: int | str | None = None
    msg: str = ""
    stream: str = ""
    e: str = ""


class _Request(msgspec.Struct, gc=False):
    method: str
    params: list[str]
    id: int


class _Open(msgspec.Struct, gc=False):
    method: str
    streams: list[str]


_message = msgspec.json.Decoder(_Message).decode


class StreamLedger:
    """What one connection has asked for and been granted. Times are monotonic ns, the caller's."""

    def __init__(self) -> None:
        self.states: dict[str, StreamState] = {}
        self._asked_ns: dict[str, int] = {}
        self._open: dict[int, _Open] = {}
        self._requests = 0
        self.unexpected = 0

    def subscribe(self, streams: Iterable[str], now_ns: int) -> list[bytes]:
        """The requests for those ``streams`` that are neither granted nor asked for already."""
        waiting = {StreamState.ASKED, StreamState.GRANTED}
        wanted = [stream for stream in dict.fromkeys(streams) if self.states.get(stream) not in waiting]
        for stream in wanted:
            self.states[stream] = StreamState.ASKED
            self._asked_ns[stream] = now_ns
        return self._requests_for("SUBSCRIBE", wanted, STREAMS_PER_REQUEST)

    def unsubscribe(self, streams: Iterable[str]) -> list[bytes]:
        """The requests to end those ``streams`` that are in the ledger."""
        known = [stream for stream in dict.fromkeys(streams) if stream in self.states]
        for stream in known:
            del self.states[stream]
            self._asked_ns.pop(stream, None)
        return self._requests_for("UNSUBSCRIBE", known, STREAMS_PER_REQUEST)

    def again(self, streams: Iterable[str], now_ns: int) -> list[bytes]:
        """The requests that make the venue begin ``streams`` anew."""
        wanted = list(dict.fromkeys(streams))
        return self.unsubscribe(wanted) + self.subscribe(wanted, now_ns)

    def on_message(self, payload: bytes) -> Answer | None:
        """What an answer of the venue means; None when ``payload`` is no answer. Does not raise."""
        if b'"id"' not in payload[:400] or payload[:10] == b'{"stream":':
            return None
        try:
            message = _message(payload)
        except _FAULTS:
            return None
        if message.id is None or message.stream or message.e:
            return None
        asked = self._open.pop(message.id, None) if isinstance(message.id, int) else None
        error = message.error
        if error is None and (message.code is not None or message.msg):
            error = _Error(code=message.code or 0, msg=message.msg)
        if asked is None:
            self.unexpected += 1
            if error is None:
                return Answer(streams=())
            return Answer(streams=(), code=str(error.code)[:CODE_CHARS], text=error.msg[:TEXT_CHARS])
        if asked.method != "SUBSCRIBE":
            return Answer(streams=())
        return self._granted(asked) if error is None else self._refused(asked, error)

    def overdue(self, now_ns: int, timeout_ns: int) -> list[str]:
        """Streams that the venue has not answered for in time."""
        return [
            stream
            for stream, state in self.states.items()
            if state is StreamState.ASKED and now_ns - self._asked_ns[stream] > timeout_ns
        ]

    def on_disconnected(self) -> list[str]:
        """Forget the connection; answers with the streams that were wanted, to be asked for on the next one."""
        wanted = list(self.states)
        self.states.clear()
        self._asked_ns.clear()
        self._open.clear()
        return wanted

    def _granted(self, asked: _Open) -> Answer:
        still = tuple(stream for stream in asked.streams if stream in self.states)
        for stream in still:
            self.states[stream] = StreamState.GRANTED
        return Answer(streams=still)

    def _refused(self, asked: _Open, error: _Error) -> Answer:
        still = [stream for stream in asked.streams if stream in self.states]
        if len(asked.streams) > 1:
            half = max(1, (len(still) + 1) // 2)
            return Answer(streams=(), split=tuple(self._requests_for("SUBSCRIBE", still, half)), again=tuple(still))
        for stream in still:
            self.states[stream] = StreamState.REFUSED
        code = str(error.code)[:CODE_CHARS]
        return Answer(streams=tuple(still), code=code, text=error.msg[:TEXT_CHARS], retry=code not in _FOREVER)

    def _requests_for(self, method: str, streams: list[str], size: int) -> list[bytes]:
        sent: list[bytes] = []
        for begin in range(0, len(streams), size):
            chunk = streams[begin : begin + size]
            self._requests += 1
            self._open[self._requests] = _Open(method, chunk)
            sent.append(msgspec.json.encode(_Request(method, chunk, self._requests)))
        while len(self._open) > STREAMS_PER_CONNECTION:
            # An answer that never came is not waited for without end.
            del self._open[next(iter(self._open))]
        return sent
