"""The bytes of the permit board, version 1: where they lie and how they are packed.

Owns the layout and its checks. Does not own who may write what: that is `permit_board.py`.
Little-endian; a cell is two slots chosen by a generation word (`board_file.Cell`):

    0    magic "PDPERMIT", version u32, size of the file u32
    64   generation words u64: lease, operator, epoch; then the emergency word: UTC ns since which all is held, or 0
    128  epoch cell: newest fencing epoch u64
    256  lease cell: epoch u64, boot 8 bytes, expiry CLOCK_MONOTONIC i64, count u32, count x (scope 64 bytes, level u8)
    then operator cell: count u32, count x (scope 64, level u8, since UTC ns i64, actor 32, cause 160)
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from adapters.board_file import WORD, BoardDamagedError, Cell, create_file, map_file, words_of
from trading.brakes import GLOBAL, SCOPE_BYTES_MAX, Brake, Level, Release, parse_scope

MODES_MAX: Final = 256
OPERATOR_BRAKES_MAX: Final = 32
CAUSE_BYTES_MAX: Final = 160
ACTOR_BYTES_MAX: Final = 32
OPERATOR_CODE: Final = "operator"
EMERGENCY_CODE: Final = "operator_emergency"

_MAGIC: Final = b"PDPERMIT"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sII")
WORDS_AT: Final = 64
WORDS: Final = slice(WORDS_AT // WORD.size, WORDS_AT // WORD.size + 4)
_OPERATOR_WORD: Final = WORDS_AT // WORD.size + 1
_EMERGENCY: Final = WORDS_AT // WORD.size + 3
_EPOCH_AT: Final = 128
_LEASE: Final = struct.Struct("<Q8sqI")
_MODE: Final = struct.Struct(f"<{SCOPE_BYTES_MAX}sB")
_LEASE_BYTES: Final = _LEASE.size + MODES_MAX * _MODE.size
_LEASE_AT: Final = 256
_COUNT: Final = struct.Struct("<I")
_BRAKE: Final = struct.Struct(f"<{SCOPE_BYTES_MAX}sBq{ACTOR_BYTES_MAX}s{CAUSE_BYTES_MAX}s")
_OPERATOR_BYTES: Final = _COUNT.size + OPERATOR_BRAKES_MAX * _BRAKE.size
_OPERATOR_AT: Final = _LEASE_AT + Cell.size(_LEASE_BYTES)
SIZE: Final = _OPERATOR_AT + Cell.size(_OPERATOR_BYTES)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The permit as written: ``expires_mono_ns`` is CLOCK_MONOTONIC of the boot it was written in."""

    epoch: int
    expires_mono_ns: int
    boot: bytes
    modes: dict[str, Level]


class Board:
    """The three cells and the emergency word of one mapped file. Not for a file that others truncate."""

    __slots__ = ("_epoch", "_lease", "_operator", "_path", "inode", "mapped", "words")

    def __init__(self, path: Path) -> None:
        """Map ``path``; ``FileNotFoundError``, or ``BoardDamagedError`` when short, foreign or of other version."""
        self._path = path
        self.mapped, self.inode = map_file(path, SIZE)
        if not self.genuine():
            raise BoardDamagedError(path, f"not a permit board of version {_VERSION}")
        self.words = words_of(self.mapped)
        self._lease, self._operator, self._epoch = _cells(self.mapped)

    def genuine(self) -> bool:
        """Whether magic, version and size are ours."""
        return bool(_HEADER.unpack_from(self.mapped, 0) == (_MAGIC, _VERSION, SIZE))

    def lease(self) -> Lease:
        """The permit, valid or not."""
        payload = self._whole(self._lease, "the permit is unreadable")
        epoch, boot, expires, count = _LEASE.unpack_from(payload)
        table = payload[_LEASE.size : _LEASE.size + count * _MODE.size]
        modes = {_text(scope): Level(level) for scope, level in _MODE.iter_unpack(table)}
        return Lease(epoch=epoch, expires_mono_ns=expires, boot=boot, modes=modes)

    def set_lease(self, epoch: int, boot: bytes, expires_mono_ns: int, modes: bytes) -> None:
        """Write the permit; ``modes`` is from `encode_modes`."""
        count = len(modes) // _MODE.size
        self._lease.write(_LEASE.pack(epoch, boot, expires_mono_ns, count) + modes)

    def newest_epoch(self) -> int:
        """The newest fencing epoch."""
        return int(WORD.unpack(self._whole(self._epoch, "the newest epoch is unreadable"))[0])

    def set_newest_epoch(self, epoch: int) -> None:
        """Write the newest epoch, durable when this returns."""
        self._epoch.write(WORD.pack(epoch), durable=True)

    def operator_brakes(self) -> list[Brake]:
        """The operators' brakes, the emergency among them."""
        payload = self._whole(self._operator, "the operators' brakes are unreadable")
        brakes = [
            operator_brake(_text(scope), Level(level), _text(cause), _text(actor), since)
            for scope, level, since, actor, cause in _BRAKE.iter_unpack(payload[_COUNT.size :])
        ]
        since_ns = self.words[_EMERGENCY]
        return [*brakes, emergency_brake(since_ns)] if since_ns else brakes

    def operator_words(self) -> tuple[int, int]:
        """What changes with every change of the operators' brakes: their generation and the emergency word."""
        return self.words[_OPERATOR_WORD], self.words[_EMERGENCY]

    def set_operator_brakes(self, brakes: Iterable[Brake]) -> None:
        """Write the operators' brakes but the emergency, durable when this returns."""
        self._operator.write(_encode_brakes([b for b in brakes if b.code == OPERATOR_CODE]), durable=True)

    def set_emergency(self, since_ns: int) -> None:
        """Hold everything since ``since_ns``, or end that with 0: one word, no lock, durable when this returns."""
        self.words[_EMERGENCY] = since_ns
        self.mapped.flush()

    def epoch_of_what_is_left(self) -> int:
        """The newest epoch that any readable part names."""
        epoch, lease = self._epoch.read(), self._lease.read()
        newest = WORD.unpack(epoch)[0] if epoch is not None else 0
        leased = _LEASE.unpack_from(lease)[0] if lease is not None else 0
        return max(int(newest), int(leased))

    def _whole(self, cell: Cell, otherwise: str) -> bytes:
        payload = cell.read()
        if payload is None:
            raise BoardDamagedError(self._path, otherwise)
        return payload


def create_board(path: Path, brakes: list[Brake], epoch: int) -> None:
    """Make a board that grants nothing appear at ``path`` at once."""
    blank = mmap.mmap(-1, SIZE)
    _HEADER.pack_into(blank, 0, _MAGIC, _VERSION, SIZE)
    lease, operator, newest = _cells(blank)
    lease.write(_LEASE.pack(0, bytes(8), 0, 0))
    operator.write(_encode_brakes(brakes))
    newest.write(WORD.pack(epoch))
    create_file(path, bytes(blank[:]))


def encode_modes(modes: Mapping[str, Level]) -> bytes:
    """The table of modes; ``ValueError`` for a scope that is none or more than 256 of them."""
    if len(modes) > MODES_MAX:
        raise ValueError(f"{len(modes)} scopes, the permit board holds {MODES_MAX}")
    for scope in modes:
        parse_scope(scope)
    return b"".join(_MODE.pack(scope.encode(), level) for scope, level in modes.items())


def operator_brake(scope: str, level: Level, cause: str, actor: str, since_ns: int) -> Brake:
    """An operator's brake as it fits the board: a KILL is red, so two people release it."""
    return Brake(
        code=OPERATOR_CODE,
        scope=scope,
        level=level,
        cause=_cut(cause, CAUSE_BYTES_MAX).decode(),
        since_ns=since_ns,
        release=Release.TWO_MAN if level is Level.KILL else Release.OPERATOR,
        set_by=_cut(actor, ACTOR_BYTES_MAX).decode(),
    )


def emergency_brake(since_ns: int) -> Brake:
    """What the emergency word stands for."""
    return Brake(
        code=EMERGENCY_CODE,
        scope=GLOBAL,
        level=Level.HOLD,
        cause="an operator asked while another process kept the lock of the operators' section: everything is held",
        since_ns=since_ns,
        release=Release.OPERATOR,
        set_by="operator",
    )


def _cells(mapped: mmap.mmap) -> tuple[Cell, Cell, Cell]:
    return (
        Cell(mapped, WORDS_AT, _LEASE_AT, _LEASE_BYTES),
        Cell(mapped, WORDS_AT + 8, _OPERATOR_AT, _OPERATOR_BYTES),
        Cell(mapped, WORDS_AT + 16, _EPOCH_AT, WORD.size),
    )


def _encode_brakes(brakes: list[Brake]) -> bytes:
    rows = (
        _BRAKE.pack(
            b.scope.encode(), b.level, b.since_ns, _cut(b.set_by, ACTOR_BYTES_MAX), _cut(b.cause, CAUSE_BYTES_MAX)
        )
        for b in brakes
    )
    return _COUNT.pack(len(brakes)) + b"".join(rows)


def _cut(text: str, size: int) -> bytes:
    return text.encode(errors="replace")[:size].decode(errors="ignore").encode()


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()
