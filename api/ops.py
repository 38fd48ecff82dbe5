"""Everything that operators see, composed: one projection, its HTTP face and, with a token, its Telegram face."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from adapters.clock import Clock
from adapters.context import ContextFeed
from adapters.context_model import ContextConfig
from adapters.idempotency import IdempotencyStore
from adapters.quote_share import QuoteShare
from adapters.telemetry.exporter import TraceExport
from adapters.trades_log import TradesLog, TradesLogSpec
from api.control import CommandBus
from api.http import HttpServer, start_http
from api.metrics import OpsCounters
from api.projection import Projection
from api.telegram import TelegramFace
from api.traces_desk import TraceDesk
from trading.universe.quotes import QuoteChoice


class OpsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where to serve and whom to obey. An empty token means no Telegram, no ``journal`` no traces."""

    host: str = "127.0.0.1"
    port: int = 8000
    telegram_token: str = ""
    telegram_base_url: str = ""
    allowed_chat_ids: tuple[int, ...] = ()
    version: str = "0"
    profile: str = ""
    stream_hz: int = 4
    context: ContextConfig = ContextConfig()
    journal: str = ""
    traces: TraceExport = TraceExport()
    operations: str = ""
    trades: TradesLogSpec | None = None
    quote: QuoteChoice | None = None
    redis_url: str = ""
    redis_password: str = ""

    def __repr__(self) -> str:
        """Without the token: configurations are logged."""
        token = "set" if self.telegram_token else "none"
        return f"OpsConfig(host={self.host!r}, port={self.port}, telegram={token}, profile={self.profile!r})"


class OpsHandles(msgspec.Struct, kw_only=True):
    """What runs. ``close`` stops all of it."""

    http: HttpServer
    telegram: TelegramFace | None
    counters: OpsCounters
    context: ContextFeed
    refreshing: asyncio.Task[None]
    traces: TraceDesk
    quotes: QuoteShare
    once: IdempotencyStore
    following: tuple[asyncio.Task[None], ...]

    async def close(self) -> None:
        """Stop Telegram, end the streams, release the port."""
        if self.telegram is not None:
            await self.telegram.close()
        await self.http.close()
        self.refreshing.cancel()
        await self.context.close()
        await self.traces.close()
        for task in self.following:
            task.cancel()
        await asyncio.gather(*self.following, return_exceptions=True)
        await self.quotes.close()
        self.once.close()


async def run_ops(projection: Projection, bus: CommandBus, config: OpsConfig, clock: Clock) -> OpsHandles:
    """Start the faces. ``ValueError`` and ``OSError`` say in words why the server could not start."""
    counters = OpsCounters()
    context = ContextFeed(config.context, clock)
    quotes = QuoteShare(config.quote, config.redis_url, clock, password=config.redis_password or None)
    once = IdempotencyStore(Path(config.operations) if config.operations else None)
    traces = TraceDesk(projection, clock, config.journal, config.traces, version=config.version, profile=config.profile)
    http = await start_http(
        projection,
        bus,
        config.host,
        config.port,
        version=config.version,
        clock=clock,
        profile=config.profile,
        counters=counters,
        stream_hz=config.stream_hz,
        known_context=context.current,
        traces=traces,
        journal=config.journal,
        quotes=quotes,
        once=once,
    )
    traces.start()
    loop = asyncio.get_running_loop()
    following = [loop.create_task(quotes.run(), name="quote")]
    if config.trades is not None and config.journal:
        following.append(loop.create_task(TradesLog(config.journal, config.trades).run(), name="trades log"))
    refreshing = asyncio.get_running_loop().create_task(context.run(), name="market context")
    telegram = None
    if config.telegram_token:
        telegram = TelegramFace(
            projection,
            bus,
            config.telegram_token,
            config.allowed_chat_ids,
            clock,
            base_url=config.telegram_base_url or None,
            counters=counters,
            site=http.url,
            once=once,
        )
        telegram.start()
    return OpsHandles(
        http=http,
        telegram=telegram,
        counters=counters,
        context=context,
        refreshing=refreshing,
        traces=traces,
        quotes=quotes,
        once=once,
        following=tuple(following),
    )
