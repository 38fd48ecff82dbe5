"""The faults of the trading side: what goes wrong between an order, its answer, its events and its account.

Owns names, parameters and bounds. ``topics`` are globs over paths (``/fapi/v1/order``) where a knob acts on requests,
and over market keys (``BTCUSDT``, ``BTC-USDT-SWAP``, ``linear:BTCUSDT``) where it acts on orders or positions. Frames
of user streams have the topics ``user:order:<key>``, ``user:fill:<key>`` and ``user:account``: gap, duplicate, reorder,
delay and mute act on them too.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from adapters.simserver.knob import Count, Knob, Millis

Lots = Annotated[int, Field(ge=1, le=1_000_000_000)]
Words = Annotated[str, Field(min_length=1, max_length=200)]


class AcceptThen(Knob):
    """Do what a request asks, then hide that it was done.

    ``timeout`` says nothing for ``hold_ms`` and drops the connection, ``drop`` drops it at once, ``status`` answers
    with ``status``, ``unknown`` in the venue's own words for "execution status unknown". Acts on accepted changes only.
    Of a request that came by WebSocket ``timeout`` never says anything, and the connection stays.
    """

    knob: Literal["accept_then"] = "accept_then"
    counted: ClassVar[str] = "requests"
    requests: Count = 1
    outcome: Literal["timeout", "drop", "status", "unknown"] = "timeout"
    status: Annotated[int, Field(ge=400, le=599)] = 503
    hold_ms: Millis = 30_000


class AckDelay(Knob):
    """Do what a request asks at once and answer late; the user stream does not wait."""

    knob: Literal["ack_delay"] = "ack_delay"
    counted: ClassVar[str] = "requests"
    requests: Count = 1
    delay_ms: Annotated[int, Field(ge=1, le=60_000)]


class FillBeforeAck(Knob):
    """Tell the fills of an order before it is told to be new, and answer its request ``delay_ms`` after them."""

    knob: Literal["fill_before_ack"] = "fill_before_ack"
    counted: ClassVar[str] = "orders"
    orders: Count = 1
    delay_ms: Annotated[int, Field(ge=1, le=60_000)] = 100


class LateVisibility(Knob):
    """Queries do not know orders and executions that are younger than this; cancels do."""

    knob: Literal["late_visibility"] = "late_visibility"
    delay_ms: Annotated[int, Field(ge=1, le=60_000)]


class RejectNext(Knob):
    """Refuse placements with a code and a text; ``topics`` are globs over market keys."""

    knob: Literal["reject_next"] = "reject_next"
    counted: ClassVar[str] = "orders"
    orders: Count = 1
    code: Annotated[int, Field(ge=-99_999, le=999_999)]
    msg: Words = "Order rejected."


class RefuseAmend(Knob):
    """Refuse amendments in place with a code and a text; ``topics`` are globs over market keys."""

    knob: Literal["refuse_amend"] = "refuse_amend"
    counted: ClassVar[str] = "amends"
    amends: Count = 1
    code: Annotated[int, Field(ge=-99_999, le=999_999)]
    msg: Words = "Order cannot be modified."


class Halted(Knob):
    """The venue takes no new orders of a symbol; cancels still work."""

    knob: Literal["halted"] = "halted"


class BadBody(Knob):
    """Do what a request asks and answer 200 with a body that says nothing."""

    knob: Literal["bad_body"] = "bad_body"
    counted: ClassVar[str] = "requests"
    requests: Count = 1
    body: Literal["empty", "null", "truncated", "html"] = "empty"


class EmptyAccount(Knob):
    """Answer questions for balances and positions well-formed and without a row."""

    knob: Literal["empty_account"] = "empty_account"
    counted: ClassVar[str] = "requests"
    requests: Count = 1


class AuthFailure(Knob):
    """Refuse the key: signed requests and logins of private streams."""

    knob: Literal["auth_failure"] = "auth_failure"


class KeyMayWithdraw(Knob):
    """The key is told to be one that may withdraw. There is nothing here that it could withdraw."""

    knob: Literal["key_may_withdraw"] = "key_may_withdraw"


class ListenKeyLost(Knob):
    """All listen keys end: ``expired`` is told on the streams, ``deleted`` (by another client) is not."""

    knob: Literal["listen_key_lost"] = "listen_key_lost"
    counted: ClassVar[str] = "keys"
    keys: Count = 1
    how: Literal["expired", "deleted"] = "expired"


class OrderStorm(Knob):
    """Another client on the same limits sends so many orders in each window."""

    knob: Literal["order_storm"] = "order_storm"
    orders: Count


class Liquidation(Knob):
    """The venue closes a share of the positions at once: liquidation, or auto-deleveraging."""

    knob: Literal["liquidation"] = "liquidation"
    counted: ClassVar[str] = "positions"
    positions: Count = 1
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    how: Literal["liquidation", "adl"] = "liquidation"


class ForeignOrder(Knob):
    """Somebody else rests an order on the account, ``away_bps`` from the best price."""

    knob: Literal["foreign_order"] = "foreign_order"
    counted: ClassVar[str] = "orders"
    orders: Count = 1
    side: Literal["buy", "sell"] = "buy"
    lots: Lots = 1_000
    away_bps: Annotated[int, Field(ge=1, le=9_000)] = 100


class ExternalFill(Knob):
    """Somebody else trades on the account at the best price: an execution of an order that is not ours."""

    knob: Literal["external_fill"] = "external_fill"
    counted: ClassVar[str] = "orders"
    orders: Count = 1
    side: Literal["buy", "sell"] = "buy"
    lots: Lots = 1_000
