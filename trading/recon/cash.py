"""Balances against the ledger's cash: a venue's figure is right when ours was that at some time since it was asked.

Executions come in between the question and the answer, so a figure that we passed through is no difference. What is
left is dust below a stated worth, and unexplained above it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal

from trading.instruments import Instrument
from trading.recon.difference import DiffClass, Difference, Subject

MOVES_MAX = 2_048
ZERO = Decimal(0)


class CashHistory:
    """One venue's cash: what each asset was before its newest changes, the newest ``MOVES_MAX`` of them."""

    def __init__(self) -> None:
        self._moves: deque[tuple[int, str, Decimal]] = deque(maxlen=MOVES_MAX)

    def moved(self, asset: str, before: Decimal, now_ns: int) -> None:
        """Cash changed now; what it was before."""
        self._moves.append((now_ns, asset, before))

    def held_since(self, asset: str, since_ns: int, now: Decimal) -> set[Decimal]:
        """Everything that it was since a moment; ``now`` is what it is."""
        held = {now}
        for at_ns, name, before in reversed(self._moves):
            if at_ns < since_ns:
                break
            if name == asset:
                held.add(before)
        return held


def balance_differences(
    venue: str,
    said: Mapping[str, Decimal],
    ours: Mapping[str, Decimal],
    history: CashHistory,
    since_ns: int,
    *,
    dust: Callable[[str], Decimal],
    scope_of: Callable[[str], str],
) -> list[Difference]:
    """Where a venue's balances were not ours at any time since ``since_ns`` (our clock, UTC).

    ``dust`` is the most of an asset that is not worth asking about, ``scope_of`` the instrument that alone uses it.
    """
    found = []
    for asset in sorted(set(said) | set(ours)):
        theirs, mine = said.get(asset, ZERO), ours.get(asset, ZERO)
        held = history.held_since(asset, since_ns, mine)
        if theirs in held:
            continue
        off = min(abs(theirs - one) for one in held)
        limit = dust(asset)
        small = off <= limit
        found.append(
            Difference(
                diff_class=DiffClass.DUST if small else DiffClass.UNEXPLAINED,
                subject=Subject.BALANCE,
                venue=venue,
                ref=asset,
                instrument_id=scope_of(asset),
                ours=str(mine),
                theirs=str(theirs),
                text=f"{asset} on {venue}: venue {theirs}, ledger {mine}",
                evidence=(f"dust is up to {limit} {asset}",) if small else (),
            )
        )
    return found


def users_of(asset: str, venue: str, instruments: Mapping[str, Instrument]) -> str:
    """The one instrument of a venue whose trading moves this asset; "" where there are several, or none."""
    using = [
        one.instrument_id
        for one in instruments.values()
        if one.venue == venue and asset in {one.base, one.quote, one.settle}
    ]
    return using[0] if len(using) == 1 else ""
