"""Binance futures' batches: up to five placements or amendments, ten cancels of one symbol; one outcome each.

Sources: "Place Multiple Orders", "Modify Multiple Orders", "Cancel Multiple Orders", developers.binance.com derivatives
(read 2026-11). A batch is not atomic: each item of the answer is an order or an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from adapters.binance.orders_codec import encode_cancel, encode_new_order, encode_replace
from adapters.orders import reading as r
from adapters.orders.binance_answers import order_answer, trouble_of
from adapters.orders.dialect import BatchCommand
from adapters.orders.wire import Ambiguous, HttpAnswer, Reply, WireKind, WireRequest, wire_request
from trading.instruments import Instrument
from trading.orders.messages import NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest

Extras = Callable[[NewOrderSingle | OrderCancelReplaceRequest], bytes]


def limit(command: BatchCommand) -> int:
    """How many go together."""
    return 10 if isinstance(command, OrderCancelRequest) else 5


def encode(
    commands: Sequence[BatchCommand], instruments: Sequence[Instrument], prefix: str, extras: Extras
) -> WireRequest:
    """One request; ``ValueError`` for a mixture, for too many, and for cancels of several symbols."""
    kinds = {type(command) for command in commands}
    if len(kinds) != 1 or len(commands) > limit(commands[0]):
        raise ValueError(f"batch: {len(commands)} commands of {len(kinds)} kinds do not go together")
    path = f"{prefix}/batchOrders"
    if isinstance(commands[0], OrderCancelRequest):
        symbols = {instrument.symbol for instrument in instruments}
        if len(symbols) != 1:
            raise ValueError(f"batch: cancels of one symbol go together, not {', '.join(sorted(symbols))}")
        ids = [
            dict(parse_qsl(_words(c, i, extras)))["origClientOrderId"]
            for c, i in zip(commands, instruments, strict=True)
        ]
        listed = quote(msgspec.json.encode(ids).decode(), safe="")
        query = f"symbol={symbols.pop()}&origClientOrderIdList={listed}"
        return wire_request("DELETE", path, WireKind.CANCEL, query=query)
    orders = [dict(parse_qsl(_words(c, i, extras))) for c, i in zip(commands, instruments, strict=True)]
    body = urlencode({"batchOrders": msgspec.json.encode(orders).decode()}, quote_via=quote).encode()
    new = isinstance(commands[0], NewOrderSingle)
    kind = WireKind.PLACE if new else WireKind.AMEND
    return wire_request("POST" if new else "PUT", path, kind, body=body, weight=5, orders=len(commands))


def _words(command: BatchCommand, instrument: Instrument, extras: Extras) -> str:
    match command:
        case NewOrderSingle():
            return (encode_new_order(command, instrument) + extras(command)).decode()
        case OrderCancelReplaceRequest():
            return encode_replace(command, instrument).decode()
        case OrderCancelRequest():
            return encode_cancel(command, instrument).decode()


def decode(
    commands: Sequence[BatchCommand], venue: str, instruments: Mapping[str, Instrument], answer: HttpAnswer
) -> tuple[Reply, ...]:
    """One reply each; an answer with another number of items says nothing about any."""
    if not 200 <= answer.status < 300:
        return tuple(trouble_of(command, venue, answer) for command in commands)
    try:
        items = r.rows(r.parse(answer.body))
        if len(items) != len(commands):
            raise r.BadReply(f"{len(items)} answers to {len(commands)} commands")
    except r.BadReply as trouble:
        return tuple(Ambiguous(f"HTTP {answer.status}, but {trouble}") for _ in commands)
    return tuple(
        _item(command, venue, instruments, item, answer.ts_ns) for command, item in zip(commands, items, strict=True)
    )


def _item(command: BatchCommand, venue: str, instruments: Mapping[str, Instrument], item: r.Row, ts_ns: int) -> Reply:
    if "orderId" not in item:
        return trouble_of(command, venue, HttpAnswer(status=400, body=msgspec.json.encode(item), ts_ns=ts_ns))
    try:
        return order_answer(command, instruments[command.instrument_id], item, ts_ns)
    except r.BadReply as trouble:
        return Ambiguous(str(trouble))
