"""Which quote is traded in."""

from __future__ import annotations

import pytest

from trading.universe.quotes import choose_quote
from trading.universe.symbols import Pair, native_spot_symbol, parse_pair

ALL = ("USDT", "USDC", "EUR", "PLN", "BTC")


@pytest.mark.req("L-EXEC-7")
@pytest.mark.parametrize(
    ("preferred", "override", "listed", "quote"),
    [
        ("auto", "", ALL, "USDT"),
        ("auto", "", ("USDC", "EUR"), "USDC"),
        ("AUTO", "", ("PLN", "BTC"), "PLN"),
        ("", "", ALL, "USDT"),
        ("usdc", "", ALL, "USDC"),
        ("EUR", "", ALL, "EUR"),
        ("PLN", "", ALL, "PLN"),
        ("EUR", "usdc", ALL, "USDC"),
        ("auto", " PLN ", ALL, "PLN"),
        ("auto", "", ("usdt",), "USDT"),
    ],
)
def test_symbols_resolve_to_the_quote_that_is_preferred_or_forced(preferred, override, listed, quote):
    choice = choose_quote(preferred, override, listed)
    assert choice.quote == quote
    assert choice.reason
    # Every spelling of a bare base then means this market, in the venue's own words.
    assert parse_pair("btc", default_quote=choice.quote) == Pair("BTC", quote)
    assert native_spot_symbol(Pair("BTC", choice.quote), "gateio") == f"BTC_{quote}"


@pytest.mark.req("L-EXEC-7")
@pytest.mark.parametrize(
    ("preferred", "override", "listed", "field"),
    [
        ("GBP", "", ALL, "QUOTE_PREF"),
        ("auto", "auto", ALL, "QUOTE_OVERRIDE"),
        ("EUR", "", ("USDT",), "QUOTE_PREF"),
        ("auto", "EUR", ("USDT",), "QUOTE_OVERRIDE"),
        ("auto", "", ("BTC",), "QUOTE_PREF"),
        ("auto", "", (), "QUOTE_PREF"),
    ],
)
def test_a_forced_quote_that_cannot_be_is_refused_and_never_replaced(preferred, override, listed, field):
    with pytest.raises(ValueError, match=field):
        choose_quote(preferred, override, listed)
