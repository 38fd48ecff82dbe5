"""What cannot be read is traced to the book that it would have changed, and to no other."""

from __future__ import annotations

import pytest

from adapters.book_topics import book_symbol_of

SYMBOLS = ("BTCUSDT", "BTC-USDT-SWAP", "BTC-USDT", "ETHUSDT")


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("payload", "symbol"),
    [
        (b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","U":"x"', "BTCUSDT"),
        (b'{"e":"depthUpdate","E":1,"s":"ETHUSDT"', "ETHUSDT"),
        (b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"data":[{]', "BTC-USDT-SWAP"),
        (b'{"arg":{"channel":"books","instId":"BTC-USDT"},"data":', "BTC-USDT"),
        (b'{"topic":"orderbook.50.BTCUSDT","type":"delta"', "BTCUSDT"),
        (b'{"topic":"publicTrade.BTCUSDT","data":[{', None),
        (b'{"stream":"btcusdt@trade","data":{', None),
        (b'{"stream":"solusdt@depth","data":{', None),
        (b"\xff\x00", None),
        (b"", None),
    ],
)
def test_a_message_of_a_book_is_known_by_its_first_bytes(payload, symbol):
    assert book_symbol_of(payload, SYMBOLS) == symbol
