"""The types of the extension; what they must say is said by the Python that each of them names."""

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

class PlaceWords:
    """`trading.orders.journal_rows.encode_body` of a usual order's `PlaceBody`; takes the classes it reads."""

    def __init__(self, *classes: type) -> None: ...
    def __call__(self, approved: Any, /) -> bytes | None: ...
