"""`pullarm verify` against a running platform."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
import pytest_asyncio

from cli.platform import Platform
from pullarm.client import Client
from tests.e2e.commands import pullarm
from tests.e2e.upstream import PATIENCE_S, Fleet, answered, launch
from tests.services import execute

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def experiment(api: httpx.AsyncClient, fleet: Fleet, client: Client) -> str:
    """The key of an experiment with ten folded decisions, half of each arm, all of them rewarded."""
    launched = await launch(api, fleet, policies="egreedy")
    for number in range(10):
        decision = await client.select(launched["id"], f"user-{number}", ["ab"[number % 2]])
        await client.reward(decision.decision_id, 1.0)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            summary = await answered(api.get(f"/{launched['id']}/summary"))
            if summary["policies"]["egreedy"]["rewards"] == 10:
                break
            await asyncio.sleep(0.05)
    key: str = launched["key"]
    return key


async def test_sound_ledger_is_clean(platform: Platform, experiment: str) -> None:
    state = str(platform.settings.state)
    one = await pullarm("verify", experiment, "--state", state)
    assert one.status == 0, one.errors
    (line,) = one.output.splitlines()
    assert f" {experiment}: clean, " in line
    everything = await pullarm("verify", "--state", state)
    assert everything.status == 0, everything.output
    assert line in everything.output.splitlines()


@pytest.mark.parametrize(
    ("table", "change", "named"),
    [
        ("posterior", "n = n {} 1", "policy 3 arm 1 hour "),
        ("posterior", "s = s {} 1", "policy 3 arm 1 hour "),
        ("credit", "value = value {} 1", " slot 1 reward: stored value="),
    ],
)
async def test_tampered_row_is_named(
    platform: Platform, experiment: str, table: str, change: str, named: str
) -> None:
    mine = f"(SELECT experiment_id FROM experiment WHERE key = '{experiment}')"
    where = {
        "posterior": f"experiment_id = {mine} AND arm_no = 1",
        "credit": f"uid = ANY(SELECT uid FROM decision WHERE experiment_id = {mine})",
    }[table]
    url = platform.environment["DATABASE_URL"]
    await execute(url, f"UPDATE {table} SET {change.format('+')} WHERE {where}")
    try:
        found = await pullarm("verify", experiment, "--state", str(platform.settings.state))
    finally:
        await execute(url, f"UPDATE {table} SET {change.format('-')} WHERE {where}")
    assert found.status == 1, found.output
    head, *differences = found.output.splitlines()
    assert f" {experiment}: {len(differences)} differences" in head
    assert differences
    assert all(named in difference for difference in differences)


async def test_what_cannot_be_verified_is_told(
    platform: Platform, experiment: str, tmp_path: Path
) -> None:
    unknown = await pullarm("verify", "nothing", "--state", str(platform.settings.state))
    assert (unknown.status, "nothing" in unknown.errors) == (1, True)
    nowhere = await pullarm("verify", "--state", str(tmp_path))
    assert (nowhere.status, nowhere.output) == (1, "")
    assert f"no platform runs on {tmp_path}" in nowhere.errors
    assert "Traceback" not in unknown.errors + nowhere.errors


async def test_partitions_are_there_before_their_day(platform: Platform) -> None:
    """The worker's queue has made them as it started."""
    connection = await asyncpg.connect(platform.environment["DATABASE_URL"])
    name = f"decision_{datetime.now(UTC) + timedelta(days=2):%Y%m%d}"
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await connection.fetchval("SELECT to_regclass($1)::text", name) is None:
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
