"""What every fault that a simulated venue can be asked for has in common: to whom, and for how long."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Millis = Annotated[int, Field(ge=1, le=86_400_000)]
SignedMillis = Annotated[int, Field(ge=-86_400_000, le=86_400_000)]
Glob = Annotated[str, Field(min_length=1, max_length=120)]


class Knob(BaseModel):
    """What all knobs share: to whom, and for how long.

    ``topics`` are globs over the server's topic names (``btcusdt@depth*``, ``books:BTC-USDT``,
    ``linear.orderbook.50.*``); ``connections`` are ids as `GET /_sim/state` lists them. Empty means all.
    ``for_ms`` ends the fault by itself.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    counted: ClassVar[str] = ""
    """The field that says how often the knob acts in all; "" for one that acts until it is cleared."""

    topics: tuple[Glob, ...] = ()
    connections: tuple[int, ...] = ()
    for_ms: Millis | None = None
