"""Recordings: files merge by time, damage is one event and not the end, what is written is read back."""

from __future__ import annotations

import gzip
import lzma

import pytest

from adapters.wirelog import WireLine, WireLogWriter, open_session
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


def test_microseconds_are_read_as_nanoseconds(tmp_path):
    path = tmp_path / "spot_btcusdt_20230405.dat"
    path.write_bytes(b'1680652800004107 {"a":1}\n')
    (line,) = open_session(path)
    assert line.ts_recv_ns == 1680652800004107_000


@pytest.mark.parametrize("bad", [b"garbage", b"123 {}", b"x" * 19 + b" {}", b"1680652800004107", b"\xff\xfe\x00"])
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
