"""One exchange object of ccxt without a socket: its methods write a request, and read the answer that others fetched.

Owns ccxt's import on the way of orders and which of its methods may be called. A call is made twice. The first time
stops where the request would be signed, the second time goes on with the venue's answer; in between signs and sends
whoever holds the venue's clock, limits and list of allowed requests (`adapters.orders.exchange`). ccxt itself can
neither sign with a key that it keeps nor send: it has no session, and its ``fetch`` raises.
"""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import msgspec

from adapters.ccxt_orders.venues import CcxtOrderVenue
from adapters.ccxt_venues.exchange import pointed
from adapters.ccxt_venues.spec import CcxtSpec
from adapters.orders.reading import BadReply
from adapters.orders.sanitiser import ForbiddenRequestError
from adapters.orders.wire import Credentials, HttpAnswer, SignedRequest
from trading.instruments import Instrument


class Method(Enum):
    """What ccxt may be asked for, and nothing else."""

    PLACE = "create_order"
    CANCEL = "cancel_order"
    CANCEL_ALL = "cancel_all_orders"
    QUERY = "fetch_order"
    OPENS = "fetch_open_orders"
    TRADES = "fetch_my_trades"
    BALANCE = "fetch_balance"
    TIME = "fetch_time"
    KEYS = "privateAccountGetMainKeys"
    TIMER = "privateSpotPostCountdownCancelAll"


class Call(msgspec.Struct, frozen=True):
    """A method of ccxt and what it is given."""

    method: Method
    args: tuple[Any, ...] = ()
    params: Mapping[str, Any] = {}


class Unsigned(msgspec.Struct, frozen=True):
    """What ccxt would sign and fetch: its path with the names of what goes into it, whose part of the API it is."""

    path: str
    api: tuple[str, ...]
    method: str
    params: Mapping[str, Any]

    @property
    def private(self) -> bool:
        """Whether it is signed."""
        return "private" in self.api


class _WrittenError(Exception):
    """ccxt came to the point where it would send."""

    def __init__(self, unsigned: Unsigned) -> None:
        super().__init__(unsigned.path)
        self.unsigned = unsigned


class SansIo:
    """ccxt's words for one venue."""

    def __init__(self, known: CcxtOrderVenue, instruments: Sequence[Instrument], rest: str) -> None:
        """``rest`` is scheme and host of what is asked. Imports ccxt, which takes a second and 60 MB."""
        self.known = known
        self.symbols = {one.instrument_id: f"{one.base}/{one.quote}" for one in instruments}
        module = importlib.import_module("ccxt")
        self.errors: Any = module
        exchange: Any = getattr(module, known.exchange)({"enableRateLimit": False, "options": dict(known.options)})
        exchange.session.close()
        exchange.session = None
        exchange.urls["api"] = pointed(exchange.urls["api"], CcxtSpec(rest=rest))
        exchange.number = str  # amounts stay the venue's own texts
        exchange.fetch = self._never
        exchange.set_markets([_market(one) for one in instruments])
        self._exchange = exchange

    # --- Out -------------------------------------------------------------------------------------------

    def written(self, call: Call) -> Unsigned:
        """The request of a call; ``ValueError`` when ccxt will not make one of it."""

        def write(
            path: str,
            api: Any = "public",
            method: str = "GET",
            params: Mapping[str, Any] | None = None,
            *_rest: Any,
            **_more: Any,
        ) -> None:
            parts = (api,) if isinstance(api, str) else tuple(api)
            raise _WrittenError(Unsigned(path, parts, method, dict(params or {})))

        try:
            self._called(call, write)
        except _WrittenError as stopped:
            return stopped.unsigned
        except self.errors.BaseError as trouble:
            raise ValueError(f"{call.method.value}: {trouble}"[:200]) from None
        raise ValueError(f"{call.method.value}: ccxt asked for nothing")

    def signed(self, unsigned: Unsigned, credentials: Credentials, ts_ms: int, window_ms: int) -> SignedRequest:
        """With time stamp and signature, as ccxt makes them."""
        exchange = self._exchange
        exchange.apiKey, exchange.secret, exchange.password = (
            credentials.api_key,
            credentials.secret,
            credentials.passphrase,
        )
        exchange.milliseconds = lambda: ts_ms
        exchange.options["recvWindow"] = window_ms
        try:
            made = exchange.sign(
                unsigned.path, list(unsigned.api), unsigned.method, copy.deepcopy(dict(unsigned.params)), None, None
            )
        finally:
            exchange.apiKey = exchange.secret = exchange.password = ""
        url = str(made["url"])
        return SignedRequest(
            method=str(made["method"]),
            url=url,
            path=urlsplit(url).path,
            headers={str(name): str(value) for name, value in (made["headers"] or {}).items()},
            body=(made["body"] or "").encode(),
        )

    # --- In --------------------------------------------------------------------------------------------

    def read(self, call: Call, answer: HttpAnswer) -> Any:
        """What an answer to a call says, in ccxt's structures; raises what ccxt raises, or `BadReply`."""
        served = 0

        def serve(_path: str, _api: Any = "", method: str = "GET", *_rest: Any, **_more: Any) -> Any:
            nonlocal served
            served += 1
            if served > 1:
                raise BadReply(f"{call.method.value}: ccxt wants a second answer")
            return self._parsed(method, answer)

        try:
            return self._called(call, serve)
        except (TypeError, KeyError, AttributeError, IndexError, ArithmeticError) as trouble:
            # ccxt's parsers believe what they are given.
            raise BadReply(f"{call.method.value}: {trouble!r}"[:200]) from None

    def _parsed(self, method: str, answer: HttpAnswer) -> Any:
        exchange, text = self._exchange, answer.body.decode("utf-8", "replace").strip()
        try:
            parsed = json.loads(text, parse_float=str)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict | list):
            parsed = None
        exchange.handle_errors(answer.status, "", "", method, dict(answer.headers), text, parsed, {}, None)
        if answer.status >= 400:
            exchange.handle_http_status_code(answer.status, "", "", method, text[:200])
            raise self.errors.ExchangeError(f"HTTP {answer.status} {text[:200]}")
        if parsed is None:
            raise BadReply(f"not JSON: {text[:80]!r}")
        return parsed

    # --- ccxt ------------------------------------------------------------------------------------------

    def _called(self, call: Call, fetch2: Callable[..., Any]) -> Any:
        exchange = self._exchange
        if not isinstance(call.method, Method):
            raise ForbiddenRequestError(self.known.venue, "ccxt", str(call.method)[:60])
        exchange.fetch2 = fetch2
        try:
            return getattr(exchange, call.method.value)(*call.args, dict(call.params))
        finally:
            exchange.fetch2 = self._never

    def _never(self, path: str = "", *_rest: Any, **_more: Any) -> Any:
        raise ForbiddenRequestError(self.known.venue, "ccxt", str(path)[:60])


def _market(one: Instrument) -> dict[str, Any]:
    """The market structure of an instrument, from the desk's own table: market data compare its grid."""
    return {
        "id": one.symbol,
        "symbol": f"{one.base}/{one.quote}",
        "base": one.base,
        "quote": one.quote,
        "baseId": one.base,
        "quoteId": one.quote,
        "settle": None,
        "type": "spot",
        "spot": True,
        "margin": False,
        "swap": False,
        "future": False,
        "option": False,
        "contract": False,
        "active": True,
        "precision": {"amount": str(one.lot_size), "price": str(one.tick_size)},
        "limits": {"amount": {}, "price": {}, "cost": {}},
        "info": {},
    }
