"""The second opinion: a price that wanders off from every other is held, and only the one that did."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages import BrakeCleared, BrakeSet, BrakesStated
from actors.second_source import SecondSource, SecondSourceSetup
from trading.instruments import InstrumentKind
from trading.market.events import BookState, BookTop

USDM, OKX, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "OKX:PERP:BTC-USDT:LINEAR", "BINANCE:SPOT:BTC-USDT"
MS = 1_000_000
MID = 618_000


@pytest.fixture
def desk(bench, usdm):
    okx = msgspec.structs.replace(usdm, instrument_id=OKX, venue="okx", symbol="BTC-USDT-SWAP")
    spot = msgspec.structs.replace(usdm, instrument_id=SPOT, venue="binance", kind=InstrumentKind.SPOT)
    bench.start("second_source", SecondSource, SecondSourceSetup(instruments={USDM: usdm, OKX: okx, SPOT: spot}))
    return bench


def tell(bench, name, mid, state=BookState.SYNCED):
    now = bench.clock.wall_ns()
    top = BookTop(
        instrument_id=name,
        state=state,
        update_id=1,
        bids=((mid - 1, 5),),
        asks=((mid + 1, 5),),
        ts_event_ns=now,
        ts_recv_ns=now,
    )
    bench.tell("second_source", top)


def both(bench, usdm, okx, times=1):
    for _ in range(times):
        tell(bench, USDM, usdm)
        tell(bench, OKX, okx)
        bench.after_ms(500)


@pytest.mark.req("P-MD-8")
def test_a_price_more_than_ten_basis_points_from_the_second_source_holds_its_symbol_until_it_is_back(desk):
    both(desk, MID, MID, times=4)
    assert desk.take(BrakeSet) == []
    both(desk, MID, int(MID * 1.0012))
    held = desk.take(BrakeSet, to="governor")
    assert {(b.code, b.scope, b.level) for b in held} == {
        ("SECOND_SOURCE", f"symbol:{USDM}", 3),
        ("SECOND_SOURCE", f"symbol:{OKX}", 3),
    }
    assert OKX in next(b.cause for b in held if USDM in b.scope)
    (*_, stated) = desk.take(BrakesStated, to="governor")
    assert set(stated.brakes) == set(held)
    both(desk, MID, MID, times=4)
    assert desk.take(BrakesStated)[-1].brakes == ()
    assert {c.scope for c in desk.take(BrakeCleared)} == {f"symbol:{USDM}", f"symbol:{OKX}"}


@pytest.mark.req("P-MD-8")
def test_a_second_source_that_is_old_or_not_proved_says_nothing(desk):
    both(desk, MID, MID)
    desk.after_ms(2_000)
    tell(desk, USDM, int(MID * 1.01))
    desk.after_ms(600)
    tell(desk, OKX, MID, BookState.SUSPECT)
    tell(desk, USDM, int(MID * 1.01))
    desk.after_ms(600)
    assert desk.take(BrakeSet) == []


@pytest.mark.req("P-MD-8", "P-RSK-9")
def test_a_basis_beyond_a_hundred_basis_points_holds_the_perpetual(desk):
    tell(desk, SPOT, MID)
    tell(desk, USDM, int(MID * 1.0102))
    desk.after_ms(500)
    held = {(b.code, b.scope) for b in desk.take(BrakeSet)}
    assert ("BASIS", f"symbol:{USDM}") in held
    assert ("BASIS", f"symbol:{SPOT}") not in held
