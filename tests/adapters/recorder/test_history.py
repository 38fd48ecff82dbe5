"""History as SQL: views say decimals and each trade once; a query cannot write, nor reach anything but the Parquet."""

from __future__ import annotations

from decimal import Decimal

import pytest

from adapters.recorder.build import build_history
from adapters.recorder.history import VIEWS, QueryRefused, ask, open_history
from adapters.recorder.tables import Kind

from .conftest import T, copy_session, record_generator


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    record_generator(folder, 6, venues=("binance",))
    build_history(folder)
    return folder


@pytest.fixture
def connection(history):
    with open_history(history) as found:
        yield found


@pytest.mark.parametrize("name", [*VIEWS, *(f"raw_{kind.value}" for kind in Kind)])
def test_every_view_answers_whether_there_are_rows_or_not(connection, name, tmp_path):
    assert ask(connection, f"SELECT * FROM {name}", 1).columns
    with open_history(tmp_path) as empty:
        answer = ask(empty, f"SELECT * FROM {name}", 1)
        assert answer.rows == []
        assert set(answer.columns) == set(ask(connection, f"SELECT * FROM {name}", 1).columns)


def test_prices_are_exact_decimals_of_ticks(connection):
    (row,) = ask(connection, "SELECT price, price_ticks, qty, qty_lots FROM trades ORDER BY line", 1).rows
    assert row[0] == Decimal(row[1]) * Decimal("0.01")
    assert row[2] == Decimal(row[3]) * Decimal("0.00001")
    wrong = "SELECT count(*) FROM bbo WHERE bid_price <> bid_ticks::DECIMAL(18,0) / 100 OR bid_price >= ask_price"
    assert ask(connection, wrong, 1).rows == [(0,)]


def test_bars_hold_every_trade_once(connection):
    bars = ask(connection, "SELECT sum(trades), sum(volume), sum(missing), min(low), max(high) FROM bars_1m", 1).rows
    assert bars == ask(connection, "SELECT count(*), sum(qty), 0, min(price), max(price) FROM trades", 1).rows


def test_levels_of_a_depth_message_are_rows_of_their_own(connection):
    assert (
        ask(connection, "SELECT count(*) FROM depth_levels", 1).rows
        == ask(connection, "SELECT sum(len(bid_ticks) + len(ask_ticks)) FROM raw_depth", 1).rows
    )


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{history}/parquet/x.csv'",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO trades SELECT * FROM trades",
        "DROP VIEW trades",
        "ATTACH '{history}/x.db'",
        "SET threads = 1",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{history}/parquet/x.csv'",
        "SELECT 1; SELECT 2",
        "",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('{history}/wire/*/session.json')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT nonsense FROM trades",
        "SELEC",
    ],
)
def test_nothing_but_one_query_of_the_history_is_answered(history, connection, statement):
    before = sorted(history.rglob("*"))
    with pytest.raises(QueryRefused, match=r".+"):
        ask(connection, statement.format(history=history), 10)
    assert sorted(history.rglob("*")) == before


def test_rows_beyond_the_limit_are_said_to_be_there(connection):
    answer = ask(connection, "SELECT line FROM trades ORDER BY line", 3)
    assert (len(answer.rows), answer.truncated) == (3, True)
    assert not ask(connection, "SELECT 1", 1).truncated


@pytest.mark.req("P-MD-6")
def test_a_trade_that_two_recordings_heard_is_there_once_and_synthetic_ones_stay_apart(history, tmp_path):
    source = next((history / "wire").iterdir())
    record_generator(tmp_path, 6, venues=("binance",))
    record_generator(tmp_path, 6, started_ns=T, venues=("binance",))
    copies = [copy_session(source, tmp_path) for _ in range(2)]
    assert len({copy.name for copy in copies}) == 2
    assert build_history(tmp_path).errors == []
    with open_history(tmp_path) as connection:
        (counted,) = ask(connection, "SELECT count(*), count(DISTINCT trade_id) FROM raw_trade", 1).rows
        worlds = ask(connection, "SELECT world, count(*) FROM trades GROUP BY ALL ORDER BY 1", 9).rows
    assert counted[0] == 4 * counted[1]
    assert [world for world, _ in worlds] == ["real", "synthetic 20261121T150000", "synthetic 20261121T150000-001"]
    assert {count for _, count in worlds} == {counted[1]}
