"""Venues' JSON as checked values: decimals out of texts only, times in their unit, and one error with the field's name.

Owns no venue's format. What cannot be read is `BadReply`, which dialects turn into "nothing is known".
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

MAX_DIGITS = 40
_FIRST_MS, _END_MS = 10**12, 4 * 10**12

Row = Mapping[str, Any]


class BadReply(ValueError):  # noqa: N818 - named for what it is
    """A reply that is not what the venue's document says."""


def parse(body: bytes) -> Any:
    """JSON; `BadReply` for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as trouble:
        raise BadReply(f"not JSON: {trouble}") from None


def row(value: object, name: str = "reply") -> Row:
    """An object."""
    if not isinstance(value, dict):
        raise BadReply(f"{name} is {_shown(value)}, not an object")
    return value


def rows(value: object, name: str = "reply") -> list[Row]:
    """A list of objects."""
    if not isinstance(value, list):
        raise BadReply(f"{name} is {_shown(value)}, not a list")
    return [row(item, name) for item in value]


def text(source: Row, name: str) -> str:
    """A text, or a whole number as one; `BadReply` when it is missing."""
    value = source.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadReply(f"{name} is {_shown(value)}")


def text_or(source: Row, name: str, default: str = "") -> str:
    """The same, or ``default`` where there is none."""
    return default if source.get(name) is None else text(source, name)


def trade_seq(source: Row, name: str) -> int:
    """The venue's number of an execution, which only orders those of one moment: 0 where it is none."""
    value = source.get(name)
    number = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return int(number) if len(number) < MAX_DIGITS // 2 and number.isascii() and number.isdigit() else 0


def truth(source: Row, name: str) -> bool:
    """A bool, or its word."""
    value = source.get(name)
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "false"}:
        return value == "true"
    raise BadReply(f"{name} is {_shown(value)}, neither true nor false")


def amount(source: Row, name: str) -> Decimal:
    """A number of either sign; a binary fraction is refused, and so is what has an exponent."""
    value = source.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if not isinstance(value, str):
        raise BadReply(f"{name} is {_shown(value)}, not a decimal text")
    plain = value.removeprefix("-").replace(".", "", 1)
    if not (plain.isascii() and plain.isdigit()) or len(plain) > MAX_DIGITS:
        raise BadReply(f"{name} is {_shown(value)}, not a plain decimal number")
    return Decimal(value)


def amount_or(source: Row, name: str, default: Decimal) -> Decimal:
    """The same, or ``default`` where the venue says none."""
    value = source.get(name)
    return default if value is None or value == "" else amount(source, name)


def time_ns(source: Row, name: str) -> int:
    """Milliseconds between 2001 and 2096 as UTC ns."""
    value = text(source, name)
    if not (value.isascii() and value.isdigit()) or not _FIRST_MS <= int(value) < _END_MS:
        raise BadReply(f"{name} is {_shown(value)}, not a time in milliseconds")
    return int(value) * 1_000_000


def plain(value: Decimal) -> str:
    """All digits, no exponent, no trailing zeros: how amounts are written to venues."""
    words = f"{value:f}"
    return words.rstrip("0").rstrip(".") if "." in words else words


def _shown(value: object) -> str:
    return repr(value)[:60] if value is not None else "missing"
