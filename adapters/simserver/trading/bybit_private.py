"""Bybit v5's private WebSocket: login, the topics order, execution, position, wallet and dcp, and DCP itself.

"Connect", "Authentication" and the private topics, bybit-exchange.github.io/docs/v5/websocket (read 2026-11). DCP
cancels the orders of a product when for ``timeWindow`` seconds no connection is left that has its ``dcp`` topic.
"""

from __future__ import annotations

import msgspec

from adapters.simserver.connection import Connection
from adapters.simserver.fault_plane import USER
from adapters.simserver.faults import NoAck, SubscribeError, Unponged
from adapters.simserver.hub import Hub
from adapters.simserver.order_faults import AuthFailure
from adapters.simserver.trading.account import Fill, TradingAccount
from adapters.simserver.trading.bybit_rows import Row, Rows
from adapters.simserver.trading.holdings import balances, holdings
from adapters.simserver.trading.keys import same
from trading.orders.messages import ExecType, ExecutionReport, FundingPayment, VenueEvent

S = 1_000_000_000
CATEGORIES = ("spot", "linear", "inverse")
TRADE_PATH = "/v5/trade"
"""Where orders are taken; its logins and pongs are said in other words than the private stream's."""
DCP_PRODUCTS = {"dcp.future": "DERIVATIVES", "dcp.spot": "SPOT", "dcp.option": "OPTIONS"}
_CATEGORIES_OF = {"DERIVATIVES": ("linear:", "inverse:"), "SPOT": ("spot:",), "OPTIONS": ()}
TOPICS = frozenset(
    {
        *("order", "execution", "execution.fast", "position", "wallet", "greeks"),
        *(
            f"{name}.{category}"
            for name in ("order", "execution", "execution.fast", "position")
            for category in CATEGORIES
        ),
        *DCP_PRODUCTS,
    }
)
_encode = msgspec.json.encode


class _Request(msgspec.Struct):
    op: str
    args: list[str | int] = []
    req_id: str | int = ""


_request = msgspec.json.Decoder(_Request).decode


class _Session:
    """A private connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.logged_in = False
        self.topics: dict[str, None] = {}


class BybitPrivate:
    """The private clients of one server."""

    ws_paths: tuple[str, ...] = ("/v5/private", TRADE_PATH)

    def __init__(self, account: TradingAccount, hub: Hub, rows: Rows) -> None:
        self._account = account
        self._hub = hub
        self._rows = rows
        self._sessions: dict[int, _Session] = {}
        self._windows: dict[str, int] = {}
        self._left_ns: dict[str, int] = {}
        self._present: set[str] = set()
        self._events = 0
        account.listeners.append(self.on_event)

    # --- Clients -------------------------------------------------------------------------------------

    def on_open(self, connection: Connection) -> None:
        """Nothing is said before the login."""
        self._sessions[connection.id] = _Session(connection)

    def on_close(self, connection: Connection) -> None:
        """What it listened to may be nobody's now."""
        self._sessions.pop(connection.id, None)
        self._watch_dcp()

    def is_logged_in(self, connection: Connection) -> bool:
        """Whether orders may be asked for on it."""
        session = self._sessions.get(connection.id)
        return session is not None and session.logged_in

    def listeners(self) -> int:
        """Subscriptions that are served."""
        return sum(len(session.topics) for session in self._sessions.values() if session.logged_in)

    def end_sessions(self, *, told: bool) -> None:
        """The key ended: clients are cut, or hear nothing more."""
        for session in list(self._sessions.values()):
            session.logged_in = False
            session.topics.clear()
            if told:
                session.connection.end(1008)
        self._watch_dcp()

    def on_text(self, connection: Connection, text: str) -> None:
        """``auth``, ``subscribe``, ``unsubscribe``, ``ping``."""
        session = self._sessions[connection.id]
        try:
            request = _request(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._answer(session, "", "", "error:json decode failed")
            return
        match request.op:
            case "ping" if connection.path == TRADE_PATH:
                if self._account.faults.take(Unponged, "", connection.id) is None:
                    self._trade_answer(session, request, 0, "OK", {"data": [str(self._account.venue_ms())]})
            case "ping":
                if self._account.faults.take(Unponged, "", connection.id) is None:
                    now = str(self._account.venue_ms())
                    body = {"req_id": str(request.req_id), "op": "pong", "args": [now], "conn_id": self._name(session)}
                    connection.push(_encode(body))
            case "auth":
                self._login(session, request)
            case _ if connection.path == TRADE_PATH:
                self._trade_answer(session, request, 10404, "op type is not found", {})
            case "subscribe":
                self._subscribe(session, request)
            case "unsubscribe":
                for topic in request.args:
                    session.topics.pop(str(topic), None)
                    connection.topics.pop(f"{USER}{topic}", None)
                self._watch_dcp()
                self._answer(session, request.req_id, "unsubscribe", "")
            case _:
                self._answer(session, request.req_id, request.op, "error:request not supported")

    def _login(self, session: _Session, request: _Request) -> None:
        """``GET/realtime`` and the time until which the login may arrive are signed."""
        credentials = self._account.credentials
        error = "Params Error"
        if len(request.args) >= 3 and str(request.args[1]).isdigit():
            api_key, expires, signature = (str(one) for one in request.args[:3])
            good = same(credentials.hex_digest(f"GET/realtime{expires}"), signature)
            if api_key != credentials.api_key or self._account.faults.take(AuthFailure, session.connection.path):
                error = "API key is invalid."
            elif not good:
                error = "Sign Error"
            else:
                error = "" if int(expires) > self._account.venue_ms() else "Params Error: expired"
        session.logged_in = not error
        if session.connection.path == TRADE_PATH:
            code = 0 if not error else 10004 if error == "Sign Error" else 10001 if "Params" in error else 10003
            self._trade_answer(session, request, code, error or "OK", {})
            return
        self._answer(session, request.req_id, "auth", error)

    def _subscribe(self, session: _Session, request: _Request) -> None:
        topics = [str(topic) for topic in request.args]
        faults, number = self._account.faults, session.connection.id
        if not session.logged_in:
            self._answer(session, request.req_id, "subscribe", "Request not authorized")
        elif any(faults.take(NoAck, f"{USER}{topic}", number) for topic in topics):
            return
        elif any(t not in TOPICS or faults.take(SubscribeError, f"{USER}{t}", number) for t in topics):
            self._answer(session, request.req_id, "subscribe", f"error:handler not found,topic:{topics[0]}")
        else:
            for topic in topics:
                session.topics[topic] = None
                session.connection.topics[f"{USER}{topic}"] = None
            self._watch_dcp()
            self._answer(session, request.req_id, "subscribe", "")

    def _name(self, session: _Session) -> str:
        return f"{session.connection.id:08x}-0000-4000-8000-000000000000"

    def _trade_answer(self, session: _Session, request: _Request, code: int, msg: str, more: Row) -> None:
        op = "pong" if request.op == "ping" else request.op
        body: Row = {"retCode": code, "retMsg": msg, "op": op, "connId": self._name(session), **more}
        session.connection.push(_encode(body))

    def _answer(self, session: _Session, request_id: str | int, op: str, error: str) -> None:
        body: Row = {"success": not error, "ret_msg": error, "op": op, "conn_id": self._name(session)}
        session.connection.push(_encode(body | {"req_id": str(request_id)}))

    # --- DCP -----------------------------------------------------------------------------------------

    def arm(self, product: str, window_s: int) -> None:
        """Cancel a product's orders when its clients are gone for so long."""
        self._windows[product] = window_s
        self._watch_dcp()

    def armed(self) -> dict[str, int]:
        """Seconds by product."""
        return dict(self._windows)

    def _watch_dcp(self) -> None:
        """A window begins when the last client of an armed product goes; before the first came there is none."""
        now_ns = self._account.now_ns()
        for topic, product in DCP_PRODUCTS.items():
            listened = any(topic in session.topics for session in self._sessions.values())
            if listened:
                self._present.add(product)
                self._left_ns.pop(product, None)
            elif product in self._windows and product in self._present:
                self._present.discard(product)
                self._left_ns[product] = now_ns

    def on_turn(self) -> None:
        """Windows that ran out."""
        if not self._windows:
            return
        self._watch_dcp()
        now_ns = self._account.now_ns()
        for product, window_s in self._windows.items():
            left_ns = self._left_ns.get(product)
            if left_ns is not None and now_ns - left_ns >= window_s * S:
                del self._left_ns[product]
                self._account.cancel_all(
                    {key for key in self._account.markets if key.startswith(_CATEGORIES_OF[product])}
                )

    # --- Events --------------------------------------------------------------------------------------

    def on_event(self, event: VenueEvent) -> None:
        """What happened on the account, topic by topic."""
        if not self._sessions:
            return
        match event:
            case ExecutionReport() if event.exec_type is not ExecType.REJECTED or event.order_id:
                self._on_report(event)
            case FundingPayment():
                category = self._account.key_of[event.instrument_id].partition(":")[0]
                key = self._account.key_of[event.instrument_id]
                self._tell("execution", category, f"{USER}fill:{key}", [self._rows.funding(event)])
                self._tell_wallet()
            case _:
                pass

    def _on_report(self, report: ExecutionReport) -> None:
        key = self._account.key_of[report.instrument_id]
        category = key.partition(":")[0]
        order = self._account.order(int(report.order_id))
        if report.exec_type is ExecType.TRADE:
            fill = next((one for one in reversed(self._account.fills) if one.trade_id == report.exec_seq), None)
            if fill is not None:
                self._tell_fill(fill, key, category)
        if order is not None:
            row = {"category": category, **self._rows.order(order, report)}
            if report.exec_type is ExecType.TRIGGERED:
                self._tell("order", category, f"{USER}order:{key}", [row | {"orderStatus": "Triggered"}])
            self._tell("order", category, f"{USER}order:{key}", [row])

    def _tell_fill(self, fill: Fill, key: str, category: str) -> None:
        row = self._rows.execution(fill)
        self._tell("execution", category, f"{USER}fill:{key}", [row])
        names = ("category", "symbol", "execId", "execPrice", "execQty", "orderId", "isMaker", "orderLinkId", "side")
        fast = {name: row[name] for name in (*names, "execTime", "seq")}
        self._tell("execution.fast", category, f"{USER}fill:{key}", [fast])
        held = [one for one in holdings(self._account) if one.key == key]
        if held:
            self._tell("position", category, f"{USER}account", [self._rows.position(held[0])])
        self._tell_wallet()

    def _tell_wallet(self) -> None:
        self._tell("wallet", "", f"{USER}account", [self._rows.wallet(balances(self._account))])

    def _tell(self, topic: str, category: str, fault_topic: str, rows: list[Row]) -> None:
        named = {topic, f"{topic}.{category}"}
        self._events += 1
        head: Row = {"id": f"{self._events:016x}", "creationTime": self._account.venue_ms()}
        for session in tuple(self._sessions.values()):
            for asked in session.topics:
                if asked in named:
                    body = head | {"topic": asked, "data": rows}
                    self._hub.deliver(session.connection, fault_topic, _encode(body))
