"""What serving stored and has not come can be seen."""

from httpx import AsyncClient

from pullarm.domain.decision import Batch, Span
from pullarm.storage.postgres import Database, PostgresLedger
from tests.ledger_events import START_MS


async def test_missing_events_are_shown(client: AsyncClient, database: Database) -> None:
    nothing = {"numbered": 0, "missing": 0, "missing_by_process": {}}
    assert (await client.get("/api/system")).json() == {"events": nothing}
    spans = [Span("a", 0, 5), Span("b", 0, 5), Span("b", 8, 20)]
    await PostgresLedger(database).fold(Batch([], [], [], spans=spans), START_MS)
    figures = {"numbered": 25, "missing": 3, "missing_by_process": {"b": 3}}
    assert (await client.get("/api/system")).json() == {"events": figures}
    metrics = await client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    assert {"pullarm_events_numbered 25.0", "pullarm_events_missing 3.0"} <= set(
        metrics.text.splitlines()
    )
