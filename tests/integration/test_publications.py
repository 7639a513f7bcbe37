"""Publications follow one another without a gap, each the difference to the one before where the publisher has that."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from random import Random
from struct import iter_unpack

import pytest

from pullarm.domain.assignment import MICRO
from pullarm.domain.experiment import Catalogue, Experiment, State
from pullarm.domain.ports import Revision
from pullarm.domain.publication import Head, PosteriorCell, Publication
from pullarm.storage.memory import MemoryBoard
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresPublications,
)
from pullarm.storage.postgres.publications import CHECKPOINT_FOLDS, Planned
from tests.ledger_events import HOUR_MS, START_MS, THOMPSON, Event, Events, batch, draft

_AS_OF_MS = START_MS + 5


@dataclass
class Publisher:
    """One publisher, with a connection pool of its own, and what it was asked to plan."""

    database: Database
    checkpoint_folds: int = CHECKPOINT_FOLDS
    asked: list[tuple[int, bool, list[PosteriorCell]]] = field(default_factory=list)
    planned: Planned | Exception = field(default_factory=lambda: Planned(number=0, points=None))

    @property
    def store(self) -> PostgresPublications:
        return PostgresPublications(self.database, checkpoint_folds=self.checkpoint_folds)

    async def plan(
        self, experiment: Experiment, grid_no: int, complete: bool, cells: list[PosteriorCell]
    ) -> Planned:
        self.asked.append((grid_no, complete, cells))
        if isinstance(self.planned, Exception):
            raise self.planned
        return self.planned

    async def next(self, number: int, have: int | None) -> Publication | None:
        async with self.store.owning(number) as publishing:
            assert publishing is not None
            return await publishing.next(
                have_pub_no=have, as_of_ms=_AS_OF_MS, kernel=3, plan=self.plan
            )

    async def published(self, number: int, have: int | None) -> Publication:
        publication = await self.next(number, have)
        assert publication is not None
        return publication

    async def fold(self, *events: Event) -> None:
        await PostgresLedger(self.database).fold(batch(*events), START_MS)

    async def revise(self, experiment: Experiment) -> Experiment:
        change = Revision(
            action="edit",
            spec=replace(experiment.spec, traffic_pct=0.5),
            state=State.RUNNING,
            buckets=experiment.buckets,
            allocation_epoch=1,
            guard_epoch=1,
        )
        return await PostgresExperiments(self.database).revise(experiment, change, START_MS)


@pytest.fixture
async def publisher(database_url: str) -> AsyncIterator[Publisher]:
    async with Database(database_url) as database:
        yield Publisher(database)


@pytest.fixture
async def experiment(publisher: Publisher) -> Experiment:
    new = draft("a", catalogue=Catalogue.OPEN)
    return await PostgresExperiments(publisher.database).create(new, START_MS)


@pytest.fixture
def make() -> Events:
    return Events()


async def test_first_publication_is_complete(publisher: Publisher, experiment: Experiment) -> None:
    number = experiment.number
    assert await publisher.store.due(_AS_OF_MS) == [number]
    assert await publisher.store.experiments() == {number: 0}
    assert await publisher.published(number, None) == Publication(
        experiment=experiment,
        head=Head(
            incarnation=await publisher.store.incarnation(),
            pub_no=1,
            fold_no=0,
            config_no=1,
            as_of_ms=_AS_OF_MS,
            grid_no=0,
            kernel=3,
            arms=2,
        ),
        previous_pub_no=0,
        complete=True,
        reconfigured=True,
        cells=[],
    )
    assert await publisher.store.due(_AS_OF_MS) == []
    assert await publisher.store.experiments() == {number: 1}


async def test_nothing_new_is_no_publication(publisher: Publisher, experiment: Experiment) -> None:
    await publisher.published(experiment.number, None)
    assert await publisher.next(experiment.number, 1) is None
    assert await publisher.store.experiments() == {experiment.number: 1}


async def test_fold_makes_a_difference_of_the_changed_cells(
    publisher: Publisher, experiment: Experiment, make: Events
) -> None:
    number = experiment.number
    one, two = make.token(number), make.token(number, arms=[2])
    await publisher.fold(make.decision(one), make.decision(two))
    await publisher.published(number, None)
    later = make.token(number, at_ms=START_MS + 30 * HOUR_MS)
    await publisher.fold(make.decision(later))
    await publisher.fold(make.reward(one, credit=0.25))
    assert await publisher.store.due(_AS_OF_MS) == [number]
    publication = await publisher.published(number, 1)
    assert publication.cells == [(THOMPSON, 1, 2 * MICRO, 250_000)]
    assert not publication.complete
    assert not publication.reconfigured
    assert (publication.previous_pub_no, publication.head.pub_no) == (1, 2)
    assert publication.head.fold_no == 3
    assert publisher.asked[-1] == (0, False, publication.cells)


async def test_redelivered_events_change_no_cell(
    publisher: Publisher, experiment: Experiment, make: Events
) -> None:
    decision = make.decision(make.token(experiment.number))
    await publisher.fold(decision)
    await publisher.published(experiment.number, None)
    await publisher.fold(decision)
    assert (await publisher.published(experiment.number, 1)).cells == []


async def test_cell_that_fell_to_zero_is_published(
    publisher: Publisher, experiment: Experiment, make: Events
) -> None:
    token = make.token(experiment.number)
    await publisher.fold(make.decision(token))
    await publisher.published(experiment.number, None)
    await publisher.fold(token)
    assert (await publisher.published(experiment.number, 1)).cells == [(THOMPSON, 1, 0, 0)]


@pytest.mark.parametrize("have", [None, 1, 7])
async def test_publisher_that_has_another_publication_gets_a_complete_one(
    publisher: Publisher, experiment: Experiment, make: Events, have: int | None
) -> None:
    number = experiment.number
    for arm in (1, 2):
        await publisher.fold(make.decision(make.token(number, arms=[arm])))
        await publisher.published(number, None)
    await publisher.fold(make.decision(make.token(number, arms=[1])))
    publication = await publisher.published(number, have)
    assert publication.complete
    assert publication.reconfigured
    assert publication.cells == [(THOMPSON, 1, 2 * MICRO, 0), (THOMPSON, 2, MICRO, 0)]
    assert (publication.previous_pub_no, publication.head.pub_no) == (2, 3)


async def test_complete_publication_is_made_even_without_news(
    publisher: Publisher, experiment: Experiment
) -> None:
    await publisher.published(experiment.number, None)
    again = await publisher.published(experiment.number, None)
    assert (again.head.pub_no, again.complete) == (2, True)


async def test_change_of_configuration_is_published_without_cells(
    publisher: Publisher, experiment: Experiment, make: Events
) -> None:
    await publisher.fold(make.decision(make.token(experiment.number)))
    await publisher.published(experiment.number, None)
    revised = await publisher.revise(experiment)
    assert await publisher.store.due(_AS_OF_MS) == [experiment.number]
    publication = await publisher.published(experiment.number, 1)
    assert publication.experiment == revised
    assert publication.reconfigured
    assert not publication.complete
    assert publication.cells == []
    assert publication.head.config_no == 2


async def test_registered_arms_lengthen_the_vectors(
    publisher: Publisher, experiment: Experiment
) -> None:
    await publisher.published(experiment.number, None)
    store = PostgresExperiments(publisher.database)
    await store.register_arms(experiment.number, ["three", "four"], START_MS)
    publication = await publisher.published(experiment.number, 1)
    assert publication.head.arms == 4
    assert publication.reconfigured


async def test_grid_is_kept_by_its_number(publisher: Publisher, experiment: Experiment) -> None:
    number = experiment.number
    publisher.planned = Planned(number=1, points=b"\x00\xffone")
    assert (await publisher.published(number, None)).grid == b"\x00\xffone"
    again = await publisher.published(number, None)
    assert (again.grid, again.head.grid_no) == (b"\x00\xffone", 1)
    publisher.planned = Planned(number=2, points=b"two")
    assert (await publisher.published(number, None)).head.grid_no == 2
    assert [grid_no for grid_no, _, _ in publisher.asked] == [0, 1, 1]
    async with publisher.store.owning(number) as publishing:
        assert publishing is not None
        kept = [await publishing.grid(grid_no) for grid_no in (1, 2, 3)]
    assert kept == [b"\x00\xffone", b"two", None]


async def test_checkpoint_every_so_many_folds(
    publisher: Publisher, experiment: Experiment, make: Events
) -> None:
    publisher.checkpoint_folds = 3
    have = None
    for _ in range(7):
        token = make.token(experiment.number)
        await publisher.fold(make.decision(token), make.reward(token))
        have = (await publisher.published(experiment.number, have)).head.pub_no
    async with publisher.database.connection() as connection:
        rows = await connection.fetch("SELECT fold_no, cells FROM checkpoint ORDER BY fold_no")
    found = {row["fold_no"]: list(iter_unpack("<qqqq", row["cells"])) for row in rows}
    assert found == {3: [(THOMPSON, 1, 3, 3 * MICRO)], 6: [(THOMPSON, 1, 6, 6 * MICRO)]}


async def test_one_publisher_at_a_time(
    publisher: Publisher, experiment: Experiment, database_url: str
) -> None:
    other = await PostgresExperiments(publisher.database).create(draft("other"), START_MS)
    async with Database(database_url) as database:
        rival = PostgresPublications(database)
        async with publisher.store.owning(experiment.number) as first:
            assert first is not None
            async with rival.owning(experiment.number) as second:
                assert second is None
            async with rival.owning(other.number) as second:
                assert second is not None
        async with rival.owning(experiment.number) as second:
            assert second is not None


async def test_publisher_that_fails_lets_go(
    publisher: Publisher, experiment: Experiment, database_url: str
) -> None:
    publisher.planned = RuntimeError("no plan")
    with pytest.raises(RuntimeError, match="no plan"):
        await publisher.next(experiment.number, None)
    assert await publisher.store.experiments() == {experiment.number: 0}
    async with (
        Database(database_url) as database,
        PostgresPublications(database).owning(experiment.number) as rival,
    ):
        assert rival is not None


async def test_due_names_exactly_the_experiments_that_are_behind(
    publisher: Publisher, experiment: Experiment, make: Events
) -> None:
    store = PostgresExperiments(publisher.database)
    others = [(await store.create(draft(key), START_MS)).number for key in ("b", "c")]
    for number in (experiment.number, *others):
        await publisher.published(number, None)
    await publisher.fold(make.decision(make.token(others[1])))
    await publisher.revise(experiment)
    assert await publisher.store.due(_AS_OF_MS) == [experiment.number, others[1]]


async def test_differences_add_up_to_the_posterior(
    publisher: Publisher, experiment: Experiment, make: Events
) -> None:
    """Folds and publications at random: the board always has what the ledger has at that fold."""
    random, board, have = Random(5), MemoryBoard(), None
    tokens = [make.token(experiment.number, arms=[random.randint(1, 2)]) for _ in range(40)]
    for _ in range(60):
        token = random.choice(tokens)
        reward = make.reward(token, credit=random.choice([0.2, 0.7]), after_ms=random.randrange(9))
        events: list[Event] = [make.decision(token), reward, reward, token]
        await publisher.fold(random.choice(events))
        if random.random() < 0.6:
            publication = await publisher.published(experiment.number, have)
            assert publication.complete == (have is None)
            assert await board.publish(publication)
            have = publication.head.pub_no
            assert await _on_board(board, experiment.number) == await _in_ledger(
                publisher, experiment.number
            )
    assert have is not None
    assert have > 20


async def _on_board(board: MemoryBoard, number: int) -> list[tuple[int, int]]:
    published = await board.read(number, None)
    assert published is not None
    return [(pair[0], pair[1]) for pair in iter_unpack("<qq", published.posteriors[THOMPSON])]


async def _in_ledger(publisher: Publisher, number: int) -> list[tuple[int, int]]:
    sums = [(0, 0), (0, 0)]
    posterior = await PostgresLedger(publisher.database).posterior(number)
    for (_, arm, _), (serves, rewards) in posterior.items():
        before = sums[arm - 1]
        sums[arm - 1] = (before[0] + serves * MICRO, before[1] + rewards)
    return sums
