"""A ledger of several days, and how it is asked and shortened."""

from dataclasses import dataclass, field
from datetime import date
from random import Random

from pullarm.domain.decision import Token
from pullarm.domain.experiment import Aggregation, Experiment, Exposure
from pullarm.domain.publication import PosteriorCell
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresHistory,
    PostgresLedger,
    PostgresPublications,
    PostgresStatistics,
)
from pullarm.storage.postgres.publications import Planned
from pullarm.storage.postgres.retention import PostgresRetention
from tests.ledger_events import HOUR_MS, START_MS, Event, Events, batch, draft

DAY_MS = 24 * HOUR_MS
FIRST = date(2025, 10, 14)
"""The day of START_MS."""


async def _no_grid(
    experiment: Experiment, grid_no: int, complete: bool, cells: list[PosteriorCell]
) -> Planned:
    return Planned(number=0, points=None)


@dataclass
class RetentionScene:
    """A ledger, and how it is asked and shortened."""

    database: Database
    made: int = field(default=0)

    def __post_init__(self) -> None:
        self.make = Events()
        self.experiments = PostgresExperiments(self.database)
        self.ledger = PostgresLedger(self.database)
        self.history = PostgresHistory(self.database)
        self.publications = PostgresPublications(self.database, checkpoint_folds=4)
        self.retention = PostgresRetention(self.database)
        self.statistics = PostgresStatistics(self.database)

    async def experiment(
        self,
        aggregation: Aggregation = Aggregation.FIRST,
        exposure: Exposure = Exposure.SERVED,
    ) -> Experiment:
        self.made += 1
        new = draft(f"key-{self.made}", aggregation=aggregation, exposure=exposure)
        return await self.experiments.create(new, START_MS)

    async def fold(self, *events: Event, at_ms: int = START_MS) -> None:
        await self.ledger.fold(batch(*events), at_ms)

    async def verify(self, number: int) -> list[str]:
        """Every difference to the ledger, of the posterior and of the statistics."""
        await self.statistics.catch_up(number)
        return await self.ledger.verify(number) + await self.statistics.verify(number)

    async def publish(self, number: int) -> int:
        """The number of the publication."""
        async with self.publications.owning(number) as publishing:
            assert publishing is not None
            publication = await publishing.next(
                have_pub_no=None, as_of_ms=START_MS, kernel=1, plan=_no_grid
            )
        assert publication is not None
        return publication.head.pub_no

    async def count(self, query: str, *arguments: object) -> int:
        async with self.database.connection() as connection:
            found: int = await connection.fetchval(f"SELECT count(*) FROM {query}", *arguments)
        return found

    async def execute(self, statement: str) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement)

    async def eventful_day(self, numbers: list[int], day: int, random: Random) -> list[Token]:
        """Decisions of a day with what comes of them, some of it on the next one, in several folds."""
        tokens, events = list[Token](), list[Event]()
        for _ in range(30):
            token = self.make.token(
                random.choice(numbers),
                at_ms=START_MS + day * DAY_MS + random.randrange(DAY_MS),
                acting=random.choice([2, 2, 1, 0]),
                arms=random.sample([1, 2], random.randint(1, 2)),
                learn_slots=random.choice([1, 2]),
            )
            tokens.append(token)
            events += [self.make.decision(token)] * random.choice([1, 1, 1, 0])
            events += [token] * random.choice([0, 0, 0, 1])
            events += [
                self.make.reward(
                    token,
                    slot=random.choice([1, 2]),
                    reward_id=random.choice(["", "a"]),
                    credit=random.choice([0.3, 1.0]),
                    retract=random.random() < 0.1,
                    after_ms=random.choice([0, 20 * HOUR_MS]),
                )
                for _ in range(random.randint(0, 3))
            ]
        random.shuffle(events)
        while events:
            await self.fold(*events[:9])
            del events[:9]
        return tokens
