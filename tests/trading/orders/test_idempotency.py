"""The key of an order from outside."""

from __future__ import annotations

from decimal import Decimal

import pytest

from trading.orders.idempotency import MINUTE_NS, order_key
from trading.orders.messages import Side

NOW = 29_833_333 * MINUTE_NS
DECISION = "9f1c2ab8-77aa-4d55"


@pytest.mark.req("C-EXEC-8")
@pytest.mark.parametrize("symbol", ["BTC/USDT", "btcusdt", "BTC-USDT"])
@pytest.mark.parametrize("size", ["0.01", "0.0100", "1E-2"])
@pytest.mark.parametrize("later_ns", [0, MINUTE_NS - 1])
def test_one_decision_of_one_minute_is_one_key_however_it_is_spelled(symbol, size, later_ns):
    key = order_key(symbol, Side.BUY, Decimal(size), NOW + later_ns, DECISION)
    assert key == "BTC/USDT:buy:0.01:29833333:9f1c2ab8"


@pytest.mark.req("C-EXEC-8")
def test_whatever_differs_makes_another_key():
    plain = ("BTC/USDT", Side.BUY, Decimal("0.01"), NOW, DECISION)
    others = [
        ("ETH/USDT", *plain[1:]),
        (plain[0], Side.SELL, *plain[2:]),
        (*plain[:2], Decimal("0.1"), *plain[3:]),
        (*plain[:3], NOW + MINUTE_NS, DECISION),
        (*plain[:4], "8" + DECISION),
    ]
    assert len({order_key(*plain), *(order_key(*other) for other in others)}) == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [({"size": Decimal(0)}, "size"), ({"size": Decimal("NaN")}, "size"), ({"decision_id": "short"}, "decision_id")],
)
def test_what_makes_no_key_is_refused_by_name(change, words):
    plain = {"symbol": "BTC/USDT", "side": Side.BUY, "size": Decimal(1), "ts_ns": NOW, "decision_id": DECISION}
    with pytest.raises(ValueError, match=words):
        order_key(**{**plain, **change})
