"""HMAC SHA256 in the two spellings that venues sign with."""

from __future__ import annotations

import base64
import hashlib
import hmac


def hmac_hex(secret: str, text: str) -> str:
    """As lower-case hex (Binance, Bybit)."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def hmac_base64(secret: str, text: str) -> str:
    """As base64 (OKX)."""
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
