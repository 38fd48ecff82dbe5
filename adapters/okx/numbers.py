"""OKX's texts as numbers: what is not a plain decimal number, or not a time in milliseconds, is a `WireFault`."""

from __future__ import annotations

from decimal import Decimal

from adapters.binance.grid import RejectReason, WireFault
from adapters.rule_text import MS

MAX_DIGITS = 40
_FIRST_MS, _END_MS = 10**12, 4 * 10**12


def time_ns(text: str) -> int:
    """Milliseconds between 2001 and 2096 as ns: a stream that changes its unit is refused, not believed."""
    if not (len(text) == 13 and text.isascii() and text.isdigit()) or not _FIRST_MS <= int(text) < _END_MS:
        raise WireFault(RejectReason.BAD_NUMBER, f"{text[:40]!r} is not a time in milliseconds")
    return int(text) * MS


def id_of(text: str) -> int:
    """A whole number of at most 18 digits."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise WireFault(RejectReason.BAD_NUMBER, f"{text[:40]!r} is not an id")
    return int(text)


def signed(text: str) -> Decimal:
    """A number of either sign, without exponent."""
    plain = text.removeprefix("-").replace(".", "", 1)
    if not (plain.isdigit() and plain.isascii()) or len(plain) > MAX_DIGITS:
        raise WireFault(RejectReason.BAD_NUMBER, f"{text[:40]!r} is not a plain decimal number")
    return Decimal(text)


def unsigned(text: str) -> Decimal:
    """A number of zero or more."""
    value = signed(text)
    if text.startswith("-"):
        raise WireFault(RejectReason.BAD_NUMBER, f"{text[:40]} is below zero")
    return value


def price_of(text: str) -> Decimal:
    """A number above zero."""
    value = signed(text)
    if value <= 0:
        raise WireFault(RejectReason.ZERO_PRICE, f"price {text[:40]}")
    return value


def optional(text: str) -> Decimal | None:
    """A number of zero or more, None where the venue states none."""
    return unsigned(text) if text else None
