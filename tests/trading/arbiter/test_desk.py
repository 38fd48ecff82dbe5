"""One instrument's bookkeeping: what is kept as halves is what the plain arithmetic says, to the digit."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading.arbiter.desk import InstrumentDesk
from trading.instruments import InstrumentKind
from trading.market.events import BookState

D = Decimal
NOW = 1_700_000_000_000_000_000
SIZES = st.builds(lambda digits, exponent: D(digits).scaleb(exponent), st.integers(1, 2_500), st.integers(-9, 2))
KIT = []


@pytest.fixture(autouse=True)
def _remember(kit):
    # Hypothesis runs one test many times and refuses function-scoped fixtures as arguments.
    KIT[:] = [kit]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(InstrumentKind), SIZES, SIZES, SIZES, st.integers(1, 10**7), st.integers(1, 400), st.integers(0, 99)
)
def test_the_mid_and_the_least_size_are_those_of_the_plain_arithmetic(kind, tick, lot, worth, bid, spread, lots):
    kit = KIT[0]
    spec = msgspec.structs.replace(kit.instruments[kit.PERP], kind=kind, tick_size=tick, lot_size=lot, multiplier=worth)
    ask = bid + spread
    lot_usd = float(lot * worth)
    if kind is not InstrumentKind.INVERSE:
        lot_usd = lot_usd * (bid + ask) * 0.5 * float(tick)
    for least in (D("0.1"), D(100), D(lots * lot_usd), D(lots * lot_usd) / D("1.0005")):
        desk = InstrumentDesk(msgspec.structs.replace(spec, min_notional=least, min_qty=lot), "x", 1)
        desk.set_top(kit.top(kit.PERP, bid, ask, NOW))
        assert desk.large_enough(lots) is (lots >= 1 and lots * lot_usd >= float(least) * 1.0005)
        assert repr(desk.mid()) == repr(tick * (bid + ask) / 2)


def test_a_book_asks_for_a_look_when_it_becomes_usable_or_not_or_moves_what_somebody_follows(kit):
    desk = InstrumentDesk(kit.instruments[kit.PERP], "x", 1)

    def told(bid, ask, state=BookState.SYNCED):
        return desk.set_top(kit.top(kit.PERP, bid, ask, NOW, state=state))

    assert not told(0, 0)
    assert told(100, 101)
    assert not told(100, 101)
    assert not told(101, 102)
    assert (desk.bid, desk.ask, desk.lot_reach) == (101, 102, 203)
    desk.follows_touch = True
    assert not told(101, 102)
    assert told(101, 103)
    assert told(101, 103, BookState.SUSPECT)
    assert not told(102, 103, BookState.SUSPECT)
    assert told(101, 103)
    assert told(101, 0)
