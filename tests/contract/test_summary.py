"""The figures of an experiment, counted alike in memory and in PostgreSQL."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from pullarm.domain.decision import (
    NO_EXPERIMENT,
    NO_POLICY,
    Batch,
    Decision,
    Reason,
    RewardStatus,
    ServingMinute,
    Token,
)
from pullarm.domain.summary import DataCut, PolicyFigures, Summary
from tests.contract.conftest import Stores
from tests.ledger_events import HOUR_MS, START_MS, Event, Events, batch, draft

_NOTHING = PolicyFigures(users=0, serves=0, rewards=0, rate=None, standard_error=None)


@dataclass
class Scene:
    """One experiment with thompson and control."""

    stores: Stores
    number: int
    make: Events = field(default_factory=Events)

    async def fold(self, *events: Event) -> None:
        await self.stores.ledger.fold(batch(*events), START_MS)

    async def summary(self) -> Summary:
        await self.stores.settle(self.number)
        experiment = await self.stores.experiments.get("exp_a")
        return await self.stores.summaries.of(experiment)

    def tokens(self, count: int, *, policy: int = 2) -> list[Token]:
        """Decisions a millisecond apart, each of another unit."""
        made = [self.make.token(self.number, at_ms=START_MS + n) for n in range(count)]
        return [token._replace(assigned=policy) for token in made]

    def of_request(self, token: Token, request_id: str) -> Decision:
        return self.make.decision(token)._replace(request_id=request_id)


@pytest.fixture
async def scene(stores: Stores) -> Scene:
    experiment = await stores.experiments.create(draft("a"), START_MS)
    other = await stores.experiments.create(draft("b"), START_MS)
    scene = Scene(stores, experiment.number)
    # What happens in another experiment is told nowhere in this one's figures.
    foreign = scene.make.token(other.number)
    await scene.fold(scene.make.decision(foreign), scene.make.reward(foreign))
    return scene


async def test_an_experiment_without_events_has_figures_of_zero(scene: Scene) -> None:
    assert await scene.summary() == Summary(
        policies={"control": _NOTHING, "thompson": _NOTHING},
        decisions=0,
        rewards_received=0,
        duplicate_rewards=0,
        decisions_by_reason={},
        rewards_by_status={},
        refused_rewards={},
        unattributed_rewards={},
        voided={},
        moved={},
        not_analysed={},
        first_exposures=(),
        unlisted_candidates=0,
        withheld_candidates=0,
        first_decision_at=None,
        last_decision_at=None,
        data_cut=DataCut(fold_no=0, folds_behind=0, behind_since=None),
        fold_no=0,
        posterior_version=0,
    )


async def test_users_serves_rewards_and_rate_of_each_policy(scene: Scene) -> None:
    first, second, third, fourth = scene.tokens(4)
    again = fourth._replace(unit_hash=third.unit_hash)
    (of_control,) = scene.tokens(1, policy=1)
    await scene.fold(*map(scene.make.decision, (first, second, third, again, of_control)))
    await scene.fold(
        scene.make.reward(first), scene.make.reward(second, credit=0.5), scene.make.reward(first)
    )
    summary = await scene.summary()
    thompson = summary.policies["thompson"]
    assert (thompson.users, thompson.serves, thompson.rewards) == (3, 4, 2)
    assert thompson.rate == pytest.approx(0.375)
    # users with serves 1, 1, 2 and credits 1, 0.5, 0: beyond 0.375 a serve they earned 0.625, 0.125 and -0.75, whose
    # squares sum to 0.96875; times 3 / 2 and over the 4 serves squared that is the variance
    assert thompson.standard_error == pytest.approx(0.301364, abs=1e-6)
    assert summary.policies["control"] == PolicyFigures(
        users=1, serves=1, rewards=0, rate=0.0, standard_error=None
    )
    assert (summary.decisions, summary.fold_no) == (5, 2)
    assert (summary.rewards_received, summary.duplicate_rewards) == (3, 1)
    start = datetime.fromtimestamp(START_MS / 1000, UTC)
    assert summary.first_decision_at == start
    assert summary.last_decision_at == start.replace(microsecond=3_000)


async def test_tries_of_one_request_count_once_by_the_last_that_is_not_void(scene: Scene) -> None:
    tries = [token._replace(unit_hash=5) for token in scene.tokens(3)]
    (other,) = scene.tokens(1)
    await scene.fold(*(scene.of_request(token, "r") for token in tries))
    await scene.fold(scene.of_request(other, "r"))
    await scene.fold(tries[2], scene.make.reward(tries[1]), scene.make.reward(tries[0]))
    summary = await scene.summary()
    thompson = summary.policies["thompson"]
    assert (thompson.users, thompson.serves, thompson.rewards) == (2, 2, 1)
    assert thompson.rate == 0.5
    assert (summary.decisions, summary.voided) == (4, {"thompson": 1})


async def test_tries_of_different_days_are_different_requests(scene: Scene) -> None:
    midnight = START_MS + 24 * HOUR_MS
    tries = [
        scene.make.token(scene.number, at_ms=midnight + after)._replace(assigned=2, unit_hash=5)
        for after in (-2, -1, 0, 1)
    ]
    for token in tries:
        await scene.fold(scene.of_request(token, "r"))
    summary = await scene.summary()
    assert summary.policies["thompson"].serves == 2


async def test_voids_and_answers_without_a_policy_are_told_apart(scene: Scene) -> None:
    void, served, stub = scene.tokens(3)
    fallback = scene.make.token(scene.number, acting=NO_POLICY, reason=Reason.NOT_IN_TRAFFIC)
    await scene.fold(
        scene.make.decision(void),
        void,
        scene.make.decision(served)._replace(unlisted=2, withheld=1),
        scene.make.decision(fallback)._replace(unlisted=1, withheld=4),
        scene.make.reward(fallback, status=RewardStatus.NOT_IN_EXPERIMENT),
        scene.make.reward(void),
        scene.make.reward(stub),
    )
    summary = await scene.summary()
    thompson = summary.policies["thompson"]
    assert (thompson.serves, thompson.rewards, thompson.rate) == (2, 1, 0.5)
    assert (summary.decisions, summary.voided) == (3, {"thompson": 1})
    assert (summary.unlisted_candidates, summary.withheld_candidates) == (3, 5)
    assert summary.decisions_by_reason == {"ASSIGNED": 2, "NOT_IN_TRAFFIC": 1}
    assert summary.rewards_by_status == {"ACCEPTED": 2, "NOT_IN_EXPERIMENT": 1}


async def test_only_the_first_slot_and_the_learning_kind_are_rated(scene: Scene) -> None:
    (token,) = scene.tokens(1)
    await scene.fold(
        scene.make.decision(token._replace(arms=[1, 2])),
        scene.make.reward(token._replace(arms=[1, 2]), slot=2),
        scene.make.reward(token._replace(arms=[1, 2]), kind="click", feeds=False),
    )
    assert (await scene.summary()).policies["thompson"].rate == 0.0


async def test_a_policy_that_lost_its_traffic_keeps_its_figures(scene: Scene) -> None:
    (token,) = scene.tokens(1, policy=4)
    await scene.fold(scene.make.decision(token))
    assert list((await scene.summary()).policies) == ["control", "thompson", "ucb"]


def _minute(
    experiment: int,
    refused: dict[RewardStatus, int],
    *,
    sequence: int = 1,
    policy: int = 2,
    process: str = "serving-0-a",
) -> ServingMinute:
    counts = {int(status): count for status, count in refused.items()}
    rewards = sum(counts.values())
    return ServingMinute(process, sequence, experiment, policy, 9, 0, 0, 0, 0, {}, rewards, counts)


async def test_refused_rewards_are_told_by_status_however_often_they_are_reported(
    scene: Scene,
) -> None:
    future, forged = RewardStatus.IN_FUTURE, RewardStatus.FORGED_ID
    reports = [
        _minute(scene.number, {future: 1}),
        _minute(scene.number, {future: 3}, sequence=2),
        _minute(scene.number, {future: 10, RewardStatus.INVALID_VALUE: 5}, policy=NO_POLICY),
        _minute(scene.number, {future: 100}, process="serving-1-b"),
        _minute(scene.number, {}, policy=1),
        _minute(scene.number + 1, {future: 1_000}),
        _minute(NO_EXPERIMENT, {forged: 7, RewardStatus.MALFORMED_ID: 2}, policy=NO_POLICY),
    ]
    for report in (*reports, *reversed(reports)):
        await scene.stores.ledger.fold(Batch([], [], [], [report]), START_MS)
    summary = await scene.summary()
    assert summary.refused_rewards == {"IN_FUTURE": 113, "INVALID_VALUE": 5}
    assert summary.unattributed_rewards == {"FORGED_ID": 7, "MALFORMED_ID": 2}
    assert (summary.rewards_received, summary.rewards_by_status) == (0, {})
