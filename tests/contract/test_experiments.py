"""Experiments are found by id and key, and every version of them is kept."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pullarm.domain.audit import Author
from pullarm.domain.errors import InvalidInput, NotFound, VersionMismatch
from pullarm.domain.experiment import Arm, Catalogue, Experiment, State
from pullarm.domain.ports import Revision
from pullarm.domain.transitions import changed
from tests.contract.conftest import Stores
from tests.ledger_events import START_MS, draft

ANN = Author("ann", "REST", address="192.0.2.7")
_LATER_MS = START_MS + 1_234


def _at(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def _revision(experiment: Experiment, state: State, action: str = "edit") -> Revision:
    return Revision(
        action=action,
        spec=replace(experiment.spec, traffic_pct=0.8),
        state=state,
        buckets=experiment.buckets[::-1],
        allocation_epoch=experiment.allocation_epoch + 1,
        guard_epoch=experiment.guard_epoch + 2,
        author=ANN,
    )


async def test_draft_is_stored_as_given(stores: Stores) -> None:
    new = draft("homepage", arms=["b", "a"])
    made = await stores.experiments.create(new, START_MS)
    assert made == Experiment(
        number=made.number,
        id="exp_homepage",
        key="homepage",
        state=State.DRAFT,
        spec=new.spec,
        config_no=1,
        allocation_epoch=1,
        guard_epoch=1,
        salt=new.salt,
        buckets=new.buckets,
        arms=(Arm(arm_no=1, arm_id="b"), Arm(arm_no=2, arm_id="a")),
        created_at=_at(START_MS),
        updated_at=_at(START_MS),
    )
    assert await stores.experiments.get("exp_homepage") == made
    assert await stores.experiments.get("homepage") == made
    assert await stores.history(made.number) == [(1, "create", "", "draft")]


async def test_numbers_are_skipped_and_never_gone_back_to(stores: Stores) -> None:
    numbers = []
    for key, upto in (("a", 1), ("b", 0), ("c", 5), ("d", 4), ("e", 0)):
        await stores.experiments.skip_numbers(upto)
        numbers.append((await stores.experiments.create(draft(key), START_MS)).number)
    assert numbers == [2, 3, 6, 7, 8]


async def test_key_is_taken_once(stores: Stores) -> None:
    await stores.experiments.create(draft("homepage"), START_MS)
    again = replace(draft("homepage"), id="exp_other")
    with pytest.raises(InvalidInput, match="key: 'homepage' is taken"):
        await stores.experiments.create(again, START_MS)
    assert len(await stores.experiments.all()) == 1


async def test_unknown_reference_is_not_found(stores: Stores) -> None:
    with pytest.raises(NotFound, match="'exp_none'"):
        await stores.experiments.get("exp_none")


async def test_id_wins_over_a_key_that_looks_like_one(stores: Stores) -> None:
    imitation = replace(draft("exp_b"), id="exp_a")
    await stores.experiments.create(imitation, START_MS)
    original = await stores.experiments.create(draft("b"), START_MS)
    assert await stores.experiments.get("exp_b") == original


async def test_list_is_newest_first_and_without_arms(stores: Stores) -> None:
    for key, after_ms in (("a", 0), ("c", 9), ("b", 9)):
        await stores.experiments.create(draft(key), START_MS + after_ms)
    listed = await stores.experiments.all()
    assert [experiment.key for experiment in listed] == ["b", "c", "a"]
    assert all(experiment.arms == () for experiment in listed)


async def test_revision_is_a_new_version(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a"), START_MS)
    change = _revision(made, State.RUNNING, "start")
    revised = await stores.experiments.revise(made, change, _LATER_MS)
    assert revised == replace(
        made,
        state=State.RUNNING,
        spec=change.spec,
        buckets=change.buckets,
        config_no=2,
        allocation_epoch=2,
        guard_epoch=3,
        updated_at=_at(_LATER_MS),
        started_at=_at(_LATER_MS),
    )
    assert await stores.experiments.get("a") == revised
    assert await stores.history(made.number) == [
        (1, "create", "", "draft"),
        (2, "start", "ann", "running"),
    ]


async def test_start_and_end_are_set_once(stores: Stores) -> None:
    experiment = await stores.experiments.create(draft("a"), START_MS)
    states = [State.RUNNING, State.ROLLED_BACK, State.RUNNING, State.STOPPED, State.STOPPED]
    for hour, state in enumerate(states, start=1):
        now_ms = START_MS + hour * 3_600_000
        experiment = await stores.experiments.revise(
            experiment, _revision(experiment, state), now_ms
        )
    assert experiment.started_at == _at(START_MS + 3_600_000)
    assert experiment.end_at == _at(START_MS + 4 * 3_600_000)


async def test_stale_version_is_refused(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a"), START_MS)
    revised = await stores.experiments.revise(made, _revision(made, State.RUNNING), _LATER_MS)
    with pytest.raises(VersionMismatch):
        await stores.experiments.revise(made, _revision(made, State.STOPPED), _LATER_MS)
    assert await stores.experiments.get("a") == revised
    assert len(await stores.history(made.number)) == 2


async def test_first_seen_candidates_become_arms_in_their_order(stores: Stores) -> None:
    made = await stores.experiments.create(
        draft("a", catalogue=Catalogue.OPEN, arms=["known"]), START_MS
    )
    names = ["z", "known", "b", "z", "a"]
    assert await stores.experiments.register_arms(made.number, names, _LATER_MS) == 3
    grown = await stores.experiments.get("a")
    assert [(arm.arm_no, arm.arm_id) for arm in grown.arms] == [
        (1, "known"),
        (2, "z"),
        (3, "b"),
        (4, "a"),
    ]
    assert (grown.config_no, grown.updated_at) == (2, _at(_LATER_MS))
    assert await stores.history(made.number) == [
        (1, "create", "", "draft"),
        (2, "register_arms", "worker", "draft"),
    ]


async def test_known_candidates_make_no_new_version(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a", catalogue=Catalogue.OPEN), START_MS)
    assert await stores.experiments.register_arms(made.number, ["one"], _LATER_MS) == 0
    assert await stores.experiments.get("a") == made


async def test_catalogue_ends_at_max_arms(stores: Stores) -> None:
    made = await stores.experiments.create(
        draft("a", catalogue=Catalogue.OPEN, arms=[], max_arms=2), START_MS
    )
    assert await stores.experiments.register_arms(made.number, ["a"], _LATER_MS) == 1
    assert await stores.experiments.register_arms(made.number, ["b", "c"], _LATER_MS) == 1
    assert await stores.experiments.register_arms(made.number, ["c"], _LATER_MS) == 0
    assert [arm.arm_id for arm in (await stores.experiments.get("a")).arms] == ["a", "b"]


async def test_closed_catalogue_takes_no_arms(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a"), START_MS)
    assert await stores.experiments.register_arms(made.number, ["three"], _LATER_MS) == 0


async def test_arms_of_an_unknown_experiment_are_ignored(stores: Stores) -> None:
    assert await stores.experiments.register_arms(99, ["a"], _LATER_MS) == 0


async def test_change_after_arms_were_registered_keeps_them(stores: Stores) -> None:
    made = await stores.experiments.create(draft("a", catalogue=Catalogue.OPEN, arms=[]), START_MS)
    await stores.experiments.register_arms(made.number, ["a"], _LATER_MS)
    with pytest.raises(VersionMismatch):
        await stores.experiments.revise(made, _revision(made, State.RUNNING), _LATER_MS)
    grown = await stores.experiments.get("a")
    revised = await stores.experiments.revise(grown, _revision(grown, State.RUNNING), _LATER_MS)
    assert revised.arms == (Arm(arm_no=1, arm_id="a"),)
    assert await stores.experiments.get("a") == revised


async def test_what_schedules_owe_is_found(stores: Stores) -> None:
    day = timedelta(days=1)
    start = _at(START_MS)
    plans: dict[str, dict[str, Any]] = {
        "now": {"start_at": start},
        "later": {"start_at": start + day},
        "never": {},
        "short": {"duration_days": 0.5},
        "ends": {"end_at": start + 2 * day, "duration_days": 0.5},
        "long": {"duration_days": 3.0},
        "shipped": {"duration_days": 0.5},
        "taken_back": {"duration_days": 0.5, "shipped": True},
        "stopped": {"duration_days": 0.5},
    }
    states = {"short": State.RUNNING, "ends": State.ROLLED_BACK, "long": State.RUNNING}
    states |= {"shipped": State.SHIPPED, "taken_back": State.ROLLED_BACK, "stopped": State.STOPPED}
    for key, plan in plans.items():
        new = draft(key)
        new = replace(new, spec=replace(new.spec, **plan))
        made = await stores.experiments.create(new, START_MS)
        if key in states:
            running = changed(made, "start", State.RUNNING)
            made = await stores.experiments.revise(made, running, START_MS)
            await stores.experiments.revise(made, changed(made, "edit", states[key]), START_MS + 1)

    async def owed(after: timedelta) -> dict[str, str]:
        now = start + after
        found = dict(await stores.experiments.due(round(now.timestamp() * 1000)))
        everything = [await stores.experiments.get(key) for key in plans]
        assert found == {e.id: action for e in everything if (action := e.due(now))}
        return {each.removeprefix("exp_"): action for each, action in found.items()}

    assert await owed(-timedelta(milliseconds=1)) == {}
    assert await owed(timedelta()) == {"now": "start"}
    assert await owed(day / 2) == {"now": "start", "short": "stop"}
    assert await owed(2 * day) == {
        "now": "start",
        "later": "start",
        "short": "stop",
        "ends": "stop",
    }
    assert set(await owed(3 * day)) == {"now", "later", "short", "ends", "long"}
