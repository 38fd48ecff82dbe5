"""What was told to the desk and what left it, beside what was true: the evidence of the fault matrix.

Owns recording and counting. Decides no case: a case names the moment from which its book was unproved.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from adapters.clock import Clock
from adapters.sent_log import read_sent
from adapters.simserver.bybit import BybitDialect
from adapters.simserver.feed import Market
from adapters.simserver.window import DepthWindow, Sides
from trading.market.events import BookState, BookTop, DepthSnapshot, DepthUpdate, Level
from trading.operators import Published, Topic

TRUTHS_MAX = 20_000
TOPS_MAX = 100_000
NOTICES_MAX = 10_000
ORDERS_MAX = 100_000
LEVELS = 5

Side = tuple[Level, ...]


class Told(msgspec.Struct, frozen=True):
    """One top of book as the desk was told it. ``true`` None: the venue had no book of that number, or it is old."""

    mono_ns: int
    state: BookState
    update_id: int
    true: bool | None
    instrument_id: str = ""


class Notice(msgspec.Struct, frozen=True):
    """One event that the desk published for its operators."""

    mono_ns: int
    code: str
    text: str


class Oracle:
    """The book that the venue's server has, by update id; the tops that the desk was told; the orders that left it."""

    def __init__(self, clock: Clock, sent_log: Path) -> None:
        self._mono_ns = clock.mono_ns
        self._sent_log = sent_log
        self._truth: dict[str, OrderedDict[int, tuple[Side, Side]]] = {}
        self._ordered: dict[str, str] = {}
        self.tops: deque[Told] = deque(maxlen=TOPS_MAX)
        self.notices: deque[Notice] = deque(maxlen=NOTICES_MAX)
        self.last_tops: dict[str, BookTop] = {}
        self.first_wrong: str = ""

    # --- Recording -----------------------------------------------------------------------------------

    def keep(self, instrument_id: str, update_id: int, sides: tuple[Side, Side]) -> None:
        """The venue's best levels after one update."""
        truth = self._truth.setdefault(instrument_id, OrderedDict())
        truth[update_id] = sides
        if len(truth) > TRUTHS_MAX:
            truth.popitem(last=False)

    def watch(self, market: Market) -> None:
        """Remember the venue's own best levels after every change of its book."""
        on_update, on_snapshot = market.on_update, market.on_snapshot

        def keep() -> None:
            self.keep(market.instrument.instrument_id, market.book.update_id, market.book.top(LEVELS))

        def update(message: DepthUpdate, now_ns: int) -> None:
            on_update(message, now_ns)
            keep()

        def snapshot(message: DepthSnapshot) -> None:
            on_snapshot(message)
            keep()

        vars(market).update(on_update=update, on_snapshot=snapshot)
        keep()

    def watch_numbers(self, dialect: BybitDialect) -> None:
        """The same where the stream counts its own messages: Bybit's ``u`` is the topic's, not the book's."""
        encode = dialect._book  # noqa: SLF001 - the one place where the topic's number and the book meet

        def book(market: Market, window: DepthWindow, kind: str, told: Sides) -> bytes:
            self.keep(market.instrument.instrument_id, window.u, market.book.top(LEVELS))
            return encode(market, window, kind, told)

        begin = dialect._snapshot  # noqa: SLF001

        def snapshot(market: Market, topic: str, depth: int) -> bytes:
            payload = begin(market, topic, depth)
            window = dialect._windows[topic][1]  # noqa: SLF001
            bids, asks = window.sides()
            truth = self._truth.setdefault(market.instrument.instrument_id, OrderedDict())
            truth.setdefault(window.u, (tuple(bids[:LEVELS]), tuple(asks[:LEVELS])))
            return payload

        vars(dialect).update(_book=book, _snapshot=snapshot)

    def ordered(self, cl_ord_id: str, instrument_id: str) -> None:
        """An order on its way to the gateway, so that the sent log can be told apart by instrument."""
        if len(self._ordered) >= ORDERS_MAX:
            self._ordered.clear()
        self._ordered[cl_ord_id] = instrument_id

    def on_message(self, to: str, _sender: object, msg: object) -> bool:
        """The desk's messages to those outside of it: the router of its base."""
        if type(msg) is BookTop and to == "oracle":
            self._top(msg)
        elif type(msg) is Published and msg.topic is Topic.EVENT:
            self.notices.append(Notice(self._mono_ns(), str(msg.body.get("code")), str(msg.body.get("text"))[:300]))
        return to in {"oracle", "ops"} or to.startswith("status.")

    def _top(self, top: BookTop) -> None:
        self.last_tops[top.instrument_id] = top
        truths = self._truth.get(top.instrument_id)
        truth = None if truths is None else truths.get(top.update_id)
        true = None if truth is None else (top.bids[:LEVELS], top.asks[:LEVELS]) == truth
        if true is False and top.state is BookState.SYNCED and not self.first_wrong:
            self.first_wrong = f"told {top.bids[:2]} {top.asks[:2]} at {top.update_id}, true is {truth}"[:400]
        self.tops.append(Told(self._mono_ns(), top.state, top.update_id, true, top.instrument_id))

    # --- Asking --------------------------------------------------------------------------------------

    def tops_since(self, mono_ns: int, instrument_id: str = "") -> list[Told]:
        """What was told at that moment or later, oldest first, of one instrument or of all."""
        found = _since(self.tops, mono_ns)
        return [top for top in found if top.instrument_id == instrument_id] if instrument_id else found

    def notices_since(self, mono_ns: int) -> list[Notice]:
        """What was published at that moment or later, oldest first."""
        return _since(self.notices, mono_ns)

    def orders_between(self, begin_ns: int, end_ns: int, instrument_id: str = "") -> int:
        """Orders that left the gateway in between, of one instrument or of all; one that is not known counts as its."""
        of = self._ordered.get
        return sum(
            1
            for at_ns, cl_ord_id in read_sent(self._sent_log)
            if begin_ns <= at_ns < end_ns and (not instrument_id or of(cl_ord_id, instrument_id) == instrument_id)
        )

    def wrong_between(self, begin_ns: int, end_ns: int) -> int:
        """Tops told as SYNCED in between that were not the venue's book of their number."""
        return sum(
            1
            for told in self.tops_since(begin_ns)
            if told.mono_ns < end_ns and told.state is BookState.SYNCED and told.true is False
        )


T = TypeVar("T", Told, Notice)


def _since(rows: deque[T], mono_ns: int) -> list[T]:
    def newest_first() -> Iterator[T]:
        for row in reversed(rows):
            if row.mono_ns < mono_ns:
                return
            yield row

    found = list(newest_first())
    found.reverse()
    return found
