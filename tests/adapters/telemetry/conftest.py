"""Finished traces of a desk that traded."""

from __future__ import annotations

from contextlib import closing

import pytest

from adapters.journal.reader import open_journal
from adapters.telemetry.follow import all_rows
from trading.telemetry.book import TraceBook


@pytest.fixture
def traces(traded_journal):
    book = TraceBook()
    with closing(open_journal(traded_journal)) as journal:
        for traced in all_rows(journal):
            book.take(traced)
    return book.due(1 << 62)
