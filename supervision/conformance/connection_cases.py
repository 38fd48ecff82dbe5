"""Faults of connections: mute, half open, unanswered, refused, cut, rotated (FAULTS E)."""

from __future__ import annotations

import asyncio

import msgspec

from adapters.simserver import faults as f
from supervision.conformance import guards as g
from supervision.conformance.case import Case
from supervision.conformance.markets import BOOK, EVERYWHERE, MARKS
from supervision.conformance.rig import Rig
from supervision.conformance.trial import STALE_MS, UNPROVED, Strike

_LOST = ("TOPIC_LOST", "TOPIC_REFUSED", "DISCONNECTED")
_CUT = ("DISCONNECTED", UNPROVED)


def _counted(rig: Rig, name: str) -> int:
    return sum(int(getattr(line.counters, name)) for line in rig.status().connections)


def _no_rotation_lost(rig: Rig, begun: int) -> str:
    if not any(notice.code == "ROTATED" for notice in rig.oracle.notices_since(begun)):
        return "no connection was rotated"
    return ""


def _held_by_maintenance(rig: Rig, begun: int) -> str:
    codes = {notice.code for notice in rig.oracle.notices_since(begun)}
    missing = {"BRAKE:MAINTENANCE", "RELEASED:MAINTENANCE"} - codes
    return f"maintenance was not a state: no {', '.join(sorted(missing))}" if missing else ""


async def _age(rig: Rig) -> None:
    """23 hours pass for the plan of the next rotation, and for nothing else."""
    for connection in rig.feed._connections:  # noqa: SLF001 - time is the only thing that is moved
        connection.state = msgspec.structs.replace(connection.state, rotate_ns=rig.clock.mono_ns())
    await rig.until(lambda: _counted(rig, "rotations") >= len(rig.feed._connections), "the rotation", 10.0)  # noqa: SLF001
    await asyncio.sleep(0.5)


def _resubscribed(fault: type[f.NoAck] | type[f.SubscribeError] | type[f.SilentTopic], name: str) -> Strike:
    """The connection is cut, and when it comes back the venue does not serve the book."""
    return Strike(
        faults=lambda v: [fault(topics=BOOK[v]), f.Disconnect()],
        acts=name,
        signs=("TOPIC_LOST", "TOPIC_REFUSED"),
        within_ms=3_600,
        blind_ms=0,
        hold_ms=4_000,
        resync_ms=None,
        recover_s=40.0,
        attempts_max=6,
    )


async def _close_port(rig: Rig) -> None:
    """Kept-alive connections would be reused for a handshake, so they end with the port."""
    rig.server.faults.set(f.RefuseConnections())
    runner = rig.server._runner  # noqa: SLF001
    assert runner is not None
    assert runner.server is not None
    for protocol in list(runner.server.connections):
        if protocol.transport is not None:
            protocol.transport.abort()


def _ping_often(rig: Rig) -> None:
    """Two pings a second, answered within one, so that several go unanswered while a case lasts."""
    for connection in rig.feed._connections:  # noqa: SLF001
        rules = msgspec.structs.replace(connection.state.rules, ping_every_ns=500_000_000, pong_ns=1_000_000_000)
        connection.state = msgspec.structs.replace(connection.state, rules=rules)


def _cut_again(rig: Rig) -> None:
    rig.server.faults.set(f.Disconnect())


CASES = (
    Case(
        id="MD-E-01",
        title="every stream is mute while pings are answered",
        faults=("F59", "F61"),
        spec=("P-MD-3", "P-MD-15"),
        expects="found by the age of its data within 2 s; HOLD from 1.2 s of age on; replaced without a storm",
        strike=Strike(
            faults=lambda _v: [f.Mute()],
            acts="mute",
            signs=_LOST,
            within_ms=2_000,
            also=("BRAKE:STREAM_STALE",),
            blind_ms=STALE_MS,
            hold_ms=4_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=8,
        ),
        venues=EVERYWHERE,
        mutants=(g.WATCHDOG, g.AGE),
    ),
    Case(
        id="MD-E-02",
        title="the book's topic alone is mute while others speak on the same connection",
        faults=("F59", "F61"),
        spec=("P-MD-3",),
        expects="found by the age of the topic's data within 2 s, not by the connection's",
        strike=Strike(
            faults=lambda v: [f.Mute(topics=BOOK[v])],
            acts="mute",
            signs=_LOST,
            within_ms=2_000,
            blind_ms=STALE_MS,
            hold_ms=3_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=6,
        ),
        mutants=(g.WATCHDOG,),
    ),
    Case(
        id="MD-E-03",
        title="the other end neither speaks nor reads nor closes",
        faults=("F59", "F61"),
        spec=("P-MD-3", "P-MD-15"),
        expects="half open is mute: found within 2 s, replaced",
        strike=Strike(
            faults=lambda _v: [f.HalfOpen()],
            acts="half_open",
            signs=_LOST,
            within_ms=2_000,
            blind_ms=STALE_MS,
            hold_ms=2_200,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=6,
        ),
        mutants=(g.PONGS,),
    ),
    Case(
        id="MD-E-04",
        title="the connection breaks without a close frame",
        faults=("F62", "F51"),
        spec=("P-MD-2", "P-MD-15"),
        expects="noticed at once: SUSPECT; back after one jittered wait",
        strike=Strike(
            faults=lambda _v: [f.Disconnect()],
            acts="disconnect",
            also=("DISCONNECTED",),
            within_ms=300,
            resync_ms=5_000,
            attempts_max=2,
        ),
        venues=EVERYWHERE,
        mutants=(g.LOST_STREAMS,),
    ),
    Case(
        id="MD-E-05",
        title="the venue closes the connection",
        faults=("F62",),
        spec=("P-MD-2", "P-MD-15"),
        expects="noticed at once: SUSPECT; back after one jittered wait",
        strike=Strike(
            faults=lambda _v: [f.Disconnect(code=1001)],
            acts="disconnect",
            also=("DISCONNECTED",),
            within_ms=300,
            resync_ms=5_000,
            attempts_max=2,
        ),
        mutants=(g.LOST_STREAMS,),
    ),
    Case(
        id="MD-E-06",
        title="one topic of a subscription is never answered",
        faults=("F64",),
        spec=("P-MD-15",),
        expects="the ledger misses the answer: asked for once more, reported, the connection replaced; never traded on",
        strike=_resubscribed(f.NoAck, "no_ack"),
        mutants=(g.DEADLINES,),
    ),
    Case(
        id="MD-E-07",
        title="one topic of a subscription is refused",
        faults=("F64",),
        spec=("P-MD-15",),
        expects="reported in the venue's words, not asked for in a loop; never traded on until a connection has it",
        strike=msgspec.structs.replace(_resubscribed(f.SubscribeError, "subscribe_error"), mend=_cut_again),
    ),
    Case(
        id="MD-E-08",
        title="one topic of a subscription is granted and never served",
        faults=("F64", "F59"),
        spec=("P-MD-15",),
        expects="an answer is no evidence: silent by the deadline for its first data, reported; never traded on",
        strike=msgspec.structs.replace(_resubscribed(f.SilentTopic, "silent_topic"), within_ms=5_600, hold_ms=6_000),
        venues=EVERYWHERE,
        mutants=(g.DEADLINES,),
    ),
    Case(
        id="MD-E-09",
        title="mark prices are granted and never served, as on USD-M's old route",
        faults=("F64",),
        spec=("P-MD-15",),
        expects="silent by the deadline for its first data, reported; the proved book goes on",
        strike=Strike(
            faults=lambda v: [f.SilentTopic(topics=MARKS[v]), f.Disconnect()],
            acts="silent_topic",
            signs=("TOPIC_LOST",),
            within_ms=13_500,
            trades_on=True,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=6,
        ),
        venues=("binanceusdm", "binancecoinm"),
        mutants=(g.DEADLINES,),
    ),
    Case(
        id="MD-E-10",
        title="the venue answers new connections with HTTP 503 for three tries",
        faults=("F67", "F62"),
        spec=("P-MD-15",),
        expects="maintenance is a state with a brake of its own, not a loop of errors",
        strike=Strike(
            faults=lambda _v: [f.HandshakeStatus(handshakes=3, status=503), f.Disconnect()],
            acts="disconnect",
            must_act=("handshake_status",),
            signs=_CUT,
            within_ms=300,
            resync_ms=None,
            recover_s=60.0,
            attempts_max=8,
            after=_held_by_maintenance,
        ),
    ),
    Case(
        id="MD-E-11",
        title="new connections are refused with HTTP 429 and Retry-After",
        faults=("F62", "F69"),
        spec=("P-MD-15",),
        expects="nobody knocks again before the time that the venue asked for",
        strike=Strike(
            faults=lambda _v: [f.HandshakeStatus(handshakes=2, status=429, retry_after_s=2), f.Disconnect()],
            acts="disconnect",
            must_act=("handshake_status",),
            signs=_CUT,
            within_ms=300,
            resync_ms=None,
            recover_s=60.0,
            attempts_max=6,
        ),
    ),
    Case(
        id="MD-E-12",
        title="the venue's port is closed for six seconds",
        faults=("F59", "F62"),
        spec=("P-MD-15",),
        expects="jittered capped backoff: a handful of tries, none of them in a storm",
        strike=Strike(
            act=_close_port,
            signs=_CUT,
            within_ms=300,
            hold_ms=6_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=14,
        ),
        mutants=(g.BACKOFF,),
    ),
    Case(
        id="MD-E-13",
        title="the venue's quota of connections is used up for four seconds",
        faults=("F62",),
        spec=("P-MD-15",),
        expects="refused connections are tried again at a walk",
        strike=Strike(
            faults=lambda _v: [f.Quota(connections_max=0), f.Disconnect()],
            acts="disconnect",
            must_act=("quota",),
            signs=_CUT,
            within_ms=300,
            hold_ms=4_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=12,
        ),
        mutants=(g.BACKOFF,),
    ),
    Case(
        id="MD-E-14",
        title="the nightly reset: closed with 1012, nobody home for two seconds",
        faults=("F67",),
        spec=("P-MD-15",),
        expects="maintenance is a state with a brake of its own; it ends by itself",
        strike=Strike(
            faults=lambda _v: [f.NightlyReset(down_ms=2_000)],
            acts="nightly_reset",
            signs=_CUT,
            within_ms=300,
            hold_ms=2_000,
            resync_ms=None,
            recover_s=60.0,
            attempts_max=8,
            after=_held_by_maintenance,
        ),
    ),
    Case(
        id="MD-E-15",
        title="the venue announces that it will close the connection",
        faults=("F66", "F67"),
        spec=("P-MD-15",),
        expects="a second connection takes over before the first is closed: no book is lost",
        strike=Strike(
            faults=lambda _v: [f.Maintenance(notice_ms=4_000)],
            acts="maintenance",
            signs=(),
            hold_ms=5_000,
            resync_ms=None,
            attempts_max=4,
            after=_no_rotation_lost,
        ),
        venues=("binance",),
    ),
    Case(
        id="MD-E-16",
        title="the venue's 24 hours come near",
        faults=("F66",),
        spec=("P-MD-15",),
        expects="make before break: every topic is alive on the second connection before the first is closed",
        strike=Strike(act=_age, signs=(), resync_ms=None, attempts_max=4, after=_no_rotation_lost),
    ),
    Case(
        id="MD-E-17",
        title="the venue cuts every connection that is two seconds old",
        faults=("F62", "F66"),
        spec=("P-MD-15",),
        expects="each loss is SUSPECT, and the attempts grow apart instead of into a loop",
        strike=Strike(
            faults=lambda _v: [f.Rotate(every_ms=2_000)],
            acts="rotate",
            within_ms=300,
            hold_ms=8_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=16,
        ),
        mutants=(g.LOST_STREAMS,),
    ),
    Case(
        id="MD-E-18",
        title="pings are not answered while data flows",
        faults=("F61",),
        spec=("P-MD-3",),
        expects="data is the evidence of life, not the pong: nothing changes",
        strike=Strike(
            faults=lambda _v: [f.Unponged()], signs=(), must_act=("unponged",), hold_ms=4_000, resync_ms=None
        ),
        alter=_ping_often,
    ),
    Case(
        id="MD-E-19",
        title="the venue announces maintenance of one minute and closes the connection",
        faults=("F67",),
        spec=("P-MD-15", "P-VEN-13"),
        expects="HOLD of the venue for the announced window, released by itself; the connection is rotated meanwhile",
        strike=Strike(
            faults=lambda _v: [f.Maintenance(notice_ms=4_000)],
            acts="maintenance",
            signs=("BRAKE:MAINTENANCE",),
            within_ms=500,
            hold_ms=61_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=4,
        ),
        venues=("okx",),
    ),
)
