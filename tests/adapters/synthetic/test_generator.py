"""The generator's traffic obeys the venue's rules exactly, and is the same bytes however it is asked for."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import statistics
import subprocess
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.synthetic.generator import MarketGenerator, SyntheticSession
from adapters.synthetic.ladder import interpolate, rising
from adapters.synthetic.params import GeneratorSpec

S = 1_000_000_000
EPOCH = 1_760_000_000 * S
VENUES = ("binance", "binanceusdm", "binancecoinm")
ROOT = Path(__file__).resolve().parents[3]
RECORDINGS = ROOT / ".." / "shared" / "data" / "binance" / "l2_raw"


def spec(seed=7, **changes):
    return GeneratorSpec(seed=seed, epoch_ns=EPOCH, **changes)


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e3)), min_size=1, max_size=12, unique_by=lambda knot: knot[0]),
    st.lists(st.floats(0, 2e6), max_size=40),
)
def test_a_walk_along_the_knots_says_what_a_look_at_each_place_says_to_the_last_bit(knots, places):
    knots = tuple(sorted(knots))
    walk = rising(knots)
    for x in sorted([*places, *(x for x, _ in knots)]):
        assert walk(x).hex() == interpolate(knots, x).hex()


def digest(frames):
    sha = hashlib.sha256()
    for ts_ns, payload in frames:
        sha.update(f"{ts_ns} ".encode() + payload + b"\n")
    return sha.hexdigest()


@pytest.mark.parametrize("venue", VENUES)
def test_a_book_built_by_the_venues_rules_is_the_generators_own_book(reference_book, venue):
    source = MarketGenerator(spec(), venue, EPOCH)
    flow = next(iter(source.flows.values()))
    book = reference_book(venue)
    ts_ns, symbol, body = source.snapshot()
    assert symbol == flow.market.symbol
    book.load(body)
    for _, payload in source.next_batch(ts_ns + 10 * S):
        book.apply(payload)
    for _, payload in flow.frames:  # what has happened but is still on its way
        book.apply(payload)

    tick, lot = Decimal(1) / flow.market.ticks_per_unit, Decimal(10) ** -flow.market.lot_decimals
    for side, levels in ((flow.bid, book.bids), (flow.ask, book.asks)):
        known = dict(levels)
        for ticks, lots in side.pending.items():
            known.pop(ticks * tick, None)
            if lots:
                known[ticks * tick] = lots * lot
        assert known == {ticks * tick: lots * lot for ticks, lots in side.levels.items()}
    assert set(book.kinds) == {"depth", "bookTicker", "trade"} | ({"markPrice"} if venue != "binance" else set())


@pytest.mark.parametrize("venue", VENUES)
def test_a_snapshot_taken_at_any_time_stitches_to_the_stream(reference_book, venue):
    source = MarketGenerator(spec(), venue, EPOCH)
    first = reference_book(venue)
    first.load(source.snapshot()[2])
    for k in range(1, 25):
        late = reference_book(venue)
        late.load(source.snapshot()[2])
        frames = source.next_batch(EPOCH + k * 137_000_000)
        frames += source.next_batch(EPOCH + k * 137_000_000 + 130_000_000)
        for _, payload in frames:
            first.apply(payload)
            late.apply(payload)
        assert late.previous_final == first.previous_final
        assert late.best() == first.best()
        assert (late.bids, late.asks) == (first.bids, first.asks)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**64),
    venue=st.sampled_from(VENUES),
    offset_s=st.integers(0, 3 * 86400),
    activity=st.sampled_from([0.3, 1.0, 3.0]),
    volatility=st.sampled_from([0.0, 1.0, 8.0]),
    base_price=st.sampled_from([Decimal(2500), Decimal(61800), Decimal("119000.5")]),
)
def test_no_seed_crosses_a_book_or_breaks_a_rule(
    reference_book, seed, venue, offset_s, activity, volatility, base_price
):
    world = spec(seed, activity=activity, volatility=volatility, base_price=base_price)
    source = MarketGenerator(world, venue, EPOCH + offset_s * S)
    book = reference_book(venue)
    ts_ns, _, body = source.snapshot()
    book.load(body)
    for _, payload in source.next_batch(ts_ns + 3 * S):
        book.apply(payload)
    assert book.kinds["depth"] > 10


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=30), st.sampled_from(VENUES))
def test_how_time_is_sliced_changes_no_byte(slices, venue):
    end_ns = EPOCH + 2 * S
    whole = MarketGenerator(spec(), venue, EPOCH).next_batch(end_ns)
    source, frames, now_ns = MarketGenerator(spec(), venue, EPOCH), [], EPOCH
    for ms in slices:
        now_ns = min(end_ns, now_ns + ms * 1_000_000)
        batch = source.next_batch(now_ns)
        assert all(ts_ns <= now_ns for ts_ns, _ in batch)
        source.snapshot()  # looking at the book must not disturb it
        frames += batch
    frames += source.next_batch(end_ns)
    assert digest(frames) == digest(whole)
    assert all(a[0] < b[0] for a, b in pairwise(whole))


def test_the_same_spec_gives_the_same_bytes_in_every_process():
    program = (
        "import hashlib\n"
        "from adapters.synthetic.generator import SyntheticSession\n"
        "from adapters.synthetic.params import GeneratorSpec\n"
        f"spec = GeneratorSpec(seed=7, epoch_ns={EPOCH})\n"
        "sha = hashlib.sha256()\n"
        f"for ts, venue, payload in SyntheticSession(spec, {VENUES!r}, 3.0):\n"
        "    sha.update(f'{ts} {venue} '.encode() + payload)\n"
        "print(sha.hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_another_seed_or_start_is_another_market():
    def frames(seed, start_ns):
        return digest(MarketGenerator(spec(seed), "binanceusdm", start_ns).next_batch(start_ns + S))

    assert len({frames(7, EPOCH), frames(8, EPOCH), frames(7, EPOCH + 1)}) == 3


def test_a_restart_continues_prices_and_counts_on():
    later_ns = EPOCH + 6 * S
    old = MarketGenerator(spec(), "binanceusdm", EPOCH)
    old_frames = old.next_batch(later_ns)
    new = MarketGenerator(spec(), "binanceusdm", later_ns)
    assert new.latent.price(later_ns) == old.latent.price(later_ns)
    old_tickers = [json.loads(p)["data"] for _, p in old_frames if b"bookTicker" in p]
    body = json.loads(new.snapshot()[2])
    moved_bps = (Decimal(body["bids"][0][0]) / Decimal(old_tickers[-1]["b"]) - 1) * 10_000
    assert abs(moved_bps) < 3
    assert body["lastUpdateId"] > old_tickers[-1]["u"]
    old_trades = [json.loads(p)["data"]["t"] for _, p in old_frames if b"@trade" in p]
    new_trades = [json.loads(p)["data"]["t"] for _, p in new.next_batch(later_ns + 3 * S) if b"@trade" in p]
    assert new_trades[0] > old_trades[-1]


def test_venues_move_together():
    mids = {}
    for venue in VENUES:
        series, mid = [], None
        source = MarketGenerator(spec(), venue, EPOCH)
        for second in range(1, 46):
            for _, payload in source.next_batch(EPOCH + second * S):
                if b"@bookTicker" in payload:
                    data = json.loads(payload)["data"]
                    mid = (float(data["b"]) + float(data["a"])) / 2
            series.append(mid)
        mids[venue] = [b / a - 1 for a, b in pairwise(series)]
    for a, b in (VENUES[:2], VENUES[1:], VENUES[::2]):
        assert statistics.correlation(mids[a], mids[b]) > 0.7


def test_funding_rolls_on_its_interval():
    source = MarketGenerator(spec(funding_interval_s=30), "binanceusdm", EPOCH + 5 * S)
    marks = [json.loads(p)["data"] for _, p in source.next_batch(EPOCH + 15 * S) if b"markPrice" in p]
    rolls = [(a, b) for a, b in pairwise(marks) if a["T"] != b["T"]]
    assert len(rolls) == 1
    for before, after in rolls:
        assert before["T"] % 30_000 == 0
        assert after["T"] == before["T"] + 30_000
        # As recorded on 2023-04-05, the settled time is still stated just after it has passed.
        assert 0 <= before["E"] - before["T"] < 1000
    assert all(m["T"] - m["E"] <= 30_000 for m in marks)
    assert {b["E"] - a["E"] for a, b in pairwise(marks)} == {1000}


def test_numbers_are_written_as_the_venue_writes_them():
    shapes = {
        "binance": (rb'"p":"\d+\.\d{2}000000","q":"\d+\.\d{5}000"', rb'"b":"\d+\.\d{2}000000","B":"\d+\.\d{5}000"'),
        "binanceusdm": (rb'"p":"\d+\.\d0","q":"\d+\.\d{3}"', rb'"b":"\d+\.\d0","B":"\d+\.\d{3}"'),
        "binancecoinm": (rb'"p":"\d+\.\d","q":"\d+"', rb'"b":"\d+\.\d","B":"\d+"'),
    }
    for venue, (trade, ticker) in shapes.items():
        frames = [p for _, p in MarketGenerator(spec(), venue, EPOCH).next_batch(EPOCH + 4 * S)]
        assert all(re.search(trade, p) for p in frames if b"@trade" in p)
        assert all(re.search(ticker, p) for p in frames if b"@bookTicker" in p)


@pytest.mark.recording
@pytest.mark.parametrize(
    ("venue", "name"),
    [
        ("binance", "2024-08-08/spot_btcusdt_20240808.dat.xz"),
        ("binanceusdm", "2024-08-08/usdm_btcusdt_20240808.dat.xz"),
        ("binancecoinm", "2024-08-08/coinm_btcusd_perp_20240808.dat.xz"),
        ("binanceusdm", "2023-04-05_funding/usdm_btcusdt_20230405.dat.xz"),
    ],
)
def test_messages_have_the_recorded_streams_keys_and_their_order(venue, name):
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip("the recorded market data is not beside the project")

    def shapes(payloads):
        found = {}
        for payload in payloads:
            message = json.loads(payload)
            data = message.get("data", message)
            kinds = {k: type(v).__name__ for k, v in data.items()}
            found.setdefault(message.get("stream", "snapshot"), (list(message), list(kinds.items())))
        return found

    with lzma.open(path, "rb") as lines:
        recorded = shapes(line.split(b" ", 1)[1] for line, _ in zip(lines, range(3000), strict=False))
    source = MarketGenerator(spec(), venue, EPOCH)
    synthetic = shapes([source.snapshot()[2]] + [p for _, p in source.next_batch(EPOCH + 3 * S)])
    for stream in recorded.keys() & synthetic.keys():
        assert synthetic[stream] == recorded[stream], stream
    assert len(recorded.keys() & synthetic.keys()) >= 3


def test_a_session_merges_its_venues_in_time_and_repeats():
    session = SyntheticSession(spec(), VENUES, 2.0)
    lines = list(session)
    assert session.synthetic
    assert [venue for _, venue, _ in lines[:3]] == list(VENUES)
    assert all(b"lastUpdateId" in payload for _, _, payload in lines[:3])
    assert all(a[0] <= b[0] for a, b in pairwise(lines))
    assert lines[-1][0] <= EPOCH + 2 * S
    assert lines == list(session)


def test_a_venue_without_instruments_is_refused():
    with pytest.raises(ValueError, match="no instrument of venue 'bybit'"):
        MarketGenerator(spec(), "bybit", EPOCH)
    with pytest.raises(ValueError, match="no synthetic market"):
        spec(instruments=("BINANCE:SPOT:NOPE-USDT",))
