"""`pullarm work`: one worker, told by its environment where PostgreSQL and Redis are."""

import os

from cli import entry
from workers.settings import Settings
from workers.worker import run


def command() -> None:
    """Run one worker until SIGTERM: it folds events, publishes posteriors and runs arq's jobs.

    Reads DATABASE_URL, REDIS_URL and, optionally, QUEUE_REDIS_URL.
    """
    entry.run(run, Settings.from_environment(os.environ))
