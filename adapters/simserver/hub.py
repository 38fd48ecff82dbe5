"""Who is connected and subscribed to what, and the way of one data message to all of them, through the faults."""

from __future__ import annotations

from collections.abc import Callable

from adapters.simserver.connection import Connection
from adapters.simserver.fault_plane import USER, Faults

Wrap = Callable[[Connection, str, bytes], bytes]
"""The bytes of a data message as a connection of its kind gets them."""


class Hub:
    """The clients of one server, by id and by topic."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.connections: dict[int, Connection] = {}
        self.slow_clients = 0
        self._sent_before = 0
        self.published = 0
        self._subscribers: dict[str, dict[int, Connection]] = {}
        self.wrap: Wrap | None = None

    def add(self, connection: Connection) -> None:
        """A client came."""
        self.connections[connection.id] = connection

    def remove(self, connection: Connection) -> None:
        """A client went."""
        self.connections.pop(connection.id, None)
        for topic in list(connection.topics):
            self.leave(connection, topic)
        self.faults.forget(connection.id)
        self.slow_clients += connection.slow
        self._sent_before += connection.messages

    @property
    def messages_sent(self) -> int:
        """To all clients, those who went among them."""
        return self._sent_before + sum(one.messages for one in self.connections.values())

    def join(self, connection: Connection, topic: str, *, silent: bool = False) -> None:
        """The client wants ``topic``; a silent one is remembered and never served."""
        connection.topics[topic] = None
        if not silent:
            self._subscribers.setdefault(topic, {})[connection.id] = connection

    def leave(self, connection: Connection, topic: str) -> None:
        """The client no longer wants it."""
        connection.topics.pop(topic, None)
        found = self._subscribers.get(topic)
        if found is not None:
            found.pop(connection.id, None)
            if not found:
                del self._subscribers[topic]

    def wanted(self, topic: str) -> bool:
        """Whether anybody is to be served."""
        return topic in self._subscribers

    def publish(self, topic: str, payload: bytes) -> None:
        """One data message to all who are subscribed."""
        found = self._subscribers.get(topic)
        if found is None:
            return
        self.published += 1
        for connection in tuple(found.values()):
            self.deliver(connection, topic, payload)

    def deliver(self, connection: Connection, topic: str, payload: bytes) -> None:
        """One data message to one client, as faults have it; frames of user streams are wrapped already."""
        wrap = None if topic.startswith(USER) else self.wrap
        if self.faults.quiet:
            connection.push(payload if wrap is None else wrap(connection, topic, payload))
            return
        for shaped, delay_ms in self.faults.shape(topic, connection.id, payload):
            connection.push(shaped if wrap is None else wrap(connection, topic, shaped), delay_ms)
