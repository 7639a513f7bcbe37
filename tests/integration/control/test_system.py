"""What serving stored and has not come can be seen, and up to when all has."""

from datetime import datetime

from httpx import AsyncClient

from pullarm.domain.decision import Batch, Span
from pullarm.storage.postgres import Database, PostgresLedger
from pullarm.storage.postgres.times import at
from tests.control_api import Clock
from tests.ledger_events import START_MS


async def test_missing_events_are_shown(client: AsyncClient, database: Database) -> None:
    nothing = {"numbered": 0, "missing": 0, "lost": 0, "missing_by_process": {}}
    assert (await client.get("/api/system")).json()["events"] == nothing
    ledger = PostgresLedger(database)
    spans = [Span("a", 0, 5), Span("b", 0, 5), Span("b", 8, 20), Span("b", 22, 30)]
    await ledger.fold(Batch([], [], [], spans=spans), START_MS)
    await ledger.give_up("b", 20, 22)
    figures = {"numbered": 35, "missing": 3, "lost": 2, "missing_by_process": {"b": 3}}
    assert (await client.get("/api/system")).json()["events"] == figures
    metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert {
        "pullarm_events_numbered 35.0",
        "pullarm_events_missing 3.0",
        "pullarm_events_lost 2.0",
    } <= set(metrics.text.splitlines())


async def test_watermark_and_who_holds_it_back_are_shown(
    client: AsyncClient, database: Database, clock: Clock
) -> None:
    unknown = {"at": None, "age_s": None, "process": ""}
    assert (await client.get("/api/system")).json()["watermark"] == unknown
    assert "pullarm_watermark_age_seconds +Inf" in (await client.get("/metrics")).text.splitlines()
    now_ms = clock()
    spans = [Span("a", 0, 5, now_ms - 1_000), Span("b", 0, 5, now_ms - 9_000)]
    await PostgresLedger(database).fold(Batch([], [], [], spans=spans), now_ms)
    mark = (await client.get("/api/system")).json()["watermark"]
    assert (mark["age_s"], mark["process"]) == (24.0, "b")
    assert datetime.fromisoformat(mark["at"]) == at(now_ms - 24_000)
    assert "pullarm_watermark_age_seconds 24.0" in (await client.get("/metrics")).text.splitlines()
