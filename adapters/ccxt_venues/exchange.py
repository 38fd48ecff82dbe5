"""One exchange object of ccxt: made, pointed at a host, taught the few markets that are followed, thrown away.

Owns ccxt's import and what of its configuration is touched. It is imported when the first venue needs it, in a thread:
it costs 60 MB and a second. Markets are loaded in a thread too, by ccxt's synchronous class: thousands of them are
parsed at a venue, which would stop the cell's loop. No key is ever given to it, and it signs nothing.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from adapters.ccxt_venues.instruments import VENUES
from adapters.ccxt_venues.spec import CcxtSpec

_CLOSE_S = 3
_REPLY_MS = 10_000


async def open_exchange(venue: str, terms: CcxtSpec) -> Any:
    """The venue's streaming object of ccxt, without markets."""
    pro = await asyncio.to_thread(importlib.import_module, "ccxt.pro")
    return _made(pro, venue, terms)


async def load_markets(venue: str, terms: CcxtSpec, symbols: Collection[str]) -> list[dict[str, Any]]:
    """Market structures of those of ccxt's ``symbols`` that the venue lists now; raises what ccxt raises."""
    return await asyncio.to_thread(_load, venue, terms, symbols)


async def close_exchange(exchange: Any) -> str:
    """Let go of sockets; why that did not work, empty when it did."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await exchange.close()
    except Exception as trouble:  # noqa: BLE001 - it is being thrown away
        return f"closing: {trouble!r}"[:200]
    return ""


def pointed(urls: Any, terms: CcxtSpec) -> Any:
    """``urls`` of ccxt, nested, with scheme and host of ``terms`` where it names some."""
    if isinstance(urls, Mapping):
        return {key: pointed(inner, terms) for key, inner in urls.items()}
    host = terms.ws if str(urls).startswith("ws") else terms.rest
    if not isinstance(urls, str) or not host:
        return urls
    old, new = urlsplit(urls), urlsplit(host)
    return urlunsplit((new.scheme, new.netloc, old.path, old.query, ""))


def _load(venue: str, terms: CcxtSpec, symbols: Collection[str]) -> list[dict[str, Any]]:
    exchange = _made(importlib.import_module("ccxt"), venue, terms)
    # Assets and their networks are another large reply, of which nothing is used.
    exchange.has["fetchCurrencies"] = False
    try:
        listed = exchange.load_markets()
        return [listed[name] for name in symbols if name in listed]
    finally:
        exchange.session.close()


def _made(module: Any, venue: str, terms: CcxtSpec) -> Any:
    known = VENUES[venue]
    options = {"enableRateLimit": True, "newUpdates": True, "timeout": _REPLY_MS, "options": dict(known.options)}
    exchange = getattr(module, known.exchange)(options)
    exchange.urls["api"] = pointed(exchange.urls["api"], terms)
    return exchange
