"""Rows to write and a journal to write them to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body


@pytest.fixture
def row() -> Callable[..., RowDraft]:
    def build(number: int, kind: JournalKind = JournalKind.PLACE, exec_id: str | None = None) -> RowDraft:
        body = encode_body(NoteBody(text=f"row {number}"))
        return RowDraft(number, kind, "BINANCE", f"pd1-{number}", exec_id, f"intent-{number}", 1, body)

    return build
