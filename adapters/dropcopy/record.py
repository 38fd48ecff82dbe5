"""What each venue's record is asked for, page by page: executions and funding of a span of time, and open orders.

Requests and pages are the drop copy's own, so that a mistake of the order path's reading is not repeated here; what a
row means is the venue's codec's, of which there is one. Pure. Sources: "Account trade list" (Binance, spot and
futures) and "Get Income History", "Get transaction details (last 3 months)" and "Get bills details" (OKX), "Get Trade
History" (Bybit, where funding is among the trades), read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import quote, urlencode

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.binance.instruments import VENUES as BINANCE_VENUES
from adapters.bybit.instruments import BYBIT
from adapters.okx.instruments import OKX
from adapters.orders import binance_read, bybit_read, okx_read
from adapters.orders import reading as r
from adapters.orders.account import AccountPart, AccountRead
from adapters.orders.binance_account import funding_of as binance_funding
from adapters.orders.okx_account import funding_of as okx_funding
from adapters.orders.wire import MS_NS, WireKind, wire_request
from trading.instruments import Instrument, InstrumentKind
from trading.orders.messages import ExecType, ExecutionReport, FundingPayment

_FILLS, _OPEN, _FUNDING = "fills", "open", "funding"
_BINANCE_INCOME = {USDM: ("/fapi/v1/income", 30), COINM: ("/dapi/v1/income", 20)}
_BINANCE_FILLS = {SPOT: ("/api/v3/myTrades", 20), USDM: ("/fapi/v1/userTrades", 5), COINM: ("/dapi/v1/userTrades", 20)}
_BINANCE_OPEN = {SPOT: ("/api/v3/openOrders", 6), USDM: ("/fapi/v1/openOrders", 1), COINM: ("/dapi/v1/openOrders", 1)}
_OKX_PATHS = {
    _FILLS: "/api/v5/trade/fills-history",
    _OPEN: "/api/v5/trade/orders-pending",
    _FUNDING: "/api/v5/account/bills",
}
_OKX_OLDER = {_FILLS: "billId", _OPEN: "ordId", _FUNDING: "billId"}
_CATEGORIES = {InstrumentKind.SPOT: "spot", InstrumentKind.LINEAR: "linear", InstrumentKind.INVERSE: "inverse"}


class Record(Protocol):
    """One account's record at one venue. What cannot be read raises `reading.BadReply`."""

    def executions(self, since_ms: int, until_ms: int) -> tuple[AccountRead, ...]:
        """The first pages of what was executed in a span, both ends in it (venue time, at most a day)."""
        ...

    def fundings(self, since_ms: int, until_ms: int) -> tuple[AccountRead, ...]:
        """The first pages of funding in a span; none where the venue has none, or tells it with executions."""
        ...

    def open_orders(self) -> tuple[AccountRead, ...]:
        """The first pages of what rests."""
        ...

    def following(self, part: AccountPart) -> AccountRead | None:
        """The page after this one; None when there is none."""
        ...

    def rows(self, part: AccountPart) -> list[ExecutionReport | FundingPayment]:
        """What a page says, of instruments that the desk trades."""
        ...


def record_of(venue: str, instruments: Sequence[Instrument]) -> Record | None:
    """The record of a venue; None where its pages are not known here, and whole readings have to do."""
    if venue in BINANCE_VENUES:
        return BinanceRecord(venue, instruments)
    if venue == OKX:
        return OkxRecord(instruments)
    if venue == BYBIT:
        return BybitRecord(instruments)
    return None


class BinanceRecord:
    """By symbol; ids lead from page to page, the time of the last row says when the span is over."""

    PAGE = 1000

    def __init__(self, venue: str, instruments: Sequence[Instrument]) -> None:
        self._venue = venue
        self._by_id = {one.instrument_id: one for one in instruments}
        self._by_symbol = {one.symbol: one for one in instruments}

    def executions(self, since_ms: int, until_ms: int) -> tuple[AccountRead, ...]:
        """See `Record`."""
        times = {"startTime": since_ms, "endTime": until_ms}
        return tuple(self._fills(one, until_ms, 0, times) for one in self._by_id.values())

    def fundings(self, since_ms: int, until_ms: int) -> tuple[AccountRead, ...]:
        """See `Record`."""
        return (self._income(since_ms, until_ms, 0),) if self._venue in _BINANCE_INCOME else ()

    def open_orders(self) -> tuple[AccountRead, ...]:
        """See `Record`."""
        path, weight = _BINANCE_OPEN[self._venue]
        return tuple(
            _get(f"{_OPEN}|{one.instrument_id}", path, {"symbol": one.symbol}, one.instrument_id, weight=weight)
            for one in self._by_id.values()
        )

    def following(self, part: AccountPart) -> AccountRead | None:
        """See `Record`."""
        kind, _, rest = part.read.key.partition("|")
        rows = self._list(part)
        if kind == _FUNDING and len(rows) >= self.PAGE:
            until_ms, page = (int(text) for text in rest.split("|"))
            return self._income(r.time_ns(rows[-1], "time") // MS_NS, until_ms, page + 1)
        if kind != _FILLS or len(rows) < self.PAGE:
            return None
        until_ms, page = (int(text) for text in rest.split("|")[1:])
        if r.time_ns(rows[-1], "time") // MS_NS > until_ms:
            return None
        instrument = self._by_id[part.read.instrument_id]
        return self._fills(instrument, until_ms, page + 1, {"fromId": int(r.text(rows[-1], "id")) + 1})

    def rows(self, part: AccountPart) -> list[ExecutionReport | FundingPayment]:
        """See `Record`. An execution names its order by the venue's id only."""
        kind, _, rest = part.read.key.partition("|")
        if kind == _FUNDING:
            ours = ((self._by_symbol.get(r.text(row, "symbol")), row) for row in self._list(part))
            return [binance_funding(row, self._venue, one.instrument_id, part.ts_ns) for one, row in ours if one]
        instrument = self._by_id[part.read.instrument_id]
        if kind == _OPEN:
            status = ExecType.ORDER_STATUS
            return [
                binance_read.order_report(row, instrument, part.ts_ns, exec_type=status) for row in self._list(part)
            ]
        until_ns = (int(rest.split("|")[1]) + 1) * MS_NS
        found = [binance_read.trade_report(row, instrument, "", part.ts_ns) for row in self._list(part)]
        return [one for one in found if one.ts_event_ns < until_ns]

    def _fills(self, one: Instrument, until_ms: int, page: int, query: Mapping[str, int]) -> AccountRead:
        path, weight = _BINANCE_FILLS[self._venue]
        asked: dict[str, str | int] = {"symbol": one.symbol, "limit": self.PAGE, **query}
        return _get(f"{_FILLS}|{one.instrument_id}|{until_ms}|{page}", path, asked, one.instrument_id, weight=weight)

    def _income(self, since_ms: int, until_ms: int, page: int) -> AccountRead:
        path, weight = _BINANCE_INCOME[self._venue]
        span: dict[str, str | int] = {"startTime": since_ms, "endTime": until_ms, "limit": self.PAGE}
        return _get(f"{_FUNDING}|{until_ms}|{page}", path, {"incomeType": "FUNDING_FEE", **span}, weight=weight)

    def _list(self, part: AccountPart) -> list[r.Row]:
        if part.status != 200:
            raise r.BadReply(f"{part.read.key}: HTTP {part.status} {part.body[:80]!r}")
        return r.rows(r.parse(part.body), part.read.key)


class OkxRecord:
    """By instrument type, the newest first; ``after`` asks for older rows."""

    PAGE = 100

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._by_symbol = {one.symbol: one for one in instruments}
        self._types = tuple(dict.fromkeys("SPOT" if one.kind is InstrumentKind.SPOT else "SWAP" for one in instruments))

    def executions(self, since_ms: int, until_ms: int) -> tuple[AccountRead, ...]:
        """See `Record`."""
        span = {"begin": since_ms, "end": until_ms}
        return tuple(
            self._page(_FILLS, urlencode({"instType": kind, **span, "limit": self.PAGE}), 0) for kind in self._types
        )

    def fundings(self, since_ms: int, until_ms: int) -> tuple[AccountRead, ...]:
        """See `Record`."""
        if "SWAP" not in self._types:
            return ()
        span = {"type": "8", "begin": since_ms, "end": until_ms, "limit": self.PAGE}
        return (self._page(_FUNDING, urlencode(span), 0),)

    def open_orders(self) -> tuple[AccountRead, ...]:
        """See `Record`."""
        return (self._page(_OPEN, f"limit={self.PAGE}", 0),)

    def following(self, part: AccountPart) -> AccountRead | None:
        """See `Record`."""
        rows = self._list(part)
        if len(rows) < self.PAGE:
            return None
        kind, _, page = part.read.key.partition("|")
        asked = part.read.request.query.partition("&after=")[0]
        return self._page(kind, f"{asked}&after={r.text(rows[-1], _OKX_OLDER[kind])}", int(page) + 1)

    def rows(self, part: AccountPart) -> list[ExecutionReport | FundingPayment]:
        """See `Record`."""
        out: list[ExecutionReport | FundingPayment] = []
        for row in self._list(part):
            instrument = self._by_symbol.get(r.text_or(row, "instId"))
            if instrument is None:
                continue
            if part.read.key.startswith(_FUNDING):
                out.append(okx_funding(row, OKX, instrument.instrument_id, part.ts_ns))
            elif part.read.key.startswith(_FILLS):
                out.append(okx_read.fill_report(row, instrument, part.ts_ns, streamed=False))
            else:
                out.append(okx_read.order_report(row, instrument, part.ts_ns, exec_type=ExecType.ORDER_STATUS))
        return out

    def _page(self, kind: str, query: str, page: int) -> AccountRead:
        request = wire_request("GET", _OKX_PATHS[kind], WireKind.ACCOUNT, query=query)
        return AccountRead(key=f"{kind}|{page}", request=request)

    def _list(self, part: AccountPart) -> list[r.Row]:
        source = r.row(r.parse(part.body), part.read.key)
        if source.get("code") != "0":
            raise r.BadReply(f"code {str(source.get('code'))[:20]} {str(source.get('msg'))[:80]}")
        return r.rows(source.get("data"), part.read.key)


class BybitRecord:
    """By category, the newest first; a cursor leads to older rows."""

    PAGE = 100

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._by_symbol = {(_CATEGORIES[one.kind], one.symbol): one for one in instruments}

    def executions(self, since_ms: int, until_ms: int) -> tuple[AccountRead, ...]:
        """See `Record`."""
        span = {"startTime": since_ms, "endTime": until_ms, "limit": self.PAGE}
        categories = dict.fromkeys(category for category, _ in self._by_symbol)
        return tuple(
            _get(f"{_FILLS}|{category}|0", "/v5/execution/list", {"category": category, **span})
            for category in categories
        )

    def fundings(self, since_ms: int, until_ms: int) -> tuple[AccountRead, ...]:
        """See `Record`. It is among the executions there."""
        return ()

    def open_orders(self) -> tuple[AccountRead, ...]:
        """See `Record`."""
        return tuple(
            _get(
                f"{_OPEN}|{category}|0|{symbol}",
                "/v5/order/realtime",
                {"category": category, "symbol": symbol, "limit": 50},
            )
            for category, symbol in self._by_symbol
        )

    def following(self, part: AccountPart) -> AccountRead | None:
        """See `Record`."""
        result = self._result(part)
        token = r.text_or(result, "nextPageCursor")
        if not token or not r.rows(result.get("list"), part.read.key):
            return None
        kind, category, page, *more = part.read.key.split("|")
        base = part.read.request.query.partition("&cursor=")[0]
        query = f"{base}&cursor={quote(token, safe='')}"
        request = wire_request("GET", part.read.request.path, WireKind.ACCOUNT, query=query)
        return AccountRead(key="|".join((kind, category, str(int(page) + 1), *more)), request=request)

    def rows(self, part: AccountPart) -> list[ExecutionReport | FundingPayment]:
        """See `Record`. Funding is a kind of execution there."""
        kind, category = part.read.key.split("|")[:2]
        out: list[ExecutionReport | FundingPayment] = []
        for row in r.rows(self._result(part).get("list"), part.read.key):
            instrument = self._by_symbol.get((category, r.text(row, "symbol")))
            if instrument is None:
                continue
            if kind == _OPEN:
                out.append(bybit_read.order_report(row, instrument, part.ts_ns, exec_type=ExecType.ORDER_STATUS))
            elif (event := bybit_read.execution(row, instrument, part.ts_ns)) is not None:
                out.append(event)
        return out

    def _result(self, part: AccountPart) -> r.Row:
        source = r.row(r.parse(part.body), part.read.key)
        if source.get("retCode") != 0:
            raise r.BadReply(f"retCode {source.get('retCode')} {str(source.get('retMsg'))[:80]}")
        return r.row(source.get("result"), "result")


def _get(
    key: str, path: str, query: Mapping[str, str | int], instrument_id: str = "", *, weight: int = 1
) -> AccountRead:
    request = wire_request("GET", path, WireKind.ACCOUNT, query=urlencode(query), weight=weight)
    return AccountRead(key=key, request=request, instrument_id=instrument_id)
