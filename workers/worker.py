"""The worker process: consumer, publisher, statistics and arq, side by side."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from uuid import uuid4

from pullarm.clock import Clock, clock_from, system_clock
from pullarm.domain.errors import Unavailable
from pullarm.domain.instance import Part
from pullarm.domain.ports import Board, TraceBoard
from pullarm.judging import Judge
from pullarm.lifecycle import Lifecycle
from pullarm.policies.warm import warm_up
from pullarm.presence import present, this_process
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresLedger,
    PostgresPublications,
    PostgresStatistics,
    PostgresTokens,
    PostgresTrail,
)
from pullarm.storage.postgres.alerts import PostgresAlerts
from pullarm.storage.postgres.arm_rate_stage import PostgresArmRateStage
from pullarm.storage.postgres.guardrails import PostgresGuardrails
from pullarm.storage.postgres.latency import PostgresLatency
from pullarm.storage.postgres.verdicts import PostgresVerdicts
from pullarm.storage.redis import (
    RedisBoard,
    RedisCallers,
    RedisEventSource,
    RedisInstances,
    RedisTraces,
    reach,
)
from pullarm.tracing import Trail, opened
from pullarm.watching import watched
from workers import jobs
from workers.alerting import Alerting
from workers.callers import CallerPublisher
from workers.consumer import Consumer
from workers.diary import Diary
from workers.guard import Guard
from workers.intake import IntakeWatch
from workers.metrics import Figures
from workers.publisher import Publisher
from workers.schedule import Schedule
from workers.settings import Settings
from workers.statistics import ARM_RATES_EVERY_S, ArmRates, Statistics

_log = logging.getLogger(__name__)

_GONE_MS = 3_600_000
_YOUNG = 200_000
"""Containers that may be alive and new before the garbage collector looks at them: tens of megabytes."""
_BLOCKING_S = 30.0  # a claim blocks on its connection, so its time-out lies far above the wait


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; what is in hand is finished first."""
    instance = this_process(Part.WORKER, settings.process)
    clock = clock_from(settings.clock)
    await asyncio.to_thread(warm_up)  # else the first experiment waits for the kernels
    stopping = _stopping()
    claiming, publishing = (
        reach(settings.redis_url, timeout_s=_BLOCKING_S),
        reach(settings.redis_url),
    )
    async with AsyncExitStack() as stack:
        trail = stack.enter_context(_trail(settings, RedisTraces(publishing)))
        database = await stack.enter_async_context(Database(settings.database_url))
        ledger = PostgresLedger(database)
        experiments, board = PostgresExperiments(database), RedisBoard(publishing)
        publisher = Publisher(PostgresPublications(database), board, clock, trail)
        lifecycle = Lifecycle(experiments, PostgresTrail(database), board, clock)
        retention = jobs.Retention.of(database, settings.retention_days, settings.archive)
        context = _context(settings, database, lifecycle, board, clock) | {"retention": retention}
        callers = CallerPublisher(PostgresTokens(database), RedisCallers(publishing), system_clock)
        source = RedisEventSource(claiming, f"{settings.process}-{uuid4().hex[:8]}")
        await _join(source)
        consumer = Consumer(source, ledger, experiments, clock, trail)
        diary = Diary(consumer.folded, publisher.published)
        consuming = asyncio.create_task(consumer.run(), name="consumer")
        others = [
            asyncio.create_task(publisher.run(), name="publisher"),
            asyncio.create_task(Schedule(experiments, lifecycle, clock).run(), name="schedule"),
            asyncio.create_task(IntakeWatch(ledger).run(), name="intake"),
            asyncio.create_task(Statistics(PostgresStatistics(database)).run(), name="statistics"),
            asyncio.create_task(
                Statistics(
                    ArmRates(PostgresArmRateStage(database), clock), every_s=ARM_RATES_EVERY_S
                ).run(),
                name="arm rates",
            ),
            asyncio.create_task(jobs.run(settings.queue_redis_url, context), name="arq"),
            asyncio.create_task(callers.run(), name="callers"),
            asyncio.create_task(diary.run(), name="diary"),
            *([] if trail is None else [asyncio.create_task(trail.run(), name="traces")]),
        ]
        stop = asyncio.create_task(stopping.wait(), name="stop")
        # A fold makes tens of thousands of containers that die with it: looking at them took a third of its time.
        _collect_seldom()
        try:
            figures = Figures(
                consumer.folded, retention.removed, publisher.published, publisher.problems
            )
            async with (
                present(RedisInstances(publishing), instance),
                _watched(settings, figures),
            ):
                done, _ = await asyncio.wait(
                    [consuming, *others, stop], return_when=asyncio.FIRST_COMPLETED
                )
            for task in done:
                task.result()  # a part that died ends the process
        finally:
            consumer.stop()
            await asyncio.wait([consuming], timeout=5)
            for task in (consuming, *others, stop):
                task.cancel()
            await asyncio.wait((consuming, *others, stop), timeout=5)
            await _leave(source)
            await claiming.aclose()
            await publishing.aclose()
            diary.tell()
            _log.info("stopped")


@contextmanager
def _trail(settings: Settings, board: TraceBoard) -> Iterator[Trail | None]:
    """Of requests that are traced; None where none are."""
    with opened(settings.traces) as tracer:
        yield None if tracer is None else Trail(tracer, board)


@asynccontextmanager
async def _watched(settings: Settings, figures: Figures) -> AsyncIterator[None]:
    """Say that it works, and answer whoever watches it."""
    with ExitStack() as answering:
        if settings.metrics_address:
            answer = watched(settings.metrics_address, figures, lambda: {"status": "ready"})
            _log.info("metrics on port %d", answering.enter_context(answer))
        if settings.ready_file is not None:
            settings.ready_file.touch()
        _log.info("%s works, pid %d", settings.process, os.getpid())
        yield


def _collect_seldom() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)


def _stopping() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _context(
    settings: Settings, database: Database, lifecycle: Lifecycle, board: Board, clock: Clock
) -> dict[str, object]:
    """What arq's jobs work on."""
    guardrails = PostgresGuardrails(database)
    return {
        "ledger": PostgresLedger(database),
        "latency": PostgresLatency(database),
        "clock": clock,
        "guardrails": guardrails,
        "check_days": settings.check_days,
        "guard": Guard(guardrails, lifecycle, board, clock),
        "alerting": Alerting(PostgresAlerts(database), settings.alerts, clock),
        "judge": Judge(PostgresVerdicts(database), lifecycle),
    }


async def _join(source: RedisEventSource) -> None:
    try:
        await source.forget_the_gone(_GONE_MS)
    except Unavailable as error:
        _log.warning("old consumers stay registered: %s", error)


async def _leave(source: RedisEventSource) -> None:
    try:
        await source.leave()
    except Unavailable as error:
        _log.warning("consumer stays registered: %s", error)
