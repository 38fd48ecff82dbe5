"""Binance exchangeInfo: every filter read or the instrument refused."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binance.codec import BinanceCodec
from adapters.binance.exchange_info import decode_exchange_info
from adapters.recordings import Kind, Recorded, read_recording, read_recordings
from trading.market.events import BookState, BookTicker, DepthUpdate
from trading.market.stitch import BookSync, SequenceRule

RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "binance" / "cryptofeed_raw"

FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01000000"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
    {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
]
SPOT = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": FILTERS}
FUTURES = {
    **SPOT,
    "marginAsset": "USDT",
    "contractType": "PERPETUAL",
    "filters": [*FILTERS[:2], {"filterType": "MIN_NOTIONAL", "notional": "100"}],
}
COIN = {
    **SPOT,
    "symbol": "BTCUSD_PERP",
    "quoteAsset": "USD",
    "marginAsset": "BTC",
    "contractType": "PERPETUAL",
    "contractSize": 100,
    "filters": FILTERS[:2],
}


def reply(*symbols):
    return json.dumps({"timezone": "UTC", "symbols": symbols}).encode()


@pytest.mark.req("P-UNI-2")
def test_the_three_venues_state_notional_in_their_own_ways_and_have_ids_of_their_own():
    (spot,) = decode_exchange_info(reply(SPOT), "binance").instruments
    (futures,) = decode_exchange_info(reply(FUTURES), "binanceusdm").instruments
    (coin,) = decode_exchange_info(reply(COIN), "binancecoinm").instruments
    assert (spot.instrument_id, spot.min_notional, spot.tick_size) == (
        "BINANCE:SPOT:BTC-USDT",
        Decimal(5),
        Decimal("0.01"),
    )
    assert (futures.instrument_id, futures.min_notional) == ("BINANCEUSDM:PERP:BTC-USDT:LINEAR", Decimal(100))
    assert (coin.instrument_id, coin.multiplier) == ("BINANCECOINM:PERP:BTC-USD:INVERSE", Decimal(100))
    assert (coin.min_notional, coin.settle) == (0, "BTC")
    dated = {**COIN, "symbol": "BTCUSD_200925", "contractType": "CURRENT_QUARTER"}
    (future,) = decode_exchange_info(reply(dated), "binancecoinm").instruments
    assert future.instrument_id == "BINANCECOINM:FUT200925:BTC-USD:INVERSE"


@pytest.mark.parametrize(
    "filters",
    [
        [],
        FILTERS[:2],
        [{**FILTERS[0], "tickSize": "0.0"}, *FILTERS[1:]],
        [{**FILTERS[0], "tickSize": "fine"}, *FILTERS[1:]],
        [FILTERS[0], {**FILTERS[1], "stepSize": ""}, FILTERS[2]],
        [FILTERS[0], {**FILTERS[1], "maxQty": "-1"}, FILTERS[2]],
        [*FILTERS[:2], {"filterType": "NOTIONAL"}],
        None,
    ],
)
def test_an_instrument_with_a_filter_that_cannot_be_read_is_refused_and_the_others_are_not(filters):
    listing = decode_exchange_info(reply({**SPOT, "filters": filters}, {**SPOT, "symbol": "ETHUSDT"}), "binance")
    assert [one.symbol for one in listing.instruments] == ["ETHUSDT"]
    assert len(listing.refused) == 1


def test_a_changed_filter_is_another_rules_version():
    (before,) = decode_exchange_info(reply(SPOT), "binance").instruments
    changed = {**SPOT, "filters": [{**FILTERS[0], "tickSize": "0.1"}, *FILTERS[1:]]}
    (after,) = decode_exchange_info(reply(changed), "binance").instruments
    assert before.rules_version != after.rules_version


@given(
    st.binary(max_size=200)
    | st.builds(
        lambda at, byte: (p := reply(SPOT))[:at] + byte + p[at + 1 :], st.integers(0, 500), st.binary(max_size=2)
    )
)
def test_no_bytes_make_it_raise(payload):
    listing = decode_exchange_info(payload, "binance")
    assert listing is None or len(listing.instruments) + len(listing.refused) <= 1


@pytest.mark.recording
@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recordings at {RECORDED}")
@pytest.mark.parametrize(
    ("name", "venue", "count"), [("BINANCE", "binance", 1695), ("BINANCE_FUTURES", "binanceusdm", 122)]
)
def test_the_recorded_replies_are_read_whole(name, venue, count):
    item = next(item for item in read_recording(RECORDED / f"{name}.0.txt.xz") if isinstance(item, Recorded))
    listing = decode_exchange_info(item.payload, venue)
    assert len(listing.instruments) + len(listing.refused) == count
    assert len(listing.refused) <= 1
    assert len({one.instrument_id for one in listing.instruments}) == len(listing.instruments)


@pytest.mark.recording
@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recordings at {RECORDED}")
@pytest.mark.parametrize(
    ("name", "venue", "symbol", "strays", "applied"),
    [("BINANCE", "binance", "NKNUSDT", 34, 149), ("BINANCE_FUTURES", "binanceusdm", "CTKUSDT", 131, 180)],
)
def test_books_with_orders_off_todays_tick_are_proved_by_the_venues_own_rules(name, venue, symbol, strays, applied):
    paths = sorted(RECORDED.glob(f"{name}.*"))
    listing = decode_exchange_info(next(iter(read_recording(RECORDED / f"{name}.0.txt.xz"))).payload, venue)
    (one,) = [one for one in listing.instruments if one.symbol == symbol]
    codec = BinanceCodec(venue, [one])
    sync = BookSync(one.instrument_id, SequenceRule.SPOT if venue == "binance" else SequenceRule.FUTURES)
    left_out = 0
    for item in read_recordings(paths):
        if f"symbol={symbol}" in item.url:
            snapshot = codec.decode_snapshot(item.payload, one.instrument_id, item.ts_ns)
            left_out += sum(1 for side in (snapshot.bids, snapshot.asks) for _, lots in side if not lots)
            sync.on_snapshot(snapshot)
        elif item.kind is Kind.RECEIVED:
            event = codec.decode(item.payload, item.ts_ns)
            if isinstance(event, DepthUpdate):
                sync.on_update(event)
            elif isinstance(event, BookTicker):
                sync.on_ticker(event)
    assert left_out == strays
    assert sync.state is BookState.SYNCED
    assert (sync.counters.applied, sync.counters.gaps, sync.counters.mismatches) == (applied, 0, 0)
    assert sync.counters.audited > 10
