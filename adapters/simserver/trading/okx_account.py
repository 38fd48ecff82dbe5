"""What OKX's private endpoints tell of orders, fills, positions, balances and the key; and settings.

"Order List", "Order history", "Transaction details", "Get balance", "Get positions", "Get account configuration",
"Set leverage", "Set position mode", okx.com/docs-v5 (read 2026-11). Pages go back in time: ``after`` an id means older.
The key may read and trade, not withdraw.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from adapters.okx.encode import instrument_type
from adapters.simserver.feed import Market
from adapters.simserver.order_faults import EmptyAccount, KeyMayWithdraw
from adapters.simserver.trading.account import TradingAccount
from adapters.simserver.trading.bybit_rows import plain
from adapters.simserver.trading.holdings import balances, holdings
from adapters.simserver.trading.okx_gate import OkxGate
from adapters.simserver.trading.okx_rows import Row, Rows
from adapters.simserver.trading.wire import TradeHandler, TradeReply, TradeRequest, whole
from trading.instruments import InstrumentKind
from trading.sim.state import SimOrder

LEVERAGE_MAX = 100
Fields = dict[str, str]
Answer = Callable[[Fields, str], list[Row]]


class OkxAccount:
    """The questions of one server, and its settings."""

    def __init__(self, account: TradingAccount, rows: Rows, gate: OkxGate) -> None:
        self._account = account
        self._rows = rows
        self._gate = gate

    def routes(self) -> dict[tuple[str, str], TradeHandler]:
        """By (method, path)."""
        questions: dict[str, Answer] = {
            "trade/order": self._order,
            "trade/orders-pending": partial(self._orders, True),
            "trade/orders-history": partial(self._orders, False),
            "trade/orders-history-archive": partial(self._orders, False),
            "trade/fills": self._fills,
            "trade/fills-history": self._fills,
            "account/balance": self._balance,
            "account/positions": self._positions,
            "account/config": self._config,
            "account/leverage-info": self._leverage,
            "account/trade-fee": self._fees,
            "account/bills": self._bills,
            "account/bills-archive": self._bills,
            "asset/currencies": lambda *_: [],  # clients that have a key ask for coins when they begin
        }
        found = {("GET", f"/api/v5/{name}"): self._asked(question) for name, question in questions.items()}
        found["POST", "/api/v5/account/set-leverage"] = self._asked(self._set_leverage, changes=True)
        found["POST", "/api/v5/account/set-position-mode"] = self._asked(self._set_mode, changes=True)
        return found

    def _asked(self, question: Answer, *, changes: bool = False) -> TradeHandler:
        def answer(request: TradeRequest) -> TradeReply:
            fields = self._gate.one(request)
            return self._gate.rows(question(fields, request.path), accepted=changes)

        return answer

    def _market(self, fields: Fields) -> Market:
        market = self._account.markets.get(fields.get("instId", ""))
        if market is None:
            raise self._gate.refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        return market

    def _wanted(self, fields: Fields) -> set[str]:
        kind, name = fields.get("instType", ""), fields.get("instId", "")
        return {key for key in self._account.markets if kind in {"", instrument_type(key)} and name in {"", key}}

    # --- Orders and fills ----------------------------------------------------------------------------

    def _order(self, fields: Fields, path: str) -> list[Row]:
        market = self._market(fields)
        number, client_id = fields.get("ordId", ""), fields.get("clOrdId", "")
        order = self._account.order(int(number) if number.isdigit() else None, "" if number else client_id)
        nameless = order is not None and order.trigger is not None and (not number or not order.was_on_book)
        seen = [] if order is None or nameless else self._account.seen([order], path)
        if not seen or seen[0].instrument_id != market.instrument.instrument_id:
            raise self._gate.refused("51603", "Order does not exist")
        return [self._rows.order(seen[0])]

    def _orders(self, pending: bool, fields: Fields, path: str) -> list[Row]:
        keys, kind = self._wanted(fields), fields.get("ordType", "")
        after, before = whole(fields.get("after") or str(1 << 62)), whole(fields.get("before") or "0")
        begin, end = whole(fields.get("begin") or "0"), whole(fields.get("end") or str(1 << 62))
        found: list[SimOrder] = [
            order
            for order in reversed(self._account.seen(self._account.exchange.orders(), path))
            if order.is_open is pending
            and order.was_on_book
            and self._account.key_of[order.instrument_id] in keys
            and before < order.order_no < after
            and begin <= self._account.wire_ms(order.ts_ns) <= end
        ]
        rows = [self._rows.order(order) for order in found]
        state = fields.get("state", "")
        chosen = [row for row in rows if kind in {"", row["ordType"]} and state in {"", row["state"]}]
        return chosen[: min(whole(fields.get("limit") or "100"), 100)]

    def _fills(self, fields: Fields, path: str) -> list[Row]:
        keys, number = self._wanted(fields), fields.get("ordId", "")
        after, before = whole(fields.get("after") or str(1 << 62)), whole(fields.get("before") or "0")
        begin, end = whole(fields.get("begin") or "0"), whole(fields.get("end") or str(1 << 62))
        rows = [
            self._rows.fill(fill)
            for fill in reversed(self._account.fills_seen(None, path))
            if self._account.key_of[fill.report.instrument_id] in keys
            and number in {"", fill.report.order_id}
            and begin <= self._account.wire_ms(fill.report.ts_event_ns) <= end
        ]
        chosen = [row for row in rows if before < int(str(row["billId"])) < after]
        return chosen[: min(whole(fields.get("limit") or "100"), 100)]

    def _bills(self, fields: Fields, _path: str) -> list[Row]:
        """Funding only."""
        keys, kind = self._wanted(fields), fields.get("type", "")
        rows = [self._rows.bill(paid) for paid in reversed(self._account.fundings())]
        return [row for row in rows if row["instId"] in keys and kind in {"", row["type"]}][:100]

    # --- Account -------------------------------------------------------------------------------------

    def _balance(self, fields: Fields, path: str) -> list[Row]:
        owned = balances(self._account)
        if self._account.faults.take(EmptyAccount, path) is not None:
            owned = []
        wanted = [name for name in fields.get("ccy", "").split(",") if name]
        return [self._rows.account([one for one in owned if not wanted or one.asset in wanted])]

    def _positions(self, fields: Fields, path: str) -> list[Row]:
        if self._account.faults.take(EmptyAccount, path) is not None:
            return []
        keys = {key for name in fields.get("instId", "").split(",") for key in self._wanted(fields | {"instId": name})}
        return [self._rows.position(one) for one in holdings(self._account) if one.qty and one.key in keys]

    def _config(self, _fields: Fields, path: str) -> list[Row]:
        may_withdraw = self._account.faults.take(KeyMayWithdraw, path) is not None
        return [
            {
                "uid": "1",
                "mainUid": "1",
                "acctLv": "2",
                "acctStpMode": "cancel_taker",
                "posMode": "long_short_mode" if self._account.settings.hedge else "net_mode",
                "autoLoan": False,
                "greeksType": "PA",
                "level": "Lv1",
                "levelTmp": "",
                "ctIsoMode": "automatic",
                "mgnIsoMode": "automatic",
                "roleType": "0",
                "label": "paper",
                "ip": "127.0.0.1",
                "perm": "read_only,trade,withdraw" if may_withdraw else "read_only,trade",
                "kycLv": "",
                "type": "0",
                "enableSpotBorrow": False,
            }
        ]

    def _leverage(self, fields: Fields, _path: str) -> list[Row]:
        names = fields.get("instId", "").split(",")
        found: list[Row] = []
        for name in names:
            market = self._market({"instId": name})
            lever = plain(self._account.leverage_of(market))
            found.append({"instId": name, "mgnMode": "cross", "posSide": "net", "lever": lever, "ccy": ""})
        return found

    def _fees(self, fields: Fields, _path: str) -> list[Row]:
        keys = sorted(self._wanted(fields))
        if not keys:
            raise self._gate.refused("51000", "Parameter instType error")
        one = self._account.markets[keys[0]].instrument
        maker, taker = plain(-one.maker_fee), plain(-one.taker_fee)
        row: Row = {"level": "Lv1", "instType": fields.get("instType", ""), "maker": maker, "taker": taker}
        row |= {"makerU": maker, "takerU": taker, "makerUSDC": maker, "takerUSDC": taker, "ruleType": "normal"}
        return [row | {"ts": str(self._account.venue_ms())}]

    # --- Settings ------------------------------------------------------------------------------------

    def _set_leverage(self, fields: Fields, _path: str) -> list[Row]:
        market = self._market(fields)
        try:
            leverage = Decimal(fields.get("lever", ""))
        except ArithmeticError:
            leverage = Decimal(0)
        if market.instrument.kind is InstrumentKind.SPOT or not leverage.is_finite():
            raise self._gate.refused("51000", "Parameter lever error")
        if not 1 <= leverage <= LEVERAGE_MAX:
            raise self._gate.refused("59102", "Leverage exceeds the maximum limit. Please lower the leverage.")
        if fields.get("mgnMode") != "cross":
            raise self._gate.refused("51000", "Parameter mgnMode error")
        self._account.set_leverage(market, leverage)
        return [{"instId": market.key, "lever": plain(leverage), "mgnMode": "cross", "posSide": ""}]

    def _set_mode(self, fields: Fields, _path: str) -> list[Row]:
        mode = fields.get("posMode", "")
        if mode not in {"net_mode", "long_short_mode"}:
            raise self._gate.refused("51000", "Parameter posMode error")
        if self._account.working() or any(one.qty for one in holdings(self._account)):
            text = "Setting failed. Cancel any open orders, close positions, and stop trading bots first."
            raise self._gate.refused("59000", text)
        self._account.settings.set_hedge(hedge=mode == "long_short_mode")
        return [{"posMode": mode}]
