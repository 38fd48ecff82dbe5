"""Market bytes to events: exact ticks and lots or a rejection with a reason; no bytes make it raise."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binance.codec import BinanceCodec
from adapters.binance.grid import FREE_FINER_QUANTITIES, MAX_STRAYS, MEMORY_ENTRIES, Grid, RejectReason, WireFault
from adapters.binance.instruments import COINM, INSTRUMENTS, SPOT, USDM, VENUES, instruments_of
from trading.market.events import Aggressor, BookTicker, DepthSnapshot, DepthUpdate, MarkPrice, Trade, WireRejected

NOW = 1_723_161_255_000_000_000
SPOT_BTC, USDM_BTC, COINM_BTC = (
    "BINANCE:SPOT:BTC-USDT",
    "BINANCEUSDM:PERP:BTC-USDT:LINEAR",
    "BINANCECOINM:PERP:BTC-USD:INVERSE",
)

# Frames as recorded on 2024-08-08 and 2023-04-05, levels shortened.
SPOT_DEPTH = (
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,'
    b'"u":50093239202,"b":[["61737.63000000","0.00000000"],["61730.17000000","1.54698000"]],'
    b'"a":[["61837.64000000","1.54698000"]]}}'
)
USDM_DEPTH = (
    b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT",'
    b'"U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"]],"a":[["61800.30","0.000"]]}}'
)
COINM_DEPTH = (
    b'{"stream":"btcusd_perp@depth@0ms","data":{"e":"depthUpdate","E":1723161257440,"T":1723161257432,'
    b'"s":"BTCUSD_PERP","ps":"BTCUSD","U":1007198631260,"u":1007198631565,"pu":1007198631198,'
    b'"b":[["61773.6","1001"]],"a":[]}}'
)
SPOT_TICKER = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",'
    b'"a":"61837.64000000","A":"1.54698000"}}'
)
COINM_TICKER = (
    b'{"stream":"btcusd_perp@bookTicker","data":{"u":1007198632021,"e":"bookTicker","s":"BTCUSD_PERP","ps":"BTCUSD",'
    b'"b":"61804.7","B":"35","a":"61804.8","A":"1645","T":1723161257465,"E":1723161257476}}'
)
SPOT_TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,'
    b'"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}'
)
USDM_TRADE = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256321,"s":"BTCUSDT",'
    b'"t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}'
)
MARK = (
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSDT",'
    b'"p":"28147.27373413","P":"28142.15563565","i":"28159.75642857","r":"-0.00002754","T":1680652800000}}'
)
SPOT_SNAPSHOT = b'{"lastUpdateId":50093239218,"bids":[["61837.63000000","3.78826000"]],"asks":[]}'
COINM_SNAPSHOT = (
    b'{"lastUpdateId":1007198635033,"E":1723161257835,"T":1723161257823,"symbol":"BTCUSD_PERP","pair":"BTCUSD",'
    b'"bids":[["61804.7","35"]],"asks":[["61804.8","4"]]}'
)


@pytest.fixture(scope="module")
def codecs():
    return {venue: BinanceCodec(venue, instruments_of(venue)) for venue in VENUES}


def bare(frame):
    return msgspec.json.encode(msgspec.json.decode(frame)["data"])


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("unwrap", [bytes, bare])
def test_depth_of_the_three_markets_becomes_ticks_and_lots(codecs, unwrap):
    assert codecs[SPOT].decode(unwrap(SPOT_DEPTH), NOW) == DepthUpdate(
        instrument_id=SPOT_BTC,
        first_update_id=50093239189,
        final_update_id=50093239202,
        prev_final_update_id=-1,
        bids=[(6173763, 0), (6173017, 154698)],
        asks=[(6183764, 154698)],
        ts_event_ns=1723161255208_000_000,
        ts_recv_ns=NOW,
    )
    assert codecs[USDM].decode(unwrap(USDM_DEPTH), NOW) == DepthUpdate(
        instrument_id=USDM_BTC,
        first_update_id=5123107832006,
        final_update_id=5123107837557,
        prev_final_update_id=5123107831937,
        bids=[(587102, 14)],
        asks=[(618003, 0)],
        ts_event_ns=1723161256298_000_000,
        ts_recv_ns=NOW,
    )
    update = codecs[COINM].decode(unwrap(COINM_DEPTH), NOW)
    assert isinstance(update, DepthUpdate)
    assert (update.instrument_id, update.bids, update.asks) == (COINM_BTC, [(617736, 1001)], [])


@pytest.mark.parametrize("unwrap", [bytes, bare])
def test_book_tickers_with_and_without_type_and_time(codecs, unwrap):
    assert codecs[SPOT].decode(unwrap(SPOT_TICKER), NOW) == BookTicker(
        instrument_id=SPOT_BTC,
        update_id=50093239212,
        bid_ticks=6183763,
        bid_lots=378826,
        ask_ticks=6183764,
        ask_lots=154698,
        ts_event_ns=0,
        ts_recv_ns=NOW,
    )
    ticker = codecs[COINM].decode(unwrap(COINM_TICKER), NOW)
    assert isinstance(ticker, BookTicker)
    assert (ticker.bid_ticks, ticker.ask_lots, ticker.ts_event_ns) == (618047, 1645, 1723161257465_000_000)


@pytest.mark.parametrize("unwrap", [bytes, bare])
def test_trades_name_the_side_that_took(codecs, unwrap):
    sold = codecs[SPOT].decode(unwrap(SPOT_TRADE), NOW)
    bought = codecs[USDM].decode(unwrap(USDM_TRADE), NOW)
    assert isinstance(sold, Trade)
    assert isinstance(bought, Trade)
    assert (sold.aggressor, sold.price_ticks, sold.qty_lots, sold.trade_id) == (
        Aggressor.SELL,
        6183763,
        2000,
        3735683259,
    )
    assert (bought.aggressor, bought.ts_event_ns) == (Aggressor.BUY, 1723161256321_000_000)


def test_an_aggregate_trade_is_a_trade(codecs):
    payload = (
        b'{"e":"aggTrade","E":1723161256322,"s":"BTCUSDT","a":77,"p":"61800.30","q":"0.006","f":1,"l":2,'
        b'"T":1723161256321,"m":true}'
    )
    framed = b'{"stream":"btcusdt@aggTrade","data":' + payload + b"}"
    for one in (payload, framed):
        trade = codecs[USDM].decode(one, NOW)
        assert isinstance(trade, Trade)
        assert (trade.trade_id, trade.qty_lots, trade.aggressor) == (77, 6, Aggressor.SELL)


@pytest.mark.parametrize("kind", [b"INSURANCE_FUND", b"ADL", b"NA"])
def test_a_trade_outside_of_the_book_is_not_a_market_event(codecs, kind):
    assert codecs[USDM].decode(USDM_TRADE.replace(b"MARKET", kind), NOW) is None


@pytest.mark.parametrize("unwrap", [bytes, bare])
def test_mark_prices_carry_the_forming_funding_rate_and_its_time(codecs, unwrap):
    assert codecs[USDM].decode(unwrap(MARK), NOW) == MarkPrice(
        instrument_id=USDM_BTC,
        mark_price=Decimal("28147.27373413"),
        index_price=Decimal("28159.75642857"),
        funding_rate=Decimal("-0.00002754"),
        next_funding_ns=1680652800000_000_000,
        ts_event_ns=1680652701000_000_000,
        ts_recv_ns=NOW,
    )


def test_a_contract_without_funding_states_none(codecs):
    payload = b'{"e":"markPriceUpdate","E":1680652701000,"s":"BTCUSD_PERP","p":"28147.2","P":"28142.1","r":"","T":0}'
    mark = codecs[COINM].decode(payload, NOW)
    assert isinstance(mark, MarkPrice)
    assert (mark.index_price, mark.funding_rate, mark.next_funding_ns) == (None, None, None)


def test_a_snapshot_takes_its_instrument_from_the_caller_and_checks_a_stated_symbol(codecs):
    assert codecs[SPOT].decode_snapshot(SPOT_SNAPSHOT, SPOT_BTC, NOW) == DepthSnapshot(
        instrument_id=SPOT_BTC,
        last_update_id=50093239218,
        bids=[(6183763, 378826)],
        asks=[],
        ts_event_ns=0,
        ts_recv_ns=NOW,
    )
    stated = codecs[COINM].decode_recorded(COINM_SNAPSHOT, "btcusd_perp", NOW)
    assert isinstance(stated, DepthSnapshot)
    assert stated.ts_event_ns == 1723161257823_000_000
    wrong = codecs[COINM].decode_snapshot(COINM_SNAPSHOT.replace(b"BTCUSD_PERP", b"ETHUSD_PERP"), COINM_BTC, NOW)
    assert isinstance(wrong, WireRejected)
    assert wrong.reason == "symbol_mismatch"
    unknown = codecs[SPOT].decode_snapshot(SPOT_SNAPSHOT, "BINANCE:SPOT:DOGE-USDT", NOW)
    assert isinstance(unknown, WireRejected)


REJECTED = [
    (b"", RejectReason.MALFORMED),
    (b"pong", RejectReason.MALFORMED),
    (b"[]", RejectReason.MALFORMED),
    (SPOT_DEPTH[:-20], RejectReason.MALFORMED),
    (SPOT_DEPTH[:140], RejectReason.MALFORMED),
    (SPOT_DEPTH.replace(b"btcusdt@depth@100ms", b"\xff\xfe"), RejectReason.MALFORMED),
    (SPOT_DEPTH.replace(b"1723161255208", b"1723161255208000"), RejectReason.MALFORMED),  # microseconds
    (SPOT_DEPTH.replace(b"1723161255208", b"1723161255"), RejectReason.MALFORMED),  # seconds
    (SPOT_DEPTH.replace(b'"s":"BTCUSDT"', b'"s":"ETHUSDT"'), RejectReason.SYMBOL_MISMATCH),
    (SPOT_DEPTH.replace(b"btcusdt@depth@100ms", b"dogeusdt@depth@100ms"), RejectReason.UNKNOWN_SYMBOL),
    (SPOT_DEPTH.replace(b"btcusdt@depth@100ms", b"btcusdt@kline_1m"), RejectReason.UNKNOWN_EVENT),
    (SPOT_DEPTH.replace(b"61730.17000000", b"61730.17500000"), RejectReason.OFF_GRID_PRICE),
    (SPOT_DEPTH.replace(b"61730.17000000", b"0.00000000"), RejectReason.ZERO_PRICE),
    (SPOT_DEPTH.replace(b"61730.17000000", b"NaN"), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"61730.17000000", b"Infinity"), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"61730.17000000", b"-61730.17"), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"61730.17000000", b"6e4"), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"61730.17000000", b"6_1730.17"), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"61730.17000000", b"61.730.17"), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"61730.17000000", b""), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"61730.17000000", "\u0661\u0662".encode()), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"61730.17000000", b"9" * 30), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b"1.54698000", b"-1.0"), RejectReason.BAD_NUMBER),
    (SPOT_DEPTH.replace(b'"61730.17000000","1.54698000"', b'"61730.17000000"'), RejectReason.MALFORMED),
    (SPOT_DEPTH.replace(b'"U":50093239189', b'"U":50093239999'), RejectReason.BAD_SEQUENCE),
    (SPOT_TICKER.replace(b"61837.63000000", b"0.00000000"), RejectReason.ZERO_PRICE),
    (SPOT_TRADE.replace(b"0.02000000", b"0.00000000"), RejectReason.BAD_NUMBER),
    (SPOT_SNAPSHOT, RejectReason.SNAPSHOT_WITHOUT_SYMBOL),
    (b'{"code":-1121,"msg":"Invalid symbol."}', RejectReason.VENUE_ERROR),
    (b'{"error":{"code":2,"msg":"bad"},"id":3}', RejectReason.VENUE_ERROR),
    (b'{"e":"serverShutdown","E":1723161255208}', RejectReason.UNKNOWN_EVENT),
    (b'{"e":"kline","s":"BTCUSDT"}', RejectReason.UNKNOWN_EVENT),
    (b'{"e":"trade","s":"DOGEUSDT"}', RejectReason.UNKNOWN_SYMBOL),
    (b"{}", RejectReason.UNKNOWN_EVENT),
    (b"[" * 100_000, RejectReason.MALFORMED),
    (b'{"x":' + b"[" * 100_000, RejectReason.MALFORMED),
    (b" " * (5 << 20), RejectReason.TOO_LARGE),
]


@pytest.mark.req("P-MD-2", "P-MD-8")
@pytest.mark.parametrize(("payload", "reason"), REJECTED, ids=range(len(REJECTED)))
def test_what_cannot_be_believed_is_rejected_with_a_reason_and_a_short_excerpt(codecs, payload, reason):
    rejected = codecs[SPOT].decode(payload, NOW)
    assert isinstance(rejected, WireRejected)
    assert (rejected.reason, rejected.venue, rejected.ts_recv_ns) == (reason.value, SPOT, NOW)
    assert len(rejected.excerpt) <= 200


def test_a_mark_price_of_zero_is_rejected(codecs):
    rejected = codecs[USDM].decode(MARK.replace(b"28147.27373413", b"0.00000000"), NOW)
    assert isinstance(rejected, WireRejected)
    assert rejected.reason == "zero_price"


def test_a_granted_subscription_is_no_market_event_and_is_read_as_an_ack(codecs):
    codec = codecs[SPOT]
    assert codec.decode(b'{"result":null,"id":7}', NOW) is None
    granted = codec.decode_ack(b'{"result":null,"id":7}')
    assert granted is not None
    assert (granted.request_id, granted.error) == (7, "")
    refused = codec.decode_ack(b'{"error":{"code":2,"msg":"Invalid request"},"id":8}')
    assert refused is not None
    assert "Invalid request" in refused.error
    assert codec.decode_ack(SPOT_DEPTH) is None
    assert codec.decode_ack(b"nonsense") is None


def test_a_frame_spelled_with_spaces_or_in_another_order_is_the_same_frame(codecs):
    tree = json.loads(SPOT_DEPTH)
    spaced = json.dumps({"data": tree["data"], "stream": tree["stream"]}, indent=1).encode()
    assert codecs[SPOT].decode(spaced, NOW) == codecs[SPOT].decode(SPOT_DEPTH, NOW)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_codec_raise(payload):
    codec = BinanceCodec(SPOT, instruments_of(SPOT))
    codec.decode(payload, NOW)
    codec.decode_snapshot(payload, SPOT_BTC, NOW)
    codec.decode_ack(payload)


@given(st.data())
def test_no_damage_to_a_real_frame_makes_the_codec_raise(data):
    codec = BinanceCodec(SPOT, instruments_of(SPOT))
    frame = bytearray(data.draw(st.sampled_from([SPOT_DEPTH, SPOT_TICKER, SPOT_TRADE, SPOT_SNAPSHOT])))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    codec.decode(bytes(frame), NOW)
    codec.decode_recorded(bytes(frame), "btcusdt", NOW)


# --- The grid -------------------------------------------------------------------------------------


@pytest.mark.req("P-RSK-3")
@given(st.sampled_from(INSTRUMENTS), st.integers(1, 10**9), st.integers(0, 10**12), st.integers(0, 8))
def test_every_price_and_quantity_on_the_grid_is_exact_however_many_zeros_follow(instrument, ticks, lots, zeros):
    grid = Grid(instrument)
    for units, step, convert in (
        (ticks, instrument.tick_size, grid.ticks),
        (lots, instrument.lot_size, grid.lots),
    ):
        text = f"{step * units:f}"
        padded = text + "0" * zeros if "." in text else text + "." + "0" * zeros
        assert convert(text) == units
        assert convert(padded) == units


@pytest.mark.req("P-RSK-3")
@given(st.sampled_from(INSTRUMENTS), st.integers(0, 10**9), st.integers(1, 99))
def test_a_price_off_the_grid_is_refused_and_never_rounded(instrument, ticks, hundredths):
    price = instrument.tick_size * ticks + instrument.tick_size * hundredths / 100
    with pytest.raises(WireFault) as fault:
        Grid(instrument).ticks(f"{price:f}")
    assert fault.value.reason is RejectReason.OFF_GRID_PRICE


def test_a_resting_quantity_from_before_a_step_change_is_whole_lots_and_counted():
    grid = Grid(instruments_of(SPOT)[0])
    assert grid.levels([("200000.00000000", "25.42618900")]) == [(20_000_000, 2_542_618)]
    assert grid.lots("0.00000300") == 1
    assert grid.finer_quantities == 2


@pytest.mark.req("P-RSK-3")
def test_many_finer_quantities_mean_that_the_rules_are_out_of_date():
    grid = Grid(instruments_of(SPOT)[0])
    for number in range(1, FREE_FINER_QUANTITIES + 1):
        grid.lots(f"{number}.00000100")
    with pytest.raises(WireFault) as fault:
        grid.lots("0.00000100")
    assert fault.value.reason is RejectReason.OFF_GRID_QTY


def test_the_memory_of_numbers_is_bounded_and_forgetting_changes_nothing():
    grid = Grid(instruments_of(SPOT)[0])
    for number in range(1, 2 * MEMORY_ENTRIES + 10):
        assert grid.lots(f"{number}") == number * 100_000
    assert len(grid._lots) <= MEMORY_ENTRIES
    assert grid.lots("1") == 100_000


@pytest.mark.req("P-UNI-2")
def test_one_ticker_on_two_venues_has_two_ids_and_ids_are_canonical():
    ids = [instrument.instrument_id for instrument in INSTRUMENTS]
    assert len(ids) == len(set(ids))
    assert {i.instrument_id for i in INSTRUMENTS if i.symbol == "BTCUSDT"} == {SPOT_BTC, USDM_BTC}
    for instrument in INSTRUMENTS:
        venue, kind, pair, *rest = instrument.instrument_id.split(":")
        assert venue.lower() == instrument.venue
        assert pair == f"{instrument.base}-{instrument.quote}"
        assert (kind, rest) == (
            ("SPOT", []) if instrument.kind.value == "spot" else ("PERP", [instrument.kind.value.upper()])
        )


def book_with(*strays, near=()):
    """A REST book of 30 bids and 30 asks on the grid of 0.01, and some off it."""
    bids = [[f"{100 - n / 100:.2f}", "1"] for n in range(30)]
    for price in near:
        bids.insert(5, [price, "1"])
    asks = [[f"{101 + n / 100:.2f}", "1"] for n in range(30)]
    return json.dumps({"lastUpdateId": 10, "bids": [*bids, *([p, "7"] for p in strays)], "asks": asks}).encode()


def diff_with(price, qty):
    message = {"e": "depthUpdate", "E": 1723161255208, "s": "BTCUSDT", "U": 11, "u": 12, "b": [[price, qty]], "a": []}
    return json.dumps(message).encode()


@pytest.mark.req("P-MD-2")
def test_an_order_that_rests_off_a_tick_that_became_coarser_does_not_cost_the_book():
    codec = BinanceCodec(SPOT, instruments_of(SPOT))
    snapshot = codec.decode_snapshot(book_with("60.123", "60.0049"), SPOT_BTC, NOW)
    assert isinstance(snapshot, DepthSnapshot)
    # The count of what was stated stays, so that a cut-off book is known as such.
    assert [lots for _, lots in snapshot.bids] == [100000] * 30 + [0, 0]
    for price, qty in (("60.123", "3"), ("60.123", "0"), ("55.001", "0")):
        update = codec.decode(diff_with(price, qty), NOW)
        assert isinstance(update, DepthUpdate)
        assert update.bids == []
    # A price off the grid that the book did not state is a change of rules, not an old order.
    for unknown in (diff_with("60.124", "3"), diff_with("99.995", "1")):
        refused = codec.decode(unknown, NOW)
        assert isinstance(refused, WireRejected)
        assert refused.reason == "off_grid_price"
    codec.decode_snapshot(book_with(), SPOT_BTC, NOW)
    assert isinstance(codec.decode(diff_with("60.123", "3"), NOW), WireRejected)


def test_prices_off_the_grid_near_the_touch_or_many_of_them_refuse_the_book():
    codec = BinanceCodec(SPOT, instruments_of(SPOT))
    many = [f"{60 - n / 100:.2f}1" for n in range(MAX_STRAYS + 1)]
    for body in (book_with(near=["99.9550001"]), book_with(*many)):
        refused = codec.decode_snapshot(body, SPOT_BTC, NOW)
        assert isinstance(refused, WireRejected)
        assert refused.reason == "off_grid_price"
    assert isinstance(codec.decode_snapshot(book_with(*many[1:]), SPOT_BTC, NOW), DepthSnapshot)
