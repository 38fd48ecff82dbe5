"""Integer ticks and lots as the venues' decimal texts. Pure text; which step and which spelling is the caller's."""

from __future__ import annotations

from decimal import Decimal

_MEMORY = 1 << 14


def places(step: Decimal) -> int:
    """Decimals of a step."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # a step is finite
    return max(0, -exponent)


class StepText:
    """Units of one step as text: with ``decimals`` digits, or plainly (None: no needless zeros, as OKX writes)."""

    __slots__ = ("_known", "_multiple", "_places", "_scale", "_tail", "plain")

    def __init__(self, step: Decimal, decimals: int | None = None) -> None:
        self._places = places(step)
        self._multiple = int(step.scaleb(self._places))
        self._scale = int(10**self._places)
        self.plain = decimals is None
        self._tail = "0" * ((decimals or 0) - self._places)
        self._known: dict[int, str] = {}

    def __call__(self, units: int) -> str:
        """The text of so many steps."""
        text = self._known.get(units)
        if text is None:
            if len(self._known) >= _MEMORY:
                self._known.clear()
            text = self._known[units] = self._text(units)
        return text

    def _text(self, units: int) -> str:
        value = units * self._multiple
        if not self._places:
            return f"{value}.{self._tail}" if self._tail else str(value)
        text = f"{value // self._scale}.{value % self._scale:0{self._places}d}"
        return text.rstrip("0").rstrip(".") if self.plain else text + self._tail
