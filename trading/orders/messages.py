"""The vocabulary from intent to execution, in FIX words.

Quantities and prices are ``Decimal`` from ``ProposedOrder`` on (messages and accounting); intents use integer
ticks and lots because strategies do. Every message carries the id of its cause.

Messages of the order path take their fields by position too: by name, 17 of them cost ten times as much. One function
each builds them so; everybody else names what it says.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

import msgspec


class Side(Enum):
    """FIX 54."""

    # Said once for each member: a property costs a call at every look, and the order path looks often.
    sign: int
    """+1 for buy, -1 for sell."""
    opposite: Side
    """The other side."""

    BUY = "buy"
    SELL = "sell"


Side.BUY.sign, Side.SELL.sign = 1, -1
Side.BUY.opposite, Side.SELL.opposite = Side.SELL, Side.BUY


class OrdType(Enum):
    """FIX 40."""

    # The hash of their identity costs no call; members are keys on the order path.
    __hash__ = object.__hash__

    LIMIT = "limit"
    MARKET = "market"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TAKE_PROFIT = "take_profit"
    TAKE_PROFIT_LIMIT = "take_profit_limit"


class TriggerPriceType(Enum):
    """FIX 1107: whose price sets off an order that waits for a trigger."""

    MARK = "mark"
    LAST = "last"
    INDEX = "index"


class SelfTradePrevention(Enum):
    """FIX 2964 (SelfMatchPreventionInstruction): which of two own orders goes before they meet."""

    CANCEL_NEWEST = "cancel_newest"  # FIX: cancel aggressive
    CANCEL_OLDEST = "cancel_oldest"  # FIX: cancel passive
    CANCEL_BOTH = "cancel_both"
    DECREMENT = "decrement"  # both lose what they would have traded
    NONE = "none"


class ContingencyType(Enum):
    """FIX 1385: how the orders of a list hang together."""

    ONE_CANCELS_THE_OTHER = "one_cancels_the_other"


class TimeInForce(Enum):
    """FIX 59; GTX is post-only in the venues' word."""

    # The hash of their identity costs no call; members are keys on the order path.
    __hash__ = object.__hash__

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    GTX = "gtx"


class OrdStatus(Enum):
    """FIX 39 plus the states honesty needs: JOURNALED (durable, not sent), UNKNOWN (sent, unanswered).

    PENDING_TRIGGER: the venue holds it beside its book until its trigger price is seen.
    """

    # The hash of their identity costs no call; members are keys on the order path.
    __hash__ = object.__hash__

    JOURNALED = "journaled"
    PENDING_NEW = "pending_new"
    PENDING_TRIGGER = "pending_trigger"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    CANCELED = "canceled"
    REPLACED = "replaced"
    REJECTED = "rejected"
    DENIED = "denied"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class ExecType(Enum):
    """FIX 150."""

    NEW = "new"
    TRADE = "trade"
    CANCELED = "canceled"
    REPLACED = "replaced"
    REJECTED = "rejected"
    EXPIRED = "expired"
    TRIGGERED = "triggered"
    ORDER_STATUS = "order_status"


class Liquidity(Enum):
    """FIX 851: whether an execution added or removed liquidity."""

    MAKER = "maker"
    TAKER = "taker"


class Urgency(Enum):
    """How a target is to be reached: PASSIVE rests post-only, AGGRESSIVE crosses as IOC."""

    PASSIVE = "passive"
    AGGRESSIVE = "aggressive"


# --- What strategies say -------------------------------------------------------------------------


class TargetIntent(msgspec.Struct, frozen=True, tag=True):
    """A strategy wants to hold ``target_lots`` (signed) of an instrument, for ``ttl_ns``."""

    intent_id: str
    strategy_id: str
    instrument_id: str
    target_lots: int
    urgency: Urgency
    limit_ticks: int | None
    confidence: float
    ttl_ns: int
    reasons: tuple[str, ...]
    cause: str
    ts_init_ns: int


class QuoteIntent(msgspec.Struct, frozen=True, tag=True):
    """A strategy wants to rest a two-sided quote; 0 lots on a side pulls that side. Replaces its earlier quote."""

    intent_id: str
    strategy_id: str
    instrument_id: str
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    confidence: float
    ttl_ns: int
    reasons: tuple[str, ...]
    cause: str
    ts_init_ns: int


Intent = TargetIntent | QuoteIntent


class Leg(msgspec.Struct, frozen=True):
    """One strategy's share of an order; ``qty`` is positive, in the order's side."""

    strategy_id: str
    intent_id: str
    qty: Decimal


# --- From arbiter to gateway -----------------------------------------------------------------------


class OrderStory(msgspec.Struct, frozen=True, array_like=True):
    """Why an order exists, in numbers: the touch as (ticks, lots), what strategies held in lots, what they wanted.

    `trading.arbiter.story` makes words of it for whoever reads them; most orders nobody ever asks about.
    """

    tick_size: str
    lot_size: str
    bid: tuple[int, int]
    ask: tuple[int, int]
    synthetic: bool
    held: tuple[tuple[str, int], ...]
    intents: tuple[TargetIntent | QuoteIntent, ...]
    crossing: str


class TriggeringInstructions(msgspec.Struct, frozen=True, array_like=True):
    """FIX TriggeringInstructions of a stop or take-profit order.

    ``close_on_trigger``: it may always close what is held, whatever margin other orders bind, and never opens anything.
    """

    trigger_price: Decimal
    trigger_price_type: TriggerPriceType
    close_on_trigger: bool = False


class Contingency(msgspec.Struct, frozen=True, array_like=True):
    """FIX ListID (66) and ContingencyType (1385) of an order that is a leg of a list; `trading.orders.contingency`."""

    list_id: str
    contingency_type: ContingencyType = ContingencyType.ONE_CANCELS_THE_OTHER


# What an order says beyond the plain is left out of its bytes where it is not said: journals stay as they were.


class ProposedOrder(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The arbiter's order, before risk. ``replaces`` names the working order it amends (cancel-replace), if any.

    ``story`` explains it (top of book, netting, crossings) and is journalled with the order; journals of earlier
    versions hold it in words.
    """

    cl_ord_id: str
    venue: str
    instrument_id: str
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    order_qty: Decimal
    price: Decimal | None
    reduce_only: bool
    legs: tuple[Leg, ...]
    replaces: str | None
    ref_price: Decimal
    book_update_id: int
    book_ts_recv_ns: int
    story: OrderStory | dict[str, str]
    cause: str
    ts_init_ns: int
    trigger: TriggeringInstructions | None = None
    stp: SelfTradePrevention | None = None
    contingency: Contingency | None = None


class ProposedCancel(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The arbiter wants a working order gone. Cancels are always allowed."""

    cl_ord_id: str
    venue: str
    instrument_id: str
    reason: str
    cause: str
    ts_init_ns: int


class RiskChecks(msgspec.Struct, array_like=True):
    """The use of each limit when an order was approved; amounts in USD, None where a limit did not apply.

    Filled in by the governor while it decides and by nobody afterwards. ``limits`` are the limits as words, packed
    because they are always the same; `trading.risk.checks` names them, and makes words of it all for whoever reads
    them. ``venue``, ``total`` and ``side`` are None where they are the same as ``worst``.
    """

    limits: msgspec.Raw
    order_limit: str
    loss: str
    book_age_ns: int
    reducible: Decimal | None
    notional: Decimal
    mid: Decimal
    worst: Decimal | None
    venue: Decimal | None
    total: Decimal | None
    side: Decimal | None
    inflight: int
    open_orders: int


class ApprovedOrder(msgspec.Struct, frozen=True, tag=True):
    """A proposal that passed risk: the only type the order core accepts.

    ``checks`` says each limit and its use; journals of earlier versions hold it in words.
    """

    order: ProposedOrder
    epoch: int
    checks: RiskChecks | dict[str, str]
    ts_init_ns: int


class DenyReason(Enum):
    """Our refusals, a closed set."""

    BRAKE = "brake"
    BOOK_NOT_SYNCED = "book_not_synced"
    BOOK_STALE = "book_stale"
    PRICE_BAND = "price_band"
    MAX_ORDER_NOTIONAL = "max_order_notional"
    MAX_ORDER_QTY = "max_order_qty"
    MAX_POSITION = "max_position"
    MAX_VENUE_NOTIONAL = "max_venue_notional"
    MAX_GLOBAL_NOTIONAL = "max_global_notional"
    ORDER_RATE = "order_rate"
    DAILY_LOSS = "daily_loss"
    MAX_INFLIGHT = "max_inflight"
    FILTER_TICK = "filter_tick"
    FILTER_LOT = "filter_lot"
    FILTER_MIN_QTY = "filter_min_qty"
    FILTER_MIN_NOTIONAL = "filter_min_notional"
    REDUCE_ONLY = "reduce_only"
    SELF_TRADE = "self_trade"
    CONTINGENCY = "contingency"
    STP_MODE = "stp_mode"
    TRIGGER = "trigger"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    POST_ONLY_STALE = "post_only_stale"
    DUPLICATE = "duplicate"
    PERMIT_EXPIRED = "permit_expired"
    PERMIT_EPOCH = "permit_epoch"
    PERMIT_MODE = "permit_mode"
    RATE_BUDGET = "rate_budget"
    FAT_FINGER = "fat_finger"
    VENUE_AWAY = "venue_away"


class OrderDenied(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """We refused an order (the venue never saw it)."""

    cl_ord_id: str
    venue: str
    instrument_id: str
    reason: DenyReason
    text: str
    legs: tuple[Leg, ...]
    cause: str
    ts_init_ns: int


# --- To the venue ------------------------------------------------------------------------------------


class NewOrderSingle(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """FIX D. ``epoch`` is the fencing token it was approved under."""

    venue: str
    instrument_id: str
    cl_ord_id: str
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    order_qty: Decimal
    price: Decimal | None
    reduce_only: bool
    strategy_ids: tuple[str, ...]
    epoch: int
    cause: str
    ts_init_ns: int
    trigger: TriggeringInstructions | None = None
    stp: SelfTradePrevention | None = None
    contingency: Contingency | None = None


class OrderCancelRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """FIX F. ``waits`` and ``order_id`` as in `OrderStatusRequest`."""

    venue: str
    instrument_id: str
    cl_ord_id: str
    orig_cl_ord_id: str
    epoch: int
    cause: str
    ts_init_ns: int
    waits: bool = False
    order_id: str = ""


class OrderCancelReplaceRequest(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """FIX G: the new order ``cl_ord_id`` takes the place of ``orig_cl_ord_id`` or nothing changes."""

    venue: str
    instrument_id: str
    cl_ord_id: str
    orig_cl_ord_id: str
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    order_qty: Decimal
    price: Decimal | None
    reduce_only: bool
    strategy_ids: tuple[str, ...]
    epoch: int
    cause: str
    ts_init_ns: int
    trigger: TriggeringInstructions | None = None
    stp: SelfTradePrevention | None = None


class OrderStatusRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """FIX H: what became of ``cl_ord_id``? Answered by OrderStatusReport.

    Some venues keep orders that wait for a trigger apart, and make new ones of them: ``waits`` says that it waits as
    far as is known, ``order_id`` is the venue's own of what a triggered one became; "" for all others.
    """

    venue: str
    instrument_id: str
    cl_ord_id: str
    cause: str
    ts_init_ns: int
    waits: bool = False
    order_id: str = ""


class AccountStateRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Everything needed to reconcile: open orders, executions after ``since_exec_seq``, positions, balances.

    A venue that does not number its events is asked for those since ``since_ns`` (UTC): what was executed before was
    listed and applied. 0: nothing was, and what was executed before now is not ours.
    """

    venue: str
    since_exec_seq: int
    cause: str
    ts_init_ns: int
    since_ns: int = 0


VenueCommand = (
    NewOrderSingle | OrderCancelRequest | OrderCancelReplaceRequest | OrderStatusRequest | AccountStateRequest
)


# --- From the venue ------------------------------------------------------------------------------------


class ExecutionReport(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """FIX 8. ``exec_id`` is unique per venue; ``exec_seq`` grows by one per execution event of the venue's account.

    ``fee`` is positive when paid, in ``fee_asset``. ``trade_seq`` is the venue's number of an execution: it grows
    within an instrument, and tells which of one moment came first; 0 where the venue has none.
    """

    venue: str
    instrument_id: str
    cl_ord_id: str
    orig_cl_ord_id: str | None
    order_id: str
    exec_id: str
    exec_seq: int
    exec_type: ExecType
    ord_status: OrdStatus
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    order_qty: Decimal
    price: Decimal | None
    last_qty: Decimal
    last_px: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    avg_px: Decimal
    liquidity: Liquidity | None
    fee: Decimal
    fee_asset: str
    text: str
    ts_event_ns: int
    ts_init_ns: int
    trigger: TriggeringInstructions | None = None
    trade_seq: int = 0


class OrderCancelReject(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """FIX 9: the venue refused a cancel or replace."""

    venue: str
    instrument_id: str
    cl_ord_id: str
    orig_cl_ord_id: str
    ord_status: OrdStatus
    text: str
    ts_event_ns: int
    ts_init_ns: int


class OrderStatusReport(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to OrderStatusRequest; ``report`` is None when the venue does not know the order.

    ``asked_ns`` is the request's ``ts_init_ns``, 0 where the answer does not show to which request it belongs.
    """

    venue: str
    instrument_id: str
    cl_ord_id: str
    report: ExecutionReport | None
    ts_init_ns: int
    asked_ns: int = 0


class FundingPayment(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One funding settlement; ``amount`` is signed from our side (positive = received), in ``asset``."""

    venue: str
    instrument_id: str
    funding_id: str
    exec_seq: int
    rate: Decimal
    position_qty: Decimal
    mark_price: Decimal
    amount: Decimal
    asset: str
    ts_event_ns: int
    ts_init_ns: int


class AccountState(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's own account of us: the reference of reconciliation.

    ``positions`` maps instrument_id to signed quantity (derivatives); ``balances`` maps asset to amount.
    ``executions`` and ``fundings`` are those after the asked ``since_exec_seq``.

    ``numbered`` False: the venue has no sequence of account events, ``exec_seq`` is 0 everywhere. Open orders,
    positions and balances were then read at some time after ``asked_ns`` (of the request), executions after all of
    these.
    """

    venue: str
    exec_seq: int
    open_orders: tuple[ExecutionReport, ...]
    executions: tuple[ExecutionReport, ...]
    fundings: tuple[FundingPayment, ...]
    positions: dict[str, Decimal]
    balances: dict[str, Decimal]
    cause: str
    ts_init_ns: int
    numbered: bool = True
    asked_ns: int = 0


VenueEvent = ExecutionReport | OrderCancelReject | OrderStatusReport | FundingPayment | AccountState


# --- What the order core tells the rest ---------------------------------------------------------------


class OrderUpdated(msgspec.Struct, frozen=True, tag=True):
    """An order changed; the whole of its state that others may use. Terminal statuses free its exposure.

    ``late_qty`` may be executed beyond ``leaves_qty`` if an amendment that was given up takes effect after all.
    """

    venue: str
    instrument_id: str
    cl_ord_id: str
    side: Side
    ord_type: OrdType
    time_in_force: TimeInForce
    ord_status: OrdStatus
    order_qty: Decimal
    price: Decimal | None
    cum_qty: Decimal
    leaves_qty: Decimal
    avg_px: Decimal
    reduce_only: bool
    legs: tuple[Leg, ...]
    text: str
    cause: str
    ts_init_ns: int
    late_qty: Decimal = Decimal(0)


class OrderFilled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One execution, applied once and attributed: ``legs`` split ``last_qty`` between the strategies exactly.

    ``exec_seq`` and ``trade_seq`` as its report has them.
    """

    venue: str
    instrument_id: str
    cl_ord_id: str
    exec_id: str
    exec_seq: int
    side: Side
    last_qty: Decimal
    last_px: Decimal
    liquidity: Liquidity | None
    fee: Decimal
    fee_asset: str
    legs: tuple[Leg, ...]
    ts_event_ns: int
    ts_init_ns: int
    trade_seq: int = 0


class InternalCross(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The arbiter crossed two strategies inside the desk: no order, no fee, the price is the proved mid."""

    cross_id: str
    instrument_id: str
    buyer_id: str
    seller_id: str
    qty: Decimal
    price: Decimal
    cause: str
    ts_init_ns: int
