"""What a simulated venue tells of itself under ``/_sim``: plain rows for JSON."""

from __future__ import annotations

import msgspec
from pydantic import ValidationError

from adapters.simserver.fault_plane import Applied, Faults, knob_name
from adapters.simserver.feed import MarketFeed
from adapters.simserver.hub import Hub


def fault_rows(faults: Faults) -> dict[str, object]:
    """The faults in force: parameters, how often each has acted, and how often it still will."""
    active = [
        {
            "id": one.id,
            **one.fault.model_dump(mode="json"),
            "applied": one.applied,
            "left": one.left,
            "set_mono_ns": one.set_ns,
        }
        for one in faults.active()
    ]
    return {"active": active, "applied": dict(faults.counts)}


class ClientState(msgspec.Struct, frozen=True, kw_only=True):
    """One connection; times are monotonic ns."""

    id: int
    path: str
    life: str
    topics: list[str]
    messages: int
    bytes: int
    queued_bytes: int
    opened_mono_ns: int


class MarketState(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument: the number of its book, released diffs and trades."""

    update_id: int
    diffs: int
    trades: int


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """One server. ``failure`` says why its market stands still, "" while it lives.

    ``moves_refused`` counts requests for paths that would move funds. ``faults`` says how often each knob has acted,
    ``applied`` the latest acts: on whom and when.
    """

    venue: str
    synthetic: bool
    failure: str
    mono_ns: int
    venue_time_ms: int
    connections: int
    clients: list[ClientState]
    slow_clients: int
    refused_connections: int
    requests: int
    moves_refused: int
    frames: int
    frames_refused: int
    messages_sent: int
    faults_applied: int
    faults: dict[str, int]
    markets: dict[str, MarketState]
    applied: list[Applied]


def clients_of(hub: Hub) -> list[ClientState]:
    """Who is connected."""
    return [
        ClientState(
            id=one.id,
            path=one.path,
            life=one.life.value,
            topics=list(one.topics),
            messages=one.messages,
            bytes=one.bytes,
            queued_bytes=one.queued_bytes,
            opened_mono_ns=one.opened_ns,
        )
        for one in hub.connections.values()
    ]


def markets_of(feed: MarketFeed) -> dict[str, MarketState]:
    """What is traded."""
    return {
        key: MarketState(update_id=one.book.update_id, diffs=one.diffs, trades=one.trade_count)
        for key, one in feed.markets.items()
    }


def knob_counts(faults: Faults) -> dict[str, int]:
    """How often each knob has acted since the start."""
    return {knob_name(one.fault): 0 for one in faults.active()} | dict(faults.counts)


def first_error(error: ValidationError) -> str:
    """One sentence on what is wrong with a request."""
    found = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"]) or "body"
    return f"{where}: {found['msg']}"
