"""Latency and traces over HTTP, made from a real journal beside the server, and tied to what operators read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters.clock import VirtualClock
from adapters.journal.store import SqliteJournal
from adapters.telemetry.exporter import TraceExport
from api.correlation import correlated, correlation, jump, order_named
from api.http import start_http
from api.projection import Projection
from api.telegram import TelegramFace
from api.traces import ENDPOINTS
from api.traces_desk import NOTES_A_MINUTE, TraceDesk
from tests.trading.telemetry.order_rows import Desk
from tests.waiting import until
from trading.operators import Topic
from trading.orders.journal_rows import JournalKind, NoteBody, RowDraft, encode_body
from trading.telemetry.ids import trace_id_of
from trading.telemetry.stages import STAGES

MS = 1_000_000


class Site:
    """A server beside a journal."""

    def __init__(self, client: aiohttp.ClientSession, desk: TraceDesk, projection: Projection) -> None:
        self.client = client
        self.desk = desk
        self.projection = projection

    async def get(self, path: str, status: int = 200) -> Any:
        async with self.client.get(path) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    def events(self) -> list[dict[str, object]]:
        return [entry.body for entry in self.projection.newest(Topic.EVENT, 100)]


@pytest.fixture
async def site(
    traded_journal: Path, projection: Projection, bus: Any, clock: VirtualClock, tmp_path: Path
) -> AsyncIterator[Site]:
    export = TraceExport(file=str(tmp_path / "traces.jsonl"))
    desk = TraceDesk(projection, clock, traded_journal, export, look_s=0.01)
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock, traces=desk)
    desk.start()
    async with aiohttp.ClientSession(base_url=server.url) as client:
        site = Site(client, desk, projection)
        await until(lambda: desk.book.rows and not desk.behind, "the journal")
        yield site
    await server.close()
    await desk.close()


@pytest.mark.req("P-OBS-1")
async def test_every_stage_that_was_passed_has_its_distribution(site: Site) -> None:
    body = await site.get("/api/ui/ops/latency")
    ENDPOINTS[0].answer.model_validate(body)  # type: ignore[union-attr]
    assert {"book_age", "signal", "route", "journal", "place", "ack", "fill", "cancel", "replace"} <= set(
        body["stages"]
    )
    assert set(body["means"]) == set(STAGES)
    assert set(body["venues"]) == {"binance", "binanceusdm", "binancecoinm"}
    total = sum(stages["place"]["n"] for stages in body["venues"].values())
    assert body["stages"]["place"]["n"] == total
    assert body["stages"]["place"]["p50_us"] <= body["stages"]["place"]["p999_us"] <= body["stages"]["place"]["max_us"]
    one = await site.get("/api/ui/ops/latency?venue=binance")
    assert set(one["venues"]) == {"binance"}
    assert one["stages"]["place"]["n"] < total


@pytest.mark.req("P-OBS-1")
async def test_the_slow_steps_of_the_day_lead_to_their_traces(site: Site) -> None:
    body = await site.get("/api/ui/ops/traces?limit=3&stage=place")
    ENDPOINTS[1].answer.model_validate(body)  # type: ignore[union-attr]
    durations = [step["duration_us"] for step in body["slow"]]
    assert len(durations) == 3
    assert durations == sorted(durations, reverse=True)
    slow = body["slow"][0]
    trace = await site.get(slow["trace"])
    ENDPOINTS[2].answer.model_validate(trace)  # type: ignore[union-attr]
    assert trace["trace_id"] == slow["trace_id"] == trace_id_of(slow["cl_ord_id"])
    found = next(span for span in trace["spans"] if span["name"] == "place")
    assert (found["duration_us"], found["journal_id"]) == (slow["duration_us"], slow["journal_id"])


@pytest.mark.req("P-ORD-15")
async def test_a_fill_is_walked_back_to_its_journal_row_commit_and_trace(site: Site, traded_journal: Path) -> None:
    with SqliteJournal(traded_journal) as journal:
        fill = next(row for row in journal.read() if row.kind is JournalKind.FILL)
    trace = await site.get(f"/api/ui/ops/trace/{fill.cl_ord_id}")
    span = next(span for span in trace["spans"] if span["name"] == "fill")
    assert (span["journal_id"], span["outbox_id"]) == (fill.seq, fill.seq)
    assert fill.exec_id in span["attributes"]["execution"]
    assert span["attributes"]["fencing_token"] == 1


async def test_a_trace_that_the_book_forgot_is_read_from_the_journal(site: Site) -> None:
    assert site.desk.exporter is not None
    finished = {one.cl_ord_id for one in site.desk.book.finished()}
    assert finished
    cl_ord_id = min(finished)
    assert site.desk.book.get(cl_ord_id) is None
    assert len((await site.get(f"/api/ui/ops/trace/{cl_ord_id}"))["spans"]) > 5


async def test_what_cannot_be_answered_is_one_clear_error(site: Site) -> None:
    assert (await site.get("/api/ui/ops/trace/pd1-none", 404))["error"]["field"] == "cl_ord_id"
    assert (await site.get("/api/ui/ops/trace/%20", 400))["error"]["message"] == "not a ClOrdID"
    wrong = await site.get("/api/ui/ops/traces?stage=plaec", 400)
    assert "place" in wrong["error"]["mend"]
    for limit in ("0", "-1", "x", "9999999"):
        assert (await site.get(f"/api/ui/ops/traces?limit={limit}", 400))["error"]["field"] == "limit"


@pytest.mark.req("P-OBS-1")
async def test_prometheus_gets_histograms_by_venue_and_stage(site: Site) -> None:
    async with site.client.get("/metrics") as answer:
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    family = families["order_stage_seconds"]
    assert family.type == "histogram"
    place = [s for s in family.samples if s.labels.get("stage") == "place" and s.labels.get("venue") == "binanceusdm"]
    buckets = [sample.value for sample in place if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == next(s.value for s in place if s.name.endswith("_count")) > 0
    assert families["traces_rows"].samples[0].value == site.desk.book.rows


async def test_the_order_list_names_each_trace(site: Site, publish: Any) -> None:
    publish(site.projection, Topic.ORDER, "pd1-a-1", {"ord_status": "new"})
    body = await site.get("/api/ui/execution")
    assert body["orders"][0]["trace_id"] == trace_id_of("pd1-a-1")


async def test_an_empty_desk_answers_too(projection: Projection, bus: Any, clock: VirtualClock, tmp_path: Path) -> None:
    desk = TraceDesk(projection, clock, tmp_path / "journal.db", look_s=0.01)
    server = await start_http(projection, bus, "127.0.0.1", 0, version="1", clock=clock, traces=desk)
    desk.start()
    async with aiohttp.ClientSession(base_url=server.url) as client:
        site = Site(client, desk, projection)
        assert (await site.get("/api/ui/ops/latency"))["stages"] == {}
        assert (await site.get("/api/ui/ops/traces"))["export"] == {"on": False}
        await site.get("/api/ui/ops/trace/pd1-a-1", 404)
    await server.close()
    await desk.close()


# --- What went wrong is told, with the way to the trace ---------------------------------------------------------------


def rejected(clock: VirtualClock, cl_ord_id: str) -> RowDraft:
    body = encode_body(NoteBody(text="51008 insufficient margin", facts={"event": "rejected"}))
    return RowDraft(clock.wall_ns(), JournalKind.REJECT, "okx", cl_ord_id, None, "", 1, body)


@pytest.mark.req("P-OBS-1")
async def test_a_refused_order_is_an_event_with_its_correlation_and_old_ones_are_not_told_again(
    projection: Projection, clock: VirtualClock, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    old = rejected(clock, "pd1-old")
    clock.advance_to_mono(clock.mono_ns() + 120_000 * MS)
    with SqliteJournal(path) as journal:
        journal.append([old])
        journal.append([rejected(clock, f"pd1-new-{n}") for n in range(NOTES_A_MINUTE + 5)])
        desk = TraceDesk(projection, clock, path, look_s=0.01)
        desk.start()
        await until(lambda: desk.book.rows, "the journal")
        await desk.close()
    events = [entry.body for entry in projection.newest(Topic.EVENT, 100)]
    assert len(events) == NOTES_A_MINUTE
    newest = events[-1]
    assert newest["code"] == "ORDER_REJECTED"
    assert {name: newest[name] for name in ("cl_ord_id", "correlation_id", "trace")} == correlation("pd1-new-0")


@pytest.mark.req("P-ORD-12")
async def test_a_route_that_rejects_is_told_with_its_reason_and_its_end_too(
    projection: Projection, clock: VirtualClock, tmp_path: Path
) -> None:
    orders = Desk()
    orders.now = clock.wall_ns() - 100 * MS
    for number in range(3):
        orders.place(f"pd1-a-{number}")
        orders.reject(f"pd1-a-{number}")
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        for traced in orders.rows:
            row = traced.row
            fields = (row.ts_ns, row.kind, row.venue, row.cl_ord_id, row.exec_id, row.parent_id, row.epoch, row.body)
            journal.append([RowDraft(*fields)])
    desk = TraceDesk(projection, clock, path, look_s=0.01)
    desk.start()

    def told(code: str) -> list[dict[str, object]]:
        return [entry.body for entry in projection.newest(Topic.EVENT, 100) if entry.body["code"] == code]

    await until(lambda: told("ROUTE_REJECTING"), "the alert")
    (alert,) = told("ROUTE_REJECTING")
    assert alert["level"] == "error"
    assert "mostly: 51008 insufficient margin #" in str(alert["text"])
    assert alert["correlation_id"] == trace_id_of("pd1-a-2")
    assert told("ROUTE_CLEAR") == []
    clock.advance_to_mono(clock.mono_ns() + 61_000 * MS)
    await until(lambda: told("ROUTE_CLEAR"), "its end")
    await desk.close()


def test_an_event_whose_words_name_an_order_gets_its_correlation(projection: Projection, publish: Any) -> None:
    publish(projection, Topic.ORDER, "pd1-btcusdtl-18", {"ord_status": "new"})
    publish(projection, Topic.EVENT, "1", {"text": "open order pd1-btcusdtl-18: gone from the venue"})
    publish(projection, Topic.EVENT, "2", {"text": "open order pd1-btcusdtl-1 is nobody's"})
    named, other = [projection.get(Topic.EVENT, key) for key in ("1", "2")]
    assert named is not None
    assert other is not None
    assert named.body["correlation_id"] == trace_id_of("pd1-btcusdtl-18")
    assert "correlation_id" not in other.body


def test_a_correlation_that_is_stated_stays_and_long_words_are_not_searched_for_ever() -> None:
    stated: dict[str, object] = {"text": "pd1-a-1", "correlation_id": "x"}
    assert correlated(stated, lambda _: True) is stated
    assert order_named("word " * 1_000 + "pd1-a-1", lambda name: name == "pd1-a-1") == ""
    assert order_named("see pd1-a-1.", lambda name: name == "pd1-a-1") == "pd1-a-1"


@pytest.mark.req("P-OBS-1")
def test_alerts_about_an_order_show_its_trace_and_the_link(
    projection: Projection, publish: Any, bus: Any, clock: VirtualClock
) -> None:
    face = TelegramFace(projection, bus, "1:x", (5,), clock, site="http://127.0.0.1:8000/")
    publish(projection, Topic.ORDER, "pd1-a-1", {"ord_status": "unknown"})
    brake = {"code": "RECON", "scope": "venue:okx", "level": 3, "cause": "pd1-a-1 is unknown", "release": "auto"}
    publish(projection, Topic.BRAKES, "all", {"brakes": [brake]})
    projection.note("error", "ROUTE_REJECTING", "okx refuses; the newest is pd1-a-1", cl_ord_id="pd1-a-1")
    face.look()
    waiting = face.outbox.take()
    assert waiting is not None
    assert waiting[1].splitlines()[1::2] == [jump("pd1-a-1", "http://127.0.0.1:8000")] * 2


def test_a_notification_has_the_trace_and_the_way_to_it() -> None:
    assert jump("pd1-a-1", "http://127.0.0.1:8000/") == (
        f"trace {trace_id_of('pd1-a-1')} http://127.0.0.1:8000/api/ui/ops/trace/pd1-a-1"
    )
