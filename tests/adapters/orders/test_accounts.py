"""Readings of whole accounts: page after page, nothing twice, and no data is never zero."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.orders import binance_account, okx_account
from adapters.orders.account import OVERLAP_MS, AccountCursor, AccountPart, Reading, TradeMark, Unreadable
from adapters.orders.account_reader import IncomeAsked, in_order
from adapters.orders.binance import BinanceOrders
from adapters.orders.bybit import BybitOrders
from adapters.orders.dialect import OrderDialect
from adapters.orders.okx import OkxOrders
from adapters.orders.wire import HttpAnswer
from tests.adapters.orders.commands import BTC, INSTRUMENTS, TS_MS, TS_NS, instrument
from tests.adapters.orders.test_bybit_wire import EXECUTION, OK
from tests.adapters.orders.test_bybit_wire import ORDER as BYBIT_ORDER
from tests.adapters.orders.test_okx_wire import ORDER as OKX_ORDER
from trading.orders.messages import ExecType, Side

Answers = Callable[[str, dict[str, str]], Any]
"""The body to a path and its query; a (status, body) for anything but 200."""

USDM_ID = BTC[USDM].instrument_id


def dialect(venue: str) -> OrderDialect:
    if venue == "okx":
        return OkxOrders(INSTRUMENTS[venue])
    if venue == "bybit":
        return BybitOrders(INSTRUMENTS[venue])
    return BinanceOrders(venue, [BTC[venue]])


def read(
    d: OrderDialect,
    answers: Answers,
    cursor: AccountCursor | None = None,
    known: Mapping[str, str] | None = None,
) -> Reading | Unreadable:
    """What the reader does, without a network."""
    cursor = cursor or AccountCursor.opening(d.venue, TS_MS - 1_000)
    parts: dict[str, AccountPart] = {}
    reads = d.account_requests(cursor)
    for _ in range(60):
        for each in reads:
            assert each.key not in parts, f"{each.key} was asked for twice"
            said = answers(each.request.path, dict(parse_qsl(each.request.query)))
            status, body = said if isinstance(said, tuple) else (200, said)
            answer = HttpAnswer(status=status, body=json.dumps(body).encode(), ts_ns=TS_NS)
            parts[each.key] = AccountPart(read=each, answer=answer)
        reads = d.account_more(cursor, parts, known or {})
        if not reads:
            return d.assemble(cursor, parts, known or {}, "test", TS_NS)
    raise AssertionError("it never ended")


def state(reading: Reading | Unreadable) -> Reading:
    assert isinstance(reading, Reading), reading
    return reading


# --- Binance -----------------------------------------------------------------------------------------------


def trade(number: int, *, order_id: int = 1, at: int = TS_MS) -> dict[str, Any]:
    # "Account Trade List", developers.binance.com derivatives/usds-margined-futures (2026-11)
    return {
        "buyer": False, "commission": "-0.07819010", "commissionAsset": "USDT", "id": number, "maker": False,
        "orderId": order_id, "price": "7819.0", "qty": "0.002", "quoteQty": "15.63802", "realizedPnl": "-0.9",
        "side": "SELL", "positionSide": "BOTH", "symbol": "BTCUSDT", "time": at,
    }  # fmt: skip


def account(**changes: Any) -> dict[str, Any]:
    # "Account Information V3", developers.binance.com derivatives/usds-margined-futures (2026-11)
    return {
        "totalInitialMargin": "0.00000000", "totalWalletBalance": "122607.35137903", "availableBalance": "23.72469206",
        "assets": [{
            "asset": "USDT", "walletBalance": "122607.35137903", "unrealizedProfit": "0.00000000",
            "marginBalance": "122607.35137903", "crossWalletBalance": "23.72469206", "availableBalance": "23.72469206",
            "updateTime": 1_625_474_304_765,
        }],
        "positions": [{
            "symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-1.500", "unrealizedProfit": "0.00000000",
            "isolatedMargin": "0.00000000", "notional": "0", "isolatedWallet": "0", "initialMargin": "0",
            "maintMargin": "0", "updateTime": 0,
        }],
    } | changes  # fmt: skip


def position(**changes: Any) -> dict[str, Any]:
    return {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "1"} | changes


def usdm(**changes: Any) -> Answers:
    bodies: dict[str, Any] = {
        "/fapi/v3/account": account(),
        "/fapi/v1/openOrders": [],
        "/fapi/v1/openAlgoOrders": [],
        "/fapi/v1/userTrades": [],
        "/fapi/v1/income": [],
        "/fapi/v1/order": (400, {"code": -2013, "msg": "Order does not exist."}),
    } | {name.replace("__", "/"): body for name, body in changes.items()}
    return lambda path, _: bodies[path]


def test_an_account_is_balances_positions_orders_and_no_sequence() -> None:
    reading = state(read(dialect(USDM), usdm()))
    assert reading.state.positions == {USDM_ID: Decimal("-1.500")}
    assert reading.state.balances == {"USDT": Decimal("122607.35137903")}
    assert (reading.state.exec_seq, reading.state.cause) == (0, "test")
    spot = read(
        dialect(SPOT),
        lambda path, _: {
            "/api/v3/account": {"balances": [{"asset": "BTC", "free": "1.5", "locked": "0.5"}]},
            "/api/v3/openOrders": [],
            "/api/v3/myTrades": [],
        }[path],
    )
    assert state(spot).state.balances == {"BTC": Decimal(2)}
    coinm = read(
        dialect(COINM),
        lambda path, _: {
            "/dapi/v1/balance": [{"asset": "BTC", "balance": "0.0025"}],
            "/dapi/v1/positionRisk": [
                {"symbol": "BTCUSD_PERP", "positionSide": "BOTH", "positionAmt": "3"},
                {"symbol": "BTCUSD_PERP", "positionSide": "LONG", "positionAmt": "0"},
            ],
        }.get(path, []),
    )
    assert state(coinm).state.positions == {BTC[COINM].instrument_id: 3}


@pytest.mark.parametrize(
    "changes",
    [
        {"__fapi__v3__account": []},
        {"__fapi__v3__account": None},
        {"__fapi__v3__account": {"assets": []}},
        {"__fapi__v3__account": {"positions": []}},
        {"__fapi__v3__account": account(positions=None)},
        {"__fapi__v3__account": account(assets={})},
        {"__fapi__v3__account": account(assets=[{"asset": "USDT", "balance": "1"}])},
        {"__fapi__v3__account": account(assets=[{"asset": "USDT", "walletBalance": "NaN"}])},
        {"__fapi__v3__account": account(positions=[{"symbol": "BTCUSDT", "positionSide": "BOTH"}])},
        {"__fapi__v3__account": account(positions=[position(positionAmt="")])},
        {"__fapi__v3__account": account(positions=[position(positionAmt=1.5)])},
        {"__fapi__v3__account": account(positions=[position(positionSide="LONG")])},
        {"__fapi__v3__account": (503, {})},
        {"__fapi__v3__account": (400, {"code": -1000, "msg": "x"})},
        {"__fapi__v1__openOrders": [{"symbol": "BTCUSDT"}]},
        {"__fapi__v1__openAlgoOrders": [{"symbol": "BTCUSDT"}]},
        {"__fapi__v1__openAlgoOrders": {}},
        {"__fapi__v1__userTrades": [{"id": 1}]},
        {"__fapi__v1__userTrades": [trade(1)], "__fapi__v1__order": (500, {})},
        {"__fapi__v1__userTrades": [trade(1)], "__fapi__v1__order": {"clientOrderId": None}},
        {"__fapi__v1__income": {"code": 0}},
    ],
)
def test_what_is_not_all_of_an_account_is_no_account(changes: dict[str, Any]) -> None:
    assert isinstance(read(dialect(USDM), usdm(**changes)), Unreadable)


def test_a_position_of_a_symbol_nobody_trades_here_shows() -> None:
    rows = [position(symbol="XRPUSDT", positionAmt="10")]
    reading = state(read(dialect(USDM), usdm(__fapi__v3__account=account(positions=rows))))
    assert reading.state.positions == {"binanceusdm/XRPUSDT": 10}


def test_executions_get_their_orders_name_from_wherever_it_is_known() -> None:
    opened = {
        "clientOrderId": "pd1-b-2", "executedQty": "0.002", "orderId": 2, "avgPrice": "0.0", "origQty": "2",
        "price": "60000", "side": "SELL", "status": "PARTIALLY_FILLED", "symbol": "BTCUSDT", "timeInForce": "GTC",
        "type": "LIMIT", "time": TS_MS, "updateTime": TS_MS,
    }  # fmt: skip
    asked = {"clientOrderId": "pd1-b-3", "orderId": 3}

    def answers(path: str, query: dict[str, str]) -> Any:
        if path == "/fapi/v1/order":
            return asked if query["orderId"] == "3" else (400, {"code": -2013, "msg": "gone"})
        rows = [trade(n, order_id=n) for n in (1, 2, 3, 4)] if "fromId" not in query else []
        return usdm(__fapi__v1__userTrades=rows, __fapi__v1__openOrders=[opened])(path, query)

    reading = state(read(dialect(USDM), answers, known={"BTCUSDT:1": "pd1-b-1"}))
    named = [(e.exec_id, e.cl_ord_id) for e in reading.state.executions]
    assert named == [
        ("BTCUSDT:1:1", "pd1-b-1"),
        ("BTCUSDT:2:2", "pd1-b-2"),
        ("BTCUSDT:3:3", "pd1-b-3"),
        ("BTCUSDT:4:4", ""),  # the venue has forgotten it: an execution of nobody's order
    ]
    first = reading.state.executions[0]
    assert (first.exec_type, first.side, first.fee) == (ExecType.TRADE, Side.SELL, Decimal("-0.07819010"))


def test_pages_of_executions_are_followed_by_id_and_none_is_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binance_account, "PAGE", 3)
    trades = [trade(n) for n in range(1, 9)]

    def answers(path: str, query: dict[str, str]) -> Any:
        rows = [t for t in trades if t["id"] >= int(query.get("fromId", 0))][:3] if path.endswith("userTrades") else []
        return usdm(__fapi__v1__userTrades=rows)(path, query)

    reading = state(read(dialect(USDM), answers, known={"BTCUSDT:1": "pd1-b-1"}))
    assert [e.exec_id for e in reading.state.executions] == [f"BTCUSDT:{n}:1" for n in range(1, 9)]
    mark = reading.cursor.marks[USDM_ID]
    assert mark.trade_id == "8"
    # The next reading begins where this one ended, and the one it knows is no news to anybody.
    again = state(read(dialect(USDM), answers, reading.cursor, {"BTCUSDT:1": "pd1-b-1"}))
    assert [e.exec_id for e in again.state.executions] == ["BTCUSDT:8:1"]


def test_a_desk_that_was_away_for_weeks_asks_window_after_window() -> None:
    asked: list[tuple[int, int]] = []

    def answers(path: str, query: dict[str, str]) -> Any:
        if path.endswith("userTrades"):
            asked.append((int(query["startTime"]), int(query["endTime"])))
        return usdm()(path, query)

    day = 86_400_000
    state(read(dialect(USDM), answers, AccountCursor.opening(USDM, TS_MS - 20 * day)))
    assert len(asked) == 3
    assert all(end - start < 7 * day for start, end in asked)
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(asked))
    assert asked[-1][1] >= TS_MS


def test_funding_is_told_by_its_own_id() -> None:
    rows = [
        {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.375", "asset": "USDT", "time": TS_MS,
         "tranId": 9689322392, "info": "", "tradeId": ""}
    ]  # fmt: skip
    reading = state(read(dialect(USDM), usdm(__fapi__v1__income=rows)))
    (payment,) = reading.state.fundings
    assert (payment.funding_id, payment.amount, payment.asset) == ("BTCUSDT:9689322392", Decimal("-0.375"), "USDT")
    assert reading.cursor.funding_ms == TS_MS


def test_open_orders_are_asked_for_by_symbol_while_that_is_cheaper() -> None:
    def asked(d: OrderDialect) -> list[tuple[str, int]]:
        reads = d.account_requests(AccountCursor.opening(d.venue, TS_MS))
        return [(r.request.query, r.request.weight) for r in reads if r.request.path.endswith("openOrders")]

    assert asked(dialect(USDM)) == [("symbol=BTCUSDT", 1)]
    assert asked(dialect(SPOT)) == [("symbol=BTCUSDT", 6)]
    crowd = [
        msgspec.structs.replace(BTC[SPOT], instrument_id=f"BINANCE:SPOT:X{n}-USDT", symbol=f"X{n}USDT")
        for n in range(14)
    ]
    assert asked(BinanceOrders(SPOT, crowd)) == [("", 80)]
    whole = dialect(USDM).account_requests(AccountCursor.opening(USDM, TS_MS))
    seldom = dialect(USDM).account_requests(AccountCursor(venue=USDM, since_ms=TS_MS, income_ms=None))
    assert (sum(r.request.weight for r in whole), sum(r.request.weight for r in seldom)) == (42, 12)


def test_a_reading_without_funding_is_whole_and_says_nothing_of_it() -> None:
    cursor = AccountCursor(venue=USDM, since_ms=TS_MS - 1_000, income_ms=None)
    reading = state(read(dialect(USDM), usdm(__fapi__v1__income=(500, {})), cursor))
    assert (reading.state.fundings, reading.cursor.income_ms) == ((), 0)


def test_funding_is_asked_for_when_it_is_paid_and_seldom_else() -> None:
    hour = 3_600_000
    opening, income = AccountCursor.opening(USDM, 500 * hour), IncomeAsked()

    def reads_at(now_ms: int) -> int | None:
        cursor = income.wanted(msgspec.structs.replace(opening, since_ms=now_ms), now_ms)
        income.listed(cursor, now_ms)
        return cursor.income_ms

    half = 500 * hour + hour // 2
    assert reads_at(half) == 0  # the first of a life: from where the desk left off
    assert [reads_at(half + s * 1_000) for s in range(5, 300, 5)] == [None] * 59
    # After five minutes again, and from the last one on: what came to be listed meanwhile is in it.
    assert reads_at(half + 300_000) == half - OVERLAP_MS
    # The stream tells of a funding: until it is surely listed every reading asks.
    paid = half + 310_000
    income.paid(paid)
    asked = [reads_at(paid + s * 1_000) for s in range(5, 150, 5)]
    assert None not in asked[: 120 // 5]
    assert set(asked[120 // 5 :]) == {None}
    # The hour strikes.
    asked = [reads_at(501 * hour + s * 1_000) for s in range(1, 200, 5)]
    assert None not in asked[: 120 // 5 + 1]
    assert asked[120 // 5 + 1 :] == [None] * (40 - 25)


def test_what_was_paid_before_the_first_reading_of_a_life_is_asked_for_by_the_first_that_reaches_back_to_it() -> None:
    hour = 3_600_000
    now = 500 * hour + hour // 6
    income, stream = IncomeAsked(), AccountCursor.opening(USDM, now)
    income.listed(income.wanted(stream, now), now)
    # The desk was away since before the hour; its own readings go on from where it left off.
    away = msgspec.structs.replace(stream, since_ms=500 * hour - 600_000)
    assert income.wanted(away, now + 1_000).income_ms == away.since_ms  # asked until one was whole
    cursor = income.wanted(away, now + 2_000)
    assert cursor.income_ms == away.since_ms
    income.listed(cursor, now + 2_000)
    assert income.wanted(away, now + 3_000).income_ms is None


def test_a_reading_that_failed_leaves_the_next_one_to_ask() -> None:
    income, opening = IncomeAsked(), AccountCursor.opening(USDM, TS_MS)
    income.listed(income.wanted(opening, TS_MS), TS_MS)
    first = income.wanted(opening, TS_MS + 400_000)
    assert first.income_ms is not None
    assert income.wanted(opening, TS_MS + 405_000).income_ms == first.income_ms


# --- The cursor --------------------------------------------------------------------------------------------


@pytest.mark.req("P-ORD-4")
def test_the_cursor_travels_as_json_and_never_goes_back() -> None:
    cursor = AccountCursor.opening(USDM, TS_MS)
    later = cursor.moved({USDM_ID: TradeMark(trade_id="9", ts_ms=TS_MS + 5)}, TS_MS, TS_MS + OVERLAP_MS + 7)
    assert (later.since_ms, later.marks[USDM_ID].trade_id) == (TS_MS + 7, "9")
    back = later.moved({USDM_ID: TradeMark(trade_id="3", ts_ms=TS_MS - 5)}, 0, 0)
    assert back == later
    assert msgspec.json.decode(msgspec.json.encode(later), type=AccountCursor) == later


def test_a_reading_leaves_room_for_what_becomes_visible_late() -> None:
    reading = state(read(dialect(USDM), usdm(), AccountCursor.opening(USDM, TS_MS - 10 * OVERLAP_MS)))
    assert reading.cursor.since_ms == TS_MS - OVERLAP_MS


# --- OKX ---------------------------------------------------------------------------------------------------

# "Get transaction details", okx.com/docs-v5 (2026-11), of a swap and our order.
OKX_FILL = {
    "side": "buy", "fillSz": "0.5", "fillPx": "51858", "fee": "-0.00000192834", "ordId": "680800019749904384",
    "feeRate": "-0.001", "instType": "SWAP", "instId": "BTC-USDT-SWAP", "clOrdId": "pd1ZbZ1", "posSide": "net",
    "billId": "680800019754098688", "subType": "1", "tag": "", "fillTime": "1708587373361", "execType": "T",
    "tradeId": "744876980", "feeCcy": "USDT", "ts": "1708587373362",
}  # fmt: skip


def okx(**changes: Any) -> Answers:
    rows: dict[str, Any] = {
        "/api/v5/account/balance": [{"details": [{"ccy": "USDT", "cashBal": "4850.43"}]}],
        "/api/v5/account/positions": [{"instId": "BTC-USDT-SWAP", "instType": "SWAP", "pos": "-3", "posSide": "net"}],
    } | {name.replace("__", "/"): body for name, body in changes.items()}
    return lambda path, _: {"code": "0", "msg": "", "data": rows.get(path, [])}


def test_an_okx_account_is_read_whole() -> None:
    def answers(path: str, query: dict[str, str]) -> Any:
        swap = path.endswith("fills-history") and query["instType"] == "SWAP"
        return okx(**{path.replace("/", "__"): [OKX_FILL]} if swap else {}, __api__v5__trade__orders_pending=[])(
            path, query
        )

    reading = state(read(dialect("okx"), answers))
    assert reading.state.positions == {BTC["okx"].instrument_id: -3}
    assert reading.state.balances == {"USDT": Decimal("4850.43")}
    (execution,) = reading.state.executions
    assert (execution.exec_id, execution.cl_ord_id) == ("BTC-USDT-SWAP:744876980:680800019749904384", "pd1-b-1")
    assert execution.trade_seq == 744876980
    assert execution.fee == Decimal("0.00000192834")


def test_okx_pages_go_back_in_time_until_one_is_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(okx_account, "PAGE", 2)
    orders = [OKX_ORDER | {"ordId": str(n), "clOrdId": f"pd1ZbZ{n}"} for n in range(9, 4, -1)]

    def answers(path: str, query: dict[str, str]) -> Any:
        if not path.endswith("orders-pending"):
            return okx()(path, query)
        older = [o for o in orders if int(o["ordId"]) < int(query.get("after", "999"))]
        return {"code": "0", "msg": "", "data": older[:2]}

    reading = state(read(dialect("okx"), answers))
    assert sorted(o.cl_ord_id for o in reading.state.open_orders) == [f"pd1-b-{n}" for n in range(5, 10)]


@pytest.mark.parametrize(
    "changes",
    [
        {"__api__v5__account__balance": []},
        {"__api__v5__account__balance": [{}]},
        {"__api__v5__account__balance": [{"details": [{"ccy": "USDT", "cashBal": ""}]}]},
        {"__api__v5__account__positions": None},
        {"__api__v5__account__positions": [
            {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "pos": "3", "posSide": "long"}
        ]},
        {"__api__v5__account__positions": [{"instId": "BTC-USDT-SWAP"}]},
    ],
)  # fmt: skip
def test_what_is_not_all_of_an_okx_account_is_no_account(changes: dict[str, Any]) -> None:
    assert isinstance(read(dialect("okx"), okx(**changes)), Unreadable)
    assert isinstance(read(dialect("okx"), lambda *_: {"code": "50001", "msg": "x", "data": []}), Unreadable)


# --- Bybit -------------------------------------------------------------------------------------------------


def bybit(**lists: list[dict[str, Any]]) -> Answers:
    rows = {
        "/v5/account/wallet-balance": [{"coin": [{"coin": "USDT", "walletBalance": "101.5"}]}],
    } | {name.replace("__", "/").replace("_", "-"): body for name, body in lists.items()}

    def answers(path: str, query: dict[str, str]) -> Any:
        mine = query.get("category", "linear") == "linear" and query.get("settleCoin", "USDT") == "USDT"
        return OK | {"result": {"list": rows.get(path, []) if mine else [], "nextPageCursor": ""}}

    return answers


def test_a_bybit_account_is_read_by_category_and_funding_is_among_its_executions() -> None:
    position = {"symbol": "BTCUSDT", "side": "Sell", "size": "3", "positionIdx": 0}
    funding = EXECUTION | {"execId": "f-1", "execType": "Funding", "execFee": "0.5", "execQty": "3"}
    reading = state(
        read(
            dialect("bybit"),
            bybit(
                __v5__position__list=[position],
                __v5__execution__list=[EXECUTION, funding],
                __v5__order__realtime=[BYBIT_ORDER],
            ),
        )
    )
    assert reading.state.positions == {BTC["bybit"].instrument_id: -3}
    assert [e.exec_id for e in reading.state.executions] == [EXECUTION["execId"]]
    assert [f.amount for f in reading.state.fundings] == [Decimal("-0.5")]
    assert [o.cl_ord_id for o in reading.state.open_orders] == ["pd1-b-1"]
    assert instrument("BYBIT:SPOT:BTC-USDT").instrument_id not in reading.state.positions


def test_bybit_pages_are_followed_by_their_tokens() -> None:
    def answers(path: str, query: dict[str, str]) -> Any:
        if not path.endswith("execution/list") or query["category"] != "linear":
            return bybit()(path, query)
        page = int(query.get("cursor", "p:0")[2:])
        rows = [EXECUTION | {"execId": f"e-{page}"}]
        return OK | {"result": {"list": rows, "nextPageCursor": f"p:{page + 1}" if page < 3 else ""}}

    reading = state(read(dialect("bybit"), answers))
    assert sorted(e.exec_id for e in reading.state.executions) == ["e-0", "e-1", "e-2", "e-3"]


def test_what_is_not_all_of_a_bybit_account_is_no_account() -> None:
    for answers in (
        lambda *_: OK | {"retCode": 10016, "result": {}},
        lambda *_: OK | {"result": {}},
        lambda path, query: OK | {"result": {"list": []}},
        bybit(__v5__position__list=[{"symbol": "BTCUSDT", "side": "Buy", "size": "3", "positionIdx": 1}]),
        bybit(__v5__execution__list=[EXECUTION | {"execQty": 0.5}]),
    ):
        assert isinstance(read(dialect("bybit"), answers), Unreadable)


@pytest.mark.req("P-PNL-7")
@pytest.mark.parametrize("venue", ["binance", "binanceusdm", "binancecoinm", "okx", "bybit"])
def test_what_is_held_is_read_before_what_was_executed(venue):
    reads = dialect(venue).account_requests(AccountCursor.opening(venue, TS_MS))
    states, events = in_order(reads)
    assert sorted(read.key for read in (*states, *events)) == sorted(read.key for read in reads)
    kinds = {read.key.split(":")[0].split("|")[0] for read in states}
    assert kinds <= {"account", "balance", "open", "openalgo", "positions", "wallet"}
    assert all(read.key.startswith(("trades", "fills", "executions", "income", "funding")) for read in events)
