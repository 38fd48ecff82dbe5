"""Lines of JSON made into a file of another form by DuckDB. Owns its SQL; what the columns are is the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

PARQUET = "FORMAT parquet, COMPRESSION zstd"


def copy_lines(lines: Path, to: Path, columns: Mapping[str, str], named: str, options: str = PARQUET) -> None:
    """Write ``lines`` to ``to``: ``columns`` are read as these SQL types, ``named`` is what is selected of them.

    ``OSError`` for what the disk refuses.
    """
    typed = ", ".join(f"{name}: '{kind}'" for name, kind in columns.items())
    with duckdb.connect(":memory:", config={"threads": 1}) as db:
        try:
            db.execute(
                f"COPY (SELECT {named} FROM read_json({quoted(lines.absolute())}, format='newline_delimited', "  # noqa: S608 - our paths
                f"columns={{{typed}}})) TO {quoted(to.absolute())} ({options})"
            )
        except duckdb.IOException as error:
            raise OSError(str(error)) from error


def quoted(text: str | Path) -> str:
    """An SQL string."""
    return "'" + str(text).replace("'", "''") + "'"
