"""Nothing that moves funds can be sent: the venues' own lists of such requests, and all that ccxt knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ccxt
import pytest

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.bybit.instruments import BYBIT
from adapters.ccxt_orders.venues import VENUES as CCXT_ORDERS
from adapters.ccxt_venues.instruments import GATEIO, MEXC
from adapters.okx.instruments import OKX
from adapters.orders.binance import REAL
from adapters.orders.bybit import REAL as BYBIT_REAL
from adapters.orders.okx import REAL as OKX_REAL
from adapters.orders.sanitiser import ALLOWED, ALLOWED_OPS, ForbiddenRequestError, check, check_frame
from adapters.orders.wire import OrderEndpoints, SignedRequest

ENDPOINTS: dict[str, OrderEndpoints] = {
    **REAL,
    OKX: OKX_REAL,
    BYBIT: BYBIT_REAL,
    **{venue: known.real for venue, known in CCXT_ORDERS.items()},
}

# What the venues document for taking funds out or moving them (developers.binance.com wallet, sub-account and
# margin; okx.com/docs-v5 "Funding Account", "Sub-account"; bybit-exchange.github.io/docs/v5 "Asset", 2026-11).
MOVING = {
    SPOT: [
        ("POST", "/sapi/v1/capital/withdraw/apply"),
        ("POST", "/sapi/v1/localentity/withdraw/apply"),
        ("POST", "/sapi/v1/asset/transfer"),
        ("POST", "/sapi/v1/asset/dust"),
        ("POST", "/sapi/v1/asset/get-funding-asset"),
        ("POST", "/sapi/v1/futures/transfer"),
        ("POST", "/sapi/v1/margin/transfer"),
        ("POST", "/sapi/v1/margin/borrow-repay"),
        ("POST", "/sapi/v1/margin/isolated/transfer"),
        ("POST", "/sapi/v1/sub-account/universalTransfer"),
        ("POST", "/sapi/v1/sub-account/transfer/subToSub"),
        ("POST", "/sapi/v1/sub-account/transfer/subToMaster"),
        ("POST", "/sapi/v1/sub-account/futures/transfer"),
        ("POST", "/sapi/v1/sub-account/margin/transfer"),
        ("POST", "/sapi/v1/sub-account/virtualSubAccount"),
        ("POST", "/sapi/v1/broker/transfer"),
        ("POST", "/sapi/v1/convert/acceptQuote"),
        ("POST", "/sapi/v1/simple-earn/flexible/subscribe"),
        ("POST", "/sapi/v1/giftcard/createCode"),
        ("POST", "/sapi/v1/account/enableFastWithdrawSwitch"),
        ("POST", "/wapi/v3/withdraw.html"),
    ],
    USDM: [
        ("POST", "/sapi/v1/futures/transfer"),
        ("POST", "/sapi/v1/capital/withdraw/apply"),
        ("POST", "/fapi/v1/positionMargin"),
        ("POST", "/fapi/v1/leverage"),
        ("POST", "/fapi/v1/marginType"),
        ("POST", "/fapi/v1/positionSide/dual"),
        ("POST", "/fapi/v1/multiAssetsMargin"),
        ("POST", "/fapi/v1/convert/acceptQuote"),
        ("DELETE", "/fapi/v1/listenKey"),
    ],
    COINM: [
        ("POST", "/dapi/v1/positionMargin"),
        ("POST", "/sapi/v1/futures/transfer"),
        ("DELETE", "/dapi/v1/listenKey"),
    ],
    OKX: [
        ("POST", "/api/v5/asset/withdrawal"),
        ("POST", "/api/v5/asset/withdrawal-lightning"),
        ("POST", "/api/v5/asset/cancel-withdrawal"),
        ("POST", "/api/v5/asset/transfer"),
        ("POST", "/api/v5/asset/convert-dust-assets"),
        ("POST", "/api/v5/asset/convert/trade"),
        ("POST", "/api/v5/asset/subaccount/transfer"),
        ("POST", "/api/v5/users/subaccount/set-transfer-out"),
        ("POST", "/api/v5/users/subaccount/modify-apikey"),
        ("POST", "/api/v5/users/subaccount/create-subaccount"),
        ("POST", "/api/v5/finance/savings/purchase-redempt"),
        ("POST", "/api/v5/account/position/margin-balance"),
        ("POST", "/api/v5/account/spot-manual-borrow-repay"),
        ("POST", "/api/v5/account/set-leverage"),
        ("POST", "/api/v5/account/set-position-mode"),
        ("POST", "/api/v5/trade/easy-convert"),
        ("POST", "/api/v5/rfq/execute-quote"),
    ],
    BYBIT: [
        ("POST", "/v5/asset/withdraw/create"),
        ("POST", "/v5/asset/withdraw/cancel"),
        ("POST", "/v5/asset/transfer/inter-transfer"),
        ("POST", "/v5/asset/transfer/universal-transfer"),
        ("POST", "/v5/asset/transfer/save-transfer-sub-member"),
        ("POST", "/v5/asset/exchange/convert-execute"),
        ("POST", "/v5/user/create-sub-member"),
        ("POST", "/v5/user/create-sub-api"),
        ("POST", "/v5/user/update-api"),
        ("POST", "/v5/user/delete-api"),
        ("POST", "/v5/account/set-margin-mode"),
        ("POST", "/v5/account/quick-repayment"),
        ("POST", "/v5/account/borrow"),
        ("POST", "/v5/position/add-margin"),
        ("POST", "/v5/position/set-leverage"),
        ("POST", "/v5/lending/purchase"),
        ("POST", "/v5/earn/place-order"),
    ],
    GATEIO: [
        ("POST", "/api/v4/withdrawals"),
        ("POST", "/api/v4/withdrawals/push"),
        ("DELETE", "/api/v4/withdrawals/210496"),
        ("POST", "/api/v4/wallet/transfers"),
        ("POST", "/api/v4/wallet/sub_account_transfers"),
        ("POST", "/api/v4/wallet/sub_account_to_sub_account"),
        ("POST", "/api/v4/wallet/small_balance"),
        ("POST", "/api/v4/margin/uni/loans"),
        ("POST", "/api/v4/unified/loans"),
        ("PUT", "/api/v4/unified/unified_mode"),
        ("POST", "/api/v4/sub_accounts/1/keys"),
        ("POST", "/api/v4/earn/uni/lends"),
        ("POST", "/api/v4/flash_swap/orders"),
        ("POST", "/api/v4/spot/cross_liquidate_orders"),
        ("DELETE", "/api/v4/spot/orders/../withdrawals"),
        ("DELETE", "/api/v4/spot/orders/%2e%2e"),
        ("GET", "/api/v4/spot/orders/{id}"),
        ("POST", "/api/v4/spot/orders/1"),
    ],
    MEXC: [
        ("POST", "/api/v3/capital/withdraw"),
        ("POST", "/api/v3/capital/withdraw/apply"),
        ("DELETE", "/api/v3/capital/withdraw"),
        ("POST", "/api/v3/capital/transfer"),
        ("POST", "/api/v3/capital/transfer/internal"),
        ("POST", "/api/v3/capital/convert"),
        ("POST", "/api/v3/capital/sub-account/universalTransfer"),
        ("POST", "/api/v3/sub-account/apiKey"),
        ("POST", "/api/v3/margin/loan"),
        ("POST", "/api/v3/batchOrders"),
    ],
}


def request(venue: str, method: str, path: str, base: str = "") -> SignedRequest:
    url = f"{base or ENDPOINTS[venue].rest}{path}"
    return SignedRequest(method=method, url=f"{url}?symbol=X&signature=0", path=path, headers={})


@pytest.mark.parametrize(("venue", "method", "path"), [(v, m, p) for v, rows in MOVING.items() for m, p in rows])
def test_a_request_that_moves_funds_is_raised_before_any_socket(venue: str, method: str, path: str) -> None:
    for base in filter(None, (ENDPOINTS[venue].rest, ENDPOINTS[venue].wallet)):
        with pytest.raises(ForbiddenRequestError, match="was not sent"):
            check(venue, ENDPOINTS[venue], request(venue, method, path, base))


def test_what_is_allowed_passes_and_only_to_the_venues_own_host() -> None:
    for venue, allowed in ALLOWED.items():
        for method, path in allowed:
            path = path.replace("{id}", "t-pd1-b-1")  # noqa: PLW2901 - the id of one order
            check(venue, ENDPOINTS[venue], request(venue, method, path))
            for elsewhere in ("https://evil.example", "http://127.0.0.1:80", "https://api.binance.com@evil.example"):
                with pytest.raises(ForbiddenRequestError):
                    check(venue, ENDPOINTS[venue], request(venue, method, path, elsewhere))


@pytest.mark.parametrize(
    "path",
    [
        "/api/v3/order/../../../sapi/v1/capital/withdraw/apply",
        "/api/v3//order",
        "/api/v3/order/",
        "/api/v3/%6frder",
        "/API/V3/ORDER",
        "/api/v3/order;x",
        "",
    ],
)
def test_a_path_that_only_looks_allowed_is_not(path: str) -> None:
    with pytest.raises(ForbiddenRequestError):
        check(SPOT, ENDPOINTS[SPOT], request(SPOT, "POST", path))


def test_a_method_a_venue_or_a_path_that_differs_from_the_url_is_not_allowed() -> None:
    for bad in (
        request(SPOT, "PATCH", "/api/v3/order"),
        request(SPOT, "POST", "/api/v3/account"),
        SignedRequest(
            method="POST", url="https://api.binance.com/sapi/v1/asset/transfer", path="/api/v3/order", headers={}
        ),
    ):
        with pytest.raises(ForbiddenRequestError):
            check(SPOT, ENDPOINTS[SPOT], bad)
    with pytest.raises(ForbiddenRequestError):
        check("nowhere", ENDPOINTS[SPOT], request(SPOT, "POST", "/api/v3/order"))


# Operations of the same WebSockets that are not orders', in the venues' words (2026-11), and some that nobody has.
FOREIGN_OPS = (
    "withdraw",
    "asset.withdraw",
    "account.transfer",
    "sub-account-transfer",
    "order.place.withdraw",
    "sor.order.place",
    "orderList.place.oco",
    "mass-cancel",
    "sprd-order",
    "order-algo",
    "session.logon",
    "account.status",
    "userDataStream.start",
    "ORDER.PLACE",
    "order.place ",
    "",
)


def entry_url(venue: str) -> str:
    return f"{ENDPOINTS[venue].entry or ENDPOINTS[venue].ws}{ALLOWED_OPS[venue][0]}"


@pytest.mark.parametrize("venue", sorted(ALLOWED_OPS))
def test_a_frame_of_another_operation_is_raised_before_any_socket(venue: str) -> None:
    url, endpoints, (_, ops) = entry_url(venue), ENDPOINTS[venue], ALLOWED_OPS[venue]
    name = "method" if venue in {SPOT, USDM, COINM} else "op"
    for op in ops:
        check_frame(venue, endpoints, url, f'{{"id":"1","{name}":"{op}"}}'.encode())
    others = {op for other, (_, listed) in ALLOWED_OPS.items() if other != venue for op in listed} - ops
    for op in (*FOREIGN_OPS, *others):
        with pytest.raises(ForbiddenRequestError, match="was not sent"):
            check_frame(venue, endpoints, url, f'{{"id":"1","{name}":"{op}"}}'.encode())


@pytest.mark.parametrize("venue", sorted(ALLOWED_OPS))
def test_an_order_frame_goes_to_the_venues_own_address_and_names_one_operation(venue: str) -> None:
    endpoints, (path, ops) = ENDPOINTS[venue], ALLOWED_OPS[venue]
    url, op = entry_url(venue), max(ops)
    name = "method" if venue in {SPOT, USDM, COINM} else "op"
    good = f'{{"{name}":"{op}"}}'.encode()
    for elsewhere in (
        f"wss://evil.example{path}",
        f"ws://127.0.0.1:80{path}",
        url.replace("wss://", "wss://evil.example@"),
        f"{url}/",
        f"{url}?x=1",
        f"{url}/../withdraw",
    ):
        with pytest.raises(ForbiddenRequestError):
            check_frame(venue, endpoints, elsewhere, good)
    for frame in (
        b"",
        b"null",
        b"[]",
        b"{}",
        good[:-1],
        f'{{"op":"{op}","method":"{op}"}}'.encode(),
        b'{"op":["order"]}',
    ):
        with pytest.raises(ForbiddenRequestError):
            check_frame(venue, endpoints, url, frame)
    with pytest.raises(ForbiddenRequestError):
        check_frame("nowhere", endpoints, url, good)


def test_no_operation_on_a_list_is_of_funds() -> None:
    assert not [op for _, ops in ALLOWED_OPS.values() for op in ops if any(word in op for word in WORDS)]


def paths_of_ccxt(name: str, prefixes: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every request that ccxt knows of a venue, as method and path."""
    api: dict[str, Any] = getattr(ccxt, name)().api
    for section, methods in api.items():
        for method, paths in methods.items():
            if not isinstance(paths, dict | list):
                continue
            for path in paths:
                yield method.upper(), f"{prefixes.get(section, '/' + section)}/{path}".replace("//", "/")


WORDS = ("withdraw", "transfer", "sub-account", "subaccount", "sub-member", "broker", "convert", "loan", "borrow",
         "repay", "earn", "staking", "savings", "leverage", "margin", "apikey", "api-key", "dust")  # fmt: skip


def test_no_such_request_of_all_that_ccxt_knows_is_on_a_list() -> None:
    binance = {
        "sapi": "/sapi/v1", "sapiV2": "/sapi/v2", "sapiV3": "/sapi/v3", "sapiV4": "/sapi/v4", "private": "/api/v3",
        "public": "/api/v3", "fapiPrivate": "/fapi/v1", "fapiPrivateV2": "/fapi/v2", "fapiPrivateV3": "/fapi/v3",
        "fapiPublic": "/fapi/v1", "dapiPrivate": "/dapi/v1", "dapiPrivateV2": "/dapi/v2", "dapiPublic": "/dapi/v1",
    }  # fmt: skip
    okx = {"private": "/api/v5", "public": "/api/v5"}
    bybit = {"private": "", "public": ""}
    counted = 0
    for name, prefixes, venues in (
        ("binance", binance, (SPOT, USDM, COINM)),
        ("okx", okx, (OKX,)),
        ("bybit", bybit, (BYBIT,)),
    ):
        for method, path in paths_of_ccxt(name, prefixes):
            counted += 1
            for venue in venues:
                if (method, path) in ALLOWED[venue]:
                    # leverage-info is a question; nothing else of these words may be asked.
                    bad = [word for word in WORDS if word in path.lower() and path != "/api/v5/account/leverage-info"]
                    assert not bad, (venue, method, path)
                    continue
                with pytest.raises(ForbiddenRequestError):
                    check(venue, ENDPOINTS[venue], request(venue, method, path))
    assert counted > 1_000
