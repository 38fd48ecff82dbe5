"""The HTTP face: a loopback server whose GETs read the projection and whose writes are commands.

Owns the route table, the guard against foreign pages (Host and Origin) and the shape of errors; market data and the
universe are `api.market_data`. Binds to loopback and to nothing else: a remote operator comes through a tunnel.
"""

from __future__ import annotations

import datetime
import errno
import importlib.resources
import logging
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from pydantic import ValidationError

from adapters.clock import Clock
from adapters.idempotency import IdempotencyStore
from adapters.quote_share import QuoteShare
from api import schemas, views
from api.control import (
    ANSWER_TIMEOUT_S,
    KEY_CHARS_MAX,
    KEY_HEADER,
    CommandBus,
    CommandPort,
    Fate,
    Outcome,
)
from api.finance import ENDPOINTS as FINANCE_ENDPOINTS
from api.finance import Finance
from api.finance_desk import FinanceDesk
from api.market_data import ENDPOINTS as MARKET_ENDPOINTS
from api.market_data import MarketData
from api.metrics import Exposition, OpsCounters
from api.openapi import Endpoint, document
from api.projection import Projection
from api.readiness import assess
from api.recon import ENDPOINTS as RECON_ENDPOINTS
from api.recon import Recon
from api.stream import ALIASES, NAMES, STREAM_HZ, StreamHub, parse_topics
from api.traces import ENDPOINTS as TRACE_ENDPOINTS
from api.traces import Traces
from api.traces_desk import TraceDesk
from api.traces_metrics import TraceMetrics
from trading.context import MarketContext
from trading.operators import CommandKind

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
BODY_BYTES_MAX = 16_384
SECURITY_HEADERS = {
    "X-API-Version": schemas.API_VERSION,
    "Server": "propdesk",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_STREAM_QUERY = (("topics", f"comma-separated: {', '.join((*NAMES, *ALIASES))}", False),)
_CL_ORD_ID = re.compile(r"^[A-Za-z0-9_.:-]{1,80}$")
_log = logging.getLogger(__name__)

_OWN_ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/api/health", "health", "The ops process answers", schemas.HealthAnswer),
    Endpoint("GET", "/live-readiness", "readiness", "Ready to trade, or why not", schemas.ReadinessAnswer),
    Endpoint("GET", "/api/ui/control-state", "control_state", "Mode, brakes, permit", schemas.ControlStateAnswer),
    Endpoint("GET", "/api/ui/execution", "execution", "Orders, fills, latency", schemas.ExecutionAnswer),
    Endpoint("GET", "/api/ui/pnl", "pnl", "PnL and its history", schemas.PnlAnswer),
    Endpoint("GET", "/api/ui/exposure", "exposure", "Net and gross exposure", schemas.ExposureAnswer),
    Endpoint("GET", "/api/ui/books", "books", "Order books and venues", schemas.BooksAnswer),
    Endpoint("GET", "/api/ui/tree", "tree", "Supervision trees", schemas.TreeAnswer),
    Endpoint("GET", "/api/ui/strategies", "strategies", "Strategies' own views", schemas.StrategiesAnswer),
    Endpoint("GET", "/api/ui/events", "events", "What operators should read", schemas.EventsAnswer),
    Endpoint(
        "GET",
        "/api/ui/why",
        "why",
        "The story of an order",
        schemas.WhyAnswer,
        query=(("cl_ord_id", "the order's ClOrdID", True),),
        errors=(400, 404),
    ),
    Endpoint(
        "POST",
        "/api/control",
        "control",
        "Send one command",
        schemas.ControlAnswer,
        schemas.ControlRequest,
        errors=(400, 403, 409, 413, 415, 503, 504),
    ),
    Endpoint(
        "GET",
        "/api/ui/stream",
        "stream",
        "Live frames: WebSocket on Upgrade, else SSE",
        query=_STREAM_QUERY,
        content_type="text/event-stream",
        errors=(400, 403, 503),
    ),
    Endpoint(
        "GET",
        "/api/ui/stream-sse",
        "stream_sse",
        "Live frames as SSE",
        query=_STREAM_QUERY,
        content_type="text/event-stream",
        errors=(400, 503),
    ),
    Endpoint("GET", "/context", "context", "Market context, or null", schemas.ContextAnswer),
    Endpoint("GET", "/metrics", "metrics", "All cells in one scrape", content_type="text/plain"),
    Endpoint("GET", "/metrics/latency", "metrics_latency", "Latency aggregates", content_type="text/plain"),
    Endpoint("GET", "/openapi.json", "openapi", "This document", content_type="application/json"),
)
ENDPOINTS = (*_OWN_ENDPOINTS, *MARKET_ENDPOINTS, *TRACE_ENDPOINTS, *RECON_ENDPOINTS, *FINANCE_ENDPOINTS)

_ASSET_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_OUTCOME_STATUS = {
    Fate.DONE: 200,
    Fate.REFUSED: 409,
    Fate.UNANSWERED: 504,
    Fate.UNREACHABLE: 503,
    Fate.BUSY: 503,
}
_OUTCOME_TROUBLE = {
    Fate.REFUSED: (
        "the desk refused",
        "read the message; /api/ui/control-state lists the brakes and who may release them",
    ),
    Fate.UNANSWERED: (
        "the desk did not answer in time; the command may still have arrived",
        "look at /api/ui/control-state; to stop without the desk run: propdesk hold",
    ),
    Fate.UNREACHABLE: ("the desk cannot be reached, nothing was sent", "to stop without the desk run: propdesk hold"),
    Fate.BUSY: ("too many commands await their answers", "try again in two seconds"),
}


class HttpServer:
    """A running server. ``close`` ends the streams and releases the port."""

    def __init__(self, runner: web.AppRunner, hub: StreamHub, host: str, port: int) -> None:
        self._runner = runner
        self._hub = hub
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"

    async def close(self) -> None:
        """End every stream, then stop listening."""
        self._hub.close()
        await self._runner.cleanup()


async def start_http(
    projection: Projection,
    bus: CommandBus,
    host: str,
    port: int,
    *,
    version: str,
    clock: Clock,
    profile: str = "",
    counters: OpsCounters | None = None,
    stream_hz: int = STREAM_HZ,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
    known_context: Callable[[], MarketContext] | None = None,
    traces: TraceDesk | None = None,
    journal: str = "",
    quotes: QuoteShare | None = None,
    once: IdempotencyStore | None = None,
) -> HttpServer:
    """Listen on ``host:port``; 0 picks a port. ``ValueError``: host is not loopback. ``OSError``: the port is busy.

    ``journal`` is the one that finance is told from; without it there is none.
    """
    if host not in LOOPBACK:
        raise ValueError(f"the operators' API binds to loopback only, not to {host!r}: use 127.0.0.1 and a tunnel")
    counters = counters or OpsCounters()
    hub = StreamHub(projection, counters, {"version": version, "profile": profile}, stream_hz)
    face = _Face(
        projection,
        CommandPort(bus, clock, counters, answer_timeout_s, once),
        hub,
        counters,
        traces or TraceDesk(projection, clock),
        finance=FinanceDesk(clock, journal),
        version=version,
        profile=profile,
        quotes=quotes or QuoteShare(None, "", clock),
    )
    if known_context is not None:
        face.known_context = known_context
    runner = web.AppRunner(face.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as trouble:
        await runner.cleanup()
        if trouble.errno == errno.EADDRINUSE:
            words = f"port {port} on {host} is taken: is another propdesk running? Set another api port"
            raise OSError(errno.EADDRINUSE, words) from trouble
        raise
    return HttpServer(runner, hub, host, int(runner.addresses[0][1]))


class _Face:
    """The endpoints' functions, one per row of ENDPOINTS, by name."""

    def __init__(
        self,
        projection: Projection,
        port: CommandPort,
        hub: StreamHub,
        counters: OpsCounters,
        traces: TraceDesk,
        *,
        finance: FinanceDesk,
        version: str,
        profile: str,
        quotes: QuoteShare,
    ) -> None:
        self._projection = projection
        self._port = port
        self._hub = hub
        self._counters = counters
        self._version = version
        self._profile = profile
        self.known_context: Callable[[], MarketContext] = lambda: MarketContext(enabled=False)
        self._market_data = MarketData(
            projection,
            port,
            _json,
            lambda trouble, status: _error(status, trouble.field, trouble.message, trouble.mend),
            _outcome,
            quotes=quotes,
        )
        self._traces = Traces(
            projection,
            traces,
            _json,
            lambda trouble, status: _error(status, trouble.field, trouble.message, trouble.mend),
        )
        self._finance_desk = finance
        self._finance = Finance(
            projection,
            finance,
            _json,
            lambda trouble, status: _error(status, trouble.field, trouble.message, trouble.mend),
        )
        self._exposition = Exposition(projection, counters, TraceMetrics(traces))
        self._openapi = msgspec.json.encode(document(ENDPOINTS, version))
        folder = importlib.resources.files("api") / "ui"
        self._assets = {
            file.name: (file.read_bytes(), _ASSET_TYPES[file.name[file.name.rindex(".") :]])
            for file in folder.iterdir()
            if file.name.endswith(tuple(_ASSET_TYPES))
        }

    def application(self) -> web.Application:
        """The application of the route table, the page's files and the guard."""
        app = web.Application(middlewares=[self._guard], client_max_size=BODY_BYTES_MAX)
        app.on_response_prepare.append(_stamp)
        for endpoint in _OWN_ENDPOINTS:
            app.router.add_route(endpoint.method, endpoint.path, getattr(self, endpoint.name))
        for endpoint in MARKET_ENDPOINTS:
            app.router.add_route(endpoint.method, endpoint.path, self._market_data.handler(endpoint.name))
        recon = Recon(self._projection, _json)
        for endpoint in RECON_ENDPOINTS:
            app.router.add_route(endpoint.method, endpoint.path, recon.handler(endpoint.name))
        for endpoint in TRACE_ENDPOINTS:
            app.router.add_route(endpoint.method, endpoint.path, self._traces.handler(endpoint.name))
        for endpoint in FINANCE_ENDPOINTS:
            app.router.add_route(endpoint.method, endpoint.path, self._finance.handler(endpoint.name))
        app.on_cleanup.append(self._release)
        app.router.add_post("/api/ui/universe", self._market_data.handler("change_universe"))
        app.router.add_get("/", self.asset)
        app.router.add_get("/quality", self.quality_page)
        app.router.add_get("/finance", self.finance_page)
        app.router.add_get("/ui/{name}", self.asset)
        return app

    async def health(self, _: web.Request) -> web.Response:
        now = datetime.datetime.fromtimestamp(self._projection.clock.wall_ns() / 1e9, datetime.UTC)
        return _json({"status": "ok", "version": self._version, "ts": now.isoformat()})

    async def context(self, _: web.Request) -> web.Response:
        """As it is known now; nobody is asked for it here."""
        return _json(self.known_context())

    async def readiness(self, _: web.Request) -> web.Response:
        return _json(assess(self._projection))

    async def control_state(self, _: web.Request) -> web.Response:
        state = views.control_state(self._projection)
        return _json({**state, "version": self._version, "profile": self._profile})

    async def execution(self, _: web.Request) -> web.Response:
        return _json(views.execution(self._projection))

    async def pnl(self, _: web.Request) -> web.Response:
        return _json(views.pnl(self._projection))

    async def exposure(self, _: web.Request) -> web.Response:
        return _json(views.exposure(self._projection))

    async def books(self, _: web.Request) -> web.Response:
        return _json(views.books(self._projection))

    async def tree(self, _: web.Request) -> web.Response:
        return _json(views.tree(self._projection))

    async def strategies(self, _: web.Request) -> web.Response:
        return _json(views.strategies(self._projection))

    async def events(self, _: web.Request) -> web.Response:
        return _json(views.events(self._projection))

    async def metrics(self, _: web.Request) -> web.Response:
        return _prometheus(self._exposition.everything())

    async def metrics_latency(self, _: web.Request) -> web.Response:
        return _prometheus(self._exposition.latency())

    async def openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=self._openapi, content_type="application/json", charset="utf-8")

    async def why(self, request: web.Request) -> web.Response:
        """The journal's story; where the desk does not tell it in time, what the projection knows."""
        cl_ord_id = request.query.get("cl_ord_id", "")
        if not _CL_ORD_ID.match(cl_ord_id):
            return _error(400, "cl_ord_id", "not a ClOrdID", "ask /api/ui/why?cl_ord_id=<id from /api/ui/execution>")
        outcome = await self._port.ask(CommandKind.WHY, actor="http", cause="why", argument=cl_ord_id)
        known = views.order_story(self._projection, cl_ord_id)
        if outcome.fate is Fate.DONE:
            story = {"projection": known, **outcome.body}
            return _json({"cl_ord_id": cl_ord_id, "source": "journal", "text": outcome.text, "story": story})
        if known is None:
            mend = "check the id; finished orders fall out of the projection, `propdesk why` reads the journal"
            return _error(404, "cl_ord_id", outcome.text or f"no order {cl_ord_id} is known here", mend)
        words = outcome.text or _OUTCOME_TROUBLE[outcome.fate][0]
        return _json({"cl_ord_id": cl_ord_id, "source": "projection", "text": words, "story": known})

    async def control(self, request: web.Request) -> web.Response:
        """One command, one answer."""
        if request.content_type != "application/json":
            return _error(415, "Content-Type", f"{request.content_type} is not accepted", "send application/json")
        try:
            wanted = schemas.ControlRequest.model_validate_json(await request.read())
        except ValidationError as error:
            trouble = schemas.first_trouble(error, schemas.ControlRequest)
            return _error(400, trouble.field, trouble.message, trouble.mend)
        key = request.headers.get(KEY_HEADER, "")
        if len(key) > KEY_CHARS_MAX:
            return _error(400, KEY_HEADER, f"it has {len(key)} characters", f"write at most {KEY_CHARS_MAX}")
        outcome = await self._port.ask(
            CommandKind(wanted.action),
            scope=wanted.scope,
            actor=f"http:{request.remote}",
            cause=wanted.cause,
            key=f"http:{key}" if key else "",
        )
        return _outcome(outcome)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """WebSocket on Upgrade, else SSE."""
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        return await self._serve_stream(request, upgrade=upgrade)

    async def stream_sse(self, request: web.Request) -> web.StreamResponse:
        """SSE whatever the request asks for."""
        return await self._serve_stream(request, upgrade=False)

    async def asset(self, request: web.Request) -> web.Response:
        """The page and its files, read once at start."""
        return self._serve_asset(request.match_info.get("name", "index.html"))

    async def quality_page(self, _: web.Request) -> web.Response:
        """The Data Quality page."""
        return self._serve_asset("quality.html")

    async def finance_page(self, _: web.Request) -> web.Response:
        """The finance page."""
        return self._serve_asset("finance.html")

    async def _release(self, _: web.Application) -> None:
        self._finance_desk.close()

    def _serve_asset(self, name: str) -> web.Response:
        if name not in self._assets:
            raise web.HTTPNotFound
        body, content_type = self._assets[name]
        headers = {"Cache-Control": "no-cache"}
        return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

    async def _serve_stream(self, request: web.Request, *, upgrade: bool) -> web.StreamResponse:
        try:
            topics = parse_topics(request.query.get("topics"))
        except ValueError as unknown:
            return _error(400, "topics", f"unknown topic {unknown}", f"use any of {', '.join((*NAMES, *ALIASES))}")
        if self._hub.full():
            return _error(503, "stream", "too many open streams", "close a page, or ask the GET endpoints")
        if upgrade:
            return await self._hub.websocket(request, topics)
        return await self._hub.events(request, topics)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Endpointed) -> web.StreamResponse:
        """Refuse foreign pages, turn every failure into one clear error, count."""
        refusal = _foreign(request)
        if refusal is not None:
            response: web.StreamResponse = refusal
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = _error(error.status, request.path, error.reason, "see /openapi.json for what is served here")
            except Exception:  # noqa: BLE001 - our bug must cost one answer, not the page
                _log.exception("the endpoint %s failed", request.path)
                response = _error(500, request.path, "internal error", "the log of the ops process has the details")
        resource = request.match_info.route.resource
        self._counters.count_request(resource.canonical if resource else "unmatched", response.status)
        return response


Endpointed = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _foreign(request: web.Request) -> web.Response | None:
    """Refuse another Host (DNS rebinding), and another Origin where it could act or read: POST and WebSocket."""
    host = request.headers.get("Host", "")
    if _hostname(f"//{host}") not in LOOPBACK:
        return _error(403, "Host", f"{host!r} is not this machine", "open http://127.0.0.1 or http://localhost")
    origin = request.headers.get("Origin")
    acts = request.method not in {"GET", "HEAD"} or "Upgrade" in request.headers
    if origin is not None and acts and origin not in {f"http://{host}", f"https://{host}"}:
        return _error(403, "Origin", f"{origin!r} may not command this desk", "use the desk's own page")
    return None


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


async def _stamp(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)


def _json(body: object, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    payload = msgspec.json.encode(body)
    return web.Response(body=payload, status=status, content_type="application/json", charset="utf-8", headers=headers)


def _prometheus(page: bytes) -> web.Response:
    return web.Response(body=page, headers={"Content-Type": Exposition.content_type})


def _error(status: int, field: str, message: str, mend: str, **more: object) -> web.Response:
    return _json({"error": {"field": field, "message": message, "mend": mend}, **more}, status)


def _outcome(outcome: Outcome) -> web.Response:
    status = _OUTCOME_STATUS[outcome.fate]
    if outcome.fate is Fate.DONE:
        answer = {"done": True, "command_id": outcome.command_id, "text": outcome.text, "body": outcome.body}
        return _json({**answer, "repeated": True} if outcome.repeated else answer)
    words, mend = _OUTCOME_TROUBLE[outcome.fate]
    message = outcome.text or words
    return _error(status, "action", message, mend, done=False, command_id=outcome.command_id)
