"""How often and how far back accounts are compared, and how long what differs may take to explain itself."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class ReconConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds; ``dust_usd`` is what is not worth asking about, valued at the marks.

    A venue's own lists are read every ``interval_ms``, ``lookback_ms`` deep or over the newest ``executions_max``
    executions, whichever is less, and after ``crowded_ms`` when half of these are not confirmed or no answer came.
    ``late_ms`` is how long our word of something may be on its way, ``visible_ms`` how long the venue's lists may not
    show it yet; anything else brakes its scope after ``brake_ms``. Balances are compared ``settle_ms`` after they were
    read. At least every ``statement_ms`` a comparison is journalled. A day's statement waits ``day_wait_ms`` for the
    venues.
    """

    interval_ms: int = 60_000
    lookback_ms: int = 86_400_000
    executions_max: int = 1_000
    crowded_ms: int = 5_000
    late_ms: int = 10_000
    visible_ms: int = 60_000
    brake_ms: int = 15_000
    settle_ms: int = 2_000
    statement_ms: int = 600_000
    day_wait_ms: int = 180_000
    dust_usd: Decimal = Decimal("0.1")
