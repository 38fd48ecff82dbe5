"""A data directory that is traded by turns inside the cells and over the wire: no journal meets the other's account."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.execution_backend import Backend
from supervision.paper_journal import LOOPBACK, SIMULATED, foreign_journal, held_way, settle_journal

FILES = ("journal.db", "journal.db-wal", "journal.db-shm", "journal.db.head")


def write(data, text):
    for name in FILES:
        (data / name).write_text(f"{text} {name}")


def holds(data, text):
    return all((data / name).exists() and (data / name).read_text() == f"{text} {name}" for name in FILES)


def test_a_new_directory_is_whoevers_comes_first(tmp_path):
    assert held_way(tmp_path) == ""
    assert settle_journal(tmp_path, LOOPBACK) == ""
    assert held_way(tmp_path) == LOOPBACK
    assert settle_journal(tmp_path, LOOPBACK) == ""


def test_each_way_finds_its_own_journal_again(tmp_path):
    settle_journal(tmp_path, SIMULATED)
    write(tmp_path, "simulated")
    said = settle_journal(tmp_path, LOOPBACK)
    assert "over the wire" in said
    assert str(tmp_path / "other" / "simulated") in said
    assert not any((tmp_path / name).exists() for name in FILES)
    write(tmp_path, "wire")
    settle_journal(tmp_path, SIMULATED)
    assert holds(tmp_path, "simulated")
    assert holds(tmp_path / "other" / "loopback", "wire")
    settle_journal(tmp_path, LOOPBACK)
    assert holds(tmp_path, "wire")


@pytest.mark.parametrize(("left", "way"), [("paper/binance.wal", SIMULATED), ("paper/binance.account", LOOPBACK)])
def test_a_directory_of_an_earlier_version_is_known_by_its_accounts(tmp_path, left, way):
    (tmp_path / left).mkdir(parents=True)
    write(tmp_path, "earlier")
    assert held_way(tmp_path) == way
    assert settle_journal(tmp_path, way) == ""
    assert holds(tmp_path, "earlier")


def test_real_accounts_are_left_alone(tmp_path):
    settle_journal(tmp_path, SIMULATED)
    write(tmp_path, "simulated")
    assert settle_journal(tmp_path, Backend.LIVE.value) == ""
    assert holds(tmp_path, "simulated")


class KilledError(Exception):
    """The process ends here."""


def interrupted(monkeypatch, after):
    """Renames work so many times, and then the process is gone."""
    left = [after]
    real = Path.replace

    def replace(self, target):
        if not left[0]:
            raise KilledError
        left[0] -= 1
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.parametrize("then", [LOOPBACK, SIMULATED])
@pytest.mark.parametrize("after", [0, 1, 3, 5, 6, 8, 10])
def test_a_kill_in_the_middle_mixes_nothing(tmp_path, monkeypatch, after, then):
    settle_journal(tmp_path, LOOPBACK)
    write(tmp_path, "wire")
    settle_journal(tmp_path, SIMULATED)
    write(tmp_path, "simulated")
    with monkeypatch.context() as patch:
        interrupted(patch, after)
        with pytest.raises(KilledError):
            settle_journal(tmp_path, LOOPBACK)
    settle_journal(tmp_path, then)
    mine, other = ("wire", "simulated") if then == LOOPBACK else ("simulated", "loopback")
    assert holds(tmp_path, mine)
    assert holds(tmp_path / "other" / other, "simulated" if then == LOOPBACK else "wire")
    assert len(list((tmp_path / "other").rglob("journal.db*"))) == len(FILES)


def test_a_journal_that_cannot_be_put_aside_is_spoken_against(tmp_path):
    assert foreign_journal(tmp_path, LOOPBACK) == ""
    settle_journal(tmp_path, SIMULATED)
    assert foreign_journal(tmp_path, SIMULATED) == foreign_journal(tmp_path, Backend.LIVE.value) == ""
    assert "inside the venues' cells" in foreign_journal(tmp_path, LOOPBACK)


def test_the_ways_are_those_of_the_backends():
    assert {SIMULATED, LOOPBACK} < {backend.value for backend in Backend}
