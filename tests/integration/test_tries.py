"""Tries of one request are looked for where they can be."""

from pullarm.domain.experiment import Aggregation, Exposure
from pullarm.storage.postgres.database import queries
from pullarm.storage.postgres.times import at
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.ledger_events import HOUR_MS, START_MS, Events


async def test_tries_of_a_request_are_looked_for_on_its_day_only(database_url: str) -> None:
    async with ledger_scene(database_url) as scene:
        await look(scene)


async def look(scene: LedgerScene) -> None:
    number = await scene.experiment(Aggregation.FIRST, Exposure.SERVED)
    make = Events()
    for day in range(8):
        tokens = [make.token(number, at_ms=START_MS + day * 24 * HOUR_MS + n) for n in range(40)]
        await scene.fold([make.decision(token)._replace(request_id="r") for token in tokens])
    sql = queries("rollups")
    async with scene.database.transaction() as connection:
        await connection.execute("ANALYZE decision")
        await connection.execute(sql["prepare"])
        await connection.execute(
            "INSERT INTO tried SELECT * FROM decision_fold WHERE experiment_id = $1 AND uid < uid_floor($2)",
            *(number, at(START_MS + 5)),
        )
        rows = await connection.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {sql['other_tries']}", number
        )
    plan = [str(row[0]) for row in rows]
    scans = [line for line in plan if "on decision_2025" in line and "fold_log" not in line]
    looked = [line for line in scans if "never executed" not in line]
    assert len(looked) <= 1 < len(scans), "\n".join(plan)
