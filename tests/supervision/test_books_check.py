"""Recorded books, whole and damaged: right as they are, SUSPECT within one message when they are not, and healed."""

from __future__ import annotations

import copy
import random
import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from adapters.recordings import Kind, Recorded, read_recordings
from supervision.books_check import BooksCheck, check_books, survey_books, surveyed
from tests.effort import effort
from trading.market.events import BookState, DepthSnapshot

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"

PLACES = effort(1, 4)
"""How many places of each recording are damaged in each way."""

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}"),
]

BINANCE, BYBIT, OKX = DATA / "binance", DATA / "bybit", DATA / "okx"


def files(folder, pattern):
    return sorted(folder.glob(pattern))


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("venue", "folder", "pattern", "applied", "compared", "checksums"),
    [
        ("binance", BINANCE / "cryptofeed_raw", "BINANCE.*", 9 + 13 + 149 + 1, 1 + 6 + 19, 0),
        ("binanceusdm", BINANCE / "cryptofeed_raw", "BINANCE_FUTURES.*", 188 + 180 + 132 + 252, 7 + 18 + 13 + 12, 0),
        ("binancecoinm", BINANCE / "l2_raw" / "2024-08-08", "coinm*", 26824, 1124, 0),
        ("binanceusdm", BINANCE / "l2_raw" / "2023-04-05_funding", "usdm*", 16110, 1565, 0),
        ("binance", BINANCE / "l2_raw" / "2024-08-08", "spot*", 3449, 560, 0),
        ("okx", OKX / "cryptofeed_raw", "OKX.*", 98 + 97 + 92, 0, 290),
        ("bybit", BYBIT / "l2_raw", "*", 49, 0, 0),
    ],
)
def test_a_recording_is_proved_without_a_gap_and_equals_what_the_venue_states(
    venue, folder, pattern, applied, compared, checksums
):
    report = check_books(files(folder, pattern), venue)
    assert (report.unreadable, report.venue_errors, report.errors) == (0, 0, ())
    assert report.right
    assert sum(book.applied for book in report.books) == applied
    assert sum(book.compared for book in report.books) == compared
    assert sum(book.checksums_ok for book in report.books) == checksums
    assert all(
        (book.gaps, book.resyncs, book.mismatches, book.checksums_failed) == (0, 0, 0, 0) for book in report.books
    )
    assert all(book.state == "synced" and book.mode == "depth" for book in report.books)


@pytest.mark.req("P-MD-2")
def test_diffs_without_a_snapshot_are_a_chain_without_gaps_and_the_book_is_the_tickers():
    report = check_books(files(BINANCE / "l2_raw" / "2023-04-05_funding", "spot*"), "binance")
    (book,) = report.books
    assert (book.mode, book.gaps, book.state, book.applied) == ("bbo", 0, "synced", 8015)
    assert book.levels == (1, 1)


def test_a_grid_comes_from_the_recording_else_the_table_else_the_numbers_and_says_so():
    folder = BINANCE / "cryptofeed_raw"
    listed = {book.symbol: book for book in check_books(files(folder, "BINANCE.*"), "binance").books}
    guessed = {book.symbol: book for book in check_books(files(folder, "BINANCE.[hw]*"), "binance").books}
    assert listed["RUNEEUR"].grid == "recording"
    assert listed["NKNUSDT"].grid == "recording, tick 0.0001 made finer"
    assert {book.grid for book in guessed.values()} == {"inferred"}
    for symbol, book in listed.items():
        assert (book.best_bid, book.best_ask) == (guessed[symbol].best_bid, guessed[symbol].best_ask)
        assert book.levels == guessed[symbol].levels


def test_a_generation_that_is_not_read_any_more_has_no_book_and_is_not_called_right():
    report = check_books(files(BYBIT / "cryptofeed_raw", "*"), "bybit")
    assert (report.books, report.right, report.unreadable) == ((), False, 0)
    assert report.other > 4000


# --- Damage ------------------------------------------------------------------------------------------


class Session(NamedTuple):
    """A recorded beginning and the book in it that is looked at."""

    venue: str
    items: list
    name: str
    label: str
    diffs: list
    """Places of the book's diffs among the items, once it is SYNCED."""
    tops: list
    """The best 25 levels a side after each of them."""
    last: tuple
    surveyed: tuple
    """The reader and what its first pass found: that pass is the longer one, and the same before every damage."""

    def kept(self):
        check = BooksCheck(*copy.deepcopy(self.surveyed))
        return check, check.books[self.name][self.label]

    def run(self, damaged, upto=None):
        """The book after ``damaged``, and its state after each line."""
        check, kept = self.kept()
        states = []
        for item in damaged[:upto]:
            check.take(item)
            states.append(kept.sync.state)
        return check, kept, states


def snapshot_of(book, item, in_stream):
    bids, asks = book.top(100_000)
    return DepthSnapshot(
        instrument_id=book.instrument_id,
        last_update_id=book.update_id,
        bids=list(bids),
        asks=list(asks),
        ts_event_ns=0,
        ts_recv_ns=item.ts_ns,
        in_stream=in_stream,
    )


def open_session(venue, paths, name, label="", lines=1500):
    items = list(islice(read_recordings(paths), lines))
    found = surveyed(items, venue)
    check = BooksCheck(*copy.deepcopy(found))
    kept = check.books[name][label]
    diffs, tops = [], []
    for number, item in enumerate(items):
        before = kept.sync.counters.applied
        synced = kept.sync.state is BookState.SYNCED
        check.take(item)
        if synced and kept.sync.counters.applied == before + 1:
            diffs.append(number)
            tops.append(kept.sync.book.top(25))
    last = kept.sync.book.top(100_000)
    return Session(venue, items, name, label, diffs, tops, last, found)


SESSIONS = {
    "spot": ("binance", BINANCE / "l2_raw" / "2024-08-08", "spot*", "BINANCE:SPOT:BTC-USDT", ""),
    "usdm": ("binanceusdm", BINANCE / "l2_raw" / "2024-08-08", "usdm*", "BINANCEUSDM:PERP:BTC-USDT:LINEAR", ""),
    "usdm-funding": (
        "binanceusdm",
        BINANCE / "l2_raw" / "2023-04-05_funding",
        "usdm*04.dat.xz",
        "BINANCEUSDM:PERP:BTC-USDT:LINEAR",
        "",
    ),
    "coinm": ("binancecoinm", BINANCE / "l2_raw" / "2024-08-08", "coinm*", "BINANCECOINM:PERP:BTC-USD:INVERSE", ""),
    "nexo": ("binance", BINANCE / "l2_raw" / "2024-07-23_nexo_24h", "*23.dat.xz", "BINANCE:SPOT:NEXO-USDT", ""),
    "spot-2021": ("binance", BINANCE / "cryptofeed_raw", "BINANCE.*", "BINANCE:SPOT:NKN-USDT", ""),
    "usdm-2021": (
        "binanceusdm",
        BINANCE / "cryptofeed_raw",
        "BINANCE_FUTURES.*",
        "BINANCEUSDM:PERP:SUSHI-USDT:LINEAR",
        "",
    ),
    "bybit": ("bybit", BYBIT / "l2_raw", "*", "BYBIT:UNLISTED:XRPUSDT", "orderbook.500"),
    "okx-spot": ("okx", OKX / "cryptofeed_raw", "OKX.*", "OKX:SPOT:BTC-USDT", "books"),
    "okx-swap": ("okx", OKX / "cryptofeed_raw", "OKX.*", "OKX:PERP:UNI-USD:INVERSE", "books"),
}


@pytest.fixture(scope="module", params=SESSIONS)
def session(request):
    venue, folder, pattern, name, label = SESSIONS[request.param]
    return open_session(venue, files(folder, pattern), name, label)


def places(session, count):
    """Diffs to damage: those that the venue's rules prove. OKX without numbers proves its best 25 levels only."""
    first = 5
    found = [
        place
        for place in range(first, len(session.diffs) - 12)
        if session.venue != "okx" or session.tops[place] != session.tops[place - 1]
    ]
    return random.Random(7).sample(found, count)


def heals(session, damaged, at):
    """After the damage a snapshot of the venue's truth at diff ``at`` makes the book right to the last level."""
    _, truth, _ = session.run(session.items, session.diffs[at] + 1)
    check, kept = session.kept()
    begin = session.diffs[at] + 1
    for item in damaged[: begin + len(damaged) - len(session.items)]:
        check.take(item)
    assert kept.sync.state is not BookState.SYNCED
    assert kept.sync.wants_snapshot
    kept.sync.on_snapshot_requested(0)
    kept.sync.on_snapshot(snapshot_of(truth.sync.book, session.items[begin - 1], session.venue in {"okx", "bybit"}))
    for item in session.items[begin:]:
        check.take(item)
    assert kept.sync.state is BookState.SYNCED
    assert kept.sync.counters.resyncs == 1
    assert kept.sync.book.top(100_000) == session.last


@pytest.mark.req("P-MD-2")
def test_a_lost_message_is_noticed_at_the_next_one_and_healed(session):
    for place in places(session, PLACES):
        lost, following = session.diffs[place], session.diffs[place + 1]
        damaged = session.items[:lost] + session.items[lost + 1 :]
        _, kept, states = session.run(damaged, following)
        assert states[lost - 1] is BookState.SYNCED
        assert states[following - 1] is BookState.SUSPECT
        counters = kept.sync.counters
        assert counters.gaps + counters.checksums_failed + counters.crossed == 1
        heals(session, damaged, place + 8)


@pytest.mark.req("P-MD-2")
def test_a_repeated_message_changes_nothing(session):
    for place in places(session, PLACES):
        at = session.diffs[place]
        damaged = session.items[: at + 1] + session.items[at:]
        check, kept, states = session.run(damaged)
        assert set(states[at:]) == {BookState.SYNCED}
        assert check.report(()).right
        assert kept.sync.counters.gaps == 0
        assert kept.sync.book.top(100_000) == session.last


@pytest.mark.req("P-MD-2")
def test_two_messages_in_the_wrong_order_are_noticed_at_the_first_of_them_and_healed(session):
    for place in places(session, PLACES):
        one, other = session.diffs[place], session.diffs[place + 1]
        damaged = list(session.items)
        damaged[one], damaged[other] = damaged[other], damaged[one]
        _, _, states = session.run(damaged, one + 1)
        assert states[one] is BookState.SUSPECT
        heals(session, damaged, place + 8)


PROVING_FIELDS = {
    "binance": rb'"(U|u)":(\d+)',
    "binanceusdm": rb'"(u|pu)":(\d+)',
    "binancecoinm": rb'"(u|pu)":(\d+)',
    "bybit": rb'"(u)":(\d+)',
    "okx": rb'"(checksum)":-?(\d+)',
}


@pytest.mark.req("P-MD-2")
def test_one_digit_of_a_number_that_proves_is_noticed_within_one_message_and_healed(session):
    chance = random.Random(11)
    (place,) = places(session, 1)
    at, following = session.diffs[place], session.diffs[place + 1]
    payload = session.items[at].payload
    fields = [match.span(2) for match in re.finditer(PROVING_FIELDS[session.venue], payload)]
    assert fields
    for begin, end in fields:
        for where in chance.sample(range(begin + 1, end), min(6, end - begin - 1)):
            digit = payload[where : where + 1]
            wrong = chance.choice([d for d in (b"%d" % n for n in range(10)) if d != digit])
            changed = session.items[at]._replace(payload=payload[:where] + wrong + payload[where + 1 :])
            damaged = [*session.items[:at], changed, *session.items[at + 1 :]]
            _, _, states = session.run(damaged, following + 1)
            assert states[at - 1] is BookState.SYNCED
            assert states[following] is not BookState.SYNCED, changed.payload[:200]
    heals(session, damaged, place + 8)


@pytest.mark.req("P-MD-2")
def test_one_digit_of_a_level_is_noticed_where_a_checksum_covers_it():
    venue, folder, pattern, name, label = SESSIONS["okx-spot"]
    session = open_session(venue, files(folder, pattern), name, label)
    tried = 0
    for place in places(session, 3 * PLACES):
        at = session.diffs[place]
        levels = msgspec.json.decode(session.items[at].payload)["data"][0]
        covered = {f"{text}" for side in ("bids", "asks") for text, *_ in levels[side]}
        best = {f"{tick / 10:g}" for side in session.tops[place] for tick, _ in side}
        for price in sorted(covered & best)[:2]:
            payload = session.items[at].payload
            # The last digit of the quantity that follows the price.
            spot = payload.index(b'"', payload.index(b'["%b","' % price.encode()) + len(price) + 5) - 1
            wrong = b"9" if payload[spot : spot + 1] != b"9" else b"8"
            changed = session.items[at]._replace(payload=payload[:spot] + wrong + payload[spot + 1 :])
            _, kept, states = session.run([*session.items[:at], changed], None)
            assert states[-1] is BookState.SUSPECT
            assert kept.sync.counters.checksums_failed == 1
            tried += 1
    assert tried >= 2


@pytest.mark.req("P-MD-2")
def test_one_digit_of_the_touch_is_noticed_by_the_ticker_of_the_same_update():
    venue, folder, pattern, name, label = SESSIONS["spot"]
    session = open_session(venue, files(folder, pattern), name, label)
    check, kept = session.kept()
    at, spot = 0, 0
    for number, item in enumerate(session.items):
        audited = kept.sync.counters.audited
        check.take(item)
        if number in session.diffs[10:]:
            at = number
        if at and kept.sync.counters.audited == audited + 1:
            best = kept.sync.book.best_bid()
            price = b'["%.2f000000","' % (best[0] / 100)
            spot = session.items[at].payload.find(price) + len(price)
            if spot >= len(price) and number <= at + 20:
                break
    payload = session.items[at].payload
    wrong = b"7" if payload[spot : spot + 1] != b"7" else b"8"
    changed = session.items[at]._replace(payload=payload[:spot] + wrong + payload[spot + 1 :])
    _, kept, states = session.run([*session.items[:at], changed, *session.items[at + 1 : number + 1]])
    assert states[at - 1] is BookState.SYNCED
    assert states[-1] is BookState.SUSPECT
    assert kept.sync.counters.mismatches == 1


def test_a_connection_that_is_made_again_proves_nothing_of_before():
    paths = files(OKX / "cryptofeed_raw", "OKX.*")
    items = list(read_recordings(paths))
    (opened,) = [item for item in items if isinstance(item, Recorded) and item.kind is Kind.CONNECTED]
    check = survey_books(items, "okx")
    for item in [*items, opened._replace(ts_ns=items[-1].ts_ns + 1)]:
        check.take(item)
    report = check.report(paths)
    assert [book.state for book in report.books] == ["suspect"] * 3
    assert not report.right
