"""Binance's user streams: listen keys of futures, subscriptions by signature of spot, and who is told what.

"User Data Streams", developers.binance.com derivatives, and "User Data Stream requests",
binance-spot-api-docs/web-socket-api.md (read 2026-11): a listen key lives 60 minutes after it was last asked for or
kept alive, all clients of an account share it, and whoever deletes it ends it for all. USD-M streams are under
``/private``; COIN-M's under ``/ws/<key>``. Spot has no listen keys any more.
"""

from __future__ import annotations

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.simserver.connection import Connection
from adapters.simserver.dialect import Query, RestRefused
from adapters.simserver.fault_plane import USER
from adapters.simserver.hub import Hub
from adapters.simserver.trading.account import Fill, TradingAccount
from adapters.simserver.trading.binance_algo import AlgoOrders
from adapters.simserver.trading.binance_gate import BinanceGate
from adapters.simserver.trading.binance_rows import Row, Rows
from adapters.simserver.trading.binance_socket import ENTRY_PATHS, SocketRequest, read_request
from adapters.simserver.trading.holdings import balances, holdings
from trading.orders.messages import ExecType, ExecutionReport, FundingPayment, VenueEvent

KEY_NS = 3_600 * 1_000_000_000
KEYS_MAX = 64
_encode = msgspec.json.encode


class _Subscriber:
    """A private connection: by listen key on futures, by subscription on spot."""

    def __init__(self, connection: Connection, key: str) -> None:
        self.connection = connection
        self.key = key
        self.subscribed = False


class UserStreams:
    """The user streams of one server."""

    def __init__(self, venue: str, account: TradingAccount, hub: Hub, rows: Rows, gate: BinanceGate) -> None:
        self.venue = venue
        self.ws_paths: tuple[str, ...] = {
            SPOT: ("/ws-api/v3",),
            USDM: ("/private/ws", "/private/ws/{tail:.+}", "/private/stream", ENTRY_PATHS[USDM]),
            COINM: (ENTRY_PATHS[COINM],),
        }[venue]
        self._account = account
        self._hub = hub
        self._rows = rows
        self._gate = gate
        self._algo = AlgoOrders(account, rows)
        self._keys: dict[str, int] = {}
        self._made = 0
        self._clients: dict[int, _Subscriber] = {}
        account.listeners.append(self.on_event)

    # --- Listen keys ---------------------------------------------------------------------------------

    def start(self) -> str:
        """The account's key, a new one where there is none; it is good for another hour."""
        now_ns = self._account.now_ns()
        key = next(iter(self._keys), "")
        if not key:
            self._made += 1
            digest = self._account.credentials.hex_digest(f"listen-{self._made}-{now_ns}")
            key = digest[:64]
        self._keys[key] = now_ns + KEY_NS
        return key

    def keep_alive(self, key: str) -> str:
        """Another hour; futures need not name the key. Refused with -1125 where there is none."""
        key = key or next(iter(self._keys), "")
        if key not in self._keys:
            raise RestRefused(400, _encode({"code": -1125, "msg": "This listenKey does not exist."}))
        self._keys[key] = self._account.now_ns() + KEY_NS
        return key

    def delete(self, key: str) -> None:
        """The key ends, and nothing more comes on its streams, whoever listens."""
        for known in [key] if key else list(self._keys):
            self._keys.pop(known, None)

    def expire(self, *, told: bool) -> None:
        """All keys end now; ``told``: their streams are told so."""
        ended = set(self._keys)
        self._keys.clear()
        now_ms = self._account.venue_ms()
        for client in self._clients.values():
            if self.venue == SPOT and client.subscribed:
                client.subscribed = False
                if told:
                    self._push(client, f"{USER}account", {"e": "eventStreamTerminated", "E": now_ms})
            elif client.key in ended and told:
                self._push(client, f"{USER}account", {"e": "listenKeyExpired", "E": now_ms, "listenKey": client.key})

    def on_second(self) -> None:
        """Keys that nobody kept alive end."""
        now_ns = self._account.now_ns()
        if any(until_ns <= now_ns for until_ns in self._keys.values()):
            self.expire(told=True)

    # --- Clients -------------------------------------------------------------------------------------

    def claims(self, path: str, query: Query, tail: str) -> bool:
        """Private paths, and market paths that name a listen key."""
        if path.startswith(("/private", "/ws-api")) or path == ENTRY_PATHS[self.venue]:
            return True
        return tail in self._keys or query.get("streams", "") in self._keys

    def on_open(self, connection: Connection, query: Query, tail: str) -> None:
        """The key stands in the path or in the query."""
        connection.combined = connection.path.endswith("/stream")
        key = query.get("listenKey") or query.get("streams") or tail
        self._clients[connection.id] = _Subscriber(connection, key)
        if key:
            connection.topics[f"{USER}*"] = None

    def on_close(self, connection: Connection) -> None:
        """It is gone."""
        self._clients.pop(connection.id, None)

    def on_text(self, connection: Connection, text: str) -> None:
        """The WebSocket API of spot; futures' user streams take no requests but these."""
        client = self._clients[connection.id]
        try:
            request = read_request(text)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            error = {"code": -1000, "msg": "Invalid request."}
            connection.push(_encode({"id": None, "status": 400, "error": error}))
            return
        if self.venue != SPOT:
            connection.push(_encode({"result": None, "id": request.id}))
            return
        match request.method:
            case "ping":
                self._reply(connection, request, {})
            case "time":
                self._reply(connection, request, {"serverTime": self._account.venue_ms()})
            case "userDataStream.subscribe.signature":
                self._subscribe(client, request)
            case "userDataStream.unsubscribe":
                client.subscribed = False
                self._reply(connection, request, {})
            case _:
                self._refuse(connection, request, 400, -1000, f"'{request.method[:60]}' is not supported here.")

    def _subscribe(self, client: _Subscriber, request: SocketRequest) -> None:
        try:
            self._gate.prove_fields({name: _plain(value) for name, value in request.params.items()})
        except RestRefused as refused:
            said = msgspec.json.decode(refused.body)
            self._refuse(client.connection, request, refused.status, said["code"], said["msg"])
            return
        client.subscribed = True
        client.connection.topics[f"{USER}*"] = None
        self._reply(client.connection, request, {"subscriptionId": 0})

    def _reply(self, connection: Connection, request: SocketRequest, result: object) -> None:
        connection.push(_encode({"id": request.id, "status": 200, "result": result, "rateLimits": []}))

    def _refuse(self, connection: Connection, request: SocketRequest, status: int, code: int, msg: str) -> None:
        connection.push(_encode({"id": request.id, "status": status, "error": {"code": code, "msg": msg}}))

    # --- Events --------------------------------------------------------------------------------------

    def on_event(self, event: VenueEvent) -> None:
        """What happened on the account, to all who may hear it."""
        match event:
            case ExecutionReport() if event.exec_type is not ExecType.REJECTED or event.order_id:
                self._on_report(event)
            case FundingPayment():
                self._tell_balance(event.instrument_id, "FUNDING_FEE", event.ts_event_ns, event)
            case _:
                pass

    def _on_report(self, report: ExecutionReport) -> None:
        if not self._clients:
            return
        key = self._account.key_of[report.instrument_id]
        trade = report.exec_type is ExecType.TRADE
        fill = self._fill_of(report) if trade else None
        topic = f"{USER}{'fill' if trade else 'order'}:{key}"
        if trade and self.venue != SPOT:
            self._tell_balance(report.instrument_id, "ORDER", report.ts_event_ns, None)
        algo = [] if self.venue == SPOT else self._algo.events(report)
        if report.exec_type is ExecType.TRIGGERED:
            self._say(topic, algo)
        order = self._account.order(int(report.order_id)) if report.order_id else None
        if self.venue == SPOT or order is None or order.was_on_book:
            self._tell(topic, self._rows.order_event(report, fill))
        if report.exec_type is not ExecType.TRIGGERED:
            self._say(topic, algo)
        if self.venue == SPOT:
            one = self._account.markets[key].instrument
            changed = [b for b in balances(self._account) if b.asset in {one.base, one.quote}]
            self._tell(f"{USER}account", self._rows.spot_account_event(report.ts_event_ns, changed))

    def _say(self, topic: str, events: list[Row]) -> None:
        for event in events:
            self._tell(topic, event)

    def _fill_of(self, report: ExecutionReport) -> Fill | None:
        return next((fill for fill in reversed(self._account.fills) if fill.trade_id == report.exec_seq), None)

    def _tell_balance(self, instrument_id: str, reason: str, at_ns: int, paid: FundingPayment | None) -> None:
        held = next((one for one in holdings(self._account) if one.instrument.instrument_id == instrument_id), None)
        if held is None:
            return
        balance = next(one for one in balances(self._account) if one.asset == held.instrument.settle)
        change = held.pnl * 0 if paid is None else paid.amount
        told = None if paid is not None else held
        event = self._rows.futures_account_event(reason, at_ns, balance, told, change)
        self._tell(f"{USER}account", event)

    def tell_leverage(self, key: str, leverage: int) -> None:
        """``ACCOUNT_CONFIG_UPDATE``."""
        now_ms = self._account.venue_ms()
        body: Row = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": {"s": key, "l": leverage}}
        self._tell(f"{USER}account", body)

    def hearing(self) -> list[_Subscriber]:
        """Who is told of events."""
        return [client for client in self._clients.values() if client.subscribed or client.key in self._keys]

    def _tell(self, topic: str, event: Row) -> None:
        for client in self.hearing():
            self._push(client, topic, event)

    def _push(self, client: _Subscriber, topic: str, event: Row) -> None:
        if self.venue == SPOT and not client.key:
            event = {"subscriptionId": 0, "event": event}
        elif client.connection.combined:
            event = {"stream": client.key, "data": event}
        self._hub.deliver(client.connection, topic, _encode(event))


def _plain(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
