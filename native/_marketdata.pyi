"""The types of the extension; what they mean is said by `trading.market.book` and `adapters.binance.codec`."""

from collections.abc import Sequence
from typing import Generic, TypeVar, overload

_Update = TypeVar("_Update")

class Levels(Sequence[tuple[int, int]]):
    """An immutable sequence of (tick, lots); equal to the list of the same pairs."""

    def __init__(self, pairs: Sequence[tuple[int, int]], /) -> None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, int]]: ...

class Book:
    """`trading.market.book.PyBook`, but for ``depth_hash``; begins in ``state`` and tells its top as ``top_type``."""

    def __init__(self, instrument_id: str, max_levels: int, state: object, top_type: type) -> None: ...

class DepthParser(Generic[_Update]):
    """Binance's depth diffs of one symbol as ``update_type``, or None for bytes that are in any way unusual.

    A step is (decimals, multiple): 0.5 is (1, 5).
    """

    def __init__(
        self, symbol: str, instrument_id: str, tick: tuple[int, int], lot: tuple[int, int], update_type: type[_Update]
    ) -> None: ...
    @property
    def quantities(self) -> int: ...
    def frame(self, payload: bytes, ts_recv_ns: int, /) -> _Update | None: ...
    def bare(self, payload: bytes, ts_recv_ns: int, /) -> _Update | None: ...
