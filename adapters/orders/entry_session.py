"""One connection for orders as a state machine: logged in or not, trusted or doubted, and what is still unanswered.

Pure: bytes and monotonic times in, bytes and outcomes out; the socket is `adapters.orders.entry_line`'s. Each request
is settled once: by its answer, or by the end of the connection, which proves nothing about it. Answers may come in any
order; what nobody waits for (twice told, or too late) is counted and changes nothing.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from adapters.orders.entry import (
    EntryAlive,
    EntryAnswered,
    EntryClosing,
    EntryDialect,
    EntryGranted,
    EntryRefused,
    EntryUnread,
)
from adapters.orders.wire import MS_NS, Credentials, HttpAnswer, WireRequest

UNANSWERED_MAX = 3
"""So many requests in a row without an answer in time, and the connection is left, whatever its pongs say."""


class EntryState(Enum):
    """How a connection stands. DOUBTED: an answer is overdue, and nothing was heard since. LEAVING: no new requests."""

    OPENING = "opening"
    LOGGING_IN = "logging_in"
    READY = "ready"
    DOUBTED = "doubted"
    LEAVING = "leaving"
    ENDED = "ended"


class EntryEvent(Enum):
    """What changes that."""

    CONNECTED = "connected"
    GRANTED = "granted"
    OVERDUE = "overdue"
    HEARD = "heard"
    LEFT = "left"
    LOST = "lost"


_S, _E = EntryState, EntryEvent
NEXT: dict[tuple[EntryState, EntryEvent], EntryState] = {
    (_S.OPENING, _E.CONNECTED): _S.LOGGING_IN,
    (_S.OPENING, _E.GRANTED): _S.READY,  # Binance signs each request: there is no login
    (_S.LOGGING_IN, _E.GRANTED): _S.READY,
    (_S.READY, _E.OVERDUE): _S.DOUBTED,
    (_S.DOUBTED, _E.HEARD): _S.READY,
    (_S.READY, _E.LEFT): _S.LEAVING,
    (_S.DOUBTED, _E.LEFT): _S.LEAVING,
    **{(state, _E.LOST): _S.ENDED for state in EntryState},
}
"""What is not here changes nothing: an overdue answer on a connection that is left already, for one."""


class EntryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``step_ms`` is for handshake and login each, ``doubt_ms`` how long a doubted connection has to say anything.

    ``life_ms`` 0 is the venue's own. Delays double; after a refused login they begin at ``refused_ms``. ``drain_ms`` is
    how long a connection that was replaced may still bring answers.
    """

    in_flight_max: int = 128
    step_ms: int = 5_000
    doubt_ms: int = 1_000
    life_ms: int = 0
    backoff_ms: int = 250
    backoff_max_ms: int = 30_000
    refused_ms: int = 5_000
    refused_max_ms: int = 300_000
    stable_ms: int = 30_000
    drain_ms: int = 5_000


class Settled(msgspec.Struct, frozen=True):
    """What became of a request: the venue's answer, that it was not read, or in words that nothing is known."""

    request_id: str
    outcome: HttpAnswer | EntryUnread | str


class EntryDue(msgspec.Struct, frozen=True, kw_only=True):
    """What time has brought: ``ping`` now, ``end`` it for this reason. ``wait_ns`` until it is worth asking again."""

    ping: bool = False
    end: str = ""
    wait_ns: int


class EntrySession:
    """From the handshake to the end of one connection."""

    def __init__(self, dialect: EntryDialect, credentials: Credentials, limits: EntryLimits) -> None:
        self.state = EntryState.OPENING
        self.reason = "connecting"
        self.refused = False
        self.strays = 0
        self.answered = 0
        self._dialect = dialect
        self._credentials = credentials
        self._limits = limits
        self._pending: dict[str, int] = {}
        self._prefix = ""
        self._number = 0
        self._unanswered = 0
        self._opened_ns = self._heard_ns = self._pinged_ns = self._doubted_ns = 0

    @property
    def in_flight(self) -> int:
        """Requests without an answer that somebody waits for."""
        return len(self._pending)

    @property
    def takes_orders(self) -> bool:
        """Whether a request may go this way."""
        return self.state is EntryState.READY and len(self._pending) < self._limits.in_flight_max

    # --- In --------------------------------------------------------------------------------------------

    def connected(self, ts_ms: int, now_ns: int) -> bytes:
        """The handshake is done: the frame that logs in, b"" where there is none and requests may go at once."""
        self._opened_ns = self._heard_ns = self._pinged_ns = now_ns
        # Bybit takes no id twice, whichever connection it comes on; OKX takes letters and digits only.
        self._prefix = f"e{ts_ms:x}x"
        if not self._dialect.plan.login:
            self._apply(EntryEvent.GRANTED, "")
            return b""
        self._apply(EntryEvent.CONNECTED, "logging in")
        return self._dialect.login(self._credentials, ts_ms)

    def touched(self, now_ns: int) -> None:
        """Something was heard, if only a pong."""
        self._heard_ns = now_ns
        self._apply(EntryEvent.HEARD, "")

    def heard(self, payload: bytes, now_ns: int, ts_ns: int) -> list[Settled]:
        """A message; the requests that it settles."""
        self.touched(now_ns)
        settled: list[Settled] = []
        for word in self._dialect.read(payload, ts_ns):
            match word:
                case EntryGranted():
                    self._apply(EntryEvent.GRANTED, "")
                case EntryAnswered():
                    settled += self._settle(word.request_id, word.answer)
                case EntryUnread():
                    settled += self._settle(word.request_id, word)
                    if word.over:
                        # Where there is no login this is how it is refused.
                        self.refused = self.refused or not self._dialect.plan.login
                        self._apply(EntryEvent.LEFT, word.reason)
                case EntryRefused() if self.state is not EntryState.LOGGING_IN:
                    self._apply(EntryEvent.LEFT, word.text)
                case EntryRefused():
                    self.refused = True
                    settled += self.lost(f"login refused: {word.text}"[:200])
                case EntryClosing():
                    self._apply(EntryEvent.LEFT, word.text)
                case EntryAlive():
                    pass
        return settled

    def _settle(self, request_id: str, outcome: HttpAnswer | EntryUnread) -> list[Settled]:
        if self._pending.pop(request_id, None) is None:
            self.strays += 1
            return []
        self._unanswered = 0
        self.answered += 1
        return [Settled(request_id, outcome)]

    def lost(self, reason: str) -> list[Settled]:
        """The connection is over; of what was in flight nothing is known."""
        if self.state is EntryState.ENDED:
            return []
        self._apply(EntryEvent.LOST, reason)
        settled = [Settled(request_id, f"the connection ended: {reason}"[:200]) for request_id in self._pending]
        self._pending.clear()
        return settled

    # --- Out -------------------------------------------------------------------------------------------

    def ask(self, request: WireRequest, ts_ms: int, now_ns: int) -> tuple[str, bytes] | None:
        """Id and frame of a request; None when it is not said here, or not now."""
        if not self.takes_orders:
            return None
        request_id = f"{self._prefix}{self._number + 1}"
        frame = self._dialect.frame(request, request_id, self._credentials, ts_ms)
        if not frame:
            return None
        self._number += 1
        self._pending[request_id] = now_ns
        return request_id, frame

    def overdue(self, request_id: str, now_ns: int) -> bool:
        """Its deadline is over without an answer. True: the connection is doubted from now on, and has to be pinged."""
        if request_id not in self._pending:
            return False
        self._unanswered += 1
        was = self.state
        self._apply(EntryEvent.OVERDUE, "an answer is overdue")
        if was is not EntryState.DOUBTED and self.state is EntryState.DOUBTED:
            self._doubted_ns = now_ns
            return True
        return False

    def forget(self, request_id: str) -> None:
        """Nobody waits for it any more."""
        self._pending.pop(request_id, None)

    def leave(self, reason: str) -> None:
        """No new requests; those in flight may still be answered."""
        self._apply(EntryEvent.LEFT, reason)

    def due(self, now_ns: int) -> EntryDue:
        """What has to be done by now."""
        plan, limits = self._dialect.plan, self._limits
        # Another takes its place, and it is left open for what it may still bring: a late answer is evidence.
        if self._unanswered >= UNANSWERED_MAX:
            self._apply(EntryEvent.LEFT, f"{self._unanswered} requests in a row were not answered")
        if self.state is EntryState.DOUBTED and now_ns - self._doubted_ns >= limits.doubt_ms * MS_NS:
            self._apply(EntryEvent.LEFT, "an answer is overdue and nothing else is heard")
        if now_ns - self._heard_ns > 2 * plan.ping_every_ns:
            return EntryDue(end="mute: nothing was heard, pongs neither", wait_ns=0)
        life_ns = limits.life_ms * MS_NS or plan.life_ns
        if now_ns - self._opened_ns >= life_ns:
            self._apply(EntryEvent.LEFT, "its time is nearly over")
        ping = now_ns - self._pinged_ns >= plan.ping_every_ns
        if ping:
            self._pinged_ns = now_ns
        until = [self._pinged_ns + plan.ping_every_ns]
        if self.state is EntryState.DOUBTED:
            until.append(self._doubted_ns + limits.doubt_ms * MS_NS)
        if self.state is EntryState.READY:
            until.append(self._opened_ns + life_ns)
        return EntryDue(ping=ping, wait_ns=max(MS_NS, min(until) - now_ns))

    def _apply(self, event: EntryEvent, reason: str) -> None:
        following = NEXT.get((self.state, event))
        if following is not None and following is not self.state:
            self.state, self.reason = following, reason
