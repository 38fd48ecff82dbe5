"""Orders that wait, in each venue's words: what is sent, byte for byte, and what is read of the documents' examples."""

from __future__ import annotations

import json
from decimal import Decimal
from urllib.parse import parse_qsl

import msgspec
import pytest

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.orders.binance import BinanceOrders
from adapters.orders.bybit import BybitOrders
from adapters.orders.okx import OkxOrders
from adapters.orders.wire import Events
from tests.adapters.orders.commands import BTC, INSTRUMENTS, TS_MS, TS_NS, answer, cancel, instrument, place, status
from trading.orders.messages import (
    Contingency,
    ExecType,
    OrdStatus,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

D = Decimal


def dialect(venue):
    if venue == "okx":
        return OkxOrders(INSTRUMENTS[venue])
    if venue == "bybit":
        return BybitOrders(INSTRUMENTS[venue])
    return BinanceOrders(venue, [BTC[venue]])


def stop(market, ord_type=OrdType.STOP, *, kind=TriggerPriceType.LAST, price=None, closes=True, **fields):
    order = place(market, side=Side.SELL, reduce_only=closes, time_in_force=TimeInForce.GTC, price="50000")
    priced = ord_type in {OrdType.STOP_LIMIT, OrdType.TAKE_PROFIT_LIMIT}
    given = {
        "ord_type": ord_type,
        "price": D(price) if price else D(50_000) if priced else None,
        "time_in_force": TimeInForce.GTC if priced else TimeInForce.IOC,
        "trigger": TriggeringInstructions(D(55_000), kind, closes),
    }
    return msgspec.structs.replace(order, **(given | fields))


def sent(venue, command):
    request = dialect(venue).encode(command, TS_MS)
    if request.query:
        return request.method, request.path, dict(parse_qsl(request.query))
    if venue in {"okx", "bybit"}:
        return request.method, request.path, json.loads(request.body)
    return request.method, request.path, dict(parse_qsl(request.body.decode()))


@pytest.mark.req("P-ORD-10")
@pytest.mark.parametrize(("venue", "prefix"), [(USDM, "/fapi/v1"), (COINM, "/dapi/v1")])
def test_binances_futures_take_them_at_the_algo_service_only(venue, prefix):
    market = BTC[venue]
    method, path, fields = sent(venue, stop(market, kind=TriggerPriceType.MARK))
    assert (method, path) == ("POST", f"{prefix}/algoOrder")
    assert fields.pop("selfTradePreventionMode", "") in {"", "EXPIRE_TAKER"}
    assert fields == {
        "algoType": "CONDITIONAL",
        "symbol": market.symbol,
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": "2",
        "triggerPrice": "55000",
        "workingType": "MARK_PRICE",
        "clientAlgoId": "pd1-b-1",
        "reduceOnly": "true",
    }
    *_, limited = sent(venue, stop(market, OrdType.TAKE_PROFIT_LIMIT, closes=False))
    assert (limited["type"], limited["price"], limited["timeInForce"]) == ("TAKE_PROFIT", "50000", "GTC")
    assert (limited["workingType"], "reduceOnly" in limited) == ("CONTRACT_PRICE", False)
    waits = msgspec.structs.replace(cancel(market), waits=True)
    assert sent(venue, waits) == ("DELETE", f"{prefix}/algoOrder", {"clientAlgoId": "pd1-b-1"})
    asked = msgspec.structs.replace(status(market), waits=True)
    assert sent(venue, asked) == ("GET", f"{prefix}/algoOrder", {"clientAlgoId": "pd1-b-1"})
    became = msgspec.structs.replace(status(market), order_id="88937381063")
    assert sent(venue, became)[1:] == (f"{prefix}/order", {"symbol": market.symbol, "orderId": "88937381063"})


def test_binances_spot_takes_them_where_it_takes_all_orders():
    method, path, fields = sent(SPOT, stop(BTC[SPOT], OrdType.STOP_LIMIT, closes=False))
    assert (method, path) == ("POST", "/api/v3/order")
    fields.pop("selfTradePreventionMode", None)
    assert fields == {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_LOSS_LIMIT",
        "quantity": "2",
        "stopPrice": "55000",
        "newClientOrderId": "pd1-b-1",
        "price": "50000",
        "timeInForce": "GTC",
        "newOrderRespType": "FULL",
    }


@pytest.mark.req("P-ORD-10")
def test_bybit_is_told_the_direction_and_that_it_closes():
    *_, fields = sent("bybit", stop(BTC["bybit"], kind=TriggerPriceType.INDEX))
    wanted = {
        "orderType": "Market",
        "triggerPrice": "55000",
        "triggerDirection": 2,
        "triggerBy": "IndexPrice",
        "closeOnTrigger": True,
        "reduceOnly": True,
        "positionIdx": 0,
    }
    assert {name: fields[name] for name in wanted} == wanted
    *_, take = sent("bybit", stop(BTC["bybit"], OrdType.TAKE_PROFIT_LIMIT, closes=False))
    assert (take["triggerDirection"], take["orderType"], take["closeOnTrigger"]) == (1, "Limit", False)
    with pytest.raises(ValueError, match="holds no such orders for spot"):
        sent("bybit", stop(instrument("BYBIT:SPOT:BTC-USDT"), closes=False))


@pytest.mark.req("P-ORD-10")
def test_okx_takes_them_as_algo_orders_with_an_id_of_their_own():
    method, path, fields = sent("okx", stop(BTC["okx"], kind=TriggerPriceType.MARK))
    assert (method, path) == ("POST", "/api/v5/trade/order-algo")
    assert fields == {
        "instId": "BTC-USDT-SWAP",
        "tdMode": "cross",
        "side": "sell",
        "ordType": "conditional",
        "sz": "2",
        "algoClOrdId": "pd1ZbZ1",
        "slTriggerPx": "55000",
        "slTriggerPxType": "mark",
        "slOrdPx": "-1",
        "reduceOnly": "true",
    }
    *_, take = sent("okx", stop(BTC["okx"], OrdType.TAKE_PROFIT_LIMIT))
    assert (take["tpTriggerPx"], take["tpOrdPx"], "slTriggerPx" in take) == ("55000", "50000", False)
    waits = msgspec.structs.replace(cancel(BTC["okx"]), waits=True)
    ids = [{"instId": "BTC-USDT-SWAP", "algoClOrdId": "pd1ZbZ1"}]
    assert sent("okx", waits) == ("POST", "/api/v5/trade/cancel-algos", ids)
    became = msgspec.structs.replace(cancel(BTC["okx"]), order_id="680800019749904384")
    assert sent("okx", became)[2] == {"instId": "BTC-USDT-SWAP", "ordId": "680800019749904384"}


@pytest.mark.parametrize("venue", [USDM, COINM, SPOT, "okx", "bybit"])
def test_what_cannot_be_carried_is_not_sent(venue):
    market = BTC[venue]
    plain = place(market)
    closes = venue != SPOT
    bad = [
        msgspec.structs.replace(plain, trigger=stop(market).trigger),
        stop(market, OrdType.STOP, price="50000", closes=closes),
        stop(market, OrdType.STOP_LIMIT, closes=closes, time_in_force=TimeInForce.GTX) if venue != "bybit" else None,
        stop(market, OrdType.STOP, closes=closes, trigger=None),
        stop(market, trigger=TriggeringInstructions(D("55000.123456"), TriggerPriceType.LAST, closes)),
    ]
    for command in bad:
        if command is not None:
            with pytest.raises(ValueError, match=r"trigger|price|GTC|good until|grid|tick"):
                dialect(venue).encode(command, TS_MS)


@pytest.mark.parametrize("venue", [USDM, "okx", "bybit"])
def test_they_do_not_go_in_batches_where_they_are_kept_apart(venue):
    d, market = dialect(venue), BTC[venue]
    orders = [place(market), stop(market, cl_ord_id="pd1-b-2")]
    cancels = [cancel(market), msgspec.structs.replace(cancel(market, "pd1-b-2"), waits=True)]
    if venue == "bybit":  # one kind of order there: they go together
        assert d.batch_limit(orders[1]) > 1
        assert len(json.loads(d.encode_batch(orders, TS_MS).body)["request"]) == 2
        return
    assert (d.batch_limit(orders[1]), d.batch_limit(cancels[1])) == (1, 1)
    for commands in (orders, cancels):
        with pytest.raises(ValueError, match="one at a time"):
            d.encode_batch(commands, TS_MS)


# --- What is read ------------------------------------------------------------------------------------------------


ALGO_ROW = {
    # "Query Algo Order", developers.binance.com USD-M (2026-11), ids and symbol ours
    "algoId": 2146760, "clientAlgoId": "pd1-b-1", "algoType": "CONDITIONAL", "orderType": "STOP_MARKET",
    "symbol": "BTCUSDT", "side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.01",
    "algoStatus": "NEW", "actualOrderId": "", "actualPrice": "0.00000", "triggerPrice": "55000.0",
    "price": "0.000", "icebergQuantity": None, "tpTriggerPrice": "0.000", "tpPrice": "0.000",
    "slTriggerPrice": "0.000", "slPrice": "0.000", "tpOrderType": "", "selfTradePreventionMode": "EXPIRE_MAKER",
    "workingType": "CONTRACT_PRICE", "priceMatch": "NONE", "closePosition": False, "priceProtect": False,
    "reduceOnly": True, "createTime": TS_MS, "updateTime": TS_MS, "triggerTime": 0, "goodTillDate": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "actual", "ord_status", "order_id"),
    [
        ("NEW", "", OrdStatus.PENDING_TRIGGER, "a2146760"),
        ("TRIGGERING", "", OrdStatus.PENDING_TRIGGER, "a2146760"),
        ("TRIGGERED", "88937381063", OrdStatus.NEW, "88937381063"),
        ("FINISHED", "88937381063", OrdStatus.NEW, "88937381063"),  # how it ended, the order itself tells
        ("CANCELED", "", OrdStatus.CANCELED, "a2146760"),
        ("EXPIRED", "", OrdStatus.EXPIRED, "a2146760"),
        ("REJECTED", "", OrdStatus.REJECTED, "a2146760"),
    ],
)
def test_a_row_of_the_algo_service_is_a_status_and_never_an_execution(word, actual, ord_status, order_id):
    question = msgspec.structs.replace(status(BTC[USDM]), waits=True)
    body = json.dumps(ALGO_ROW | {"algoStatus": word, "actualOrderId": actual})
    reply = dialect(USDM).decode_reply(question, answer(200, body))
    assert isinstance(reply, Events), reply
    report = reply.events[0].report
    assert (report.exec_type, report.ord_status, report.order_id) == (ExecType.ORDER_STATUS, ord_status, order_id)
    assert (report.cum_qty, report.trigger) == (0, TriggeringInstructions(D("55000.0"), TriggerPriceType.LAST, True))


def algo_event(word, **fields):
    # "Event: Algo Order Update", developers.binance.com USD-M (2026-11), ids and symbol ours
    inner = {
        "caid": "pd1-b-1", "aid": 2148719, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": "BTCUSDT", "S": "SELL",
        "ps": "BOTH", "f": "GTC", "q": "0.01", "X": word, "ai": "", "ap": "0.00000", "aq": "0.00000", "act": "0",
        "tp": "55000", "p": "0", "V": "EXPIRE_MAKER", "wt": "MARK_PRICE", "pm": "NONE", "cp": False, "pP": False,
        "R": True, "tt": 0, "gtd": 0, **fields,
    }  # fmt: skip
    return json.dumps({"e": "ALGO_UPDATE", "T": TS_MS, "E": TS_MS + 6, "o": inner}).encode()


@pytest.mark.parametrize(
    ("word", "fields", "exec_type", "ord_status", "order_id"),
    [
        ("NEW", {}, ExecType.NEW, OrdStatus.PENDING_TRIGGER, "a2148719"),
        ("TRIGGERED", {"ai": "88937381063"}, ExecType.TRIGGERED, OrdStatus.NEW, "88937381063"),
        ("FINISHED", {"ai": "88937381063", "aq": "0.01"}, ExecType.ORDER_STATUS, OrdStatus.NEW, "88937381063"),
        ("CANCELED", {}, ExecType.CANCELED, OrdStatus.CANCELED, "a2148719"),
        ("EXPIRED", {}, ExecType.EXPIRED, OrdStatus.EXPIRED, "a2148719"),
        ("REJECTED", {"rm": "Reduce Only reject"}, ExecType.REJECTED, OrdStatus.REJECTED, "a2148719"),
    ],
)
def test_the_algo_services_events_are_read(word, fields, exec_type, ord_status, order_id):
    (report,) = dialect(USDM).decode_user(algo_event(word, **fields), TS_NS)
    assert (report.exec_type, report.ord_status, report.order_id) == (exec_type, ord_status, order_id)
    assert (report.cl_ord_id, report.text) == ("pd1-b-1", fields.get("rm", ""))
    assert report.trigger.trigger_price_type is TriggerPriceType.MARK
    (again,) = dialect(USDM).decode_user(algo_event(word, **fields), TS_NS + 5)
    assert again.exec_id == report.exec_id  # said twice it counts once


def test_what_is_between_waiting_and_the_book_says_nothing_and_strange_words_are_kept():
    assert dialect(USDM).decode_user(algo_event("TRIGGERING"), TS_NS) == ()
    (unread,) = dialect(USDM).decode_user(algo_event("SLEEPING"), TS_NS)
    assert "SLEEPING" in unread.reason


BYBIT_ROW = {
    # "Order" (private stream), bybit-exchange.github.io/docs/v5 (2026-11), shortened to what is read
    "category": "linear", "symbol": "BTCUSDT", "orderId": "5cf98598", "orderLinkId": "pd1-b-1", "side": "Sell",
    "orderType": "Market", "price": "0", "qty": "0.01", "timeInForce": "IOC", "orderStatus": "Untriggered",
    "reduceOnly": True, "closeOnTrigger": True, "cumExecQty": "0", "avgPrice": "", "rejectReason": "EC_NoError",
    "triggerPrice": "55000", "triggerDirection": 2, "triggerBy": "MarkPrice", "stopOrderType": "Stop",
    "createdTime": str(TS_MS), "updatedTime": str(TS_MS),
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "exec_type", "ord_status"),
    [
        ("Untriggered", ExecType.NEW, OrdStatus.PENDING_TRIGGER),
        ("Triggered", ExecType.TRIGGERED, OrdStatus.NEW),
        ("New", ExecType.TRIGGERED, OrdStatus.NEW),
        ("Deactivated", ExecType.CANCELED, OrdStatus.CANCELED),
        ("Rejected", ExecType.REJECTED, OrdStatus.REJECTED),
    ],
)
def test_bybits_words_of_a_conditional_order_are_read(word, exec_type, ord_status):
    frame = {"topic": "order", "creationTime": TS_MS, "data": [BYBIT_ROW | {"orderStatus": word}]}
    (report,) = dialect("bybit").decode_user(json.dumps(frame).encode(), TS_NS)
    assert (report.exec_type, report.ord_status, report.ord_type) == (exec_type, ord_status, OrdType.STOP)
    assert report.trigger == TriggeringInstructions(D(55_000), TriggerPriceType.MARK, True)


OKX_ALGO = {
    # "Get algo order details", okx.com/docs-v5 (2026-11), shortened to what is read
    "algoId": "1753184812254216192", "algoClOrdId": "pd1ZbZ1", "clOrdId": "", "ordId": "", "ordIdList": [],
    "instId": "BTC-USDT-SWAP", "ordType": "conditional", "side": "sell", "sz": "2", "state": "live",
    "slTriggerPx": "55000", "slTriggerPxType": "mark", "slOrdPx": "-1", "tpTriggerPx": "", "tpOrdPx": "",
    "reduceOnly": "true", "failCode": "", "cTime": str(TS_MS), "uTime": str(TS_MS),
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "ord_status", "order_id"),
    [
        ({}, OrdStatus.PENDING_TRIGGER, "a1753184812254216192"),
        ({"state": "effective", "ordId": "6808"}, OrdStatus.NEW, "6808"),
        ({"state": "canceled"}, OrdStatus.CANCELED, "a1753184812254216192"),
        ({"state": "order_failed", "failCode": "51169"}, OrdStatus.REJECTED, "a1753184812254216192"),
    ],
)
def test_okx_tells_what_became_of_an_algo_order_when_it_is_asked(fields, ord_status, order_id):
    question = msgspec.structs.replace(status(BTC["okx"]), waits=True)
    body = json.dumps({"code": "0", "msg": "", "data": [OKX_ALGO | fields]})
    reply = dialect("okx").decode_reply(question, answer(200, body))
    assert isinstance(reply, Events), reply
    report = reply.events[0].report
    assert (report.ord_status, report.order_id, report.cl_ord_id) == (ord_status, order_id, "pd1-b-1")
    assert (report.ord_type, report.text) == (OrdType.STOP, fields.get("failCode", ""))


def test_a_spot_order_that_waits_is_told_from_one_on_the_book_by_one_letter():
    event = {
        # "Order update", binance-spot-api-docs/user-data-stream.md (2026-11), shortened to what is read
        "e": "executionReport", "E": TS_MS, "s": "BTCUSDT", "c": "pd1-b-1", "S": "SELL", "o": "STOP_LOSS",
        "f": "GTC", "q": "2", "p": "0", "P": "55000", "C": "", "x": "NEW", "X": "NEW", "r": "NONE", "i": 4293153,
        "l": "0", "z": "0", "L": "0", "n": "0", "N": None, "T": TS_MS, "t": -1, "w": False, "m": False, "Z": "0",
    }  # fmt: skip
    (held,) = dialect(SPOT).decode_user(json.dumps(event).encode(), TS_NS)
    assert (held.exec_type, held.ord_status) == (ExecType.NEW, OrdStatus.PENDING_TRIGGER)
    (triggered,) = dialect(SPOT).decode_user(json.dumps(event | {"w": True}).encode(), TS_NS)
    assert (triggered.exec_type, triggered.ord_status) == (ExecType.TRIGGERED, OrdStatus.NEW)
    assert held.exec_id != triggered.exec_id


@pytest.mark.req("P-ORD-10")
@pytest.mark.parametrize("venue", [USDM, COINM, "okx", "bybit"])
@pytest.mark.parametrize("ord_type", [OrdType.STOP, OrdType.TAKE_PROFIT])
def test_a_leg_of_a_list_is_an_order_of_the_venue_like_any_other(venue, ord_type):
    """The list is the desk's: each leg has an id, a request and a fate of its own."""
    alone = stop(BTC[venue], ord_type)
    leg = msgspec.structs.replace(alone, contingency=Contingency("pd1-l1"))
    assert dialect(venue).encode(leg, TS_MS) == dialect(venue).encode(alone, TS_MS)


@pytest.mark.parametrize("venue", [SPOT, USDM, COINM, "okx", "bybit"])
def test_a_leg_that_nothing_binds_to_closing_is_not_sent(venue):
    unbound = stop(BTC[venue], OrdType.STOP_LIMIT, closes=False, contingency=Contingency("pd1-l1"))
    with pytest.raises(ValueError, match="a leg of pd1-l1"):
        dialect(venue).encode(unbound, TS_MS)
