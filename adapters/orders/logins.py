"""The login of a private WebSocket, the same for the stream of an account and for the entry of its orders.

okx.com/docs-v5 "WebSocket / Login"; bybit-exchange.github.io/docs/v5/ws/connect "Authentication" (read 2026-11).
"""

from __future__ import annotations

from typing import Final

import msgspec

from adapters.orders.digests import hmac_base64, hmac_hex
from adapters.orders.wire import Credentials

_GOOD_FOR_MS: Final = 10_000


def okx_login(credentials: Credentials, ts_ms: int) -> bytes:
    """Seconds, method and path of the login, signed."""
    stamp = str(ts_ms // 1_000)
    proof = {
        "apiKey": credentials.api_key,
        "passphrase": credentials.passphrase,
        "timestamp": stamp,
        "sign": hmac_base64(credentials.secret, f"{stamp}GET/users/self/verify"),
    }
    return msgspec.json.encode({"op": "login", "args": [proof]})


def bybit_login(credentials: Credentials, ts_ms: int) -> bytes:
    """``GET/realtime`` and when it ends to be good, signed."""
    expires = ts_ms + _GOOD_FOR_MS
    signature = hmac_hex(credentials.secret, f"GET/realtime{expires}")
    return msgspec.json.encode({"op": "auth", "args": [credentials.api_key, expires, signature]})
