"""`pullarm republish`: everything that Redis has for serving, anew from PostgreSQL."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

from typer import Option

from cli.state import surroundings
from pullarm.clock import clock_from
from pullarm.storage.postgres import Database, PostgresPublications
from pullarm.storage.redis import RedisBoard, reach
from workers.publisher import Publisher
from workers.settings import Settings


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
    settings = Settings.from_environment(surroundings(state))
    count = asyncio.run(_connected(settings))
    print(f"{count} experiments republished")


async def _connected(settings: Settings) -> int:
    redis = reach(settings.redis_url)
    try:
        async with Database(settings.database_url, max_connections=2) as database:
            publications, board = PostgresPublications(database), RedisBoard(redis)
            return await Publisher(publications, board, clock_from(settings.clock)).republish()
    finally:
        await redis.aclose()
