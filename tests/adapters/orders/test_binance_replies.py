"""What Binance's answers and user events prove: payloads of the venue's documents and of real sessions."""

from __future__ import annotations

import json
import lzma
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.orders.binance import BinanceOrders
from adapters.orders.news import (
    BalanceChanged,
    MarginCalled,
    PositionChanged,
    StreamClosing,
    StreamRefused,
    Subscribed,
    Unread,
)
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
    ListenKey,
    ListenKeyRequest,
    ListenKeyVerb,
    ModeQuery,
    Refused,
    Told,
)
from tests.adapters.orders.commands import BTC, INSTRUMENTS, TS_NS, answer, cancel, place, replace, status
from trading.orders.evidence import is_duplicate
from trading.orders.inplace import is_unchanged
from trading.orders.messages import (
    ExecType,
    ExecutionReport,
    Liquidity,
    OrderCancelReject,
    OrderStatusReport,
    OrdStatus,
    Side,
)

RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance" / "order_lifecycle"


def dialect(venue: str) -> BinanceOrders:
    return BinanceOrders(venue, INSTRUMENTS[venue])


def error(code: int, msg: str = "words") -> str:
    return json.dumps({"code": code, "msg": msg})


# "New order (TRADE)", Response FULL, binance-spot-api-docs/rest-api.md (2026-11), with our id.
SPOT_FULL = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "orderListId": -1,
    "clientOrderId": "pd1-b-1",
    "transactTime": 1507725176595,
    "price": "0.00000000",
    "origQty": "10.00000000",
    "executedQty": "10.00000000",
    "origQuoteOrderQty": "0.000000",
    "cummulativeQuoteQty": "10.00000000",
    "status": "FILLED",
    "timeInForce": "GTC",
    "type": "MARKET",
    "side": "SELL",
    "workingTime": 1507725176595,
    "selfTradePreventionMode": "NONE",
    "fills": [
        {
            "price": "4000.00000000",
            "qty": "1.00000000",
            "commission": "4.00000000",
            "commissionAsset": "USDT",
            "tradeId": 56,
        },
        {
            "price": "3999.00000000",
            "qty": "9.00000000",
            "commission": "19.99500000",
            "commissionAsset": "USDT",
            "tradeId": 57,
        },
    ],
}
# "New Order", developers.binance.com derivatives/usds-margined-futures (2026-11), with our id and a plain limit order.
USDM_ACK = {
    "clientOrderId": "pd1-b-1",
    "cumQty": "0",
    "cumQuote": "0",
    "executedQty": "0",
    "orderId": 22542179,
    "avgPrice": "0.00000",
    "origQty": "2",
    "price": "60000",
    "reduceOnly": False,
    "side": "BUY",
    "positionSide": "BOTH",
    "status": "NEW",
    "stopPrice": "0",
    "closePosition": False,
    "symbol": "BTCUSDT",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "origType": "LIMIT",
    "updateTime": 1566818724722,
    "workingType": "CONTRACT_PRICE",
    "priceProtect": False,
}


@pytest.mark.req("P-ORD-2")
@pytest.mark.parametrize("venue", [SPOT, USDM, COINM])
@pytest.mark.parametrize(
    ("http", "body", "kind"),
    [
        (500, "", Ambiguous),
        (502, "<html>bad gateway</html>", Ambiguous),
        (503, '{"code":-1000,"msg":"Unknown error, please check your request or try again later."}', Ambiguous),
        (504, "", Ambiguous),
        (500, error(-1121), Ambiguous),
        (503, error(-2010, "Account has insufficient balance for requested action."), Ambiguous),
        (400, error(-1007, "Timeout waiting for response from backend server."), Ambiguous),
        (408, error(-1007), Ambiguous),
        (400, error(-1006), Ambiguous),
        (400, error(-1000), Ambiguous),
        (400, error(-1001), Ambiguous),
        (400, error(-1016), Ambiguous),
        (400, error(-9999, "a code of next year"), Ambiguous),
        (400, "not json", Ambiguous),
        (200, "", Ambiguous),
        (200, "[]", Ambiguous),
        (200, '{"orderId": 1}', Ambiguous),
        (400, error(-2013), Ambiguous),
        (400, error(-1013, "Filter failure: LOT_SIZE"), Refused),
        (400, error(-1111), Refused),
        (400, error(-1121), Refused),
        (400, error(-2010, "Account has insufficient balance for requested action."), Refused),
        (400, error(-2010, "Duplicate order sent."), Exists),
        (400, error(-1021), ClockSkewed),
        (400, error(-1022), AuthFailed),
        (401, error(-2015), AuthFailed),
        (401, error(-2014), AuthFailed),
        (400, error(-1002), AuthFailed),
        (429, error(-1003), Limited),
        (418, error(-1003), Limited),
        (400, error(-1015), Limited),
        (503, error(-1008), Limited),
        (403, "<html>", Limited),
    ],
)
def test_every_documented_answer_to_a_placement_means_one_thing(venue: str, http: int, body: str, kind: type) -> None:
    command = place(BTC[venue])
    reply = dialect(venue).decode_reply(command, answer(http, body))
    assert type(reply) is kind, reply
    if kind in {Refused, AuthFailed, ClockSkewed, Limited}:
        (said,) = reply.events
        assert isinstance(said, ExecutionReport)
        assert (said.exec_type, said.cl_ord_id) == (ExecType.REJECTED, "pd1-b-1")
        assert not is_duplicate(said.text)
    if kind is Ambiguous:
        assert not reply.events


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-4116, Exists),
        (-2019, Refused),
        (-2021, Refused),
        (-2022, Refused),
        (-5021, Refused),
        (-5022, Refused),
        (-4164, Refused),
        (-4003, Refused),
        (-4014, Refused),
        (-5028, Refused),
        (-4083, Ambiguous),
        (-4999, Ambiguous),
    ],
)
def test_futures_have_codes_of_their_own(code: int, kind: type) -> None:
    assert type(dialect(USDM).decode_reply(place(BTC[USDM]), answer(400, error(code)))) is kind
    if code != -2021:
        # None of them is one of spot's, where -2022 is of cancel-replace.
        expected = Refused if code == -2022 else Ambiguous
        assert type(dialect(SPOT).decode_reply(place(BTC[SPOT]), answer(400, error(code)))) is expected


@pytest.mark.req("P-ORD-2")
def test_a_duplicate_id_is_evidence_that_the_order_core_asks_about() -> None:
    for venue, code, msg in ((SPOT, -2010, "Duplicate order sent."), (USDM, -4116, "ClientOrderId is duplicated")):
        reply = dialect(venue).decode_reply(place(BTC[venue]), answer(400, error(code, msg)))
        assert isinstance(reply, Exists)
        (event,) = reply.events
        assert isinstance(event, ExecutionReport)
        assert is_duplicate(event.text)
        assert event.exec_id == ""  # it must not be taken for an end that was applied


def test_limits_say_how_long_and_bans_say_until_when() -> None:
    d, command = dialect(SPOT), place(BTC[SPOT])
    reply = d.decode_reply(command, answer(429, error(-1003), retry_after="7"))
    assert isinstance(reply, Limited)
    assert (reply.retry_ns, reply.banned) == (7_000_000_000, False)
    until_ms = TS_NS // 1_000_000 + 90_000
    words = f"Way too much request weight used; IP banned until {until_ms}. Please use WebSocket Streams."
    reply = d.decode_reply(command, answer(418, error(-1003, words)))
    assert isinstance(reply, Limited)
    assert reply.banned
    assert reply.retry_ns >= 90_000_000_000


def test_a_limited_cancel_is_not_a_refused_cancel() -> None:
    reply = dialect(USDM).decode_reply(cancel(BTC[USDM]), answer(429, error(-1003)))
    assert isinstance(reply, Limited)
    assert reply.events == ()


def test_spot_tells_the_executions_of_a_placement_once_and_in_order() -> None:
    command = place(BTC[SPOT], side=Side.SELL, price=None, qty="10")
    reply = dialect(SPOT).decode_reply(command, answer(200, json.dumps(SPOT_FULL)))
    assert isinstance(reply, Events)
    ack, first, second = reply.events
    assert isinstance(ack, ExecutionReport)
    assert isinstance(first, ExecutionReport)
    assert isinstance(second, ExecutionReport)
    assert (ack.exec_type, ack.ord_status, ack.cum_qty, ack.leaves_qty) == (ExecType.NEW, OrdStatus.NEW, 0, 10)
    assert [e.exec_id for e in (first, second)] == ["BTCUSDT:56:28", "BTCUSDT:57:28"]
    assert [e.trade_seq for e in (first, second)] == [56, 57]
    assert [e.cum_qty for e in (first, second)] == [1, 10]
    assert second.ord_status is OrdStatus.FILLED
    assert (second.fee, second.fee_asset, second.liquidity) == (Decimal("19.995"), "USDT", Liquidity.TAKER)
    assert all(e.exec_seq == 0 for e in (ack, first, second))


def test_an_ioc_that_found_nobody_is_acked_and_expired() -> None:
    body = SPOT_FULL | {"status": "EXPIRED", "executedQty": "0.0", "fills": [], "type": "LIMIT", "timeInForce": "IOC"}
    reply = dialect(SPOT).decode_reply(place(BTC[SPOT], qty="10"), answer(200, json.dumps(body)))
    assert isinstance(reply, Events)
    assert [e.exec_type for e in reply.events if isinstance(e, ExecutionReport)] == [ExecType.NEW, ExecType.EXPIRED]


def test_an_answer_about_another_order_proves_nothing() -> None:
    body = json.dumps(USDM_ACK | {"clientOrderId": "somebody-elses"})
    reply = dialect(USDM).decode_reply(place(BTC[USDM]), answer(200, body))
    assert isinstance(reply, Ambiguous)
    assert "somebody" in reply.reason


def test_binary_fractions_are_not_money() -> None:
    body = json.dumps(USDM_ACK | {"origQty": 2.1})
    reply = dialect(USDM).decode_reply(place(BTC[USDM]), answer(200, body))
    assert isinstance(reply, Ambiguous)
    assert "origQty" in reply.reason


def test_the_ack_of_a_placement_and_its_stream_event_count_once() -> None:
    reply = dialect(USDM).decode_reply(place(BTC[USDM]), answer(200, json.dumps(USDM_ACK)))
    assert isinstance(reply, Events)
    (ack,) = reply.events
    assert isinstance(ack, ExecutionReport)
    event = order_event(x="NEW", X="NEW", i=22542179)
    (streamed,) = dialect(USDM).decode_user(event, TS_NS)
    assert isinstance(streamed, ExecutionReport)
    assert streamed.exec_id == ack.exec_id


def test_a_cancel_is_answered_with_the_end_of_the_order_it_names() -> None:
    # "Cancel order", rest-api.md (2026-11): on spot clientOrderId is the cancel's own.
    body = SPOT_FULL | {"origClientOrderId": "pd1-b-1", "clientOrderId": "pd1-b-1-c1", "status": "CANCELED"}
    body |= {"executedQty": "4.0", "type": "LIMIT", "price": "60000"}
    reply = dialect(SPOT).decode_reply(cancel(BTC[SPOT]), answer(200, json.dumps(body)))
    assert isinstance(reply, Events)
    (gone,) = reply.events
    assert isinstance(gone, ExecutionReport)
    assert (gone.cl_ord_id, gone.exec_type, gone.cum_qty) == ("pd1-b-1", ExecType.CANCELED, 4)
    refused = dialect(SPOT).decode_reply(cancel(BTC[SPOT]), answer(400, error(-2011, "Unknown order sent.")))
    assert isinstance(refused, Refused)
    assert isinstance(refused.events[0], OrderCancelReject)
    assert refused.events[0].orig_cl_ord_id == "pd1-b-1"


def test_not_found_is_told_only_when_the_venue_said_so() -> None:
    d, command = dialect(USDM), status(BTC[USDM])
    reply = d.decode_reply(command, answer(400, error(-2013)))
    assert isinstance(reply, Events)
    (told,) = reply.events
    assert isinstance(told, OrderStatusReport)
    assert told.report is None
    assert told.asked_ns == command.ts_init_ns
    for trouble in (answer(500, ""), answer(400, error(-1000)), answer(404, "x"), answer(200, "{}")):
        assert isinstance(d.decode_reply(command, trouble), Ambiguous)
    found = d.decode_reply(
        command, answer(200, json.dumps(USDM_ACK | {"executedQty": "1", "status": "PARTIALLY_FILLED"}))
    )
    assert isinstance(found, Events)
    (told,) = found.events
    assert isinstance(told, OrderStatusReport)
    assert told.report is not None
    assert (told.report.exec_type, told.report.cum_qty) == (ExecType.ORDER_STATUS, 1)


# "Cancel an Existing Order and Send a New Order", rest-api.md (2026-11).
CANCELED_LEG = {
    "symbol": "BTCUSDT",
    "origClientOrderId": "pd1-b-1",
    "orderId": 9,
    "orderListId": -1,
    "clientOrderId": "osxN3JXAtJvKvCqGeMWMVR",
    "transactTime": 1684804350068,
    "price": "0.01000000",
    "origQty": "0.000100",
    "executedQty": "0.00000000",
    "cummulativeQuoteQty": "0.00000000",
    "status": "CANCELED",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "SELL",
}
NEW_LEG = {
    "symbol": "BTCUSDT",
    "orderId": 10,
    "orderListId": -1,
    "clientOrderId": "pd1-b-2",
    "transactTime": 1652928801803,
    "price": "0.02000000",
    "origQty": "0.040000",
    "executedQty": "0.00000000",
    "cummulativeQuoteQty": "0.00000000",
    "status": "NEW",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "fills": [],
}
DUPLICATE = {"code": -2010, "msg": "Duplicate order sent."}
BALANCE = {"code": -2010, "msg": "Account has insufficient balance for requested action."}
UNKNOWN = {"code": -2011, "msg": "Unknown order sent."}


def halves(code: int, canceled: str, placed: str, cancel_leg: Any, new_leg: Any) -> str:
    data = {
        "cancelResult": canceled,
        "newOrderResult": placed,
        "cancelResponse": cancel_leg,
        "newOrderResponse": new_leg,
    }
    return json.dumps({"code": code, "msg": "Order cancel-replace failed.", "data": data})


def test_spot_replaces_both_legs_or_says_which_half_was_done() -> None:
    d, command = dialect(SPOT), replace(BTC[SPOT])
    both = {
        "cancelResult": "SUCCESS",
        "newOrderResult": "SUCCESS",
        "cancelResponse": CANCELED_LEG,
        "newOrderResponse": NEW_LEG,
    }
    reply = d.decode_reply(command, answer(200, json.dumps(both)))
    assert isinstance(reply, Events)
    (done,) = reply.events
    assert isinstance(done, ExecutionReport)
    assert (done.exec_type, done.cl_ord_id, done.orig_cl_ord_id) == (ExecType.REPLACED, "pd1-b-2", "pd1-b-1")

    neither = d.decode_reply(command, answer(400, halves(-2022, "FAILURE", "NOT_ATTEMPTED", UNKNOWN, None)))
    assert isinstance(neither, Refused)
    assert isinstance(neither.events[0], OrderCancelReject)

    half = d.decode_reply(command, answer(409, halves(-2021, "SUCCESS", "FAILURE", CANCELED_LEG, BALANCE)))
    assert isinstance(half, Refused)
    gone, new = half.events
    assert isinstance(gone, ExecutionReport)
    assert isinstance(new, ExecutionReport)
    assert (gone.cl_ord_id, gone.exec_type) == ("pd1-b-1", ExecType.CANCELED)
    assert (new.cl_ord_id, new.exec_type) == ("pd1-b-2", ExecType.REJECTED)

    exists = d.decode_reply(command, answer(409, halves(-2021, "SUCCESS", "FAILURE", CANCELED_LEG, DUPLICATE)))
    assert isinstance(exists, Exists)
    unknown = {"code": -1007, "msg": "Timeout"}
    unsure = d.decode_reply(command, answer(409, halves(-2021, "SUCCESS", "FAILURE", CANCELED_LEG, unknown)))
    assert isinstance(unsure, Ambiguous)
    assert [e.cl_ord_id for e in unsure.events if isinstance(e, ExecutionReport)] == ["pd1-b-1"]
    assert isinstance(d.decode_reply(command, answer(409, error(-2021))), Ambiguous)


def test_futures_amend_in_place_and_the_desk_goes_on_with_the_new_id() -> None:
    body = USDM_ACK | {"price": "60001", "origQty": "3", "executedQty": "1", "status": "PARTIALLY_FILLED"}
    reply = dialect(USDM).decode_reply(replace(BTC[USDM]), answer(200, json.dumps(body)))
    assert isinstance(reply, Events)
    (done,) = reply.events
    assert isinstance(done, ExecutionReport)
    assert (done.exec_type, done.cl_ord_id, done.orig_cl_ord_id) == (ExecType.REPLACED, "pd1-b-2", "pd1-b-1")
    assert (done.order_qty, done.cum_qty) == (3, 1)
    unchanged = dialect(USDM).decode_reply(
        replace(BTC[USDM]), answer(400, error(-5027, "No need to modify the order."))
    )
    assert isinstance(unchanged, Refused)
    (word,) = unchanged.events
    assert isinstance(word, OrderCancelReject)
    assert is_unchanged(word.text)


@pytest.mark.req("P-ORD-11")
def test_each_amendment_of_one_order_is_a_word_of_its_own_and_one_that_ends_it_is_its_end() -> None:
    body = USDM_ACK | {"price": "60001", "origQty": "3"}
    words = [
        dialect(USDM).decode_reply(replace(BTC[USDM], new=new), answer(200, json.dumps(body))).events[0]
        for new in ("pd1-b-2", "pd1-b-3")
    ]
    assert len({word.exec_id for word in words if isinstance(word, ExecutionReport)}) == 2
    for ended, kind in (("CANCELED", ExecType.CANCELED), ("EXPIRED", ExecType.EXPIRED)):
        (gone,) = (
            dialect(USDM).decode_reply(replace(BTC[USDM]), answer(200, json.dumps(body | {"status": ended}))).events
        )
        assert isinstance(gone, ExecutionReport)
        assert (gone.exec_type, gone.cl_ord_id) == (kind, "pd1-b-1")


# --- Questions about the account ---------------------------------------------------------------------------


def test_a_key_that_may_withdraw_shows_and_silence_is_no_answer() -> None:
    # "Get API Key Permission", developers.binance.com wallet (2026-11)
    body = {
        "ipRestrict": False,
        "createTime": 1698645219000,
        "enableInternalTransfer": False,
        "enableFutures": True,
        "enablePortfolioMarginTrading": True,
        "enableVanillaOptions": False,
        "permitsUniversalTransfer": False,
        "enableReading": True,
        "enableSpotAndMarginTrading": False,
        "enableWithdrawals": False,
        "enableMargin": False,
    }
    d = dialect(USDM)
    reply = d.decode_reply(KeyQuery(venue=USDM), answer(200, json.dumps(body)))
    assert isinstance(reply, Told)
    key = reply.fact
    assert isinstance(key, KeyPermissions)
    assert (key.trade, key.withdraw, key.transfer, key.ip_bound, key.may_only_trade) == (
        True,
        False,
        False,
        False,
        True,
    )
    able = d.decode_reply(KeyQuery(venue=USDM), answer(200, json.dumps(body | {"enableWithdrawals": True})))
    assert isinstance(able, Told)
    assert isinstance(able.fact, KeyPermissions)
    assert not able.fact.may_only_trade
    del body["enableWithdrawals"]
    assert isinstance(d.decode_reply(KeyQuery(venue=USDM), answer(200, json.dumps(body))), Ambiguous)


def test_modes_leverage_timers_and_listen_keys_are_read() -> None:
    d, market = dialect(USDM), BTC[USDM]
    facts = [
        (ModeQuery(venue=USDM), '{"dualSidePosition": true}', AccountMode(hedge=True, text="dualSidePosition")),
        (
            LeverageQuery(venue=USDM, instrument_id=market.instrument_id),
            '[{"symbol":"BTCUSDT","marginType":"CROSSED","isAutoAddMargin":false,"leverage":21,"maxNotionalValue":"1"}]',
            Leverage(instrument_id=market.instrument_id, leverage="21"),
        ),
        (
            Countdown(venue=USDM, instrument_id=market.instrument_id, timeout_ms=100_000, cause=""),
            '{"symbol": "BTCUSDT", "countdownTime": "100000"}',
            CountdownSet(timeout_ms=100_000),
        ),
        (
            ListenKeyRequest(venue=USDM, verb=ListenKeyVerb.OPEN),
            '{"listenKey": "pqia91"}',
            ListenKey(listen_key="pqia91"),
        ),
    ]
    for command, body, fact in facts:
        reply = d.decode_reply(command, answer(200, body))
        assert isinstance(reply, Told), reply
        assert reply.fact == fact


def test_cancel_all_tells_the_orders_that_spot_lists() -> None:
    everything = CancelAll(venue=SPOT, instrument_id=BTC[SPOT].instrument_id, cause="t", ts_init_ns=0)
    listed = [CANCELED_LEG, {"orderListId": 1929, "contingencyType": "OCO"}]
    reply = dialect(SPOT).decode_reply(everything, answer(200, json.dumps(listed)))
    assert isinstance(reply, Told)
    assert [e.cl_ord_id for e in reply.events if isinstance(e, ExecutionReport)] == ["pd1-b-1"]
    futures = msgspec.structs.replace(everything, venue=USDM, instrument_id=BTC[USDM].instrument_id)
    body = '{"code": 200, "msg": "The operation of cancel all open order is done."}'
    assert isinstance(dialect(USDM).decode_reply(futures, answer(200, body)), Told)


# --- The user stream ---------------------------------------------------------------------------------------


def order_event(**changes: Any) -> bytes:
    # "Event: Order Update", developers.binance.com derivatives/usds-margined-futures (2026-11), a plain limit order.
    order = {
        "s": "BTCUSDT", "c": "pd1-b-1", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "2", "p": "60000", "ap": "0",
        "sp": "0", "x": "NEW", "X": "NEW", "i": 8886774, "l": "0", "z": "0", "L": "0", "N": "USDT", "n": "0",
        "T": 1568879465650, "t": 0, "b": "0", "a": "9.91", "m": False, "R": False, "wt": "CONTRACT_PRICE",
        "ot": "LIMIT", "ps": "BOTH", "cp": False, "rp": "0", "pP": False, "si": 0, "ss": 0, "V": "EXPIRE_TAKER",
        "pm": "OPPONENT", "gtd": 0,
    }  # fmt: skip
    body = {"e": "ORDER_TRADE_UPDATE", "E": 1568879465651, "T": 1568879465650, "o": order | changes}
    return json.dumps(body).encode()


def one(venue: str, payload: bytes | str) -> Any:
    (event,) = dialect(venue).decode_user(payload.encode() if isinstance(payload, str) else payload, TS_NS)
    return event


def test_an_execution_on_the_stream_has_the_id_that_rest_gives_it() -> None:
    event = one(USDM, order_event(x="TRADE", X="PARTIALLY_FILLED", l="0.5", z="0.5", L="60000", t=77, n="0.1", m=True))
    assert isinstance(event, ExecutionReport)
    assert (event.exec_id, event.trade_seq) == ("BTCUSDT:77:8886774", 77)
    assert (event.last_qty, event.last_px, event.cum_qty, event.leaves_qty) == (
        Decimal("0.5"),
        60000,
        Decimal("0.5"),
        Decimal("1.5"),
    )
    assert (event.fee, event.fee_asset, event.liquidity) == (Decimal("0.1"), "USDT", Liquidity.MAKER)


def test_a_liquidation_is_an_execution_of_nobodys_order() -> None:
    event = one(USDM, order_event(c="autoclose-1568", x="CALCULATED", X="FILLED", l="2", z="2", L="59000", t=78))
    assert isinstance(event, ExecutionReport)
    assert (event.exec_type, event.cl_ord_id) == (ExecType.TRADE, "autoclose-1568")


# "Order Update", binance-spot-api-docs/user-data-stream.md (2026-11).
SPOT_EVENT = {
    "e": "executionReport", "E": 1499405658658, "s": "BTCUSDT", "c": "mUvoqJxFIILMdfAW5iGSOW", "S": "BUY",
    "o": "LIMIT", "f": "GTC", "q": "1.00000000", "p": "0.10264410", "P": "0.00000000", "F": "0.00000000", "g": -1,
    "C": "", "x": "NEW", "X": "NEW", "r": "NONE", "i": 4293153, "l": "0.00000000", "z": "0.00000000",
    "L": "0.00000000", "n": "0", "N": None, "T": 1499405658657, "t": -1, "I": 8641984, "w": True, "m": False,
    "M": False, "O": 1499405658657, "Z": "0.00000000", "Y": "0.00000000", "Q": "0.00000000", "W": 1499405658657,
    "V": "NONE",
}  # fmt: skip


def test_a_spot_cancel_is_of_the_order_and_not_of_the_cancel() -> None:
    canceled = json.dumps(SPOT_EVENT | {"c": "pd1-b-1-c1", "C": "pd1-b-1", "x": "CANCELED", "X": "CANCELED"})
    event = one(SPOT, canceled)
    assert (event.cl_ord_id, event.exec_type, event.leaves_qty) == ("pd1-b-1", ExecType.CANCELED, 0)
    wrapped = json.dumps({"subscriptionId": 0, "event": SPOT_EVENT | {"c": "pd1-b-3"}})
    assert one(SPOT, wrapped).cl_ord_id == "pd1-b-3"


def test_what_cannot_be_read_is_never_dropped_in_silence() -> None:
    for payload in (
        b"{",
        b"[]",
        order_event(s="NEWUSDT"),
        order_event(l="0.5e3"),
        order_event(z=0.5),
        order_event(X="PONDERING"),
        b'{"e": "ORDER_TRADE_UPDATE"}',
    ):
        (event,) = dialect(USDM).decode_user(payload, TS_NS)
        assert isinstance(event, Unread), payload


def test_balances_positions_and_the_streams_own_words_are_told() -> None:
    account = {
        "e": "ACCOUNT_UPDATE", "E": 1564745798939, "T": 1564745798938,
        "a": {
            "m": "ORDER",
            "B": [{"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"}],
            "P": [
                {"s": "BTCUSDT", "pa": "-20", "ep": "6563.6", "cr": "0", "up": "2850", "mt": "cross", "ps": "BOTH"},
                {"s": "BTCUSDT", "pa": "20", "ep": "6563.6", "cr": "0", "up": "0", "mt": "cross", "ps": "LONG"},
            ],
        },
    }  # fmt: skip
    balance, position, hedge = dialect(USDM).decode_user(json.dumps(account).encode(), TS_NS)
    assert isinstance(balance, BalanceChanged)
    assert balance.total == Decimal("122624.12345678")
    assert isinstance(position, PositionChanged)
    assert position.qty == -20
    assert isinstance(hedge, Unread)
    assert isinstance(one(USDM, '{"e": "listenKeyExpired", "E": 1576653824250, "listenKey": "k"}'), StreamClosing)
    assert isinstance(one(USDM, '{"e": "MARGIN_CALL", "E": 1587727187525, "p": []}'), MarginCalled)
    assert isinstance(one(SPOT, '{"id": "user", "status": 200, "result": {"subscriptionId": 0}}'), Subscribed)
    refused = one(SPOT, '{"id": "user", "status": 400, "error": {"code": -2015, "msg": "Invalid API-key."}}')
    assert isinstance(refused, StreamRefused)
    assert refused.auth


@pytest.mark.recording
@pytest.mark.skipif(not RECORDED.exists(), reason="no recorded user streams beside the project")
def test_recorded_user_streams_are_read_whole() -> None:
    read = unread = 0
    with lzma.open(RECORDED / "examples-user-ws.jsonl.xz", "rt") as lines:
        for line in lines:
            message = json.loads(line)["json"]
            inner = message.get("data", message)
            if "e" not in inner:
                continue  # its collector's long names, not the venue's
            venue = USDM if inner["e"].isupper() else SPOT
            market = msgspec.structs.replace(BTC[venue], symbol="BNBUSDT", instrument_id="X:BNB", venue=venue)
            d = BinanceOrders(
                venue, [market, msgspec.structs.replace(market, symbol="BNBBUSD", instrument_id="X:BUSD")]
            )
            for event in d.decode_user(json.dumps(message).encode(), TS_NS):
                unread += isinstance(event, Unread)
                read += 1
                if isinstance(event, Unread):
                    assert "not known" in event.reason or "not ours" in event.reason, event
    assert read > unread
    assert read > 5
