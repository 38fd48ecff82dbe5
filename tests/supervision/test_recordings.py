"""Recorded days through the whole desk: what happened then is what the desk's books say."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import pytest

from adapters.config import load_config
from adapters.wirelog import inspect_session, open_session
from supervision.desk_plan import restrict
from supervision.replay import Replay, recorded_lines
from trading.orders.messages import TargetIntent, Urgency

RECORDINGS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "binance" / "l2_raw"
USDM, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCE:SPOT:BTC-USDT"

pytestmark = [
    pytest.mark.recording,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}"),
]


@lru_cache(maxsize=4)
def run(name, seconds, buy_at_s=None):
    """The first seconds of a recording through the desk; from ``buy_at_s`` on a strategy wants to hold 4 lots."""
    session = open_session(RECORDINGS / name)
    facts = inspect_session(session)
    config, left_out = restrict(load_config(overrides={"session": str((RECORDINGS / name).resolve())}), facts)
    lines = recorded_lines(session)

    def until(end_ns):
        for line in lines:
            yield line
            if line.ts_recv_ns > end_ns:
                return

    with tempfile.TemporaryDirectory() as directory:
        desk = Replay(config, facts, directory=Path(directory))
        desk.boot(facts.first_ns)
        try:
            if buy_at_s is not None:
                desk.feed(until(facts.first_ns + int(buy_at_s * 1e9)))
                desk.base.inject("arbiter", wish(facts.first_ns + int(buy_at_s * 1e9)))
            rejected = desk.feed(until(facts.first_ns + int(seconds * 1e9)))
            desk.settle()
            return desk.report(name, left_out, rejected, int(seconds * 1e9), 1.0)
        finally:
            desk.base.shutdown()


def wish(now_ns):
    return TargetIntent(
        intent_id="maker-usdm:test:1",
        strategy_id="maker-usdm",
        instrument_id=USDM,
        target_lots=4,
        urgency=Urgency.AGGRESSIVE,
        limit_ticks=None,
        confidence=1.0,
        ttl_ns=600_000_000_000,
        reasons=("a test",),
        cause="a test",
        ts_init_ns=now_ns,
    )


@pytest.mark.req("P-PNL-9", "P-SIM-1")
def test_the_funding_of_a_recorded_midnight_is_in_the_ledger_as_the_venue_paid_it():
    result = run("2023-04-05_funding", 110, 55)
    assert result.venues["binanceusdm"]["fundings"] == len(result.funding) == 1
    assert USDM in result.funding[0]["text"]
    assert Decimal(result.pnl_detail["funding_usd"]) != 0
    assert Decimal(result.ledger_residual) == 0
    assert all(Decimal(row["ledger_difference"]) == 0 for row in result.venues.values())
    assert not result.synthetic


@pytest.mark.req("P-MD-2")
def test_recorded_books_equal_the_venues_own_best_prices():
    result = run("2023-04-05_funding", 110, 55)
    book = result.books[USDM]
    assert (book["state"], book["gaps"], book["mismatches"]) == ("synced", 0, 0)
    assert book["compared_with_ticker"] > 50
    # The recording has no snapshot of the spot market: what cannot be proved is flagged, not invented.
    assert result.books[SPOT]["bbo_only"]
    assert result.rejected_lines == 0
    assert sum(row["rejected"] for row in result.venues.values()) == 0


@pytest.mark.req("P-UNI-2")
def test_what_a_recording_lacks_is_named():
    result = run("2023-04-05_funding", 110, 55)
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


@pytest.mark.req("P-PNL-9")
def test_the_desk_as_it_is_delivered_holds_something_when_that_funding_is_paid():
    result = run("2023-04-05_funding", 516)
    assert len(result.funding) == 1
    assert Decimal(result.pnl_detail["funding_usd"]) != 0
    assert Decimal(result.ledger_residual) == 0
