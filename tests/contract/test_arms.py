"""Arms change with a version of their experiment; what is retired keeps its number, and no candidate brings it back."""

from dataclasses import replace

import pytest

from pullarm.domain.arms import Stated, moved, restated
from pullarm.domain.errors import VersionMismatch
from pullarm.domain.experiment import Arm, ArmStatus, Catalogue, State
from tests.contract.conftest import Stores
from tests.ledger_events import START_MS, draft, rearmed

_LATER_MS = START_MS + 1_234


async def test_draft_keeps_what_is_stated_of_its_arms(stores: Stores) -> None:
    arms = (
        Arm(
            arm_no=1,
            arm_id="a",
            label="A",
            payload_hash="1",
            prior_serves_micro=2_500_000,
            prior_rewards_micro=1,
        ),
        Arm(arm_no=2, arm_id="b", status=ArmStatus.PAUSED),
    )
    made = await stores.experiments.create(replace(draft("a"), arms=arms), START_MS)
    assert made.arms == arms
    assert (await stores.experiments.get("a")).arms == arms


async def test_every_change_of_arms_is_a_version_of_the_experiment(stores: Stores) -> None:
    found = await stores.experiments.create(draft("a", arms=["a", "b"]), START_MS)
    spec = found.spec
    for arms in (
        moved(found.arms, "a", ArmStatus.PAUSED),
        (two := restated(found.arms, [Stated(arm_id="b", label="B", payload_hash="1")], spec)),
        (three := restated(two, [Stated(arm_id="b", payload_hash="2"), Stated(arm_id="c")], spec)),
        moved(three, "c", ArmStatus.RETIRED),
        moved(three, "b", ArmStatus.RETIRED),
    ):
        revised = await stores.experiments.revise(found, rearmed(found, arms), _LATER_MS)
        assert (revised.arms, revised.config_no) == (arms, found.config_no + 1)
        assert await stores.experiments.get("a") == revised
        found = revised
    assert [(arm.arm_id, arm.version, arm.payload_hash, arm.status) for arm in found.arms] == [
        ("a", 1, "", ArmStatus.ACTIVE),
        ("b", 1, "1", ArmStatus.RETIRED),
        ("b", 2, "2", ArmStatus.RETIRED),
        ("c", 1, "", ArmStatus.ACTIVE),
    ]
    history = await stores.history(found.number)
    assert [action for _, action, _, _ in history] == ["create", *["state_arms"] * 5]


async def test_change_of_a_stale_version_leaves_the_arms(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a"), START_MS)
    paused = rearmed(made, moved(made.arms, "one", ArmStatus.PAUSED))
    newest = await stores.experiments.revise(made, paused, _LATER_MS)
    retired = rearmed(made, moved(made.arms, "one", ArmStatus.RETIRED))
    with pytest.raises(VersionMismatch):
        await stores.experiments.revise(made, retired, _LATER_MS)
    assert await stores.experiments.get("a") == newest


async def test_change_of_anything_else_leaves_the_arms(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a"), START_MS)
    paused = rearmed(made, moved(made.arms, "one", ArmStatus.PAUSED))
    made = await stores.experiments.revise(made, paused, _LATER_MS)
    change = replace(rearmed(made, ()), action="start", state=State.RUNNING, arms=None)
    started = await stores.experiments.revise(made, change, _LATER_MS)
    assert (started.state, started.arms) == (State.RUNNING, made.arms)
    assert await stores.experiments.get("a") == started


async def test_candidates_that_are_withheld_are_no_news_and_retired_ones_leave_room(
    stores: Stores,
) -> None:
    new = draft("a", catalogue=Catalogue.OPEN, arms=["paused", "retired"], max_arms=2)
    made = await stores.experiments.create(new, START_MS)
    arms = moved(made.arms, "paused", ArmStatus.PAUSED)
    arms = moved(arms, "retired", ArmStatus.RETIRED)
    await stores.experiments.revise(made, rearmed(made, arms), _LATER_MS)
    seen = ["retired", "paused", "new", "newer"]
    assert await stores.experiments.register_arms(made.number, seen, _LATER_MS) == 1
    grown = await stores.experiments.get("a")
    assert grown.arms == (*arms, Arm(arm_no=3, arm_id="new"))
