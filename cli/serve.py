"""`pullarm serve`: one serving process, told by its environment where Redis and its keys are."""

import os

from cli import entry
from serving.server import run
from serving.settings import Settings


def command() -> None:
    """Run one serving process until SIGTERM.

    Reads REDIS_URL, PULLARM_DECISION_KEYS or PULLARM_DECISION_KEYS_FILE and, optionally, PULLARM_GRPC_ADDRESS
    (127.0.0.1:50051).
    """
    entry.run(run, Settings.from_environment(os.environ))
