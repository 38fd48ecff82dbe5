"""Days, weeks and months of UTC. A day begins at 00:00:00, a week on its Monday (ISO 8601), a month on its first day.

A fact belongs to the period in which the venue says that it happened; one that happens on the stroke, to the later.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import Enum

from trading.ledger.portfolio import DAY_NS

BOUNDARIES = "UTC: a day from 00:00:00 to before 24:00:00, a week from Monday (ISO 8601), a month from its first day"
_EPOCH = date(1970, 1, 1)


class Period(Enum):
    """What profit is added up by."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def first_day(day: int, by: Period) -> int:
    """The first day (from 1970-01-01) of the period that a day lies in."""
    match by:
        case Period.DAY:
            return day
        case Period.WEEK:
            return day - (day + 3) % 7  # day 0 was a Thursday
        case Period.MONTH:
            return (date_of(day).replace(day=1) - _EPOCH).days


def next_day(first: int, by: Period) -> int:
    """The first day of the period after the one that begins at ``first``."""
    match by:
        case Period.DAY:
            return first + 1
        case Period.WEEK:
            return first + 7
        case Period.MONTH:
            return first_day(first + 31, by)


def label_of(first: int, by: Period) -> str:
    """Names the period that begins at ``first``: 2026-11-21, 2026-W47, 2026-11."""
    begins = date_of(first)
    match by:
        case Period.DAY:
            return begins.isoformat()
        case Period.WEEK:
            year, week, _ = begins.isocalendar()
            return f"{year}-W{week:02d}"
        case Period.MONTH:
            return begins.isoformat()[:7]


def date_of(day: int) -> date:
    """The date of a day from 1970-01-01."""
    return _EPOCH + timedelta(days=day)


def day_number(text: str) -> int:
    """The day (from 1970-01-01) that YYYY-MM-DD names; ``ValueError`` for anything else."""
    try:
        day = (datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date() - _EPOCH).days
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no day: write YYYY-MM-DD, for example 2026-11-21") from None
    if day < 0:
        raise ValueError(f"{text} is before 1970-01-01")
    return day


def day_of_ns(ts_ns: int) -> int:
    """The UTC day, from 1970-01-01, of a moment."""
    return ts_ns // DAY_NS
