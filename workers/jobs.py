"""What goes by the clock, run by arq. Consumers and publisher do without it: a queue that is away only delays jobs."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

from arq import cron
from arq.worker import Worker

from pullarm.clock import Clock
from pullarm.domain.alert import of_retention
from pullarm.domain.errors import PullarmError, Unavailable
from pullarm.judging import Judge
from pullarm.storage.postgres import Database, PostgresIntake, PostgresLedger
from pullarm.storage.postgres.alerts import PostgresAlerts
from pullarm.storage.postgres.database import Busy
from pullarm.storage.postgres.guardrails import PostgresGuardrails
from pullarm.storage.postgres.latency import PostgresLatency
from pullarm.storage.postgres.retention import PostgresRetention
from pullarm.storage.postgres.times import at
from pullarm.storage.redis.queue import (
    HEALTH,
    HEALTH_EVERY_S,
    QUEUE,
    queue_errors,
    queue_settings,
)
from workers.alerting import Alerting
from workers.archive import Archiving
from workers.counts import Removed
from workers.guard import Guard
from workers.retention import LONGEST_SPOOL_DAYS, remove_old

_log = logging.getLogger(__name__)

DAYS_AHEAD = 3
"""Partitions that exist before their day comes; the fold makes a missing one by itself, but waits for it."""
_RETRY_S = 2.0
_RETENTION_TIMEOUT_S = 20 * 3_600
"""Archiving takes a day of 10,000 decisions/s three hours, and begins anew where it is cut off."""
_MAKE_PARTITIONS = f"{__name__}.make_partitions"  # arq imports it by this name
_FORGET_LIVES = f"{__name__}.forget_lives"
_ERASE_ARCHIVED = f"{__name__}.erase_archived"
_REMOVE_OLD_DAYS = f"{__name__}.remove_old_days"
_ADD_UP_HOURS = f"{__name__}.add_up_hours"
_WATCH = f"{__name__}.watch"
_WATCH_TIMEOUT_S = 300
_FORGET_CHECKS = f"{__name__}.forget_checks"
_JUDGE = f"{__name__}.judge"
_JUDGE_TIMEOUT_S = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """The stores that is removed from, what of it is kept, and after how many days; None keeps all decisions."""

    store: PostgresRetention
    intake: PostgresIntake
    archiving: Archiving
    alerts: PostgresAlerts
    days: int | None
    removed: Removed = field(default_factory=Removed)

    @classmethod
    def of(cls, database: Database, days: int | None, archive: str = "") -> Self:
        """Of this database; `archive` is as `Archiving` takes it."""
        return cls(
            store=PostgresRetention(database),
            intake=PostgresIntake(database),
            archiving=Archiving(database, archive),
            alerts=PostgresAlerts(database),
            days=days,
        )


async def make_partitions(context: dict[str, Any]) -> int:
    """Make the ledger's partitions of today and the days ahead; answers how many days there are."""
    ledger: PostgresLedger = context["ledger"]
    clock: Clock = context["clock"]
    today = at(clock()).date()
    for ahead in range(DAYS_AHEAD + 1):
        await ledger.ensure_day(today + timedelta(days=ahead))
    return DAYS_AHEAD + 1


async def remove_old_days(context: dict[str, Any]) -> int:
    """Remove the days of decisions that are old enough; how many. What cannot be done is told, and tried again."""
    retention: Retention = context["retention"]
    if retention.days is None:
        return 0
    try:
        days = await remove_old(
            retention.store, retention.archiving, retention.days, context["clock"]
        )
    except Busy:  # a run may take longer than an hour
        return 0
    except PullarmError as error:
        await _retention_waits(context, "retention waits", error)
        return 0
    retention.removed.days += days
    return days


async def erase_archived(context: dict[str, Any]) -> int:
    """Take erased users out of the files of removed days; how many files were rewritten."""
    retention: Retention = context["retention"]
    try:
        return await retention.archiving.erase()
    except Busy:  # so may this one
        return 0
    except PullarmError as error:
        await _retention_waits(context, "erased users are still in the archive", error)
        return 0


async def _retention_waits(context: dict[str, Any], what: str, error: PullarmError) -> None:
    """Tell it wherever somebody may look."""
    retention: Retention = context["retention"]
    _log.error("%s: %s", what, error)
    retention.removed.failures += 1
    try:
        await retention.alerts.put(of_retention(what, str(error)), at(context["clock"]()))
    except Unavailable as away:
        _log.warning("nobody is told of it: %s", away)


async def forget_lives(context: dict[str, Any]) -> int:
    """Forget serving processes that were not heard of for as long as decisions are kept, or else as a spool may wait,
    where nothing of them is missing; how many."""
    retention: Retention = context["retention"]
    clock: Clock = context["clock"]
    days = timedelta(days=retention.days or LONGEST_SPOOL_DAYS)
    try:
        return await retention.intake.prune(at(clock()) - days)
    except Unavailable as error:
        _log.warning("processes are forgotten later: %s", error)
        return 0


async def add_up_hours(context: dict[str, Any]) -> None:
    """Add up the minutes of serving whose hours are over, so that reading weeks of them stays quick."""
    latency: PostgresLatency = context["latency"]
    try:
        await latency.add_up(at(context["clock"]()))
    except Unavailable as error:
        _log.warning("hours of serving are not added up: %s", error)


async def watch(context: dict[str, Any]) -> int:
    """Check the guardrails that are owed, then deliver alerts; answers how many experiments were checked."""
    guard: Guard = context["guard"]
    alerting: Alerting = context["alerting"]
    checked = 0
    try:
        checked = await guard.check_due()
        await alerting.deliver()
    except Unavailable as error:
        _log.warning("guardrails wait: %s", error)
    return checked


async def forget_checks(context: dict[str, Any]) -> int:
    """Forget checks of guardrails that are old enough, but for the newest; how many."""
    guardrails: PostgresGuardrails = context["guardrails"]
    clock: Clock = context["clock"]
    try:
        return await guardrails.forget(at(clock()) - timedelta(days=context["check_days"]))
    except Unavailable as error:
        _log.warning("checks are forgotten later: %s", error)
        return 0


async def judge(context: dict[str, Any]) -> int:
    """Judge the experiments that are owed a verdict; how many."""
    judging: Judge = context["judge"]
    try:
        return await judging.judge_due()
    except Unavailable as error:
        _log.warning("verdicts wait: %s", error)
        return 0


async def run(queue_redis_url: str, context: dict[str, Any]) -> None:
    """Run arq for ever, with what the jobs need; its Redis away only means that they wait."""
    redis_settings = queue_settings(queue_redis_url)
    while True:
        worker = Worker(
            redis_settings=redis_settings,
            queue_name=QUEUE,
            cron_jobs=[
                cron(_MAKE_PARTITIONS, minute={5, 35}, second=0, run_at_startup=True),
                cron(_FORGET_LIVES, minute=25, second=0),
                cron(_FORGET_CHECKS, minute=15, second=0),
                cron(_ADD_UP_HOURS, minute={10, 40}, second=0, run_at_startup=True),
                cron(_REMOVE_OLD_DAYS, minute=20, second=0, timeout=_RETENTION_TIMEOUT_S),
                cron(_ERASE_ARCHIVED, minute={0, 30}, second=30, timeout=_RETENTION_TIMEOUT_S),
                cron(_WATCH, second=10, timeout=_WATCH_TIMEOUT_S, run_at_startup=True),
                # What is owed at nine is in the ledger: asked for every minute, it is done once, however late.
                cron(_JUDGE, second=40, timeout=_JUDGE_TIMEOUT_S),
            ],
            ctx=context,
            handle_signals=False,
            poll_delay=0.5,
            health_check_key=HEALTH,
            health_check_interval=HEALTH_EVERY_S,
        )
        try:
            with queue_errors():
                await worker.async_run()
        except Unavailable as error:
            _log.warning("queue is away, jobs wait: %s", error)
            await asyncio.sleep(_RETRY_S)
        finally:
            await _close(worker)


async def _close(worker: Worker) -> None:
    try:
        with queue_errors():
            await worker.close()
    except Unavailable as error:
        _log.debug("closing the queue: %s", error)
