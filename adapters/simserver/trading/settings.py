"""What the owner of an account sets and the venue keeps: leverage by instrument, the position mode. A small file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec


class _Kept(msgspec.Struct):
    leverage: dict[str, Decimal] = {}
    hedge: bool = False


class Settings:
    """Kept in ``path``, or only in memory where it is None. A file that cannot be read is ``msgspec.MsgspecError``."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept = _Kept()
        if path is not None and path.exists():
            self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)

    @property
    def leverage(self) -> dict[str, Decimal]:
        """By instrument_id, where it was set."""
        return self._kept.leverage

    @property
    def hedge(self) -> bool:
        """Whether long and short positions of one instrument are held apart; such orders are not simulated."""
        return self._kept.hedge

    def set_leverage(self, instrument_id: str, leverage: Decimal) -> None:
        """From now on."""
        self._kept.leverage[instrument_id] = leverage
        self._save()

    def set_hedge(self, *, hedge: bool) -> None:
        """From now on."""
        self._kept.hedge = hedge
        self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(self._kept))
        temporary.replace(self._path)
