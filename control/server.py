"""The control plane as a process."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from functools import partial

import uvicorn
from litestar.types import ASGIApp

from control.app import Stores, create_app
from control.dashboard import find_web
from control.following import followed
from control.recommendations import Serving
from control.settings import ADDRESS, READ_URL, Settings
from pullarm.clock import clock_from
from pullarm.domain.errors import ConfigurationError
from pullarm.domain.instance import Part
from pullarm.presence import present, this_process
from pullarm.storage.postgres import (
    Database,
    PostgresErasure,
    PostgresExperiments,
    PostgresGroups,
    PostgresLedger,
    PostgresTokens,
    PostgresTrail,
)
from pullarm.storage.postgres.guardrails import PostgresGuardrails
from pullarm.storage.postgres.readers import PostgresReaders
from pullarm.storage.postgres.verdicts import PostgresVerdicts
from pullarm.storage.redis import RedisBoard, RedisInstances, reach
from pullarm.storage.redis.facts import backlog
from pullarm.tls import Certificates
from pullarm.tracing import opened

GRACE_S = 5
_YOUNG = 50_000
"""Containers that may be alive and new before the garbage collector looks at them: some megabytes."""

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to us: its own handling ends the process with the signal, not with 0."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], closing: asyncio.Event
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._closing = closing

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._on_ready()

    def ask_to_exit(self) -> None:
        """Finish what is in flight; asked twice, drop it."""
        self._closing.set()
        self.force_exit = self.should_exit
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; raises ConfigurationError that names the setting when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"{ADDRESS}: cannot listen on {host} port {port}: {error.strerror or error}; choose another "
            "address, or stop what is listening there"
        ) from error


async def serve(settings: Settings) -> None:
    """Answer requests until SIGTERM or SIGINT."""
    clock = clock_from(settings.clock)
    redis = reach(settings.redis_url)
    board, instances = RedisBoard(redis), RedisInstances(redis)
    instance = this_process(Part.CONTROL, settings.process, f"{settings.host}:{settings.port}")
    with bind(settings.host, settings.port) as listening, opened(settings.traces) as tracer:
        try:
            async with (
                Database(settings.database_url) as database,
                _reading(settings, database) as reading,
                Serving(
                    settings.grpc_address, settings.upstream_token, settings.upstream_trust
                ) as serving,
                present(instances, instance),
            ):
                tokens, readers = PostgresTokens(database), PostgresReaders.of(reading)
                stores = Stores(
                    experiments=PostgresExperiments(database),
                    trail=PostgresTrail(database),
                    erase=PostgresErasure(database).erase,
                    groups=PostgresGroups(database),
                    summaries=readers.summary,
                    readers=readers,
                    verdicts=PostgresVerdicts(database, counts=False),
                    halts=board,
                    guardrails=PostgresGuardrails(database),
                    tokens=tokens,
                    sessions=tokens,
                    probes={"postgresql": database.ping, "redis": board.ping},
                    intake=PostgresLedger(database).intake,
                    backlog=partial(backlog, redis),
                    instances=instances,
                    upstream=serving,
                    replays=settings.replays,
                )
                closing = asyncio.Event()
                app: ASGIApp = create_app(
                    stores,
                    clock=clock,
                    limits=settings.limits,
                    web=find_web() if settings.dashboard else None,
                    closing=closing,
                )
                app = stores.traffic.counting(app)
                if tracer is not None:
                    app = followed(tracer, app)
                await _run(app, listening, settings, closing)
        finally:
            await redis.aclose()


def _reading(settings: Settings, database: Database) -> AbstractAsyncContextManager[Database]:
    """Where figures and logs are read: the standby's database, where there is one."""
    if not settings.read_url:
        return nullcontext(database)
    return Database(settings.read_url, variable=READ_URL)


async def _run(
    app: ASGIApp, listening: socket.socket, settings: Settings, closing: asyncio.Event
) -> None:
    def ready() -> None:
        address, scheme = listening.getsockname(), "https" if settings.tls else "http"
        _log.info("%s answers on %s://%s:%s", settings.process, scheme, settings.host, address[1])
        if settings.ready_file is not None:
            settings.ready_file.touch()

    context = Certificates(settings.tls).context() if settings.tls else None
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies,
        ssl_context_factory=None if context is None else lambda *_: context,
    )
    server = _Server(config, ready, closing)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, server.ask_to_exit)
    # A long answer is tens of thousands of containers that die with it: looking at them, and at all that was there
    # before, took as long as to make them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
    await server.serve(sockets=[listening])
