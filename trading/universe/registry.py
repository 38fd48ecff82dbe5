"""In what condition each venue and market is: windows, quarantine, health; and which brake each condition means.

Owns the conditions and when they begin and end. Does not own brakes themselves (`trading.brakes`) nor the measuring of
health (`trading.universe.health`).
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

import msgspec

from trading.brakes import AUTO, Brake, Level, Release, ScopeKind, parse_scope
from trading.market.events import VenueNotice
from trading.universe.health import Verdict

WINDOWS_MAX: Final = 256


class Condition(Enum):
    """What a venue, or one of its markets, is fit for."""

    NORMAL = "normal"
    DEGRADED = "degraded"
    POST_ONLY = "post_only"
    QUARANTINED = "quarantined"
    CANCEL_ONLY = "cancel_only"
    MAINTENANCE = "maintenance"


class ConditionMeaning(NamedTuple):
    """Level of the brake, who releases it, whether a router may send new orders there."""

    level: Level
    release: Release
    routable: bool


MEANINGS: Final[dict[Condition, ConditionMeaning]] = {
    Condition.NORMAL: ConditionMeaning(Level.RUN, Release.AUTO, True),
    Condition.DEGRADED: ConditionMeaning(Level.SAFE, Release.AUTO, True),
    Condition.POST_ONLY: ConditionMeaning(Level.SAFE, Release.AUTO, True),  # SAFE is maker only, which is what is left
    Condition.QUARANTINED: ConditionMeaning(
        Level.PAUSE, Release.OPERATOR, False
    ),  # out of new risk, not trapped in old
    Condition.CANCEL_ONLY: ConditionMeaning(Level.HOLD, Release.AUTO, False),
    Condition.MAINTENANCE: ConditionMeaning(Level.HOLD, Release.AUTO, False),
}
_SEVERITY: Final = {condition: rank for rank, condition in enumerate(MEANINGS)}


_VERDICTS: Final = {
    Verdict.HEALTHY: Condition.NORMAL,
    Verdict.DEGRADED: Condition.DEGRADED,
    Verdict.QUARANTINE: Condition.QUARANTINED,
}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of a scope between two times (UTC ns); ``end_ns`` 0 lasts until it is ended.

    ``window_id`` names it to whoever ends it: the venue's notice, an operator's command, a watch.
    """

    window_id: str
    scope: str
    condition: Condition
    begin_ns: int
    end_ns: int
    cause: str
    set_by: str = AUTO

    def __post_init__(self) -> None:
        """Refuse what could restrain nothing or nobody."""
        kind, _ = parse_scope(self.scope)
        if kind not in (ScopeKind.VENUE, ScopeKind.SYMBOL):
            raise ValueError(f"{self.scope} is neither a venue nor a symbol")
        if self.condition is Condition.NORMAL:
            raise ValueError(f"window {self.window_id}: NORMAL is the absence of windows")
        if self.end_ns and self.end_ns <= self.begin_ns:
            raise ValueError(f"window {self.window_id} ends before it begins")

    def is_open(self, now_ns: int) -> bool:
        """Whether it holds at ``now_ns``."""
        return self.begin_ns <= now_ns and (not self.end_ns or now_ns < self.end_ns)


class ConditionChanged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The condition of a scope is another; ``cause`` is of the window that decides it, empty for NORMAL."""

    scope: str
    before: Condition
    after: Condition
    cause: str
    ts_ns: int


class Registry:
    """All windows of the desk, at most 256. Times are UTC nanoseconds; nothing happens but in `tick`."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}
        self._conditions: dict[str, Condition] = {}

    def put(self, window: Window) -> bool:
        """Add or replace a window; whether there was room for it.

        Full, the one that begins last gives way, if it is not this one: what restrains now outlives what may come.
        """
        if window.window_id not in self._windows and len(self._windows) >= WINDOWS_MAX:
            last = max(self._windows.values(), key=lambda one: one.begin_ns)
            if last.begin_ns <= window.begin_ns:
                return False
            del self._windows[last.window_id]
        self._windows[window.window_id] = window
        return True

    def end(self, window_id: str) -> Window | None:
        """Take a window away; None when there was none of that name."""
        return self._windows.pop(window_id, None)

    def follow_health(self, venue: str, verdict: Verdict, score: float, now_ns: int) -> None:
        """Keep the window that a venue's verdict means: DEGRADED, QUARANTINED until it mends, or none."""
        window_id = f"health:{venue}"
        condition = _VERDICTS[verdict]
        known = self._windows.get(window_id)
        if condition is Condition.NORMAL:
            self._windows.pop(window_id, None)
        elif known is None or known.condition is not condition:
            self.put(
                Window(
                    window_id=window_id,
                    scope=f"venue:{venue}",
                    condition=condition,
                    begin_ns=now_ns,
                    end_ns=0,
                    cause=f"health is {score:.0f} of 100",
                )
            )

    def follow_notice(self, notice: VenueNotice) -> bool:
        """A maintenance window that the venue announces; False when it states no time or there is no room.

        The same code again moves the window; without an end it lasts until it is ended.
        """
        if notice.begin_ns is None or (notice.end_ns is not None and notice.end_ns <= notice.begin_ns):
            return False
        window = Window(
            window_id=f"notice:{notice.venue}:{notice.code}"[:120],
            scope=f"venue:{notice.venue}",
            condition=Condition.MAINTENANCE,
            begin_ns=notice.begin_ns,
            end_ns=notice.end_ns or 0,
            cause=notice.text[:200] or notice.code[:200] or "maintenance",
        )
        return self.put(window)

    def tick(self, now_ns: int) -> list[ConditionChanged]:
        """Forget windows that are over; the conditions that changed since the last tick."""
        over = [window.window_id for window in self._windows.values() if 0 < window.end_ns <= now_ns]
        for window_id in over:
            del self._windows[window_id]
        worst = self._worst(now_ns)
        changes = []
        for scope in sorted(worst.keys() | self._conditions.keys()):
            window = worst.get(scope)
            before = self._conditions.get(scope, Condition.NORMAL)
            after = window.condition if window is not None else Condition.NORMAL
            if before is not after:
                cause = window.cause if window is not None else ""
                changes.append(ConditionChanged(scope=scope, before=before, after=after, cause=cause, ts_ns=now_ns))
        self._conditions = {scope: window.condition for scope, window in worst.items()}
        return changes

    def condition(self, scope: str, now_ns: int) -> Condition:
        """The worst condition of ``scope`` itself at ``now_ns``."""
        return max(
            (w.condition for w in self._windows.values() if w.scope == scope and w.is_open(now_ns)),
            key=_SEVERITY.__getitem__,
            default=Condition.NORMAL,
        )

    def is_routable(self, venue: str, instrument_id: str, now_ns: int) -> bool:
        """Whether a router may send new orders to this market of this venue."""
        scopes = (f"venue:{venue}", f"symbol:{instrument_id}")
        return all(MEANINGS[self.condition(scope, now_ns)].routable for scope in scopes)

    def quarantined(self, now_ns: int) -> tuple[str, ...]:
        """Scopes in quarantine, sorted, also where a worse window hides it."""
        return tuple(
            sorted(
                {w.scope for w in self._windows.values() if w.condition is Condition.QUARANTINED and w.is_open(now_ns)}
            )
        )

    def windows(self) -> tuple[Window, ...]:
        """All windows that are not over, the earliest first."""
        return tuple(sorted(self._windows.values(), key=lambda window: (window.begin_ns, window.window_id)))

    def ahead(self, now_ns: int, ahead_ns: int) -> tuple[Window, ...]:
        """Windows that begin within ``ahead_ns``, for early warning."""
        return tuple(window for window in self.windows() if now_ns < window.begin_ns <= now_ns + ahead_ns)

    def brakes(self, now_ns: int) -> tuple[Brake, ...]:
        """One brake for each open condition of each scope, worst first."""
        found: dict[tuple[str, str], Brake] = {}
        for window in self.windows():
            meaning = MEANINGS[window.condition]
            key = (window.condition.name, window.scope)
            if window.is_open(now_ns) and key not in found:
                found[key] = Brake(
                    code=window.condition.name,
                    scope=window.scope,
                    level=meaning.level,
                    cause=window.cause,
                    since_ns=window.begin_ns,
                    release=meaning.release if window.set_by != AUTO else Release.AUTO,
                    set_by=window.set_by,
                )
        return tuple(sorted(found.values(), key=lambda brake: (-brake.level, brake.scope)))

    def dump(self) -> bytes:
        """The windows as JSON, the same bytes for the same windows."""
        return msgspec.json.encode(self.windows())

    @classmethod
    def load(cls, data: bytes) -> Registry:
        """A registry from the bytes of `dump`; ``ValueError`` when they are damaged."""
        registry = cls()
        try:
            windows = msgspec.json.decode(data, type=list[Window])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"the stored windows are unreadable: {error}") from error
        for window in windows:
            registry.put(window)
        return registry

    def _worst(self, now_ns: int) -> dict[str, Window]:
        worst: dict[str, Window] = {}
        for window in self.windows():
            if window.is_open(now_ns):
                other = worst.get(window.scope)
                if other is None or _SEVERITY[window.condition] > _SEVERITY[other.condition]:
                    worst[window.scope] = window
        return worst
