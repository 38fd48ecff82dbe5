"""What a venue's answer says of limits, beyond its status: counts under 200, bans in words, dates.

Owns the translation of one answer to ``(status, retry_ns)`` for `LimitGovernor.told`; decides nothing. Sources (read
2026-11): Binance "Error codes" -1003 ("IP banned until <ms>"); OKX "Error Code" 50011, 50013 and 50061; Bybit v5
"Error" 10006 (by key) and 10018 (by address); RFC 9110, 10.2.3 (``Retry-After`` as a date).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

LONG_BODY: Final = 2_048
"""Words about limits stand in short answers only: nothing longer is looked at."""

_CODE: Final = re.compile(rb'"(?:code|retCode)"\s*:\s*"?(-?\d{1,6})"?')
_UNTIL: Final = re.compile(rb"banned until (\d{13})")
_STATUS_BY_CODE: Final[dict[str, dict[int, int]]] = {
    "okx": {50011: 429, 50061: 429, 50040: 429},
    "bybit": {10006: 429, 10018: 403},
    "binance": {-1003: 429, -1015: 429},
    "binanceusdm": {-1003: 429, -1015: 429},
    "binancecoinm": {-1003: 429, -1015: 429},
}


def heard(venue: str, status: int, headers: Mapping[str, str], body: bytes, wall_ns: int) -> tuple[int, int]:
    """The status to tell the governor, and how long the answer says to wait, ns (0: it does not say).

    ``wall_ns`` is our UTC time, against which times in the answer are read.
    """
    retry_ns = 0
    if len(body) <= LONG_BODY:
        if status < 500 and (code := _CODE.search(body)) is not None:
            meant = _STATUS_BY_CODE.get(venue, {}).get(int(code[1]))
            if meant is not None and (status < 400 or meant > status):
                status = meant
        if (until := _UNTIL.search(body)) is not None:
            retry_ns = max(0, int(until[1]) * 1_000_000 - wall_ns)
            status = 418 if status == 429 else status
    for name, value in headers.items():
        if name.lower() == "retry-after" and not value.strip().isdigit():
            retry_ns = max(retry_ns, _date_ns(value) - wall_ns)
    return status, max(0, retry_ns)


def _date_ns(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp()) * 1_000_000_000
    except (ValueError, OverflowError, IndexError, TypeError):
        return 0
