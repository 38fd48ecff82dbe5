"""What the ops cell's actor is built from. The actor itself is a face and lives in ``api``."""

from __future__ import annotations

import msgspec

from adapters.telemetry.exporter import TraceExport


class OpsSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Where to serve, for whom. An empty token means no Telegram. ``context`` is its configuration as JSON."""

    host: str
    port: int
    telegram_token: str
    allowed_chat_ids: tuple[int, ...]
    version: str
    profile: str
    journal: str
    context: bytes = b"{}"
    traces: TraceExport = TraceExport()
    governor: str = "governor"
    universe: str = "universe"
