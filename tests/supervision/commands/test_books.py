"""`propdesk books check`: verdicts, exit codes, and errors that name file and line."""

from __future__ import annotations

import json
import lzma

import pytest

SNAPSHOT = '{"lastUpdateId":100,"bids":[["1.10","5"],["1.00","7"]],"asks":[["1.20","3"]]}'
NS = 1_723_161_256_172_216_566


def diff(first, last, bids="[]", asks="[]"):
    return (
        '{"stream":"abcusdt@depth","data":{"e":"depthUpdate","E":1723161255208,"s":"ABCUSDT",'
        f'"U":{first},"u":{last},"b":{bids},"a":{asks}}}}}'
    )


def ticker(update_id, bid_qty):
    return (
        f'{{"stream":"abcusdt@bookTicker","data":{{"u":{update_id},"s":"ABCUSDT","b":"1.10","B":"{bid_qty}",'
        '"a":"1.20","A":"3"}}'
    )


@pytest.fixture
def recorded(tmp_path):
    def write(*payloads, name="spot_abcusdt_20240808.dat"):
        text = "".join(f"{NS + number} {payload}\n" for number, payload in enumerate(payloads))
        path = tmp_path / name
        path.write_bytes(lzma.compress(text.encode()) if name.endswith(".xz") else text.encode())
        return path

    return write


WHOLE = [diff(99, 101), SNAPSHOT, diff(102, 103, bids='[["1.10","6"]]'), ticker(103, 6), diff(104, 104)]


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize("name", ["spot_abcusdt_20240808.dat", "spot_abcusdt_20240808.dat.xz"])
def test_a_proved_book_is_exit_0_and_its_facts_are_json(propdesk, recorded, name):
    path = recorded(*WHOLE, name=name)
    code, out, err = propdesk("books", "check", path, "--venue", "binance", "--json")
    assert (code, err) == (0, "")
    said = json.loads(out)
    assert (said["command"], said["done"], said["lines"], said["unreadable"]) == ("books check", True, 5, 0)
    (book,) = said["books"]
    assert (book["symbol"], book["grid"], book["tick"], book["lot"]) == ("ABCUSDT", "inferred", "0.1", "1")
    assert (book["messages"], book["applied"], book["gaps"], book["compared"], book["proved"]) == (3, 3, 0, 1, True)
    assert (book["best_bid"], book["best_ask"], book["update_id"]) == (["1.1", "6"], ["1.2", "3"], 104)
    assert len(book["top50"]) == 32


def test_people_read_the_same_facts(propdesk, recorded):
    code, out, _ = propdesk("books", "check", recorded(*WHOLE), "--venue", "binance")
    assert code == 0
    for words in (
        "ABCUSDT  SYNCED",
        "bid 1.1 x 6",
        "gaps 0",
        "compared with ticker 1",
        "grid: inferred",
        "1 of 1 books",
    ):
        assert words in out


@pytest.mark.req("P-MD-2")
@pytest.mark.parametrize(
    ("payloads", "state"),
    [
        ([*WHOLE, diff(106, 106)], "suspect"),
        ([*WHOLE[:3], ticker(103, 9)], "suspect"),
        ([diff(99, 101), diff(102, 103)], "resync"),
    ],
)
def test_a_gap_a_difference_or_no_snapshot_is_exit_1(propdesk, recorded, payloads, state):
    code, out, _ = propdesk("books", "check", recorded(*payloads), "--venue", "binance", "--json")
    assert code == 1
    assert json.loads(out)["books"][0]["state"] == state


def test_a_book_that_healed_after_a_gap_is_proved_and_one_that_differed_is_not(propdesk, recorded):
    healed = [*WHOLE, diff(106, 106), SNAPSHOT.replace("100", "106"), diff(107, 107)]
    code, out, _ = propdesk("books", "check", recorded(*healed), "--venue", "binance", "--json")
    (book,) = json.loads(out)["books"]
    assert (code, book["gaps"], book["resyncs"], book["proved"]) == (0, 1, 1, True)
    differed = [*WHOLE[:3], ticker(103, 9), SNAPSHOT.replace("100", "103"), diff(104, 104)]
    code, out, _ = propdesk("books", "check", recorded(*differed), "--venue", "binance", "--json")
    (book,) = json.loads(out)["books"]
    assert (code, book["mismatches"], book["state"], book["proved"]) == (1, 1, "synced", False)


def test_what_cannot_be_read_is_named_by_file_and_line_and_is_exit_1(propdesk, recorded):
    path = recorded(*WHOLE, '{"stream":"abcusdt@depth","data":{"e":"depthUpdate","s":"ABCUSDT"}}')
    with path.open("ab") as file:
        file.write(b"scribble\n")
    code, out, err = propdesk("books", "check", path, "--venue", "binance", "--json")
    assert code == 1
    assert json.loads(out)["unreadable"] == 2
    assert f"{path.name}:6: malformed" in err
    assert f"{path.name}:7: garbled_line: scribble" in err


def test_a_snapshot_that_names_no_symbol_is_that_of_the_only_one_or_an_error(propdesk, recorded):
    code, out, _ = propdesk("books", "check", recorded(*WHOLE, name="any.dat"), "--venue", "binance", "--json")
    assert (code, json.loads(out)["books"][0]["state"]) == (0, "synced")
    both = [*WHOLE, diff(1, 2).replace("ABC", "XYZ").replace("abc", "xyz")]
    path = recorded(*both, name="any.dat")
    code, out, err = propdesk("books", "check", path, "--venue", "binance", "--json")
    assert code == 1
    assert "any.dat:2: snapshot_without_symbol" in err
    assert [(book["mode"], book["proved"]) for book in json.loads(out)["books"]] == [("bbo", True), ("depth", False)]


def test_files_of_nothing_or_of_another_venue_are_not_called_right(propdesk, recorded):
    code, out, _ = propdesk("books", "check", recorded('{"hello":1}'), "--venue", "binance")
    assert code == 1
    assert "no book of binance in these files" in out
    assert propdesk("books", "check", recorded(*WHOLE), "--venue", "bybit")[0] == 1


def test_a_file_that_is_not_there_and_a_venue_that_is_not_known_are_exit_2(propdesk, tmp_path, recorded):
    code, _, err = propdesk("books", "check", tmp_path / "none.dat", "--venue", "binance")
    assert code == 2
    assert "none.dat" in err
    code, out, err = propdesk("books", "check", recorded(*WHOLE), "--venue", "mtgox", "--json")
    assert code == 2
    assert "binanceusdm" in err
    assert json.loads(out)["done"] is False
