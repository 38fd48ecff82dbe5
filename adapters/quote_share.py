"""The quote that the desk trades in, told to other programs by Redis where one is configured.

Owns one key and one channel of that name, and knowing whether Redis is there. Tells and never asks: what stands in
Redis is nobody's order to this desk. Without Redis the desk knows its quote all the same.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from adapters.clock import Clock
from adapters.redis_client import NOT_INSTALLED, open_redis
from trading.universe.quotes import QuoteChoice

KEY: Final = "propdesk:quote"
_TIMEOUT_S: Final = 1.0
_AGAIN_S: Final = 60.0
_RETRY_MIN_S: Final = 1.0
_RETRY_MAX_S: Final = 30.0


class QuoteTold(msgspec.Struct, frozen=True, kw_only=True):
    """What stands under the key, as JSON. ``reason``: preferred, or which setting forces it; ``ts_ns`` is UTC."""

    quote: str
    reason: str
    ts_ns: int


class QuoteShare:
    """Says the quote when it begins and every minute, so that a Redis that lost it has it again.

    ``url`` empty: there is nobody to tell. ``trouble`` says why Redis does not have it, empty when it does.
    """

    def __init__(
        self, choice: QuoteChoice | None, url: str, clock: Clock, *, password: str | None = None, key: str = KEY
    ) -> None:
        self.choice = choice
        self.told = 0
        self.trouble = "" if url else "no Redis is configured"
        self._key = key
        self._clock = clock
        self._client: Any = None
        if choice is None or not url:
            return
        self._client = open_redis(url, password=password, timeout_s=_TIMEOUT_S, connections=1)
        if self._client is None:
            self.trouble = NOT_INSTALLED

    async def run(self) -> None:
        """Tell until canceled; at once, then every minute, and after trouble each time later, up to 30 s."""
        wait_s = _RETRY_MIN_S
        while self._client is not None:
            if await self.tell():
                wait_s = _RETRY_MIN_S
                await asyncio.sleep(_AGAIN_S)
            else:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _RETRY_MAX_S)

    async def tell(self) -> bool:
        """Write the key and tell the channel, both or neither; whether that was done. Never raises for Redis."""
        if self._client is None or self.choice is None:
            return False
        body = QuoteTold(quote=self.choice.quote, reason=self.choice.reason, ts_ns=self._clock.wall_ns())
        words = msgspec.json.encode(body)
        try:
            async with self._client.pipeline(transaction=True) as both:
                both.set(self._key, words)
                both.publish(self._key, words)
                await both.execute()
        except Exception as trouble:  # noqa: BLE001  # whatever it is, trading does not depend on it
            self.trouble = f"{type(trouble).__name__}: {trouble}"[:200]
            return False
        self.told += 1
        self.trouble = ""
        return True

    async def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            await self._client.aclose()
