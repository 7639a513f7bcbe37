"""The two servers Pullarm brings along, for who has none: PostgreSQL and Valkey."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.postgres import Postgres
from cli.postgres_home import find_home
from cli.process import Program
from cli.state import State, close_sockets, locked, make_sockets, open_state
from cli.supervisor import Supervisor
from cli.valkey import Valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which of the two to start, and how."""

    postgres: bool = True
    valkey: bool = True
    host: str = "127.0.0.1"
    postgres_port: int = 0
    redis_port: int = 0
    durable: bool = True


async def start(supervisor: Supervisor, state: State, wanted: Wanted) -> dict[str, str]:
    """Start the servers and return the addresses they answer at, as environment variables."""
    make_sockets(state)
    programs: list[Program] = []
    addresses: dict[str, str] = {}
    if wanted.valkey:
        valkey = Valkey(
            state=state, host=wanted.host, port=wanted.redis_port, durable=wanted.durable
        )
        programs.append(valkey.program())
        addresses |= {"REDIS_URL": valkey.url(0), "QUEUE_REDIS_URL": valkey.url(1)}
    if wanted.postgres:
        home = await asyncio.to_thread(find_home, state)
        postgres = Postgres(
            state=state,
            home=home,
            host=wanted.host,
            port=wanted.postgres_port,
            durable=wanted.durable,
        )
        await asyncio.to_thread(postgres.initialise)
        programs.append(postgres.program())
        addresses["DATABASE_URL"] = postgres.url
    await supervisor.start(*programs)
    return addresses


@asynccontextmanager
async def embedded_services(
    folder: Path, wanted: Wanted, report: Callable[[str], None]
) -> AsyncIterator[dict[str, str]]:
    """The servers alone on a state folder of their own; yields their addresses."""
    state = open_state(folder)
    with locked(state):
        supervisor = Supervisor(logs=state.logs, notes=state.run, report=report)
        supervisor.adopt()
        try:
            yield await start(supervisor, state, wanted)
        finally:
            await supervisor.stop()
            close_sockets(state)
