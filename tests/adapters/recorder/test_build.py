"""Wire logs into Parquet: every message is a row, once, whenever it is built; books are proved as the desk does."""

from __future__ import annotations

import json
import lzma
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from adapters.binance.instruments import VENUES
from adapters.recorder.build import build_history, world_of
from adapters.recorder.catalog import BUILT, PARQUET, Catalog, building
from adapters.recorder.drive import Kept, keep
from adapters.recorder.history import open_history
from adapters.recorder.manifest import read_manifest
from adapters.sources import Frame, SourceSpec, open_source
from adapters.streams.events import Connected, Disconnected, Polled
from adapters.venue_codecs import KNOWN, open_codec, open_sync
from adapters.wirelog import WireLine, WireLogWriter, is_snapshot, open_session
from tests.effort import effort
from trading.features.depth import Microprice, OrderFlowImbalance, QueueImbalance
from trading.features.flow import VolumeDelta, Vwap
from trading.market.events import (
    Aggressor,
    BookState,
    BookTicker,
    BookTop,
    DepthSnapshot,
    DepthUpdate,
    MarkPrice,
    Trade,
    WireRejected,
)

from .conftest import GENERATED, HOUR, T, copy_session, record_generator

DATA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
KINDS = {Trade: "trade", DepthUpdate: "depth", DepthSnapshot: "depth", BookTicker: "quote", MarkPrice: "mark"}
SECOND = 1_000_000_000
SMALL = {"frame_bytes_max": 40_000, "file_bytes_max": 20_000}


def tree(history):
    """Every published byte, by path."""
    return {
        str(path.relative_to(history)): path.read_bytes()
        for folder in (PARQUET, BUILT)
        for path in sorted((history / folder).rglob("*"))
        if path.is_file()
    }


def ask(history, query):
    with open_history(history) as connection:
        return connection.execute(query).fetchall()


def decoded(session):
    """The session's events by the codecs alone: what Parquet is compared with."""
    codecs = {venue: open_codec(venue, [one for one in KNOWN.values() if one.venue == venue]) for venue in VENUES}
    ids = {(one.venue, one.symbol): one.instrument_id for one in KNOWN.values()}
    for line in open_session(session):
        assert isinstance(line, WireLine)
        codec = codecs[line.venue]
        if is_snapshot(line.payload):
            yield codec.decode_snapshot(line.payload, ids[line.venue, line.symbol], line.ts_recv_ns)
        else:
            event = codec.decode(line.payload, line.ts_recv_ns)
            if event is not None:
                yield event


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A while of the generator around a full hour, recorded and built."""
    history = tmp_path_factory.mktemp("history")
    session = record_generator(history, 12, started_ns=T + HOUR - 6 * SECOND)
    report = build_history(history)
    assert report.errors == []
    return history, session, report


@pytest.mark.req("P-MD-12")
def test_rows_of_every_partition_are_the_messages_of_the_wire_log(built):
    history, session, report = built
    counts, lots, levels = Counter(), Counter(), Counter()
    for event in decoded(session):
        assert not isinstance(event, WireRejected)
        name, kind = event.instrument_id, KINDS[type(event)]
        counts[name, kind] += 1
        if isinstance(event, Trade):
            lots[name] += event.qty_lots
        elif kind == "depth":
            levels[name] += sum(lot for _, lot in event.bids) + 7 * sum(tick for tick, _ in event.asks)
    assert counts.total() == report.lines
    for kind in ("trade", "depth", "quote", "mark"):
        rows = dict(ask(history, f"SELECT instrument_id, count(*) FROM raw_{kind} GROUP BY ALL"))
        assert rows == {name: count for (name, one), count in counts.items() if one == kind}
    assert dict(ask(history, "SELECT instrument_id, sum(qty_lots) FROM raw_trade GROUP BY ALL")) == lots
    found = ask(
        history,
        "SELECT instrument_id, sum(coalesce(list_sum(bid_lots), 0)::HUGEINT) + 7 * "
        "sum(coalesce(list_sum(ask_ticks), 0)::HUGEINT) FROM raw_depth GROUP BY ALL",
    )
    assert dict(found) == levels


def test_partitions_are_named_by_day_venue_symbol_and_kind_and_say_that_they_are_synthetic(built):
    history, session, _ = built
    folders = {path.parent.relative_to(history / PARQUET) for path in (history / PARQUET).rglob("*.parquet")}
    assert Path("dt=2026-11-21/venue=binanceusdm/symbol=BTCUSDT/kind=depth") in folders
    assert Path("dt=2026-11-21/venue=binancecoinm/symbol=BTCUSD_PERP/kind=bbo") in folders
    assert ask(history, "SELECT DISTINCT world FROM raw_depth") == [(f"synthetic {session.name}",)]


def test_the_hour_ended_one_file_and_began_another_with_a_book_in_it(built):
    history, session, _ = built
    files = read_manifest(session).files
    assert Counter(file.venue for file in files) == dict.fromkeys(VENUES, 2)
    snapshots = ask(history, "SELECT source, count(*) FROM depth WHERE snapshot GROUP BY ALL")
    assert sorted(snapshots) == sorted((file.name, 1) for file in files)


def test_the_touch_is_that_of_the_proved_book_at_each_change(built):
    history, session, _ = built
    ids = {one.instrument_id: one for one in GENERATED}
    books = {name: open_sync(open_codec(one.venue, GENERATED), one) for name, one in ids.items()}
    shown, expected = {}, {name: [] for name in ids}
    for event in decoded(session):
        sync = books.get(event.instrument_id)
        match event:
            case DepthUpdate():
                sync.on_update(event)
            case DepthSnapshot():
                sync.on_snapshot(event)
            case BookTicker():
                sync.on_ticker(event)
            case _:
                continue
        proved = sync.state is BookState.SYNCED
        state = (sync.state, sync.book.best_bid() if proved else None, sync.book.best_ask() if proved else None)
        if shown.get(event.instrument_id) != state:
            shown[event.instrument_id] = state
            bid, ask_ = state[1] or (None, None), state[2] or (None, None)
            expected[event.instrument_id].append((event.ts_recv_ns, sync.state.value, *bid, *ask_))
    for name, rows in expected.items():
        found = ask(
            history,
            "SELECT ts_recv_ns, state, bid_ticks, bid_lots, ask_ticks, ask_lots FROM raw_bbo "
            f"WHERE instrument_id = '{name}' ORDER BY ts_recv_ns, source, line",
        )
        # A snapshot and the diff after it may carry the same receive time: both orders are one book.
        assert Counter(found) == Counter(rows)
        assert len(found) > 50
        assert ask(history, f"SELECT count(*) FROM raw_gap WHERE instrument_id = '{name}'") == [(0,)]


@pytest.fixture(scope="module")
def in_small_files(tmp_path_factory):
    """A session of many files around a full hour, and what is built of it at once."""
    folder = tmp_path_factory.mktemp("small")
    session = record_generator(folder, 8, started_ns=T + HOUR - 4 * SECOND, **SMALL)
    assert build_history(folder / "once", [session]).built > 8
    return session, folder / "once"


@pytest.mark.req("P-MD-13")
@pytest.mark.parametrize("cut", [1, 7])
def test_built_at_once_or_bit_by_bit_the_bytes_are_the_same(in_small_files, tmp_path, cut):
    history = tmp_path / "history"
    session, once = in_small_files
    logs = sorted(session.glob("*.dat.zst"))
    aside = tmp_path / "aside" / session.name
    aside.mkdir(parents=True)
    shutil.copy(session / "session.json", aside)
    for n, log in enumerate(logs):
        shutil.copy(log, aside)
        if n % cut == 0:
            build_history(history, [aside])
    build_history(history, [aside])
    assert tree(history) == tree(once)


@pytest.mark.req("P-MD-13")
def test_building_again_changes_nothing_and_reads_nothing(built):
    history, session, _ = built
    before = tree(history)
    stamps = {path: path.stat().st_mtime_ns for path in history.rglob("*.parquet")}
    again = build_history(history)
    assert (again.built, again.unchanged, again.lines) == (0, len(read_manifest(session).files), 0)
    assert tree(history) == before
    assert {path: path.stat().st_mtime_ns for path in history.rglob("*.parquet")} == stamps


def test_a_build_that_was_killed_between_files_and_record_is_made_whole(built, tmp_path):
    history, _, _ = built
    other = tmp_path / "history"
    shutil.copytree(history, other)
    record = next((other / BUILT).rglob("*.json"))
    lost = json.loads(record.read_text())["outputs"][0]["path"]
    record.unlink()
    (other / PARQUET / lost).write_bytes(b"half")
    (other / PARQUET / lost).with_name(".x.parquet.tmp").write_bytes(b"torn")
    (other / ".build.1").mkdir()
    (other / ".build.1" / "0.ndjson").write_bytes(b"half a row")
    assert build_history(other).built in {1, 2}  # what follows in the chain is built again
    assert {k: v for k, v in tree(other).items() if not k.endswith(".tmp")} == tree(history)


BUILD = """
import resource, sys
from pathlib import Path
from adapters.recorder.build import build_history
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    build_history(Path(sys.argv[1]))
except OSError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.process
def test_a_disk_that_refuses_stops_the_build_and_what_is_there_is_whole(built, tmp_path):
    history, session, _ = built
    other = tmp_path / "history"
    shutil.copytree(session, other / "wire" / session.name)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(other), "60000"], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.stderr.startswith("refused: ")
    assert [path for path in other.rglob("*") if path.name.endswith(".tmp")] == []
    assert build_history(other).errors == []
    assert tree(other) == tree(history)
    assert list(other.glob(".build.*")) == []


def test_a_file_that_still_grows_waits_and_that_of_a_killed_recorder_does_not(recording, tmp_path):
    history = tmp_path
    recorder = recording(wire=history / "wire", flush_ms=20, started_ns=T)
    recorder.append("binance", None, T, b'{"stream":"btcusdt@trade","data":{}}')
    report = build_history(history)
    assert (report.built, report.live) == (0, report.live)
    assert recorder.close()
    manifest = recorder.session / "session.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"files": [', b'"files": [], "ignored": ['))
    report = build_history(history)
    assert (report.built, report.live, report.rows) == (1, 0, {"reject": 1})
    assert [one.whole for one in Catalog(history).all()] == [False]


def test_what_cannot_be_read_is_a_row_with_its_reason(recording, tmp_path):
    recorder = recording(wire=tmp_path / "wire")
    for n, payload in enumerate((b'{"stream":"btcusdt@trade","data":{}}', b"garbage", b'{"result":null,"id":1}')):
        recorder.append("binance", None, T + n, payload)
    recorder.append("binance", "BTCUSDT", T + 5, b'{"propdesk":"scribble"}')
    assert recorder.close()
    report = build_history(tmp_path)
    assert report.lines == 4
    assert sorted(ask(tmp_path, "SELECT reason, symbol FROM rejects")) == [
        ("malformed", "BTCUSDT"),
        ("malformed", "none"),
        ("unknown_note", "BTCUSDT"),
    ]
    found = {one.source.partition("_2026")[0]: (one.lines, one.silent, one.events) for one in Catalog(tmp_path).all()}
    assert found == {"binance_btcusdt": (2, 0, 2), "binance_all": (2, 1, 1)}


def test_a_torn_wire_log_is_built_as_far_as_it_is_whole(built, tmp_path):
    _, session, _ = built
    torn = tmp_path / session.name
    shutil.copytree(session, torn)
    (torn / "session.json").unlink()
    log = min(torn.glob("binance_*"))
    log.write_bytes(log.read_bytes()[:-5])
    for other in set(torn.glob("*.dat.zst")) - {log}:
        other.unlink()
    report = build_history(tmp_path / "history", [torn])
    assert (report.built, report.unreadable, report.rows["reject"]) == (1, 1, 1)


def test_a_diff_that_is_missing_is_a_gap_and_the_touch_is_gone_until_the_next_book(built, tmp_path):
    _, session, _ = built
    diffs = [line for line in open_session(session) if line.venue == "binance" and b"@depth" in line.payload[:40]]
    lost = diffs[len(diffs) // 4].payload
    copy = copy_session(session, tmp_path, lambda line: line.venue == "binance" and line.payload != lost)
    assert world_of(copy) == "real"
    assert build_history(tmp_path).errors == []
    ((what, from_id, to_id),) = ask(tmp_path, "SELECT what, from_id, to_id FROM gaps WHERE what = 'gap'")
    assert what == "gap"
    message = json.loads(lost)["data"]
    assert (from_id, to_id) == (message["U"], message["u"])
    states = [state for (state,) in ask(tmp_path, "SELECT state FROM bbo ORDER BY ts_recv_ns, source, line")]
    assert "suspect" in states
    # The book that opens the next hour's file proves it again.
    assert states[-1] == "synced"


BYBIT_BOOK = (
    b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","ts":1795273200000,"data":{"s":"BTCUSDT",'
    b'"b":[["60000.0","1"]],"a":[["60000.1","2"]],"u":%d,"seq":%d},"cts":1795273200000}'
)
BYBIT_DELTA = BYBIT_BOOK.replace(b'"snapshot"', b'"delta"')


def test_a_seam_between_connections_is_a_gap_and_takes_the_touch(recording, tmp_path):
    linear = KNOWN["BYBIT:PERP:BTC-USDT:LINEAR"]
    recorder = recording(wire=tmp_path / "wire", instruments=[linear])
    kept = Kept()
    where = {"view": "a", "line": "public"}
    interest = b'{"retCode":0,"result":{"list":[]}}'
    keep(
        recorder,
        "bybit",
        [
            Connected(**where, ts_ns=T, symbols=("BTCUSDT",)),
            Frame(BYBIT_BOOK % (7, 9), T + 1),
            Disconnected(**where, ts_ns=T + 2, reason="rotated", symbols=("BTCUSDT",), covered=True),
            Frame(BYBIT_DELTA % (8, 10), T + 3),
            Disconnected(**where, ts_ns=T + 4, reason="reset by peer", symbols=("BTCUSDT",)),
            Connected(**where, ts_ns=T + 5, symbols=("BTCUSDT",)),
            Frame(BYBIT_BOOK % (20, 30), T + 6),
            Polled(**where, ts_ns=T + 7, channel="open_interest", symbol="BTCUSDT", payload=interest),
            WireRejected(venue="bybit", reason="x", excerpt="", ts_recv_ns=T),
        ],
        kept,
    )
    assert (kept.lines, kept.unreadable) == (4, 1)
    assert recorder.close()
    messages = [BYBIT_BOOK % (7, 9), BYBIT_DELTA % (8, 10), BYBIT_BOOK % (20, 30)]
    assert [line.payload for line in open_session(recorder.session)] == messages
    assert build_history(tmp_path).errors == []
    assert ask(tmp_path, "SELECT what, text, ts_recv_ns FROM gaps") == [("disconnected", "reset by peer", T + 4)]
    assert ask(tmp_path, "SELECT ts_recv_ns, state, bid_ticks FROM bbo ORDER BY ts_recv_ns") == [
        (T + 1, "synced", 600_000),
        (T + 4, "suspect", None),
        (T + 6, "synced", 600_000),
    ]


@pytest.mark.req("P-MD-6")
def test_a_trade_says_how_late_it_was_and_that_it_came_before(recording, tmp_path):
    recorder = recording(wire=tmp_path / "wire")
    ms = T // 1_000_000
    stated = [(1, ms), (2, ms + 5000), (3, ms + 3500), (2, ms + 5000), (4, ms - 70_000), (5, ms + 20_000)]
    for n, (number, event_ms) in enumerate(stated):
        payload = (
            f'{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{event_ms},"s":"BTCUSDT","t":{number},'
            f'"p":"100.00000000","q":"0.10000000","T":{event_ms},"m":true,"M":true}}}}'
        )
        recorder.append("binance", None, T + 5_000_000_000 + n, payload.encode())
    assert recorder.close()
    build_history(tmp_path)
    found = ask(tmp_path, "SELECT trade_id, lateness FROM raw_trade ORDER BY line")
    judged = ["on_time", "on_time", "late", "duplicate", "too_late", "future"]
    assert found == [(number, lateness) for (number, _), lateness in zip(stated, judged, strict=True)]
    # All are kept, and each trade is in the view once.
    assert ask(tmp_path, "SELECT trade_id FROM trades ORDER BY 1") == [(1,), (2,), (3,), (4,), (5,)]


def test_a_session_that_heard_nothing_is_nothing_to_build(recording, tmp_path):
    assert recording(wire=tmp_path / "wire").close()
    report = build_history(tmp_path)
    assert (report.built, report.errors) == (0, [])


def test_two_builds_at_once_are_refused(tmp_path):
    with building(tmp_path), pytest.raises(OSError, match="another process"):
        build_history(tmp_path)


def test_a_session_without_a_readable_manifest_is_an_error_and_not_the_end(built, tmp_path):
    _, session, _ = built
    history = tmp_path / "history"
    shutil.copytree(session, history / "wire" / "20200101T000000")
    (history / "wire" / "20200101T000000" / "session.json").write_text("{")
    shutil.copytree(session, history / "wire" / session.name)
    report = build_history(history)
    assert [error.partition(":")[0] for error in report.errors] == ["20200101T000000"]
    assert report.built == len(read_manifest(session).files)


def features(session):
    """Book states and features over time, from a session's lines alone."""
    ids = {one.instrument_id: one for one in GENERATED}
    books = {name: open_sync(open_codec(one.venue, GENERATED), one) for name, one in ids.items()}
    made = {
        name: (OrderFlowImbalance(SECOND, 5), QueueImbalance(5), Microprice(), VolumeDelta(SECOND), Vwap(SECOND))
        for name in ids
    }
    for event in decoded(session):
        if event.instrument_id not in ids:
            continue
        sync = books[event.instrument_id]
        flow, queue, micro, delta, vwap = made[event.instrument_id]
        match event:
            case DepthUpdate() | DepthSnapshot():
                (sync.on_update if isinstance(event, DepthUpdate) else sync.on_snapshot)(event)
                if sync.state is BookState.SYNCED:
                    top: BookTop = sync.book.to_top(5)
                    for feature in (flow, queue, micro):
                        feature.update(top)
                yield event.ts_recv_ns, sync.state, sync.book.depth_hash(50), flow.value, queue.value, micro.value
            case BookTicker():
                sync.on_ticker(event)
            case Trade():
                delta.update(event)
                vwap.update(event.price_ticks, event.qty_lots, event.ts_event_ns)
                yield event.ts_recv_ns, event.aggressor is Aggressor.BUY, delta.value, vwap.value
            case _:
                pass


@pytest.mark.req("P-MD-12")
def test_a_recording_replays_to_the_books_and_features_that_were_live(tmp_path):
    """Live: the events as the source gave them; replay: the wire logs, rotated and merged."""
    started = T + HOUR - 5 * SECOND
    session = record_generator(tmp_path, 10, started_ns=started, **SMALL)
    assert len(read_manifest(session).files) > 8
    replayed = list(features(session))
    live = tmp_path / "live"
    live.mkdir()
    spec = SourceSpec(anchor_ns=started, instruments=tuple(sorted(one.instrument_id for one in GENERATED)))
    sources = {venue: open_source(spec, venue, started) for venue in VENUES}
    prefix = {"binance": "spot", "binanceusdm": "usdm", "binancecoinm": "coinm"}
    symbols = {one.venue: one.symbol for one in GENERATED}
    for venue, source in sources.items():
        frames, now = [], started
        while True:
            frames += source.poll(now)
            if now // HOUR != started // HOUR and now - 250_000_000 < T + HOUR:
                frames.append(source.snapshot(symbols[venue], now))
            if now >= started + 10 * SECOND:
                break
            now += 250_000_000
        with WireLogWriter(live / f"{prefix[venue]}_{symbols[venue].lower()}_20261121.dat") as log:
            for one in frames:
                log.append(one.ts_recv_ns, one.payload)
    expected = list(features(live))
    assert len(replayed) > 2000
    assert Counter(map(repr, replayed)) == Counter(map(repr, expected))
    assert {state for row in replayed for state in row[1:2] if isinstance(state, BookState)} >= {BookState.SYNCED}


def copy_beginning(path, folder, count):
    """The first lines of a recorded file, as a file of ``folder``."""
    with lzma.open(path, "rb") as recorded:
        lines = list(islice(recorded, count))
    (folder / path.stem).write_bytes(b"".join(lines))
    return lines


@pytest.mark.req("P-MD-12")
@pytest.mark.recording
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}")
def test_totals_of_a_real_recording_are_those_of_its_lines(tmp_path):
    """Of the beginning of each file, if not thorough: what comes later is more of the same three kinds."""
    session = tmp_path / "recorded"
    session.mkdir()
    kinds = Counter()
    for path in (DATA / "binance" / "l2_raw" / "2024-08-08").glob("*.xz"):
        lines = copy_beginning(path, session, effort(12_000, None))
        kinds.update(re.search(rb"lastUpdateId|@depth|@bookTicker|@trade", line)[0] for line in lines)
    kinds[b"@depth"] += kinds.pop(b"lastUpdateId")
    report = build_history(tmp_path, [session])
    assert (report.built, report.lines, report.unreadable) == (3, kinds.total(), 0)
    assert kinds.total() == effort(36_000, 183_473)
    assert {kind: rows for kind, rows in report.rows.items() if kind != "bbo"} == {
        "depth": kinds[b"@depth"],
        "quote": kinds[b"@bookTicker"],
        "trade": kinds[b"@trade"],
    }
    assert ask(tmp_path, "SELECT count(*) FROM raw_gap") == [(0,)]
    last = ask(
        tmp_path,
        "SELECT instrument_id, arg_max(state, (ts_recv_ns, line)) FROM bbo GROUP BY ALL ORDER BY 1",
    )
    assert {state for _, state in last} == {"synced"}


@pytest.mark.recording
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}")
def test_a_day_boundary_makes_two_partitions_and_one_book(tmp_path):
    source = tmp_path / "recorded"
    source.mkdir()
    for path in (DATA / "binance" / "l2_raw" / "2023-04-05_funding").glob("usdm_*"):
        # Of the second day its beginning is enough: the boundary is behind it.
        copy_beginning(path, source, None if "0404" in path.name else effort(6_000, None))
    report = build_history(tmp_path, [source])
    assert report.unreadable == 0
    days = ask(tmp_path, "SELECT DISTINCT dt::VARCHAR FROM raw_depth WHERE venue = 'binanceusdm' ORDER BY 1")
    assert days == [("2023-04-04",), ("2023-04-05",)]
