"""The features' actor: keeps `FeatureBoard` from market events, answers who asks, tells the operators as metrics.

Everything it says is a function of the events it was told, so that a replay says the same. It decides nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.shell import Shell
from trading.features.board import FEATURE_EVENTS, FeatureBoard, FeatureSpec
from trading.instruments import Instrument
from trading.market.events import IndexPrice, Ticker
from trading.operators import Published, Topic

_NO_FEATURE = frozenset({Ticker, IndexPrice})
"""What a connector tells and no feature is made of: both prices come with better times elsewhere."""
CORRELATIONS_MAX = 100
"""Pairs that are published; the strongest come first."""


class FeaturesSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What the board is built from. ``ops`` None: nobody looks (virtual time), so nothing is published.

    ``judge``, where there is one, is told every instrument's values whenever they are published.
    """

    instruments: dict[str, Instrument]
    spec: FeatureSpec = FeatureSpec()
    publish_ns: int = 2_000_000_000
    cell: str = "data"
    ops: str | None = "ops"
    judge: str | None = None


class AskFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for the features of one instrument; answered by `FeatureValues`."""

    reply_to: str
    instrument_id: str


class FeatureValues(msgspec.Struct, frozen=True, kw_only=True):
    """Features by name, None while not warm; empty ``values`` for an instrument that nobody follows."""

    instrument_id: str
    values: dict[str, float | None]
    ts_ns: int


class Features(Shell):
    """One board for all instruments of its cell."""

    def start(self, setup: FeaturesSetup) -> None:
        """Build the board, and begin to publish where somebody looks."""
        self._setup = setup
        self._board = FeatureBoard(setup.instruments, setup.spec)
        if setup.ops is not None:
            self.wake_after(setup.publish_ns, "publish")

    @property
    def board(self) -> FeatureBoard:
        """For the replay's report; live readers ask or get `Published` facts."""
        return self._board

    def snapshot(self) -> dict[str, object]:
        """Every figure, for comparing a replay with what was live."""
        return self._board.snapshot()

    def on(self, msg: Any) -> None:
        """Take market events; answer who asks."""
        kind = type(msg)
        if kind in FEATURE_EVENTS:
            self._board.update(msg)
        elif kind in _NO_FEATURE:
            pass
        elif kind is AskFeatures:
            self.tell(msg.reply_to, self._values(msg.instrument_id))
        else:
            self.unknown(msg)

    def on_tick(self, tag: str) -> None:
        """Publish."""
        setup = self._setup
        if setup.ops is not None:
            body: dict[str, object] = {"series": self.series()}
            key = f"{setup.cell}.features"
            self.tell(setup.ops, Published(topic=Topic.METRICS, key=key, body=body, ts_ns=self.now_ns()))
            self.wake_after(setup.publish_ns, "publish")
            if setup.judge is not None:
                for name in setup.instruments:
                    self.tell(setup.judge, self._values(name))

    def _values(self, instrument_id: str) -> FeatureValues:
        values = dict(self._board.read(instrument_id) or {})
        return FeatureValues(instrument_id=instrument_id, values=values, ts_ns=self.now_ns())

    def series(self) -> list[list[object]]:
        """METRICS rows: a gauge a feature and instrument that has a value, correlations, counters of our own."""
        board = self._board
        rows: list[list[object]] = [
            ["features_events_total", "counter", {}, board.events],
            ["features_refused_total", "counter", {}, board.refused],
            ["features_strange_total", "counter", {}, board.strange],
        ]
        for instrument_id in self._setup.instruments:
            labels = {"symbol": instrument_id}
            for name, value in (board.read(instrument_id) or {}).items():
                if value is not None:
                    rows.append([f"feature_{name.replace('.', '_')}", "gauge", labels, value])
        strongest = sorted(board.correlations.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
        for (one, other), value in strongest[:CORRELATIONS_MAX]:
            rows.append(["feature_correlation", "gauge", {"symbol": one, "other": other}, value])
        rows.append(["features_cache_hits_total", "counter", {}, board.hits])
        rows.append(["features_cache_misses_total", "counter", {}, board.misses])
        return rows
