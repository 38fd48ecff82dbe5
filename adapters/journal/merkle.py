"""Hourly Merkle roots of the journal: one leaf a commit group, one root a UTC hour, each linked to the one before.

Owns leaves, trees and links; storing them belongs to the stores. The tree is that of RFC 6962, section 2.1 (2013-06):
leaves and nodes are hashed with different first bytes, and of n leaves the left side holds the largest power of two
below n.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from trading.orders.journal_rows import GENESIS_HASH

HOUR_NS = 3_600_000_000_000
SEAL_AFTER_NS = 60_000_000_000
"""How long after its end an hour still takes rows when no later row has closed it: what was queued gets its chance."""


class HourRoot(msgspec.Struct, frozen=True, array_like=True):
    """A closed hour, ``hour`` counted from 1970 (UTC): the rows ``first_seq`` to ``last_seq`` and nothing else.

    ``link`` chains: sha256 of the link before, the hour, its rows' range and its root.
    """

    hour: int
    first_seq: int
    last_seq: int
    root: bytes
    link: bytes


class OpenHour(msgspec.Struct, array_like=True):
    """The hour that still grows: ``peaks`` are (leaves, hash) of its whole subtrees, the largest first.

    ``hour`` -1: no row yet. ``link`` is that of the last closed hour.
    """

    hour: int = -1
    first_seq: int = 1
    next_seq: int = 1
    after_hour: int = -1
    link: bytes = GENESIS_HASH
    peaks: list[tuple[int, bytes]] = []


def leaf_hash(first_seq: int, group: bytes) -> bytes:
    """The leaf of one commit group: its place and its canonical bytes."""
    return hashlib.sha256(b"\x00" + first_seq.to_bytes(8, "big") + group).digest()


def hour_name(hour: int) -> str:
    """``2026-11-21T14Z`` of an hour counted from 1970."""
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%HZ")


class HourTree:
    """Takes groups in order and closes hours. A group belongs to the hour of its first row.

    A group whose clock went back, or that came after its hour was closed, belongs to the hour that is open: hours only
    grow, and each row is in exactly one of them.
    """

    def __init__(self, state: OpenHour | None = None) -> None:
        self.state = state if state is not None else OpenHour()

    def add(self, first_seq: int, row_count: int, ts_ns: int, group: bytes) -> HourRoot | None:
        """One more group; the root of the hour that it closed, if it did. ``ValueError`` when it is not the next."""
        state = self.state
        if first_seq != state.next_seq:
            raise ValueError(f"group {first_seq} after row {state.next_seq - 1}")
        hour = ts_ns // HOUR_NS
        closed = self._close() if state.hour >= 0 and hour > state.hour else None
        if state.hour < 0:
            state.hour, state.first_seq = max(hour, state.after_hour + 1), first_seq
        leaves, peak = 1, leaf_hash(first_seq, group)
        peaks = state.peaks
        while peaks and peaks[-1][0] == leaves:
            peak = _node(peaks.pop()[1], peak)
            leaves *= 2
        peaks.append((leaves, peak))
        state.next_seq = first_seq + row_count
        return closed

    def seal(self, now_ns: int) -> HourRoot | None:
        """The root of an hour that is over by the clock, if it is."""
        state = self.state
        over = state.hour >= 0 and now_ns >= (state.hour + 1) * HOUR_NS + SEAL_AFTER_NS
        return self._close() if over else None

    def _close(self) -> HourRoot:
        state = self.state
        root = state.peaks[-1][1]
        for _, peak in reversed(state.peaks[:-1]):
            root = _node(peak, root)
        last_seq = state.next_seq - 1
        link = hour_link(state.link, state.hour, state.first_seq, last_seq, root)
        closed = HourRoot(state.hour, state.first_seq, last_seq, root, link)
        state.after_hour, state.link = state.hour, link
        state.hour, state.first_seq, state.peaks = -1, state.next_seq, []
        return closed


def hour_link(before: bytes, hour: int, first_seq: int, last_seq: int, root: bytes) -> bytes:
    """The link of a closed hour after the link ``before``."""
    facts = b"".join(n.to_bytes(8, "big") for n in (hour, first_seq, last_seq))
    return hashlib.sha256(b"\x02" + before + facts + root).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def encode_open(state: OpenHour) -> bytes:
    """The open hour as bytes for a store."""
    return _ENCODE(state)


def decode_open(raw: bytes) -> OpenHour:
    """The open hour again; ``msgspec.DecodeError`` when the bytes are none."""
    return _DECODER.decode(raw)


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODER: msgspec.msgpack.Decoder[OpenHour] = msgspec.msgpack.Decoder(OpenHour)
