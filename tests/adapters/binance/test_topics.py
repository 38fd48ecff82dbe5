"""What one Binance connection has asked for: every stream is granted, refused or overdue."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binance.topics import STREAMS_PER_REQUEST, StreamLedger, StreamState

A, B, C = "btcusdt@depth@100ms", "btcusdt@trade", "nosuch@trade"


def ack(request: bytes) -> bytes:
    return json.dumps({"result": None, "id": json.loads(request)["id"]}).encode()


def error(request: bytes, code: int = 2) -> bytes:
    return json.dumps({"error": {"code": code, "msg": "Invalid request"}, "id": json.loads(request)["id"]}).encode()


def test_an_answer_grants_all_of_its_request() -> None:
    ledger = StreamLedger()
    (request,) = ledger.subscribe([A, B, A], 1)
    assert json.loads(request) == {"method": "SUBSCRIBE", "params": [A, B], "id": 1}
    answer = ledger.on_message(ack(request))
    assert answer is not None
    assert answer.streams == (A, B)
    assert ledger.states == {A: StreamState.GRANTED, B: StreamState.GRANTED}
    assert ledger.subscribe([A], 2) == []


def test_a_refused_request_of_several_is_split_and_only_the_guilty_one_is_refused() -> None:
    ledger = StreamLedger()
    (request,) = ledger.subscribe([A, C], 1)
    answer = ledger.on_message(error(request))
    assert answer is not None
    assert answer.streams == ()
    assert [json.loads(each)["params"] for each in answer.split] == [[A], [C]]
    assert ledger.on_message(ack(answer.split[0])).streams == (A,)  # type: ignore[union-attr]
    refused = ledger.on_message(error(answer.split[1]))
    assert refused is not None
    assert (refused.streams, refused.code, refused.retry) == ((C,), "2", False)
    assert ledger.states == {A: StreamState.GRANTED, C: StreamState.REFUSED}


def test_trouble_of_the_venue_may_be_asked_again() -> None:
    ledger = StreamLedger()
    (request,) = ledger.subscribe([A], 1)
    answer = ledger.on_message(b'{"code":-1003,"msg":"Too many requests","id":1}')
    assert answer is not None
    assert answer.retry
    assert json.loads(ledger.subscribe([A], 2)[0])["id"] == 2
    assert request


def test_asking_again_leaves_first_and_an_unsubscribes_answer_grants_nothing() -> None:
    ledger = StreamLedger()
    ledger.on_message(ack(ledger.subscribe([A], 1)[0]))
    leave, ask = ledger.again([A], 5)
    assert json.loads(leave)["method"] == "UNSUBSCRIBE"
    assert ledger.on_message(ack(leave)).streams == ()  # type: ignore[union-attr]
    assert ledger.states[A] is StreamState.ASKED
    assert ledger.overdue(5 + 2, 1) == [A]
    assert ledger.on_message(ack(ask)).streams == (A,)  # type: ignore[union-attr]
    assert ledger.overdue(100, 1) == []


def test_a_late_answer_grants_nothing_that_was_left_meanwhile() -> None:
    ledger = StreamLedger()
    (request,) = ledger.subscribe([A], 1)
    ledger.unsubscribe([A])
    assert ledger.on_message(ack(request)).streams == ()  # type: ignore[union-attr]
    assert A not in ledger.states


def test_long_lists_are_several_requests() -> None:
    ledger = StreamLedger()
    names = [f"s{n}@trade" for n in range(STREAMS_PER_REQUEST * 2 + 1)]
    sizes = [len(json.loads(request)["params"]) for request in ledger.subscribe(names, 1)]
    assert sizes == [STREAMS_PER_REQUEST, STREAMS_PER_REQUEST, 1]


def test_a_new_connection_has_granted_nothing() -> None:
    ledger = StreamLedger()
    ledger.subscribe([A, B], 1)
    assert ledger.on_disconnected() == [A, B]
    assert ledger.states == {}
    assert ledger.on_message(b'{"result":null,"id":1}').streams == ()  # type: ignore[union-attr]
    assert ledger.unexpected == 1


@pytest.mark.parametrize(
    "payload",
    [
        b'{"stream":"btcusdt@trade","data":{"id":1}}',
        b'{"e":"trade","id":1}',
        b"{",
        b"",
        b'{"id":{}}',
        b'[{"id":1}]',
        b'{"id":1,"error":5}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_answer_is_none(payload: bytes) -> None:
    assert StreamLedger().on_message(payload) is None


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_raise(payload: bytes) -> None:
    ledger = StreamLedger()
    ledger.subscribe([A], 1)
    ledger.on_message(payload)
    ledger.on_message(b'{"id":' + payload)
