"""The discrepancy report: the kept copy of a venue's record against the journal, whole and offline, day by day.

Owns reading the two and putting them together; what differs is `trading.dropcopy.execution`'s. Nothing of what the desk
judged while it ran is believed here: it is told beside what is found.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from adapters.dropcopy.booked import booked_in
from adapters.dropcopy.store import DAY_NS, DayOfReadings, DropCopyStore, Past
from adapters.journal.reader import JournalReader, open_journal
from trading.dropcopy.execution import DifferenceKind, Execution, absent_kind, difference, told
from trading.orders.journal_rows import RowDraft, decode_group

SECOND_NS = 1_000_000_000
UNSETTLED_NS = 60 * SECOND_NS
"""What was executed so shortly before the copy ends may be on its way on either side: it is counted and not judged."""
FUNDING_UNSETTLED_NS = 180 * SECOND_NS
"""The same for funding, which is asked for once a minute."""
LINES_MAX = 1_000
_AROUND_NS = 3_600 * SECOND_NS


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One execution on which record and journal differ. ``accepted_by`` names who has accepted that."""

    kind: str
    exec_id: str
    text: str
    ts_event_ns: int
    accepted_by: str = ""


class PastLine(msgspec.Struct, frozen=True, kw_only=True):
    """A difference that the desk found while it ran, and how long it lasted (None: it still does). UTC ns."""

    kind: str
    exec_id: str
    text: str
    since_ns: int
    lasted_s: float | None
    accepted_by: str


class DayReport(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day, ``YYYY-MM-DD``: executions in the record, those that differ, and how the record was read."""

    day: str
    listed: int
    differing: int
    readings: int
    failed: int
    blind_s: float


class VenueReport(msgspec.Struct, frozen=True, kw_only=True):
    """One venue. ``from_ns`` to ``until_ns`` (venue, UTC) is what could be compared.

    ``unsettled`` were executed too shortly before the end to be judged. ``lines`` has at most `LINES_MAX` differences,
    ``differing`` counts all that nobody has accepted, by kind.
    """

    venue: str
    from_ns: int
    until_ns: int
    listed: int
    booked: int
    matched: int
    unsettled: int
    differing: dict[str, int]
    accepted: int
    lines: tuple[Line, ...]
    past: tuple[PastLine, ...]
    days: tuple[DayReport, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing differs that nobody has accepted."""
        return not sum(self.differing.values())


def report(journal: Path | str, store: Path, venue: str, since_ns: int) -> VenueReport:
    """What differs since a moment (venue, UTC ns).

    ``FileNotFoundError`` where there is no copy, ``OSError`` or ``sqlite3.Error`` where something cannot be read.
    """
    with closing(DropCopyStore(store, readonly=True)) as copy:
        # The copy's end first: what was executed before it the journal has, when it is read afterwards.
        first_ns, until_ns = copy.span()
        if not until_ns:
            raise FileNotFoundError(f"{store}: the record was never read")
        try:
            with closing(open_journal(journal)) as opened:
                return _Comparison(copy, venue, max(first_ns, since_ns), until_ns).run(_rows(opened))
        except FileNotFoundError:
            return _Comparison(copy, venue, max(first_ns, since_ns), until_ns).run(iter(()))


def _rows(journal: JournalReader) -> Iterator[RowDraft]:
    for _, _, group in journal.groups(1):
        yield from decode_group(group)


class _Comparison:
    def __init__(self, copy: DropCopyStore, venue: str, since_ns: int, until_ns: int) -> None:
        self._copy = copy
        self._venue = venue
        self._since_ns, self._until_ns = since_ns, until_ns
        self._seen = bytearray()
        self._past = copy.differences(since_ns)
        self._accepted = {one.difference.exec_id: one.difference.accepted_by for one in self._past}
        self._accepted = {name: by for name, by in self._accepted.items() if by} | copy.accepted()
        self._lines: list[Line] = []
        self._differing: dict[DifferenceKind, int] = dict.fromkeys(DifferenceKind, 0)
        self._by_day: dict[int, list[int]] = {}
        self._accepted_count = self._booked = self._matched = self._unsettled = self._listed = 0

    def run(self, rows: Iterator[RowDraft]) -> VenueReport:
        before_ns = self._copy.before_ns()
        for one, first_day_ns in booked_in(rows, self._venue):
            before_ns = max(before_ns, first_day_ns)
            if one is not None and self._since_ns <= one.ts_event_ns <= self._until_ns:
                self._booked_one(one)
        for number, one in self._copy.executions(self._since_ns, self._until_ns):
            self._listed += 1
            self._day(one.ts_event_ns)[0] += 1
            if not self._is_seen(number) and one.ts_event_ns > before_ns:
                self._found(DifferenceKind.UNBOOKED, one, None)
        return VenueReport(
            venue=self._venue,
            from_ns=self._since_ns,
            until_ns=self._until_ns,
            listed=self._listed,
            booked=self._booked,
            matched=self._matched,
            unsettled=self._unsettled,
            differing={kind.value: count for kind, count in self._differing.items()},
            accepted=self._accepted_count,
            lines=tuple(sorted(self._lines, key=lambda line: line.ts_event_ns)),
            past=tuple(_past_line(one) for one in self._past[:LINES_MAX]),
            days=self._days(),
        )

    def _booked_one(self, one: Execution) -> None:
        self._booked += 1
        found = self._copy.execution(one.exec_id)
        if found is None:
            around = (e for _, e in self._copy.executions(one.ts_event_ns - _AROUND_NS, one.ts_event_ns + _AROUND_NS))
            self._found(absent_kind(one, around), None, one)
            return
        number, listed = found
        self._see(number)
        self._matched += 1
        kind = difference(listed, one)
        if kind is not None:
            self._found(kind, listed, one)

    def _found(self, kind: DifferenceKind, listed: Execution | None, booked: Execution | None) -> None:
        one = listed or booked
        assert one is not None
        unsettled_ns = FUNDING_UNSETTLED_NS if one.is_funding else UNSETTLED_NS
        if (listed is None or booked is None) and one.ts_event_ns > self._until_ns - unsettled_ns:
            self._unsettled += 1
            return
        by = self._accepted.get(one.exec_id, "")
        if by:
            self._accepted_count += 1
        else:
            self._differing[kind] += 1
            self._day(one.ts_event_ns)[1] += 1
        if len(self._lines) < LINES_MAX:
            text = told(kind, listed, booked)
            self._lines.append(
                Line(kind=kind.value, exec_id=one.exec_id, text=text, ts_event_ns=one.ts_event_ns, accepted_by=by)
            )

    def _day(self, ts_ns: int) -> list[int]:
        return self._by_day.setdefault(ts_ns // DAY_NS, [0, 0])

    def _days(self) -> tuple[DayReport, ...]:
        read = {one.day: one for one in self._copy.days(self._since_ns // DAY_NS)}
        out = []
        for day in sorted(read.keys() | self._by_day.keys()):
            listed, differing = self._by_day.get(day, [0, 0])
            how = read.get(day, DayOfReadings(day=day, readings=0, failed=0, blind_ns=0))
            out.append(
                DayReport(
                    day=_date(day),
                    listed=listed,
                    differing=differing,
                    readings=how.readings,
                    failed=how.failed,
                    blind_s=round(how.blind_ns / SECOND_NS, 1),
                )
            )
        return tuple(out)

    def _see(self, number: int) -> None:
        place = number >> 3
        if place >= len(self._seen):
            self._seen.extend(bytes(place + 4_096 - len(self._seen)))
        self._seen[place] |= 1 << (number & 7)

    def _is_seen(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._seen) and bool(self._seen[place] & 1 << (number & 7))


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def _past_line(past: Past) -> PastLine:
    one = past.difference
    lasted = None if not past.ended_ns else round((past.ended_ns - one.since_ns) / SECOND_NS, 1)
    return PastLine(
        kind=one.kind.value,
        exec_id=one.exec_id,
        text=one.text,
        since_ns=one.since_ns,
        lasted_s=lasted,
        accepted_by=one.accepted_by,
    )


TROUBLE = (OSError, sqlite3.Error, msgspec.DecodeError, ValueError)
"""What `report` can raise: something that cannot be read."""
