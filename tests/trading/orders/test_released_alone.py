"""An order that is released alone is handed over itself; what is made of it is what would have been said."""

from __future__ import annotations

import random

import msgspec
import pytest

from trading.orders.core import Emit, Journal, OrderCore, OrderCoreConfig, SendToVenue
from trading.orders.journal_rows import PlaceBody, decode_body, encode_body
from trading.orders.messages import ExecType, ProposedCancel, Side

from .conftest import INSTRUMENT_ID, MS, T0, VENUE


def _cancel(cl_ord_id: str, now: int) -> ProposedCancel:
    return ProposedCancel(
        cl_ord_id=cl_ord_id, venue=VENUE, instrument_id=INSTRUMENT_ID, reason="walk", cause="walk", ts_init_ns=now
    )


def _done(core: OrderCore, commit_id: int, now: int, *, alone: bool) -> list[object]:
    """What a caller says after a commit; one that asks for orders alone makes the words itself."""
    if not alone:
        return list(core.on_committed(commit_id, now))
    released = core.release_alone(commit_id, now)
    if released is None:
        return list(core.on_committed(commit_id, now))
    order, command = released
    return [SendToVenue(command), Emit(order.updated(now))]


@pytest.mark.parametrize("seed", range(60))
def test_a_walk_says_the_same_whether_orders_are_handed_over_alone_or_not(seed, instrument, approved, report) -> None:
    dice, now, names = random.Random(seed), T0, []
    cores = [OrderCore({INSTRUMENT_ID: instrument}, 1, OrderCoreConfig()) for _ in range(2)]
    waiting: list[int] = []
    handed = 0
    for step in range(80):
        now += dice.randrange(1, 5) * MS
        act = dice.choice(("order", "order", "replace", "cancel", "commit", "commit", "two", "report"))
        name = dice.choice(names) if names else "nobody"
        if act in {"order", "replace"}:
            replaces = name if act == "replace" else None
            order = approved(f"o{step}", replaces=replaces, side=dice.choice([Side.BUY, Side.SELL]))
            said = [core.on_approved(order, now) for core in cores]
            names.append(f"o{step}")
        elif act == "cancel":
            said = [core.on_cancel(_cancel(name, now), now) for core in cores]
        elif act == "report":
            sent = cores[0].order(VENUE, name)
            if sent is None or sent.sent_ns == 0:
                continue
            word = report(name, dice.choice([ExecType.NEW, ExecType.CANCELED]))
            said = [core.on_venue(word, now) for core in cores]
        elif waiting:
            upto = waiting[min(1 if act == "two" else 0, len(waiting) - 1)]
            waiting = [commit_id for commit_id in waiting if commit_id > upto]
            said = [_done(core, upto, now, alone=alone) for core, alone in zip(cores, (False, True), strict=True)]
            handed += any(isinstance(effect, SendToVenue) for effect in said[0])
        else:
            continue
        assert said[0] == said[1]
        waiting += [effect.commit_id for effect in said[0] if isinstance(effect, Journal)]
        assert cores[0].open_orders() == cores[1].open_orders()
        assert cores[0].waiting_commits() == cores[1].waiting_commits() == len(waiting)
    assert handed


def test_bodies_of_any_length_are_their_own_bytes(instrument, approved) -> None:
    core = OrderCore({INSTRUMENT_ID: instrument}, 1, OrderCoreConfig())
    rows = []
    for n, length in enumerate((1, 9_000, 40, 5_000, 3)):
        order = approved(f"o{n}")
        order = msgspec.structs.replace(order, order=msgspec.structs.replace(order.order, cause="c" * length))
        (written,) = core.on_approved(order, T0)
        assert isinstance(written, Journal)
        rows.append((order, *written.rows))
    for order, row in rows:
        assert row.body == encode_body(PlaceBody(order))
        assert decode_body(row.body) == PlaceBody(order)
