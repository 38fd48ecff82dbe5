"""Order frames in each venue's words, and that their answers mean what the same answers over REST mean."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.orders.binance import BinanceOrders
from adapters.orders.bybit import BybitOrders
from adapters.orders.digests import hmac_base64, hmac_hex
from adapters.orders.entry import EntryAlive, EntryAnswered, EntryClosing, EntryGranted, EntryRefused, EntryUnread
from adapters.orders.entry_binance import BinanceEntry
from adapters.orders.entry_bybit import BybitEntry
from adapters.orders.entry_okx import OkxEntry
from adapters.orders.entry_venues import open_entry
from adapters.orders.okx import TESTNET as OKX_DEMO
from adapters.orders.okx import OkxOrders
from adapters.orders.wire import Events, HttpAnswer, Limited, Refused, WireRequest
from tests.adapters.orders.commands import BTC, INSTRUMENTS, KEY, NOWHERE, TS_MS, TS_NS, cancel, place, replace
from trading.orders.messages import ExecutionReport

ID = "e19a7b3x1"


def okx() -> OkxEntry:
    made = OkxEntry(INSTRUMENTS["okx"])
    rows = [{"instId": one.symbol, "instIdCode": 1000 + n} for n, one in enumerate(INSTRUMENTS["okx"])]
    body = msgspec.json.encode({"code": "0", "msg": "", "data": rows})
    assert made.prepare(HttpAnswer(status=200, body=body, ts_ns=TS_NS)) == ""
    return made


def code_of(symbol: str) -> int:
    return 1000 + [one.symbol for one in INSTRUMENTS["okx"]].index(symbol)


def frame(entry: Any, request: WireRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry.frame(request, ID, KEY, TS_MS))
    return found


# --- Requests ------------------------------------------------------------------------------------------------------


def test_okx_names_instruments_by_their_code_and_orders_expire() -> None:
    dialect, market = OkxOrders(INSTRUMENTS["okx"], NOWHERE), BTC["okx"]
    request = dialect.encode(place(market), TS_MS)
    said = frame(okx(), request)
    body = json.loads(request.body)
    assert (said["id"], said["op"], said["expTime"]) == (ID, "order", str(TS_MS + 1_000))
    (arg,) = said["args"]
    assert arg.pop("instIdCode") == code_of(market.symbol)
    assert "instId" not in arg
    assert arg == {name: value for name, value in body.items() if name != "instId"}


@pytest.mark.parametrize(
    ("make", "op", "expires"),
    [
        (lambda m: [place(m), place(m, "pd1-b-2")], "batch-orders", True),
        (lambda m: [cancel(m), cancel(m, "pd1-b-2")], "batch-cancel-orders", False),
        (lambda m: [replace(m), replace(m, "pd1-b-3", "pd1-b-4")], "batch-amend-orders", True),
    ],
)
def test_okx_batches(make: Any, op: str, expires: bool) -> None:
    dialect, market = OkxOrders(INSTRUMENTS["okx"], NOWHERE), BTC["okx"]
    said = frame(okx(), dialect.encode_batch(make(market), TS_MS))
    assert said["op"] == op
    assert [arg["instIdCode"] for arg in said["args"]] == [code_of(market.symbol)] * 2
    assert ("expTime" in said) is expires


def test_okx_says_nothing_of_an_instrument_whose_code_it_does_not_know() -> None:
    dialect = OkxOrders(INSTRUMENTS["okx"], NOWHERE)
    entry = OkxEntry(INSTRUMENTS["okx"])
    assert entry.frame(dialect.encode(place(BTC["okx"]), TS_MS), ID, KEY, TS_MS) == b""
    kinds = {dict(parse_qsl(request.query))["instType"] for request in entry.preparation()}
    assert kinds == {"SPOT", "SWAP"}
    assert "without" in entry.prepare(HttpAnswer(status=200, body=b'{"code":"0","data":[]}', ts_ns=TS_NS))
    assert "not JSON" in entry.prepare(HttpAnswer(status=502, body=b"<html>", ts_ns=TS_NS))


def test_on_okx_demo_network_orders_go_by_rest() -> None:
    assert open_entry("okx", INSTRUMENTS["okx"], OKX_DEMO) is None
    assert open_entry("gateio", (), NOWHERE) is None


def test_okx_logs_in_as_on_its_private_stream() -> None:
    (arg,) = json.loads(okx().login(KEY, TS_MS))["args"]
    assert arg["sign"] == hmac_base64(KEY.secret, f"{TS_MS // 1000}GET/users/self/verify")


@pytest.mark.parametrize(
    ("command", "op"),
    [(place, "order.create"), (cancel, "order.cancel"), (replace, "order.amend")],
)
def test_bybit_takes_rests_body_and_the_time_in_a_header(command: Any, op: str) -> None:
    request = BybitOrders(INSTRUMENTS["bybit"], NOWHERE).encode(command(BTC["bybit"]), TS_MS)
    said = frame(BybitEntry(), request)
    window = str(request.recv_window_ms)
    assert (said["reqId"], said["op"]) == (ID, op)
    assert said["header"] == {"X-BAPI-TIMESTAMP": str(TS_MS), "X-BAPI-RECV-WINDOW": window}
    assert said["args"] == [json.loads(request.body)]


def test_bybit_batches_are_one_argument() -> None:
    dialect, market = BybitOrders(INSTRUMENTS["bybit"], NOWHERE), BTC["bybit"]
    said = frame(BybitEntry(), dialect.encode_batch([place(market), place(market, "pd1-b-2")], TS_MS))
    assert said["op"] == "order.create-batch"
    assert [len(arg["request"]) for arg in said["args"]] == [2]


@pytest.mark.parametrize(
    ("venue", "command", "method"),
    [
        (SPOT, place, "order.place"),
        (SPOT, cancel, "order.cancel"),
        (SPOT, replace, "order.cancelReplace"),
        (USDM, place, "order.place"),
        (USDM, cancel, "order.cancel"),
        (USDM, replace, "order.modify"),
        (COINM, place, "order.place"),
        (COINM, cancel, "order.cancel"),
        (COINM, replace, "order.modify"),
    ],
)
def test_binance_signs_each_request_over_its_sorted_parameters(venue: str, command: Any, method: str) -> None:
    request = BinanceOrders(venue, INSTRUMENTS[venue], NOWHERE).encode(command(BTC[venue]), TS_MS)
    said = frame(BinanceEntry(venue), request)
    params = said["params"]
    signature = params.pop("signature")
    assert (said["id"], said["method"]) == (ID, method)
    assert signature == hmac_hex(KEY.secret, "&".join(f"{name}={params[name]}" for name in sorted(params)))
    assert (params.pop("apiKey"), params.pop("timestamp")) == (KEY.api_key, TS_MS)
    assert params.pop("recvWindow") == request.recv_window_ms
    assert params == dict(parse_qsl(request.query or request.body.decode()))


def test_what_is_asked_or_moved_elsewhere_is_no_frame() -> None:
    for entry in (okx(), BybitEntry(), BinanceEntry(SPOT), BinanceEntry(USDM)):
        for method, path in (
            ("POST", "/api/v5/asset/withdrawal"),
            ("POST", "/v5/asset/withdraw/create"),
            ("POST", "/sapi/v1/capital/withdraw/apply"),
            ("GET", "/api/v3/order"),
            ("GET", "/api/v5/trade/order"),
        ):
            request = BybitOrders(INSTRUMENTS["bybit"], NOWHERE).encode(cancel(BTC["bybit"]), TS_MS)
            stolen = msgspec.structs.replace(request, method=method, path=path)
            assert entry.frame(stolen, ID, KEY, TS_MS) == b""


# --- Answers -------------------------------------------------------------------------------------------------------


def read(entry: Any, body: object) -> Any:
    (word,) = entry.read(body if isinstance(body, bytes) else msgspec.json.encode(body), TS_NS)
    return word


def test_an_ack_by_websocket_means_what_it_means_over_rest() -> None:
    row = {"clOrdId": "pd1Zb1", "ordId": "7", "tag": "", "ts": str(TS_MS), "sCode": "0", "sMsg": ""}
    market = BTC["okx"]
    dialect = OkxOrders(INSTRUMENTS["okx"], NOWHERE)
    command = place(market, "pd1-b1")
    said = read(okx(), {"id": ID, "op": "order", "code": "0", "msg": "", "data": [row], "inTime": "1", "outTime": "2"})
    assert isinstance(said, EntryAnswered)
    reply = dialect.decode_reply(command, said.answer)
    assert isinstance(reply, Events)
    (ack,) = reply.events
    assert isinstance(ack, ExecutionReport)
    assert (said.request_id, ack.order_id, ack.cl_ord_id) == (ID, "7", "pd1-b1")


def test_bybits_answer_has_rests_code_result_and_limits() -> None:
    header = {
        "X-Bapi-Limit": "20",
        "X-Bapi-Limit-Status": "0",
        "X-Bapi-Limit-Reset-Timestamp": str(TS_MS + 700),
        "Timenow": str(TS_MS),
    }
    dialect, market = BybitOrders(INSTRUMENTS["bybit"], NOWHERE), BTC["bybit"]
    body = {"reqId": ID, "retCode": 0, "retMsg": "OK", "op": "order.create", "header": header, "connId": "c"}
    placed = read(BybitEntry(), body | {"data": {"orderId": "7", "orderLinkId": "pd1-b-1"}})
    reply = dialect.decode_reply(place(market), placed.answer)
    assert isinstance(reply, Events)
    limited = read(BybitEntry(), body | {"retCode": 10006, "retMsg": "Too many visits", "data": {}})
    reply = dialect.decode_reply(place(market), limited.answer)
    assert isinstance(reply, Limited)
    assert reply.retry_ns == 700_000_000


@pytest.mark.parametrize("venue", [SPOT, USDM, COINM])
def test_binances_answer_has_rests_status_body_and_counts(venue: str) -> None:
    limits = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 12},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 321},
    ]
    dialect, command = BinanceOrders(venue, INSTRUMENTS[venue], NOWHERE), place(BTC[venue])
    error = {"code": -2010, "msg": "Account has insufficient balance for requested action."}
    said = read(BinanceEntry(venue), {"id": ID, "status": 400, "error": error, "rateLimits": limits})
    assert said.answer.headers == {"x-mbx-order-count-10s": "12", "x-mbx-used-weight-1m": "321"}
    assert isinstance(dialect.decode_reply(command, said.answer), Refused)
    data = {"serverTime": TS_MS, "retryAfter": TS_MS + 9_500}
    error = {"code": -1003, "msg": "Too many requests.", "data": data}
    said = read(BinanceEntry(venue), {"id": ID, "status": 429, "error": error, "rateLimits": []})
    assert said.answer.headers == {"retry-after": "10"}
    reply = dialect.decode_reply(command, said.answer)
    assert isinstance(reply, Limited)
    assert (reply.banned, reply.retry_ns) == (False, 10_000_000_000)
    said = read(BinanceEntry(venue), {"id": ID, "status": 418, "error": error, "rateLimits": []})
    banned = dialect.decode_reply(command, said.answer)
    assert isinstance(banned, Limited)
    assert banned.banned


def test_a_key_that_is_refused_on_this_road_is_left_for_rest_to_judge() -> None:
    for entry, body in (
        (okx(), {"id": ID, "op": "order", "code": "60011", "msg": "Please log in", "data": []}),
        (okx(), {"id": ID, "op": "order", "code": "50111", "msg": "Invalid key", "data": []}),
        (BybitEntry(), {"reqId": ID, "op": "order.create", "retCode": 10003, "retMsg": "Too many sessions"}),
        (BybitEntry(), {"reqId": ID, "op": "order.create", "retCode": 10019, "retMsg": "restarting"}),
        (BinanceEntry(USDM), {"id": ID, "status": 401, "error": {"code": -2015, "msg": "Invalid API-key"}}),
    ):
        word = read(entry, body)
        assert isinstance(word, EntryUnread)
        assert word.request_id == ID


def test_what_is_said_of_the_connection() -> None:
    assert read(okx(), b"pong") == EntryAlive()
    assert read(okx(), {"event": "login", "code": "0", "msg": ""}) == EntryGranted()
    assert isinstance(read(okx(), {"event": "error", "code": "60009", "msg": "Login failed."}), EntryRefused)
    assert isinstance(read(okx(), {"event": "notice", "code": "64008", "msg": "soon"}), EntryClosing)
    assert read(BybitEntry(), {"op": "auth", "retCode": 0, "retMsg": "OK"}) == EntryGranted()
    assert isinstance(read(BybitEntry(), {"op": "auth", "retCode": 10004, "retMsg": "sign"}), EntryRefused)
    assert isinstance(read(BinanceEntry(SPOT), {"event": {"e": "serverShutdown", "E": TS_MS}}), EntryClosing)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b"<html>", b'{"id":{}}', b'{"reqId":[1],"op":{}}', b'{"status":"?"}']
)
def test_what_cannot_be_read_is_only_a_sign_of_life(body: bytes) -> None:
    for entry in (OkxEntry(()), BybitEntry(), BinanceEntry(SPOT)):
        words = entry.read(body, TS_NS)
        assert all(isinstance(word, EntryAlive) for word in words)
