"""A client of Redis that fails at once: who uses it does without Redis, and tries again in its own time."""

from __future__ import annotations

import importlib
from typing import Any, Final

NOT_INSTALLED: Final = "the redis package is not installed; make setup installs it"


def open_redis(url: str, *, password: str | None, timeout_s: float, connections: int) -> Any | None:
    """A client of `redis.asyncio` without retries of its own; None where the package is not installed.

    It connects when it is first asked for something. ``ValueError`` for a URL that is none.
    """
    try:
        redis: Any = importlib.import_module("redis.asyncio")
        retry: Any = importlib.import_module("redis.asyncio.retry")
        backoff: Any = importlib.import_module("redis.backoff")
    except ImportError:
        return None
    return redis.Redis.from_url(
        url,
        password=password,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=retry.Retry(backoff.NoBackoff(), 0),
        max_connections=connections,
    )
