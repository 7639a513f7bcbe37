"""Users count with the policy they were first shown and, for a test of their split, in the epoch in which that was."""

from collections.abc import AsyncIterator

import pytest

from pullarm.domain.experiment import Aggregation
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.integration.small_scene import Small


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[LedgerScene]:
    async with ledger_scene(database_url) as scene:
        yield scene


async def test_units_are_split_by_the_epoch_they_were_first_shown_in(scene: LedgerScene) -> None:
    """Each once; a decision of an earlier epoch that comes late takes its unit there, on whatever day it was."""
    small = Small(scene, await scene.experiment(Aggregation.FIRST))
    await small.serve(small.token(1), small.token(2, policy=1), small.token(1, hour=30))
    await small.serve(
        small.token(2, epoch=2, hour=40),
        small.token(3, policy=1, epoch=2, hour=40),
        small.token(4, epoch=2, hour=80),
    )
    shares = {"control": 0.5, "thompson": 0.5}
    first, second = (await small.summary()).first_exposures
    assert (first.allocation_epoch, first.shares) == (1, shares)
    assert first.users == {"thompson": 1, "control": 1}
    assert second.users == {"control": 1, "thompson": 1}
    late = small.token(4, epoch=1, hour=100)
    await small.serve(late)
    first, second = (await small.summary()).first_exposures
    assert first.users == {"thompson": 2, "control": 1}
    assert second.users == {"control": 1}
    await small.scene.fold([late])  # a void
    first, second = (await small.summary()).first_exposures
    assert first.users == {"thompson": 1, "control": 1}
    assert second.users == {"control": 1, "thompson": 1}


async def test_a_unit_counts_with_the_policy_it_was_shown_first(scene: LedgerScene) -> None:
    small = Small(scene, await scene.experiment(Aggregation.FIRST))
    stays, moves = small.token(1), small.token(2)
    await small.serve(stays, moves)
    moved = [small.token(2, policy=1, epoch=2, hour=hour) for hour in (30, 31)]
    await small.serve(*moved, small.token(3, policy=1, epoch=2, hour=30))
    await small.scene.fold([small.make.reward(moved[0])])
    summary = await small.summary()
    assert summary.moved == {"control": 2}
    control, thompson = summary.policies["control"], summary.policies["thompson"]
    assert (thompson.users, thompson.serves) == (2, 2)
    assert (control.users, control.serves, control.rewards) == (1, 1, 0)

    await small.scene.fold([moves])  # a void: the first it was shown is now control's
    summary = await small.summary()
    assert summary.moved == {}
    control, thompson = summary.policies["control"], summary.policies["thompson"]
    assert (thompson.users, thompson.serves) == (1, 1)
    assert (control.users, control.serves, control.rewards) == (2, 3, 1)
