"""The venues' own limits, as data.

Sources, read 2026-11. Binance: "LIMITS" of binance-spot-api-docs/rest-api, "General Info" and the endpoints' own
"Request Weight" of developers.binance.com/docs/derivatives (USD-M and COIN-M), "Rate limits" of the spot WebSocket API:
intervals are aligned to the venue's clock. OKX: www.okx.com/docs-v5/en/#overview-rate-limit, the rate limits stated at
each trade endpoint, and "OKX will introduce sub-account rate limit" (2024-01). Bybit: "Rate Limit Rules",
bybit-exchange.github.io/docs/v5/rate-limit. Gate.io: "Announcement on API Rate Limit Adjustments" (2024-01); the 300
calls in 10 s that the desk keeps there over all endpoints are its own rule and stricter. MEXC: "Limits", spot-v3.
Limits by account grow with its level: what the venue states in its headers is taken when it is less than the table,
never when it is more.
"""

from __future__ import annotations

from typing import Final

from trading.limits.spec import (
    ALONE,
    DAY_NS,
    MINUTE_NS,
    ORDERS_ONLY,
    SECOND_NS,
    Budget,
    Cost,
    Keyed,
    Reach,
    Scope,
    StatusRule,
    Unit,
    VenueLimits,
    Verdict,
)

_DAYS_3: Final = 3 * DAY_NS


def _limited(reach: Reach, pause_s: int, pause_max_s: int, status: int = 429) -> StatusRule:
    return StatusRule(
        status=status,
        verdict=Verdict.LIMITED,
        reach=reach,
        pause_ns=pause_s * SECOND_NS,
        pause_max_ns=pause_max_s * SECOND_NS,
    )


def _banned(status: int, pause_s: int, pause_max_ns: int = _DAYS_3) -> StatusRule:
    return StatusRule(
        status=status,
        verdict=Verdict.BANNED,
        reach=Reach.VENUE,
        pause_ns=pause_s * SECOND_NS,
        pause_max_ns=pause_max_ns,
    )


_AUTH: Final = StatusRule(
    status=401,
    verdict=Verdict.AUTH_FAILED,
    reach=Reach.ACCOUNT,
    pause_ns=5 * SECOND_NS,
    pause_max_ns=10 * MINUTE_NS,
)

_BINANCE_RULES: Final = (
    _limited(Reach.VENUE, 10, 120),
    _banned(418, 120),
    _banned(403, 300),  # the firewall's limit; the document does not say for how long
    _AUTH,
)


def _weight(limit: int) -> Budget:
    return Budget(
        name="weight",
        scope=Scope.IP,
        unit=Unit.WEIGHT,
        limit=limit,
        window_ns=MINUTE_NS,
        aligned=True,
        used_header="X-MBX-USED-WEIGHT-1M",
    )


def _orders(limit: int, window_ns: int, letters: str) -> Budget:
    return Budget(
        name=f"orders_{letters.lower()}",
        scope=Scope.ACCOUNT,
        unit=Unit.ORDERS,
        limit=limit,
        window_ns=window_ns,
        aligned=True,
        used_header=f"X-MBX-ORDER-COUNT-{letters}",
        shares=ORDERS_ONLY,
    )


BINANCE: Final = VenueLimits(
    venue="binance",
    source="Binance, binance-spot-api-docs/rest-api LIMITS, 2026-11",
    budgets=(
        _weight(6000),
        _orders(100, 10 * SECOND_NS, "10S"),
        _orders(200_000, DAY_NS, "1D"),
    ),
    rules=_BINANCE_RULES,
    costs={
        "POST /api/v3/order": Cost(weight=1, orders=1),
        "POST /api/v3/order/cancelReplace": Cost(weight=1, orders=1),
        "PUT /api/v3/order/amend/keepPriority": Cost(weight=4),
        "DELETE /api/v3/order": Cost(weight=1),
        "DELETE /api/v3/openOrders": Cost(weight=1),
        "GET /api/v3/order": Cost(weight=4),
        "GET /api/v3/openOrders": Cost(weight=6),
        "GET /api/v3/allOrders": Cost(weight=20),
        "GET /api/v3/myTrades": Cost(weight=20),
        "GET /api/v3/account": Cost(weight=20),
        "GET /api/v3/exchangeInfo": Cost(weight=20),
        "GET /api/v3/depth": Cost(weight=50),
        "GET /api/v3/time": Cost(weight=1),
    },
)

BINANCE_USDM: Final = VenueLimits(
    venue="binanceusdm",
    source="Binance, derivatives/usds-margined-futures General Info, 2026-11",
    budgets=(
        _weight(2400),
        _orders(300, 10 * SECOND_NS, "10S"),
        _orders(1200, MINUTE_NS, "1M"),
        Budget(
            name="futures_data",
            scope=Scope.IP,
            unit=Unit.CALLS,
            limit=1000,
            window_ns=5 * MINUTE_NS,
            endpoints=("GET /futures/data/*",),
            shares=ALONE,
        ),
    ),
    rules=_BINANCE_RULES,
    costs={
        "POST /fapi/v1/order": Cost(weight=0, orders=1),
        "PUT /fapi/v1/order": Cost(weight=0, orders=1),
        "POST /fapi/v1/algoOrder": Cost(weight=0, orders=1),
        "POST /fapi/v1/batchOrders": Cost(weight=5, orders=5),
        "DELETE /fapi/v1/order": Cost(weight=1),
        "DELETE /fapi/v1/batchOrders": Cost(weight=1),
        "DELETE /fapi/v1/allOpenOrders": Cost(weight=1),
        "GET /fapi/v1/order": Cost(weight=1),
        "GET /fapi/v1/openOrder": Cost(weight=1),
        "GET /fapi/v1/openOrders": Cost(weight=40),
        "GET /fapi/v1/allOrders": Cost(weight=5),
        "GET /fapi/v1/userTrades": Cost(weight=5),
        "GET /fapi/v3/account": Cost(weight=5),
        "GET /fapi/v3/balance": Cost(weight=5),
        "GET /fapi/v3/positionRisk": Cost(weight=5),
        "GET /fapi/v1/exchangeInfo": Cost(weight=1),
        "GET /fapi/v1/depth": Cost(weight=20),
        "POST /fapi/v1/listenKey": Cost(weight=1),
        "PUT /fapi/v1/listenKey": Cost(weight=1),
    },
)

BINANCE_COINM: Final = VenueLimits(
    venue="binancecoinm",
    source="Binance, derivatives/coin-margined-futures General Info, 2026-11",
    budgets=(_weight(2400), _orders(1200, MINUTE_NS, "1M")),
    rules=_BINANCE_RULES,
    costs={
        "POST /dapi/v1/order": Cost(weight=0, orders=1),
        "PUT /dapi/v1/order": Cost(weight=1, orders=1),
        "DELETE /dapi/v1/order": Cost(weight=1),
        "DELETE /dapi/v1/allOpenOrders": Cost(weight=1),
        "GET /dapi/v1/order": Cost(weight=1),
        "GET /dapi/v1/openOrders": Cost(weight=40),
        "GET /dapi/v1/allOrders": Cost(weight=20),
        "GET /dapi/v1/userTrades": Cost(weight=20),
        "GET /dapi/v1/account": Cost(weight=5),
        "GET /dapi/v1/balance": Cost(weight=1),
        "GET /dapi/v1/positionRisk": Cost(weight=1),
        "GET /dapi/v1/exchangeInfo": Cost(weight=1),
        "GET /dapi/v1/depth": Cost(weight=20),
        "POST /dapi/v1/listenKey": Cost(weight=1),
        "PUT /dapi/v1/listenKey": Cost(weight=1),
    },
)

_OKX_S2: Final = 2 * SECOND_NS


def _okx(name: str, limit: int, *endpoints: str, keyed: Keyed = Keyed.TOGETHER, scope: Scope = Scope.ACCOUNT) -> Budget:
    return Budget(
        name=name,
        scope=scope,
        unit=Unit.CALLS,
        limit=limit,
        window_ns=_OKX_S2,
        endpoints=endpoints,
        keyed=keyed,
        shares=ALONE,
    )


OKX: Final = VenueLimits(
    venue="okx",
    source="OKX, docs-v5 Rate Limits, 2026-11",
    budgets=(
        # Place, cancel and amend are counted apart, each by user and instrument.
        _okx(
            "order",
            60,
            "POST /api/v5/trade/order",
            "POST /api/v5/trade/cancel-order",
            "POST /api/v5/trade/amend-order",
            keyed=Keyed.INSTRUMENT,
        ),
        _okx(
            "batch",
            300,
            "POST /api/v5/trade/batch-orders",
            "POST /api/v5/trade/cancel-batch-orders",
            "POST /api/v5/trade/amend-batch-orders",
            keyed=Keyed.INSTRUMENT,
        ),
        Budget(  # new and amended orders only; more is 50061
            name="sub_account",
            scope=Scope.ACCOUNT,
            unit=Unit.ORDERS,
            limit=1000,
            window_ns=_OKX_S2,
            shares=ORDERS_ONLY,
        ),
        _okx("order_query", 60, "GET /api/v5/trade/order", keyed=Keyed.INSTRUMENT),
        _okx("orders_query", 60, "GET /api/v5/trade/orders-pending", "GET /api/v5/trade/fills", keyed=Keyed.ENDPOINT),
        _okx("orders_history", 40, "GET /api/v5/trade/orders-history"),
        _okx("account", 10, "GET /api/v5/account/*", keyed=Keyed.ENDPOINT),
        _okx("books", 40, "GET /api/v5/market/books", scope=Scope.IP),
        _okx("public", 10, "GET /api/v5/public/*", keyed=Keyed.ENDPOINT, scope=Scope.IP),
        _okx("rubik", 5, "GET /api/v5/rubik/*", keyed=Keyed.ENDPOINT, scope=Scope.IP),
    ),
    rules=(_limited(Reach.ENDPOINT, 2, 60), _banned(403, 300), _banned(418, 120), _AUTH),
    costs={
        "POST /api/v5/trade/order": Cost(orders=1),
        "POST /api/v5/trade/amend-order": Cost(orders=1),
        "POST /api/v5/trade/batch-orders": Cost(orders=20),
        "POST /api/v5/trade/amend-batch-orders": Cost(orders=20),
    },
)


def _bybit(name: str, limit: int, *endpoints: str) -> Budget:
    return Budget(
        name=name,
        scope=Scope.ACCOUNT,
        unit=Unit.CALLS,
        limit=limit,
        window_ns=SECOND_NS,
        endpoints=endpoints,
        keyed=Keyed.ENDPOINT,
        limit_header="X-Bapi-Limit",
        left_header="X-Bapi-Limit-Status",
        shares=ALONE,
    )


BYBIT: Final = VenueLimits(
    venue="bybit",
    source="Bybit, docs/v5/rate-limit, 2026-11",
    budgets=(
        Budget(name="address", scope=Scope.IP, unit=Unit.CALLS, limit=600, window_ns=5 * SECOND_NS),
        _bybit(
            "trade",
            10,  # futures; spot has 20
            "POST /v5/order/create",
            "POST /v5/order/amend",
            "POST /v5/order/cancel",
            "POST /v5/order/cancel-all",
            "POST /v5/order/create-batch",
            "POST /v5/order/amend-batch",
            "POST /v5/order/cancel-batch",
        ),
        _bybit(
            "query",
            50,
            "GET /v5/order/realtime",
            "GET /v5/order/history",
            "GET /v5/execution/list",
            "GET /v5/position/list",
            "GET /v5/account/wallet-balance",
        ),
    ),
    rules=(_limited(Reach.ENDPOINT, 1, 30), _banned(403, 600), _AUTH),
    costs={
        "POST /v5/order/create": Cost(orders=1),
        "POST /v5/order/amend": Cost(orders=1),
        "POST /v5/order/create-batch": Cost(orders=20),
    },
)

_GATE_LEFT: Final = "X-Gate-RateLimit-Requests-Remain"
_GATE_LIMIT: Final = "X-Gate-RateLimit-Limit"

GATEIO: Final = VenueLimits(
    venue="gateio",
    source="Gate.io, API v4 rate limits of 2024-01, 2026-11; 300 calls in 10 s are the desk's own",
    budgets=(
        Budget(name="calls", scope=Scope.IP, unit=Unit.CALLS, limit=300, window_ns=10 * SECOND_NS),
        Budget(
            name="place",
            scope=Scope.ACCOUNT,
            unit=Unit.CALLS,
            limit=10,
            window_ns=SECOND_NS,
            endpoints=("POST /spot/orders", "POST /spot/batch_orders", "PATCH /spot/orders/*"),
            keyed=Keyed.INSTRUMENT,
            limit_header=_GATE_LIMIT,
            left_header=_GATE_LEFT,
            shares=ALONE,
        ),
        Budget(
            name="futures_place",
            scope=Scope.ACCOUNT,
            unit=Unit.CALLS,
            limit=100,
            window_ns=SECOND_NS,
            endpoints=("POST /futures/*", "PUT /futures/*"),
            shares=ALONE,
        ),
        Budget(
            name="cancel",
            scope=Scope.ACCOUNT,
            unit=Unit.CALLS,
            limit=200,
            window_ns=SECOND_NS,
            endpoints=("DELETE /spot/*", "DELETE /futures/*"),
            shares=ALONE,
        ),
        Budget(
            name="read",
            scope=Scope.ACCOUNT,
            unit=Unit.CALLS,
            limit=200,
            window_ns=10 * SECOND_NS,
            endpoints=("GET *",),
            keyed=Keyed.ENDPOINT,
            limit_header=_GATE_LIMIT,
            left_header=_GATE_LEFT,
            shares=ALONE,
        ),
    ),
    rules=(_limited(Reach.ENDPOINT, 2, 60), _banned(403, 300), _AUTH),
    costs={"POST /spot/orders": Cost(orders=1), "POST /futures/usdt/orders": Cost(orders=1)},
)

MEXC: Final = VenueLimits(
    venue="mexc",
    source="MEXC, spot-v3 Limits, 2026-11",
    budgets=(
        # Each endpoint has a window of its own for the address, and one for the account.
        Budget(
            name="weight",
            scope=Scope.IP,
            unit=Unit.WEIGHT,
            limit=500,
            window_ns=10 * SECOND_NS,
            keyed=Keyed.ENDPOINT,
            shares=ALONE,
        ),
        Budget(  # what the venue allows changes with the account; five in a second it always allowed
            name="orders",
            scope=Scope.ACCOUNT,
            unit=Unit.ORDERS,
            limit=5,
            window_ns=SECOND_NS,
            shares=ORDERS_ONLY,
        ),
    ),
    rules=(_limited(Reach.ENDPOINT, 2, 60), _banned(403, 300), _AUTH),
    costs={
        "POST /api/v3/order": Cost(weight=1, orders=1),
        "GET /api/v3/order": Cost(weight=2),
        "GET /api/v3/openOrders": Cost(weight=3),
        "GET /api/v3/account": Cost(weight=10),
        "GET /api/v3/myTrades": Cost(weight=10),
    },
)

LIMITS: Final[dict[str, VenueLimits]] = {
    limits.venue: limits for limits in (BINANCE, BINANCE_USDM, BINANCE_COINM, OKX, BYBIT, GATEIO, MEXC)
}


def limits_of(venue: str) -> VenueLimits:
    """The table of ``venue``; one without a table may ask 5 times a second, whatever it asks."""
    found = LIMITS.get(venue)
    if found is not None:
        return found
    return VenueLimits(
        venue=venue,
        source="no document of this venue was read: a careful guess",
        budgets=(Budget(name="calls", scope=Scope.IP, unit=Unit.CALLS, limit=50, window_ns=10 * SECOND_NS),),
        rules=(_limited(Reach.VENUE, 10, 600), _banned(418, 120), _banned(403, 300), _AUTH),
    )
