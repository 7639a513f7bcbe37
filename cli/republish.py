"""`pullarm republish`: everything that Redis has for serving, anew from PostgreSQL."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from typer import Option

from cli.state import read_environment
from pullarm.clock import Clock, clock_from
from pullarm.domain.errors import Unavailable
from pullarm.domain.ports import Board
from pullarm.storage.postgres import Database, PostgresPublications
from pullarm.storage.postgres.publications import Publishing
from pullarm.storage.redis import RedisBoard, connect
from workers.publisher import TICK_S, Publisher
from workers.settings import Settings

PATIENCE_S = 10.0
"""How long an experiment that a worker is publishing, or that cannot be published, is tried again."""


def command(
    state: Annotated[
        Path, Option(help="State folder of a running `pullarm up`, where servers are not set.")
    ] = Path(".pullarm"),
) -> None:
    """Publish every experiment whole: configuration, posteriors, halt, and the mark that all is there.

    Workers do so by themselves where Redis comes back empty; this is for a Redis that has something wrong. Serving
    goes on meanwhile, and takes over each experiment as it comes.
    """
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    own = {name: value for name, value in os.environ.items() if value}
    settings = Settings.from_environment(read_environment(state) | own)
    count = asyncio.run(_connected(settings))
    print(f"{count} experiments republished")


async def _connected(settings: Settings) -> int:
    redis = connect(settings.redis_url)
    try:
        async with Database(settings.database_url, max_connections=2) as database:
            return await republish(database, RedisBoard(redis), clock_from(settings.clock))
    finally:
        await redis.aclose()


async def republish(
    database: Database, board: Board, clock: Clock, *, patience_s: float = PATIENCE_S
) -> int:
    """Publish every experiment whole and declare the board complete; how many there are.

    Raises Unavailable naming those that could not be published.
    """
    publications = _Owed(database)
    publications.owed = set(numbers := await publications.experiments())
    publisher = Publisher(publications, board, clock)  # it knows of no publication: each is whole
    until = asyncio.get_running_loop().time() + patience_s
    while True:
        await publisher.publish_due()
        if not publications.owed:
            break
        if asyncio.get_running_loop().time() > until:
            raise Unavailable(
                f"experiments number {sorted(publications.owed)} could not be republished: another process was "
                "publishing them all the time, or what is said above is wrong with them"
            )
        await asyncio.sleep(TICK_S)
    await publisher.audit()
    return len(numbers)


class _Owed(PostgresPublications):
    """Due is what this process has not published yet, however new the board is."""

    owed: set[int]

    async def due(self) -> list[int]:
        return sorted(self.owed)

    @asynccontextmanager
    async def owning(self, number: int) -> AsyncIterator[Publishing | None]:
        async with super().owning(number) as publishing:
            yield publishing
        if publishing is not None:
            self.owed.discard(number)
