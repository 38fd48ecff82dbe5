"""Recorded traffic in its spellings: the same items from each, and what cannot be read is named by file and line."""

from __future__ import annotations

import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.recordings import Kind, Recorded, Unreadable, read_recording, read_recordings

NOW = 1_723_161_256_172_216_566


def wrote(path, text):
    path.write_bytes(text)
    return path


@pytest.mark.parametrize(
    ("line", "ts_ns"),
    [
        (b'1723161256172216566 {"u":1}', NOW),
        (b'1723161256172216 {"u":1}', NOW // 1000 * 1000),
        (b'1723161256.1722165: {"u":1}', NOW // 100 * 100),
        (b'1723161256: {"u":1}', 1_723_161_256_000_000_000),
        (b'{"u":1}', 0),
    ],
)
def test_a_received_message_with_its_time_in_five_spellings(tmp_path, line, ts_ns):
    path = wrote(tmp_path / "a.dat", line + b"\n")
    assert list(read_recording(path)) == [Recorded(ts_ns, Kind.RECEIVED, "", b'{"u":1}', path, 1)]


def test_what_was_connected_sent_and_fetched_is_told_from_what_was_received(tmp_path):
    path = wrote(
        tmp_path / "a.txt",
        b'configuration: {"x":1}\nwss://a/b <-> 1723161256.1\nwss://a/b <- 1723161256.2: {"op":"x"}\n\n'
        b'https://a/depth?symbol=B -> 1723161256.3: {"lastUpdateId":1}\n1723161256.4: {"e":"x"}\n',
    )
    items = list(read_recording(path))
    assert [(item.kind, item.url, item.payload, item.line) for item in items] == [
        (Kind.CONNECTED, "wss://a/b", b"", 2),
        (Kind.SENT, "wss://a/b", b'{"op":"x"}', 3),
        (Kind.FETCHED, "https://a/depth?symbol=B", b'{"lastUpdateId":1}', 5),
        (Kind.RECEIVED, "", b'{"e":"x"}', 6),
    ]
    assert items[3].where == "a.txt:6"


def test_files_are_read_as_one_in_order_of_time_whatever_compresses_them(tmp_path):
    plain = wrote(tmp_path / "a.dat", b"1723161256172216 1\n1723161256172218 3\n")
    packed = wrote(tmp_path / "b.dat.xz", lzma.compress(b"1723161256172217 2\n"))
    zipped = wrote(tmp_path / "c.dat.gz", gzip.compress(b"1723161256172219 4\n"))
    assert [item.payload for item in read_recordings([zipped, packed, plain])] == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"12345 {}",
        b"1723161256172216",
        b"x://y => 1723161256.1: {}",
        b"x://y -> soon: {}",
        b"x://y -> 1723161256.1:",
    ],
)
def test_a_garbled_line_is_named_and_the_lines_around_it_are_read(tmp_path, line):
    path = wrote(tmp_path / "a.dat", b"1723161256172216 1\n" + line + b"\n1723161256172217 2\n")
    first, bad, last = read_recording(path)
    assert (first.payload, last.payload) == (b"1", b"2")
    assert isinstance(bad, Unreadable)
    assert (bad.where, bad.reason) == ("a.dat:2", "garbled_line")


def test_a_file_that_ends_early_is_read_as_far_as_it_goes(tmp_path):
    whole = lzma.compress(b"".join(b"17231612561%05d {%d}\n" % (n, n * n * 7919) for n in range(5000)))
    items = list(read_recording(wrote(tmp_path / "a.dat.xz", whole[: len(whole) * 3 // 4])))
    assert items[-1].reason == "file_ends_early"
    assert all(isinstance(item, Recorded) for item in items[:-1])
    (not_xz,) = read_recording(wrote(tmp_path / "b.dat.xz", b"plain text"))
    assert not_xz.reason == "file_ends_early"


@given(st.binary(max_size=300))
def test_no_bytes_make_a_reader_raise_and_every_line_is_one_item(tmp_path_factory, payload):
    path = wrote(tmp_path_factory.mktemp("r") / "a.dat", payload)
    items = list(read_recording(path))
    lines = [line for line in payload.split(b"\n") if line.strip() and not line.strip().startswith(b"configuration: ")]
    assert len(items) == len(lines)
