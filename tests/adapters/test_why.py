"""The story of an order, told from the journal alone."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest

from adapters.journal.store import SqliteJournal
from adapters.why import UnknownOrder, story_of, why
from trading.instruments import Instrument, InstrumentKind
from trading.orders.core import Effect, Journal, OrderCore, OrderCoreConfig
from trading.orders.journal_rows import (
    AmendedBody,
    CancelBody,
    InPlace,
    JournalKind,
    JournalRow,
    PlaceBody,
    RowBody,
    RowDraft,
    encode_body,
)
from trading.orders.messages import (
    ApprovedOrder,
    Contingency,
    ExecType,
    ExecutionReport,
    Leg,
    Liquidity,
    OrdStatus,
    OrdType,
    ProposedCancel,
    ProposedOrder,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

VENUE = "BINANCEUSDM"
BTC = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
MS = 1_000_000
T0 = 1_790_000_000_000_000_000


def report(exec_type: ExecType, exec_id: str, status: OrdStatus, last: str = "0", cum: str = "0") -> ExecutionReport:
    return ExecutionReport(
        venue=VENUE,
        instrument_id=BTC,
        cl_ord_id="pd7-1",
        orig_cl_ord_id=None,
        order_id="V9",
        exec_id=exec_id,
        exec_seq=1,
        exec_type=exec_type,
        ord_status=status,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTX,
        order_qty=Decimal("0.010"),
        price=Decimal(50000),
        last_qty=Decimal(last),
        last_px=Decimal(50000),
        cum_qty=Decimal(cum),
        leaves_qty=Decimal(0),
        avg_px=Decimal(0),
        liquidity=Liquidity.MAKER,
        fee=Decimal("0.05"),
        fee_asset="USDT",
        text="",
        ts_event_ns=T0,
        ts_init_ns=T0,
    )


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "journal.db"
    instrument = Instrument(
        instrument_id=BTC,
        venue=VENUE,
        symbol="BTCUSDT",
        kind=InstrumentKind.LINEAR,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        max_qty=Decimal(100),
        min_notional=Decimal(5),
    )
    core = OrderCore({BTC: instrument}, 7, OrderCoreConfig())
    order = ProposedOrder(
        cl_ord_id="pd7-1",
        venue=VENUE,
        instrument_id=BTC,
        side=Side.BUY,
        ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTX,
        order_qty=Decimal("0.010"),
        price=Decimal(50000),
        reduce_only=False,
        legs=(
            Leg(strategy_id="maker", intent_id="m-1", qty=Decimal("0.006")),
            Leg(strategy_id="basis", intent_id="b-1", qty=Decimal("0.004")),
        ),
        replaces=None,
        ref_price=Decimal("50000.5"),
        book_update_id=4711,
        book_ts_recv_ns=T0 - 3 * MS,
        story={"net": "10 lots of two strategies"},
        cause="book:4711",
        ts_init_ns=T0 - 2 * MS,
    )
    with SqliteJournal(path) as store:

        def carry(effects: list[Effect], now_ns: int) -> None:
            for effect in effects:
                if isinstance(effect, Journal):
                    store.append(effect.rows)
                    core.on_committed(effect.commit_id, now_ns + MS // 2)

        approved = ApprovedOrder(order=order, epoch=7, checks={"max_order_qty": "0.010 of 1"}, ts_init_ns=T0 - MS)
        carry(core.on_approved(approved, T0), T0)
        carry(core.on_venue(report(ExecType.NEW, "a1", OrdStatus.NEW), T0 + 8 * MS), T0 + 8 * MS)
        cancel = ProposedCancel(
            cl_ord_id="pd7-1", venue=VENUE, instrument_id=BTC, reason="quote moved", cause="book:4712", ts_init_ns=T0
        )
        carry(core.on_cancel(cancel, T0 + 9 * MS), T0 + 9 * MS)
        fill = report(ExecType.TRADE, "x1", OrdStatus.FILLED, "0.010", "0.010")
        carry(core.on_venue(fill, T0 + 2_000 * MS), T0 + 2_000 * MS)
    return path


@pytest.mark.req("P-ORD-15")
def test_a_fill_is_walked_back_to_its_journal_entry_and_its_tick(journal) -> None:
    story = why(journal, "pd7-1")
    assert (story.trace, story.epoch) == ("book:4711", 7)
    assert [step.name for step in story.steps] == [
        "tick",
        "intents",
        "netting",
        "risk",
        "journal",
        "sent",
        "ack",
        "cancel",
        "fill",
        "fee",
        "ledger",
    ]
    assert [step.seq for step in story.steps if step.seq is not None] == [1, 2, 3, 4]


def test_the_story_is_told_in_words(journal) -> None:
    text = why(journal, "pd7-1").to_text()
    for words in (
        "pd7-1 on BINANCEUSDM",
        "book update 4711",
        "maker 0.006 (m-1), basis 0.004 (b-1)",
        "10 lots of two strategies",
        "max_order_qty 0.010 of 1",
        "fencing token 7 [row 1]",
        "+500us  sent",
        "+7.5ms  ack",
        "quote moved",
        "0.010 at 50000 as maker, execution x1, for maker 0.006, basis 0.004",
        "entry BINANCEUSDM:x1, position +0.010",
    ):
        assert words in text, text


def test_an_unknown_order_names_the_nearest(journal) -> None:
    with pytest.raises(UnknownOrder) as caught:
        why(journal, "pd7-11")
    assert caught.value.nearest == ("pd7-1",)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_order_of_the_tail_that_is_not_indexed_yet_is_found(tmp_path, journal) -> None:
    with SqliteJournal(tmp_path / "other.db") as store, SqliteJournal(journal) as source:
        store.append([row_of(row) for row in source.read()])
        assert len(why(tmp_path / "other.db", "pd7-1").steps) == 11
        with pytest.raises(UnknownOrder, match="nearest: pd7-1"):
            why(tmp_path / "other.db", "pd7-2")


def row_of(row):
    return RowDraft(*(getattr(row, name) for name in RowDraft.__struct_fields__))


@pytest.mark.req("P-ORD-15", "P-ORD-11")
def test_an_amendment_in_place_tells_what_the_order_was_and_when_it_became_another() -> None:
    now = T0 + 9 * MS

    def row(seq: int, kind: JournalKind, body: RowBody) -> JournalRow:
        return JournalRow(
            seq=seq, ts_ns=now, kind=kind, venue=VENUE, cl_ord_id="pd7-2", exec_id=None, parent_id="m-2", epoch=7,
            body=encode_body(body),
        )  # fmt: skip

    proposed = ProposedOrder(
        cl_ord_id="pd7-2", venue=VENUE, instrument_id=BTC, side=Side.BUY, ord_type=OrdType.LIMIT,
        time_in_force=TimeInForce.GTX, order_qty=Decimal("0.006"), price=Decimal(50001), reduce_only=False,
        legs=(Leg("maker", "m-2", Decimal("0.006")),), replaces="pd7-1", ref_price=Decimal(50001),
        book_update_id=1, book_ts_recv_ns=T0, story={}, cause="book:1", ts_init_ns=T0,
    )  # fmt: skip
    amends = InPlace(wire_id="pd7-1", base_qty=Decimal("0.004"), old_qty=Decimal("0.010"), old_price=Decimal(50000))
    placed = PlaceBody(ApprovedOrder(proposed, 7, {}, T0), amends)
    proof = AmendedBody(report=report(ExecType.ORDER_STATUS, "", OrdStatus.NEW, cum="0.004"), sent_ns=T0 + MS)
    story = story_of("pd7-2", [row(1, JournalKind.REPLACE, placed), row(2, JournalKind.ACK, proof)])
    told = {step.name: step.text for step in story.steps}
    assert "amends pd7-1 in place, at the venue pd7-1: 0.010 at 50000, 0.004 of it executed" in told["journal"]
    assert told["ack"] == "amended in place: 0.010 at 50000, 0.004 of it executed, order id V9"
    assert "sent" in told


@pytest.mark.req("P-ORD-15")
def test_a_leg_of_a_list_tells_of_its_list_and_of_the_twin_that_ended_it() -> None:
    def row(seq: int, kind: JournalKind, body: RowBody) -> JournalRow:
        return JournalRow(
            seq=seq, ts_ns=T0 + seq * MS, kind=kind, venue=VENUE, cl_ord_id="pd7-g2", exec_id=None, parent_id="m-2",
            epoch=7, body=encode_body(body),
        )  # fmt: skip

    proposed = ProposedOrder(
        cl_ord_id="pd7-g2", venue=VENUE, instrument_id=BTC, side=Side.SELL, ord_type=OrdType.TAKE_PROFIT,
        time_in_force=TimeInForce.IOC, order_qty=Decimal("0.006"), price=None, reduce_only=True,
        legs=(Leg("maker", "m-2", Decimal("0.006")),), replaces=None, ref_price=Decimal(52000),
        book_update_id=0, book_ts_recv_ns=T0, story={}, cause="m-2", ts_init_ns=T0,
        trigger=TriggeringInstructions(Decimal(52000), TriggerPriceType.MARK, True), contingency=Contingency("pd7-l1"),
    )  # fmt: skip
    reason = "one cancels the other: pd7-g1 of list pd7-l1 was executed"
    cancel = ProposedCancel(
        cl_ord_id="pd7-g2", venue=VENUE, instrument_id=BTC, reason=reason, cause="m-2", ts_init_ns=T0
    )
    rows = [
        row(1, JournalKind.PLACE, PlaceBody(ApprovedOrder(proposed, 7, {}, T0))),
        row(2, JournalKind.CANCEL, CancelBody(cancel=cancel, cancel_id="pd7-g2-c1")),
    ]
    told = {step.name: step.text for step in story_of("pd7-g2", rows).steps}
    assert "a leg of list pd7-l1 (one cancels the other)" in told["journal"]
    assert told["cancel"] == f"{reason} (as pd7-g2-c1)"
