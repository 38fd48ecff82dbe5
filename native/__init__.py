"""The desk's hottest market data code in C, or None where it was not built: then the Python of `trading` runs instead.

Owns the choice, made once a process: `marketdata` is the extension unless it is missing or PROPDESK_NATIVE=0. Owns no
behaviour: the Python classes are the reference, and both give the same results.
"""

from __future__ import annotations

import os

why_not = ""
"""Why `marketdata` is None; empty when it is there."""

try:
    if os.environ.get("PROPDESK_NATIVE") == "0":
        raise ImportError("PROPDESK_NATIVE=0")
    from native import _marketdata as marketdata
except ImportError as error:
    marketdata = None  # type: ignore[assignment]
    why_not = str(error)

__all__ = ["marketdata", "why_not"]
