"""What goes by the clock, run by arq. Consumers and publisher do without it: a queue that is away only delays jobs."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from arq import cron
from arq.worker import Worker

from pullarm.clock import Clock
from pullarm.domain.errors import Unavailable
from pullarm.storage.postgres import PostgresLedger
from pullarm.storage.redis.queue import QUEUE, queue_errors, queue_settings

_log = logging.getLogger(__name__)

DAYS_AHEAD = 3
"""Partitions that exist before their day comes; the fold makes a missing one by itself, but waits for it."""
_RETRY_S = 2.0
_MAKE_PARTITIONS = f"{__name__}.make_partitions"  # arq imports it by this name


async def make_partitions(context: dict[str, Any]) -> int:
    """Make the ledger's partitions of today and the days ahead; answers how many days there are."""
    ledger: PostgresLedger = context["ledger"]
    clock: Clock = context["clock"]
    today = datetime.fromtimestamp(clock() / 1000, UTC).date()
    for ahead in range(DAYS_AHEAD + 1):
        await ledger.ensure_day(today + timedelta(days=ahead))
    return DAYS_AHEAD + 1


async def run(queue_redis_url: str, ledger: PostgresLedger, clock: Clock) -> None:
    """Run arq for ever; its Redis away only means that jobs wait."""
    redis_settings = queue_settings(queue_redis_url)
    while True:
        worker = Worker(
            redis_settings=redis_settings,
            queue_name=QUEUE,
            cron_jobs=[cron(_MAKE_PARTITIONS, minute={5, 35}, second=0, run_at_startup=True)],
            ctx={"ledger": ledger, "clock": clock},
            handle_signals=False,
            poll_delay=0.5,
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
