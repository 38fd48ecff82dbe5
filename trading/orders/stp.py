"""Self-trade prevention by venue: which modes each knows, in its own words, and which one we ask for.

The desk prevents first: the arbiter makes way and the governor denies with SELF_TRADE, so the venue's mode is the net
below. Does not own either of those.

Sources: developers.binance.com "Self Trade Prevention FAQ" of spot and of USD-M and COIN-M (five modes and three),
okx.com/docs-v5 "Place order" (stpMode), bybit-exchange.github.io/docs/v5/smp (smpType); read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping

from trading.orders.messages import SelfTradePrevention

S = SelfTradePrevention

_BINANCE_CONTRACTS = {
    S.CANCEL_NEWEST: "EXPIRE_TAKER",
    S.CANCEL_OLDEST: "EXPIRE_MAKER",
    S.CANCEL_BOTH: "EXPIRE_BOTH",
}
MODES: Mapping[str, Mapping[SelfTradePrevention, str]] = {
    "binance": {**_BINANCE_CONTRACTS, S.DECREMENT: "DECREMENT", S.NONE: "NONE"},
    "binanceusdm": _BINANCE_CONTRACTS,
    "binancecoinm": _BINANCE_CONTRACTS,
    "okx": {S.CANCEL_NEWEST: "cancel_taker", S.CANCEL_OLDEST: "cancel_maker", S.CANCEL_BOTH: "cancel_both"},
    "bybit": {
        S.CANCEL_NEWEST: "CancelTaker",
        S.CANCEL_OLDEST: "CancelMaker",
        S.CANCEL_BOTH: "CancelBoth",
        S.NONE: "None",
    },
}
"""The venue's word for each mode it knows."""

FIELDS: Mapping[str, str] = {
    "binance": "selfTradePreventionMode",
    "binanceusdm": "selfTradePreventionMode",
    "binancecoinm": "selfTradePreventionMode",
    "okx": "stpMode",
    "bybit": "smpType",
}
"""Where a venue wants the word."""

DEFAULTS: Mapping[str, SelfTradePrevention] = {
    "binance": S.CANCEL_NEWEST,
    "binanceusdm": S.CANCEL_NEWEST,
    "binancecoinm": S.CANCEL_NEWEST,
    "okx": S.CANCEL_OLDEST,
    "bybit": S.CANCEL_NEWEST,
}
"""What the desk asks for where an order says nothing: the specification's CANCEL_NEWEST, CANCEL_OLDEST, REJECT_NEW.

Bybit has no refusal before matching; canceling the newer is the same to us: nothing trades and the older stays.
"""


def refusal(venue: str, mode: SelfTradePrevention) -> str | None:
    """Why an order of this mode may not go to the venue, in words; None when it may."""
    modes = MODES.get(venue)
    if modes is None:
        return f"stp: {venue} has no self-trade prevention that is known here; leave it out"
    if mode is S.NONE:
        return "stp: an order that may meet our own is never sent; leave it out or name what is to be canceled"
    if mode not in modes:
        known = ", ".join(sorted(m.value for m in modes if m is not S.NONE))
        return f"stp: {venue} does not know {mode.value}; it knows {known}"
    return None


def word(venue: str, mode: SelfTradePrevention | None = None) -> tuple[str, str] | None:
    """The venue's field and word for a mode, or for the default; None where the venue has none.

    ``ValueError`` for a mode that `refusal` refuses.
    """
    if venue not in MODES:
        return None
    wanted = DEFAULTS[venue] if mode is None else mode
    text = refusal(venue, wanted)
    if text is not None:
        raise ValueError(text)
    return FIELDS[venue], MODES[venue][wanted]
