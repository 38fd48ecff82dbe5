"""What a book costs in memory at the end of a recording: bytes that are allocated for it, native and in Python.

The codec is gone when they are counted, so that numbers which a Python book shares with its codec count as the book's.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator

from trading.market.book import NativeBook, PyBook
from trading.market.events import DepthSnapshot, DepthUpdate

Events = Callable[[], Iterator[DepthSnapshot | DepthUpdate]]
"""Decodes a recording anew; keeps nothing of it afterwards."""


def measure(events: Events) -> dict[str, float | None]:
    """Books, levels a book, and bytes a book of either kind; ``native_bytes`` is None where there is no native code."""
    books, python = _bytes_of(PyBook, events)
    native = _bytes_of(NativeBook, events)[1] if NativeBook is not None else None
    count = len(books)
    return {
        "books": count,
        "levels_per_book": round(sum(sum(book.levels()) for book in books) / count),
        "native_bytes": None if native is None else round(native / count),
        "python_bytes": round(python / count),
    }


def _bytes_of(kind: type[PyBook], events: Events) -> tuple[list[PyBook], int]:
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        books = _books(kind, events)
        gc.collect()
        return books, tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def _books(kind: type[PyBook], events: Events) -> list[PyBook]:
    books: dict[str, PyBook] = {}
    for event in events():
        book = books.get(event.instrument_id)
        if book is None:
            book = books[event.instrument_id] = kind(event.instrument_id)
        if isinstance(event, DepthSnapshot):
            book.apply_snapshot(event)
        else:
            book.apply(event)
        book.to_top(5)  # What it told last is kept too.
    return list(books.values())
