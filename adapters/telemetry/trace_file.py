"""Traces in files: OTLP/JSON lines, rotated, within a bound."""

from __future__ import annotations

from pathlib import Path

from adapters.telemetry.otlp_json import Resource, encode_line
from trading.telemetry.order_trace import Span


class TraceFile:
    """``path`` takes ``bytes_max``, then becomes ``path.1``; the oldest of ``files_max`` goes. Raises ``OSError``."""

    def __init__(self, path: Path, resource: Resource, *, bytes_max: int, files_max: int) -> None:
        self._path = path
        self._resource = resource
        self._bytes_max = bytes_max
        self._files_max = files_max

    def export(self, traces: list[tuple[str, tuple[Span, ...]]]) -> None:
        """Append one line with all of them."""
        line = encode_line(traces, self._resource) + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        size = self._path.stat().st_size if self._path.exists() else 0
        if size and size + len(line) > self._bytes_max:
            self._rotate()
        with self._path.open("ab") as file:
            file.write(line)

    def close(self) -> None:
        """Nothing is held open."""

    def _rotate(self) -> None:
        for number in range(self._files_max - 1, 0, -1):
            older = self._numbered(number)
            source = self._numbered(number - 1)
            if source.exists():
                source.replace(older)
        if self._files_max == 1:
            self._path.unlink()

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")
