"""The keys of market context: where its figures come from, how long they are good, how often they are fetched.

The section ``context`` of the configuration, and the variables that the specification names for each of its keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

CONTEXT_VARIABLES: Final = {
    "CONTEXT_ENABLE": "enable",
    "CONTEXT_CACHE_TTL_SEC": "cache_ttl_sec",
    "CONTEXT_HTTP_TIMEOUT_SEC": "http_timeout_sec",
    "CONTEXT_BTC_DOMINANCE_URL": "btc_dominance_url",
    "CONTEXT_FEAR_GREED_URL": "fear_greed_url",
    "CONTEXT_DXY_URL": "dxy_url",
    "RATE_LIMIT_MARKET_CONTEXT_PER_HOUR": "calls_per_hour",
}
"""Environment variable to key of `ContextConfig`."""

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def _reachable(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if (
        not parts.hostname
        or parts.username
        or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK))
    ):
        raise ValueError("a source is an https URL without credentials, or an http URL of this host")
    return url


def _float(value: object) -> object:
    """The configuration file's numbers are decimals."""
    return float(value) if isinstance(value, Decimal) else value


Url = Annotated[str, Field(max_length=500), AfterValidator(_reachable)]


class ContextConfig(BaseModel):
    """Market context: off unless it is switched on. A source with an empty URL is not asked."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    enable: bool = False
    cache_ttl_sec: Annotated[int, Field(ge=1, le=86_400)] = 300
    http_timeout_sec: Annotated[float, BeforeValidator(_float), Field(gt=0, le=30, allow_inf_nan=False)] = 2.0
    btc_dominance_url: Url = "https://api.coingecko.com/api/v3/global"
    fear_greed_url: Url = "https://api.alternative.me/fng/?limit=1"
    dxy_url: Url = ""
    calls_per_hour: Annotated[int, Field(ge=1, le=10_000)] = 100


def context_config(env: Mapping[str, str]) -> ContextConfig:
    """The section as the specification's variables state it; ``ValueError`` names what is wrong."""
    stated = {key: env[variable] for variable, key in CONTEXT_VARIABLES.items() if variable in env}
    return ContextConfig.model_validate(stated, strict=False)
