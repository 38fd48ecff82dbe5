"""`propdesk data`: what a history holds, builds, answers and promises; exit codes, JSON, CSV and tables."""

from __future__ import annotations

import csv
import io
import json
import shutil

import pytest

from supervision.commands.data import main
from supervision.commands.record import main as record


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    assert record(["--out", str(folder), "--seconds", "8", "--virtual", "--venue", "binance"]) == 0
    assert main(["--history", str(folder), "build"]) == 0
    return folder


@pytest.fixture
def data(recorded, capsys):
    """Runs the command on a history; (exit code, stdout, stderr)."""

    def run(*words, history=recorded, flags=()):
        code = main([*flags, "--history", str(history), *[str(word) for word in words]])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def copied(recorded, tmp_path):
    folder = tmp_path / "history"
    shutil.copytree(recorded, folder)
    return folder


def test_ls_names_sessions_and_partitions_with_their_counts(data):
    code, out, _ = data("ls", flags=["--json"])
    said = json.loads(out)
    assert (code, said["command"], said["done"]) == (0, "data ls", True)
    (session,) = said["sessions"]
    assert (session["synthetic"], session["live"], session["dropped_lines"], session["venues"]) == (
        True,
        False,
        0,
        ["binance"],
    )
    assert session["built"] == session["files"] == 1
    rows = {one["kind"]: one["rows"] for one in said["partitions"]}
    assert rows["trade"] + rows["depth"] + rows["quote"] == session["lines"]
    _, out, _ = data("ls")
    assert "SYNTHETIC" in out
    assert f"{rows['quote']:,}" in out


def test_build_says_what_it_did_and_does_it_once(data, copied):
    code, out, _ = data("build", history=copied, flags=["--json"])
    said = json.loads(out)
    assert (code, said["built"], said["unchanged"]) == (0, 0, 1)
    shutil.rmtree(copied / "parquet")
    shutil.rmtree(copied / "built")
    code, out, _ = data("build", history=copied)
    assert code == 0
    assert out.startswith("built 1 wire logs:")
    assert data("check", history=copied)[0] == 0


def test_build_takes_recordings_from_anywhere(data, recorded, tmp_path):
    session = next((recorded / "wire").iterdir())
    code, out, _ = data("build", session, history=tmp_path / "other", flags=["--json"])
    assert (code, json.loads(out)["built"]) == (0, 1)
    code, _, err = data("build", tmp_path / "nothing", history=tmp_path / "other")
    assert code == 2
    assert "no such recording" in err


def test_sql_answers_people_programs_and_spreadsheets(data):
    query = "SELECT venue, count(*) AS n, max(price) AS top FROM trades GROUP BY ALL"
    code, out, _ = data("sql", query, flags=["--json"])
    said = json.loads(out)
    assert (code, said["columns"], said["truncated"]) == (0, ["venue", "n", "top"], False)
    ((venue, count, top),) = said["rows"]
    assert venue == "binance"
    assert isinstance(top, str)  # decimals are texts: no digit is lost
    code, out, _ = data("sql", query, "--csv")
    assert list(csv.reader(io.StringIO(out))) == [["venue", "n", "top"], ["binance", str(count), top]]
    code, out, _ = data("sql", query)
    assert out.splitlines()[0].split() == ["venue", "n", "top"]
    assert f"{count:,}" in out


def test_sql_says_when_there_is_more(data):
    code, out, err = data("sql", "SELECT line FROM trades", "--limit", 2, flags=["--json"])
    assert (code, len(json.loads(out)["rows"]), json.loads(out)["truncated"]) == (0, 2, True)
    assert "more than 2 rows" in err


@pytest.mark.parametrize(
    "query", ["DROP VIEW trades", "SELECT * FROM read_text('/etc/passwd')", "SELECT x FROM trades"]
)
def test_sql_that_is_refused_is_exit_2_with_a_reason(data, query):
    code, out, err = data("sql", query, flags=["--json"])
    assert code == 2
    assert json.loads(out)["done"] is False
    assert err.startswith("propdesk data: ")


def test_check_is_exit_1_where_a_contract_is_broken(data, copied):
    code, out, _ = data("check", flags=["--json"])
    said = json.loads(out)
    assert (code, said["done"]) == (0, True)
    assert {one["contract"] for one in said["verdicts"]} > {"wire.sha256", "parquet.totals", "trade.unique"}
    next((copied / "wire").rglob("*.dat.zst")).unlink()
    code, out, _ = data("check", history=copied)
    assert code == 1
    assert "BROKEN" in out
    assert data("check", "--deep")[0] == 0


def test_backfill_writes_the_report_and_its_twin_and_leaves_a_whole_history_alone(data, copied):
    code, out, _ = data("backfill", history=copied)
    assert code == 0
    assert "0 holes" in out
    report, twin = copied / "reports" / "gaps_filled.md", copied / "reports" / "gaps_filled.json"
    before = report.read_bytes(), twin.read_bytes()
    assert json.loads(before[1])["records"] == []
    assert data("backfill", "--from", next((copied / "wire").iterdir()), history=copied)[0] == 0
    assert (report.read_bytes(), twin.read_bytes()) == before


def test_what_holds_for_every_action_stands_before_it_or_after_it(recorded, capsys):
    for words in (["--json", "--history", recorded, "ls"], ["ls", "--history", recorded, "--json"]):
        assert main([str(word) for word in words]) == 0
        assert json.loads(capsys.readouterr().out)["history"] == str(recorded)


def test_a_history_that_is_not_there_is_exit_2(data, tmp_path):
    for action in (["ls"], ["check"], ["backfill"], ["sql", "SELECT 1"]):
        code, _, err = data(*action, history=tmp_path / "nothing")
        assert code == 2
        assert "no such history" in err
