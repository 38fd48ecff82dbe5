"""Reduce-only never turns a position round, at a venue that does not enforce it and loses half of its words."""

from __future__ import annotations

import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.orders.core import Emit, SendToVenue
from trading.orders.messages import (
    DenyReason,
    ExecType,
    NewOrderSingle,
    OrderCancelRequest,
    OrderDenied,
    OrdStatus,
    Side,
    TimeInForce,
)
from trading.orders.order import Order
from trading.orders.reduce_only import fit, room, surplus

VENUE = "BINANCEUSDM"
INSTRUMENT_ID = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
LOT = Decimal("0.001")
D = Decimal


@given(
    position=st.integers(-50, 50),
    leaves=st.lists(st.integers(0, 30), max_size=4),
    wanted=st.integers(1, 60),
    side=st.sampled_from(Side),
)
def test_what_fits_cannot_flip_even_if_all_that_is_on_its_way_executes(position, leaves, wanted, side):
    total = LOT * sum(leaves)
    closable = room(LOT * position, side, total)
    qty = fit(LOT * wanted, closable, LOT)
    if qty:
        after = LOT * position + side.sign * (total + qty)
        assert after * position >= 0
    assert qty <= LOT * wanted


class Enemy:
    """A venue without reduce-only of its own; orders live until it says otherwise, and words may be lost."""

    def __init__(self, desk, approved, report, seed):
        self.desk, self.approved, self.report = desk, approved, report
        self.random = random.Random(seed)
        self.live: dict[str, tuple[Side, Decimal, bool]] = {}
        self.position = D(0)
        self.executions = 0
        self.orders = 0
        self.heard = []
        self.denied = 0

    def listen(self, effects):
        for effect in effects:
            if isinstance(effect, SendToVenue):
                command = effect.command
                if isinstance(command, NewOrderSingle) and self.random.random() < 0.8:
                    self.live[command.cl_ord_id] = (command.side, command.order_qty, command.reduce_only)
                    self.heard.append(self.report(command.cl_ord_id, ExecType.NEW, f"n{command.cl_ord_id}"))
                elif isinstance(command, OrderCancelRequest) and command.orig_cl_ord_id in self.live:
                    del self.live[command.orig_cl_ord_id]
                    self.heard.append(
                        self.report(command.orig_cl_ord_id, ExecType.CANCELED, f"c{command.orig_cl_ord_id}")
                    )
            elif isinstance(effect, Emit) and isinstance(effect.message, OrderDenied):
                self.denied += effect.message.reason is DenyReason.REDUCE_ONLY

    def order(self, side, lots, *, reduce_only):
        self.orders += 1
        order = self.approved(f"pd1-{self.orders}", str(LOT * lots), side=side)
        tif = self.random.choice([TimeInForce.IOC, TimeInForce.GTC])
        order = msgspec.structs.replace(
            order, order=msgspec.structs.replace(order.order, reduce_only=reduce_only, time_in_force=tif)
        )
        self.listen(self.desk.place(order))

    def execute(self):
        cl_ord_id = self.random.choice(list(self.live))
        side, left, closes = self.live[cl_ord_id]
        qty = min(left, LOT * self.random.randint(1, 9))
        before = self.position
        self.position += side.sign * qty
        self.executions += 1
        if qty == left:
            del self.live[cl_ord_id]
        else:
            self.live[cl_ord_id] = (side, left - qty, closes)
        self.heard.append(
            self.report(
                cl_ord_id,
                ExecType.TRADE,
                f"x{self.executions}",
                side=side,
                exec_seq=self.executions,
                last_qty=str(qty),
                last_px="50000",
                cum_qty="0",
            )
        )
        if closes:
            assert before * self.position >= 0, "a reduce-only order turned the position round"
            assert abs(self.position) < abs(before), "a reduce-only order opened something"

    def step(self):
        kind = self.random.random()
        if kind < 0.25:
            # Entries go one way only: what a plain order does is its own plan.
            side = Side.BUY if self.position > 0 or not self.live else None
            if side is not None:
                self.order(side, self.random.randint(1, 9), reduce_only=False)
        elif kind < 0.55:
            self.order(self.random.choice(list(Side)), self.random.randint(1, 12), reduce_only=True)
        elif kind < 0.75 and self.live:
            self.execute()
        elif kind < 0.95 and self.heard:
            message = self.heard.pop(self.random.randrange(len(self.heard)))
            if self.random.random() < 0.9 or message.exec_type is ExecType.TRADE:
                self.listen(self.desk.venue(message))
        else:
            self.listen(self.desk.later(150))


@pytest.mark.req("P-ORD-9")
@pytest.mark.parametrize("seed", range(25))
def test_no_sequence_of_fills_acks_and_silence_lets_reduce_only_flip_a_position(new_desk, approved, report, seed):
    enemy = Enemy(new_desk(), approved, report, seed)
    for _ in range(150):
        enemy.step()
    assert enemy.executions > 5
    assert enemy.denied > 5


def place(desk, approved, name, qty, *, side=Side.SELL, reduce_only=True, tif=TimeInForce.GTC):
    order = approved(name, qty, side=side)
    changed = msgspec.structs.replace(order.order, reduce_only=reduce_only, time_in_force=tif)
    return desk.place(msgspec.structs.replace(order, order=changed))


def trade(report, name, exec_seq, side, qty):
    return report(
        name, ExecType.TRADE, f"x{exec_seq}", exec_seq=exec_seq, side=side, last_qty=qty, last_px="1", cum_qty="0"
    )


def test_an_unknown_order_keeps_its_claim(desk, approved, report):
    place(desk, approved, "pd1-1", "0.010", side=Side.BUY, reduce_only=False)
    desk.venue(trade(report, "pd1-1", 1, Side.BUY, "0.010"))
    place(desk, approved, "pd1-2", "0.006", tif=TimeInForce.IOC)
    desk.later(500)
    assert desk.status("pd1-2") is OrdStatus.UNKNOWN
    said = place(desk, approved, "pd1-3", "0.005", tif=TimeInForce.IOC)
    (denied,) = [e.message for e in said if isinstance(e, Emit) and isinstance(e.message, OrderDenied)]
    assert denied.reason is DenyReason.REDUCE_ONLY
    assert "0.006 are on their way, 0.004 may go" in denied.text
    place(desk, approved, "pd1-4", "0.004", tif=TimeInForce.IOC)
    assert desk.core.order(VENUE, "pd1-4") is not None


def test_a_resting_exit_goes_when_the_position_it_was_to_close_is_gone(desk, approved, report):
    place(desk, approved, "pd1-1", "0.010", side=Side.BUY, reduce_only=False)
    desk.venue(trade(report, "pd1-1", 1, Side.BUY, "0.010"))
    place(desk, approved, "pd1-2", "0.010")
    desk.venue(report("pd1-2", ExecType.NEW, "n2"))
    place(desk, approved, "pd1-3", "0.010", reduce_only=False)  # somebody closes it by a plain order
    desk.said.clear()
    desk.venue(trade(report, "pd1-3", 2, Side.SELL, "0.010"))
    cancels = [s.command for s in desk.said if isinstance(s, SendToVenue) and isinstance(s.command, OrderCancelRequest)]
    assert [c.orig_cl_ord_id for c in cancels] == ["pd1-2"]


def test_of_two_exits_the_older_keeps_its_claim(approved):
    def order(name, qty):
        return Order(approved=approved(name, qty, side=Side.SELL))

    older, newer = order("a", "0.006"), order("b", "0.005")
    assert surplus(D("0.011"), [older, newer]) == []
    assert surplus(D("0.010"), [older, newer]) == [newer]
    assert surplus(D(0), [older, newer]) == [older, newer]
