"""Binance requests: what is said, how it is signed, and the same said by ccxt as an independent opinion."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import ccxt
import msgspec
import pytest

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.orders.account import AccountCursor
from adapters.orders.binance import BinanceOrders
from adapters.orders.digests import hmac_hex
from adapters.orders.wire import (
    CancelAll,
    Countdown,
    KeyQuery,
    LeverageQuery,
    ListenKeyRequest,
    ListenKeyVerb,
    ModeQuery,
    SignedRequest,
    TimeQuery,
    WireCommand,
    WireKind,
    WireRequest,
)
from tests.adapters.orders.commands import BTC, INSTRUMENTS, KEY, TS_MS, cancel, place, replace, status
from trading.orders.messages import TimeInForce

VENUES = (SPOT, USDM, COINM)


def dialect(venue: str, **more: Any) -> BinanceOrders:
    return BinanceOrders(venue, INSTRUMENTS[venue], **more)


def fields(signed: SignedRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(signed.url).query) + parse_qsl(signed.body.decode()))


def every_command(venue: str) -> list[WireCommand]:
    market = BTC[venue]
    commands: list[WireCommand] = [
        place(market),
        place(market, time_in_force=TimeInForce.GTX),
        place(market, price=None),
        place(market, reduce_only=True),
        cancel(market),
        replace(market),
        status(market),
        CancelAll(venue=venue, instrument_id=market.instrument_id, cause="t", ts_init_ns=0),
        KeyQuery(venue=venue),
    ]
    if venue != SPOT:
        commands += [
            Countdown(venue=venue, instrument_id=market.instrument_id, timeout_ms=5_000, cause="t"),
            ModeQuery(venue=venue),
            LeverageQuery(venue=venue, instrument_id=market.instrument_id),
            ListenKeyRequest(venue=venue, verb=ListenKeyVerb.OPEN),
            ListenKeyRequest(venue=venue, verb=ListenKeyVerb.KEEP, listen_key="k"),
        ]
    return commands


def test_the_signature_is_the_one_of_the_venues_own_example() -> None:
    # binance-spot-api-docs/rest-api.md, "SIGNED Endpoint Examples for POST /api/v3/order - HMAC Keys" (2026-11)
    words = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    )
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    assert hmac_hex(secret, words) == "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"


@pytest.mark.parametrize("venue", VENUES)
def test_every_request_is_signed_over_all_it_says(venue: str) -> None:
    d = dialect(venue)
    for command in every_command(venue):
        signed = d.sign(d.encode(command, TS_MS), KEY, TS_MS)
        said = urlsplit(signed.url).query + signed.body.decode()
        if isinstance(command, ListenKeyRequest):
            assert said == ""
            continue
        words, _, signature = said.rpartition("&signature=")
        oracle = ccxt.Exchange.hmac(words.encode(), KEY.secret.encode(), hashlib.sha256)
        assert signature == oracle, command
        assert signed.headers["X-MBX-APIKEY"] == KEY.api_key


APIS = {
    SPOT: {"/api/v3": "private", "/sapi/v1": "sapi"},
    USDM: {"/fapi/v1": "fapiPrivate", "/fapi/v3": "fapiPrivateV3", "/sapi/v1": "sapi"},
    COINM: {"/dapi/v1": "dapiPrivate", "/sapi/v1": "sapi"},
}


def by_ccxt(venue: str, request: WireRequest, said: dict[str, str]) -> dict[str, Any]:
    exchange = ccxt.binance({"apiKey": KEY.api_key, "secret": KEY.secret})
    exchange.nonce = lambda: TS_MS  # type: ignore[method-assign]
    prefix = next(p for p in APIS[venue] if request.path.startswith(p + "/"))
    params = {name: value for name, value in said.items() if name not in {"timestamp", "signature"}}
    path = request.path.removeprefix(prefix + "/")
    result: dict[str, Any] = exchange.sign(path, APIS[venue][prefix], request.method, params)
    return result


@pytest.mark.parametrize("venue", VENUES)
def test_ccxt_would_send_the_same_to_the_same_place(venue: str) -> None:
    d = dialect(venue)
    requests = [d.encode(command, TS_MS) for command in every_command(venue)]
    requests += [read.request for read in d.account_requests(AccountCursor.opening(venue, TS_MS))]
    for request in requests:
        ours = d.sign(request, KEY, TS_MS)
        theirs = by_ccxt(venue, request, fields(ours))
        parts = urlsplit(theirs["url"])
        assert (ours.method, urlsplit(ours.url).netloc, ours.path) == (theirs["method"], parts.netloc, parts.path)
        said = dict(parse_qsl(parts.query) + parse_qsl(theirs["body"] or ""))
        assert fields(ours) | {"signature": ""} == said | {"signature": ""}, request
        # What travels in the query travels there with them too; the empty body of a PUT has no type.
        assert bool(ours.body) == bool(theirs["body"])
        if ours.body:
            assert ours.headers["Content-Type"] == theirs["headers"]["Content-Type"]
        assert ours.headers["X-MBX-APIKEY"] == theirs["headers"]["X-MBX-APIKEY"]


@pytest.mark.parametrize(
    ("venue", "command", "said"),
    [
        (
            SPOT,
            place(BTC[SPOT], qty="0.002"),
            (
                "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.002&price=60000&newClientOrderId=pd1-b-1"
                "&newOrderRespType=FULL&selfTradePreventionMode=EXPIRE_TAKER"
            ),
        ),
        (
            USDM,
            place(BTC[USDM], time_in_force=TimeInForce.GTX, reduce_only=True),
            (
                "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTX&quantity=2&price=60000&reduceOnly=true"
                "&newClientOrderId=pd1-b-1"
            ),
        ),
        (
            COINM,
            place(BTC[COINM]),
            (
                "symbol=BTCUSD_PERP&side=BUY&type=LIMIT&timeInForce=GTC&quantity=2&price=60000&newClientOrderId=pd1-b-1"
                "&selfTradePreventionMode=EXPIRE_TAKER"
            ),
        ),
    ],
)
def test_a_placement_says_its_terms_and_its_own_id(venue: str, command: WireCommand, said: str) -> None:
    request = dialect(venue).encode(command, TS_MS)
    assert request.body.decode() == said
    assert (request.kind, request.deadline_ms, request.safe_to_repeat) == (WireKind.PLACE, 400, False)


@pytest.mark.req("P-ORD-13")
def test_each_kind_of_request_has_its_deadline() -> None:
    d, market = dialect(USDM), BTC[USDM]
    everything = CancelAll(venue=USDM, instrument_id=market.instrument_id, cause="t", ts_init_ns=0)
    deadlines = [d.encode(c, TS_MS).deadline_ms for c in (place(market), cancel(market), everything)]
    assert deadlines == [400, 300, 1_500]


def test_only_what_does_the_same_twice_may_be_repeated() -> None:
    d = dialect(USDM)
    repeatable = {type(c).__name__: d.encode(c, TS_MS).safe_to_repeat for c in every_command(USDM)}
    assert not repeatable.pop("NewOrderSingle")
    assert not repeatable.pop("OrderCancelReplaceRequest")
    assert all(repeatable.values())


def test_what_a_venue_has_no_word_for_is_refused_by_name() -> None:
    spot, market = dialect(SPOT), BTC[SPOT]
    with pytest.raises(ValueError, match="no timer"):
        spot.encode(Countdown(venue=SPOT, instrument_id=market.instrument_id, timeout_ms=1, cause=""), TS_MS)
    with pytest.raises(ValueError, match="BTC-USDT"):
        spot.encode(place(BTC[USDM]), TS_MS)
    with pytest.raises(ValueError, match="newClientOrderId"):
        spot.encode(place(market, "x" * 37), TS_MS)
    with pytest.raises(ValueError, match="multiple"):
        spot.encode(place(market, price="60000.001"), TS_MS)


@pytest.mark.req("P-VEN-1")
def test_testnet_is_one_switch_and_has_no_word_on_keys() -> None:
    d = dialect(USDM, testnet=True)
    assert d.endpoints.demo
    assert (
        d.sign(d.encode(TimeQuery(venue=USDM), TS_MS), KEY, TS_MS).url == "https://demo-fapi.binance.com/fapi/v1/time"
    )
    with pytest.raises(ValueError, match="does not say"):
        d.encode(KeyQuery(venue=USDM), TS_MS)


def test_credentials_never_show_themselves() -> None:
    d = dialect(SPOT)
    signed = d.sign(d.encode(place(BTC[SPOT]), TS_MS), KEY, TS_MS)
    for shown in (repr(KEY), str(KEY), repr(signed), f"{[KEY]}"):
        assert KEY.secret not in shown
        assert KEY.api_key not in shown
        assert "signature" not in shown


def test_spot_subscribes_its_user_stream_by_signature() -> None:
    d = dialect(SPOT)
    frame = msgspec.json.decode(d.stream_login(KEY, TS_MS))
    assert frame["method"] == "userDataStream.subscribe.signature"
    # The WebSocket API signs its parameters in alphabetical order (web-socket-api.md, "Request security").
    words = f"apiKey={KEY.api_key}&timestamp={TS_MS}"
    assert frame["params"]["signature"] == hmac_hex(KEY.secret, words)
    assert d.stream_url("") == "wss://ws-api.binance.com/ws-api/v3"
    assert dialect(USDM).stream_url("k") == "wss://fstream.binance.com/private/ws?listenKey=k"
    assert dialect(COINM).stream_url("k") == "wss://dstream.binance.com/ws/k"
