"""Bybit's subscriptions: what was asked, granted, refused and never told, topic by topic."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bybit.subscriptions import MAX_ARGS, Answer, Pong, SubscriptionLedger, TopicState, ping

BOOK, TRADES, GONE = "orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "tickers.GONEUSDT"


def answer(request, success=True, ret_msg=""):
    body = msgspec.json.decode(request)
    return msgspec.json.encode(
        {"success": success, "ret_msg": ret_msg, "conn_id": "c", "req_id": body["req_id"], "op": body["op"]}
    )


def test_topics_are_asked_ten_at_a_time_with_ids_of_their_own():
    topics = [f"tickers.A{number}USDT" for number in range(MAX_ARGS + 1)]
    first, second = (msgspec.json.decode(request) for request in SubscriptionLedger().subscribe([*topics, topics[0]]))
    assert first == {"req_id": "s1", "op": "subscribe", "args": topics[:MAX_ARGS]}
    assert second == {"req_id": "s2", "op": "subscribe", "args": topics[MAX_ARGS:]}


def test_a_granted_request_grants_each_of_its_topics_and_they_are_not_asked_again():
    ledger = SubscriptionLedger()
    (request,) = ledger.subscribe([BOOK, TRADES])
    assert ledger.missing() == (BOOK, TRADES)
    settled = ledger.on_message(answer(request, ret_msg="subscribe"))
    assert settled == Answer(request_id="s1", granted=(BOOK, TRADES))
    assert ledger.missing() == ()
    assert ledger.subscribe([BOOK]) == []


def test_a_refusal_names_one_topic_and_leaves_the_others_untold():
    ledger = SubscriptionLedger()
    (request,) = ledger.subscribe([BOOK, GONE, TRADES])
    settled = ledger.on_message(answer(request, False, f"error:handler not found,topic:{GONE}"))
    assert (settled.refused, settled.untold) == ((GONE,), (BOOK, TRADES))
    assert ledger.states == {BOOK: TopicState.UNTOLD, GONE: TopicState.REFUSED, TRADES: TopicState.UNTOLD}
    assert "handler not found" in ledger.reasons[GONE]
    (again,) = ledger.subscribe([BOOK, TRADES])
    ledger.on_message(answer(again))
    assert ledger.missing() == (GONE,)


def test_already_subscribed_is_evidence_of_a_subscription():
    ledger = SubscriptionLedger()
    (request,) = ledger.subscribe([BOOK, TRADES])
    settled = ledger.on_message(answer(request, False, f"error:already subscribed,topic:{BOOK}"))
    assert (settled.granted, settled.untold) == ((BOOK,), (TRADES,))


def test_data_is_evidence_and_an_answer_that_comes_later_does_not_take_it_back():
    ledger = SubscriptionLedger()
    (request,) = ledger.subscribe([BOOK, GONE])
    ledger.on_data(BOOK)
    ledger.on_data("publicTrade.OTHER")
    ledger.on_message(answer(request, False, f"error:handler not found,topic:{GONE}"))
    assert ledger.states == {BOOK: TopicState.GRANTED, GONE: TopicState.REFUSED}


def test_an_answer_to_nobody_or_a_second_one_changes_nothing():
    ledger = SubscriptionLedger()
    (request,) = ledger.subscribe([BOOK])
    assert ledger.on_message(answer(request).replace(b"s1", b"s9")) is None
    assert ledger.missing() == (BOOK,)
    assert ledger.on_message(answer(request)) is not None
    assert ledger.on_message(answer(request, False, "x")) is None
    assert ledger.missing() == ()


def test_leaving_a_topic_and_connecting_again():
    ledger = SubscriptionLedger()
    (request,) = ledger.subscribe([BOOK, TRADES])
    ledger.on_message(answer(request))
    (leave,) = ledger.unsubscribe([TRADES, "never.asked"])
    assert ledger.on_message(answer(leave)).left == (TRADES,)
    assert ledger.on_connected() == (BOOK,)
    assert ledger.missing() == (BOOK,)
    (again,) = ledger.subscribe([BOOK])
    assert msgspec.json.decode(again)["args"] == [BOOK]
    assert ledger.on_message(answer(request)) is None


def test_an_answer_by_topic_is_taken_topic_by_topic():
    ledger = SubscriptionLedger()
    ledger.subscribe([BOOK, GONE])
    ledger.on_message(
        b'{"success":true,"conn_id":"a","data":{"failTopics":["tickers.GONEUSDT","x"],"successTopics":'
        b'["orderbook.50.BTCUSDT"]},"type":"COMMAND_RESP"}'
    )
    assert ledger.states == {BOOK: TopicState.GRANTED, GONE: TopicState.REFUSED}


@pytest.mark.parametrize(
    ("payload", "request_id"),
    [
        (b'{"success":true,"ret_msg":"pong","conn_id":"465772b1","req_id":"p1","op":"ping"}', "p1"),
        (b'{"req_id":"p2","op":"pong","args":["1675418560633"],"conn_id":"cfcb4ocsvfriu23r3er0"}', "p2"),
    ],
)
def test_both_spellings_of_a_pong(payload, request_id):
    assert SubscriptionLedger().on_message(payload) == Pong(request_id=request_id)
    assert ping("p1") == b'{"req_id":"p1","op":"ping"}'


@given(st.binary(max_size=120) | st.text(max_size=60).map(lambda text: f'{{"op":{text}'.encode()))
def test_no_bytes_make_the_ledger_raise_or_grant(payload):
    ledger = SubscriptionLedger()
    ledger.subscribe([BOOK])
    ledger.on_message(payload)
    assert ledger.missing() == (BOOK,)
