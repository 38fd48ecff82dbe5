"""The types of the extension; what they mean is said by `trading.market.book` and `adapters.binance.codec`."""

from collections.abc import Sequence
from typing import overload

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
