"""What the core knows of each venue's account: events applied, events missing, how the comparison stands."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

INBOX_MAX = 100_000
MOVES_MAX = 512


class Inbox(msgspec.Struct, kw_only=True):
    """Which of a venue's events were applied.

    Everything up to ``watermark`` was. ``seen`` maps exec_id to exec_seq for the newest INBOX_MAX; older ones are known
    applied by their ``exec_seq`` not being above ``floor``. ``ahead`` holds sequence numbers beyond a gap.

    Of a venue that does not number its events ``seen`` holds the negative time of each, ``floor_ns`` is the venue's
    time up to which all are applied or were before our first day there, ``newest_ns`` that of the newest.
    """

    watermark: int = 0
    floor: int = 0
    newest: int = 0
    hinted: int = 0
    seen: dict[str, int] = {}
    ahead: set[int] = set()
    gap_since_ns: int | None = None
    duplicates: int = 0
    floor_ns: int = 0
    newest_ns: int = 0

    def first_time(self, exec_id: str, exec_seq: int, now_ns: int, *, counts: bool, event_ns: int = 0) -> bool:
        """Take an event in; False when it was applied before. Events without an id are always new.

        ``counts`` says that ``exec_seq`` is the event's own (executions and fundings); other reports carry that of the
        newest execution before them, which only hints that it should have come. ``event_ns`` is the venue's time of it.
        """
        if exec_id:
            old = counts and (0 < exec_seq <= self.floor or (exec_seq == 0 and 0 < event_ns <= self.floor_ns))
            if old or exec_id in self.seen:
                self.duplicates += 1
                return False
            self.seen[exec_id] = (exec_seq or -event_ns) if counts else 0
            if len(self.seen) > INBOX_MAX:
                self._forget_oldest()
        if counts and event_ns > self.newest_ns:
            self.newest_ns = event_ns
        if exec_seq > self.watermark:
            self._note(exec_seq, now_ns, counts=counts)
        return True

    def before_us(self, exec_ids: Iterable[str], floor_ns: int) -> None:
        """What a venue without numbers did before our first day there: never to be applied."""
        self.floor_ns = max(self.floor_ns, floor_ns)
        self.newest_ns = max(self.newest_ns, floor_ns)
        for exec_id in exec_ids:
            self.seen[exec_id] = -floor_ns

    def _forget_oldest(self) -> None:
        place = self.seen.pop(next(iter(self.seen)))
        if place < 0:
            self.floor_ns = max(self.floor_ns, -place)
        else:
            self.floor = max(self.floor, min(place, self.watermark))

    def covered(self, exec_seq: int) -> None:
        """A snapshot delivered everything up to ``exec_seq``."""
        self.watermark = max(self.watermark, exec_seq)
        self.newest = max(self.newest, exec_seq)
        self.hinted = max(self.hinted, self.watermark)
        self.ahead = {seq for seq in self.ahead if seq > self.watermark}
        self._close_gap()

    def _note(self, exec_seq: int, now_ns: int, *, counts: bool) -> None:
        if counts:
            self.newest = max(self.newest, exec_seq)
            self.ahead.add(exec_seq)
            if len(self.ahead) > INBOX_MAX:
                # A gap this old is not going to close by itself; a snapshot since the watermark closes it.
                self.ahead.discard(max(self.ahead))
        else:
            self.hinted = max(self.hinted, exec_seq)
        self._close_gap()
        if self.gap_since_ns is None and (self.ahead or self.hinted > self.watermark):
            self.gap_since_ns = now_ns

    def _close_gap(self) -> None:
        while self.watermark + 1 in self.ahead:
            self.watermark += 1
            self.ahead.discard(self.watermark)
        if not self.ahead and self.hinted <= self.watermark:
            self.gap_since_ns = None


class VenueAccount(msgspec.Struct, kw_only=True):
    """One venue's account: its inbox, our positions there, and how the comparison stands.

    ``net`` is what the desk opened with plus the sum of executions, by instrument. ``reconciling`` holds from
    `begin_reconcile` until a comparison is clean; ``round`` counts the comparisons tried; ``incarnation`` is the
    venue's life that is compared. What was executed before ``listed_ns`` (ours, UTC) was listed by the venue and
    applied, where it does not number its events. ``moves`` are the newest changes of ``net``: when, of what, and what
    it was before. ``held`` are the instruments that a bad verdict named, none where it was of the whole venue;
    ``differed`` says that the last comparison found something.
    """

    inbox: Inbox = msgspec.field(default_factory=Inbox)
    net: dict[str, Decimal] = {}
    has_baseline: bool = False
    incarnation: int = 0
    reconciling: bool = False
    round: int = 0
    refused: bool = False
    asked_ns: int = 0
    wanted_since_ns: int | None = None
    next_ask_ns: int | None = None
    next_audit_ns: int | None = None
    audit_misses: int = 0
    listed_ns: int = 0
    moves: list[tuple[int, str, Decimal]] = []
    held: list[str] = []
    differed: bool = False

    def move(self, instrument_id: str, change: Decimal, now_ns: int) -> None:
        """Our position changed."""
        before = self.net.get(instrument_id, Decimal(0))
        self.net[instrument_id] = before + change
        self.moves.append((now_ns, instrument_id, before))
        if len(self.moves) > MOVES_MAX:
            del self.moves[: MOVES_MAX // 2]

    def held_since(self, instrument_id: str, since_ns: int) -> set[Decimal]:
        """Every position that we had since a moment, the one of now among them."""
        held = {before for at_ns, name, before in self.moves if name == instrument_id and at_ns >= since_ns}
        held.add(self.net.get(instrument_id, Decimal(0)))
        return held
