"""Words for pairs and timeframes, every variant to one form: the only place that reads ``btcusdt`` or ``60``.

Owns the normalisation of operators', signals' and venues' spellings. Does not know which markets exist.
Venue forms: Binance "Kline intervals", OKX v5 "Get candlesticks" (bar), Bybit v5 "interval", Gate.io v4 "candlesticks"
and "currency_pair", MEXC v3 "Kline intervals" (read 2026-11, and as in ccxt 4.5.68).
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

import msgspec

from trading.universe.ids import MarketId

QUOTES: Final = (
    *("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDE", "USD1", "DAI", "USDD", "PYUSD", "RLUSD"),
    *("USD", "EUR", "TRY", "BRL", "GBP", "PLN", "JPY", "AUD", "UAH", "RUB", "KRW", "IDR", "ZAR", "MXN", "ARS"),
    *("BTC", "ETH", "BNB", "SOL", "TRX", "DOGE", "XRP"),
)
"""Quotes that a joined symbol may end with."""

BASES: Final = frozenset(
    (
        *("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "DOT", "AVAX", "LINK", "LTC", "BCH"),
        *("TRX", "TON", "SHIB", "PEPE", "NEAR", "ATOM", "UNI", "AAVE", "XLM", "ETC", "FIL", "ARB"),
        *("OP", "APT", "SUI", "SEI", "INJ", "TIA", "BAT", "ANT", "XBT", "USDT", "USDC"),
    )
)
"""Bases that tell ``DOT/USD`` from ``DO/TUSD``."""

_ALIASES: Final = {"XBT": "BTC"}
_ASSET: Final = re.compile(r"[A-Z0-9$.@]{1,24}")
_CONTRACT_TAIL: Final = re.compile(r"(?:[-_]?(?:PERPETUAL|PERP|SWAP)|\.P)$")

_JOINED: Final = frozenset({"binance", "binanceusdm", "binancecoinm", "bybit", "mexc"})
_DASHED: Final = frozenset({"okx", "kucoin"})
_UNDERSCORED: Final = frozenset({"gateio", "gate"})


class Pair(msgspec.Struct, frozen=True, order=True):
    """Two assets; what they are worth, and where, is not said here."""

    base: str
    quote: str

    def __str__(self) -> str:
        """The one form: ``BTC/USDT``."""
        return f"{self.base}/{self.quote}"

    @property
    def dashed(self) -> str:
        """As in market ids: ``BTC-USDT``."""
        return f"{self.base}-{self.quote}"


def parse_pair(text: str, default_quote: str | None = None, bases: Container[str] = BASES) -> Pair:
    """The pair that ``text`` means.

    ``BTC/USDT``, ``btc-usdt``, ``BTC_USDT``, ``BTCUSDT``, ``BTC/USDT:USDT``, ``BTC-USDT-SWAP``, ``BTCUSD_PERP`` and
    canonical ids are read; with ``default_quote`` also a bare ``BTC``.
    ``bases`` are those that decide where a joined symbol could be cut twice. ``ValueError`` when the text can mean no
    pair, or two. What a contract settles in, and when, is left out.
    """
    word = text.strip().upper()
    if word.count(":") >= 2:
        word = word.split(":")[2]
    word = word.partition(":")[0] if "/" in word else word
    word = _CONTRACT_TAIL.sub("", word)
    parts = [part for part in re.split(r"[/_\-\s]", word) if part]
    if len(parts) == 1:
        base, quote = _split_joined(parts[0], default_quote, bases)
    elif len(parts) == 2:
        base, quote = parts
    else:
        raise ValueError(f"{text[:40]!r} is no pair: write BASE/QUOTE, for example BTC/USDT")
    base, quote = _ALIASES.get(base, base), _ALIASES.get(quote, quote)
    if not _ASSET.fullmatch(base) or not _ASSET.fullmatch(quote):
        raise ValueError(f"{text[:40]!r} is no pair: write BASE/QUOTE, for example BTC/USDT")
    if base == quote:
        raise ValueError(f"{text[:40]!r} is no pair: both sides are {base}")
    return Pair(base, quote)


def _split_joined(word: str, default_quote: str | None, bases: Container[str]) -> tuple[str, str]:
    cuts = [(word.removesuffix(quote), quote) for quote in QUOTES if word.endswith(quote) and word != quote]
    known = [cut for cut in cuts if cut[0] in bases]
    if len(known) == 1 or len(cuts) == 1:
        return (known or cuts)[0]
    if cuts:
        readings = " or ".join(f"{base}/{quote}" for base, quote in cuts)
        raise ValueError(f"{word[:40]!r} can mean {readings}: write BASE/QUOTE")
    if default_quote is None:
        raise ValueError(f"{word[:40]!r} ends with no quote asset that is known: write BASE/QUOTE")
    return word, default_quote.upper()


def native_spot_symbol(pair: Pair, venue: str) -> str:
    """The venue's own word for a spot pair: ``BTCUSDT``, ``BTC-USDT`` or, on Gate.io, ``BTC_USDT``.

    Venues that only ccxt speaks to are addressed by ccxt's own form, which is ours.
    """
    if venue in _JOINED:
        return pair.base + pair.quote
    if venue in _DASHED:
        return pair.dashed
    if venue in _UNDERSCORED:
        return f"{pair.base}_{pair.quote}"
    return str(pair)


def ccxt_symbol(market: MarketId, expiry: str = "") -> str:
    """The unified symbol of ``market`` in ccxt: ``BTC/USDT``, ``BTC/USDT:USDT``; with expiry ``BTC/USD:BTC-241227``."""
    pair = f"{market.base}/{market.quote}"
    if not market.kind:
        return pair
    settle = market.base if market.kind == "INVERSE" else market.quote
    return f"{pair}:{settle}" + (f"-{expiry}" if expiry else "")


def market_of_ccxt(venue: str, symbol: str) -> MarketId:
    """The market of ccxt's unified ``symbol`` at ``venue``; ``ValueError`` for options and what is no symbol."""
    pair, _, contract = symbol.partition(":")
    base, slash, quote = pair.partition("/")
    if not slash or not base or not quote:
        raise ValueError(f"{symbol[:40]!r} is no unified symbol")
    if not contract:
        return MarketId(venue.upper(), "SPOT", base, quote)
    settle, _, expiry = contract.partition("-")
    if "-" in expiry:
        raise ValueError(f"{symbol[:40]!r} is an option")
    kind = "INVERSE" if settle == base else "LINEAR"
    return MarketId(venue.upper(), f"FUT{expiry}" if expiry else "PERP", base, quote, kind)


_MINUTES: Final = {
    **{f"{n}m": n for n in (1, 3, 5, 10, 15, 30)},
    **{f"{n}h": n * 60 for n in (1, 2, 3, 4, 6, 8, 12)},
    "1d": 1440,
    "3d": 4320,
    "1w": 10080,
}
TIMEFRAMES: Final = ("1s", *_MINUTES, "1M")
"""Every timeframe there is, in its one form; ``1M`` is a month."""

_BY_MINUTES: Final = {minutes: name for name, minutes in _MINUTES.items()}
_UNITS: Final = {
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "t"), 1),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 60),
    **dict.fromkeys(("d", "day", "days"), 1440),
    **dict.fromkeys(("w", "wk", "week", "weeks"), 10080),
}
_MONTHS: Final = frozenset({"mo", "mon", "mth", "month", "months", "mn"})
_TIMEFRAME: Final = re.compile(r"(\d{0,5})\s*([A-Za-z]*)")
_SWAPPED: Final = re.compile(r"([A-Za-z]+)(\d{1,3})")


def parse_timeframe(text: str) -> str:
    """The one form of ``text``, for example of ``60`` (minutes), ``1H``, ``h1``, ``1 hour``, ``PT1H``: ``1h``.

    ``M`` alone and ``1M`` are a month and ``M1`` is a minute, as venues and MetaTrader write them. ``ValueError`` names
    what is known.
    """
    word = text.strip()
    if word.upper().startswith("PT"):
        word = word[2:].lower()
    if word.lower().endswith("utc"):
        word = word[:-3]
    swapped = _SWAPPED.fullmatch(word)
    if swapped is not None:
        unit, number = swapped[1].lower(), swapped[2]
    else:
        found = _TIMEFRAME.fullmatch(word)
        if found is None or not word:
            raise ValueError(_no_timeframe(text))
        number, unit = found[1] or "1", found[2]
        if unit == "M":
            unit = "mo"
        unit = unit.lower() or "m"
    n = int(number)
    if unit in {"s", "sec", "second", "seconds"} and n == 1:
        return "1s"
    if unit in _MONTHS and n == 1:
        return "1M"
    name = _BY_MINUTES.get(n * _UNITS.get(unit, 0))
    if name is None:
        raise ValueError(_no_timeframe(text))
    return name


def timeframe_s(timeframe: str) -> int:
    """Seconds of a timeframe in its one form; ``ValueError`` for a month, whose length varies."""
    if timeframe == "1s":
        return 1
    if timeframe not in _MINUTES:
        raise ValueError(f"{timeframe[:20]!r} has no fixed length")
    return _MINUTES[timeframe] * 60


_OKX: Final = {"1h": "1H", "2h": "2H", "4h": "4H", "6h": "6Hutc", "12h": "12Hutc", "1d": "1Dutc", "1w": "1Wutc"}
_BYBIT: Final = {"1d": "D", "1w": "W", "1M": "M"}
_MEXC: Final = {"1h": "60m", "1w": "1W"}
_SPOKEN: Final = {
    "binance": frozenset(TIMEFRAMES) - {"10m", "3h"},
    "okx": frozenset({"1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "3d", "1w", "1M"}),
    "bybit": frozenset({"1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w", "1M"}),
    "gateio": frozenset({"1m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "1d", "1w"}),
    "mexc": frozenset({"1m", "5m", "15m", "30m", "1h", "4h", "8h", "1d", "1w", "1M"}),
}


def native_timeframe(timeframe: str, venue: str) -> str:
    """The venue's word for a timeframe in its one form; ``ValueError`` when the venue has no such bars.

    OKX's longer bars are asked for by UTC days, as every other venue counts them.
    """
    family = "binance" if venue.startswith("binance") else venue
    if timeframe not in _SPOKEN.get(family, frozenset(TIMEFRAMES)):
        raise ValueError(f"{venue} has no bars of {timeframe}")
    match family:
        case "okx":
            return {"3d": "3Dutc", "1M": "1Mutc"}.get(timeframe) or _OKX.get(timeframe, timeframe)
        case "bybit":
            return _BYBIT.get(timeframe) or str(_MINUTES[timeframe])
        case "gateio":
            return "7d" if timeframe == "1w" else timeframe
        case "mexc":
            return _MEXC.get(timeframe, timeframe)
        case _:
            return timeframe


def _no_timeframe(text: str) -> str:
    return f"{text[:20]!r} is no timeframe: use one of {', '.join(TIMEFRAMES)}"
