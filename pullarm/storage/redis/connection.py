"""One client for one server, and the one place where the driver's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)

from pullarm.domain.errors import ConfigurationError, Unavailable

_AWAY = (
    OSError,
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
)


@contextmanager
def driver_errors() -> Iterator[None]:
    """Turn what the driver raises while Redis is away, full or read-only into Unavailable."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable(f"Redis is away: {error}") from error


def connect(url: str, *, timeout_s: float = 5.0) -> Redis:
    """A client of the server at redis://, rediss:// or unix://; it connects when it is first used."""
    try:
        client: Redis = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=2.0)
    except (ValueError, RedisError) as error:
        raise ConfigurationError(f"REDIS_URL: {error}") from error
    return client
