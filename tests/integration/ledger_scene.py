"""The ledger in PostgreSQL beside the one in memory, for the same experiments."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from random import Random
from typing import TypeVar

from pullarm.domain.assignment import MICRO
from pullarm.domain.audit import Author
from pullarm.domain.experiment import Aggregation, Experiment, Exposure
from pullarm.domain.rebuild import Exclusion
from pullarm.domain.rollup import Grain, Span
from pullarm.domain.summary import DataCut, Summary
from pullarm.statistics.jackknife import GroupSums
from pullarm.storage.memory import (
    MemoryExperiments,
    MemoryLedger,
    MemorySummary,
    MemoryUserGroups,
)
from pullarm.storage.memory.experiments import at
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresRepair,
    PostgresStatistics,
    PostgresSummary,
    PostgresUserGroups,
)
from tests.ledger_events import HOUR_MS, START_MS, Event, batch, draft

Key = TypeVar("Key", int, tuple[int, int], tuple[datetime, int])


@dataclass
class LedgerScene:
    """Both ledgers; experiments have the same number in both."""

    database: Database
    ledger: PostgresLedger
    oracle: MemoryLedger
    _stores: tuple[PostgresExperiments, MemoryExperiments]
    _keys: "count[int]" = field(default_factory=lambda: count(1))

    async def experiment(
        self, aggregation: Aggregation, exposure: Exposure = Exposure.SERVED
    ) -> int:
        """A new experiment's number."""
        new = draft(f"key-{next(self._keys)}", aggregation=aggregation, exposure=exposure)
        real, imitated = [(await store.create(new, START_MS)).number for store in self._stores]
        assert real == imitated
        return real

    async def found(self, number: int) -> Experiment:
        """The experiment of this number, as PostgreSQL has it."""
        return next(each for each in await self._stores[0].all() if each.number == number)

    async def summary(self, number: int) -> Summary:
        """The figures that PostgreSQL has, once they hold every fold."""
        await PostgresStatistics(self.database).catch_up(number)
        return await PostgresSummary(self.database).of(await self.found(number))

    async def exclude(self, number: int, exclusion: Exclusion) -> None:
        """In both ledgers."""
        author = Author("somebody", "test")
        await PostgresRepair(self.database).rebuild(number, exclusion, author, at(START_MS))
        self.oracle.exclusions[number].append(exclusion)

    async def check_summary(self, number: int) -> None:
        """What is stored is what is counted from the ledger in memory, but for what that does not have."""
        experiment = await self.found(number)
        stored = await PostgresSummary(self.database).of(experiment)
        counted = await MemorySummary(self.oracle).of(experiment)
        assert stored.data_cut == DataCut(fold_no=stored.fold_no, folds_behind=0, behind_since=None)
        assert stored == replace(
            counted, data_cut=stored.data_cut, fold_no=stored.fold_no, posterior_version=0
        )

    async def check_groups(self, number: int, random: Random) -> None:
        """What groups of users did is the same in both ledgers, over all hours and over some of them."""
        stored, counted = PostgresUserGroups(self.database), MemoryUserGroups(self.oracle)
        hours = [(-48, 96), *(sorted(random.sample(range(-26, 64), 2)) for _ in range(4))]
        for since, until in hours:
            ends = [at(START_MS + hour * HOUR_MS) for hour in (since, until)]
            span = Span(since=ends[0], until=ends[1])
            found = _listed(await stored.policies(number, span))
            assert found == _listed(await counted.policies(number, span))
            for only in (None, [3], [0, 7], []):
                cohorts = _listed(await stored.cohorts(number, span, only=only))
                assert cohorts == _listed(await counted.cohorts(number, span, only=only))
            for grain, cohort in ((Grain.HOUR, None), (Grain.DAY, None), (Grain.HOUR, 3)):
                points = _listed(await stored.timeseries(number, span, grain, cohort=cohort))
                expected = await counted.timeseries(number, span, grain, cohort=cohort)
                assert points == _listed(expected)

    async def fold(self, events: Iterable[Event]) -> None:
        """Into PostgreSQL only."""
        await self.ledger.fold(batch(*events), START_MS)

    async def check(self, experiments: Sequence[int], events: Sequence[Event]) -> None:
        """PostgreSQL has what the oracle makes of these events; its credits hold and its folds are numbered gapless."""
        await self.oracle.fold(batch(*events), START_MS)
        for number in experiments:
            posterior = await self.ledger.posterior(number)
            assert posterior == await self.oracle.posterior(number)
            assert all(0 <= s <= n * MICRO for n, s in posterior.values())
            assert await self.ledger.verify(number) == []
            async with self.database.connection() as connection:
                head = await connection.fetchval(
                    "SELECT fold_no FROM fold_head WHERE experiment_id = $1", number
                )
                rows = await connection.fetch(
                    "SELECT fold_no FROM fold_log WHERE experiment_id = $1 ORDER BY fold_no", number
                )
            assert [row["fold_no"] for row in rows] == list(range(1, head + 1))


def _listed(groups: Mapping[Key, GroupSums]) -> dict[Key, tuple[list[int], list[int]]]:
    return {key: (sums.m.tolist(), sums.c.tolist()) for key, sums in groups.items()}


@asynccontextmanager
async def ledger_scene(database_url: str) -> AsyncIterator[LedgerScene]:
    """Both ledgers on an empty, migrated database."""
    async with Database(database_url) as database:
        stores = PostgresExperiments(database), MemoryExperiments()
        yield LedgerScene(database, PostgresLedger(database), MemoryLedger(stores[1]), stores)
