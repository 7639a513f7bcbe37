"""Serving's figures in the ledger: the newest report of each process's life stands, in whatever order they come."""

from itertools import permutations

import asyncpg
import pytest

from pullarm.domain.decision import Batch, ServingMinute
from pullarm.storage.postgres import Database, PostgresLedger


def _minute(sequence: int, calls: int, process: str = "serving-0-a") -> ServingMinute:
    return ServingMinute(
        process, sequence, 7, 2, 1000, calls, 0, 0, 0, {10: calls}, calls, {6: calls}
    )


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_the_newest_report_stands(database_url: str, order: tuple[int, ...]) -> None:
    reports = [_minute(1, 5), _minute(2, 9), _minute(1, 4, "serving-0-b")]
    async with Database(database_url) as database:
        ledger = PostgresLedger(database)
        for place in order:
            await ledger.fold(Batch([], [], [], [reports[place]]), 0)
            await ledger.fold(Batch([], [], [], [reports[place]]), 0)
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT process, calls, rewards, refused FROM serving_minute ORDER BY process"
        )
    finally:
        await connection.close()
    assert [tuple(row) for row in rows] == [
        ("serving-0-a", 9, 9, '{"6": 9}'),
        ("serving-0-b", 4, 4, '{"6": 4}'),
    ]
