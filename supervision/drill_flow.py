"""The orders of the crash campaign: quotes over the desk's own link, at a pace that the venues' real limits allow.

Owns the campaign's configuration (orders by wire, no pauses of the desk's own) and the thread that quotes. Most quotes
rest away from the touch and are replaced all the time; some are at the touch and fill. A desk that dies takes the link
along: the thread finds the next one by itself.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from actors.messages import LinkMessage
from adapters.links import LinkCodec
from supervision.desk_plan import INSTRUMENTS
from supervision.drill_desk import DrillDesk
from trading.orders.messages import QuoteIntent


class Lane(msgspec.Struct, frozen=True):
    """One instrument: how many quotes a second it is asked for (two orders each), and by how many quoters in turn."""

    instrument_id: str
    quotes_per_s: float
    quoters: int


LANES: Final = (
    Lane("OKX:PERP:BTC-USDT:LINEAR", 11, 4),
    Lane("OKX:PERP:BTC-USD:INVERSE", 11, 4),
    Lane("OKX:SPOT:BTC-USDT", 11, 4),
    Lane("BINANCEUSDM:PERP:BTC-USDT:LINEAR", 2, 2),
    Lane("BYBIT:PERP:BTC-USDT:LINEAR", 2, 2),
)
"""Together 74 orders a second. OKX lets an instrument have 30 a second, Bybit an account 10, USD-M an account 1,200 a
minute; new orders get a part of that, and what is left is for cancels and for what a restart has to ask."""

VENUES: Final = tuple(dict.fromkeys(INSTRUMENTS[lane.instrument_id].venue for lane in LANES))
USUAL: Final = ("okx", "bybit", "binanceusdm")
_BALANCES: Final = {
    "okx": {"USDT": 500_000, "BTC": 20},
    "binanceusdm": {"USDT": 100_000},
    "bybit": {"USDT": 100_000},
}
_AWAY: Final = Decimal("0.0006")
_SIZE_USD: Final = Decimal(130)
_TOUCH_EVERY: Final = 6
"""Every so many quotes one at the touch, so that there are fills to lose."""
_LOOK_EVERY_S: Final = 0.5
_TTL_NS: Final = 3_000_000_000
_STEP_QUOTES: Final = 4


def lanes_of(venues: Sequence[str]) -> tuple[Lane, ...]:
    """The lanes of some venues; ``ValueError`` for a venue without one, or without the one that most orders go to."""
    unknown = [venue for venue in venues if venue not in VENUES]
    if unknown or VENUES[0] not in venues:
        raise ValueError(f"--venues {','.join(venues)}: choose {VENUES[0]} and any of {', '.join(VENUES[1:])}")
    return tuple(lane for lane in LANES if INSTRUMENTS[lane.instrument_id].venue in venues)


def flow_config(venues: Sequence[str] = USUAL) -> str:
    """YAML: venues over their own wire, quoters that only the drill moves, restarts without a long wait."""
    tree: dict[str, Any] = {
        "execution": {
            "orders": "wire",
            "pace": {"min_order_interval_ms": 0, "min_quote_interval_ms": 1, "orders_per_symbol_per_min": 1_000_000},
        },
        "risk": {
            "throttle_orders_per_sec": 500,
            "max_inflight_orders": 500,
            "daily_loss_cap_usd": 50_000,
            "notional_caps": {"per_symbol": {"default": 20_000}, "per_venue": {"default": 80_000}, "gross": 200_000},
        },
        "recorder": {"enabled": False},
        "journal": {"checkpoint_sec": 1},
        # The campaign kills more often than a desk may fail: what it looks for is after a restart, not instead of one.
        "supervision": {"intensity": 100, "period_s": 10, "backoff": {"initial_ms": 50, "max_ms": 100}},
        "venues": {
            venue: {
                "instruments": [lane.instrument_id for lane in LANES if INSTRUMENTS[lane.instrument_id].venue == venue],
                "sim": {"initial_balances": _BALANCES[venue]},
            }
            for venue in venues
        },
        "strategies": {
            _quoter(lane, n): {
                "kind": "maker",
                "instruments": [lane.instrument_id],
                "params": {"quote_notional_usd": 0},
                "budget_usd": 5_000,
            }
            for lane in lanes_of(venues)
            for n in range(lane.quoters)
        },
    }
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in tree.items())


def _quoter(lane: Lane, n: int) -> str:
    return f"drill-{LANES.index(lane)}-{n}"


def _turns(lanes: Sequence[Lane], period_s: float) -> Iterator[Lane | None]:
    """Whose turn it is, for ever, one step a ``period_s``: lanes by their pace, evenly; None: nobody's."""
    credit = dict.fromkeys(lanes, 0.0)
    while True:
        for lane in lanes:
            credit[lane] += lane.quotes_per_s * period_s
        lane = max(lanes, key=credit.__getitem__)
        if credit[lane] >= 1:
            credit[lane] -= 1
            yield lane
        else:
            yield None


class Flow:
    """Quotes from a thread of its own between `start` and `stop`. ``refused`` counts links that were not there."""

    STEP_S: Final = 0.02

    def __init__(self, desk: DrillDesk, venues: Sequence[str] = USUAL) -> None:
        self._desk = desk
        self._lanes = lanes_of(venues)
        self._codec = LinkCodec(LinkMessage)
        self._link: socket.socket | None = None
        self._mids: dict[str, int] = {}
        self._count = itertools.count(1)
        self._quoted: dict[Lane, int] = dict.fromkeys(self._lanes, 0)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drill flow", daemon=True)
        self.refused = 0

    def start(self) -> None:
        """Begin to quote."""
        self._thread.start()

    def stop(self) -> None:
        """Quote no more, and let go of the link; a flow that never began has nothing to end."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(5)
        self._drop()

    def _run(self) -> None:
        turns = _turns(self._lanes, self.STEP_S / _STEP_QUOTES)
        looked_ns = 0
        while not self._ending.wait(self.STEP_S):
            now = self._desk.clock.mono_ns()
            if now - looked_ns > _LOOK_EVERY_S * 1e9:
                looked_ns = now
                self._look()
            batch = [
                self._quote(lane)
                for _ in range(_STEP_QUOTES)
                if (lane := next(turns)) and lane.instrument_id in self._mids
            ]
            if batch:
                self._send(batch)

    def _look(self) -> None:
        try:
            self._mids |= self._desk.mids_ticks()
        except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
            return  # the page is away, or a book has no middle now

    def _quote(self, lane: Lane) -> tuple[str, Any]:
        n = next(self._count)
        self._quoted[lane] += 1
        quoter = self._quoted[lane] % lane.quoters
        instrument = INSTRUMENTS[lane.instrument_id]
        mid = self._mids[lane.instrument_id]
        at_touch = self._quoted[lane] % _TOUCH_EVERY == 0
        away = 1 if at_touch else int(mid * _AWAY) + n * 7 % 61 * 2
        lots = int(_SIZE_USD / instrument.notional(instrument.lot_size, instrument.price(mid))) + 1
        return "arbiter", QuoteIntent(
            intent_id=f"drill:{n}",
            strategy_id=_quoter(lane, quoter),
            instrument_id=lane.instrument_id,
            bid_ticks=mid - away,
            bid_lots=lots,
            ask_ticks=mid + away,
            ask_lots=lots,
            confidence=1.0,
            ttl_ns=_TTL_NS,
            reasons=("crash campaign",),
            cause="drill",
            ts_init_ns=self._desk.clock.wall_ns(),
        )

    def _send(self, batch: list[tuple[str, Any]]) -> None:
        try:
            if self._link is None:
                self._link = socket.socket(socket.AF_UNIX)
                self._link.settimeout(0.5)
                self._link.connect(str(self._desk.paths.link("desk")))
            self._link.sendall(self._codec.encode(batch))
        except OSError:
            self.refused += 1
            self._drop()

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
