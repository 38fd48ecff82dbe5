"""The life of one order: a table, the one function that applies it, the one error.

What the venue may truly say in any state has a row; what has none is our bug. Owns no quantities: the core decides
which
event a message is.
"""

from __future__ import annotations

from enum import Enum

from trading.orders.messages import OrdStatus


class OrderEvent(Enum):
    """What can happen to an order."""

    # The hash of their identity costs no call; members are keys on the order path.
    __hash__ = object.__hash__

    RELEASED = "released"  # its place row is durable, it goes out
    ACKED = "acked"
    HELD = "held"  # the ack of an order that waits for its trigger
    TRIGGERED = "triggered"  # the trigger price was seen: it is an order like any other now
    PARTIAL = "partial"  # an execution, something is left
    FILL = "fill"  # the execution after which nothing is left
    CANCEL_SENT = "cancel_sent"
    CANCEL_REFUSED = "cancel_refused"
    CANCEL_REFUSED_PARTIAL = "cancel_refused_partial"  # the same of an order that is partially filled
    CANCEL_REFUSED_HELD = "cancel_refused_held"  # the same of an order that waits for its trigger
    REPLACE_SENT = "replace_sent"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REJECTED = "rejected"
    NOT_FOUND = "not_found"  # the venue, asked late enough, has never heard of it
    FOUND = "found"  # the venue has it after all
    DENIED = "denied"  # the gateway refused it, nothing was written to the venue
    UNANSWERED = "unanswered"  # the deadline passed, or a restart: it may or may not exist


S, E = OrdStatus, OrderEvent

TERMINAL = frozenset({S.FILLED, S.CANCELED, S.REPLACED, S.REJECTED, S.DENIED, S.EXPIRED})
"""Nothing of the order is live at the venue."""

TRANSITIONS: dict[tuple[OrdStatus, OrderEvent], OrdStatus] = {
    (S.JOURNALED, E.RELEASED): S.PENDING_NEW,
    (S.JOURNALED, E.UNANSWERED): S.UNKNOWN,  # a restart: the process may have died after the send
    (S.JOURNALED, E.DENIED): S.DENIED,
    (S.PENDING_NEW, E.ACKED): S.NEW,
    (S.PENDING_NEW, E.HELD): S.PENDING_TRIGGER,
    (S.PENDING_NEW, E.TRIGGERED): S.NEW,  # the trigger was reached when it came, or the word overtook the ack
    (S.PENDING_NEW, E.PARTIAL): S.PARTIALLY_FILLED,  # the fill overtook the ack
    (S.PENDING_NEW, E.FILL): S.FILLED,  # as above
    (S.PENDING_NEW, E.CANCEL_SENT): S.PENDING_CANCEL,  # we changed our mind before the ack
    (S.PENDING_NEW, E.REPLACE_SENT): S.PENDING_REPLACE,  # as above
    (S.PENDING_NEW, E.CANCELED): S.CANCELED,  # IOC and post-only orders may be canceled without an ack
    (S.PENDING_NEW, E.EXPIRED): S.EXPIRED,  # as above
    (S.PENDING_NEW, E.REPLACED): S.REPLACED,
    (S.PENDING_NEW, E.REJECTED): S.REJECTED,
    (S.PENDING_NEW, E.NOT_FOUND): S.PENDING_NEW,  # asked too early: an order becomes visible late
    (S.PENDING_NEW, E.FOUND): S.NEW,
    (S.PENDING_NEW, E.DENIED): S.DENIED,
    (S.PENDING_NEW, E.UNANSWERED): S.UNKNOWN,
    (S.PENDING_NEW, E.CANCEL_REFUSED): S.PENDING_NEW,  # a cancel of an earlier process is refused
    (S.UNKNOWN, E.RELEASED): S.UNKNOWN,
    (S.UNKNOWN, E.ACKED): S.NEW,
    (S.UNKNOWN, E.HELD): S.PENDING_TRIGGER,
    (S.UNKNOWN, E.TRIGGERED): S.NEW,
    (S.UNKNOWN, E.PARTIAL): S.PARTIALLY_FILLED,
    (S.UNKNOWN, E.FILL): S.FILLED,
    (S.UNKNOWN, E.CANCEL_SENT): S.UNKNOWN,  # a cancel does not tell whether the order exists
    (S.UNKNOWN, E.REPLACE_SENT): S.UNKNOWN,  # as above
    (S.UNKNOWN, E.CANCEL_REFUSED): S.UNKNOWN,  # "unknown order" today may be a fill tomorrow
    (S.UNKNOWN, E.CANCEL_REFUSED_PARTIAL): S.UNKNOWN,  # as above
    (S.UNKNOWN, E.CANCEL_REFUSED_HELD): S.UNKNOWN,  # as above
    (S.UNKNOWN, E.CANCELED): S.CANCELED,
    (S.UNKNOWN, E.EXPIRED): S.EXPIRED,
    (S.UNKNOWN, E.REPLACED): S.REPLACED,
    (S.UNKNOWN, E.REJECTED): S.REJECTED,
    (S.UNKNOWN, E.NOT_FOUND): S.REJECTED,
    (S.UNKNOWN, E.FOUND): S.NEW,
    (S.UNKNOWN, E.DENIED): S.DENIED,  # the gateway's word came after the deadline
    (S.UNKNOWN, E.UNANSWERED): S.UNKNOWN,
    (S.PENDING_TRIGGER, E.ACKED): S.PENDING_TRIGGER,  # an ack says nothing of the trigger
    (S.PENDING_TRIGGER, E.HELD): S.PENDING_TRIGGER,  # a status answer repeats the ack
    (S.PENDING_TRIGGER, E.TRIGGERED): S.NEW,
    (S.PENDING_TRIGGER, E.PARTIAL): S.PARTIALLY_FILLED,  # the fill overtook the trigger's report
    (S.PENDING_TRIGGER, E.FILL): S.FILLED,  # as above
    (S.PENDING_TRIGGER, E.CANCEL_SENT): S.PENDING_CANCEL,
    (S.PENDING_TRIGGER, E.CANCEL_REFUSED_HELD): S.PENDING_TRIGGER,  # a cancel of an earlier process is refused
    (S.PENDING_TRIGGER, E.REPLACE_SENT): S.PENDING_REPLACE,
    (S.PENDING_TRIGGER, E.CANCELED): S.CANCELED,
    (S.PENDING_TRIGGER, E.EXPIRED): S.EXPIRED,  # the position it was to close is gone
    (S.PENDING_TRIGGER, E.REPLACED): S.REPLACED,
    (S.PENDING_TRIGGER, E.REJECTED): S.REJECTED,  # triggered, then refused by the engine (margin, price limits)
    (S.PENDING_TRIGGER, E.FOUND): S.PENDING_TRIGGER,
    (S.PENDING_TRIGGER, E.UNANSWERED): S.UNKNOWN,  # a restart: as for NEW
    (S.NEW, E.ACKED): S.NEW,  # a status answer repeats the ack
    (S.NEW, E.HELD): S.NEW,  # a late word of the time before the trigger
    (S.NEW, E.TRIGGERED): S.NEW,  # said again
    (S.NEW, E.PARTIAL): S.PARTIALLY_FILLED,
    (S.NEW, E.FILL): S.FILLED,
    (S.NEW, E.CANCEL_SENT): S.PENDING_CANCEL,
    (S.NEW, E.CANCEL_REFUSED): S.NEW,  # a cancel of an earlier process is refused
    (S.NEW, E.REPLACE_SENT): S.PENDING_REPLACE,
    (S.NEW, E.CANCELED): S.CANCELED,
    (S.NEW, E.EXPIRED): S.EXPIRED,
    (S.NEW, E.REPLACED): S.REPLACED,
    (S.NEW, E.REJECTED): S.REJECTED,  # accepted by the gateway of the venue, refused by its engine
    (S.NEW, E.FOUND): S.NEW,
    (S.NEW, E.UNANSWERED): S.UNKNOWN,  # a restart: what happened meanwhile is not known
    (S.PARTIALLY_FILLED, E.ACKED): S.PARTIALLY_FILLED,  # the ack came after the fill
    (S.PARTIALLY_FILLED, E.HELD): S.PARTIALLY_FILLED,  # as above
    (S.PARTIALLY_FILLED, E.TRIGGERED): S.PARTIALLY_FILLED,  # as above
    (S.PARTIALLY_FILLED, E.PARTIAL): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, E.FILL): S.FILLED,
    (S.PARTIALLY_FILLED, E.CANCEL_SENT): S.PENDING_CANCEL,
    (S.PARTIALLY_FILLED, E.CANCEL_REFUSED_PARTIAL): S.PARTIALLY_FILLED,  # as for NEW
    (S.PARTIALLY_FILLED, E.REPLACE_SENT): S.PENDING_REPLACE,
    (S.PARTIALLY_FILLED, E.CANCELED): S.CANCELED,
    (S.PARTIALLY_FILLED, E.EXPIRED): S.EXPIRED,
    (S.PARTIALLY_FILLED, E.REPLACED): S.REPLACED,
    (S.PARTIALLY_FILLED, E.REJECTED): S.CANCELED,  # what was executed stays executed; the rest is gone
    (S.PARTIALLY_FILLED, E.FOUND): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, E.UNANSWERED): S.UNKNOWN,  # as for NEW
    **{
        (pending, event): after
        for pending in (S.PENDING_CANCEL, S.PENDING_REPLACE)
        for event, after in {
            E.ACKED: pending,  # the ack of the order itself, overtaken by our request
            E.FOUND: pending,
            E.HELD: pending,
            E.TRIGGERED: pending,  # it goes on the book while our request is on its way
            E.PARTIAL: pending,  # executed while our request was on its way
            E.FILL: S.FILLED,  # as above, all of it
            E.CANCEL_SENT: S.PENDING_CANCEL,
            E.REPLACE_SENT: pending,  # the cancel stands
            E.CANCEL_REFUSED: S.NEW,
            E.CANCEL_REFUSED_PARTIAL: S.PARTIALLY_FILLED,
            E.CANCEL_REFUSED_HELD: S.PENDING_TRIGGER,
            E.CANCELED: S.CANCELED,
            E.EXPIRED: S.EXPIRED,
            E.REPLACED: S.REPLACED,
            E.REJECTED: S.REJECTED,
            E.DENIED: S.DENIED,
            E.UNANSWERED: S.UNKNOWN,
        }.items()
    },
    (S.REJECTED, E.FOUND): S.NEW,  # "not found" was too early; it lives, and the core cancels it
    **{
        (done, event): S.FILLED if event is E.FILL else done
        for done in (S.CANCELED, S.EXPIRED, S.REPLACED)
        for event in (E.PARTIAL, E.FILL)  # Bybit reports fills after cancel
    },
    (S.REJECTED, E.PARTIAL): S.PARTIALLY_FILLED,  # a phantom rejection: an execution is proof of life
    (S.REJECTED, E.FILL): S.FILLED,  # as above
    (S.DENIED, E.PARTIAL): S.PARTIALLY_FILLED,  # the gateway was wrong: an execution is proof of life
    (S.DENIED, E.FILL): S.FILLED,  # as above
    (S.FILLED, E.PARTIAL): S.FILLED,  # more than was ordered: counted, and a brake for its venue
    (S.FILLED, E.FILL): S.FILLED,  # as above
    **{
        (done, event): done
        for done in TERMINAL
        for event in (
            E.ACKED,  # the ack of a dead order, late or repeated
            E.HELD,  # as above
            E.TRIGGERED,  # as above
            E.CANCEL_SENT,  # our cancel was already on its way
            E.CANCEL_REFUSED,  # and comes too late
            E.CANCEL_REFUSED_PARTIAL,
            E.CANCEL_REFUSED_HELD,
            E.REPLACE_SENT,
            E.CANCELED,
            E.EXPIRED,
            E.REPLACED,
            E.REJECTED,
            E.NOT_FOUND,  # venues forget dead orders
            E.UNANSWERED,
        )
    },
    **{(done, E.FOUND): done for done in TERMINAL - {S.REJECTED}},
    (S.DENIED, E.DENIED): S.DENIED,
}


class InvalidOrderTransition(Exception):  # noqa: N818 - named for what happened
    """Our bug: an event in a state that has no row for it. ``story`` is all the order went through."""

    def __init__(self, cl_ord_id: str, status: OrdStatus, event: OrderEvent, story: tuple[str, ...]) -> None:
        lines = "".join(f"\n  {line}" for line in story)
        super().__init__(f"{cl_ord_id}: {event.value} while {status.value}; its story:{lines}")
        self.cl_ord_id = cl_ord_id
        self.status = status
        self.event = event
        self.story = story

    def __reduce__(
        self,
    ) -> tuple[type[InvalidOrderTransition], tuple[str, OrdStatus, OrderEvent, tuple[str, ...]]]:
        """Survive pickling with the facts."""
        return (InvalidOrderTransition, (self.cl_ord_id, self.status, self.event, self.story))


def after(status: OrdStatus, event: OrderEvent, cl_ord_id: str = "", story: tuple[str, ...] = ()) -> OrdStatus:
    """The status after ``event``; ``InvalidOrderTransition`` when the table has no such row."""
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise InvalidOrderTransition(cl_ord_id, status, event, story) from None
