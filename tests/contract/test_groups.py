"""Experiments reserve shares of their groups, and holdouts are theirs at once, in memory as in PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pullarm.domain.admission import Forced
from pullarm.domain.audit import Author
from pullarm.domain.errors import InvalidInput, NotFound
from pullarm.domain.experiment import Experiment, Spec, State
from pullarm.domain.groups import ALL, Group
from pullarm.domain.ports import NewExperiment, Revision
from tests.contract.conftest import Stores
from tests.ledger_events import START_MS, draft

ANN = Author("ann", "test")
GROUP = Group(name="g", salt=b"s" * 16, created_at=datetime(2026, 1, 1, tzinfo=UTC))


def grouped(key: str, share: float, group: str = "g") -> NewExperiment:
    new = draft(key)
    return replace(new, spec=replace(new.spec, group=group, group_share=share))


def becoming(
    experiment: Experiment,
    *,
    spec: Spec | None = None,
    state: State | None = None,
    forced: tuple[Forced, ...] | None = None,
) -> Revision:
    return Revision(
        action="edit",
        spec=spec or experiment.spec,
        state=state or experiment.state,
        buckets=experiment.buckets,
        allocation_epoch=experiment.allocation_epoch,
        guard_epoch=experiment.guard_epoch,
        forced=forced,
    )


async def test_group_is_made_once_and_listed(stores: Stores) -> None:
    await stores.groups.create(GROUP, ANN)
    with pytest.raises(InvalidInput, match="name: 'g' is taken"):
        await stores.groups.create(GROUP, ANN)
    everybody, made = await stores.groups.all()
    assert (everybody.name, everybody.holdout_micro, made) == (ALL, 0, GROUP)


async def test_shares_fit_or_are_refused_and_a_stop_frees_them(stores: Stores) -> None:
    await stores.groups.create(GROUP, ANN)
    first = await stores.experiments.create(grouped("first", 0.6), START_MS)
    assert first.seats[0].ranges == ((0, 6_000),)
    with pytest.raises(InvalidInput, match=r"0\.4 of group 'g' is free: exp_first 0\.6"):
        await stores.experiments.create(grouped("second", 0.5), START_MS)
    second = await stores.experiments.create(grouped("second", 0.3), START_MS)
    assert second.seats[0].ranges == ((6_000, 9_000),)
    raised = replace(first.spec, group_share=0.7)
    first = await stores.experiments.revise(first, becoming(first, spec=raised), START_MS)
    assert first.seats[0].ranges == ((0, 6_000), (9_000, 10_000))
    more = replace(second.spec, group_share=0.31)
    with pytest.raises(InvalidInput, match="group_share"):
        await stores.experiments.revise(second, becoming(second, spec=more), START_MS)
    stopped = becoming(first, state=State.STOPPED)
    first = await stores.experiments.revise(first, stopped, START_MS)
    assert first.seats[0].ranges == ((0, 6_000), (9_000, 10_000))
    third = await stores.experiments.create(grouped("third", 0.7), START_MS)
    assert third.seats[0].ranges == ((0, 6_000), (9_000, 10_000))
    assert await stores.experiments.get("second") == second


async def test_group_that_is_not_there(stores: Stores) -> None:
    with pytest.raises(InvalidInput, match="group: there is no group 'g'"):
        await stores.experiments.create(grouped("first", 0.6), START_MS)
    with pytest.raises(NotFound, match="'g'"):
        await stores.groups.hold_out("g", 1, ANN, START_MS)


async def test_holdout_of_a_group_is_a_version_of_its_experiments(stores: Stores) -> None:
    await stores.groups.create(GROUP, ANN)
    inside = await stores.experiments.create(grouped("inside", 0.5), START_MS)
    outside = await stores.experiments.create(draft("outside"), START_MS)
    assert (await stores.groups.hold_out("g", 50_000, ANN, START_MS + 9)).holdout_micro == 50_000
    now = await stores.experiments.get("inside")
    assert now.seats == (replace(inside.seats[0], holdout_micro=50_000),)
    assert (now.config_no, now.allocation_epoch) == (2, 1)
    assert (await stores.history(inside.number))[-1] == (2, "hold_out", "ann", "draft")
    group, of_inside, *_ = await stores.trail.page(None, before=None, count=9)
    assert (group.action, group.actor, group.experiment) == ("hold_out", "ann", None)
    assert group.before == {"group": "g", "holdout_pct": 0.0}
    assert group.after == {"group": "g", "holdout_pct": 0.05}
    assert (of_inside.experiment, of_inside.config_no) == (inside.number, 2)
    assert (of_inside.before, of_inside.after) == (
        {"holdouts": {"g": 0.0}},
        {"holdouts": {"g": 0.05}},
    )
    assert await stores.experiments.get("outside") == outside


async def test_holdout_of_all_is_in_every_experiment_and_in_new_ones(stores: Stores) -> None:
    await stores.groups.create(GROUP, ANN)
    await stores.experiments.create(grouped("inside", 0.5), START_MS)
    over = await stores.experiments.create(draft("over"), START_MS)
    over = await stores.experiments.revise(over, becoming(over, state=State.STOPPED), START_MS)
    await stores.groups.hold_out(ALL, 20_000, ANN, START_MS)
    await stores.experiments.create(grouped("new", 0.5), START_MS)
    for key in ("inside", "new"):
        everybody, own = (await stores.experiments.get(key)).seats
        assert (everybody.group, everybody.holdout_micro, everybody.ranges) == (ALL, 20_000, None)
        assert (own.group, own.buckets) == ("g", 5_000)
    assert await stores.experiments.get("over") == over
    await stores.groups.hold_out(ALL, 0, ANN, START_MS)
    assert [seat.group for seat in (await stores.experiments.get("new")).seats] == ["g"]


async def test_forced_users_stay_until_they_are_changed(stores: Stores) -> None:
    made = await stores.experiments.create(draft("forced"), START_MS)
    users = (Forced(user_id="ann", policy="thompson"), Forced(user_id="bob", arm_id="one"))
    await stores.experiments.revise(made, becoming(made, forced=users), START_MS)
    kept = await stores.experiments.get("forced")
    assert kept.forced == users
    raised = becoming(kept, spec=replace(kept.spec, traffic_pct=0.5))
    assert (await stores.experiments.revise(kept, raised, START_MS)).forced == users
    kept = await stores.experiments.get("forced")
    freed = await stores.experiments.revise(kept, becoming(kept, forced=()), START_MS)
    assert freed.forced == ()
