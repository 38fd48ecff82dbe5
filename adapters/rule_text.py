"""The texts in which venues state their rules: decimals and times, or a ``ValueError`` that names the field."""

from __future__ import annotations

from decimal import Decimal

MS = 1_000_000
STEP_FIGURES_MAX = 18
TIME_END_MS = 9 * 10**12
DIGITS_MAX = 24
"""Before the point as after it: a grid of finer steps, or of coarser ones, would calculate with numbers without end."""


def amount(text: str, what: str) -> Decimal:
    """A decimal of zero or more, of at most `DIGITS_MAX` digits before the point and after it."""
    # Decimal also reads underscores, spaces around and the digits of other scripts.
    found = (
        Decimal(text) if text and len(text) <= 40 and text.isascii() and not set("_ \t\n\r\f\v") & set(text) else None
    )
    if found is None or not found.is_finite() or found < 0 or not _is_bounded(found):
        raise ValueError(f"{what} is {text[:40]!r}")
    return found


def _is_bounded(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -DIGITS_MAX and value.adjusted() < DIGITS_MAX


def above_zero(text: str, what: str) -> Decimal:
    """A finite decimal above zero."""
    found = amount(text, what)
    if not found:
        raise ValueError(f"{what} is zero")
    return found


def step(text: str, what: str) -> Decimal:
    """A tick or a lot size: above zero, and no more than 18 figures, so that a grid of it counts in 64 bits."""
    found = above_zero(text, what)
    _, digits, exponent = found.normalize().as_tuple()
    if not isinstance(exponent, int) or len(digits) + max(0, exponent) > STEP_FIGURES_MAX:
        raise ValueError(f"{what} is {text[:40]!r}")
    return found


def time_ns(text: str, what: str) -> int:
    """UTC milliseconds in text as nanoseconds, which fit 64 bits; 0 for an empty one."""
    if text and not (text.isascii() and text.isdigit() and len(text) <= 13 and int(text) < TIME_END_MS):
        raise ValueError(f"{what} is {text[:40]!r}")
    return int(text or 0) * MS
