"""A ledger, a board, a publisher and a serving process's view of it all, over real servers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from struct import iter_unpack

from redis.asyncio import Redis

from pullarm.domain.assignment import MICRO, allocate
from pullarm.domain.errors import Unavailable
from pullarm.domain.experiment import Catalogue, Experiment, Spec, State, policy_weights
from pullarm.domain.ports import Revision
from pullarm.domain.publication import Publication
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresPublications,
)
from pullarm.storage.redis import RedisBoard, connect
from serving.refresher import Refresher
from serving.snapshot import Served
from tests.builders import FixedClock
from tests.ledger_events import START_MS, THOMPSON, Event, Events, batch, draft
from workers.publisher import Publisher


class Board(RedisBoard):
    """A board that remembers what it was handed and can be away."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.handed: list[Publication] = []
        self.away = False

    async def publish(self, publication: Publication) -> bool:
        if self.away:
            raise Unavailable("Redis is away: refused")
        self.handed.append(publication)
        return await super().publish(publication)


@dataclass
class Scene:
    """A ledger, a board, one publisher, and a serving process's view."""

    database: Database
    redis: Redis
    make: Events = field(default_factory=Events)
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.experiments = PostgresExperiments(self.database)
        self.board = Board(self.redis)
        self.publisher = self.another_publisher()
        self.refresher = Refresher(self.board)

    def another_publisher(self) -> Publisher:
        return Publisher(PostgresPublications(self.database), self.board, self.clock)

    async def running(self, key: str, catalogue: Catalogue = Catalogue.CLOSED) -> Experiment:
        arms = ("one", "two") if catalogue is Catalogue.CLOSED else ()
        new = draft(key, catalogue=catalogue, arms=arms)
        created = await self.experiments.create(new, START_MS)
        return await self.revise(created, created.spec)

    async def revise(
        self, experiment: Experiment, spec: Spec, state: State = State.RUNNING
    ) -> Experiment:
        change = Revision(
            action="edit",
            spec=spec,
            state=state,
            buckets=allocate(policy_weights(spec), experiment.buckets),
            allocation_epoch=experiment.allocation_epoch,
            guard_epoch=experiment.guard_epoch,
        )
        return await self.experiments.revise(experiment, change, START_MS)

    async def fold(self, *events: Event) -> None:
        await PostgresLedger(self.database).fold(batch(*events), START_MS)

    async def rewarded(self, number: int, *, arm: int = 1, count: int = 1) -> None:
        tokens = [self.make.token(number, arms=(arm,)) for _ in range(count)]
        await self.fold(*map(self.make.decision, tokens), *map(self.make.reward, tokens))

    async def served(self, number: int) -> Served:
        await self.refresher.refresh()
        assert self.refresher.refused == 0
        return self.refresher.snapshot.by_number[number]

    async def on_board(self, number: int) -> list[tuple[int, int]]:
        """Thompson's (serves, rewards) by arm."""
        found = await self.board.read(number, None)
        assert found is not None
        pairs = iter_unpack("<qq", found.posteriors[THOMPSON])
        return [(serves // MICRO, rewards // MICRO) for serves, rewards in pairs]

    @asynccontextmanager
    async def at_work(self, *publishers: Publisher) -> AsyncIterator[None]:
        """Publishers and refresher run by themselves."""
        tasks = [asyncio.create_task(one.run()) for one in publishers or (self.publisher,)]
        tasks.append(asyncio.create_task(self.refresher.run()))
        try:
            yield
            assert not [task for task in tasks if task.done()]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def publishing(database_url: str, redis_url: str) -> AsyncIterator[Scene]:
    """The scene over these servers."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(database_url))
        redis = await stack.enter_async_context(connect(redis_url))
        yield Scene(database, redis)


async def until_served(scene: Scene, number: int, serves: int) -> float:
    """Seconds until the serving snapshot has so many serves of arm 1."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(60):
        while True:
            with suppress(KeyError):
                served = scene.refresher.snapshot.by_number[number]
                pairs = await scene.on_board(number)
                if served.head.config_no and pairs[0][0] >= serves:
                    version = (await scene.board.versions([number]))[number]
                    if (served.head.incarnation, served.head.pub_no) >= version[:2]:
                        return loop.time() - started
            await asyncio.sleep(0.005)


async def calmest(measure: Callable[[], Awaitable[float]], count: int) -> float:
    """The median of so many seconds, measured until that is below one or the tenth time, because the machine may be
    busy: what needs longer does so every time."""
    for _ in range(10):
        median = sorted([await measure() for _ in range(count)])[count // 2]
        if median < 1.0:
            break
    return median
