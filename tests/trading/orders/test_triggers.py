"""Orders that wait for a price: well formed or refused, held by the venue, triggered, found again after a restart."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from trading.instruments import InstrumentKind
from trading.orders import triggers
from trading.orders.core import Emit, OrderCore, OrderCoreConfig
from trading.orders.journal_rows import JournalKind, JournalRow, PlaceBody, decode_body, encode_body
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    ExecType,
    OrderCancelReject,
    OrderCancelRequest,
    OrderDenied,
    OrdStatus,
    OrdType,
    ProposedCancel,
    SelfTradePrevention,
    Side,
    TriggeringInstructions,
    TriggerPriceType,
)

VENUE = "BINANCEUSDM"
INSTRUMENT_ID = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
MARK = TriggeringInstructions(Decimal(49_000), TriggerPriceType.MARK)


@pytest.fixture
def stop(approved, monkeypatch):
    """A stop-limit order; the venue of these tests holds such."""
    monkeypatch.setitem(
        triggers.SUPPORT, (VENUE, InstrumentKind.LINEAR), triggers.SUPPORT["binanceusdm", InstrumentKind.LINEAR]
    )

    def build(cl_ord_id="pd1-1", **fields):
        given = {"ord_type": OrdType.STOP_LIMIT, "trigger": MARK, **fields}
        order = approved(cl_ord_id)
        return msgspec.structs.replace(order, order=msgspec.structs.replace(order.order, **given))

    return build


@pytest.fixture
def held(desk, stop, report):
    """A desk whose venue holds the order until its trigger."""
    desk.place(stop())
    desk.venue(report("pd1-1", ExecType.NEW, "e1", ord_status=OrdStatus.PENDING_TRIGGER))
    return desk


def test_the_venue_holds_it_triggers_it_and_fills_it(held, report):
    assert held.status("pd1-1") is OrdStatus.PENDING_TRIGGER
    held.venue(report("pd1-1", ExecType.TRIGGERED, "e2"))
    assert held.status("pd1-1") is OrdStatus.NEW
    held.venue(report("pd1-1", ExecType.TRADE, "x1", exec_seq=1, last_qty="0.010", last_px="49000", cum_qty="0.010"))
    assert held.status("pd1-1") is OrdStatus.FILLED


def test_its_exposure_counts_while_it_waits(held):
    assert held.core.exposure()[INSTRUMENT_ID].buy_leaves == Decimal("0.010")


def test_a_fill_may_overtake_the_word_of_the_trigger(held, report):
    held.venue(report("pd1-1", ExecType.TRADE, "x1", exec_seq=1, last_qty="0.004", last_px="49000", cum_qty="0.004"))
    assert held.status("pd1-1") is OrdStatus.PARTIALLY_FILLED
    held.venue(report("pd1-1", ExecType.TRIGGERED, "e2"))
    assert held.status("pd1-1") is OrdStatus.PARTIALLY_FILLED


def test_a_late_word_of_the_time_before_does_not_put_a_live_order_back(desk, stop, report):
    desk.place(stop())
    desk.venue(report("pd1-1", ExecType.TRIGGERED, "e2"))
    desk.venue(report("pd1-1", ExecType.NEW, "e1", ord_status=OrdStatus.PENDING_TRIGGER))
    assert desk.status("pd1-1") is OrdStatus.NEW


def test_a_refused_cancel_leaves_it_waiting(held, instrument):
    cancel = ProposedCancel(
        cl_ord_id="pd1-1", venue=VENUE, instrument_id=INSTRUMENT_ID, reason="r", cause="c", ts_init_ns=held.now
    )
    held.do(held.core.on_cancel(cancel, held.now))
    request = next(c for c in (getattr(s, "command", None) for s in held.said) if isinstance(c, OrderCancelRequest))
    assert held.status("pd1-1") is OrdStatus.PENDING_CANCEL
    held.venue(
        OrderCancelReject(
            venue=VENUE,
            instrument_id=INSTRUMENT_ID,
            cl_ord_id=request.cl_ord_id,
            orig_cl_ord_id="pd1-1",
            ord_status=OrdStatus.PENDING_TRIGGER,
            text="busy",
            ts_event_ns=0,
            ts_init_ns=0,
        )
    )
    assert held.status("pd1-1") is OrdStatus.PENDING_TRIGGER


def test_a_query_finds_out_that_it_was_triggered(held, report):
    held.venue(report("pd1-1", ExecType.ORDER_STATUS, ord_status=OrdStatus.PENDING_TRIGGER))
    assert held.status("pd1-1") is OrdStatus.PENDING_TRIGGER
    held.venue(report("pd1-1", ExecType.ORDER_STATUS, ord_status=OrdStatus.NEW))
    assert held.status("pd1-1") is OrdStatus.NEW


def test_a_restart_finds_it_waiting(held, instrument):
    again = OrderCore({instrument.instrument_id: instrument}, 2, OrderCoreConfig())
    again.restore(held.rows)
    order = again.order(VENUE, "pd1-1")
    assert (order.ord_status, order.held) == (OrdStatus.PENDING_TRIGGER, True)


BAD = [
    ({"trigger": None}, "needs a trigger price"),
    ({"ord_type": OrdType.LIMIT}, "a limit order waits for nothing"),
    ({"price": None}, "price: a stop_limit order needs one"),
    ({"ord_type": OrdType.STOP}, "price: a stop order has none"),
    ({"trigger": TriggeringInstructions(Decimal(0), TriggerPriceType.MARK)}, "must be a positive price"),
    ({"trigger": TriggeringInstructions(Decimal(1), TriggerPriceType.INDEX)}, "does not watch index but last, mark"),
    ({"trigger": TriggeringInstructions(Decimal(1), TriggerPriceType.MARK, True)}, "only an order that is reduce_only"),
]


@pytest.mark.parametrize(("fields", "words"), BAD)
def test_an_ill_formed_order_is_denied_and_told_what_is_wrong(desk, stop, fields, words):
    said = desk.place(stop(**fields))
    (denied,) = [e.message for e in said if isinstance(e, Emit) and isinstance(e.message, OrderDenied)]
    assert denied.reason is DenyReason.TRIGGER
    assert words in denied.text


@pytest.mark.req("P-ORD-10")
@pytest.mark.parametrize(
    ("key", "support"), triggers.SUPPORT.items(), ids=[f"{venue}-{kind.value}" for venue, kind in triggers.SUPPORT]
)
def test_closing_on_trigger_is_for_contracts_and_refused_elsewhere(approved, key, support):
    venue, kind = key
    source = min(support.sources, key=str)
    order = msgspec.structs.replace(
        approved("pd1-1").order,
        venue=venue,
        ord_type=OrdType.STOP_LIMIT,
        reduce_only=True,
        trigger=TriggeringInstructions(Decimal(1), source, close_on_trigger=True),
    )
    text = triggers.refusal(order, kind)
    assert (text is None) is (kind is not InstrumentKind.SPOT)
    assert text is None or "close_on_trigger" in text


@pytest.mark.parametrize(
    ("ord_type", "side", "price", "sets_off"),
    [
        (OrdType.STOP, Side.SELL, 99, True),
        (OrdType.STOP, Side.SELL, 101, False),
        (OrdType.STOP, Side.BUY, 101, True),
        (OrdType.STOP, Side.BUY, 99, False),
        (OrdType.TAKE_PROFIT, Side.SELL, 101, True),
        (OrdType.TAKE_PROFIT, Side.SELL, 99, False),
        (OrdType.TAKE_PROFIT_LIMIT, Side.BUY, 99, True),
        (OrdType.TAKE_PROFIT_LIMIT, Side.BUY, 101, False),
    ],
)
def test_a_stop_goes_with_the_market_and_a_take_profit_against_it(ord_type, side, price, sets_off):
    assert triggers.reached(ord_type, side, Decimal(100), Decimal(price)) is sets_off
    assert triggers.reached(ord_type, side, Decimal(100), Decimal(100))


def test_journals_and_checkpoints_of_earlier_versions_still_load(instrument):
    place, fill, checkpoint = map(
        bytes.fromhex, Path(__file__).with_name("journal_before_triggers.txt").read_text("ascii").split()
    )
    rows = [
        JournalRow(
            seq=seq,
            ts_ns=1_790_000_000_000_000_000,
            kind=kind,
            venue=VENUE,
            cl_ord_id="pd1-1",
            exec_id=exec_id,
            parent_id="i",
            epoch=1,
            body=body,
        )
        for seq, kind, exec_id, body in (
            (1, JournalKind.PLACE, None, place),
            (2, JournalKind.PARTIAL, "x1", fill),
        )
    ]
    for load in (lambda core: core.restore(rows), lambda core: core.restore([], checkpoint)):
        core = OrderCore({instrument.instrument_id: instrument}, 2, OrderCoreConfig())
        load(core)
        order = core.order(VENUE, "pd1-1")
        assert (order.ord_status, order.cum_qty) == (OrdStatus.PARTIALLY_FILLED, Decimal("0.004"))
        assert (order.proposed.trigger, order.proposed.stp, order.held) == (None, None, False)
    # And an order that says nothing new has the bytes that it had.
    assert [encode_body(decode_body(raw)) for raw in (place, fill)] == [place, fill]


def test_what_an_order_says_of_triggers_and_self_trades_survives_the_journal(stop):
    order = stop(stp=SelfTradePrevention.CANCEL_NEWEST)
    assert isinstance(order, ApprovedOrder)
    assert decode_body(encode_body(PlaceBody(order))) == PlaceBody(order)
