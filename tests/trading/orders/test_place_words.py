"""The journal's words of a new order in C: the bytes of the reference, or none for whatever is not as usual."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import native
from trading.orders.journal_rows import PlaceBody, decode_body, encode_body, encode_place
from trading.orders.messages import (
    ApprovedOrder,
    Contingency,
    Leg,
    OrderStory,
    OrdType,
    ProposedOrder,
    QuoteIntent,
    RiskChecks,
    SelfTradePrevention,
    Side,
    TargetIntent,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
    Urgency,
)

pytestmark = pytest.mark.skipif(native.orders is None, reason="no native code was built")

WORDS = st.one_of(st.text("abz:-_@.09", max_size=40), st.sampled_from(["", "x" * 31, "x" * 32, "x" * 255]))
EDGES = [0, 1, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1]
NUMBERS = st.one_of(st.sampled_from([*EDGES, *(-n for n in EDGES), -33, -129, -32_769, -(2**31) - 1]), st.integers())
NUMBERS = NUMBERS.filter(lambda n: -(2**63) <= n < 2**63)
AMOUNTS = st.one_of(st.decimals(allow_nan=False, places=3), st.sampled_from([Decimal("0E+2"), Decimal("1E-9")]))
MAYBE = st.one_of(st.none(), AMOUNTS)
LEVELS = st.tuples(NUMBERS, NUMBERS)
TARGETS = st.builds(
    TargetIntent,
    WORDS,
    WORDS,
    WORDS,
    NUMBERS,
    st.sampled_from(Urgency),
    st.one_of(st.none(), NUMBERS),
    st.floats(allow_nan=False),
    NUMBERS,
    st.lists(WORDS, max_size=3).map(tuple),
    WORDS,
    NUMBERS,
)
STORIES = st.builds(
    OrderStory,
    WORDS,
    WORDS,
    LEVELS,
    LEVELS,
    st.booleans(),
    st.lists(st.tuples(WORDS, NUMBERS), max_size=3).map(tuple),
    st.lists(TARGETS, max_size=2).map(tuple),
    WORDS,
)
ORDERS = st.builds(
    ProposedOrder,
    WORDS,
    WORDS,
    WORDS,
    st.sampled_from(Side),
    st.sampled_from(OrdType),
    st.sampled_from(TimeInForce),
    AMOUNTS,
    MAYBE,
    st.booleans(),
    st.lists(st.builds(Leg, WORDS, WORDS, AMOUNTS), max_size=3).map(tuple),
    st.none(),
    AMOUNTS,
    NUMBERS,
    NUMBERS,
    STORIES,
    WORDS,
    NUMBERS,
)
LIMITS = st.lists(WORDS, max_size=12).map(lambda words: msgspec.Raw(msgspec.msgpack.encode(words)))
CHECKS = st.builds(
    RiskChecks, LIMITS, WORDS, WORDS, NUMBERS, MAYBE, AMOUNTS, AMOUNTS, MAYBE, MAYBE, MAYBE, MAYBE, NUMBERS, NUMBERS
)
APPROVALS = st.builds(ApprovedOrder, ORDERS, NUMBERS, CHECKS, NUMBERS)

USUAL = ApprovedOrder(
    ProposedOrder(
        "pd1-btcusdtl-1f",
        "binanceusdm",
        "BINANCEUSDM:PERP:BTC-USDT:LINEAR",
        Side.BUY,
        OrdType.LIMIT,
        TimeInForce.IOC,
        Decimal("0.004"),
        Decimal("61800.1"),
        False,
        (Leg("flip", "flip:1", Decimal("0.004")),),
        None,
        Decimal("61800.05"),
        40,
        1_700_000_000_000_000_000,
        OrderStory("0.1", "0.001", (618_000, 3), (618_001, 9), True, (("flip", 0),), (), ""),
        "BINANCEUSDM:PERP:BTC-USDT:LINEAR@40",
        1_700_000_000_000_000_001,
    ),
    7,
    RiskChecks(msgspec.Raw(b"\x90"), "5", "0", 1, None, Decimal(2), Decimal(3), None, None, None, None, 1, 1),
    1_700_000_000_000_000_002,
)


@given(APPROVALS)
def test_a_usual_order_is_said_in_the_bytes_of_the_reference(approved):
    said = encode_place(approved)
    assert said == encode_body(PlaceBody(approved))
    assert encode_body(decode_body(said)) == said


@given(APPROVALS, st.lists(AMOUNTS, min_size=1, max_size=2))
def test_amounts_that_occur_again_are_said_again(approved, few):
    """As those of a usual order do: its leg is of its quantity."""
    checks = msgspec.structs.replace(approved.checks, notional=few[0], mid=few[-1], worst=few[0])
    legs = (Leg("s", "i", few[0]), Leg("t", "j", few[-1]))
    fields = {"order_qty": few[0], "price": few[-1], "ref_price": few[-1], "legs": legs}
    order = msgspec.structs.replace(approved.order, **fields)
    approved = msgspec.structs.replace(approved, order=order, checks=checks)
    assert encode_place(approved) == encode_body(PlaceBody(approved))


def _with(**fields):
    return msgspec.structs.replace(USUAL, order=msgspec.structs.replace(USUAL.order, **fields))


QUOTE = QuoteIntent("i", "s", "x", 1, 2, 3, 4, 0.5, 6, (), "cause", 7)
TRIGGER = TriggeringInstructions(Decimal(1), TriggerPriceType.MARK)


@pytest.mark.parametrize(
    "approved",
    [
        _with(replaces="pd1-btcusdtl-1e"),
        _with(trigger=TRIGGER),
        _with(stp=SelfTradePrevention.NONE),
        _with(contingency=Contingency("pd1-l1")),
        _with(story={"why": "of an earlier version"}),
        _with(story=msgspec.structs.replace(USUAL.order.story, intents=(QUOTE,))),
        _with(story=msgspec.structs.replace(USUAL.order.story, held=(("s", 1),) * 16)),
        _with(cause="weil der Preis fällt"),
        _with(cause="x" * 256),
        _with(book_update_id=2**63),
        _with(order_qty=1),
        _with(legs=[USUAL.order.legs[0]]),
        _with(cause="x" * 200, legs=tuple(Leg("y" * 255, "z" * 255, Decimal(1)) for _ in range(9))),
        msgspec.structs.replace(USUAL, checks={"loss": "0/1"}),
    ],
)
def test_what_is_not_as_usual_is_left_to_the_reference(approved):
    assert encode_place(approved) is None
    assert encode_place(USUAL) == encode_body(PlaceBody(USUAL))
    assert encode_body(PlaceBody(approved))


def test_no_field_of_an_order_is_unknown_to_the_words_in_c():
    known = "cl_ord_id venue instrument_id side ord_type time_in_force order_qty price reduce_only legs replaces"
    known += " ref_price book_update_id book_ts_recv_ns story cause ts_init_ns trigger stp contingency"
    assert ProposedOrder.__struct_fields__ == tuple(known.split()), "say it, or leave orders that have it"
    assert PlaceBody.__struct_fields__ == ("approved", "in_place")
    assert ApprovedOrder.__struct_fields__ == ("order", "epoch", "checks", "ts_init_ns")
    assert len(RiskChecks.__struct_fields__) == 13
    assert len(OrderStory.__struct_fields__) == 8
    assert len(TargetIntent.__struct_fields__) == 11
    assert Leg.__struct_fields__ == ("strategy_id", "intent_id", "qty")
