"""What operators are told of a feed: who is live, who leads, whether enough views are fresh."""

from __future__ import annotations

import pytest

from adapters.streams.connection import ConnectionStatus, TopicStatus
from adapters.streams.feed import FeedStatus
from adapters.streams.report import FeedReport
from adapters.streams.state import Counters
from trading.market.views import ViewState, ViewStatus

S = 1_000_000_000


def connection(view="a", line="public", status="live", messages=10, **counts):
    topic = TopicStatus(
        key="btcusdt@depth", kind="book", symbol="BTCUSDT", phase="alive", age_ms=5.0, messages=messages, reason=""
    )
    return ConnectionStatus(
        view=view,
        line=line,
        url="ws://127.0.0.1:1",
        status=status,
        reason="" if status == "live" else f"{status} for a reason",
        age_ms=5.0,
        messages=messages,
        bytes=100,
        counters=Counters(**counts),
        topics=(topic,),
    )


def status(*connections, votes=(), dropped=0):
    return FeedStatus(
        venue="binanceusdm",
        connections=tuple(connections),
        views={"public": tuple(votes)} if votes else {},
        rest=None,
        queued=0,
        delivered=0,
        dropped=dropped,
        snapshots_wanted=(),
    )


def vote(view, state=ViewState.ACTIVE, *, leads=False, quarantines=0):
    return ViewStatus(
        view=view,
        state=state,
        leads=leads,
        age_ms=1.0,
        lag_ms=0.0 if state is ViewState.ACTIVE else 900.0,
        frames=10,
        delivered=10 if leads else 4,
        quarantines=quarantines,
        reason="",
    )


@pytest.mark.req("P-MD-14")
def test_rates_reconnects_and_losses_are_those_between_two_reports():
    report = FeedReport("binanceusdm", synthetic=True)
    report.feeds(status(connection(messages=10, connects=1)), 0, 1 * S)
    ((key, body),) = report.feeds(status(connection(messages=40, connects=3), dropped=7), 2, 3 * S)
    assert key == "binanceusdm/a"
    assert (body.messages_per_s, body.reconnects, body.dropped, body.rejected) == (15.0, 2, 7, 2)
    assert body.role == "leader"
    assert body.synthetic
    assert [channel.state for channel in body.channels] == ["acked"]


def test_the_lines_of_a_view_have_names_of_their_own():
    report = FeedReport("binanceusdm", synthetic=False)
    found = report.feeds(status(connection(line="public"), connection(line="market")), 0, S)
    assert [key for key, _ in found] == ["binanceusdm/a-public", "binanceusdm/a-market"]


@pytest.mark.req("P-MD-4")
@pytest.mark.parametrize(
    ("up", "state", "fresh"), [(("live",), "met", 1), (("backoff",), "lost", 0), (("live", "live", "live"), "met", 3),
                               (("live", "live", "backoff"), "thin", 2), (("live", "backoff", "mute"), "lost", 1)]
)  # fmt: skip
def test_a_quorum_is_more_than_half_of_the_views(up, state, fresh):
    report = FeedReport("binanceusdm", synthetic=False)
    body = report.quorum(status(*(connection(view, status=one) for view, one in zip("abc", up, strict=False))))
    assert (body.state, body.fresh) == (state, fresh)


@pytest.mark.req("P-MD-4")
def test_a_view_in_quarantine_does_not_count_and_a_failover_is_told_with_its_time():
    report = FeedReport("binanceusdm", synthetic=False, regions={"a": "tokyo", "b": "frankfurt"})
    report.failed_over(31.5)
    votes = (vote("a", ViewState.QUARANTINED, quarantines=1), vote("b", leads=True))
    found = status(connection("a"), connection("b"), votes=votes)
    body = report.quorum(found)
    assert (body.state, body.fresh, body.needed, body.leader) == ("lost", 1, 2, "b")
    assert [(v.region, v.role) for v in body.views] == [("tokyo", "quarantined"), ("frankfurt", "leader")]
    assert (body.failovers, body.failover_ms, body.quarantines) == (1, 31.5, 1)
    assert [(b.role, b.duplicates) for _, b in report.feeds(found, 0, S)] == [("quarantined", 6), ("leader", 0)]
