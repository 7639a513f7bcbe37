"""The serving process: loads a snapshot, opens its port, answers, and drains when it is told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection, reflection_pb2

from pullarm.clock import Clock, clock_from
from pullarm.domain.errors import ConfigurationError
from pullarm.domain.instance import Part
from pullarm.policies.warm import warm_up
from pullarm.presence import present, this_process
from pullarm.processors import awake
from pullarm.storage.redis import (
    RedisBoard,
    RedisCallers,
    RedisEventSink,
    RedisInstances,
    RedisTraces,
    reach,
)
from pullarm.tls import Certificates, Tls
from pullarm.tracing import Trail, opened
from serving import query
from serving.metrics import watched
from serving.process import Process
from serving.service import NAME, SelectionService
from serving.settings import Settings
from serving.transport import Handlers, Server

if TYPE_CHECKING:
    from pullarm.otel import Tracer

_log = logging.getLogger(__name__)

OPEN_AFTER_S = 3.0
"""How long the port stays closed while there is no complete snapshot; after that callers are told so."""
DRAIN_S = 5.0
"""How long calls in flight may take once the process is told to stop."""
_HEALTH = "grpc.health.v1.Health"
SWITCH_S = 0.0005
"""How long a background thread may keep the interpreter from requests, which Python itself lets wait for 5 ms."""


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    clock = clock_from(settings.clock)
    sys.setswitchinterval(SWITCH_S)
    await asyncio.to_thread(warm_up)
    await asyncio.to_thread(query.warm_up)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    with (
        awake() if settings.keep_awake else contextlib.nullcontext(),
        opened(settings.traces) as tracer,
    ):
        await _serve(settings, clock, tracer, stopping)


async def _serve(
    settings: Settings, clock: Clock, tracer: "Tracer | None", stopping: asyncio.Event
) -> None:
    instance = this_process(Part.SERVING, settings.process, settings.grpc_address)
    redis = reach(settings.redis_url)
    sink = RedisEventSink(redis, replicas=settings.replicas)
    trail = None if tracer is None else Trail(tracer, RedisTraces(redis))
    process = Process(settings, RedisBoard(redis), RedisCallers(redis), sink, clock, trail)
    handlers = _handlers(process.service, process.healthy, tracer)
    server = Server(handlers, linger_s=settings.linger_s)
    committing = asyncio.create_task(process.event_log.run(), name="event log")
    tasks: list[asyncio.Task[Any]] = [
        committing,
        asyncio.create_task(process.refresher.run(), name="refresher"),
        asyncio.create_task(process.callers.run(), name="callers"),
        asyncio.create_task(process.report(), name="counters"),
        asyncio.create_task(process.watch_keys(), name="keys"),
        asyncio.create_task(process.watch_health(), name="health"),
        asyncio.create_task(_open(server, process, settings), name="server"),
        asyncio.create_task(stopping.wait(), name="stop"),
    ]
    if trail is not None:
        tasks.append(asyncio.create_task(trail.run(), name="traces"))
    with watched(settings.metrics_address, process.vitals, settings.max_silence_s) as port:
        _log.info("metrics on port %d", port)
        try:
            async with present(RedisInstances(redis), instance, process.condition):
                await _until_stopped(tasks)
        finally:
            await process.drain()
            await server.stop(DRAIN_S)
            await asyncio.sleep(0)  # calls that were cut off void what they decided
            process.event_log.tell(process.counters.take())
            process.event_log.close()
            await asyncio.wait([committing], timeout=DRAIN_S)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=DRAIN_S)
            await process.leave()
            await sink.aclose()
            await redis.aclose()
            _log.info("stopped")


async def _until_stopped(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for the signal; a task that dies ends the process, because nothing would be refreshed or stored any more."""
    waiting = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if (error := task.exception()) is not None:
                _log.critical("%s died", task.get_name(), exc_info=error)
                raise error
            if task.get_name() == "stop":
                return


def _handlers(
    service: SelectionService, healthy: health.HealthServicer, tracer: "Tracer | None"
) -> Handlers:
    """The contract, health and reflection."""
    asked = health_pb2.HealthCheckRequest.FromString
    told = health_pb2.HealthCheckResponse.SerializeToString
    reflected = reflection.aio.ReflectionServicer((NAME, _HEALTH, reflection.SERVICE_NAME))
    return service.handlers(tracer) | {
        f"/{_HEALTH}/Check": grpc.unary_unary_rpc_method_handler(healthy.Check, asked, told),
        f"/{_HEALTH}/Watch": grpc.unary_stream_rpc_method_handler(healthy.Watch, asked, told),
        f"/{reflection.SERVICE_NAME}/ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            reflected.ServerReflectionInfo,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        ),
    }


def bind(server: Server, address: str, tls: Tls | None) -> int:
    """Add the address; answers its port. Raises ConfigurationError that names the setting."""
    try:
        if tls is None:
            return server.add_port(address)
        return server.add_port(address, _credentials(Certificates(tls), tls))
    except RuntimeError as error:
        raise ConfigurationError(
            f"PULLARM_GRPC_ADDRESS {address} cannot be used: {error}"
        ) from error


def _credentials(certificates: Certificates, tls: Tls) -> grpc.ServerCredentials:
    """Whoever connects finds the newest certificate."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        pem = certificates.pem
        return grpc.ssl_server_certificate_configuration(
            [(pem.key, pem.certificate)], root_certificates=pem.client_ca
        )

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        return configuration() if certificates.renew() else None

    # The stubs do not know that None is an answer: no change.
    fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed)
    return grpc.dynamic_ssl_server_credentials(
        configuration(), fetch, require_client_authentication=tls.client_ca is not None
    )


async def _open(server: Server, process: Process, settings: Settings) -> None:
    """Take connections; ready once a complete snapshot is loaded (the kernels are warm before that)."""
    # A process that shares its port would draw callers away from those that can answer them.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.loaded.wait(), OPEN_AFTER_S)
    bind(server, settings.grpc_address, settings.tls)
    await server.start()
    await process.loaded.wait()
    await process.callers.loaded.wait()
    await process.tell_health()
    if settings.ready_file is not None:
        settings.ready_file.touch()
    _log.info("%s serves on %s, pid %d", settings.process, settings.grpc_address, os.getpid())
