"""Bybit's order wire: requests against ccxt's own, codes, answers and private topics of the venue's documents."""

from __future__ import annotations

import json
import lzma
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import ccxt
import msgspec
import pytest

from adapters.orders.account import AccountCursor
from adapters.orders.bybit import BybitOrders
from adapters.orders.news import BalanceChanged, Heartbeat, LoggedIn, PositionChanged, StreamRefused, Subscribed, Unread
from adapters.orders.wire import (
    AccountMode,
    Ambiguous,
    AuthFailed,
    CancelAll,
    ClockSkewed,
    Countdown,
    CountdownSet,
    Events,
    Exists,
    KeyPermissions,
    KeyQuery,
    Leverage,
    LeverageQuery,
    Limited,
    ModeQuery,
    Refused,
    Told,
    WireCommand,
)
from tests.adapters.orders.commands import (
    BTC,
    INSTRUMENTS,
    KEY,
    TS_MS,
    TS_NS,
    answer,
    cancel,
    instrument,
    place,
    replace,
    status,
)
from trading.orders.evidence import is_duplicate
from trading.orders.inplace import is_unchanged
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    FundingPayment,
    Liquidity,
    OrderCancelReject,
    OrderStatusReport,
    OrdStatus,
    Side,
    TimeInForce,
)

FIXTURES = (
    Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "bybit" / "fixtures" / "jkorf_bybit.jsonl.xz"
)
LINEAR = BTC["bybit"]
SPOT = instrument("BYBIT:SPOT:BTC-USDT")
OK = {"retCode": 0, "retMsg": "OK", "retExtInfo": {}, "time": 1672211918471}


def dialect(**more: Any) -> BybitOrders:
    return BybitOrders(INSTRUMENTS["bybit"], **more)


def every_command() -> list[WireCommand]:
    everything = CancelAll(venue="bybit", instrument_id=LINEAR.instrument_id, cause="t", ts_init_ns=0)
    return [
        place(LINEAR),
        place(LINEAR, time_in_force=TimeInForce.GTX, reduce_only=True),
        place(SPOT, qty="0.01"),
        place(SPOT, price=None, qty="0.01"),
        cancel(LINEAR),
        replace(LINEAR),
        status(LINEAR),
        everything,
        Countdown(venue="bybit", instrument_id=LINEAR.instrument_id, timeout_ms=9_500, cause="t"),
        KeyQuery(venue="bybit"),
        ModeQuery(venue="bybit"),
        LeverageQuery(venue="bybit", instrument_id=LINEAR.instrument_id),
    ]


def test_ccxt_would_send_the_same_with_the_same_signature() -> None:
    d = dialect()
    requests = [d.encode(command, TS_MS) for command in every_command()]
    requests += [read.request for read in d.account_requests(AccountCursor.opening("bybit", TS_MS))]
    requests.append(d.encode_batch([place(LINEAR), place(LINEAR, "pd1-b-2")], TS_MS))
    for request in requests:
        ours = d.sign(request, KEY, TS_MS)
        exchange = ccxt.bybit({"apiKey": KEY.api_key, "secret": KEY.secret, "options": {"brokerId": None}})
        exchange.nonce = lambda: TS_MS  # type: ignore[method-assign]
        exchange.options["recvWindow"] = request.recv_window_ms
        params = msgspec.json.decode(request.body) if request.body else dict(parse_qsl(request.query))
        theirs = exchange.sign(request.path.removeprefix("/"), "private", request.method, params)
        assert (ours.method, urlsplit(ours.url).netloc, ours.path) == (
            theirs["method"],
            urlsplit(theirs["url"]).netloc,
            urlsplit(theirs["url"]).path,
        )
        assert dict(parse_qsl(urlsplit(ours.url).query)) == dict(parse_qsl(urlsplit(theirs["url"]).query))
        assert ours.body == (theirs["body"] or "").encode()
        expected = {k: v for k, v in theirs["headers"].items() if k != "Content-Type" or ours.body}
        assert dict(ours.headers) == expected, request


def test_the_login_is_signed_as_the_document_says() -> None:
    # "Connect: Authentication": GET/realtime and the expiry (docs/v5/ws/connect, 2026-11)
    frame = msgspec.json.decode(dialect().stream_login(KEY, TS_MS))
    key, expires, signature = frame["args"]
    assert (frame["op"], key, expires) == ("auth", KEY.api_key, TS_MS + 10_000)
    assert signature == ccxt.Exchange.hmac(
        f"GET/realtime{expires}".encode(), KEY.secret.encode(), __import__("hashlib").sha256
    )


def test_an_order_says_its_terms() -> None:
    body = msgspec.json.decode(dialect().encode(place(LINEAR, time_in_force=TimeInForce.GTX, reduce_only=True), 0).body)
    assert body == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "2",
        "timeInForce": "PostOnly",
        "orderLinkId": "pd1-b-1",
        "price": "60000",
        "reduceOnly": True,
        "positionIdx": 0,
        "smpType": "CancelTaker",
    }
    spot = msgspec.json.decode(dialect().encode(place(SPOT, price=None, qty="0.01"), 0).body)
    assert spot["marketUnit"] == "baseCoin"
    assert "reduceOnly" not in spot
    assert dialect(testnet=True).endpoints.rest == "https://api-testnet.bybit.com"


@pytest.mark.req("P-ORD-2")
@pytest.mark.parametrize(
    ("http", "code", "kind"),
    [
        (200, 10000, Ambiguous),
        (200, 10016, Ambiguous),
        (200, 170007, Ambiguous),
        (200, 170146, Ambiguous),
        (200, 110079, Ambiguous),
        (200, 999999, Ambiguous),
        (200, 110001, Ambiguous),
        (200, 10001, Refused),
        (200, 110003, Refused),
        (200, 110007, Refused),
        (200, 110017, Refused),
        (200, 110094, Refused),
        (200, 170131, Refused),
        (200, 170210, Refused),
        (200, 110072, Exists),
        (200, 170141, Exists),
        (200, 110030, Exists),
        (200, 10002, ClockSkewed),
        (200, 10003, AuthFailed),
        (200, 10004, AuthFailed),
        (200, 10005, AuthFailed),
        (200, 10010, AuthFailed),
        (200, 33004, AuthFailed),
        (200, 10006, Limited),
        (200, 10018, Limited),
        (403, 10018, Limited),
        (429, 429, Limited),
        (500, 0, Ambiguous),
        (503, 110007, Ambiguous),
        (404, 0, Ambiguous),
    ],
)
def test_every_code_means_one_thing(http: int, code: int, kind: type) -> None:
    body = json.dumps(OK | {"retCode": code, "retMsg": "words", "result": {}})
    reply = dialect().decode_reply(place(LINEAR), answer(http, body))
    assert type(reply) is kind, reply
    if isinstance(reply, Exists):
        assert isinstance(reply.events[0], ExecutionReport)
        assert is_duplicate(reply.events[0].text)
    if isinstance(reply, Refused | AuthFailed | Limited):
        assert isinstance(reply.events[0], ExecutionReport)
        assert reply.events[0].exec_type is ExecType.REJECTED


@pytest.mark.req("P-ORD-11")
def test_an_amendment_to_the_terms_that_it_has_says_so_and_other_words_of_that_code_do_not() -> None:
    for words, unchanged in (
        ("The order remains unchanged as the parameters entered match the existing ones.", True),
        ("params error", False),
    ):
        body = json.dumps(OK | {"retCode": 10001, "retMsg": words, "result": {}})
        (word,) = dialect().decode_reply(replace(LINEAR), answer(200, body)).events
        assert isinstance(word, OrderCancelReject)
        assert is_unchanged(word.text) is unchanged


def test_limits_say_until_when() -> None:
    body = json.dumps(OK | {"retCode": 10006, "retMsg": "Too many visits.", "result": {}})
    reset = str(TS_MS + 400)
    reply = dialect().decode_reply(place(LINEAR), answer(200, body, x_bapi_limit_reset_timestamp=reset))
    assert isinstance(reply, Limited)
    assert (reply.retry_ns, reply.banned) == (400_000_000, False)
    away = dialect().decode_reply(place(LINEAR), answer(403, "access too frequent"))
    assert isinstance(away, Limited)
    assert away.banned


def test_a_placement_is_acked_by_id_and_a_cancel_is_only_taken() -> None:
    body = json.dumps(OK | {"result": {"orderId": "1321003749386327552", "orderLinkId": "pd1-b-1"}})
    reply = dialect().decode_reply(place(LINEAR), answer(200, body))
    assert isinstance(reply, Events)
    (ack,) = reply.events
    assert isinstance(ack, ExecutionReport)
    assert (ack.exec_type, ack.order_id, ack.leaves_qty) == (ExecType.NEW, "1321003749386327552", 2)
    for command in (cancel(LINEAR), replace(LINEAR)):
        assert dialect().decode_reply(command, answer(200, body)) == Events(())
    other = json.dumps(OK | {"result": {"orderId": "1", "orderLinkId": "not-ours"}})
    for command in (place(LINEAR), cancel(LINEAR)):
        assert isinstance(dialect().decode_reply(command, answer(200, other)), Ambiguous)
    gone = json.dumps(OK | {"retCode": 110001, "retMsg": "order not exists or too late to cancel", "result": {}})
    reply = dialect().decode_reply(cancel(LINEAR), answer(200, gone))
    assert isinstance(reply, Refused)
    assert isinstance(reply.events[0], OrderCancelReject)


# "Get Open & Closed Orders", docs/v5/order/open-order (2026-11), one-way mode and our id.
ORDER = {
    "orderId": "fd4300ae-7847-404e-b947-b46980a4d140", "orderLinkId": "pd1-b-1", "blockTradeId": "",
    "symbol": "BTCUSDT", "price": "60000.00", "qty": "2.000", "side": "Buy", "isLeverage": "", "positionIdx": 0,
    "orderStatus": "New", "cancelType": "UNKNOWN", "rejectReason": "EC_NoError", "avgPrice": "0", "leavesQty": "2",
    "cumExecQty": "0.00", "cumExecValue": "0", "cumExecFee": "0", "timeInForce": "GTC", "orderType": "Limit",
    "stopOrderType": "UNKNOWN", "reduceOnly": False, "createdTime": "1684738540559", "updatedTime": "1684738540561",
}  # fmt: skip


def test_a_status_is_found_or_not_there() -> None:
    command = status(LINEAR)
    found = dialect().decode_reply(command, answer(200, json.dumps(OK | {"result": {"list": [ORDER]}})))
    assert isinstance(found, Events)
    (told,) = found.events
    assert isinstance(told, OrderStatusReport)
    assert told.report is not None
    assert (told.report.ord_status, told.report.order_qty) == (OrdStatus.NEW, 2)
    none = dialect().decode_reply(command, answer(200, json.dumps(OK | {"result": {"list": []}})))
    assert isinstance(none, Events)
    assert isinstance(none.events[0], OrderStatusReport)
    assert none.events[0].report is None
    assert isinstance(dialect().decode_reply(command, answer(200, json.dumps(OK | {"result": {}}))), Ambiguous)


def test_permissions_show_whether_the_key_may_withdraw() -> None:
    # "Get API Key Information", docs/v5/user/apikey-info (2026-11)
    result = {
        "id": "13770661", "note": "readwrite api key", "apiKey": "hidden", "readOnly": 0, "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"],
            "Wallet": ["AccountTransfer", "SubMemberTransfer"], "Options": ["OptionsTrade"], "Derivatives": [],
        },
        "ips": ["*"], "type": 1, "deadlineDay": 66, "uta": 1,
    }  # fmt: skip

    def key(**changes: Any) -> KeyPermissions:
        body = json.dumps(OK | {"result": result | changes})
        reply = dialect().decode_reply(KeyQuery(venue="bybit"), answer(200, body))
        assert isinstance(reply, Told), reply
        assert isinstance(reply.fact, KeyPermissions)
        return reply.fact

    assert (key().withdraw, key().transfer, key().ip_bound, key().may_only_trade) == (False, True, False, True)
    able = key(permissions=result["permissions"] | {"Wallet": ["Withdraw"]}, ips=["1.2.3.4"])  # type: ignore[operator]
    assert (able.withdraw, able.ip_bound, able.may_only_trade) == (True, True, False)
    silent = json.dumps(OK | {"result": result | {"permissions": {}}})
    assert isinstance(dialect().decode_reply(KeyQuery(venue="bybit"), answer(200, silent)), Ambiguous)


@pytest.mark.req("P-VEN-8")
def test_disconnect_protection_is_armed_within_its_bounds() -> None:
    def seconds(timeout_ms: int) -> int:
        command = Countdown(venue="bybit", instrument_id=LINEAR.instrument_id, timeout_ms=timeout_ms, cause="t")
        window: int = msgspec.json.decode(dialect().encode(command, 0).body)["timeWindow"]
        return window

    assert [seconds(ms) for ms in (1, 9_500, 999_000, 0)] == [3, 10, 300, 300]
    command = Countdown(venue="bybit", instrument_id=LINEAR.instrument_id, timeout_ms=10_000, cause="t")
    reply = dialect().decode_reply(command, answer(200, json.dumps(OK | {"result": {}})))
    assert reply == Told(CountdownSet(timeout_ms=10_000))


def test_modes_and_leverage_are_read_from_positions() -> None:
    row = {"positionIdx": 0, "symbol": "BTCUSDT", "side": "Sell", "size": "300", "leverage": "10"}
    body = json.dumps(OK | {"result": {"list": [row]}})
    assert dialect().decode_reply(ModeQuery(venue="bybit"), answer(200, body)) == Told(
        AccountMode(hedge=False, text="positionIdx 0")
    )
    command = LeverageQuery(venue="bybit", instrument_id=LINEAR.instrument_id)
    assert dialect().decode_reply(command, answer(200, body)) == Told(
        Leverage(instrument_id=LINEAR.instrument_id, leverage="10")
    )
    hedge = json.dumps(OK | {"result": {"list": [row | {"positionIdx": 1}, row | {"positionIdx": 2}]}})
    reply = dialect().decode_reply(ModeQuery(venue="bybit"), answer(200, hedge))
    assert isinstance(reply, Told)
    assert isinstance(reply.fact, AccountMode)
    assert reply.fact.hedge


@pytest.mark.req("P-VEN-6")
def test_a_batch_answers_each_item_by_its_own_code() -> None:
    # "Batch Place Order", docs/v5/order/batch-place (2026-11)
    body = OK | {
        "result": {
            "list": [
                {"category": "linear", "symbol": "BTCUSDT", "orderId": "16", "orderLinkId": "pd1-b-1", "createAt": "1"},
                {"category": "linear", "symbol": "BTCUSDT", "orderId": "", "orderLinkId": "pd1-b-2", "createAt": ""},
                {"category": "linear", "symbol": "BTCUSDT", "orderId": "", "orderLinkId": "pd1-b-3", "createAt": ""},
            ]
        },
        "retExtInfo": {
            "list": [
                {"code": 0, "msg": "OK"},
                {"code": 110007, "msg": "ab not enough for new order"},
                {"code": 110072, "msg": "OrderLinkedID is duplicate"},
            ]
        },
    }
    commands = [place(LINEAR, f"pd1-b-{n}") for n in (1, 2, 3)]
    replies = dialect().decode_batch(commands, answer(200, json.dumps(body)))
    assert [type(reply) for reply in replies] == [Events, Refused, Exists]
    short = body | {"retExtInfo": {"list": []}}
    assert [type(x) for x in dialect().decode_batch(commands, answer(200, json.dumps(short)))] == [Ambiguous] * 3
    with pytest.raises(ValueError, match="batch"):
        dialect().encode_batch([place(LINEAR), place(SPOT, "pd1-b-2", qty="0.01")], 0)
    with pytest.raises(ValueError, match="batch"):
        dialect().encode_batch([place(LINEAR), cancel(LINEAR)], 0)


# --- The stream --------------------------------------------------------------------------------------------

# "Execution", docs/v5/websocket/private/execution (2026-11), our id and one-way mode.
EXECUTION = {
    "category": "linear", "symbol": "BTCUSDT", "closedSize": "0", "execFee": "0.0182985",
    "execId": "7e2ae69c-4edf-5800",
    "execPrice": "60000", "execQty": "0.5", "execType": "Trade", "execValue": "30000", "feeRate": "0.0006",
    "tradeIv": "", "markIv": "", "blockTradeId": "", "markPrice": "60001", "indexPrice": "", "underlyingPrice": "",
    "leavesQty": "1.5", "orderId": "fd4300ae", "orderLinkId": "pd1-b-1", "orderPrice": "60000", "orderQty": "2",
    "orderType": "Limit", "stopOrderType": "UNKNOWN", "side": "Sell", "execTime": "1672364174443", "isMaker": False,
    "feeCurrency": "", "seq": 4688002127,
}  # fmt: skip


def pushed(topic: str, *rows: dict[str, Any]) -> tuple[Any, ...]:
    message = {"id": "1", "topic": topic, "creationTime": 1672364174455, "data": list(rows)}
    return dialect().decode_user(json.dumps(message).encode(), TS_NS)


def test_executions_orders_balances_and_positions_are_told() -> None:
    (trade,) = pushed("execution", EXECUTION)
    assert isinstance(trade, ExecutionReport)
    assert (trade.exec_id, trade.exec_type, trade.side) == ("7e2ae69c-4edf-5800", ExecType.TRADE, Side.SELL)
    assert trade.trade_seq == 4688002127
    assert (trade.last_qty, trade.cum_qty, trade.leaves_qty) == (Decimal("0.5"), Decimal("0.5"), Decimal("1.5"))
    assert (trade.fee, trade.fee_asset, trade.liquidity) == (Decimal("0.0182985"), "USDT", Liquidity.TAKER)
    spot = EXECUTION | {"category": "spot", "side": "Buy"}
    (bought,) = pushed("execution", spot)
    assert (bought.instrument_id, bought.fee_asset) == (SPOT.instrument_id, "BTC")
    (canceled,) = pushed("order", ORDER | {"category": "linear", "orderStatus": "Cancelled", "cumExecQty": "1"})
    assert (canceled.exec_type, canceled.cum_qty, canceled.leaves_qty) == (ExecType.CANCELED, 1, 0)
    (rejected,) = pushed(
        "order",
        ORDER | {"category": "linear", "orderStatus": "Rejected", "rejectReason": "EC_PostOnlyWillTakeLiquidity"},
    )
    assert (rejected.exec_type, rejected.text) == (ExecType.REJECTED, "EC_PostOnlyWillTakeLiquidity")
    (balance,) = pushed("wallet", {"accountType": "UNIFIED", "coin": [{"coin": "USDT", "walletBalance": "101.5"}]})
    assert isinstance(balance, BalanceChanged)
    assert balance.total == Decimal("101.5")
    (position,) = pushed(
        "position", {"category": "linear", "symbol": "BTCUSDT", "side": "Sell", "size": "3", "positionIdx": 0}
    )
    assert isinstance(position, PositionChanged)
    assert position.qty == -3


def test_a_funding_row_is_a_payment_with_its_rate() -> None:
    row = EXECUTION | {"execType": "Funding", "execFee": "-0.12", "feeRate": "-0.0001", "execQty": "2", "side": "Sell"}
    (payment,) = pushed("execution", row)
    assert isinstance(payment, FundingPayment)
    assert (payment.amount, payment.rate, payment.position_qty) == (Decimal("0.12"), Decimal("-0.0001"), -2)


def test_the_streams_own_words_are_told_and_nothing_is_dropped() -> None:
    d = dialect()

    def told(text: str) -> Any:
        (event,) = d.decode_user(text.encode(), TS_NS)
        return event

    assert isinstance(told('{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}'), LoggedIn)
    assert told('{"success":true,"ret_msg":"subscribe","conn_id":"2","op":"subscribe"}') == Subscribed(
        d.stream.channels[0]
    )
    refused = told('{"success":false,"ret_msg":"Params Error","op":"auth","conn_id":"c"}')
    assert isinstance(refused, StreamRefused)
    assert refused.auth
    assert isinstance(told('{"req_id":"t","op":"pong","args":["1675418560633"],"conn_id":"c"}'), Heartbeat)
    for rows in (
        ("execution", EXECUTION | {"symbol": "NEWUSDT"}),
        ("execution", EXECUTION | {"execQty": 0.5}),
        ("execution", EXECUTION | {"execType": "Surprise"}),
        ("order", ORDER | {"category": "linear", "orderStatus": "Pondering"}),
        ("position", {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "size": "3", "positionIdx": 1}),
    ):
        (event,) = pushed(*rows)
        assert isinstance(event, Unread), rows
    assert isinstance(told("{"), Unread)


@pytest.mark.recording
@pytest.mark.skipif(not FIXTURES.exists(), reason="no documented payloads beside the project")
def test_documented_payloads_are_read() -> None:
    with lzma.open(FIXTURES, "rt") as lines:
        rows = {row["name"]: row for row in map(json.loads, lines)}
    body = json.dumps(rows["V5Api/Trading/GetUserTrades"]["response"])
    assert "execId" in body
    key = dialect().decode_reply(
        KeyQuery(venue="bybit"), answer(200, json.dumps(rows["V5Api/Account/GetApiKeyInfo"]["response"]))
    )
    assert isinstance(key, Told)
    assert isinstance(key.fact, KeyPermissions)
    assert key.fact.withdraw is False
