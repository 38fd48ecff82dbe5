"""Words for operators: why an order exists, what an instrument looks like to the arbiter. No decisions."""

from __future__ import annotations

from decimal import Decimal

from trading.arbiter.desk import InstrumentDesk
from trading.orders.messages import ProposedOrder, QuoteIntent, Side, TargetIntent, Urgency

_TEXT_MAX = 200


def tell_story(order: ProposedOrder) -> dict[str, str]:
    """Top of book, who wanted what and why, the arithmetic of netting and what was crossed inside."""
    told = order.story
    if isinstance(told, dict):
        return told
    tick, lot = Decimal(told.tick_size), Decimal(told.lot_size)
    (bid, bid_lots), (ask, ask_lots) = told.bid, told.ask
    story = {
        "book": f"{bid_lots} lots at {tick * bid!s} / {ask_lots} at {tick * ask!s}, update {order.book_update_id}"
        + (" (synthetic)" if told.synthetic else "")
    }
    for intent in told.intents:
        story[f"intent {intent.strategy_id}"] = tell_intent(intent)[:_TEXT_MAX]
    held = " ".join([f"{s} {lots:+d}" for s, lots in sorted(told.held) if lots]) or "nobody holds anything"
    legs = " ".join([f"{leg.strategy_id} {order.side.sign * int(leg.qty / lot):+d}" for leg in order.legs])
    word = "buy" if order.side is Side.BUY else "sell"
    total = int(order.order_qty / lot)
    story["netting"] = f"held: {held}; legs: {legs} = {word} {total} lots"[:_TEXT_MAX]
    if told.crossing:
        story["crossing"] = told.crossing
    return story


def tell_intent(intent: TargetIntent | QuoteIntent) -> str:
    """One intent in words."""
    reasons = "; ".join(intent.reasons)
    if type(intent) is TargetIntent:
        how = "aggressive" if intent.urgency is Urgency.AGGRESSIVE else "passive"
        what = f"target {intent.target_lots:+d} lots {how}, confidence {intent.confidence:.2f}"
    else:
        assert type(intent) is QuoteIntent
        what = f"quote {intent.bid_lots} at {intent.bid_ticks} / {intent.ask_lots} at {intent.ask_ticks} ticks"
    return f"{intent.intent_id} {what}: {reasons}"


def tell_view(desk: InstrumentDesk) -> dict[str, object]:
    """One instrument for operators."""
    return {
        "tradable": desk.tradable,
        "net_lots": desk.net_lots,
        "positions": {s: str(q) for s, q in desk.position_qty.items() if q},
        "intents": {s: tell_intent(i)[:_TEXT_MAX] for book in (desk.targets, desk.quotes) for s, i in book.items()},
        "working": {
            o.cl_ord_id: f"{o.side.value} {o.open_lots} lots at {o.price_ticks} ticks, {o.ord_status.value}"
            for o in desk.orders.values()
        },
        "errors": {f"{s.owner or 'net'} {s.side.value}": s.errors for s in desk.slots.values() if s.errors},
    }
