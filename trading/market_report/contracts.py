"""Data contracts of one market as operators see them: the body of CONTRACTS, and when a breach is worth an alert.

Owns which contract an event is judged by, the bound on alerts and the body. The contracts are
`trading.market.data_contracts`'s, their evaluation `trading.market.contracts`'s. Every event is judged, none sampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from trading.features.board import FeatureSpec
from trading.market.contracts import Broken, Contract, ContractCheck
from trading.market.data_contracts import CONTRACTS, event_row
from trading.market.events import BookTop, VenueEvent
from trading.market_report.feature_contract import board_contract

BREACHES_SHOWN: Final = 64
TRADES_REMEMBERED: Final = 8_192
"""Trades of one market that a repeated one is known by: a second MB would buy minutes that no venue repeats."""
ALERT_STEP_NS: Final = 60_000_000_000


class BreachBody(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of breach: which rule of which contract, how often, and the newest one in words and when (UTC ns)."""

    contract: str
    rule: str
    code: str
    count: int
    text: str
    first_ns: int
    newest_ns: int


class JudgedBody(msgspec.Struct, frozen=True, kw_only=True):
    """One contract: ``rows`` that came, ``skipped`` of them as of another sort, ``bad_rows`` that broke a rule."""

    contract: str
    version: str
    rows: int
    skipped: int
    bad_rows: int


class ContractsBody(msgspec.Struct, frozen=True, kw_only=True):
    """CONTRACTS, key instrument_id (of an index too). Counts are since the process began; every row is judged.

    ``breaches`` are the 64 kinds that came last, newest first; the rest is counted in ``breaches_hidden``. ``kept`` is
    whether none ever came.
    """

    instrument_id: str
    venue: str
    kept: bool
    rows: int
    bad_rows: int
    newest_ns: int | None
    contracts: tuple[JudgedBody, ...]
    breaches: tuple[BreachBody, ...]
    breaches_hidden: int
    ts_ns: int
    synthetic: bool = False


class _Kind:
    """What is known of one kind of breach."""

    __slots__ = ("broken", "contract", "count", "first_ns", "newest_ns")

    def __init__(self, contract: str, broken: Broken, now_ns: int) -> None:
        self.contract, self.broken, self.count = contract, broken, 0
        self.first_ns = self.newest_ns = now_ns


class ContractsReport:
    """Judges what one market says.

    The first breach of a kind is an alert at once; all that follow are one alert a minute with their count. Kinds are
    a closed set: the rules of our contracts times what a row can do to them.
    """

    def __init__(self, instrument_id: str, venue: str, spec: FeatureSpec | None = None) -> None:
        self.instrument_id = instrument_id
        self.venue = venue
        self._contracts: Mapping[str, Contract] = {**CONTRACTS, "features": board_contract(spec)}
        self._checks: dict[str, ContractCheck] = {}
        self._kinds: dict[tuple[str, Broken], _Kind] = {}
        self._untold = 0
        self._newest_untold = ""
        self._told_ns = 0

    def take(self, event: VenueEvent | BookTop, now_ns: int) -> list[str]:
        """Judge one event of this market; the alerts that it is worth, in words, nearly always none."""
        made = event_row(event)
        if made is None:
            return []
        contract, row = made
        check = self._checks.get(contract) or self._checked(contract)
        return self._noted(contract, check.broken, now_ns) if check.on_row(row) else []

    def take_features(self, values: Mapping[str, float | None], ts_ns: int, now_ns: int) -> list[str]:
        """Judge the market's features as of ``ts_ns``."""
        row = {**values, "instrument_id": self.instrument_id, "ts_event_ns": ts_ns}
        check = self._checks.get("features") or self._checked("features")
        return self._noted("features", check.broken, now_ns) if check.on_row(row) else []

    def take_time(self, now_ns: int) -> list[str]:
        """It is ``now_ns``: the breaches of the last minute that were not told, as one alert."""
        if not self._untold or 0 <= now_ns - self._told_ns < ALERT_STEP_NS:
            return []
        words = f"{self._untold} more breaches of data contracts, the newest {self._newest_untold}"
        self._untold, self._told_ns = 0, now_ns
        return [words]

    def body(self, now_ns: int, *, synthetic: bool = False) -> ContractsBody:
        """The body of CONTRACTS."""
        kinds = sorted(self._kinds.values(), key=lambda kind: (-kind.newest_ns, kind.contract, kind.broken.rule))
        checks = self._checks.values()
        return ContractsBody(
            instrument_id=self.instrument_id,
            venue=self.venue,
            kept=not kinds,
            rows=sum(check.rows for check in checks),
            bad_rows=sum(check.bad_rows for check in checks),
            newest_ns=kinds[0].newest_ns if kinds else None,
            contracts=tuple(
                JudgedBody(
                    contract=name,
                    version=check.contract.version,
                    rows=check.rows,
                    skipped=check.skipped,
                    bad_rows=check.bad_rows,
                )
                for name, check in sorted(self._checks.items())
            ),
            breaches=tuple(
                BreachBody(
                    contract=kind.contract,
                    rule=kind.broken.rule,
                    code=kind.broken.code.value,
                    count=kind.count,
                    text=kind.broken.text,
                    first_ns=kind.first_ns,
                    newest_ns=kind.newest_ns,
                )
                for kind in kinds[:BREACHES_SHOWN]
            ),
            breaches_hidden=max(0, len(kinds) - BREACHES_SHOWN),
            ts_ns=now_ns,
            synthetic=synthetic,
        )

    def series(self) -> list[list[object]]:
        """METRICS rows: what was judged by contract, and the breaches by rule."""
        market: dict[str, object] = {"venue": self.venue, "symbol": self.instrument_id}
        rows: list[list[object]] = [
            ["data_contract_rows_total", "counter", {**market, "contract": name}, check.rows]
            for name, check in sorted(self._checks.items())
        ]
        by_rule: dict[tuple[str, str], int] = {}
        for kind in self._kinds.values():
            key = (kind.contract, kind.broken.rule)
            by_rule[key] = by_rule.get(key, 0) + kind.count
        for (contract, rule), count in sorted(by_rule.items()):
            labels = {**market, "contract": contract, "rule": rule}
            rows.append(["data_contract_breaches_total", "counter", labels, count])
        return rows

    def _checked(self, contract: str) -> ContractCheck:
        # Rows of one market are one series: its key need not be made of every row.
        whole = msgspec.structs.replace(self._contracts[contract], series=())
        check = self._checks[contract] = ContractCheck(whole, remembered_max=TRADES_REMEMBERED)
        return check

    def _noted(self, contract: str, broken: tuple[Broken, ...], now_ns: int) -> list[str]:
        alerts = []
        for one in broken:
            key = (contract, msgspec.structs.replace(one, text=""))
            kind = self._kinds.get(key)
            words = f"{contract}: {one.text} ({one.rule})"
            if kind is None:
                kind = self._kinds[key] = _Kind(contract, one, now_ns)
                alerts.append(words)
                self._told_ns = self._told_ns or now_ns
            else:
                self._untold += 1
                self._newest_untold = words
            kind.broken, kind.newest_ns = one, now_ns
            kind.count += 1
        return alerts
