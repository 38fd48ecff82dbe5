"""Holes in trades: found by id, filled from who knows, audited; twice is once, and bars are whole again."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal

import pytest

from adapters.recorder.backfill import (
    FetchedTrade,
    FetchFailedError,
    Hole,
    HoleState,
    backfill,
    find_holes,
    records_of,
)
from adapters.recorder.build import build_history
from adapters.recorder.contracts import check_history
from adapters.recorder.fetchers import RecordingFetcher
from adapters.recorder.gaps_report import write_report
from adapters.recorder.history import open_history
from adapters.venue_codecs import KNOWN
from trading.market.events import Aggressor

from .conftest import copy_session, record_generator

BARS = "SELECT * EXCLUDE (filled, world) FROM bars_1m ORDER BY ALL"
TRADES = "SELECT instrument_id, trade_id, price, qty, side, ts_event_ns FROM trades ORDER BY ALL"


def ask(history, query):
    with open_history(history) as connection:
        return connection.execute(query).fetchall()


def holes_of(history):
    with open_history(history) as connection:
        return find_holes(connection)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A recording of everything, as of a real market."""
    folder = tmp_path_factory.mktemp("whole")
    session = copy_session(record_generator(folder / "made", 6), folder)
    build_history(folder)
    return folder, session


def trade_id(line):
    return json.loads(line.payload)["data"]["t"] if b'@trade"' in line.payload[:40] else None


@pytest.fixture(scope="module")
def heard_by_halves(whole, tmp_path_factory):
    """The same market as heard by somebody who missed some trades of two instruments."""
    _, session = whole
    folder = tmp_path_factory.mktemp("torn")
    counts = {}

    def keep(line):
        if trade_id(line) is None:
            return True
        number = counts[line.venue] = counts.get(line.venue, 0) + 1
        return not (line.venue != "binancecoinm" and (20 < number <= 30 or number == 50))

    copy_session(session, folder, keep)
    build_history(folder)
    return folder


@pytest.fixture
def torn(heard_by_halves, tmp_path):
    """A history with holes, of the test's own."""
    shutil.copytree(heard_by_halves, tmp_path, dirs_exist_ok=True)
    return tmp_path


class Answers:
    """A fetcher with the answers of a test."""

    name = "a test"

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def fetch(self, instrument, from_id, to_id):
        self.asked.append((instrument.instrument_id, from_id, to_id))
        return self.answer(instrument, from_id, to_id)


def tree(history):
    return {
        str(path.relative_to(history)): path.read_bytes()
        for name in ("parquet", "fills", "reports")
        for path in sorted((history / name).rglob("*"))
        if path.is_file()
    }


def test_holes_are_found_by_id_and_named_with_their_neighbours_times(torn):
    holes = holes_of(torn)
    assert [(hole.venue, hole.missing, hole.world) for hole in holes] == [
        ("binance", 10, "real"),
        ("binance", 1, "real"),
        ("binanceusdm", 10, "real"),
        ("binanceusdm", 1, "real"),
    ]
    assert all(0 < hole.before_ns <= hole.after_ns for hole in holes)
    missing = ask(torn, "SELECT venue, sum(missing) FROM bars_1m GROUP BY ALL ORDER BY 1")
    assert missing == [("binance", 11), ("binancecoinm", 0), ("binanceusdm", 11)]
    gaps = ask(torn, "SELECT venue, from_id, to_id FROM gaps WHERE what = 'trades' ORDER BY 1, 2")
    assert gaps == [(hole.venue, hole.from_id, hole.to_id) for hole in holes]


@pytest.mark.req("P-MD-13")
@pytest.mark.req("V-MKT-1")
def test_dropped_bars_are_refilled_once_from_another_recording(whole, torn):
    folder, session = whole
    assert ask(torn, BARS) != ask(folder, BARS)
    done = backfill(torn, RecordingFetcher(session, holes_of(torn)))
    assert (done.holes, done.states, done.trades_filled, done.still_missing) == (4, {"filled": 4}, 22, 0)
    assert ask(torn, TRADES) == ask(folder, TRADES)
    assert ask(torn, BARS) == ask(folder, BARS)
    assert ask(torn, "SELECT sum(filled) FROM bars_1m") == [(22,)]
    assert check_history(torn).kept
    write_report(torn / "reports", done, records_of(torn))
    before = tree(torn)
    again = backfill(torn, RecordingFetcher(session, holes_of(torn)))
    assert not again.changed
    write_report(torn / "reports", again, records_of(torn))
    assert tree(torn) == before
    assert build_history(torn).built == 0


@pytest.mark.req("P-MD-13")
def test_the_report_and_its_twin_say_every_hole(whole, torn):
    _, session = whole
    done = backfill(torn, RecordingFetcher(session, holes_of(torn)))
    report, twin = write_report(torn / "reports", done, records_of(torn))
    text, facts = report.read_text(), json.loads(twin.read_text())
    assert "Holes found: 4 (4 filled)." in text
    assert text.count("| filled | 2026-11-21") == 4
    assert [one["state"] for one in facts["records"]] == ["filled"] * 4
    assert facts["trades_filled"] == sum(one["filled"] for one in facts["records"]) == 22
    for one in facts["records"]:
        assert f"| {one['hole']['from_id']}-{one['hole']['to_id']} | {one['filled']} |" in text


def test_a_hole_that_the_venue_denies_is_absent_and_not_asked_for_again(torn):
    fetcher = Answers(lambda *_: [])
    done = backfill(torn, fetcher)
    assert (done.states, done.trades_absent, done.still_missing) == ({"absent": 4}, 22, 22)
    assert len(fetcher.asked) == 4
    again = backfill(torn, fetcher)
    assert len(fetcher.asked) == 4
    assert not again.changed


def test_what_a_partial_answer_leaves_open_is_known_not_to_exist(whole, torn):
    _, session = whole
    known = RecordingFetcher(session, holes_of(torn))
    fetcher = Answers(lambda instrument, low, high: known.fetch(instrument, low, high)[::2])
    done = backfill(torn, fetcher)
    assert done.states == {"filled": 2, "partly": 2}
    assert (done.trades_filled, done.trades_absent, done.still_missing) == (12, 10, 10)
    again = backfill(torn, fetcher)
    assert (again.changed, len(fetcher.asked)) == (False, 4)


def refuse(*_):
    raise FetchFailedError("429")


def off_grid(instrument, low, high):
    return [FetchedTrade(trade_id=low, price=Decimal("0.0000001"), qty=Decimal(1), side=Aggressor.BUY, ts_event_ns=1)]


def shifted(change):
    def answer(instrument, low, high):
        one = {"trade_id": low, "price": instrument.tick_size, "qty": instrument.lot_size, "side": Aggressor.BUY}
        return [FetchedTrade(**{**one, "ts_event_ns": 0, **change(low, high)})]

    return answer


@pytest.mark.req("P-MD-13")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (refuse, "429"),
        (off_grid, "between its neighbours"),
        (shifted(lambda low, high: {"trade_id": high + 1}), "was not asked for"),
        (shifted(lambda low, high: {"ts_event_ns": 2 * 10**18}), "between its neighbours"),
    ],
)
def test_an_answer_that_cannot_be_believed_fills_nothing_and_is_asked_for_again(torn, answer, reason):
    before = ask(torn, TRADES)
    fetcher = Answers(answer)
    done = backfill(torn, fetcher)
    assert (done.states, done.trades_filled) == ({"failed": 4}, 0)
    assert all(reason in record.reason for record in records_of(torn))
    assert ask(torn, TRADES) == before
    backfill(torn, fetcher)
    assert len(fetcher.asked) == 8


@pytest.mark.parametrize("spoil", ["price", "twice", "backwards"])
def test_one_wrong_trade_among_right_ones_spoils_the_answer(whole, torn, spoil):
    _, session = whole
    known = RecordingFetcher(session, holes_of(torn))

    def answer(instrument, low, high):
        found = list(known.fetch(instrument, low, high))
        if spoil == "price":
            one = found[0]
            price = one.price + instrument.tick_size / 2
            found[0] = FetchedTrade(
                trade_id=one.trade_id, price=price, qty=one.qty, side=one.side, ts_event_ns=one.ts_event_ns
            )
        elif spoil == "twice":
            found.append(found[0])
        elif len(found) > 1:
            times = [one.ts_event_ns for one in found]
            if times[0] == times[-1]:
                raise FetchFailedError("all of one millisecond")
            found = [
                FetchedTrade(trade_id=one.trade_id, price=one.price, qty=one.qty, side=one.side, ts_event_ns=ts)
                for one, ts in zip(found, reversed(times), strict=True)
            ]
        else:
            raise FetchFailedError("one trade has no order")
        return found

    done = backfill(torn, Answers(answer))
    assert done.states == {"failed": 4}
    assert done.trades_filled == 0


def test_without_a_fetcher_the_queue_is_written_and_a_recording_that_comes_later_heals_it(whole, torn):
    _, session = whole
    done = backfill(torn, None)
    assert (done.states, done.still_missing) == ({"queued": 4}, 22)
    build_history(torn, [session])
    assert holes_of(torn) == []
    done = backfill(torn, None)
    assert (done.states, done.still_missing) == ({"healed": 4}, 0)
    assert {record.state for record in records_of(torn)} == {HoleState.HEALED}


def test_a_recording_that_was_not_listening_gives_no_answer(whole, torn):
    _, session = whole
    beyond = Hole(
        instrument_id="BINANCE:SPOT:BTC-USDT",
        venue="binance",
        world="real",
        from_id=10**17,
        to_id=10**17 + 1,
        before_ns=0,
        after_ns=1,
    )
    fetcher = RecordingFetcher(session, [beyond])
    one = holes_of(torn)[0]
    assert one.missing == 10
    with pytest.raises(FetchFailedError, match="does not cover"):
        fetcher.fetch(KNOWN[beyond.instrument_id], beyond.from_id, beyond.to_id)
    with pytest.raises(FetchFailedError, match="has a hole"):
        RecordingFetcher(next((torn / "wire").iterdir()), holes_of(torn)).fetch(
            KNOWN[one.instrument_id], one.from_id, one.to_id
        )


def test_a_synthetic_recording_fills_no_hole_of_a_real_market(whole, torn):
    folder, _ = whole
    made = next((folder / "made" / "wire").iterdir())
    done = backfill(torn, RecordingFetcher(made, holes_of(torn)))
    assert (done.states, done.trades_filled) == ({"failed": 4}, 0)


def test_synthetic_sessions_have_no_holes_between_them(tmp_path):
    record_generator(tmp_path, 3)
    record_generator(tmp_path, 3, started_ns=1_795_273_500_000_000_000)
    build_history(tmp_path)
    assert holes_of(tmp_path) == []
