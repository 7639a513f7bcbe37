"""The job queue's server, as arq wants to be told of it."""

from arq.connections import RedisSettings

from pullarm.domain.errors import ConfigurationError
from pullarm.storage.redis.connection import driver_errors

__all__ = ["driver_errors", "queue_settings"]

QUEUE = "pullarm:queue"


def queue_settings(url: str) -> RedisSettings:
    """arq's settings for the server at redis://, rediss:// or unix://."""
    try:
        return RedisSettings.from_dsn(url)
    except (ValueError, AssertionError) as error:
        raise ConfigurationError(f"QUEUE_REDIS_URL: {error}") from error
