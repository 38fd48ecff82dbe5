"""The wire recorder: what arrived is in the files, or it is counted; a kill costs the last frame at most."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.recorder.events import DropReason, LinesDropped, RecorderMoved, RecorderState, WireFileDeleted
from adapters.recorder.manifest import is_live, read_manifest, sha256_of, write_manifest
from adapters.recorder.wire import symbol_in
from adapters.wirelog import TIMES_END_NS, WireLine, inspect_session, open_session, read_log
from trading.market.events import WireRejected

from .conftest import HOUR, T, frame, wait_until

SNAPSHOT = b'{"lastUpdateId":7,"bids":[["1.0","2"]],"asks":[]}'


def payloads(session):
    return [line.payload for line in session]


def balanced(stats):
    return stats.appended == stats.written + sum(stats.dropped.values())


@pytest.mark.req("P-MD-12")
def test_what_is_appended_is_read_back_in_order_and_the_manifest_proves_the_files(recording):
    recorder = recording()
    for n in range(5000):
        recorder.append("binance", None, T + n, frame(n))
    assert recorder.close()
    stats = recorder.stats()
    assert (stats.appended, stats.written, stats.waiting, stats.dropped) == (5000, 5000, 0, {})
    session = open_session(recorder.session)
    assert [(line.ts_recv_ns, line.payload) for line in session] == [(T + n, frame(n)) for n in range(5000)]
    assert session.rejected == 0
    manifest = read_manifest(recorder.session)
    (file,) = manifest.files
    assert file.name == "binance_btcusdt_20261121T150000.dat.zst"
    assert (file.lines, file.first_ns, file.last_ns) == (5000, T, T + 4999)
    assert file.sha256 == sha256_of(recorder.session / file.name)
    assert file.disk_bytes == (recorder.session / file.name).stat().st_size == stats.disk_bytes
    assert (manifest.synthetic, manifest.ended_ns, manifest.dropped_lines) == (True, T + 4999, 0)
    assert {one.instrument_id for one in manifest.instruments} >= {"BINANCE:SPOT:BTC-USDT"}
    assert all(one.rules_version for one in manifest.instruments)


def test_a_rest_body_lies_among_the_stream_of_its_symbol_and_the_reader_says_whose_it_is(recording):
    recorder = recording()
    recorder.append("binance", None, T, frame(0))
    recorder.append("binance", "BTCUSDT", T, SNAPSHOT)
    recorder.append("binance", None, T, frame(1))
    recorder.append("binance", None, T + 1, b'{"result":null,"id":1}')
    recorder.append("binancecoinm", None, T + 2, frame(2, "btcusd_perp"))
    recorder.append("okx", "BTC-USDT", T + 3, b'{"code":"0","msg":"","data":[{"asks":[],"bids":[]}]}')
    assert recorder.close()
    read = list(open_session(recorder.session))
    assert [(line.venue, line.symbol) for line in read] == [
        ("binance", "BTCUSDT"),
        ("binance", "BTCUSDT"),
        ("binance", "BTCUSDT"),
        ("binance", ""),
        ("binancecoinm", "BTCUSD_PERP"),
        ("okx", "BTC-USDT"),
    ]
    assert [line.payload for line in read[:3]] == [frame(0), SNAPSHOT, frame(1)]
    facts = inspect_session(open_session(recorder.session))
    assert facts.symbols == (("binance", "BTCUSDT"), ("binancecoinm", "BTCUSD_PERP"), ("okx", "BTC-USDT"))
    assert facts.with_snapshot == (("binance", "BTCUSDT"), ("okx", "BTC-USDT"))


@pytest.mark.parametrize(
    ("payload", "symbol"),
    [
        (b'{"stream":"btcusd_perp@depth@0ms","data":{}}', b"BTCUSD_PERP"),
        (b'{"e":"trade","E":1,"s":"ETHUSDT"}', b"ETHUSDT"),
        (b'{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"data":[]}', b"BTC-USDT-SWAP"),
        (b'{"topic":"orderbook.50.BTCUSDT","type":"delta"}', b"BTCUSDT"),
        (b'{"event":"subscribe"}', b""),
        (b"pong", b""),
        (b'{"stream":"', b""),
    ],
)
def test_the_symbol_of_a_message_is_found_without_decoding_it(payload, symbol):
    assert symbol_in(payload) == symbol


def test_files_rotate_with_the_hour_and_by_size_and_are_read_as_one_stream(recording):
    recorder = recording(file_bytes_max=1, frame_bytes_max=200)
    stamps = [T + n * HOUR // 100 for n in range(150)]
    for n, stamp in enumerate(stamps):
        recorder.append("binance", None, stamp, frame(n))
    assert recorder.close()
    manifest = read_manifest(recorder.session)
    assert len(manifest.files) > 20
    for file in manifest.files:
        assert file.first_ns // HOUR == file.last_ns // HOUR
    assert payloads(open_session(recorder.session)) == [frame(n) for n in range(150)]


def test_two_files_of_the_same_second_have_two_names(recording):
    recorder = recording(file_bytes_max=1, frame_bytes_max=1)
    for n in range(12):
        recorder.append("binance", None, T, frame(n))
    assert recorder.close()
    assert len({file.name for file in read_manifest(recorder.session).files}) == 12
    assert payloads(open_session(recorder.session)) == [frame(n) for n in range(12)]


def test_a_clock_that_goes_back_keeps_the_order_of_reception(recording):
    recorder = recording(file_bytes_max=1, frame_bytes_max=1)
    stamps = [T, T + 5_000_000_000, T, T + 1, T + 6_000_000_000]
    for n, stamp in enumerate(stamps):
        recorder.append("binance", None, stamp, frame(n))
    assert recorder.close()
    assert recorder.stats().written == 5
    assert [(line.ts_recv_ns, line.payload) for line in open_session(recorder.session)] == [
        (stamp, frame(n)) for n, stamp in enumerate(stamps)
    ]


def test_the_file_of_a_silent_symbol_is_closed_when_its_hour_is_over_for_all(recording):
    recorder = recording(flush_ms=20)
    recorder.append("binance", None, T, frame(0))
    recorder.append("binanceusdm", None, T + HOUR + 61_000_000_000, frame(1))
    assert wait_until(lambda: [file.venue for file in read_manifest(recorder.session).files] == ["binance"])
    assert recorder.stats().files_open == 1


def test_no_more_files_are_open_than_allowed(recording):
    recorder = recording(files_open_max=2)
    for n in range(6):
        recorder.append("okx", f"SYMBOL-{n % 3}/USDT:USDT", T + n, frame(n))
        assert recorder.stats().files_open <= 2
    assert recorder.close()
    read = list(open_session(recorder.session))
    assert [(line.symbol, line.payload) for line in read] == [(f"SYMBOL-{n % 3}/USDT:USDT", frame(n)) for n in range(6)]


def test_line_breaks_of_a_body_become_spaces_and_nonsense_is_counted(recording):
    recorder = recording()
    recorder.append("binance", "BTCUSDT", T, b'{\n "lastUpdateId": 7\n}')
    recorder.append("binance", None, T, b" \n ")
    recorder.append("binance", None, 5, frame(1))
    recorder.append("binance", None, TIMES_END_NS, frame(2))
    assert recorder.close()
    assert payloads(open_session(recorder.session)) == [b'{  "lastUpdateId": 7 }']
    stats = recorder.stats()
    assert (stats.reflowed, stats.dropped) == (2, {DropReason.UNREADABLE.value: 3})


def test_a_burst_beyond_the_queue_is_dropped_with_exact_counts_and_an_event(recording):
    recorder = recording(queue_lines_max=10)
    for n in range(20_000):
        recorder.append("binance", None, T + n, frame(n))
    assert recorder.close()
    stats = recorder.stats()
    assert stats.dropped.keys() == {DropReason.QUEUE_FULL.value}
    assert balanced(stats)
    session = open_session(recorder.session)
    kept = [line.ts_recv_ns for line in session]
    assert len(kept) == stats.written
    lost = [event for event in recorder.poll_events() if isinstance(event, LinesDropped)]
    assert sum(event.lines for event in lost) == stats.dropped[DropReason.QUEUE_FULL.value]
    assert sum(event.raw_bytes for event in lost) == stats.dropped_bytes
    missing = sorted(set(range(T, T + 20_000)) - set(kept))
    assert (missing[0], missing[-1]) == (min(e.first_ns for e in lost), max(e.last_ns for e in lost))
    manifest = read_manifest(recorder.session)
    assert manifest.dropped_lines == sum(span.lines for span in manifest.dropped) == len(missing)


def test_bytes_that_wait_are_bounded_too(recording):
    recorder = recording(queue_bytes_max=1000)
    for n in range(3000):
        recorder.append("binance", None, T + n, b'"' + b"x" * 998 + b'"')
    assert recorder.close()
    stats = recorder.stats()
    assert stats.dropped[DropReason.QUEUE_FULL.value] > 0
    assert balanced(stats)


def test_a_disk_below_its_floor_stops_the_recorder_and_not_the_caller(recording):
    recorder = recording(free_bytes_min=1 << 60, flush_ms=20)
    assert wait_until(lambda: recorder.stats().state is RecorderState.DISK_FULL)
    for n in range(100):
        recorder.append("binance", None, T + n, frame(n))
    assert wait_until(lambda: recorder.stats().waiting == 0)
    assert recorder.close()
    stats = recorder.stats()
    assert (stats.written, stats.dropped) == (0, {DropReason.DISK_FULL.value: 100})
    events = recorder.poll_events()
    moved = [event for event in events if isinstance(event, RecorderMoved)]
    assert [event.state for event in moved] == [RecorderState.DISK_FULL]
    assert sum(event.lines for event in events if isinstance(event, LinesDropped)) == 100


def test_the_oldest_files_make_room_and_the_manifests_say_so(recording, tmp_path):
    old = recording(started_ns=T - HOUR)
    old.append("binance", None, T - HOUR, b'"' + os.urandom(6000).hex().encode() + b'"')
    assert old.close()
    recorder = recording(total_bytes_max=20_000, file_bytes_max=4_000, frame_bytes_max=4_000, flush_ms=20)
    for n in range(10):
        recorder.append("binance", None, T + n, b'"' + os.urandom(3000).hex().encode() + b'"')
        assert wait_until(lambda: recorder.stats().waiting == 0)
    assert wait_until(lambda: recorder.stats().files_deleted >= 3)
    assert recorder.close()
    gone = [event.path for event in recorder.poll_events() if isinstance(event, WireFileDeleted)]
    assert gone[0].startswith(old.session.name)
    assert len(gone) < 7
    assert read_manifest(old.session).deleted == (gone[0].partition("/")[2],)
    manifest = read_manifest(recorder.session)
    assert [f"{manifest.name}/{name}" for name in manifest.deleted] == gone[1:]
    assert list(manifest.deleted) == [file.name for file in manifest.files[: len(manifest.deleted)]]
    left = manifest.files[len(manifest.deleted) :]
    assert sum(file.disk_bytes for file in left) <= 20_000
    assert [line.ts_recv_ns - T for line in open_session(recorder.session)][-1] == 9
    assert recorder.stats().dropped == {}


def test_after_close_lines_are_refused_and_counted(recording):
    recorder = recording()
    assert is_live(recorder.session)
    assert recorder.close()
    assert not is_live(recorder.session)
    recorder.append("binance", None, T, frame(0))
    stats = recorder.stats()
    assert (stats.state, stats.dropped) == (RecorderState.CLOSED, {DropReason.CLOSED.value: 1})


def test_two_recorders_of_one_second_are_two_sessions(recording):
    assert recording().session != recording().session


def test_a_manifest_of_another_format_is_refused(recording):
    recorder = recording()
    assert recorder.close()
    path = recorder.session / "session.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(ValueError, match="format 2"):
        read_manifest(recorder.session)
    path.write_bytes(b"{")
    with pytest.raises(ValueError, match=r"session\.json"):
        read_manifest(recorder.session)


@pytest.fixture
def frames(recording):
    """A closed file of twenty frames of fifty lines each, and where its frames end."""
    fifty = 50 * len(b"%d %b\n" % (T, frame(1000)))
    recorder = recording(frame_bytes_max=fifty, flush_ms=1000)
    ends = [0]
    path = recorder.session / "binance_btcusdt_20261121T150000.dat.zst"
    for turn in range(20):
        for n in range(50):
            recorder.append("binance", None, T + turn * 50 + n, frame(1000 + turn * 50 + n))
        assert wait_until(lambda turn=turn: recorder.stats().written == (turn + 1) * 50)
        ends.append(path.stat().st_size)
    assert recorder.close()
    assert recorder.stats().frames == 20
    return path, ends


def test_a_torn_tail_costs_one_frame_and_is_one_event(frames):
    path, ends = frames
    whole = path.read_bytes()
    for cut in sorted({*range(ends[17] - 3, len(whole), 7), *ends[17:]}):
        path.write_bytes(whole[:cut])
        read = list(read_log(open_session(path).files[0]))
        complete = max(n for n, end in enumerate(ends) if end <= cut)
        lines = [item for item in read if isinstance(item, WireLine)]
        assert [line.payload for line in lines] == [frame(1000 + n) for n in range(complete * 50)]
        torn = [item for item in read if isinstance(item, WireRejected)]
        assert [item.reason for item in torn] == ([] if cut in ends else ["log_ends_early"])


def test_a_changed_byte_is_found_and_what_came_before_it_is_kept(frames):
    path, ends = frames
    whole = bytearray(path.read_bytes())
    whole[(ends[10] + ends[11]) // 2] ^= 0xFF
    path.write_bytes(whole)
    read = list(read_log(open_session(path).files[0]))
    assert [type(item) for item in read] == [WireLine] * 500 + [WireRejected]


CHILD = """
import resource, sys
from pathlib import Path
from adapters.binance.instruments import instruments_of
from adapters.recorder.events import RecorderLimits
from adapters.recorder.wire import WireRecorder
limits = RecorderLimits(free_bytes_min=0, flush_ms=40, frame_bytes_max=int(sys.argv[3]))
if int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
recorder = WireRecorder(Path(sys.argv[1]), started_ns={T}, source="s", synthetic=True, software="0",
                        instruments=instruments_of("binance"), limits=limits)
n = 0
rest = int(sys.argv[4])
while n != rest:
    recorder.append("binance", None, {T} + n, b'{{"stream":"btcusdt@trade","n":%d,"x":%d}}' % (n, n * 7919 ** 5))
    n += 1
    if n % 100 == 0:
        while recorder.stats().waiting > 5000:
            pass
        print(recorder.stats().written, flush=True)
assert recorder.close()
import msgspec
print(msgspec.json.encode(recorder.stats()).decode())
"""


def child(wire, fsize, frame_bytes, count):
    words = [str(wire), str(fsize), str(frame_bytes), str(count)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD.format(T=T), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.req("P-MD-12")
@pytest.mark.process
def test_a_kill_9_loses_what_was_not_flushed_and_never_the_file(tmp_path):
    process = child(tmp_path, 0, 1 << 20, -1)
    written = 0
    while written < 2000:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        written = int(line)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (session,) = tmp_path.iterdir()
    assert not is_live(session)
    read = list(open_session(session))
    lines = [item for item in read if isinstance(item, WireLine)]
    assert len(lines) >= written
    assert [line.ts_recv_ns for line in lines] == list(range(T, T + len(lines)))
    assert len(read) - len(lines) <= 1
    assert read_manifest(session).files == ()


@pytest.mark.process
def test_a_write_that_the_disk_refuses_is_undone_and_counted_and_recording_goes_on(tmp_path):
    process = child(tmp_path, 30_000, 10_000, 20_000)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    session = next(tmp_path.iterdir())
    stats = msgspec.json.decode(out.splitlines()[-1])
    assert stats["dropped"].keys() == {DropReason.DISK_FULL.value}
    assert stats["written"] + sum(stats["dropped"].values()) == stats["appended"] == 20_000
    read = list(open_session(session))
    assert all(isinstance(item, WireLine) for item in read)
    assert len(read) == stats["written"]
    manifest = read_manifest(session)
    assert len(manifest.files) > 1
    assert all(sha256_of(session / file.name) == file.sha256 for file in manifest.files)
    assert sum(span.lines for span in manifest.dropped) == stats["dropped"][DropReason.DISK_FULL.value]


def test_a_failed_replacement_leaves_the_manifest_before(recording):
    recorder = recording()
    assert recorder.close()
    before = read_manifest(recorder.session)
    (recorder.session / f".session.json.{os.getpid()}.tmp").mkdir()
    with pytest.raises(OSError):
        write_manifest(recorder.session, before)
    assert read_manifest(recorder.session) == before


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(
        st.tuples(
            st.sampled_from(["binance", "binanceusdm"]),
            st.sampled_from([None, "BTCUSDT", "btcusdt", "X/Y:Z", "all"]),
            st.integers(-2, 2).map(lambda hours: T + hours * HOUR // 2),
            st.sampled_from([frame(1), b"pong", b'{"id":1}', b'{"a":\n1}', b"", b"\xff\xfe", frame(2, "nobody")]),
        ),
        max_size=40,
    ),
    size=st.sampled_from([1, 60, 1 << 20]),
)
def test_whatever_is_appended_is_read_back_or_counted(tmp_path_factory, recording, lines, size):
    recorder = recording(wire=tmp_path_factory.mktemp("wire"), frame_bytes_max=size, file_bytes_max=size)
    for venue, symbol, ts_ns, payload in lines:
        recorder.append(venue, symbol, ts_ns, payload)
    assert recorder.close()
    stats = recorder.stats()
    kept = [line for line in lines if line[3]]
    assert (stats.written, stats.dropped) == (len(kept), {"unreadable": n} if (n := len(lines) - len(kept)) else {})
    if not kept:
        return
    read = list(open_session(recorder.session))
    expected = [(ts_ns, venue, payload.replace(b"\n", b" ")) for venue, _, ts_ns, payload in kept]
    assert sorted((line.ts_recv_ns, line.venue, line.payload) for line in read) == sorted(expected)
    # Within one file order is that of arrival.
    for venue, symbol in {(line[0], line[1].upper()) for line in kept if line[1]}:
        mine = [(one[2], one[3].replace(b"\n", b" ")) for one in kept if one[:1] == (venue,) and file_of(one) == symbol]
        there = [
            (item.ts_recv_ns, item.payload)
            for log in sorted(open_session(recorder.session).files, key=lambda log: log.path.name.partition(".dat")[0])
            if (log.venue, log.symbol) == (venue, symbol)
            for item in read_log(log)
        ]
        assert mine == there


def file_of(line):
    _, symbol, _, payload = line
    if symbol is None:
        return "BTCUSDT" if b"btcusdt" in payload else ""
    return symbol.upper()


def test_appending_costs_the_caller_little(recording):
    recorder = recording(flush_ms=20)
    payload = frame(1) * 8
    kept = []

    def best(append):
        """The fastest of 40 rounds, in which this thread was left alone at least once."""
        found = 1.0
        for _ in range(40):
            assert wait_until(lambda: recorder.stats().waiting == 0)
            began = time.perf_counter()
            for n in range(500):
                append("binance", None, T + n, payload)
            found = min(found, time.perf_counter() - began)
        return found

    # Against what any call costs that keeps its arguments: the machine, and its day, count alike for both.
    assert best(recorder.append) < 15 * best(lambda *line: kept.append(line))
