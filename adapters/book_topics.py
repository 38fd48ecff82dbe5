"""Whose book a message would have been about that nobody could read.

By its first bytes only: whatever is wrong with the rest, something of that book was lost with it.
"""

from __future__ import annotations

from collections.abc import Iterable

_HEAD_BYTES = 240
_BOOK_MARKS = (b"@depth", b"depthUpdate", b'"books', b"orderbook.")


def book_symbol_of(payload: bytes, symbols: Iterable[str]) -> str | None:
    """Which of ``symbols`` a message of a book's topic names; None for any other message."""
    head = payload[:_HEAD_BYTES]
    if not any(mark in head for mark in _BOOK_MARKS):
        return None
    text = head.upper()
    found = [symbol for symbol in symbols if symbol.upper().encode() in text]
    return max(found, key=len, default=None)
