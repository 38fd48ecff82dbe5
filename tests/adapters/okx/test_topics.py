"""What one OKX connection has asked for: every topic is granted, refused or overdue, and none is forgotten."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.okx.topics import (
    BUSINESS_PATH,
    PUBLIC_PATH,
    Topic,
    TopicLedger,
    TopicState,
    is_pong,
    topic_of,
)

BOOK = Topic("books", "BTC-USDT")
TRADES = Topic("trades", "BTC-USDT")
SWAPS = Topic("liquidation-orders", inst_type="SWAP")
STATUS = Topic("status")


def ack(topic, event="subscribe"):
    arg = {"channel": topic.channel}
    if topic.inst_id:
        arg["instId"] = topic.inst_id
    if topic.inst_type:
        arg["instType"] = topic.inst_type
    return json.dumps({"event": event, "arg": arg, "connId": "a4d3ae55"}).encode()


def error(code, msg, request_id=""):
    stated = {"id": request_id} if request_id else {}
    return json.dumps({**stated, "event": "error", "code": code, "msg": msg, "connId": "a4d3ae55"}).encode()


@pytest.fixture
def ledger():
    made = TopicLedger()
    made.subscribe([BOOK, TRADES, SWAPS], now_ns=0)
    return made


def test_one_request_asks_for_many_topics():
    (request,) = TopicLedger().subscribe([BOOK, SWAPS, STATUS, BOOK], now_ns=0)
    assert json.loads(request) == {
        "id": "s1",
        "op": "subscribe",
        "args": [
            {"channel": "books", "instId": "BTC-USDT"},
            {"channel": "liquidation-orders", "instType": "SWAP"},
            {"channel": "status"},
        ],
    }


def test_no_request_is_larger_than_the_venue_takes():
    topics = [Topic("books-l2-tbt", f"SYMBOL-{number:05}-USDT-SWAP") for number in range(3000)]
    requests = TopicLedger().subscribe(topics, now_ns=0)
    assert all(len(request) < 64 * 1024 for request in requests)
    assert sum(len(json.loads(request)["args"]) for request in requests) == 3000
    assert len({json.loads(request)["id"] for request in requests}) == len(requests) > 1


def test_a_topic_is_granted_by_its_own_answer_only(ledger):
    answer = ledger.on_message(ack(BOOK))
    assert answer is not None
    assert (answer.topics, answer.code) == ((BOOK,), "")
    assert ledger.state(BOOK) is TopicState.GRANTED
    assert ledger.topics(TopicState.ASKED) == [TRADES, SWAPS]


def test_what_is_granted_or_asked_is_not_asked_again(ledger):
    ledger.on_message(ack(BOOK))
    assert ledger.subscribe([BOOK, TRADES], now_ns=1) == []


@pytest.mark.parametrize("now_ns", [5, 6, 100])
def test_a_topic_without_an_answer_is_overdue(ledger, now_ns):
    ledger.on_message(ack(BOOK))
    assert ledger.overdue(now_ns, timeout_ns=5) == ([] if now_ns == 5 else [TRADES, SWAPS])


@pytest.mark.parametrize("request_id", ["s1", ""])
def test_an_error_that_names_a_topic_refuses_that_one(ledger, request_id):
    msg = "Wrong URL or channel:books,instId:BTC-USDT doesn't exist. Please use the correct URL."
    answer = ledger.on_message(error("60018", msg, request_id))
    assert answer is not None
    assert (answer.topics, answer.code, answer.retry) == ((BOOK,), "60018", False)
    assert ledger.topics(TopicState.REFUSED) == [BOOK]
    assert ledger.topics(TopicState.ASKED) == [TRADES, SWAPS]


def test_a_name_that_begins_like_another_is_not_that_other():
    ledger = TopicLedger()
    swap = Topic("books", "BTC-USDT-SWAP")
    ledger.subscribe([BOOK, swap], now_ns=0)
    ledger.on_message(error("60018", "channel:books,instId:BTC-USDT-SWAP doesn't exist"))
    assert (ledger.state(BOOK), ledger.state(swap)) == (TopicState.ASKED, TopicState.REFUSED)


@pytest.mark.parametrize("request_id", ["s1", ""])
def test_an_error_that_names_none_refuses_all_of_its_request(ledger, request_id):
    ledger.on_message(ack(BOOK))
    answer = ledger.on_message(error("60012", "Invalid request: {}", request_id))
    assert answer is not None
    assert answer.topics == (TRADES, SWAPS)
    assert ledger.state(BOOK) is TopicState.GRANTED


def test_an_error_of_no_known_request_is_counted_and_the_deadline_speaks():
    ledger = TopicLedger()
    ledger.subscribe([BOOK], now_ns=0)
    ledger.subscribe([TRADES], now_ns=0)
    answer = ledger.on_message(error("60012", "Invalid request"))
    assert answer is not None
    assert answer.topics == ()
    assert ledger.unexpected == 1
    assert ledger.overdue(10, timeout_ns=5) == [BOOK, TRADES]


@pytest.mark.parametrize(("code", "retry"), [("60014", True), ("60018", False), ("60029", False)])
def test_an_error_says_whether_asking_again_can_help(ledger, code, retry):
    answer = ledger.on_message(error(code, "no", "s1"))
    assert answer is not None
    assert answer.retry is retry
    assert json.loads(ledger.subscribe([BOOK], now_ns=1)[0])["id"] == "s2"


def test_what_the_venue_grants_and_then_takes_back_is_refused(ledger):
    ledger.on_message(ack(BOOK))
    over = b'{"event":"channel-conn-count-error","channel":"books","connCount":"31","connId":"a4d3ae55"}'
    answer = ledger.on_message(over)
    assert answer is not None
    assert (answer.topics, answer.code) == ((BOOK,), "channel-conn-count-error")
    assert ledger.topics(TopicState.REFUSED) == [BOOK]


def test_what_the_venue_ends_unasked_is_refused(ledger):
    ledger.on_message(ack(BOOK))
    answer = ledger.on_message(ack(BOOK, "unsubscribe"))
    assert answer is not None
    assert answer.code == "unsubscribe"
    assert ledger.state(BOOK) is TopicState.REFUSED


def test_leaving_a_topic_ends_with_the_venues_answer(ledger):
    ledger.on_message(ack(BOOK))
    (request,) = ledger.unsubscribe([BOOK, Topic("books", "NEVER-ASKED")], now_ns=1)
    assert json.loads(request) == {
        "id": "u2",
        "op": "unsubscribe",
        "args": [{"channel": "books", "instId": "BTC-USDT"}],
    }
    assert ledger.unsubscribe([BOOK], now_ns=2) == []
    ledger.on_message(ack(BOOK, "unsubscribe"))
    assert ledger.state(BOOK) is None


def test_a_topic_that_cannot_be_left_is_gone(ledger):
    ledger.on_message(ack(BOOK))
    ledger.unsubscribe([BOOK], now_ns=1)
    ledger.on_message(error("60018", "channel:books,instId:BTC-USDT doesn't exist", "u2"))
    assert ledger.state(BOOK) is None


def test_a_book_begins_anew_by_leaving_and_asking(ledger):
    ledger.on_message(ack(BOOK))
    leave, ask = ledger.again(BOOK, now_ns=1)
    assert (json.loads(leave)["op"], json.loads(ask)["op"]) == ("unsubscribe", "subscribe")
    ledger.on_message(ack(BOOK, "unsubscribe"))
    assert ledger.state(BOOK) is TopicState.ASKED
    ledger.on_message(ack(BOOK))
    assert ledger.state(BOOK) is TopicState.GRANTED


def test_an_answer_that_nobody_asked_for_is_counted(ledger):
    ledger.on_message(ack(Topic("books", "ETH-USDT")))
    ledger.on_message(ack(Topic("books", "ETH-USDT"), "unsubscribe"))
    assert ledger.unexpected == 2


def test_a_new_connection_asks_for_what_was_wanted(ledger):
    ledger.on_message(ack(BOOK))
    ledger.unsubscribe([TRADES], now_ns=1)
    wanted = ledger.on_disconnected()
    assert wanted == [BOOK, SWAPS]
    assert ledger.topics(TopicState.GRANTED) == []
    assert len(ledger.subscribe(wanted, now_ns=2)) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"pong",
        b"{",
        b"[]",
        b'{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[]}',
        b'{"event":"login","code":"0"}',
    ],
)
def test_what_is_no_answer_is_none(ledger, payload):
    assert ledger.on_message(payload) is None
    assert ledger.topics(TopicState.ASKED) == [BOOK, TRADES, SWAPS]


@given(st.binary(max_size=200) | st.sampled_from([ack(BOOK), error("60018", "x", "s1")]).map(lambda frame: frame[:-9]))
def test_no_bytes_make_the_ledger_raise(payload):
    ledger = TopicLedger()
    ledger.subscribe([BOOK], now_ns=0)
    ledger.on_message(payload)
    topic_of(payload)
    assert ledger.topics(TopicState.ASKED) == [BOOK]


def test_the_pong_is_a_word():
    assert is_pong(b"pong")
    assert not is_pong(b'{"event":"pong"}')


def test_a_push_names_its_topic():
    assert topic_of(b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{}]}') == BOOK
    assert topic_of(b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[]}') == SWAPS
    assert topic_of(ack(BOOK)) is None


def test_every_trade_comes_by_another_url():
    assert Topic("trades-all", "BTC-USDT").path == BUSINESS_PATH
    assert BOOK.path == PUBLIC_PATH
