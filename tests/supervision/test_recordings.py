"""Recorded days through the whole desk: what happened then is what the desk's books say."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import pytest

from adapters.config import load_config
from adapters.wirelog import inspect_session, open_session
from supervision.replay import Line, recorded_lines, replay
from supervision.wiring import restrict

RECORDINGS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "binance" / "l2_raw"
USDM, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCE:SPOT:BTC-USDT"

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}"),
]


@lru_cache(maxsize=4)
def run(name, seconds):
    """The first seconds of a recording through the desk."""
    session = open_session(RECORDINGS / name)
    facts = inspect_session(session)
    config, left_out = restrict(load_config(overrides={"session": str((RECORDINGS / name).resolve())}), facts)
    until = facts.first_ns + int(seconds * 1e9)

    def first_lines():
        for line in recorded_lines(session):
            if type(line) is Line and line.ts_recv_ns > until:
                return
            yield line

    return replay(config, facts, first_lines(), name=name, left_out=left_out)


@pytest.mark.req("P-PNL-9", "P-SIM-1")
def test_the_funding_of_a_recorded_midnight_is_in_the_ledger_as_the_venue_paid_it():
    result = run("2023-04-05_funding", 130)
    assert result.venues["binanceusdm"]["fundings"] == len(result.funding) == 1
    assert USDM in result.funding[0]["text"]
    assert Decimal(result.pnl_detail["funding_usd"]) != 0
    assert Decimal(result.ledger_residual) == 0
    assert all(Decimal(row["ledger_difference"]) == 0 for row in result.venues.values())
    assert not result.synthetic


@pytest.mark.req("P-MD-2")
def test_recorded_books_equal_the_venues_own_best_prices():
    result = run("2023-04-05_funding", 130)
    book = result.books[USDM]
    assert (book["state"], book["gaps"], book["mismatches"]) == ("synced", 0, 0)
    assert book["compared_with_ticker"] > 50
    # The recording has no snapshot of the spot market: what cannot be proved is flagged, not invented.
    assert result.books[SPOT]["bbo_only"]
    assert result.rejected_lines == 0
    assert sum(row["rejected"] for row in result.venues.values()) == 0


@pytest.mark.req("P-UNI-2")
def test_what_a_recording_lacks_is_named():
    result = run("2023-04-05_funding", 130)
    assert any("COINM" in text for text in result.left_out)
    assert "strategy maker-coinm" in result.left_out
    assert set(result.venues) == {"binance", "binanceusdm"}


@pytest.mark.req("P-MD-7")
def test_a_clock_that_is_off_by_more_than_a_second_is_noticed_on_every_venue():
    result = run("2024-08-08", 20)
    assert {round(row["clock_skew_ms"], -2) for row in result.venues.values()} <= {-1200, -1300, -1400}
    noticed = [text for text in result.notices if text.startswith("CLOCK_SKEW")]
    assert len(noticed) >= len(result.venues)
    # It is below the limit of 2 s, so trading goes on.
    assert not any(b["code"] == "CLOCK_SKEW" for b in result.brakes)
    assert all(book["gaps"] == 0 for book in result.books.values())
    assert Decimal(result.ledger_residual) == 0
