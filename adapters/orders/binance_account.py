"""Binance's account as requests and back: balances, positions, open orders, executions by trade id, funding.

Sources: "Account information", "Account trade list", "Current open orders" (binance-spot-api-docs/rest-api.md),
"Account Information V3" (USD-M), "Position Information", "Futures Account Balance" (COIN-M), "Get Income History"
(developers.binance.com, read 2026-11). USD-M answers balances and positions at once, at the weight of either; on COIN-M
the two together weigh less than the account.
Lists of executions name the venue's order id only, so orders that nobody here knows are asked for one by one. The
income list states amounts only: rate, position and mark price of a funding payment are 0, which means "not said".
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import urlencode

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.orders import reading as r
from adapters.orders.account import AccountCursor, AccountRead, KnownOrders, Parts, Reading, TradeMark, Unreadable
from adapters.orders.binance_algo import algo_report
from adapters.orders.binance_read import order_report, trade_report
from adapters.orders.replies import ZERO
from adapters.orders.wire import MS_NS, WireKind, wire_request
from trading.instruments import Instrument
from trading.orders.messages import AccountState, ExecType, ExecutionReport, FundingPayment, OrdStatus

PAGE = 1000
ORDERS_MAX = 200
"""Orders behind executions that one reading asks for."""

_ACCOUNT = {USDM: ("/fapi/v3/account", 5)}
"""Where balances and positions come with one answer."""
_BALANCE = {SPOT: ("/api/v3/account", 20), COINM: ("/dapi/v1/balance", 1)}
_POSITIONS = {COINM: ("/dapi/v1/positionRisk", 1)}
_OPEN = {SPOT: ("/api/v3/openOrders", 6), USDM: ("/fapi/v1/openOrders", 1), COINM: ("/dapi/v1/openOrders", 1)}
_OPEN_ALL = {SPOT: 80, USDM: 40, COINM: 40}
"""What it costs to ask for the open orders of one symbol, and of all."""
_WAITING = {USDM: "/fapi/v1/openAlgoOrders", COINM: "/dapi/v1/openAlgoOrders"}
_WAITING_ALL = 40
_TRADES = {SPOT: ("/api/v3/myTrades", 20), USDM: ("/fapi/v1/userTrades", 5), COINM: ("/dapi/v1/userTrades", 20)}
_INCOME = {USDM: ("/fapi/v1/income", 30), COINM: ("/dapi/v1/income", 20)}
_ORDER = {SPOT: ("/api/v3/order", 4), USDM: ("/fapi/v1/order", 1), COINM: ("/dapi/v1/order", 1)}
_WINDOW_MS = {SPOT: 24 * 3_600_000 - 1, USDM: 7 * 24 * 3_600_000 - 1, COINM: 7 * 24 * 3_600_000 - 1}
"""The longest span that one question by time may have."""


class BinanceAccount:
    """One venue's reading. Holds nothing between calls."""

    def __init__(self, venue: str, instruments: Mapping[str, Instrument]) -> None:
        self._venue = venue
        self._by_id = instruments
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments.values()}

    def first(self, cursor: AccountCursor) -> tuple[AccountRead, ...]:
        """Balances, positions, open orders, executions of ours, and funding where the cursor asks for it."""
        venue = self._venue
        reads = self._holdings() + self._open() + self._waiting()
        if venue != SPOT and cursor.income_ms is not None:
            reads.append(self._income(0, cursor.income_ms or max(cursor.funding_ms + 1, cursor.since_ms)))
        for instrument_id in self._by_id:
            mark = cursor.marks.get(instrument_id)
            if mark is not None:
                reads.append(self._trades(instrument_id, 0, from_id=mark.trade_id))
            else:
                reads.append(self._trades(instrument_id, 0, start_ms=cursor.since_ms))
        return tuple(reads)

    def more(self, parts: Parts, known: KnownOrders) -> tuple[AccountRead, ...]:
        """The next pages, and the orders behind executions of orders that nobody here knows."""
        try:
            return (*self._pages(parts), *self._orders(parts, known))
        except r.BadReply:
            # What cannot be read now is said when it is assembled.
            return ()

    def assemble(
        self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int
    ) -> Reading | Unreadable:
        """The account, or the first thing about it that cannot be told."""
        try:
            return self._assemble(cursor, parts, known, cause, ts_ns)
        except r.BadReply as trouble:
            return Unreadable(str(trouble))

    # --- Requests --------------------------------------------------------------------------------------

    def _holdings(self) -> list[AccountRead]:
        """Balances, and the positions of contracts."""
        venue = self._venue
        if venue in _ACCOUNT:
            return [_get("account", *_ACCOUNT[venue], {})]
        reads = [_get("balance", *_BALANCE[venue], {"omitZeroBalances": "true"} if venue == SPOT else {})]
        return reads + ([_get("positions", *_POSITIONS[venue], {})] if venue in _POSITIONS else [])

    def _open(self) -> list[AccountRead]:
        """Open orders by symbol while that is cheaper than of all: orders of other symbols are nobody's here."""
        path, weight = _OPEN[self._venue]
        if weight * len(self._by_id) >= _OPEN_ALL[self._venue]:
            return [_get("open", path, _OPEN_ALL[self._venue], {})]
        return [_get(f"open:{i}", path, weight, {"symbol": x.symbol}, i) for i, x in self._by_id.items()]

    def _waiting(self) -> list[AccountRead]:
        """Futures keep orders that wait for a trigger apart."""
        if self._venue == SPOT:
            return []
        path = _WAITING[self._venue]
        if len(self._by_id) >= _WAITING_ALL:
            return [_get("openalgo", path, _WAITING_ALL, {})]
        return [_get(f"openalgo:{i}", path, 1, {"symbol": x.symbol}, i) for i, x in self._by_id.items()]

    def _trades(self, instrument_id: str, page: int, *, from_id: str = "", start_ms: int = 0) -> AccountRead:
        query: dict[str, str | int] = {"symbol": self._by_id[instrument_id].symbol, "limit": PAGE}
        if from_id:
            query["fromId"] = from_id
        else:
            query |= {"startTime": start_ms, "endTime": start_ms + _WINDOW_MS[self._venue]}
        return _get(f"trades:{instrument_id}:{page}", *_TRADES[self._venue], query, instrument_id)

    def _income(self, page: int, start_ms: int) -> AccountRead:
        query: dict[str, str | int] = {"incomeType": "FUNDING_FEE", "startTime": start_ms, "limit": PAGE}
        return _get(f"income:{page}", *_INCOME[self._venue], query)

    def _pages(self, parts: Parts) -> list[AccountRead]:
        out: list[AccountRead] = []
        for key, part in parts.items():
            kind, _, rest = key.partition(":")
            if kind == "trades":
                instrument_id, _, page = rest.rpartition(":")
                if f"trades:{instrument_id}:{int(page) + 1}" not in parts:
                    out += self._next_trades(instrument_id, int(page), _list(part.body, key), part.read, part.ts_ns)
            elif kind == "income" and f"income:{int(rest) + 1}" not in parts:
                rows = _list(part.body, key)
                if len(rows) >= PAGE:
                    out.append(self._income(int(rest) + 1, r.time_ns(rows[-1], "time") // MS_NS))
        return out

    def _next_trades(
        self, instrument_id: str, page: int, rows: list[r.Row], read: AccountRead, ts_ns: int
    ) -> list[AccountRead]:
        if len(rows) >= PAGE:
            return [self._trades(instrument_id, page + 1, from_id=str(int(r.text(rows[-1], "id")) + 1))]
        if "fromId=" in read.request.query:
            return []
        if rows:
            # From the first execution on ids tell what is missing, and need no windows.
            return [self._trades(instrument_id, page + 1, from_id=str(int(r.text(rows[-1], "id")) + 1))]
        ended_ms = int(read.request.query.rpartition("endTime=")[2])
        if ended_ms >= ts_ns // MS_NS:
            return []
        return [self._trades(instrument_id, page + 1, start_ms=ended_ms + 1)]

    def _orders(self, parts: Parts, known: KnownOrders) -> list[AccountRead]:
        listed = _open_ids(parts)
        out: dict[str, AccountRead] = {}
        for instrument, row in self._trade_rows(parts):
            order_id = r.text(row, "orderId")
            key, known_as = f"order:{instrument.instrument_id}:{order_id}", f"{instrument.symbol}:{order_id}"
            if known_as in known or known_as in listed or key in parts or len(out) >= ORDERS_MAX:
                continue
            query = {"symbol": instrument.symbol, "orderId": order_id}
            out[key] = _get(key, *_ORDER[self._venue], query, instrument.instrument_id)
        return list(out.values())

    def _trade_rows(self, parts: Parts) -> list[tuple[Instrument, r.Row]]:
        out: list[tuple[Instrument, r.Row]] = []
        for key, part in parts.items():
            if key.startswith("trades:"):
                instrument = self._by_id[part.read.instrument_id]
                out += [(instrument, row) for row in _list(part.body, key)]
        return out

    # --- The whole -------------------------------------------------------------------------------------

    def _assemble(self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int) -> Reading:
        missing = [read.key for read in (*self.first(cursor), *self._pages(parts)) if read.key not in parts]
        if missing:
            raise r.BadReply(f"{', '.join(missing[:3])} was not read")
        bad = [key for key, p in parts.items() if p.status != 200 and not key.startswith("order:")]
        if bad:
            raise r.BadReply(f"{bad[0]}: HTTP {parts[bad[0]].status} {parts[bad[0]].body[:80]!r}")
        executions, marks = self._executions(parts, known, ts_ns)
        fundings = self._fundings(parts, ts_ns)
        state = AccountState(
            venue=self._venue,
            exec_seq=0,
            open_orders=tuple(self._open_orders(parts, ts_ns)),
            executions=tuple(executions),
            fundings=tuple(fundings),
            positions=self._positions(parts),
            balances=self._balances(parts),
            cause=cause,
            ts_init_ns=ts_ns,
        )
        funding_ms = max((f.ts_event_ns // MS_NS for f in fundings), default=0)
        read_ms = min(part.ts_ns for part in parts.values()) // MS_NS
        return Reading(state=state, cursor=cursor.moved(marks, funding_ms, read_ms))

    def _executions(
        self, parts: Parts, known: KnownOrders, ts_ns: int
    ) -> tuple[list[ExecutionReport], dict[str, TradeMark]]:
        listed = _open_ids(parts)
        seen: dict[str, ExecutionReport] = {}
        marks: dict[str, TradeMark] = {}
        for instrument, row in self._trade_rows(parts):
            order_id, trade_id = r.text(row, "orderId"), r.text(row, "id")
            name = f"{instrument.symbol}:{order_id}"
            cl_ord_id = known.get(name) or listed.get(name) or _asked(parts, instrument, order_id)
            report = trade_report(row, instrument, cl_ord_id, ts_ns)
            seen[report.exec_id] = report
            mark = marks.get(instrument.instrument_id)
            if mark is None or int(trade_id) > int(mark.trade_id):
                marks[instrument.instrument_id] = TradeMark(trade_id=trade_id, ts_ms=report.ts_event_ns // MS_NS)
        return sorted(seen.values(), key=lambda report: report.ts_event_ns), marks

    def _open_orders(self, parts: Parts, ts_ns: int) -> list[ExecutionReport]:
        out: list[ExecutionReport] = []
        for row in _open_rows(parts):
            symbol = r.text(row, "symbol")
            instrument = self._by_symbol.get(symbol) or foreign(self._venue, symbol, next(iter(self._by_id.values())))
            out.append(order_report(row, instrument, ts_ns, exec_type=ExecType.ORDER_STATUS))
        for key, part in parts.items():
            for row in _list(part.body, key) if key.startswith("openalgo") else ():
                symbol = r.text(row, "symbol")
                here = self._by_symbol.get(symbol) or foreign(self._venue, symbol, next(iter(self._by_id.values())))
                report = algo_report(row, here, ts_ns, exec_type=ExecType.ORDER_STATUS)
                if report.ord_status is OrdStatus.PENDING_TRIGGER:
                    # What is triggered already the list of open orders has, or the list of executions.
                    out.append(report)
        return out

    def _positions(self, parts: Parts) -> dict[str, Decimal]:
        if self._venue == SPOT:
            return {}
        out: dict[str, Decimal] = {}
        for row in self._held(parts, "positions"):
            symbol, qty = r.text(row, "symbol"), r.amount(row, "positionAmt")
            if r.text(row, "positionSide") != "BOTH":
                if qty:
                    raise r.BadReply(
                        f"{symbol} has a {r.text(row, 'positionSide')} position: the account is in hedge mode"
                    )
                continue
            instrument = self._by_symbol.get(symbol)
            if instrument is not None or qty:
                name = instrument.instrument_id if instrument is not None else f"{self._venue}/{symbol}"
                out[name] = qty
        return out

    def _balances(self, parts: Parts) -> dict[str, Decimal]:
        if self._venue == SPOT:
            rows = r.rows(r.row(r.parse(parts["balance"].body)).get("balances"), "balances")
            return {r.text(b, "asset"): r.amount(b, "free") + r.amount(b, "locked") for b in rows}
        name = "walletBalance" if self._venue in _ACCOUNT else "balance"
        return {r.text(b, "asset"): r.amount(b, name) for b in self._held(parts, "assets")}

    def _held(self, parts: Parts, name: str) -> list[r.Row]:
        """The rows of assets or positions, from the one answer or their own."""
        if self._venue in _ACCOUNT:
            return r.rows(r.row(r.parse(parts["account"].body)).get(name), name)
        key = "balance" if name == "assets" else name
        return _list(parts[key].body, key)

    def _fundings(self, parts: Parts, ts_ns: int) -> list[FundingPayment]:
        out: dict[str, FundingPayment] = {}
        for key, part in parts.items():
            if not key.startswith("income:"):
                continue
            for row in _list(part.body, key):
                symbol = r.text(row, "symbol")
                instrument = self._by_symbol.get(symbol)
                instrument_id = instrument.instrument_id if instrument is not None else f"{self._venue}/{symbol}"
                out[r.text(row, "tranId")] = funding_of(row, self._venue, instrument_id, ts_ns)
        return sorted(out.values(), key=lambda payment: payment.ts_event_ns)


def funding_of(row: r.Row, venue: str, instrument_id: str, ts_ns: int) -> FundingPayment:
    """A row of the income list of type FUNDING_FEE: amounts only."""
    return FundingPayment(
        venue=venue,
        instrument_id=instrument_id,
        funding_id=f"{r.text(row, 'symbol')}:{r.text(row, 'tranId')}",
        exec_seq=0,
        rate=ZERO,
        position_qty=ZERO,
        mark_price=ZERO,
        amount=r.amount(row, "income"),
        asset=r.text(row, "asset"),
        ts_event_ns=r.time_ns(row, "time"),
        ts_init_ns=ts_ns,
    )


def foreign(venue: str, symbol: str, pattern: Instrument) -> Instrument:
    """A stand-in for a symbol that the desk does not trade: its orders are told, and nobody can place one with it."""
    return msgspec.structs.replace(pattern, instrument_id=f"{venue}/{symbol}", symbol=symbol)


def _get(key: str, path: str, weight: int, query: Mapping[str, str | int], instrument_id: str = "") -> AccountRead:
    request = wire_request("GET", path, WireKind.ACCOUNT, query=urlencode(query), weight=weight)
    return AccountRead(key=key, request=request, instrument_id=instrument_id)


def _list(body: bytes, name: str) -> list[r.Row]:
    return r.rows(r.parse(body), name)


def _open_ids(parts: Parts) -> dict[str, str]:
    """Client order ids of open orders by symbol and venue order id."""
    rows = _open_rows(parts)
    return {f"{r.text(o, 'symbol')}:{r.text(o, 'orderId')}": r.text(o, "clientOrderId") for o in rows}


def _open_rows(parts: Parts) -> list[r.Row]:
    return [
        row for key, part in parts.items() if key == "open" or key.startswith("open:") for row in _list(part.body, key)
    ]


def _asked(parts: Parts, instrument: Instrument, order_id: str) -> str:
    """Whose execution it is by the order that was asked for; "" when the venue has forgotten it."""
    part = parts.get(f"order:{instrument.instrument_id}:{order_id}")
    if part is None:
        raise r.BadReply(f"order {order_id} of {instrument.symbol} was not read")
    source = r.row(r.parse(part.body))
    if part.status == 200:
        return r.text(source, "clientOrderId")
    if source.get("code") in (-2013, -2026):
        return ""
    raise r.BadReply(f"order {order_id} of {instrument.symbol}: {part.body[:80]!r}")
