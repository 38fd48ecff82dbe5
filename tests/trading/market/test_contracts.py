"""Data contracts: each rule's breach is found, counted and shown by its first rows; sound rows break nothing."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trading.market.contracts import (
    BreachCode,
    Contract,
    ContractCheck,
    InRange,
    InSet,
    Monotonic,
    NotNull,
    Ordered,
    Unique,
    describe,
)
from trading.market.data_contracts import CONTRACTS, event_row, feature_contract
from trading.market.events import (
    Aggressor,
    BookState,
    BookTicker,
    BookTop,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    Liquidation,
    MarkPrice,
    PositionSide,
    Trade,
    WireRejected,
)

MS = 1_000_000
NOW = 1_700_000_000_000 * MS
ID = "BINANCE:SPOT:BTC-USDT"


def check(*rules, **options):
    return ContractCheck(Contract(name="c", rules=rules, **options))


@pytest.mark.parametrize(
    ("rule", "row", "code"),
    [
        (NotNull(("a", "b")), {"a": 1}, BreachCode.IS_NULL),
        (NotNull(("a",)), {"a": None}, BreachCode.IS_NULL),
        (NotNull(("a",)), {"a": 0}, None),
        (InRange("a", 0, 10), {"a": -0.001}, BreachCode.OUT_OF_RANGE),
        (InRange("a", 0, 10), {"a": 0}, None),
        (InRange("a", 0, 10, above=True), {"a": 0}, BreachCode.OUT_OF_RANGE),
        (InRange("a", 0, 10), {"a": Decimal(10)}, None),
        (InRange("a", 0, 10), {"a": Decimal("10.001")}, BreachCode.OUT_OF_RANGE),
        (InRange("a", 5, unset=0), {"a": 0}, None),
        (InRange("a", 0, 10), {}, None),
        (InRange("a"), {"a": math.nan}, BreachCode.NOT_A_NUMBER),
        (InRange("a"), {"a": math.inf}, BreachCode.NOT_A_NUMBER),
        (InRange("a"), {"a": Decimal("sNaN")}, BreachCode.NOT_A_NUMBER),
        (InRange("a"), {"a": "5"}, BreachCode.NOT_A_NUMBER),
        (InRange("a"), {"a": True}, BreachCode.NOT_A_NUMBER),
        (InSet("a", frozenset({"x", "y"})), {"a": "z"}, BreachCode.NOT_IN_SET),
        (InSet("a", frozenset({"x", "y"})), {"a": ["x"]}, BreachCode.NOT_IN_SET),
        (InSet("a", frozenset({"x", "y"})), {"a": "x"}, None),
        (Ordered("a", "b"), {"a": 2, "b": 1}, BreachCode.NOT_ORDERED),
        (Ordered("a", "b"), {"a": 1, "b": 1}, None),
        (Ordered("a", "b", strictly=True), {"a": 1, "b": 1}, BreachCode.NOT_ORDERED),
        (Ordered("a", "b"), {"a": None, "b": 1}, None),
        (Ordered("a", "b"), {"a": "1", "b": 1}, BreachCode.NOT_A_NUMBER),
        (Monotonic("a"), {"a": "1"}, BreachCode.NOT_A_NUMBER),
    ],
)
def test_each_rule_finds_its_breach_at_its_bound(rule, row, code):
    assert check(rule).on_row(row) == ([] if code is None else [code])


@pytest.mark.parametrize(
    ("rule", "rows", "codes"),
    [
        (Monotonic("n"), [1, 1, 3, 2, 3], {3: BreachCode.WENT_BACK}),
        (Monotonic("n", strictly=True), [1, 1, 2], {1: BreachCode.WENT_BACK}),
        (Monotonic("n", slack=2), [5, 3, 2], {2: BreachCode.WENT_BACK}),
        (Monotonic("n", step=1), [1, 2, 4, 5], {2: BreachCode.HOLE}),
        # One garbled row back does not excuse the next.
        (Monotonic("n"), [9, 1, 2, 10], {1: BreachCode.WENT_BACK, 2: BreachCode.WENT_BACK}),
        (Unique(("n",)), [1, 2, 1, 1], {2: BreachCode.REPEATED, 3: BreachCode.REPEATED}),
        (Unique(("n",), remembered=2), [1, 2, 3, 1, 3], {4: BreachCode.REPEATED}),
    ],
)
def test_rules_over_several_rows_name_the_row(rule, rows, codes):
    checked = check(rule)
    found = {n: broken[0] for n, value in enumerate(rows) if (broken := checked.on_row({"n": value}))}
    assert found == codes
    report = checked.report()
    assert (report.rows, report.bad_rows) == (len(rows), len(codes))
    assert sorted(example.row for breaches in report.breaches for example in breaches.first) == sorted(codes)


@pytest.mark.parametrize(
    ("rows", "holes"),
    [
        ([(11, 12, 10), (13, 15, 12), (16, 16, 15)], 0),  # numbers after numbers
        ([(11, 12, 10), (14, 15, 13)], 1),
        ([(11, 12, -1), (13, 15, -1)], 0),  # no previous number is stated: the first one tells
        ([(11, 12, None), (14, 15, None)], 1),
        ([(5, 12, 3), (900, 990, 12)], 0),  # numbers of many symbols: only the previous one tells
    ],
)
def test_a_diff_that_does_not_follow_the_one_before_is_a_hole(rows, holes):
    checked = check(Monotonic("final_id", prev="prev_id", first="first_id"))
    for first, final, prev in rows:
        checked.on_row({"first_id": first, "final_id": final, "prev_id": prev})
    assert sum(breaches.count for breaches in checked.report().breaches) == holes


def test_series_are_judged_apart_and_rows_beyond_their_bound_are_counted():
    contract = Contract(name="c", rules=(Monotonic("n"), NotNull(("n",))), series=("s",))
    checked = ContractCheck(contract, series_max=2)
    for s, n in (("a", 5), ("b", 1), ("a", 6), ("b", 2), ("c", 9), ("c", 1), ("c", None)):
        checked.on_row({"s": s, "n": n})
    report = checked.report()
    assert (report.series, report.series_refused, report.bad_rows) == (2, 3, 1)
    assert not report.is_kept
    assert [breaches.code for breaches in report.breaches] == [BreachCode.IS_NULL]


def test_a_breach_is_counted_exactly_and_shown_five_times_and_briefly():
    checked = check(InRange("a", 0))
    report = checked.on_rows({"a": -n, "b": "x"} for n in range(101))
    only = report.breaches[0]
    assert (only.count, len(only.first), report.bad_rows) == (100, 5, 100)
    assert only.first[0].row == 1
    assert only.first[0].text == "a is -1"
    assert only.rule == "a in [0, inf)"
    checked.on_row({"a": "y" * 500})
    assert len(checked.report().breaches[0].first[0].text) < 100


def test_a_report_does_not_change_afterwards():
    checked = check(NotNull(("a",)))
    checked.on_row({})
    before = checked.report()
    checked.on_row({})
    assert (before.breaches[0].count, len(before.breaches[0].first)) == (1, 1)


def test_every_rule_has_words():
    for contract in CONTRACTS.values():
        for rule in contract.rules:
            assert describe(rule)
    assert describe(InRange("a", 0, 1, above=True)) == "a in (0, 1]"
    assert describe(InRange("a", None, 1)) == "a in (-inf, 1]"


VALUES = st.one_of(
    st.none(), st.integers(-3, 3), st.floats(), st.text(max_size=2), st.booleans(), st.lists(st.integers()),
    st.decimals(), st.binary(max_size=2),
)  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES)))
def test_no_row_raises_and_the_counts_are_exact(rows):
    rules = (
        NotNull(("a", "b")),
        InRange("a", -2, 2),
        InSet("b", frozenset({"x", 1})),
        Ordered("a", "b"),
        Monotonic("c", prev="a", first="b"),
        Unique(("a", "c"), remembered=3),
    )
    checked = check(*rules, series=("b",))
    codes = Counter(code for row in rows for code in checked.on_row(row))
    report = checked.report()
    assert report.rows == len(rows)
    assert sum(codes.values()) == sum(breaches.count for breaches in report.breaches)
    assert report.is_kept == (not codes)


SOUND = {"low": 0, "high": 1, "side": "x", "s": 0}


@pytest.mark.req("P-MD-11")
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "n": st.one_of(st.integers(-1, 8), VALUES),
                "t": st.integers(-1, 8),
                "low": st.one_of(st.integers(0, 3), VALUES),
                "high": st.integers(1, 4),
                "side": st.sampled_from(["x", "y", "x", 1, None, True]),
            },
            optional={"unproved": st.booleans(), "s": st.integers(0, 1)},
        ),
        max_size=40,
    )
)
@example([{**SOUND, "n": n, "t": t} for n, t in enumerate((1, 0), 1)])  # below the least, which is no whole number
@example([{**SOUND, "n": n, "t": t} for n, t in enumerate((3, 1, 0), 1)])  # anew, though not far back
def test_the_short_way_of_sound_rows_changes_no_answer(rows):
    rules = (
        NotNull(("n", "side", "s")),
        InRange("n", 0, 7, above=True, unset=-1),
        InRange("t", 0.5),
        InSet("side", frozenset({"x", 1})),
        Ordered("low", "high", strictly=True),
        Monotonic("t", slack=2, restart=1),
        Unique(("n",), remembered=3),
        Unique(("n", "t"), remembered=2),
    )
    contract = Contract(name="c", rules=rules, series=("s",), unless="unproved", anew=True)
    short, long = ContractCheck(contract), ContractCheck(contract, short_way=False)
    for row in rows:
        assert short.on_row(row) == long.on_row(row)
    assert short.report() == long.report()


def test_numbers_may_begin_anew_after_rows_of_another_sort_and_with_the_number_of_a_restart():
    checked = check(Monotonic("n", restart=1), series=("s",), unless="unproved", anew=True)

    def row(n, unproved=False, s="a"):
        return checked.on_row({"n": n, "unproved": unproved, "s": s})

    assert row(9) == row(9, s="b") == []
    assert row(8) == [BreachCode.WENT_BACK]
    assert row(0, unproved=True) == row(5) == []
    assert row(8, s="b") == [BreachCode.WENT_BACK], "the other series goes on"
    assert row(1) == row(2) == []


def test_what_is_remembered_is_bounded_whatever_a_rule_asks_for():
    checked = ContractCheck(Contract(name="c", rules=(Unique(("n",)),)), remembered_max=100)
    assert [code for n in range(1_000) for code in checked.on_row({"n": n})] == []
    assert checked.on_row({"n": 899}) == []
    assert checked.on_row({"n": 999}) == [BreachCode.REPEATED]
    (seen,) = checked._only.seen.values()
    assert len(seen._keys) == len(seen._order) == 100


# --- Our own kinds ---------------------------------------------------------------------------------------


def trade(trade_id=7, price=100, lots=5, at=NOW):
    return Trade(
        instrument_id=ID,
        trade_id=trade_id,
        price_ticks=price,
        qty_lots=lots,
        aggressor=Aggressor.BUY,
        ts_event_ns=at,
        ts_recv_ns=at + MS,
    )


def depth(first, final, prev=-1):
    return DepthUpdate(
        instrument_id=ID,
        first_update_id=first,
        final_update_id=final,
        prev_final_update_id=prev,
        bids=[],
        asks=[],
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )


def quote(update_id=1, bid=99, ask=100):
    return BookTicker(
        instrument_id=ID,
        update_id=update_id,
        bid_ticks=bid,
        bid_lots=1,
        ask_ticks=ask,
        ask_lots=1,
        ts_event_ns=0,
        ts_recv_ns=NOW,
    )


def mark(price="100", rate="0.0001", at=NOW):
    return MarkPrice(
        instrument_id=ID,
        mark_price=Decimal(price),
        index_price=None,
        funding_rate=Decimal(rate),
        next_funding_ns=NOW + MS,
        ts_event_ns=at,
        ts_recv_ns=NOW,
    )


def top(update_id=5, bid=99, ask=100, lots=1, state=BookState.SYNCED):
    return BookTop(
        instrument_id=ID,
        state=state,
        update_id=update_id,
        bids=((bid, lots), (bid - 1, 4)),
        asks=((ask, 2),) if ask else (),
        ts_event_ns=0,
        ts_recv_ns=NOW,
    )


def judged(*events, kind=None):
    name, _ = event_row(events[0])
    checked = ContractCheck(CONTRACTS[kind or name])
    return [code for event in events for code in checked.on_row(event_row(event)[1])]


def test_sound_events_keep_the_contract_of_their_kind():
    assert judged(trade(1), trade(2), trade(3, at=NOW - 4000 * MS)) == []
    assert judged(trade(1), trade(2), kind="trade_numbered") == []
    assert judged(depth(1, 2), depth(3, 4)) == []
    assert judged(depth(5, 9, 3), depth(20, 30, 9)) == []
    assert judged(quote(1), quote(1), quote(5)) == []
    assert judged(top(5), top(5), top(9), top(9, ask=0), top(1), top(2), top(-1)) == []
    assert judged(top(9), top(7, bid=100, state=BookState.SUSPECT), top(7)) == []
    assert judged(mark(), mark(at=NOW + MS)) == []


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ((trade(), trade()), BreachCode.REPEATED),
        ((trade(price=0),), BreachCode.OUT_OF_RANGE),
        ((trade(lots=0),), BreachCode.OUT_OF_RANGE),
        ((trade(at=NOW // 1000),), BreachCode.OUT_OF_RANGE),  # milliseconds taken for something else
        ((trade(1), trade(2, at=NOW - 5001 * MS)), BreachCode.WENT_BACK),
        ((depth(1, 2), depth(4, 5)), BreachCode.HOLE),
        ((depth(5, 9, 3), depth(20, 30, 10)), BreachCode.HOLE),
        ((depth(1, 2), depth(3, 4), depth(1, 2)), BreachCode.WENT_BACK),
        ((depth(4, 2),), BreachCode.NOT_ORDERED),
        ((quote(5), quote(4)), BreachCode.WENT_BACK),
        ((quote(bid=100),), BreachCode.NOT_ORDERED),
        ((quote(ask=0),), BreachCode.OUT_OF_RANGE),
        ((top(5), top(4)), BreachCode.WENT_BACK),
        ((top(), top(bid=100)), BreachCode.NOT_ORDERED),
        ((top(), top(bid=0)), BreachCode.OUT_OF_RANGE),
        ((top(), top(lots=-1)), BreachCode.OUT_OF_RANGE),
        ((mark("0"),), BreachCode.OUT_OF_RANGE),
        ((mark("NaN"),), BreachCode.NOT_A_NUMBER),
        ((mark(rate="0.2"),), BreachCode.OUT_OF_RANGE),
    ],
)
def test_what_a_venue_can_get_wrong_breaks_the_contract_of_its_kind(events, code):
    assert code in judged(*events)


def test_a_hole_in_numbered_prints_breaks_their_contract_and_a_venue_without_numbers_has_none():
    assert judged(trade(1), trade(3), kind="trade_numbered") == [BreachCode.HOLE]
    assert judged(trade(9), trade(3)) == []


def test_snapshots_are_of_another_sort_and_what_has_no_contract_has_no_row():
    checked = ContractCheck(CONTRACTS["depth"])
    checked.on_row(event_row(depth(9, 10))[1])
    assert checked.on_row({"snapshot": True, "final_id": 3}) == []
    assert checked.report().skipped == 1
    snapshot = DepthSnapshot(instrument_id=ID, last_update_id=1, bids=[], asks=[], ts_event_ns=0, ts_recv_ns=0)
    assert event_row(snapshot) is None
    assert event_row(WireRejected(venue="binance", reason="?", excerpt="", ts_recv_ns=0)) is None


def test_funding_and_liquidations_have_contracts_too():
    funding = FundingRate(
        instrument_id=ID,
        funding_rate=Decimal("0.0001"),
        funding_ns=NOW,
        next_funding_ns=NOW,
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )
    assert judged(funding) == [BreachCode.NOT_ORDERED]
    liquidation = Liquidation(
        instrument_id=ID,
        side=PositionSide.LONG,
        price=Decimal(5),
        qty=Decimal(0),
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )
    assert judged(liquidation) == [BreachCode.OUT_OF_RANGE]


def test_features_are_numbers_in_their_ranges_or_none_while_they_warm_up():
    checked = ContractCheck(feature_contract("micro", {"imbalance": (-1.0, 1.0), "rsi": (0.0, 100.0)}))
    row = {"instrument_id": ID, "ts_event_ns": NOW, "imbalance": 0.5, "rsi": None}
    assert checked.on_row(row) == []
    assert checked.on_row(row | {"rsi": 101.0}) == [BreachCode.OUT_OF_RANGE]
    assert checked.on_row(row | {"imbalance": math.nan}) == [BreachCode.NOT_A_NUMBER]
    assert checked.on_row(row | {"ts_event_ns": NOW - 1}) == [BreachCode.WENT_BACK]
