"""The types of the extension: `trading.market.book`, `.watches` and the codecs in `adapters` say what they mean."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, overload

from typing_extensions import Buffer

REVISION: int

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

class DepthRoutes(Generic[_Update]):
    """``rest``, but that frames of ``streams`` go to their parser first, up to ``bytes_max`` bytes each."""

    def __init__(
        self,
        streams: dict[bytes, DepthParser[_Update]],
        rest: Callable[[bytes, int], object],
        bytes_max: int,
    ) -> None: ...
    def __call__(self, payload: bytes, ts_recv_ns: int, /) -> object: ...

class LevelsParser:
    """One side of one symbol's book as `Levels`, from JSON bytes, or None for bytes that are in any way unusual.

    A step is (decimals, multiple): 0.5 is (1, 5). A level is ``texts`` strings, of which price and quantity count.
    """

    def __init__(self, tick: tuple[int, int], lot: tuple[int, int], texts: int) -> None: ...
    @property
    def quantities(self) -> int: ...
    def levels(self, raw: Buffer, /) -> Levels | None: ...

class TouchWatch:
    """`trading.market.watches.PyTouchWatch`."""

    def __init__(self, window_ns: int, limit: int) -> None: ...
    @property
    def flips(self) -> int: ...
    def is_calm(self, bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...], now_ns: int, /) -> bool: ...

class StreamWatch:
    """`trading.market.watches.PyStreamWatch`."""

    def __init__(self, gap_ns: int, step_ns: int, bucket_ns: int, buckets: int, gaps_kept: int) -> None: ...
    @property
    def is_stepped(self) -> bool: ...
    @property
    def skew_ms(self) -> float | None: ...
    @property
    def gaps(self) -> int: ...
    @property
    def wide(self) -> int: ...
    def gaps_ns(self) -> list[int]: ...
    def on_message(self, ts_event_ns: int, ts_recv_ns: int, /) -> None: ...
