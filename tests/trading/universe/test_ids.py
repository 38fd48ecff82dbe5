"""Canonical ids: one grammar, read back as written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binance.instruments import VENUES
from adapters.bybit.instruments import INSTRUMENTS as BYBIT
from adapters.okx.instruments import INSTRUMENTS as OKX
from trading.brakes import parse_scope
from trading.instruments import InstrumentKind
from trading.universe.ids import MarketId, is_market_id, parse_market_id


@pytest.mark.parametrize(
    "text",
    [
        "BINANCE:SPOT:BTC-USDT",
        "BINANCEUSDM:PERP:BTC-USDT:LINEAR",
        "BINANCECOINM:FUT241227:BTC-USD:INVERSE",
        "OKX:INDEX:BTC-USD",
        "OKX:PERPUM:BTC-USD:LINEAR",
        "BYBIT:FUT27DEC24:BTC-USDT:LINEAR",
        "GATEIO:SPOT:1000PEPE-USDT",
        "HYPERLIQUID:PERP:kPEPE-USDC:LINEAR",
    ],
)
@pytest.mark.req("P-UNI-2")
@pytest.mark.req("P-GLO-5")
def test_an_id_is_read_and_written_back_the_same(text):
    assert str(parse_market_id(text)) == text


@pytest.mark.req("P-GLO-5")
def test_every_instrument_that_the_native_venues_know_has_a_canonical_id():
    known = [*OKX, *(one for category in BYBIT.values() for one in category)]
    assert len(known) > 8
    for instrument in known:
        market = parse_market_id(instrument.instrument_id)
        assert market.adapter == instrument.venue
        assert market.instrument_kind is instrument.kind
        assert (market.base, market.quote) == (instrument.base, instrument.quote)
    assert all(is_market_id(f"{venue.upper()}:PERP:BTC-USDT:LINEAR") for venue in VENUES)


@pytest.mark.req("P-UNI-2")
def test_the_same_ticker_on_two_venues_is_two_markets():
    one, other = parse_market_id("OKX:SPOT:BTC-USDT"), parse_market_id("BYBIT:SPOT:BTC-USDT")
    assert one != other
    assert str(one) != str(other)
    assert len({one, other}) == 2


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("BTC-USDT", "write VENUE:TYPE:BASE-QUOTE"),
        ("okx:SPOT:BTC-USDT", "venue 'okx'"),
        ("OKX:MARGIN:BTC-USDT", "type 'MARGIN'"),
        ("OKX:SPOT:BTCUSDT", "is not BASE-QUOTE"),
        ("OKX:SPOT:BTC-USDT:LINEAR", "SPOT has no KIND"),
        ("OKX:SPOT:BTC-USDT:", "SPOT has no KIND"),
        ("OKX:PERP:BTC-USDT", "needs the KIND"),
        ("OKX:PERP:BTC-USDT:SPOT", "needs the KIND"),
        ("GATE:SPOT:人生K线-USDT", "is not BASE-QUOTE"),
        ("HYPERLIQUID:PERP:" + "A" * 24 + "-" + "B" * 20 + ":LINEAR", "bytes, at most 57"),
        ("OKX:SPOT:BTC-USDT\n", "is not BASE-QUOTE"),
    ],
)
def test_what_is_no_id_is_refused_by_what_is_wrong(text, wrong):
    with pytest.raises(ValueError, match=wrong):
        parse_market_id(text)
    assert not is_market_id(text)


@given(
    st.from_regex(r"[A-Z][A-Z0-9]{1,9}", fullmatch=True),
    st.sampled_from(["SPOT", "PERP", "FUT250328"]),
    st.from_regex(r"[A-Za-z0-9$.]{1,10}", fullmatch=True),
    st.sampled_from(list(InstrumentKind)),
)
def test_every_id_fits_the_scope_of_a_brake(venue, market, base, kind):
    suffix = "" if market == "SPOT" else "INVERSE" if kind is InstrumentKind.INVERSE else "LINEAR"
    made = MarketId(venue, market, base, "USDT", suffix)
    assert parse_market_id(str(made)) == made
    parse_scope(f"symbol:{made}")


@given(st.text(max_size=80))
def test_any_text_is_an_id_that_is_written_back_or_is_none(text):
    if is_market_id(text):
        assert str(parse_market_id(text)) == text
    else:
        with pytest.raises(ValueError, match=r".+"):
            parse_market_id(text)
