"""A venue's limiter as it is configured: its table, the host's file, and Redis where there is one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from adapters.clock import Clock
from adapters.config_model import DeskConfig
from adapters.limits.host_file import HostFile
from adapters.limits.limiter import Limiter
from adapters.limits.redis_share import RedisShare
from trading.limits.spec import Policy
from trading.limits.venues import limits_of


def limiter_for(venue: str, config: DeskConfig, clock: Clock, env: Mapping[str, str] | None = None) -> Limiter:
    """The limiter of ``venue``; processes of one data directory count together. Close it at the end.

    ``OSError`` when the data directory cannot be written.
    """
    limits = config.limits
    environment = os.environ if env is None else env
    redis = None
    if limits.redis_url:
        redis = RedisShare(
            limits.redis_url,
            venue,
            clock,
            password=environment.get(limits.redis_password_env),
            address=limits.address,
        )
    # Each process jitters its own way: equal ones would all come back at the same moment.
    seed = int.from_bytes(hashlib.sha256(f"{venue}:{os.getpid()}".encode()).digest()[:8], "big")
    return Limiter(
        limits_of(venue),
        clock,
        policy=Policy(share=limits.venue_shares.get(venue, limits.share)),
        seed=seed,
        queue_max=limits.queue_max,
        file=HostFile(config.data_path / f"limits-{venue}.board", clock),
        redis=redis,
    )
