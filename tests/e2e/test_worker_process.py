"""`pullarm work` as a process of its own."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL
from pathlib import Path

from pullarm.storage.postgres import Database, PostgresExperiments, PostgresLedger
from pullarm.storage.redis import RedisBoard, RedisEventSink, connect
from tests.e2e.upstream import PATIENCE_S
from tests.ledger_events import START_MS, Events, batch, draft, entry


async def test_events_are_folded_and_published_while_the_job_queue_is_away(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    ready, log = tmp_path / "ready", tmp_path / "worker.log"
    own = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "QUEUE_REDIS_URL": "redis://127.0.0.1:1/0",
        "PULLARM_READY_FILE": str(ready),
    }
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "work"),
            env=os.environ | own,
            stdout=DEVNULL,
            stderr=written,
        )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not ready.exists() or "queue is away" not in log.read_text():
                await asyncio.sleep(0.1)
        await check_it_works(database_url, redis_url)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0, log.read_text()


async def check_it_works(database_url: str, redis_url: str) -> None:
    async with Database(database_url) as database, connect(redis_url) as redis:
        number = (await PostgresExperiments(database).create(draft("a"), START_MS)).number
        make = Events()
        sink = RedisEventSink(redis)
        await sink.append(entry(batch(make.decision(make.token(number)))))
        await sink.aclose()
        ledger, board = PostgresLedger(database), RedisBoard(redis)
        async with asyncio.timeout(PATIENCE_S):
            while not await ledger.posterior(number):
                await asyncio.sleep(0.05)
            while (await board.versions([number]))[number].pub_no < 1:
                await asyncio.sleep(0.05)
