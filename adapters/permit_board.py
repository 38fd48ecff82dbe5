"""The permit board: the few memory-mapped bytes that stand between HOLD and the wire.

Owns who may trade until when (the governor's lease), what operators forbid (their section, written without the
daemon's help) and the fencing epoch. Does not decide: levels and releases are `trading/brakes.py`; the bytes are
`permit_layout.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from adapters.board_file import BoardBusyError, BoardDamagedError, boot_hash, locked, words_of
from adapters.clock import SystemClock
from adapters.permit_layout import (
    EMERGENCY_CODE,
    OPERATOR_BRAKES_MAX,
    SIZE,
    WORDS,
    Board,
    Lease,
    create_board,
    emergency_brake,
    encode_modes,
    operator_brake,
)
from trading.brakes import GLOBAL, Brake, BrakeBook, BrakeChanged, Level, ReleaseRefused, parse_scope

__all__ = [
    "BoardBusyError",
    "BoardDamagedError",
    "EpochFencedError",
    "Lease",
    "OperatorBoard",
    "PermitReader",
    "PermitVerdict",
    "PermitWriter",
]

LEASE_NS_MAX: Final = 10_000_000_000
"""A lease that ends later than this from now was not written by this boot's clock."""

_GOVERNOR_WAIT_S: Final = 0.05
_OPERATOR_WAIT_S: Final = 0.5


class PermitVerdict(Enum):
    """What the board says about an order, before anything is written to a venue."""

    GRANTED = "granted"
    SAFE_ONLY = "safe_only"
    REDUCE_ONLY = "reduce_only"
    REFUSED_HOLD = "refused_hold"
    REFUSED_KILL = "refused_kill"
    REFUSED_EXPIRED = "refused_expired"
    REFUSED_BOOT = "refused_boot"
    REFUSED_EPOCH = "refused_epoch"
    REFUSED_TORN = "refused_torn"
    REFUSED_NO_BOARD = "refused_no_board"

    def admits(self, *, post_only: bool, reduce_only: bool, by_operator: bool = False) -> bool:
        """Whether an order of this kind may leave. HOLD and KILL let an operator's own reduce-only order through."""
        match self:
            case PermitVerdict.GRANTED:
                return True
            case PermitVerdict.SAFE_ONLY:
                return post_only or reduce_only
            case PermitVerdict.REDUCE_ONLY:
                return reduce_only
            case PermitVerdict.REFUSED_HOLD | PermitVerdict.REFUSED_KILL:
                return reduce_only and by_operator
            case (
                PermitVerdict.REFUSED_EXPIRED
                | PermitVerdict.REFUSED_BOOT
                | PermitVerdict.REFUSED_EPOCH
                | PermitVerdict.REFUSED_TORN
                | PermitVerdict.REFUSED_NO_BOARD
            ):
                return False


_BY_LEVEL: Final = (
    PermitVerdict.GRANTED,
    PermitVerdict.SAFE_ONLY,
    PermitVerdict.REDUCE_ONLY,
    PermitVerdict.REFUSED_HOLD,
    PermitVerdict.REFUSED_KILL,
)
_GRANTED: Final = PermitVerdict.GRANTED


class EpochFencedError(Exception):
    """A governor of an older epoch tried to write the permit: it is no longer the leader and must stop."""

    def __init__(self, epoch: int, newest: int) -> None:
        super().__init__(f"epoch {epoch} is fenced: the newest is {newest}")
        self.epoch = epoch
        self.newest = newest

    def __reduce__(self) -> tuple[type[EpochFencedError], tuple[int, int]]:
        """Exceptions cross process boundaries."""
        return EpochFencedError, (self.epoch, self.newest)


class PermitWriter:
    """The governor's hand: the only one that grants, and the only one that repairs a damaged board.

    A damaged board is set aside as ``<name>.damaged`` and replaced by one that is on HOLD until an operator, who
    knows what was held before, resumes. ``epoch_floor`` is the newest epoch known from elsewhere (the journal),
    ``now_wall_ns`` the time of that HOLD for a caller that has a clock of its own.
    """

    __slots__ = ("_board", "_boot", "_encoded", "_epoch", "_lock", "_modes")

    def __init__(self, path: Path, *, epoch_floor: int = 0, now_wall_ns: int | None = None) -> None:
        self._lock = _governor_lock(path)
        self._boot = boot_hash()
        self._epoch: int | None = None
        self._modes: dict[str, Level] = {}
        self._encoded = b""
        with locked(self._lock, _OPERATOR_WAIT_S):
            self._board = _open_or_repair(path, SystemClock().wall_ns() if now_wall_ns is None else now_wall_ns)
            if self._board.newest_epoch() < epoch_floor:
                self._board.set_newest_epoch(epoch_floor)

    def next_epoch(self) -> int:
        """A fencing epoch that nobody had before, durable; every older permit and order is refused from now on."""
        with locked(self._lock, _OPERATOR_WAIT_S):
            epoch = self._board.newest_epoch() + 1
            self._board.set_newest_epoch(epoch)
        return epoch

    def newest_epoch(self) -> int:
        """The newest epoch that this board has seen."""
        return self._board.newest_epoch()

    def renew(self, epoch: int, expires_mono_ns: int, modes: Mapping[str, Level]) -> None:
        """Grant until ``expires_mono_ns``.

        ``EpochFencedError`` when a newer epoch exists, ``BoardBusyError`` when it is worth trying again.
        """
        if modes != self._modes:
            self._encoded = encode_modes(modes)
            self._modes = dict(modes)
        with locked(self._lock, _GOVERNOR_WAIT_S):
            newest = self._board.newest_epoch()
            if epoch < newest:
                raise EpochFencedError(epoch, newest)
            if epoch > newest:
                self._board.set_newest_epoch(epoch)
            self._board.set_lease(epoch, self._boot, expires_mono_ns, self._encoded)
        self._epoch = epoch

    def revoke(self) -> None:
        """End the permit now. A fenced writer revokes nothing: the permit is no longer its own."""
        with locked(self._lock, _OPERATOR_WAIT_S):
            newest = self._board.newest_epoch()
            if self._epoch is None or self._epoch >= newest:
                self._board.set_lease(newest, self._boot, 0, b"")


class PermitReader:
    """The gateway's eye: read synchronously before every write to a venue. Cancels need no permit.

    A board that is missing or damaged is no permit, not an error; ``problem`` then says what is wrong. A board that
    was replaced by the governor is found again at the first refusal.
    """

    __slots__ = ("_board", "_boot", "_epoch", "_expires_ns", "_modes", "_path", "_seen", "_why", "_words", "problem")

    _board: Board | None
    _words: memoryview
    _seen: list[int]
    _modes: dict[str, Level]
    _why: PermitVerdict | None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot = boot_hash()
        self._forget("no permit board was opened yet")
        self._open()

    def check(self, scopes: tuple[str, ...], now_mono_ns: int, epoch: int) -> PermitVerdict:
        """The verdict for an order under ``scopes`` approved in ``epoch``; ``global`` always counts.

        The usual case costs one comparison of 32 bytes and one look-up per scope.
        """
        if self._words.tolist() != self._seen:
            self._refresh()
        # The same question as `_refusal`, asked without a call: most of the time the answer is no.
        if self._why is not None or epoch != self._epoch or not 0 < self._expires_ns - now_mono_ns <= LEASE_NS_MAX:
            refusal = self._refusal(now_mono_ns, epoch)
            if refusal is not None:
                if not self._reopened():
                    return refusal
                refusal = self._refusal(now_mono_ns, epoch)
                if refusal is not None:
                    return refusal
        modes = self._modes
        if not modes:
            return _GRANTED
        worst = modes.get(GLOBAL, 0)
        for scope in scopes:
            level = modes.get(scope, 0)
            if level > worst:  # noqa: PLR1730  # max() costs a call for each scope on the hot path
                worst = level
        return _BY_LEVEL[worst]

    def modes(self) -> dict[str, Level]:
        """The modes that ``check`` applies: the governor's and the operators', the worse of both."""
        self._reopened()
        self._refresh()
        return dict(self._modes)

    def lease(self) -> Lease | None:
        """The permit as it stands, valid or not; ``None`` when there is none to read."""
        self._reopened()
        try:
            return self._board.lease() if self._board is not None else None
        except BoardDamagedError:
            return None

    def newest_epoch(self) -> int | None:
        """The newest epoch seen on this board; ``None`` when there is none to read."""
        self._reopened()
        try:
            return self._board.newest_epoch() if self._board is not None else None
        except BoardDamagedError:
            return None

    def _refusal(self, now_mono_ns: int, epoch: int) -> PermitVerdict | None:
        if self._why is not None:
            return self._why
        if epoch != self._epoch:
            return PermitVerdict.REFUSED_EPOCH if self._epoch else PermitVerdict.REFUSED_EXPIRED
        left_ns = self._expires_ns - now_mono_ns
        if left_ns <= 0:
            return PermitVerdict.REFUSED_EXPIRED
        return PermitVerdict.REFUSED_BOOT if left_ns > LEASE_NS_MAX else None

    def _refresh(self) -> None:
        board = self._board
        if board is None:
            return
        seen = self._words.tolist()
        self._seen = []  # nothing is remembered of a bad read, so that the next check reads again
        if not board.genuine():
            self._why, self.problem = PermitVerdict.REFUSED_TORN, f"{self._path}: overwritten by something else"
            return
        try:
            lease, newest, brakes = board.lease(), board.newest_epoch(), board.operator_brakes()
        except BoardDamagedError as error:
            self._why, self.problem = PermitVerdict.REFUSED_TORN, f"no permit: {error}"
            return
        modes = dict(lease.modes)
        for brake in brakes:
            modes[brake.scope] = max(brake.level, modes.get(brake.scope, Level.RUN))
        self._epoch = lease.epoch if lease.epoch == newest else -1
        self._expires_ns = lease.expires_mono_ns
        self._modes = modes
        self._why = None if lease.epoch == 0 or lease.boot == self._boot else PermitVerdict.REFUSED_BOOT
        self.problem = ""
        self._seen = seen

    def _reopened(self) -> bool:
        try:
            inode = os.stat(self._path).st_ino  # noqa: PTH116  # half the price of Path.stat, on the refusing path
        except OSError:
            inode = -1
        if self._board is not None and inode == self._board.inode:
            return False
        return self._open()

    def _open(self) -> bool:
        try:
            self._board = Board(self._path)
        except (BoardDamagedError, OSError) as error:
            self._forget(f"no permit: {error}")
            return False
        self._words = self._board.words[WORDS]
        self._refresh()
        return True

    def _forget(self, problem: str) -> None:
        self._board = None
        self._words = words_of(bytes(SIZE))[WORDS]
        self._seen = self._words.tolist()
        self._epoch = -1
        self._expires_ns = 0
        self._modes = {}
        self._why = PermitVerdict.REFUSED_NO_BOARD
        self.problem = problem


class OperatorBoard:
    """What operators forbid, with the daemon up, hung or dead. At most 32 brakes; they survive a reboot."""

    __slots__ = ("_board", "_brakes", "_lock", "_path", "_seen")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_name(path.name + ".operator.lock")
        self._board: Board | None = None
        self._seen: tuple[int, int] | None = None
        self._brakes: tuple[Brake, ...] = ()

    def set(self, scope: str, level: Level, cause: str, actor: str, now_wall_ns: int) -> Brake:
        """Put an operator's brake on and return what now stands, durable when this returns.

        Stricter than asked where there was a stricter one on the scope, and a global HOLD when the section is full
        or its lock does not come within half a second: going safer never waits. ``BoardDamagedError`` when nothing
        can be stored: no order passes such a board either. ``ValueError`` for a scope that is none.
        """
        parse_scope(scope)
        asked = operator_brake(scope, level, cause, actor, now_wall_ns)
        board = self._open_or_make()
        try:
            with locked(self._lock, _OPERATOR_WAIT_S):
                brakes = {brake.scope: brake for brake in board.operator_brakes() if brake.code != EMERGENCY_CODE}
                if scope not in brakes and len(brakes) >= OPERATOR_BRAKES_MAX - 1 and scope != GLOBAL:
                    full = f"{len(brakes)} brakes stood already, so everything is held; asked: {scope}: {cause}"
                    asked = operator_brake(GLOBAL, max(level, Level.HOLD), full, actor, now_wall_ns)
                before = brakes.get(asked.scope)
                stands = asked if before is None or asked.level >= before.level else before
                brakes[asked.scope] = stands
                board.set_operator_brakes(brakes.values())
                return stands
        except BoardBusyError:
            board.set_emergency(now_wall_ns)
            return emergency_brake(now_wall_ns)

    def clear(
        self, scope: str, by: str, two_man: tuple[str, str] | None, now_wall_ns: int
    ) -> tuple[BrakeChanged | ReleaseRefused, ...]:
        """Take the operators' brakes on ``scope`` off as far as ``by`` may; one answer for each brake that was there.

        ``two_man`` as in `BrakeBook.clear`. ``FileNotFoundError`` without a board, ``BoardBusyError`` when the lock
        does not come, ``BoardDamagedError``.
        """
        board = Board(self._path)
        with locked(self._lock, _OPERATOR_WAIT_S):
            book = BrakeBook()
            for brake in board.operator_brakes():
                book.set(brake)
            found = [brake for brake in book.brakes() if brake.scope == scope]
            answers = tuple(book.clear(brake.code, scope, by, two_man, now_wall_ns) for brake in found)
            board.set_operator_brakes(book.brakes())
            left = {brake.code for brake in book.brakes()}
            if EMERGENCY_CODE not in left and any(brake.code == EMERGENCY_CODE for brake in found):
                board.set_emergency(0)
        return answers

    def read(self) -> tuple[Brake, ...]:
        """The operators' brakes; none when there is no board yet, ``BoardDamagedError`` when they cannot be read.

        The usual case, nothing changed, costs a look at the file and at two words.
        """
        try:
            inode = os.stat(self._path).st_ino  # noqa: PTH116  # half the price of Path.stat
            board = self._board
            if board is None or board.inode != inode or not board.genuine():
                self._board, self._seen = None, None
                board = self._board = Board(self._path)
        except FileNotFoundError:
            self._board, self._seen = None, None
            return ()
        seen = board.operator_words()
        if seen != self._seen:
            self._seen = None  # nothing is remembered of a bad read
            self._brakes = tuple(board.operator_brakes())
            self._seen = seen
        return self._brakes

    def _open_or_make(self) -> Board:
        try:
            return Board(self._path)
        except FileNotFoundError:
            with locked(_governor_lock(self._path), _OPERATOR_WAIT_S):
                if not self._path.exists():
                    create_board(self._path, [], 0)
            return Board(self._path)


def _governor_lock(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _open_or_repair(path: Path, now_wall_ns: int) -> Board:
    epoch = 0
    try:
        board = Board(path)
        epoch = board.epoch_of_what_is_left()
        board.newest_epoch()
        board.operator_brakes()
    except FileNotFoundError:
        create_board(path, [], 0)
    except BoardDamagedError as damage:
        path.replace(path.with_name(path.name + ".damaged"))
        cause = f"the permit board was damaged ({damage.why}) and made anew: see what was held before"
        create_board(path, [operator_brake(GLOBAL, Level.HOLD, cause, "governor", now_wall_ns)], epoch)
    else:
        return board
    return Board(path)
