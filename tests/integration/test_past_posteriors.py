"""Every past posterior, worked out from a checkpoint and the rows of the folds since, is the one there was.

What there was is written down by a trigger on the fold's last statement: it sees the posterior exactly as that fold
leaves it, however many workers fold at once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from pullarm.domain.audit import Author
from pullarm.domain.experiment import Aggregation, Experiment, Exposure
from pullarm.domain.publication import PosteriorCell
from pullarm.domain.rebuild import Exclusion, Restoration
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresHistory,
    PostgresLedger,
    PostgresPublications,
    PostgresRepair,
)
from pullarm.storage.postgres.database import queries
from pullarm.storage.postgres.publications import Planned
from pullarm.storage.postgres.times import at
from tests.ledger_events import HOUR_MS, START_MS, Event, Events, batch, draft, some_rewards

_KEEP = """
    CREATE TABLE kept (experiment_id integer, fold_no bigint, policy smallint, arm_no integer, n bigint, s bigint);
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO kept SELECT NEW.experiment_id, NEW.fold_no, policy, arm_no, sum(n), sum(s)
        FROM posterior WHERE experiment_id = NEW.experiment_id GROUP BY policy, arm_no;
        RETURN NULL;
    END $$;
    CREATE TRIGGER keep AFTER INSERT ON fold_log FOR EACH ROW EXECUTE FUNCTION keep();
"""
_OUT_OF_ORDER = """
    SELECT count(*) FROM fold_log a JOIN fold_log b USING (experiment_id)
    WHERE experiment_id = $1 AND a.fold_no < b.fold_no AND a.batch_no > b.batch_no
"""
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND $1 > 0"


async def _no_grid(
    experiment: Experiment, grid_no: int, complete: bool, cells: list[PosteriorCell]
) -> Planned:
    return Planned(number=0, points=None)


@dataclass
class Scene:
    """A ledger whose every posterior is written down, with a checkpoint every three folds."""

    database: Database
    made: int = field(default=0)
    now_ms: int = field(default=START_MS)

    def __post_init__(self) -> None:
        self.ledger = PostgresLedger(self.database)
        self.history = PostgresHistory(self.database)
        self.repair = PostgresRepair(self.database)
        self.publications = PostgresPublications(self.database, checkpoint_folds=3)

    async def experiment(
        self,
        aggregation: Aggregation = Aggregation.FIRST,
        exposure: Exposure = Exposure.SERVED,
    ) -> int:
        self.made += 1
        new = draft(f"key-{self.made}", aggregation=aggregation, exposure=exposure)
        return (await PostgresExperiments(self.database).create(new, START_MS)).number

    async def fold(self, *events: Event) -> None:
        self.now_ms += 1
        await self.ledger.fold(batch(*events), self.now_ms)

    async def publish(self, number: int) -> None:
        async with self.publications.owning(number) as publishing:
            if publishing is not None:
                await publishing.next(have_pub_no=None, as_of_ms=0, kernel=1, plan=_no_grid)

    async def rebuild(self, number: int, change: Exclusion | Restoration) -> None:
        await self.repair.rebuild(number, change, Author("", "test"), at(self.now_ms))

    async def check(self, number: int) -> int:
        """Every posterior since the beginning; how many folds there were."""
        async with self.database.connection() as connection:
            folds: int = await connection.fetchval(
                "SELECT fold_no FROM fold_head WHERE experiment_id = $1", number
            )
            kept = await connection.fetch("SELECT * FROM kept WHERE experiment_id = $1", number)
        for fold_no in range(folds + 1):
            there_was = {
                (row["policy"], row["arm_no"]): (row["n"], row["s"])
                for row in kept
                if row["fold_no"] == fold_no and (row["n"], row["s"]) != (0, 0)
            }
            assert await self.history.posterior(number, fold_no) == there_was, fold_no
        assert await self.ledger.verify(number) == []
        return folds

    async def count(self, query: str, number: int) -> int:
        async with self.database.connection() as connection:
            found: int = await connection.fetchval(query, number)
        return found


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with Database(database_url) as database:
        async with database.connection() as connection:
            await connection.execute(_KEEP)
        yield Scene(database)


def _eventful(make: Events, numbers: Sequence[int], random: Random) -> list[Event]:
    """Decisions with whatever can happen to them, each event perhaps more than once, in any order."""
    events: list[Event] = []
    for _ in range(15):
        token = make.token(
            random.choice(numbers),
            at_ms=START_MS + random.choice([0, 1, 23, 24]) * HOUR_MS,
            acting=random.choice([2, 2, 2, 1, 0]),
            arms=random.sample([1, 2, 3], random.randint(1, 3)),
            learn_slots=random.choice([1, 1, 0, 2, 3]),
        )
        events += [make.decision(token)] * random.choice([1, 1, 0, 2])
        events += [token] * random.choice([0, 0, 1, 2])
        events += some_rewards(make, token, random)
    return random.sample(events, len(events))


def _rebuilds(random: Random, now_ms: int) -> list[Exclusion | Restoration]:
    """A few rebuilds, the second of which may take back the first."""
    changes: list[Exclusion | Restoration] = [
        Exclusion(source="bot"),
        Exclusion(from_at=at(START_MS), to_at=at(START_MS + random.choice([1, 2, 24]) * HOUR_MS)),
        Exclusion(until=at(now_ms + 3)),
        Exclusion(source="bot", until=at(now_ms + 2)),
        Exclusion(),
    ]
    first = random.choice(changes[:4])
    return [first, random.choice([*changes, Restoration(1)])][: random.choice([0, 1, 2, 2])]


@pytest.mark.parametrize("workers", [1, 2])
async def test_every_past_posterior_is_the_one_there_was(scene: Scene, workers: int) -> None:
    """Two experiments in the same batches, folded by one worker or by two at once, published and rebuilt meanwhile."""
    folds = 0
    for seed in range(25):
        random = Random(f"{workers} {seed}")
        numbers = [
            await scene.experiment(random.choice([*Aggregation]), random.choice([*Exposure]))
            for _ in range(2)
        ]
        events = _eventful(Events(random), numbers, random)

        async def work(share: list[Event], random: Random, numbers: Sequence[int]) -> None:
            while share:
                size = random.randint(1, 6)
                await scene.fold(*share[:size])
                del share[:size]
                if random.random() < 0.5:
                    await scene.publish(random.choice(numbers))

        async def unlearn(number: int, random: Random) -> None:
            for change in _rebuilds(random, scene.now_ms):
                await asyncio.sleep(random.choice([0, 0.03, 0.1]))
                await scene.rebuild(number, change)

        shares = [events[worker::workers] for worker in range(workers)]
        await asyncio.gather(
            *(
                work(share, Random(f"{seed} {place}"), numbers)
                for place, share in enumerate(shares)
            ),
            *(unlearn(number, Random(f"{workers} {number}")) for number in numbers),
        )
        folds += sum([await scene.check(number) for number in numbers])
    assert folds > 500


async def test_batches_that_commit_in_another_order_than_they_are_numbered(scene: Scene) -> None:
    """The earlier batch waits for a decision that somebody holds, while the later one is folded and published."""
    number, make = await scene.experiment(Aggregation.SUM), Events()
    contested, others = make.token(number), [make.token(number, arms=[2]) for _ in range(3)]
    await scene.fold(make.decision(contested))
    async with (
        asyncio.timeout(60),
        scene.database.transaction() as holder,
        asyncio.TaskGroup() as tasks,
    ):
        await holder.execute("SELECT FROM decision FOR UPDATE")
        tasks.create_task(scene.fold(make.reward(contested)))
        while not await scene.count(_WAITING, number):
            await asyncio.sleep(0.01)
        for other in others:
            await scene.fold(make.decision(other), make.reward(other, credit=0.5))
            await scene.publish(number)
        await holder.execute("ROLLBACK AND CHAIN")
    await scene.fold(others[1])
    assert await scene.count(_OUT_OF_ORDER, number) == 3
    assert await scene.check(number) == 6


async def test_what_a_past_posterior_costs_does_not_grow_with_the_history(scene: Scene) -> None:
    """Decisions and rewards are reached by their indexes only, on every one of several days."""
    numbers = [await scene.experiment() for _ in range(3)]
    make, random = Events(), Random(1)
    for fold in range(120):
        tokens = [
            make.token(random.choice(numbers), at_ms=START_MS + fold * HOUR_MS) for _ in range(40)
        ]
        rewards = [make.reward(token) for token in tokens[::4]]
        await scene.fold(*map(make.decision, tokens), *rewards, *tokens[:2])
    async with scene.database.connection() as connection:
        await connection.execute("ANALYZE")
        rows = await connection.fetch(
            "EXPLAIN (ANALYZE, COSTS OFF) " + queries("history")["brought"], numbers[0], 100, 110
        )
    plan = [row[0] for row in rows]
    scans = [line for line in plan if " on decision_" in line or " on reward_" in line]
    assert len(scans) >= 6
    assert not [line for line in scans if "Seq Scan" in line]
    assert await scene.check(numbers[0]) == 120
