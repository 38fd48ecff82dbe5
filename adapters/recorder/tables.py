"""The tables of recorded history: which kinds of rows there are, their columns and how an event becomes a row.

Prices are integer ticks and quantities integer lots wherever the codec gives them so; each file carries its
``tick_size`` and ``lot_size``, so that the views can say decimals. A depth message is one row with lists of levels:
rows equal messages, which is what totals are compared by. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec

from trading.market.events import (
    BookTicker,
    DepthSnapshot,
    DepthUpdate,
    FundingRate,
    IndexPrice,
    InstrumentStatus,
    Level,
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
from trading.market.watermarks import Lateness

SCHEMA: Final = 1
"""Raised whenever a column changes: everything is built again then."""


class Kind(Enum):
    """What a row is about; ``quote`` is the venue's own best bid and ask, ``bbo`` that of the proved book."""

    TRADE = "trade"
    DEPTH = "depth"
    QUOTE = "quote"
    BBO = "bbo"
    TICKER = "ticker"
    MARK = "mark"
    FUNDING = "funding"
    OI = "oi"
    LIQUIDATION = "liquidation"
    RATIO = "ratio"
    STATUS = "status"
    NOTICE = "notice"
    REJECT = "reject"
    GAP = "gap"


_LEVELS: Final = {"bid_ticks": "BIGINT", "bid_lots": "BIGINT", "ask_ticks": "BIGINT", "ask_lots": "BIGINT"}
_LISTS: Final = dict.fromkeys(_LEVELS, "BIGINT[]")
_BASE: Final = {"line": "BIGINT", "ts_event_ns": "BIGINT", "ts_recv_ns": "BIGINT"}
_D: Final = "DECIMAL(38,18)"

COLUMNS: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.TRADE: {
        **_BASE,
        "trade_id": "BIGINT",
        "price_ticks": "BIGINT",
        "qty_lots": "BIGINT",
        "side": "VARCHAR",
        "lateness": "VARCHAR",
    },
    Kind.DEPTH: {
        **_BASE,
        "snapshot": "BOOLEAN",
        "first_id": "BIGINT",
        "final_id": "BIGINT",
        "prev_id": "BIGINT",
        "seq": "BIGINT",
        "checksum": "BIGINT",
        "result": "VARCHAR",
        **_LISTS,
    },
    Kind.QUOTE: {**_BASE, "update_id": "BIGINT", **_LEVELS},
    Kind.BBO: {**_BASE, "state": "VARCHAR", "update_id": "BIGINT", **_LEVELS},
    Kind.TICKER: {
        **_BASE,
        **dict.fromkeys(("last_price", "last_qty", "bid_price", "bid_qty", "ask_price", "ask_qty"), _D),
        **dict.fromkeys(("open_24h", "high_24h", "low_24h", "volume_24h", "turnover_24h"), _D),
    },
    Kind.MARK: {
        **_BASE,
        **dict.fromkeys(("mark_price", "index_price", "funding_rate"), _D),
        "next_funding_ns": "BIGINT",
    },
    Kind.FUNDING: {
        **_BASE,
        **dict.fromkeys(("funding_rate", "next_funding_rate", "settled_rate", "min_rate", "max_rate"), _D),
        **dict.fromkeys(("funding_ns", "next_funding_ns"), "BIGINT"),
    },
    Kind.OI: {**_BASE, **dict.fromkeys(("qty", "base_qty", "notional"), _D)},
    Kind.LIQUIDATION: {**_BASE, "side": "VARCHAR", "price": _D, "qty": _D},
    Kind.RATIO: {**_BASE, "ratio": _D},
    Kind.STATUS: {**_BASE, "status": "VARCHAR", "tradable": "BOOLEAN", "rules_version": "VARCHAR"},
    Kind.NOTICE: {**_BASE, "code": "VARCHAR", "text": "VARCHAR", "begin_ns": "BIGINT", "end_ns": "BIGINT"},
    Kind.REJECT: {**_BASE, "reason": "VARCHAR", "excerpt": "VARCHAR"},
    Kind.GAP: {**_BASE, "what": "VARCHAR", "text": "VARCHAR", "from_id": "BIGINT", "to_id": "BIGINT"},
}
"""By kind: the columns that rows state, with their SQL types."""

REAL: Final = "real"

CONSTANTS: Final = {
    "world": "VARCHAR",
    "session": "VARCHAR",
    "source": "VARCHAR",
    "instrument_id": "VARCHAR",
    "tick_size": "DECIMAL(18,12)",
    "lot_size": "DECIMAL(18,12)",
}
"""Columns that are the same in all rows of a file; ``session`` and ``source`` name the wire log, ``line`` its line.

``world`` is `REAL`, or the name of a synthetic session: what happened in one says nothing of another.
"""

_KINDS: Final[Mapping[type, Kind]] = {
    Trade: Kind.TRADE,
    DepthUpdate: Kind.DEPTH,
    DepthSnapshot: Kind.DEPTH,
    BookTicker: Kind.QUOTE,
    Ticker: Kind.TICKER,
    MarkPrice: Kind.MARK,
    IndexPrice: Kind.MARK,
    FundingRate: Kind.FUNDING,
    OpenInterest: Kind.OI,
    Liquidation: Kind.LIQUIDATION,
    LongShortRatio: Kind.RATIO,
    InstrumentStatus: Kind.STATUS,
    VenueNotice: Kind.NOTICE,
    WireRejected: Kind.REJECT,
}
_LATENESS: Final[dict[Lateness | None, bytes]] = {
    None: b"null",
    **{one: b'"%b"' % one.value.encode() for one in Lateness},
}
_encode = msgspec.json.Encoder(decimal_format="string").encode


def kind_of(event: VenueEvent) -> Kind:
    """The table that an event belongs to."""
    return _KINDS[type(event)]


def trade_row(event: Trade, line: int, lateness: Lateness | None) -> bytes:
    """One print as a JSON line; ``lateness`` None is for one that was not received."""
    return b'{"line":%d,"ts_event_ns":%d,"ts_recv_ns":%d,"trade_id":%d,"price_ticks":%d,"qty_lots":%d,%b}\n' % (
        line,
        event.ts_event_ns,
        event.ts_recv_ns,
        event.trade_id,
        event.price_ticks,
        event.qty_lots,
        b'"side":"%b","lateness":%b' % (event.aggressor.value.encode(), _LATENESS[lateness]),
    )


def depth_row(event: DepthUpdate | DepthSnapshot, line: int, result: str) -> bytes:
    """One diff or snapshot as a JSON line; ``result`` is what the book did with it."""
    whole = isinstance(event, DepthSnapshot)
    first, final, prev = (
        (event.last_update_id, event.last_update_id, -1)
        if isinstance(event, DepthSnapshot)
        else (event.first_update_id, event.final_update_id, event.prev_final_update_id)
    )
    bids, asks = list(event.bids), list(event.asks)
    text = (
        f'{{"line":{line},"ts_event_ns":{event.ts_event_ns},"ts_recv_ns":{event.ts_recv_ns},'
        f'"snapshot":{"true" if whole else "false"},"first_id":{first},"final_id":{final},"prev_id":{prev},'
        f'"seq":{event.seq},"checksum":{event.checksum},"result":"{result}",'
        f'"bid_ticks":{[tick for tick, _ in bids]},"bid_lots":{[lots for _, lots in bids]},'
        f'"ask_ticks":{[tick for tick, _ in asks]},"ask_lots":{[lots for _, lots in asks]}}}\n'
    )
    return text.encode()


def quote_row(event: BookTicker, line: int) -> bytes:
    """The venue's own touch as a JSON line."""
    return (
        b'{"line":%d,"ts_event_ns":%d,"ts_recv_ns":%d,"update_id":%d,'
        b'"bid_ticks":%d,"bid_lots":%d,"ask_ticks":%d,"ask_lots":%d}\n'
        % (
            line,
            event.ts_event_ns,
            event.ts_recv_ns,
            event.update_id,
            event.bid_ticks,
            event.bid_lots,
            event.ask_ticks,
            event.ask_lots,
        )
    )


def bbo_row(
    line: int, times_ns: tuple[int, int], state: str, update_id: int, touch: tuple[Level | None, Level | None]
) -> bytes:
    """The touch (bid, ask) of a book as a JSON line; None where there is none, or none that is proved.

    ``times_ns`` are the venue's and ours.
    """
    bid, ask = touch
    bid_text = "null,null" if bid is None else f"{bid[0]},{bid[1]}"
    bid_ticks, _, bid_lots = bid_text.partition(",")
    ask_text = "null,null" if ask is None else f"{ask[0]},{ask[1]}"
    ask_ticks, _, ask_lots = ask_text.partition(",")
    return (
        f'{{"line":{line},"ts_event_ns":{times_ns[0]},"ts_recv_ns":{times_ns[1]},"state":"{state}",'
        f'"update_id":{update_id},"bid_ticks":{bid_ticks},"bid_lots":{bid_lots},"ask_ticks":{ask_ticks},'
        f'"ask_lots":{ask_lots}}}\n'
    ).encode()


def gap_row(line: int, ts_recv_ns: int, what: str, text: str, ids: tuple[int, int]) -> bytes:
    """What is missing, or was not believed: update or trade ids ``ids`` (first, last), -1 where unknown."""
    row = {"line": line, "ts_event_ns": 0, "ts_recv_ns": ts_recv_ns, "what": what, "text": text}
    return _encode({**row, "from_id": ids[0], "to_id": ids[1]}) + b"\n"


def other_row(event: VenueEvent, line: int) -> bytes:
    """Any other event as a JSON line: its fields are its columns."""
    row = {name: getattr(event, name, None) for name in COLUMNS[kind_of(event)]}
    row["line"] = line
    row["ts_event_ns"] = getattr(event, "ts_event_ns", 0)
    return _encode(row) + b"\n"
