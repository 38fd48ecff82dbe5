"""Who may trade on a simulated account, and whether a signature is theirs: each venue's way of signing.

Pure. "Request security", binance-spot-api-docs/rest-api.md; "REST Authentication" and "Login", okx.com/docs-v5;
"Authentication", bybit-exchange.github.io/docs/v5/guide (all read 2026-11).
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """One API key. The passphrase is OKX's. These are keys of loopback servers: they open nothing else."""

    api_key: str = "paper-key"
    secret: str = "paper-secret"  # noqa: S105 - of a loopback server
    passphrase: str = "paper-pass"  # noqa: S105

    def hex_digest(self, text: str) -> str:
        """HMAC-SHA256 in hex: Binance, Bybit."""
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def base64_digest(self, text: str) -> str:
        """HMAC-SHA256 in base64: OKX."""
        return base64.b64encode(hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


def same(one: str, other: str) -> bool:
    """Whether two signatures are equal, in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


def signed_part(text: str) -> tuple[str, str]:
    """Parameters without their ``signature``, wherever it stands, and the signature; "" where there is none."""
    kept, signature = [], ""
    for part in text.split("&"):
        if part.startswith("signature="):
            signature = part[10:]
        elif part:
            kept.append(part)
    return "&".join(kept), signature
