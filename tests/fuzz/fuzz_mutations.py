"""Bytes that venues do not send: recorded or documented messages, changed where their structure says it hurts.

A case is some messages, one a line. Owns the changes; what must hold of their result is `fuzz_targets`'s.
"""

from __future__ import annotations

import json
from random import Random


class Pairs(list):
    """A JSON object as a list of (key bytes, value): keys may repeat."""


class Literal(bytes):
    """Bytes that stand for a value as they are, JSON or not."""


# What stands for a number in a text, a number, or a name; all of them have been somebody's bug.
TEXTS = (
    "",
    "0",
    "-0",
    "00",
    "0.0",
    "-1",
    "+1",
    " 1",
    "1 ",
    "1_0",
    "1,5",
    ".5",
    "5.",
    ".",
    "..",
    "1e5",
    "1E-7",
    "1e400",
    "1e999999",
    "1e-999999",
    "0x10",
    "NaN",
    "nan",
    "sNaN123",
    "Infinity",
    "-inf",
    "null",
    "1" * 24,
    "1" * 25,
    "9" * 41,
    "0." + "0" * 30 + "1",
    "0.1" + "0" * 21,
    "61837.635",
    "4611686018427387904",
    "9223372036854775808",
    "\u0661\u0662",
    "\uff11",
    "\u00b2",
    "1\x00",
    "\x00",
    "a" * 5_000,
    "\U0001f4a9",
    "BTCUSDT",
    "BTC-USDT",
    "DOGEUSDT",
    "snapshot",
    "delta",
    "depthUpdate",
)
LITERALS = (
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-1",
    b"1",
    b"0.5",
    b"-0.0",
    b"1e5",
    b"1E400",
    b"-1e400",
    b"1e-400",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"4611686018427387904",
    b"4611686018427387903",
    b"1" * 60,
    b"1" * 5_000,
    b"999999999999",
    b"1000000000000",
    b"8999999999999",
    b"3999999999999",
    b"4000000000000",
    b"9000000000000",
    b"1723161255208000",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"[]",
    b"{}",
    b'""',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\\u0031"',
    b'"\\/"',
    b'"\\x"',
    b'"unended',
    b"'1'",
    b"01",
    b"1.",
    b"// comment",
    b"[[[]]]",
    b'[["1","1"]]',
    b'[["1"]]',
    b'[["1","1","1"]]',
    b'[{"0":"1","1":"1"}]',
    b"[" * 400 + b"]" * 400,
    b"[" * 3_000,
    b'{"a":' * 3_000,
)
BYTES = (
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b'"',
    b"\\",
    b",",
    b"}",
    b"]",
    b"{",
    b"[",
    b" ",
    b"\t",
    b"\r",
    b":",
)


def mutate(case: bytes, rng: Random) -> bytes:
    """The case with one to four changes."""
    for _ in range(rng.randint(1, 4)):
        case = _once(case, rng)
    return case


def _once(case: bytes, rng: Random) -> bytes:
    messages = case.split(b"\n")
    spot = rng.randrange(len(messages))
    match rng.randrange(12):
        case 0:
            messages.insert(rng.randint(0, len(messages)), messages[spot])
        case 1:
            other = rng.randrange(len(messages))
            messages[spot], messages[other] = messages[other], messages[spot]
        case 2 if len(messages) > 1:
            del messages[spot]
        case 3 | 4:
            messages[spot] = _bytes_changed(messages[spot], rng)
        case _:
            messages[spot] = _tree_changed(messages[spot], rng)
    return b"\n".join(messages)


def _bytes_changed(message: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(message))
    match rng.randrange(6):
        case 0:
            return message[:at]
        case 1:
            return message[:at] + rng.choice(BYTES) + message[at:]
        case 2:
            return message[:at] + rng.choice(BYTES) + message[at + 1 :]
        case 3:
            return message[:at] + message[at + rng.randint(1, 8) :]
        case 4:
            end = min(len(message), at + rng.randint(1, 64))
            return message[:end] + message[at:end] * rng.choice((1, 2, 100)) + message[end:]
        case _:
            digits = [n for n, byte in enumerate(message) if 48 <= byte <= 57]
            if not digits:
                return message
            at = rng.choice(digits)
            return message[:at] + bytes([48 + rng.randrange(10)]) + message[at + 1 :]


def _tree_changed(message: bytes, rng: Random) -> bytes:
    try:
        tree = json.loads(message, object_pairs_hook=Pairs)
    except (ValueError, RecursionError):
        return _bytes_changed(message, rng)
    if not isinstance(tree, list):
        return _bytes_changed(message, rng)
    holders = list(_holders(tree))
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        holder = rng.choice(holders)
        if holder:
            _change(holder, holders, rng)
    try:
        return b"".join(_written(tree, spaced=rng.random() < 0.1))
    except (ValueError, RecursionError):
        return _bytes_changed(message, rng)


def _holders(node: list) -> list[list]:
    """Every object and array below, itself first."""
    found, todo = [], [node]
    while todo and len(found) < 5_000:
        at = todo.pop()
        found.append(at)
        values = [value for _, value in at] if isinstance(at, Pairs) else at
        todo += [value for value in values if isinstance(value, list)]
    return found


def _change(holder: list, holders: list[list], rng: Random) -> None:
    at = rng.randrange(len(holder))
    match rng.randrange(9):
        case 0:
            del holder[at]
        case 1:
            holder.insert(rng.randint(0, len(holder)), holder[at])
        case 2:
            other = rng.randrange(len(holder))
            holder[at], holder[other] = holder[other], holder[at]
        case 3 if isinstance(holder, Pairs):
            donor = rng.choice([one for one in holders if isinstance(one, Pairs) and one])
            holder[at] = (rng.choice(donor)[0], holder[at][1])
        case 4:
            _set(holder, at, rng.choice(TEXTS))
        case 5:
            _set(holder, at, Literal(rng.choice(LITERALS)))
        case 6:
            _set(holder, at, _other_type(_get(holder, at), rng))
        case 7 if not isinstance(holder, Pairs):
            # Copies, so that what is changed later is changed once, and the whole stays a message.
            times = rng.choice((1, 10, 2_100)) if _is_small(holder[at]) and len(holder) < 2_100 else 1
            holder.extend(_copy(holder[at]) for _ in range(times))
        case _:
            value = _get(holder, at)
            if isinstance(value, str) and value:
                place = rng.randrange(len(value))
                _set(holder, at, value[:place] + rng.choice("0123456789.-eE ") + value[place + rng.randrange(2) :])
            elif isinstance(value, int):
                step = rng.choice((1, -1, 10**9, -(10**9), 2**62, -value, -2 * value))
                _set(holder, at, value + step)
            else:
                _set(holder, at, rng.choice(TEXTS))


def _is_small(value: object) -> bool:
    """Whether many of it are still no more than a message; what was repeated once is not repeated again."""
    if not isinstance(value, list):
        return not isinstance(value, str | bytes) or len(value) <= 64
    inner = [one for _, one in value] if isinstance(value, Pairs) else value
    return len(inner) <= 8 and not any(isinstance(one, list) or not _is_small(one) for one in inner)


def _copy(value: object) -> object:
    return type(value)(value) if isinstance(value, list) else value


def _get(holder: list, at: int) -> object:
    return holder[at][1] if isinstance(holder, Pairs) else holder[at]


def _set(holder: list, at: int, value: object) -> None:
    holder[at] = (holder[at][0], value) if isinstance(holder, Pairs) else value


def _other_type(value: object, rng: Random) -> object:
    if isinstance(value, str):
        plain = value.encode("utf-8", "replace")
        return rng.choice((Literal(plain or b"0"), [value], Pairs([("a", value)]), list(value[:20])))
    if isinstance(value, int):
        return rng.choice((str(value), [value], Literal(b"%d.5" % value), Literal(b"%de0" % value)))
    if isinstance(value, float):
        return rng.choice((str(value), [value]))
    return rng.choice(("", 0, None, True, Literal(b"{}"), [value]))


def _written(node: object, *, spaced: bool) -> list[bytes]:
    if isinstance(node, Literal):
        return [bytes(node)]
    comma, colon = (b" ,\t", b" : ") if spaced else (b",", b":")
    parts: list[bytes] = []
    if isinstance(node, Pairs):
        for key, value in node:
            parts += [comma if parts else b"{", json.dumps(key).encode(), colon, *_written(value, spaced=spaced)]
        return [*parts, b"}"] if parts else [b"{}"]
    if isinstance(node, list):
        for value in node:
            parts += [comma if parts else b"[", *_written(value, spaced=spaced)]
        return [*parts, b"]"] if parts else [b"[]"]
    return [json.dumps(node, ensure_ascii=False).encode("utf-8", "surrogatepass")]
