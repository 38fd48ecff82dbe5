"""Every target for a bounded number of coverage-guided inputs, and proof that a target can fail."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE))

import fuzz_targets  # noqa: E402 - beside this file
from fuzz_mutations import mutate  # noqa: E402 - as above

from adapters.binance.codec import BinanceCodec  # noqa: E402 - as above
from adapters.binance.instruments import SPOT, USDM, instruments_of  # noqa: E402 - as above
from tests.effort import effort  # noqa: E402 - as above
from trading.market.stitch import SequenceRule  # noqa: E402 - as above

PROJECT = HERE.parents[1]
RUNS = effort(100, 1_000)
TIME_LIMIT_S = 240

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has wheels for Linux on x86-64 and Python 3.12 only"
)


def campaign(names, corpus, *options):
    command = [sys.executable, str(HERE / "campaign.py"), *names, "--corpus", str(corpus), *options]
    return subprocess.run(
        command, cwd=PROJECT, env=dict(os.environ), capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
    )


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """All targets, one after another; instrumented once, which takes longer than any of them."""
    folder = tmp_path_factory.mktemp("corpora")
    campaign(sorted(fuzz_targets.TARGETS), folder, f"-runs={RUNS}", "-seed=1")
    return folder


@needs_atheris
@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_no_input_that_coverage_leads_to_breaks_a_codec(name, fuzzed):
    said = (fuzzed / f"{name}.log").read_text()
    done_runs = re.search(r"Done (\d+) runs", said)  # it counts those of its first corpus too, mostly
    assert done_runs is not None, said[-4000:]
    assert int(done_runs[1]) >= RUNS
    assert list(fuzzed.glob("crash-*")) == [], said[-4000:]
    assert len(list((fuzzed / name).iterdir())) >= len(list(fuzz_targets.cases(name)))


@needs_atheris
def test_a_case_that_a_campaign_left_is_told_by_itself(tmp_path):
    case = tmp_path / "crash-1"
    case.write_bytes(b"{")
    command = [sys.executable, str(HERE / "campaign.py"), "okx", "--case", str(case)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Done" not in done.stderr


@pytest.mark.parametrize("name", fuzz_targets.TARGETS)
def test_every_seed_holds_by_itself(name):
    target, _ = fuzz_targets.TARGETS[name]
    for case in fuzz_targets.cases(name):
        target(case)


@pytest.mark.parametrize(
    ("name", "venue", "rule"),
    [("binance-spot", SPOT, SequenceRule.SPOT), ("binance-usdm", USDM, SequenceRule.FUTURES)],
)
def test_the_seeds_prove_books_so_that_cases_can_break_them(name, venue, rule):
    instruments = instruments_of(venue)[:1]
    calls = (
        lambda one, payload: one.decode(payload, fuzz_targets.NOW),
        lambda one, payload: one.decode_snapshot(payload, instruments[0].instrument_id, fuzz_targets.NOW),
    )
    proved = []
    for case in fuzz_targets.cases(name):
        books = fuzz_targets.Books(instruments, rule)
        fuzz_targets.Stream(lambda native: BinanceCodec(venue, instruments, native=native), books, calls).run(case)
        proved.append(books.proved)
    assert max(proved) >= 3


def test_equal_seeds_make_equal_cases_and_most_cases_differ():
    case = b"\n".join(fuzz_targets.seeds("binance"))
    made = [mutate(case, Random(n)) for n in range(50)]
    assert made == [mutate(case, Random(n)) for n in range(50)]
    assert len(set(made)) > 45


class Raising(BinanceCodec):
    """What the codec must never be."""

    def decode(self, payload, ts_recv_ns):
        if b"NaN" in payload:
            raise KeyError("a bug")
        return super().decode(payload, ts_recv_ns)


class Forgetful(BinanceCodec):
    """Reads one message differently after it refused another."""

    refused = 0

    def decode(self, payload, ts_recv_ns):
        event = super().decode(payload, ts_recv_ns + self.refused)
        self.refused += type(event).__name__ == "WireRejected"
        return event


TRADE = fuzz_targets.seeds("binance")[5]


@pytest.mark.parametrize(
    ("codec", "case", "error"),
    [(Raising, TRADE.replace(b"0.02", b"NaN"), KeyError), (Forgetful, b"{\n" + TRADE, AssertionError)],
)
def test_a_codec_that_breaks_its_word_is_found(codec, case, error):
    instruments = instruments_of(SPOT)[:1]
    calls = (lambda one, payload: one.decode(payload, fuzz_targets.NOW),)

    def stream(make):
        books = fuzz_targets.Books(instruments, SequenceRule.SPOT)
        return fuzz_targets.Stream(lambda native: make(SPOT, instruments, native=native), books, calls)

    stream(BinanceCodec).run(case)
    with pytest.raises(error):
        stream(codec).run(case)


def test_events_that_no_market_can_state_are_found():
    codec = BinanceCodec(SPOT, instruments_of(SPOT))
    trade = codec.decode(TRADE, fuzz_targets.NOW)
    fuzz_targets.believable(trade)
    for change in ({"price_ticks": 0}, {"qty_lots": -1}, {"ts_event_ns": 1_723_161_255_208}, {"trade_id": 1 << 63}):
        with pytest.raises(AssertionError):
            fuzz_targets.believable(msgspec.structs.replace(trade, **change))
    refused = codec.decode(b"{", fuzz_targets.NOW)
    with pytest.raises(AssertionError):
        fuzz_targets.told([refused, trade])
    with pytest.raises(AssertionError):
        fuzz_targets.same([trade], [msgspec.structs.replace(trade, price_ticks=1)], TRADE)
