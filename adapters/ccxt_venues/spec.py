"""How a venue is read through ccxt: which host is asked, how often, how long a proof lasts. Owns only the values."""

from __future__ import annotations

import msgspec

PROOF_MS = 45_000


class CcxtSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One venue's terms; crosses process boundaries.

    ``rest`` and ``ws`` are scheme and host to ask instead of the venue's own, "" for its own; paths stay. A snapshot is
    compared with the live book every ``audit_every_ms``, while the book is not proved as soon as it is wanted, but at
    most every ``audit_gap_ms``; an agreeing one proves for ``proof_ms``. ``poll_ms`` is the pace of books where there
    is no stream. A book that says nothing for ``mute_ms`` ends the connection. ``levels`` are the book's, a side.
    """

    rest: str = ""
    ws: str = ""
    audit_every_ms: int = 15_000
    audit_gap_ms: int = 1_000
    proof_ms: int = PROOF_MS
    poll_ms: int = 150
    mute_ms: int = 10_000
    levels: int = 50
    backoff_ms_max: int = 30_000
