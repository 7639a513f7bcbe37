"""What real servers say of themselves."""

import asyncio
from datetime import timedelta

from pullarm.clock import system_clock
from pullarm.domain.audit import Author
from pullarm.storage.postgres import Database, PostgresLedger
from pullarm.storage.postgres import facts as postgres_facts
from pullarm.storage.postgres.schema import migrations
from pullarm.storage.postgres.times import at
from pullarm.storage.redis import RedisBoard, RedisEventSink, RedisEventSource, connect
from pullarm.storage.redis import facts as redis_facts
from pullarm.storage.redis.queue import HEALTH
from tests.services import execute


async def test_postgresql(database_url: str) -> None:
    now = at(system_clock())
    async with Database(database_url) as database:
        await PostgresLedger(database).ensure_day(now.date())
        await postgres_facts.note_backup(database, Author("ann", "test"), now, 17)
    await execute(database_url, "INSERT INTO quarantine VALUES ('1-1', now(), 'spoilt', '')")
    facts = await postgres_facts.look(database_url)
    assert facts.version >= 140_000
    assert facts.lacking == []
    assert (facts.read_only, facts.quarantined, facts.replicas) == (False, 1, 0)
    assert facts.backup_at is not None
    assert facts.free_bytes is not None
    assert abs(facts.backup_at - now) < timedelta(milliseconds=1)
    assert 0 < facts.day_bytes < facts.size_bytes < facts.free_bytes
    assert 1 <= facts.connections < facts.max_connections
    assert abs(await postgres_facts.clock_ms(database_url) - system_clock()) < 60_000


async def test_a_database_that_no_migration_has_touched(empty_database_url: str) -> None:
    facts = await postgres_facts.look(empty_database_url)
    assert facts.lacking == [name for name, _ in migrations()]
    assert (facts.backup_at, facts.quarantined, facts.day_bytes) == (None, 0, 0)


async def test_redis(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        facts = await redis_facts.look(redis)
        assert facts.name == "Valkey"
        assert facts.compatible >= (6, 2)
        assert (facts.policy, facts.appends, facts.syncs) == ("noeviction", False, "everysec")
        assert (facts.replica, facts.complaint) == (False, "")
        assert 0 < facts.used_bytes < facts.max_bytes
        assert abs(await redis_facts.clock_ms(redis) - system_clock()) < 60_000
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert (await redis_facts.look(redis)).policy == "allkeys-lru"
        finally:
            await redis.config_set("maxmemory-policy", "noeviction")


async def test_an_empty_stream_that_nobody_reads(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        facts = await redis_facts.look_at_stream(redis)
    assert (facts.entries, facts.used_bytes, facts.consumers, facts.beats) == (0, 0, 0, False)


async def test_a_stream_with_a_worker(redis_url: str) -> None:
    async with connect(redis_url) as redis, connect(redis_url) as others:
        board, sink = RedisBoard(others), RedisEventSink(others)
        await sink.append(b"an entry")
        await RedisEventSource(others, "one").claim(1, 0)
        looking = asyncio.create_task(redis_facts.look_at_stream(redis))
        while not looking.done():
            await board.beat()
            await asyncio.sleep(0.02)
        facts = await looking
        await sink.aclose()
    assert (facts.entries, facts.consumers, facts.beats) == (1, 1, True)
    assert facts.used_bytes > 0


async def test_a_cron_that_lives(queue_redis_url: str) -> None:
    async with connect(queue_redis_url) as redis:
        assert not await redis_facts.cron_lives(redis)
        await redis.set(HEALTH, b"j_complete=1", ex=21)
        assert await redis_facts.cron_lives(redis)
