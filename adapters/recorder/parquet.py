"""Rows into Parquet files: spooled as JSON lines, written by DuckDB, proved by reading back, published by rename.

Memory is bounded by the spool's buffer and DuckDB's limit. Equal rows give equal bytes. Owns no table and no decoding.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb

from adapters.duck_copy import quoted
from adapters.recorder.catalog import Output
from adapters.recorder.manifest import sha256_of, sync_folder
from adapters.recorder.tables import COLUMNS, CONSTANTS, Kind
from trading.instruments import Instrument

SPOOL_BYTES_MAX = 16 << 20
MEMORY = "1GB"
ROW_GROUP_ROWS = 122_880


class Key(NamedTuple):
    """Where rows go: partition, kind and instrument."""

    dt: str
    venue: str
    symbol: str
    kind: Kind
    instrument_id: str


class Origin(NamedTuple):
    """Where rows come from; see `adapters.recorder.tables.CONSTANTS`."""

    world: str
    session: str
    source: str


class Spool:
    """Rows that wait for DuckDB, in a folder of temporary files; at most `SPOOL_BYTES_MAX` of them in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._held: dict[Key, list[bytes]] = {}
        self._held_bytes = 0
        self.rows: dict[Key, int] = {}
        self.line_sums: dict[Key, int] = {}

    def add(self, key: Key, line: int, row: bytes) -> None:
        """One row; ``line`` is that of its wire log."""
        self._held.setdefault(key, []).append(row)
        self.rows[key] = self.rows.get(key, 0) + 1
        self.line_sums[key] = self.line_sums.get(key, 0) + line
        self._held_bytes += len(row)
        if self._held_bytes > SPOOL_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        for key, rows in self._held.items():
            with self.path(key).open("ab") as file:
                file.writelines(rows)
        self._held.clear()
        self._held_bytes = 0

    def path(self, key: Key) -> Path:
        """The temporary file of one key."""
        number = list(self.rows).index(key)
        return self._folder / f"{number}.ndjson"

    def remove(self) -> None:
        """Delete the temporary files."""
        shutil.rmtree(self._folder, ignore_errors=True)


class ParquetError(Exception):
    """What was written is not what was meant: our bug, or a disk that lies."""


def open_writer(temporary: Path) -> duckdb.DuckDBPyConnection:
    """A connection that writes the same bytes for the same rows."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": "1",
        "memory_limit": MEMORY,
        "temp_directory": str(temporary),
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET preserve_insertion_order = true")
    return connection


def publish(
    connection: duckdb.DuckDBPyConnection,
    spool: Spool,
    parquet: Path,
    origin: Origin,
    instruments: Mapping[str, Instrument],
) -> tuple[Output, ...]:
    """Everything that was spooled as Parquet files of ``origin``.

    All files are written and proved before the first of them is renamed into its place.

    Raises:
        OSError: the disk refused.
        ParquetError: a file does not hold its rows.
    """
    spool.flush()
    written: list[tuple[Path, Path, Output]] = []
    spares: list[Path] = []
    try:
        for key in sorted(spool.rows, key=str):
            path = parquet / _folder_of(key) / _file_name(origin, key, spool)
            path.parent.mkdir(parents=True, exist_ok=True)
            spare = path.with_name(f".{path.name}.tmp")
            spares.append(spare)
            output = _write(connection, spool, key, (spare, path.relative_to(parquet)), origin, instruments)
            written.append((spare, path, output))
    except (OSError, ParquetError):
        for spare in spares:
            spare.unlink(missing_ok=True)
        raise
    for spare, path, _ in written:
        spare.replace(path)
    for folder in {path.parent for _, path, _ in written}:
        sync_folder(folder)
    return tuple(output for _, _, output in written)


def _folder_of(key: Key) -> Path:
    return Path(f"dt={key.dt}", f"venue={key.venue}", f"symbol={key.symbol}", f"kind={key.kind.value}")


def _write(  # noqa: PLR0917 - one caller
    connection: duckdb.DuckDBPyConnection,
    spool: Spool,
    key: Key,
    paths: tuple[Path, Path],
    origin: Origin,
    instruments: Mapping[str, Instrument],
) -> Output:
    """One file under its temporary name, proved; ``paths`` are that and its own, relative."""
    spare, relative = paths
    one = instruments.get(key.instrument_id)
    constants = {
        **origin._asdict(),
        "instrument_id": key.instrument_id,
        "tick_size": None if one is None else one.tick_size,
        "lot_size": None if one is None else one.lot_size,
    }
    _copy(connection, spool.path(key), spare, key.kind, constants)
    rows, line_sum = _read_back(connection, spare)
    if (rows, line_sum) != (spool.rows[key], spool.line_sums[key]):
        raise ParquetError(f"{relative}: {rows} rows where {spool.rows[key]} were written")
    return Output(
        path=str(relative),
        dt=key.dt,
        venue=key.venue,
        symbol=key.symbol,
        kind=key.kind.value,
        instrument_id=key.instrument_id,
        rows=rows,
        line_sum=line_sum,
        disk_bytes=spare.stat().st_size,
        sha256=sha256_of(spare),
    )


def _file_name(origin: Origin, key: Key, spool: Spool) -> str:
    """``<session>.<file>.parquet``; two instruments of one partition are told apart."""
    stem = origin.source.partition(".dat")[0]
    others = [other for other in spool.rows if other[:4] == key[:4] and other != key]
    suffix = "" if not others else "." + key.instrument_id.replace(":", "_").replace("/", "_")
    return f"{origin.session}.{stem}{suffix}.parquet"


def _copy(
    connection: duckdb.DuckDBPyConnection,
    rows: Path,
    target: Path,
    kind: Kind,
    constants: Mapping[str, str | Decimal | None],
) -> None:
    columns = ", ".join(f"{quoted(name)}: {quoted(sql)}" for name, sql in COLUMNS[kind].items())
    extra = ", ".join(
        f"{'NULL' if value is None else quoted(f'{value:f}' if isinstance(value, Decimal) else value)}"
        f"::{CONSTANTS[name]} AS {name}"
        for name, value in constants.items()
    )
    _execute(
        connection,
        f"COPY (SELECT *, {extra} FROM read_json({quoted(rows)}, format = 'newline_delimited', "  # noqa: S608
        f"columns = {{{columns}}})) TO {quoted(target)} "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP_ROWS})",
    )
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _execute(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Run it; what DuckDB says of the disk is an ``OSError`` like any other."""
    try:
        connection.execute(statement)
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise OSError(str(error)) from error


def _read_back(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[int, int]:
    found = connection.execute(
        f"SELECT count(*), coalesce(sum(line), 0)::HUGEINT FROM read_parquet({quoted(path)}, hive_partitioning = false)"  # noqa: S608
    ).fetchone()
    assert found is not None
    return int(found[0]), int(found[1])
