"""Faults of one of two views, and of both: who leads, how fast another does, and what goes on twice (P-MD-4, P-VEN-13).

Both views are connections to the same server; a fault names the connections of one of them. The views of a real venue
may also differ by region: what is voted on is the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from adapters.simserver import faults as f
from supervision.conformance import guards as g
from supervision.conformance.case import Case
from supervision.conformance.markets import BOOK
from supervision.conformance.rig import Rig
from supervision.conformance.trial import STALE_MS, Strike
from trading.market.events import Trade
from trading.market.views import ViewState

VIEWS = ("binance", "binanceusdm", "okx", "bybit")
"""Where views are tried: COIN-M speaks as USD-M does."""
_ONE_OF_EACH = ("binanceusdm", "okx", "bybit")
_CALM_MS = 1_500
_LAG_MS = 800
"""Well above the vote's 250 ms, and below the age at which a topic is mute."""
_OVER = ("FAILED_OVER",)

Set = Callable[[Rig, tuple[int, ...], tuple[int, ...]], None]
"""Sets faults on a rig: the server's ids of the leading view's connections, and of the other's."""


def _on_views(put: Set) -> Callable[[Rig], Awaitable[int]]:
    """Wait until both views are believed, then set the faults; answers with the moment."""

    async def act(rig: Rig) -> int:
        vote = rig.line().vote

        def both() -> bool:
            return all(view.state is ViewState.ACTIVE for view in vote.status(rig.clock.wall_ns()))

        await rig.until(both, "both views", 10.0)
        leader = vote.leader or ""
        other = next(view.view for view in vote.status(rig.clock.wall_ns()) if view.view != leader)
        rig.noted[f"leader {leader}"] += 1
        _look(rig)
        acted = rig.clock.mono_ns()
        put(rig, rig.at_server(leader), rig.at_server(other))
        return acted

    return act


def _look(rig: Rig) -> None:
    """Count from here on what the book drops as old, and trades that come twice."""
    connector = rig.connector
    rig.noted["dropped"] = rig.book.sync.counters.dropped_old
    trade = connector._trade  # noqa: SLF001
    seen: set[int | str] = set()

    def heard(event: Trade, now: int) -> None:
        rig.noted["twice"] += event.trade_id in seen
        seen.add(event.trade_id)
        trade(event, now)

    if "_trade" not in vars(connector):
        vars(connector)["_trade"] = heard


def _mute(rig: Rig, leading: tuple[int, ...], _other: tuple[int, ...]) -> None:
    rig.server.faults.set(f.Mute(connections=leading))


def _mute_book(rig: Rig, leading: tuple[int, ...], _other: tuple[int, ...]) -> None:
    rig.server.faults.set(f.Mute(connections=leading, topics=BOOK[rig.name]))


def _cut(rig: Rig, leading: tuple[int, ...], _other: tuple[int, ...]) -> None:
    rig.server.faults.set(f.Disconnect(connections=leading))


def _cut_both(rig: Rig, leading: tuple[int, ...], other: tuple[int, ...]) -> None:
    rig.server.faults.set(f.Disconnect(connections=(*leading, *other)))


def _mute_both(rig: Rig, _leading: tuple[int, ...], _other: tuple[int, ...]) -> None:
    rig.server.faults.set(f.Mute())


def _lag(rig: Rig, leading: tuple[int, ...], _other: tuple[int, ...]) -> None:
    rig.server.faults.set(f.Delay(delay_ms=_LAG_MS, connections=leading, for_ms=2_500))


def _lag_other(rig: Rig, _leading: tuple[int, ...], other: tuple[int, ...]) -> None:
    rig.server.faults.set(f.Delay(delay_ms=_LAG_MS, connections=other))


def _twice(rig: Rig, _leading: tuple[int, ...], _other: tuple[int, ...]) -> None:
    rig.server.faults.set(f.Duplicate(messages=40, topics=BOOK[rig.name]))


def _seam(rig: Rig, leading: tuple[int, ...], other: tuple[int, ...]) -> None:
    """What the other view keeps for the case that it has to lead has a hole."""
    rig.server.faults.set(f.Mute(connections=leading))
    rig.server.faults.set(f.Gap(connections=other, topics=BOOK[rig.name]))


def _calm_soon(rig: Rig) -> None:
    """A view is believed again after a shorter calm than usual."""
    for line in rig.feed._lines.values():  # noqa: SLF001
        line.vote.limits = msgspec.structs.replace(line.vote.limits, calm_ms=_CALM_MS)


def _once(rig: Rig, _begun: int) -> str:
    """Every update of the book and every trade went on once."""
    dropped = rig.book.sync.counters.dropped_old - rig.noted["dropped"]
    if dropped or rig.noted["twice"]:
        return f"{dropped} updates of the book and {rig.noted['twice']} trades came more than once"
    return ""


def _said(rig: Rig, begun: int, *words: str) -> str:
    texts = [notice.text for notice in rig.oracle.notices_since(begun) if notice.code == "VIEWCHANGED"]
    missing = [word for word in words if not any(word in text for text in texts)]
    return f"no view was {' and '.join(missing)}: {'; '.join(texts)}"[:300] if missing else ""


def _went_and_came(rig: Rig, begun: int) -> str:
    return _said(rig, begun, "quarantined", "returned") or _once(rig, begun)


def _leader_stayed(rig: Rig, begun: int) -> str:
    if rig.line().vote.failovers:
        return "another view leads although the leading one was well"
    return _said(rig, begun, "quarantined")


_GOES_ON = Strike(
    signs=_OVER,
    within_ms=1_000,
    hold_ms=3_000,
    resync_ms=1_000,
    attempts_max=8,
    trades_on=True,
    stays_proved=True,
    recover_s=40.0,
    after=_once,
)


def _moves_over(put: Set, **changes: object) -> Strike:
    return msgspec.structs.replace(_GOES_ON, act=_on_views(put), **changes)


CASES = (
    Case(
        id="MD-G-01",
        title="of two views the leading one is cut",
        faults=("F62",),
        spec=("P-MD-4", "P-MD-5", "P-VEN-13"),
        expects="the other leads within 300 ms, from the very next update on: the book stays proved, trading goes on",
        strike=_moves_over(_cut, within_ms=300),
        venues=VIEWS,
        views=2,
        mutants=(g.FAILOVER,),
    ),
    Case(
        id="MD-G-02",
        title="of two views the leading one is mute while its pings are answered",
        faults=("F59", "F61"),
        spec=("P-MD-3", "P-MD-4", "P-VEN-13"),
        expects="the vote on freshness moves over within 1 s, before any data is too old; the book stays proved",
        strike=_moves_over(_mute, hold_ms=3_500),
        venues=VIEWS,
        views=2,
        mutants=(g.VOTE,),
    ),
    Case(
        id="MD-G-03",
        title="of two views the leading one's book alone is mute",
        faults=("F59", "F61"),
        spec=("P-MD-3", "P-MD-4"),
        expects="what only the other view brought moves the vote over within 1 s; the book stays proved",
        strike=_moves_over(_mute_book, hold_ms=3_500),
        venues=_ONE_OF_EACH,
        views=2,
        mutants=(g.VOTE,),
    ),
    Case(
        id="MD-G-04",
        title="of two views the leading one lags 0.8 s behind for 2.5 s",
        faults=("F72", "F59"),
        spec=("P-MD-4",),
        expects="quarantined within 1 s, the other leads; believed again after it was calm; the book stays proved",
        strike=_moves_over(_lag, hold_ms=6_500, after=_went_and_came),
        venues=_ONE_OF_EACH,
        views=2,
        alter=_calm_soon,
        mutants=(g.VOTE,),
    ),
    Case(
        id="MD-G-05",
        title="of two views the one that does not lead lags 0.8 s behind",
        faults=("F72",),
        spec=("P-MD-4",),
        expects="quarantined; nothing of it goes on, and nothing else changes",
        strike=Strike(act=_on_views(_lag_other), signs=(), hold_ms=2_500, resync_ms=None, after=_leader_stayed),
        venues=("binanceusdm", "okx"),
        views=2,
    ),
    Case(
        id="MD-G-06",
        title="both views are cut",
        faults=("F62", "F51"),
        spec=("P-MD-2", "P-MD-4", "P-MD-15"),
        expects="noticed at once: SUSPECT; back after one jittered wait",
        strike=Strike(
            act=_on_views(_cut_both),
            also=("DISCONNECTED",),
            within_ms=300,
            resync_ms=5_000,
            attempts_max=8,
        ),
        venues=VIEWS,
        views=2,
        mutants=(g.LOST_STREAMS,),
    ),
    Case(
        id="MD-G-07",
        title="two views bring everything, and each of them brings the book twice",
        faults=("F52",),
        spec=("P-MD-5", "P-MD-6"),
        expects="every update of the book and every trade goes on once",
        strike=Strike(act=_on_views(_twice), signs=(), hold_ms=1_500, must_act=("duplicate",), after=_once),
        venues=VIEWS,
        views=2,
        mutants=(g.COPIES,),
    ),
    Case(
        id="MD-G-08",
        title="the leading view is mute, and the other one has lost a message by then",
        faults=("F51", "F59"),
        spec=("P-MD-2", "P-MD-4"),
        expects="the hole at the seam is a gap like any other: SUSPECT when the other view leads, resynced",
        strike=Strike(
            act=_on_views(_seam),
            also=_OVER,
            must_act=("gap",),
            within_ms=1_500,
            hold_ms=2_500,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=8,
        ),
        venues=_ONE_OF_EACH,
        views=2,
        mutants=(g.SEQUENCE,),
    ),
    Case(
        id="MD-G-09",
        title="both views are mute while their pings are answered",
        faults=("F59", "F61"),
        spec=("P-MD-3", "P-MD-4"),
        expects="no vote can help: found by the age of the data within 2 s; HOLD from 1.2 s of age on",
        strike=Strike(
            act=_on_views(_mute_both),
            signs=("TOPIC_LOST", "DISCONNECTED"),
            within_ms=2_000,
            also=("BRAKE:STREAM_STALE",),
            blind_ms=STALE_MS,
            hold_ms=3_000,
            resync_ms=None,
            recover_s=40.0,
            attempts_max=16,
        ),
        venues=("binanceusdm", "okx"),
        views=2,
        mutants=(g.WATCHDOG, g.AGE),
    ),
)
