"""What answers say of limits in their bodies and dates."""

from __future__ import annotations

import pytest

from adapters.limits.words import heard

NOW_NS = 1_790_000_000_000_000_000
RATE = b'{"retCode":10006,"retMsg":"Too many visits!","result":{}}'


@pytest.mark.parametrize(
    ("venue", "status", "headers", "body", "expected"),
    [
        ("binanceusdm", 200, {}, b'{"orderId":1}', (200, 0)),
        ("binanceusdm", 429, {"Retry-After": "7"}, b'{"code":-1003,"msg":"Too many requests"}', (429, 0)),
        (
            "binanceusdm",
            418,
            {},
            b'{"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until 1790000060000."}',
            (418, 60_000_000_000),
        ),
        ("binance", 429, {}, b'{"code":-1003,"msg":"... banned until 1790000001000. ..."}', (418, 1_000_000_000)),
        ("binance", 400, {}, b'{"code":-1015,"msg":"Too many new orders"}', (429, 0)),
        ("okx", 200, {}, b'{"code":"50011","data":[],"msg":"Rate limit reached"}', (429, 0)),
        ("okx", 200, {}, b'{"code":"0","data":[{"sCode":"50061"}]}', (200, 0)),
        ("okx", 200, {}, b'{"code":"50061","data":[],"msg":"sub-account rate limit"}', (429, 0)),
        ("bybit", 200, {}, RATE, (429, 0)),
        ("bybit", 200, {}, b'{"retCode":10018,"retMsg":"Exceeded the IP Rate Limit."}', (403, 0)),
        ("bybit", 403, {}, b"access too frequent", (403, 0)),
        ("bybit", 200, {}, RATE + b" " * 5_000, (200, 0)),
        ("gateio", 429, {"retry-after": "Mon, 21 Sep 2026 14:13:30 GMT"}, b"", (429, 10_000_000_000)),
        ("gateio", 429, {"Retry-After": "soon"}, b"", (429, 0)),
        ("gateio", 0, {}, b"", (0, 0)),
        ("unknown", 503, {}, b'{"code":50011}', (503, 0)),
    ],
)
def test_a_status_and_a_wait_are_heard_in_every_way_that_venues_say_them(venue, status, headers, body, expected):
    assert heard(venue, status, headers, body, NOW_NS) == expected
