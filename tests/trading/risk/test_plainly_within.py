"""The governor's short way against its long one: what passes at first sight passes check by check, with one record."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import native
from tests.trading.risk.conftest import NOW, PERP, SPOT, Desk, _instrument
from trading.instruments import InstrumentKind
from trading.market.events import BookState, MarkPrice
from trading.orders.messages import (
    ApprovedOrder,
    DenyReason,
    Leg,
    OrderDenied,
    OrdStatus,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)
from trading.risk.exposure import ZERO
from trading.risk.governor import RiskGovernor
from trading.risk.limits import InstrumentLimits, RiskLimits
from trading.risk.rate import RateWindow

D = Decimal
MS = 1_000_000
INVERSE = "BINANCECOINM:PERP:BTC-USD:INVERSE"
INSTRUMENTS = {
    SPOT: _instrument(SPOT, "binance", InstrumentKind.SPOT, tick_size=D("0.01"), lot_size=D("0.00001")),
    PERP: _instrument(PERP, "binanceusdm", InstrumentKind.LINEAR),
    INVERSE: _instrument(
        INVERSE,
        "binancecoinm",
        InstrumentKind.INVERSE,
        lot_size=D(1),
        min_qty=D(1),
        max_qty=D(1000),
        multiplier=D(100),
        min_notional=D(0),
    ),
}
LIMITS = RiskLimits(
    max_order_notional_usd=D(400),
    max_position_notional_usd=D(800),
    max_venue_notional_usd=D(750),
    max_global_notional_usd=D(1200),
    max_long_notional_usd=D(900),
    max_short_notional_usd=D(850),
    max_concurrent_positions=2,
    max_open_orders=6,
    max_inflight_orders=4,
    orders_per_sec=3,
    orders_per_symbol_per_min=20,
    by_instrument={PERP: InstrumentLimits(price_band_bps=D("60.5"), max_order_qty=D("0.007"))},
    by_venue_notional_usd={"binancecoinm": D(700)},
)


class CheckByCheck(RiskGovernor):
    """Looks at no order at first sight."""

    _at_once = None

    def _plainly_within(self, order, exposure, now_ns):
        return None


class Counted(RiskGovernor):
    """Knows how often the short way was enough, in Python."""

    _at_once = None
    within = 0

    def _plainly_within(self, order, exposure, now_ns):
        found = super()._plainly_within(order, exposure, now_ns)
        self.within += found is not None
        return found


class CountedInC(RiskGovernor):
    """Knows how often an order was approved in C: none of those comes to a look in Python."""

    looked = 0

    @property
    def within(self):
        return self.approved - self.looked

    def _plainly_within(self, order, exposure, now_ns):
        approved = self.approved
        found = super()._plainly_within(order, exposure, now_ns)
        assert approved == self.approved
        self.looked += found is not None
        return found

    def _refuse(self, order, exposure, bounds, now_ns, checks):
        refusal = super()._refuse(order, exposure, bounds, now_ns, checks)
        self.looked += refusal is None
        return refusal


SHORT = [Counted, pytest.param(CountedInC, marks=pytest.mark.skipif(native.orders is None, reason="was not built"))]


class Walk:
    """Two governors that hear the same."""

    def __init__(self, seed, limits=LIMITS, short=Counted, alone=False):
        self.random = Random(seed)
        self.alone = alone
        self.fast, self.plain = (
            Desk(kind(INSTRUMENTS, limits, 3, ("binanceusdm",)), INSTRUMENTS) for kind in (short, CheckByCheck)
        )
        self.live = []
        self.mids = dict.fromkeys(INSTRUMENTS, 50_000)
        self.now = NOW
        self.reasons = Counter()
        for instrument_id in INSTRUMENTS:
            self.top(instrument_id)

    def both(self, say):
        for desk in (self.fast, self.plain):
            say(desk)

    def top(self, instrument_id):
        state = BookState.SUSPECT if self.random.random() < 0.02 else BookState.SYNCED
        mid = self.mids[instrument_id] = self.mids[instrument_id] + self.random.choice(
            (0, 0, 1, -1, 2, -2, 7, -7, 100, -100)
        )
        self.both(lambda desk: desk.top(instrument_id, mid=str(mid), state=state, now_ns=self.now))

    def proposal(self):
        pick = self.random
        instrument_id = PERP if self.alone else pick.choice(list(INSTRUMENTS))
        instrument = INSTRUMENTS[instrument_id]
        side = pick.choice((Side.BUY, Side.SELL))
        bps = pick.choice((0, 0, 1, -3, 10, 15, 17, 19, 20, 21, -20, -60, 60, 61, 99, 101, -101, -10_000, 9_000))
        ticks = int(self.mids[instrument_id] / instrument.tick_size * (10_000 + bps * side.sign) / 10_000)
        ticks += pick.choice((0, 0, 1, -1))
        price = pick.choice(("NaN", "sNaN", "Infinity", "-1", "50000.05", None)) if pick.random() < 0.03 else ""
        usd = pick.choice((5, 9, 51, 100, 100, 150, 200, 300, 390, 400, 401))
        lots = (
            max(1, usd // 100)
            if instrument_id == INVERSE
            else int(D(usd) / self.mids[instrument_id] / instrument.lot_size)
        )
        qty = pick.choice(("Infinity", "0", "-1", "0.0000001", "2000")) if pick.random() < 0.03 else ""
        fields = {
            "qty": qty or str(lots * instrument.lot_size),
            "price": price if price != "" else str(ticks * instrument.tick_size),
            "tif": pick.choice((TimeInForce.GTX, TimeInForce.IOC)),
            "reduce_only": pick.random() < 0.15,
        }
        same = [o for o in self.live if o.instrument_id == instrument_id and o.side is side]
        if same and pick.random() < 0.3:
            fields["replaces"] = pick.choice(same).cl_ord_id
        if pick.random() < 0.06:
            # The leg is another number, or not alone, or it is the reference that is no number.
            whole = Leg(strategy_id="s", intent_id="s:1:1", qty=D(fields["qty"]))
            nothing = Leg(strategy_id="t", intent_id="t:1:1", qty=D("NaN"))
            legs = {"legs": pick.choice(((whole,), (whole, whole), (nothing,), ()))}
            fields |= pick.choice((legs, {"ref_price": pick.choice((D("NaN"), D("sNaN"), D("-Infinity")))}))
        if self.live and pick.random() < 0.02:
            fields["cl_ord_id"] = pick.choice(self.live).cl_ord_id
        if not qty and pick.random() < 0.02:
            fields["trigger"] = TriggeringInstructions(
                trigger_price=D(49_000), trigger_price_type=TriggerPriceType.MARK, close_on_trigger=True
            )
        return instrument_id, side, fields

    def decide(self):
        instrument_id, side, fields = self.proposal()
        order = self.fast.order(instrument_id, side, **fields)
        self.plain.n = self.fast.n
        if self.random.random() < 0.02:
            order = msgspec.structs.replace(order, venue="elsewhere")
        answers = [desk.decide(order, self.now) for desk in (self.fast, self.plain)]
        told = [msgspec.msgpack.encode(answer) for answer in answers]
        assert told[0] == told[1], answers
        if isinstance(answers[0], ApprovedOrder):
            self.live.append(order)
            if self.alone and self.random.random() < 0.9:
                self.finish(order)
        else:
            self.reasons[answers[0].reason] += 1

    def finish(self, order):
        """The order ends at once, filled or not: the next one finds nothing beside it."""
        filled = self.random.random() < 0.6
        self.live.remove(order)
        if filled:
            self.both(lambda desk: desk.fill(order, order.order_qty))
        status, cum = (OrdStatus.FILLED, str(order.order_qty)) if filled else (OrdStatus.CANCELED, "0")
        self.both(lambda desk: desk.update(order, status, cum=cum))

    def report(self):
        if not self.live:
            return
        order = self.random.choice(self.live)
        status = self.random.choice(
            (OrdStatus.NEW, OrdStatus.UNKNOWN, OrdStatus.PARTIALLY_FILLED, OrdStatus.CANCELED, OrdStatus.REJECTED)
        )
        done = status in (OrdStatus.CANCELED, OrdStatus.REJECTED)
        if done:
            self.live.remove(order)
        part = order.order_qty if self.random.random() < 0.5 else INSTRUMENTS[order.instrument_id].lot_size
        filled = status is OrdStatus.PARTIALLY_FILLED
        if filled and self.random.random() < 0.5:
            self.both(lambda desk: desk.fill(order, part))
        self.both(lambda desk: desk.update(order, status, cum=str(part) if filled else "0"))

    def step(self):
        self.now += self.random.choice((1, MS, MS, 50 * MS, 100 * MS, 600 * MS))
        for _ in range(self.random.choice((0, 1, 1, 1, 2))):
            self.top(self.random.choice(list(INSTRUMENTS)))
        what = self.random.random()
        if what < 0.65:
            self.decide()
        elif what < 0.95:
            self.report()
        elif what < 0.97:
            modes = self.random.choice(({}, {}, {}, {}, {"symbol:X": 4}, {f"symbol:{PERP}": 1}, {"venue:binance": 2}))
            self.both(lambda desk: desk.governor.set_modes(modes))
        elif what < 0.98:
            pnl = self.random.choice((D(0), D(0), D(0), D(5), D("-12.5"), D(-250)))
            self.both(lambda desk: desk.governor.start_day() if pnl > 0 else desk.governor.set_pnl(pnl))
        elif what < 0.99:
            held = {
                i: self.random.choice((-2, 0, 1)) * INSTRUMENTS[i].lot_size * (i == PERP or not self.alone)
                for i in INSTRUMENTS
            }
            self.both(lambda desk: desk.governor.restore(held))
        elif self.live:
            order = self.live.pop()
            self.both(lambda desk: desk.governor.on_denied(_denied(order)))
        self.validate()

    def validate(self):
        for name in ("_seen", "approved", "denied"):
            assert getattr(self.fast.governor, name) == getattr(self.plain.governor, name)
        for exposure, other in zip(*(d.governor._exposures.values() for d in (self.fast, self.plain)), strict=True):
            assert repr(list(exposure.working.values())) == repr(list(other.working.values()))
            assert repr((exposure.long, exposure.short)) == repr((other.long, other.short))
            assert list(exposure.rate._at_ns) == list(other.rate._at_ns)
            assert exposure.rate.full_until_ns == other.rate.full_until_ns
        for exposure in self.fast.governor._exposures.values():
            for side, kept in ((Side.BUY, exposure.long), (Side.SELL, exposure.short)):
                orders = [o.open_qty for o in exposure.working.values() if o.side is side]
                assert kept == side.sign * exposure.position + sum(orders, ZERO)


def _denied(order):
    return OrderDenied(
        cl_ord_id=order.cl_ord_id,
        venue=order.venue,
        instrument_id=order.instrument_id,
        reason=DenyReason.BRAKE,
        text="",
        legs=order.legs,
        cause="",
        ts_init_ns=NOW,
    )


@pytest.mark.req("P-RSK-1")
@pytest.mark.parametrize("short", SHORT)
def test_the_short_way_decides_as_the_checks_one_by_one(short):
    within, reasons = 0, Counter()
    for seed in range(80):
        walk = Walk(seed, short=short, alone=seed % 4 == 0)
        for _ in range(250):
            walk.step()
        within += walk.fast.governor.within
        reasons += walk.reasons
    assert within > (300 if short is Counted else 100)
    missed = {
        DenyReason.BRAKE,
        DenyReason.BOOK_NOT_SYNCED,
        DenyReason.BOOK_STALE,
        DenyReason.POST_ONLY_STALE,
        DenyReason.PRICE_BAND,
        DenyReason.FILTER_TICK,
        DenyReason.FILTER_LOT,
        DenyReason.FILTER_MIN_NOTIONAL,
        DenyReason.MAX_ORDER_QTY,
        DenyReason.MAX_ORDER_NOTIONAL,
        DenyReason.REDUCE_ONLY,
        DenyReason.SELF_TRADE,
        DenyReason.MAX_POSITION,
        DenyReason.MAX_VENUE_NOTIONAL,
        DenyReason.MAX_GLOBAL_NOTIONAL,
        DenyReason.MAX_INFLIGHT,
        DenyReason.ORDER_RATE,
        DenyReason.DAILY_LOSS,
        DenyReason.DUPLICATE,
        DenyReason.TRIGGER,
        DenyReason.UNKNOWN_INSTRUMENT,
    } - set(reasons)
    assert not missed


@pytest.mark.parametrize(
    "limits",
    [
        {"max_order_notional_usd": D(0)},
        {"max_concurrent_positions": 0},
        {"stale_book_ms": 0},
        {"post_only_staleness_ms": 0},
        {"price_band_bps": D(0), "by_instrument": {}},
        {"max_slippage_bps": D(0)},
        {"price_band_bps": D(20_000), "max_slippage_bps": D(20_000), "by_instrument": {}},
        {"orders_per_sec": 0},
        {"max_inflight_orders": 0},
        {"max_open_orders": 1},
        {"max_long_notional_usd": D(100), "max_short_notional_usd": D(0)},
    ],
)
@pytest.mark.parametrize("short", SHORT)
def test_it_does_so_under_limits_at_their_ends(limits, short):
    walk = Walk(7, msgspec.structs.replace(LIMITS, **limits), short, alone=True)
    for _ in range(400):
        walk.step()


@pytest.mark.parametrize("short", SHORT)
@pytest.mark.parametrize("word", ["NaN", "sNaN", "Infinity", "-Infinity", "0", "-0.001"])
def test_what_is_no_number_or_no_positive_one_is_refused_by_its_filter(word, short):
    for field, expected in (("qty", DenyReason.FILTER_LOT), ("price", DenyReason.FILTER_TICK)):
        walk = Walk(1, short=short)
        walk.both(lambda desk: desk.top(PERP))
        for desk in (walk.fast, walk.plain):
            denied = desk.decide(desk.order(**{field: word}))
            assert denied.reason is expected
            assert word in denied.text


def test_it_is_enough_for_an_ordinary_order_of_either_kind(kit):
    walk = Walk(1)
    governor = walk.fast.governor
    for i, fields in enumerate(({}, {"tif": TimeInForce.IOC}, {"instrument_id": INVERSE, "qty": "1"}), 1):
        walk.fast.top(fields.get("instrument_id", PERP))
        assert isinstance(walk.fast.decide(walk.fast.order(**fields)), ApprovedOrder)
        assert governor.within == i


def test_a_fill_of_an_order_that_is_not_known_moves_what_may_be_held(kit):
    desk = kit.desk(max_position_notional_usd=D(150))
    desk.fill(desk.order(), "0.002")
    assert desk.decide(desk.order()).reason is DenyReason.MAX_POSITION
    assert isinstance(desk.decide(desk.order(side=Side.SELL, reduce_only=True)), ApprovedOrder)


def test_the_corridor_follows_the_book(kit):
    desk = kit.desk()
    assert isinstance(desk.decide(desk.order(price="50000")), ApprovedOrder)
    for mid, price in (("60000", "50000"), ("40000", "60000")):
        desk.top(kit.PERP, mid=mid)
        denied = desk.decide(desk.order(price=price))
        assert denied.reason is DenyReason.PRICE_BAND
        assert f"from mid {mid}" in denied.text


@given(
    ticks=st.integers(1, 10**9), tick=st.sampled_from(("0.1", "0.01", "0.5", "0.25", "1", "0.00000001", "5", "0.05"))
)
def test_the_mid_has_the_digits_of_half_the_sum(ticks, tick):
    instruments = {PERP: msgspec.structs.replace(INSTRUMENTS[PERP], tick_size=D(tick))}
    desk = Desk(RiskGovernor(instruments, RiskLimits(), 1), instruments)
    exposure = desk.governor._exposures[PERP]
    for both in (ticks, ticks + 1):
        desk.governor.on_mark(_mark())
        desk.top(PERP, mid=str(D(tick)))
        top = msgspec.structs.replace(exposure.top, bids=((both // 2, 1),), asks=((both - both // 2, 1),))
        desk.governor.on_top(top)
        assert str(exposure.price()) == str(both * D(tick) / 2)


def _mark():
    return MarkPrice(
        instrument_id=PERP,
        mark_price=D(7),
        index_price=None,
        funding_rate=None,
        next_funding_ns=None,
        ts_event_ns=NOW,
        ts_recv_ns=NOW,
    )


def test_a_mark_prices_what_was_never_proved_and_nothing_else(kit):
    desk = kit.desk(tops=False)
    exposure = desk.governor._exposures[PERP]
    desk.governor.on_mark(_mark())
    desk.top(PERP, state=BookState.SUSPECT)
    assert exposure.price() == 7
    desk.top(PERP, mid="50000")
    desk.top(PERP, mid="51000", state=BookState.SUSPECT)
    desk.governor.on_mark(_mark())
    assert exposure.price() == 50_000


@given(limit=st.integers(0, 4), steps=st.lists(st.tuples(st.integers(0, 60), st.booleans())))
def test_a_window_is_full_for_as_long_as_it_allows_nothing(limit, steps):
    window, now = RateWindow(limit, 100), 0
    for later, happens in steps:
        now += later
        assert (now >= window.full_until_ns) == window.allows(now)
        if happens:
            window.add(now)
