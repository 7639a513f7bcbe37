"""A connection pool, named queries, and the one place where the driver's errors become ours."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import cache
from importlib.resources import files
from types import TracebackType
from typing import Self, TypeAlias

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from pullarm.domain.errors import ConfigurationError, Conflict, Unavailable
from pullarm.secrets import no_address
from pullarm.storage.postgres.schema import missing

# In quotes, because only the stubs know that these are generic.
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InsufficientResourcesError,  # disk, memory or connections
    asyncpg.OperatorInterventionError,  # shut down, starting up, cancelled
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,  # the standby, after a failover
    asyncpg.TransactionRollbackError,  # deadlock
)


class Busy(Conflict):
    """Another process does it just now."""


@contextmanager
def driver_errors() -> Iterator[None]:
    """Turn what the driver raises while PostgreSQL is away, full, read-only or closed to this user into Unavailable."""
    try:
        yield
    except _AWAY as error:
        problem = str(error) or type(error).__name__  # a TimeoutError says nothing
        raise Unavailable(f"PostgreSQL is away: {problem}") from error
    except asyncpg.InternalClientError as error:  # whose words are of the driver's own states
        raise Unavailable("PostgreSQL is away: the connection was cut in an operation") from error
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        if type(error) is not asyncpg.ObjectNotInPrerequisiteStateError:
            raise  # as a lock that is not to be had: its caller's to handle
        raise Unavailable(f"PostgreSQL is away: {error}") from error  # a closed database
    except (
        asyncpg.InsufficientPrivilegeError
    ) as error:  # as right after a restore, before it is granted
        raise Unavailable(
            f"PostgreSQL does not let this user: {error}; `pullarm migrate --roles` grants what is needed"
        ) from error


@contextmanager
def _settings_errors(name: str) -> Iterator[None]:
    """Turn what the driver raises of an address that it cannot read into ConfigurationError that names the variable."""
    try:
        yield
    except asyncpg.ClientConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error
    except ValueError:
        raise no_address(name, "postgresql://USER:PASSWORD@HOST:5432/NAME") from None


@cache
def queries(name: str) -> dict[str, str]:
    """The named blocks of sql/NAME.sql; a block begins with a line `-- its_name --`."""
    text = files(__package__).joinpath("sql", f"{name}.sql").read_text()
    blocks: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == words[2] == "--":
            lines = blocks.setdefault(words[1], [])
        else:
            lines.append(line)
    return {block: "\n".join(body).strip().removesuffix(";") for block, body in blocks.items()}


@asynccontextmanager
async def connected(dsn: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """One connection without a pool, to a database that may be in any state.

    Raises Unavailable while the server is away, ConfigurationError where it lets nobody in.
    """
    try:
        with driver_errors(), _settings_errors("DATABASE_URL"):
            connection = await asyncpg.connect(dsn)
    except asyncpg.PostgresError as error:
        raise ConfigurationError(f"DATABASE_URL: {error}") from error
    try:
        with driver_errors():
            yield connection
    finally:
        await connection.close()


async def _set_codecs(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
        format="binary",
    )


class Database:
    """A pool of connections to one PostgreSQL."""

    def __init__(
        self,
        dsn: str,
        *,
        variable: str = "DATABASE_URL",
        max_connections: int = 8,
        patience_s: float = 10.0,
    ) -> None:
        """`variable` is where the address came from, which errors name."""
        self._dsn = dsn
        self._variable = variable
        self._max_connections = max_connections
        self._patience_s = patience_s
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __aenter__(self) -> Self:
        """Raises Unavailable while the server is away, ConfigurationError where its database does not fit."""
        async with AsyncExitStack() as opening:
            opening.push_async_callback(self._close)
            await self._open()
            opening.pop_all()
        return self

    async def _open(self) -> None:
        try:
            with driver_errors(), _settings_errors(self._variable):
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=1,
                    max_size=self._max_connections,
                    init=_set_codecs,
                    server_settings={"timezone": "UTC", "application_name": "pullarm"},
                )
            await self.ping()
        except asyncpg.PostgresError as error:
            raise ConfigurationError(f"{self._variable}: {error}") from error

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of the pool; PostgreSQL away is Unavailable."""
        if self._pool is None:
            raise ConfigurationError("the database was used before it was opened")
        with driver_errors():
            try:
                connection = await self._pool.acquire(timeout=self._patience_s)
            except TimeoutError as error:
                raise Unavailable(
                    f"PostgreSQL is away or busy: none of {self._max_connections} connections "
                    f"was free within {self._patience_s:g} s"
                ) from error
            try:
                yield connection
            finally:
                await self._pool.release(connection)

    async def ping(self) -> None:
        """Raises Unavailable while the server is away, ConfigurationError where migrations are missing."""
        async with self.connection() as connection:
            lacking = await missing(connection)
        if lacking:
            raise ConfigurationError(
                f"{self._variable}: the database lacks {', '.join(lacking)}; run `pullarm migrate`"
            )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A READ COMMITTED transaction."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A REPEATABLE READ transaction: all its queries see one moment."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read"),
        ):
            yield connection

    @asynccontextmanager
    async def alone(self, lock: int, doing: str) -> AsyncIterator[None]:
        """Be the one process that does this, by the number of an advisory lock; raises Busy where another does."""
        async with self.connection() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1, 0)", lock):
                raise Busy(f"another process is {doing} just now")
            try:
                yield
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1, 0)", lock)
