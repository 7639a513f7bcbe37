"""The serving process: loads a snapshot, opens its port, answers, and drains when it is told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
from typing import Any
from uuid import uuid4

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from pullarm.clock import clock_from
from pullarm.domain.errors import ConfigurationError
from pullarm.policies.warm import warm_up
from pullarm.storage.redis import RedisBoard, RedisEventSink, connect
from pullarm.v1 import selection_pb2
from serving.counters import SEND_EVERY_S, Counters
from serving.event_log import EventLog
from serving.refresher import Refresher
from serving.service import NAME, SelectionService
from serving.settings import Settings

_log = logging.getLogger(__name__)

OPEN_AFTER_S = 3.0
"""How long the port stays closed while there is no complete snapshot; after that callers are told so."""
DRAIN_S = 5.0
"""How long calls in flight may take once the process is told to stop."""
_MAX_MESSAGE_BYTES = 40 * 1024 * 1024  # the largest batch that the contract's limits allow


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    clock = clock_from(settings.clock)
    await asyncio.to_thread(warm_up)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    # Two clients: the refresher's reads must not wait behind the event log's writes, nor the other way round.
    reading, writing = connect(settings.redis_url), connect(settings.redis_url)
    healthy = health.HealthServicer()
    loaded = asyncio.Event()
    refresher = Refresher(RedisBoard(reading), loaded.set)
    event_log = EventLog(RedisEventSink(writing))
    counters = Counters(f"{settings.process}-{uuid4().hex[:8]}")
    service = SelectionService(refresher, event_log, counters, settings.keys, clock)
    server = _server(service, healthy)
    await _tell(healthy, ready=False)
    committing = asyncio.create_task(event_log.run(), name="event log")
    tasks: list[asyncio.Task[Any]] = [
        committing,
        asyncio.create_task(refresher.run(), name="refresher"),
        asyncio.create_task(_report(counters, event_log), name="counters"),
        asyncio.create_task(_open(server, loaded, healthy, settings), name="server"),
        asyncio.create_task(stopping.wait(), name="stop"),
    ]
    try:
        await _until_stopped(tasks)
    finally:
        await _tell(healthy, ready=False)
        await server.stop(DRAIN_S)
        event_log.tell(counters.take())
        event_log.close()
        await asyncio.wait([committing], timeout=DRAIN_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await reading.aclose()
        await writing.aclose()
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


def _server(service: SelectionService, healthy: health.HealthServicer) -> grpc.aio.Server:
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
        ]
    )
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


def _bind(server: grpc.aio.Server, address: str) -> None:
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigurationError(
            f"PULLARM_GRPC_ADDRESS {address} cannot be used: {error}"
        ) from error


async def _open(
    server: grpc.aio.Server,
    loaded: asyncio.Event,
    healthy: health.HealthServicer,
    settings: Settings,
) -> None:
    """Take connections; ready once a complete snapshot is loaded (the kernels are warm before that)."""
    # A process that shares its port would draw callers away from those that can answer them.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(loaded.wait(), OPEN_AFTER_S)
    _bind(server, settings.grpc_address)
    await server.start()
    await loaded.wait()
    await _tell(healthy, ready=True)
    if settings.ready_file is not None:
        settings.ready_file.touch()
    _log.info("%s serves on %s, pid %d", settings.process, settings.grpc_address, os.getpid())


async def _tell(healthy: health.HealthServicer, *, ready: bool) -> None:
    answer = health_pb2.HealthCheckResponse
    for name in ("", NAME):
        await healthy.set(name, answer.SERVING if ready else answer.NOT_SERVING)


async def _report(counters: Counters, event_log: EventLog) -> None:
    while True:
        await asyncio.sleep(SEND_EVERY_S)
        event_log.tell(counters.take())
