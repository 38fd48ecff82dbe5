"""OKX v5's private WebSocket: login, and the channels orders, account, positions and balance_and_position.

"WebSocket / Login", "Order channel", "Account channel", "Positions channel", okx.com/docs-v5 (read 2026-11): a login is
signed over ``<seconds>GET/users/self/verify`` and good for 30 seconds; account and positions begin with a snapshot.
"""

from __future__ import annotations

import msgspec

from adapters.okx.encode import instrument_type
from adapters.simserver.connection import Connection
from adapters.simserver.fault_plane import USER
from adapters.simserver.faults import NoAck, SubscribeError, Unponged
from adapters.simserver.hub import Hub
from adapters.simserver.order_faults import AuthFailure
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.holdings import balances, holdings
from adapters.simserver.trading.keys import same
from adapters.simserver.trading.okx_algo import hidden
from adapters.simserver.trading.okx_rows import Row, Rows
from trading.orders.messages import ExecType, ExecutionReport, FundingPayment, VenueEvent

GOOD_FOR_S = 30
CHANNELS = frozenset({"orders", "account", "positions", "balance_and_position"})
TOPICS_MAX = 480
_TYPED = frozenset({"orders", "positions"})
_encode = msgspec.json.encode


class _Request(msgspec.Struct):
    op: str
    args: list[dict[str, str]] = []
    id: str = ""


_request = msgspec.json.Decoder(_Request).decode


class _Session:
    """A private connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.logged_in = False
        self.args: dict[str, dict[str, str]] = {}


class OkxPrivate:
    """The private clients of one server."""

    ws_paths: tuple[str, ...] = ("/ws/v5/private",)

    def __init__(self, account: TradingAccount, hub: Hub, rows: Rows) -> None:
        self._account = account
        self._hub = hub
        self._rows = rows
        self._sessions: dict[int, _Session] = {}
        account.listeners.append(self.on_event)

    # --- Clients -------------------------------------------------------------------------------------

    def on_open(self, connection: Connection) -> None:
        """Nothing is said before the login."""
        self._sessions[connection.id] = _Session(connection)

    def on_close(self, connection: Connection) -> None:
        """It is gone."""
        self._sessions.pop(connection.id, None)

    def is_logged_in(self, connection: Connection) -> bool:
        """Whether orders may be asked for on it."""
        session = self._sessions.get(connection.id)
        return session is not None and session.logged_in

    def listeners(self) -> int:
        """Subscriptions that are served."""
        return sum(len(session.args) for session in self._sessions.values())

    def end_sessions(self, *, told: bool) -> None:
        """The key ended: clients are told and cut, or hear nothing more."""
        for session in list(self._sessions.values()):
            session.logged_in = False
            session.args.clear()
            if told:
                self._say(session, {"event": "error", "code": "60011", "msg": "Please log in"}, "")
                session.connection.end(4001)

    def on_text(self, connection: Connection, text: str) -> None:
        """``ping``, ``login``, ``subscribe``, ``unsubscribe``."""
        session = self._sessions[connection.id]
        if text == "ping":
            if self._account.faults.take(Unponged, "", connection.id) is None:
                connection.push(b"pong")
            return
        try:
            request = _request(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._error(session, "60012", f"Invalid request: {text[:120]}", "")
            return
        match request.op:
            case "login":
                self._login(session, request)
            case "subscribe" | "unsubscribe" if not session.logged_in:
                self._error(session, "60011", "Please log in", request.id)
            case "subscribe":
                for arg in request.args:
                    self._subscribe(session, request, arg)
            case "unsubscribe":
                for arg in request.args:
                    session.args.pop(_name(arg), None)
                    connection.topics.pop(f"{USER}{_name(arg)}", None)
                    self._say(session, {"event": "unsubscribe", "arg": arg}, request.id)
            case _:
                self._error(session, "60012", f"Invalid request: {text[:120]}", request.id)

    def _login(self, session: _Session, request: _Request) -> None:
        arg = request.args[0] if request.args else {}
        credentials, stamp = self._account.credentials, arg.get("timestamp", "")
        refused = self._account.faults.take(AuthFailure, "/ws/v5/private") is not None
        if refused or arg.get("apiKey") != credentials.api_key:
            self._error(session, "60005", "Invalid apiKey", request.id)
        elif arg.get("passphrase") != credentials.passphrase:
            self._error(session, "60024", "Wrong passphrase", request.id)
        elif not stamp.split(".")[0].isdigit():
            self._error(session, "60004", "Invalid timestamp", request.id)
        elif abs(self._account.venue_ms() / 1000 - float(stamp)) > GOOD_FOR_S:
            self._error(session, "60006", "Timestamp request expired", request.id)
        elif not same(credentials.base64_digest(f"{stamp}GET/users/self/verify"), arg.get("sign", "")):
            self._error(session, "60007", "Invalid sign", request.id)
        else:
            session.logged_in = True
            self._say(session, {"event": "login", "code": "0", "msg": ""}, request.id)

    def _subscribe(self, session: _Session, request: _Request, arg: dict[str, str]) -> None:
        channel, topic, number = arg.get("channel", ""), f"{USER}{_name(arg)}", session.connection.id
        kind = arg.get("instType", "")
        typed = channel not in _TYPED or kind in {"ANY", "SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"}
        if self._account.faults.take(NoAck, topic, number):
            return
        refused = self._account.faults.take(SubscribeError, topic, number) is not None
        if refused or channel not in CHANNELS or not typed or len(session.args) >= TOPICS_MAX:
            text = f"Wrong URL or channel:{channel},instType:{kind} doesn't exist."
            self._error(session, "60018", f"{text} Please use the correct URL, channel and parameters.", request.id)
            return
        session.args[_name(arg)] = arg
        session.connection.topics[topic] = None
        self._say(session, {"event": "subscribe", "arg": arg}, request.id)
        rows = self._begin(channel, kind)
        if rows is not None:
            self._push(session, arg, f"{USER}account", rows, {"eventType": "snapshot", "curPage": 1, "lastPage": True})

    def _begin(self, channel: str, kind: str) -> list[Row] | None:
        """What a channel pushes at once."""
        match channel:
            case "account":
                return [self._rows.account(balances(self._account))]
            case "positions":
                held = [one for one in holdings(self._account) if one.qty]
                return [self._rows.position(one) for one in held if kind in {"ANY", instrument_type(one.key)}]
            case "balance_and_position":
                return [self._both("snapshot")]
            case _:
                return None

    def _both(self, event: str) -> Row:
        now = str(self._account.venue_ms())
        owned = [{"ccy": b.asset, "cashBal": f"{b.wallet:f}", "uTime": now} for b in balances(self._account)]
        names = ("posId", "instId", "instType", "mgnMode", "posSide", "pos", "ccy", "avgPx", "tradeId", "uTime")
        held: list[Row] = []
        for one in holdings(self._account):
            row = self._rows.position(one)
            if one.qty or row["tradeId"]:
                held.append({name: row[name] for name in names})
        return {"pTime": now, "eventType": event, "balData": owned, "posData": held, "trades": []}

    def _error(self, session: _Session, code: str, msg: str, request_id: str) -> None:
        self._say(session, {"event": "error", "code": code, "msg": msg}, request_id)

    def _say(self, session: _Session, body: Row, request_id: str) -> None:
        head: Row = {"id": request_id} if request_id else {}
        session.connection.push(_encode(head | body | {"connId": f"{session.connection.id:08x}"}))

    # --- Events --------------------------------------------------------------------------------------

    def on_event(self, event: VenueEvent) -> None:
        """What happened on the account, channel by channel."""
        if not self._sessions:
            return
        match event:
            case ExecutionReport() if event.exec_type is not ExecType.REJECTED:
                self._on_report(event)
            case FundingPayment():
                self._tell_account("funding_fee", self._account.key_of[event.instrument_id])
            case _:
                pass

    def _on_report(self, report: ExecutionReport) -> None:
        key = self._account.key_of[report.instrument_id]
        order = self._account.order(int(report.order_id))
        traded = report.exec_type is ExecType.TRADE
        if order is not None and not hidden(report, order):
            fill = None
            if traded:
                fill = next((one for one in reversed(self._account.fills) if one.trade_id == report.exec_seq), None)
            row = self._rows.order(order, report, fill)
            topic = f"{USER}{'fill' if traded else 'order'}:{key}"
            for session in tuple(self._sessions.values()):
                for arg in tuple(session.args.values()):
                    wanted = arg.get("instType") in {"ANY", instrument_type(key)} and arg.get("instId", key) == key
                    if arg["channel"] == "orders" and wanted:
                        self._push(session, arg, topic, [row], {})
        if traded:
            self._tell_account("filled", key)

    def _tell_account(self, cause: str, key: str) -> None:
        for session in tuple(self._sessions.values()):
            for arg in tuple(session.args.values()):
                rows: list[Row] = []
                match arg["channel"]:
                    case "account":
                        rows = [self._rows.account(balances(self._account))]
                    case "positions" if arg.get("instType") in {"ANY", instrument_type(key)}:
                        rows = [self._rows.position(one) for one in holdings(self._account) if one.key == key]
                    case "balance_and_position":
                        rows = [self._both(cause)]
                    case _:
                        pass
                if rows:
                    self._push(session, arg, f"{USER}account", rows, {})

    def _push(self, session: _Session, arg: dict[str, str], topic: str, rows: list[Row], more: Row) -> None:
        body = {"arg": arg | {"uid": "1"}, **more, "data": rows}
        self._hub.deliver(session.connection, topic, _encode(body))


def _name(arg: dict[str, str]) -> str:
    return ":".join(arg[name] for name in ("channel", "instType", "instFamily", "instId", "ccy") if arg.get(name))
