"""Loopback servers of the private REST of venues that ccxt speaks for: Gate.io v4 and MEXC v3, spot.

Owns one server's life: a standing market that whoever runs it sets, one account over it (`trading.account`), the same
faults as the other servers, HTTP. The venues' words are `gate_spot` and `mexc_spot`. There are no streams here: their
public market data are read from generators elsewhere, and private streams neither has through ccxt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from adapters.ccxt_venues.instruments import GATEIO
from adapters.clock import Clock
from adapters.simserver.dialect import RestRefused
from adapters.simserver.fault_plane import Faults
from adapters.simserver.feed import Market, MarketFeed
from adapters.simserver.gate_spot import GateSpot
from adapters.simserver.mexc_spot import MexcSpot
from adapters.simserver.rest_side import RestSide
from adapters.simserver.trading.account import AccountSpec, TradingAccount
from adapters.simserver.trading.wire import TradeHandler
from trading.instruments import Instrument
from trading.market.events import DepthSnapshot

ASKED_MAX = 10_000
Sides = tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]
"""Bids and asks as (price, quantity), best first."""


class StandingFeed(MarketFeed):
    """A market that stands still until it is set: no generator and no recording."""

    def __init__(self, venue: str, instruments: Sequence[Instrument]) -> None:
        self.synthetic = True
        self.venue = venue
        self.markets = {one.symbol: Market(one.symbol, one) for one in instruments}
        self.latent = None
        self._generators = {}
        self._recording = None
        self.frames = self.refused = 0
        self._updates = 0

    def set_book(self, key: str, sides: Sides, now_ns: int) -> None:
        """The whole book of one market; what rests of ours and is reached by it fills."""
        market = self.markets[key]
        self._updates += 1
        bids, asks = (
            [(market.instrument.ticks(price), market.instrument.lots(qty)) for price, qty in side] for side in sides
        )
        snapshot = DepthSnapshot(
            instrument_id=market.instrument.instrument_id,
            last_update_id=self._updates,
            bids=bids,
            asks=asks,
            ts_event_ns=now_ns,
            ts_recv_ns=now_ns,
        )
        market.on_snapshot(snapshot)


class SpotWords(Protocol):
    """One venue's private REST over one account."""

    def routes(self) -> Mapping[tuple[str, str], TradeHandler]:
        """By method and aiohttp's route pattern."""
        ...

    def refusal(self, status: int) -> bytes:
        """The body of an HTTP error."""
        ...

    def error(self) -> RestRefused:
        """A failure inside the venue."""
        ...

    def unknown_outcome(self) -> tuple[int, bytes]:
        """Status and body in which the venue says that it does not know what became of a request."""
        ...

    def take_hold_ms(self) -> int:
        """How long the answer of the request just served has to wait (ms)."""
        ...


class SpotServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which venue, and what can be traded there."""

    venue: str
    instruments: tuple[Instrument, ...]
    account: AccountSpec = AccountSpec()
    port: int = 0


class SpotServer:
    """Call from one loop: `start`, `close`."""

    def __init__(self, spec: SpotServerSpec, clock: Clock) -> None:
        self.spec = spec
        self.clock = clock
        self.faults = Faults(7, clock.mono_ns)
        self.feed = StandingFeed(spec.venue, spec.instruments)
        self.account = TradingAccount(spec.venue, self.feed, self.faults, clock.wall_ns, spec.account)
        self.words: SpotWords = GateSpot(self.account) if spec.venue == GATEIO else MexcSpot(self.account)
        self.down = False
        self.port = spec.port
        self.asked: list[str] = []
        self._rest = RestSide(self.words, self.words, self.faults, lambda: self.down)
        self._runner: web.AppRunner | None = None

    @property
    def base_http(self) -> str:
        """Scheme and host."""
        return f"http://127.0.0.1:{self.port}"

    def serve_in(self, app: web.Application) -> None:
        """Put the private paths into an application of somebody else's, which has the public ones."""
        for (method, path), handler in self.words.routes().items():
            app.router.add_route(method, path, self._rest.trade_route(path, handler))

    async def start(self) -> None:
        """Listen on loopback."""
        app = web.Application(middlewares=[self._remember])
        self.serve_in(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """End it."""
        if self._runner is not None:
            await self._runner.cleanup()
        self.account.close()

    def set_book(self, key: str, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> None:
        """The market as it is from now on."""
        self.feed.set_book(key, (bids, asks), self.clock.wall_ns())

    @web.middleware
    async def _remember(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if len(self.asked) < ASKED_MAX:
            self.asked.append(f"{request.method} {request.path}")
        return await handler(request)
