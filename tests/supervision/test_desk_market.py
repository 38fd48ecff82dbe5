"""Trouble in the wire, felt by the whole desk: gaps, silence and rubbish stop what they touch and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from actors.messages import DrillFault
from trading.brakes import Level
from trading.market.events import BookState

USDM, COINM, SPOT = "BINANCEUSDM:PERP:BTC-USDT:LINEAR", "BINANCECOINM:PERP:BTC-USD:INVERSE", "BINANCE:SPOT:BTC-USDT"
RUBBISH = (
    b"",
    b"\x00\xff\xfe",
    b"{",
    b"[]",
    b"null",
    b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate"}}',
    b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"NaN","q":"1","m":true}}',
    b'{"stream":"xxxusdt@trade","data":{"e":"trade","E":1,"T":1,"s":"XXXUSDT","t":1,"p":"1","q":"1","m":true}}',
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"0","i":"1","r":"0","T":1}}',
    b'{"error":{"code":-1003,"msg":"Way too many requests"}}',
    b'{"stream":"' + b"x" * 100_000,
)


def lose_one_depth_frame(venue):
    """Drops the first depth diff of a venue that it meets."""
    lost = []

    def change(line):
        if not lost and line.venue == venue and b'"depthUpdate"' in line.payload:
            lost.append(line)
            return None
        return line

    return change


@pytest.mark.req("P-MD-2", "P-MD-3")
def test_a_lost_diff_stops_its_symbol_until_a_snapshot_and_no_other(virtual_desk, book_at):
    desk = virtual_desk(20)
    desk.run_until(9)
    assert desk.sent_between(5, 9, "binanceusdm")
    resting = set(desk.open_at_venues())
    desk.run_until(12, lose_one_depth_frame("binanceusdm"))
    assert desk.book(USDM).state is BookState.SUSPECT
    assert desk.book(USDM).wants_snapshot
    assert desk.book(COINM).state is desk.book(SPOT).state is BookState.SYNCED
    assert desk.sent_between(9.6, 12, "binanceusdm") == []
    assert len(desk.sent_between(9.6, 12, "binancecoinm")) >= 2
    # Quotes made on the broken book are pulled.
    assert resting
    assert desk.sim("binanceusdm").state_now(0, "test", 0).open_orders == ()
    desk.snapshot(USDM, book_at(USDM, 12))
    desk.run_until(16)
    assert desk.book(USDM).state is BookState.SYNCED
    assert desk.book(USDM).counters.gaps == 1
    assert len(desk.sent_between(12, 16, "binanceusdm")) >= 2
    desk.run_until(20)
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-MD-2")
def test_an_old_snapshot_does_not_vouch_for_a_broken_book(virtual_desk, book_at):
    desk = virtual_desk(20)
    desk.run_until(9)
    desk.run_until(11, lose_one_depth_frame("binanceusdm"))
    desk.snapshot(USDM, book_at(USDM, 6))
    desk.run_until(13)
    assert desk.book(USDM).state is not BookState.SYNCED
    assert desk.sent_between(9.6, 13, "binanceusdm") == []


@pytest.mark.req("P-MD-3", "P-MD-8")
def test_a_silent_stream_holds_its_symbol_and_the_hold_goes_with_the_silence(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(9)
    waiting = []

    def withhold(line):
        if line.venue == "binanceusdm":
            waiting.append(line)
            return None
        return line

    desk.run_until(11.5, withhold)
    brake = desk.brakes()["STREAM_STALE", f"symbol:{USDM}"]
    assert (brake.level, "1200" in brake.cause) == (Level.HOLD, True)
    # The book itself was never in doubt: it is its age that forbids to trade on it.
    assert desk.book(USDM).state is BookState.SYNCED
    assert desk.sent_between(10.3, 11.5, "binanceusdm") == []
    assert len(desk.sent_between(9.5, 11.5, "binancecoinm")) >= 2
    assert not any(scope == f"symbol:{COINM}" for _, scope in desk.brakes())
    desk.feed([msgspec.structs.replace(line, ts_recv_ns=desk.at(11.5)) for line in waiting])
    desk.run_until(20)
    assert ("STREAM_STALE", f"symbol:{USDM}") not in desk.brakes()
    # What a brake refused rests 5 s before it is tried again.
    assert len(desk.sent_between(11.5, 20, "binanceusdm")) >= 2
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-MD-3", "P-ORD-8")
def test_a_post_only_order_is_not_sent_on_a_book_older_than_its_limit(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(9)
    desk.run_until(11, lambda line: None if line.venue == "binancecoinm" else line)
    limit_s = desk.config.execution.post_only.staleness_ms / 1_000
    assert desk.sent_between(9 + limit_s + 0.05, 11, "binancecoinm") == []


@pytest.mark.req("P-MD-2")
def test_rubbish_in_the_wire_is_counted_reported_and_survived(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(8)
    for payload in RUBBISH:
        desk.frame("binanceusdm", payload)
    desk.snapshot(USDM, b'{"lastUpdateId": "soon"}')
    desk.snapshot(USDM, b"<html>502 Bad Gateway</html>")
    connector = desk.base.actor("connector.binanceusdm")
    assert connector.rejected == len(RUBBISH) + 2
    told = desk.events("WIRE_REJECTED")
    # Enough to see what is going on, not so much that rubbish becomes the operators' load.
    assert 1 <= len(told) <= 5
    assert all(len(text) < 500 for _, text in told)
    desk.run_until(12)
    assert desk.book(USDM).state is BookState.SYNCED
    assert len(desk.sent_between(8, 12, "binanceusdm")) >= 2
    assert desk.base.stats()["failures"] == 0
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-MD-8")
def test_a_book_far_from_its_mark_holds_its_symbol_until_they_agree_again(virtual_desk):
    desk = virtual_desk(20)
    desk.run_until(9)

    def far(line):
        payload = line.payload
        if line.venue != "binanceusdm" or b'"markPriceUpdate"' not in payload:
            return line
        start = payload.index(b'"p":"') + len(b'"p":"')
        return msgspec.structs.replace(line, payload=payload[:start] + b"7" + payload[start + 1 :])

    desk.run_until(11.5, far)
    brake = desk.brakes()["ANCHOR_DIVERGENCE", f"symbol:{USDM}"]
    assert brake.level is Level.HOLD
    assert desk.sent_between(10.5, 11.5, "binanceusdm") == []
    assert desk.sent_between(9.5, 11.5, "binancecoinm")
    desk.run_until(20)
    assert ("ANCHOR_DIVERGENCE", f"symbol:{USDM}") not in desk.brakes()
    assert desk.sent_between(11.5, 20, "binanceusdm")
    desk.settle()
    assert desk.audit() == []


@pytest.mark.req("P-MD-2")
def test_a_connector_that_dies_comes_back_reconciled_with_its_account_and_without_a_book(virtual_desk, book_at):
    desk = virtual_desk(20)
    desk.run_until(9)
    fills = len(desk.sim("binanceusdm").state_now(0, "test", 0).executions)
    desk.base.inject("connector.binanceusdm", DrillFault(kind="raise", target="connector.binanceusdm"))
    desk.run_until(9.05)
    assert desk.base.actor("connector.binanceusdm") is None
    desk.run_until(10)
    assert desk.base.actor("connector.binanceusdm") is not None
    assert len(desk.sim("binanceusdm").state_now(0, "test", 0).executions) >= fills
    assert len(desk.events("BRAKE:RECON")) == len(desk.config.venues) + 1
    assert ("RECON", "venue:binanceusdm") not in desk.brakes()
    assert desk.book(USDM).state is not BookState.SYNCED
    assert desk.sent_between(9.1, 10, "binanceusdm") == []
    desk.snapshot(USDM, book_at(USDM, 10))
    desk.run_until(16)
    assert desk.sent_between(10, 16, "binanceusdm")
    desk.run_until(20)
    desk.settle()
    assert desk.audit() == []
