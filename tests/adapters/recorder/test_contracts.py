"""Contracts of recorded data: a good history keeps them all; each kind of damage is found by the one that means it."""

from __future__ import annotations

import shutil

import duckdb
import msgspec
import pytest

from adapters.recorder.build import build_history
from adapters.recorder.catalog import PARQUET, Catalog
from adapters.recorder.contracts import CONTRACTS, check_history
from adapters.recorder.manifest import sha256_of

from .conftest import T, record_generator


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    record_generator(folder, 8, venues=("binance", "binanceusdm"))
    build_history(folder)
    return folder


@pytest.fixture
def history(good, tmp_path):
    folder = tmp_path / "history"
    shutil.copytree(good, folder)
    return folder


def broken(found):
    return {verdict.contract for verdict in found.verdicts if verdict.breaches}


@pytest.mark.req("P-MD-11")
def test_a_good_history_keeps_every_contract_and_is_the_same_when_built_again(good):
    found = check_history(good, deep=True)
    assert broken(found) == set()
    assert found.kept
    checked = {verdict.contract: verdict.checked for verdict in found.verdicts}
    assert set(CONTRACTS) < set(checked)
    for contract in ("wire.sha256", "wire.totals", "parquet.sha256", "parquet.totals", "trade.range", "depth.sequence"):
        assert checked[contract] > 0
    assert checked["parquet.same_when_built_again"] == 2
    assert [path.name for path in good.iterdir() if path.name.startswith(".")] == []


def test_a_wire_log_that_was_changed_or_lost_is_found(history):
    first, second = sorted((history / "wire").rglob("*.dat.zst"))
    whole = bytearray(first.read_bytes())
    whole[len(whole) // 2] ^= 1
    first.write_bytes(whole)
    assert broken(check_history(history)) == {"wire.sha256", "wire.totals"}
    second.unlink()
    (verdict,) = [one for one in check_history(history).verdicts if one.contract == "wire.sha256"]
    assert (verdict.checked, verdict.breaches) == (2, 2)
    assert "is not there" in verdict.examples[1]


def test_a_parquet_file_that_was_changed_or_lost_is_found(history):
    path = next((history / PARQUET).rglob("kind=quote/*.parquet"))
    path.unlink()
    assert broken(check_history(history)) == {"parquet.sha256", "parquet.totals"}


@pytest.mark.parametrize("damage", ["head", "body"])
def test_a_parquet_file_that_cannot_be_read_is_found(history, damage):
    path = next((history / PARQUET).rglob("kind=quote/*.parquet"))
    whole = bytearray(path.read_bytes())
    if damage == "head":
        whole = whole[:100]
    else:
        whole[100:2000] = bytes(1900)
    path.write_bytes(whole)
    found = check_history(history)
    assert {"parquet.sha256", "parquet.readable"} <= broken(found)
    assert not found.kept


SPOILT = {
    "trade.range": ("trade", "price_ticks = CASE WHEN line % 50 = 0 THEN 0 ELSE price_ticks END"),
    "depth.levels": ("depth", "bid_lots = bid_lots[2:]"),
    "depth.sequence": (
        "depth",
        "final_id = CASE WHEN result = 'applied' THEN -final_id + 2 * 10**15 ELSE final_id END",
    ),
    "bbo.proved": ("bbo", "ask_ticks = bid_ticks"),
    "quote.range": ("quote", "bid_lots = 0"),
    "quote.order": ("quote", "ts_recv_ns = ts_recv_ns + CASE WHEN line % 9 = 0 THEN 1000000000 ELSE 0 END"),
    "mark.range": ("mark", "funding_rate = 0.5"),
}


@pytest.mark.req("P-MD-11")
@pytest.mark.parametrize("contract", SPOILT)
def test_rows_that_cannot_be_are_found_by_their_contract_and_named(history, contract):
    kind, change = SPOILT[contract]
    catalog = Catalog(history)
    for built in list(catalog.all()):
        outputs = []
        for output in built.outputs:
            path = history / PARQUET / output.path
            if output.kind == kind:
                name, _, value = change.partition(" = ")
                with duckdb.connect() as connection:
                    source = f"(SELECT * FROM read_parquet('{path}', hive_partitioning = false))"
                    columns = f"SELECT * REPLACE (({value}) AS {name}) FROM {source}"
                    connection.execute(f"COPY ({columns}) TO '{path}.new' (FORMAT parquet)")
                path.with_name(path.name + ".new").replace(path)
            outputs.append(msgspec.structs.replace(output, sha256=sha256_of(path)))
        catalog.put(msgspec.structs.replace(built, outputs=tuple(outputs)))
    found = check_history(history)
    assert broken(found) == {contract}
    (verdict,) = [one for one in found.verdicts if one.contract == contract]
    assert 0 < len(verdict.examples) <= 5
    assert verdict.examples[0].startswith("20261121T150000/binance")
    assert not found.kept


@pytest.mark.req("P-MD-11")
def test_one_trade_id_with_two_prices_is_a_breach_and_a_repetition_is_a_note(recording, tmp_path):
    print_ = (
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1795273200000,"s":"BTCUSDT","t":%d,"p":"%d.00000000",'
        b'"q":"0.10000000","T":1795273200000,"m":true,"M":true}}'
    )
    recorder = recording(wire=tmp_path / "wire")
    for n, (number, price) in enumerate([(1, 100), (1, 100), (2, 100), (3, 100), (3, 101)]):
        recorder.append("binance", None, T + n, print_ % (number, price))
    assert recorder.close()
    build_history(tmp_path)
    found = check_history(tmp_path)
    assert broken(found) == {"trade.one_id_one_trade"}
    assert "2 trades were recorded again" in found.notes


def test_lines_that_were_dropped_and_a_killed_recorder_are_notes(recording, tmp_path):
    recorder = recording(wire=tmp_path / "wire")
    recorder.append("binance", None, 5, b"{}")
    assert recorder.close()
    path = recorder.session / "session.json"
    path.write_bytes(path.read_bytes().replace(b'"ended_ns": %d' % T, b'"ended_ns": null'))
    notes = check_history(tmp_path).notes
    assert notes == (
        "20261121T150000: 1 lines were dropped while recording",
        "20261121T150000: its recorder was killed",
    )
