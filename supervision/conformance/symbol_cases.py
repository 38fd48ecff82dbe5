"""Faults of one symbol of a venue while another one is traded beside it: the other goes on (FAULTS G, F79).

That it goes on is orders of its own that leave while the first symbol has none, on a book that is never unproved.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.simserver import faults as f
from adapters.simserver.byte_edits import finer_prices
from adapters.simserver.connection import Connection
from adapters.synthetic.steps import places
from supervision.conformance import guards as g
from supervision.conformance.case import Case
from supervision.conformance.markets import MARKETS, REST_BOOKS, topics
from supervision.conformance.rig import Rig
from supervision.conformance.trial import STALE_MS, UNPROVED, Strike
from supervision.desk_plan import INSTRUMENTS

SEVERAL = tuple(name for name, market in MARKETS.items() if market.beside)
"""Where two symbols are traded on one connection; Binance's other markets speak as USD-M does."""
_LOST = ("TOPIC_LOST", "TOPIC_REFUSED")


def _book(market: str) -> tuple[str, ...]:
    """The topic of the first symbol's book."""
    return topics(market, "book", INSTRUMENTS[MARKETS[market].instrument].symbol)


def _long_gap(market: str) -> Sequence[f.Fault]:
    """A gap whose mend takes a while, so that there is a time in which the other symbol has to go on."""
    gap = f.Gap(topics=_book(market))
    if market in REST_BOOKS:
        return [f.RestSlow(delay_ms=1_000, topics=("*/depth",)), gap]
    return [f.UnbridgedSnapshot(snapshots=2, topics=_book(market)), gap]


async def _finer(rig: Rig) -> None:
    """The venue makes the ticks of one symbol ten times finer, in every price that it sends."""
    hub, instrument = rig.server.hub, rig.instrument
    digits, plain = places(instrument.tick_size), rig.venue not in REST_BOOKS
    subject = instrument.symbol.casefold()

    def wrap(connection: Connection, topic: str, payload: bytes) -> bytes:
        if subject in topic.casefold() and "mark" not in topic:
            payload = finer_prices(payload, digits, plain=plain)
        return rig.server._dialect.wrap(connection, topic, payload)  # noqa: SLF001

    hub.wrap = wrap


def _as_before(rig: Rig) -> None:
    rig.server.hub.wrap = rig.server._dialect.wrap  # noqa: SLF001


CASES = (
    Case(
        id="MD-H-01",
        title="one symbol loses a message, and its mend takes a while; another is traded beside it",
        faults=("F52", "F79"),
        spec=("P-MD-2",),
        expects="that symbol is SUSPECT and stops; the other stays proved, and orders of it leave meanwhile",
        strike=Strike(faults=_long_gap, acts="gap", hold_ms=1_000, resync_ms=None),
        venues=SEVERAL,
        beside=True,
        mutants=(g.SEQUENCE, g.SCOPE),
    ),
    Case(
        id="MD-H-02",
        title="the book of one symbol is mute on a connection that brings another's",
        faults=("F59", "F79"),
        spec=("P-MD-3",),
        expects="found by the age of its own data within 2 s, and stops; the other goes on over the new connection",
        strike=Strike(
            faults=lambda v: [f.Mute(topics=_book(v))],
            acts="mute",
            signs=_LOST,
            within_ms=2_000,
            blind_ms=STALE_MS,
            hold_ms=3_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=6,
        ),
        venues=SEVERAL,
        settle_ms=1_000,
        beside=True,
        mutants=(g.WATCHDOG, g.SCOPE),
    ),
    Case(
        id="MD-H-03",
        title="wrong checksums of one symbol's book for half a second",
        faults=("F51", "F79"),
        spec=("P-MD-2",),
        expects="that symbol is SUSPECT and stops; the other goes on",
        strike=Strike(
            faults=lambda v: [f.RealChecksum(), f.WrongChecksum(messages=8, topics=_book(v))],
            acts="wrong_checksum",
            hold_ms=1_000,
            resync_ms=None,
        ),
        venues=("okx",),
        beside=True,
        mutants=(g.CHECKSUM, g.SCOPE),
    ),
    Case(
        id="MD-H-04",
        title="the venue makes the ticks of one symbol ten times finer without a word",
        faults=("F56", "F79"),
        spec=("P-MD-2", "C-EXEC-4"),
        expects="its prices off the grid are refused and it stops; the other goes on; whole on the old rules",
        strike=Strike(
            act=_finer,
            mend=_as_before,
            signs=(UNPROVED, "BRAKE:STREAM_STALE"),
            within_ms=2_000,
            hold_ms=2_500,
            resync_ms=None,
        ),
        venues=SEVERAL,
        beside=True,
        mutants=(g.SCOPE,),
    ),
    Case(
        id="MD-H-05",
        title="the connection that brings two symbols is cut",
        faults=("F62", "F79"),
        spec=("P-MD-2", "P-MD-15"),
        expects="both are SUSPECT at once, and both are back after one jittered wait",
        strike=Strike(
            faults=lambda _v: [f.Disconnect()],
            acts="disconnect",
            also=("DISCONNECTED",),
            within_ms=300,
            resync_ms=5_000,
            attempts_max=2,
            beside_ms=None,
        ),
        venues=SEVERAL,
        beside=True,
        mutants=(g.LOST_STREAMS,),
    ),
    Case(
        id="MD-H-06",
        title="after a cut the book of one symbol is granted and never served",
        faults=("F64", "F79"),
        spec=("P-MD-15",),
        expects="silent by the deadline for its first data, and not traded; the other is back and goes on",
        strike=Strike(
            faults=lambda v: [f.SilentTopic(topics=_book(v)), f.Disconnect()],
            acts="silent_topic",
            signs=_LOST,
            within_ms=5_600,
            blind_ms=0,
            hold_ms=6_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=6,
            beside_ms=2_500,
        ),
        venues=("binanceusdm", "okx"),
        beside=True,
        mutants=(g.DEADLINES,),
    ),
)
