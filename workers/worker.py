"""The worker process: consumer, publisher, statistics and arq, side by side."""

import asyncio
import gc
import logging
import os
import signal
from uuid import uuid4

from pullarm.clock import clock_from, system_clock
from pullarm.domain.errors import Unavailable
from pullarm.judging import Judge
from pullarm.lifecycle import Lifecycle
from pullarm.policies.warm import warm_up
from pullarm.storage.postgres import (
    Database,
    PostgresExperiments,
    PostgresIntake,
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
from pullarm.storage.postgres.retention import PostgresRetention
from pullarm.storage.postgres.verdicts import PostgresVerdicts
from pullarm.storage.redis import RedisBoard, RedisCallers, RedisEventSource, connect
from workers import jobs
from workers.alerting import Alerting
from workers.callers import CallerPublisher
from workers.consumer import Consumer
from workers.guard import Guard
from workers.intake import IntakeWatch
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
    clock = clock_from(settings.clock)
    await asyncio.to_thread(warm_up)  # else the first experiment waits for the kernels
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    claiming, publishing = (
        connect(settings.redis_url, timeout_s=_BLOCKING_S),
        connect(settings.redis_url),
    )
    async with Database(settings.database_url) as database:
        ledger = PostgresLedger(database)
        experiments, board = PostgresExperiments(database), RedisBoard(publishing)
        publisher = Publisher(PostgresPublications(database), board, clock)
        lifecycle = Lifecycle(experiments, PostgresTrail(database), board, clock)
        context = {
            "ledger": ledger,
            "latency": PostgresLatency(database),
            "clock": clock,
            "retention": jobs.Retention(
                store=PostgresRetention(database),
                intake=PostgresIntake(database),
                days=settings.retention_days,
            ),
            "guard": Guard(
                PostgresGuardrails(database), lifecycle, board, clock, settings.alerts.levels
            ),
            "alerting": Alerting(PostgresAlerts(database), settings.alerts, clock),
            "judge": Judge(PostgresVerdicts(database), lifecycle),
        }
        callers = CallerPublisher(PostgresTokens(database), RedisCallers(publishing), system_clock)
        source = RedisEventSource(claiming, f"{settings.process}-{uuid4().hex[:8]}")
        await _join(source)
        consumer = Consumer(source, ledger, experiments, clock)
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
        ]
        stop = asyncio.create_task(stopping.wait(), name="stop")
        # A fold makes tens of thousands of containers that die with it: looking at them took a third of its time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG)
        if settings.ready_file is not None:
            settings.ready_file.touch()
        _log.info("%s works, pid %d", settings.process, os.getpid())
        try:
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
            _log.info("stopped")


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
