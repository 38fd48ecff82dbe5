"""OKX's and Bybit's synthetic markets: their codecs read them, and their books are the generator's own."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from adapters.bybit.codec import BybitCodec
from adapters.bybit.instruments import INSTRUMENTS as BYBIT_INSTRUMENTS
from adapters.okx.codec import OkxCodec
from adapters.okx.instruments import INSTRUMENTS as OKX_INSTRUMENTS
from adapters.synthetic.generator import MarketGenerator
from adapters.synthetic.params import BYBIT_MARKETS, OKX_MARKETS, GeneratorSpec
from trading.market.book import Book
from trading.market.events import BookTicker, DepthSnapshot, DepthUpdate, MarkPrice, Trade, WireRejected

S = 1_000_000_000
EPOCH = 1_760_000_000 * S
MARKETS = (*OKX_MARKETS, *BYBIT_MARKETS)


def generator(market, start_ns=EPOCH, seed=7):
    spec = GeneratorSpec(seed=seed, epoch_ns=EPOCH, instruments=(market.instrument_id,))
    return MarketGenerator(spec, market.venue, start_ns)


def instrument_of(market):
    known = [*OKX_INSTRUMENTS, *(one for listed in BYBIT_INSTRUMENTS.values() for one in listed)]
    return next(one for one in known if one.instrument_id == market.instrument_id)


def reader(market):
    one = instrument_of(market)
    if market.venue == "okx":
        codec = OkxCodec([one])
        return codec, lambda body: codec.decode_snapshot(body, one.instrument_id, 1)
    codec = BybitCodec([one], book_depth=1000)
    return codec, lambda body: codec.decode_snapshot(body, 1)


@pytest.mark.parametrize("market", MARKETS, ids=lambda one: one.instrument_id)
def test_the_steps_are_the_instruments(market):
    one = instrument_of(market)
    assert one.tick_size * market.ticks_per_unit == 1
    assert one.lot_size * 10**market.lot_decimals == 1
    assert one.symbol == market.symbol
    assert market.perpetual is (one.kind.value != "spot")


@pytest.mark.parametrize("market", MARKETS, ids=lambda one: one.instrument_id)
def test_a_book_built_by_the_codec_is_the_generators_own_book(market):
    source = generator(market)
    codec, read = reader(market)
    (flow,) = source.flows.values()
    snapshot = read(source.snapshot()[2])
    assert isinstance(snapshot, DepthSnapshot), snapshot
    book = Book(market.instrument_id, 12_000)
    book.apply_snapshot(snapshot)
    kinds, previous, u = Counter(), None, None
    frames = source.next_batch(EPOCH + 12 * S) + list(flow.frames)
    for ts_ns, payload in frames:
        for event in codec.decode(payload, ts_ns):
            assert not isinstance(event, WireRejected), event
            kinds[type(event)] += 1
            if isinstance(event, DepthUpdate):
                if market.venue == "okx":
                    assert previous in {None, event.prev_final_update_id}
                    previous = event.final_update_id
                else:
                    assert u in {None, event.final_update_id - 1}
                    u = event.final_update_id
                book.apply(event)
    for mine, side in zip(book.top(10_000), (flow.bid, flow.ask), strict=True):
        known = dict(side.levels)
        for ticks in side.pending:  # what the next diff will say
            known.pop(ticks, None)
        told = {ticks: lots for ticks, lots in mine if ticks not in side.pending}
        assert told == known
    assert kinds[BookTicker] > 50
    assert kinds[Trade] > 5
    assert 100 <= kinds[DepthUpdate] <= 610
    assert (kinds[MarkPrice] >= 11) is market.perpetual


@pytest.mark.parametrize("market", [OKX_MARKETS[1], BYBIT_MARKETS[1]], ids=lambda one: one.instrument_id)
def test_equal_seeds_are_equal_bytes_however_time_is_sliced(market):
    def digest(step_ns, seed=7):
        source = generator(market, seed=seed)
        sha = hashlib.sha256()
        for now_ns in range(EPOCH + step_ns, EPOCH + 3 * S + 1, step_ns):
            for ts_ns, payload in source.next_batch(now_ns):
                sha.update(b"%d %s\n" % (ts_ns, payload))
        return sha.hexdigest()

    assert digest(10_000_000) == digest(500_000_000)
    assert digest(500_000_000) != digest(500_000_000, seed=8)


def test_venues_share_one_world():
    prices = []
    for market in MARKETS:
        (flow,) = generator(market, EPOCH + 3600 * S).flows.values()
        prices.append(flow.bid.best / market.ticks_per_unit)
    assert max(prices) / min(prices) - 1 < 0.002


def test_one_generator_does_not_mix_categories_of_one_symbol():
    spec = GeneratorSpec(seed=7, epoch_ns=EPOCH, instruments=("BYBIT:SPOT:BTC-USDT", "BYBIT:PERP:BTC-USDT:LINEAR"))
    with pytest.raises(ValueError, match="one category"):
        MarketGenerator(spec, "bybit", EPOCH)
