"""The allow-list on disk: whole or nothing, with a trail of who did what."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from adapters import universe_store
from adapters.universe_store import UniverseBusyError, UniverseDamagedError, UniverseStore
from trading.instruments import Instrument, InstrumentKind
from trading.universe.admission import UniverseRules
from trading.universe.listing import ListedMarket, listing_of
from trading.universe.workflow import (
    ApproveMarket,
    DeleteMarket,
    DraftMarket,
    EntryStatus,
    SubmitMarket,
    Surroundings,
    UniverseChanged,
    UniverseState,
    decide,
)

T0 = 1_760_000_000_000_000_000
BTC, ETH = "OKX:SPOT:BTC-USDT", "OKX:SPOT:ETH-USDT"


def instrument(instrument_id):
    base = instrument_id.split(":")[2].split("-")[0]
    return Instrument(
        instrument_id=instrument_id,
        venue="okx",
        symbol=f"{base}-USDT",
        kind=InstrumentKind.SPOT,
        base=base,
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.1"),
        lot_size=Decimal("0.0001"),
        min_qty=Decimal("0.0001"),
        max_qty=Decimal(100),
        min_notional=Decimal(5),
    )


AROUND = Surroundings(
    listings={"okx": listing_of("okx", T0, [ListedMarket(instrument=instrument(name)) for name in (BTC, ETH)])},
    prices={BTC: Decimal(60000), ETH: Decimal(3000)},
    rules=UniverseRules(),
)


def change(store, command):
    state, said = decide(store.state, command, AROUND, T0 + store.state.revision)
    assert isinstance(said, UniverseChanged), said
    store.save(state, said)


def approve(store, market_id=BTC, actor="ann"):
    change(store, DraftMarket(instrument_id=market_id, actor=actor, note="wide book"))
    change(store, SubmitMarket(instrument_id=market_id, actor=actor))
    facts = store.state.entries[market_id].facts_hash
    change(store, ApproveMarket(instrument_id=market_id, actor=actor, facts_hash=facts))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    store = UniverseStore(tmp_path)
    approve(store)
    store.close()
    return tmp_path


def test_a_new_folder_holds_an_empty_list_without_trouble(tmp_path):
    store = UniverseStore(tmp_path / "deep" / "universe")
    assert store.state == UniverseState()
    assert store.trouble == ""
    store.close()


@pytest.mark.req("P-UNI-1")
def test_the_list_survives_its_process_with_who_did_what(stored):
    store = UniverseStore(stored)
    assert store.state.tradable == {BTC}
    assert store.state.entries[BTC].approvals[0].by == "ann"
    assert store.state.revision == 3
    rows = list(store.audit())
    assert [(row.changed.step.value, row.changed.by) for row in rows] == [
        ("draft", "ann"),
        ("submit", "ann"),
        ("approve", "ann"),
    ]
    assert [one.revision for one in store.recent] == [3, 2, 1]
    change(store, DeleteMarket(instrument_id=BTC, actor="bob", cause="thin"))
    store.close()
    again = UniverseStore(stored)
    assert again.state.entries == {}
    assert next(iter(again.recent)).cause == "thin"
    again.close()


def test_one_process_at_a_time(stored):
    store = UniverseStore(stored)
    with pytest.raises(UniverseBusyError, match="is another propdesk running"):
        UniverseStore(stored)
    store.close()
    UniverseStore(stored).close()


def damaged(folder, spoil):
    path = folder / "universe.json"
    path.write_bytes(spoil(path.read_bytes()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda _: b"",
        lambda _: b"\xff\xfe",
        lambda data: data.replace(b'"approved"', b'"draft"'),
        lambda data: data.replace(b"BTC-USDT", b"ETH-USDT"),
        lambda data: data.replace(b'"revision": 3', b'"revision": 2'),
        lambda data: data.replace(b'"schema": 1', b'"schema": 2'),
        lambda data: data.replace(b'"content"', b'"extra": 1, "content"'),
        lambda _: b'{"content": {"schema": 1, "revision": 0, "audit_head": "", "entries": {}}, "sha256": "0"}',
    ],
)
@pytest.mark.req("P-UNI-1")
def test_a_damaged_file_makes_nothing_tradable_and_says_the_mend_once(stored, spoil):
    damaged(stored, spoil)
    before = (stored / "universe.json").read_bytes()
    store = UniverseStore(stored)
    assert store.state.tradable == frozenset()
    assert "Nothing is tradable until it is mended" in store.trouble
    assert "\n" not in store.trouble
    state, said = decide(store.state, DraftMarket(instrument_id=ETH, actor="ann"), AROUND, T0)
    with pytest.raises(UniverseDamagedError):
        store.save(state, said)
    assert (stored / "universe.json").read_bytes() == before, "the evidence stays as it was found"
    store.close()


def test_a_changed_line_of_the_trail_is_found(stored):
    path = stored / "universe-audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"by":"ann"', b'"by":"bob"', 1))
    store = UniverseStore(stored)
    assert "line 1: it is not the line that was written" in store.trouble
    assert store.state.tradable == frozenset()
    store.close()


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_line_of_the_trail_is_found(stored, lost):
    path = stored / "universe-audit.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for number, line in enumerate(lines) if number != lost))
    store = UniverseStore(stored)
    # The first line alone may have gone with an older trail; what is left of the chain still leads to the list.
    assert bool(store.trouble) is (lost != 0)
    store.close()


def test_a_list_that_is_missing_beside_its_trail_is_trouble(stored):
    (stored / "universe.json").unlink()
    store = UniverseStore(stored)
    assert "missing while its audit is here" in store.trouble
    store.close()


def test_a_torn_last_line_was_never_confirmed_and_is_cut(stored):
    path = stored / "universe-audit.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    store = UniverseStore(stored)
    assert store.trouble == ""
    assert store.state.revision == 3
    assert path.read_bytes() == whole
    store.close()


def test_a_crash_between_trail_and_file_loses_nothing(stored):
    before = (stored / "universe.json").read_bytes()
    store = UniverseStore(stored)
    change(store, DraftMarket(instrument_id=ETH, actor="ann"))
    store.close()
    (stored / "universe.json").write_bytes(before)
    again = UniverseStore(stored)
    assert again.trouble == ""
    assert again.state.entries[ETH].status is EntryStatus.DRAFT
    again.close()
    assert b"ETH-USDT" in (stored / "universe.json").read_bytes()


def test_a_full_disk_leaves_list_and_trail_as_they_were(stored, monkeypatch):
    store = UniverseStore(stored)
    kept = {path.name: path.read_bytes() for path in stored.iterdir()}
    real = os.fsync
    for refusing in (1, 2):
        calls = [0]

        def refuse(fd, calls=calls, refusing=refusing):
            calls[0] += 1
            if calls[0] == refusing:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(fd)

        state, said = decide(store.state, DraftMarket(instrument_id=ETH, actor="ann"), AROUND, T0)
        with monkeypatch.context() as patch:
            patch.setattr(universe_store.os, "fsync", refuse)
            with pytest.raises(OSError, match="No space"):
                store.save(state, said)
        assert store.state.revision == 3
        assert {name: (stored / name).read_bytes() for name in kept} == kept
    change(store, DraftMarket(instrument_id=ETH, actor="ann"))
    store.close()
    again = UniverseStore(stored)
    assert again.trouble == ""
    assert again.state.revision == 4
    again.close()


def test_a_change_that_does_not_follow_is_refused(stored):
    store = UniverseStore(stored)
    _, said = decide(store.state, DraftMarket(instrument_id=ETH, actor="ann"), AROUND, T0)
    with pytest.raises(ValueError, match="does not follow"):
        store.save(UniverseState(revision=9), msgspec.structs.replace(said, revision=9))
    store.close()


def test_a_long_trail_is_rotated_the_chain_goes_on_and_old_ones_go(stored, monkeypatch):
    monkeypatch.setattr(universe_store, "AUDIT_BYTES_MAX", 1)
    store = UniverseStore(stored)
    for _ in range(12):
        change(store, DraftMarket(instrument_id=ETH, actor="ann"))
        change(store, DeleteMarket(instrument_id=ETH, actor="ann", cause="no"))
    store.close()
    kept = sorted(stored.glob("universe-audit-*.jsonl"))
    assert len(kept) == universe_store.AUDITS_KEPT
    again = UniverseStore(stored)
    assert again.trouble == ""
    assert again.state.tradable == {BTC}
    last = json.loads(kept[-1].read_text().splitlines()[-1])
    assert next(again.audit()).prev == last["hash"]
    again.close()


SAVER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_universe_store import DeleteMarket, DraftMarket, ETH, UniverseStore, change
store = UniverseStore(Path(sys.argv[1]))
while True:
    change(store, DraftMarket(instrument_id=ETH, actor="ann"))
    print(store.state.revision, flush=True)
    change(store, DeleteMarket(instrument_id=ETH, actor="ann", cause="again"))
    print(store.state.revision, flush=True)
"""


@pytest.mark.process
def test_a_killed_process_leaves_every_confirmed_change(stored):
    code = [sys.executable, "-c", SAVER, str(stored), str(Path(__file__).parent)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as saver:
        assert saver.stdout is not None
        confirmed = 0
        for _ in range(30):
            confirmed = int(saver.stdout.readline())
        saver.kill()
        confirmed = max(confirmed, *(int(line) for line in saver.stdout.read().split()), 0)
    store = UniverseStore(stored)
    assert store.trouble == ""
    assert store.state.revision in {confirmed, confirmed + 1}
    assert store.state.is_tradable(BTC)
    store.close()
