"""OKX's account as requests and back: balances, positions, pending orders, fills and funding bills, page by page.

Sources: "Get balance", "Get positions", "Get order List", "Get transaction details (last 3 months)", "Get bills details
(last 7 days)", okx.com/docs-v5 (read 2026-11). Lists come newest first; ``after`` asks for older rows.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from adapters.orders import reading as r
from adapters.orders.account import AccountCursor, AccountRead, KnownOrders, Parts, Reading, TradeMark, Unreadable
from adapters.orders.okx_algo import LIST, algo_report
from adapters.orders.okx_read import Find, fill_report, id_in, order_report, position_qty, whose
from adapters.orders.replies import ZERO
from adapters.orders.wire import MS_NS, WireKind, wire_request
from trading.orders.messages import AccountState, ExecType, ExecutionReport, FundingPayment

PAGE = 100
ORDERS_MAX = 200
"""Orders behind executions that one reading asks for."""
_AFTER = {"open": "ordId", "openalgo": "algoId", "fills": "billId", "funding": "billId"}
_PATHS = {
    "open": "/api/v5/trade/orders-pending",
    "openalgo": LIST,
    "fills": "/api/v5/trade/fills-history",
    "funding": "/api/v5/account/bills",
}


class OkxAccount:
    """One account's reading. Holds nothing between calls."""

    def __init__(self, venue: str, types: tuple[str, ...], find: Find) -> None:
        self._venue = venue
        self._types = types
        self._find = find

    def first(self, cursor: AccountCursor) -> tuple[AccountRead, ...]:
        """Balances, positions, pending orders, and since the cursor fills by instrument type and funding."""
        since = cursor.since_ms
        reads = [
            _get("balance", "/api/v5/account/balance", ""),
            _get("positions", "/api/v5/account/positions", ""),
            _get("open||0", _PATHS["open"], f"limit={PAGE}"),
            _get("openalgo||0", _PATHS["openalgo"], f"ordType=conditional&limit={PAGE}"),
        ]
        reads += [
            _get(f"fills|{kind}|0", _PATHS["fills"], f"instType={kind}&begin={since}&limit={PAGE}")
            for kind in self._types
        ]
        if self._types != ("SPOT",):
            begin = max(since, cursor.funding_ms)
            reads.append(_get("funding||0", _PATHS["funding"], f"type=8&begin={begin}&limit={PAGE}"))
        return tuple(reads)

    def more(self, parts: Parts, known: KnownOrders) -> tuple[AccountRead, ...]:
        """Older pages, and the orders behind executions that name none of ours."""
        out: list[AccountRead] = []
        try:
            for key, part in parts.items():
                kind, _, rest = key.partition("|")
                if kind not in _AFTER:
                    continue
                name, _, page = rest.partition("|")
                following = f"{kind}|{name}|{int(page) + 1}"
                rows = _data(part.body, key)
                if following in parts or len(rows) < PAGE:
                    continue
                base = part.read.request.query.partition("&after=")[0]
                last = r.text(rows[-1], _AFTER[kind])
                out.append(_get(following, _PATHS[kind], f"{base}&after={last}"))
            out += self._nameless(parts, known)
        except r.BadReply:
            return ()
        return tuple(out)

    def _nameless(self, parts: Parts, known: KnownOrders) -> list[AccountRead]:
        """What an algo order became has no client id in the list of fills: the order itself says whose it is."""
        out: dict[str, AccountRead] = {}
        for key, part in parts.items():
            for row in _data(part.body, key) if key.startswith("fills|") else ():
                symbol, order_id = r.text(row, "instId"), r.text(row, "ordId")
                name = f"order|{symbol}|{order_id}"
                if r.text(row, "clOrdId") or self._find(symbol) is None or f"{symbol}:{order_id}" in known:
                    continue
                if name not in parts and len(out) < ORDERS_MAX:
                    out[name] = _get(name, "/api/v5/trade/order", f"instId={symbol}&ordId={order_id}")
        return list(out.values())

    def assemble(
        self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int
    ) -> Reading | Unreadable:
        """The account, or the first thing about it that cannot be told."""
        try:
            missing = [read.key for read in (*self.first(cursor), *self.more(parts, known)) if read.key not in parts]
            if missing:
                raise r.BadReply(f"{', '.join(missing[:3])} was not read")
            return self._whole(cursor, parts, known, cause, ts_ns)
        except r.BadReply as trouble:
            return Unreadable(str(trouble))

    def _whole(self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int) -> Reading:
        trades: dict[str, ExecutionReport] = {}
        fundings: dict[str, FundingPayment] = {}
        orders: dict[str, ExecutionReport] = {}
        marks: dict[str, TradeMark] = {}
        for key, part in parts.items():
            kind = key.partition("|")[0]
            for row in _data(part.body, key) if kind != "order" else ():
                instrument = self._find(r.text_or(row, "instId")) if kind in _AFTER else None
                if instrument is None:
                    # Executions of what the desk does not trade show in positions and balances.
                    continue
                if kind == "fills":
                    trade = fill_report(row, instrument, ts_ns, streamed=False)
                    if not trade.cl_ord_id:
                        trade = msgspec.structs.replace(trade, cl_ord_id=_behind(parts, known, row))
                    trades[trade.exec_id] = trade
                    mark = TradeMark(trade_id=r.text(row, "billId"), ts_ms=trade.ts_event_ns // MS_NS)
                    before = marks.get(instrument.instrument_id)
                    if before is None or mark.ts_ms >= before.ts_ms:
                        marks[instrument.instrument_id] = mark
                elif kind == "funding":
                    payment = funding_of(row, self._venue, instrument.instrument_id, ts_ns)
                    fundings[payment.funding_id] = payment
                elif kind == "openalgo":
                    held = algo_report(row, instrument, ts_ns, id_in(r.text(row, "algoClOrdId")))
                    orders[held.order_id] = held
                else:
                    orders[r.text(row, "ordId")] = order_report(row, instrument, ts_ns, exec_type=ExecType.ORDER_STATUS)
        state = AccountState(
            venue=self._venue,
            exec_seq=0,
            open_orders=tuple(orders.values()),
            executions=tuple(sorted(trades.values(), key=lambda trade: trade.ts_event_ns)),
            fundings=tuple(sorted(fundings.values(), key=lambda payment: payment.ts_event_ns)),
            positions=self._positions(parts),
            balances=_balances(parts),
            cause=cause,
            ts_init_ns=ts_ns,
        )
        read_ms = min(part.ts_ns for part in parts.values()) // MS_NS
        funding_ms = max((f.ts_event_ns // MS_NS for f in fundings.values()), default=0)
        return Reading(state=state, cursor=cursor.moved(marks, funding_ms, read_ms))

    def _positions(self, parts: Parts) -> dict[str, Decimal]:
        out: dict[str, Decimal] = {}
        for row in _data(parts["positions"].body, "positions"):
            symbol, qty = r.text(row, "instId"), position_qty(row)
            margin = r.text(row, "instType") == "MARGIN"
            instrument = None if margin else self._find(symbol)
            if instrument is not None or qty:
                out[instrument.instrument_id if instrument is not None else f"{self._venue}/{symbol}"] = qty
        return out


def funding_of(row: r.Row, venue: str, instrument_id: str, ts_ns: int) -> FundingPayment:
    """A bill of type 8: ``px`` is the mark price, ``sz`` the position without its sign; the rate is not said."""
    change = r.amount_or(row, "balChg", ZERO)
    return FundingPayment(
        venue=venue,
        instrument_id=instrument_id,
        funding_id=r.text(row, "billId"),
        exec_seq=0,
        rate=ZERO,
        position_qty=r.amount_or(row, "sz", ZERO),
        mark_price=r.amount_or(row, "px", ZERO),
        # The balance of an isolated position changes with the position's own.
        amount=change or r.amount_or(row, "pnl", ZERO),
        asset=r.text(row, "ccy"),
        ts_event_ns=r.time_ns(row, "ts"),
        ts_init_ns=ts_ns,
    )


def _behind(parts: Parts, known: KnownOrders, row: r.Row) -> str:
    """Whose execution it is by the order that was asked for; "" where that is nobody's here, or forgotten."""
    symbol, order_id = r.text(row, "instId"), r.text(row, "ordId")
    part = parts.get(f"order|{symbol}|{order_id}")
    if part is None:
        return known.get(f"{symbol}:{order_id}", "")
    source = r.row(r.parse(part.body))
    if source.get("code") == "51603":
        return ""
    rows = _data(part.body, part.read.key)
    return whose(rows[0]) if rows else ""


def _balances(parts: Parts) -> dict[str, Decimal]:
    accounts = _data(parts["balance"].body, "balance")
    if len(accounts) != 1:
        raise r.BadReply(f"balance: {len(accounts)} accounts in the list")
    return {
        r.text(detail, "ccy"): r.amount(detail, "cashBal") for detail in r.rows(accounts[0].get("details"), "details")
    }


def _data(body: bytes, name: str) -> list[r.Row]:
    source = r.row(r.parse(body), name)
    if source.get("code") != "0":
        raise r.BadReply(f"{name}: code {str(source.get('code'))[:20]} {str(source.get('msg'))[:80]}")
    return r.rows(source.get("data"), name)


def _get(key: str, path: str, query: str) -> AccountRead:
    return AccountRead(key=key, request=wire_request("GET", path, WireKind.ACCOUNT, query=query))
