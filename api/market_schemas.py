"""Bodies of the market data and universe endpoints: requests strict, answers as documentation that tests hold true.

Field by field the facts inside are those of `trading.market_report` and `trading.universe.report`.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from api.schemas import Answer, Body
from trading.universe.ids import ID_BYTES_MAX
from trading.universe.symbols import TIMEFRAMES

_ID = Annotated[str, StringConstraints(min_length=3, max_length=ID_BYTES_MAX)]
_OPERATOR = Annotated[str, StringConstraints(pattern=re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.@-]{1,39}$"))]
_CAUSE = Annotated[str, Field(max_length=500)]


class UniverseRequest(BaseModel):
    """One step of one market. ``operator`` is who does it, ``cause`` why; both are kept in the audit trail.

    ``submit`` needs ``confirmed_namesakes`` where there are any, ``approve`` the ``facts_hash`` that was looked at,
    ``reject`` and ``delete`` a ``cause`` of at least three letters.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    action: Literal["draft", "submit", "approve", "reject", "delete"]
    instrument_id: _ID
    operator: _OPERATOR
    cause: _CAUSE = ""
    confirmed_namesakes: Annotated[list[_ID], Field(max_length=64)] = []
    facts_hash: Annotated[str, StringConstraints(pattern=re.compile(r"^([0-9a-f]{64})?$"))] = ""

    @model_validator(mode="after")
    def _whole(self) -> UniverseRequest:
        """What a step needs is there, and what it has no use for is not."""
        if self.action == "approve" and not self.facts_hash:
            raise ValueError("facts_hash: approve needs the facts_hash of the entry that you looked at")
        if self.action != "approve" and self.facts_hash:
            raise ValueError(f"facts_hash: {self.action} has no use for it")
        if self.action in {"reject", "delete"} and len(self.cause) < 3:
            raise ValueError(f"cause: {self.action} needs a cause")
        if self.action != "submit" and self.confirmed_namesakes:
            raise ValueError(f"confirmed_namesakes: {self.action} has no use for them")
        return self


class UniverseAnswer(Answer):
    """The allow-list, and with ``search`` the listed markets that match. ``trouble``: why nothing is tradable."""

    known: bool
    trouble: str
    revision: int
    tradable: list[str]
    entries: list[Body]
    matches: list[Body]
    quote: Body
    rules: Body
    audit: list[Body]
    ts_ns: int


class MetaAnswer(Answer):
    """Contract metadata by instrument_id. ``rules_version`` is over all of it: it changes when any market's does."""

    markets: dict[str, Body]
    rules_version: str
    shown: int
    total: int
    synthetic: bool
    ts_ns: int


class QualityAnswer(Answer):
    """The quality of data: by market, by venue, and the worst of each for a quick look. Ages are as of now."""

    symbols: dict[str, Body]
    venues: dict[str, Body]
    totals: Body
    synthetic: bool
    ts_ns: int


class RegionsAnswer(Answer):
    """Market data by region: which views deliver from there, how fresh, who leads."""

    regions: dict[str, Body]
    venues: dict[str, Body]
    ts_ns: int


class ChannelsAnswer(Answer):
    """Every connection with its channels, by ``venue/view``."""

    feeds: dict[str, Body]
    channels: int
    unhealthy: int
    ts_ns: int


class LiquidationsAnswer(Answer):
    """Liquidations: the newest of all markets, newest first, and sums by market and window."""

    enabled: bool
    newest: list[Body]
    by_symbol: dict[str, Body]
    totals: list[Body]
    synthetic: bool
    ts_ns: int


class ContractsAnswer(Answer):
    """Data contracts by market and index: what was judged, and which rules were broken, how often and how last."""

    enabled: bool
    symbols: dict[str, Body]
    totals: Body
    synthetic: bool
    ts_ns: int


class SymbolsAnswer(Answer):
    """One body for each market."""

    enabled: bool
    symbols: dict[str, Body]
    synthetic: bool
    ts_ns: int


TIMEFRAME_WORDS = f"a timeframe in any spelling; one of {', '.join(TIMEFRAMES)}"
