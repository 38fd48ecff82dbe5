"""Contracts of one market: every event judged, alerts bounded, the features' contract complete."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from trading.features.board import FeatureBoard, FeatureSpec
from trading.instruments import Instrument, InstrumentKind
from trading.market.contracts import InRange
from trading.market.events import Aggressor, BookState, BookTop, DepthSnapshot, Trade
from trading.market_report.contracts import BREACHES_SHOWN, ContractsReport
from trading.market_report.feature_contract import board_contract

S = 1_000_000_000
T0 = 1_760_000_000 * S
ID = "OKX:SPOT:BTC-USDT"


def trade(n=1, price=100, at=T0):
    return Trade(
        instrument_id=ID,
        trade_id=n,
        price_ticks=price,
        qty_lots=1,
        aggressor=Aggressor.BUY,
        ts_event_ns=at,
        ts_recv_ns=at,
    )


@pytest.mark.req("P-MD-11")
def test_however_much_is_wrong_there_is_one_alert_a_minute_after_the_first_of_each_kind():
    report = ContractsReport(ID, "okx")
    told = []
    for second in range(600):
        now = T0 + second * S
        for _ in range(50):
            told += [(second, words) for words in report.take(trade(price=0, at=now), now)]
        told += [(second, words) for words in report.take_time(now)]
    at_once = [words for second, words in told if second == 0]
    assert len(at_once) == 2
    assert {words.split()[1] for words in at_once} == {"price_ticks", "trade_id"}
    later = [(second, words) for second, words in told if second > 0]
    assert [second for second, _ in later] == [60 * n for n in range(1, 10)]
    assert all("more breaches" in words for _, words in later)
    counted = [int(words.split()[0]) for _, words in later]
    assert counted[1:] == [60 * 100] * 8
    body = report.body(T0)
    assert (body.rows, body.bad_rows) == (30_000, 30_000)
    assert sum(one.count for one in body.breaches) == 30_000 + 29_999


def test_what_has_no_contract_is_not_judged():
    report = ContractsReport(ID, "okx")
    snapshot = DepthSnapshot(instrument_id=ID, last_update_id=1, bids=[], asks=[], ts_event_ns=0, ts_recv_ns=0)
    assert report.take(snapshot, T0) == []
    assert report.body(T0).rows == 0


def test_the_body_shows_the_newest_kinds_and_counts_the_rest():
    spec = FeatureSpec(sizes_lots=tuple(range(1, 60)))
    report = ContractsReport(ID, "okx", spec)
    report.take(trade(price=0), T0)
    names = [rule.column for rule in board_contract(spec).rules if isinstance(rule, InRange)]
    report.take_features(dict.fromkeys(names, float("inf")), T0, T0 + S)
    body = report.body(T0 + 2 * S)
    assert len(names) > 200
    assert len(body.breaches) == BREACHES_SHOWN
    assert body.breaches_hidden == len(names) + 1 - BREACHES_SHOWN
    assert {one.contract for one in body.breaches} == {"features"}
    assert body.newest_ns == T0 + S
    assert msgspec.to_builtins(body)["contracts"][1]["bad_rows"] == 1


def test_the_contract_of_features_has_every_feature_of_the_board():
    perp = Instrument(
        instrument_id=ID,
        venue="okx",
        symbol="BTC-USDT",
        kind=InstrumentKind.LINEAR,
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.01"),
        min_qty=Decimal("0.01"),
        max_qty=Decimal(1000),
        min_notional=Decimal(0),
    )
    spec = FeatureSpec(bands_bps=(0.05, 7.0), sizes_lots=(3,))
    board = FeatureBoard({ID: perp}, spec)
    top = BookTop(
        instrument_id=ID,
        state=BookState.SYNCED,
        update_id=1,
        bids=tuple((600_000 - n, 5) for n in range(10)),
        asks=tuple((600_001 + n, 5) for n in range(10)),
        ts_event_ns=T0,
        ts_recv_ns=T0,
    )
    board.update(top)
    for n in range(50):
        board.update(trade(n, price=600_000, at=T0 + n * S))
    values = board.read(ID)
    judged = {rule.column for rule in board_contract(spec).rules if isinstance(rule, InRange)}
    assert set(values) <= judged
    assert {name for name, value in values.items() if value is not None} > {"mid", "bid_lots_0.05bps", "buy_3_lots_bps"}
    report = ContractsReport(ID, "okx", spec)
    assert report.take_features(values, T0, T0) == []
