"""The stages of an order's life that are timed: their names, in the order in which they are passed, and their words."""

from __future__ import annotations

from typing import Final

from trading.orders.messages import OrderStory, ProposedOrder
from trading.risk.limits import OPERATOR
from trading.telemetry.histogram import RollingHistogram

STAGES: Final = {
    "book_age": "age of the book that the order is priced on, when it is proposed; waiting for its turn included",
    "ingest": "bytes of the book received -> the strategy's decision that answers this very book",
    "signal": "decision, or a newer book -> order proposed: arbitration, and waiting for the order's turn",
    "route": "order proposed -> approved by the risk governor",
    "journal": "approved -> its journal row durable and the order released to the gateway",
    "place": "released -> the venue's first word of it received",
    "ack": "the venue's first word received -> journalled",
    "fill": "execution received -> journalled",
    "cancel": "cancel journalled -> the venue's word of the end received",
    "replace": "amendment released -> the venue's word of it received",
    "unknown": "outcome in doubt -> evidence",
    "recon": "end -> the account was compared with the venue's and nothing was left open",
}


class StageTimes:
    """Recent durations of the order core's own path by stage, nanoseconds."""

    __slots__ = ("_by_stage",)

    def __init__(self) -> None:
        self._by_stage: dict[str, RollingHistogram] = {}

    def add(self, stage: str, ns: int) -> None:
        """One more."""
        found = self._by_stage.get(stage)
        if found is None:
            found = self._by_stage[stage] = RollingHistogram()
        found.add(ns)

    def view(self) -> dict[str, dict[str, float]]:
        """Quantiles by stage, microseconds."""
        return {stage: histogram.facts() for stage, histogram in self._by_stage.items()}


def decision_of(order: ProposedOrder) -> tuple[int, bool]:
    """When what the order carries out was decided (UTC ns), and whether that answered the very book it is priced on.

    Of an older decision the book's arrival is the moment from which the order could be proposed as it is.
    """
    story = order.story
    intents = story.intents if isinstance(story, OrderStory) else ()
    book = f"{order.instrument_id}@{order.book_update_id}"
    newest = max((intent.ts_init_ns for intent in intents), default=order.book_ts_recv_ns)
    answers = any(i.cause == book and i.strategy_id != OPERATOR for i in intents)
    return min(max(newest, order.book_ts_recv_ns), order.ts_init_ns), answers
