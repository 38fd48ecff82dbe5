"""The drop copy at work: what was missed for long is read piece by piece, and nothing of it is skipped."""

from __future__ import annotations

import contextlib

import msgspec
import pytest

from adapters.clock import SystemClock
from adapters.dropcopy import reader as reading
from adapters.dropcopy.mirror import WINDOW_NS, Broken, Look, Mirror, MirrorSpec, Opened
from adapters.dropcopy.record import BinanceRecord
from adapters.dropcopy.store import DropCopyStore, Entry
from tests.adapters.dropcopy.test_record import spec_of
from tests.adapters.simserver.trading.conftest import trading
from tests.waiting import until
from trading.dropcopy.core import Turn
from trading.orders.messages import Side

S = 1_000_000_000


class Copyist:
    """A mirror whose looks are written down as they come, and kept."""

    def __init__(self, server, directory):
        self.opened, self.looks, self.broken = [], [], []
        spec = MirrorSpec(
            link=spec_of(server),
            journal=directory / "journal.db",
            store=directory / "copy" / "x.db",
            poll_ns=20_000_000,
            overlap_ns=2 * S,
            weight_a_minute=10_000_000,
        )
        self.mirror = Mirror(spec, SystemClock(), self._take)
        self.until_ns = 0

    def _take(self, item):
        match item:
            case Opened():
                self.opened.append(item)
                self.until_ns = item.kept.until_ns
            case Broken():
                self.broken.append(item)
            case Look():
                self.looks.append(item)
                listed = item.listed
                self.until_ns = self.until_ns if listed is None else max(self.until_ns, listed.until_ns)
                entry = Entry(
                    turn=Turn(matched=[] if listed is None else list(listed.executions)),
                    from_ns=self.opened[0].from_ns,
                    until_ns=self.until_ns,
                    journal_seq=item.booked.seq,
                    before_ns=0,
                    at_ns=SystemClock.wall_ns(),
                    failed=listed is None,
                )
                self.mirror.keep(entry, lambda usual_ns: usual_ns)

    @property
    def spans(self):
        return [(look.listed.since_ns, look.listed.until_ns) for look in self.looks if look.listed is not None]

    def seen(self):
        return {one.exec_id for look in self.looks if look.listed is not None for one in look.listed.executions}


@contextlib.asynccontextmanager
async def copying(server, directory):
    one = Copyist(server, directory)
    one.mirror.start()
    try:
        yield one
    finally:
        await one.mirror.close()
        assert one.mirror.faults == []


def absent_for(directory, seconds):
    """A copy that was read to so long ago."""
    now = SystemClock.wall_ns()
    with contextlib.closing(DropCopyStore(directory / "copy" / "x.db")) as store:
        then = now - seconds * S
        store.keep(Entry(turn=Turn(), from_ns=then, until_ns=then, journal_seq=0, before_ns=0, at_ns=then))
    return now


@pytest.mark.req("P-VEN-10")
async def test_an_hour_of_absence_is_read_in_pieces_that_leave_no_hole(tmp_path):
    async with trading("binanceusdm") as server:
        now = absent_for(tmp_path, 3_600)
        for number in range(3):
            server.account.force_fill(next(iter(server.feed.markets.values())), Side.BUY, 5, f"pd1-{number}")
        async with copying(server, tmp_path) as copy:
            await until(lambda: copy.spans and copy.spans[-1][1] >= now)
            await until(lambda: len(copy.seen()) == 3)
            assert len(copy.spans) >= 3_600 * S // WINDOW_NS
            assert all(since <= before for (_, before), (since, _) in zip(copy.spans, copy.spans[1:], strict=False))
            assert copy.broken == []
            assert sum(look.listed is not None and len(look.listed.executions) for look in copy.looks) == 3


@pytest.mark.req("P-VEN-10")
async def test_a_span_with_too_many_pages_is_made_shorter_until_it_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(BinanceRecord, "PAGE", 3)
    monkeypatch.setattr(reading, "PAGES_MAX", 2)
    async with trading("binanceusdm") as server:
        absent_for(tmp_path, 300)
        market = next(iter(server.feed.markets.values()))
        step_ns = 20 * S
        began = SystemClock.wall_ns() - 280 * S
        for number in range(12):
            server.account.force_fill(market, Side.BUY, 5, f"pd1-{number}")
        for number, fill in enumerate(server.account.fills):
            when = began + number * step_ns
            moved = msgspec.structs.replace(fill.report, ts_event_ns=when)
            server.account.fills[number] = msgspec.structs.replace(fill, report=moved)
        async with copying(server, tmp_path) as copy:
            await until(lambda: len(copy.seen()) == 12)
            assert any("more than" in look.trouble for look in copy.looks)
            assert all(since <= before for (_, before), (since, _) in zip(copy.spans, copy.spans[1:], strict=False))


async def test_a_copy_that_cannot_be_opened_is_said_and_tried_again(tmp_path):
    async with trading("binanceusdm") as server:
        (tmp_path / "copy").write_text("in the way")
        async with copying(server, tmp_path) as copy:
            await until(lambda: copy.broken != [])
            assert "FileExistsError" in copy.broken[0].reason
            (tmp_path / "copy").unlink()
            await until(lambda: copy.looks != [])
