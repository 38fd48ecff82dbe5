"""One oracle for all cases of the order matrix: the venue's account against journal, positions and ledger.

*Sum of venue fills = sum of journal fills per order; net position at the venue = net position in the ledger; at most
one live venue order per intent leg; no order leaves after HOLD; every UNKNOWN is resolved by evidence and counts in
exposure until then.* Asked of a desk that has nothing open any more. Reads; changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec

from adapters.journal.store import open_reader, read_rows
from supervision.conformance.order_rig import OrderRig
from supervision.conformance.order_truth import VenueOrder
from trading.instruments import Instrument, InstrumentKind
from trading.orders.journal_rows import (
    DeniedBody,
    JournalKind,
    PlaceBody,
    ReportBody,
    decode_body,
)
from trading.orders.messages import ExecType

ZERO = Decimal(0)
FOREVER = 1 << 62
SHOWN = 4
TOLERANCE = Decimal("1e-7")
"""Of an asset: what is rounded differently by a venue's rows and by a ledger."""


class Story(msgspec.Struct, kw_only=True):
    """What the journal has of the orders at one venue."""

    legs: dict[str, tuple[tuple[str, str, str], ...]] = {}
    """By ClOrdID: side, strategy and intent of each leg."""
    filled: dict[str, Decimal] = {}
    executed: dict[str, Decimal] = {}
    """Signed sums of all executions by instrument."""
    wire_ids: dict[str, str] = {}
    """By ClOrdID of an amendment in place: the client order id under which the venue knows it."""
    gone: dict[str, str] = {}
    """Why an order never came to be, in the journal's words, where that is its last word on it."""
    misled: list[str] = []
    """Executions of our orders that were given to others than those who wanted them."""


def story_of(rig: OrderRig) -> Story:
    """The journal, read from its file as it stands."""
    found = Story()
    db = open_reader(rig.journal)
    try:
        for row in read_rows(db):
            if row.venue != rig.venue:
                continue
            match decode_body(row.body):
                case PlaceBody(approved=approved, in_place=in_place):
                    order = approved.order
                    if in_place is not None:
                        found.wire_ids[row.cl_ord_id] = in_place.wire_id
                    found.legs[row.cl_ord_id] = tuple(
                        (order.side.value, leg.strategy_id, leg.intent_id) for leg in order.legs
                    )
                case ReportBody(report=m, from_status=from_status, legs=legs):
                    if m.exec_type is ExecType.TRADE and not from_status:
                        name = found.wire_ids.get(row.cl_ord_id, row.cl_ord_id)
                        found.filled[name] = found.filled.get(name, ZERO) + m.last_qty
                        wanted = {strategy for _, strategy, _ in found.legs.get(row.cl_ord_id, ())}
                        got = {leg.strategy_id for leg in legs}
                        if wanted and got != wanted:
                            found.misled.append(f"{name} was wanted by {sorted(wanted)}, executed for {sorted(got)}")
                        signed = m.side.sign * m.last_qty
                        found.executed[m.instrument_id] = found.executed.get(m.instrument_id, ZERO) + signed
                    if row.kind is JournalKind.REJECT:
                        found.gone[row.cl_ord_id] = m.text
                    else:
                        found.gone.pop(row.cl_ord_id, None)
                case DeniedBody(denied=denied):
                    found.gone[row.cl_ord_id] = denied.text
                case body if row.kind is JournalKind.REJECT:
                    found.gone[row.cl_ord_id] = getattr(body, "text", "")
                case _:
                    pass
    finally:
        db.close()
    return found


def differences(rig: OrderRig) -> list[str]:
    """Everything in which the desk's account of itself is not the venue's; [] when they agree."""
    core = rig.core
    if core is None:
        return ["the order core is not there"]
    story = story_of(rig)
    ours = rig.truth.ours()
    found = _orders(ours, story) + _legs(ours, story) + story.misled[:SHOWN]
    found += [f"{o.cl_ord_id} is {o.ord_status.value} at the end" for o in core.open_orders()]
    found += [f"{o.cl_ord_id} is live at the venue at the end" for o in ours if o.ended_ns is None]
    for one in rig.instruments.values():
        found += _position(rig, one, story)
    found += _cash(rig)
    return found


def _orders(ours: list[VenueOrder], story: Story) -> list[str]:
    found: list[str] = []
    for order in ours:
        name = order.cl_ord_id
        if len(order.numbers) > 1:
            found.append(f"{name} was placed {len(order.numbers)} times")
        if name not in story.legs:
            found.append(f"{name} is at the venue and not in the journal")
        if name in story.gone:
            found.append(f"{name} was accepted by the venue; in the journal it never came to be: {story.gone[name]}")
        mine = story.filled.get(name, ZERO)
        if mine != order.filled:
            found.append(f"{name} executed {order.filled} at the venue, {mine} in the journal")
    known = {order.cl_ord_id for order in ours}
    found += [
        f"{n} executed {q} in the journal only" for n, q in story.filled.items() if n in story.legs and n not in known
    ]
    return found


def _legs(ours: list[VenueOrder], story: Story) -> list[str]:
    """Whether two orders of one intent's leg were ever live together."""
    spans: defaultdict[tuple[str, str, str], list[tuple[int, int, str]]] = defaultdict(list)
    for order in ours:
        for leg in story.legs.get(order.cl_ord_id, ()):
            spans[leg].append((order.began_ns, order.ended_ns or FOREVER, order.cl_ord_id))
    found: list[str] = []
    for leg, lives in spans.items():
        lives.sort()
        for (_, ended, first), (began, _, second) in pairwise(lives):
            if began < ended:
                found.append(f"{first} and {second} of {leg[2]} were live together")
    return found


def _position(rig: OrderRig, one: Instrument, story: Story) -> list[str]:
    """The venue's position, the order core's and the ledger's."""
    iid = one.instrument_id
    venue = rig.truth.executed.get(iid, ZERO)
    core: Any = rig.core
    net = core._account(rig.venue).net.get(iid, ZERO)  # noqa: SLF001 - looking inside is what a matrix is for
    journal = story.executed.get(iid, ZERO)
    portfolio = rig.base.actor("portfolio").core.positions().get(iid)
    ledger = ZERO if portfolio is None else portfolio.qty
    found: list[str] = []
    if one.kind is not InstrumentKind.SPOT:
        held = rig.server.account.exchange.account.position(iid).qty
        if held != venue:
            found.append(f"{iid}: the venue holds {held}, its executions give {venue}")
        if ledger != held:
            found.append(f"{iid}: the venue holds {held}, the ledger {ledger}")
    if not venue == journal == net:
        found.append(f"{iid}: executed {venue} at the venue, {journal} in the journal, {net} in the order core")
    return found


def _cash(rig: OrderRig) -> list[str]:
    """Every asset of the account: fees, profits and, on spot, what was bought.

    While a contract is held, how much of its profit is realised depends on the order in which executions were taken
    in, and what came late or changed places was taken in late: its asset is compared when nothing is held.
    """
    account = rig.server.account.exchange.account
    held = {one.settle for one in rig.instruments.values() if account.position(one.instrument_id).qty}
    mine = rig.base.actor("portfolio").core.balances_by_venue().get(rig.venue, {})
    theirs = rig.server.account.exchange.account.balances
    return [
        f"{asset}: the venue has {theirs.get(asset, ZERO)}, the ledger {mine.get(asset, ZERO)}"
        for asset in sorted((set(mine) | set(theirs)) - held)
        if abs(mine.get(asset, ZERO) - theirs.get(asset, ZERO)) > TOLERANCE
    ]
