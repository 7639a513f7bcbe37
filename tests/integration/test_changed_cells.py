"""What the cells that changed since the last publication cost, whatever PostgreSQL knows of the experiment."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from pullarm.storage.postgres import Database
from pullarm.storage.postgres.database import Connection, queries

_ARMS = 1_000
_CHANGED = 40
_KNOWN, _NEW = 1, 2
"""Experiments: of the former there are statistics, of the latter none yet, as in its first minutes."""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    async with Database(database_url) as database, database.transaction() as connection:
        await _add_cells(connection, _KNOWN, arms=10)
        await connection.execute("ANALYZE posterior, fold_log")
        await _add_cells(connection, _NEW, arms=_ARMS)
        yield connection


async def _add_cells(connection: Connection, experiment: int, arms: int) -> None:
    """Cells of four policies in two hours, and a hundred folds that each changed some."""
    await connection.execute(
        "INSERT INTO posterior SELECT $1, policy, arm_no, hour, 5, 1000000"
        " FROM generate_series(1, 4) policy, generate_series(1, $2) arm_no, generate_series(490000, 490001) hour",
        *(experiment, arms),
    )
    await connection.execute(
        "INSERT INTO fold_log SELECT $1, fold_no, fold_no, now(),"
        " array(SELECT (1 + (fold_no * 7 + i) % $2) * 8 + 1 + i % 4 FROM generate_series(1, $3) i)"
        " FROM generate_series(1, 100) fold_no",
        *(experiment, arms, _CHANGED),
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.mark.parametrize(
    ("file", "query", "given"),
    [
        ("publications", "changed_cells", (98, _ARMS + 1, _ARMS)),
        ("weightings", "changed_sums", ([489_999], [1, 1], [1, 1], [1, 1], 1, 98)),
    ],
)
async def test_only_the_cells_that_changed_are_looked_at(
    connection: Connection, file: str, query: str, given: tuple[object, ...]
) -> None:
    sql = queries(file)[query]
    changed = await connection.fetch(sql, _NEW, *given)
    assert len(changed) == len({(row["policy"], row["arm_no"]) for row in changed})
    assert _CHANGED <= len(changed) <= 2 * _CHANGED
    explained = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", _NEW, *given)
    nodes = list(_nodes(json.loads(explained)[0]["Plan"]))
    read = [each for each in nodes if each.get("Relation Name") == "posterior"]
    (looked_at,) = (each["Actual Rows"] * each["Actual Loops"] for each in read)
    assert looked_at == 2 * len(changed)  # in two hours
    passed_over = [
        each.get(f"Rows Removed by {what}", 0)
        for each in nodes
        for what in ("Filter", "Join Filter")
    ]
    assert sum(passed_over) == 0
