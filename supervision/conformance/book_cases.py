"""Faults of the books' own messages: what the venues' numbers, checksums and prices have to show (FAULTS D)."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.simserver import faults as f
from supervision.conformance import guards as g
from supervision.conformance.case import Case
from supervision.conformance.markets import BOOK, EVERYWHERE, MARKS, TRADES
from supervision.conformance.trial import UNPROVED, Strike


def _gap(messages: int) -> Strike:
    return Strike(faults=lambda v: [f.Gap(messages=messages, topics=BOOK[v])], acts="gap")


def _resnapshot(name: str, knob: type[f.LateSnapshot] | type[f.UnbridgedSnapshot] | type[f.MergedSnapshot]) -> Strike:
    """A gap whose mend is answered with bad snapshots twice."""

    def faults(venue: str) -> Sequence[f.Fault]:
        return [knob(snapshots=2), f.Gap(topics=BOOK[venue])]

    return Strike(faults=faults, acts="gap", must_act=(name,), resync_ms=None)


CASES = (
    Case(
        id="MD-D-01",
        title="one message of the book is lost",
        faults=("F51", "F52"),
        spec=("P-MD-2",),
        expects="the next message shows the gap: SUSPECT, resynced by itself",
        strike=_gap(1),
        venues=EVERYWHERE,
        trials=4,
        mutants=(g.SEQUENCE, g.RESYNC),
    ),
    Case(
        id="MD-D-02",
        title="five messages in a row are lost",
        faults=("F51", "F52"),
        spec=("P-MD-2",),
        expects="the first message after the hole shows it; resynced by itself",
        strike=_gap(5),
        trials=2,
        mutants=(g.SEQUENCE,),
    ),
    Case(
        id="MD-D-03",
        title="messages of the book come twice",
        faults=("F52",),
        spec=("P-MD-2", "P-MD-6"),
        expects="the second copy is dropped; the book stays proved and trading goes on",
        strike=Strike(
            faults=lambda v: [f.Duplicate(messages=10, topics=BOOK[v])], acts="duplicate", signs=(), hold_ms=1_500
        ),
        venues=EVERYWHERE,
    ),
    Case(
        id="MD-D-04",
        title="two messages of the book change places",
        faults=("F52",),
        spec=("P-MD-2", "P-MD-6"),
        expects="the one that comes too early shows a gap; the one that comes too late is not applied; resynced",
        strike=Strike(faults=lambda v: [f.Reorder(topics=BOOK[v])], acts="reorder"),
        trials=2,
        mutants=(g.SEQUENCE,),
    ),
    Case(
        id="MD-D-05",
        title="one digit of a quantity is another digit, and the venue states no checksum",
        faults=("F51",),
        spec=("P-MD-2", "P-MD-8"),
        expects="no rule of the venue shows it; the desk's comparison with a fresh snapshot does, within 30 s",
        strike=Strike(
            faults=lambda v: [f.Corrupt(number="qty", messages=20, topics=BOOK[v])],
            acts="corrupt",
            within_ms=30_000,
            lies_ms=30_000,
            resync_ms=None,
        ),
    ),
    Case(
        id="MD-D-06",
        title="one digit of a quantity is another digit under a real checksum",
        faults=("F51",),
        spec=("P-MD-2",),
        expects="within the best 25 levels the checksum of the same message fails: SUSPECT, resynced",
        strike=Strike(
            faults=lambda v: [f.RealChecksum(), f.Corrupt(number="qty", messages=20, topics=BOOK[v])],
            acts="corrupt",
            within_ms=3_000,
            hold_ms=1_000,
            resync_ms=None,
        ),
        venues=("okx",),
        trials=3,
        mutants=(g.CHECKSUM,),
    ),
    Case(
        id="MD-D-07",
        title="a wrong checksum",
        faults=("F51",),
        spec=("P-MD-2",),
        expects="SUSPECT within the same message, resynced",
        strike=Strike(
            faults=lambda v: [f.RealChecksum(), f.WrongChecksum(topics=BOOK[v])],
            acts="wrong_checksum",
            hold_ms=1_000,
        ),
        venues=("okx", "okx-spot"),
        trials=3,
        mutants=(g.CHECKSUM,),
    ),
    Case(
        id="MD-D-08",
        title="snapshots of two seconds ago answer a resync, twice",
        faults=("F51", "F56"),
        spec=("P-MD-2",),
        expects="a snapshot that no diff follows proves nothing: asked for again until one is bridged",
        strike=_resnapshot("late_snapshot", f.LateSnapshot),
        venues=EVERYWHERE,
        mutants=(g.STITCHING,),
    ),
    Case(
        id="MD-D-09",
        title="snapshots that no diff can ever follow answer a resync, twice",
        faults=("F56",),
        spec=("P-MD-2",),
        expects="never SYNCED on them; asked for again, each time later",
        strike=_resnapshot("unbridged_snapshot", f.UnbridgedSnapshot),
        mutants=(g.STITCHING,),
    ),
    Case(
        id="MD-D-10",
        title="snapshots of today's levels under an old number answer a resync, twice",
        faults=("F51",),
        spec=("P-MD-2",),
        expects="plausible and not proved: refused",
        strike=_resnapshot("merged_snapshot", f.MergedSnapshot),
    ),
    Case(
        id="MD-D-11",
        title="one side of the book stands still while its numbers go on",
        faults=("F51",),
        spec=("P-MD-8",),
        expects="a crossed book, trades through the side or the venue's own best price show it within 5 s",
        strike=Strike(
            faults=lambda v: [f.FrozenSide(side="bid", topics=BOOK[v])],
            acts="frozen_side",
            signs=(UNPROVED, "BRAKE:FROZEN_SIDE", "BRAKE:BOOK_CROSSED"),
            within_ms=5_000,
            lies_ms=5_000,
            hold_ms=1_000,
            resync_ms=None,
        ),
    ),
    Case(
        id="MD-D-12",
        title="a level of the book is at price zero",
        faults=("F57",),
        spec=("P-MD-8",),
        expects="the message is refused and counted, and its book is SUSPECT at once; resynced",
        strike=Strike(faults=lambda v: [f.BadPrice(price="zero", topics=BOOK[v])], acts="bad_price"),
        venues=EVERYWHERE,
        trials=2,
        mutants=(g.REFUSALS,),
    ),
    Case(
        id="MD-D-13",
        title="a level of the book is at no number",
        faults=("F57",),
        spec=("P-MD-8",),
        expects="the message is refused and counted, and its book is SUSPECT at once; resynced",
        strike=Strike(faults=lambda v: [f.BadPrice(price="nan", topics=BOOK[v])], acts="bad_price"),
        trials=2,
        mutants=(g.REFUSALS,),
    ),
    Case(
        id="MD-D-14",
        title="trades at price zero",
        faults=("F57",),
        spec=("P-MD-8",),
        expects="no trade at zero is believed: refused or gated; the proved book goes on",
        strike=Strike(
            faults=lambda v: [f.BadPrice(price="zero", messages=5, topics=TRADES[v])],
            acts="bad_price",
            signs=("WIRE_REJECTED", "BRAKE:ZERO_PRICE"),
            trades_on=True,
            resync_ms=None,
        ),
    ),
    Case(
        id="MD-D-15",
        title="mark prices at zero",
        faults=("F57",),
        spec=("P-MD-8",),
        expects="no mark at zero is believed: refused or gated; the proved book goes on",
        strike=Strike(
            faults=lambda v: [f.BadPrice(price="zero", messages=3, topics=MARKS[v])],
            acts="bad_price",
            signs=("WIRE_REJECTED", "BRAKE:ZERO_PRICE"),
            within_ms=1_500,
            trades_on=True,
            resync_ms=None,
        ),
        venues=tuple(MARKS),
    ),
    Case(
        id="MD-D-16",
        title="times come in microseconds instead of milliseconds",
        faults=("F54",),
        spec=("P-MD-7", "P-MD-8"),
        expects="HOLD of the venue or an unproved book within 2 s; never a diff that is dropped in silence",
        strike=Strike(
            faults=lambda v: [f.TimeUnit(unit="us", topics=BOOK[v])],
            acts="time_unit",
            signs=(UNPROVED, "BRAKE:TIME_UNIT", "BRAKE:CLOCK_SKEW", "BRAKE:CLOCK_STEP", "BRAKE:STREAM_STALE"),
            within_ms=2_000,
            hold_ms=3_000,
            resync_ms=None,
        ),
    ),
    Case(
        id="MD-D-17",
        title="the venue makes its ticks ten times finer without a word",
        faults=("F56",),
        spec=("P-MD-2", "C-EXEC-4"),
        expects="prices off the grid are refused: the book grows stale, then has a gap; whole on the old rules",
        strike=Strike(
            faults=lambda _v: [f.TickChange()],
            signs=(UNPROVED, "BRAKE:STREAM_STALE"),
            within_ms=2_000,
            hold_ms=2_500,
            resync_ms=None,
        ),
    ),
    Case(
        id="MD-D-18",
        title="gap after gap, six times without a pause",
        faults=("F52", "F56"),
        spec=("P-MD-2",),
        expects="each is noticed and mended; asking for snapshots does not become a storm",
        strike=Strike(faults=lambda v: [f.Gap(topics=BOOK[v])], acts="gap", within_ms=2_000, resync_ms=None),
        trials=6,
        rest_ms=0,
    ),
)
