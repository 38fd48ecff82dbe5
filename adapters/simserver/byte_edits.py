"""What faults do to the bytes of one data message: the venues' JSON is edited as text, so that only the fault changes.

Pure but for the random generator that is passed in. An edit that finds nothing to change answers with the same bytes.
"""

from __future__ import annotations

import re
from random import Random

_LEVEL = re.compile(rb'\["(\d+(?:\.\d+)?)","(\d+(?:\.\d+)?)"')
_PRICE = re.compile(rb'"(?:p|px|bkPx|c|b|a|markPx|idxPx|last|lastPrice|markPrice)":"(\d+(?:\.\d+)?)"')
_NAMED = re.compile(
    rb'("(?:p|px|c|b|a|o|h|l|w|ap|price|lastPrice|bidPrice|askPrice|bid1Price|ask1Price|last|bidPx|askPx)":")(\d+(?:\.\d+)?)'
)
_TIME = re.compile(rb'("(?:E|ts|cts)":"?|"T":)(\d{13})(?=[",}])')
_CHECKSUM = re.compile(rb'("checksum":)(-?\d+)')
_BIDS = re.compile(rb'("(?:b|bids)":)\[\[.*?\]\]')
_ASKS = re.compile(rb'("(?:a|asks)":)\[\[.*?\]\]')
_ZEROS = {"s": -3, "us": 3, "ns": 6}


def corrupt(payload: bytes, number: str, rng: Random) -> bytes:
    """One digit of a price or a quantity is another digit; the number keeps its length and is not zero."""
    found = list(_LEVEL.finditer(payload))
    spans = [match.span(1 if number == "price" else 2) for match in found]
    if not spans:
        spans = [match.span(1) for match in _PRICE.finditer(payload)]
    if not spans:
        return payload
    begin, end = spans[rng.randrange(len(spans))]
    at = [k for k in range(begin + 1, end) if payload[k] != ord(".")] or [begin]
    place = at[rng.randrange(len(at))]
    digit = payload[place] - ord("0")
    other = (digit + 1 + rng.randrange(9)) % 10 if end - begin > 1 else 1 + digit % 9
    return payload[:place] + b"%d" % other + payload[place + 1 :]


def bad_price(payload: bytes, price: str) -> bytes:
    """The first price is 0 or NaN."""
    match = _LEVEL.search(payload) or _PRICE.search(payload)
    if match is None:
        return payload
    begin, end = match.span(1)
    return payload[:begin] + (b"NaN" if price == "nan" else b"0.00") + payload[end:]


def frozen_side(payload: bytes, side: str) -> bytes:
    """No level of one side."""
    return (_BIDS if side == "bid" else _ASKS).sub(rb"\1[]", payload)


def time_unit(payload: bytes, unit: str) -> bytes:
    """Times of the message in seconds, micro- or nanoseconds."""
    zeros = _ZEROS[unit]
    return _TIME.sub(lambda match: match[1] + (match[2][:zeros] if zeros < 0 else match[2] + b"0" * zeros), payload)


def shifted_times(payload: bytes, offset_ms: int) -> bytes:
    """The venue's clock is off: every time of sending and matching moves; a next funding time does not."""
    settles = b"markPriceUpdate" in payload[:120]

    def moved(match: re.Match[bytes]) -> bytes:
        if settles and match[1] == b'"T":':
            return match[0]
        return match[1] + b"%d" % (int(match[2]) + offset_ms)

    return _TIME.sub(moved, payload)


def wrong_checksum(payload: bytes) -> bytes:
    """A checksum that is one off."""
    return _CHECKSUM.sub(lambda match: match[1] + b"%d" % ((int(match[2]) + 1) % (1 << 31)), payload)


def finer_digit(ticks: int) -> int:
    """The further digit that a price of so many old ticks has once ticks are ten times finer."""
    return (ticks * 7_919 >> 3) % 10


def finer_prices(payload: bytes, places: int, *, plain: bool) -> bytes:
    """Every price of a message with one digit more than the ``places`` of its old tick.

    The digit belongs to the price, so that what removes a level still names it; ``plain`` leaves needless zeros out.
    """

    def finer(text: bytes) -> bytes:
        whole, _, part = text.partition(b".")
        part = part.ljust(places + 1, b"0")
        digit = finer_digit(int(whole + part[:places]))
        text = whole + b"." + part[:places] + b"%d" % digit + part[places + 1 :]
        return text.rstrip(b"0").rstrip(b".") if plain else text

    edited = _LEVEL.sub(lambda match: b'["' + finer(match[1]) + b'","' + match[2] + b'"', payload)
    return _NAMED.sub(lambda match: match[1] + finer(match[2]), edited)
