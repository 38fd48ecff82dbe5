"""Bybit's account as requests and back: wallet, positions, open orders and executions by category, page by page.

Sources: "Get Wallet Balance", "Get Position Info", "Get Open & Closed Orders", "Get Trade History",
bybit-exchange.github.io/docs/v5 (read 2026-11). Linear positions and orders are asked for by what they settle in;
executions by time, at most seven days in one question. Funding is a kind of execution there.
"""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import quote

from adapters.orders import reading as r
from adapters.orders.account import AccountCursor, AccountRead, Parts, Reading, TradeMark, Unreadable
from adapters.orders.bybit_read import Find, execution, order_report, position_qty
from adapters.orders.replies import ZERO
from adapters.orders.wire import MS_NS, WireKind, wire_request
from trading.orders.messages import AccountState, ExecType, ExecutionReport, FundingPayment

_WINDOW_MS = 7 * 24 * 3_600_000 - 1
_SETTLES = {"linear": ("settleCoin=USDT", "settleCoin=USDC"), "inverse": ("",), "spot": ("",)}
"""What tells the parts of a category apart."""


class BybitAccount:
    """One account's reading. Holds nothing between calls."""

    def __init__(self, venue: str, categories: tuple[str, ...], find: Find) -> None:
        self._venue = venue
        self._categories = categories
        self._find = find

    def first(self, cursor: AccountCursor) -> tuple[AccountRead, ...]:
        """The wallet, and of each category positions, open orders, executions since the cursor."""
        reads = [_get("wallet", "/v5/account/wallet-balance", "accountType=UNIFIED")]
        for category in self._categories:
            for part in _SETTLES[category]:
                query = f"category={category}" + (f"&{part}" if part else "")
                reads.append(_get(f"open|{query}|0", "/v5/order/realtime", f"{query}&limit=50"))
                if category != "spot":
                    reads.append(_get(f"positions|{query}|0", "/v5/position/list", f"{query}&limit=200"))
            reads.append(self._executions(category, cursor.since_ms, 0))
        return tuple(reads)

    def more(self, parts: Parts) -> tuple[AccountRead, ...]:
        """The next pages, and the next seven days."""
        out: list[AccountRead] = []
        try:
            for key, part in parts.items():
                kind, _, rest = key.partition("|")
                if kind == "wallet":
                    continue
                query, _, page = rest.rpartition("|")
                following = f"{kind}|{query}|{int(page) + 1}"
                if following in parts:
                    continue
                result = _result(part.body)
                token = r.text_or(result, "nextPageCursor")
                if token and r.rows(result.get("list"), key):
                    base = part.read.request.query.partition("&cursor=")[0]
                    out.append(_get(following, part.read.request.path, f"{base}&cursor={quote(token, safe='')}"))
                elif kind == "executions":
                    ended = int(part.read.request.query.partition("endTime=")[2].partition("&")[0])
                    if ended < part.ts_ns // MS_NS:
                        category = query.partition("=")[2]
                        out.append(self._executions(category, ended + 1, int(page) + 1))
        except r.BadReply:
            return ()
        return tuple(out)

    def assemble(self, cursor: AccountCursor, parts: Parts, cause: str, ts_ns: int) -> Reading | Unreadable:
        """The account, or the first thing about it that cannot be told."""
        try:
            missing = [read.key for read in (*self.first(cursor), *self.more(parts)) if read.key not in parts]
            if missing:
                raise r.BadReply(f"{', '.join(missing[:3])} was not read")
            return self._whole(cursor, parts, cause, ts_ns)
        except r.BadReply as trouble:
            return Unreadable(str(trouble))

    def _executions(self, category: str, start_ms: int, page: int) -> AccountRead:
        query = f"category={category}&startTime={start_ms}&endTime={start_ms + _WINDOW_MS}&limit=100"
        return _get(f"executions|category={category}|{page}", "/v5/execution/list", query)

    def _whole(self, cursor: AccountCursor, parts: Parts, cause: str, ts_ns: int) -> Reading:
        trades: dict[str, ExecutionReport] = {}
        fundings: dict[str, FundingPayment] = {}
        orders: dict[str, ExecutionReport] = {}
        positions: dict[str, Decimal] = {}
        marks: dict[str, TradeMark] = {}
        for key, part in parts.items():
            kind, _, rest = key.partition("|")
            if kind == "wallet":
                continue
            category = rest.partition("=")[2].partition("&")[0].partition("|")[0]
            for row in r.rows(_result(part.body).get("list"), key):
                symbol = r.text(row, "symbol")
                instrument = self._find(category, symbol)
                if kind == "executions":
                    # Executions of a symbol that the desk does not trade show in its positions and balances.
                    event = execution(row, instrument, ts_ns) if instrument is not None else None
                    mark = TradeMark(trade_id=r.text(row, "execId"), ts_ms=r.time_ns(row, "execTime") // MS_NS)
                    if category not in marks or mark.ts_ms >= marks[category].ts_ms:
                        marks[category] = mark
                    if isinstance(event, ExecutionReport):
                        trades[event.exec_id] = event
                    elif event is not None:
                        fundings[event.funding_id] = event
                elif kind == "positions":
                    qty = position_qty(row)
                    if instrument is not None or qty:
                        positions[instrument.instrument_id if instrument else f"{self._venue}/{symbol}"] = qty
                elif instrument is not None:
                    orders[r.text(row, "orderId")] = order_report(
                        row, instrument, ts_ns, exec_type=ExecType.ORDER_STATUS
                    )
        state = AccountState(
            venue=self._venue,
            exec_seq=0,
            open_orders=tuple(orders.values()),
            executions=tuple(sorted(trades.values(), key=lambda trade: trade.ts_event_ns)),
            fundings=tuple(sorted(fundings.values(), key=lambda payment: payment.ts_event_ns)),
            positions=positions,
            balances=_balances(parts["wallet"].body),
            cause=cause,
            ts_init_ns=ts_ns,
        )
        read_ms = min(part.ts_ns for part in parts.values()) // MS_NS
        return Reading(state=state, cursor=cursor.moved(marks, 0, read_ms))


def _balances(body: bytes) -> dict[str, Decimal]:
    out: dict[str, Decimal] = {}
    accounts = r.rows(_result(body).get("list"), "wallet")
    if not accounts:
        raise r.BadReply("wallet: no account in the list")
    for account in accounts:
        for coin in r.rows(account.get("coin"), "coin"):
            out[r.text(coin, "coin")] = r.amount_or(coin, "walletBalance", ZERO)
    return out


def _result(body: bytes) -> r.Row:
    source = r.row(r.parse(body))
    if source.get("retCode") != 0:
        raise r.BadReply(f"retCode {source.get('retCode')} {str(source.get('retMsg'))[:80]}")
    return r.row(source.get("result"), "result")


def _get(key: str, path: str, query: str) -> AccountRead:
    return AccountRead(key=key, request=wire_request("GET", path, WireKind.ACCOUNT, query=query))
