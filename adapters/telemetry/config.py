"""The section ``telemetry`` of the configuration: where traces of orders go."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from adapters.telemetry.exporter import TraceExport
from adapters.trades_log import TradesLogSpec


def _collector(address: str) -> str:
    if not address:
        return address
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("write the collector's base address, such as http://127.0.0.1:4318; /v1/traces is added")
    if parts.username:
        raise ValueError("credentials do not stand in the configuration: put them into OTEL_EXPORTER_OTLP_HEADERS")
    return address


def _float(value: object) -> object:
    return float(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) else value


class TracesConfig(BaseModel):
    """Export of orders' traces, off while both destinations are empty.

    ``otlp``: the base address of a collector (OTLP over HTTP). ``file``: OTLP/JSON lines, relative to the data
    directory; it rotates at ``file_mb_max`` and ``files_max`` of them are kept. ``share`` of all traces are exported,
    chosen by their ids, and beside them those of orders that were refused or in doubt.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    otlp: Annotated[str, Field(max_length=500), AfterValidator(_collector)] = ""
    file: Annotated[str, Field(max_length=500)] = ""
    file_mb_max: Annotated[int, Field(ge=1, le=1_024)] = 16
    files_max: Annotated[int, Field(ge=1, le=64)] = 4
    share: Annotated[float, BeforeValidator(_float), Field(ge=0, le=1, allow_inf_nan=False)] = 1.0

    def export(self, data: Path) -> TraceExport:
        """What the exporter needs; ``data`` is the data directory."""
        return TraceExport(
            otlp=self.otlp,
            file=str(data / self.file) if self.file else "",
            file_bytes_max=self.file_mb_max << 20,
            files_max=self.files_max,
            share=self.share,
            cursor=str(data / "traces.cursor"),
        )


class TradesConfig(BaseModel):
    """Executions and refusals as JSON lines in ``file``, in ``data_dir`` unless absolute; empty: none.

    At ``file_mb_max`` it rotates; ``files_max`` are kept.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    file: Annotated[str, Field(max_length=4096)] = "logs/trades.jsonl"
    file_mb_max: Annotated[int, Field(ge=1, le=4096)] = 64
    files_max: Annotated[int, Field(ge=1, le=100)] = 4

    def log(self, data: Path) -> TradesLogSpec | None:
        """What the operators' cell is given."""
        if not self.file:
            return None
        return TradesLogSpec(path=data / self.file, bytes_max=self.file_mb_max * 1_000_000, files_max=self.files_max)


class TelemetryConfig(BaseModel):
    """What the desk tells of itself beside its metrics."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    traces: TracesConfig = TracesConfig()
    trades: TradesConfig = TradesConfig()
