"""What Binance's signed endpoints tell of orders, executions, balances, positions and settings.

"Account endpoints", binance-spot-api-docs/rest-api.md; "Account Information V3", "Position Information V3", "Change
Initial Leverage", "Get Current Position Mode", developers.binance.com derivatives; "Get API Key Permission",
developers.binance.com wallet (read 2026-11). The key may trade and read: withdrawals and transfers are off.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.simserver.dialect import RestRefused
from adapters.simserver.feed import Market
from adapters.simserver.order_faults import EmptyAccount, KeyMayWithdraw
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.binance_gate import BinanceGate, refused
from adapters.simserver.trading.binance_rows import Row, Rows, text
from adapters.simserver.trading.binance_user import UserStreams
from adapters.simserver.trading.holdings import MAINTENANCE, balances, holdings
from adapters.simserver.trading.wire import TradeHandler, TradeReply, TradeRequest, whole
from trading.sim.state import SimOrder

LEVERAGE_MAX = 125
_encode = msgspec.json.encode
Fields = dict[str, str]
Answer = Callable[[Fields, str], object]


class BinanceAccount:
    """The questions of one venue, and its settings."""

    def __init__(self, venue: str, account: TradingAccount, rows: Rows, gate: BinanceGate, user: UserStreams) -> None:
        self.venue = venue
        self._account = account
        self._rows = rows
        self._gate = gate
        self._user = user

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By (method, path)."""
        restrictions = {("GET", "/sapi/v1/account/apiRestrictions"): self._asked(self._restrictions)}
        # Clients that have a key ask for coins and margin pairs when they begin: there are none here.
        restrictions |= {("GET", "/sapi/v1/capital/config/getall"): self._asked(lambda *_: [])}
        for name in ("allPairs", "isolated/allPairs"):
            restrictions["GET", f"/sapi/v1/margin/{name}"] = self._nothing
        if self.venue == SPOT:
            return restrictions | {
                ("GET", "/api/v3/order"): self._asked(self._order),
                ("GET", "/api/v3/openOrders"): self._asked(self._open_orders),
                ("GET", "/api/v3/allOrders"): self._asked(self._all_orders),
                ("GET", "/api/v3/myTrades"): self._asked(self._trades),
                ("GET", "/api/v3/account"): self._asked(self._spot_account),
                ("GET", "/api/v3/account/commission"): self._asked(self._spot_commission),
                ("GET", "/api/v3/rateLimit/order"): self._asked(self._order_counts),
            }
        return restrictions | self._futures()

    def _futures(self) -> dict[tuple[str, str], TradeHandler]:
        base = "/fapi/" if self.venue == USDM else "/dapi/"
        found: dict[tuple[str, str], TradeHandler] = {}
        questions: dict[str, Answer] = {
            "v1/order": self._order,
            "v1/openOrder": self._open_order,
            "v1/openOrders": self._open_orders,
            "v1/allOrders": self._all_orders,
            "v1/userTrades": self._trades,
            "v1/account": self._futures_account,
            "v1/balance": self._futures_balance,
            "v1/positionRisk": self._positions,
            "v1/positionSide/dual": self._position_mode,
            "v1/leverageBracket": self._brackets,
            "v2/leverageBracket": self._brackets,
            "v1/income": self._income,
            "v1/commissionRate": self._commission,
            "v1/rateLimit/order": self._order_counts,
        }
        if self.venue == USDM:
            questions |= {
                "v2/account": self._futures_account,
                "v3/account": self._futures_account,
                "v2/balance": self._futures_balance,
                "v3/balance": self._futures_balance,
                "v2/positionRisk": self._positions,
                "v3/positionRisk": self._positions,
                "v1/symbolConfig": self._symbol_config,
                "v1/multiAssetsMargin": lambda *_: {"multiAssetsMargin": False},
            }
        for name, question in questions.items():
            found["GET", base + name] = self._asked(question)
        for name, change in (
            ("v1/leverage", self._set_leverage),
            ("v1/marginType", self._set_margin_type),
            ("v1/positionSide/dual", self._set_position_mode),
        ):
            found["POST", base + name] = self._asked(change, changes=True)
        key = base + "v1/listenKey"
        return found | {
            ("POST", key): partial(self._listen_key, "start"),
            ("PUT", key): partial(self._listen_key, "keep"),
            ("DELETE", key): partial(self._listen_key, "delete"),
        }

    def _asked(self, question: Answer, *, changes: bool = False) -> TradeHandler:
        def answer(request: TradeRequest) -> TradeReply:
            fields = self._gate.signed(request)
            body = _encode(question(fields, request.path))
            return TradeReply(body=body, headers=self._gate.headers(orders=False), accepted=changes)

        return answer

    def _nothing(self, request: TradeRequest) -> TradeReply:
        self._gate.known(request)
        return TradeReply(body=b"[]", headers=self._gate.headers(orders=False))

    def _listen_key(self, what: str, request: TradeRequest) -> TradeReply:
        """A key and no signature."""
        fields = self._gate.known(request)
        given = fields.get("listenKey", "")
        body: Row = {}
        match what:
            case "start":
                body = {"listenKey": self._user.start()}
            case "keep":
                body = {"listenKey": self._user.keep_alive(given)}
            case _:
                self._user.delete(given)
        return TradeReply(body=_encode(body), headers=self._gate.headers(orders=False))

    # --- Orders and executions -----------------------------------------------------------------------

    def _market(self, fields: Fields, *, optional: bool = False) -> Market | None:
        symbol = fields.get("symbol", "")
        if not symbol and optional:
            return None
        if not symbol:
            raise refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        market = self._account.markets.get(symbol)
        if market is None:
            raise refused(-1121, "Invalid symbol.")
        return market

    def _one(self, fields: Fields, path: str) -> SimOrder:
        market = self._market(fields)
        assert market is not None
        number, cl_ord_id = fields.get("orderId", ""), fields.get("origClientOrderId", "")
        if not number and not cl_ord_id:
            raise refused(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        order = self._account.order(int(number) if number.isdigit() else None, cl_ord_id)
        hidden = order is None or (self.venue != SPOT and not order.was_on_book)
        seen = [] if order is None or hidden else self._account.seen([order], path)
        if not seen or seen[0].instrument_id != market.instrument.instrument_id:
            raise refused(-2013, "Order does not exist.")
        return seen[0]

    def _order(self, fields: Fields, path: str) -> object:
        return self._rows.order(self._one(fields, path))

    def _open_order(self, fields: Fields, path: str) -> object:
        order = self._one(fields, path)
        if not order.is_open:
            raise refused(-2013, "Order does not exist.")
        return self._rows.order(order)

    def _open_orders(self, fields: Fields, path: str) -> object:
        market = self._market(fields, optional=True)
        orders = self._account.seen(self._account.working(), path)
        return [
            self._rows.order(o)
            for o in orders
            if (market is None or o.instrument_id == market.instrument.instrument_id)
            and (self.venue == SPOT or not o.waits)
        ]

    def _all_orders(self, fields: Fields, path: str) -> object:
        market = self._market(fields)
        assert market is not None
        begin, end, limit = _range(fields, 500)
        first = whole(fields.get("orderId", "0"))
        found = [
            order
            for order in self._account.seen(self._account.exchange.orders(), path)
            if order.instrument_id == market.instrument.instrument_id
            and order.order_no >= first
            and (self.venue == SPOT or order.was_on_book)
            and begin <= self._account.wire_ms(order.ts_ns) <= end
        ]
        return [self._rows.order(order) for order in (found[:limit] if first else found[-limit:])]

    def _trades(self, fields: Fields, path: str) -> object:
        market = self._market(fields)
        begin, end, limit = _range(fields, 500)
        from_id, order_id = whole(fields.get("fromId", "0")), fields.get("orderId", "")
        found = [
            fill
            for fill in self._account.fills_seen(market, path)
            if fill.trade_id >= from_id
            and begin <= self._account.wire_ms(fill.report.ts_event_ns) <= end
            and order_id in {"", fill.report.order_id}
        ]
        ascending = bool(from_id or "startTime" in fields)
        return [self._rows.trade(fill) for fill in (found[:limit] if ascending else found[-limit:])]

    def _income(self, fields: Fields, _path: str) -> object:
        market = self._market(fields, optional=True)
        begin, end, limit = _range(fields, 100)
        kind = fields.get("incomeType", "")
        sources: list[tuple[int, list[Row]]] = [(p.ts_event_ns, self._rows.income(p)) for p in self._account.fundings()]
        sources += [(fill.report.ts_event_ns, self._rows.income(fill)) for fill in self._account.fills]
        rows = [row for _, some in sorted(sources, key=lambda one: one[0]) for row in some]
        found = [
            row
            for row in rows
            if kind in {"", row["incomeType"]}
            and (market is None or row["symbol"] == market.key)
            and begin <= int(str(row["time"])) <= end
        ]
        return found[:limit] if "startTime" in fields else found[-limit:]

    def _order_counts(self, _fields: Fields, _path: str) -> object:
        return self._gate.order_counts()

    # --- Account -------------------------------------------------------------------------------------

    def _hidden(self, path: str) -> bool:
        return self._account.faults.take(EmptyAccount, path) is not None

    def _spot_account(self, fields: Fields, path: str) -> object:
        rows: list[Row] = []
        if not self._hidden(path):
            bare = fields.get("omitZeroBalances") == "true"
            rows = [
                {"asset": b.asset, "free": text(b.wallet - b.locked), "locked": text(b.locked)}
                for b in balances(self._account)
                if b.wallet or not bare
            ]
        one = next(iter(self._account.markets.values())).instrument
        rates = {"maker": text(one.maker_fee), "taker": text(one.taker_fee), "buyer": text(Decimal(0))}
        updated_ms = max((self._account.wire_ms(at) for at in self._account.touched_ns.values()), default=0)
        return {
            "makerCommission": int(one.maker_fee * 10_000),
            "takerCommission": int(one.taker_fee * 10_000),
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": rates | {"seller": text(Decimal(0))},
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": updated_ms,
            "accountType": "SPOT",
            "balances": rows,
            "permissions": ["SPOT"],
            "uid": 1,
        }

    def _spot_commission(self, fields: Fields, _path: str) -> object:
        market = self._market(fields)
        assert market is not None
        one = market.instrument
        fees = {"maker": text(one.maker_fee), "taker": text(one.taker_fee), "buyer": "0.00000000"}
        none = dict.fromkeys(("maker", "taker", "buyer", "seller"), "0.00000000")
        discount = {"enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": "0"}
        body: Row = {"symbol": market.key, "standardCommission": fees | {"seller": "0.00000000"}}
        return body | {"taxCommission": none, "discount": discount}

    def _futures_account(self, _fields: Fields, path: str) -> object:
        hidden = self._hidden(path)
        held = [] if hidden else holdings(self._account)
        owned = [] if hidden else balances(self._account)
        zero = Decimal(0)
        totals = {
            "totalInitialMargin": sum((b.initial for b in owned), zero),
            "totalMaintMargin": sum((b.maintenance for b in owned), zero),
            "totalWalletBalance": sum((b.wallet for b in owned), zero),
            "totalUnrealizedProfit": sum((b.pnl for b in owned), zero),
            "totalMarginBalance": sum((b.margin for b in owned), zero),
            "totalPositionInitialMargin": sum((b.initial for b in owned), zero),
            "totalOpenOrderInitialMargin": zero,
            "totalCrossWalletBalance": sum((b.wallet for b in owned), zero),
            "totalCrossUnPnl": sum((b.pnl for b in owned), zero),
            "availableBalance": sum((b.free for b in owned), zero),
            "maxWithdrawAmount": sum((b.free for b in owned), zero),
        }
        body: Row = {"assets": [self._rows.asset(one) for one in owned]}
        short = "v3" in path
        body["positions"] = [
            self._rows.account_position(one, short=short) for one in held if one.qty or one.initial or not short
        ]
        if self.venue == USDM:
            body |= {name: text(total) for name, total in totals.items()}
        if not short:
            body |= {"feeTier": 0, "canTrade": True, "canDeposit": False, "canWithdraw": False, "updateTime": 0}
        return body

    def _futures_balance(self, _fields: Fields, path: str) -> object:
        if self._hidden(path):
            return []
        rows = []
        for one in balances(self._account):
            row = self._rows.asset(one)
            kept = ("asset", "crossWalletBalance", "crossUnPnl", "availableBalance", "maxWithdrawAmount", "updateTime")
            rows.append({"accountAlias": "SgsR", "balance": row["walletBalance"], **{name: row[name] for name in kept}})
        return rows

    def _positions(self, fields: Fields, path: str) -> object:
        market = self._market(fields, optional=True)
        if self._hidden(path):
            return []
        short = "v3" in path
        return [
            self._rows.position_risk(one, short=short)
            for one in holdings(self._account)
            if (market is None or one.key == market.key) and (one.qty or one.initial or not short)
        ]

    def _restrictions(self, _fields: Fields, path: str) -> object:
        return {
            "ipRestrict": True,
            "createTime": 1_600_000_000_000,
            "enableReading": True,
            "enableWithdrawals": self._account.faults.take(KeyMayWithdraw, path) is not None,
            "enableInternalTransfer": False,
            "permitsUniversalTransfer": False,
            "enableMargin": False,
            "enableVanillaOptions": False,
            "enableFutures": self.venue != SPOT,
            "enableSpotAndMarginTrading": self.venue == SPOT,
            "enablePortfolioMarginTrading": False,
        }

    # --- Settings ------------------------------------------------------------------------------------

    def _position_mode(self, _fields: Fields, _path: str) -> object:
        return {"dualSidePosition": self._account.settings.hedge}

    def _set_position_mode(self, fields: Fields, _path: str) -> object:
        wanted = fields.get("dualSidePosition", "").lower() == "true"
        if wanted == self._account.settings.hedge:
            raise refused(-4059, "No need to change position side.")
        if any(one.qty for one in holdings(self._account)):
            raise refused(-4068, "Position side cannot be changed if there exists position.")
        if self._account.working():
            raise refused(-4067, "Position side cannot be changed if there exists open orders.")
        self._account.settings.set_hedge(hedge=wanted)
        return {"code": 200, "msg": "success"}

    def _set_leverage(self, fields: Fields, _path: str) -> object:
        market = self._market(fields)
        assert market is not None
        leverage = fields.get("leverage", "")
        if not leverage.isdigit() or not 1 <= int(leverage) <= LEVERAGE_MAX:
            raise refused(-4028, f"Leverage {leverage} is not valid")
        self._account.set_leverage(market, Decimal(leverage))
        self._user.tell_leverage(market.key, int(leverage))
        most: Row = {"maxQty": "1000000"} if self.venue == COINM else {"maxNotionalValue": "100000000"}
        return {"symbol": market.key, "leverage": int(leverage)} | most

    def _set_margin_type(self, fields: Fields, _path: str) -> object:
        self._market(fields)
        if fields.get("marginType") == "CROSSED":
            raise refused(-4046, "No need to change margin type.")
        raise RestRefused(
            400, _encode({"code": -4048, "msg": "Margin type cannot be changed if there exists position."})
        )

    def _brackets(self, fields: Fields, _path: str) -> object:
        market = self._market(fields, optional=True)
        inverse = self.venue == COINM
        floor, cap = ("qtyFloor", "qtyCap") if inverse else ("notionalFloor", "notionalCap")
        bracket: Row = {"bracket": 1, "initialLeverage": LEVERAGE_MAX, floor: 0, cap: 100_000_000}
        bracket |= {"maintMarginRatio": float(MAINTENANCE), "cum": 0.0}
        keys = list(self._account.markets) if market is None else [market.key]
        rows = [{"symbol": key, "notionalCoef": 1.0, "brackets": [bracket]} for key in keys]
        return rows if market is None or inverse else rows[0]

    def _commission(self, fields: Fields, _path: str) -> object:
        market = self._market(fields)
        assert market is not None
        one = market.instrument
        fees = {"makerCommissionRate": f"{one.maker_fee:f}", "takerCommissionRate": f"{one.taker_fee:f}"}
        return {"symbol": market.key} | fees

    def _symbol_config(self, fields: Fields, _path: str) -> object:
        market = self._market(fields, optional=True)
        return [
            {
                "symbol": key,
                "marginType": "CROSSED",
                "isAutoAddMargin": False,
                "leverage": int(self._account.leverage_of(one)),
                "maxNotionalValue": "100000000",
            }
            for key, one in self._account.markets.items()
            if market is None or key == market.key
        ]


def _range(fields: Fields, default: int) -> tuple[int, int, int]:
    """(from, to) in ms and the number of rows; `MalformedError` for what is no number."""
    begin, end = whole(fields.get("startTime", "0")), whole(fields.get("endTime", str(1 << 62)))
    return begin, end, min(whole(fields.get("limit", str(default))), 1000)
