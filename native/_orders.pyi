"""The types of the extension; what they must say is said by the Python that each of them names."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

REVISION: int

def limit_order(
    symbol: str,
    side: str,
    how: str,
    qty: Decimal,
    lot_size: Decimal,
    price: Decimal,
    tick_size: Decimal,
    reduce_only: bool,
    cl_ord_id: str,
    /,
) -> bytes | None: ...
def reference_route(exposures: dict[str, Any], exposure: type, top: type, synced: object, /) -> Callable[[Any], bool]:
    """`trading.risk.governor.RiskGovernor.on_top`."""

def touch_route(
    desks: dict[str, Any], desk: type, top: type, synced: object, now_ns: Callable[[], int], /
) -> Callable[[Any], bool]:
    """`trading.arbiter.core.Arbiter.on_top` of tops on which nothing is to be done."""

def fan_out_route(
    names: dict[str, tuple[str, ...]], sample_at: dict[str, int], top: type, actor: Any, /
) -> Callable[[Any], bool]:
    """`actors.market.Market.on` of tops while no sample is due."""

class LoneRound:
    """`trading.arbiter.lone.lone_round_in_python`; takes the classes it reads, those it makes, and words."""

    def __init__(self, *classes_and_words: object) -> None: ...
    def __call__(self, shared: Any, desk: Any, target: Any, now_ns: int, /) -> list[Any] | None: ...

class PlainLimits:
    """The approval of `trading.risk.governor` for an order that is within every limit at first sight."""

    def __init__(self, *classes_and_words: object) -> None: ...
    def __call__(
        self,
        order: Any,
        exposure: Any,
        now_ns: int,
        seen: dict[str, None],
        rate: Any,
        limits: Any,
        lost: bool,
        modes: dict[str, int],
        loss: str,
        epoch: int,
        /,
    ) -> Any: ...

class PlainAdmission:
    """What `trading.orders.core.OrderCore.on_approved` writes of a usual new order; takes classes and words."""

    def __init__(self, *classes_and_words: object) -> None: ...
    def __call__(self, core: Any, approved: Any, now_ns: int, /) -> Any: ...

class PlainRelease:
    """`trading.orders.core.OrderCore._release_alone` of a usual order; takes classes and words."""

    def __init__(self, *classes_and_words: object) -> None: ...
    def __call__(self, core: Any, commit_id: int, now_ns: int, /) -> tuple[Any, Any] | None: ...

class PlaceWords:
    """`trading.orders.journal_rows.encode_body` of a usual order's `PlaceBody`; takes the classes it reads."""

    def __init__(self, *classes: type) -> None: ...
    def __call__(self, approved: Any, /) -> bytes | None: ...

class PlainGate:
    """`actors.gateway.Gateway._refusal_in_python` of an order that may leave, which it counts; False: ask there."""

    def __init__(self, *classes_and_words: object) -> None: ...
    def __call__(
        self,
        order: Any,
        instrument: Any,
        now_ns: int,
        setup: Any,
        reader: Any,
        mono_ns: Callable[[], int],
        scopes: dict[Any, tuple[str, ...]],
        unproved: set[str],
        recent: Any,
        max_age_ns: int,
        /,
    ) -> bool: ...

class PlainOrder:
    """`adapters.binance.orders_codec.encode_new_order_in_python` of a usual order, or None."""

    def __init__(self, *classes_and_words: object) -> None: ...
    def __call__(self, order: Any, instrument: Any, /) -> bytes | None: ...

class KeyFilter:
    """`adapters.journal.keys.KeyFilterInPython`."""

    def see(self, sets: Iterable[Iterable[Any]], /) -> list[Any]: ...
