"""A bounded queue of messages to operators: what piles up is merged, what overflows is dropped and counted (F84).

Pure: knows neither Telegram nor time. Answers go before alerts, because an operator is waiting for them.
"""

from __future__ import annotations

from collections import OrderedDict, deque

TEXT_MAX = 3_800
ANSWERS_MAX = 32
ALERTS_MAX = 64


class Outbox:
    """What is still to be sent, by chat. Alerts of one ``key`` replace each other: the newest is the truth."""

    def __init__(self) -> None:
        self._answers: deque[tuple[int, str]] = deque()
        self._alerts: OrderedDict[tuple[int, str], str] = OrderedDict()
        self.dropped = 0
        self.coalesced = 0

    def __len__(self) -> int:
        return len(self._answers) + len(self._alerts)

    def answer(self, chat_id: int, text: str) -> None:
        """Queue an answer to a command."""
        if len(self._answers) >= ANSWERS_MAX:
            self._answers.popleft()
            self.dropped += 1
        self._answers.append((chat_id, text))

    def alert(self, chat_id: int, key: str, text: str) -> None:
        """Queue an alert; an unsent one of the same key is replaced and goes to the end."""
        if self._alerts.pop((chat_id, key), None) is not None:
            self.coalesced += 1
        elif len(self._alerts) >= ALERTS_MAX:
            self._alerts.popitem(last=False)
            self.dropped += 1
        self._alerts[chat_id, key] = text

    def take(self) -> tuple[int, str] | None:
        """The next message: one answer, or all alerts of one chat that fit into one message."""
        if self._answers:
            chat_id, text = self._answers.popleft()
            return chat_id, text[:TEXT_MAX]
        if not self._alerts:
            return None
        chat_id = next(iter(self._alerts))[0]
        taken: list[str] = []
        size = 0
        for owner, key in list(self._alerts):
            text = self._alerts[owner, key][:TEXT_MAX]
            if owner != chat_id or (taken and size + len(text) + 1 > TEXT_MAX):
                continue
            taken.append(text)
            size += len(text) + 1
            del self._alerts[owner, key]
        return chat_id, "\n".join(taken)
