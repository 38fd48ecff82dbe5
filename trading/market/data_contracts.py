"""The contracts of market data and features, in the columns of recorded history.

Owns what must hold for each kind of data, and the row that an event makes; the rules and their evaluation are
`trading.market.contracts`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trading.market.contracts import Contract, InRange, InSet, Monotonic, NotNull, Ordered, Unique
from trading.market.events import (
    BookState,
    BookTicker,
    BookTop,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    IndexPrice,
    InstrumentStatus,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
    VenueEvent,
    VenueNotice,
    WireRejected,
)

_2009_NS, _2100_NS = 1_230_768_000_000_000_000, 4_102_444_800_000_000_000
_STATED_NS = InRange("ts_event_ns", _2009_NS, _2100_NS, unset=0)
_RECEIVED_NS = InRange("ts_recv_ns", _2009_NS, _2100_NS)
_SERIES = ("venue", "instrument_id")
_BASE = (NotNull(("instrument_id", "ts_recv_ns")), _STATED_NS, _RECEIVED_NS)
_PRINT = (
    *_BASE,
    NotNull(("trade_id", "price_ticks", "qty_lots", "side")),
    InRange("price_ticks", 0, above=True),
    InRange("qty_lots", 0, above=True),
    InSet("side", frozenset({"buy", "sell"})),
    Unique(("trade_id",)),
)
_TOUCH = (
    *_BASE,
    InRange("bid_ticks", 0, above=True),
    InRange("ask_ticks", 0, above=True),
    InRange("bid_lots", 0),
    InRange("ask_lots", 0),
    Ordered("bid_ticks", "ask_ticks", strictly=True),
)
_FUNDING_RATE = InRange("funding_rate", -0.1, 0.1)

CONTRACTS: Final[Mapping[str, Contract]] = {
    contract.name: contract
    for contract in (
        Contract(name="trade", series=_SERIES, rules=(*_PRINT, Monotonic("ts_event_ns", slack=5_000_000_000))),
        # Where the venue numbers its prints one after the other. Bybit's ids are no numbers; Binance USD-M numbers what
        # its insurance fund did too, which is no print of the market and leaves a hole.
        Contract(name="trade_numbered", series=_SERIES, rules=(*_PRINT, Monotonic("trade_id", strictly=True, step=1))),
        Contract(
            name="depth",
            series=_SERIES,
            unless="snapshot",
            rules=(
                *_BASE,
                NotNull(("final_id",)),
                Ordered("first_id", "final_id"),
                Monotonic("final_id", prev="prev_id", first="first_id"),
            ),
        ),
        Contract(name="quote", series=_SERIES, rules=(*_TOUCH, Monotonic("update_id"))),
        Contract(name="bbo", series=_SERIES, rules=_TOUCH),
        # What a proved book tells. Its number does not go back while it stays proved, but for Bybit, which sends a
        # whole book of u = 1 when its service was restarted (v5 public WebSocket orderbook, field u, read 2025-11).
        Contract(
            name="top",
            series=("instrument_id",),
            unless="unproved",
            anew=True,
            rules=(*_TOUCH, Monotonic("update_id", restart=1)),
        ),
        Contract(
            name="ticker",
            series=_SERIES,
            rules=(
                *_BASE,
                NotNull(("last_price",)),
                InRange("last_price", 0, above=True),
                InRange("volume_24h", 0),
                Ordered("low_24h", "high_24h"),
                Ordered("bid_price", "ask_price"),
            ),
        ),
        Contract(
            name="mark",
            series=_SERIES,
            rules=(
                *_BASE,
                InRange("mark_price", 0, above=True),
                InRange("index_price", 0, above=True),
                _FUNDING_RATE,
                InRange("next_funding_ns", _2009_NS, _2100_NS),
                Monotonic("ts_event_ns", slack=5_000_000_000),
            ),
        ),
        Contract(
            name="funding",
            series=_SERIES,
            rules=(
                *_BASE,
                NotNull(("funding_rate", "funding_ns")),
                _FUNDING_RATE,
                Ordered("funding_ns", "next_funding_ns", strictly=True),
                Ordered("min_rate", "max_rate"),
            ),
        ),
        Contract(name="oi", series=_SERIES, rules=(*_BASE, NotNull(("qty",)), InRange("qty", 0))),
        Contract(
            name="liquidation",
            series=_SERIES,
            rules=(
                *_BASE,
                NotNull(("side", "price", "qty")),
                InSet("side", frozenset({"long", "short"})),
                InRange("price", 0, above=True),
                InRange("qty", 0, above=True),
            ),
        ),
        Contract(name="ratio", series=_SERIES, rules=(*_BASE, NotNull(("ratio",)), InRange("ratio", 0))),
    )
}
"""By kind of data, in the columns of recorded history; what a row does not have only `NotNull` minds."""


def feature_contract(name: str, ranges: Mapping[str, tuple[float | None, float | None]]) -> Contract:
    """The contract of feature rows: each column a finite number within its (least, most), or None while it warms up."""
    return Contract(
        name=name,
        series=("instrument_id",),
        rules=(
            NotNull(("instrument_id", "ts_event_ns")),
            *(InRange(column, least, most) for column, (least, most) in ranges.items()),
            Monotonic("ts_event_ns"),
        ),
    )


def event_row(event: VenueEvent | BookTop) -> tuple[str, dict[str, Any]] | None:
    """The kind of an event and its columns, for `CONTRACTS`; None for what has no contract."""
    match event:
        case BookTop():
            return "top", _top_row(event)
        case Trade():
            kind = "trade"
            columns: dict[str, Any] = {
                "trade_id": event.trade_id,
                "price_ticks": event.price_ticks,
                "qty_lots": event.qty_lots,
                "side": event.aggressor.value,
            }
        case DepthUpdate():
            kind = "depth"
            columns = {
                "snapshot": False,
                "first_id": event.first_update_id,
                "final_id": event.final_update_id,
                "prev_id": event.prev_final_update_id,
            }
        case BookTicker() | Ticker() | FundingRate() | OpenInterest() | LongShortRatio() | MarkPrice() | IndexPrice():
            kind = _KIND_OF[type(event)]
            columns = {name: getattr(event, name) for name in event.__struct_fields__}
        case Liquidation():
            kind = "liquidation"
            columns = {"side": event.side.value, "price": event.price, "qty": event.qty}
        case DepthSnapshot() | VenueNotice() | InstrumentStatus() | WireRejected():
            return None
    columns["instrument_id"] = event.instrument_id
    columns["venue"] = event.instrument_id.partition(":")[0]
    columns["ts_event_ns"] = event.ts_event_ns
    columns["ts_recv_ns"] = event.ts_recv_ns
    return kind, columns


def _top_row(top: BookTop) -> dict[str, Any]:
    bids, asks = top.bids, top.asks
    bid_ticks, bid_lots = bids[0] if bids else (None, None)
    ask_ticks, ask_lots = asks[0] if asks else (None, None)
    return {
        "unproved": top.state is not BookState.SYNCED,
        "update_id": top.update_id if top.update_id >= 0 else None,
        "bid_ticks": bid_ticks,
        "bid_lots": bid_lots,
        "ask_ticks": ask_ticks,
        "ask_lots": ask_lots,
        "instrument_id": top.instrument_id,
        "ts_event_ns": top.ts_event_ns,
        "ts_recv_ns": top.ts_recv_ns,
    }


_KIND_OF: dict[type, str] = {
    BookTicker: "quote",
    Ticker: "ticker",
    FundingRate: "funding",
    OpenInterest: "oi",
    LongShortRatio: "ratio",
    MarkPrice: "mark",
    IndexPrice: "mark",
}
