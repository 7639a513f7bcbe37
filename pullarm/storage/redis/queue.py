"""The job queue's server, as arq wants to be told of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from arq.connections import RedisSettings
from redis.exceptions import RedisError

from pullarm.domain.errors import Unavailable
from pullarm.secrets import no_address

QUEUE = "pullarm:queue"
HEALTH = f"{QUEUE}:health-check"
"""There while some worker's arq lives; it writes it every HEALTH_EVERY_S, to last a second longer."""
HEALTH_EVERY_S = 20


def queue_settings(url: str) -> RedisSettings:
    """arq's settings for the server at redis://, rediss:// or unix://."""
    try:
        return RedisSettings.from_dsn(url)
    except (ValueError, AssertionError):
        raise no_address("QUEUE_REDIS_URL", "redis://:PASSWORD@HOST:6379/0") from None


@contextmanager
def queue_errors() -> Iterator[None]:
    """Turn whatever is wrong with the queue's server into Unavailable: jobs wait, the rest of the worker goes on."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(f"the queue's Redis: {str(error) or type(error).__name__}") from error
