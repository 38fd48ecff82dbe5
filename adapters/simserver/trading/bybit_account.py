"""What Bybit's signed endpoints tell of orders, executions, positions, the wallet and the key; and settings.

"Get Open & Closed Orders", "Get Order History", "Get Trade History", "Get Position Info", "Get Wallet Balance", "Get
API Key Information", "Set Leverage", "Switch Position Mode", bybit-exchange.github.io/docs/v5 (read 2026-11). Pages
end with a cursor, which is the position of the next row. The key may trade and not move funds.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from adapters.simserver.dialect import RestRefused
from adapters.simserver.feed import Market
from adapters.simserver.order_faults import EmptyAccount, KeyMayWithdraw
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.bybit_gate import BybitGate
from adapters.simserver.trading.bybit_private import BybitPrivate
from adapters.simserver.trading.bybit_rows import Row, Rows, number_of, plain
from adapters.simserver.trading.holdings import balances, holdings
from adapters.simserver.trading.wire import TradeHandler, TradeReply, TradeRequest, whole
from trading.instruments import InstrumentKind
from trading.sim.state import SimOrder

LEVERAGE_MAX = 100
Fields = dict[str, object]
_words = msgspec.json.Decoder(dict[str, object]).decode


class BybitAccount:
    """The questions of one server, and its settings."""

    def __init__(self, account: TradingAccount, rows: Rows, gate: BybitGate, private: BybitPrivate) -> None:
        self._account = account
        self._rows = rows
        self._gate = gate
        self._private = private

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By (method, path)."""
        return {
            ("GET", "/v5/order/realtime"): self._realtime,
            ("GET", "/v5/order/history"): self._history,
            ("GET", "/v5/execution/list"): self._executions,
            ("GET", "/v5/position/list"): self._positions,
            ("GET", "/v5/account/wallet-balance"): self._wallet,
            ("GET", "/v5/account/info"): self._info,
            ("GET", "/v5/account/fee-rate"): self._fee_rate,
            ("GET", "/v5/account/query-dcp-info"): self._dcp,
            ("GET", "/v5/user/query-api"): self._key,
            ("GET", "/v5/asset/coin/query-info"): self._coins,
            ("POST", "/v5/position/set-leverage"): self._set_leverage,
            ("POST", "/v5/position/switch-mode"): self._switch_mode,
        }

    @staticmethod
    def words_of(refused: RestRefused) -> tuple[int, str]:
        """(retCode, retMsg) of a refusal."""
        body = _words(refused.body)
        return int(str(body["retCode"])), str(body["retMsg"])

    # --- Asking --------------------------------------------------------------------------------------

    def _asked(self, request: TradeRequest) -> tuple[dict[str, str], str]:
        fields = {name: str(value) for name, value in self._gate.signed(request).items()}
        category = fields.get("category", "")
        if category not in {"spot", "linear", "inverse"}:
            raise self._gate.refused(10001, "params error: Category is invalid")
        return fields, category

    def _wanted(self, fields: dict[str, str], category: str) -> set[str]:
        """Keys of the markets that a question is about."""
        symbol, settle, base = (fields.get(name, "") for name in ("symbol", "settleCoin", "baseCoin"))
        if symbol and f"{category}:{symbol}" not in self._account.markets:
            raise self._gate.refused(10001, "params error: Symbol Is Invalid")
        return {
            key
            for key, market in self._account.markets.items()
            if key.startswith(f"{category}:")
            and symbol in {"", market.instrument.symbol}
            and settle in {"", market.instrument.settle}
            and base in {"", market.instrument.base}
        }

    def _page(self, request: TradeRequest, fields: dict[str, str], category: str, rows: list[Row]) -> TradeReply:
        """Newest first."""
        begin = whole(fields.get("cursor") or "0")
        limit = min(whole(fields.get("limit", "50")), 100)
        page = rows[begin : begin + limit]
        cursor = str(begin + limit) if begin + limit < len(rows) else ""
        result: Row = {"category": category, "list": page, "nextPageCursor": cursor}
        return self._gate.answer(request.path, result)

    def _orders(self, fields: dict[str, str], category: str, path: str) -> list[SimOrder]:
        keys = self._wanted(fields, category)
        ids, link_id = fields.get("orderId", ""), fields.get("orderLinkId", "")
        begin, end = whole(fields.get("startTime", "0")), whole(fields.get("endTime", str(1 << 62)))
        return [
            order
            for order in reversed(self._account.seen(self._account.exchange.orders(), path))
            if self._account.key_of[order.instrument_id] in keys
            and (not ids or number_of(ids) == order.order_no)
            and link_id in {"", order.cl_ord_id}
            and begin <= self._account.wire_ms(order.ts_ns) <= end
        ]

    # --- Orders and executions -----------------------------------------------------------------------

    def _realtime(self, request: TradeRequest) -> TradeReply:
        """Open orders; with an id or ``openOnly=1`` finished ones too."""
        fields, category = self._asked(request)
        settled = fields.get("symbol") or fields.get("settleCoin") or fields.get("baseCoin")
        named = bool(fields.get("orderId") or fields.get("orderLinkId"))
        if category == "linear" and not settled:
            raise self._gate.refused(10001, "params error: symbol, settleCoin or baseCoin is required")
        all_of_them = named or fields.get("openOnly") == "1"
        found = [o for o in self._orders(fields, category, request.path) if o.is_open or all_of_them]
        return self._page(request, fields, category, [self._rows.order(order) for order in found])

    def _history(self, request: TradeRequest) -> TradeReply:
        """Finished orders."""
        fields, category = self._asked(request)
        found = [order for order in self._orders(fields, category, request.path) if not order.is_open]
        return self._page(request, fields, category, [self._rows.order(order) for order in found])

    def _executions(self, request: TradeRequest) -> TradeReply:
        """Trades and funding."""
        fields, category = self._asked(request)
        keys = self._wanted(fields, category)
        ids, link_id, kind = (fields.get(name, "") for name in ("orderId", "orderLinkId", "execType"))
        begin, end = whole(fields.get("startTime", "0")), whole(fields.get("endTime", str(1 << 62)))
        rows = [
            self._rows.execution(fill)
            for fill in self._account.fills_seen(None, request.path)
            if self._account.key_of[fill.report.instrument_id] in keys
        ]
        rows += [
            self._rows.funding(p) for p in self._account.fundings() if self._account.key_of[p.instrument_id] in keys
        ]
        found = [
            row
            for row in rows
            if (not ids or ids == row["orderId"])
            and link_id in {"", row["orderLinkId"]}
            and kind in {"", row["execType"]}
            and begin <= int(str(row["execTime"])) <= end
        ]
        found.sort(key=lambda row: int(str(row["seq"])), reverse=True)
        return self._page(request, fields, category, found)

    # --- Account -------------------------------------------------------------------------------------

    def _positions(self, request: TradeRequest) -> TradeReply:
        fields, category = self._asked(request)
        keys = self._wanted(fields, category)
        named = bool(fields.get("symbol"))
        if category == "linear" and not (named or fields.get("settleCoin") or fields.get("baseCoin")):
            raise self._gate.refused(10001, "params error: symbol or settleCoin is required")
        rows: list[Row] = []
        if self._account.faults.take(EmptyAccount, request.path) is None:
            held = [one for one in holdings(self._account) if one.key in keys]
            rows = [self._rows.position(one) for one in held if one.qty or named]
        return self._page(request, fields, category, rows)

    def _wallet(self, request: TradeRequest) -> TradeReply:
        fields = self._gate.signed(request)
        if fields.get("accountType") != "UNIFIED":
            raise self._gate.refused(10001, "accountType only support UNIFIED.")
        rows: list[Row] = []
        if self._account.faults.take(EmptyAccount, request.path) is None:
            coins = str(fields.get("coin", "")).split(",")
            rows = [self._rows.wallet([one for one in balances(self._account) if coins == [""] or one.asset in coins])]
        return self._gate.answer(request.path, {"list": rows})

    def _info(self, request: TradeRequest) -> TradeReply:
        self._gate.signed(request)
        result: Row = {
            "unifiedMarginStatus": 6,
            "marginMode": "REGULAR_MARGIN",
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
            "dcpStatus": "ON" if self._private.armed() else "OFF",
            "timeWindow": 10,
            "smpGroup": 0,
            "updatedTime": str(self._account.venue_ms()),
        }
        return self._gate.answer(request.path, result)

    def _fee_rate(self, request: TradeRequest) -> TradeReply:
        fields, category = self._asked(request)
        rows = []
        for key in sorted(self._wanted(fields, category)):
            one = self._account.markets[key].instrument
            rows.append(
                {"symbol": one.symbol, "takerFeeRate": plain(one.taker_fee), "makerFeeRate": plain(one.maker_fee)}
            )
        return self._gate.answer(request.path, {"category": category, "list": rows})

    def _dcp(self, request: TradeRequest) -> TradeReply:
        self._gate.signed(request)
        rows = [
            {"product": product, "dcpStatus": "ON", "timeWindow": str(window_s)}
            for product, window_s in self._private.armed().items()
        ]
        return self._gate.answer(request.path, {"dcpInfos": rows})

    def _key(self, request: TradeRequest) -> TradeReply:
        self._gate.signed(request)
        names = ("Wallet", "Options", "CopyTrading", "BlockTrade", "Exchange", "NFT", "Affiliate", "Earn")
        allowed: dict[str, list[str]] = {
            **{name: [] for name in names},
            "ContractTrade": ["Order", "Position"],
            "Spot": ["SpotTrade"],
            "Derivatives": ["DerivativesTrade"],
        }
        if self._account.faults.take(KeyMayWithdraw, request.path) is not None:
            allowed["Wallet"] = ["AccountTransfer", "Withdraw"]
        result: Row = {
            "id": "1",
            "note": "paper",
            "apiKey": self._account.credentials.api_key,
            "readOnly": 0,
            "secret": "",
            "permissions": allowed,
            "ips": ["127.0.0.1"],
            "type": 1,
            "deadlineDay": -2,
            "expiredAt": "1970-01-01T00:00:00Z",
            "createdAt": "2026-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": 1,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "isMaster": True,
            "parentUid": "0",
        }
        return self._gate.answer(request.path, result)

    def _coins(self, request: TradeRequest) -> TradeReply:
        """Clients that have a key ask for coins when they begin; there are none to move here."""
        self._gate.signed(request)
        return self._gate.answer(request.path, {"rows": []})

    # --- Settings ------------------------------------------------------------------------------------

    def _contract(self, fields: Fields) -> Market:
        key = f"{fields.get('category', '')}:{fields.get('symbol', '')}"
        market = self._account.markets.get(key)
        if market is None or market.instrument.kind is InstrumentKind.SPOT:
            raise self._gate.refused(10001, "params error: Symbol Is Invalid")
        return market

    def _set_leverage(self, request: TradeRequest) -> TradeReply:
        fields = self._gate.signed(request)
        market = self._contract(fields)
        buy, sell = str(fields.get("buyLeverage", "")), str(fields.get("sellLeverage", ""))
        try:
            leverage = Decimal(buy)
        except ArithmeticError:
            leverage = Decimal(0)
        if buy != sell or not leverage.is_finite() or not 1 <= leverage <= LEVERAGE_MAX:
            raise self._gate.refused(10001, "leverage invalid")
        if leverage == self._account.leverage_of(market):
            raise self._gate.refused(110043, "leverage not modified")
        self._account.set_leverage(market, leverage)
        return self._gate.answer(request.path, {}, accepted=True)

    def _switch_mode(self, request: TradeRequest) -> TradeReply:
        fields = self._gate.signed(request)
        hedge = str(fields.get("mode", "")) == "3"
        if hedge == self._account.settings.hedge:
            raise self._gate.refused(110025, "Position mode is not modified")
        if any(one.qty for one in holdings(self._account)):
            raise self._gate.refused(110024, "You have an existing position, so position mode cannot be switched")
        self._account.settings.set_hedge(hedge=hedge)
        return self._gate.answer(request.path, {}, accepted=True)
