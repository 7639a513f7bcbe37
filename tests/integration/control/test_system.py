"""What serving stored and has not come can be seen, and up to when all has."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from httpx import ASGITransport, AsyncClient
from prometheus_client import CollectorRegistry

from control.traffic import Traffic
from pullarm.domain.decision import Batch, Span
from pullarm.domain.instance import Condition, Part
from pullarm.domain.intake import Backlog
from pullarm.presence import this_process
from pullarm.storage.memory import MemoryInstances
from pullarm.storage.postgres import Database, PostgresLedger
from pullarm.storage.postgres.times import at
from pullarm.storage.redis import RedisBoard, RedisInstances, connect
from tests.control_api import Clock, app_over, client_of
from tests.ledger_events import START_MS
from tests.relay import Relay


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


async def test_stream_that_waits_is_shown(
    database: Database, board: RedisBoard, clock: Clock
) -> None:
    waiting = Backlog(entries=7, used_bytes=900, oldest_s=2.5)
    async with client_of(app_over(database, board, clock, backlog=waiting)) as client:
        shown = (await client.get("/api/system")).json()["stream"]
        lines = (await client.get("/metrics")).text.splitlines()
    assert shown == {"entries": 7, "used_bytes": 900, "oldest_s": 2.5}
    assert {
        "pullarm_stream_entries 7.0",
        "pullarm_stream_bytes 900.0",
        "pullarm_fold_lag_seconds 2.5",
        'pullarm_reachable{server="postgresql"} 1.0',
        'pullarm_reachable{server="redis"} 1.0',
    } <= set(lines)


async def test_processes_are_shown_and_those_that_fell_silent(
    database: Database, board: RedisBoard, clock: Clock
) -> None:
    instances = MemoryInstances(clock.monotonic)
    worker = this_process(Part.WORKER, "worker")
    serving = replace(
        this_process(Part.SERVING, "serving-0", "127.0.0.1:50051"),
        since_ms=START_MS,
        condition=Condition(status="degraded", reasons=("no worker",), snapshot_age_s=7.5),
    )
    async with client_of(app_over(database, board, clock, instances=instances)) as client:

        async def shown() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await client.get("/api/system")).json()["instances"]
            return found

        assert await shown() == []
        await instances.tell(worker)
        clock.now_ms += 15_000
        await instances.tell(serving)
        assert [each["status"] for each in await shown()] == ["degraded", "ready"]
        clock.now_ms += 5_000
        first, second = await shown()
    since = first.pop("since")
    assert datetime.fromisoformat(since) == at(START_MS)
    assert first == {
        "part": "serving",
        "name": "serving-0",
        "host": serving.host,
        "pid": serving.pid,
        "version": serving.version,
        "address": "127.0.0.1:50051",
        "status": "degraded",
        "reasons": ["no worker"],
        "snapshot_age_s": 7.5,
        "silent_s": 5.0,
    }
    assert (second["name"], second["status"], second["silent_s"]) == ("worker", "silent", 20.0)


async def test_what_is_away_is_left_open_and_the_rest_told(
    board: RedisBoard, clock: Clock, relay: Relay
) -> None:
    async with (
        Database(await relay.open()) as database,
        connect("redis://127.0.0.1:1") as nowhere,
        client_of(app_over(database, board, clock)) as client,
        client_of(app_over(database, board, clock, instances=RedisInstances(nowhere))) as other,
    ):
        assert (await other.get("/api/system")).json()["instances"] is None
        assert (await client.get("/api/system")).json()["watermark"] is not None
        await relay.close()
        told = (await client.get("/api/system")).json()
    assert (told["instances"], told["events"], told["watermark"]) == ([], None, None)


async def test_scrape_goes_without_a_server_that_is_away(
    board: RedisBoard, clock: Clock, relay: Relay
) -> None:
    async with (
        Database(await relay.open()) as database,
        client_of(app_over(database, board, clock)) as client,
    ):
        assert "pullarm_events_missing 0.0" in (await client.get("/metrics")).text
        await relay.close()
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    assert 'pullarm_reachable{server="postgresql"} 0.0' in lines
    assert "pullarm_stream_entries 0.0" in lines
    assert not any(line.startswith("pullarm_events_missing") for line in lines)


async def test_requests_are_counted_with_how_they_ended(
    database: Database, board: RedisBoard, clock: Clock
) -> None:
    traffic = Traffic()
    app = traffic.counting(app_over(database, board, clock))
    asgi: Any = app
    async with AsyncClient(transport=ASGITransport(asgi), base_url="http://control") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/api/experiments")).status_code == 401
        assert (await client.request("BREW", "/healthz")).status_code == 405
    registry = CollectorRegistry()
    registry.register(traffic)
    counted = {
        (method, status): registry.get_sample_value(
            "pullarm_http_requests_total", {"method": method, "status": status}
        )
        for method, status in (("GET", "200"), ("GET", "401"), ("other", "405"))
    }
    assert set(counted.values()) == {1}
    assert registry.get_sample_value("pullarm_http_request_seconds_count") == 3
