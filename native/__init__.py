"""The desk's hottest code in C, or None where it was not built: then the Python beside it runs instead.

`marketdata` holds books, depth messages and what the gates count (references: `trading.market.book`, `.watches`,
`adapters.binance.codec`, `adapters.okx.market`), `actors` the delivery of messages and virtual time (references:
`supervision.bases.delivery`, `.timers`, `.loop`, `adapters.clock`), `orders` what every order passes: a lone
target's round, limits at first sight, admission and release, the last gate, the journal's words and filter of keys, and
a venue's words (references: `trading.arbiter.lone`, `trading.risk.governor`, `trading.orders.core`, `actors.gateway`,
`trading.orders.journal_rows`, `adapters.journal.keys`, `adapters.binance.orders_codec`). Owns the choice, made once a
process: the extensions, unless they are missing or PROPDESK_NATIVE=0. Owns no behaviour: both ways do the same.
"""

from __future__ import annotations

import os

REVISION = 10
"""What this Python expects of the extensions: one built from other sources is worse than none."""

why_not = ""
"""Why `marketdata`, `actors` and `orders` are None; empty when they are there."""

try:
    if os.environ.get("PROPDESK_NATIVE") == "0":
        raise ImportError("PROPDESK_NATIVE=0")
    import native._actors as actors
    import native._marketdata as marketdata
    import native._orders as orders

    for built in (actors, marketdata, orders):
        if getattr(built, "REVISION", 0) != REVISION:
            raise ImportError(f"{built.__name__} was built from other sources: install again")
except ImportError as error:
    actors = None  # type: ignore[assignment]
    marketdata = None  # type: ignore[assignment]
    orders = None  # type: ignore[assignment]
    why_not = str(error)

__all__ = ["actors", "marketdata", "orders", "why_not"]
