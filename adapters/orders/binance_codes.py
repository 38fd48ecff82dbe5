"""Binance's error codes as verdicts.

Sources: "Error codes for Binance", binance-spot-api-docs/errors.md, and "Error Code" of USD-M and COIN-M futures,
developers.binance.com (read 2026-11). A code that is not here is AMBIGUOUS. -1006 and -1007 say themselves that the
execution status is unknown; -1000 and -1001 are internal errors, which prove nothing; -1008 is said before the request
reaches the engine. -2021, -2022 and -2026 mean one thing on spot and another on futures.
"""

from __future__ import annotations

import re

from adapters.binance.instruments import SPOT
from adapters.orders.replies import Verdict

_V = Verdict

# Illegal, missing, superfluous or contradicting parameters, unknown symbols, wrong order words.
_REQUEST = (
    *(1013, 1014, 1020, 1100, 1101, 1102, 1103, 1104, 1105, 1106, 1108, 1109, 1110, 1111, 1112, 1114, 1115, 1116),
    *(1117, 1118, 1119, 1120, 1121, 1122, 1128, 1130, 1134, 1135, 1136, 1145, 1151, 1182),
)
# Funds, positions, filters, modes, states of symbols and accounts: refused by the engine or before it.
_FUTURES_REFUSED = (
    *(2018, 2019, 2020, 2021, 2022, 2023, 2024, 2025, 2026, 2027, 2028),
    *(4000, 4001, 4002, 4003, 4004, 4005, 4006, 4007, 4008, 4012, 4013, 4014, 4015, 4016, 4023, 4024, 4029, 4030),
    *(4045, 4055, 4061, 4062, 4082, 4084, 4087, 4088, 4109, 4118, 4131, 4135, 4136, 4137, 4138, 4139, 4140, 4141),
    *(4142, 4144, 4161, 4164, 4165, 4183, 4184, 4192, 4400, 4401, 4402),
    *(5021, 5022, 5024, 5025, 5026, 5028, 5036, 5037, 5038, 5039, 5040, 5041),
)

_COMMON: dict[int, Verdict] = {
    **{-code: _V.REFUSED for code in _REQUEST},
    -1000: _V.AMBIGUOUS,
    -1001: _V.AMBIGUOUS,
    -1002: _V.AUTH,
    -1003: _V.LIMITED,
    -1006: _V.AMBIGUOUS,
    -1007: _V.AMBIGUOUS,
    -1008: _V.LIMITED,
    -1010: _V.REFUSED,
    -1015: _V.LIMITED,
    -1016: _V.AMBIGUOUS,
    -1021: _V.CLOCK,
    -1022: _V.AUTH,
    -1034: _V.LIMITED,
    -1125: _V.REFUSED,
    -2008: _V.AUTH,
    -2010: _V.REFUSED,
    -2011: _V.REFUSED,
    -2013: _V.UNKNOWN_ORDER,
    -2014: _V.AUTH,
    -2015: _V.AUTH,
    -2017: _V.AUTH,
}
_SPOT: dict[int, Verdict] = {
    **_COMMON,
    -2021: _V.AMBIGUOUS,  # cancel-replace, half of it: its data tell which (`adapters.orders.binance_read`)
    -2022: _V.REFUSED,  # cancel-replace, none of it
    -2026: _V.UNKNOWN_ORDER,  # archived: canceled or expired without execution, over 90 days ago
}
_FUTURES: dict[int, Verdict] = {
    **_COMMON,
    **{-code: _V.REFUSED for code in _FUTURES_REFUSED},
    -1011: _V.AUTH,
    -2012: _V.AMBIGUOUS,
    -4046: _V.UNCHANGED,
    -4056: _V.AUTH,
    -4059: _V.UNCHANGED,
    -4083: _V.AMBIGUOUS,
    -4116: _V.EXISTS,
    -5027: _V.UNCHANGED,
}

_BANNED_UNTIL = re.compile(r"banned until (\d{13})")


def verdict_of(venue: str, code: int, msg: str) -> Verdict:
    """What an error body says; AMBIGUOUS for what the documents do not list."""
    if code == -2010 and "duplicate" in msg.lower():
        return _V.EXISTS
    if code == -1003 and _BANNED_UNTIL.search(msg):
        return _V.BANNED
    return (_SPOT if venue == SPOT else _FUTURES).get(code, _V.AMBIGUOUS)


def banned_until_ms(msg: str) -> int:
    """When a ban ends, UTC ms; 0 when the message says none."""
    found = _BANNED_UNTIL.search(msg)
    return int(found.group(1)) if found else 0
