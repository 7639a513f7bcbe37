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
    ResponseError,
    TimeoutError,
)

from pullarm.domain.errors import Unavailable
from pullarm.secrets import no_address

AWAY = (
    OSError,
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
)
"""What the driver raises where a server cannot be reached or takes nothing."""

NOT_NOW = (
    "MISCONF",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "TRYAGAIN",
    "MOVED",
    "ASK ",
    "LOADING",
    "OOM",
    "READONLY",
    "BUSY ",
    "NOAUTH",
)
"""What a server says that is there and cannot take commands for a while, or not any more."""


@contextmanager
def driver_errors() -> Iterator[None]:
    """Turn what the driver raises while Redis is away, full, read-only or unwell into Unavailable."""
    try:
        yield
    except AWAY as error:
        raise Unavailable(f"Redis is away: {str(error) or type(error).__name__}") from error
    except ResponseError as error:
        if not str(error).startswith(NOT_NOW):
            raise
        raise Unavailable(f"Redis takes no commands: {error}") from error


def connect(url: str, *, timeout_s: float = 5.0) -> Redis:
    """A client of the server at redis://, rediss:// or unix://; it connects when it is first used."""
    try:
        return client_of(url, timeout_s)
    except (ValueError, RedisError):
        raise no_address("REDIS_URL", "redis://:PASSWORD@HOST:6379/0") from None


def client_of(url: str, timeout_s: float) -> Redis:
    """The same; raises ValueError or RedisError where that is no address."""
    client: Redis = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=2.0)
    return client
