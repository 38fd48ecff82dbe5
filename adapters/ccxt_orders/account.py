"""An account as ccxt reads it: balances, open orders, and executions window by window until none is left out.

A list of executions that is as long as the venue's longest may have been cut, at whichever end, so the time that it
covers is asked for again in two halves. Spot only: there are no positions and no funding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from adapters.ccxt_orders.reports import balances, foreign, order_report, trade_report
from adapters.ccxt_orders.sansio import Call, Method, SansIo, Unsigned
from adapters.ccxt_orders.venues import our_id
from adapters.ccxt_venues.instruments import MEXC
from adapters.orders.account import (
    AccountCursor,
    AccountPart,
    AccountRead,
    KnownOrders,
    Parts,
    Reading,
    TradeMark,
    Unreadable,
)
from adapters.orders.reading import BadReply
from adapters.orders.wire import MS_NS, HttpAnswer, WireRequest
from trading.instruments import Instrument
from trading.orders.messages import AccountState, ExecType, ExecutionReport

ORDERS_MAX: Final = 100
"""Orders behind executions that one reading asks for."""
_KEPT: Final = 64


class CcxtRequest(WireRequest, frozen=True, kw_only=True):
    """A request that ccxt has written and will sign; ``path`` is as the tables of limits name it."""

    call: Call
    unsigned: Unsigned


class CcxtAccount:
    """One venue's reading. Holds nothing between calls but what it has just read of the newest answers."""

    def __init__(self, io: SansIo, instruments: Mapping[str, Instrument], write: Any) -> None:
        """``write`` makes the request of a call."""
        self._io = io
        self._known = io.known
        self._by_id = instruments
        self._by_pair = {io.symbols[one.instrument_id]: one for one in instruments.values()}
        self._assets = frozenset(asset for one in instruments.values() for asset in (one.base, one.quote))
        self._write = write
        self._newest: deque[tuple[HttpAnswer, list[Mapping[str, Any]]]] = deque(maxlen=_KEPT)

    def first(self, cursor: AccountCursor) -> tuple[AccountRead, ...]:
        """Balances, open orders, and executions since the cursor."""
        reads = [self._get("balance", Call(Method.BALANCE))]
        if self._known.opens_page:
            reads.append(self._opens(1))
        else:
            reads += [
                self._get(f"open:{name}", Call(Method.OPENS, (self._io.symbols[name], None, None)), name)
                for name in self._by_id
            ]
        reads += [self._trades(name, cursor.begin_ms(name), 0) for name in self._by_id]
        return tuple(reads)

    def more(self, parts: Parts, known: KnownOrders) -> tuple[AccountRead, ...]:
        """Further pages, halves of windows that may have been cut, and orders behind executions."""
        try:
            following = (*self._pages(parts), *self._halves(parts), *self._orders(parts, known))
        except (BadReply, self._io.errors.BaseError):
            # What cannot be read now is said when it is assembled.
            return ()
        return tuple(read for read in following if read.key not in parts)

    def assemble(
        self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int
    ) -> Reading | Unreadable:
        """The account, or the first thing about it that cannot be told."""
        try:
            wanted = (*self.first(cursor), *self._pages(parts), *self._halves(parts))
            missing = [read.key for read in wanted if read.key not in parts]
            if missing:
                return Unreadable(f"{', '.join(missing[:3])} was not read")
            return self._whole(cursor, parts, known, cause, ts_ns)
        except (BadReply, self._io.errors.BaseError) as trouble:
            return Unreadable(str(trouble)[:200])

    # --- Requests --------------------------------------------------------------------------------------

    def _get(self, key: str, call: Call, instrument_id: str = "") -> AccountRead:
        return AccountRead(key=key, request=self._write(call), instrument_id=instrument_id)

    def _opens(self, page: int) -> AccountRead:
        params = {"page": page, "limit": self._known.opens_page}
        return self._get(f"open:{page}", Call(Method.OPENS, (None, None, None), params))

    def _trades(self, instrument_id: str, begin_ms: int, end_ms: int) -> AccountRead:
        """Executions from ``begin_ms`` to ``end_ms`` (0: now), both included, in the venue's own words for times."""
        step, most = self._known.trades_step_ms, self._known.trades_max
        begin, end = begin_ms // step, end_ms // step
        names = ("startTime", "endTime") if self._known.venue == MEXC else ("from", "to")
        params: dict[str, int] = {"limit": most, names[0]: begin} | ({names[1]: end} if end_ms else {})
        call = Call(Method.TRADES, (self._io.symbols[instrument_id], None, None), params)
        return self._get(f"trades:{instrument_id}|{begin * step}|{end * step}", call, instrument_id)

    def _rows(self, part: AccountPart) -> list[Mapping[str, Any]]:
        request = part.read.request
        assert isinstance(request, CcxtRequest)
        for answer, rows in self._newest:
            if answer is part.answer:
                return rows
        found = self._io.read(request.call, part.answer)
        if not isinstance(found, Sequence):
            raise BadReply(f"{part.read.key} is no list")
        rows = list(found)
        self._newest.append((part.answer, rows))
        return rows

    def _pages(self, parts: Parts) -> list[AccountRead]:
        """Gate.io pages open orders pair by pair: as long as one pair fills its page there may be another page."""
        out: list[AccountRead] = []
        for key, part in parts.items():
            if not self._known.opens_page or not key.startswith("open:"):
                continue
            pairs: dict[str, int] = {}
            for row in self._rows(part):
                pairs[str(row.get("symbol"))] = pairs.get(str(row.get("symbol")), 0) + 1
            if pairs and max(pairs.values()) >= self._known.opens_page:
                out.append(self._opens(int(key.partition(":")[2]) + 1))
        return out

    def _halves(self, parts: Parts) -> list[AccountRead]:
        out: list[AccountRead] = []
        step = self._known.trades_step_ms
        for key, part in parts.items():
            if not key.startswith("trades:"):
                continue
            rows = self._rows(part)
            if len(rows) < self._known.trades_max:
                continue
            instrument_id, begin, end = key.removeprefix("trades:").rsplit("|", 2)
            times = sorted(int(row.get("timestamp") or 0) // step * step for row in rows)
            middle = times[len(times) // 2]
            if middle <= int(begin):
                middle = int(begin) + step if times[-1] > int(begin) else int(begin)
            if times[0] < int(begin) or middle <= int(begin):
                raise BadReply(f"{instrument_id}: more executions at one time than {self._known.venue} lists")
            out += [
                self._trades(instrument_id, int(begin), middle - step),
                self._trades(instrument_id, middle, int(end)),
            ]
        return out

    def _orders(self, parts: Parts, known: KnownOrders) -> list[AccountRead]:
        listed = self._listed(parts)
        out: dict[str, AccountRead] = {}
        for instrument, row in self._trade_rows(parts):
            order_id = str(row.get("order"))
            name = f"{instrument.symbol}:{order_id}"
            key = f"order:{name}"
            if _said(row) or name in known or name in listed or key in parts or len(out) >= ORDERS_MAX:
                continue
            call = Call(Method.QUERY, (order_id, self._io.symbols[instrument.instrument_id]))
            out[key] = self._get(key, call, instrument.instrument_id)
        return list(out.values())

    def _trade_rows(self, parts: Parts) -> list[tuple[Instrument, Mapping[str, Any]]]:
        return [
            (self._by_id[part.read.instrument_id], row)
            for key, part in parts.items()
            if key.startswith("trades:")
            for row in self._rows(part)
        ]

    def _listed(self, parts: Parts) -> dict[str, str]:
        """Client order ids of the open orders, by symbol and the venue's order id."""
        out: dict[str, str] = {}
        for key, part in parts.items():
            if key.startswith("open:"):
                for row in self._rows(part):
                    instrument = self._by_pair.get(str(row.get("symbol")))
                    if instrument is not None:
                        said = str(row.get("clientOrderId") or "")
                        out[f"{instrument.symbol}:{row.get('id')}"] = our_id(self._known, said)
        return out

    # --- The whole -------------------------------------------------------------------------------------

    def _whole(self, cursor: AccountCursor, parts: Parts, known: KnownOrders, cause: str, ts_ns: int) -> Reading:
        executions, marks = self._executions(parts, known, ts_ns)
        balance = parts["balance"]
        request = balance.read.request
        assert isinstance(request, CcxtRequest)
        state = AccountState(
            venue=self._known.venue,
            exec_seq=0,
            open_orders=tuple(self._open_orders(parts, ts_ns)),
            executions=tuple(executions),
            fundings=(),
            positions={},
            balances=balances(self._io.read(request.call, balance.answer), self._assets),
            cause=cause,
            ts_init_ns=ts_ns,
        )
        read_ms = min(part.ts_ns for part in parts.values()) // MS_NS
        return Reading(state=state, cursor=cursor.moved(marks, 0, read_ms))

    def _open_orders(self, parts: Parts, ts_ns: int) -> list[ExecutionReport]:
        found: dict[str, ExecutionReport] = {}
        like = next(iter(self._by_id.values()))
        for key, part in parts.items():
            if key.startswith("open:"):
                for row in self._rows(part):
                    pair = str(row.get("symbol"))
                    instrument = self._by_pair.get(pair) or foreign(self._known.venue, pair, like)
                    report = order_report(self._known, row, instrument, ts_ns, exec_type=ExecType.ORDER_STATUS)
                    found[f"{instrument.symbol}:{report.order_id}"] = report
        return list(found.values())

    def _executions(
        self, parts: Parts, known: KnownOrders, ts_ns: int
    ) -> tuple[list[ExecutionReport], dict[str, TradeMark]]:
        listed, seen, marks = self._listed(parts), dict[str, ExecutionReport](), dict[str, TradeMark]()
        for instrument, row in self._trade_rows(parts):
            name = f"{instrument.symbol}:{row.get('order')}"
            said = our_id(self._known, _said(row))
            whose = said or known.get(name) or listed.get(name) or self._asked(parts, instrument, name)
            report = trade_report(row, instrument, whose, ts_ns)
            seen[report.exec_id] = report
            mark = marks.get(instrument.instrument_id)
            ts_ms = report.ts_event_ns // MS_NS
            if mark is None or ts_ms >= mark.ts_ms:
                marks[instrument.instrument_id] = TradeMark(trade_id=str(row.get("id")), ts_ms=ts_ms)
        return sorted(seen.values(), key=lambda report: report.ts_event_ns), marks

    def _asked(self, parts: Parts, instrument: Instrument, name: str) -> str:
        """Whose order it is by the order itself; "" where the venue has forgotten it."""
        part = parts.get(f"order:{name}")
        if part is None:
            return ""
        request = part.read.request
        assert isinstance(request, CcxtRequest)
        try:
            row = self._io.read(request.call, part.answer)
        except self._io.errors.OrderNotFound:
            return ""
        return our_id(self._known, str(row.get("clientOrderId") or ""))


def with_call(request: WireRequest, call: Call, unsigned: Unsigned) -> CcxtRequest:
    """The request with what ccxt needs to sign it and to read its answer."""
    return CcxtRequest(**msgspec.structs.asdict(request), call=call, unsigned=unsigned)


def _said(row: Mapping[str, Any]) -> str:
    """The client order id in an execution's own row, where the venue writes it there."""
    info = row.get("info")
    said = (info.get("text") or info.get("clientOrderId")) if isinstance(info, Mapping) else None
    return str(said) if said else ""
