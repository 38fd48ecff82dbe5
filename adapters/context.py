"""Fetches market context over HTTPS: BTC dominance, Fear & Greed, and the dollar index where a source is configured.

Owns requests and the shapes of replies; when to fetch and what is still good is `trading.context`. Never raises for
what a source does. Sources: api.coingecko.com/api/v3/global ("Crypto Global Market Data"), api.alternative.me/fng
("Fear and Greed Index API") (read 2026-11); the dollar index is any URL that answers ``{"value": number}``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Annotated

import aiohttp
import msgspec

from adapters.clock import Clock
from adapters.context_model import ContextConfig
from trading.context import ContextCache, FearGreed, Figure, MarketContext, Source

BODY_BYTES_MAX = 256 * 1024
_SECOND_NS = 1_000_000_000
_CLASSES = frozenset({"Extreme Fear", "Fear", "Neutral", "Greed", "Extreme Greed"})


class _Shares(msgspec.Struct, gc=False):
    btc: float


class _Global(msgspec.Struct, gc=False):
    market_cap_percentage: _Shares


class _GlobalReply(msgspec.Struct, gc=False):
    data: _Global


class _Mood(msgspec.Struct, gc=False):
    value: str
    value_classification: str


class _MoodReply(msgspec.Struct, gc=False):
    data: Annotated[list[_Mood], msgspec.Meta(min_length=1, max_length=10)]


class _ValueReply(msgspec.Struct, gc=False):
    value: float


_global = msgspec.json.Decoder(_GlobalReply).decode
_moods = msgspec.json.Decoder(_MoodReply).decode
_value = msgspec.json.Decoder(_ValueReply).decode


def parse_btc_dominance(body: bytes) -> float:
    """Bitcoin's share of all market capitalisation, in percent; ``ValueError`` for anything else."""
    share = _global(body).data.market_cap_percentage.btc
    if not 0.0 < share <= 100.0:
        raise ValueError(f"a dominance of {share} %")
    return share


def parse_fear_greed(body: bytes) -> FearGreed:
    """The newest index; ``ValueError`` for anything else."""
    mood = _moods(body).data[0]
    text = mood.value
    if not (text.isascii() and text.isdigit() and len(text) <= 3) or int(text) > 100:
        raise ValueError(f"an index of {text[:20]!r}")
    if mood.value_classification not in _CLASSES:
        raise ValueError(f"a class of {mood.value_classification[:40]!r}")
    return FearGreed(value=int(text), value_class=mood.value_classification)


def parse_dxy(body: bytes) -> float:
    """The dollar index in points; ``ValueError`` for anything else."""
    value = _value(body).value
    if not (math.isfinite(value) and 10.0 < value < 1_000.0):
        raise ValueError(f"a dollar index of {value}")
    return value


_PARSERS: dict[Source, Callable[[bytes], Figure]] = {
    Source.BTC_DOMINANCE: parse_btc_dominance,
    Source.FEAR_GREED: parse_fear_greed,
    Source.DXY: parse_dxy,
}
_FAULTS = (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError)


class ContextFeed:
    """The figures of the configured sources. `current` never waits; `refresh` asks those that are due, all at once.

    Redirects are not followed, and of a reply 256 KiB are read at most. Use from one event loop; `close` at the end.
    """

    def __init__(self, config: ContextConfig, clock: Clock) -> None:
        urls = {
            Source.BTC_DOMINANCE: config.btc_dominance_url,
            Source.FEAR_GREED: config.fear_greed_url,
            Source.DXY: config.dxy_url,
        }
        self._urls = {source: url for source, url in urls.items() if url} if config.enable else {}
        self._enabled = config.enable
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=config.http_timeout_sec)
        self._session: aiohttp.ClientSession | None = None
        self._cache = ContextCache(
            tuple(self._urls),
            ttl_ns=config.cache_ttl_sec * _SECOND_NS,
            cooldown_ns=config.cache_ttl_sec * _SECOND_NS,
            calls_per_hour=config.calls_per_hour,
        )

    def current(self) -> MarketContext:
        """What is known now; asks nobody and never fails."""
        return self._cache.view(self._clock.mono_ns()) if self._enabled else MarketContext(enabled=False)

    async def refresh(self) -> MarketContext:
        """Ask the sources that are due, then say what is known; ends within the timeout, whatever they do."""
        due = self._cache.due(self._clock.mono_ns()) if self._enabled else ()
        if due:
            await asyncio.gather(*(self._fetch(source) for source in due))
        return self.current()

    async def run(self, every_s: float = 5.0) -> None:
        """Refresh until it is canceled; between two looks nothing is asked of anybody."""
        while True:
            await self.refresh()
            await asyncio.sleep(every_s)

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _fetch(self, source: Source) -> None:
        try:
            figure = _PARSERS[source](await self._body(self._urls[source]))
        except _FAULTS as fault:
            self._cache.on_failure(source, f"{type(fault).__name__}: {fault}", self._clock.mono_ns())
        except BaseException:
            # Canceled in the middle: the source may be asked again.
            self._cache.on_failure(source, "given up", self._clock.mono_ns())
            raise
        else:
            self._cache.on_answer(source, figure, self._clock.mono_ns())

    async def _body(self, url: str) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        async with self._session.get(url, allow_redirects=False) as reply:
            if reply.status != 200:
                raise ValueError(f"status {reply.status}")
            body = bytearray()
            async for chunk in reply.content.iter_chunked(1 << 14):
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise ValueError(f"more than {BODY_BYTES_MAX} bytes")
            return bytes(body)
