"""Which quote asset is traded in: preferred, forced, or the first that is listed.

Pure. One resolution for every symbol of a venue; the words for pairs are `symbols`'. Does not know prices or balances.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

AUTO: Final = "auto"
PREFERENCE: Final = ("USDT", "USDC", "EUR", "PLN")
"""What `AUTO` takes, in this order."""


class QuoteChoice(msgspec.Struct, frozen=True):
    """The quote, and why it is this one."""

    quote: str
    reason: str


def choose_quote(preferred: str, override: str, listed: Collection[str]) -> QuoteChoice:
    """The quote of ``listed`` that is traded in; ``override`` wins over ``preferred``, which may be `AUTO` or a quote.

    A forced quote that is not listed is a ``ValueError`` and never silently another one: sizes would be of another
    currency than whoever forced it thinks.
    """
    known = {one.upper() for one in listed}
    for name, word in (("QUOTE_OVERRIDE", override), ("QUOTE_PREF", preferred)):
        wanted = word.strip().upper()
        if not wanted or (name == "QUOTE_PREF" and wanted == AUTO.upper()):
            continue
        if wanted not in PREFERENCE:
            raise ValueError(f"{name}: {word[:20]!r} is none of {', '.join(PREFERENCE)}; write one of them")
        if wanted not in known:
            raise ValueError(
                f"{name}: no market is listed in {wanted}; listed are {', '.join(sorted(known)) or 'none'}"
            )
        return QuoteChoice(wanted, f"{name} forces it")
    found = next((one for one in PREFERENCE if one in known), None)
    if found is None:
        wanted = ", ".join(PREFERENCE)
        raise ValueError(
            f"QUOTE_PREF: no market is listed in {wanted}; listed are {', '.join(sorted(known)) or 'none'}"
        )
    return QuoteChoice(found, f"{AUTO}: the first of {', '.join(PREFERENCE)} that is listed")
