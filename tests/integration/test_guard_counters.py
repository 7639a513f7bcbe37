"""The statistics stage's part for guardrails: sums from each start of a test on are those of the users' decisions."""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random

import pytest

from pullarm.domain.decision import Token, pack_arms, uid_ms
from pullarm.domain.experiment import Aggregation, State
from pullarm.domain.ports import Revision
from pullarm.statistics.ratio import Sums
from pullarm.storage.postgres import PostgresExperiments, PostgresStatistics
from tests.integration.ledger_scene import LedgerScene, ledger_scene
from tests.ledger_events import HOUR_MS, START_MS, Events

DAY_MS = 24 * HOUR_MS
MICRO = 1_000_000


@dataclass
class Guarded:
    """A running experiment whose statistics catch up when they are asked for."""

    scene: LedgerScene
    number: int
    make: Events = field(default_factory=Events)

    def __post_init__(self) -> None:
        self.statistics = PostgresStatistics(self.scene.database, folds=3)
        self.experiments = PostgresExperiments(self.scene.database)

    async def become(self, state: State, at_ms: int, *, epoch: int = 0) -> None:
        found = await self.scene.found(self.number)
        change = Revision(
            action="test",
            spec=found.spec,
            state=state,
            buckets=found.buckets,
            allocation_epoch=found.allocation_epoch,
            guard_epoch=found.guard_epoch + epoch,
        )
        await self.experiments.revise(found, change, at_ms)

    def token(self, unit: int, policy: int, at_ms: int) -> Token:
        made = self.make.token(self.number, acting=policy, at_ms=at_ms)
        return made._replace(unit_hash=unit)

    async def rows(self, query: str) -> list[tuple[object, ...]]:
        async with self.scene.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query)]

    async def starts(self) -> list[tuple[object, ...]]:
        await self.statistics.catch_up(self.number)
        return await self.rows(
            f"SELECT guard_epoch, period, place, minute - {START_MS // 60_000} FROM guard_start ORDER BY start_no"
        )


@pytest.fixture
async def guarded(database_url: str) -> AsyncIterator[Guarded]:
    async with ledger_scene(database_url) as scene:
        made = Guarded(scene, await scene.experiment(Aggregation.FIRST))
        await made.become(State.RUNNING, START_MS)
        yield made


async def test_sums_since_each_start_are_those_of_the_users(guarded: Guarded) -> None:
    random, make = Random(7), guarded.make
    tokens = sorted(
        (
            guarded.token(unit, 1 + unit % 2, START_MS + random.randrange(5 * DAY_MS))
            for unit in range(40)
            for _ in range(random.randrange(6))
        ),
        key=lambda token: uid_ms(token.uid),
    )
    rewarded = [token for token in tokens if random.random() < 0.5]
    voided = random.sample(tokens, 10)
    for first in range(0, len(tokens), 10):
        some = tokens[first : first + 10]
        await guarded.scene.fold([make.decision(token) for token in some])
        if random.random() < 0.5:
            await guarded.statistics.catch_up(guarded.number)
    for first in range(0, len(rewarded), 20):
        await guarded.scene.fold([make.reward(token) for token in rewarded[first : first + 20]])
        await guarded.statistics.step(guarded.number)
    await guarded.scene.fold(voided)
    assert await guarded.starts() == [(1, 0, place, place * 2_880) for place in range(3)]

    left = [token for token in tokens if token not in voided]
    for policy in (1, 2):
        for place in range(3):
            users: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
            for token in left:
                if token.assigned == policy and uid_ms(token.uid) >= START_MS + place * 2 * DAY_MS:
                    users[token.unit_hash][0] += 1
                    users[token.unit_hash][1] += MICRO * (token in rewarded)
            expected = Sums.of(*zip(*users.values(), strict=True))
            (row,) = await guarded.rows(
                "SELECT n, m, c, mm, cc, mc FROM guard_sums JOIN guard_start USING (experiment_id, start_no) "
                f"WHERE policy = {policy} AND place = {place}"
            )
            assert [float(str(value)) for value in row] == [
                expected.n,
                expected.m,
                expected.c,
                expected.mm,
                expected.cc,
                expected.mc,
            ]
    assert await guarded.statistics.verify(guarded.number) == []
    await guarded.statistics.rebuild(guarded.number)
    assert await guarded.statistics.verify(guarded.number) == []


async def test_a_new_guard_epoch_starts_on_its_own_impressions(guarded: Guarded) -> None:
    make = guarded.make
    await guarded.scene.fold([make.decision(guarded.token(1, 2, START_MS + HOUR_MS))])
    assert await guarded.starts() == [(1, 0, 0, 0)]
    resumed_ms = START_MS + 30 * HOUR_MS + 1
    await guarded.become(State.ROLLED_BACK, START_MS + 20 * HOUR_MS)
    await guarded.become(State.RUNNING, resumed_ms, epoch=1)
    # One that was counted before its start was made is not counted otherwise afterwards.
    late, after = (guarded.token(1, 2, resumed_ms + hour * HOUR_MS) for hour in (-15, 16 * 24))
    await guarded.scene.fold([make.decision(late), make.decision(after)])
    assert await guarded.starts() == [
        (1, 0, 0, 0),
        *((2, place // 7, place % 7, 30 * 60 + 1 + place * 2_880) for place in range(8)),
    ]
    rows = await guarded.rows("SELECT start_no, n, m FROM guard_sums ORDER BY start_no")
    assert rows == [(1, 1, 2), (9, 1, 1)], "no test sees another period's users"
    assert await guarded.statistics.verify(guarded.number) == []


async def test_draws_are_counted_once_however_often_their_decisions_come_again(
    guarded: Guarded,
) -> None:
    make = guarded.make
    token = guarded.token(1, 2, START_MS + HOUR_MS)
    whole = make.decision(token)._replace(candidates=pack_arms([1, 2]), unlisted=1)
    likely = whole._replace(
        token=guarded.token(2, 2, START_MS + HOUR_MS), weights=[4 << 38], totals=[5 << 38]
    )
    await guarded.scene.fold([make.reward(token)])  # a stub has no propensity yet
    await guarded.statistics.catch_up(guarded.number)
    assert await guarded.rows("SELECT n FROM guard_draws") == []
    await guarded.scene.fold([whole, likely])
    await guarded.statistics.catch_up(guarded.number)
    await guarded.scene.fold([token, make.reward(token, reward_id="again"), whole])
    await guarded.statistics.catch_up(guarded.number)
    x = round(MICRO * (5 / 4 / 2 - 1))
    assert await guarded.rows("SELECT policy, n, x, xx::bigint FROM guard_draws") == [
        (2, 2, x, x * x)
    ]
    assert await guarded.statistics.verify(guarded.number) == []
