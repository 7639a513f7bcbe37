"""The tables that summaries are answered from: any way through the folds leaves what the ledger makes of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from random import Random

import pytest

from pullarm.domain.audit import Author
from pullarm.domain.decision import NO_POLICY, Reason
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import Aggregation, Exposure
from pullarm.domain.rebuild import Exclusion, Restoration
from pullarm.statistics.ratio import Sums
from pullarm.storage.memory.experiments import at
from pullarm.storage.postgres import (
    PostgresRepair,
    PostgresStatistics,
)
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.integration.small_scene import Small
from tests.ledger_events import HOUR_MS, START_MS, Event, Events, batch, some_rewards
from workers.statistics import Statistics


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[LedgerScene]:
    async with ledger_scene(database_url) as scene:
        yield scene


def _eventful(make: Events, numbers: Sequence[int], random: Random) -> list[Event]:
    """A few units who come again, repeat requests and change their policy, with whatever can happen to a decision."""
    events: list[Event] = []
    for _ in range(25):
        policy, reason = (
            random.choice([1, 2, 2, 3]),
            random.choice([Reason.ASSIGNED] * 5 + [*Reason]),
        )
        token = make.token(
            random.choice(numbers),
            at_ms=START_MS + random.choice([-1, 0, 1, 23, 24, 60]) * HOUR_MS,
            acting=policy if reason in (Reason.ASSIGNED, Reason.SHIPPED) else NO_POLICY,
            arms=random.sample([1, 2, 3, 4, 5], random.randint(1, 5)),
            reason=reason,
        )._replace(
            assigned=policy,
            unit_hash=random.choice([-5, 7, 211]),
            allocation_epoch=random.choice([1, 1, 1, 2]),
            cohort=random.choice([0, 3]),
        )
        decision = make.decision(token)._replace(
            request_id=random.choice(["", "", "a", "b"]), unlisted=random.choice([0, 2])
        )
        events += [decision] * random.choice([1, 1, 0, 2])
        events += [token] * random.choice([0, 0, 0, 1, 2])
        events += some_rewards(make, token, random)
    return random.sample(events, len(events))


async def _exclude(scene: LedgerScene, number: int, *, restored: bool) -> None:
    """Leave a window of time out and, where that is asked for, take it in again."""
    window = Exclusion(from_at=at(START_MS + HOUR_MS), to_at=at(START_MS + 24 * HOUR_MS))
    await scene.exclude(number, window)
    await PostgresStatistics(scene.database).step(number)
    if restored:
        author = Author("somebody", "test")
        await PostgresRepair(scene.database).rebuild(number, Restoration(1), author, at(START_MS))
        scene.oracle.exclusions[number].clear()


@pytest.mark.parametrize("workers", [1, 2])
async def test_any_way_through_the_folds_leaves_what_the_ledger_makes_of_them(
    scene: LedgerScene, workers: int
) -> None:
    """Two experiments in the same batches, folded by one worker or two, with as many owners stepping between; and of
    one of them a window of time is excluded meanwhile, which is taken back where the seed is odd."""
    for seed in range(5):
        random = Random(f"{workers} {seed}")
        numbers = [
            await scene.experiment(random.choice([*Aggregation]), random.choice([*Exposure]))
            for _ in range(2)
        ]
        events = _eventful(Events(random), numbers, random)

        async def work(share: list[Event], random: Random, numbers: Sequence[int]) -> None:
            statistics = PostgresStatistics(scene.database, folds=random.choice([1, 2, 5]))
            while share:
                size = random.randint(1, 6)
                await scene.fold(share[:size])
                del share[:size]
                if random.random() < 0.4:
                    await statistics.step(random.choice(numbers))

        shares = [events[worker::workers] for worker in range(workers)]
        await asyncio.gather(
            _exclude(scene, numbers[0], restored=bool(seed % 2)),
            *(
                work(share, Random(f"{seed} {place}"), numbers)
                for place, share in enumerate(shares)
            ),
        )
        await scene.oracle.fold(batch(*events), START_MS)
        statistics = PostgresStatistics(scene.database)
        for number in numbers:
            await asyncio.gather(*(statistics.catch_up(number) for _ in range(workers)))
            assert await statistics.verify(number) == [], seed
            await scene.check_summary(number)
            await scene.check_groups(number, random)


@pytest.fixture
async def small(scene: LedgerScene) -> Small:
    return Small(scene, await scene.experiment(Aggregation.FIRST))


async def test_sums_up_to_a_day_follow_what_comes_late(small: Small) -> None:
    experiment = await small.scene.found(small.number)
    start = experiment.created_at
    first, again, other = small.token(1), small.token(1, hour=50), small.token(2, hour=3)
    await small.serve(first, again)
    await small.summary()

    async def up_to(hours: int, epoch: int = 1) -> Sums | None:
        await small.summary()
        found = await small.summaries.sums(experiment, epoch, start + timedelta(hours=hours))
        return found.get("thompson")

    assert await up_to(23) is None
    assert await up_to(24) == await up_to(71) == Sums(n=1, m=1, mm=1)
    assert await up_to(72) == await up_to(72, epoch=0) == Sums(n=1, m=2, mm=4)
    assert await up_to(72, epoch=2) is None
    await small.serve(other)
    await small.scene.fold([small.make.reward(first, credit=0.5, after_ms=90 * HOUR_MS)])
    half = 500_000
    assert await up_to(24) == Sums(n=2, m=2, c=half, mm=2, cc=half**2, mc=half)
    assert await up_to(72) == Sums(n=2, m=3, c=half, mm=5, cc=half**2, mc=2 * half)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE rollup SET serves = serves + 1 WHERE marginal = 1", "roll-up 1 bucket "),
        ("DELETE FROM rollup WHERE marginal = 4", "roll-up 4 bucket "),
        (
            "UPDATE user_group SET m[9] = 1",
            "user groups of 1 h bucket 489000 policy 2 cohort 0 stripe 0: ",
        ),
        ("DELETE FROM user_group WHERE hours = 24", "user groups of 24 h bucket 20375 policy 2 "),
        ("UPDATE tally SET n = n + 1 WHERE name = 'calls'", "tally calls 1: stored 2, ledger 1"),
        ("UPDATE user_day SET c = c + 1", "unit 7 epoch 1 policy 2 day 0: stored 1 1 1000001, "),
        (
            "UPDATE user_sums SET mm = 0 WHERE allocation_epoch = 0",
            "users of epoch 0 policy 2 up to",
        ),
        (
            "DELETE FROM user_sums WHERE allocation_epoch = 1",
            "users of epoch 1 policy 2 up to day 0",
        ),
        ("UPDATE statistics_head SET last_at = now()", "first and last decision: "),
        ("UPDATE reward SET credit = 5", "roll-up 1 bucket "),
        ("DELETE FROM decision", "tally decisions 0: stored 1, ledger -"),
    ],
)
async def test_verify_names_what_differs_and_a_rebuild_mends_it(
    small: Small, statement: str, named: str
) -> None:
    token = small.token(7)
    await small.scene.fold([small.make.decision(token), small.make.reward(token)])
    await small.summary()
    await small.execute(statement)
    lines = await small.statistics.verify(small.number)
    assert [line for line in lines if line.startswith(named)], lines
    await small.statistics.rebuild(small.number)
    assert await small.statistics.verify(small.number) == []


_WAITING = "SELECT pid FROM pg_locks WHERE NOT granted"


async def test_a_step_that_is_cut_off_did_nothing_and_only_one_owner_steps(small: Small) -> None:
    await small.serve(small.token(1))
    await small.summary()
    await small.serve(small.token(1), small.token(2))
    async with asyncio.timeout(60), small.scene.database.transaction() as holder:
        await holder.execute("SELECT FROM statistics_head FOR UPDATE")
        cut_off = asyncio.create_task(small.statistics.step(small.number))
        while not (pid := await holder.fetchval(_WAITING)):
            await asyncio.sleep(0.01)
        assert await small.statistics.step(small.number) == 0, "another has it"
        await holder.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(Unavailable):
            await cut_off
    assert await small.statistics.verify(small.number) == []
    assert await small.statistics.due() == [small.number]
    assert (await small.summary()).policies["thompson"].serves == 3


async def test_what_one_experiment_cannot_take_holds_up_no_other(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    other = await small.scene.experiment(Aggregation.FIRST)
    await small.serve(small.token(1), small.make.token(other))
    await small.execute(f"ALTER TABLE rollup ADD CHECK (experiment_id <> {small.number})")
    stage = Statistics(small.statistics)
    assert [await stage.round() for _ in range(2)] == [False, False]
    (told,) = caplog.records
    assert told.message.startswith(f"statistics of experiment {small.number} stand still: ")
    assert await small.statistics.due() == [small.number]


async def test_the_stage_keeps_up_by_itself(small: Small) -> None:
    stage = asyncio.create_task(Statistics(small.statistics).run())
    for unit in range(3):
        await small.serve(small.token(unit))
        async with asyncio.timeout(60):
            while await small.statistics.due():
                await asyncio.sleep(0.02)
    stage.cancel()
    await asyncio.gather(stage, return_exceptions=True)
    assert (await small.summary()).policies["thompson"].users == 3
