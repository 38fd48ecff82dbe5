"""The Telegram face: polls the Bot API, answers allowed chats, pushes brakes and errors. Off without a token.

Telegram down, slow or flooding us never blocks anything: the outbox is bounded and merges (F84). The token is kept
out of every log record of the process. python-telegram-bot is imported when the face starts, not before.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import os
import traceback
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from adapters.clock import Clock
from adapters.idempotency import IdempotencyStore
from api.chat import Chat, brake_alert
from api.control import CommandBus, CommandPort
from api.correlation import jump, order_named
from api.metrics import OpsCounters
from api.outbox import Outbox
from api.projection import Projection
from api.readiness import level_rank
from trading.operators import Topic

if TYPE_CHECKING:
    from telegram import Bot, Update
    from telegram.request import HTTPXRequest

POLL_S = 20
BACKOFF_MAX_S = 60.0
ALERT_LEVELS = frozenset({"error", "critical", "alert"})
ALERTED_EVENTS_MAX = 20
_log = logging.getLogger(__name__)


class TelegramFace:
    """One bot, polled by one process. ``start`` returns at once; trouble is retried in the background."""

    def __init__(
        self,
        projection: Projection,
        bus: CommandBus,
        token: str,
        allowed_chat_ids: Iterable[int],
        clock: Clock,
        *,
        base_url: str | None = None,
        counters: OpsCounters | None = None,
        site: str = "",
        tick_s: float = 0.5,
        backoff_s: float = 1.0,
        poll_s: int = POLL_S,
        once: IdempotencyStore | None = None,
    ) -> None:
        """``base_url`` is the Bot API's, ending in ``/bot``; None is Telegram's own. ``site`` is where traces are."""
        self._projection = projection
        self._counters = counters or OpsCounters()
        self._token = token
        self._allowed = frozenset(allowed_chat_ids)
        self._clock = clock
        self._base_url = base_url
        self._site = site
        self._tick_s = tick_s
        self._backoff_s = backoff_s
        self._poll_s = poll_s
        self._chat = Chat(projection, CommandPort(bus, clock, self._counters, once=once))
        self._brakes: dict[tuple[str, str], dict[str, object]] = {}
        self._cursor = 0
        self._reported_stranger = False
        self._tasks: list[asyncio.Task[None]] = []
        self._requests: tuple[HTTPXRequest, ...] = ()
        self._redaction: _Redaction | None = None
        self.outbox = Outbox()

    def start(self) -> None:
        """Begin to poll, to watch and to send."""
        self._redaction = _Redaction(self._token)
        bot, self._requests = _bot(self._token, self._base_url)
        loop = asyncio.get_running_loop()
        jobs: list[Coroutine[Any, Any, None]] = [self._poll(bot), self._send(bot), self._watch()]
        self._tasks = [loop.create_task(job) for job in jobs]

    async def close(self) -> None:
        """Stop at once; what was not sent is not sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for request in self._requests:
            await request.shutdown()
        self._requests = ()
        if self._redaction is not None:
            self._redaction.lift()
            self._redaction = None

    # Receiving.

    async def _poll(self, bot: Bot) -> None:
        from telegram.error import TelegramError  # noqa: PLC0415 - the library is loaded only where it is used

        offset = 0
        troubles = 0
        while True:
            try:
                updates = await bot.get_updates(offset=offset, timeout=self._poll_s, allowed_updates=["message"])
            except TelegramError as trouble:
                troubles += 1
                self._complain("poll", trouble, troubles)
                await asyncio.sleep(max(_retry_after_s(trouble), self._backoff(troubles)))
                continue
            troubles = 0
            for update in updates:
                offset = max(offset, update.update_id + 1)
                await self._take(update)

    async def _take(self, update: Update) -> None:
        message = update.message
        if message is None or message.text is None or not message.text.strip():
            return
        chat_id = message.chat.id
        if chat_id not in self._allowed:
            self._counters.telegram_ignored += 1
            if not self._reported_stranger:
                self._reported_stranger = True
                words = f"chat {chat_id} is not on the allow-list: ignored; further ones are only counted"
                self._projection.note("warning", "telegram_stranger", words)
            return
        now = datetime.datetime.fromtimestamp(self._clock.wall_ns() / 1e9, datetime.UTC)
        actor = f"telegram:{message.from_user.id if message.from_user else chat_id}"
        try:
            age_s = (now - message.date).total_seconds()
            # An update that was not confirmed before a crash is delivered again.
            answer = await self._chat.reply(chat_id, actor, message.text, age_s, f"telegram:{update.update_id}")
        except Exception:  # noqa: BLE001 - a malformed fact must not silence the bot
            _log.exception("the answer to a Telegram command failed")
            answer = "⚠ internal error"
        self.outbox.answer(chat_id, answer)

    # Watching.

    async def _watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(self._tick_s)

    def look(self) -> None:
        """Queue an alert for every brake that came or went, and for every new error."""
        fact = self._projection.get(Topic.BRAKES, "all")
        listed = fact.body.get("brakes") if fact else None
        if isinstance(listed, list | tuple):
            rows = [row for row in listed if isinstance(row, dict)]
            current = {(str(row.get("code")), str(row.get("scope"))): row for row in rows}
            for key, row in current.items():
                before = self._brakes.get(key)
                if before is None or level_rank(before.get("level")) != level_rank(row.get("level")):
                    self._alert_brake(key, row, released=False)
            for key, row in self._brakes.items():
                if key not in current:
                    self._alert_brake(key, row, released=True)
            self._brakes = current
        for event in reversed(list(self._projection.changed_since(Topic.EVENT, self._cursor, ALERTED_EVENTS_MAX))):
            if str(event.body.get("level", "")).lower() in ALERT_LEVELS:
                code, text = str(event.body.get("code")), str(event.body.get("text"))
                named = event.body.get("cl_ord_id")
                text = self._with_trace(f"❗ {code}: {text}", named if isinstance(named, str) else "")
                for chat_id in self._listeners():
                    self.outbox.alert(chat_id, f"event:{code}:{event.body.get('cell')}", text)
        self._cursor = self._projection.seq

    def _with_trace(self, text: str, cl_ord_id: str) -> str:
        return f"{text}\n{jump(cl_ord_id, self._site)}" if cl_ord_id else text

    def _alert_brake(self, key: tuple[str, str], row: dict[str, object], *, released: bool) -> None:
        named = "" if released else order_named(str(row.get("cause", "")), self._projection.knows_order)
        for chat_id in self._listeners():
            text = brake_alert(row, released=released, language=self._chat.language(chat_id))
            self.outbox.alert(chat_id, f"brake:{key}", self._with_trace(text, named))

    def _listeners(self) -> list[int]:
        return [chat_id for chat_id in sorted(self._allowed) if self._chat.wants_alerts(chat_id)]

    # Sending.

    async def _send(self, bot: Bot) -> None:
        from telegram.error import BadRequest, Forbidden, TelegramError  # noqa: PLC0415 - as above

        while True:
            waiting = self.outbox.take()
            if waiting is None:
                await asyncio.sleep(self._tick_s / 4)
                continue
            chat_id, text = waiting
            troubles = 0
            while True:
                try:
                    await bot.send_message(chat_id=chat_id, text=text)
                    self._counters.telegram_sent += 1
                    break
                except (BadRequest, Forbidden) as refusal:
                    # It will not be accepted the next time either.
                    self._counters.telegram_dropped += 1
                    self._complain("send", refusal, 1)
                    break
                except TelegramError as trouble:
                    # Meanwhile newer alerts of the same kind replace each other in the outbox.
                    troubles += 1
                    self._complain("send", trouble, troubles)
                    await asyncio.sleep(max(_retry_after_s(trouble), self._backoff(troubles)))

    def _backoff(self, troubles: int) -> float:
        return min(BACKOFF_MAX_S, self._backoff_s * (1 << min(troubles - 1, 10)))

    def _complain(self, what: str, trouble: Exception, times: int) -> None:
        """Say it once per spell of trouble; a conflict means that another process polls with this token."""
        if times == 1:
            words = str(trouble).replace(self._token, "***")
            _log.warning("Telegram %s: %s", what, words)
            self._projection.note("warning", f"telegram_{what}", f"{type(trouble).__name__}: {words}")


def _bot(token: str, base_url: str | None) -> tuple[Bot, tuple[HTTPXRequest, HTTPXRequest]]:
    """A bot and its two connections, which are ours to shut: a bot that never got an answer does not shut them."""
    # Without this the library warns that its durations will become timedeltas.
    os.environ.setdefault("PTB_TIMEDELTA", "true")
    from telegram import Bot  # noqa: PLC0415 - 20 MB that a desk without a token does not pay
    from telegram.request import HTTPXRequest  # noqa: PLC0415 - as above

    sending, polling = HTTPXRequest(connection_pool_size=2), HTTPXRequest(connection_pool_size=1)
    where = base_url or "https://api.telegram.org/bot"
    return Bot(token, base_url=where, request=sending, get_updates_request=polling), (sending, polling)


def _retry_after_s(trouble: Exception) -> float:
    """How long Telegram told us to wait; 0 where it did not."""
    wait: object = getattr(trouble, "retry_after", 0)
    if isinstance(wait, datetime.timedelta):
        return wait.total_seconds()
    return float(wait) if isinstance(wait, int | float) else 0.0


class _Redaction:
    """Keeps a secret out of every log record of the process, whoever writes it: httpx logs whole URLs."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._before = logging.getLogRecordFactory()
        logging.setLogRecordFactory(self._record)

    def lift(self) -> None:
        """Let records through as they were."""
        logging.setLogRecordFactory(self._before)

    def _record(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._before(*args, **kwargs)
        try:
            words = record.getMessage()
        except (TypeError, ValueError):
            return record
        if self._secret in words:
            record.msg, record.args = words.replace(self._secret, "***"), ()
        if record.exc_info and record.exc_info[1] is not None:
            trace = "".join(traceback.format_exception(record.exc_info[1]))
            if self._secret in trace:
                record.exc_text, record.exc_info = trace.replace(self._secret, "***"), None
        return record
