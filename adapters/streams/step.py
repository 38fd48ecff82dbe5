"""One decision under way: a connection's state taken apart, and put together again.

Owns the bookkeeping that all rules of the machine share; the rules are in `topic_rules` and `machine`.
"""

from __future__ import annotations

import msgspec

from adapters.streams import state as s
from adapters.streams.state import Effect, News, Phase, SocketState, State, TopicState, Turn


class Step:
    """A state, what changes in it, and what has to be done."""

    def __init__(self, state: State, now_ns: int) -> None:
        self.before = state
        self.rules = state.rules
        self.specs = state.topics
        self.now = now_ns
        self.changed: dict[str, object] = {}
        self.effects: list[Effect] = []
        self.status = state.status
        self.main = state.main
        self.spare = state.spare

    def done(self) -> tuple[State, list[Effect]]:
        """The next state, the same object where nothing changed, and the effects."""
        before, changed = self.before, self.changed
        if self.status is not before.status:
            changed["status"] = self.status
        if self.main is not before.main:
            changed["main"] = self.main
        if self.spare is not before.spare:
            changed["spare"] = self.spare
        return (msgspec.structs.replace(before, **changed) if changed else before), self.effects

    def do(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def tell(self, news: News, key: str = "", reason: str = "") -> None:
        """Add news for the desk."""
        self.effects.append(s.Tell(news, key, reason))

    def get(self, name: str) -> int:
        """A number of the state, changed or not."""
        value = self.changed.get(name)
        found = getattr(self.before, name) if value is None else value
        return found if isinstance(found, int) else 0

    def move(self, turn: Turn, reason: str = "") -> None:
        """Change the status by the table; ``ImpossibleTurnError`` for a turn that it does not have."""
        target = s.TRANSITIONS.get((self.status, turn))
        if target is None:
            raise s.ImpossibleTurnError(self.status, turn)
        self.status = target
        if reason:
            self.changed["reason"] = reason[:200]

    def count(self, name: str) -> None:
        """Count one in a counter."""
        counters = self.changed.get("counters", self.before.counters)
        assert isinstance(counters, s.Counters)
        self.changed["counters"] = msgspec.structs.replace(counters, **{name: getattr(counters, name) + 1})

    def roll(self, low: int, high: int) -> int:
        """A number in [low, high], from the state's own generator (Knuth's MMIX constants)."""
        dice = (self.get("dice") * 6364136223846793005 + 1442695040888963407) & 0xFFFF_FFFF_FFFF_FFFF
        self.changed["dice"] = dice
        return low + (dice >> 33) % (high - low + 1) if high > low else low

    def delay(self, attempt: int, cap: int) -> int:
        """A jittered delay that doubles with each attempt, up to ``cap``."""
        first = self.roll(self.rules.jitter_min_ns, self.rules.jitter_max_ns)
        return min(cap, first << min(attempt, 16))

    def socket_of(self, number: int) -> SocketState | None:
        """The main or the spare socket by its number."""
        for socket in (self.main, self.spare):
            if socket is not None and socket.number == number:
                return socket
        return None

    def put(self, socket: SocketState) -> None:
        """Replace a socket by what became of it."""
        if self.main is not None and self.main.number == socket.number:
            self.main = socket
        elif self.spare is not None and self.spare.number == socket.number:
            self.spare = socket

    def set_topic(self, number: int, key: str, topic: TopicState) -> None:
        """Replace a topic on a socket."""
        socket = self.socket_of(number)
        if socket is not None:
            self.put(msgspec.structs.replace(socket, topics={**socket.topics, key: topic}))

    def is_main(self, number: int) -> bool:
        """Whether this is the socket whose messages are delivered."""
        return self.main is not None and self.main.number == number

    def new_socket(self) -> SocketState:
        """A socket that is to be opened."""
        number = self.get("next_number")
        self.changed["next_number"] = number + 1
        waiting = TopicState(Phase.WAITING, self.now)
        self.do(s.OpenSocket(number))
        return SocketState(number=number, asked_ns=self.now, topics=dict.fromkeys(self.specs, waiting))
