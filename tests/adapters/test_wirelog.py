"""Recordings: files merge by time, damage is one event and not the end, what is written is read back."""

from __future__ import annotations

import gzip
import lzma

import pytest
import zstandard

from adapters.wirelog import (
    WireLine,
    WireLogWriter,
    inspect_session,
    is_snapshot,
    log_file,
    open_session,
    read_lines,
    rotated_name,
)
from trading.market.events import WireRejected

T = 1_723_161_255_000_000_000


def lines(*stamps, text=b"x"):
    return b"".join(b'%d {"%s":%d}\n' % (stamp, text, n) for n, stamp in enumerate(stamps))


def test_a_session_merges_its_files_by_time_and_ties_by_file_order(tmp_path):
    (tmp_path / "usdm_btcusdt_20240808.dat").write_bytes(lines(T, T + 2, T + 2, text=b"u"))
    with lzma.open(tmp_path / "spot_btcusdt_20240808.dat.xz", "wb") as file:
        file.write(lines(T + 1, T + 2, text=b"s"))
    with gzip.open(tmp_path / "coinm_btcusd_perp_20240808.dat.gz", "wb") as file:
        file.write(lines(T + 2, text=b"c"))
    (tmp_path / "notes.txt").write_text("not a log")
    session = open_session(tmp_path)
    read = list(session)
    assert [(line.ts_recv_ns - T, line.venue, line.symbol, line.payload) for line in read] == [
        (0, "binanceusdm", "BTCUSDT", b'{"u":0}'),
        (1, "binance", "BTCUSDT", b'{"s":0}'),
        (2, "binancecoinm", "BTCUSD_PERP", b'{"c":0}'),
        (2, "binance", "BTCUSDT", b'{"s":1}'),
        (2, "binanceusdm", "BTCUSDT", b'{"u":1}'),
        (2, "binanceusdm", "BTCUSDT", b'{"u":2}'),
    ]
    assert (session.lines, session.rejected) == (6, 0)
    assert list(session) == read


@pytest.mark.parametrize(
    ("manifest", "synthetic"),
    [(b'{"synthetic": true}', True), (b'{"synthetic": false}', False), (b"{", False), (None, False)],
)
def test_a_recording_of_a_synthetic_market_stays_synthetic(tmp_path, manifest, synthetic):
    (tmp_path / "spot_btcusdt_20240808.dat").write_bytes(lines(T))
    if manifest is not None:
        (tmp_path / "session.json").write_bytes(manifest)
    assert inspect_session(open_session(tmp_path)).synthetic is synthetic


def test_microseconds_are_read_as_nanoseconds(tmp_path):
    path = tmp_path / "spot_btcusdt_20230405.dat"
    path.write_bytes(b'1680652800004107 {"a":1}\n')
    (line,) = open_session(path)
    assert line.ts_recv_ns == 1680652800004107_000


@pytest.mark.parametrize(
    "bad", [b"garbage", b"123 {}", b"x" * 19 + b" {}", b"1680652800004107", b"\xff\xfe\x00", b"9" * 19 + b" {}"]
)
def test_a_garbled_line_is_one_event_and_the_reading_goes_on(tmp_path, bad):
    path = tmp_path / "spot_btcusdt_20230405.dat"
    path.write_bytes(lines(T) + bad + b"\n" + lines(T + 5))
    session = open_session(path)
    first, rejected, last = session
    assert isinstance(rejected, WireRejected)
    assert rejected.reason == "garbled_line"
    assert rejected.excerpt.startswith("spot_btcusdt_20230405.dat:2:")
    assert rejected.ts_recv_ns == first.ts_recv_ns == T
    assert last.ts_recv_ns == T + 5
    assert (session.lines, session.rejected) == (2, 1)


@pytest.mark.parametrize(("suffix", "opener"), [("xz", lzma.open), ("gz", gzip.open)])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_truncated_or_broken_archive_ends_with_one_event_and_never_raises(tmp_path, suffix, opener, damage):
    path = tmp_path / f"spot_btcusdt_20240808.dat.{suffix}"
    with opener(path, "wb") as file:
        file.write(b"".join(lines(T + n, text=b"%d" % (n * n * 7919)) for n in range(20_000)))
    whole = path.read_bytes()
    half = len(whole) // 2
    flipped = whole[:half] + bytes(b ^ 255 for b in whole[half : half + 50]) + whole[half + 50 :]
    path.write_bytes({"cut": whole[:half], "flip": flipped, "empty": whole[:6]}[damage])
    session = open_session(path)
    read = list(session)
    assert session.rejected >= 1
    ended = read[-1]
    assert isinstance(ended, WireRejected)
    assert ended.reason == "log_ends_early"
    assert f"{path.name}:{len(read)}:" in ended.excerpt
    if damage == "cut":
        assert session.lines > 0
        assert session.rejected <= 2


def test_one_broken_file_does_not_stop_the_others(tmp_path):
    (tmp_path / "spot_btcusdt_20240808.dat.xz").write_bytes(b"this is not xz")
    (tmp_path / "usdm_btcusdt_20240808.dat").write_bytes(lines(T, T + 1))
    session = open_session(tmp_path)
    assert [type(item) for item in session] == [WireRejected, WireLine, WireLine]


def test_a_name_that_says_no_market_or_a_folder_without_logs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no wire log"):
        open_session(tmp_path)
    path = tmp_path / "okx_btcusdt_20240808.dat"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="okx_btcusdt"):
        open_session(path)


@pytest.mark.parametrize("name", ["spot_btcusdt_20240808.dat.gz", "spot_btcusdt_20240808.dat"])
def test_what_is_written_is_read_back_and_a_log_can_be_appended_to(tmp_path, name):
    path = tmp_path / name
    for start in (0, 2):
        with WireLogWriter(path) as log:
            log.append(T + start, b'{"a":1}')
            log.append(T + start + 1, b'{"b":2}')
            assert log.lines == 2
    assert [(line.ts_recv_ns - T, line.payload) for line in open_session(path)] == [
        (0, b'{"a":1}'),
        (1, b'{"b":2}'),
        (2, b'{"a":1}'),
        (3, b'{"b":2}'),
    ]


def test_the_writer_refuses_what_could_not_be_read_back(tmp_path):
    with WireLogWriter(tmp_path / "spot_btcusdt_20240808.dat") as log:
        for stamp, payload in ((T, b"a\nb"), (T, b""), (5, b"{}")):
            with pytest.raises(ValueError):
                log.append(stamp, payload)


def zstd(*frames):
    return b"".join(zstandard.ZstdCompressor(write_checksum=True).compress(frame) for frame in frames)


def test_frames_of_zstd_are_one_text(tmp_path):
    path = tmp_path / "spot_btcusdt_20240808.dat.zst"
    path.write_bytes(zstd(lines(T), lines(T + 1, T + 2), b"", lines(T + 3)))
    assert [line.ts_recv_ns - T for line in open_session(path)] == [0, 1, 2, 3]


def test_a_frame_that_is_not_the_recorders_is_read_though_it_is_long(tmp_path):
    path = tmp_path / "spot_btcusdt_20240808.dat.zst"
    line = b"%d " % T + b"x" * 1000 + b"\n"
    path.write_bytes(zstd(line * 50_000))
    session = open_session(path)
    assert sum(1 for _ in session) == 50_000
    path.write_bytes(path.read_bytes()[:-100])
    assert sum(1 for _ in session) > 30_000
    assert session.rejected >= 1


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "tail"])
def test_a_damaged_zstd_log_ends_with_one_event(tmp_path, damage):
    path = tmp_path / "spot_btcusdt_20240808.dat.zst"
    first, second = zstd(lines(*range(T, T + 500))), zstd(lines(*range(T + 500, T + 1000)))
    flipped = bytearray(second)
    flipped[len(second) // 2] ^= 255
    path.write_bytes(
        {"cut": first + second[:-9], "flip": first + flipped, "empty": b"", "tail": first + b"garbage"}[damage]
    )
    session = open_session(path)
    read = list(session)
    assert session.lines == (0 if damage == "empty" else 500)
    assert [item.reason for item in read if not isinstance(item, WireLine)] == ["log_ends_early"] * (damage != "empty")


def test_rotated_names_say_venue_and_symbol_and_are_read_in_their_order(tmp_path):
    names = [
        rotated_name("okx", "BTC-USDT-SWAP", "20240808T235959"),
        rotated_name("okx", "BTC-USDT-SWAP", "20240808T235959-0001"),
        rotated_name("okx", "BTC-USDT-SWAP", "20240808T235959-0010"),
        rotated_name("okx", "BTC-USDT-SWAP", "20240809T000000"),
        rotated_name("gateio", "BTC/USDT:USDT", "20240809T000000"),
        rotated_name("okx", "", "20240809T000000"),
    ]
    assert names[0] == "okx_btc-usdt-swap_20240808T235959.dat.zst"
    assert names[-1] == "okx_all_20240809T000000.dat.zst"
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(zstd(lines(T + number)))
    read = list(open_session(tmp_path))
    assert [line.ts_recv_ns - T for line in read] == [0, 1, 2, 3, 4, 5]
    assert [(line.venue, line.symbol) for line in read[3:]] == [
        ("okx", "BTC-USDT-SWAP"),
        ("gateio", "BTC/USDT:USDT"),
        ("okx", ""),
    ]


def test_a_folder_of_sessions_is_all_of_them_merged(tmp_path):
    for session, venue, stamps in (("a", "okx", (T, T + 3)), ("b", "okx", (T + 1, T + 4)), ("c", "bybit", (T + 2,))):
        folder = tmp_path / session
        folder.mkdir()
        (folder / "session.json").write_text("{}")
        for number, stamp in enumerate(stamps):
            (folder / rotated_name(venue, "BTC", f"20240809T00000{number}")).write_bytes(zstd(lines(stamp)))
    (tmp_path / "notes").mkdir()
    read = list(open_session(tmp_path))
    assert [line.ts_recv_ns - T for line in read] == [0, 1, 2, 3, 4]
    assert [line.venue for line in read] == ["okx", "okx", "bybit", "okx", "okx"]


def test_a_note_that_is_cut_is_not_left_out_in_silence(tmp_path):
    path = tmp_path / rotated_name("okx", "", "20240809T000000")
    path.write_bytes(zstd(b'%d {"propdesk":"con\n' % T + lines(T + 1)))
    cut, message = open_session(path)
    assert cut.payload == b'{"propdesk":"con'
    assert message.ts_recv_ns == T + 1


def test_notes_of_the_recorder_are_no_messages_and_keep_the_count_of_lines(tmp_path):
    path = tmp_path / rotated_name("okx", "", "20240809T000000")
    note = b'%d {"propdesk":"connected","connection":"public","view":"a"}\n' % T
    path.write_bytes(zstd(note + lines(T + 1) + note + b"scribble\n"))
    message, rejected = open_session(path)
    assert message.ts_recv_ns == T + 1
    assert rejected.excerpt.startswith(f"{path.name}:4:")
    assert len(list(read_lines(log_file(path)))) == 4


@pytest.mark.parametrize(
    ("payload", "snapshot"),
    [
        (b'{"lastUpdateId":7,"bids":[],"asks":[]}', True),
        (b'{"code":"0","msg":"","data":[{"asks":[["1","2","0","1"]],"bids":[]}]}', True),
        (b'{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","a":[["1","2"]],"b":[]}}', True),
        (b'{"code":"0","msg":"","data":[{"instId":"BTC-USDT","fundingRate":"0.0001"}]}', False),
        (b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[]}}', False),
        (b'{"stream":"btcusdt@depth","data":{"lastUpdateId":7}}', False),
        (b'{"topic":"orderbook.50.BTCUSDT","type":"snapshot","data":{"s":"BTCUSDT","b":[]}}', False),
        (b'{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[{"asks":[]}]}', False),
    ],
)
def test_a_rest_book_is_told_from_everything_else(payload, snapshot):
    assert is_snapshot(payload) is snapshot
