"""Scripts that a server runs, each a file in lua/ whose head says what it takes."""

from collections.abc import Sequence
from importlib.resources import files

from redis.asyncio import Redis

from pullarm.storage.redis.cluster import Client, on


def script(name: str) -> str:
    """The text of the script of this name."""
    return files(__package__).joinpath("lua", f"{name}.lua").read_text()


async def run(
    client: Client, text: str, names: Sequence[str], *words: str | bytes | int
) -> int | None:
    """What a script answers about keys that are in one place; raises Unavailable."""

    async def call(redis: Redis) -> int | None:
        answer: int | None = await redis.register_script(text)(names, words)
        return answer

    return await on(client, names[0], call)
