"""The drill: a running platform is put back to its backup, and goes on serving and learning."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import httpx
import pytest

from cli.matrix import drained
from cli.platform import Platform
from pullarm.client import Client, Selection
from tests.e2e import upstream
from tests.e2e.commands import Ended, pullarm
from tests.e2e.upstream import PATIENCE_S, answered, create, launch
from tests.state_folders import temporary_state

pytestmark = pytest.mark.asyncio(loop_scope="session")
ARMS = ["a", "b", "c"]
BEFORE, LOST, AFTER = 30, 12, 25
NEW_LIFE = 1_000_000_000
"""Publications are numbered from here on."""


async def drive(client: Client, experiment: str, count: int) -> list[Selection]:
    """Decisions, each with its reward."""
    selections = []
    for number in range(count):
        selection = await client.select(experiment, f"user-{number}", ARMS)
        await client.reward(selection.decision_id, 1.0)
        selections.append(selection)
    return selections


async def folded(api: httpx.AsyncClient, experiment: str, rewards: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await answered(api.get(f"/{experiment}/summary")))["rewards_received"] != rewards:
            await asyncio.sleep(0.05)


async def succeeded(*arguments: str, state: Path) -> str:
    ended: Ended = await pullarm(*arguments, "--state", str(state))
    assert ended.status == 0, ended.output + ended.errors
    return ended.output


async def highest_number(platform: Platform) -> int:
    connection = await asyncpg.connect(platform.environment["DATABASE_URL"])
    try:
        number: int = await connection.fetchval("SELECT max(experiment_id) FROM experiment")
        return number
    finally:
        await connection.close()


async def check_explained(state: Path, selections: Sequence[Selection]) -> None:
    for selection in selections:
        said = await succeeded("explain", selection.decision_id, state=state)
        assert said.endswith("reproduced bit for bit\n")


async def test_drill(state_folder: Path, tmp_path: Path) -> None:
    state, file = state_folder, tmp_path / "ledger.dump"
    async with (
        upstream.running(state) as own,
        upstream.rest(own) as api,
        upstream.fleet(own.grpc_address) as asked,
    ):
        client = asked.clients[0]
        kept = (await launch(api, asked, arms=ARMS))["id"]
        before = await drive(client, kept, BEFORE)
        await folded(api, kept, BEFORE)
        assert "MiB written" in await succeeded("backup", str(file), state=state)

        lost = await drive(client, kept, LOST)
        gone = (await create(api, arms=ARMS))["id"]
        await folded(api, kept, BEFORE + LOST)
        await drained(own)  # what a spool brought later would be folded once more
        number = await highest_number(own)
        refused = await pullarm("restore", str(file), "--state", str(state))
        assert (refused.status, "give --force to replace it" in refused.errors) == (1, True)

        said = await succeeded("restore", str(file), "--force", state=state)
        assert said.startswith("1 experiments, folded until ")
        await asked.until(lambda s: s.posterior_version > NEW_LIFE, kept, candidates=["none"])
        assert (await api.get(f"/{gone}")).status_code == 404
        after = await drive(client, kept, AFTER)
        await client.reward(lost[0].decision_id, 1.0)  # nothing but this is known of it now
        await folded(api, kept, BEFORE + AFTER + 1)
        assert "clean" in await succeeded("verify", state=state)
        await check_explained(state, [before[-1], after[-1]])
        await create(api, arms=ARMS)
        assert await highest_number(own) > number + 1_000


async def test_another_machine_takes_over_from_the_backup_of_a_stopped_platform(
    tmp_path: Path,
) -> None:
    """Its PostgreSQL is started for the backup, and made for the restore."""
    with temporary_state() as first, temporary_state() as second:
        async with (
            upstream.running(first) as platform,
            upstream.rest(platform) as api,
            upstream.fleet(platform.grpc_address) as asked,
        ):
            kept = (await launch(api, asked, arms=ARMS))["id"]
            await drive(asked.clients[0], kept, BEFORE)
            await folded(api, kept, BEFORE)
        await succeeded("backup", str(tmp_path), state=first)
        (file,) = tmp_path.iterdir()
        await succeeded("restore", str(file), state=second)
        async with (
            upstream.running(second) as platform,
            upstream.rest(platform) as api,
            upstream.fleet(platform.grpc_address) as asked,
        ):
            await asked.until(lambda s: s.posterior_version > NEW_LIFE, kept, candidates=["none"])
            await drive(asked.clients[0], kept, AFTER)
            await folded(api, kept, BEFORE + AFTER)
            assert "clean" in await succeeded("verify", state=second)


async def test_backup_of_nothing_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "state"
    ended = await pullarm("backup", str(tmp_path / "file"), "--state", str(missing))
    assert (ended.status, "there is no state folder" in ended.errors) == (1, True)
    ended = await pullarm("restore", str(tmp_path / "file"), "--state", str(missing))
    assert (ended.status, "is no file" in ended.errors) == (1, True)
    assert not missing.exists()
