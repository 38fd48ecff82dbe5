"""What the ops cell's actor is built from. The actor itself is a face and lives in ``api``."""

from __future__ import annotations

import msgspec

from adapters.telemetry.exporter import TraceExport
from adapters.trades_log import TradesLogSpec
from trading.universe.quotes import QuoteChoice


class OpsSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Where to serve, for whom. An empty token means no Telegram. ``context`` is its configuration as JSON.

    ``operations``: the file of what was asked with a key; without it a key holds for one life of the actor.
    ``quote``: what a symbol without one means; it is told at ``redis_url``, where that is given.
    """

    host: str
    port: int
    telegram_token: str
    allowed_chat_ids: tuple[int, ...]
    version: str
    profile: str
    journal: str
    context: bytes = b"{}"
    traces: TraceExport = TraceExport()
    operations: str = ""
    trades: TradesLogSpec | None = None
    quote: QuoteChoice | None = None
    redis_url: str = ""
    redis_password: str = ""
    governor: str = "governor"
    universe: str = "universe"
