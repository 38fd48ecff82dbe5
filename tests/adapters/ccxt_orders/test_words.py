"""The venues' words: statuses, refusals, ids, numbers, and what ccxt writes of an order. No network."""

from __future__ import annotations

import re
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import ccxt
import msgspec
import pytest

from adapters.ccxt_orders.codes import CLASSES, LABELS
from adapters.ccxt_orders.dialect import CcxtOrders
from adapters.ccxt_orders.sansio import Call, Method
from adapters.ccxt_orders.venues import VENUES, client_id, ord_status, our_id
from adapters.orders.account import AccountCursor, AccountPart, Reading, Unreadable
from adapters.orders.reading import BadReply
from adapters.orders.sanitiser import ForbiddenRequestError, check
from adapters.orders.wire import (
    Ambiguous,
    AuthFailed,
    CancelAll,
    ClockSkewed,
    Countdown,
    Events,
    Exists,
    KeyPermissions,
    KeyQuery,
    Limited,
    Refused,
    SignedRequest,
    TimeQuery,
    Told,
    VenueTime,
)
from tests.adapters.ccxt_orders.wires import KEY, dialect, of
from tests.adapters.orders.commands import TS_MS, TS_NS, answer, cancel, place, replace, status
from trading.limits.governor import LimitGovernor
from trading.limits.messages import Ask, Go, Wait
from trading.limits.venues import limits_of
from trading.orders.messages import ExecType, OrdStatus, OrdType, Side, TimeInForce

GATE, MEXC = VENUES["gateio"], VENUES["mexc"]
BTC = {venue: of(venue)[0] for venue in VENUES}

# Gate.io, "Order" of API v4: every status with every way to end that the document lists.
GATE_STATUSES = [
    ("open", "open", False, OrdStatus.NEW),
    ("open", "open", True, OrdStatus.PARTIALLY_FILLED),
    ("closed", "filled", True, OrdStatus.FILLED),
    ("cancelled", "cancelled", False, OrdStatus.CANCELED),
    ("cancelled", "cancelled", True, OrdStatus.CANCELED),
    ("cancelled", "liquidate_cancelled", False, OrdStatus.CANCELED),
    ("cancelled", "unknown", False, OrdStatus.CANCELED),
    ("cancelled", "small", False, OrdStatus.EXPIRED),
    ("cancelled", "depth_not_enough", False, OrdStatus.EXPIRED),
    ("cancelled", "trader_not_enough", False, OrdStatus.EXPIRED),
    ("cancelled", "ioc", True, OrdStatus.EXPIRED),
    ("cancelled", "poc", False, OrdStatus.EXPIRED),
    ("cancelled", "fok", False, OrdStatus.EXPIRED),
    ("cancelled", "stp", False, OrdStatus.EXPIRED),
    ("cancelled", "price_protect_cancelled", False, OrdStatus.EXPIRED),
    ("cancelled", "a word of next year", False, OrdStatus.CANCELED),
]
MEXC_STATUSES = [
    ("NEW", OrdStatus.NEW),
    ("PARTIALLY_FILLED", OrdStatus.PARTIALLY_FILLED),
    ("FILLED", OrdStatus.FILLED),
    ("CANCELED", OrdStatus.CANCELED),
    ("PARTIALLY_CANCELED", OrdStatus.CANCELED),
]


@pytest.mark.req("C-EXEC-6")
@pytest.mark.parametrize(("said", "finish", "filled", "meant"), GATE_STATUSES)
def test_every_status_and_every_end_of_gate_is_one_of_ours(said, finish, filled, meant):
    assert ord_status(GATE, {"status": said, "finish_as": finish}, filled=filled) is meant


@pytest.mark.req("C-EXEC-6")
@pytest.mark.parametrize(("said", "meant"), MEXC_STATUSES)
def test_every_status_of_mexc_is_one_of_ours(said, meant):
    assert ord_status(MEXC, {"status": said}, filled=False) is meant


@pytest.mark.req("C-EXEC-6")
@pytest.mark.parametrize("known", [GATE, MEXC])
@pytest.mark.parametrize("word", ["", "OPEN", "done", "finished", None])
def test_a_status_that_no_document_lists_is_not_guessed(known, word):
    with pytest.raises(BadReply, match="is not known"):
        ord_status(known, {"status": word}, filled=False)


# --- Ids and numbers ---------------------------------------------------------------------------------------


def test_ids_go_there_and_come_back():
    assert client_id(GATE, "pd1-g0-1f") == "t-pd1-g0-1f"
    assert our_id(GATE, "t-pd1-g0-1f") == "pd1-g0-1f"
    assert our_id(GATE, "apiv4") == "apiv4"
    assert client_id(MEXC, "pd1-g0-1f") == our_id(MEXC, "pd1-g0-1f") == "pd1-g0-1f"


@pytest.mark.parametrize("bad", ["", "p" * 29, "t-1", "pd/1", "pd 1", "päd"])
def test_an_id_that_the_venue_could_not_give_back_is_refused_by_name(bad):
    with pytest.raises(ValueError, match="cl_ord_id"):
        dialect("gateio").encode(place(BTC["gateio"], bad), TS_MS)


@pytest.mark.req("C-EXEC-4")
@pytest.mark.parametrize(
    ("venue", "qty", "price", "wrong"),
    [
        ("gateio", "0.0000015", "60000", "quantity"),
        ("gateio", "0.01", "60000.05", "price"),
        ("mexc", "0.000000015", "60000", "quantity"),
        ("mexc", "0.01", "60000.005", "price"),
    ],
)
def test_what_is_off_the_grid_is_refused_and_never_cut_to_size(venue, qty, price, wrong):
    with pytest.raises(ValueError, match=wrong):
        dialect(venue).encode(place(BTC[venue], qty=qty, price=price), TS_MS)


def test_what_the_venue_cannot_do_is_refused_by_name():
    spoken = dialect("gateio")
    with pytest.raises(ValueError, match="market buys by value"):
        spoken.encode(place(BTC["gateio"], qty="0.01", price=None), TS_MS)
    with pytest.raises(ValueError, match="amend: not supported"):
        spoken.encode(replace(BTC["gateio"], qty="0.01"), TS_MS)
    with pytest.raises(ValueError, match="no timer"):
        dialect("mexc").encode(
            Countdown(venue="mexc", instrument_id=BTC["mexc"].instrument_id, timeout_ms=1, cause=""), 0
        )
    with pytest.raises(ValueError, match="no test network"):
        CcxtOrders("mexc", of("mexc"), testnet=True)
    with pytest.raises(ValueError, match="do not go through ccxt"):
        CcxtOrders("kraken", ())


@pytest.mark.req("C-EXEC-7")
def test_the_sandbox_is_the_venues_test_network():
    sandbox = CcxtOrders("gateio", of("gateio"), testnet=True)
    assert sandbox.endpoints.rest == "https://api-testnet.gateapi.io"
    signed = sandbox.sign(sandbox.encode(place(BTC["gateio"], qty="0.01"), TS_MS), KEY, TS_MS)
    assert signed.url == "https://api-testnet.gateapi.io/api/v4/spot/orders"
    assert CcxtOrders("gateio", of("gateio")).endpoints.rest == "https://api.gateio.ws"


# --- What is written ---------------------------------------------------------------------------------------

ORDERS = [
    (
        "gateio",
        TimeInForce.GTC,
        Side.BUY,
        "60000",
        {"type": "limit", "side": "buy", "price": "60000", "amount": "0.01"},
    ),
    ("gateio", TimeInForce.GTX, Side.SELL, "60000.1", {"time_in_force": "poc", "side": "sell", "price": "60000.1"}),
    ("gateio", TimeInForce.IOC, Side.BUY, "60000", {"time_in_force": "ioc"}),
    ("gateio", TimeInForce.FOK, Side.BUY, "60000", {"time_in_force": "fok"}),
    ("gateio", TimeInForce.GTC, Side.SELL, None, {"type": "market", "time_in_force": "ioc", "amount": "0.01"}),
    (
        "mexc",
        TimeInForce.GTC,
        Side.BUY,
        "60000",
        {"type": "LIMIT", "side": "BUY", "price": "60000", "quantity": "0.01"},
    ),
    ("mexc", TimeInForce.GTX, Side.SELL, "60000.01", {"type": "LIMIT_MAKER", "side": "SELL", "price": "60000.01"}),
    ("mexc", TimeInForce.IOC, Side.BUY, "60000", {"type": "IMMEDIATE_OR_CANCEL"}),
    ("mexc", TimeInForce.FOK, Side.BUY, "60000", {"type": "FILL_OR_KILL"}),
    ("mexc", TimeInForce.GTC, Side.BUY, None, {"type": "MARKET", "quantity": "0.01"}),
]


def fields_of(signed):
    if signed.body:
        return msgspec.json.decode(signed.body)
    return {name: values[0] for name, values in parse_qs(urlsplit(signed.url).query).items()}


@pytest.mark.parametrize(("venue", "tif", "side", "price", "wanted"), ORDERS)
def test_an_order_is_written_in_the_venues_words(venue, tif, side, price, wanted):
    spoken = dialect(venue)
    order = place(BTC[venue], qty="0.01", price=price, side=side, time_in_force=tif)
    signed = spoken.sign(spoken.encode(order, TS_MS), KEY, TS_MS)
    fields = fields_of(signed)
    assert signed.method == "POST"
    assert {name: fields.get(name) for name in wanted} == wanted
    assert fields.get("text", fields.get("newClientOrderId", "")).endswith("pd1-b-1")
    # It is dropped by the venue when it arrives a second late.
    window = int(signed.headers["x-gate-exptime"]) - TS_MS if venue == "gateio" else int(fields["recvWindow"])
    assert window == 1_000


@pytest.mark.parametrize("venue", VENUES)
def test_requests_have_the_names_of_the_table_of_limits(venue):
    spoken, table = dialect(venue), limits_of(venue)
    placed = spoken.encode(place(BTC[venue], qty="0.01"), TS_MS)
    asked = spoken.encode(status(BTC[venue], "pd1-b-7"), TS_MS)
    assert placed.endpoint in table.costs
    assert placed.orders == 1
    assert placed.instrument == BTC[venue].symbol
    # An id in a path is no endpoint of its own.
    assert "pd1-b-7" not in asked.endpoint
    assert not placed.safe_to_repeat
    assert asked.safe_to_repeat


@pytest.mark.req("C-EXEC-5")
def test_a_burst_of_400_of_our_own_requests_to_gate_is_spread_and_none_is_forgotten():
    """The very requests that are sent, as the limiter is asked for them: cancels, questions and readings together."""
    spoken, governor = dialect("gateio"), LimitGovernor(limits_of("gateio"))
    kinds = (cancel(BTC["gateio"]), status(BTC["gateio"]), TimeQuery(venue="gateio"))
    now, sent = 10**12, []
    for number in range(400):
        request = spoken.encode(kinds[number % 3], TS_MS)
        asked = Ask(
            endpoint=request.endpoint,
            weight=request.weight,
            orders=request.orders,
            priority=request.priority,
            deadline_ns=now + 3_600 * 10**9,
            instrument=request.instrument,
            account="desk",
            signed=True,
        )
        while isinstance(answer := governor.ask(asked, now), Wait):
            now += answer.wait_ns
        assert isinstance(answer, Go)
        sent.append(now)
    assert all(sum(1 for at in sent if begin <= at < begin + 10 * 10**9) <= 300 for begin in sent)
    assert sent[-1] - sent[0] >= 10 * 10**9


# --- What is read ------------------------------------------------------------------------------------------

P = {venue: place(BTC[venue], qty="0.01") for venue in VENUES}
C = {venue: cancel(BTC[venue]) for venue in VENUES}
Q = {venue: status(BTC[venue]) for venue in VENUES}


def gate(label, message="told so"):
    return msgspec.json.encode({"label": label, "message": message})


def mexc(code, msg="told so"):
    return msgspec.json.encode({"code": code, "msg": msg})


REFUSALS = [
    ("gateio", P, 400, gate("BALANCE_NOT_ENOUGH"), Refused),
    ("gateio", P, 400, gate("POC_FILL_IMMEDIATELY"), Refused),
    ("gateio", P, 400, gate("INVALID_PRECISION"), Refused),
    (
        "gateio",
        P,
        400,
        gate("INVALID_PARAM_VALUE", "Your order size 0.1 USDT is too small. The minimum is 3 USDT"),
        Refused,
    ),
    ("gateio", P, 400, gate("INVALID_CURRENCY_PAIR"), Refused),
    ("gateio", P, 400, gate("TOO_MANY_ORDERS"), Refused),
    ("gateio", P, 400, gate("REPEATED_CREATION"), Exists),
    ("gateio", P, 400, gate("A_LABEL_OF_NEXT_YEAR"), Ambiguous),
    ("gateio", P, 404, gate("ORDER_NOT_FOUND"), Ambiguous),
    ("gateio", Q, 404, gate("ORDER_NOT_FOUND"), Events),
    ("gateio", C, 404, gate("ORDER_NOT_FOUND"), Refused),
    ("gateio", C, 400, gate("ORDER_CLOSED"), Refused),
    ("gateio", C, 400, gate("ORDER_CANCELLED"), Refused),
    ("gateio", P, 403, gate("REQUEST_EXPIRED"), ClockSkewed),
    ("gateio", P, 401, gate("INVALID_KEY"), AuthFailed),
    ("gateio", P, 401, gate("INVALID_SIGNATURE"), AuthFailed),
    ("gateio", P, 403, gate("FORBIDDEN"), AuthFailed),
    ("gateio", P, 403, gate("IP_FORBIDDEN"), AuthFailed),
    ("gateio", P, 400, gate("READ_ONLY"), AuthFailed),
    ("gateio", P, 400, gate("ACCOUNT_LOCKED"), AuthFailed),
    ("gateio", P, 429, gate("TOO_MANY_REQUESTS"), Limited),
    ("gateio", P, 500, gate("SERVER_ERROR"), Ambiguous),
    ("gateio", P, 500, gate("INTERNAL"), Ambiguous),
    ("gateio", P, 400, gate("TOO_BUSY"), Ambiguous),
    ("gateio", P, 500, gate("BALANCE_NOT_ENOUGH"), Ambiguous),
    ("gateio", P, 502, b"<html>Bad Gateway</html>", Ambiguous),
    ("gateio", P, 404, b"<html>Not Found</html>", Ambiguous),
    ("gateio", P, 403, b"<html>Forbidden</html>", Limited),
    ("gateio", P, 201, b"", Ambiguous),
    ("gateio", P, 201, b"null", Ambiguous),
    ("gateio", P, 201, b'{"id": "1", "text": ', Ambiguous),
    ("gateio", P, 201, b"[]", Ambiguous),
    ("gateio", P, 201, b'{"status":"open"}', Ambiguous),
    ("mexc", P, 400, mexc(30004), Refused),
    ("mexc", P, 400, mexc(30002), Refused),
    ("mexc", P, 400, mexc(30000), Refused),
    ("mexc", P, 400, mexc(10007), Refused),
    ("mexc", P, 400, mexc(-1121), Refused),
    ("mexc", P, 400, mexc(987654), Ambiguous),
    ("mexc", P, 400, mexc(-2013), Ambiguous),
    ("mexc", Q, 400, mexc(-2013), Events),
    ("mexc", C, 400, mexc(-2011), Refused),
    ("mexc", P, 400, mexc(700003), ClockSkewed),
    ("mexc", P, 400, mexc(10073), ClockSkewed),
    ("mexc", P, 400, mexc(700002), AuthFailed),
    ("mexc", P, 400, mexc(10072), AuthFailed),
    ("mexc", P, 400, mexc(700006), AuthFailed),
    ("mexc", P, 400, mexc(30018), AuthFailed),
    ("mexc", P, 429, mexc(429), Limited),
    ("mexc", P, 400, mexc(429), Limited),
    ("mexc", P, 500, mexc(20002), Ambiguous),
    ("mexc", P, 200, mexc(20002), Ambiguous),
    ("mexc", P, 418, b"", Limited),
    ("mexc", P, 200, b"", Ambiguous),
    ("mexc", P, 200, b"{}", Ambiguous),
]


@pytest.mark.parametrize(("venue", "command", "http", "body", "kind"), REFUSALS)
def test_an_answer_means_what_the_document_says_and_nothing_where_it_says_nothing(venue, command, http, body, kind):
    reply = dialect(venue).decode_reply(command[venue], answer(http, body))
    assert isinstance(reply, kind), reply
    if kind is Events:
        assert reply.events[0].report is None


def test_the_table_of_classes_goes_from_the_special_to_the_general():
    """A class below one of its own bases would never be reached."""
    classes = [getattr(ccxt, name) for name, _ in CLASSES]
    for i, one in enumerate(classes):
        assert not any(issubclass(one, earlier) for earlier in classes[:i]), one
    assert set(LABELS) == set(VENUES)


def test_a_limit_is_waited_for_as_long_as_the_venue_says():
    reply = dialect("gateio").decode_reply(
        P["gateio"],
        answer(429, gate("TOO_MANY_REQUESTS"), x_gate_ratelimit_reset_timestamp=str(TS_NS // 10**9 + 3)),
    )
    assert isinstance(reply, Limited)
    assert not reply.banned
    assert reply.retry_ns == 3 * 10**9


# An order as Gate.io's document shows one, with what matters changed.
GATE_ORDER = {
    "id": "1852454420",
    "text": "t-pd1-b-1",
    "amend_text": "-",
    "create_time": "1763000000",
    "update_time": "1763000001",
    "create_time_ms": 1763000000123,
    "update_time_ms": 1763000001456,
    "status": "cancelled",
    "currency_pair": "BTC_USDT",
    "type": "limit",
    "account": "spot",
    "side": "buy",
    "amount": "0.01",
    "price": "60000",
    "time_in_force": "ioc",
    "iceberg": "0",
    "left": "0.006",
    "filled_amount": "0.004",
    "fill_price": "239.9996",
    "filled_total": "239.9996",
    "avg_deal_price": "59999.9",
    "fee": "0.000008",
    "fee_currency": "BTC",
    "point_fee": "0",
    "gt_fee": "0",
    "gt_discount": False,
    "rebated_fee": "0",
    "rebated_fee_currency": "USDT",
    "finish_as": "ioc",
}


@pytest.mark.req("C-EXEC-6")
def test_gates_order_is_read_to_the_last_digit():
    reply = dialect("gateio").decode_reply(P["gateio"], answer(201, msgspec.json.encode(GATE_ORDER)))
    assert isinstance(reply, Events)
    accepted, shown = reply.events
    assert (accepted.exec_type, accepted.ord_status, accepted.leaves_qty) == (
        ExecType.NEW,
        OrdStatus.NEW,
        Decimal("0.01"),
    )
    assert (shown.exec_type, shown.ord_status) == (ExecType.EXPIRED, OrdStatus.EXPIRED)
    assert (shown.cum_qty, shown.leaves_qty, shown.avg_px) == (Decimal("0.004"), Decimal(0), Decimal("59999.9"))
    assert (shown.order_id, shown.cl_ord_id, shown.text) == ("1852454420", "pd1-b-1", "ioc")
    assert (shown.ord_type, shown.time_in_force, shown.price) == (OrdType.LIMIT, TimeInForce.IOC, Decimal(60000))
    assert shown.ts_event_ns == 1763000001456 * 10**6


def test_an_answer_about_another_order_proves_nothing():
    body = msgspec.json.encode(GATE_ORDER | {"text": "t-pd1-b-2"})
    assert isinstance(dialect("gateio").decode_reply(P["gateio"], answer(201, body)), Ambiguous)


def test_an_answer_to_a_cancel_that_shows_the_order_alive_says_only_that_it_was_heard():
    alive = GATE_ORDER | {"status": "open", "finish_as": "open", "left": "0.01", "time_in_force": "gtc"}
    assert dialect("gateio").decode_reply(C["gateio"], answer(200, msgspec.json.encode(alive))) == Events(())


def test_the_venues_time_is_read():
    for venue, body in (("gateio", {"server_time": TS_MS}), ("mexc", {"serverTime": TS_MS})):
        reply = dialect(venue).decode_reply(TimeQuery(venue=venue), answer(200, msgspec.json.encode(body)))
        assert reply == Told(VenueTime(server_ms=TS_MS))


def _key(*perms, key="the-key*****", state=1):
    return {
        "state": state,
        "key": key,
        "ip_whitelist": ["10.0.0.1"],
        "perms": [{"name": n, "read_only": ro} for n, ro in perms],
    }


@pytest.mark.req("P-SEC-11")
@pytest.mark.parametrize(
    ("rows", "trade", "withdraw"),
    [
        ([_key(("spot", False), ("account", True))], True, False),
        ([_key(("spot", True))], False, False),
        ([_key(("spot", False), ("wallet", False))], True, True),
        ([_key(("spot", False), ("withdrawal", False))], True, True),
        ([_key(("spot", False), ("wallet", True))], True, False),
        ([_key(("spot", False), state=2)], False, False),
        ([_key(("spot", False), key="0ther-key*****")], True, None),
        ([_key(("spot", False)), _key(("wallet", False))], True, None),
        ([], True, None),
    ],
)
def test_what_gates_key_may_do_is_read_from_its_own_row_alone(rows, trade, withdraw):
    spoken = dialect("gateio")
    question = KeyQuery(venue="gateio")
    spoken.sign(spoken.encode(question, TS_MS), KEY_NAMED, TS_MS)
    reply = spoken.decode_reply(question, answer(200, msgspec.json.encode(rows)))
    assert isinstance(reply, Told)
    assert isinstance(reply.fact, KeyPermissions)
    assert (reply.fact.trade, reply.fact.withdraw) == (trade, withdraw)


@pytest.mark.req("P-SEC-11")
def test_a_key_that_may_not_look_at_the_list_of_keys_is_not_refused_and_not_trusted():
    spoken, question = dialect("gateio"), KeyQuery(venue="gateio")
    reply = spoken.decode_reply(question, answer(403, gate("FORBIDDEN")))
    assert isinstance(reply, Told)
    assert reply.fact.withdraw is None
    assert isinstance(spoken.decode_reply(question, answer(401, gate("INVALID_KEY"))), AuthFailed)


KEY_NAMED = msgspec.structs.replace(KEY, api_key="the-key-of-the-desk")


# --- The whole account -------------------------------------------------------------------------------------


def gate_trade(number, ts_ms, **changed):
    row = {
        "id": str(number),
        "create_time": str(ts_ms // 1000),
        "create_time_ms": f"{ts_ms}.123456",
        "currency_pair": "BTC_USDT",
        "side": "buy",
        "role": "taker",
        "amount": "0.001",
        "price": "60000.1",
        "order_id": "77",
        "fee": "0.000002",
        "fee_currency": "BTC",
        "point_fee": "0",
        "gt_fee": "0",
        "text": "t-pd1-b-1",
    }
    return row | changed


class Ledger:
    """A venue with a long list of executions, which it cuts at its longest, newest first."""

    def __init__(self, trades):
        self.trades = trades
        self.asked = 0

    def answer(self, read):
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.url(read)).query).items()}
        if read.key.startswith("trades:"):
            self.asked += 1
            if query["currency_pair"] != "BTC_USDT":
                return answer(200, b"[]")
            begin, end = int(query["from"]), int(query.get("to", "9999999999"))
            found = [t for t in self.trades if begin <= int(t["create_time"]) <= end][::-1]
            return answer(200, msgspec.json.encode(found[: int(query["limit"])]))
        if read.key == "balance":
            return answer(200, b'[{"currency":"USDT","available":"10.5","locked":"0.25"}]')
        return answer(200, b"[]")

    @staticmethod
    def url(read):
        return dialect("gateio").sign(read.request, KEY, TS_MS).url


def read_whole(ledger, cursor):
    spoken, parts = dialect("gateio"), {}
    reads = spoken.account_requests(cursor)
    while reads:
        for read in reads:
            parts[read.key] = AccountPart(read=read, answer=ledger.answer(read))
        reads = spoken.account_more(cursor, parts, {})
    return spoken.assemble(cursor, parts, {}, "test", TS_NS)


def test_a_list_of_executions_that_was_cut_is_read_again_in_halves_until_nothing_is_missing():
    begin = TS_MS // 1000 * 1000
    trades = [gate_trade(i, begin + i * 400) for i in range(1_300)]
    ledger = Ledger(trades)
    reading = read_whole(ledger, AccountCursor(venue="gateio", since_ms=begin))
    assert isinstance(reading, Reading)
    assert [one.exec_id for one in reading.state.executions] == [f"BTC_USDT:{i}" for i in range(1_300)]
    assert reading.state.balances == {"USDT": Decimal("10.75"), "BTC": Decimal(0), "ETH": Decimal(0)}
    first = reading.state.executions[0]
    assert (first.cl_ord_id, first.order_id, first.fee, first.fee_asset) == (
        "pd1-b-1",
        "77",
        Decimal("0.000002"),
        "BTC",
    )
    assert (first.last_qty, first.last_px) == (Decimal("0.001"), Decimal("60000.1"))
    assert reading.cursor.marks[BTC["gateio"].instrument_id].trade_id == "1299"
    assert ledger.asked < 24


def test_more_executions_in_one_second_than_a_list_holds_leave_the_account_unread():
    begin = TS_MS // 1000 * 1000
    reading = read_whole(
        Ledger([gate_trade(i, begin) for i in range(1_020)]), AccountCursor(venue="gateio", since_ms=begin)
    )
    assert isinstance(reading, Unreadable)
    assert "more executions at one time" in reading.reason


@pytest.mark.parametrize(
    ("changed", "fee"),
    [
        ({"fee": "0", "gt_fee": "0.5"}, (Decimal("0.5"), "GT")),
        ({"fee": "0", "point_fee": "0.5"}, (Decimal(0), "BTC")),
        ({"fee": "0.1", "fee_currency": "USDT", "side": "sell"}, (Decimal("0.1"), "USDT")),
    ],
)
def test_the_fee_of_an_execution_is_of_the_asset_that_paid_it(changed, fee):
    begin = TS_MS // 1000 * 1000
    reading = read_whole(Ledger([gate_trade(1, begin, **changed)]), AccountCursor(venue="gateio", since_ms=begin))
    assert isinstance(reading, Reading)
    one = reading.state.executions[0]
    assert (one.fee, one.fee_asset) == fee


def test_a_fee_in_two_assets_is_not_booked_as_one():
    begin = TS_MS // 1000 * 1000
    reading = read_whole(Ledger([gate_trade(1, begin, gt_fee="1")]), AccountCursor(venue="gateio", since_ms=begin))
    assert isinstance(reading, Unreadable)
    assert "fees in BTC and GT" in reading.reason


# --- What ccxt may do --------------------------------------------------------------------------------------


@pytest.mark.req("P-SEC-11")
@pytest.mark.parametrize("venue", VENUES)
def test_ccxt_has_no_socket_no_key_and_no_method_beyond_the_list(venue):
    io = dialect(venue)._io
    exchange = io._exchange
    spoken = dialect(venue)
    spoken.sign(spoken.encode(P[venue], TS_MS), KEY, TS_MS)
    assert exchange.session is None
    assert (exchange.apiKey, exchange.secret, exchange.password) == ("", "", "")
    for ask in (
        lambda: exchange.fetch("https://api.gateio.ws/api/v4/withdrawals", "POST"),
        lambda: exchange.fetch_ticker("BTC/USDT"),
        lambda: exchange.withdraw("USDT", "1", "an address"),
        lambda: io.written(Call("withdraw", ("USDT", "1", "an address"))),
        lambda: io.read(Call("transfer", ("USDT", "1", "spot", "swap")), answer(200, b"{}")),
    ):
        with pytest.raises((ForbiddenRequestError, ccxt.BaseError)):
            ask()
    assert not any(word in one.value.lower() for one in Method for word in ("withdraw", "transfer", "borrow", "repay"))


def requests_of_ccxt(venue):
    """Every private request that ccxt knows of a venue, as method and path."""
    if venue == "mexc":
        for method, paths in ccxt.mexc().api["spot"]["private"].items():
            yield from ((method.upper(), f"/api/v3/{path}") for path in paths)
        return
    for part, methods in ccxt.gate().api["private"].items():
        above = "" if part in {"subAccounts", "withdrawals"} else f"/{part}"
        for method, paths in methods.items():
            yield from ((method.upper(), f"/api/v4{above}/{path}".rstrip("/")) for path in paths)


@pytest.mark.req("P-SEC-11")
@pytest.mark.parametrize(("venue", "passing"), [("gateio", 9), ("mexc", 7)])
def test_of_all_that_ccxt_knows_only_what_trades_and_reads_may_be_sent(venue, passing):
    endpoints, passed = VENUES[venue].real, set()
    for method, path in requests_of_ccxt(venue):
        path = re.sub(r"{order_id}", "t-pd1", re.sub(r"{(?!order_id)\w+}", "x", path))  # noqa: PLW2901 - filled in
        signed = SignedRequest(method=method, url=f"{endpoints.rest}{path}", path=path, headers={})
        try:
            check(venue, endpoints, signed)
        except ForbiddenRequestError:
            continue
        passed.add((method, path))
    assert len(passed) == passing
    assert not any(word in path for _, path in passed for word in ("withdraw", "transfer", "loan", "sub", "wallet"))


def test_a_cancel_of_everything_is_of_one_market():
    for venue in VENUES:
        command = CancelAll(venue=venue, instrument_id=BTC[venue].instrument_id, cause="", ts_init_ns=0)
        spoken = dialect(venue)
        signed = spoken.sign(spoken.encode(command, TS_MS), KEY, TS_MS)
        assert signed.method == "DELETE"
        assert BTC[venue].symbol in signed.url
