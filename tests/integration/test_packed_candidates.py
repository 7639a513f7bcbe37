"""Candidates in PostgreSQL: rows of ledgers with arrays are packed without loss, and SQL can read what is packed."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import TypeAlias

import asyncpg
import pytest

from pullarm.domain.decision import pack_arms, uid_ms, unpack_arms
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresHistory,
    PostgresLedger,
    migrate,
)
from pullarm.storage.postgres.schema import migrations
from tests.ledger_events import HOUR_MS, START_MS, Events, batch, draft

PACKED = "0003_packed_candidates"
# In quotes, because only the stubs know that it is generic.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

INSERT = """
    INSERT INTO decision (uid, decided_at, experiment_id, allocation_epoch, assigned, acting, reason, learn_slots,
        unit_hash, cohort, arms, batch_no, stub, config_no, pub_no, kernel, unit, bucket, candidates, weights, totals,
        attributes, request_id, unlisted)
    VALUES (encode($1, 'hex')::uuid, $2, 1, 1, 2, 2, 1, 1, 0, 0, '{1}', 1, $4, 1, 1, 1, 'user', 1, $3, '{1}', '{2}',
        '{}', '', 0)
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def bring_to_arrays(url: str) -> Connection:
    """A database as the last version with arrays left it."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE TABLE migration (name text PRIMARY KEY, applied_at timestamptz)"
    )
    for name, sql in migrations():
        if name < PACKED:
            await connection.execute(sql)
            await connection.execute("INSERT INTO migration VALUES ($1, clock_timestamp())", name)
    return connection


async def test_rows_that_hold_arrays_are_packed_without_loss(empty_database_url: str) -> None:
    connection, make = await bring_to_arrays(empty_database_url), Events()
    logged = [[3, 0, 1], [], [2**31 - 1, 255, 256, 2**24, 65_536], list(range(1, 1_001)), None]
    uids = [make.uid(START_MS + day * 24 * HOUR_MS) for day, _ in enumerate(logged)]
    for uid, numbers in zip(uids, logged, strict=True):
        moment = datetime.fromtimestamp(uid_ms(uid) / 1000, UTC)
        await connection.execute("SELECT ensure_day($1)", moment.date())
        await connection.execute(INSERT, uid, moment, numbers, numbers is None)
    await connection.close()

    assert (await migrate(empty_database_url))[0] == PACKED

    async with Database(empty_database_url) as database:
        history = PostgresHistory(database)
        for uid, numbers in zip(uids, logged, strict=True):
            decision = (await history.logged(uid)).decision
            kept = None if decision is None else list(unpack_arms(decision.candidates))
            assert kept == numbers
        async with database.connection() as read:
            in_sql = await read.fetch("SELECT arm_numbers(candidates) FROM decision ORDER BY uid")
        assert [row[0] for row in in_sql] == logged


async def test_decisions_are_folded_beside_rows_that_were_packed(empty_database_url: str) -> None:
    connection, make = await bring_to_arrays(empty_database_url), Events()
    await connection.execute("SELECT ensure_day($1)", date(2025, 10, 14))
    await connection.close()
    await migrate(empty_database_url)
    async with Database(empty_database_url) as database:
        number = (await PostgresExperiments(database).create(draft("packed"), START_MS)).number
        for day in (0, 1):  # made by the version before, and by this one
            token = make.token(number, at_ms=START_MS + day * 24 * HOUR_MS)
            decision = make.decision(token)._replace(candidates=pack_arms([2, 0, 2**32 - 1, 1]))
            await PostgresLedger(database).fold(batch(decision), START_MS)
            assert (await PostgresHistory(database).logged(token.uid)).decision == decision


@pytest.mark.parametrize("numbers", [[], [7], [0, 2**31 - 1, 255, 256, 65_536, 2**24, 0]])
async def test_sql_reads_what_was_packed(connection: Connection, numbers: list[int]) -> None:
    assert await connection.fetchval("SELECT arm_numbers($1)", pack_arms(numbers)) == numbers


async def test_sql_says_of_other_bytes_that_they_are_no_arm_numbers(connection: Connection) -> None:
    for packed, problem in [
        (bytes(5), "out of valid range"),
        (b"\xff" * 4, "integer out of range"),
    ]:
        with pytest.raises(asyncpg.DataError, match=problem):
            await connection.fetchval("SELECT arm_numbers($1)", packed)
    assert await connection.fetchval("SELECT arm_numbers(NULL)") is None


async def test_database_says_how_candidates_are_read(connection: Connection) -> None:
    said = await connection.fetchval(
        "SELECT col_description('decision'::regclass, attnum) FROM pg_attribute"
        " WHERE attrelid = 'decision'::regclass AND attname = 'candidates'"
    )
    assert "arm_numbers(candidates)" in said
    function = await connection.fetchrow(
        "SELECT provolatile, proparallel, obj_description(oid) AS said FROM pg_proc WHERE proname = 'arm_numbers'"
    )
    assert function is not None
    assert (function["provolatile"], function["proparallel"]) == (b"i", b"s")
    assert "four bytes each" in function["said"]
