"""One simulated venue on loopback: HTTP, WebSockets, the pump that lets its market happen, and its controls.

Owns sockets, time and the faults that act on connections and replies. What is said is the venue's dialect's, and its
trading side's about orders and the account. There is no path that withdraws or transfers: asking for one is counted.
``/_sim/faults`` and ``/_sim/state`` control and tell; they answer on a port of their own too, so that a server that
refuses connections can still be asked.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
from aiohttp import WSMsgType, web
from pydantic import ValidationError

from adapters.clock import Clock
from adapters.simserver.byte_edits import finer_digit
from adapters.simserver.connection import DROPPED, Connection, Life
from adapters.simserver.control import ServerState, clients_of, fault_rows, first_error, knob_counts, markets_of
from adapters.simserver.dialect import Dialect
from adapters.simserver.fault_plane import MS, Faults
from adapters.simserver.faults import (
    Disconnect,
    FaultsBody,
    HalfOpen,
    HandshakeStatus,
    Maintenance,
    NightlyReset,
    Quota,
    RefuseConnections,
    Rotate,
    TickChange,
    Unponged,
)
from adapters.simserver.feed import MarketFeed, Truth
from adapters.simserver.hub import Hub
from adapters.simserver.knob import Knob
from adapters.simserver.rest_side import RestSide, answer
from adapters.simserver.socket_side import SocketSide
from adapters.simserver.trading.account import AccountSpec, TradingAccount
from adapters.simserver.trading.venues import open_trading
from adapters.simserver.trading.wire import TradingSide
from adapters.simserver.venues import keys_of, open_dialect
from adapters.sources import SourceSpec

PUMP_S = 0.02
"""How often the market goes on: what happens in between leaves together, one write a client."""

LOOK_AFTER_NS = 50 * MS
SERVICE_RESTART = 1012
INTERNAL_ERROR = 1011
IDLE = 4004
CONNECTIONS_MAX = 512
REQUEST_BYTES = 1 << 16
FUNDS_MOVING = ("withdraw", "transfer", "sub-account", "subaccount", "broker", "convert", "deposit")
"""What is in the paths of the venues that move funds."""
_S = 1_000_000_000


class SimServerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One venue's server. ``port`` 0 is any free one; ``seed`` is the faults' (the market's is in ``source``).

    ``account`` is the trading side's: its keys, its money, and the directory in which it outlives the server.
    """

    venue: str
    source: SourceSpec
    instruments: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 7
    account: AccountSpec = AccountSpec()


class SimServer:
    """One venue. ``start`` binds; ``port``, ``control_port``, ``base_http`` and ``base_ws`` are known afterwards.

    ``door`` is the socket to serve first, where somebody listens on it already; it is the server's from then on.
    """

    def __init__(self, spec: SimServerSpec, clock: Clock, door: socket.socket | None = None) -> None:
        self.spec = spec
        self._door = door
        self.port = spec.port
        self.control_port = 0
        self.faults = Faults(spec.seed, clock.mono_ns)
        self.hub = Hub(self.faults)
        self._clock = clock
        instruments, keys = keys_of(spec.venue, spec.instruments)
        self.feed = MarketFeed(spec.source, spec.venue, instruments, keys, clock.wall_ns())
        self._dialect: Dialect = open_dialect(spec.venue, self.feed, self.hub, self.faults, clock.wall_ns)
        self.hub.wrap = self._dialect.wrap
        self.account = TradingAccount(spec.venue, self.feed, self.faults, clock.wall_ns, spec.account)
        self.trading: TradingSide = open_trading(spec.venue, self.account, self.hub)
        self._rest = RestSide(self._dialect, self.trading, self.faults, lambda: bool(self._down_until_ns))
        self._sockets = SocketSide(self._dialect, self.trading, self.faults, lambda: bool(self._down_until_ns))
        self.faults.listen(self._on_fault)
        self._ids = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._control: asyncio.Server | None = None
        self._down_until_ns = 0
        self._second = 0
        self._looked_ns = 0
        self._paused = False
        self.failure = ""
        self.pump_errors = 0
        self.moves_refused = 0
        self.refused_connections = 0

    # --- Life ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind to loopback and let the market begin. ``OSError`` where the port is taken."""
        app = web.Application(client_max_size=REQUEST_BYTES, middlewares=[self._shut])
        app.router.add_get("/_sim/faults", self._get_faults)
        app.router.add_post("/_sim/faults", self._post_faults)
        app.router.add_get("/_sim/state", self._get_state)
        for pattern in self._dialect.ws_paths:
            app.router.add_get(pattern, self._serve_socket)
        for pattern in self.trading.ws_paths:
            app.router.add_get(pattern, self._serve_socket)
        for path, handler in self._dialect.rest().items():
            app.router.add_get(path, self._rest.market_route(path, handler))
        for (method, path), trade in self.trading.routes().items():
            app.router.add_route(method, path, self._rest.trade_route(path, trade))
        app.router.add_route("*", "/{path:.*}", self._no_such_path)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await self._listen()
        loop = asyncio.get_running_loop()
        assert self._runner.server is not None
        self._control = await loop.create_server(self._runner.server, self.spec.host, 0)
        self.control_port = self._control.sockets[0].getsockname()[1]
        self.feed.open(self._dialect.on_snapshot)
        self._spawn(self._pump(), "pump")

    @web.middleware
    async def _shut(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """While new connections are refused, old ones that were kept for later requests are dropped."""
        transport = request.transport
        refusing = self._listener is None and not request.path.startswith("/_sim/")
        if refusing and transport is not None and transport.get_extra_info("sockname")[1] == self.port:
            transport.abort()
        return await handler(request)

    async def _listen(self) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        serve = self._runner.server
        door, self._door = self._door, None
        if door is not None:
            self._listener = await loop.create_server(serve, sock=door)
        else:
            self._listener = await loop.create_server(serve, self.spec.host, self.port, reuse_address=True)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection and let go of ports and files."""
        for connection in list(self.hub.connections.values()):
            connection.end(1001, within_s=0.05)
        for server in (self._listener, self._control):
            if server is not None:
                server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        self.trading.close()
        self.feed.close()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"{self.spec.venue} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A bug of ours ends the market: it is said aloud, and nobody is left with a feed that looks alive."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self.pump_errors += 1
        self.failure = f"{task.get_name()}: {type(error).__name__}: {error}"
        for connection in list(self.hub.connections.values()):
            connection.end(INTERNAL_ERROR)
        asyncio.get_running_loop().call_exception_handler({"message": self.failure, "exception": error, "task": task})

    @property
    def base_http(self) -> str:
        """Where REST is."""
        return f"http://{self.spec.host}:{self.port}"

    @property
    def base_ws(self) -> str:
        """Where WebSockets are."""
        return f"ws://{self.spec.host}:{self.port}"

    @property
    def control_http(self) -> str:
        """Where ``/_sim`` always answers."""
        return f"http://{self.spec.host}:{self.control_port}"

    def venue_ns(self) -> int:
        """The venue's own clock, UTC ns: ours, and what faults make of it."""
        return self._clock.wall_ns() + self.faults.offset_ns

    def truth(self, symbol: str, depth: int = 10) -> Truth:
        """The venue's own best levels by symbol or instrument_id. ``KeyError`` for what it does not list.

        On Bybit, where a symbol may be in several categories, the symbol is ``<category>:<symbol>``.
        """
        market = self.feed.find(symbol)
        bids, asks = market.book.top(depth)
        if self.faults.finer:
            bids = tuple((ticks * 10 + finer_digit(ticks), lots) for ticks, lots in bids)
            asks = tuple((ticks * 10 + finer_digit(ticks), lots) for ticks, lots in asks)
        return Truth(symbol=symbol, update_id=market.book.update_id, bids=bids, asks=asks)

    def pause(self) -> None:
        """Let nothing happen on the market, so that a client can catch up with the truth; pings go on."""
        self._paused = True

    def resume(self) -> None:
        """Let the market go on."""
        self._paused = False

    # --- The market ----------------------------------------------------------------------------------

    async def _pump(self) -> None:
        while True:
            self._turn()
            await asyncio.sleep(PUMP_S)

    def _turn(self) -> None:
        mono_ns, wall_ns = self._clock.mono_ns(), self._clock.wall_ns()
        self.faults.expire(mono_ns)
        dialect = self._dialect
        if not self._paused:
            for ts_ns, key, payload in self.feed.poll(wall_ns, dialect.on_snapshot):
                dialect.on_frame(key, payload, ts_ns)
        dialect.on_batch()
        self.trading.on_turn()
        second = mono_ns // _S
        if second != self._second:
            self._second = second
            if not self._paused:
                dialect.on_second()
                self.account.on_second()
            self.trading.on_second()
        if mono_ns - self._looked_ns >= LOOK_AFTER_NS:
            self._looked_ns = mono_ns
            self._look_after(mono_ns)
        if self._down_until_ns and mono_ns >= self._down_until_ns:
            self._down_until_ns = 0

    def _look_after(self, mono_ns: int) -> None:
        """Pings, idle clients, rotations."""
        ping_ns, idle_ns = self._dialect.ping_every_ns, self._dialect.idle_cut_ns
        for connection in list(self.hub.connections.values()):
            if connection.life is not Life.OPEN:
                if connection.lost:
                    connection.end(DROPPED)
                continue
            if ping_ns and mono_ns - connection.pinged_ns >= ping_ns:
                connection.pinged_ns = mono_ns
                connection.push(str(self.venue_ns() // MS).encode(), kind=WSMsgType.PING)
            quiet_ns = mono_ns - max(connection.heard_ns, connection.sent_ns)
            deaf_ns = self._dialect.pong_within_ns
            if (idle_ns and quiet_ns >= idle_ns) or (deaf_ns and mono_ns - connection.heard_ns >= deaf_ns):
                connection.end(IDLE)
            rotate = self.faults.find(Rotate, "", connection.id)
            if rotate is not None and mono_ns - connection.opened_ns >= rotate.every_ms * MS:
                self.faults.note(rotate, "", connection.id)
                connection.end(1000)

    # --- WebSockets ----------------------------------------------------------------------------------

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        refused = self._handshake_refusal(request)
        if refused is not None:
            return refused
        socket = web.WebSocketResponse(autoping=False, compress=False, timeout=0.5, max_msg_size=REQUEST_BYTES)
        if not socket.can_prepare(request).ok:
            return answer(400, self._dialect.refusal(400))
        await socket.prepare(request)
        connection = Connection(next(self._ids), request.path, request.transport, self._clock.mono_ns)
        self.hub.add(connection)
        tail = request.match_info.get("tail", "")
        private = self.trading.claims(request.path, request.query, tail)
        speaker: Dialect | TradingSide = self.trading if private else self._dialect
        try:
            speaker.on_open(connection, request.query, tail)
            await self._read(connection, socket, speaker)
        finally:
            self.hub.remove(connection)
            speaker.on_close(connection)
            connection.end(1000)
        return socket

    def _handshake_refusal(self, request: web.Request) -> web.Response | None:
        fault = self.faults.take(HandshakeStatus, request.path)
        if fault is not None:
            self.refused_connections += 1
            return answer(fault.status, self._dialect.refusal(fault.status), fault.retry_after_s)
        quota = self.faults.find(Quota, request.path)
        most = CONNECTIONS_MAX if quota is None else quota.connections_max
        if len(self.hub.connections) >= most or self._down_until_ns:
            if quota is not None:
                self.faults.note(quota, request.path)
            self.refused_connections += 1
            status = 503 if self._down_until_ns else 429
            return answer(status, self._dialect.refusal(status))
        return None

    async def _read(
        self, connection: Connection, socket: web.WebSocketResponse, speaker: Dialect | TradingSide
    ) -> None:
        while True:
            if connection.life is Life.HALF_OPEN:
                await connection.ending.wait()
                return
            message = await socket.receive()
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING} and not connection.listens():
                continue
            connection.heard_ns = self._clock.mono_ns()
            match message.type:
                case WSMsgType.TEXT:
                    self._on_text(connection, speaker, message.data)
                case WSMsgType.PING:
                    if self.faults.take(Unponged, "", connection.id) is None:
                        connection.push(message.data, kind=WSMsgType.PONG)
                case WSMsgType.PONG:
                    pass
                case WSMsgType.BINARY:
                    self._on_text(connection, speaker, message.data.decode("utf-8", "replace"))
                case _:
                    return

    def _on_text(self, connection: Connection, speaker: Dialect | TradingSide, text: str) -> None:
        """What a client says: an order, or anything else."""
        asked = self.trading.asked(connection, text) if speaker is self.trading else None
        if asked is None:
            speaker.on_text(connection, text)
        else:
            self._sockets.serve(connection, asked)

    # --- REST ----------------------------------------------------------------------------------------

    async def _no_such_path(self, request: web.Request) -> web.Response:
        self.moves_refused += any(word in request.path.lower() for word in FUNDS_MOVING)
        return answer(404, self._dialect.refusal(404))

    # --- Faults that act on the server ---------------------------------------------------------------

    def _on_fault(self, fault: Knob, in_force: bool) -> None:
        match fault:
            case TickChange():
                self._dialect.on_rules_changed()
            case RefuseConnections():
                self._spawn(self._open_port(is_open=not in_force), "port")
            case HalfOpen():
                for connection in self._meant(fault):
                    if in_force:
                        self.faults.note(fault, "", connection.id)
                        connection.hang()
                    elif connection.life is Life.HALF_OPEN:
                        connection.end(DROPPED)
            case Disconnect() if in_force:
                self._cut(fault, fault.code)
            case NightlyReset() if in_force:
                self._down_until_ns = self._clock.mono_ns() + fault.down_ms * MS
                self._cut(fault, SERVICE_RESTART)
            case Maintenance() if in_force:
                meant = self._meant(fault)
                for connection in meant:
                    notice = self._dialect.notice(connection)
                    self.faults.note(fault, "", connection.id)
                    if notice is not None:
                        connection.push(notice)
                loop = asyncio.get_running_loop()
                for connection in meant:
                    loop.call_later(fault.notice_ms / 1e3, connection.end, 1001)
            case _ if in_force:
                self.trading.on_fault(fault)
            case _:
                pass

    def _meant(self, fault: Knob) -> list[Connection]:
        wanted = fault.connections
        return [one for one in self.hub.connections.values() if not wanted or one.id in wanted]

    def _cut(self, fault: Knob, code: int) -> None:
        for connection in self._meant(fault):
            self.faults.note(fault, "", connection.id)
            connection.end(code)

    async def _open_port(self, *, is_open: bool) -> None:
        if is_open and self._listener is None:
            await self._listen()
        elif not is_open and self._listener is not None:
            self._listener.close()
            self._listener = None

    # --- Control -------------------------------------------------------------------------------------

    async def _get_faults(self, _request: web.Request) -> web.Response:
        return answer(200, msgspec.json.encode(fault_rows(self.faults)))

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            body = FaultsBody.model_validate_json(await request.read())
            if body.clear == "all":
                self.faults.clear()
            elif body.clear:
                self.faults.clear(*body.clear)
            ids = [self.faults.set(fault) for fault in body.set]
        except ValidationError as error:
            return answer(400, msgspec.json.encode({"error": first_error(error)}))
        except ValueError as error:
            return answer(400, msgspec.json.encode({"error": str(error)}))
        return answer(200, msgspec.json.encode({"set": ids, **fault_rows(self.faults)}))

    async def _get_state(self, _request: web.Request) -> web.Response:
        return answer(200, msgspec.json.encode(self.state()))

    def state(self) -> ServerState:
        """Connections, subscriptions, what was sent and which faults acted on whom and when (monotonic ns)."""
        hub, faults = self.hub, self.faults
        return ServerState(
            venue=self.spec.venue,
            synthetic=self.feed.synthetic,
            failure=self.failure,
            mono_ns=self._clock.mono_ns(),
            venue_time_ms=self.venue_ns() // MS,
            connections=len(hub.connections),
            clients=clients_of(hub),
            slow_clients=hub.slow_clients,
            refused_connections=self.refused_connections,
            requests=self._rest.requests + self._sockets.requests,
            moves_refused=self.moves_refused,
            frames=self.feed.frames,
            frames_refused=self.feed.refused,
            messages_sent=hub.messages_sent,
            faults_applied=faults.counts.total(),
            faults=knob_counts(faults),
            markets=markets_of(self.feed),
            applied=list(faults.applied),
        )
