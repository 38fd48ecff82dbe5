"""OKX's order wire: requests against ccxt's own, codes, answers and private channels of the venue's documents."""

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
from adapters.orders.digests import hmac_base64
from adapters.orders.news import (
    BalanceChanged,
    Heartbeat,
    LoggedIn,
    PositionChanged,
    StreamClosing,
    StreamRefused,
    Subscribed,
    Unread,
)
from adapters.orders.okx import OkxOrders
from adapters.orders.okx_read import id_in, id_out
from adapters.orders.wire import (
    AccountMode,
    Ambiguous,
    AuthFailed,
    CancelAll,
    ClockSkewed,
    Countdown,
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
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    Liquidity,
    OrderCancelReject,
    OrderStatusReport,
    OrdStatus,
    TimeInForce,
)

FIXTURES = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "okx" / "fixtures" / "jkorf_okx.jsonl.xz"
SWAP = BTC["okx"]
SPOT = instrument("OKX:SPOT:BTC-USDT")


def dialect(**more: Any) -> OkxOrders:
    return OkxOrders(INSTRUMENTS["okx"], **more)


def every_command() -> list[WireCommand]:
    return [
        place(SWAP),
        place(SWAP, time_in_force=TimeInForce.GTX, reduce_only=True),
        place(SPOT, price=None, qty="0.01"),
        cancel(SWAP),
        replace(SWAP),
        status(SWAP),
        Countdown(venue="okx", instrument_id=SWAP.instrument_id, timeout_ms=9_500, cause="t"),
        KeyQuery(venue="okx"),
        ModeQuery(venue="okx"),
        LeverageQuery(venue="okx", instrument_id=SWAP.instrument_id),
    ]


@pytest.mark.parametrize("testnet", [False, True])
def test_ccxt_would_send_the_same_with_the_same_signature(testnet: bool) -> None:
    d = dialect(testnet=testnet)
    requests = [d.encode(command, TS_MS) for command in every_command()]
    requests += [read.request for read in d.account_requests(AccountCursor.opening("okx", TS_MS))]
    requests.append(d.encode_batch([place(SWAP), place(SWAP, "pd1-b-2")], TS_MS))
    for request in requests:
        ours = d.sign(request, KEY, TS_MS)
        exchange = ccxt.okx({"apiKey": KEY.api_key, "secret": KEY.secret, "password": KEY.passphrase})
        exchange.nonce = lambda: TS_MS  # type: ignore[method-assign]
        params = msgspec.json.decode(request.body) if request.body else dict(parse_qsl(request.query))
        theirs = exchange.sign(request.path.removeprefix("/api/v5/"), "private", request.method, params)
        assert (ours.method, urlsplit(ours.url).netloc, ours.path) == (
            theirs["method"],
            urlsplit(theirs["url"]).netloc,
            urlsplit(theirs["url"]).path,
        )
        assert dict(parse_qsl(urlsplit(ours.url).query)) == dict(parse_qsl(urlsplit(theirs["url"]).query))
        assert ours.body == (theirs["body"] or "").encode()
        # Two headers of ours are beside the signature: when the request is of no more use, and whose money it is.
        extra = {"expTime": ours.headers.get("expTime"), "x-simulated-trading": ours.headers.get("x-simulated-trading")}
        beside = {name for name, value in extra.items() if value is not None}
        assert {k: v for k, v in ours.headers.items() if k not in beside} == theirs["headers"], request
        assert ("x-simulated-trading" in beside) == testnet


def test_the_login_is_signed_as_the_document_says() -> None:
    # "Login": timestamp + 'GET' + '/users/self/verify', base64 (okx.com/docs-v5, 2026-11)
    frame = msgspec.json.decode(dialect().stream_login(KEY, TS_MS))
    (login,) = frame["args"]
    assert login["timestamp"] == str(TS_MS // 1_000)
    assert login["sign"] == hmac_base64(KEY.secret, f"{TS_MS // 1_000}GET/users/self/verify")
    assert login["passphrase"] == KEY.passphrase


def test_ids_travel_without_dashes_and_come_back() -> None:
    for ours in ("pd1-b-1", "pd2f-0a-ff", "pd1-b-1-c1"):
        assert id_in(id_out(ours)) == ours
        assert id_out(ours).isalnum()
    assert id_in("somebodyZelse") == "somebodyZelse"
    assert id_in("pdUPPERZ") == "pdUPPERZ"
    for bad in ("", "x" * 33, "pd_1", "PD-1", "pdZ"):
        with pytest.raises(ValueError, match="clOrdId"):
            id_out(bad)


def test_an_order_says_its_terms() -> None:
    body = msgspec.json.decode(dialect().encode(place(SWAP, time_in_force=TimeInForce.GTX, reduce_only=True), 0).body)
    assert body == {
        "instId": "BTC-USDT-SWAP",
        "tdMode": "cross",
        "clOrdId": "pd1ZbZ1",
        "side": "buy",
        "ordType": "post_only",
        "sz": "2",
        "px": "60000",
        "reduceOnly": "true",
        "stpMode": "cancel_maker",
    }
    spot = msgspec.json.decode(dialect().encode(place(SPOT, price=None, qty="0.01"), 0).body)
    assert (spot["tdMode"], spot["tgtCcy"], spot["ordType"]) == ("cash", "base_ccy", "market")
    amend = msgspec.json.decode(dialect().encode(replace(SWAP), 0).body)
    assert (amend["clOrdId"], amend["reqId"], amend["newSz"], amend["newPx"]) == ("pd1ZbZ1", "pd1ZbZ2", "3", "60001")
    with pytest.raises(ValueError, match="cancel orders by id"):
        dialect().encode(CancelAll(venue="okx", instrument_id=SWAP.instrument_id, cause="", ts_init_ns=0), 0)


def whole(code: str, data: list[dict[str, Any]] | None = None, msg: str = "words") -> str:
    return json.dumps({"code": code, "msg": msg, "data": data or []})


def failed(code: str) -> str:
    row = {"clOrdId": "pd1ZbZ1", "ordId": "", "tag": "", "ts": "1695190491421", "sCode": code, "sMsg": "words"}
    return whole("1", [row], "All operations failed")


@pytest.mark.req("P-ORD-2")
@pytest.mark.parametrize(
    ("http", "body", "kind"),
    [
        (200, failed("51008"), Refused),
        (200, failed("51000"), Refused),
        (200, failed("51020"), Refused),
        (200, failed("51121"), Refused),
        (200, failed("51016"), Exists),
        (200, failed("51149"), Ambiguous),
        (200, failed("59999"), Ambiguous),
        (200, failed("50004"), Ambiguous),
        (200, failed("51113"), Limited),
        (200, failed("50061"), Limited),
        (200, whole("50014"), Refused),
        (400, whole("50004"), Ambiguous),
        (503, whole("50001"), Ambiguous),
        (500, whole("50026"), Ambiguous),
        (429, whole("50013"), Ambiguous),
        (429, whole("50011"), Limited),
        (429, "", Limited),
        (403, "<html>", Limited),
        (401, whole("50113"), AuthFailed),
        (401, whole("50111"), AuthFailed),
        (401, whole("50110"), AuthFailed),
        (401, whole("50101"), AuthFailed),
        (401, whole("50102"), ClockSkewed),
        (200, whole("1"), Ambiguous),
        (200, whole("0"), Ambiguous),
        (200, "", Ambiguous),
        (502, "", Ambiguous),
        (404, "", Ambiguous),
    ],
)
def test_every_code_means_one_thing(http: int, body: str, kind: type) -> None:
    reply = dialect().decode_reply(place(SWAP), answer(http, body))
    assert type(reply) is kind, reply
    if isinstance(reply, Exists):
        assert isinstance(reply.events[0], ExecutionReport)
        assert is_duplicate(reply.events[0].text)
    if isinstance(reply, Ambiguous):
        assert not reply.events


# "Place order", okx.com/docs-v5 (2026-11), with our id.
PLACED = {
    "clOrdId": "pd1ZbZ1", "ordId": "312269865356374016", "tag": "", "ts": "1695190491421", "sCode": "0", "sMsg": "",
}  # fmt: skip


def test_a_placement_is_acked_and_cancels_and_amendments_are_only_taken() -> None:
    d = dialect()
    reply = d.decode_reply(place(SWAP), answer(200, whole("0", [PLACED])))
    assert isinstance(reply, Events)
    (ack,) = reply.events
    assert isinstance(ack, ExecutionReport)
    assert (ack.cl_ord_id, ack.exec_type, ack.order_id) == ("pd1-b-1", ExecType.NEW, "312269865356374016")
    assert d.decode_reply(cancel(SWAP), answer(200, whole("0", [PLACED]))) == Events(())
    assert d.decode_reply(replace(SWAP), answer(200, whole("0", [PLACED | {"clOrdId": "", "reqId": "x"}]))) == Events(
        ()
    )
    for command in (place(SWAP), cancel(SWAP)):
        other = d.decode_reply(command, answer(200, whole("0", [PLACED | {"clOrdId": "notours"}])))
        assert isinstance(other, Ambiguous)
    gone = d.decode_reply(cancel(SWAP), answer(200, failed("51400")))
    assert isinstance(gone, Refused)
    assert isinstance(gone.events[0], OrderCancelReject)


# "Order channel", okx.com/docs-v5 (2026-11), a limit order of a swap with our id.
ORDER = {
    "accFillSz": "0", "algoClOrdId": "", "algoId": "", "amendResult": "", "amendSource": "", "avgPx": "0",
    "cancelSource": "", "category": "normal", "ccy": "", "clOrdId": "pd1ZbZ1", "code": "0", "cTime": "1654084334977",
    "execType": "", "fee": "0", "feeCcy": "USDT", "fillFee": "0", "fillFeeCcy": "", "fillNotionalUsd": "",
    "fillPx": "", "fillSz": "0", "fillPnl": "0", "fillTime": "", "instId": "BTC-USDT-SWAP", "instType": "SWAP",
    "lever": "3", "msg": "", "notionalUsd": "1200", "ordId": "452197707845865472", "ordType": "limit", "pnl": "0",
    "posSide": "net", "px": "60000", "rebate": "0", "rebateCcy": "USDT", "reduceOnly": "false", "reqId": "",
    "side": "buy", "source": "", "state": "live", "stpId": "", "stpMode": "cancel_maker", "sz": "2", "tag": "",
    "tdMode": "cross", "tgtCcy": "", "tradeId": "", "lastPx": "60000", "uTime": "1654084334977", "isTpLimit": "false",
}  # fmt: skip
FILL = {
    "tradeId": "242589207", "fillSz": "0.5", "fillPx": "60000", "fillTime": "1654084353263", "accFillSz": "0.5",
    "fillFee": "-0.025", "fillFeeCcy": "USDT", "execType": "M", "state": "partially_filled", "uTime": "1654084353264",
}  # fmt: skip


def pushed(channel: str, *rows: dict[str, Any]) -> tuple[Any, ...]:
    message = {"arg": {"channel": channel, "instType": "ANY", "uid": "1"}, "data": list(rows)}
    return dialect().decode_user(json.dumps(message).encode(), TS_NS)


def test_the_order_channel_tells_acks_executions_and_ends() -> None:
    (ack,) = pushed("orders", ORDER)
    assert (ack.cl_ord_id, ack.exec_type, ack.exec_id) == (
        "pd1-b-1",
        ExecType.NEW,
        "BTC-USDT-SWAP:452197707845865472:new",
    )
    (trade,) = pushed("orders", ORDER | FILL)
    assert isinstance(trade, ExecutionReport)
    assert trade.exec_id == "BTC-USDT-SWAP:242589207:452197707845865472"
    assert trade.trade_seq == 242589207
    assert (trade.last_qty, trade.cum_qty, trade.leaves_qty) == (Decimal("0.5"), Decimal("0.5"), Decimal("1.5"))
    assert (trade.fee, trade.fee_asset, trade.liquidity) == (Decimal("0.025"), "USDT", Liquidity.MAKER)
    again, gone = pushed("orders", ORDER | FILL | {"state": "canceled", "cancelSource": "1"})
    assert again.exec_id == trade.exec_id  # the last execution is said again, and counts once
    assert (gone.exec_type, gone.cum_qty, gone.leaves_qty) == (ExecType.CANCELED, Decimal("0.5"), 0)
    (full,) = pushed("orders", ORDER | FILL | {"state": "filled", "accFillSz": "2", "fillSz": "2"})
    assert full.ord_status is OrdStatus.FILLED


def test_an_amendment_that_failed_is_refused_by_its_own_id() -> None:
    (refused,) = pushed("orders", ORDER | {"amendResult": "-1", "reqId": "pd1ZbZ2", "code": "51503", "msg": "too late"})
    assert isinstance(refused, OrderCancelReject)
    assert (refused.cl_ord_id, refused.orig_cl_ord_id) == ("pd1-b-2", "pd1-b-1")
    (done,) = pushed("orders", ORDER | {"amendResult": "0", "reqId": "pd1ZbZ2", "px": "60001"})
    assert (done.exec_type, done.price) == (ExecType.ORDER_STATUS, 60001)


def test_balances_positions_and_the_streams_own_words_are_told() -> None:
    d = dialect()

    def told(text: str) -> Any:
        (event,) = d.decode_user(text.encode(), TS_NS)
        return event

    detail = {"ccy": "USDT", "cashBal": "4750.42", "uTime": "1705564213903"}
    (balance,) = pushed("account", {"details": [detail], "uTime": "1705564223311"})
    assert isinstance(balance, BalanceChanged)
    assert balance.total == Decimal("4750.42")
    (position,) = pushed(
        "positions", {"instId": "BTC-USDT-SWAP", "pos": "-3", "posSide": "net", "uTime": "1705564223311"}
    )
    assert isinstance(position, PositionChanged)
    assert position.qty == -3
    assert isinstance(told("pong"), Heartbeat)
    assert isinstance(told('{"event":"login","code":"0","msg":"","connId":"a"}'), LoggedIn)
    assert told('{"event":"subscribe","arg":{"channel":"orders","instType":"ANY"},"connId":"a"}') == Subscribed(
        "orders"
    )
    refused = told('{"event":"error","code":"60009","msg":"Login failed.","connId":"a"}')
    assert isinstance(refused, StreamRefused)
    assert refused.auth
    assert not told('{"event":"error","code":"60012","msg":"Invalid request","connId":"a"}').auth
    assert isinstance(
        told('{"event":"notice","code":"64008","msg":"The connection will soon be closed"}'), StreamClosing
    )


def test_nothing_that_cannot_be_read_is_dropped() -> None:
    for channel, row in (
        ("orders", ORDER | {"instId": "NEW-USDT"}),
        ("orders", ORDER | {"sz": 2.0}),
        ("orders", ORDER | {"state": "pondering"}),
        ("orders", ORDER | FILL | {"fillSz": "5e-1"}),
        ("positions", {"instId": "BTC-USDT-SWAP", "pos": "3", "posSide": "long", "uTime": "1705564223311"}),
    ):
        (event,) = pushed(channel, row)
        assert isinstance(event, Unread), row


def test_questions_about_the_account_are_answered() -> None:
    # "Get account configuration", okx.com/docs-v5 (2026-11)
    config = {
        "acctLv": "3", "acctStpMode": "cancel_maker", "autoLoan": True, "posMode": "net_mode", "uid": "4470589",
        "roleType": "0", "ip": "120.255.24.182,49.245.196.13", "perm": "read_only,withdraw,trade",
    }  # fmt: skip
    d = dialect()

    def fact(command: WireCommand, row: dict[str, Any]) -> Any:
        reply = d.decode_reply(command, answer(200, whole("0", [row])))
        assert isinstance(reply, Told), reply
        return reply.fact

    able = fact(KeyQuery(venue="okx"), config)
    assert isinstance(able, KeyPermissions)
    assert (able.withdraw, able.trade, able.ip_bound, able.may_only_trade) == (True, True, True, False)
    assert fact(KeyQuery(venue="okx"), config | {"perm": "read_only,trade"}).may_only_trade
    assert not fact(KeyQuery(venue="okx"), config | {"perm": "read_only"}).may_only_trade
    silent = d.decode_reply(KeyQuery(venue="okx"), answer(200, whole("0", [{"posMode": "net_mode"}])))
    assert isinstance(silent, Ambiguous)
    assert fact(ModeQuery(venue="okx"), config) == AccountMode(hedge=False, text="net_mode")
    assert fact(ModeQuery(venue="okx"), config | {"posMode": "long_short_mode"}).hedge
    lever = fact(
        LeverageQuery(venue="okx", instrument_id=SWAP.instrument_id), {"instId": "BTC-USDT-SWAP", "lever": "10"}
    )
    assert lever == Leverage(instrument_id=SWAP.instrument_id, leverage="10")
    missing = d.decode_reply(status(SWAP), answer(200, whole("51603")))
    assert isinstance(missing, Events)
    assert isinstance(missing.events[0], OrderStatusReport)
    assert missing.events[0].report is None
    found = d.decode_reply(status(SWAP), answer(200, whole("0", [ORDER])))
    assert isinstance(found, Events)
    assert isinstance(found.events[0], OrderStatusReport)
    assert found.events[0].report is not None


@pytest.mark.req("P-VEN-8")
def test_the_dead_mans_switch_is_armed_within_its_bounds_and_disarmed() -> None:
    def seconds(timeout_ms: int) -> str:
        command = Countdown(venue="okx", instrument_id=SWAP.instrument_id, timeout_ms=timeout_ms, cause="t")
        text: str = msgspec.json.decode(dialect().encode(command, 0).body)["timeOut"]
        return text

    assert [seconds(ms) for ms in (1, 10_500, 999_000, 0)] == ["10", "11", "120", "0"]


@pytest.mark.req("P-VEN-6")
def test_a_batch_answers_each_item_by_its_own_code() -> None:
    # "Place multiple orders", okx.com/docs-v5 (2026-11): code 2 is partly done.
    rows = [PLACED, PLACED | {"clOrdId": "pd1ZbZ2", "ordId": "", "sCode": "51008", "sMsg": "Insufficient balance"}]
    commands = [place(SWAP), place(SWAP, "pd1-b-2")]
    assert [type(x) for x in dialect().decode_batch(commands, answer(200, whole("2", rows)))] == [Events, Refused]
    assert [type(x) for x in dialect().decode_batch(commands, answer(200, whole("2", rows[:1])))] == [Ambiguous] * 2
    swapped = dialect().decode_batch(commands, answer(200, whole("0", [PLACED, PLACED])))
    assert [type(x) for x in swapped] == [Events, Ambiguous]
    request = dialect().encode_batch(commands, 0)
    assert (request.path, request.orders) == ("/api/v5/trade/batch-orders", 2)


@pytest.mark.recording
@pytest.mark.skipif(not FIXTURES.exists(), reason="no documented payloads beside the project")
def test_the_documented_order_push_is_read() -> None:
    with lzma.open(FIXTURES, "rt") as lines:
        rows = {row["name"]: row for row in map(json.loads, lines)}
    push = rows["Unified/Trading/Order"]["steps"][-1]["json"]
    (trade,) = dialect().decode_user(json.dumps(push).encode(), TS_NS)
    assert isinstance(trade, ExecutionReport)
    assert (trade.instrument_id, trade.last_qty) == (SPOT.instrument_id, Decimal("0.001"))
