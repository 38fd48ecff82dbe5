"""The gate's short way in C: the same answer and the same counting as the reference's, or none at all."""

from __future__ import annotations

import mmap
from collections import Counter, deque
from decimal import Decimal
from random import Random

import msgspec
import pytest

import native
from actors import gateway as gate
from actors.gateway import Gateway, GatewaySetup
from actors.messages import BookProof
from adapters.permit_board import LEASE_NS_MAX, OperatorBoard, PermitReader
from adapters.permit_layout import SIZE, WORDS_AT
from trading.brakes import Level
from trading.instruments import InstrumentKind
from trading.orders.messages import (
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrdType,
    Side,
    TimeInForce,
    TriggeringInstructions,
    TriggerPriceType,
)

pytestmark = [
    pytest.mark.skipif(native.orders is None, reason="no native code was built"),
    pytest.mark.req("P-SAFE-4", "P-RSK-1"),
]

VENUE = "binanceusdm"
USDM = "BINANCEUSDM:PERP:BTC-USDT:LINEAR"
MS = 1_000_000
MODES = (
    {"venue:okx": Level.HOLD},
    {f"venue:{VENUE}": Level.RUN},
    {f"venue:{VENUE}": Level.SAFE},
    {"global": Level.PAUSE},
    {f"symbol:{USDM}": Level.HOLD},
    {"strategy:taker": Level.KILL},
    {"global": Level.RUN, "strategy:maker": Level.SAFE},
)


PRICES = ("NaN", "sNaN", "Infinity", "-61000", "0", "1e9999", "249999.9", "250000", "250000.1")
QUANTITIES = ("NaN", "-0.004", "Infinity", "0", "0.016393", "0.016394", "-0.017", "1E-30", "1" * 40)


class Pair:
    """Two gateways over one board that are asked the same; the second one only in Python."""

    def __init__(self, bench, setup):
        self.bench, self.setup = bench, setup
        self.short = bench.start("gateway.short", Gateway, setup)
        self.plain = bench.start("gateway.plain", Gateway, setup)
        self.ways = Counter()

    def tell(self, msg):
        self.bench.tell("gateway.short", msg)
        self.bench.tell("gateway.plain", msg)

    def ask(self, msg, instrument, now=None):
        """What both say, and whether C had an answer."""
        at = self.bench.clock.wall_ns() if now is None else now
        before = list(self.short._recent)
        passed = given(self.short, msg, instrument, at)
        if passed:
            assert self.plain._refusal_in_python(msg, instrument, at) is None
        else:
            assert list(self.short._recent) == before
            assert said(self.short._refusal, msg, instrument, at) == said(
                self.plain._refusal_in_python, msg, instrument, at
            )
        assert list(self.short._recent) == list(self.plain._recent)
        self.ways[passed] += 1
        return passed


def given(gateway, msg, instrument, now, **others):
    """The short way's own answer."""
    parts = {
        "setup": gateway._setup,
        "reader": gateway._reader,
        "mono_ns": gateway._lease_ns,
        "scopes": gateway._scopes,
        "unproved": gateway._unproved,
        "recent": gateway._recent,
        "max_age_ns": gateway._max_age_ns,
    } | others
    return gate._plain_gate(msg, instrument, now, *parts.values())


def said(refusal, *args):
    try:
        return refusal(*args)
    except (TypeError, AttributeError) as error:
        return type(error)


@pytest.fixture
def setup(board, usdm):
    return GatewaySetup(
        venue=VENUE,
        instruments={usdm.instrument_id: usdm},
        board=board,
        sent_log=None,
        max_order_notional_usd=Decimal(1_000),
        orders_per_sec=3,
    )


@pytest.fixture
def pair(bench, setup, permit):
    permit()
    return Pair(bench, setup)


@pytest.fixture
def order(bench):
    def make(**changes):
        plain = NewOrderSingle(
            venue=VENUE,
            instrument_id=USDM,
            cl_ord_id="pd1-a-1",
            side=Side.BUY,
            ord_type=OrdType.LIMIT,
            time_in_force=TimeInForce.GTX,
            order_qty=Decimal("0.004"),
            price=Decimal("61000.0"),
            reduce_only=False,
            strategy_ids=("maker",),
            epoch=1,
            cause="a test",
            ts_init_ns=bench.clock.wall_ns(),
        )
        return msgspec.structs.replace(plain, **changes)

    return make


def replacing(order):
    fields = {name: getattr(order, name) for name in NewOrderSingle.__struct_fields__ if name != "contingency"}
    return OrderCancelReplaceRequest(orig_cl_ord_id="pd1-a-0", **fields)


def trigger(*, closes):
    return TriggeringInstructions(
        trigger_price=Decimal(49_000), trigger_price_type=TriggerPriceType.MARK, close_on_trigger=closes
    )


class Walk:
    """Orders of all kinds while the board, the book and the time go on."""

    def __init__(self, seed, pair, order, usdm, permit, board):
        self.random = Random(seed)
        self.pair, self.order, self.writer = pair, order, permit()
        self.operators = OperatorBoard(board)
        self.usdm, self.board, self.held = usdm, board, []
        self.epoch = 1
        self.instruments = (
            *(usdm,) * 14,
            msgspec.structs.replace(usdm, multiplier=Decimal("0.01")),
            msgspec.structs.replace(usdm, multiplier=Decimal("NaN")),
            msgspec.structs.replace(usdm, kind=InstrumentKind.SPOT),
            msgspec.structs.replace(usdm, kind=InstrumentKind.INVERSE, multiplier=Decimal(100)),
            None,
        )

    def ask(self):
        pick = self.random
        clock = self.pair.bench.clock
        changes = {}
        if pick.random() < 0.3:
            changes["price"] = pick.choice((None, *map(Decimal, PRICES)))
        if pick.random() < 0.3:
            changes["order_qty"] = Decimal(pick.choice(QUANTITIES))
        if pick.random() < 0.2:
            age_ns = pick.choice((-5, 0, 999 * MS, 1_000 * MS, 1_000 * MS + 1, 1 << 64, -(1 << 64)))
            changes["ts_init_ns"] = clock.wall_ns() - age_ns
        if pick.random() < 0.1:
            changes["epoch"] = pick.choice((0, self.epoch - 1, self.epoch + 1, 1 << 64, -1))
        if pick.random() < 0.1:
            changes["trigger"] = trigger(closes=pick.random() < 0.5)
        if pick.random() < 0.3:
            changes["strategy_ids"] = pick.choice((("taker",), ("maker", "taker"), (), ("operator",)))
        changes["reduce_only"] = pick.random() < 0.2
        changes["time_in_force"] = pick.choice((TimeInForce.GTX, TimeInForce.IOC))
        msg = self.order(epoch=self.epoch) if pick.random() < 0.7 else self.order(**({"epoch": self.epoch} | changes))
        if pick.random() < 0.3:
            msg = replacing(msg)
        back = pick.choice((0, 0, 0, 0, 0, 1, -1, 700 * MS, -700 * MS))
        self.pair.ask(msg, pick.choice(self.instruments), clock.wall_ns() + back)

    def change(self):
        pick = self.random
        clock = self.pair.bench.clock
        what = pick.random()
        if what < 0.5:
            if pick.random() < 0.1:
                self.epoch = self.writer.next_epoch()
            modes = pick.choice(MODES) if pick.random() < 0.3 else {}
            left_ns = pick.choice((0, 1, 500 * MS, 500 * MS, 500 * MS, 10_000 * MS, 10_000 * MS + 1, -5))
            self.writer.renew(self.epoch, clock.mono_ns() + left_ns, modes)
        elif what < 0.6:
            scope = pick.choice(("global", f"venue:{VENUE}", "venue:okx", "strategy:taker"))
            self.held.append(scope)
            self.operators.set(scope, pick.choice((Level.SAFE, Level.HOLD)), "a test", "alice", 1)
        elif what < 0.7:
            self.pair.tell(BookProof(instrument_id=pick.choice((USDM, "X")), proved=False))
        elif what < 0.75:
            self.writer.revoke()
        else:
            self.pair.bench.after_ms(pick.choice((400, 499, 500, 501, 999, 1_000, 1_001)))

    def go_on(self):
        clock = self.pair.bench.clock
        self.pair.bench.after_ms(self.random.choice((0.001, 1, 20, 100, 200)))
        if self.random.random() < 0.3:
            self.writer.renew(self.epoch, clock.mono_ns() + 500 * MS, {})
        if self.random.random() < 0.1:
            self.pair.tell(BookProof(instrument_id=USDM, proved=True))
            while self.held:
                self.operators.clear(self.held.pop(), "alice", None, 2)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_is_answered_and_counted_as_in_python(seed, bench, setup, order, usdm, permit, board):
    permit()
    pair = Pair(bench, msgspec.structs.replace(setup, orders_per_sec=9))
    walk = Walk(seed, pair, order, usdm, permit, board)
    for _ in range(1_500):
        walk.ask()
        walk.go_on()
        if walk.random.random() < 0.1:
            walk.change()
    assert pair.ways[True] > 100 < pair.ways[False]


def test_the_usual_order_passes_without_python(pair, order, usdm):
    assert pair.ask(order(), usdm)
    assert pair.ask(replacing(order()), usdm)
    assert pair.ways == {True: 2}
    assert len(pair.short._recent) == 2


def test_a_mode_over_others_is_seen_to_be_of_no_order_here(pair, order, usdm, permit):
    permit({"venue:okx": Level.HOLD, "strategy:other": Level.KILL})
    assert not pair.ask(order(), usdm)  # its scopes are told for the first time
    assert pair.ask(order(), usdm)


@pytest.mark.parametrize(
    "changes",
    [
        {"price": None},
        {"price": Decimal("NaN")},
        {"price": Decimal("250000.1")},
        {"order_qty": Decimal("0.017")},
        {"order_qty": Decimal("Infinity")},
        {"epoch": 2},
        {"epoch": 1 << 64},
        {"instrument_id": 7},
        {"strategy_ids": ["maker"]},
        {"ts_init_ns": 0},
        {"ts_init_ns": None},
        {"trigger": trigger(closes=False)},
        {"trigger": trigger(closes=True)},
    ],
)
def test_an_order_that_is_not_as_usual_is_left_to_python(pair, order, usdm, changes):
    pair.tell(BookProof(instrument_id=7, proved=False))
    assert not pair.ask(order(**changes), usdm)


@pytest.mark.parametrize("made", [None, "an instrument", InstrumentKind.INVERSE])
def test_only_a_linear_instrument_is_usual(pair, order, usdm, made):
    instrument = msgspec.structs.replace(usdm, kind=made) if made is InstrumentKind.INVERSE else made
    assert not given(pair.short, order(), instrument, pair.bench.clock.wall_ns())
    assert not pair.short._recent


class Asked(PermitReader):
    """A reader that is not the gateway's own."""


@pytest.mark.parametrize(
    ("part", "make"),
    [
        ("reader", lambda g: Asked(g._setup.board)),
        ("reader", lambda _: None),
        ("setup", lambda _: None),
        ("mono_ns", lambda _: lambda: None),
        ("mono_ns", lambda _: lambda: 1 << 64),
        ("scopes", lambda _: None),
        ("unproved", lambda _: frozenset()),
        ("unproved", lambda _: {USDM}),
        ("recent", lambda _: []),
        ("recent", lambda _: deque([None])),
        ("recent", lambda g: deque([g.now_ns()] * 3)),
        ("max_age_ns", lambda _: None),
        ("max_age_ns", lambda _: -1),
    ],
)
def test_a_part_of_another_kind_is_left_to_python(pair, order, usdm, part, make):
    assert not given(pair.short, order(), usdm, pair.bench.clock.wall_ns(), **{part: make(pair.short)})
    assert given(pair.short, order(), usdm, pair.bench.clock.wall_ns())


def test_what_is_put_in_a_parts_place_is_asked(pair, order, usdm, permit):
    class Granting:
        """A permit board that was taken out."""

        def check(self, _scopes, _now_ns, _epoch):
            return gate.PermitVerdict.GRANTED

    now = pair.bench.clock.wall_ns()
    permit({"global": Level.HOLD})
    assert pair.short._refusal(order(), usdm, now) is not None
    pair.short._reader = Granting()
    assert pair.short._refusal(order(), usdm, now) is None


def test_a_guard_that_is_taken_out_or_wrapped_is_asked_for_each_order(pair, order, permit):
    permit({"global": Level.HOLD})
    asked, refusal = [], pair.short._refusal
    vars(pair.short)["_refusal"] = lambda *args: asked.append(refusal(*args))
    pair.bench.tell("gateway.short", order())
    assert (len(asked), asked[0][0]) == (1, gate.DenyReason.PERMIT_MODE)
    assert (pair.short.sent, pair.short.denied) == (1, 0)


def test_a_word_that_changes_on_the_board_is_seen_by_the_next_order(pair, order, usdm, board):
    now = pair.bench.clock.wall_ns()
    with board.open("r+b") as file, mmap.mmap(file.fileno(), SIZE) as words:
        for at in range(WORDS_AT, WORDS_AT + 32):
            assert given(pair.short, order(), usdm, now, recent=deque())
            was = words[at]
            words[at] = was ^ 0x80
            assert not given(pair.short, order(), usdm, now, recent=deque())
            words[at] = was
    assert given(pair.short, order(), usdm, now)


@pytest.mark.parametrize("seen", [[], [0], [0, 0, 0, 0, 0], ["", "", "", ""], [-1, 0, 0, 0], [1 << 64, 0, 0, 0], None])
def test_a_bad_read_is_never_what_stands_there(pair, order, usdm, seen):
    pair.short._reader._seen = seen
    assert not given(pair.short, order(), usdm, pair.bench.clock.wall_ns())


@pytest.mark.parametrize("of", [bytes(32), memoryview(bytes(32)), memoryview(bytes(31)), None])
def test_words_that_are_no_words_are_left_to_python(pair, order, usdm, of):
    pair.short._reader._words = of
    assert not given(pair.short, order(), usdm, pair.bench.clock.wall_ns())


def test_words_that_were_let_go_of_are_left_to_python(pair, order, usdm):
    pair.short._reader._words.release()
    assert not given(pair.short, order(), usdm, pair.bench.clock.wall_ns())


@pytest.mark.parametrize(
    ("left_ns", "passes"), [(0, False), (1, True), (LEASE_NS_MAX, True), (LEASE_NS_MAX + 1, False)]
)
def test_a_lease_passes_to_its_last_nanosecond_and_none_that_is_too_long(pair, order, usdm, permit, left_ns, passes):
    clock = pair.bench.clock
    permit().renew(1, clock.mono_ns() + left_ns, {})
    pair.short._reader.modes()  # reads the new permit
    assert pair.ask(order(), usdm) is passes


def test_a_permit_of_another_boot_is_left_to_python(pair, order, usdm):
    reader = pair.short._reader
    reader._boot = b"another"
    reader._refresh()
    assert reader._why is gate.PermitVerdict.REFUSED_BOOT
    assert not given(pair.short, order(), usdm, pair.bench.clock.wall_ns())


def test_a_global_mode_counts_for_scopes_that_do_not_name_it(pair, order, usdm, permit):
    permit({"global": Level.SAFE})
    pair.short._reader.modes()  # reads the new permit
    scopes = {(USDM, ("maker",)): (f"venue:{VENUE}",)}
    assert not given(pair.short, order(), usdm, pair.bench.clock.wall_ns(), scopes=scopes)


def test_what_is_just_within_the_limits_passes_without_python(pair, order, usdm):
    at = pair.bench.clock.wall_ns()
    assert pair.ask(order(order_qty=Decimal("0.01"), price=Decimal(100_000)), usdm)
    assert pair.ask(order(ts_init_ns=at - pair.setup.max_age_ms * MS), usdm)


def test_the_board_is_looked_at_last(pair, order, usdm, permit):
    """A HOLD that comes while all else is looked at still holds the order."""
    held = []

    def hold():
        held.append(permit({"global": Level.HOLD}))
        return pair.bench.clock.mono_ns()

    now = pair.bench.clock.wall_ns()
    assert not given(pair.short, order(), usdm, now, mono_ns=hold)
    assert not given(pair.short, order(price=None), usdm, now, mono_ns=hold)
    assert len(held) == 1
    assert not pair.short._recent


def test_what_is_older_than_a_second_is_let_go_of_when_an_order_passes(pair, order, usdm, permit):
    permit(ms=5_000)
    pair.short._reader.modes()  # reads the new permit
    for wait_ms in (0, 400, 400, 199):
        pair.bench.after_ms(wait_ms)
        pair.ask(order(), usdm)
    assert pair.ways == {True: 3, False: 1}
    pair.bench.after_ms(1)
    assert pair.ask(order(), usdm)
    assert len(pair.short._recent) == 3


def test_a_clock_that_fails_is_heard_of(pair, order, usdm):
    def broken():
        raise OSError("no clock")

    now = pair.bench.clock.wall_ns()
    assert not given(pair.short, order(), usdm, now, mono_ns=broken)
    pair.short._lease_ns = broken
    with pytest.raises(OSError, match="no clock"):
        pair.short._refusal(order(), usdm, now)


def test_what_speaks_against_an_order_first_is_what_is_said(pair, order, usdm, permit):
    now = pair.bench.clock.wall_ns()
    with pytest.raises(TypeError):
        pair.short._refusal(order(price="61000"), usdm, now)
    permit({"global": Level.HOLD})
    for changes in ({"price": "61000"}, {"price": Decimal("NaN")}, {"order_qty": Decimal(10)}):
        assert pair.short._refusal(order(**changes), usdm, now)[0] is gate.DenyReason.PERMIT_MODE


def test_a_wrong_call_raises() -> None:
    with pytest.raises(TypeError):
        gate._plain_gate()
    with pytest.raises(TypeError):
        native.orders.PlainGate()
    with pytest.raises(AttributeError):
        native.orders.PlainGate(*(dict,) * 5, *gate._KNOWN)
    with pytest.raises(TypeError):
        native.orders.PlainGate(*gate._READ, None, *gate._KNOWN[1:])
