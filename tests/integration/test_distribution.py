"""Keys by which the tables could be spread over several PostgreSQL servers, as Citus does (docs/scaling.md)."""

import asyncpg

EVERYWHERE = {
    *("alert", "alert_delivery", "audit", "experiment", "experiment_group", "intake", "ledger"),
    *("migration", "quarantine", "sealed_day", "session", "token"),
}
"""Tables that stay small, and would be whole on each server."""
_UNIQUE = """
SELECT c.relname AS name, array_agg(DISTINCT a.attname::text) AS columns
FROM pg_class c
JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey::smallint[])
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.relname, i.indexrelid
"""
"""What must be unique on the server that a row is on is unique everywhere only with the column it is spread by."""


async def test_whatever_grows_is_spread_by_decision_or_by_experiment(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        keys = [(row["name"], set(row["columns"])) for row in await connection.fetch(_UNIQUE)]
    finally:
        await connection.close()
    growing = [(name, columns) for name, columns in keys if name not in EVERYWHERE]
    assert {name for name, columns in growing if "uid" in columns} == {
        "decision",
        "reward",
        "credit",
    }
    assert not [
        (name, columns) for name, columns in growing if not columns & {"uid", "experiment_id"}
    ]
    assert {name for name, _ in keys} >= EVERYWHERE
