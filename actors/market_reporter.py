"""What operators read of a venue's markets beside the books: flow, derivatives, liquidations, opportunity, contracts.

Sits beside its connector and takes what that tells; the bodies are those of `trading.market_report`. A breach of a data
contract, a dry market and toxic flow are events too. Decides nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actors.features import FeatureValues
from actors.shell import Shell
from trading.features.board import FeatureSpec
from trading.instruments import Instrument, InstrumentKind
from trading.market.events import (
    BookTop,
    FundingRate,
    IndexPrice,
    Liquidation,
    LongShortRatio,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
    VenueEvent,
)
from trading.market.opportunity import OpportunityChanged, OpportunityLimits
from trading.market_report.contracts import ContractsReport
from trading.market_report.derivatives import DerivativesReport, LiquidationsReport
from trading.market_report.flow import FlowReport
from trading.market_report.opportunity import OpportunityReport, opportunity_series
from trading.operators import Published, Topic
from trading.universe.report import published

_DERIVATIVE = frozenset({MarkPrice, FundingRate, OpenInterest, LongShortRatio, Ticker})


class ReporterSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Whose markets, how often operators are told, and what an opportunity is. ``features`` is the board's spec."""

    instruments: dict[str, Instrument]
    synthetic: bool
    opportunity: OpportunityLimits = OpportunityLimits()
    features: FeatureSpec = FeatureSpec()
    publish_ns: int = 1_000_000_000
    cell: str = "data"
    ops: str = "ops"


class MarketReporter(Shell):
    """One venue's markets."""

    def start(self, setup: ReporterSetup) -> None:
        """Begin with nothing known."""
        self._setup = setup
        self._flows = {name: FlowReport(one) for name, one in setup.instruments.items()}
        contracts = {n: i for n, i in setup.instruments.items() if i.kind is not InstrumentKind.SPOT}
        self._derivatives = {name: DerivativesReport(one) for name, one in contracts.items()}
        self._liquidations = {name: LiquidationsReport(one) for name, one in contracts.items()}
        self._opportunities = {name: OpportunityReport(i, setup.opportunity) for name, i in setup.instruments.items()}
        self._judges = {n: ContractsReport(n, i.venue, setup.features) for n, i in setup.instruments.items()}
        self._by_index: dict[str, list[DerivativesReport]] = {}
        for name, one in contracts.items():
            index = f"{one.venue.upper()}:INDEX:{one.base}-{one.quote}"
            self._by_index.setdefault(index, []).append(self._derivatives[name])
            self._judges.setdefault(index, ContractsReport(index, one.venue))
        self.strange = 0
        self._events = 0
        self.wake_after(setup.publish_ns, "publish")

    def on(self, msg: Any) -> None:
        """Take one event; those of markets that nobody follows are counted."""
        kind = type(msg)
        if kind is BookTop:
            self._on_top(msg)
        elif kind is Trade:
            self._on_trade(msg)
        elif kind is IndexPrice:
            self._judge(msg)
            for report in self._by_index.get(msg.instrument_id, ()):
                report.take(msg)
        elif kind in _DERIVATIVE:
            self._judge(msg)
            followed = self._derivatives.get(msg.instrument_id)
            if followed is not None:
                followed.take(msg)
            elif msg.instrument_id not in self._flows:  # spot markets have tickers too, and nothing else of these
                self.strange += 1
        elif kind is Liquidation:
            self._judge(msg)
            losses = self._liquidations.get(msg.instrument_id)
            if losses is None:
                self.strange += 1
            else:
                losses.take(msg)
        elif kind is FeatureValues:
            self._on_features(msg)
        else:
            self.unknown(msg)

    def _on_top(self, top: BookTop) -> None:
        name, now = top.instrument_id, self.now_ns()
        flow = self._flows.get(name)
        if flow is None:
            self.strange += 1
            return
        flow.take_top(top)
        for change in self._opportunities[name].take_top(top, now):
            self._changed(change)
        for words in self._judges[name].take(top, now):
            self._breached(name, words)

    def _on_trade(self, trade: Trade) -> None:
        name, now = trade.instrument_id, self.now_ns()
        flow = self._flows.get(name)
        if flow is None:
            self.strange += 1
            return
        flow.take_trade(trade)
        for change in self._opportunities[name].take_trade(trade, now):
            self._changed(change)
        for words in self._judges[name].take(trade, now):
            self._breached(name, words)

    def _judge(self, event: VenueEvent) -> None:
        """By the contract of its kind, where it is of a market or an index of ours."""
        name = getattr(event, "instrument_id", "")
        judge = self._judges.get(name)
        if judge is not None:
            for words in judge.take(event, self.now_ns()):
                self._breached(name, words)

    def _on_features(self, told: FeatureValues) -> None:
        judge = self._judges.get(told.instrument_id)
        if judge is None:
            self.strange += 1
            return
        for words in judge.take_features(told.values, told.ts_ns, self.now_ns()):
            self._breached(told.instrument_id, words)

    def on_tick(self, tag: str) -> None:
        """Tell the operators."""
        setup = self._setup
        self.wake_after(setup.publish_ns, "publish")
        now = self.now_ns()
        for name, flow in self._flows.items():
            self.tell(setup.ops, published(Topic.FLOW, name, flow.body(now, synthetic=setup.synthetic), now))
        for name, report in self._derivatives.items():
            body = report.body(synthetic=setup.synthetic)
            self.tell(setup.ops, published(Topic.DERIVATIVES, name, body, now))
        for name, losses in self._liquidations.items():
            sums = losses.body(now, synthetic=setup.synthetic)
            self.tell(setup.ops, published(Topic.LIQUIDATIONS, name, sums, now))
        series: list[list[object]] = []
        for name, quality in self._opportunities.items():
            for change in quality.take_time(now):
                self._changed(change)
            figures = quality.body(now, synthetic=setup.synthetic)
            self.tell(setup.ops, published(Topic.OPPORTUNITY, name, figures, now))
            series += opportunity_series(figures)
        for name, judge in self._judges.items():
            for words in judge.take_time(now):
                self._breached(name, words)
            judged = judge.body(now, synthetic=setup.synthetic)
            if judged.rows or name in self._flows:  # an index that the venue does not tell of is nothing to show
                self.tell(setup.ops, published(Topic.CONTRACTS, name, judged, now))
            series += judge.series()
        metrics = Published(topic=Topic.METRICS, key=f"{setup.cell}.reporter", body={"series": series}, ts_ns=now)
        self.tell(setup.ops, metrics)

    def _changed(self, change: OpportunityChanged) -> None:
        level = "warning" if change.begins else "info"
        self._event(level, f"{change.code.value}{'' if change.begins else '_over'}", change.instrument_id, change.cause)

    def _breached(self, instrument_id: str, words: str) -> None:
        self._event("warning", "data_contract", instrument_id, words)

    def _event(self, level: str, code: str, instrument_id: str, words: str) -> None:
        """What operators should read. Its callers bound how often."""
        now = self.now_ns()
        self._events += 1
        body: dict[str, object] = {
            "level": level,
            "code": code.upper(),
            "text": f"{instrument_id}: {words}",
            "ts_ns": now,
            "cell": self._setup.cell,
        }
        key = f"{self._setup.cell}.reporter:{now}:{self._events}"
        self.tell(self._setup.ops, Published(topic=Topic.EVENT, key=key, body=body, ts_ns=now))
