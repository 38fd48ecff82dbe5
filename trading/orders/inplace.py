"""Amendments in place: one order at the venue, which keeps its first client order id, and a chain of ClOrdIDs here.

Each amendment is an order of the desk with an id of its own (FIX: the ClOrdID of the request); the one that took effect
last is the one that stands. Owns which of the chain a venue's word is about and what proves that an amendment took
effect: the venue's own word of it, or its record with the new terms. Silence and old terms prove nothing before their
time, and after it only that nobody waits any longer: an amendment that was given up counts in exposure, and is heard
of, until its order ends. Does not own what follows for executions and ends; that is `evidence.py`.
"""

from __future__ import annotations

from decimal import Decimal

from trading.orders.journal_rows import InPlace
from trading.orders.messages import ExecType, ExecutionReport, OrdStatus, OrdType, ProposedOrder, TimeInForce
from trading.orders.order import Order
from trading.orders.state import MS, CoreState

UNCHANGED = "unchanged: "
"""How a refusal begins that says that the order has the terms already."""
_RESTING = frozenset({TimeInForce.GTC, TimeInForce.GTX})


class Chains(CoreState):
    """Which order of the desk an order of the venue is; see `OrderCore`."""

    def _meant(self, venue: str, cl_ord_id: str) -> Order | None:
        """The order that a venue's word about an id is about: of an amended one that which stands."""
        order = self.order(venue, cl_ord_id)
        if not self._standing:
            return order
        standing = self._standing.get((venue, cl_ord_id if order is None else order.wire_id))
        return order if standing is None else self.order(venue, standing) or order

    def _amending(self, order: Order) -> Order | None:
        """The amendment of it that is on its way."""
        found = self._open.get((order.venue, order.replaced_by)) if order.replaced_by else None
        if found is None or found.in_place is None or found.acked or found.ord_status is OrdStatus.JOURNALED:
            return None
        return found

    def _amendments_of(self, order: Order) -> list[Order]:
        """All that are on their way to the venue's order that ``order`` stands for, whatever they were asked after."""
        key = (order.venue, order.wire_id)
        if key not in self._standing:
            return []
        return [
            one
            for one in self._open.values()
            if one.in_place is not None
            and not one.acked
            and one.ord_status is not OrdStatus.JOURNALED
            and (one.venue, one.wire_id) == key
        ]

    def _lost(self, order: Order) -> Order | None:
        """The amendment of it that was given up too early or refused, if the venue should have made it after all."""
        found = self._done.get((order.venue, order.lost_amend)) if order.lost_amend else None
        return found if found is not None and found.ord_status is OrdStatus.REJECTED else None

    def _amended_in_place(self, order: ProposedOrder) -> InPlace | None:
        """How ``order`` takes the place of what it replaces; None where it does so as an order of its own."""
        original = self._open.get((order.venue, order.replaces or ""))
        if order.venue not in self._config.amends_in_place or original is None:
            return None
        if original.no_amend or order.venue in self._no_amend or not original.acked or original.held:
            return None
        if original.lost_qty:
            # One that was given up could still undo this one; the end of the order is the end of both.
            return None
        if not _same_but_for_terms(original.proposed, order):
            return None
        pace = self._paces.get(order.venue)
        if pace is not None and pace.prefers_new(self._config.amend_latency_ms_max * MS):
            return None
        return InPlace(
            wire_id=original.wire_id,
            base_qty=original.prior_qty + original.cum_qty,
            old_qty=original.total_qty,
            old_price=original.proposed.price,
        )

    def _follow(self, order: Order, in_place: InPlace) -> None:
        """From now on the order at the venue has a chain of ids here."""
        order.in_place = in_place
        self._standing.setdefault((order.venue, in_place.wire_id), order.proposed.replaces or "")

    def _proved_by(self, m: ExecutionReport) -> tuple[Order, Order] | None:
        """The standing order and the amendment of it that ``m`` proves to have taken effect; None when it proves none.

        Also notes until when the standing order's own terms were heard of: an older word with the terms of the
        amendment is of an earlier time with the same terms.
        """
        standing = self._meant(m.venue, m.cl_ord_id)
        if standing is None:
            return None
        amendments = [one for one in (self._amending(standing), self._lost(standing)) if one is not None]
        terms = (m.order_qty, m.price)
        for amendment in amendments:
            if m.exec_type is ExecType.REPLACED and m.cl_ord_id == amendment.cl_ord_id:
                return standing, amendment
        if not m.order_qty or m.price is None:
            beyond = m.exec_type is ExecType.TRADE and standing.cum_qty + m.last_qty > standing.room_qty
            larger = [one for one in amendments if one.total_qty > standing.total_qty]
            return (standing, larger[0]) if beyond and larger else None
        own = terms == (standing.total_qty, standing.proposed.price)
        for amendment in amendments:
            # The order's own terms say nothing of an amendment that was refused or given up and asked for the same.
            if terms == (amendment.total_qty, amendment.proposed.price) and (amendment.is_open or not own):
                return (standing, amendment) if m.ts_event_ns >= standing.terms_ns else None
        if own:
            standing.terms_ns = max(standing.terms_ns, m.ts_event_ns)
        return None

    def _leaves_besides(self, order: ProposedOrder) -> Decimal:
        """What of the leaves on its side ends when ``order`` takes its place: never live together with it."""
        original = self._open.get((order.venue, order.replaces or ""))
        if original is None or order.venue not in self._config.amends_in_place:
            return Decimal(0)
        return original.leaves_qty


def _same_but_for_terms(original: ProposedOrder, order: ProposedOrder) -> bool:
    """Whether price and quantity are all that changes, of orders that rest on the book."""
    if order.ord_type is not OrdType.LIMIT or order.time_in_force not in _RESTING or original.trigger is not None:
        return False
    kept = (original.side, original.ord_type, original.time_in_force, original.reduce_only, original.stp, None)
    return kept == (order.side, order.ord_type, order.time_in_force, order.reduce_only, order.stp, order.trigger)


def is_unchanged(text: str) -> bool:
    """Whether a refused amendment was refused because the order has these terms already."""
    return text.startswith(UNCHANGED)
