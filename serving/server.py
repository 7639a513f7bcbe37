"""The serving process: loads a snapshot, opens its port, answers, and drains when it is told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from pullarm.clock import clock_from
from pullarm.domain.errors import ConfigurationError
from pullarm.environment import Tls
from pullarm.policies.warm import warm_up
from pullarm.storage.redis import RedisBoard, RedisCallers, RedisEventSink, connect
from pullarm.v1 import selection_pb2
from serving import query
from serving.metrics import watched
from serving.process import Process
from serving.service import NAME, SelectionService
from serving.settings import Settings

_log = logging.getLogger(__name__)

OPEN_AFTER_S = 3.0
"""How long the port stays closed while there is no complete snapshot; after that callers are told so."""
DRAIN_S = 5.0
"""How long calls in flight may take once the process is told to stop."""
SWITCH_S = 0.0005
"""How long a background thread may keep the interpreter from requests, which Python itself lets wait for 5 ms."""
_MAX_PENDING = 50_000
_MAX_MESSAGE_BYTES = 40 * 1024 * 1024  # the largest batch that the contract's limits allow


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

    redis = connect(settings.redis_url)
    sink = RedisEventSink(redis)
    process = Process(settings, RedisBoard(redis), RedisCallers(redis), sink, clock)
    server = _server(process.service, process.healthy)
    committing = asyncio.create_task(process.event_log.run(), name="event log")
    tasks: list[asyncio.Task[Any]] = [
        committing,
        asyncio.create_task(process.refresher.run(), name="refresher"),
        asyncio.create_task(process.callers.run(), name="callers"),
        asyncio.create_task(process.report(), name="counters"),
        asyncio.create_task(process.watch_health(), name="health"),
        asyncio.create_task(_open(server, process, settings), name="server"),
        asyncio.create_task(stopping.wait(), name="stop"),
    ]
    with watched(settings.metrics_address, process.vitals, settings.max_silence_s) as port:
        _log.info("metrics on port %d", port)
        try:
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


def make_server() -> grpc.aio.Server:
    """A gRPC server as ours is; the benchmarks compare with one that only echoes."""
    return grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            # Calls that arrive while the process is held up wait for it; by default those beyond 1,000 are cancelled.
            ("grpc.server.max_pending_requests", _MAX_PENDING),
            ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING),
        ]
    )


def _server(service: SelectionService, healthy: health.HealthServicer) -> grpc.aio.Server:
    server = make_server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(NAME, service.handlers()),)
    )
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    names = [
        selection_pb2.DESCRIPTOR.services_by_name["SelectionService"].full_name,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        reflection.SERVICE_NAME,
    ]
    reflection.enable_server_reflection(names, server)
    return server


def bind(server: grpc.aio.Server, address: str, tls: Tls | None) -> int:
    """Add the address; answers its port. Raises ConfigurationError that names the setting."""
    try:
        if tls is None:
            return server.add_insecure_port(address)
        pair = tls.key.read_bytes(), tls.certificate.read_bytes()
        return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    except RuntimeError as error:
        raise ConfigurationError(
            f"PULLARM_GRPC_ADDRESS {address} cannot be used: {error}"
        ) from error


async def _open(server: grpc.aio.Server, process: Process, settings: Settings) -> None:
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
