"""Which way of replacing an order is the faster at a venue: moving means of what each took, from our word to its."""

from __future__ import annotations

import msgspec

_WINDOW = 16
_TRY_AGAIN = 20


class Pace(msgspec.Struct):
    """Means in ns over about the newest `_WINDOW` of each kind, and how many there were."""

    amend_ns: int = 0
    amends: int = 0
    cancel_ns: int = 0
    cancels: int = 0
    place_ns: int = 0
    places: int = 0
    passed_over: int = 0

    def amended(self, ns: int) -> None:
        """An amendment took so long."""
        self.amends += 1
        self.amend_ns += (ns - self.amend_ns) // min(self.amends, _WINDOW)

    def canceled(self, ns: int) -> None:
        """A cancel did."""
        self.cancels += 1
        self.cancel_ns += (ns - self.cancel_ns) // min(self.cancels, _WINDOW)

    def placed(self, ns: int) -> None:
        """A placement did."""
        self.places += 1
        self.place_ns += (ns - self.place_ns) // min(self.places, _WINDOW)

    def prefers_new(self, latency_ns_max: int) -> bool:
        """Whether to cancel and place anew: amending is too slow, and slower than both together.

        Never before enough of each was seen; one in twenty is amended all the same, to see whether it has changed.
        """
        if min(self.amends, self.cancels, self.places) < _WINDOW or self.amend_ns <= latency_ns_max:
            return False
        if self.amend_ns <= self.cancel_ns + self.place_ns:
            return False
        self.passed_over += 1
        return self.passed_over % _TRY_AGAIN != 0
