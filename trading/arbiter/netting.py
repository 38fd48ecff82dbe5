"""The arithmetic of arbitration: who may have how much, who meets whom inside the desk, in integer lots.

Pure functions over small values. Owns no state, no prices beyond the doubled mid, and no orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec


class Need(msgspec.Struct, frozen=True, gc=False):
    """``lots`` (signed, buy positive) that a strategy still lacks; a lower ``priority`` is served first.

    ``limit_ticks`` is the worst price it takes, None for any.
    """

    strategy_id: str
    intent_id: str
    priority: int
    lots: int
    limit_ticks: int | None

    def of(self, lots: int) -> Need:
        """The same need for other lots."""
        return Need(self.strategy_id, self.intent_id, self.priority, lots, self.limit_ticks)


class Crossed(NamedTuple):
    """Two needs that met inside the desk."""

    buyer: Need
    seller: Need
    lots: int


def by_priority(needs: Iterable[Need]) -> list[Need]:
    """Needs in the order they are served; equals by name, so that the order never depends on arrival."""
    return sorted(needs, key=lambda need: (need.priority, need.strategy_id))


def cross(needs: Sequence[Need], doubled_mid_ticks: int) -> tuple[list[Crossed], list[Need]]:
    """Match buyers with sellers at the mid, by priority; what is left is all of one sign, unless a limit forbade it.

    ``doubled_mid_ticks`` is bid + ask, twice the mid, so that half ticks stay integers.
    """
    served = by_priority(needs)
    buyers = [n for n in served if n.lots > 0]
    sellers = [n for n in served if n.lots < 0]
    left = {n.strategy_id: n.lots for n in served}
    crossed: list[Crossed] = []
    for buyer in buyers:
        if buyer.limit_ticks is not None and 2 * buyer.limit_ticks < doubled_mid_ticks:
            continue
        for seller in sellers:
            if seller.limit_ticks is not None and 2 * seller.limit_ticks > doubled_mid_ticks:
                continue
            lots = min(left[buyer.strategy_id], -left[seller.strategy_id])
            if lots > 0:
                left[buyer.strategy_id] -= lots
                left[seller.strategy_id] += lots
                crossed.append(Crossed(buyer, seller, lots))
    return crossed, [n.of(left[n.strategy_id]) for n in served if left[n.strategy_id]]


def allocate(needs: Sequence[Need], net_lots: int, cap_lots: int) -> list[Need]:
    """Cut needs, lowest priority first, until the net position stays within ``cap_lots`` even if only one side fills.

    The sides are cut apart, because nothing promises that an opposing need is filled. A position beyond the cap
    may shrink and not grow. ``needs`` are in the order they are served; one cut to nothing comes back with 0 lots.
    """
    buy_room = max(0, cap_lots - net_lots)
    sell_room = max(0, cap_lots + net_lots)
    out: list[Need] = []
    for need in needs:
        if need.lots > 0:
            got = min(need.lots, buy_room)
            buy_room -= got
        else:
            got = -min(-need.lots, sell_room)
            sell_room += got
        out.append(need if got == need.lots else need.of(got))
    return out


def clip(needs: Sequence[Need], max_lots: int) -> list[Need]:
    """Cut needs of one sign, lowest priority first, so that together they make one order of at most ``max_lots``."""
    if len(needs) == 1 and 0 < abs(needs[0].lots) <= max_lots:
        return list(needs)
    out: list[Need] = []
    room = max_lots
    for need in by_priority(needs):
        got = min(abs(need.lots), room)
        room -= got
        if got:
            out.append(need.of(got if need.lots > 0 else -got))
    return out
