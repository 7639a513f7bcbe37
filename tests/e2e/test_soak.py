"""Every part is killed under load, in turn and at random: nothing acknowledged is lost, nothing counts twice.

The short form of `make soak`.
"""

from pathlib import Path

import pytest

from cli.matrix import FAULTS, Plan, Said
from cli.soak import as_json, soak
from tests.e2e import upstream


@pytest.mark.timeout(400)
async def test_everything_acknowledged_counts_once_whatever_is_killed(state_folder: Path) -> None:
    said = Said()
    async with upstream.running(state_folder, said, workers=2) as platform:
        account = await soak(platform, said, Plan(at_random=2, seed=13), print)
    assert account.sound, as_json(account)
    assert len(account.rounds) == len(FAULTS) + 2
    assert all(each.decision_ids for each in account.rounds)
    assert any(each.rewarded_ids for each in account.rounds)
