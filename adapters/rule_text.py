"""The texts in which venues state their rules: decimals and times, or a ``ValueError`` that names the field."""

from __future__ import annotations

from decimal import Decimal

MS = 1_000_000


def amount(text: str, what: str) -> Decimal:
    """A finite decimal of zero or more."""
    found = Decimal(text) if text and len(text) <= 40 else None
    if found is None or not found.is_finite() or found < 0:
        raise ValueError(f"{what} is {text[:40]!r}")
    return found


def above_zero(text: str, what: str) -> Decimal:
    """A finite decimal above zero."""
    found = amount(text, what)
    if not found:
        raise ValueError(f"{what} is zero")
    return found


def time_ns(text: str, what: str) -> int:
    """UTC milliseconds in text as nanoseconds; 0 for an empty one."""
    if text and not (text.isascii() and text.isdigit() and len(text) <= 13):
        raise ValueError(f"{what} is {text[:40]!r}")
    return int(text or 0) * MS
